"""The warm process that forks every sandbox: what its sandboxes share, and what happens when it is not there."""

import ast
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import msgspec
import nbformat
import psutil
import pytest

from autograder import ROOT
from autograder.authoring.unit import Unit, unit_folders
from autograder.classroom import grade
from autograder.judging import judge
from autograder.judging.needed import Cell
from autograder.judging.rules import HandIn, rules_for
from autograder.sandbox import bubblewrap, zygote
from autograder.sandbox.sandbox import Limits, Sandbox, SandboxGone, why_not

SMALL = Limits(cell=20, call=5, exercise=10, submission=120)


@pytest.fixture(scope="module", autouse=True)
def warm():
    """Walls that can be nested."""
    if missing := why_not() or Sandbox.cold_because:
        pytest.skip(missing)


@pytest.fixture
def broken():
    """For a test that breaks the zygote: the next one has a new one."""
    yield
    zygote.forget()
    Sandbox.cold_because = ""


def say(box, source):
    """What one cell said, in a runner of its own."""
    [result] = box.runner().run_cells([("cell", textwrap.dedent(source))])
    return result


@pytest.mark.parametrize("folder", unit_folders(), ids=lambda folder: folder.name)
def test_what_a_notebook_imports_is_there_before_it_is_forked(folder):
    unit = Unit.load(folder)
    notebook = nbformat.read(ROOT / "assignments" / unit.id / f"{unit.topic}.ipynb", as_version=4)
    [first] = [cell.source for cell in notebook.cells if "from course import check" in cell.source]
    imports = [ast.unparse(s) for s in ast.parse(first).body if isinstance(s, ast.Import | ast.ImportFrom)]
    lines = ["import sys", "before = set(sys.modules)", *imports, "sorted(set(sys.modules) - before)"]
    with Sandbox(limits=SMALL) as box:
        assert say(box, "\n".join(lines)).output == "[]\n"


def test_sandboxes_of_one_zygote_know_nothing_of_each_other():
    leave = """
    import os, socket, time
    open("/tmp/secret", "w").write("mine"); open("/dev/shm/secret", "w").write("mine")
    names = ["\\0meet", ("127.0.0.1", 7777)]
    kept = [socket.socket(socket.AF_UNIX), socket.socket()]
    for each, name in zip(kept, names):
        each.bind(name); each.listen()
    terminal = os.openpty()
    os.environ["MARK"] = "seen"
    os.getpid() < 100
    """
    look = """
    import glob, os, socket
    def reaches(family, name):
        try:
            socket.socket(family).connect(name)
        except OSError:
            return False
        return True
    files = os.path.exists("/tmp/secret"), os.path.exists("/dev/shm/secret"), "MARK" in os.environ
    met = reaches(socket.AF_UNIX, "\\0meet"), reaches(socket.AF_INET, ("127.0.0.1", 7777))
    files, *met, glob.glob("/dev/pts/[0-9]*")
    """
    with Sandbox(limits=SMALL) as one, Sandbox(limits=SMALL) as other:
        mine = one.runner()
        assert [r.output for r in mine.run_cells([("a", textwrap.dedent(leave))])] == ["True\n"]
        seen = say(other, look).output
        assert seen == "((False, False, False), False, False, [])\n"
        assert say(one, look).output != seen


def test_a_zygote_that_was_killed_is_replaced(broken):
    before = zygote.shared()
    with Sandbox(limits=SMALL) as box:
        above = psutil.Process(box.first.pid).parents()
        itself = next(each for each in above if each.parent().name() == "bwrap")
        itself.kill()
        itself.wait(10)
    with Sandbox(limits=SMALL) as box:
        assert say(box, "1 + 1").output == "2\n"
    assert zygote.shared() is not before and not Sandbox.cold_because


