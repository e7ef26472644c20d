"""GGUF files: metadata, a table of tensors, and their numbers as torch tensors.

GGUF is the file format of ggml and llama.cpp: a header, key-value pairs, one line for each tensor, then the numbers,
most of them quantized in blocks that hold a scale of their own. `GgufFile` maps such a file into memory and reads the
header; a tensor is made when it is asked for, a stretch at a time, in any floating dtype. The seven types in `KINDS`
are those that a Q4_K_M file of a small model has. Unit 10 is about what a block gives away; here it is only read.

Not here: writing, quantizing, other types, files of version 1 or in big-endian order, and any model.

Source: ggml's docs/gguf.md (version 3 of the format) and the block structures in its ggml-common.h.
"""

from __future__ import annotations

import hashlib
import math
import mmap
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from course.errors import InputError

MAGIC, VERSIONS, ALIGNMENT = b"GGUF", (2, 3), 32
STRETCH = 1 << 20  # elements that are dequantized at once: what stands beside the result in float32
SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}  # of `struct`
TEXT, ARRAY = 8, 9
SIZES = {code: struct.calcsize(f"<{code}") for code in SCALARS.values()}  # bytes


class Kind(NamedTuple):
    """How a type keeps numbers: `size` of them in a block of `stored` bytes.

    read  uint8 (blocks, stored) -> float32 (blocks, size)
    """

    name: str
    size: int
    stored: int
    read: Callable[[Tensor], Tensor]


class Entry(NamedTuple):
    """A line of the table of tensors: its shape as torch has it (the slowest dimension first), its kind, and where its
    numbers begin, in bytes from the start of the file."""

    shape: tuple[int, ...]
    kind: Kind
    offset: int

    @property
    def stored(self) -> int:
        """Bytes in the file."""
        return math.prod(self.shape) // self.kind.size * self.kind.stored


def _halves(blocks: Tensor) -> Tensor:
    """Two bytes each -> float32: the scales, which are float16."""
    return blocks.contiguous().view(torch.float16).float()


def _nibbles(bytes_: Tensor) -> Tensor:
    """(..., n) -> (..., 2, n): the lower four bits of all, then the upper four."""
    return torch.stack((bytes_ & 15, bytes_ >> 4), dim=-2)


def read_f32(blocks: Tensor) -> Tensor:
    """The numbers as they are."""
    return blocks.contiguous().view(torch.float32)


def read_bf16(blocks: Tensor) -> Tensor:
    """The upper half of a float32."""
    return blocks.contiguous().view(torch.bfloat16).float()


def read_q8_0(blocks: Tensor) -> Tensor:
    """32 numbers: a scale d (float16), 32 signed bytes q. x = d q."""
    d, q = _halves(blocks[:, :2]), blocks[:, 2:].contiguous().view(torch.int8)
    return d * q


def read_q5_0(blocks: Tensor) -> Tensor:
    """32 numbers: d (float16), their fifth bits (4 bytes), their lower four bits (16 bytes). x = d (q - 16).

    Byte j holds number j in its lower half and number j + 16 in its upper half.
    """
    d, lower = _halves(blocks[:, :2]), _nibbles(blocks[:, 6:]).flatten(1)
    fifth = (blocks[:, 2:6, None] >> torch.arange(8, dtype=torch.uint8) & 1).flatten(1)  # (blocks, 32)
    return d * ((lower | fifth << 4).to(torch.int8) - 16)


