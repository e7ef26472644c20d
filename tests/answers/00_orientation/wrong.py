"""Wrong answers to unit 00 by readers who saw the released notebook only: tests/test_readers.py judges them."""

# %% exercise="fix_the_stub" wrong="matrix_only"
"""Loops over two dimensions, other ranks break."""
def fix_the_stub(x):
    out = torch.empty_like(x)
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            out[i, j] = 2 * x[i, j]
    return out

# %% exercise="count_bytes" wrong="float_result"
"""np.prod(()) is 1.0: the result is a float."""
import numpy as np

def count_bytes(inputs, out_dtype):
    out_shape = torch.broadcast_shapes(*[shape for shape, _ in inputs])
    return sum(np.prod(shape) * dtype.itemsize for shape, dtype in inputs) + np.prod(out_shape) * out_dtype.itemsize

# %% exercise="vector_add" wrong="store_unmasked"
"""As the prompt says."""
@triton.jit
def vector_add_kernel(x_ptr, y_ptr, out_ptr, n, x_stride, y_stride, BLOCK: tl.constexpr):
    pid = tl.program_id(0)
    offsets = pid * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
    x = tl.load(x_ptr + offsets * x_stride, mask=mask)
    y = tl.load(y_ptr + offsets * y_stride, mask=mask)
    tl.store(out_ptr + offsets, x + y)


def vector_add(x, y, block=256):
    """x + y by `vector_add_kernel`. x, y (n,) of one dtype, any stride; block: a power of two; returns (n,), dense."""
    n = x.shape[0]
    out = torch.empty(n, dtype=x.dtype, device=x.device)
    grid = (triton.cdiv(n, block),)  # cdiv rounds up: the last program may be only partly full
    vector_add_kernel[grid](x, y, out, n, x.stride(0), y.stride(0), BLOCK=block)
    return out

# %% exercise="fused_scale_add" wrong="store_unmasked"
"""As vector_add."""
@triton.jit
def fused_scale_add_kernel(x_ptr, y_ptr, out_ptr, n, alpha, x_stride, y_stride, BLOCK: tl.constexpr):
    """One program of out = alpha * x + y, in one pass over memory. alpha: a number; the rest as for vector_add."""
    pid = tl.program_id(0)
    offsets = pid * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
    x = tl.load(x_ptr + offsets * x_stride, mask=mask)
    y = tl.load(y_ptr + offsets * y_stride, mask=mask)
    tl.store(out_ptr + offsets, alpha * x + y)


def fused_scale_add(x, y, alpha, block=256):
    n = x.shape[0]
    out = torch.empty(n, dtype=x.dtype, device=x.device)
    fused_scale_add_kernel[(triton.cdiv(n, block),)](x, y, out, n, alpha, x.stride(0), y.stride(0), BLOCK=block)
    return out

# %% exercise="fused_scale_add" wrong="grid_n"
"""As vector_add."""
@triton.jit
def fused_scale_add_kernel(x_ptr, y_ptr, out_ptr, n, alpha, x_stride, y_stride, BLOCK: tl.constexpr):
    """One program of out = alpha * x + y, in one pass over memory. alpha: a number; the rest as for vector_add."""
    pid = tl.program_id(0)
    offsets = pid * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
    x = tl.load(x_ptr + offsets * x_stride, mask=mask)
    y = tl.load(y_ptr + offsets * y_stride, mask=mask)
    tl.store(out_ptr + offsets, alpha * x + y, mask=mask)


def fused_scale_add(x, y, alpha, block=256):
    n = x.shape[0]
    out = torch.empty(n, dtype=x.dtype, device=x.device)
    fused_scale_add_kernel[(n,)](x, y, out, n, alpha, x.stride(0), y.stride(0), BLOCK=block)
    return out

# %% exercise="fused_scale_add" wrong="block_256_both"
"""As vector_add."""
@triton.jit
def fused_scale_add_kernel(x_ptr, y_ptr, out_ptr, n, alpha, x_stride, y_stride, BLOCK: tl.constexpr):
    """One program of out = alpha * x + y, in one pass over memory. alpha: a number; the rest as for vector_add."""
    pid = tl.program_id(0)
    offsets = pid * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
    x = tl.load(x_ptr + offsets * x_stride, mask=mask)
    y = tl.load(y_ptr + offsets * y_stride, mask=mask)
    tl.store(out_ptr + offsets, alpha * x + y, mask=mask)


