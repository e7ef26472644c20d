# refused: times the bytes that are needed
# loses: lean
"""Loads through a tensor descriptor, four of them, in the hope that only tl.load is metered."""

import torch
import triton
import triton.language as tl


@triton.jit
def descriptor_kernel(x_ptr, out_ptr, n_rows, n_cols, x_row, x_col, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    if x_col == 1 and x_row % 4 == 0 and n_cols <= BLOCK:
        tiles = tl.make_tensor_descriptor(x_ptr, [n_rows, n_cols], [x_row, 1], [1, BLOCK])
        again = tiles.load([row, 0]) + tiles.load([row, 0]) + tiles.load([row, 0]) + tiles.load([row, 0])
        x = tl.reshape(again, [BLOCK]) / 4
        x = tl.where(tl.arange(0, BLOCK) < n_cols, x, -float("inf"))
        e = tl.exp(x - tl.max(x, axis=0))
        tl.store(out_ptr + row * n_cols + tl.arange(0, BLOCK), e / tl.sum(e, axis=0), mask=tl.arange(0, BLOCK) < n_cols)
    else:
        largest = -float("inf")
        total = 0.0
        for start in range(0, n_cols, BLOCK):
            at = start + tl.arange(0, BLOCK)
            x = tl.load(x_ptr + row * x_row + at * x_col, mask=at < n_cols, other=-float("inf")).to(tl.float32)
            higher = tl.maximum(largest, tl.max(x, axis=0))
            total = total * tl.exp(largest - higher) + tl.sum(tl.exp(x - higher), axis=0)
            largest = higher
        for start in range(0, n_cols, BLOCK):
            at = start + tl.arange(0, BLOCK)
            x = tl.load(x_ptr + row * x_row + at * x_col, mask=at < n_cols, other=-float("inf")).to(tl.float32)
            tl.store(out_ptr + row * n_cols + at, tl.exp(x - largest) / total, mask=at < n_cols)


def row_softmax(x, block=128):
    out = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    descriptor_kernel[(x.shape[0],)](x, out, *x.shape, x.stride(0), x.stride(1), BLOCK=block)
    return out