def read_q4_k(blocks: Tensor) -> Tensor:
    """256 numbers in eight groups: d, d_min (float16), 12 bytes of group scales s and minima m, 128 bytes of q.

    x = (d s) q - d_min m, with s and m of six bits and q of four. Groups 2p and 2p + 1 share the 32 bytes from 32p on,
    the lower halves first. s and m of groups 0 to 3 are the lower six bits of bytes 0 to 3 and 4 to 7; those of groups
    4 to 7 have their lower four bits in bytes 8 to 11 (s below, m above), the upper two where groups 0 to 3 left them.
    """
    d, d_min = _halves(blocks[:, :2]), _halves(blocks[:, 2:4])
    first, second, third = blocks[:, 4:16].unflatten(1, (3, 4)).unbind(1)  # (blocks, 4) each
    scale = torch.cat((first & 63, third & 15 | first >> 6 << 4), dim=1)  # (blocks, 8)
    lowest = torch.cat((second & 63, third >> 4 | second >> 6 << 4), dim=1)
    q = _nibbles(blocks[:, 16:].unflatten(1, (4, 32))).flatten(1, 2)  # (blocks, 8, 32)
    return ((d * scale)[..., None] * q - (d_min * lowest)[..., None]).flatten(1)


def read_q6_k(blocks: Tensor) -> Tensor:
    """256 numbers in sixteen groups: 128 bytes of lower four bits, 64 of upper two, 16 signed scales s, d (float16).

    x = (d s) (q - 32). Each half of 128 numbers is four runs of 32: runs 0 and 1 are the lower halves of its 64 bytes,
    runs 2 and 3 the upper halves; run r has its upper two bits at bit 2r of its 32 bytes.
    """
    lower = _nibbles(blocks[:, :128].unflatten(1, (2, 64))).unflatten(-1, (2, 32)).flatten(2, 3)  # (blocks, 2, 4, 32)
    shifts = torch.arange(0, 8, 2, dtype=torch.uint8)
    upper = blocks[:, 128:192].unflatten(1, (2, 1, 32)) >> shifts[:, None] & 3  # (blocks, 2, 4, 32)
    scale = _halves(blocks[:, 208:]) * blocks[:, 192:208].contiguous().view(torch.int8)  # (blocks, 16)
    q = (lower | upper << 4).to(torch.int8) - 32
    return (scale[..., None] * q.reshape(-1, 16, 16)).flatten(1)


KINDS = {
    0: Kind("F32", 1, 4, read_f32),
    1: Kind("F16", 1, 2, _halves),
    6: Kind("Q5_0", 32, 22, read_q5_0),
    8: Kind("Q8_0", 32, 34, read_q8_0),
    12: Kind("Q4_K", 256, 144, read_q4_k),
    14: Kind("Q6_K", 256, 210, read_q6_k),
    30: Kind("BF16", 1, 2, read_bf16),
}


