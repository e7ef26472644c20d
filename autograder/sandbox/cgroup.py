"""Control groups: where the kernel itself counts what a sandbox takes, all that it holds for its processes included.

Every sandbox gets a group of its own for each of MEMORY, CPU and PIDS that can be had: below the group of this process,
whose limits stay in force. Version 1: where its folder can be written to, as root. Version 2: where the subtree was
delegated, and nobody else is in it; `places` then moves this process and its children into a leaf, since a group with
groups below it may hold no process. Where nothing can be had there is no group, and nothing fails.

Groups carry the process that made them in their name; those of processes that are gone are removed by the next.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import time
from pathlib import Path
from typing import NamedTuple

from autograder.sandbox.processes import family

MEMORY, CPU, PIDS = "memory", "cpu", "pids"
MiB = 1 << 20
LEAF, PREFIX = "course-judges", "course-box-"
TCP_BYTES = 64 * MiB  # version 1 counts these buffers apart
PROC = Path("/proc/self")
_numbers = itertools.count(1)


class Place(NamedTuple):
    """Where groups are made, and of which version."""

    folder: Path
    version: int


class Group:
    """One sandbox's groups. Add its first process before that starts another one; close it when all are gone."""

    def __init__(self, where: dict[str, Place], memory: int, processes: int) -> None:
        """where: what `places` found, or some of it. memory: bytes; processes: with their threads."""
        self.folders: dict[str, Path] = {}
        self._killed = 0
        name = f"{PREFIX}{os.getpid()}-{_started(os.getpid())}-{next(_numbers)}"
        for kind, place in where.items():
            folder = place.folder / name
            with contextlib.suppress(OSError):
                folder.mkdir(exist_ok=True)
                for file, value in _limits(kind, place.version, memory, processes):
                    _write(folder / file, value)
                self.folders[kind] = folder

    def add(self, pid: int) -> None:
        """Put a process in; what it starts from now on is in, too."""
        for kind, folder in list(self.folders.items()):
            if not _write(folder / "cgroup.procs", pid):
                self.folders.pop(kind)
                _remove(folder)

    def out_of_memory(self) -> bool:
        """Whether the kernel ended a process since this was last asked, because the group's memory was full."""
        before, self._killed = self._killed, _kills(self.folders.get(MEMORY))
        return self._killed > before

    def close(self) -> None:
        """Remove the groups; the last process may need a moment to leave."""
        for folder in set(self.folders.values()):
            give_up = time.monotonic() + 1
            while not _remove(folder) and time.monotonic() < give_up:
                time.sleep(0.002)
        self.folders = {}


@functools.cache
def places() -> dict[str, Place]:
    """Where groups of MEMORY, CPU and PIDS can be made, of those that can be had here.

    Ask before you start processes that will ask, too.
    """
    found = _version_2(_mounts("cgroup2"), _own()) or {}
    for mount, root, options in _mounts("cgroup"):
        for kind in {MEMORY, CPU, PIDS} & set(options.split(",")) - set(found):
            place = _below(mount, root, _own().get(kind, ""))
            if place is not None and _usable(place):
                found[kind] = Place(place, 1)
    for place in set(found.values()):
        _clean(place.folder)
    return found


def _version_2(mounts: list[tuple[Path, str, str]], own: dict[str, str]) -> dict[str, Place] | None:
    place = _below(*mounts[0][:2], own.get("", "")) if mounts else None
    if place is None:
        return None
    if place.name == LEAF:
        place = place.parent
    elif not _cleared(place):
        return None
    given = _words(place / "cgroup.subtree_control")
    return {kind: Place(place, 2) for kind in (MEMORY, CPU, PIDS) if kind in given and _usable(place)}


def _cleared(place: Path) -> bool:
    """Hand this group's controllers down to groups below it; whether they may have them. Touches nobody else's."""
    wanted = {MEMORY, CPU, PIDS} & set(_words(place / "cgroup.controllers"))
    mine, inside = set(map(str, family(os.getpid()))), _words(place / "cgroup.procs")
    if MEMORY not in wanted or not inside or not set(inside) <= mine or not os.access(place, os.W_OK):
        return False
    try:
        (place / LEAF).mkdir(exist_ok=True)
    except OSError:
        return False
    for pid in inside:
        _write(place / LEAF / "cgroup.procs", pid)
    for kind in wanted - set(_words(place / "cgroup.subtree_control")):
        _write(place / "cgroup.subtree_control", f"+{kind}")
    return MEMORY in _words(place / "cgroup.subtree_control")


def _limits(kind: str, version: int, memory: int, processes: int) -> list[tuple[str, int]]:
    if kind == PIDS:
        return [("pids.max", processes)]
    if kind == CPU:
        return []  # the group counts as much as one process, however many are in it and whatever sessions they make
    if version == 2:
        return [("memory.max", memory), ("memory.swap.max", 0)]
    names = ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes")
    return [*((name, memory) for name in names), ("memory.kmem.tcp.limit_in_bytes", TCP_BYTES)]


def _own() -> dict[str, str]:
    """{controller, "" for version 2: this process's group}"""
    lines = [line.split(":", 2) for line in _lines(PROC / "cgroup")]
    return {kind: path for _, kinds, path in lines for kind in kinds.split(",")}


def _mounts(system: str) -> list[tuple[Path, str, str]]:
    """(where, which group is seen there, options) of mounted control groups."""
    found = []
    for line in _lines(PROC / "mountinfo"):
        fields, _, more = line.partition(" - ")
        if more.split(" ")[0] == system:
            found.append((Path(fields.split(" ")[4]), fields.split(" ")[3], more.split(" ")[2]))
    return found


def _below(mount: Path, root: str, own: str) -> Path | None:
    """Our own group's folder, where this mount shows it."""
    if own.startswith("/.."):
        return None
    inside = os.path.relpath(own, root) if own.startswith(root) else ""
    return mount / inside if own else None


def _usable(place: Path) -> bool:
    probe = place / f"{PREFIX}{os.getpid()}-{_started(os.getpid())}-probe"
    try:
        probe.mkdir(exist_ok=True)
        return (probe / "cgroup.procs").exists()
    except OSError:
        return False
    finally:
        _remove(probe)


def _clean(place: Path) -> None:
    """Remove what processes that are gone have left."""
    for folder in place.glob(f"{PREFIX}*"):
        pid, started, *_ = folder.name.removeprefix(PREFIX).split("-")
        if _started(int(pid)) != started:
            _remove(folder)


def _started(pid: int) -> str:
    """When a process was started, in ticks; "" for one that is gone. Tells it from a later one of the same number."""
    with contextlib.suppress(OSError, IndexError):
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[19].decode()
    return ""


def _kills(folder: Path | None) -> int:
    for name in ("memory.oom_control", "memory.events") if folder else ():
        for line in _lines(folder / name):
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0


def _words(path: Path) -> list[str]:
    return " ".join(_lines(path)).split()


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(errors="replace").splitlines()
    except OSError:
        return []


def _write(path: Path, value: object) -> bool:
    try:
        path.write_text(str(value))
        return True
    except OSError:
        return False


def _remove(folder: Path) -> bool:
    """Whether the group is gone."""
    try:
        folder.rmdir()
    except OSError:
        return not folder.exists()
    return True
