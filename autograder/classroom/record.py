"""Verdicts into nbgrader: scores, autograded notebooks, feedback.

What it is: `record`, which enters verdicts into the gradebook a batch at a time and writes the notebooks formgrader
shows; and the two preprocessors that take the place of nbgrader's execution where its own Autograde runs, which is
behind formgrader's button (`nbgrader_config.py` names them). Killed at any moment and started again it ends in the same
gradebook: scores and verdict versions of a batch change in one transaction, and a hand-in counts as recorded only when
its pages are written.

What it is not: it executes no notebook and decides no score. Nothing here runs a line of a student's.
"""

from __future__ import annotations

import contextlib
import datetime
import html
import itertools
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import msgspec
import nbformat
from nbconvert.exporters.exporter import ResourcesDict
from nbformat import NotebookNode
from nbgrader.api import Gradebook, Notebook
from nbgrader.converters import Autograde, GenerateFeedback
from nbgrader.converters.base import NbGraderException
from nbgrader.preprocessors import AssignLatePenalties, NbGraderPreprocessor
from traitlets import Float, List, Unicode

from autograder.classroom import intake, rendering, scores
from autograder.classroom.class_folder import ClassFolder, ClassFolderError, Verdicts
from course.checking import card
from course.checking.verdict import ExerciseVerdict, Verdict
from course.files import write_whole

MAX_OUTPUT_CHARACTERS = 20_000
PAGE_SECONDS = 60.0  # of processor time for one student's feedback; most take one

BATCH = 50  # verdicts in one transaction


class RecordError(Exception):
    """Why nothing was recorded for a hand-in, in one sentence; the old score stays."""


def record(
    classroom: ClassFolder,
    unit: str,
    students: Iterable[str] | None = None,
    on_done: Callable[[str, str], None] | None = None,
) -> dict[str, str]:
    """Record every verdict of the unit that the gradebook does not have yet. Returns {student: problem} for failures.

    `students` limits it; `on_done(student, problem)` is told each hand-in, problem "" when all went well.
    Serial; hold the class lock. Everything of a verdict that is the same as recorded costs one look at its file.
    """
    problems: dict[str, str] = {}
    pages = _Pages(classroom, unit)
    with classroom.gradebook() as gradebook:
        found, versions = _unrecorded(pages, gradebook, students)
        scores.note_versions(gradebook, unit, versions)
        todo = iter(found)
        while batch := list(itertools.islice(todo, BATCH)):
            for student, problem in _record_batch(pages, gradebook, batch).items():
                if problem:
                    problems[student] = problem
                if on_done is not None:
                    on_done(student, problem)
    apply_late_penalties(classroom, unit)
    return problems


def unrecorded(classroom: ClassFolder, unit: str, students: Iterable[str] | None = None) -> list[str]:
    """Whose verdict `record` would record."""
    with classroom.gradebook() as gradebook:
        return _unrecorded(_Pages(classroom, unit), gradebook, students)[0]


def score_changes(classroom: ClassFolder, unit: str, students: Iterable[str]) -> list[scores.ScoreChange]:
    """Which recorded scores of these students `record` would change, and why. Writes nothing."""
    with classroom.gradebook() as gradebook:
        return scores.changes(gradebook, unit, Verdicts(classroom, unit, students))


def generate_feedback(classroom: ClassFolder, unit: str, students: Iterable[str] | None = None) -> dict[str, str]:
    """Write feedback/STUDENT/UNIT/TOPIC.html for recorded hand-ins. Returns {student: problem} for failures."""
    apply_late_penalties(classroom, unit)
    problems: dict[str, str] = {}
    for student in students if students is not None else _autograded(classroom, unit):
        try:
            with rendering.within(PAGE_SECONDS):
                problem = _run(classroom, GenerateFeedback, unit, student)
        except rendering.TooSlow:
            shutil.rmtree(classroom.feedback / student / unit, ignore_errors=True)
            problem = f"The page took longer than {PAGE_SECONDS:g} s of processor time and was given up."
        if problem:
            problems[student] = problem
    return problems


def apply_late_penalties(classroom: ClassFolder, unit: str) -> None:
    """Work out every late penalty again: a mark by hand, another due date or another policy changes what is taken."""
    with classroom.gradebook() as gradebook:
        _apply_late_penalties(classroom, gradebook, unit)
        gradebook.db.commit()


