"""Check a learner's own notebook from the command line: run its cells, play the recorded cases, one verdict.

The cells run in a process of their own, one after another, and every cell and every exercise has a time limit. A cell
that hangs or kills its process costs itself only: the process is started again without it. One that the machine ended
(signal 9, as where memory is short) is tried a second time before anything is blamed for it.

This is no sandbox. The notebook has the rights of whoever runs the command: it is their own. Hand-ins of other people
are for `course grade`. Not here either: trials (course check --full hands over to the instructor package).
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from course.checking import cases, foundations
from course.checking.cases import Cases
from course.checking.cells import read
from course.checking.verdict import ExerciseVerdict, Verdict, without_points
from course.command_line.lab import find_unit
from course.command_line.notebooks import exercise_of, is_check_cell, manual_points, read_notebook
from course.errors import EnvironmentLacking, InputError

if TYPE_CHECKING:
    import nbformat  # the child does without

STARTING = 120.0  # seconds that importing torch may take on a slow disk
TRIES, PAUSE = 3, 1.0  # how often a process is asked of a busy machine, and seconds in between

Told = Callable[[str], None]


def find_cases(path: Path, notebook: nbformat.NotebookNode, root: Callable[[], Path]) -> Path:
    """The cases.npz that belongs to a notebook: beside it, else in the released unit that its metadata names."""
    beside = path.resolve().parent / "cases.npz"
    if beside.is_file():
        return beside
    unit = str(notebook.metadata.get("course", {}).get("unit", "")) or path.stem
    found = find_unit(root(), unit).folder / "cases.npz"
    if found.is_file():
        return found
    raise InputError(f"expected the unit's checks in {found}, but there is no such file: get the unit again")


def check_notebook(path: Path, cases_path: Path, limit: float = 60.0, tell: Told = lambda line: None) -> Verdict:
    """Run the notebook at `path` and judge every exercise of its unit. limit: seconds per cell and per exercise."""
    notebook, recorded = read_notebook(path), _load(cases_path)
    began = time.monotonic()
    run = _Run(path.resolve(), notebook, recorded, cases_path, limit, tell)
    while run.step():
        pass
    verdicts = recorded.marked([run.verdicts[name] for name in recorded.checks])
    verdict = Verdict(
        unit=recorded.unit,
        max_score=recorded.max_score,
        manual_max=manual_points(notebook.cells),
        exercises=verdicts,
        seconds=round(time.monotonic() - began, 2),
        notes=run.notes,
    )
    return verdict.add_up()


def find_judge() -> Callable[..., Verdict]:
    """The instructor package's judge of one notebook, `judge_notebook(path, cases_path, limit, tell) -> Verdict`."""
    for entry in metadata.entry_points(group="course.full"):
        return entry.load()
    raise EnvironmentLacking(
        "--full needs the instructor package, and only the learner library is installed: run `make setup` in a clone"
    )


class _Run:
    """One notebook on its way through as many processes as it takes."""

    def __init__(
        self, path: Path, notebook: nbformat.NotebookNode, recorded: Cases, cases_path: Path, limit: float, tell: Told
    ) -> None:
        self.path, self.recorded, self.cases_path, self.limit, self.tell = path, recorded, cases_path, limit, tell
        self.names = list(recorded.checks)
        self.cells = list(_runnable(notebook, self.names))
        self.verdicts: dict[str, ExerciseVerdict] = {}
        self.stopped = foundations.Stopped()
        self.skipped: set[int] = set()
        self.forgiven: set[tuple] = set()  # where the machine ended the process, once each
        self.notes: list[str] = []

    def step(self) -> bool:
        """Run one process to its end; True when another one is needed."""
        todo = [name for name in self.names if name not in self.verdicts]
        if not todo:
            return False
        with self._start(todo) as child:
            doing: list | None = None
            while True:
                event = child.next_event(STARTING if doing is None else self.limit)
                if event[0] == "done":
                    return False
                if event[0] in ("timed_out", "crashed"):
                    if not self._machines_doing(doing, event):
                        self._blame(doing, event)
                    return True
                doing = event if event[0] in ("cell", "exercise") else doing
                self._note(event)

    def _start(self, todo: list[str]) -> _Child:
        for left in reversed(range(TRIES)):
            try:
                return _Child(self._job(todo), self.path.parent)
            except OSError as error:  # no room for another process
                if not left:
                    raise EnvironmentLacking(
                        f"the notebook's process can't be started ({error.strerror}): close other programs first"
                    ) from None
            time.sleep(PAUSE)
        raise AssertionError

    def _machines_doing(self, doing: list | None, event: list) -> bool:
        """Was it the machine that ended the process, perhaps only this once? It ended between two things, before the
        first, or by signal 9."""
        if doing is not None and doing[0] == "exercise" and doing[1] in self.verdicts:
            return True
        place = tuple(doing or ())
        if place in self.forgiven or not (doing is None or event[1].startswith("SIGKILL")):
            return False
        self.forgiven.add(place)
        return True

    def _job(self, todo: list[str]) -> dict:
        cells = [(number, source) for number, source, _ in self.cells if number not in self.skipped]
        return {"cells": cells, "exercises": todo, "cases": str(self.cases_path.resolve())}

    def _note(self, event: list) -> None:
        if event[0] == "exercise":
            self.tell(event[1])
        elif event[0] == "cell":
            self.tell(f"cell {event[1] + 1}")
        elif event[0] == "error":
            self._cell_failed(event[1], event[2])
        elif event[0] == "verdict":
            verdict = msgspec.convert(event[1], ExerciseVerdict)
            self.verdicts[verdict.name] = self.stopped.explain(verdict)

    def _cell_failed(self, number: int, said: str) -> None:
        source, name = next((source, name) for index, source, name in self.cells if index == number)
        self.stopped.note(name, read(source), said)
        note = f"cell {number + 1} stopped with {said}"
        self.notes += [] if note in self.notes else [note]

    def _blame(self, doing: list | None, event: list) -> None:
        if doing is None:
            raise EnvironmentLacking(f"the notebook's process did not start: {event[1]}; run `course doctor`")
        says = (
            f"ran longer than {self.limit:g} seconds" if event[0] == "timed_out" else f"ended its process ({event[1]})"
        )
        if doing[0] == "exercise":
            self._lose(doing[1], event[0], f"the check of this exercise {says}")
            return
        self.skipped.add(doing[1])
        self.notes.append(f"cell {doing[1] + 1} {says} and was left out")
        name = next((name for index, _, name in self.cells if index == doing[1]), "")
        if name:
            self._lose(name, event[0], f"its cell {says}")

    def _lose(self, name: str, state: str, reason: str) -> None:
        check = self.recorded.check(name)
        self.verdicts[name] = without_points(name, check.points, state, reason, hints=len(check.hints))


