"""What a right answer is: slow, obvious references in float64, or torch's own functions.

What it is: functions that a check compares a learner's result with. Each takes ordinary tensors, computes in float64
and rounds once to the dtype of its first argument. Attention visits every query on its own and keeps only the keys that
this query may look at, so no mask value, no infinity and no NaN ever enters a sum. Softmax and attention can be
differentiated.

What it is not: fast, or our own solution. `tests/test_oracle.py` compares them with torch's functions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

State = dict[str, Tensor]


def softmax(x: Tensor, dim: int = -1) -> Tensor:
    """Softmax along `dim`: torch's, in float64. Same shape and dtype as x."""
    return torch.softmax(x.double(), dim=dim).to(x.dtype)


def attention(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, scale: float | None = None
) -> tuple[Tensor, Tensor]:
    """Scaled dot-product attention (Vaswani et al. 2017, equation 1), one query at a time.

    q (..., T, d), k (..., S, d), v (..., S, e) -> out (..., T, e), weights (..., T, S)
    mask   None, or broadcastable to (..., T, S): bool, True = may look; float, added to the scaled scores
    scale  1 / sqrt(d) unless given
    A query that may look at no key has weights 0 and output 0.
    """
    scale = 1.0 / math.sqrt(q.shape[-1]) if scale is None else scale
    scores = torch.einsum("...td,...sd->...ts", q.double(), k.double()) * scale
    weights = masked_softmax(scores, mask)
    out = torch.einsum("...ts,...se->...te", weights, v.double())
    return out.to(q.dtype), weights.to(q.dtype)


def masked_softmax(scores: Tensor, mask: Tensor | None = None) -> Tensor:
    """Softmax over the last dimension, row by row over the keys each row may look at; a row without any is 0."""
    wide = scores.double()
    allowed, bias = _rules(mask, wide.shape)
    rows = zip((wide + bias).flatten(0, -2), allowed.flatten(0, -2), strict=True)
    return torch.stack([_one_row(row, may) for row, may in rows]).reshape(wide.shape).to(scores.dtype)


def _one_row(row: Tensor, may: Tensor) -> Tensor:
    """(S,) weights of one query: a softmax over its allowed keys, zero elsewhere."""
    keys = may.nonzero().flatten()
    return torch.zeros_like(row).index_put((keys,), torch.softmax(row[keys], dim=0))


