"""Hostile bytes, made from honest ones, and what must hold for them.

Each target has a `make` (from a random.Random to bytes) and a `feed`, which says whether the reader accepted them, and
raises when it crashed, hung, or let through what it must not. The same seed gives the same bytes: a seed is a report.
"""

from __future__ import annotations

import copy
import functools
import json
import random
import socket
import struct
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import nbformat
import numpy as np
import sources
import torch

from autograder.authoring import build
from autograder.authoring.unit import AuthoringError, Unit
from autograder.classroom import intake
from grader_kernels import wire
from grader_kernels.replaying import trace

UNIT = Path(__file__).resolve().parent.parent / "units" / "90_tiny"
CORPUS = Path(__file__).resolve().parent / "corpus"
SLOW = 10.0  # seconds for one input; the median is milliseconds
ODD = (None, True, -1, 0, 1, 1 << 63, -(1 << 70), 1e308, "", "x", "\ud800", "\x00", "../..", "<script>", [], {}, [[]])


@dataclass(frozen=True)
class Target:
    """What is fuzzed. per_run: how many inputs the test suite feeds, with hypothesis choosing them."""

    make: Callable[[random.Random], bytes]
    feed: Callable[[bytes], bool]
    per_run: int


def fed(target: Target, data: bytes) -> None:
    """Feed it, and raise when that took too long."""
    began = time.monotonic()
    target.feed(data)
    assert time.monotonic() - began < SLOW, f"{len(data):,} bytes took {time.monotonic() - began:.1f} s"


# --------------------------------------------------------------------------------------------------------------------
# Mutations of JSON and of bytes


def spoiled(value: Any, chance: random.Random, edits: int) -> Any:
    """`value` with a few of its parts deleted, doubled, moved, or replaced by something odd. Works in place."""
    for _ in range(edits):
        holder = _somewhere(value, chance)
        if not holder:
            continue
        key = chance.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
        edit = chance.randrange(6)
        if edit == 0:
            del holder[key]
        elif edit == 1:
            holder[key] = copy.deepcopy(chance.choice(ODD))
        elif edit == 2:
            holder[key] = json.loads(json.dumps(_somewhere(value, chance)))
        elif edit == 3 and isinstance(holder, list):
            holder.insert(chance.randrange(len(holder) + 1), json.loads(json.dumps(holder[key])))
        elif edit == 4 and isinstance(holder[key], str):
            holder[key] = _garbled(holder[key], chance)
        elif isinstance(holder, list):
            chance.shuffle(holder)
        else:
            holder[chance.choice(("id", "metadata", "source", "nbgrader", "ok", "at", "x"))] = holder.pop(key)
    return value


def _somewhere(value: Any, chance: random.Random) -> Any:
    """A list or object inside `value`, not too deep."""
    for _ in range(chance.randrange(7)):
        parts = value.values() if isinstance(value, dict) else value
        inside = [part for part in parts if isinstance(part, (dict, list)) and part]
        if not inside:
            break
        value = chance.choice(inside)
    return value


def _garbled(text: str, chance: random.Random) -> str:
    start, end = chance.randrange(len(text) + 1), chance.randrange(len(text) + 1)
    return text[:start] + str(chance.choice(ODD)) * chance.choice((0, 1, 1, 40)) + text[end:]


def broken(raw: bytes, chance: random.Random) -> bytes:
    """A few bytes changed, cut out, or put in."""
    data = bytearray(raw)
    for _ in range(chance.choice((0, 0, 1, 1, 2, 8))):
        place = chance.randrange(len(data) + 1)
        edit = chance.randrange(4)
        if edit == 0:
            data[place : place + 1] = bytes([chance.randrange(256)])
        elif edit == 1:
            del data[place : place + chance.choice((1, 4, 500))]
        elif edit == 2:
            data[place:place] = chance.randbytes(chance.choice((1, 4, 60)))
        else:
            data[place:place] = chance.choice((b"[" * 3000, b'{"a":' * 500, b"\x00", b"\xff\xfe", b"1" * 5000, b"NaN"))
    return bytes(data)


# --------------------------------------------------------------------------------------------------------------------
# Hand-ins


@functools.cache
def _released() -> tuple[Path, str, list[tuple[str, str]]]:
    """A built unit in a folder of its own, its solved notebook, and what nobody may change in it."""
    keeper = tempfile.TemporaryDirectory(prefix="fuzz-")
    _released.keeper = keeper
    root = Path(keeper.name)
    build.build(Unit.load(UNIT), root)
    [release] = (root / "assignments" / UNIT.name).glob("*.ipynb")
    [solution] = (root / "solutions" / UNIT.name).glob("*.ipynb")
    return release, solution.read_text(), _fixed(nbformat.read(release, as_version=4))


def _fixed(notebook: Any) -> list[tuple[str, str]]:
    """Ids and points of all graded cells in order, and the text of those that are locked."""
    marked = [(cell, cell.metadata.get("nbgrader", {})) for cell in notebook.cells]
    return [
        (marks["grade_id"], json.dumps([marks, cell.source if marks["locked"] else ""], sort_keys=True))
        for cell, marks in marked
        if marks.get("grade_id")
    ]


def _make_notebook(chance: random.Random) -> bytes:
    notebook = spoiled(json.loads(_released()[1]), chance, chance.choice((0, 1, 2, 5, 20)))
    return broken(json.dumps(notebook).encode(), chance)


