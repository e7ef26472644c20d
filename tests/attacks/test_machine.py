"""THREATS.md, lines 42 and 43: ending one's sandbox, and taking the machine from those who are judged beside one.

What a hand-in does to its own world is its own verdict, at once and for good. What it takes of processors and memory it
takes from itself. Everything here is capped at tens of MB: the walls must not be needed to survive a test.
"""

# ruff: noqa: E501 - attacks are programs in strings

from dataclasses import replace

import pytest
from attack_class import (
    LEFT_BEHIND,
    ORIENTATION,
    SHORT,
    SMALL,
    Attack,
    Class,
    check_nothing_outside_changed,
    check_verdict,
    controls,
    unit_of,
)

BAD = {"fix_the_stub": "def fix_the_stub(x):\n    return x + 1\n"}
OFFSETS = {"program_offsets": 2.0}
POINTS = unit_of(ORIENTATION).points
TIGHT = replace(SHORT, memory=700 << 20)


def crash(name, why, code, **more):
    """A cell that spoils its world and crashes; the honest exercise below it counts."""
    code = f"import os, time\n{code}\nos._exit(0)"
    more = {"limits": SHORT} | more
    return Attack(name, 42, why, write=BAD, before=(code,), solved=("program_offsets",), scores=OFFSETS, **more)


def takes(name, why, body, **more):
    """An exercise that takes what it can, once, and answers rightly only if it got more than is allowed."""
    lines = "".join(f"    {line}\n" for line in body.strip("\n").splitlines())
    code = f"def take():\n    import os, socket, time\n    got = False\n{lines}    return got\n"
    code += "got_it = []\ndef fix_the_stub(x):\n    got_it or got_it.append(take())\n"
    code += "    return 2 * x if got_it[0] else x + 1\n"
    more = {"limits": TIGHT} | more
    return Attack(name, 43, why, write={"fix_the_stub": code}, solved=("program_offsets",), scores=OFFSETS, **more)


