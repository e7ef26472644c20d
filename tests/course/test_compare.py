"""Comparison: what is refused, what is forgiven."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from course.checking import compare

DTYPES = {torch.float64: torch.float32, torch.float32: torch.float16, torch.float16: torch.bfloat16}


@pytest.mark.parametrize("dtype", list(DTYPES))
@given(seed=st.integers(0, 2**32 - 1), scale=st.sampled_from([0.25, 1.0, 300.0]))
def test_rounding_once_passes_and_one_precision_lower_fails(dtype, seed, scale):
    exact = torch.from_numpy(np.random.default_rng(seed).standard_normal((7, 11)) * scale)
    expected = exact.to(dtype)
    one_ulp = (expected.double() * (1 + compare.UNIT_ROUNDOFF[dtype])).to(dtype)
    assert compare.close(one_ulp, expected) is None
    assert compare.close(exact.to(DTYPES[dtype]).to(dtype), expected) is not None


@pytest.mark.parametrize(
    "got, says",
    [
        (None, "None"),
        (torch.zeros(2, 4), "shape"),
        (torch.zeros(2, 3, dtype=torch.float64), "dtype"),
        (torch.full((2, 3), math.nan), "NaN"),
        ([[0.0] * 3] * 2, "a tensor of shape"),
        (torch.ones(2, 3), "6 of 6 places"),
    ],
)
def test_each_kind_of_difference_is_named(got, says):
    found = compare.close(got, torch.zeros(2, 3))
    assert found is not None and says in " ".join(found)


def test_infinities_must_match_exactly():
    expected = torch.tensor([0.0, -math.inf, 2.0])
    assert compare.close(expected.clone(), expected) is None
    assert compare.close(torch.tensor([0.0, -1e30, 2.0]), expected) is not None
    assert compare.close(torch.tensor([0.0, math.inf, 2.0]), expected) is not None


@pytest.mark.parametrize("expected", [math.inf, -math.inf])
def test_a_number_is_infinite_only_where_it_should_be(expected):
    """Broken on purpose: a limit in proportion to the expected number takes every number for an infinite one."""
    assert compare.close(expected, expected) is None
    assert compare.close(5.0, expected) and compare.close(-expected, expected) and compare.close(math.nan, expected)


def test_a_small_output_is_not_drowned_by_an_absolute_tolerance():
    expected = torch.full((8,), 0.005)
    assert compare.close(expected * 1.1, expected) is not None


def test_condition_widens_in_proportion():
    expected = torch.ones(100)
    got = expected + 1e-4
    assert compare.close(got, expected) is not None
    assert compare.close(got, expected, condition=30) is None


@pytest.mark.parametrize(
    "got, expected",
    [(True, 1), (1, True), ("1", 1), (None, 0), ([1, 2], [1, 3]), ({"a": 1}, {"b": 1}), (3.0, 3), ([1, 2.0], [1, 2]),
     ({"a": np.float64(1)}, {"a": 1}), (torch.tensor(3.0), 3)],
)  # fmt: skip
def test_equal_refuses(got, expected):
    assert compare.equal(got, expected) is not None


@pytest.mark.parametrize("value", [3, True, "x", None, (1, 2), {"a": [1]}, torch.tensor([1, 2])])
def test_equal_accepts_itself(value):
    assert compare.equal(value, value) is None


@pytest.mark.parametrize("got, expected", [(np.int64(3), 3), (torch.tensor(3), 3), (3, 3.0), (np.float32(0.5), 0.5)])
def test_equal_takes_the_numbers_of_other_libraries(got, expected):
    assert compare.equal(got, expected) is None


def test_a_float_where_an_int_is_asked_for_is_told_so():
    found = compare.equal(84.0, 84)
    assert (found.says, found.got, found.expected) == ("the result should be an int, 84", "a float", "an int, 84")


def test_among_takes_each_of_the_options():
    assert compare.among(5, [5, 20]) is None and compare.among(20, [5, 20]) is None
    assert compare.among(12, [5, 20]).expected == "5 or 20"
    assert compare.among(5.0, [5, 20]) is not None and compare.among(None, [5, 20]) is not None


@pytest.mark.parametrize("got", [math.nan, math.inf, 2.1, "1", None, True])
def test_between_refuses_what_is_no_number_in_range(got):
    assert compare.between(got, 1.0, 2.0) is not None
    assert compare.between(1.5, 1.0, 2.0) is None


def test_the_wrong_row_is_shown():
    expected = torch.ones(6, 6).tril()
    got = torch.ones(6, 6).tril(diagonal=1)
    found = compare.close(got, expected)
    assert (found.got, found.expected) == ("1 1 0 0 0 0", "1 0 0 0 0 0") and "[0, 1]" in found.says


@pytest.mark.parametrize(
    "got, expected, says, shown",
    [
        ([1, 2, 9, 4], [1, 2, 3, 4], "wrong, first at [2]", ("1, 2, 9, 4", "1, 2, 3, 4")),
        ("aab", "aaabc", "3 items instead of 5, first wrong at [2]", ("'a', 'a', 'b'", "'a', 'a', 'a', 'b', 'c'")),
        ([], [(b"a", b"b")], "0 items instead of 1", ("nothing", "(b'a', b'b')")),
        ([("a", 1)], [("a", 2)], "wrong, first at [0]", ("('a', 1)", "('a', 2)")),
    ],
)  # fmt: skip
def test_lists_of_tokens_show_where_they_part(got, expected, says, shown):
    found = compare.equal(list(got), list(expected))
    assert says in found.says
    assert (found.got, found.expected) == shown


LONG = list(range(40))


@pytest.mark.parametrize(
    "got, expected, says, shown",
    [
        ([[[*LONG, 7], [1]]], [[[*LONG, 8], [1]]], "result[0][0] is wrong, first at [40]", ("38, 39, 7", "38, 39, 8")),
        ([[LONG, [1]]], [[LONG, [2]]], "result[0][1] is wrong, first at [0]", ("1", "2")),
        ([[LONG, 1.0]], [[LONG, 1]], "result[0][1] should be an int, 1", ("a float", "an int, 1")),
        ("x" * 99 + "a", "x" * 99 + "b", "result is wrong", ("xa'", "xb'")),
        ("x" * 99, "x" * 98, "result is wrong", ("xx'", "xx'")),
        (0.1 + 0.2, 0.3, "result is wrong", ("0.30000000000000004", "0.3")),
        (b"\0" * 99 + b"a", b"\0" * 99 + b"b", "result is wrong", ("x00a'", "x00b'")),
    ],
)  # fmt: skip
def test_what_is_shown_of_two_values_differs(got, expected, says, shown):
    found = compare.equal(got, expected)
    assert says in found.says and found.got != found.expected
    assert found.got.endswith(shown[0]) and found.expected.endswith(shown[1])


@pytest.mark.parametrize("got", [[10**5000], [[[[[1]]]]], [torch.ones(2)], ["x" * 10**6]])
def test_whatever_a_list_holds_the_difference_is_short(got):
    found = compare.equal(got, [1])
    assert found is not None and len(found.got) < 200


def test_minus_zero_is_shown_as_zero():
    found = compare.close(torch.tensor([-0.0, 1.0]), torch.tensor([0.0, 2.0]))
    assert found.got.split()[0] == "0"


def test_results_side_by_side_are_counted_as_people_count():
    h, c = torch.zeros(2, 3), torch.ones(2, 3)
    assert compare.close((h, c), (h, c)) is None
    assert compare.close((h, h), (h, c)).says.startswith("the second of the 2 results is wrong")
    assert compare.close((h[:1], c), (h, c)).says.startswith("the first of the 2 results has the wrong shape")
    assert compare.close([h, h], [h, c]).says.startswith("the result[1] is wrong")
    assert compare.close((h, [h, h]), (h, [h, c])).says.startswith("the second of the 2 results[1] is wrong")
