"""Goodness of fit: the stated false-alarm rate is a bound, the stated power is met."""

import numpy as np

from autograder.authoring import goodness


def test_a_right_sampler_is_almost_never_refused():
    rng = np.random.default_rng(0)
    p = [0.7, 0.2, 0.09, 0.01]
    refused = sum(goodness.misfit(rng.multinomial(500, p), p, 0.05) is not None for _ in range(2000))
    assert refused <= 2000 * 0.05


def test_power_is_what_is_stated():
    rng = np.random.default_rng(1)
    n, p, q = 4000, 0.5, 0.58
    stated = goodness.power(n, p, q, 2)
    assert stated > 0.99
    seen = sum(goodness.misfit(rng.multinomial(n, [q, 1 - q]), [p, 1 - p]) is not None for _ in range(200))
    assert seen >= 0.95 * 200


def test_an_impossible_outcome_and_no_outcome_are_refused():
    assert goodness.misfit([99, 1], [1.0, 0.0]) is not None
    assert goodness.misfit([0, 0], [0.5, 0.5]) is not None
