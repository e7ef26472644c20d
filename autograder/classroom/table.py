"""The table of a graded class: students by exercise, for a terminal of 100 columns.

What it is: verdicts in, a rich renderable out. A cell is the points won, or a letter where points alone would mislead;
the letters and the numbered exercises stand in a legend below, so the table reads without colour and without this file.

What it is not: it reads no files and knows no unit. The class report for a browser is `autograder.classroom.report`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

from rich import box
from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from course.checking.verdict import ExerciseVerdict, Verdict

WIDTH = 100  # columns of everything else
LONGEST_NAME = 18
LONGEST = 200  # students in a table; a larger class reads the report

LETTERS = {
    "not_attempted": ("-", "not attempted"),
    "timed_out": ("T", "took too long"),
    "out_of_memory": ("M", "out of memory"),
    "crashed": ("!", "crashed"),
    "forbidden": ("F", "forbidden shortcut"),
    "held": ("H", "held for the instructor"),
    "missing": ("?", "not found"),
}
STYLES = {"passed": "green", "partial": "yellow", "failed": "red", "not_attempted": "dim"}


class Worth(Protocol):
    """Anything that says how many points an exercise has, and whether it is optional; recorded checks do."""

    points: float
    optional: bool


def render(
    verdicts: Iterable[Verdict],
    exercises: Mapping[str, Worth | float],
    remarks: Mapping[str, list[str]] | None = None,
) -> RenderableType:
    """The table with its legend and notes.

    exercises  name -> points (or an object with `points` and `optional`), in the order of the columns
    remarks    more notes by student, from outside the verdicts ("handed in 2 h late")
    """
    rows = sorted(verdicts, key=lambda v: v.student)
    points = {name: float(getattr(worth, "points", worth)) for name, worth in exercises.items()}
    optional = {name for name, worth in exercises.items() if getattr(worth, "optional", False)}
    legend = _legend(rows, points, optional)
    return Group(_grid(rows, points, bool(optional)), *legend, *_notes(rows, remarks or {}))


def width(exercises: int) -> int:
    """Columns that the table of so many exercises needs, each of less than 10 points."""
    return max(WIDTH, LONGEST_NAME + 4 * exercises + 14)


def cell(exercise: ExerciseVerdict | None) -> str:
    """What stands in one cell: the points won, or the letter of a special state; "" where there is no verdict."""
    if exercise is None:
        return ""
    if exercise.state in LETTERS:
        return LETTERS[exercise.state][0]
    return number(exercise.score)


def number(points: float) -> str:
    """Points with at most one decimal, which is never rounded up to full or down to nothing: 3, 1.7, 0.1."""
    if points == int(points):
        return str(int(points))
    tenths = min(max(round(points, 1), int(points) + 0.1), int(points) + 0.9)
    return f"{tenths:.1f}"


def by_name(verdict: Verdict) -> dict[str, ExerciseVerdict]:
    """The exercises of one verdict; none for a hand-in that could not be read, whatever rows stand in for it."""
    return {} if verdict.state == "unreadable" else {e.name: e for e in verdict.exercises}


def mean(numbers: Iterable[float]) -> float:
    """The mean, 0 of nothing."""
    listed = list(numbers)
    return sum(listed) / len(listed) if listed else 0.0


def _grid(rows: list[Verdict], points: Mapping[str, float], extra: bool) -> Table:
    """extra: one more column, for what optional exercises gave."""
    table = Table(box=box.SIMPLE_HEAD, padding=0, pad_edge=False, show_footer=bool(rows))
    table.add_column("student", "mean", no_wrap=True, max_width=LONGEST_NAME, overflow="ellipsis")
    for index, name in enumerate(points, 1):
        average = mean(v.score for v in _verdicts_on(name, rows))
        table.add_column(str(index), number(average), justify="right", no_wrap=True)
    sums = {"total": lambda v: v.score} | ({"extra": lambda v: v.extra} if extra else {})
    for name, of in sums.items():
        table.add_column(name, number(mean(map(of, rows))), justify="right", no_wrap=True)
    for row in rows:
        found = by_name(row)
        cells = [_styled(found.get(name)) for name in points]
        table.add_row(Text(row.student), *cells, *(Text(number(of(row)), "bold") for of in sums.values()))
    return table


def _verdicts_on(name: str, rows: list[Verdict]) -> Iterator[ExerciseVerdict]:
    return (e for row in rows for e in row.exercises if e.name == name)


def _styled(exercise: ExerciseVerdict | None) -> Text:
    return Text(cell(exercise), STYLES.get(exercise.state, "magenta") if exercise else "")


def _legend(rows: list[Verdict], points: Mapping[str, float], optional: set[str]) -> Iterator[RenderableType]:
    """What the numbers of the columns mean, and those letters that occur."""
    wide = len(str(len(points)))
    worth = {name: f"{each:g}, optional" if name in optional else f"{each:g}" for name, each in points.items()}
    entries = [Text(f"{index:>{wide}} {name} ({says})") for index, (name, says) in enumerate(worth.items(), 1)]
    yield Columns(entries, padding=(0, 2, 0, 0), column_first=True)
    seen = {e.state for row in rows for e in by_name(row).values()}
    letters = [f"{letter} {says}" for state, (letter, says) in LETTERS.items() if state in seen]
    if letters:
        yield Text("   ".join(letters))


def _notes(rows: list[Verdict], remarks: Mapping[str, list[str]]) -> Iterator[RenderableType]:
    """One paragraph for each student there is something to say about."""
    noted = [(row.student, [*_unreadable(row), *remarks.get(row.student, []), *row.notes]) for row in rows]
    lines = [Text(f"{student}: {'; '.join(_clause(s) for s in said)}") for student, said in noted if said]
    if lines:
        yield Padding(Group(*lines), (1, 0, 0, 0))


def _unreadable(row: Verdict) -> list[str]:
    return [f"unreadable: {row.reason}"] if row.state == "unreadable" else []


def _clause(sentence: str) -> str:
    """A sentence as part of a list: one line, no full stop."""
    return " ".join(sentence.split()).rstrip(".")
