"""What goes wrong: the group that it loses, and words that the verdict holds."""

# %% wrong="no_scale" loses="right" says="sqrt(D)"
"""The scores are not divided by sqrt(D): the longer the vectors, the more the largest score takes for itself.

How large is the dot product of two vectors of D normal numbers, typically?
"""
edit("(scale * LOG2_E)", "LOG2_E")

# %% wrong="no_maximum" loses="right" says="maximum"
"""No maximum is subtracted, so exp overflows where a score is above 88.

What happens to the weights when the same number is subtracted from all scores of a query?
"""
edit("higher = tl.maximum(largest, tl.max(s, axis=1))", "higher = tl.zeros((BLOCK_M,), tl.float32)")

# %% wrong="no_rescale" loses="right" says="scale the sums"
"""What was summed before a new maximum is not rescaled: old terms and new ones are relative to different maxima.

By which factor does exp(s - m) change when m grows from old to new?
"""
edit("total * before + tl.sum", "total + tl.sum")
edit("o * before[:, None]", "o")

# %% wrong="lse_without_maximum" loses="right" says="maximum"
"""lse lacks the maximum that was subtracted: log(sum(exp(s - m))) is stored.

What has to be added to log(sum(exp(s - m))) to make log(sum(exp(s))) of it?
"""
edit("(largest + tl.log2(total)) / LOG2_E", "tl.log2(total) / LOG2_E")

# %% wrong="fp16_accumulate" loses="right" says="in float32"
"""The weighted sum is kept in the dtype of q: in float16, small weights no longer count beside a large one.

Which dtype has `o` while there are still keys to come?
"""
edit("o = tl.zeros((BLOCK_M, D), tl.float32)", "o = tl.zeros((BLOCK_M, D), q.dtype)")
edit('o = tl.dot(p.to(v.dtype), v, o * before[:, None], input_precision="ieee")',
     'o = (o * before[:, None] + tl.dot(p.to(v.dtype), v, input_precision="ieee")).to(q.dtype)')  # fmt: skip

# %% wrong="missing_keys_score_zero" loses="right" says="not 0"
"""Keys past the end take part: their score is 0, and exp(0 - maximum) is added to the sum.

Which score gives a key the weight 0?
"""
edit("seen = at[None, :] < L", "seen = at[None, :] >= 0")

# %% wrong="last_query_overflows" loses="right" says="writes"
"""Queries past the end are stored: the last program of a head writes into the next head's results.

How many queries of the last block exist?
"""
edit(", mask=rows[:, None] < N)", ")")
edit(", mask=rows < N)", ")")

# %% wrong="causal_off_by_one" loses="right" says="itself included"
"""The causal mask hides each query's own key.

Which key does the first query see when N equals L?
"""
edit("at[None, :] <= rows[:, None] + L - N", "at[None, :] < rows[:, None] + L - N")

# %% wrong="causal_from_the_left" loses="right" says="i + L - N"
"""The causal mask forgets the L - N keys from before the first query: it lets query i see keys 0 .. i.

Which is the last key that the last query may see, and which one does your mask end at?
"""
edit("first + BLOCK_M + L - N", "first + BLOCK_M")
edit("rows[:, None] + L - N", "rows[:, None]")

# %% wrong="causal_reads_everything" loses="lean" says="times the bytes"
"""Keys that are hidden from a whole block of queries are read all the same, and thrown away by the mask.

Which is the last key that any query of the block may see?
"""
edit("end = tl.minimum(L, first + BLOCK_M + L - N)", "end = L")

# %% wrong="heads_by_remainder" loses="right" says="h // (H // G)"
"""Query head h uses head h % G of k and v, so that neighbours among the query heads don't share one.

With H = 4 and G = 2, which head of k belongs to query head 1?
"""
edit("(head // shared)", "(head % (H // shared))", times=2)

# %% wrong="wrong_stride" loses="right" says="strides"
"""q, k and v are taken to be contiguous, whatever their strides.

How far apart do two queries of a head lie when the heads lie inside the rows?
"""
edit("*q.stride()[:3], *k.stride()[:3], *v.stride()[:3]",
     "H * N * D, N * D, D, G * L * D, L * D, D, G * L * D, L * D, D")  # fmt: skip

