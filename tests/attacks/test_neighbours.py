"""THREATS.md, lines 20, 21, 27 and 30 in our own design: the zygote, and hand-ins that are judged at the same time.

All sandboxes of a judge are forks of one warm process. Here a hand-in looks for that process, for what others left in
it, and for its neighbours; tests/autograder/test_zygote.py says what sandboxes share when nobody attacks.
"""

# ruff: noqa: E501 - attacks are programs in strings

import contextlib
import os
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from attack_class import (
    LEFT_BEHIND,
    ORIENTATION,
    ROOT,
    SMALL,
    Attack,
    Class,
    check_nothing_outside_changed,
    check_verdict,
    controls,
)

from autograder.sandbox import zygote
from autograder.sandbox.sandbox import Sandbox, why_not

PLAIN = {"fix_the_stub": "def fix_the_stub(x):\n    return x + 1\n"}
SOLVED, TWO = ("program_offsets",), {"program_offsets": 2.0}
MEET = """
import ctypes, glob, os, random, socket, time
libc = ctypes.CDLL(None, use_errno=True)
answer = 'def fix_the_stub(x):\\n    return 2 * x\\n'
me = os.urandom(4).hex()
places = ['/tmp', '/dev/shm', '/var/tmp', '/library', '/dev/pts', '/proc/1/cwd']
for place in places:
    try:
        open(f'{place}/answer-{me}', 'w').write(answer)
    except OSError:
        pass
mine, terminal = os.openpty()
line, port = socket.socket(2, socket.SOCK_DGRAM), random.randrange(20_000, 20_050)
line.bind(('127.0.0.1', port))
line.setblocking(False)
second = libc.shmget(4711, 4096, 0o3666) < 0 and ctypes.get_errno() == 17
"""
LOOK = """
found, until = ['shared memory'] if second else [], time.time() + 2
while time.time() < until and not found:
    for place in [*places, '/proc/[0-9]*/root/tmp']:
        found += [path for path in glob.glob(f'{place}/answer-*') if me not in path]
    for number in range(20):
        try:
            other = os.open(f'/dev/pts/{number}', os.O_RDWR | os.O_NONBLOCK)
            if not os.path.sameopenfile(other, terminal):
                found.append(number)
        except OSError:
            pass
    for other in range(20_000, 20_050):
        try:
            line.sendto(me.encode(), ('127.0.0.1', other))
            told = line.recv(100).decode()
            found += [told] if told != me else []
        except OSError:
            pass
    time.sleep(0.1)
if found:
    print(found)
    exec(answer)
"""
ATTACKS = [
    *controls(ORIENTATION, ("fix_the_stub", "program_offsets", "count_bytes"), PLAIN),
    *(
        Attack(
            f"neighbour_{letter}", 20, "leaves an answer everywhere, and takes any that a hand-in judged at the same time left",
            write=PLAIN, solved=SOLVED, scores=TWO, before=(MEET,), after=(LOOK,),
        )
        for letter in "abcd"
    ),
]  # fmt: skip
SPOIL = """
import ctypes, os, socket, struct, torch
libc = ctypes.CDLL(None, use_errno=True)
reached = []
def attempt(what, *args):
    try:
        return what(*args)
    except (OSError, ValueError, AttributeError):
        return None

# sockets that came along: ask on them as the judge asks, and take what the judge asks the zygote for others
ours, theirs = socket.socketpair()
came_along = []
for number in range(3, 256):
    if number not in (ours.fileno(), theirs.fileno()) and (line := attempt(lambda: socket.socket(fileno=os.dup(number)))):
        came_along.append(line)
for line in came_along:
    if line.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE) == socket.SOCK_SEQPACKET:
        attempt(socket.send_fds, line, [struct.pack('<QQ', 1 << 20, 100)], [theirs.fileno()])
        if not os.fork():
            while True:
                _, taken, *_ = socket.recv_fds(line, 1 << 16, 1)
                [socket.socket(fileno=each).close() for each in taken] or os._exit(0)
ours.settimeout(2)
if attempt(ours.recv, 1):
    reached.append('the zygote')

# memory that forks share, the first process's files, its limits, its priority
for line in open('/proc/self/maps'):
    span, rights, *_ = line.split()
    if rights.startswith('rw') and rights.endswith('s'):
        start = int(span.split('-')[0], 16)
        ctypes.memset(start, 0xff, 64)
for pid in (0, 1, os.getppid()):
    for path in (f'/proc/{pid}/mem', f'/proc/{pid}/oom_score_adj', f'/proc/{pid}/comm', f'/proc/{pid}/coredump_filter'):
        attempt(lambda: open(path, 'r+').write('7'))
    for limit in range(16):
        libc.prlimit(pid, limit, (ctypes.c_uint64 * 2)(0, 0), None) if pid else None
    attempt(os.setpriority, os.PRIO_PROCESS, pid, 19)
    attempt(os.sched_setaffinity, pid, {0})
attempt(os.setpriority, os.PRIO_USER, os.getuid(), 19)
for path in ('/proc/sys/kernel/hostname', '/proc/sys/kernel/msgmax', '/proc/sys/net/ipv4/ip_forward'):
    attempt(lambda: open(path, 'w').write('1'))
libc.sethostname(b'mine', 4), libc.shmget(1234, 4096, 0o1666), libc.msgget(1234, 0o1666), libc.semget(1234, 1, 0o1666)
os.umask(0o777), attempt(os.chmod, '/tmp', 0), os.environ.update(MARK='1')
for place in ('/dev/shm', '/tmp', '/library', '/env', '/'):
    attempt(lambda: open(place + '/mark', 'w').write('1'))
kept = [attempt(os.openpty) for _ in range(20)]
for number in range(15_000):  # more end the hand-in
    attempt(os.mkdir, f'/dev/shm/{number}')
torch.softmax = torch.nn.functional.softmax = None
torch.set_default_dtype(torch.float64), torch.manual_seed(7)
torch._C._set_grad_enabled(False)
print('reached', *reached)
"""
FINGERPRINT = """
import glob, os, resource, sys, torch
def read(path):
    try:
        return open(path).read()
    except OSError:
        return ''
links = sorted(os.readlink(p).split(':')[0] for p in glob.glob('/proc/self/fd/*') if os.path.lexists(p))
mounts = sorted(' '.join(line.split()[3:6]) for line in read('/proc/self/mountinfo').splitlines())
places = {p: sorted(os.listdir(p)) for p in ('/tmp', '/dev/shm', '/dev/pts', '/library', '/')}
room = {p: (os.statvfs(p).f_ffree, os.statvfs(p).f_bfree) for p in ('/tmp', '/dev/shm')}
limits = [resource.getrlimit(n) for n in range(16)]
shared = [len(read('/proc/sysvipc/' + kind).splitlines()) for kind in ('shm', 'msg', 'sem')]
self = [os.getpid(), os.umask(0o22), os.nice(0), sorted(os.sched_getaffinity(0)), read('/proc/self/oom_score_adj'), read('/proc/self/comm')]
first = [read('/proc/1/comm'), read('/proc/1/oom_score_adj'), read('/proc/1/limits')]
numbers = [torch.softmax(torch.tensor([0.0, 1.0]), 0).tolist(), torch.initial_seed(), str(torch.get_default_dtype()), torch.is_grad_enabled()]
print([sorted(os.environ.items()), links, mounts, places, room, limits, shared, self, first, os.uname().nodename, numbers, sorted(sys.modules)])
"""

