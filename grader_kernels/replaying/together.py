"""Programs that run at once: two accesses that only an atomic seems to order are brought face to face.

Programs run one after another in a replay, so an atomic that merely lies between two accesses orders them there, and
on a GPU it orders nothing. `Together` runs some programs of one launch in threads of their own, one at a time. Each
stops before an access that is suspected, until the others have come as far as they can. Two programs that stand before
the same element at once, one of them about to write, were never ordered. Behind a lock, or where the last program to
count itself goes on alone, that can't happen: who has to wait does wait.

What it is not: a search through all orders. It asks about the accesses that the sanitizer suspects, and no others.
"""

from __future__ import annotations

import collections
import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import msgspec
import numpy as np

from grader_kernels.evidence import Finding
from grader_kernels.interpreter.builder import BUILDER, SEMANTIC
from grader_kernels.interpreter.faults import source_line
from grader_kernels.interpreter.launch import Launch, Observer, Region

MOST = 8  # programs at once
TURNS = 20_000  # of all programs together; who needs more is left alone
AGAIN = 5  # accesses of a program that waits, until it is another's turn
STACK = 4 << 20  # bytes of a thread


class Suspect(msgspec.Struct):
    """Two accesses that an atomic seems to order. launch: its number; first, last: the two programs, as they ran."""

    launch: int
    lines: tuple[int, int]
    first: int
    last: int
    finding: Finding


class _Access(NamedTuple):
    """kind: "read", "write" or "atomic". values: what is written, lane by lane."""

    kind: str
    addresses: np.ndarray
    values: np.ndarray | None
    line: int


class _Stop(BaseException):
    """Ends a program that is no longer needed."""


class _Program:
    """One program in its thread: it runs when it is told to, until it gives back."""

    def __init__(self, run: Callable[[int], None], number: int, quota: int) -> None:
        self.number, self.quota = number, quota
        self.index = (0, 0, 0)
        self.stands: _Access | None = None  # before which access it waits
        self.over = self.failed = self.stopping = False
        self.go, self.back = threading.Semaphore(0), threading.Semaphore(0)
        self.thread = threading.Thread(target=self._live, args=(run,), daemon=True)
        self.thread.start()

    def _live(self, run: Callable[[int], None]) -> None:
        self.go.acquire()
        try:
            with np.errstate(all="ignore"):
                if not self.stopping:
                    run(self.number)
        except _Stop:
            pass
        except BaseException:
            self.failed = True
        self.over = True
        self.back.release()

    def resume(self) -> None:
        """Run until it gives back or ends."""
        BUILDER.grid_idx = self.index
        self.go.release()
        self.back.acquire()

    def give_back(self) -> None:
        """In its own thread: let the others run."""
        self.index = BUILDER.grid_idx
        self.back.release()
        self.go.acquire()
        if self.stopping:
            raise _Stop


class Together(Observer):
    """An observer and a runner (interpreter.launch.Settings) that asks about the suspects of one launch.

    accesses    the most that a program made when it ran alone
    met         the lines of two accesses that stood before one element at once; None: none did
    """

    arithmetic = False

    def __init__(self, suspects: list[Suspect], accesses: int) -> None:
        self.suspects, self.quota = suspects, 2 * accesses + 50
        self.lines = {line for suspect in suspects for line in suspect.lines}
        self.met: tuple[int, int] | None = None
        self._launches = 0
        self._programs: list[_Program] = []
        self._current: _Program | None = None

    # running
    def launch(self, launch: Launch, grid: tuple[int, int, int]) -> None:
        self._launches += 1

    def run(self, run: Callable[[int], None], numbers: Iterable[int]) -> None:
        """All programs, those of the suspects at once."""
        numbers = list(numbers)
        if self._launches - 1 != self.suspects[0].launch:
            numbers, chosen, rest = numbers, [], []
        else:
            first, last = self._window()
            numbers, chosen, rest = numbers[:first], numbers[first:last], numbers[last:]
        for number in numbers:
            run(number)
        self._at_once(run, chosen)
        for number in rest if self.met is None else []:
            run(number)

    def _window(self) -> tuple[int, int]:
        first, last = self.suspects[0].first, self.suspects[0].last
        for suspect in self.suspects[1:]:
            low, high = min(first, suspect.first), max(last, suspect.last)
            first, last = (low, high) if high - low < MOST else (first, last)
        return max(first, last - 8 * MOST), last + 1

    def _at_once(self, run: Callable[[int], None], numbers: list[int]) -> None:
        with _small_stacks():
            self._programs = [_Program(run, number, self.quota) for number in numbers]
        waiting = collections.deque(self._programs)
        try:
            for _ in range(TURNS):
                if not waiting or self.met is not None:
                    break
                self._current = program = waiting.popleft()
                program.resume()
                if not program.over:
                    waiting.append(program)
                elif program.failed and self.met is None:
                    self.met = self.suspects[0].lines  # alone it did not fail
        finally:
            self._current = None
            for program in waiting:
                program.stopping = True
                program.resume()
            for program in self._programs:
                program.thread.join()
            self._programs = []

    # what the programs do
    def load(self, region: Region | None, addresses: np.ndarray, size: int, filled: bool) -> None:
        self._come_to("read", addresses)

    def store(self, region: Region | None, addresses: np.ndarray, size: int, values: np.ndarray) -> None:
        self._come_to("write", addresses, values)

    def atomic(self, region: Region | None, addresses: np.ndarray, size: int) -> None:
        self._come_to("atomic", addresses)

    def _come_to(self, kind: str, addresses: np.ndarray, values: np.ndarray | None = None) -> None:
        program = self._current
        line = source_line() if program is not None else 0
        if line not in self.lines or not addresses.size or SEMANTIC.builder is not BUILDER:
            return self._pass()
        program.stands = access = _Access(kind, addresses, values, line)
        for other in self._programs:
            if other.stands is not None and other is not program and _clash(access, other.stands):
                self.met = other.stands.line, line
        program.give_back()
        program.stands = None
        return None

    def _pass(self) -> None:
        """An access that is not suspected: a program that makes very many of them waits for another one."""
        program = self._current
        if program is None or SEMANTIC.builder is not BUILDER:  # a tape is being written
            return
        program.quota -= 1
        if program.quota <= 0:
            program.quota = AGAIN
            program.give_back()


def _clash(mine: _Access, theirs: _Access) -> bool:
    """Do two accesses touch one element, one of them writing, and not the same numbers?"""
    if mine.kind == theirs.kind != "write":
        return False
    _, here, there = np.intersect1d(mine.addresses, theirs.addresses, return_indices=True)
    if mine.kind != theirs.kind or mine.values.dtype != theirs.values.dtype:
        return bool(here.size)
    return mine.values[here].tobytes() != theirs.values[there].tobytes()


@contextlib.contextmanager
def _small_stacks() -> Iterator[None]:
    before = threading.stack_size(STACK)
    try:
        yield
    finally:
        threading.stack_size(before)
