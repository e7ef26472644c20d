"""The tokens of the course's language model: byte-level BPE, exact on any bytes.

    vocabulary = load()
    ids = vocabulary.encode("causal attention")      # a list of ints below len(vocabulary)
    vocabulary.decode(ids)                           # the text again

Ids 0 to 255 are the bytes; each further one is two earlier ones joined, in the order in which they were learned
(`training/vocabulary.py`; unit 03 has the algorithm). The byte 0, so the id END, ends a document. Text is cut into
chunks first and no token crosses the border of one: a word with the space or underscore before it, up to three digits,
a run of signs, or line breaks with the indentation behind them.

Sources: Sennrich et al. 2016, "Neural Machine Translation of Rare Words with Subword Units"; Radford et al. 2019,
"Language Models are Unsupervised Multitask Learners", section 2.2 (bytes, and cutting into chunks first).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

END = 0
MERGES = Path(__file__).parent / "weights" / "merges.json"
CHUNK = re.compile(rb"\0|[ _]?[A-Za-z\x80-\xff]+| ?[0-9]{1,3}| ?[^\sA-Za-z0-9\x80-\xff\0]+|\n+ *| +(?= )|\s", re.DOTALL)


def chunks(data: bytes) -> Iterator[bytes]:
    """The pieces that tokens lie in; joined they are `data` again."""
    return (found[0] for found in CHUNK.finditer(data))


class Vocabulary:
    """Tokens by their merges: the pair number n becomes the id 256 + n."""

    def __init__(self, merges: Iterable[tuple[int, int]]) -> None:
        self.pieces = [bytes([b]) for b in range(256)]  # what each id stands for
        self._rank: dict[tuple[int, int], int] = {}
        for left, right in merges:
            self._rank[left, right] = len(self.pieces)
            self.pieces.append(self.pieces[left] + self.pieces[right])
        self._known: dict[bytes, tuple[int, ...]] = {}

    def __len__(self) -> int:
        return len(self.pieces)

    def encode(self, text: str | bytes) -> list[int]:
        """Ids of a text, in UTF-8, or of any bytes."""
        data = text.encode() if isinstance(text, str) else text
        ids: list[int] = []
        for chunk in chunks(data):
            if (known := self._known.get(chunk)) is None:
                known = self._known[chunk] = self._merged(chunk)
            ids.extend(known)
        return ids

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids; bytes that are no UTF-8, such as half a character, become U+FFFD."""
        return self.decode_bytes(ids).decode("utf-8", "replace")

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        return b"".join(self.pieces[i] for i in ids)

    def _merged(self, chunk: bytes) -> tuple[int, ...]:
        """The earliest merge that applies, from left to right, until none does."""
        ids = list(chunk)
        while len(ids) > 1:
            joined = min(self._rank.get(pair, len(self)) for pair in zip(ids, ids[1:]))
            if joined == len(self):
                break
            ids = join(ids, joined, self._rank)
        return tuple(ids)


def join(ids: list[int], joined: int, rank: dict[tuple[int, int], int]) -> list[int]:
    """`ids` with every pair of that rank, from the left and without overlap, as one id."""
    out, at = [], 0
    while at < len(ids):
        pair = at + 1 < len(ids) and rank.get((ids[at], ids[at + 1])) == joined
        out.append(joined if pair else ids[at])
        at += 1 + pair
    return out


@cache
def load() -> Vocabulary:
    """The course's own vocabulary."""
    return Vocabulary((left, right) for left, right in json.loads(MERGES.read_text()))