def _take_in(data: bytes) -> bool:
    """No exception, and whatever was handed in: points, order and locked cells are the release's."""
    release, _, fixed = _released()
    with tempfile.TemporaryDirectory(dir=release.parents[2]) as place:
        folder = Path(place) / "ada" / UNIT.name
        folder.mkdir(parents=True)
        (folder / release.name).write_bytes(data)
        taken = intake.take_in(folder, release, UNIT.name, Path(place) / "out")
        kept = nbformat.read(taken.path, as_version=4)
    nbformat.validate(kept)
    assert _fixed(kept) == fixed
    assert "\n" not in taken.reason
    return not taken.reason


# --------------------------------------------------------------------------------------------------------------------
# Frames and traces

VALUES = (
    None,
    [1, -(1 << 70), 0.5, float("inf"), "text", b"bytes", True],
    ({"a": torch.arange(6.0).reshape(2, 3).T}, torch.ones(3, dtype=torch.bfloat16), torch.tensor(True)),
    {1: np.arange(4), "b": (np.float32(2.5), torch.float16)},
)


def _make_frame(chance: random.Random) -> bytes:
    buffers: list[bytes] = []
    header = {"id": 1, "ok": wire.encode(chance.choice(VALUES), buffers), "mutated": ["x"]}
    header = spoiled(json.loads(json.dumps(header)), chance, chance.choice((0, 1, 3)))
    text = json.dumps(header).encode()
    body = b"".join(map(bytes, buffers))
    sizes = (len(text), len(body)) if chance.random() < 0.9 else (chance.getrandbits(20), chance.getrandbits(20))
    return broken(struct.pack("<4sIQ", wire.MAGIC, *sizes) + text + body, chance)


def _read_frame(data: bytes) -> bool:
    """WireError or the end of the stream, or a value that can be sent again."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.setblocking(False)
        try:
            theirs.send(data)
        except BlockingIOError:
            return False
        theirs.close()
        try:
            header, body = wire.recv(ours, time.monotonic() + SLOW)
            value = wire.decode(header.get("ok"), body)
        except (wire.WireError, EOFError):
            return False
    wire.encode(value, [])
    return True


@functools.cache
def _traced() -> bytes:
    import triton

    from grader_kernels.judging.hands import WARM
    from grader_kernels.replaying import replay

    kernel = replay.load(WARM)["twice_kernel"]

    def twice(x: torch.Tensor, scale: float = 2.0) -> tuple:
        out = torch.zeros_like(x)
        view = out[1:].view(-1)
        kernel[(triton.cdiv(x.numel(), 4),)](x, out, x.numel(), BLOCK=4)
        return out, view, {"again": x.clone()}

    return msgspec.json.encode(trace.record(twice, (torch.ones(2, 4),), {"scale": 3.0}).to_data())


def _make_trace(chance: random.Random) -> bytes:
    return broken(json.dumps(spoiled(json.loads(_traced()), chance, chance.choice((0, 1, 3, 8)))).encode(), chance)


def _replay(data: bytes) -> bool:
    """Refused by the judge in words, or a replay that ends in words: never a crash of ours."""
    from grader_kernels.interpreter.faults import KernelFault
    from grader_kernels.judging.hands import WARM
    from grader_kernels.judging.judgement import Lost, _parsed
    from grader_kernels.language import LanguageError
    from grader_kernels.replaying.replay import replay_source

    try:
        _parsed(data)
    except Lost:
        return False
    known = trace.from_data(msgspec.json.decode(data))
    try:
        if sum(_programs(launch.grid) for launch in known.launches) > 64:
            return False  # many programs are slow, not wrong; the judge has a deadline for them
        replay_source(WARM, known.to_data(), ((torch.ones(2, 4),), {"scale": 3.0}))
    except (trace.TraceError, KernelFault, LanguageError):
        return False
    except Exception as error:  # of the kernel itself, about what it was launched with
        at = [note for note in getattr(error, "__notes__", ()) if note.startswith("in twice_kernel, program")]
        assert at or str(error).startswith("twice_kernel"), error
        return False
    return True


def _programs(grid: Any) -> int:
    return int(np.prod([abs(size) for size in grid], dtype=object)) if grid else 1


# --------------------------------------------------------------------------------------------------------------------
# The keys of an author's cells


def _make_source(chance: random.Random) -> bytes:
    lines = (UNIT / "notebook.py").read_text().splitlines()
    for _ in range(chance.choice((1, 1, 2, 6))):
        at = chance.randrange(len(lines))
        edit = chance.randrange(5)
        if edit == 0:
            del lines[at]
        elif edit == 1:
            lines.insert(at, chance.choice(lines))
        elif edit == 2:
            lines[at] = _garbled(lines[at], chance)
        elif edit == 3:
            lines.insert(at, '# %% check="double_it" points=' + str(chance.choice(ODD)))
        else:
            lines.insert(at, f"# %% {chance.choice(('exercise', 'explain', 'chekc', '[raw]'))}={chance.choice(ODD)!r}")
    return "\n".join(lines).encode("utf-8", "surrogatepass")


def _load_unit(data: bytes) -> bool:
    """AuthoringError with its file and a line, or a unit whose parts fit together."""
    with tempfile.TemporaryDirectory(prefix="fuzz-") as place:
        folder = Path(place) / UNIT.name
        folder.mkdir()
        (folder / "notebook.py").write_bytes(data)
        try:
            unit = Unit.load(folder)
        except AuthoringError as error:
            assert str(error).strip()
            return False
    assert set(unit.points) == set(unit.exercises) and all(points > 0 for points in unit.points.values())
    return True


TARGETS = {
    "notebooks": Target(_make_notebook, _take_in, 100),
    "frames": Target(_make_frame, _read_frame, 1500),
    "traces": Target(_make_trace, _replay, 200),
    "cells": Target(_make_source, _load_unit, 150),
    "sources": Target(sources.make, sources.feed, 25),
}
