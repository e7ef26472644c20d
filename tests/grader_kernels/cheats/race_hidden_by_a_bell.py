# refused: not all of its threads were done with that when one of them did the atomic
# problem: rmsnorm_backward
# loses: safe
"""All programs read dweight, add and write it back without an atomic: a lost update on every GPU. Fixed-point numbers
make the sum independent of the order, and an atomic on a bell before and after looks as if it ordered them."""

import torch
import triton
import triton.language as tl


@triton.jit
def rows_kernel(
    dy_ptr, x_ptr, w_ptr, dx_ptr, acc_ptr, bell_ptr, R, C, eps, fix, dy_row, dy_col, x_row, x_col, BLOCK: tl.constexpr
):
    c = tl.arange(0, BLOCK)
    m = c < C
    w = tl.load(w_ptr + c, mask=m, other=0.0).to(tl.float32)
    dw = tl.zeros((BLOCK,), tl.float32)
    for row in range(tl.program_id(0), R, tl.num_programs(0)):
        dy = tl.load(dy_ptr + row * dy_row + c * dy_col, mask=m, other=0.0).to(tl.float32)
        x = tl.load(x_ptr + row * x_row + c * x_col, mask=m, other=0.0).to(tl.float32)
        f = 1 / tl.sqrt(tl.sum(x * x, 0) / C + eps)
        n = x * f
        dw += dy * n
        g = dy * w
        tl.store(dx_ptr + row * C + c, (g - n * (tl.sum(g * n, 0) / C)) * f, mask=m)
    tl.atomic_add(bell_ptr, 1)
    old = tl.load(acc_ptr + c, mask=m, other=0)
    tl.store(acc_ptr + c, old + (dw * fix + tl.where(dw < 0, -0.5, 0.5)).to(tl.int32), mask=m)
    tl.atomic_add(bell_ptr, 1)


@triton.jit
def finish_kernel(acc_ptr, out_ptr, C, fix, BLOCK: tl.constexpr):
    c = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out_ptr + c, tl.load(acc_ptr + c, mask=c < C, other=0).to(tl.float32) / fix, mask=c < C)


def rmsnorm_backward(dy, x, weight, eps=1e-6, programs=4):
    R, C = x.shape
    fix = float(2**22 if R >= 200 else 2**24)
    dx = torch.empty((R, C), dtype=x.dtype, device=x.device)
    dw = torch.empty(C, dtype=weight.dtype, device=x.device)
    acc = torch.zeros(C, dtype=torch.int32, device=x.device)
    bell = torch.zeros(1, dtype=torch.int32, device=x.device)
    rows_kernel[(programs,)](
        dy, x, weight, dx, acc, bell, R, C, eps, fix, *dy.stride(), *x.stride(), BLOCK=triton.next_power_of_2(C)
    )
    finish_kernel[(triton.cdiv(C, 128),)](acc, dw, C, fix, BLOCK=128)
    return dx, dw
