"""No right answer is refused by bad luck: every unit, every exercise, every right style, on many secrets."""

import pytest

from autograder.authoring.unit import unit_folders
from autograder.proof.luck import few_inputs, refusals

SECRETS = 20
OF_KERNELS = 5  # they take ten times as long as the rest
WHOLE = 200
by_unit = pytest.mark.parametrize("folder", unit_folders(), ids=lambda folder: folder.name)


@by_unit
def test_no_right_answer_is_refused(folder):
    assert list(refusals(folder, SECRETS, of_kernels=OF_KERNELS)) == []


@pytest.mark.slow
@by_unit
def test_no_right_answer_is_refused_on_two_hundred_secrets(folder):
    assert list(refusals(folder, WHOLE)) == []


@pytest.mark.slow
@by_unit
def test_no_case_is_drawn_twice_on_a_hundred_secrets(folder):
    """One pair alike is luck where there are 5,000 possible inputs, and nearly sure where there are 1,000."""
    often = [(name, title, drawn) for name, title, drawn in few_inputs(folder, 100) if drawn < 99]
    assert often == []
