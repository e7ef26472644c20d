import triton
import triton.language as tl


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
