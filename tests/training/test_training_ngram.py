"""Kneser-Ney beside a version that counts with dictionaries and recurses, as the paper has it."""

from collections import Counter, defaultdict

import numpy as np
import pytest

from training.ngram import NGram


class Slow:
    """Chen and Goodman's interpolated modified Kneser-Ney, one probability at a time."""

    def __init__(self, ids, vocabulary, order):
        self.vocabulary, self.order = vocabulary, order
        runs = {n: [tuple(ids[i : i + n]) for i in range(len(ids) - n + 1)] for n in range(1, order + 1)}
        self.counts = {order: Counter(runs[order])}
        for n in range(1, order):
            before = defaultdict(set)
            for run in runs[n + 1]:
                before[run[1:]].add(run[0])
            self.counts[n] = Counter({run: len(tokens) for run, tokens in before.items()})
            self.counts[n][runs[n][0]] += 1  # the beginning of the text
        self.discounts = {n: self.estimated(self.counts[n]) for n in self.counts}
        self.behind = {n: defaultdict(dict) for n in self.counts}
        for n, counts in self.counts.items():
            for run, count in counts.items():
                self.behind[n][run[:-1]][run[-1]] = count

    @staticmethod
    def estimated(counts):
        n = Counter(counts.values())
        if not all(n[times] for times in (1, 2, 3, 4)):
            return {1: 0.5, 2: 1.0, 3: 1.5}
        y = n[1] / (n[1] + 2 * n[2])
        return {1: 1 - 2 * y * n[2] / n[1], 2: 2 - 3 * y * n[3] / n[2], 3: 3 - 4 * y * n[4] / n[3]}

    def p(self, token, context):
        if context is None:
            return 1 / self.vocabulary
        lower = context[1:] if context else None
        seen = self.behind[len(context) + 1].get(tuple(context))
        if not seen:
            return self.p(token, lower)
        taken = {t: max(0.0, self.discounts[len(context) + 1][min(count, 3)]) for t, count in seen.items()}
        own = (seen[token] - taken[token]) / sum(seen.values()) if token in seen else 0.0
        return own + sum(taken.values()) / sum(seen.values()) * self.p(token, lower)


def text(seed, length, vocabulary):
    """Ids in which runs come again."""
    rng = np.random.default_rng(seed)
    words = [rng.integers(0, vocabulary, rng.integers(2, 6)) for _ in range(12)]
    return np.concatenate([words[int(rng.zipf(1.4)) % 12] for _ in range(length)])[:length]


@pytest.mark.parametrize("order, length", [(1, 300), (2, 300), (3, 600), (5, 900), (5, 12)])
def test_probabilities_are_those_of_the_slow_version(order, length):
    ids, other = text(order, length, 9), np.concatenate((text(77, 60, 9), text(order, 40, 9), [9, 9, 0, 9]))
    fast, slow = NGram(ids, 10, order), Slow(ids.tolist(), 10, order)
    expected = [slow.p(t, tuple(other[max(0, i - order + 1) : i].tolist())) for i, t in enumerate(other.tolist())]
    np.testing.assert_allclose(fast.probabilities(other), expected, rtol=1e-12)
    assert len(set(np.round(expected, 9))) > 5


def test_probabilities_behind_a_context_sum_to_one():
    model = NGram(text(1, 400, 9), 10, 4)
    for context in ([], [3], text(1, 400, 9)[50:53].tolist(), [9, 9, 9], [*text(1, 400, 9)[80:82].tolist(), 9]):
        total = sum(model.probabilities(np.array([*context, token]))[-1] for token in range(10))
        assert total == pytest.approx(1, abs=1e-12)


def test_bits_and_a_vocabulary_that_does_not_fit():
    model, ids = NGram(text(2, 300, 9), 10, 3), text(5, 50, 9)
    assert model.bits(ids) == pytest.approx(-np.log2(model.probabilities(ids)).sum())
    assert NGram(ids, 4096, 5).probabilities(ids).min() > 0
    with pytest.raises(ValueError, match="64 bits"):
        NGram(ids, 70_000, 4)


def test_a_longer_context_helps_on_text_that_repeats():
    train, held = text(3, 4000, 9), text(3, 5000, 9)[4000:]
    bits = [NGram(train, 10, order).bits(held) for order in (1, 2, 3)]
    assert bits[0] > bits[1] > bits[2]
