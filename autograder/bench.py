"""Side by side: this grader and plain nbgrader on the same class, one after the other, in one run.

python -m autograder.bench [--unit 00] [--students 8]. Each student hands in the solved notebook. Plain nbgrader runs
every notebook in a kernel of its own with the instructor's rights (COURSE_TRUSTED=1) and the same hidden trials.
Printed are wall-clock ratios of this run, and CPU seconds of interpreted kernels (interpreters.py); nothing is kept.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from autograder import grade as grader
from autograder import interpreters
from autograder import record as recorder
from autograder.class_folder import ClassFolder
from autograder.unit import Unit, find_unit


def hand_in(root: Path, unit: Unit, students: int) -> None:
    """The solved notebook, once per student, in root/submitted."""
    source = grader.ROOT / "solutions" / unit.id / f"{unit.topic}.ipynb"
    for number in range(students):
        folder = root / "submitted" / f"student{number:03d}" / unit.id
        folder.mkdir(parents=True)
        shutil.copy(source, folder)
        shutil.copy(grader.ROOT / "assignments" / unit.id / "cases.npz", folder)


def ours(root: Path, unit: Unit, jobs: int) -> list[float]:
    """Grade and record with this grader; the scores."""
    classroom = ClassFolder(root)
    with classroom.lock("bench"):
        graded = grader.grade(classroom, unit.id, jobs=jobs)
        problems = recorder.record(classroom, unit.id)
    if problems:
        raise RuntimeError(f"recording failed: {problems}")
    return [v.score for v in graded.verdicts]


def plain_nbgrader(root: Path, unit: Unit, jobs: int) -> list[float]:
    """`nbgrader autograde` with its own preprocessors; the scores."""
    classroom = ClassFolder(root)
    grader.set_up(classroom, unit.id)
    config = f"c = get_config()\nc.CourseDirectory.root = {str(root)!r}\nc.ExecutePreprocessor.timeout = 600\n"
    classroom.config_file.write_text(config)
    environment = os.environ | {"COURSE_TRUSTED": "1", "PYTHONPATH": str(grader.ROOT)}
    command = [sys.executable, "-m", "nbgrader", "autograde", unit.id, "--create"]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"nbgrader autograde failed: {done.stderr[-500:]}")
    with classroom.gradebook() as gradebook:
        return [s.score for s in gradebook.assignment_submissions(unit.id)]


def timed(grade: Callable[[Path, Unit, int], list[float]], unit: Unit, students: int, jobs: int) -> float:
    """Seconds to grade a fresh class; every student must get all automatic points."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, contextlib.chdir(folder):
        root = Path(folder)
        hand_in(root, unit, students)
        began = time.perf_counter()
        scores = grade(root, unit, jobs)
        seconds = time.perf_counter() - began
    want = sum(unit.points.values())
    if scores != [want] * students:
        raise RuntimeError(f"{grade.__name__}: expected {students} times {want:g} points, got {scores}")
    return seconds


def main(words: list[str]) -> int:
    """Print both times and their ratio."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__.splitlines()[0])
    parser.add_argument("--unit", default="00")
    parser.add_argument("--students", type=int, default=8)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    asked = parser.parse_args(words)
    unit = Unit.load(find_unit(asked.unit))
    mine = timed(ours, unit, asked.students, asked.jobs)
    theirs = timed(plain_nbgrader, unit, asked.students, asked.jobs)
    print(f"{asked.students} solved hand-ins of {unit.id}, {asked.jobs} jobs, this machine, one run")
    print(f"  this grader      {mine:7.1f} s   sandboxed, {mine / asked.students:.1f} s a hand-in")
    print(f"  plain nbgrader   {theirs:7.1f} s   no sandbox, one after another")
    print(f"  ratio            {theirs / mine:7.2f}")
    print("  otter-grader is not measured here: its own test format would need the checks written a second time")
    print(*interpreters.table(), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