def _apply_late_penalties(
    classroom: ClassFolder, gradebook: Gradebook, unit: str, students: list[str] | None = None
) -> None:
    """Penalties as nbgrader's preprocessor gives them, of some students or all. The caller commits."""
    penalties = AssignLatePenalties(config=classroom.config())
    penalties.log = _quiet()
    penalties.init_plugin()
    for notebook, seconds in scores.late_or_penalised(gradebook, unit, students):
        penalty = None
        if seconds:
            student = notebook.assignment.student_id
            penalty = penalties.plugin_inst.late_submission_penalty(student, notebook.score, seconds)
        if penalty is not None:
            penalty = penalties._check_late_penalty(notebook, penalty)
        notebook.late_submission_penalty = penalty


# What is new, and a batch of it


class _Pages:
    """Where the pages of one unit lie, and what all of them need."""

    def __init__(self, classroom: ClassFolder, unit: str) -> None:
        self.classroom, self.unit = classroom, unit
        self.release = classroom.release_notebook(unit)
        self.released = intake.read_release(self.release)
        self.optional = optional_points(self.released)
        self.topic = self.release.stem
        self.converter = Autograde(coursedir=classroom.coursedir(unit), config=classroom.config())

    def canonical(self, student: str) -> Path:
        return self.classroom.canonical_dir(student, self.unit) / self.release.name

    def autograded(self, student: str) -> Path:
        return self.classroom.autograded / student / self.unit / self.release.name

    def handed_in(self, student: str) -> bytes:
        """When, as intake wrote it."""
        return (self.canonical(student).parent / "timestamp.txt").read_bytes()

    def whole(self, student: str) -> bool:
        """Are the pages there, with the right time?"""
        page = self.autograded(student)
        try:
            return page.is_file() and (page.parent / "timestamp.txt").read_bytes() == self.handed_in(student)
        except OSError:
            return False

    def write(self, student: str, notebook: NotebookNode) -> None:
        """What nbgrader's Autograde leaves: the notebook and the time, nothing else, with nbgrader's permissions."""
        page = self.autograded(student)
        write_whole(page, msgspec.json.format(msgspec.json.encode(notebook), indent=1) + b"\n")
        write_whole(page.parent / "timestamp.txt", self.handed_in(student))
        for entry in os.scandir(page.parent):
            if entry.name not in (page.name, "timestamp.txt") and not entry.is_dir(follow_symlinks=False):
                os.unlink(entry.path)
        self.converter.set_permissions(self.unit, student)


def _unrecorded(
    pages: _Pages, gradebook: Gradebook, students: Iterable[str] | None
) -> tuple[list[str], dict[str, str]]:
    """Students to record; and for those whose verdict only has a new version of the checks: that version."""
    classroom, unit = pages.classroom, pages.unit
    names = students if students is not None else classroom.all_verdicts(unit).students
    known, late = scores.recorded(gradebook, unit), scores.late(gradebook, unit)
    found: list[str] = []
    versions: dict[str, str] = {}
    for student in names:
        verdict, row = classroom.read_verdict(unit, student), known.get(student)
        if row is None or verdict is None or not row.finished or not _same(pages, verdict, row, late):
            found.append(student)
        elif row.check_version != verdict.check_version:
            versions[student] = verdict.check_version
    return found, versions


def _same(pages: _Pages, verdict: Verdict, row: scores.Recorded, late: Mapping[str, float]) -> bool:
    """Is all of it recorded, and as late as it is now? The page says how late."""
    taken = intake.recall(pages.canonical(verdict.student))
    now = scores.content_digest(verdict, late.get(verdict.student, 0.0)), taken and taken.answers
    return (row.content, row.answers) == now and pages.whole(verdict.student)


def _record_batch(pages: _Pages, gradebook: Gradebook, students: list[str]) -> dict[str, str]:
    """Scores, then pages and penalties, then the note that all is done. Returns {student: problem}, "" for none."""
    batch = scores.Batch(gradebook, pages.unit, pages.topic, students, pages.optional)
    schemes = _task_sources(batch.notebook)
    problems: dict[str, str] = {}
    for student in students:
        try:
            _enter(pages, batch, student, schemes)
            problems[student] = ""
        except RecordError as error:
            problems[student] = str(error)
    batch.commit()
    _apply_late_penalties(pages.classroom, gradebook, pages.unit, students)
    batch.finish([student for student, problem in problems.items() if not problem])
    return problems


def _enter(pages: _Pages, batch: scores.Batch, student: str, schemes: dict[str, str]) -> None:
    """Enter one verdict and write its page."""
    try:
        notebook = nbformat.v4.reads(pages.canonical(student).read_text(encoding="utf-8"))
        handed_in = pages.handed_in(student).decode().strip()
    except (OSError, ValueError):
        raise RecordError(f"There is no canonical notebook of {student}; run course grade {pages.unit}.") from None
    verdict = _verdict(pages.classroom, pages.unit, student, notebook)
    answers, blank = intake.answers_digest(notebook), blank_answers(notebook, pages.released)
    seconds = batch.enter(verdict, answers, blank, handed_in)
    _show(notebook, verdict, schemes, seconds)
    pages.write(student, notebook)


