"""Side by side, in one run, on this machine: this grader and plain nbgrader on the same classes.

    make bench                                      small classes, a quarter of an hour
    python -m autograder.proof.bench --students 60  as many hand-ins as you like; --sizes 60 1000 shows how we scale
    python -m autograder.proof.bench --against TREE  another commit's clone, on the same classes, in turns
    python -m autograder.proof.bench --attacks     the attack corpus under both

A class is solved notebooks, each with a line of its own, so that no two hand-ins are the same. Both graders run as the
commands an instructor types, on a copy of this clone with one more unit, `90_tiny`: three exercises that take no time.
Plain nbgrader runs each notebook in a kernel with the instructor's rights (COURSE_TRUSTED=1) and the same hidden
trials, one after another; its time grows with the number of notebooks, so fewer of them are measured. otter-grader is
measured on the trivial class only, and only where --otter names an environment that has it (autograder.proof.otter).
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
import nbformat

from autograder import ROOT
from autograder.authoring.solve import PeakMemory
from autograder.authoring.unit import Unit
from autograder.classroom.class_folder import ClassFolder
from autograder.proof import interpreters, otter
from course.checking.verdict import Verdict

TINY, ATTENTION = "90_tiny", "02_attention"
STAGES = {"sandbox": "sandbox", "cells": "student cells", "poisoned runs": "poisoned runs", "exercises": "exercises"}
COURSE = "import sys; from course.command_line.cli import main; sys.exit(main())"
HEAD = f"{'':36}{'hand-ins':>9}{'s each':>9}{'CPU s each':>12}{'peak MiB':>10}"


@dataclass(frozen=True)
class Kind:
    """A sort of hand-in. without: exercises that are left unanswered."""

    title: str
    unit: str
    without: tuple[str, ...] = ()


@dataclass
class Took:
    """One run of a command. seconds by the clock and of processor time, for all hand-ins; peak in bytes."""

    wall: float
    processor: float
    peak: int
    hand_ins: int

    @property
    def each(self) -> float:
        return self.wall / self.hand_ins


@contextmanager
def copied_clone(tree: Path = ROOT) -> Iterator[Path]:
    """A clone, this one or another commit's, with the tiny unit among its units, built."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        clone = Path(folder) / "clone"
        left_out = shutil.ignore_patterns(".git", ".venv", "__pycache__", "build", "work", "tests")
        shutil.copytree(tree, clone, ignore=left_out)
        shutil.copytree(tree / "tests" / "units" / TINY, clone / "course" / "units" / TINY)
        run(clone, [sys.executable, "-c", COURSE, "build", TINY], clone)
        yield clone


def run(clone: Path, command: list[str], place: Path, hand_ins: int = 1) -> Took:
    """Run a command of the clone in `place`. Raises RuntimeError with what it said when it fails."""
    environment = os.environ | {"COURSE_TRUSTED": "1", "PYTHONPATH": str(clone), "OMP_NUM_THREADS": "1"}
    began, before = time.perf_counter(), os.times()
    with tempfile.TemporaryFile() as said, PeakMemory(every=1.0) as memory:
        if subprocess.run(command, cwd=place, env=environment, stdout=said, stderr=said).returncode:
            said.seek(0)
            raise RuntimeError(f"{' '.join(command[1:4])} failed: {said.read()[-800:].decode(errors='replace')}")
    after = os.times()
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    return Took(time.perf_counter() - began, spent, memory.peak, hand_ins)


def make_class(clone: Path, root: Path, kind: Kind, students: int) -> Unit:
    """`students` hand-ins in root/submitted, all different."""
    unit = Unit.load(clone / "course" / "units" / kind.unit)
    notebook = nbformat.read(clone / "solutions" / unit.id / f"{unit.topic}.ipynb", as_version=4)
    released = nbformat.read(clone / "assignments" / unit.id / f"{unit.topic}.ipynb", as_version=4)
    stubs = {c.metadata.nbgrader.grade_id: c.source for c in released.cells if "nbgrader" in c.metadata}
    answered = [c for c in notebook.cells if c.metadata.get("nbgrader", {}).get("grade_id") in unit.exercises]
    for cell in answered:
        name = cell.metadata.nbgrader.grade_id
        cell.source = stubs[name] if name in kind.without else cell.source
        cell.source += "\n# this answer is by STUDENT"
    text = nbformat.writes(notebook, version=4)
    for number in range(students):
        folder = root / "submitted" / f"student{number:04d}" / unit.id
        folder.mkdir(parents=True)
        (folder / f"{unit.topic}.ipynb").write_text(text.replace("by STUDENT", f"by student {number}"))
        shutil.copy(clone / "assignments" / unit.id / "cases.npz", folder)
    return unit


