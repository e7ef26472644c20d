"""The text that the course's models learn: documentation that arrives with packages, and none of it downloaded.

    python -m training.corpus          # says how much there is, and writes the sample course/weights/held_out.json

`pydoc_data.topics` and the docstrings of the standard library, numpy, torch and transformers, read from the sources by
their syntax tree: nothing is imported. A document is one topic or one docstring under the name of what it describes,
and ends with the byte 0.

What is held out is decided by name, so it is the same in every version: a topic, a module, and of transformers a whole
model, since its files repeat each other. Two cuts make it honest. A paragraph that stood before is dropped, so copies
count once. Then paragraphs of the *training* text go until no stretch of 50 characters, white space collapsed, stands
on both sides; `shared` counts them.

Licences: Python's documentation and standard library, PSF License Agreement; numpy and torch, BSD 3-Clause;
transformers, Apache License 2.0.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import json
import re
import sysconfig
import warnings
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from course import data
from course.files import write_whole

STRETCH = 50  # no run of this many characters, white space collapsed, stands on both sides
LEAST = 60  # characters of a document; shorter ones are mostly "See the base class."
HELD = 13  # of 256 groups are held out
SAMPLE = 1 << 16  # bytes of the held-out text that are committed
PACKAGES = ("numpy", "torch", "transformers")
SKIPPED = {"test", "tests", "site-packages", "dist-packages", "lib2to3", "idlelib"}
ADDS_DOCS = {"add_docstr", "add_newdoc", "_add_docstr"}  # how torch and numpy document what is written in C
END = "\0"


class Document(NamedTuple):
    """One topic or docstring; documents of one group are on the same side of the split."""

    source: str  # "topics", "python", "numpy", ...
    group: str
    text: str  # without the byte that ends it


class Corpus(NamedTuple):
    """Documents to train on and documents to measure on."""

    train: list[Document]
    held: list[Document]


# gathered


def documents() -> Iterator[Document]:
    """Everything, in an order that depends on names only."""
    from pydoc_data import topics

    for name in sorted(topics.topics):
        yield Document("topics", f"topics.{name}", topics.topics[name].strip())
    yield from of_package("python", Path(sysconfig.get_path("stdlib")), "")
    for package in PACKAGES:
        yield from of_package(package, Path(sysconfig.get_path("purelib")) / package, f"{package}.")


def of_package(source: str, folder: Path, prefix: str) -> Iterator[Document]:
    """The docstrings of all modules below `folder`."""
    for path in sorted(folder.rglob("*.py")):
        inside = path.relative_to(folder)
        if SKIPPED.isdisjoint(inside.parts):
            module = (prefix + ".".join(inside.with_suffix("").parts)).removesuffix("__init__").rstrip(".")
            for text in docstrings(path.read_bytes(), module):
                yield Document(source, group_of(module), text)


def group_of(module: str) -> str:
    """What is held out together: a module; of transformers' models all modules of the model."""
    parts = module.split(".")
    return ".".join(parts[:3] if parts[:2] == ["transformers", "models"] else parts)


def docstrings(source: bytes, module: str) -> Iterator[str]:
    """Name, blank line, docstring of everything that a source documents, from top to bottom; nothing if broken."""
    try:
        with warnings.catch_warnings(action="ignore"):  # escapes of other people's strings
            tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return
    for name, text in _described(tree, module):
        cleaned = inspect.cleandoc(text).replace(END, "").rstrip()
        if len(cleaned) >= LEAST:
            yield f"{name}\n\n{cleaned}"


