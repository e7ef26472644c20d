import torch
import triton
import triton.language as tl


@triton.jit
def one_row(dy, x, weight, count, eps):
    r = 1 / tl.sqrt(tl.sum(x * x, axis=0) / count + eps)
    g = dy * weight * r
    return g - x * r * r * (tl.sum(g * x, axis=0) / count), dy * x * r


@triton.jit
def rows_kernel(
    out_ptr, dy_ptr, x_ptr, w_ptr, part_ptr, n_rows, n_cols, eps, a0, a1, b0, b1, P: tl.constexpr, BLOCK: tl.constexpr
):
    column = tl.arange(0, BLOCK)
    mask = column < n_cols
    weight = tl.load(w_ptr + column, mask, 0.0).to(tl.float32)
    own = tl.zeros((BLOCK,), tl.float32)
    pid = tl.program_id(0)
    for turn in range(0, tl.cdiv(n_rows - pid, P)):
        row = pid + turn * P
        dy = tl.load(dy_ptr + row * a0 + column * a1, mask, 0.0).to(tl.float32)
        x = tl.load(x_ptr + row * b0 + column * b1, mask, 0.0).to(tl.float32)
        dx, dw = one_row(dy, x, weight, n_cols, eps)
        own += dw
        tl.store(out_ptr + row * n_cols + column, dx, mask)
    tl.store(part_ptr + column * P + pid, own, mask)


@triton.jit
def add_kernel(part_ptr, dw_ptr, n_cols, P: tl.constexpr, P2: tl.constexpr, BLOCK: tl.constexpr):
    column = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    which = tl.arange(0, P2)
    mask = (column < n_cols)[:, None] & (which < P)[None, :]
    parts = tl.load(part_ptr + column[:, None] * P + which[None, :], mask=mask, other=0.0)
    tl.store(dw_ptr + column, tl.sum(parts, axis=1), mask=column < n_cols)


def rmsnorm_backward(dy, x, weight, eps=1e-6, programs=4):
    n_rows, n_cols = x.shape
    out = torch.zeros((n_rows, n_cols), dtype=x.dtype, device=x.device)
    dw = torch.zeros(n_cols, dtype=x.dtype, device=x.device)
    part = torch.zeros((n_cols, programs), dtype=torch.float32, device=x.device)
    block = triton.next_power_of_2(n_cols)
    rows_kernel[(programs,)](
        out, dy, x, weight, part, n_rows, n_cols, eps, *dy.stride(), *x.stride(), P=programs, BLOCK=block
    )
    add_kernel[(triton.cdiv(n_cols, 64),)](part, dw, n_cols, programs, triton.next_power_of_2(programs), BLOCK=64)
    return out, dw
