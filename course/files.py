"""Writing a file whole or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO


def write_whole(path: Path, content: bytes) -> bool:
    """Write `path` through a temporary file and a rename; its folders are made.

    False when it held these bytes already: it is then left alone. A failure leaves the old file and nothing beside it.
    """
    if path.is_file() and path.read_bytes() == content:
        return False
    with whole_file(path) as file:
        file.write(content)
    return True


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """A file to write to that becomes `path` when the block ends well; else the old file stays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        try:
            yield file
            file.flush()
            os.chmod(file.name, 0o644)
            os.replace(file.name, path)
        except BaseException:
            os.unlink(file.name)
            raise


def encoding_of(data: bytes) -> str:
    """UTF-16 where a byte order mark says so, else UTF-8, whose mark is no part of the text."""
    return "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"


def notebook_text(data: bytes) -> tuple[str, bool]:
    """The text of a notebook file, in UTF-8 or UTF-16, with or without a byte order mark; and whether bytes that are
    neither had to be replaced."""
    encoding = encoding_of(data)
    try:
        return data.decode(encoding), False
    except UnicodeDecodeError:
        return data.decode(encoding, "replace"), True
