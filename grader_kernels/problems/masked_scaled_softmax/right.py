"""Other correct kernels. Each cell is a whole answer."""

# %% right="mask_as_a_bias"
@triton.jit
def masked_scaled_softmax_kernel(x, may, y, scale, n, x0, x1, m0, m1, y0, y1, BLOCK: tl.constexpr):
    r = tl.program_id(0)
    i = tl.arange(0, BLOCK)
    top = -1e38
    total = 0.0
    for c in range(0, n, BLOCK):
        on = tl.load(may + r * m0 + (c + i) * m1, mask=c + i < n, other=0)
        v = tl.load(x + r * x0 + (c + i) * x1, mask=c + i < n, other=0.0) * scale
        v = tl.where(on, v, -float("inf"))
        new = tl.maximum(top, tl.max(v, axis=0))
        total = total * tl.exp(top - new) + tl.sum(tl.exp(v - new), axis=0)
        top = new
    total = tl.where(total > 0.0, total, 1.0)
    for c in range(0, n, BLOCK):
        on = tl.load(may + r * m0 + (c + i) * m1, mask=c + i < n, other=0)
        v = tl.load(x + r * x0 + (c + i) * x1, mask=c + i < n, other=0.0) * scale
        v = tl.where(on, v, -float("inf"))
        tl.store(y + r * y0 + (c + i) * y1, tl.exp(v - top) / total, mask=c + i < n)


def masked_scaled_softmax(scores, mask, scale, block=128):
    y = torch.empty(scores.shape, dtype=scores.dtype, device=scores.device)
    grid = (scores.shape[0],)
    masked_scaled_softmax_kernel[grid](
        scores, mask, y, scale, scores.shape[1], *scores.stride(), *mask.stride(), *y.stride(), BLOCK=block)
    return y


# %% right="three_walks_over_a_block_of_offsets"
@triton.jit
def masked_scaled_softmax_kernel(x, may, y, scale, n, x0, x1, m0, m1, y0, y1, BLOCK: tl.constexpr):
    r = tl.program_id(0)
    top = -3e38
    for c in range(0, n, BLOCK):
        at = c + tl.arange(0, BLOCK)
        on = tl.load(may + r * m0 + at * m1, mask=at < n, other=0) != 0
        v = tl.load(x + r * x0 + at * x1, mask=on, other=-3e38)
        top = tl.maximum(top, tl.max(tl.where(on, v * scale, -3e38), axis=0))
    total = 1e-38
    for c in range(0, n, BLOCK):
        at = c + tl.arange(0, BLOCK)
        on = tl.load(may + r * m0 + at * m1, mask=at < n, other=0) != 0
        v = tl.load(x + r * x0 + at * x1, mask=on, other=0.0) * scale
        total += tl.sum(tl.where(on, tl.exp(v - top), 0.0), axis=0)
    for c in range(0, n, BLOCK):
        at = c + tl.arange(0, BLOCK)
        on = tl.load(may + r * m0 + at * m1, mask=at < n, other=0) != 0
        v = tl.load(x + r * x0 + at * x1, mask=on, other=0.0) * scale
        tl.store(y + r * y0 + at * y1, tl.where(on, tl.exp(v - top) / total, 0.0), mask=at < n)


def masked_scaled_softmax(scores, mask, scale, block=128):
    y = torch.empty(scores.shape, dtype=torch.float32, device=scores.device)
    masked_scaled_softmax_kernel[(scores.shape[0],)](
        scores, mask, y, scale, scores.shape[1], scores.stride(0), scores.stride(1), mask.stride(0), mask.stride(1),
        y.stride(0), y.stride(1), BLOCK=block)
    return y


