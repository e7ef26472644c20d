"""The processes of a sandbox, seen from outside: who they are, and what they take of the machine.

A process's name is whatever it wants: files of /proc are read as bytes, never as text. Not here: what to do about it
(autograder.sandbox.sandbox), control groups (autograder.sandbox.cgroup).
"""

from __future__ import annotations

import contextlib
import os
import sys

import psutil

LINUX = sys.platform == "linux"
_COUNTED = (b"RssAnon", b"RssShmem", b"VmSwap", b"VmPTE")  # memory of no file, and page tables
_SHARED = (b"Pss_Anon", b"Pss_Shmem", b"SwapPss")


def family(pid: int) -> list[int]:
    """This process and all it started, directly or not. Orphans inside belong to the first process, so none escape."""
    if not os.path.exists("/proc/self/task"):
        return [pid, *(p.pid for p in psutil.Process(pid).children(recursive=True))]
    found, todo = [], [pid]
    while todo:
        found.append(todo.pop())
        with contextlib.suppress(OSError):
            for task in os.listdir(f"/proc/{found[-1]}/task"):
                todo += map(int, _read(f"/proc/{found[-1]}/task/{task}/children").split())
    return found


def memory_of(pids: list[int]) -> tuple[int, int]:
    """(bytes in use, an upper bound). Forks share the first process's pages: they count once in the former."""
    sizes = [_own_bytes(pid) for pid in pids]
    if not sizes:
        return 0, 0
    return sizes[0] + sum(max(0, size - sizes[0]) for size in sizes[1:]), sum(sizes)


def _own_bytes(pid: int) -> int:
    """Anonymous and shared memory of a process that is not backed by a file, and its page tables."""
    try:
        lines = _read(f"/proc/{pid}/status").splitlines()
    except OSError:
        with contextlib.suppress(psutil.Error):
            return 0 if LINUX else psutil.Process(pid).memory_info().rss
        return 0
    return 1024 * sum(int(x.split()[1]) for x in lines if x.startswith(_COUNTED))


def proportional_memory(pids: list[int]) -> int:
    """Bytes in use, pages shared by n processes counted 1/n each: exact, and slower."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            lines = _read(f"/proc/{pid}/smaps_rollup").splitlines()
            total += 1024 * sum(int(x.split()[1]) for x in lines if x.startswith(_SHARED))
    return total


def processor_seconds(pid: int) -> float:
    """Processor time of a process and of its children that are dead."""
    with contextlib.suppress(OSError):
        return sum(map(int, _stat(pid)[11:15])) / os.sysconf("SC_CLK_TCK")
    return 0.0


def waiting(pids: list[int]) -> dict[int, float] | None:
    """For each thread, the seconds for which it could have run and no processor was free; None where nobody counts."""
    if not os.path.exists("/proc/self/schedstat"):
        return None
    found = {}
    for pid in pids:
        with contextlib.suppress(OSError):
            for task in os.listdir(f"/proc/{pid}/task"):
                found[int(task)] = int(_read(f"/proc/{pid}/task/{task}/schedstat").split()[1]) / 1e9
    return found


def crowd(pids: list[int]) -> float:
    """The share of a processor's time that a process which wants to run doesn't get now, by the number of those.

    For kernels without `waiting`. 0 where none of these processes wants to run.
    """
    with contextlib.suppress(OSError, ValueError):
        runnable = int(_read("/proc/loadavg").split()[3].split(b"/")[0])
        if runnable and any(_runs(pid) for pid in pids):
            return max(0.0, 1 - (os.cpu_count() or 1) / runnable)
    return 0.0


def files_on_disks(pid: int) -> int:
    """How many files lie on the private disks that this process sees."""
    count = 0
    for disk in ("tmp", "dev/shm"):
        with contextlib.suppress(OSError):
            room = os.statvfs(f"/proc/{pid}/root/{disk}")
            count += room.f_files - room.f_ffree
    return count


def sockets(pid: int) -> int:
    """How many sockets there are in this process's network, those in flight among them."""
    with contextlib.suppress(OSError, IndexError, ValueError):
        return int(_read(f"/proc/{pid}/net/sockstat").split()[2])  # sockets: used 7
    return 0


def _runs(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return _stat(pid)[0] == b"R"
    return False


def _read(path: str) -> bytes:
    """A file of /proc. A watcher reads dozens of them many times a second, and pathlib takes longer than the kernel."""
    descriptor, found = os.open(path, os.O_RDONLY), []
    try:
        while more := os.read(descriptor, 1 << 16):
            found.append(more)
    finally:
        os.close(descriptor)
    return b"".join(found)


def _stat(pid: int) -> list[bytes]:
    """The fields of /proc/PID/stat behind the name."""
    return _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()
