"""Right answers of unit 00 in other styles: each must get full points."""

# %% exercise="fix_the_stub" right="adds_to_itself"
def fix_the_stub(x):
    return x + x


# %% exercise="fix_the_stub" right="clone_then_in_place"
def fix_the_stub(x):
    out = x.clone()
    out *= 2.0
    return out


# %% exercise="program_offsets" right="range_with_bounds"
def program_offsets(pid, block, n):
    first = pid * block
    offsets = torch.arange(first, first + block)
    return offsets, torch.lt(offsets, n)


# %% exercise="program_offsets" right="python_loop"
def program_offsets(pid, block, n):
    numbers = [pid * block + lane for lane in range(block)]
    return torch.tensor(numbers), torch.tensor([number < n for number in numbers])


# %% exercise="count_bytes" right="loop_over_tensors"
def count_bytes(inputs, out_dtype):
    def size(shape):
        elements = 1
        for dimension in shape:
            elements *= dimension
        return elements

    total = 0
    for shape, dtype in inputs:
        total += size(shape) * dtype.itemsize
    return total + size(torch.broadcast_shapes(*[tuple(s) for s, _ in inputs])) * out_dtype.itemsize


# %% exercise="count_bytes" right="meta_tensors"
def count_bytes(inputs, out_dtype):
    tensors = [torch.empty(shape, dtype=dtype, device="meta") for shape, dtype in inputs]
    out = torch.broadcast_tensors(*tensors)[0]
    return sum(t.numel() * t.element_size() for t in tensors) + out.numel() * out_dtype.itemsize


# %% exercise="roofline" right="minimum"
def roofline(intensity, peak, bandwidth):
    return torch.minimum(intensity * bandwidth, torch.full_like(intensity, peak))


# %% exercise="roofline" right="left_and_right_of_the_ridge"
def roofline(intensity, peak, bandwidth):
    ridge = peak / bandwidth
    return torch.where(intensity < ridge, bandwidth * intensity, torch.full_like(intensity, peak))


# %% exercise="fused_scale_add" right="fused_multiply_add"
@triton.jit
def fused_scale_add_kernel(x_ptr, y_ptr, out_ptr, n, alpha, x_stride, y_stride, BLOCK: tl.constexpr):
    index = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = index < n
    result = tl.load(y_ptr + index * y_stride, mask=inside, other=0.0)
    result += tl.load(x_ptr + index * x_stride, mask=inside, other=0.0) * alpha
    tl.store(out_ptr + index, result, mask=inside)


def fused_scale_add(x, y, alpha, block=256):
    n = x.numel()
    out = torch.empty((n,), dtype=x.dtype, device=x.device)
    fused_scale_add_kernel[(-(-n // block),)](x, y, out, n, alpha, x.stride(0), y.stride(0), BLOCK=block)
    return out


# %% exercise="fused_scale_add" right="own_block_size"
@triton.jit
def fused_scale_add_kernel(x_ptr, y_ptr, out_ptr, n, alpha, x_stride, y_stride, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + offsets * x_stride, mask=offsets < n)
    y = tl.load(y_ptr + offsets * y_stride, mask=offsets < n)
    tl.store(out_ptr + offsets, x * alpha + y, mask=offsets < n)


def fused_scale_add(x, y, alpha, block=256):
    n = x.shape[0]
    out = torch.empty(n, dtype=x.dtype, device=x.device)
    fused_scale_add_kernel[(triton.cdiv(n, 32),)](x, y, out, n, alpha, x.stride(0), y.stride(0), BLOCK=32)
    return out


# %% exercise="fusion_bytes" right="by_hand"
def fusion_bytes(n, dtype):
    vector = n * dtype.itemsize
    first = vector + vector  # read x, write t
    second = vector + vector + vector  # read t, read y, write
    return first + second, 3 * vector


# %% exercise="fusion_bytes" right="list_result"
def fusion_bytes(n, dtype):
    shape = (n,)
    unfused = count_bytes([(shape, dtype)], dtype) + count_bytes([(shape, dtype), (shape, dtype)], dtype)
    return [unfused, count_bytes([(shape, dtype)] * 2, dtype)]


# %% exercise="memory_bound" right="compares_with_the_ridge"
def find_memory_bound(operations, gpu):
    def ridge(unit):
        return gpu[unit] / gpu["bandwidth"]

    return [name for name, (flops, moved, unit) in operations.items() if flops / moved < ridge(unit)]


memory_bound = {name: find_memory_bound(list_operations(), gpu) for name, gpu in GPUS.items()}


# %% exercise="memory_bound" right="compares_times"
def find_memory_bound(operations, gpu):
    found = []
    for name in operations:
        flops, moved, unit = operations[name]
        if moved / gpu["bandwidth"] > flops / gpu[unit]:
            found += [name]
    return found


memory_bound = {}
for gpu_name in GPUS:
    memory_bound[gpu_name] = find_memory_bound(list_operations(), GPUS[gpu_name])


# %% exercise="leaky_relu" right="maximum_and_minimum"
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


# %% exercise="leaky_relu" right="one_program_too_many"
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
