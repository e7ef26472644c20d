# loses safe: programs that share a tile add to it without an atomic
# says: atomic
import torch
import triton
import triton.language as tl


@triton.jit
def split_k_kernel(
    a_ptr, b_ptr, c_ptr, M, N, K, a_row, a_col, b_row, b_col,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    rows = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)[:, None]
    columns = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)[None, :]
    across = tl.program_id(2) * BLOCK_K + tl.arange(0, BLOCK_K)[None, :]
    down = tl.program_id(2) * BLOCK_K + tl.arange(0, BLOCK_K)[:, None]
    a = tl.load(a_ptr + rows * a_row + across * a_col, mask=(rows < M) & (across < K), other=0.0)
    b = tl.load(b_ptr + down * b_row + columns * b_col, mask=(down < K) & (columns < N), other=0.0)
    at = c_ptr + rows * N + columns
    inside = (rows < M) & (columns < N)
    tl.store(at, tl.load(at, mask=inside, other=0.0) + tl.dot(a, b), mask=inside)


def matmul(a, b, out_dtype=torch.bfloat16, block_m=64, block_n=64, block_k=32):
    (M, K), N = a.shape, b.shape[1]
    c = torch.zeros((M, N), dtype=out_dtype, device=a.device)
    grid = (triton.cdiv(M, block_m), triton.cdiv(N, block_n), triton.cdiv(K, block_k))
    split_k_kernel[grid](a, b, c, M, N, K, *a.stride(), *b.stride(), BLOCK_M=block_m, BLOCK_N=block_n, BLOCK_K=block_k)
    return c
