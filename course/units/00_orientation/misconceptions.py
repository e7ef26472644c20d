"""Wrong answers of unit 00 that learners give: each cell edits a solution, or replaces it. Only the sentences ship."""

# %% exercise="fix_the_stub" wrong="prints_instead_of_returning"
"""The function prints the answer and returns nothing, so the caller receives None.

Which word hands a value back to the caller?
"""
edit("return 2 * x", "print(2 * x)")

# %% exercise="fix_the_stub" wrong="changes_the_argument"
"""The doubling happens inside the caller's tensor: `x *= 2` writes into x itself.

What does x hold after the call? Which expression makes a new tensor?
"""
edit(
    "return 2 * x",
    """
    x *= 2
    return x
    """,
)

# %% exercise="fix_the_stub" wrong="squares"
"""Each number is squared. Twice and squared agree at 0 and at 2 only.

What should become of -3?
"""
edit("return 2 * x", "return x**2")

# %% exercise="fix_the_stub" wrong="repeats_the_tensor"
"""The tensor is there twice, one copy behind the other, but its numbers are the same as before.

Twice every number, or twice as many numbers? Compare the shapes.
"""
edit("return 2 * x", "return torch.cat([x, x])")

# %% exercise="fix_the_stub" wrong="loops_over_rows_and_columns"
"""The loops take it that x has rows and columns. A vector has no second axis, and a single number has none at all.

Which expression doubles a tensor of any shape at once?
"""
edit(
    "return 2 * x",
    """
    out = torch.empty_like(x)
    for row in range(x.shape[0]):
        for column in range(x.shape[1]):
            out[row, column] = 2 * x[row, column]
    return out
    """,
)

# %% exercise="program_offsets" wrong="starts_at_pid"
"""Program `pid` starts at element `pid`, so neighbouring programs share all but one of their elements.

How many elements did the programs before this one take?
"""
edit("pid * block", "pid")

# %% exercise="program_offsets" wrong="interleaves_the_programs"
"""A program takes every so-many-th element instead of `block` consecutive ones.

Look at the picture: which elements belong to program 1?
"""
edit("pid * block + torch.arange(block)", "pid + (n + block - 1) // block * torch.arange(block)")

# %% exercise="program_offsets" wrong="counts_programs_from_one"
"""The first program is taken to be number 1: everything lies one block too early.

What is the offset of lane 0 in program 0?
"""
edit("pid * block", "(pid - 1) * block")

# %% exercise="program_offsets" wrong="mask_allows_n"
"""The mask lets element n through: `<=` where `<` is meant. With n elements the last one is number n - 1.

How many True are there over all programs together?
"""
edit("offsets < n", "offsets <= n")

# %% exercise="program_offsets" wrong="mask_of_lane_numbers"
"""The mask compares the lane number with n, not the element number: only program 0 gets it right.

Lane 2 of program 2: which element is it, and does it exist?
"""
edit("offsets, offsets < n", "offsets, torch.arange(block) < n")

# %% exercise="program_offsets" wrong="mask_inverted"
"""The mask is True where the element does not exist.

Should a lane with mask True read or stay away?
"""
edit("offsets < n", "offsets >= n")

# %% exercise="program_offsets" wrong="clamps_to_the_last_element"
"""Surplus lanes are sent to the last element, so several lanes would write the same place and the mask never bites.

What should the offset of a lane be that has no element?
"""
edit("pid * block + torch.arange(block)", "(pid * block + torch.arange(block)).clamp(max=n - 1)")

# %% exercise="program_offsets" wrong="surplus_lanes_hold_the_last_number"
"""The mask is right, but the surplus lanes are given the number of the last element. The offsets number the lanes that
have no element, too: what keeps those away from memory is the mask alone.

In a kernel, is there anything left to clamp where the mask is False?
"""
edit("return offsets, offsets < n", "return offsets.clamp(max=n - 1), offsets < n")

