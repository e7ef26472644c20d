"""What a judgement says: plain data, the same in a notebook, a terminal, a file and a gradebook.

Not here: how it is reached (course.checking.cases, autograder.judging.judge) and how it looks (course.checking.card).
The JSON of these structs is the contract of `--json` and of the verdict files.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from grader_kernels.judging.verdict import KernelVerdict, Named

KEPT = 20  # changes in a verdict's history
AnyVerdict = TypeVar("AnyVerdict", bound=msgspec.Struct)
STATES = (
    "passed",
    "partial",
    "failed",
    "not_attempted",
    "crashed",
    "timed_out",
    "out_of_memory",
    "held",
    "forbidden",
    "missing",
)


class TrialResult(msgspec.Struct):
    """One property and whether it held. `got` and `expected` are small renderings, and `given` the call that the value
    came from where it fits a line; all three are empty in hidden verdicts."""

    title: str
    weight: float
    passed: bool
    says: str = ""
    got: str = ""
    expected: str = ""
    given: str = ""


class ExerciseVerdict(msgspec.Struct):
    """The judgement of one exercise. `state` is one of STATES; `reason` is a sentence when it is not about trials.

    kernel: of a kernel exercise, the judgement in full; `trials` are then its groups.
    optional: its points are no part of the hand-in's maximum, nor of its `score`; they are in its `extra`.
    made_of: digest of its definitions and of what they use, set by the judge; "" where that is not known.
    """

    name: str
    score: float
    max_score: float
    state: str
    reason: str = ""
    misconception: Named | None = None
    trials: list[TrialResult] = []
    hints: int = 0
    seconds: float = 0.0
    kernel: KernelVerdict | None = None
    optional: bool = False
    made_of: str = ""


class Change(msgspec.Struct):
    """One verdict that took another's place: both scores with their extra points, why, and when (UTC)."""

    old: float
    new: float
    why: str
    when: str


class Verdict(msgspec.Struct):
    """The judgement of one hand-in. Scores count automatic points only; `manual_max` is what a person marks.

    `score` is what was won of `max_score`; `extra` what optional exercises gave, which comes on top.

    history: the last verdicts on this hand-in's unit, the newest last (see `follows`). costs: seconds by the clock of
    each stage of judging, of processor time, "of the judge" and "of the sandbox", and those for which the sandbox was
    "waiting for a processor". starved: something ran out of time that others had, on a busy machine.
    """

    schema: int = 1
    unit: str = ""
    student: str = ""
    score: float = 0.0
    max_score: float = 0.0
    manual_max: float = 0.0
    state: str = "graded"
    reason: str = ""
    exercises: list[ExerciseVerdict] = []
    digest: str = ""
    check_version: str = ""
    seconds: float = 0.0
    peak_bytes: int = 0
    notes: list[str] = []
    cell_outputs: dict[str, str] = {}
    history: list[Change] = []
    costs: dict[str, float] = {}
    extra: float = 0.0
    starved: bool = False

    def add_up(self) -> Verdict:
        """Put the points of the exercises into `score` and `extra`; returns itself."""
        self.score = round(sum(row.score for row in self.exercises if not row.optional), 4)
        self.extra = round(sum(row.score for row in self.exercises if row.optional), 4)
        return self


def follows(new: Verdict, old: Verdict, when: str) -> None:
    """Put into `new` that it takes the place of `old`. At most KEPT changes are kept, the newest."""
    change = Change(old.score + old.extra, new.score + new.extra, why(new, old.digest, old.check_version), when)
    new.history = [*old.history, change][-KEPT:]


def why(new: Verdict, old_digest: str, old_version: str) -> str:
    """Why there is a new verdict, in words."""
    if not old_version:
        return "the judge could not finish before"
    changed = [("the hand-in", old_digest != new.digest), ("the checks", old_version != new.check_version)]
    names = [name for name, differs in changed if differs]
    return f"{' and '.join(names)} changed" if names else "it was judged again"


def settle(
    name: str, max_score: float, trials: list[TrialResult], *, hints: int = 0, misconception: Named | None = None
) -> ExerciseVerdict:
    """The verdict that a list of trial results amounts to: the weighted fraction passed, times the points."""
    total = sum(t.weight for t in trials)
    won = sum(t.weight for t in trials if t.passed)
    score = round(max_score * won / total, 4) if total else 0.0
    state = "passed" if trials and all(t.passed for t in trials) else "partial" if won else "failed"
    return ExerciseVerdict(name, score, max_score, state, "", misconception, trials, hints)


def of_kernel(name: str, max_score: float, found: KernelVerdict, *, hints: int = 0) -> ExerciseVerdict:
    """What the judgement of a kernel amounts to: its share of the points, a trial for each group."""
    if found.kind in ("not_written", "missing"):
        state = "not_attempted" if found.kind == "not_written" else "missing"
        return without_points(name, max_score, state, found.reason, hints=hints)
    found = found.worth(max_score)
    rows = [TrialResult(g.name, g.weight, g.won == g.weight, "; ".join(g.says)) for g in found.groups]
    state = "passed" if found.full else "partial" if found.score else "failed"
    reason, named = found.reason, found.misconception
    return ExerciseVerdict(name, found.score, max_score, state, reason, named, rows, hints, kernel=found)


def without_points(name: str, max_score: float, state: str, reason: str, *, hints: int = 0) -> ExerciseVerdict:
    """A verdict with no points and its reason in words."""
    return ExerciseVerdict(name, 0.0, max_score, state, reason, hints=hints)


def encodable(verdict: AnyVerdict) -> AnyVerdict:
    """The verdict, as it can be written in UTF-8: half a surrogate pair, which a hand-in may write out, is a "?"."""
    try:
        msgspec.json.encode(verdict)
        return verdict
    except UnicodeEncodeError:
        return msgspec.convert(_written(msgspec.to_builtins(verdict)), type(verdict))


def _written(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_written(key): _written(each) for key, each in value.items()}
    return [_written(each) for each in value] if isinstance(value, list) else value


def encode(verdict: Verdict | ExerciseVerdict) -> bytes:
    """Indented JSON, UTF-8."""
    return msgspec.json.format(msgspec.json.encode(verdict), indent=1)


def decode(data: bytes) -> Verdict:
    """A Verdict from JSON; raises msgspec.ValidationError when the schema does not fit."""
    return msgspec.json.decode(data, type=Verdict)
