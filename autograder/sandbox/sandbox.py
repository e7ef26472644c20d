"""A sandbox for one submission: start it, ask it for runners, keep limits, kill.

What it stops (each with attacks that win where its walls are taken away: tests/autograder/test_promises.py)
- reading the clone, homes, other submissions, the judge's memory or environment: none of it is mounted; own /proc
- writing anywhere but /tmp and /dev/shm, which are private memory disks of limited size
- the network, unix sockets of the host, abstract sockets: own network namespace with nothing but loopback
- signals to the judge, to other workers, and to the warden, the first process of its namespace
- new user namespaces, mounts, ptrace, keyrings, bpf, io_uring, userfaultfd, perf events: no rights, a syscall filter
- seeing other hand-ins judged at the same time, their files, sockets, ports, terminals: all of these are its own
- endless loops, also in native code that ignores signals; fork and thread bombs; exits, crashes, deep recursion
- memory beyond the limit, summed over all processes; core files; endless output; reading from a keyboard
- whatever a process says on its channel: see autograder.judging.remote

What it does not stop
- a hole in the kernel: the walls are namespaces, a syscall filter and Landlock, not a virtual machine
- timing as a side channel
- use of processors that are free, within the time limits. Of busy ones a sandbox has one share in a control group;
  without one it is behind the judge (nice) and, in `course grade`, on one processor. Limits of time are in `deadline`
- what the kernel counts for a user, shared by hand-ins judged at the same time: pages in pipes, files in flight between
  sockets. Who takes all of them leaves small pipes, and nothing to pass on, to the others until it ends
- reading /usr and the installed Python packages; but a poisoned runner can read no library that computes, start no
  program, and load no machine code out of a file. In there, native code that is called by its address, found through
  objects of ctypes
- seeing which kernel and processor this is, and at which path Python is installed
- one exercise's calls from spoiling the same student's runner, whose rights it has: it costs that student only
- `kind="none"`: nothing of the above but time limits and the memory watcher; for one's own code only

What the kernel holds for a hand-in, besides the memory of its processes. A control group counts all of it but messages
in TCP; where there is none (`course doctor` says so) these bounds add up, each for a hand-in if nothing else is said
- page tables: counted by the watcher like memory
- files on the two disks: their size, and 20,000 inodes
- sockets: 512, by the watcher, those in flight too; asking for larger buffers does nothing. Unix and UDP hold 208 KiB
  each, TCP 256 KiB each way; a cold sandbox can't lower those of TCP, which has as much as the host allows
- pipes: 64 MiB for all hand-ins together and 8 KiB for each further one; F_SETPIPE_SZ is refused
- files in flight: 256 for all hand-ins together
- watches of files: 64 instances, 8,192 watches; epoll: 200 B for each pair of files that are open, 256 a process
- mappings: 65,530 of 200 B a process; locks of files: 200 B each, and slower the more there are of one file
- threads: 16 KiB each, as many as processes; timers and queued signals: 256; core files: none
- message queues, semaphores, System V memory, memfd, keys, BPF, user faults, io_uring: refused

Not here: the command line of the walls (autograder.sandbox.bubblewrap), the warm process that forks the sandboxes
(autograder.sandbox.zygote), values (grader_kernels.wire), verdicts.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import psutil

from autograder import ROOT
from autograder.sandbox import bubblewrap, cgroup, processes, syscalls, zygote
from autograder.sandbox.bubblewrap import NoSandbox
from autograder.sandbox.deadline import Deadline, Meter
from autograder.sandbox.processes import family, memory_of, proportional_memory
from course.worker.session import OUTPUT_LIMIT, CellResult
from grader_kernels import wire
from grader_kernels.judging.hands import failure

__all__ = [  # CellResult and NoSandbox among them, for those who use a sandbox
    "CellResult", "Exercise", "Limits", "Lost", "NoSandbox", "Replayer", "Runner", "Sandbox", "SandboxGone", "why_not",
]  # fmt: skip

LINUX = sys.platform == "linux"
MiB = 1 << 20
START_SECONDS, CONTROL_SECONDS, WATCH_SECONDS = 120.0, 20.0, 0.05
MAX_FILES_ON_DISK = 20_000  # inodes on a private disk
MAX_SOCKETS = 512  # each holds up to half a MiB
ROOM = 512 * MiB  # that a control group has above the watcher's limit, so that the watcher speaks first
_SO_PASSCRED, _SCM_CREDENTIALS = 16, 2


@dataclass(frozen=True)
class Limits:
    """Seconds of wall clock per cell, per call, per exercise, per submission; bytes; how many processes."""

    cell: float = 60.0
    call: float = 20.0
    exercise: float = 60.0
    submission: float = 600.0
    memory: int = 3 << 30
    processes: int = 64
    tmp: int = 256 << 20

    def of_a_process(self, contained: bool) -> dict[str, int]:
        """RLIMIT_* that a runner sets for itself. Counts of a whole user make sense behind walls only."""
        shared = {"NPROC": self.processes, "DATA": self.memory, "AS": self.memory + (8 << 30)} if contained else {}
        return {
            **shared,
            "CORE": 0,
            "CPU": int(self.submission) + 5,
            "FSIZE": self.tmp,
            "NOFILE": 256,
            "NICE": 0,
            "RTPRIO": 0,
            "MEMLOCK": 64 << 10,
            "MSGQUEUE": 0,
            "SIGPENDING": 256,
        }


class Lost(Exception):
    """A process of the sandbox is gone or must not be listened to. kind and exception as in course.checking.subject."""

    def __init__(self, kind: str, message: str, exception: str = "") -> None:
        super().__init__(message)
        self.kind, self.message, self.exception = kind, message, exception


class SandboxGone(RuntimeError):
    """The sandbox itself died, not what ran in it: nothing can be said about the hand-in."""


class Sandbox:
    """One submission's worker processes. A context manager; leaving it kills everything inside.

    side_files: name in the working directory -> bytes or a path to copy from. kind: "bwrap", or "none" for one's own
    code, or "cold", which starts a Python of its own behind the same walls instead of forking a warm one; "bwrap" does
    so too where namespaces can't be nested, and `Sandbox.cold_because` says why. Raises NoSandbox when the walls can't
    be had. `peak_bytes` is the most memory seen in use; `starved`, whether something in it ran out of time that others
    had. `Sandbox.core` is the processor on which all sandboxes of this process run; None for any.
    """

    cold_because: ClassVar[str] = ""
    core: ClassVar[int | None] = None

    def __init__(
        self,
        side_files: dict[str, bytes | Path] | None = None,
        limits: Limits = Limits(),
        kind: str = "bwrap",
    ) -> None:
        if kind not in ("bwrap", "cold", "none"):
            raise ValueError(f"expected kind 'bwrap', 'cold' or 'none', got {kind!r}")
        self.side_files, self.limits, self.kind = side_files or {}, limits, kind
        self.peak_bytes = 0
        self.starved = False
        self.gone = ""  # what happened to the warden, which no student can end
        self.reason: tuple[str, str] | None = None  # why the watcher killed something: (kind, sentence)
        self.meter = Meter(lambda: family(self.first.pid))
        self.runners: list[Runner] = []
        self._lock = threading.RLock()
        self._cleanup = contextlib.ExitStack()
        self._world = contextlib.ExitStack()  # the processes of now, and what belongs to them

    def __enter__(self) -> Sandbox:
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def runner(self, poison: Iterable[str] = ()) -> Runner:
        """Fork a fresh process that can run cells. poison: operators that raise in it (course.worker.poison)."""
        poison = list(poison)
        bare = syscalls.no_new_code().hex() if poison else ""
        pid, handle, sock = self._fork({"op": "runner", "poison": poison, "filter": bare})
        runner = Runner(self, pid, handle, sock)
        self.runners.append(runner)
        runner.start()
        return runner

    def run_notebook(self, cells: list[tuple[str, str]], poison: Iterable[str] = ()) -> tuple[Runner, list[CellResult]]:
        """A runner in which all cells ran that don't take their process along, and one result per cell, in order.

        After a cell that crashes, hangs or eats the memory, a fresh runner runs the others again without it.
        """
        poison, spoilers = list(poison), {}
        while True:
            runner, results = self.runner(poison), []
            for result in runner.run_cells([c for c in cells if c[0] not in spoilers]):
                results.append(result)
            if runner.alive:
                done = {r.cell_id: r for r in results} | spoilers
                return runner, [done[cell_id] for cell_id, _ in cells]
            spoilers[results[-1].cell_id] = results[-1]
            if self.gone:
                raise Lost("killed", self.gone)
            if self.out_of_time(self.deadline):
                raise Lost("timed_out", f"the whole notebook ran longer than {self.limits.submission:g} s")
            self.start_over()

    def replayer(self) -> Replayer:
        """Something that replays launch traces. Meant for a sandbox of its own, without student code."""
        return Replayer(self)

    def sweep(self, keep: Iterable[Runner] = ()) -> int:
        """Kill every process inside but the warden and `keep`; how many could not be killed."""
        header, _ = self._control({"op": "sweep", "keep": [r.pid for r in keep if r.alive]})
        return header["left"]

    def processor_seconds(self) -> float:
        """Processor time of all that ran inside so far, also of what is dead."""
        self.meter.look()
        return self.meter.used

    def out_of_time(self, deadline: Deadline) -> bool:
        """Whether time is up; then `starved` says whose time it was."""
        if deadline.left() > 0:
            return False
        self.starved = self.starved or deadline.starved()
        return True

    def close(self) -> None:
        """Kill everything. Safe to call twice."""
        self._cleanup.close()

    # --- starting ---

    def _start(self) -> None:
        self._cleanup.callback(self._world.close)
        self._begin()
        self.deadline = Deadline(self.meter, self.limits.submission)
        self._watch()

    def _begin(self) -> None:
        """New processes, in namespaces and on disks of their own."""
        self.workdir = bubblewrap.WORK
        if self.kind == "none" or not self._start_warm():
            self._start_cold()
        self._world.callback(_kill_process, self.first)
        self.meter.start_over()
        self._give_a_share()
        self._setup()
        if self.kind == "none":
            self._world.callback(self._sweep_at_end)

    def start_over(self) -> None:
        """After a crash: a new world, with the time that is left and all costs so far.

        Nothing of ours touches the old one: its disks are as student code left them, and everybody in it has the same
        rights. Its runners are gone.
        """
        with self._lock:
            self.meter.look()
            self._world.close()
            self._begin()
            self.reason = None

    def _give_a_share(self) -> None:
        """One processor and a control group, where they can be had, before any student code."""
        if self.core is not None and self.kind != "none":
            with contextlib.suppress(OSError):
                os.sched_setaffinity(self.first.pid, {self.core})
        self.group.add(self.first.pid)

    def _new_group(self) -> cgroup.Group:
        """Its limits lie above those of the watcher, which knows better words."""
        where = cgroup.places() if self.kind != "none" and LINUX else {}
        group = cgroup.Group(where, self.limits.memory + 2 * self.limits.tmp + ROOM, 2 * self.limits.processes + 64)
        self._world.callback(group.close)
        return group

    def _sweep_at_end(self) -> None:
        with contextlib.suppress(Lost):
            self.sweep()

    def _start_warm(self) -> bool:
        """A fork of the zygote; False where there can't be one. A zygote that was killed since is replaced, once."""
        if self.kind != "bwrap" or Sandbox.cold_because:
            return False
        try:
            try:
                self._fork_of(zygote.shared())
            except zygote.Gone:
                self._world.close()
                zygote.forget()
                self._fork_of(zygote.shared())
            return True
        except (zygote.Gone, zygote.WontNest) as reason:
            self._world.close()
            Sandbox.cold_because = str(reason)
            return False

    def _fork_of(self, mother: zygote.Zygote) -> None:
        with self._connected() as theirs:
            mother.first_process(theirs, self.limits.tmp, 2 * MAX_FILES_ON_DISK)
        byte, first = self._hello()
        if first is None:
            raise zygote.WontNest(self.sock.recv(1000).decode("utf-8", "replace")) if byte else mother.gone()
        self.first = first
        self._world.callback(_wait_for_end, os.pidfd_open(first.pid))

    def _start_cold(self) -> None:
        """A Python of its own, behind walls or without them."""
        said = self._world.enter_context(tempfile.TemporaryFile())
        with self._connected() as theirs:
            self.process = bubblewrap.launch(self._command(theirs.fileno()), theirs.fileno(), said)
        self._world.callback(_end, self.process)
        _, first = self._hello()
        if first is None:
            raise NoSandbox(bubblewrap.explain(said))
        self.first = first

    def _connected(self) -> socket.socket:
        """The other end of a new `self.sock`."""
        self.group = self._new_group()
        self.sock, theirs = socket.socketpair()
        self._world.callback(self.sock.close)
        if LINUX:
            self.sock.setsockopt(socket.SOL_SOCKET, _SO_PASSCRED, 1)
        return theirs

    def _command(self, descriptor: int) -> bubblewrap.Command:
        if self.kind != "none":
            return bubblewrap.walled(descriptor, self.limits.tmp)
        home = self._world.enter_context(tempfile.TemporaryDirectory(prefix="course-"))
        self.workdir = os.path.join(home, "work")
        root = str(ROOT)
        program = [sys.executable, "-c", bubblewrap.start_source(root, descriptor)]
        return bubblewrap.Command(program, os.environ | bubblewrap.environment(home, root))

    def _hello(self) -> tuple[bytes, psutil.Process | None]:
        """The warden's first byte, b"" when it ended before, and the process that the kernel says it came from."""
        self.sock.settimeout(START_SECONDS)
        try:
            byte, extra, _, _ = self.sock.recvmsg(1, socket.CMSG_SPACE(12))
        except TimeoutError:
            raise NoSandbox(f"the sandbox didn't start within {START_SECONDS:g} s") from None
        except ConnectionError:
            return b"", None
        pids = [struct.unpack("3i", data[:12])[0] for level, kind, data in extra if kind == _SCM_CREDENTIALS]
        if LINUX:
            self.sock.setsockopt(socket.SOL_SOCKET, _SO_PASSCRED, 0)
        if byte != b"Z":
            return byte, None
        return byte, psutil.Process(pids[0] if pids else self.process.pid)

    def _setup(self) -> None:
        limits = self.limits.of_a_process(self.kind != "none" and LINUX)
        self._control({"op": "setup", "workdir": self.workdir, "limits": limits})
        for name, content in self.side_files.items():
            if os.path.isabs(name) or ".." in Path(name).parts:
                raise ValueError(f"expected a side file's name inside the working directory, got {name!r}")
            raw = content if isinstance(content, bytes) else Path(content).read_bytes()
            self._control({"op": "file", "name": name}, [raw])

    # --- talking to the warden ---

    def _control(self, header: dict, buffers: Iterable[bytes] = (), pass_on: int | None = None) -> tuple[dict, int]:
        """Ask the warden. Returns its answer, and a pidfd after a fork (else -1)."""
        with self._lock:
            deadline = time.monotonic() + CONTROL_SECONDS
            try:
                wire.send(self.sock, header, buffers, deadline)
                if pass_on is not None:
                    socket.send_fds(self.sock, [b"F"], [pass_on])
                answer, _ = wire.recv(self.sock, deadline)
                handle = socket.recv_fds(self.sock, 1, 1)[1][0] if "pid" in answer and LINUX else -1
            except (OSError, EOFError, wire.WireError, IndexError) as error:
                self.gone = f"the sandbox's first process is gone ({type(error).__name__})"
                raise Lost("killed", self.gone) from error
            return answer, handle

    def _fork(self, header: dict) -> tuple[int, int, socket.socket]:
        ours, theirs = socket.socketpair()
        with theirs:
            answer, handle = self._control(header, pass_on=theirs.fileno())
        if "pid" not in answer:
            ours.close()
            raise self._why(f"no process could be started in it ({answer['failed']})")
        return answer["pid"], handle, ours

    def _death_of(self, pid: int) -> str:
        with contextlib.suppress(Lost):
            for _ in range(20):
                code = self._control({"op": "status", "pid": pid})[0]["code"]
                if code is not None:
                    return how_it_ended(code)
                time.sleep(0.005)
        return "its process was killed"

    def _why(self, fallback: str, kind: str = "killed") -> Lost:
        """The reason the watcher gave for a death, once, or the fallback."""
        reason, self.reason = self.reason, None
        if self.group.out_of_memory() and reason is None:
            reason = "out_of_memory", f"{self._memory_says()}, all that the kernel holds for it included"
        return Lost(*reason) if reason else Lost(kind, fallback)

    def _memory_says(self) -> str:
        return f"it used more than {self.limits.memory / (1 << 30):.3g} GiB of memory"

    # --- watching ---

    def _watch(self) -> None:
        stop = threading.Event()
        thread = threading.Thread(target=self._watch_until, args=(stop,), daemon=True)
        thread.start()
        self._cleanup.callback(thread.join)
        self._cleanup.callback(stop.set)

    def _watch_until(self, stop: threading.Event) -> None:
        again = False
        while not stop.wait(WATCH_SECONDS):
            try:
                with self._lock:
                    found = self._too_much()
                    if found:
                        self._put_down(found, again)
                again = bool(found)
            except Exception:  # whatever it met: without a watcher there is no limit
                continue

    def _too_much(self) -> tuple[str, str] | None:
        pids = family(self.first.pid)
        self.meter.look(pids)
        used, at_most = memory_of(pids)
        if at_most > self.limits.memory:
            used = max(used, proportional_memory(pids))
        self.peak_bytes = max(self.peak_bytes, used)
        if used > self.limits.memory:
            return "out_of_memory", self._memory_says()
        if len(pids) > self.limits.processes + 8:
            return "killed", f"it started more than {self.limits.processes} processes"
        if self.kind != "none" and processes.files_on_disks(self.first.pid) > MAX_FILES_ON_DISK:
            return "killed", f"it made more than {MAX_FILES_ON_DISK:,} files"
        if self.kind != "none" and processes.sockets(self.first.pid) > MAX_SOCKETS:
            return "killed", f"it opened more than {MAX_SOCKETS} sockets"
        return None

    def _put_down(self, reason: tuple[str, str], again: bool) -> None:
        """What runs now goes first; if that was not enough, every runner too."""
        self.reason = reason
        self.sweep(keep=[] if again else [r for r in self.runners if not r.busy])