# %% wrong="naive_three_launches" loses="lean" says="between the kernels"
"""Scores and weights are written to memory by one kernel and read again by the next: N x L numbers, twice out and back.

Which program made the scores of a block, and which one needs them?
"""
@triton.jit
def scores_kernel(
    q_ptr, k_ptr, s_ptr, H, shared, N, L, scale, q_batch, q_head, q_row, k_batch, k_head, k_row,
    CAUSAL: tl.constexpr, D: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    batch, head = tl.program_id(2) // H, tl.program_id(2) % H
    rows = (tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M))[:, None]
    at = (tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N))[None, :]
    d = tl.arange(0, D)
    q = tl.load(q_ptr + batch * q_batch + head * q_head + rows * q_row + d[None, :], mask=rows < N, other=0.0)
    k = tl.load(k_ptr + batch * k_batch + head // shared * k_head + at * k_row + d[:, None], mask=at < L, other=0.0)
    s = tl.dot(q, k, input_precision="ieee") * scale
    if CAUSAL:
        s = tl.where(at <= rows + L - N, s, -float("inf"))
    tl.store(s_ptr + (tl.program_id(2) * N + rows) * L + at, s, mask=(rows < N) & (at < L))


@triton.jit
def softmax_kernel(s_ptr, p_ptr, lse_ptr, R, L, ROWS: tl.constexpr, BLOCK: tl.constexpr):
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    at = row[:, None] * L + tl.arange(0, BLOCK)[None, :]
    inside = (row[:, None] < R) & (tl.arange(0, BLOCK)[None, :] < L)
    s = tl.load(s_ptr + at, mask=inside, other=-float("inf"))
    largest = tl.max(s, axis=1)
    e = tl.exp(s - largest[:, None])
    total = tl.sum(e, axis=1)
    tl.store(p_ptr + at, e / total[:, None], mask=inside)
    tl.store(lse_ptr + row, largest + tl.log(total), mask=row < R)


@triton.jit
def weighted_kernel(
    p_ptr, v_ptr, o_ptr, H, shared, N, L, v_batch, v_head, v_row,
    D: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    batch, head = tl.program_id(1) // H, tl.program_id(1) % H
    rows = (tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M))[:, None]
    d = tl.arange(0, D)[None, :]
    v_ptr += batch * v_batch + head // shared * v_head
    o = tl.zeros((BLOCK_M, D), tl.float32)
    for start in range(0, L, BLOCK_N):
        at = start + tl.arange(0, BLOCK_N)
        inside = (rows < N) & (at[None, :] < L)
        p = tl.load(p_ptr + (tl.program_id(1) * N + rows) * L + at[None, :], mask=inside, other=0.0)
        v = tl.load(v_ptr + at[:, None] * v_row + d, mask=at[:, None] < L, other=0.0)
        o += tl.dot(p.to(v.dtype), v, input_precision="ieee")
    tl.store(o_ptr + (tl.program_id(1) * N + rows) * D + d, o.to(o_ptr.dtype.element_ty), mask=rows < N)


def flash_forward(q, k, v, causal=False, block_m=64, block_n=64):
    (B, H, N, D), (G, L) = q.shape, k.shape[1:3]
    s = torch.empty((B, H, N, L), dtype=torch.float32, device=q.device)
    p, o = torch.empty_like(s), torch.empty((B, H, N, D), dtype=q.dtype, device=q.device)
    lse = torch.empty((B, H, N), dtype=torch.float32, device=q.device)
    blocks_m, blocks_n = triton.cdiv(N, block_m), triton.cdiv(L, block_n)
    scores_kernel[(blocks_m, blocks_n, B * H)](
        q, k, s, H, H // G, N, L, D**-0.5, *q.stride()[:3], *k.stride()[:3], causal, D, block_m, block_n
    )
    rows = B * H * N
    softmax_kernel[(triton.cdiv(rows, 16),)](s, p, lse, rows, L, ROWS=16, BLOCK=triton.next_power_of_2(L))
    weighted_kernel[(blocks_m, B * H)](p, v, o, H, H // G, N, L, *v.stride()[:3], D, block_m, block_n)
    return o, lse
