"""Judging processes on this machine: forked from one that has imported the judge, all with the same zygote.

Starting a judge from nothing takes two seconds of processor time for imports, as much as many hand-ins take.

Each has a processor for its sandboxes where no control group shares them out, so that a hand-in takes no other judge's;
an alarm clock of the kernel's, which no code that hangs can hold up; and a bound on its memory. Of these a Dask worker
has the alarm clock, if a nanny starts it again; its memory is the nanny's concern.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from multiprocessing import forkserver, get_context
from multiprocessing.context import BaseContext
from multiprocessing.sharedctypes import Synchronized

from autograder.sandbox import cgroup, zygote
from autograder.sandbox.bubblewrap import NoSandbox
from autograder.sandbox.sandbox import Limits, Sandbox

_PR_SET_PDEATHSIG = 1
JUDGE_BYTES = 2 * Limits.memory + (2 << 30)  # of its own data; what an answer makes it hold is the answer's fault
LATE = ("torch.fx.experimental.symbolic_shapes",)  # imported by torch with the first gradient, sympy and all


def local_executor(jobs: int, prepare: Callable[[], None] | None = None) -> Executor:
    """An executor of `jobs` judging processes, which start at once. prepare: called first in each of them."""
    context = _context()
    cgroup.places()
    words = _control(), prepare, context.Value("i", 0)
    pool = ProcessPoolExecutor(jobs, mp_context=context, initializer=_start, initargs=words)
    pool.submit(_nothing)  # while the caller does something else
    return pool


def start_early() -> None:
    """Start what judging processes and sandboxes are forked from, and go on: both import torch for seconds."""
    cgroup.places()
    if _context().get_start_method() == "forkserver":
        forkserver.ensure_running()
    _control()


def _context() -> BaseContext:
    if sys.platform != "linux":
        return get_context("spawn")
    context = get_context("forkserver")
    context.set_forkserver_preload(["autograder.classroom.grade", *LATE])
    return context


def _nothing() -> None:
    """Nothing."""


def _control() -> socket.socket | None:
    """The socket of this process's zygote, which starts while the judging processes do."""
    try:
        return zygote.shared().control
    except NoSandbox:
        return None  # said by whoever first needs a sandbox


@contextlib.contextmanager
def ended_after(seconds: float) -> Iterator[None]:
    """The kernel kills this process when what runs here takes longer; only one whose place another will take."""
    if not (_of_a_pool or _has_a_nanny()):
        yield
        return
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _has_a_nanny() -> bool:
    """Whether this process is a Dask worker that is started again when it ends."""
    if "distributed" not in sys.modules:
        return False
    from distributed import get_worker

    with contextlib.suppress(ValueError):
        return bool(get_worker().nanny)
    return False


_of_a_pool: list[int] = []  # this process's number among those of the pool


def _start(control: socket.socket | None, prepare: Callable[[], None] | None, count: Synchronized) -> None:
    """No life after the process that started this one, however that ended."""
    with count.get_lock():
        number, count.value = count.value, count.value + 1
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        _bound(number)
    if control is not None:
        zygote.adopt(control)
    if prepare is not None:
        prepare()


def _bound(number: int) -> None:
    """Judging process `number` of a pool: its sandboxes' processor, its alarm clock, its memory."""
    import resource

    cores = sorted(os.sched_getaffinity(0))
    shared_out = cgroup.CPU in cgroup.places() or len(cores) < 2
    Sandbox.core = None if shared_out else cores[number % len(cores)]
    _of_a_pool[:] = [number]
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    most = resource.getrlimit(resource.RLIMIT_DATA)[1]
    with contextlib.suppress(ValueError):  # the machine's own limit is lower
        resource.setrlimit(resource.RLIMIT_DATA, (JUDGE_BYTES, most))
