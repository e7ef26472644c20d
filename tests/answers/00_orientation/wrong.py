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

# %% exercise="fix_the_stub" wrong="in_place"
"""Doubles the caller's tensor itself."""
def fix_the_stub(x):
    x *= 2
    return x

# %% exercise="fix_the_stub" wrong="square"
"""x ** 2 instead of 2 x: the same for 0 and 2 only."""
def fix_the_stub(x):
    return x**2

# %% exercise="fix_the_stub" wrong="float32"
"""Goes through float32: other dtypes come back as float32."""
def fix_the_stub(x):
    return 2 * x.float()

# %% exercise="fix_the_stub" wrong="float64_scalar"
"""Multiplies by a float64 tensor with one dimension: the result becomes float64."""
def fix_the_stub(x):
    return (x * torch.tensor([2.0], dtype=torch.float64)).reshape(x.shape)

# %% exercise="fix_the_stub" wrong="flattened"
"""Returns one dimension instead of x's shape."""
def fix_the_stub(x):
    return 2 * x.flatten()

# %% exercise="fix_the_stub" wrong="squeezed"
"""Squeezes: dimensions of size 1 are lost."""
def fix_the_stub(x):
    return (2 * x).squeeze()

# %% exercise="fix_the_stub" wrong="repeated"
"""x.repeat(2)-like: every number twice along the last dimension instead of twice the number."""
def fix_the_stub(x):
    return torch.cat([x, x], dim=-1) if x.dim() else torch.stack([x, x])

# %% exercise="fix_the_stub" wrong="exp_of_log"
"""exp(log(x) + log 2): NaN for negative numbers."""
def fix_the_stub(x):
    return torch.exp(torch.log(x) + 0.6931471805599453).to(x.dtype)

# %% exercise="program_offsets" wrong="lanes_compared"
"""Compares the lanes with n instead of the offsets."""
def program_offsets(pid, block, n):
    lanes = torch.arange(block)
    return pid * block + lanes, lanes < n

# %% exercise="program_offsets" wrong="one_too_many"
"""<= n: element n does not exist."""
def program_offsets(pid, block, n):
    offsets = pid * block + torch.arange(block)
    return offsets, offsets <= n

