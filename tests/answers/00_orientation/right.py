"""Right answers to unit 00 by readers who saw the released notebook only: tests/test_readers.py judges them."""

# %% exercise="fix_the_stub" right="product"
"""2 * x."""
def fix_the_stub(x):
    return 2 * x

# %% exercise="fix_the_stub" right="sum"
"""x + x."""
def fix_the_stub(x):
    return x + x

# %% exercise="fix_the_stub" right="clone_in_place"
"""Doubles a clone in place."""
def fix_the_stub(x):
    doubled = x.clone()
    doubled *= 2
    return doubled

# %% exercise="fix_the_stub" right="own_buffer"
"""Writes into a buffer of its own."""
def fix_the_stub(x):
    out = torch.empty_like(x)
    torch.mul(x, 2, out=out)
    return out

# %% exercise="fix_the_stub" right="number_by_number"
"""Loop over the numbers in the tensor's own dtype."""
def fix_the_stub(x):
    flat = x.reshape(-1)
    out = torch.empty_like(flat)
    for i in range(flat.numel()):
        out[i] = flat[i] * 2
    return out.reshape(x.shape)

# %% exercise="program_offsets" right="textbook"
"""pid * block + arange(block), compared with n."""
def program_offsets(pid, block, n):
    offsets = pid * block + torch.arange(block)
    return offsets, offsets < n

# %% exercise="program_offsets" right="range_from_to"
"""arange with start and end; mask as the negation."""
def program_offsets(pid, block, n):
    offsets = torch.arange(pid * block, (pid + 1) * block, dtype=torch.int64)
    return offsets, torch.logical_not(offsets.ge(n))

# %% exercise="program_offsets" right="lists"
"""Python lists."""
def program_offsets(pid, block, n):
    numbers = [pid * block + lane for lane in range(block)]
    return torch.tensor(numbers, dtype=torch.int64), torch.tensor([number in range(n) for number in numbers])

# %% exercise="program_offsets" right="row_of_a_table"
"""All programs up to this one as a table of rows; the mask from the number of elements that are left."""
def program_offsets(pid, block, n):
    table = torch.arange((pid + 1) * block).view(pid + 1, block)
    left = n - pid * block
    mask = torch.zeros(block, dtype=torch.bool)
    mask[: max(0, min(block, left))] = True
    return table[pid], mask

# %% exercise="count_bytes" right="textbook"
"""Sum over the inputs plus the result."""
import math


def count_bytes(inputs, out_dtype):
    read = sum(math.prod(shape) * dtype.itemsize for shape, dtype in inputs)
    result = torch.broadcast_shapes(*(shape for shape, _ in inputs))
    return read + math.prod(result) * out_dtype.itemsize

# %% exercise="count_bytes" right="meta_tensors"
"""Makes tensors without memory and asks them for their size."""
def count_bytes(inputs, out_dtype):
    tensors = [torch.empty(shape, dtype=dtype, device="meta") for shape, dtype in inputs]
    out = torch.empty(torch.broadcast_tensors(*tensors)[0].shape, dtype=out_dtype, device="meta")
    return sum(t.numel() * t.element_size() for t in [*tensors, out])

# %% exercise="count_bytes" right="by_hand"
"""Broadcasts by hand from the last dimension, multiplies in loops."""
def count_bytes(inputs, out_dtype):
    def elements(shape):
        count = 1
        for size in shape:
            count *= size
        return count

    rank = max(len(shape) for shape, _ in inputs)
    result = [1] * rank
    total = 0
    for shape, dtype in inputs:
        total += elements(shape) * dtype.itemsize
        for back in range(1, len(shape) + 1):
            if shape[-back] != 1:
                result[-back] = shape[-back]
    return total + elements(result) * out_dtype.itemsize

# %% exercise="count_bytes" right="numel_recursion"
"""torch.Size.numel; the inputs by recursion."""
def count_bytes(inputs, out_dtype):
    def read(rest):
        if not rest:
            return 0
        (shape, dtype), *others = rest
        return torch.Size(shape).numel() * dtype.itemsize + read(others)

    shapes = [shape for shape, _ in inputs]
    return read(list(inputs)) + torch.broadcast_shapes(*shapes).numel() * out_dtype.itemsize

# %% exercise="roofline" right="clamp"
"""Product, clamped at the peak."""
def roofline(intensity, peak, bandwidth):
    return (intensity * bandwidth).clamp(max=peak)

# %% exercise="roofline" right="where_ridge"
"""Decides on which side of the ridge a number lies."""
def roofline(intensity, peak, bandwidth):
    return torch.where(intensity * bandwidth < peak, intensity * bandwidth, torch.full_like(intensity, peak))

# %% exercise="roofline" right="share_of_the_peak"
"""The share of the peak, at most 1, times the peak."""
def roofline(intensity, peak, bandwidth):
    return peak * torch.clamp(intensity / (peak / bandwidth), max=1.0)

# %% exercise="roofline" right="minimum"
"""torch.minimum with a tensor of the peak."""
def roofline(intensity, peak, bandwidth):
    return torch.minimum(bandwidth * intensity, torch.tensor(peak, dtype=intensity.dtype, device=intensity.device))

# %% exercise="roofline" right="number_by_number"
"""Python's min in a loop."""
def roofline(intensity, peak, bandwidth):
    rates = [min(peak, number * bandwidth) for number in intensity.flatten().tolist()]
    return torch.tensor(rates, dtype=intensity.dtype).reshape(intensity.shape)

# %% exercise="vector_add" right="textbook"
"""The tutorial's kernel with strides."""
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
    vector_add_kernel[grid](x, y, out, n, x.stride(0), y.stride(0), BLOCK=block)
    return out