LEAVE = """
import os, stat
for number in range(256):
    try:
        if stat.S_ISREG(os.fstat(number).st_mode):
            os.pwrite(number, b'2 * x', 0)
    except OSError:
        pass
"""
TAKE = """
import os, stat
for number in range(256):
    try:
        if stat.S_ISREG(os.fstat(number).st_mode):
            print(number, os.pread(number, 100, 0))
    except OSError:
        pass
"""


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    group = Class(tmp_path_factory.mktemp("neighbours"), ORIENTATION, ATTACKS)
    for attack in ATTACKS:
        group.hand_in(attack)
    group.before = group.files()
    return group.again()


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda a: a.name)
def test_hand_ins_judged_at_the_same_time_do_not_meet(graded, attack):
    check_verdict(attack, graded.verdicts[attack.name])


def test_nothing_outside_the_workers_changed(graded):
    check_nothing_outside_changed(graded, graded.before)


def known_to(pid):
    """What a process was started with, and the files it has open."""
    told = []
    for source in ("environ", "cmdline"):
        with contextlib.suppress(OSError):
            told.append(Path(f"/proc/{pid}/{source}").read_bytes())
    with contextlib.suppress(OSError):
        told += [os.fsencode(os.readlink(link)) for link in Path(f"/proc/{pid}/fd").iterdir()]
    return b" ".join(told)