def _described(node: ast.AST, name: str) -> Iterator[tuple[str, str]]:
    """(dotted name, docstring) of a node and of what stands in it."""
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        if text := ast.get_docstring(node, clean=False):
            yield name, text
    if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in ADDS_DOCS:
        strings = [n.value for n in ast.walk(node) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
        yield _described_by(node) or name, max(strings, key=len, default="")
        return
    for child in ast.iter_child_nodes(node):
        named = isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        yield from _described(child, f"{name}.{child.name}" if named else name)


def _described_by(call: ast.Call) -> str:
    """What add_docstr(torch.abs, text) and add_newdoc("numpy", "ndarray", ("shape", text)) describe, dotted."""
    parts = [part for arg in call.args for part in (arg.elts if isinstance(arg, ast.Tuple) else [arg])]
    named = [part.value if isinstance(part, ast.Constant) else ast.unparse(part) for part in parts]
    return ".".join(text for text in named if re.fullmatch(r"[\w.]+", str(text)))


# split and cut


def split(found: Iterable[Document], held: int = HELD) -> Corpus:
    """Two sides without a stretch in common, and no paragraph twice."""
    sides = Corpus([], [])
    for document in unrepeated(found):
        sides[held_out(document.group, held)].append(document)
    return Corpus(without_shared(sides.train, sides.held), sides.held)


def held_out(group: str, held: int = HELD) -> bool:
    return hashlib.sha256(group.encode()).digest()[0] < held


def unrepeated(found: Iterable[Document]) -> Iterator[Document]:
    """The documents without paragraphs of 50 characters or more that stood before, in another document or this one."""
    seen: set[str] = set()
    for document in found:
        kept = []
        for paragraph in paragraphs(document.text):
            flat = collapsed(paragraph)
            if len(flat) < STRETCH or flat not in seen:
                kept.append(paragraph)
            seen.add(flat)
        yield from rebuilt(document, kept)


def without_shared(train: list[Document], held: list[Document]) -> list[Document]:
    """The training documents without the paragraphs in which a stretch of the held-out ones has its middle."""
    known = np.unique(np.concatenate([hashes(collapsed(document.text)) for document in held] or [hashes("")]))
    return [kept for document in train for kept in _cut(document, known)]


def _cut(document: Document, known: np.ndarray) -> Iterator[Document]:
    parts = paragraphs(document.text)
    while parts:
        flat = [collapsed(part) for part in parts]
        shared = np.flatnonzero(_among(hashes(" ".join(flat)), known))
        if not len(shared):
            break
        ends = np.cumsum([len(part) + 1 for part in flat])  # behind each paragraph and its space
        middles = set(np.searchsorted(ends, shared + STRETCH // 2, side="right").tolist())
        parts = [part for n, part in enumerate(parts) if n not in middles]
    yield from rebuilt(document, parts)


def rebuilt(document: Document, parts: list[str]) -> Iterator[Document]:
    """The document of these paragraphs, if enough is left of it, and more than the name."""
    text = "\n\n".join(parts)
    if len(text) >= LEAST and " " in text:
        yield document._replace(text=text)


def paragraphs(text: str) -> list[str]:
    return re.split(r"\n\s*\n", text)


def collapsed(text: str) -> str:
    return " ".join(text.split())


# stretches


@cache
def _powers(count: int) -> tuple[np.ndarray, np.ndarray]:
    """base^i and base^-i modulo 2^64, for an odd base."""
    base = 0x9E3779B97F4A7C15
    return tuple(
        np.array([1] + [b] * (count - 1), np.uint64).cumprod(dtype=np.uint64) for b in (base, pow(base, -1, 2**64))
    )


def hashes(text: str) -> np.ndarray:
    """uint64 for each run of STRETCH characters; equal runs have equal ones, different runs in effect never."""
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.uint64)
    if len(codes) < STRETCH:
        return np.zeros(0, np.uint64)
    powers, inverse = (table[: len(codes)] for table in _powers(1 << max(len(codes) - 1, 1).bit_length()))
    spread = (codes + np.uint64(1)) * np.uint64(0xD1B54A32D192ED03)
    spread ^= spread >> np.uint64(29)
    sums = np.concatenate((np.zeros(1, np.uint64), (spread * powers).cumsum(dtype=np.uint64)))
    return (sums[STRETCH:] - sums[:-STRETCH]) * inverse[: len(codes) - STRETCH + 1]


def _among(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Which values are in the sorted array `known`."""
    if not len(known):
        return np.zeros(len(values), bool)
    return known[np.minimum(np.searchsorted(known, values), len(known) - 1)] == values


def shared(train: Iterable[Document], held: Iterable[Document]) -> int:
    """How many stretches of the held-out documents stand in the training documents: exact, slow and obvious."""
    known = {run for document in held for run in stretches(document.text)}
    return len({run for document in train for run in stretches(document.text) if run in known})


def stretches(text: str) -> Iterator[str]:
    flat = collapsed(text)
    return (flat[start : start + STRETCH] for start in range(len(flat) - STRETCH + 1))


# text


@cache
def corpus() -> Corpus:
    """Both sides of everything that is installed."""
    return split(documents())


def joined(found: Iterable[Document]) -> bytes:
    """The documents one after another, each ended by the byte 0."""
    return b"".join((document.text + END).encode("utf-8", "replace") for document in found)


def sizes(found: Corpus) -> dict[str, dict[str, int]]:
    """Bytes by source and side."""
    table: dict[str, dict[str, int]] = {}
    for side, kept in found._asdict().items():
        for document in kept:
            row = table.setdefault(document.source, {"train": 0, "held": 0})
            row[side] += len(document.text.encode("utf-8", "replace")) + 1
    return table


def sample(held: list[Document], most: int = SAMPLE) -> list[str]:
    """Held-out documents, at most `most` bytes of them, whole ones: chosen by their hash, kept in order."""
    chosen, left = set(), most
    for document in sorted(held, key=lambda document: hashlib.sha256(document.text.encode()).digest()):
        if (size := len(document.text.encode()) + 1) <= left:
            chosen.add(document.text)
            left -= size
    return [document.text for document in held if document.text in chosen]


if __name__ == "__main__":
    for name, row in sizes(corpus()).items():
        print(f"{name:14} {row['train']:>12,} bytes to train on {row['held']:>10,} held out")
    write_whole(data.HELD_OUT, (json.dumps(sample(corpus().held), ensure_ascii=False, indent=0) + "\n").encode())
