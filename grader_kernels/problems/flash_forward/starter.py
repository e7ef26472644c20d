import torch
import triton
import triton.language as tl


@triton.jit
def flash_forward_kernel(
    q_ptr, k_ptr, v_ptr, o_ptr, lse_ptr, H, shared, N, L, scale,
    q_batch, q_head, q_row, k_batch, k_head, k_row, v_batch, v_head, v_row,
    CAUSAL: tl.constexpr, D: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    """BLOCK_M queries of one head, in steps of BLOCK_N keys. shared = H // G query heads use one head of k and v."""
    raise NotImplementedError


def flash_forward(q, k, v, causal=False, block_m=64, block_n=64):
    """q (B, H, N, D), k and v (B, G, L, D) -> o (B, H, N, D) of q's dtype and lse (B, H, N) in float32."""
    B, H, N, D = q.shape
    G, L = k.shape[1:3]
    o = torch.empty((B, H, N, D), dtype=q.dtype, device=q.device)
    lse = torch.empty((B, H, N), dtype=torch.float32, device=q.device)
    flash_forward_kernel[(triton.cdiv(N, block_m), B * H)](
        q, k, v, o, lse, H, H // G, N, L, D**-0.5, *q.stride()[:3], *k.stride()[:3], *v.stride()[:3],
        CAUSAL=causal, D=D, BLOCK_M=block_m, BLOCK_N=block_n,
    )  # fmt: skip
    return o, lse
