"""Features: the elementwise functions of tl, and those of libdevice."""

import math
from fractions import Fraction

import numpy as np

from features.form import flags, positive, real, theme, these, whole

feature = theme("functions")
vectorized = np.vectorize(math.erf, otypes=[float])

EXACT = dict(abs=np.abs, floor=np.floor, ceil=np.ceil)
SMOOTH = dict(exp=np.exp, exp2=np.exp2, sin=np.sin, cos=np.cos, erf=vectorized, sigmoid=lambda x: 1 / (1 + np.exp(-x)))
OF_POSITIVE = dict(log=np.log, log2=np.log2, sqrt=np.sqrt, sqrt_rn=np.sqrt, rsqrt=lambda x: 1 / np.sqrt(x))

for _name, _function in EXACT.items():
    feature(f"tl.{_name}", f"out = tl.{_name}(x)", _function, x=real(16), within=0.0)
for _name, _function in SMOOTH.items():
    feature(f"tl.{_name}", f"out = tl.{_name}(x)", _function, x=real(16), within=1e-6)
for _name, _function in OF_POSITIVE.items():
    feature(f"tl.{_name}", f"out = tl.{_name}(x)", _function, x=positive(16), within=1e-6, near=1e-7)
for _name in ("exp", "log2", "rsqrt", "erf"):
    feature(
        f"tl.{_name} of float64",
        f"out = tl.{_name}(x)",
        (SMOOTH | OF_POSITIVE)[_name],
        x=positive(16, dtype="float64"),
        dtype="float64",
    )
for _name, _function in (EXACT | SMOOTH | OF_POSITIVE).items():
    if _name != "sigmoid":
        feature(f"tl.math.{_name}", f"out = tl.math.{_name}(x)", _function, x=positive(16), within=1e-6, near=1e-7)
feature(
    "tl.math.fma, fdiv, div_rn",
    "out = tl.math.fma(x, y, tl.math.fdiv(x, y)) + tl.math.div_rn(x, y)",
    lambda x, y: x * y + 2 * (x / y),
    x=positive(16),
    y=positive(16, seed=1),
)
feature(
    "tl.math.umulhi",
    "out = tl.math.umulhi(x.to(tl.uint32), y.to(tl.uint32)).to(tl.int32)",
    lambda x, y: x * y >> 32,
    x=whole(16, low=2**20, high=2**31),
    y=whole(16, low=2**20, high=2**31, seed=1),
)

