"""Grade a class: take in, judge, keep verdict files, record. Killed at any point and started again, it goes on.

Each stage leaves files behind that the next run finds: canonical notebooks, one verdict file per hand-in, the
gradebook. A verdict is kept as long as the hand-in and the checks are the same. Judging runs on a
concurrent.futures.Executor; recording is serial.
"""

from __future__ import annotations

import ctypes
import hashlib
import signal
import sys
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import nbformat

from autograder import build, intake
from autograder.class_folder import ClassFolder
from autograder.judge import HandIn, UnitRules, judge, unreadable
from autograder.needed import Cell
from autograder.sandbox import NoSandbox, why_not
from autograder.unit import UNITS, Unit
from course import verdict as verdicts
from course.files import write_whole
from course.verdict import Verdict

ROOT = Path(__file__).resolve().parent.parent
_PR_SET_PDEATHSIG = 1
Tell = Callable[[str, int, int], None]


@dataclass
class Graded:
    """What a run did. kept: verdicts that were still good. changed: (student, old score, new score, why)."""

    unit: str
    verdicts: list[Verdict] = field(default_factory=list)
    judged: int = 0
    kept: int = 0
    problems: list[str] = field(default_factory=list)
    changed: list[tuple[str, float, float, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Task:
    """One hand-in to judge, as it travels to a worker process."""

    unit: str
    student: str
    notebook: str
    digest: str
    notes: tuple[str, ...]
    secret: bytes


def grade(
    folder: ClassFolder,
    unit: str,
    *,
    only: str | None = None,
    jobs: int = 2,
    executor: Executor | None = None,
    tell: Tell | None = None,
    write: bool = True,
) -> Graded:
    """Judge every hand-in of a unit (or only one student's). The caller holds the class lock and records after.

    tell: called with (what, done, total) as the work goes on.
    """
    tell = tell or (lambda what, done, total: None)
    set_up(folder, unit)
    graded = Graded(unit)
    todo = _take_in(folder, unit, only, graded, tell)
    if todo and executor is None and (missing := why_not()):
        raise NoSandbox(missing)
    own = executor is None
    executor = executor or ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=_start_worker)
    try:
        _judge_all(folder, graded, todo, executor, tell)
    finally:
        if own:
            executor.shutdown(wait=True, cancel_futures=True)
    graded.verdicts.sort(key=lambda v: v.student)
    return graded


def set_up(folder: ClassFolder, unit: str) -> None:
    """Make the unit known to the class from this clone's sources and its released notebook."""
    loaded = Unit.load(UNITS / unit)
    source = ROOT / "build" / "nbgrader" / "class_source" / unit
    source.mkdir(parents=True, exist_ok=True)
    made = build.source_notebook(loaded, build.load_checks(loaded))
    write_whole(source / f"{loaded.topic}.ipynb", build.to_bytes(made))
    folder.set_up(unit, source, ROOT / "assignments" / unit)


@lru_cache(maxsize=8)
def rules_for(unit: str, cases_path: Path | None = None) -> UnitRules:
    """The rules of a unit from this clone."""
    path = cases_path or ROOT / "assignments" / unit / "cases.npz"
    manual = sum(Unit.load(UNITS / unit).manual_points.values())
    rules = UnitRules.read(unit, UNITS / unit / "checks.py", path, manual)
    rules.version += "-" + hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    return rules


def code_cells(notebook: Any) -> list[Cell]:
    """The code cells that are run: all but the check cells."""
    found = []
    for index, cell in enumerate(notebook.cells):
        marks = cell.metadata.get("nbgrader", {})
        if cell.cell_type == "code" and not marks.get("grade"):
            given = bool(marks.get("locked"))
            found.append(Cell(cell.get("id", f"cell-{index}"), marks.get("grade_id", ""), cell.source, given))
    return found


def judge_task(task: Task) -> bytes:
    """Judge one hand-in in a worker process; the verdict as JSON."""
    rules = rules_for(task.unit)
    notebook = nbformat.read(task.notebook, as_version=4)
    cells = code_cells(notebook)
    return verdicts.encode(judge(rules, HandIn(task.student, cells, task.digest, list(task.notes)), task.secret))


def _take_in(folder: ClassFolder, unit: str, only: str | None, graded: Graded, tell: Tell) -> list[Task]:
    """Canonical notebooks for all hand-ins; the ones that need a verdict."""
    rules, release = rules_for(unit), folder.release_notebook(unit)
    hand_ins = [h for h in folder.hand_ins(unit, graded.problems) if only in (None, h.student)]
    todo = []
    for done, each in enumerate(hand_ins):
        tell("taking in", done, len(hand_ins))
        out = folder.canonical_dir(each.student, unit)
        taken = intake.take_in(each.folder, release, unit, out, timestamps=folder.timestamps_file)
        old = folder.read_verdict(unit, each.student)
        if old is not None and (old.digest, old.check_version) == (taken.digest, rules.version):
            graded.verdicts.append(old)
            graded.kept += 1
        elif taken.notebook is None:
            _keep(folder, graded, unreadable(rules, each.student, taken.reason, taken.digest))
        else:
            notes = tuple(taken.notes)
            todo.append(Task(unit, each.student, str(taken.path), taken.digest, notes, folder.secret()))
    return todo


def _judge_all(folder: ClassFolder, graded: Graded, todo: list[Task], executor: Executor, tell: Tell) -> None:
    running: dict[Future, Task] = {executor.submit(judge_task, task): task for task in todo}
    tell("judging", 0, len(todo))
    for done, future in enumerate(as_completed(running), 1):
        task = running[future]
        try:
            data = future.result()
        except BrokenExecutor:  # one judge died and took the pool along: the others get a second chance, each alone
            data = _judge_alone(task)
        except Exception as error:
            data = _given_up(task, error)
        graded.judged += 1
        _keep(folder, graded, verdicts.decode(data))
        tell(f"judging {task.student}", done, len(todo))


def _judge_alone(task: Task) -> bytes:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=_start_worker) as executor:
        try:
            return executor.submit(judge_task, task).result()
        except Exception as error:
            return _given_up(task, error)


def _given_up(task: Task, error: Exception) -> bytes:
    """No points and the reason; without a version, so that the next run judges again."""
    reason = f"the judge could not finish: {_one_line(error)}"
    verdict = unreadable(rules_for(task.unit), task.student, reason, task.digest)
    verdict.check_version = ""
    return verdicts.encode(verdict)


def _keep(folder: ClassFolder, graded: Graded, verdict: Verdict) -> None:
    old = folder.read_verdict(verdict.unit, verdict.student)
    if old is not None and old.score != verdict.score:
        why = "the hand-in changed" if old.digest != verdict.digest else "the checks changed"
        graded.changed.append((verdict.student, old.score, verdict.score, why))
    folder.write_verdict(verdict)
    graded.verdicts.append(verdict)


def _start_worker() -> None:
    """One thread of torch, and no life after the process that started this one, however that ended."""
    import torch

    torch.set_num_threads(1)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _one_line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]
