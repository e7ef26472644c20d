"""Matrix product of 8-bit whole numbers, scaled afterwards.

int8_matmul(a, b, a_scale, b_scale, block_m=16, block_n=16, block_k=32) -> y

a        (M, K) int8, contiguous      a_scale  (M,) float32, one for each row of a
b        (K, N) int8, contiguous      b_scale  (N,) float32, one for each column of b
y        (M, N) float16, new and contiguous: (a @ b) * a_scale[:, None] * b_scale, the product in int32 and exact

K is a multiple of block_k. One launch.
"""

import torch

from grader_kernels.problem import Case, Floor, Settings

settings = Settings(launches=1, tensor_cores=True)

EXACT = "Keep the sum in int32: it is exact there up to K = 133,000."


def cases(rng, sizes):
    def draw(m, k, n, low=-128):
        a, b = (torch.from_numpy(rng.integers(low, 128, shape)).to(torch.int8) for shape in ((m, k), (k, n)))
        return a, b, *(torch.from_numpy(rng.random(count) + 0.5).float() / (127 * k) for count in (m, n))

    def between(low, high):
        return int(sizes.integers(low, high))

    return [
        Case("several steps along K", draw(16, 96, 16), points_to=EXACT),
        Case("large sums", draw(between(17, 31), 32 * between(5, 9), between(17, 31), 100), points_to=EXACT, weight=2),
        Case("tiles for tensor cores", draw(64, 64, 64), {"block_m": 64, "block_n": 64}, lean=True, compile=True,
             points_to=EXACT),
    ]  # fmt: skip


def reference(a, b, a_scale, b_scale, block_m=16, block_n=16, block_k=32):
    return (a.double() @ b.double()) * a_scale.double()[:, None] * b_scale.double()


def baseline(a, b, a_scale, b_scale, block_m=16, block_n=16, block_k=32):
    return reference(a, b, a_scale, b_scale).half()


def floor(a, b, a_scale, b_scale, block_m=16, block_n=16, block_k=32):
    (m, k), n = a.shape, b.shape[1]
    loads = {"a": m * k * -(-n // block_n), "b": k * n * -(-m // block_m), "a_scale": 4 * m, "b_scale": 4 * n}
    why = "every row of a for each tile across, every column of b for each tile down, scales from a cache, y once"
    return Floor(loads, {"out": 2 * m * n}, why, resident=("a_scale", "b_scale"))