BUSY = f"""
import ctypes, os
for _ in range(40):
    if os.fork() == 0:
        ctypes.CDLL(None).prctl(15, {LEFT_BEHIND.encode()!r})
        os.setsid()
        while True: pass
while True: pass
"""
SLOW = """
def fix_the_stub(x):
    import time
    until = time.process_time() + 0.2
    while time.process_time() < until: pass
    return 2 * x
"""
BRISK = replace(SMALL, cell=4, call=0.4, exercise=5)  # of which the slow answer needs more than half
STARVING = [
    *(
        Attack(
            f"busy_{letter}", 43, "forty endless loops in each of several cells", write=PLAIN, solved=SOLVED, scores=TWO,
            before=tuple(f"{BUSY}\n# {turn}" for turn in range(2)), limits=BRISK,
        )
        for letter in "ac"
    ),
    *(
        Attack(
            f"{letter}_slow", 0, "an honest answer that needs more than half of its time", write={"fix_the_stub": SLOW},
            solved=SOLVED, scores=TWO | {"fix_the_stub": 1.0}, limits=BRISK,
        )
        for letter in ("b", "bb", "c", "d")
    ),
]  # fmt: skip


@pytest.fixture(scope="module")
def starving(tmp_path_factory):
    group = Class(tmp_path_factory.mktemp("starving"), ORIENTATION, STARVING)
    return group.run()


@pytest.mark.parametrize("attack", STARVING, ids=lambda a: a.name)
def test_an_honest_slow_answer_beside_a_hog_keeps_its_points(starving, attack):
    check_verdict(attack, starving.verdicts[attack.name])


@pytest.fixture(scope="module")
def warm():
    if missing := why_not() or Sandbox.cold_because:
        pytest.skip(missing)


def said(box, *sources):
    """What the last of these cells printed."""
    *_, last = box.runner().run_cells([(f"cell-{i}", source) for i, source in enumerate(sources)])
    assert last.error is None, last
    return last.output


def fingerprint():
    """All that a hand-in can see of its world, in a new sandbox."""
    with Sandbox(limits=SMALL) as box:
        return said(box, FINGERPRINT)


def test_a_hand_in_finds_the_world_as_the_one_before_it_did(warm):
    """Also a second one in the same zygote, while the first is still there, and after it."""
    before, mother = fingerprint(), zygote.shared()
    with Sandbox(limits=SMALL) as box:
        assert said(box, SPOIL) == "reached\n"
        assert fingerprint() == fingerprint() == before  # a thief would get the second question
    assert fingerprint() == before
    assert zygote.shared() is mother and mother.process.poll() is None


def test_no_open_file_is_shared(warm):
    with Sandbox(limits=SMALL) as box:
        said(box, LEAVE)
    with Sandbox(limits=SMALL) as box:
        assert said(box, TAKE) == ""


def test_the_fingerprint_sees_what_is_left(warm):
    with Sandbox(limits=SMALL) as box:
        assert said(box, "open('/tmp/left', 'w').close()", FINGERPRINT) != fingerprint()


def test_the_zygote_holds_nothing_of_the_judge(warm, monkeypatch):
    """It is asked by a socket and told numbers: no secret, no path of the clone, no environment of ours."""
    monkeypatch.setenv("CLASS_SECRET", "not for you")
    zygote.forget()
    with Sandbox(limits=SMALL) as box:
        inside = [box.first.pid, *(p.pid for p in psutil.Process(box.first.pid).parents())]
        inside = inside[: inside.index(zygote.shared().process.pid)]
        told = b"".join(known_to(pid) for pid in inside)
        assert len(inside) > 1 and b"PATH=" in told
        assert b"CLASS_SECRET" not in told and os.fsencode(ROOT) not in told
