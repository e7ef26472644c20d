"""Goodness of fit with a guaranteed false-alarm rate and a computable power.

A category with probability p seen k times in n draws is suspicious when n KL(k/n || p) exceeds ln(2 m / alpha), m
being the number of categories. By the Chernoff bound each side of each category is that far off with probability at
most alpha / (2 m), so a right sampler fails with probability at most alpha, for every n. (Chernoff 1952; Cover and
Thomas, Elements of Information Theory, theorem 11.1.4 and problem 11.8 give the KL form.)
"""

from __future__ import annotations

import math
from collections.abc import Sequence


def threshold(categories: int, false_alarm: float) -> float:
    """The bound on n KL for one category."""
    return math.log(2 * categories / false_alarm)


def divergence(share: float, p: float) -> float:
    """KL divergence in nats between Bernoulli(share) and Bernoulli(p); infinite where p excludes what was seen."""

    def term(a: float, b: float) -> float:
        return 0.0 if a == 0 else math.inf if b == 0 else a * math.log(a / b)

    return term(share, p) + term(1 - share, 1 - p)


def misfit(counts: Sequence[int], probabilities: Sequence[float], false_alarm: float = 1e-6) -> int | None:
    """Index of the category whose count can't be explained by chance, or None. Counts and probabilities align."""
    n, limit = sum(counts), threshold(len(counts), false_alarm)
    if n == 0:
        return 0
    scores = [n * divergence(k / n, p) for k, p in zip(counts, probabilities, strict=True)]
    worst = max(range(len(scores)), key=scores.__getitem__)
    return worst if scores[worst] > limit else None


def power(n: int, p: float, q: float, categories: int, false_alarm: float = 1e-6) -> float:
    """Probability that n draws reveal a category with true probability q where p is claimed (exact binomial sum)."""
    limit = threshold(categories, false_alarm)
    caught = 0.0
    for k in range(n + 1):
        if n * divergence(k / n, p) > limit:
            caught += math.exp(_log_binomial(n, k, q))
    return min(1.0, caught)


def _log_binomial(n: int, k: int, q: float) -> float:
    if q in (0.0, 1.0):
        return 0.0 if k == n * q else -math.inf
    choose = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
    return choose + k * math.log(q) + (n - k) * math.log1p(-q)
