"""What goes wrong: the group that it loses, and words that the verdict holds."""

# %% wrong="no_maximum" loses="right" says="maximum"
"""The maximum is not subtracted: exp(300) is infinite and exp(-500) is zero, so the quotient is NaN.

You wrote stable_softmax once. Which walk over the row is missing here?
"""
edit("tl.exp(x - largest)", "tl.exp(x)", times=2)

# %% wrong="zero_in_the_maximum" loses="right" says="past the end"
"""A 0 takes part in the maximum, from the lanes past the end of the row or as its first value: in a row that is
negative everywhere it wins.

What value can never win a maximum?
"""
edit(
    """
    x = tl.load(x_ptr + at * x_col, mask=at < n_cols, other=-float("inf")).to(tl.float32)
    largest = tl.maximum(largest, tl.max(x, axis=0))
    """,
    """
    x = tl.load(x_ptr + at * x_col, mask=at < n_cols, other=0.0).to(tl.float32)
    largest = tl.maximum(largest, tl.max(x, axis=0))
    """,
)

# %% wrong="maximum_starts_at_minus_100" loses="right" says="subtract the row's maximum first"
"""The maximum starts at a finite number, -100 for example: in a row that lies below it, this number is subtracted.

What value can never win a maximum?
"""
edit('largest = -float("inf")', "largest = -100.0")

# %% wrong="zero_in_the_sum" loses="right" says="past the end"
"""The lanes past the end of the row hold 0 when the exponentials are summed: each of them adds exp(0 - maximum).

What must a lane hold so that its exponential is zero?
"""
edit(
    """
    x = tl.load(x_ptr + at * x_col, mask=at < n_cols, other=-float("inf")).to(tl.float32)
    total += tl.sum(tl.exp(x - largest), axis=0)
    """,
    """
    x = tl.load(x_ptr + at * x_col, mask=at < n_cols, other=0.0).to(tl.float32)
    total += tl.sum(tl.exp(x - largest), axis=0)
    """,
)

# %% wrong="never_divided" loses="right" says="check the formula"
"""The exponentials are written as they are: they are never divided by their sum, so no row adds up to 1.

You computed the sum. Which line uses it?
"""
edit("tl.exp(x - largest) / total", "tl.exp(x - largest)")

# %% wrong="no_other" loses="safe" says="has no other="
"""Masked lanes are given no value, and the maximum and the sum take in whatever the hardware leaves there.

What do the lanes past the end of the row hold when tl.load has a mask and no other=?
"""
edit(', mask=at < n_cols, other=-float("inf")', ", mask=at < n_cols", times=3)

# %% wrong="tail_never_computed" loses="right" says="never written"
"""The loop makes n_cols // BLOCK steps, so the columns of the last, incomplete block are never visited.

How many steps of 64 cover 300 columns? The last one hangs over, that is what the mask is for.
"""
edit("range(0, n_cols, BLOCK)", "range(0, n_cols // BLOCK * BLOCK, BLOCK)", times=3)

# %% wrong="one_block_only" loses="right" says="never written"
"""Only the first BLOCK columns are read and written; what lies beyond them in `out` is whatever torch.empty found
there.

Who writes column BLOCK? Walk along the row.
"""
edit("range(0, n_cols, BLOCK)", "range(0, BLOCK, BLOCK)", times=3)

# %% wrong="no_masks" loses="safe" says="are outside"
"""A load has no mask: the last step reads past the end of the row, and at the last row past the end of the tensor. The
store needs one, too.

Which programs touch memory past the end? Compare the column's number with n_cols.
"""
edit(', mask=at < n_cols, other=-float("inf")', "", times=3)
edit(", mask=at < n_cols", "")

# %% wrong="one_column_too_many" loses="safe" says="n_cols"
"""The masks let column n_cols through: it belongs to the next row, or to nobody.

Which is the first column that a row does not have?
"""
edit("at < n_cols", "at <= n_cols", times=4)

