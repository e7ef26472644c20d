import torch
import triton
import triton.language as tl


@triton.jit
def wide_kernel(x_ptr, out_ptr, n_cols, x_row, x_col, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    x_ptr += row * x_row
    columns = tl.arange(0, BLOCK)
    largest = tl.full((BLOCK,), -float("inf"), tl.float32)
    for start in range(0, n_cols, BLOCK):
        x = tl.load(x_ptr + (start + columns) * x_col, mask=start + columns < n_cols, other=-float("inf"))
        largest = tl.maximum(largest, x.to(tl.float32))
    m = tl.max(largest, axis=0)
    sums = tl.zeros((BLOCK,), tl.float32)
    for start in range(0, n_cols, BLOCK):
        x = tl.load(x_ptr + (start + columns) * x_col, mask=start + columns < n_cols, other=-float("inf"))
        sums += tl.exp(x.to(tl.float32) - m)
    total = tl.sum(sums, axis=0)
    for start in range(0, n_cols, BLOCK):
        at = start + columns
        x = tl.load(x_ptr + at * x_col, mask=at < n_cols, other=-float("inf")).to(tl.float32)
        tl.store(out_ptr + row * n_cols + at, tl.exp(x - m) / total, mask=at < n_cols)


@triton.jit
def narrow_kernel(x_ptr, out_ptr, n_cols, x_row, x_col, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    columns = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + row * x_row + columns * x_col, mask=columns < n_cols, other=-float("inf")).to(tl.float32)
    weights = tl.exp(x - tl.max(x, axis=0))
    tl.store(out_ptr + row * n_cols + columns, weights / tl.sum(weights, axis=0), mask=columns < n_cols)


def row_softmax(x, block=128):
    n_rows, n_cols = x.shape
    out = torch.empty((n_rows, n_cols), dtype=x.dtype, device=x.device)
    kernel = narrow_kernel if n_cols <= block else wide_kernel
    kernel[(n_rows,)](x, out, n_cols, x.stride(0), x.stride(1), BLOCK=block)
    return out
