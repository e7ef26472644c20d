"""Softmax of every row.

row_softmax(x, block=128) -> y

x      (R, C) float32 or float16, any strides; C may be far larger than block
block  columns that a program holds at once, a power of two; use it as the width of your tiles
y      (R, C) of the same dtype, new and contiguous: exp(x - m) / sum(exp(x - m)), m and sum along the row

The kernel works in float32. One launch. More than one program where there are more than four rows. A row is read at
most three times and written once.
"""

import torch

from grader_kernels.problem import Case, Floor, Settings, normal, power_of_two, strided

SHARE = "More than one program where there are more than four rows."
settings = Settings(launches=1, block=True, share=SHARE)

TAIL = "Lanes past the end of the row must lose every maximum and add nothing to the sum."
STRIDES = "Ask the tensor for both of its strides."
THREE_WALKS = 2.0  # x read three times and y written once: 4 R C elements, and the floor is 2 R C


def cases(rng, sizes):
    def between(low, high):
        return int(sizes.integers(low, high))

    full, wide = power_of_two(sizes, 32, 128), power_of_two(sizes, 16, 64)
    spiked = normal(rng, 3, 64 + between(3, 15))
    spiked[:, -2] = 9.0
    far = normal(rng, 4, between(38, 60), spread=3)
    far[:, -1] = far.amax(1) + 1
    far += torch.tensor([[-12000.0], [300.0], [-90.0], [0.0]])
    far = torch.cat([far, 1e8 * far[3:] - 3e9])
    several, one_more, offset = (
        _last_is_largest(normal(rng, *shape, spread=3))
        for shape in ((between(5, 8), between(35, 46)), (between(4, 7), 32 * between(1, 4) + 1), (3, between(140, 200)))
    )
    return [
        Case("a single element", (normal(rng, 1, 1),), {"block": 16}),
        Case("rows that fill a block exactly", (normal(rng, between(3, 6), full, spread=3),), {"block": full},
             lean=True, slack=THREE_WALKS, compile=True,
             points_to="This is the plain case: check the formula and the address of every column."),
        Case("rows wider than a block, with a ragged tail",
             (normal(rng, between(5, 8), wide * between(3, 5) + between(3, wide - 1), spread=3),), {"block": wide},
             lean=True, slack=THREE_WALKS, compile=True, weight=3, points_to=TAIL),
        Case("rows narrower than a block, and far below zero",
             (normal(rng, between(3, 6), between(9, 15), spread=3, mean=-200),), {"block": 32}, points_to=TAIL),
        Case("one column more than full blocks", (one_more,), {"block": 32},
             points_to=TAIL),
        Case("the maximum stands in the last block", (spiked,), {"block": 16}, weight=2,
             points_to="A maximum found later changes everything that was summed before."),
        Case("rows near -12,000, near 300 and below -10^9", (far,), {"block": 32}, weight=6,
             points_to="exp overflows above 88 and underflows below -103: subtract the row's maximum first."),
        Case("a transposed tensor", (strided(several, "transposed"),), {"block": 16}, points_to=STRIDES),
        Case("every other column of a wider tensor", (strided(several, "every_other"),), {"block": 16},
             points_to=STRIDES),
        Case("rows that begin inside of wider ones, the launcher's own block",
             (strided(offset, "offset"),), points_to=STRIDES),
        Case("float16", (_tiny_terms(rng, 16 * between(200, 250)),), {"block": 16}, weight=2,
             points_to="Add up in float32: a float16 sum stops growing."),
    ]  # fmt: skip


def _last_is_largest(x):
    """In the first row: a running sum that is not rescaled shows on every seed."""
    x[0, -1] = x[0].max() + 1
    return x


def _tiny_terms(rng, columns):
    """16 large terms, then blocks of 0.002 each: too small for a float16 sum near 18, whose steps are 0.0156."""
    x = torch.from_numpy(0.3 * rng.random((1, columns)))
    x[:, 16:] -= 9.3
    return x.half()


def large(rng):
    return Case("4096 rows of 1024", (normal(rng, 4096, 1024, spread=3),), {"block": 1024})


def reference(x, block=128):
    return torch.softmax(x, 1)


def programs(x, block=128):
    return 2 if x.shape[0] > 4 else 1


def floor(x, block=128):
    n = x.numel() * x.element_size()
    return Floor({"x": n}, {"out": n}, "every element of x is read once and every element of y written once: 2 R C")