# %% exercise="program_offsets" wrong="drops_the_surplus_lanes"
"""The surplus lanes are cut off, so the vectors are shorter than `block`. In a kernel their length is fixed.

How long must both vectors be in the last program?
"""
edit("pid * block + torch.arange(block)", "torch.arange(pid * block, max(pid * block, min((pid + 1) * block, n)))")

# %% exercise="count_bytes" wrong="forgets_the_write"
"""Only the reads are counted. The result has to be written, too.

Where is the result after the kernel has ended?
"""
edit("read + math.prod(out_shape) * out_dtype.itemsize", "read")

# %% exercise="count_bytes" wrong="forgets_the_reads"
"""Only the written result is counted. The inputs come from memory, too.

Which tensors does the kernel need before it can compute?
"""
edit("read + math.prod(out_shape)", "math.prod(out_shape)")

# %% exercise="count_bytes" wrong="counts_elements"
"""These are elements, not bytes.

How many bytes does one element of each dtype take?
"""
edit("math.prod(shape) * dtype.itemsize", "math.prod(shape)")
edit("math.prod(out_shape) * out_dtype.itemsize", "math.prod(out_shape)")

# %% exercise="count_bytes" wrong="four_bytes_for_everything"
"""Every element is counted with four bytes, whatever its dtype.

What is `torch.bfloat16.itemsize`?
"""
edit("math.prod(shape) * dtype.itemsize", "math.prod(shape) * 4")
edit("math.prod(out_shape) * out_dtype.itemsize", "math.prod(out_shape) * 4")

# %% exercise="count_bytes" wrong="counts_bits"
"""This is eight times too much: bits, not bytes.

In which unit does `itemsize` count?
"""
edit(
    "return read + math.prod(out_shape) * out_dtype.itemsize",
    "return 8 * (read + math.prod(out_shape) * out_dtype.itemsize)",
)

# %% exercise="count_bytes" wrong="reads_the_broadcast_size"
"""A broadcast input is counted at the size of the result, as if it were stored that large.

How many numbers of a (1, 1024) bias lie in memory?
"""
edit(
    """
    read = sum(math.prod(shape) * dtype.itemsize for shape, dtype in inputs)
    out_shape = torch.broadcast_shapes(*(shape for shape, _ in inputs))
    """,
    """
    out_shape = torch.broadcast_shapes(*(shape for shape, _ in inputs))
    read = sum(math.prod(out_shape) * dtype.itemsize for shape, dtype in inputs)
    """,
)

# %% exercise="count_bytes" wrong="result_as_large_as_the_largest_input"
"""The result is taken to be as large as the largest input. When each input is broadcast along another dimension, the
result is larger than both.

What is the shape of (5, 1) + (1, 8)?
"""
edit("math.prod(out_shape)", "max(math.prod(shape) for shape, _ in inputs)")

# %% exercise="count_bytes" wrong="equal_inputs_counted_once"
"""Inputs of the same shape and dtype are counted once, as in a set. They are two tensors, and each of them lies in
memory.

For x + y with two vectors: how many vectors are read?
"""
edit("for shape, dtype in inputs)", "for shape, dtype in set(inputs))")

# %% exercise="count_bytes" wrong="a_single_number_is_free"
"""An input of shape () is counted as nothing. It is a tensor with one number, and that is read from memory like all
others.

What is `math.prod(())`?
"""
edit("for shape, dtype in inputs)", "for shape, dtype in inputs if shape)")

# %% exercise="count_bytes" wrong="result_shaped_like_the_first_input"
"""The result is counted with the shape of the first input. When that one is broadcast, the result is larger.

What is the shape of (1, 8) + (5, 8)?
"""
edit("torch.broadcast_shapes(*(shape for shape, _ in inputs))", "inputs[0][0]")

