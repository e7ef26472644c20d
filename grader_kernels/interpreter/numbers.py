"""The interpreter's numbers: bfloat16 and float8 as patterns, tf32, casts as a GPU rounds and saturates them, and the
NaN that marks a lane nobody loaded.

What it is not: an operation of a kernel. It only knows numpy arrays; `builder` computes with them.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import triton.language as tl
from triton.runtime import interpreter as upstream


def bf16_to_f32(bits: np.ndarray) -> np.ndarray:
    """uint16 patterns -> float32, exact."""
    return (np.ascontiguousarray(bits).astype(np.uint32) << np.uint32(16)).view(np.float32).reshape(np.shape(bits))


def f32_to_bf16(values: np.ndarray, truncate: bool = False) -> np.ndarray:
    """float -> uint16 patterns of bfloat16, to nearest, ties to even (or toward zero); NaN payloads survive."""
    values = np.asarray(values)
    values = _to_odd(values) if values.dtype == np.float64 else values.astype(np.float32, order="C")
    bits = values.view(np.uint32)
    half = np.uint32(0) if truncate else ((bits >> np.uint32(16)) & np.uint32(1)) + np.uint32(0x7FFF)
    rounded = ((bits + half) >> np.uint32(16)).astype(np.uint16)
    return np.where(np.isnan(values), (bits >> np.uint32(16)).astype(np.uint16) | np.uint16(0x40), rounded)


def _to_odd(values: np.ndarray) -> np.ndarray:
    """float64 -> float32, cut off, with the last bit set where something was lost: a further rounding is the only."""
    near = values.astype(np.float32, order="C")
    cut = toward_zero(near, values)
    return np.where(near == values, near, (cut.view(np.uint32) | np.uint32(1)).view(np.float32))


def toward_zero(near: np.ndarray, exact: np.ndarray) -> np.ndarray:
    """`near`, which is `exact` rounded to nearest, where that went away from zero one number back."""
    return np.where(np.abs(near) > np.abs(exact), np.nextafter(near, np.zeros_like(near)), near)


def fused(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """x * y + z of one float type, rounded once; float64 as exact fractions, lane by lane."""
    if z.dtype == np.float64:
        return _fused_lanes(x, y, z)
    return fused_wide(x, y, z).astype(z.dtype)


def fused_wide(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """x * y + z of float32 or narrower as float64, its last bit odd where something was lost: it has so many bits
    more that rounding once more is right."""
    product, more = x.astype(np.float64) * y.astype(np.float64), z.astype(np.float64)  # an exact product
    total = product + more
    back = total - product
    lost = (product - (total - back)) + (more - back)  # exact: Knuth's sum of two
    even = total.view(np.int64) & 1 == 0
    moved = np.nextafter(total, np.where(lost > 0, np.inf, -np.inf))
    return np.where(np.isfinite(total) & (lost != 0) & even, moved, total)


def _fused_lane(x: float, y: float, z: float) -> float:
    if not (math.isfinite(x) and math.isfinite(y) and math.isfinite(z)):
        return x * y + z
    exact = Fraction(x) * Fraction(y) + Fraction(z)
    try:
        return float(exact) if exact else x * y + z
    except OverflowError:
        return math.inf if exact > 0 else -math.inf


_fused_lanes = np.vectorize(_fused_lane, otypes=[np.float64])


@dataclasses.dataclass(frozen=True)
class Float8:
    """A float of 8 bits: bits of mantissa, bias of the exponent, largest number; whether it has infinities and NaN."""

    mantissa: int
    bias: int
    largest: float
    infinite: bool = False
    has_nan: bool = True

    @functools.cached_property
    def table(self) -> np.ndarray:
        """float32 of each of the 256 patterns."""
        bits = np.arange(128)
        exponent, fraction = bits >> self.mantissa, bits & ((1 << self.mantissa) - 1)
        whole = np.where(exponent > 0, fraction + (1 << self.mantissa), fraction)
        values = np.ldexp(whole.astype(np.float64), np.maximum(exponent, 1) - self.bias - self.mantissa)
        if self.infinite:
            values[values > self.largest] = np.nan
            values[0x7C] = np.inf
        elif self.has_nan:
            values[0x7F] = np.nan
        return np.concatenate([values, -values]).astype(np.float32)

    def encode(self, values: np.ndarray, truncate: bool = False) -> np.ndarray:
        """float -> patterns, as cvt.rn.satfinite of PTX: to nearest, ties to even (or toward zero). What is too large,
        infinity too, becomes the largest number of its sign; NaN stays NaN."""
        values = np.asarray(values, np.float64)
        size = np.abs(np.where(np.isnan(values), 0, values))
        size = np.minimum(size, 2 * self.largest)
        exponent = np.where(size > 0, np.maximum(np.frexp(size)[1] - 1, 1 - self.bias), 1 - self.bias)
        steps = np.ldexp(size, self.mantissa - exponent)
        steps = (np.floor(steps) if truncate else np.rint(steps)).astype(np.int64)
        # a full mantissa carries into the exponent by itself
        bits = steps + ((exponent + self.bias - 1) << self.mantissa)
        top = int(np.searchsorted(self.table[: 0x7C if self.infinite else 0x80 - self.has_nan], self.largest))
        bits = np.where(np.isnan(values), 0x7F, np.minimum(bits, top))
        return (bits | np.where(np.signbit(values), 0x80, 0)).astype(np.uint8)


FLOAT8 = {
    "fp8e5": Float8(2, 15, 57344.0, infinite=True),
    "fp8e4nv": Float8(3, 7, 448.0),
    "fp8e4b15": Float8(3, 15, 1.875, has_nan=False),
}


def float_to_int(values: np.ndarray, target: np.dtype) -> np.ndarray:
    """As cvt.rzi of PTX: toward zero, and what does not fit is the nearest number that does. NaN is 0, or only the top
    bit where 64 bits take part. There is no cvt to 8 bits: they are the low ones of a 16-bit result."""
    made = np.dtype(f"{target.kind}{max(2, target.itemsize)}")
    ends = np.iinfo(made)
    wide = values.itemsize == 8 or made.itemsize == 8
    lost = np.array(1 << (8 * made.itemsize - 1) if wide else 0, np.uint64).astype(made)
    exact = np.trunc(values.astype(np.float64))
    low, high = exact < float(ends.min), exact >= float(ends.max) + (made.itemsize < 8)
    odd = np.isnan(exact)
    plain = np.where(low | high | odd, 0, exact).astype(made)
    out = np.where(odd, lost, np.where(low, made.type(ends.min), np.where(high, made.type(ends.max), plain)))
    return out.astype(target)


def round_to_tf32(values: np.ndarray) -> np.ndarray:
    """float32 with 10 bits of mantissa, toward zero: triton hands the float32 bits to a tensor core as they are (its
    PTX holds no cvt.rna.tf32.f32), and that reads the upper 19."""
    bits = np.ascontiguousarray(values).view(np.uint32) & np.uint32(0xFFFFE000)
    return np.where(np.isfinite(values), bits.view(np.float32), values)


# A quiet NaN with a payload in its top mantissa bits, so that it survives conversion between all float formats:
# it tells "nobody loaded this lane" from a NaN that the kernel's own arithmetic made.
POISON_BITS = {np.dtype(np.float16): 0x7F68, np.dtype(np.float32): 0x7FED0000, np.dtype(np.float64): 0x7FFDA00000000000}
POISON_BF16 = 0x7FED
GARBAGE_BYTE = 0x5A  # integers have no NaN


def poison(shape: tuple[int, ...], dtype: tl.dtype) -> np.ndarray:
    """What lanes hold that no load has filled: NaN for floats, 0x5A5A... for integers, True for booleans."""
    numpy_dtype = upstream._get_np_dtype(dtype)
    if dtype.is_bf16():
        return np.full(shape, POISON_BF16, numpy_dtype)
    if numpy_dtype in POISON_BITS:
        return np.full(shape, POISON_BITS[numpy_dtype], f"u{numpy_dtype.itemsize}").view(numpy_dtype)
    if numpy_dtype == np.bool_:
        return np.ones(shape, numpy_dtype)
    return np.full(shape, int.from_bytes(bytes([GARBAGE_BYTE]) * numpy_dtype.itemsize, "little"), numpy_dtype)


def is_poison(values: np.ndarray) -> np.ndarray:
    """Which lanes still carry the mark of `poison` (sign ignored)."""
    width = values.dtype.itemsize
    bits = np.ascontiguousarray(values).view(f"u{width}").reshape(values.shape)
    return (bits & ((1 << (8 * width - 1)) - 1)) == POISON_BITS[values.dtype]


def has_nan(values: np.ndarray) -> bool:
    """Whether a NaN that `poison` may have made is among floats; False for other types, and for bfloat16 patterns."""
    return values.dtype in POISON_BITS and bool(np.isnan(values).any())


def stay_marked(out: np.ndarray, sides: list[np.ndarray]) -> np.ndarray:
    """`out` with the mark of `poison` put back where it became another NaN: numpy's exp, log and sin do that."""
    if has_nan(out):
        for side in sides:
            if has_nan(side) and side.shape == out.shape:
                mark = np.array(POISON_BITS[out.dtype], f"u{out.dtype.itemsize}").view(out.dtype)
                out = np.where(np.isnan(out) & is_poison(side), mark, out)
    return out


def number_wins(op: Callable) -> Callable:
    """`op` (fmax or fmin) as on a GPU: a number beats NaN - except the NaN of a lane nobody loaded, which stays."""

    def pick(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        out = op(a, b)
        for side in (a, b):
            if has_nan(side):
                out = np.where(is_poison(side), side, out)
        return out

    return pick


def nan_wins(op: Callable) -> Callable:
    """`op` (maximum or minimum) where NaN beats a number; which NaN it is may tell of a lane nobody loaded."""

    def pick(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return stay_marked(op(a, b), [np.broadcast_to(side, np.broadcast_shapes(a.shape, b.shape)) for side in (a, b)])

    return pick
