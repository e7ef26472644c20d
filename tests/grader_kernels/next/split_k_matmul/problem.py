"""Matrix product in which several programs share the steps along K of one tile.

split_k_matmul(a, b, splits=4, block=16) -> c

a       (M, K) float16, contiguous     b  (K, N) float16, contiguous
splits  how many programs share a tile of c
block   rows, columns and steps, a power of two from 16
c       (M, N) float32, new and contiguous: a @ b, always the same to the last bit

At most two launches, a fill by torch among them.
"""

import torch

from grader_kernels.problem import Case, Floor, Settings, normal

settings = Settings(launches=2, tensor_cores=True, eps=1e-5, share="`splits` programs for every tile.")

ALL = "A tile is the sum over all splits; who adds them up needs all of them to be there."


def cases(rng, sizes):
    def draw(m, k, n):
        return normal(rng, m, k, dtype=torch.float16), normal(rng, k, n, dtype=torch.float16)

    def between(low, high):
        return int(sizes.integers(low, high))

    return [
        Case("one tile", draw(16, 128, 16), points_to=ALL),
        Case("ragged sizes", draw(between(17, 31), between(70, 120), between(17, 31)), {"splits": 3}, points_to=ALL),
        Case("more splits than steps", draw(16, 32, 16), points_to=ALL),
        Case("whole tiles", draw(32, 512, 32), {"splits": 2, "block": 32}, lean=True, slack=1.4, compile=True,
             points_to=ALL),
    ]  # fmt: skip


def reference(a, b, splits=4, block=16):
    return a @ b


def baseline(a, b, splits=4, block=16):
    return a.float() @ b.float()


def programs(a, b, splits=4, block=16):
    return -(-a.shape[0] // block) * -(-b.shape[1] // block) * splits if a.shape[1] > 32 else 1


def floor(a, b, splits=4, block=16):
    (m, k), n = a.shape, b.shape[1]
    loads = {"a": 2 * m * k * -(-n // block), "b": 2 * k * n * -(-m // block)}
    why = "rows of a for each tile across, columns of b for each tile down, c once; partial sums come on top"
    return Floor(loads, {"out": 4 * m * n}, why)