def _rules(mask: Tensor | None, shape: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Both kinds of mask as what is allowed (bool) and what is added (float64, finite), in the full shape."""
    if mask is None:
        return torch.ones(shape, dtype=torch.bool), torch.zeros(shape, dtype=torch.float64)
    full = mask.expand(shape)
    if full.dtype == torch.bool:
        return full, torch.zeros(shape, dtype=torch.float64)
    allowed = full != -math.inf
    return allowed, torch.where(allowed, full.double(), 0.0)


def causal_mask(n_queries: int, n_keys: int) -> Tensor:
    """(T, S) bool: query i stands at position S - T + i and may look at positions up to its own."""
    first = n_keys - n_queries
    return torch.tensor([[key <= first + query for key in range(n_keys)] for query in range(n_queries)])


def padding_mask(lengths: Tensor, n_keys: int) -> Tensor:
    """(B, 1, 1, S) bool: the first `lengths[b]` keys of row b are real."""
    return torch.tensor([[[[key < int(length) for key in range(n_keys)]]] for length in lengths])


def all_of(*masks: Tensor) -> Tensor:
    """Element by element, in the broadcast shape: do all masks allow it?"""
    full = torch.broadcast_tensors(*masks)
    flat = [all(values) for values in zip(*(mask.flatten().tolist() for mask in full), strict=True)]
    return torch.tensor(flat, dtype=torch.bool).reshape(full[0].shape)


def split_heads(x: Tensor, num_heads: int) -> Tensor:
    """(B, T, D) -> (B, H, T, D / H): the columns of each head, one head after another."""
    d = x.shape[-1] // num_heads
    return torch.stack([x[:, :, h * d : (h + 1) * d] for h in range(num_heads)], dim=1)


def merge_heads(x: Tensor) -> Tensor:
    """(B, H, T, d) -> (B, T, H d): the heads of each token side by side."""
    return torch.cat([x[:, h] for h in range(x.shape[1])], dim=-1)


def multi_head_attention(
    x: Tensor, memory: Tensor, state: State, num_heads: int, mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Queries from x (B, T, D), keys and values from memory (B, S, D), head by head.

    returns  out (B, T, D), weights (B, H, T, S)
    state  w_q, w_k, w_v, w_o, each with .weight (D, D) and .bias (D,), as nn.Linear holds them
    For self-attention pass x twice.
    """
    q, k, v = _linear(x, state, "w_q"), _linear(memory, state, "w_k"), _linear(memory, state, "w_v")
    shape = (x.shape[0], num_heads, x.shape[1], memory.shape[1])
    masks = None if mask is None else mask.expand(shape)
    d, outs, weights = x.shape[-1] // num_heads, [], []
    for h in range(num_heads):
        own = slice(h * d, (h + 1) * d)
        out, weight = attention(q[..., own], k[..., own], v[..., own], None if masks is None else masks[:, h])
        outs.append(out)
        weights.append(weight)
    mixed = _linear(torch.cat(outs, dim=-1), state, "w_o")
    return mixed.to(x.dtype), torch.stack(weights, dim=1).to(x.dtype)


def _linear(x: Tensor, state: State, name: str) -> Tensor:
    return x.double() @ state[f"{name}.weight"].double().T + state[f"{name}.bias"].double()


def attention_entropy(weights: Tensor) -> Tensor:
    """(..., T, S) -> (..., T): entropy in nats, summed over the weights that are not zero."""
    rows = weights.double().reshape(-1, weights.shape[-1]).tolist()
    entropies = [-math.fsum(w * math.log(w) for w in row if w > 0) for row in rows]
    return torch.tensor(entropies, dtype=torch.float64).reshape(weights.shape[:-1]).to(weights.dtype)


def sink_mass(weights: Tensor, first: int = 4) -> Tensor:
    """(B, H, T, S) -> (H,): mean over batch and queries t >= first of the weight on keys 0 .. first - 1."""
    B, H, T, _ = weights.shape
    wide = weights.double()
    sums = [[float(wide[b, h, t, :first].sum()) for b in range(B) for t in range(first, T)] for h in range(H)]
    return torch.tensor([math.fsum(s) / len(s) for s in sums], dtype=torch.float64).to(weights.dtype)


def attention_cost(n: int, d_model: int, num_heads: int, bytes_per_number: int = 4) -> dict[str, int]:
    """FLOPs and bytes of a self-attention layer, counted head by head and product by product."""
    d = d_model // num_heads
    heads = range(num_heads)
    return {
        "projection_flops": sum(_product(n, d_model, d_model) for _ in ("query", "key", "value", "output")),
        "score_flops": sum(_product(n, d, n) for _ in heads),
        "mix_flops": sum(_product(n, n, d) for _ in heads),
        "score_bytes": sum(n * n * bytes_per_number for _ in heads),
        "kv_bytes": sum(n * d * bytes_per_number for _ in heads for _ in ("key", "value")),
    }


def _product(rows: int, inner: int, columns: int) -> int:
    """FLOPs of (rows, inner) x (inner, columns): a multiplication and an addition for each term."""
    return rows * columns * inner * 2


def gradients(
    function: Callable[..., Any], inputs: Sequence[Tensor], cotangents: Sequence[Tensor | None]
) -> tuple[Any, tuple[Tensor, ...]]:
    """Outputs of `function(*inputs)`, and the gradients of sum(output * cotangent) for each input.

    Computed on float64 copies of the inputs and rounded once to each input's dtype. A cotangent of None leaves that
    output out.
    """
    leaves = [x.double().detach().requires_grad_() for x in inputs]
    found = function(*leaves)
    outputs = found if isinstance(found, tuple) else (found,)
    total = sum((out * c.double()).sum() for out, c in zip(outputs, cotangents, strict=True) if c is not None)
    grads = torch.autograd.grad(total, leaves)
    rounded = tuple(out.detach().to(inputs[0].dtype) for out in outputs)
    return (rounded if isinstance(found, tuple) else rounded[0]), tuple(
        g.to(x.dtype) for g, x in zip(grads, inputs, strict=True)
    )
