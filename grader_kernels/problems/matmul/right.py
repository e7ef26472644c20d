"""Other correct kernels. Each cell is a whole answer."""

# %% right="grouped_order"
"""One-dimensional grid in groups of rows, so that neighbours share their columns of b; pointers that move along."""
@triton.jit
def grouped_kernel(
    a_ptr, b_ptr, c_ptr, M, N, K, a_row, a_col, b_row, b_col,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr, GROUP: tl.constexpr,
):  # fmt: skip
    program = tl.program_id(0)
    tiles_m, tiles_n = tl.cdiv(M, BLOCK_M), tl.cdiv(N, BLOCK_N)
    first = program // (GROUP * tiles_n) * GROUP
    height = tl.minimum(tiles_m - first, GROUP)
    inside = program % (GROUP * tiles_n)
    m = (first + inside % height) * BLOCK_M + tl.arange(0, BLOCK_M)
    n = inside // height * BLOCK_N + tl.arange(0, BLOCK_N)
    k = tl.arange(0, BLOCK_K)
    a_at = a_ptr + m[:, None] * a_row + k[None, :] * a_col
    b_at = b_ptr + k[:, None] * b_row + n[None, :] * b_col
    acc = tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.float32)
    for step in range(tl.cdiv(K, BLOCK_K)):
        left = K - step * BLOCK_K
        a = tl.load(a_at, mask=(m[:, None] < M) & (k[None, :] < left), other=0.0)
        b = tl.load(b_at, mask=(k[:, None] < left) & (n[None, :] < N), other=0.0)
        acc += tl.dot(a, b)
        a_at += BLOCK_K * a_col
        b_at += BLOCK_K * b_row
    tl.store(c_ptr + m[:, None] * N + n[None, :], acc, mask=(m[:, None] < M) & (n[None, :] < N))


def matmul(a, b, out_dtype=None, block_m=64, block_n=64, block_k=32):
    M, K = a.shape
    N = b.shape[1]
    c = a.new_empty((M, N), dtype=out_dtype or a.dtype)
    grouped_kernel[(triton.cdiv(M, block_m) * triton.cdiv(N, block_n),)](
        a, b, c, M, N, K, a.stride(0), a.stride(1), b.stride(0), b.stride(1), block_m, block_n, block_k, GROUP=2
    )
    return c

# %% right="persistent"
"""A few programs share all tiles; b is loaded transposed and turned round in the kernel."""
@triton.jit
def tile_of_product(a_ptr, b_ptr, m, n, M, N, K, a_row, a_col, b_row, b_col, BLOCK_K: tl.constexpr):
    k = tl.arange(0, BLOCK_K)
    acc = tl.zeros((m.shape[0], n.shape[0]), dtype=tl.float32)
    for start in range(0, K, BLOCK_K):
        at = start + k
        live = at[None, :] < K
        a = tl.load(a_ptr + m[:, None] * a_row + at[None, :] * a_col, mask=(m[:, None] < M) & live, other=0)
        b = tl.load(b_ptr + n[:, None] * b_col + at[None, :] * b_row, mask=(n[:, None] < N) & live, other=0)
        acc = tl.dot(a, tl.trans(b), acc)
    return acc


@triton.jit
def persistent_kernel(
    a_ptr, b_ptr, c_ptr, M, N, K, a_row, a_col, b_row, b_col,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    across = tl.cdiv(N, BLOCK_N)
    for tile in range(tl.program_id(0), tl.cdiv(M, BLOCK_M) * across, tl.num_programs(0)):
        m = tile // across * BLOCK_M + tl.arange(0, BLOCK_M)
        n = tile % across * BLOCK_N + tl.arange(0, BLOCK_N)
        c = tile_of_product(a_ptr, b_ptr, m, n, M, N, K, a_row, a_col, b_row, b_col, BLOCK_K)
        tl.store(c_ptr + m[:, None] * N + n[None, :], c, mask=(m[:, None] < M) & (n[None, :] < N))


def matmul(a, b, out_dtype=None, block_m=64, block_n=64, block_k=32):
    M, K = a.shape
    N = b.shape[1]
    c = torch.empty(M, N, dtype=out_dtype or a.dtype, device=a.device)
    programs = min(3, triton.cdiv(M, block_m) * triton.cdiv(N, block_n))
    persistent_kernel[(programs,)](a, b, c, M, N, K, *a.stride(), *b.stride(), block_m, block_n, block_k)
    return c
