"""The command line as a learner meets it: words in, words and exit codes out, on a course of one tiny unit."""

from __future__ import annotations

import ast
import datetime
import json
import os
import subprocess
import sys
import textwrap
import time
from importlib import metadata
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch

from course.checking.cases import Case, Cases, CheckCases, Misconception, Outcome, Ref, Step
from course.checking.verdict import Verdict
from course.command_line import cli, doctor, lab, progress, selfcheck
from course.errors import EnvironmentLacking, InputError

DOUBLE = "def double(x):\n    return 2 * x"
SQUARE = "def square(x):\n    return x * x"
HERE = {**os.environ, "PYTHONPATH": str(Path(cli.__file__).parents[2])}
STUB = 'def {0}(x):\n    raise NotImplementedError("write {0} here")'


def tiny_cases() -> Cases:
    x = torch.tensor([1.0, 2.0, 3.0])
    twice = Case("doubles every number", 1, [Step("__call__", (x,), {}), Step("close", (Ref(0), 2 * x))])
    known = Misconception("adds_one", "You add one instead.", "What is 2 times 3?", [Outcome([x + 1])])
    squares = Case("squares every number", 1, [Step("__call__", (x,), {}), Step("close", (Ref(0), x * x))])
    return Cases(
        "00_tiny",
        {
            "double": CheckCases("double", 3, "function", ["Think of x + x.", "2 * x."], [twice], [known], minutes=5),
            "square": CheckCases("square", 2, "function", [], [squares]),
        },
    )


def notebook(double: str, square: str, *extra: str) -> nbformat.NotebookNode:
    """The tiny unit's notebook with these two answers; `extra` code cells stand before them."""

    def cell(kind: str, grade_id: str, source: str, **marks) -> nbformat.NotebookNode:
        made = nbformat.v4.new_code_cell(source) if kind == "code" else nbformat.v4.new_markdown_cell(source)
        plain = {"schema_version": 3, "grade": False, "solution": False, "locked": False, "task": False}
        made.metadata["nbgrader"] = {**plain, "grade_id": grade_id, **marks}
        made["id"] = grade_id
        return made

    cells = [cell("code", f"code-{n}", source, locked=True) for n, source in enumerate(("import torch", *extra))]
    for name, source in (("double", double), ("square", square)):
        cells.append(cell("code", name, source, solution=True))
        cells.append(cell("code", f"check-{name}", f'check("{name}")', grade=True, locked=True, points=1))
    cells.append(cell("markdown", "explain-why", "Why?", task=True, locked=True, points=4))
    made = nbformat.v4.new_notebook(cells=cells)
    made.metadata["course"] = {"unit": "00_tiny"}
    return made


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    """A course of one unit, entered; what the suite's own shell knows of width is not wanted."""
    for place in ("assignments", "solutions"):
        (tmp_path / place / "00_tiny").mkdir(parents=True)
    nbformat.write(notebook(STUB.format("double"), STUB.format("square")), tmp_path / "assignments/00_tiny/tiny.ipynb")
    nbformat.write(notebook(DOUBLE, SQUARE), tmp_path / "solutions/00_tiny/tiny.ipynb")
    tiny_cases().save(tmp_path / "assignments/00_tiny/cases.npz")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli.metadata, "entry_points", lambda group: [])
    return tmp_path


def course(capsys, *words: str) -> tuple[int, str, str]:
    code = cli.run(list(words))
    out, err = capsys.readouterr()
    return code, out, err


def is_one_sentence(err: str) -> bool:
    return err.startswith("course: ") and err.count("\n") == 1 and "Traceback" not in err


# check


def test_untouched_notebook_has_no_points_and_says_so(root, capsys):
    code, out, _ = course(capsys, "check", "assignments/00_tiny/tiny.ipynb", "--json")
    found = json.loads(out)
    assert code == 1
    assert (found["schema"], found["score"], found["max_score"], found["manual_max"]) == (1, 0, 5, 4)
    assert [e["state"] for e in found["exercises"]] == ["not_attempted", "not_attempted"]


