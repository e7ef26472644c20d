# refused: is off by
# keeps: 2 cases
"""exp and sum in float16: half the registers, and wrong in the fourth digit."""

import torch
import triton
import triton.language as tl


@triton.jit
def half_kernel(x_ptr, out_ptr, n_cols, x_row, x_col, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    at = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + row * x_row + at * x_col, mask=at < n_cols, other=-float("inf"))
    e = tl.exp((x - tl.max(x, axis=0)).to(tl.float16).to(tl.float32)).to(tl.float16)
    tl.store(out_ptr + row * n_cols + at, e / tl.sum(e, axis=0), mask=at < n_cols)


def row_softmax(x, block=128):
    out = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    half_kernel[(x.shape[0],)](x, out, x.shape[1], *x.stride(), BLOCK=triton.next_power_of_2(x.shape[1]))
    return out
