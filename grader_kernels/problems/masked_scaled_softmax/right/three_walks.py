import torch
import triton
import triton.language as tl


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
