"""The bundled sample class: made from the released notebooks and one answer file per student.

What it is: the reader of `sample_class/STUDENT.toml`, the writer of a class folder's `submitted/` from it, and the
comparison of verdicts with the scores the answer files state. Everything it writes is the same on every run.

What it is not: it grades nothing, and the notebooks it writes are no fixtures of ours: they are the released ones with
a student's hand in them, saved and damaged the way students save and damage notebooks.

    about                    one sentence: who this is
    [[hand_in]]              one notebook of the student
      unit                   full name, "02_attention"
      base                   "untouched" (the release) or "solution" (every exercise solved); what is not said below
      style = 0              take the first (1: the second ...) style of right.py wherever there is one
      solved = ["NAME"]      exercises solved as published, on an untouched base
      file, saved_by, outputs, cut, handed_in      how the file was saved and handed in
      [[hand_in.write]]      exercise = "NAME" and one of: misconception = "NAME", right = "STYLE", code = '''...'''
      [[hand_in.edit]]       do = before, after, delete, duplicate, split or metadata; cell = "GRADE_ID"
      [hand_in.answer]       question = "what the student wrote"
      [hand_in.expect]       all_but or total; scores, states, misconceptions where they do not follow from the above

A score follows from the base, `style`, `solved` and `right`; for a misconception or own code the file states it. On the
base "solution" the file says what is lost (all_but = 3), elsewhere what is won (total = 15): so a new exercise in the
unit makes no answer file wrong.
"""

from __future__ import annotations

import copy
import csv
import datetime
import hashlib
import io
import json
import shutil
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import msgspec
import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell

from autograder import ROOT
from autograder.authoring.unit import UNITS, Alternative, Unit
from autograder.classroom.class_folder import ClassFolder
from course.checking.verdict import ExerciseVerdict, Verdict
from course.errors import InputError
from course.files import write_whole

FOLDER = ROOT / "sample_class"
DUE = datetime.datetime(2026, 3, 2, 22, 0, tzinfo=datetime.UTC)
ON_TIME = "2026-03-01 18:00:00 UTC"
TOLERANCE = 0.005  # points


class SampleError(InputError):
    """An answer file says something that can't be, or the target holds another class; one sentence."""


class Write(msgspec.Struct, forbid_unknown_fields=True):
    """What the student wrote into one exercise cell: a known misconception, a known right style, or `code`."""

    exercise: str
    misconception: str = ""
    right: str = ""
    code: str = ""


class Edit(msgspec.Struct, forbid_unknown_fields=True):
    """One change to the cells. `cell` is a grade id ("causal_mask", "check-causal_mask"); "" is the whole notebook.

    before, after  an extra code cell holding `code`         delete     the cell is gone
    duplicate      a copy below, holding `code` if given      split      in two, the second half begins with `code`
    metadata       the cell's nbgrader metadata get `values`
    """

    do: Literal["before", "after", "delete", "duplicate", "split", "metadata"]
    cell: str = ""
    code: str = ""
    values: dict[str, Any] = {}


class Expect(msgspec.Struct, forbid_unknown_fields=True):
    """What the verdict must say. `notes` and `reason` are parts of sentences that must occur.

    all_but: points of the unit that are lost, on the base "solution"; total: points that are won, elsewhere. Neither
    counts optional exercises.
    """

    all_but: float | None = None
    total: float | None = None
    state: str = "graded"
    reason: str = ""
    scores: dict[str, float] = {}
    states: dict[str, str] = {}
    misconceptions: dict[str, str] = {}
    notes: list[str] = []


class HandIn(msgspec.Struct, forbid_unknown_fields=True):
    """One notebook of one student, as the answer file describes it."""

    unit: str
    expect: Expect
    base: Literal["untouched", "solution"] = "solution"
    style: int | None = None
    solved: list[str] = []
    write: list[Write] = []
    edit: list[Edit] = []
    answer: dict[str, str] = {}
    file: str = ""
    saved_by: Literal["jupyterlab", "colab"] = "jupyterlab"
    outputs: bool = False
    cut: float = 1.0
    handed_in: str = ON_TIME