class Runner:
    """A process that ran (some of) the notebook's cells."""

    def __init__(self, box: Sandbox, pid: int, handle: int, sock: socket.socket) -> None:
        self.box, self.pid, self.handle, self.sock = box, pid, handle, sock
        self.alive, self.busy = True, True  # busy: student code of a cell may be running
        self._numbers = 0
        self._ended: dict[int, int] = {}
        box._world.callback(self.close)

    def start(self) -> None:
        header, _ = self._read(Deadline(self.box.meter, CONTROL_SECONDS))
        if header.get("ready") is not True:
            raise self._lose(Lost("channel", "the runner didn't start"))
        self.busy = False

    def run_cells(
        self, cells: Iterable[tuple[str, str]], per_cell_seconds: float | None = None
    ) -> Iterator[CellResult]:
        """Run (cell id, source) pairs. A cell that takes the runner along is the last one to give a result."""
        for cell_id, source in cells:
            if not self.alive:
                return
            self.busy = True
            done = self._cell(cell_id, source, per_cell_seconds or self.box.limits.cell)
            self.busy = False
            yield done

    def exercise(self, seconds: float | None = None) -> Exercise:
        """Fork a process that performs operations for one exercise. Raises Lost if the runner is gone."""
        if not self.alive:
            raise Lost("killed", "the runner is gone")
        self._numbers += 1
        self.box.reason = None  # of something that died by itself before the watcher came
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                wire.send(self.sock, {"op": "exercise", "number": self._numbers}, (), self._deadline(5).of_a_frame())
                socket.send_fds(self.sock, [b"F"], [theirs.fileno()])
            except (OSError, wire.WireError) as error:
                ours.close()
                raise self._lose(self.box._why(self.box._death_of(self.pid))) from error
        return Exercise(self, self._numbers, ours, seconds or self.box.limits.exercise)

    def close(self) -> None:
        """Forget the process; the sandbox kills it."""
        if self.handle >= 0:
            self.alive = False
            os.close(self.handle)
            self.handle = -1
            self.sock.close()
            self.box.runners.remove(self)

    def _deadline(self, seconds: float) -> Deadline:
        return Deadline(self.box.meter, seconds, self.box.deadline)

    def _cell(self, cell_id: str, source: str, seconds: float) -> CellResult:
        start, deadline = time.monotonic(), self._deadline(seconds)
        self.box.reason = None
        try:
            raw = source.encode("utf-8", "surrogatepass")
            wire.send(self.sock, {"op": "cell", "id": cell_id}, [raw], deadline.of_a_frame())
            return _cell_result(cell_id, *self._read(deadline))
        except Lost as lost:
            found = self._lose(lost)
        except TimeoutError:
            self.box.out_of_time(deadline)
            found = self._lose(Lost("timed_out", f"the cell ran longer than {time.monotonic() - start:.0f} s"))
        except (wire.WireError, OSError) as error:
            found = self._lose(self.box._why(f"the cell broke the channel ({error})", "channel"))
        return CellResult("", found.message, found.kind, time.monotonic() - start, cell_id)

    def _read(self, deadline: Deadline) -> tuple[dict, bytearray]:
        """The runner's next frame that isn't a notice of death of some exercise."""
        while True:
            self._wait_for([self.sock], deadline)
            try:
                header, body = wire.recv(self.sock, deadline.of_a_frame(), wire.MAX_ANSWER)
            except (EOFError, ConnectionError):
                raise self.box._why(self.box._death_of(self.pid)) from None
            if not self._is_notice(header):
                return header, body

    def _is_notice(self, header: dict) -> bool:
        if type(header.get("ended")) is not int or type(header.get("code")) is not int:
            return False
        if len(self._ended) < 10_000:
            self._ended[header["ended"]] = header["code"]
        return True

    def _wait_for(self, socks: list[socket.socket], deadline: Deadline) -> list:
        """Those of `socks` that can be read. Raises TimeoutError, or Lost when the runner died."""
        watched = [*socks, self.handle] if self.handle >= 0 else socks
        while True:
            left = deadline.left()
            ready = select.select(watched, [], [], max(left, 0))[0]
            readable = [s for s in ready if s is not self.handle]
            if readable:
                return readable
            if ready:
                raise self.box._why(self.box._death_of(self.pid))
            if left <= 0:
                raise TimeoutError

    def _lose(self, lost: Lost) -> Lost:
        """The runner is of no use any more: kill it and all it started."""
        self.alive = False
        with contextlib.suppress(Lost):
            self.box.sweep(keep=[r for r in self.box.runners if r is not self])
        self.close()
        return lost


