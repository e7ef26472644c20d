# loses safe: hidden scores are not loaded, and what their lanes hold goes into the maximum
# says: has no other=
import torch
import triton
import triton.language as tl


@triton.jit
def allowed_scores(scores_ptr, mask_ptr, at, n_cols, scale, scores_col, mask_col):
    """scale * scores, with -inf where the row has ended or the mask hides the column."""
    allowed = tl.load(mask_ptr + at * mask_col, mask=at < n_cols, other=0) != 0
    scores = tl.load(scores_ptr + at * scores_col, mask=allowed)
    return tl.where(at < n_cols, scores * scale, -float("inf"))


@triton.jit
def masked_scaled_softmax_kernel(
    scores_ptr, mask_ptr, out_ptr, scale, n_cols,
    scores_row, scores_col, mask_row, mask_col, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0)
    scores_ptr += row * scores_row
    mask_ptr += row * mask_row
    out_ptr += row * n_cols
    columns = tl.arange(0, BLOCK)
    if n_cols <= BLOCK:
        x = allowed_scores(scores_ptr, mask_ptr, columns, n_cols, scale, scores_col, mask_col)
        largest = tl.max(x, axis=0)
        e = tl.exp(x - tl.where(largest == -float("inf"), 0.0, largest))
        total = tl.sum(e, axis=0)
        tl.store(out_ptr + columns, e / tl.where(total == 0.0, 1.0, total), mask=columns < n_cols)
    else:
        finite = -1.0e38  # not -inf: the difference of two of these is a number
        largest = finite
        total = 0.0
        for start in range(0, n_cols, BLOCK):
            x = allowed_scores(scores_ptr, mask_ptr, start + columns, n_cols, scale, scores_col, mask_col)
            higher = tl.maximum(largest, tl.max(x, axis=0))
            total = total * tl.exp(largest - higher) + tl.sum(tl.exp(x - higher), axis=0)
            largest = higher
        total = tl.where(total == 0.0, 1.0, total)
        for start in range(0, n_cols, BLOCK):
            at = start + columns
            x = allowed_scores(scores_ptr, mask_ptr, at, n_cols, scale, scores_col, mask_col)
            tl.store(out_ptr + at, tl.exp(x - largest) / total, mask=at < n_cols)


def masked_scaled_softmax(scores, mask, scale, block=128):
    n_rows, n_cols = scores.shape
    out = torch.empty((n_rows, n_cols), dtype=scores.dtype, device=scores.device)
    masked_scaled_softmax_kernel[(n_rows,)](
        scores, mask, out, scale, n_cols, *scores.stride(), *mask.stride(), BLOCK=block
    )
    return out
