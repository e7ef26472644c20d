"""Guarded memory for a replay, and the record of who touched which element in the current launch.

`Arena` is one buffer. `Memory` is an observer that marks what kernels store, and that tells the other observers
(`sanitizer`, `meter`) which elements of which arena an access touches (`Touch`) and who touched them before.
What it is not: a judgement. It keeps books and finds nothing.

Every access is an event with a number, counted from 1 in each launch. `read`, `wrote` and `updated` of an arena hold,
element by element, the number of the last event that read it, wrote it, or updated it atomically (0: none); an atomic
counts as all three. Programs run one after another, so an event before the current program's first is another's.
`reader` and `writer` hold the lane that did so: two lanes of a program don't wait for each other, one does.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterable

import numpy as np
import torch
import triton.language as tl

from grader_kernels.interpreter.accesses import unfilled
from grader_kernels.interpreter.faults import source_line
from grader_kernels.interpreter.launch import MARKED, Launch, Observer, Region
from grader_kernels.replaying.trace import DTYPES, TensorRef

UNTOUCHED, STORED, FILLED, COPIED = 0, 1, 2, 3
SEVERAL = -1  # lanes
PATTERN = 64  # elements, after which memory that nobody wrote repeats itself
_TL = {dtype: getattr(tl, name) for name, dtype in DTYPES.items() if dtype != torch.bool} | {torch.bool: tl.int1}


class Arena:
    """One buffer with guard zones on both sides, and a shadow that knows who wrote each element last.

    how: what memory that nobody wrote holds, as lanes do that no load has filled. The buffer starts at an odd element:
    nothing is aligned by luck. Its torch storage covers exactly the buffer: an access to a guard is already outside.
    """

    def __init__(self, size: int, dtype: torch.dtype, guard: int, how: str = MARKED) -> None:
        self.dtype, self.item = dtype, dtype.itemsize
        self.start = (guard | 1) * self.item
        self.size = size
        whole = -(-size // self.item) * self.item
        pattern = unfilled((PATTERN,), _TL[dtype], how).view(np.uint8)
        length = self.start + whole + guard * self.item
        self.raw = np.tile(pattern, -(-length // pattern.size))[:length]
        self.untouched = self._guards()
        self.shadow = np.zeros(whole // self.item, np.uint8)
        self.memory = torch.frombuffer(self.raw, dtype=torch.uint8, offset=self.start, count=size) if size else None
        self.low = self.raw.ctypes.data + self.start
        self.high = self.low + size
        self.name, self.role = "", "scratch"
        self.fixed = False  # an input that must stay as it is
        self.starts_empty = False  # an allocation: reading it before it is written is a mistake
        self.gaps: np.ndarray | None = None  # of an input: which elements of the buffer are not the tensor's
        self.may_hold_poison = True
        self.books: Books | None = None

    def view(self, ref: TensorRef) -> torch.Tensor:
        dtype = DTYPES[ref.dtype]
        if self.memory is None:
            return torch.empty_strided(ref.shape, ref.strides, dtype=dtype)
        storage = self.memory.untyped_storage()
        return torch.empty(0, dtype=dtype).set_(storage, ref.offset // dtype.itemsize, ref.shape, ref.strides)

    def shadow_of(self, ref: TensorRef) -> torch.Tensor:
        """Who wrote each element of the view, in its shape (or flat, when it reads the buffer in another width)."""
        shadow = torch.from_numpy(self.shadow)
        if DTYPES[ref.dtype].itemsize == self.item:
            return shadow.as_strided(ref.shape, ref.strides, ref.offset // self.item)
        return shadow[ref.offset // self.item : -(-(ref.offset + ref.extent()) // self.item)]

    def mark_stored(self, addresses: np.ndarray, width: int) -> None:
        at = (addresses - np.uint64(self.low)).astype(np.int64) // self.item
        for step in range(max(1, width // self.item)):
            self.shadow[at + step] = STORED

    def _guards(self) -> np.ndarray:
        return np.concatenate([self.raw[: self.start], self.raw[self.start + self.size :]])

    def guards_intact(self) -> bool:
        return np.array_equal(self.untouched, self._guards())

    def bytes(self) -> np.ndarray:
        return self.raw[self.start : self.start + self.size]

    def numbers(self, width: int) -> np.ndarray:
        """The buffer as unsigned integers of `width` bytes."""
        return self.bytes()[: self.size // width * width].view(f"u{width}")


class Books:
    """Who touched the elements of one arena in one launch. An element is `1 << shift` bytes."""

    def __init__(self, arena: Arena) -> None:
        self.item_shift = self.shift = arena.item.bit_length() - 1
        self.read, self.wrote, self.updated = (np.zeros(len(arena.shadow), np.int32) for _ in range(3))
        self.earlier = np.zeros(len(arena.shadow), np.int32)  # the last plain read of another program than `read`'s
        self.covered = np.zeros(len(arena.shadow), np.int32)  # the last write of another program, under an atomic
        self.reader, self.writer = (np.zeros(len(arena.shadow), np.int64) for _ in range(2))

    def split(self, size: int) -> None:
        """Count in elements of `size` bytes from now on: a kernel reads the buffer in smaller pieces."""
        shift = size.bit_length() - 1
        if shift < self.shift:
            pieces = 1 << (self.shift - shift)
            for name in ("read", "wrote", "updated", "earlier", "covered", "reader", "writer"):
                setattr(self, name, np.repeat(getattr(self, name), pieces))
            self.shift = shift


class Touch:
    """One access: `lanes` active lanes of `size` bytes each in `arena`, at `offsets` bytes from its start.

    at          the elements it touches: a slice when they are consecutive, else an index array, one entry per lane
                (more when a lane is wider than an element)
    apart       no two lanes share an address
    event       its number      line   in the learner's source
    """

    __slots__ = ("apart", "arena", "at", "event", "lanes", "line", "offsets", "region", "size", "_distinct", "_tile")

    def __init__(self, arena: Arena, addresses: np.ndarray, size: int, event: int, line: int, tile: tuple) -> None:
        self.arena, self.size, self.event, self.line, self._tile = arena, size, event, line, tile
        self.region: Region | None = None
        self.offsets = offsets = (addresses - np.uint64(arena.low)).view(np.int64)
        self.lanes = lanes = offsets.size
        self._distinct = None
        books = arena.books
        if size < 1 << books.shift:
            books.split(size)
        first, last = int(offsets[0]), int(offsets[-1])
        self.apart = True
        if last - first == (lanes - 1) * size and (lanes < 3 or bool((offsets[1:] - offsets[:-1] == size).all())):
            self.at = slice(first >> books.shift, (last + size) >> books.shift)
            return
        self.at = offsets >> books.shift
        self.apart = bool((offsets[1:] > offsets[:-1]).all())
        pieces = size >> books.shift
        if pieces > 1:
            self.at = (self.at[:, None] + np.arange(pieces)).reshape(-1)

    @property
    def wide(self) -> bool:
        """Whether several lanes took part, active or not: those of one number are one thread."""
        return self.lanes > 1 or math.prod(self._tile[1]) > 1

    @property
    def distinct(self) -> slice | np.ndarray:
        """The elements it touches, each once."""
        if self.apart:
            return self.at
        if self._distinct is None:
            self._distinct = self.at[last_of_each(self.at)]
        return self._distinct

    def who(self) -> np.ndarray:
        """The lane behind each entry of `at`: its place in the tile, and how large the tile is."""
        on, shape = self._tile
        count = math.prod(shape)
        lanes = np.arange(count) if on is None else np.flatnonzero(np.broadcast_to(on, shape))
        pieces = self.size >> self.arena.books.shift
        return (np.repeat(lanes, pieces) if pieces > 1 else lanes) + (count << 32)

    def items(self, values: np.ndarray) -> np.ndarray:
        """Entries of an array that has one per element of the arena's own type."""
        books = self.arena.books
        narrower = books.item_shift - books.shift
        if not narrower:
            return values[self.at]
        at = np.arange(self.at.start, self.at.stop) if isinstance(self.at, slice) else self.at
        return values[at >> narrower]

    def element(self, entry: int) -> int:
        """The number, as the kernel counts from its argument, of an entry of `at`."""
        first = self.at.start + entry if isinstance(self.at, slice) else int(self.at[entry])
        return self.number(first << self.arena.books.shift)

    def number(self, offset: int) -> int:
        """The same for an offset in bytes from the arena's start."""
        if self.region is None:
            return offset // self.arena.item
        return (self.arena.low + offset - self.region.base) // self.region.itemsize

    def sectors(self) -> int:
        """How many different 32-byte sectors it touches."""
        if isinstance(self.at, slice):
            return (int(self.offsets[-1]) + self.size - 1 >> 5) - (int(self.offsets[0]) >> 5) + 1
        numbers = self.offsets >> 5
        if self.apart:
            return 1 + int(np.count_nonzero(numbers[1:] != numbers[:-1]))
        low = int(numbers.min())
        if int(numbers.max()) - low > 64 * numbers.size:
            return int(np.unique(numbers).size)
        seen = np.zeros(int(numbers.max()) - low + 1, bool)
        seen[numbers - low] = True
        return int(np.count_nonzero(seen))


