# loses lean: scaling and masking write their result to memory, and a second launch reads it back
# says: between the kernels
import torch
import triton
import triton.language as tl


@triton.jit
def scale_and_mask_kernel(scores_ptr, mask_ptr, out_ptr, scale, n_cols, s0, s1, m0, m1, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    for start in range(0, n_cols, BLOCK):
        at = start + tl.arange(0, BLOCK)
        allowed = tl.load(mask_ptr + row * m0 + at * m1, mask=at < n_cols, other=0) != 0
        x = tl.load(scores_ptr + row * s0 + at * s1, mask=allowed, other=0.0) * scale
        tl.store(out_ptr + row * n_cols + at, tl.where(allowed, x, -float("inf")), mask=at < n_cols)


@triton.jit
def softmax_kernel(x_ptr, out_ptr, n_cols, BLOCK: tl.constexpr):
    x_ptr += tl.program_id(0) * n_cols
    out_ptr += tl.program_id(0) * n_cols
    largest = -1.0e38
    total = 0.0
    for start in range(0, n_cols, BLOCK):
        at = start + tl.arange(0, BLOCK)
        x = tl.load(x_ptr + at, mask=at < n_cols, other=-float("inf"))
        higher = tl.maximum(largest, tl.max(x, axis=0))
        total = total * tl.exp(largest - higher) + tl.sum(tl.exp(x - higher), axis=0)
        largest = higher
    total = tl.where(total == 0.0, 1.0, total)
    for start in range(0, n_cols, BLOCK):
        at = start + tl.arange(0, BLOCK)
        x = tl.load(x_ptr + at, mask=at < n_cols, other=-float("inf"))
        tl.store(out_ptr + at, tl.exp(x - largest) / total, mask=at < n_cols)


def masked_scaled_softmax(scores, mask, scale, block=128):
    n_rows, n_cols = scores.shape
    scaled = torch.empty((n_rows, n_cols), dtype=scores.dtype, device=scores.device)
    out = torch.empty_like(scaled)
    scale_and_mask_kernel[(n_rows,)](scores, mask, scaled, scale, n_cols, *scores.stride(), *mask.stride(), BLOCK=block)
    softmax_kernel[(n_rows,)](scaled, out, n_cols, BLOCK=block)
    return out
