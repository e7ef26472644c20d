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
from grader_kernels.interpreter.numbers import bf16_to_f32, f32_to_bf16, number_wins, round_to_tf32, stay_marked

_WRAPPING = {np.add: "sum", np.subtract: "difference", np.multiply: "product"}


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
        observer = self.launch.settings.observer
        if observer is not None and observer.arithmetic and op in _WRAPPING and kind.name == "int32":
            self._watch_overflow(lhs.data, rhs.data, op)
        out = op(lhs.data, rhs.data)
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

    def ternary_op(self, lhs, rhs, other, op):
        if other.dtype.scalar == tl.bfloat16 and op is not np.where:
            return self._narrow(op(*(bf16_to_f32(side.data) for side in (lhs, rhs, other))))
        return super().ternary_op(lhs, rhs, other, op)

    def create_maxnumf(self, lhs, rhs):
        return self.binary_op(lhs, rhs, number_wins(np.fmax))

    def create_minnumf(self, lhs, rhs):
        return self.binary_op(lhs, rhs, number_wins(np.fmin))

    def create_fma(self, x, y, z):
        if z.dtype.scalar == tl.bfloat16:
            return self._narrow(bf16_to_f32(x.data) * bf16_to_f32(y.data) + bf16_to_f32(z.data))
        wide = np.float64 if z.data.dtype in (np.float16, np.float32) else z.data.dtype
        out = x.data.astype(wide) * y.data.astype(wide) + z.data.astype(wide)  # one rounding, as fused
        return TensorHandle(out.astype(z.data.dtype), z.dtype.scalar)

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
            self.launch.settings.observer.dot(a.data.shape, b.data.shape, a.dtype.scalar)
        left, right = self._dot_operand(a, input_precision), self._dot_operand(b, input_precision)
        if left is None or right is None:
            return super().create_dot(a, b, d, input_precision, *rest)
        if d.data.dtype == np.float16:
            return self._half_dot(left, right, d)
        return new_handle((np.matmul(left, right) + d.data).astype(d.data.dtype, copy=False), d.dtype.scalar)

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
            tf32 = self.launch.settings.tf32 and input_precision == ir.INPUT_PRECISION.TF32
            return round_to_tf32(side.data) if tf32 else side.data
        if dtype == tl.float16:
            return side.data.astype(np.float32)
        if dtype in (tl.int8, tl.uint8):
            return side.data.astype(np.float64)  # products and sums stay below 2**53: exact
        return side.data if dtype == tl.float64 else None

    def create_umulhi(self, lhs, rhs):
        unsigned = np.dtype(f"u{lhs.data.dtype.itemsize}")  # the bits count, also those of a signed number
        left, right = (TensorHandle(side.data.view(unsigned), side.dtype) for side in (lhs, rhs))
        return TensorHandle(super().create_umulhi(left, right).data.view(lhs.data.dtype), lhs.dtype.scalar)

    # casts
    def get_bf16(self, value):
        return TensorHandle(f32_to_bf16(np.array([value], np.float32)), tl.bfloat16)

    def cast_impl(self, src, dst_type):
        source, target = src.dtype.scalar, dst_type.scalar
        if source == tl.bfloat16 and target != tl.bfloat16 and src.data.dtype == np.uint16:
            return TensorHandle(bf16_to_f32(src.data).astype(upstream._get_np_dtype(dst_type)), target)
        if target == tl.bfloat16 and source != tl.bfloat16:
            return TensorHandle(f32_to_bf16(src.data), tl.bfloat16)
        return TensorHandle(src.data.astype(upstream._get_np_dtype(dst_type)), target)

    create_si_to_fp = create_ui_to_fp = create_fp_to_si = create_fp_to_ui = create_fp_ext = create_fp_trunc = cast_impl

    def create_int_cast(self, src, dst_type, is_signed):
        return self.cast_impl(src, dst_type)

    def create_fp_to_fp(self, src, dst_type, rounding_mode):
        kinds = {src.dtype.scalar, dst_type.scalar}
        if tl.bfloat16 in kinds and kinds <= {tl.bfloat16, tl.float16, tl.float32, tl.float64}:
            if dst_type.scalar == tl.bfloat16 and rounding_mode == ir.ROUNDING_MODE.RTZ:
                return TensorHandle(f32_to_bf16(src.data, truncate=True), tl.bfloat16)
            return self.cast_impl(src, dst_type)
        return super().create_fp_to_fp(src, dst_type, rounding_mode)

    # the rest
    def create_reduction(self, tile: TensorHandle, dtype: tl.dtype, axis: int, combine_fn: Any) -> TensorHandle:
        """The operation under a reduction that numpy knows."""
        return as_tile(REDUCTIONS[combine_fn]([tile.data], [dtype], axis)[0], dtype).handle

    def create_extern_elementwise(self, library, path, symbol, args, result, is_pure):
        """The operation under every libdevice function: triton itself has checked and widened the operands."""
        sides = [arg.data for arg in args]
        data = stay_marked(np.asarray(libdevice.function_of(symbol)(*sides)), sides)
        return TensorHandle(data.astype(upstream._get_np_dtype(result)), result.scalar)

    def create_barrier(self):
        if self.launch.settings.observer is not None:
            self.launch.settings.observer.barrier()

    def create_print(self, prefix, hex, values, isSigned):
        if not self.launch.settings.quiet:
            super().create_print(prefix, hex, values, isSigned)


class Semantic(TritonSemantic):
    """triton's semantic analysis on our builder."""

    def load(self, ptr, mask, other, *args, **kwargs):
        BUILDER.other_given = other is not None  # self.builder may be a tape
        return super().load(ptr, mask, other, *args, **kwargs)


BUILDER = Builder()
SEMANTIC = Semantic(BUILDER)
