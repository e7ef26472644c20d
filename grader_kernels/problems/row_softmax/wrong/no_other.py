# loses safe: masked lanes have no value of their own, and the maximum takes them in
# says: has no other=
import torch
import triton
import triton.language as tl


@triton.jit
def row_softmax_kernel(x_ptr, out_ptr, n_cols, x_row, x_col, out_row, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    columns = tl.arange(0, BLOCK)
    x_ptr += row * x_row
    out_ptr += row * out_row
    if n_cols <= BLOCK:
        inside = columns < n_cols
        x = tl.load(x_ptr + columns * x_col, mask=inside).to(tl.float32)
        e = tl.exp(x - tl.max(x, axis=0))
        tl.store(out_ptr + columns, e / tl.sum(e, axis=0), mask=inside)
    else:
        largest = -float("inf")
        total = 0.0
        for start in range(0, n_cols, BLOCK):
            at = start + columns
            x = tl.load(x_ptr + at * x_col, mask=at < n_cols).to(tl.float32)
            higher = tl.maximum(largest, tl.max(x, axis=0))
            total = total * tl.exp(largest - higher) + tl.sum(tl.exp(x - higher), axis=0)
            largest = higher
        for start in range(0, n_cols, BLOCK):
            at = start + columns
            x = tl.load(x_ptr + at * x_col, mask=at < n_cols).to(tl.float32)
            tl.store(out_ptr + at, tl.exp(x - largest) / total, mask=at < n_cols)


def row_softmax(x, block=128):
    n_rows, n_cols = x.shape
    out = torch.empty((n_rows, n_cols), dtype=x.dtype, device=x.device)
    row_softmax_kernel[(n_rows,)](x, out, n_cols, x.stride(0), x.stride(1), out.stride(0), BLOCK=block)
    return out
