# refused: never written by a kernel
# problem: vector_add
# keeps: 5 cases
"""(j - 2) // 2 of a loop variable is -1 for j = 1 in Python and 0 on a GPU, which cuts off: there blocks are left out
and others written twice."""

import torch
import triton
import triton.language as tl


@triton.jit
def kernel(x_ptr, y_ptr, o_ptr, n, xs, ys, BLOCK: tl.constexpr):
    base = tl.program_id(0) * 2 * BLOCK
    for j in range(0, 2):
        block = (j - 2) // 2 + 1 + j  # Python: 0, 1 for j = 0, 1; a GPU: 0, 2
        i = base + block * BLOCK + tl.arange(0, BLOCK)
        m = i < n
        tl.store(o_ptr + i, tl.load(x_ptr + i * xs, mask=m) + tl.load(y_ptr + i * ys, mask=m), mask=m)


def vector_add(x, y, block=256):
    n = x.shape[0]
    out = torch.empty(n, dtype=x.dtype, device=x.device)
    kernel[(triton.cdiv(n, 2 * block),)](x, y, out, n, x.stride(0), y.stride(0), BLOCK=block)
    return out