def ours(clone: Path, kind: Kind, students: int, jobs: int) -> tuple[Took, dict[str, float]]:
    """`course grade`, recording included: what it took, and seconds by stage for one hand-in."""
    with tempfile.TemporaryDirectory(prefix="bench-", dir=clone.parent) as folder:
        root = Path(folder)
        unit = make_class(clone, root, kind, students)
        command = [sys.executable, "-c", COURSE, "grade", unit.id, "--class", folder, "--jobs", str(jobs)]
        took = run(clone, command, root, students)
        verdicts = [msgspec.json.decode(path.read_bytes(), type=Verdict) for path in _verdicts(root, unit.id)]
    want = sum(points for name, points in unit.points.items() if name not in {*kind.without, *unit.optional})
    _expect([v.score for v in verdicts], want, students, "course grade")
    keys = {key for verdict in verdicts for key in verdict.costs}
    return took, {key: sum(v.costs.get(key, 0.0) for v in verdicts) / students for key in keys}


def _verdicts(root: Path, unit: str) -> list[Path]:
    classroom = ClassFolder(root)
    return [classroom.verdict_file(unit, path.name) for path in sorted((root / "submitted").iterdir())]


def plain_nbgrader(clone: Path, kind: Kind, students: int) -> Took:
    """`nbgrader autograde` with its own preprocessors."""
    with tempfile.TemporaryDirectory(prefix="bench-", dir=clone.parent) as folder:
        root = Path(folder)
        unit = make_class(clone, root, kind, students)
        prepare = "from autograder.classroom import class_folder, grade\n"
        prepare += f"grade.set_up(class_folder.ClassFolder({folder!r}), {unit.id!r})"
        run(clone, [sys.executable, "-c", prepare], root)
        config = f"c = get_config()\nc.CourseDirectory.root = {folder!r}\nc.ExecutePreprocessor.timeout = 600\n"
        ClassFolder(root).config_file.write_text(config)
        took = run(clone, [sys.executable, "-m", "nbgrader", "autograde", unit.id, "--create"], root, students)
        with ClassFolder(root).gradebook() as gradebook:
            scores = [s.score for s in gradebook.assignment_submissions(unit.id)]
    want = sum(points for name, points in unit.points.items() if name not in {*kind.without, *unit.optional})
    _expect(scores, want, students, "plain nbgrader")
    return took


def otter_grader(clone: Path, environment: Path, kind: Kind, students: int) -> Took:
    """`otter run`, once for each hand-in; making the assignment does not count."""
    with tempfile.TemporaryDirectory(prefix="bench-", dir=clone.parent) as folder:
        root = Path(folder)
        unit = make_class(clone, root, kind, students)
        assignment = otter.make_assignment(environment, unit, root)
        hand_ins = sorted((root / "submitted").glob("*/*/*.ipynb"))
        notebooks = [otter.as_otters(each, unit, root / "otter" / str(n)) for n, each in enumerate(hand_ins)]
        took = [run(clone, otter.command(environment, assignment, each), each.parent) for each in notebooks]
        _expect([otter.score(each) for each in notebooks], sum(unit.points.values()), students, "otter-grader")
    return Took(sum(t.wall for t in took), sum(t.processor for t in took), max(t.peak for t in took), students)


def _expect(scores: list[float], want: float, students: int, who: str) -> None:
    if len(scores) != students or any(abs(score - want) > 1e-6 for score in scores):
        raise RuntimeError(f"{who}: expected {students} times {want:g} points, got {sorted(set(scores))}")


def kinds(clone: Path) -> list[Kind]:
    """The three classes."""
    attention = Unit.load(clone / "course" / "units" / ATTENTION)
    kernels = tuple(name for name in attention.exercises if "@triton.jit" in attention.solution_source(name))
    return [
        Kind("a  trivial notebooks", TINY),
        Kind("b  attention, without its kernels", ATTENTION, kernels),
        Kind("c  attention, with its kernels", ATTENTION),
    ]


