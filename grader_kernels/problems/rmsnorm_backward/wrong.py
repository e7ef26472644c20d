"""What goes wrong: the group that it loses, and words that the verdict holds."""

# %% wrong="gradient_without_its_second_term" loses="right" says="gives dx its second term"
"""dx is dy * weight * r alone: r is treated as a constant, but every x of the row changes it.

On how many outputs of the row does x_i have an influence?
"""
edit("(g - normed * (tl.sum(g * normed, axis=0) / n_cols)) * r", "g * r")

# %% wrong="weight_left_out_of_the_second_term" loses="right" says="with the mean of dy w x"
"""The second term of dx is made with dy instead of dy * weight.

Which gradient arrives at the normalised row, before the weight or behind it?
"""
edit("tl.sum(g * normed, axis=0)", "tl.sum(dy * normed, axis=0)")

# %% wrong="sum_in_the_second_term" loses="right" says="with the mean of dy w x"
"""The second term holds the sum over the row where the mean belongs.

r was made from a mean: which factor does its derivative bring along?
"""
edit("(tl.sum(g * normed, axis=0) / n_cols)", "tl.sum(g * normed, axis=0)")

# %% wrong="dweight_of_x" loses="right" says="dweight is the sum"
"""dweight is the sum of dy * x, with x as it came in, not normalised.

What is the weight multiplied with in the forward pass?
"""
edit("dweight += dy * normed", "dweight += dy * x")

# %% wrong="mean_over_the_block" loses="right" says="not counted in the mean"
"""The means are taken over BLOCK lanes, so the lanes past the end of the row are counted.

How many numbers has the row, and how many lanes has the block?
"""
edit("/ n_cols", "/ BLOCK", times=2)

# %% wrong="eps_outside_the_root" loses="right" says="The root mean square depends on"
"""eps is added to the root mean square instead of to the mean of the squares, so these are the gradients of another
function.

Which r did the forward pass use?
"""
edit("1 / tl.sqrt(tl.sum(x * x, axis=0) / n_cols + eps)", "1 / (tl.sqrt(tl.sum(x * x, axis=0) / n_cols) + eps)")

# %% wrong="remainder_left_out" loses="right" says="never written by a kernel"
"""Every program takes R // programs rows, and the remainder belongs to nobody.

Eleven rows for four programs: who takes the last three?
"""
edit(
    "for row in range(tl.program_id(0), n_rows, tl.num_programs(0)):",
    "for row in range(tl.program_id(0), n_rows // tl.num_programs(0) * tl.num_programs(0), tl.num_programs(0)):",
)

# %% wrong="columns_left_out" loses="right" says="never written by a kernel"
"""The second launch has C // 64 programs, so the last columns of dweight are never added up.

How many programs of 64 columns cover 75?
"""
edit(
    "rmsnorm_sum_kernel[(triton.cdiv(n_cols, 128),)](partial, dweight, programs, n_cols, BLOCK=128)",
    "rmsnorm_sum_kernel[(max(n_cols // 64, 1),)](partial, dweight, programs, n_cols, BLOCK=64)",
)

# %% wrong="partial_sums_in_half_precision" loses="right" says="Add up in float32, also the partial sums"
"""The partial sum is kept in the dtype of x: next to a bfloat16 sum of 512 a share of 1 is rounded away.

Which dtype has your accumulator?
"""
edit("dweight = tl.zeros((BLOCK,), tl.float32)", "dweight = tl.zeros((BLOCK,), x_ptr.dtype.element_ty)")
edit("dweight += dy * normed", "dweight = (dweight + dy * normed).to(x_ptr.dtype.element_ty)")

# %% wrong="one_partial_sum_per_row" loses="lean" says="go through tensors between the kernels"
"""The launcher starts a program for each row, so the partial sums are as many bytes as the matrix itself, written once
and read once.

What is the argument `programs` for, and where can a program keep the sum over several rows?
"""
edit(
    "n_rows, n_cols = x.shape",
    """
    n_rows, n_cols = x.shape
    programs = n_rows
    """,
)

# %% wrong="programs_add_to_dweight" loses="safe" says="writes in the same launch"
"""Every program loads dweight, adds its share and stores it back, all at the same time: the later store wipes out what
the earlier ones added.

Two programs load the same old value. Whose share is left?
"""
edit(
    "tl.store(partial_ptr + tl.program_id(0) * n_cols + columns, dweight, mask=inside)",
    """
    dweight += tl.load(partial_ptr + columns, mask=inside, other=0.0).to(tl.float32)
    tl.store(partial_ptr + columns, dweight, mask=inside)
    """,
)
edit("dweight = torch.empty(", "dweight = torch.zeros(")
edit("dy, x, weight, dx, partial, n_rows", "dy, x, weight, dx, dweight, n_rows")
edit("rmsnorm_sum_kernel[(triton.cdiv(n_cols, 128),)](partial, dweight, programs, n_cols, BLOCK=128)", "")