class Exercise:
    """One exercise's process. `send` and `listen` are for autograder.judging.remote.

    One at a time in a sandbox: closing it kills everything but the runners.
    """

    def __init__(self, runner: Runner, number: int, sock: socket.socket, seconds: float) -> None:
        self.runner, self.number, self.sock = runner, number, sock
        self.limits = runner.box.limits
        self.seconds = seconds
        self.deadline = runner._deadline(seconds)
        self.lost: Lost | None = None
        self.numbers = itertools.count(1)  # of questions and functions; none comes twice
        self.room = wire.MAX_ANSWERS  # bytes that it may still send
        self._open = True

    def call(self) -> Deadline:
        """The time that a call has from now on."""
        return Deadline(self.runner.box.meter, self.limits.call, self.deadline)

    def send(self, header: dict, buffers: Iterable[bytes], deadline: Deadline) -> None:
        """Write a frame. Raises Lost; wire.WireError when the frame is too large."""
        if self.lost:
            raise self.lost
        try:
            wire.send(self.sock, header, buffers, deadline.of_a_frame())
        except TimeoutError:
            raise self._timed_out(deadline) from None
        except OSError:
            raise self._died() from None

    def listen(self, deadline: Deadline) -> tuple[dict, bytearray]:
        """The next frame. Raises Lost when the process died, ran too long, or broke the frame rules."""
        if self.lost:
            raise self.lost
        try:
            self._wait(deadline)
            header, body = wire.recv(self.sock, deadline.of_a_frame(), min(wire.MAX_ANSWER, self.room))
            self.room -= len(body)
            return header, body
        except TimeoutError:
            raise self._timed_out(deadline) from None
        except wire.WireError as error:
            raise self.end(self.runner.box._why(f"the worker sent {error}", "channel")) from None
        except (EOFError, OSError):
            raise self._died() from None

    def end(self, lost: Lost) -> Lost:
        """Stop listening and kill the process, for good; gives back `lost`."""
        self.lost = self.lost or lost
        self.close()
        return self.lost

    def close(self) -> None:
        """Kill the process and whatever it started. The runner stays."""
        if not self._open:
            return
        self._open = False
        self.sock.close()
        self.lost = self.lost or Lost("killed", "the exercise is closed")
        box, runner = self.runner.box, self.runner
        with contextlib.suppress(Lost):
            if box.sweep(keep=box.runners):
                runner._lose(Lost("killed", "its processes could not be ended"))

    def __enter__(self) -> Exercise:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _wait(self, deadline: Deadline) -> None:
        while True:
            ready = self.runner._wait_for([self.sock, self.runner.sock], deadline)
            if self.sock in ready:
                return
            self._read_notice(deadline)
            if self.number in self.runner._ended:
                raise EOFError

    def _read_notice(self, deadline: Deadline) -> None:
        header, _ = wire.recv(self.runner.sock, deadline.of_a_frame(), wire.MAX_ANSWER)
        if not self.runner._is_notice(header):
            raise wire.WireError("something out of turn")

    def _timed_out(self, deadline: Deadline) -> Lost:
        box = self.runner.box
        box.out_of_time(deadline)
        if box.deadline.left() <= 0:
            says = f"the whole notebook ran longer than {self.limits.submission:g} s"
        elif self.deadline.left() <= 0:
            says = f"all its calls together ran longer than {self.seconds:g} s"
        else:
            says = f"the call ran longer than {self.limits.call:g} s"
        return self.end(Lost("timed_out", says))

    def _died(self) -> Lost:
        deadline = Deadline(self.runner.box.meter, 0.5)
        with contextlib.suppress(TimeoutError, Lost, EOFError, OSError, wire.WireError):
            while self.number not in self.runner._ended and self.runner.alive:
                self.runner._wait_for([self.runner.sock], deadline)
                self._read_notice(deadline)
        code = self.runner._ended.get(self.number)
        if code == 77:
            return self.end(Lost("out_of_memory", "it asked for more memory than there is"))
        return self.end(self.runner.box._why("its process was killed" if code is None else how_it_ended(code)))


