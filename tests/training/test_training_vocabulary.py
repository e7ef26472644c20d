"""Learning the merges beside a version that counts everything anew for each merge."""

from collections import Counter

import pytest

from course import data, vocabulary
from training import vocabulary as learning


def slowly(text, size):
    """Most frequent pair, ties by the smaller left id, then the smaller right id; every word recounted every time."""
    words = Counter(tuple(chunk) for chunk in vocabulary.chunks(text))
    merges = []
    while len(merges) < size - 256:
        counts = Counter()
        for word, times in words.items():
            for pair in zip(word, word[1:]):
                counts[pair] += times
        best = min(counts, key=lambda pair: (-counts[pair], pair), default=None)
        if best is None or counts[best] < 2:
            break
        joined, new = Counter(), 256 + len(merges)
        for word, times in words.items():
            out = []
            for i in word:  # from the left, without overlap
                if out and (out[-1], i) == best:
                    out[-1] = new
                else:
                    out.append(i)
            joined[tuple(out)] += times
        words = joined
        merges.append(best)
    return merges


@pytest.mark.parametrize(
    "text, size",
    [
        (data.prose()["for"][:3000].encode(), 400),
        (b"aaaa aaaaa aaaaaa abab ababab", 300),
        (bytes(range(256)), 300),
        (b"cd cd ab ab", 258),
    ],
)
def test_the_merges_are_those_of_the_slow_version(text, size):
    assert learning.learn(text, size) == slowly(text, size)


def test_ties_go_to_the_smaller_ids_and_single_pairs_are_left():
    assert learning.learn(b"xcd,xcd", 257) == [(99, 100)]
    assert learning.learn(b"ba,ab.ba,ab", 257) == [(97, 98)]
    assert learning.learn(b"abc", 300) == []


def test_what_is_written_is_what_is_read(monkeypatch, tmp_path):
    merges = learning.learn(data.prose()["if"].encode(), 300)
    monkeypatch.setattr(vocabulary, "MERGES", tmp_path / "merges.json")
    vocabulary.MERGES.write_bytes(learning.written(merges))
    again = vocabulary.load.__wrapped__()
    assert len(again) == 256 + len(merges) and again.pieces[-1] == vocabulary.Vocabulary(merges).pieces[-1]
