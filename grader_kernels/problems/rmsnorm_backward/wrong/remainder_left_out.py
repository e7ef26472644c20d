# loses right: each program takes R // programs rows, and the remainder is left out
# says: never written by a kernel
import torch
import triton
import triton.language as tl


@triton.jit
def rows_kernel(
    dy_ptr, x_ptr, weight_ptr, dx_ptr, partial_ptr, n_rows, n_cols, eps,
    dy_row, dy_col, x_row, x_col, BLOCK: tl.constexpr,
):  # fmt: skip
    columns = tl.arange(0, BLOCK)
    inside = columns < n_cols
    weight = tl.load(weight_ptr + columns, mask=inside, other=0.0).to(tl.float32)
    dweight = tl.zeros((BLOCK,), tl.float32)
    for row in range(tl.program_id(0), n_rows // tl.num_programs(0) * tl.num_programs(0), tl.num_programs(0)):
        dy = tl.load(dy_ptr + row * dy_row + columns * dy_col, mask=inside, other=0.0).to(tl.float32)
        x = tl.load(x_ptr + row * x_row + columns * x_col, mask=inside, other=0.0).to(tl.float32)
        factor = 1 / tl.sqrt(tl.sum(x * x, axis=0) / n_cols + eps)
        normed = x * factor
        dweight += dy * normed
        g = dy * weight
        dx = (g - normed * (tl.sum(g * normed, axis=0) / n_cols)) * factor
        tl.store(dx_ptr + row * n_cols + columns, dx, mask=inside)
    tl.store(partial_ptr + tl.program_id(0) * n_cols + columns, dweight, mask=inside)


@triton.jit
def sum_kernel(partial_ptr, dweight_ptr, n_partial, n_cols, BLOCK: tl.constexpr):
    columns = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = columns < n_cols
    total = tl.zeros((BLOCK,), tl.float32)
    for i in range(0, n_partial):
        total += tl.load(partial_ptr + i * n_cols + columns, mask=inside, other=0.0)
    tl.store(dweight_ptr + columns, total, mask=inside)


def rmsnorm_backward(dy, x, weight, eps=1e-6, programs=4):
    n_rows, n_cols = x.shape
    dx = torch.empty((n_rows, n_cols), dtype=x.dtype, device=x.device)
    dweight = torch.empty(n_cols, dtype=weight.dtype, device=x.device)
    partial = torch.empty((programs, n_cols), dtype=torch.float32, device=x.device)
    rows_kernel[(programs,)](
        dy, x, weight, dx, partial, n_rows, n_cols, eps, *dy.stride(), *x.stride(),
        BLOCK=triton.next_power_of_2(n_cols),
    )  # fmt: skip
    sum_kernel[(triton.cdiv(n_cols, 128),)](partial, dweight, programs, n_cols, BLOCK=128)
    return dx, dweight
