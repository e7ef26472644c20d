"""Wrong answers to unit 02 by readers who saw the released notebook only: tests/test_readers.py judges them."""

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

# %% exercise="stable_softmax" wrong="divided_by_max"
"""Divides by the maximum instead of subtracting it."""
def stable_softmax(x: Tensor, dim: int = -1) -> Tensor:
    e = torch.exp(x / x.amax(dim=dim, keepdim=True))
    return e / e.sum(dim=dim, keepdim=True)

# %% exercise="stable_softmax" wrong="half_max"
"""Subtracts half the maximum."""
def stable_softmax(x: Tensor, dim: int = -1) -> Tensor:
    e = torch.exp(x - 0.5 * x.amax(dim=dim, keepdim=True))
    return e / e.sum(dim=dim, keepdim=True)

# %% exercise="scaled_dot_product_attention" wrong="softmax_queries"
"""Softmax over the queries."""
def scaled_dot_product_attention(q, k, v, mask=None):
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    if mask is not None:
        if mask.dtype == torch.bool:
            scores = scores.masked_fill(~mask, float("-inf"))
        else:
            scores = scores + mask
    dead = (scores == float("-inf")).all(dim=-1, keepdim=True)
    scores = scores.masked_fill(dead, 0.0)
    weights = torch.softmax(scores, dim=-2).masked_fill(dead, 0.0)
    return weights @ v, weights

# %% exercise="MultiHeadAttention" wrong="dropped_weights_returned"
"""The weights returned are those after dropout."""
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
        weights = self.dropout(weights)
        out = weights @ v
        return self.w_o(out.transpose(1, 2).reshape(B, T, D)), weights

# %% exercise="MultiHeadAttention" wrong="no_scale"
"""No scale."""
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
        scores = q @ k.transpose(-2, -1)
        if mask is not None:
            if mask.dtype == torch.bool:
                scores = scores.masked_fill(~mask, float("-inf"))
            else:
                scores = scores + mask
        dead = (scores == float("-inf")).all(-1, keepdim=True)
        weights = torch.softmax(scores.masked_fill(dead, 0.0), dim=-1).masked_fill(dead, 0.0)
        out = self.dropout(weights) @ v
        return self.w_o(out.transpose(1, 2).reshape(B, T, D)), weights

# %% exercise="MultiHeadAttention" wrong="split_by_view"
"""Heads cut by view(B, H, T, d)."""
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
        q = self.w_q(x).reshape(B, H, T, d)
        k = self.w_k(x).reshape(B, H, T, d)
        v = self.w_v(x).reshape(B, H, T, d)
        scores = q @ k.transpose(-2, -1) / math.sqrt(d)
        if mask is not None:
            if mask.dtype == torch.bool:
                scores = scores.masked_fill(~mask, float("-inf"))
            else:
                scores = scores + mask
        dead = (scores == float("-inf")).all(-1, keepdim=True)
        weights = torch.softmax(scores.masked_fill(dead, 0.0), dim=-1).masked_fill(dead, 0.0)
        out = self.dropout(weights) @ v
        return self.w_o(out.transpose(1, 2).reshape(B, T, D)), weights

# %% exercise="MultiHeadAttention" wrong="values_from_w_k"
"""Values made by w_k."""
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
        v = self.w_k(x).reshape(B, T, H, d).transpose(1, 2)
        scores = q @ k.transpose(-2, -1) / math.sqrt(d)
        if mask is not None:
            if mask.dtype == torch.bool:
                scores = scores.masked_fill(~mask, float("-inf"))
            else:
                scores = scores + mask
        dead = (scores == float("-inf")).all(-1, keepdim=True)
        weights = torch.softmax(scores.masked_fill(dead, 0.0), dim=-1).masked_fill(dead, 0.0)
        out = self.dropout(weights) @ v
        return self.w_o(out.transpose(1, 2).reshape(B, T, D)), weights

# %% exercise="MultiHeadAttention" wrong="softmax_over_heads"
"""Softmax over the heads."""
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
        weights = torch.softmax(scores.masked_fill(dead, 0.0), dim=1).masked_fill(dead, 0.0)
        out = self.dropout(weights) @ v
        return self.w_o(out.transpose(1, 2).reshape(B, T, D)), weights

# %% exercise="MultiHeadAttention" wrong="softmax_over_queries"
"""Softmax over the queries."""
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
        weights = torch.softmax(scores.masked_fill(dead, 0.0), dim=-2).masked_fill(dead, 0.0)
        out = self.dropout(weights) @ v
        return self.w_o(out.transpose(1, 2).reshape(B, T, D)), weights

# %% exercise="MultiHeadAttention" wrong="layers_in_list"
"""The layers live in a plain list and under other names."""
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
        self.layers = [nn.Linear(d_model, d_model) for _ in range(3)]
        self.dropout = nn.Dropout(dropout)

    def forward(self, x, mask=None):
        B, T, D = x.shape
        H, d = self.num_heads, D // self.num_heads
        q = self.layers[0](x).reshape(B, T, H, d).transpose(1, 2)
        k = self.layers[1](x).reshape(B, T, H, d).transpose(1, 2)
        v = self.layers[2](x).reshape(B, T, H, d).transpose(1, 2)
        scores = q @ k.transpose(-2, -1) / math.sqrt(d)
        if mask is not None:
            if mask.dtype == torch.bool:
                scores = scores.masked_fill(~mask, float("-inf"))
            else:
                scores = scores + mask
        dead = (scores == float("-inf")).all(-1, keepdim=True)
        weights = torch.softmax(scores.masked_fill(dead, 0.0), dim=-1).masked_fill(dead, 0.0)
        out = self.dropout(weights) @ v
        return self.w_o(out.transpose(1, 2).reshape(B, T, D)), weights

