"""What goes wrong: the group that it loses, and words that the verdict holds."""

# %% wrong="scale_ignored" loses="right" says="scale first"
"""The scale is accepted and never used.

Trace the argument `scale` through the kernel: which line reads it?
"""
edit(".to(tl.float32) * scale", ".to(tl.float32)", times=3)

# %% wrong="divided_by_the_scale" loses="right" says="scale first"
"""The scores are divided by the scale; they should be multiplied by it.

For d = 64, is the scale 8 or 1/8? See what the launcher's docstring says.
"""
edit(".to(tl.float32) * scale", ".to(tl.float32) / scale", times=3)

# %% wrong="root_of_the_scale" loses="right" says="scale first"
"""The scores are multiplied by the root of the scale: the root of d is in it already.

The launcher gets 1 / sqrt(d), ready to use. What does another root make of it?
"""
edit("scores, mask, out, scale, n_cols", "scores, mask, out, scale**0.5, n_cols")

# %% wrong="scale_on_the_weights" loses="right" says="scale first"
"""The scale multiplies the weights, after the softmax: rows add up to the scale, and the scores stay too sharp.

What should a row with allowed columns add up to? Which numbers does 1 / sqrt(d) belong to?
"""
edit(".to(tl.float32) * scale", ".to(tl.float32)", times=3)
edit("0.0) / total", "0.0) / total * scale")

# %% wrong="lanes_past_the_end_allowed" loses="right" says="lies inside the row"
"""Lanes past the end of the row count as allowed columns, with a score of 0: each adds exp(0 - maximum) to the sum.

What does tl.load give for a lane that its mask leaves out? Choose other= so that such a lane is not allowed.
"""
edit("other=0) != 0", "other=1) != 0", times=3)
edit('mask=allowed, other=-float("inf")', "mask=at < n_cols, other=0.0", times=3)

# %% wrong="nan_in_an_empty_row" loses="right" says="NaN where a number is expected"
"""A row without any allowed column is NaN: -inf - (-inf) and then zero over zero.

What is the maximum of such a row? Replace it, and the sum, before you use them.
"""
edit('largest = tl.where(largest == -float("inf"), 0.0, largest)', "")
edit("total = tl.where(total == 0.0, 1.0, total)", "")

# %% wrong="no_maximum" loses="right" says="before exp"
"""No maximum is subtracted: exp(180) overflows, and of exp(-180) nothing is left to divide by.

What may be subtracted from every score of a row without changing its softmax?
"""
edit('largest = tl.maximum(largest, tl.max(tl.where(allowed, x, -float("inf")), axis=0))', "largest = 0.0")

# %% wrong="true_means_hide" loses="right" says="the mask allows it"
"""The mask is read the wrong way round: allowed columns are hidden.

In this unit True means allowed. Which columns get a weight?
"""
edit("other=0) != 0", "other=1) == 0", times=3)
edit('mask=allowed, other=-float("inf")', 'mask=at < n_cols, other=-float("inf")', times=3)

# %% wrong="hidden_columns_in_the_sum" loses="right" says="add nothing to the sum"
"""Hidden columns are set to zero at the end, but they still count in the sum: the rest does not add up to one.

Which columns may enter the denominator?
"""
edit(
    """
    x = tl.load(scores_ptr + at * scores_col, mask=allowed, other=-float("inf")).to(tl.float32) * scale
    total += tl.sum(tl.where(allowed, tl.exp(x - largest), 0.0), axis=0)
    """,
    """
    x = tl.load(scores_ptr + at * scores_col, mask=at < n_cols, other=-float("inf")).to(tl.float32) * scale
    total += tl.sum(tl.exp(x - largest), axis=0)
    """,
)

# %% wrong="hidden_score_zero" loses="right" says="exactly 0"
"""Hidden columns get the score 0 instead of -inf: they take part with the weight exp(0 - maximum).

Which score has no weight at all after the exponential?
"""
edit('mask=allowed, other=-float("inf")', "mask=allowed, other=0.0", times=3)
edit('tl.where(allowed, x, -float("inf"))', "x")
edit("tl.where(allowed, tl.exp(x - largest), 0.0)", "tl.where(at < n_cols, tl.exp(x - largest), 0.0)", times=2)

# %% wrong="hidden_scores_become_minus_10000" loses="right" says="exactly 0"
"""Hidden scores are lowered by 10,000 instead of becoming -inf: a large one still wins the maximum, and in a row
without any allowed column each gets a weight.

By how much must a score be lowered to lose against every other, whatever their sizes?
"""
edit("mask=allowed, other", "mask=at < n_cols, other", times=3)
edit(".to(tl.float32) * scale", ".to(tl.float32) * scale + tl.where(allowed, 0.0, -10000.0)", times=3)
edit('tl.where(allowed, x, -float("inf"))', "x")
edit("tl.where(allowed, tl.exp(x - largest), 0.0)", "tl.exp(x - largest)", times=2)

# %% wrong="even_weights_in_an_empty_row" loses="right" says="Without any allowed column"
"""Hidden scores become -1e9: in a row without any allowed column they are all equal, and each gets the weight 1 / C.

What does a softmax make of equal scores? Multiply hidden weights by zero, or treat such a row separately.
"""
edit('mask=allowed, other=-float("inf")', "mask=allowed, other=-1e9", times=3)
edit('tl.where(allowed, x, -float("inf"))', "x")
edit("tl.where(allowed, tl.exp(x - largest), 0.0)", "tl.where(at < n_cols, tl.exp(x - largest), 0.0)", times=2)

