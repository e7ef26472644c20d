# loses lean: the second launch walks over dy and x again instead of adding up partial sums
# says: x is read
import torch
import triton
import triton.language as tl


@triton.jit
def dx_kernel(
    dy_ptr, x_ptr, weight_ptr, dx_ptr, factor_ptr, n_cols, eps, dy_row, dy_col, x_row, x_col, BLOCK: tl.constexpr
):
    row = tl.program_id(0)
    columns = tl.arange(0, BLOCK)
    inside = columns < n_cols
    weight = tl.load(weight_ptr + columns, mask=inside, other=0.0).to(tl.float32)
    dy = tl.load(dy_ptr + row * dy_row + columns * dy_col, mask=inside, other=0.0).to(tl.float32)
    x = tl.load(x_ptr + row * x_row + columns * x_col, mask=inside, other=0.0).to(tl.float32)
    factor = 1 / tl.sqrt(tl.sum(x * x, axis=0) / n_cols + eps)
    g = dy * weight
    dx = (g - x * factor * (tl.sum(g * x * factor, axis=0) / n_cols)) * factor
    tl.store(dx_ptr + row * n_cols + columns, dx, mask=inside)
    tl.store(factor_ptr + row, factor)


@triton.jit
def dweight_kernel(
    dy_ptr, x_ptr, factor_ptr, dweight_ptr, n_rows, n_cols, dy_row, dy_col, x_row, x_col, BLOCK: tl.constexpr
):
    columns = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = columns < n_cols
    total = tl.zeros((BLOCK,), tl.float32)
    for row in range(0, n_rows):
        dy = tl.load(dy_ptr + row * dy_row + columns * dy_col, mask=inside, other=0.0).to(tl.float32)
        x = tl.load(x_ptr + row * x_row + columns * x_col, mask=inside, other=0.0).to(tl.float32)
        total += dy * x * tl.load(factor_ptr + row)
    tl.store(dweight_ptr + columns, total, mask=inside)


def rmsnorm_backward(dy, x, weight, eps=1e-6, programs=4):
    n_rows, n_cols = x.shape
    dx = torch.empty((n_rows, n_cols), dtype=x.dtype, device=x.device)
    dweight = torch.empty(n_cols, dtype=weight.dtype, device=x.device)
    factor = torch.empty(n_rows, dtype=torch.float32, device=x.device)
    block = triton.next_power_of_2(n_cols)
    strides = (*dy.stride(), *x.stride())
    dx_kernel[(n_rows,)](dy, x, weight, dx, factor, n_cols, eps, *strides, BLOCK=block)
    dweight_kernel[(triton.cdiv(n_cols, 64),)](dy, x, factor, dweight, n_rows, n_cols, *strides, BLOCK=64)
    return dx, dweight
