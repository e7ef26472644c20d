"""Other correct kernels. Each cell is a whole answer."""

# %% right="one_dimensional_grid"
"""Whole pages without a mask first, then the last page; one-dimensional grid; exp2; strides from the tensors."""
@triton.jit
def online(q, k, v, scale, hidden, m, l, acc):
    s = tl.dot(q, tl.trans(k), input_precision="ieee") * scale + hidden[None, :]
    new = tl.maximum(m, tl.max(s, axis=1))
    p = tl.exp2(s - new[:, None])
    alpha = tl.exp2(m - new)
    return new, l * alpha + tl.sum(p, axis=1), tl.dot(p.to(v.dtype), v, acc * alpha[:, None], input_precision="ieee")


@triton.jit
def decode_kernel(
    q_ptr, k_ptr, v_ptr, table_ptr, lengths_ptr, o_ptr, B, W,
    k_page, k_slot, k_head, v_page, v_slot, v_head, q_row, scale,
    H: tl.constexpr, G: tl.constexpr, D: tl.constexpr, T: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    group, b = tl.program_id(0) // B, tl.program_id(0) % B
    length = tl.load(lengths_ptr + b)
    rows, d, slot = tl.arange(0, ROWS), tl.arange(0, D), tl.arange(0, T)
    used = rows[:, None] < H // G
    q_at = b * q_row + (group * (H // G) + rows[:, None]) * D + d[None, :]
    q = tl.load(q_ptr + q_at, mask=used, other=0.0)
    scale = scale * 1.4426950408889634
    k_at = k_ptr + group * k_head + slot[:, None] * k_slot + d[None, :]
    v_at = v_ptr + group * v_head + slot[:, None] * v_slot + d[None, :]
    m = tl.full((ROWS,), float("-inf"), dtype=tl.float32)
    l = tl.zeros((ROWS,), dtype=tl.float32)
    acc = tl.zeros((ROWS, D), dtype=tl.float32)
    for w in range(length // T):
        page = tl.load(table_ptr + b * W + w)
        k = tl.load(k_at + page * k_page)
        v = tl.load(v_at + page * v_page)
        m, l, acc = online(q, k, v, scale, tl.zeros((T,), tl.float32), m, l, acc)
    left = length % T
    if left > 0:
        page = tl.load(table_ptr + b * W + length // T)
        k = tl.load(k_at + page * k_page, mask=slot[:, None] < left, other=0.0)
        v = tl.load(v_at + page * v_page, mask=slot[:, None] < left, other=0.0)
        m, l, acc = online(q, k, v, scale, tl.where(slot < left, 0.0, float("-inf")), m, l, acc)
    tl.store(o_ptr + q_at, acc / l[:, None], mask=used)


def paged_decode_attention(q, k_pages, v_pages, block_table, lengths):
    B, H, D = q.shape
    T, G = k_pages.shape[1], k_pages.shape[2]
    o = torch.empty_like(q)
    decode_kernel[(B * G,)](
        q, k_pages, v_pages, block_table, lengths, o, B, block_table.shape[1],
        *k_pages.stride()[:3], *v_pages.stride()[:3], q.stride(0), D**-0.5,
        H=H, G=G, D=D, T=T, ROWS=max(16, triton.next_power_of_2(H // G)), num_warps=2,
    )  # fmt: skip
    return o


# %% right="without_dot"
"""Products and sums by hand, with just as many rows as there are query heads; several pages in a step."""
@triton.jit
def by_hand_kernel(
    q_ptr, k_ptr, v_ptr, table_ptr, lengths_ptr, o_ptr, H, G, W, scale,
    SHARED: tl.constexpr, ROWS: tl.constexpr, D: tl.constexpr, T: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    b, g = tl.program_id(0), tl.program_id(1)
    length = tl.load(lengths_ptr + b)
    d = tl.arange(0, D)
    r = tl.arange(0, ROWS)
    mine = (r < SHARED)[:, None]
    q = tl.load(q_ptr + (b * H + g * SHARED + r)[:, None] * D + d[None, :], mask=mine, other=0.0).to(tl.float32) * scale
    m = tl.full([ROWS], float("-inf"), tl.float32)
    l = tl.zeros([ROWS], tl.float32)
    acc = tl.zeros([ROWS, D], tl.float32)
    for start in range(0, length, BLOCK):
        token = start + tl.arange(0, BLOCK)
        live = token < length
        page = tl.load(table_ptr + b * W + token // T, mask=live, other=0)
        at = ((page * T + token % T) * G + g) * D
        k = tl.load(k_ptr + at[:, None] + d[None, :], mask=live[:, None], other=0.0).to(tl.float32)
        v = tl.load(v_ptr + at[:, None] + d[None, :], mask=live[:, None], other=0.0).to(tl.float32)
        s = tl.sum(q[:, None, :] * k[None, :, :], axis=2)
        s = tl.where(live[None, :], s, float("-inf"))
        new = tl.maximum(m, tl.max(s, axis=1))
        alpha = tl.exp(m - new)
        p = tl.exp(s - new[:, None])
        l = l * alpha + tl.sum(p, axis=1)
        acc = acc * alpha[:, None] + tl.sum(p[:, :, None] * v[None, :, :], axis=1)
        m = new
    tl.store(o_ptr + (b * H + g * SHARED + r)[:, None] * D + d[None, :], acc / l[:, None], mask=mine)


def paged_decode_attention(q, k_pages, v_pages, block_table, lengths):
    B, H, D = q.shape
    _, T, G, _ = k_pages.shape
    o = torch.empty(B, H, D, dtype=q.dtype, device=q.device)
    by_hand_kernel[(B, G)](
        q, k_pages, v_pages, block_table, lengths, o, H, G, block_table.stride(0), 1 / D**0.5,
        SHARED=H // G, ROWS=triton.next_power_of_2(H // G), D=D, T=T, BLOCK=32,
    )  # fmt: skip
    return o
