"""What is wrong with how a kernel uses memory, found while it is interpreted: `Sanitizer` is an observer.

Found: reads of memory that nobody wrote, masked lanes that reach a result, races between programs, one store with two
values for one address, a lane that reads what another lane of its program stored or overwrites what that one reads
without a barrier between, stores into inputs, int32 overflow.
Each kind once for a kernel, line and tensor. Out of bounds is found by the interpreter itself, which ends the launch.

What it is not: proof. It sees one run on one set of inputs, and it follows elements, not values: a masked lane is
recognised by the NaN it was given (floats, through any arithmetic) or as it is (integers of 32 bits and more), not
after an integer, a comparison or an address was computed from it.

Two programs that touch one element race unless both do so atomically, both write the same bytes, or an atomic orders
them: the first program's access, then an atomic of its on one scalar, then an atomic of the second program on the same
scalar, then the second's access. So a spin lock (`tl.atomic_cas`, `tl.atomic_xchg`) is no race, nor is "the last
program to count itself adds up". One thread does such an atomic and waits for no other: what a tile stored or read
before it is ordered where a barrier lies between. Programs run one after another here, so an atomic that only happened
to lie between them looks the same: such pairs are `suspects`, and `together` asks whether anybody waits there.
Releasing a lock with `tl.store` stays a race. An atomic with sem="relaxed" orders nothing, "acquire" and "release" do
half.
"""

from __future__ import annotations

import numpy as np

from grader_kernels.evidence import Finding
from grader_kernels.interpreter.faults import place, source_line, source_place
from grader_kernels.interpreter.launch import Launch, Observer, Region
from grader_kernels.interpreter.numbers import GARBAGE_BYTE, POISON_BF16, is_poison
from grader_kernels.replaying.memory import UNTOUCHED, Memory, Touch
from grader_kernels.replaying.together import Suspect

MOST_SUSPECTS = 32
ADVICE = {
    "uninitialised": "Fill it first (torch.zeros, or a store of your own), or don't read it.",
    "gap": "Multiply by the tensor's own strides, which the launcher can pass: x.stride(0), x.stride(1).",
    "masked_lane": "Give that load other= the value that changes nothing: 0 for a sum, -inf for a maximum.",
    "race": "Programs run in any order and at once: let one program own each element, or use tl.atomic_add.",
    "unpublished": "One thread does the atomic and waits for no other: put tl.debug_barrier() before the atomic, so "
    "that all of them are done.",
    "duplicate_store": "Only one stays, and nobody knows which: give each lane its own address, or reduce first.",
    "barrier": "The threads of a program don't wait for each other: keep the value in a variable, or put "
    "tl.debug_barrier() between the store and the load.",
    "overtaken": "The threads of a program don't wait for each other: let each lane write only what it alone has read, "
    "or put tl.debug_barrier() between the load and the store.",
    "input_changed": "Write into a tensor that the launcher allocates.",
    "overflow": "A 32-bit number ends at 2147483647: convert one side with .to(tl.int64) first.",
}


