"""Each promise of the sandbox: attacks on it, which must lose, and win once the walls that stop them are taken away.

The promises are the first list at the top of autograder/sandbox/sandbox.py; a test holds this table to that list. A row
names every wall that stops its attack. With all walls up the attack loses; with the named ones down, and only these, it
wins; with one of several still up it loses again, so each of them is a wall. Real processes throughout: one zygote
whose wardens take down, before their first fork, what a request asks them to; a zygote of its own where bubblewrap's
walls are meant. `why` says why a wall has no switch of its own; then the attack wins under `kind="none"`, without any.

Not here: what honest notebooks need, and limits one by one (test_sandbox.py); hand-ins of attackers (tests/attacks).
"""

import contextlib
import ctypes
import errno
import faulthandler
import functools
import os
import re
import resource
import shutil
import socket
import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import pytest

from autograder.sandbox import bubblewrap, sandbox, syscalls, zygote
from autograder.sandbox.deadline import Deadline
from autograder.sandbox.sandbox import Limits, Runner, Sandbox, family, why_not
from course.worker import walls
from course.worker.session import Session
from grader_kernels import wire

if sys.platform != "linux":
    pytest.skip("the sandbox needs Linux", allow_module_level=True)

SMALL = Limits(cell=20, call=3, exercise=6, submission=60, memory=900 << 20, processes=64, tmp=32 << 20)
ABI = walls._libc.syscall(walls._LANDLOCK_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint32(1))
ASK = b"\0DOWN\0"
SWITCHES = """
from course.worker import worker
def be_warden(descriptor, request, session, be_warden=worker._be_warden):
    worker.request, _, down = request.partition(b'\\0DOWN\\0')
    worker.session = session
    exec(down, vars(worker))
    be_warden(descriptor, worker.request, session)
worker._be_warden = be_warden
"""


class Warden(NamedTuple):
    """A wall that a warden puts up: the statements, in course.worker.worker, that keep it from doing so."""

    down: str


class Outer(NamedTuple):
    """A wall of the zygote's own: what changes its command."""

    down: Callable[[bubblewrap.Command], None]


class Judge(NamedTuple):
    """A wall in the judging process: what to set instead."""

    where: object
    name: str
    instead: object


def without(*words):
    def change(command):
        text, cut = "\0".join(command.argv), "\0".join(words)
        assert cut in text
        command.argv = text.replace(cut + "\0", "").split("\0")

    return Outer(change)


NO_KEYBOARD = Warden("import course.worker.session as s\ns._Keyboard = lambda: sys.__stdin__")


def no_limit(*names):
    return Warden(
        "def confine_self(limits, confine=confine_self):\n"
        f"    confine({{name: most for name, most in limits.items() if name not in {names}}})"
    )


def no_mount(*places):
    return Warden(f"walls._mount = lambda a, where, *r, mount=walls._mount: where in {places} or mount(a, where, *r)")


def disk(size="size", files="files"):
    return Warden(f"walls.furnish = lambda size, files, furnish=walls.furnish: furnish({size}, {files})")


# The places of the host that attacks look for. Nobody's rights must suffice there, so not below a private folder.
HOST = Path(f"/var/tmp/course-promises-{os.getpid()}")
HIDDEN, SHOWN = HOST / "hidden", HOST / "shown"  # not mounted; mounted, and everybody's to write but for the walls


def show(command, place):
    at = command.argv.index("--ro-bind")
    above = [part for folder in reversed(place.parents[:-1]) for part in ("--dir", str(folder))]
    command.argv[at:at] = [*above, "--ro-bind", str(place), str(place)]


def writable(command):
    at = command.argv.index(str(SHOWN)) - 1
    command.argv[at] = "--bind"
    text = "\0".join(command.argv)  # started by root there are two halves, and the inner one binds all that is there
    command.argv = text.replace("\0--ro-bind\0/\0/\0", "\0--bind\0/\0/\0").split("\0")


