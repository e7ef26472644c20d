"""The course's texts, and some images: real ones, and none of them downloaded. They come with Python and with Babel.

`prose` is the standard library's documentation of the language (pydoc_data.topics): English technical prose, about
465,000 characters on Python 3.11, a little more on later versions, so nothing may depend on its exact text.
`split_prose` cuts it into a part to train on and a part to test on. `language_names` and `split_dates`, the same day
written in several languages, come from CLDR's tables (Babel); `Pieces` turns such a date into ids and back. `subjects`
are sentences of that prose and what they are about. `held_out` is text that the course's language model was not trained
on, `digits` are small images; these two are committed, and the same everywhere.

Not here: tokenizers, batches for a particular unit, anything random.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable
from datetime import date, timedelta
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

STRETCH = 48  # no run of this many characters, spaces collapsed, stands in both parts of the split
FIRST_DAY, LAST_DAY = date(1930, 1, 1), date(2049, 12, 31)
STYLES = ("short", "medium", "long", "full")  # CLDR's four ways to write a date
PAD, BOS, EOS = 0, 1, 2
# fmt: off
SUBJECTS = {  # topics of the documentation that are about one thing
    "debugger": ("debugger",),
    "strings": ("string-methods", "formatstrings", "strings"),
    "classes": ("customization", "attribute-access", "class", "objects", "typesmethods", "id-classes"),
    "control flow": ("compound", "try", "with", "for", "while", "raise"),
    "containers": (
        "typesseq", "typesseq-mutable", "typesmapping", "sequence-types", "slicings", "subscriptions", "dict",
    ),
}
# fmt: on
HELD_OUT = Path(__file__).parent / "weights" / "held_out.json"
DIGITS = Path(__file__).parent / "runs" / "digits.npz"


@cache
def prose() -> dict[str, str]:
    """Topic -> text, sorted by topic. Source: pydoc_data.topics, made from "The Python Language Reference"."""
    from pydoc_data import topics

    return {name: topics.topics[name] for name in sorted(topics.topics)}


@cache
def split_prose(stretch: int = STRETCH) -> tuple[str, str]:
    """(training text, held-out text) such that no `stretch` characters of one stand in the other.

    Whole topics are held out: those whose name has a small SHA-256, so a topic is on the same side in every version of
    Python. Topics quote each other ("compound" contains "for" and "while"), so that alone would leak: a paragraph of
    the training side that shares a stretch with the held-out side is dropped.
    """
    held = "\n\n".join(text for name, text in prose().items() if _held_out(name))
    known = set(stretches(held, stretch))
    paragraphs = [p for name, text in prose().items() if not _held_out(name) for p in text.split("\n\n")]
    kept = [p for p in paragraphs if known.isdisjoint(stretches(p, stretch))]
    return "\n\n".join(kept), held


def stretches(text: str, stretch: int = STRETCH) -> list[str]:
    """Every run of `stretch` characters of `text`, with white space collapsed; the whole text when it is shorter."""
    flat = re.sub(r"\s+", " ", text).strip()
    if len(flat) <= stretch:
        return [flat] if len(flat) == stretch else []
    return [flat[start : start + stretch] for start in range(len(flat) - stretch + 1)]


def _held_out(name: str) -> bool:
    return hashlib.sha256(name.encode()).digest()[0] < 32  # one topic in eight


@cache
def subjects() -> dict[str, list[str]]:
    """Subject -> sentences of 6 to 25 words about it, in the order of `prose`; no sentence stands in two subjects.

    A task for a classifier: a hundred and more sentences of each of the five SUBJECTS. Each stands once, code left out.
    """
    found = {name: dict.fromkeys(_sentences(topics)) for name, topics in SUBJECTS.items()}
    times = Counter(sentence for sentences in found.values() for sentence in sentences)
    return {name: [s for s in sentences if times[s] == 1] for name, sentences in found.items()}


def _sentences(topics: Iterable[str]) -> list[str]:
    """Of paragraphs that are no code, no list of signatures and no heading, as far as their first signs tell."""
    paragraphs = (p for topic in topics for p in prose()[topic].split("\n\n"))
    texts = (" ".join(p.split()) for p in paragraphs if re.match(r" {0,8}[A-Z]", p))
    sentences = (s for text in texts for s in re.split(r"(?<=[.:?!]) (?=[A-Z])", text))
    return [s for s in sentences if 6 <= len(s.split()) <= 25 and s[-1] in ".:?!"]


@cache
def digits() -> tuple[np.ndarray, np.ndarray]:
    """Handwritten digits: images (1797, 8, 8) uint8 from 0 to 16, and which digit each one is, (1797,) uint8.

    Source: Alpaydin and Kaynak 1998, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository
    (CC BY 4.0), its test part; the same numbers as scikit-learn's `load_digits`.
    """
    with np.load(DIGITS) as stored:
        images, labels = stored["images"], stored["labels"]
    for each in (images, labels):
        each.setflags(write=False)  # they are kept: who changes them would change everybody's
    return images, labels


@cache
def held_out() -> list[str]:
    """Documentation that `course.gpt`'s models never saw, 64 KiB: a docstring or topic each, under the name of what it
    describes. In the models' text the byte 0 follows each (`course.vocabulary.END`). Chosen by `training/corpus.py`.
    """
    return json.loads(HELD_OUT.read_text(encoding="utf-8"))


def as_ascii(text: str) -> str:
    """The text with its few typographic characters spelled out, so that 128 symbols are enough."""
    spelled = {"‘": "'", "’": "'", "“": '"', "”": '"', "–": "-", "—": "--", "…": "..."}
    plain = text.translate(str.maketrans(spelled))
    return plain.encode("ascii", "replace").decode()


def language_names(locale: str) -> dict[str, str]:
    """What the languages of the world are called in one of them: {"de": "German", ...} for the locale "en".

    Source: the Unicode CLDR, as Babel ships it. Only codes that are two letters long.
    """
    from babel import Locale

    return {code: name for code, name in sorted(Locale(locale).languages.items()) if len(code) == 2}


class DatePair(NamedTuple):
    """One day, written in English and in another language in the same style."""

    day: date
    language: str
    style: str
    source: str
    target: str


@cache
def split_dates(
    languages: tuple[str, ...] = ("fr", "de"), styles: tuple[str, ...] = STYLES, one_in: int = 10
) -> tuple[list[DatePair], list[DatePair]]:
    """(training pairs, held-out pairs) of days from 1930 to 2049: one day in `one_in`, in every style and language.

    A day's side is decided by the SHA-256 of its year without the century, its month and its day ("26-11-22"), so it
    is the same for every style, every language and every version of Python or Babel. The century is left out because
    the short style leaves it out: 1926 and 2026 are both 11/22/26, and must not stand on two sides.
    """
    sides: tuple[list[DatePair], list[DatePair]] = [], []
    for offset in range((LAST_DAY - FIRST_DAY).days + 1):
        day = FIRST_DAY + timedelta(offset)
        if (side := date_side(day, one_in)) is not None:
            sides[side].extend(_pairs(day, languages, styles))
    return sides


def date_side(day: date, one_in: int = 10) -> int | None:
    """0: the day is trained on. 1: it is held out (one in eight). None: it is not among the days that are used."""
    digest = hashlib.sha256(f"{day.year % 100:02d}-{day.month:02d}-{day.day:02d}".encode()).digest()
    return int(digest[0] < 32) if int.from_bytes(digest[1:3]) % one_in == 0 else None


def _pairs(day: date, languages: Iterable[str], styles: Iterable[str]) -> list[DatePair]:
    english = {style: date_text(day, "en", style) for style in styles}
    return [
        DatePair(day, language, style, english[style], date_text(day, language, style))
        for language in languages
        for style in english
    ]


def date_text(day: date, locale: str, style: str) -> str:
    """A day in words and figures, as the Unicode CLDR says, with every kind of space as a plain one."""
    from babel.dates import format_date

    return re.sub(r"\s+", " ", format_date(day, style, locale))


class Pieces:
    """A small vocabulary: every word, digit and sign of some texts, and a language as a piece of its own, "<fr>".

    A space belongs to the word or sign before it; behind a digit it is a piece. PAD is 0, BOS 1,
    EOS 2; the pieces follow in sorted order. Texts with a piece that was not among them can't be encoded (KeyError). A
    text encoded and decoded is the same text.
    """

    PATTERN = re.compile(r"<\w+>|\d|[^\W\d_]+ ?|[^\w ] ?|.", re.DOTALL)

    def __init__(self, texts: Iterable[str]) -> None:
        found = {piece for text in texts for piece in self.PATTERN.findall(text)}
        self.pieces = ["<pad>", "<bos>", "<eos>", *sorted(found)]
        self._ids = {piece: i for i, piece in enumerate(self.pieces) if i > EOS}

    def __len__(self) -> int:
        return len(self.pieces)

    def encode(self, text: str) -> list[int]:
        """Ids of the text's pieces, without BOS and EOS."""
        return [self._ids[piece] for piece in self.PATTERN.findall(text)]

    def decode(self, ids: Iterable[int]) -> str:
        """The text up to the first EOS, without PAD and BOS."""
        found: list[str] = []
        for i in map(int, ids):
            if i == EOS:
                break
            if i not in (PAD, BOS):
                found.append(self.pieces[i])
        return "".join(found)
