"""Attention of one query for each sequence, the keys shared by several programs.

split_kv(q, k, v, lengths, splits=4, block=16) -> o

q        (B, D) float32    k, v  (B, N, D) float32, contiguous
lengths  (B,) int32, 1 .. N: how many keys sequence b has; what lies behind them may be NaN
splits   how many programs share a sequence: program s has the keys s P .. (s + 1) P - 1, P = N / splits rounded up to
         whole blocks. It may have none
o        (B, D) float32, new: softmax(q k^T / sqrt(D)) v

Two launches: each part writes its own output and the logarithm of its sum of exponentials, the second launch merges
them by that.
"""

import math

import torch

from grader_kernels.problem import Case, Floor, Settings, normal

settings = Settings(launches=2, eps=1e-5, share="At least `splits` programs for every sequence.")

EMPTY = "A part without keys has the weight 0: its lse is -inf, and 0 / 0 must not reach the sum."
MERGE = "Parts are merged by exp(lse - the largest lse), in the logarithm in which lse was written."


def cases(rng, sizes):
    def draw(lengths, n, d=16, spread=1.0):
        k, v = (normal(rng, len(lengths), n, d) for _ in range(2))
        for b, length in enumerate(lengths):
            k[b, length:], v[b, length:] = math.nan, math.nan
        return normal(rng, len(lengths), d, spread=spread), k, v, torch.tensor(lengths, dtype=torch.int32)

    def any_of(n):
        return int(rng.integers(n // 2 + 2, n))

    n = 64 + 2 * int(sizes.integers(1, 16))
    return [
        Case("full parts", draw([64, 64], 64), points_to=MERGE),
        Case("lengths that end anywhere", draw([any_of(n), n, any_of(n)], n), points_to=MERGE),
        Case("parts without keys", draw([3, 1, any_of(n)], n), points_to=EMPTY),
        Case("large scores", draw([any_of(n)], n, spread=40.0), {"splits": 3}, points_to=MERGE),
        Case("whole blocks", draw([128, 128], 128, 64), {"block": 32}, lean=True, slack=1.2, compile=True,
             points_to=MERGE),
    ]  # fmt: skip


def reference(q, k, v, lengths, splits=4, block=16):
    rows = []
    for b, n in enumerate(lengths.tolist()):
        rows.append(torch.softmax(k[b, :n] @ q[b] / math.sqrt(q.shape[1]), 0) @ v[b, :n])
    return torch.stack(rows)


def programs(q, k, v, lengths, splits=4, block=16):
    return splits * len(q)


def floor(q, k, v, lengths, splits=4, block=16):
    each = int(lengths.sum()) * q.shape[1] * 4
    loads = {"q": 4 * q.numel(), "k": each, "v": each, "lengths": 4 * len(lengths)}
    why = "every key and value is read once; what the parts write for the second launch comes on top, 2 splits (D + 1)"
    return Floor(loads, {"out": 4 * q.numel()}, why, resident=("q", "lengths"))
