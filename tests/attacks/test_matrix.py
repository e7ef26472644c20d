"""One notebook, three judgements: all right styles and all known mistakes, by `course check`, `--full` and in a class.

Notebook number n of a unit holds, for every exercise, its n-th known mistake (or its n-th right style), else the
solution; answers that use other answers meet their mistakes. The three must agree on which exercises are full, on
what state the others are in, and on the mistake that is named. Points may differ: a notebook plays the recorded cases,
the grade counts trials. An answer that stands on a wrong one is judged by the grade with the course's own behind it:
there the notebook, which has no such answer, may find it wrong and give no name, but never another one. Where more
differs, `DIFFERS` says why.
"""

from itertools import groupby

import pytest
from attack_class import ROOT, Attack, Class, unit_of

from autograder.authoring.unit import UNITS
from autograder.judging.full import judge_notebook
from autograder.sandbox.sandbox import Limits
from course.command_line.selfcheck import check_notebook

ALL = sorted(path.name for path in UNITS.iterdir() if (path / "notebook.py").is_file())
QUICK = {("00_orientation", "wrong 0"), ("00_orientation", "right 0"), ("02_attention", "right 0")}
TENTH = 10  # one in so many is judged by `--full` too: it is the class's judge without walls
DIFFERS: dict[tuple[str, str], str] = {}  # (unit, exercise) -> why its judgements may differ


def answers(unit, kind):
    """exercise -> its right styles or its known mistakes, in order."""
    found = unit_of(unit).rights if kind == "right" else unit_of(unit).misconceptions
    ordered = sorted(found, key=lambda answer: answer.exercise)
    return {name: list(of) for name, of in groupby(ordered, lambda answer: answer.exercise)}


def notebooks(unit):
    """(name, exercise -> source) of every notebook of the unit."""
    for kind in ("right", "wrong"):
        of = answers(unit, kind)
        for number in range(max(map(len, of.values()), default=0)):
            yield f"{kind} {number}", {name: list_[number].source for name, list_ in of.items() if number < len(list_)}


def parts():
    for unit in ALL:
        for number, (name, _) in enumerate(notebooks(unit)):
            quick = (unit, name) in QUICK
            whole = quick or number % TENTH == 0
            yield pytest.param(unit, name, whole, id=f"{unit}-{name}", marks=() if quick else pytest.mark.slow)


@pytest.fixture(scope="module")
def graded(request, tmp_path_factory):
    """unit -> its class, with the notebooks that this run asks for, graded once."""
    asked = [item.callspec.params for item in request.session.items if item.function is test_the_three_agree]
    wanted = {(each["unit"], each["name"]) for each in asked}
    made = {}

    def of(unit):
        if unit not in made:
            handed = [_hand_in(unit, name, written) for name, written in notebooks(unit) if (unit, name) in wanted]
            made[unit] = Class(tmp_path_factory.mktemp(unit), unit, handed).run()
        return made[unit]

    return of


def _hand_in(unit, name, written):
    solved = tuple(exercise for exercise in unit_of(unit).exercises if exercise not in written)
    return Attack(name.replace(" ", "_"), 0, name, write=written, solved=solved, limits=Limits())


def told(verdict):
    """What the three must agree on."""
    named = {row.name: row.misconception.name if row.misconception else "" for row in verdict.exercises}
    return {row.name: (_state(row), named[row.name]) for row in verdict.exercises}


def agree(row, graded, alone):
    """Does the notebook say of an exercise what the grade says, or no name where only the grade could give one?"""
    on_the_courses_own = row.reason.startswith("judged with the course's")
    return alone == graded or (on_the_courses_own and alone[1] in ("", graded[1]))


def _state(row):
    """How much of it holds may differ, that something does not may not."""
    return "wrong" if row.state in ("partial", "failed") else row.state


@pytest.mark.parametrize(("unit", "name", "whole"), list(parts()))
def test_the_three_agree(graded, unit, name, whole):
    student, group = name.replace(" ", "_"), graded(unit)
    path, cases = next((group.folder.submitted / student).rglob("*.ipynb")), ROOT / "assignments" / unit / "cases.npz"
    in_class, alone = told(group.verdicts[student]), told(check_notebook(path, cases))
    asked = [row for row in group.verdicts[student].exercises if (unit, row.name) not in DIFFERS]
    pairs = {row.name: (in_class[row.name], alone[row.name]) for row in asked}
    assert {row.name: pairs[row.name] for row in asked if not agree(row, *pairs[row.name])} == {}
    if whole:
        full = told(judge_notebook(path, cases, 60, lambda line: None))
        assert {row.name: full[row.name] for row in asked} == {row.name: in_class[row.name] for row in asked}
