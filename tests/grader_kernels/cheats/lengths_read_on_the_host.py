# refused: no kernel reads lengths
# problem: paged_decode_attention
# loses: lean
"""The lengths, which are the same in every draw, are read by Python: on a GPU that waits for all work before it."""

import torch
import triton
import triton.language as tl


@triton.jit
def paged_decode_attention_kernel(
    q_ptr, k_ptr, v_ptr, table_ptr, o_ptr, H, G, W, scale, LENGTHS: tl.constexpr, COUNT: tl.constexpr,
    SHARED: tl.constexpr, ROWS: tl.constexpr, D: tl.constexpr, T: tl.constexpr,
):  # fmt: skip
    sequence, group = tl.program_id(0), tl.program_id(1)
    length = 0
    for i in tl.static_range(COUNT):
        length = tl.where(sequence == i, LENGTHS[i], length)
    d = tl.arange(0, D)
    row = tl.arange(0, ROWS)
    head = group * SHARED + row
    q_at = (sequence * H + head)[:, None] * D + d[None, :]
    q = tl.load(q_ptr + q_at, mask=row[:, None] < SHARED, other=0.0)

    largest = tl.full((ROWS,), -float("inf"), tl.float32)
    total = tl.zeros((ROWS,), tl.float32)
    o = tl.zeros((ROWS, D), tl.float32)
    for start in range(0, length, T):
        page = tl.load(table_ptr + sequence * W + start // T).to(tl.int64)
        slot = tl.arange(0, T)
        inside = start + slot < length
        at = ((page * T + slot) * G + group) * D
        k = tl.load(k_ptr + at[None, :] + d[:, None], mask=inside[None, :], other=0.0)
        v = tl.load(v_ptr + at[:, None] + d[None, :], mask=inside[:, None], other=0.0)
        s = tl.dot(q, k, input_precision="ieee") * scale
        s = tl.where(inside[None, :], s, -float("inf"))
        higher = tl.maximum(largest, tl.max(s, axis=1))
        p = tl.exp(s - higher[:, None])
        before = tl.exp(largest - higher)
        total = total * before + tl.sum(p, axis=1)
        o = tl.dot(p.to(v.dtype), v, o * before[:, None], input_precision="ieee")
        largest = higher
    o = (o / total[:, None]).to(o_ptr.dtype.element_ty)
    tl.store(o_ptr + q_at, o, mask=row[:, None] < SHARED)


def paged_decode_attention(q, k_pages, v_pages, block_table, lengths):
    (B, H, D), (T, G) = q.shape, k_pages.shape[1:3]
    o = torch.empty((B, H, D), dtype=q.dtype, device=q.device)
    paged_decode_attention_kernel[(B, G)](
        q, k_pages, v_pages, block_table, o, H, G, block_table.shape[1], D**-0.5, tuple(lengths.tolist()), B,
        SHARED=H // G, ROWS=max(16, triton.next_power_of_2(H // G)), D=D, T=T,
    )  # fmt: skip
    return o