# %% wrong="rows_assumed_contiguous" loses="right" says="strides"
"""Addresses are computed as row * n_cols + column, which is right for contiguous tensors only.

Ask the tensor for its strides: x.stride(0), x.stride(1). What are they for x.t()?
"""
edit("x.stride(0), x.stride(1), out.stride(0), out.stride(1)", "n_cols, 1, n_cols, 1")

# %% wrong="row_stride_only" loses="right" says="strides"
"""The stride between rows is used, but neighbouring columns are assumed to lie side by side.

What is x.stride(1) of x[:, ::2]?
"""
edit("x.stride(0), x.stride(1), out.stride(0), out.stride(1)", "x.stride(0), 1, out.stride(0), 1")

# %% wrong="rows_taken_as_dense" loses="right" says="strides"
"""The next row is expected n_cols elements further on. It lies x.stride(0) elements further on.

Where does row 1 of x[:, ::2] begin?
"""
edit("x_ptr += row * x_row", "x_ptr += row * n_cols")

# %% wrong="half_precision_sum" loses="right" says="float16 sum"
"""The sum is kept in float16 for float16 rows: next to a sum of 16, a term below 0.0078 is rounded away, however many
there are.

Which dtype has your accumulator? Convert with .to(tl.float32) right after the load.
"""
edit(
    "total += tl.sum(tl.exp(x - largest), axis=0)",
    "total = (total + tl.sum(tl.exp(x - largest), axis=0)).to(x_ptr.dtype.element_ty).to(tl.float32)",
)

# %% wrong="softmax_of_each_block" loses="right" says="a ragged tail"
"""Each block is normalised on its own: the row then sums to the number of blocks instead of 1.

What do you have to know of the whole row before the first weight can be written?
"""
edit(
    "tl.store(out_ptr + at * out_col, tl.exp(x - largest) / total, mask=at < n_cols)",
    """
    of_block = tl.exp(x - tl.max(x, axis=0))
    tl.store(out_ptr + at * out_col, of_block / tl.sum(of_block, axis=0), mask=at < n_cols)
    """,
)

# %% wrong="running_sum_not_rescaled" loses="right" says="maximum found later"
"""Maximum and sum are taken in one walk, but when a later block raises the maximum, the sum so far is not rescaled to
it.

The old sum was relative to the old maximum. By which factor does it change?
"""
edit(
    'largest = -float("inf")',
    """
    largest = -float("inf")
    total = 0.0
    """,
)
edit(
    """
        largest = tl.maximum(largest, tl.max(x, axis=0))
    total = 0.0
    for start in range(0, n_cols, BLOCK):
        at = start + columns
        x = tl.load(x_ptr + at * x_col, mask=at < n_cols, other=-float("inf")).to(tl.float32)
        total += tl.sum(tl.exp(x - largest), axis=0)
    """,
    """
        largest = tl.maximum(largest, tl.max(x, axis=0))
        total += tl.sum(tl.exp(x - largest), axis=0)
    """,
)

# %% wrong="programs_counted_by_columns" loses="right" says="never written"
"""The grid has one program for each block of columns; here each program takes a row.

How many programs does a tensor of 5 rows and 300 columns need?
"""
edit("row_softmax_kernel[(n_rows,)]", "row_softmax_kernel[(min(n_rows, n_cols // block),)]")

# %% wrong="torch_instead_of_a_kernel" loses="right" says="torch computed it"
"""The answer is computed by torch; no kernel is launched.

Which line launches your kernel?
"""
def row_softmax(x, block=128):
    return torch.softmax(x.float(), dim=1).to(x.dtype)

# %% wrong="result_remembered" loses="right" says="a later call"
"""The result of the first call is remembered and returned for every tensor of the same shape.

Call it twice with different numbers. Which of the two calls launches a kernel?
"""
edit(
    "@triton.jit",
    """
    remembered = {}


    @triton.jit
    """,
)
edit(
    "out = torch.empty((n_rows, n_cols), dtype=x.dtype, device=x.device)",
    """
    if x.shape in remembered:
        return remembered[x.shape]
    out = remembered[x.shape] = torch.empty((n_rows, n_cols), dtype=x.dtype, device=x.device)
    """,
)