HOG = f"""
import ctypes, os, time
def burn():
    ctypes.CDLL(None).prctl(15, {LEFT_BEHIND.encode()!r})
    os.setsid()
    while True: pass
for _ in range(40):
    if os.fork() == 0:
        burn()
"""
RENICES = """
import os
reached = []
def attempt(what, *args):
    try:
        what(*args)
        reached.append(what)
    except OSError:
        pass
attempt(os.setpriority, os.PRIO_PROCESS, 1, 19)
attempt(os.setpriority, os.PRIO_USER, os.getuid(), 19)
attempt(os.setpriority, os.PRIO_PROCESS, 0, -5)
attempt(os.sched_setaffinity, 0, range(os.cpu_count()))
attempt(os.sched_setaffinity, 1, {0})
attempt(os.sched_setscheduler, 1, os.SCHED_IDLE, os.sched_param(0))
attempt(os.sched_setscheduler, 0, os.SCHED_FIFO, os.sched_param(1))
for pid in ('self', '1'):
    for file in ('oom_score_adj', 'autogroup'):
        attempt(lambda: open(f'/proc/{pid}/{file}', 'w').write('0'))
got = bool(reached)
"""
CODE = [
    # ending the sandbox
    crash("chmod_tmp", "locks its disk, then exits", "os.chmod('/tmp', 0)"),
    crash("chmod_shm", "locks its memory disk, then exits", "os.chmod('/dev/shm', 0)"),
    crash("work_is_a_file", "puts a file where the working directory was", "os.rename('/tmp/work', '/tmp/old')\nopen('/tmp/work', 'w').close()"),
    crash("work_is_a_link", "puts a link where the working directory was", "os.rename('/tmp/work', '/tmp/old')\nos.symlink('/proc/1/cwd', '/tmp/work')"),
    crash("work_is_locked", "a working directory that nobody can write to", "os.chmod('/tmp/work', 0o555)"),
    crash("locked_folders", "thousands of files in folders that nobody can read",
          "for i in range(2000):\n    os.makedirs(f'/tmp/{i}/a/b')\n    os.chmod(f'/tmp/{i}/a', 0)\n    os.chmod(f'/tmp/{i}', 0)"),
    crash("sleeps_then_locks", "lets time pass before it locks its disk: that is paid once", "time.sleep(1)\nos.chmod('/tmp', 0)"),
    crash("no_text", "names of processes that are no text, for whoever reads /proc",
          "import ctypes\nctypes.CDLL(None).prctl(15, b'\\xff) \\xfe(')\nfor _ in range(3):\n    if not os.fork(): time.sleep(60)\ntime.sleep(0.3)"),
    crash("modules_for_others", "modules in the working directory, for the first process to import",
          "for name in ('resource', 'select', 'signal', 'json', 'subprocess'):\n    open(name + '.py', 'w').write('import os; os._exit(0)')"),
    crash("stops_the_first", "signals for the first process, and its files", "import signal\nfor number in range(1, 65):\n    try: os.kill(1, number)\n    except OSError: pass"),
    Attack("locks_in_exercises", 42, "the same from exercises, three times",
           write={name: f"def {name}(*args):\n    import os\n    os.chmod('/tmp', 0)\n    os.kill(os.getppid(), 9)\n    os._exit(0)\n"
                  for name in ("fix_the_stub", "count_bytes", "roofline")},
           solved=("program_offsets",), scores=OFFSETS, limits=SHORT),
    # processors
    Attack("busy", 43, "forty endless loops, each in a session of its own", write=BAD, before=(HOG + "while True: pass",),
           solved=("program_offsets",), scores=OFFSETS, limits=SHORT),
    Attack("busy_and_gone", 43, "endless loops that outlive their cell, and run beside its own next ones", write=BAD,
           before=(HOG.replace("range(40)", "range(8)"),), solved=("program_offsets",), scores=OFFSETS),
    takes("renices", "puts the first process behind itself, itself before others, and out of the reach of memory's end", RENICES),
    takes("uncounted_children", "loops in processes whose time nobody counts, since nobody waits for them",
          "import signal\nsignal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"
          "while True:\n    if not os.fork():\n        until = time.process_time() + 0.05\n"
          "        while time.process_time() < until: pass\n        os._exit(0)\n    time.sleep(0.02)",
          states={"fix_the_stub": "timed_out"}),
    # memory that no process's size shows
    takes("large_socket_buffers", "sockets with large buffers: 40 MB of them",
          "held, sent = [], 0\nfor _ in range(20):\n    pair = socket.socketpair()\n    held += pair\n    for each in pair:\n"
          "        each.setblocking(False)\n        for size in (7, 8, 32, 33):\n"
          "            try: each.setsockopt(socket.SOL_SOCKET, size, 1 << 30)\n            except OSError: pass\n"
          "        try:\n            while sent < 40 << 20: sent += each.send(b'x' * 30_000)\n        except OSError: pass\n"
          "got = sent > 12 << 20"),
    takes("many_sockets", "more sockets than any answer needs, in several processes",
          "for _ in range(6):\n    if not os.fork():\n        held = [socket.socketpair() for _ in range(60)]\n        time.sleep(60)\n"
          "time.sleep(1.5)\ngot = True", states={"fix_the_stub": "crashed"}, says="sockets"),
    takes("sockets_in_flight", "sockets that are held by nobody but other sockets",
          "held = [socket.socketpair() for _ in range(8)]\nflying = 0\nfor _ in range(40):\n"
          "    mine = [socket.socket() for _ in range(100)]\n    for a, b in held:\n"
          "        try:\n            socket.send_fds(a, [b'x'], [each.fileno() for each in mine])\n            flying += 100\n            break\n"
          "        except OSError: pass\n    for each in mine: each.close()\ngot = flying > 2000"),
    takes("large_pipes", "pipes of a MiB each",
          "import fcntl\nfor _ in range(10):\n    _, into = os.pipe()\n    try: got = fcntl.fcntl(into, 1031, 1 << 20) >= 1 << 20 or got\n"
          "    except OSError: pass"),
    takes("loopback", "data that nobody reads, on TCP connections to itself: 40 MB",
          "server, held, sent = socket.create_server(('127.0.0.1', 0)), [], 0\nfor _ in range(10):\n"
          "    client = socket.create_connection(server.getsockname())\n    held += [client, server.accept()[0]]\n    client.setblocking(False)\n"
          "    until = time.time() + 0.1\n    while sent < 40 << 20 and time.time() < until:\n"
          "        try: sent += client.send(b'x' * 60_000)\n        except OSError: time.sleep(0.005)\ngot = sent > 12 << 20"),
    takes("watches", "more watches of files than a machine should hold",
          "import ctypes\nlibc = ctypes.CDLL(None)\nmade = 0\nfor _ in range(100):\n    watch = libc.inotify_init()\n    if watch >= 0: made += 1\n"
          "got = made > 64"),
    takes("message_queues", "queues and shared memory that outlive their processes",
          "import ctypes\nlibc = ctypes.CDLL(None)\ngot = max(libc.mq_open(b'/x', 0o102, 0o600, None), libc.msgget(7, 0o1600), libc.shmget(7, 1 << 20, 0o1600),\n"
          "          libc.memfd_create(b'x', 0)) >= 0"),
    takes("burst", "twenty processes that each touch 40 MB at the same moment",
          "go = time.time() + 0.7\nfor _ in range(20):\n    if not os.fork():\n        time.sleep(max(0, go - time.time()))\n"
          "        held = b'x' * (40 << 20)\n        time.sleep(60)\ntime.sleep(1.6)\ngot = True", states={"fix_the_stub": "out_of_memory"}),
    takes("shared_file", "a sparse file that many processes read by its pages",
          "import mmap\nwith open('/dev/shm/hole', 'wb') as file: file.truncate(1 << 30)\nfor _ in range(10):\n    if not os.fork():\n"
          "        try:\n            with open('/dev/shm/hole', 'rb') as file:\n                seen = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)\n"
          "            for at in range(0, 200 << 20, 4096): seen[at]\n        finally:\n            os._exit(0)\n"
          "got = all(os.wait()[1] == 0 for _ in range(10))"),
]  # fmt: skip
POOL = """
def fix_the_stub(x):
    import multiprocessing, threading
    with multiprocessing.get_context("fork").Pool(2) as pool:
        doubled = pool.map(abs, range(100))
    seen = []
    threads = [threading.Thread(target=lambda: seen.append(sum(doubled))) for _ in range(4)]
    for each in threads: each.start()
    for each in threads: each.join()
    return x * (2 if seen == [4950] * 4 else 0)
"""
FILES = """
import os, tempfile
for _ in range(6):
    with tempfile.TemporaryDirectory() as folder:
        for number in range(1000):
            with open(f"{folder}/{number}", "w") as file:
                file.write("kept for a moment")
left = os.listdir(tempfile.gettempdir())
"""
TALKS = """
def fix_the_stub(x):
    import multiprocessing, os, socket
    ours, theirs = socket.socketpair()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16)
    here, there = multiprocessing.Pipe()
    if not os.fork():
        theirs.sendall(str(here.recv()).encode())
        os._exit(0)
    there.send(2)
    factor = int(ours.recv(10))
    os.wait()
    os.nice(1)
    return x * factor
"""
DOUBLED = {"fix_the_stub": POINTS["fix_the_stub"]}
HONEST = [
    Attack("honest_processes", 0, "two processes and four threads", write={"fix_the_stub": POOL}, scores=DOUBLED, limits=SMALL),
    Attack("honest_files", 0, "thousands of files that come and go", solved=("fix_the_stub",), before=(FILES,), scores=DOUBLED),
    Attack("honest_talks", 0, "a pair of sockets, a pipe, a lower priority", write={"fix_the_stub": TALKS}, scores=DOUBLED),
]
ATTACKS = [*controls(ORIENTATION, ("fix_the_stub", "program_offsets", "count_bytes"), BAD), *HONEST, *CODE]


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    group = Class(tmp_path_factory.mktemp("machine"), ORIENTATION, ATTACKS)
    for attack in ATTACKS:
        group.hand_in(attack)
    group.before = group.files()
    return group.again()


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda a: f"{a.line}-{a.name}")
def test_it_costs_what_it_spoils_and_nothing_else(graded, attack):
    check_verdict(attack, graded.verdicts[attack.name])


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda a: f"{a.line}-{a.name}")
def test_its_verdict_is_kept(graded, attack):
    assert graded.verdicts[attack.name].check_version == graded.verdicts["honest_right"].check_version != ""


def test_nothing_outside_the_workers_changed(graded):
    check_nothing_outside_changed(graded, graded.before)
