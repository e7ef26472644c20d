"""A task: one draw of a problem, with its answers worked out. Plain data: it can be recorded and played without an
oracle, and a judgement needs nothing else.

    task = pose(problem.load("row_softmax"), seed)     # the same seed, the same task

Sizes and numbers are drawn from the seed. What a launcher is shown has the same sizes, and other numbers: whole ones
from a second draw, floats by `trace.stand_in`. Not here: judging (`judgement`).
"""

from __future__ import annotations

import inspect
from typing import Any

import msgspec
import numpy as np
import torch

from grader_kernels.judging import agree
from grader_kernels.judging.verdict import Named
from grader_kernels.problem import Case, Problem, Settings

DRAWS, SIZES = (0, 1), 2  # which stretch of the seed's numbers: two draws of the numbers, one of the sizes


class Posed(msgspec.Struct):
    """One call of the launcher: a problem.Case with its answer.

    args, kwargs   the numbers that count             other     a second draw of them, None for what is floating
    expected       what should come back              floor     the bytes that have to move, {} where none are counted
    programs       how many share the work at least  stack     bytes that are allowed besides settings.stack
    """

    title: str
    args: tuple
    kwargs: dict
    other: list
    expected: agree.Expected
    weight: float = 1.0
    points_to: str = ""
    floor: dict = {}
    slack: float = 1.0
    compile: bool = False
    programs: int = 1
    stack: int = 0

    def shown(self) -> tuple[tuple, dict]:
        """What a launcher is called with: nothing that another draw of the case would not hold, too."""
        from grader_kernels.replaying.trace import stand_in  # needs triton, which not every learner has

        return stand_in((self.args, self.kwargs), tuple(self.other))


class Task(msgspec.Struct):
    """All cases of one draw. parameters: the launcher's, by which its inputs are called."""

    name: str
    parameters: list[str]
    settings: Settings
    cases: list[Posed]


class Outcome(msgspec.Struct):
    """What one case gave, as far as two answers can be held against each other: it quotes nobody's code.

    signs    what was found, in words that belong to the mistake: "race", "lean", "failed: fault"
    outputs  the tensors that came back; none when all are right
    """

    signs: list[str] = []
    outputs: list = []


class Known(msgspec.Struct):
    """A known mistake, and what it gives in each case. outcomes may be filled as they are asked for."""

    named: Named
    outcomes: list[Outcome]  # or what is indexed like one


class KernelCases(msgspec.Struct):
    """What is recorded of a kernel exercise: the task of the public seed, and what known mistakes give on it."""

    task: Task
    known: list[Known] = []


def pose(problem: Problem, seed: int) -> Task:
    """The task of this seed (0 or greater). Raises what the problem's own functions raise."""
    drawn, other = (problem.cases(_generator(seed, jump), _generator(seed, SIZES)) for jump in DRAWS)
    posed = [_posed(problem, *both) for both in zip(drawn, other, strict=True)]
    return Task(problem.name, list(inspect.signature(problem.reference).parameters), problem.settings, posed)


def _generator(seed: int, jump: int) -> np.random.Generator:
    """Both draws have the same sizes: a launcher is shown the one and judged on the other."""
    return np.random.Generator(np.random.Philox(seed).jumped(jump))


def _posed(problem: Problem, case: Case, other: Case) -> Posed:
    floor = problem.floor(*case.args, **case.kwargs).plain() if case.lean else {}
    return Posed(
        case.title,
        tuple(case.args),
        dict(case.kwargs),
        [_whole(tuple(other.args)), _whole(dict(other.kwargs))],
        _expected(problem, case),
        case.weight,
        case.points_to,
        floor,
        case.slack,
        case.compile,
        problem.programs(*case.args, **case.kwargs) if problem.programs else 1,
        case.stack,
    )


def _expected(problem: Problem, case: Case) -> agree.Expected:
    exact = problem.exact(*case.args, **case.kwargs) if problem.exact else None
    asked = problem.settings
    return agree.expect(*problem.expected(case), case.factor, asked.eps, exact, once=asked.once)


def _whole(value: Any) -> Any:
    """`value` with None in the place of every float tensor."""
    if isinstance(value, torch.Tensor):
        return None if value.is_floating_point() else value
    if isinstance(value, (tuple, list)):
        return type(value)(_whole(item) for item in value)
    return {key: _whole(item) for key, item in value.items()} if isinstance(value, dict) else value
