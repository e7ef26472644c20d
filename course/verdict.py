"""What a judgement says: plain data, the same in a notebook, a terminal, a file and a gradebook.

Not here: how it is reached (course.cases, autograder.judge) and how it looks (course.card).
The JSON of these structs is the contract of `--json` and of the verdict files.
"""

from __future__ import annotations

import msgspec

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
    """One property and whether it held. `got` and `expected` are small renderings, empty in hidden verdicts."""

    title: str
    weight: float
    passed: bool
    says: str = ""
    got: str = ""
    expected: str = ""


class Named(msgspec.Struct):
    """A recognised misconception: its name, one sentence about it, and the question to ask next."""

    name: str
    sentence: str
    next: str = ""


class ExerciseVerdict(msgspec.Struct):
    """The judgement of one exercise. `state` is one of STATES; `reason` is a sentence when it is not about trials."""

    name: str
    score: float
    max_score: float
    state: str
    reason: str = ""
    misconception: Named | None = None
    trials: list[TrialResult] = []
    hints: int = 0
    seconds: float = 0.0


class Verdict(msgspec.Struct):
    """The judgement of one hand-in. Scores count automatic points only; `manual_max` is what a person marks."""

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


def settle(
    name: str, max_score: float, trials: list[TrialResult], *, hints: int = 0, misconception: Named | None = None
) -> ExerciseVerdict:
    """The verdict that a list of trial results amounts to: the weighted fraction passed, times the points."""
    total = sum(t.weight for t in trials)
    won = sum(t.weight for t in trials if t.passed)
    score = round(max_score * won / total, 4) if total else 0.0
    state = "passed" if trials and all(t.passed for t in trials) else "partial" if won else "failed"
    return ExerciseVerdict(name, score, max_score, state, "", misconception, trials, hints)


def without_points(name: str, max_score: float, state: str, reason: str, *, hints: int = 0) -> ExerciseVerdict:
    """A verdict with no points and its reason in words."""
    return ExerciseVerdict(name, 0.0, max_score, state, reason, hints=hints)


def encode(verdict: Verdict | ExerciseVerdict) -> bytes:
    """Indented JSON, UTF-8."""
    return msgspec.json.format(msgspec.json.encode(verdict), indent=1)


def decode(data: bytes) -> Verdict:
    """A Verdict from JSON; raises msgspec.ValidationError when the schema does not fit."""
    return msgspec.json.decode(data, type=Verdict)
