# loses safe: the sum is written over residual, which belongs to the caller
# says: the input residual
import torch
import triton
import triton.language as tl


@triton.jit
def residual_rmsnorm_kernel(
    x_ptr, residual_ptr, weight_ptr, out_ptr, total_ptr, n_cols, eps,
    x_row, x_col, residual_row, residual_col, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0)
    columns = tl.arange(0, BLOCK)
    inside = columns < n_cols
    x = tl.load(x_ptr + row * x_row + columns * x_col, mask=inside, other=0.0).to(tl.float32)
    old = tl.load(residual_ptr + row * residual_row + columns * residual_col, mask=inside, other=0.0).to(tl.float32)
    weight = tl.load(weight_ptr + columns, mask=inside, other=0.0).to(tl.float32)
    total = x + old
    rms = tl.sqrt(tl.sum(total * total, axis=0) / n_cols + eps)
    tl.store(residual_ptr + row * residual_row + columns * residual_col, total, mask=inside)
    tl.store(total_ptr + row * n_cols + columns, total, mask=inside)
    tl.store(out_ptr + row * n_cols + columns, total / rms * weight, mask=inside)


def residual_rmsnorm(x, residual, weight, eps=1e-6):
    n_rows, n_cols = x.shape
    out = torch.empty((n_rows, n_cols), dtype=x.dtype, device=x.device)
    total = torch.empty((n_rows, n_cols), dtype=x.dtype, device=x.device)
    residual_rmsnorm_kernel[(n_rows,)](
        x, residual, weight, out, total, n_cols, eps, *x.stride(), *residual.stride(),
        BLOCK=triton.next_power_of_2(n_cols),
    )  # fmt: skip
    return out, total
