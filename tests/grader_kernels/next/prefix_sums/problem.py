"""Sums of all numbers up to each place of a long vector.

prefix_sums(x, block=64) -> sums

x      (N,) int32, contiguous
block  numbers of a program, a power of two
sums   (N,) int32, new: sums[i] = x[0] + ... + x[i]

At most three launches, a fill by torch among them; N / block programs share the work.
"""

import torch

from grader_kernels.problem import Case, Floor, Settings

settings = Settings(launches=3, share="N / block programs share the work.")

CARRY = "A block begins with the sum of all blocks before it, not its own."


def cases(rng, sizes):
    def draw(n):
        return (torch.from_numpy(rng.integers(-1000, 1000, n)).to(torch.int32),)

    def between(low, high):
        return int(sizes.integers(low, high))

    return [
        Case("one block", draw(64), points_to="sums[i] counts x[i], too."),
        Case("several blocks and a ragged tail", draw(between(200, 400)), points_to=CARRY),
        Case("small blocks", draw(between(50, 90)), {"block": 16}, points_to=CARRY),
        Case("whole blocks", draw(512), lean=True, slack=1.8, compile=True, points_to=CARRY),
    ]


def reference(x, block=64):
    total, sums = 0, []
    for value in x.tolist():
        total += value
        sums.append(total)
    return torch.tensor(sums, dtype=torch.int32)


def programs(x, block=64):
    return -(-len(x) // block)


def floor(x, block=64):
    why = "every number is read once and every sum written once, 8 N; a second walk or what blocks say comes on top"
    return Floor({"x": 4 * len(x)}, {"out": 4 * len(x)}, why)