# %% exercise="CrossAttention" wrong="layers_exchanged"
"""W_v makes keys, w_k values."""
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
        k = self.w_v(memory).reshape(B, -1, H, d).transpose(1, 2)
        v = self.w_k(memory).reshape(B, -1, H, d).transpose(1, 2)
        scores = q @ k.transpose(-2, -1) / math.sqrt(d)
        if memory_mask is not None:
            scores = scores.masked_fill(~memory_mask, float("-inf"))
        dead = (scores == float("-inf")).all(-1, keepdim=True)
        weights = torch.softmax(scores.masked_fill(dead, 0.0), dim=-1).masked_fill(dead, 0.0)
        out = (weights @ v).transpose(1, 2).reshape(B, -1, D)
        return self.w_o(out), weights

# %% exercise="CrossAttention" wrong="no_output_projection"
"""No w_o."""
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
        weights = torch.softmax(scores.masked_fill(dead, 0.0), dim=-1).masked_fill(dead, 0.0)
        out = (weights @ v).transpose(1, 2).reshape(B, -1, D)
        return out, weights

# %% exercise="CrossAttention" wrong="concat"
"""Keys and values from memory and x together."""
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
        k = self.w_k(torch.cat([memory, x], 1)).reshape(B, -1, H, d).transpose(1, 2)
        v = self.w_v(torch.cat([memory, x], 1)).reshape(B, -1, H, d).transpose(1, 2)
        scores = q @ k.transpose(-2, -1) / math.sqrt(d)
        if memory_mask is not None:
            memory_mask = torch.cat([memory_mask.expand(B, H, T, S), torch.ones(B, H, T, T, dtype=torch.bool)], -1)
            scores = scores.masked_fill(~memory_mask, float("-inf"))
        dead = (scores == float("-inf")).all(-1, keepdim=True)
        weights = torch.softmax(scores.masked_fill(dead, 0.0), dim=-1).masked_fill(dead, 0.0)
        out = (weights @ v).transpose(1, 2).reshape(B, -1, D)
        return self.w_o(out), weights[..., :S]

# %% exercise="CrossAttention" wrong="residual"
"""Adds x."""
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
        weights = torch.softmax(scores.masked_fill(dead, 0.0), dim=-1).masked_fill(dead, 0.0)
        out = (weights @ v).transpose(1, 2).reshape(B, -1, D)
        return x + self.w_o(out), weights

# %% exercise="CrossAttention" wrong="scale_model_width"
"""Sqrt(D)."""
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
        scores = q @ k.transpose(-2, -1) / math.sqrt(D)
        if memory_mask is not None:
            scores = scores.masked_fill(~memory_mask, float("-inf"))
        dead = (scores == float("-inf")).all(-1, keepdim=True)
        weights = torch.softmax(scores.masked_fill(dead, 0.0), dim=-1).masked_fill(dead, 0.0)
        out = (weights @ v).transpose(1, 2).reshape(B, -1, D)
        return self.w_o(out), weights

# %% exercise="CrossAttention" wrong="softmax_over_queries"
"""Softmax over the decoder positions."""
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
        weights = torch.softmax(scores.masked_fill(dead, 0.0), dim=-2).masked_fill(dead, 0.0)
        out = (weights @ v).transpose(1, 2).reshape(B, -1, D)
        return self.w_o(out), weights

# %% exercise="CrossAttention" wrong="split_by_view"
"""Heads cut by view(B, H, T, d)."""
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
        q = self.w_q(x).reshape(B, H, -1, d)
        k = self.w_k(memory).reshape(B, H, -1, d)
        v = self.w_v(memory).reshape(B, H, -1, d)
        scores = q @ k.transpose(-2, -1) / math.sqrt(d)
        if memory_mask is not None:
            scores = scores.masked_fill(~memory_mask, float("-inf"))
        dead = (scores == float("-inf")).all(-1, keepdim=True)
        weights = torch.softmax(scores.masked_fill(dead, 0.0), dim=-1).masked_fill(dead, 0.0)
        out = (weights @ v).transpose(1, 2).reshape(B, -1, D)
        return self.w_o(out), weights

# %% exercise="CrossAttention" wrong="query_by_w_k"
"""Queries by w_k."""
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
        q = self.w_k(x).reshape(B, -1, H, d).transpose(1, 2)
        k = self.w_k(memory).reshape(B, -1, H, d).transpose(1, 2)
        v = self.w_v(memory).reshape(B, -1, H, d).transpose(1, 2)
        scores = q @ k.transpose(-2, -1) / math.sqrt(d)
        if memory_mask is not None:
            scores = scores.masked_fill(~memory_mask, float("-inf"))
        dead = (scores == float("-inf")).all(-1, keepdim=True)
        weights = torch.softmax(scores.masked_fill(dead, 0.0), dim=-1).masked_fill(dead, 0.0)
        out = (weights @ v).transpose(1, 2).reshape(B, -1, D)
        return self.w_o(out), weights

