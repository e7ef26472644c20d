"""Where a learner's things lie: the course's folder, its units, the working copies, JupyterLab on one of them.

A working copy is made once and belongs to the learner: nothing here ever writes over it. When the course brings a new
version of a notebook that was changed, the new one is put beside the learner's. `cases.npz` holds the checks, not work,
and always follows the course.

Not here: judging (course.command_line.selfcheck) and remembering (course.command_line.progress).
"""

from __future__ import annotations

import datetime
import difflib
import hashlib
import importlib.util
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from course.checking import manifest
from course.checking.manifest import Exercise
from course.command_line.notebooks import exercise_cells, manual_points, read_notebook
from course.errors import EnvironmentLacking, InputError
from course.files import write_whole

RELEASED = ".released.json"
# Settings of JupyterLab: it does not ask whether to fetch news, and has no Validate button of nbgrader's.
JUPYTER = Path(__file__).parents[1] / "jupyter"


@dataclass(frozen=True)
class Unit:
    """One unit of the course: `02_attention` has the number 02 and the topic attention."""

    root: Path
    name: str

    @property
    def topic(self) -> str:
        return self.name.partition("_")[2]

    @property
    def folder(self) -> Path:
        return self.root / "assignments" / self.name

    @property
    def notebook(self) -> Path:
        return self.folder / f"{self.topic}.ipynb"

    @property
    def solution(self) -> Path:
        return self.root / "solutions" / self.name / f"{self.topic}.ipynb"

    @cached_property
    def exercises(self) -> dict[str, Exercise]:
        """The unit's exercises by name. InputError when its cases are missing or broken."""
        try:
            return manifest.read(self.folder / "cases.npz").exercises
        except ValueError as error:
            raise InputError(f"{error}; run `git checkout assignments`, or get the unit again") from error

    @property
    def max_score(self) -> float:
        """All automatic points but those of optional exercises."""
        return sum(one.points for one in self.exercises.values() if not one.optional)

    @property
    def manual_points(self) -> float:
        """Points of the unit that a person gives."""
        return manual_points(json.loads(self.notebook.read_text("utf-8"))["cells"])


def find_root(start: Path | None = None) -> Path:
    """The folder that holds `assignments/`: here, above, or around the installed package."""
    here = (start or Path.cwd()).resolve()
    around = Path(__file__).resolve().parents[2]
    for folder in (here, *here.parents, around):
        if (folder / "assignments").is_dir():
            return folder
    raise EnvironmentLacking(
        f"expected a folder assignments/ in {here} or above it and found none: go to your copy of the course first"
    )


def list_units(root: Path) -> list[Unit]:
    """Every unit with a released notebook, by number."""
    found = (Unit(root, folder.name) for folder in sorted((root / "assignments").iterdir()))
    return [unit for unit in found if unit.notebook.is_file()]


def find_unit(root: Path, word: str) -> Unit:
    """The unit called `02`, `attention` or `02_attention`. InputError with a guess when there is none."""
    units = list_units(root)
    wanted = word.strip().strip("/").lower()
    for unit in units:
        number = unit.name.partition("_")[0]
        if wanted in (unit.name, unit.topic) or (
            wanted.isdecimal() and number.isdecimal() and int(wanted) == int(number)
        ):
            return unit
    names = [name for unit in units for name in (unit.topic, unit.name)]
    raise InputError(f"no unit is called {word!r}: {did_you_mean(wanted, names, [u.name for u in units])}")


def find_exercise(root: Path, word: str) -> tuple[Unit, str]:
    """The unit and name of an exercise; `attention/causal_mask` names the unit too."""
    where, _, name = word.rpartition("/")
    units = [find_unit(root, where)] if where else list_units(root)
    found = [unit for unit in units if name in unit.exercises]
    if len(found) == 1:
        return found[0], name
    if found:
        choices = " or ".join(f"{unit.topic}/{name}" for unit in found)
        raise InputError(f"more than one unit has an exercise {name!r}: write {choices}")
    names = [check for unit in units for check in unit.exercises]
    raise InputError(f"no exercise is called {name!r}: {did_you_mean(name, names, [])}")


def did_you_mean(word: str, names: list[str], otherwise: list[str]) -> str:
    """The end of a sentence about an unknown name."""
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"there are {', '.join(otherwise)}" if otherwise else "`course list` shows all of them"


