"""Verdicts into nbgrader: scores, autograded notebooks, feedback.

What it is: the two preprocessors that take the place of nbgrader's execution (`nbgrader_config.py` names them), and
`record`, which runs nbgrader's own Autograde with them, one hand-in after the other. Killed at any moment and started
again it ends in the same gradebook: scores and verdict version change in one transaction, and a hand-in counts as
recorded only when nbgrader has finished with it.

What it is not: it executes no notebook and decides no score. Nothing here runs a line of a student's.

Our table `course_verdict` in the gradebook, one row per unit and student:
    content    sha256 of the verdict without its timings: what is compared to find what is new
    digest     the code that was judged       answers   the written answers at that time (autograder.intake)
    finished   1 once nbgrader's pages and late penalty belong to this verdict
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import html
import logging
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import nbformat
from nbconvert.exporters.exporter import ResourcesDict
from nbformat import NotebookNode
from nbgrader import utils
from nbgrader.api import Gradebook, SubmittedNotebook
from nbgrader.converters import Autograde, GenerateFeedback
from nbgrader.converters.base import NbGraderException
from nbgrader.preprocessors import AssignLatePenalties, NbGraderPreprocessor
from sqlalchemy import text
from sqlalchemy.exc import SAWarning
from traitlets import Float, List, Unicode

from autograder import intake
from autograder.class_folder import ClassFolder, ClassFolderError
from course import card
from course import verdict as verdicts
from course.verdict import ExerciseVerdict, Verdict, without_points

RECORDING = "COURSE_RECORDING"  # set while our own record step runs nbgrader: the verdict is already there
MAX_OUTPUT_CHARACTERS = 20_000

_TABLE = """CREATE TABLE IF NOT EXISTS course_verdict (
    unit TEXT NOT NULL, student TEXT NOT NULL, content TEXT NOT NULL, digest TEXT NOT NULL, answers TEXT NOT NULL,
    check_version TEXT NOT NULL, finished INTEGER NOT NULL, PRIMARY KEY (unit, student))"""


class RecordError(Exception):
    """Why nothing was recorded for a hand-in, in one sentence; the old score stays."""


def record(
    classroom: ClassFolder,
    unit: str,
    students: Iterable[str] | None = None,
    on_done: Callable[[str, str], None] | None = None,
) -> dict[str, str]:
    """Record every verdict of the unit that the gradebook does not have yet. Returns {student: problem} for failures.

    `students` limits it; `on_done(student, problem)` is told each recorded hand-in, problem "" when all went well.
    Serial; hold the class lock; changes the working directory of the process while it runs (nbgrader does).
    """
    problems: dict[str, str] = {}
    for student in _unrecorded(classroom, unit, students):
        problem = _record_one(classroom, unit, student)
        if problem:
            problems[student] = problem
        if on_done is not None:
            on_done(student, problem)
    return problems


def generate_feedback(classroom: ClassFolder, unit: str, students: Iterable[str] | None = None) -> dict[str, str]:
    """Write feedback/STUDENT/UNIT/TOPIC.html for recorded hand-ins. Returns {student: problem} for failures."""
    apply_late_penalties(classroom, unit)
    problems: dict[str, str] = {}
    for student in students if students is not None else _autograded(classroom, unit):
        problem = _run(classroom, GenerateFeedback, unit, student)
        if problem:
            problems[student] = problem
    return problems


def apply_late_penalties(classroom: ClassFolder, unit: str) -> None:
    """Work out late penalties again, since a grade by hand after Autograde changes what a penalty takes away."""
    with classroom.gradebook() as gradebook:
        late = [s.student.id for s in gradebook.assignment_submissions(unit) if s.total_seconds_late > 0]
    if not late:
        return
    penalties = AssignLatePenalties(config=classroom.config())
    penalties.log = _quiet()
    notebook = classroom.release_notebook(unit).stem
    for student in late:
        where = {"notebook": notebook, "assignment": unit, "student": student, "db_url": classroom.db_url}
        penalties.preprocess(nbformat.v4.new_notebook(), {"nbgrader": where})


# What is new, and one hand-in


def _unrecorded(classroom: ClassFolder, unit: str, students: Iterable[str] | None) -> Iterator[str]:
    topic = classroom.release_notebook(unit).name
    names = students if students is not None else sorted(p.stem for p in (classroom.verdicts / unit).glob("*.json"))
    with classroom.gradebook() as gradebook:
        gradebook.db.execute(text(_TABLE))
        gradebook.db.commit()
        rows = gradebook.db.execute(
            text("SELECT student, content, answers FROM course_verdict WHERE unit = :unit AND finished = 1"),
            {"unit": unit},
        )
        known = {row.student: (row.content, row.answers) for row in rows}
    for student in names:
        here, there = classroom.canonical_dir(student, unit), classroom.autograded / student / unit
        pages = here / topic, there / topic, here / "timestamp.txt", there / "timestamp.txt"
        verdict = classroom.read_verdict(unit, student)
        if verdict is not None and all(page.is_file() for page in pages):
            now = (content_digest(verdict), intake.answers_digest(nbformat.read(pages[0], 4)))
            if known.get(student) == now and pages[2].read_bytes() == pages[3].read_bytes():
                continue
        yield student


def _record_one(classroom: ClassFolder, unit: str, student: str) -> str:
    problem = _run(classroom, Autograde, unit, student)
    if not problem:
        with classroom.gradebook() as gradebook:
            where = {"unit": unit, "student": student}
            gradebook.db.execute(
                text("UPDATE course_verdict SET finished = 1 WHERE unit = :unit AND student = :student"), where
            )
            gradebook.db.commit()
    return problem


def _run(classroom: ClassFolder, converter: type, unit: str, student: str) -> str:
    """Run one of nbgrader's converters for one student. Returns "" or the sentence that says why it failed."""
    logger = _quiet()
    kept = _LastError()
    logger.addHandler(kept)
    app = converter(coursedir=classroom.coursedir(unit, student), config=classroom.config())
    app.force = True
    app.log = logger
    try:
        with _recording(), warnings.catch_warnings():
            warnings.simplefilter("ignore", SAWarning)  # nbgrader builds a submission before it joins the session
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


