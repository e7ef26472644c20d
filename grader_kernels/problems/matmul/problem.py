"""Matrix product of two half-precision matrices.

matmul(a, b, out_dtype=None, block_m=64, block_n=64, block_k=32) -> c

a          (M, K) float16 or bfloat16, any strides
b          (K, N) same dtype, any strides of its own
out_dtype  dtype of c: None for that of a and b, or torch.float32
block_m    rows of c that a program computes at once, a power of two from 16
block_n    columns of c that a program computes at once, a power of two from 16
block_k    how far along K one step goes, a power of two from 16
c          (M, N) of out_dtype, a new contiguous tensor: a @ b

M, N and K need not be multiples of the blocks. The sum is kept in float32 until the end and rounded once; tl.dot does
the products, on the tiles as they were loaded. One launch. More than one program where there are more than four tiles.
"""

import torch

from grader_kernels.problem import Case, Floor, Settings, normal, power_of_two, strided

SHARE = "More than one program where there are more than four tiles."
settings = Settings(launches=1, tensor_cores="half", eps=1e-5, once=True, share=SHARE)

PLAIN = "This is the plain case: check the address of every row and column."
STEPS = "Move along K in every step, and add every step to the sum."
TAIL = "Lanes past the end must add nothing (mask with other=0.0) and must store nothing; count the last tile too."
STRIDES = "Ask the tensor for both of its strides."
ACCUMULATE = "Keep the sum in float32 until the last step; only the result is rounded."
RANGE = "float16 ends at 65504; bfloat16 and float32 do not."
SMALL = {"block_m": 16, "block_n": 16, "block_k": 16}
HALF, BRAIN = torch.float16, torch.bfloat16


def cases(rng, sizes):
    def product(m, k, n, dtype, spread=1.0, mean=0.0):
        return tuple(normal(rng, *shape, spread=spread, mean=mean, dtype=dtype) for shape in ((m, k), (k, n)))

    def between(low, high):
        return int(sizes.integers(low, high))

    m, k, n = between(33, 48), between(33, 48), between(17, 32)
    one, next_to, inner = (power_of_two(sizes, 16, 32) for _ in range(3))
    deep, rows, columns = 16 * between(10, 14), between(18, 31), between(18, 31)
    turned = tuple(strided(t) for t in product(between(17, 32), k, between(33, 48), HALF))
    skipped = tuple(strided(t, "every_other") for t in product(n, 32, between(33, 48), BRAIN))
    mixed = product(between(17, 32), between(33, 48), n, HALF)
    return [
        Case("one tile, one step", product(one, inner, 16, HALF), {**SMALL, "block_m": one, "block_k": inner},
             points_to=PLAIN),
        Case("several tiles and steps", product(32 * between(2, 4), 32 * between(2, 5), 16 * between(2, 5), BRAIN),
             {"block_m": 32, "block_n": 16, "block_k": 32}, lean=True, points_to=STEPS),
        Case("no size is a multiple of its block", product(m, k, n, HALF), SMALL, points_to=TAIL, weight=2),
        Case("one more than a block each way, bfloat16", product(next_to + 1, 2 * next_to + 1, next_to + 1, BRAIN),
             {"block_m": next_to, "block_n": next_to, "block_k": next_to}, points_to=TAIL),
        Case("a single row", product(1, k, n, BRAIN), SMALL, points_to=TAIL),
        Case("both matrices transposed, float16", turned, SMALL, points_to=STRIDES, weight=2),
        Case("every other column of wider matrices", skipped, SMALL, points_to=STRIDES),
        Case("only the second matrix is transposed", (mixed[0], strided(mixed[1])), SMALL, points_to=STRIDES),
        Case("a float32 result", product(rows, deep, columns, BRAIN, mean=0.5), {"out_dtype": torch.float32, **SMALL},
             points_to=ACCUMULATE, weight=2),
        Case("a long sum in float16", product(between(18, 31), 16 * between(16, 24), between(18, 31), HALF, mean=0.5),
             SMALL, points_to=ACCUMULATE, weight=2),
        Case("many small terms after a large one", _small_terms(between(3, 8), 16 * between(28, 37), between(3, 8)),
             SMALL, points_to=ACCUMULATE, weight=2),
        Case("results beyond the range of float16", product(rows, 32, columns, BRAIN, spread=500.0), SMALL,
             points_to=RANGE),
        Case("the launcher's own blocks, float16", product(between(65, 90), between(33, 60), between(65, 90), HALF),
             points_to=TAIL),
        Case("tiles for tensor cores", product(64 * between(1, 4), 32 * between(2, 5), 128, BRAIN), lean=True,
             compile=True),
    ]  # fmt: skip


def _small_terms(m, k, n):
    """The first step gives 1, the other 27 or more give 0.003 each: in bfloat16 none of them would count."""
    a = torch.ones(m, k)
    a[:, 16:] = 0.003
    return a.to(BRAIN), torch.full((k, n), 1 / 16, dtype=BRAIN)


def large(rng):
    a, b = (normal(rng, *shape, dtype=BRAIN) for shape in ((2048, 1024), (1024, 2048)))
    return Case("2048 x 1024 x 2048", (a, b), {"block_m": 128, "block_n": 128, "block_k": 64})


def reference(a, b, out_dtype=None, block_m=64, block_n=64, block_k=32):
    return a @ b


def baseline(a, b, out_dtype=None, block_m=64, block_n=64, block_k=32):
    return (a.float() @ b.float()).to(out_dtype or a.dtype)


def operator(a, b, out_dtype=None, block_m=64, block_n=64, block_k=32):
    return (a @ b).to(out_dtype or a.dtype)


def programs(a, b, out_dtype=None, block_m=64, block_n=64, block_k=32):
    return 2 if -(-a.shape[0] // block_m) * -(-b.shape[1] // block_n) > 4 else 1


def floor(a, b, out_dtype=None, block_m=64, block_n=64, block_k=32):
    (m, k), n = a.shape, b.shape[1]
    loads = {"a": 2 * m * k * -(-n // block_n), "b": 2 * k * n * -(-m // block_m)}
    why = (
        "a tile of c needs its rows of a and its columns of b once: every row of a is read by N / block_n tiles, every "
        "column of b by M / block_m tiles, and every element of c is written once: 2 M K N / block_n + 2 K N M / "
        "block_m + M N times the bytes of one element of c"
    )
    return Floor(loads, {"out": m * n * (out_dtype or a.dtype).itemsize}, why, flops=2 * m * n * k)
