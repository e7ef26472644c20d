"""What a worker says comes back in the judge's words: an honest sentence as it was, and no number of the question."""

import pytest
import torch

from autograder.judging.words import Words

SOURCE = """
class BadInput(ValueError): pass
def f(x, width=3):
    if x.dim() > 7:
        raise BadInput("x must be a matrix")
    return wild_name
"""
WORDS = Words([SOURCE])
X = torch.zeros(31, 47)
ENTRIES = "the parameters and buffers of your module are other ones than expected: "
HONEST = [
    ("raised", "it raised ValueError", "ValueError"),
    ("raised", "it raised ValueError: x must be a matrix", "ValueError"),
    ("raised", "it raised BadInput: x must be a matrix", "BadInput"),
    ("raised", "it raised KeyError: 'x must be a matrix'", "KeyError"),
    ("raised", "it raised NameError: name 'wild_name' is not defined", "NameError"),
    ("raised", "it raised TypeError: f() missing 1 required positional argument: 'width'", "TypeError"),
    ("raised", "it raised RuntimeError: The size of tensor a (31) must match the size of tensor b (47) at "
     "non-singleton dimension 1", "RuntimeError"),
    ("raised", "it raised RuntimeError: mat1 and mat2 shapes cannot be multiplied (31x47 and 31x47)", "RuntimeError"),
    ("raised", "it raised IndexError: index 9 is out of bounds for dimension 0 with size 3", "IndexError"),
    ("raised", "it raised AttributeError: 'Tensor' object has no attribute 'wild_name'", "AttributeError"),
    ("raised", ENTRIES + "it has no `wild_name.0`; `width` has shape (31,) in it, expected (47,)", "other entries: x"),
    ("missing", "`f` is a int, not something to call", ""),
    ("missing", "the BadInput object has no `width`", ""),
    ("bad_value", "the result can't be judged: a BadInput can't be sent", ""),
    ("bad_value", "the result can't be judged: it is larger than 16 MiB", ""),
    ("bad_value", "the result has shape (31, 47), expected (47,)", ""),
    ("not_attempted", "x must be a matrix", "NotImplementedError"),
    ("raised", "it raised ValueError: x must be a matrix (line 5 `raise BadInput(\"x must be a matrix\")`)", ""),
]  # fmt: skip
CARRIES = [
    ("raised", "it raised LEAK", "LEAK", "it raised an exception of its own"),
    ("raised", "it raised ValueError: LEAK", "ValueError", "it raised ValueError"),
    ("raised", "it raised ValueError: x must be a matrix LEAK", "ValueError", "it raised ValueError"),
    ("raised", "LEAK", "ValueError", "it raised ValueError"),
    ("raised", "LEAK", "", "it raised an exception of its own"),
    ("bad_value", "LEAK", "", "it raised an exception of its own"),
    ("not_attempted", "LEAK", "NotImplementedError", "not written yet"),
    ("raised", "it raised NameError: name 'LEAK' is not defined", "NameError", "name '…' is not defined"),
    ("missing", "the LEAK object can't be called", "", "the … object can't be called"),
    ("bad_value", "the result can't be judged: a LEAK can't be sent", "", "a … can't be sent"),
    ("bad_value", "the result has shape (8675309, 3), expected (47,)", "", "shape (…, 3), expected (47,)"),
    ("raised", "it raised RuntimeError: index 8675309 is out of bounds for dimension 0 with size 47", "RuntimeError",
     "index … is out of bounds for dimension 0 with size 47"),
    ("raised", ENTRIES + "it has `w.8675309`, which should not be there; LEAK", "other entries: x",
     ENTRIES + "it has `…`, which should not be there"),
    ("raised", "it raised ValueError: x must be a matrix (line 5 `LEAK`)", "ValueError",
     "it raised ValueError: x must be a matrix"),
    ("raised", "it raised ValueError: x must be a matrix (line 8675309 `x`)", "ValueError", "x must be a matrix"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "said", "exception"), HONEST)
def test_an_honest_sentence_stays(kind, said, exception):
    assert WORDS.sentence(kind, said, "" if "other" in exception else exception, [X]) == said


@pytest.mark.parametrize(("kind", "said", "exception", "becomes"), CARRIES)
def test_a_sentence_carries_nothing_of_its_own(kind, said, exception, becomes):
    told = WORDS.sentence(kind, said.replace("LEAK", "n8675309"), exception.replace("LEAK", "n8675309"), [X])
    assert becomes in told and "8675309" not in told and len(told) < 500


def test_pieces_are_known_each_by_itself():
    said = "`wild_name` should be called `weight`; loaded by shape and order; n8675309; `n1` should be called `width`"
    told = "`wild_name` should be called `weight`; loaded by shape and order; `…` should be called `width`"
    assert WORDS.pieces(said, {"weight": X}, {"weight"}) == told


def test_words_of_a_hostile_length_are_read_quickly():
    for text in ("a" * 100_000, "`" * 100_000, "it has no " + "`a`, " * 50_000, "(" * 100_000, "; " * 100_000):
        assert len(WORDS.sentence("raised", text[:2000])) < 500 and len(WORDS.pieces(text)) <= 400
