"""Reductions and scans that numpy knows: sum, max, min, argmax and argmin of a tile along one axis.

What it is not: `tl.reduce` itself. `reductions` asks here first, and combines step by step what is not found.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import triton.language as tl
from triton.runtime import interpreter as upstream
from triton.runtime.interpreter import TensorHandle

from grader_kernels.interpreter.numbers import bf16_to_f32, f32_to_bf16, has_nan, is_poison, poison


def as_tile(data: np.ndarray, dtype: tl.dtype) -> tl.tensor:
    """numpy data -> tl.tensor: a tile, or a scalar when it has no dimensions."""
    data = np.asarray(data)
    data = data.astype(upstream._get_np_dtype(dtype), copy=False)
    if data.ndim:
        return tl.tensor(TensorHandle(data, dtype.scalar), tl.block_type(dtype, list(data.shape)))
    return tl.tensor(TensorHandle(data.reshape(1), dtype.scalar), dtype)


def _sum(data: np.ndarray, dtype: tl.dtype, axis: int) -> np.ndarray:
    if data.dtype != np.float16 and not dtype.is_bf16():
        return data.sum(axis=axis)
    parts = np.moveaxis(data, axis, -1)
    while parts.shape[-1] > 1:  # every partial sum is rounded to the tile's type, as on a GPU
        left, right = parts[..., 0::2], parts[..., 1::2]
        parts = f32_to_bf16(bf16_to_f32(left) + bf16_to_f32(right)) if dtype.is_bf16() else left + right
    return parts[..., 0]


def _extreme(op: np.ufunc) -> Callable:
    def reduce(data: np.ndarray, dtype: tl.dtype, axis: int) -> np.ndarray:
        if dtype.is_bf16():
            return f32_to_bf16(reduce(bf16_to_f32(data), tl.float32, axis))
        out = op.reduce(data, axis=axis)
        if has_nan(data):
            marked = is_poison(data)
            out = np.where(marked.any(axis=axis), poison((1,), dtype)[0], out)
        return out

    return reduce


def _arg_extreme(which: Callable) -> Callable:
    def reduce(parts, dtypes, axis):
        at = np.expand_dims(which(parts[0], axis=axis), axis)
        return [np.take_along_axis(part, at, axis).squeeze(axis) for part in parts]

    return reduce


def _single(op: Callable) -> Callable:
    return lambda parts, dtypes, axis: [op(parts[0], dtypes[0], axis)]


REDUCTIONS = {
    tl.standard._sum_combine: _single(_sum),
    tl.standard._elementwise_max: _single(_extreme(np.fmax)),
    tl.standard._elementwise_min: _single(_extreme(np.fmin)),
    tl.standard._argmax_combine_tie_break_left: _arg_extreme(np.argmax),
    tl.standard._argmin_combine_tie_break_left: _arg_extreme(np.argmin),
}
SCANS = {tl.standard._sum_combine: np.cumsum, tl.standard._prod_combine: np.cumprod}