class GgufFile:
    """One GGUF file, which may lie on the disk in several parts; the first of them holds the whole header.

    parts  the file's path, or the paths of its parts in order; they are mapped, so only what is read takes memory
    raises InputError when it is no such file, when it is cut off, or when it has a type that is not in KINDS

    metadata  key -> value; arrays of numbers are numpy arrays, arrays of text are lists
    tensors   name -> Entry
    """

    def __init__(self, *parts: Path | str) -> None:
        self.name = str(parts[0])
        self._maps = [_mapped(Path(part)) for part in parts]
        self._parts = [memoryview(part) for part in self._maps]
        header = _Header(self._parts[0], self.name)
        tensors, pairs = header.begin()
        self.metadata: dict[str, Any] = dict(header.pair() for _ in range(pairs))
        lines = [header.tensor() for _ in range(tensors)]
        unit = self.metadata.get("general.alignment", ALIGNMENT)
        start = -(-header.at // unit) * unit
        self.tensors = {name: entry._replace(offset=start + entry.offset) for name, entry in lines}
        needed = max((entry.offset + entry.stored for entry in self.tensors.values()), default=0)
        size = sum(map(len, self._parts))
        if needed > size:
            raise InputError(f"{self.name} is cut off: {needed:,} bytes are needed, {size:,} are there.")

    def tensor(self, name: str, dtype: torch.dtype = torch.float32) -> Tensor:
        """The tensor called `name`, in a new tensor of `dtype`. Numbers are worked out in float32 and rounded once."""
        shape, kind, offset = self.tensors[name]
        out = torch.empty(math.prod(shape), dtype=dtype)
        blocks, step = len(out) // kind.size, STRETCH // kind.size
        for first in range(0, blocks, step):
            count = min(step, blocks - first)
            raw = np.frombuffer(self._bytes(offset + first * kind.stored, count * kind.stored), np.uint8)
            numbers = kind.read(torch.from_numpy(raw).view(count, kind.stored))
            out[first * kind.size : (first + count) * kind.size] = numbers.flatten()
            self._forget()
        return out.view(shape)

    def sha256(self) -> str:
        """The checksum of the whole file."""
        digest = hashlib.sha256()
        for part in self._parts:
            digest.update(part)
            self._forget()
        return digest.hexdigest()

    def _bytes(self, offset: int, count: int) -> memoryview | bytearray:
        """`count` bytes from `offset` on. Those of one part are not copied."""
        found = []
        for part in self._parts:
            if count and offset < len(part):
                found.append(part[offset : offset + count])
                count -= len(found[-1])
            offset = max(0, offset - len(part))
        return found[0] if len(found) == 1 else bytearray().join(found)

    def _forget(self) -> None:
        """Let go of the pages that were read; they are read again when they are asked for."""
        for part in self._maps:
            if isinstance(part, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
                part.madvise(mmap.MADV_DONTNEED)


class _Header:
    """Reads a header from front to back; `at` is how far it came."""

    def __init__(self, data: memoryview, name: str) -> None:
        self.data, self.name, self.at = data, name, 0

    def begin(self) -> tuple[int, int]:
        """How many tensors and how many pairs are to come."""
        if self.bytes(4) != MAGIC:
            raise InputError(f"{self.name} is not a GGUF file: it does not begin with {MAGIC.decode()}.")
        version = self.number("I")
        if version not in VERSIONS:
            raise InputError(f"{self.name} has version {version} of GGUF; versions 2 and 3 can be read.")
        return self.number("Q"), self.number("Q")

    def pair(self) -> tuple[str, Any]:
        return self.text(), self.value(self.number("I"))

    def tensor(self) -> tuple[str, Entry]:
        """A line of the table; its offset still counts from where the numbers begin."""
        name, dimensions = self.text(), self.number("I")
        shape = tuple(self.number("Q") for _ in range(dimensions))[::-1]  # the file has the fastest dimension first
        code, offset = self.number("I"), self.number("Q")
        if code not in KINDS:
            known = ", ".join(each.name for each in KINDS.values())
            raise InputError(f"{self.name} keeps {name} as ggml's type {code}; what can be read is {known}.")
        kind = KINDS[code]
        if math.prod(shape[-1:]) % kind.size:
            raise InputError(f"{self.name} keeps {name} {shape} as {kind.name}: its rows are not whole blocks.")
        return name, Entry(shape, kind, offset)

    def value(self, code: int) -> Any:
        if code == TEXT:
            return self.text()
        if code == ARRAY:
            return self.array(self.number("I"), self.number("Q"))
        if code not in SCALARS:
            raise InputError(f"{self.name} has metadata of type {code}, which GGUF does not know.")
        return self.number(SCALARS[code])

    def array(self, code: int, count: int) -> Any:
        if code not in SCALARS:
            return [self.value(code) for _ in range(count)]
        kind = np.dtype(SCALARS[code]).newbyteorder("<")
        return np.frombuffer(self.bytes(count * kind.itemsize), kind)

    def text(self) -> str:
        return self.bytes(self.number("Q")).decode("utf-8", "replace")

    def number(self, code: str) -> Any:
        return struct.unpack(f"<{code}", self.bytes(SIZES[code]))[0]

    def bytes(self, count: int) -> bytes:
        end = self.at + count
        if end > len(self.data):
            raise InputError(f"{self.name} is cut off: its header ends after {len(self.data):,} bytes.")
        found = bytes(self.data[self.at : end])
        self.at = end
        return found


def _mapped(path: Path) -> mmap.mmap | bytearray:
    """The file's bytes, copied when written to: torch wants memory that it may write."""
    if not path.stat().st_size:
        return bytearray()
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