# %% wrong="exponentials_on_their_way_through_memory" loses="lean" says="between the kernels"
"""The exponentials are written to memory in full precision by one kernel and divided by a second one. The numbers are
right; the bytes are not: computing exp again is far cheaper than a trip to memory.

Count the reads and writes of every tensor, the one between the kernels too. How many are needed?
"""
@triton.jit
def exponentials_kernel(x_ptr, e_ptr, s_ptr, n_cols, sx0, sx1, BLOCK: tl.constexpr):
    pid = tl.program_id(0)
    lanes = tl.arange(0, BLOCK)
    m = -float("inf")
    for c in range(0, n_cols, BLOCK):
        x = tl.load(x_ptr + pid * sx0 + (c + lanes) * sx1, mask=c + lanes < n_cols, other=-float("inf")).to(tl.float32)
        m = tl.maximum(m, tl.max(x, axis=0))
    s = 0.0
    for c in range(0, n_cols, BLOCK):
        x = tl.load(x_ptr + pid * sx0 + (c + lanes) * sx1, mask=c + lanes < n_cols, other=-float("inf")).to(tl.float32)
        e = tl.exp(x - m)
        s += tl.sum(e, axis=0)
        tl.store(e_ptr + pid * n_cols + c + lanes, e, mask=c + lanes < n_cols)
    tl.store(s_ptr + pid, s)


@triton.jit
def divide_kernel(e_ptr, s_ptr, out_ptr, n_cols, BLOCK: tl.constexpr):
    pid = tl.program_id(0)
    lanes = tl.arange(0, BLOCK)
    s = tl.load(s_ptr + pid)
    for c in range(0, n_cols, BLOCK):
        e = tl.load(e_ptr + pid * n_cols + c + lanes, mask=c + lanes < n_cols, other=0.0)
        tl.store(out_ptr + pid * n_cols + c + lanes, e / s, mask=c + lanes < n_cols)


def row_softmax(x, block=128):
    rows, cols = x.shape
    e = torch.empty((rows, cols), dtype=torch.float32, device=x.device)
    s = torch.empty(rows, dtype=torch.float32, device=x.device)
    out = torch.empty((rows, cols), dtype=x.dtype, device=x.device)
    exponentials_kernel[(rows,)](x, e, s, cols, *x.stride(), BLOCK=block)
    divide_kernel[(rows,)](e, s, out, cols, BLOCK=block)
    return out

# %% wrong="exponentials_read_back" loses="lean" says="the result is read back after it was written"
"""The exponentials are stored in the result, read back and stored again, divided: the result travels three times.

What costs more, to compute an exponential again or to move it through memory?
"""
edit(
    "total += tl.sum(tl.exp(x - largest), axis=0)",
    """
    e = tl.exp(x - largest)
    total += tl.sum(e, axis=0)
    tl.store(out_ptr + at * out_col, e, mask=at < n_cols)
    """,
)
edit(
    """
    x = tl.load(x_ptr + at * x_col, mask=at < n_cols, other=-float("inf")).to(tl.float32)
    tl.store(out_ptr + at * out_col, tl.exp(x - largest) / total, mask=at < n_cols)
    """,
    """
    e = tl.load(out_ptr + at * out_col, mask=at < n_cols).to(tl.float32)
    tl.store(out_ptr + at * out_col, e / total, mask=at < n_cols)
    """,
)

# %% wrong="whole_number_total" loses="compiles" says="total"
"""`total` starts as a whole number and becomes a float in the loop. A compiled loop keeps the type that a variable has
before its first step.

Which type has 0, and which has the sum of exponentials?
"""
edit("total = 0.0", "total = 0")
