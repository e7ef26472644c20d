import torch
import triton
import triton.language as tl


@triton.jit
def grouped_kernel(
    x_ptr, w_ptr, ends_ptr, y_ptr, N, K, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr
):
    group = tl.program_id(0)
    columns = (tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N))[None, :]
    first = tl.load(ends_ptr + group - 1, mask=group > 0, other=0)
    end = tl.load(ends_ptr + group)
    for start in range(first, end, BLOCK_M):
        rows = (start + tl.arange(0, BLOCK_M))[:, None]
        total = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
        for step in range(0, K, BLOCK_K):
            k = step + tl.arange(0, BLOCK_K)
            x = tl.load(x_ptr + rows * K + k[None, :], mask=(rows < end) & (k[None, :] < K), other=0.0)
            at = (group * K + k[:, None]) * N + columns
            w = tl.load(w_ptr + at, mask=(k[:, None] < K) & (columns < N), other=0.0)
            total = tl.dot(x, w, total)
        tl.store(y_ptr + rows * N + columns, total.to(tl.bfloat16), mask=(rows < end) & (columns < N))


def grouped_matmul(x, w, ends, block_m=16, block_n=16, block_k=16):
    G, K, N = w.shape
    y = torch.empty((x.shape[0], N), dtype=x.dtype, device=x.device)
    grid = (G, triton.cdiv(N, block_n))
    grouped_kernel[grid](x, w, ends, y, N, K, BLOCK_M=block_m, BLOCK_N=block_n, BLOCK_K=block_k)
    return y