# %% exercise="attention_entropy" wrong="nansum_log"
"""-inf of the logarithm replaced by 0 in the sum of logs."""
def attention_entropy(weights: Tensor) -> Tensor:
    return -torch.nan_to_num(weights.log(), neginf=0.0).mean(-1)

# %% exercise="attention_entropy" wrong="cross"
"""Minus the log of the mean square (Renyi)."""
def attention_entropy(weights: Tensor) -> Tensor:
    return -(weights**2).sum(-1).log()

# %% exercise="sink_mass" wrong="one_key_too_many"
""":first + 1."""
def sink_mass(weights: Tensor, first: int = 4) -> Tensor:
    return weights[:, :, first:, :first + 1].sum(-1).mean((0, 2))

# %% exercise="sink_mass" wrong="max"
"""Maximum over the sink."""
def sink_mass(weights: Tensor, first: int = 4) -> Tensor:
    return weights[:, :, first:, :first].amax(-1).mean((0, 2))

# %% exercise="sink_mass" wrong="first_row"
"""First batch row only."""
def sink_mass(weights: Tensor, first: int = 4) -> Tensor:
    return weights[0, :, first:, :first].sum(-1).mean(-1)

# %% exercise="sink_mass" wrong="median"
"""Median over queries."""
def sink_mass(weights: Tensor, first: int = 4) -> Tensor:
    return weights[:, :, first:, :first].sum(-1).median(-1).values.mean(0)

