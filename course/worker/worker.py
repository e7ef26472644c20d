"""Inside a sandbox: the processes that run a learner's code and answer the judge's questions about it.

zygote     trusted: torch and IPython imported, never runs student code; forks a warden for every submission
warden     trusted: the first process of a submission's own namespaces; forks on request, kills on request
runner     one fork of the warden: limits itself, poisons operators, then runs the notebook's cells
exercise   one fork of a runner: performs subject operations (course.checking.subject) for one exercise
replayer   one fork of the warden, without student code: replays a launch trace on its own buffers

Where namespaces can't be nested there is no zygote: each submission's warden starts cold.

Frames are grader_kernels.wire's. Nothing a runner or an exercise says is trusted by the judge; the walls around them
are autograder.sandbox.sandbox's. Here are only the limits that a process sets for itself.
"""

from __future__ import annotations

import ast
import builtins
import contextlib
import functools
import gc
import importlib
import importlib.util
import itertools
import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any, NoReturn

import psutil
import torch

from course.checking.cells import statements
from course.worker import poison, walls
from course.worker.session import Session, hang_up_keyboard
from grader_kernels import wire

LINUX = sys.platform == "linux"
HUGE = 2 << 20  # bytes of a huge page
MANY_THREADS, EXIT_THREADS = 32, 78  # threads that a cell may leave behind
FORK_SECONDS = 5.0  # for which a warden tries to fork
EXPERIMENT_SECONDS = 5.0  # of processor time, of a statement in a poisoned run that defines nothing
MANY_FILES = 128  # open descriptors that a cell may leave behind; runners may have 256


def _private(name: str) -> ModuleType:
    """A second copy of a module, which no import finds: what a learner's code patches is the other one."""
    spec = importlib.util.find_spec(name)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_subject = _private("course.checking.subject")  # says which arguments a call changed
LocalSubject, SubjectError = _subject.LocalSubject, _subject.SubjectError
FAILED_KINDS = {"not_written": "not_attempted", "memory": "out_of_memory"}  # of launchers, in a subject's words
LESSONS = """grader_kernels.judging.hands matplotlib.pyplot ipywidgets IPython.display tqdm.auto einops numpy.polynomial
course.validating course.data course.kernels course.mocks course.models course.plots course.picture
course.heads course.minilm course.vocabulary course.widgets.attention_explorer course.widgets.gradient_flow
course.widgets.model_heads course.widgets.residual_stream course.widgets.roofline course.widgets.rotation
course.widgets.token_inspector
torch._dynamo torch._subclasses.schema_check_mode torch._decomp.decompositions_for_jvp torch.autograd.functional
torch.autograd.gradcheck torch.autograd.forward_ad torch.func torch.nn.attention torch.nn.utils.parametrize
torch.nn.utils.prune torch.nn.utils.rnn torch.optim.lr_scheduler torch.optim.swa_utils torch.profiler torch.testing
torch.utils.checkpoint torch.utils.data torch.utils.flop_counter torch.utils.serialization
contourpy fontTools.varLib.iup matplotlib._qhull matplotlib._tri matplotlib.backends.backend_agg PIL._imagingft
hashlib sqlite3 xml.etree.ElementTree _md5 _sha1 _sha256 _sha3 pydantic regex yaml""".split()
"""What notebooks import, and what that imports when it is first used: it is loaded once, and where operators are
poisoned nothing else of these libraries can be."""
OPERATIONS = frozenset(
    "__call__ call value construct load_state method grad grad_method iterate trace again release".split()
)


def main(descriptor: int) -> NoReturn:
    """A warden that starts cold, on the control socket with this file descriptor. Ends when the judge hangs up."""
    session = _warm_session()
    Warden(socket.socket(fileno=descriptor), session).serve()
    os._exit(0)


def zygote(descriptor: int) -> NoReturn:
    """Fork wardens on request, each behind walls of its own, until nobody holds the other end of the socket.

    A request is one datagram: the bytes and files that a private disk may hold, eight bytes each, a syscall filter, and
    the warden's socket. When its walls can't be made the warden says why on that socket and ends.
    """
    control = socket.socket(fileno=descriptor)
    session = _warm_session()
    gather_pages()
    control.send(b"Z")
    while True:
        request, descriptors, _, _ = socket.recv_fds(control, 1 << 16, 1)
        if not request:
            os._exit(0)
        pid = os.fork()
        if pid == 0:
            control.close()
            _become_child(functools.partial(_be_warden, descriptors[0], request, session))
        os.close(descriptors[0])
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                continue


