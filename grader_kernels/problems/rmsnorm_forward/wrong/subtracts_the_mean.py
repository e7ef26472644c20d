# loses right: the mean is subtracted, as in layer normalisation
# says: mean is subtracted
import torch
import triton
import triton.language as tl


@triton.jit
def rmsnorm_kernel(x_ptr, weight_ptr, out_ptr, n_cols, eps, x_row, x_col, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    columns = tl.arange(0, BLOCK)
    inside = columns < n_cols
    x = tl.load(x_ptr + row * x_row + columns * x_col, mask=inside, other=0.0).to(tl.float32)
    weight = tl.load(weight_ptr + columns, mask=inside, other=0.0).to(tl.float32)
    x = tl.where(inside, x - tl.sum(x, axis=0) / n_cols, 0.0)
    rms = tl.sqrt(tl.sum(x * x, axis=0) / n_cols + eps)
    tl.store(out_ptr + row * n_cols + columns, x / rms * weight, mask=inside)


def rmsnorm_forward(x, weight, eps=1e-6):
    n_rows, n_cols = x.shape
    out = torch.empty((n_rows, n_cols), dtype=x.dtype, device=x.device)
    block = triton.next_power_of_2(n_cols)
    rmsnorm_kernel[(n_rows,)](x, weight, out, n_cols, eps, x.stride(0), x.stride(1), BLOCK=block)
    return out