def test_a_sandbox_that_the_machine_took_away_is_no_verdict(monkeypatch):
    class Taken(Sandbox):
        def run_notebook(self, *words):
            found = super().run_notebook(*words)
            self.first.kill()
            return found

    monkeypatch.setattr(judge, "Sandbox", Taken)
    handin = HandIn("ada", [Cell("a", "fix_the_stub", "def fix_the_stub(x): return x", False)], "digest")
    with pytest.raises(SandboxGone, match="first process is gone"):
        judge.judge(rules_for("00_orientation"), handin, b"secret")


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("where", ["_setup", "run_notebook", "sweep"])
def test_a_sandbox_that_was_taken_away_is_tried_again_once(monkeypatch, times, where):
    taken = []

    def take(self, *words, **more):
        if len(taken) < times and self not in taken:
            taken.append(self)
            self.first.kill()
        return getattr(Sandbox, where)(self, *words, **more)

    monkeypatch.setattr(judge, "Sandbox", type("Taken", (Sandbox,), {where: take}))
    cell = nbformat.v4.new_code_cell("def fix_the_stub(x):\n    return 2 * x")
    cell.metadata["nbgrader"] = {"grade_id": "fix_the_stub", "locked": False, "grade": False}
    notebook = nbformat.writes(nbformat.v4.new_notebook(cells=[cell]))
    rules = rules_for("00_orientation")
    task = grade.Task(rules.unit, "ada", notebook, "digest", [], "00" * 32, rules.version)
    answer = msgspec.json.decode(grade.judge_task(msgspec.json.encode(task)), type=grade.Answer)
    assert len(taken) == times
    if times == 1:
        assert answer.verdict.score > 0 and not answer.failed
    else:  # another sandbox works, so it is the hand-in's own doing, if it is so again while nobody else is judged
        assert (answer.verdict.score, answer.verdict.state) == (0.0, "unreadable") and answer.doubtful
        assert answer.verdict.reason == grade.GONE and answer.verdict.check_version == rules.version


def test_where_no_sandbox_works_any_more_it_is_the_machine(monkeypatch):
    def gone(*words, **more):
        raise SandboxGone("its first process is gone")

    monkeypatch.setattr(grade, "judge", gone)
    monkeypatch.setattr(grade, "why_not", lambda: "user namespaces are switched off")
    task = grade.Task("00_orientation", "ada", nbformat.writes(nbformat.v4.new_notebook()), "digest", [], "00", "")
    task = msgspec.structs.replace(task, version=rules_for("00_orientation").version)
    answer = msgspec.json.decode(grade.judge_task(msgspec.json.encode(task)), type=grade.Answer)
    assert answer.verdict is None and "user namespaces are switched off" in answer.unfit


def test_the_second_try_has_the_time_that_is_left(monkeypatch):
    asked = []

    def judge_once(rules, handin, secret, spent=0.0):
        asked.append(spent)
        time.sleep(0.3)
        raise SandboxGone("its first process is gone")

    monkeypatch.setattr(grade, "judge", judge_once)
    rules = rules_for("00_orientation")
    task = grade.Task(rules.unit, "ada", nbformat.writes(nbformat.v4.new_notebook()), "d", [], "00", rules.version)
    grade.judge_task(msgspec.json.encode(task))
    assert asked[0] == 0 and 0.3 <= asked[1] < 2 and len(asked) == 2


def test_a_zygote_serves_several_processes():
    """As the judges of a class do: the socket is handed on."""
    source = """
    import socket, sys
    from autograder.sandbox import zygote
    from autograder.sandbox.sandbox import Sandbox
    zygote.adopt(socket.socket(fileno=int(sys.argv[1])))
    for _ in range(5):
        with Sandbox() as box:
            runner, results = box.run_notebook([("a", "6 * 7")])
            print(results[0].output, end="")
    """
    number = str(zygote.shared().control.fileno())
    judges = [
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(source), number], cwd=bubblewrap.ROOT, stdout=subprocess.PIPE,
            pass_fds=[int(number)], text=True,
        )
        for _ in range(2)
    ]  # fmt: skip
    assert [judge.communicate(timeout=60)[0] for judge in judges] == ["42\n" * 5] * 2


def test_where_namespaces_cannot_be_nested_sandboxes_start_cold(broken, monkeypatch):
    real = bubblewrap._namespaces
    monkeypatch.setattr(bubblewrap, "_namespaces", lambda bwrap, nested: real(bwrap, False))
    zygote.forget()
    with Sandbox(limits=SMALL) as box:
        assert say(box, "1 + 1").output == "2\n"
    assert "new namespaces" in Sandbox.cold_because


GATHERED = """
import os, re, torch
torch.set_num_threads(1)  # a thread pool does not survive a fork
from course.worker import worker
numbers = torch.arange(16 << 20)  # 128 MiB
def huge():
    return int(re.search(r"AnonHugePages: +(\\d+) kB", open("/proc/self/smaps_rollup").read())[1]) >> 10
before = huge()
made = worker.gather_pages()
assert huge() - before >= 100, (before, made, huge())
if os.fork() == 0:
    numbers.zero_()
    os._exit(0)
os.wait()
assert torch.equal(numbers, torch.arange(16 << 20))
"""


def test_memory_is_gathered_on_huge_pages_and_stays_what_it_was():
    setting = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    if not setting.is_file() or "[never]" in setting.read_text():
        pytest.skip("this kernel has no huge pages for anonymous memory")
    subprocess.run([sys.executable, "-c", GATHERED], check=True, timeout=60)
