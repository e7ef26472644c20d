"""Matrix product with weights of four bits.

w4a16_matmul(x, packed, scales, block_m=16, block_n=64, block_k=64) -> y

x        (M, K) float16 or bfloat16, any strides
packed   (K // 2, N) uint8, contiguous: two weights in a byte. The low four bits of packed[i, n] hold the weight of row
         2 i, the high four bits that of row 2 i + 1
scales   (K // S, N) of x's dtype, contiguous: one scale for S neighbouring weights of a column. Weight (k, n) is
         (its four bits, 0 .. 15, minus 8) * scales[k // S, n]
block_m  rows of y that a program computes, a power of two from 16
block_n  columns of y that a program computes, a power of two from 16
block_k  how far along K one step goes, a power of two from 32
y        (M, N) of x's dtype, new and contiguous: x @ weights

K is a multiple of S and S a multiple of block_k, so a step has one row of scales. M and N need not be multiples of the
blocks. The weights may be rounded to x's dtype; the sum is kept in float32. One launch: weights of 16 bits are never
written down. More than one program where there are more than four tiles.
"""

import torch

from grader_kernels.problem import Case, Floor, Settings, normal, power_of_two, strided

SHARE = "More than one program where there are more than four tiles."
# stack: on sm_90, kernels that are fine need 8 bytes
settings = Settings(launches=1, tensor_cores=True, stack=16, eps=1e-5, share=SHARE)

ORDER = "The low four bits of a byte are the even row, the high four bits the odd one; 8 stands for zero."
SCALES = "Weight (k, n) has the scale in row k // S, where S = K // len(scales), whatever block_k is."
TAIL = "Rows and columns past the end must store nothing; count the last tile too."
ACCUMULATE = "Keep the sum in float32 until the last step; only the result is rounded."


def cases(rng, sizes):
    def between(low, high):
        return int(sizes.integers(low, high))

    def draw(m, k, n, groups=1, dtype=torch.float16, spread=0.02):
        packed = torch.from_numpy(rng.integers(0, 256, (k // 2, n), dtype="uint8"))
        scales = (torch.from_numpy(rng.random((groups, n))) * 0.9 + 0.1) * spread
        return normal(rng, m, k, dtype=dtype), packed, scales.to(dtype)

    small = {"block_m": 16, "block_n": 16, "block_k": 32}
    one, inner, groups = power_of_two(sizes, 16, 32), power_of_two(sizes, 32, 64), between(2, 5)
    x, packed, scales = draw(16 * between(2, 4), 64, 32)
    wide, *weights = draw(between(17, 24), 64, 16, groups=2)
    return [
        Case("one tile, one step", draw(one, inner, 16), {**small, "block_m": one, "block_k": inner}, points_to=ORDER),
        Case("only the weights -8 and 7", (x, torch.where(packed > 99, 0xF0, 0x0F).to(torch.uint8), scales), small,
             points_to=ORDER),
        Case("four groups, one step each", draw(16, 128, 16 * between(2, 6), groups=4), small, points_to=SCALES),
        Case("two groups, three steps each", draw(16, 192, 16 * between(2, 6), groups=2), small, points_to=SCALES,
             weight=2),
        Case("no size is a multiple of its block", draw(between(17, 31), 64, between(33, 47), groups=2), small,
             points_to=TAIL, weight=2),
        Case("a single row", draw(1, 64, between(17, 31), groups=2), small, points_to=TAIL),
        Case("bfloat16", draw(between(17, 24), 64, between(17, 31), groups=2, dtype=torch.bfloat16), small,
             points_to="Everything follows the dtype of x: nothing is float16 by itself."),
        Case("weights beyond the range of float16", draw(16 * between(2, 4), 64, 16, dtype=torch.bfloat16,
             spread=60000.0), small, points_to="float16 ends at 65504; bfloat16 and float32 do not.", weight=2),
        Case("a transposed x", (strided(wide), *weights), small, points_to="Ask x for both of its strides.", weight=2),
        Case("many small terms after a large one", _small_terms(between(3, 9), 32 * between(28, 37), 16), small,
             points_to=ACCUMULATE, weight=2),
        Case("a few rows, tiles for tensor cores", draw(16, 64 * groups, 64 * between(2, 6), groups=groups), lean=True,
             compile=True),
        Case("a few rows in bfloat16", draw(16 * between(2, 4), 128, 64 * between(2, 6), groups=2,
             dtype=torch.bfloat16),
             lean=True),
    ]  # fmt: skip


def _small_terms(m, k, n):
    """The first step gives 32, the other 27 or more give 0.0144 each: in float16 none of them would count."""
    x = torch.full((m, k), 0.00045)
    x[:, :32] = 1.0
    packed = torch.full((k // 2, n), 0x99, dtype=torch.uint8)
    return x.half(), packed, torch.ones(1, n, dtype=torch.float16)


def weights(packed, scales):
    """(K, N) in the dtype of scales."""
    q = torch.stack([packed & 15, packed >> 4], 1).reshape(-1, packed.shape[1])
    return (q.to(scales.dtype) - 8) * scales.repeat_interleave(len(q) // len(scales), 0)


def large(rng):
    packed = torch.from_numpy(rng.integers(0, 256, (1024, 8192), dtype="uint8"))
    scales = (torch.from_numpy(rng.random((16, 8192))) * 0.02).half()
    x = normal(rng, 32, 2048, dtype=torch.float16)
    return Case("32 x 2048 x 8192", (x, packed, scales), {"block_m": 32})


def reference(x, packed, scales, block_m=16, block_n=64, block_k=64):
    return x @ weights(packed, scales)


def baseline(x, packed, scales, block_m=16, block_n=64, block_k=64):
    """With the weights rounded to x's dtype, and the sum in float32."""
    return (x.float() @ weights(packed, scales).float()).to(x.dtype)


def operator(x, packed, scales, block_m=16, block_n=64, block_k=64):
    """torch has none for these weights: they are written down in 16 bits first."""
    return x @ weights(packed, scales)


def programs(x, packed, scales, block_m=16, block_n=64, block_k=64):
    return 2 if -(-x.shape[0] // block_m) * -(-packed.shape[1] // block_n) > 4 else 1


def floor(x, packed, scales, block_m=16, block_n=64, block_k=64):
    (m, k), n = x.shape, packed.shape[1]
    down, across = -(-m // block_m), -(-n // block_n)
    steps = max(k // block_k, len(scales))
    loads = {"x": 2 * m * k * across, "packed": k // 2 * n * down, "scales": 2 * steps * n * down}
    why = (
        "a tile of y needs its rows of x and its columns of weights once: every row of x is read by N / block_n tiles, "
        "every byte of weights by M / block_m tiles, one row of scales in each step along K, and every element of y is "
        "written once: 2 M K N / block_n + (K / 2 + 2 K / block_k) N M / block_m + 2 M N. A byte that is read once for "
        "each of its two weights is read twice"
    )
    return Floor(loads, {"out": 2 * m * n}, why, flops=2 * m * n * k)
