"""What `cases.npz` says about a unit's exercises: names, points, minutes and hints, read without numpy and torch.

The command line asks for these only, and is quick by it. Not here: the cases themselves and their numbers, which are
`course.checking.cases`. It writes the file; its member manifest.npy holds JSON text as an array of bytes.
"""

from __future__ import annotations

import os
import zipfile
import zlib

import msgspec

FORMATS = (2, 3)  # the second one has steps that a course from before format 3 can't play
MEMBER = "manifest.npy"
MAGIC = b"\x93NUMPY\x01\x00"  # of format version 1.0; then the header's length in 2 bytes, and the header
BROKEN = (OSError, KeyError, ValueError, EOFError, NotImplementedError, RuntimeError)
BROKEN += (zipfile.BadZipFile, zlib.error, msgspec.DecodeError)


class Exercise(msgspec.Struct):
    """What is told of one exercise before anybody judges it. `minutes` is 0 when nobody said."""

    name: str
    points: float
    hints: list[str]
    minutes: int = 0
    optional: bool = False


class Manifest(msgspec.Struct):
    """The exercises of one unit by name, in the notebook's order."""

    unit: str
    exercises: dict[str, Exercise]


class _Pairs(msgspec.Struct):
    """A dict as `cases.to_plain` writes it. What nobody asks for stays text: that is most of the file."""

    dict: list[tuple[str, msgspec.Raw]]


class _Plain(msgspec.Struct):
    format: int
    unit: str
    checks: msgspec.Raw


def read(path: str | os.PathLike) -> Manifest:
    """The Manifest in a cases file. Raises ValueError in one sentence when it is none."""
    try:
        with zipfile.ZipFile(path) as stored:
            plain = msgspec.json.decode(_content(stored.read(MEMBER)), type=_Plain)
        found = _exercises(plain.checks) if plain.format in FORMATS else []
    except BROKEN as error:
        raise ValueError(f"{path} is not a cases file: {error}") from error
    require_format(path, plain.format)
    return Manifest(plain.unit, {one.name: one for one in found})


def require_format(path: str | os.PathLike, format: object) -> None:
    """Raises ValueError in one sentence when this course does not read files of that format."""
    if format not in FORMATS:
        reads = " and ".join(map(str, FORMATS))
        raise ValueError(f"{path} has format {format}, this course reads the formats {reads}")


def _content(array: bytes) -> bytes:
    """The bytes behind the header of a .npy file."""
    if not array.startswith(MAGIC):
        raise ValueError(f"its {MEMBER} is no array of numpy")
    begin = len(MAGIC) + 2
    return array[begin + int.from_bytes(array[len(MAGIC) : begin], "little") :]


def _exercises(checks: msgspec.Raw) -> list[Exercise]:
    wanted = Exercise.__struct_fields__
    pairs = [each.dict for each in msgspec.json.decode(checks, type=list[_Pairs])]
    facts = [{key: msgspec.json.decode(value) for key, value in each if key in wanted} for each in pairs]
    return msgspec.convert(facts, list[Exercise])
