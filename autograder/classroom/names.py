"""Names of students and units as people write them.

What it is: which folder names nbgrader can carry, when two spellings are one name, and which unit a word means.
What it is not: it looks at no file.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterable
from pathlib import PurePath

MAX_NAME = 180  # bytes: a file called like the student has room for an ending, on disks that allow 255
PUNCTUATION = "_.@+' -\u2019\u00b7"
COLLECTORS_FILES = ("timestamp.txt", "submission_secret.txt")  # what nbgrader's collectors put beside a notebook
JOINERS = "\u200c\u200d"  # Persian and Indic names are spelled with them


def name_problem(student: str) -> str | None:
    """Why this folder name can't be a student's in nbgrader (it globs names and puts them in URLs); None if it can."""
    begins = student[:1].isalnum() or student.startswith("_")
    if begins and not student.endswith(" ") and all(map(_may_stand, student)):
        if len(student.encode("utf-8", "replace")) <= MAX_NAME:
            return None
    return (
        f"The folder submitted/{shown(student)} is not graded: expected a name of letters, digits, spaces and "
        f"_ . @ + - ' that begins with a letter or digit and has at most {MAX_NAME} bytes; rename it."
    )


def _may_stand(character: str) -> bool:
    """Letters of every script with the marks that combine with them, digits, and a little punctuation."""
    marks = unicodedata.category(character).startswith("M")
    return character.isalnum() or marks or character in PUNCTUATION or character in JOINERS


def shown(name: str) -> str:
    """A name from outside in a sentence: printable and short."""
    return "".join(c if c.isprintable() and not 0xD800 <= ord(c) <= 0xDFFF else "?" for c in name)[:60]


def visible(entries: Iterable[str]) -> list[str]:
    """Of a folder's entries those that somebody put there, in order: nothing hidden, nothing of a collector."""
    return [name for name in sorted(entries) if name[0] != "." and name not in COLLECTORS_FILES]


def composed(name: str) -> str:
    """One spelling for all that look the same: an e with an accent is one character here or two there."""
    return unicodedata.normalize("NFC", name)


def plain(word: str) -> str:
    """Letters and digits, in lower case: "02-Attention" and "02 attention" are one word."""
    return "".join(c for c in unicodedata.normalize("NFKC", word).casefold() if c.isalnum())


def unit_meant(word: str, units: Iterable[str]) -> str | None:
    """The unit that somebody meant with this name of a file or folder; None when none is near."""
    names = {plain(name): unit for unit in sorted(units) for name in (unit, unit.partition("_")[2]) if name}
    stem = PurePath(word).stem if word.lower().endswith((".ipynb", ".zip")) else word
    within = [name for name in names if name in plain(stem)]
    near = [max(within, key=len)] if within else difflib.get_close_matches(plain(stem), names, n=1, cutoff=0.7)
    if near:
        return names[near[0]]
    numbers = {int(unit.partition("_")[0]): unit for unit in units if unit.partition("_")[0].isdecimal()}
    first = re.search(r"\d+", stem)
    return numbers.get(int(first.group())) if first else None
