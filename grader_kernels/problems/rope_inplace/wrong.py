"""What goes wrong: the group that it loses, and words that the verdict holds."""

# %% wrong="first_half_overwritten_too_early" loses="right" says="read first, then write"
"""The first half is stored and then read again for the second half: by then it is turned already.

Whatever a program still needs, it must have read before it writes.
"""
edit(
    "tl.store(second, a * sin + b * cos, mask=inside)",
    """
    a = tl.load(first, mask=inside).to(tl.float32)
    tl.store(second, a * sin + b * cos, mask=inside)
    """,
)

# %% wrong="interleaved_pairs" loses="right" says="i + d/2"
"""The pairs are (2i, 2i + 1); this kernel is to turn (i, i + d/2).

Which two columns form pair 0 of a checkpoint for `transformers`?
"""
edit("t * x_time + pair * x_col", "t * x_time + 2 * pair * x_col")
edit("first + half * x_col", "first + x_col")

# %% wrong="batch_taken_for_position" loses="right" says="which of your program"
"""The table's row is the number of the batch instead of the position.

pid // T and pid % T: which of the two is the position?
"""
edit("t * table_row", "batch % length * table_row", times=2)

# %% wrong="table_row_from_another_split" loses="right" says="which of your program"
"""x is split by the number of positions, the tables by the number of batches: angles of another position.

Program 7 of 2 batches and 5 positions: which position does it turn, and by which row of the tables?
"""
edit("x_ptr, cos_ptr, sin_ptr, length, half", "x_ptr, cos_ptr, sin_ptr, batches, length, half")
edit("t * table_row", "tl.program_id(0) // batches * table_row", times=2)
edit("x, cos, sin, T, d // 2", "x, cos, sin, N, T, d // 2")

# %% wrong="sign_of_the_sine" loses="right" says="pair"
"""Both sines are added, so this is no rotation: lengths change.

In which of the two lines does the formula have a minus?
"""
edit("a * cos - b * sin", "a * cos + b * sin")

# %% wrong="turned_backwards" loses="right" says="pair"
"""Everything is turned the other way, by minus the angle.

The pair (1, 0) becomes (cos, sin): which sign has the second number?
"""
edit("a * cos - b * sin", "a * cos + b * sin")
edit("a * sin + b * cos", "b * cos - a * sin")

# %% wrong="no_masks" loses="safe" says="are outside"
"""Nothing is masked: where d/2 is no power of two, lanes past the half turn numbers of the other half, or of nobody.

How many lanes has the block, and how many pairs has the head?
"""
edit(", mask=inside", "", times=6)

# %% wrong="block_rounded_down" loses="right" says="need not fill the block"
"""The block is the power of two below d/2, so the last pairs stay as they were.

Which power of two has room for 7 pairs?
"""
edit("triton.next_power_of_2(d // 2)", "1 << ((d // 2).bit_length() - 1)")

# %% wrong="layout_assumed" loses="right" says="stride"
"""The addresses are those of a tensor that lies in memory in the order of its axes.

Ask x for its three strides.
"""
edit("batch * x_batch + t * x_time + pair * x_col", "tl.program_id(0) * 2 * half + pair")
edit("first + half * x_col", "first + half")

# %% wrong="columns_assumed_contiguous" loses="right" says="stride"
"""The columns of x are taken for neighbours in memory.

How far is the next column in x[:, :, ::2]?
"""
edit("pair * x_col", "pair")
edit("half * x_col", "half")

# %% wrong="rows_evenly_spaced" loses="right" says="stride"
"""Vector n * T + t is looked for at (n * T + t) * x.stride(1): a batch need not begin where the last one ended.

How far apart are two batches when x is a transposed (T, N, d) tensor?
"""
edit("batch * x_batch + t * x_time", "tl.program_id(0) * x_time")

# %% wrong="smaller_step_for_all" loses="right" says="stride"
"""The smaller of two strides is taken for the step from vector to vector. Where positions come before batches in
memory, vectors are turned by the angles of other positions.

Vector n * T + t of x: how far is it from the first one, with both strides of x?
"""
edit("batch * x_batch + t * x_time", "tl.program_id(0) * x_time")
edit("*x.stride(), cos.stride(0)", "x.stride(0), min(x.stride()[:2]), x.stride(2), cos.stride(0)")

# %% wrong="turns_a_copy" loses="right" says="x itself"
"""A copy of x is turned and returned: x stays as it was, and the copy costs as many bytes as the turning.

Which tensor should hold the turned numbers afterwards?
"""
edit(
    "N, T, d = x.shape",
    """
    x = x.clone()
    N, T, d = x.shape
    """,
)