class Student(msgspec.Struct, forbid_unknown_fields=True):
    """One answer file."""

    about: str
    hand_in: list[HandIn]


class Expected(msgspec.Struct):
    """What a verdict must say about one hand-in, worked out in full: every exercise with score and state.

    total: without optional exercises; extra: what these give.
    """

    total: float
    extra: float
    state: str
    reason: str
    notes: list[str]
    scores: dict[str, float]
    states: dict[str, str]
    misconceptions: dict[str, str]


def read_students(folder: Path = FOLDER) -> dict[str, Student]:
    """Every answer file, by student. Raises SampleError, which names the file."""
    found = {path.stem: _read_student(path) for path in sorted(Path(folder).glob("*.toml"))}
    if not found:
        raise SampleError(f"expected answer files STUDENT.toml in {folder}, there are none")
    return found


def make_class(target: Path | str, folder: Path = FOLDER, units: Path = UNITS, built: Path = ROOT) -> list[str]:
    """Write target/submitted/STUDENT/UNIT/TOPIC.ipynb for the whole sample class; returns the students.

    folder  the answer files      units  the units' sources      built  where assignments/ and solutions/ are

    Running it again changes nothing; students that no longer have an answer file are removed. Raises SampleError
    when the target holds hand-ins of other people. Hold the class lock.
    """
    students, classroom = read_students(folder), ClassFolder(target)
    _clear(classroom, set(students))
    for name, student in students.items():
        for each in student.hand_in:
            _hand_in(classroom, name, each, units, built)
    write_whole(classroom.timestamps_file, _timestamps(students))
    for unit in sorted({each.unit for student in students.values() for each in student.hand_in}):
        classroom.set_due(unit, DUE)
    return list(students)


def expectations(folder: Path = FOLDER, units: Path = UNITS) -> dict[tuple[str, str], Expected]:
    """(student, unit) -> what the verdict must say. Raises SampleError where an answer file contradicts itself."""
    return {
        (name, each.unit): _expected(name, each, _unit(units, each.unit))
        for name, student in read_students(folder).items()
        for each in student.hand_in
    }


def verify(
    verdicts: Iterable[Verdict], folder: Path = FOLDER, units: Path = UNITS, only: str | None = None
) -> list[str]:
    """A sentence for everything the verdicts say otherwise than the answer files; [] when all is as stated.

    A hand-in without a verdict is reported for the units that occur in `verdicts`, for everyone or for `only`.
    """
    given = {(verdict.student, verdict.unit): verdict for verdict in verdicts}
    wanted = expectations(folder, units)
    found: list[str] = []
    for key in sorted(given.keys() - wanted.keys()):
        found.append(f"{key[0]}, {key[1]}: there is a verdict and no answer file")
    for (student, unit), expected in wanted.items():
        verdict = given.get((student, unit))
        if verdict is not None:
            found += (f"{student}, {unit}{problem}" for problem in _differences(expected, verdict))
        elif unit in {unit for _, unit in given} and only in (None, student):
            found.append(f"{student}, {unit}: there is no verdict")
    return found


# Answer files


def _read_student(path: Path) -> Student:
    try:
        return msgspec.toml.decode(path.read_bytes(), type=Student)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise SampleError(f"{path.name} is no answer file: {error}") from None


@lru_cache(maxsize=8)
def _unit(units: Path, name: str) -> Unit:
    return Unit.load(Path(units) / name)


def _alternative(found: Iterable[Alternative], exercise: str, name: str, unit: str) -> Alternative:
    for each in found:
        if (each.exercise, each.name) == (exercise, name):
            return each
    raise SampleError(f'an answer file wants "{name}" for {exercise}, which unit {unit} does not have')


