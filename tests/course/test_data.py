"""The course's texts: they are there, and nothing of the held-out part can be learned by heart."""

import re

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
    assert text == "\"don't\" - 3? ..." and not re.search(r"[^\x00-\x7f]", data.as_ascii(data.split_prose()[0]))


def test_language_names_come_from_cldr():
    assert data.language_names("en")["de"] == "German" and data.language_names("fr")["de"] == "allemand"
    assert all(len(code) == 2 for code in data.language_names("hi"))
