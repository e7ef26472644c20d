"""A linear map and GELU in one kernel, in half precision.

linear_gelu(x, w, bias, block_m=64, block_n=64, block_k=32) -> y

x        (M, K) float16 or bfloat16, any strides
w        (N, K) same dtype, any strides of its own; one row for each output
bias     (N,) float32, contiguous
block_m  rows of y that a program computes at once, a power of two from 16
block_n  columns of y that a program computes at once, a power of two from 16
block_k  how far along K one step goes, a power of two from 16
y        (M, N) of x's dtype, new and contiguous: gelu(x @ w.T + bias), with
         gelu(z) = z / 2 * (1 + tanh(sqrt(2 / pi) * (z + 0.044715 * z^3)))

M, N and K need not be multiples of the blocks. tl.dot does the products, on the tiles as they were loaded. Sum, bias
and gelu are float32, the result is rounded once. Pre-activations of some thousands are no reason for NaN. One launch.
More than one program where there are more than four tiles.
"""

import torch
from torch.nn import functional

from grader_kernels.problem import Case, Floor, Settings, normal, power_of_two, strided

SHARE = "More than one program where there are more than four tiles."
settings = Settings(launches=1, tensor_cores="half", eps=1e-5, once=True, share=SHARE)

PLAIN = "This is the plain case: w[n, k] belongs to output n, and the bias to the column."
WHOLE = "Bias and gelu belong to the whole sum: once, after the last step along K."
TAIL = "Lanes past the end must add nothing (mask with other=0.0) and must store nothing; count the last tile too."
STRIDES = "x and w each have two strides of their own."
WHICH = "This gelu is the tanh form: z / 2 * (1 + tanh(sqrt(2 / pi) * (z + 0.044715 * z^3)))."
ACCUMULATE = "Keep the sum in float32 until the last step."
ROUND = "Sum and bias stay float32 until gelu is done: the bias may take back most of the sum."
LARGE = "For large numbers gelu is z or 0: a tanh out of exponentials divides infinity by infinity."
SMALL = {"block_m": 16, "block_n": 16, "block_k": 16}
HALF, BRAIN = torch.float16, torch.bfloat16


def cases(rng, sizes):
    def layer(m, k, n, dtype=HALF, spread=1.0, bias=0.0):
        """Pre-activations of size `spread`, moved by `bias` on the average."""
        x, w = normal(rng, m, k, dtype=dtype), normal(rng, n, k, spread=spread / k**0.5, dtype=dtype)
        return x, w, normal(rng, n, spread=0.5 * spread, mean=bias)

    def between(low, high):
        return int(sizes.integers(low, high))

    m, k, n = between(33, 48), between(33, 48), between(17, 32)
    one, next_to, inner = (power_of_two(sizes, 16, 32) for _ in range(3))
    turned = layer(between(17, 32), k, between(33, 48))
    square = layer(between(17, 32), 32, 32, spread=2.0)
    skipped = layer(n, 32, between(33, 48), BRAIN)
    return [
        Case("one tile, one step", layer(one, inner, 16, spread=2.0),
             {**SMALL, "block_m": one, "block_k": inner}, points_to=PLAIN),
        Case("several tiles and steps", layer(32 * between(2, 4), 32 * between(2, 5), 16 * between(2, 5), BRAIN),
             {"block_m": 32, "block_n": 16, "block_k": 32}, lean=True, points_to=WHOLE, weight=2),
        Case("no size is a multiple of its block", layer(m, k, n, spread=2.0), SMALL, points_to=TAIL, weight=2),
        Case("one more than a block each way, bfloat16", layer(next_to + 1, 2 * next_to + 1, next_to + 1, BRAIN),
             {"block_m": next_to, "block_n": next_to, "block_k": next_to}, points_to=TAIL),
        Case("a single row", layer(1, k, n, BRAIN, spread=2.0), SMALL, points_to=TAIL),
        Case("x and w transposed in memory", (strided(turned[0]), strided(turned[1]), turned[2]), SMALL,
             points_to=STRIDES, weight=2),
        Case("w every other column of a wider matrix, x dense",
             (skipped[0], strided(skipped[1], "every_other"), skipped[2]), SMALL, points_to=STRIDES, weight=2),
        Case("as many outputs as inputs, biases of few digits", (*square[:2], square[2].half().float()), SMALL,
             points_to=PLAIN),
        Case("numbers between -4 and -1, where the two forms of gelu differ most",
             layer(between(18, 31), 32, between(18, 31), spread=0.3, bias=-2.2), SMALL, points_to=WHICH, weight=2),
        Case("a bias that takes back most of the sum", _taken_back(rng, between(18, 31), 48, between(18, 31)), SMALL,
             points_to=ROUND, weight=2),
        Case("many small terms after a large one", _small_terms(between(3, 8), 16 * between(28, 37), between(3, 8)),
             SMALL, points_to=ACCUMULATE, weight=2),
        Case("pre-activations of thousands, of both signs",
             layer(between(18, 31), 32, between(18, 31), BRAIN, spread=3000.0), SMALL, points_to=LARGE, weight=2),
        Case("the launcher's own blocks", layer(between(65, 90), between(33, 60), between(65, 90)), points_to=TAIL),
        Case("tiles for tensor cores", layer(64 * between(1, 4), 32 * between(2, 5), 128), lean=True, compile=True),
    ]  # fmt: skip


