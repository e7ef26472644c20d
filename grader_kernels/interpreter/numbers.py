"""The interpreter's numbers: bfloat16 as uint16 patterns, tf32, and the NaN that marks a lane nobody loaded.

What it is not: an operation of a kernel. It only knows numpy arrays; `builder` computes with them.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import triton.language as tl
from triton.runtime import interpreter as upstream


def bf16_to_f32(bits: np.ndarray) -> np.ndarray:
    """uint16 patterns -> float32, exact."""
    return (np.ascontiguousarray(bits).astype(np.uint32) << np.uint32(16)).view(np.float32).reshape(np.shape(bits))


def f32_to_bf16(values: np.ndarray, truncate: bool = False) -> np.ndarray:
    """float -> uint16 patterns of bfloat16, to nearest, ties to even (or toward zero); NaN payloads survive."""
    values = np.asarray(values).astype(np.float32, order="C")
    bits = values.view(np.uint32)
    half = np.uint32(0) if truncate else ((bits >> np.uint32(16)) & np.uint32(1)) + np.uint32(0x7FFF)
    rounded = ((bits + half) >> np.uint32(16)).astype(np.uint16)
    return np.where(np.isnan(values), (bits >> np.uint32(16)).astype(np.uint16) | np.uint16(0x40), rounded)


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