def fused_scale_add(x, y, alpha, block=256):
    n = x.shape[0]
    out = torch.empty(n, dtype=x.dtype, device=x.device)
    fused_scale_add_kernel[(triton.cdiv(n, 256),)](x, y, out, n, alpha, x.stride(0), y.stride(0), BLOCK=256)
    return out

# %% exercise="fused_scale_add" wrong="extra_program_unmasked_load"
"""As vector_add."""
@triton.jit
def fused_scale_add_kernel(x_ptr, y_ptr, out_ptr, n, alpha, x_stride, y_stride, BLOCK: tl.constexpr):
    """One program of out = alpha * x + y, in one pass over memory. alpha: a number; the rest as for vector_add."""
    pid = tl.program_id(0)
    offsets = pid * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
    x = tl.load(x_ptr + offsets * x_stride)
    y = tl.load(y_ptr + offsets * y_stride)
    tl.store(out_ptr + offsets, alpha * x + y, mask=mask)


def fused_scale_add(x, y, alpha, block=256):
    n = x.shape[0]
    out = torch.empty(n, dtype=x.dtype, device=x.device)
    fused_scale_add_kernel[(triton.cdiv(n, block),)](x, y, out, n, alpha, x.stride(0), y.stride(0), BLOCK=block)
    return out

# %% exercise="memory_bound" wrong="bytes_per_flop"
"""Roofline."""
def find_memory_bound(operations, gpu):
    names = []
    for name, (flops, moved, unit) in operations.items():
        reach = roofline(torch.tensor(moved / flops, dtype=torch.float64), gpu[unit], gpu["bandwidth"])
        if reach < gpu[unit]:
            names.append(name)
    return names


# The finding: a dict with the name of each GPU in GPUS -> its list of names.
memory_bound = None
if ready(lambda: list(find_memory_bound(list_operations(), GPUS["H100 SXM"]))):
    memory_bound = {name: find_memory_bound(list_operations(), gpu) for name, gpu in GPUS.items()}
    for operation in list_operations():
        sides = [f"{gpu}: {'memory-bound' if operation in memory_bound[gpu] else 'compute-bound'}" for gpu in GPUS]
        print(f"{operation:42}", *(f"{side:30}" for side in sides))

# %% exercise="memory_bound" wrong="ridge_upside_down"
"""Ridge = bandwidth / peak."""
def find_memory_bound(operations, gpu):
    return [n for n, (f, m, u) in operations.items() if f / m < gpu["bandwidth"] / gpu[u]]


memory_bound = {name: find_memory_bound(list_operations(), gpu) for name, gpu in GPUS.items()}

# %% exercise="leaky_relu" wrong="only_mask"
"""Repaired in place."""
@triton.jit
def leaky_relu_kernel(x_ptr, out_ptr, n, slope, BLOCK: tl.constexpr):
    """One program of out = x where x > 0, slope * x elsewhere."""
    start = tl.program_id(0) * BLOCK
    index = start + tl.arange(0, BLOCK)
    value = tl.load(x_ptr + index, mask=index < n)
    tl.store(out_ptr + index, tl.where(value > 0, value, slope * value), mask=index < n)


def leaky_relu(x, slope=0.01, block=256):
    out = torch.empty_like(x)
    n = x.numel()
    leaky_relu_kernel[(n // block,)](x, out, n, slope, BLOCK=block)
    return out

# %% exercise="leaky_relu" wrong="load_mask_dropped"
"""Repaired in place."""
@triton.jit
def leaky_relu_kernel(x_ptr, out_ptr, n, slope, BLOCK: tl.constexpr):
    """One program of out = x where x > 0, slope * x elsewhere."""
    start = tl.program_id(0) * BLOCK
    index = start + tl.arange(0, BLOCK)
    value = tl.load(x_ptr + index)
    tl.store(out_ptr + index, tl.where(value > 0, value, slope * value), mask=index < n)


def leaky_relu(x, slope=0.01, block=256):
    out = torch.empty_like(x)
    n = x.numel()
    leaky_relu_kernel[(triton.cdiv(n, block),)](x, out, n, slope, BLOCK=block)
    return out
