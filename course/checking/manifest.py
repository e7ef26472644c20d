"""What `cases.npz` says about a unit's exercises: names, points, minutes and hints, read without numpy and torch.

The command line asks for these only, and is quick by it. Not here: the cases themselves and their numbers, which are
`course.checking.cases`. It writes the file; its member manifest.npy holds JSON text as an array of bytes.
"""

from __future__ import annotations

import os
import struct
import zipfile
import zlib

import msgspec

FORMAT = 2
MEMBER = "manifest.npy"
MAGIC = b"\x93NUMPY\x01\x00"  # of format version 1.0; then the header's length in 2 bytes, and the header
LARGEST = 4 << 20  # bytes of the file, and of the manifest, that are looked at before its directory is
_HEADER = struct.Struct("<4s5H3I2H")
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
        plain = msgspec.json.decode(_content(_member(path)), type=_Plain)
        found = _exercises(plain.checks) if plain.format == FORMAT else []
    except BROKEN as error:
        raise ValueError(f"{path} is not a cases file: {error}") from error
    require_format(path, plain.format)
    return Manifest(plain.unit, {one.name: one for one in found})


def require_format(path: str | os.PathLike, format: object) -> None:
    """Raises ValueError in one sentence when this course does not read files of that format."""
    if format != FORMAT:
        raise ValueError(f"{path} has format {format}, this course reads format {FORMAT}")


def _member(path: str | os.PathLike) -> bytes:
    """The manifest's array. It is the first of thousands: reading the whole directory would take longer than it.

    Where the file begins otherwise, `zipfile` looks for it. (Local file header: APPNOTE.TXT, section 4.3.7.)
    """
    with open(path, "rb") as file:
        head = file.read(_HEADER.size)
        if len(head) == _HEADER.size:
            magic, _, flags, method, _, _, check, _, _, name, extra = _HEADER.unpack(head)
            named = magic == b"PK\3\4" and file.read(name) == MEMBER.encode()
            if named and not flags and method == zipfile.ZIP_DEFLATED:
                file.seek(extra, os.SEEK_CUR)
                array = zlib.decompressobj(-zlib.MAX_WBITS).decompress(file.read(LARGEST), LARGEST)
                if zlib.crc32(array) == check:
                    return array
    with zipfile.ZipFile(path) as stored:
        return stored.read(MEMBER)


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
