"""libdevice, which upstream's interpreter refuses: its functions by name, as functions of numpy arrays.

`NAMES` is what runs here: all of libdevice but `rcp64h`, an approximation whose digits NVIDIA does not say, and the
Bessel functions of the second kind. The approximations `fast_...` are computed like the functions they stand for.
What it is not: their types. Triton itself checks and widens the operands before `builder` calls one.
"""

from __future__ import annotations

import functools
import inspect
import math
import re
from collections.abc import Callable
from fractions import Fraction
from statistics import NormalDist

import numpy as np
from triton.language.extra.cuda import libdevice as declared

from grader_kernels.interpreter.numbers import float_to_int, fused


@functools.cache
def _symbols() -> dict[str, str]:
    """Which function of libdevice a symbol such as "__nv_expf" belongs to, as triton's source says."""
    found: dict[str, str] = {}
    for part in re.split(r"^def ", inspect.getsource(declared), flags=re.M)[1:]:
        found |= dict.fromkeys(re.findall(r'"(__nv_\w+)"', part), part.partition("(")[0])
    return found


DECLARED = frozenset(_symbols().values())  # all that libdevice has

# Rounding: to nearest ("rn"), toward zero ("rz"), down ("rd"), up ("ru") ---------------------------------------------

WHOLE = {"rn": np.rint, "rz": np.trunc, "rd": np.floor, "ru": np.ceil}


def _rounding(near: Callable, sign: Callable, mode: str) -> Callable:
    """`near`, an operation that rounds to nearest, as `mode` rounds.

    sign: of what was rounded less the exact result, from Fractions: the rounded number, then the operands
    """

    def call(*sides: np.ndarray) -> np.ndarray:
        value = near(*sides)
        return value if mode == "rn" else _turned(value, _signs(sign, value, *sides), mode)

    return call


def _turned(near: np.ndarray, over: np.ndarray, mode: str) -> np.ndarray:
    """One number back where rounding to nearest went the wrong way; over: 1 where it went up, -1 down."""
    wrong = {"rd": over > 0, "ru": over < 0, "rz": over * np.sign(near) > 0}[mode]
    goal = {"rd": -np.inf, "ru": np.inf, "rz": 0.0}[mode]
    return np.where(wrong, np.nextafter(near, near.dtype.type(goal)), near)


def _signs(sign: Callable, *arrays: np.ndarray) -> np.ndarray:
    """`sign` of every lane; 0 where a NaN or an infinite operand leaves nothing to round."""
    lanes = zip(*(array.reshape(-1).tolist() for array in np.broadcast_arrays(*arrays)), strict=True)
    return np.array([_sign(sign, *lane) for lane in lanes]).reshape(arrays[0].shape)


def _sign(sign: Callable, near: float, *sides: float) -> int:
    if math.isnan(near) or not all(map(math.isfinite, sides)):
        return 0
    rounded = Fraction(2) ** 5000 * int(math.copysign(1, near)) if math.isinf(near) else Fraction(near)
    try:
        over = sign(rounded, *map(Fraction, sides))
    except ZeroDivisionError:
        return 0
    return (over > 0) - (over < 0)


def _sum(mode: str, factor: int = 1) -> Callable:
    plain = _rounding(lambda a, b: a + factor * b, lambda r, a, b: r - (a + factor * b), mode)
    return lambda a, b: _zero_of_sum(plain(a, b), mode, a, factor * b)


def _fused(mode: str) -> Callable:
    plain = _rounding(fused, lambda r, a, b, c: r - (a * b + c), mode)
    return lambda a, b, c: _zero_of_sum(plain(a, b, c), mode, np.copysign(1, a) * np.copysign(1, b), c)


