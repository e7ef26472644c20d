# loses right: all groups use the first row of scales
# says: k // S
import torch
import triton
import triton.language as tl


@triton.jit
def w4a16_matmul_kernel(
    x_ptr, packed_ptr, scales_ptr, y_ptr, M, N, K, S, x_row, x_col,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    rows = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    columns = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)
    row_inside, column_inside = rows[:, None] < M, columns[None, :] < N
    half = tl.arange(0, BLOCK_K // 2)[:, None]
    y = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for start in range(0, K, BLOCK_K):
        k = start + tl.arange(0, BLOCK_K)
        x = tl.load(x_ptr + rows[:, None] * x_row + k[None, :] * x_col, mask=row_inside, other=0.0)
        packed = tl.load(packed_ptr + (start // 2 + half) * N + columns[None, :], mask=column_inside, other=0)
        scale = tl.load(scales_ptr + columns, mask=columns < N, other=0.0)
        both = tl.join(packed & 15, packed >> 4)  # (BLOCK_K / 2, BLOCK_N, 2)
        q = tl.permute(both, (0, 2, 1)).reshape(BLOCK_K, BLOCK_N)
        w = (q.to(tl.float32) - 8) * scale.to(tl.float32)[None, :]
        y = tl.dot(x, w.to(x.dtype), y)
    y = y.to(y_ptr.dtype.element_ty)
    tl.store(y_ptr + rows[:, None] * N + columns[None, :], y, mask=row_inside & column_inside)


def w4a16_matmul(x, packed, scales, block_m=16, block_n=64, block_k=64):
    (M, K), N = x.shape, packed.shape[1]
    y = torch.empty((M, N), dtype=x.dtype, device=x.device)
    grid = (triton.cdiv(M, block_m), triton.cdiv(N, block_n))
    w4a16_matmul_kernel[grid](
        x, packed, scales, y, M, N, K, K // scales.shape[0], *x.stride(),
        BLOCK_M=block_m, BLOCK_N=block_n, BLOCK_K=block_k,
    )  # fmt: skip
    return y
