"""libdevice, which upstream's interpreter refuses: its functions by name, as functions of numpy.

What it is not: their types. Triton itself checks and widens the operands before `builder` calls one.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from triton.runtime import interpreter as upstream


def _round_half_away(x: np.ndarray) -> np.ndarray:
    whole = np.floor(np.abs(x))
    return np.copysign(np.where(np.abs(x) - whole >= 0.5, whole + 1, whole), x)


LIBDEVICE: dict[str, Callable] = {
    **{name: getattr(np, name) for name in "exp exp2 expm1 log log2 log10 log1p sqrt".split()},
    **{name: getattr(np, name) for name in "floor ceil trunc rint hypot cbrt copysign isnan isinf nextafter".split()},
    **{name: getattr(np, name) for name in "sin cos tan sinh cosh tanh".split()},
    **{name: getattr(np, "arc" + name[1:]) for name in "asin acos atan atan2 asinh acosh atanh".split()},
    "abs": np.abs,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "pow": np.power,
    "fmod": np.fmod,
    "round": _round_half_away,
    "nearbyint": np.rint,
    "finitef": np.isfinite,
    "isfinited": np.isfinite,
    "signbit": np.signbit,
    "erf": np.vectorize(upstream.math.erf, otypes=[np.float64]),
    "erfc": np.vectorize(upstream.math.erfc, otypes=[np.float64]),
    "fast_expf": np.exp,
    "fast_sinf": np.sin,
    "fast_cosf": np.cos,
    "fast_logf": np.log,
    "fast_powf": np.power,
    "fast_dividef": np.divide,
    "div_rn": np.divide,
}


# What libdevice calls a function ("__nv_expf", "__nv_exp", "__nv_isnand") less the letter of its type.
SYMBOLS = {"fabs": "abs", "llabs": "abs", "fdiv_rn": "div_rn", "ddiv_rn": "div_rn", "powi": "pow"}
SYMBOLS |= {"fast_fdivide": "fast_dividef"}


def function_of(symbol: str) -> Callable:
    """The numpy function for a symbol such as "__nv_expf". Raises NotImplementedError when there is none."""
    name = symbol.removeprefix("__nv_")
    short = name[:-1] if name[-1] in "fd" else name
    for known in (name, short, SYMBOLS.get(name), SYMBOLS.get(short)):
        if known in LIBDEVICE:
            return LIBDEVICE[known]
    raise NotImplementedError(f"{symbol} of libdevice does not run on the CPU")

NAMES = sorted(LIBDEVICE)
