"""RMS normalisation of every row.

rmsnorm_forward(x, weight, eps=1e-6) -> y

x       (R, C) float32, float16 or bfloat16, any strides; C is any number up to 8192: a row fits in a program
weight  (C,) same dtype, contiguous
eps     a float, added to the mean of the squares
y       (R, C) same dtype, new and contiguous: x / sqrt(mean(x^2) + eps) * weight, the mean along the row

Work in float32 and round once. Read each row once. One launch. More than one program where
there are more than four rows.

Source: Zhang and Sennrich 2019, "Root Mean Square Layer Normalization".
"""

import torch

from grader_kernels.problem import Case, Floor, Settings, normal, power_of_two, strided

SHARE = "More than one program where there are more than four rows."
settings = Settings(launches=1, once=True, share=SHARE)

FORMULA = (
    "Divide by the square root of the mean of the squares, taken over C, with eps under the root; then the weight."
)
TAIL = "C is no power of two: the surplus lanes add nothing to the sum, are not counted in the mean and not stored."
ADDRESS = "Ask x for both of its strides; the result is dense."
HALF = "400 times 400 is no float16: square and add up in float32."
WIDE = 16384  # bytes: no prompt speaks of registers, and a row of 8192 does not fit into those of four warps


def cases(rng, sizes):
    def given(rows, columns, spread=1.0, mean=0.0, dtype=torch.float32):
        x = normal(rng, rows, columns, spread=spread, mean=mean, dtype=dtype)
        return x, normal(rng, columns, mean=1, dtype=dtype)

    def between(low, high):
        return int(sizes.integers(low, high))

    far, far_weight = given(4, between(40, 60), mean=30)
    small, small_weight = given(5, between(40, 60), spread=1e-3)
    small[int(rng.integers(0, 5))] = 0
    x, weight = given(between(5, 9), between(35, 47))
    one, one_weight = given(1, 1)
    one = 0.02 + 0.02 * one.sigmoid()  # so small that it shows where eps stands
    part, part_weight = given(5, between(35, 47), spread=4)
    return [
        Case("a single element", (one, one_weight), points_to=FORMULA),
        Case("rows of a power of two", given(between(9, 17), power_of_two(sizes, 128, 1024)), lean=True, compile=True,
             points_to=FORMULA),
        Case("rows of any length", given(between(4, 8), between(70, 110)), lean=True, points_to=TAIL, weight=3),
        Case("one column more than a power of two", given(between(3, 6), power_of_two(sizes, 32, 512) + 1),
             points_to=TAIL),
        Case("numbers far from zero, of another size in each row",
             (far * torch.tensor([[1.0], [0.1], [-3.0], [20.0]]), far_weight),
             points_to="The mean of x is not subtracted."),
        Case("a row of zeros among small numbers, the launcher's own eps", (small, small_weight), points_to=FORMULA),
        Case("numbers so small that eps decides", given(4, between(40, 60), spread=0.01), {"eps": 1e-3},
             points_to=FORMULA, weight=2),
        Case("a transposed tensor", (strided(x), weight), lean=True, points_to=ADDRESS, weight=2),
        Case("every other column of a wider tensor", (strided(x, "every_other"), weight), lean=True,
             points_to=ADDRESS),
        Case("a part of wider rows, and a large eps", (strided(part, "offset"), part_weight), {"eps": 0.5},
             points_to=ADDRESS),
        Case("float16, numbers near 400", given(3, between(150, 250), mean=400, dtype=torch.float16), points_to=HALF,
             weight=2),
        Case("bfloat16, the longest rows", given(2, between(4097, 8193), mean=1, dtype=torch.bfloat16), stack=WIDE,
             points_to=HALF),
    ]  # fmt: skip


def large(rng):
    x, weight = (normal(rng, *shape, dtype=torch.bfloat16) for shape in ((2048, 4096), (4096,)))
    return Case("2048 rows of 4096 in bfloat16", (x, weight))


def reference(x, weight, eps=1e-6):
    return x / torch.sqrt((x * x).mean(1, keepdim=True) + eps) * weight


def baseline(x, weight, eps=1e-6):
    return reference(x.float(), weight.float(), eps).to(x.dtype)


def operator(x, weight, eps=1e-6):
    return torch.nn.functional.rms_norm(x, weight.shape, weight, eps)


def programs(x, weight, eps=1e-6):
    return 2 if x.shape[0] > 4 else 1


def floor(x, weight, eps=1e-6):
    n = x.numel() * x.element_size()
    w = weight.numel() * weight.element_size()
    why = (
        "every element of x read once and every element of y written once, 2 R C; the C weights are asked for by every "
        "program, but stay in the cache and count once"
    )
    return Floor({"x": n, "weight": w}, {"out": n}, why, resident=("weight",))
