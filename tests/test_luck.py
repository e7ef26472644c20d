"""No right answer is refused by bad luck, on far more secrets than the gates ask."""

import pytest

from autograder.authoring.unit import find_unit
from autograder.proof.luck import refusals

UNITS = [find_unit(name) for name in ("00_orientation", "01_rnn_limits", "02_attention")]
by_name = pytest.mark.parametrize("folder", UNITS, ids=[unit.name for unit in UNITS])


@pytest.mark.slow
@by_name
def test_no_right_answer_is_refused_on_two_hundred_secrets(folder):
    assert list(refusals(folder, 200)) == []
