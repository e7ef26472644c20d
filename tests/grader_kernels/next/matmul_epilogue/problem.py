"""Matrix product with bias and SiLU, in bfloat16.

matmul_epilogue(x, w, bias, block_m=64, block_n=64, block_k=32) -> y

x     (M, K) bfloat16, contiguous     w   (K, N) bfloat16, contiguous     bias  (N,) bfloat16
y     (M, N) bfloat16, new and contiguous: silu(x @ w + bias), silu(z) = z / (1 + exp(-z))

The sum, the bias and silu are kept in float32, and rounded once. One launch.
"""

import torch

from grader_kernels.problem import Case, Floor, Settings, normal

settings = Settings(launches=1, tensor_cores=True, eps=1e-5)

ONCE = "The bias belongs to the whole sum: add it once, after the last step along K."
ACCUMULATE = "Keep the sum in float32 until the end; float16 ends at 65504, and has 11 binary digits."


def cases(rng, sizes):
    def draw(m, k, n, spread=1.0):
        a, b = normal(rng, m, k, spread=spread, dtype=torch.bfloat16), normal(rng, k, n, dtype=torch.bfloat16)
        return a, b, normal(rng, n, dtype=torch.bfloat16)

    def between(low, high):
        return int(sizes.integers(low, high))

    small = {"block_m": 16, "block_n": 16, "block_k": 16}
    return [
        Case("several steps along K", draw(16, 16 * between(3, 5), 16), small, points_to=ONCE),
        Case("no size is a multiple of its block", draw(between(17, 31), between(33, 47), between(17, 31)), small,
             points_to=ONCE),
        Case("sums beyond the range of float16", draw(between(17, 31), 64, 16, spread=30000.0), small,
             points_to=ACCUMULATE, weight=2),
        Case("tiles for tensor cores", draw(64, 64, 64 * between(1, 3)), lean=True, compile=True),
    ]  # fmt: skip


def reference(x, w, bias, block_m=64, block_n=64, block_k=32):
    z = x @ w + bias
    return z * torch.sigmoid(z)


def baseline(x, w, bias, block_m=64, block_n=64, block_k=32):
    return reference(x.float(), w.float(), bias.float()).to(x.dtype)


def floor(x, w, bias, block_m=64, block_n=64, block_k=32):
    (m, k), n = x.shape, w.shape[1]
    down, across = -(-m // block_m), -(-n // block_n)
    why = "every row of x for each tile across, every column of w for each tile down, the bias from a cache, y once"
    return Floor({"x": 2 * m * k * across, "w": 2 * k * n * down, "bias": 2 * n}, {"out": 2 * m * n}, why, ("bias",))
