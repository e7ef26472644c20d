"""Scores of one unit in the class's gradebook: what is there, what would change, and new verdicts a batch at a time.

What it is: nbgrader's tables, through the classes of nbgrader.api, and one table of ours beside them. A `Batch` enters
verdicts in one transaction: grades, comments, hand-in times and verdict versions of all its students, or of none.

What it is not: it reads no hand-in, writes no page and decides no score.

Our table `course_verdict`, one row per unit and student:
    content    what was recorded of the verdict, as a digest: what is compared to find what is new
    digest     the code that was judged       answers   the written answers at that time (autograder.classroom.intake)
    finished   1 once nbgrader's pages and late penalty belong to this verdict

Points of an optional exercise are extra credit of its check cell, whose own maximum is 0: the total has them, the
unit's maximum does not. `course_extra` remembers what was written there last. Anything else that stands there is a
person's word: it stays as it is as long as the code is the same, like every mark by hand. When the code of the
exercise, or of what it uses (`course_made_of`), is another, the judge's points come back, and a comment says what stood
there.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import msgspec
from nbgrader import utils
from nbgrader.api import (
    Assignment,
    BaseCell,
    Comment,
    Grade,
    Gradebook,
    GradeCell,
    SolutionCell,
    Student,
    SubmittedAssignment,
    SubmittedNotebook,
    TaskCell,
)
from sqlalchemy import bindparam, func, or_, select, text
from sqlalchemy.orm import selectinload

from course.checking import verdict as verdicts
from course.checking.verdict import ExerciseVerdict, Verdict, without_points

_TABLE = """CREATE TABLE IF NOT EXISTS course_verdict (
    unit TEXT NOT NULL, student TEXT NOT NULL, content TEXT NOT NULL, digest TEXT NOT NULL, answers TEXT NOT NULL,
    check_version TEXT NOT NULL, finished INTEGER NOT NULL, PRIMARY KEY (unit, student))"""
_NOTE = """INSERT OR REPLACE INTO course_verdict (unit, student, content, digest, answers, check_version, finished)
    VALUES (:unit, :student, :content, :digest, :answers, :check_version, :finished)"""

_EXTRA_TABLE = """CREATE TABLE IF NOT EXISTS course_extra (
    unit TEXT NOT NULL, student TEXT NOT NULL, cell TEXT NOT NULL, points REAL, PRIMARY KEY (unit, student, cell))"""
_EXTRA_NOTE = """INSERT OR REPLACE INTO course_extra (unit, student, cell, points)
    VALUES (:unit, :student, :cell, :points)"""

_MADE_OF_TABLE = """CREATE TABLE IF NOT EXISTS course_made_of (
    unit TEXT NOT NULL, student TEXT NOT NULL, exercise TEXT NOT NULL, digest TEXT NOT NULL,
    PRIMARY KEY (unit, student, exercise))"""
_MADE_OF_NOTE = """INSERT OR REPLACE INTO course_made_of (unit, student, exercise, digest)
    VALUES (:unit, :student, :exercise, :digest)"""


class Recorded(NamedTuple):
    """A row of our table."""

    content: str
    digest: str
    answers: str
    check_version: str
    finished: int


class ScoreChange(NamedTuple):
    """A recorded score that a verdict will change."""

    student: str
    old: float
    new: float
    why: str

    def __str__(self) -> str:
        return f"{self.student}: {self.old:g} -> {self.new:g}, {self.why}"


class Cells(NamedTuple):
    """The cells of a unit that have a grade or a comment: names and points by their id in the gradebook."""

    graded: dict[str, tuple[str, float]]
    commented: dict[str, str]


class Batch:
    """Verdicts for some students of a unit, entered in one transaction. Students and hand-ins are made as needed.

    `optional`: points of the optional exercises by their check cell, as the release has them.
    """

    def __init__(
        self, gradebook: Gradebook, unit: str, topic: str, students: Iterable[str], optional: Mapping[str, float]
    ) -> None:
        self.gradebook, self.db, self.unit, self.optional = gradebook, gradebook.db, unit, optional
        self.notebook = gradebook.find_notebook(topic, unit)
        self.cells = cells(gradebook, self.notebook.id)
        self.students = list(students)
        self.before = recorded(gradebook, unit, self.students)
        self.extra = extra_written(gradebook, unit, self.students)
        self.made_of = made_of(gradebook, unit, self.students)
        self.enrolled = set(self.db.scalars(select(Student.id).where(Student.id.in_(self.students))))
        self.found = self._find()
        self.notes: list[dict[str, Any]] = []
        self.extra_notes: list[dict[str, Any]] = []
        self.made_of_notes: list[dict[str, Any]] = []

    def enter(self, verdict: Verdict, answers: str, blank: set[str], handed_in: str) -> float:
        """Put in the verdict of one student; returns how many seconds the hand-in is late.

        answers    digest of what was written        blank   questions that nothing was written for
        handed_in  UTC, as timestamp.txt has it
        """
        submission = self.found.get(verdict.student) or self._add(verdict.student)
        old = self.before.get(verdict.student)
        comments = self._code_grades(submission, verdict, old is not None and old.digest != verdict.digest)
        comments |= self._task_grades(submission, verdict, blank, old is not None and old.answers != answers)
        for comment in submission.comments:
            comment.auto_comment = comments.get(self.cells.commented[comment.cell_id])
        submission.late_submission_penalty = None
        submission.assignment.timestamp = utils.parse_utc(handed_in)
        late = seconds_late(submission.assignment)
        note = Recorded(content_digest(verdict, late), verdict.digest, answers, verdict.check_version, 0)
        self.notes.append({"unit": self.unit, "student": verdict.student} | note._asdict())
        return late

    def commit(self) -> None:
        """Make what was entered last."""
        made_of_notes = (_MADE_OF_NOTE, self.made_of_notes)
        for statement, notes in ((_NOTE, self.notes), (_EXTRA_NOTE, self.extra_notes), made_of_notes):
            if notes:
                self.db.execute(text(statement), notes)
        self.db.commit()

    def finish(self, students: list[str]) -> None:
        """Say that pages and penalties of these students are written too, and forget the batch."""
        if students:
            finished = text("UPDATE course_verdict SET finished = 1 WHERE unit = :unit AND student = :student")
            self.db.execute(finished, [{"unit": self.unit, "student": student} for student in students])
        self.db.commit()
        self.db.expunge_all()

    def _find(self) -> dict[str, SubmittedNotebook]:
        query = (
            select(SubmittedAssignment.student_id, SubmittedNotebook)
            .join(SubmittedNotebook.assignment)
            .where(SubmittedNotebook.notebook_id == self.notebook.id, SubmittedAssignment.student_id.in_(self.students))
            .options(*(selectinload(getattr(SubmittedNotebook, n)) for n in ("grades", "comments", "assignment")))
        )
        return {student: submission for student, submission in self.db.execute(query)}

    def _add(self, student: str) -> SubmittedNotebook:
        """What nbgrader's add_student and add_submission make, without their commits."""
        if student not in self.enrolled:
            self.db.add(Student(id=student))
        unit = self.notebook.assignment
        self.extra = {key: points for key, points in self.extra.items() if key[0] != student}
        handed_in = SubmittedAssignment(assignment=unit, student_id=student)
        self.db.add(handed_in)
        for notebook in unit.notebooks:
            made = SubmittedNotebook(notebook_id=notebook.id, assignment=handed_in)
            self.db.add(made)
            known = self.cells if notebook is self.notebook else cells(self.gradebook, notebook.id)
            made.grades = [Grade(cell_id=cell) for cell in known.graded]
            made.comments = [Comment(cell_id=cell) for cell in known.commented]
            if notebook is self.notebook:
                self.found[student] = made
        return self.found[student]

    def _code_grades(self, submission: SubmittedNotebook, verdict: Verdict, new_code: bool) -> dict[str, str]:
        """Automatic scores. A grade by hand stays while the code is the same, and goes when the code is another."""
        comments: dict[str, str] = {}
        for grade in submission.grades:
            name, points = self.cells.graded[grade.cell_id]
            if not name.startswith("check-"):
                continue
            exercise = exercise_verdict(verdict, name.removeprefix("check-"), points)
            written = self.extra.get((verdict.student, name))
            extra = (grade.extra_credit or 0.0) if self._extra_by_hand(grade, written) else None
            if new_code and self._is_another(verdict.student, exercise) and (grade.manual_score, extra) != (None, None):
                by_hand = (grade.manual_score or 0.0) + (extra or 0.0)
                comments[exercise.name] = f"A grade by hand ({by_hand:g}) was for an earlier hand-in."
                grade.manual_score, grade.extra_credit = None, written
            self._automatic(grade, exercise, verdict.student, written)
            note = {"exercise": exercise.name, "digest": exercise.made_of}
            self.made_of_notes.append({"unit": self.unit, "student": verdict.student} | note)
            if exercise.state == "not_attempted":
                comments.setdefault(exercise.name, "No response.")
        return comments

    def _is_another(self, student: str, exercise: ExerciseVerdict) -> bool:
        """Whether an exercise of a new hand-in is made of another code, or may be."""
        return not exercise.made_of or self.made_of.get((student, exercise.name)) != exercise.made_of

    def _automatic(self, grade: Grade, exercise: ExerciseVerdict, student: str, written: float | None) -> None:
        """The judge's points where they belong: the score, or the extra credit unless a person wrote that."""
        name, points = self.cells.graded[grade.cell_id]
        optional, held = name in self.optional, exercise.state == "held"
        by_hand = grade.manual_score is not None or self._extra_by_hand(grade, written)
        grade.auto_score = 0.0 if optional else None if held else bounded(exercise.score, points)
        grade.needs_manual_grade = held and not by_hand
        if grade.extra_credit == written and (optional or written is not None):
            grade.extra_credit = None if held else bounded(exercise.score, self.optional.get(name, 0.0)) or None
            note = {"unit": self.unit, "student": student, "cell": name, "points": grade.extra_credit}
            self.extra_notes.append(note)

    def _extra_by_hand(self, grade: Grade, written: float | None) -> bool:
        """Is the extra credit of an optional exercise another than the one written last?"""
        name, _ = self.cells.graded[grade.cell_id]
        return (name in self.optional or written is not None) and grade.extra_credit != written

    def _task_grades(
        self, submission: SubmittedNotebook, verdict: Verdict, blank: set[str], new_answers: bool
    ) -> dict[str, str]:
        """Written answers keep their grade by hand, and ask to be read again when the answer changed."""
        comments: dict[str, str] = {}
        for grade in submission.grades:
            name, _ = self.cells.graded[grade.cell_id]
            if name.startswith("check-"):
                continue
            nothing = verdict.state == "unreadable" or name in blank
            grade.auto_score = 0.0 if nothing else None
            grade.needs_manual_grade = new_answers if grade.manual_score is not None else not nothing
            if nothing:
                comments[name] = verdict.reason or "No response."
        return comments


