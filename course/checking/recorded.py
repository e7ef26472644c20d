"""What a check's cases are made of, as plain data: calls, comparisons, and the outcomes of known mistakes.

Not here: storing them and playing them (course.checking.cases), naming a mistake (course.checking.naming).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from grader_kernels.judging.task import KernelCases


class Ref(NamedTuple):
    """The result of an earlier step, or a part of it: results[step][path[0]][path[1]]..."""

    step: int
    path: tuple = ()


class Step(msgspec.Struct):
    """One operation on the subject, or one comparison: `do` is then among compare.COMPARISONS.

    likely: between, for a number in which chance has a hand; an outcome keeps only whether it lies there; drawn: among,
    likewise. raises: its
    arguments are an exception's name (or CUT_OFF) and operations, one of which has to raise it: (number, do, args,
    kwargs) each, with negative numbers for Refs.
    """

    do: str
    args: Any = None
    kwargs: Any = None
    says: str = ""
    condition: float = 1.0


class Case(msgspec.Struct):
    """A property (`title`), its weight, and the steps that show whether it holds."""

    title: str
    weight: float
    steps: list[Step]


class Outcome(msgspec.Struct):
    """What one case gave: the compared values in order, or the exception that stopped it, and side effects."""

    got: list = []
    raised: str = ""
    effects: list[str] = []


class Misconception(msgspec.Struct):
    """A known wrong answer, as its outcome in every case."""

    name: str
    sentence: str
    next: str
    outcomes: list[Outcome]


class CheckCases(msgspec.Struct):
    """All that the learner's side knows of one check.

    new: is a result that is an argument itself a mistake? kernel: of a kernel exercise, instead of cases.
    forbids: families of library calls (course.checking.forbidden).
    """

    name: str
    points: float
    kind: str
    hints: list[str]
    cases: list[Case]
    misconceptions: list[Misconception] = []
    mutates: list[str] = []
    new: bool = False
    minutes: int = 0
    kernel: KernelCases | None = None
    optional: bool = False
    forbids: list[str] = []
