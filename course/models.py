"""Models that a lesson is given, and parts of models that earlier units taught.

`SmallTransformer` (unit 03): a small causal transformer with a place to plug a position scheme in, trained in seconds
on one CPU core; its attention is torch's own. `MultiHeadAttention` (taught in unit 02), `sinusoidal_encoding` and
`apply_rope` (unit 03), `RMSNorm` and `SwiGLU` (unit 04): given to every later unit, and forbidden where they are an
exercise. `gemma`: a published model, where it is installed. Not here: the course's own language model (`course.gpt`),
and anything that the unit which uses it asks a learner to write.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SYMBOLS, WIDTH, HEADS, LAYERS = 128, 48, 4, 2
TRAIN_LENGTH, BATCH, STEPS, RATE = 64, 8, 300, 6e-3


class Positions(NamedTuple):
    """Where positions enter a transformer. Leave out what a scheme does not use.

    add     (T, D) -> (T, D), added to the token embeddings; one that is a module is trained with the model
    rotate  (x (B, H, T, d), positions (T,)) -> (B, H, T, d), applied to queries and to keys
    bias    (H, T, T) -> (H, T, T) added to the scaled scores; -inf hides
    """

    add: Callable[[int, int], Tensor] | None = None
    rotate: Callable[[Tensor, Tensor], Tensor] | None = None
    bias: Callable[[int, int, int], Tensor] | None = None


def sinusoidal_encoding(length: int, d_model: int) -> Tensor:
    """(T, D) float32: column 2i holds sin(t / 10000^(2i/D)), column 2i + 1 the cosine. D even.

    Source: Vaswani et al. 2017, "Attention Is All You Need", section 3.5.
    """
    slowness = 10000.0 ** torch.linspace(0, 1, d_model // 2 + 1, dtype=torch.float64)[:-1]
    angles = torch.arange(length, dtype=torch.float64).unsqueeze(1) / slowness  # (T, D / 2)
    table = torch.empty(length, d_model)
    table[:, 0::2], table[:, 1::2] = angles.sin(), angles.cos()
    return table


def apply_rope(x: Tensor, positions: Tensor, base: float = 10000.0, pairing: str = "half") -> Tensor:
    """Turn each pair of coordinates of x (..., T, d), d even, by position times frequency. Same shape and dtype as x.

    positions  (T,) int64 or float
    pairing    "half": pairs (i, i + d/2), as in Llama's checkpoints of the transformers library; "interleaved": pairs
               (2i, 2i + 1), as in the paper. Raises ValueError for anything else.
    Angles are float64; sines and cosines are rounded to float32, or to x's dtype where that is wider.

    Source: Su et al. 2021, "RoFormer", section 3.4.2, equation 34. An exercise of unit 03.
    """
    if pairing not in ("half", "interleaved"):
        raise ValueError(f"pairing must be 'half' or 'interleaved'; it is {pairing!r}")
    d = x.shape[-1]
    frequencies = base ** (-torch.arange(0, d, 2, dtype=torch.float64, device=x.device) / d)
    angles = positions.double()[:, None] * frequencies  # (T, d / 2)
    dtype = torch.promote_types(torch.float32, x.dtype)
    cos, sin = (f(angles).to(dtype) for f in (torch.cos, torch.sin))
    half = pairing == "half"
    a, b = (x[..., : d // 2], x[..., d // 2 :]) if half else (x[..., 0::2], x[..., 1::2])
    turned = a * cos - b * sin, a * sin + b * cos
    return (torch.cat(turned, dim=-1) if half else torch.stack(turned, dim=-1).flatten(-2)).to(x.dtype)


class RMSNorm(nn.Module):
    """y = x / sqrt(mean(x^2) + eps) * weight over the last dimension. Parameter: weight (D,), ones at first.

    Half precision is computed in float32 and rounded once, at the end.

    Source: Zhang and Sennrich 2019, "Root Mean Square Layer Normalization", equation 4. An exercise of unit 04.
    """

    def __init__(self, width: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(width)), eps

    def forward(self, x: Tensor) -> Tensor:
        y = x.to(torch.promote_types(torch.float32, x.dtype))
        y = y * torch.rsqrt(y.square().mean(-1, keepdim=True) + self.eps)
        return (y * self.weight).to(x.dtype)


class SwiGLU(nn.Module):
    """y = down(silu(gate(x)) * up(x)): gate and up are nn.Linear(D, F), down is nn.Linear(F, D); no biases.

    Source: Shazeer 2020, "GLU Variants Improve Transformer", equation 6. An exercise of unit 04.
    """

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        shapes = (width, hidden), (width, hidden), (hidden, width)
        self.gate, self.up, self.down = (nn.Linear(*shape, bias=False) for shape in shapes)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(F.silu(self.gate(x)) * self.up(x))


class MultiHeadAttention(nn.Module):
    """Multi-head attention: self-attention, or cross-attention where a memory is given.

    d_model, num_heads  D and H; raises ValueError when D is not a multiple of H
    dropout             probability that a weight is set to zero, in training only

    State dict: w_q, w_k, w_v, w_o, each with .weight (D, D) and .bias (D,). Head h owns columns h * d to (h + 1) * d of
    the first three, d = D / H. torch's nn.MultiheadAttention holds the same as in_proj_weight and in_proj_bias (w_q,
    w_k and w_v one above the other) and out_proj.weight, out_proj.bias (w_o).

    Source: Vaswani et al. 2017, section 3.2.2. An exercise of unit 02.
    """

    def __init__(self, d_model: int, num_heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        if d_model % num_heads:
            raise ValueError(f"d_model must be a multiple of num_heads; {d_model} is not one of {num_heads}")
        linears = [nn.Linear(d_model, d_model) for _ in range(4)]
        self.w_q, self.w_k, self.w_v, self.w_o = linears
        self.heads, self.p = num_heads, dropout

    def forward(self, x: Tensor, mask: Tensor | None = None, memory: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """x (B, T, D) asks, memory (B, S, D) answers (None: x itself) -> out (B, T, D), weights (B, H, T, S).

        mask  broadcastable to (B, H, T, S); bool: True = may look; float: added to the scaled scores, -inf hides.
              A query that may look at nothing has weights 0. The weights are returned as before dropout.
        """
        memory = x if memory is None else memory
        q, k, v = self._heads(self.w_q(x)), self._heads(self.w_k(memory)), self._heads(self.w_v(memory))
        weights = masked_softmax(q @ k.mT * q.shape[-1] ** -0.5, mask)
        mixed = F.dropout(weights, self.p, self.training) @ v  # (B, H, T, d)
        return self.w_o(mixed.transpose(1, 2).flatten(2)), weights

    def _heads(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (B, T, D) -> (B, H, T, d)


def masked_softmax(scores: Tensor, mask: Tensor | None = None) -> Tensor:
    """Softmax over the last dimension; hidden keys get 0, rows without a key too, and no gradient becomes NaN."""
    if mask is None:
        return scores.softmax(-1)
    hidden = ~mask if mask.dtype == torch.bool else mask.isneginf()
    biased = scores if mask.dtype == torch.bool else scores + mask.masked_fill(hidden, 0.0)
    lowest = torch.finfo(scores.dtype).min
    return biased.masked_fill(hidden, lowest).softmax(-1).masked_fill(hidden, 0.0)


class Block(nn.Module):
    """Pre-norm: attention, then a feed-forward layer, each added to the stream."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before_attention, self.before_mlp = nn.RMSNorm(width), nn.RMSNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width, bias=False)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor, scheme: Positions, bias: Tensor) -> Tensor:
        B, T, D = x.shape
        parts = self.qkv(self.before_attention(x)).view(B, T, 3, self.heads, D // self.heads)
        q, k, v = parts.permute(2, 0, 3, 1, 4)  # (B, H, T, d) each
        if scheme.rotate:
            q, k = (scheme.rotate(part, torch.arange(T)) for part in (q, k))
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        x = x + self.out(mixed.transpose(1, 2).reshape(B, T, D))
        return x + self.mlp(self.before_mlp(x))


class SmallTransformer(nn.Module):
    """Causal language model over 128 characters: (B, T) int64 -> logits (B, T, 128). Head and embedding are tied."""

    def __init__(self, scheme: Positions, width: int = WIDTH, heads: int = HEADS, layers: int = LAYERS) -> None:
        super().__init__()
        self.scheme, self.heads, self.width = scheme, heads, width
        self.added = scheme.add if isinstance(scheme.add, nn.Module) else None
        self.embedding = nn.Parameter(torch.randn(SYMBOLS, width) / math.sqrt(width))
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.norm = nn.RMSNorm(width)

    def forward(self, ids: Tensor) -> Tensor:
        T = ids.shape[1]
        x = self.embedding[ids] * math.sqrt(self.width)
        if self.scheme.add:
            x = x + self.scheme.add(T, self.width)
        hidden = torch.full((T, T), -math.inf).triu(1)
        bias = hidden + self.scheme.bias(self.heads, T, T) if self.scheme.bias else hidden
        for block in self.blocks:
            x = block(x, self.scheme, bias.to(x.dtype))
        return self.norm(x) @ self.embedding.T


def train_small(scheme: Positions, text: Tensor, seed: int, steps: int = STEPS, length: int = TRAIN_LENGTH):
    """A SmallTransformer after `steps` steps of AdamW on random windows of `text` (1-d, character codes below 128)."""
    gen = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = SmallTransformer(scheme)
    optimiser = torch.optim.AdamW(model.parameters(), lr=RATE, betas=(0.9, 0.95), weight_decay=0.01, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps, pct_start=0.1)
    window = torch.arange(length + 1)
    for _ in range(steps):
        starts = torch.randint(0, len(text) - length, (BATCH, 1), generator=gen)
        rows = text[starts + window]
        loss = F.cross_entropy(model(rows[:, :-1]).flatten(0, 1), rows[:, 1:].flatten())
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
    return model


@torch.no_grad()
def loss_at(model: SmallTransformer, text: Tensor, length: int, characters: int = 8192) -> float:
    """Mean loss in nats per character over the first `characters` of `text`, read in windows of `length`."""
    rows = text[: characters + 1]
    inputs, targets = rows[:-1].view(-1, length), rows[1:].view(-1, length)
    pairs = zip(inputs.split(8), targets.split(8), strict=True)
    total = sum(F.cross_entropy(model(x).flatten(0, 1), y.flatten(), reduction="sum").item() for x, y in pairs)
    return total / characters


def gemma(parts: Any = None, dtype: torch.dtype = torch.bfloat16) -> Any:
    """(model, vocabulary) of Gemma 3 270M; EnvironmentLacking where the optional package is not installed.

    parts  what the model is made of, a `course.gpt.Parts`. `course.gemma` says more.
    """
    from course import gemma as published  # only here: who imports course.models pays nothing for it

    return published.load(parts, dtype)