def _styled(each: HandIn, unit: Unit) -> dict[str, Alternative]:
    """The style of right.py that `style` selects, for every exercise that has so many."""
    if each.style is None:
        return {}
    by_exercise: dict[str, list[Alternative]] = {}
    for right in unit.rights:
        by_exercise.setdefault(right.exercise, []).append(right)
    return {name: rights[each.style] for name, rights in by_exercise.items() if len(rights) > each.style}


# Writing the class


def _clear(classroom: ClassFolder, students: set[str]) -> None:
    """Remove students this module wrote before and no longer knows; refuse a folder with hand-ins of others."""
    marker = classroom.root / ".sample"
    ours = set(marker.read_text().split("\n")) if marker.exists() else set()
    present = {path.name for path in classroom.submitted.iterdir()}
    others = sorted(present - ours - students) if marker.exists() else sorted(present)
    if others:
        raise SampleError(
            f"{classroom.root} holds hand-ins of a class of its own ({others[0]}); give the sample class another folder"
        )
    write_whole(marker, "\n".join(sorted(ours & present | students)).encode())
    for student in sorted(present - students):
        for tree in (classroom.submitted, classroom.canonical, classroom.autograded, classroom.feedback):
            shutil.rmtree(tree / student, ignore_errors=True)
        for verdict in classroom.verdicts.glob(f"*/{student}.json"):
            verdict.unlink()


def _hand_in(classroom: ClassFolder, student: str, each: HandIn, units: Path, built: Path) -> None:
    unit = _unit(units, each.unit)
    folder = classroom.submitted / student / each.unit
    name = each.file or f"{unit.topic}.ipynb"
    write_whole(folder / name, _file(each, unit, built))
    for path in folder.iterdir():
        if path.name != name:
            path.unlink()