LANDLOCK = {"Landlock": Warden("walls.landlock = lambda: 0")}
FILTER = {"the syscall filter": Warden("request = request[:16]")}
UNDUMPABLE = {
    "not dumpable": Warden("walls._prctl = lambda o, *v, prctl=walls._prctl: (o, *v) == (4, 0) or prctl(o, *v)"),
}
NO_RIGHTS = {
    "no capability": Warden(
        "walls._prctl = lambda o, *v, prctl=walls._prctl: o == 24 or prctl(o, *v)\nwalls._libc.capset = lambda *a: 0"
    ),
}
NETWORK = {
    "its own network": Warden(
        "walls.NEW_NAMESPACES &= ~0x40000000\nwalls.fcntl = type('', (), {'ioctl': lambda *words: 0})"
    ),
}
OUTER_NETWORK = {"bubblewrap's network": without("--unshare-net")}
NO_NAMESPACES = {
    "none may be made": Warden(
        "import io\n"
        "walls.open = lambda path, *mode: io.StringIO() if path.endswith('user_namespaces') else open(path, *mode)"
    ),
}
PROCESSES = {  # Landlock would not be laid where the warden isn't first; here each wall is to stand by itself
    "its own processes": Warden(
        f"walls.NEW_NAMESPACES &= ~0x20000000\n{no_mount('/proc').down}\n{NO_NAMESPACES['none may be made'].down}\n"
        "def confine_self(limits, confine=confine_self):\n    walls.landlock()\n    confine(limits)"
    ),
}
MOUNTS = {"not mounted": Outer(lambda command: show(command, HIDDEN))}
WATCHER = {"the watcher": Judge(Sandbox, "_too_much", lambda self: None)}


@dataclass(frozen=True)
class Attack:
    """One row. promise: how its line in the list begins. source: a cell; it won when it prints "won".

    neighbour   a cell that ran before, in another sandbox; beside: in another runner of the same one
    won         what else decides: (its result, the neighbour's runner, the sandbox) -> bool
    """

    promise: str
    name: str
    source: str
    walls: dict[str, Warden | Outer | Judge] = field(default_factory=dict)
    neighbour: str = ""
    beside: str = ""
    won: Callable | None = None
    limits: Limits = SMALL
    why: str = ""
    slow: bool = False
    needs: Callable[[], str] = lambda: ""  # what this machine lacks for the attack to win


def libc(call, *first):
    lines = ["import ctypes, os, struct", "libc = ctypes.CDLL(None, use_errno=True)", *first]
    return "\n".join([*lines, f"print('won' if {call} else os.strerror(ctypes.get_errno()))"])


def syscall(name, *arguments, first=()):
    number = syscalls.REFUSED[name][syscalls.PROCESSORS.get(os.uname().machine, (0,))[0]]
    return libc(f"libc.syscall({', '.join([str(number), *arguments])}) >= 0", *first)


def sysctl(name, most):
    def lacks():
        try:
            value = int(Path("/proc/sys", name).read_text())
        except OSError:
            return f"this kernel has no {name}"
        return "" if value <= most else f"{name} is {value}: the kernel refuses it by itself"

    return lacks


def vsock():
    try:
        socket.socket(socket.AF_VSOCK).close()
    except OSError as error:
        return f"this kernel has no vsock ({errno.errorcode.get(error.errno)})"
    return ""


def core_files():
    pattern = Path("/proc/sys/kernel/core_pattern").read_text().strip()
    return "" if pattern.startswith("core") else f"core files go elsewhere here: {pattern}"


def alive(runner):
    return runner.alive and next(iter(runner.run_cells([("still", "6 * 7")]))).output == "42\n"


def neighbour_died(result, runner, box):
    return not alive(runner)


def reach(family, place):
    return f"import socket\nsocket.socket(socket.{family}).connect({place!r})\nprint('won')"


