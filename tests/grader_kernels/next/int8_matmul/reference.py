import torch
import triton
import triton.language as tl


@triton.jit
def int8_kernel(
    a_ptr, b_ptr, a_scale_ptr, b_scale_ptr, y_ptr, M, N, K,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    m = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    n = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)
    total = tl.zeros((BLOCK_M, BLOCK_N), tl.int32)
    for start in range(0, K, BLOCK_K):
        k = start + tl.arange(0, BLOCK_K)
        a = tl.load(a_ptr + m[:, None] * K + k[None, :], mask=m[:, None] < M, other=0)
        b = tl.load(b_ptr + k[:, None] * N + n[None, :], mask=n[None, :] < N, other=0)
        total = tl.dot(a, b, total, out_dtype=tl.int32)
    a_scale = tl.load(a_scale_ptr + m, mask=m < M, other=0.0)
    b_scale = tl.load(b_scale_ptr + n, mask=n < N, other=0.0)
    y = total.to(tl.float32) * a_scale[:, None] * b_scale[None, :]
    tl.store(y_ptr + m[:, None] * N + n[None, :], y.to(tl.float16), mask=(m[:, None] < M) & (n[None, :] < N))


def int8_matmul(a, b, a_scale, b_scale, block_m=16, block_n=16, block_k=32):
    (M, K), N = a.shape, b.shape[1]
    y = torch.empty((M, N), dtype=torch.float16, device=a.device)
    grid = (triton.cdiv(M, block_m), triton.cdiv(N, block_n))
    int8_kernel[grid](a, b, a_scale, b_scale, y, M, N, K, BLOCK_M=block_m, BLOCK_N=block_n, BLOCK_K=block_k)
    return y
