"""No right answer is refused by bad luck: every unit, every exercise, every right style, on many secrets."""

import pytest

from autograder.authoring.unit import unit_folders
from autograder.proof.luck import refusals

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
