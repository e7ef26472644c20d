import torch
import triton
import triton.language as tl


@triton.jit
def epilogue_kernel(
    x_ptr, w_ptr, bias_ptr, y_ptr, M, N, K,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    rows = (tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M))[:, None]
    columns = (tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N))[None, :]
    total = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for start in range(0, K, BLOCK_K):
        k = start + tl.arange(0, BLOCK_K)
        x = tl.load(x_ptr + rows * K + k[None, :], mask=(rows < M) & (k[None, :] < K), other=0.0)
        w = tl.load(w_ptr + k[:, None] * N + columns, mask=(k[:, None] < K) & (columns < N), other=0.0)
        total = tl.dot(x, w, total)
    total += tl.load(bias_ptr + columns, mask=columns < N, other=0.0)
    y = total * tl.sigmoid(total)
    tl.store(y_ptr + rows * N + columns, y.to(tl.bfloat16), mask=(rows < M) & (columns < N))


def matmul_epilogue(x, w, bias, block_m=64, block_n=64, block_k=32):
    (M, K), N = x.shape, w.shape[1]
    y = torch.empty((M, N), dtype=x.dtype, device=x.device)
    grid = (triton.cdiv(M, block_m), triton.cdiv(N, block_n))
    epilogue_kernel[grid](x, w, bias, y, M, N, K, BLOCK_M=block_m, BLOCK_N=block_n, BLOCK_K=block_k)
    return y
