# loses safe: the exponentials are stored in the result and read back without a barrier
# says: tl.debug_barrier
import torch
import triton
import triton.language as tl


@triton.jit
def row_softmax_kernel(x_ptr, out_ptr, n_cols, x_row, x_col, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    x_ptr += row * x_row
    out_ptr += row * n_cols
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
        e = tl.exp(x - largest)
        total += tl.sum(e, axis=0)
        tl.store(out_ptr + at, e, mask=at < n_cols)
    for start in range(0, n_cols, BLOCK):
        at = start + columns
        e = tl.load(out_ptr + at, mask=at < n_cols).to(tl.float32)
        tl.store(out_ptr + at, e / total, mask=at < n_cols)


def row_softmax(x, block=128):
    n_rows, n_cols = x.shape
    out = torch.empty((n_rows, n_cols), dtype=x.dtype, device=x.device)
    row_softmax_kernel[(n_rows,)](x, out, n_cols, x.stride(0), x.stride(1), BLOCK=block)
    return out