# %% exercise="count_bytes" wrong="result_in_the_input_dtype"
"""The result is counted in the dtype of the first input; `out_dtype` is not used.

How many bytes has one entry of x > y?
"""
edit("out_dtype.itemsize", "inputs[0][1].itemsize")

# %% exercise="count_bytes" wrong="everything_in_the_dtype_of_the_result"
"""The inputs are counted in `out_dtype`, as if they had been converted first. They are read as they are stored.

How many bytes does x > y read for each element of x, and how many does it write?
"""
edit("math.prod(shape) * dtype.itemsize", "math.prod(shape) * out_dtype.itemsize")

# %% exercise="count_bytes" wrong="inputs_in_the_dtype_of_the_first"
"""All inputs are counted in the dtype of the first one. Each has a dtype of its own.

A bf16 tensor plus an fp64 tensor: how many bytes has an element of each?
"""
edit("math.prod(shape) * dtype.itemsize", "math.prod(shape) * inputs[0][1].itemsize")

# %% exercise="count_bytes" wrong="a_bool_is_a_bit"
"""A bool is counted as one bit. Memory is addressed in bytes, and torch stores each bool in one of its own.

What is `torch.bool.itemsize`?
"""
edit(
    """
    read = sum(math.prod(shape) * dtype.itemsize for shape, dtype in inputs)
    out_shape = torch.broadcast_shapes(*(shape for shape, _ in inputs))
    return read + math.prod(out_shape) * out_dtype.itemsize
    """,
    """
    out_shape = torch.broadcast_shapes(*(shape for shape, _ in inputs))
    bits = 0
    for shape, dtype in [*inputs, (out_shape, out_dtype)]:
        bits += math.prod(shape) * (1 if dtype == torch.bool else 8 * dtype.itemsize)
    return math.ceil(bits / 8)
    """,
)

# %% exercise="count_bytes" wrong="a_float_for_an_int"
"""The number is right, but it is a float: numpy's product of an empty shape is 1.0, and a division makes floats too.

Bytes are whole. What does `type(...)` say of your result, and of `math.prod(())`?
"""
edit("return read + ", "return 1.0 * read + ")

# %% exercise="count_bytes" wrong="adds_the_dimensions"
"""The dimensions of a shape are added up. A (5, 8) tensor has 40 elements, not 13.

How many numbers are in 5 rows of 8?
"""
edit("math.prod(shape) * dtype", "sum(shape) * dtype")
edit("math.prod(out_shape)", "sum(out_shape)")

# %% exercise="roofline" wrong="always_peak"
"""Every operation is said to reach peak. Memory does not occur in the answer.

How many bytes a second would an operation with 0.1 FLOP/byte need to reach peak?
"""
edit("(intensity * bandwidth).clamp(max=peak)", "torch.full_like(intensity, peak)")

# %% exercise="roofline" wrong="no_ceiling"
"""The slope is right, but it goes on beyond peak.

What happens at an intensity of a million FLOP/byte?
"""
edit("(intensity * bandwidth).clamp(max=peak)", "intensity * bandwidth")

# %% exercise="roofline" wrong="takes_the_larger_limit"
"""The larger of the two limits is taken. The slower part decides.

Two pipes in a row: which one sets the flow?
"""
edit("max=peak", "min=peak")

# %% exercise="roofline" wrong="divides_by_the_intensity"
"""The bandwidth is divided by the intensity. FLOP/s = FLOP/byte times byte/s.

Write the units beside each factor. What is left?
"""
edit("intensity * bandwidth", "bandwidth / intensity")

# %% exercise="roofline" wrong="divides_by_the_bandwidth"
"""The intensity is divided by the bandwidth. FLOP/s = FLOP/byte times byte/s.

Write the units beside each factor. Should a faster memory make your answer smaller?
"""
edit("intensity * bandwidth", "intensity / bandwidth")