def compare(clone: Path, students: int, theirs: int, jobs: int, environment: Path | None = None) -> list[str]:
    """The table of the three classes, line by line. ratio: how many times as long as this grader another one takes."""
    lines = [f"{HEAD}{'ratio':>8}"]
    for kind in kinds(clone):
        mine, stages = ours(clone, kind, students, jobs)
        plain = plain_nbgrader(clone, kind, theirs)
        lines += [_row(kind.title, mine), _row("   plain nbgrader", plain, plain.each / mine.each)]
        if kind.unit == TINY and environment:
            other = otter_grader(clone, environment, kind, theirs)
            lines.append(_row("   otter-grader, otter run", other, other.each / mine.each))
        else:
            why = "needs --otter ENV" if kind.unit == TINY else "its checks are not written for otter"
            lines.append(f"   otter-grader: not measured, {why}")
        spent = ", ".join(f"{says} {stages.get(key, 0):.3f}" for key, says in STAGES.items())
        cpu = f"judge {stages.get('of the judge', 0):.3f}, sandbox {stages.get('of the sandbox', 0):.3f}"
        lines += [f"   seconds a hand-in by stage: {spent}", f"   processor seconds a hand-in: {cpu}"]
    return lines


def _row(title: str, took: Took, ratio: float | None = None) -> str:
    figures = f"{took.hand_ins:9}{took.each:9.3f}{took.processor / took.hand_ins:12.3f}{took.peak / (1 << 20):10.0f}"
    return f"{title:36}{figures}" + (f"{ratio:8.1f}" if ratio else "")


def against(clone: Path, other: Path, students: int, jobs: int, rounds: int) -> Iterator[str]:
    """What another tree takes for the same classes, in turns with this one, line by line.

    Both take `rounds` turns; who goes first changes from one to the next. A row has the medians, the last one the
    median of the turns' ratios: this tree by the other.
    """
    yield HEAD
    for kind in kinds(clone):
        turns: list[dict[Path, Took]] = []
        for number in range(rounds):
            order = (clone, other) if number % 2 else (other, clone)
            turns.append({tree: ours(tree, kind, students, jobs)[0] for tree in order})
        for title, tree in ((kind.title, clone), ("   the other tree", other)):
            yield _row(title, _middle([turn[tree] for turn in turns]))
        wall = [turn[clone].wall / turn[other].wall for turn in turns]
        processor = [turn[clone].processor / turn[other].processor for turn in turns]
        yield (
            f"   this by the other: seconds {statistics.median(wall):.3f} ({min(wall):.3f} to {max(wall):.3f}), "
            f"processor {statistics.median(processor):.3f} ({min(processor):.3f} to {max(processor):.3f})"
        )


def _middle(turns: list[Took]) -> Took:
    wall, processor = statistics.median(t.wall for t in turns), statistics.median(t.processor for t in turns)
    return Took(wall, processor, max(t.peak for t in turns), turns[0].hand_ins)


def scaling(clone: Path, sizes: list[int], jobs: list[int]) -> Iterator[str]:
    """How the trivial class grows, line by line: thousands take a while."""
    yield HEAD
    for size in sizes:
        for count in jobs:
            took, _ = ours(clone, kinds(clone)[0], size, count)
            yield _row(f"trivial, {count} judging", took)


def attacks() -> int:
    """The attack table, where the tests are."""
    return subprocess.run([sys.executable, str(ROOT / "tests" / "attacks" / "table.py")], cwd=ROOT).returncode


def main(words: list[str]) -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__.splitlines()[0])
    parser.add_argument("--students", type=int, default=12, help="hand-ins of a class")
    parser.add_argument("--theirs", type=int, default=3, help="how many of them plain nbgrader grades")
    parser.add_argument("--sizes", type=int, nargs="*", default=[], help="sizes of the trivial class, to see it grow")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    there = "a virtual environment with otter-grader and torch"
    parser.add_argument("--otter", type=lambda text: Path(text).absolute(), metavar="ENV", help=there)
    parser.add_argument("--against", type=Path, metavar="TREE", help="a clone of another commit, to compare with")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each tree")
    parser.add_argument("--attacks", action="store_true", help="the attack corpus instead of the clock")
    asked = parser.parse_args(words)
    if asked.attacks:
        return attacks()
    if asked.otter and not os.access(asked.otter / "bin" / "otter", os.X_OK):
        parser.error(f"expected a virtual environment with otter-grader, and {asked.otter}/bin/otter is no program")
    if asked.against:
        if not (asked.against / "course" / "units").is_dir():
            parser.error(f"expected a clone of this repository, and {asked.against} has no course/units")
        with copied_clone() as clone, copied_clone(asked.against) as other:
            for line in against(clone, other, asked.students, asked.jobs, max(1, asked.rounds)):
                print(line, flush=True)
        return 0
    with copied_clone() as clone:
        print(f"{asked.jobs} judging at the same time, one run, {os.uname().machine}")
        print(*compare(clone, asked.students, asked.theirs, asked.jobs, asked.otter), sep="\n", flush=True)
        if asked.sizes:
            for line in scaling(clone, asked.sizes, sorted({1, asked.jobs})):
                print(line, flush=True)
    print(*interpreters.table(), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
