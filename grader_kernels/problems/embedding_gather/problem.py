"""Rows of a table, looked up by number.

embedding_gather(ids, table, block=128) -> out

ids    (N,) int64, any stride, values 0 ... V-1, in any order, the same one as often as you like
table  (V, D) float32, float16 or bfloat16, any strides; D may be larger than block
block  columns that a program holds at once, a power of two
out    (N, D) of the table's dtype, a new contiguous tensor: out[n] = table[ids[n]], exactly

Nothing is computed: only bytes count. One launch. More than one program where there are more than four ids.
"""

import torch

from grader_kernels.problem import Case, Floor, Settings, normal, power_of_two, strided

SHARE = "More than one program where there are more than four ids."
settings = Settings(launches=1, block=True, share=SHARE)

STRIDE = "Row i of the table begins i * table.stride(0) elements behind its pointer; ids have a stride of their own."
TAIL = "Lanes past the width must neither read nor write."
ROW = "The id decides which row is read: load it, and multiply it with the stride of a row."


def cases(rng, sizes):
    def between(low, high):
        return int(sizes.integers(low, high))

    def given(V, D, N, dtype=torch.float32):
        return torch.from_numpy(rng.integers(0, V, N)), normal(rng, V, D, dtype=dtype)

    def apart(V, D, N):
        return torch.from_numpy(rng.permutation(V)[:N].copy()), normal(rng, V, D)

    full, wide = power_of_two(sizes, 64, 256), power_of_two(sizes, 16, 64)
    ids, table = given(between(9, 13), between(19, 30), between(6, 9))
    ends, rows = given(between(10, 14), between(4, 9), 3)
    ends[0], ends[1] = len(rows) - 1, 0
    again = torch.full((between(8, 12),), int(rng.integers(1, 5)))
    return [
        Case("a table with a single number", given(1, 1, between(2, 9)), {"block": 16}, points_to=TAIL),
        Case("rows that fill a block exactly", apart(between(30, 50), full, between(6, 10)), {"block": full}, lean=True,
             compile=True, points_to=ROW),
        Case("rows wider than a block, with a ragged tail",
             apart(between(20, 40), wide * between(3, 6) + between(3, wide // 4 + 1), between(6, 9)), {"block": wide},
             lean=True, slack=1.1, weight=3, points_to=TAIL),
        Case("rows narrower than a block, first and last row", (ends, rows), {"block": 16}, points_to=TAIL),
        Case("one token many times", (again, normal(rng, 5, between(33, 50))), {"block": 32}, points_to=ROW),
        Case("a transposed table", (ids, strided(table, "transposed")), {"block": 16}, points_to=STRIDE),
        Case("every other column of a wider table", (ids, strided(table, "every_other")), {"block": 16},
             points_to=STRIDE),
        Case("every other id of a longer row", (strided(ids[None], "every_other")[0], table), {"block": 16},
             points_to=STRIDE),
        Case("float16", given(between(9, 15), between(35, 60), between(4, 9), torch.float16), {"block": 32},
             points_to="The result has the table's dtype."),
        Case("the launcher's own block, on wide rows", given(between(7, 11), 128 * between(2, 6) + between(3, 100),
             between(3, 6)),
             compile=True, points_to=TAIL),
    ]  # fmt: skip


def large(rng):
    ids = torch.from_numpy(rng.integers(0, 32768, 8192))
    return Case("8192 rows of 512", (ids, normal(rng, 32768, 512)), {"block": 512})


def reference(ids, table, block=128):
    return torch.stack([table[i] for i in ids.tolist()])


def programs(ids, table, block=128):
    return 2 if len(ids) > 4 else 1


def exact(ids, table, block=128):
    return torch.ones(len(ids), table.shape[1], dtype=torch.bool)


def floor(ids, table, block=128):
    row = table.shape[1] * table.element_size()
    why = "every id and each row that is looked up is read once, and N rows are written: 8 N bytes + (U + N) D elements"
    looked_up = len(ids.unique())
    return Floor({"ids": 8 * len(ids), "table": looked_up * row}, {"out": len(ids) * row}, why)
