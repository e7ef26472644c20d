"""What is said of wrong numbers: each relation is found where it holds, and never where it does not."""

import itertools

import pytest
import torch

from grader_kernels.judging.relations import of_shapes, relation

ALLOWED = 1e-5
SHAPES = [(24,), (4, 6), (5, 5), (2, 3, 4), (3, 4, 4), (2, 2, 3, 5)]

MADE = {
    "every number is 0": torch.zeros_like,
    "all numbers are the same": lambda x: torch.full_like(x, 0.3),
    "every number has the opposite sign": torch.neg,
    "every number is 0.5 times the expected one": lambda x: 0.5 * x,
    "every number is 8 times the expected one": lambda x: 8 * x,
    "every number is 0.25 too large": lambda x: x + 0.25,
    "every number is 3 too small": lambda x: x - 3,
    "every number is the square of the expected one": torch.square,
    "every number is 1 divided by the expected one": torch.reciprocal,
    "it equals the expected in reverse order along dimension 0": lambda x: x.flip(0),
    "it equals the expected shifted by one along dimension 0, round the end": lambda x: x.roll(1, 0),
    "it equals the sums of the expected from the first to each place along dimension 0": lambda x: x.cumsum(0),
    "it is the expected rounded to float16": lambda x: x.half().float(),
    "it is the expected rounded to bfloat16": lambda x: x.bfloat16().float(),
}
OF_POSITIVE = {
    "every number is the square root of the expected one": torch.sqrt,
    "every number is the logarithm of the expected one": torch.log,
}


def numbers(shape, seed, positive=False):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    x = torch.where(x.abs() < 0.05, 0.05, x)
    return x.abs() if positive else x


@pytest.mark.parametrize("says", MADE)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_relation_is_found(says, shape):
    x = numbers(shape, 1)
    same = "it equals the expected in reverse order along dimension 0"  # as shifting, of two places
    assert relation(MADE[says](x), x, ALLOWED) == (same if shape[0] == 2 and "shifted" in says else says)


@pytest.mark.parametrize("says", OF_POSITIVE)
def test_a_relation_of_positive_numbers_is_found(says):
    x = numbers((4, 6), 1, positive=True)
    assert relation(OF_POSITIVE[says](x), x, ALLOWED) == says


def test_dimensions_that_were_exchanged():
    x = numbers((3, 4, 4), 2)
    assert relation(x.mT, x, ALLOWED) == "it equals the expected with dimensions 1 and 2 exchanged"
    says = "it holds the expected numbers with its dimensions in another order"
    assert of_shapes(x.movedim(0, 2), x, ALLOWED) == says
    assert of_shapes(x.flatten(), x, ALLOWED) == "it holds the expected numbers, in their order, in another shape"
    assert of_shapes(x.flatten().flip(0), x, ALLOWED) == ""


def test_what_was_shifted_and_lost():
    x = numbers((4, 6), 3)
    moved = torch.cat([torch.zeros(1, 6), x[:-1]])
    says = "it equals the expected shifted by one along dimension 0: place i holds what belongs to i "
    assert relation(moved, x, ALLOWED) == says + "- 1"
    assert relation(torch.cat([x[1:], torch.ones(1, 6)]), x, ALLOWED) == says + "+ 1"


def test_slices_in_another_order_and_rows_with_a_factor_of_their_own():
    x = numbers((5, 4), 4)
    other = "it holds the expected slices along dimension 0 in another order"
    assert relation(x[[2, 0, 1, 4, 3]], x, ALLOWED) == other
    found = relation(x * torch.tensor([[1.0], [2.0], [0.5], [3.0], [1.5]]), x, ALLOWED)
    assert found == "each row is the expected one times a number of its own, from 0.5 to 3"
    near = torch.tensor([[1.0], [1.0001], [1.0002], [1.0], [1.0]])
    assert relation(x * near, x, 1e-6).endswith("from 1 to 1.0002")


def test_what_is_right_in_part():
    x, wrong = numbers((5, 4), 5), numbers((5, 4), 6)
    assert relation(torch.cat([x[:1], wrong[1:]]), x, ALLOWED) == (
        "it is right in the first 1 of 5 places along dimension 0, and in no later one"
    )
    assert relation(torch.cat([wrong[:3], x[3:]]), x, ALLOWED) == (
        "it is right in the last 2 of 5 places along dimension 0, and in no earlier one"
    )
    middle = x.clone()
    middle[2] = wrong[2]
    assert relation(middle, x, ALLOWED) == "it is wrong only in place 2 along dimension 0"


@pytest.mark.parametrize(
    "expected", [torch.zeros(4, 6), torch.ones(3, 3), torch.tensor([1.0, 2.0, 1.0, 2.0, 1.0, 2.0, 1.0]), torch.ones(3)]
)
def test_nothing_is_said_of_numbers_that_could_fit_by_chance(expected):
    assert relation(expected * 2, expected, ALLOWED) == ""


def test_nothing_is_said_beside_nan_and_infinity():
    x = numbers((4, 6), 1)
    for odd in (float("nan"), float("inf")):
        assert relation(torch.where(x > 1, odd, 2 * x), x, ALLOWED) == ""
        assert relation(2 * x, torch.where(x > 1, odd, x), ALLOWED) == ""


def holds(found, got, expected):
    """What can still be true when one number is off, looked up place by place."""
    words = found.replace(",", "").replace(":", "").split()
    dim = int(words[words.index("dimension") + 1])
    slices = zip(got.unbind(dim), expected.unbind(dim), strict=True)
    same = [torch.allclose(a, b, rtol=0, atol=ALLOWED) for a, b in slices]
    if "wrong only" in found:
        return [i for i, right in enumerate(same) if not right] == [int(words[words.index("place") + 1])]
    if "shifted" in found:
        step = -1 if found.endswith("- 1") else 1
        places = range(1, len(same)) if step == -1 else range(len(same) - 1)
        pairs = ((got.select(dim, i), expected.select(dim, i + step)) for i in places)
        return "round" not in found and all(torch.allclose(a, b, rtol=0, atol=ALLOWED) for a, b in pairs)
    count = int(words[words.index("of") - 1])
    if "first" in found:
        return all(same[:count]) and not any(same[count:])
    return "last" in found and all(same[-count:]) and not any(same[:-count])


TRIES = {False: 3_000, True: 100_000}


@pytest.mark.parametrize("many", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["some", "100,000"])
def test_nothing_is_said_that_does_not_hold(many):
    """Unrelated numbers, and numbers of which all but one stand in a relation."""
    makers = [*MADE.items(), *OF_POSITIVE.items()]
    for number, shape, (says, make) in zip(
        range(TRIES[many]), itertools.cycle(SHAPES), itertools.cycle(makers), strict=False
    ):
        x = numbers(shape, number, positive=says in OF_POSITIVE)
        unrelated = numbers(shape, number + 1_000_000)
        assert relation(unrelated, x, ALLOWED) == ""
        broken = make(x).clone()
        at = number % broken.numel()
        broken.view(-1)[at] += 0.5 + 0.5 * float(broken.view(-1)[at].abs())
        found = relation(broken, x, ALLOWED)
        assert found == "" or holds(found, broken, x), (says, found)


def test_a_product_in_half_precision_is_not_too_far_for_a_relation():
    x = numbers((8, 8), 7).half()
    assert relation((0.5 * x.float()).half(), x.float(), 1e-3) == "every number is 0.5 times the expected one"
