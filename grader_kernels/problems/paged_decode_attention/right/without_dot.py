# products and sums by hand, with just as many rows as there are query heads; several pages in a step
import torch
import triton
import triton.language as tl


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
