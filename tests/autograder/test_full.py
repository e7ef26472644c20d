"""`course check --full`: the whole judgement of one's own notebook, on a machine that is busy or has other cases."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import numpy as np
import psutil
import pytest
import synthetic

from autograder.judging import full
from autograder.sandbox.sandbox import Lost, NoSandbox, SandboxGone
from course.command_line import cli, selfcheck

UNIT = synthetic.UNIT


@pytest.fixture(autouse=True)
def here(tiny_root, monkeypatch):
    """Judge the tiny unit, as an instructor's `course check --full` would."""
    synthetic.use(tiny_root, monkeypatch)
    monkeypatch.setattr(full, "UNITS", synthetic.UNITS)
    monkeypatch.setattr(selfcheck, "find_judge", lambda: full.judge_notebook)
    yield
    full.rules_for.cache_clear()


@pytest.fixture
def notebook(tiny_root, tmp_path) -> Path:
    """The solved notebook with its cases beside it."""
    shutil.copy(tiny_root / "assignments" / UNIT / "cases.npz", tmp_path)
    return Path(shutil.copy(next((tiny_root / "solutions" / UNIT).glob("*.ipynb")), tmp_path))


def check(capsys, notebook) -> tuple[int, str, str]:
    code = cli.run(["check", str(notebook), "--full", "--json"])
    return code, *capsys.readouterr()


def one_sentence(said: str) -> bool:
    return said.startswith("course: ") and said.count("\n") == 1 and "unexpected" not in said


class Busy:
    """A judge whose processes the machine ends, a number of times."""

    def __init__(self, monkeypatch, times: int, *errors: Exception) -> None:
        self.judge, self.left, self.errors, self.called = full.judge, times, errors, 0
        monkeypatch.setattr(full, "judge", self)

    def __call__(self, *args, **more):
        self.called += 1
        if self.called <= self.left:
            raise self.errors[self.called % len(self.errors)]
        return self.judge(*args, **more)


GONE = [
    SandboxGone("the sandbox's first process is gone (EOFError)"),
    Lost("killed", "the sandbox's first process is gone (BrokenPipeError)"),
    NoSandbox("the sandbox didn't start within 120 s"),
    psutil.NoSuchProcess(4711),
    BlockingIOError(11, "Resource temporarily unavailable"),
]


def test_what_the_machine_ended_is_judged_again(capsys, monkeypatch, notebook):
    busy = Busy(monkeypatch, 2, *GONE[:2])
    code, out, err = check(capsys, notebook)
    assert code == 0, err
    assert json.loads(out)["score"] == json.loads(out)["max_score"] and busy.called == 3


@pytest.mark.parametrize("error", GONE, ids=lambda error: type(error).__name__)
def test_a_machine_that_lets_nothing_end_is_one_sentence(capsys, monkeypatch, notebook, error):
    busy = Busy(monkeypatch, 99, error)
    code, out, err = check(capsys, notebook)
    assert (code, out, busy.called) == (3, "", full.TRIES)
    assert one_sentence(err) and "close other programs" in err


def changed(notebook: Path, **values) -> None:
    """Other values in the manifest of the cases."""
    path = notebook.parent / "cases.npz"
    with np.load(path) as stored:
        arrays = dict(stored)
    manifest = json.loads(bytes(arrays["manifest"])) | values
    kept = {name: value for name, value in manifest.items() if value is not None}
    arrays["manifest"] = np.frombuffer(json.dumps(kept).encode(), np.uint8)
    out = io.BytesIO()
    np.savez(out, **arrays)
    path.write_bytes(out.getvalue())


@pytest.mark.parametrize("options", [["--full"], []])
@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"format": 0}, "has format 0, this course reads format"),
        ({"format": None}, "has format None, this course reads format"),
        ({"unit": None}, "'unit'"),
    ],
)
def test_cases_of_another_format_are_one_sentence(capsys, notebook, options, values, says):
    changed(notebook, **values)
    assert cli.run(["check", str(notebook), *options]) == 2
    out, err = capsys.readouterr()
    assert out == "" and one_sentence(err) and says in err


def test_cases_that_are_no_archive_or_of_an_unknown_unit_are_one_sentence(capsys, notebook):
    changed(notebook, unit="77_none")
    code, out, err = check(capsys, notebook)
    assert (code, out) == (2, "") and one_sentence(err) and "'77_none'" in err
    (notebook.parent / "cases.npz").write_bytes(b"PK\x03\x04 cut off")
    code, out, err = check(capsys, notebook)
    assert (code, out) == (2, "") and one_sentence(err) and "is not a cases file" in err


def test_cases_with_a_check_that_the_clone_lacks_are_one_sentence(capsys, monkeypatch, notebook):
    load = full.rules_for(UNIT, notebook.parent / "cases.npz")
    monkeypatch.delitem(load.checks, "double_it")
    code, out, err = check(capsys, notebook)
    assert (code, out) == (2, "") and one_sentence(err) and "'double_it'" in err