def _file(each: HandIn, unit: Unit, built: Path) -> bytes:
    """The bytes of the notebook as it was handed in."""
    where = "solutions" if each.base == "solution" else "assignments"
    try:
        notebook = nbformat.read(Path(built) / where / unit.id / f"{unit.topic}.ipynb", as_version=4)
    except OSError as error:
        raise SampleError(f"{where}/{unit.id} can't be read ({error.strerror}); run course build {unit.id}") from None
    _fill_in(notebook, each, unit)
    for edit in each.edit:
        _EDITS[edit.do](notebook, edit)
    if each.outputs:
        _keep_outputs(notebook)
    if each.saved_by == "colab":
        _save_like_colab(notebook)
    data = (json.dumps(notebook, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()
    return data[: int(len(data) * each.cut)]


def _fill_in(notebook: NotebookNode, each: HandIn, unit: Unit) -> None:
    sources = {name: unit.solution_source(name) for name in each.solved}
    sources |= {name: right.source for name, right in _styled(each, unit).items()}
    sources |= {write.exercise: _written(write, unit) for write in each.write}
    for name, source in sources.items():
        _cell(notebook, name).source = source
    for question, text in each.answer.items():
        _answer_cell(notebook, question).source = text.strip()


def _written(write: Write, unit: Unit) -> str:
    if write.misconception:
        return _alternative(unit.misconceptions, write.exercise, write.misconception, unit.id).source
    if write.right:
        return _alternative(unit.rights, write.exercise, write.right, unit.id).source
    return write.code.strip("\n")


def _cell(notebook: NotebookNode, grade_id: str) -> NotebookNode:
    for cell in notebook.cells:
        if cell.metadata.get("nbgrader", {}).get("grade_id") == grade_id:
            return cell
    raise SampleError(f"an answer file names the cell {grade_id}, which the notebook does not have")


def _answer_cell(notebook: NotebookNode, question: str) -> NotebookNode:
    for cell in notebook.cells:
        if cell.metadata.get("course", {}).get("answer") == question:
            return cell
    raise SampleError(f"an answer file answers {question}, which the notebook does not ask")


def _place(notebook: NotebookNode, edit: Edit) -> int:
    """Where the edit's cell is; for "" the first place (before) or the last (after)."""
    if not edit.cell:
        return 0 if edit.do == "before" else len(notebook.cells) - 1
    return notebook.cells.index(_cell(notebook, edit.cell))


def _extra_cell(edit: Edit, place: int) -> NotebookNode:
    cell = new_code_cell(edit.code.strip("\n"))
    cell.id = hashlib.sha256(f"{edit.do} {edit.cell} {place} {edit.code}".encode()).hexdigest()[:8]
    return cell


def _before(notebook: NotebookNode, edit: Edit) -> None:
    place = _place(notebook, edit)
    notebook.cells.insert(place, _extra_cell(edit, place))


def _after(notebook: NotebookNode, edit: Edit) -> None:
    place = _place(notebook, edit) + 1
    notebook.cells.insert(place, _extra_cell(edit, place))


def _delete(notebook: NotebookNode, edit: Edit) -> None:
    notebook.cells.remove(_cell(notebook, edit.cell))


def _duplicate(notebook: NotebookNode, edit: Edit) -> None:
    """As a copy by hand does it: the same metadata, and here the same id too."""
    place = _place(notebook, edit)
    twin = copy.deepcopy(notebook.cells[place])
    twin.source = edit.code.strip("\n") or twin.source
    notebook.cells.insert(place + 1, twin)


def _split(notebook: NotebookNode, edit: Edit) -> None:
    """As JupyterLab splits a cell: both halves keep the metadata."""
    place = _place(notebook, edit)
    first, second = notebook.cells[place], copy.deepcopy(notebook.cells[place])
    head, begin, tail = first.source.partition(edit.code.strip())
    if not edit.code.strip() or not head.strip() or not begin:
        raise SampleError(f"an answer file splits {edit.cell} at {edit.code!r}, which does not divide it")
    first.source, second.source = head.rstrip(), begin + tail
    second.id = hashlib.sha256(second.source.encode()).hexdigest()[:8]
    notebook.cells.insert(place + 1, second)


def _change_metadata(notebook: NotebookNode, edit: Edit) -> None:
    _cell(notebook, edit.cell).metadata["nbgrader"].update(edit.values)


_EDITS: dict[str, Callable[[NotebookNode, Edit], None]] = {
    "before": _before,
    "after": _after,
    "delete": _delete,
    "duplicate": _duplicate,
    "split": _split,
    "metadata": _change_metadata,
}


def _keep_outputs(notebook: NotebookNode) -> None:
    """Every code cell looks run, with something printed; one holds what a page must not show as it is."""
    for count, cell in enumerate((cell for cell in notebook.cells if cell.cell_type == "code"), 1):
        text = f"cell {count} said something\n"
        page = nbformat.v4.new_output("display_data", data={"text/html": "<script>document.title = 'run'</script>"})
        cell.execution_count = count
        cell.outputs = [nbformat.v4.new_output("stream", name="stdout", text=text), page]


def _save_like_colab(notebook: NotebookNode) -> None:
    """No nbgrader metadata, ids of its own inside the metadata, no cell ids, sources as lists of lines."""
    for place, cell in enumerate(notebook.cells):
        cell.metadata = NotebookNode(id=hashlib.sha256(f"colab {place}".encode()).hexdigest()[:12])
        cell.source = cell.source.splitlines(keepends=True)
        del cell["id"]
    kernel = {"name": "python3", "display_name": "Python 3"}
    notebook.metadata = NotebookNode(colab={"provenance": []}, kernelspec=kernel, language_info={"name": "python"})
    notebook.nbformat_minor = 0


def _timestamps(students: dict[str, Student]) -> bytes:
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(("student", "unit", "timestamp"))
    for name, student in students.items():
        rows.writerows((name, each.unit, each.handed_in) for each in student.hand_in)
    return text.getvalue().encode()


# What is expected


def _expected(student: str, each: HandIn, unit: Unit) -> Expected:
    told, unreadable = each.expect, each.expect.state == "unreadable"
    unknown = (told.scores.keys() | told.states.keys() | told.misconceptions.keys()) - unit.points.keys()
    if unknown:
        raise SampleError(f"{student}.toml expects something of {min(unknown)}, no exercise of {unit.id}")
    scores = dict.fromkeys(unit.points, 0.0) if unreadable else _scores(student, each, unit)
    extra = sum(scores[name] for name in unit.optional)
    total = sum(scores.values()) - extra
    _refuse_other_sum(student, each, unit, total)
    states = {name: told.states.get(name) or _state(name, score, each, unit) for name, score in scores.items()}
    named = {write.exercise: write.misconception for write in each.write if write.misconception and not unreadable}
    return Expected(total, extra, told.state, told.reason, told.notes, scores, states, named | told.misconceptions)


def _refuse_other_sum(student: str, each: HandIn, unit: Unit, total: float) -> None:
    """What the file states in sum must be what its exercises make."""
    told = each.expect
    solved = each.base == "solution" and told.state != "unreadable"
    key, stated, unwanted = ("all_but", told.all_but, told.total) if solved else ("total", told.total, told.all_but)
    if stated is None or unwanted is not None:
        raise SampleError(f"{student}.toml: state {key} for {unit.id}, and only that")
    made = unit.max_score - total if solved else total
    if abs(made - stated) > TOLERANCE:
        raise SampleError(f"{student}.toml states {key} = {stated:g} for {unit.id}; the exercises make {made:g}")


def _scores(student: str, each: HandIn, unit: Unit) -> dict[str, float]:
    """Points by exercise: stated, or full for what is solved, or none for what is not."""
    solved = set(unit.points) if each.base == "solution" else {*each.solved, *_styled(each, unit)}
    solved |= {write.exercise for write in each.write if write.right}
    for write in each.write:
        if not write.right and write.exercise not in each.expect.scores:
            raise SampleError(f"{student}.toml: state in [hand_in.expect] how many points {write.exercise} must have")
    follows = {name: points if name in solved else 0.0 for name, points in unit.points.items()}
    return follows | each.expect.scores


def _state(name: str, score: float, each: HandIn, unit: Unit) -> str:
    if score == unit.points[name]:
        return "passed"
    if score:
        return "partial"
    written = any(write.exercise == name for write in each.write)
    return "failed" if written or each.base == "solution" else "not_attempted"


def _differences(expected: Expected, verdict: Verdict) -> Iterator[str]:
    """What the verdict says otherwise; each begins with ":" or with ", EXERCISE:"."""
    if verdict.state != expected.state:
        yield f": expected to be {expected.state}, it is {verdict.state} {verdict.reason}".rstrip()
        return
    if abs(verdict.score - expected.total) > TOLERANCE:
        yield f": expected {expected.total:g} points, got {verdict.score:g}"
    if abs(verdict.extra - expected.extra) > TOLERANCE:
        yield f": expected {expected.extra:g} points from optional exercises, got {verdict.extra:g}"
    if expected.reason not in verdict.reason:
        yield f": expected the reason to say {expected.reason!r}, it is {verdict.reason!r}"
    for part in expected.notes:
        if not any(part in note for note in verdict.notes):
            yield f": expected a note with {part!r}, the notes are {verdict.notes}"
    if expected.state == "graded":
        yield from _exercise_differences(expected, {e.name: e for e in verdict.exercises})


def _exercise_differences(expected: Expected, given: dict[str, ExerciseVerdict]) -> Iterator[str]:
    for name, score in expected.scores.items():
        exercise = given.get(name)
        if exercise is None:
            yield f", {name}: there is no verdict on it"
            continue
        named = exercise.misconception.name if exercise.misconception else ""
        wanted = expected.misconceptions.get(name, "")
        if abs(exercise.score - score) > TOLERANCE:
            yield f", {name}: expected {score:g} points, got {exercise.score:g}"
        if exercise.state != expected.states[name]:
            yield f", {name}: expected {expected.states[name]}, it is {exercise.state} {exercise.reason}".rstrip()
        if named != wanted:
            yield f", {name}: expected {wanted or 'no misconception'} to be named, it is {named or 'none'}"
