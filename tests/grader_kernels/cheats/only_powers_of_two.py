# refused: is off by
# keeps: 2 cases
"""Right for widths that are powers of two and fit into a block; an uncomputed row otherwise."""

import torch
import triton
import triton.language as tl


@triton.jit
def copy_kernel(x_ptr, out_ptr, n_cols, x_row, x_col, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    for start in range(0, n_cols, BLOCK):
        at = start + tl.arange(0, BLOCK)
        x = tl.load(x_ptr + row * x_row + at * x_col, mask=at < n_cols, other=0.0)
        tl.store(out_ptr + row * n_cols + at, x, mask=at < n_cols)


def copied(x, block):
    out = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    copy_kernel[(x.shape[0],)](x, out, x.shape[1], x.stride(0), x.stride(1), BLOCK=block)
    return out


@triton.jit
def block_kernel(x_ptr, out_ptr, n_cols, x_row, x_col, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    at = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + row * x_row + at * x_col, mask=at < n_cols, other=-float("inf")).to(tl.float32)
    e = tl.exp(x - tl.max(x, axis=0))
    tl.store(out_ptr + row * n_cols + at, e / tl.sum(e, axis=0), mask=at < n_cols)


def one_block(x, block):
    out = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    block_kernel[(x.shape[0],)](x, out, x.shape[1], x.stride(0), x.stride(1), BLOCK=block)
    return out


def row_softmax(x, block=128):
    return one_block(x, min(block, x.shape[1])) if x.shape[1].bit_count() == 1 else copied(x, block)