# %% exercise="row_softmax" wrong="max_from_zero"
"""Three walks."""
@triton.jit
def row_softmax_kernel(x_ptr, out_ptr, n_cols, x_row, x_col, out_row, out_col, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    x_ptr += row * x_row
    out_ptr += row * out_row
    cols = tl.arange(0, BLOCK)
    m = 0.0
    for start in range(0, n_cols, BLOCK):
        c = start + cols
        x = tl.load(x_ptr + c * x_col, mask=c < n_cols, other=float("-inf")).to(tl.float32)
        m = tl.maximum(m, tl.max(x, axis=0))
    s = 0.0
    for start in range(0, n_cols, BLOCK):
        c = start + cols
        x = tl.load(x_ptr + c * x_col, mask=c < n_cols, other=float("-inf")).to(tl.float32)
        s += tl.sum(tl.exp(x - m), axis=0)
    for start in range(0, n_cols, BLOCK):
        c = start + cols
        x = tl.load(x_ptr + c * x_col, mask=c < n_cols, other=float("-inf")).to(tl.float32)
        tl.store(out_ptr + c * out_col, tl.exp(x - m) / s, mask=c < n_cols)


def row_softmax(x: Tensor, block: int = 128) -> Tensor:
    R, C = x.shape
    out = torch.empty_like(x)
    row_softmax_kernel[(R,)](x, out, C, x.stride(0), x.stride(1), out.stride(0), out.stride(1), BLOCK=block)
    return out

# %% exercise="row_softmax" wrong="max_from_minus_100"
"""Three walks."""
@triton.jit
def row_softmax_kernel(x_ptr, out_ptr, n_cols, x_row, x_col, out_row, out_col, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    x_ptr += row * x_row
    out_ptr += row * out_row
    cols = tl.arange(0, BLOCK)
    m = -100.0
    for start in range(0, n_cols, BLOCK):
        c = start + cols
        x = tl.load(x_ptr + c * x_col, mask=c < n_cols, other=float("-inf")).to(tl.float32)
        m = tl.maximum(m, tl.max(x, axis=0))
    s = 0.0
    for start in range(0, n_cols, BLOCK):
        c = start + cols
        x = tl.load(x_ptr + c * x_col, mask=c < n_cols, other=float("-inf")).to(tl.float32)
        s += tl.sum(tl.exp(x - m), axis=0)
    for start in range(0, n_cols, BLOCK):
        c = start + cols
        x = tl.load(x_ptr + c * x_col, mask=c < n_cols, other=float("-inf")).to(tl.float32)
        tl.store(out_ptr + c * out_col, tl.exp(x - m) / s, mask=c < n_cols)


def row_softmax(x: Tensor, block: int = 128) -> Tensor:
    R, C = x.shape
    out = torch.empty_like(x)
    row_softmax_kernel[(R,)](x, out, C, x.stride(0), x.stride(1), out.stride(0), out.stride(1), BLOCK=block)
    return out

# %% exercise="row_softmax" wrong="store_unmasked"
"""Three walks."""
@triton.jit
def row_softmax_kernel(x_ptr, out_ptr, n_cols, x_row, x_col, out_row, out_col, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    x_ptr += row * x_row
    out_ptr += row * out_row
    cols = tl.arange(0, BLOCK)
    m = float("-inf")
    for start in range(0, n_cols, BLOCK):
        c = start + cols
        x = tl.load(x_ptr + c * x_col, mask=c < n_cols, other=float("-inf")).to(tl.float32)
        m = tl.maximum(m, tl.max(x, axis=0))
    s = 0.0
    for start in range(0, n_cols, BLOCK):
        c = start + cols
        x = tl.load(x_ptr + c * x_col, mask=c < n_cols, other=float("-inf")).to(tl.float32)
        s += tl.sum(tl.exp(x - m), axis=0)
    for start in range(0, n_cols, BLOCK):
        c = start + cols
        x = tl.load(x_ptr + c * x_col, mask=c < n_cols, other=float("-inf")).to(tl.float32)
        tl.store(out_ptr + c * out_col, tl.exp(x - m) / s)


def row_softmax(x: Tensor, block: int = 128) -> Tensor:
    R, C = x.shape
    out = torch.empty_like(x)
    row_softmax_kernel[(R,)](x, out, C, x.stride(0), x.stride(1), out.stride(0), out.stride(1), BLOCK=block)
    return out

# %% exercise="row_softmax" wrong="le_cols"
"""Three walks."""
@triton.jit
def row_softmax_kernel(x_ptr, out_ptr, n_cols, x_row, x_col, out_row, out_col, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    x_ptr += row * x_row
    out_ptr += row * out_row
    cols = tl.arange(0, BLOCK)
    m = float("-inf")
    for start in range(0, n_cols, BLOCK):
        c = start + cols
        x = tl.load(x_ptr + c * x_col, mask=c <= n_cols, other=float("-inf")).to(tl.float32)
        m = tl.maximum(m, tl.max(x, axis=0))
    s = 0.0
    for start in range(0, n_cols, BLOCK):
        c = start + cols
        x = tl.load(x_ptr + c * x_col, mask=c <= n_cols, other=float("-inf")).to(tl.float32)
        s += tl.sum(tl.exp(x - m), axis=0)
    for start in range(0, n_cols, BLOCK):
        c = start + cols
        x = tl.load(x_ptr + c * x_col, mask=c <= n_cols, other=float("-inf")).to(tl.float32)
        tl.store(out_ptr + c * out_col, tl.exp(x - m) / s, mask=c <= n_cols)


def row_softmax(x: Tensor, block: int = 128) -> Tensor:
    R, C = x.shape
    out = torch.empty_like(x)
    row_softmax_kernel[(R,)](x, out, C, x.stride(0), x.stride(1), out.stride(0), out.stride(1), BLOCK=block)
    return out

# %% exercise="row_softmax" wrong="out_empty_2"
"""Three walks."""
@triton.jit
def row_softmax_kernel(x_ptr, out_ptr, n_cols, x_row, x_col, out_row, out_col, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    x_ptr += row * x_row
    out_ptr += row * out_row
    cols = tl.arange(0, BLOCK)
    m = float("-inf")
    for start in range(0, n_cols, BLOCK):
        c = start + cols
        x = tl.load(x_ptr + c * x_col, mask=c < n_cols, other=float("-inf")).to(tl.float32)
        m = tl.maximum(m, tl.max(x, axis=0))
    s = 0.0
    for start in range(0, n_cols, BLOCK):
        c = start + cols
        x = tl.load(x_ptr + c * x_col, mask=c < n_cols, other=float("-inf")).to(tl.float32)
        s += tl.sum(tl.exp(x - m), axis=0)
    for start in range(0, n_cols, BLOCK):
        c = start + cols
        x = tl.load(x_ptr + c * x_col, mask=c < n_cols, other=float("-inf")).to(tl.float32)
        tl.store(out_ptr + c * out_col, tl.exp(x - m), mask=c < n_cols)


def row_softmax(x: Tensor, block: int = 128) -> Tensor:
    R, C = x.shape
    out = torch.empty_like(x)
    row_softmax_kernel[(R,)](x, out, C, x.stride(0), x.stride(1), out.stride(0), out.stride(1), BLOCK=block)
    return out

# %% exercise="row_softmax" wrong="four_walks"
"""Three walks."""
@triton.jit
def row_softmax_kernel(x_ptr, out_ptr, n_cols, x_row, x_col, out_row, out_col, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    x_ptr += row * x_row
    out_ptr += row * out_row
    cols = tl.arange(0, BLOCK)
    m = float("-inf")
    for start in range(0, n_cols, BLOCK):
        c = start + cols
        x = tl.load(x_ptr + c * x_col, mask=c < n_cols, other=float("-inf")).to(tl.float32)
        m = tl.maximum(m, tl.max(x, axis=0))
    m2 = float("-inf")
    for start in range(0, n_cols, BLOCK):
        c = start + cols
        x = tl.load(x_ptr + c * x_col, mask=c < n_cols, other=float("-inf")).to(tl.float32)
        m2 = tl.maximum(m2, tl.max(x, axis=0))
    m = m2
    s = 0.0
    for start in range(0, n_cols, BLOCK):
        c = start + cols
        x = tl.load(x_ptr + c * x_col, mask=c < n_cols, other=float("-inf")).to(tl.float32)
        s += tl.sum(tl.exp(x - m), axis=0)
    for start in range(0, n_cols, BLOCK):
        c = start + cols
        x = tl.load(x_ptr + c * x_col, mask=c < n_cols, other=float("-inf")).to(tl.float32)
        tl.store(out_ptr + c * out_col, tl.exp(x - m) / s, mask=c < n_cols)


def row_softmax(x: Tensor, block: int = 128) -> Tensor:
    R, C = x.shape
    out = torch.empty_like(x)
    row_softmax_kernel[(R,)](x, out, C, x.stride(0), x.stride(1), out.stride(0), out.stride(1), BLOCK=block)
    return out

# %% exercise="masked_scaled_softmax" wrong="divided_by_scale"
"""Three walks with a mask."""
@triton.jit
def masked_scaled_softmax_kernel(
    scores_ptr, mask_ptr, out_ptr, scale, n_cols,
    scores_row, scores_col, mask_row, mask_col, out_row, out_col, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0)
    scores_ptr += row * scores_row
    mask_ptr += row * mask_row
    out_ptr += row * out_row
    cols = tl.arange(0, BLOCK)
    m = float("-inf")
    for start in range(0, n_cols, BLOCK):
        c = start + cols
        ok = tl.load(mask_ptr + c * mask_col, mask=c < n_cols, other=0) != 0
        x = tl.load(scores_ptr + c * scores_col, mask=c < n_cols, other=0.0) / scale
        x = tl.where(ok, x, float("-inf"))
        m = tl.maximum(m, tl.max(x, axis=0))
    m = tl.where(m == float("-inf"), 0.0, m)
    s = 0.0
    for start in range(0, n_cols, BLOCK):
        c = start + cols
        ok = tl.load(mask_ptr + c * mask_col, mask=c < n_cols, other=0) != 0
        x = tl.load(scores_ptr + c * scores_col, mask=c < n_cols, other=0.0) / scale
        x = tl.where(ok, x, float("-inf"))
        s += tl.sum(tl.exp(x - m), axis=0)
    s = tl.where(s == 0.0, 1.0, s)
    for start in range(0, n_cols, BLOCK):
        c = start + cols
        ok = tl.load(mask_ptr + c * mask_col, mask=c < n_cols, other=0) != 0
        x = tl.load(scores_ptr + c * scores_col, mask=c < n_cols, other=0.0) / scale
        x = tl.where(ok, x, float("-inf"))
        tl.store(out_ptr + c * out_col, tl.exp(x - m) / s, mask=c < n_cols)


def masked_scaled_softmax(scores: Tensor, mask: Tensor, scale: float, block: int = 128) -> Tensor:
    R, C = scores.shape
    out = torch.empty_like(scores)
    masked_scaled_softmax_kernel[(R,)](
        scores, mask, out, scale, C,
        scores.stride(0), scores.stride(1), mask.stride(0), mask.stride(1), out.stride(0), out.stride(1), BLOCK=block,
    )
    return out

# %% exercise="masked_scaled_softmax" wrong="tail_allowed"
"""Three walks with a mask."""
@triton.jit
def masked_scaled_softmax_kernel(
    scores_ptr, mask_ptr, out_ptr, scale, n_cols,
    scores_row, scores_col, mask_row, mask_col, out_row, out_col, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0)
    scores_ptr += row * scores_row
    mask_ptr += row * mask_row
    out_ptr += row * out_row
    cols = tl.arange(0, BLOCK)
    m = float("-inf")
    for start in range(0, n_cols, BLOCK):
        c = start + cols
        ok = tl.load(mask_ptr + c * mask_col, mask=c < n_cols, other=1) != 0
        x = tl.load(scores_ptr + c * scores_col, mask=c < n_cols, other=0.0) * scale
        x = tl.where(ok, x, float("-inf"))
        m = tl.maximum(m, tl.max(x, axis=0))
    m = tl.where(m == float("-inf"), 0.0, m)
    s = 0.0
    for start in range(0, n_cols, BLOCK):
        c = start + cols
        ok = tl.load(mask_ptr + c * mask_col, mask=c < n_cols, other=1) != 0
        x = tl.load(scores_ptr + c * scores_col, mask=c < n_cols, other=0.0) * scale
        x = tl.where(ok, x, float("-inf"))
        s += tl.sum(tl.exp(x - m), axis=0)
    s = tl.where(s == 0.0, 1.0, s)
    for start in range(0, n_cols, BLOCK):
        c = start + cols
        ok = tl.load(mask_ptr + c * mask_col, mask=c < n_cols, other=1) != 0
        x = tl.load(scores_ptr + c * scores_col, mask=c < n_cols, other=0.0) * scale
        x = tl.where(ok, x, float("-inf"))
        tl.store(out_ptr + c * out_col, tl.exp(x - m) / s, mask=c < n_cols)


def masked_scaled_softmax(scores: Tensor, mask: Tensor, scale: float, block: int = 128) -> Tensor:
    R, C = scores.shape
    out = torch.empty_like(scores)
    masked_scaled_softmax_kernel[(R,)](
        scores, mask, out, scale, C,
        scores.stride(0), scores.stride(1), mask.stride(0), mask.stride(1), out.stride(0), out.stride(1), BLOCK=block,
    )
    return out

# %% exercise="masked_scaled_softmax" wrong="out_with_score_strides"
"""Three walks with a mask."""
@triton.jit
def masked_scaled_softmax_kernel(
    scores_ptr, mask_ptr, out_ptr, scale, n_cols,
    scores_row, scores_col, mask_row, mask_col, out_row, out_col, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0)
    scores_ptr += row * scores_row
    mask_ptr += row * mask_row
    out_ptr += row * scores_row
    cols = tl.arange(0, BLOCK)
    m = float("-inf")
    for start in range(0, n_cols, BLOCK):
        c = start + cols
        ok = tl.load(mask_ptr + c * mask_col, mask=c < n_cols, other=0) != 0
        x = tl.load(scores_ptr + c * scores_col, mask=c < n_cols, other=0.0) * scale
        x = tl.where(ok, x, float("-inf"))
        m = tl.maximum(m, tl.max(x, axis=0))
    m = tl.where(m == float("-inf"), 0.0, m)
    s = 0.0
    for start in range(0, n_cols, BLOCK):
        c = start + cols
        ok = tl.load(mask_ptr + c * mask_col, mask=c < n_cols, other=0) != 0
        x = tl.load(scores_ptr + c * scores_col, mask=c < n_cols, other=0.0) * scale
        x = tl.where(ok, x, float("-inf"))
        s += tl.sum(tl.exp(x - m), axis=0)
    s = tl.where(s == 0.0, 1.0, s)
    for start in range(0, n_cols, BLOCK):
        c = start + cols
        ok = tl.load(mask_ptr + c * mask_col, mask=c < n_cols, other=0) != 0
        x = tl.load(scores_ptr + c * scores_col, mask=c < n_cols, other=0.0) * scale
        x = tl.where(ok, x, float("-inf"))
        tl.store(out_ptr + c * scores_col, tl.exp(x - m) / s, mask=c < n_cols)


def masked_scaled_softmax(scores: Tensor, mask: Tensor, scale: float, block: int = 128) -> Tensor:
    R, C = scores.shape
    out = torch.empty_like(scores)
    masked_scaled_softmax_kernel[(R,)](
        scores, mask, out, scale, C,
        scores.stride(0), scores.stride(1), mask.stride(0), mask.stride(1), out.stride(0), out.stride(1), BLOCK=block,
    )
    return out

# %% exercise="masked_scaled_softmax" wrong="scale_on_weights"
"""Three walks with a mask."""
@triton.jit
def masked_scaled_softmax_kernel(
    scores_ptr, mask_ptr, out_ptr, scale, n_cols,
    scores_row, scores_col, mask_row, mask_col, out_row, out_col, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0)
    scores_ptr += row * scores_row
    mask_ptr += row * mask_row
    out_ptr += row * out_row
    cols = tl.arange(0, BLOCK)
    m = float("-inf")
    for start in range(0, n_cols, BLOCK):
        c = start + cols
        ok = tl.load(mask_ptr + c * mask_col, mask=c < n_cols, other=0) != 0
        x = tl.load(scores_ptr + c * scores_col, mask=c < n_cols, other=0.0)
        x = tl.where(ok, x, float("-inf"))
        m = tl.maximum(m, tl.max(x, axis=0))
    m = tl.where(m == float("-inf"), 0.0, m)
    s = 0.0
    for start in range(0, n_cols, BLOCK):
        c = start + cols
        ok = tl.load(mask_ptr + c * mask_col, mask=c < n_cols, other=0) != 0
        x = tl.load(scores_ptr + c * scores_col, mask=c < n_cols, other=0.0)
        x = tl.where(ok, x, float("-inf"))
        s += tl.sum(tl.exp(x - m), axis=0)
    s = tl.where(s == 0.0, 1.0, s)
    for start in range(0, n_cols, BLOCK):
        c = start + cols
        ok = tl.load(mask_ptr + c * mask_col, mask=c < n_cols, other=0) != 0
        x = tl.load(scores_ptr + c * scores_col, mask=c < n_cols, other=0.0)
        x = tl.where(ok, x, float("-inf"))
        tl.store(out_ptr + c * out_col, scale * tl.exp(x - m) / s, mask=c < n_cols)


def masked_scaled_softmax(scores: Tensor, mask: Tensor, scale: float, block: int = 128) -> Tensor:
    R, C = scores.shape
    out = torch.empty_like(scores)
    masked_scaled_softmax_kernel[(R,)](
        scores, mask, out, scale, C,
        scores.stride(0), scores.stride(1), mask.stride(0), mask.stride(1), out.stride(0), out.stride(1), BLOCK=block,
    )
    return out

# %% exercise="masked_scaled_softmax" wrong="scale_root"
"""Three walks with a mask."""
@triton.jit
def masked_scaled_softmax_kernel(
    scores_ptr, mask_ptr, out_ptr, scale, n_cols,
    scores_row, scores_col, mask_row, mask_col, out_row, out_col, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0)
    scores_ptr += row * scores_row
    mask_ptr += row * mask_row
    out_ptr += row * out_row
    cols = tl.arange(0, BLOCK)
    m = float("-inf")
    for start in range(0, n_cols, BLOCK):
        c = start + cols
        ok = tl.load(mask_ptr + c * mask_col, mask=c < n_cols, other=0) != 0
        x = tl.load(scores_ptr + c * scores_col, mask=c < n_cols, other=0.0) * scale
        x = tl.where(ok, x, float("-inf"))
        m = tl.maximum(m, tl.max(x, axis=0))
    m = tl.where(m == float("-inf"), 0.0, m)
    s = 0.0
    for start in range(0, n_cols, BLOCK):
        c = start + cols
        ok = tl.load(mask_ptr + c * mask_col, mask=c < n_cols, other=0) != 0
        x = tl.load(scores_ptr + c * scores_col, mask=c < n_cols, other=0.0) * scale
        x = tl.where(ok, x, float("-inf"))
        s += tl.sum(tl.exp(x - m), axis=0)
    s = tl.where(s == 0.0, 1.0, s)
    for start in range(0, n_cols, BLOCK):
        c = start + cols
        ok = tl.load(mask_ptr + c * mask_col, mask=c < n_cols, other=0) != 0
        x = tl.load(scores_ptr + c * scores_col, mask=c < n_cols, other=0.0) * scale
        x = tl.where(ok, x, float("-inf"))
        tl.store(out_ptr + c * out_col, tl.exp(x - m) / s, mask=c < n_cols)


def masked_scaled_softmax(scores: Tensor, mask: Tensor, scale: float, block: int = 128) -> Tensor:
    R, C = scores.shape
    out = torch.empty_like(scores)
    masked_scaled_softmax_kernel[(R,)](
        scores, mask, out, scale**0.5, C,
        scores.stride(0), scores.stride(1), mask.stride(0), mask.stride(1), out.stride(0), out.stride(1), BLOCK=block,
    )
    return out

# %% exercise="permutation_finding" wrong="causal_place"
"""Causal compared place by place."""
def permutation_finding(runs: list[int]) -> dict[str, float]:
    def A(x, mask=None):
        s = x @ x.T / math.sqrt(x.shape[-1])
        if mask is not None:
            s = s.masked_fill(~mask, float("-inf"))
        return torch.softmax(s, dim=-1) @ x

    look = torch.ones(4, 4, dtype=torch.bool).tril()
    found = {"same_place": [], "same_word": [], "causal_word": []}
    for run in runs:
        x = word_vectors(run)
        y = x[ORDER]
        found["same_place"].append((A(y) - A(x)).abs().max().item())
        found["same_word"].append((A(y) - A(x)[ORDER]).abs().max().item())
        found["causal_word"].append((A(y, look) - A(x, look)).abs().max().item())
    return {name: round(sorted(values)[len(values) // 2] if len(values) % 2 else sum(sorted(values)[len(values) // 2 - 1 : len(values) // 2 + 1]) / 2, 4) for name, values in found.items()}

# %% exercise="permutation_finding" wrong="anti_causal"
"""The mask looks at the future."""
def permutation_finding(runs: list[int]) -> dict[str, float]:
    def A(x, mask=None):
        s = x @ x.T / math.sqrt(x.shape[-1])
        if mask is not None:
            s = s.masked_fill(~mask, float("-inf"))
        return torch.softmax(s, dim=-1) @ x

    look = torch.ones(4, 4, dtype=torch.bool).triu()
    found = {"same_place": [], "same_word": [], "causal_word": []}
    for run in runs:
        x = word_vectors(run)
        y = x[ORDER]
        found["same_place"].append((A(y) - A(x)).abs().max().item())
        found["same_word"].append((A(y) - A(x)[ORDER]).abs().max().item())
        found["causal_word"].append((A(y, look) - A(x, look)[ORDER]).abs().max().item())
    return {name: round(sorted(values)[len(values) // 2] if len(values) % 2 else sum(sorted(values)[len(values) // 2 - 1 : len(values) // 2 + 1]) / 2, 4) for name, values in found.items()}

# %% exercise="permutation_finding" wrong="mask_on_y_only"
"""Only the second sentence is masked."""
def permutation_finding(runs: list[int]) -> dict[str, float]:
    def A(x, mask=None):
        s = x @ x.T / math.sqrt(x.shape[-1])
        if mask is not None:
            s = s.masked_fill(~mask, float("-inf"))
        return torch.softmax(s, dim=-1) @ x

    look = torch.ones(4, 4, dtype=torch.bool).tril()
    found = {"same_place": [], "same_word": [], "causal_word": []}
    for run in runs:
        x = word_vectors(run)
        y = x[ORDER]
        found["same_place"].append((A(y) - A(x)).abs().max().item())
        found["same_word"].append((A(y) - A(x)[ORDER]).abs().max().item())
        found["causal_word"].append((A(y, look) - A(x)[ORDER]).abs().max().item())
    return {name: round(sorted(values)[len(values) // 2] if len(values) % 2 else sum(sorted(values)[len(values) // 2 - 1 : len(values) // 2 + 1]) / 2, 4) for name, values in found.items()}

# %% exercise="saturation_finding" wrong="uniform"
"""Uniform numbers."""
DIMS = [16, 64, 256, 1024]
saturation_finding = {}
for kind in ("raw", "scaled"):
    ents, grads = [], []
    for d in DIMS:
        ent, grad = [], []
        for s in range(10):
            g = torch.Generator().manual_seed(s)
            q = torch.rand(64, d, generator=g)
            k = torch.rand(64, d, generator=g)
            scores = q @ k.T
            if kind == "scaled":
                scores = scores / math.sqrt(d)
            w = torch.softmax(scores, dim=-1)
            h = -torch.xlogy(w, w).sum(-1)
            ent.append((h / math.log(64)).mean().item())
            grad.append((1 - (w * w).sum(-1)).mean().item())
        ents.append(ent)
        grads.append(grad)
    saturation_finding[kind + "_entropy"] = ents
    saturation_finding[kind + "_gradient"] = grads

# %% exercise="saturation_finding" wrong="same_seed_q_k"
"""A fresh generator with the same seed for the keys: the queries are the keys."""
DIMS = [16, 64, 256, 1024]
saturation_finding = {}
for kind in ("raw", "scaled"):
    ents, grads = [], []
    for d in DIMS:
        ent, grad = [], []
        for s in range(10):
            g = torch.Generator().manual_seed(s)
            q = torch.randn(64, d, generator=g)
            k = torch.randn(64, d, generator=torch.Generator().manual_seed(s))
            scores = q @ k.T
            if kind == "scaled":
                scores = scores / math.sqrt(d)
            w = torch.softmax(scores, dim=-1)
            h = -torch.xlogy(w, w).sum(-1)
            ent.append((h / math.log(64)).mean().item())
            grad.append((1 - (w * w).sum(-1)).mean().item())
        ents.append(ent)
        grads.append(grad)
    saturation_finding[kind + "_entropy"] = ents
    saturation_finding[kind + "_gradient"] = grads

# %% exercise="saturation_finding" wrong="softmax_queries"
"""Softmax over the queries, entropy over the keys."""
DIMS = [16, 64, 256, 1024]
saturation_finding = {}
for kind in ("raw", "scaled"):
    ents, grads = [], []
    for d in DIMS:
        ent, grad = [], []
        for s in range(10):
            g = torch.Generator().manual_seed(s)
            q = torch.randn(64, d, generator=g)
            k = torch.randn(64, d, generator=g)
            scores = q @ k.T
            if kind == "scaled":
                scores = scores / math.sqrt(d)
            w = torch.softmax(scores, dim=0)
            h = -torch.xlogy(w, w).sum(-1)
            ent.append((h / math.log(64)).mean().item())
            grad.append((1 - (w * w).sum(-1)).mean().item())
        ents.append(ent)
        grads.append(grad)
    saturation_finding[kind + "_entropy"] = ents
    saturation_finding[kind + "_gradient"] = grads

# %% exercise="saturation_finding" wrong="max_query"
"""The largest instead of the mean over queries."""
DIMS = [16, 64, 256, 1024]
saturation_finding = {}
for kind in ("raw", "scaled"):
    ents, grads = [], []
    for d in DIMS:
        ent, grad = [], []
        for s in range(10):
            g = torch.Generator().manual_seed(s)
            q = torch.randn(64, d, generator=g)
            k = torch.randn(64, d, generator=g)
            scores = q @ k.T
            if kind == "scaled":
                scores = scores / math.sqrt(d)
            w = torch.softmax(scores, dim=-1)
            h = -torch.xlogy(w, w).sum(-1)
            ent.append((h / math.log(64)).max().item())
            grad.append((1 - (w * w).sum(-1)).max().item())
        ents.append(ent)
        grads.append(grad)
    saturation_finding[kind + "_entropy"] = ents
    saturation_finding[kind + "_gradient"] = grads

# %% exercise="repaired_cross_attention" wrong="sliced"
"""Queries from the encoder, result cut to T rows."""
def repaired_cross_attention(decoder_states, encoder_states, w_q, w_k, w_v):
    queries = encoder_states @ w_q
    keys = encoder_states @ w_k
    values = encoder_states @ w_v
    scores = queries @ keys.mT / math.sqrt(w_k.shape[-1])
    return torch.softmax(scores, dim=-1)[:, : decoder_states.shape[1]] @ values

# %% exercise="repaired_cross_attention" wrong="layers_exchanged"
"""W_k and w_v exchanged."""
def repaired_cross_attention(decoder_states, encoder_states, w_q, w_k, w_v):
    queries = decoder_states @ w_q
    keys = encoder_states @ w_v
    values = encoder_states @ w_k
    scores = queries @ keys.mT / math.sqrt(w_k.shape[-1])
    return torch.softmax(scores, dim=-1) @ values

# %% exercise="repaired_cross_attention" wrong="transposed_maps"
"""States @ w.T."""
def repaired_cross_attention(decoder_states, encoder_states, w_q, w_k, w_v):
    queries = decoder_states @ w_q.T
    keys = encoder_states @ w_k.T
    values = encoder_states @ w_v.T
    scores = queries @ keys.mT / math.sqrt(w_k.shape[-1])
    return torch.softmax(scores, dim=-1) @ values

# %% exercise="repaired_cross_attention" wrong="causal"
"""An unasked causal mask."""
def repaired_cross_attention(decoder_states, encoder_states, w_q, w_k, w_v):
    queries = decoder_states @ w_q
    keys = encoder_states @ w_k
    values = encoder_states @ w_v
    scores = queries @ keys.mT / math.sqrt(w_k.shape[-1])
    scores = scores.masked_fill(torch.ones_like(scores).triu(1).bool(), float('-inf'))
    return torch.softmax(scores, dim=-1) @ values

# %% exercise="repaired_masking" wrong="softmax_queries"
"""Softmax over the queries."""
def repaired_masking(logits: Tensor, mask: Tensor) -> Tensor:
    if mask.dtype == torch.bool:
        scores = logits.masked_fill(~mask, float("-inf"))
    elif mask.is_floating_point():
        scores = logits + mask
    else:
        raise TypeError(f"mask must be bool or float, not {mask.dtype}")
    dead = (scores == float("-inf")).all(-1, keepdim=True)
    weights = torch.softmax(scores.masked_fill(dead, 0.0), dim=-2)
    return weights.masked_fill(dead, 0.0)

# %% exercise="repaired_masking" wrong="dead_bool_only_2"
"""Dead rows only for boolean masks."""
def repaired_masking(logits: Tensor, mask: Tensor) -> Tensor:
    if mask.dtype == torch.bool:
        scores = logits.masked_fill(~mask, float("-inf"))
    elif mask.is_floating_point():
        scores = logits + mask
    else:
        raise TypeError(f"mask must be bool or float, not {mask.dtype}")
    dead = (~mask).all(-1, keepdim=True).expand(*scores.shape[:-1], 1) if mask.dtype == torch.bool else torch.zeros_like(scores[..., :1], dtype=torch.bool)
    weights = torch.softmax(scores.masked_fill(dead, 0.0), dim=-1)
    return weights.masked_fill(dead, 0.0)

# %% exercise="masked_scaled_softmax" wrong="int8_mask"
"""The mask is converted by torch before the launch: a launch of its own, and one more pass over it."""
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
