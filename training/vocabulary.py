"""Learn the merges of `course.vocabulary` from the training text and write course/weights/merges.json.

    python -m training.vocabulary          # a minute or two

The pair that occurs most often is joined first; of pairs that occur equally often the one with the smaller left id,
then the smaller right id. A pair that occurs once is never joined.
"""

from __future__ import annotations

import heapq
import json
from collections import Counter, defaultdict
from collections.abc import Iterable

from course import vocabulary
from course.files import write_whole

SIZE = 4096  # tokens


def learn(data: bytes, size: int) -> list[tuple[int, int]]:
    """The merges, at most size - 256, of which each can be applied to the result of those before it."""
    counted = Counter(vocabulary.chunks(data))
    words, times = [list(chunk) for chunk in counted], list(counted.values())
    counts: Counter[tuple[int, int]] = Counter()
    holders: defaultdict[tuple[int, int], set[int]] = defaultdict(set)  # words a pair stands in, or once stood in
    for number, word in enumerate(words):
        for pair in zip(word, word[1:]):
            counts[pair] += times[number]
            holders[pair].add(number)
    queue = [(-count, pair) for pair, count in counts.items()]
    heapq.heapify(queue)
    merges: list[tuple[int, int]] = []
    while queue and len(merges) < size - 256:
        count, pair = heapq.heappop(queue)
        if -count != counts[pair] or -count < 2:
            continue  # an old entry: what changed was put in again
        merges.append(pair)
        changed: set[tuple[int, int]] = set()
        for number in holders.pop(pair):
            old = words[number]
            new = words[number] = vocabulary.join(old, 255 + len(merges), {pair: 255 + len(merges)})
            changed |= _recount(counts, old, -times[number]) | _recount(counts, new, times[number])
            for each in zip(new, new[1:]):
                holders[each].add(number)
        for each in changed:
            heapq.heappush(queue, (-counts[each], each))
    return merges


def _recount(counts: Counter, word: list[int], times: int) -> set[tuple[int, int]]:
    pairs = list(zip(word, word[1:]))
    for pair in pairs:
        counts[pair] += times
    return set(pairs)


def written(merges: Iterable[tuple[int, int]]) -> bytes:
    """As JSON, sixteen merges a line."""
    rows = [json.dumps(pair, separators=(",", ":")) for pair in merges]
    lines = [",".join(rows[start : start + 16]) for start in range(0, len(rows), 16)]
    return ("[" + ",\n".join(lines) + "]\n").encode()


if __name__ == "__main__":
    from training import corpus

    write_whole(vocabulary.MERGES, written(learn(corpus.joined(corpus.corpus().train), SIZE)))
