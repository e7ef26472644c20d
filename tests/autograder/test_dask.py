"""`course grade --dask` on a cluster of two worker processes, with the real judge and its sandbox."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import pytest

from autograder import commands
from autograder.classroom.class_folder import ClassFolder
from autograder.classroom.grade import ROOT
from autograder.sandbox.sandbox import why_not
from course.command_line import cli

distributed = pytest.importorskip("distributed", reason="distributed is not installed: pip install '.[dask]'")
UNIT = "00_orientation"
STUDENTS = {"ada": "solutions", "ben": "assignments"}
MEASURED = ("seconds", "peak_bytes", "costs")


@pytest.fixture(scope="module")
def cluster():
    """A scheduler and two workers, each a process with one thread."""
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as made:
        yield made


@pytest.fixture
def classroom(tmp_path):
    """One student with the solution and one with the untouched notebook; not graded."""
    return hand_ins(tmp_path / "class")


def hand_ins(folder: Path) -> ClassFolder:
    made = ClassFolder(folder)
    for student, handed_in in STUDENTS.items():
        folder = made.submitted / student / UNIT
        folder.mkdir(parents=True)
        for notebook in (ROOT / handed_in / UNIT).glob("*.ipynb"):
            shutil.copy(notebook, folder)
    made.secret()
    return made


def grade(folder: Path, *more: str) -> int:
    return cli.run(["grade", UNIT, "--class", str(folder), "--json", str(folder / "verdicts.json"), *more])


def verdicts(folder: Path) -> list[dict]:
    found = json.loads((folder / "verdicts.json").read_text())
    for each in [part for verdict in found for part in (verdict, *verdict["exercises"])]:
        for name in MEASURED:
            each.pop(name, None)
    return found


@pytest.mark.skipif(bool(why_not()), reason="no sandbox on this machine")
def test_two_workers_give_the_same_verdicts_as_this_machine(cluster, classroom, tmp_path):
    here = Path(shutil.copytree(classroom.root, tmp_path / "here"))
    assert grade(classroom.root, "--dask", cluster.scheduler_address) == 0
    with distributed.Client(cluster) as client:
        judged = client.run(lambda: __import__("autograder.judging.rules").judging.rules.rules_for.cache_info().misses)
    assert len(judged) == 2 and sum(judged.values()) >= 1
    assert grade(here) == 0
    assert verdicts(classroom.root) == verdicts(here)
    ada, ben = verdicts(here)
    assert (ada["score"], ben["score"]) == (ada["max_score"], 0.0)


def test_a_worker_with_other_checks_refuses(cluster, classroom, capsys):
    def other_checks():
        from autograder.classroom import grade

        grade.rules_for(UNIT).version = "of-last-week"

    def as_before():
        from autograder.classroom import grade

        grade.rules_for.cache_clear()

    with distributed.Client(cluster) as client:
        client.run(other_checks)
        assert grade(classroom.root, "--dask", cluster.scheduler_address) == 3
        client.run(as_before)
    said = capsys.readouterr().err
    assert f"of {UNIT}, and this judge has of-last-week; check out the same commit everywhere" in said
    assert not list(classroom.verdicts.rglob("*.json"))


def test_a_judge_that_hangs_is_ended_and_the_others_have_their_verdicts(tmp_path):
    """What hangs is inside one call of the kernel's, which no Python code can end."""

    def hang_at_ben():
        import ctypes

        from autograder.classroom import grade

        whole, grade.JUDGE_SECONDS = grade._judge, 20.0
        held = lambda task: ctypes.CDLL(None).pause() if task.student == "ben" else whole(task)  # noqa: E731
        grade._judge = held

    classroom = hand_ins(tmp_path / "class")
    processes = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "dashboard_address": None}
    with distributed.LocalCluster(**processes) as made, distributed.Client(made) as client:
        made.scheduler.allowed_failures = 0
        client.run(hang_at_ben)
        began = time.monotonic()
        assert grade(classroom.root, "--dask", made.scheduler_address) == 0
        assert time.monotonic() - began < 120
    ada, ben = verdicts(classroom.root)
    assert (ada["score"], ben["score"]) == (ada["max_score"], 0.0)
    assert ben["reason"] == "the judge could not finish: every Dask worker that judged it died"
    assert not ben["check_version"]


def test_no_scheduler_is_a_sentence(classroom, monkeypatch, capsys):
    monkeypatch.setattr(commands, "ANSWER_WITHIN", 1)
    assert grade(classroom.root, "--dask", "tcp://127.0.0.1:1") == 3
    assert "expected a Dask scheduler at tcp://127.0.0.1:1, and none answers" in capsys.readouterr().err
    assert grade(classroom.root, "--dask", "nonsense://x") == 3
