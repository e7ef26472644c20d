"""Models that never learned anything: logits stand in a table, so what a loop makes of them can be foretold.

The checks of decoding and evaluation loops hand it to a learner's code, made from this file anew each time
(course.checking.subject). Its counts and its mode are still told by the process that ran a learner's code: who patches
torch.nn.Module there can lie about them, so a case asks for them only beside numbers. Not here: a model that can be
trained.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ScriptedModel(nn.Module):
    """A mock of an encoder-decoder: encode, decode and forward like the real one, logits off a table.

    table  (N, V) float. A row of a batch is a walk over N states: it starts at the sum of its source tokens that are
           not PAD (0), token k takes state s to (5 s + k + 1) mod N, and the logits at a position are the table row of
           the state that the tokens up to there, the first one too, have led to. So each position depends on the source
           and on all tokens so far, on none that come later, and on no other row of the batch.
    In training mode (what dropout does, without the luck) it reads the table upside down: state N - 1 - s.

    `calls` counts encode, decode and "recorded": decodes during which gradients were recorded.
    """

    def __init__(self, table: Tensor) -> None:
        super().__init__()
        self.table = nn.Parameter(table.clone())
        self._calls = {"encode": 0, "decode": 0, "recorded": 0}

    def encode(self, source: Tensor) -> tuple[Tensor, Tensor]:
        """(B, S) int64 -> memory (B, S, 1), which says something wrong about PAD; keep (B, S) bool, False at PAD."""
        self._calls["encode"] += 1
        return torch.where(source == 0, 7, source)[..., None].float(), source != 0

    def decode(self, target: Tensor, memory: Tensor, source_keep: Tensor) -> Tensor:
        """(B, T) int64 -> logits (B, T, V)."""
        self._calls["decode"] += 1
        self._calls["recorded"] += torch.is_grad_enabled()
        state, states = (memory[..., 0] * source_keep).sum(1).long(), []
        for tokens in target.unbind(1):
            state = (5 * state + tokens + 1) % len(self.table)
            states.append(len(self.table) - 1 - state if self.training else state)
        return self.table[torch.stack(states, 1)]

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        memory, source_keep = self.encode(source)
        return self.decode(target, memory, source_keep)

    def calls(self) -> dict[str, int]:
        """How often each was called so far."""
        return dict(self._calls)

    def is_training(self) -> bool:
        """The mode that it is in."""
        return self.training


class ScriptedLanguageModel(nn.Module):
    """A mock of a decoder-only language model: (B, T) int64 -> logits (B, T, V), off a table.

    table  (N, V) float. A row of a batch is a walk over N states: it starts at 0, token k takes state s to
           (5 s + k + 1) mod N, and the logits at a position are the table row of the state that it has come to. So each
           position depends on all tokens that were shown up to it: who shows fewer, or others, gets other logits.
    In training mode (what dropout does, without the luck) it reads the table upside down: state N - 1 - s.

    `lengths` has T of every call so far, `recorded` how many calls there were while gradients were recorded.
    """

    def __init__(self, table: Tensor) -> None:
        super().__init__()
        self.table = nn.Parameter(table.clone())
        self._lengths, self._recorded = [], 0

    def forward(self, ids: Tensor) -> Tensor:
        self._lengths.append(ids.shape[1])
        self._recorded += torch.is_grad_enabled()
        state, states = torch.zeros_like(ids[:, 0]), []
        for tokens in ids.unbind(1):
            state = (5 * state + tokens + 1) % len(self.table)
            states.append(len(self.table) - 1 - state if self.training else state)
        return self.table[torch.stack(states, 1)]

    def lengths(self) -> list[int]:
        """T of every call so far, in order."""
        return list(self._lengths)

    def recorded(self) -> int:
        """How many calls there were while gradients were recorded."""
        return self._recorded

    def is_training(self) -> bool:
        """The mode that it is in."""
        return self.training


class ScriptedRuler(nn.Module):
    """No model: it measures what a learner's model holds, for cases, which may not compute with a result."""

    def deviation(self, x: Tensor) -> float:
        """The root mean square of all numbers of x: their standard deviation around 0."""
        return x.double().square().mean().sqrt().item()

    def largest(self, x: Tensor) -> float:
        """The largest absolute value of all numbers of x."""
        return x.double().abs().max().item()