def cells(gradebook: Gradebook, notebook: str) -> Cells:
    """The graded and the commented cells of a notebook, given its id."""
    graded, commented = {}, {}
    for kind in (GradeCell, SolutionCell, TaskCell):
        for cell in gradebook.db.scalars(select(kind).where(kind.notebook_id == notebook)):
            if kind is not SolutionCell:
                graded[cell.id] = cell.name, cell.max_score
            if kind is not GradeCell:
                commented[cell.id] = cell.name
    return Cells(graded, commented)


# What is in the gradebook


def recorded(gradebook: Gradebook, unit: str, students: Iterable[str] | None = None) -> dict[str, Recorded]:
    """Our rows of the unit, by student."""
    gradebook.db.execute(text(_TABLE))
    asked = "SELECT student, content, digest, answers, check_version, finished FROM course_verdict WHERE unit = :unit"
    return {row[0]: Recorded(*row[1:]) for row in _rows(gradebook, asked, unit, students)}


def _rows(gradebook: Gradebook, asked: str, unit: str, students: Iterable[str] | None) -> Iterable[Any]:
    """What a question about a unit finds, for some students or all."""
    if students is None:
        return gradebook.db.execute(text(asked), {"unit": unit})
    statement = text(f"{asked} AND student IN :students").bindparams(bindparam("students", expanding=True))
    return gradebook.db.execute(statement, {"unit": unit, "students": list(students)})


