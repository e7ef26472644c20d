"""Other correct kernels. Each cell is a whole answer."""

# %% right="one_program_per_head"
"""Few programs, each with a whole head: a loop over blocks of queries around the loop over keys, last queries first."""
@triton.jit
def head_kernel(
    q_ptr, k_ptr, v_ptr, o_ptr, lse_ptr, H, G, N, L,
    q_batch, q_head, q_row, k_batch, k_head, k_row, v_batch, v_head, v_row,
    CAUSAL: tl.constexpr, D: tl.constexpr, M: tl.constexpr, K: tl.constexpr,
):  # fmt: skip
    head = tl.program_id(0) % H
    batch = tl.program_id(0) // H
    shared = head // (H // G)
    d = tl.arange(0, D)
    for block in range(tl.cdiv(N, M)):
        rows = (tl.cdiv(N, M) - 1 - block) * M + tl.arange(0, M)
        some = rows < N
        q_at = q_ptr + batch * q_batch + head * q_head + rows[:, None] * q_row + d[None, :]
        q = tl.load(q_at, mask=some[:, None], other=0.0)
        last = rows + (L - N) if CAUSAL else tl.zeros((M,), tl.int32) + (L - 1)
        best = tl.full((M,), float("-inf"), tl.float32)
        total = tl.full((M,), 0.0, tl.float32)
        acc = tl.full((M, D), 0.0, tl.float32)
        for start in range(0, tl.minimum(tl.max(last, 0) + 1, L), K):
            at = start + tl.arange(0, K)
            inside = (at < L)[:, None]
            k = tl.load(k_ptr + batch * k_batch + shared * k_head + at[:, None] * k_row + d[None, :], inside, 0.0)
            v = tl.load(v_ptr + batch * v_batch + shared * v_head + at[:, None] * v_row + d[None, :], inside, 0.0)
            s = tl.dot(q, k.T, input_precision="ieee") / tl.sqrt(D * 1.0)
            s = tl.where((at[None, :] <= last[:, None]) & (at < L)[None, :], s, float("-inf"))
            now = tl.maximum(best, tl.max(s, 1))
            p = tl.exp(s - now[:, None])
            total = total * tl.exp(best - now) + tl.sum(p, 1)
            acc *= tl.exp(best - now)[:, None]
            acc += tl.dot(p.to(v.dtype), v, input_precision="ieee")
            best = now
        out = tl.program_id(0) * N + rows
        tl.store(o_ptr + out[:, None] * D + d[None, :], acc / total[:, None], mask=some[:, None])
        tl.store(lse_ptr + out, best + tl.log(total), mask=some)


def flash_forward(q, k, v, causal=False, block_m=64, block_n=64):
    B, H, N, D = q.shape
    G, L = k.shape[1], k.shape[2]
    o, lse = q.new_empty(B, H, N, D), q.new_empty(B, H, N, dtype=torch.float32)
    strides = [t.stride(i) for t in (q, k, v) for i in range(3)]
    head_kernel[(B * H,)](q, k, v, o, lse, H, G, N, L, *strides, CAUSAL=causal, D=D, M=block_m, K=block_n)
    return o, lse

# %% right="two_phases"
"""Whole blocks without any mask, then the blocks at the diagonal and at the end; natural exp; blocks loaded as rows."""
@triton.jit
def step(q, k_ptr, v_ptr, start, m, l, acc, rows, N, L, k_row, v_row, scale, MASKED: tl.constexpr,
         CAUSAL: tl.constexpr, D: tl.constexpr, BLOCK_N: tl.constexpr):  # fmt: skip
    at = start + tl.arange(0, BLOCK_N)
    d = tl.arange(0, D)
    if MASKED:
        k = tl.load(k_ptr + at[:, None] * k_row + d[None, :], mask=at[:, None] < L, other=0.0)
        v = tl.load(v_ptr + at[:, None] * v_row + d[None, :], mask=at[:, None] < L, other=0.0)
    else:
        k = tl.load(k_ptr + at[:, None] * k_row + d[None, :])
        v = tl.load(v_ptr + at[:, None] * v_row + d[None, :])
    s = tl.dot(q, tl.trans(k), input_precision="ieee") * scale
    if MASKED:
        s += tl.where(at < L, 0.0, -float("inf"))[None, :]
        if CAUSAL:
            s = tl.where(at[None, :] - rows[:, None] <= L - N, s, -float("inf"))
    new = tl.maximum(m, tl.max(s, 1))
    alpha = tl.exp(m - new)
    p = tl.exp(s - new[:, None])
    acc = acc * alpha[:, None] + tl.dot(p.to(v.dtype), v, input_precision="ieee")
    return new, l * alpha + tl.sum(p, 1), acc


@triton.jit
def two_phase_kernel(
    q_ptr, k_ptr, v_ptr, o_ptr, lse_ptr, heads, shared, N, L, scale,
    q_b, q_h, q_row, k_b, k_h, k_row, v_b, v_h, v_row,
    CAUSAL: tl.constexpr, D: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    first = tl.program_id(0) * BLOCK_M
    head, b = tl.program_id(1), tl.program_id(2)
    rows = first + tl.arange(0, BLOCK_M)
    d = tl.arange(0, D)
    q = tl.load(q_ptr + b * q_b + head * q_h + rows[:, None] * q_row + d[None, :], mask=rows[:, None] < N, other=0.0)
    k_ptr += b * k_b + head // shared * k_h
    v_ptr += b * v_b + head // shared * v_h
    m = tl.zeros((BLOCK_M,), tl.float32) - float("inf")
    l = tl.zeros((BLOCK_M,), tl.float32)
    acc = tl.zeros((BLOCK_M, D), tl.float32)
    whole = L // BLOCK_N * BLOCK_N
    end = L
    if CAUSAL:
        whole = tl.minimum(whole, (first + L - N + 1) // BLOCK_N * BLOCK_N)
        end = tl.minimum(L, first + BLOCK_M + L - N)
    for start in range(0, whole, BLOCK_N):
        m, l, acc = step(q, k_ptr, v_ptr, start, m, l, acc, rows, N, L, k_row, v_row, scale, False, CAUSAL, D, BLOCK_N)
    for start in range(whole, end, BLOCK_N):
        m, l, acc = step(q, k_ptr, v_ptr, start, m, l, acc, rows, N, L, k_row, v_row, scale, True, CAUSAL, D, BLOCK_N)
    at = (b * heads + head) * N + rows
    tl.store(o_ptr + at[:, None] * D + d[None, :], acc / l[:, None], mask=rows[:, None] < N)
    tl.store(lse_ptr + at, m + tl.log(l), mask=rows < N)


def flash_forward(q, k, v, causal=False, block_m=64, block_n=64):
    B, H, N, D = q.shape
    o = torch.empty(q.shape, dtype=q.dtype, device=q.device)
    lse = torch.empty(q.shape[:3], dtype=torch.float32, device=q.device)
    two_phase_kernel[(triton.cdiv(N, block_m), H, B)](
        q, k, v, o, lse, H, H // k.shape[1], N, k.shape[2], D**-0.5,
        *q.stride()[:3], *k.stride()[:3], *v.stride()[:3], causal, D, block_m, block_n, num_warps=4, num_stages=2,
    )  # fmt: skip
    return o, lse
