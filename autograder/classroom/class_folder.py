"""One class on disk: where everything lies, who works on it, and its nbgrader.

What it is: the layout, the class secret, the lock, the list of hand-ins, and the set-up of a unit in the class's own
gradebook. A class folder is self-contained: formgrader is started in it and finds its own configuration and database.

What it is not: it reads no hand-in (`autograder.classroom.intake`), judges nothing, and records nothing
(`autograder.classroom.record`).

    submitted/STUDENT/UNIT/*.ipynb     raw hand-ins, and timestamps.csv beside submitted/ if the collector has one
    canonical/STUDENT/UNIT/            what intake made of them; the only thing nbgrader sees
    verdicts/UNIT/STUDENT.json         one verdict per hand-in and its history, written whole or not at all
    source/ release/                   the unit with hidden tests, and as students got it
    autograded/ feedback/ gradebook.db nbgrader's
    report/UNIT.html                   the class report
"""

from __future__ import annotations

import contextlib
import datetime
import errno
import fcntl
import hashlib
import json
import os
import secrets
import shutil
import socket
import sqlite3
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import nbformat
from nbformat import NotebookNode
from nbgrader.api import (
    Comment,
    Grade,
    Gradebook,
    GradeCell,
    InvalidEntry,
    MissingEntry,
    Notebook,
    SolutionCell,
    SourceCell,
    TaskCell,
)
from nbgrader.converters import GenerateAssignment
from nbgrader.converters.base import NbGraderException
from nbgrader.coursedir import CourseDirectory
from nbgrader.utils import is_grade, is_locked, is_solution, is_task, parse_utc
from sqlalchemy.exc import SQLAlchemyError
from traitlets.config import Config, PyFileConfigLoader

from autograder import ROOT
from autograder.authoring.unit import unit_folders
from autograder.classroom import scores
from autograder.classroom.names import name_problem, shown, unit_meant, visible
from course.checking import verdict as verdicts
from course.checking.verdict import Verdict
from course.files import write_whole

CONFIG_TEMPLATE = ROOT / "nbgrader_config.py"
NAMED = 5  # paths in a sentence about all that go wrong alike


class ClassFolderError(Exception):
    """Something is wrong with the class folder; the message is one sentence with what to do."""


class ClassLocked(ClassFolderError):
    """Another run works on this class; the message says who."""


@dataclass(frozen=True)
class HandIn:
    """One student's folder for one unit, not yet looked into."""

    student: str
    unit: str
    folder: Path


class Verdicts:
    """The verdict files of one unit, by student. They are read one after the other, each time anew, and never kept."""

    def __init__(self, folder: ClassFolder, unit: str, students: Iterable[str]) -> None:
        self._folder, self._unit, self.students = folder, unit, sorted(students)

    def __iter__(self) -> Iterator[Verdict]:
        found = (self._folder.read_verdict(self._unit, student) for student in self.students)
        return (verdict for verdict in found if verdict is not None)

    def __len__(self) -> int:
        return sum(1 for _ in self)