OTHERS = "[int(p) for p in os.listdir('/proc') if p.isdigit() and int(p) not in (1, os.getpid(), os.getppid())]"
KILL = "import os\nfor pid in {pids}:\n    try: os.kill(pid, 9)\n    except OSError as error: print(error)"
READ, WRITE, NET, SIGNALS = "reading the clone", "writing anywhere", "the network, unix", "signals to the judge"
CALLS, OTHER, ENDLESS = "new user namespaces", "seeing other hand-ins", "endless loops"
MEMORY, CHANNEL = "memory beyond the limit", "whatever a process says"
NO_SWITCH = "namespaces of users and processes, /proc and Landlock each forbid it; one of them is bubblewrap's own"
ATTACKS = [
    # reading
    Attack(READ, "a file of the host", f"print(open('{HIDDEN}/secret').read())", MOUNTS, slow=True),
    Attack(
        READ, "the environment it was started from", "import os\nprint(os.environ['CLASS_SECRET'])",
        {"bubblewrap clears it": without("--clearenv"),
         "started with none": Outer(lambda command: command.env.update(os.environ, CLASS_SECRET="won"))}, slow=True,
    ),
    Attack(
        READ, "memory of the first process",
        "line = open('/proc/1/maps').readline()\nmemory = open('/proc/1/mem', 'rb', 0)\n"
        "memory.seek(int(line.split('-')[0], 16))\nprint('won' if memory.read(8) else '')", LANDLOCK | UNDUMPABLE,
    ),
    Attack(READ, "memory and environment of the judge",
           f"print('won' if b'=' in open('/proc/{os.getpid()}/environ', 'rb').read() else '')", why=NO_SWITCH),
    # writing
    Attack(WRITE, "a folder that everybody may write to", f"open('{SHOWN}/planted', 'w').write('x')\nprint('won')",
           {"mounted read-only": Outer(writable)} | LANDLOCK, slow=True),
    Attack(WRITE, "more than the disk may hold",
           "for i in range(40): open(f'/dev/shm/{i}', 'wb').write(bytes(1 << 20))\nprint('won')",
           {"the disk's size": disk(size=1 << 30)}),
    Attack(WRITE, "more files than a disk may hold",
           "import time\nfor i in range(3000): open(f'/dev/shm/{i}', 'w').close()\ntime.sleep(2)\nprint('won')",
           WATCHER | {"the disk's inodes": disk(files=1 << 20)}),
    # network
    Attack(NET, "a server of the host", reach("AF_INET", ("127.0.0.1", "PORT")).replace("'PORT'", "PORT"),
           OUTER_NETWORK | NETWORK, slow=True),
    Attack(NET, "an abstract socket of the host", reach("AF_UNIX", f"\0{HOST.name}"),
           OUTER_NETWORK | NETWORK | LANDLOCK, slow=True),
    Attack(NET, "a socket file of the host", reach("AF_UNIX", f"{HIDDEN}/socket"), MOUNTS, slow=True),
    Attack(NET, "a socket to the virtual machine's host", "import socket\nsocket.socket(socket.AF_VSOCK)\nprint('won')",
           FILTER, needs=vsock),
    # signals
    Attack(SIGNALS, "to the warden", "import os, time\nos.kill(os.getppid(), 9)\ntime.sleep(0.2)", PROCESSES | LANDLOCK,
           won=lambda result, runner, box: not box.first.is_running() or box.first.status() == "zombie"),
    Attack(SIGNALS, "to another runner", KILL.format(pids=OTHERS), LANDLOCK, beside="1", won=neighbour_died),
    Attack(SIGNALS, "to another hand-in", KILL.format(pids=OTHERS), PROCESSES | LANDLOCK, neighbour="1",
           won=neighbour_died),
    Attack(SIGNALS, "to the judge", "import os\nos.kill(VICTIM, 9)\nprint('won')", why=NO_SWITCH),
    # system calls
    Attack(CALLS, "a user namespace", libc("libc.unshare(0x10000000) == 0"),
           FILTER | NO_NAMESPACES),
    Attack(CALLS, "a mount", libc("libc.mount(b'tmpfs', b'/tmp', b'tmpfs', 0, b'') == 0"),
           FILTER | NO_RIGHTS | LANDLOCK),
    Attack(CALLS, "ptrace of another runner", libc(f"libc.ptrace(16, {OTHERS}[0], 0, 0) == 0"),
           FILTER | LANDLOCK | UNDUMPABLE, beside="1"),
    Attack(CALLS, "a keyring", syscall("add_key", "b'user'", "b'mine'", "b'x'", "1", "-4"), FILTER),
    Attack(CALLS, "bpf", syscall("bpf", "0", "struct.pack('IIII', 2, 4, 4, 1) + bytes(100)", "72"), FILTER,
           needs=sysctl("kernel/unprivileged_bpf_disabled", 0)),
    Attack(CALLS, "io_uring", syscall("io_uring_setup", "1", "ctypes.create_string_buffer(120)"), FILTER,
           needs=sysctl("kernel/io_uring_disabled", 0)),
    Attack(CALLS, "userfaultfd", syscall("userfaultfd", "1"), FILTER),
    Attack(CALLS, "perf events",
           syscall("perf_event_open", "event", "0", "-1", "-1", "0",
                   first=("event = struct.pack('IIQQQQQ', 1, 128, 0, 0, 0, 0, 0x61) + bytes(80)",)),
           FILTER, needs=sysctl("kernel/perf_event_paranoid", 2)),
    # neighbours
    Attack(OTHER, "its files", "print(open('/tmp/answer').read())", {"its own disks": no_mount("/tmp", "/dev/shm")},
           neighbour="open('/tmp/answer', 'w').write('won')"),
    Attack(OTHER, "its ports", reach("AF_INET", ("127.0.0.1", 7777)), NETWORK,
           neighbour="import socket\nserver = socket.create_server(('127.0.0.1', 7777))"),
    Attack(OTHER, "its abstract sockets", reach("AF_UNIX", "\0meet"), NETWORK | LANDLOCK,
           neighbour="import socket\nserver = socket.socket(socket.AF_UNIX)\nserver.bind('\\0meet')\nserver.listen()"),
    Attack(OTHER, "its terminals", "import os\nos.write(os.open('/dev/pts/0', os.O_RDWR), b'2 * x')\nprint('won')",
           {"its own terminals": no_mount("/dev/pts")}, neighbour="import os\nterminal = os.openpty()"),
    Attack(OTHER, "its shared memory", libc("libc.shmget(4711, 4096, 0) >= 0"),
           FILTER | {"its own IPC": Warden("walls.NEW_NAMESPACES &= ~0x08000000")},
           neighbour="import ctypes\nctypes.CDLL(None).shmget(4711, 4096, 0o1666)"),
    Attack(OTHER, "its processes", f"import os\nprint('won' if {OTHERS} else '')", PROCESSES, neighbour="1"),
    Attack(OTHER, "what it wrote into a file that came along", "import os\nprint(os.pread(2, 100, 0).decode())",
           {"no open file of the host": Warden("os.dup2 = lambda *words: 0")},
           neighbour="import os\nos.pwrite(2, b'won\\n', 0)"),
    # endless, dying
    Attack(ENDLESS, "a loop", "import time\nuntil = time.process_time() + 2\nwhile time.process_time() < until: pass\n"
           "print('won')", {"the clock": Judge(Runner, "_deadline", lambda self, _: Deadline(self.box.meter, 30))},
           limits=replace(SMALL, cell=1)),
    Attack(ENDLESS, "a native loop that is deaf to signals",
           "import signal\nfor number in range(1, 32):\n    try: signal.signal(number, signal.SIG_IGN)\n"
           "    except OSError: pass\nimport re\nre.match(r'(a+)+$', 'a' * 60 + 'b')",
           {"SIGKILL, not an interrupt": Warden("signal.SIGKILL = signal.SIGINT")}, limits=replace(SMALL, cell=0.5),
           won=lambda result, runner, box: len(family(box.first.pid)) > 1, slow=True),
    Attack(ENDLESS, "a fork bomb",
           "import os, time\nfor _ in range(40):\n    if not os.fork(): time.sleep(9); os._exit(0)\ntime.sleep(2)\n"
           "print('won')", WATCHER | {"RLIMIT_NPROC": no_limit("NPROC")}, limits=replace(SMALL, processes=16)),
    Attack(ENDLESS, "a thread bomb",
           "import threading, time\nall = [threading.Thread(target=time.sleep, args=(0.3,)) for _ in range(100)]\n"
           "for each in all: each.start()\nfor each in all: each.join()\nprint('won')",
           {"RLIMIT_NPROC": no_limit("NPROC"), "RLIMIT_DATA, by their stacks": no_limit("DATA")}),
    Attack(ENDLESS, "an exit", "import os\nos._exit(3)", why="judge and worker are two processes; there is no switch"),
    Attack(ENDLESS, "a crash", "import ctypes\nctypes.string_at(0)", why="as for an exit"),
    Attack(ENDLESS, "a recursion without end", "import sys\nsys.setrecursionlimit(10 ** 9)\nclass A:\n"
           "    def __repr__(self): return repr([self])\nrepr(A())", why="as for an exit"),
    # memory, output, keyboard
    Attack(MEMORY, "one process", "import time\nheld = b'x' * (700 << 20)\ntime.sleep(2)\nprint('won')",
           WATCHER | {"RLIMIT_DATA, RLIMIT_AS": no_limit("DATA", "AS")}, limits=replace(SMALL, memory=500 << 20)),
    Attack(MEMORY, "several processes",
           "import os, time\nfor _ in range(5):\n    if not os.fork():\n        held = b'x' * (150 << 20)\n"
           "        time.sleep(2)\n        os._exit(0)\nprint('' if sum(os.wait()[1] for _ in range(5)) else 'won')",
           WATCHER, limits=replace(SMALL, memory=600 << 20)),
    Attack(MEMORY, "a core file",
           "import ctypes, glob, os, resource, time\nif not os.fork():\n    ctypes.CDLL(None).prctl(4, 1)\n"
           "    resource.setrlimit(resource.RLIMIT_CORE, (resource.getrlimit(resource.RLIMIT_CORE)[1],) * 2)\n"
           "    os.abort()\nos.wait()\nprint('won' if glob.glob('core*') else '')",
           {"RLIMIT_CORE": no_limit("CORE")},
           needs=core_files),
    Attack(MEMORY, "endless output", "print('x' * (4 << 20))",
           {"the worker's cap": Warden("session.output_limit = 1 << 30"),
            "the judge's cap": Judge(sandbox, "OUTPUT_LIMIT", 1 << 30)},
           won=lambda result, runner, box: len(result.output) > 2 << 20),
    Attack(MEMORY, "a keyboard", "input('name? ')",
           {"no keyboard in Python": NO_KEYBOARD,
            "/dev/null": Warden("back = os.pipe()\nos.dup2(back[0], 0)")},
           limits=replace(SMALL, cell=1), won=lambda result, runner, box: result.error_name == "timed_out"),
    # the channel
    Attack(CHANNEL, "a frame larger than any answer",
           "import gc, json, struct\n[desk] = [o for o in gc.get_objects() if type(o).__name__ == 'Runner']\n"
           "head = json.dumps({'cell': 'attack', 'error': None, 'error_name': '', 'seconds': 0, 'line': 0}).encode()\n"
           "desk.sock.sendall(struct.pack('<4sIQ', b'CRS1', len(head), 257 << 20) + head)\n"
           "for _ in range(257): desk.sock.sendall(bytes(1 << 20))",
           {"the largest answer": Judge(wire, "MAX_ANSWER", 1 << 40)},
           won=lambda result, runner, box: result.error_name != "channel"),
]  # fmt: skip
SWITCHED = [attack for attack in ATTACKS if attack.walls]


