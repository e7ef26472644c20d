"""Features: operators between tiles, numbers and every pair of dtypes; comparison, logic, shifts, wrapping."""

import numpy as np

from features.form import flags, mixed, positive, real, theme, these, whole

feature = theme("arithmetic")
COMPARE = {
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
    "==": np.equal,
    "!=": np.not_equal,
}
COMBINE = {"&": np.bitwise_and, "|": np.bitwise_or, "^": np.bitwise_xor}


# which dtype a sum has ------------------------------------------------------------------------------------------------

SUMS = {
    ("int8", "int8"): "int8",
    ("int8", "int16"): "int16",
    ("int16", "int32"): "int32",
    ("int32", "int64"): "int64",
    ("uint8", "int8"): "uint8",
    ("uint8", "int16"): "int16",
    ("uint8", "int32"): "int32",
    ("bool", "int8"): "int8",
    ("bool", "int32"): "int32",
    ("int64", "float16"): "float16",
    ("int32", "bfloat16"): "float32",
    ("int8", "float32"): "float32",
    ("uint8", "float64"): "float64",
    ("float16", "float16"): "float16",
    ("float16", "bfloat16"): "float16",
    ("float16", "float32"): "float32",
    ("bfloat16", "bfloat16"): "bfloat16",
    ("bfloat16", "float32"): "float32",
    ("float32", "float64"): "float64",
    ("bfloat16", "float64"): "float64",
}


def small(dtype, seed):
    """Numbers whose sums are exact in every dtype."""
    return flags(16, seed=seed) if dtype == "bool" else whole(16, dtype=dtype, low=0, high=50, seed=seed)


for (_left, _right), _out in SUMS.items():
    feature(
        f"{_left} + {_right} is {_out}",
        f"out = x + y\ntl.static_assert(out.dtype == tl.{_out})",
        lambda x, y: x.astype(float) + y,
        x=small(_left, 0),
        y=small(_right, 1),
        dtype=_out,
    )

UNSIGNED = {
    ("uint32", "int32"): "uint32",
    ("uint32", "int64"): "int64",
    ("uint64", "int64"): "uint64",
    ("uint16", "uint32"): "uint32",
    ("int8", "uint16"): "uint16",
}
for (_left, _right), _out in UNSIGNED.items():
    feature(
        f"{_left} + {_right} is {_out}",
        f"""
        total = x.to(tl.{_left}) + y.to(tl.{_right})
        tl.static_assert(total.dtype == tl.{_out})
        out = total.to(tl.int64)
        """,
        lambda x, y: x + y,
        x=whole(16, low=0, high=90),
        y=whole(16, low=0, high=30, seed=1),
        dtype="int64",
    )

# which dtype a quotient has -------------------------------------------------------------------------------------------

QUOTIENTS = {
    ("int32", "int32"): "float32",
    ("int8", "int16"): "float32",
    ("int64", "float64"): "float64",
    ("float16", "float16"): "float32",
    ("bfloat16", "bfloat16"): "float32",
    ("float32", "int32"): "float32",
    ("float16", "float64"): "float64",
}
for (_left, _right), _out in QUOTIENTS.items():
    feature(
        f"{_left} / {_right} is {_out}",
        f"out = x / y\ntl.static_assert(out.dtype == tl.{_out})",
        lambda x, y: x / y,
        x=whole(16, dtype=_left, low=-30, high=30),
        y=whole(16, dtype=_right, low=1, high=9, seed=1),
        dtype=_out,
    )


def quotient(x, y):
    """Toward zero, as in C."""
    return np.trunc(x / y).astype(int)


