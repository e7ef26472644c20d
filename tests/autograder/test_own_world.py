"""What a hand-in does to its own disks, names, processes: a crash gives it a new world, and nothing ends the warden."""

import sys
import textwrap
import time
from dataclasses import replace

import pytest

from autograder.sandbox.sandbox import Limits, Sandbox, family, why_not

if sys.platform != "linux":
    pytest.skip("the sandbox needs Linux", allow_module_level=True)

SMALL = Limits(cell=6, call=3, exercise=6, submission=60, memory=900 << 20, processes=48, tmp=32 << 20)
LOCKS = {
    "a locked disk": "os.chmod('/tmp', 0)",
    "a locked memory disk": "os.chmod('/dev/shm', 0)",
    "a working directory that can't be written": "os.chmod('/tmp/work', 0o555)",
    "a file for a working directory": "os.rename('/tmp/work', '/tmp/old')\nopen('/tmp/work', 'w').close()",
    "a link for a working directory": "os.rename('/tmp/work', '/tmp/old')\nos.symlink('/proc/1', '/tmp/work')",
    "a side file that is a folder": "os.remove('side.txt')\nos.mkdir('side.txt')",
    "folders that can't be read": "for i in range(200):\n    os.makedirs(f'/tmp/{i}/x')\n    os.chmod(f'/tmp/{i}', 0)",
    "a module for the warden": "open('resource.py', 'w').write('1 / 0')\nopen('signal.py', 'w').write('1 / 0')",
    "names that are no text": "import ctypes\nctypes.CDLL(None).prctl(15, b'\\xff\\xfe) R')\n"
    "os.fork() or time.sleep(9)",
    "hundreds of orphans": "for _ in range(300):\n    if not os.fork():\n        os.fork()\n        os._exit(0)\n"
    "    os.wait()",
    "files in flight": "import socket\nkept = [socket.socketpair() for _ in range(40)]\n"
    "for a, b in kept:\n    try: socket.send_fds(a, [b'x'], [0] * 250)\n    except OSError: pass",
}


@pytest.fixture(scope="module", params=["bwrap", pytest.param("cold", marks=pytest.mark.slow)])
def walls(request):
    missing = why_not(request.param)
    if missing:
        pytest.skip(missing)
    return request.param


@pytest.mark.parametrize("how", LOCKS)
def test_a_crash_after_it_spoilt_its_world_costs_the_cell_only(walls, how):
    spoil_and_crash(walls, LOCKS[how])


def spoil_and_crash(kind, source):
    cells = [("before", "x = 20"), ("spoils", f"import os, time\n{source}\nos._exit(0)"), ("after", "x + 1")]
    cells.append(("side", "open('side.txt').read(), sorted(__import__('os').listdir('/dev/shm'))"))
    limits = replace(SMALL, cell=20) if kind == "cold" else SMALL  # there a fork takes three times as long
    with Sandbox({"side.txt": b"given"}, limits, kind) as box:
        runner, results = box.run_notebook(cells)
        assert [r.error_name for r in results] == ["", "killed", "", ""], results
        assert results[2].output == "21\n" and results[3].output == "('given', [])\n"
        with runner.exercise():
            pass
        give_up = time.monotonic() + 5  # the dead are there until they are reaped
        while len(family(box.first.pid)) > 2 and time.monotonic() < give_up:
            time.sleep(0.01)
        assert not box.gone and len(family(box.first.pid)) == 2


def test_a_crash_without_walls_starts_anew(tmp_path):
    source = f"import os\nopen('left', 'w').close()\nopen({str(tmp_path / 'seen')!r}, 'w').close()\nos._exit(0)"
    with Sandbox({"side.txt": b"given"}, SMALL, "none") as box:
        runner, results = box.run_notebook([("a", source), ("b", "sorted(__import__('os').listdir())")])
        assert results[1].output == "['side.txt']\n" and (tmp_path / "seen").exists()


def test_costs_and_the_time_that_is_left_outlast_a_crash():
    busy = "import os, time\nheld = b'x' * (200 << 20)\nuntil = time.process_time() + 0.8\n"
    busy += "while time.process_time() < until: pass\nos._exit(0)"
    with Sandbox(limits=SMALL) as box:
        before = box.deadline
        box.run_notebook([("a", busy), ("b", "1")])
        assert box.deadline is before and before.left() < SMALL.submission - 0.8
        assert box.processor_seconds() > 0.5 and box.peak_bytes > 150 << 20


def test_the_whole_notebook_has_a_limit_over_all_its_crashes():
    with Sandbox(limits=replace(SMALL, submission=3)) as box:
        crash = "import time, os\ntime.sleep(0.5)\nos._exit(0)"
        with pytest.raises(Exception, match="whole notebook"):
            box.run_notebook([(str(i), crash) for i in range(20)])


WATCHED = """
import ctypes, os, time
ctypes.CDLL(None).prctl(15, b'\\xff\\xfe')
held = []
for _ in range(60):
    held.append(b'x' * (20 << 20))
    time.sleep(0.02)
print('won')
"""


def test_a_name_that_is_no_text_does_not_blind_the_watcher():
    with Sandbox(limits=replace(SMALL, memory=400 << 20)) as box:
        [result] = box.runner().run_cells([("a", textwrap.dedent(WATCHED))])
        assert "won" not in result.output and result.error_name in ("out_of_memory", "MemoryError"), result
        box.sweep()
        assert box.processor_seconds() > 0


def test_a_warden_that_can_start_no_process_says_so_and_stays():
    """As when the machine, or a control group, has no room for one."""
    with Sandbox(limits=SMALL) as box:
        folder = box.group.folders.get("pids")
        if folder is None:
            pytest.skip("no control group for processes here")
        (folder / "pids.max").write_text("1")
        with pytest.raises(Exception, match="no process could be started"):
            box.runner()
        (folder / "pids.max").write_text("100")
        assert not box.gone and box.runner().alive
