"""The backward pass of RMS normalisation: the gradients of x and of the weight.

rmsnorm_backward(dy, x, weight, eps=1e-6, programs=4) -> (dx, dweight)

dy        (R, C) float32, float16 or bfloat16, any strides: the gradient of y = x / sqrt(mean(x^2) + eps) * weight
x         (R, C) same dtype, any strides; C is any number up to 8192: a row fits in a program
weight    (C,) same dtype, contiguous
programs  how many programs share the R rows, at least 1, possibly more than R: then R of them are enough
dx        (R, C) same dtype, new and contiguous
dweight   (C,) same dtype, new and contiguous: the sum over all rows of dy * x / sqrt(mean(x^2) + eps)

Work in float32 and round once. Read each row of dy and x once: the root mean square is worked out again, that costs no
bytes. Every row adds to dweight, so the programs must not write it at the same time. Each program keeps a partial sum
of its own rows, float32, and a second launch adds the partial sums up, always in the same order. No atomics: with them
the last bits would change from run to run. At most two launches. min(programs, R) programs share the rows.
"""

import torch

from grader_kernels.problem import Case, Floor, Settings, normal, power_of_two, strided

SHARED = "min(programs, R) programs share the rows."
settings = Settings(launches=2, weights={"right": 4, "safe": 3, "lean": 2, "compiles": 1}, once=True, share=SHARED)

FORMULA = "The root mean square depends on every x of the row: that gives dx its second term, with the mean of dy w x."
WEIGHT = "dweight is the sum over ALL rows of dy * x / rms: each program's rows, and then all partial sums."
SHARE = "R is no multiple of the number of programs: no row may be left out, and no partial sum without a value."
TAIL = "C is no power of two: the surplus lanes add nothing to a sum, are not counted in the mean and not stored."
ADDRESS = "dy and x each have strides of their own."
HALF = "Add up in float32, also the partial sums: a bfloat16 sum of 512 swallows all that is smaller than 2."
WIDE = 16384  # bytes: no prompt speaks of registers, and a row of 8192 does not fit into those of four warps


def cases(rng, sizes):
    def given(rows, columns, spread=1.0, mean=0.0, dtype=torch.float32):
        dy, x = (normal(rng, rows, columns, spread=spread, mean=m, dtype=dtype) for m in (0.0, mean))
        return dy, x, normal(rng, columns, mean=1, dtype=dtype)

    def between(low, high):
        return int(sizes.integers(low, high))

    dy, x, weight = given(6, between(35, 47))
    zero = given(5, between(35, 47))
    zero[1][int(rng.integers(0, 5))] = 0
    short = given(between(5, 8), between(19, 29))
    between_large = _between_large(*given(22, between(9, 16), dtype=torch.bfloat16))
    near_400 = given(2 * between(15, 20), between(41, 50), mean=400, dtype=torch.float16)
    near_400[0][0], near_400[0][-1] = 256, -256  # beside them a float16 sum loses what lies between
    return [
        Case("a single element", _moderate(*given(1, 1)), {"eps": 0.5, "programs": 1}, points_to=FORMULA),
        Case("one row, without eps", given(1, between(50, 64)), {"eps": 0.0, "programs": 1}, points_to=FORMULA),
        Case("rows shared evenly", given(2 * between(24, 32), power_of_two(sizes, 64, 256)), {"programs": 2},
             lean=True, slack=1.04,
             compile=True, points_to=WEIGHT),
        Case("a remainder of rows, columns of any number",
             given(4 * between(2, 5) + between(1, 4), between(70, 110)), {"programs": 4}, weight=3,
             points_to=f"{SHARE} {TAIL}"),
        Case("more programs than rows", given(between(2, 4), between(33, 60)), {"programs": between(5, 8)},
             points_to=SHARE),
        Case("a row of zeros, and an eps that decides", zero, {"eps": 0.3, "programs": 2}, points_to=FORMULA,
             weight=2),
        Case("small numbers, the launcher's own eps and programs", (short[0], short[1] * 1e-3, short[2]),
             points_to=FORMULA),
        Case("dy transposed, x every other column", (strided(dy), strided(x, "every_other"), weight),
             {"programs": 3}, points_to=ADDRESS),
        Case("dy every other column, x transposed", (strided(dy, "every_other"), strided(x), weight),
             {"programs": 3}, points_to=ADDRESS),
        Case("the longest rows", given(4, 64 * between(65, 81) + between(5, 60)), {"programs": 2}, stack=WIDE,
             points_to=TAIL),
        # float32 partial sums of float16 rows may move more bytes than a second walk would: 14/6 against 10/6.
        Case("float16, x near 400", near_400, {"programs": 2}, lean=True, slack=1.9,
             points_to="400 times 400 is no float16: work in float32."),
        Case("bfloat16, small shares between two large ones", between_large, {"programs": 1}, points_to=HALF,
             weight=2),
        Case("bfloat16, each share in a program of its own", between_large, {"programs": 22}, points_to=HALF,
             weight=2),
    ]  # fmt: skip


def _moderate(dy, x, weight):
    """x between a half and 1: beside eps = 0.5 a large one leaves a difference with few digits."""
    return dy, 0.5 + x.sigmoid() / 2, weight


def _between_large(dy, x, weight):
    """The first and the last row cancel in dweight; a bfloat16 sum of 512 swallows what lies between them."""
    dy = dy * 0.3
    dy[0], dy[-1] = 512, -512
    x[0], x[-1] = 1, 1
    return dy, x, weight.abs() + 1  # far from 1 in the mean, too


def large(rng):
    dy, x = (normal(rng, 2048, 4096, dtype=torch.bfloat16) for _ in range(2))
    weight = normal(rng, 4096, dtype=torch.bfloat16)
    return Case("2048 rows of 4096 in bfloat16", (dy, x, weight), {"programs": 256})


def reference(dy, x, weight, eps=1e-6, programs=4):
    x, weight = x.detach().requires_grad_(), weight.detach().requires_grad_()
    with torch.enable_grad():
        y = x / torch.sqrt((x * x).mean(1, keepdim=True) + eps) * weight
        return torch.autograd.grad(y, (x, weight), dy)


def baseline(dy, x, weight, eps=1e-6, programs=4):
    return tuple(out.to(x.dtype) for out in reference(dy.float(), x.float(), weight.float(), eps))


def operator(dy, x, weight, eps=1e-6, programs=4):
    x, weight = x.detach().requires_grad_(), weight.detach().requires_grad_()
    with torch.enable_grad():
        return torch.autograd.grad(torch.nn.functional.rms_norm(x, weight.shape, weight, eps), (x, weight), dy)


def programs(dy, x, weight, eps=1e-6, programs=4):
    return min(programs, x.shape[0])


def floor(dy, x, weight, eps=1e-6, programs=4):
    n = x.numel() * x.element_size()
    w = weight.numel() * weight.element_size()
    why = (
        "every element of dy and x read once, every element of dx written once: 3 R C; C weights read and C "
        "gradients written; the partial sums come on top, 2 * programs * C * 4 bytes, little when each has many rows"
    )
    return Floor({"dy": n, "x": n, "weight": w}, {"out 0": n, "out 1": w}, why, resident=("weight",))
