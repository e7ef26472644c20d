import torch
import triton
import triton.language as tl


@triton.jit
def paged_decode_attention_kernel(
    q_ptr, k_ptr, v_ptr, table_ptr, lengths_ptr, o_ptr, H, G, W, scale,
    SHARED: tl.constexpr, ROWS: tl.constexpr, D: tl.constexpr, T: tl.constexpr,
):  # fmt: skip
    """One sequence and one head of k and v: SHARED query heads (ROWS: padded to a tile), page after page."""
    raise NotImplementedError


def paged_decode_attention(q, k_pages, v_pages, block_table, lengths):
    """q (B, H, D), pages (P, T, G, D), block_table (B, W), lengths (B,) -> o (B, H, D) in q's dtype."""
    (B, H, D), (T, G) = q.shape, k_pages.shape[1:3]
    o = torch.empty((B, H, D), dtype=q.dtype, device=q.device)
    paged_decode_attention_kernel[(B, G)](
        q, k_pages, v_pages, block_table, lengths, o, H, G, block_table.shape[1], D**-0.5,
        SHARED=H // G, ROWS=max(16, triton.next_power_of_2(H // G)), D=D, T=T,
    )  # fmt: skip
    return o
