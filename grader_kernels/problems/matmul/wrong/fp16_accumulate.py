# loses right: the sum is kept in float16
# says: Keep the sum in float32
import torch
import triton
import triton.language as tl


@triton.jit
def matmul_kernel(
    a_ptr, b_ptr, c_ptr, M, N, K, a_row, a_col, b_row, b_col, c_row,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    rows = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)[:, None]
    columns = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)[None, :]
    total = tl.zeros((BLOCK_M, BLOCK_N), tl.float16)
    for start in range(0, K, BLOCK_K):
        across = start + tl.arange(0, BLOCK_K)[None, :]
        down = start + tl.arange(0, BLOCK_K)[:, None]
        a = tl.load(a_ptr + rows * a_row + across * a_col, mask=(rows < M) & (across < K), other=0.0)
        b = tl.load(b_ptr + down * b_row + columns * b_col, mask=(down < K) & (columns < N), other=0.0)
        total += tl.dot(a, b).to(tl.float16)
    c = total.to(c_ptr.dtype.element_ty)
    tl.store(c_ptr + rows * c_row + columns, c, mask=(rows < M) & (columns < N))


def matmul(a, b, out_dtype=torch.bfloat16, block_m=64, block_n=64, block_k=32):
    (M, K), N = a.shape, b.shape[1]
    c = torch.empty((M, N), dtype=out_dtype, device=a.device)
    grid = (triton.cdiv(M, block_m), triton.cdiv(N, block_n))
    matmul_kernel[grid](
        a, b, c, M, N, K, *a.stride(), *b.stride(), c.stride(0), BLOCK_M=block_m, BLOCK_N=block_n, BLOCK_K=block_k
    )
    return c