signed = dict(x=these(7, -7, 7, -7, 6, -6, 1, 0, dtype="int32"), y=these(2, 2, -2, -2, 3, 3, 5, 4, dtype="int32"))
feature("// rounds toward zero", "out = x // y", quotient, **signed)
feature("% has the sign of the dividend", "out = x % y", lambda x, y: x - y * quotient(x, y), **signed)
feature("float % float", "out = x % y", np.fmod, x=real(16, high=9.0), y=positive(16, seed=1))
feature("// by a number", "out = x // 3", lambda x: quotient(x, 3), x=whole(16))
feature("% by a number", "out = x % 7", lambda x: np.fmod(x, 7), x=whole(16, low=-40, high=40))
feature("a number // tile", "out = 100 // x", lambda x: quotient(100, x), x=whole(16, low=1, high=30))
feature("a number % tile", "out = 100 % x", lambda x: 100 % x, x=whole(16, low=1, high=30))
feature(
    "unsigned // and %",
    "u = x.to(tl.uint32, bitcast=True)\nout = (u // 3).to(tl.int64) * 8 + (u % 3).to(tl.int64)",
    lambda x: (x % 2**32 // 3) * 8 + x % 2**32 % 3,
    x=whole(16, low=-(2**31), high=2**31),
    dtype="int64",
)

# numbers beside tiles -------------------------------------------------------------------------------------------------

feature("number + tile", "out = 1.5 + x", lambda x: 1.5 + x, x=real(16), within=1e-6)
feature("number - tile", "out = 1 - x", lambda x: 1 - x, x=whole(16))
feature("number * tile", "out = 3 * x", lambda x: 3 * x, x=whole(16))
feature("number / tile", "out = 2 / x", lambda x: 2 / x, x=positive(16))
feature(
    "a number does not widen a float16",
    "out = x * 2.5 + 1\ntl.static_assert(out.dtype == tl.float16)",
    lambda x: x * 2.5 + 1,
    x=whole(16, dtype="float16"),
    dtype="float16",
)
feature(
    "a number does not widen an int8",
    "out = x * 2 + 100\ntl.static_assert(out.dtype == tl.int8)",
    lambda x: x * 2 + 100,
    x=whole(16, dtype="int8"),
    dtype="int8",
)
feature(
    "a float number makes an int tile float32",
    "out = x * 0.5\ntl.static_assert(out.dtype == tl.float32)",
    lambda x: x * 0.5,
    x=whole(16),
)
feature(
    "a scalar argument takes part in promotion",
    "out = x + n\ntl.static_assert(out.dtype == tl.int32)",
    lambda x, n: x + n,
    x=whole(16, dtype="int8"),
    n=1000,
)
feature("a float argument is float32", "out = x * s", lambda x, s: x * s, x=whole(16, dtype="float16"), s=0.5)
feature(
    "a large argument is int64",
    "out = x + n\ntl.static_assert(out.dtype == tl.int64)",
    lambda x, n: x + n,
    x=whole(16),
    n=2**40,
    dtype="int64",
)
feature("a bool argument", "out = tl.where(b, x, -x)", lambda x, b: x if b else -x, x=whole(16), b=True)
feature("an argument that is 1", "out = x * n", lambda x, n: x * n, x=whole(16), n=1)
feature("an argument that is None", "out = x if bias is None else x + bias", lambda x, bias: x, x=whole(16), bias=None)

# one operand ----------------------------------------------------------------------------------------------------------

feature("-tile", "out = -x", np.negative, x=real(16))
feature("~tile", "out = ~x", np.invert, x=whole(16))
feature("~ of a mask", "out = ~x", np.invert, x=flags(16))
feature("not mask", "out = not x", np.logical_not, x=flags(16))
feature("- of the smallest int8", "out = -x", np.negative, x=these(-128, 127, 0, 5, dtype="int8"), dtype="int8")

# comparison and logic -------------------------------------------------------------------------------------------------

for _sign, _compare in COMPARE.items():
    feature(
        f"tile {_sign} tile",
        f"out = x {_sign} y",
        _compare,
        x=whole(16, low=0, high=5),
        y=whole(16, low=0, high=5, seed=1),
    )
_nan = dict(x=these(1.0, float("nan"), 2.0, float("inf")), y=these(1.0, float("nan"), 1.0, float("nan")))
feature("comparison with NaN", "out = (x < y) | (x == y) | (x > y)", np.array([True, False, True, False]), **_nan)
feature("x != x finds NaN", "out = x != x", lambda x, y: np.isnan(x), **_nan)
feature("number < tile", "out = 2 < x", lambda x: x > 2, x=whole(16, low=0, high=5))
feature("float16 < int32", "out = x < y", np.less, x=real(16, dtype="float16"), y=whole(16, low=-3, high=3))
feature(
    "unsigned comparison",
    "out = x.to(tl.uint32, bitcast=True) > 5",
    lambda x: x % 2**32 > 5,
    x=whole(16),
)
for _sign, _combine in COMBINE.items():
    feature(
        f"tile {_sign} tile",
        f"out = x {_sign} y",
        _combine,
        x=whole(16, low=-99, high=99),
        y=whole(16, low=-99, high=99, seed=1),
    )
    feature(
        f"mask {_sign} mask",
        f"out = (x > 0) {_sign} y",
        lambda x, y, combine=_combine: combine(x > 0, y),
        x=whole(16),
        y=flags(16),
    )
feature("tile & number", "out = x & 0xF", lambda x: x & 15, x=whole(16, low=-99, high=99))
feature("number | tile", "out = 3 | x", lambda x: x | 3, x=whole(16, low=-99, high=99))
feature("int8 & int32", "out = x & y", lambda x, y: x & y, x=whole(16, dtype="int8"), y=whole(16, low=0, high=999))
_masks = dict(x=flags(16), y=flags(16, seed=1))
feature("mask and mask", "out = x and y", np.logical_and, **_masks)
feature("mask or mask", "out = x or y", np.logical_or, **_masks)
feature("x.logical_and(y)", "out = x.logical_and(y)", np.logical_and, **_masks)
feature("x.logical_or(y)", "out = x.logical_or(y)", np.logical_or, **_masks)
feature("and, or, not mixed", "out = x and not y or y and not x", np.logical_xor, **_masks)

# shifts ---------------------------------------------------------------------------------------------------------------

feature("tile << tile", "out = x << y", lambda x, y: x << y, x=whole(16), y=whole(16, low=0, high=9))
feature("tile >> keeps the sign", "out = x >> 2", lambda x: x >> 2, x=whole(16, low=-99, high=99))
feature(
    "unsigned >> brings zeros",
    "out = (x.to(tl.uint32, bitcast=True) >> 4).to(tl.int32)",
    lambda x: x % 2**32 >> 4,
    x=whole(16),
)
feature("number << tile", "out = 1 << x", lambda x: 1 << x, x=whole(16, low=0, high=31))
feature("<< of int8 stays int8", "out = x << 4", lambda x: x << 4, x=whole(16, dtype="int8"), dtype="int8")
feature("<< of int64", "out = x << 40", lambda x: x << 40, x=whole(16, dtype="int64"), dtype="int64")


def hashed(x):
    """Two rounds of multiplying and folding, in 32 bits."""
    first = [int(n) * 2654435761 % 2**32 for n in x]
    return [(h ^ h >> 15) * 2246822519 % 2**32 >> 8 for h in first]


# wrapping and rounding ------------------------------------------------------------------------------------------------

feature("int32 product wraps", "out = x * x", lambda x: x * x, x=whole(16, low=10**5, high=10**6))
feature("int8 sum wraps", "out = x + x", lambda x: x + x, x=whole(16, dtype="int8", low=60, high=127), dtype="int8")
feature(
    "int64 product wraps",
    "out = x * x",
    lambda x: np.array([int(n) ** 2 for n in x], object),
    x=whole(16, dtype="int64", low=2**33, high=2**40),
    dtype="int64",
)
feature(
    "float16 sum rounds each step",
    "out = x + y + z",
    lambda x, y, z: (x + y).astype(np.float16).astype(float) + z,
    x=real(16, dtype="float16"),
    y=real(16, dtype="float16", seed=1),
    z=real(16, dtype="float16", seed=2),
    dtype="float16",
    near=2e-3,
)
feature(
    "bfloat16 product is rounded to nearest even",
    "out = x * y",
    lambda x, y: x * y,
    x=real(16, dtype="bfloat16"),
    y=real(16, dtype="bfloat16", seed=1),
    dtype="bfloat16",
    within=0.0,
)
feature(
    "a hash in uint32 wraps",
    "h = x.to(tl.uint32) * 2654435761\nh = (h ^ (h >> 15)) * 2246822519\nout = (h >> 8).to(tl.int32)",
    hashed,
    x=whole(16, low=0, high=2**31),
)
feature("float32 sum is rounded once", "out = x + y", np.add, x=real(16), y=real(16, seed=1), within=0.0)
feature(
    "float64 keeps its digits", "out = x * y", np.multiply, x=real(16, dtype="float64"), y=real(16), dtype="float64"
)
feature("a subnormal float32", "out = x * 0.25", lambda x: x / 4, x=these(1e-38, -2e-38, 1e-40, 1e-45), within=0.0)
feature("division by zero", "out = x / 0.0", np.array([np.inf, -np.inf, np.nan, np.inf]), x=these(1.0, -1.0, 0.0, 9.0))
feature("float overflow", "out = x * x", np.full(4, np.inf), x=these(1e30, -1e30, 1e38, 1e20))
feature(
    "in-place operators",
    "x += 1\nx *= 2\nx -= 3\nx //= 2\nx %= 50\nx <<= 2\nx >>= 1\nx &= 255\nx |= 1\nx ^= 4\nout = x",
    lambda x: (np.fmod(quotient((x + 1) * 2 - 3, 2), 50) << 2 >> 1 & 255 | 1) ^ 4,
    x=whole(16),
)
feature("x /= y", "x /= y\nout = x", np.divide, x=real(16), y=positive(16))
feature("tl.add", "out = tl.add(x, y)", np.add, x=whole(16), y=whole(16, seed=1))
feature("tl.sub", "out = tl.sub(x, 5)", lambda x: x - 5, x=whole(16))
feature("tl.mul", "out = tl.mul(x, y)", np.multiply, x=whole(16), y=whole(16, seed=1))
feature(
    "tl.add without a check of overflow",
    "out = tl.add(x, x, sanitize_overflow=False)",
    lambda x: x + x,
    x=whole(16, low=2**30, high=2**31),
)
feature(
    "row with column", "out = x[:, None] * 100 + y[None, :]", lambda x, y: x[:, None] * 100 + y, x=mixed(8), y=mixed(16)
)
feature("scalar from a load", "out = x * tl.load(y_ptr + 1)", lambda x, y: x * y[1], x=whole(16), y=whole(4))
feature(
    "precedence",
    "out = x + y * 2 ** 3 - (x - y) // 2 % 3",
    lambda x, y: x + y * 8 - quotient(x - y, 2) % 3,
    x=whole(16, low=30, high=60),
    y=whole(16, low=0, high=30),
)
feature("bool + bool", "out = x + y", lambda x, y: x ^ y, **_masks)
feature("int of a mask counts", "out = tl.sum(x.to(tl.int32))", lambda x: int(x.sum()), x=flags(16))
feature("true division of numbers", "out = x * (7 / 2)", lambda x: x * 3.5, x=whole(16))
feature(
    "numbers of the host, mixed",
    "out = (x + n) * s / d",
    lambda x, n, s, d: (x + n) * s / d,
    x=real(16),
    n=3,
    s=0.25,
    d=7,
)