def extra_written(
    gradebook: Gradebook, unit: str, students: Iterable[str] | None = None
) -> dict[tuple[str, str], float | None]:
    """What was last written as extra credit, by student and check cell."""
    gradebook.db.execute(text(_EXTRA_TABLE))
    found = _rows(gradebook, "SELECT student, cell, points FROM course_extra WHERE unit = :unit", unit, students)
    return {(student, cell): points for student, cell, points in found}


def made_of(
    gradebook: Gradebook, unit: str, students: Iterable[str] | None = None
) -> dict[tuple[str, str], str]:
    """What each recorded exercise was made of, by student and exercise."""
    gradebook.db.execute(text(_MADE_OF_TABLE))
    found = _rows(gradebook, "SELECT student, exercise, digest FROM course_made_of WHERE unit = :unit", unit, students)
    return {(student, exercise): digest for student, exercise, digest in found}


def marks_by_hand(gradebook: Gradebook, unit: str) -> Callable[[Grade], bool]:
    """Says of a grade whether a person wrote something into it."""
    written = extra_written(gradebook, unit)

    def by_hand(grade: Grade) -> bool:
        extra = written.get((grade.notebook.student.id, grade.name))
        return grade.manual_score is not None or grade.extra_credit != extra

    return by_hand


def forget_extra(gradebook: Gradebook, unit: str, cell: str) -> None:
    """A check cell was taken out of the unit, with the extra credit in it."""
    gradebook.db.execute(text(_EXTRA_TABLE))
    gone = text("DELETE FROM course_extra WHERE unit = :unit AND cell = :cell")
    gradebook.db.execute(gone, {"unit": unit, "cell": cell})