@pytest.fixture(scope="module", autouse=True)
def host():
    """What the attacks look for on the host: a file, sockets, a folder; {word in a source: what it stands for}."""
    with contextlib.ExitStack() as stack:
        for folder, mode in ((HOST, 0o755), (HIDDEN, 0o755), (SHOWN, 0o777)):
            folder.mkdir()
            folder.chmod(mode)
        stack.callback(shutil.rmtree, HOST)
        stack.callback(lambda: [each.close() for each in _mothers])
        with pytest.MonkeyPatch.context() as monkeypatch:
            monkeypatch.setattr(zygote, "shared", functools.cache(lambda: mother(())))
            if missing := why_not() or Sandbox.cold_because:
                pytest.skip(missing)
        (HIDDEN / "secret").write_text("won")
        (HIDDEN / "secret").chmod(0o644)
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        for name in (f"\0{HOST.name}", f"{HIDDEN}/socket"):
            line = stack.enter_context(socket.socket(socket.AF_UNIX))
            line.bind(name)
            line.listen()
        (HIDDEN / "socket").chmod(0o777)
        victim = subprocess.Popen(["sleep", "600"])
        stack.callback(victim.wait)
        stack.callback(victim.kill)
        yield {"PORT": str(server.getsockname()[1]), "VICTIM": str(victim.pid)}