feature("tl.abs of int8", "out = tl.abs(x)", np.abs, x=whole(16, dtype="int8"), dtype="int8")
feature("tl.abs of float16", "out = tl.abs(x)", np.abs, x=real(16, dtype="float16"), dtype="float16")
feature(
    "tl.abs of an unsigned tile",
    "out = tl.abs(x)",
    lambda x: x,
    x=whole(16, dtype="uint8", low=0, high=255),
    dtype="uint8",
)
feature(
    "tl.fma",
    "out = tl.fma(x, y, z)",
    lambda x, y, z: x * y + z,
    x=real(16),
    y=real(16, seed=1),
    z=real(16, seed=2),
    within=0.0,
)
feature("tl.fma with numbers", "out = tl.fma(x, 2.0, 1.0)", lambda x: x * 2 + 1, x=real(16), within=0.0)
feature("tl.fdiv", "out = tl.fdiv(x, y)", np.divide, x=real(16), y=positive(16))
feature("tl.fdiv rounded", "out = tl.fdiv(x, y, ieee_rounding=True)", np.divide, x=real(16), y=positive(16), within=0.0)
feature("tl.div_rn", "out = tl.div_rn(x, y)", np.divide, x=real(16), y=positive(16), within=0.0)
feature(
    "tl.umulhi of 32 bits",
    "out = tl.umulhi(x.to(tl.uint32, bitcast=True), y.to(tl.uint32, bitcast=True)).to(tl.int64)",
    lambda x, y: [(int(a) % 2**32) * (int(b) % 2**32) >> 32 for a, b in zip(x, y)],
    x=whole(16, low=-(2**31), high=2**31),
    y=whole(16, low=-(2**31), high=2**31, seed=1),
    dtype="int64",
)
feature(
    "tl.umulhi of 64 bits",
    "out = tl.umulhi(x.to(tl.uint64), y.to(tl.uint64)).to(tl.int64)",
    lambda x, y: [int(a) * int(b) >> 64 for a, b in zip(x, y)],
    x=whole(16, dtype="int64", low=2**55, high=2**62),
    y=whole(16, dtype="int64", low=2**55, high=2**62, seed=1),
    dtype="int64",
)
feature("tl.cdiv of tiles", "out = tl.cdiv(x, 7)", lambda x: -(-x // 7), x=whole(16, low=0, high=99))
feature("tl.cdiv of numbers", "out = x * tl.cdiv(n, 8)", lambda x, n: x * -(-n // 8), x=whole(16), n=30)
feature("tl.exp of -inf", "out = tl.exp(x)", np.exp, x=these(float("-inf"), 0.0, float("inf"), float("nan")))
feature(
    "tl.log of 0 and less",
    "out = tl.log(x)",
    np.array([-np.inf, np.nan, np.inf, 0.0]),
    x=these(0.0, -1.0, float("inf"), 1.0),
)
feature("tl.softmax of a row", "out = tl.softmax(x)", lambda x: np.exp(x) / np.exp(x).sum(), x=real(16), within=1e-6)
feature(
    "tl.softmax along the first axis",
    "out = tl.softmax(x)",
    lambda x: np.exp(x) / np.exp(x).sum(0),
    x=real(4, 16),
    within=1e-6,
)
feature(
    "tl.softmax along another axis",
    "out = tl.softmax(x, dim=1, keep_dims=True, ieee_rounding=True)",
    lambda x: np.exp(x) / np.exp(x).sum(1, keepdims=True),
    x=real(4, 16),
    within=1e-6,
)

# choosing -------------------------------------------------------------------------------------------------------------

_pair = dict(x=real(16), y=real(16, seed=1))
_holes = dict(x=these(1.0, float("nan"), 3.0, float("nan")), y=these(2.0, 2.0, float("nan"), float("nan")))
feature("tl.where", "out = tl.where(x > y, x, y)", np.maximum, **_pair)
feature("tl.where with numbers", "out = tl.where(x > 0, 1.0, -1.0)", lambda x: np.where(x > 0, 1, -1.0), x=real(16))
feature(
    "tl.where broadcasts",
    "out = tl.where(x[:, None], y[None, :], 0.0)",
    lambda x, y: np.where(x[:, None], y, 0),
    x=flags(8),
    y=real(16),
)
feature(
    "tl.where promotes",
    "out = tl.where(x > 0, x, y)\ntl.static_assert(out.dtype == tl.float32)",
    lambda x, y: np.where(x > 0, x, y),
    x=whole(16),
    y=real(16),
)
feature(
    "tl.where of pointers",
    "out = tl.load(tl.where(x > 0, y_ptr + 0, y_ptr + 1))",
    lambda x, y: np.where(x > 0, y[0], y[1]),
    x=whole(16),
    y=whole(2),
)
feature("tl.where under a scalar", "out = tl.where(n > 2, x, -x)", lambda x, n: x, x=whole(16), n=3)
feature("tl.maximum", "out = tl.maximum(x, y)", np.maximum, **_pair)
feature("tl.minimum", "out = tl.minimum(x, y)", np.minimum, **_pair)
feature("tl.maximum of ints", "out = tl.maximum(x, 3)", lambda x: np.maximum(x, 3), x=whole(16))
feature(
    "tl.maximum of unsigned",
    "out = tl.maximum(x.to(tl.uint8, bitcast=True), 5).to(tl.int32)",
    lambda x: np.maximum(x % 256, 5),
    x=whole(16, dtype="int8"),
)
feature("tl.maximum passes NaN over", "out = tl.maximum(x, y)", np.fmax, **_holes)
feature("tl.minimum passes NaN over", "out = tl.minimum(x, y)", np.fmin, **_holes)
feature("tl.maximum that keeps NaN", "out = tl.maximum(x, y, propagate_nan=tl.PropagateNan.ALL)", np.maximum, **_holes)
feature("tl.minimum that keeps NaN", "out = tl.minimum(x, y, propagate_nan=tl.PropagateNan.ALL)", np.minimum, **_holes)
feature(
    "tl.maximum of bfloat16",
    "out = tl.maximum(x, y)",
    np.maximum,
    x=real(16, dtype="bfloat16"),
    y=real(16, dtype="bfloat16", seed=1),
    dtype="bfloat16",
)
feature("tl.clamp", "out = tl.clamp(x, -1.0, 2.0)", lambda x: np.clip(x, -1, 2), x=real(16))
feature(
    "tl.clamp by tiles",
    "out = tl.clamp(x, tl.minimum(y, 0.0), tl.maximum(y, 1.0))",
    lambda x, y: np.clip(x, np.minimum(y, 0), np.maximum(y, 1)),
    **_pair,
)
feature(
    "tl.clamp that keeps NaN",
    "out = tl.clamp(x, 0.0, 1.0, propagate_nan=tl.PropagateNan.ALL)",
    lambda x: np.clip(x, 0, 1),
    x=these(float("nan"), 2.0, -2.0, 0.5),
)
feature("max and min of scalars", "out = x * max(n, 5) - min(n, 5)", lambda x, n: x * 7 - 5, x=whole(16), n=7)

# libdevice ------------------------------------------------------------------------------------------------------------

LIBDEVICE = {
    **{name: getattr(np, name) for name in "tanh sinh cosh expm1 exp trunc rint cbrt sin cos tan exp2".split()},
    "asinh": np.arcsinh,
    "atan": np.arctan,
    "erf": vectorized,
    "erfc": lambda x: 1 - vectorized(x),
    "round": lambda x: np.trunc(x + np.copysign(0.5, x)),
    "nearbyint": np.rint,
    "floor": np.floor,
    "ceil": np.ceil,
    "abs": np.abs,
    "saturatef": lambda x: np.clip(x, 0, 1),
    "sinpi": lambda x: np.sin(np.pi * x),
    "cospi": lambda x: np.cos(np.pi * x),
    "exp10": lambda x: 10**x,
    "normcdf": lambda x: 0.5 * (1 + vectorized(x / math.sqrt(2))),
    "fast_expf": np.exp,
    "fast_sinf": np.sin,
    "fast_cosf": np.cos,
    "fast_tanf": np.tan,
}
LIBDEVICE_POSITIVE = {
    **{name: getattr(np, name) for name in "log log2 log10 log1p sqrt".split()},
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "rcbrt": lambda x: 1 / np.cbrt(x),
    "lgamma": np.vectorize(math.lgamma, otypes=[float]),
    "tgamma": np.vectorize(math.gamma, otypes=[float]),
    "logb": lambda x: np.floor(np.log2(x)),
    "fast_logf": np.log,
    "fast_log2f": np.log2,
    "rcp_rn": lambda x: 1 / x,
    "sqrt_rn": np.sqrt,
}
LIBDEVICE_UNIT = {
    "asin": np.arcsin,
    "acos": np.arccos,
    "atanh": np.arctanh,
}
TWO = {
    **{name: getattr(np, name) for name in "hypot copysign fmod nextafter".split()},
    "atan2": np.arctan2,
    "fdim": lambda x, y: np.maximum(x - y, 0),
    "remainder": np.vectorize(math.remainder),
    "div_rn": np.divide,
    "add_rn": np.add,
    "mul_rn": np.multiply,
    "sub_rn": np.subtract,
    "fast_dividef": np.divide,
}
_close = dict(within=1e-6, near=2e-7)
for _name, _function in LIBDEVICE.items():
    feature(f"libdevice.{_name}", f"out = libdevice.{_name}(x)", _function, x=real(16), **_close)
for _name, _function in LIBDEVICE_POSITIVE.items():
    feature(f"libdevice.{_name}", f"out = libdevice.{_name}(x)", _function, x=positive(16), **_close)
for _name, _function in LIBDEVICE_UNIT.items():
    feature(f"libdevice.{_name}", f"out = libdevice.{_name}(x)", _function, x=real(16, low=-0.99, high=0.99), **_close)
for _name, _function in TWO.items():
    _near = _close if _name != "nextafter" else dict(within=0.0)
    _gives = _function if _name != "nextafter" else lambda x, y: np.nextafter(x.astype(np.float32), np.float32(y))
    feature(f"libdevice.{_name}", f"out = libdevice.{_name}(x, y)", _gives, x=real(16), y=real(16, seed=1), **_near)
feature("libdevice.acosh", "out = libdevice.acosh(x)", np.arccosh, x=real(16, low=1.1, high=4.0), **_close)
feature(
    "libdevice.erfinv",
    "out = libdevice.erf(libdevice.erfinv(x))",
    lambda x: x,
    x=real(16, low=-0.9, high=0.9),
    **_close,
)
feature("libdevice.pow", "out = libdevice.pow(x, y)", np.power, x=positive(16), y=real(16), **_close)
feature("libdevice.pow of a whole power", "out = libdevice.pow(x, 3)", lambda x: x**3, x=real(16), **_close)
feature("libdevice.fast_powf", "out = libdevice.fast_powf(x, y)", np.power, x=positive(16), y=real(16), within=2e-6)
feature("libdevice.ldexp", "out = libdevice.ldexp(x, y)", lambda x, y: x * 2.0**y, x=real(16), y=whole(16), within=0.0)
feature(
    "libdevice.ilogb",
    "out = libdevice.ilogb(x)",
    lambda x: np.floor(np.log2(x)),
    x=positive(16, high=99.0),
    dtype="int32",
)
feature(
    "libdevice.fma",
    "out = libdevice.fma(x, y, z)",
    lambda x, y, z: x * y + z,
    x=real(16),
    y=real(16, seed=1),
    z=real(16, seed=2),
    within=0.0,
)
feature(
    "libdevice.norm3d",
    "out = libdevice.norm3d(x, y, z)",
    lambda x, y, z: np.sqrt(x * x + y * y + z * z),
    x=real(16),
    y=real(16, seed=1),
    z=real(16, seed=2),
    **_close,
)
feature("libdevice.tanh of float64", "out = libdevice.tanh(x)", np.tanh, x=real(16, dtype="float64"), dtype="float64")
feature("libdevice.exp of float64", "out = libdevice.exp(x)", np.exp, x=real(16, dtype="float64"), dtype="float64")
_odd = these(1.0, float("nan"), float("inf"), float("-inf"))
feature("libdevice.isnan", "out = libdevice.isnan(x) != 0", np.isnan, x=_odd)
feature("libdevice.isinf", "out = libdevice.isinf(x) != 0", np.isinf, x=_odd)
feature("libdevice.finitef", "out = libdevice.finitef(x) != 0", np.isfinite, x=_odd)
feature("libdevice.signbit", "out = libdevice.signbit(x) != 0", np.signbit, x=these(1.0, -0.0, 0.0, -2.0))
_bits = whole(16, low=-(2**31), high=2**31)
feature("libdevice.popc", "out = libdevice.popc(x)", lambda x: [(int(n) % 2**32).bit_count() for n in x], x=_bits)
feature("libdevice.clz", "out = libdevice.clz(x)", lambda x: [32 - (int(n) % 2**32).bit_length() for n in x], x=_bits)
feature("libdevice.ffs", "out = libdevice.ffs(x)", lambda x: [(n & -n).bit_length() for n in map(int, x)], x=_bits)
feature(
    "libdevice.brev", "out = libdevice.brev(x)", lambda x: [int(f"{int(n) % 2**32:032b}"[::-1], 2) for n in x], x=_bits
)
feature(
    "libdevice.mulhi",
    "out = libdevice.mulhi(x, y)",
    lambda x, y: x * y >> 32,
    x=_bits,
    y=whole(16, low=-(2**31), high=2**31, seed=1),
)
feature("libdevice.hadd", "out = libdevice.hadd(x, y)", lambda x, y: x + y >> 1, x=_bits, y=whole(16))
feature(
    "libdevice.float_as_int",
    "out = libdevice.float_as_int(x)",
    lambda x: x.astype(np.float32).view(np.int32),
    x=real(16),
)
feature(
    "libdevice.int_as_float",
    "out = libdevice.int_as_float(x)",
    lambda x: x.astype(np.int32).view(np.float32),
    x=whole(16, low=2**29, high=2**30),
)
feature("libdevice.float2int_rn", "out = libdevice.float2int_rn(x)", np.rint, x=real(16, high=9.0), dtype="int32")
feature("libdevice.float2int_rz", "out = libdevice.float2int_rz(x)", np.trunc, x=real(16, high=9.0), dtype="int32")
feature("libdevice.llrint", "out = libdevice.llrint(x)", np.rint, x=real(16, high=9.0), dtype="int64")
feature(
    "libdevice.j0",
    "out = libdevice.j0(x)",
    [1.0, 0.7651976866, 0.2238907791, -0.2600519549],
    x=these(0.0, 1.0, 2.0, 3.0),
    within=2e-6,
)
feature(
    "libdevice.y0",
    "out = libdevice.y0(x)",
    [0.0882569642, 0.5103756726, 0.3768500100, -0.0169407393],
    x=these(1.0, 2.0, 3.0, 4.0),
    within=1e-5,
)

# libdevice's roundings ------------------------------------------------------------------------------------------------

ROUND = {"rn": np.rint, "rz": np.trunc, "rd": np.floor, "ru": np.ceil}


def directed(mode, exact):
    """The float32 number that a mode rounds a Fraction to."""
    low = np.float32(float(exact))
    while Fraction(float(low)) > exact:
        low = np.nextafter(low, np.float32(-np.inf))
    while Fraction(float(np.nextafter(low, np.float32(np.inf)))) <= exact:
        low = np.nextafter(low, np.float32(np.inf))
    high = low if Fraction(float(low)) == exact else np.nextafter(low, np.float32(np.inf))
    return float({"rd": low, "ru": high, "rz": low if exact > 0 else high}[mode])


def root(x):
    """A square root with 100 binary places more than any float."""
    return Fraction(math.isqrt(int(x * 2**300)), 2**150)


DIRECTED = {
    "add": lambda x, y: x + y,
    "sub": lambda x, y: x - y,
    "mul": lambda x, y: x * y,
    "div": lambda x, y: x / y,
    "rcp": lambda x: 1 / x,
    "sqrt": root,
    "fma": lambda x, y, z: x * y + z,
}
for _name, _exact in DIRECTED.items():
    for _mode in ("rz", "rd", "ru"):
        _names = _exact.__code__.co_varnames[: _exact.__code__.co_argcount]
        feature(
            f"libdevice.{_name}_{_mode}",
            f"out = libdevice.{_name}_{_mode}({', '.join(_names)})",
            lambda *sides, exact=_exact, mode=_mode: [
                directed(mode, exact(*map(Fraction, each))) for each in zip(*sides)
            ],
            within=0.0,
            **{name: positive(16, seed=i) for i, name in enumerate(_names)},
        )
for _source, _sources in dict(float="float32", double="float64").items():
    for _target, _targets in dict(int="int32", uint="int64", ll="int64", ull="int64").items():
        for _mode, _round in ROUND.items():
            _name = f"{_source}2{_target}_{_mode}"
            if _name not in ("float2int_rn", "float2int_rz"):
                _low = 0.0 if _target.startswith("u") else -9.0
                feature(
                    f"libdevice.{_name}",
                    f"out = libdevice.{_name}(x).to(tl.{_targets})",
                    _round,
                    x=real(16, low=_low, high=9.0, dtype=_sources),
                    dtype=_targets,
                )
for _source, _sources in dict(int="int32", uint="uint32", ll="int64", ull="uint64").items():
    for _target, _targets in dict(float="float32", double="float64").items():
        for _mode in ROUND if _target == "float" or "ll" in _source else ("rn",):
            feature(
                f"libdevice.{_source}2{_target}_{_mode}",
                f"out = libdevice.{_source}2{_target}_{_mode}(x.to(tl.{_sources}))",
                lambda x: x,
                x=whole(16, low=0, high=2**20),
                dtype=_targets,
                within=0.0,
            )
for _mode in ("rz", "rd", "ru"):
    feature(
        f"libdevice.double2float_{_mode}",
        f"out = libdevice.double2float_{_mode}(x)",
        lambda x, mode=_mode: [directed(mode, Fraction(n)) for n in x],
        x=real(16, dtype="float64"),
        within=0.0,
    )
feature(
    "libdevice.double2float_rn",
    "out = libdevice.double2float_rn(x)",
    lambda x: x,
    x=real(16, dtype="float64"),
    within=0.0,
)

# and the rest of it ---------------------------------------------------------------------------------------------------

_three = {name: real(16, seed=i) for i, name in enumerate("xyz")}
_doubles = real(16, dtype="float64")
feature("libdevice.fma_rn", "out = libdevice.fma_rn(x, y, z)", lambda x, y, z: x * y + z, within=0.0, **_three)
feature("libdevice.rsqrt_rn", "out = libdevice.rsqrt_rn(x)", lambda x: x**-0.5, x=positive(16))
feature(
    "libdevice.rhypot",
    "out = libdevice.rhypot(x, y)",
    lambda x, y: 1 / np.hypot(x, y),
    x=real(16),
    y=positive(16),
    **_close,
)
feature(
    "libdevice.rnorm3d",
    "out = libdevice.rnorm3d(x, y, z)",
    lambda x, y, z: (x * x + y * y + z * z) ** -0.5,
    **_three,
    **_close,
)
feature(
    "libdevice.norm4d",
    "out = libdevice.norm4d(x, y, z, x)",
    lambda x, y, z: np.sqrt(2 * x * x + y * y + z * z),
    **_three,
    **_close,
)
feature(
    "libdevice.rnorm4d",
    "out = libdevice.rnorm4d(x, y, z, x)",
    lambda x, y, z: (2 * x * x + y * y + z * z) ** -0.5,
    **_three,
    **_close,
)
feature(
    "libdevice.scalbn", "out = libdevice.scalbn(x, y)", lambda x, y: x * 2.0**y, x=real(16), y=whole(16), within=0.0
)
feature("libdevice.llround", "out = libdevice.llround(x)", LIBDEVICE["round"], x=real(16, high=9.0), dtype="int64")
feature("libdevice.fast_exp10f", "out = libdevice.fast_exp10f(x)", lambda x: 10**x, x=real(16), within=2e-6)
feature("libdevice.fast_log10f", "out = libdevice.fast_log10f(x)", np.log10, x=positive(16), **_close)
feature("libdevice.isfinited", "out = libdevice.isfinited(x) != 0", np.isfinite, x=_odd.double())
feature(
    "libdevice.normcdfinv",
    "out = libdevice.normcdf(libdevice.normcdfinv(x))",
    lambda x: x,
    x=real(16, low=0.1, high=0.9),
    **_close,
)
feature(
    "libdevice.erfcinv",
    "out = libdevice.erfc(libdevice.erfcinv(x))",
    lambda x: x,
    x=real(16, low=0.1, high=1.9),
    within=2e-6,
)
feature(
    "libdevice.erfcx",
    "out = libdevice.erfcx(x)",
    np.vectorize(lambda x: math.exp(x * x) * math.erfc(x)),
    x=positive(16),
    within=2e-6,
)
feature(
    "libdevice.mul24",
    "out = libdevice.mul24(x, y)",
    lambda x, y: x * y,
    x=whole(16, low=-999, high=999),
    y=whole(16, seed=1),
)
feature("libdevice.rhadd", "out = libdevice.rhadd(x, y)", lambda x, y: x + y + 1 >> 1, x=_bits, y=whole(16))
feature(
    "libdevice.sad",
    "out = libdevice.sad(x, y, z.to(tl.uint32)).to(tl.int32)",
    lambda x, y, z: np.abs(x - y) + z,
    x=whole(16),
    y=whole(16, seed=1),
    z=whole(16, low=0, high=9),
)
feature(
    "libdevice.byte_perm",
    "out = libdevice.byte_perm(x, y, 0x5140)",
    lambda x, y: (y >> 8 & 255) << 24 | (x >> 8 & 255) << 16 | (y & 255) << 8 | x & 255,
    x=_bits,
    y=whole(16, low=0, high=2**31),
)
feature(
    "libdevice.float_as_uint",
    "out = libdevice.float_as_uint(x)",
    lambda x: x.astype(np.float32).view(np.int32),
    x=real(16),
)
feature(
    "libdevice.uint_as_float",
    "out = libdevice.uint_as_float(x.to(tl.uint32))",
    lambda x: x.astype(np.int32).view(np.float32),
    x=whole(16, low=2**29, high=2**30),
    within=0.0,
)
feature(
    "libdevice.double_as_longlong",
    "out = libdevice.double_as_longlong(x)",
    lambda x: x.view(np.int64),
    x=_doubles,
    dtype="int64",
)
feature(
    "libdevice.longlong_as_double",
    "out = libdevice.longlong_as_double(x)",
    lambda x: x.view(np.float64),
    x=whole(16, dtype="int64", low=2**61, high=2**62),
    dtype="float64",
    within=0.0,
)
feature(
    "halves of a double",
    "out = libdevice.hiloint2double(libdevice.double2hiint(x), libdevice.double2loint(x))",
    lambda x: x,
    x=_doubles,
    dtype="float64",
    within=0.0,
)
feature(
    "libdevice.j1",
    "out = libdevice.j1(x)",
    [0.0, 0.4400505857, 0.5767248078, 0.3390589585],
    x=these(0.0, 1.0, 2.0, 3.0),
    near=1e-7,
    within=2e-6,
)
feature(
    "libdevice.jn",
    "out = libdevice.jn(2, x)",
    [0.0, 0.1149034849, 0.3528340286, 0.4860912606],
    x=these(0.0, 1.0, 2.0, 3.0),
    near=1e-7,
    within=2e-6,
)
feature(
    "libdevice.y1",
    "out = libdevice.y1(x)",
    [-0.7812128213, -0.1070324315, 0.3246744248, 0.3979257106],
    x=these(1.0, 2.0, 3.0, 4.0),
    within=1e-5,
)
feature(
    "libdevice.yn",
    "out = libdevice.yn(2, x)",
    [-1.6506826068, -0.6174081042, -0.1604003935, 0.2159035946],
    x=these(1.0, 2.0, 3.0, 4.0),
    within=1e-5,
)
feature(
    "libdevice.cyl_bessel_i0",
    "out = libdevice.cyl_bessel_i0(x)",
    [1.0, 1.2660658778, 2.2795853023, 4.8807925859],
    x=these(0.0, 1.0, 2.0, 3.0),
    within=2e-6,
)
feature(
    "libdevice.cyl_bessel_i1",
    "out = libdevice.cyl_bessel_i1(x)",
    [0.0, 0.5651591040, 1.5906368546, 3.9533702174],
    x=these(0.0, 1.0, 2.0, 3.0),
    within=2e-6,
)
feature(
    "libdevice.rcp64h",
    "out = libdevice.rcp64h(x)",
    lambda x: 1 / x,
    x=positive(16, dtype="float64"),
    dtype="float64",
    within=1e-5,
)
