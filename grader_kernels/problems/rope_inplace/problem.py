"""Rotary position embedding of queries or keys, where they lie.

rope_inplace(x, cos, sin) -> x

x         (N, T, d) float32, float16 or bfloat16, any strides; d even, d / 2 need not be a power of two. It is changed.
cos, sin  (T, d / 2) float32, contiguous: of position t and pair i
returns   x itself: columns i and i + d/2 of position t turned by their angle,
          x[i] cos - x[i + d/2] sin  and  x[i] sin + x[i + d/2] cos

Work in float32. Every number of x is read once and written once. One launch.
More than one program where there are more than four positions, of all batches together.
"""

import torch

from grader_kernels.problem import Case, Floor, Settings, normal, power_of_two, strided

SHARE = "More than one program where there are more than four positions, of all batches together."
settings = Settings(launches=1, may_change=("x",), share=SHARE, once=True)

PAIRS = "Column i forms a pair with column i + d/2, and both new numbers need both old ones: read first, then write."
WHICH = "The tables are read at the position; which of your program's numbers is the position?"
STRIDE = "Ask x for all three strides."
TAIL = "d / 2 need not fill the block: lanes past it must neither read nor write."


def cases(rng, sizes):
    def between(low, high):
        return int(sizes.integers(low, high))

    def given(N, T, d, dtype=torch.float32, lay=lambda x: x):
        turn = torch.from_numpy(rng.uniform(-3.0, 3.0, (T, d // 2)))
        return lay(normal(rng, N, T, d, dtype=dtype)), turn.cos().float(), turn.sin().float()

    odd = 2 * between(2, 6) + 1  # half a width: 5, 7, 9 or 11
    shape = between(3, 5), between(5, 8), 4 * between(5, 8)
    exchanged = lambda x: x.transpose(0, 1).contiguous().transpose(0, 1)  # noqa: E731
    level = lambda x: x.sign() * 1.5 + 0.05 * x  # noqa: E731  # no number dwarfs the error of another
    return [
        Case("a single pair", given(1, 1, 2), points_to=PAIRS),
        Case("half the width is a power of two", given(between(8, 12), between(4, 8), power_of_two(sizes, 32, 128)),
             lean=True, compile=True, points_to=PAIRS),
        Case("half the width is no power of two", given(between(2, 5), 2 * between(3, 5), 2 * odd), weight=3,
             points_to=TAIL, lean=True, slack=1.1),
        Case("a wide head", given(2, between(2, 4), 2 * between(257, 300)), points_to=TAIL),
        Case("more positions than batches", given(2, 2 * between(4, 7) + 1, 2 * between(5, 8)), points_to=WHICH,
             lean=True),
        Case("more batches than positions", given(2 * between(4, 7) + 1, 3, 2 * between(5, 8)), points_to=WHICH),
        Case("one batch, many positions", given(1, between(17, 24), 2 * between(5, 8)), points_to=WHICH),
        Case("one position, many batches", given(between(17, 24), 1, 2 * between(5, 8)), points_to=WHICH),
        Case("positions before batch", given(*shape, lay=exchanged), points_to=STRIDE),
        Case("columns far apart", given(*shape, lay=lambda x: strided(x, "every_other")), points_to=STRIDE),
        Case("columns before positions", given(*shape, lay=strided), points_to=STRIDE),
        Case("float16", given(*shape, torch.float16, level), weight=2,
             points_to="Turn in float32, convert when storing."),
        Case("bfloat16", given(*shape, torch.bfloat16), points_to="Turn in float32, convert when storing."),
    ]  # fmt: skip


def large(rng):
    angles = torch.arange(1024)[:, None] * 10000.0 ** -(torch.arange(64) / 64)
    x = normal(rng, 64, 1024, 128, dtype=torch.bfloat16)
    return Case("64 heads of 1024 positions", (x, angles.cos(), angles.sin()))


def reference(x, cos, sin):
    half = x.shape[-1] // 2
    first = [x[..., i] * cos[:, i] - x[..., i + half] * sin[:, i] for i in range(half)]
    second = [x[..., i] * sin[:, i] + x[..., i + half] * cos[:, i] for i in range(half)]
    return torch.stack(first + second, dim=-1)


def baseline(x, cos, sin):
    return reference(x.float(), cos, sin).to(x.dtype)


def operator(x, cos, sin):
    first, second = x.chunk(2, -1)
    return x.copy_(torch.cat([first * cos - second * sin, first * sin + second * cos], -1))


def programs(x, cos, sin):
    return 2 if x.shape[0] * x.shape[1] > 4 else 1


def floor(x, cos, sin):
    n, table = x.numel() * x.element_size(), 4 * cos.numel()
    why = "every number of x is read once and written once, 2 N T d elements; the tables stay in a cache"
    return Floor({"x": n, "cos": table, "sin": table}, {"out": n}, why, resident=("cos", "sin"))
