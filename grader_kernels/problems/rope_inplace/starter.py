import triton
import triton.language as tl


@triton.jit
def rope_inplace_kernel(x_ptr, cos_ptr, sin_ptr, length, half, x_batch, x_time, x_col, BLOCK: tl.constexpr):
    """One program: one vector (batch, position), all its pairs, in place. You may change the parameters."""
    raise NotImplementedError


def rope_inplace(x, cos, sin):
    """Turn pairs (i, i + d/2) of x (N, T, d), any strides, in place; returns x."""
    raise NotImplementedError
