"""Judging processes on this machine: forked from one that has imported the judge, all with the same zygote.

Starting a judge from nothing takes two seconds of processor time for imports, as much as many hand-ins take.
"""

from __future__ import annotations

import ctypes
import signal
import socket
import sys
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor
from multiprocessing import forkserver, get_context
from multiprocessing.context import BaseContext

from autograder.sandbox import zygote
from autograder.sandbox.bubblewrap import NoSandbox

_PR_SET_PDEATHSIG = 1
LATE = ("torch.fx.experimental.symbolic_shapes",)  # imported by torch with the first gradient, sympy and all


def local_executor(jobs: int, prepare: Callable[[], None] | None = None) -> Executor:
    """An executor of `jobs` judging processes, which start at once. prepare: called first in each of them."""
    context = _context()
    pool = ProcessPoolExecutor(jobs, mp_context=context, initializer=_start, initargs=(_control(), prepare))
    pool.submit(_nothing)  # while the caller does something else
    return pool


def start_early() -> None:
    """Start what judging processes and sandboxes are forked from, and go on: both import torch for seconds."""
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


def _start(control: socket.socket | None, prepare: Callable[[], None] | None) -> None:
    """No life after the process that started this one, however that ended."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if control is not None:
        zygote.adopt(control)
    if prepare is not None:
        prepare()
