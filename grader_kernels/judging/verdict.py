"""What the judgement of one kernel file says: plain data, the same in a terminal, a notebook and a file.

Its JSON is the contract of `course kernel --json`. Not here: how it is reached (`judge`) and how it looks (`card`).
"""

from __future__ import annotations

import msgspec

from grader_kernels.evidence import Access, Compiled, Finding


class Named(msgspec.Struct):
    """A recognised misconception: its name, one sentence about it, and the question to ask next."""

    name: str
    sentence: str
    next: str = ""


class Group(msgspec.Struct):
    """right, safe, lean or compiles: the points it is worth, the points won, and why in sentences."""

    name: str
    weight: float
    won: float
    says: list[str] = []


class CaseResult(msgspec.Struct):
    """One case. error and allowed are relative to the largest expected magnitude; null when there was no number.

    points_to       what usually makes the numbers wrong here
    got, expected   the number that is furthest off, from both sides; empty in hidden verdicts
    """

    title: str
    passed: bool
    says: list[str] = []
    points_to: str = ""
    got: str = ""
    expected: str = ""
    error: float | None = None
    allowed: float | None = None
    weight: float = 1.0


class TensorRow(msgspec.Struct):
    """Bytes of one tensor. needed: what nobody can do without; loads of resident tensors count once."""

    name: str
    role: str
    loaded: int
    stored: int
    needed_loads: int = 0
    needed_stores: int = 0
    sectors_per_byte: float = 0.0


class TrafficRow(msgspec.Struct):
    """Bytes of one case against its floor. ratio = moved / floor, allowed up to `limit`."""

    case: str
    moved: int
    floor: int
    ratio: float
    limit: float
    launches: int
    tensors: list[TensorRow] = []
    says: str = ""
    why: str = ""
    dot_flops: int = 0


class Pattern(msgspec.Struct):
    """What one program touched, in its order: the material of `picture.pattern`."""

    case: str
    program: list[int]
    sizes: dict[str, int]
    accesses: list[Access] = []


class KernelVerdict(msgspec.Struct):
    """The judgement of one file.

    reason         why nothing could be judged at all ("" otherwise), and in `kind` a word for it
    findings       defects that the sanitizer saw, each once
    misconception  the known mistake that gives the very same in every case
    speed          what was measured on a GPU, in a sentence; `speed_figures` holds the numbers
    """

    problem: str
    file: str = ""
    schema: int = 1
    seed: int = 0
    score: float = 0.0
    max_score: float = 10.0
    reason: str = ""
    kind: str = ""
    groups: list[Group] = []
    cases: list[CaseResult] = []
    findings: list[Finding] = []
    traffic: list[TrafficRow] = []
    compiled: list[Compiled] = []
    misconception: Named | None = None
    speed: str = ""
    speed_figures: dict[str, float] = {}
    pattern: Pattern | None = None
    seconds: float = 0.0

    def group(self, name: str) -> Group:
        return next(group for group in self.groups if group.name == name)

    @property
    def full(self) -> bool:
        """All points."""
        return self.score >= self.max_score - 1e-9

    def sentences(self) -> list[str]:
        """Everything it says, for people."""
        named = [self.misconception.sentence] if self.misconception else []
        said = [self.reason, *named, *(s for g in self.groups for s in g.says)]
        said += [s for c in self.cases for s in (*c.says, c.points_to)] + [t.says for t in self.traffic]
        said += [f"{f.sentence} {f.advice}".strip() for f in self.findings]
        return [sentence for sentence in said if sentence]

    def worth(self, max_score: float) -> KernelVerdict:
        """The same, with other points in all."""
        scale = max_score / self.max_score
        groups = [Group(g.name, round(g.weight * scale, 4), round(g.won * scale, 4), g.says) for g in self.groups]
        score = round(self.score * scale, 4)
        return msgspec.structs.replace(self, score=score, max_score=max_score, groups=groups)

    def hidden(self) -> KernelVerdict:
        """The same without numbers of the inputs, and without what only a picture needs."""
        cases = [msgspec.structs.replace(case, got="", expected="") for case in self.cases]
        return msgspec.structs.replace(self, cases=cases, pattern=None)


def encode(verdict: KernelVerdict) -> bytes:
    """Indented JSON, UTF-8."""
    return msgspec.json.format(msgspec.json.encode(verdict), indent=1)


def decode(data: bytes) -> KernelVerdict:
    """A KernelVerdict from JSON; raises msgspec.ValidationError when the schema does not fit."""
    return msgspec.json.decode(data, type=KernelVerdict)
