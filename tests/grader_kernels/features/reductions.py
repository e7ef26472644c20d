"""Features: reductions, scans, sorting, counting."""

import functools
import operator

import numpy as np

from features.form import flags, mixed, positive, real, theme, these, whole

feature = theme("reductions")
x1, x2, x3 = mixed(16), mixed(4, 8), mixed(2, 4, 8)
ties = these(3, 7, 1, 7, 1, 3, 7, 1, dtype="int32")

# every reduction ------------------------------------------------------------------------------------------------------

SIMPLE = dict(
    sum=np.sum,
    max=np.max,
    min=np.min,
    argmax=np.argmax,
    argmin=np.argmin,
    xor_sum=np.bitwise_xor.reduce,
    reduce_or=np.bitwise_or.reduce,
)
for _name, _rule in SIMPLE.items():
    feature(f"tl.{_name} of a row", f"out = tl.{_name}(x, 0)", lambda x, rule=_rule: rule(x, 0), x=x1)
    feature(f"tl.{_name} along columns", f"out = tl.{_name}(x, axis=0)", lambda x, rule=_rule: rule(x, 0), x=x2)
    feature(f"tl.{_name} along rows", f"out = tl.{_name}(x, axis=1)", lambda x, rule=_rule: rule(x, 1), x=x2)
    feature(
        f"tl.{_name} that keeps its axis",
        f"out = tl.{_name}(x, 1, keep_dims=True)",
        lambda x, rule=_rule: np.expand_dims(rule(x, 1), 1),
        x=x2,
    )
for _name in ("sum", "max", "min", "xor_sum"):
    feature(
        f"tl.{_name} over everything", f"out = tl.{_name}(x)", lambda x, rule=SIMPLE[_name]: rule(x.reshape(-1)), x=x2
    )
feature("tl.sum over a middle axis", "out = tl.sum(x, 1)", lambda x: x.sum(1), x=x3)
feature("tl.sum over the last axis", "out = tl.sum(x, -1)", lambda x: x.sum(-1), x=x3)
feature("tl.sum twice", "out = tl.sum(tl.sum(x, 2), 0)", lambda x: x.sum((0, 2)), x=x3)
feature("tl.sum over everything, keeping axes", "out = tl.sum(x, keep_dims=True)", lambda x: x.sum(keepdims=True), x=x2)
feature("tl.sum of floats", "out = tl.sum(x, 0)", lambda x: x.sum(0), x=real(16), near=1e-6)
feature(
    "tl.sum of float16 stays float16",
    "out = tl.sum(x, 0)\ntl.static_assert(out.dtype == tl.float16)",
    lambda x: x.sum(0),
    x=whole(16, dtype="float16"),
    dtype="float16",
)
feature(
    "tl.sum of int8 is int32",
    "out = tl.sum(x, 0)\ntl.static_assert(out.dtype == tl.int32)",
    lambda x: x.sum(0),
    x=whole(32, dtype="int8", low=90, high=127),
)
feature(
    "tl.sum of uint8 is uint32",
    "out = tl.sum(x, 0)\ntl.static_assert(out.dtype == tl.uint32)",
    lambda x: x.sum(0),
    x=whole(32, dtype="uint8", low=90, high=255),
)
feature("tl.sum of a mask counts", "out = tl.sum(x, 0)", lambda x: int(x.sum()), x=flags(16))
feature(
    "tl.sum in another dtype", "out = tl.sum(x, 0, dtype=tl.float64)", lambda x: x.sum(0), x=real(16), dtype="float64"
)
feature(
    "tl.sum of int64",
    "out = tl.sum(x, 0)",
    lambda x: x.sum(),
    x=whole(16, dtype="int64", low=2**40, high=2**50),
    dtype="int64",
)
feature(
    "tl.max of bfloat16 is float32",
    "out = tl.max(x, 0)\ntl.static_assert(out.dtype == tl.float32)",
    lambda x: x.max(),
    x=real(16, dtype="bfloat16"),
)
feature(
    "tl.max of int8 is int32",
    "out = tl.max(x, 0)\ntl.static_assert(out.dtype == tl.int32)",
    lambda x: x.max(),
    x=whole(16, dtype="int8"),
)
feature(
    "tl.max of unsigned",
    "out = tl.max(x.to(tl.uint32, bitcast=True), 0).to(tl.int64)",
    lambda x: (x % 2**32).max(),
    x=whole(16),
    dtype="int64",
)
feature("tl.min of float16", "out = tl.min(x, 0)", lambda x: x.min(), x=real(16, dtype="float16"))
feature("tl.max passes NaN over", "out = tl.max(x, 0)", lambda x: np.nanmax(x), x=these(1.0, float("nan"), 3.0, -2.0))
feature("tl.max of -inf", "out = tl.max(x, 1)", lambda x: x.max(1), x=these([-np.inf] * 4, [1.0, -np.inf, 0.0, 2.0]))