@contextlib.contextmanager
def _recording() -> Iterator[None]:
    before = os.environ.get(RECORDING)
    os.environ[RECORDING] = "1"
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(RECORDING, None)
        else:
            os.environ[RECORDING] = before


def _autograded(classroom: ClassFolder, unit: str) -> list[str]:
    return sorted(p.parent.parent.name for p in classroom.autograded.glob(f"*/{unit}/*.ipynb"))


def content_digest(verdict: Verdict) -> str:
    """sha256 of a verdict without how long it took and how much memory: equal for two runs that say the same."""
    plain = verdicts.decode(verdicts.encode(verdict))
    plain.seconds, plain.peak_bytes = 0.0, 0
    for exercise in plain.exercises:
        exercise.seconds = 0.0
    return hashlib.sha256(verdicts.encode(plain)).hexdigest()


# The preprocessors


class FetchVerdict(NbGraderPreprocessor):
    """Before recording: when formgrader's Autograde button was pressed, have the judge judge this student.

    The judge is a process of its own with a deadline; this process never runs student code. Does nothing when `record`
    itself is what runs nbgrader.
    """

    command = List(
        Unicode(),
        help="The grading command and its first arguments; default: this environment's `course grade`.",
    ).tag(config=True)
    deadline = Float(600.0, help="Seconds the judge may take for one student.").tag(config=True)

    def preprocess(self, nb: NotebookNode, resources: ResourcesDict) -> tuple[NotebookNode, ResourcesDict]:
        if os.environ.get(RECORDING) == "1":
            return nb, resources
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
            verdict = self._verdict(where, nb)
            released = intake.read_release(where.classroom.release_notebook(where.unit))
            with where.classroom.gradebook() as gradebook:
                _save(gradebook, where, verdict, nb, blank_answers(nb, released))
                schemes = _task_sources(gradebook, where)
                late = gradebook.find_submission(where.unit, where.student).total_seconds_late
        _show(nb, verdict, schemes, late)
        return nb, resources

    def _verdict(self, where: _Where, notebook: NotebookNode) -> Verdict:
        verdict = where.classroom.read_verdict(where.unit, where.student)
        if verdict is None:
            raise RecordError(f"There is no verdict for {where.student} yet; run course grade {where.unit}.")
        if verdict.digest != intake.code_digest(notebook):
            raise RecordError(
                f"The verdict for {where.student} is about another hand-in; run course grade {where.unit} again."
            )
        return verdict


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


# Scores


def _save(
    gradebook: Gradebook, where: _Where, verdict: Verdict, notebook: NotebookNode, blank: set[str]
) -> None:
    """Every grade of the notebook, the time of the hand-in and the verdict's version, in one transaction."""
    gradebook.db.execute(text(_TABLE))
    gradebook.db.commit()
    submission = gradebook.find_submission_notebook(where.notebook, where.unit, where.student)
    before = _row(gradebook, where)
    answers = intake.answers_digest(notebook)
    new_code = before is not None and before.digest != verdict.digest
    new_answers = before is not None and before.answers != answers
    comments = _set_code_grades(submission, verdict, new_code)
    comments |= _set_task_grades(submission, verdict, blank, new_answers)
    for comment in submission.comments:
        comment.auto_comment = comments.get(comment.name)
    _set_timestamp(gradebook, where)
    row = {"unit": where.unit, "student": where.student, "content": content_digest(verdict), "answers": answers}
    gradebook.db.execute(
        text(
            "INSERT OR REPLACE INTO course_verdict (unit, student, content, digest, answers, check_version, finished) "
            "VALUES (:unit, :student, :content, :digest, :answers, :check_version, 0)"
        ),
        row | {"digest": verdict.digest, "check_version": verdict.check_version},
    )
    gradebook.db.commit()


def _row(gradebook: Gradebook, where: _Where) -> Any:
    return gradebook.db.execute(
        text("SELECT digest, answers FROM course_verdict WHERE unit = :unit AND student = :student"),
        {"unit": where.unit, "student": where.student},
    ).one_or_none()


