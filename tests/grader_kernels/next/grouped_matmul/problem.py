"""One product for each expert: groups of rows of any length, also of none.

grouped_matmul(x, w, ends, block_m=16, block_n=16, block_k=16) -> y

x     (T, K) bfloat16, contiguous, rows sorted by group
w     (G, K, N) bfloat16, contiguous: one matrix for each group
ends  (G,) int32, rising: group g has the rows ends[g - 1] .. ends[g] - 1, group 0 those from 0; ends[G - 1] is T
y     (T, N) bfloat16, new and contiguous: every row of x times the matrix of its group

Sums in float32. One launch; the ends belong to the kernel.
"""

import torch

from grader_kernels.problem import Case, Floor, Settings, normal

settings = Settings(launches=1, tensor_cores=True, eps=1e-5)

EDGE = "A tile of a group may reach over its end: rows behind it belong to the next group."
K_TAIL = "Columns of x behind K belong to the next row."


def cases(rng, sizes):
    def draw(counts, k, n):
        x = normal(rng, sum(counts), k, dtype=torch.bfloat16)
        ends = torch.tensor(counts).cumsum(0).to(torch.int32)
        return x, normal(rng, len(counts), k, n, dtype=torch.bfloat16), ends

    def split(total, groups):
        """So many rows in groups of any length: lengths are numbers, their sum is a size."""
        cuts = sorted(int(c) for c in rng.integers(0, total + 1, groups - 1))
        return [b - a for a, b in zip([0, *cuts], [*cuts, total], strict=True)]

    def between(low, high):
        return int(sizes.integers(low, high))

    return [
        Case("whole tiles", draw([16, 32], 32, 16), points_to=EDGE),
        Case("ragged groups", draw([5, *split(between(40, 60), 3)], between(17, 31), between(17, 31)), points_to=EDGE,
             weight=2),
        Case("empty groups at both ends and between", draw([0, 7, 0, 0, between(17, 31), 0], 16, 16), points_to=EDGE),
        Case("tiles for tensor cores", draw([64, 64], 64, 64), {"block_m": 64, "block_n": 64, "block_k": 32},
             lean=True, compile=True, points_to=K_TAIL),
    ]  # fmt: skip


def reference(x, w, ends, block_m=16, block_n=16, block_k=16):
    first, parts = 0, []
    for g, end in enumerate(ends.tolist()):
        parts.append(x[first:end] @ w[g])
        first = end
    return torch.cat(parts)


def baseline(x, w, ends, block_m=16, block_n=16, block_k=16):
    return reference(x.float(), w.float(), ends).to(x.dtype)


def floor(x, w, ends, block_m=16, block_n=16, block_k=16):
    counts = torch.diff(ends, prepend=torch.zeros(1, dtype=ends.dtype))
    (t, k), n = x.shape, w.shape[2]
    tiles = int((-(-counts // block_m)).sum())
    loads = {"x": 2 * t * k * -(-n // block_n), "w": 2 * k * n * tiles, "ends": 4 * len(ends)}
    why = "a row of x for each tile across, a group's matrix for each of its tiles of rows, y once; ends from a cache"
    return Floor(loads, {"out": 2 * t * n}, why, resident=("ends",))