# %% right="three_walks"
@triton.jit
def wide(scores_ptr, mask_ptr, out_ptr, scale, n_cols, s0, s1, m0, m1, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    columns = tl.arange(0, BLOCK)
    largest = -float("inf")
    for start in range(0, n_cols, BLOCK):
        at = start + columns
        allowed = tl.load(mask_ptr + row * m0 + at * m1, mask=at < n_cols, other=0) != 0
        x = tl.load(scores_ptr + row * s0 + at * s1, mask=at < n_cols, other=0.0) * scale
        largest = tl.maximum(largest, tl.max(tl.where(allowed, x, -float("inf")), axis=0))
    largest = tl.where(largest == -float("inf"), 0.0, largest)
    total = 0.0
    for start in range(0, n_cols, BLOCK):
        at = start + columns
        allowed = tl.load(mask_ptr + row * m0 + at * m1, mask=at < n_cols, other=0) != 0
        x = tl.load(scores_ptr + row * s0 + at * s1, mask=at < n_cols, other=0.0) * scale
        total += tl.sum(tl.where(allowed, tl.exp(x - largest), 0.0), axis=0)
    total = tl.where(total == 0.0, 1.0, total)
    for start in range(0, n_cols, BLOCK):
        at = start + columns
        allowed = tl.load(mask_ptr + row * m0 + at * m1, mask=at < n_cols, other=0) != 0
        x = tl.load(scores_ptr + row * s0 + at * s1, mask=at < n_cols, other=0.0) * scale
        weights = tl.where(allowed, tl.exp(x - largest), 0.0) / total
        tl.store(out_ptr + row * n_cols + at, weights, mask=at < n_cols)


@triton.jit
def narrow(scores_ptr, mask_ptr, out_ptr, scale, n_cols, s0, s1, m0, m1, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    at = tl.arange(0, BLOCK)
    allowed = tl.load(mask_ptr + row * m0 + at * m1, mask=at < n_cols, other=0) != 0
    x = tl.load(scores_ptr + row * s0 + at * s1, mask=at < n_cols, other=0.0) * scale
    largest = tl.max(tl.where(allowed, x, -float("inf")), axis=0)
    e = tl.where(allowed, tl.exp(x - tl.where(largest == -float("inf"), 0.0, largest)), 0.0)
    total = tl.sum(e, axis=0)
    tl.store(out_ptr + row * n_cols + at, e / tl.where(total == 0.0, 1.0, total), mask=at < n_cols)


def masked_scaled_softmax(scores, mask, scale, block=128):
    n_rows, n_cols = scores.shape
    out = torch.empty((n_rows, n_cols), dtype=scores.dtype, device=scores.device)
    kernel = narrow if n_cols <= block else wide
    kernel[(n_rows,)](scores, mask, out, scale, n_cols, *scores.stride(), *mask.stride(), BLOCK=block)
    return out


# %% right="two_rows_and_exp2"
@triton.jit
def kernel(scores_ptr, mask_ptr, out_ptr, to_bits, rows, columns, s0, s1, m0, m1, ONCE: tl.constexpr, W: tl.constexpr):
    """Two rows per program; scores become powers of two, to_bits = scale * log2(e)."""
    row = 2 * tl.program_id(0) + tl.arange(0, 2)[:, None]
    lane = tl.arange(0, W)[None, :]
    best = tl.full((2, 1), -1e38, tl.float32)
    total = tl.zeros((2, 1), tl.float32)
    for start in range(0, columns, W):
        at = start + lane
        seen = (row < rows) & (at < columns)
        seen = seen & (tl.load(mask_ptr + row * m0 + at * m1, mask=seen, other=0) != 0)
        bits = tl.load(scores_ptr + row * s0 + at * s1, mask=seen, other=0.0) * to_bits
        higher = tl.maximum(best, tl.max(tl.where(seen, bits, -1e38), axis=1, keep_dims=True))
        powers = tl.where(seen, tl.exp2(bits - higher), 0.0)
        total = total * tl.exp2(best - higher) + tl.sum(powers, axis=1, keep_dims=True)
        best = higher
        if ONCE:
            share = powers / tl.where(total > 0, total, 1.0)
            tl.store(out_ptr + row * columns + at, share, mask=(row < rows) & (at < columns))
    if not ONCE:
        for start in range(0, columns, W):
            at = start + lane
            inside = (row < rows) & (at < columns)
            seen = inside & (tl.load(mask_ptr + row * m0 + at * m1, mask=inside, other=0) != 0)
            bits = tl.load(scores_ptr + row * s0 + at * s1, mask=seen, other=0.0) * to_bits
            share = tl.where(seen, tl.exp2(bits - best), 0.0) / tl.where(total > 0, total, 1.0)
            tl.store(out_ptr + row * columns + at, share, mask=inside)


def masked_scaled_softmax(scores, mask, scale, block=128):
    rows, columns = scores.shape
    out = scores.new_empty(rows, columns)
    to_bits = scale * 1.4426950408889634
    kernel[(triton.cdiv(rows, 2),)](
        scores, mask, out, to_bits, rows, columns, *scores.stride(), *mask.stride(), ONCE=columns <= block, W=block
    )
    return out
