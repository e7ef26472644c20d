# loses lean: one launch adds and a second one reads the sum back to normalise it
# says: read back
import torch
import triton
import triton.language as tl


@triton.jit
def add_kernel(x_ptr, residual_ptr, total_ptr, n_cols, x0, x1, r0, r1, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    columns = tl.arange(0, BLOCK)
    mask = columns < n_cols
    x = tl.load(x_ptr + row * x0 + columns * x1, mask=mask, other=0.0).to(tl.float32)
    old = tl.load(residual_ptr + row * r0 + columns * r1, mask=mask, other=0.0).to(tl.float32)
    tl.store(total_ptr + row * n_cols + columns, x + old, mask=mask)


@triton.jit
def norm_kernel(total_ptr, weight_ptr, out_ptr, n_cols, eps, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    columns = tl.arange(0, BLOCK)
    mask = columns < n_cols
    total = tl.load(total_ptr + row * n_cols + columns, mask=mask, other=0.0).to(tl.float32)
    weight = tl.load(weight_ptr + columns, mask=mask, other=0.0).to(tl.float32)
    rms = tl.sqrt(tl.sum(total * total, axis=0) / n_cols + eps)
    tl.store(out_ptr + row * n_cols + columns, total / rms * weight, mask=mask)


def residual_rmsnorm(x, residual, weight, eps=1e-6):
    n_rows, n_cols = x.shape
    out = torch.empty((n_rows, n_cols), dtype=x.dtype, device=x.device)
    total = torch.empty((n_rows, n_cols), dtype=x.dtype, device=x.device)
    block = triton.next_power_of_2(n_cols)
    add_kernel[(n_rows,)](x, residual, total, n_cols, *x.stride(), *residual.stride(), BLOCK=block)
    norm_kernel[(n_rows,)](total, weight, out, n_cols, eps, BLOCK=block)
    return out, total
