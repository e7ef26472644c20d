# loses safe: a sum in scratch memory that starts with whatever was there
# says: nobody wrote
import torch
import triton
import triton.language as tl


@triton.jit
def add_kernel(
    a_ptr, b_ptr, sum_ptr, c_ptr, M, N, K, a_row, a_col, b_row, b_col,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    rows = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)[:, None]
    columns = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)[None, :]
    inside = (rows < M) & (columns < N)
    total = tl.load(sum_ptr + rows * N + columns, mask=inside, other=0.0)
    for start in range(0, K, BLOCK_K):
        across = start + tl.arange(0, BLOCK_K)[None, :]
        down = start + tl.arange(0, BLOCK_K)[:, None]
        a = tl.load(a_ptr + rows * a_row + across * a_col, mask=(rows < M) & (across < K), other=0.0)
        b = tl.load(b_ptr + down * b_row + columns * b_col, mask=(down < K) & (columns < N), other=0.0)
        total = tl.dot(a, b, total)
    tl.store(c_ptr + rows * N + columns, total, mask=inside)


def matmul(a, b, out_dtype=torch.bfloat16, block_m=64, block_n=64, block_k=32):
    (M, K), N = a.shape, b.shape[1]
    total = torch.empty((M, N), dtype=torch.float32, device=a.device)
    c = torch.empty((M, N), dtype=out_dtype, device=a.device)
    grid = (triton.cdiv(M, block_m), triton.cdiv(N, block_n))
    add_kernel[grid](
        a, b, total, c, M, N, K, *a.stride(), *b.stride(), BLOCK_M=block_m, BLOCK_N=block_n, BLOCK_K=block_k
    )
    return c
