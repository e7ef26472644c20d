# whole pages without a mask first, then the last page; one-dimensional grid; exp2; strides from the tensors
import torch
import triton
import triton.language as tl


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