def _be_warden(descriptor: int, request: bytes, session: Session) -> None:
    """Into new namespaces, whose first process is our child; we end."""
    judge = socket.socket(fileno=descriptor)
    try:
        walls.separate()
        if os.fork():
            os._exit(0)
        os.setsid()
        walls.furnish(int.from_bytes(request[:8], "little"), int.from_bytes(request[8:16], "little"))
        walls.shut(request[16:])
        os.chdir("/tmp")
    except OSError as error:
        judge.send(f"!{error}".encode())
        raise
    Warden(judge, session).serve()


def _warm_session() -> Session:
    """What every process here shares: imports, IPython's shell, and the paths that are slow the first time."""
    torch.set_num_threads(1)
    if LINUX:
        walls.harden()
    session = Session()
    _touch_lazy_paths(session)
    gc.collect()
    gc.freeze()
    return session


def gather_pages() -> int:
    """Move this process's own memory to huge pages; how many that made. A fork copies an entry for each page, and the
    end of a process drops each: with 512 times fewer both are quick. A child that writes to one splits it, for itself.

    madvise(2), MADV_COLLAPSE: Linux 6.1. Where it can't be done nothing changes.
    """
    made = 0
    with contextlib.suppress(OSError), open("/proc/self/maps") as maps:
        for line in maps.read().splitlines():
            where, rights, _, _, inode, *name = line.split(None, 5)
            if inode == "0" and rights == "rw-p" and name in ([], ["[heap]"]):
                start, end = (int(address, 16) for address in where.split("-"))
                for place in range(-(-start // HUGE) * HUGE, end - HUGE + 1, HUGE):
                    made += walls.collapse(place, HUGE)
    return made


# --- warden -------------------------------------------------------------------------------------------------------


class Warden:
    """Forks runners and replayers. As first process of its namespaces it can't be signalled from within."""

    def __init__(self, control: socket.socket, session: Session) -> None:
        self.control, self.session = control, session
        os.dup2(1, 2)  # the file that took our first words is the host's, and other wardens have it too
        self.limits: dict[str, int] = {}
        self.ended: dict[int, int | None] = {}  # exit codes of its forks; below zero: the signal
        self.wake, self.waker = os.pipe()
        for end in (self.wake, self.waker):
            os.set_blocking(end, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.set_wakeup_fd(self.waker, warn_on_full_buffer=False)

    def serve(self) -> None:
        self.control.send(b"Z")  # a first byte, so that the judge learns our pid from its credentials
        while True:
            select.select([self.control, self.wake], [], [])
            self._reap()
            if not select.select([self.control], [], [], 0)[0]:
                continue
            try:
                header, body = wire.recv(self.control)
            except (EOFError, OSError):
                self._sweep([])
                return
            getattr(self, "do_" + header["op"])(header, bytes(body))

    def do_setup(self, header: dict, body: bytes) -> None:
        """Where to work, and the limits that runners set for themselves."""
        self.limits = header["limits"]
        os.makedirs(header["workdir"], exist_ok=True)
        os.chdir(header["workdir"])
        sys.path[:0] = [""] if "" not in sys.path else []  # as in a notebook: a module that it wrote can be imported
        wire.send(self.control, {"ok": True})

    def do_file(self, header: dict, body: bytes) -> None:
        """One side file of the notebook, written into the working directory."""
        os.makedirs(os.path.dirname(header["name"]) or ".", exist_ok=True)
        with open(header["name"], "wb") as file:
            file.write(body)
        wire.send(self.control, {"ok": True})

    def do_runner(self, header: dict, body: bytes) -> None:
        self._fork(lambda sock: Runner(sock, self.session).serve(header["poison"], header["filter"], self.limits))

    def do_replayer(self, header: dict, body: bytes) -> None:
        _warm_replay()
        self._fork(lambda sock: serve_replay(sock, self.limits))

    def do_sweep(self, header: dict, body: bytes) -> None:
        """Kill every process here but the warden and those in `keep`."""
        wire.send(self.control, {"left": self._sweep(header["keep"])})

    def do_status(self, header: dict, body: bytes) -> None:
        self._reap()
        wire.send(self.control, {"code": self.ended.get(header["pid"])})

    def _fork(self, serve: Callable[[socket.socket], None]) -> None:
        descriptor = _receive_descriptor(self.control)
        try:
            pid = _fork_patiently(FORK_SECONDS)
        except OSError as error:  # no memory, or too many processes: what runs here may have taken them
            os.close(descriptor)
            wire.send(self.control, {"failed": os.strerror(error.errno)})
            return
        if pid == 0:
            self._leave()
            _become_child(lambda: serve(socket.socket(fileno=descriptor)))
        os.close(descriptor)
        self.ended[pid] = None
        wire.send(self.control, {"pid": pid})
        if LINUX:
            handle = os.pidfd_open(pid)
            socket.send_fds(self.control, [b"F"], [handle])
            os.close(handle)

    def _leave(self) -> None:
        """In a fork: nothing of the warden stays open."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for end in (self.wake, self.waker):
            os.close(end)
        self.control.close()
        os.setsid()

    def _reap(self) -> None:
        try:
            while os.read(self.wake, 4096):
                pass
        except BlockingIOError:
            pass
        try:
            while (found := os.waitpid(-1, os.WNOHANG))[0]:
                if found[0] in self.ended:  # orphans that came to us are nobody's concern, and may be millions
                    self.ended[found[0]] = os.waitstatus_to_exitcode(found[1])
        except ChildProcessError:
            pass

    def _sweep(self, keep: list[int]) -> int:
        """Kill until nothing is left to kill; how many processes survived five seconds of that.

        As first process of a namespace we stop everything at once, which no fork bomb outruns, and wake what is kept.
        A fork that is under way goes on in a process that is to stop: its child comes before that has stopped.
        """
        others: list[int] = []
        nothing_seen, give_up = 0, time.monotonic() + 5
        while time.monotonic() < give_up:
            if os.getpid() == 1:
                _signal(-1, signal.SIGSTOP)
            found = [pid for pid in _everybody() if pid not in keep]
            others = [pid for pid in found if not _is_zombie(pid)]
            for pid in others:
                _signal(pid, signal.SIGKILL)
            forking = os.getpid() == 1 and not all(_state(pid) in b"TtZX" for pid in keep)
            nothing_seen = 0 if others or forking else nothing_seen + 1
            self._reap()
            if nothing_seen == 2:
                break
            time.sleep(0.001)
        for pid in keep:
            _signal(pid, signal.SIGCONT)
        return len(others)


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(OSError):
        os.kill(pid, number)


def _everybody() -> list[int]:
    """All processes below this one. The first process of a namespace finds them all in its /proc."""
    if os.getpid() == 1:
        return [int(name) for name in os.listdir("/proc") if name.isdigit() and name != "1"]
    return [process.pid for process in psutil.Process().children(recursive=True)]


def _is_zombie(pid: int) -> bool:
    if not LINUX:
        return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    return _state(pid) in b"ZX"


def _state(pid: int) -> bytes:
    """The letter of proc(5) for what a process does; X for one that is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # its name may be no text
            return file.read().rpartition(b") ")[2][:1] or b"X"
    except OSError:
        return b"X"


def _touch_lazy_paths(session: Session) -> None:
    """Do once, before any fork, what every fork would otherwise do for the first time."""
    x = torch.ones(4, 4, requires_grad=True)
    torch.autograd.grad((x @ x).softmax(-1), x, torch.ones(4, 4))  # imports sympy
    session.run("1 + 1")
    environment = dict(os.environ)  # some of what is imported adds to it
    for module in LESSONS:
        with contextlib.suppress(ImportError):
            importlib.import_module(module)
    poison.prepare()
    for added in os.environ.keys() - environment.keys():
        del os.environ[added]


@functools.cache
def _warm_replay() -> None:
    """Replay a launch of our own, once."""
    from grader_kernels.judging import hands

    hands.warm()


def _receive_descriptor(sock: socket.socket) -> int:
    _, descriptors, _, _ = socket.recv_fds(sock, 1, 1)
    return descriptors[0]


def _become_child(serve: Callable[[], None]) -> NoReturn:
    """Run `serve` in a process that was just forked, and never come back."""
    code = 1
    try:
        serve()
        code = 0
    except (EOFError, OSError, wire.WireError):
        pass
    except MemoryError:
        code = 77
    finally:
        os._exit(code)


def confine_self(limits: dict[str, int]) -> None:
    """Landlock where there is one, and hard limits on resources: names of resource.RLIMIT_* without prefix, values."""
    import resource

    if LINUX and os.getppid() == 1:  # the warden is first in its namespace: we are behind walls
        walls.step_back()
        walls.landlock()
    for name, value in limits.items():
        which = getattr(resource, f"RLIMIT_{name}", None)
        if which is not None:
            hard = resource.getrlimit(which)[1]
            value = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.setrlimit(which, (value, value))


# --- runner -------------------------------------------------------------------------------------------------------


class Runner:
    """Runs cells; forks a process per exercise. From its first cell on, everything here is in the student's hands."""

    def __init__(self, sock: socket.socket, session: Session) -> None:
        self.sock, self.session, self.pid = sock, session, os.getpid()
        self.children: dict[int, tuple[int, int]] = {}  # pidfd -> (pid, number of the exercise)
        self.poisoned = False

    def serve(self, names: list[str], syscall_filter: str, limits: dict[str, int]) -> None:
        """names: of operators to poison, if any; syscall_filter: of such a process, in hexadecimal."""
        confine_self(limits)
        hang_up_keyboard()
        poisoned = poison.poison_operators(names) if names else []
        self.poisoned = bool(names)
        if names:
            poison.close_doors(bytes.fromhex(syscall_filter))
        wire.send(self.sock, {"ready": True, "poisoned": len(poisoned)})
        while True:
            self._report_deaths()
            header, body = wire.recv(self.sock)
            if header["op"] == "cell":
                self._cell(header["id"], body.decode("utf-8", "surrogatepass"))
            elif header["op"] == "exercise":
                self._exercise(header["number"])

    def _cell(self, cell_id: str, source: str) -> None:
        before = set(_descriptors())
        with _within(EXPERIMENT_SECONDS) if self.poisoned and not _defines(source) else contextlib.nullcontext():
            done = self.session.run(source, cell_id)
        _leave_if_forked(self.pid)
        after = _descriptors()
        if len(after) > MANY_FILES:  # none would be left for the exercises
            for descriptor in (d for d in set(after) - before if d >= MANY_FILES):
                with contextlib.suppress(OSError):
                    os.close(descriptor)
        if LINUX and len(os.listdir("/proc/self/task")) > MANY_THREADS:
            os._exit(EXIT_THREADS)  # they can't be ended, and no exercise could fork: again, without this cell
        told = "error", "error_name", "seconds", "line"
        header = {"cell": cell_id} | {name: getattr(done, name) for name in told}
        wire.send(self.sock, header, [done.output.encode("utf-8", "backslashreplace")])

    def _exercise(self, number: int) -> None:
        descriptor = _receive_descriptor(self.sock)
        pid = _fork_patiently()
        if pid == 0:
            _become_child(lambda: self._serve_exercise(descriptor))
        os.close(descriptor)
        if LINUX:
            self.children[os.pidfd_open(pid)] = pid, number

    def _serve_exercise(self, descriptor: int) -> None:
        self.sock.close()
        for handle in self.children:
            os.close(handle)
        torch.set_grad_enabled(True)  # whatever the cells left it at
        torch.set_num_threads(1)  # a thread pool doesn't survive a fork
        Exercise(socket.socket(fileno=descriptor), self.session.namespace).serve()

    def _report_deaths(self) -> None:
        """Wait for the judge; meanwhile tell it which exercise ended and how."""
        while True:
            ready = select.select([self.sock, *self.children], [], [])[0]
            for handle in set(ready) & set(self.children):
                pid, number = self.children.pop(handle)
                os.close(handle)
                wire.send(self.sock, {"ended": number, "code": _exit_code(pid)})
            if self.sock in ready:
                return


class TooLong(BaseException):
    """An experiment has shown what it shows in the run that isn't poisoned."""


@contextlib.contextmanager
def _within(seconds: float) -> Iterator[None]:
    """Raises TooLong in what takes more processor time, where the system can say so."""

    def stop(*_: Any) -> NoReturn:
        raise TooLong

    if not hasattr(signal, "setitimer"):
        yield
        return
    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def _defines(source: str) -> bool:
    """Whether a statement does nothing but define or import."""
    found = statements(source)
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Import | ast.ImportFrom
    return bool(found) and all(isinstance(statement, kinds) for statement in found)


def _descriptors() -> list[int]:
    """Numbers of this process's open files, and one that listing them takes; of the first 1024 where that fails."""
    if not LINUX:
        return []
    try:
        return [int(number) for number in os.listdir("/proc/self/fd")]
    except OSError:
        return [number for number in range(1024) if _is_open(number)]


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def _fork_patiently(seconds: float = 10.0) -> int:
    """os.fork, also just after a fork bomb, whose dead still count against the limit until they are reaped."""
    give_up = time.monotonic() + seconds
    while True:
        try:
            return os.fork()
        except BlockingIOError:
            if time.monotonic() > give_up:
                raise
            time.sleep(0.01)


def _leave_if_forked(pid: int) -> None:
    """Student code may fork and let the copy run on into ours: one process answers, not two."""
    if os.getpid() != pid:
        os._exit(0)


def _exit_code(pid: int) -> int:
    try:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    except ChildProcessError:
        return 0


# --- exercise -----------------------------------------------------------------------------------------------------


class Exercise:
    """Performs subject operations on one namespace, one after another, until the judge hangs up."""

    def __init__(self, sock: socket.socket, namespace: dict[str, Any]) -> None:
        self.sock = sock
        self.subject = LocalSubject(namespace, "")
        self.pid, self.thread = os.getpid(), threading.get_ident()
        self.asked = itertools.count(1)
        poison.refused.clear()

    def serve(self) -> None:
        while True:
            self._answer(*wire.recv(self.sock))

    def _answer(self, header: dict, body: bytearray) -> None:
        buffers: list[bytes] = []
        try:
            reply = {"id": header["id"], "ok": wire.encode(self._perform(header, body), buffers, None, wire.MAX_ANSWER)}
        except BaseException as error:
            buffers, reply = [], {"id": header["id"], "failed": _failure(error)}
        _leave_if_forked(self.pid)
        reply["mutated"] = [str(name)[:100] for name in self.subject.mutated[:100]]
        reply["refused"] = poison.refused[:1]
        try:
            wire.send(self.sock, reply, buffers)
        except wire.WireError as error:
            wire.send(self.sock, {"id": header["id"], "failed": _failure(error), "mutated": []})

    def _perform(self, header: dict, body: bytearray) -> Any:
        args, kwargs = wire.decode(header["args"], body, self._callback)
        operation = header["op"]
        if operation not in OPERATIONS:
            raise SubjectError("bad_value", f"no operation is called {operation}")
        self.subject.name, self.subject.mutated = header["subject"], []
        if operation in ("trace", "again"):
            return self._launches(operation, args)
        return getattr(self.subject, operation)(*args, **kwargs)

    def _launches(self, operation: str, args: tuple) -> Any:
        """What the launcher launched, once or called again; the judge replays it elsewhere."""
        from grader_kernels.judging import hands

        launcher = self.subject.value()
        try:
            if operation == "trace":
                return hands.recorded(launcher, *args)
            return hands.again(lambda args, kwargs: hands.recorded(launcher, args, kwargs), *args)
        except hands.Failed as failed:
            raise SubjectError(FAILED_KINDS.get(failed.kind, "raised"), failed.sentence) from failed

    def _callback(self, number: int) -> Callable:
        def ask(*args: Any, **kwargs: Any) -> Any:
            return self._ask(number, args, kwargs)

        return ask

    def _ask(self, number: int, args: tuple, kwargs: dict) -> Any:
        """Call a function that lives with the judge. The judge may ask us something before it answers."""
        if threading.get_ident() != self.thread:
            raise RuntimeError("this function can only be called from the thread that it was given to")
        buffers: list[bytes] = []
        mine = next(self.asked)
        spec = wire.encode((args, kwargs), buffers, None, wire.MAX_ANSWER)
        wire.send(self.sock, {"ask": mine, "callback": number, "args": spec}, buffers)
        while True:
            header, body = wire.recv(self.sock)
            if header.get("answer") == mine:
                return _answered(header, body)
            self._answer(header, body)


def _answered(header: dict, body: bytearray) -> Any:
    if "failed" not in header:
        return wire.decode(header["ok"], body)
    raised = getattr(builtins, header["failed"]["exception"], RuntimeError)
    if not (isinstance(raised, type) and issubclass(raised, Exception)):
        raised = RuntimeError
    raise raised(header["failed"]["message"])


def _failure(error: BaseException) -> dict[str, str]:
    if isinstance(error, SubjectError):
        return {"kind": error.kind, "message": str(error)[:1000], "exception": error.exception[:100]}
    if isinstance(error, wire.WireError):
        return {"kind": "bad_value", "message": f"the result can't be judged: {error}"[:1000], "exception": ""}
    name = type(error).__name__[:100]
    return {"kind": "raised", "message": f"it raised {name}", "exception": name}


def serve_replay(sock: socket.socket, limits: dict[str, int]) -> None:
    """Answer replay questions. No student module was ever imported here; the source passed an allow-list."""
    confine_self(limits)
    from grader_kernels.judging.hands import in_words, replayed

    while True:
        header, body = wire.recv(sock)
        buffers: list[bytes] = []
        try:
            reply = {"id": header["id"], "ok": wire.encode(replayed(*wire.decode(header["args"], body)), buffers)}
        except Exception as error:
            buffers, reply = [], {"id": header["id"], "failed": in_words(error)}
        wire.send(sock, reply, buffers)
