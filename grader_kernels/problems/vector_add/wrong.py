"""What goes wrong: the group that it loses, and words that the verdict holds."""

# %% wrong="grid_without_the_tail" loses="right" says="never written by a kernel"
"""`n // block` programs: the elements behind the last full block are never computed.

How many programs cover the last element when n is not a multiple of block?
"""
edit("(triton.cdiv(n, block),)", "(n // block,)")

# %% wrong="grid_without_the_tail_but_one" loses="right" says="never written by a kernel"
"""`n // block` programs, or one where that is none: vectors shorter than a block come out right, but behind the last
full block of a longer one nothing is computed.

How many programs cover 300 elements when block is 256?
"""
edit("(triton.cdiv(n, block),)", "(max(1, n // block),)")

# %% wrong="only_one_program" loses="right" says="never written by a kernel"
"""Only the first block is written: the kernel does not use its program number.

What is different in program 1? Where do its elements start?
"""
edit("tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)", "tl.arange(0, BLOCK)")

# %% wrong="starts_at_pid" loses="right" says="never written by a kernel"
"""Program `pid` starts at element `pid`, so neighbouring programs share all but one of their elements, and the end of
the vector is never reached.

How many elements did the programs before this one take?
"""
edit("tl.program_id(0) * BLOCK", "tl.program_id(0)")

# %% wrong="no_masks" loses="safe" says="are outside"
"""A load has no mask: the last program reads memory that belongs to somebody else. The store needs one, too.

Which lanes of the last program have no element?
"""
edit(", mask=mask", "", times=3)

# %% wrong="off_by_one_mask" loses="safe" says="are outside"
"""The mask lets element n through. The last element of a vector of n is number n - 1.

Which is the first offset that has no element?
"""
edit("offsets < n", "offsets <= n")

# %% wrong="mask_of_lane_numbers" loses="safe" says="are outside"
"""The mask compares the lane number with n, not the element number: only program 0 gets it right.

Lane 2 of program 2: which element is it, and does it exist?
"""
edit("mask = offsets < n", "mask = tl.arange(0, BLOCK) < n")

# %% wrong="strides_ignored" loses="right" says="stride"
"""The kernel takes neighbours in memory for neighbours in the vector. With x[::2] it adds numbers that are not in x.

Where does element 3 of a vector with stride 2 lie?
"""
edit("offsets * x_stride", "offsets")
edit("offsets * y_stride", "offsets")

# %% wrong="one_stride_for_both" loses="right" says="stride"
"""The stride of x is used for y as well. The two vectors may lie in memory differently.

Try y with another stride than x: which of the two strides does the second load use?
"""
edit("offsets * y_stride", "offsets * x_stride")

# %% wrong="mask_of_addresses_in_x" loses="right" says="never written by a kernel"
"""The mask compares where x's element lies with n. With a stride of 2 the second half of x is taken for what lies
behind the end. n counts elements, not places in memory.

x[::2] has 10 elements. Which offset has its last one, and how far from x_ptr does it lie?
"""
edit("mask = offsets < n", "mask = offsets * x_stride < n")

# %% wrong="mask_of_addresses" loses="right" says="never written by a kernel"
"""The mask compares places in memory with n: offsets times a stride. With a stride of 2 the second half of a vector is
taken for what lies behind the end. n counts elements.

x[::2] has 10 elements. Which offset has its last one, and how far from x_ptr does it lie?
"""
edit("mask = offsets < n", "mask = (offsets * x_stride < n) & (offsets * y_stride < n)")

# %% wrong="calls_torch" loses="right" says="torch computed it"
"""The launcher adds with torch. No kernel is launched, so there is nothing to judge.

Which line starts your kernel?
"""
def vector_add(x, y, block=256):
    return x + y

# %% wrong="partly_written" loses="right" says="never written by a kernel"
"""Each program writes only the first half of its block; the other half of the result is what happened to lie there.

Who writes element BLOCK - 1?
"""
edit("tl.arange(0, BLOCK)", "tl.arange(0, BLOCK // 2)")

# %% wrong="adds_in_half_precision" loses="right" says="float16"
"""The sum is taken in float16, which has 11 binary digits. x and y may be float32.

In which dtype are x and y when they come out of tl.load?
"""
edit("x + y, mask", "x.to(tl.float16) + y.to(tl.float16), mask")

# %% wrong="adds_in_bfloat16" loses="right" says="float16"
"""The sum is taken in bfloat16, which has 8 binary digits. x and y may be float32.

In which dtype are x and y when they come out of tl.load?
"""
edit("x + y, mask", "x.to(tl.bfloat16) + y.to(tl.bfloat16), mask")

# %% wrong="overlapping_programs" loses="lean" says="x is read"
"""Numbers are moved more than once. Either the programs overlap, as when each starts half a block behind the one before
and every element is computed twice, or a program loads what it has already.

Does the verdict count the result twice as well, or only an input? At which element does program 1 have to start?
"""
edit("tl.program_id(0) * BLOCK", "tl.program_id(0) * (BLOCK // 2)")
edit("triton.cdiv(n, block)", "triton.cdiv(2 * n, block)")

# %% wrong="lanes_far_apart" loses="compiles" says="bits at a time"
"""Neighbouring lanes don't take neighbouring elements in rising order, so a load brings one element at a time.

Which element should the lane beside yours take, for the memory to hand over both at once?
"""
edit("tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)", "tl.program_id(0) + tl.arange(0, BLOCK) * tl.num_programs(0)")

# %% wrong="block_size_as_a_global" loses="compiles" says="BLOCK_SIZE"
"""The kernel takes its block size from a variable outside of it. A kernel is compiled by itself: it knows its
parameters and constants declared as tl.constexpr, nothing else.

How does `block` get into the kernel as a number the compiler knows?
"""
edit("@triton.jit", "BLOCK_SIZE = 32\n\n\n@triton.jit")
edit("tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)", "tl.program_id(0) * BLOCK_SIZE + tl.arange(0, BLOCK_SIZE)")
edit("triton.cdiv(n, block)", "triton.cdiv(n, BLOCK_SIZE)")
