"""The sum of two vectors.

vector_add(x, y, block=256) -> z

x, y   (n,) of one float dtype, any stride each; n is any number from 1 on
block  elements that a program handles, a power of two
z      (n,) of the same dtype, a new contiguous tensor: x + y

One launch. At least one program for every four blocks.
"""

import torch

from grader_kernels.problem import Case, Floor, Settings, normal, power_of_two, strided

SHARE = "At least one program for every four blocks."
settings = Settings(launches=1, vector_bits=128, share=SHARE)

TAIL = "The last program is only partly full: round the number of programs up and mask what lies behind the end."
STRIDE = "Element i of a vector lies at its pointer plus i times its own stride: ask x and y separately."


def cases(rng, sizes):
    def pair(n, dtype=torch.float32):
        return normal(rng, n, spread=5, dtype=dtype), normal(rng, n, spread=5, dtype=dtype)

    def between(low, high):
        return int(sizes.integers(low, high))

    def block(low=16, high=64):
        return power_of_two(sizes, low, high)

    wide, narrow, next_to, half = (block() for _ in range(4))
    n = between(33, 48)
    x, y = pair(n)
    column = normal(rng, n, between(5, 9), spread=5)[:, 3]
    large = block(1024, 4096)
    return [
        Case("a single element", pair(1), {"block": block()}, points_to=TAIL),
        Case("three programs, the last one partly full", pair(2 * wide + between(1, wide)), {"block": wide},
             points_to=TAIL, lean=True, weight=2),
        Case("a vector shorter than a block", pair(between(narrow // 2 + 1, narrow)), {"block": narrow},
             points_to=TAIL),
        Case("one element more than full blocks", pair(next_to * between(3, 12) + 1), {"block": next_to},
             points_to=TAIL),
        Case("large blocks, all of them full", pair(large * between(2, 9)), {"block": large}, lean=True, compile=True,
             points_to="This is the plain case: check which elements a program stands for."),
        Case("the launcher's own block", pair(256 * between(1, 9) + between(1, 256)), points_to=TAIL),
        Case("every other element of longer vectors", tuple(strided(v, "every_other") for v in pair(n)), {"block": 16},
             points_to=STRIDE, weight=2),
        Case("x a column of a matrix, y dense", (column, y), {"block": 16}, points_to=STRIDE),
        Case("x dense, y with a stride of its own", (x, strided(y, "every_other")), {"block": 16}, points_to=STRIDE,
             weight=2),
        Case("one number, expanded to a vector, and a dense y", (normal(rng, 1, spread=5).expand(n), y), {"block": 16},
             points_to="A stride may be 0: all elements of such a vector are the same number in memory."),
        Case("float64", pair(half * between(2, 5) + between(3, half), torch.float64), {"block": half},
             points_to="The result has the dtype of x and y."),
        Case("float16", pair(half * between(2, 5) + between(3, half), torch.float16), {"block": half},
             points_to="The result has the dtype of x and y."),
    ]  # fmt: skip


def large(rng):
    x, y = (normal(rng, 1 << 22) for _ in range(2))
    return Case("4 million elements", (x, y), {"block": 1024})


def reference(x, y, block=256):
    return x + y


def programs(x, y, block=256):
    return -(-x.shape[0] // (4 * block))


def floor(x, y, block=256):
    n = x.numel() * x.element_size()
    why = "every element of x and of y is read once and every element of z written once: 3 n elements"
    return Floor({"x": n, "y": n}, {"out": n}, why)