def note_versions(gradebook: Gradebook, unit: str, versions: Mapping[str, str]) -> None:
    """Other checks came to the same verdict: only their version is new, student by student."""
    if versions:
        update = "UPDATE course_verdict SET check_version = :version WHERE unit = :unit AND student = :student"
        rows = [{"unit": unit, "student": student, "version": version} for student, version in versions.items()]
        gradebook.db.execute(text(update), rows)
    gradebook.db.commit()


def changes(gradebook: Gradebook, unit: str, fresh: Iterable[Verdict]) -> list[ScoreChange]:
    """Whose automatic score `record` would change, and why. Hand-ins that were never recorded are not among them."""
    before, scores = recorded(gradebook, unit), automatic_scores(gradebook, unit)
    found = []
    for verdict in fresh:
        old, row = scores.get(verdict.student), before.get(verdict.student)
        new = sum(bounded(e.score, e.max_score) for e in verdict.exercises if e.state != "held")
        if old is not None and row is not None and abs(old - new) > 1e-6:
            found.append(ScoreChange(verdict.student, old, new, verdicts.why(verdict, row.digest, row.check_version)))
    return found


def automatic_scores(gradebook: Gradebook, unit: str) -> dict[str, float]:
    """What the judge's points of each student add up to, as recorded, those of optional exercises too."""
    query = (
        select(SubmittedAssignment.student_id, func.coalesce(func.sum(Grade.auto_score), 0.0))
        .join(SubmittedAssignment.assignment)
        .join(SubmittedAssignment.notebooks)
        .join(SubmittedNotebook.grades)
        .join(Grade.cell)
        .where(Assignment.name == unit, BaseCell.name.startswith("check-", autoescape=True))
        .group_by(SubmittedAssignment.student_id)
    )
    found = {student: score for student, score in gradebook.db.execute(query)}
    for (student, _), points in extra_written(gradebook, unit).items():
        found[student] = found.get(student, 0.0) + (points or 0.0)
    return found


