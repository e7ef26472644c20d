import torch
import triton
import triton.language as tl


@triton.jit
def w4a16_matmul_kernel(
    x_ptr, packed_ptr, scales_ptr, y_ptr, M, N, K, S, x_row, x_col,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """One BLOCK_M x BLOCK_N tile of y, in steps of BLOCK_K along K."""
    raise NotImplementedError


def w4a16_matmul(x, packed, scales, block_m=16, block_n=64, block_k=64):
    """y (M, N) in x's dtype = x (M, K) @ weights of four bits, packed (K // 2, N), scales (K // S, N)."""
    (M, K), N = x.shape, packed.shape[1]
    y = torch.empty((M, N), dtype=x.dtype, device=x.device)
    grid = (triton.cdiv(M, block_m), triton.cdiv(N, block_n))
    w4a16_matmul_kernel[grid](
        x, packed, scales, y, M, N, K, K // scales.shape[0], *x.stride(),
        BLOCK_M=block_m, BLOCK_N=block_n, BLOCK_K=block_k,
    )  # fmt: skip
    return y
