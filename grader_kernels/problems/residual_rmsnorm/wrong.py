"""What goes wrong: the group that it loses, and words that the verdict holds."""

# %% wrong="normalises_x_alone" loses="right" says="come from x + residual"
"""The sum is stored, but y is the normalised x: the residual stream never reaches the next sublayer.

What does a pre-norm sublayer read: the last output, or the stream?
"""
edit("tl.sum(total * total, axis=0)", "tl.sum(x * x, axis=0)")
edit("total / rms * weight", "x / rms * weight")

# %% wrong="root_of_x_alone" loses="right" says="come from x + residual"
"""The sum is divided by the root mean square of x alone.

Which row must have root mean square 1 in the end?
"""
edit("tl.sum(total * total, axis=0)", "tl.sum(x * x, axis=0)")

# %% wrong="total_is_the_old_residual" loses="right" says="come from x + residual"
"""The second result is the residual as it came in: the sublayer's output is lost for all later layers.

What should the next layer add to?
"""
edit("columns, total, mask=inside", "columns, old, mask=inside")

# %% wrong="results_swapped" loses="right" says="y is the first result"
"""The sum is returned first and the normalised rows second.

In which order does the docstring name the two results?
"""
edit("return out, total", "return total, out")

# %% wrong="mean_over_the_block" loses="right" says="not counted in the mean"
"""The sum of the squares is divided by BLOCK, so the lanes past the end of the row are counted in the mean.

How many numbers has the row, and how many lanes has the block?
"""
edit("/ n_cols", "/ BLOCK")

# %% wrong="eps_outside_the_root" loses="right" says="First the sum, then its root mean square"
"""eps is added to the root mean square instead of to the mean of the squares.

Where does eps stand in rmsnorm_forward?
"""
edit("tl.sqrt(tl.sum(total * total, axis=0) / n_cols + eps)", "tl.sqrt(tl.sum(total * total, axis=0) / n_cols) + eps")

# %% wrong="squares_in_half_precision" loses="right" says="Square and add up in float32"
"""The sum is squared in the dtype of x: 400 times 400 is more than float16 can hold.

Which numbers must be float32 before they are multiplied?
"""
edit(
    "rms = tl.sqrt(tl.sum(total * total, axis=0) / n_cols + eps)",
    """
    half = total.to(x_ptr.dtype.element_ty)
    rms = tl.sqrt(tl.sum((half * half).to(tl.float32), axis=0) / n_cols + eps)
    """,
)

# %% wrong="residual_updated_in_place" loses="safe" says="the input residual"
"""The sum is written over the residual, which belongs to the caller.

Backward still needs the old stream. Where may the sum go instead?
"""
edit(
    "tl.store(total_ptr + row * n_cols + columns, total, mask=inside)",
    """
    tl.store(total_ptr + row * n_cols + columns, total, mask=inside)
    tl.store(residual_ptr + row * residual_row + columns * residual_col, total, mask=inside)
    """,
)

# %% wrong="sum_read_back" loses="lean" says="is read back after it was written"
"""The sum is stored and loaded again at once. The numbers are the same, and every one of them travels once more.

Which variable holds the sum already?
"""
edit(
    "tl.store(total_ptr + row * n_cols + columns, total, mask=inside)",
    """
    tl.store(total_ptr + row * n_cols + columns, total, mask=inside)
    total = tl.load(total_ptr + row * n_cols + columns, mask=inside, other=0.0).to(tl.float32)
    """,
)

# %% wrong="two_launches" loses="lean" says="returned tensor 1 is read back"
"""One launch adds, a second one reads the sum back to normalise it: right numbers, a quarter more bytes.

After the add the row is in registers. What keeps you from going on there?
"""
edit(
    """
    weight = tl.load(weight_ptr + columns, mask=inside, other=0.0).to(tl.float32)
    total = x + old
    """,
    "tl.store(total_ptr + row * n_cols + columns, x + old, mask=inside)",
)
edit("rms = tl.sqrt(tl.sum(total * total, axis=0) / n_cols + eps)", "")
edit("tl.store(total_ptr + row * n_cols + columns, total, mask=inside)", "")
edit("tl.store(out_ptr + row * n_cols + columns, total / rms * weight, mask=inside)", "")
edit(
    "def residual_rmsnorm(x",
    """
    @triton.jit
    def norm_kernel(total_ptr, weight_ptr, out_ptr, n_cols, eps, BLOCK: tl.constexpr):
        row = tl.program_id(0)
        columns = tl.arange(0, BLOCK)
        inside = columns < n_cols
        total = tl.load(total_ptr + row * n_cols + columns, mask=inside, other=0.0).to(tl.float32)
        weight = tl.load(weight_ptr + columns, mask=inside, other=0.0).to(tl.float32)
        rms = tl.sqrt(tl.sum(total * total, axis=0) / n_cols + eps)
        tl.store(out_ptr + row * n_cols + columns, total / rms * weight, mask=inside)


    def residual_rmsnorm(x""",
)
edit(
    "return out, total",
    """
    norm_kernel[(n_rows,)](total, weight, out, n_cols, eps, BLOCK=triton.next_power_of_2(n_cols))
    return out, total
    """,
)

# %% wrong="strides_of_x_for_the_residual" loses="right" says="check the strides"
"""The residual is read with the strides of x, but the two lie in memory in ways of their own.

Which tensor do you have to ask for o0 and o1?
"""
edit("*x.stride(), *residual.stride()", "*x.stride(), *x.stride()")

# %% wrong="no_masks" loses="safe" says="are outside"
"""A load has no mask: the lanes past the end of the row read numbers that are not theirs. The stores need one, too.

Which programs touch memory past the end? Compare the column's number with n.
"""
edit(", mask=inside, other=0.0", "", times=3)
edit(", mask=inside", "", times=2)

# %% wrong="torch_adds" loses="right" says="torch computed it"
"""torch adds the two before the launch, so the sum is written and read back, and the second result comes from no
kernel.

Which two pointers does the kernel need to add the rows itself?
"""
edit(
    """
    x = tl.load(x_ptr + row * x_row + columns * x_col, mask=inside, other=0.0).to(tl.float32)
    old = tl.load(residual_ptr + row * residual_row + columns * residual_col, mask=inside, other=0.0).to(tl.float32)
    """,
    "total = tl.load(total_ptr + row * n_cols + columns, mask=inside, other=0.0).to(tl.float32)",
)
edit("total = x + old", "")
edit("tl.store(total_ptr + row * n_cols + columns, total, mask=inside)", "")
edit("total = torch.empty((n_rows, n_cols), dtype=x.dtype, device=x.device)", "total = (x + residual).contiguous()")
