"""A 5-gram model with modified Kneser-Ney smoothing: what the course's models must clearly beat.

Interpolated, with three discounts for each order, estimated from the training text. Over the same tokens as the models,
which makes it stronger than one over bytes: five tokens are 17 bytes here. Below the single tokens stands the uniform
distribution.

Source: Chen and Goodman 1998, "An Empirical Study of Smoothing Techniques for Language Modeling", section 3: counts of
contexts below the highest order, equations for D1, D2 and D3+ in 3.1.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Level(NamedTuple):
    """The n-grams of one order as sorted numbers, and what their counts say."""

    grams: np.ndarray  # (n,) uint64: the tokens as digits of base V, the first one the highest
    discounted: np.ndarray  # (n,) count minus discount, over the count of the context
    contexts: np.ndarray  # (m,) uint64: the n-grams without their last token
    left: np.ndarray  # (m,) the weight of the next lower order behind each context


class NGram:
    """Modified Kneser-Ney of some order over the ids 0 to vocabulary - 1."""

    def __init__(self, ids: np.ndarray, vocabulary: int, order: int = 5) -> None:
        if vocabulary**order > 2**64:
            raise ValueError(f"{order} tokens of {vocabulary} don't fit into 64 bits")
        self.vocabulary, self.order = vocabulary, order
        self.levels = [self._level(ids, n) for n in range(1, order + 1)]

    def probabilities(self, ids: np.ndarray) -> np.ndarray:
        """(T,) float64: of each token behind the ones before it, at most order - 1 of them."""
        p = np.full(len(ids), 1 / self.vocabulary)
        for n, level in enumerate(self.levels, 1):
            grams = self._numbers(ids, n)
            contexts = grams // np.uint64(self.vocabulary)
            known, place = _find(contexts, level.contexts)
            rest = np.where(known, level.left[place], 1.0)  # an unknown context leaves all to the lower order
            found, where = _find(grams, level.grams)
            p[n - 1 :] = np.where(found, level.discounted[where], 0.0) + rest * p[n - 1 :]
        return p

    def bits(self, ids: np.ndarray) -> float:
        """Bits that the ids cost, all together."""
        return float(-np.log2(self.probabilities(ids)).sum())

    def _level(self, ids: np.ndarray, n: int) -> Level:
        grams, counts = self._counts(ids, n)
        discounts = _discounts(counts)
        taken = discounts[np.minimum(counts, 3)]
        contexts, first = np.unique(grams // np.uint64(self.vocabulary), return_index=True)
        total = np.add.reduceat(counts, first)
        given = np.repeat(total, np.diff(np.append(first, len(grams))))
        return Level(grams, (counts - taken) / given, contexts, np.add.reduceat(taken, first) / total)

    def _counts(self, ids: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Of the highest order how often each n-gram occurs, of lower ones how many different tokens stand before it.

        The n-gram at the very beginning has nothing before it: that counts as one more token.
        """
        if n == self.order:
            return np.unique(self._numbers(ids, n), return_counts=True)
        longer = np.unique(self._numbers(ids, n + 1)) % np.uint64(self.vocabulary**n)
        return np.unique(np.append(longer, self._numbers(ids[:n], n)), return_counts=True)

    def _numbers(self, ids: np.ndarray, n: int) -> np.ndarray:
        """(T - n + 1,) uint64: each run of n ids as one number."""
        numbers = np.zeros(max(0, len(ids) - n + 1), np.uint64)
        for i in range(n):
            numbers = numbers * np.uint64(self.vocabulary) + ids[i : len(ids) - n + 1 + i].astype(np.uint64)
        return numbers


def _discounts(counts: np.ndarray) -> np.ndarray:
    """(0, D1, D2, D3+); 0.5, 1, 1.5 where a text is too small to have n-grams of every count from 1 to 4."""
    n = [int((counts == times).sum()) for times in range(5)]
    if 0 in n[1:]:
        return np.array([0.0, 0.5, 1.0, 1.5])
    y = n[1] / (n[1] + 2 * n[2])
    found = [times - (times + 1) * y * n[times + 1] / n[times] for times in (1, 2, 3)]
    return np.array([0.0, *np.clip(found, 0, (1, 2, 3))])


def _find(wanted: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(is it there, where) in a sorted array."""
    where = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
    return known[where] == wanted, where


def bits_per_byte(train: np.ndarray, held: np.ndarray, vocabulary: int, held_bytes: int, order: int = 5) -> float:
    """Of the held-out tokens, for each byte that they stand for."""
    return NGram(train, vocabulary, order).bits(held) / held_bytes
