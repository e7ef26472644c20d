import torch
import triton
import triton.language as tl


@triton.jit
def mean_square(x, mask, count):
    return tl.sum(tl.where(mask, x * x, 0.0), axis=0) * (1.0 / count)


@triton.jit
def kernel(x_ptr, weight_ptr, out_ptr, n_rows, n_cols, eps, x_row, x_col, BLOCK: tl.constexpr):
    """A few programs share the rows; each keeps the weight."""
    columns = tl.arange(0, BLOCK)
    mask = columns < n_cols
    weight = tl.load(weight_ptr + columns, mask=mask, other=0.0).to(tl.float32)
    for row in range(tl.program_id(0), n_rows, tl.num_programs(0)):
        x = tl.load(x_ptr + row * x_row + columns * x_col, mask=mask, other=0.0).to(tl.float32)
        factor = 1 / tl.sqrt(mean_square(x, mask, n_cols) + eps)
        tl.store(out_ptr + row * n_cols + columns, weight * (x * factor), mask=mask)


def rmsnorm_forward(x, weight, eps=1e-6):
    n_rows, n_cols = x.shape
    out = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    block = triton.next_power_of_2(n_cols)
    kernel[(min(n_rows, 3),)](x, weight, out, n_rows, n_cols, eps, x.stride(0), x.stride(1), BLOCK=block)
    return out
