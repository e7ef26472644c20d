"""What attention heads look at: the weights of a whole model, and two scores that find known kinds of heads in them.

A model's attention is one tensor (layers, heads, T, T) for one text: row t is a query, column s a key, rows sum to 1. A
table of scores is (layers, heads), each a share of attention between 0 and 1:

    previous token  the mean, over queries, of the weight on the key one step back
    separator       the mean, over queries, of all weight on the marks that close or open a text

`gpt_attention` gets that tensor from a model of `course.gpt`, `course.minilm.attention` from MiniLM, and the panel in
`course.widgets.model_heads` shows it. Not here: what such heads are for.

Sources: Clark et al. 2019, "What Does BERT Look At?", section 3, for both kinds; Olsson et al. 2022, "In-context
Learning and Induction Heads", for the first.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from course.gpt import GPT

MARKS = ("[CLS]", "[SEP]", "<s>", "</s>", "<bos>", "<eos>")
Reading = tuple[Sequence[str], Tensor]  # tokens (T), attention (layers, heads, T, T)


def previous_token_scores(readings: Iterable[Reading], marks: Sequence[str] = MARKS) -> Tensor:
    """(layers, heads): how much of the attention lies on the key one step back.

    The mean over all queries of all texts that are no mark and have a token before them that is none. (Beside a mark
    the two scores would speak of the same weight.)
    """

    def share(tokens: Sequence[str], attention: Tensor) -> Tensor:
        plain = ~_is_mark(tokens, marks)
        back = attention.diagonal(-1, dim1=-2, dim2=-1)  # (layers, heads, T - 1), of queries 1 to T - 1
        return back[..., plain[1:] & plain[:-1]]

    return _mean(share(*reading) for reading in readings)


def separator_scores(readings: Iterable[Reading], marks: Sequence[str] = MARKS) -> Tensor:
    """(layers, heads): how much of the attention lies on marks, the mean over all queries that are none themselves."""

    def share(tokens: Sequence[str], attention: Tensor) -> Tensor:
        mark = _is_mark(tokens, marks)
        return attention[..., ~mark, :][..., mark].sum(-1)

    return _mean(share(*reading) for reading in readings)


def strongest(scores: Tensor, least: float = 0.0) -> list[tuple[int, int, float]]:
    """(layer, head, score) of all heads with at least this score, the highest first."""
    layers, heads = scores.shape
    found = [(layer, head, float(scores[layer, head])) for layer in range(layers) for head in range(heads)]
    return sorted((each for each in found if each[2] >= least), key=lambda each: -each[2])


def _is_mark(tokens: Sequence[str], marks: Sequence[str]) -> Tensor:
    return torch.tensor([token in marks for token in tokens], dtype=torch.bool)


def _mean(shares: Iterator[Tensor]) -> Tensor:
    """Of (layers, heads, queries) of each text, the mean over the queries of all."""
    found = torch.cat(list(shares), dim=-1)
    if not found.shape[-1]:
        raise ValueError("no query is left to take a mean of: the texts hold nothing but marks, or one token each")
    return found.mean(-1)


# the weights of the course's model


@torch.no_grad()
def gpt_attention(model: GPT, ids: Sequence[int] | Tensor) -> Tensor:
    """The weights of all heads of a model of `course.gpt` on one text (T,): (layers, heads, T, T)."""
    kept: list[Tensor] = []
    with _watched(model, kept):
        model.states(torch.as_tensor(ids, dtype=torch.int64)[None])
    return torch.stack(kept)


@contextmanager
def _watched(model: GPT, kept: list[Tensor]) -> Iterator[None]:
    """Inside the block the model works out its weights openly, and they are added to `kept`, (H, T, S) a layer."""

    def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
        k, v = (x.repeat_interleave(q.shape[1] // k.shape[1], dim=1) for x in (k, v))
        scores = (q @ k.mT * q.shape[-1] ** -0.5).masked_fill(~mask, -torch.inf)
        weights = scores.softmax(-1)  # (B, H, T, S)
        kept.append(weights[0].float())
        return weights @ v

    layers = [layer.self_attn for layer in model.layers]
    before = [layer.parts for layer in layers]
    for layer in layers:
        layer.parts = dataclasses.replace(layer.parts, attend=attend)
    try:
        yield
    finally:
        for layer, parts in zip(layers, before, strict=True):
            layer.parts = parts
