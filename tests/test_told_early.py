"""Wrong answers that nobody has catalogued: they lose points, and the notebook has shown it before.

tests/answers/ holds answers of readers who saw the prompts only. Not here: misconceptions, of which the gates ask this.
"""

import functools
from pathlib import Path

import pytest

from autograder.authoring import recording
from autograder.authoring.answers import read_answers
from autograder.authoring.unit import Unit, unit_folders
from autograder.proof.gates import green, judge_local

ANSWERS = Path(__file__).parent / "answers"
UNITS = [folder for folder in unit_folders() if (ANSWERS / f"{folder.name}.py").is_file()]
SECRETS = 3
by_name = pytest.mark.parametrize("folder", UNITS, ids=[unit.name for unit in UNITS])


@functools.cache
def judged(folder):
    """For each answer its name, whether the notebook shows it as right, and its best score as a share of the points."""
    unit, found = Unit.load(folder), []
    solutions = {name: unit.solution_source(name) for name in unit.exercises}
    answers = read_answers(ANSWERS / f"{folder.name}.py", "wrong", solutions)
    for check, made, solved in recording.recorded(unit, {answer.exercise for answer in answers}):
        for answer in (each for each in answers if each.exercise == check.name):
            namespaces = [recording.alternative(answer, solved) for _ in range(SECRETS)]
            scores = [judge_local(check, made, each, seed).score for seed, each in enumerate(namespaces)]
            shown = green(check, made, recording.alternative(answer, solved))
            found.append((f"{check.name}.{answer.name}", shown, max(scores) / made.points))
    return found


@by_name
def test_the_notebook_shows_it(folder):
    assert [name for name, shown, _ in judged(folder) if shown] == []


@by_name
def test_no_answer_keeps_all_points(folder):
    assert [name for name, _, share in judged(folder) if share == 1] == []
