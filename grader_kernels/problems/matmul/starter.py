import torch
import triton
import triton.language as tl


@triton.jit
def matmul_kernel(
    a_ptr, b_ptr, c_ptr, M, N, K, a_row, a_col, b_row, b_col, c_row,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """One BLOCK_M x BLOCK_N tile of c, in steps of BLOCK_K along K."""
    raise NotImplementedError


def matmul(a, b, out_dtype=torch.bfloat16, block_m=64, block_n=64, block_k=32):
    """a (M, K) @ b (K, N), bfloat16 with any strides -> a new contiguous (M, N) tensor of out_dtype."""
    (M, K), N = a.shape, b.shape[1]
    c = torch.empty((M, N), dtype=out_dtype, device=a.device)
    grid = (triton.cdiv(M, block_m), triton.cdiv(N, block_n))
    matmul_kernel[grid](
        a, b, c, M, N, K, *a.stride(), *b.stride(), c.stride(0), BLOCK_M=block_m, BLOCK_N=block_n, BLOCK_K=block_k
    )
    return c
