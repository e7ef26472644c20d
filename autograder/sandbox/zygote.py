"""The judge's side of the zygote: a warm process behind walls that forks the first process of every sandbox.

Starting Python with torch takes two seconds of processor time; a fork with namespaces of its own takes hundredths. One
zygote serves any number of judges at once, also in other processes: a request is one datagram. It never runs student
code and knows nothing that a student may not know. Where namespaces can't be nested (some containers, some AppArmor
profiles) its wardens say so, and every sandbox starts cold.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import socket
import subprocess
import tempfile
from functools import cache

from autograder.sandbox import bubblewrap, syscalls
from autograder.sandbox.bubblewrap import NoSandbox


class Gone(Exception):
    """The zygote died, or never came to life. One sentence."""


class WontNest(Exception):
    """The zygote can't make namespaces inside its own. One sentence."""


class Zygote:
    """A running zygote. control: the socket of one that another process started; without it, it is started here."""

    def __init__(self, control: socket.socket | None = None) -> None:
        self.owner, self.process = os.getpid(), None
        if control is not None:
            self.control = control
            return
        self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.said = tempfile.TemporaryFile()
        with theirs:
            command = bubblewrap.walled(theirs.fileno(), 1 << 20, zygote=True)
            self.process = bubblewrap.launch(command, theirs.fileno(), self.said)
        atexit.register(self.close)

    def first_process(self, sock: socket.socket, disk_bytes: int, disk_files: int) -> None:
        """Fork a warden that answers on `sock`. Its first byte is "Z", or "!" and the reason why it can't be.

        Raises Gone.
        """
        numbers = disk_bytes.to_bytes(8, "little") + disk_files.to_bytes(8, "little")
        try:
            socket.send_fds(self.control, [numbers + (syscalls.program() or b"")], [sock.fileno()])
        except OSError:
            raise self.gone() from None

    def gone(self) -> Gone:
        """What to raise when it doesn't answer: with what it wrote to its standard error, if it was ours."""
        if self.process is None or self.process.poll() is None:
            return Gone("the warm process was killed")
        return Gone(bubblewrap.explain(self.said))

    def close(self) -> None:
        """End it, and every sandbox it started. Safe to call twice; forks of this process only forget it."""
        self.control.close()
        if self.process is not None and self.owner == os.getpid():
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(2)  # it ends when the last socket is closed
            self.process.kill()
            self.process.wait()
            self.said.close()
            self.process = None


_adopted: list[Zygote] = []


def adopt(control: socket.socket) -> None:
    """Use a zygote that another process started; it takes the place of our own."""
    shared.cache_clear()
    _adopted[:] = [Zygote(control)]


@cache
def shared() -> Zygote:
    """The zygote of this process, started when it is first needed. Raises NoSandbox."""
    return _adopted.pop() if _adopted else Zygote()


def forget() -> None:
    """After it died: the next `shared` is a new one."""
    if shared.cache_info().currsize:
        with contextlib.suppress(NoSandbox):
            shared().close()
    shared.cache_clear()