def workspace(root: Path) -> Path:
    """Where working copies live: work/ in the course's folder, else ~/transformer-course when that can't be written."""
    inside = root / "work"
    writable = os.access(inside if inside.is_dir() else root, os.W_OK)
    return inside if writable else Path.home() / "transformer-course"


def working_notebook(unit: Unit) -> Path:
    """The learner's notebook of this unit; it need not exist yet."""
    return workspace(unit.root) / unit.name / unit.notebook.name


def make_working_copy(unit: Unit, today: datetime.date | None = None) -> tuple[Path, list[str]]:
    """Bring the unit into the workspace without writing over work; the learner's notebook and what to tell them."""
    target = workspace(unit.root) / unit.name
    target.mkdir(parents=True, exist_ok=True)
    before, now, notes = _read_released(target), {}, []
    for source in sorted(p for p in unit.folder.iterdir() if p.is_file()):
        now[source.name] = digest(source)
        notes += _bring(source, target / source.name, before.get(source.name), now[source.name], today)
    write_whole(target / RELEASED, json.dumps(now, indent=1).encode())
    return working_notebook(unit), notes


def _bring(source: Path, target: Path, before: str | None, now: str, today: datetime.date | None) -> list[str]:
    ours = digest(target) if target.exists() else None
    if ours == now:
        return []
    if ours is None or source.name == "cases.npz" or ours == before:
        write_whole(target, source.read_bytes())
        return [] if ours is None else [f"{source.name} is now the course's new version."]
    if before == now:
        return []
    beside = _free_name(target, today or datetime.date.today())
    write_whole(beside, source.read_bytes())
    return [
        f"{source.name} has changed in the course: yours is untouched, the new version is beside it as {beside.name!r}."
    ]


def _free_name(target: Path, day: datetime.date) -> Path:
    for count in range(1, 1000):
        again = "" if count == 1 else f", {count}"
        path = target.with_name(f"{target.stem} (new version {day.isoformat()}{again}){target.suffix}")
        if not path.exists():
            return path
    raise InputError(f"{target.parent} is full of new versions: delete those you don't need")


def _read_released(folder: Path) -> dict[str, str]:
    try:
        return dict(json.loads((folder / RELEASED).read_text()))
    except (OSError, ValueError):
        return {}


def digest(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def open_lab(notebook: Path, browser: bool = True, extra: tuple[str, ...] = ()) -> int:
    """Run JupyterLab on a working copy until it is closed; its exit code."""
    if importlib.util.find_spec("jupyterlab") is None:
        raise EnvironmentLacking("JupyterLab is not installed in this environment: run `make setup`, or pip install it")
    try:
        return subprocess.call(lab_command(notebook, browser, extra), env=lab_environment())
    except KeyboardInterrupt:
        return 0


def lab_command(notebook: Path, browser: bool, extra: tuple[str, ...]) -> list[str]:
    """The words that start JupyterLab with the workspace as its root and `notebook` open."""
    words = [sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={notebook.parent.parent}"]
    words += [f"--LabApp.default_url=/lab/tree/{notebook.parent.name}/{notebook.name}"]
    words += [] if browser else ["--no-browser"]
    words += ["--allow-root"] if getattr(os, "geteuid", lambda: 1)() == 0 else []
    return [*words, *extra]


def lab_environment() -> dict[str, str]:
    """This process's environment, with the course's settings of JupyterLab below the learner's own."""
    known = os.environ.get("JUPYTER_CONFIG_PATH", "")
    return {**os.environ, "JUPYTER_CONFIG_PATH": os.pathsep.join(filter(None, [known, str(JUPYTER)]))}


def solution_cell(unit: Unit, exercise: str) -> str:
    """The solved code of one exercise, from solutions/. EnvironmentLacking where solutions are not shipped."""
    if not unit.solution.is_file():
        raise EnvironmentLacking(
            f"{unit.name} has no solution here: only a clone of the course has solutions/, a release does not"
        )
    cells = exercise_cells(read_notebook(unit.solution), list(unit.exercises))
    if exercise not in cells:
        raise InputError(f"{unit.solution.name} has no cell for {exercise!r}: build the unit again with `course build`")
    return cells[exercise]