def test_solution_has_all_points_without_cases_beside_it(root, capsys):
    code, out, _ = course(capsys, "check", "solutions/00_tiny/tiny.ipynb", "--json")
    assert (code, json.loads(out)["score"]) == (0, 5)


def test_table_names_the_misconception(root, capsys):
    nbformat.write(notebook("def double(x):\n    return x + 1", SQUARE), "mine.ipynb")
    code, out, _ = course(capsys, "check", "mine.ipynb")
    assert code == 1
    assert "You add one instead." in out and "2 of 5 points; 4 more are given by a person" in out


def test_cell_that_fails_costs_its_own_exercise_only(root, capsys):
    nbformat.write(notebook("def double(x:\n    return", SQUARE, "1 / 0"), "mine.ipynb")
    code, out, _ = course(capsys, "check", "mine.ipynb", "--json")
    found = json.loads(out)
    assert (code, found["score"]) == (1, 2)
    assert found["exercises"][0]["state"] == "crashed" and "SyntaxError" in found["exercises"][0]["reason"]
    assert any("ZeroDivisionError" in note for note in found["notes"])


@pytest.mark.parametrize(
    ("double", "state"),
    [
        ("while True: pass", "timed_out"),
        ("import os\nos._exit(7)", "crashed"),
        ("def double(x):\n    while True: pass", "timed_out"),
        ("import os\ndef double(x):\n    os.kill(os.getpid(), 9)", "crashed"),
    ],
    ids=["cell hangs", "cell exits", "call hangs", "call is killed"],
)
def test_hang_or_crash_is_a_row_and_not_the_end(root, capsys, double, state):
    nbformat.write(notebook(double, SQUARE), "mine.ipynb")
    began = time.monotonic()
    code, out, _ = course(capsys, "check", "mine.ipynb", "--json", "--limit", "2")
    first, second = json.loads(out)["exercises"]
    assert (code, first["state"], second["state"]) == (1, state, "passed")
    assert first["reason"] and time.monotonic() - began < 60


ONCE = """import os, pathlib
if not pathlib.Path("once").exists():
    pathlib.Path("once").touch()
    os.kill(os.getpid(), 9)
"""


def test_a_process_that_was_killed_once_is_tried_again(root, capsys):
    """Signal 9, as it comes from the kernel where memory is short."""
    nbformat.write(notebook(ONCE + DOUBLE, SQUARE), "mine.ipynb")
    code, out, _ = course(capsys, "check", "mine.ipynb", "--json")
    assert (code, json.loads(out)["score"], json.loads(out)["notes"]) == (0, 5, [])


@pytest.mark.parametrize("after", ["nothing", "cell", "exercise", "verdict"])
def test_wherever_the_machine_ends_a_process_nobody_is_blamed(root, capsys, monkeypatch, after):
    whole, seen = selfcheck._Child.next_event, ["nothing"]

    def next_event(self, seconds):
        if seen[-1] == after:
            seen.append("killed")
            return ["crashed", "SIGKILL"]
        event = whole(self, seconds)
        seen.extend([event[0]] if "killed" not in seen else [])
        return event

    monkeypatch.setattr(selfcheck._Child, "next_event", next_event)
    nbformat.write(notebook(DOUBLE, SQUARE), "mine.ipynb")
    code, out, _ = course(capsys, "check", "mine.ipynb", "--json")
    assert "killed" in seen
    assert (code, json.loads(out)["score"], json.loads(out)["notes"]) == (0, 5, [])


def test_a_process_that_never_starts_is_one_sentence(root, capsys, monkeypatch):
    monkeypatch.setattr(selfcheck._Child, "next_event", lambda self, seconds: ["crashed", "SIGKILL"])
    code, out, err = course(capsys, "check", "assignments/00_tiny/tiny.ipynb")
    assert (code, out) == (3, "") and is_one_sentence(err) and "did not start: SIGKILL" in err


