"""Other correct kernels. Each cell is a whole answer."""

# %% right="tiles_in_turn"
"""Four programs go through the tiles of all groups; which group a tile belongs to is found on the way."""
@triton.jit
def turns_kernel(
    x_ptr, w_ptr, ends_ptr, y_ptr, N, K, G,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    across = tl.cdiv(N, BLOCK_N)
    tile = tl.program_id(0)
    first = 0
    before = 0  # tiles of the groups before this one
    for group in range(G):
        end = tl.load(ends_ptr + group)
        tiles = tl.cdiv(end - first, BLOCK_M) * across
        while tile < before + tiles:
            rows = first + (tile - before) // across * BLOCK_M + tl.arange(0, BLOCK_M)[:, None]
            columns = (tile - before) % across * BLOCK_N + tl.arange(0, BLOCK_N)[None, :]
            total = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
            for step in range(0, K, BLOCK_K):
                k = step + tl.arange(0, BLOCK_K)
                x = tl.load(x_ptr + rows * K + k[None, :], mask=(rows < end) & (k[None, :] < K), other=0.0)
                at = (group * K + k[:, None]) * N + columns
                total = tl.dot(x, tl.load(w_ptr + at, mask=(k[:, None] < K) & (columns < N), other=0.0), total)
            tl.store(y_ptr + rows * N + columns, total.to(tl.bfloat16), mask=(rows < end) & (columns < N))
            tile += tl.num_programs(0)
        before += tiles
        first = end


def grouped_matmul(x, w, ends, block_m=16, block_n=16, block_k=16):
    G, K, N = w.shape
    y = x.new_empty(x.shape[0], N)
    turns_kernel[(4,)](x, w, ends, y, N, K, G, BLOCK_M=block_m, BLOCK_N=block_n, BLOCK_K=block_k)
    return y