# %% wrong="atomic_sum" loses="safe" says="changes with the order"
"""The programs add their shares to dweight atomically: each share is rounded to the dtype of the weight, and with the
order of the programs the last bits change from run to run.

Who can add the shares up in float32, in an order that never changes?
"""
edit(
    "tl.store(partial_ptr + tl.program_id(0) * n_cols + columns, dweight, mask=inside)",
    "tl.atomic_add(partial_ptr + columns, dweight.to(partial_ptr.dtype.element_ty), mask=inside)",
)
edit("dweight = torch.empty(", "dweight = torch.zeros(")
edit("dy, x, weight, dx, partial, n_rows", "dy, x, weight, dx, dweight, n_rows")
edit("rmsnorm_sum_kernel[(triton.cdiv(n_cols, 128),)](partial, dweight, programs, n_cols, BLOCK=128)", "")

# %% wrong="atomic_sum_in_float32" loses="safe" says="changes with the order"
"""The shares are added atomically, in float32 and rounded once, so the values are right. But they are added in whatever
order the programs come to an end, and a float sum depends on its order: the last bits change from run to run.

Where can each program leave its share, so that a second launch adds them up in an order that never changes?
"""
edit(
    "tl.store(partial_ptr + tl.program_id(0) * n_cols + columns, dweight, mask=inside)",
    "tl.atomic_add(partial_ptr + columns, dweight, mask=inside)",
)
edit("partial = torch.empty((programs, n_cols)", "partial = torch.zeros((1, n_cols)")
edit("(partial, dweight, programs, n_cols, BLOCK=128)", "(partial, dweight, 1, n_cols, BLOCK=128)")

# %% wrong="partial_sums_begin_with_nothing" loses="safe" says="nobody wrote"
"""A program begins its partial sum with what torch.empty left in memory.

Who wrote these numbers before your program read them?
"""
edit(
    "dweight = tl.zeros((BLOCK,), tl.float32)",
    "dweight = tl.load(partial_ptr + tl.program_id(0) * n_cols + columns, mask=inside, other=0.0)",
)

# %% wrong="torch_sums_the_parts" loses="right" says="torch computed it"
"""The partial sums are added by torch; no kernel of yours writes dweight.

The second launch is missing. Which program adds up which columns?
"""
edit(
    """
    rmsnorm_sum_kernel[(triton.cdiv(n_cols, 128),)](partial, dweight, programs, n_cols, BLOCK=128)
    return dx, dweight
    """,
    "return dx, partial.sum(0).to(weight.dtype)",
)

# %% wrong="rows_read_again_for_dweight" loses="lean" says="dy is read"
"""Numbers that were at hand are read from memory once more: x, or dy and x together, in the same launch or in the
second one for dweight.

When dx was computed, dy and the normalised x were at hand. What can be kept of them?
"""
edit("dweight = tl.zeros((BLOCK,), tl.float32)", "")
edit("dweight += dy * normed", "tl.store(partial_ptr + row, r)")
edit("tl.store(partial_ptr + tl.program_id(0) * n_cols + columns, dweight, mask=inside)", "")
edit(
    "def rmsnorm_sum_kernel(partial_ptr, dweight_ptr, n_partial, n_cols, BLOCK: tl.constexpr):",
    """
    def rmsnorm_sum_kernel(
        dy_ptr, x_ptr, r_ptr, dweight_ptr, n_rows, n_cols, dy_row, dy_col, x_row, x_col, BLOCK: tl.constexpr
    ):
    """,
)
edit(
    """
    for i in range(0, n_partial):
        total += tl.load(partial_ptr + i * n_cols + columns, mask=inside, other=0.0)
    """,
    """
    for row in range(0, n_rows):
        dy = tl.load(dy_ptr + row * dy_row + columns * dy_col, mask=inside, other=0.0).to(tl.float32)
        x = tl.load(x_ptr + row * x_row + columns * x_col, mask=inside, other=0.0).to(tl.float32)
        total += dy * x * tl.load(r_ptr + row)
    """,
)
edit("partial = torch.empty((programs, n_cols)", "partial = torch.empty((n_rows,)")
edit(
    "(partial, dweight, programs, n_cols, BLOCK=128)",
    "(dy, x, partial, dweight, n_rows, n_cols, *dy.stride(), *x.stride(), BLOCK=128)",
)

# %% wrong="strides_of_x_for_dy" loses="right" says="Multiply by the tensor's own strides"
"""dy is read with the strides of x, but the two lie in memory in ways of their own.

Which tensor do you have to ask for a0 and a1?
"""
edit("*dy.stride(), *x.stride()", "*x.stride(), *x.stride()")

# %% wrong="no_masks" loses="safe" says="are outside"
"""A load has no mask: the lanes past the end of a row take the next row's numbers into both sums. The store of dx needs
one, too.

How many lanes has the block, and how many numbers has the row?
"""
edit(", mask=inside, other=0.0).to(tl.float32)", ").to(tl.float32)", times=3)
edit("dx, mask=inside)", "dx)")
edit("columns, dweight, mask=inside)", "columns, dweight)")
