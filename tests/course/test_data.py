"""The course's texts: they are there, and nothing of the held-out part can be learned by heart."""

import re
from datetime import date

import numpy as np
import pytest

from course import data


def test_no_stretch_of_the_training_text_is_held_out():
    train, held = data.split_prose()
    known = set(data.stretches(held))
    assert known and not [s for p in train.split("\n\n") for s in data.stretches(p) if s in known]


def test_both_parts_are_large_and_most_of_the_text_is_kept():
    train, held = data.split_prose()
    whole = sum(len(text) for text in data.prose().values())
    assert len(held) > 25_000 and len(train) > 10 * len(held) * 0.8 and len(train) + len(held) > 0.85 * whole


def test_whole_topics_are_held_out_by_their_names():
    held = {name for name in data.prose() if data._held_out(name)}
    assert 4 <= len(held) <= 20 and all(data.prose()[name] in data.split_prose()[1] for name in held)


def test_stretches_ignore_white_space_and_short_texts():
    assert data.stretches("a  b\n c", 3) == ["a b", " b ", "b c"]
    assert data.stretches("ab", 3) == [] and data.stretches("abc", 3) == ["abc"]


def test_ascii_is_ascii():
    text = data.as_ascii("“don’t” – 3° …")
    assert text == '"don\'t" - 3? ...' and not re.search(r"[^\x00-\x7f]", data.as_ascii(data.split_prose()[0]))


def test_sentences_have_one_subject_each_and_there_are_many_of_them():
    found = data.subjects()
    sentences = [sentence for each in found.values() for sentence in each]
    assert list(found) == list(data.SUBJECTS) and len(set(sentences)) == len(sentences)
    assert all(len(each) >= 90 and each[0][0].isupper() for each in found.values())
    assert all(6 <= len(s.split()) <= 25 and s[-1] in ".:?!" and "  " not in s for s in sentences)
    assert not any(s.startswith((">>>", "*")) or " = " in s[:12] for s in sentences)


def test_digits_are_the_published_ones():
    """1,797 images in ten classes, as their source counts them, and the first four as they are printed everywhere."""
    images, labels = data.digits()
    assert images.shape == (1797, 8, 8) and images.dtype == labels.dtype == np.uint8
    assert np.bincount(labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert labels[:4].tolist() == [0, 1, 2, 3] and images[0, 0].tolist() == [0, 0, 5, 13, 9, 1, 0, 0]
    assert images.min() == 0 and images.max() == 16 and abs(images.mean() - 4.884) < 1e-3
    with pytest.raises(ValueError, match="read-only"):
        images[0] = 0


def test_language_names_come_from_cldr():
    assert data.language_names("en")["de"] == "German" and data.language_names("fr")["de"] == "allemand"
    assert all(len(code) == 2 for code in data.language_names("hi"))


ALL = ("fr", "de", "es")
HELD_IN_2026 = ["2026-01-24", "2026-08-13", "2026-09-20", "2026-10-02", "2026-11-11"]


def test_no_held_out_date_is_trained_on_in_any_form():
    train, held = data.split_dates(ALL)
    assert {p.day for p in train}.isdisjoint(p.day for p in held)
    for side in ("source", "target"):
        assert {getattr(p, side) for p in train}.isdisjoint(getattr(p, side) for p in held)


def test_the_same_day_of_two_centuries_is_on_one_side():
    assert data.date_text(date(1935, 5, 16), "en", "short") == data.date_text(date(2035, 5, 16), "en", "short")
    days = [date(1935 + 100 * later, month, 16) for month in range(1, 13) for later in (0, 1)]
    sides = [data.date_side(day, one_in=1) for day in days]
    assert sides[::2] == sides[1::2] and set(sides) == {0, 1}


def test_the_split_is_the_same_everywhere():
    held = [
        f"2026-{m:02d}-{d:02d}" for m in range(1, 13) for d in range(1, 29) if data.date_side(date(2026, m, d)) == 1
    ]
    assert held == HELD_IN_2026 and data.date_side(date(2026, 1, 1)) is None


def test_every_day_stands_there_in_every_language_and_style():
    train, held = data.split_dates(ALL)
    for side in (train, held):
        days = {p.day for p in side}
        assert len(side) == len(days) * len(ALL) * len(data.STYLES)
    assert 0.08 < len(held) / (len(train) + len(held)) < 0.17
    assert {p.style for p in data.split_dates(styles=("long",))[0]} == {"long"}


def test_pieces_make_a_round_trip():
    train, held = data.split_dates(ALL)
    texts = [t for p in train + held for t in (f"<{p.language}>{p.source}", p.target)]
    pieces = data.Pieces(texts)
    ids = [pieces.encode(text) for text in texts]
    assert [pieces.decode([*row, data.EOS, data.PAD, 7]) for row in ids] == texts
    assert min(map(min, ids)) > data.EOS and max(map(max, ids)) == len(pieces) - 1
    assert pieces.decode([data.BOS, *ids[0]]) == texts[0] and pieces.encode("<fr>3")[0] == pieces.pieces.index("<fr>")


def test_pieces_of_the_training_side_are_enough_for_the_other():
    train, held = data.split_dates(ALL)
    pieces = data.Pieces(p.target for p in train)
    assert all(pieces.decode(pieces.encode(p.target)) == p.target for p in held)
    with pytest.raises(KeyError):
        pieces.encode("no such word")


def test_spaces_are_plain():
    assert {c for p in data.split_dates()[1] for c in p.source + p.target if c.isspace()} == {" "}


# what the language model never saw


def test_the_held_out_text_is_documents_under_their_names():
    found = data.held_out()
    assert len(set(found)) == len(found) > 50
    assert 60_000 < sum(len(text.encode()) + 1 for text in found) <= 1 << 16
    assert not [text for text in found if "\0" in text or len(text) < 60 or " " not in text]