# %% wrong="maximum_of_unscaled_scores" loses="right" says="scaled score"
"""The maximum is taken of the scores before the scale: the exponent is then far from zero, and the sum underflows or
overflows.

Subtract the maximum of the very numbers you exponentiate.
"""
edit(
    """
    x = tl.load(scores_ptr + at * scores_col, mask=allowed, other=-float("inf")).to(tl.float32) * scale
    largest = tl.maximum(largest, tl.max(tl.where(allowed, x, -float("inf")), axis=0))
    """,
    """
    x = tl.load(scores_ptr + at * scores_col, mask=allowed, other=-float("inf")).to(tl.float32)
    largest = tl.maximum(largest, tl.max(tl.where(allowed, x, -float("inf")), axis=0))
    """,
)

# %% wrong="maximum_over_hidden_columns" loses="right" says="lose the maximum"
"""The maximum is taken over hidden columns too: a large hidden score pushes all the others to zero.

Whose maximum do you need: the row's, or the allowed columns'?
"""
edit(
    """
    x = tl.load(scores_ptr + at * scores_col, mask=allowed, other=-float("inf")).to(tl.float32) * scale
    largest = tl.maximum(largest, tl.max(tl.where(allowed, x, -float("inf")), axis=0))
    """,
    """
    x = tl.load(scores_ptr + at * scores_col, mask=at < n_cols, other=-float("inf")).to(tl.float32) * scale
    largest = tl.maximum(largest, tl.max(x, axis=0))
    """,
)

# %% wrong="zero_in_the_maximum" loses="right" says="before exp"
"""Hidden columns, or lanes past the end, hold 0 when the maximum is taken: where all allowed scores lie far below 0 it
wins, and nothing is left of their exponentials.

What value can never win a maximum?
"""
edit('tl.max(tl.where(allowed, x, -float("inf")), axis=0)', "tl.max(tl.where(allowed, x, 0.0), axis=0)")

# %% wrong="scores_without_other" loses="safe" says="has no other="
"""Hidden scores are not loaded, and no value is given to their lanes: the maximum takes in whatever the hardware leaves
there.

What does a lane hold that tl.load skips, when there is no other=?
"""
edit('mask=allowed, other=-float("inf")', "mask=allowed", times=3)
edit('tl.where(allowed, x, -float("inf"))', 'tl.where(at < n_cols, x, -float("inf"))')

# %% wrong="mask_with_the_strides_of_scores" loses="right" says="strides"
"""The mask is read with the strides of the scores; the mask is a tensor of its own and may be laid out differently.

What are the strides of an expanded row? Pass mask.stride() as well.
"""
edit("*scores.stride(), *mask.stride()", "*scores.stride(), *scores.stride()")

# %% wrong="hidden_columns_not_written" loses="right" says="never written"
"""Only allowed columns are stored: the hidden ones keep whatever torch.empty found there.

Who writes the zeros?
"""
edit("weight, mask=inside", "weight, mask=allowed")

# %% wrong="torch_instead_of_a_kernel" loses="right" says="torch computed it"
"""The answer is computed by torch; no kernel is launched.

Which line launches your kernel?
"""
def masked_scaled_softmax(scores, mask, scale, block=128):
    empty = ~mask.any(-1, keepdim=True)
    hidden = (scores * scale).masked_fill(~mask, -float("inf")).masked_fill(empty, 0.0)
    return torch.softmax(hidden, dim=-1).masked_fill(empty, 0.0)

# %% wrong="scaled_scores_on_their_way_through_memory" loses="lean" says="between the kernels"
"""One kernel writes the scaled and masked scores to memory, a second one makes the softmax of them. That is the
unfused version with two launches.

Which tensor in your launcher is neither an input nor the result? What does it cost?
"""
@triton.jit
def scale_and_mask_kernel(p, mp, op, scale, n, s0, s1, m0, m1, BLOCK: tl.constexpr):
    r = tl.program_id(0)
    lanes = tl.arange(0, BLOCK)
    for c in range(0, n, BLOCK):
        i = c + lanes
        may = tl.load(mp + r * m0 + i * m1, mask=i < n, other=0) != 0
        x = tl.load(p + r * s0 + i * s1, mask=i < n, other=0.0) * scale
        tl.store(op + r * n + i, tl.where(may, x, -float("inf")), mask=i < n)


@triton.jit
def softmax_of_rows_kernel(p, op, n, BLOCK: tl.constexpr):
    r = tl.program_id(0)
    lanes = tl.arange(0, BLOCK)
    m = -float("inf")
    for c in range(0, n, BLOCK):
        m = tl.maximum(m, tl.max(tl.load(p + r * n + c + lanes, mask=c + lanes < n, other=-float("inf")), axis=0))
    m = tl.where(m == -float("inf"), 0.0, m)
    s = 0.0
    for c in range(0, n, BLOCK):
        s += tl.sum(tl.exp(tl.load(p + r * n + c + lanes, mask=c + lanes < n, other=-float("inf")) - m), axis=0)
    s = tl.where(s == 0.0, 1.0, s)
    for c in range(0, n, BLOCK):
        x = tl.load(p + r * n + c + lanes, mask=c + lanes < n, other=-float("inf"))
        tl.store(op + r * n + c + lanes, tl.exp(x - m) / s, mask=c + lanes < n)


def masked_scaled_softmax(scores, mask, scale, block=128):
    rows, cols = scores.shape
    scaled = torch.empty((rows, cols), dtype=scores.dtype, device=scores.device)
    out = torch.empty((rows, cols), dtype=scores.dtype, device=scores.device)
    scale_and_mask_kernel[(rows,)](scores, mask, scaled, scale, cols, *scores.stride(), *mask.stride(), BLOCK=block)
    softmax_of_rows_kernel[(rows,)](scaled, out, cols, BLOCK=block)
    return out