def test_a_machine_without_room_for_a_process_is_one_sentence(root, capsys, monkeypatch):
    tried = []

    def refuse(*words, **more):
        tried.append(words)
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(selfcheck.subprocess, "Popen", refuse)
    monkeypatch.setattr(selfcheck, "PAUSE", 0)
    code, out, err = course(capsys, "check", "assignments/00_tiny/tiny.ipynb")
    assert (code, out, len(tried)) == (3, "", selfcheck.TRIES) and is_one_sentence(err)
    assert "Resource temporarily unavailable" in err


def test_prints_warnings_and_stderr_cost_nothing(root, capsys):
    noisy = "import sys, os, warnings\ndef double(x):\n    print('hi'); warnings.warn('w'); os.write(1, b'x\\n')\n"
    nbformat.write(notebook(noisy + "    print('e', file=sys.stderr)\n    return 2 * x", SQUARE), "mine.ipynb")
    code, out, _ = course(capsys, "check", "mine.ipynb", "--json")
    assert (code, json.loads(out)["score"]) == (0, 5)


@pytest.mark.parametrize(
    "data", [b"", b"not json", b"{}", b'{"cells": 3}', b"[1]", b"\xff\xfe\x00", b'{"nbformat": 4, "cells": [1]}']
)
def test_file_that_is_no_notebook_is_one_sentence(root, capsys, data):
    Path("bad.ipynb").write_bytes(data)
    for options in ((), ("--full",), ("--json",)):
        code, out, err = course(capsys, "check", "bad.ipynb", *options)
        assert (code, out) == (2, "") and is_one_sentence(err)


def test_full_without_the_instructor_package_is_one_sentence(root, capsys):
    code, _, err = course(capsys, "check", "00", "--full")
    assert code == 3 and is_one_sentence(err) and "make setup" in err


def test_full_hands_over_to_the_judge(root, capsys, monkeypatch):
    seen = []

    def judge(path, cases, limit, tell):
        seen.append((path.name, cases.name, limit))
        return Verdict(unit="00_tiny", score=5, max_score=5)

    monkeypatch.setattr(selfcheck, "find_judge", lambda: judge)
    code, out, _ = course(capsys, "check", "tiny", "--full", "--json")
    assert (code, json.loads(out)["score"]) == (0, 5)
    assert seen == [("tiny.ipynb", "cases.npz", 60.0)]


# words


@pytest.mark.parametrize("word", ["00", "0", "tiny", "00_tiny"])
def test_unit_goes_by_three_names(root, word):
    assert lab.find_unit(root, word).name == "00_tiny"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("lab", "tinny"), "did you mean 'tiny'?"),
        (("hint", "dubble"), "did you mean 'double'?"),
        (("chekc",), "check"),
        (("check",), "NOTEBOOK-or-UNIT"),
        (("check", "x.ipynb", "--fulll"), "--fulll"),
        (("check", "nowhere.ipynb"), "no file nowhere.ipynb"),
        (("hint", "double", "3"), "has 2 hints"),
        (("hint", "square"), "no hints"),
        (("grade",), "instructor package"),
    ],
)
def test_wrong_word_is_one_sentence_and_exit_2(root, capsys, words, says):
    code, out, err = course(capsys, *words)
    assert (code, out) == (2, "") and is_one_sentence(err) and says in err


def test_no_course_around_is_exit_3(root, capsys, monkeypatch):
    def nowhere(start=None):
        raise EnvironmentLacking("expected a folder assignments/ here")

    monkeypatch.setattr(lab, "find_root", nowhere)
    code, _, err = course(capsys, "list")
    assert code == 3 and is_one_sentence(err)


def test_debug_adds_the_traceback_wherever_it_stands(root, capsys):
    for words in (("--debug", "lab", "tinny"), ("lab", "tinny", "--debug")):
        code, _, err = course(capsys, *words)
        assert code == 2 and "Traceback" in err and "did you mean" in err


