"""The builder: every operation of a kernel ends here. The memory half is `accesses`, arithmetic stands below.

`BUILDER` is the one builder of a process and knows the launch that runs; `SEMANTIC` is triton's rules on it.
What it is not: triton's rules for types and shapes, which stay triton's own.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import triton.language as tl
from triton._C.libtriton import ir
from triton.language.semantic import TritonSemantic
from triton.runtime import interpreter as upstream
from triton.runtime.interpreter import TensorHandle

from grader_kernels.interpreter import libdevice
from grader_kernels.interpreter.accesses import Accesses, new_handle
from grader_kernels.interpreter.folds import REDUCTIONS, as_tile
from grader_kernels.interpreter.numbers import (
    FLOAT8,
    bf16_to_f32,
    f32_to_bf16,
    float_to_int,
    fused,
    fused_wide,
    nan_wins,
    number_wins,
    round_to_tf32,
    stay_marked,
    toward_zero,
)

_TRUTH = np.dtype(bool)
_WRAPPING = {np.add: "sum", np.subtract: "difference", np.multiply: "product"}
_OF_BITS = {np.add: np.bitwise_xor, np.subtract: np.bitwise_xor, np.multiply: np.bitwise_and}  # of one bit, wrapping
_SCALED = {ir.ScaleDotElemTypeTY.E4M3: "fp8e4nv", ir.ScaleDotElemTypeTY.E5M2: "fp8e5"}
_E2M1 = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6], np.float32)


class Builder(Accesses):
    """triton's interpreter builder with its arithmetic repaired and its memory guarded."""

    def __init__(self) -> None:
        super().__init__()
        self.options = dataclasses.replace(self.options, sanitize_overflow=False)  # int32 wraps, as on a GPU

    # arithmetic
    def binary_op(self, lhs, rhs, op):
        kind = lhs.dtype.scalar
        if kind.name == "bf16":
            right = bf16_to_f32(rhs.data) if rhs.dtype.scalar == tl.bfloat16 else rhs.data
            return self._narrow(op(bf16_to_f32(lhs.data), right))
        if kind.name == "int1":
            op = _OF_BITS.get(op, op)
        observer = self.launch.settings.observer
        if observer is not None and observer.arithmetic and op in _WRAPPING and kind.name == "int32":
            self._watch_overflow(lhs.data, rhs.data, op)
        out = op(lhs.data, rhs.data)
        if out.dtype is _TRUTH:  # a comparison
            return new_handle(out, tl.int1)
        if out.itemsize > lhs.data.itemsize:  # numpy took a wider type
            out = out.astype(upstream._get_np_dtype(kind))
        return new_handle(out, kind)

    def _watch_overflow(self, left: np.ndarray, right: np.ndarray, op: np.ufunc) -> None:
        wide = op(left, right, dtype=np.int64)
        wide += 2**31
        if wide.size and np.maximum.reduce(wide.view(np.uint64), axis=None) >= 2**32:
            self.launch.settings.observer.overflow(_WRAPPING[op])

    @staticmethod
    def _narrow(values: np.ndarray) -> TensorHandle:
        """Back from float32 to bfloat16, unless the operation was a comparison."""
        if values.dtype == np.bool_:
            return TensorHandle(values, tl.int1)
        return TensorHandle(f32_to_bf16(values), tl.bfloat16)

    def unary_op(self, arg, op):
        data = bf16_to_f32(arg.data) if arg.dtype.scalar == tl.bfloat16 else arg.data
        out = stay_marked(op(data), [data])
        return self._narrow(out) if arg.dtype.scalar == tl.bfloat16 else new_handle(out, arg.dtype.scalar)

    def create_select(self, cond, lhs, rhs):
        right = rhs.data.astype(lhs.data.dtype, copy=False)  # atomic_min of floats asks for int64 or a pointer
        return new_handle(np.where(cond.data, lhs.data, right), rhs.dtype.scalar)

    def create_clampf(self, arg, low, high, propagate_nan):
        """A number beats NaN, or NaN stays: as the two operations that a GPU makes of it."""
        if propagate_nan == ir.PROPAGATE_NAN.ALL:
            return self.create_minimumf(self.create_maximumf(arg, low), high)
        return self.create_minnumf(self.create_maxnumf(arg, low), high)

    def create_idiv(self, lhs, rhs):
        """Toward zero, as C has it. By zero it has no meaning; here it is 0."""
        rest = np.fmod(lhs.data, rhs.data)
        return new_handle(((lhs.data - rest) // rhs.data).astype(lhs.data.dtype, copy=False), lhs.dtype.scalar)

    def _shift(self, lhs: TensorHandle, rhs: TensorHandle, kind: str) -> TensorHandle:
        """To the right, of the operand's bits as a signed ("i") or an unsigned ("u") number."""
        bits = np.dtype(f"{kind}{lhs.data.itemsize}")
        out = np.right_shift(lhs.data.view(bits), rhs.data.view(bits))
        return new_handle(out.view(lhs.data.dtype), lhs.dtype.scalar)

    def create_ashr(self, lhs, rhs):
        return self._shift(lhs, rhs, "i")

    def create_lshr(self, lhs, rhs):
        return self._shift(lhs, rhs, "u")

    def create_maximumf(self, lhs, rhs):
        return self.binary_op(lhs, rhs, nan_wins(np.maximum))

    def create_minimumf(self, lhs, rhs):
        return self.binary_op(lhs, rhs, nan_wins(np.minimum))

    def create_maxnumf(self, lhs, rhs):
        return self.binary_op(lhs, rhs, number_wins(np.fmax))

    def create_minnumf(self, lhs, rhs):
        return self.binary_op(lhs, rhs, number_wins(np.fmin))

    def create_fma(self, x, y, z):
        kind = z.dtype.scalar
        if kind == tl.bfloat16:
            return new_handle(f32_to_bf16(fused_wide(*(bf16_to_f32(side.data) for side in (x, y, z)))), kind)
        return new_handle(fused(x.data, y.data, z.data), kind)

    def create_erf(self, arg):
        if arg.dtype.scalar == tl.bfloat16:
            return self._narrow(upstream.np_erf_fp32(bf16_to_f32(arg.data)))
        return super().create_erf(arg)

    def create_rsqrt(self, arg):
        if arg.dtype.scalar == tl.bfloat16:
            return self._narrow(1 / np.sqrt(bf16_to_f32(arg.data)))
        return super().create_rsqrt(arg)

    def create_dot(self, a, b, d, input_precision, *rest):
        if self.launch.settings.observer is not None:
            kind = "tf32" if self._in_tf32(a, input_precision) else a.dtype.scalar.name
            self.launch.settings.observer.dot(a.data.shape, b.data.shape, kind)
        left, right = self._dot_operand(a, input_precision), self._dot_operand(b, input_precision)
        if left is None or right is None:
            return super().create_dot(a, b, d, input_precision, *rest)
        if d.data.dtype == np.float16:
            return self._half_dot(left, right, d)
        if d.data.dtype == np.int32:
            total = np.matmul(left, right).astype(np.int64) + d.data
            return new_handle(total.astype(np.int32), d.dtype.scalar)
        return new_handle((np.matmul(left, right) + d.data).astype(d.data.dtype, copy=False), d.dtype.scalar)

    def _in_tf32(self, side: TensorHandle, input_precision) -> bool:
        wanted = self.launch.settings.tf32 and input_precision == ir.INPUT_PRECISION.TF32
        return wanted and side.dtype.scalar == tl.float32

    @staticmethod
    def _half_dot(left: np.ndarray, right: np.ndarray, d: TensorHandle) -> TensorHandle:
        """A float16 accumulator is rounded after every 16 columns: that many one mma instruction takes."""
        total = d.data
        for k in range(0, left.shape[-1], 16):
            total = (np.matmul(left[..., k : k + 16], right[..., k : k + 16, :]) + total).astype(np.float16)
        return TensorHandle(total, d.dtype.scalar)

    def _dot_operand(self, side: TensorHandle, input_precision) -> np.ndarray | None:
        """An operand in a type numpy multiplies fast and exactly enough; None: leave it to upstream."""
        dtype = side.dtype.scalar
        if dtype == tl.bfloat16:
            return bf16_to_f32(side.data)
        if dtype == tl.float32:
            return round_to_tf32(side.data) if self._in_tf32(side, input_precision) else side.data
        if dtype == tl.float16:
            return side.data.astype(np.float32)
        if dtype in (tl.int8, tl.uint8):
            return side.data.astype(np.float64)  # products and sums stay below 2**53: exact
        if dtype.name in FLOAT8:
            return FLOAT8[dtype.name].table[side.data]
        return side.data if dtype == tl.float64 else None

    def create_dot_scaled(self, a, a_scale, a_format, b, b_scale, b_format, fast_math, a_packed, b_packed, d):
        """Every operand is a small float times the power of two of its group of 32 columns, which is exact in float32;
        of its group of 16 where scales are float8."""
        left = self._scaled(a, a_format, -1 if a_packed else -2)
        right = np.swapaxes(self._scaled(b, b_format, -2 if b_packed else -1), -1, -2)
        product = np.matmul(_times_scale(left, a_scale), np.swapaxes(_times_scale(right, b_scale), -1, -2))
        return self._cast(new_handle(product + self._cast(d, tl.float32).data, tl.float32), d.dtype.scalar)

    def _scaled(self, side: TensorHandle, form: Any, axis: int) -> np.ndarray:
        """An operand of tl.dot_scaled as float32; two numbers of 4 bits in a byte lie along `axis`, the lower first."""
        if form == ir.ScaleDotElemTypeTY.E2M1:
            pair = np.stack([_E2M1[side.data & 15], _E2M1[side.data >> 4]], axis=axis)
            shape = list(side.data.shape)
            shape[axis] *= 2
            return pair.reshape(shape)
        if form in _SCALED:
            return FLOAT8[_SCALED[form]].table[side.data.view(np.uint8)]
        return self._cast(side, tl.float32).data

    def get_all_ones_value(self, type):
        made = upstream._get_np_dtype(type)
        ones = np.ones(1, made) if made == np.bool_ else np.full(1, -1, f"i{made.itemsize}").view(made)
        return new_handle(ones, type.scalar)

    def create_umulhi(self, lhs, rhs):
        unsigned = np.dtype(f"u{lhs.data.dtype.itemsize}")  # the bits count, also those of a signed number
        left, right = (TensorHandle(side.data.view(unsigned), side.dtype) for side in (lhs, rhs))
        return TensorHandle(super().create_umulhi(left, right).data.view(lhs.data.dtype), lhs.dtype.scalar)

    # casts
    def get_bf16(self, value):
        return TensorHandle(f32_to_bf16(np.array([value], np.float32)), tl.bfloat16)

    def cast_impl(self, src, dst_type):
        return self._cast(src, dst_type.scalar)

    def _cast(self, src: TensorHandle, target: tl.dtype, truncate: bool = False) -> TensorHandle:
        """From any number to any number. truncate: a float that becomes narrower is rounded toward zero."""
        source, data = src.dtype.scalar, src.data
        if source == target:
            return src
        if source.name in FLOAT8:
            data = FLOAT8[source.name].table[data]
        elif source.name == "bf16":
            data = bf16_to_f32(data)
        if target.name in FLOAT8:
            return new_handle(FLOAT8[target.name].encode(data, truncate), target)
        if target.name == "bf16":
            return new_handle(f32_to_bf16(data, truncate), target)
        made = upstream._get_np_dtype(target)
        if data.dtype.kind == "f" and made.kind in "iu":
            return new_handle(float_to_int(data, made), target)
        out = data.astype(made)
        return new_handle(toward_zero(out, data) if truncate else out, target)

    create_si_to_fp = create_ui_to_fp = create_fp_to_si = create_fp_to_ui = create_fp_ext = create_fp_trunc = cast_impl

    def create_int_cast(self, src, dst_type, is_signed):
        return self.cast_impl(src, dst_type)

    def create_fp_to_fp(self, src, dst_type, rounding_mode):
        kinds = {src.dtype.scalar.name, dst_type.scalar.name}
        if kinds & {"fp8e4b8", "fp8e5b16"}:  # of AMD's GPUs
            return super().create_fp_to_fp(src, dst_type, rounding_mode)
        return self._cast(src, dst_type.scalar, rounding_mode == ir.ROUNDING_MODE.RTZ)

    # the rest
    def create_reduction(self, tile: TensorHandle, dtype: tl.dtype, axis: int, combine_fn: Any) -> TensorHandle:
        """The operation under a reduction that numpy knows."""
        return as_tile(REDUCTIONS[combine_fn]([tile.data], [dtype], axis)[0], dtype).handle

    def create_extern_elementwise(self, library, path, symbol, args, result, is_pure):
        """The operation under every libdevice function: triton itself has checked and widened the operands."""
        sides = [arg.data for arg in args]
        data = stay_marked(np.asarray(libdevice.function_of(symbol)(*sides)), sides)
        return TensorHandle(data.astype(upstream._get_np_dtype(result)), result.scalar)

    def create_histogram(self, data, bins, mask):
        """How many numbers are 0, 1, ... bins - 1; others have no place on a GPU either."""
        on = np.ones(data.data.shape, bool) if mask is None else mask.data
        values = data.data[on]
        inside = values[(values >= 0) & (values < bins)].astype(np.int64)
        return new_handle(np.bincount(inside, minlength=bins).astype(np.int32), tl.int32)

    def create_barrier(self):
        if self.launch.settings.observer is not None:
            self.launch.settings.observer.barrier()

    def create_print(self, prefix, hex, values, isSigned):
        if not self.launch.settings.quiet:
            super().create_print(prefix, hex, values, isSigned)


def _times_scale(operand: np.ndarray, scale: TensorHandle | None) -> np.ndarray:
    """The rows of an operand times their scales: float8, or the exponent of a power of two, where 255 is NaN."""
    if scale is None:
        return operand
    if scale.dtype.scalar.name in FLOAT8:
        factor = FLOAT8[scale.dtype.scalar.name].table[scale.data]
    else:
        factor = np.where(scale.data == 255, np.nan, np.ldexp(np.float64(1), scale.data.astype(np.int32) - 127))
    factor = np.repeat(factor, operand.shape[-1] // scale.data.shape[-1], axis=-1)
    return (operand * factor).astype(np.float32)


class Semantic(TritonSemantic):
    """triton's semantic analysis on our builder."""

    def load(self, ptr, mask, other, *args, **kwargs):
        BUILDER.other_given = other is not None  # self.builder may be a tape
        return super().load(ptr, mask, other, *args, **kwargs)

    def dot_scaled(self, lhs, lhs_scale, lhs_format, rhs, rhs_scale, rhs_format, *rest):
        forms = tl.constexpr(lhs_format), tl.constexpr(rhs_format)  # what the compiler makes of a text
        return super().dot_scaled(lhs, lhs_scale, forms[0], rhs, rhs_scale, forms[1], *rest)


BUILDER = Builder()
SEMANTIC = Semantic(BUILDER)
