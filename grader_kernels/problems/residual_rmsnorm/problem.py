"""Add to the residual stream and normalise the sum: two results from one pass.

residual_rmsnorm(x, residual, weight, eps=1e-6) -> (y, total)

x         (R, C) float32, float16 or bfloat16, any strides; C is any number up to 8192: a row fits in a program
residual  (R, C) same dtype, any strides; it belongs to the caller and stays as it is
weight    (C,) same dtype, contiguous
eps       a float, added to the mean of the squares
y         (R, C) same dtype, new and contiguous: total / sqrt(mean(total^2) + eps) * weight, the mean along the row
total     (R, C) same dtype, new and contiguous: x + residual, the residual stream of the next layer

Work in float32; y comes from the sum as it is before or after rounding. Read each row once. One launch.
More than one program where there are more than four rows.
"""

import torch

from grader_kernels.problem import Case, Floor, Settings, normal, power_of_two, strided

SHARE = "More than one program where there are more than four rows."
settings = Settings(launches=1, share=SHARE)

FORMULA = "First the sum, then its root mean square: y and total both come from x + residual. y is the first result."
TAIL = "C is no power of two: the surplus lanes add nothing to the sum, are not counted in the mean and not stored."
ADDRESS = "x and residual each have strides of their own; both results are dense."
HALF = "Square and add up in float32."
WIDE = 16384  # bytes: no prompt speaks of registers, and a row of 8192 does not fit into those of four warps


def cases(rng, sizes):
    def given(rows, columns, spread=1.0, mean=0.0, dtype=torch.float32):
        x, residual = (normal(rng, rows, columns, spread=spread, mean=mean, dtype=dtype) for _ in range(2))
        return x, residual, normal(rng, columns, mean=1, dtype=dtype)

    def between(low, high):
        return int(sizes.integers(low, high))

    small, cancelling, small_weight = given(5, between(40, 60), spread=1e-3)
    row = int(rng.integers(0, 5))
    cancelling[row] = -small[row]
    x, residual, weight = given(6, between(35, 47))
    one, _, one_weight = (t.abs() + 0.5 for t in given(1, 1))
    other = -one - 0.02  # a sum of the other sign, so small that it shows where eps stands
    part, whole, w = given(5, between(35, 47), spread=4)
    return [
        Case("a single element", (one, other, one_weight), points_to=FORMULA),
        Case("rows of a power of two", given(between(5, 9), power_of_two(sizes, 128, 1024)), lean=True, compile=True,
             points_to=FORMULA),
        Case("rows of any length", given(between(4, 8), between(70, 110)), lean=True, points_to=TAIL, weight=3),
        Case("one column more than a power of two", given(between(3, 6), power_of_two(sizes, 32, 512) + 1),
             points_to=TAIL),
        Case("a row that cancels, small numbers, the launcher's own eps", (small, cancelling, small_weight),
             points_to=FORMULA),
        Case("numbers so small that eps decides", given(4, between(40, 60), spread=0.01), {"eps": 1e-3},
             points_to=FORMULA, weight=2),
        Case("x every other column, residual transposed", (strided(x, "every_other"), strided(residual), weight),
             points_to=ADDRESS),
        Case("x transposed, residual every other column", (strided(x), strided(residual, "every_other"), weight),
             points_to=ADDRESS),
        Case("x a part of wider rows, and a large eps", (strided(part, "offset"), whole, w), {"eps": 0.5},
             points_to=ADDRESS),
        Case("float16, numbers near 200", given(3, between(150, 250), mean=200, dtype=torch.float16), points_to=HALF,
             weight=2),
        Case("bfloat16, the longest rows", given(2, between(4097, 8193), dtype=torch.bfloat16), stack=WIDE,
             points_to=HALF),
    ]  # fmt: skip


def large(rng):
    x, residual = (normal(rng, 1024, 4096, dtype=torch.bfloat16) for _ in range(2))
    return Case("1024 rows of 4096 in bfloat16", (x, residual, normal(rng, 4096, dtype=torch.bfloat16)))


def reference(x, residual, weight, eps=1e-6):
    total = x + residual
    return total / torch.sqrt((total * total).mean(1, keepdim=True) + eps) * weight, total


def baseline(x, residual, weight, eps=1e-6):
    """y from the rounded sum: the less precise of the two ways that the task allows."""
    total = x + residual
    return reference(total.float(), torch.zeros_like(total).float(), weight.float(), eps)[0].to(x.dtype), total


def operator(x, residual, weight, eps=1e-6):
    total = x + residual
    return torch.nn.functional.rms_norm(total, weight.shape, weight, eps), total


def programs(x, residual, weight, eps=1e-6):
    return 2 if x.shape[0] > 4 else 1


def floor(x, residual, weight, eps=1e-6):
    n = x.numel() * x.element_size()
    w = weight.numel() * weight.element_size()
    why = (
        "every element of x and residual read once, every element of y and total written once: 4 R C; the C weights "
        "are asked for by every program, but stay in the cache and count once"
    )
    return Floor({"x": n, "residual": n, "weight": w}, {"out 0": n, "out 1": n}, why, resident=("weight",))
