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

