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

# %% wrong="one_program_for_all" loses="right" says="never written by a kernel"
"""The grid has a single program, so only the first block of the result is written.

How many blocks does n need?
"""
edit("(triton.cdiv(n, block),)", "(1,)")

# %% wrong="grid_for_blocks_of_256" loses="right" says="never written by a kernel"
"""The grid is counted for blocks of 256, but a program holds `block` elements. For a smaller block there are too few
programs, and the end of the vector is never written.

n = 100 and block = 16: how many programs does your launcher start, and how many elements do those reach?
"""
edit("triton.cdiv(n, block)", "triton.cdiv(n, 256)")

# %% wrong="no_masks" loses="safe" says="are outside"
"""A load has no mask: the last program reads memory that belongs to somebody else. The store needs one, too.

Which lanes of the last program have no element?
"""
edit(", mask=mask", "", times=3)

# %% wrong="mask_one_too_far" loses="safe" says="are outside"
"""The mask lets element n through. The last element of a vector of n is number n - 1.

Which is the first offset that has no element?
"""
edit("mask = offsets < n", "mask = offsets < n + 1")

# %% wrong="strides_ignored" loses="right" says="stride"
"""The kernel takes neighbours in memory for neighbours in the vector, whatever the stride.

Where does element 3 of a vector with stride 2 lie?
"""
edit("offsets * x_stride", "offsets")
edit("offsets * y_stride", "offsets")

# %% wrong="dense_y" loses="right" says="stride"
"""Only x is read with its stride: neighbours in memory are taken for neighbours in y.

Which numbers does your kernel add when y is every other element of a longer vector?
"""
edit("offsets * y_stride", "offsets")

# %% wrong="blocks_of_256_always" loses="compiles" says="bits at a time"
"""The programs hold 256 elements whatever `block` says. With 128 threads that is two elements for each, so a load can't
bring four at once.

Which block size does the caller ask for, and where in your launcher does it arrive?
"""
edit("triton.cdiv(n, block)", "triton.cdiv(n, 256)")
edit("BLOCK=block", "BLOCK=256")

# %% wrong="alpha_on_the_sum" loses="right" says="alpha multiplies"
"""alpha multiplies the sum: this is alpha * (x + y).

Which of the two vectors should alpha = 0 leave over?
"""
edit("alpha * x + y, mask", "alpha * (x + y), mask")

# %% wrong="alpha_on_y" loses="right" says="alpha multiplies"
"""alpha multiplies y instead of x: this is x + alpha * y.

Read the formula again: which vector is scaled?
"""
edit("alpha * x + y, mask", "x + alpha * y, mask")

# %% wrong="alpha_as_an_int" loses="right" says="alpha multiplies"
"""alpha is cut to a whole number on its way to the kernel: 1.7 becomes 1, and 0.5 becomes 0.

What is int(0.5)? Which kind of number does the docstring promise?
"""
edit("out, n, alpha,", "out, n, int(alpha),")

# %% wrong="half_precision_inside" loses="right" says="float16"
"""The product is rounded to half precision on its way: the answer is right to three digits only.

What dtype do the numbers have between load and store?
"""
edit("alpha * x + y, mask", "(alpha * x).to(tl.float16) + y, mask")

# %% wrong="calls_torch" loses="right" says="torch computed it"
"""The launcher computes with torch. No kernel is launched, so there is nothing to judge.

Which line starts your kernel?
"""
def fused_scale_add(x, y, alpha, block=256):
    return alpha * x + y

# %% wrong="torch_scales_first" loses="right" says="torch computed it"
"""torch multiplies x by alpha, and the kernel adds. That is a launch of torch's own, and x and the product go through
memory once more than they need to.

What does fused mean, in launches?
"""
edit("alpha * x + y, mask=mask", "x + y, mask=mask")
edit("    n = x.shape[0]\n", "    x = alpha * x\n    n = x.shape[0]\n")

# %% wrong="result_never_written" loses="right" says="never written by a kernel"
"""The kernel computes the result and does not store it: the caller gets whatever lay in memory.

Which line of your kernel puts numbers into memory?
"""
edit("tl.store(out_ptr + offsets, alpha * x + y, mask=mask)", "result = alpha * x + y")

# %% wrong="adds_in_place" loses="safe" says="the input y"
"""The result is also written over y, which belongs to the caller.

Who may still need the numbers in y after your launch?
"""
edit("tl.store(out_ptr + offsets, alpha * x + y, mask=mask)", """
    tl.store(y_ptr + offsets * y_stride, alpha * x + y, mask=mask)
    tl.store(out_ptr + offsets, alpha * x + y, mask=mask)
""")

# %% wrong="two_kernels" loses="lean" says="between the kernels"
"""The product is written to memory by one kernel and read again by the next. The numbers are right, but fused means
that the product never leaves the program that made it.

How many bytes does the product cost on its way through memory, and what would it cost in a register?
"""
@triton.jit
def scale_kernel(x_ptr, out_ptr, n, alpha, x_stride, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
    tl.store(out_ptr + offsets, alpha * tl.load(x_ptr + offsets * x_stride, mask=mask), mask=mask)


@triton.jit
def add_kernel(x_ptr, y_ptr, out_ptr, n, y_stride, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
    x = tl.load(x_ptr + offsets, mask=mask)
    y = tl.load(y_ptr + offsets * y_stride, mask=mask)
    tl.store(out_ptr + offsets, x + y, mask=mask)


def fused_scale_add(x, y, alpha, block=256):
    n = x.shape[0]
    product = torch.empty(n, dtype=x.dtype, device=x.device)
    out = torch.empty(n, dtype=x.dtype, device=x.device)
    grid = (triton.cdiv(n, block),)
    scale_kernel[grid](x, product, n, alpha, x.stride(0), BLOCK=block)
    add_kernel[grid](product, y, out, n, y.stride(0), BLOCK=block)
    return out
