"""Other correct kernels. Each cell is a whole answer."""

# %% right="maximum_and_minimum"
@triton.jit
def leaky_relu_kernel(x_ptr, out_ptr, n, slope, BLOCK: tl.constexpr):
    start = tl.program_id(0) * BLOCK
    index = start + tl.arange(0, BLOCK)
    value = tl.load(x_ptr + index, mask=index < n, other=0.0)
    tl.store(out_ptr + index, tl.maximum(value, 0.0) + slope * tl.minimum(value, 0.0), mask=index < n)


def leaky_relu(x, slope=0.01, block=256):
    out = torch.empty_like(x)
    n = x.numel()
    leaky_relu_kernel[((n + block - 1) // block,)](x, out, n, slope, BLOCK=block)
    return out


# %% right="one_program_too_many"
@triton.jit
def leaky_relu_kernel(x_ptr, out_ptr, n, slope, BLOCK: tl.constexpr):
    index = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    value = tl.load(x_ptr + index, mask=index < n)
    tl.store(out_ptr + index, tl.where(value < 0, slope * value, value), mask=index < n)


def leaky_relu(x, slope=0.01, block=256):
    out = torch.empty_like(x)
    n = x.numel()
    leaky_relu_kernel[(n // block + 1,)](x, out, n, slope, BLOCK=block)
    return out
