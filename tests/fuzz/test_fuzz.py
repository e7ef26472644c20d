"""Whatever arrives, readers answer in words: hand-ins, frames, launch traces, the keys of an author's cells.

Here hypothesis chooses a few inputs, and everything that ever failed is fed again (corpus/). `python tests/fuzz`
feeds as many as you like.
"""

import random

import pytest
from hostile import CORPUS, TARGETS, fed
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

KEPT = sorted(CORPUS.glob("*/*"))


@pytest.mark.parametrize("name", TARGETS)
def test_hostile_bytes_are_answered_in_words(name):
    target = TARGETS[name]

    @settings(max_examples=target.per_run, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.integers(0, 2**63))
    def feed(seed):
        fed(target, target.make(random.Random(seed)))

    feed()


@pytest.mark.parametrize("path", KEPT, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_what_once_failed(path):
    fed(TARGETS[path.parent.name], path.read_bytes())


@pytest.mark.parametrize("name", TARGETS)
def test_some_of_it_is_accepted(name):
    """Or all of this shows only that rubbish is refused."""
    target = TARGETS[name]
    accepted = [target.feed(target.make(random.Random(seed))) for seed in range(80)]
    assert 3 <= sum(accepted) < 80
