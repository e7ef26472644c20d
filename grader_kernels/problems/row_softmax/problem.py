"""Softmax of every row.

row_softmax(x, block=128) -> y

x      (R, C) float32 or float16, any strides; C may be larger than block
block  columns that a program holds at once, a power of two; use it as the width of your tiles
y      (R, C) of the same dtype, a new contiguous tensor: exp(x - m) / sum(exp(x - m)), m and sum along the row

The kernel works in float32. One launch.
"""

import torch

from grader_kernels.problem import Case, Floor, Settings, normal, strided

settings = Settings(launches=1)


def cases(rng, sizes):
    spiked = normal(rng, 3, 75)
    spiked[:, 70] = 9.0
    far = normal(rng, 4, 50, spread=3) + torch.tensor([[-500.0], [300.0], [-90.0], [0.0]])
    return [
        Case("a single element", (normal(rng, 1, 1),), {"block": 16}),
        Case("rows that fill a block exactly", (normal(rng, 3, 64, spread=3),), {"block": 64}, lean=True, slack=1.0,
             compile=True, points_to="This is the plain case: check the formula and the address of every column."),
        Case("rows wider than a block, with a ragged tail", (normal(rng, 5, 105, spread=3),), {"block": 32},
             lean=True, slack=2.0, weight=3,
             points_to="Lanes past the end of the row must lose every maximum and add nothing to the sum."),
        Case("rows narrower than a block", (normal(rng, 4, 13, spread=3) - 8,), {"block": 32},
             points_to="Lanes past the end of the row must lose every maximum and add nothing to the sum."),
        Case("one column more than a block", (normal(rng, 3, 33),), {"block": 32}),
        Case("the maximum stands in the last block", (spiked,), {"block": 16},
             points_to="A maximum found later changes everything that was summed before."),
        Case("rows near -500 and near 300", (far,), {"block": 64}, weight=2,
             points_to="exp overflows above 88 and underflows below -103: subtract the row's maximum first."),
        Case("a transposed tensor", (strided(normal(rng, 6, 41, spread=3), "transposed"),), {"block": 16},
             points_to="Ask the tensor for both of its strides."),
        Case("every other column of a wider tensor", (strided(normal(rng, 6, 41, spread=3), "every_other"),),
             {"block": 16}, points_to="Ask the tensor for both of its strides."),
        Case("float16", (_tiny_terms(rng),), {"block": 16}, weight=2,
             points_to="Add up in float32: a float16 sum stops growing."),
    ]  # fmt: skip


def _tiny_terms(rng):
    """16 large terms, then 249 blocks of 0.002 each: too small for a float16 sum near 14, whose steps are 0.0078."""
    x = torch.from_numpy(0.3 * rng.random((1, 4000)))
    x[:, 16:] -= 9.3
    return x.half()


def reference(x, block=128):
    return torch.softmax(x, 1)


def floor(x, block=128):
    n = x.numel() * x.element_size()
    return Floor({"x": n}, {"out": n}, "every element of x is read once and every element of y written once: 2 R C")
