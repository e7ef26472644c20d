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