# %% wrong="written_to_a_new_tensor" loses="right" says="x itself"
"""The turned numbers are written to a new tensor: x stays as it was, and the engine holds two of it.

How many pointers to vectors does a kernel need that works in place?
"""
edit("x_ptr, cos_ptr, sin_ptr", "x_ptr, out_ptr, cos_ptr, sin_ptr")
edit(
    """
    tl.store(first, a * cos - b * sin, mask=inside)
    tl.store(second, a * sin + b * cos, mask=inside)
    """,
    """
    out_ptr += tl.program_id(0) * 2 * half
    tl.store(out_ptr + pair, a * cos - b * sin, mask=inside)
    tl.store(out_ptr + half + pair, a * sin + b * cos, mask=inside)
    """,
)
edit(
    "N, T, d = x.shape",
    """
    N, T, d = x.shape
    out = torch.empty((N, T, d), dtype=x.dtype, device=x.device)
    """,
)
edit("x, cos, sin, T, d // 2", "x, out, cos, sin, T, d // 2")
edit("return x", "return out")

# %% wrong="torch_instead_of_a_kernel" loses="right" says="torch computed it"
"""torch does the turning; the kernel only stands there.

Which line launches your kernel?
"""
def rope_inplace(x, cos, sin):
    a, b = x.float().chunk(2, -1)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], -1).to(x.dtype)

# %% wrong="angles_in_half_precision" loses="right" says="of its largest value"
"""Cosine and sine are rounded to bfloat16, which has 8 binary digits: the result can't be better than they are.

In which dtype are the tables, and in which do you compute with them?
"""
edit("t * table_row + pair, mask=inside)", "t * table_row + pair, mask=inside).to(tl.bfloat16).to(tl.float32)", times=2)

# %% wrong="turned_in_the_dtype_of_x" loses="right" says="round once, at the end"
"""Cosine, sine and the products have the dtype of x: in float16 each is rounded, and a difference keeps all errors.

How often may a number be rounded between its load and its store?
"""
edit("a = tl.load(first, mask=inside).to(tl.float32)", "a = tl.load(first, mask=inside)")
edit("b = tl.load(second, mask=inside).to(tl.float32)", "b = tl.load(second, mask=inside)")
edit("t * table_row + pair, mask=inside)", "t * table_row + pair, mask=inside).to(a.dtype)", times=2)

# %% wrong="two_launches" loses="lean" says="launch"
"""One kernel writes the turned numbers to a second tensor and another one copies them back: every number moves twice.

What does a program still need of x once it has loaded both halves of its vector?
"""
@triton.jit
def turn_kernel(x_ptr, y_ptr, cos_ptr, sin_ptr, length, half, x_batch, x_time, x_col, BLOCK: tl.constexpr):
    batch, t = tl.program_id(0) // length, tl.program_id(0) % length
    pair = tl.arange(0, BLOCK)
    inside = pair < half
    first = x_ptr + batch * x_batch + t * x_time + pair * x_col
    a = tl.load(first, mask=inside).to(tl.float32)
    b = tl.load(first + half * x_col, mask=inside).to(tl.float32)
    cos = tl.load(cos_ptr + t * half + pair, mask=inside)
    sin = tl.load(sin_ptr + t * half + pair, mask=inside)
    target = y_ptr + tl.program_id(0) * 2 * half + pair
    tl.store(target, a * cos - b * sin, mask=inside)
    tl.store(target + half, a * sin + b * cos, mask=inside)


@triton.jit
def copy_kernel(x_ptr, y_ptr, length, width, x_batch, x_time, x_col, BLOCK: tl.constexpr):
    batch, t = tl.program_id(0) // length, tl.program_id(0) % length
    column = tl.arange(0, BLOCK)
    inside = column < width
    values = tl.load(y_ptr + tl.program_id(0) * width + column, mask=inside)
    tl.store(x_ptr + batch * x_batch + t * x_time + column * x_col, values, mask=inside)


def rope_inplace(x, cos, sin):
    N, T, d = x.shape
    y = torch.empty((N, T, d), dtype=x.dtype, device=x.device)
    turn_kernel[(N * T,)](x, y, cos, sin, T, d // 2, *x.stride(), BLOCK=triton.next_power_of_2(d // 2))
    copy_kernel[(N * T,)](x, y, T, d, *x.stride(), BLOCK=triton.next_power_of_2(d))
    return x
