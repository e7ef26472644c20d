"""Scale one vector and add another, fused.

fused_scale_add(x, y, alpha, block=256) -> z

x, y   (n,) of one float dtype, any stride each; n is any number from 1 on
alpha  a float
block  elements that a program handles, a power of two
z      (n,) of the same dtype, a new contiguous tensor: alpha * x + y

One launch, and at least one program for every four blocks: alpha * x never reaches memory.
"""

import torch

from grader_kernels.problem import Case, Floor, Settings, normal, power_of_two, strided

SHARE = "At least one program for every four blocks."
settings = Settings(launches=1, vector_bits=128, share=SHARE)

TAIL = "The last program is only partly full: round the number of programs up and mask what lies behind the end."
STRIDE = "Element i of a vector lies at its pointer plus i times its own stride: ask x and y separately."
FORMULA = "alpha multiplies x and nothing else, and any number may be given for it."
ROUNDED = "alpha * x and y nearly cancel: what is left shows how the product was rounded. float16 keeps three digits."


def cases(rng, sizes):
    def pair(n, dtype=torch.float32):
        return normal(rng, n, spread=5, dtype=dtype), normal(rng, n, spread=5, dtype=dtype)

    def between(low, high):
        return int(sizes.integers(low, high))

    def alpha(sign=1):
        return sign * float(sizes.uniform(1.5, 4))

    def block(low=16, high=64):
        return power_of_two(sizes, low, high)

    wide, narrow, next_to, half = (block() for _ in range(4))
    large = block(1024, 4096)
    n = between(33, 48)
    x, y = pair(n)
    factor = alpha()
    nearly = (0.1 * y - 0.9 * factor * x, factor)
    column = normal(rng, n, between(5, 9), spread=5)[:, 3]
    return [
        Case("a single element", (*pair(1), 0.5), {"block": block()}, points_to=TAIL),
        Case("three programs, the last one partly full", (*pair(2 * wide + between(1, wide)), alpha(-1)),
             {"block": wide}, points_to=TAIL, lean=True, weight=2),
        Case("a vector shorter than a block", (*pair(between(narrow // 2 + 1, narrow)), alpha()), {"block": narrow},
             points_to=TAIL),
        Case("one element more than full blocks", (*pair(next_to * between(3, 12) + 1), alpha()), {"block": next_to},
             points_to=TAIL),
        Case("large blocks, all of them full", (*pair(large * between(2, 9)), alpha()), {"block": large}, lean=True,
             compile=True, points_to=FORMULA),
        Case("the launcher's own block, and alpha is 1", (*pair(256 * between(1, 9) + between(1, 256)), 1.0),
             points_to=TAIL),
        Case("alpha is 0", (*pair(n), 0.0), {"block": 16}, points_to=FORMULA),
        Case("alpha * x and y nearly cancel", (x, *nearly), {"block": 16}, points_to=ROUNDED),
        Case("every other element of longer vectors", (*(strided(v, "every_other") for v in pair(n)), 0.75),
             {"block": 16}, points_to=STRIDE, weight=2),
        Case("x a column of a matrix, y dense", (column, y, alpha(-1)), {"block": 16}, points_to=STRIDE),
        Case("x dense, y with a stride of its own", (x, strided(y, "every_other"), alpha()), {"block": 16},
             points_to=STRIDE, weight=2),
        Case("float16", (*pair(half * between(2, 5) + between(3, half), torch.float16), -2.0), {"block": half},
             points_to="The result has the dtype of x and y."),
    ]  # fmt: skip


def large(rng):
    x, y = (normal(rng, 1 << 22) for _ in range(2))
    return Case("4 million elements", (x, y, 0.5), {"block": 1024})


def reference(x, y, alpha, block=256):
    return alpha * x + y


def programs(x, y, alpha, block=256):
    return -(-x.shape[0] // (4 * block))


def floor(x, y, alpha, block=256):
    n = x.numel() * x.element_size()
    why = "every element of x and of y is read once and every element of z written once: 3 n elements; alpha costs none"
    return Floor({"x": n, "y": n}, {"out": n}, why)
