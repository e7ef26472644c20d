"""One token for each row of logits, drawn by the Gumbel trick.

gumbel_sample(logits, seed, block=64) -> ids

logits  (R, V) float32, contiguous
seed    a whole number
ids     (R,) int32: the place of the largest logits[r, v] - log(-log(u)), with u = tl.rand(seed, r * V + v). So what is
        drawn depends on seed, row and column, and on no block

One launch, one program for each row; every logit is read once.
"""

import numpy as np
import torch

from grader_kernels.problem import Case, Floor, Settings, normal

settings = Settings(launches=1, share="One program for each row.")

NOISE = "Every row and every column has a random number of its own: number r * V + v of the seed."


def cases(rng, sizes):
    def draw(rows, columns, spread=1.0):
        return normal(rng, rows, columns, spread=spread), int(sizes.integers(0, 2**31))

    def between(low, high):
        return int(sizes.integers(low, high))

    return [
        Case("the same logits in every row", (torch.zeros(between(9, 13), between(50, 64)), 7), points_to=NOISE),
        Case("several blocks and a ragged tail", draw(between(5, 9), between(200, 300)), points_to=NOISE, weight=2),
        Case("a large seed", (normal(rng, between(5, 9), 100), 2**40 + int(sizes.integers(0, 2**31))), points_to=NOISE),
        Case("whole blocks", draw(4, 256), lean=True, compile=True, points_to=NOISE),
    ]


def philox(seed, number):
    """The first word of philox4x32-10 (Salmon et al., SC 2011) for each counter, as triton keys it."""
    c = [number & 0xFFFFFFFF, number >> 32, np.zeros_like(number), np.zeros_like(number)]
    k = [seed & 0xFFFFFFFF, seed >> 32]
    for _ in range(10):
        low, high = np.uint64(0xD2511F53) * c[0], np.uint64(0xCD9E8D57) * c[2]
        first, third = (high >> np.uint64(32)) ^ c[1] ^ np.uint64(k[0]), (low >> np.uint64(32)) ^ c[3] ^ np.uint64(k[1])
        c = [first, high & np.uint64(0xFFFFFFFF), third, low & np.uint64(0xFFFFFFFF)]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return c[0].astype(np.uint32).view(np.int32).astype(np.float64)


def reference(logits, seed, block=64):
    word = philox(seed, np.arange(logits.numel(), dtype=np.uint64))
    u = np.where(word < 0, -word - 1, word) * np.float32(4.6566127342e-10)
    with np.errstate(divide="ignore"):
        noise = -np.log(-np.log(u.astype(np.float32).astype(np.float64)))
    return (logits.double() + torch.from_numpy(noise).reshape(logits.shape)).argmax(1).to(torch.int32)


def programs(logits, seed, block=64):
    return logits.shape[0]


def floor(logits, seed, block=64):
    why = "every logit is read once and one number is written for each row; random numbers are worked out, not read"
    return Floor({"logits": 4 * logits.numel()}, {"out": 4 * logits.shape[0]}, why)
