# loses lean: a first launch writes all weights down in 16 bits
# says: between the kernels
import torch
import triton
import triton.language as tl


@triton.jit
def unpack_kernel(packed_ptr, scales_ptr, w_ptr, N, S, ROWS: tl.constexpr, BLOCK: tl.constexpr):
    k = (tl.program_id(0) * ROWS + tl.arange(0, ROWS))[:, None]
    columns = (tl.program_id(1) * BLOCK + tl.arange(0, BLOCK))[None, :]
    packed = tl.load(packed_ptr + k // 2 * N + columns, mask=columns < N, other=0).to(tl.int32)
    scale = tl.load(scales_ptr + k // S * N + columns, mask=columns < N, other=0.0)
    w = ((packed >> (k % 2 * 4)) & 15).to(tl.float32) - 8
    tl.store(w_ptr + k * N + columns, w * scale, mask=columns < N)


@triton.jit
def matmul_kernel(
    x_ptr, w_ptr, y_ptr, M, N, K, x_row, x_col, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr
):
    rows = (tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M))[:, None]
    columns = (tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N))[None, :]
    y = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for start in range(0, K, BLOCK_K):
        k = start + tl.arange(0, BLOCK_K)
        x = tl.load(x_ptr + rows * x_row + k[None, :] * x_col, mask=rows < M, other=0.0)
        w = tl.load(w_ptr + k[:, None] * N + columns, mask=columns < N, other=0.0)
        y = tl.dot(x, w, y)
    tl.store(y_ptr + rows * N + columns, y.to(y_ptr.dtype.element_ty), mask=(rows < M) & (columns < N))


def w4a16_matmul(x, packed, scales, block_m=16, block_n=64, block_k=64):
    (M, K), N = x.shape, packed.shape[1]
    w = torch.empty((K, N), dtype=x.dtype, device=x.device)
    y = torch.empty((M, N), dtype=x.dtype, device=x.device)
    unpack_kernel[(K // 32, triton.cdiv(N, block_n))](packed, scales, w, N, K // len(scales), ROWS=32, BLOCK=block_n)
    grid = (triton.cdiv(M, block_m), triton.cdiv(N, block_n))
    matmul_kernel[grid](x, w, y, M, N, K, *x.stride(), BLOCK_M=block_m, BLOCK_N=block_n, BLOCK_K=block_k)
    return y