# ties and places ------------------------------------------------------------------------------------------------------

feature("tl.argmax takes the first of equals", "out = tl.argmax(x, 0)", np.argmax, x=ties)
feature("tl.argmin takes the first of equals", "out = tl.argmin(x, 0, tie_break_left=True)", np.argmin, x=ties)
feature(
    "tl.argmax of any of equals", "i = tl.argmax(x, 0, tie_break_left=False)\nout = tl.load(x_ptr + i)", np.max, x=ties
)
feature(
    "tl.max with places",
    "value, place = tl.max(x, 1, return_indices=True)\nout = value * 100 + place",
    lambda x: x.max(1) * 100 + x.argmax(1),
    x=x2,
)
feature(
    "tl.min with places",
    "value, place = tl.min(x, 0, return_indices=True)\nout = value * 100 + place",
    lambda x: x.min(0) * 100 + x.argmin(0),
    x=x2,
)
feature(
    "tl.max with places, keeping the axis",
    "value, place = tl.max(x, 1, return_indices=True, keep_dims=True)\nout = value - place",
    lambda x: (x.max(1) - x.argmax(1))[:, None],
    x=x2,
)
feature(
    "tl.max with any place",
    "value, _ = tl.max(x, 0, return_indices=True, return_indices_tie_break_left=False)\nout = value",
    np.max,
    x=ties,
)
feature("tl.argmax of float16", "out = tl.argmax(x, 0)", np.argmax, x=real(16, dtype="float16"))
feature(
    "tl.argmin of a mask of numbers",
    "out = tl.argmin(tl.where(x > 4, x, 1000), 0)",
    lambda x: np.argmin(np.where(x > 4, x, 999)),
    x=x1,
)

# any combination ------------------------------------------------------------------------------------------------------

PRODUCT = "@triton.jit\ndef times(a, b):\n    return a * b"
feature("tl.reduce with a product", "out = tl.reduce(x, 0, times)", np.prod, x=whole(16, low=1, high=4), above=PRODUCT)
feature(
    "tl.reduce along rows",
    "out = tl.reduce(x, axis=1, combine_fn=times)",
    lambda x: x.prod(1),
    x=whole(4, 8, low=1, high=4),
    above=PRODUCT,
)
feature(
    "tl.reduce that keeps its axis",
    "out = tl.reduce(x, 1, times, keep_dims=True)",
    lambda x: x.prod(1, keepdims=True),
    x=whole(4, 8, low=1, high=4),
    above=PRODUCT,
)
feature(
    "tl.reduce over everything", "out = tl.reduce(x, None, times)", np.prod, x=whole(4, 4, low=1, high=3), above=PRODUCT
)
feature(
    "tl.reduce with if inside",
    "out = tl.reduce(x, 0, larger)",
    np.max,
    x=x1,
    above="""
@triton.jit
def larger(a, b):
    if a > b:
        out = a
    else:
        out = b
    return out
""",
)
WELFORD = """
@triton.jit
def merge(mean_a, m2_a, n_a, mean_b, m2_b, n_b):
    n = n_a + n_b
    delta = mean_b - mean_a
    share = tl.where(n == 0, 0.0, n_b / n)
    return mean_a + delta * share, m2_a + m2_b + delta * delta * n_a * share, n
"""
feature(
    "tl.reduce of three tiles at once",
    """
    mean, m2, n = tl.reduce((x, tl.zeros_like(x), tl.full((16,), 1.0, tl.float32)), 0, merge)
    out = tl.join(mean, m2 / n)
    """,
    lambda x: [x.mean(), x.var()],
    x=real(16),
    above=WELFORD,
    within=1e-6,
)
feature(
    "tl.reduce of two tiles along rows",
    """
    value, place = tl.reduce((x, tl.broadcast_to(tl.arange(0, 8)[None, :], (4, 8))), 1, last_largest)
    out = value * 100 + place
    """,
    lambda x: x.max(1) * 100 + 7 - x[:, ::-1].argmax(1),
    x=whole(4, 8, low=0, high=3),
    above="""
@triton.jit
def last_largest(value_a, place_a, value_b, place_b):
    take_b = (value_b > value_a) | ((value_b == value_a) & (place_b > place_a))
    return tl.where(take_b, value_b, value_a), tl.where(take_b, place_b, place_a)
""",
)
feature(
    "logsumexp by tl.reduce",
    "m, s = tl.reduce((x, tl.full((16,), 1.0, tl.float32)), 0, merge)\nout = m + tl.log(s)",
    lambda x: np.log(np.exp(x).sum()),
    x=real(16, high=9.0),
    within=1e-6,
    above="""
@triton.jit
def merge(m_a, s_a, m_b, s_b):
    m = tl.maximum(m_a, m_b)
    return m, s_a * tl.exp(m_a - m) + s_b * tl.exp(m_b - m)
""",
)