def test_unexpected_error_is_still_one_sentence(root, capsys, monkeypatch):
    monkeypatch.setattr(lab, "list_units", lambda root: 1 / 0)
    code, _, err = course(capsys, "list")
    assert code == 3 and is_one_sentence(err) and "ZeroDivisionError" in err


def test_list_shows_points_minutes_and_hand_graded_points(root, capsys):
    code, out, _ = course(capsys, "list")
    assert code == 0
    assert "00_tiny" in out and "double" in out and "5 + 4 by hand" in out


# working copies


def released(root: Path) -> Path:
    return root / "assignments/00_tiny/tiny.ipynb"


def test_working_copy_is_made_once_and_checked_by_its_unit_name(root, capsys, monkeypatch):
    opened = []
    monkeypatch.setattr(lab, "open_lab", lambda *words: opened.append(words) or 0)
    assert course(capsys, "lab", "tiny", "--no-browser", "--port", "9999")[0] == 0
    assert opened == [(root / "work/00_tiny/tiny.ipynb", False, ("--port", "9999"))]
    nbformat.write(notebook(DOUBLE, SQUARE), "work/00_tiny/tiny.ipynb")
    assert course(capsys, "check", "tiny")[0] == 0


def test_lab_without_a_unit_opens_the_first(root, capsys, monkeypatch):
    opened = []
    monkeypatch.setattr(lab, "open_lab", lambda *words: opened.append(words) or 0)
    course(capsys, "lab", "--no-browser")
    assert opened[0][0].name == "tiny.ipynb"


def test_new_release_replaces_an_untouched_copy_only(root):
    unit = lab.find_unit(root, "tiny")
    mine, _ = lab.make_working_copy(unit)
    nbformat.write(notebook(STUB.format("double"), STUB.format("square"), "print('new')"), released(root))
    _, notes = lab.make_working_copy(unit)
    assert mine.read_bytes() == released(root).read_bytes() and len(notes) == 1

    nbformat.write(notebook(DOUBLE, SQUARE), mine)
    work = mine.read_bytes()
    assert lab.make_working_copy(unit)[1] == []
    nbformat.write(notebook(STUB.format("double"), STUB.format("square"), "print('newer')"), released(root))
    _, notes = lab.make_working_copy(unit, datetime.date(2026, 11, 22))
    beside = mine.with_name("tiny (new version 2026-11-22).ipynb")
    assert mine.read_bytes() == work and beside.read_bytes() == released(root).read_bytes()
    assert len(notes) == 1 and beside.name in notes[0]
    assert lab.make_working_copy(unit)[1] == []


def test_two_new_versions_on_one_day_lie_side_by_side(root):
    unit = lab.find_unit(root, "tiny")
    mine, _ = lab.make_working_copy(unit)
    nbformat.write(notebook(DOUBLE, SQUARE), mine)
    for text in ("one", "two"):
        released(root).write_text(released(root).read_text() + " " * len(text))
        lab.make_working_copy(unit, datetime.date(2026, 11, 22))
        nbformat.write(notebook(DOUBLE, SQUARE, repr(text)), released(root))
    lab.make_working_copy(unit, datetime.date(2026, 11, 22))
    assert len(list(mine.parent.glob("*new version*"))) == 3


def test_checks_follow_the_course_even_when_the_notebook_does_not(root):
    unit = lab.find_unit(root, "tiny")
    mine, _ = lab.make_working_copy(unit)
    nbformat.write(notebook(DOUBLE, SQUARE), mine)
    mine.with_name("cases.npz").write_bytes(b"damaged")
    unit.folder.joinpath("cases.npz").write_bytes(Cases("00_tiny", {}).to_bytes())
    lab.make_working_copy(unit)
    assert mine.with_name("cases.npz").read_bytes() == unit.folder.joinpath("cases.npz").read_bytes()


def test_copies_go_home_where_the_course_cannot_be_written(root, monkeypatch):
    monkeypatch.setattr(lab.os, "access", lambda path, mode: False)
    monkeypatch.setenv("HOME", str(root / "home"))
    assert lab.workspace(root) == root / "home/transformer-course"