# %% exercise="vector_add" right="moved_pointers"
"""Moves the pointers to the program's start; `other` given; mask from what is left; grid by a lambda."""
@triton.jit
def vector_add_kernel(x_ptr, y_ptr, out_ptr, n, x_stride, y_stride, BLOCK: tl.constexpr):
    start = tl.program_id(axis=0) * BLOCK
    lanes = tl.arange(0, BLOCK)
    keep = lanes < n - start
    x_ptr += start * x_stride
    y_ptr += start * y_stride
    total = tl.load(x_ptr + lanes * x_stride, mask=keep, other=0)
    total += tl.load(y_ptr + lanes * y_stride, mask=keep, other=0)
    tl.store(out_ptr + start + lanes, total, mask=keep)


def vector_add(x, y, block=256):
    n = x.shape[0]
    out = x.new_empty(n)
    vector_add_kernel[lambda meta: (triton.cdiv(n, meta["BLOCK"]),)](x, y, out, n, x.stride(0), y.stride(0), BLOCK=block)
    return out

# %% exercise="vector_add" right="three_blocks_a_program"
"""Every program walks over three blocks with a stride of the grid (grid-stride loop)."""
@triton.jit
def vector_add_kernel(x_ptr, y_ptr, out_ptr, n, x_stride, y_stride, BLOCK: tl.constexpr):
    for turn in range(3):
        offsets = (turn * tl.num_programs(0) + tl.program_id(0)) * BLOCK + tl.arange(0, BLOCK)
        inside = offsets < n
        result = tl.load(x_ptr + offsets * x_stride, mask=inside) + tl.load(y_ptr + offsets * y_stride, mask=inside)
        tl.store(out_ptr + offsets, result, mask=inside)


def vector_add(x, y, block=256):
    n = x.shape[0]
    out = torch.empty(n, dtype=x.dtype, device=x.device)
    vector_add_kernel[(triton.cdiv(n, 3 * block),)](x, y, out, n, x.stride(0), y.stride(0), BLOCK=block)
    return out

# %% exercise="vector_add" right="block_pointers"
"""Triton's block pointers with boundary check."""
@triton.jit
def vector_add_kernel(x_ptr, y_ptr, out_ptr, n, x_stride, y_stride, BLOCK: tl.constexpr):
    start = tl.program_id(0) * BLOCK
    x = tl.make_block_ptr(x_ptr, (n,), (x_stride,), (start,), (BLOCK,), (0,))
    y = tl.make_block_ptr(y_ptr, (n,), (y_stride,), (start,), (BLOCK,), (0,))
    out = tl.make_block_ptr(out_ptr, (n,), (1,), (start,), (BLOCK,), (0,))
    tl.store(out, tl.load(x, boundary_check=(0,)) + tl.load(y, boundary_check=(0,)), boundary_check=(0,))


def vector_add(x, y, block=256):
    n = x.shape[0]
    out = torch.empty(n, dtype=x.dtype, device=x.device)
    vector_add_kernel[(triton.cdiv(n, block),)](x, y, out, n, x.stride(0), y.stride(0), BLOCK=block)
    return out

# %% exercise="fused_scale_add" right="textbook"
"""vector_add's kernel with one more multiplication."""
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
    fused_scale_add_kernel[(triton.cdiv(n, block),)](x, y, out, n, alpha, x.stride(0), y.stride(0), BLOCK=block)
    return out

# %% exercise="fused_scale_add" right="in_float32"
"""Computes in float32, rounds once at the store; a helper decorated with @triton.jit."""
@triton.jit
def read_float(pointer, offsets, stride, mask):
    return tl.load(pointer + offsets * stride, mask=mask, other=0.0).to(tl.float32)


