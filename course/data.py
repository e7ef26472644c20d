"""The course's texts: real ones, and none of them downloaded. They come with Python and with Babel.

`prose` is the standard library's documentation of the language (pydoc_data.topics): English technical prose, about
465,000 characters on Python 3.11, a little more on later versions, so nothing may depend on its exact text.
`split_prose` cuts it into a part to train on and a part to test on. `language_names` are CLDR's tables (Babel).

Not here: tokenizers, batches for a particular unit, anything random.
"""

from __future__ import annotations

import hashlib
import re
from functools import cache

STRETCH = 48  # no run of this many characters, spaces collapsed, stands in both parts of the split


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