# %% exercise="roofline" wrong="ridge_upside_down"
"""The ridge is taken to lie at bandwidth / peak, so nearly every operation is said to reach peak. The two limits meet
where intensity * bandwidth equals peak.

Solve that for the intensity. Is the ridge of an A100 above or below 1 FLOP/byte?
"""
edit(
    "(intensity * bandwidth).clamp(max=peak)",
    "torch.where(intensity >= bandwidth / peak, torch.full_like(intensity, peak), intensity * bandwidth)",
)

# %% exercise="roofline" wrong="one_side_for_the_whole_tensor"
"""The tensor is taken as one operation: as soon as one number lies right of the ridge, all of them are given peak. Each
number has a side of its own.

What should come out for [0.25, 4000]?
"""
edit(
    "return (intensity * bandwidth).clamp(max=peak)",
    """
    if (intensity * bandwidth >= peak).any():
        return torch.full_like(intensity, peak)
    return intensity * bandwidth
    """,
)

# %% exercise="roofline" wrong="smallest_intensity_for_all"
"""One number comes out for the whole tensor, that of the smallest intensity. Each number of `intensity` is an operation
of its own.

`min(a, b)` and `torch.minimum(a, b)`: which of them compares number by number?
"""
edit(
    "(intensity * bandwidth).clamp(max=peak)",
    "torch.full_like(intensity, min(peak, intensity.min().item() * bandwidth))",
)

# %% exercise="roofline" wrong="peak_in_float32"
"""peak passes through a float32 tensor: `torch.tensor(peak)` keeps seven digits of it, also where `intensity` is
float64.

What is `torch.tensor(989e12).double().item()`? Which dtype should the tensor have from the start?
"""
edit(
    "(intensity * bandwidth).clamp(max=peak)",
    "torch.minimum(intensity * bandwidth, torch.tensor(peak).to(intensity.dtype))",
)

# %% exercise="roofline" wrong="adds_the_times"
"""Time for arithmetic and time for memory are added, as if one waited for the other. They run at the same time.

Far to the right of the ridge, should the answer be below peak or at peak?
"""
edit("(intensity * bandwidth).clamp(max=peak)", "intensity / (intensity / peak + 1 / bandwidth)")

# %% exercise="roofline" wrong="gives_a_share_of_peak"
"""This is the share of peak, a number from 0 to 1. FLOP/s is asked for.

Which unit does your answer have?
"""
edit("intensity * bandwidth", "intensity * bandwidth / peak")
edit("max=peak", "max=1.0")

# %% exercise="fusion_bytes" wrong="intermediate_counted_once"
"""The intermediate result is counted once. It is written by the first kernel and read by the second.

List the reads and the writes of each kernel. In which of them does t stand?
"""
edit("scale + add, add", "scale + add - n * dtype.itemsize, add")

# %% exercise="fusion_bytes" wrong="intermediate_free"
"""The intermediate result is counted nowhere, as if it did not exist. Then both versions move the same bytes.

Where does t wait between the two kernels?
"""
edit("scale + add, add", "add, add")

# %% exercise="fusion_bytes" wrong="two_inputs_for_each_kernel"
"""Both kernels are counted with two inputs. The first one, t = alpha * x, reads a single vector.

List the reads and the writes of each kernel. How many vectors cross the memory bus in all?
"""
edit("scale + add, add", "add + add, add")

# %% exercise="fusion_bytes" wrong="counts_flops"
"""These are FLOPs: two per element, fused or not. Fusing does not change them.

What does the fused kernel do less often: compute, or visit memory?
"""
edit("scale + add, add", "2 * n, 2 * n")

# %% exercise="fusion_bytes" wrong="fused_first"
"""The two counts are in the wrong order: the fused one comes second.

Which of the two should be the larger?
"""
edit("scale + add, add", "add, scale + add")

# %% exercise="fusion_bytes" wrong="alpha_as_a_vector"
"""alpha is counted as a vector of n numbers. It is one number, and it comes with the launch.

Which arguments of your kernel are pointers?
"""
edit("count_bytes([vector], dtype)", "count_bytes([vector, vector], dtype)")
edit("scale + add, add", "scale + add, count_bytes([vector, vector, vector], dtype)")

