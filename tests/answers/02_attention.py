"""Wrong answers to unit 02 by readers who saw the prompts only: tests/test_told_early.py judges them."""

# %% exercise="MultiHeadAttention" wrong="dropout_before_w_o"
"""Dropout on the mixed values."""
class MultiHeadAttention(nn.Module):
    def __init__(self, d_model, num_heads, dropout=0.0):
        super().__init__()
        if d_model % num_heads != 0:
            raise ValueError("d_model must be a multiple of num_heads")
        self.num_heads = num_heads
        self.w_q = nn.Linear(d_model, d_model)
        self.w_k = nn.Linear(d_model, d_model)
        self.w_v = nn.Linear(d_model, d_model)
        self.w_o = nn.Linear(d_model, d_model)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x, mask=None):
        B, T, D = x.shape
        H, d = self.num_heads, D // self.num_heads
        q = self.w_q(x).reshape(B, T, H, d).transpose(1, 2)
        k = self.w_k(x).reshape(B, T, H, d).transpose(1, 2)
        v = self.w_v(x).reshape(B, T, H, d).transpose(1, 2)
        scores = q @ k.transpose(-2, -1) / math.sqrt(d)
        if mask is not None:
            if mask.dtype == torch.bool:
                scores = scores.masked_fill(~mask, float("-inf"))
            else:
                scores = scores + mask
        dead = (scores == float("-inf")).all(-1, keepdim=True)
        weights = torch.softmax(scores.masked_fill(dead, 0.0), dim=-1).masked_fill(dead, 0.0)
        out = self.dropout(weights @ v)
        return self.w_o(out.transpose(1, 2).reshape(B, T, D)), weights

# %% exercise="MultiHeadAttention" wrong="dead_nan"
"""NaN for rows that may look at nothing."""
class MultiHeadAttention(nn.Module):
    def __init__(self, d_model, num_heads, dropout=0.0):
        super().__init__()
        if d_model % num_heads != 0:
            raise ValueError("d_model must be a multiple of num_heads")
        self.num_heads = num_heads
        self.w_q = nn.Linear(d_model, d_model)
        self.w_k = nn.Linear(d_model, d_model)
        self.w_v = nn.Linear(d_model, d_model)
        self.w_o = nn.Linear(d_model, d_model)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x, mask=None):
        B, T, D = x.shape
        H, d = self.num_heads, D // self.num_heads
        q = self.w_q(x).reshape(B, T, H, d).transpose(1, 2)
        k = self.w_k(x).reshape(B, T, H, d).transpose(1, 2)
        v = self.w_v(x).reshape(B, T, H, d).transpose(1, 2)
        scores = q @ k.transpose(-2, -1) / math.sqrt(d)
        if mask is not None:
            if mask.dtype == torch.bool:
                scores = scores.masked_fill(~mask, float("-inf"))
            else:
                scores = scores + mask
        dead = (scores == float("-inf")).all(-1, keepdim=True)
        weights = torch.softmax(scores, dim=-1)
        out = self.dropout(weights) @ v
        return self.w_o(out.transpose(1, 2).reshape(B, T, D)), weights

# %% exercise="MultiHeadAttention" wrong="float_mask_refused"
"""Float masks are read as booleans."""
class MultiHeadAttention(nn.Module):
    def __init__(self, d_model, num_heads, dropout=0.0):
        super().__init__()
        if d_model % num_heads != 0:
            raise ValueError("d_model must be a multiple of num_heads")
        self.num_heads = num_heads
        self.w_q = nn.Linear(d_model, d_model)
        self.w_k = nn.Linear(d_model, d_model)
        self.w_v = nn.Linear(d_model, d_model)
        self.w_o = nn.Linear(d_model, d_model)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x, mask=None):
        B, T, D = x.shape
        H, d = self.num_heads, D // self.num_heads
        q = self.w_q(x).reshape(B, T, H, d).transpose(1, 2)
        k = self.w_k(x).reshape(B, T, H, d).transpose(1, 2)
        v = self.w_v(x).reshape(B, T, H, d).transpose(1, 2)
        scores = q @ k.transpose(-2, -1) / math.sqrt(d)
        if mask is not None:
            scores = scores.masked_fill(~mask.bool(), float("-inf"))
        dead = (scores == float("-inf")).all(-1, keepdim=True)
        weights = torch.softmax(scores.masked_fill(dead, 0.0), dim=-1).masked_fill(dead, 0.0)
        out = self.dropout(weights) @ v
        return self.w_o(out.transpose(1, 2).reshape(B, T, D)), weights