def late(gradebook: Gradebook, unit: str) -> dict[str, float]:
    """Seconds after the due date, extensions counted, for those who were late."""
    query = (
        select(SubmittedAssignment)
        .join(SubmittedAssignment.assignment)
        .where(Assignment.name == unit, SubmittedAssignment.timestamp > Assignment.duedate)
        .order_by(SubmittedAssignment.student_id)
    )
    found = ((s.student_id, seconds_late(s)) for s in gradebook.db.scalars(query))
    return {student: seconds for student, seconds in found if seconds > 0}


def seconds_late(submission: SubmittedAssignment) -> float:
    """Seconds after the due date, extensions counted; none where there is no due date, which nbgrader can't add to."""
    return submission.total_seconds_late if submission.assignment.duedate is not None else 0.0


def late_or_penalised(
    gradebook: Gradebook, unit: str, students: Iterable[str] | None = None
) -> list[tuple[SubmittedNotebook, float]]:
    """What may have to be given a penalty, or be let off one: recorded notebooks and how many seconds late they are."""
    after = SubmittedAssignment.timestamp > Assignment.duedate
    query = (
        select(SubmittedNotebook)
        .join(SubmittedNotebook.assignment)
        .join(SubmittedAssignment.assignment)
        .where(Assignment.name == unit, or_(after, SubmittedNotebook.late_submission_penalty.is_not(None)))
    )
    if students is not None:
        query = query.where(SubmittedAssignment.student_id.in_(students))
    return [(notebook, seconds_late(notebook.assignment)) for notebook in gradebook.db.scalars(query)]


def waiting(gradebook: Gradebook, unit: str) -> list[tuple[str, str]]:
    """(cell, student) for everything that waits for a mark by hand."""
    query = (
        select(BaseCell.name, SubmittedAssignment.student_id)
        .join(Grade, Grade.cell_id == BaseCell.id)
        .join(Grade.notebook)
        .join(SubmittedNotebook.assignment)
        .join(SubmittedAssignment.assignment)
        .where(Assignment.name == unit, Grade.needs_manual_grade)
        .order_by(SubmittedAssignment.student_id)
    )
    return [(cell, student) for cell, student in gradebook.db.execute(query)]


# Verdicts as the gradebook sees them


def content_digest(verdict: Verdict, late: float = 0.0) -> str:
    """sha256 of what is recorded: the verdict without times, memory, history and the version of the checks, and how
    many seconds late the hand-in is."""
    exercises = [msgspec.structs.replace(exercise, seconds=0.0) for exercise in verdict.exercises]
    plain = msgspec.structs.replace(
        verdict, seconds=0.0, peak_bytes=0, costs={}, starved=False, check_version="", history=[], exercises=exercises,
    )
    return hashlib.sha256(msgspec.json.encode(plain) + (f" {late}".encode() if late else b"")).hexdigest()


def bounded(score: float, maximum: float) -> float:
    """A finite number between 0 and the cell's points, whatever the verdict file says."""
    return min(max(score, 0.0), maximum) if math.isfinite(score) else 0.0


def exercise_verdict(verdict: Verdict, name: str, max_score: float) -> ExerciseVerdict:
    """The verdict on one exercise; one with no points and a reason where the verdict has none."""
    for exercise in verdict.exercises:
        if exercise.name == name:
            return exercise
    reason = verdict.reason or "This exercise was not judged."
    return without_points(name, max_score, "missing", reason)
