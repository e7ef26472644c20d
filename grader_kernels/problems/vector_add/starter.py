import torch
import triton
import triton.language as tl


@triton.jit
def vector_add_kernel(x_ptr, y_ptr, out_ptr, n, x_stride, y_stride, BLOCK: tl.constexpr):
    """One program: BLOCK elements of x + y, or fewer in the last one. You may change the parameters."""
    raise NotImplementedError


def vector_add(x, y, block=256):
    """x + y for vectors (n,) of any stride -> (n,), a new contiguous tensor."""
    raise NotImplementedError
