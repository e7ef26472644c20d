# loses lean: a second pass reads x again instead of keeping it
# says: x is read twice
import torch
import triton
import triton.language as tl


@triton.jit
def rmsnorm_kernel(x_ptr, weight_ptr, out_ptr, n_cols, eps, x_row, x_col, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    columns = tl.arange(0, BLOCK)
    squares = tl.zeros((BLOCK,), tl.float32)
    for start in range(0, n_cols, BLOCK):
        at = start + columns
        x = tl.load(x_ptr + row * x_row + at * x_col, mask=at < n_cols, other=0.0).to(tl.float32)
        squares += x * x
    rms = tl.sqrt(tl.sum(squares, axis=0) / n_cols + eps)
    for start in range(0, n_cols, BLOCK):
        at = start + columns
        x = tl.load(x_ptr + row * x_row + at * x_col, mask=at < n_cols, other=0.0).to(tl.float32)
        weight = tl.load(weight_ptr + at, mask=at < n_cols, other=0.0).to(tl.float32)
        tl.store(out_ptr + row * n_cols + at, x / rms * weight, mask=at < n_cols)


def rmsnorm_forward(x, weight, eps=1e-6):
    n_rows, n_cols = x.shape
    out = torch.empty((n_rows, n_cols), dtype=x.dtype, device=x.device)
    rmsnorm_kernel[(n_rows,)](x, weight, out, n_cols, eps, x.stride(0), x.stride(1), BLOCK=64)
    return out