# scans ----------------------------------------------------------------------------------------------------------------

feature("tl.cumsum", "out = tl.cumsum(x, 0)", np.cumsum, x=x1)
feature("tl.cumsum along rows", "out = tl.cumsum(x, axis=1)", lambda x: x.cumsum(1), x=x2)
feature("tl.cumsum along columns", "out = tl.cumsum(x, 0)", lambda x: x.cumsum(0), x=x2)
feature("tl.cumsum along the last axis", "out = tl.cumsum(x, -1)", lambda x: x.cumsum(-1), x=x3)
feature("tl.cumsum backwards", "out = tl.cumsum(x, 0, reverse=True)", lambda x: x[::-1].cumsum()[::-1], x=x1)
feature("tl.cumsum of int8", "out = tl.cumsum(x, 0)", np.cumsum, x=whole(16, dtype="int8", low=0, high=20))
feature(
    "tl.cumsum in another dtype",
    "out = tl.cumsum(x, 0, dtype=tl.float32)",
    np.cumsum,
    x=whole(16, dtype="float16"),
    dtype="float32",
)
feature(
    "tl.cumsum of a mask numbers its places",
    "out = tl.cumsum(x.to(tl.int32), 0) - 1",
    lambda x: x.cumsum() - 1,
    x=flags(16),
)
feature("tl.cumprod", "out = tl.cumprod(x, 0)", np.cumprod, x=whole(16, low=1, high=3))
feature(
    "tl.cumprod backwards along rows",
    "out = tl.cumprod(x, 1, reverse=True)",
    lambda x: x[:, ::-1].cumprod(1)[:, ::-1],
    x=positive(4, 8, high=2.0),
    within=2e-6,
)
LARGER = "@triton.jit\ndef larger(a, b):\n    return tl.maximum(a, b)"
feature("tl.associative_scan", "out = tl.associative_scan(x, 0, larger)", np.maximum.accumulate, x=x1, above=LARGER)
feature(
    "tl.associative_scan backwards",
    "out = tl.associative_scan(x, 1, larger, reverse=True)",
    lambda x: np.maximum.accumulate(x[:, ::-1], 1)[:, ::-1],
    x=x2,
    above=LARGER,
)
LINEAR = """
@triton.jit
def follow(a, b, c, d):
    return a * c, b * c + d
"""


def recurrence(a, b):
    """h = a h + b, from 0."""
    return np.array(functools.reduce(lambda hs, ab: [*hs, ab[0] * hs[-1] + ab[1]], zip(a, b), [0.0])[1:])


