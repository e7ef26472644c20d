"""How much a launch moves and computes, measured while it is interpreted: `Meter` is an observer.

Counted: bytes that active lanes ask for, by tensor; bytes of different addresses; 32-byte sectors; tl.dot arithmetic.
What it is not: a clock or a cache. Bytes that a GPU would find in L2 count like any others; `unique_loaded` says what
would be left if the cache were perfect. Sectors are those of a whole access, not of one warp: triton arranges the lanes
of a tile so that neighbours in memory are neighbours in a warp. A buffer is taken to start at a sector's boundary.
"""

from __future__ import annotations

import math

import numpy as np
import torch

from grader_kernels.evidence import Access, TensorTraffic, Traffic
from grader_kernels.interpreter.launch import Launch, Observer, Region
from grader_kernels.replaying.memory import Arena, Memory, Touch

MAX_ACCESSES, MAX_ELEMENTS = 64, 4096  # of the pattern
SECTOR = 32  # bytes


class Meter(Observer):
    """Fills `traffic`. `memory` must be told of every event after this observer.

    pattern_launch    the launch, counted from 0, whose middle program's accesses are kept
    """

    arithmetic = False

    def __init__(self, memory: Memory, pattern_launch: int = 0) -> None:
        self.memory, self.pattern_launch = memory, pattern_launch
        self.traffic = Traffic()
        self._rows: dict[int, TensorTraffic] = {}
        self._keeps = False
        self._busy = self._loaded = self._most = 0  # programs that stored; bytes loaded, by this launch and by any
        self._idle = True
        self._launch: Launch | None = None

    def row(self, arena: Arena) -> TensorTraffic:
        """The line of the table for this arena; made when first asked for."""
        row = self._rows.get(id(arena))
        if row is None:
            row = self._rows[id(arena)] = TensorTraffic(self._unused(arena.name), arena.role)
            self.traffic.tensors.append(row)
        return row

    def _unused(self, name: str) -> str:
        names = {row.name for row in self.traffic.tensors}
        return next(n for n in (name, *(f"{name} ({i})" for i in range(2, len(names) + 3))) if n not in names)

    # who is running
    def launch(self, launch: Launch, grid: tuple[int, int, int]) -> None:
        self._count, self._launch = math.prod(grid), launch
        self.traffic.programs += self._count
        self.traffic.launches += 1
        self._most, self._loaded, self._busy = max(self._most, self._loaded), 0, 0

    def program(self, index: tuple[int, int, int], number: int) -> None:
        self._idle = True
        self._keeps = self.traffic.kernels - 1 == self.pattern_launch and number == self._count // 2
        if self._keeps:
            self.traffic.pattern_program = list(index)

    # events
    def load(self, region: Region | None, addresses: np.ndarray, size: int, filled: bool) -> None:
        touch = self.memory.touch(region, addresses, size)
        if touch is not None:
            self._keep("load", touch)
            self._add_load(touch, touch.sectors())

    def store(self, region: Region | None, addresses: np.ndarray, size: int, values: np.ndarray) -> None:
        touch = self.memory.touch(region, addresses, size)
        if touch is not None:
            self._keep("store", touch)
            self._add_store(touch, touch.sectors())
            _, shape = self._launch.lanes
            self.traffic.held = max(self.traffic.held, shape[-1] if shape else 1)

    def atomic(self, region: Region | None, addresses: np.ndarray, size: int) -> None:
        touch = self.memory.touch(region, addresses, size)
        if touch is not None:
            self._keep("atomic", touch)
            sectors = touch.sectors()
            self._add_load(touch, sectors)
            self._add_store(touch, sectors)

    def dot(self, left: tuple[int, ...], right: tuple[int, ...], dtype: str) -> None:
        self.traffic.dot_flops += 2 * math.prod(left) * right[-1]
        if dtype not in self.traffic.dot_dtypes:
            self.traffic.dot_dtypes.append(dtype)

    def copy(self, source: Arena, given: torch.Tensor, target: Arena, made: torch.Tensor) -> None:
        """A copy that torch makes between two launches: one launch of its own, neighbours read and written together."""
        self._count_copy()
        read = self.row(source)
        size, places = given.nbytes, _places(given) * given.element_size()
        read.loaded, read.load_sectors = read.loaded + size, read.load_sectors + -(-size // SECTOR)
        read.unique_loaded, read.program_loaded = read.unique_loaded + places, read.program_loaded + places
        self._write(target, made)

    def fill(self, target: Arena, made: torch.Tensor) -> None:
        """What torch fills with one number: one launch of its own, that only writes."""
        self._count_copy()
        self._write(target, made)

    def _count_copy(self) -> None:
        self.traffic.launches += 1
        self.traffic.copies += 1

    def _write(self, target: Arena, made: torch.Tensor) -> None:
        row, size, places = self.row(target), made.nbytes, _places(made) * made.element_size()
        row.stored, row.store_sectors = row.stored + size, row.store_sectors + -(-size // SECTOR)
        row.unique_stored += places

    # sums
    def _add_load(self, touch: Touch, sectors: int) -> None:
        row, books = self.row(touch.arena), touch.arena.books
        row.loaded += touch.lanes * touch.size
        self._loaded += touch.lanes * touch.size
        self._note_busy()
        row.load_sectors += sectors
        before = books.read[touch.distinct]
        unit = 1 << books.shift
        new = int(np.count_nonzero(before < self.memory.start))
        row.program_loaded += new * unit
        if new:
            row.unique_loaded += (before.size - int(np.count_nonzero(before))) * unit

    def _add_store(self, touch: Touch, sectors: int) -> None:
        row, books = self.row(touch.arena), touch.arena.books
        self.traffic.worked += self._idle
        self._busy, self._idle = self._busy + self._idle, False
        self._note_busy()
        row.stored += touch.lanes * touch.size
        row.store_sectors += sectors
        before = books.wrote[touch.distinct]
        row.unique_stored += (before.size - int(np.count_nonzero(before))) << books.shift

    def _note_busy(self) -> None:
        """How many programs share the launch that loads most."""
        if self._loaded >= self._most:
            self.traffic.busy = self._busy

    def _keep(self, kind: str, touch: Touch) -> None:
        if self._keeps and len(self.traffic.pattern) < MAX_ACCESSES:
            elements = (touch.offsets[:MAX_ELEMENTS] // touch.arena.item).tolist()
            self.traffic.pattern.append(Access(kind, self.row(touch.arena).name, touch.line, elements))


def _places(tensor: torch.Tensor) -> int:
    """How many elements a tensor has in memory: those of an expanded dimension share one."""
    return math.prod(size for size, stride in zip(tensor.shape, tensor.stride(), strict=True) if stride or size == 0)