# progress, hint, reveal


def test_hints_come_one_after_another_and_are_counted(root, capsys):
    said = [course(capsys, "hint", "double")[1] for _ in range(3)]
    assert ["x + x" in said[0], "2 * x" in said[1], "last one" in said[2]] == [True] * 3
    assert "x + x" in course(capsys, "hint", "tiny/double", "1")[1]
    assert progress.load(root).exercises["00_tiny/double"].hints == 2


def test_reveal_asks_and_is_counted(root, capsys, monkeypatch):
    monkeypatch.setattr(cli.typer, "confirm", lambda question: False)
    assert "return 2 * x" not in course(capsys, "reveal", "double")[1]
    assert not progress.load(root).exercises
    code, out, _ = course(capsys, "reveal", "double", "--yes")
    assert code == 0 and DOUBLE in out
    assert progress.load(root).exercises["00_tiny/double"].revealed


def test_reveal_without_solutions_is_exit_3(root, capsys):
    (root / "solutions/00_tiny/tiny.ipynb").unlink()
    code, _, err = course(capsys, "reveal", "double", "--yes")
    assert code == 3 and is_one_sentence(err)


def test_progress_remembers_the_best_of_the_working_copy_only(root, capsys):
    course(capsys, "check", "solutions/00_tiny/tiny.ipynb")
    assert not progress.load(root).exercises
    mine, _ = lab.make_working_copy(lab.find_unit(root, "tiny"))
    nbformat.write(notebook(DOUBLE, STUB.format("square")), mine)
    course(capsys, "check", "tiny")
    nbformat.write(notebook(STUB.format("double"), STUB.format("square")), mine)
    course(capsys, "check", "tiny")
    code, out, _ = course(capsys, "progress")
    assert code == 0 and "3 of 5" in out and "1 of 2" in out


def test_broken_progress_file_is_one_sentence(root, capsys):
    (root / "work").mkdir()
    (root / "work/.progress.json").write_text("{")
    code, _, err = course(capsys, "progress")
    assert code == 2 and is_one_sentence(err) and "delete" in err


# what they read, and how little they import


WITHOUT = """
import sys
import autograder.commands  # as through its entry point
from course.command_line import cli
code = cli.run(sys.argv[1:])
print(code, sorted({"torch", "numpy", "nbformat", "IPython"} & sys.modules.keys()))
"""


@pytest.mark.parametrize("words", [("--help",), ("list",), ("hint", "double"), ("progress",)], ids=" ".join)
def test_what_needs_no_tensor_imports_none(root, words):
    done = subprocess.run([sys.executable, "-c", WITHOUT, *words], env=HERE, capture_output=True, text=True, timeout=60)
    assert (done.stdout.splitlines()[-1], done.stderr) == ("0 []", "")


def other_format(path: Path) -> None:
    plain = {"format": 7, "unit": "00_tiny", "checks": []}
    np.savez(path, manifest=np.frombuffer(json.dumps(plain).encode(), np.uint8))


BROKEN = {
    "missing": (lambda path: path.unlink(), "cases.npz"),
    "no zip": (lambda path: path.write_bytes(b"damaged"), "is not a cases file"),
    "half of it": (lambda path: path.write_bytes(path.read_bytes()[:500]), "is not a cases file"),
    "no manifest": (lambda path: np.savez(path, a0=np.ones(3)), "is not a cases file"),
    "other numbers": (lambda path: np.savez(path, manifest=np.ones(3)), "is not a cases file"),
    "other words": (lambda path: np.savez(path, manifest=np.frombuffer(b"[3]", np.uint8)), "is not a cases file"),
    "other format": (other_format, "has format 7"),
}


@pytest.mark.parametrize("how", BROKEN)
@pytest.mark.parametrize("words", [("list",), ("hint", "double"), ("progress",)], ids=" ".join)
def test_broken_cases_are_one_sentence(root, capsys, how, words):
    spoil, says = BROKEN[how]
    spoil(root / "assignments/00_tiny/cases.npz")
    code, out, err = course(capsys, *words)
    assert (code, out) == (2, "") and is_one_sentence(err) and says in err and "git checkout assignments" in err


