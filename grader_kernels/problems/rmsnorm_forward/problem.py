"""RMS normalisation of every row.

rmsnorm_forward(x, weight, eps=1e-6) -> y

x       (R, C) float32, float16 or bfloat16, any strides; C is any number up to 8192: a row fits in a program
weight  (C,) same dtype, contiguous
eps     a float, added to the mean of the squares
y       (R, C) same dtype, new and contiguous: x / sqrt(mean(x^2) + eps) * weight, the mean along the row

Work in float32 and round once. Read each row once. One launch.

Source: Zhang and Sennrich 2019, "Root Mean Square Layer Normalization".
"""

import torch

from grader_kernels.problem import Case, Floor, Settings, normal, strided

settings = Settings(launches=1)

FORMULA = (
    "Divide by the square root of the mean of the squares, taken over C, with eps under the root; then the weight."
)
TAIL = "C is no power of two: the surplus lanes add nothing to the sum, are not counted in the mean and not stored."
ADDRESS = "Ask x for both of its strides; the result is dense."
HALF = "400 times 400 is no float16: square and add up in float32."


def cases(rng, sizes):
    def given(rows, columns, spread=1.0, mean=0.0, dtype=torch.float32):
        x = normal(rng, rows, columns, spread=spread, mean=mean, dtype=dtype)
        return x, normal(rng, columns, mean=1, dtype=dtype)

    x, weight = given(5, 45)
    x[2] = 0
    turned, every_other = given(6, 40), given(6, 40)
    return [
        Case("a single element", given(1, 1), points_to=FORMULA),
        Case("rows of a power of two", given(9, 512), lean=True, compile=True, points_to=FORMULA),
        Case("rows of any length", given(5, 75), lean=True, points_to=TAIL, weight=2),
        Case("one column more than a power of two", given(4, 65), points_to=TAIL),
        Case("numbers far from zero", given(4, 50, mean=30), points_to="The mean of x is not subtracted."),
        Case("a row of zeros", (x, weight), points_to=FORMULA),
        Case("numbers so small that eps decides", given(4, 48, spread=0.01), {"eps": 1e-3}, points_to=FORMULA,
             weight=2),
        Case("a transposed tensor", (strided(turned[0]), turned[1]), points_to=ADDRESS),
        Case("every other column of a wider tensor", (strided(every_other[0], "every_other"), every_other[1]),
             points_to=ADDRESS),
        Case("float16, numbers near 400", given(3, 200, mean=400, dtype=torch.float16), points_to=HALF, weight=2),
        Case("bfloat16, long rows", given(2, 3000, dtype=torch.bfloat16), points_to=HALF),
    ]  # fmt: skip


def reference(x, weight, eps=1e-6):
    return x / torch.sqrt((x * x).mean(1, keepdim=True) + eps) * weight


def baseline(x, weight, eps=1e-6):
    return reference(x.float(), weight.float(), eps).to(x.dtype)


def floor(x, weight, eps=1e-6):
    n = x.numel() * x.element_size()
    w = weight.numel() * weight.element_size()
    why = (
        "every element of x read once and every element of y written once, 2 R C; the C weights are asked for by every "
        "program, but stay in the cache and count once"
    )
    return Floor({"x": n, "weight": w}, {"out": n}, why, resident=("weight",))