class Replayer:
    """Replays one hand-in's launch traces, in a process that no student code ever ran in. A context manager.

    A replay that is lost ends the process, and the next one has a fresh process.
    """

    def __init__(self, box: Sandbox) -> None:
        self.box = box
        self.process: tuple[int, int, socket.socket] | None = None
        self.numbers = itertools.count(1)

    def replay(
        self, source: str, traced: bytes, inputs: tuple[tuple, dict], options: dict, seconds: float | None = None
    ) -> dict:
        """`grader_kernels.judging.hands.replayed` on these arguments. Raises Failed, and Lost."""
        seconds = seconds or self.box.limits.call
        self.process = self.process or self.box._fork({"op": "replayer"})
        deadline = Deadline(self.box.meter, seconds)
        try:
            return self._ask(self.process[2], (source, traced, *inputs, options), deadline)
        except Lost as failed:
            lost = failed
        except TimeoutError:
            self.box.out_of_time(deadline)
            lost = Lost("timed_out", f"the replay of its launches ran longer than {seconds:g} s")
        except (EOFError, OSError):
            lost = self.box._why(f"the replay of its launches: {self.box._death_of(self.process[0])}")
        except wire.WireError as error:
            lost = Lost("channel", f"its launches can't be replayed: {error}")
        self.close()
        raise lost

    def close(self) -> None:
        """End the process. Safe to call twice."""
        if self.process is None:
            return
        _, handle, sock = self.process
        self.process = None
        sock.close()
        if handle < 0:
            self.box.sweep(keep=self.box.runners)
            return
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(handle, signal.SIGKILL)
        os.close(handle)

    def __enter__(self) -> Replayer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ask(self, sock: socket.socket, args: tuple, deadline: Deadline) -> dict:
        buffers: list[bytes] = []
        number = next(self.numbers)
        wire.send(sock, {"id": number, "args": wire.encode(args, buffers)}, buffers, deadline.of_a_frame())
        while not select.select([sock], [], [], max(left := deadline.left(), 0))[0]:
            if left <= 0:
                raise TimeoutError
        header, body = wire.recv(sock, deadline.of_a_frame(), wire.MAX_ANSWER)
        if header.get("id") != number:
            raise wire.WireError("an answer to a question that was not asked")
        if "failed" in header:
            raise failure(header["failed"])
        return wire.decode(header["ok"], body)