# doctor


def test_doctor_fails_only_for_what_is_needed(root, capsys, monkeypatch):
    wanted = [doctor.Finding("a", True, "fine"), doctor.Finding("b", False, "gone", "buy one", needed=False)]
    monkeypatch.setattr(doctor, "examine", lambda: wanted)
    code, out, _ = course(capsys, "doctor")
    assert code == 0 and "buy one" in out
    wanted.append(doctor.Finding("c", False, "gone", "run this"))
    code, out, _ = course(capsys, "doctor")
    assert code == 3 and "Lacking: c." in out


def test_doctor_survives_a_package_that_cannot_be_examined(root, monkeypatch):
    broken = metadata.EntryPoint("sandbox", "no_such_module:examine", "course.doctor")
    monkeypatch.setattr(doctor.metadata, "entry_points", lambda group: [broken])
    (found,) = doctor.added()
    assert not found.ok and found.needed and "no_such_module" in found.says


def test_doctor_says_in_one_line_each_whether_published_models_are_there(root, capsys, monkeypatch):
    from course import gemma, minilm

    assert {(name, words) for name, _, words in doctor.PUBLISHED} == {
        ("minilm", minilm.INSTALL), ("gemma", gemma.INSTALL)
    }  # fmt: skip
    assert [module for _, module, _ in doctor.PUBLISHED] == [minilm.PACKAGE, gemma.PARTS[-1]]
    monkeypatch.setattr(doctor, "PUBLISHED", (("here", "json", "pip a"), ("gone", "no_such_module", "pip b")))
    monkeypatch.setattr(doctor, "examine", lambda: list(doctor.published()))
    code, out, _ = course(capsys, "doctor")
    here, gone, last = out.splitlines()
    assert code == 0 and here.split() == ["ok", "here", "installed"] and last == "Everything that is needed works."
    assert gone.split(maxsplit=2) == ["--", "gone", "not installed, optional: pip b"]


# the seam to the instructor package


def test_instructor_commands_come_through_the_entry_point(root, tmp_path):
    plugin = tmp_path / "plugin"
    (plugin / "demo-1.dist-info").mkdir(parents=True)
    (plugin / "demo-1.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: demo\nVersion: 1\n")
    (plugin / "demo-1.dist-info/entry_points.txt").write_text("[course.commands]\ndemo = demo_commands:register\n")
    source = """
        def register(app):
            @app.command()
            def demo(word: str) -> int:
                from course.errors import EnvironmentLacking
                if word == "fail":
                    raise EnvironmentLacking("no such luck")
                print("said", word)
                return 1
    """
    (plugin / "demo_commands.py").write_text(textwrap.dedent(source))
    here = Path(cli.__file__).parents[2]
    env = {**os.environ, "PYTHONPATH": f"{plugin}{os.pathsep}{here}"}

    def demo(word: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, "-m", "course.command_line.cli", "demo", word], env=env, capture_output=True, text=True
        )

    worked, failed = demo("hello"), demo("fail")
    assert (worked.returncode, worked.stdout) == (1, "said hello\n")
    assert (failed.returncode, failed.stderr) == (3, "course: no such luck\n")


def test_course_never_imports_autograder():
    folder = Path(cli.__file__).parent
    for path in folder.rglob("*.py"):
        if "units" in path.relative_to(folder).parts:
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not any(name.split(".")[0] == "autograder" for name in names), path


def test_units_by_hand_written_errors_are_input_errors(root):
    with pytest.raises(InputError, match="there are 00_tiny"):
        lab.find_unit(root, "zzzz")


@pytest.mark.parametrize("program", ["autograder.classroom.grade", "course.command_line.cli"])
def test_nbformat_comes_without_grammars_of_internet_addresses(program):
    says = f"import sys, {program}, nbformat; sys.exit('lark' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", says], timeout=60).returncode == 0
