"""Matrix product of bfloat16 matrices.

matmul(a, b, out_dtype=torch.bfloat16, block_m=64, block_n=64, block_k=32) -> c

a          (M, K) bfloat16, any strides
b          (K, N) bfloat16, any strides
out_dtype  torch.bfloat16 or torch.float32
block_m    rows of c that a program computes, a power of two from 16
block_n    columns of c that a program computes, a power of two from 16
block_k    how far along K one step goes, a power of two from 16
c          (M, N) of out_dtype, a new contiguous tensor: a @ b

M, N and K need not be multiples of the blocks. The sum is kept in float32 until the end; tl.dot does the products.
One launch. More than one program where there are more than four tiles.
"""

import torch

from grader_kernels.problem import Case, Floor, Settings, normal, power_of_two, strided

SHARE = "More than one program where there are more than four tiles."
settings = Settings(launches=1, tensor_cores=True, eps=1e-5, share=SHARE)

TAIL = "Lanes past the end must add nothing (mask with other=0.0) and must store nothing; count the last tile too."
STRIDES = "Ask the tensor for both of its strides."
ACCUMULATE = "Keep the sum in float32 until the last step; only the result is rounded."


def cases(rng, sizes):
    def draw(*shape, spread=1.0):
        return normal(rng, *shape, spread=spread, dtype=torch.bfloat16)

    def between(low, high):
        return int(sizes.integers(low, high))

    m, k, n = between(33, 48), between(33, 48), between(17, 32)
    one, next_to, inner = (power_of_two(sizes, 16, 32) for _ in range(3))
    deep, rows, columns = 16 * between(10, 14), between(18, 31), between(18, 31)
    small = {"block_m": 16, "block_n": 16, "block_k": 16}
    return [
        Case("one tile, one step", (draw(one, inner), draw(inner, 16)), {**small, "block_m": one, "block_k": inner},
             points_to="This is the plain case: check the address of every row and column."),
        Case("several tiles and steps", _product(draw, 32 * between(2, 4), 32 * between(2, 5), 16 * between(2, 5)),
             {"block_m": 32, "block_n": 16, "block_k": 32}, lean=True,
             points_to="Move along K in every step, and add every step to the sum."),
        Case("no size is a multiple of its block", (draw(m, k), draw(k, n)), small, points_to=TAIL, weight=2),
        Case("one more than a block each way", _product(draw, next_to + 1, 2 * next_to + 1, next_to + 1),
             {"block_m": next_to, "block_n": next_to, "block_k": next_to}, points_to=TAIL),
        Case("a single row", (draw(1, k), draw(k, n)), small, points_to=TAIL),
        Case("both matrices transposed", (strided(draw(n, k)), strided(draw(k, m))), small,
             points_to=STRIDES, weight=2),
        Case("every other column of wider matrices",
             (strided(draw(n, 32), "every_other"), strided(draw(32, n), "every_other")), small, points_to=STRIDES),
        Case("a float32 result", (draw(rows, deep) + 0.5, draw(deep, columns) + 0.5),
             {"out_dtype": torch.float32, **small}, points_to=ACCUMULATE, weight=2),
        Case("many small terms after a large one", _small_terms(between(3, 8), 16 * between(28, 37), between(3, 8)),
             small, points_to=ACCUMULATE, weight=2),
        Case("results beyond the range of float16", _product(draw, rows, 32, columns, spread=500.0), small,
             points_to="float16 ends at 65504; bfloat16 and float32 do not."),
        Case("tiles for tensor cores", _product(draw, 64 * between(1, 4), 32 * between(2, 5), 128), lean=True,
             compile=True),
    ]  # fmt: skip


def _product(draw, m, k, n, spread=1.0):
    return draw(m, k, spread=spread), draw(k, n, spread=spread)


def _small_terms(m, k, n):
    """The first step gives 1, the other 27 or more give 0.003 each: in bfloat16 none of them would count."""
    a = torch.ones(m, k)
    a[:, 16:] = 0.003
    return a.to(torch.bfloat16), torch.full((k, n), 1 / 16, dtype=torch.bfloat16)


def large(rng):
    a, b = (normal(rng, *shape, dtype=torch.bfloat16) for shape in ((2048, 1024), (1024, 2048)))
    return Case("2048 x 1024 x 2048", (a, b), {"block_m": 128, "block_n": 128, "block_k": 64})


def reference(a, b, out_dtype=torch.bfloat16, block_m=64, block_n=64, block_k=32):
    return a @ b


def baseline(a, b, out_dtype=torch.bfloat16, block_m=64, block_n=64, block_k=32):
    return (a.float() @ b.float()).to(out_dtype)


def operator(a, b, out_dtype=torch.bfloat16, block_m=64, block_n=64, block_k=32):
    return (a @ b).to(out_dtype)


def programs(a, b, out_dtype=torch.bfloat16, block_m=64, block_n=64, block_k=32):
    return 2 if -(-a.shape[0] // block_m) * -(-b.shape[1] // block_n) > 4 else 1


def floor(a, b, out_dtype=torch.bfloat16, block_m=64, block_n=64, block_k=32):
    (m, k), n = a.shape, b.shape[1]
    loads = {"a": 2 * m * k * -(-n // block_n), "b": 2 * k * n * -(-m // block_m)}
    why = (
        "a tile of c needs its rows of a and its columns of b once: every row of a is read by N / block_n tiles, every "
        "column of b by M / block_m tiles, and every element of c is written once: 2 M K N / block_n + 2 K N M / "
        "block_m + M N times the bytes of one element of c"
    )
    return Floor(loads, {"out": m * n * out_dtype.itemsize}, why, flops=2 * m * n * k)