_mothers = []


@functools.cache
def mother(outer):
    """A zygote whose wardens take walls down on request, without these walls of its own."""
    walled, start = bubblewrap.walled, bubblewrap.start_source

    def shown(*words, **more):
        command = walled(*words, **more)
        show(command, SHOWN)
        for wall in outer:
            wall.down(command)
        return command

    def switchable(library, *words):
        return f"import sys; sys.path.insert(0, {library!r})\n{SWITCHES}\n{start(library, *words)}"

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(bubblewrap, "walled", shown)
        monkeypatch.setattr(bubblewrap, "start_source", switchable)
        _mothers.append(zygote.Zygote())
    return _mothers[-1]


def one_cell(runner, source):
    return next(iter(runner.run_cells([("attack", textwrap.dedent(source))])))


def wins(attack, names, host, kind="bwrap"):
    """Whether the attack wins with these of its walls down. Real processes; everything is put back afterwards."""
    source = functools.reduce(lambda text, word: text.replace(word, host[word]), host, attack.source)
    down = [attack.walls[name] for name in names]
    outer = mother(tuple(wall for wall in down if isinstance(wall, Outer)))
    code = "\n".join(wall.down for wall in down if isinstance(wall, Warden)).encode()
    program = (syscalls.program() or b"") + ASK + code
    with pytest.MonkeyPatch.context() as monkeypatch, contextlib.ExitStack() as stack:
        monkeypatch.setattr(zygote, "shared", functools.cache(lambda: outer))
        monkeypatch.setattr(syscalls, "program", lambda: program)
        monkeypatch.setattr(sandbox, "MAX_FILES_ON_DISK", 1000)
        for wall in down:
            if isinstance(wall, Judge):
                monkeypatch.setattr(wall.where, wall.name, wall.instead)
        box = Sandbox(limits=attack.limits, kind=kind)
        other = stack.enter_context(Sandbox(limits=attack.limits)) if attack.neighbour else box
        stack.enter_context(box)
        assert not Sandbox.cold_because, Sandbox.cold_because
        victim = other.runner() if attack.neighbour or attack.beside else None
        if victim is not None:
            assert one_cell(victim, attack.neighbour or attack.beside).error is None
        result = one_cell(box.runner(), source)
        return attack.won(result, victim, box) if attack.won else "won" in result.output.splitlines()