feature(
    "tl.associative_scan of two tiles",
    "_, out = tl.associative_scan((x, y), 0, follow)",
    recurrence,
    x=positive(16, high=1.0),
    y=real(16),
    above=LINEAR,
    near=1e-6,
)
feature(
    "tl.associative_scan of two tiles backwards",
    "_, out = tl.associative_scan((x, y), 0, follow, reverse=True)",
    lambda x, y: recurrence(x[::-1], y[::-1])[::-1],
    x=positive(16, high=1.0),
    y=real(16),
    above=LINEAR,
    near=1e-6,
)
feature(
    "the order of a scan",
    "_, out = tl.associative_scan((x, y), 0, right)",
    lambda x, y: y,
    x=x1,
    y=mixed(16, seed=1),
    above="@triton.jit\ndef right(a, b, c, d):\n    return a + c, d",
)
SEGMENTS = """
@triton.jit
def within(a, new_a, b, new_b):
    return tl.where(new_b != 0, b, a + b), new_a | new_b
"""


def segments(x, y):
    """Running sums that begin again where y is true."""
    return [sum(x[max([0, *np.flatnonzero(y[: i + 1])]) : i + 1]) for i in range(len(x))]


feature(
    "sums of segments by a scan",
    "out, _ = tl.associative_scan((x, y.to(tl.int32)), 0, within)",
    segments,
    x=x1,
    y=flags(16),
    above=SEGMENTS,
)

# sorting and counting -------------------------------------------------------------------------------------------------

feature("tl.sort", "out = tl.sort(x)", np.sort, x=x1)
feature("tl.sort downwards", "out = tl.sort(x, descending=True)", lambda x: np.sort(x)[::-1], x=x1)
feature("tl.sort of rows", "out = tl.sort(x, dim=1)", lambda x: np.sort(x, 1), x=x2)
feature("tl.sort of floats", "out = tl.sort(x, 0)", np.sort, x=real(16), within=0.0)
feature("tl.sort of equals", "out = tl.sort(x)", np.sort, x=ties)
feature(
    "tl.sort of int64", "out = tl.sort(x)", np.sort, x=whole(16, dtype="int64", low=-(2**60), high=2**60), dtype="int64"
)
feature(
    "tl.sort of keys with places",
    "s = tl.sort(x * 16 + tl.arange(0, 16))\nout = s % 16",
    lambda x: np.argsort(x, kind="stable"),
    x=whole(16, low=0, high=6),
)
feature("tl.topk", "out = tl.topk(x, 4)", lambda x: np.sort(x)[::-1][:4], x=x1)
feature("tl.topk of rows", "out = tl.topk(x, 2, dim=1)", lambda x: np.sort(x, 1)[:, ::-1][:, :2], x=x2)
feature(
    "tl.topk of float16",
    "out = tl.topk(x, 4)",
    lambda x: np.sort(x)[::-1][:4],
    x=real(16, dtype="float16"),
    dtype="float16",
)
feature("tl.bitonic_merge", "out = tl.bitonic_merge(x)", np.sort, x=these(1, 3, 5, 7, 6, 4, 2, 0, dtype="int32"))
feature("tl.histogram", "out = tl.histogram(x, 8)", lambda x: np.bincount(x, minlength=8), x=whole(32, low=0, high=8))
feature(
    "tl.histogram under a mask",
    "out = tl.histogram(x, 8, mask=x < 5)",
    lambda x: np.bincount(x[x < 5], minlength=8),
    x=whole(32, low=0, high=8),
)
feature(
    "a histogram by comparison",
    "out = tl.sum((x[None, :] == tl.arange(0, 8)[:, None]).to(tl.int32), 1)",
    lambda x: np.bincount(x, minlength=8),
    x=whole(32, low=0, high=8),
)
feature("a norm", "out = tl.sqrt(tl.sum(x * x, 1))", lambda x: np.sqrt((x * x).sum(1)), x=real(4, 8), within=1e-6)
feature(
    "a variance",
    "c = x - tl.sum(x, 1)[:, None] / 8\nout = tl.sum(c * c, 1) / 8",
    lambda x: x.var(1),
    x=real(4, 8),
    within=1e-6,
)
feature(
    "ranks by counting",
    "out = tl.sum((x[:, None] > x[None, :]).to(tl.int32), 1)",
    lambda x: np.argsort(np.argsort(x)),
    x=x1,
)
feature(
    "a bit or over rows",
    "out = tl.reduce_or(1 << x, 1)",
    lambda x: functools.reduce(operator.or_, (1 << x).T),
    x=whole(4, 8, low=0, high=9),
)
