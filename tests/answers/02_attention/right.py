"""Right answers to unit 02 by readers who saw the released notebook only: tests/test_readers.py judges them."""

# %% exercise="scaled_dot_product_attention" right="library"
"""Torch's own function for out with the mask's dead rows opened, own weights (the prompt forbids nothing here)."""
def scaled_dot_product_attention(q, k, v, mask=None):
    scores = q @ k.mT / math.sqrt(q.shape[-1])
    if mask is None:
        return nn.functional.scaled_dot_product_attention(q, k, v), scores.softmax(-1)
    bias = mask if mask.is_floating_point() else torch.zeros(mask.shape, dtype=q.dtype).masked_fill(~mask, -math.inf)
    bias = bias.expand(scores.shape)
    dead = (bias == -math.inf).all(-1, keepdim=True)
    bias = bias.masked_fill(dead, 0.0)
    out = nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=bias).masked_fill(dead, 0.0)
    return out, (scores + bias).softmax(-1).masked_fill(dead, 0.0)

# %% exercise="MultiHeadAttention" right="getattr_names"
"""Getattr over the three names of the prompt."""
class MultiHeadAttention(nn.Module):
    def __init__(self, d_model, num_heads, dropout=0.0):
        super().__init__()
        if d_model % num_heads:
            raise ValueError("d_model must be a multiple of num_heads")
        self.num_heads = num_heads
        for name in "qkvo":
            setattr(self, f"w_{name}", nn.Linear(d_model, d_model))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x, mask=None):
        q, k, v = (split_heads(getattr(self, f"w_{name}")(x), self.num_heads) for name in "qkv")
        _, weights = scaled_dot_product_attention(q, k, v, mask)
        return self.w_o(merge_heads(self.dropout(weights) @ v)), weights

# %% exercise="masked_scaled_softmax" right="int8_mask"
"""Mask converted to int8 before the launch, block pointers for the scores."""
@triton.jit
def masked_scaled_softmax_kernel(
    scores_ptr, mask_ptr, out_ptr, scale, n_cols,
    scores_row, scores_col, mask_row, mask_col, out_row, out_col, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0)
    sp = tl.make_block_ptr(scores_ptr + row * scores_row, (n_cols,), (scores_col,), (0,), (BLOCK,), (0,))
    mp = tl.make_block_ptr(mask_ptr + row * mask_row, (n_cols,), (mask_col,), (0,), (BLOCK,), (0,))
    op = tl.make_block_ptr(out_ptr + row * out_row, (n_cols,), (out_col,), (0,), (BLOCK,), (0,))
    m = float("-inf")
    for start in range(0, n_cols, BLOCK):
        ok = tl.load(tl.advance(mp, (start,)), boundary_check=(0,), padding_option="zero")
        x = tl.load(tl.advance(sp, (start,)), boundary_check=(0,), padding_option="zero") * scale
        inside = start + tl.arange(0, BLOCK) < n_cols
        m = tl.maximum(m, tl.max(tl.where((ok != 0) & inside, x, float("-inf")), axis=0))
    m = tl.where(m == float("-inf"), 0.0, m)
    s = 0.0
    for start in range(0, n_cols, BLOCK):
        ok = tl.load(tl.advance(mp, (start,)), boundary_check=(0,), padding_option="zero")
        x = tl.load(tl.advance(sp, (start,)), boundary_check=(0,), padding_option="zero") * scale
        inside = start + tl.arange(0, BLOCK) < n_cols
        s += tl.sum(tl.where((ok != 0) & inside, tl.exp(tl.where(ok != 0, x - m, 0.0)), 0.0), axis=0)
    s = tl.where(s == 0, 1.0, s)
    for start in range(0, n_cols, BLOCK):
        ok = tl.load(tl.advance(mp, (start,)), boundary_check=(0,), padding_option="zero")
        x = tl.load(tl.advance(sp, (start,)), boundary_check=(0,), padding_option="zero") * scale
        tl.store(tl.advance(op, (start,)), tl.where(ok != 0, tl.exp(tl.where(ok != 0, x - m, 0.0)), 0.0) / s, boundary_check=(0,))


def masked_scaled_softmax(scores: Tensor, mask: Tensor, scale: float, block: int = 128) -> Tensor:
    R, C = scores.shape
    flags = mask.to(torch.int8)
    out = torch.empty(R, C, device=scores.device)
    masked_scaled_softmax_kernel[(R,)](
        scores, flags, out, scale, C,
        scores.stride(0), scores.stride(1), flags.stride(0), flags.stride(1), out.stride(0), out.stride(1), BLOCK=block,
    )
    return out
