"""Grades out of the gradebook, for a spreadsheet, Canvas or Moodle.

What it is: one table, written in three shapes, read through nbgrader's own API, so grades by hand, late penalties and
extra credit are in it. What it is not: a statement about hand-ins that were never recorded; a student without one has
empty cells, which an LMS leaves alone, and no 0, which it would enter.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields

from nbgrader.api import Gradebook, GradeCell, MissingEntry, Student, SubmittedAssignment

from autograder.classroom.class_folder import ClassFolder, ClassFolderError
from autograder.classroom.record import apply_late_penalties

FORMATS = ("csv", "canvas", "moodle")


@dataclass(frozen=True)
class Row:
    """One student in one unit. Of a student without a hand-in nothing is known but what can be had: no 0 anywhere.

    score            what counts: automatic, manual and extra points less the late penalty, never below 0
    max_score        automatic and manual points that can be had
    late_penalty     points taken away
    automatic        points the judge gave (or a person, in place of the judge)
    manual           points of the free-response answers
    manual_max       points that can be had there
    extra            points of optional exercises, and extra credit that a person gave an exercise
    to_mark          cells that still wait for a person
    submitted        time of the hand-in, UTC; empty when there is none
    """

    student: str
    unit: str
    score: float | None
    max_score: float
    late_penalty: float | None
    automatic: float | None
    manual: float | None
    manual_max: float
    extra: float | None
    to_mark: int | None
    submitted: str


def export(classroom: ClassFolder, unit: str | None = None, format: str = "csv") -> str:
    """The grades of one unit, or of all that are set up, as text.

    "csv": one line per student and unit with the fields of `Row`. "canvas": a gradebook import, one column per unit,
    students by SIS login. "moodle": a grade import, one column per unit, students by username.
    Raises ClassFolderError for an unknown format or unit.
    """
    if format not in FORMATS:
        raise ClassFolderError(f"Unknown export format {format!r}; expected one of {', '.join(FORMATS)}.")
    units = [unit] if unit is not None else classroom.units()
    for name in units:
        classroom.release_notebook(name)
        apply_late_penalties(classroom, name)
    with classroom.gradebook() as gradebook:
        names = dict.fromkeys(classroom.students()) | {student.id: _name(student) for student in gradebook.students}
        rows = [row(gradebook, student, name) for name in units for student in sorted(names)]
    return {"csv": _csv, "canvas": _canvas, "moodle": _moodle}[format](rows, units, names)


def row(gradebook: Gradebook, student: str, unit: str) -> Row:
    """The grades of one student in one unit."""
    assignment = gradebook.find_assignment(unit)
    try:
        submission = gradebook.find_submission(unit, student)
    except MissingEntry:
        worth, by_hand = _round(assignment.max_score), _round(assignment.max_task_score)
        return Row(student, unit, None, worth, None, None, None, by_hand, None, None, "")
    penalty = submission.late_submission_penalty or 0.0
    manual, extra = submission.task_score, _extra(submission)
    return Row(
        student=student,
        unit=unit,
        score=_round(max(0.0, submission.score - penalty)),
        max_score=_round(assignment.max_score),
        late_penalty=_round(penalty),
        automatic=_round(submission.score - manual - extra),
        manual=_round(manual),
        manual_max=_round(assignment.max_task_score),
        extra=_round(extra),
        to_mark=_to_mark(submission),
        submitted=submission.timestamp.isoformat(" ", "seconds") if submission.timestamp else "",
    )


def _extra(submission: SubmittedAssignment) -> float:
    """Extra credit of exercises that is in nbgrader's score: it leaves out that of a cell without any mark."""
    grades = (grade for notebook in submission.notebooks for grade in notebook.grades)
    marked = (g for g in grades if isinstance(g.cell, GradeCell) and (g.manual_score, g.auto_score) != (None, None))
    return sum(grade.extra_credit or 0.0 for grade in marked)


def _to_mark(submission: SubmittedAssignment) -> int:
    return sum(grade.needs_manual_grade for notebook in submission.notebooks for grade in notebook.grades)


def _name(student: Student) -> str:
    if student.last_name or student.first_name:
        return f"{student.last_name or ''}, {student.first_name or ''}"
    return student.id


def _csv(rows: list[Row], units: list[str], names: dict[str, str | None]) -> str:
    return _table([[field.name for field in fields(Row)], *(astuple(row) for row in rows)])


def _canvas(rows: list[Row], units: list[str], names: dict[str, str | None]) -> str:
    """Canvas wants five fixed columns and a second line with the points possible."""
    scores = {(row.student, row.unit): row for row in rows}
    possible = {row.unit: row.max_score for row in rows}
    head = ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", *units]
    points = ["    Points Possible", "", "", "", "", *(possible.get(unit, 0.0) for unit in units)]
    lines = [
        [names[student] or student, "", "", student, "", *(scores[student, unit].score for unit in units)]
        for student in sorted(names)
    ]
    return _table([head, points, *lines])


def _moodle(rows: list[Row], units: list[str], names: dict[str, str | None]) -> str:
    """Moodle matches people by a column the importer names, here username, and takes one column per grade item."""
    scores = {(row.student, row.unit): row for row in rows}
    lines = [[student, *(scores[student, unit].score for unit in units)] for student in sorted(names)]
    return _table([["username", *units], *lines])


def _table(lines: Iterable[Iterable[object]]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([_cell(value) for value in line] for line in lines)
    return out.getvalue()


def _cell(value: object) -> object:
    """A spreadsheet runs text that begins like a formula; a space in front makes it text."""
    return f" {value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t")) else value


def _round(points: float) -> float:
    return round(points, 4)