def _verdict(classroom: ClassFolder, unit: str, student: str, notebook: NotebookNode) -> Verdict:
    verdict = classroom.read_verdict(unit, student)
    if verdict is None:
        raise RecordError(f"There is no verdict for {student} yet; run course grade {unit}.")
    if verdict.digest != intake.code_digest(notebook):
        raise RecordError(f"The verdict for {student} is about another hand-in; run course grade {unit} again.")
    return verdict


def _run(classroom: ClassFolder, converter: type, unit: str, student: str) -> str:
    """Run one of nbgrader's converters for one student. Returns "" or the sentence that says why it failed."""
    logger = _quiet()
    kept = _LastError()
    logger.addHandler(kept)
    app = converter(coursedir=classroom.coursedir(unit, student), config=classroom.config())
    app.force = True
    if converter is GenerateFeedback:
        app.exporter_class = rendering.Page
    app.log = logger
    try:
        app.start()
    except (NbGraderException, SystemExit) as error:
        return kept.sentence or str(error) or "nbgrader stopped without saying why."
    finally:
        logger.removeHandler(kept)
    return ""


class _LastError(logging.Handler):
    """nbgrader logs a traceback and raises something else; this keeps the last line of the first traceback."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.sentence = ""

    def emit(self, entry: logging.LogRecord) -> None:
        message = entry.getMessage().strip()
        if "Traceback" in message and not self.sentence:
            self.sentence = re.sub(r"^[\w.]+: ", "", message.splitlines()[-1])


def _quiet() -> logging.Logger:
    logger = logging.getLogger("course.record.nbgrader")
    logger.propagate = False
    logger.setLevel(logging.ERROR)
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
    return logger


def _autograded(classroom: ClassFolder, unit: str) -> list[str]:
    return sorted(p.parent.parent.name for p in classroom.autograded.glob(f"*/{unit}/*.ipynb"))


# The preprocessors


class FetchVerdict(NbGraderPreprocessor):
    """Before recording: when formgrader's Autograde button was pressed, have the judge judge this student.

    The judge is a process of its own with a deadline; this process never runs student code.
    """

    command = List(
        Unicode(),
        help="The grading command and its first arguments; default: this environment's `course grade`.",
    ).tag(config=True)
    deadline = Float(600.0, help="Seconds the judge may take for one student.").tag(config=True)

    def preprocess(self, nb: NotebookNode, resources: ResourcesDict) -> tuple[NotebookNode, ResourcesDict]:
        with _said_first(self.log):
            where = _Where(resources)
            where.classroom.refuse_if_locked()
            self._judge(where)
            return nbformat.read(where.canonical, as_version=4), resources

    def _judge(self, where: _Where) -> None:
        command = [*(self.command or _course_grade()), where.unit, "--class", str(where.classroom.root)]
        command += ["--only", where.student, "--no-record"]
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        try:
            _, said = process.communicate(timeout=self.deadline)
        except subprocess.TimeoutExpired:
            _kill_group(process)
            raise RecordError(
                f"Grading {where.student} took longer than {self.deadline:g} s and was stopped; the old score stays."
            ) from None
        if process.returncode not in (0, 1):
            raise RecordError(_last_line(said) or f"Grading {where.student} failed; run course grade {where.unit}.")


class RecordVerdict(NbGraderPreprocessor):
    """Puts the verdict into the notebook (cards, capped outputs) and into the gradebook (scores), in place of running.

    Raises `RecordError` when there is no verdict or it is about other code; the old score then stays.
    """

    def preprocess(self, nb: NotebookNode, resources: ResourcesDict) -> tuple[NotebookNode, ResourcesDict]:
        with _said_first(self.log):
            where = _Where(resources)
            verdict = _verdict(where.classroom, where.unit, where.student, nb)
            released = intake.read_release(where.classroom.release_notebook(where.unit))
            blank, optional = blank_answers(nb, released), optional_points(released)
            handed_in = (where.canonical.parent / "timestamp.txt").read_text().strip()
            with where.classroom.gradebook() as gradebook:
                batch = scores.Batch(gradebook, where.unit, where.notebook, [where.student], optional)
                late = batch.enter(verdict, intake.answers_digest(nb), blank, handed_in)
                schemes = _task_sources(batch.notebook)
                batch.commit()
        _show(nb, verdict, schemes, late)
        return nb, resources


@contextlib.contextmanager
def _said_first(log: logging.Logger) -> Iterator[None]:
    """Log an expected error as a sentence before nbgrader logs its traceback: formgrader shows the top of the log."""
    try:
        yield
    except (RecordError, ClassFolderError, OSError) as error:
        log.error("\n%s\n", textwrap.fill(str(error), 70))
        raise RecordError(str(error)) from None


class _Where:
    """Which class, unit, student and notebook nbgrader is converting."""

    def __init__(self, resources: ResourcesDict) -> None:
        about = resources["nbgrader"]
        self.unit, self.student, self.notebook = about["assignment"], about["student"], about["notebook"]
        self.classroom = ClassFolder(Path(about["db_url"].removeprefix("sqlite:///")).parent)

    @property
    def canonical(self) -> Path:
        return self.classroom.canonical_dir(self.student, self.unit) / f"{self.notebook}.ipynb"


def _course_grade() -> list[str]:
    beside = Path(sys.executable).parent / "course"
    found = str(beside) if beside.exists() else shutil.which("course")
    if found is None:
        raise RecordError("The course command is not installed here; run make setup.")
    return [found, "grade"]


def _kill_group(process: subprocess.Popen) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def _last_line(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return lines[-1][:500] if lines else ""


# Pages


def blank_answers(notebook: NotebookNode, released: NotebookNode) -> set[str]:
    """Grade ids of questions whose answer is what the release had: nothing was written up to the next locked cell."""
    given, expected = _answers(notebook), _answers(released)
    return {name for name, parts in expected.items() if given.get(name) == parts}


def optional_points(released: NotebookNode) -> dict[str, float]:
    """Points of optional exercises by the grade id of their check cell; to nbgrader these cells are worth 0."""
    about = [(cell.metadata.get("nbgrader", {}), cell.metadata.get("course", {})) for cell in released.cells]
    return {marks["grade_id"]: float(ours["optional"]) for marks, ours in about if "optional" in ours}


def _answers(notebook: NotebookNode) -> dict[str, list[str]]:
    """For each task cell the texts of the student's cells below it."""
    found: dict[str, list[str]] = {}
    current: list[str] = []
    for cell in notebook.cells:
        about = cell.metadata.get("nbgrader", {})
        if about.get("task"):
            current = found.setdefault(about["grade_id"], [])
        elif about:
            current = []
        else:
            current.append(cell.source.strip())
    return found