def last_of_each(numbers: np.ndarray) -> np.ndarray:
    """A mask: the last lane of every group of lanes with the same number. Without sorting when the range is small."""
    low, high = int(numbers.min()), int(numbers.max())
    lanes = np.arange(numbers.size)
    if high - low > 64 * numbers.size:
        _, numbers = np.unique(numbers, return_inverse=True)
        low, high = 0, int(numbers.max())
    slot = np.empty(high - low + 1, np.int64)
    slot[numbers - low] = lanes
    return slot[numbers - low] == lanes


def _note(touch: Touch, lanes: np.ndarray, who: np.ndarray) -> None:
    """Write down which lane touched each element."""
    lanes[touch.at] = who
    if not touch.apart:
        lanes[touch.at[lanes[touch.at] != who]] = SEVERAL


class Memory(Observer):
    """All arenas of a replay. Comes last among the observers: the others see the books as they were before.

    watching    keep the books; otherwise only mark what is stored
    """

    arithmetic = False

    def __init__(self, arenas: Iterable[Arena], watching: bool) -> None:
        self.arenas = [arena for arena in arenas if arena.size]
        self.by_low = {arena.low: arena for arena in self.arenas}
        self.watching = watching
        self.lines: list[int] = [0]
        self.wide: list[bool] = [False]  # by event: did several threads take part?
        self.starts: list[int] = []
        self.programs: list[tuple[int, int, int]] = []
        self.barred = 0  # the first event after the last tl.debug_barrier
        self._last: tuple[np.ndarray | None, Touch | None] = (None, None)

    # who is running
    def launch(self, launch: Launch, grid: tuple[int, int, int]) -> None:
        self.lines, self.wide, self.starts, self.programs, self.barred = [0], [False], [], [], 0
        self.launching = launch
        for arena in self.arenas:
            arena.books = None
        self._last = (None, None)

    def program(self, index: tuple[int, int, int], number: int) -> None:
        self.starts.append(len(self.lines))
        self.programs.append(index)

    def barrier(self) -> None:
        self.barred = len(self.lines)

    @property
    def fresh(self) -> int:
        """The first event that the lanes of the current program have not waited for."""
        return max(self.start, self.barred)

    @property
    def start(self) -> int:
        """The current program's first event."""
        return self.starts[-1]

    def turn(self, event: int) -> int:
        """Which program made an event, counted in the order they ran."""
        return bisect.bisect_right(self.starts, event) - 1

    # what is touched
    def arena_of(self, region: Region | None, addresses: np.ndarray) -> Arena | None:
        """The arena that all addresses lie in."""
        arena = self.by_low.get(region.low) if region is not None else None
        if arena is None:
            low, high = int(addresses.min()), int(addresses.max())
            arena = next((known for known in self.arenas if known.low <= low and high < known.high), None)
        return arena

    def touch(self, region: Region | None, addresses: np.ndarray, size: int) -> Touch | None:
        """The access that is being observed; every observer of it gets the same Touch. None: no lane is active, or
        the lanes lie in several arenas (pointers made from numbers)."""
        if self._last[0] is addresses:
            return self._last[1]
        arena = self.arena_of(region, addresses) if addresses.size else None
        touch = None
        if arena is not None:
            if arena.books is None:
                arena.books = Books(arena)
            touch = Touch(arena, addresses, size, len(self.lines), source_line(), self.launching.lanes)
            touch.region = region
            self.lines.append(touch.line)
            self.wide.append(touch.wide)
        self._last = (addresses, touch)
        return touch

    # keeping books
    def load(self, region: Region | None, addresses: np.ndarray, size: int, filled: bool) -> None:
        touch = self.touch(region, addresses, size) if self.watching else None
        if touch is not None:
            self._note_read(touch)

    def store(self, region: Region | None, addresses: np.ndarray, size: int, values: np.ndarray) -> None:
        touch = self.touch(region, addresses, size) if self.watching else None
        if touch is not None:
            touch.arena.books.wrote[touch.at] = touch.event
            _note(touch, touch.arena.books.writer, touch.who())
        self._mark(touch, region, addresses, size)

    def atomic(self, region: Region | None, addresses: np.ndarray, size: int) -> None:
        touch = self.touch(region, addresses, size) if self.watching else None
        if touch is not None:
            self._note_read(touch)
            books = touch.arena.books
            before = books.wrote[touch.at]
            books.covered[touch.at] = np.where(before < self.start, before, books.covered[touch.at])
            books.wrote[touch.at] = books.updated[touch.at] = touch.event
            _note(touch, books.writer, touch.who())
        self._mark(touch, region, addresses, size)

    def _note_read(self, touch: Touch) -> None:
        books, at = touch.arena.books, touch.at
        if not touch.arena.fixed:
            before = books.read[at]
            others = (before > 0) & (before < self.start) & (before != books.updated[at])
            if others.any():
                books.earlier[at] = np.where(others, before, books.earlier[at])
            who = touch.who()
            another = (before >= self.fresh) & (books.reader[at] != who)
            _note(touch, books.reader, np.where(another, SEVERAL, who) if another.any() else who)
        books.read[at] = touch.event

    def _mark(self, touch: Touch | None, region: Region | None, addresses: np.ndarray, size: int) -> None:
        if touch is not None and touch.arena.books.shift == touch.arena.books.item_shift:
            touch.arena.shadow[touch.at] = STORED
            return
        arena = self.arena_of(region, addresses)
        if arena is not None:
            return arena.mark_stored(addresses, size)
        for arena in self.arenas:
            inside = addresses[(addresses >= arena.low) & (addresses < arena.high)]
            if inside.size:
                arena.mark_stored(inside, size)
