# loses right: no maximum is subtracted, so exp overflows
# says: maximum
import torch
import triton
import triton.language as tl


@triton.jit
def softmax_kernel(x_ptr, out_ptr, n_cols, x_row, x_col, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    columns = tl.arange(0, BLOCK)
    total = 0.0
    for start in range(0, n_cols, BLOCK):
        at = start + columns
        x = tl.load(x_ptr + row * x_row + at * x_col, mask=at < n_cols, other=-float("inf")).to(tl.float32)
        total += tl.sum(tl.exp(x), axis=0)
    for start in range(0, n_cols, BLOCK):
        at = start + columns
        x = tl.load(x_ptr + row * x_row + at * x_col, mask=at < n_cols, other=-float("inf")).to(tl.float32)
        tl.store(out_ptr + row * n_cols + at, tl.exp(x) / total, mask=at < n_cols)


def row_softmax(x, block=128):
    out = torch.empty(x.shape, dtype=x.dtype)
    softmax_kernel[(x.shape[0],)](x, out, x.shape[1], x.stride(0), x.stride(1), BLOCK=block)
    return out
