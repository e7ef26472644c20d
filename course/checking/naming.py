"""Which known mistake do the outcomes of a check's cases look like?

A mistake is named where every case came out as it does with this mistake. Where a side detail hides it, it is named
too, if the evidence is clear: it explains at least half of the cases that fail, and at least half of those that it
would fail come out as it would make them, with numbers that no other known mistake gives; nothing that it would fail
passes. What it does not explain is said.

Not here: playing cases (course.checking.cases), naming a kernel's mistake (grader_kernels.judging).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from course.checking import compare
from course.checking.recorded import Case, CheckCases, Misconception, Outcome, Ref, Step
from grader_kernels.judging.verdict import Named

CLOSE_BY = 1e-4  # of the width of a range: what rounding makes of an experiment's number
TELLING = 3  # different numbers that a wrong value must hold before it says anything about where it comes from


def diagnose(check: CheckCases, outcomes: Sequence[Outcome], passed: Sequence[bool]) -> Named | None:
    """The misconception that the outcomes look like; more than one that they equal are told as "one of".

    passed: of each case, whether it holds.
    """
    matching = [m for m in check.misconceptions if same_outcomes(check, outcomes, m.outcomes)]
    if not matching:
        return _in_part(check, outcomes, passed)
    if len(matching) == 1:
        return Named(matching[0].name, matching[0].sentence, matching[0].next)
    sentences = "; or: ".join(m.sentence for m in matching)
    return Named(" | ".join(m.name for m in matching), f"one of: {sentences}", matching[0].next)


def same_outcomes(check: CheckCases, ours: Sequence[Outcome], theirs: Sequence[Outcome], slack: float = 1.0) -> bool:
    """True when every case of `ours` equals `theirs` within `slack` tolerances."""
    return all(same_outcome(case, a, b, slack) for case, a, b in zip(check.cases, ours, theirs, strict=True))


def same_outcome(case: Case, ours: Outcome, theirs: Outcome, slack: float = 1.0) -> bool:
    """True when one case gave the same compared values, exception and side effects."""
    if (ours.raised, len(ours.got), ours.effects) != (theirs.raised, len(theirs.got), theirs.effects):
        return False
    return all(_alike(s, a, b, slack) for s, a, b in zip(_compared(case), ours.got, theirs.got, strict=False))


def _compared(case: Case) -> list[Step]:
    return [step for step in case.steps if step.do in compare.COMPARISONS]


def _alike(step: Step, ours: Any, theirs: Any, slack: float) -> bool:
    """One compared value: equal, or both in the range that was asked for (a new weight is another one each time), or
    outside of it and a small part of its width apart."""
    if step.do == "between":
        low, high = step.args[1:]
        if not any(compare.between(value, low, high) for value in (ours, theirs)):
            return True
        room = slack * CLOSE_BY * (high - low)
        if all(isinstance(value, (int, float)) for value in (ours, theirs)) and abs(ours - theirs) <= room:
            return True
    if step.do == "equal" and not _rounded(theirs):  # a float is no int, and large ints of one size are not one number
        return compare.equal(ours, theirs) is None and compare.equal(theirs, ours) is None
    return compare.close(ours, theirs, max(step.condition, 1.0) * slack) is None


def _rounded(value: Any) -> bool:
    """Does it hold a floating-point tensor or array, which two ways of computing round differently?"""
    if isinstance(value, (torch.Tensor, np.ndarray)):
        return torch.as_tensor(value).is_floating_point()
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, (tuple, list)) else ()
    return any(map(_rounded, parts))


def _in_part(check: CheckCases, outcomes: Sequence[Outcome], passed: Sequence[bool]) -> Named | None:
    """The one misconception that explains most of what fails; None where none does clearly."""
    failing = [number for number, holds in enumerate(passed) if not holds]
    found: list[tuple[int, Misconception, list[int]]] = []
    for known in check.misconceptions:
        explained = _explained(check, outcomes, passed, known)
        if explained is not None and 2 * len(explained) >= len(failing):
            found.append((len(explained), known, explained))
    most = [each for each in found if each[0] == max(count for count, _, _ in found)]
    if len(most) != 1:
        return None
    _, known, explained = most[0]
    left = next((check.cases[number].title for number in failing if number not in explained), "")
    if not left:  # in a case that holds, something differs by chance
        return Named(known.name, known.sentence, known.next)
    return Named(known.name, f"{known.sentence} That is not all: “{left}” comes out in another way.", known.next)


def _explained(
    check: CheckCases, outcomes: Sequence[Outcome], passed: Sequence[bool], known: Misconception
) -> list[int] | None:
    """The cases that come out as `known` would make them and no other known mistake; None where it is contradicted or
    explains too little of what it would make fail."""
    fails, explained = 0, []
    for number, (case, ours, theirs) in enumerate(zip(check.cases, outcomes, known.outcomes, strict=True)):
        wrong = _wrong_values(case, theirs)
        if wrong is None:
            continue
        if passed[number]:
            return None
        fails += 1
        others = (m for m in check.misconceptions if m is not known)
        if _telling(wrong) and same_outcome(case, ours, theirs):
            if not any(same_outcome(case, ours, other.outcomes[number]) for other in others):
                explained.append(number)
    return explained if explained and 2 * len(explained) >= fails else None


def _wrong_values(case: Case, outcome: Outcome) -> list[Any] | None:
    """The compared values of a recorded outcome that are wrong, as far as can be told; None where it passes."""
    wrong = [got for step, got in zip(_compared(case), outcome.got, strict=False) if _differs(step, got)]
    return wrong if wrong or outcome.raised or outcome.effects else None


def _differs(step: Step, got: Any) -> bool:
    if step.do in compare.CHANCE:
        return not got
    if step.do == "raises":
        return got != step.args[0]
    if any(isinstance(part, Ref) for part in step.args[1:]):
        return False  # another result of the code: nobody knows what it was
    return compare.by(step.do, got, step.args[1:], step.condition) is not None


def _telling(values: list[Any]) -> bool:
    """Do wrong values hold enough different numbers, or words, that they hardly come from something else?"""
    parts: set[Any] = set()
    for value in values:
        parts |= _parts(value)
    return len(parts) >= TELLING


def _parts(value: Any) -> set[Any]:
    if isinstance(value, (torch.Tensor, np.ndarray)):
        flat = torch.as_tensor(value).detach().reshape(-1)
        return {round(x, 6) for x in flat[:200].double().tolist() if np.isfinite(x) and x not in (0.0, 1.0)}
    if isinstance(value, dict):
        return set().union(*map(_parts, value.values()))
    if isinstance(value, (list, tuple)):
        return set().union(*map(_parts, value))
    return {value} if type(value) in (int, float, str, bytes) and value not in (0, 1, "") else set()