class ClassFolder:
    """The class in `root`. Making one creates folders, secret and configuration that are missing, and nothing else."""

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root).resolve()
        try:
            for folder in (self.submitted, self.canonical, self.verdicts, self.report):
                folder.mkdir(parents=True, exist_ok=True)
            if not self.config_file.exists():
                write_whole(self.config_file, CONFIG_TEMPLATE.read_bytes())
        except OSError as error:
            raise ClassFolderError(f"The class folder {self.root} can't be written: {error.strerror}.") from None

    @property
    def submitted(self) -> Path:
        return self.root / "submitted"

    @property
    def canonical(self) -> Path:
        return self.root / "canonical"

    @property
    def verdicts(self) -> Path:
        return self.root / "verdicts"

    @property
    def autograded(self) -> Path:
        return self.root / "autograded"

    @property
    def feedback(self) -> Path:
        return self.root / "feedback"

    @property
    def report(self) -> Path:
        return self.root / "report"

    @property
    def gradebook_file(self) -> Path:
        return self.root / "gradebook.db"

    @property
    def config_file(self) -> Path:
        return self.root / "nbgrader_config.py"

    @property
    def timestamps_file(self) -> Path:
        """The collector's clock: CSV with columns student, unit, timestamp (see `clock`). It need not exist."""
        return self.root / "timestamps.csv"

    # Secret and lock

    def secret(self) -> bytes:
        """The class secret, 32 bytes, made on first use and readable by the owner only."""
        path = self.root / ".secret"
        if not path.exists():
            _create_once(path, secrets.token_hex(32).encode(), 0o600)
        if path.stat().st_mode & 0o077:
            path.chmod(0o600)
        return bytes.fromhex(path.read_text())

    @contextlib.contextmanager
    def lock(self, doing: str) -> Iterator[None]:
        """Hold the class while `doing` it ("course grade 02_attention"). Raises `ClassLocked` if somebody else does.

        The lock belongs to the process: it is gone when the process is, however it ends.
        """
        file = os.open(self.root / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            self._seize(file)
            started = datetime.datetime.now().astimezone().strftime("%Y-%m-%d %H:%M")
            holder = {"pid": os.getpid(), "host": socket.gethostname(), "doing": doing, "since": started}
            os.ftruncate(file, 0)
            os.pwrite(file, json.dumps(holder).encode(), 0)
            yield
        finally:
            os.close(file)

    def _seize(self, file: int) -> None:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ClassLocked(self._holder(file)) from None

    def _holder(self, file: int) -> str:
        try:
            who = json.loads(os.pread(file, 4096, 0))
            by = f'"{who["doing"]}" (process {who["pid"]} on {who["host"]}, since {who["since"]})'
        except (ValueError, KeyError, TypeError):
            by = "another run"
        return f"The class {self.root.name} is in use by {by}; wait until it ends, then start again."

    def refuse_if_locked(self) -> None:
        """Raise `ClassLocked` if somebody holds the class right now."""
        file = os.open(self.root / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            self._seize(file)
        finally:
            os.close(file)

    # Students, hand-ins, verdicts

    def hand_ins(self, unit: str) -> list[HandIn]:
        """Every hand-in for the unit, by student; `not_graded` says what is not among them."""
        return [
            HandIn(student, unit, self.submitted / student / unit)
            for student in sorted(os.listdir(self.submitted))
            if not student.startswith(".")
            and name_problem(student) is None
            and _handed_in(self.submitted / student / unit)
        ]

    def not_graded(self, unit: str | None = None) -> list[str]:
        """What lies in submitted/ and is no hand-in, a sentence each: of this unit, or of no unit that can be told."""
        known = {*(folder.name for folder in unit_folders()), *self.units(), *filter(None, [unit])}
        named = [name for name in sorted(os.listdir(self.submitted)) if name[0] != "."]
        folders = [name for name in named if name not in known and (self.submitted / name).is_dir()]
        alike: dict[str, list[str]] = {}
        for name in (name for name in named if name not in folders):
            alike.setdefault(_expected("UNIT"), []).append(f"submitted/{shown(name)}")
        for student in (name for name in folders if name_problem(name) is None):
            for entry, why in _strays(self.submitted / student, unit, known):
                alike.setdefault(why, []).append(f"submitted/{shown(student)}{entry and '/' + shown(entry)}")
        odd = [sentence for name in folders if (sentence := name_problem(name))]
        return [*odd, *(f"{_listed(paths)} not graded: {why}" for why, paths in alike.items())]

    def students(self) -> list[str]:
        """Everyone with a folder in submitted/ and a name nbgrader can carry."""
        names = (entry.name for entry in os.scandir(self.submitted) if entry.is_dir())
        return sorted(name for name in names if name_problem(name) is None)

    def units(self) -> list[str]:
        """Units that are set up in this class."""
        return sorted(path.parent.name for path in (self.root / "release").glob("*/*.ipynb"))

    def canonical_dir(self, student: str, unit: str) -> Path:
        return self.canonical / student / unit

    def verdict_file(self, unit: str, student: str) -> Path:
        return self.verdicts / unit / f"{student}.json"

    def read_verdict(self, unit: str, student: str) -> Verdict | None:
        """The verdict on disk; None when there is none or it does not fit the schema (it is then judged again)."""
        try:
            return verdicts.decode(self.verdict_file(unit, student).read_bytes())
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            return None

    def all_verdicts(self, unit: str) -> Verdicts:
        """Every readable verdict of the unit."""
        return Verdicts(self, unit, (path.stem for path in (self.verdicts / unit).glob("*.json")))

    def write_verdict(self, verdict: Verdict) -> Path:
        """Put the verdict in its place, whole or not at all."""
        path = self.verdict_file(verdict.unit, verdict.student)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, verdicts.encode(verdict))
        return path

    # nbgrader

    def config(self) -> Config:
        """nbgrader's configuration of this class, freshly read."""
        return PyFileConfigLoader(self.config_file.name, path=str(self.root)).load_config()

    def coursedir(self, unit: str = "", student: str = "*") -> CourseDirectory:
        return CourseDirectory(
            config=self.config(), root=str(self.root), db_url=self.db_url, assignment_id=unit, student_id=student
        )

    @property
    def db_url(self) -> str:
        return f"sqlite:///{self.gradebook_file}"

    @contextlib.contextmanager
    def gradebook(self) -> Iterator[Gradebook]:
        """The open gradebook. It is created under another name first, so no half-made one is ever found.

        Raises ClassFolderError when another program holds it, or it can't be read.
        """
        if not self.gradebook_file.exists():
            self._create_gradebook()
        try:
            with Gradebook(self.db_url) as gradebook:
                yield gradebook
        except (SQLAlchemyError, InvalidEntry) as error:
            said = _said_by_sqlite(error)
            if said is None or disk_full(error):
                raise
            raise ClassFolderError(self._not_usable(said)) from error

    def _not_usable(self, said: str) -> str:
        if "locked" not in said:
            return f"The gradebook {self.gradebook_file} can't be used: SQLite says {said!r}."
        return (
            f"The gradebook {self.gradebook_file} is held by another program, such as formgrader or a database viewer; "
            "wait until it is done or close it, and start again: nothing is lost."
        )

    def _create_gradebook(self) -> None:
        partial = self.root / f".gradebook.{os.getpid()}.db"
        partial.unlink(missing_ok=True)
        with _own_commands_first(), Gradebook(f"sqlite:///{partial}"):
            pass
        with contextlib.suppress(FileExistsError):
            os.link(partial, self.gradebook_file)
        partial.unlink()

    def release_notebook(self, unit: str) -> Path:
        """The notebook of the unit as students got it. Raises ClassFolderError when the unit is not set up."""
        found = sorted((self.root / "release" / unit).glob("*.ipynb"))
        if not found:
            raise ClassFolderError(f"Unit {unit} is not set up in the class {self.root.name}; run course grade {unit}.")
        return found[0]

    def set_due(self, unit: str, due: datetime.datetime | None) -> None:
        """When the unit is due (UTC unless the time has a zone), for late penalties."""
        when = parse_utc(due) if due is not None else None
        with self.gradebook() as gradebook:
            gradebook.update_or_create_assignment(unit, duedate=when)

    def set_up(self, unit: str, source: Path | str, released: Path | str | None = None) -> bool:
        """Make the unit known to the class: source/, release/ and the gradebook. Returns whether anything changed.

        `source` is the folder with the built nbgrader source notebook and its data; `released` the folder students got
        (assignments/NN_topic), which then is the release byte for byte. Works with hand-ins already graded: new
        exercises get empty grades, removed ones lose theirs, unless one was graded by hand, which raises
        ClassFolderError. Hold the lock.
        """
        source, mine, release = Path(source), self.root / "source" / unit, self.root / "release" / unit
        released = Path(released) if released is not None else None
        notebook = _only_notebook(source)
        stamp = _digest_of_files(source, released)
        if _stamp(release) == stamp and self.gradebook_file.exists():
            return False
        (release / ".stamp").unlink(missing_ok=True)
        _mirror(source, mine)
        self._fit_gradebook(unit, notebook)
        self._generate(unit)
        for file in _files(released) if released is not None else _files(source, data_only=True):
            shutil.copyfile(file, release / file.name)
        write_whole(release / ".stamp", stamp.encode())
        return True

    def _generate(self, unit: str) -> None:
        converter = GenerateAssignment(coursedir=self.coursedir(unit), config=self.config())
        converter.force = True
        converter.log.setLevel("CRITICAL")
        try:
            with _own_commands_first():
                converter.start()
        except (NbGraderException, SystemExit) as error:
            raise ClassFolderError(f"nbgrader could not generate unit {unit}: {error}") from None

    def _fit_gradebook(self, unit: str, path: Path) -> None:
        """Give a unit that has submissions the cells of its new source; nbgrader alone refuses to."""
        notebook = nbformat.read(path, as_version=4)
        with self.gradebook() as gradebook:
            try:
                known = gradebook.find_notebook(path.stem, unit)
            except MissingEntry:
                return
            if known.submissions:
                _drop_cells(gradebook, known, notebook)
                _add_cells(gradebook, known, notebook)
                gradebook.db.commit()


# What was handed in, and what is something else


def _handed_in(folder: Path) -> bool:
    """Does something lie there? A collector makes folders also for those who handed in nothing."""
    try:
        if folder.is_symlink() or not folder.is_dir():
            return os.path.lexists(folder)
        return bool(visible(os.listdir(folder)))
    except OSError:  # intake says what is wrong with it
        return True


def _strays(folder: Path, unit: str | None, known: set[str]) -> Iterator[tuple[str, str]]:
    """(name, why it is not graded) of what a student's folder holds; "" stands for the folder itself."""
    try:
        entries = [] if folder.is_symlink() else visible(os.listdir(folder))
    except OSError as error:
        yield "", f"the folder can't be read ({error.strerror})."
        return
    for entry in entries:
        meant = entry if entry in known else unit_meant(entry, known)
        if meant is None:
            yield entry, "no unit of this course is called so."
        elif unit in (None, meant) and entry != meant:
            yield entry, _expected(meant)
        elif unit in (None, meant) and not _handed_in(folder / entry):
            yield entry, "the folder is empty."


def _expected(unit: str) -> str:
    return f"expected submitted/STUDENT/{unit}/ with the notebook in it."


def _listed(paths: list[str]) -> str:
    """A few of them, how many more, and the verb."""
    more = f" and {len(paths) - NAMED} more" if len(paths) > NAMED else ""
    return f"{', '.join(paths[:NAMED])}{more} {'are' if paths[1:] else 'is'}"


# Cells of a unit that already has submissions


def _wanted(notebook: NotebookNode) -> dict[type, dict[str, NotebookNode]]:
    kinds = {GradeCell: is_grade, SolutionCell: is_solution, TaskCell: is_task}
    cells = [cell for cell in notebook.cells if "nbgrader" in cell.metadata]
    return {kind: {c.metadata.nbgrader.grade_id: c for c in cells if test(c)} for kind, test in kinds.items()}


def _known(notebook: Notebook) -> dict[type, list]:
    return {
        GradeCell: list(notebook.grade_cells),
        SolutionCell: list(notebook.solution_cells),
        TaskCell: list(notebook.task_cells),
    }


def _drop_cells(gradebook: Gradebook, known: Notebook, notebook: NotebookNode) -> None:
    wanted = _wanted(notebook)
    for kind, cells in _known(known).items():
        for cell in cells:
            if cell.name not in wanted[kind]:
                _drop_cell(gradebook, cell, known.assignment.name)
    kept = {c.metadata.nbgrader.grade_id for c in notebook.cells if _saved(c)}
    for cell in list(known.source_cells):
        if cell.name not in kept:
            gradebook.db.delete(cell)
    gradebook.db.flush()


def _drop_cell(gradebook: Gradebook, cell: GradeCell | SolutionCell | TaskCell, unit: str) -> None:
    grades = gradebook.db.query(Grade).filter(Grade.cell_id == cell.id).all()
    marked = sum(map(scores.marks_by_hand(gradebook, unit), grades))
    if marked:
        raise ClassFolderError(
            f"{cell.name} was taken out of the unit, but {marked} hand-ins have a grade by hand for it; "
            "put it back, or clear these grades in formgrader."
        )
    for row in [*grades, *gradebook.db.query(Comment).filter(Comment.cell_id == cell.id)]:
        gradebook.db.delete(row)
    scores.forget_extra(gradebook, unit, cell.name)
    gradebook.db.flush()
    gradebook.db.delete(cell)


def _saved(cell: NotebookNode) -> bool:
    return is_grade(cell) or is_solution(cell) or is_locked(cell) or is_task(cell)


def _add_cells(gradebook: Gradebook, known: Notebook, notebook: NotebookNode) -> None:
    have = _known(known)
    for kind, cells in _wanted(notebook).items():
        for name in cells.keys() - {cell.name for cell in have[kind]}:
            _add_cell(gradebook, known, kind, name, cells[name])
    names = {cell.name for cell in known.source_cells}
    for cell in notebook.cells:
        if _saved(cell) and cell.metadata.nbgrader.grade_id not in names:
            name = cell.metadata.nbgrader.grade_id
            gradebook.db.add(SourceCell(name=name, notebook=known, cell_type=cell.cell_type))


def _add_cell(gradebook: Gradebook, known: Notebook, kind: type, name: str, cell: NotebookNode) -> None:
    points = {} if kind is SolutionCell else {"max_score": cell.metadata.nbgrader.points, "cell_type": cell.cell_type}
    made = kind(name=name, notebook=known, **points)
    gradebook.db.add(made)
    gradebook.db.flush()
    for submission in known.submissions:
        if kind is not SolutionCell:
            gradebook.db.add(Grade(cell_id=made.id, notebook=submission))
        if kind is not GradeCell:
            gradebook.db.add(Comment(cell_id=made.id, notebook=submission))


# Files


def disk_full(error: BaseException | None) -> bool:
    """Does this error, or the one it came from, say that a disk has no room left?"""
    while error is not None:
        if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or "disk is full" in str(error):  # or SQLite's
            return True
        error = error.__cause__ or error.__context__
    return False


def _said_by_sqlite(error: BaseException | None) -> str | None:
    """What SQLite said about its file, if this error came from that; a broken rule of the tables is another matter."""
    while error is not None:
        if type(error) in (sqlite3.OperationalError, sqlite3.DatabaseError):
            return str(error)
        error = error.__cause__ or error.__context__
    return None


def _only_notebook(folder: Path) -> Path:
    found = sorted(folder.glob("*.ipynb"))
    if len(found) != 1:
        raise ClassFolderError(f"{folder} has {len(found)} notebooks; expected the one that course build wrote.")
    return found[0]


def _files(folder: Path, data_only: bool = False) -> list[Path]:
    """Plain visible files of a folder, never Python sources: what lies beside a notebook goes to students."""
    left_out = {".py", ".pyc", ".ipynb"} if data_only else {".py", ".pyc"}
    return [p for p in sorted(folder.iterdir()) if p.is_file() and p.name[0] != "." and p.suffix not in left_out]


def _mirror(source: Path, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    wanted = {file.name for file in _files(source)}
    for entry in list(target.iterdir()):
        if entry.is_file() and entry.name not in wanted:
            entry.unlink()
    for file in _files(source):
        shutil.copyfile(file, target / file.name)


def _digest_of_files(*folders: Path | None) -> str:
    digest = hashlib.sha256()
    for folder in folders:
        for file in _files(folder) if folder is not None else ():
            content = hashlib.sha256(file.read_bytes()).hexdigest()
            digest.update(f"{file.name}\0{content}\n".encode())
        digest.update(b"--\n")
    return digest.hexdigest()


def _stamp(release: Path) -> str:
    """What the release was made from; "" when it is not whole."""
    try:
        return (release / ".stamp").read_text()
    except OSError:
        return ""


def _create_once(path: Path, data: bytes, mode: int) -> None:
    """Create the file with this content unless it exists; two processes at once agree on one content."""
    partial = path.with_name(f"{path.name}.{os.getpid()}")
    file = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(file, "wb") as handle:
        handle.write(data)
    with contextlib.suppress(FileExistsError):
        os.link(partial, path)
    partial.unlink()


@contextlib.contextmanager
def _own_commands_first() -> Iterator[None]:
    """nbgrader starts `alembic` by name when it makes a gradebook; it must be this environment's."""
    before = os.environ.get("PATH", "")
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{before}"
    try:
        yield
    finally:
        os.environ["PATH"] = before