def _taken_back(rng, m, k, n):
    """Every sum is about 9 and has digits that float16 has not; the bias of about -8 leaves 1."""
    x, w = normal(rng, m, k, spread=0.1, mean=0.4, dtype=HALF), normal(rng, n, k, spread=0.02, mean=0.47, dtype=HALF)
    return x, w, normal(rng, n, spread=0.1, mean=-8.0)


def _small_terms(m, k, n):
    """The first step gives 1, the other 27 or more give 0.003 each: in bfloat16 none of them would count."""
    x = torch.ones(m, k)
    x[:, 16:] = 0.003
    return x.to(BRAIN), torch.full((n, k), 1 / 16, dtype=BRAIN), torch.linspace(-0.5, 0.5, n)


def large(rng):
    x, w = (normal(rng, *shape, spread=0.5, dtype=BRAIN) for shape in ((4096, 768), (3072, 768)))
    return Case("4096 tokens, 768 to 3072", (x, w, normal(rng, 3072)), {"block_m": 128, "block_n": 128, "block_k": 64})


def reference(x, w, bias, block_m=64, block_n=64, block_k=32):
    return functional.gelu(x @ w.T + bias, approximate="tanh")


def baseline(x, w, bias, block_m=64, block_n=64, block_k=32):
    return reference(x.float(), w.float(), bias).to(x.dtype)


def operator(x, w, bias, block_m=64, block_n=64, block_k=32):
    return functional.gelu(functional.linear(x, w, bias.to(x.dtype)), approximate="tanh")


def programs(x, w, bias, block_m=64, block_n=64, block_k=32):
    return 2 if -(-x.shape[0] // block_m) * -(-w.shape[0] // block_n) > 4 else 1


def floor(x, w, bias, block_m=64, block_n=64, block_k=32):
    (m, k), n = x.shape, w.shape[0]
    loads = {"x": 2 * m * k * -(-n // block_n), "w": 2 * k * n * -(-m // block_m), "bias": 4 * n}
    why = (
        "a tile of y needs its rows of x and its rows of w once: every row of x is read by N / block_n tiles, every "
        "row of w by M / block_m tiles, every element of y is written once: 2 M K N / block_n + 2 K N M / block_m + "
        "2 M N; the N biases are asked for by many programs, but stay in the cache and count once"
    )
    return Floor(loads, {"out": 2 * m * n}, why, resident=("bias",), flops=2 * m * n * k)
