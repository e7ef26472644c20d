"""No right answer is refused by bad luck: every unit, every exercise, every right style, on many secrets."""

import pytest

from autograder.authoring.unit import Unit, unit_folders
from autograder.proof.luck import refusals

WHOLE, TENTH = 200, 20
EXERCISES = [
    pytest.param(folder, exercise, id=f"{folder.name}-{exercise}")
    for folder in unit_folders()
    for exercise in Unit.load(folder).exercises
]
by_exercise = pytest.mark.parametrize(("folder", "exercise"), EXERCISES)


@by_exercise
def test_no_right_answer_is_refused(folder, exercise):
    assert list(refusals(folder, TENTH, [exercise])) == []


@pytest.mark.slow
@by_exercise
def test_no_right_answer_is_refused_on_two_hundred_secrets(folder, exercise):
    assert list(refusals(folder, WHOLE, [exercise])) == []