# %% exercise="CrossAttention" wrong="dead_nan"
"""NaN for a source of padding only."""
class CrossAttention(nn.Module):
    def __init__(self, d_model, num_heads):
        super().__init__()
        self.num_heads = num_heads
        self.w_q = nn.Linear(d_model, d_model)
        self.w_k = nn.Linear(d_model, d_model)
        self.w_v = nn.Linear(d_model, d_model)
        self.w_o = nn.Linear(d_model, d_model)

    def forward(self, x, memory, memory_mask=None):
        B, T, D = x.shape
        S, H, d = memory.shape[1], self.num_heads, D // self.num_heads
        q = self.w_q(x).reshape(B, -1, H, d).transpose(1, 2)
        k = self.w_k(memory).reshape(B, -1, H, d).transpose(1, 2)
        v = self.w_v(memory).reshape(B, -1, H, d).transpose(1, 2)
        scores = q @ k.transpose(-2, -1) / math.sqrt(d)
        if memory_mask is not None:
            scores = scores.masked_fill(~memory_mask, float("-inf"))
        dead = (scores == float("-inf")).all(-1, keepdim=True)
        weights = torch.softmax(scores, dim=-1)
        out = (weights @ v).transpose(1, 2).reshape(B, -1, D)
        return self.w_o(out), weights

# %% exercise="repaired_cross_attention" wrong="unstable"
"""Exp without the maximum."""
def repaired_cross_attention(decoder_states, encoder_states, w_q, w_k, w_v):
    queries = decoder_states @ w_q
    keys = encoder_states @ w_k
    values = encoder_states @ w_v
    scores = queries @ keys.mT / math.sqrt(w_k.shape[-1])
    return (scores.exp() / scores.exp().sum(-1, keepdim=True)) @ values

# %% exercise="repaired_masking" wrong="by_same_dtype"
"""Mask must have the logits' dtype."""
def repaired_masking(logits: Tensor, mask: Tensor) -> Tensor:
    if mask.dtype == torch.bool:
        scores = logits.masked_fill(~mask, float("-inf"))
    elif mask.dtype == logits.dtype:
        scores = logits + mask
    else:
        raise TypeError(f"mask must be bool or float, not {mask.dtype}")
    dead = (scores == float("-inf")).all(-1, keepdim=True)
    weights = torch.softmax(scores.masked_fill(dead, 0.0), dim=-1)
    return weights.masked_fill(dead, 0.0)

# %% exercise="repaired_masking" wrong="mask_in_place"
"""The float mask is changed."""
def repaired_masking(logits: Tensor, mask: Tensor) -> Tensor:
    if mask.dtype == torch.bool:
        scores = logits.masked_fill(~mask, float("-inf"))
    elif mask.is_floating_point():
        scores = mask.add_(logits) if mask.shape == logits.shape else logits + mask
    else:
        raise TypeError(f"mask must be bool or float, not {mask.dtype}")
    dead = (scores == float("-inf")).all(-1, keepdim=True)
    weights = torch.softmax(scores.masked_fill(dead, 0.0), dim=-1)
    return weights.masked_fill(dead, 0.0)

# %% exercise="repaired_masking" wrong="unstable"
"""Exp without the maximum."""
def repaired_masking(logits: Tensor, mask: Tensor) -> Tensor:
    if mask.dtype == torch.bool:
        scores = logits.masked_fill(~mask, float("-inf"))
    elif mask.is_floating_point():
        scores = logits + mask
    else:
        raise TypeError(f"mask must be bool or float, not {mask.dtype}")
    dead = (scores == float("-inf")).all(-1, keepdim=True)
    weights = scores.exp() / scores.exp().sum(-1, keepdim=True)
    return weights.masked_fill(dead, 0.0)

# %% exercise="repaired_masking" wrong="dead_bool_only"
"""Dead rows only for boolean masks."""
def repaired_masking(logits: Tensor, mask: Tensor) -> Tensor:
    if mask.dtype == torch.bool:
        scores = logits.masked_fill(~mask, float("-inf"))
    elif mask.is_floating_point():
        scores = logits + mask
    else:
        raise TypeError(f"mask must be bool or float, not {mask.dtype}")
    dead = torch.zeros_like(scores[..., :1], dtype=torch.bool)
    if mask.dtype == torch.bool:
        dead = (~mask).all(-1, keepdim=True).expand(*scores.shape[:-1], 1)
    weights = torch.softmax(scores.masked_fill(dead, 0.0), dim=-1)
    return weights.masked_fill(dead, 0.0)
