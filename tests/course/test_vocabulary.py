"""The course's tokens: exact on any bytes, and what the merges say."""

import json
import random
import time

import pytest

from course import data, vocabulary

VOCABULARY = vocabulary.load()


def merges():
    return [tuple(pair) for pair in json.loads(vocabulary.MERGES.read_text())]


def by_the_book(chunk, rank):
    """Unit 03's algorithm in its slowest form: find the earliest merge anywhere, apply it to its first place, again."""
    ids = list(chunk)
    while pairs := [(rank[pair], at) for at, pair in enumerate(zip(ids, ids[1:])) if pair in rank]:
        joined, at = min(pairs)
        ids[at : at + 2] = [joined]
    return ids


def test_any_bytes_come_back():
    rng = random.Random(3)
    for length in [0, 1, 2, 3, 255, 4000]:
        raw = rng.randbytes(length)
        assert VOCABULARY.decode_bytes(VOCABULARY.encode(raw)) == raw
    every = bytes(range(256)) + b" \n\t  \n\n   x\r\n _ __a\0b\0 \0\n"
    assert VOCABULARY.decode_bytes(VOCABULARY.encode(every)) == every


@pytest.mark.parametrize("text", ["", "naïve café, 東京 \U0001f600", "def f(x):\n        return x  # 1,000,000\n\n"])
def test_text_comes_back(text):
    assert VOCABULARY.decode(VOCABULARY.encode(text)) == text


def test_half_a_character_is_said_to_be_none():
    assert VOCABULARY.decode(VOCABULARY.encode("é".encode()[:1])) == "\ufffd"


def test_ids_are_those_of_the_slow_algorithm():
    rank = {pair: 256 + n for n, pair in enumerate(merges())}
    text = data.prose()["for"].encode() + b"aaaaaaa banananana \n\n\n\n        ======== 12345678"
    slow = [i for chunk in vocabulary.chunks(text) for i in by_the_book(chunk, rank)]
    assert VOCABULARY.encode(text) == slow
    assert len(slow) < len(text) / 2.5


def test_there_are_4096_different_tokens_and_each_is_made_of_earlier_ones():
    assert len(VOCABULARY) == 4096 == len(set(VOCABULARY.pieces))
    assert all(left < 256 + n and right < 256 + n for n, (left, right) in enumerate(merges()))


def test_only_the_end_holds_the_byte_that_ends_a_document():
    assert [i for i, piece in enumerate(VOCABULARY.pieces) if b"\0" in piece] == [vocabulary.END]


@pytest.mark.parametrize(
    "text, pieces",
    [
        (b"a num_heads=12, b", [b"a", b" num", b"_heads", b"=", b"12", b",", b" b"]),
        (b"x\n\n    y   z", [b"x", b"\n\n    ", b"y", b"  ", b" z"]),
        (b"12345 67", [b"123", b"45", b" 67"]),
        (b"\0\0end \n", [b"\0", b"\0", b"end", b" ", b"\n"]),
        ("señor".encode(), ["señor".encode()]),
    ],
)
def test_chunks(text, pieces):
    assert list(vocabulary.chunks(text)) == pieces


def test_a_megabyte_takes_a_moment():
    text = "\n".join(data.prose().values())
    VOCABULARY.encode(text)
    begun = time.process_time()
    VOCABULARY.encode(text)
    assert time.process_time() - begun < 1.5  # half a megabyte; here 0.2 s