# %% exercise="program_offsets" wrong="interleaved"
"""Every program takes every cdiv(n, block)-th element instead of a consecutive run."""
def program_offsets(pid, block, n):
    programs = max(1, -(-n // block))
    offsets = pid + programs * torch.arange(block)
    return offsets, offsets < n

# %% exercise="program_offsets" wrong="cut_off"
"""Cuts the lanes beyond n off: fewer than `block` offsets."""
def program_offsets(pid, block, n):
    offsets = torch.arange(pid * block, max(pid * block, min((pid + 1) * block, n)))
    return offsets, offsets < n

# %% exercise="program_offsets" wrong="clamped"
"""Surplus lanes stand for the last element (clamped)."""
def program_offsets(pid, block, n):
    offsets = pid * block + torch.arange(block)
    return offsets.clamp(max=max(n - 1, 0)), offsets < n

# %% exercise="program_offsets" wrong="counted_from_one"
"""pid is counted from 1."""
def program_offsets(pid, block, n):
    offsets = (pid - 1) * block + torch.arange(block)
    return offsets, (offsets >= 0) & (offsets < n)

# %% exercise="program_offsets" wrong="int32"
"""Offsets in int32, as in Triton."""
def program_offsets(pid, block, n):
    offsets = pid * block + torch.arange(block, dtype=torch.int32)
    return offsets, offsets < n

# %% exercise="program_offsets" wrong="remainder"
"""Takes n % block lanes for the last program: none where n is a multiple of block."""
def program_offsets(pid, block, n):
    offsets = pid * block + torch.arange(block)
    if pid < (n - 1) // block:
        mask = torch.ones(block, dtype=torch.bool)
    elif pid == (n - 1) // block:
        mask = torch.arange(block) < n % block
    else:
        mask = torch.zeros(block, dtype=torch.bool)
    return offsets, mask

# %% exercise="program_offsets" wrong="mask_as_numbers"
"""The mask as int64 zeros and ones."""
def program_offsets(pid, block, n):
    offsets = pid * block + torch.arange(block)
    return offsets, (offsets < n).long()

# %% exercise="program_offsets" wrong="pid_without_block"
"""pid + lanes: the programs overlap."""
def program_offsets(pid, block, n):
    offsets = pid + torch.arange(block)
    return offsets, offsets < n

# %% exercise="count_bytes" wrong="broadcast_inputs"
"""Counts every input at the broadcast size."""
import math


def count_bytes(inputs, out_dtype):
    count = math.prod(torch.broadcast_shapes(*(shape for shape, _ in inputs)))
    return sum(count * dtype.itemsize for _, dtype in inputs) + count * out_dtype.itemsize

# %% exercise="count_bytes" wrong="largest_input"
"""The result has the size of the largest input: wrong for (4, 1) with (1, 5)."""
import math


def count_bytes(inputs, out_dtype):
    read = sum(math.prod(shape) * dtype.itemsize for shape, dtype in inputs)
    return read + max(math.prod(shape) for shape, _ in inputs) * out_dtype.itemsize

# %% exercise="count_bytes" wrong="first_dtype"
"""The result is counted in the first input's dtype."""
import math


def count_bytes(inputs, out_dtype):
    read = sum(math.prod(shape) * dtype.itemsize for shape, dtype in inputs)
    result = torch.broadcast_shapes(*(shape for shape, _ in inputs))
    return read + math.prod(result) * inputs[0][1].itemsize

# %% exercise="count_bytes" wrong="four_bytes"
"""Four bytes for every number."""
import math


def count_bytes(inputs, out_dtype):
    read = sum(math.prod(shape) * 4 for shape, _ in inputs)
    return read + 4 * math.prod(torch.broadcast_shapes(*(shape for shape, _ in inputs)))

# %% exercise="count_bytes" wrong="alike_inputs_once"
"""A set of the inputs: two inputs of the same shape and dtype count once."""
import math


def count_bytes(inputs, out_dtype):
    read = sum(math.prod(shape) * dtype.itemsize for shape, dtype in set((tuple(s), d) for s, d in inputs))
    result = torch.broadcast_shapes(*(shape for shape, _ in inputs))
    return read + math.prod(result) * out_dtype.itemsize

# %% exercise="count_bytes" wrong="single_number_free"
"""A shape of () counts as no element."""
import math


def count_bytes(inputs, out_dtype):
    read = sum(math.prod(shape) * dtype.itemsize for shape, dtype in inputs if shape)
    result = torch.broadcast_shapes(*(shape for shape, _ in inputs))
    return read + math.prod(result) * out_dtype.itemsize

# %% exercise="count_bytes" wrong="bool_is_a_bit"
"""A bool counts an eighth of a byte."""
import math


def count_bytes(inputs, out_dtype):
    def size(dtype):
        return 1 / 8 if dtype is torch.bool else dtype.itemsize

    read = sum(math.prod(shape) * size(dtype) for shape, dtype in inputs)
    result = torch.broadcast_shapes(*(shape for shape, _ in inputs))
    return math.ceil(read + math.prod(result) * size(out_dtype))

# %% exercise="count_bytes" wrong="result_not_written"
"""Only the bytes read."""
import math


def count_bytes(inputs, out_dtype):
    return sum(math.prod(shape) * dtype.itemsize for shape, dtype in inputs)

# %% exercise="count_bytes" wrong="dtype_of_the_result_for_all"
"""Converts everything to out_dtype first: inputs count in the result's dtype."""
import math


def count_bytes(inputs, out_dtype):
    shapes = [shape for shape, _ in inputs]
    return (sum(map(math.prod, shapes)) + math.prod(torch.broadcast_shapes(*shapes))) * out_dtype.itemsize

# %% exercise="count_bytes" wrong="broadcast_from_the_left"
"""Aligns the shapes at their first dimension: (512, 1024) with (1024,) is counted as 1024 x 1024."""
import math


def count_bytes(inputs, out_dtype):
    rank = max(len(shape) for shape, _ in inputs)
    result = [1] * rank
    for shape, _ in inputs:
        for i, size in enumerate(shape):
            result[i] = max(result[i], size)
    read = sum(math.prod(shape) * dtype.itemsize for shape, dtype in inputs)
    return read + math.prod(result) * out_dtype.itemsize

# %% exercise="roofline" wrong="larger_of_the_two"
"""The larger of the two limits."""
def roofline(intensity, peak, bandwidth):
    return (intensity * bandwidth).clamp(min=peak)

# %% exercise="roofline" wrong="no_roof"
"""Only the memory's limit."""
def roofline(intensity, peak, bandwidth):
    return intensity * bandwidth

# %% exercise="roofline" wrong="divided"
"""Intensity divided by the bandwidth."""
def roofline(intensity, peak, bandwidth):
    return (intensity / bandwidth).clamp(max=peak)

# %% exercise="roofline" wrong="ridge_as_limit"
"""Clamps the intensity at the peak instead of the ridge."""
def roofline(intensity, peak, bandwidth):
    return intensity.clamp(max=peak) * bandwidth

# %% exercise="roofline" wrong="one_after_another"
"""Arithmetic and transfers one after the other: 1 / (1 / peak + 1 / (I bandwidth))."""
def roofline(intensity, peak, bandwidth):
    fed = intensity * bandwidth
    return fed * peak / (fed + peak)

# %% exercise="roofline" wrong="share"
"""The share of the peak instead of FLOP/s."""
def roofline(intensity, peak, bandwidth):
    return (intensity * bandwidth / peak).clamp(max=1)

# %% exercise="roofline" wrong="float64"
"""Returns float64 whatever the dtype was."""
def roofline(intensity, peak, bandwidth):
    return (intensity.double() * bandwidth).clamp(max=peak)

# %% exercise="roofline" wrong="smallest_of_all"
"""One number for the whole tensor: the smallest intensity decides."""
def roofline(intensity, peak, bandwidth):
    return torch.full_like(intensity, min(peak, intensity.min().item() * bandwidth))

# %% exercise="roofline" wrong="ridge_upside_down"
"""The ridge is bandwidth / peak: beyond it the peak is returned."""
def roofline(intensity, peak, bandwidth):
    return torch.where(intensity >= bandwidth / peak, torch.full_like(intensity, peak), intensity * bandwidth)

# %% exercise="vector_add" wrong="store_without_mask"
"""The store has no mask: writes beyond element n-1."""
@triton.jit
def vector_add_kernel(x_ptr, y_ptr, out_ptr, n, x_stride, y_stride, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
    x = tl.load(x_ptr + offsets * x_stride, mask=mask)
    y = tl.load(y_ptr + offsets * y_stride, mask=mask)
    tl.store(out_ptr + offsets, x + y)


def vector_add(x, y, block=256):
    n = x.shape[0]
    out = torch.empty(n, dtype=x.dtype, device=x.device)
    grid = (triton.cdiv(n, block),)
    vector_add_kernel[grid](x, y, out, n, x.stride(0), y.stride(0), BLOCK=block)
    return out

# %% exercise="vector_add" wrong="load_without_mask"
"""The loads have no mask: reads beyond the vectors."""
@triton.jit
def vector_add_kernel(x_ptr, y_ptr, out_ptr, n, x_stride, y_stride, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
    x = tl.load(x_ptr + offsets * x_stride)
    y = tl.load(y_ptr + offsets * y_stride)
    tl.store(out_ptr + offsets, x + y, mask=mask)


def vector_add(x, y, block=256):
    n = x.shape[0]
    out = torch.empty(n, dtype=x.dtype, device=x.device)
    grid = (triton.cdiv(n, block),)
    vector_add_kernel[grid](x, y, out, n, x.stride(0), y.stride(0), BLOCK=block)
    return out

# %% exercise="vector_add" wrong="mask_one_too_many"
"""offsets <= n: one element beyond the end."""
@triton.jit
def vector_add_kernel(x_ptr, y_ptr, out_ptr, n, x_stride, y_stride, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets <= n
    x = tl.load(x_ptr + offsets * x_stride, mask=mask)
    y = tl.load(y_ptr + offsets * y_stride, mask=mask)
    tl.store(out_ptr + offsets, x + y, mask=mask)


def vector_add(x, y, block=256):
    n = x.shape[0]
    out = torch.empty(n, dtype=x.dtype, device=x.device)
    grid = (triton.cdiv(n, block),)
    vector_add_kernel[grid](x, y, out, n, x.stride(0), y.stride(0), BLOCK=block)
    return out

# %% exercise="vector_add" wrong="strides_ignored"
"""Loads at x_ptr + offsets: wrong for x[::2]."""
@triton.jit
def vector_add_kernel(x_ptr, y_ptr, out_ptr, n, x_stride, y_stride, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
    x = tl.load(x_ptr + offsets, mask=mask)
    y = tl.load(y_ptr + offsets, mask=mask)
    tl.store(out_ptr + offsets, x + y, mask=mask)


def vector_add(x, y, block=256):
    n = x.shape[0]
    out = torch.empty(n, dtype=x.dtype, device=x.device)
    grid = (triton.cdiv(n, block),)
    vector_add_kernel[grid](x, y, out, n, x.stride(0), y.stride(0), BLOCK=block)
    return out

# %% exercise="vector_add" wrong="one_stride_for_both"
"""x's stride for y too."""
@triton.jit
def vector_add_kernel(x_ptr, y_ptr, out_ptr, n, x_stride, y_stride, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
    x = tl.load(x_ptr + offsets * x_stride, mask=mask)
    y = tl.load(y_ptr + offsets * x_stride, mask=mask)
    tl.store(out_ptr + offsets, x + y, mask=mask)


def vector_add(x, y, block=256):
    n = x.shape[0]
    out = torch.empty(n, dtype=x.dtype, device=x.device)
    grid = (triton.cdiv(n, block),)
    vector_add_kernel[grid](x, y, out, n, x.stride(0), y.stride(0), BLOCK=block)
    return out

# %% exercise="vector_add" wrong="result_strided"
"""Stores with x's stride, but the result is dense."""
@triton.jit
def vector_add_kernel(x_ptr, y_ptr, out_ptr, n, x_stride, y_stride, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
    x = tl.load(x_ptr + offsets * x_stride, mask=mask)
    y = tl.load(y_ptr + offsets * y_stride, mask=mask)
    tl.store(out_ptr + offsets * x_stride, x + y, mask=mask)


def vector_add(x, y, block=256):
    n = x.shape[0]
    out = torch.empty(n, dtype=x.dtype, device=x.device)
    grid = (triton.cdiv(n, block),)
    vector_add_kernel[grid](x, y, out, n, x.stride(0), y.stride(0), BLOCK=block)
    return out

# %% exercise="vector_add" wrong="start_without_block"
"""Starts at pid instead of pid * BLOCK: the end is never written, elements several times."""
@triton.jit
def vector_add_kernel(x_ptr, y_ptr, out_ptr, n, x_stride, y_stride, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) + tl.arange(0, BLOCK)
    mask = offsets < n
    x = tl.load(x_ptr + offsets * x_stride, mask=mask)
    y = tl.load(y_ptr + offsets * y_stride, mask=mask)
    tl.store(out_ptr + offsets, x + y, mask=mask)


def vector_add(x, y, block=256):
    n = x.shape[0]
    out = torch.empty(n, dtype=x.dtype, device=x.device)
    grid = (triton.cdiv(n, block),)
    vector_add_kernel[grid](x, y, out, n, x.stride(0), y.stride(0), BLOCK=block)
    return out

# %% exercise="vector_add" wrong="grid_rounded_down"
"""n // block programs (at least one): the rest is not written."""
@triton.jit
def vector_add_kernel(x_ptr, y_ptr, out_ptr, n, x_stride, y_stride, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
    x = tl.load(x_ptr + offsets * x_stride, mask=mask)
    y = tl.load(y_ptr + offsets * y_stride, mask=mask)
    tl.store(out_ptr + offsets, x + y, mask=mask)


def vector_add(x, y, block=256):
    n = x.shape[0]
    out = torch.empty(n, dtype=x.dtype, device=x.device)
    grid = (max(1, n // block),)
    vector_add_kernel[grid](x, y, out, n, x.stride(0), y.stride(0), BLOCK=block)
    return out

# %% exercise="vector_add" wrong="contiguous_first"
"""Copies strided inputs with torch first: further launches."""
@triton.jit
def vector_add_kernel(x_ptr, y_ptr, out_ptr, n, x_stride, y_stride, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
    x = tl.load(x_ptr + offsets * x_stride, mask=mask)
    y = tl.load(y_ptr + offsets * y_stride, mask=mask)
    tl.store(out_ptr + offsets, x + y, mask=mask)


def vector_add(x, y, block=256):
    x, y = x.contiguous(), y.contiguous()
    n = x.shape[0]
    out = torch.empty(n, dtype=x.dtype, device=x.device)
    grid = (triton.cdiv(n, block),)
    vector_add_kernel[grid](x, y, out, n, x.stride(0), y.stride(0), BLOCK=block)
    return out

# %% exercise="vector_add" wrong="one_program"
"""One program walks over the whole vector."""
@triton.jit
def vector_add_kernel(x_ptr, y_ptr, out_ptr, n, x_stride, y_stride, BLOCK: tl.constexpr):
    for start in range(0, n, BLOCK):
        offsets = start + tl.arange(0, BLOCK)
        mask = offsets < n
        x = tl.load(x_ptr + offsets * x_stride, mask=mask)
        y = tl.load(y_ptr + offsets * y_stride, mask=mask)
        tl.store(out_ptr + offsets, x + y, mask=mask)


def vector_add(x, y, block=256):
    n = x.shape[0]
    out = torch.empty(n, dtype=x.dtype, device=x.device)
    vector_add_kernel[(1,)](x, y, out, n, x.stride(0), y.stride(0), BLOCK=block)
    return out

# %% exercise="vector_add" wrong="float32_result"
"""The result is always float32."""
@triton.jit
def vector_add_kernel(x_ptr, y_ptr, out_ptr, n, x_stride, y_stride, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
    x = tl.load(x_ptr + offsets * x_stride, mask=mask)
    y = tl.load(y_ptr + offsets * y_stride, mask=mask)
    tl.store(out_ptr + offsets, x + y, mask=mask)


def vector_add(x, y, block=256):
    n = x.shape[0]
    out = torch.empty(n, dtype=torch.float32, device=x.device)
    grid = (triton.cdiv(n, block),)
    vector_add_kernel[grid](x, y, out, n, x.stride(0), y.stride(0), BLOCK=block)
    return out

# %% exercise="vector_add" wrong="stride_in_the_mask"
"""Compares the addresses' distance with n: offsets * x_stride < n, half of x[::2] is left out."""
@triton.jit
def vector_add_kernel(x_ptr, y_ptr, out_ptr, n, x_stride, y_stride, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets * x_stride < n
    x = tl.load(x_ptr + offsets * x_stride, mask=mask)
    y = tl.load(y_ptr + offsets * y_stride, mask=mask)
    tl.store(out_ptr + offsets, x + y, mask=mask)


def vector_add(x, y, block=256):
    n = x.shape[0]
    out = torch.empty(n, dtype=x.dtype, device=x.device)
    grid = (triton.cdiv(n, block),)
    vector_add_kernel[grid](x, y, out, n, x.stride(0), y.stride(0), BLOCK=block)
    return out

# %% exercise="fused_scale_add" wrong="scales_y"
"""x + alpha * y."""
@triton.jit
def fused_scale_add_kernel(x_ptr, y_ptr, out_ptr, n, alpha, x_stride, y_stride, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
    x = tl.load(x_ptr + offsets * x_stride, mask=mask)
    y = tl.load(y_ptr + offsets * y_stride, mask=mask)
    tl.store(out_ptr + offsets, x + alpha * y, mask=mask)


def fused_scale_add(x, y, alpha, block=256):
    n = x.shape[0]
    out = torch.empty(n, dtype=x.dtype, device=x.device)
    fused_scale_add_kernel[(triton.cdiv(n, block),)](x, y, out, n, alpha, x.stride(0), y.stride(0), BLOCK=block)
    return out

# %% exercise="fused_scale_add" wrong="scales_the_sum"
"""alpha * (x + y)."""
@triton.jit
def fused_scale_add_kernel(x_ptr, y_ptr, out_ptr, n, alpha, x_stride, y_stride, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
    x = tl.load(x_ptr + offsets * x_stride, mask=mask)
    y = tl.load(y_ptr + offsets * y_stride, mask=mask)
    tl.store(out_ptr + offsets, alpha * (x + y), mask=mask)


def fused_scale_add(x, y, alpha, block=256):
    n = x.shape[0]
    out = torch.empty(n, dtype=x.dtype, device=x.device)
    fused_scale_add_kernel[(triton.cdiv(n, block),)](x, y, out, n, alpha, x.stride(0), y.stride(0), BLOCK=block)
    return out

# %% exercise="fused_scale_add" wrong="alpha_as_int"
"""alpha is cut to an integer on the way: 1.7 becomes 1."""
@triton.jit
def fused_scale_add_kernel(x_ptr, y_ptr, out_ptr, n, alpha, x_stride, y_stride, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
    x = tl.load(x_ptr + offsets * x_stride, mask=mask)
    y = tl.load(y_ptr + offsets * y_stride, mask=mask)
    tl.store(out_ptr + offsets, alpha * x + y, mask=mask)


def fused_scale_add(x, y, alpha, block=256):
    n = x.shape[0]
    out = torch.empty(n, dtype=x.dtype, device=x.device)
    fused_scale_add_kernel[(triton.cdiv(n, block),)](x, y, out, n, int(alpha), x.stride(0), y.stride(0), BLOCK=block)
    return out

# %% exercise="fused_scale_add" wrong="grid_of_256"
"""The grid is counted with 256, the lanes with block: for a smaller block the end is not written."""
@triton.jit
def fused_scale_add_kernel(x_ptr, y_ptr, out_ptr, n, alpha, x_stride, y_stride, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
    x = tl.load(x_ptr + offsets * x_stride, mask=mask)
    y = tl.load(y_ptr + offsets * y_stride, mask=mask)
    tl.store(out_ptr + offsets, alpha * x + y, mask=mask)


def fused_scale_add(x, y, alpha, block=256):
    n = x.shape[0]
    out = torch.empty(n, dtype=x.dtype, device=x.device)
    fused_scale_add_kernel[(triton.cdiv(n, 256),)](x, y, out, n, alpha, x.stride(0), y.stride(0), BLOCK=block)
    return out

# %% exercise="fused_scale_add" wrong="grid_rounded_down"
"""n // block programs (at least one)."""
@triton.jit
def fused_scale_add_kernel(x_ptr, y_ptr, out_ptr, n, alpha, x_stride, y_stride, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
    x = tl.load(x_ptr + offsets * x_stride, mask=mask)
    y = tl.load(y_ptr + offsets * y_stride, mask=mask)
    tl.store(out_ptr + offsets, alpha * x + y, mask=mask)


def fused_scale_add(x, y, alpha, block=256):
    n = x.shape[0]
    out = torch.empty(n, dtype=x.dtype, device=x.device)
    fused_scale_add_kernel[(max(1, n // block),)](x, y, out, n, alpha, x.stride(0), y.stride(0), BLOCK=block)
    return out

# %% exercise="fused_scale_add" wrong="strides_swapped"
"""x and y with each other's stride."""
@triton.jit
def fused_scale_add_kernel(x_ptr, y_ptr, out_ptr, n, alpha, x_stride, y_stride, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
    x = tl.load(x_ptr + offsets * x_stride, mask=mask)
    y = tl.load(y_ptr + offsets * y_stride, mask=mask)
    tl.store(out_ptr + offsets, alpha * x + y, mask=mask)


def fused_scale_add(x, y, alpha, block=256):
    n = x.shape[0]
    out = torch.empty(n, dtype=x.dtype, device=x.device)
    fused_scale_add_kernel[(triton.cdiv(n, block),)](x, y, out, n, alpha, y.stride(0), x.stride(0), BLOCK=block)
    return out

# %% exercise="fused_scale_add" wrong="strides_ignored"
"""Dense inputs assumed."""
@triton.jit
def fused_scale_add_kernel(x_ptr, y_ptr, out_ptr, n, alpha, x_stride, y_stride, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
    x = tl.load(x_ptr + offsets, mask=mask)
    y = tl.load(y_ptr + offsets, mask=mask)
    tl.store(out_ptr + offsets, alpha * x + y, mask=mask)


def fused_scale_add(x, y, alpha, block=256):
    n = x.shape[0]
    out = torch.empty(n, dtype=x.dtype, device=x.device)
    fused_scale_add_kernel[(triton.cdiv(n, block),)](x, y, out, n, alpha, x.stride(0), y.stride(0), BLOCK=block)
    return out

# %% exercise="fused_scale_add" wrong="two_launches"
"""torch scales x first, then the kernel adds: two launches and an intermediate result."""
@triton.jit
def fused_scale_add_kernel(x_ptr, y_ptr, out_ptr, n, alpha, x_stride, y_stride, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
    x = tl.load(x_ptr + offsets * x_stride, mask=mask)
    y = tl.load(y_ptr + offsets * y_stride, mask=mask)
    tl.store(out_ptr + offsets, x + y, mask=mask)


def fused_scale_add(x, y, alpha, block=256):
    x = alpha * x
    n = x.shape[0]
    out = torch.empty(n, dtype=x.dtype, device=x.device)
    fused_scale_add_kernel[(triton.cdiv(n, block),)](x, y, out, n, alpha, x.stride(0), y.stride(0), BLOCK=block)
    return out

# %% exercise="fused_scale_add" wrong="store_without_mask"
"""No mask at the store."""
@triton.jit
def fused_scale_add_kernel(x_ptr, y_ptr, out_ptr, n, alpha, x_stride, y_stride, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
    x = tl.load(x_ptr + offsets * x_stride, mask=mask)
    y = tl.load(y_ptr + offsets * y_stride, mask=mask)
    tl.store(out_ptr + offsets, alpha * x + y)


def fused_scale_add(x, y, alpha, block=256):
    n = x.shape[0]
    out = torch.empty(n, dtype=x.dtype, device=x.device)
    fused_scale_add_kernel[(triton.cdiv(n, block),)](x, y, out, n, alpha, x.stride(0), y.stride(0), BLOCK=block)
    return out

# %% exercise="fused_scale_add" wrong="zeros_first"
"""Room by torch.zeros: a fill, which counts as a launch."""
@triton.jit
def fused_scale_add_kernel(x_ptr, y_ptr, out_ptr, n, alpha, x_stride, y_stride, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
    x = tl.load(x_ptr + offsets * x_stride, mask=mask)
    y = tl.load(y_ptr + offsets * y_stride, mask=mask)
    tl.store(out_ptr + offsets, alpha * x + y, mask=mask)


def fused_scale_add(x, y, alpha, block=256):
    n = x.shape[0]
    out = torch.zeros(n, dtype=x.dtype, device=x.device)
    fused_scale_add_kernel[(triton.cdiv(n, block),)](x, y, out, n, alpha, x.stride(0), y.stride(0), BLOCK=block)
    return out

# %% exercise="fused_scale_add" wrong="intermediate_through_out"
"""Writes alpha * x to out, reads it back and adds y: the intermediate result goes through memory."""
@triton.jit
def fused_scale_add_kernel(x_ptr, y_ptr, out_ptr, n, alpha, x_stride, y_stride, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
    x = tl.load(x_ptr + offsets * x_stride, mask=mask)
    tl.store(out_ptr + offsets, alpha * x, mask=mask)
    y = tl.load(y_ptr + offsets * y_stride, mask=mask)
    tl.store(out_ptr + offsets, tl.load(out_ptr + offsets, mask=mask) + y, mask=mask)


def fused_scale_add(x, y, alpha, block=256):
    n = x.shape[0]
    out = torch.empty(n, dtype=x.dtype, device=x.device)
    fused_scale_add_kernel[(triton.cdiv(n, block),)](x, y, out, n, alpha, x.stride(0), y.stride(0), BLOCK=block)
    return out

# %% exercise="fusion_bytes" wrong="intermediate_once"
"""t is counted once: 4 n instead of 5 n."""
def fusion_bytes(n, dtype):
    return 4 * n * dtype.itemsize, 3 * n * dtype.itemsize

# %% exercise="fusion_bytes" wrong="two_full_kernels"
"""Both kernels counted as two inputs and a result: 6 n."""
def fusion_bytes(n, dtype):
    one = count_bytes([((n,), dtype), ((n,), dtype)], dtype)
    return 2 * one, one

# %% exercise="fusion_bytes" wrong="alpha_read"
"""alpha counts as an input of one number."""
def fusion_bytes(n, dtype):
    v, alpha = ((n,), dtype), ((), dtype)
    return count_bytes([v, alpha], dtype) + count_bytes([v, v], dtype), count_bytes([v, alpha, v], dtype)

# %% exercise="fusion_bytes" wrong="swapped"
"""(fused, unfused)."""
def fusion_bytes(n, dtype):
    return 3 * n * dtype.itemsize, 5 * n * dtype.itemsize

# %% exercise="fusion_bytes" wrong="elements"
"""Elements instead of bytes."""
def fusion_bytes(n, dtype):
    return 5 * n, 3 * n

# %% exercise="fusion_bytes" wrong="float32_intermediate"
"""The intermediate result in float32 whatever the dtype."""
def fusion_bytes(n, dtype):
    v, t = ((n,), dtype), ((n,), torch.float32)
    return count_bytes([v], torch.float32) + count_bytes([t, v], dtype), count_bytes([v, v], dtype)

# %% exercise="fusion_bytes" wrong="in_place_result"
"""The fused result written over y counts as free: 2 n."""
def fusion_bytes(n, dtype):
    return 5 * n * dtype.itemsize, 2 * n * dtype.itemsize

# %% exercise="memory_bound" wrong="vector_peak_for_all"
"""Every operation is measured against the vector units."""
def find_memory_bound(operations, gpu):
    found = []
    for name, (flops, moved, unit) in operations.items():
        intensity = torch.tensor(flops / moved, dtype=torch.float64)
        if roofline(intensity, gpu["vector"], gpu["bandwidth"]) < gpu["vector"]:
            found.append(name)
    return found


memory_bound = None
if ready(lambda: list(find_memory_bound(list_operations(), GPUS["H100 SXM"]))):
    memory_bound = {name: find_memory_bound(list_operations(), gpu) for name, gpu in GPUS.items()}

# %% exercise="memory_bound" wrong="tensor_peak_for_all"
"""Every operation is measured against the tensor cores."""
def find_memory_bound(operations, gpu):
    found = []
    for name, (flops, moved, unit) in operations.items():
        intensity = torch.tensor(flops / moved, dtype=torch.float64)
        if roofline(intensity, gpu["tensor"], gpu["bandwidth"]) < gpu["tensor"]:
            found.append(name)
    return found


memory_bound = None
if ready(lambda: list(find_memory_bound(list_operations(), GPUS["H100 SXM"]))):
    memory_bound = {name: find_memory_bound(list_operations(), gpu) for name, gpu in GPUS.items()}

# %% exercise="memory_bound" wrong="compute_bound"
"""Returns the compute-bound ones."""
def find_memory_bound(operations, gpu):
    found = []
    for name, (flops, moved, unit) in operations.items():
        intensity = torch.tensor(flops / moved, dtype=torch.float64)
        if roofline(intensity, gpu[unit], gpu["bandwidth"]) >= gpu[unit]:
            found.append(name)
    return found


memory_bound = None
if ready(lambda: list(find_memory_bound(list_operations(), GPUS["H100 SXM"]))):
    memory_bound = {name: find_memory_bound(list_operations(), gpu) for name, gpu in GPUS.items()}

# %% exercise="memory_bound" wrong="at_the_ridge_too"
"""<=: roofline never exceeds the peak, so everything is memory-bound."""
def find_memory_bound(operations, gpu):
    found = []
    for name, (flops, moved, unit) in operations.items():
        intensity = torch.tensor(flops / moved, dtype=torch.float64)
        if roofline(intensity, gpu[unit], gpu["bandwidth"]) <= gpu[unit]:
            found.append(name)
    return found


memory_bound = None
if ready(lambda: list(find_memory_bound(list_operations(), GPUS["H100 SXM"]))):
    memory_bound = {name: find_memory_bound(list_operations(), gpu) for name, gpu in GPUS.items()}

# %% exercise="memory_bound" wrong="intensity_upside_down"
"""Bytes per FLOP."""
def find_memory_bound(operations, gpu):
    found = []
    for name, (flops, moved, unit) in operations.items():
        intensity = torch.tensor(moved / flops, dtype=torch.float64)
        if roofline(intensity, gpu[unit], gpu["bandwidth"]) < gpu[unit]:
            found.append(name)
    return found


memory_bound = None
if ready(lambda: list(find_memory_bound(list_operations(), GPUS["H100 SXM"]))):
    memory_bound = {name: find_memory_bound(list_operations(), gpu) for name, gpu in GPUS.items()}

# %% exercise="memory_bound" wrong="sorted"
"""Sorted by name instead of the order of the table."""
def find_memory_bound(operations, gpu):
    found = []
    for name, (flops, moved, unit) in operations.items():
        intensity = torch.tensor(flops / moved, dtype=torch.float64)
        if roofline(intensity, gpu[unit], gpu["bandwidth"]) < gpu[unit]:
            found.append(name)
    return sorted(found)


memory_bound = None
if ready(lambda: list(find_memory_bound(list_operations(), GPUS["H100 SXM"]))):
    memory_bound = {name: find_memory_bound(list_operations(), gpu) for name, gpu in GPUS.items()}

# %% exercise="memory_bound" wrong="whole_flops_per_byte"
"""Integer division: an operation a fraction above the ridge is cut to below it."""
def find_memory_bound(operations, gpu):
    found = []
    for name, (flops, moved, unit) in operations.items():
        intensity = torch.tensor(flops // moved, dtype=torch.float64)
        if roofline(intensity, gpu[unit], gpu["bandwidth"]) < gpu[unit]:
            found.append(name)
    return found


memory_bound = None
if ready(lambda: list(find_memory_bound(list_operations(), GPUS["H100 SXM"]))):
    memory_bound = {name: find_memory_bound(list_operations(), gpu) for name, gpu in GPUS.items()}

# %% exercise="memory_bound" wrong="always_h100"
"""Looks up the bandwidth of the H100 whatever the GPU."""
def find_memory_bound(operations, gpu):
    found = []
    for name, (flops, moved, unit) in operations.items():
        intensity = torch.tensor(flops / moved, dtype=torch.float64)
        if roofline(intensity, gpu[unit], GPUS["H100 SXM"]["bandwidth"]) < gpu[unit]:
            found.append(name)
    return found


memory_bound = None
if ready(lambda: list(find_memory_bound(list_operations(), GPUS["H100 SXM"]))):
    memory_bound = {name: find_memory_bound(list_operations(), gpu) for name, gpu in GPUS.items()}

# %% exercise="memory_bound" wrong="finding_swapped"
"""The function is right, the finding gives each GPU the other one's list."""
def find_memory_bound(operations, gpu):
    found = []
    for name, (flops, moved, unit) in operations.items():
        intensity = torch.tensor(flops / moved, dtype=torch.float64)
        if roofline(intensity, gpu[unit], gpu["bandwidth"]) < gpu[unit]:
            found.append(name)
    return found


memory_bound = {
    "A100 SXM 80GB": find_memory_bound(list_operations(), GPUS["H100 SXM"]),
    "H100 SXM": find_memory_bound(list_operations(), GPUS["A100 SXM 80GB"]),
}

# %% exercise="memory_bound" wrong="finding_one_list"
"""The function is right, the finding holds only what is memory-bound on both GPUs, for each."""
def find_memory_bound(operations, gpu):
    found = []
    for name, (flops, moved, unit) in operations.items():
        intensity = torch.tensor(flops / moved, dtype=torch.float64)
        if roofline(intensity, gpu[unit], gpu["bandwidth"]) < gpu[unit]:
            found.append(name)
    return found


lists = [find_memory_bound(list_operations(), gpu) for gpu in GPUS.values()]
both = [name for name in lists[0] if name in lists[1]]
memory_bound = dict.fromkeys(GPUS, both)

# %% exercise="leaky_relu" wrong="only_the_grid"
"""Grid rounded up, the store still without a mask."""
@triton.jit
def leaky_relu_kernel(x_ptr, out_ptr, n, slope, BLOCK: tl.constexpr):
    start = tl.program_id(0) * BLOCK
    index = start + tl.arange(0, BLOCK)
    value = tl.load(x_ptr + index, mask=index < n)
    tl.store(out_ptr + index, tl.where(value > 0, value, slope * value))


def leaky_relu(x, slope=0.01, block=256):
    out = torch.empty_like(x)
    n = x.numel()
    leaky_relu_kernel[(triton.cdiv(n, block),)](x, out, n, slope, BLOCK=block)
    return out

# %% exercise="leaky_relu" wrong="only_the_mask"
"""Mask at the store, the grid still n // block."""
@triton.jit
def leaky_relu_kernel(x_ptr, out_ptr, n, slope, BLOCK: tl.constexpr):
    start = tl.program_id(0) * BLOCK
    index = start + tl.arange(0, BLOCK)
    value = tl.load(x_ptr + index, mask=index < n)
    tl.store(out_ptr + index, tl.where(value > 0, value, slope * value), mask=index < n)


def leaky_relu(x, slope=0.01, block=256):
    out = torch.empty_like(x)
    n = x.numel()
    leaky_relu_kernel[(n // block,)](x, out, n, slope, BLOCK=block)
    return out

# %% exercise="leaky_relu" wrong="one_too_many"
"""index <= n in the store's mask."""
@triton.jit
def leaky_relu_kernel(x_ptr, out_ptr, n, slope, BLOCK: tl.constexpr):
    start = tl.program_id(0) * BLOCK
    index = start + tl.arange(0, BLOCK)
    value = tl.load(x_ptr + index, mask=index < n)
    tl.store(out_ptr + index, tl.where(value > 0, value, slope * value), mask=index <= n)


def leaky_relu(x, slope=0.01, block=256):
    out = torch.empty_like(x)
    n = x.numel()
    leaky_relu_kernel[(triton.cdiv(n, block),)](x, out, n, slope, BLOCK=block)
    return out

# %% exercise="leaky_relu" wrong="maximum"
"""max(x, slope * x): wrong for a slope above 1."""
@triton.jit
def leaky_relu_kernel(x_ptr, out_ptr, n, slope, BLOCK: tl.constexpr):
    start = tl.program_id(0) * BLOCK
    index = start + tl.arange(0, BLOCK)
    value = tl.load(x_ptr + index, mask=index < n)
    tl.store(out_ptr + index, tl.maximum(value, slope * value), mask=index < n)


def leaky_relu(x, slope=0.01, block=256):
    out = torch.empty_like(x)
    n = x.numel()
    leaky_relu_kernel[(triton.cdiv(n, block),)](x, out, n, slope, BLOCK=block)
    return out

# %% exercise="leaky_relu" wrong="slope_fixed"
"""The kernel uses 0.01 and ignores slope."""
@triton.jit
def leaky_relu_kernel(x_ptr, out_ptr, n, slope, BLOCK: tl.constexpr):
    start = tl.program_id(0) * BLOCK
    index = start + tl.arange(0, BLOCK)
    value = tl.load(x_ptr + index, mask=index < n)
    tl.store(out_ptr + index, tl.where(value > 0, value, 0.01 * value), mask=index < n)


def leaky_relu(x, slope=0.01, block=256):
    out = torch.empty_like(x)
    n = x.numel()
    leaky_relu_kernel[(triton.cdiv(n, block),)](x, out, n, slope, BLOCK=block)
    return out

# %% exercise="leaky_relu" wrong="padded_copy"
"""Pads x with torch to whole blocks and cuts the result: copies that count as launches."""
@triton.jit
def leaky_relu_kernel(x_ptr, out_ptr, n, slope, BLOCK: tl.constexpr):
    start = tl.program_id(0) * BLOCK
    index = start + tl.arange(0, BLOCK)
    value = tl.load(x_ptr + index, mask=index < n)
    tl.store(out_ptr + index, tl.where(value > 0, value, slope * value), mask=index < n)


def leaky_relu(x, slope=0.01, block=256):
    n = x.numel()
    x = torch.nn.functional.pad(x, (0, -n % block))
    out = torch.empty_like(x)
    leaky_relu_kernel[(triton.cdiv(n, block),)](x, out, x.numel(), slope, BLOCK=block)
    return out[:n]

# %% exercise="leaky_relu" wrong="sides_swapped"
"""slope for the positive numbers."""
@triton.jit
def leaky_relu_kernel(x_ptr, out_ptr, n, slope, BLOCK: tl.constexpr):
    start = tl.program_id(0) * BLOCK
    index = start + tl.arange(0, BLOCK)
    value = tl.load(x_ptr + index, mask=index < n)
    tl.store(out_ptr + index, tl.where(value < 0, value, slope * value), mask=index < n)


def leaky_relu(x, slope=0.01, block=256):
    out = torch.empty_like(x)
    n = x.numel()
    leaky_relu_kernel[(triton.cdiv(n, block),)](x, out, n, slope, BLOCK=block)
    return out

# %% exercise="leaky_relu" wrong="float32_result"
"""The result is always float32."""
@triton.jit
def leaky_relu_kernel(x_ptr, out_ptr, n, slope, BLOCK: tl.constexpr):
    start = tl.program_id(0) * BLOCK
    index = start + tl.arange(0, BLOCK)
    value = tl.load(x_ptr + index, mask=index < n)
    tl.store(out_ptr + index, tl.where(value > 0, value, slope * value), mask=index < n)


def leaky_relu(x, slope=0.01, block=256):
    out = torch.empty_like(x, dtype=torch.float32)
    n = x.numel()
    leaky_relu_kernel[(triton.cdiv(n, block),)](x, out, n, slope, BLOCK=block)
    return out

# %% exercise="leaky_relu" wrong="at_most_one_rest"
"""The rest gets a program only when it is at least half a block (round instead of ceil)."""
@triton.jit
def leaky_relu_kernel(x_ptr, out_ptr, n, slope, BLOCK: tl.constexpr):
    start = tl.program_id(0) * BLOCK
    index = start + tl.arange(0, BLOCK)
    value = tl.load(x_ptr + index, mask=index < n)
    tl.store(out_ptr + index, tl.where(value > 0, value, slope * value), mask=index < n)


def leaky_relu(x, slope=0.01, block=256):
    out = torch.empty_like(x)
    n = x.numel()
    leaky_relu_kernel[(max(1, (n + block // 2) // block),)](x, out, n, slope, BLOCK=block)
    return out

# %% exercise="fix_the_stub" wrong="written_through_a_view"
"""A flat view is doubled and given its shape again: the caller's dense tensor is doubled with it."""
def fix_the_stub(x):
    y = x.reshape(-1)
    y += y
    return y.view(x.shape)

# %% exercise="fix_the_stub" wrong="flat"
"""A matrix comes back flat: the shape is lost."""
def fix_the_stub(x):
    return 2 * x.reshape(-1)

# %% exercise="fix_the_stub" wrong="row_by_row"
"""torch.stack over the first axis: raises for a tensor without dimensions and for an empty one."""
def fix_the_stub(x):
    return torch.stack([2 * row for row in x])

# %% exercise="fix_the_stub" wrong="positive_only"
"""Negative numbers stay as they are."""
def fix_the_stub(x):
    return torch.where(x > 0, 2 * x, x)

# %% exercise="fix_the_stub" wrong="at_least_one_axis"
"""atleast_1d: a tensor of shape () comes back as (1,)."""
def fix_the_stub(x):
    return torch.atleast_1d(x) * 2

# %% exercise="program_offsets" wrong="offsets_held_at_the_end"
"""Offsets beyond the end are pulled back to n - 1: they are to number the lanes that do not exist too."""
def program_offsets(pid, block, n):
    offsets = pid * block + torch.arange(block)
    return offsets.clamp(max=n - 1), offsets < n

# %% exercise="program_offsets" wrong="cut_off_2"
"""Lanes that do not exist are cut off: fewer than block in the last program."""
def program_offsets(pid, block, n):
    offsets = torch.arange(pid * block, min(n, (pid + 1) * block))
    return offsets, offsets < n

# %% exercise="program_offsets" wrong="int32_2"
"""The offsets are int32 and not int64."""
def program_offsets(pid, block, n):
    offsets = torch.arange(block, dtype=torch.int32) + pid * block
    return offsets, offsets < n

# %% exercise="program_offsets" wrong="through_float32"
"""Counted in float32 and then converted: beyond 2**24 neighbouring offsets fall together."""
def program_offsets(pid, block, n):
    offsets = (torch.arange(block, dtype=torch.float32) + float(pid * block)).long()
    return offsets, offsets < n

# %% exercise="program_offsets" wrong="through_int32"
"""Counted in int32 and then converted: beyond 2**31 the offsets are negative."""
def program_offsets(pid, block, n):
    offsets = torch.arange(block, dtype=torch.int32)
    offsets = (offsets * 1 + torch.tensor([pid * block]).to(torch.int32)).to(torch.int64)
    return offsets, offsets < n

# %% exercise="program_offsets" wrong="mask_of_numbers"
"""The mask is 0 and 1 in int64 and not bool."""
def program_offsets(pid, block, n):
    offsets = torch.arange(block) + pid * block
    return offsets, (offsets < n).long()

# %% exercise="program_offsets" wrong="dealt_out_in_turn"
"""Programs take turns, element by element (stride n / block), and not runs of consecutive numbers."""
def program_offsets(pid, block, n):
    programs = -(-n // block)
    offsets = pid + programs * torch.arange(block)
    return offsets, offsets < n

# %% exercise="count_bytes" wrong="list_grows"
"""Right number, but the result is appended to the caller's list of inputs: the next call counts it too."""
import math


def count_bytes(inputs, out_dtype):
    inputs.append((torch.broadcast_shapes(*(shape for shape, _ in inputs)), out_dtype))
    return sum(math.prod(shape) * dtype.itemsize for shape, dtype in inputs)

# %% exercise="count_bytes" wrong="equal_inputs_once"
"""The inputs pass through a set: two inputs of the same shape and dtype are counted as one."""
import math


def count_bytes(inputs, out_dtype):
    total = sum(math.prod(shape) * dtype.itemsize for shape, dtype in set(inputs))
    return total + math.prod(torch.broadcast_shapes(*(shape for shape, _ in inputs))) * out_dtype.itemsize

# %% exercise="count_bytes" wrong="every_input_broadcast"
"""Every input is counted at the broadcast size: what is seen and not what is stored."""
import math


def count_bytes(inputs, out_dtype):
    size = math.prod(torch.broadcast_shapes(*(shape for shape, _ in inputs)))
    return size * (sum(dtype.itemsize for _, dtype in inputs) + out_dtype.itemsize)

# %% exercise="count_bytes" wrong="result_as_the_largest_input"
"""The result is taken to be as large as the largest input: (3, 1) and (1, 4) give 12 and not 4."""
import math


def count_bytes(inputs, out_dtype):
    sizes = [math.prod(shape) for shape, _ in inputs]
    return sum(s * dtype.itemsize for s, (_, dtype) in zip(sizes, inputs)) + max(sizes) * out_dtype.itemsize

# %% exercise="count_bytes" wrong="dtype_of_the_first"
"""Every input is counted with the first one's dtype."""
import math


def count_bytes(inputs, out_dtype):
    width = inputs[0][1].itemsize
    out = math.prod(torch.broadcast_shapes(*(shape for shape, _ in inputs)))
    return sum(math.prod(shape) * width for shape, _ in inputs) + out * out_dtype.itemsize

# %% exercise="count_bytes" wrong="out_dtype_for_all"
"""Everything is counted in out_dtype: a bool mask has 1 byte, whatever the result has."""
import math


def count_bytes(inputs, out_dtype):
    out = math.prod(torch.broadcast_shapes(*(shape for shape, _ in inputs)))
    return (sum(math.prod(shape) for shape, _ in inputs) + out) * out_dtype.itemsize

# %% exercise="count_bytes" wrong="one_number_is_nothing"
"""Inputs of shape () are left out as if they travelled with the launch."""
import math


def count_bytes(inputs, out_dtype):
    out = math.prod(torch.broadcast_shapes(*(shape for shape, _ in inputs)))
    return sum(math.prod(s) * d.itemsize for s, d in inputs if s) + out * out_dtype.itemsize

# %% exercise="count_bytes" wrong="no_tensor_is_empty"
"""Sizes are at least 1: an input (or result) with an axis of 0 elements counts as one number."""
import math


def count_bytes(inputs, out_dtype):
    out = math.prod(torch.broadcast_shapes(*(shape for shape, _ in inputs)))
    return sum(max(1, math.prod(s)) * d.itemsize for s, d in inputs) + max(1, out) * out_dtype.itemsize

# %% exercise="count_bytes" wrong="a_float"
"""The right number as a float."""
import math


def count_bytes(inputs, out_dtype):
    out = math.prod(torch.broadcast_shapes(*(shape for shape, _ in inputs)))
    return math.fsum(math.prod(s) * d.itemsize for s, d in inputs) + out * out_dtype.itemsize

# %% exercise="count_bytes" wrong="bits_of_a_bool"
"""A bool is counted as one bit (8 of them a byte)."""
import math


def count_bytes(inputs, out_dtype):
    def width(dtype):
        return 1 if dtype == torch.bool else 8 * dtype.itemsize
    out = math.prod(torch.broadcast_shapes(*(shape for shape, _ in inputs)))
    bits = sum(math.prod(s) * width(d) for s, d in inputs) + out * width(out_dtype)
    return -(-bits // 8)

# %% exercise="roofline" wrong="changes_the_intensity"
"""Right numbers, but computed in place: the caller's intensity now holds FLOP/s."""
def roofline(intensity, peak, bandwidth):
    return intensity.mul_(bandwidth).clamp_(max=peak)

# %% exercise="roofline" wrong="peak_in_float32"
"""torch.tensor(peak) is float32: a float64 intensity gets a peak that is off in the eighth digit."""
def roofline(intensity, peak, bandwidth):
    return torch.minimum(intensity * bandwidth, torch.tensor(peak).to(intensity.dtype))

# %% exercise="roofline" wrong="one_number_becomes_float64"
"""minimum with a float64 tensor: a float32 intensity of shape () comes back as float64."""
def roofline(intensity, peak, bandwidth):
    return torch.minimum(intensity * bandwidth, torch.tensor(peak, dtype=torch.float64))

# %% exercise="roofline" wrong="times_added"
"""Arithmetic and transfers one after another: smaller than both limits near the ridge."""
def roofline(intensity, peak, bandwidth):
    return intensity / (intensity / peak + 1 / bandwidth)

# %% exercise="roofline" wrong="all_or_nothing"
"""If one number is beyond the ridge all of them get peak."""
def roofline(intensity, peak, bandwidth):
    if (intensity * bandwidth >= peak).any():
        return torch.full_like(intensity, peak)
    return intensity * bandwidth

# %% exercise="roofline" wrong="bytes_per_flop"
"""The intensity is divided and not multiplied: bandwidth / intensity."""
def roofline(intensity, peak, bandwidth):
    return (bandwidth / intensity).clamp(max=peak)

# %% exercise="vector_add" wrong="mask_by_lane"
"""The mask compares the lane and not the element with n."""
@triton.jit
def vector_add_kernel(x_ptr, y_ptr, out_ptr, n, x_stride, y_stride, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = tl.arange(0, BLOCK) < n
    x = tl.load(x_ptr + offsets * x_stride, mask=mask)
    y = tl.load(y_ptr + offsets * y_stride, mask=mask)
    tl.store(out_ptr + offsets, x + y, mask=mask)


def vector_add(x, y, block=256):
    n = x.shape[0]
    out = torch.empty(n, dtype=x.dtype, device=x.device)
    grid = (triton.cdiv(n, block),)
    vector_add_kernel[grid](x, y, out, n, x.stride(0), y.stride(0), BLOCK=block)
    return out

# %% exercise="vector_add" wrong="mask_by_address"
"""The mask compares offset * stride with n: elements behind n / stride are left out."""
@triton.jit
def vector_add_kernel(x_ptr, y_ptr, out_ptr, n, x_stride, y_stride, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = (offsets * x_stride < n) & (offsets * y_stride < n)
    x = tl.load(x_ptr + offsets * x_stride, mask=mask)
    y = tl.load(y_ptr + offsets * y_stride, mask=mask)
    tl.store(out_ptr + offsets, x + y, mask=mask)


def vector_add(x, y, block=256):
    n = x.shape[0]
    out = torch.empty(n, dtype=x.dtype, device=x.device)
    grid = (triton.cdiv(n, block),)
    vector_add_kernel[grid](x, y, out, n, x.stride(0), y.stride(0), BLOCK=block)
    return out

# %% exercise="vector_add" wrong="added_in_float32"
"""Added in float32 and converted back: integers beyond 2**24 and float64 numbers are rounded."""
@triton.jit
def vector_add_kernel(x_ptr, y_ptr, out_ptr, n, x_stride, y_stride, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
    x = tl.load(x_ptr + offsets * x_stride, mask=mask)
    y = tl.load(y_ptr + offsets * y_stride, mask=mask)
    tl.store(out_ptr + offsets, x.to(tl.float32) + y.to(tl.float32), mask=mask)


def vector_add(x, y, block=256):
    n = x.shape[0]
    out = torch.empty(n, dtype=x.dtype, device=x.device)
    grid = (triton.cdiv(n, block),)
    vector_add_kernel[grid](x, y, out, n, x.stride(0), y.stride(0), BLOCK=block)
    return out

# %% exercise="vector_add" wrong="added_in_float16_range"
"""The numbers are converted to bfloat16 to save bandwidth: eight bits are left."""
@triton.jit
def vector_add_kernel(x_ptr, y_ptr, out_ptr, n, x_stride, y_stride, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
    x = tl.load(x_ptr + offsets * x_stride, mask=mask)
    y = tl.load(y_ptr + offsets * y_stride, mask=mask)
    tl.store(out_ptr + offsets, x.to(tl.bfloat16) + y.to(tl.bfloat16), mask=mask)


def vector_add(x, y, block=256):
    n = x.shape[0]
    out = torch.empty(n, dtype=x.dtype, device=x.device)
    grid = (triton.cdiv(n, block),)
    vector_add_kernel[grid](x, y, out, n, x.stride(0), y.stride(0), BLOCK=block)
    return out

# %% exercise="vector_add" wrong="result_filled_first"
"""torch.zeros for the result: a fill by torch is a second launch."""
@triton.jit
def vector_add_kernel(x_ptr, y_ptr, out_ptr, n, x_stride, y_stride, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
    x = tl.load(x_ptr + offsets * x_stride, mask=mask)
    y = tl.load(y_ptr + offsets * y_stride, mask=mask)
    tl.store(out_ptr + offsets, x + y, mask=mask)


def vector_add(x, y, block=256):
    n = x.shape[0]
    out = torch.zeros(n, dtype=x.dtype, device=x.device)
    grid = (triton.cdiv(n, block),)
    vector_add_kernel[grid](x, y, out, n, x.stride(0), y.stride(0), BLOCK=block)
    return out

# %% exercise="vector_add" wrong="block_ignored"
"""One program takes the whole vector: `block` is ignored, a single program for any n."""
@triton.jit
def vector_add_kernel(x_ptr, y_ptr, out_ptr, n, x_stride, y_stride, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
    x = tl.load(x_ptr + offsets * x_stride, mask=mask)
    y = tl.load(y_ptr + offsets * y_stride, mask=mask)
    tl.store(out_ptr + offsets, x + y, mask=mask)


def vector_add(x, y, block=256):
    n = x.shape[0]
    out = torch.empty(n, dtype=x.dtype, device=x.device)
    block = triton.next_power_of_2(n)
    grid = (triton.cdiv(n, block),)
    vector_add_kernel[grid](x, y, out, n, x.stride(0), y.stride(0), BLOCK=block)
    return out

# %% exercise="vector_add" wrong="one_program_walks"
"""One program loops over all blocks: fewer than one program for every four blocks."""
@triton.jit
def vector_add_kernel(x_ptr, y_ptr, out_ptr, n, x_stride, y_stride, BLOCK: tl.constexpr):
    for start in range(0, n, BLOCK):
        offsets = start + tl.arange(0, BLOCK)
        mask = offsets < n
        x = tl.load(x_ptr + offsets * x_stride, mask=mask)
        y = tl.load(y_ptr + offsets * y_stride, mask=mask)
        tl.store(out_ptr + offsets, x + y, mask=mask)


def vector_add(x, y, block=256):
    n = x.shape[0]
    out = torch.empty(n, dtype=x.dtype, device=x.device)
    grid = (1,)
    vector_add_kernel[grid](x, y, out, n, x.stride(0), y.stride(0), BLOCK=block)
    return out

# %% exercise="vector_add" wrong="x_read_twice"
"""x is loaded for the test and again for the sum: a third more bytes read than needed."""
@triton.jit
def vector_add_kernel(x_ptr, y_ptr, out_ptr, n, x_stride, y_stride, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
    x = tl.load(x_ptr + offsets * x_stride, mask=mask)
    y = tl.load(y_ptr + offsets * y_stride, mask=mask)
    x = tl.load(x_ptr + offsets * x_stride, mask=mask)
    tl.store(out_ptr + offsets, x + y, mask=mask)


def vector_add(x, y, block=256):
    n = x.shape[0]
    out = torch.empty(n, dtype=x.dtype, device=x.device)
    grid = (triton.cdiv(n, block),)
    vector_add_kernel[grid](x, y, out, n, x.stride(0), y.stride(0), BLOCK=block)
    return out

# %% exercise="fused_scale_add" wrong="grid_rounded_down_2"
"""n // block programs: the partly full last one is not started (nothing at all for n < block)."""
@triton.jit
def fused_scale_add_kernel(x_ptr, y_ptr, out_ptr, n, alpha, x_stride, y_stride, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
    x = tl.load(x_ptr + offsets * x_stride, mask=mask)
    y = tl.load(y_ptr + offsets * y_stride, mask=mask)
    tl.store(out_ptr + offsets, alpha * x + y, mask=mask)


def fused_scale_add(x, y, alpha, block=256):
    n = x.shape[0]
    out = torch.empty(n, dtype=x.dtype, device=x.device)
    fused_scale_add_kernel[(n // block,)](x, y, out, n, alpha, x.stride(0), y.stride(0), BLOCK=block)
    return out

# %% exercise="fused_scale_add" wrong="made_dense_first"
"""contiguous() in the launcher: a copy by torch for x[::2]."""
@triton.jit
def fused_scale_add_kernel(x_ptr, y_ptr, out_ptr, n, alpha, x_stride, y_stride, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
    x = tl.load(x_ptr + offsets * x_stride, mask=mask)
    y = tl.load(y_ptr + offsets * y_stride, mask=mask)
    tl.store(out_ptr + offsets, alpha * x + y, mask=mask)


def fused_scale_add(x, y, alpha, block=256):
    x, y = x.contiguous(), y.contiguous()
    n = x.shape[0]
    out = torch.empty(n, dtype=x.dtype, device=x.device)
    fused_scale_add_kernel[(triton.cdiv(n, block),)](x, y, out, n, alpha, x.stride(0), y.stride(0), BLOCK=block)
    return out

# %% exercise="fused_scale_add" wrong="y_is_the_result"
"""The result is written into y and y returned: the caller's y is lost, and strided where y was."""
@triton.jit
def fused_scale_add_kernel(x_ptr, y_ptr, out_ptr, n, alpha, x_stride, y_stride, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
    x = tl.load(x_ptr + offsets * x_stride, mask=mask)
    y = tl.load(y_ptr + offsets * y_stride, mask=mask)
    tl.store(out_ptr + offsets * y_stride, alpha * x + y, mask=mask)


def fused_scale_add(x, y, alpha, block=256):
    n = x.shape[0]
    out = y
    fused_scale_add_kernel[(triton.cdiv(n, block),)](x, y, out, n, alpha, x.stride(0), y.stride(0), BLOCK=block)
    return out

# %% exercise="fused_scale_add" wrong="always_float32"
"""The result is float32 for float16 or float64 vectors too."""
@triton.jit
def fused_scale_add_kernel(x_ptr, y_ptr, out_ptr, n, alpha, x_stride, y_stride, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
    x = tl.load(x_ptr + offsets * x_stride, mask=mask)
    y = tl.load(y_ptr + offsets * y_stride, mask=mask)
    tl.store(out_ptr + offsets, alpha * x + y, mask=mask)


def fused_scale_add(x, y, alpha, block=256):
    n = x.shape[0]
    out = torch.empty(n, dtype=torch.float32, device=x.device)
    fused_scale_add_kernel[(triton.cdiv(n, block),)](x, y, out, n, alpha, x.stride(0), y.stride(0), BLOCK=block)
    return out

# %% exercise="fused_scale_add" wrong="one_program"
"""A single program of the size of the vector: `block` is ignored."""
@triton.jit
def fused_scale_add_kernel(x_ptr, y_ptr, out_ptr, n, alpha, x_stride, y_stride, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
    x = tl.load(x_ptr + offsets * x_stride, mask=mask)
    y = tl.load(y_ptr + offsets * y_stride, mask=mask)
    tl.store(out_ptr + offsets, alpha * x + y, mask=mask)


def fused_scale_add(x, y, alpha, block=256):
    n = x.shape[0]
    block = triton.next_power_of_2(n)
    out = torch.empty(n, dtype=x.dtype, device=x.device)
    fused_scale_add_kernel[(triton.cdiv(n, block),)](x, y, out, n, alpha, x.stride(0), y.stride(0), BLOCK=block)
    return out

# %% exercise="fused_scale_add" wrong="mask_forgotten_on_y"
"""y is loaded without a mask: read beyond its end."""
@triton.jit
def fused_scale_add_kernel(x_ptr, y_ptr, out_ptr, n, alpha, x_stride, y_stride, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
    x = tl.load(x_ptr + offsets * x_stride, mask=mask)
    y = tl.load(y_ptr + offsets * y_stride)
    tl.store(out_ptr + offsets, alpha * x + y, mask=mask)


def fused_scale_add(x, y, alpha, block=256):
    n = x.shape[0]
    out = torch.empty(n, dtype=x.dtype, device=x.device)
    fused_scale_add_kernel[(triton.cdiv(n, block),)](x, y, out, n, alpha, x.stride(0), y.stride(0), BLOCK=block)
    return out

# %% exercise="fused_scale_add" wrong="through_the_result"
"""alpha * x is stored in the result and read back for the sum: twice the writes, one more read (the numbers are right)."""
@triton.jit
def fused_scale_add_kernel(x_ptr, y_ptr, out_ptr, n, alpha, x_stride, y_stride, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
    x = tl.load(x_ptr + offsets * x_stride, mask=mask)
    y = tl.load(y_ptr + offsets * y_stride, mask=mask)
    tl.store(out_ptr + offsets, alpha * x, mask=mask)
    tl.store(out_ptr + offsets, tl.load(out_ptr + offsets, mask=mask) + y, mask=mask)


def fused_scale_add(x, y, alpha, block=256):
    n = x.shape[0]
    out = torch.empty(n, dtype=x.dtype, device=x.device)
    fused_scale_add_kernel[(triton.cdiv(n, block),)](x, y, out, n, alpha, x.stride(0), y.stride(0), BLOCK=block)
    return out

# %% exercise="fusion_bytes" wrong="same_bytes_twice"
"""Each of the two kernels is counted like the fused one: 6 n."""
def fusion_bytes(n, dtype):
    fused = count_bytes([((n,), dtype), ((n,), dtype)], dtype)
    return 2 * fused, fused

# %% exercise="fusion_bytes" wrong="four_bytes_always"
"""fp32 is assumed whatever dtype says."""
def fusion_bytes(n, dtype):
    return 20 * n, 12 * n

# %% exercise="fusion_bytes" wrong="alpha_read_too"
"""alpha is counted as an input of both: one number too many each."""
def fusion_bytes(n, dtype):
    one, alpha = ((n,), dtype), ((), dtype)
    return (count_bytes([one, alpha], dtype) + count_bytes([one, one], dtype),
            count_bytes([one, one, alpha], dtype))

# %% exercise="fusion_bytes" wrong="fused_first"
"""The two numbers in the wrong order."""
def fusion_bytes(n, dtype):
    vector = ((n,), dtype)
    fused = count_bytes([vector, vector], dtype)
    return fused, fused + count_bytes([vector], dtype)

# %% exercise="fusion_bytes" wrong="floats"
"""The right numbers as floats."""
def fusion_bytes(n, dtype):
    vector = n * float(dtype.itemsize)
    return 5 * vector, 3 * vector

# %% exercise="fusion_bytes" wrong="intermediate_in_float32"
"""The intermediate result is counted as float32, though it has dtype too."""
def fusion_bytes(n, dtype):
    vector, between = ((n,), dtype), ((n,), torch.float32)
    return (count_bytes([vector], torch.float32) + count_bytes([between, vector], dtype),
            count_bytes([vector, vector], dtype))

# %% exercise="memory_bound" wrong="ridge_counts_as_memory"
"""<= in place of <: an operation exactly on the ridge reaches its peak and is compute-bound."""
def find_memory_bound(operations, gpu):
    names = []
    for name, (flops, moved, unit) in operations.items():
        reach = roofline(torch.tensor(flops / moved, dtype=torch.float64), gpu[unit], gpu["bandwidth"])
        if flops / moved <= gpu[unit] / gpu["bandwidth"]:
            names.append(name)
    return names


memory_bound = {name: find_memory_bound(list_operations(), gpu) for name, gpu in GPUS.items()}

# %% exercise="memory_bound" wrong="tensor_peak_for_all_2"
"""Every operation is held against the tensor cores' peak and not its own unit's."""
def find_memory_bound(operations, gpu):
    names = []
    for name, (flops, moved, unit) in operations.items():
        reach = roofline(torch.tensor(flops / moved, dtype=torch.float64), gpu["tensor"], gpu["bandwidth"])
        if reach < gpu["tensor"]:
            names.append(name)
    return names


memory_bound = {name: find_memory_bound(list_operations(), gpu) for name, gpu in GPUS.items()}

# %% exercise="memory_bound" wrong="vector_peak_for_all_2"
"""Every operation is held against the vector units' peak."""
def find_memory_bound(operations, gpu):
    names = []
    for name, (flops, moved, unit) in operations.items():
        reach = roofline(torch.tensor(flops / moved, dtype=torch.float64), gpu["vector"], gpu["bandwidth"])
        if reach < gpu["vector"]:
            names.append(name)
    return names


memory_bound = {name: find_memory_bound(list_operations(), gpu) for name, gpu in GPUS.items()}

# %% exercise="memory_bound" wrong="alphabetical"
"""The names are sorted and not in the order of the table."""
def find_memory_bound(operations, gpu):
    names = []
    for name, (flops, moved, unit) in operations.items():
        reach = roofline(torch.tensor(flops / moved, dtype=torch.float64), gpu[unit], gpu["bandwidth"])
        if reach < gpu[unit]:
            names.append(name)
    return sorted(names)


memory_bound = {name: find_memory_bound(list_operations(), gpu) for name, gpu in GPUS.items()}

# %% exercise="memory_bound" wrong="by_intensity"
"""The names are ordered by intensity and not as in the table."""
def find_memory_bound(operations, gpu):
    names = []
    for name, (flops, moved, unit) in operations.items():
        reach = roofline(torch.tensor(flops / moved, dtype=torch.float64), gpu[unit], gpu["bandwidth"])
        if reach < gpu[unit]:
            names.append(name)
    return sorted(names, key=lambda name: operations[name][0] / operations[name][1])


memory_bound = {name: find_memory_bound(list_operations(), gpu) for name, gpu in GPUS.items()}

# %% exercise="memory_bound" wrong="a_set"
"""A set and not a list."""
def find_memory_bound(operations, gpu):
    names = []
    for name, (flops, moved, unit) in operations.items():
        reach = roofline(torch.tensor(flops / moved, dtype=torch.float64), gpu[unit], gpu["bandwidth"])
        if reach < gpu[unit]:
            names.append(name)
    return set(names)


memory_bound = {name: find_memory_bound(list_operations(), gpu) for name, gpu in GPUS.items()}

# %% exercise="memory_bound" wrong="table_emptied"
"""Right list, but the caller's dict loses its compute-bound operations."""
def find_memory_bound(operations, gpu):
    for name in list(operations):
        flops, moved, unit = operations[name]
        if not flops * gpu["bandwidth"] < gpu[unit] * moved:
            del operations[name]
    return list(operations)


memory_bound = {name: find_memory_bound(list_operations(), gpu) for name, gpu in GPUS.items()}

# %% exercise="memory_bound" wrong="compute_bound_ones"
"""The compute-bound operations are listed."""
def find_memory_bound(operations, gpu):
    names = []
    for name, (flops, moved, unit) in operations.items():
        reach = roofline(torch.tensor(flops / moved, dtype=torch.float64), gpu[unit], gpu["bandwidth"])
        if reach >= gpu[unit]:
            names.append(name)
    return names


memory_bound = {name: find_memory_bound(list_operations(), gpu) for name, gpu in GPUS.items()}

# %% exercise="memory_bound" wrong="rounded_ridge"
"""The ridge is rounded to whole FLOP per byte: operations between 9 and 9.56 change sides on the A100."""
def find_memory_bound(operations, gpu):
    return [
        name for name, (flops, moved, unit) in operations.items() if flops // moved < gpu[unit] // gpu["bandwidth"]
    ]


memory_bound = {name: find_memory_bound(list_operations(), gpu) for name, gpu in GPUS.items()}

# %% exercise="memory_bound" wrong="finding_of_one_gpu"
"""The function is right, but the finding holds the A100's list under both names."""
def find_memory_bound(operations, gpu):
    names = []
    for name, (flops, moved, unit) in operations.items():
        reach = roofline(torch.tensor(flops / moved, dtype=torch.float64), gpu[unit], gpu["bandwidth"])
        if reach < gpu[unit]:
            names.append(name)
    return names


memory_bound = dict.fromkeys(GPUS, find_memory_bound(list_operations(), GPUS["A100 SXM 80GB"]))

# %% exercise="memory_bound" wrong="finding_is_a_list"
"""The function is right, but the finding is one list and not a dict with the name of each GPU."""
def find_memory_bound(operations, gpu):
    names = []
    for name, (flops, moved, unit) in operations.items():
        reach = roofline(torch.tensor(flops / moved, dtype=torch.float64), gpu[unit], gpu["bandwidth"])
        if reach < gpu[unit]:
            names.append(name)
    return names


memory_bound = find_memory_bound(list_operations(), GPUS["H100 SXM"])

# %% exercise="leaky_relu" wrong="at_least_one_program"
"""max(1, n // block): right for n < block, but n = 300 with blocks of 256 leaves 44 elements out."""
@triton.jit
def leaky_relu_kernel(x_ptr, out_ptr, n, slope, BLOCK: tl.constexpr):
    start = tl.program_id(0) * BLOCK
    index = start + tl.arange(0, BLOCK)
    value = tl.load(x_ptr + index, mask=index < n)
    tl.store(out_ptr + index, tl.where(value > 0, value, slope * value), mask=index < n)


def leaky_relu(x, slope=0.01, block=256):
    out = torch.empty_like(x)
    n = x.numel()
    leaky_relu_kernel[(max(1, n // block),)](x, out, n, slope, BLOCK=block)
    return out

# %% exercise="leaky_relu" wrong="in_place"
"""The result is written over the caller's x."""
@triton.jit
def leaky_relu_kernel(x_ptr, out_ptr, n, slope, BLOCK: tl.constexpr):
    start = tl.program_id(0) * BLOCK
    index = start + tl.arange(0, BLOCK)
    value = tl.load(x_ptr + index, mask=index < n)
    tl.store(out_ptr + index, tl.where(value > 0, value, slope * value), mask=index < n)


def leaky_relu(x, slope=0.01, block=256):
    out = x
    n = x.numel()
    leaky_relu_kernel[(triton.cdiv(n, block),)](x, out, n, slope, BLOCK=block)
    return out

# %% exercise="leaky_relu" wrong="always_float32"
"""The result is float32 for float16 and float64 too."""
@triton.jit
def leaky_relu_kernel(x_ptr, out_ptr, n, slope, BLOCK: tl.constexpr):
    start = tl.program_id(0) * BLOCK
    index = start + tl.arange(0, BLOCK)
    value = tl.load(x_ptr + index, mask=index < n)
    tl.store(out_ptr + index, tl.where(value > 0, value, slope * value), mask=index < n)


def leaky_relu(x, slope=0.01, block=256):
    out = torch.empty(x.shape, dtype=torch.float32, device=x.device)
    n = x.numel()
    leaky_relu_kernel[(triton.cdiv(n, block),)](x, out, n, slope, BLOCK=block)
    return out

# %% exercise="leaky_relu" wrong="zeros_first"
"""zeros_like in place of empty_like: a fill by torch, a second launch."""
@triton.jit
def leaky_relu_kernel(x_ptr, out_ptr, n, slope, BLOCK: tl.constexpr):
    start = tl.program_id(0) * BLOCK
    index = start + tl.arange(0, BLOCK)
    value = tl.load(x_ptr + index, mask=index < n)
    tl.store(out_ptr + index, tl.where(value > 0, value, slope * value), mask=index < n)


def leaky_relu(x, slope=0.01, block=256):
    out = torch.zeros_like(x)
    n = x.numel()
    leaky_relu_kernel[(triton.cdiv(n, block),)](x, out, n, slope, BLOCK=block)
    return out

# %% exercise="leaky_relu" wrong="input_padded_by_torch"
"""x is padded to whole blocks by torch, and the result cut: a copy counts as a launch."""
@triton.jit
def leaky_relu_kernel(x_ptr, out_ptr, n, slope, BLOCK: tl.constexpr):
    start = tl.program_id(0) * BLOCK
    index = start + tl.arange(0, BLOCK)
    value = tl.load(x_ptr + index, mask=index < n)
    tl.store(out_ptr + index, tl.where(value > 0, value, slope * value), mask=index < n)


def leaky_relu(x, slope=0.01, block=256):
    out = torch.empty_like(x)
    n = x.numel()
    x = torch.nn.functional.pad(x, (0, -n % block))
    out = torch.empty_like(x)
    leaky_relu_kernel[(triton.cdiv(n, block),)](x, out, x.numel(), slope, BLOCK=block)
    return out[:n]

# %% exercise="leaky_relu" wrong="block_ignored"
"""One program with as many lanes as the vector needs: `block` is ignored."""
@triton.jit
def leaky_relu_kernel(x_ptr, out_ptr, n, slope, BLOCK: tl.constexpr):
    start = tl.program_id(0) * BLOCK
    index = start + tl.arange(0, BLOCK)
    value = tl.load(x_ptr + index, mask=index < n)
    tl.store(out_ptr + index, tl.where(value > 0, value, slope * value), mask=index < n)


def leaky_relu(x, slope=0.01, block=256):
    out = torch.empty_like(x)
    n = x.numel()
    block = triton.next_power_of_2(n)
    leaky_relu_kernel[(triton.cdiv(n, block),)](x, out, n, slope, BLOCK=block)
    return out

# %% exercise="leaky_relu" wrong="load_mask_lost"
"""The mask has moved from the load to the store: the load reads beyond the end."""
@triton.jit
def leaky_relu_kernel(x_ptr, out_ptr, n, slope, BLOCK: tl.constexpr):
    start = tl.program_id(0) * BLOCK
    index = start + tl.arange(0, BLOCK)
    value = tl.load(x_ptr + index)
    tl.store(out_ptr + index, tl.where(value > 0, value, slope * value), mask=index < n)


def leaky_relu(x, slope=0.01, block=256):
    out = torch.empty_like(x)
    n = x.numel()
    leaky_relu_kernel[(triton.cdiv(n, block),)](x, out, n, slope, BLOCK=block)
    return out

# %% exercise="leaky_relu" wrong="one_program_too_many"
"""n // block + 1 programs and the mask index <= n: element n is read and written."""
@triton.jit
def leaky_relu_kernel(x_ptr, out_ptr, n, slope, BLOCK: tl.constexpr):
    start = tl.program_id(0) * BLOCK
    index = start + tl.arange(0, BLOCK)
    value = tl.load(x_ptr + index, mask=index <= n)
    tl.store(out_ptr + index, tl.where(value > 0, value, slope * value), mask=index <= n)


def leaky_relu(x, slope=0.01, block=256):
    out = torch.empty_like(x)
    n = x.numel()
    leaky_relu_kernel[(n // block + 1,)](x, out, n, slope, BLOCK=block)
    return out

# %% exercise="vector_add" wrong="helper_and_flipped_lanes"
"""A helper gives offsets and mask; the lanes run backwards; the program takes its block from the end."""
@triton.jit
def mine(n, BLOCK: tl.constexpr):
    last = tl.num_programs(0) - 1
    offsets = (last - tl.program_id(0)) * BLOCK + (BLOCK - 1 - tl.arange(0, BLOCK))
    return offsets, offsets < n


@triton.jit
def vector_add_kernel(x_ptr, y_ptr, out_ptr, n, x_stride, y_stride, BLOCK: tl.constexpr):
    offsets, mask = mine(n, BLOCK)
    y = tl.load(y_ptr + offsets * y_stride, mask=mask)
    x = tl.load(x_ptr + offsets * x_stride, mask=mask)
    tl.store(out_ptr + offsets, y + x, mask=mask)


def vector_add(x, y, block=256):
    (n,) = x.shape
    out = x.new_empty(n)
    vector_add_kernel[((n + block - 1) // block,)](x, y, out, n, *x.stride(), *y.stride(), BLOCK=block)
    return out

# %% exercise="fix_the_stub" wrong="alias_is_no_copy"
"""y = x makes no copy, so += doubles the caller's numbers; breaks "belongs to the caller and stays as it is" and "as a new tensor"."""
def fix_the_stub(x):
    y = x
    y += x
    return y

# %% exercise="fix_the_stub" wrong="squared"
"""Squares instead of doubling (the same for 0 and 2 only); breaks "Twice every number"."""
def fix_the_stub(x):
    return x**2

# %% exercise="fix_the_stub" wrong="always_float32"
"""Converts to float32 and leaves it there; breaks "same shape and dtype" for float64, float16 and bfloat16."""
def fix_the_stub(x):
    return 2 * x.float()

# %% exercise="fix_the_stub" wrong="through_float32"
"""The dtype is right, but float64 numbers pass through float32 and lose half of their digits; breaks "2 x" for float64."""
def fix_the_stub(x):
    return (2 * x.to(torch.float32)).to(x.dtype)

# %% exercise="fix_the_stub" wrong="row_by_row_2"
"""Iterates over the first axis, so a tensor of shape () raises; breaks "float tensor of any shape"."""
def fix_the_stub(x):
    return torch.stack([2 * row for row in x])

# %% exercise="fix_the_stub" wrong="list_habit"
"""Takes "twice" for repetition, as 2 * [1, 2] does with a list; breaks "same shape" and "Twice every number"."""
def fix_the_stub(x):
    return torch.cat([x.flatten(), x.flatten()])

# %% exercise="fix_the_stub" wrong="single_number_gets_an_axis"
"""Right except for a single number, which comes back with shape (1,); breaks "same shape" for shape ()."""
def fix_the_stub(x):
    return torch.atleast_1d(x) * 2

# %% exercise="program_offsets" wrong="mask_of_the_lanes"
"""Compares the lane numbers with n, so every lane of a later program seems to exist; breaks "True where the lane's element exists"."""
def program_offsets(pid, block, n):
    lanes = torch.arange(block)
    offsets = pid * block + lanes
    mask = lanes < n
    return offsets, mask

# %% exercise="program_offsets" wrong="element_n_exists"
"""<= lets element n through; breaks "element numbers are 0 ... n-1"."""
def program_offsets(pid, block, n):
    offsets = pid * block + torch.arange(block)
    return offsets, offsets <= n

# %% exercise="program_offsets" wrong="pid_from_one"
"""Counts programs from 1, so program 0 gets negative numbers; breaks "number of the program, counted from 0"."""
def program_offsets(pid, block, n):
    offsets = torch.arange((pid - 1) * block, pid * block)
    return offsets, (offsets >= 0) & (offsets < n)

# %% exercise="program_offsets" wrong="interleaved_2"
"""Deals the elements out like cards (pid, pid + programs, ...); breaks "the pid-th run of block consecutive element numbers"."""
def program_offsets(pid, block, n):
    programs = -(-n // block)
    offsets = pid + torch.arange(block) * programs
    return offsets, offsets < n

# %% exercise="program_offsets" wrong="int32_offsets"
"""Uses the int32 of tl.arange for the result; breaks "offsets (block,) int64"."""
def program_offsets(pid, block, n):
    offsets = torch.arange(pid * block, (pid + 1) * block, dtype=torch.int32)
    return offsets, offsets < n

# %% exercise="program_offsets" wrong="int32_wraps_around"
"""Multiplies in int32 as Triton does and widens too late, so from element 2**31 on the numbers are negative; breaks "the pid-th run" for large n ("any number")."""
def program_offsets(pid, block, n):
    first = torch.tensor(pid, dtype=torch.int32) * torch.tensor(block, dtype=torch.int32)
    offsets = (first + torch.arange(block, dtype=torch.int32)).to(torch.int64)
    return offsets, offsets < n

# %% exercise="program_offsets" wrong="surplus_lanes_cut_off"
"""The last program gets fewer lanes instead of masked ones; breaks "offsets (block,)", also where n is smaller than block."""
def program_offsets(pid, block, n):
    offsets = torch.arange(block) + pid * block
    offsets = offsets[offsets < n]
    return offsets, torch.ones_like(offsets, dtype=torch.bool)

# %% exercise="program_offsets" wrong="clamped_to_the_last_element"
"""Clamps surplus offsets to n-1 so that they are safe to read; breaks "consecutive element numbers" (the offsets include those that do not exist)."""
def program_offsets(pid, block, n):
    offsets = pid * block + torch.arange(block)
    mask = offsets < n
    return offsets.clamp(max=n - 1), mask

# %% exercise="program_offsets" wrong="mask_of_ones_and_zeros"
"""The mask holds the numbers 1 and 0 in int64; breaks "mask (block,) bool"."""
def program_offsets(pid, block, n):
    offsets = pid * block + torch.arange(block)
    mask = torch.where(offsets < n, 1, 0)
    return offsets, mask

# %% exercise="program_offsets" wrong="only_the_last_program_is_masked"
"""Treats the partly full program specially and believes all others full, those beyond n too; breaks "True where the lane's element exists"."""
def program_offsets(pid, block, n):
    offsets = pid * block + torch.arange(block)
    if pid == n // block:
        mask = torch.arange(block) < n % block
    else:
        mask = torch.ones(block, dtype=torch.bool)
    return offsets, mask

# %% exercise="count_bytes" wrong="inputs_broadcast_first"
"""Counts every input at the broadcast size; breaks "An input counts at the size it is stored in"."""
def count_bytes(inputs, out_dtype):
    shape = torch.broadcast_shapes(*(s for s, _ in inputs))
    elements = math.prod(shape)
    return sum(elements * dtype.itemsize for _, dtype in inputs) + elements * out_dtype.itemsize

# %% exercise="count_bytes" wrong="result_like_the_first_input"
"""Gives the result the shape of the first input; breaks "its shape is the broadcast of all input shapes" when the small one comes first."""
def count_bytes(inputs, out_dtype):
    read = sum(math.prod(shape) * dtype.itemsize for shape, dtype in inputs)
    written = math.prod(inputs[0][0]) * out_dtype.itemsize
    return read + written

# %% exercise="count_bytes" wrong="result_like_the_largest_input"
"""Gives the result as many elements as the largest input has; breaks "the broadcast of all input shapes" for (9, 1) with (1, 24)."""
def count_bytes(inputs, out_dtype):
    sizes = [math.prod(shape) for shape, _ in inputs]
    read = sum(size * dtype.itemsize for size, (_, dtype) in zip(sizes, inputs))
    return read + max(sizes) * out_dtype.itemsize

# %% exercise="count_bytes" wrong="one_itemsize_for_all"
"""Takes the result's bytes per element for the inputs too; breaks "(shape, dtype), one per input tensor" where dtypes differ."""
def count_bytes(inputs, out_dtype):
    shapes = [shape for shape, _ in inputs]
    elements = sum(math.prod(s) for s in shapes) + math.prod(torch.broadcast_shapes(*shapes))
    return elements * out_dtype.itemsize

# %% exercise="count_bytes" wrong="single_number_is_free"
"""An empty shape is falsy and counts nothing; breaks "() is one number"."""
def count_bytes(inputs, out_dtype):
    total = 0
    for shape, dtype in inputs:
        if shape:
            total += math.prod(shape) * dtype.itemsize
    out_shape = torch.broadcast_shapes(*[shape for shape, _ in inputs])
    return total + math.prod(out_shape) * out_dtype.itemsize

# %% exercise="count_bytes" wrong="appends_to_the_callers_list"
"""Puts the result into the caller's list to sum in one go, so a second call counts more; breaks "The arguments belong to the caller and stay as they are"."""
def count_bytes(inputs, out_dtype):
    tensors = inputs
    tensors.append((torch.broadcast_shapes(*[shape for shape, _ in inputs]), out_dtype))
    return sum(math.prod(shape) * dtype.itemsize for shape, dtype in tensors)

# %% exercise="count_bytes" wrong="equal_inputs_merged"
"""A set drops an input that has the shape and dtype of another one; breaks "one per input tensor" and "every input element read once"."""
def count_bytes(inputs, out_dtype):
    read = sum(math.prod(shape) * dtype.itemsize for shape, dtype in set(inputs))
    out = torch.broadcast_shapes(*(shape for shape, _ in inputs))
    return read + math.prod(out) * out_dtype.itemsize

# %% exercise="count_bytes" wrong="reads_the_line_before_writing"
"""Counts the result twice, as a CPU cache that reads a line before it writes; breaks "every result written once"."""
def count_bytes(inputs, out_dtype):
    shapes = [shape for shape, _ in inputs]
    out = math.prod(torch.broadcast_shapes(*shapes)) * out_dtype.itemsize
    read = sum(math.prod(shape) * dtype.itemsize for shape, dtype in inputs) + out
    return read + out

# %% exercise="count_bytes" wrong="finfo_knows_no_bool"
"""torch.finfo has no answer for bool and integers and raises; breaks "out_dtype torch.dtype" (the text: "a bool has 1")."""
def count_bytes(inputs, out_dtype):
    def size(dtype):
        return torch.finfo(dtype).bits // 8

    out_shape = torch.broadcast_shapes(*[s for s, _ in inputs])
    return sum(math.prod(s) * size(d) for s, d in inputs) + math.prod(out_shape) * size(out_dtype)

# %% exercise="count_bytes" wrong="summed_in_float32"
"""Sums in a float32 tensor, which is exact to 2**24 only; breaks "Fewest bytes ... returns int" for large odd sizes."""
def count_bytes(inputs, out_dtype):
    out = (torch.broadcast_shapes(*(s for s, _ in inputs)), out_dtype)
    sizes = [float(math.prod(s) * d.itemsize) for s, d in [*inputs, out]]
    return int(torch.tensor(sizes).sum())

# %% exercise="roofline" wrong="the_higher_roof"
"""Takes the larger of the two limits; breaks "No operation gets more than that, and none gets more than peak"."""
def roofline(intensity, peak, bandwidth):
    return torch.clamp(intensity * bandwidth, min=peak)

# %% exercise="roofline" wrong="one_after_the_other"
"""Adds the time of the transfers to that of the arithmetic, which gives half the peak on the ridge; breaks "Arithmetic and transfers run at the same time"."""
def roofline(intensity, peak, bandwidth):
    seconds_per_byte = intensity / peak + 1 / bandwidth
    return intensity / seconds_per_byte

# %% exercise="roofline" wrong="divides_by_bandwidth"
"""Divides FLOP/byte by byte/s; breaks "returns FLOP/s" (the memory feeds I * bandwidth)."""
def roofline(intensity, peak, bandwidth):
    return (intensity / bandwidth).clamp(max=peak)

# %% exercise="roofline" wrong="clamped_before_the_product"
"""Clamps the intensity at peak and multiplies afterwards, so the roof is peak * bandwidth; breaks "The most FLOP/s", none gets more than peak."""
def roofline(intensity, peak, bandwidth):
    return intensity.clamp(max=peak) * bandwidth

# %% exercise="roofline" wrong="one_verdict_for_all"
"""Decides once, by the largest intensity, for the whole tensor; breaks "(...) FLOP/s, same shape": each number has its own limit."""
def roofline(intensity, peak, bandwidth):
    if intensity.max() * bandwidth < peak:
        return intensity * bandwidth
    return torch.full_like(intensity, peak)

# %% exercise="roofline" wrong="ridge_rounded_down"
"""Rounds the ridge to a whole number, so intensities between it and the ridge get the peak; breaks "the memory can feed at most I * bandwidth"."""
def roofline(intensity, peak, bandwidth):
    ridge = peak // bandwidth
    return torch.where(intensity < ridge, intensity * bandwidth, torch.full_like(intensity, peak))

# %% exercise="roofline" wrong="answers_in_float64"
"""Computes in float64 for safety and does not go back; breaks "same shape and dtype as intensity"."""
def roofline(intensity, peak, bandwidth):
    feed = intensity.double() * bandwidth
    return torch.minimum(feed, torch.full_like(feed, peak))

# %% exercise="roofline" wrong="flattened"
"""Goes through the numbers one by one and forgets to restore the shape; breaks "(...) same shape", for () as well."""
def roofline(intensity, peak, bandwidth):
    return torch.stack([torch.clamp(i * bandwidth, max=peak) for i in intensity.flatten()])

# %% exercise="roofline" wrong="no_zero_allowed"
"""Lifts small intensities to 0.01 against a division by zero that is not there; breaks "FLOP per byte, >= 0": at 0 the limit is 0."""
def roofline(intensity, peak, bandwidth):
    safe = intensity.clamp(min=0.01)
    return torch.minimum(safe * bandwidth, torch.full_like(safe, peak))

# %% exercise="roofline" wrong="cuts_the_callers_numbers"
"""Writes the ridge into the caller's tensor by an index; breaks "The arguments belong to the caller and stay as they are"."""
def roofline(intensity, peak, bandwidth):
    reached = intensity * bandwidth
    too_much = reached > peak
    intensity[too_much] = peak / bandwidth
    reached[too_much] = peak
    return reached

# %% exercise="vector_add" wrong="store_without_mask_2"
"""Stores all lanes; breaks "Nothing is written beyond element n-1"."""
@triton.jit
def vector_add_kernel(x_ptr, y_ptr, out_ptr, n, x_stride, y_stride, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
    x = tl.load(x_ptr + offsets * x_stride, mask=mask)
    y = tl.load(y_ptr + offsets * y_stride, mask=mask)
    tl.store(out_ptr + offsets, x + y)


def vector_add(x, y, block=256):
    n = x.shape[0]
    out = torch.empty(n, dtype=x.dtype, device=x.device)
    grid = (triton.cdiv(n, block),)
    vector_add_kernel[grid](x, y, out, n, x.stride(0), y.stride(0), BLOCK=block)
    return out

# %% exercise="vector_add" wrong="loads_without_mask"
"""Masks the store alone, since "only writing does harm"; breaks "A program must not read it and above all must not write it"."""
@triton.jit
def vector_add_kernel(x_ptr, y_ptr, out_ptr, n, x_stride, y_stride, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + offsets * x_stride)
    y = tl.load(y_ptr + offsets * y_stride)
    tl.store(out_ptr + offsets, x + y, mask=offsets < n)


def vector_add(x, y, block=256):
    n = x.shape[0]
    out = torch.empty(n, dtype=x.dtype, device=x.device)
    grid = (triton.cdiv(n, block),)
    vector_add_kernel[grid](x, y, out, n, x.stride(0), y.stride(0), BLOCK=block)
    return out

# %% exercise="vector_add" wrong="tutorial_without_strides"
"""The kernel of the Triton tutorial, for dense vectors; breaks "element i lies i * stride further on"."""
@triton.jit
def vector_add_kernel(x_ptr, y_ptr, out_ptr, n, x_stride, y_stride, BLOCK: tl.constexpr):
    pid = tl.program_id(axis=0)
    block_start = pid * BLOCK
    offsets = block_start + tl.arange(0, BLOCK)
    mask = offsets < n
    x = tl.load(x_ptr + offsets, mask=mask)
    y = tl.load(y_ptr + offsets, mask=mask)
    output = x + y
    tl.store(out_ptr + offsets, output, mask=mask)


def vector_add(x, y, block=256):
    n = x.shape[0]
    out = torch.empty(n, dtype=x.dtype, device=x.device)
    grid = (triton.cdiv(n, block),)
    vector_add_kernel[grid](x, y, out, n, x.stride(0), y.stride(0), BLOCK=block)
    return out

# %% exercise="vector_add" wrong="y_with_the_stride_of_x"
"""One address vector for both inputs; breaks "x_stride, y_stride  elements from one input element to the next" where the two differ."""
@triton.jit
def vector_add_kernel(x_ptr, y_ptr, out_ptr, n, x_stride, y_stride, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
    at = offsets * x_stride
    tl.store(out_ptr + offsets, tl.load(x_ptr + at, mask=mask) + tl.load(y_ptr + at, mask=mask), mask=mask)


def vector_add(x, y, block=256):
    n = x.shape[0]
    out = torch.empty(n, dtype=x.dtype, device=x.device)
    grid = (triton.cdiv(n, block),)
    vector_add_kernel[grid](x, y, out, n, x.stride(0), y.stride(0), BLOCK=block)
    return out

# %% exercise="vector_add" wrong="mask_of_the_address"
"""Compares the address i * stride with n and not the element number, so strided vectors end early; breaks "n  elements in each"."""
@triton.jit
def vector_add_kernel(x_ptr, y_ptr, out_ptr, n, x_stride, y_stride, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x_offsets = offsets * x_stride
    y_offsets = offsets * y_stride
    x = tl.load(x_ptr + x_offsets, mask=x_offsets < n, other=0)
    y = tl.load(y_ptr + y_offsets, mask=y_offsets < n, other=0)
    tl.store(out_ptr + offsets, x + y, mask=offsets < n)


def vector_add(x, y, block=256):
    n = x.shape[0]
    out = torch.empty(n, dtype=x.dtype, device=x.device)
    grid = (triton.cdiv(n, block),)
    vector_add_kernel[grid](x, y, out, n, x.stride(0), y.stride(0), BLOCK=block)
    return out

# %% exercise="vector_add" wrong="result_with_the_stride_of_x"
"""Stores at the stride of x; breaks "the result, which is dense (stride 1)"."""
@triton.jit
def vector_add_kernel(x_ptr, y_ptr, out_ptr, n, x_stride, y_stride, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    exists = i < n
    x = tl.load(x_ptr + i * x_stride, mask=exists)
    y = tl.load(y_ptr + i * y_stride, mask=exists)
    tl.store(out_ptr + i * x_stride, x + y, mask=exists)


def vector_add(x, y, block=256):
    n = x.shape[0]
    out = torch.empty(n, dtype=x.dtype, device=x.device)
    grid = (triton.cdiv(n, block),)
    vector_add_kernel[grid](x, y, out, n, x.stride(0), y.stride(0), BLOCK=block)
    return out

# %% exercise="vector_add" wrong="contiguous_copies_first"
"""Right numbers, but a strided input is copied by torch before the launch; breaks "One launch; copies ... by torch count as launches"."""
@triton.jit
def vector_add_kernel(x_ptr, y_ptr, out_ptr, n, x_stride, y_stride, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
    x = tl.load(x_ptr + offsets * x_stride, mask=mask)
    y = tl.load(y_ptr + offsets * y_stride, mask=mask)
    tl.store(out_ptr + offsets, x + y, mask=mask)


def vector_add(x, y, block=256):
    x, y = x.contiguous(), y.contiguous()
    n = x.shape[0]
    out = torch.empty(n, dtype=x.dtype, device=x.device)
    grid = (triton.cdiv(n, block),)
    vector_add_kernel[grid](x, y, out, n, x.stride(0), y.stride(0), BLOCK=block)
    return out

# %% exercise="vector_add" wrong="one_program_does_it_all"
"""Right numbers from a loop in a single program; breaks "At least one program for every four blocks" from five blocks on."""
@triton.jit
def vector_add_kernel(x_ptr, y_ptr, out_ptr, n, x_stride, y_stride, BLOCK: tl.constexpr):
    for start in range(0, n, BLOCK):
        offsets = start + tl.arange(0, BLOCK)
        mask = offsets < n
        x = tl.load(x_ptr + offsets * x_stride, mask=mask)
        y = tl.load(y_ptr + offsets * y_stride, mask=mask)
        tl.store(out_ptr + offsets, x + y, mask=mask)


def vector_add(x, y, block=256):
    n = x.shape[0]
    out = torch.empty(n, dtype=x.dtype, device=x.device)
    vector_add_kernel[(1,)](x, y, out, n, x.stride(0), y.stride(0), BLOCK=block)
    return out

# %% exercise="vector_add" wrong="always_256_lanes"
"""256 lanes whatever BLOCK says, so with another block programs overlap or leave gaps; breaks "BLOCK  lanes of a program"."""
@triton.jit
def vector_add_kernel(x_ptr, y_ptr, out_ptr, n, x_stride, y_stride, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, 256)
    mask = offsets < n
    x = tl.load(x_ptr + offsets * x_stride, mask=mask)
    y = tl.load(y_ptr + offsets * y_stride, mask=mask)
    tl.store(out_ptr + offsets, x + y, mask=mask)


def vector_add(x, y, block=256):
    n = x.shape[0]
    out = torch.empty(n, dtype=x.dtype, device=x.device)
    grid = (triton.cdiv(n, block),)
    vector_add_kernel[grid](x, y, out, n, x.stride(0), y.stride(0), BLOCK=block)
    return out

# %% exercise="vector_add" wrong="adds_in_float32"
"""Casts both inputs to float32 before the sum, which costs float64 and large int32 numbers their last digits; breaks "x + y ... of one dtype" (the dtype of the inputs is the precision asked for)."""
@triton.jit
def vector_add_kernel(x_ptr, y_ptr, out_ptr, n, x_stride, y_stride, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
    x = tl.load(x_ptr + offsets * x_stride, mask=mask).to(tl.float32)
    y = tl.load(y_ptr + offsets * y_stride, mask=mask).to(tl.float32)
    tl.store(out_ptr + offsets, (x + y).to(out_ptr.dtype.element_ty), mask=mask)


def vector_add(x, y, block=256):
    n = x.shape[0]
    out = torch.empty(n, dtype=x.dtype, device=x.device)
    grid = (triton.cdiv(n, block),)
    vector_add_kernel[grid](x, y, out, n, x.stride(0), y.stride(0), BLOCK=block)
    return out

# %% exercise="vector_add" wrong="stride_zero_becomes_one"
"""Takes stride 0 (one number expanded to a vector) for "not given" and uses 1; breaks "x, y (n,) of one dtype, any stride"."""
@triton.jit
def vector_add_kernel(x_ptr, y_ptr, out_ptr, n, x_stride, y_stride, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
    x = tl.load(x_ptr + offsets * x_stride, mask=mask)
    y = tl.load(y_ptr + offsets * y_stride, mask=mask)
    tl.store(out_ptr + offsets, x + y, mask=mask)


def vector_add(x, y, block=256):
    n = x.shape[0]
    out = torch.empty(n, dtype=x.dtype, device=x.device)
    grid = (triton.cdiv(n, block),)
    vector_add_kernel[grid](x, y, out, n, x.stride(0) or 1, y.stride(0) or 1, BLOCK=block)
    return out

# %% exercise="fused_scale_add" wrong="alpha_on_y"
"""Scales the second vector, as torch.add(x, y, alpha=alpha) does; breaks "alpha * x + y"."""
@triton.jit
def fused_scale_add_kernel(x_ptr, y_ptr, out_ptr, n, alpha, x_stride, y_stride, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
    x = tl.load(x_ptr + offsets * x_stride, mask=mask)
    y = tl.load(y_ptr + offsets * y_stride, mask=mask)
    tl.store(out_ptr + offsets, x + alpha * y, mask=mask)


def fused_scale_add(x, y, alpha, block=256):
    n = x.shape[0]
    out = torch.empty(n, dtype=x.dtype, device=x.device)
    grid = (triton.cdiv(n, block),)
    fused_scale_add_kernel[grid](x, y, out, n, alpha, x.stride(0), y.stride(0), BLOCK=block)
    return out

# %% exercise="fused_scale_add" wrong="scales_the_sum_2"
"""Parentheses in the wrong place: alpha * (x + y); breaks "alpha * x + y"."""
@triton.jit
def fused_scale_add_kernel(x_ptr, y_ptr, out_ptr, n, alpha, x_stride, y_stride, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
    x = tl.load(x_ptr + offsets * x_stride, mask=mask)
    y = tl.load(y_ptr + offsets * y_stride, mask=mask)
    tl.store(out_ptr + offsets, alpha * (x + y), mask=mask)


def fused_scale_add(x, y, alpha, block=256):
    n = x.shape[0]
    out = torch.empty(n, dtype=x.dtype, device=x.device)
    fused_scale_add_kernel[(triton.cdiv(n, block),)](x, y, out, n, alpha, x.stride(0), y.stride(0), BLOCK=block)
    return out

# %% exercise="fused_scale_add" wrong="grid_for_the_default_block"
"""The grid is worked out for blocks of 256 whatever `block` is, so smaller blocks leave the end undone; breaks "Launch enough programs for all n elements"."""
@triton.jit
def fused_scale_add_kernel(x_ptr, y_ptr, out_ptr, n, alpha, x_stride, y_stride, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
    x = tl.load(x_ptr + offsets * x_stride, mask=mask)
    y = tl.load(y_ptr + offsets * y_stride, mask=mask)
    tl.store(out_ptr + offsets, alpha * x + y, mask=mask)


def fused_scale_add(x, y, alpha, block=256):
    n = x.shape[0]
    out = torch.empty(n, dtype=x.dtype, device=x.device)
    grid = (triton.cdiv(n, 256),)
    fused_scale_add_kernel[grid](x, y, out, n, alpha, x.stride(0), y.stride(0), BLOCK=block)
    return out

# %% exercise="fused_scale_add" wrong="torch_scales_first"
"""torch computes alpha * x and the kernel only adds, so there are two kernels; breaks "alpha * x + y in one kernel" and "One launch"."""
@triton.jit
def fused_scale_add_kernel(x_ptr, y_ptr, out_ptr, n, alpha, x_stride, y_stride, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
    x = tl.load(x_ptr + offsets * x_stride, mask=mask)
    y = tl.load(y_ptr + offsets * y_stride, mask=mask)
    tl.store(out_ptr + offsets, x + y, mask=mask)


def fused_scale_add(x, y, alpha, block=256):
    n = x.shape[0]
    out = torch.empty(n, dtype=x.dtype, device=x.device)
    x = alpha * x
    fused_scale_add_kernel[(triton.cdiv(n, block),)](x, y, out, n, alpha, x.stride(0), y.stride(0), BLOCK=block)
    return out

# %% exercise="fused_scale_add" wrong="intermediate_through_memory"
"""One launch, but alpha * x is stored in out and read back; breaks "in one pass over memory"."""
@triton.jit
def fused_scale_add_kernel(x_ptr, y_ptr, out_ptr, n, alpha, x_stride, y_stride, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
    tl.store(out_ptr + offsets, alpha * tl.load(x_ptr + offsets * x_stride, mask=mask), mask=mask)
    scaled = tl.load(out_ptr + offsets, mask=mask)
    tl.store(out_ptr + offsets, scaled + tl.load(y_ptr + offsets * y_stride, mask=mask), mask=mask)


def fused_scale_add(x, y, alpha, block=256):
    n = x.shape[0]
    out = torch.empty(n, dtype=x.dtype, device=x.device)
    fused_scale_add_kernel[(triton.cdiv(n, block),)](x, y, out, n, alpha, x.stride(0), y.stride(0), BLOCK=block)
    return out

# %% exercise="fused_scale_add" wrong="float16_for_every_dtype"
"""Rounds alpha * x to float16 in any case; that is allowed "for float16" and breaks float32, float64 and bfloat16 (3 digits, overflow from 65520 on)."""
@triton.jit
def fused_scale_add_kernel(x_ptr, y_ptr, out_ptr, n, alpha, x_stride, y_stride, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
    x = tl.load(x_ptr + offsets * x_stride, mask=mask)
    y = tl.load(y_ptr + offsets * y_stride, mask=mask)
    scaled = (alpha * x).to(tl.float16)
    tl.store(out_ptr + offsets, scaled + y, mask=mask)


def fused_scale_add(x, y, alpha, block=256):
    n = x.shape[0]
    out = torch.empty(n, dtype=x.dtype, device=x.device)
    grid = (triton.cdiv(n, block),)
    fused_scale_add_kernel[grid](x, y, out, n, alpha, x.stride(0), y.stride(0), BLOCK=block)
    return out

# %% exercise="fused_scale_add" wrong="converts_half_inputs"
"""The launcher widens float16 inputs to float32 with torch (float32 ones pass unchanged); breaks "copies, conversions and fills by torch count as launches"."""
@triton.jit
def fused_scale_add_kernel(x_ptr, y_ptr, out_ptr, n, alpha, x_stride, y_stride, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
    x = tl.load(x_ptr + offsets * x_stride, mask=mask)
    y = tl.load(y_ptr + offsets * y_stride, mask=mask)
    tl.store(out_ptr + offsets, alpha * x + y, mask=mask)


def fused_scale_add(x, y, alpha, block=256):
    n = x.shape[0]
    out = torch.empty(n, dtype=x.dtype, device=x.device)
    if x.dtype in (torch.float16, torch.bfloat16):
        x, y = x.float(), y.float()
    grid = (triton.cdiv(n, block),)
    fused_scale_add_kernel[grid](x, y, out, n, alpha, x.stride(0), y.stride(0), BLOCK=block)
    return out

# %% exercise="fused_scale_add" wrong="alpha_in_a_tensor"
"""Puts alpha into memory with torch.full and loads it in every program; breaks "fills by torch count as launches" (and "alpha: a number")."""
@triton.jit
def fused_scale_add_kernel(x_ptr, y_ptr, out_ptr, n, alpha, x_stride, y_stride, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
    factor = tl.load(alpha)
    x = tl.load(x_ptr + offsets * x_stride, mask=mask)
    y = tl.load(y_ptr + offsets * y_stride, mask=mask)
    tl.store(out_ptr + offsets, factor * x + y, mask=mask)


def fused_scale_add(x, y, alpha, block=256):
    n = x.shape[0]
    out = torch.empty(n, dtype=x.dtype, device=x.device)
    alpha = torch.full((1,), alpha, dtype=torch.float32, device=x.device)
    grid = (triton.cdiv(n, block),)
    fused_scale_add_kernel[grid](x, y, out, n, alpha, x.stride(0), y.stride(0), BLOCK=block)
    return out

# %% exercise="fused_scale_add" wrong="stride_for_the_start_only"
"""Moves the pointer to the program's first element by the stride and then reads neighbours; breaks "any stride" (element i lies at i * stride)."""
@triton.jit
def fused_scale_add_kernel(x_ptr, y_ptr, out_ptr, n, alpha, x_stride, y_stride, BLOCK: tl.constexpr):
    start = tl.program_id(0) * BLOCK
    lanes = tl.arange(0, BLOCK)
    mask = start + lanes < n
    x = tl.load(x_ptr + start * x_stride + lanes, mask=mask)
    y = tl.load(y_ptr + start * y_stride + lanes, mask=mask)
    tl.store(out_ptr + start + lanes, alpha * x + y, mask=mask)


def fused_scale_add(x, y, alpha, block=256):
    n = x.shape[0]
    out = torch.empty(n, dtype=x.dtype, device=x.device)
    grid = (triton.cdiv(n, block),)
    fused_scale_add_kernel[grid](x, y, out, n, alpha, x.stride(0), y.stride(0), BLOCK=block)
    return out

# %% exercise="fused_scale_add" wrong="partial_program_skipped"
"""Only full programs work, the last partly full one returns without a word; breaks "n need not be a multiple of `block`"."""
@triton.jit
def fused_scale_add_kernel(x_ptr, y_ptr, out_ptr, n, alpha, x_stride, y_stride, BLOCK: tl.constexpr):
    start = tl.program_id(0) * BLOCK
    if start + BLOCK <= n:
        offsets = start + tl.arange(0, BLOCK)
        x = tl.load(x_ptr + offsets * x_stride)
        y = tl.load(y_ptr + offsets * y_stride)
        tl.store(out_ptr + offsets, alpha * x + y)


def fused_scale_add(x, y, alpha, block=256):
    n = x.shape[0]
    out = torch.empty(n, dtype=x.dtype, device=x.device)
    grid = (triton.cdiv(n, block),)
    fused_scale_add_kernel[grid](x, y, out, n, alpha, x.stride(0), y.stride(0), BLOCK=block)
    return out

# %% exercise="fused_scale_add" wrong="strides_swapped_in_the_launch"
"""The launcher passes y's stride before x's; breaks "any stride" where the two strides differ."""
@triton.jit
def fused_scale_add_kernel(x_ptr, y_ptr, out_ptr, n, alpha, x_stride, y_stride, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
    x = tl.load(x_ptr + offsets * x_stride, mask=mask)
    y = tl.load(y_ptr + offsets * y_stride, mask=mask)
    tl.store(out_ptr + offsets, alpha * x + y, mask=mask)


def fused_scale_add(x, y, alpha, block=256):
    n = x.shape[0]
    out = torch.empty(n, dtype=x.dtype, device=x.device)
    grid = (triton.cdiv(n, block),)
    fused_scale_add_kernel[grid](x, y, out, n, alpha, y.stride(0), x.stride(0), BLOCK=block)
    return out

# %% exercise="fusion_bytes" wrong="t_is_not_read_back"
"""The second kernel does not read t; breaks "one kernel computes t = alpha * x, a second one t + y"."""
def fusion_bytes(n, dtype):
    vector = n * dtype.itemsize
    first = 2 * vector  # x, t
    second = 2 * vector  # y, out
    return first + second, 3 * vector

# %% exercise="fusion_bytes" wrong="elements_instead_of_bytes"
"""Counts numbers, not bytes; breaks "Bytes moved"."""
def fusion_bytes(n, dtype):
    return 5 * n, 3 * n

# %% exercise="fusion_bytes" wrong="fused_comes_first"
"""The right two numbers in the wrong order; breaks "returns (unfused, fused)"."""
def fusion_bytes(n, dtype):
    vector = ((n,), dtype)
    fused = count_bytes([vector, vector], dtype)
    unfused = count_bytes([vector], dtype) + fused
    return fused, unfused

# %% exercise="fusion_bytes" wrong="alpha_is_read"
"""Counts alpha as an input of shape (); breaks "alpha travels with the launch and costs no memory traffic"."""
def fusion_bytes(n, dtype):
    vector, number = ((n,), dtype), ((), dtype)
    unfused = count_bytes([vector, number], dtype) + count_bytes([vector, vector], dtype)
    return unfused, count_bytes([vector, vector, number], dtype)

# %% exercise="fusion_bytes" wrong="two_kernels_twice_the_bytes"
"""Takes both kernels for two-input ones, so unfused is twice fused; breaks "one kernel computes t = alpha * x", which reads one vector."""
def fusion_bytes(n, dtype):
    fused = count_bytes([((n,), dtype), ((n,), dtype)], dtype)
    return 2 * fused, fused

# %% exercise="fusion_bytes" wrong="t_in_float32"
"""Keeps t in float32, as an accumulator would be; breaks "torch.dtype of x, y, the intermediate result and the result" for other dtypes."""
def fusion_bytes(n, dtype):
    x = ((n,), dtype)
    t = ((n,), torch.float32)
    unfused = count_bytes([x], torch.float32) + count_bytes([t, x], dtype)
    return unfused, count_bytes([x, x], dtype)

# %% exercise="fusion_bytes" wrong="four_bytes_always_2"
"""Assumes 4 bytes per number; breaks "dtype  torch.dtype of x, y, ..." for anything but 4-byte dtypes."""
def fusion_bytes(n, dtype):
    return n * 4 * (1 + 1 + 1 + 1 + 1), n * 4 * (1 + 1 + 1)

# %% exercise="fusion_bytes" wrong="small_t_stays_in_the_cache"
"""Lets a t of up to 16 KiB stay in the cache (true of the machine in section 7, not of the definition); breaks "Bytes moved ... in two kernels" for small n."""
def fusion_bytes(n, dtype):
    vector = n * dtype.itemsize
    t = 0 if vector <= 16 * 1024 else 2 * vector
    return 3 * vector + t, 3 * vector

# %% exercise="fusion_bytes" wrong="floats_from_a_division"
"""Scales one count by 5 / 3, so unfused is a float; breaks "a tuple of two ints"."""
def fusion_bytes(n, dtype):
    fused = 3 * n * dtype.itemsize
    return fused * 5 / 3, fused

# %% exercise="memory_bound" wrong="vector_peak_for_everything"
"""Compares every operation with the vector units' peak; breaks "below the peak of *its* unit"."""
def find_memory_bound(operations, gpu):
    names = []
    for name, (flops, moved, unit) in operations.items():
        intensity = torch.tensor(flops / moved, dtype=torch.float64)
        if roofline(intensity, gpu["vector"], gpu["bandwidth"]) < gpu["vector"]:
            names.append(name)
    return names


# The finding: a dict with the name of each GPU in GPUS -> its list of names. Your function fills it: leave this part.
memory_bound = None
if ready(lambda: list(find_memory_bound(list_operations(), GPUS["H100 SXM"]))):
    memory_bound = {name: find_memory_bound(list_operations(), gpu) for name, gpu in GPUS.items()}
    for operation in list_operations():
        sides = [f"{gpu}: {'memory-bound' if operation in memory_bound[gpu] else 'compute-bound'}" for gpu in GPUS]
        print(f"{operation:42}", *(f"{side:30}" for side in sides))

# %% exercise="memory_bound" wrong="ridge_counts_as_memory_bound"
"""<= puts an operation on the ridge among the memory-bound ones; breaks "On the ridge it reaches the peak"."""
def find_memory_bound(operations, gpu):
    return [
        name for name, (flops, moved, unit) in operations.items() if flops / moved <= gpu[unit] / gpu["bandwidth"]
    ]


# The finding: a dict with the name of each GPU in GPUS -> its list of names. Your function fills it: leave this part.
memory_bound = None
if ready(lambda: list(find_memory_bound(list_operations(), GPUS["H100 SXM"]))):
    memory_bound = {name: find_memory_bound(list_operations(), gpu) for name, gpu in GPUS.items()}
    for operation in list_operations():
        sides = [f"{gpu}: {'memory-bound' if operation in memory_bound[gpu] else 'compute-bound'}" for gpu in GPUS]
        print(f"{operation:42}", *(f"{side:30}" for side in sides))

# %% exercise="memory_bound" wrong="lists_the_compute_bound"
"""Lists the operations that reach the peak; breaks "Memory-bound: what the operation can reach is below the peak"."""
def find_memory_bound(operations, gpu):
    result = []
    for name, (flops, moved, unit) in operations.items():
        reach = roofline(torch.tensor(flops / moved, dtype=torch.float64), gpu[unit], gpu["bandwidth"])
        if reach >= gpu[unit]:
            result.append(name)
    return result


# The finding: a dict with the name of each GPU in GPUS -> its list of names. Your function fills it: leave this part.
memory_bound = None
if ready(lambda: list(find_memory_bound(list_operations(), GPUS["H100 SXM"]))):
    memory_bound = {name: find_memory_bound(list_operations(), gpu) for name, gpu in GPUS.items()}
    for operation in list_operations():
        sides = [f"{gpu}: {'memory-bound' if operation in memory_bound[gpu] else 'compute-bound'}" for gpu in GPUS]
        print(f"{operation:42}", *(f"{side:30}" for side in sides))

# %% exercise="memory_bound" wrong="sorted_by_intensity"
"""The right names, the most memory-bound first; breaks "in the order of the table"."""
def find_memory_bound(operations, gpu):
    def intensity(name):
        return operations[name][0] / operations[name][1]

    bound = [name for name in operations if intensity(name) < gpu[operations[name][2]] / gpu["bandwidth"]]
    return sorted(bound, key=intensity)


# The finding: a dict with the name of each GPU in GPUS -> its list of names. Your function fills it: leave this part.
memory_bound = None
if ready(lambda: list(find_memory_bound(list_operations(), GPUS["H100 SXM"]))):
    memory_bound = {name: find_memory_bound(list_operations(), gpu) for name, gpu in GPUS.items()}
    for operation in list_operations():
        sides = [f"{gpu}: {'memory-bound' if operation in memory_bound[gpu] else 'compute-bound'}" for gpu in GPUS]
        print(f"{operation:42}", *(f"{side:30}" for side in sides))

# %% exercise="memory_bound" wrong="float32_against_float"
"""Asks roofline in float32 and compares the rounded peak with the exact one, so operations at the peak seem to lie below it; breaks "below the peak of its unit"."""
def find_memory_bound(operations, gpu):
    names = []
    for name, (flops, moved, unit) in operations.items():
        reach = roofline(torch.tensor(flops / moved), gpu[unit], gpu["bandwidth"]).item()
        if reach < gpu[unit]:
            names.append(name)
    return names


# The finding: a dict with the name of each GPU in GPUS -> its list of names. Your function fills it: leave this part.
memory_bound = None
if ready(lambda: list(find_memory_bound(list_operations(), GPUS["H100 SXM"]))):
    memory_bound = {name: find_memory_bound(list_operations(), gpu) for name, gpu in GPUS.items()}
    for operation in list_operations():
        sides = [f"{gpu}: {'memory-bound' if operation in memory_bound[gpu] else 'compute-bound'}" for gpu in GPUS]
        print(f"{operation:42}", *(f"{side:30}" for side in sides))

# %% exercise="memory_bound" wrong="whole_intensities"
"""Divides with //, so an operation just right of the ridge falls to its left; breaks "what the operation can reach is below the peak" there (I = FLOPs / bytes)."""
def find_memory_bound(operations, gpu):
    names = []
    for name, (flops, moved, unit) in operations.items():
        intensity = torch.tensor(flops // moved, dtype=torch.float64)
        if roofline(intensity, gpu[unit], gpu["bandwidth"]) < gpu[unit]:
            names.append(name)
    return names


# The finding: a dict with the name of each GPU in GPUS -> its list of names. Your function fills it: leave this part.
memory_bound = None
if ready(lambda: list(find_memory_bound(list_operations(), GPUS["H100 SXM"]))):
    memory_bound = {name: find_memory_bound(list_operations(), gpu) for name, gpu in GPUS.items()}
    for operation in list_operations():
        sides = [f"{gpu}: {'memory-bound' if operation in memory_bound[gpu] else 'compute-bound'}" for gpu in GPUS]
        print(f"{operation:42}", *(f"{side:30}" for side in sides))

# %% exercise="memory_bound" wrong="hard_coded_names"
"""Returns the names read off the notebook's table; breaks "calls this function with other operations and another GPU"."""
def find_memory_bound(operations, gpu):
    always = [
        "add two vectors, fp32",
        "scale and add, fused, fp32",
        "GELU (tanh form, 9 FLOPs), bf16",
        "linear layer, 1 row",
        "linear layer, 64 rows",
    ]
    if gpu["bandwidth"] > 3e12:  # H100
        always += ["polynomial of degree 30 (60 FLOPs), bf16", "linear layer, 256 rows"]
    return [name for name in list_operations() if name in always]


# The finding: a dict with the name of each GPU in GPUS -> its list of names. Your function fills it: leave this part.
memory_bound = None
if ready(lambda: list(find_memory_bound(list_operations(), GPUS["H100 SXM"]))):
    memory_bound = {name: find_memory_bound(list_operations(), gpu) for name, gpu in GPUS.items()}
    for operation in list_operations():
        sides = [f"{gpu}: {'memory-bound' if operation in memory_bound[gpu] else 'compute-bound'}" for gpu in GPUS]
        print(f"{operation:42}", *(f"{side:30}" for side in sides))

# %% exercise="memory_bound" wrong="bandwidth_of_the_a100"
"""Takes the bandwidth from the global table and only the peak from the argument; breaks "gpu  dict with "bandwidth" in byte/s" for every GPU but the A100."""
def find_memory_bound(operations, gpu):
    bandwidth = GPUS["A100 SXM 80GB"]["bandwidth"]
    return [name for name, (flops, moved, unit) in operations.items() if flops / moved * bandwidth < gpu[unit]]


# The finding: a dict with the name of each GPU in GPUS -> its list of names. Your function fills it: leave this part.
memory_bound = None
if ready(lambda: list(find_memory_bound(list_operations(), GPUS["H100 SXM"]))):
    memory_bound = {name: find_memory_bound(list_operations(), gpu) for name, gpu in GPUS.items()}
    for operation in list_operations():
        sides = [f"{gpu}: {'memory-bound' if operation in memory_bound[gpu] else 'compute-bound'}" for gpu in GPUS]
        print(f"{operation:42}", *(f"{side:30}" for side in sides))

# %% exercise="memory_bound" wrong="deletes_from_the_callers_table"
"""Strikes the compute-bound rows out of the caller's dict and returns what is left; breaks "The arguments belong to the caller and stay as they are"."""
def find_memory_bound(operations, gpu):
    for name, (flops, moved, unit) in list(operations.items()):
        intensity = torch.tensor(flops / moved, dtype=torch.float64)
        if roofline(intensity, gpu[unit], gpu["bandwidth"]) >= gpu[unit]:
            del operations[name]
    return list(operations)


# The finding: a dict with the name of each GPU in GPUS -> its list of names. Your function fills it: leave this part.
memory_bound = None
if ready(lambda: list(find_memory_bound(list_operations(), GPUS["H100 SXM"]))):
    memory_bound = {name: find_memory_bound(list_operations(), gpu) for name, gpu in GPUS.items()}
    for operation in list_operations():
        sides = [f"{gpu}: {'memory-bound' if operation in memory_bound[gpu] else 'compute-bound'}" for gpu in GPUS]
        print(f"{operation:42}", *(f"{side:30}" for side in sides))

# %% exercise="memory_bound" wrong="finding_with_the_gpus_swapped"
"""The function is right, but the finding was typed by hand with the two GPUs the wrong way round; breaks "name of each GPU in GPUS -> its list of names. Your function fills it"."""
def find_memory_bound(operations, gpu):
    names = []
    for name, (flops, moved, unit) in operations.items():
        intensity = torch.tensor(flops / moved, dtype=torch.float64)
        if roofline(intensity, gpu[unit], gpu["bandwidth"]) < gpu[unit]:
            names.append(name)
    return names


memory_bound = {
    "A100 SXM 80GB": [
        "add two vectors, fp32",
        "scale and add, fused, fp32",
        "GELU (tanh form, 9 FLOPs), bf16",
        "polynomial of degree 30 (60 FLOPs), bf16",
        "linear layer, 1 row",
        "linear layer, 64 rows",
        "linear layer, 256 rows",
    ],
    "H100 SXM": [
        "add two vectors, fp32",
        "scale and add, fused, fp32",
        "GELU (tanh form, 9 FLOPs), bf16",
        "linear layer, 1 row",
        "linear layer, 64 rows",
    ],
}

# %% exercise="memory_bound" wrong="finding_is_one_list"
"""The function is right, but the finding is the H100's list alone; breaks "a dict with the name of each GPU in GPUS"."""
def find_memory_bound(operations, gpu):
    names = []
    for name, (flops, moved, unit) in operations.items():
        intensity = torch.tensor(flops / moved, dtype=torch.float64)
        if roofline(intensity, gpu[unit], gpu["bandwidth"]) < gpu[unit]:
            names.append(name)
    return names


memory_bound = None
if ready(lambda: list(find_memory_bound(list_operations(), GPUS["H100 SXM"]))):
    for name, gpu in GPUS.items():
        memory_bound = find_memory_bound(list_operations(), gpu)
        print(name, memory_bound)

# %% exercise="leaky_relu" wrong="only_the_grid_repaired"
"""Rounds the grid up and leaves the store without a mask, so the last program writes beyond n; breaks "n any number" and "above all must not write it"."""
@triton.jit
def leaky_relu_kernel(x_ptr, out_ptr, n, slope, BLOCK: tl.constexpr):
    """One program of out = x where x > 0, slope * x elsewhere."""
    start = tl.program_id(0) * BLOCK
    index = start + tl.arange(0, BLOCK)
    value = tl.load(x_ptr + index, mask=index < n)
    tl.store(out_ptr + index, tl.where(value > 0, value, slope * value))


def leaky_relu(x, slope=0.01, block=256):
    out = torch.empty_like(x)
    n = x.numel()
    leaky_relu_kernel[(triton.cdiv(n, block),)](x, out, n, slope, BLOCK=block)
    return out

# %% exercise="leaky_relu" wrong="only_the_mask_repaired"
"""Masks the store and leaves the grid rounded down, so the tail is never written; breaks "n any number from 1 on"."""
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

# %% exercise="leaky_relu" wrong="maximum_of_both"
"""max(x, slope * x) is leaky ReLU only up to slope 1; breaks "slope  any number, also above 1"."""
@triton.jit
def leaky_relu_kernel(x_ptr, out_ptr, n, slope, BLOCK: tl.constexpr):
    index = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = index < n
    value = tl.load(x_ptr + index, mask=mask)
    tl.store(out_ptr + index, tl.maximum(value, slope * value), mask=mask)


def leaky_relu(x, slope=0.01, block=256):
    out = torch.empty_like(x)
    n = x.numel()
    leaky_relu_kernel[(triton.cdiv(n, block),)](x, out, n, slope, BLOCK=block)
    return out

# %% exercise="leaky_relu" wrong="at_least_one_program_2"
"""Repairs the grid for n < block only (max with 1), so a tail behind full blocks is still lost; breaks "n any number from 1 on"."""
@triton.jit
def leaky_relu_kernel(x_ptr, out_ptr, n, slope, BLOCK: tl.constexpr):
    index = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = index < n
    value = tl.load(x_ptr + index, mask=mask)
    tl.store(out_ptr + index, tl.where(value > 0, value, slope * value), mask=mask)


def leaky_relu(x, slope=0.01, block=256):
    out = torch.empty_like(x)
    n = x.numel()
    leaky_relu_kernel[(max(1, n // block),)](x, out, n, slope, BLOCK=block)
    return out

# %% exercise="leaky_relu" wrong="last_block_shifted_back"
"""Moves the last program back so that it ends at n-1 (a vectoriser's trick): with n < block it starts below element 0; breaks "n any number from 1 on"."""
@triton.jit
def leaky_relu_kernel(x_ptr, out_ptr, n, slope, BLOCK: tl.constexpr):
    start = tl.minimum(tl.program_id(0) * BLOCK, n - BLOCK)
    index = start + tl.arange(0, BLOCK)
    value = tl.load(x_ptr + index, mask=index < n)
    tl.store(out_ptr + index, tl.where(value > 0, value, slope * value), mask=index < n)


def leaky_relu(x, slope=0.01, block=256):
    out = torch.empty_like(x)
    n = x.numel()
    leaky_relu_kernel[(triton.cdiv(n, block),)](x, out, n, slope, BLOCK=block)
    return out

# %% exercise="leaky_relu" wrong="zeros_to_be_safe"
"""Fills the result with zeros before the launch; breaks "One launch; ... fills by torch count as launches"."""
@triton.jit
def leaky_relu_kernel(x_ptr, out_ptr, n, slope, BLOCK: tl.constexpr):
    index = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = index < n
    value = tl.load(x_ptr + index, mask=mask)
    tl.store(out_ptr + index, tl.where(value > 0, value, slope * value), mask=mask)


def leaky_relu(x, slope=0.01, block=256):
    out = torch.zeros_like(x)
    n = x.numel()
    leaky_relu_kernel[(triton.cdiv(n, block),)](x, out, n, slope, BLOCK=block)
    return out

# %% exercise="leaky_relu" wrong="padded_by_torch"
"""Leaves the kernel alone and pads x to whole blocks with torch; breaks "copies, conversions and fills by torch count as launches"."""
@triton.jit
def leaky_relu_kernel(x_ptr, out_ptr, n, slope, BLOCK: tl.constexpr):
    start = tl.program_id(0) * BLOCK
    index = start + tl.arange(0, BLOCK)
    value = tl.load(x_ptr + index, mask=index < n)
    tl.store(out_ptr + index, tl.where(value > 0, value, slope * value))


def leaky_relu(x, slope=0.01, block=256):
    n = x.numel()
    padded = torch.nn.functional.pad(x, (0, -n % block))
    out = torch.empty_like(padded)
    leaky_relu_kernel[(padded.numel() // block,)](padded, out, padded.numel(), slope, BLOCK=block)
    return out[:n]

# %% exercise="leaky_relu" wrong="in_place_2"
"""Writes the result over x, as inplace=True does; breaks "The arguments belong to the caller and stay as they are"."""
@triton.jit
def leaky_relu_kernel(x_ptr, out_ptr, n, slope, BLOCK: tl.constexpr):
    index = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = index < n
    value = tl.load(x_ptr + index, mask=mask)
    tl.store(out_ptr + index, tl.where(value > 0, value, slope * value), mask=mask)


def leaky_relu(x, slope=0.01, block=256):
    n = x.numel()
    leaky_relu_kernel[(triton.cdiv(n, block),)](x, x, n, slope, BLOCK=block)
    return x

# %% exercise="leaky_relu" wrong="mask_as_a_factor"
"""Multiplies with 0 and 1 instead of choosing, so an infinite x gives 0 * inf = nan; breaks "out = x where x > 0"."""
@triton.jit
def leaky_relu_kernel(x_ptr, out_ptr, n, slope, BLOCK: tl.constexpr):
    index = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = index < n
    value = tl.load(x_ptr + index, mask=mask)
    positive = (value > 0).to(value.dtype)
    tl.store(out_ptr + index, positive * value + (1 - positive) * slope * value, mask=mask)


def leaky_relu(x, slope=0.01, block=256):
    out = torch.empty_like(x)
    n = x.numel()
    leaky_relu_kernel[(triton.cdiv(n, block),)](x, out, n, slope, BLOCK=block)
    return out

# %% exercise="leaky_relu" wrong="block_shrunk_to_n"
"""Shrinks the block to n so that nothing lies beyond the end; with n = 5 tl.arange gets a length that is no power of two; breaks "n any number from 1 on"."""
@triton.jit
def leaky_relu_kernel(x_ptr, out_ptr, n, slope, BLOCK: tl.constexpr):
    index = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = index < n
    value = tl.load(x_ptr + index, mask=mask)
    tl.store(out_ptr + index, tl.where(value > 0, value, slope * value), mask=mask)


def leaky_relu(x, slope=0.01, block=256):
    out = torch.empty_like(x)
    n = x.numel()
    block = min(block, n)
    leaky_relu_kernel[(triton.cdiv(n, block),)](x, out, n, slope, BLOCK=block)
    return out

# %% exercise="leaky_relu" wrong="eight_blocks_per_program"
"""Each program loops over eight blocks, so there are too few programs; breaks "At least one program for every four blocks"."""
@triton.jit
def leaky_relu_kernel(x_ptr, out_ptr, n, slope, BLOCK: tl.constexpr):
    for part in range(8):
        index = (tl.program_id(0) * 8 + part) * BLOCK + tl.arange(0, BLOCK)
        mask = index < n
        value = tl.load(x_ptr + index, mask=mask)
        tl.store(out_ptr + index, tl.where(value > 0, value, slope * value), mask=mask)


def leaky_relu(x, slope=0.01, block=256):
    out = torch.empty_like(x)
    n = x.numel()
    leaky_relu_kernel[(triton.cdiv(n, 8 * block),)](x, out, n, slope, BLOCK=block)
    return out
