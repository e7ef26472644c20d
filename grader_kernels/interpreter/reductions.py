"""Reductions and scans: any associative combine function, log2(n) steps on whole tiles.

What it is not: a loop over elements, as upstream's interpreter has it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import triton.language as tl

from grader_kernels.interpreter.builder import SEMANTIC
from grader_kernels.interpreter.folds import REDUCTIONS, SCANS, as_tile

Parts = list[np.ndarray]


def _combine(combine_fn: Any, left: Parts, right: Parts, dtypes: list[tl.dtype]) -> Parts:
    sides = [as_tile(data, dtype) for half in (left, right) for data, dtype in zip(half, dtypes, strict=True)]
    out = combine_fn(*sides)
    parts = list(out) if isinstance(out, (tuple, tl.tuple)) else [out]
    return [
        np.broadcast_to(SEMANTIC.cast(SEMANTIC.to_tensor(part), dtype).handle.data, like.shape)
        for part, dtype, like in zip(parts, dtypes, left, strict=True)
    ]


def _tiles(value: Any) -> tuple[tl.tensor, ...]:
    tiles = tuple(value) if isinstance(value, (tuple, tl.tuple)) else (value,)
    for tile in tiles:
        if not (isinstance(tile, tl.tensor) and tile.type.is_block()):
            raise ValueError("a reduction or scan needs a tile, not a scalar")
    return tiles


def _check_axis(axis: Any, rank: int) -> int | None:
    axis = tl.core._unwrap_if_constexpr(axis)
    if axis is not None and not -rank <= int(axis) < rank:
        raise ValueError(f"axis {axis} does not exist: the tile has {rank} dimension{'' if rank == 1 else 's'}")
    return None if axis is None else int(axis) % rank


def reduce_tile(input, axis, combine_fn, keep_dims=False, **_):
    """`tl.reduce` and all that is built on it: tile, or tuple of tiles, reduced along `axis` (None: everything)."""
    tiles = _tiles(input)
    rank = tiles[0].handle.data.ndim
    axis = _check_axis(axis, rank)
    dtypes = [tile.dtype for tile in tiles]
    parts = [tile.handle.data.reshape(-1) if axis is None else tile.handle.data for tile in tiles]
    at = 0 if axis is None else axis
    quick = REDUCTIONS.get(combine_fn)
    if quick is not None and len(tiles) == 1 and axis is not None and not tl.core._unwrap_if_constexpr(keep_dims):
        handle = SEMANTIC.builder.create_reduction(input.handle, dtypes[0], axis, combine_fn)
        left = [size.value for i, size in enumerate(input.shape) if i != axis]
        return tl.tensor(handle, tl.block_type(dtypes[0], left) if left else dtypes[0])
    if quick is not None:
        out = quick(parts, dtypes, at)
    else:
        parts = [np.moveaxis(part, at, -1) for part in parts]
        while parts[0].shape[-1] > 1:
            parts = _combine(combine_fn, [p[..., 0::2] for p in parts], [p[..., 1::2] for p in parts], dtypes)
        out = [part[..., 0] for part in parts]
    if tl.core._unwrap_if_constexpr(keep_dims):
        out = [np.reshape(part, (1,) * rank) if axis is None else np.expand_dims(part, at) for part in out]
    results = tuple(as_tile(part, dtype) for part, dtype in zip(out, dtypes, strict=True))
    return results if isinstance(input, (tuple, tl.tuple)) else results[0]


def scan_tile(input, axis, combine_fn, reverse=False, **_):
    """`tl.associative_scan`: inclusive, along `axis`, from the end when `reverse`."""
    tiles = _tiles(input)
    axis = _check_axis(axis, tiles[0].handle.data.ndim)
    reverse = bool(tl.core._unwrap_if_constexpr(reverse))
    dtypes = [tile.dtype for tile in tiles]
    parts = [np.moveaxis(tile.handle.data, axis, -1) for tile in tiles]
    parts = [part[..., ::-1] for part in parts] if reverse else parts
    quick = SCANS.get(combine_fn)
    if quick is not None and not dtypes[0].is_bf16():
        parts = [quick(parts[0], axis=-1)]
    else:
        parts = _scan_by_doubling(combine_fn, parts, dtypes)
    parts = [part[..., ::-1] for part in parts] if reverse else parts
    results = tuple(as_tile(np.moveaxis(part, -1, axis), dtype) for part, dtype in zip(parts, dtypes, strict=True))
    return results if isinstance(input, (tuple, tl.tuple)) else results[0]


def _scan_by_doubling(combine_fn: Any, parts: list[np.ndarray], dtypes: list[tl.dtype]) -> list[np.ndarray]:
    n = parts[0].shape[-1]
    step = 1
    while step < n:
        both = _combine(combine_fn, [np.roll(part, step, axis=-1) for part in parts], parts, dtypes)
        parts = [np.where(np.arange(n) >= step, new, old) for new, old in zip(both, parts, strict=True)]
        step *= 2
    return parts
