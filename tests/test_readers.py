"""Answers of fresh readers, who saw a released notebook and no check: `autograder.proof.readers` judges them.

A wrong one loses points on every secret and the notebook has shown it before; a right one is full on every secret. What
still goes wrong is named in OPEN, and nothing stands there that is judged as it should be. CI asks every twelfth
answer, `make test-all` all of them. Not here: misconceptions and right styles that are catalogued, of which the gates
ask this.
"""

import pytest

from autograder.authoring.unit import Unit, unit_folders
from autograder.proof.readers import ANSWERS, told

UNITS = [folder for folder in unit_folders() if (ANSWERS / folder.name).is_dir()]
OPEN = {
    "embedding_gather.small_id_type": "32 bits overflow in tables of 2^31 numbers, which no check can hold",
    "gradient_norms_by_depth.callers_weights_marked": "requires_grad on an argument is no change of its numbers",
    "greedy_decode.encoder_records": "what autograd records inside of a call shows in its own process only",
    "repaired_masking.complex_passes": "complex numbers don't cross to the sandbox",
    "rope_inplace.returns_a_view": "a view of x is x for whoever looks at its numbers",
    "residual_rmsnorm.y_from_half_product": "one rounding too many lies within what two ways of adding differ by",
    "rope_inplace.autotune_turns_twice": "autotune is not measured here, so nothing is turned twice",
    "Transformer.xavier_over_everything": "how widely new embeddings spread shows in many numbers; a case sees one",
    "objectives_finding.all_pieces_instead_of_figures": "another run finds that share of the figures",
    "saturation_finding.softmax_queries": "of random queries and keys both softmaxes have the same entropies",
}
by_name = pytest.mark.parametrize("folder", UNITS, ids=[unit.name for unit in UNITS])


@by_name
def test_readers_answers_are_judged_as_they_should_be_and_told_why(folder):
    """A part of them: all take an hour of processor time."""
    held(folder, secrets=1, every=12)


@pytest.mark.slow
@by_name
def test_every_reader_s_answer_is_judged_as_it_should_be_and_told_why(folder):
    rows = held(folder, secrets=2)
    assert [name for name in OPEN if name in rows and rows[name].holds] == [], "mended: take it out of OPEN"


def held(folder, **how):
    rows = {f"{row.exercise}.{row.answer}": row for row in told(Unit.load(folder), **how)}
    assert {name for name, row in rows.items() if not row.holds} - OPEN.keys() == set()
    assert {name for name, row in rows.items() if row.share < 1 and not any(row.says)} - OPEN.keys() == set()
    return rows
