"""What `cases.npz` says about a unit's exercises: names, points, minutes and hints, read without numpy and torch.

The command line asks for these only, and is quick by it. Not here: the cases themselves and their numbers, which are
`course.checking.cases`. It writes the file; its member manifest.npy holds JSON text as an array of bytes.
"""

from __future__ import annotations

import json
import os
import zipfile
import zlib
from typing import Any, NamedTuple

FORMAT = 1
MEMBER = "manifest.npy"
MAGIC = b"\x93NUMPY\x01\x00"  # of format version 1.0; then the header's length in 2 bytes, and the header
BROKEN = (OSError, LookupError, ValueError, EOFError, TypeError, NotImplementedError, RuntimeError)
BROKEN += (zipfile.BadZipFile, zlib.error)


class Exercise(NamedTuple):
    """What is told of one exercise before anybody judges it. `minutes` is 0 when nobody said."""

    name: str
    points: float
    minutes: int
    hints: list[str]


class Manifest(NamedTuple):
    """The exercises of one unit by name, in the notebook's order."""

    unit: str
    exercises: dict[str, Exercise]


def read(path: str | os.PathLike) -> Manifest:
    """The Manifest in a cases file. Raises ValueError in one sentence when it is none."""
    try:
        with zipfile.ZipFile(path) as stored:
            plain = json.loads(_content(stored.read(MEMBER)))
        found = _told(plain) if plain["format"] == FORMAT else Manifest("", {})
    except BROKEN as error:
        raise ValueError(f"{path} is not a cases file: {error}") from error
    require_format(path, plain)
    return found


def require_format(path: str | os.PathLike, plain: dict[str, Any]) -> None:
    """Raises ValueError in one sentence when this course does not read such a file."""
    if plain.get("format") != FORMAT:
        raise ValueError(f"{path} has format {plain.get('format')}, this course reads format {FORMAT}")


def _content(array: bytes) -> bytes:
    """The bytes behind the header of a .npy file."""
    if not array.startswith(MAGIC):
        raise ValueError(f"its {MEMBER} is no array of numpy")
    begin = len(MAGIC) + 2
    return array[begin + int.from_bytes(array[len(MAGIC) : begin], "little") :]


def _told(plain: dict[str, Any]) -> Manifest:
    checks = [dict(check["dict"]) for check in plain["checks"]]  # as `cases.to_plain` writes them
    found = [Exercise(c["name"], c["points"], c.get("minutes", 0), c["hints"]) for c in checks]
    return Manifest(plain["unit"], {one.name: one for one in found})
