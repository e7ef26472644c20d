"""What goes wrong: the group that it loses, and words that the verdict holds."""

# %% wrong="as_published" loses="right" says="never written by a kernel"
"""The grid is not repaired yet: n // block programs, so the last elements are never computed, whatever the kernel
masks.

Print the number of programs for n = 1000 and block = 256. Who computes element 999?
"""
edit("tl.where(x > 0, x, slope * x), mask=inside", "tl.where(x > 0, x, slope * x)")
edit("(triton.cdiv(x.numel(), block),)", "(x.numel() // block,)")

# %% wrong="grid_without_the_tail_but_one" loses="right" says="never written by a kernel"
"""`n // block` programs, or one where that is none: vectors shorter than a block come out right, but behind the last
full block of a longer one nothing is computed.

How many programs cover 300 elements when block is 256?
"""
edit("(triton.cdiv(x.numel(), block),)", "(max(1, x.numel() // block),)")

# %% wrong="store_not_masked" loses="safe" says="are outside"
"""The grid is repaired, and now the second mistake shows: the last program writes beyond the end of the result.

Load and store both touch memory. Which of them knows about n?
"""
edit("tl.where(x > 0, x, slope * x), mask=inside", "tl.where(x > 0, x, slope * x)")

# %% wrong="tail_left_at_zero" loses="right" says="never written by a kernel"
"""The result starts as zeros, so the missing tail is no longer random, but it is still missing.

Is leaky_relu(-3) equal to 0?
"""
edit("torch.empty_like(x)", "torch.zeros_like(x)", times=2)
edit("(triton.cdiv(x.numel(), block),)", "(x.numel() // block,)")

# %% wrong="slope_on_both_sides" loses="right" says="Positive numbers"
"""Positive numbers are multiplied by the slope, too.

What should leaky_relu(3) be?
"""
edit("tl.where(x > 0, x, slope * x), mask", "slope * x, mask")

# %% wrong="sides_exchanged" loses="right" says="Positive numbers"
"""The two sides are exchanged: positive numbers are multiplied by the slope, negative ones stay what they are.

What should leaky_relu(3) be, and what leaky_relu(-3)?
"""
edit("tl.where(x > 0, x, slope * x), mask", "tl.where(x < 0, x, slope * x), mask")

# %% wrong="slope_fixed" loses="right" says="multiplied by the slope"
"""The kernel multiplies by 0.01 and never looks at the argument `slope`.

What should leaky_relu(-4) be with a slope of 0.25?
"""
edit("tl.where(x > 0, x, slope * x), mask", "tl.where(x > 0, x, 0.01 * x), mask")

# %% wrong="calls_torch" loses="right" says="torch computed it"
"""The kernel was replaced by torch. The task is to repair it.

Which line starts your kernel?
"""
def leaky_relu(x, slope=0.01, block=256):
    return torch.nn.functional.leaky_relu(x, slope)

# %% wrong="x_loaded_twice" loses="lean" says="x is read twice"
"""The kernel loads x once more for the negative side, so x crosses the memory bus twice.

The numbers of this program are in `x` already. Where do they lie: in registers, or in memory?
"""
edit("x, slope * x), mask", "x, slope * tl.load(x_ptr + offsets, mask=inside)), mask")
