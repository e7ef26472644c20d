import triton
import triton.language as tl


@triton.jit
def fused_scale_add_kernel(x_ptr, y_ptr, out_ptr, n, alpha, x_stride, y_stride, BLOCK: tl.constexpr):
    """One program: BLOCK elements of alpha * x + y, or fewer in the last one. You may change the parameters."""
    raise NotImplementedError


def fused_scale_add(x, y, alpha, block=256):
    """alpha * x + y for vectors (n,) of any stride -> (n,), a new contiguous tensor."""
    raise NotImplementedError
