"""A second judgement of answers that stand on wrong ones: a slip in `rnn_step` must not cost `rnn_forward` as well.

For each such answer the notebook is run again with the course's own answers after those that it stands on, in a sandbox
of its own and with the same secret seeds. The better of both results counts, and the verdict says so.

Not here: judging (autograder.judging.judge), what an answer stands on (course.checking.foundations).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import replace

from autograder.judging.needed import Cell
from autograder.judging.rules import HandIn
from course.checking.cells import read
from course.checking.forbidden import Notebook, read_notebook
from course.checking.foundations import built_on
from course.checking.verdict import ExerciseVerdict

JudgeAgain = Callable[[HandIn, set[str]], list[ExerciseVerdict]]  # a hand-in, and which exercises of it


def follow_on(
    rows: Sequence[ExerciseVerdict],
    handin: HandIn,
    notebook: Notebook,
    solutions: dict[str, str],
    judge_again: JudgeAgain,
) -> list[ExerciseVerdict]:
    """The rows, each of them the better one of two where its answer stands on a wrong one."""
    found = {row.name: row for row in rows}
    for replaced, names in _groups(rows, notebook, solutions).items():
        for again in judge_again(with_answers(handin, {name: solutions[name] for name in replaced}), names):
            found[again.name] = better(found[again.name], again, replaced)
    return list(found.values())


def with_answers(handin: HandIn, answers: dict[str, str]) -> HandIn:
    """The hand-in with a cell more after each of these exercises: what its names stand for from there on."""
    cells: list[Cell] = []
    for cell in handin.cells:
        cells.append(cell)
        if cell.grade_id in answers:
            cells.append(Cell(f"{cell.id}-course", "", answers[cell.grade_id], given=True))
    return replace(handin, cells=cells)


def better(first: ExerciseVerdict, again: ExerciseVerdict, replaced: Sequence[str]) -> ExerciseVerdict:
    """The one with more points; of two that are worth the same, the one that names what is wrong."""
    if (again.score, again.misconception is not None) <= (first.score, first.misconception is not None):
        return first
    names = " and ".join(replaced)
    said = (
        f"judged with the course's {names} in place of yours, which {'is' if len(replaced) == 1 else 'are'} not right"
    )
    again.reason = "; ".join(filter(None, (said, again.reason)))
    again.made_of = first.made_of
    return again


def _groups(
    rows: Sequence[ExerciseVerdict], notebook: Notebook, solutions: dict[str, str]
) -> dict[tuple[str, ...], set[str]]:
    """From the exercises to replace to those that are judged again with them replaced."""
    wrong = [row.name for row in rows if row.state != "passed" and row.name in solutions]
    place = {row.name: number for number, row in enumerate(rows)}
    uses = functools.cache(lambda name: read_notebook([read(solutions[name])]).mentions(name))  # the course's answer
    groups: dict[tuple[str, ...], set[str]] = {}
    for row in rows:
        if row.state in ("passed", "missing", "held", "forbidden"):
            continue

        def mentions(name: str, judged: str = row.name) -> list[str]:
            return uses(name) if name != judged and name in wrong else notebook.mentions(name)

        # an answer stands on what comes before it: two that stand on each other would both be paid for nothing
        below = tuple(name for name in built_on(row.name, mentions, wrong) if place[name] < place[row.name])
        if below:
            groups.setdefault(below, set()).add(row.name)
    return groups
