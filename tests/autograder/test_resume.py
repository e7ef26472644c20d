"""`course grade`, killed with SIGKILL and started again: the same final table as an undisturbed run."""

import collections
import json
import os
import random
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import synthetic

from autograder.classroom import grade

ROOT = Path(__file__).parent.parent.parent
CHANGING = ("seconds", "peak_bytes", "costs")


def start(folder: Path) -> subprocess.Popen:
    command = [sys.executable, "-m", "course.command_line.cli", "grade", "00", "--sample", "--class", str(folder)]
    command += ["--json", str(folder.with_suffix(".json"))]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True)


def result(folder: Path) -> tuple[list, str]:
    """What the last run told: verdicts without times, and the grades as exported.

    The two classes have secrets of their own, so the random sizes in a failed trial's sentence differ.
    """
    verdicts = json.loads(folder.with_suffix(".json").read_text())
    for verdict in verdicts:
        for each in (verdict, *verdict["exercises"]):
            for key in CHANGING:
                each.pop(key, None)
        for trial in (t for each in verdict["exercises"] for t in each["trials"]):
            trial.pop("says")
    export = [sys.executable, "-m", "course.command_line.cli", "export", "00", "--class", str(folder)]
    return verdicts, subprocess.run(export, cwd=ROOT, capture_output=True, text=True, check=True).stdout


@pytest.mark.slow
def test_killed_five_times_and_started_again(tmp_path):
    calm, killed = tmp_path / "calm", tmp_path / "killed"
    began = time.monotonic()
    assert start(calm).wait() == 0
    length = time.monotonic() - began
    moments = sorted(random.Random(2026).uniform(0.02, 0.95) * length for _ in range(5))
    for moment in moments:
        run = start(killed)
        try:
            run.wait(moment)
        except subprocess.TimeoutExpired:
            os.kill(run.pid, signal.SIGKILL)
            run.wait()
    final = start(killed)
    told, _ = final.communicate()
    assert final.returncode == 0, told
    assert result(killed) == result(calm)


@pytest.mark.parametrize(
    "students", [40, pytest.param(5000, marks=pytest.mark.slow)], ids=["a small class", "five thousand"]
)
def test_ten_kills_lose_nothing_and_grade_nothing_twice(tiny_root, tmp_path, monkeypatch, students):
    """With a judge that takes no time, killed at moments of the work spread over all its stages."""
    synthetic.use(tiny_root, monkeypatch)
    monkeypatch.setattr(grade, "judge", synthetic.judge_at_once(tmp_path, 0.004))
    classroom = synthetic.make_class(tmp_path / "class", tiny_root, students)
    kept = []
    for moment in sorted(random.Random(students).sample(range(3 * students), 10)):
        child = run_in_a_child(classroom)
        while progress(classroom) < moment:
            assert os.waitpid(child, os.WNOHANG) == (0, 0), "it ended before its moment came"
            time.sleep(0.001)
        os.kill(child, signal.SIGKILL)
        assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
        kept.append((verdicts_of(classroom), judgements(tmp_path)))
    assert 0 < sum(0 < len(students_kept) < students for students_kept, _ in kept)
    assert os.waitpid(run_in_a_child(classroom), 0)[1] == 0
    finally_judged = judgements(tmp_path)
    for students_kept, then in kept:
        assert all(finally_judged[student] == then[student] for student in students_kept)
    assert len(finally_judged) == students
    assert sum(finally_judged.values()) <= students + 4 * len(kept)  # four are given out at a time
    first_time = 4_000_000  # SQL, schemas and templates that are read once: half a megabyte
    assert int((classroom.root / "grown").read_text()) < first_time + 1000 * students
    told = synthetic.told(classroom)
    assert len(told) == students and {row[0] for row in told.values()} == {row[-1] for row in told.values()} == {6.5}


def run_in_a_child(classroom) -> int:
    """The process that grades and records; it writes down by how many bytes it has grown."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            with ThreadPoolExecutor(2) as executor:
                before = synthetic.memory()
                synthetic.grade_and_record(classroom, executor)
                (classroom.root / "grown").write_text(str(synthetic.memory() - before))
                code = 0
        finally:
            os._exit(code)
    return child


def progress(classroom) -> int:
    """How far the class is: hand-ins taken in, judged and recorded, added up."""
    folders = classroom.canonical, classroom.verdicts / synthetic.UNIT, classroom.autograded
    return sum(len(os.listdir(folder)) for folder in folders if folder.is_dir())


def verdicts_of(classroom) -> list[str]:
    return [verdict.student for verdict in classroom.all_verdicts(synthetic.UNIT)]


def judgements(folder) -> collections.Counter:
    return collections.Counter(line.split()[0] for line in synthetic.judged(folder))