def each_of(attacks, slow=None):
    marks = [[pytest.mark.slow] * (each.slow if slow is None else slow) for each in attacks]
    found = [pytest.param(each, id=f"{each.promise}: {each.name}", marks=m) for each, m in zip(attacks, marks)]
    return pytest.mark.parametrize("attack", found)


def skip_without(attack, to_win=False):
    """Skip where this machine has not got a wall of the attack, or what the attack needs to win."""
    if "the syscall filter" in attack.walls and syscalls.program() is None:
        pytest.skip("no syscall numbers for this processor")
    if "Landlock" in attack.walls and ABI < 6:
        pytest.skip("Landlock keeps signals in from its version 6 on (Linux 6.12)")
    if to_win and (lacks := attack.needs()):
        pytest.skip(lacks)


@each_of(ATTACKS, slow=False)
def test_with_its_walls_up_an_attack_loses(attack, host):
    skip_without(attack)
    assert not wins(attack, (), host)


@each_of(SWITCHED)
def test_with_its_walls_down_the_attack_wins(attack, host):
    skip_without(attack, to_win=True)
    assert wins(attack, attack.walls, host)


@each_of([attack for attack in SWITCHED if len(attack.walls) > 1])
def test_each_of_several_walls_holds_alone(attack, host):
    skip_without(attack)
    for kept in attack.walls:
        assert not wins(attack, [name for name in attack.walls if name != kept], host), kept


@each_of([attack for attack in ATTACKS if attack.why == NO_SWITCH], slow=True)
def test_without_any_sandbox_the_attack_wins(attack, host):
    assert wins(attack, (), host, kind="none")


@each_of([attack for attack in ATTACKS if attack.why and attack.why != NO_SWITCH])
def test_in_the_judges_own_process_the_attack_takes_it_along(attack):
    pid = os.fork()
    if pid == 0:
        faulthandler.disable()
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        Session().run(attack.source)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) != 0


def test_every_promise_has_its_attacks_and_every_attack_its_reason():
    promised = re.search(r"What it stops.*?\n(.*?)\n\n", sandbox.__doc__, re.DOTALL)[1]
    promises = [line[2:] for line in promised.splitlines() if line.startswith("- ")]
    assert len(promises) > 5
    for promise in promises:
        assert any(promise.startswith(attack.promise) for attack in ATTACKS), promise
    for attack in ATTACKS:
        assert any(promise.startswith(attack.promise) for promise in promises), attack.promise
        assert bool(attack.walls) != bool(attack.why), attack.name