def _zero_of_sum(out: np.ndarray, mode: str, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Rounded down, a sum that is exactly 0 is -0, but for 0 + 0."""
    minus = (out == 0) & (np.signbit(left) | np.signbit(right)) & (mode == "rd")
    return np.where(minus, np.copysign(out, -1), out)


def _quotient(mode: str) -> Callable:
    return _rounding(np.divide, lambda r, a, b: r - a / b, mode)


def _rounded() -> dict[str, Callable]:
    """The functions with a rounding in their name."""
    made: dict[str, Callable] = {}
    for mode, whole in WHOLE.items():
        made |= {f"add_{mode}": _sum(mode), f"sub_{mode}": _sum(mode, -1), f"fma_{mode}": _fused(mode)}
        made[f"mul_{mode}"] = _rounding(np.multiply, lambda r, a, b: r - a * b, mode)
        made[f"div_{mode}"] = _quotient(mode)
        made[f"rcp_{mode}"] = _rounding(np.reciprocal, lambda r, x: r - 1 / x, mode)
        made[f"sqrt_{mode}"] = _rounding(np.sqrt, lambda r, x: r * r - x, mode)
        for source in ("float", "double"):
            for target, kind in (("int", "i4"), ("uint", "u4"), ("ll", "i8"), ("ull", "u8")):
                to_int = functools.partial(_to_whole, whole, np.dtype(kind))
                made[f"{source}2{target}_{mode}"] = to_int
        for source in ("int", "uint", "ll", "ull"):
            made[f"{source}2float_{mode}"] = _rounding(_float32, lambda r, x: r - x, mode)
            made[f"{source}2double_{mode}"] = _rounding(_float64, lambda r, x: r - x, mode)
        made[f"double2float_{mode}"] = _rounding(_float32, lambda r, x: r - x, mode)
    return {name: function for name, function in made.items() if name in DECLARED}


def _float32(x: np.ndarray) -> np.ndarray:
    return x.astype(np.float32)


def _float64(x: np.ndarray) -> np.ndarray:
    return x.astype(np.float64)


def _to_whole(whole: Callable, kind: np.dtype, x: np.ndarray) -> np.ndarray:
    return float_to_int(whole(x), kind).view(f"i{kind.itemsize}")


# Bits ----------------------------------------------------------------------------------------------------------------


def _lanes(function: Callable) -> Callable:
    """A function of Python's whole numbers, lane by lane. Its results are taken modulo their width."""

    def call(*sides: np.ndarray) -> np.ndarray:
        sides = np.broadcast_arrays(*sides)
        width = 8 * sides[0].itemsize
        numbers = zip(*(side.reshape(-1).tolist() for side in sides), strict=True)
        out = [function(width, *lane) % 2**width for lane in numbers]
        return np.array(out, f"u{sides[0].itemsize}").reshape(sides[0].shape).view(sides[0].dtype)

    return call


def _unsigned(x: int, width: int) -> int:
    return x % 2**width


def _lowest_set(width: int, x: int) -> int:
    """The place of the lowest set bit, counted from 1; 0 when there is none."""
    return (x & -x).bit_length()


def _reversed_bits(width: int, x: int) -> int:
    return int(f"{_unsigned(x, width):0{width}b}"[::-1], 2)


def _picked_bytes(width: int, x: int, y: int, selector: int) -> int:
    """Four bytes of the eight in y and x, each named by the lower three bits of a digit of the selector."""
    eight = (_unsigned(x, 32) | _unsigned(y, 32) << 32).to_bytes(8, "little")
    return int.from_bytes(bytes(eight[(selector >> 4 * i) & 7] for i in range(4)), "little")


def _product24(signed: bool) -> Callable:
    def call(width: int, *sides: int) -> int:
        low = [side & 0xFFFFFF for side in sides]
        return math.prod(side - (side >> 23 << 24) if signed else side for side in low)

    return call


def _viewed(kind: str) -> Callable:
    return lambda x: x.view(kind)


def _joined(high: np.ndarray, low: np.ndarray) -> np.ndarray:
    bits = high.astype(np.int64) << np.int64(32) | low.view(np.uint32).astype(np.int64)
    return bits.view(np.float64)


def _half(shift: int) -> Callable:
    return lambda x: (x.view(np.int64) >> np.int64(shift)).astype(np.int32)


def _by_sign(signed: Callable, unsigned: Callable) -> Callable:
    return lambda x, *others: (signed if x.dtype.kind == "i" else unsigned)(x, *others)


_BITS: dict[str, Callable] = {
    "clz": _lanes(lambda width, x: width - _unsigned(x, width).bit_length()),
    "popc": _lanes(lambda width, x: _unsigned(x, width).bit_count()),
    "ffs": _lanes(_lowest_set),
    "brev": _lanes(_reversed_bits),
    "byte_perm": _lanes(_picked_bytes),
    "mulhi": _lanes(lambda width, x, y: x * y >> width),
    "mul24": _by_sign(_lanes(_product24(True)), _lanes(_product24(False))),
    "sad": _lanes(lambda width, x, y, z: abs(x - y) + z),
    "hadd": _lanes(lambda width, x, y: x + y >> 1),
    "rhadd": _lanes(lambda width, x, y: x + y + 1 >> 1),
    "hiloint2double": _joined,
    "double2loint": _half(0),
    "double2hiint": _half(32),
    **{name: _viewed("f4") for name in ("int_as_float", "uint_as_float")},
    **{name: _viewed("i4") for name in ("float_as_int", "float_as_uint")},
    "longlong_as_double": _viewed("f8"),
    "double_as_longlong": _viewed("i8"),
}

# Functions of float64, rounded to the type of the operand at the end -------------------------------------------------


def _each(function: Callable) -> Callable:
    """A function of Python's floats, lane by lane. Where Python raises, there is a pole or no number: NaN."""

    def lane(*sides: float) -> float:
        try:
            return function(*sides)
        except ValueError:
            return math.nan
        except OverflowError:
            return math.inf

    return np.vectorize(lane, otypes=[np.float64])


def _wide(function: Callable) -> Callable:
    """A function of float64 arrays on whatever floats come."""
    return lambda *sides: function(*(side.astype(np.float64) for side in sides))


def _half_away(x: np.ndarray) -> np.ndarray:
    whole = np.floor(np.abs(x))
    return np.copysign(np.where(np.abs(x) - whole >= 0.5, whole + 1, whole), x)


def _of_pi(function: Callable, quarter: int) -> Callable:
    """sin (quarter 0) or cos (1) of pi * x, exact at every half: x is brought within a quarter of 0 first."""

    def call(x: np.ndarray) -> np.ndarray:
        halves = np.rint(2 * x)
        rest = np.pi * (x - halves / 2)
        turn = np.fmod(halves, 4).astype(np.int64) + quarter
        parts = np.array([np.sin(rest), np.cos(rest), -np.sin(rest), -np.cos(rest)])
        out = np.take_along_axis(parts, (turn % 4)[None], 0)[0]
        whole_zero = (out == 0) & (quarter == 0)  # sinpi keeps the sign of x at whole numbers
        return np.where(whole_zero, np.copysign(0.0, x), out + 0.0)

    return _finite(call)


def _finite(function: Callable) -> Callable:
    """`function` where x is a number; NaN elsewhere."""
    return lambda x: np.where(np.isfinite(x), function(np.where(np.isfinite(x), x, 0)), np.nan)


def _norm(*sides: np.ndarray) -> np.ndarray:
    return functools.reduce(np.hypot, sides)


def _gamma(x: float) -> float:
    return math.copysign(math.inf, x) if x == 0 else math.gamma(x)


def _log_gamma(x: float) -> float:
    return math.inf if x <= 0 and x == math.floor(x) else math.lgamma(x)


_SLOPE = 2 / math.sqrt(math.pi)  # of erf at 0


def _erf_inverse(y: float) -> float:
    if abs(y) > 0.5:
        return math.copysign(_erfc_inverse(1 - abs(y)), y)
    x = y / _SLOPE
    for _ in range(6):  # Newton's steps double the digits
        x -= (math.erf(x) - y) / (_SLOPE * math.exp(-x * x))
    return x


def _erfc_inverse(y: float) -> float:
    if not 0 < y < 2:
        return {0.0: math.inf, 2.0: -math.inf}.get(y, math.nan)
    if y > 1.5:
        return -_erfc_inverse(2 - y)
    if y > 0.5:
        return _erf_inverse(1 - y)
    x = -NormalDist().inv_cdf(y / 2) / math.sqrt(2)
    for _ in range(3):
        x += (math.erfc(x) - y) / (_SLOPE * math.exp(-x * x))
    return x


def _normal(x: float) -> float:
    """The distribution function of a normal number. What -x / sqrt(2) loses matters far out, and is given back."""
    at = -x / math.sqrt(2)
    if not math.isfinite(x) or x == 0:
        return math.erfc(at) / 2
    lost = float(Fraction(x) ** 2 / 2 - Fraction(at) ** 2) / (2 * at)
    return (math.erfc(at) - _SLOPE * math.exp(-at * at) * lost) / 2


def _erfc_scaled(x: float) -> float:
    """exp(x * x) * erfc(x); far out by its asymptotic series, since the factors leave the range of float64."""
    if x < 8:
        square = Fraction(x) ** 2 if math.isfinite(x) else None
        if square is None:
            return math.nan if math.isnan(x) else math.inf
        high = float(square)
        return math.exp(high) * (1 + float(square - Fraction(high))) * math.erfc(x)
    total, term = 1.0, 1.0
    for k in range(1, 30):
        term *= -(2 * k - 1) / (2 * x * x)
        if abs(term) < 1e-17:
            break
        total += term
    return total / (x * math.sqrt(math.pi))


_FARTHEST = 10_000


def _mean_over_a_turn(values: Callable, x: np.ndarray, points: int) -> np.ndarray:
    """The mean of a smooth periodic function over a turn, which is exact once there are more points than waves."""
    total = np.zeros_like(x)
    for k in range(points):
        total += values(2 * math.pi * (k + 0.5) / points, x)
    return total / points


def _bessel_j(order: np.ndarray, x: np.ndarray) -> np.ndarray:
    """J of a whole order, by Bessel's integral."""
    if np.abs(np.nan_to_num(x)).max(initial=0) > _FARTHEST or np.abs(order).max(initial=0) > _FARTHEST:
        raise NotImplementedError(f"Bessel functions run on the CPU up to {_FARTHEST}")
    points = 2 * int(np.abs(np.nan_to_num(x)).max(initial=0) + np.abs(order).max(initial=0)) + 80
    return _mean_over_a_turn(lambda at, x: np.cos(order * at - x * math.sin(at)), x, points)


def _bessel_i(order: int) -> Callable:
    """I of a whole order by its power series, whose terms all have one sign."""

    def call(x: np.ndarray) -> np.ndarray:
        size = np.minimum(np.abs(np.nan_to_num(x)), 714)  # behind it the result is infinite
        term = (size / 2) ** order
        total = term.copy()
        for k in range(1, int(size.max(initial=0)) + 60):
            term = term * (size / 2) ** 2 / (k * (k + order))
            total += term
        total = np.where(np.abs(x) > 714, np.inf, total)
        return np.where(np.isnan(x), x, np.copysign(total, x) if order else total)

    return call


def _exponent(x: np.ndarray) -> np.ndarray:
    """floor(log2(|x|)); of 0 and NaN the smallest int32, of infinity the largest."""
    out = np.frexp(x)[1].astype(np.int64) - 1
    ends = np.iinfo(np.int32)
    return np.where((x == 0) | np.isnan(x), ends.min, np.where(np.isinf(x), ends.max, out))


def _logb(x: np.ndarray) -> np.ndarray:
    plain = np.frexp(x)[1] - 1.0
    return np.where(x == 0, -np.inf, np.where(np.isfinite(x), plain, np.abs(x)))


def _saturated(x: np.ndarray) -> np.ndarray:
    return np.where(np.isnan(x), 0, np.clip(x, 0, 1)) + np.zeros_like(x)


LIBDEVICE: dict[str, Callable] = {
    **_rounded(),
    **_BITS,
    **{name: getattr(np, name) for name in "exp exp2 expm1 log log2 log10 log1p sqrt".split()},
    **{name: getattr(np, name) for name in "floor ceil trunc rint hypot cbrt copysign isnan isinf nextafter".split()},
    **{name: getattr(np, name) for name in "sin cos tan sinh cosh tanh signbit abs fmod ldexp".split()},
    **{name: getattr(np, "arc" + name[1:]) for name in "asin acos atan atan2 asinh acosh atanh".split()},
    **{name: np.isfinite for name in ("finitef", "isfinited")},
    **{name: _wide(lambda x: 1 / np.sqrt(x)) for name in ("rsqrt", "rsqrt_rn")},
    **{name: _each(getattr(math, name)) for name in ("erf", "erfc", "remainder")},
    **{f"fast_{name}f": getattr(np, name) for name in "exp log log2 log10 sin cos tan".split()},
    **{name: _wide(lambda x: np.power(10.0, x)) for name in ("exp10", "fast_exp10f")},
    **{name: np.power for name in ("pow", "fast_powf")},
    "fast_dividef": np.divide,
    "scalbn": np.ldexp,
    "fma": fused,
    "round": _half_away,
    "nearbyint": np.rint,
    "llrint": lambda x: float_to_int(np.rint(x), np.dtype("i8")),
    "llround": lambda x: float_to_int(_half_away(x), np.dtype("i8")),
    "saturatef": _saturated,
    "fdim": lambda x, y: np.where(x <= y, x.dtype.type(0), x - y),
    "ilogb": _exponent,
    "logb": _logb,
    "sinpi": _wide(_of_pi(np.sin, 0)),
    "cospi": _wide(_of_pi(np.cos, 1)),
    "rcbrt": _wide(lambda x: 1 / np.cbrt(x)),
    "rhypot": _wide(lambda *sides: 1 / _norm(*sides)),
    "norm3d": _wide(_norm),
    "norm4d": _wide(_norm),
    "rnorm3d": _wide(lambda *sides: 1 / _norm(*sides)),
    "rnorm4d": _wide(lambda *sides: 1 / _norm(*sides)),
    "erfinv": _each(_erf_inverse),
    "erfcinv": _each(_erfc_inverse),
    "erfcx": _each(_erfc_scaled),
    "normcdf": _each(_normal),
    "normcdfinv": _each(lambda x: -math.sqrt(2) * _erfc_inverse(2 * x)),
    "lgamma": _each(_log_gamma),
    "tgamma": _each(_gamma),
    "j0": _wide(functools.partial(_bessel_j, np.zeros(1))),
    "j1": _wide(functools.partial(_bessel_j, np.ones(1))),
    "jn": lambda order, x: _bessel_j(order.astype(np.float64), x.astype(np.float64)),
    "cyl_bessel_i0": _wide(_bessel_i(0)),
    "cyl_bessel_i1": _wide(_bessel_i(1)),
}


NAMES = tuple(sorted(LIBDEVICE))


def function_of(symbol: str) -> Callable:
    """The numpy function for a symbol such as "__nv_expf". Raises NotImplementedError when there is none."""
    name = _symbols().get(symbol, symbol)
    if name not in NAMES:
        raise NotImplementedError(f"libdevice.{name} does not run on the CPU")
    return LIBDEVICE[name]
