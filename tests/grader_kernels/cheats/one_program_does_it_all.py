# refused: one program does all the work where at least
# problem: vector_add
# loses: lean
"""`block` is what a program handles at once. Here one program walks over everything: one of 108 processors works."""

import torch
import triton
import triton.language as tl


@triton.jit
def kernel(x_ptr, y_ptr, o_ptr, n, xs, ys, BLOCK: tl.constexpr):
    for start in range(0, n, BLOCK):
        i = start + tl.arange(0, BLOCK)
        m = i < n
        tl.store(o_ptr + i, tl.load(x_ptr + i * xs, mask=m) + tl.load(y_ptr + i * ys, mask=m), mask=m)


def vector_add(x, y, block=256):
    n = x.shape[0]
    out = torch.empty(n, dtype=x.dtype, device=x.device)
    kernel[(1,)](x, y, out, n, x.stride(0), y.stride(0), BLOCK=block)
    return out
