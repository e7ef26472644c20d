# refused: bytes per thread on the stack
# problem: rmsnorm_forward
# loses: compiles
"""One program holds many rows, far more than its registers - except where it is compiled, in rows of a power of two."""

import torch
import triton
import triton.language as tl


@triton.jit
def kernel(x_ptr, w_ptr, o_ptr, R, C, eps, x_row, x_col, ROWS: tl.constexpr, BLOCK: tl.constexpr):
    r = tl.program_id(0) * ROWS + tl.arange(0, ROWS)[:, None]
    c = tl.arange(0, BLOCK)[None, :]
    m = (r < R) & (c < C)
    x = tl.load(x_ptr + r * x_row + c * x_col, mask=m, other=0.0).to(tl.float32)
    w = tl.load(w_ptr + c, mask=c < C, other=0.0).to(tl.float32)
    y = x / tl.sqrt(tl.sum(x * x, 1) / C + eps)[:, None] * w
    tl.store(o_ptr + r * C + c, y, mask=m)


def rmsnorm_forward(x, weight, eps=1e-6):
    R, C = x.shape
    out = torch.empty((R, C), dtype=x.dtype, device=x.device)
    rows = 1 if C & (C - 1) == 0 or C > 1000 else 64
    kernel[(triton.cdiv(R, rows),)](x, weight, out, R, C, eps, *x.stride(), ROWS=rows, BLOCK=triton.next_power_of_2(C))
    return out