def _task_sources(notebook: Notebook) -> dict[str, str]:
    """Questions with their mark scheme: formgrader shows it, and ClearMarkScheme keeps it from the feedback."""
    tasks = {cell.name for cell in notebook.task_cells}
    return {cell.name: cell.source for cell in notebook.source_cells if cell.name in tasks}


def _show(notebook: NotebookNode, verdict: Verdict, schemes: dict[str, str], late: float) -> None:
    for cell in notebook.cells:
        about = cell.metadata.get("nbgrader", {})
        name = about.get("grade_id", "")
        if about.get("task") and schemes.get(name):
            cell.source = schemes[name]
        elif cell.cell_type == "code" and about.get("grade"):
            points = cell.metadata.get("course", {}).get("optional", about.get("points", 0))
            exercise = scores.exercise_verdict(verdict, name.removeprefix("check-"), points)
            cell.outputs = [_card_output(exercise)]
        elif cell.cell_type == "code":
            cell.outputs = _student_output(verdict.cell_outputs.get(cell.id, ""))
            if cell.metadata.get(rendering.COLOURS):
                cell.source = rendering.shown(cell)
    notes = [*verdict.notes, *([f"Handed in {datetime.timedelta(seconds=round(late))} late."] if late else [])]
    if notes:
        notebook.cells.insert(0, _notes_cell(notes))


def _card_output(exercise: ExerciseVerdict) -> NotebookNode:
    data = {"text/html": card.html(exercise), "text/plain": card.text(exercise)}
    return NotebookNode(output_type="display_data", data=data, metadata={})  # new_output would validate each, at 0.5 ms


def _student_output(printed: str) -> list[NotebookNode]:
    """What a student's cell printed, as text and nothing else."""
    if not printed:
        return []
    if len(printed) > MAX_OUTPUT_CHARACTERS:
        printed = printed[:MAX_OUTPUT_CHARACTERS] + "\n... (cut)"
    printed = re.sub(r"[^\n\t -~\x1b\u00a0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\ufffd", printed)
    return [NotebookNode(output_type="stream", name="stdout", text=printed)]


def _notes_cell(notes: list[str]) -> NotebookNode:
    lines = "\n".join(f"- {intake.harmless_markdown(html.escape(note, quote=False))}" for note in notes)
    cell = nbformat.v4.new_markdown_cell(f"**About this hand-in**\n\n{lines}")
    cell.id = "about-this-hand-in"
    return cell
