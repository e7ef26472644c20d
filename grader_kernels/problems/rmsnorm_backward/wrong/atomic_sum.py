# loses safe: the parts are added atomically, so their order, and with it the last bits, changes from run to run
# says: changes with the order
import torch
import triton
import triton.language as tl


@triton.jit
def backward_kernel(
    dy_ptr, x_ptr, weight_ptr, dx_ptr, dweight_ptr, n_rows, n_cols, eps,
    dy_row, dy_col, x_row, x_col, BLOCK: tl.constexpr,
):  # fmt: skip
    columns = tl.arange(0, BLOCK)
    inside = columns < n_cols
    weight = tl.load(weight_ptr + columns, mask=inside, other=0.0).to(tl.float32)
    dweight = tl.zeros((BLOCK,), tl.float32)
    for row in range(tl.program_id(0), n_rows, tl.num_programs(0)):
        dy = tl.load(dy_ptr + row * dy_row + columns * dy_col, mask=inside, other=0.0).to(tl.float32)
        x = tl.load(x_ptr + row * x_row + columns * x_col, mask=inside, other=0.0).to(tl.float32)
        factor = 1 / tl.sqrt(tl.sum(x * x, axis=0) / n_cols + eps)
        normed = x * factor
        dweight += dy * normed
        g = dy * weight
        dx = (g - normed * (tl.sum(g * normed, axis=0) / n_cols)) * factor
        tl.store(dx_ptr + row * n_cols + columns, dx, mask=inside)
    tl.atomic_add(dweight_ptr + columns, dweight.to(dweight_ptr.dtype.element_ty), mask=inside)


def rmsnorm_backward(dy, x, weight, eps=1e-6, programs=4):
    n_rows, n_cols = x.shape
    dx = torch.empty((n_rows, n_cols), dtype=x.dtype, device=x.device)
    dweight = torch.zeros(n_cols, dtype=weight.dtype, device=x.device)
    backward_kernel[(programs,)](
        dy, x, weight, dx, dweight, n_rows, n_cols, eps, *dy.stride(), *x.stride(),
        BLOCK=triton.next_power_of_2(n_cols),
    )  # fmt: skip
    return dx, dweight
