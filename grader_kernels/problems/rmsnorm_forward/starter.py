import triton
import triton.language as tl


@triton.jit
def rmsnorm_kernel(x_ptr, weight_ptr, out_ptr, n_cols, eps, x_row, x_col, BLOCK: tl.constexpr):
    """One program: one row, held as a whole in BLOCK lanes. You may change the parameters."""
    raise NotImplementedError


def rmsnorm_forward(x, weight, eps=1e-6):
    """x / sqrt(mean(x^2) + eps) * weight for rows of x (R, C), any strides -> (R, C), new and contiguous."""
    raise NotImplementedError
