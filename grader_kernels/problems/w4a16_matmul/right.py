"""Other correct kernels. Each cell is a whole answer."""

# %% right="even_and_odd"
"""Two products, of the even and of the odd rows of weights; whole numbers are multiplied and scaled afterwards."""
@triton.jit
def even_odd_kernel(
    x_ptr, packed_ptr, scales_ptr, y_ptr, M, N, K, S, x_row, x_col,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, HALF: tl.constexpr,
):  # fmt: skip
    m = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)[:, None]
    n = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)[None, :]
    i = tl.arange(0, HALF)
    acc = tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.float32)
    for step in range(K // 2 // HALF):
        at = step * HALF + i
        even = tl.load(x_ptr + m * x_row + 2 * at[None, :] * x_col, mask=m < M, other=0.0)
        odd = tl.load(x_ptr + m * x_row + (2 * at[None, :] + 1) * x_col, mask=m < M, other=0.0)
        byte = tl.load(packed_ptr + at[:, None] * N + n, mask=n < N, other=0x88)
        scale = tl.load(scales_ptr + step * 2 * HALF // S * N + n, mask=n < N, other=0.0)
        part = tl.dot(even, ((byte & 0xF).to(tl.int32) - 8).to(even.dtype))
        part = tl.dot(odd, ((byte >> 4).to(tl.int32) - 8).to(odd.dtype), part)
        acc += part * scale.to(tl.float32)
    tl.store(y_ptr + m * N + n, acc, mask=(m < M) & (n < N))


def w4a16_matmul(x, packed, scales, block_m=16, block_n=64, block_k=64):
    M, K = x.shape
    N = packed.shape[1]
    y = x.new_empty(M, N)
    even_odd_kernel[triton.cdiv(M, block_m), triton.cdiv(N, block_n)](
        x, packed, scales, y, M, N, K, K // len(scales), x.stride(0), x.stride(1), block_m, block_n, block_k // 2
    )
    return y


# %% right="shifts"
"""Weights unpacked by a shift that depends on the lane; loops over groups with the steps of a group inside."""
@triton.jit
def unpack(byte, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    shift = (tl.arange(0, 2) * 4)[None, :, None]
    q = (byte.to(tl.int32)[:, None, :] >> shift) & 15
    return tl.reshape(q, (ROWS, COLUMNS)) - 8


@triton.jit
def group_kernel(
    x_ptr, packed_ptr, scales_ptr, y_ptr, M, N, groups, S, x_row, x_col,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    tiles = tl.cdiv(N, BLOCK_N)
    m = tl.program_id(0) // tiles * BLOCK_M + tl.arange(0, BLOCK_M)
    n = tl.program_id(0) % tiles * BLOCK_N + tl.arange(0, BLOCK_N)
    k = tl.arange(0, BLOCK_K)
    i = tl.arange(0, BLOCK_K // 2)
    acc = tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.float32)
    for group in range(groups):
        scale = tl.load(scales_ptr + group * N + n, mask=n < N, other=0.0)
        for start in range(group * S, group * S + S, BLOCK_K):
            x = tl.load(x_ptr + m[:, None] * x_row + (start + k)[None, :] * x_col, mask=m[:, None] < M, other=0.0)
            byte = tl.load(packed_ptr + (start // 2 + i)[:, None] * N + n[None, :], mask=n[None, :] < N, other=0)
            w = unpack(byte, BLOCK_K, BLOCK_N).to(x.dtype) * scale[None, :]
            acc = tl.dot(x, w, acc)
    tl.store(y_ptr + m[:, None] * N + n[None, :], acc, mask=(m[:, None] < M) & (n[None, :] < N))


def w4a16_matmul(x, packed, scales, block_m=16, block_n=64, block_k=64):
    M, K = x.shape
    groups, N = scales.shape
    y = torch.empty(M, N, dtype=x.dtype, device=x.device)
    grid = (triton.cdiv(M, block_m) * triton.cdiv(N, block_n),)
    group_kernel[grid](
        x, packed, scales, y, M, N, groups, K // groups, *x.stride(), BLOCK_M=block_m, BLOCK_N=block_n, BLOCK_K=block_k
    )
    return y