@triton.jit
def fused_scale_add_kernel(x_ptr, y_ptr, out_ptr, n, alpha, x_stride, y_stride, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
    result = read_float(y_ptr, offsets, y_stride, mask)
    result += read_float(x_ptr, offsets, x_stride, mask) * alpha
    tl.store(out_ptr + offsets, result.to(out_ptr.dtype.element_ty), mask=mask)


def fused_scale_add(x, y, alpha, block=256):
    n = x.shape[0]
    out = x.new_empty((n,))
    programs = (n + block - 1) // block
    fused_scale_add_kernel[(programs,)](x, y, out, n, alpha, x.stride(0), y.stride(0), block)
    return out

# %% exercise="fused_scale_add" right="two_blocks_a_program"
"""Half as many programs with two blocks each; keyword arguments."""
@triton.jit
def fused_scale_add_kernel(x_ptr, y_ptr, out_ptr, n, alpha, x_stride, y_stride, BLOCK: tl.constexpr):
    first = tl.program_id(0) * 2 * BLOCK
    for start in range(first, first + 2 * BLOCK, BLOCK):
        at = start + tl.arange(0, BLOCK)
        y = tl.load(y_ptr + at * y_stride, mask=at < n)
        x = tl.load(x_ptr + at * x_stride, mask=at < n)
        tl.store(out_ptr + at, y + x * alpha, mask=at < n)


def fused_scale_add(x, y, alpha, block=256):
    n = x.numel()
    out = torch.empty(n, dtype=x.dtype, device=x.device)
    fused_scale_add_kernel[(-(-n // (2 * block)),)](
        x_ptr=x, y_ptr=y, out_ptr=out, n=n, alpha=alpha, x_stride=x.stride(0), y_stride=y.stride(0), BLOCK=block
    )
    return out

# %% exercise="fusion_bytes" right="count_bytes"
"""With count_bytes for each kernel."""
def fusion_bytes(n, dtype):
    vector = ((n,), dtype)
    fused = count_bytes([vector, vector], dtype)
    return count_bytes([vector], dtype) + fused, fused

# %% exercise="fusion_bytes" right="closed"
"""5 and 3 times n numbers."""
def fusion_bytes(n, dtype):
    return 5 * n * dtype.itemsize, 3 * n * dtype.itemsize

# %% exercise="fusion_bytes" right="itemised"
"""A list of what each kernel reads and writes, sizes from a meta tensor."""
def fusion_bytes(n, dtype):
    one = torch.empty(n, dtype=dtype, device="meta").nbytes
    two_kernels = ["read x", "write t", "read t", "read y", "write out"]
    one_kernel = [step for step in two_kernels if not step.endswith(" t")]
    return one * len(two_kernels), one * len(one_kernel)

# %% exercise="memory_bound" right="with_roofline"
"""Asks roofline for each operation."""
def find_memory_bound(operations, gpu):
    found = []
    for name, (flops, moved, unit) in operations.items():
        intensity = torch.tensor(flops / moved, dtype=torch.float64)
        if roofline(intensity, gpu[unit], gpu["bandwidth"]) < gpu[unit]:
            found.append(name)
    return found


memory_bound = None
if ready(lambda: list(find_memory_bound(list_operations(), GPUS["H100 SXM"]))):
    memory_bound = {name: find_memory_bound(list_operations(), gpu) for name, gpu in GPUS.items()}

# %% exercise="memory_bound" right="times_compared"
"""Compares the seconds: memory-bound where the transfer takes longer than the arithmetic."""
def find_memory_bound(operations, gpu):
    return [name for name, (flops, moved, unit) in operations.items() if moved / gpu["bandwidth"] > flops / gpu[unit]]


memory_bound = None
if ready(lambda: list(find_memory_bound(list_operations(), GPUS["H100 SXM"]))):
    memory_bound = {name: find_memory_bound(list_operations(), gpu) for name, gpu in GPUS.items()}

# %% exercise="memory_bound" right="ridge_cross_multiplied"
"""Intensity left of the unit's ridge, without a division."""
def find_memory_bound(operations, gpu):
    def below(operation):
        flops, moved, unit = operation
        return flops * gpu["bandwidth"] < gpu[unit] * moved

    return list(filter(lambda name: below(operations[name]), operations))


memory_bound = None
if ready(lambda: list(find_memory_bound(list_operations(), GPUS["H100 SXM"]))):
    memory_bound = {name: find_memory_bound(list_operations(), gpu) for name, gpu in GPUS.items()}

# %% exercise="memory_bound" right="vectorised"
"""All operations in one tensor, roofline unit by unit."""
def find_memory_bound(operations, gpu):
    if not operations:
        return []
    flops, moved, units = zip(*operations.values())
    intensity = torch.tensor(flops, dtype=torch.float64) / torch.tensor(moved, dtype=torch.float64)
    bound = {unit: (roofline(intensity, gpu[unit], gpu["bandwidth"]) < gpu[unit]).tolist() for unit in set(units)}
    return [name for i, name in enumerate(operations) if bound[units[i]][i]]


memory_bound = None
if ready(lambda: list(find_memory_bound(list_operations(), GPUS["H100 SXM"]))):
    memory_bound = {name: find_memory_bound(list_operations(), gpu) for name, gpu in GPUS.items()}

# %% exercise="leaky_relu" right="repaired"
"""Grid rounded up, mask at the store."""
@triton.jit
def leaky_relu_kernel(x_ptr, out_ptr, n, slope, BLOCK: tl.constexpr):
    start = tl.program_id(0) * BLOCK
    index = start + tl.arange(0, BLOCK)
    value = tl.load(x_ptr + index, mask=index < n)
    tl.store(out_ptr + index, tl.where(value > 0, value, slope * value), mask=index < n)


def leaky_relu(x, slope=0.01, block=256):
    out = torch.empty_like(x)
    n = x.numel()
    leaky_relu_kernel[(triton.cdiv(n, block),)](x, out, n, slope, BLOCK=block)
    return out

# %% exercise="leaky_relu" right="idle_program"
"""n // block + 1 programs: the last may have nothing to do; the factor chosen by where."""
@triton.jit
def leaky_relu_kernel(x_ptr, out_ptr, n, slope, BLOCK: tl.constexpr):
    index = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = index < n
    value = tl.load(x_ptr + index, mask=inside, other=0.0)
    negative = value < 0
    tl.store(out_ptr + index, tl.where(negative, value * slope, value), mask=inside)


def leaky_relu(x, slope=0.01, block=256):
    out = x.new_empty(x.shape)
    leaky_relu_kernel[(x.numel() // block + 1,)](x, out, x.numel(), slope, BLOCK=block)
    return out

# %% exercise="leaky_relu" right="two_parts"
"""Positive part plus slope times negative part, in float32, two blocks a program."""
@triton.jit
def leaky_relu_kernel(x_ptr, out_ptr, n, slope, BLOCK: tl.constexpr):
    for half in range(2):
        index = (2 * tl.program_id(0) + half) * BLOCK + tl.arange(0, BLOCK)
        value = tl.load(x_ptr + index, mask=index < n, other=0.0).to(tl.float32)
        result = tl.maximum(value, 0.0) + slope * tl.minimum(value, 0.0)
        tl.store(out_ptr + index, result, mask=index < n)


def leaky_relu(x, slope=0.01, block=256):
    out = torch.empty(x.shape[0], dtype=x.dtype, device=x.device)
    leaky_relu_kernel[(triton.cdiv(x.shape[0], 2 * block),)](x, out, x.shape[0], slope, BLOCK=block)
    return out

# %% exercise="fix_the_stub" right="sum_2"
"""x plus itself."""
def fix_the_stub(x):
    return torch.add(x, x)

# %% exercise="fix_the_stub" right="copy_in_place"
"""A copy is doubled in place."""
def fix_the_stub(x):
    y = x.clone()
    y.mul_(2)
    return y

# %% exercise="fix_the_stub" right="by_division"
"""Divided by one half."""
def fix_the_stub(x):
    return x / 0.5

# %% exercise="fix_the_stub" right="into_an_empty_tensor"
"""torch.mul writes into a tensor made for it."""
def fix_the_stub(x):
    y = torch.empty_like(x)
    y.copy_(x)
    return y.sub_(x, alpha=-1)

# %% exercise="program_offsets" right="from_start_to_end"
"""arange from the first number to the one behind the last; the mask by torch.lt."""
def program_offsets(pid, block, n):
    offsets = torch.arange(pid * block, (pid + 1) * block)
    return offsets, torch.lt(offsets, n)

# %% exercise="program_offsets" right="row_of_a_table_2"
"""Python lists, one number at a time."""
def program_offsets(pid, block, n):
    numbers = [pid * block + lane for lane in range(block)]
    return torch.tensor(numbers, dtype=torch.int64), torch.tensor([k < n for k in numbers], dtype=torch.bool)

# %% exercise="program_offsets" right="cumulated"
"""A cumulative sum of ones; the mask as what is left of n."""
def program_offsets(pid, block, n):
    lanes = torch.ones(block, dtype=torch.int64).cumsum(0) - 1
    left = n - pid * block
    return lanes.add_(pid * block), torch.arange(block) < left

# %% exercise="program_offsets" right="count_then_fill"
"""The number of existing lanes is computed and so many Trues are written."""
def program_offsets(pid, block, n):
    mask = torch.zeros(block, dtype=torch.bool)
    mask[: min(block, max(0, n - pid * block))] = True
    offsets = torch.full((block,), pid * block)
    offsets += torch.arange(block)
    return offsets, mask

# %% exercise="count_bytes" right="list_with_the_result"
"""The result joins a new list, one sum over all."""
import math


def count_bytes(inputs, out_dtype):
    result = torch.broadcast_shapes(*[shape for shape, _ in inputs]), out_dtype
    return sum(math.prod(shape) * dtype.itemsize for shape, dtype in [*inputs, result])

# %% exercise="count_bytes" right="meta_tensors_2"
"""Tensors on the meta device, which have a size and no memory; torch broadcasts them itself."""
import math


def count_bytes(inputs, out_dtype):
    tensors = [torch.empty(shape, dtype=dtype, device='meta') for shape, dtype in inputs]
    result = torch.broadcast_tensors(*tensors)[0]
    return sum(t.nbytes for t in tensors) + result.numel() * out_dtype.itemsize

# %% exercise="count_bytes" right="by_hand_2"
"""Loops, and broadcasting written out axis by axis from the end."""
import math


def count_bytes(inputs, out_dtype):
    total, result = 0, []
    for shape, dtype in inputs:
        elements = 1
        for place, length in enumerate(reversed(shape)):
            elements *= length
            if place == len(result):
                result.append(length)
            elif result[place] == 1:
                result[place] = length
        total += elements * dtype.itemsize
    written = out_dtype.itemsize
    for length in result:
        written *= length
    return total + written

# %% exercise="roofline" right="clamp_2"
"""What the memory feeds, clamped."""
def roofline(intensity, peak, bandwidth):
    return torch.clamp(bandwidth * intensity, max=peak)

# %% exercise="roofline" right="where_behind_the_ridge"
"""torch.where at the ridge."""
def roofline(intensity, peak, bandwidth):
    ridge = peak / bandwidth
    return torch.where(intensity < ridge, intensity * bandwidth, torch.full_like(intensity, peak))

# %% exercise="roofline" right="copy_and_index"
"""A copy is filled: slope first, then the flat part by a boolean index."""
def roofline(intensity, peak, bandwidth):
    rate = intensity.clone().mul_(bandwidth)
    rate[rate > peak] = peak
    return rate

# %% exercise="roofline" right="one_by_one"
"""Number by number with Python's min."""
def roofline(intensity, peak, bandwidth):
    rates = [min(value * bandwidth, peak) for value in intensity.flatten().tolist()]
    return torch.tensor(rates, dtype=intensity.dtype, device=intensity.device).reshape(intensity.shape)

# %% exercise="vector_add" right="pointers_moved"
"""The pointers are moved to the program's start first; masks by what is left; unmasked lanes 0."""
@triton.jit
def vector_add_kernel(x_ptr, y_ptr, out_ptr, n, x_stride, y_stride, BLOCK: tl.constexpr):
    start = tl.program_id(0) * BLOCK
    lane = tl.arange(0, BLOCK)
    exists = lane < n - start
    x_ptr += start * x_stride
    y_ptr += start * y_stride
    total = tl.load(x_ptr + lane * x_stride, mask=exists, other=0)
    total += tl.load(y_ptr + lane * y_stride, mask=exists, other=0)
    tl.store(out_ptr + start + lane, total, mask=exists)


def vector_add(x, y, block=256):
    n = x.shape[0]
    out = torch.empty(n, dtype=x.dtype, device=x.device)
    grid = (triton.cdiv(n, block),)
    vector_add_kernel[grid](x, y, out, n, x.stride(0), y.stride(0), BLOCK=block)
    return out

# %% exercise="vector_add" right="four_blocks_a_program"
"""A program walks over four blocks in a static loop."""
@triton.jit
def vector_add_kernel(x_ptr, y_ptr, out_ptr, n, x_stride, y_stride, BLOCK: tl.constexpr):
    for turn in tl.static_range(4):
        offsets = (tl.program_id(0) * 4 + turn) * BLOCK + tl.arange(0, BLOCK)
        inside = offsets < n
        x = tl.load(x_ptr + x_stride * offsets, inside)
        tl.store(out_ptr + offsets, x + tl.load(y_ptr + y_stride * offsets, inside), inside)


def vector_add(x, y, block=256):
    n = x.shape[0]
    out = torch.empty(n, dtype=x.dtype, device=x.device)
    grid = (triton.cdiv(n, 4 * block),)
    vector_add_kernel[grid](x, y, out, n, x.stride(0), y.stride(0), BLOCK=block)
    return out

# %% exercise="fused_scale_add" right="three_blocks_a_program"
"""Three blocks per program in a loop, y loaded first, the pointers computed once."""
@triton.jit
def fused_scale_add_kernel(x_ptr, y_ptr, out_ptr, n, alpha, x_stride, y_stride, BLOCK: tl.constexpr):
    first = tl.program_id(0) * BLOCK * 3 + tl.arange(0, BLOCK)
    for turn in range(3):
        index = first + turn * BLOCK
        result = tl.load(y_ptr + index * y_stride, mask=index < n, other=0.0)
        result += tl.load(x_ptr + index * x_stride, mask=index < n, other=0.0) * alpha
        tl.store(out_ptr + index, result, mask=index < n)


def fused_scale_add(x, y, alpha, block=256):
    n = x.shape[0]
    out = torch.empty(n, dtype=x.dtype, device=x.device)
    fused_scale_add_kernel[(-(-n // (3 * block)),)](x, y, out, n, alpha, x.stride(0), y.stride(0), BLOCK=block)
    return out

# %% exercise="fused_scale_add" right="calls_a_helper"
"""The formula in a function of its own; start and lanes apart; grid as a function of the meta-parameters."""
@triton.jit
def scale_add(x, y, alpha):
    return x * alpha + y


@triton.jit
def fused_scale_add_kernel(x_ptr, y_ptr, out_ptr, n, alpha, x_stride, y_stride, BLOCK: tl.constexpr):
    start, lane = tl.program_id(0) * BLOCK, tl.arange(0, BLOCK)
    mask = start + lane < n
    x = tl.load(x_ptr + (start + lane) * x_stride, mask=mask)
    y = tl.load(y_ptr + (start + lane) * y_stride, mask=mask)
    tl.store(out_ptr + start + lane, scale_add(x, y, alpha), mask=mask)


def fused_scale_add(x, y, alpha, block=256):
    out = x.new_empty(x.numel())
    fused_scale_add_kernel[lambda meta: (triton.cdiv(x.numel(), meta["BLOCK"]),)](
        x, y, out, x.numel(), alpha, x.stride(0), y.stride(0), BLOCK=block
    )
    return out

# %% exercise="fused_scale_add" right="float32_inside"
"""16-bit numbers are converted to float32 in the kernel and rounded once; float64 stays."""
@triton.jit
def fused_scale_add_kernel(x_ptr, y_ptr, out_ptr, n, alpha, x_stride, y_stride, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
    x = tl.load(x_ptr + offsets * x_stride, mask=mask)
    y = tl.load(y_ptr + offsets * y_stride, mask=mask)
    if x.dtype.primitive_bitwidth < 32:
        x, y = x.to(tl.float32), y.to(tl.float32)
    tl.store(out_ptr + offsets, alpha * x + y, mask=mask)


def fused_scale_add(x, y, alpha, block=256):
    n = x.shape[0]
    out = torch.empty(n, dtype=x.dtype, device=x.device)
    fused_scale_add_kernel[(triton.cdiv(n, block),)](x, y, out, n, alpha, x.stride(0), y.stride(0), BLOCK=block)
    return out

# %% exercise="fusion_bytes" right="count_bytes_2"
"""With count_bytes, one call per kernel."""
def fusion_bytes(n, dtype):
    vector = ((n,), dtype)
    scale, add = count_bytes([vector], dtype), count_bytes([vector, vector], dtype)
    return scale + add, add

# %% exercise="fusion_bytes" right="counted_by_hand"
"""Vectors moved times their size."""
def fusion_bytes(n, dtype):
    vector = n * dtype.itemsize
    moved = {'x': 1, 't written': 1, 't read': 1, 'y': 1, 'out': 1}
    return sum(moved.values()) * vector, 3 * vector

# %% exercise="fusion_bytes" right="from_tensors"
"""nbytes of a tensor on the meta device."""
def fusion_bytes(n, dtype):
    size = torch.empty(n, dtype=dtype, device='meta').nbytes
    fused = size + size + size
    return fused + 2 * size, fused

# %% exercise="memory_bound" right="roofline_in_a_loop"
"""The loop with roofline in float64."""
def find_memory_bound(operations, gpu):
    names = []
    for name, (flops, moved, unit) in operations.items():
        reach = roofline(torch.tensor(flops / moved, dtype=torch.float64), gpu[unit], gpu["bandwidth"])
        if reach < gpu[unit]:
            names.append(name)
    return names


memory_bound = {name: find_memory_bound(list_operations(), gpu) for name, gpu in GPUS.items()}

# %% exercise="memory_bound" right="seconds_compared"
"""Seconds of the transfers against seconds of the arithmetic."""
def find_memory_bound(operations, gpu):
    def waits_for_memory(item):
        flops, moved, unit = item[1]
        return moved / gpu["bandwidth"] > flops / gpu[unit]

    return [name for name, _ in filter(waits_for_memory, operations.items())]


memory_bound = {name: find_memory_bound(list_operations(), gpu) for name, gpu in GPUS.items()}

# %% exercise="memory_bound" right="all_at_once"
"""One call of roofline for the whole table, compress picks the names."""
import itertools


def find_memory_bound(operations, gpu):
    if not operations:
        return []
    flops, moved, units = zip(*operations.values())
    intensity = torch.tensor(flops, dtype=torch.float64) / torch.tensor(moved, dtype=torch.float64)
    below = []
    for value, unit in zip(intensity, units):
        below.append(bool(roofline(value, gpu[unit], gpu["bandwidth"]) < gpu[unit]))
    return list(itertools.compress(operations, below))


memory_bound = {name: find_memory_bound(list_operations(), gpu) for name, gpu in GPUS.items()}

# %% exercise="memory_bound" right="ridges_first"
"""The ridges of the units are computed first; the finding is a literal, found by reasoning."""
def find_memory_bound(operations, gpu):
    ridge = {unit: gpu[unit] / gpu["bandwidth"] for unit in ("vector", "tensor")}
    return [name for name, (flops, moved, unit) in operations.items() if flops / moved < ridge[unit]]


always = ["add two vectors, fp32", "scale and add, fused, fp32", "GELU (tanh form, 9 FLOPs), bf16"]
linear = ["linear layer, 1 row", "linear layer, 64 rows"]
memory_bound = {
    "A100 SXM 80GB": always + linear,
    "H100 SXM": [*always, "polynomial of degree 30 (60 FLOPs), bf16", *linear, "linear layer, 256 rows"],
}

# %% exercise="leaky_relu" right="factor"
"""The factor is chosen and multiplied; four blocks per program in a loop."""
@triton.jit
def leaky_relu_kernel(x_ptr, out_ptr, n, slope, BLOCK: tl.constexpr):
    for turn in range(4):
        index = (tl.program_id(0) * 4 + turn) * BLOCK + tl.arange(0, BLOCK)
        inside = index < n
        value = tl.load(x_ptr + index, mask=inside, other=0.0)
        scaled = slope * value
        tl.store(out_ptr + index, tl.where(value <= 0, scaled, value), mask=inside)


def leaky_relu(x, slope=0.01, block=256):
    n = x.shape[0]
    out = x.new_empty(n)
    leaky_relu_kernel[(triton.cdiv(n, 4 * block),)](x, out, n, slope, BLOCK=block)
    return out

# %% exercise="leaky_relu" right="two_halves"
"""Positive part plus slope times negative part."""
@triton.jit
def leaky_relu_kernel(x_ptr, out_ptr, n, slope, BLOCK: tl.constexpr):
    start = tl.program_id(0) * BLOCK
    index = start + tl.arange(0, BLOCK)
    value = tl.load(x_ptr + index, mask=index < n)
    tl.store(out_ptr + index, tl.maximum(value, 0.0) + slope * tl.minimum(value, 0.0), mask=index < n)


def leaky_relu(x, slope=0.01, block=256):
    out = torch.empty_like(x)
    n = x.numel()
    leaky_relu_kernel[((n + block - 1) // block,)](x, out, n, slope, BLOCK=block)
    return out

# %% exercise="leaky_relu" right="grid_function"
"""Grid as a function of the meta-parameters; what is left decides the mask."""
@triton.jit
def leaky_relu_kernel(x_ptr, out_ptr, n, slope, BLOCK: tl.constexpr):
    start, lane = tl.program_id(0) * BLOCK, tl.arange(0, BLOCK)
    left = lane < n - start
    value = tl.load(x_ptr + start + lane, mask=left)
    value = tl.where(value < 0, value * slope, value)
    tl.store(out_ptr + start + lane, value, mask=left)


def leaky_relu(x, slope=0.01, block=256):
    out = torch.empty(x.size(), dtype=x.dtype, device=x.device)
    leaky_relu_kernel[lambda meta: (triton.cdiv(x.numel(), meta["BLOCK"]),)](x, out, x.numel(), slope, BLOCK=block)
    return out

# %% exercise="fix_the_stub" right="sum_of_a_stack"
"""Stacks x on itself along a new first axis and sums that axis away."""
def fix_the_stub(x):
    return torch.stack([x, x]).sum(dim=0)

# %% exercise="fix_the_stub" right="clone_then_in_place"
"""Copies first and doubles the copy in place."""
def fix_the_stub(x):
    doubled = x.clone()
    doubled.mul_(2)
    return doubled

# %% exercise="fix_the_stub" right="einsum_with_a_number"
"""einsum of x with a two of its own dtype and device."""
def fix_the_stub(x):
    two = torch.tensor(2, dtype=x.dtype, device=x.device)
    return torch.einsum("...,->...", x, two)

# %% exercise="program_offsets" right="python_lists"
"""Plain Python lists, turned into tensors at the end."""
def program_offsets(pid, block, n):
    numbers = [pid * block + lane for lane in range(block)]
    offsets = torch.tensor(numbers, dtype=torch.int64)
    mask = torch.tensor([number < n for number in numbers], dtype=torch.bool)
    return offsets, mask

# %% exercise="program_offsets" right="count_the_existing"
"""Counts how many lanes exist and fills that many Trues into a mask of Falses; no comparison of tensors."""
def program_offsets(pid, block, n):
    first = pid * block
    existing = min(max(n - first, 0), block)
    mask = torch.zeros(block, dtype=torch.bool)
    mask[:existing] = True
    return torch.arange(first, first + block), mask

# %% exercise="program_offsets" right="cumulative_ones"
"""Offsets as a running sum of ones; the mask asks whether the distance to the end is positive."""
def program_offsets(pid, block, n):
    steps = torch.ones(block, dtype=torch.int64)
    steps[0] = pid * block
    offsets = torch.cumsum(steps, dim=0)
    return offsets, torch.gt(n - offsets, 0)

# %% exercise="count_bytes" right="meta_tensors_3"
"""Makes every tensor on the meta device, without memory, and asks torch for its size."""
def count_bytes(inputs, out_dtype):
    tensors = [torch.empty(shape, dtype=dtype, device="meta") for shape, dtype in inputs]
    seen = torch.broadcast_tensors(*tensors)[0]
    out = torch.empty(seen.shape, dtype=out_dtype, device="meta")
    return sum(t.numel() * t.element_size() for t in [*tensors, out])

# %% exercise="count_bytes" right="broadcast_by_hand"
"""The rules of broadcasting written out, from the last axis to the first, in one loop."""
def count_bytes(inputs, out_dtype):
    total, axes = 0, []  # axes: lengths of the result, the last axis first
    for shape, dtype in inputs:
        stored = dtype.itemsize
        for position, length in enumerate(reversed(shape)):
            stored *= length
            if position == len(axes):
                axes.append(length)
            elif axes[position] == 1:
                axes[position] = length
        total += stored
    written = out_dtype.itemsize
    for length in axes:
        written *= length
    return total + written

# %% exercise="roofline" right="where"
"""torch.where chooses, number by number, between the feed and the peak."""
def roofline(intensity, peak, bandwidth):
    feed = bandwidth * intensity
    return torch.where(feed > peak, torch.full_like(feed, peak), feed)

# %% exercise="roofline" right="python_numbers"
"""min of Python numbers over the flattened tensor, the shape and dtype restored afterwards."""
def roofline(intensity, peak, bandwidth):
    reached = [min(i * bandwidth, peak) for i in intensity.flatten().tolist()]
    return torch.tensor(reached, dtype=torch.float64).to(intensity).reshape(intensity.shape)

# %% exercise="roofline" right="lowest_of_two_roofs"
"""Stacks both roofs along a new last axis and takes the minimum over it."""
def roofline(intensity, peak, bandwidth):
    roofs = torch.stack((intensity * bandwidth, torch.full_like(intensity, peak)), dim=-1)
    return roofs.amin(dim=-1)

# %% exercise="vector_add" right="moved_pointers_2"
"""The pointers themselves are moved to the program's start, and the mask counts what is left; 64-bit throughout; the given launcher."""
@triton.jit
def vector_add_kernel(x_ptr, y_ptr, out_ptr, n, x_stride, y_stride, BLOCK: tl.constexpr):
    first = tl.program_id(0).to(tl.int64) * BLOCK
    lanes = tl.arange(0, BLOCK)
    left = n - first
    x_ptr += first * x_stride
    y_ptr += first * y_stride
    out_ptr += first
    total = tl.load(x_ptr + lanes * x_stride, mask=lanes < left, other=0)
    total += tl.load(y_ptr + lanes * y_stride, mask=lanes < left, other=0)
    tl.store(out_ptr + lanes, total, mask=lanes < left)


def vector_add(x, y, block=256):
    n = x.shape[0]
    out = torch.empty(n, dtype=x.dtype, device=x.device)
    grid = (triton.cdiv(n, block),)
    vector_add_kernel[grid](x, y, out, n, x.stride(0), y.stride(0), BLOCK=block)
    return out

# %% exercise="vector_add" right="two_blocks_per_program"
"""Every program does two blocks in an unrolled loop, under a launcher of its own with half the grid."""
@triton.jit
def vector_add_kernel(x_ptr, y_ptr, out_ptr, n, x_stride, y_stride, BLOCK: tl.constexpr):
    for part in tl.static_range(2):
        offsets = (2 * tl.program_id(0) + part) * BLOCK + tl.arange(0, BLOCK)
        mask = offsets < n
        x = tl.load(x_ptr + offsets * x_stride, mask=mask)
        y = tl.load(y_ptr + offsets * y_stride, mask=mask)
        tl.store(out_ptr + offsets, x + y, mask=mask)


def vector_add(x, y, block=256):
    (n,) = x.shape
    out = x.new_empty(n)
    vector_add_kernel[(triton.cdiv(n, 2 * block),)](x, y, out, n, x.stride(0), y.stride(0), BLOCK=block)
    return out

# %% exercise="vector_add" right="column_tile_from_the_back"
"""A (BLOCK, 1) tile of pointers, and the programs take the blocks from the last to the first; the grid is a function of the block."""
@triton.jit
def vector_add_kernel(x_ptr, y_ptr, out_ptr, n, x_stride, y_stride, BLOCK: tl.constexpr):
    which = tl.num_programs(0) - 1 - tl.program_id(0)
    rows = which * BLOCK + tl.arange(0, BLOCK)[:, None]
    x_ptrs = x_ptr + rows * x_stride
    y_ptrs = y_ptr + rows * y_stride
    tl.store(out_ptr + rows, tl.load(x_ptrs, mask=rows < n) + tl.load(y_ptrs, mask=rows < n), mask=rows < n)


def vector_add(x, y, block=256):
    out = torch.empty(len(x), dtype=x.dtype, device=x.device)
    vector_add_kernel[lambda meta: (triton.cdiv(len(x), meta["BLOCK"]),)](
        x, y, out, len(x), x_stride=x.stride(0), y_stride=y.stride(0), BLOCK=block
    )
    return out

# %% exercise="fused_scale_add" right="grid_stride_loop"
"""A quarter of the blocks as programs, each with a grid-stride loop over up to four blocks."""
@triton.jit
def fused_scale_add_kernel(x_ptr, y_ptr, out_ptr, n, alpha, x_stride, y_stride, BLOCK: tl.constexpr):
    step = tl.num_programs(0) * BLOCK
    for start in range(tl.program_id(0) * BLOCK, n, step):
        offsets = start + tl.arange(0, BLOCK)
        mask = offsets < n
        x = tl.load(x_ptr + offsets * x_stride, mask=mask)
        y = tl.load(y_ptr + offsets * y_stride, mask=mask)
        tl.store(out_ptr + offsets, alpha * x + y, mask=mask)


def fused_scale_add(x, y, alpha, block=256):
    n = x.shape[0]
    out = torch.empty(n, dtype=x.dtype, device=x.device)
    programs = math.ceil(math.ceil(n / block) / 4)
    fused_scale_add_kernel[(programs,)](x, y, out, n, alpha, x.stride(0), y.stride(0), BLOCK=block)
    return out

# %% exercise="fused_scale_add" right="subtracts_the_negative"
"""y minus (-alpha) x from a (1, BLOCK) tile, the launch all by keyword, the grid by negative floor division."""
@triton.jit
def fused_scale_add_kernel(x_ptr, y_ptr, out_ptr, n, alpha, x_stride, y_stride, BLOCK: tl.constexpr):
    cols = (tl.program_id(0) * BLOCK + tl.arange(0, BLOCK))[None, :]
    inside = cols < n
    result = tl.load(y_ptr + cols * y_stride, mask=inside, other=0.0)
    result = result - tl.load(x_ptr + cols * x_stride, mask=inside, other=0.0) * (-alpha)
    tl.store(out_ptr + cols, result.to(out_ptr.dtype.element_ty), mask=inside)


def fused_scale_add(x, y, alpha, block=256):
    n = x.numel()
    out = x.new_empty((n,))
    fused_scale_add_kernel[(-(-n // block),)](
        x_ptr=x, y_ptr=y, out_ptr=out, n=n, alpha=alpha, x_stride=x.stride(0), y_stride=y.stride(0), BLOCK=block
    )
    return out

# %% exercise="fused_scale_add" right="float32_only_for_halves"
"""Narrow inputs are widened inside the kernel, by a branch on the compile-time dtype, and the sum is rounded once."""
@triton.jit
def fused_scale_add_kernel(x_ptr, y_ptr, out_ptr, n, alpha, x_stride, y_stride, BLOCK: tl.constexpr):
    offsets = tl.arange(0, BLOCK) + BLOCK * tl.program_id(0)
    x = tl.load(x_ptr + offsets * x_stride, mask=offsets < n)
    y = tl.load(y_ptr + offsets * y_stride, mask=offsets < n)
    if x_ptr.dtype.element_ty.primitive_bitwidth < 32:
        x = x.to(tl.float32)
        y = y.to(tl.float32)
    tl.store(out_ptr + offsets, (x * alpha + y).to(out_ptr.dtype.element_ty), mask=offsets < n)


def fused_scale_add(x, y, alpha, block=256):
    n = x.size(0)
    out = torch.empty((n,), dtype=x.dtype, device=x.device)
    fused_scale_add_kernel[((n + block - 1) // block, 1, 1)](
        x, y, out, n, alpha, x.stride(0), y.stride(0), BLOCK=block
    )
    return out

# %% exercise="fusion_bytes" right="closed_form"
"""Counts the vectors that pass the memory: five and three, without count_bytes."""
def fusion_bytes(n, dtype):
    vector = n * dtype.itemsize
    return 5 * vector, 3 * vector

# %% exercise="fusion_bytes" right="ledger_of_kernels"
"""Writes each kernel's traffic into a ledger, by name, and adds up the sizes of the named tensors."""
def fusion_bytes(n, dtype):
    size = dict.fromkeys(("x", "y", "t", "out"), n * torch.empty((), dtype=dtype).element_size())
    size["alpha"] = 0
    plans = [
        [("alpha", "x", "t"), ("t", "y", "out")],
        [("alpha", "x", "y", "out")],
    ]
    unfused, fused = (sum(size[name] for kernel in plan for name in kernel) for plan in plans)
    return unfused, fused

# %% exercise="memory_bound" right="exact_fractions"
"""Cross-multiplied exact fractions, without any rounding and without roofline."""
def find_memory_bound(operations, gpu):
    from fractions import Fraction

    def below(flops, moved, unit):
        return Fraction(flops) * Fraction(gpu["bandwidth"]) < Fraction(gpu[unit]) * Fraction(moved)

    return [name for name, operation in operations.items() if below(*operation)]


# The finding: a dict with the name of each GPU in GPUS -> its list of names. Your function fills it: leave this part.
memory_bound = None
if ready(lambda: list(find_memory_bound(list_operations(), GPUS["H100 SXM"]))):
    memory_bound = {name: find_memory_bound(list_operations(), gpu) for name, gpu in GPUS.items()}
    for operation in list_operations():
        sides = [f"{gpu}: {'memory-bound' if operation in memory_bound[gpu] else 'compute-bound'}" for gpu in GPUS]
        print(f"{operation:42}", *(f"{side:30}" for side in sides))

# %% exercise="memory_bound" right="one_tensor_per_unit"
"""All operations at once in float64 tensors: roofline for each unit, chosen by a mask of units, and the names by nonzero."""
def find_memory_bound(operations, gpu):
    names = list(operations)
    if not names:
        return []
    flops, moved, units = zip(*operations.values())
    intensity = torch.tensor(flops, dtype=torch.float64) / torch.tensor(moved, dtype=torch.float64)
    bound = torch.zeros(len(names), dtype=torch.bool)
    for unit in set(units):
        mine = torch.tensor([u == unit for u in units])
        bound |= mine & (roofline(intensity, gpu[unit], gpu["bandwidth"]) < gpu[unit])
    return [names[i] for i in bound.nonzero().flatten().tolist()]


# The finding: a dict with the name of each GPU in GPUS -> its list of names. Your function fills it: leave this part.
memory_bound = None
if ready(lambda: list(find_memory_bound(list_operations(), GPUS["H100 SXM"]))):
    memory_bound = {name: find_memory_bound(list_operations(), gpu) for name, gpu in GPUS.items()}
    for operation in list_operations():
        sides = [f"{gpu}: {'memory-bound' if operation in memory_bound[gpu] else 'compute-bound'}" for gpu in GPUS]
        print(f"{operation:42}", *(f"{side:30}" for side in sides))

# %% exercise="leaky_relu" right="factor_per_lane"
"""Chooses the factor of each lane, 1 or slope, and multiplies once."""
@triton.jit
def leaky_relu_kernel(x_ptr, out_ptr, n, slope, BLOCK: tl.constexpr):
    index = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    value = tl.load(x_ptr + index, mask=index < n, other=0.0)
    factor = tl.where(value > 0, 1.0, slope)
    tl.store(out_ptr + index, value * factor, mask=index < n)


def leaky_relu(x, slope=0.01, block=256):
    n = x.numel()
    out = torch.empty_like(x)
    leaky_relu_kernel[((n + block - 1) // block,)](x, out, n, slope, BLOCK=block)
    return out

# %% exercise="leaky_relu" right="two_disjoint_stores"
"""Two stores with disjoint masks, the positive lanes unchanged and the others scaled; one program too many at times."""
@triton.jit
def leaky_relu_kernel(x_ptr, out_ptr, n, slope, BLOCK: tl.constexpr):
    index = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    exists = index < n
    value = tl.load(x_ptr + index, mask=exists, other=0.0)
    positive = value > 0
    tl.store(out_ptr + index, value, mask=exists & positive)
    tl.store(out_ptr + index, slope * value, mask=exists & (positive == 0))


def leaky_relu(x, slope=0.01, block=256):
    n = x.numel()
    out = torch.empty_like(x)
    leaky_relu_kernel[(n // block + 1,)](x, out, n, slope, BLOCK=block)
    return out

# %% exercise="leaky_relu" right="four_blocks_per_program"
"""Four blocks per program in a while loop that ends at n, the fewest programs allowed."""
@triton.jit
def leaky_relu_kernel(x_ptr, out_ptr, n, slope, BLOCK: tl.constexpr):
    start = tl.program_id(0) * (4 * BLOCK)
    end = tl.minimum(start + 4 * BLOCK, n)
    while start < end:
        index = start + tl.arange(0, BLOCK)
        value = tl.load(x_ptr + index, mask=index < end)
        tl.store(out_ptr + index, tl.where(value <= 0, slope * value, value), mask=index < end)
        start += BLOCK


def leaky_relu(x, slope=0.01, block=256):
    out = torch.empty_like(x)
    n = x.numel()
    leaky_relu_kernel[(triton.cdiv(n, 4 * block),)](x, out, n, slope, BLOCK=block)
    return out
