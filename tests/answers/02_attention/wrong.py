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

# %% exercise="stable_softmax" wrong="one_maximum_for_all_rows"
"""Subtracts the maximum of the whole tensor: a row near -500 beside a row near 300 becomes 0 / 0."""
def stable_softmax(x: Tensor, dim: int = -1) -> Tensor:
    e = torch.exp(x - x.max())
    return e / e.sum(dim=dim, keepdim=True)

# %% exercise="stable_softmax" wrong="maximum_always_last_dim"
"""The maximum is taken along the last dimension whatever dim is: for dim=0 the constant differs within one row."""
def stable_softmax(x: Tensor, dim: int = -1) -> Tensor:
    e = torch.exp(x - x.amax(dim=-1, keepdim=True))
    return e / e.sum(dim=dim, keepdim=True)

# %% exercise="stable_softmax" wrong="largest_absolute_value"
"""Subtracts the largest |x|: a row all near -500 gives exp(-1000) = 0 everywhere and 0 / 0."""
def stable_softmax(x: Tensor, dim: int = -1) -> Tensor:
    c = x.masked_fill(x == float("-inf"), 0.0).abs().amax(dim=dim, keepdim=True)
    e = torch.exp(x - c)
    return e / e.sum(dim=dim, keepdim=True)

# %% exercise="stable_softmax" wrong="mean_instead_of_max"
"""Subtracts the mean of the finite entries: the row [0, 0, 0, 400] still overflows to inf / inf."""
def stable_softmax(x: Tensor, dim: int = -1) -> Tensor:
    finite = x != float("-inf")
    mean = torch.where(finite, x, torch.zeros_like(x)).sum(dim, keepdim=True) / finite.sum(dim, keepdim=True)
    e = torch.exp(x - mean)
    return e / e.sum(dim=dim, keepdim=True)

# %% exercise="stable_softmax" wrong="shifts_the_callers_tensor"
"""x -= max and exp_ work in place on the caller's x."""
def stable_softmax(x: Tensor, dim: int = -1) -> Tensor:
    x -= x.amax(dim=dim, keepdim=True)
    e = x.exp()
    return e / e.sum(dim=dim, keepdim=True)

# %% exercise="stable_softmax" wrong="sum_without_keepdim"
"""The sum lacks keepdim: a square matrix with dim=-1 is divided by the sums of the wrong rows."""
def stable_softmax(x: Tensor, dim: int = -1) -> Tensor:
    e = torch.exp(x - x.amax(dim=dim, keepdim=True))
    return e / e.sum(dim=dim)

# %% exercise="stable_softmax" wrong="always_float32"
"""Float16 and float64 input come back as float32."""
def stable_softmax(x: Tensor, dim: int = -1) -> Tensor:
    x = x.float()
    e = torch.exp(x - x.amax(dim=dim, keepdim=True))
    return e / e.sum(dim=dim, keepdim=True)

# %% exercise="stable_softmax" wrong="minus_inf_becomes_minus_ten_thousand"
"""-inf is replaced by -1e4 before the maximum: beside finite entries near -2e4 the blocked entry gets all the weight."""
def stable_softmax(x: Tensor, dim: int = -1) -> Tensor:
    x = torch.where(x == float("-inf"), torch.full_like(x, -1e4), x)
    e = torch.exp(x - x.amax(dim=dim, keepdim=True))
    return e / e.sum(dim=dim, keepdim=True)

# %% exercise="scaled_dot_product_attention" wrong="softmax_over_queries"
"""The softmax runs along the queries (dim=-2): rows do not sum to 1."""
def scaled_dot_product_attention(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf")) if mask.dtype == torch.bool else scores + mask
    dead = (scores == float("-inf")).all(-2, keepdim=True)
    weights = torch.softmax(scores.masked_fill(dead, 0.0), dim=-2).masked_fill(dead, 0.0)
    return weights @ v, weights

# %% exercise="scaled_dot_product_attention" wrong="scale_from_the_values"
"""Divides by sqrt(d_v): wrong where d_v differs from d_k."""
def scaled_dot_product_attention(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    scores = q @ k.transpose(-2, -1) / math.sqrt(v.size(-1))
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf")) if mask.dtype == torch.bool else scores + mask
    dead = (scores == float("-inf")).all(-1, keepdim=True)
    weights = torch.softmax(scores.masked_fill(dead, 0.0), dim=-1).masked_fill(dead, 0.0)
    return weights @ v, weights

# %% exercise="scaled_dot_product_attention" wrong="divides_by_width"
"""Divides by d_k instead of its root."""
def scaled_dot_product_attention(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    scores = q @ k.transpose(-2, -1) / k.size(-1)
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf")) if mask.dtype == torch.bool else scores + mask
    dead = (scores == float("-inf")).all(-1, keepdim=True)
    weights = torch.softmax(scores.masked_fill(dead, 0.0), dim=-1).masked_fill(dead, 0.0)
    return weights @ v, weights

# %% exercise="scaled_dot_product_attention" wrong="float_mask_is_scaled_too"
"""The float mask is added before the division: a finite bias arrives sqrt(d_k) times too small."""
def scaled_dot_product_attention(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    scores = q @ k.transpose(-2, -1)
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf")) if mask.dtype == torch.bool else scores + mask
    scores = scores / math.sqrt(q.size(-1))
    dead = (scores == float("-inf")).all(-1, keepdim=True)
    weights = torch.softmax(scores.masked_fill(dead, 0.0), dim=-1).masked_fill(dead, 0.0)
    return weights @ v, weights

# %% exercise="scaled_dot_product_attention" wrong="bool_mask_after_softmax"
"""A boolean mask multiplies the finished weights: rows with blocked keys sum to less than 1."""
def scaled_dot_product_attention(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.size(-1))
    if mask is not None and mask.dtype != torch.bool:
        scores = scores + mask
    dead = (scores == float("-inf")).all(-1, keepdim=True)
    weights = torch.softmax(scores.masked_fill(dead, 0.0), dim=-1).masked_fill(dead, 0.0)
    if mask is not None and mask.dtype == torch.bool:
        weights = weights * mask
    return weights @ v, weights

# %% exercise="scaled_dot_product_attention" wrong="true_blocks"
"""The convention of nn.MultiheadAttention: a True in the boolean mask blocks."""
def scaled_dot_product_attention(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.size(-1))
    if mask is not None:
        scores = scores.masked_fill(mask, float("-inf")) if mask.dtype == torch.bool else scores + mask
    dead = (scores == float("-inf")).all(-1, keepdim=True)
    weights = torch.softmax(scores.masked_fill(dead, 0.0), dim=-1).masked_fill(dead, 0.0)
    return weights @ v, weights

# %% exercise="scaled_dot_product_attention" wrong="nan_to_num_afterwards"
"""NaN rows are replaced after the softmax: the forward is right, but with an added mask NaN reaches the gradients of q and k."""
def scaled_dot_product_attention(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.size(-1))
    if mask is not None:
        if mask.dtype == torch.bool:
            mask = torch.zeros(mask.shape, dtype=q.dtype).masked_fill(~mask, float("-inf"))
        scores = scores + mask
    weights = torch.nan_to_num(torch.softmax(scores, dim=-1), nan=0.0)
    return weights @ v, weights

# %% exercise="scaled_dot_product_attention" wrong="minus_1e9_for_blocked"
"""Blocked keys get -1e9 (Annotated Transformer): a query that may look at nothing gets an even spread instead of zeros."""
def scaled_dot_product_attention(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.size(-1))
    if mask is not None:
        scores = scores.masked_fill(~mask, -1e9) if mask.dtype == torch.bool else scores + mask.clamp(min=-1e9)
    weights = torch.softmax(scores, dim=-1)
    return weights @ v, weights

# %% exercise="scaled_dot_product_attention" wrong="only_bool_dead_rows"
"""Empty rows are found from the boolean mask only: a float mask with a row all -inf gives NaN."""
def scaled_dot_product_attention(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.size(-1))
    if mask is None:
        weights = torch.softmax(scores, -1)
    elif mask.dtype == torch.bool:
        alive = mask.any(-1, keepdim=True)
        weights = torch.softmax(scores.masked_fill(~mask & alive, float("-inf")), -1) * alive
    else:
        weights = torch.softmax(scores + mask, -1)
    return weights @ v, weights

# %% exercise="causal_mask" wrong="aligned_top_left"
"""tril without an offset: with fewer queries than keys the queries count as the first positions."""
def causal_mask(n_queries: int, n_keys: int) -> Tensor:
    return torch.ones(n_queries, n_keys, dtype=torch.bool).tril()

# %% exercise="causal_mask" wrong="cannot_see_itself"
"""Strictly earlier only (<): a query does not see its own position."""
def causal_mask(n_queries: int, n_keys: int) -> Tensor:
    position = torch.arange(n_keys - n_queries, n_keys)
    return torch.arange(n_keys)[None, :] < position[:, None]

# %% exercise="causal_mask" wrong="sees_one_ahead"
"""diagonal is one too large: every query sees the next position."""
def causal_mask(n_queries: int, n_keys: int) -> Tensor:
    return torch.ones(n_queries, n_keys, dtype=torch.bool).tril(diagonal=n_keys - n_queries + 1)

# %% exercise="causal_mask" wrong="true_is_the_future"
"""True stands above the diagonal, at the keys that must not be read."""
def causal_mask(n_queries: int, n_keys: int) -> Tensor:
    return torch.ones(n_queries, n_keys, dtype=torch.bool).triu(diagonal=n_keys - n_queries + 1)

# %% exercise="causal_mask" wrong="zeros_and_ones"
"""Float ones and zeros instead of bool: added to scores it blocks nothing."""
def causal_mask(n_queries: int, n_keys: int) -> Tensor:
    return torch.tril(torch.ones(n_queries, n_keys), diagonal=n_keys - n_queries)

# %% exercise="causal_mask" wrong="rows_in_reverse_order"
"""Flips the square mask and takes its first T rows: the last T positions, but in reverse order."""
def causal_mask(n_queries: int, n_keys: int) -> Tensor:
    full = torch.ones(n_keys, n_keys, dtype=torch.bool).tril()
    return full.flip(0)[:n_queries]

# %% exercise="padding_mask" wrong="length_inclusive"
"""<= lets every row see the first padding token."""
def padding_mask(lengths: Tensor, n_keys: int) -> Tensor:
    return (torch.arange(n_keys) <= lengths[:, None])[:, None, None, :]

# %% exercise="padding_mask" wrong="true_is_padding"
"""The convention of key_padding_mask: True at the padding."""
def padding_mask(lengths: Tensor, n_keys: int) -> Tensor:
    return (torch.arange(n_keys) >= lengths[:, None])[:, None, None, :]

# %% exercise="padding_mask" wrong="one_axis_short"
"""Shape (B, 1, S): spreads over queries only, and against (B, H, T, S) the batch lands on the heads."""
def padding_mask(lengths: Tensor, n_keys: int) -> Tensor:
    return (torch.arange(n_keys)[None, :] < lengths[:, None]).unsqueeze(1)

# %% exercise="padding_mask" wrong="masks_the_queries"
"""Shape (B, 1, S, 1): blocks padded queries instead of padded keys."""
def padding_mask(lengths: Tensor, n_keys: int) -> Tensor:
    return (torch.arange(n_keys)[None, :] < lengths[:, None])[:, None, :, None]

# %% exercise="padding_mask" wrong="padding_in_front"
"""The real tokens are taken to stand last."""
def padding_mask(lengths: Tensor, n_keys: int) -> Tensor:
    return (torch.arange(n_keys)[None, :] >= n_keys - lengths[:, None])[:, None, None, :]

# %% exercise="padding_mask" wrong="longest_row_sets_the_width"
"""The width is lengths.max(): too narrow when every row is shorter than n_keys."""
def padding_mask(lengths: Tensor, n_keys: int) -> Tensor:
    width = int(lengths.max())
    return (torch.arange(width)[None, :] < lengths[:, None])[:, None, None, :]

# %% exercise="combine_masks" wrong="any_mask_suffices"
"""Or instead of and: a key that one mask forbids may be read."""
def combine_masks(*masks: Tensor | None) -> Tensor | None:
    result = None
    for mask in masks:
        if mask is not None:
            result = mask if result is None else result | mask
    return result

# %% exercise="combine_masks" wrong="one_none_lifts_all"
"""None among the masks makes the whole result None."""
def combine_masks(*masks: Tensor | None) -> Tensor | None:
    if not masks or any(mask is None for mask in masks):
        return None
    result = masks[0]
    for mask in masks[1:]:
        result = result & mask
    return result

# %% exercise="combine_masks" wrong="only_the_first_two"
"""The third mask is never looked at."""
def combine_masks(*masks: Tensor | None) -> Tensor | None:
    given = [mask for mask in masks if mask is not None]
    if not given:
        return None
    return given[0] if len(given) == 1 else given[0] & given[1]

# %% exercise="combine_masks" wrong="writes_into_the_first_mask"
"""Where the first mask already has the broadcast shape, the result is written into it: the caller's mask changes."""
def combine_masks(*masks: Tensor | None) -> Tensor | None:
    given = [mask for mask in masks if mask is not None]
    if not given:
        return None
    result = given[0]
    for mask in given[1:]:
        if torch.broadcast_shapes(result.shape, mask.shape) == result.shape:
            result &= mask
        else:
            result = result & mask
    return result

# %% exercise="combine_masks" wrong="counts_none_as_a_vote"
"""Adds the masks and compares with the number of arguments, None included: with a None nothing is allowed."""
def combine_masks(*masks: Tensor | None) -> Tensor | None:
    given = [mask for mask in masks if mask is not None]
    if not given:
        return None
    total = given[0].long()
    for mask in given[1:]:
        total = total + mask
    return total == len(masks)

# %% exercise="combine_masks" wrong="equal_opinions"
"""== instead of &: two masks that both forbid a key allow it."""
def combine_masks(*masks: Tensor | None) -> Tensor | None:
    given = [mask for mask in masks if mask is not None]
    if not given:
        return None
    result = given[0]
    for mask in given[1:]:
        result = result == mask
    return result

# %% exercise="combine_masks" wrong="product_of_integers"
"""The product of two or more masks comes back as int64."""
def combine_masks(*masks: Tensor | None) -> Tensor | None:
    result = None
    for mask in masks:
        if mask is None:
            continue
        result = mask.long() if result is None else result * mask.long()
    return result

# %% exercise="split_heads" wrong="view_without_transpose"
"""Reshapes straight to (B, H, T, d): the shape is right, tokens and heads are mixed."""
def split_heads(x: Tensor, num_heads: int) -> Tensor:
    b, t, d_model = x.shape
    return x.reshape(b, num_heads, t, d_model // num_heads)

# %% exercise="split_heads" wrong="interleaved_heads"
"""Head h gets the columns h, h + H, h + 2 H ... instead of a block of neighbours."""
def split_heads(x: Tensor, num_heads: int) -> Tensor:
    b, t, d_model = x.shape
    return x.reshape(b, t, d_model // num_heads, num_heads).permute(0, 3, 1, 2)

# %% exercise="split_heads" wrong="heads_behind_tokens"
"""Returns (B, T, H, d): the heads are not moved in front of the tokens."""
def split_heads(x: Tensor, num_heads: int) -> Tensor:
    return x.reshape(*x.shape[:2], num_heads, -1)

# %% exercise="split_heads" wrong="split_size_not_count"
"""torch.split takes the size of a piece, not the number of pieces: D / H heads of width H."""
def split_heads(x: Tensor, num_heads: int) -> Tensor:
    return torch.stack(x.split(num_heads, dim=-1), dim=1)

# %% exercise="split_heads" wrong="heads_before_batch"
"""Stacks the chunks on axis 0: (H, B, T, d)."""
def split_heads(x: Tensor, num_heads: int) -> Tensor:
    return torch.stack(x.chunk(num_heads, dim=-1))

# %% exercise="split_heads" wrong="swaps_the_wrong_axes"
"""(B, T, H, d) is permuted to (B, H, d, T) and reshaped: tokens and channels are mixed."""
def split_heads(x: Tensor, num_heads: int) -> Tensor:
    b, t, d_model = x.shape
    d = d_model // num_heads
    return x.transpose(1, 2).reshape(b, num_heads, t, d)

# %% exercise="merge_heads" wrong="reshape_without_transpose"
"""Flattens (B, H, T, d) straight to (B, T, H d): numbers of different tokens land in one row."""
def merge_heads(x: Tensor) -> Tensor:
    b, h, t, d = x.shape
    return x.contiguous().view(b, t, h * d)

# %% exercise="merge_heads" wrong="interleaved_heads"
"""The heads become the fastest axis: column i * H + h instead of h * d + i."""
def merge_heads(x: Tensor) -> Tensor:
    return x.permute(0, 2, 3, 1).flatten(2)

# %% exercise="merge_heads" wrong="mean_over_heads"
"""Averages the heads instead of putting them side by side: (B, T, d)."""
def merge_heads(x: Tensor) -> Tensor:
    return x.mean(dim=1)

# %% exercise="merge_heads" wrong="not_flattened"
"""Only the transpose: (B, T, H, d)."""
def merge_heads(x: Tensor) -> Tensor:
    return x.transpose(1, 2).contiguous()

# %% exercise="merge_heads" wrong="heads_over_tokens"
"""Concatenates the heads along the tokens and reshapes: rows hold neighbouring tokens of one head."""
def merge_heads(x: Tensor) -> Tensor:
    b, h, t, d = x.shape
    return torch.cat(x.unbind(1), dim=1).reshape(b, t, h * d)

# %% exercise="merge_heads" wrong="channels_and_tokens_swapped"
"""Transposes axes 2 and 3 instead of 1 and 2 before flattening."""
def merge_heads(x: Tensor) -> Tensor:
    b, h, t, d = x.shape
    return x.transpose(2, 3).reshape(b, h * d, t).reshape(b, t, h * d)

# %% exercise="MultiHeadAttention" wrong="scale_by_model_width"
"""Scores are divided by sqrt(D) instead of sqrt(d): wrong for more than one head."""
class MultiHeadAttention(nn.Module):
    def __init__(self, d_model: int, num_heads: int, dropout: float = 0.0):
        super().__init__()
        if d_model % num_heads:
            raise ValueError("d_model must be a multiple of num_heads")
        self.d_model, self.num_heads = d_model, num_heads
        self.w_q = nn.Linear(d_model, d_model)
        self.w_k = nn.Linear(d_model, d_model)
        self.w_v = nn.Linear(d_model, d_model)
        self.w_o = nn.Linear(d_model, d_model)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        q, k, v = (split_heads(w(x), self.num_heads) for w in (self.w_q, self.w_k, self.w_v))
        scores = q @ k.transpose(-2, -1) / math.sqrt(self.d_model)
        if mask is not None:
            scores = scores.masked_fill(~mask, float("-inf")) if mask.dtype == torch.bool else scores + mask
        dead = (scores == float("-inf")).all(-1, keepdim=True)
        weights = torch.softmax(scores.masked_fill(dead, 0.0), dim=-1).masked_fill(dead, 0.0)
        return self.w_o(merge_heads(self.dropout(weights) @ v)), weights

# %% exercise="MultiHeadAttention" wrong="dropout_at_evaluation_too"
"""F.dropout without training=self.training drops weights in eval mode as well."""
class MultiHeadAttention(nn.Module):
    def __init__(self, d_model: int, num_heads: int, dropout: float = 0.0):
        super().__init__()
        if d_model % num_heads:
            raise ValueError("d_model must be a multiple of num_heads")
        self.num_heads, self.dropout = num_heads, dropout
        self.w_q = nn.Linear(d_model, d_model)
        self.w_k = nn.Linear(d_model, d_model)
        self.w_v = nn.Linear(d_model, d_model)
        self.w_o = nn.Linear(d_model, d_model)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        q, k, v = (split_heads(w(x), self.num_heads) for w in (self.w_q, self.w_k, self.w_v))
        _, weights = scaled_dot_product_attention(q, k, v, mask)
        mixed = nn.functional.dropout(weights, self.dropout) @ v
        return self.w_o(merge_heads(mixed)), weights

# %% exercise="MultiHeadAttention" wrong="returns_dropped_weights"
"""The returned weights are those after dropout: in training their rows do not sum to 1."""
class MultiHeadAttention(nn.Module):
    def __init__(self, d_model: int, num_heads: int, dropout: float = 0.0):
        super().__init__()
        if d_model % num_heads:
            raise ValueError("d_model must be a multiple of num_heads")
        self.num_heads = num_heads
        self.w_q = nn.Linear(d_model, d_model)
        self.w_k = nn.Linear(d_model, d_model)
        self.w_v = nn.Linear(d_model, d_model)
        self.w_o = nn.Linear(d_model, d_model)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        q, k, v = (split_heads(w(x), self.num_heads) for w in (self.w_q, self.w_k, self.w_v))
        _, weights = scaled_dot_product_attention(q, k, v, mask)
        weights = self.dropout(weights)
        return self.w_o(merge_heads(weights @ v)), weights

# %% exercise="MultiHeadAttention" wrong="dropout_on_the_output"
"""Residual dropout: the output of w_o is dropped, not the weights."""
class MultiHeadAttention(nn.Module):
    def __init__(self, d_model: int, num_heads: int, dropout: float = 0.0):
        super().__init__()
        if d_model % num_heads:
            raise ValueError("d_model must be a multiple of num_heads")
        self.num_heads = num_heads
        self.w_q = nn.Linear(d_model, d_model)
        self.w_k = nn.Linear(d_model, d_model)
        self.w_v = nn.Linear(d_model, d_model)
        self.w_o = nn.Linear(d_model, d_model)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        q, k, v = (split_heads(w(x), self.num_heads) for w in (self.w_q, self.w_k, self.w_v))
        out, weights = scaled_dot_product_attention(q, k, v, mask)
        return self.dropout(self.w_o(merge_heads(out))), weights

# %% exercise="MultiHeadAttention" wrong="assert_for_bad_width"
"""A D that is no multiple of H raises AssertionError, not ValueError."""
class MultiHeadAttention(nn.Module):
    def __init__(self, d_model: int, num_heads: int, dropout: float = 0.0):
        super().__init__()
        assert d_model % num_heads == 0
        self.num_heads = num_heads
        self.w_q = nn.Linear(d_model, d_model)
        self.w_k = nn.Linear(d_model, d_model)
        self.w_v = nn.Linear(d_model, d_model)
        self.w_o = nn.Linear(d_model, d_model)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        q, k, v = (split_heads(w(x), self.num_heads) for w in (self.w_q, self.w_k, self.w_v))
        _, weights = scaled_dot_product_attention(q, k, v, mask)
        return self.w_o(merge_heads(self.dropout(weights) @ v)), weights

# %% exercise="MultiHeadAttention" wrong="heads_averaged_in_weights"
"""Returns the weights averaged over the heads, (B, T, T), as nn.MultiheadAttention does."""
class MultiHeadAttention(nn.Module):
    def __init__(self, d_model: int, num_heads: int, dropout: float = 0.0):
        super().__init__()
        if d_model % num_heads:
            raise ValueError("d_model must be a multiple of num_heads")
        self.num_heads = num_heads
        self.w_q = nn.Linear(d_model, d_model)
        self.w_k = nn.Linear(d_model, d_model)
        self.w_v = nn.Linear(d_model, d_model)
        self.w_o = nn.Linear(d_model, d_model)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        q, k, v = (split_heads(w(x), self.num_heads) for w in (self.w_q, self.w_k, self.w_v))
        _, weights = scaled_dot_product_attention(q, k, v, mask)
        return self.w_o(merge_heads(self.dropout(weights) @ v)), weights.mean(dim=1)

# %% exercise="MultiHeadAttention" wrong="keys_and_queries_swapped"
"""w_k makes the queries and w_q the keys: the weights are those of the transposed scores."""
class MultiHeadAttention(nn.Module):
    def __init__(self, d_model: int, num_heads: int, dropout: float = 0.0):
        super().__init__()
        if d_model % num_heads:
            raise ValueError("d_model must be a multiple of num_heads")
        self.num_heads = num_heads
        self.w_q = nn.Linear(d_model, d_model)
        self.w_k = nn.Linear(d_model, d_model)
        self.w_v = nn.Linear(d_model, d_model)
        self.w_o = nn.Linear(d_model, d_model)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        k, q, v = (split_heads(w(x), self.num_heads) for w in (self.w_q, self.w_k, self.w_v))
        _, weights = scaled_dot_product_attention(q, k, v, mask)
        return self.w_o(merge_heads(self.dropout(weights) @ v)), weights

# %% exercise="MultiHeadAttention" wrong="heads_merged_without_transpose"
"""The heads' output is flattened with reshape only: numbers of different tokens reach w_o together."""
class MultiHeadAttention(nn.Module):
    def __init__(self, d_model: int, num_heads: int, dropout: float = 0.0):
        super().__init__()
        if d_model % num_heads:
            raise ValueError("d_model must be a multiple of num_heads")
        self.num_heads = num_heads
        self.w_q = nn.Linear(d_model, d_model)
        self.w_k = nn.Linear(d_model, d_model)
        self.w_v = nn.Linear(d_model, d_model)
        self.w_o = nn.Linear(d_model, d_model)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        q, k, v = (split_heads(w(x), self.num_heads) for w in (self.w_q, self.w_k, self.w_v))
        _, weights = scaled_dot_product_attention(q, k, v, mask)
        return self.w_o((self.dropout(weights) @ v).reshape(x.shape)), weights

# %% exercise="MultiHeadAttention" wrong="projections_without_bias"
"""w_q, w_k, w_v have no bias (as in Vaswani et al.): three parameters are missing from the state dict."""
class MultiHeadAttention(nn.Module):
    def __init__(self, d_model: int, num_heads: int, dropout: float = 0.0):
        super().__init__()
        if d_model % num_heads:
            raise ValueError("d_model must be a multiple of num_heads")
        self.num_heads = num_heads
        self.w_q = nn.Linear(d_model, d_model, bias=False)
        self.w_k = nn.Linear(d_model, d_model, bias=False)
        self.w_v = nn.Linear(d_model, d_model, bias=False)
        self.w_o = nn.Linear(d_model, d_model)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        q, k, v = (split_heads(w(x), self.num_heads) for w in (self.w_q, self.w_k, self.w_v))
        _, weights = scaled_dot_product_attention(q, k, v, mask)
        return self.w_o(merge_heads(self.dropout(weights) @ v)), weights

# %% exercise="CrossAttention" wrong="encoder_asks_decoder_answers"
"""Queries come from memory, keys and values from x: the output has the encoder's length."""
class CrossAttention(nn.Module):
    def __init__(self, d_model: int, num_heads: int):
        super().__init__()
        self.num_heads = num_heads
        self.w_q = nn.Linear(d_model, d_model)
        self.w_k = nn.Linear(d_model, d_model)
        self.w_v = nn.Linear(d_model, d_model)
        self.w_o = nn.Linear(d_model, d_model)

    def forward(self, x: Tensor, memory: Tensor, memory_mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        q = split_heads(self.w_q(memory), self.num_heads)
        k, v = split_heads(self.w_k(x), self.num_heads), split_heads(self.w_v(x), self.num_heads)
        out, weights = scaled_dot_product_attention(q, k, v, memory_mask)
        return self.w_o(merge_heads(out)), weights

# %% exercise="CrossAttention" wrong="key_and_value_maps_swapped"
"""w_v makes the keys and w_k the values."""
class CrossAttention(nn.Module):
    def __init__(self, d_model: int, num_heads: int):
        super().__init__()
        self.num_heads = num_heads
        self.w_q = nn.Linear(d_model, d_model)
        self.w_k = nn.Linear(d_model, d_model)
        self.w_v = nn.Linear(d_model, d_model)
        self.w_o = nn.Linear(d_model, d_model)

    def forward(self, x: Tensor, memory: Tensor, memory_mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        q = split_heads(self.w_q(x), self.num_heads)
        v, k = split_heads(self.w_k(memory), self.num_heads), split_heads(self.w_v(memory), self.num_heads)
        out, weights = scaled_dot_product_attention(q, k, v, memory_mask)
        return self.w_o(merge_heads(out)), weights

# %% exercise="CrossAttention" wrong="causal_on_the_source"
"""A causal mask is put on the source as well: early queries cannot read the end of the sentence."""
class CrossAttention(nn.Module):
    def __init__(self, d_model: int, num_heads: int):
        super().__init__()
        self.num_heads = num_heads
        self.w_q = nn.Linear(d_model, d_model)
        self.w_k = nn.Linear(d_model, d_model)
        self.w_v = nn.Linear(d_model, d_model)
        self.w_o = nn.Linear(d_model, d_model)

    def forward(self, x: Tensor, memory: Tensor, memory_mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        q = split_heads(self.w_q(x), self.num_heads)
        k, v = split_heads(self.w_k(memory), self.num_heads), split_heads(self.w_v(memory), self.num_heads)
        no_future = torch.ones(x.shape[1], memory.shape[1], dtype=torch.bool).tril()
        out, weights = scaled_dot_product_attention(q, k, v, combine_masks(memory_mask, no_future))
        return self.w_o(merge_heads(out)), weights

# %% exercise="CrossAttention" wrong="mask_ignored"
"""memory_mask is accepted and never used: padding of the source is read."""
class CrossAttention(nn.Module):
    def __init__(self, d_model: int, num_heads: int):
        super().__init__()
        self.num_heads = num_heads
        self.w_q = nn.Linear(d_model, d_model)
        self.w_k = nn.Linear(d_model, d_model)
        self.w_v = nn.Linear(d_model, d_model)
        self.w_o = nn.Linear(d_model, d_model)

    def forward(self, x: Tensor, memory: Tensor, memory_mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        q = split_heads(self.w_q(x), self.num_heads)
        k, v = split_heads(self.w_k(memory), self.num_heads), split_heads(self.w_v(memory), self.num_heads)
        out, weights = scaled_dot_product_attention(q, k, v)
        return self.w_o(merge_heads(out)), weights

# %% exercise="CrossAttention" wrong="padded_source_is_nan"
"""Plain softmax over -inf: a source that is all padding gives NaN."""
class CrossAttention(nn.Module):
    def __init__(self, d_model: int, num_heads: int):
        super().__init__()
        self.num_heads = num_heads
        self.w_q = nn.Linear(d_model, d_model)
        self.w_k = nn.Linear(d_model, d_model)
        self.w_v = nn.Linear(d_model, d_model)
        self.w_o = nn.Linear(d_model, d_model)

    def forward(self, x: Tensor, memory: Tensor, memory_mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        q = split_heads(self.w_q(x), self.num_heads)
        k, v = split_heads(self.w_k(memory), self.num_heads), split_heads(self.w_v(memory), self.num_heads)
        scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
        if memory_mask is not None:
            scores = scores.masked_fill(~memory_mask, float("-inf"))
        weights = torch.softmax(scores, dim=-1)
        return self.w_o(merge_heads(weights @ v)), weights

# %% exercise="CrossAttention" wrong="values_from_the_keys"
"""The values are w_v of the finished keys instead of w_v of memory."""
class CrossAttention(nn.Module):
    def __init__(self, d_model: int, num_heads: int):
        super().__init__()
        self.num_heads = num_heads
        self.w_q = nn.Linear(d_model, d_model)
        self.w_k = nn.Linear(d_model, d_model)
        self.w_v = nn.Linear(d_model, d_model)
        self.w_o = nn.Linear(d_model, d_model)

    def forward(self, x: Tensor, memory: Tensor, memory_mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        q = split_heads(self.w_q(x), self.num_heads)
        memory = self.w_k(memory)
        k, v = split_heads(memory, self.num_heads), split_heads(self.w_v(memory), self.num_heads)
        out, weights = scaled_dot_product_attention(q, k, v, memory_mask)
        return self.w_o(merge_heads(out)), weights

# %% exercise="CrossAttention" wrong="residual_added"
"""Adds the decoder states to the output, as the layer around it would."""
class CrossAttention(nn.Module):
    def __init__(self, d_model: int, num_heads: int):
        super().__init__()
        self.num_heads = num_heads
        self.w_q = nn.Linear(d_model, d_model)
        self.w_k = nn.Linear(d_model, d_model)
        self.w_v = nn.Linear(d_model, d_model)
        self.w_o = nn.Linear(d_model, d_model)

    def forward(self, x: Tensor, memory: Tensor, memory_mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        q = split_heads(self.w_q(x), self.num_heads)
        k, v = split_heads(self.w_k(memory), self.num_heads), split_heads(self.w_v(memory), self.num_heads)
        out, weights = scaled_dot_product_attention(q, k, v, memory_mask)
        return x + self.w_o(merge_heads(out)), weights

# %% exercise="attention_entropy" wrong="bits"
"""log2: bits instead of nats."""
def attention_entropy(weights: Tensor) -> Tensor:
    return -torch.where(weights > 0, weights * torch.log2(weights.clamp(min=1e-38)), torch.zeros_like(weights)).sum(-1)

# %% exercise="attention_entropy" wrong="zero_times_minus_inf"
"""A weight of exactly 0 gives 0 * -inf = NaN."""
def attention_entropy(weights: Tensor) -> Tensor:
    return -(weights * weights.log()).sum(dim=-1)

# %% exercise="attention_entropy" wrong="over_the_queries"
"""Adds along the queries (dim=-2): one number for each key."""
def attention_entropy(weights: Tensor) -> Tensor:
    return -torch.xlogy(weights, weights).sum(dim=-2)

# %% exercise="attention_entropy" wrong="mean_over_keys"
"""The mean over the keys instead of the sum: S times too small."""
def attention_entropy(weights: Tensor) -> Tensor:
    return -torch.xlogy(weights, weights).mean(dim=-1)

# %% exercise="attention_entropy" wrong="normalised_to_one"
"""Divided by ln(S): runs from 0 to 1 instead of 0 to ln(S)."""
def attention_entropy(weights: Tensor) -> Tensor:
    return -torch.xlogy(weights, weights).sum(dim=-1) / math.log(weights.shape[-1])

# %% exercise="attention_entropy" wrong="negative_sign_lost"
"""The minus sign is missing."""
def attention_entropy(weights: Tensor) -> Tensor:
    return torch.xlogy(weights, weights).sum(dim=-1)

# %% exercise="attention_entropy" wrong="epsilon_too_large"
"""log(w + 1e-3): an even spread over 1000 keys loses 0.69 nats."""
def attention_entropy(weights: Tensor) -> Tensor:
    return -(weights * torch.log(weights + 1e-3)).sum(dim=-1)

# %% exercise="sink_mass" wrong="all_queries"
"""Averages over all queries, the first ones too, which can see nothing but the sink."""
def sink_mass(weights: Tensor, first: int = 4) -> Tensor:
    return weights[..., :first].sum(-1).mean(dim=(0, 2))

# %% exercise="sink_mass" wrong="mean_over_the_sink_keys"
"""The sink keys are averaged instead of added: first times too small."""
def sink_mass(weights: Tensor, first: int = 4) -> Tensor:
    return weights[:, :, first:, :first].mean(dim=(0, 2, 3))

# %% exercise="sink_mass" wrong="one_query_too_late"
"""t > first instead of t >= first: the query at position first is left out."""
def sink_mass(weights: Tensor, first: int = 4) -> Tensor:
    return weights[:, :, first + 1 :, :first].sum(-1).mean(dim=(0, 2))

# %% exercise="sink_mass" wrong="one_number_per_batch_row"
"""Averages over heads and queries: (B,) instead of (H,)."""
def sink_mass(weights: Tensor, first: int = 4) -> Tensor:
    return weights[:, :, first:, :first].sum(-1).mean(dim=(1, 2))

# %% exercise="sink_mass" wrong="batch_not_averaged"
"""The mean runs over the queries only: (B, H)."""
def sink_mass(weights: Tensor, first: int = 4) -> Tensor:
    return weights[:, :, first:, :first].sum(-1).mean(dim=-1)

# %% exercise="sink_mass" wrong="always_four"
"""first is ignored; the sink is always four keys wide."""
def sink_mass(weights: Tensor, first: int = 4) -> Tensor:
    return weights[:, :, 4:, :4].sum(-1).mean(dim=(0, 2))

# %% exercise="sink_mass" wrong="queries_and_keys_swapped"
"""Slices the first queries and the later keys: the axes are mixed up."""
def sink_mass(weights: Tensor, first: int = 4) -> Tensor:
    return weights[:, :, :first, first:].sum(-1).mean(dim=(0, 2))

# %% exercise="attention_cost" wrong="one_flop_per_multiply_add"
"""Counts a multiplication and its addition as one: every FLOP count is half."""
def attention_cost(n: int, d_model: int, num_heads: int, bytes_per_number: int = 4) -> dict[str, int]:
    return {
        "projection_flops": 4 * n * d_model * d_model,
        "score_flops": n * n * d_model,
        "mix_flops": n * n * d_model,
        "score_bytes": num_heads * n * n * bytes_per_number,
        "kv_bytes": 2 * n * d_model * bytes_per_number,
    }

# %% exercise="attention_cost" wrong="three_projections"
"""The output projection is forgotten."""
def attention_cost(n: int, d_model: int, num_heads: int, bytes_per_number: int = 4) -> dict[str, int]:
    return {
        "projection_flops": 3 * 2 * n * d_model * d_model,
        "score_flops": 2 * n * n * d_model,
        "mix_flops": 2 * n * n * d_model,
        "score_bytes": num_heads * n * n * bytes_per_number,
        "kv_bytes": 2 * n * d_model * bytes_per_number,
    }

# %% exercise="attention_cost" wrong="every_head_full_width"
"""Each head is counted with width D: scores and mixing are H times too large."""
def attention_cost(n: int, d_model: int, num_heads: int, bytes_per_number: int = 4) -> dict[str, int]:
    return {
        "projection_flops": 8 * n * d_model**2,
        "score_flops": num_heads * 2 * n * n * d_model,
        "mix_flops": num_heads * 2 * n * n * d_model,
        "score_bytes": num_heads * n * n * bytes_per_number,
        "kv_bytes": 2 * n * d_model * bytes_per_number,
    }

# %% exercise="attention_cost" wrong="one_weight_matrix"
"""score_bytes counts one head's weights only."""
def attention_cost(n: int, d_model: int, num_heads: int, bytes_per_number: int = 4) -> dict[str, int]:
    return {
        "projection_flops": 8 * n * d_model**2,
        "score_flops": 2 * n * n * d_model,
        "mix_flops": 2 * n * n * d_model,
        "score_bytes": n * n * bytes_per_number,
        "kv_bytes": 2 * n * d_model * bytes_per_number,
    }

# %% exercise="attention_cost" wrong="keys_only"
"""kv_bytes counts the keys and forgets the values."""
def attention_cost(n: int, d_model: int, num_heads: int, bytes_per_number: int = 4) -> dict[str, int]:
    d = d_model // num_heads
    return {
        "projection_flops": 8 * n * d_model**2,
        "score_flops": 2 * n * n * d_model,
        "mix_flops": 2 * n * n * d_model,
        "score_bytes": num_heads * n * n * bytes_per_number,
        "kv_bytes": num_heads * n * d * bytes_per_number,
    }

# %% exercise="attention_cost" wrong="always_float32"
"""Sizes are computed with 4 bytes a number whatever bytes_per_number says."""
def attention_cost(n: int, d_model: int, num_heads: int, bytes_per_number: int = 4) -> dict[str, int]:
    return {
        "projection_flops": 8 * n * d_model**2,
        "score_flops": 2 * n * n * d_model,
        "mix_flops": 2 * n * n * d_model,
        "score_bytes": num_heads * n * n * 4,
        "kv_bytes": 2 * n * d_model * 4,
    }

# %% exercise="attention_cost" wrong="float_numbers"
"""The head's width is D / H with a true division: score, mix and kv come back as floats."""
def attention_cost(n: int, d_model: int, num_heads: int, bytes_per_number: int = 4) -> dict[str, int]:
    d = d_model / num_heads
    return {
        "projection_flops": 8 * n * d_model**2,
        "score_flops": num_heads * 2 * n * n * d,
        "mix_flops": num_heads * 2 * n * n * d,
        "score_bytes": num_heads * n * n * bytes_per_number,
        "kv_bytes": 2 * num_heads * n * d * bytes_per_number,
    }

# %% exercise="row_softmax" wrong="tail_is_zero_in_the_maximum"
"""Missing lanes hold 0 in the maximum: a row near -500 with a tail gets maximum 0 and 0 / 0."""
@triton.jit
def row_softmax_kernel(x_ptr, out_ptr, n_cols, x_row, x_col, out_row, out_col, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    lanes = tl.arange(0, BLOCK)
    top = -float("inf")
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        x = tl.load(x_ptr + row * x_row + cols * x_col, mask=cols < n_cols, other=0.0).to(tl.float32)
        top = tl.maximum(top, tl.max(x, axis=0))
    total = 0.0
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        x = tl.load(x_ptr + row * x_row + cols * x_col, mask=cols < n_cols, other=-float("inf")).to(tl.float32)
        total += tl.sum(tl.exp(x - top), axis=0)
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        x = tl.load(x_ptr + row * x_row + cols * x_col, mask=cols < n_cols, other=-float("inf")).to(tl.float32)
        tl.store(out_ptr + row * out_row + cols * out_col, tl.exp(x - top) / total, mask=cols < n_cols)


def row_softmax(x: Tensor, block: int = 128) -> Tensor:
    out = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    row_softmax_kernel[(x.shape[0],)](
        x, out, x.shape[1], x.stride(0), x.stride(1), out.stride(0), out.stride(1), BLOCK=block
    )
    return out

# %% exercise="row_softmax" wrong="tail_counts_in_the_sum"
"""Missing lanes hold 0 in the sum of exponentials: each adds exp(0 - max), so rows with a tail sum to less than 1."""
@triton.jit
def row_softmax_kernel(x_ptr, out_ptr, n_cols, x_row, x_col, out_row, out_col, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    lanes = tl.arange(0, BLOCK)
    top = -float("inf")
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        x = tl.load(x_ptr + row * x_row + cols * x_col, mask=cols < n_cols, other=-float("inf")).to(tl.float32)
        top = tl.maximum(top, tl.max(x, axis=0))
    total = 0.0
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        x = tl.load(x_ptr + row * x_row + cols * x_col, mask=cols < n_cols, other=0.0).to(tl.float32)
        total += tl.sum(tl.exp(x - top), axis=0)
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        x = tl.load(x_ptr + row * x_row + cols * x_col, mask=cols < n_cols, other=-float("inf")).to(tl.float32)
        tl.store(out_ptr + row * out_row + cols * out_col, tl.exp(x - top) / total, mask=cols < n_cols)


def row_softmax(x: Tensor, block: int = 128) -> Tensor:
    out = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    row_softmax_kernel[(x.shape[0],)](
        x, out, x.shape[1], x.stride(0), x.stride(1), out.stride(0), out.stride(1), BLOCK=block
    )
    return out

# %% exercise="row_softmax" wrong="running_sum_not_rescaled"
"""Online softmax without the factor exp(old - new): the sum is wrong when the maximum rises in a later block."""
@triton.jit
def row_softmax_kernel(x_ptr, out_ptr, n_cols, x_row, x_col, out_row, out_col, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    lanes = tl.arange(0, BLOCK)
    top = -float("inf")
    total = 0.0
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        x = tl.load(x_ptr + row * x_row + cols * x_col, mask=cols < n_cols, other=-float("inf")).to(tl.float32)
        top = tl.maximum(top, tl.max(x, axis=0))
        total += tl.sum(tl.exp(x - top), axis=0)
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        x = tl.load(x_ptr + row * x_row + cols * x_col, mask=cols < n_cols, other=-float("inf")).to(tl.float32)
        tl.store(out_ptr + row * out_row + cols * out_col, tl.exp(x - top) / total, mask=cols < n_cols)


def row_softmax(x: Tensor, block: int = 128) -> Tensor:
    out = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    row_softmax_kernel[(x.shape[0],)](
        x, out, x.shape[1], x.stride(0), x.stride(1), out.stride(0), out.stride(1), BLOCK=block
    )
    return out

# %% exercise="row_softmax" wrong="softmax_of_each_block"
"""Maximum and sum are those of the block, not of the row: every block of a wide row sums to 1."""
@triton.jit
def row_softmax_kernel(x_ptr, out_ptr, n_cols, x_row, x_col, out_row, out_col, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    for start in range(0, n_cols, BLOCK):
        cols = start + tl.arange(0, BLOCK)
        x = tl.load(x_ptr + row * x_row + cols * x_col, mask=cols < n_cols, other=-float("inf")).to(tl.float32)
        e = tl.exp(x - tl.max(x, axis=0))
        tl.store(out_ptr + row * out_row + cols * out_col, e / tl.sum(e, axis=0), mask=cols < n_cols)


def row_softmax(x: Tensor, block: int = 128) -> Tensor:
    out = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    row_softmax_kernel[(x.shape[0],)](
        x, out, x.shape[1], x.stride(0), x.stride(1), out.stride(0), out.stride(1), BLOCK=block
    )
    return out

# %% exercise="row_softmax" wrong="empty_like_keeps_the_strides"
"""torch.empty_like keeps the layout of x.t(): the output is right but not contiguous."""
@triton.jit
def row_softmax_kernel(x_ptr, out_ptr, n_cols, x_row, x_col, out_row, out_col, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    lanes = tl.arange(0, BLOCK)
    top = -float("inf")
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        x = tl.load(x_ptr + row * x_row + cols * x_col, mask=cols < n_cols, other=-float("inf")).to(tl.float32)
        top = tl.maximum(top, tl.max(x, axis=0))
    total = 0.0
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        x = tl.load(x_ptr + row * x_row + cols * x_col, mask=cols < n_cols, other=-float("inf")).to(tl.float32)
        total += tl.sum(tl.exp(x - top), axis=0)
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        x = tl.load(x_ptr + row * x_row + cols * x_col, mask=cols < n_cols, other=-float("inf")).to(tl.float32)
        tl.store(out_ptr + row * out_row + cols * out_col, tl.exp(x - top) / total, mask=cols < n_cols)


def row_softmax(x: Tensor, block: int = 128) -> Tensor:
    out = torch.empty_like(x)
    row_softmax_kernel[(x.shape[0],)](
        x, out, x.shape[1], x.stride(0), x.stride(1), out.stride(0), out.stride(1), BLOCK=block
    )
    return out

# %% exercise="row_softmax" wrong="copies_first"
"""x.contiguous() copies a strided input by torch: a second launch."""
@triton.jit
def row_softmax_kernel(x_ptr, out_ptr, n_cols, x_row, x_col, out_row, out_col, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    lanes = tl.arange(0, BLOCK)
    top = -float("inf")
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        x = tl.load(x_ptr + row * x_row + cols * x_col, mask=cols < n_cols, other=-float("inf")).to(tl.float32)
        top = tl.maximum(top, tl.max(x, axis=0))
    total = 0.0
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        x = tl.load(x_ptr + row * x_row + cols * x_col, mask=cols < n_cols, other=-float("inf")).to(tl.float32)
        total += tl.sum(tl.exp(x - top), axis=0)
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        x = tl.load(x_ptr + row * x_row + cols * x_col, mask=cols < n_cols, other=-float("inf")).to(tl.float32)
        tl.store(out_ptr + row * out_row + cols * out_col, tl.exp(x - top) / total, mask=cols < n_cols)


def row_softmax(x: Tensor, block: int = 128) -> Tensor:
    x = x.contiguous()
    out = torch.empty_like(x)
    row_softmax_kernel[(x.shape[0],)](
        x, out, x.shape[1], x.stride(0), x.stride(1), out.stride(0), out.stride(1), BLOCK=block
    )
    return out

# %% exercise="row_softmax" wrong="column_stride_forgotten"
"""The address is x_ptr + row * x_row + cols: for x.t() or x[:, ::2] it reads other numbers."""
@triton.jit
def row_softmax_kernel(x_ptr, out_ptr, n_cols, x_row, out_row, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    lanes = tl.arange(0, BLOCK)
    top = -float("inf")
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        x = tl.load(x_ptr + row * x_row + cols, mask=cols < n_cols, other=-float("inf")).to(tl.float32)
        top = tl.maximum(top, tl.max(x, axis=0))
    total = 0.0
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        x = tl.load(x_ptr + row * x_row + cols, mask=cols < n_cols, other=-float("inf")).to(tl.float32)
        total += tl.sum(tl.exp(x - top), axis=0)
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        x = tl.load(x_ptr + row * x_row + cols, mask=cols < n_cols, other=-float("inf")).to(tl.float32)
        tl.store(out_ptr + row * out_row + cols, tl.exp(x - top) / total, mask=cols < n_cols)


def row_softmax(x: Tensor, block: int = 128) -> Tensor:
    out = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    row_softmax_kernel[(x.shape[0],)](x, out, x.shape[1], x.stride(0), out.stride(0), BLOCK=block)
    return out

# %% exercise="row_softmax" wrong="one_program_for_all_rows"
"""One program loops over all rows: a single program whatever the number of rows."""
@triton.jit
def row_softmax_kernel(x_ptr, out_ptr, n_rows, n_cols, x_row, x_col, out_row, out_col, BLOCK: tl.constexpr):
    lanes = tl.arange(0, BLOCK)
    for row in range(0, n_rows):
        top = -float("inf")
        for start in range(0, n_cols, BLOCK):
            cols = start + lanes
            x = tl.load(x_ptr + row * x_row + cols * x_col, mask=cols < n_cols, other=-float("inf")).to(tl.float32)
            top = tl.maximum(top, tl.max(x, axis=0))
        total = 0.0
        for start in range(0, n_cols, BLOCK):
            cols = start + lanes
            x = tl.load(x_ptr + row * x_row + cols * x_col, mask=cols < n_cols, other=-float("inf")).to(tl.float32)
            total += tl.sum(tl.exp(x - top), axis=0)
        for start in range(0, n_cols, BLOCK):
            cols = start + lanes
            x = tl.load(x_ptr + row * x_row + cols * x_col, mask=cols < n_cols, other=-float("inf")).to(tl.float32)
            tl.store(out_ptr + row * out_row + cols * out_col, tl.exp(x - top) / total, mask=cols < n_cols)


def row_softmax(x: Tensor, block: int = 128) -> Tensor:
    out = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    row_softmax_kernel[(1,)](
        x, out, x.shape[0], x.shape[1], x.stride(0), x.stride(1), out.stride(0), out.stride(1), BLOCK=block
    )
    return out

# %% exercise="masked_scaled_softmax" wrong="maximum_over_blocked_too"
"""The maximum includes blocked columns: a blocked 1000 makes the allowed weights underflow to 0."""
@triton.jit
def masked_scaled_softmax_kernel(
    scores_ptr, mask_ptr, out_ptr, scale, n_cols,
    scores_row, scores_col, mask_row, mask_col, out_row, out_col, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0)
    lanes = tl.arange(0, BLOCK)
    top = -float("inf")
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        inside = cols < n_cols
        s = tl.load(scores_ptr + row * scores_row + cols * scores_col, mask=inside, other=0.0) * scale
        s = tl.where(inside, s, -float("inf"))
        top = tl.maximum(top, tl.max(s, axis=0))
    top = tl.where(top == -float("inf"), 0.0, top)
    total = 0.0
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        inside = cols < n_cols
        allowed = tl.load(mask_ptr + row * mask_row + cols * mask_col, mask=inside, other=0) != 0
        s = tl.load(scores_ptr + row * scores_row + cols * scores_col, mask=inside, other=0.0) * scale
        s = tl.where(inside & allowed, s, -float("inf"))
        total += tl.sum(tl.exp(s - top), axis=0)
    total = tl.where(total == 0.0, 1.0, total)
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        inside = cols < n_cols
        allowed = tl.load(mask_ptr + row * mask_row + cols * mask_col, mask=inside, other=0) != 0
        s = tl.load(scores_ptr + row * scores_row + cols * scores_col, mask=inside, other=0.0) * scale
        s = tl.where(inside & allowed, s, -float("inf"))
        tl.store(out_ptr + row * out_row + cols * out_col, tl.exp(s - top) / total, mask=inside)


def masked_scaled_softmax(scores: Tensor, mask: Tensor, scale: float, block: int = 128) -> Tensor:
    out = torch.empty(scores.shape, dtype=scores.dtype, device=scores.device)
    masked_scaled_softmax_kernel[(scores.shape[0],)](
        scores, mask, out, scale, scores.shape[1], scores.stride(0), scores.stride(1),
        mask.stride(0), mask.stride(1), out.stride(0), out.stride(1), BLOCK=block,
    )  # fmt: skip
    return out

# %% exercise="masked_scaled_softmax" wrong="maximum_before_the_scale"
"""The maximum is taken of the unscaled scores: scale 0.125 and scores near 2000 give exp(250 - 2000) = 0."""
@triton.jit
def masked_scaled_softmax_kernel(
    scores_ptr, mask_ptr, out_ptr, scale, n_cols,
    scores_row, scores_col, mask_row, mask_col, out_row, out_col, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0)
    lanes = tl.arange(0, BLOCK)
    top = -float("inf")
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        inside = cols < n_cols
        allowed = tl.load(mask_ptr + row * mask_row + cols * mask_col, mask=inside, other=0) != 0
        s = tl.load(scores_ptr + row * scores_row + cols * scores_col, mask=inside, other=0.0)
        s = tl.where(inside & allowed, s, -float("inf"))
        top = tl.maximum(top, tl.max(s, axis=0))
    top = tl.where(top == -float("inf"), 0.0, top)
    total = 0.0
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        inside = cols < n_cols
        allowed = tl.load(mask_ptr + row * mask_row + cols * mask_col, mask=inside, other=0) != 0
        s = tl.load(scores_ptr + row * scores_row + cols * scores_col, mask=inside, other=0.0) * scale
        s = tl.where(inside & allowed, s, -float("inf"))
        total += tl.sum(tl.exp(s - top), axis=0)
    total = tl.where(total == 0.0, 1.0, total)
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        inside = cols < n_cols
        allowed = tl.load(mask_ptr + row * mask_row + cols * mask_col, mask=inside, other=0) != 0
        s = tl.load(scores_ptr + row * scores_row + cols * scores_col, mask=inside, other=0.0) * scale
        s = tl.where(inside & allowed, s, -float("inf"))
        tl.store(out_ptr + row * out_row + cols * out_col, tl.exp(s - top) / total, mask=inside)


def masked_scaled_softmax(scores: Tensor, mask: Tensor, scale: float, block: int = 128) -> Tensor:
    out = torch.empty(scores.shape, dtype=scores.dtype, device=scores.device)
    masked_scaled_softmax_kernel[(scores.shape[0],)](
        scores, mask, out, scale, scores.shape[1], scores.stride(0), scores.stride(1),
        mask.stride(0), mask.stride(1), out.stride(0), out.stride(1), BLOCK=block,
    )  # fmt: skip
    return out

# %% exercise="masked_scaled_softmax" wrong="empty_row_is_nan"
"""A row without allowed columns is -inf - -inf = NaN."""
@triton.jit
def masked_scaled_softmax_kernel(
    scores_ptr, mask_ptr, out_ptr, scale, n_cols,
    scores_row, scores_col, mask_row, mask_col, out_row, out_col, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0)
    lanes = tl.arange(0, BLOCK)
    top = -float("inf")
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        inside = cols < n_cols
        allowed = tl.load(mask_ptr + row * mask_row + cols * mask_col, mask=inside, other=0) != 0
        s = tl.load(scores_ptr + row * scores_row + cols * scores_col, mask=inside, other=0.0) * scale
        s = tl.where(inside & allowed, s, -float("inf"))
        top = tl.maximum(top, tl.max(s, axis=0))
    total = 0.0
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        inside = cols < n_cols
        allowed = tl.load(mask_ptr + row * mask_row + cols * mask_col, mask=inside, other=0) != 0
        s = tl.load(scores_ptr + row * scores_row + cols * scores_col, mask=inside, other=0.0) * scale
        s = tl.where(inside & allowed, s, -float("inf"))
        total += tl.sum(tl.exp(s - top), axis=0)
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        inside = cols < n_cols
        allowed = tl.load(mask_ptr + row * mask_row + cols * mask_col, mask=inside, other=0) != 0
        s = tl.load(scores_ptr + row * scores_row + cols * scores_col, mask=inside, other=0.0) * scale
        s = tl.where(inside & allowed, s, -float("inf"))
        tl.store(out_ptr + row * out_row + cols * out_col, tl.exp(s - top) / total, mask=inside)


def masked_scaled_softmax(scores: Tensor, mask: Tensor, scale: float, block: int = 128) -> Tensor:
    out = torch.empty(scores.shape, dtype=scores.dtype, device=scores.device)
    masked_scaled_softmax_kernel[(scores.shape[0],)](
        scores, mask, out, scale, scores.shape[1], scores.stride(0), scores.stride(1),
        mask.stride(0), mask.stride(1), out.stride(0), out.stride(1), BLOCK=block,
    )  # fmt: skip
    return out

# %% exercise="masked_scaled_softmax" wrong="minus_1e9_for_blocked"
"""Blocked columns get -1e9: a row with no allowed column becomes 1 / C or worse instead of zeros."""
@triton.jit
def masked_scaled_softmax_kernel(
    scores_ptr, mask_ptr, out_ptr, scale, n_cols,
    scores_row, scores_col, mask_row, mask_col, out_row, out_col, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0)
    lanes = tl.arange(0, BLOCK)
    top = -float("inf")
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        inside = cols < n_cols
        allowed = tl.load(mask_ptr + row * mask_row + cols * mask_col, mask=inside, other=0) != 0
        s = tl.load(scores_ptr + row * scores_row + cols * scores_col, mask=inside, other=0.0) * scale
        s = tl.where(allowed, s, -1.0e9)
        s = tl.where(inside, s, -float("inf"))
        top = tl.maximum(top, tl.max(s, axis=0))
    top = tl.where(top == -float("inf"), 0.0, top)
    total = 0.0
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        inside = cols < n_cols
        allowed = tl.load(mask_ptr + row * mask_row + cols * mask_col, mask=inside, other=0) != 0
        s = tl.load(scores_ptr + row * scores_row + cols * scores_col, mask=inside, other=0.0) * scale
        s = tl.where(allowed, s, -1.0e9)
        s = tl.where(inside, s, -float("inf"))
        total += tl.sum(tl.exp(s - top), axis=0)
    total = tl.where(total == 0.0, 1.0, total)
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        inside = cols < n_cols
        allowed = tl.load(mask_ptr + row * mask_row + cols * mask_col, mask=inside, other=0) != 0
        s = tl.load(scores_ptr + row * scores_row + cols * scores_col, mask=inside, other=0.0) * scale
        s = tl.where(allowed, s, -1.0e9)
        s = tl.where(inside, s, -float("inf"))
        tl.store(out_ptr + row * out_row + cols * out_col, tl.exp(s - top) / total, mask=inside)


def masked_scaled_softmax(scores: Tensor, mask: Tensor, scale: float, block: int = 128) -> Tensor:
    out = torch.empty(scores.shape, dtype=scores.dtype, device=scores.device)
    masked_scaled_softmax_kernel[(scores.shape[0],)](
        scores, mask, out, scale, scores.shape[1], scores.stride(0), scores.stride(1),
        mask.stride(0), mask.stride(1), out.stride(0), out.stride(1), BLOCK=block,
    )  # fmt: skip
    return out

# %% exercise="masked_scaled_softmax" wrong="blocked_scores_are_zero"
"""Blocked columns take part with a score of 0 instead of -inf."""
@triton.jit
def masked_scaled_softmax_kernel(
    scores_ptr, mask_ptr, out_ptr, scale, n_cols,
    scores_row, scores_col, mask_row, mask_col, out_row, out_col, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0)
    lanes = tl.arange(0, BLOCK)
    top = -float("inf")
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        inside = cols < n_cols
        allowed = tl.load(mask_ptr + row * mask_row + cols * mask_col, mask=inside, other=0) != 0
        s = tl.load(scores_ptr + row * scores_row + cols * scores_col, mask=inside, other=0.0) * scale
        s = tl.where(allowed, s, 0.0)
        s = tl.where(inside, s, -float("inf"))
        top = tl.maximum(top, tl.max(s, axis=0))
    top = tl.where(top == -float("inf"), 0.0, top)
    total = 0.0
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        inside = cols < n_cols
        allowed = tl.load(mask_ptr + row * mask_row + cols * mask_col, mask=inside, other=0) != 0
        s = tl.load(scores_ptr + row * scores_row + cols * scores_col, mask=inside, other=0.0) * scale
        s = tl.where(allowed, s, 0.0)
        s = tl.where(inside, s, -float("inf"))
        total += tl.sum(tl.exp(s - top), axis=0)
    total = tl.where(total == 0.0, 1.0, total)
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        inside = cols < n_cols
        allowed = tl.load(mask_ptr + row * mask_row + cols * mask_col, mask=inside, other=0) != 0
        s = tl.load(scores_ptr + row * scores_row + cols * scores_col, mask=inside, other=0.0) * scale
        s = tl.where(allowed, s, 0.0)
        s = tl.where(inside, s, -float("inf"))
        tl.store(out_ptr + row * out_row + cols * out_col, tl.exp(s - top) / total, mask=inside)


def masked_scaled_softmax(scores: Tensor, mask: Tensor, scale: float, block: int = 128) -> Tensor:
    out = torch.empty(scores.shape, dtype=scores.dtype, device=scores.device)
    masked_scaled_softmax_kernel[(scores.shape[0],)](
        scores, mask, out, scale, scores.shape[1], scores.stride(0), scores.stride(1),
        mask.stride(0), mask.stride(1), out.stride(0), out.stride(1), BLOCK=block,
    )  # fmt: skip
    return out

# %% exercise="masked_scaled_softmax" wrong="scores_strides_for_the_mask"
"""The mask is read with the strides of the scores: wrong for an expanded or transposed mask."""
@triton.jit
def masked_scaled_softmax_kernel(
    scores_ptr, mask_ptr, out_ptr, scale, n_cols,
    scores_row, scores_col, mask_row, mask_col, out_row, out_col, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0)
    lanes = tl.arange(0, BLOCK)
    top = -float("inf")
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        inside = cols < n_cols
        allowed = tl.load(mask_ptr + row * scores_row + cols * scores_col, mask=inside, other=0) != 0
        s = tl.load(scores_ptr + row * scores_row + cols * scores_col, mask=inside, other=0.0) * scale
        s = tl.where(inside & allowed, s, -float("inf"))
        top = tl.maximum(top, tl.max(s, axis=0))
    top = tl.where(top == -float("inf"), 0.0, top)
    total = 0.0
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        inside = cols < n_cols
        allowed = tl.load(mask_ptr + row * scores_row + cols * scores_col, mask=inside, other=0) != 0
        s = tl.load(scores_ptr + row * scores_row + cols * scores_col, mask=inside, other=0.0) * scale
        s = tl.where(inside & allowed, s, -float("inf"))
        total += tl.sum(tl.exp(s - top), axis=0)
    total = tl.where(total == 0.0, 1.0, total)
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        inside = cols < n_cols
        allowed = tl.load(mask_ptr + row * scores_row + cols * scores_col, mask=inside, other=0) != 0
        s = tl.load(scores_ptr + row * scores_row + cols * scores_col, mask=inside, other=0.0) * scale
        s = tl.where(inside & allowed, s, -float("inf"))
        tl.store(out_ptr + row * out_row + cols * out_col, tl.exp(s - top) / total, mask=inside)


def masked_scaled_softmax(scores: Tensor, mask: Tensor, scale: float, block: int = 128) -> Tensor:
    out = torch.empty(scores.shape, dtype=scores.dtype, device=scores.device)
    masked_scaled_softmax_kernel[(scores.shape[0],)](
        scores, mask, out, scale, scores.shape[1], scores.stride(0), scores.stride(1),
        mask.stride(0), mask.stride(1), out.stride(0), out.stride(1), BLOCK=block,
    )  # fmt: skip
    return out

# %% exercise="masked_scaled_softmax" wrong="divides_by_scale"
"""scale is taken for sqrt(d) and divides."""
@triton.jit
def masked_scaled_softmax_kernel(
    scores_ptr, mask_ptr, out_ptr, scale, n_cols,
    scores_row, scores_col, mask_row, mask_col, out_row, out_col, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0)
    lanes = tl.arange(0, BLOCK)
    top = -float("inf")
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        inside = cols < n_cols
        allowed = tl.load(mask_ptr + row * mask_row + cols * mask_col, mask=inside, other=0) != 0
        s = tl.load(scores_ptr + row * scores_row + cols * scores_col, mask=inside, other=0.0) / scale
        s = tl.where(inside & allowed, s, -float("inf"))
        top = tl.maximum(top, tl.max(s, axis=0))
    top = tl.where(top == -float("inf"), 0.0, top)
    total = 0.0
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        inside = cols < n_cols
        allowed = tl.load(mask_ptr + row * mask_row + cols * mask_col, mask=inside, other=0) != 0
        s = tl.load(scores_ptr + row * scores_row + cols * scores_col, mask=inside, other=0.0) / scale
        s = tl.where(inside & allowed, s, -float("inf"))
        total += tl.sum(tl.exp(s - top), axis=0)
    total = tl.where(total == 0.0, 1.0, total)
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        inside = cols < n_cols
        allowed = tl.load(mask_ptr + row * mask_row + cols * mask_col, mask=inside, other=0) != 0
        s = tl.load(scores_ptr + row * scores_row + cols * scores_col, mask=inside, other=0.0) / scale
        s = tl.where(inside & allowed, s, -float("inf"))
        tl.store(out_ptr + row * out_row + cols * out_col, tl.exp(s - top) / total, mask=inside)


def masked_scaled_softmax(scores: Tensor, mask: Tensor, scale: float, block: int = 128) -> Tensor:
    out = torch.empty(scores.shape, dtype=scores.dtype, device=scores.device)
    masked_scaled_softmax_kernel[(scores.shape[0],)](
        scores, mask, out, scale, scores.shape[1], scores.stride(0), scores.stride(1),
        mask.stride(0), mask.stride(1), out.stride(0), out.stride(1), BLOCK=block,
    )  # fmt: skip
    return out

# %% exercise="masked_scaled_softmax" wrong="scale_after_the_softmax"
"""The scale multiplies the weights instead of the scores."""
@triton.jit
def masked_scaled_softmax_kernel(
    scores_ptr, mask_ptr, out_ptr, scale, n_cols,
    scores_row, scores_col, mask_row, mask_col, out_row, out_col, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0)
    lanes = tl.arange(0, BLOCK)
    top = -float("inf")
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        inside = cols < n_cols
        allowed = tl.load(mask_ptr + row * mask_row + cols * mask_col, mask=inside, other=0) != 0
        s = tl.load(scores_ptr + row * scores_row + cols * scores_col, mask=inside, other=0.0)
        s = tl.where(inside & allowed, s, -float("inf"))
        top = tl.maximum(top, tl.max(s, axis=0))
    top = tl.where(top == -float("inf"), 0.0, top)
    total = 0.0
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        inside = cols < n_cols
        allowed = tl.load(mask_ptr + row * mask_row + cols * mask_col, mask=inside, other=0) != 0
        s = tl.load(scores_ptr + row * scores_row + cols * scores_col, mask=inside, other=0.0)
        s = tl.where(inside & allowed, s, -float("inf"))
        total += tl.sum(tl.exp(s - top), axis=0)
    total = tl.where(total == 0.0, 1.0, total)
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        inside = cols < n_cols
        allowed = tl.load(mask_ptr + row * mask_row + cols * mask_col, mask=inside, other=0) != 0
        s = tl.load(scores_ptr + row * scores_row + cols * scores_col, mask=inside, other=0.0)
        s = tl.where(inside & allowed, s, -float("inf"))
        tl.store(out_ptr + row * out_row + cols * out_col, tl.exp(s - top) / total * scale, mask=inside)


def masked_scaled_softmax(scores: Tensor, mask: Tensor, scale: float, block: int = 128) -> Tensor:
    out = torch.empty(scores.shape, dtype=scores.dtype, device=scores.device)
    masked_scaled_softmax_kernel[(scores.shape[0],)](
        scores, mask, out, scale, scores.shape[1], scores.stride(0), scores.stride(1),
        mask.stride(0), mask.stride(1), out.stride(0), out.stride(1), BLOCK=block,
    )  # fmt: skip
    return out

# %% exercise="masked_scaled_softmax" wrong="true_blocks"
"""True counts as blocked."""
@triton.jit
def masked_scaled_softmax_kernel(
    scores_ptr, mask_ptr, out_ptr, scale, n_cols,
    scores_row, scores_col, mask_row, mask_col, out_row, out_col, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0)
    lanes = tl.arange(0, BLOCK)
    top = -float("inf")
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        inside = cols < n_cols
        allowed = tl.load(mask_ptr + row * mask_row + cols * mask_col, mask=inside, other=1) == 0
        s = tl.load(scores_ptr + row * scores_row + cols * scores_col, mask=inside, other=0.0) * scale
        s = tl.where(inside & allowed, s, -float("inf"))
        top = tl.maximum(top, tl.max(s, axis=0))
    top = tl.where(top == -float("inf"), 0.0, top)
    total = 0.0
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        inside = cols < n_cols
        allowed = tl.load(mask_ptr + row * mask_row + cols * mask_col, mask=inside, other=1) == 0
        s = tl.load(scores_ptr + row * scores_row + cols * scores_col, mask=inside, other=0.0) * scale
        s = tl.where(inside & allowed, s, -float("inf"))
        total += tl.sum(tl.exp(s - top), axis=0)
    total = tl.where(total == 0.0, 1.0, total)
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        inside = cols < n_cols
        allowed = tl.load(mask_ptr + row * mask_row + cols * mask_col, mask=inside, other=1) == 0
        s = tl.load(scores_ptr + row * scores_row + cols * scores_col, mask=inside, other=0.0) * scale
        s = tl.where(inside & allowed, s, -float("inf"))
        tl.store(out_ptr + row * out_row + cols * out_col, tl.exp(s - top) / total, mask=inside)


def masked_scaled_softmax(scores: Tensor, mask: Tensor, scale: float, block: int = 128) -> Tensor:
    out = torch.empty(scores.shape, dtype=scores.dtype, device=scores.device)
    masked_scaled_softmax_kernel[(scores.shape[0],)](
        scores, mask, out, scale, scores.shape[1], scores.stride(0), scores.stride(1),
        mask.stride(0), mask.stride(1), out.stride(0), out.stride(1), BLOCK=block,
    )  # fmt: skip
    return out

# %% exercise="masked_scaled_softmax" wrong="mask_copied_first"
"""mask.contiguous() is a copy by torch for an expanded mask: a second launch."""
@triton.jit
def masked_scaled_softmax_kernel(
    scores_ptr, mask_ptr, out_ptr, scale, n_cols,
    scores_row, scores_col, mask_row, mask_col, out_row, out_col, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0)
    lanes = tl.arange(0, BLOCK)
    top = -float("inf")
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        inside = cols < n_cols
        allowed = tl.load(mask_ptr + row * mask_row + cols * mask_col, mask=inside, other=0) != 0
        s = tl.load(scores_ptr + row * scores_row + cols * scores_col, mask=inside, other=0.0) * scale
        s = tl.where(inside & allowed, s, -float("inf"))
        top = tl.maximum(top, tl.max(s, axis=0))
    top = tl.where(top == -float("inf"), 0.0, top)
    total = 0.0
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        inside = cols < n_cols
        allowed = tl.load(mask_ptr + row * mask_row + cols * mask_col, mask=inside, other=0) != 0
        s = tl.load(scores_ptr + row * scores_row + cols * scores_col, mask=inside, other=0.0) * scale
        s = tl.where(inside & allowed, s, -float("inf"))
        total += tl.sum(tl.exp(s - top), axis=0)
    total = tl.where(total == 0.0, 1.0, total)
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        inside = cols < n_cols
        allowed = tl.load(mask_ptr + row * mask_row + cols * mask_col, mask=inside, other=0) != 0
        s = tl.load(scores_ptr + row * scores_row + cols * scores_col, mask=inside, other=0.0) * scale
        s = tl.where(inside & allowed, s, -float("inf"))
        tl.store(out_ptr + row * out_row + cols * out_col, tl.exp(s - top) / total, mask=inside)


def masked_scaled_softmax(scores: Tensor, mask: Tensor, scale: float, block: int = 128) -> Tensor:
    mask = mask.contiguous()
    out = torch.empty(scores.shape, dtype=scores.dtype, device=scores.device)
    masked_scaled_softmax_kernel[(scores.shape[0],)](
        scores, mask, out, scale, scores.shape[1], scores.stride(0), scores.stride(1),
        mask.stride(0), mask.stride(1), out.stride(0), out.stride(1), BLOCK=block,
    )  # fmt: skip
    return out

# %% exercise="masked_scaled_softmax" wrong="a_fourth_walk"
"""A walk of its own asks whether any column is allowed: the mask is read four times."""
@triton.jit
def masked_scaled_softmax_kernel(
    scores_ptr, mask_ptr, out_ptr, scale, n_cols,
    scores_row, scores_col, mask_row, mask_col, out_row, out_col, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0)
    lanes = tl.arange(0, BLOCK)
    any_allowed = 0
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        inside = cols < n_cols
        allowed = tl.load(mask_ptr + row * mask_row + cols * mask_col, mask=inside, other=0) != 0
        any_allowed = tl.maximum(any_allowed, tl.max(allowed.to(tl.int32), axis=0))
    top = -float("inf")
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        inside = cols < n_cols
        allowed = tl.load(mask_ptr + row * mask_row + cols * mask_col, mask=inside, other=0) != 0
        s = tl.load(scores_ptr + row * scores_row + cols * scores_col, mask=inside, other=0.0) * scale
        s = tl.where(inside & allowed, s, -float("inf"))
        top = tl.maximum(top, tl.max(s, axis=0))
    top = tl.where(any_allowed == 0, 0.0, top)
    total = 0.0
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        inside = cols < n_cols
        allowed = tl.load(mask_ptr + row * mask_row + cols * mask_col, mask=inside, other=0) != 0
        s = tl.load(scores_ptr + row * scores_row + cols * scores_col, mask=inside, other=0.0) * scale
        s = tl.where(inside & allowed, s, -float("inf"))
        total += tl.sum(tl.exp(s - top), axis=0)
    total = tl.where(total == 0.0, 1.0, total)
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        inside = cols < n_cols
        allowed = tl.load(mask_ptr + row * mask_row + cols * mask_col, mask=inside, other=0) != 0
        s = tl.load(scores_ptr + row * scores_row + cols * scores_col, mask=inside, other=0.0) * scale
        s = tl.where(inside & allowed, s, -float("inf"))
        tl.store(out_ptr + row * out_row + cols * out_col, tl.exp(s - top) / total, mask=inside)


def masked_scaled_softmax(scores: Tensor, mask: Tensor, scale: float, block: int = 128) -> Tensor:
    out = torch.empty(scores.shape, dtype=scores.dtype, device=scores.device)
    masked_scaled_softmax_kernel[(scores.shape[0],)](
        scores, mask, out, scale, scores.shape[1], scores.stride(0), scores.stride(1),
        mask.stride(0), mask.stride(1), out.stride(0), out.stride(1), BLOCK=block,
    )  # fmt: skip
    return out

# %% exercise="permutation_finding" wrong="causal_by_place"
"""causal_word compares position by position instead of word by word."""
def permutation_finding(runs: list[int]) -> dict[str, float]:
    import statistics
    mask = causal_mask(4, 4)
    found = {"same_place": [], "same_word": [], "causal_word": []}
    for run in runs:
        x = word_vectors(run)
        y = x[ORDER]
        a, b = scaled_dot_product_attention(x, x, x)[0], scaled_dot_product_attention(y, y, y)[0]
        c, d = scaled_dot_product_attention(x, x, x, mask)[0], scaled_dot_product_attention(y, y, y, mask)[0]
        found["same_place"].append((b - a).abs().max().item())
        found["same_word"].append((b - a[ORDER]).abs().max().item())
        found["causal_word"].append((d - c).abs().max().item())
    return {name: round(statistics.median(values), 4) for name, values in found.items()}

# %% exercise="permutation_finding" wrong="order_applied_the_wrong_way"
"""same_word and causal_word put the second sentence's outputs through ORDER again instead of the first's: ORDER is not its own inverse."""
def permutation_finding(runs: list[int]) -> dict[str, float]:
    import statistics
    mask = causal_mask(4, 4)
    found = {"same_place": [], "same_word": [], "causal_word": []}
    for run in runs:
        x = word_vectors(run)
        y = x[ORDER]
        a, b = scaled_dot_product_attention(x, x, x)[0], scaled_dot_product_attention(y, y, y)[0]
        c, d = scaled_dot_product_attention(x, x, x, mask)[0], scaled_dot_product_attention(y, y, y, mask)[0]
        found["same_place"].append((b - a).abs().max().item())
        found["same_word"].append((b[ORDER] - a).abs().max().item())
        found["causal_word"].append((d[ORDER] - c).abs().max().item())
    return {name: round(statistics.median(values), 4) for name, values in found.items()}

# %% exercise="permutation_finding" wrong="mask_moves_with_the_words"
"""The causal mask is permuted together with the words: causal_word becomes 0."""
def permutation_finding(runs: list[int]) -> dict[str, float]:
    import statistics
    mask = causal_mask(4, 4)
    found = {"same_place": [], "same_word": [], "causal_word": []}
    for run in runs:
        x = word_vectors(run)
        y = x[ORDER]
        a, b = scaled_dot_product_attention(x, x, x)[0], scaled_dot_product_attention(y, y, y)[0]
        c = scaled_dot_product_attention(x, x, x, mask)[0]
        d = scaled_dot_product_attention(y, y, y, mask[ORDER][:, ORDER])[0]
        found["same_place"].append((b - a).abs().max().item())
        found["same_word"].append((b - a[ORDER]).abs().max().item())
        found["causal_word"].append((d - c[ORDER]).abs().max().item())
    return {name: round(statistics.median(values), 4) for name, values in found.items()}

# %% exercise="permutation_finding" wrong="mean_difference"
"""The mean |difference| over the elements instead of the largest."""
def permutation_finding(runs: list[int]) -> dict[str, float]:
    import statistics
    mask = causal_mask(4, 4)
    found = {"same_place": [], "same_word": [], "causal_word": []}
    for run in runs:
        x = word_vectors(run)
        y = x[ORDER]
        a, b = scaled_dot_product_attention(x, x, x)[0], scaled_dot_product_attention(y, y, y)[0]
        c, d = scaled_dot_product_attention(x, x, x, mask)[0], scaled_dot_product_attention(y, y, y, mask)[0]
        found["same_place"].append((b - a).abs().mean().item())
        found["same_word"].append((b - a[ORDER]).abs().mean().item())
        found["causal_word"].append((d - c[ORDER]).abs().mean().item())
    return {name: round(statistics.median(values), 4) for name, values in found.items()}

# %% exercise="permutation_finding" wrong="mean_over_runs"
"""The mean over the runs instead of the median: wrong for three or more runs."""
def permutation_finding(runs: list[int]) -> dict[str, float]:
    mask = causal_mask(4, 4)
    found = {"same_place": [], "same_word": [], "causal_word": []}
    for run in runs:
        x = word_vectors(run)
        y = x[ORDER]
        a, b = scaled_dot_product_attention(x, x, x)[0], scaled_dot_product_attention(y, y, y)[0]
        c, d = scaled_dot_product_attention(x, x, x, mask)[0], scaled_dot_product_attention(y, y, y, mask)[0]
        found["same_place"].append((b - a).abs().max().item())
        found["same_word"].append((b - a[ORDER]).abs().max().item())
        found["causal_word"].append((d - c[ORDER]).abs().max().item())
    return {name: round(sum(values) / len(values), 4) for name, values in found.items()}

# %% exercise="permutation_finding" wrong="signed_difference"
"""max without abs: the largest difference is missed when it is negative."""
def permutation_finding(runs: list[int]) -> dict[str, float]:
    import statistics
    mask = causal_mask(4, 4)
    found = {"same_place": [], "same_word": [], "causal_word": []}
    for run in runs:
        x = word_vectors(run)
        y = x[ORDER]
        a, b = scaled_dot_product_attention(x, x, x)[0], scaled_dot_product_attention(y, y, y)[0]
        c, d = scaled_dot_product_attention(x, x, x, mask)[0], scaled_dot_product_attention(y, y, y, mask)[0]
        found["same_place"].append((b - a).max().item())
        found["same_word"].append((b - a[ORDER]).max().item())
        found["causal_word"].append((d - c[ORDER]).max().item())
    return {name: round(statistics.median(values), 4) for name, values in found.items()}

# %% exercise="permutation_finding" wrong="weights_instead_of_outputs"
"""Takes the weights (index 1) for A(x): compares (T, T) weights instead of outputs."""
def permutation_finding(runs: list[int]) -> dict[str, float]:
    import statistics
    mask = causal_mask(4, 4)
    found = {"same_place": [], "same_word": [], "causal_word": []}
    for run in runs:
        x = word_vectors(run)
        y = x[ORDER]
        _, a = scaled_dot_product_attention(x, x, x)
        _, b = scaled_dot_product_attention(y, y, y)
        _, c = scaled_dot_product_attention(x, x, x, mask)
        _, d = scaled_dot_product_attention(y, y, y, mask)
        found["same_place"].append((b - a).abs().max().item())
        found["same_word"].append((b - a[ORDER]).abs().max().item())
        found["causal_word"].append((d - c[ORDER]).abs().max().item())
    return {name: round(statistics.median(values), 4) for name, values in found.items()}

# %% exercise="saturation_finding" wrong="entropy_in_nats"
"""The entropies are not divided by ln(64)."""
DIMS = [16, 64, 256, 1024]
saturation_finding = {name: [] for name in ("raw_entropy", "scaled_entropy", "raw_gradient", "scaled_gradient")}
for d in DIMS:
    rows = {name: [] for name in saturation_finding}
    for run in range(10):
        gen = torch.Generator().manual_seed(run)
        queries = torch.randn(64, d, generator=gen)
        keys = torch.randn(64, d, generator=gen)
        scores = queries @ keys.T
        for name, s in (("raw", scores), ("scaled", scores / math.sqrt(d))):
            w = stable_softmax(s)
            rows[f"{name}_entropy"].append((attention_entropy(w)).mean().item())
            rows[f"{name}_gradient"].append((1 - (w * w).sum(-1)).mean().item())
    for name in saturation_finding:
        saturation_finding[name].append(rows[name])

# %% exercise="saturation_finding" wrong="divided_by_width"
"""The scaled scores are divided by d instead of its root: the scaled curves rise with the width."""
DIMS = [16, 64, 256, 1024]
saturation_finding = {name: [] for name in ("raw_entropy", "scaled_entropy", "raw_gradient", "scaled_gradient")}
for d in DIMS:
    rows = {name: [] for name in saturation_finding}
    for run in range(10):
        gen = torch.Generator().manual_seed(run)
        queries = torch.randn(64, d, generator=gen)
        keys = torch.randn(64, d, generator=gen)
        scores = queries @ keys.T
        for name, s in (("raw", scores), ("scaled", scores / d)):
            w = stable_softmax(s)
            rows[f"{name}_entropy"].append((attention_entropy(w) / math.log(64)).mean().item())
            rows[f"{name}_gradient"].append((1 - (w * w).sum(-1)).mean().item())
    for name in saturation_finding:
        saturation_finding[name].append(rows[name])

# %% exercise="saturation_finding" wrong="sum_of_squares"
"""The gradient tables hold sum w^2 instead of 1 - sum w^2."""
DIMS = [16, 64, 256, 1024]
saturation_finding = {name: [] for name in ("raw_entropy", "scaled_entropy", "raw_gradient", "scaled_gradient")}
for d in DIMS:
    rows = {name: [] for name in saturation_finding}
    for run in range(10):
        gen = torch.Generator().manual_seed(run)
        queries = torch.randn(64, d, generator=gen)
        keys = torch.randn(64, d, generator=gen)
        scores = queries @ keys.T
        for name, s in (("raw", scores), ("scaled", scores / math.sqrt(d))):
            w = stable_softmax(s)
            rows[f"{name}_entropy"].append((attention_entropy(w) / math.log(64)).mean().item())
            rows[f"{name}_gradient"].append(((w * w).sum(-1)).mean().item())
    for name in saturation_finding:
        saturation_finding[name].append(rows[name])

# %% exercise="saturation_finding" wrong="keys_with_the_queries_seed"
"""The generator is seeded again for the keys: the keys are the queries, every query finds itself."""
DIMS = [16, 64, 256, 1024]
saturation_finding = {name: [] for name in ("raw_entropy", "scaled_entropy", "raw_gradient", "scaled_gradient")}
for d in DIMS:
    rows = {name: [] for name in saturation_finding}
    for run in range(10):
        gen = torch.Generator().manual_seed(run)
        queries = torch.randn(64, d, generator=gen)
        gen = torch.Generator().manual_seed(run)
        keys = torch.randn(64, d, generator=gen)
        scores = queries @ keys.T
        for name, s in (("raw", scores), ("scaled", scores / math.sqrt(d))):
            w = stable_softmax(s)
            rows[f"{name}_entropy"].append((attention_entropy(w) / math.log(64)).mean().item())
            rows[f"{name}_gradient"].append((1 - (w * w).sum(-1)).mean().item())
    for name in saturation_finding:
        saturation_finding[name].append(rows[name])

# %% exercise="saturation_finding" wrong="uniform_numbers"
"""torch.rand instead of torch.randn: uniform in [0, 1), not normal."""
DIMS = [16, 64, 256, 1024]
saturation_finding = {name: [] for name in ("raw_entropy", "scaled_entropy", "raw_gradient", "scaled_gradient")}
for d in DIMS:
    rows = {name: [] for name in saturation_finding}
    for run in range(10):
        gen = torch.Generator().manual_seed(run)
        queries = torch.rand(64, d, generator=gen)
        keys = torch.rand(64, d, generator=gen)
        scores = queries @ keys.T
        for name, s in (("raw", scores), ("scaled", scores / math.sqrt(d))):
            w = stable_softmax(s)
            rows[f"{name}_entropy"].append((attention_entropy(w) / math.log(64)).mean().item())
            rows[f"{name}_gradient"].append((1 - (w * w).sum(-1)).mean().item())
    for name in saturation_finding:
        saturation_finding[name].append(rows[name])

# %% exercise="saturation_finding" wrong="one_seed_ten_times"
"""Every run is seeded with 0: ten equal numbers in every row."""
DIMS = [16, 64, 256, 1024]
saturation_finding = {name: [] for name in ("raw_entropy", "scaled_entropy", "raw_gradient", "scaled_gradient")}
for d in DIMS:
    rows = {name: [] for name in saturation_finding}
    for run in range(10):
        gen = torch.Generator().manual_seed(0)
        queries = torch.randn(64, d, generator=gen)
        keys = torch.randn(64, d, generator=gen)
        scores = queries @ keys.T
        for name, s in (("raw", scores), ("scaled", scores / math.sqrt(d))):
            w = stable_softmax(s)
            rows[f"{name}_entropy"].append((attention_entropy(w) / math.log(64)).mean().item())
            rows[f"{name}_gradient"].append((1 - (w * w).sum(-1)).mean().item())
    for name in saturation_finding:
        saturation_finding[name].append(rows[name])

# %% exercise="saturation_finding" wrong="seeds_by_widths"
"""The tables have ten rows of four: one row for each seed."""
DIMS = [16, 64, 256, 1024]
saturation_finding = {name: [] for name in ("raw_entropy", "scaled_entropy", "raw_gradient", "scaled_gradient")}
for d in DIMS:
    rows = {name: [] for name in saturation_finding}
    for run in range(10):
        gen = torch.Generator().manual_seed(run)
        queries = torch.randn(64, d, generator=gen)
        keys = torch.randn(64, d, generator=gen)
        scores = queries @ keys.T
        for name, s in (("raw", scores), ("scaled", scores / math.sqrt(d))):
            w = stable_softmax(s)
            rows[f"{name}_entropy"].append((attention_entropy(w) / math.log(64)).mean().item())
            rows[f"{name}_gradient"].append((1 - (w * w).sum(-1)).mean().item())
    for name in saturation_finding:
        saturation_finding[name].append(rows[name])
saturation_finding = {name: [list(row) for row in zip(*table)] for name, table in saturation_finding.items()}

# %% exercise="saturation_finding" wrong="raw_and_scaled_swapped"
"""The names raw and scaled are exchanged."""
DIMS = [16, 64, 256, 1024]
saturation_finding = {name: [] for name in ("raw_entropy", "scaled_entropy", "raw_gradient", "scaled_gradient")}
for d in DIMS:
    rows = {name: [] for name in saturation_finding}
    for run in range(10):
        gen = torch.Generator().manual_seed(run)
        queries = torch.randn(64, d, generator=gen)
        keys = torch.randn(64, d, generator=gen)
        scores = queries @ keys.T
        for name, s in (("scaled", scores), ("raw", scores / math.sqrt(d))):
            w = stable_softmax(s)
            rows[f"{name}_entropy"].append((attention_entropy(w) / math.log(64)).mean().item())
            rows[f"{name}_gradient"].append((1 - (w * w).sum(-1)).mean().item())
    for name in saturation_finding:
        saturation_finding[name].append(rows[name])

# %% exercise="saturation_finding" wrong="last_query_only"
"""The last query's value instead of the mean over the 64 queries."""
DIMS = [16, 64, 256, 1024]
saturation_finding = {name: [] for name in ("raw_entropy", "scaled_entropy", "raw_gradient", "scaled_gradient")}
for d in DIMS:
    rows = {name: [] for name in saturation_finding}
    for run in range(10):
        gen = torch.Generator().manual_seed(run)
        queries = torch.randn(64, d, generator=gen)
        keys = torch.randn(64, d, generator=gen)
        scores = queries @ keys.T
        for name, s in (("raw", scores), ("scaled", scores / math.sqrt(d))):
            w = stable_softmax(s)
            rows[f"{name}_entropy"].append((attention_entropy(w) / math.log(64))[-1].item())
            rows[f"{name}_gradient"].append((1 - (w * w).sum(-1))[-1].item())
    for name in saturation_finding:
        saturation_finding[name].append(rows[name])

# %% exercise="repaired_cross_attention" wrong="fully_swapped"
"""The encoder asks and the decoder is read: one row for each encoder position."""
def repaired_cross_attention(
    decoder_states: Tensor, encoder_states: Tensor, w_q: Tensor, w_k: Tensor, w_v: Tensor
) -> Tensor:
    queries, keys, values = encoder_states @ w_q, decoder_states @ w_k, decoder_states @ w_v
    logits = queries @ keys.mT * w_k.shape[-1] ** -0.5
    return torch.softmax(logits, dim=-1) @ values

# %% exercise="repaired_cross_attention" wrong="values_still_from_the_decoder"
"""Only the queries are repaired; the values come from the decoder: runs for S = T and is wrong."""
def repaired_cross_attention(
    decoder_states: Tensor, encoder_states: Tensor, w_q: Tensor, w_k: Tensor, w_v: Tensor
) -> Tensor:
    queries, keys, values = decoder_states @ w_q, encoder_states @ w_k, decoder_states @ w_v
    logits = queries @ keys.mT * w_k.shape[-1] ** -0.5
    return torch.softmax(logits, dim=-1) @ values

# %% exercise="repaired_cross_attention" wrong="weights_transposed"
"""Applies the maps as nn.Linear does, states @ w.T."""
def repaired_cross_attention(
    decoder_states: Tensor, encoder_states: Tensor, w_q: Tensor, w_k: Tensor, w_v: Tensor
) -> Tensor:
    queries = nn.functional.linear(decoder_states, w_q)
    keys = nn.functional.linear(encoder_states, w_k)
    values = nn.functional.linear(encoder_states, w_v)
    logits = queries @ keys.mT * w_k.shape[-1] ** -0.5
    return torch.softmax(logits, dim=-1) @ values

# %% exercise="repaired_cross_attention" wrong="no_maximum_subtracted"
"""exp without subtracting the maximum: scores in the hundreds overflow to inf / inf."""
def repaired_cross_attention(
    decoder_states: Tensor, encoder_states: Tensor, w_q: Tensor, w_k: Tensor, w_v: Tensor
) -> Tensor:
    queries, keys, values = decoder_states @ w_q, encoder_states @ w_k, encoder_states @ w_v
    unnormalised = torch.exp(queries @ keys.mT * w_k.shape[-1] ** -0.5)
    return unnormalised / unnormalised.sum(-1, keepdim=True) @ values

# %% exercise="repaired_cross_attention" wrong="scale_from_the_length"
"""Divides by sqrt(S), the number of keys, instead of sqrt(D)."""
def repaired_cross_attention(
    decoder_states: Tensor, encoder_states: Tensor, w_q: Tensor, w_k: Tensor, w_v: Tensor
) -> Tensor:
    queries, keys, values = decoder_states @ w_q, encoder_states @ w_k, encoder_states @ w_v
    logits = queries @ keys.mT / math.sqrt(keys.shape[-2])
    return torch.softmax(logits, dim=-1) @ values

# %% exercise="repaired_cross_attention" wrong="softmax_over_decoder_positions"
"""Normalises along the queries (dim=1): the weights of one decoder position do not sum to 1."""
def repaired_cross_attention(
    decoder_states: Tensor, encoder_states: Tensor, w_q: Tensor, w_k: Tensor, w_v: Tensor
) -> Tensor:
    queries, keys, values = decoder_states @ w_q, encoder_states @ w_k, encoder_states @ w_v
    logits = queries @ keys.mT * w_k.shape[-1] ** -0.5
    return torch.softmax(logits, dim=1) @ values

# %% exercise="repaired_cross_attention" wrong="maximum_of_the_whole_batch"
"""One maximum for all scores: a row hundreds below it becomes 0 / 0."""
def repaired_cross_attention(
    decoder_states: Tensor, encoder_states: Tensor, w_q: Tensor, w_k: Tensor, w_v: Tensor
) -> Tensor:
    queries, keys, values = decoder_states @ w_q, encoder_states @ w_k, encoder_states @ w_v
    logits = queries @ keys.mT * w_k.shape[-1] ** -0.5
    unnormalised = torch.exp(logits - logits.max())
    return unnormalised / unnormalised.sum(-1, keepdim=True) @ values

# %% exercise="repaired_masking" wrong="integers_are_guessed"
"""An integer mask is read as boolean instead of raising TypeError."""
def repaired_masking(logits: Tensor, mask: Tensor) -> Tensor:
    if mask.is_floating_point():
        logits = logits + mask
    else:
        logits = logits.masked_fill(~mask.bool(), float("-inf"))
    dead = (logits == float("-inf")).all(-1, keepdim=True)
    return torch.softmax(logits.masked_fill(dead, 0.0), dim=-1).masked_fill(dead, 0.0)

# %% exercise="repaired_masking" wrong="only_the_logits_dtype"
"""Accepts a float mask only in the dtype of the logits: a float16 mask raises TypeError."""
def repaired_masking(logits: Tensor, mask: Tensor) -> Tensor:
    if mask.dtype == torch.bool:
        logits = logits.masked_fill(~mask, float("-inf"))
    elif mask.dtype == logits.dtype:
        logits = logits + mask
    else:
        raise TypeError(f"mask of {mask.dtype}")
    dead = (logits == float("-inf")).all(-1, keepdim=True)
    return torch.softmax(logits.masked_fill(dead, 0.0), dim=-1).masked_fill(dead, 0.0)

# %% exercise="repaired_masking" wrong="finite_bias_lost"
"""A float mask only hides where it is -inf; a finite bias has no effect."""
def repaired_masking(logits: Tensor, mask: Tensor) -> Tensor:
    if mask.dtype == torch.bool:
        allowed = mask
    elif mask.is_floating_point():
        allowed = mask != float("-inf")
    else:
        raise TypeError(f"mask of {mask.dtype}")
    logits = logits.masked_fill(~allowed, float("-inf"))
    dead = (logits == float("-inf")).all(-1, keepdim=True)
    return torch.softmax(logits.masked_fill(dead, 0.0), dim=-1).masked_fill(dead, 0.0)

# %% exercise="repaired_masking" wrong="true_hides"
"""A boolean True hides the key."""
def repaired_masking(logits: Tensor, mask: Tensor) -> Tensor:
    if mask.dtype == torch.bool:
        logits = logits.masked_fill(mask, float("-inf"))
    elif mask.is_floating_point():
        logits = logits + mask
    else:
        raise TypeError(f"mask of {mask.dtype}")
    dead = (logits == float("-inf")).all(-1, keepdim=True)
    return torch.softmax(logits.masked_fill(dead, 0.0), dim=-1).masked_fill(dead, 0.0)

# %% exercise="repaired_masking" wrong="empty_row_is_nan"
"""A row that may look at nothing becomes NaN."""
def repaired_masking(logits: Tensor, mask: Tensor) -> Tensor:
    if mask.dtype == torch.bool:
        logits = logits.masked_fill(~mask, float("-inf"))
    elif mask.is_floating_point():
        logits = logits + mask
    else:
        raise TypeError(f"mask of {mask.dtype}")
    return torch.softmax(logits, dim=-1)

# %% exercise="repaired_masking" wrong="value_error"
"""An integer mask raises ValueError, not TypeError."""
def repaired_masking(logits: Tensor, mask: Tensor) -> Tensor:
    if mask.dtype == torch.bool:
        logits = logits.masked_fill(~mask, float("-inf"))
    elif mask.is_floating_point():
        logits = logits + mask
    else:
        raise ValueError(f"mask of {mask.dtype}")
    dead = (logits == float("-inf")).all(-1, keepdim=True)
    return torch.softmax(logits.masked_fill(dead, 0.0), dim=-1).masked_fill(dead, 0.0)

# %% exercise="repaired_masking" wrong="writes_into_the_mask"
"""Empty rows of a float mask are set to 0 in place: the caller's mask changes."""
def repaired_masking(logits: Tensor, mask: Tensor) -> Tensor:
    if mask.dtype == torch.bool:
        bias = torch.zeros(mask.shape).masked_fill(~mask, float("-inf"))
    elif mask.is_floating_point():
        bias = mask
    else:
        raise TypeError(f"mask of {mask.dtype}")
    dead = (bias == float("-inf")).all(-1, keepdim=True)
    bias.masked_fill_(dead, 0.0)
    return torch.softmax(logits + bias, dim=-1).masked_fill(dead, 0.0)

# %% exercise="repaired_masking" wrong="float_mask_multiplies"
"""A float mask is taken for ones and zeros when it has no -inf: a bias of 0 everywhere hides all keys."""
def repaired_masking(logits: Tensor, mask: Tensor) -> Tensor:
    if mask.dtype == torch.bool:
        logits = logits.masked_fill(~mask, float("-inf"))
    elif mask.is_floating_point():
        if torch.isinf(mask).any():
            logits = logits + mask
        else:
            logits = logits.masked_fill(mask == 0, float("-inf"))
    else:
        raise TypeError(f"mask of {mask.dtype}")
    dead = (logits == float("-inf")).all(-1, keepdim=True)
    return torch.softmax(logits.masked_fill(dead, 0.0), dim=-1).masked_fill(dead, 0.0)

# %% exercise="stable_softmax" wrong="subtracts_in_place"
"""Subtracts the maximum in place, so the caller's x is changed."""
def stable_softmax(x: Tensor, dim: int = -1) -> Tensor:
    with torch.no_grad():
        top = x.amax(dim=dim, keepdim=True)
        x -= top
    e = torch.exp(x)
    return e / e.sum(dim=dim, keepdim=True)

# %% exercise="stable_softmax" wrong="returns_float32"
"""Returns float32 for float16 (and bfloat16) input instead of the dtype of x."""
def stable_softmax(x: Tensor, dim: int = -1) -> Tensor:
    wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
    e = torch.exp(wide - wide.amax(dim=dim, keepdim=True))
    return e / e.sum(dim=dim, keepdim=True)

# %% exercise="stable_softmax" wrong="float64_through_float32"
"""Computes in float32 and converts back: float64 rows such as [1e9, 1e9 + 1] come out even."""
def stable_softmax(x: Tensor, dim: int = -1) -> Tensor:
    narrow = x.to(torch.float32)
    e = torch.exp(narrow - narrow.amax(dim=dim, keepdim=True))
    return (e / e.sum(dim=dim, keepdim=True)).to(x.dtype)

# %% exercise="stable_softmax" wrong="clamps_shifted"
"""Clamps the shifted scores at -30, so entries of -inf keep a weight of 1e-13 and not 0."""
def stable_softmax(x: Tensor, dim: int = -1) -> Tensor:
    e = torch.exp((x - x.amax(dim=dim, keepdim=True)).clamp(min=-30.0))
    return e / e.sum(dim=dim, keepdim=True)

# %% exercise="stable_softmax" wrong="subtracts_mean"
"""Subtracts the mean of the row: [0, 0, 0, 400] overflows, and one -inf makes the row NaN."""
def stable_softmax(x: Tensor, dim: int = -1) -> Tensor:
    e = torch.exp(x - x.mean(dim=dim, keepdim=True))
    return e / e.sum(dim=dim, keepdim=True)

# %% exercise="scaled_dot_product_attention" wrong="nan_removed_afterwards"
"""Replaces the NaN of a blocked row after the softmax: values are right, the gradients of q and k are NaN."""
def scaled_dot_product_attention(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf")) if mask.dtype == torch.bool else scores + mask
    weights = torch.softmax(scores, dim=-1)
    weights = torch.where(torch.isnan(weights), torch.zeros_like(weights), weights)
    return weights @ v, weights

# %% exercise="scaled_dot_product_attention" wrong="blocked_rows_only_for_bool"
"""Only a boolean mask is searched for blocked rows: a float row of -inf gives NaN."""
def scaled_dot_product_attention(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    if mask is None:
        weights = torch.softmax(scores, dim=-1)
    elif mask.dtype == torch.bool:
        scores = scores.masked_fill(~mask, float("-inf"))
        dead = torch.isneginf(scores).all(dim=-1, keepdim=True)
        weights = torch.softmax(scores.masked_fill(dead, 0.0), dim=-1).masked_fill(dead, 0.0)
    else:
        weights = torch.softmax(scores + mask, dim=-1)
    return weights @ v, weights

# %% exercise="scaled_dot_product_attention" wrong="very_negative_bias_is_blocked"
"""Calls a row blocked when its largest score is below -1e8: a finite bias of -1e9 on all keys is no block, its weights should sum to 1."""
def scaled_dot_product_attention(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf")) if mask.dtype == torch.bool else scores + mask
    dead = scores.amax(dim=-1, keepdim=True) < -1e8
    weights = torch.softmax(scores.masked_fill(dead, 0.0), dim=-1).masked_fill(dead, 0.0)
    return weights @ v, weights

# %% exercise="scaled_dot_product_attention" wrong="scales_the_bias_too"
"""Divides by sqrt(d_k) after the float mask was added, so a finite bias is too small."""
def scaled_dot_product_attention(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    scores = q @ k.transpose(-2, -1)
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf")) if mask.dtype == torch.bool else scores + mask
    scores = scores / math.sqrt(q.shape[-1])
    dead = torch.isneginf(scores).all(dim=-1, keepdim=True)
    weights = torch.softmax(scores.masked_fill(dead, 0.0), dim=-1).masked_fill(dead, 0.0)
    return weights @ v, weights

# %% exercise="scaled_dot_product_attention" wrong="scale_from_d_v"
"""Scales by the width of the values: wrong where d_v differs from d_k."""
def scaled_dot_product_attention(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    scores = q @ k.transpose(-2, -1) / math.sqrt(v.shape[-1])
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf")) if mask.dtype == torch.bool else scores + mask
    dead = torch.isneginf(scores).all(dim=-1, keepdim=True)
    weights = torch.softmax(scores.masked_fill(dead, 0.0), dim=-1).masked_fill(dead, 0.0)
    return weights @ v, weights

# %% exercise="scaled_dot_product_attention" wrong="two_dim_mask_gets_head_axes"
"""Gives a (T, S) mask two leading axes: for q of two or three dimensions out and weights get too many dimensions."""
def scaled_dot_product_attention(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    if mask is not None:
        if mask.dim() == 2:
            mask = mask[None, None]
        scores = torch.where(mask, scores, float("-inf")) if mask.dtype == torch.bool else scores + mask
    dead = torch.isneginf(scores).all(dim=-1, keepdim=True)
    weights = torch.softmax(scores.masked_fill(dead, 0.0), dim=-1).masked_fill(dead, 0.0)
    return weights @ v, weights

# %% exercise="scaled_dot_product_attention" wrong="scales_q_in_place"
"""Scales q in place: fails for a q that requires a gradient, and a second call with the same q gives other weights."""
def scaled_dot_product_attention(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    q /= math.sqrt(q.shape[-1])
    scores = q @ k.transpose(-2, -1)
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf")) if mask.dtype == torch.bool else scores + mask
    dead = torch.isneginf(scores).all(dim=-1, keepdim=True)
    weights = torch.softmax(scores.masked_fill(dead, 0.0), dim=-1).masked_fill(dead, 0.0)
    return weights @ v, weights

# %% exercise="scaled_dot_product_attention" wrong="blocked_weights_kept_even"
"""Zeroes the output of a blocked query but leaves its weights at 1 / S instead of 0."""
def scaled_dot_product_attention(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf")) if mask.dtype == torch.bool else scores + mask
    dead = torch.isneginf(scores).all(dim=-1, keepdim=True)
    weights = torch.softmax(scores.masked_fill(dead, 0.0), dim=-1)
    return (weights @ v).masked_fill(dead, 0.0), weights

# %% exercise="causal_mask" wrong="own_chunk_only"
"""Queries see only the last T keys: everything earlier is hidden when T < S."""
def causal_mask(n_queries: int, n_keys: int) -> Tensor:
    past = torch.zeros(n_queries, n_keys - n_queries, dtype=torch.bool)
    return torch.cat([past, torch.ones(n_queries, n_queries, dtype=torch.bool).tril()], dim=1)

# %% exercise="causal_mask" wrong="float_dtype"
"""Returns float ones and zeros instead of bool."""
def causal_mask(n_queries: int, n_keys: int) -> Tensor:
    return torch.ones(n_queries, n_keys).tril(diagonal=n_keys - n_queries)

# %% exercise="causal_mask" wrong="single_query_loses_axis"
"""For one query the result has shape (S,) instead of (1, S)."""
def causal_mask(n_queries: int, n_keys: int) -> Tensor:
    position = torch.arange(n_keys - n_queries, n_keys)
    return (torch.arange(n_keys) <= position[:, None]).squeeze(0)

# %% exercise="causal_mask" wrong="queries_are_first"
"""Takes the queries for the first T positions: wrong when T < S."""
def causal_mask(n_queries: int, n_keys: int) -> Tensor:
    return torch.ones(n_keys, n_keys, dtype=torch.bool).tril()[:n_queries]

# %% exercise="causal_mask" wrong="sees_itself_not"
"""A query does not see itself."""
def causal_mask(n_queries: int, n_keys: int) -> Tensor:
    position = torch.arange(n_keys - n_queries, n_keys)
    return torch.arange(n_keys) < position[:, None]

# %% exercise="padding_mask" wrong="width_from_longest"
"""Makes the mask as wide as the longest row: too narrow when every row has padding."""
def padding_mask(lengths: Tensor, n_keys: int) -> Tensor:
    keys = torch.arange(int(lengths.max()))
    return (keys < lengths[:, None])[:, None, None, :]

# %% exercise="padding_mask" wrong="empty_row_keeps_one"
"""Treats a row of length 0 as if it had one token."""
def padding_mask(lengths: Tensor, n_keys: int) -> Tensor:
    return (torch.arange(n_keys) < lengths.clamp(min=1)[:, None])[:, None, None, :]

# %% exercise="padding_mask" wrong="uint8"
"""Returns uint8 zeros and ones instead of bool."""
def padding_mask(lengths: Tensor, n_keys: int) -> Tensor:
    mask = torch.zeros(len(lengths), 1, 1, n_keys, dtype=torch.uint8)
    for row, length in enumerate(lengths.tolist()):
        mask[row, :, :, :length] = 1
    return mask

# %% exercise="padding_mask" wrong="expanded_over_queries"
"""Returns (B, 1, S, S): does not broadcast over a number of queries other than S."""
def padding_mask(lengths: Tensor, n_keys: int) -> Tensor:
    mask = (torch.arange(n_keys) < lengths[:, None])[:, None, None, :]
    return mask.expand(-1, 1, n_keys, n_keys)

# %% exercise="padding_mask" wrong="squeezed_for_one_row"
"""For a batch of one the batch axis is dropped: shape (1, 1, S) instead of (1, 1, 1, S)."""
def padding_mask(lengths: Tensor, n_keys: int) -> Tensor:
    mask = (torch.arange(n_keys) < lengths[:, None]).squeeze(0)
    return mask[..., None, None, :]

# %% exercise="padding_mask" wrong="negative_slice_for_full"
"""Blanks the tail with a negative slice: a row without padding is blanked completely."""
def padding_mask(lengths: Tensor, n_keys: int) -> Tensor:
    mask = torch.ones(len(lengths), 1, 1, n_keys, dtype=torch.bool)
    for row, length in enumerate(lengths.tolist()):
        mask[row, ..., -(n_keys - length):] = False
    return mask

# %% exercise="combine_masks" wrong="stops_at_none"
"""Ends at the first None, so masks after it are ignored."""
def combine_masks(*masks: Tensor | None) -> Tensor | None:
    result = None
    for mask in masks:
        if mask is None:
            break
        result = mask if result is None else result & mask
    return result

# %% exercise="combine_masks" wrong="integer_product"
"""Multiplies from 1 on: the result is int64 and not bool."""
def combine_masks(*masks: Tensor | None) -> Tensor | None:
    present = [mask for mask in masks if mask is not None]
    if not present:
        return None
    result = 1
    for mask in present:
        result = result * mask
    return result

# %% exercise="combine_masks" wrong="counts_none"
"""Compares the number of votes with the number of arguments, None included: with a None nothing is allowed."""
def combine_masks(*masks: Tensor | None) -> Tensor | None:
    present = [mask for mask in masks if mask is not None]
    if not present:
        return None
    votes = sum(mask.long() for mask in present)
    return votes == len(masks)

# %% exercise="combine_masks" wrong="all_false_is_no_restriction"
"""Skips a mask that allows nothing, as if it were no mask."""
def combine_masks(*masks: Tensor | None) -> Tensor | None:
    result = None
    for mask in masks:
        if mask is None or not mask.any():
            continue
        result = mask if result is None else result & mask
    return result

# %% exercise="combine_masks" wrong="shape_of_the_first"
"""Writes into a copy of the first mask: refuses (T, S) with (B, 1, 1, S)."""
def combine_masks(*masks: Tensor | None) -> Tensor | None:
    present = [mask for mask in masks if mask is not None]
    if not present:
        return None
    result = present[0].clone()
    for mask in present[1:]:
        result &= mask
    return result

# %% exercise="combine_masks" wrong="only_none_gives_true"
"""For nothing but None it returns a mask that allows all instead of None."""
def combine_masks(*masks: Tensor | None) -> Tensor | None:
    if not masks:
        return None
    result = torch.tensor(True)
    for mask in masks:
        if mask is not None:
            result = result & mask
    return result

# %% exercise="split_heads" wrong="default_dtype"
"""Fills a tensor of the default dtype: float64 numbers are rounded, so the result does not equal x."""
def split_heads(x: Tensor, num_heads: int) -> Tensor:
    batch, tokens, width = x.shape
    d = width // num_heads
    result = torch.empty(batch, num_heads, tokens, d)
    for h in range(num_heads):
        result[:, h] = x[:, :, h * d : (h + 1) * d]
    return result

# %% exercise="split_heads" wrong="one_head_unchanged"
"""For one head x is returned as it is: (B, T, D) instead of (B, 1, T, D)."""
def split_heads(x: Tensor, num_heads: int) -> Tensor:
    if num_heads == 1:
        return x
    batch, tokens, width = x.shape
    return x.reshape(batch, tokens, num_heads, width // num_heads).transpose(1, 2)

# %% exercise="split_heads" wrong="reshape_only"
"""Reshapes to (B, H, T, d) without moving axes: tokens and heads are mixed."""
def split_heads(x: Tensor, num_heads: int) -> Tensor:
    return x.reshape(x.shape[0], num_heads, x.shape[1], x.shape[2] // num_heads)

# %% exercise="split_heads" wrong="interleaved"
"""Head h gets every H-th column instead of a block of neighbours."""
def split_heads(x: Tensor, num_heads: int) -> Tensor:
    return torch.stack([x[..., h::num_heads] for h in range(num_heads)], dim=1)

# %% exercise="split_heads" wrong="memory_order_of_x"
"""Reads a transposed x in the order of its memory: wrong for an x that is not contiguous."""
def split_heads(x: Tensor, num_heads: int) -> Tensor:
    batch, tokens, width = x.shape
    d = width // num_heads
    strides = (tokens * width, d, width, 1)
    return x.as_strided((batch, num_heads, tokens, d), strides)

# %% exercise="merge_heads" wrong="default_dtype"
"""Fills a tensor of the default dtype: float64 numbers are rounded."""
def merge_heads(x: Tensor) -> Tensor:
    batch, heads, tokens, d = x.shape
    result = torch.empty(batch, tokens, heads * d)
    for h in range(heads):
        result[:, :, h * d : (h + 1) * d] = x[:, h]
    return result

# %% exercise="merge_heads" wrong="reshape_only"
"""Reshapes without moving the axes: the tokens of one head are put side by side."""
def merge_heads(x: Tensor) -> Tensor:
    batch, heads, tokens, d = x.shape
    return x.reshape(batch, tokens, heads * d)

# %% exercise="merge_heads" wrong="view_after_transpose"
"""Uses view on the transposed tensor: works for what split_heads returns, refuses a contiguous x."""
def merge_heads(x: Tensor) -> Tensor:
    batch, heads, tokens, d = x.shape
    return x.transpose(1, 2).view(batch, tokens, heads * d)

# %% exercise="merge_heads" wrong="squeezed"
"""Drops axes of size one: a single token or a batch of one loses its axis."""
def merge_heads(x: Tensor) -> Tensor:
    return torch.cat(list(x.unbind(1)), dim=-1).squeeze()

# %% exercise="MultiHeadAttention" wrong="assert_for_the_width"
"""Raises AssertionError instead of ValueError when D is not a multiple of H."""
class MultiHeadAttention(nn.Module):
    def __init__(self, d_model: int, num_heads: int, dropout: float = 0.0):
        super().__init__()
        assert d_model % num_heads == 0, "d_model must be a multiple of num_heads"
        self.num_heads = num_heads
        self.w_q = nn.Linear(d_model, d_model)
        self.w_k = nn.Linear(d_model, d_model)
        self.w_v = nn.Linear(d_model, d_model)
        self.w_o = nn.Linear(d_model, d_model)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        q, k, v = (split_heads(w(x), self.num_heads) for w in (self.w_q, self.w_k, self.w_v))
        _, weights = scaled_dot_product_attention(q, k, v, mask)
        mixed = self.drop(weights) @ v
        return self.w_o(merge_heads(mixed)), weights

# %% exercise="MultiHeadAttention" wrong="dropout_in_eval"
"""Calls the functional dropout, which is on by default: it acts in eval mode too."""
class MultiHeadAttention(nn.Module):
    def __init__(self, d_model: int, num_heads: int, dropout: float = 0.0):
        super().__init__()
        if d_model % num_heads != 0:
            raise ValueError("d_model must be a multiple of num_heads")
        self.num_heads = num_heads
        self.w_q = nn.Linear(d_model, d_model)
        self.w_k = nn.Linear(d_model, d_model)
        self.w_v = nn.Linear(d_model, d_model)
        self.w_o = nn.Linear(d_model, d_model)
        self.p = dropout

    def forward(self, x: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        q, k, v = (split_heads(w(x), self.num_heads) for w in (self.w_q, self.w_k, self.w_v))
        _, weights = scaled_dot_product_attention(q, k, v, mask)
        mixed = nn.functional.dropout(weights, self.p) @ v
        return self.w_o(merge_heads(mixed)), weights

# %% exercise="MultiHeadAttention" wrong="weights_after_dropout"
"""Returns the weights after dropout: in training they hold zeros and rows that do not sum to 1."""
class MultiHeadAttention(nn.Module):
    def __init__(self, d_model: int, num_heads: int, dropout: float = 0.0):
        super().__init__()
        if d_model % num_heads != 0:
            raise ValueError("d_model must be a multiple of num_heads")
        self.num_heads = num_heads
        self.w_q = nn.Linear(d_model, d_model)
        self.w_k = nn.Linear(d_model, d_model)
        self.w_v = nn.Linear(d_model, d_model)
        self.w_o = nn.Linear(d_model, d_model)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        q, k, v = (split_heads(w(x), self.num_heads) for w in (self.w_q, self.w_k, self.w_v))
        _, weights = scaled_dot_product_attention(q, k, v, mask)
        weights = self.drop(weights)
        mixed = weights @ v
        return self.w_o(merge_heads(mixed)), weights

# %% exercise="MultiHeadAttention" wrong="dropout_on_the_mix"
"""Drops numbers of the mixed values instead of weights (with p = 0.5 single columns vanish)."""
class MultiHeadAttention(nn.Module):
    def __init__(self, d_model: int, num_heads: int, dropout: float = 0.0):
        super().__init__()
        if d_model % num_heads != 0:
            raise ValueError("d_model must be a multiple of num_heads")
        self.num_heads = num_heads
        self.w_q = nn.Linear(d_model, d_model)
        self.w_k = nn.Linear(d_model, d_model)
        self.w_v = nn.Linear(d_model, d_model)
        self.w_o = nn.Linear(d_model, d_model)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        q, k, v = (split_heads(w(x), self.num_heads) for w in (self.w_q, self.w_k, self.w_v))
        _, weights = scaled_dot_product_attention(q, k, v, mask)
        mixed = self.drop(weights @ v)
        return self.w_o(merge_heads(mixed)), weights

# %% exercise="MultiHeadAttention" wrong="dropout_by_hand_nan_at_one"
"""Divides by 1 - p by hand: with dropout=1.0 in training the output is NaN."""
class MultiHeadAttention(nn.Module):
    def __init__(self, d_model: int, num_heads: int, dropout: float = 0.0):
        super().__init__()
        if d_model % num_heads != 0:
            raise ValueError("d_model must be a multiple of num_heads")
        self.num_heads = num_heads
        self.w_q = nn.Linear(d_model, d_model)
        self.w_k = nn.Linear(d_model, d_model)
        self.w_v = nn.Linear(d_model, d_model)
        self.w_o = nn.Linear(d_model, d_model)
        self.p = dropout

    def forward(self, x: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        q, k, v = (split_heads(w(x), self.num_heads) for w in (self.w_q, self.w_k, self.w_v))
        _, weights = scaled_dot_product_attention(q, k, v, mask)
        dropped = weights
        if self.training and self.p > 0:
            dropped = weights * (torch.rand_like(weights) >= self.p) / (1 - self.p)
        mixed = dropped @ v
        return self.w_o(merge_heads(mixed)), weights

# %% exercise="MultiHeadAttention" wrong="dropout_not_rescaled"
"""Sets weights to zero and leaves the others as they are, where nn.Dropout divides them by 1 - p."""
class MultiHeadAttention(nn.Module):
    def __init__(self, d_model: int, num_heads: int, dropout: float = 0.0):
        super().__init__()
        if d_model % num_heads != 0:
            raise ValueError("d_model must be a multiple of num_heads")
        self.num_heads = num_heads
        self.w_q = nn.Linear(d_model, d_model)
        self.w_k = nn.Linear(d_model, d_model)
        self.w_v = nn.Linear(d_model, d_model)
        self.w_o = nn.Linear(d_model, d_model)
        self.p = dropout

    def forward(self, x: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        q, k, v = (split_heads(w(x), self.num_heads) for w in (self.w_q, self.w_k, self.w_v))
        _, weights = scaled_dot_product_attention(q, k, v, mask)
        dropped = weights
        if self.training:
            dropped = weights * (torch.rand_like(weights) >= self.p)
        mixed = dropped @ v
        return self.w_o(merge_heads(mixed)), weights

# %% exercise="MultiHeadAttention" wrong="three_dim_mask_is_per_batch"
"""Takes a mask of three dimensions for (B, T, T); broadcasting makes it (H, T, T)."""
class MultiHeadAttention(nn.Module):
    def __init__(self, d_model: int, num_heads: int, dropout: float = 0.0):
        super().__init__()
        if d_model % num_heads != 0:
            raise ValueError("d_model must be a multiple of num_heads")
        self.num_heads = num_heads
        self.w_q = nn.Linear(d_model, d_model)
        self.w_k = nn.Linear(d_model, d_model)
        self.w_v = nn.Linear(d_model, d_model)
        self.w_o = nn.Linear(d_model, d_model)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        q, k, v = (split_heads(w(x), self.num_heads) for w in (self.w_q, self.w_k, self.w_v))
        if mask is not None and mask.dim() == 3:
            mask = mask[:, None]
        _, weights = scaled_dot_product_attention(q, k, v, mask)
        mixed = self.drop(weights) @ v
        return self.w_o(merge_heads(mixed)), weights

# %% exercise="MultiHeadAttention" wrong="blocked_output_zero_without_bias"
"""Sets the whole output of a blocked query to zero, the bias of w_o included."""
class MultiHeadAttention(nn.Module):
    def __init__(self, d_model: int, num_heads: int, dropout: float = 0.0):
        super().__init__()
        if d_model % num_heads != 0:
            raise ValueError("d_model must be a multiple of num_heads")
        self.num_heads = num_heads
        self.w_q = nn.Linear(d_model, d_model)
        self.w_k = nn.Linear(d_model, d_model)
        self.w_v = nn.Linear(d_model, d_model)
        self.w_o = nn.Linear(d_model, d_model)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        q, k, v = (split_heads(w(x), self.num_heads) for w in (self.w_q, self.w_k, self.w_v))
        _, weights = scaled_dot_product_attention(q, k, v, mask)
        mixed = self.drop(weights) @ v
        blocked = (weights == 0).all(dim=-1).all(dim=1)
        return self.w_o(merge_heads(mixed)).masked_fill(blocked[..., None], 0.0), weights

# %% exercise="MultiHeadAttention" wrong="float_mask_made_bool"
"""Converts every mask to bool: a float mask of 0 and -inf is turned round, biases are lost."""
class MultiHeadAttention(nn.Module):
    def __init__(self, d_model: int, num_heads: int, dropout: float = 0.0):
        super().__init__()
        if d_model % num_heads != 0:
            raise ValueError("d_model must be a multiple of num_heads")
        self.num_heads = num_heads
        self.w_q = nn.Linear(d_model, d_model)
        self.w_k = nn.Linear(d_model, d_model)
        self.w_v = nn.Linear(d_model, d_model)
        self.w_o = nn.Linear(d_model, d_model)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        q, k, v = (split_heads(w(x), self.num_heads) for w in (self.w_q, self.w_k, self.w_v))
        if mask is not None:
            mask = mask.bool()
        _, weights = scaled_dot_product_attention(q, k, v, mask)
        mixed = self.drop(weights) @ v
        return self.w_o(merge_heads(mixed)), weights

# %% exercise="MultiHeadAttention" wrong="output_map_without_bias"
"""w_o has no bias, so the state dict lacks w_o.bias and a blocked query gives 0."""
class MultiHeadAttention(nn.Module):
    def __init__(self, d_model: int, num_heads: int, dropout: float = 0.0):
        super().__init__()
        if d_model % num_heads != 0:
            raise ValueError("d_model must be a multiple of num_heads")
        self.num_heads = num_heads
        self.w_q = nn.Linear(d_model, d_model)
        self.w_k = nn.Linear(d_model, d_model)
        self.w_v = nn.Linear(d_model, d_model)
        self.w_o = nn.Linear(d_model, d_model, bias=False)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        q, k, v = (split_heads(w(x), self.num_heads) for w in (self.w_q, self.w_k, self.w_v))
        _, weights = scaled_dot_product_attention(q, k, v, mask)
        mixed = self.drop(weights) @ v
        return self.w_o(merge_heads(mixed)), weights

# %% exercise="MultiHeadAttention" wrong="weights_averaged_over_heads"
"""Returns weights (B, T, T), the mean over the heads."""
class MultiHeadAttention(nn.Module):
    def __init__(self, d_model: int, num_heads: int, dropout: float = 0.0):
        super().__init__()
        if d_model % num_heads != 0:
            raise ValueError("d_model must be a multiple of num_heads")
        self.num_heads = num_heads
        self.w_q = nn.Linear(d_model, d_model)
        self.w_k = nn.Linear(d_model, d_model)
        self.w_v = nn.Linear(d_model, d_model)
        self.w_o = nn.Linear(d_model, d_model)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        q, k, v = (split_heads(w(x), self.num_heads) for w in (self.w_q, self.w_k, self.w_v))
        _, weights = scaled_dot_product_attention(q, k, v, mask)
        mixed = self.drop(weights) @ v
        return self.w_o(merge_heads(mixed)), weights.mean(dim=1)

# %% exercise="CrossAttention" wrong="decoder_gives_values_when_it_fits"
"""Values come from the decoder when both sequences have the same length."""
class CrossAttention(nn.Module):
    def __init__(self, d_model: int, num_heads: int):
        super().__init__()
        self.num_heads = num_heads
        self.w_q = nn.Linear(d_model, d_model)
        self.w_k = nn.Linear(d_model, d_model)
        self.w_v = nn.Linear(d_model, d_model)
        self.w_o = nn.Linear(d_model, d_model)

    def forward(self, x: Tensor, memory: Tensor, memory_mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        q = split_heads(self.w_q(x), self.num_heads)
        k = split_heads(self.w_k(memory), self.num_heads)
        v = split_heads(self.w_v(x if x.shape == memory.shape else memory), self.num_heads)
        out, weights = scaled_dot_product_attention(q, k, v, memory_mask)
        return self.w_o(merge_heads(out)), weights

# %% exercise="CrossAttention" wrong="padding_gets_minus_1e9"
"""Blocks with -1e9: where all of a source is padding the weights are even and the values leak."""
class CrossAttention(nn.Module):
    def __init__(self, d_model: int, num_heads: int):
        super().__init__()
        self.num_heads = num_heads
        self.w_q = nn.Linear(d_model, d_model)
        self.w_k = nn.Linear(d_model, d_model)
        self.w_v = nn.Linear(d_model, d_model)
        self.w_o = nn.Linear(d_model, d_model)

    def forward(self, x: Tensor, memory: Tensor, memory_mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        q = split_heads(self.w_q(x), self.num_heads)
        k = split_heads(self.w_k(memory), self.num_heads)
        v = split_heads(self.w_v(memory), self.num_heads)
        bias = None
        if memory_mask is not None:
            bias = torch.zeros(memory_mask.shape, dtype=q.dtype).masked_fill(~memory_mask, -1e9)
        out, weights = scaled_dot_product_attention(q, k, v, bias)
        return self.w_o(merge_heads(out)), weights

# %% exercise="CrossAttention" wrong="mask_of_first_query"
"""Uses the mask of the first query for all of them: a mask (B, 1, T, S) is not followed."""
class CrossAttention(nn.Module):
    def __init__(self, d_model: int, num_heads: int):
        super().__init__()
        self.num_heads = num_heads
        self.w_q = nn.Linear(d_model, d_model)
        self.w_k = nn.Linear(d_model, d_model)
        self.w_v = nn.Linear(d_model, d_model)
        self.w_o = nn.Linear(d_model, d_model)

    def forward(self, x: Tensor, memory: Tensor, memory_mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        q = split_heads(self.w_q(x), self.num_heads)
        k = split_heads(self.w_k(memory), self.num_heads)
        v = split_heads(self.w_v(memory), self.num_heads)
        out, weights = scaled_dot_product_attention(q, k, v, None if memory_mask is None else memory_mask[..., :1, :])
        return self.w_o(merge_heads(out)), weights

# %% exercise="CrossAttention" wrong="mask_of_first_head"
"""Cuts the mask to its first head: a mask (B, H, T, S) is not followed."""
class CrossAttention(nn.Module):
    def __init__(self, d_model: int, num_heads: int):
        super().__init__()
        self.num_heads = num_heads
        self.w_q = nn.Linear(d_model, d_model)
        self.w_k = nn.Linear(d_model, d_model)
        self.w_v = nn.Linear(d_model, d_model)
        self.w_o = nn.Linear(d_model, d_model)

    def forward(self, x: Tensor, memory: Tensor, memory_mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        q = split_heads(self.w_q(x), self.num_heads)
        k = split_heads(self.w_k(memory), self.num_heads)
        v = split_heads(self.w_v(memory), self.num_heads)
        if memory_mask is not None and memory_mask.dim() == 4:
            memory_mask = memory_mask[:, :1]
        out, weights = scaled_dot_product_attention(q, k, v, memory_mask)
        return self.w_o(merge_heads(out)), weights

# %% exercise="CrossAttention" wrong="values_through_w_k"
"""Makes the values with w_k: w_v is never used."""
class CrossAttention(nn.Module):
    def __init__(self, d_model: int, num_heads: int):
        super().__init__()
        self.num_heads = num_heads
        self.w_q = nn.Linear(d_model, d_model)
        self.w_k = nn.Linear(d_model, d_model)
        self.w_v = nn.Linear(d_model, d_model)
        self.w_o = nn.Linear(d_model, d_model)

    def forward(self, x: Tensor, memory: Tensor, memory_mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        q = split_heads(self.w_q(x), self.num_heads)
        k = split_heads(self.w_k(memory), self.num_heads)
        v = split_heads(self.w_k(memory), self.num_heads)
        out, weights = scaled_dot_product_attention(q, k, v, memory_mask)
        return self.w_o(merge_heads(out)), weights

# %% exercise="CrossAttention" wrong="causal_for_equal_lengths"
"""Adds a causal mask when both sequences are equally long; the source is known in full."""
class CrossAttention(nn.Module):
    def __init__(self, d_model: int, num_heads: int):
        super().__init__()
        self.num_heads = num_heads
        self.w_q = nn.Linear(d_model, d_model)
        self.w_k = nn.Linear(d_model, d_model)
        self.w_v = nn.Linear(d_model, d_model)
        self.w_o = nn.Linear(d_model, d_model)

    def forward(self, x: Tensor, memory: Tensor, memory_mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        q = split_heads(self.w_q(x), self.num_heads)
        k = split_heads(self.w_k(memory), self.num_heads)
        v = split_heads(self.w_v(memory), self.num_heads)
        if x.shape[1] == memory.shape[1]:
            memory_mask = combine_masks(memory_mask, causal_mask(x.shape[1], memory.shape[1]))
        out, weights = scaled_dot_product_attention(q, k, v, memory_mask)
        return self.w_o(merge_heads(out)), weights

# %% exercise="CrossAttention" wrong="padded_source_silenced"
"""Multiplies the output of a source that is all padding by 0, the bias of w_o included."""
class CrossAttention(nn.Module):
    def __init__(self, d_model: int, num_heads: int):
        super().__init__()
        self.num_heads = num_heads
        self.w_q = nn.Linear(d_model, d_model)
        self.w_k = nn.Linear(d_model, d_model)
        self.w_v = nn.Linear(d_model, d_model)
        self.w_o = nn.Linear(d_model, d_model)

    def forward(self, x: Tensor, memory: Tensor, memory_mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        q = split_heads(self.w_q(x), self.num_heads)
        k = split_heads(self.w_k(memory), self.num_heads)
        v = split_heads(self.w_v(memory), self.num_heads)
        out, weights = scaled_dot_product_attention(q, k, v, memory_mask)
        alive = (weights.sum(dim=-1) > 0).any(dim=1)
        return self.w_o(merge_heads(out)) * alive[..., None], weights

# %% exercise="CrossAttention" wrong="queries_from_memory"
"""Queries from the memory and keys and values from the decoder: the output has the length of the source."""
class CrossAttention(nn.Module):
    def __init__(self, d_model: int, num_heads: int):
        super().__init__()
        self.num_heads = num_heads
        self.w_q = nn.Linear(d_model, d_model)
        self.w_k = nn.Linear(d_model, d_model)
        self.w_v = nn.Linear(d_model, d_model)
        self.w_o = nn.Linear(d_model, d_model)

    def forward(self, x: Tensor, memory: Tensor, memory_mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        q = split_heads(self.w_q(memory), self.num_heads)
        k = split_heads(self.w_k(x), self.num_heads)
        v = split_heads(self.w_v(x), self.num_heads)
        out, weights = scaled_dot_product_attention(q, k, v, None if memory_mask is None or memory_mask.shape[-1] != x.shape[1] else memory_mask)
        return self.w_o(merge_heads(out)), weights

# %% exercise="attention_entropy" wrong="logarithm_clamped"
"""Clamps weights at 1e-3 inside the logarithm: many small weights, for example 4000 even ones, give too little."""
def attention_entropy(weights: Tensor) -> Tensor:
    return -(weights * weights.clamp(min=1e-3).log()).sum(dim=-1)

# %% exercise="attention_entropy" wrong="small_weights_skipped"
"""Leaves weights below 1e-4 out: an even spread over 20000 keys has entropy 0."""
def attention_entropy(weights: Tensor) -> Tensor:
    terms = torch.where(weights > 1e-4, weights * weights.log(), torch.zeros_like(weights))
    return -terms.sum(dim=-1)

# %% exercise="attention_entropy" wrong="bits_2"
"""Gives bits instead of nats."""
def attention_entropy(weights: Tensor) -> Tensor:
    return -(weights * torch.log2(weights.masked_fill(weights == 0, 1.0))).sum(dim=-1)

# %% exercise="attention_entropy" wrong="nan_row_to_zero"
"""Replaces NaN after the sum: every query that has a zero weight gets entropy 0."""
def attention_entropy(weights: Tensor) -> Tensor:
    return torch.nan_to_num(-(weights * weights.log()).sum(dim=-1))

# %% exercise="sink_mass" wrong="later_queries_only"
"""Starts at query first + 1."""
def sink_mass(weights: Tensor, first: int = 4) -> Tensor:
    return weights[:, :, first + 1 :, :first].sum(dim=-1).mean(dim=(0, 2))

# %% exercise="sink_mass" wrong="all_queries_2"
"""Counts the queries before `first` too."""
def sink_mass(weights: Tensor, first: int = 4) -> Tensor:
    return weights[..., :first].sum(dim=-1).mean(dim=(0, 2))

# %% exercise="sink_mass" wrong="always_four_keys"
"""Adds four keys whatever first is; only the queries follow it."""
def sink_mass(weights: Tensor, first: int = 4) -> Tensor:
    return weights[:, :, first:, :4].sum(dim=-1).mean(dim=(0, 2))

# %% exercise="sink_mass" wrong="first_of_the_batch"
"""Looks at the first row of the batch only."""
def sink_mass(weights: Tensor, first: int = 4) -> Tensor:
    return weights[0, :, first:, :first].sum(dim=-1).mean(dim=-1)

# %% exercise="sink_mass" wrong="median_over_queries"
"""Takes the median over batch and queries instead of the mean."""
def sink_mass(weights: Tensor, first: int = 4) -> Tensor:
    mass = weights[:, :, first:, :first].sum(dim=-1)
    return mass.transpose(0, 1).flatten(1).median(dim=1).values

# %% exercise="sink_mass" wrong="heads_squeezed"
"""For one head it returns a tensor without axes instead of shape (1,)."""
def sink_mass(weights: Tensor, first: int = 4) -> Tensor:
    return weights[:, :, first:, :first].sum(dim=-1).mean(dim=(0, 2)).squeeze()

# %% exercise="attention_cost" wrong="through_floats"
"""Computes in floats and rounds at the end: above 2**53 the counts are off, for example n = 100_000_001."""
def attention_cost(n: int, d_model: int, num_heads: int, bytes_per_number: int = 4) -> dict[str, int]:
    n = float(n)
    return {
        "projection_flops": int(8 * n * d_model * d_model),
        "score_flops": int(2 * n * n * d_model),
        "mix_flops": int(2 * n * n * d_model),
        "score_bytes": int(num_heads * n * n * bytes_per_number),
        "kv_bytes": int(2 * n * d_model * bytes_per_number),
    }

# %% exercise="attention_cost" wrong="float_bytes"
"""Divides with a single slash: kv_bytes is a float."""
def attention_cost(n: int, d_model: int, num_heads: int, bytes_per_number: int = 4) -> dict[str, int]:
    return {
        "projection_flops": 8 * n * d_model * d_model,
        "score_flops": 2 * n * n * d_model,
        "mix_flops": 2 * n * n * d_model,
        "score_bytes": num_heads * n * n * bytes_per_number,
        "kv_bytes": 2 * num_heads * n * (d_model / num_heads) * bytes_per_number,
    }

# %% exercise="attention_cost" wrong="scores_of_one_head"
"""score_bytes counts one (n, n) matrix and not one for each head."""
def attention_cost(n: int, d_model: int, num_heads: int, bytes_per_number: int = 4) -> dict[str, int]:
    return {
        "projection_flops": 8 * n * d_model * d_model,
        "score_flops": 2 * n * n * d_model,
        "mix_flops": 2 * n * n * d_model,
        "score_bytes": n * n * bytes_per_number,
        "kv_bytes": 2 * n * d_model * bytes_per_number,
    }

# %% exercise="attention_cost" wrong="three_projections_2"
"""Forgets the output projection."""
def attention_cost(n: int, d_model: int, num_heads: int, bytes_per_number: int = 4) -> dict[str, int]:
    return {
        "projection_flops": 6 * n * d_model * d_model,
        "score_flops": 2 * n * n * d_model,
        "mix_flops": 2 * n * n * d_model,
        "score_bytes": num_heads * n * n * bytes_per_number,
        "kv_bytes": 2 * n * d_model * bytes_per_number,
    }

# %% exercise="attention_cost" wrong="weights_always_four_bytes"
"""The weights take 4 bytes each whatever bytes_per_number says."""
def attention_cost(n: int, d_model: int, num_heads: int, bytes_per_number: int = 4) -> dict[str, int]:
    return {
        "projection_flops": 8 * n * d_model * d_model,
        "score_flops": 2 * n * n * d_model,
        "mix_flops": 2 * n * n * d_model,
        "score_bytes": 4 * num_heads * n * n,
        "kv_bytes": 2 * n * d_model * bytes_per_number,
    }

# %% exercise="attention_cost" wrong="scores_per_width_of_one_head"
"""score_flops is that of one head."""
def attention_cost(n: int, d_model: int, num_heads: int, bytes_per_number: int = 4) -> dict[str, int]:
    return {
        "projection_flops": 8 * n * d_model * d_model,
        "score_flops": 2 * n * n * (d_model // num_heads),
        "mix_flops": 2 * n * n * d_model,
        "score_bytes": num_heads * n * n * bytes_per_number,
        "kv_bytes": 2 * n * d_model * bytes_per_number,
    }

# %% exercise="row_softmax" wrong="output_strides_of_input"
"""Takes empty_like, which keeps the layout of x: for x.t() the result is not contiguous."""
@triton.jit
def row_softmax_kernel(x_ptr, out_ptr, n_cols, x_row, x_col, out_row, out_col, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    lanes = tl.arange(0, BLOCK)
    top = -float("inf")
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        x = tl.load(x_ptr + row * x_row + cols * x_col, mask=cols < n_cols, other=-float("inf")).to(tl.float32)
        top = tl.maximum(top, tl.max(x, axis=0))
    total = 0.0
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        y = tl.load(x_ptr + row * x_row + cols * x_col, mask=cols < n_cols, other=-float("inf")).to(tl.float32)
        total += tl.sum(tl.exp(y - top), axis=0)
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        z = tl.load(x_ptr + row * x_row + cols * x_col, mask=cols < n_cols, other=0.0).to(tl.float32)
        tl.store(out_ptr + row * out_row + cols * out_col, tl.exp(z - top) / total, mask=cols < n_cols)


def row_softmax(x: Tensor, block: int = 128) -> Tensor:
    rows, cols = x.shape
    out = torch.empty_like(x)
    row_softmax_kernel[(rows,)](x, out, cols, *x.stride(), *out.stride(), BLOCK=block)
    return out

# %% exercise="row_softmax" wrong="block_from_width"
"""Ignores block and holds the whole row at once."""
@triton.jit
def row_softmax_kernel(x_ptr, out_ptr, n_cols, x_row, x_col, out_row, out_col, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    lanes = tl.arange(0, BLOCK)
    top = -float("inf")
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        x = tl.load(x_ptr + row * x_row + cols * x_col, mask=cols < n_cols, other=-float("inf")).to(tl.float32)
        top = tl.maximum(top, tl.max(x, axis=0))
    total = 0.0
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        y = tl.load(x_ptr + row * x_row + cols * x_col, mask=cols < n_cols, other=-float("inf")).to(tl.float32)
        total += tl.sum(tl.exp(y - top), axis=0)
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        z = tl.load(x_ptr + row * x_row + cols * x_col, mask=cols < n_cols, other=0.0).to(tl.float32)
        tl.store(out_ptr + row * out_row + cols * out_col, tl.exp(z - top) / total, mask=cols < n_cols)


def row_softmax(x: Tensor, block: int = 128) -> Tensor:
    rows, cols = x.shape
    out = torch.empty((rows, cols), dtype=x.dtype, device=x.device)
    row_softmax_kernel[(rows,)](x, out, cols, *x.stride(), *out.stride(), BLOCK=triton.next_power_of_2(cols))
    return out

# %% exercise="row_softmax" wrong="contiguous_copy_first"
"""Copies a strided x before the launch: a copy counts as a second launch."""
@triton.jit
def row_softmax_kernel(x_ptr, out_ptr, n_cols, x_row, x_col, out_row, out_col, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    lanes = tl.arange(0, BLOCK)
    top = -float("inf")
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        x = tl.load(x_ptr + row * x_row + cols * x_col, mask=cols < n_cols, other=-float("inf")).to(tl.float32)
        top = tl.maximum(top, tl.max(x, axis=0))
    total = 0.0
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        y = tl.load(x_ptr + row * x_row + cols * x_col, mask=cols < n_cols, other=-float("inf")).to(tl.float32)
        total += tl.sum(tl.exp(y - top), axis=0)
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        z = tl.load(x_ptr + row * x_row + cols * x_col, mask=cols < n_cols, other=0.0).to(tl.float32)
        tl.store(out_ptr + row * out_row + cols * out_col, tl.exp(z - top) / total, mask=cols < n_cols)


def row_softmax(x: Tensor, block: int = 128) -> Tensor:
    x = x.contiguous()
    rows, cols = x.shape
    out = torch.empty((rows, cols), dtype=x.dtype, device=x.device)
    row_softmax_kernel[(rows,)](x, out, cols, *x.stride(), *out.stride(), BLOCK=block)
    return out

# %% exercise="row_softmax" wrong="output_filled_with_zeros"
"""Makes the output with zeros: a fill counts as a second launch."""
@triton.jit
def row_softmax_kernel(x_ptr, out_ptr, n_cols, x_row, x_col, out_row, out_col, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    lanes = tl.arange(0, BLOCK)
    top = -float("inf")
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        x = tl.load(x_ptr + row * x_row + cols * x_col, mask=cols < n_cols, other=-float("inf")).to(tl.float32)
        top = tl.maximum(top, tl.max(x, axis=0))
    total = 0.0
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        y = tl.load(x_ptr + row * x_row + cols * x_col, mask=cols < n_cols, other=-float("inf")).to(tl.float32)
        total += tl.sum(tl.exp(y - top), axis=0)
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        z = tl.load(x_ptr + row * x_row + cols * x_col, mask=cols < n_cols, other=0.0).to(tl.float32)
        tl.store(out_ptr + row * out_row + cols * out_col, tl.exp(z - top) / total, mask=cols < n_cols)


def row_softmax(x: Tensor, block: int = 128) -> Tensor:
    rows, cols = x.shape
    out = torch.zeros((rows, cols), dtype=x.dtype, device=x.device)
    row_softmax_kernel[(rows,)](x, out, cols, *x.stride(), *out.stride(), BLOCK=block)
    return out

# %% exercise="row_softmax" wrong="one_program_for_all"
"""One program walks over all rows, however many there are."""
@triton.jit
def row_softmax_kernel(x_ptr, out_ptr, n_rows, n_cols, x_row, x_col, out_row, out_col, BLOCK: tl.constexpr):
    lanes = tl.arange(0, BLOCK)
    for row in range(0, n_rows):
        top = -float("inf")
        for start in range(0, n_cols, BLOCK):
            cols = start + lanes
            x = tl.load(x_ptr + row * x_row + cols * x_col, mask=cols < n_cols, other=-float("inf")).to(tl.float32)
            top = tl.maximum(top, tl.max(x, axis=0))
        total = 0.0
        for start in range(0, n_cols, BLOCK):
            cols = start + lanes
            y = tl.load(x_ptr + row * x_row + cols * x_col, mask=cols < n_cols, other=-float("inf")).to(tl.float32)
            total += tl.sum(tl.exp(y - top), axis=0)
        for start in range(0, n_cols, BLOCK):
            cols = start + lanes
            z = tl.load(x_ptr + row * x_row + cols * x_col, mask=cols < n_cols, other=0.0).to(tl.float32)
            tl.store(out_ptr + row * out_row + cols * out_col, tl.exp(z - top) / total, mask=cols < n_cols)


def row_softmax(x: Tensor, block: int = 128) -> Tensor:
    rows, cols = x.shape
    out = torch.empty((rows, cols), dtype=x.dtype, device=x.device)
    row_softmax_kernel[(1,)](x, out, rows, cols, *x.stride(), *out.stride(), BLOCK=block)
    return out

# %% exercise="row_softmax" wrong="zero_in_the_maximum"
"""Missing lanes hold 0 in the maximum: a row near -500 with a tail is shifted by 0 and becomes 0 / 0."""
@triton.jit
def row_softmax_kernel(x_ptr, out_ptr, n_cols, x_row, x_col, out_row, out_col, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    lanes = tl.arange(0, BLOCK)
    top = -float("inf")
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        x = tl.load(x_ptr + row * x_row + cols * x_col, mask=cols < n_cols, other=0.0).to(tl.float32)
        top = tl.maximum(top, tl.max(x, axis=0))
    total = 0.0
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        y = tl.load(x_ptr + row * x_row + cols * x_col, mask=cols < n_cols, other=-float("inf")).to(tl.float32)
        total += tl.sum(tl.exp(y - top), axis=0)
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        z = tl.load(x_ptr + row * x_row + cols * x_col, mask=cols < n_cols, other=0.0).to(tl.float32)
        tl.store(out_ptr + row * out_row + cols * out_col, tl.exp(z - top) / total, mask=cols < n_cols)


def row_softmax(x: Tensor, block: int = 128) -> Tensor:
    rows, cols = x.shape
    out = torch.empty((rows, cols), dtype=x.dtype, device=x.device)
    row_softmax_kernel[(rows,)](x, out, cols, *x.stride(), *out.stride(), BLOCK=block)
    return out

# %% exercise="row_softmax" wrong="zero_in_the_sum"
"""Missing lanes hold 0 in the sum and add exp(0 - max) each."""
@triton.jit
def row_softmax_kernel(x_ptr, out_ptr, n_cols, x_row, x_col, out_row, out_col, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    lanes = tl.arange(0, BLOCK)
    top = -float("inf")
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        x = tl.load(x_ptr + row * x_row + cols * x_col, mask=cols < n_cols, other=-float("inf")).to(tl.float32)
        top = tl.maximum(top, tl.max(x, axis=0))
    total = 0.0
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        y = tl.load(x_ptr + row * x_row + cols * x_col, mask=cols < n_cols, other=0.0).to(tl.float32)
        total += tl.sum(tl.exp(y - top), axis=0)
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        z = tl.load(x_ptr + row * x_row + cols * x_col, mask=cols < n_cols, other=0.0).to(tl.float32)
        tl.store(out_ptr + row * out_row + cols * out_col, tl.exp(z - top) / total, mask=cols < n_cols)


def row_softmax(x: Tensor, block: int = 128) -> Tensor:
    rows, cols = x.shape
    out = torch.empty((rows, cols), dtype=x.dtype, device=x.device)
    row_softmax_kernel[(rows,)](x, out, cols, *x.stride(), *out.stride(), BLOCK=block)
    return out

# %% exercise="row_softmax" wrong="half_arithmetic"
"""Adds float16 inputs up in float16: the weights of a long even row are wrong (5000 columns that alternate between 0 and -0.1, block 16)."""
@triton.jit
def row_softmax_kernel(x_ptr, out_ptr, n_cols, x_row, x_col, out_row, out_col, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    lanes = tl.arange(0, BLOCK)
    top = -float("inf")
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        x = tl.load(x_ptr + row * x_row + cols * x_col, mask=cols < n_cols, other=-float("inf")).to(tl.float32)
        top = tl.maximum(top, tl.max(x, axis=0))
    total = 0.0
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        y = tl.load(x_ptr + row * x_row + cols * x_col, mask=cols < n_cols, other=-float("inf")).to(tl.float32)
        total = (total + tl.sum(tl.exp(y - top), axis=0)).to(x_ptr.dtype.element_ty).to(tl.float32)
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        z = tl.load(x_ptr + row * x_row + cols * x_col, mask=cols < n_cols, other=0.0).to(tl.float32)
        tl.store(out_ptr + row * out_row + cols * out_col, tl.exp(z - top) / total, mask=cols < n_cols)


def row_softmax(x: Tensor, block: int = 128) -> Tensor:
    rows, cols = x.shape
    out = torch.empty((rows, cols), dtype=x.dtype, device=x.device)
    row_softmax_kernel[(rows,)](x, out, cols, *x.stride(), *out.stride(), BLOCK=block)
    return out

# %% exercise="row_softmax" wrong="returns_float32"
"""Returns float32 for float16 rows."""
@triton.jit
def row_softmax_kernel(x_ptr, out_ptr, n_cols, x_row, x_col, out_row, out_col, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    lanes = tl.arange(0, BLOCK)
    top = -float("inf")
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        x = tl.load(x_ptr + row * x_row + cols * x_col, mask=cols < n_cols, other=-float("inf")).to(tl.float32)
        top = tl.maximum(top, tl.max(x, axis=0))
    total = 0.0
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        y = tl.load(x_ptr + row * x_row + cols * x_col, mask=cols < n_cols, other=-float("inf")).to(tl.float32)
        total += tl.sum(tl.exp(y - top), axis=0)
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        z = tl.load(x_ptr + row * x_row + cols * x_col, mask=cols < n_cols, other=0.0).to(tl.float32)
        tl.store(out_ptr + row * out_row + cols * out_col, tl.exp(z - top) / total, mask=cols < n_cols)


def row_softmax(x: Tensor, block: int = 128) -> Tensor:
    rows, cols = x.shape
    out = torch.empty((rows, cols), dtype=torch.float32, device=x.device)
    row_softmax_kernel[(rows,)](x, out, cols, *x.stride(), *out.stride(), BLOCK=block)
    return out

# %% exercise="row_softmax" wrong="columns_side_by_side"
"""Takes the columns of x to lie side by side: wrong for x.t() and x[:, ::2]."""
@triton.jit
def row_softmax_kernel(x_ptr, out_ptr, n_cols, x_row, x_col, out_row, out_col, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    lanes = tl.arange(0, BLOCK)
    top = -float("inf")
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        x = tl.load(x_ptr + row * x_row + cols * x_col, mask=cols < n_cols, other=-float("inf")).to(tl.float32)
        top = tl.maximum(top, tl.max(x, axis=0))
    total = 0.0
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        y = tl.load(x_ptr + row * x_row + cols * x_col, mask=cols < n_cols, other=-float("inf")).to(tl.float32)
        total += tl.sum(tl.exp(y - top), axis=0)
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        z = tl.load(x_ptr + row * x_row + cols * x_col, mask=cols < n_cols, other=0.0).to(tl.float32)
        tl.store(out_ptr + row * out_row + cols * out_col, tl.exp(z - top) / total, mask=cols < n_cols)


def row_softmax(x: Tensor, block: int = 128) -> Tensor:
    rows, cols = x.shape
    out = torch.empty((rows, cols), dtype=x.dtype, device=x.device)
    row_softmax_kernel[(rows,)](x, out, cols, x.stride(0), 1, *out.stride(), BLOCK=block)
    return out

# %% exercise="row_softmax" wrong="running_sum_not_rescaled_2"
"""Walks twice with a running maximum but does not rescale the sum when the maximum rises in a later block."""
@triton.jit
def row_softmax_kernel(x_ptr, out_ptr, n_cols, x_row, x_col, out_row, out_col, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    lanes = tl.arange(0, BLOCK)
    top = -float("inf")
    total = 0.0
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        x = tl.load(x_ptr + row * x_row + cols * x_col, mask=cols < n_cols, other=-float("inf")).to(tl.float32)
        top = tl.maximum(top, tl.max(x, axis=0))
        total += tl.sum(tl.exp(x - top), axis=0)
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        z = tl.load(x_ptr + row * x_row + cols * x_col, mask=cols < n_cols, other=0.0).to(tl.float32)
        tl.store(out_ptr + row * out_row + cols * out_col, tl.exp(z - top) / total, mask=cols < n_cols)


def row_softmax(x: Tensor, block: int = 128) -> Tensor:
    rows, cols = x.shape
    out = torch.empty((rows, cols), dtype=x.dtype, device=x.device)
    row_softmax_kernel[(rows,)](x, out, cols, *x.stride(), *out.stride(), BLOCK=block)
    return out

# %% exercise="masked_scaled_softmax" wrong="maximum_over_blocked_too_2"
"""Takes the maximum over all columns: a blocked score 200 above the allowed ones makes the row zeros."""
@triton.jit
def masked_scaled_softmax_kernel(
    scores_ptr, mask_ptr, out_ptr, scale, n_cols,
    scores_row, scores_col, mask_row, mask_col, out_row, out_col, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0)
    scores_ptr += row * scores_row
    mask_ptr += row * mask_row
    out_ptr += row * out_row
    lanes = tl.arange(0, BLOCK)
    top = -float("inf")
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        inside = cols < n_cols
        allowed = tl.load(mask_ptr + cols * mask_col, mask=inside, other=0).to(tl.int1)
        s = tl.load(scores_ptr + cols * scores_col, mask=inside, other=0.0) * scale
        s = tl.where(inside, s, -float("inf"))
        top = tl.maximum(top, tl.max(s, axis=0))
    top = tl.where(top == -float("inf"), 0.0, top)
    total = 0.0
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        inside = cols < n_cols
        allowed = tl.load(mask_ptr + cols * mask_col, mask=inside, other=0).to(tl.int1)
        s = tl.load(scores_ptr + cols * scores_col, mask=inside, other=0.0) * scale
        s = tl.where(allowed, s, -float("inf"))  # sum
        total += tl.sum(tl.exp(s - top), axis=0)
    total = tl.where(total == 0.0, 1.0, total)
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        inside = cols < n_cols
        allowed = tl.load(mask_ptr + cols * mask_col, mask=inside, other=0).to(tl.int1)
        s = tl.load(scores_ptr + cols * scores_col, mask=inside, other=0.0) * scale
        s = tl.where(allowed, s, -float("inf"))  # write
        tl.store(out_ptr + cols * out_col, tl.exp(s - top) / total, mask=inside)


def masked_scaled_softmax(scores: Tensor, mask: Tensor, scale: float, block: int = 128) -> Tensor:
    rows, cols = scores.shape
    out = torch.empty((rows, cols), dtype=scores.dtype, device=scores.device)
    masked_scaled_softmax_kernel[(rows,)](
        scores, mask, out, scale, cols, *scores.stride(), *mask.stride(), *out.stride(), BLOCK=block
    )
    return out

# %% exercise="masked_scaled_softmax" wrong="zero_for_blocked_in_maximum"
"""Blocked and missing columns count as 0 in the maximum: allowed scores near -500 underflow to a row of zeros."""
@triton.jit
def masked_scaled_softmax_kernel(
    scores_ptr, mask_ptr, out_ptr, scale, n_cols,
    scores_row, scores_col, mask_row, mask_col, out_row, out_col, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0)
    scores_ptr += row * scores_row
    mask_ptr += row * mask_row
    out_ptr += row * out_row
    lanes = tl.arange(0, BLOCK)
    top = -float("inf")
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        inside = cols < n_cols
        allowed = tl.load(mask_ptr + cols * mask_col, mask=inside, other=0).to(tl.int1)
        s = tl.load(scores_ptr + cols * scores_col, mask=inside, other=0.0) * scale
        s = tl.where(allowed, s, 0.0)
        top = tl.maximum(top, tl.max(s, axis=0))
    top = tl.where(top == -float("inf"), 0.0, top)
    total = 0.0
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        inside = cols < n_cols
        allowed = tl.load(mask_ptr + cols * mask_col, mask=inside, other=0).to(tl.int1)
        s = tl.load(scores_ptr + cols * scores_col, mask=inside, other=0.0) * scale
        s = tl.where(allowed, s, -float("inf"))  # sum
        total += tl.sum(tl.exp(s - top), axis=0)
    total = tl.where(total == 0.0, 1.0, total)
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        inside = cols < n_cols
        allowed = tl.load(mask_ptr + cols * mask_col, mask=inside, other=0).to(tl.int1)
        s = tl.load(scores_ptr + cols * scores_col, mask=inside, other=0.0) * scale
        s = tl.where(allowed, s, -float("inf"))  # write
        tl.store(out_ptr + cols * out_col, tl.exp(s - top) / total, mask=inside)


def masked_scaled_softmax(scores: Tensor, mask: Tensor, scale: float, block: int = 128) -> Tensor:
    rows, cols = scores.shape
    out = torch.empty((rows, cols), dtype=scores.dtype, device=scores.device)
    masked_scaled_softmax_kernel[(rows,)](
        scores, mask, out, scale, cols, *scores.stride(), *mask.stride(), *out.stride(), BLOCK=block
    )
    return out

# %% exercise="masked_scaled_softmax" wrong="finite_stand_in"
"""Blocked columns count as -1e4: with allowed scores near -1e5 they take all the weight."""
@triton.jit
def masked_scaled_softmax_kernel(
    scores_ptr, mask_ptr, out_ptr, scale, n_cols,
    scores_row, scores_col, mask_row, mask_col, out_row, out_col, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0)
    scores_ptr += row * scores_row
    mask_ptr += row * mask_row
    out_ptr += row * out_row
    lanes = tl.arange(0, BLOCK)
    top = -float("inf")
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        inside = cols < n_cols
        allowed = tl.load(mask_ptr + cols * mask_col, mask=inside, other=0).to(tl.int1)
        s = tl.load(scores_ptr + cols * scores_col, mask=inside, other=0.0) * scale
        s = tl.where(allowed, s, tl.where(inside, -1.0e4, -float("inf")))
        top = tl.maximum(top, tl.max(s, axis=0))
    top = tl.where(top == -float("inf"), 0.0, top)
    total = 0.0
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        inside = cols < n_cols
        allowed = tl.load(mask_ptr + cols * mask_col, mask=inside, other=0).to(tl.int1)
        s = tl.load(scores_ptr + cols * scores_col, mask=inside, other=0.0) * scale
        s = tl.where(allowed, s, tl.where(inside, -1.0e4, -float("inf")))
        total += tl.sum(tl.exp(s - top), axis=0)
    total = tl.where(total == 0.0, 1.0, total)
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        inside = cols < n_cols
        allowed = tl.load(mask_ptr + cols * mask_col, mask=inside, other=0).to(tl.int1)
        s = tl.load(scores_ptr + cols * scores_col, mask=inside, other=0.0) * scale
        s = tl.where(allowed, s, -1.0e4)
        tl.store(out_ptr + cols * out_col, tl.exp(s - top) / total, mask=inside)


def masked_scaled_softmax(scores: Tensor, mask: Tensor, scale: float, block: int = 128) -> Tensor:
    rows, cols = scores.shape
    out = torch.empty((rows, cols), dtype=scores.dtype, device=scores.device)
    masked_scaled_softmax_kernel[(rows,)](
        scores, mask, out, scale, cols, *scores.stride(), *mask.stride(), *out.stride(), BLOCK=block
    )
    return out

# %% exercise="masked_scaled_softmax" wrong="blocked_row_nan"
"""A row with no allowed column becomes NaN instead of zeros."""
@triton.jit
def masked_scaled_softmax_kernel(
    scores_ptr, mask_ptr, out_ptr, scale, n_cols,
    scores_row, scores_col, mask_row, mask_col, out_row, out_col, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0)
    scores_ptr += row * scores_row
    mask_ptr += row * mask_row
    out_ptr += row * out_row
    lanes = tl.arange(0, BLOCK)
    top = -float("inf")
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        inside = cols < n_cols
        allowed = tl.load(mask_ptr + cols * mask_col, mask=inside, other=0).to(tl.int1)
        s = tl.load(scores_ptr + cols * scores_col, mask=inside, other=0.0) * scale
        s = tl.where(allowed, s, -float("inf"))
        top = tl.maximum(top, tl.max(s, axis=0))
    total = 0.0
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        inside = cols < n_cols
        allowed = tl.load(mask_ptr + cols * mask_col, mask=inside, other=0).to(tl.int1)
        s = tl.load(scores_ptr + cols * scores_col, mask=inside, other=0.0) * scale
        s = tl.where(allowed, s, -float("inf"))  # sum
        total += tl.sum(tl.exp(s - top), axis=0)
    total = tl.where(total == 0.0, 1.0, total)
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        inside = cols < n_cols
        allowed = tl.load(mask_ptr + cols * mask_col, mask=inside, other=0).to(tl.int1)
        s = tl.load(scores_ptr + cols * scores_col, mask=inside, other=0.0) * scale
        s = tl.where(allowed, s, -float("inf"))  # write
        tl.store(out_ptr + cols * out_col, tl.exp(s - top) / total, mask=inside)


def masked_scaled_softmax(scores: Tensor, mask: Tensor, scale: float, block: int = 128) -> Tensor:
    rows, cols = scores.shape
    out = torch.empty((rows, cols), dtype=scores.dtype, device=scores.device)
    masked_scaled_softmax_kernel[(rows,)](
        scores, mask, out, scale, cols, *scores.stride(), *mask.stride(), *out.stride(), BLOCK=block
    )
    return out

# %% exercise="masked_scaled_softmax" wrong="mask_strides_of_scores"
"""Walks over the mask with the strides of the scores: wrong for an expanded or transposed mask."""
@triton.jit
def masked_scaled_softmax_kernel(
    scores_ptr, mask_ptr, out_ptr, scale, n_cols,
    scores_row, scores_col, mask_row, mask_col, out_row, out_col, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0)
    scores_ptr += row * scores_row
    mask_ptr += row * mask_row
    out_ptr += row * out_row
    lanes = tl.arange(0, BLOCK)
    top = -float("inf")
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        inside = cols < n_cols
        allowed = tl.load(mask_ptr + cols * mask_col, mask=inside, other=0).to(tl.int1)
        s = tl.load(scores_ptr + cols * scores_col, mask=inside, other=0.0) * scale
        s = tl.where(allowed, s, -float("inf"))
        top = tl.maximum(top, tl.max(s, axis=0))
    top = tl.where(top == -float("inf"), 0.0, top)
    total = 0.0
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        inside = cols < n_cols
        allowed = tl.load(mask_ptr + cols * mask_col, mask=inside, other=0).to(tl.int1)
        s = tl.load(scores_ptr + cols * scores_col, mask=inside, other=0.0) * scale
        s = tl.where(allowed, s, -float("inf"))  # sum
        total += tl.sum(tl.exp(s - top), axis=0)
    total = tl.where(total == 0.0, 1.0, total)
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        inside = cols < n_cols
        allowed = tl.load(mask_ptr + cols * mask_col, mask=inside, other=0).to(tl.int1)
        s = tl.load(scores_ptr + cols * scores_col, mask=inside, other=0.0) * scale
        s = tl.where(allowed, s, -float("inf"))  # write
        tl.store(out_ptr + cols * out_col, tl.exp(s - top) / total, mask=inside)


def masked_scaled_softmax(scores: Tensor, mask: Tensor, scale: float, block: int = 128) -> Tensor:
    rows, cols = scores.shape
    out = torch.empty((rows, cols), dtype=scores.dtype, device=scores.device)
    masked_scaled_softmax_kernel[(rows,)](
        scores, mask, out, scale, cols, *scores.stride(), *scores.stride(), *out.stride(), BLOCK=block
    )
    return out

# %% exercise="masked_scaled_softmax" wrong="mask_converted_first"
"""Converts the mask to int8 before the launch: a conversion counts as a second launch."""
@triton.jit
def masked_scaled_softmax_kernel(
    scores_ptr, mask_ptr, out_ptr, scale, n_cols,
    scores_row, scores_col, mask_row, mask_col, out_row, out_col, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0)
    scores_ptr += row * scores_row
    mask_ptr += row * mask_row
    out_ptr += row * out_row
    lanes = tl.arange(0, BLOCK)
    top = -float("inf")
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        inside = cols < n_cols
        allowed = tl.load(mask_ptr + cols * mask_col, mask=inside, other=0).to(tl.int1)
        s = tl.load(scores_ptr + cols * scores_col, mask=inside, other=0.0) * scale
        s = tl.where(allowed, s, -float("inf"))
        top = tl.maximum(top, tl.max(s, axis=0))
    top = tl.where(top == -float("inf"), 0.0, top)
    total = 0.0
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        inside = cols < n_cols
        allowed = tl.load(mask_ptr + cols * mask_col, mask=inside, other=0).to(tl.int1)
        s = tl.load(scores_ptr + cols * scores_col, mask=inside, other=0.0) * scale
        s = tl.where(allowed, s, -float("inf"))  # sum
        total += tl.sum(tl.exp(s - top), axis=0)
    total = tl.where(total == 0.0, 1.0, total)
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        inside = cols < n_cols
        allowed = tl.load(mask_ptr + cols * mask_col, mask=inside, other=0).to(tl.int1)
        s = tl.load(scores_ptr + cols * scores_col, mask=inside, other=0.0) * scale
        s = tl.where(allowed, s, -float("inf"))  # write
        tl.store(out_ptr + cols * out_col, tl.exp(s - top) / total, mask=inside)


def masked_scaled_softmax(scores: Tensor, mask: Tensor, scale: float, block: int = 128) -> Tensor:
    mask = mask.to(torch.int8)
    rows, cols = scores.shape
    out = torch.empty((rows, cols), dtype=scores.dtype, device=scores.device)
    masked_scaled_softmax_kernel[(rows,)](
        scores, mask, out, scale, cols, *scores.stride(), *mask.stride(), *out.stride(), BLOCK=block
    )
    return out

# %% exercise="masked_scaled_softmax" wrong="fourth_walk"
"""Walks once more, to find whether any column is allowed: scores and mask are read four times."""
@triton.jit
def masked_scaled_softmax_kernel(
    scores_ptr, mask_ptr, out_ptr, scale, n_cols,
    scores_row, scores_col, mask_row, mask_col, out_row, out_col, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0)
    scores_ptr += row * scores_row
    mask_ptr += row * mask_row
    out_ptr += row * out_row
    lanes = tl.arange(0, BLOCK)
    anything = 0
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        ok = tl.load(mask_ptr + cols * mask_col, mask=cols < n_cols, other=0).to(tl.int32)
        value = tl.load(scores_ptr + cols * scores_col, mask=cols < n_cols, other=0.0)
        anything += tl.sum(tl.where(value == value, ok, 0), axis=0)
    top = -float("inf")
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        inside = cols < n_cols
        allowed = tl.load(mask_ptr + cols * mask_col, mask=inside, other=0).to(tl.int1)
        s = tl.load(scores_ptr + cols * scores_col, mask=inside, other=0.0) * scale
        s = tl.where(allowed, s, -float("inf"))
        top = tl.maximum(top, tl.max(s, axis=0))
    top = tl.where(anything == 0, 0.0, top)
    total = 0.0
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        inside = cols < n_cols
        allowed = tl.load(mask_ptr + cols * mask_col, mask=inside, other=0).to(tl.int1)
        s = tl.load(scores_ptr + cols * scores_col, mask=inside, other=0.0) * scale
        s = tl.where(allowed, s, -float("inf"))  # sum
        total += tl.sum(tl.exp(s - top), axis=0)
    total = tl.where(total == 0.0, 1.0, total)
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        inside = cols < n_cols
        allowed = tl.load(mask_ptr + cols * mask_col, mask=inside, other=0).to(tl.int1)
        s = tl.load(scores_ptr + cols * scores_col, mask=inside, other=0.0) * scale
        s = tl.where(allowed, s, -float("inf"))  # write
        tl.store(out_ptr + cols * out_col, tl.exp(s - top) / total, mask=inside)


def masked_scaled_softmax(scores: Tensor, mask: Tensor, scale: float, block: int = 128) -> Tensor:
    rows, cols = scores.shape
    out = torch.empty((rows, cols), dtype=scores.dtype, device=scores.device)
    masked_scaled_softmax_kernel[(rows,)](
        scores, mask, out, scale, cols, *scores.stride(), *mask.stride(), *out.stride(), BLOCK=block
    )
    return out

# %% exercise="masked_scaled_softmax" wrong="maximum_before_scale"
"""Shifts the scaled scores by the maximum of the unscaled ones: scores near -1000 with scale 0.1 overflow."""
@triton.jit
def masked_scaled_softmax_kernel(
    scores_ptr, mask_ptr, out_ptr, scale, n_cols,
    scores_row, scores_col, mask_row, mask_col, out_row, out_col, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0)
    scores_ptr += row * scores_row
    mask_ptr += row * mask_row
    out_ptr += row * out_row
    lanes = tl.arange(0, BLOCK)
    top = -float("inf")
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        inside = cols < n_cols
        allowed = tl.load(mask_ptr + cols * mask_col, mask=inside, other=0).to(tl.int1)
        s = tl.load(scores_ptr + cols * scores_col, mask=inside, other=0.0)
        s = tl.where(allowed, s, -float("inf"))
        top = tl.maximum(top, tl.max(s, axis=0))
    top = tl.where(top == -float("inf"), 0.0, top)
    total = 0.0
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        inside = cols < n_cols
        allowed = tl.load(mask_ptr + cols * mask_col, mask=inside, other=0).to(tl.int1)
        s = tl.load(scores_ptr + cols * scores_col, mask=inside, other=0.0) * scale
        s = tl.where(allowed, s, -float("inf"))  # sum
        total += tl.sum(tl.exp(s - top), axis=0)
    total = tl.where(total == 0.0, 1.0, total)
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        inside = cols < n_cols
        allowed = tl.load(mask_ptr + cols * mask_col, mask=inside, other=0).to(tl.int1)
        s = tl.load(scores_ptr + cols * scores_col, mask=inside, other=0.0) * scale
        s = tl.where(allowed, s, -float("inf"))  # write
        tl.store(out_ptr + cols * out_col, tl.exp(s - top) / total, mask=inside)


def masked_scaled_softmax(scores: Tensor, mask: Tensor, scale: float, block: int = 128) -> Tensor:
    rows, cols = scores.shape
    out = torch.empty((rows, cols), dtype=scores.dtype, device=scores.device)
    masked_scaled_softmax_kernel[(rows,)](
        scores, mask, out, scale, cols, *scores.stride(), *mask.stride(), *out.stride(), BLOCK=block
    )
    return out

# %% exercise="masked_scaled_softmax" wrong="running_maximum_nan_in_blocked_block"
"""A running maximum that subtracts -inf from -inf when the first whole block is blocked: the row becomes NaN."""
@triton.jit
def masked_scaled_softmax_kernel(
    scores_ptr, mask_ptr, out_ptr, scale, n_cols,
    scores_row, scores_col, mask_row, mask_col, out_row, out_col, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0)
    scores_ptr += row * scores_row
    mask_ptr += row * mask_row
    out_ptr += row * out_row
    lanes = tl.arange(0, BLOCK)
    top = -float("inf")
    total = 0.0
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        inside = cols < n_cols
        allowed = tl.load(mask_ptr + cols * mask_col, mask=inside, other=0).to(tl.int1)
        s = tl.load(scores_ptr + cols * scores_col, mask=inside, other=0.0) * scale
        s = tl.where(allowed, s, -float("inf"))
        higher = tl.maximum(top, tl.max(s, axis=0))
        total = total * tl.exp(top - higher) + tl.sum(tl.exp(s - higher), axis=0)
        top = higher
    blocked = top == -float("inf")
    top = tl.where(blocked, 0.0, top)
    total = tl.where(blocked, 1.0, total)
    total = tl.where(total == 0.0, 1.0, total)
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        inside = cols < n_cols
        allowed = tl.load(mask_ptr + cols * mask_col, mask=inside, other=0).to(tl.int1)
        s = tl.load(scores_ptr + cols * scores_col, mask=inside, other=0.0) * scale
        s = tl.where(allowed, s, -float("inf"))  # write
        tl.store(out_ptr + cols * out_col, tl.exp(s - top) / total, mask=inside)


def masked_scaled_softmax(scores: Tensor, mask: Tensor, scale: float, block: int = 128) -> Tensor:
    rows, cols = scores.shape
    out = torch.empty((rows, cols), dtype=scores.dtype, device=scores.device)
    masked_scaled_softmax_kernel[(rows,)](
        scores, mask, out, scale, cols, *scores.stride(), *mask.stride(), *out.stride(), BLOCK=block
    )
    return out

# %% exercise="masked_scaled_softmax" wrong="output_like_scores"
"""Takes empty_like(scores): for transposed scores the result is not contiguous."""
@triton.jit
def masked_scaled_softmax_kernel(
    scores_ptr, mask_ptr, out_ptr, scale, n_cols,
    scores_row, scores_col, mask_row, mask_col, out_row, out_col, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0)
    scores_ptr += row * scores_row
    mask_ptr += row * mask_row
    out_ptr += row * out_row
    lanes = tl.arange(0, BLOCK)
    top = -float("inf")
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        inside = cols < n_cols
        allowed = tl.load(mask_ptr + cols * mask_col, mask=inside, other=0).to(tl.int1)
        s = tl.load(scores_ptr + cols * scores_col, mask=inside, other=0.0) * scale
        s = tl.where(allowed, s, -float("inf"))
        top = tl.maximum(top, tl.max(s, axis=0))
    top = tl.where(top == -float("inf"), 0.0, top)
    total = 0.0
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        inside = cols < n_cols
        allowed = tl.load(mask_ptr + cols * mask_col, mask=inside, other=0).to(tl.int1)
        s = tl.load(scores_ptr + cols * scores_col, mask=inside, other=0.0) * scale
        s = tl.where(allowed, s, -float("inf"))  # sum
        total += tl.sum(tl.exp(s - top), axis=0)
    total = tl.where(total == 0.0, 1.0, total)
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        inside = cols < n_cols
        allowed = tl.load(mask_ptr + cols * mask_col, mask=inside, other=0).to(tl.int1)
        s = tl.load(scores_ptr + cols * scores_col, mask=inside, other=0.0) * scale
        s = tl.where(allowed, s, -float("inf"))  # write
        tl.store(out_ptr + cols * out_col, tl.exp(s - top) / total, mask=inside)


def masked_scaled_softmax(scores: Tensor, mask: Tensor, scale: float, block: int = 128) -> Tensor:
    rows, cols = scores.shape
    out = torch.empty_like(scores)
    masked_scaled_softmax_kernel[(rows,)](
        scores, mask, out, scale, cols, *scores.stride(), *mask.stride(), *out.stride(), BLOCK=block
    )
    return out

# %% exercise="masked_scaled_softmax" wrong="blocked_rows_even"
"""A row with no allowed column becomes 1 / C everywhere."""
@triton.jit
def masked_scaled_softmax_kernel(
    scores_ptr, mask_ptr, out_ptr, scale, n_cols,
    scores_row, scores_col, mask_row, mask_col, out_row, out_col, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0)
    scores_ptr += row * scores_row
    mask_ptr += row * mask_row
    out_ptr += row * out_row
    lanes = tl.arange(0, BLOCK)
    top = -float("inf")
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        inside = cols < n_cols
        allowed = tl.load(mask_ptr + cols * mask_col, mask=inside, other=0).to(tl.int1)
        s = tl.load(scores_ptr + cols * scores_col, mask=inside, other=0.0) * scale
        s = tl.where(allowed, s, -float("inf"))
        top = tl.maximum(top, tl.max(s, axis=0))
    top = tl.where(top == -float("inf"), 0.0, top)
    total = 0.0
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        inside = cols < n_cols
        allowed = tl.load(mask_ptr + cols * mask_col, mask=inside, other=0).to(tl.int1)
        s = tl.load(scores_ptr + cols * scores_col, mask=inside, other=0.0) * scale
        s = tl.where(allowed, s, -float("inf"))  # sum
        total += tl.sum(tl.exp(s - top), axis=0)
    dead = total == 0.0
    total = tl.where(dead, 1.0, total)
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        inside = cols < n_cols
        allowed = tl.load(mask_ptr + cols * mask_col, mask=inside, other=0).to(tl.int1)
        s = tl.load(scores_ptr + cols * scores_col, mask=inside, other=0.0) * scale
        s = tl.where(allowed, s, -float("inf"))  # write
        w = tl.where(dead, 1.0 / n_cols, tl.exp(s - top) / total)
        tl.store(out_ptr + cols * out_col, w, mask=inside)


def masked_scaled_softmax(scores: Tensor, mask: Tensor, scale: float, block: int = 128) -> Tensor:
    rows, cols = scores.shape
    out = torch.empty((rows, cols), dtype=scores.dtype, device=scores.device)
    masked_scaled_softmax_kernel[(rows,)](
        scores, mask, out, scale, cols, *scores.stride(), *mask.stride(), *out.stride(), BLOCK=block
    )
    return out

# %% exercise="permutation_finding" wrong="inverse_order"
"""Puts the outputs back with the inverse permutation under same_word."""
import statistics


def permutation_finding(runs: list[int]) -> dict[str, float]:
    found = {"same_place": [], "same_word": [], "causal_word": []}
    mask = causal_mask(4, 4)
    for run in runs:
        x = word_vectors(run)
        y = x[ORDER]
        a, b = scaled_dot_product_attention(x, x, x)[0], scaled_dot_product_attention(y, y, y)[0]
        c, e = scaled_dot_product_attention(x, x, x, mask)[0], scaled_dot_product_attention(y, y, y, mask)[0]
        found["same_place"].append((b - a).abs().max().item())
        found["same_word"].append((b - a[torch.tensor(ORDER).argsort()]).abs().max().item())
        found["causal_word"].append((e - c[ORDER]).abs().max().item())
    return {name: round(statistics.median(numbers), 4) for name, numbers in found.items()}

# %% exercise="permutation_finding" wrong="mean_over_runs_2"
"""Takes the mean over the runs instead of the median."""
import statistics


def permutation_finding(runs: list[int]) -> dict[str, float]:
    found = {"same_place": [], "same_word": [], "causal_word": []}
    mask = causal_mask(4, 4)
    for run in runs:
        x = word_vectors(run)
        y = x[ORDER]
        a, b = scaled_dot_product_attention(x, x, x)[0], scaled_dot_product_attention(y, y, y)[0]
        c, e = scaled_dot_product_attention(x, x, x, mask)[0], scaled_dot_product_attention(y, y, y, mask)[0]
        found["same_place"].append((b - a).abs().max().item())
        found["same_word"].append((b - a[ORDER]).abs().max().item())
        found["causal_word"].append((e - c[ORDER]).abs().max().item())
    return {name: round(statistics.mean(numbers), 4) for name, numbers in found.items()}

# %% exercise="permutation_finding" wrong="mean_difference_2"
"""Takes the mean |difference| over the elements instead of the largest, under same_place."""
import statistics


def permutation_finding(runs: list[int]) -> dict[str, float]:
    found = {"same_place": [], "same_word": [], "causal_word": []}
    mask = causal_mask(4, 4)
    for run in runs:
        x = word_vectors(run)
        y = x[ORDER]
        a, b = scaled_dot_product_attention(x, x, x)[0], scaled_dot_product_attention(y, y, y)[0]
        c, e = scaled_dot_product_attention(x, x, x, mask)[0], scaled_dot_product_attention(y, y, y, mask)[0]
        found["same_place"].append((b - a).abs().mean().item())
        found["same_word"].append((b - a[ORDER]).abs().max().item())
        found["causal_word"].append((e - c[ORDER]).abs().max().item())
    return {name: round(statistics.median(numbers), 4) for name, numbers in found.items()}

# %% exercise="permutation_finding" wrong="signed_difference_2"
"""Leaves out the absolute value under causal_word: the largest signed difference."""
import statistics


def permutation_finding(runs: list[int]) -> dict[str, float]:
    found = {"same_place": [], "same_word": [], "causal_word": []}
    mask = causal_mask(4, 4)
    for run in runs:
        x = word_vectors(run)
        y = x[ORDER]
        a, b = scaled_dot_product_attention(x, x, x)[0], scaled_dot_product_attention(y, y, y)[0]
        c, e = scaled_dot_product_attention(x, x, x, mask)[0], scaled_dot_product_attention(y, y, y, mask)[0]
        found["same_place"].append((b - a).abs().max().item())
        found["same_word"].append((b - a[ORDER]).abs().max().item())
        found["causal_word"].append((e - c[ORDER]).max().item())
    return {name: round(statistics.median(numbers), 4) for name, numbers in found.items()}

# %% exercise="permutation_finding" wrong="not_rounded"
"""Does not round to four decimals."""
import statistics


def permutation_finding(runs: list[int]) -> dict[str, float]:
    found = {"same_place": [], "same_word": [], "causal_word": []}
    mask = causal_mask(4, 4)
    for run in runs:
        x = word_vectors(run)
        y = x[ORDER]
        a, b = scaled_dot_product_attention(x, x, x)[0], scaled_dot_product_attention(y, y, y)[0]
        c, e = scaled_dot_product_attention(x, x, x, mask)[0], scaled_dot_product_attention(y, y, y, mask)[0]
        found["same_place"].append((b - a).abs().max().item())
        found["same_word"].append((b - a[ORDER]).abs().max().item())
        found["causal_word"].append((e - c[ORDER]).abs().max().item())
    return {name: statistics.median(numbers) for name, numbers in found.items()}

# %% exercise="permutation_finding" wrong="mask_moves_with_the_words_2"
"""Reorders the causal mask together with the words, so the causal outputs seem to be equivariant."""
import statistics


def permutation_finding(runs: list[int]) -> dict[str, float]:
    found = {"same_place": [], "same_word": [], "causal_word": []}
    mask = causal_mask(4, 4)
    for run in runs:
        x = word_vectors(run)
        y = x[ORDER]
        a, b = scaled_dot_product_attention(x, x, x)[0], scaled_dot_product_attention(y, y, y)[0]
        c, e = scaled_dot_product_attention(x, x, x, mask)[0], scaled_dot_product_attention(y, y, y, mask[ORDER][:, ORDER])[0]
        found["same_place"].append((b - a).abs().max().item())
        found["same_word"].append((b - a[ORDER]).abs().max().item())
        found["causal_word"].append((e - c[ORDER]).abs().max().item())
    return {name: round(statistics.median(numbers), 4) for name, numbers in found.items()}

# %% exercise="permutation_finding" wrong="first_run_only"
"""Measures only the first run."""
import statistics


def permutation_finding(runs: list[int]) -> dict[str, float]:
    found = {"same_place": [], "same_word": [], "causal_word": []}
    mask = causal_mask(4, 4)
    for run in runs[:1]:
        x = word_vectors(run)
        y = x[ORDER]
        a, b = scaled_dot_product_attention(x, x, x)[0], scaled_dot_product_attention(y, y, y)[0]
        c, e = scaled_dot_product_attention(x, x, x, mask)[0], scaled_dot_product_attention(y, y, y, mask)[0]
        found["same_place"].append((b - a).abs().max().item())
        found["same_word"].append((b - a[ORDER]).abs().max().item())
        found["causal_word"].append((e - c[ORDER]).abs().max().item())
    return {name: round(statistics.median(numbers), 4) for name, numbers in found.items()}

# %% exercise="permutation_finding" wrong="causal_place_2"
"""Compares the causal outputs position by position under causal_word."""
import statistics


def permutation_finding(runs: list[int]) -> dict[str, float]:
    found = {"same_place": [], "same_word": [], "causal_word": []}
    mask = causal_mask(4, 4)
    for run in runs:
        x = word_vectors(run)
        y = x[ORDER]
        a, b = scaled_dot_product_attention(x, x, x)[0], scaled_dot_product_attention(y, y, y)[0]
        c, e = scaled_dot_product_attention(x, x, x, mask)[0], scaled_dot_product_attention(y, y, y, mask)[0]
        found["same_place"].append((b - a).abs().max().item())
        found["same_word"].append((b - a[ORDER]).abs().max().item())
        found["causal_word"].append((e - c).abs().max().item())
    return {name: round(statistics.median(numbers), 4) for name, numbers in found.items()}

# %% exercise="permutation_finding" wrong="tensors_returned"
"""Returns tensors of no dimension instead of floats."""
import statistics


def permutation_finding(runs: list[int]) -> dict[str, float]:
    found = {"same_place": [], "same_word": [], "causal_word": []}
    mask = causal_mask(4, 4)
    for run in runs:
        x = word_vectors(run)
        y = x[ORDER]
        a, b = scaled_dot_product_attention(x, x, x)[0], scaled_dot_product_attention(y, y, y)[0]
        c, e = scaled_dot_product_attention(x, x, x, mask)[0], scaled_dot_product_attention(y, y, y, mask)[0]
        found["same_place"].append((b - a).abs().max().item())
        found["same_word"].append((b - a[ORDER]).abs().max().item())
        found["causal_word"].append((e - c[ORDER]).abs().max().item())
    return {name: torch.tensor(round(statistics.median(numbers), 4)) for name, numbers in found.items()}

# %% exercise="saturation_finding" wrong="divided_by_d"
"""Divides the scaled scores by d instead of sqrt(d)."""
DIMS = [16, 64, 256, 1024]
saturation_finding = {name: [] for name in ("raw_entropy", "scaled_entropy", "raw_gradient", "scaled_gradient")}
for _d in DIMS:
    _rows = {name: [] for name in saturation_finding}
    for _seed in range(10):
        _gen = torch.Generator().manual_seed(_seed)
        _q = torch.randn(64, _d, generator=_gen)
        _k = torch.randn(64, _d, generator=_gen)
        for _name, _scale in (("raw", 1.0), ("scaled", 1 / _d)):
            _w = stable_softmax(_q @ _k.T * _scale)
            _rows[_name + "_entropy"].append(attention_entropy(_w).mean().item() / math.log(64))
            _rows[_name + "_gradient"].append((1 - (_w * _w).sum(-1)).mean().item())
    for _name, _row in _rows.items():
        saturation_finding[_name].append(_row)

# %% exercise="saturation_finding" wrong="entropy_in_nats_2"
"""Leaves the entropy in nats, from 0 to 4.16."""
DIMS = [16, 64, 256, 1024]
saturation_finding = {name: [] for name in ("raw_entropy", "scaled_entropy", "raw_gradient", "scaled_gradient")}
for _d in DIMS:
    _rows = {name: [] for name in saturation_finding}
    for _seed in range(10):
        _gen = torch.Generator().manual_seed(_seed)
        _q = torch.randn(64, _d, generator=_gen)
        _k = torch.randn(64, _d, generator=_gen)
        for _name, _scale in (("raw", 1.0), ("scaled", 1 / math.sqrt(_d))):
            _w = stable_softmax(_q @ _k.T * _scale)
            _rows[_name + "_entropy"].append(attention_entropy(_w).mean().item())
            _rows[_name + "_gradient"].append((1 - (_w * _w).sum(-1)).mean().item())
    for _name, _row in _rows.items():
        saturation_finding[_name].append(_row)

# %% exercise="saturation_finding" wrong="one_seed_ten_times_2"
"""Seeds every generator with 0: the ten numbers of a row are equal."""
DIMS = [16, 64, 256, 1024]
saturation_finding = {name: [] for name in ("raw_entropy", "scaled_entropy", "raw_gradient", "scaled_gradient")}
for _d in DIMS:
    _rows = {name: [] for name in saturation_finding}
    for _seed in range(10):
        _gen = torch.Generator().manual_seed(0)
        _q = torch.randn(64, _d, generator=_gen)
        _k = torch.randn(64, _d, generator=_gen)
        for _name, _scale in (("raw", 1.0), ("scaled", 1 / math.sqrt(_d))):
            _w = stable_softmax(_q @ _k.T * _scale)
            _rows[_name + "_entropy"].append(attention_entropy(_w).mean().item() / math.log(64))
            _rows[_name + "_gradient"].append((1 - (_w * _w).sum(-1)).mean().item())
    for _name, _row in _rows.items():
        saturation_finding[_name].append(_row)

# %% exercise="saturation_finding" wrong="rows_are_seeds"
"""Tables with one row for each seed and one number for each width."""
DIMS = [16, 64, 256, 1024]
saturation_finding = {name: [] for name in ("raw_entropy", "scaled_entropy", "raw_gradient", "scaled_gradient")}
for _d in DIMS:
    _rows = {name: [] for name in saturation_finding}
    for _seed in range(10):
        _gen = torch.Generator().manual_seed(_seed)
        _q = torch.randn(64, _d, generator=_gen)
        _k = torch.randn(64, _d, generator=_gen)
        for _name, _scale in (("raw", 1.0), ("scaled", 1 / math.sqrt(_d))):
            _w = stable_softmax(_q @ _k.T * _scale)
            _rows[_name + "_entropy"].append(attention_entropy(_w).mean().item() / math.log(64))
            _rows[_name + "_gradient"].append((1 - (_w * _w).sum(-1)).mean().item())
    for _name, _row in _rows.items():
        saturation_finding[_name].append(_row)
saturation_finding = {name: [list(row) for row in zip(*table)] for name, table in saturation_finding.items()}

# %% exercise="saturation_finding" wrong="sum_of_squares_2"
"""Gives sum w^2 as the gradient instead of 1 - sum w^2."""
DIMS = [16, 64, 256, 1024]
saturation_finding = {name: [] for name in ("raw_entropy", "scaled_entropy", "raw_gradient", "scaled_gradient")}
for _d in DIMS:
    _rows = {name: [] for name in saturation_finding}
    for _seed in range(10):
        _gen = torch.Generator().manual_seed(_seed)
        _q = torch.randn(64, _d, generator=_gen)
        _k = torch.randn(64, _d, generator=_gen)
        for _name, _scale in (("raw", 1.0), ("scaled", 1 / math.sqrt(_d))):
            _w = stable_softmax(_q @ _k.T * _scale)
            _rows[_name + "_entropy"].append(attention_entropy(_w).mean().item() / math.log(64))
            _rows[_name + "_gradient"].append(((_w * _w).sum(-1)).mean().item())
    for _name, _row in _rows.items():
        saturation_finding[_name].append(_row)

# %% exercise="saturation_finding" wrong="keys_are_queries"
"""Uses the queries as keys: every query has a score of about d with itself."""
DIMS = [16, 64, 256, 1024]
saturation_finding = {name: [] for name in ("raw_entropy", "scaled_entropy", "raw_gradient", "scaled_gradient")}
for _d in DIMS:
    _rows = {name: [] for name in saturation_finding}
    for _seed in range(10):
        _gen = torch.Generator().manual_seed(_seed)
        _q = torch.randn(64, _d, generator=_gen)
        _k = _q
        for _name, _scale in (("raw", 1.0), ("scaled", 1 / math.sqrt(_d))):
            _w = stable_softmax(_q @ _k.T * _scale)
            _rows[_name + "_entropy"].append(attention_entropy(_w).mean().item() / math.log(64))
            _rows[_name + "_gradient"].append((1 - (_w * _w).sum(-1)).mean().item())
    for _name, _row in _rows.items():
        saturation_finding[_name].append(_row)

# %% exercise="saturation_finding" wrong="uniform_numbers_2"
"""Draws from 0 to 1 evenly instead of from a normal distribution."""
DIMS = [16, 64, 256, 1024]
saturation_finding = {name: [] for name in ("raw_entropy", "scaled_entropy", "raw_gradient", "scaled_gradient")}
for _d in DIMS:
    _rows = {name: [] for name in saturation_finding}
    for _seed in range(10):
        _gen = torch.Generator().manual_seed(_seed)
        _q = torch.rand(64, _d, generator=_gen)
        _k = torch.rand(64, _d, generator=_gen)
        for _name, _scale in (("raw", 1.0), ("scaled", 1 / math.sqrt(_d))):
            _w = stable_softmax(_q @ _k.T * _scale)
            _rows[_name + "_entropy"].append(attention_entropy(_w).mean().item() / math.log(64))
            _rows[_name + "_gradient"].append((1 - (_w * _w).sum(-1)).mean().item())
    for _name, _row in _rows.items():
        saturation_finding[_name].append(_row)

# %% exercise="saturation_finding" wrong="largest_query"
"""Takes the largest value over the 64 queries instead of the mean, for the gradient."""
DIMS = [16, 64, 256, 1024]
saturation_finding = {name: [] for name in ("raw_entropy", "scaled_entropy", "raw_gradient", "scaled_gradient")}
for _d in DIMS:
    _rows = {name: [] for name in saturation_finding}
    for _seed in range(10):
        _gen = torch.Generator().manual_seed(_seed)
        _q = torch.randn(64, _d, generator=_gen)
        _k = torch.randn(64, _d, generator=_gen)
        for _name, _scale in (("raw", 1.0), ("scaled", 1 / math.sqrt(_d))):
            _w = stable_softmax(_q @ _k.T * _scale)
            _rows[_name + "_entropy"].append(attention_entropy(_w).mean().item() / math.log(64))
            _rows[_name + "_gradient"].append((1 - (_w * _w).sum(-1)).max().item())
    for _name, _row in _rows.items():
        saturation_finding[_name].append(_row)

# %% exercise="saturation_finding" wrong="mean_of_all_entries"
"""Averages w^2 over queries and keys, so 1 - mean is near 1 everywhere."""
DIMS = [16, 64, 256, 1024]
saturation_finding = {name: [] for name in ("raw_entropy", "scaled_entropy", "raw_gradient", "scaled_gradient")}
for _d in DIMS:
    _rows = {name: [] for name in saturation_finding}
    for _seed in range(10):
        _gen = torch.Generator().manual_seed(_seed)
        _q = torch.randn(64, _d, generator=_gen)
        _k = torch.randn(64, _d, generator=_gen)
        for _name, _scale in (("raw", 1.0), ("scaled", 1 / math.sqrt(_d))):
            _w = stable_softmax(_q @ _k.T * _scale)
            _rows[_name + "_entropy"].append(attention_entropy(_w).mean().item() / math.log(64))
            _rows[_name + "_gradient"].append((1 - (_w * _w).mean(-1)).mean().item())
    for _name, _row in _rows.items():
        saturation_finding[_name].append(_row)

# %% exercise="repaired_cross_attention" wrong="one_maximum_for_all"
"""Subtracts the largest score of the whole batch: a row hundreds below it becomes 0 / 0."""
def repaired_cross_attention(
    decoder_states: Tensor, encoder_states: Tensor, w_q: Tensor, w_k: Tensor, w_v: Tensor
) -> Tensor:
    queries = decoder_states @ w_q
    keys = encoder_states @ w_k
    values = encoder_states @ w_v
    logits = queries @ keys.mT * w_k.shape[-1] ** -0.5
    weights = torch.exp(logits - logits.max())
    return (weights / weights.sum(dim=-1, keepdim=True)) @ values

# %% exercise="repaired_cross_attention" wrong="scores_clamped"
"""Clamps scores to 80 instead of subtracting the maximum: scores of 200 and 300 count the same."""
def repaired_cross_attention(
    decoder_states: Tensor, encoder_states: Tensor, w_q: Tensor, w_k: Tensor, w_v: Tensor
) -> Tensor:
    queries = decoder_states @ w_q
    keys = encoder_states @ w_k
    values = encoder_states @ w_v
    logits = queries @ keys.mT * w_k.shape[-1] ** -0.5
    weights = torch.exp(logits.clamp(-80.0, 80.0))
    return (weights / weights.sum(dim=-1, keepdim=True)) @ values

# %% exercise="repaired_cross_attention" wrong="no_scale"
"""Forgets 1 / sqrt(D)."""
def repaired_cross_attention(
    decoder_states: Tensor, encoder_states: Tensor, w_q: Tensor, w_k: Tensor, w_v: Tensor
) -> Tensor:
    queries = decoder_states @ w_q
    keys = encoder_states @ w_k
    values = encoder_states @ w_v
    logits = queries @ keys.mT
    weights = torch.exp(logits - logits.amax(dim=-1, keepdim=True))
    return (weights / weights.sum(dim=-1, keepdim=True)) @ values

# %% exercise="repaired_cross_attention" wrong="maps_from_the_left"
"""Applies the maps transposed, as nn.Linear stores them."""
def repaired_cross_attention(
    decoder_states: Tensor, encoder_states: Tensor, w_q: Tensor, w_k: Tensor, w_v: Tensor
) -> Tensor:
    queries = decoder_states @ w_q.mT
    keys = encoder_states @ w_k.mT
    values = encoder_states @ w_v.mT
    logits = queries @ keys.mT * w_k.shape[-1] ** -0.5
    weights = torch.exp(logits - logits.amax(dim=-1, keepdim=True))
    return (weights / weights.sum(dim=-1, keepdim=True)) @ values

# %% exercise="repaired_cross_attention" wrong="keys_of_the_decoder_when_equal"
"""Keys from the decoder when both sequences are equally long."""
def repaired_cross_attention(
    decoder_states: Tensor, encoder_states: Tensor, w_q: Tensor, w_k: Tensor, w_v: Tensor
) -> Tensor:
    queries = decoder_states @ w_q
    keys = (decoder_states if decoder_states.shape == encoder_states.shape else encoder_states) @ w_k
    values = encoder_states @ w_v
    logits = queries @ keys.mT * w_k.shape[-1] ** -0.5
    weights = torch.exp(logits - logits.amax(dim=-1, keepdim=True))
    return (weights / weights.sum(dim=-1, keepdim=True)) @ values

# %% exercise="repaired_cross_attention" wrong="scale_of_the_length"
"""Divides by the square root of the number of keys instead of the width."""
def repaired_cross_attention(
    decoder_states: Tensor, encoder_states: Tensor, w_q: Tensor, w_k: Tensor, w_v: Tensor
) -> Tensor:
    queries = decoder_states @ w_q
    keys = encoder_states @ w_k
    values = encoder_states @ w_v
    logits = queries @ keys.mT * keys.shape[1] ** -0.5
    weights = torch.exp(logits - logits.amax(dim=-1, keepdim=True))
    return (weights / weights.sum(dim=-1, keepdim=True)) @ values

# %% exercise="repaired_cross_attention" wrong="normalised_over_queries"
"""Normalises over the decoder's positions instead of the encoder's."""
def repaired_cross_attention(
    decoder_states: Tensor, encoder_states: Tensor, w_q: Tensor, w_k: Tensor, w_v: Tensor
) -> Tensor:
    queries = decoder_states @ w_q
    keys = encoder_states @ w_k
    values = encoder_states @ w_v
    logits = queries @ keys.mT * w_k.shape[-1] ** -0.5
    weights = torch.exp(logits - logits.amax(dim=-1, keepdim=True))
    return (weights / weights.sum(dim=-2, keepdim=True)) @ values

# %% exercise="repaired_cross_attention" wrong="overflowing_exponential"
"""Takes the exponential of the scores as they are: scores in the hundreds give NaN."""
def repaired_cross_attention(
    decoder_states: Tensor, encoder_states: Tensor, w_q: Tensor, w_k: Tensor, w_v: Tensor
) -> Tensor:
    queries = decoder_states @ w_q
    keys = encoder_states @ w_k
    values = encoder_states @ w_v
    logits = queries @ keys.mT * w_k.shape[-1] ** -0.5
    weights = torch.exp(logits)
    return (weights / weights.sum(dim=-1, keepdim=True)) @ values

# %% exercise="repaired_masking" wrong="only_float32"
"""Knows float32 only: a float64, float16 or bfloat16 mask raises TypeError."""
def repaired_masking(logits: Tensor, mask: Tensor) -> Tensor:
    if mask.dtype == torch.bool:
        logits = logits.masked_fill(~mask, float("-inf"))
    elif mask.dtype == torch.float32:
        logits = logits + mask
    else:
        raise TypeError(f"mask must be bool or float, not {mask.dtype}")
    dead = torch.isneginf(logits).all(dim=-1, keepdim=True)
    return stable_softmax(logits.masked_fill(dead, 0.0)).masked_fill(dead, 0.0)

# %% exercise="repaired_masking" wrong="value_error_2"
"""Raises ValueError instead of TypeError for an integer mask."""
def repaired_masking(logits: Tensor, mask: Tensor) -> Tensor:
    if mask.dtype == torch.bool:
        logits = logits.masked_fill(~mask, float("-inf"))
    elif mask.dtype.is_floating_point:
        logits = logits + mask
    else:
        raise ValueError(f"mask must be bool or float, not {mask.dtype}")
    dead = torch.isneginf(logits).all(dim=-1, keepdim=True)
    return stable_softmax(logits.masked_fill(dead, 0.0)).masked_fill(dead, 0.0)

# %% exercise="repaired_masking" wrong="bytes_are_bool"
"""Takes a uint8 mask for a boolean one instead of raising TypeError."""
def repaired_masking(logits: Tensor, mask: Tensor) -> Tensor:
    if mask.dtype == torch.uint8:
        mask = mask.bool()
    if mask.dtype == torch.bool:
        logits = logits.masked_fill(~mask, float("-inf"))
    elif mask.dtype.is_floating_point:
        logits = logits + mask
    else:
        raise TypeError(f"mask must be bool or float, not {mask.dtype}")
    dead = torch.isneginf(logits).all(dim=-1, keepdim=True)
    return stable_softmax(logits.masked_fill(dead, 0.0)).masked_fill(dead, 0.0)

# %% exercise="repaired_masking" wrong="complex_passes"
"""Refuses integers only: a complex mask is taken as a float one (its real part) instead of raising TypeError."""
def repaired_masking(logits: Tensor, mask: Tensor) -> Tensor:
    if mask.dtype == torch.bool:
        logits = logits.masked_fill(~mask, float("-inf"))
    elif mask.dtype.is_floating_point or mask.dtype.is_complex:
        logits = logits + (mask.real if mask.dtype.is_complex else mask)
    else:
        raise TypeError(f"mask must be bool or float, not {mask.dtype}")
    dead = torch.isneginf(logits).all(dim=-1, keepdim=True)
    return stable_softmax(logits.masked_fill(dead, 0.0)).masked_fill(dead, 0.0)

# %% exercise="repaired_masking" wrong="float_mask_cleaned_in_place"
"""Replaces -inf in the caller's float mask by a large number before adding it: the mask does not stay as it is."""
def repaired_masking(logits: Tensor, mask: Tensor) -> Tensor:
    if mask.dtype == torch.bool:
        logits = logits.masked_fill(~mask, float("-inf"))
    elif mask.dtype.is_floating_point:
        hidden = torch.isneginf(mask)
        mask[hidden] = 0.0
        logits = (logits + mask).masked_fill(hidden, float("-inf"))
    else:
        raise TypeError(f"mask must be bool or float, not {mask.dtype}")
    dead = torch.isneginf(logits).all(dim=-1, keepdim=True)
    return stable_softmax(logits.masked_fill(dead, 0.0)).masked_fill(dead, 0.0)

# %% exercise="repaired_masking" wrong="bias_is_hidden"
"""Hides every key whose float mask is not 0: a finite bias blocks."""
def repaired_masking(logits: Tensor, mask: Tensor) -> Tensor:
    if mask.dtype == torch.bool:
        logits = logits.masked_fill(~mask, float("-inf"))
    elif mask.dtype.is_floating_point:
        logits = logits.masked_fill(mask != 0, float("-inf"))
    else:
        raise TypeError(f"mask must be bool or float, not {mask.dtype}")
    dead = torch.isneginf(logits).all(dim=-1, keepdim=True)
    return stable_softmax(logits.masked_fill(dead, 0.0)).masked_fill(dead, 0.0)

# %% exercise="repaired_masking" wrong="bias_ignored"
"""Uses a float mask only for its -inf: finite biases are not added."""
def repaired_masking(logits: Tensor, mask: Tensor) -> Tensor:
    if mask.dtype == torch.bool:
        logits = logits.masked_fill(~mask, float("-inf"))
    elif mask.dtype.is_floating_point:
        logits = logits.masked_fill(torch.isneginf(mask), float("-inf"))
    else:
        raise TypeError(f"mask must be bool or float, not {mask.dtype}")
    dead = torch.isneginf(logits).all(dim=-1, keepdim=True)
    return stable_softmax(logits.masked_fill(dead, 0.0)).masked_fill(dead, 0.0)

# %% exercise="repaired_masking" wrong="logits_in_dtype_of_mask"
"""Converts the logits to the mask's dtype: with a float16 mask, logits of 1e5 become inf and the weights NaN."""
def repaired_masking(logits: Tensor, mask: Tensor) -> Tensor:
    if mask.dtype == torch.bool:
        logits = logits.masked_fill(~mask, float("-inf"))
    elif mask.dtype.is_floating_point:
        logits = logits.to(mask.dtype) + mask
    else:
        raise TypeError(f"mask must be bool or float, not {mask.dtype}")
    dead = torch.isneginf(logits).all(dim=-1, keepdim=True)
    return stable_softmax(logits.masked_fill(dead, 0.0)).masked_fill(dead, 0.0)

# %% exercise="repaired_masking" wrong="large_bias_hides_the_row"
"""Calls a row hidden when its largest logit is below -1e4: logits near -1e5 are legal and their weights should sum to 1."""
def repaired_masking(logits: Tensor, mask: Tensor) -> Tensor:
    if mask.dtype == torch.bool:
        logits = logits.masked_fill(~mask, float("-inf"))
    elif mask.dtype.is_floating_point:
        logits = logits + mask
    else:
        raise TypeError(f"mask must be bool or float, not {mask.dtype}")
    dead = logits.amax(dim=-1, keepdim=True) < -1e4
    return stable_softmax(logits.masked_fill(dead, 0.0)).masked_fill(dead, 0.0)

# %% exercise="repaired_masking" wrong="hidden_row_even"
"""A row that may look at nothing is even, 1 / S, and not zero."""
def repaired_masking(logits: Tensor, mask: Tensor) -> Tensor:
    if mask.dtype == torch.bool:
        logits = logits.masked_fill(~mask, float("-inf"))
    elif mask.dtype.is_floating_point:
        logits = logits + mask
    else:
        raise TypeError(f"mask must be bool or float, not {mask.dtype}")
    dead = torch.isneginf(logits).all(dim=-1, keepdim=True)
    return stable_softmax(logits.masked_fill(dead, 0.0))

# %% exercise="attention_backward" wrong="row_sum_over_queries"
"""The softmax term is summed over the queries (dim -2) instead of the keys: wrong whenever T or S exceeds 1."""
def attention_backward(
    q: Tensor, k: Tensor, v: Tensor, grad_out: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    scale = 1 / math.sqrt(q.shape[-1])
    out, p = scaled_dot_product_attention(q, k, v, mask)
    dv = p.transpose(-2, -1) @ grad_out
    dp = grad_out @ v.transpose(-2, -1)
    ds = p * (dp - (p * dp).sum(-2, keepdim=True))
    dq = ds @ k * scale
    dk = ds.transpose(-2, -1) @ q * scale
    return dq, dk, dv

# %% exercise="attention_backward" wrong="plain_sum_of_dp"
"""Subtracts the mean of dP over the keys, not the mean weighted with P: wrong for every row with unequal weights or a mask."""
def attention_backward(
    q: Tensor, k: Tensor, v: Tensor, grad_out: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    scale = 1 / math.sqrt(q.shape[-1])
    out, p = scaled_dot_product_attention(q, k, v, mask)
    dv = p.transpose(-2, -1) @ grad_out
    dp = grad_out @ v.transpose(-2, -1)
    ds = p * (dp - dp.mean(-1, keepdim=True))
    dq = ds @ k * scale
    dk = ds.transpose(-2, -1) @ q * scale
    return dq, dk, dv

# %% exercise="attention_backward" wrong="diagonal_jacobian"
"""Keeps only the diagonal P (1 - P) of the softmax Jacobian: wrong with two or more keys that may be looked at."""
def attention_backward(
    q: Tensor, k: Tensor, v: Tensor, grad_out: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    scale = 1 / math.sqrt(q.shape[-1])
    out, p = scaled_dot_product_attention(q, k, v, mask)
    dv = p.transpose(-2, -1) @ grad_out
    dp = grad_out @ v.transpose(-2, -1)
    ds = p * (1 - p) * dp
    dq = ds @ k * scale
    dk = ds.transpose(-2, -1) @ q * scale
    return dq, dk, dv

# %% exercise="attention_backward" wrong="softmax_sign"
"""The bracket is the wrong way round (row sum minus dP), so dq and dk have the opposite sign."""
def attention_backward(
    q: Tensor, k: Tensor, v: Tensor, grad_out: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    scale = 1 / math.sqrt(q.shape[-1])
    out, p = scaled_dot_product_attention(q, k, v, mask)
    dv = p.transpose(-2, -1) @ grad_out
    dp = grad_out @ v.transpose(-2, -1)
    ds = p * ((p * dp).sum(-1, keepdim=True) - dp)
    dq = ds @ k * scale
    dk = ds.transpose(-2, -1) @ q * scale
    return dq, dk, dv

# %% exercise="attention_backward" wrong="scale_missing_in_dk"
"""The factor 1 / sqrt(d_k) reaches dq but not dk: wrong for d_k above 1."""
def attention_backward(
    q: Tensor, k: Tensor, v: Tensor, grad_out: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    scale = 1 / math.sqrt(q.shape[-1])
    out, p = scaled_dot_product_attention(q, k, v, mask)
    dv = p.transpose(-2, -1) @ grad_out
    dp = grad_out @ v.transpose(-2, -1)
    ds = p * (dp - (p * dp).sum(-1, keepdim=True))
    dq = ds @ k * scale
    dk = ds.transpose(-2, -1) @ q
    return dq, dk, dv

# %% exercise="attention_backward" wrong="scale_twice"
"""dS is scaled and dq, dk are scaled again: a factor 1 / d_k, wrong for d_k above 1."""
def attention_backward(
    q: Tensor, k: Tensor, v: Tensor, grad_out: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    scale = 1 / math.sqrt(q.shape[-1])
    out, p = scaled_dot_product_attention(q, k, v, mask)
    dv = p.transpose(-2, -1) @ grad_out
    dp = grad_out @ v.transpose(-2, -1)
    ds = p * (dp - (p * dp).sum(-1, keepdim=True)) * scale
    dq = ds @ k * scale
    dk = ds.transpose(-2, -1) @ q * scale
    return dq, dk, dv

# %% exercise="attention_backward" wrong="scale_of_value_width"
"""The backward factor takes the width of the values: wrong where d_v differs from d_k."""
def attention_backward(
    q: Tensor, k: Tensor, v: Tensor, grad_out: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    scale = 1 / math.sqrt(v.shape[-1])
    out, p = scaled_dot_product_attention(q, k, v, mask)
    dv = p.transpose(-2, -1) @ grad_out
    dp = grad_out @ v.transpose(-2, -1)
    ds = p * (dp - (p * dp).sum(-1, keepdim=True))
    dq = ds @ k * scale
    dk = ds.transpose(-2, -1) @ q * scale
    return dq, dk, dv

# %% exercise="attention_backward" wrong="scale_in_dv"
"""The factor 1 / sqrt(d_k) is also put on dv: wrong for d_k above 1."""
def attention_backward(
    q: Tensor, k: Tensor, v: Tensor, grad_out: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    scale = 1 / math.sqrt(q.shape[-1])
    out, p = scaled_dot_product_attention(q, k, v, mask)
    dv = p.transpose(-2, -1) @ grad_out * scale
    dp = grad_out @ v.transpose(-2, -1)
    ds = p * (dp - (p * dp).sum(-1, keepdim=True))
    dq = ds @ k * scale
    dk = ds.transpose(-2, -1) @ q * scale
    return dq, dk, dv

# %% exercise="attention_backward" wrong="dk_not_transposed"
"""dk = dS q without the transpose: has the right shape for T = S but the wrong numbers, and fails for T != S."""
def attention_backward(
    q: Tensor, k: Tensor, v: Tensor, grad_out: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    scale = 1 / math.sqrt(q.shape[-1])
    out, p = scaled_dot_product_attention(q, k, v, mask)
    dv = p.transpose(-2, -1) @ grad_out
    dp = grad_out @ v.transpose(-2, -1)
    ds = p * (dp - (p * dp).sum(-1, keepdim=True))
    dq = ds @ k * scale
    dk = ds @ q * scale
    return dq, dk, dv

# %% exercise="attention_backward" wrong="dv_not_transposed"
"""dv = P dO without the transpose: has the right shape for T = S but the wrong numbers, and fails for T != S."""
def attention_backward(
    q: Tensor, k: Tensor, v: Tensor, grad_out: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    scale = 1 / math.sqrt(q.shape[-1])
    out, p = scaled_dot_product_attention(q, k, v, mask)
    dv = p @ grad_out
    dp = grad_out @ v.transpose(-2, -1)
    ds = p * (dp - (p * dp).sum(-1, keepdim=True))
    dq = ds @ k * scale
    dk = ds.transpose(-2, -1) @ q * scale
    return dq, dk, dv

# %% exercise="attention_backward" wrong="transpose_first_axes"
"""Uses .transpose(0, 1) as matrix transpose: right for two dimensions, wrong or failing with leading dimensions."""
def attention_backward(
    q: Tensor, k: Tensor, v: Tensor, grad_out: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    scale = 1 / math.sqrt(q.shape[-1])
    out, p = scaled_dot_product_attention(q, k, v, mask)
    dv = p.transpose(0, 1) @ grad_out
    dp = grad_out @ v.transpose(0, 1)
    ds = p * (dp - (p * dp).sum(-1, keepdim=True))
    dq = ds @ k * scale
    dk = ds.transpose(0, 1) @ q * scale
    return dq, dk, dv

# %% exercise="attention_backward" wrong="mask_forgotten"
"""The mask is not handed to the forward pass: wrong for every mask that blocks or biases something."""
def attention_backward(
    q: Tensor, k: Tensor, v: Tensor, grad_out: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    scale = 1 / math.sqrt(q.shape[-1])
    out, p = scaled_dot_product_attention(q, k, v)
    dv = p.transpose(-2, -1) @ grad_out
    dp = grad_out @ v.transpose(-2, -1)
    ds = p * (dp - (p * dp).sum(-1, keepdim=True))
    dq = ds @ k * scale
    dk = ds.transpose(-2, -1) @ q * scale
    return dq, dk, dv

# %% exercise="attention_backward" wrong="row_sum_of_unmasked_output"
"""The row number dO . O comes from the output without the mask, while P has the mask: wrong with a blocking mask."""
def attention_backward(
    q: Tensor, k: Tensor, v: Tensor, grad_out: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    scale = 1 / math.sqrt(q.shape[-1])
    out, p = scaled_dot_product_attention(q, k, v, mask)
    unmasked, _ = scaled_dot_product_attention(q, k, v)
    dv = p.transpose(-2, -1) @ grad_out
    dp = grad_out @ v.transpose(-2, -1)
    ds = p * (dp - (grad_out * unmasked).sum(-1, keepdim=True))
    dq = ds @ k * scale
    dk = ds.transpose(-2, -1) @ q * scale
    return dq, dk, dv

# %% exercise="attention_backward" wrong="zero_in_float_mask_blocks"
"""Stops the gradient where mask == 0, also for a float mask, where 0 means that nothing is added."""
def attention_backward(
    q: Tensor, k: Tensor, v: Tensor, grad_out: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    scale = 1 / math.sqrt(q.shape[-1])
    out, p = scaled_dot_product_attention(q, k, v, mask)
    dv = p.transpose(-2, -1) @ grad_out
    dp = grad_out @ v.transpose(-2, -1)
    ds = p * (dp - (p * dp).sum(-1, keepdim=True))
    if mask is not None:
        ds = ds.masked_fill(mask == 0, 0.0)
    dq = ds @ k * scale
    dk = ds.transpose(-2, -1) @ q * scale
    return dq, dk, dv

# %% exercise="attention_backward" wrong="float_bias_dropped"
"""A float mask is read as blocked / not blocked; finite biases are ignored."""
def attention_backward(
    q: Tensor, k: Tensor, v: Tensor, grad_out: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    if mask is not None and mask.dtype != torch.bool:
        mask = mask > -math.inf
    scale = 1 / math.sqrt(q.shape[-1])
    out, p = scaled_dot_product_attention(q, k, v, mask)
    dv = p.transpose(-2, -1) @ grad_out
    dp = grad_out @ v.transpose(-2, -1)
    ds = p * (dp - (p * dp).sum(-1, keepdim=True))
    dq = ds @ k * scale
    dk = ds.transpose(-2, -1) @ q * scale
    return dq, dk, dv

# %% exercise="attention_backward" wrong="bool_true_hides"
"""A boolean mask is read as True = may not look."""
def attention_backward(
    q: Tensor, k: Tensor, v: Tensor, grad_out: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    scale = 1 / math.sqrt(q.shape[-1])
    scores = q @ k.transpose(-2, -1) * scale
    if mask is not None:
        if mask.dtype == torch.bool:
            scores = scores.masked_fill(mask, -math.inf)
        else:
            scores = scores + mask
    dead = (scores == -math.inf).all(-1, keepdim=True)
    p = torch.softmax(scores.masked_fill(dead, 0.0), dim=-1).masked_fill(dead, 0.0)
    dv = p.transpose(-2, -1) @ grad_out
    dp = grad_out @ v.transpose(-2, -1)
    ds = p * (dp - (p * dp).sum(-1, keepdim=True))
    dq = ds @ k * scale
    dk = ds.transpose(-2, -1) @ q * scale
    return dq, dk, dv

# %% exercise="attention_backward" wrong="mask_before_scale"
"""The float mask is added before the division by sqrt(d_k): finite biases come out too small for d_k above 1."""
def attention_backward(
    q: Tensor, k: Tensor, v: Tensor, grad_out: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    scale = 1 / math.sqrt(q.shape[-1])
    scores = q @ k.transpose(-2, -1)
    if mask is not None:
        if mask.dtype == torch.bool:
            scores = scores.masked_fill(~mask, -math.inf)
        else:
            scores = scores + mask
    scores = scores * scale
    dead = (scores == -math.inf).all(-1, keepdim=True)
    p = torch.softmax(scores.masked_fill(dead, 0.0), dim=-1).masked_fill(dead, 0.0)
    dv = p.transpose(-2, -1) @ grad_out
    dp = grad_out @ v.transpose(-2, -1)
    ds = p * (dp - (p * dp).sum(-1, keepdim=True))
    dq = ds @ k * scale
    dk = ds.transpose(-2, -1) @ q * scale
    return dq, dk, dv

# %% exercise="attention_backward" wrong="mask_after_softmax"
"""Weights of blocked keys are zeroed after the softmax without renormalising (float biases are added before): wrong with partly blocked rows."""
def attention_backward(
    q: Tensor, k: Tensor, v: Tensor, grad_out: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    scale = 1 / math.sqrt(q.shape[-1])
    scores = q @ k.transpose(-2, -1) * scale
    keep = torch.ones_like(scores, dtype=torch.bool)
    if mask is not None:
        if mask.dtype == torch.bool:
            keep = keep & mask
        else:
            keep = keep & (mask > -math.inf)
            scores = scores + mask.masked_fill(mask == -math.inf, 0.0)
    p = torch.softmax(scores, dim=-1) * keep
    dv = p.transpose(-2, -1) @ grad_out
    dp = grad_out @ v.transpose(-2, -1)
    ds = p * (dp - (p * dp).sum(-1, keepdim=True))
    dq = ds @ k * scale
    dk = ds.transpose(-2, -1) @ q * scale
    return dq, dk, dv

# %% exercise="attention_backward" wrong="blocked_row_nan"
"""A query that may look at nothing gets softmax of only -inf: NaN in dq, dk and dv."""
def attention_backward(
    q: Tensor, k: Tensor, v: Tensor, grad_out: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    scale = 1 / math.sqrt(q.shape[-1])
    scores = q @ k.transpose(-2, -1) * scale
    if mask is not None:
        if mask.dtype == torch.bool:
            scores = scores.masked_fill(~mask, -math.inf)
        else:
            scores = scores + mask
    p = torch.softmax(scores, dim=-1)
    dv = p.transpose(-2, -1) @ grad_out
    dp = grad_out @ v.transpose(-2, -1)
    ds = p * (dp - (p * dp).sum(-1, keepdim=True))
    dq = ds @ k * scale
    dk = ds.transpose(-2, -1) @ q * scale
    return dq, dk, dv

# %% exercise="attention_backward" wrong="nan_to_num_at_the_end"
"""NaN of a fully blocked row is replaced only in the results, after it has reached every entry of dk and dv, which become 0."""
def attention_backward(
    q: Tensor, k: Tensor, v: Tensor, grad_out: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    scale = 1 / math.sqrt(q.shape[-1])
    scores = q @ k.transpose(-2, -1) * scale
    if mask is not None:
        if mask.dtype == torch.bool:
            scores = scores.masked_fill(~mask, -math.inf)
        else:
            scores = scores + mask
    p = torch.softmax(scores, dim=-1)
    dv = p.transpose(-2, -1) @ grad_out
    dp = grad_out @ v.transpose(-2, -1)
    ds = p * (dp - (p * dp).sum(-1, keepdim=True))
    dq = ds @ k * scale
    dk = ds.transpose(-2, -1) @ q * scale
    return tuple(x.nan_to_num(nan=0.0) for x in (dq, dk, dv))

# %% exercise="attention_backward" wrong="blocked_row_uniform"
"""Blocks with a large negative number, so a query that may look at nothing weighs all keys alike and adds to dk and dv."""
def attention_backward(
    q: Tensor, k: Tensor, v: Tensor, grad_out: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    scale = 1 / math.sqrt(q.shape[-1])
    scores = q @ k.transpose(-2, -1) * scale
    if mask is not None:
        if mask.dtype == torch.bool:
            scores = scores.masked_fill(~mask, torch.finfo(q.dtype).min)
        else:
            scores = (scores + mask).clamp(min=torch.finfo(q.dtype).min)
    p = torch.softmax(scores, dim=-1)
    dv = p.transpose(-2, -1) @ grad_out
    dp = grad_out @ v.transpose(-2, -1)
    ds = p * (dp - (p * dp).sum(-1, keepdim=True))
    dq = ds @ k * scale
    dk = ds.transpose(-2, -1) @ q * scale
    return dq, dk, dv

# %% exercise="attention_backward" wrong="blocked_row_dq_only"
"""A blocked query gets a zero row of dq, but its uniform weights still add to dv (and dk)."""
def attention_backward(
    q: Tensor, k: Tensor, v: Tensor, grad_out: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    scale = 1 / math.sqrt(q.shape[-1])
    scores = q @ k.transpose(-2, -1) * scale
    dead = torch.zeros_like(scores[..., :1], dtype=torch.bool)
    if mask is not None:
        if mask.dtype == torch.bool:
            scores = scores.masked_fill(~mask, -math.inf)
        else:
            scores = scores + mask
        dead = (scores == -math.inf).all(-1, keepdim=True)
    p = torch.softmax(scores.masked_fill(dead, 0.0), dim=-1)
    dv = p.transpose(-2, -1) @ grad_out
    dp = grad_out @ v.transpose(-2, -1)
    ds = p * (dp - (p * dp).sum(-1, keepdim=True))
    dq = ds @ k * scale
    dk = ds.transpose(-2, -1) @ q * scale
    return dq.masked_fill(dead, 0.0), dk, dv

# %% exercise="attention_backward" wrong="dead_rows_only_for_bool"
"""Only boolean masks are searched for fully blocked rows; a float mask with a row of -inf gives NaN."""
def attention_backward(
    q: Tensor, k: Tensor, v: Tensor, grad_out: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    scale = 1 / math.sqrt(q.shape[-1])
    scores = q @ k.transpose(-2, -1) * scale
    if mask is None:
        p = torch.softmax(scores, dim=-1)
    elif mask.dtype == torch.bool:
        dead = ~mask.expand(scores.shape).any(-1, keepdim=True)
        p = torch.softmax(scores.masked_fill(~mask & ~dead, -math.inf), dim=-1).masked_fill(dead, 0.0)
    else:
        p = torch.softmax(scores + mask, dim=-1)
    dv = p.transpose(-2, -1) @ grad_out
    dp = grad_out @ v.transpose(-2, -1)
    ds = p * (dp - (p * dp).sum(-1, keepdim=True))
    dq = ds @ k * scale
    dk = ds.transpose(-2, -1) @ q * scale
    return dq, dk, dv

# %% exercise="attention_backward" wrong="dead_wrong_axis"
"""Looks for keys that nobody may look at (dim -2) and not for queries that may look at nothing: a blocked query gives NaN."""
def attention_backward(
    q: Tensor, k: Tensor, v: Tensor, grad_out: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    scale = 1 / math.sqrt(q.shape[-1])
    scores = q @ k.transpose(-2, -1) * scale
    if mask is not None:
        if mask.dtype == torch.bool:
            scores = scores.masked_fill(~mask, -math.inf)
        else:
            scores = scores + mask
    dead = (scores == -math.inf).all(-2, keepdim=True)
    p = torch.softmax(scores, dim=-1).masked_fill(dead, 0.0)
    dv = p.transpose(-2, -1) @ grad_out
    dp = grad_out @ v.transpose(-2, -1)
    ds = p * (dp - (p * dp).sum(-1, keepdim=True))
    dq = ds @ k * scale
    dk = ds.transpose(-2, -1) @ q * scale
    return dq, dk, dv

# %% exercise="attention_backward" wrong="exp_without_max"
"""Exponentials without subtracting the row maximum: scores beyond 88 overflow in float32."""
def attention_backward(
    q: Tensor, k: Tensor, v: Tensor, grad_out: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    scale = 1 / math.sqrt(q.shape[-1])
    scores = q @ k.transpose(-2, -1) * scale
    if mask is not None:
        if mask.dtype == torch.bool:
            scores = scores.masked_fill(~mask, -math.inf)
        else:
            scores = scores + mask
    e = torch.exp(scores)
    total = e.sum(-1, keepdim=True)
    p = e / total.masked_fill(total == 0, 1.0)
    dv = p.transpose(-2, -1) @ grad_out
    dp = grad_out @ v.transpose(-2, -1)
    ds = p * (dp - (p * dp).sum(-1, keepdim=True))
    dq = ds @ k * scale
    dk = ds.transpose(-2, -1) @ q * scale
    return dq, dk, dv

# %% exercise="attention_backward" wrong="one_maximum_for_all"
"""Subtracts the largest score of the whole tensor: rows that lie more than 104 below underflow to weights of zero."""
def attention_backward(
    q: Tensor, k: Tensor, v: Tensor, grad_out: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    scale = 1 / math.sqrt(q.shape[-1])
    scores = q @ k.transpose(-2, -1) * scale
    if mask is not None:
        if mask.dtype == torch.bool:
            scores = scores.masked_fill(~mask, -math.inf)
        else:
            scores = scores + mask
    top = scores.max()
    e = torch.exp(scores - torch.where(top == -math.inf, torch.zeros_like(top), top))
    total = e.sum(-1, keepdim=True)
    p = e / total.masked_fill(total == 0, 1.0)
    dv = p.transpose(-2, -1) @ grad_out
    dp = grad_out @ v.transpose(-2, -1)
    ds = p * (dp - (p * dp).sum(-1, keepdim=True))
    dq = ds @ k * scale
    dk = ds.transpose(-2, -1) @ q * scale
    return dq, dk, dv

# %% exercise="attention_backward" wrong="softmax_over_queries"
"""The weights are normalised over the queries: wrong for T or S above 1."""
def attention_backward(
    q: Tensor, k: Tensor, v: Tensor, grad_out: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    scale = 1 / math.sqrt(q.shape[-1])
    scores = q @ k.transpose(-2, -1) * scale
    if mask is not None:
        if mask.dtype == torch.bool:
            scores = scores.masked_fill(~mask, -math.inf)
        else:
            scores = scores + mask
    dead = (scores == -math.inf).all(-2, keepdim=True)
    p = torch.softmax(scores.masked_fill(dead, 0.0), dim=-2).masked_fill(dead, 0.0)
    dv = p.transpose(-2, -1) @ grad_out
    dp = grad_out @ v.transpose(-2, -1)
    ds = p * (dp - (p * dp).sum(-1, keepdim=True))
    dq = ds @ k * scale
    dk = ds.transpose(-2, -1) @ q * scale
    return dq, dk, dv

# %% exercise="attention_backward" wrong="zeroes_callers_grad"
"""Zeroes the rows of blocked queries in grad_out in place: the results are right, but the caller's tensor has changed."""
def attention_backward(
    q: Tensor, k: Tensor, v: Tensor, grad_out: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    scale = 1 / math.sqrt(q.shape[-1])
    out, p = scaled_dot_product_attention(q, k, v, mask)
    grad_out *= (p.sum(-1, keepdim=True) > 0)
    dv = p.transpose(-2, -1) @ grad_out
    dp = grad_out @ v.transpose(-2, -1)
    ds = p * (dp - (p * dp).sum(-1, keepdim=True))
    dq = ds @ k * scale
    dk = ds.transpose(-2, -1) @ q * scale
    return dq, dk, dv

# %% exercise="attention_backward" wrong="order_of_results"
"""Returns dk, dq, dv: the first two are exchanged."""
def attention_backward(
    q: Tensor, k: Tensor, v: Tensor, grad_out: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    scale = 1 / math.sqrt(q.shape[-1])
    out, p = scaled_dot_product_attention(q, k, v, mask)
    dv = p.transpose(-2, -1) @ grad_out
    dp = grad_out @ v.transpose(-2, -1)
    ds = p * (dp - (p * dp).sum(-1, keepdim=True))
    dq = ds @ k * scale
    dk = ds.transpose(-2, -1) @ q * scale
    return dk, dq, dv

# %% exercise="attention_backward" wrong="dk_without_row_term"
"""dk is built from P dP without the row sum (the softmax term is forgotten there): wrong for every input with d_out not zero."""
def attention_backward(
    q: Tensor, k: Tensor, v: Tensor, grad_out: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    scale = 1 / math.sqrt(q.shape[-1])
    out, p = scaled_dot_product_attention(q, k, v, mask)
    dv = p.transpose(-2, -1) @ grad_out
    dp = grad_out @ v.transpose(-2, -1)
    ds = p * (dp - (p * dp).sum(-1, keepdim=True))
    dq = ds @ k * scale
    dk = (p * dp).transpose(-2, -1) @ q * scale
    return dq, dk, dv

# %% exercise="attention_backward" wrong="sum_over_leading"
"""Adds dk and dv up over the leading dimensions, as if all of them shared the keys; right only without leading dimensions or with sizes of 1."""
def attention_backward(
    q: Tensor, k: Tensor, v: Tensor, grad_out: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    scale = 1 / math.sqrt(q.shape[-1])
    out, p = scaled_dot_product_attention(q, k, v, mask)
    dv = p.transpose(-2, -1) @ grad_out
    dp = grad_out @ v.transpose(-2, -1)
    ds = p * (dp - (p * dp).sum(-1, keepdim=True))
    dq = ds @ k * scale
    dk = ds.transpose(-2, -1) @ q * scale
    lead = tuple(range(k.dim() - 2))
    if lead:
        dk = dk.sum(lead, keepdim=True).expand(k.shape)
        dv = dv.sum(lead, keepdim=True).expand(v.shape)
    return dq, dk, dv

# %% exercise="attention_backward" wrong="always_float32"
"""Computes and returns float32 also for float64 inputs."""
def attention_backward(
    q: Tensor, k: Tensor, v: Tensor, grad_out: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    q, k, v, grad_out = (x.float() for x in (q, k, v, grad_out))
    if mask is not None and mask.dtype != torch.bool:
        mask = mask.float()
    scale = 1 / math.sqrt(q.shape[-1])
    out, p = scaled_dot_product_attention(q, k, v, mask)
    dv = p.transpose(-2, -1) @ grad_out
    dp = grad_out @ v.transpose(-2, -1)
    ds = p * (dp - (p * dp).sum(-1, keepdim=True))
    dq = ds @ k * scale
    dk = ds.transpose(-2, -1) @ q * scale
    return dq, dk, dv

# %% exercise="attention_backward" wrong="scales_q_in_place"
"""The caller's q comes back divided by sqrt(d_k): q /= changes the argument, for every q with d_k > 1."""
def attention_backward(
    q: Tensor, k: Tensor, v: Tensor, grad_out: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    root = math.sqrt(q.shape[-1])
    _, weights = scaled_dot_product_attention(q, k, v, mask)

    dv = weights.mT @ grad_out
    dp = grad_out @ v.mT
    ds = weights * (dp - (weights * dp).sum(-1, keepdim=True))

    dq = ds @ k / root
    q /= root
    return dq, ds.mT @ q, dv

# %% exercise="attention_backward" wrong="fills_callers_mask"
"""Opens the rows of the caller's own mask in place when a query may look at no key; the numbers are right, the mask is changed."""
def attention_backward(
    q: Tensor, k: Tensor, v: Tensor, grad_out: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    scale = q.shape[-1] ** -0.5
    scores = q @ k.mT * scale
    blind = None
    if mask is not None:
        blocked = ~mask if mask.dtype == torch.bool else mask == -math.inf
        blind = blocked.expand(scores.shape).all(-1, keepdim=True)
        own_blind = blocked.all(-1, keepdim=True).expand(mask.shape)
        mask[own_blind] = True if mask.dtype == torch.bool else 0.0
        scores = scores.masked_fill(~mask, -math.inf) if mask.dtype == torch.bool else scores + mask
    weights = torch.softmax(scores, dim=-1)
    if blind is not None:
        weights = weights.masked_fill(blind, 0.0)

    dv = weights.mT @ grad_out
    dp = grad_out @ v.mT
    ds = weights * (dp - (weights * dp).sum(-1, keepdim=True))

    return ds @ k * scale, ds.mT @ q * scale, dv

# %% exercise="attention_backward" wrong="zeroes_callers_grad_out"
"""Writes zeros into the caller's grad_out at the rows of queries that may look at no key."""
def attention_backward(
    q: Tensor, k: Tensor, v: Tensor, grad_out: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    scale = q.shape[-1] ** -0.5
    _, weights = scaled_dot_product_attention(q, k, v, mask)
    grad_out[(weights == 0).all(-1)] = 0

    dv = weights.mT @ grad_out
    dp = grad_out @ v.mT
    ds = weights * (dp - (weights * dp).sum(-1, keepdim=True))

    return ds @ k * scale, ds.mT @ q * scale, dv

# %% exercise="attention_backward" wrong="nan_to_num_at_the_end_2"
"""One query without keys makes its weights NaN, the NaN spreads to all of dk and dv and is then replaced by 0 there: the other queries' gradients are lost."""
def attention_backward(
    q: Tensor, k: Tensor, v: Tensor, grad_out: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    scale = q.shape[-1] ** -0.5
    scores = q @ k.mT * scale
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf) if mask.dtype == torch.bool else scores + mask
    weights = torch.softmax(scores, dim=-1)

    dv = weights.mT @ grad_out
    dp = grad_out @ v.mT
    ds = weights * (dp - (weights * dp).sum(-1, keepdim=True))

    return tuple(x.nan_to_num() for x in (ds @ k * scale, ds.mT @ q * scale, dv))

# %% exercise="attention_backward" wrong="blind_rows_uniform"
"""Boolean masks fill with the smallest finite number, so a query that may look at no key gets equal weights and adds to dv (and dk, dq)."""
def attention_backward(
    q: Tensor, k: Tensor, v: Tensor, grad_out: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    scale = q.shape[-1] ** -0.5
    scores = q @ k.mT * scale
    if mask is not None and mask.dtype == torch.bool:
        scores = scores.masked_fill(~mask, torch.finfo(q.dtype).min)
    elif mask is not None:
        scores = scores + mask
    blind = (scores == -math.inf).all(-1, keepdim=True)
    weights = torch.softmax(scores.masked_fill(blind, 0.0), dim=-1).masked_fill(blind, 0.0)

    dv = weights.mT @ grad_out
    dp = grad_out @ v.mT
    ds = weights * (dp - (weights * dp).sum(-1, keepdim=True))

    return ds @ k * scale, ds.mT @ q * scale, dv

# %% exercise="attention_backward" wrong="blind_rows_bool_only"
"""Only boolean masks are searched for queries without keys; a float mask with a row of -inf gives NaN."""
def attention_backward(
    q: Tensor, k: Tensor, v: Tensor, grad_out: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    scale = q.shape[-1] ** -0.5
    scores = q @ k.mT * scale
    if mask is not None and mask.dtype == torch.bool:
        scores = scores.masked_fill(~mask, -math.inf)
        blind = ~mask.any(-1, keepdim=True)
        weights = torch.softmax(scores.masked_fill(blind, 0.0), dim=-1).masked_fill(blind, 0.0)
    else:
        weights = torch.softmax(scores if mask is None else scores + mask, dim=-1)

    dv = weights.mT @ grad_out
    dp = grad_out @ v.mT
    ds = weights * (dp - (weights * dp).sum(-1, keepdim=True))

    return ds @ k * scale, ds.mT @ q * scale, dv

# %% exercise="attention_backward" wrong="finite_bias_dropped"
"""A float mask is read only for its -inf; a finite number in it (a bias) does not reach the weights."""
def attention_backward(
    q: Tensor, k: Tensor, v: Tensor, grad_out: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    scale = q.shape[-1] ** -0.5
    if mask is not None and mask.dtype != torch.bool:
        mask = mask != -math.inf
    _, weights = scaled_dot_product_attention(q, k, v, mask)

    dv = weights.mT @ grad_out
    dp = grad_out @ v.mT
    ds = weights * (dp - (weights * dp).sum(-1, keepdim=True))

    return ds @ k * scale, ds.mT @ q * scale, dv

# %% exercise="attention_backward" wrong="one_maximum_for_all_rows"
"""Subtracts the largest score of the whole tensor, not of the row: a query whose scores lie 110 or more below it (float32) gets weights and gradients 0."""
def attention_backward(
    q: Tensor, k: Tensor, v: Tensor, grad_out: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    scale = q.shape[-1] ** -0.5
    scores = q @ k.mT * scale
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf) if mask.dtype == torch.bool else scores + mask
    top = scores.max()
    e = torch.exp(scores - (top if top > -math.inf else 0.0))
    total = e.sum(-1, keepdim=True)
    weights = e / torch.where(total == 0, torch.ones_like(total), total)

    dv = weights.mT @ grad_out
    dp = grad_out @ v.mT
    ds = weights * (dp - (weights * dp).sum(-1, keepdim=True))

    return ds @ k * scale, ds.mT @ q * scale, dv

# %% exercise="attention_backward" wrong="computes_in_float32"
"""float64 inputs are rounded to float32 and the results cast back: right dtype, only about seven digits."""
def attention_backward(
    q: Tensor, k: Tensor, v: Tensor, grad_out: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    dtype = q.dtype
    q, k, v, grad_out = (x.float() for x in (q, k, v, grad_out))
    if mask is not None and mask.dtype != torch.bool:
        mask = mask.float()
    scale = q.shape[-1] ** -0.5
    _, weights = scaled_dot_product_attention(q, k, v, mask)

    dv = weights.mT @ grad_out
    dp = grad_out @ v.mT
    ds = weights * (dp - (weights * dp).sum(-1, keepdim=True))

    return (ds @ k * scale).to(dtype), (ds.mT @ q * scale).to(dtype), dv.to(dtype)

# %% exercise="attention_backward" wrong="returns_float64"
"""Computes in float64 and forgets to go back: for float32 inputs the results are float64."""
def attention_backward(
    q: Tensor, k: Tensor, v: Tensor, grad_out: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    q, k, v, grad_out = (x.double() for x in (q, k, v, grad_out))
    if mask is not None and mask.dtype != torch.bool:
        mask = mask.double()
    scale = q.shape[-1] ** -0.5
    _, weights = scaled_dot_product_attention(q, k, v, mask)

    dv = weights.mT @ grad_out
    dp = grad_out @ v.mT
    ds = weights * (dp - (weights * dp).sum(-1, keepdim=True))

    return ds @ k * scale, ds.mT @ q * scale, dv

# %% exercise="attention_backward" wrong="dv_in_float64"
"""Only dv is accumulated in float64 and returned so: for float32 inputs its dtype is not v's."""
def attention_backward(
    q: Tensor, k: Tensor, v: Tensor, grad_out: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    scale = q.shape[-1] ** -0.5
    _, weights = scaled_dot_product_attention(q, k, v, mask)

    dv = weights.mT @ grad_out
    dp = grad_out @ v.mT
    ds = weights * (dp - (weights * dp).sum(-1, keepdim=True))

    dv = weights.double().mT @ grad_out.double()
    return ds @ k * scale, ds.mT @ q * scale, dv

# %% exercise="attention_backward" wrong="view_needs_contiguous"
"""Folds the leading dimensions with view, which raises for legal inputs whose memory is not contiguous (heads made by transpose)."""
def attention_backward(
    q: Tensor, k: Tensor, v: Tensor, grad_out: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    scale = q.shape[-1] ** -0.5
    _, weights = scaled_dot_product_attention(q, k, v, mask)
    fold = lambda x: x.view(-1, x.shape[-2], x.shape[-1])
    p, qq, kk, vv, do = weights.reshape(-1, *weights.shape[-2:]), fold(q), fold(k), fold(v), fold(grad_out)
    dp = torch.bmm(do, vv.mT)
    ds = p * (dp - (p * dp).sum(-1, keepdim=True)) * scale
    return torch.bmm(ds, kk).view(q.shape), torch.bmm(ds.mT, qq).view(k.shape), torch.bmm(p.mT, do).view(v.shape)

# %% exercise="attention_backward" wrong="mask_per_head_as_per_sentence"
"""A mask (H, T, S) for inputs (B, H, ...) gets a dimension put in after the first, as if it were (B, T, S); broadcasting says that its first dimension is the heads."""
def attention_backward(
    q: Tensor, k: Tensor, v: Tensor, grad_out: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    if mask is not None and mask.dim() == 3 and q.dim() == 4:
        mask = mask.unsqueeze(1)
    scale = q.shape[-1] ** -0.5
    _, weights = scaled_dot_product_attention(q, k, v, mask)

    dv = weights.mT @ grad_out
    dp = grad_out @ v.mT
    ds = weights * (dp - (weights * dp).sum(-1, keepdim=True))

    return ds @ k * scale, ds.mT @ q * scale, dv

# %% exercise="attention_backward" wrong="vector_mask_for_queries"
"""A mask of shape (S,) is turned into a column, so for T = S it blocks queries instead of keys."""
def attention_backward(
    q: Tensor, k: Tensor, v: Tensor, grad_out: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    if mask is not None and mask.dim() == 1:
        mask = mask[:, None]
    scale = q.shape[-1] ** -0.5
    _, weights = scaled_dot_product_attention(q, k, v, mask)

    dv = weights.mT @ grad_out
    dp = grad_out @ v.mT
    ds = weights * (dp - (weights * dp).sum(-1, keepdim=True))

    return ds @ k * scale, ds.mT @ q * scale, dv

# %% exercise="attention_backward" wrong="scale_of_d_v"
"""Scales dq and dk by 1 / sqrt(d_v): wrong as soon as d_v differs from d_k."""
def attention_backward(
    q: Tensor, k: Tensor, v: Tensor, grad_out: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    scale = v.shape[-1] ** -0.5
    _, weights = scaled_dot_product_attention(q, k, v, mask)

    dv = weights.mT @ grad_out
    dp = grad_out @ v.mT
    ds = weights * (dp - (weights * dp).sum(-1, keepdim=True))

    return ds @ k * scale, ds.mT @ q * scale, dv

# %% exercise="stable_softmax" wrong="one_maximum_for_all_rows_2"
"""Subtracts the maximum of the whole tensor: a row near -500 beside a row near 300 becomes 0 / 0; breaks "choose c well, for each row"."""
def stable_softmax(x: Tensor, dim: int = -1) -> Tensor:
    e = torch.exp(x - x.max())
    return e / e.sum(dim=dim, keepdim=True)

# %% exercise="stable_softmax" wrong="shifts_x_in_place"
"""Uses -= on the argument; breaks "x itself stays as it was"."""
def stable_softmax(x: Tensor, dim: int = -1) -> Tensor:
    x -= x.amax(dim=dim, keepdim=True)
    e = x.exp()
    return e / e.sum(dim=dim, keepdim=True)

# %% exercise="stable_softmax" wrong="sum_always_last"
"""The maximum follows dim, the sum does not; breaks "the dimension along which the weights sum to 1" for every dim but the last."""
def stable_softmax(x: Tensor, dim: int = -1) -> Tensor:
    top = x.amax(dim=dim, keepdim=True)
    e = torch.exp(x - top)
    return e / e.sum(-1, keepdim=True)

# %% exercise="stable_softmax" wrong="subtracts_mean_2"
"""Centres the row with its mean: an -inf entry makes the mean -inf (NaN), and a row with a wide spread overflows; breaks "entries may be -inf" and "any size of numbers"."""
def stable_softmax(x: Tensor, dim: int = -1) -> Tensor:
    centred = x - x.mean(dim=dim, keepdim=True)
    e = torch.exp(centred)
    return e / e.sum(dim=dim, keepdim=True)

# %% exercise="stable_softmax" wrong="shift_only_when_positive"
"""Shifts only rows whose maximum is above 0 ("only those can overflow"): a row all near -500 divides zero by zero."""
def stable_softmax(x: Tensor, dim: int = -1) -> Tensor:
    c = x.amax(dim=dim, keepdim=True).clamp(min=0)
    e = torch.exp(x - c)
    return e / e.sum(dim=dim, keepdim=True)

# %% exercise="stable_softmax" wrong="returns_float32_2"
"""Computes in float32 and stays there; breaks "same shape and dtype as x" for float64 and float16."""
def stable_softmax(x: Tensor, dim: int = -1) -> Tensor:
    x = x.float()
    e = torch.exp(x - x.amax(dim=dim, keepdim=True))
    return e / e.sum(dim=dim, keepdim=True)

# %% exercise="stable_softmax" wrong="inf_becomes_minus_ten_thousand"
"""Replaces -inf by -1e4 before the softmax: where the finite entries are of that size or below, the -inf entry gets weight; breaks "-inf (they get weight 0)" with "any size of numbers"."""
def stable_softmax(x: Tensor, dim: int = -1) -> Tensor:
    x = torch.where(torch.isinf(x), torch.full_like(x, -1e4), x)
    e = torch.exp(x - x.amax(dim=dim, keepdim=True))
    return e / e.sum(dim=dim, keepdim=True)

# %% exercise="stable_softmax" wrong="no_keepdim"
"""Forgets keepdim: square inputs broadcast along the wrong axis, others raise; breaks "for each row" / "same shape as x"."""
def stable_softmax(x: Tensor, dim: int = -1) -> Tensor:
    e = torch.exp(x - x.amax(dim=dim, keepdim=True))
    return e / e.sum(dim=dim)

# %% exercise="scaled_dot_product_attention" wrong="scale_by_width_of_values"
"""Divides by sqrt(d_v) in place of sqrt(d_k); breaks "softmax(q k^T / sqrt(d_k) + mask) v" wherever d_v differs from d_k."""
def scaled_dot_product_attention(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    scores = q @ k.transpose(-2, -1) / math.sqrt(v.shape[-1])
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf) if mask.dtype == torch.bool else scores + mask
    empty = (scores == -math.inf).all(-1, keepdim=True)
    weights = torch.softmax(scores.masked_fill(empty, 0.0), -1).masked_fill(empty, 0.0)
    return weights @ v, weights

# %% exercise="scaled_dot_product_attention" wrong="mask_after_softmax"
"""Multiplies the weights by the boolean mask after the softmax; breaks "A mask acts before the softmax" / "Rows of the weights sum to 1"."""
def scaled_dot_product_attention(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    scores = q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5
    if mask is not None and mask.dtype != torch.bool:
        scores = scores + mask
    empty = torch.isneginf(scores).all(-1, keepdim=True)
    weights = torch.softmax(scores.masked_fill(empty, 0.0), -1).masked_fill(empty, 0.0)
    if mask is not None and mask.dtype == torch.bool:
        weights = weights * mask.to(weights.dtype)
    return weights @ v, weights

# %% exercise="scaled_dot_product_attention" wrong="minus_a_billion"
"""Blocks with -1e9 in place of -inf: a query that may look at nothing gets (nearly) uniform weights; breaks "a query that may look at no key has weights 0 and output 0"."""
def scaled_dot_product_attention(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    scores = torch.matmul(q, k.transpose(-2, -1)) / math.sqrt(q.size(-1))
    if mask is not None:
        if mask.dtype == torch.bool:
            scores = scores.masked_fill(mask == 0, -1e9)
        else:
            scores = scores + mask.clamp(min=-1e9)
    weights = scores.softmax(dim=-1)
    return torch.matmul(weights, v), weights

# %% exercise="scaled_dot_product_attention" wrong="nan_repaired_afterwards"
"""Lets the softmax of an all -inf row be NaN and wipes it with nan_to_num: the values are right, the backward pass is NaN; breaks "no NaN reaches any gradient"."""
def scaled_dot_product_attention(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    if mask is not None:
        if mask.dtype == torch.bool:
            mask = torch.zeros(mask.shape, dtype=q.dtype, device=q.device).masked_fill(~mask, float("-inf"))
        scores = scores + mask
    weights = torch.nan_to_num(torch.softmax(scores, dim=-1))
    return weights @ v, weights

# %% exercise="scaled_dot_product_attention" wrong="bias_is_scaled_too"
"""Adds the float mask before dividing by sqrt(d_k); breaks "float ...: added to the scaled scores" (only a finite bias shows it)."""
def scaled_dot_product_attention(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    scores = q @ k.transpose(-2, -1)
    if mask is not None:
        if mask.dtype == torch.bool:
            scores = scores.masked_fill(~mask, -math.inf)
        else:
            scores = scores + mask
    scores = scores / math.sqrt(q.shape[-1])
    empty = (scores == -math.inf).all(dim=-1, keepdim=True)
    weights = torch.softmax(scores.masked_fill(empty, 0.0), -1).masked_fill(empty, 0.0)
    return weights @ v, weights

# %% exercise="scaled_dot_product_attention" wrong="float_mask_read_as_yes_or_no"
"""Reads a float mask only as blocked or not, finite numbers are lost; breaks "float ...: added to the scaled scores" ("a finite number is a bias")."""
def scaled_dot_product_attention(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    if mask is not None:
        allowed = mask if mask.dtype == torch.bool else mask != float("-inf")
        scores = scores.masked_fill(~allowed, float("-inf"))
    empty = torch.isneginf(scores).all(-1, keepdim=True)
    weights = torch.softmax(scores.masked_fill(empty, 0.0), -1).masked_fill(empty, 0.0)
    return weights @ v, weights

# %% exercise="scaled_dot_product_attention" wrong="transposes_axes_one_and_two"
"""Transposes axes 1 and 2 by number: holds for three dimensions only; breaks "(..., S, d_k)"."""
def scaled_dot_product_attention(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    scores = q @ k.transpose(1, 2) / math.sqrt(q.shape[-1])
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf) if mask.dtype == torch.bool else scores + mask
    empty = (scores == -math.inf).all(-1, keepdim=True)
    weights = torch.softmax(scores.masked_fill(empty, 0.0), -1).masked_fill(empty, 0.0)
    return weights @ v, weights

# %% exercise="scaled_dot_product_attention" wrong="only_the_output_is_zeroed"
"""Zeroes the output of an empty row but hands back its uniform weights; breaks "a query that may look at no key has weights 0 and output 0"."""
def scaled_dot_product_attention(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf) if mask.dtype == torch.bool else scores + mask
    empty = (scores == -math.inf).all(-1, keepdim=True)
    weights = torch.softmax(scores.masked_fill(empty, 0.0), -1)
    out = (weights @ v).masked_fill(empty, 0.0)
    return out, weights

# %% exercise="scaled_dot_product_attention" wrong="opens_the_callers_mask"
"""Avoids the NaN by setting the empty rows of the caller's boolean mask to True with |=; breaks "arguments stay as they are: tensors, masks"."""
def scaled_dot_product_attention(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    if mask is None:
        weights = torch.softmax(scores, -1)
    elif mask.dtype == torch.bool:
        empty = ~mask.any(-1, keepdim=True)
        mask |= empty
        weights = torch.softmax(scores.masked_fill(~mask, -math.inf), -1)
        weights = weights.masked_fill(empty, 0.0)
    else:
        scores = scores + mask
        empty = (scores == -math.inf).all(-1, keepdim=True)
        weights = torch.softmax(scores.masked_fill(empty, 0.0), -1).masked_fill(empty, 0.0)
    return weights @ v, weights

# %% exercise="scaled_dot_product_attention" wrong="weights_without_gradient"
"""Detaches the weights it returns ("they are for looking at"); breaks "gradients flow through results"."""
def scaled_dot_product_attention(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf) if mask.dtype == torch.bool else scores + mask
    empty = (scores == -math.inf).all(-1, keepdim=True)
    weights = torch.softmax(scores.masked_fill(empty, 0.0), -1).masked_fill(empty, 0.0)
    return weights @ v, weights.detach()

# %% exercise="scaled_dot_product_attention" wrong="softmax_over_queries_2"
"""Takes the softmax along the queries' axis; breaks "Rows of the weights sum to 1"."""
def scaled_dot_product_attention(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf) if mask.dtype == torch.bool else scores + mask
    empty = (scores == -math.inf).all(-2, keepdim=True)
    weights = torch.softmax(scores.masked_fill(empty, 0.0), dim=-2).masked_fill(empty, 0.0)
    return weights @ v, weights

# %% exercise="causal_mask" wrong="diagonal_from_the_top_left"
"""Counts the queries from position 0: right only for T = S; breaks "Query row i is position S - T + i"."""
def causal_mask(n_queries: int, n_keys: int) -> Tensor:
    return torch.ones(n_queries, n_keys, dtype=torch.bool).tril()

# %% exercise="causal_mask" wrong="previous_positions_only"
"""Takes "earlier" at its word and leaves out the diagonal; breaks "it sees itself and everything earlier"."""
def causal_mask(n_queries: int, n_keys: int) -> Tensor:
    positions = torch.arange(n_keys - n_queries, n_keys)
    return torch.arange(n_keys)[None, :] < positions[:, None]

# %% exercise="causal_mask" wrong="ones_and_zeros_in_float"
"""Forgets the dtype: torch.ones makes float32; breaks "(T, S) bool"."""
def causal_mask(n_queries: int, n_keys: int) -> Tensor:
    return torch.ones(n_queries, n_keys).tril(diagonal=n_keys - n_queries)

# %% exercise="causal_mask" wrong="true_is_the_future_2"
"""Marks what is to be hidden (the convention of nn.MultiheadAttention); breaks "True = may look"."""
def causal_mask(n_queries: int, n_keys: int) -> Tensor:
    return torch.ones(n_queries, n_keys, dtype=torch.bool).triu(n_keys - n_queries + 1)

# %% exercise="causal_mask" wrong="shortcut_for_a_single_query"
"""Knows the cached step with one query, and forgets a chunk of several: for 1 < T < S it starts at position 0; breaks "the last T positions of the sequence"."""
def causal_mask(n_queries: int, n_keys: int) -> Tensor:
    if n_queries == 1:
        return torch.ones(1, n_keys, dtype=torch.bool)
    rows = torch.arange(n_queries).unsqueeze(1)
    return torch.arange(n_keys).unsqueeze(0) <= rows

# %% exercise="causal_mask" wrong="one_position_too_far"
"""Off by one at the offset: each query sees its next token as well; breaks "nobody may read the future"."""
def causal_mask(n_queries: int, n_keys: int) -> Tensor:
    offset = n_keys - n_queries + 1
    return torch.tril(torch.ones(n_queries, n_keys, dtype=torch.bool), diagonal=offset)

# %% exercise="causal_mask" wrong="with_axes_for_batch_and_heads"
"""Adds axes for batch and heads ("so that it broadcasts"); breaks "returns (T, S)"."""
def causal_mask(n_queries: int, n_keys: int) -> Tensor:
    mask = torch.ones(n_queries, n_keys, dtype=torch.bool).tril(n_keys - n_queries)
    return mask[None, None]

# %% exercise="padding_mask" wrong="less_or_equal"
"""Compares with <=, so the first padding position counts as real; breaks "number of real tokens"."""
def padding_mask(lengths: Tensor, n_keys: int) -> Tensor:
    return (torch.arange(n_keys, device=lengths.device) <= lengths[:, None])[:, None, None, :]

# %% exercise="padding_mask" wrong="true_is_padding_2"
"""Makes a key_padding_mask: True where there is padding; breaks "True = may look"."""
def padding_mask(lengths: Tensor, n_keys: int) -> Tensor:
    positions = torch.arange(n_keys, device=lengths.device)
    return positions.view(1, 1, 1, n_keys) >= lengths.view(-1, 1, 1, 1)

# %% exercise="padding_mask" wrong="padding_on_the_left"
"""Thinks of rows that are padded on the left, as for generation; breaks "they stand first, padding follows"."""
def padding_mask(lengths: Tensor, n_keys: int) -> Tensor:
    positions = torch.arange(n_keys, device=lengths.device)
    return (positions[None, :] >= n_keys - lengths[:, None])[:, None, None, :]

# %% exercise="padding_mask" wrong="one_axis_missing"
"""Returns (B, 1, S), which meets (B, H, T, S) with the batch on the heads' axis; breaks "(B, 1, 1, S)"."""
def padding_mask(lengths: Tensor, n_keys: int) -> Tensor:
    return (torch.arange(n_keys, device=lengths.device) < lengths[:, None]).unsqueeze(1)

# %% exercise="padding_mask" wrong="mask_of_the_queries"
"""Puts the positions on the queries' axis: (B, 1, S, 1); breaks "(B, 1, 1, S)" / "The mask belongs to the keys"."""
def padding_mask(lengths: Tensor, n_keys: int) -> Tensor:
    real = torch.arange(n_keys, device=lengths.device) < lengths[:, None]
    return real[:, None, :, None]

# %% exercise="padding_mask" wrong="as_long_as_the_longest"
"""Takes the longest length of the batch for the width and ignores n_keys; breaks "S, length of the padded rows"."""
def padding_mask(lengths: Tensor, n_keys: int) -> Tensor:
    positions = torch.arange(int(lengths.max()), device=lengths.device)
    return (positions < lengths[:, None])[:, None, None, :]

# %% exercise="padding_mask" wrong="lengths_get_an_axis_in_place"
"""Gives the caller's lengths a second axis with unsqueeze_; breaks "arguments stay as they are"."""
def padding_mask(lengths: Tensor, n_keys: int) -> Tensor:
    lengths.unsqueeze_(1)
    real = torch.arange(n_keys, device=lengths.device) < lengths
    return real[:, None, None, :]

# %% exercise="padding_mask" wrong="marks_the_last_real_token"
"""Marks position length - 1 and fills to its left: for length 0 the index -1 is the last key, so all padding counts as real; breaks "number of real tokens" for an empty row (section 6: "When all of a source is padding")."""
def padding_mask(lengths: Tensor, n_keys: int) -> Tensor:
    last = torch.zeros(len(lengths), n_keys, dtype=torch.int64, device=lengths.device)
    last[torch.arange(len(lengths)), lengths - 1] = 1
    real = last.flip(1).cumsum(1).flip(1) > 0
    return real[:, None, None, :]

# %% exercise="combine_masks" wrong="any_instead_of_all"
"""Joins with "or": a key is open as soon as one mask allows it; breaks "allows only what every mask allows"."""
def combine_masks(*masks: Tensor | None) -> Tensor | None:
    result = None
    for mask in masks:
        if mask is None:
            continue
        result = mask if result is None else result | mask
    return result

# %% exercise="combine_masks" wrong="one_none_cancels_all"
"""Returns None as soon as one of the masks is None, so the restrictions of the others are lost; breaks "None means no restriction"."""
def combine_masks(*masks: Tensor | None) -> Tensor | None:
    if not masks or any(mask is None for mask in masks):
        return None
    result = masks[0]
    for mask in masks[1:]:
        result = result & mask
    return result

# %% exercise="combine_masks" wrong="open_mask_instead_of_none"
"""Begins with a mask of True and returns it when nothing was combined; breaks "None when there is no mask at all, or only None"."""
def combine_masks(*masks: Tensor | None) -> Tensor | None:
    result = torch.ones(1, 1, dtype=torch.bool)
    for mask in masks:
        if mask is not None:
            result = result & mask
    return result

# %% exercise="combine_masks" wrong="two_masks_and_no_more"
"""Handles a causal and a padding mask and forgets the third; breaks "what every mask allows"."""
def combine_masks(*masks: Tensor | None) -> Tensor | None:
    given = [mask for mask in masks if mask is not None]
    if not given:
        return None
    if len(given) == 1:
        return given[0]
    return given[0] & given[1]

# %% exercise="combine_masks" wrong="all_false_counts_as_no_mask"
"""Skips masks without a single True as "empty": then everything is allowed that such a mask forbids; breaks "only what every mask allows"."""
def combine_masks(*masks: Tensor | None) -> Tensor | None:
    given = [mask for mask in masks if mask is not None and mask.any()]
    if not given:
        return None
    result = given[0]
    for mask in given[1:]:
        result = torch.logical_and(result, mask)
    return result

# %% exercise="combine_masks" wrong="all_true_counts_as_no_mask"
"""Drops masks that restrict nothing, so the result is None or too small; breaks "the broadcast shape, bool; None when there is no mask at all, or only None"."""
def combine_masks(*masks: Tensor | None) -> Tensor | None:
    result = None
    for mask in masks:
        if mask is None or bool(mask.all()):
            continue
        result = mask if result is None else result & mask
    return result

# %% exercise="combine_masks" wrong="stack_without_broadcast"
"""Stacks the masks, which needs equal shapes; breaks "shapes that broadcast against each other, for example (T, S) and (B, 1, 1, S)"."""
def combine_masks(*masks: Tensor | None) -> Tensor | None:
    given = [mask for mask in masks if mask is not None]
    return torch.stack(given).all(dim=0) if given else None

# %% exercise="combine_masks" wrong="product_of_numbers"
"""Multiplies the masks as floats and returns the float product; breaks "the broadcast shape, bool"."""
def combine_masks(*masks: Tensor | None) -> Tensor | None:
    product = None
    for mask in masks:
        if mask is not None:
            product = mask.float() if product is None else product * mask.float()
    return product

# %% exercise="split_heads" wrong="view_without_transpose_2"
"""Reshapes straight into (B, H, T, d): the shape is right, the numbers of several tokens are mixed; breaks "result[b, h, t] == x[b, t, h * d : (h + 1) * d]"."""
def split_heads(x: Tensor, num_heads: int) -> Tensor:
    B, T, D = x.shape
    return x.reshape(B, num_heads, T, D // num_heads)

# %% exercise="split_heads" wrong="every_hth_column"
"""Cuts the width into (d, H), so that head h gets every H-th column; breaks "h * d : (h + 1) * d"."""
def split_heads(x: Tensor, num_heads: int) -> Tensor:
    B, T, D = x.shape
    return x.reshape(B, T, D // num_heads, num_heads).permute(0, 3, 1, 2)

# %% exercise="split_heads" wrong="heads_behind_tokens_2"
"""Cuts the width and leaves the axes where they are; breaks "returns (B, H, T, D // H)"."""
def split_heads(x: Tensor, num_heads: int) -> Tensor:
    return x.unflatten(-1, (num_heads, x.shape[-1] // num_heads))

# %% exercise="split_heads" wrong="pieces_of_width_num_heads"
"""Tensor.split takes the width of a piece, not their number: d heads of width H; right only where H = d; breaks "(B, H, T, D // H)"."""
def split_heads(x: Tensor, num_heads: int) -> Tensor:
    return torch.stack(x.split(num_heads, dim=-1), dim=1)

# %% exercise="split_heads" wrong="heads_into_the_batch"
"""Stacks the heads in front of the batch and folds both, then cuts the axis as (B, H): heads and batch rows are swapped as soon as both are above 1; breaks "result[b, h, t] == ..."."""
def split_heads(x: Tensor, num_heads: int) -> Tensor:
    folded = torch.cat(x.chunk(num_heads, dim=-1), dim=0)  # (H * B, T, d)
    return folded.view(x.shape[0], num_heads, x.shape[1], -1)

# %% exercise="split_heads" wrong="buffer_of_default_dtype"
"""Fills a torch.zeros buffer, which is float32 whatever x is; breaks "results have the dtype of the inputs"."""
def split_heads(x: Tensor, num_heads: int) -> Tensor:
    B, T, D = x.shape
    d = D // num_heads
    result = torch.zeros(B, num_heads, T, d)
    for h in range(num_heads):
        result[:, h] = x[:, :, h * d : (h + 1) * d]
    return result

# %% exercise="merge_heads" wrong="reshape_without_transpose_2"
"""Flattens without bringing the heads next to d; breaks "result[b, t, h * d : (h + 1) * d] == x[b, h, t]"."""
def merge_heads(x: Tensor) -> Tensor:
    B, H, T, d = x.shape
    return x.reshape(B, T, H * d)

# %% exercise="merge_heads" wrong="heads_interleaved"
"""Puts the heads behind d, so that neighbours in the result come from different heads; breaks "h * d : (h + 1) * d"."""
def merge_heads(x: Tensor) -> Tensor:
    return x.permute(0, 2, 3, 1).flatten(2)

# %% exercise="merge_heads" wrong="view_after_transpose_2"
"""Calls view on the transposed tensor, which raises for T, H > 1; breaks "returns (B, T, H * d)"."""
def merge_heads(x: Tensor) -> Tensor:
    B, H, T, d = x.shape
    return x.transpose(1, 2).view(B, T, H * d)

# %% exercise="merge_heads" wrong="heads_one_after_another"
"""Concatenates the heads along the tokens; breaks "(B, T, H * d)" / "put each token's heads side by side"."""
def merge_heads(x: Tensor) -> Tensor:
    return torch.cat(x.unbind(dim=1), dim=1)

# %% exercise="merge_heads" wrong="squeeze_takes_too_much"
"""squeeze() without a dimension removes every axis of size 1, so a batch or a sentence of one loses its axis; breaks "(B, T, H * d)" with "sizes are 1 or more"."""
def merge_heads(x: Tensor) -> Tensor:
    heads = x.split(1, dim=1)
    return torch.cat(heads, dim=-1).squeeze()

# %% exercise="merge_heads" wrong="through_numpy"
"""Goes through numpy, where the graph ends; breaks "gradients flow through results"."""
def merge_heads(x: Tensor) -> Tensor:
    import numpy as np

    B, H, T, d = x.shape
    array = x.detach().cpu().numpy()
    return torch.from_numpy(np.ascontiguousarray(array.transpose(0, 2, 1, 3)).reshape(B, T, H * d)).to(x.device)

# %% exercise="merge_heads" wrong="adds_the_heads"
"""Adds the heads up and repeats the sum over the width; breaks "The inverse of split_heads"."""
def merge_heads(x: Tensor) -> Tensor:
    return x.sum(dim=1).repeat(1, 1, x.shape[1])

# %% exercise="MultiHeadAttention" wrong="scale_of_the_whole_width"
"""Divides the scores by sqrt(D), as if there were one head, in place of sqrt(d); breaks the formula of sections 3 and 5 (each head attends with its own d_k = d)."""
class MultiHeadAttention(nn.Module):
    def __init__(self, d_model: int, num_heads: int, dropout: float = 0.0):
        super().__init__()
        if d_model % num_heads != 0:
            raise ValueError(f"d_model {d_model} is not a multiple of num_heads {num_heads}")
        self.num_heads = num_heads
        self.w_q = nn.Linear(d_model, d_model)
        self.w_k = nn.Linear(d_model, d_model)
        self.w_v = nn.Linear(d_model, d_model)
        self.w_o = nn.Linear(d_model, d_model)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        q = split_heads(self.w_q(x), self.num_heads)
        k = split_heads(self.w_k(x), self.num_heads)
        v = split_heads(self.w_v(x), self.num_heads)
        scores = q @ k.transpose(-2, -1) / math.sqrt(x.shape[-1])
        if mask is not None:
            scores = scores.masked_fill(~mask, -math.inf) if mask.dtype == torch.bool else scores + mask
        empty = (scores == -math.inf).all(dim=-1, keepdim=True)
        weights = torch.softmax(scores.masked_fill(empty, 0.0), dim=-1).masked_fill(empty, 0.0)
        out = self.dropout(weights) @ v
        return self.w_o(merge_heads(out)), weights

# %% exercise="MultiHeadAttention" wrong="returns_dropped_weights_2"
"""Hands back the weights after dropout; breaks "weights (B, H, T, T) before dropout" (shows in training only)."""
class MultiHeadAttention(nn.Module):
    def __init__(self, d_model: int, num_heads: int, dropout: float = 0.0):
        super().__init__()
        if d_model % num_heads != 0:
            raise ValueError(f"d_model {d_model} is not a multiple of num_heads {num_heads}")
        self.num_heads = num_heads
        self.w_q = nn.Linear(d_model, d_model)
        self.w_k = nn.Linear(d_model, d_model)
        self.w_v = nn.Linear(d_model, d_model)
        self.w_o = nn.Linear(d_model, d_model)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        q = split_heads(self.w_q(x), self.num_heads)
        k = split_heads(self.w_k(x), self.num_heads)
        v = split_heads(self.w_v(x), self.num_heads)
        _, weights = scaled_dot_product_attention(q, k, v, mask)
        weights = self.dropout(weights)
        out = weights @ v
        return self.w_o(merge_heads(out)), weights

# %% exercise="MultiHeadAttention" wrong="assertion_instead_of_valueerror"
"""Asserts the divisibility, as torch's own module does: AssertionError; breaks "raises ValueError when D is not a multiple of H"."""
class MultiHeadAttention(nn.Module):
    def __init__(self, d_model: int, num_heads: int, dropout: float = 0.0):
        super().__init__()
        assert d_model % num_heads == 0, "d_model must be divisible by num_heads"
        self.num_heads = num_heads
        self.w_q = nn.Linear(d_model, d_model)
        self.w_k = nn.Linear(d_model, d_model)
        self.w_v = nn.Linear(d_model, d_model)
        self.w_o = nn.Linear(d_model, d_model)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        q = split_heads(self.w_q(x), self.num_heads)
        k = split_heads(self.w_k(x), self.num_heads)
        v = split_heads(self.w_v(x), self.num_heads)
        _, weights = scaled_dot_product_attention(q, k, v, mask)
        out = self.dropout(weights) @ v
        return self.w_o(merge_heads(out)), weights

# %% exercise="MultiHeadAttention" wrong="dropout_in_evaluation_too"
"""Calls functional.dropout, whose training flag is True by default, so weights are dropped after eval() as well; breaks "in training only"."""
class MultiHeadAttention(nn.Module):
    def __init__(self, d_model: int, num_heads: int, dropout: float = 0.0):
        super().__init__()
        if d_model % num_heads != 0:
            raise ValueError(f"d_model {d_model} is not a multiple of num_heads {num_heads}")
        self.num_heads = num_heads
        self.w_q = nn.Linear(d_model, d_model)
        self.w_k = nn.Linear(d_model, d_model)
        self.w_v = nn.Linear(d_model, d_model)
        self.w_o = nn.Linear(d_model, d_model)
        self.dropout = dropout

    def forward(self, x: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        q = split_heads(self.w_q(x), self.num_heads)
        k = split_heads(self.w_k(x), self.num_heads)
        v = split_heads(self.w_v(x), self.num_heads)
        _, weights = scaled_dot_product_attention(q, k, v, mask)
        out = nn.functional.dropout(weights, self.dropout) @ v
        return self.w_o(merge_heads(out)), weights

# %% exercise="MultiHeadAttention" wrong="mask_gets_a_head_axis"
"""Always inserts an axis for the heads, as for masks (B, T, T): (T, T) and (B, 1, 1, T) no longer fit; breaks "mask broadcastable to (B, H, T, T)"."""
class MultiHeadAttention(nn.Module):
    def __init__(self, d_model: int, num_heads: int, dropout: float = 0.0):
        super().__init__()
        if d_model % num_heads != 0:
            raise ValueError(f"d_model {d_model} is not a multiple of num_heads {num_heads}")
        self.num_heads = num_heads
        self.w_q = nn.Linear(d_model, d_model)
        self.w_k = nn.Linear(d_model, d_model)
        self.w_v = nn.Linear(d_model, d_model)
        self.w_o = nn.Linear(d_model, d_model)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        if mask is not None:
            mask = mask.unsqueeze(1)
        q = split_heads(self.w_q(x), self.num_heads)
        k = split_heads(self.w_k(x), self.num_heads)
        v = split_heads(self.w_v(x), self.num_heads)
        _, weights = scaled_dot_product_attention(q, k, v, mask)
        out = self.dropout(weights) @ v
        return self.w_o(merge_heads(out)), weights

# %% exercise="MultiHeadAttention" wrong="mean_over_heads"
"""Returns the mean of the weights over the heads, the default of nn.MultiheadAttention; breaks "weights (B, H, T, T)"."""
class MultiHeadAttention(nn.Module):
    def __init__(self, d_model: int, num_heads: int, dropout: float = 0.0):
        super().__init__()
        if d_model % num_heads != 0:
            raise ValueError(f"d_model {d_model} is not a multiple of num_heads {num_heads}")
        self.num_heads = num_heads
        self.w_q = nn.Linear(d_model, d_model)
        self.w_k = nn.Linear(d_model, d_model)
        self.w_v = nn.Linear(d_model, d_model)
        self.w_o = nn.Linear(d_model, d_model)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        q = split_heads(self.w_q(x), self.num_heads)
        k = split_heads(self.w_k(x), self.num_heads)
        v = split_heads(self.w_v(x), self.num_heads)
        _, weights = scaled_dot_product_attention(q, k, v, mask)
        out = self.dropout(weights) @ v
        return self.w_o(merge_heads(out)), weights.mean(dim=1)

# %% exercise="MultiHeadAttention" wrong="dropout_written_by_hand"
"""Divides by 1 - p by hand: with p = 1 every weight becomes 0 / 0; breaks "probability from 0 to 1" (and "without NaN")."""
class MultiHeadAttention(nn.Module):
    def __init__(self, d_model: int, num_heads: int, dropout: float = 0.0):
        super().__init__()
        if d_model % num_heads != 0:
            raise ValueError(f"d_model {d_model} is not a multiple of num_heads {num_heads}")
        self.num_heads = num_heads
        self.w_q = nn.Linear(d_model, d_model)
        self.w_k = nn.Linear(d_model, d_model)
        self.w_v = nn.Linear(d_model, d_model)
        self.w_o = nn.Linear(d_model, d_model)
        self.p = dropout

    def forward(self, x: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        q = split_heads(self.w_q(x), self.num_heads)
        k = split_heads(self.w_k(x), self.num_heads)
        v = split_heads(self.w_v(x), self.num_heads)
        _, weights = scaled_dot_product_attention(q, k, v, mask)
        dropped = weights
        if self.training and self.p > 0:
            keep = torch.rand_like(weights) >= self.p
            dropped = weights * keep / (1 - self.p)
        out = dropped @ v
        return self.w_o(merge_heads(out)), weights

# %% exercise="MultiHeadAttention" wrong="empty_query_gives_zero"
"""Sets the output of a query that may look at nothing to 0, behind w_o; breaks "only the bias of w_o is left of its output"."""
class MultiHeadAttention(nn.Module):
    def __init__(self, d_model: int, num_heads: int, dropout: float = 0.0):
        super().__init__()
        if d_model % num_heads != 0:
            raise ValueError(f"d_model {d_model} is not a multiple of num_heads {num_heads}")
        self.num_heads = num_heads
        self.w_q = nn.Linear(d_model, d_model)
        self.w_k = nn.Linear(d_model, d_model)
        self.w_v = nn.Linear(d_model, d_model)
        self.w_o = nn.Linear(d_model, d_model)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        q = split_heads(self.w_q(x), self.num_heads)
        k = split_heads(self.w_k(x), self.num_heads)
        v = split_heads(self.w_v(x), self.num_heads)
        _, weights = scaled_dot_product_attention(q, k, v, mask)
        out = self.dropout(weights) @ v
        out = self.w_o(merge_heads(out))
        empty = (weights.sum(dim=-1) == 0).all(dim=1)
        return out.masked_fill(empty.unsqueeze(-1), 0.0), weights

# %% exercise="MultiHeadAttention" wrong="dropout_behind_the_output"
"""Applies the dropout to the layer's output, not to the weights; breaks "probability that a weight is set to zero (nn.Dropout on the weights)"."""
class MultiHeadAttention(nn.Module):
    def __init__(self, d_model: int, num_heads: int, dropout: float = 0.0):
        super().__init__()
        if d_model % num_heads != 0:
            raise ValueError(f"d_model {d_model} is not a multiple of num_heads {num_heads}")
        self.num_heads = num_heads
        self.w_q = nn.Linear(d_model, d_model)
        self.w_k = nn.Linear(d_model, d_model)
        self.w_v = nn.Linear(d_model, d_model)
        self.w_o = nn.Linear(d_model, d_model)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        q = split_heads(self.w_q(x), self.num_heads)
        k = split_heads(self.w_k(x), self.num_heads)
        v = split_heads(self.w_v(x), self.num_heads)
        out, weights = scaled_dot_product_attention(q, k, v, mask)
        return self.dropout(self.w_o(merge_heads(out))), weights

# %% exercise="MultiHeadAttention" wrong="no_biases_in_front"
"""Leaves out the biases of w_q, w_k and w_v as newer models do; breaks "each an nn.Linear(D, D) with bias"."""
class MultiHeadAttention(nn.Module):
    def __init__(self, d_model: int, num_heads: int, dropout: float = 0.0):
        super().__init__()
        if d_model % num_heads != 0:
            raise ValueError(f"d_model {d_model} is not a multiple of num_heads {num_heads}")
        self.num_heads = num_heads
        self.w_q = nn.Linear(d_model, d_model, bias=False)
        self.w_k = nn.Linear(d_model, d_model, bias=False)
        self.w_v = nn.Linear(d_model, d_model, bias=False)
        self.w_o = nn.Linear(d_model, d_model)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        q = split_heads(self.w_q(x), self.num_heads)
        k = split_heads(self.w_k(x), self.num_heads)
        v = split_heads(self.w_v(x), self.num_heads)
        _, weights = scaled_dot_product_attention(q, k, v, mask)
        out = self.dropout(weights) @ v
        return self.w_o(merge_heads(out)), weights

# %% exercise="MultiHeadAttention" wrong="one_fused_projection"
"""Keeps queries, keys and values in one Linear(D, 3 D); breaks "Parameters, by their names in the state dict: w_q, w_k, w_v, w_o"."""
class MultiHeadAttention(nn.Module):
    def __init__(self, d_model: int, num_heads: int, dropout: float = 0.0):
        super().__init__()
        if d_model % num_heads != 0:
            raise ValueError(f"d_model {d_model} is not a multiple of num_heads {num_heads}")
        self.num_heads = num_heads
        self.w_qkv = nn.Linear(d_model, 3 * d_model)
        self.w_o = nn.Linear(d_model, d_model)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        q, k, v = (split_heads(part, self.num_heads) for part in self.w_qkv(x).chunk(3, dim=-1))
        _, weights = scaled_dot_product_attention(q, k, v, mask)
        out = self.dropout(weights) @ v
        return self.w_o(merge_heads(out)), weights

# %% exercise="MultiHeadAttention" wrong="heads_not_projected"
"""Merges the heads and returns them, w_o is made and never used; breaks "Concat(head_1, ..., head_H) W^O"."""
class MultiHeadAttention(nn.Module):
    def __init__(self, d_model: int, num_heads: int, dropout: float = 0.0):
        super().__init__()
        if d_model % num_heads != 0:
            raise ValueError(f"d_model {d_model} is not a multiple of num_heads {num_heads}")
        self.num_heads = num_heads
        self.w_q = nn.Linear(d_model, d_model)
        self.w_k = nn.Linear(d_model, d_model)
        self.w_v = nn.Linear(d_model, d_model)
        self.w_o = nn.Linear(d_model, d_model)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        q = split_heads(self.w_q(x), self.num_heads)
        k = split_heads(self.w_k(x), self.num_heads)
        v = split_heads(self.w_v(x), self.num_heads)
        _, weights = scaled_dot_product_attention(q, k, v, mask)
        out = self.dropout(weights) @ v
        return merge_heads(out), weights

# %% exercise="CrossAttention" wrong="mask_upside_down"
"""Takes the mask for one that marks padding and inverts it; breaks "bool ..., True = may look"."""
class CrossAttention(nn.Module):
    def __init__(self, d_model: int, num_heads: int):
        super().__init__()
        self.num_heads = num_heads
        self.w_q = nn.Linear(d_model, d_model)
        self.w_k = nn.Linear(d_model, d_model)
        self.w_v = nn.Linear(d_model, d_model)
        self.w_o = nn.Linear(d_model, d_model)

    def forward(self, x: Tensor, memory: Tensor, memory_mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        q = split_heads(self.w_q(x), self.num_heads)
        k = split_heads(self.w_k(memory), self.num_heads)
        v = split_heads(self.w_v(memory), self.num_heads)
        blocked = None if memory_mask is None else ~memory_mask
        out, weights = scaled_dot_product_attention(q, k, v, blocked)
        return self.w_o(merge_heads(out)), weights

# %% exercise="CrossAttention" wrong="memory_asks"
"""Queries from the memory, keys and values from the decoder: the output has the encoder's length; breaks "queries come from the decoder" / "out (B, T, D), weights (B, H, T, S)"."""
class CrossAttention(nn.Module):
    def __init__(self, d_model: int, num_heads: int):
        super().__init__()
        self.num_heads = num_heads
        self.w_q = nn.Linear(d_model, d_model)
        self.w_k = nn.Linear(d_model, d_model)
        self.w_v = nn.Linear(d_model, d_model)
        self.w_o = nn.Linear(d_model, d_model)

    def forward(self, x: Tensor, memory: Tensor, memory_mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        q = split_heads(self.w_q(memory), self.num_heads)
        k = split_heads(self.w_k(x), self.num_heads)
        v = split_heads(self.w_v(x), self.num_heads)
        out, weights = scaled_dot_product_attention(q, k, v, memory_mask)
        return self.w_o(merge_heads(out)), weights

# %% exercise="CrossAttention" wrong="values_of_the_decoder"
"""Keys from the memory, values from the decoder, as in self-attention; breaks "keys and values come from the encoder" (runs where T = S)."""
class CrossAttention(nn.Module):
    def __init__(self, d_model: int, num_heads: int):
        super().__init__()
        self.num_heads = num_heads
        self.w_q = nn.Linear(d_model, d_model)
        self.w_k = nn.Linear(d_model, d_model)
        self.w_v = nn.Linear(d_model, d_model)
        self.w_o = nn.Linear(d_model, d_model)

    def forward(self, x: Tensor, memory: Tensor, memory_mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        q = split_heads(self.w_q(x), self.num_heads)
        k = split_heads(self.w_k(memory), self.num_heads)
        v = split_heads(self.w_v(x), self.num_heads)
        out, weights = scaled_dot_product_attention(q, k, v, memory_mask)
        return self.w_o(merge_heads(out)), weights

# %% exercise="CrossAttention" wrong="causal_as_well"
"""Adds a causal mask "because it stands in the decoder"; breaks "There is no causal mask here"."""
class CrossAttention(nn.Module):
    def __init__(self, d_model: int, num_heads: int):
        super().__init__()
        self.num_heads = num_heads
        self.w_q = nn.Linear(d_model, d_model)
        self.w_k = nn.Linear(d_model, d_model)
        self.w_v = nn.Linear(d_model, d_model)
        self.w_o = nn.Linear(d_model, d_model)

    def forward(self, x: Tensor, memory: Tensor, memory_mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        q = split_heads(self.w_q(x), self.num_heads)
        k = split_heads(self.w_k(memory), self.num_heads)
        v = split_heads(self.w_v(memory), self.num_heads)
        allowed = torch.ones(x.shape[1], memory.shape[1], dtype=torch.bool, device=x.device).tril()
        if memory_mask is not None:
            allowed = allowed & memory_mask
        out, weights = scaled_dot_product_attention(q, k, v, allowed)
        return self.w_o(merge_heads(out)), weights

# %% exercise="CrossAttention" wrong="no_guard_for_an_empty_source"
"""Plain softmax over -inf, so a source of nothing but padding gives NaN; breaks "When all of a source is padding, the weights are 0 ...; no NaN"."""
class CrossAttention(nn.Module):
    def __init__(self, d_model: int, num_heads: int):
        super().__init__()
        self.num_heads = num_heads
        self.w_q = nn.Linear(d_model, d_model)
        self.w_k = nn.Linear(d_model, d_model)
        self.w_v = nn.Linear(d_model, d_model)
        self.w_o = nn.Linear(d_model, d_model)

    def forward(self, x: Tensor, memory: Tensor, memory_mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        q = split_heads(self.w_q(x), self.num_heads)
        k = split_heads(self.w_k(memory), self.num_heads)
        v = split_heads(self.w_v(memory), self.num_heads)
        scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
        if memory_mask is not None:
            scores = scores.masked_fill(~memory_mask, -math.inf)
        weights = torch.softmax(scores, dim=-1)
        out = weights @ v
        return self.w_o(merge_heads(out)), weights

# %% exercise="CrossAttention" wrong="keys_serve_as_values"
"""A slip of the keyboard: the values come from w_k too, w_v is never used; breaks "keys and values" as two projections of the memory (section 6, "w_v")."""
class CrossAttention(nn.Module):
    def __init__(self, d_model: int, num_heads: int):
        super().__init__()
        self.num_heads = num_heads
        self.w_q = nn.Linear(d_model, d_model)
        self.w_k = nn.Linear(d_model, d_model)
        self.w_v = nn.Linear(d_model, d_model)
        self.w_o = nn.Linear(d_model, d_model)

    def forward(self, x: Tensor, memory: Tensor, memory_mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        q = split_heads(self.w_q(x), self.num_heads)
        k = split_heads(self.w_k(memory), self.num_heads)
        v = split_heads(self.w_k(memory), self.num_heads)
        out, weights = scaled_dot_product_attention(q, k, v, memory_mask)
        return self.w_o(merge_heads(out)), weights

# %% exercise="CrossAttention" wrong="residual_included"
"""Adds x to the result, as the layer around it does; breaks "only the bias of w_o is left of the output" and the formula of section 5."""
class CrossAttention(nn.Module):
    def __init__(self, d_model: int, num_heads: int):
        super().__init__()
        self.num_heads = num_heads
        self.w_q = nn.Linear(d_model, d_model)
        self.w_k = nn.Linear(d_model, d_model)
        self.w_v = nn.Linear(d_model, d_model)
        self.w_o = nn.Linear(d_model, d_model)

    def forward(self, x: Tensor, memory: Tensor, memory_mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        q = split_heads(self.w_q(x), self.num_heads)
        k = split_heads(self.w_k(memory), self.num_heads)
        v = split_heads(self.w_v(memory), self.num_heads)
        out, weights = scaled_dot_product_attention(q, k, v, memory_mask)
        return x + self.w_o(merge_heads(out)), weights

# %% exercise="CrossAttention" wrong="padding_zeroed_in_the_memory"
"""Sets the padded rows of the memory to zero in place of masking the scores: padding keeps a score and its share of the weights; breaks "True = may look" and "The mask hides padding of the source sentence"."""
class CrossAttention(nn.Module):
    def __init__(self, d_model: int, num_heads: int):
        super().__init__()
        self.num_heads = num_heads
        self.w_q = nn.Linear(d_model, d_model)
        self.w_k = nn.Linear(d_model, d_model)
        self.w_v = nn.Linear(d_model, d_model)
        self.w_o = nn.Linear(d_model, d_model)

    def forward(self, x: Tensor, memory: Tensor, memory_mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        if memory_mask is not None:
            shape = (x.shape[0], self.num_heads, x.shape[1], memory.shape[1])
            real = memory_mask.expand(shape).any(dim=2).any(dim=1)
            memory = memory * real.unsqueeze(-1)
        q = split_heads(self.w_q(x), self.num_heads)
        k = split_heads(self.w_k(memory), self.num_heads)
        v = split_heads(self.w_v(memory), self.num_heads)
        out, weights = scaled_dot_product_attention(q, k, v)
        return self.w_o(merge_heads(out)), weights

# %% exercise="CrossAttention" wrong="mask_of_the_first_query_for_all"
"""Reduces every mask to the row of head 0 and query 0: right for padding_mask, wrong where queries or heads differ; breaks "broadcastable to (B, H, T, S)"."""
class CrossAttention(nn.Module):
    def __init__(self, d_model: int, num_heads: int):
        super().__init__()
        self.num_heads = num_heads
        self.w_q = nn.Linear(d_model, d_model)
        self.w_k = nn.Linear(d_model, d_model)
        self.w_v = nn.Linear(d_model, d_model)
        self.w_o = nn.Linear(d_model, d_model)

    def forward(self, x: Tensor, memory: Tensor, memory_mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        if memory_mask is not None:
            shape = (x.shape[0], self.num_heads, x.shape[1], memory.shape[1])
            memory_mask = memory_mask.expand(shape)[:, :1, :1]
        q = split_heads(self.w_q(x), self.num_heads)
        k = split_heads(self.w_k(memory), self.num_heads)
        v = split_heads(self.w_v(memory), self.num_heads)
        out, weights = scaled_dot_product_attention(q, k, v, memory_mask)
        return self.w_o(merge_heads(out)), weights

# %% exercise="CrossAttention" wrong="columns_dealt_like_cards"
"""Deals the columns to the heads in turn and collects them in the same way: consistent in itself, every shape right; breaks "heads in order, as above" (head h owns columns h * d to (h + 1) * d)."""
class CrossAttention(nn.Module):
    def __init__(self, d_model: int, num_heads: int):
        super().__init__()
        self.num_heads = num_heads
        self.w_q = nn.Linear(d_model, d_model)
        self.w_k = nn.Linear(d_model, d_model)
        self.w_v = nn.Linear(d_model, d_model)
        self.w_o = nn.Linear(d_model, d_model)

    def forward(self, x: Tensor, memory: Tensor, memory_mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        def deal(y):
            return y.reshape(*y.shape[:2], -1, self.num_heads).permute(0, 3, 1, 2)

        q, k, v = deal(self.w_q(x)), deal(self.w_k(memory)), deal(self.w_v(memory))
        out, weights = scaled_dot_product_attention(q, k, v, memory_mask)
        return self.w_o(out.permute(0, 2, 3, 1).flatten(2)), weights

# %% exercise="CrossAttention" wrong="length_of_the_decoder_for_both"
"""Cuts keys and values with the decoder's length T: raises where S is not T; breaks "memory (B, S, D)"."""
class CrossAttention(nn.Module):
    def __init__(self, d_model: int, num_heads: int):
        super().__init__()
        self.num_heads = num_heads
        self.w_q = nn.Linear(d_model, d_model)
        self.w_k = nn.Linear(d_model, d_model)
        self.w_v = nn.Linear(d_model, d_model)
        self.w_o = nn.Linear(d_model, d_model)

    def forward(self, x: Tensor, memory: Tensor, memory_mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        B, T, D = x.shape
        H, d = self.num_heads, D // self.num_heads
        q = self.w_q(x).view(B, T, H, d).transpose(1, 2)
        k = self.w_k(memory).view(B, T, H, d).transpose(1, 2)
        v = self.w_v(memory).view(B, T, H, d).transpose(1, 2)
        out, weights = scaled_dot_product_attention(q, k, v, memory_mask)
        return self.w_o(out.transpose(1, 2).reshape(B, T, D)), weights

# %% exercise="attention_entropy" wrong="zero_times_log_zero"
"""A weight of exactly 0 gives 0 * -inf = NaN: breaks "some may be exactly 0, and 0 ln 0 = 0"."""
def attention_entropy(weights: Tensor) -> Tensor:
    return -(weights * weights.log()).sum(dim=-1)

# %% exercise="attention_entropy" wrong="bits_3"
"""log2 gives bits: breaks "entropy in nats", up to ln(S)."""
def attention_entropy(weights: Tensor) -> Tensor:
    logs = torch.where(weights > 0, weights, torch.ones_like(weights)).log2()
    return -(weights * logs).sum(dim=-1)

# %% exercise="attention_entropy" wrong="mean_over_keys_2"
"""Mean over the keys where the formula sums over them: breaks "-sum_s w_s ln(w_s)"."""
def attention_entropy(weights: Tensor) -> Tensor:
    return torch.special.entr(weights).mean(dim=-1)

# %% exercise="attention_entropy" wrong="divided_by_its_maximum"
"""Normalises to 0..1 as the experiment of section 12 does later: breaks "to ln(S) (all keys alike)" and "in nats"."""
def attention_entropy(weights: Tensor) -> Tensor:
    nats = -torch.xlogy(weights, weights).sum(dim=-1)
    n_keys = weights.shape[-1]
    return nats / math.log(n_keys) if n_keys > 1 else nats

# %% exercise="attention_entropy" wrong="zeros_overwritten"
"""Puts ones where zeros were in the caller's tensor: right numbers, but "arguments stay as they are"."""
def attention_entropy(weights: Tensor) -> Tensor:
    weights[weights == 0] = 1.0
    return -(weights * weights.log()).sum(dim=-1)

# %% exercise="attention_entropy" wrong="small_weights_dropped"
"""Ignores every weight below 1e-3, not only zeros: a thousand and more equal keys get 0 and not ln(S)."""
def attention_entropy(weights: Tensor) -> Tensor:
    terms = torch.where(weights > 1e-3, weights * weights.clamp(min=1e-3).log(), 0.0)
    return -terms.sum(dim=-1)

# %% exercise="attention_entropy" wrong="flattened"
"""Picks out the positive weights of all queries together: one number, not (..., T)."""
def attention_entropy(weights: Tensor) -> Tensor:
    positive = weights[weights > 0]
    return -(positive * positive.log()).sum()

# %% exercise="attention_entropy" wrong="over_queries"
"""Sums over the queries (dim -2): one number for each key, not for each query; the shape fits where T = S."""
def attention_entropy(weights: Tensor) -> Tensor:
    return torch.special.entr(weights).sum(dim=-2)

# %% exercise="sink_mass" wrong="all_queries_3"
"""Also averages the first queries, which can see nothing but the sink: breaks "over queries t >= first"."""
def sink_mass(weights: Tensor, first: int = 4) -> Tensor:
    return weights[..., :first].sum(dim=-1).mean(dim=(0, 2))

# %% exercise="sink_mass" wrong="mean_over_sink_keys"
"""Averages the sink's keys where their weights must be added: breaks "fraction that falls on the first tokens"."""
def sink_mass(weights: Tensor, first: int = 4) -> Tensor:
    return weights[:, :, first:, :first].mean(dim=(0, 2, 3))

# %% exercise="sink_mass" wrong="positions_counted_from_the_end"
"""Takes row t for position S - T + t, as causal_mask does: breaks "t counts rows, also where T is not S"."""
def sink_mass(weights: Tensor, first: int = 4) -> Tensor:
    n_queries, n_keys = weights.shape[-2:]
    positions = torch.arange(n_keys - n_queries, n_keys, device=weights.device)
    return weights[:, :, positions >= first, :first].sum(-1).mean(dim=(0, 2))

# %% exercise="sink_mass" wrong="strictly_after"
"""Leaves out query t = first as well: breaks "queries t >= first"; with T = first + 1 nothing is left (NaN)."""
def sink_mass(weights: Tensor, first: int = 4) -> Tensor:
    mass = weights[..., :first].sum(-1)
    return mass[:, :, first + 1:].mean(dim=(0, 2))

# %% exercise="sink_mass" wrong="always_four_2"
"""The paper's four tokens are written into the slice of keys: the argument `first` only moves the queries."""
def sink_mass(weights: Tensor, first: int = 4) -> Tensor:
    late = weights[:, :, first:]
    return late[..., :4].sum(dim=-1).mean(dim=2).mean(dim=0)

# %% exercise="sink_mass" wrong="divided_by_all_queries"
"""Adds over queries t >= first but divides by T: not the mean over those queries."""
def sink_mass(weights: Tensor, first: int = 4) -> Tensor:
    batch, heads, n_queries, n_keys = weights.shape
    return weights[:, :, first:, :first].sum(dim=(0, 2, 3)) / (batch * n_queries)

# %% exercise="sink_mass" wrong="early_rows_zeroed"
"""Right numbers, but it zeroes the early queries in the caller's tensor: "arguments stay as they are"."""
def sink_mass(weights: Tensor, first: int = 4) -> Tensor:
    batch, heads, n_queries, n_keys = weights.shape
    weights[:, :, :first, :] = 0
    return weights[..., :first].sum(dim=(0, 2, 3)) / (batch * (n_queries - first))

# %% exercise="sink_mass" wrong="batch_kept"
"""Returns (B, H): breaks "returns (H,), mean over batch and over queries"."""
def sink_mass(weights: Tensor, first: int = 4) -> Tensor:
    return weights[:, :, first:, :first].sum(dim=-1).mean(dim=-1)

# %% exercise="sink_mass" wrong="heads_and_batch_swapped"
"""Reshapes (B, H, ...) to (H, B, ...) instead of moving the axes: heads and batch rows get mixed; fine for B = 1."""
def sink_mass(weights: Tensor, first: int = 4) -> Tensor:
    batch, heads, n_queries, n_keys = weights.shape
    mass = weights[:, :, first:, :first].sum(-1)
    return mass.reshape(heads, -1).mean(dim=1)

# %% exercise="attention_cost" wrong="multiply_add_is_one"
"""Counts MACs: breaks "a multiplication and an addition count as two FLOPs"."""
def attention_cost(n: int, d_model: int, num_heads: int, bytes_per_number: int = 4) -> dict[str, int]:
    return {
        "projection_flops": 4 * n * d_model * d_model,
        "score_flops": n * n * d_model,
        "mix_flops": n * n * d_model,
        "score_bytes": num_heads * n * n * bytes_per_number,
        "kv_bytes": 2 * n * d_model * bytes_per_number,
    }

# %% exercise="attention_cost" wrong="every_head_full_width_2"
"""Multiplies by H without dividing the width: breaks "each head has width D // num_heads"."""
def attention_cost(n: int, d_model: int, num_heads: int, bytes_per_number: int = 4) -> dict[str, int]:
    product = 2 * n * n * d_model * num_heads
    return {
        "projection_flops": 8 * n * d_model**2,
        "score_flops": product,
        "mix_flops": product,
        "score_bytes": num_heads * n * n * bytes_per_number,
        "kv_bytes": 2 * n * d_model * bytes_per_number,
    }

# %% exercise="attention_cost" wrong="output_projection_forgotten"
"""Three projections: breaks "the four (n, D) x (D, D) products: queries, keys, values, output"."""
def attention_cost(n: int, d_model: int, num_heads: int, bytes_per_number: int = 4) -> dict[str, int]:
    d = d_model // num_heads
    return {
        "projection_flops": 3 * 2 * n * d_model * d_model,
        "score_flops": num_heads * 2 * n * d * n,
        "mix_flops": num_heads * 2 * n * n * d,
        "score_bytes": bytes_per_number * num_heads * n * n,
        "kv_bytes": bytes_per_number * 2 * num_heads * n * d,
    }

# %% exercise="attention_cost" wrong="one_score_matrix"
"""Size of one head's weights: breaks "the weights of all heads, (H, n, n)"."""
def attention_cost(n: int, d_model: int, num_heads: int, bytes_per_number: int = 4) -> dict[str, int]:
    d = d_model // num_heads
    return {
        "projection_flops": 4 * 2 * n * d_model * d_model,
        "score_flops": num_heads * 2 * n * d * n,
        "mix_flops": num_heads * 2 * n * n * d,
        "score_bytes": bytes_per_number * n * n,
        "kv_bytes": bytes_per_number * 2 * n * d_model,
    }

# %% exercise="attention_cost" wrong="shared_keys_and_values"
"""Keys and values of one head of width d, as in multi-query attention: breaks "keys and values of all heads"."""
def attention_cost(n: int, d_model: int, num_heads: int, bytes_per_number: int = 4) -> dict[str, int]:
    d = d_model // num_heads
    return {
        "projection_flops": 4 * 2 * n * d_model * d_model,
        "score_flops": num_heads * 2 * n * d * n,
        "mix_flops": num_heads * 2 * n * n * d,
        "score_bytes": bytes_per_number * num_heads * n * n,
        "kv_bytes": bytes_per_number * 2 * n * d,
    }

# %% exercise="attention_cost" wrong="true_division"
"""d = D / H is a float, so two FLOP counts are floats: breaks "a dict of ints"."""
def attention_cost(n: int, d_model: int, num_heads: int, bytes_per_number: int = 4) -> dict[str, int]:
    d = d_model / num_heads
    return {
        "projection_flops": 8 * n * d_model * d_model,
        "score_flops": num_heads * 2 * n * n * d,
        "mix_flops": num_heads * 2 * n * n * d,
        "score_bytes": num_heads * n * n * bytes_per_number,
        "kv_bytes": 2 * n * d_model * bytes_per_number,
    }

# %% exercise="attention_cost" wrong="four_bytes_for_the_cache"
"""kv_bytes always counts float32: breaks "bytes_per_number: 4 for float32, 2 for float16"."""
def attention_cost(n: int, d_model: int, num_heads: int, bytes_per_number: int = 4) -> dict[str, int]:
    return {
        "projection_flops": 8 * n * d_model * d_model,
        "score_flops": 2 * n * n * d_model,
        "mix_flops": 2 * n * n * d_model,
        "score_bytes": num_heads * n * n * bytes_per_number,
        "kv_bytes": 2 * n * d_model * 4,
    }

# %% exercise="attention_cost" wrong="softmax_counted_in"
"""Adds five operations per score for scale and softmax: breaks "the scale and the softmax are left out"."""
def attention_cost(n: int, d_model: int, num_heads: int, bytes_per_number: int = 4) -> dict[str, int]:
    return {
        "projection_flops": 8 * n * d_model * d_model,
        "score_flops": 2 * n * n * d_model + 5 * num_heads * n * n,
        "mix_flops": 2 * n * n * d_model,
        "score_bytes": num_heads * n * n * bytes_per_number,
        "kv_bytes": 2 * n * d_model * bytes_per_number,
    }

# %% exercise="attention_cost" wrong="causal_triangle"
"""Counts only the pairs that a causal mask leaves: the text asks for all n queries on all n keys ((n, d) x (d, n))."""
def attention_cost(n: int, d_model: int, num_heads: int, bytes_per_number: int = 4) -> dict[str, int]:
    pairs = n * (n + 1) // 2
    return {
        "projection_flops": 8 * n * d_model * d_model,
        "score_flops": 2 * pairs * d_model,
        "mix_flops": 2 * pairs * d_model,
        "score_bytes": num_heads * n * n * bytes_per_number,
        "kv_bytes": 2 * n * d_model * bytes_per_number,
    }

# %% exercise="row_softmax" wrong="tail_zero_in_sum"
"""Lanes behind the end hold 0 on the walk for the sum, so exp(0 - max) is added once per missing lane."""
@triton.jit
def row_softmax_kernel(x_ptr, out_ptr, n_cols, x_row, x_col, out_row, out_col, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    lanes = tl.arange(0, BLOCK)
    largest = float("-inf")
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        x = tl.load(x_ptr + row * x_row + cols * x_col, mask=cols < n_cols, other=float("-inf")).to(tl.float32)
        largest = tl.maximum(largest, tl.max(x, axis=0))
    total = 0.0
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        x = tl.load(x_ptr + row * x_row + cols * x_col, mask=cols < n_cols, other=0.0).to(tl.float32)
        total += tl.sum(tl.exp(x - largest), axis=0)
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        x = tl.load(x_ptr + row * x_row + cols * x_col, mask=cols < n_cols, other=float("-inf")).to(tl.float32)
        tl.store(out_ptr + row * out_row + cols * out_col, tl.exp(x - largest) / total, mask=cols < n_cols)


def row_softmax(x: Tensor, block: int = 128) -> Tensor:
    rows, cols = x.shape
    out = torch.empty((rows, cols), dtype=x.dtype, device=x.device)
    row_softmax_kernel[(rows,)](
        x, out, cols, x.stride(0), x.stride(1), out.stride(0), out.stride(1), BLOCK=block)
    return out

# %% exercise="row_softmax" wrong="maximum_starts_at_zero"
"""The running maximum begins with 0, so rows far below 0 become 0 / 0: no softmax for finite x of any size."""
@triton.jit
def row_softmax_kernel(x_ptr, out_ptr, n_cols, x_row, x_col, out_row, out_col, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    largest = 0.0
    for start in range(0, n_cols, BLOCK):
        cols = start + tl.arange(0, BLOCK)
        x = tl.load(x_ptr + row * x_row + cols * x_col, mask=cols < n_cols, other=float("-inf")).to(tl.float32)
        largest = tl.maximum(largest, tl.max(x, axis=0))
    total = 0.0
    for start in range(0, n_cols, BLOCK):
        cols = start + tl.arange(0, BLOCK)
        x = tl.load(x_ptr + row * x_row + cols * x_col, mask=cols < n_cols, other=float("-inf")).to(tl.float32)
        total += tl.sum(tl.exp(x - largest), axis=0)
    for start in range(0, n_cols, BLOCK):
        cols = start + tl.arange(0, BLOCK)
        x = tl.load(x_ptr + row * x_row + cols * x_col, mask=cols < n_cols, other=float("-inf")).to(tl.float32)
        tl.store(out_ptr + row * out_row + cols * out_col, tl.exp(x - largest) / total, mask=cols < n_cols)


def row_softmax(x: Tensor, block: int = 128) -> Tensor:
    rows, cols = x.shape
    out = torch.empty((rows, cols), dtype=x.dtype, device=x.device)
    row_softmax_kernel[(rows,)](
        x, out, cols, x.stride(0), x.stride(1), out.stride(0), out.stride(1), BLOCK=block)
    return out

# %% exercise="row_softmax" wrong="never_rescaled"
"""One walk for maximum and sum, but the old sum is not multiplied by exp(old - new) when the maximum grows."""
@triton.jit
def row_softmax_kernel(x_ptr, out_ptr, n_cols, x_row, x_col, out_row, out_col, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    lanes = tl.arange(0, BLOCK)
    largest = float("-inf")
    total = 0.0
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        x = tl.load(x_ptr + row * x_row + cols * x_col, mask=cols < n_cols, other=float("-inf")).to(tl.float32)
        largest = tl.maximum(largest, tl.max(x, axis=0))
        total = total + tl.sum(tl.exp(x - largest), axis=0)
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        x = tl.load(x_ptr + row * x_row + cols * x_col, mask=cols < n_cols, other=float("-inf")).to(tl.float32)
        tl.store(out_ptr + row * out_row + cols * out_col, tl.exp(x - largest) / total, mask=cols < n_cols)


def row_softmax(x: Tensor, block: int = 128) -> Tensor:
    rows, cols = x.shape
    out = torch.empty((rows, cols), dtype=x.dtype, device=x.device)
    row_softmax_kernel[(rows,)](
        x, out, cols, x.stride(0), x.stride(1), out.stride(0), out.stride(1), BLOCK=block)
    return out

# %% exercise="row_softmax" wrong="one_block_is_the_row"
"""Handles only the first BLOCK columns of a row: breaks "C may be far larger than block"."""
@triton.jit
def row_softmax_kernel(x_ptr, out_ptr, n_cols, x_row, x_col, out_row, out_col, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    cols = tl.arange(0, BLOCK)
    inside = cols < n_cols
    x = tl.load(x_ptr + row * x_row + cols * x_col, mask=inside, other=float("-inf")).to(tl.float32)
    shares = tl.exp(x - tl.max(x, axis=0))
    tl.store(out_ptr + row * out_row + cols * out_col, shares / tl.sum(shares, axis=0), mask=inside)


def row_softmax(x: Tensor, block: int = 128) -> Tensor:
    rows, cols = x.shape
    out = torch.empty((rows, cols), dtype=x.dtype, device=x.device)
    row_softmax_kernel[(rows,)](
        x, out, cols, x.stride(0), x.stride(1), out.stride(0), out.stride(1), BLOCK=block)
    return out

# %% exercise="row_softmax" wrong="block_as_wide_as_the_row"
"""As in Triton's tutorial the whole row is loaded at once: breaks "columns that a program holds at once, at most"."""
@triton.jit
def row_softmax_kernel(x_ptr, out_ptr, n_cols, x_row, x_col, out_row, out_col, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    cols = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + row * x_row + cols * x_col, mask=cols < n_cols, other=-float("inf")).to(tl.float32)
    numerator = tl.exp(x - tl.max(x, axis=0))
    denominator = tl.sum(numerator, axis=0)
    tl.store(out_ptr + row * out_row + cols * out_col, numerator / denominator, mask=cols < n_cols)


def row_softmax(x: Tensor, block: int = 128) -> Tensor:
    rows, cols = x.shape
    out = torch.empty((rows, cols), dtype=x.dtype, device=x.device)
    row_softmax_kernel[(rows,)](
        x, out, cols, x.stride(0), x.stride(1), out.stride(0), out.stride(1), BLOCK=triton.next_power_of_2(cols))
    return out

# %% exercise="row_softmax" wrong="columns_lie_side_by_side"
"""Uses the row stride and takes 1 for the column stride: breaks "any strides (x.t(), x[:, ::2])"."""
@triton.jit
def row_softmax_kernel(x_ptr, out_ptr, n_cols, x_row, out_row, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    source = x_ptr + row * x_row
    target = out_ptr + row * out_row
    largest = float("-inf")
    for start in range(0, n_cols, BLOCK):
        cols = start + tl.arange(0, BLOCK)
        x = tl.load(source + cols, mask=cols < n_cols, other=float("-inf")).to(tl.float32)
        largest = tl.maximum(largest, tl.max(x, axis=0))
    total = 0.0
    for start in range(0, n_cols, BLOCK):
        cols = start + tl.arange(0, BLOCK)
        x = tl.load(source + cols, mask=cols < n_cols, other=float("-inf")).to(tl.float32)
        total += tl.sum(tl.exp(x - largest), axis=0)
    for start in range(0, n_cols, BLOCK):
        cols = start + tl.arange(0, BLOCK)
        x = tl.load(source + cols, mask=cols < n_cols, other=float("-inf")).to(tl.float32)
        tl.store(target + cols, tl.exp(x - largest) / total, mask=cols < n_cols)


def row_softmax(x: Tensor, block: int = 128) -> Tensor:
    rows, cols = x.shape
    out = torch.empty((rows, cols), dtype=x.dtype, device=x.device)
    row_softmax_kernel[(rows,)](x, out, cols, x.stride(0), out.stride(0), BLOCK=block)
    return out

# %% exercise="row_softmax" wrong="made_contiguous_first"
"""x.contiguous() copies a strided x: breaks "one launch; copies by torch count as launches"."""
@triton.jit
def row_softmax_kernel(x_ptr, out_ptr, n_cols, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    lanes = tl.arange(0, BLOCK)
    largest = float("-inf")
    total = 0.0
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        x = tl.load(x_ptr + row * n_cols + cols, mask=cols < n_cols, other=float("-inf")).to(tl.float32)
        higher = tl.maximum(largest, tl.max(x, axis=0))
        total = total * tl.exp(largest - higher) + tl.sum(tl.exp(x - higher), axis=0)
        largest = higher
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        x = tl.load(x_ptr + row * n_cols + cols, mask=cols < n_cols, other=float("-inf")).to(tl.float32)
        tl.store(out_ptr + row * n_cols + cols, tl.exp(x - largest) / total, mask=cols < n_cols)


def row_softmax(x: Tensor, block: int = 128) -> Tensor:
    x = x.contiguous()
    rows, cols = x.shape
    out = torch.empty((rows, cols), dtype=x.dtype, device=x.device)
    row_softmax_kernel[(rows,)](x, out, cols, BLOCK=block)
    return out

# %% exercise="row_softmax" wrong="output_laid_out_like_x"
"""torch.empty_like keeps the strides of x.t(): the numbers are right, but the result is not contiguous."""
@triton.jit
def row_softmax_kernel(x_ptr, out_ptr, n_cols, x_row, x_col, out_row, out_col, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    lanes = tl.arange(0, BLOCK)
    largest = float("-inf")
    total = 0.0
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        x = tl.load(x_ptr + row * x_row + cols * x_col, mask=cols < n_cols, other=float("-inf")).to(tl.float32)
        higher = tl.maximum(largest, tl.max(x, axis=0))
        total = total * tl.exp(largest - higher) + tl.sum(tl.exp(x - higher), axis=0)
        largest = higher
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        x = tl.load(x_ptr + row * x_row + cols * x_col, mask=cols < n_cols, other=float("-inf")).to(tl.float32)
        tl.store(out_ptr + row * out_row + cols * out_col, tl.exp(x - largest) / total, mask=cols < n_cols)


def row_softmax(x: Tensor, block: int = 128) -> Tensor:
    out = torch.empty_like(x)
    row_softmax_kernel[(x.shape[0],)](x, out, x.shape[1], *x.stride(), *out.stride(), BLOCK=block)
    return out

# %% exercise="row_softmax" wrong="sum_kept_in_half"
"""Differences and the running sum of a float16 row are float16; small terms are lost: not "computed in float32"."""
@triton.jit
def row_softmax_kernel(x_ptr, out_ptr, n_cols, x_row, x_col, out_row, out_col, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    kind = x_ptr.dtype.element_ty
    lanes = tl.arange(0, BLOCK)
    largest = tl.max(tl.full((BLOCK,), float("-inf"), kind), axis=0)
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        x = tl.load(x_ptr + row * x_row + cols * x_col, mask=cols < n_cols, other=float("-inf"))
        largest = tl.maximum(largest, tl.max(x, axis=0))
    total = tl.sum(tl.zeros((BLOCK,), kind), axis=0).to(kind)
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        x = tl.load(x_ptr + row * x_row + cols * x_col, mask=cols < n_cols, other=float("-inf"))
        total = (total + tl.sum(tl.exp((x - largest).to(tl.float32)), axis=0).to(kind)).to(kind)
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        x = tl.load(x_ptr + row * x_row + cols * x_col, mask=cols < n_cols, other=float("-inf"))
        share = tl.exp((x - largest).to(tl.float32)) / total.to(tl.float32)
        tl.store(out_ptr + row * out_row + cols * out_col, share, mask=cols < n_cols)


def row_softmax(x: Tensor, block: int = 128) -> Tensor:
    rows, cols = x.shape
    out = torch.empty((rows, cols), dtype=x.dtype, device=x.device)
    row_softmax_kernel[(rows,)](
        x, out, cols, x.stride(0), x.stride(1), out.stride(0), out.stride(1), BLOCK=block)
    return out

# %% exercise="row_softmax" wrong="always_float32_out"
"""The output is allocated in torch's default dtype: a float16 x gives a float32 result, not "same dtype"."""
@triton.jit
def row_softmax_kernel(x_ptr, out_ptr, n_cols, x_row, x_col, out_row, out_col, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    lanes = tl.arange(0, BLOCK)
    largest = float("-inf")
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        x = tl.load(x_ptr + row * x_row + cols * x_col, mask=cols < n_cols, other=float("-inf")).to(tl.float32)
        largest = tl.maximum(largest, tl.max(x, axis=0))
    total = 0.0
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        x = tl.load(x_ptr + row * x_row + cols * x_col, mask=cols < n_cols, other=float("-inf")).to(tl.float32)
        total += tl.sum(tl.exp(x - largest), axis=0)
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        x = tl.load(x_ptr + row * x_row + cols * x_col, mask=cols < n_cols, other=float("-inf")).to(tl.float32)
        tl.store(out_ptr + row * out_row + cols * out_col, tl.exp(x - largest) / total, mask=cols < n_cols)


def row_softmax(x: Tensor, block: int = 128) -> Tensor:
    out = torch.empty(x.shape, device=x.device)
    row_softmax_kernel[(x.shape[0],)](x, out, x.shape[1], *x.stride(), *out.stride(), BLOCK=block)
    return out

# %% exercise="row_softmax" wrong="one_program_for_everything"
"""A single program walks over all rows: breaks "more than one program where there are more than four rows"."""
@triton.jit
def row_softmax_kernel(x_ptr, out_ptr, n_rows, n_cols, x_row, x_col, out_row, out_col, BLOCK: tl.constexpr):
    lanes = tl.arange(0, BLOCK)
    for row in range(0, n_rows):
        largest = float("-inf")
        total = 0.0
        for start in range(0, n_cols, BLOCK):
            cols = start + lanes
            x = tl.load(x_ptr + row * x_row + cols * x_col, mask=cols < n_cols, other=float("-inf")).to(tl.float32)
            higher = tl.maximum(largest, tl.max(x, axis=0))
            total = total * tl.exp(largest - higher) + tl.sum(tl.exp(x - higher), axis=0)
            largest = higher
        for start in range(0, n_cols, BLOCK):
            cols = start + lanes
            x = tl.load(x_ptr + row * x_row + cols * x_col, mask=cols < n_cols, other=float("-inf")).to(tl.float32)
            tl.store(out_ptr + row * out_row + cols * out_col, tl.exp(x - largest) / total, mask=cols < n_cols)


def row_softmax(x: Tensor, block: int = 128) -> Tensor:
    rows, cols = x.shape
    out = torch.empty((rows, cols), dtype=x.dtype, device=x.device)
    row_softmax_kernel[(1,)](x, out, rows, cols, *x.stride(), *out.stride(), BLOCK=block)
    return out

# %% exercise="row_softmax" wrong="grid_rounded_down"
"""Four rows per program and R // 4 programs (at least one): the last R % 4 rows are never written when R > 4."""
@triton.jit
def row_softmax_kernel(x_ptr, out_ptr, n_rows, n_cols, x_row, x_col, out_row, out_col, BLOCK: tl.constexpr):
    lanes = tl.arange(0, BLOCK)
    first = tl.program_id(0) * 4
    for row in range(first, tl.minimum(first + 4, n_rows)):
        largest = float("-inf")
        total = 0.0
        for start in range(0, n_cols, BLOCK):
            cols = start + lanes
            x = tl.load(x_ptr + row * x_row + cols * x_col, mask=cols < n_cols, other=float("-inf")).to(tl.float32)
            higher = tl.maximum(largest, tl.max(x, axis=0))
            total = total * tl.exp(largest - higher) + tl.sum(tl.exp(x - higher), axis=0)
            largest = higher
        for start in range(0, n_cols, BLOCK):
            cols = start + lanes
            x = tl.load(x_ptr + row * x_row + cols * x_col, mask=cols < n_cols, other=float("-inf")).to(tl.float32)
            tl.store(out_ptr + row * out_row + cols * out_col, tl.exp(x - largest) / total, mask=cols < n_cols)


def row_softmax(x: Tensor, block: int = 128) -> Tensor:
    rows, cols = x.shape
    out = torch.empty((rows, cols), dtype=x.dtype, device=x.device)
    row_softmax_kernel[(max(1, rows // 4),)](x, out, rows, cols, *x.stride(), *out.stride(), BLOCK=block)
    return out

# %% exercise="row_softmax" wrong="filled_with_zeros"
"""torch.zeros fills the output before the kernel writes it: breaks "fills by torch count as launches; one launch"."""
@triton.jit
def row_softmax_kernel(x_ptr, out_ptr, n_cols, x_row, x_col, out_row, out_col, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    lanes = tl.arange(0, BLOCK)
    largest = float("-inf")
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        x = tl.load(x_ptr + row * x_row + cols * x_col, mask=cols < n_cols, other=float("-inf")).to(tl.float32)
        largest = tl.maximum(largest, tl.max(x, axis=0))
    total = 0.0
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        x = tl.load(x_ptr + row * x_row + cols * x_col, mask=cols < n_cols, other=float("-inf")).to(tl.float32)
        total += tl.sum(tl.exp(x - largest), axis=0)
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        x = tl.load(x_ptr + row * x_row + cols * x_col, mask=cols < n_cols, other=float("-inf")).to(tl.float32)
        tl.store(out_ptr + row * out_row + cols * out_col, tl.exp(x - largest) / total, mask=cols < n_cols)


def row_softmax(x: Tensor, block: int = 128) -> Tensor:
    rows, cols = x.shape
    out = torch.zeros((rows, cols), dtype=x.dtype, device=x.device)
    row_softmax_kernel[(rows,)](x, out, cols, *x.stride(), *out.stride(), BLOCK=block)
    return out

# %% exercise="masked_scaled_softmax" wrong="empty_row_is_nan_2"
"""A row without any allowed column becomes exp(-inf + inf) / ... = NaN: it must be exactly 0."""
@triton.jit
def masked_scaled_softmax_kernel(
    scores_ptr, mask_ptr, out_ptr, scale, n_cols,
    scores_row, scores_col, mask_row, mask_col, out_row, out_col, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0)
    lanes = tl.arange(0, BLOCK)
    largest = float("-inf")
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        inside = cols < n_cols
        allowed = tl.load(mask_ptr + row * mask_row + cols * mask_col, mask=inside, other=0) != 0
        s = tl.load(scores_ptr + row * scores_row + cols * scores_col, mask=inside, other=0.0) * scale
        largest = tl.maximum(largest, tl.max(tl.where(allowed & inside, s, float("-inf")), axis=0))
    total = 0.0
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        inside = cols < n_cols
        allowed = tl.load(mask_ptr + row * mask_row + cols * mask_col, mask=inside, other=0) != 0
        s = tl.load(scores_ptr + row * scores_row + cols * scores_col, mask=inside, other=0.0) * scale
        total += tl.sum(tl.exp(tl.where(allowed & inside, s, float("-inf")) - largest), axis=0)
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        inside = cols < n_cols
        allowed = tl.load(mask_ptr + row * mask_row + cols * mask_col, mask=inside, other=0) != 0
        s = tl.load(scores_ptr + row * scores_row + cols * scores_col, mask=inside, other=0.0) * scale
        share = tl.exp(tl.where(allowed & inside, s, float("-inf")) - largest) / total
        tl.store(out_ptr + row * out_row + cols * out_col, share, mask=inside)


def masked_scaled_softmax(scores: Tensor, mask: Tensor, scale: float, block: int = 128) -> Tensor:
    rows, cols = scores.shape
    out = torch.empty((rows, cols), dtype=torch.float32, device=scores.device)
    masked_scaled_softmax_kernel[(rows,)](
        scores, mask, out, scale, cols, *scores.stride(), *mask.stride(), *out.stride(), BLOCK=block)
    return out

# %% exercise="masked_scaled_softmax" wrong="scale_after_the_maximum"
"""Subtracts the maximum of the unscaled scores from scaled ones: overflows for scores near -1000, "any size"."""
@triton.jit
def masked_scaled_softmax_kernel(
    scores_ptr, mask_ptr, out_ptr, scale, n_cols,
    scores_row, scores_col, mask_row, mask_col, out_row, out_col, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0)
    lanes = tl.arange(0, BLOCK)
    largest = float("-inf")
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        inside = cols < n_cols
        allowed = inside & (tl.load(mask_ptr + row * mask_row + cols * mask_col, mask=inside, other=0) != 0)
        s = tl.load(scores_ptr + row * scores_row + cols * scores_col, mask=allowed, other=float("-inf"))
        largest = tl.maximum(largest, tl.max(s, axis=0))
    empty = largest == float("-inf")
    largest = tl.where(empty, 0.0, largest)
    total = 0.0
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        inside = cols < n_cols
        allowed = inside & (tl.load(mask_ptr + row * mask_row + cols * mask_col, mask=inside, other=0) != 0)
        s = tl.load(scores_ptr + row * scores_row + cols * scores_col, mask=allowed, other=float("-inf"))
        total += tl.sum(tl.exp(s * scale - largest), axis=0)
    total = tl.where(empty, 1.0, total)
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        inside = cols < n_cols
        allowed = inside & (tl.load(mask_ptr + row * mask_row + cols * mask_col, mask=inside, other=0) != 0)
        s = tl.load(scores_ptr + row * scores_row + cols * scores_col, mask=allowed, other=float("-inf"))
        tl.store(out_ptr + row * out_row + cols * out_col, tl.exp(s * scale - largest) / total, mask=inside)


def masked_scaled_softmax(scores: Tensor, mask: Tensor, scale: float, block: int = 128) -> Tensor:
    rows, cols = scores.shape
    out = torch.empty((rows, cols), dtype=torch.float32, device=scores.device)
    masked_scaled_softmax_kernel[(rows,)](
        scores, mask, out, scale, cols, *scores.stride(), *mask.stride(), *out.stride(), BLOCK=block)
    return out

# %% exercise="masked_scaled_softmax" wrong="mask_multiplied_in"
"""Exponentiates blocked columns too, then multiplies by the mask: a large blocked score gives inf * 0 = NaN."""
@triton.jit
def masked_scaled_softmax_kernel(
    scores_ptr, mask_ptr, out_ptr, scale, n_cols,
    scores_row, scores_col, mask_row, mask_col, out_row, out_col, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0)
    lanes = tl.arange(0, BLOCK)
    largest = float("-inf")
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        inside = cols < n_cols
        allowed = tl.load(mask_ptr + row * mask_row + cols * mask_col, mask=inside, other=0).to(tl.int1)
        s = tl.load(scores_ptr + row * scores_row + cols * scores_col, mask=inside, other=0.0) * scale
        largest = tl.maximum(largest, tl.max(tl.where(allowed, s, float("-inf")), axis=0))
    largest = tl.where(largest == float("-inf"), 0.0, largest)
    total = 0.0
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        inside = cols < n_cols
        allowed = tl.load(mask_ptr + row * mask_row + cols * mask_col, mask=inside, other=0).to(tl.float32)
        s = tl.load(scores_ptr + row * scores_row + cols * scores_col, mask=inside, other=0.0) * scale
        total += tl.sum(tl.exp(s - largest) * allowed, axis=0)
    total = tl.where(total == 0.0, 1.0, total)
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        inside = cols < n_cols
        allowed = tl.load(mask_ptr + row * mask_row + cols * mask_col, mask=inside, other=0).to(tl.float32)
        s = tl.load(scores_ptr + row * scores_row + cols * scores_col, mask=inside, other=0.0) * scale
        tl.store(out_ptr + row * out_row + cols * out_col, tl.exp(s - largest) * allowed / total, mask=inside)


def masked_scaled_softmax(scores: Tensor, mask: Tensor, scale: float, block: int = 128) -> Tensor:
    rows, cols = scores.shape
    out = torch.empty((rows, cols), dtype=torch.float32, device=scores.device)
    masked_scaled_softmax_kernel[(rows,)](
        scores, mask, out, scale, cols, *scores.stride(), *mask.stride(), *out.stride(), BLOCK=block)
    return out

# %% exercise="masked_scaled_softmax" wrong="maximum_over_blocked_too_3"
"""The maximum includes blocked columns: one large blocked score pushes every allowed exponential to 0."""
@triton.jit
def masked_scaled_softmax_kernel(
    scores_ptr, mask_ptr, out_ptr, scale, n_cols,
    scores_row, scores_col, mask_row, mask_col, out_row, out_col, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0)
    lanes = tl.arange(0, BLOCK)
    largest = float("-inf")
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        s = tl.load(scores_ptr + row * scores_row + cols * scores_col, mask=cols < n_cols, other=float("-inf"))
        largest = tl.maximum(largest, tl.max(s * scale, axis=0))
    total = 0.0
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        inside = cols < n_cols
        allowed = inside & (tl.load(mask_ptr + row * mask_row + cols * mask_col, mask=inside, other=0) != 0)
        s = tl.load(scores_ptr + row * scores_row + cols * scores_col, mask=inside, other=0.0) * scale
        total += tl.sum(tl.where(allowed, tl.exp(s - largest), 0.0), axis=0)
    total = tl.where(total == 0.0, 1.0, total)
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        inside = cols < n_cols
        allowed = inside & (tl.load(mask_ptr + row * mask_row + cols * mask_col, mask=inside, other=0) != 0)
        s = tl.load(scores_ptr + row * scores_row + cols * scores_col, mask=inside, other=0.0) * scale
        share = tl.where(allowed, tl.exp(s - largest), 0.0) / total
        tl.store(out_ptr + row * out_row + cols * out_col, share, mask=inside)


def masked_scaled_softmax(scores: Tensor, mask: Tensor, scale: float, block: int = 128) -> Tensor:
    rows, cols = scores.shape
    out = torch.empty((rows, cols), dtype=torch.float32, device=scores.device)
    masked_scaled_softmax_kernel[(rows,)](
        scores, mask, out, scale, cols, *scores.stride(), *mask.stride(), *out.stride(), BLOCK=block)
    return out

# %% exercise="masked_scaled_softmax" wrong="first_block_blocked"
"""One walk for maximum and sum: a first block without allowed columns makes the row NaN by -inf - (-inf)."""
@triton.jit
def masked_scaled_softmax_kernel(
    scores_ptr, mask_ptr, out_ptr, scale, n_cols,
    scores_row, scores_col, mask_row, mask_col, out_row, out_col, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0)
    lanes = tl.arange(0, BLOCK)
    largest = float("-inf")
    total = 0.0
    any_allowed = 0
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        inside = cols < n_cols
        allowed = inside & (tl.load(mask_ptr + row * mask_row + cols * mask_col, mask=inside, other=0) != 0)
        s = tl.load(scores_ptr + row * scores_row + cols * scores_col, mask=allowed, other=float("-inf")) * scale
        higher = tl.maximum(largest, tl.max(s, axis=0))
        total = total * tl.exp(largest - higher) + tl.sum(tl.exp(s - higher), axis=0)
        largest = higher
        any_allowed = tl.maximum(any_allowed, tl.max(allowed.to(tl.int32), axis=0))
    largest = tl.where(any_allowed == 1, largest, 0.0)
    total = tl.where(any_allowed == 1, total, 1.0)
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        inside = cols < n_cols
        allowed = inside & (tl.load(mask_ptr + row * mask_row + cols * mask_col, mask=inside, other=0) != 0)
        s = tl.load(scores_ptr + row * scores_row + cols * scores_col, mask=allowed, other=float("-inf")) * scale
        tl.store(out_ptr + row * out_row + cols * out_col, tl.exp(s - largest) / total, mask=inside)


def masked_scaled_softmax(scores: Tensor, mask: Tensor, scale: float, block: int = 128) -> Tensor:
    rows, cols = scores.shape
    out = torch.empty((rows, cols), dtype=torch.float32, device=scores.device)
    masked_scaled_softmax_kernel[(rows,)](
        scores, mask, out, scale, cols, *scores.stride(), *mask.stride(), *out.stride(), BLOCK=block)
    return out

# %% exercise="masked_scaled_softmax" wrong="minus_a_billion"
"""Blocked columns are -1e9, not -inf: where all allowed scores lie below that the row is 0, "any size of numbers"."""
@triton.jit
def masked_scaled_softmax_kernel(
    scores_ptr, mask_ptr, out_ptr, scale, n_cols,
    scores_row, scores_col, mask_row, mask_col, out_row, out_col, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0)
    lanes = tl.arange(0, BLOCK)
    largest = -1e9
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        inside = cols < n_cols
        allowed = inside & (tl.load(mask_ptr + row * mask_row + cols * mask_col, mask=inside, other=0) != 0)
        s = tl.load(scores_ptr + row * scores_row + cols * scores_col, mask=inside, other=0.0) * scale
        largest = tl.maximum(largest, tl.max(tl.where(allowed, s, -1e9), axis=0))
    total = 0.0
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        inside = cols < n_cols
        allowed = inside & (tl.load(mask_ptr + row * mask_row + cols * mask_col, mask=inside, other=0) != 0)
        s = tl.load(scores_ptr + row * scores_row + cols * scores_col, mask=inside, other=0.0) * scale
        total += tl.sum(tl.exp(tl.where(allowed, s, -1e9) - largest), axis=0)
    total = tl.where(total == 0.0, 1.0, total)
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        inside = cols < n_cols
        allowed = inside & (tl.load(mask_ptr + row * mask_row + cols * mask_col, mask=inside, other=0) != 0)
        s = tl.load(scores_ptr + row * scores_row + cols * scores_col, mask=inside, other=0.0) * scale
        share = tl.where(allowed, tl.exp(tl.where(allowed, s, -1e9) - largest) / total, 0.0)
        tl.store(out_ptr + row * out_row + cols * out_col, share, mask=inside)


def masked_scaled_softmax(scores: Tensor, mask: Tensor, scale: float, block: int = 128) -> Tensor:
    rows, cols = scores.shape
    out = torch.empty((rows, cols), dtype=torch.float32, device=scores.device)
    masked_scaled_softmax_kernel[(rows,)](
        scores, mask, out, scale, cols, *scores.stride(), *mask.stride(), *out.stride(), BLOCK=block)
    return out

# %% exercise="masked_scaled_softmax" wrong="mask_read_with_the_strides_of_scores"
"""The launcher passes the scores' strides for the mask: breaks "mask: any strides (a stride of 0 too)"."""
@triton.jit
def masked_scaled_softmax_kernel(
    scores_ptr, mask_ptr, out_ptr, scale, n_cols,
    scores_row, scores_col, mask_row, mask_col, out_row, out_col, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0)
    lanes = tl.arange(0, BLOCK)
    largest = float("-inf")
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        inside = cols < n_cols
        allowed = inside & (tl.load(mask_ptr + row * mask_row + cols * mask_col, mask=inside, other=0) != 0)
        s = tl.load(scores_ptr + row * scores_row + cols * scores_col, mask=allowed, other=float("-inf")) * scale
        largest = tl.maximum(largest, tl.max(s, axis=0))
    largest = tl.where(largest == float("-inf"), 0.0, largest)
    total = 0.0
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        inside = cols < n_cols
        allowed = inside & (tl.load(mask_ptr + row * mask_row + cols * mask_col, mask=inside, other=0) != 0)
        s = tl.load(scores_ptr + row * scores_row + cols * scores_col, mask=allowed, other=float("-inf")) * scale
        total += tl.sum(tl.exp(s - largest), axis=0)
    total = tl.where(total == 0.0, 1.0, total)
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        inside = cols < n_cols
        allowed = inside & (tl.load(mask_ptr + row * mask_row + cols * mask_col, mask=inside, other=0) != 0)
        s = tl.load(scores_ptr + row * scores_row + cols * scores_col, mask=allowed, other=float("-inf")) * scale
        tl.store(out_ptr + row * out_row + cols * out_col, tl.exp(s - largest) / total, mask=inside)


def masked_scaled_softmax(scores: Tensor, mask: Tensor, scale: float, block: int = 128) -> Tensor:
    rows, cols = scores.shape
    out = torch.empty((rows, cols), dtype=torch.float32, device=scores.device)
    masked_scaled_softmax_kernel[(rows,)](
        scores, mask, out, scale, cols, *scores.stride(), *scores.stride(), *out.stride(), BLOCK=block)
    return out

# %% exercise="masked_scaled_softmax" wrong="mask_read_four_times"
"""A walk of its own looks for allowed columns, three more follow: breaks "read ... mask at most three times"."""
@triton.jit
def masked_scaled_softmax_kernel(
    scores_ptr, mask_ptr, out_ptr, scale, n_cols,
    scores_row, scores_col, mask_row, mask_col, out_row, out_col, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0)
    lanes = tl.arange(0, BLOCK)
    count = 0
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        allowed = tl.load(mask_ptr + row * mask_row + cols * mask_col, mask=cols < n_cols, other=0) != 0
        count += tl.sum(allowed.to(tl.int32), axis=0)
    largest = float("-inf")
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        inside = cols < n_cols
        allowed = inside & (tl.load(mask_ptr + row * mask_row + cols * mask_col, mask=inside, other=0) != 0)
        s = tl.load(scores_ptr + row * scores_row + cols * scores_col, mask=allowed, other=float("-inf")) * scale
        largest = tl.maximum(largest, tl.max(s, axis=0))
    largest = tl.where(count == 0, 0.0, largest)
    total = 0.0
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        inside = cols < n_cols
        allowed = inside & (tl.load(mask_ptr + row * mask_row + cols * mask_col, mask=inside, other=0) != 0)
        s = tl.load(scores_ptr + row * scores_row + cols * scores_col, mask=allowed, other=float("-inf")) * scale
        total += tl.sum(tl.exp(s - largest), axis=0)
    total = tl.where(count == 0, 1.0, total)
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        inside = cols < n_cols
        allowed = inside & (tl.load(mask_ptr + row * mask_row + cols * mask_col, mask=inside, other=0) != 0)
        s = tl.load(scores_ptr + row * scores_row + cols * scores_col, mask=allowed, other=float("-inf")) * scale
        tl.store(out_ptr + row * out_row + cols * out_col, tl.exp(s - largest) / total, mask=inside)


def masked_scaled_softmax(scores: Tensor, mask: Tensor, scale: float, block: int = 128) -> Tensor:
    rows, cols = scores.shape
    out = torch.empty((rows, cols), dtype=torch.float32, device=scores.device)
    masked_scaled_softmax_kernel[(rows,)](
        scores, mask, out, scale, cols, *scores.stride(), *mask.stride(), *out.stride(), BLOCK=block)
    return out

# %% exercise="masked_scaled_softmax" wrong="every_block_for_itself"
"""A grid over rows and column blocks normalises each block on its own: rows sum to 1 only for C <= block."""
@triton.jit
def masked_scaled_softmax_kernel(
    scores_ptr, mask_ptr, out_ptr, scale, n_cols,
    scores_row, scores_col, mask_row, mask_col, out_row, out_col, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0)
    cols = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = cols < n_cols
    allowed = inside & (tl.load(mask_ptr + row * mask_row + cols * mask_col, mask=inside, other=0) != 0)
    s = tl.load(scores_ptr + row * scores_row + cols * scores_col, mask=allowed, other=float("-inf")) * scale
    largest = tl.max(s, axis=0)
    largest = tl.where(largest == float("-inf"), 0.0, largest)
    e = tl.exp(s - largest)
    total = tl.sum(e, axis=0)
    total = tl.where(total == 0.0, 1.0, total)
    tl.store(out_ptr + row * out_row + cols * out_col, e / total, mask=inside)


def masked_scaled_softmax(scores: Tensor, mask: Tensor, scale: float, block: int = 128) -> Tensor:
    rows, cols = scores.shape
    out = torch.empty((rows, cols), dtype=torch.float32, device=scores.device)
    masked_scaled_softmax_kernel[(rows, triton.cdiv(cols, block))](
        scores, mask, out, scale, cols, *scores.stride(), *mask.stride(), *out.stride(), BLOCK=block)
    return out

# %% exercise="masked_scaled_softmax" wrong="true_means_blocked"
"""Reads True as "may not look", the convention of nn.MultiheadAttention: breaks "True = allowed"."""
@triton.jit
def masked_scaled_softmax_kernel(
    scores_ptr, mask_ptr, out_ptr, scale, n_cols,
    scores_row, scores_col, mask_row, mask_col, out_row, out_col, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0)
    lanes = tl.arange(0, BLOCK)
    largest = float("-inf")
    total = 0.0
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        inside = cols < n_cols
        blocked = tl.load(mask_ptr + row * mask_row + cols * mask_col, mask=inside, other=1) != 0
        s = tl.load(scores_ptr + row * scores_row + cols * scores_col, mask=inside, other=0.0) * scale
        s = tl.where(blocked, float("-inf"), s)
        higher = tl.maximum(largest, tl.max(s, axis=0))
        safe = tl.where(higher == float("-inf"), 0.0, higher)
        total = total * tl.exp(largest - safe) + tl.sum(tl.exp(s - safe), axis=0)
        largest = higher
    safe = tl.where(largest == float("-inf"), 0.0, largest)
    total = tl.where(total == 0.0, 1.0, total)
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        inside = cols < n_cols
        blocked = tl.load(mask_ptr + row * mask_row + cols * mask_col, mask=inside, other=1) != 0
        s = tl.load(scores_ptr + row * scores_row + cols * scores_col, mask=inside, other=0.0) * scale
        s = tl.where(blocked, float("-inf"), s)
        tl.store(out_ptr + row * out_row + cols * out_col, tl.exp(s - safe) / total, mask=inside)


def masked_scaled_softmax(scores: Tensor, mask: Tensor, scale: float, block: int = 128) -> Tensor:
    rows, cols = scores.shape
    out = torch.empty((rows, cols), dtype=torch.float32, device=scores.device)
    masked_scaled_softmax_kernel[(rows,)](
        scores, mask, out, scale, cols, *scores.stride(), *mask.stride(), *out.stride(), BLOCK=block)
    return out

# %% exercise="masked_scaled_softmax" wrong="launcher_hides_with_torch"
"""torch.where hides the blocked columns before the kernel runs: that is a second launch, "one launch; fills count"."""
@triton.jit
def masked_scaled_softmax_kernel(
    scores_ptr, mask_ptr, out_ptr, scale, n_cols,
    scores_row, scores_col, mask_row, mask_col, out_row, out_col, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0)
    lanes = tl.arange(0, BLOCK)
    largest = float("-inf")
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        s = tl.load(scores_ptr + row * scores_row + cols * scores_col, mask=cols < n_cols, other=float("-inf"))
        largest = tl.maximum(largest, tl.max(s * scale, axis=0))
    largest = tl.where(largest == float("-inf"), 0.0, largest)
    total = 0.0
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        s = tl.load(scores_ptr + row * scores_row + cols * scores_col, mask=cols < n_cols, other=float("-inf"))
        total += tl.sum(tl.exp(s * scale - largest), axis=0)
    total = tl.where(total == 0.0, 1.0, total)
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        s = tl.load(scores_ptr + row * scores_row + cols * scores_col, mask=cols < n_cols, other=float("-inf"))
        tl.store(out_ptr + row * out_row + cols * out_col, tl.exp(s * scale - largest) / total, mask=cols < n_cols)


def masked_scaled_softmax(scores: Tensor, mask: Tensor, scale: float, block: int = 128) -> Tensor:
    rows, cols = scores.shape
    hidden = torch.where(mask, scores, float("-inf"))
    out = torch.empty((rows, cols), dtype=torch.float32, device=scores.device)
    masked_scaled_softmax_kernel[(rows,)](
        hidden, mask, out, scale, cols, *hidden.stride(), *mask.stride(), *out.stride(), BLOCK=block)
    return out

# %% exercise="permutation_finding" wrong="order_applied_the_other_way"
"""Puts the second sentence's outputs through ORDER again instead of undoing it: "A(x[ORDER]) against A(x)[ORDER]"."""
def permutation_finding(runs: list[int]) -> dict[str, float]:
    found = {"same_place": [], "same_word": [], "causal_word": []}
    causal = causal_mask(len(WORDS), len(WORDS))
    for run in runs:
        x = word_vectors(run)
        first = scaled_dot_product_attention(x, x, x)[0]
        y = x[ORDER]
        second = scaled_dot_product_attention(y, y, y)[0]
        first_causal = scaled_dot_product_attention(x, x, x, causal)[0]
        second_causal = scaled_dot_product_attention(y, y, y, causal)[0]
        found["same_place"].append((second - first).abs().max())
        found["same_word"].append((second[ORDER] - first).abs().max())
        found["causal_word"].append((second_causal[ORDER] - first_causal).abs().max())
    return {name: round(torch.stack(values).median().item(), 4) for name, values in found.items()}

# %% exercise="permutation_finding" wrong="mean_over_runs_3"
"""Mean over the runs: breaks "return the median over the runs"."""
def permutation_finding(runs: list[int]) -> dict[str, float]:
    causal = causal_mask(4, 4)
    sums = {"same_place": 0.0, "same_word": 0.0, "causal_word": 0.0}
    for run in runs:
        x = word_vectors(run)
        y = x[ORDER]
        a_x, a_y = (scaled_dot_product_attention(z, z, z)[0] for z in (x, y))
        c_x, c_y = (scaled_dot_product_attention(z, z, z, causal)[0] for z in (x, y))
        sums["same_place"] += (a_y - a_x).abs().max().item()
        sums["same_word"] += (a_y - a_x[ORDER]).abs().max().item()
        sums["causal_word"] += (c_y - c_x[ORDER]).abs().max().item()
    return {name: round(total / len(runs), 4) for name, total in sums.items()}

# %% exercise="permutation_finding" wrong="mask_moves_with_the_words_3"
"""Permutes the causal mask along with the words, so causal_word is 0; C(x[ORDER]) has the same "causal mask"."""
def permutation_finding(runs: list[int]) -> dict[str, float]:
    causal = causal_mask(4, 4)
    moved = causal[ORDER][:, ORDER]

    def attend(z, mask=None):
        return scaled_dot_product_attention(z, z, z, mask)[0]

    table = []
    for run in runs:
        x = word_vectors(run)
        y = x[ORDER]
        table.append([
            (attend(y) - attend(x)).abs().max().item(),
            (attend(y) - attend(x)[ORDER]).abs().max().item(),
            (attend(y, moved) - attend(x, causal)[ORDER]).abs().max().item(),
        ])
    medians = torch.tensor(table).median(dim=0).values.tolist()
    return {k: round(v, 4) for k, v in zip(("same_place", "same_word", "causal_word"), medians, strict=True)}

# %% exercise="permutation_finding" wrong="sign_forgotten"
"""Takes the largest signed difference: breaks "the largest |difference| over all elements"."""
def permutation_finding(runs: list[int]) -> dict[str, float]:
    causal = causal_mask(4, 4)
    rows = []
    for run in runs:
        x = word_vectors(run)
        y = x[ORDER]
        a_x, a_y = scaled_dot_product_attention(x, x, x)[0], scaled_dot_product_attention(y, y, y)[0]
        c_x, c_y = scaled_dot_product_attention(x, x, x, causal)[0], scaled_dot_product_attention(y, y, y, causal)[0]
        rows.append(torch.stack([(a_y - a_x).max(), (a_y - a_x[ORDER]).max(), (c_y - c_x[ORDER]).max()]))
    middle = torch.stack(rows).median(dim=0).values
    return {k: round(v.item(), 4) for k, v in zip(("same_place", "same_word", "causal_word"), middle, strict=True)}

# %% exercise="permutation_finding" wrong="weights_compared"
"""Compares the attention weights (second result): breaks "A(x) the output (T, 16) of your attention"."""
def permutation_finding(runs: list[int]) -> dict[str, float]:
    causal = causal_mask(4, 4)
    table = []
    for run in runs:
        x = word_vectors(run)
        y = x[ORDER]
        _, a_x = scaled_dot_product_attention(x, x, x)
        _, a_y = scaled_dot_product_attention(y, y, y)
        _, c_x = scaled_dot_product_attention(x, x, x, causal)
        _, c_y = scaled_dot_product_attention(y, y, y, causal)
        pairs = ((a_y, a_x), (a_y, a_x[ORDER]), (c_y, c_x[ORDER]))
        table.append([(mine - other).abs().max().item() for mine, other in pairs])
    place, word, causal_word = (sorted(column)[len(runs) // 2] for column in zip(*table, strict=True))
    return {"same_place": round(place, 4), "same_word": round(word, 4), "causal_word": round(causal_word, 4)}

# %% exercise="permutation_finding" wrong="global_runs"
"""Loops over the notebook's RUNS: the argument `runs` is never read."""
def permutation_finding(runs: list[int]) -> dict[str, float]:
    causal = causal_mask(4, 4)
    table = []
    for run in RUNS:
        x = word_vectors(run)
        y = x[ORDER]
        a_x, a_y = (scaled_dot_product_attention(z, z, z)[0] for z in (x, y))
        c_x, c_y = (scaled_dot_product_attention(z, z, z, causal)[0] for z in (x, y))
        table.append([(a_y - a_x).abs().max(), (a_y - a_x[ORDER]).abs().max(), (c_y - c_x[ORDER]).abs().max()])
    middle = torch.tensor(table).median(dim=0).values.tolist()
    return {k: round(v, 4) for k, v in zip(("same_place", "same_word", "causal_word"), middle, strict=True)}

# %% exercise="permutation_finding" wrong="only_queries_moved"
"""Keys and values keep the first order, so "causal_word" compares another thing: A and C take x for all three."""
def permutation_finding(runs: list[int]) -> dict[str, float]:
    causal = causal_mask(4, 4)
    table = []
    for run in runs:
        x = word_vectors(run)
        a_x, a_y = scaled_dot_product_attention(x, x, x)[0], scaled_dot_product_attention(x[ORDER], x, x)[0]
        c_x = scaled_dot_product_attention(x, x, x, causal)[0]
        c_y = scaled_dot_product_attention(x[ORDER], x, x, causal)[0]
        table.append([(a_y - a_x).abs().max(), (a_y - a_x[ORDER]).abs().max(), (c_y - c_x[ORDER]).abs().max()])
    middle = torch.tensor(table).median(dim=0).values.tolist()
    return {k: round(v, 4) for k, v in zip(("same_place", "same_word", "causal_word"), middle, strict=True)}

# %% exercise="permutation_finding" wrong="strings_for_the_report"
"""Formats the medians as strings: right digits, but "returns three floats"."""
def permutation_finding(runs: list[int]) -> dict[str, float]:
    causal = causal_mask(4, 4)
    table = []
    for run in runs:
        x = word_vectors(run)
        y = x[ORDER]
        a_x, a_y = (scaled_dot_product_attention(z, z, z)[0] for z in (x, y))
        c_x, c_y = (scaled_dot_product_attention(z, z, z, causal)[0] for z in (x, y))
        table.append([(a_y - a_x).abs().max(), (a_y - a_x[ORDER]).abs().max(), (c_y - c_x[ORDER]).abs().max()])
    middle = torch.tensor(table).median(dim=0).values.tolist()
    return {k: f"{v:.4f}" for k, v in zip(("same_place", "same_word", "causal_word"), middle, strict=True)}

# %% exercise="attention_backward" wrong="row_sum_forgotten"
"""dS = P * dP: the softmax's Jacobian without its second term ("a score moves all weights of its row")."""
def attention_backward(
    q: Tensor, k: Tensor, v: Tensor, grad_out: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    _, p = scaled_dot_product_attention(q, k, v, mask)
    dv = p.mT @ grad_out
    dp = grad_out @ v.mT
    ds = p * dp / math.sqrt(q.shape[-1])
    return ds @ k, ds.mT @ q, dv

# %% exercise="attention_backward" wrong="scale_missing_in_dk_2"
"""Only dq gets the factor 1 / sqrt(d_k): "it reaches dq and dk"."""
def attention_backward(
    q: Tensor, k: Tensor, v: Tensor, grad_out: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    scale = q.shape[-1] ** -0.5
    _, p = scaled_dot_product_attention(q, k, v, mask)
    dp = grad_out @ v.transpose(-2, -1)
    ds = p * (dp - (p * dp).sum(dim=-1, keepdim=True))
    return scale * (ds @ k), ds.transpose(-2, -1) @ q, p.transpose(-2, -1) @ grad_out

# %% exercise="attention_backward" wrong="scaled_by_the_width_of_v"
"""Takes sqrt(d_v) for the backward factor; d_v may differ from d_k, and the formula says sqrt(d_k)."""
def attention_backward(
    q: Tensor, k: Tensor, v: Tensor, grad_out: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    d = grad_out.shape[-1]
    out, p = scaled_dot_product_attention(q, k, v, mask)
    dp = grad_out @ v.mT
    ds = p * (dp - (out * grad_out).sum(-1, keepdim=True)) / math.sqrt(d)
    return ds @ k, ds.mT @ q, p.mT @ grad_out

# %% exercise="attention_backward" wrong="sum_without_keepdim"
"""The row sum (..., T) broadcasts along the keys: an error, or silently wrong where T = S: not each row's own sum."""
def attention_backward(
    q: Tensor, k: Tensor, v: Tensor, grad_out: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    _, p = scaled_dot_product_attention(q, k, v, mask)
    dp = grad_out @ v.mT
    ds = p * (dp - (p * dp).sum(-1)) / math.sqrt(q.shape[-1])
    return ds @ k, ds.mT @ q, p.mT @ grad_out

# %% exercise="attention_backward" wrong="summed_over_queries"
"""Takes the softmax's sum along the queries: "the softmax acts on each row by itself"."""
def attention_backward(
    q: Tensor, k: Tensor, v: Tensor, grad_out: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    _, p = scaled_dot_product_attention(q, k, v, mask)
    dp = grad_out @ v.mT
    ds = p * (dp - (p * dp).sum(dim=-2, keepdim=True)) / math.sqrt(q.shape[-1])
    return ds @ k, ds.mT @ q, p.mT @ grad_out

# %% exercise="attention_backward" wrong="blocked_by_a_billion"
"""Recomputes the weights with -1e9: a query that may look at nothing spreads evenly and adds to dv (and dk)."""
def attention_backward(
    q: Tensor, k: Tensor, v: Tensor, grad_out: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    scale = 1 / math.sqrt(q.shape[-1])
    s = q @ k.mT * scale
    if mask is not None:
        if mask.dtype == torch.bool:
            s = s.masked_fill(~mask, -1e9)
        else:
            s = s + mask.clamp(min=-1e9)
    p = torch.softmax(s, dim=-1)
    dp = grad_out @ v.mT
    ds = p * (dp - (p * dp).sum(-1, keepdim=True)) * scale
    return ds @ k, ds.mT @ q, p.mT @ grad_out

# %% exercise="attention_backward" wrong="empty_rows_nan"
"""Recomputes with a plain softmax: a row of -inf gives NaN in dq, and through the products in all of dk and dv."""
def attention_backward(
    q: Tensor, k: Tensor, v: Tensor, grad_out: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    scale = 1 / math.sqrt(q.shape[-1])
    s = q @ k.mT * scale
    if mask is not None:
        s = s.masked_fill(~mask, -math.inf) if mask.dtype == torch.bool else s + mask
    p = s.softmax(-1)
    dv = p.mT @ grad_out
    dp = grad_out @ v.mT
    ds = p * (dp - (p * dp).sum(-1, keepdim=True)) * scale
    return ds @ k, ds.mT @ q, dv

# %% exercise="attention_backward" wrong="mask_ignored_when_float"
"""A float mask blocks but its finite biases are lost: "mask: bool or float, as in scaled_dot_product_attention"."""
def attention_backward(
    q: Tensor, k: Tensor, v: Tensor, grad_out: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    if mask is not None and mask.dtype != torch.bool:
        mask = mask != -math.inf
    out, p = scaled_dot_product_attention(q, k, v, mask)
    ds = p * (grad_out @ v.mT - (grad_out * out).sum(-1, keepdim=True)) * q.shape[-1] ** -0.5
    return ds @ k, ds.mT @ q, p.mT @ grad_out

# %% exercise="attention_backward" wrong="queries_scaled_in_place"
"""Folds the scale into the caller's q with /=: "arguments stay as they are"."""
def attention_backward(
    q: Tensor, k: Tensor, v: Tensor, grad_out: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    _, p = scaled_dot_product_attention(q, k, v, mask)
    dp = grad_out @ v.mT
    ds = p * (dp - (p * dp).sum(-1, keepdim=True))
    root = math.sqrt(q.shape[-1])
    q /= root
    return ds @ k / root, ds.mT @ q, p.mT @ grad_out

# %% exercise="attention_backward" wrong="everything_in_float32"
"""Casts to float32 and returns it: float64 inputs need results with "the dtype of q, k, v"."""
def attention_backward(
    q: Tensor, k: Tensor, v: Tensor, grad_out: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    q, k, v, grad_out = q.float(), k.float(), v.float(), grad_out.float()
    if mask is not None and mask.is_floating_point():
        mask = mask.float()
    out, p = scaled_dot_product_attention(q, k, v, mask)
    ds = p * (grad_out @ v.mT - (grad_out * out).sum(-1, keepdim=True)) / math.sqrt(q.shape[-1])
    return ds @ k, ds.mT @ q, p.mT @ grad_out

# %% exercise="attention_backward" wrong="scale_in_dv_too"
"""Scales all three: "it does not stand between V and the output"."""
def attention_backward(
    q: Tensor, k: Tensor, v: Tensor, grad_out: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    out, p = scaled_dot_product_attention(q, k, v, mask)
    ds = p * (grad_out @ v.mT - (grad_out * out).sum(-1, keepdim=True))
    grads = ds @ k, ds.mT @ q, p.mT @ grad_out
    return tuple(g / math.sqrt(q.shape[-1]) for g in grads)

# %% exercise="saturation_finding" wrong="entropy_in_nats_3"
"""The entropies are not divided by ln(64): breaks "divided by ln(64): 0 = one key, 1 = all keys alike"."""
DIMS = [16, 64, 256, 1024]
saturation_finding = {"raw_entropy": [], "scaled_entropy": [], "raw_gradient": [], "scaled_gradient": []}
for d in DIMS:
    rows = {name: [] for name in saturation_finding}
    for s in range(10):
        gen = torch.Generator().manual_seed(s)
        scores = torch.randn(64, d, generator=gen) @ torch.randn(64, d, generator=gen).T
        for kind, values in (("raw", scores), ("scaled", scores / math.sqrt(d))):
            w = stable_softmax(values)
            rows[f"{kind}_entropy"].append(attention_entropy(w).mean().item())
            rows[f"{kind}_gradient"].append((1 - (w * w).sum(-1)).mean().item())
    for name in rows:
        saturation_finding[name].append(rows[name])

# %% exercise="saturation_finding" wrong="rows_are_seeds_2"
"""Tables of ten rows with four numbers: breaks "one row for each width in DIMS; each row is a list of ten numbers"."""
DIMS = [16, 64, 256, 1024]
saturation_finding = {"raw_entropy": [], "scaled_entropy": [], "raw_gradient": [], "scaled_gradient": []}
for s in range(10):
    gen = torch.Generator().manual_seed(s)
    rows = {name: [] for name in saturation_finding}
    for d in DIMS:
        scores = torch.randn(64, d, generator=gen) @ torch.randn(64, d, generator=gen).T
        for kind, values in (("raw", scores), ("scaled", scores / d**0.5)):
            w = stable_softmax(values)
            rows[f"{kind}_entropy"].append(attention_entropy(w).mean().item() / math.log(64))
            rows[f"{kind}_gradient"].append((1 - (w * w).sum(-1)).mean().item())
    for name in rows:
        saturation_finding[name].append(rows[name])

# %% exercise="saturation_finding" wrong="always_the_notebooks_seed"
"""manual_seed(seed) reads the notebook's global, so ten columns are equal: "one for each of the seeds 0 to 9"."""
DIMS = [16, 64, 256, 1024]


def measure(d, run):
    gen = torch.Generator().manual_seed(seed)
    queries, keys = torch.randn(64, d, generator=gen), torch.randn(64, d, generator=gen)
    numbers = {}
    for kind, factor in (("raw", 1.0), ("scaled", d**-0.5)):
        w = stable_softmax(queries @ keys.T * factor)
        numbers[f"{kind}_entropy"] = attention_entropy(w).mean().item() / math.log(64)
        numbers[f"{kind}_gradient"] = (1 - w.square().sum(-1)).mean().item()
    return numbers


saturation_finding = {
    name: [[measure(d, run)[name] for run in range(10)] for d in DIMS]
    for name in ("raw_entropy", "scaled_entropy", "raw_gradient", "scaled_gradient")
}

# %% exercise="saturation_finding" wrong="keys_equal_queries"
"""Each draw starts a new generator of the same seed, so keys and queries are the same numbers, not two draws."""
DIMS = [16, 64, 256, 1024]


def draw(run, d):
    return torch.randn(64, d, generator=torch.Generator().manual_seed(run))


saturation_finding = {"raw_entropy": [], "scaled_entropy": [], "raw_gradient": [], "scaled_gradient": []}
for d in DIMS:
    for kind, factor in (("raw", 1.0), ("scaled", 1 / math.sqrt(d))):
        shares = [stable_softmax(draw(run, d) @ draw(run, d).T * factor) for run in range(10)]
        saturation_finding[f"{kind}_entropy"].append(
            [attention_entropy(w).mean().item() / math.log(64) for w in shares])
        saturation_finding[f"{kind}_gradient"].append([1 - (w**2).sum(-1).mean().item() for w in shares])

# %% exercise="saturation_finding" wrong="divided_by_d_2"
"""Divides the scores by d: breaks "the same with the scores divided by sqrt(d)"."""
DIMS = [16, 64, 256, 1024]
saturation_finding = {"raw_entropy": [], "scaled_entropy": [], "raw_gradient": [], "scaled_gradient": []}
for d in DIMS:
    rows = {name: [] for name in saturation_finding}
    for s in range(10):
        gen = torch.Generator().manual_seed(s)
        scores = torch.randn(64, d, generator=gen) @ torch.randn(64, d, generator=gen).T
        for kind, values in (("raw", scores), ("scaled", scores / d)):
            w = stable_softmax(values)
            rows[f"{kind}_entropy"].append(attention_entropy(w).mean().item() / math.log(64))
            rows[f"{kind}_gradient"].append((1 - (w * w).sum(-1)).mean().item())
    for name in rows:
        saturation_finding[name].append(rows[name])

# %% exercise="saturation_finding" wrong="sum_of_squares_3"
"""Stores sum w^2 (1 = saturated) under the gradient's name: breaks "1 - sum_s w_s^2, 0 = no gradient passes"."""
DIMS = [16, 64, 256, 1024]
saturation_finding = {"raw_entropy": [], "scaled_entropy": [], "raw_gradient": [], "scaled_gradient": []}
for d in DIMS:
    rows = {name: [] for name in saturation_finding}
    for s in range(10):
        gen = torch.Generator().manual_seed(s)
        scores = torch.randn(64, d, generator=gen) @ torch.randn(64, d, generator=gen).T
        for kind, values in (("raw", scores), ("scaled", scores / math.sqrt(d))):
            w = stable_softmax(values)
            rows[f"{kind}_entropy"].append(attention_entropy(w).mean().item() / math.log(64))
            rows[f"{kind}_gradient"].append((w * w).sum(-1).mean().item())
    for name in rows:
        saturation_finding[name].append(rows[name])

# %% exercise="saturation_finding" wrong="uniform_numbers_3"
"""torch.rand: numbers between 0 and 1 where the text says "from a normal distribution"."""
DIMS = [16, 64, 256, 1024]
saturation_finding = {"raw_entropy": [], "scaled_entropy": [], "raw_gradient": [], "scaled_gradient": []}
for d in DIMS:
    rows = {name: [] for name in saturation_finding}
    for s in range(10):
        gen = torch.Generator().manual_seed(s)
        scores = torch.rand(64, d, generator=gen) @ torch.rand(64, d, generator=gen).T
        for kind, values in (("raw", scores), ("scaled", scores / math.sqrt(d))):
            w = stable_softmax(values)
            rows[f"{kind}_entropy"].append(attention_entropy(w).mean().item() / math.log(64))
            rows[f"{kind}_gradient"].append((1 - (w * w).sum(-1)).mean().item())
    for name in rows:
        saturation_finding[name].append(rows[name])

# %% exercise="saturation_finding" wrong="typed_in_from_theory"
"""Guessed, not measured: scaled curves flat at 1, raw ones falling as 1 / sqrt(d), the same for all ten seeds."""
DIMS = [16, 64, 256, 1024]
saturation_finding = {
    "raw_entropy": [[1.0 / math.sqrt(d / 16)] * 10 for d in DIMS],
    "scaled_entropy": [[1.0] * 10 for d in DIMS],
    "raw_gradient": [[4.0 / math.sqrt(d)] * 10 for d in DIMS],
    "scaled_gradient": [[1.0 - 1 / 64] * 10 for d in DIMS],
}

# %% exercise="saturation_finding" wrong="one_query_only"
"""Reads the weights of query 0: breaks "each number is the mean over 64 queries"."""
DIMS = [16, 64, 256, 1024]
saturation_finding = {"raw_entropy": [], "scaled_entropy": [], "raw_gradient": [], "scaled_gradient": []}
for d in DIMS:
    rows = {name: [] for name in saturation_finding}
    for s in range(10):
        gen = torch.Generator().manual_seed(s)
        scores = torch.randn(64, d, generator=gen) @ torch.randn(64, d, generator=gen).T
        for kind, values in (("raw", scores), ("scaled", scores / math.sqrt(d))):
            w = stable_softmax(values)
            rows[f"{kind}_entropy"].append(attention_entropy(w)[0].item() / math.log(64))
            rows[f"{kind}_gradient"].append((1 - (w * w).sum(-1))[0].item())
    for name in rows:
        saturation_finding[name].append(rows[name])

# %% exercise="saturation_finding" wrong="names_swapped"
"""The raw numbers stand under "scaled_..." and the scaled ones under "raw_..."."""
DIMS = [16, 64, 256, 1024]
saturation_finding = {"raw_entropy": [], "scaled_entropy": [], "raw_gradient": [], "scaled_gradient": []}
for d in DIMS:
    rows = {name: [] for name in saturation_finding}
    for s in range(10):
        gen = torch.Generator().manual_seed(s)
        scores = torch.randn(64, d, generator=gen) @ torch.randn(64, d, generator=gen).T
        for kind, values in (("scaled", scores), ("raw", scores / math.sqrt(d))):
            w = stable_softmax(values)
            rows[f"{kind}_entropy"].append(attention_entropy(w).mean().item() / math.log(64))
            rows[f"{kind}_gradient"].append((1 - (w * w).sum(-1)).mean().item())
    for name in rows:
        saturation_finding[name].append(rows[name])

# %% exercise="repaired_cross_attention" wrong="values_still_from_the_decoder_2"
"""Queries and keys are repaired, values not: no result where S differs from T, wrong numbers where it doesn't."""
def repaired_cross_attention(
    decoder_states: Tensor, encoder_states: Tensor, w_q: Tensor, w_k: Tensor, w_v: Tensor
) -> Tensor:
    queries = decoder_states.matmul(w_q)
    keys = encoder_states.matmul(w_k)
    values = decoder_states.matmul(w_v)
    logits = queries.matmul(keys.mT) * w_k.shape[-1] ** -0.5
    logits = torch.exp(logits - logits.max(-1, True).values)
    return (logits / logits.sum(-1, True)).matmul(values)

# %% exercise="repaired_cross_attention" wrong="no_maximum_subtracted_2"
"""exp of the bare scores overflows: breaks "scores may be in the hundreds"."""
def repaired_cross_attention(
    decoder_states: Tensor, encoder_states: Tensor, w_q: Tensor, w_k: Tensor, w_v: Tensor
) -> Tensor:
    queries, keys, values = decoder_states @ w_q, encoder_states @ w_k, encoder_states @ w_v
    shares = (queries @ keys.mT / math.sqrt(keys.shape[-1])).exp()
    return shares / shares.sum(-1, keepdim=True) @ values

# %% exercise="repaired_cross_attention" wrong="one_maximum_for_all_rows"
"""Subtracts the maximum of the whole tensor: rows a hundred below it become 0 / 0 ("scores may be in the hundreds")."""
def repaired_cross_attention(
    decoder_states: Tensor, encoder_states: Tensor, w_q: Tensor, w_k: Tensor, w_v: Tensor
) -> Tensor:
    queries, keys, values = decoder_states @ w_q, encoder_states @ w_k, encoder_states @ w_v
    logits = queries @ keys.mT / math.sqrt(keys.shape[-1])
    shares = torch.exp(logits - logits.max())
    return shares / shares.sum(-1, keepdim=True) @ values

# %% exercise="repaired_cross_attention" wrong="scaled_by_the_length"
"""Takes the number of keys for the width: sqrt(S) where section 3 says sqrt(d_k); unseen where S = D."""
def repaired_cross_attention(
    decoder_states: Tensor, encoder_states: Tensor, w_q: Tensor, w_k: Tensor, w_v: Tensor
) -> Tensor:
    queries, keys, values = decoder_states @ w_q, encoder_states @ w_k, encoder_states @ w_v
    logits = queries @ keys.mT / math.sqrt(keys.shape[1])
    return torch.softmax(logits, dim=-1) @ values

# %% exercise="repaired_cross_attention" wrong="applied_like_nn_linear"
"""nn.functional.linear multiplies by w transposed: breaks "applied from the right: states @ w"."""
def repaired_cross_attention(
    decoder_states: Tensor, encoder_states: Tensor, w_q: Tensor, w_k: Tensor, w_v: Tensor
) -> Tensor:
    queries = nn.functional.linear(decoder_states, w_q)
    keys = nn.functional.linear(encoder_states, w_k)
    values = nn.functional.linear(encoder_states, w_v)
    logits = queries @ keys.mT / math.sqrt(keys.shape[-1])
    return torch.softmax(logits, dim=-1) @ values

# %% exercise="repaired_cross_attention" wrong="softmax_over_queries"
"""dim=1 is the queries' axis: the weights of one decoder position do not sum to 1 over the encoder."""
def repaired_cross_attention(
    decoder_states: Tensor, encoder_states: Tensor, w_q: Tensor, w_k: Tensor, w_v: Tensor
) -> Tensor:
    queries, keys, values = decoder_states @ w_q, encoder_states @ w_k, encoder_states @ w_v
    logits = queries @ keys.mT / math.sqrt(keys.shape[-1])
    return torch.softmax(logits, dim=1) @ values

# %% exercise="repaired_cross_attention" wrong="scale_folded_into_w_q"
"""Multiplies the caller's w_q by 1 / sqrt(D) in place: right the first time, but "arguments stay as they are"."""
def repaired_cross_attention(
    decoder_states: Tensor, encoder_states: Tensor, w_q: Tensor, w_k: Tensor, w_v: Tensor
) -> Tensor:
    with torch.no_grad():
        w_q *= w_q.shape[-1] ** -0.5
    queries, keys, values = decoder_states @ w_q, encoder_states @ w_k, encoder_states @ w_v
    return torch.softmax(queries @ keys.mT, dim=-1) @ values

# %% exercise="repaired_cross_attention" wrong="no_gradient"
"""Runs under no_grad: breaks "gradients flow through results"."""
@torch.no_grad()
def repaired_cross_attention(
    decoder_states: Tensor, encoder_states: Tensor, w_q: Tensor, w_k: Tensor, w_v: Tensor
) -> Tensor:
    queries, keys, values = decoder_states @ w_q, encoder_states @ w_k, encoder_states @ w_v
    return torch.softmax(queries @ keys.mT / math.sqrt(w_q.shape[0]), dim=-1) @ values

# %% exercise="repaired_cross_attention" wrong="keys_and_queries_swapped"
"""Scores from encoder @ w_q and decoder @ w_k, transposed to fit: queries must come from the decoder."""
def repaired_cross_attention(
    decoder_states: Tensor, encoder_states: Tensor, w_q: Tensor, w_k: Tensor, w_v: Tensor
) -> Tensor:
    asked = encoder_states @ w_q
    found = decoder_states @ w_k
    logits = (asked @ found.mT).mT / math.sqrt(w_k.shape[-1])
    return torch.softmax(logits, dim=-1) @ (encoder_states @ w_v)

# %% exercise="repaired_masking" wrong="zero_hides_in_both"
"""Still asks `mask == 0` whatever the dtype: in a float mask 0 adds nothing and must not hide."""
def repaired_masking(logits: Tensor, mask: Tensor) -> Tensor:
    if mask.dtype != torch.bool and not mask.is_floating_point():
        raise TypeError("bool or float masks only")
    scores = logits.masked_fill(mask == 0, -math.inf)
    empty = (scores == -math.inf).all(dim=-1, keepdim=True)
    return torch.softmax(scores.masked_fill(empty, 0.0), dim=-1).masked_fill(empty, 0.0)

# %% exercise="repaired_masking" wrong="integers_taken_for_truth"
"""Casts every other dtype to bool: breaks "any other dtype: raise TypeError instead of guessing"."""
def repaired_masking(logits: Tensor, mask: Tensor) -> Tensor:
    if mask.is_floating_point():
        scores = logits + mask.to(logits.dtype)
    else:
        scores = logits.masked_fill(~mask.bool(), -math.inf)
    empty = torch.isneginf(scores).all(dim=-1, keepdim=True)
    return torch.softmax(scores.masked_fill(empty, 0.0), dim=-1).masked_fill(empty, 0.0)

# %% exercise="repaired_masking" wrong="byte_masks_welcome"
"""Treats uint8 as bool, as old torch did: breaks "any other dtype: raise TypeError"; other integers are refused."""
def repaired_masking(logits: Tensor, mask: Tensor) -> Tensor:
    if mask.dtype in (torch.bool, torch.uint8):
        scores = logits.masked_fill(mask == 0, -math.inf)
    elif mask.is_floating_point():
        scores = logits + mask.to(logits.dtype)
    else:
        raise TypeError(f"a mask is bool or float, not {mask.dtype}")
    empty = torch.isneginf(scores).all(dim=-1, keepdim=True)
    return torch.softmax(scores.masked_fill(empty, 0.0), dim=-1).masked_fill(empty, 0.0)

# %% exercise="repaired_masking" wrong="value_error_3"
"""Raises ValueError for an integer mask where the docstring says TypeError."""
def repaired_masking(logits: Tensor, mask: Tensor) -> Tensor:
    if mask.dtype == torch.bool:
        mask = torch.zeros_like(mask, dtype=logits.dtype).masked_fill(~mask, -math.inf)
    elif not mask.is_floating_point():
        raise ValueError(f"unknown mask dtype {mask.dtype}")
    scores = logits + mask.to(logits.dtype)
    empty = torch.isneginf(scores).all(dim=-1, keepdim=True)
    return torch.softmax(scores.masked_fill(empty, 0.0), dim=-1).masked_fill(empty, 0.0)

# %% exercise="repaired_masking" wrong="only_the_logits_dtype_2"
"""A float16 mask with float32 logits is refused: "float, of any float dtype no wider than that of the logits"."""
def repaired_masking(logits: Tensor, mask: Tensor) -> Tensor:
    if mask.dtype == torch.bool:
        scores = logits.masked_fill(~mask, -math.inf)
    elif mask.dtype == logits.dtype:
        scores = logits + mask
    else:
        raise TypeError(f"a mask is bool or {logits.dtype}, not {mask.dtype}")
    empty = torch.isneginf(scores).all(dim=-1, keepdim=True)
    return torch.softmax(scores.masked_fill(empty, 0.0), dim=-1).masked_fill(empty, 0.0)

# %% exercise="repaired_masking" wrong="biases_thrown_away"
"""Reduces a float mask to hidden or not: breaks "a finite number is a bias"."""
def repaired_masking(logits: Tensor, mask: Tensor) -> Tensor:
    if mask.is_floating_point():
        mask = mask > -math.inf
    if mask.dtype != torch.bool:
        raise TypeError(f"a mask is bool or float, not {mask.dtype}")
    scores = logits.masked_fill(~mask, -math.inf)
    empty = torch.isneginf(scores).all(dim=-1, keepdim=True)
    return torch.softmax(scores.masked_fill(empty, 0.0), dim=-1).masked_fill(empty, 0.0)

# %% exercise="repaired_masking" wrong="only_if_all_rows_are_empty"
"""Tests the whole tensor, not each row: a single row that may look at nothing is NaN, not zero."""
def repaired_masking(logits: Tensor, mask: Tensor) -> Tensor:
    if mask.dtype == torch.bool:
        scores = logits.masked_fill(~mask, -math.inf)
    elif mask.is_floating_point():
        scores = logits + mask.to(logits.dtype)
    else:
        raise TypeError(f"a mask is bool or float, not {mask.dtype}")
    if torch.isneginf(scores).all():
        return torch.zeros_like(scores)
    return torch.softmax(scores, dim=-1)

# %% exercise="repaired_masking" wrong="logits_overwritten"
"""masked_fill_ and += write into the caller's logits: "arguments stay as they are"."""
def repaired_masking(logits: Tensor, mask: Tensor) -> Tensor:
    if mask.dtype == torch.bool:
        scores = logits.masked_fill_(~mask, -math.inf)
    elif mask.is_floating_point():
        logits += mask.to(logits.dtype)
        scores = logits
    else:
        raise TypeError(f"a mask is bool or float, not {mask.dtype}")
    empty = torch.isneginf(scores).all(dim=-1, keepdim=True)
    return torch.softmax(scores.masked_fill(empty, 0.0), dim=-1).masked_fill(empty, 0.0)

# %% exercise="repaired_masking" wrong="hidden_by_a_billion"
"""A bool mask hides with -1e9, then the row test looks for it: logits "of any size" below -1e9 lose to hidden keys."""
def repaired_masking(logits: Tensor, mask: Tensor) -> Tensor:
    if mask.dtype == torch.bool:
        scores = logits.masked_fill(~mask, -1e9)
        empty = ~mask.any(dim=-1, keepdim=True)
    elif mask.is_floating_point():
        scores = logits + mask.to(logits.dtype)
        empty = torch.isneginf(scores).all(dim=-1, keepdim=True)
    else:
        raise TypeError(f"a mask is bool or float, not {mask.dtype}")
    return torch.softmax(scores.masked_fill(empty, 0.0), dim=-1).masked_fill(empty, 0.0)

# %% exercise="repaired_masking" wrong="mask_after_the_softmax"
"""Multiplies a bool mask in after the softmax: rows no longer sum to 1 ("a mask acts before the softmax")."""
def repaired_masking(logits: Tensor, mask: Tensor) -> Tensor:
    if mask.dtype == torch.bool:
        return torch.softmax(logits, dim=-1) * mask
    if not mask.is_floating_point():
        raise TypeError(f"a mask is bool or float, not {mask.dtype}")
    scores = logits + mask.to(logits.dtype)
    empty = torch.isneginf(scores).all(dim=-1, keepdim=True)
    return torch.softmax(scores.masked_fill(empty, 0.0), dim=-1).masked_fill(empty, 0.0)

# %% exercise="repaired_masking" wrong="bfloat16_unknown"
"""Lists three float dtypes and refuses bfloat16 masks: breaks "of any float dtype no wider than that of the logits"."""
def repaired_masking(logits: Tensor, mask: Tensor) -> Tensor:
    if mask.dtype == torch.bool:
        scores = logits.masked_fill(~mask, -math.inf)
    elif mask.dtype in (torch.float16, torch.float32, torch.float64):
        scores = logits + mask.to(logits.dtype)
    else:
        raise TypeError(f"a mask is bool or float, not {mask.dtype}")
    empty = torch.isneginf(scores).all(dim=-1, keepdim=True)
    return torch.softmax(scores.masked_fill(empty, 0.0), dim=-1).masked_fill(empty, 0.0)