class Sanitizer(Observer):
    """Fills `findings`. `memory` must be told of every event after this observer."""

    def __init__(self, memory: Memory) -> None:
        self.memory = memory
        self.findings: list[Finding] = []
        self.causes: list[Finding] = []  # of them those about whole numbers: an address may be made of these
        self.suspects: list[Suspect] = []
        self.atomics = False  # whether any were used
        self.unfilled = False  # whether any lanes were left masked without a value
        self.accesses = 0  # the most that one program made
        self._launches = 0
        self._seen: set[tuple[str, str, int, str]] = set()
        self._kernel, self._index = "", (0, 0, 0)

    # who is running
    def launch(self, launch: Launch, grid: tuple[int, int, int]) -> None:
        self._kernel, self._launch = launch.kernel, launch
        self._launches += 1
        # scalar -> per program, up to which event it is ordered before, and would be if its threads had waited
        self._clocks: dict[int, np.ndarray] = {}
        self._poison_loaded = False  # memory that nobody wrote holds the same mark as lanes that nobody loaded
        self._programs = grid[0] * grid[1] * grid[2]

    def program(self, index: tuple[int, int, int], number: int) -> None:
        self._index = index
        self._ordered: np.ndarray | None = None
        self._wide = self._waited = 0  # the first access of a tile that not all threads waited for; since when they did
        self._unfilled: dict[str, dict[int, str]] = {"f": {}, "i": {}}  # loads that left lanes masked: line -> tensor
        self._load: tuple[Touch | None, int, bool, str] = (None, 0, True, "")

    # events
    def load(self, region: Region | None, addresses: np.ndarray, size: int, filled: bool) -> None:
        touch = self.memory.touch(region, addresses, size)
        name = region.name if region is not None else ""
        self._load = (touch, addresses.size, filled, name)
        if touch is None:
            return
        self._note_wide(touch)
        self._check_initialised(touch, name, "reads")
        if not touch.arena.fixed:
            self._check_read(touch, name)

    def loaded(self, values: np.ndarray) -> None:
        touch, active, filled, name = self._load
        masked = 0 if filled else values.size - active
        if masked:
            self.unfilled = True
            self._unfilled[_kind(values)][source_line()] = name
        if touch is not None and touch.arena.may_hold_poison and not self._poison_loaded and _kind(values) == "f":
            self._poison_loaded = int(np.count_nonzero(_is_poison(values))) > masked

    def store(self, region: Region | None, addresses: np.ndarray, size: int, values: np.ndarray) -> None:
        touch = self.memory.touch(region, addresses, size)
        if touch is None:
            return
        self._note_wide(touch)
        name = region.name if region is not None else ""
        self._check_input(touch, name)
        self._check_masked(touch, name, values)
        if not touch.apart:
            self._check_duplicates(touch, name, values)
        self._check_write(touch, name, values)

    def atomic(self, region: Region | None, addresses: np.ndarray, size: int) -> None:
        self.atomics = True
        touch = self.memory.touch(region, addresses, size)
        if touch is None:
            return
        self._note_wide(touch)
        name = region.name if region is not None else ""
        self._check_input(touch, name)
        self._check_initialised(touch, name, "updates")
        if addresses.size == 1:
            self._synchronise(int(addresses[0]), touch.event)
        books, at = touch.arena.books, touch.at
        plain = books.wrote[at] != books.updated[at]
        self._race(touch, name, np.where(plain, books.wrote[at], 0), "updates", "writes, not atomically,")
        others = self._reads_of_others(touch)
        self._race(touch, name, np.where(others != books.updated[at], others, 0), "updates", "reads, not atomically,")

    def overflow(self, operation: str) -> None:
        if not self._unfilled["i"]:  # what masked lanes hold is allowed to overflow
            says = f"the {operation} of two int32 numbers does not fit into 32 bits and wraps around"
            self._find("overflow", says, "", 0, whole=True)

    # rules
    def _check_initialised(self, touch: Touch, name: str, verb: str) -> None:
        arena = touch.arena
        if arena.gaps is not None:
            bad = touch.items(arena.gaps)
        elif arena.starts_empty:
            bad = touch.items(arena.shadow) == UNTOUCHED
        else:
            return
        if not bad.any():
            return
        first, lanes = touch.element(int(np.argmax(bad))), int(np.count_nonzero(bad))
        if arena.gaps is not None:
            says = f"{verb} offset {first} of {name}, a gap between the elements of the input {arena.name}"
        else:
            says = f"{verb} element {first} of {name} ({arena.name}), which nobody wrote before"
        advice = "" if arena.gaps is None else "gap"
        self._find("uninitialised", says, name, lanes, advice, not arena.dtype.is_floating_point)

    def _check_read(self, touch: Touch, name: str) -> None:
        books, at = touch.arena.books, touch.at
        wrote = books.wrote[at]
        if not wrote.any():
            return
        self._race(touch, name, np.where(wrote < self.memory.start, wrote, books.covered[at]), "reads", "writes")
        own = wrote >= self.memory.fresh
        own = own & (books.writer[at] != touch.who()) if own.any() else own
        if own.any():
            first = int(np.argmax(own))
            line = self.memory.lines[int(wrote[first])]
            says = f"reads back element {touch.element(first)} of {name}, which this program stored in line {line}"
            says += " from another lane"
            self._find("barrier", says, name, int(own.sum()))

    def _check_write(self, touch: Touch, name: str, values: np.ndarray) -> None:
        books, at = touch.arena.books, touch.at
        wrote = books.wrote[at]
        others = (wrote > 0) & (wrote < self.memory.start)
        if others.any():
            atomic = others & (wrote == books.updated[at])
            other_values = others & ~atomic & self._differs(touch, values)
            self._race(touch, name, np.where(other_values, wrote, 0), "writes", "writes, with another value,")
            self._race(touch, name, np.where(atomic, wrote, 0), "writes", "updates atomically")
        self._race(touch, name, self._reads_of_others(touch), "writes", "reads")
        self._check_overtaken(touch, name)

    def _check_overtaken(self, touch: Touch, name: str) -> None:
        if touch.arena.fixed:  # who reads it is not written down; nobody may write it
            return
        books, at = touch.arena.books, touch.at
        own = books.read[at] >= self.memory.fresh
        own = own & (books.reader[at] != touch.who()) if own.any() else own
        if own.any():
            first = int(np.argmax(own))
            line = self.memory.lines[int(books.read[at][first])]
            says = f"writes element {touch.element(first)} of {name}, which another lane of this program reads"
            self._find("barrier", f"{says} in line {line}", name, int(own.sum()), "overtaken")

    def _differs(self, touch: Touch, values: np.ndarray) -> np.ndarray:
        """Per entry of `at`: would the store change what is there?"""
        now = touch.arena.numbers(touch.size)[touch.offsets // touch.size]
        differs = now != np.ascontiguousarray(values).view(f"u{touch.size}").reshape(-1)
        pieces = touch.size >> touch.arena.books.shift
        return np.repeat(differs, pieces) if pieces > 1 else differs

    def _reads_of_others(self, touch: Touch) -> np.ndarray:
        books, at = touch.arena.books, touch.at
        read = books.read[at]
        return np.where(read < self.memory.start, read, books.earlier[at])

    def _race(self, touch: Touch, name: str, events: np.ndarray, verb: str, other_verb: str) -> None:
        """events: what came before, one per entry, 0 for nothing."""
        events = np.where(events < self.memory.start, events, 0)
        if not events.any():
            return
        bad, nearly = events > 0, np.zeros(events.shape, bool)
        if self._ordered is not None:
            ordered, nearly = self._order_of(events)
            self._suspect(touch, name, np.where(ordered, events, 0), verb, other_verb)
            bad &= ~ordered
        if bad.any():
            says, _ = self._says_race(touch, name, np.where(bad, events, 0), verb, other_verb)
            early = nearly[np.argmax(bad)]
            says += ": not all of its threads were done with that when one of them did the atomic" if early else ""
            self._find("race", says, name, int(bad.sum()), "unpublished" if early else "")

    def _order_of(self, events: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Which of these events atomics order before now, and which would be if all threads had waited."""
        turns = np.searchsorted(self.memory.starts, events, side="right") - 1
        ordered, nearly = (events <= clock[np.maximum(turns, 0)] for clock in self._ordered)
        alone = [i for i in np.flatnonzero(nearly & ~ordered) if not self.memory.wide[events[i]]]
        ordered[alone] = True  # one number is one thread's, the same that does the atomic
        return ordered, nearly

    def _says_race(self, touch: Touch, name: str, events: np.ndarray, verb: str, other_verb: str) -> tuple[str, int]:
        """The sentence about the first of these events, and its number."""
        first = int(np.argmax(events > 0))
        event = int(events[first])
        other = _words(self.memory.programs[self.memory.turn(event)])
        says = f"{verb} element {touch.element(first)} of {name}, which program {other} {other_verb}"
        return f"{says} in the same launch (line {self.memory.lines[event]})", event

    def _suspect(self, touch: Touch, name: str, events: np.ndarray, verb: str, other_verb: str) -> None:
        """An atomic lies between these events and now: does anybody wait for it?"""
        if not events.any() or len(self.suspects) >= MOST_SUSPECTS:
            return
        says, event = self._says_race(touch, name, events, verb, other_verb)
        lines = self.memory.lines[event], touch.line
        if any(known.launch == self._launches - 1 and known.lines == lines for known in self.suspects):
            return
        says += ": no program waits for the atomic between them"
        found = self._made("race", says, name, int(np.count_nonzero(events)))
        turns = self.memory.turn(event), len(self.memory.starts) - 1
        self.suspects.append(Suspect(self._launches - 1, lines, *turns, found))

    def done(self) -> None:
        ends = [*self.memory.starts[1:], len(self.memory.lines)]
        made = (end - start for start, end in zip(self.memory.starts, ends, strict=False))
        self.accesses = max(self.accesses, *made, 0)

    def _synchronise(self, address: int, event: int) -> None:
        if self._ordered is None:
            self._ordered = np.zeros((2, self._programs), np.int32)
        clock = self._clocks.get(address)
        if clock is not None and self._launch.takes:
            np.maximum(self._ordered, clock, out=self._ordered)
        done = event if self._wide < self._since() else self._wide - 1
        self._ordered[:, len(self.memory.starts) - 1] = done, event
        self._waited = event + 1  # all threads wait for what an atomic returns
        if self._launch.gives:
            self._clocks[address] = self._ordered.copy()

    def _since(self) -> int:
        return max(self.memory.fresh, self._waited)

    def _note_wide(self, touch: Touch) -> None:
        if touch.wide and self._wide < self._since():
            self._wide = touch.event

    def _check_input(self, touch: Touch, name: str) -> None:
        if touch.arena.fixed:
            says = f"writes into {name}, which is the input {touch.arena.name}: it must stay as it is"
            self._find("input_changed", says, name, touch.lanes)

    def _check_duplicates(self, touch: Touch, name: str, values: np.ndarray) -> None:
        numbers = np.ascontiguousarray(values).view(f"u{touch.size}").reshape(-1)
        order = np.argsort(touch.offsets, kind="stable")
        offsets, numbers = touch.offsets[order], numbers[order]
        bad = (offsets[1:] == offsets[:-1]) & (numbers[1:] != numbers[:-1])
        if bad.any():
            offset = int(offsets[int(np.argmax(bad))])
            lanes = int(np.count_nonzero(touch.offsets == offset))
            says = f"stores {lanes} values that differ at element {touch.number(offset)} of {name}"
            self._find("duplicate_store", says, name, int(bad.sum()) + 1)

    def _check_masked(self, touch: Touch, name: str, values: np.ndarray) -> None:
        floats, wholes = self._unfilled["f"], self._unfilled["i"]
        if floats:
            bad = _is_poison(values) if _kind(values) == "f" and not self._poison_loaded else None
            if bad is not None and bad.any():
                self._say_masked(floats, name, int(bad.sum()))
        if wholes and values.dtype.kind in "iu" and values.dtype.itemsize >= 4:
            garbage = int.from_bytes(bytes([GARBAGE_BYTE]) * values.dtype.itemsize, "little")
            bad = values == garbage
            if bad.any():
                self._say_masked(wholes, name, int(bad.sum()))

    def _say_masked(self, loads: dict[int, str], name: str, lanes: int) -> None:
        line, tensor = next(iter(loads.items()))
        says = f"stores into {name} what comes from masked lanes: the load of {tensor} in line {line} has no other="
        self._find("masked_lane", says, name, lanes)

    def _find(self, kind: str, says: str, tensor: str, lanes: int, advice: str = "", whole: bool = False) -> None:
        line, _ = source_place()
        key = (kind, self._kernel, line, tensor)
        if key in self._seen:
            return
        self._seen.add(key)
        self.findings.append(self._made(kind, says, tensor, lanes, advice))
        self.causes += self.findings[-1:] if whole else []

    def _made(self, kind: str, says: str, tensor: str, lanes: int, advice: str = "") -> Finding:
        line, text = source_place()
        many = f" ({lanes} lanes)" if lanes > 1 else ""
        sentence = f"{place(self._launch, self._index)}: {says}{many}."
        where = dict(kernel=self._kernel, line=line, text=text, tensor=tensor, program=list(self._index), lanes=lanes)
        return Finding(kind, sentence, ADVICE[advice or kind], **where)


def _kind(values: np.ndarray) -> str:
    """ "f" for floats, bfloat16 as uint16 patterns among them, "i" for everything else."""
    return "f" if values.dtype.kind == "f" or values.dtype == np.uint16 else "i"


def _is_poison(values: np.ndarray) -> np.ndarray:
    return (values & 0x7FFF) == POISON_BF16 if values.dtype == np.uint16 else is_poison(values)


def _words(index: tuple[int, int, int]) -> str:
    return str(index[0] if index[1:] == (0, 0) else index)
