"""What goes wrong: the group that it loses, and words that the verdict holds."""

# %% wrong="eps_outside_the_root" loses="right" says="eps under the root"
"""eps is added to the root mean square instead of to the mean of the squares.

Where does eps stand in the docstring, under the root or beside it? Try a row of small numbers.
"""
edit("tl.sqrt(tl.sum(x * x, axis=0) / n_cols + eps)", "tl.sqrt(tl.sum(x * x, axis=0) / n_cols) + eps")

# %% wrong="no_root" loses="right" says="the square root of the mean"
"""The row is divided by its mean square; the root is missing.

Root mean square: which word did you skip? A row that is twice as long should come out the same.
"""
edit("tl.sqrt(tl.sum(x * x, axis=0) / n_cols + eps)", "tl.sum(x * x, axis=0) / n_cols + eps")

# %% wrong="length_instead_of_mean" loses="right" says="the mean of the squares"
"""The row is divided by the root of the sum of its squares: every row gets length 1, not root mean square 1.

By how much do the numbers of a row of 400 shrink this way?
"""
edit("tl.sum(x * x, axis=0) / n_cols", "tl.sum(x * x, axis=0)")

# %% wrong="mean_over_the_block" loses="right" says="not counted in the mean"
"""The sum of the squares is divided by BLOCK, so the lanes past the end of the row are counted in the mean.

How many numbers has the row, and how many lanes has the block?
"""
edit("tl.sum(x * x, axis=0) / n_cols", "tl.sum(x * x, axis=0) / BLOCK")

# %% wrong="subtracts_the_mean" loses="right" says="mean of x is not subtracted"
"""The mean of the row is subtracted first, as in layer normalisation.

RMSNorm leaves one thing of LayerNorm away. What comes out for a row whose numbers are all 30?
"""
edit(
    "rms = tl.sqrt(tl.sum(x * x, axis=0) / n_cols + eps)",
    """
    x = tl.where(inside, x - tl.sum(x, axis=0) / n_cols, 0.0)
    rms = tl.sqrt(tl.sum(x * x, axis=0) / n_cols + eps)
    """,
)

# %% wrong="no_weight" loses="right" says="then the weight"
"""The rows are normalised, but the weight is never used.

Which argument of the launcher does no line of the kernel read?
"""
edit("weight = tl.load(weight_ptr + columns, mask=inside, other=0.0).to(tl.float32)", "")
edit("x / rms * weight", "x / rms")

# %% wrong="squares_in_half_precision" loses="right" says="square and add up in float32"
"""The squares are taken in the dtype of x: 400 times 400 is more than float16 can hold.

In which line does x become float32? It must come before the product.
"""
edit("x_col, mask=inside, other=0.0).to(tl.float32)", "x_col, mask=inside, other=0.0)")
edit("tl.sum(x * x, axis=0)", "tl.sum((x * x).to(tl.float32), axis=0)")

# %% wrong="tail_cut_off" loses="right" says="never written by a kernel"
"""The block is the next smaller power of two, so the last columns of a row belong to no lane.

Who writes column 70 of a row of 75?
"""
edit("triton.next_power_of_2(n_cols)", "triton.next_power_of_2(n_cols + 1) // 2")

# %% wrong="no_masks" loses="safe" says="are outside"
"""A load has no mask: the lanes past the end of the row read numbers that are not theirs. The store needs one, too.

Which programs touch memory past the end? Compare the column's number with n.
"""
edit(", mask=inside, other=0.0", "", times=2)
edit(", mask=inside", "")

# %% wrong="rows_assumed_contiguous" loses="right" says="Ask x for both of its strides"
"""Addresses are row * C + column, which is right for contiguous tensors only.

Ask x for both of its strides. What are they for x.t()?
"""
edit("x.stride(0), x.stride(1)", "n_cols, 1")

# %% wrong="copied_to_be_contiguous" loses="lean" says="to copy or fill with torch"
"""x.contiguous() makes a copy when x is strided: all of it is read and written once more, before your kernel begins.

What would the kernel need in order to read x where it lies?
"""
edit(
    "n_rows, n_cols = x.shape",
    """
    x = x.contiguous()
    n_rows, n_cols = x.shape
    """,
)

# %% wrong="second_walk" loses="lean" says="x is read twice"
"""The row is walked twice, once for the sum and once to write: x is read twice, although a row fits into a block.

Where are the numbers after the first load? Give the block all columns.
"""
edit(
    """
    columns = tl.arange(0, BLOCK)
    inside = columns < n_cols
    x = tl.load(x_ptr + row * x_row + columns * x_col, mask=inside, other=0.0).to(tl.float32)
    weight = tl.load(weight_ptr + columns, mask=inside, other=0.0).to(tl.float32)
    rms = tl.sqrt(tl.sum(x * x, axis=0) / n_cols + eps)
    tl.store(out_ptr + row * n_cols + columns, x / rms * weight, mask=inside)
    """,
    """
    squares = tl.zeros((BLOCK,), tl.float32)
    for start in range(0, n_cols, BLOCK):
        columns = start + tl.arange(0, BLOCK)
        x = tl.load(x_ptr + row * x_row + columns * x_col, mask=columns < n_cols, other=0.0).to(tl.float32)
        squares += x * x
    rms = tl.sqrt(tl.sum(squares, axis=0) / n_cols + eps)
    for start in range(0, n_cols, BLOCK):
        columns = start + tl.arange(0, BLOCK)
        x = tl.load(x_ptr + row * x_row + columns * x_col, mask=columns < n_cols, other=0.0).to(tl.float32)
        weight = tl.load(weight_ptr + columns, mask=columns < n_cols, other=0.0).to(tl.float32)
        tl.store(out_ptr + row * n_cols + columns, x / rms * weight, mask=columns < n_cols)
    """,
)
edit("BLOCK=triton.next_power_of_2(n_cols)", "BLOCK=32")

# %% wrong="torch_instead_of_a_kernel" loses="right" says="torch computed it"
"""torch does the work; no kernel of yours is launched.

Which line launches your kernel?
"""
def rmsnorm_forward(x, weight, eps=1e-6):
    wide = x.float()
    return (wide * (wide.pow(2).mean(1, keepdim=True) + eps).rsqrt() * weight.float()).to(x.dtype)