def _set_code_grades(submission: SubmittedNotebook, verdict: Verdict, new_code: bool) -> dict[str, str]:
    """Automatic scores. A grade by hand stays while the code is the same, and goes when the code is another."""
    comments: dict[str, str] = {}
    for grade in submission.grades:
        if not grade.name.startswith("check-"):
            continue
        exercise = exercise_verdict(verdict, grade.name.removeprefix("check-"), grade.max_score)
        held = exercise.state == "held"
        grade.auto_score = None if held else _points(exercise.score, grade.max_score)
        if new_code and grade.manual_score is not None:
            comments[exercise.name] = f"A grade by hand ({grade.manual_score:g}) was for an earlier hand-in."
            grade.manual_score = grade.extra_credit = None
        grade.needs_manual_grade = held and grade.manual_score is None
        if exercise.state == "not_attempted":
            comments.setdefault(exercise.name, "No response.")
    return comments


def _set_task_grades(
    submission: SubmittedNotebook, verdict: Verdict, blank: set[str], new_answers: bool
) -> dict[str, str]:
    """Written answers keep their grade by hand, and ask to be read again when the answer changed."""
    comments: dict[str, str] = {}
    for grade in submission.grades:
        if grade.name.startswith("check-"):
            continue
        nothing = verdict.state == "unreadable" or grade.name in blank
        grade.auto_score = 0.0 if nothing else None
        grade.needs_manual_grade = new_answers if grade.manual_score is not None else not nothing
        if nothing:
            comments[grade.name] = verdict.reason or "No response."
    return comments


def _points(score: float, maximum: float) -> float:
    """A finite number between 0 and the cell's points, whatever the verdict file says."""
    return min(max(score, 0.0), maximum) if math.isfinite(score) else 0.0


def _set_timestamp(gradebook: Gradebook, where: _Where) -> None:
    stamp = (where.canonical.parent / "timestamp.txt").read_text().strip()
    gradebook.find_submission(where.unit, where.student).timestamp = utils.parse_utc(stamp)


def exercise_verdict(verdict: Verdict, name: str, max_score: float) -> ExerciseVerdict:
    """The verdict on one exercise; one with no points and a reason where the verdict has none."""
    for exercise in verdict.exercises:
        if exercise.name == name:
            return exercise
    reason = verdict.reason or "This exercise was not judged."
    return without_points(name, max_score, "missing", reason)


def blank_answers(notebook: NotebookNode, released: NotebookNode) -> set[str]:
    """Grade ids of questions whose answer is what the release had: nothing was written up to the next locked cell."""
    given, expected = _answers(notebook), _answers(released)
    return {name for name, parts in expected.items() if given.get(name) == parts}


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


# Pages


def _task_sources(gradebook: Gradebook, where: _Where) -> dict[str, str]:
    """Questions with their mark scheme: formgrader shows it, and ClearMarkScheme keeps it from the feedback."""
    notebook = gradebook.find_notebook(where.notebook, where.unit)
    tasks = {cell.name for cell in notebook.task_cells}
    return {cell.name: cell.source for cell in notebook.source_cells if cell.name in tasks}


def _show(notebook: NotebookNode, verdict: Verdict, schemes: dict[str, str], late: float) -> None:
    for cell in notebook.cells:
        about = cell.metadata.get("nbgrader", {})
        name = about.get("grade_id", "")
        if about.get("task") and schemes.get(name):
            cell.source = schemes[name]
        elif cell.cell_type == "code" and about.get("grade"):
            exercise = exercise_verdict(verdict, name.removeprefix("check-"), about.get("points", 0))
            cell.outputs = [_card_output(exercise)]
        elif cell.cell_type == "code":
            cell.outputs = _student_output(verdict.cell_outputs.get(cell.id, ""))
    notes = [*verdict.notes, *([f"Handed in {datetime.timedelta(seconds=round(late))} late."] if late else [])]
    if notes:
        notebook.cells.insert(0, _notes_cell(notes))


def _card_output(exercise: ExerciseVerdict) -> NotebookNode:
    data = {"text/html": card.html(exercise), "text/plain": card.text(exercise)}
    return nbformat.v4.new_output("display_data", data=data)


def _student_output(printed: str) -> list[NotebookNode]:
    """What a student's cell printed, as text and nothing else."""
    if not printed:
        return []
    if len(printed) > MAX_OUTPUT_CHARACTERS:
        printed = printed[:MAX_OUTPUT_CHARACTERS] + "\n... (cut)"
    printed = re.sub(r"[^\n\t -~\x1b\u00a0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\ufffd", printed)
    return [nbformat.v4.new_output("stream", name="stdout", text=printed)]


def _notes_cell(notes: list[str]) -> NotebookNode:
    lines = "\n".join(f"- {intake.harmless_markdown(html.escape(note, quote=False))}" for note in notes)
    cell = nbformat.v4.new_markdown_cell(f"**About this hand-in**\n\n{lines}")
    cell.id = "about-this-hand-in"
    return cell
