"""Leaky ReLU of a dense vector.

leaky_relu(x, slope=0.01, block=256) -> z

x      (n,) of one float dtype, stride 1; n is any number from 1 on
slope  a float, the factor for negative numbers
block  elements that a program handles, a power of two
z      (n,) of the same dtype, a new contiguous tensor: x where x > 0, slope * x elsewhere

One launch. At least one program for every four blocks.
"""

import math

import torch

from grader_kernels.problem import Case, Floor, Settings, normal, power_of_two

SHARE = "At least one program for every four blocks."
settings = Settings(launches=1, share=SHARE)

TAIL = "The last program is only partly full: round the number of programs up and mask what lies behind the end."
FORMULA = "Positive numbers stay what they are; the others are multiplied by the slope, whatever their size."


def cases(rng, sizes):
    def vector(n, mean=0.0, spread=5.0, dtype=torch.float32):
        return (normal(rng, n, spread=spread, mean=mean, dtype=dtype),)

    def between(low, high):
        return int(sizes.integers(low, high))

    def block(low=16, high=64):
        return power_of_two(sizes, low, high)

    wide, narrow, next_to, half = (block() for _ in range(4))
    large = block(1024, 4096)
    below = normal(rng, between(4, narrow - 1), spread=5, mean=-4)
    below[2] = 3.0
    with_zeros = normal(rng, between(33, 48), spread=5)
    with_zeros[::4] = 0.0
    endless = normal(rng, between(17, 30), spread=5)
    endless[[1, 5, 16]] = torch.tensor([math.inf, -math.inf, math.inf])
    return [
        Case("a single element, below zero", (-vector(1)[0].abs(),), {"slope": 0.5, "block": block()}, points_to=TAIL),
        Case("a last program that is partly full", vector(2 * wide + between(1, wide)), {"slope": 0.2, "block": wide},
             points_to=TAIL, lean=True, weight=2),
        Case("a vector shorter than a block", (below,), {"slope": 0.1, "block": narrow}, points_to=TAIL),
        Case("one element more than full blocks", vector(next_to * between(3, 12) + 1), {"block": next_to},
             points_to=TAIL),
        Case("the launcher's own slope and block", vector(256 * between(1, 3) + between(1, 256)), points_to=TAIL,
             weight=2),
        Case("large blocks", vector(large * between(1, 8) + between(1, large)), {"slope": 0.05, "block": large},
             lean=True, compile=True, points_to=FORMULA),
        Case("all numbers far below zero", vector(16 * between(3, 7) - between(1, 16), mean=-300, spread=3),
             {"slope": 0.3, "block": 16}, points_to=FORMULA),
        Case("zeros among the numbers", (with_zeros,), {"slope": 0.25, "block": 16}, points_to=FORMULA),
        Case("infinite numbers among them", (endless,), {"slope": 0.25, "block": 16},
             points_to="0 times an infinite number is NaN: choose one of the two, don't multiply by 0 and 1."),
        Case("a slope above 1", vector(between(17, 30)), {"slope": 1.5, "block": 16}, points_to=FORMULA),
        Case("a slope below zero", vector(between(17, 30)), {"slope": -0.5, "block": 16}, points_to=FORMULA),
        Case("float16", vector(half * between(2, 5) + between(3, half), dtype=torch.float16),
             {"slope": 0.125, "block": half},
             points_to="The result has the dtype of x."),
    ]  # fmt: skip


def large(rng):
    return Case("4 million elements", (normal(rng, 1 << 22),), {"block": 1024})


def reference(x, slope=0.01, block=256):
    return torch.where(x > 0, x, slope * x)


def programs(x, slope=0.01, block=256):
    return -(-x.shape[0] // (4 * block))


def floor(x, slope=0.01, block=256):
    n = x.numel() * x.element_size()
    why = "every element of x is read once and every element of z written once: 2 n elements; the slope costs none"
    return Floor({"x": n}, {"out": n}, why)
