"""Limits of time that a busy machine does not shorten.

A `Meter` counts what the processes of a sandbox got of the processor, and for how long they waited for one. A
`Deadline` allows something so many seconds. When the clock says that they are over, time is up if
- the sandbox used the processor for as long since then, or
- the clock without the waiting says so too: a sleeping or deadlocked answer ends at its limit, or
- the clock says FAR times as much.
Otherwise the answer of an honest student is starved by its neighbours, and goes on.

Not here: who is killed then (autograder.sandbox.sandbox).
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

from autograder.sandbox import processes

FAR = 4  # times a limit: however busy the machine is
STARVED = 0.5  # of a limit: who waited longer for a processor did not have it
FRAME_SECONDS = 10.0  # for a frame whose first byte is there
STALE = 0.1  # seconds after which a meter looks again before it decides


class Meter:
    """Seconds of processor time that a sandbox's processes used so far, and for which one of them waited for it.

    pids: gives the processes that are there now. Somebody has to `look` several times a second.
    """

    def __init__(self, pids: Callable[[], list[int]]) -> None:
        self.used = self.waited = 0.0
        self._pids, self._lock = pids, threading.Lock()
        self.start_over()

    def start_over(self) -> None:
        """From now on there are other processes; what the old ones used still counts."""
        self._used_before, self._waiting_before, self._looked = 0.0, {}, time.monotonic()

    def look(self, pids: list[int] | None = None) -> None:
        """Count on. pids: the processes, where they are known already."""
        with self._lock:
            pids, now = self._pids() if pids is None else pids, time.monotonic()
            since, self._looked = now - self._looked, now
            used = sum(map(processes.processor_seconds, pids))
            self.used += max(0.0, used - self._used_before)
            self._used_before = used
            self.waited += min(since, self._longest_wait(pids, since))

    def fresh(self) -> Meter:
        """Itself, looked at just now."""
        if time.monotonic() - self._looked > STALE:
            self.look()
        return self

    def _longest_wait(self, pids: list[int], since: float) -> float:
        found = processes.waiting(pids)
        if found is None:
            return since * processes.crowd(pids)
        before, self._waiting_before = self._waiting_before, found
        return max((seconds - before.get(thread, 0.0) for thread, seconds in found.items()), default=0.0)


class Deadline:
    """`seconds` from now on for something that a sandbox does. within: a deadline that this one can't outlast."""

    def __init__(self, meter: Meter, seconds: float, within: Deadline | None = None) -> None:
        self.meter, self.seconds, self.within = meter, seconds, within
        self._began, self._used, self._waited = time.monotonic(), meter.used, meter.waited

    def left(self) -> float:
        """Seconds after which to ask again; 0 or less when time is up."""
        return min(self._left(), self.within.left() if self.within else math.inf)

    def starved(self) -> bool:
        """Whether time is up by the clock alone: the processor was others' for a good part of it."""
        if self.within and self.within.starved():
            return True
        waited, used = self.meter.waited - self._waited, self.meter.used - self._used
        return self._left() <= 0 and used < self.seconds and waited >= STARVED * self.seconds

    def of_a_frame(self) -> float:
        """Until when, on time.monotonic(), a frame that has begun must be through."""
        return time.monotonic() + max(self.left(), FRAME_SECONDS)

    def _left(self) -> float:
        clock = time.monotonic() - self._began
        if clock < self.seconds:
            return self.seconds - clock
        meter = self.meter.fresh()
        had = max(meter.used - self._used, clock - (meter.waited - self._waited))
        return min(self.seconds - had, FAR * self.seconds - clock)