# %% exercise="fusion_bytes" wrong="alpha_read_from_memory"
"""alpha is counted as a number that is read from memory. It comes with the launch, like n and the strides.

Which arguments of your kernel are pointers?
"""
edit("count_bytes([vector], dtype)", "count_bytes([vector, ((), dtype)], dtype)")
edit("scale + add, add", "scale + add, count_bytes([vector, vector, ((), dtype)], dtype)")

# %% exercise="fusion_bytes" wrong="counts_elements"
"""These are elements, not bytes.

How many bytes does one element of each dtype take?
"""
edit("scale + add, add", "5 * n, 3 * n")

# %% exercise="fusion_bytes" wrong="intermediate_in_float32"
"""The intermediate result is counted as fp32. t has the dtype of x, y and the result, says the docstring.

In which dtype would torch store alpha * x for a bf16 vector x?
"""
edit("scale, add = count_bytes([vector], dtype), ", "scale, add = count_bytes([vector], torch.float32), ")
edit("scale + add, add", "scale + count_bytes([vector, ((n,), torch.float32)], dtype), add")

# %% exercise="fusion_bytes" wrong="fused_result_free"
"""The write of the fused kernel is not counted, as if its result could stay where y was. It has to be written like any
other.

How many vectors does the fused kernel read, and how many does it write?
"""
edit("scale + add, add", "scale + add, add - n * dtype.itemsize")

# %% exercise="fusion_bytes" wrong="floats_for_ints"
"""The numbers are right, but they are floats. Bytes are whole, so the docstring asks for two ints.

Which operation makes a float of ints: a division, `float(...)`, or a 1.0?
"""
edit("scale + add, add", "1.0 * (scale + add), 1.0 * add")

# %% exercise="fusion_bytes" wrong="four_bytes_for_everything"
"""Every element is counted with four bytes, whatever its dtype.

What is `torch.bfloat16.itemsize`?
"""
edit("count_bytes([vector], dtype), count_bytes([vector, vector], dtype)", "8 * n, 12 * n")

# %% exercise="memory_bound" wrong="compute_bound_instead"
"""These are the compute-bound operations, the other half of the table.

An operation reaches less than peak: what is it waiting for?
"""
edit('gpu["bandwidth"]) < gpu[unit]', 'gpu["bandwidth"]) >= gpu[unit]')

# %% exercise="memory_bound" wrong="tensor_peak_for_all"
"""Every operation is held against the peak of the tensor cores. They do nothing but matrix products.

Which unit computes a GELU, and what is its peak?
"""
edit("gpu[unit]", 'gpu["tensor"]', times=2)

# %% exercise="memory_bound" wrong="vector_peak_for_all"
"""Every operation is held against the peak of the vector units. Matrix products run on the tensor cores.

Which peak belongs to a linear layer?
"""
edit("gpu[unit]", 'gpu["vector"]', times=2)

# %% exercise="memory_bound" wrong="same_list_for_both_gpus"
"""The H100's list is the A100's. Each GPU has its own ridge.

Which numbers of the second GPU did you use?
"""
edit("names = []", 'names, gpu = [], GPUS["A100 SXM 80GB"]')

# %% exercise="memory_bound" wrong="lists_exchanged"
"""The function is right, but in the finding each GPU has the other one's list.

Which GPU has more FLOP/s for each byte/s, and so the longer list?
"""
edit(
    "memory_bound = {name: find_memory_bound(list_operations(), gpu) for name, gpu in GPUS.items()}",
    """
    found = [find_memory_bound(list_operations(), gpu) for gpu in GPUS.values()]
    memory_bound = dict(zip(GPUS, reversed(found)))
    """,
)

