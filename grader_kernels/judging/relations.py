"""How wrong numbers stand to the right ones: "each is 0.5 times the expected", "shifted by one along dimension 1".

    relation(got, expected, allowed) -> "" or a few words that go on after "the result is wrong in 96 of 96 places; "

Each relation is tried on all numbers and said only when every one of them fits within what is allowed; `of_shapes` does
so for a result whose axes are in another order. A relation that few numbers could fit by chance is not tried: the right
ones have to be several, and different ones. What it is not: a diagnosis. It says what is, and never why.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import torch

FEWEST = 6  # numbers; and so many different ones
SEVERAL = 3  # numbers that are right by more than chance
MOST = 1 << 20  # numbers that are looked at
CLOSE = 1e-4  # of the largest number: a check may allow more, a relation is not said for less
LINES = 64  # slices along a dimension that are looked up one by one


def relation(got: torch.Tensor, expected: torch.Tensor, allowed: float) -> str:
    """The first relation that holds between two float tensors of one shape, of which some numbers differ.

    allowed: the largest difference of two numbers that count as equal. "" when none is found, or when either has a
    number that is not finite.
    """
    if got.shape != expected.shape or not _tell_enough(got, expected):
        return ""
    ours, right = got.detach().double(), expected.detach().double()
    close = max(CLOSE, 4 * torch.finfo(got.dtype).eps) * float(right.abs().max())

    def alike(a: torch.Tensor, b: torch.Tensor, times: float = 1.0) -> bool:
        return bool(((a - b).abs() <= min(allowed, close) * max(1.0, times)).all())

    return next((says for says in _tried(ours, right, got.dtype, alike) if says), "")


def of_shapes(got: torch.Tensor, expected: torch.Tensor, allowed: float) -> str:
    """The same for a result of another shape: the expected numbers with its axes in another order, or in a row."""
    if got.numel() != expected.numel() or not _tell_enough(got, expected):
        return ""
    ours, right = got.detach().double(), expected.detach().double()
    if ours.dim() == right.dim() <= 5:
        for order in itertools.permutations(range(right.dim())):
            moved = right.permute(order)
            if moved.shape == ours.shape and bool(((ours - moved).abs() <= allowed).all()):
                return "it holds the expected numbers with its dimensions in another order"
    if bool(((ours.reshape(-1) - right.reshape(-1)).abs() <= allowed).all()):
        return "it holds the expected numbers, in their order, in another shape"
    return ""


def _tell_enough(got: torch.Tensor, expected: torch.Tensor) -> bool:
    """Are there enough numbers, all of them finite, and enough different ones that are right?"""
    if not FEWEST <= expected.numel() <= MOST:
        return False
    finite = all(bool(torch.isfinite(numbers).all()) for numbers in (got, expected))
    return finite and expected.unique().numel() >= FEWEST


Alike = Callable[..., bool]


def _tried(ours: torch.Tensor, right: torch.Tensor, dtype: torch.dtype, alike: Alike) -> Iterator[str]:
    yield _scaled(ours, right, alike)
    yield _exchanged(ours, right, alike)
    for dim in range(right.dim()):
        yield _along(ours, right, dim, alike)
    yield _by_rows(ours, right, alike)
    yield _in_part(ours, right, alike)
    yield _rounded(ours, right, dtype)


def _scaled(ours: torch.Tensor, right: torch.Tensor, alike: Alike) -> str:
    if not bool(ours.any()):
        return "every number is 0"
    if bool((ours == ours.reshape(-1)[0]).all()):
        return "all numbers are the same"
    if alike(ours, -right):
        return "every number has the opposite sign"
    factor = float((ours * right).sum() / (right * right).sum())
    if abs(factor) > 1e-3 and alike(ours, factor * right, abs(factor)):
        return f"every number is {factor:.4g} times the expected one"
    offset = float((ours - right).mean())
    if alike(ours, right + offset):
        return f"every number is {abs(offset):.4g} too {'large' if offset > 0 else 'small'}"
    size = float(right.abs().max())
    if alike(ours, right * right, 2 * size):
        return "every number is the square of the expected one"
    if bool((right > 0).all()) and alike(ours * ours, right, 2 * float(ours.abs().max())):
        return "every number is the square root of the expected one"
    if bool((right != 0).all()) and _nearly(ours * right, torch.ones_like(right)):
        if alike(ours * right, torch.ones_like(right), float(ours.abs().max()) + size):
            return "every number is 1 divided by the expected one"
    logarithm = right.log() if bool((right > 0).all()) else None
    if logarithm is not None and _nearly(ours, logarithm) and alike(ours, logarithm, 1 / float(right.min())):
        return "every number is the logarithm of the expected one"
    return ""


def _nearly_all(ours: torch.Tensor, right: torch.Tensor) -> bool:
    """Do they differ by little of their size as a whole?"""
    return float((ours - right).norm()) <= 0.02 * float(right.norm())


def _nearly(ours: torch.Tensor, right: torch.Tensor) -> bool:
    """Is each number the other one to three digits? What large numbers are allowed would be anything of small ones."""
    return bool(((ours - right).abs() <= 1e-3 * right.abs().clamp(min=1e-30)).all())


def _exchanged(ours: torch.Tensor, right: torch.Tensor, alike: Alike) -> str:
    for one, other in itertools.combinations(range(right.dim()), 2):
        if right.shape[one] == right.shape[other] > 1 and alike(ours, right.transpose(one, other)):
            return f"it equals the expected with dimensions {one} and {other} exchanged"
    return ""


def _along(ours: torch.Tensor, right: torch.Tensor, dim: int, alike: Alike) -> str:
    length = right.shape[dim]
    if length < 2:
        return ""
    where = f"along dimension {dim}"
    if alike(ours, right.flip(dim)):
        return f"it equals the expected in reverse order {where}"
    for step in (1, -1):
        if alike(ours, right.roll(step, dim)):
            return f"it equals the expected shifted by one {where}, round the end"
        a, b = (ours, right) if step == 1 else (right, ours)
        kept = a.narrow(dim, 1, length - 1), b.narrow(dim, 0, length - 1)
        if length > 2 and kept[0].numel() >= FEWEST and alike(*kept) and kept[0].unique().numel() >= FEWEST:
            belongs = "i - 1" if step == 1 else "i + 1"
            return f"it equals the expected shifted by one {where}: place i holds what belongs to {belongs}"
    if _nearly_all(ours, right.cumsum(dim)) and alike(ours, right.cumsum(dim), length):
        return f"it equals the sums of the expected from the first to each place {where}"
    if _nearly_all(ours.cumsum(dim), right) and alike(ours.cumsum(dim), right, length):
        return f"its sums from the first to each place {where} equal the expected"
    return _another_order(ours, right, dim, where, alike)


def _another_order(ours: torch.Tensor, right: torch.Tensor, dim: int, where: str, alike: Alike) -> str:
    """The same slices, each of them once, in another order."""
    length = right.shape[dim]
    a, b = (t.movedim(dim, 0).reshape(length, -1) for t in (ours, right))
    if not 3 <= length <= LINES:
        return ""
    places = set()
    for mine in a:
        fits = [place for place, other in enumerate(b) if alike(mine, other)]
        if len(fits) != 1:
            return ""
        places.add(fits[0])
    return f"it holds the expected slices {where} in another order" if len(places) == length else ""


def _by_rows(ours: torch.Tensor, right: torch.Tensor, alike: Alike) -> str:
    """A factor for each row of the last dimension."""
    if right.dim() < 2 or right.shape[-1] < 3:
        return ""
    size = (right * right).sum(-1, keepdim=True)
    factor = (ours * right).sum(-1, keepdim=True) / torch.where(size == 0, 1.0, size)
    if float(factor.abs().min()) < 1e-3 or not alike(ours, factor * right, float(factor.abs().max())):
        return ""
    ends = float(factor.min()), float(factor.max())
    digits = next((n for n in (3, 6, 9) if f"{ends[0]:.{n}g}" != f"{ends[1]:.{n}g}"), 12)
    spread = " to ".join(f"{end:.{digits}g}" for end in ends)
    return f"each row is the expected one times a number of its own, from {spread}"


def _in_part(ours: torch.Tensor, right: torch.Tensor, alike: Alike) -> str:
    """Right in the first or last slices of a dimension and wrong everywhere in the others."""
    for dim in range(right.dim()):
        length = right.shape[dim]
        if length < 2:
            continue
        same = [alike(ours.select(dim, i), right.select(dim, i)) for i in range(min(length, LINES))]
        if length > LINES or not any(same):
            continue
        first, each = same.index(False), right.numel() // length
        if first * each >= SEVERAL and not any(same[first:]):
            return f"it is right in the first {first} of {length} places along dimension {dim}, and in no later one"
        last = same[::-1].index(False)
        if last * each >= SEVERAL and not any(same[: length - last]):
            return f"it is right in the last {last} of {length} places along dimension {dim}, and in no earlier one"
        if same.count(False) == 1 and length > 2:
            return f"it is wrong only in place {first} along dimension {dim}"
    return ""


def _rounded(ours: torch.Tensor, right: torch.Tensor, dtype: torch.dtype) -> str:
    """The expected numbers with the digits of a shorter type; at least one of four must have lost some."""
    for shorter in (torch.float16, torch.bfloat16, torch.float32):
        if torch.finfo(shorter).eps <= torch.finfo(dtype).eps:
            continue
        if torch.equal(ours, right.to(shorter).double()):
            return f"it is the expected rounded to {str(shorter).removeprefix('torch.')}"
    return ""
