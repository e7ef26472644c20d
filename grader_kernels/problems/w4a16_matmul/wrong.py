"""What goes wrong: the group that it loses, and words that the verdict holds."""

# %% wrong="high_bits_first" loses="right" says="low four bits"
"""The high four bits of a byte are taken for the even row. They hold the odd one.

Which row of weights do the low four bits of packed[i, n] hold?
"""
edit("tl.join(packed & 15, packed >> 4)", "tl.join(packed >> 4, packed & 15)")

# %% wrong="halves_stacked" loses="right" says="low four bits"
"""All low bits are taken to come before all high bits. Rows 2 i and 2 i + 1 share a byte, so the two alternate.

In which order do the rows of a (2, BLOCK_K / 2) stack come, and in which order does x have its columns?
"""
edit("tl.permute(both, (0, 2, 1))", "tl.permute(both, (2, 0, 1))")

# %% wrong="no_zero_point" loses="right" says="8 stands for zero"
"""The 8 is not subtracted: four bits hold 0 to 15, and weights are -8 to 7.

Which four bits stand for the weight 0?
"""
edit("(q.to(tl.float32) - 8)", "q.to(tl.float32)")

# %% wrong="first_scale_for_all" loses="right" says="k // S"
"""All groups use the first row of scales.

In which row of scales is the scale of weight (k, n)?
"""
edit("scales_ptr + start // S * N + columns", "scales_ptr + columns")

# %% wrong="scale_by_step" loses="right" says="are outside"
"""Every step takes the next row of scales, also within a group: a group may be several steps long.

How many steps does a group of S weights take?
"""
edit("start // S * N", "start // BLOCK_K * N")

# %% wrong="float16_weights" loses="right" says="float16 ends at 65504"
"""The weights become float16 also when x is bfloat16: what is larger than 65504 becomes infinite.

Which dtype should the weights have that x is multiplied with?
"""
edit("tl.dot(x, w.to(x.dtype), y)", "tl.dot(x.to(tl.float16), w.to(tl.float16), y)")

# %% wrong="fp16_accumulate" loses="right" says="Keep the sum in float32"
"""The sum is kept in x's dtype: beside a large one, small terms are rounded away, however many there are.

In which dtype does tl.dot add up, and what becomes of its result?
"""
edit("y = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)", "y = tl.zeros((BLOCK_M, BLOCK_N), x_ptr.dtype.element_ty)")
edit("y = tl.dot(x, w.to(x.dtype), y)", "y += tl.dot(x, w.to(x.dtype)).to(x.dtype)")

# %% wrong="wrong_stride" loses="right" says="strides"
"""x is taken to be contiguous, with rows of K neighbours.

What are the strides of a transposed x?
"""
edit("K // scales.shape[0], *x.stride()", "K // scales.shape[0], K, 1")

# %% wrong="tail_tile_missing" loses="right" says="never written by a kernel"
"""The numbers of tiles are rounded down, so the ragged last one has no program.

How many tiles of 16 cover 41 columns?
"""
edit("(triton.cdiv(M, block_m), triton.cdiv(N, block_n))", "(max(M // block_m, 1), max(N // block_n, 1))")

# %% wrong="no_row_mask" loses="right" says="writes"
"""Rows past the end are stored, into memory that belongs to somebody else.

Which rows of the last tile does y not have?
"""
edit("y, mask=row_inside & column_inside", "y, mask=column_inside")

# %% wrong="reads_a_byte_twice" loses="lean" says="twice"
"""Every byte is read once for each of its two weights.

What can be done with both halves of a byte once it is loaded? See tl.join.
"""
edit("(start // 2 + half) * N + columns[None, :]", "k[:, None] // 2 * N + columns[None, :]")
edit(
    """
    both = tl.join(packed & 15, packed >> 4)  # (BLOCK_K / 2, BLOCK_N, 2)
    q = tl.permute(both, (0, 2, 1)).reshape(BLOCK_K, BLOCK_N)
    """,
    """
    q = (packed >> (k % 2 * 4)[:, None].to(tl.uint8)) & 15
    """,
)

# %% wrong="unpacks_first" loses="lean" says="between the kernels"
"""A first launch writes all weights down in 16 bits, and a second one reads them: four times the bytes of the packed
ones, each way.

Who needs an unpacked weight, and for how long?
"""
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
