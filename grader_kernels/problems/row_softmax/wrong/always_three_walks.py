# loses lean: a row that fits in a block is read three times
# says: x is read three times
import torch
import triton
import triton.language as tl


@triton.jit
def row_softmax_kernel(x_ptr, out_ptr, n_cols, x_row, x_col, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    x_ptr += row * x_row
    columns = tl.arange(0, BLOCK)
    largest = -float("inf")
    for start in range(0, n_cols, BLOCK):
        at = start + columns
        x = tl.load(x_ptr + at * x_col, mask=at < n_cols, other=-float("inf")).to(tl.float32)
        largest = tl.maximum(largest, tl.max(x, axis=0))
    total = 0.0
    for start in range(0, n_cols, BLOCK):
        at = start + columns
        x = tl.load(x_ptr + at * x_col, mask=at < n_cols, other=-float("inf")).to(tl.float32)
        total += tl.sum(tl.exp(x - largest), axis=0)
    for start in range(0, n_cols, BLOCK):
        at = start + columns
        x = tl.load(x_ptr + at * x_col, mask=at < n_cols, other=-float("inf")).to(tl.float32)
        tl.store(out_ptr + row * n_cols + at, tl.exp(x - largest) / total, mask=at < n_cols)


def row_softmax(x, block=128):
    n_rows, n_cols = x.shape
    out = torch.empty((n_rows, n_cols), dtype=x.dtype, device=x.device)
    row_softmax_kernel[(n_rows,)](x, out, n_cols, x.stride(0), x.stride(1), BLOCK=block)
    return out