# %% exercise="memory_bound" wrong="one_list_under_both_names"
"""The function is right, but the finding has the A100's list under both names. More operations are memory-bound on the
H100.

How often is find_memory_bound called, and with which GPUs?
"""
edit(
    "memory_bound = {name: find_memory_bound(list_operations(), gpu) for name, gpu in GPUS.items()}",
    """
    memory_bound = dict.fromkeys(GPUS, find_memory_bound(list_operations(), GPUS["A100 SXM 80GB"]))
    """,
)

# %% exercise="memory_bound" wrong="bandwidth_of_the_h100"
"""The bandwidth is always that of the H100. The function is given the GPU it should ask about.

Which argument holds the bandwidth?
"""
edit('gpu["bandwidth"]', 'GPUS["H100 SXM"]["bandwidth"]')

# %% exercise="memory_bound" wrong="bytes_per_flop"
"""The intensity is upside down: bytes per FLOP, so that what moves much seems to compute much.

What is the intensity of adding two fp32 vectors: 12, or a twelfth?
"""
edit("flops / moved", "moved / flops")

# %% exercise="memory_bound" wrong="ridge_upside_down"
"""The ridge is taken to lie at bandwidth / peak. Hardly any operation has an intensity below that.

In which unit is your ridge: FLOP/byte, or byte/FLOP?
"""
edit('roofline(intensity, gpu[unit], gpu["bandwidth"]) < gpu[unit]', 'intensity < gpu["bandwidth"] / gpu[unit]')

# %% exercise="memory_bound" wrong="intensity_in_whole_numbers"
"""The intensity is cut to a whole number of FLOPs per byte: `//` instead of `/`. Just right of a ridge at 17.4 an
operation with 17.9 FLOP/byte falls to the left of it.

What is 2 // 3? How many FLOP/byte has an operation with two FLOPs on three bytes?
"""
edit("flops / moved", "flops // moved")

# %% exercise="memory_bound" wrong="intensity_and_ridge_in_whole_numbers"
"""Intensity and ridge are both cut to whole numbers of FLOPs per byte: between 17 and a ridge at 17.4, both are 17, and
what lies left of the ridge is not found.

What is 17.1 < 17.4, and what is 17 < 17?
"""
edit('roofline(intensity, gpu[unit], gpu["bandwidth"]) < gpu[unit]', 'flops // moved < gpu[unit] // gpu["bandwidth"]')

# %% exercise="memory_bound" wrong="reaching_peak_counts_too"
"""`<=` lets every operation through: roofline never gives more than peak.

What does an operation reach that is not memory-bound?
"""
edit('gpu["bandwidth"]) < gpu[unit]', 'gpu["bandwidth"]) <= gpu[unit]')

# %% exercise="memory_bound" wrong="sorted_by_name"
"""The right names, in the order of the alphabet. The docstring has the order of the table.

In which order does a dict hand out its items? Do you need to sort?
"""
edit("return names", "return sorted(names)")

# %% exercise="memory_bound" wrong="sorted_by_intensity"
"""The right names, ordered by their intensity. The docstring has the order of the table.

In which order does a dict hand out its items? Do you need to sort?
"""
edit("return names", "return sorted(names, key=lambda name: operations[name][0] / operations[name][1])")

# %% exercise="memory_bound" wrong="below_one_flop_per_byte"
"""An operation is called memory-bound below 1 FLOP/byte. The GPU's two limits meet at a far higher intensity.

What is peak divided by bandwidth on an A100?
"""
edit('roofline(intensity, gpu[unit], gpu["bandwidth"]) < gpu[unit]', "flops < moved")

# %% exercise="memory_bound" wrong="only_elementwise"
"""Elementwise operations are called memory-bound and matrix products compute-bound, without looking at their numbers.

How often is each weight used when a linear layer sees one row?
"""
edit('roofline(intensity, gpu[unit], gpu["bandwidth"]) < gpu[unit]', 'unit == "vector"')