def why_not(kind: str = "bwrap") -> str | None:
    """None when a sandbox can be had here, else the sentence that says what is missing."""
    try:
        with Sandbox(limits=Limits(submission=120), kind=kind) as box, contextlib.closing(box.runner()) as runner:
            results = list(runner.run_cells([("probe", "1 + 1")]))
    except (NoSandbox, Lost) as error:
        return str(error)
    return None if results[0].output == "2\n" else f"a cell in the sandbox said {results[0]}"


def how_it_ended(code: int) -> str:
    """An exit code in words; below zero it is a signal."""
    if code >= 0:
        return f"its process ended itself with exit code {code}"
    known = {signal.SIGSEGV: "segmentation fault", signal.SIGABRT: "abort", signal.SIGKILL: "killed"}
    return f"its process crashed: {known.get(-code, '')} (signal {-code})".replace(":  (", " (")


def _cell_result(cell_id: str, header: dict, body: bytearray) -> CellResult:
    error, name, seconds, line = (header.get(key) for key in ("error", "error_name", "seconds", "line"))
    known = type(name) is str and type(seconds) in (int, float) and type(line) is int
    known = known and (error is None or type(error) is str)
    if not known or header.get("cell") != cell_id:
        raise wire.WireError("an answer of a wrong shape")
    output = bytes(body[: 4 * OUTPUT_LIMIT]).decode("utf-8", "replace")[: OUTPUT_LIMIT + 100]
    return CellResult(output, error[:2000] if error else error, name[:100], float(seconds), cell_id, line)


def _kill_process(process: psutil.Process) -> None:
    with contextlib.suppress(psutil.Error):
        process.kill()


def _wait_for_end(handle: int) -> None:
    """Until a killed process is gone, and with it its namespaces."""
    select.select([handle], [], [], 5)
    os.close(handle)


def _end(process: subprocess.Popen) -> None:
    """Wait for the walls to come down; the first process is dead already, or its control socket is closed."""
    try:
        process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