class _Child:
    """The process that runs the cells; a thread reads its events, so that waiting has a limit on every system."""

    def __init__(self, job: dict, folder: Path) -> None:
        here = str(Path(__file__).resolve().parents[2])
        start = f"import sys; sys.path.append({here!r}); from course.command_line.selfcheck import child; child()"
        self.said = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            [sys.executable, "-c", start],
            cwd=folder,
            env={**os.environ, "MPLBACKEND": "Agg"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.said,
            start_new_session=True,
        )
        self.events: queue.Queue = queue.Queue()
        threading.Thread(target=self._read, args=(json.dumps(job).encode(),), daemon=True).start()

    def __enter__(self) -> _Child:
        return self

    def __exit__(self, *_: object) -> None:
        if hasattr(os, "killpg"):
            _quietly(lambda: os.killpg(self.process.pid, signal.SIGKILL))
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.said.close()

    def next_event(self, seconds: float) -> list:
        """The next event; ["timed_out", ""] or ["crashed", how] when none will come."""
        try:
            event = self.events.get(timeout=seconds)
        except queue.Empty:
            return ["timed_out", "it took too long"]
        return event if event is not None else ["crashed", self._how_it_ended()]

    def _read(self, job: bytes) -> None:
        _quietly(lambda: (self.process.stdin.write(job), self.process.stdin.close()))
        with contextlib.suppress(ValueError):  # closed meanwhile: nobody listens any more
            for line in self.process.stdout:
                _quietly(lambda line=line: self.events.put(json.loads(line)))
        self.events.put(None)

    def _how_it_ended(self) -> str:
        code = self.process.wait()
        self.said.seek(0)
        last = self.said.read()[-2000:].decode(errors="replace").strip().rpartition("\n")[2]
        name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return f"{name}: {last}" if last else name


def child() -> None:
    """The other process: run cells, then judge exercises, telling each as a line of JSON on the first stdout."""
    job = json.load(sys.stdin)
    out = os.fdopen(os.dup(1), "w")

    def say(*event: Any) -> None:
        out.write(json.dumps(event) + "\n")
        out.flush()

    from course.checking.check import judge_with, quiet
    from course.worker.session import Session

    recorded = cases.load(job["cases"])
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    session = Session()
    for number, source in job["cells"]:
        say("cell", number)
        error = session.run(source).error
        if error:
            say("error", number, error)
    for name in job["exercises"]:
        say("exercise", name)
        with quiet():
            verdict = judge_with(recorded, name, session.namespace, [source for _, source in job["cells"]])
        say("verdict", msgspec.to_builtins(verdict))
    say("done")


def _load(path: Path) -> Cases:
    try:
        return cases.load(path)
    except ValueError as error:
        raise InputError(str(error)) from error
    except (KeyError, TypeError) as error:
        raise InputError(f"{path} is no cases file of this course ({error!r}): get the unit again") from None


def _runnable(notebook: nbformat.NotebookNode, names: list[str]) -> Iterator[tuple[int, str, str]]:
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type == "code" and cell.source.strip() and not is_check_cell(cell):
            yield number, cell.source, exercise_of(cell, names)


def _quietly(action: Callable[[], Any]) -> None:
    try:
        action()
    except (OSError, ValueError):
        pass
