"""A unit's four sources, read and checked for consistency.

What it is: the reader of `notebook.py` and the one place that knows its three cell keys, the markers and the file and
line of every cell. Every mistake of an author that can be seen without running anything is found here, and in
`misconceptions.py` and `right.py` by `autograder.authoring.answers`, and told in one sentence, `FILE:LINE: SENTENCE`.

What it is not: it runs no cell and loads no check (`checks.py` is read by `autograder.authoring.checks.load`).
"""

from __future__ import annotations

import ast
import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from autograder.authoring.answers import Alternative, read_answers
from autograder.authoring.kernels import BEGIN_SOLUTION, END_SOLUTION, UNITS, answers, is_kernel, solved
from autograder.authoring.percent import (
    AuthoringError,
    Raw,
    last_line,
    name_of,
    near,
    parse,
    read_cells,
    refuse_unknown_keys,
)
from course.errors import InputError

BEGIN_SCHEME, END_SCHEME = "=== BEGIN MARK SCHEME ===", "=== END MARK SCHEME ==="
MARKERS = (BEGIN_SOLUTION, END_SOLUTION, BEGIN_SCHEME, END_SCHEME)

KEYS = ("exercise", "check", "explain")
ALLOWED = {
    "exercise": {"exercise"},
    "check": {"check", "points", "optional"},
    "explain": {"explain", "points"},
    "plain": {"tags"},
}


class UnknownUnit(InputError):
    """No unit (or more than one) goes by this name; the message says which there are."""


@dataclass(frozen=True)
class Cell:
    """One cell of `notebook.py`.

    kind    "exercise", "check", "explain", "code" or "text"
    name    what the key names; "" for code and text
    points  of a check or an explain question; 0 elsewhere
    optional  of a check: its points are no part of the unit's maximum
    source  as the author wrote it, markers included, `r\"\"\"` quotes of a text cell removed
    line    of the cell's `# %%` line, counted from 1
    """

    kind: str
    name: str
    points: float
    source: str
    file: Path
    line: int
    tags: tuple[str, ...] = ()
    optional: bool = False


@dataclass(frozen=True)
class Unit:
    """A unit as its author wrote it. `Unit.load(folder)` is the way to get one."""

    folder: Path
    cells: tuple[Cell, ...]
    misconceptions: tuple[Alternative, ...]
    rights: tuple[Alternative, ...]

    @classmethod
    def load(cls, folder: Path | str) -> Unit:
        """Read the sources in `folder` (named NN_topic). Raises `AuthoringError` at the first mistake."""
        folder = Path(folder)
        cells = tuple(_read_notebook(folder / "notebook.py"))
        solutions = {cell.name: solved(cell.source) for cell in cells if cell.kind == "exercise"}
        rights = read_answers(folder / "right.py", "right", solutions)
        wrongs = read_answers(folder / "misconceptions.py", "wrong", solutions, rights)
        for name in filter(is_kernel, solutions):
            further = answers(name, solutions[name])
            rights, wrongs = rights + further[0], wrongs + further[1]
        return cls(folder, cells, tuple(wrongs), tuple(rights))

    @property
    def id(self) -> str:
        """Number and topic: "02_attention"."""
        return self.folder.name

    @property
    def topic(self) -> str:
        """The topic alone: "attention"; the notebook is called after it."""
        return self.id.partition("_")[2] or self.id

    @property
    def checks_path(self) -> Path:
        return self.folder / "checks.py"

    @cached_property
    def exercises(self) -> tuple[str, ...]:
        """Names of the exercises in the order of the notebook."""
        return tuple(cell.name for cell in self.cells if cell.kind == "exercise")

    @cached_property
    def points(self) -> dict[str, float]:
        """Points of each automatic check, by exercise; those of optional exercises too."""
        return {cell.name: cell.points for cell in self.cells if cell.kind == "check"}

    @cached_property
    def optional(self) -> frozenset[str]:
        """Exercises whose points count on top of the maximum."""
        return frozenset(cell.name for cell in self.cells if cell.optional)

    @property
    def max_score(self) -> float:
        """All automatic points but those of optional exercises."""
        return sum(points for name, points in self.points.items() if name not in self.optional)

    @cached_property
    def manual_points(self) -> dict[str, float]:
        """Points of each free-response question, graded by hand."""
        return {cell.name: cell.points for cell in self.cells if cell.kind == "explain"}

    def cell(self, kind: str, name: str) -> Cell:
        """The cell with this key. Raises KeyError."""
        for cell in self.cells:
            if (cell.kind, cell.name) == (kind, name):
                return cell
        raise KeyError(f"unit {self.id} has no cell {kind}={name!r}")

    def solution_source(self, exercise: str) -> str:
        """The exercise cell with its solution and without the markers."""
        return solved(self.cell("exercise", exercise).source)

    def minutes(self, exercise: str) -> int:
        """How long its docstring or first comment says that it takes; 0 where it does not say."""
        told = re.search(r"Difficulty \d of 5, about (\d+) minutes?", self.solution_source(exercise))
        return int(told[1]) if told else 0

    def code_until(self, exercise: str) -> list[str]:
        """Sources of the solved code cells up to and including this exercise, check cells left out, in order."""
        sources = []
        for cell in self.cells:
            if cell.kind in ("code", "exercise"):
                sources.append(solved(cell.source))
            if (cell.kind, cell.name) == ("exercise", exercise):
                return sources
        raise KeyError(f"unit {self.id} has no exercise {exercise!r}")


def unit_folders(root: Path = UNITS) -> list[Path]:
    """Folders of all units below `root`, by number."""
    return sorted(path.parent for path in Path(root).glob("*/notebook.py"))


def find_unit(name: str, root: Path = UNITS) -> Path:
    """The folder of the unit called "02", "2", "attention" or "02_attention".

    Raises `UnknownUnit`, which names the nearest one.
    """
    folders = unit_folders(root)
    wanted = name.strip().strip("/").lower()
    for folder in folders:
        number, _, topic = folder.name.partition("_")
        if wanted in (folder.name, topic, number) or (wanted.isdigit() and wanted.zfill(2) == number):
            return folder
    known = [folder.name for folder in folders]
    topics = {folder.name.partition("_")[2]: folder.name for folder in folders}
    near = difflib.get_close_matches(wanted, [*known, *topics], n=1, cutoff=0.5)
    hint = f'did you mean "{topics.get(near[0], near[0])}"?' if near else f"there are: {', '.join(known) or 'none'}."
    raise UnknownUnit(f'there is no unit "{name}"; {hint}')


def without_scheme(source: str) -> str:
    """An explain cell's text without its mark scheme."""
    kept, inside = [], False
    for line in source.split("\n"):
        inside = inside or line.strip() == BEGIN_SCHEME
        if not inside:
            kept.append(line)
        inside = inside and line.strip() != END_SCHEME
    return "\n".join(kept).strip()


class Region(NamedTuple):
    """A solution between its markers: line numbers of BEGIN and END in the cell (from 0) and the indent."""

    begin: int
    end: int
    indent: str


def regions(source: str) -> list[Region]:
    """The solution regions of an exercise cell whose markers are known to be in order."""
    found, begin = [], 0
    for number, line in enumerate(source.split("\n")):
        if line.strip() == BEGIN_SOLUTION:
            begin = number
        elif line.strip() == END_SOLUTION:
            found.append(Region(begin, number, line[: len(line) - len(line.lstrip())]))
    return found


def stub(source: str, name: str) -> str:
    """The exercise cell as a student receives it.

    A solution inside a function becomes `raise NotImplementedError("write NAME here")`. Outside of functions a raise
    would stop 'run all' on an untouched notebook, so names the solution assigns there become None, and anything else
    a comment.
    """
    lines, tree = source.split("\n"), ast.parse(source)
    for region in reversed(regions(source)):
        lines[region.begin : region.end + 1] = [region.indent + text for text in _stub_lines(region, tree, name)]
    return "\n".join(lines)


def _stub_lines(region: Region, tree: ast.Module, name: str) -> list[str]:
    if _inside_function(region, tree):
        return [f'raise NotImplementedError("write {name} here")']
    values = dict.fromkeys(_assigned(region, tree))
    return [f"{value} = None  # write {value} here" for value in values] or [f"# write {name} here"]


def _inside_function(region: Region, tree: ast.Module) -> bool:
    functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return any(
        node.lineno <= region.begin + 1 and last_line(node) >= region.begin + 1 and _indents(region, node)
        for node in functions
    )


def _indents(region: Region, node: ast.stmt) -> bool:
    return len(region.indent) > node.col_offset


def _assigned(region: Region, tree: ast.Module) -> Iterator[str]:
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and region.begin < node.lineno - 1 < region.end:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (leaf.id for target in targets for leaf in ast.walk(target) if isinstance(leaf, ast.Name))


# Reading notebook.py


def _read_notebook(path: Path) -> list[Cell]:
    cells: list[Cell] = []
    for raw in read_cells(path):
        cell = _notebook_cell(raw)
        _check_markers(cell, raw)
        _check_body(cell)
        _refuse_duplicate(cell, cells)
        cells.append(cell)
    _pair_exercises_and_checks(cells)
    return cells


def _notebook_cell(raw: Raw) -> Cell:
    named = [key for key in KEYS if key in raw.metadata]
    if len(named) > 1:
        raise AuthoringError(f"a cell has one key, this one has {' and '.join(named)}", raw.file, raw.line)
    kind = named[0] if named else ("text" if raw.cell_type == "markdown" else "code")
    refuse_unknown_keys(raw, ALLOWED[named[0] if named else "plain"])
    if raw.cell_type != ("markdown" if kind in ("explain", "text") else "code"):
        expected = '"# %% [markdown]"' if kind == "explain" else 'a code cell, "# %%"'
        raise AuthoringError(f"a cell with {kind}= is {expected}, this one is {raw.cell_type}", raw.file, raw.line)
    name = name_of(raw, named[0]) if named else ""
    points = _points(raw, kind) if kind in ("check", "explain") else 0
    tags = tuple(raw.metadata.get("tags", ()))
    return Cell(kind, name, points, raw.source, raw.file, raw.line, tags, _optional(raw))


def _points(raw: Raw, kind: str) -> float:
    if "points" not in raw.metadata:
        raise AuthoringError(f"this {kind} cell says no points; write points=3 after its name", raw.file, raw.line)
    points = raw.metadata["points"]
    if isinstance(points, bool) or not isinstance(points, int | float) or not 0 < points < float("inf"):
        raise AuthoringError(f"points={points!r}: expected a positive number", raw.file, raw.line)
    return points


def _optional(raw: Raw) -> bool:
    said = raw.metadata.get("optional", False)
    if not isinstance(said, bool):
        raise AuthoringError("expected optional=true, or no such word", raw.file, raw.line)
    return said


def _check_body(cell: Cell) -> None:
    if cell.kind == "check" and cell.source.strip():
        raise AuthoringError("a check cell stays empty, the build writes its body", cell.file, cell.line)
    if cell.kind == "exercise" and not regions(cell.source):
        raise AuthoringError(f'exercise "{cell.name}" has no {BEGIN_SOLUTION}', cell.file, cell.line)
    if cell.kind == "explain" and BEGIN_SCHEME not in cell.source:
        raise AuthoringError(
            f'explain="{cell.name}" has no mark scheme; begin it with {BEGIN_SCHEME}', cell.file, cell.line
        )
    if cell.kind in ("code", "exercise"):
        parse(cell.source, cell.file, cell.line + 1)
    if cell.kind == "exercise":
        _parse_stub(cell)


def _parse_stub(cell: Cell) -> None:
    try:
        ast.parse(stub(cell.source, cell.name))
    except SyntaxError as error:
        raise AuthoringError(
            f'exercise "{cell.name}" is no Python any more once its solution is taken out: {error.msg}; '
            "keep the def or class line and a docstring outside the markers",
            cell.file,
            cell.line,
        ) from None


def _refuse_duplicate(cell: Cell, before: list[Cell]) -> None:
    for other in before:
        if cell.name and (other.kind, other.name) == (cell.kind, cell.name):
            raise AuthoringError(
                f'{cell.kind}="{cell.name}" stands twice, first in line {other.line}', cell.file, cell.line
            )


def _pair_exercises_and_checks(cells: list[Cell]) -> None:
    """Every exercise has a check below it, every check an exercise above it."""
    checks = {cell.name for cell in cells if cell.kind == "check"}
    exercises = {cell.name for cell in cells if cell.kind == "exercise"}
    above: set[str] = set()
    for cell in cells:
        if cell.kind == "exercise":
            above.add(cell.name)
            if cell.name not in checks:
                raise AuthoringError(
                    f'exercise "{cell.name}" has no check cell{near(cell.name, checks - exercises)}',
                    cell.file,
                    cell.line,
                )
        elif cell.kind == "check" and cell.name not in above:
            problem = "stands above its exercise" if cell.name in exercises else "has no exercise cell"
            raise AuthoringError(
                f'check "{cell.name}" {problem}{near(cell.name, exercises - checks)}', cell.file, cell.line
            )


# Markers


def _check_markers(cell: Cell, raw: Raw) -> None:
    """Markers exactly as nbgrader wants them, in pairs, in the right kind of cell: a typo would ship the solution."""
    begin, end = (BEGIN_SCHEME, END_SCHEME) if cell.kind == "explain" else (BEGIN_SOLUTION, END_SOLUTION)
    opened = 0
    for number, text in enumerate(raw.lines, raw.line):
        marker = _marker(text, cell.file, number)
        if marker is None:
            continue
        if marker not in (begin, end) or cell.kind not in ("exercise", "explain"):
            place = "an explain" if "SCHEME" in marker else "an exercise"
            raise AuthoringError(f'"{marker}" stands outside {place} cell', cell.file, number)
        if (marker == begin) == bool(opened):
            found = f"a second {begin}" if opened else f"{end} without {begin}"
            raise AuthoringError(f"{found}; markers come in pairs", cell.file, number)
        opened = number if marker == begin else 0
    if opened:
        raise AuthoringError(f"{begin} without {end} in the same cell; markers come in pairs", cell.file, opened)


def _marker(text: str, file: Path, line: int) -> str | None:
    """The marker on this line; None if there is none; an error if it nearly is one."""
    stripped = text.strip()
    if stripped in MARKERS:
        return stripped
    near = _nearly_marker(stripped)
    if near:
        raise AuthoringError(
            f'"{stripped}" is not a marker nbgrader knows; expected "{near}" alone on the line', file, line
        )
    return None


def _nearly_marker(stripped: str) -> str | None:
    """What this line was probably meant to be, when it looks like a marker and is none."""
    if "HIDDEN TESTS" in stripped:
        return "nothing here: the build writes hidden tests"
    for marker in MARKERS:
        if marker.strip("#= ") in stripped or _alike(stripped, marker):
            return marker
    if re.match(r"[#=]+\s*(BEGIN|END)\b", stripped) or re.match(r"#+[^a-z]*(SOL|SCHEME)[^a-z]*$", stripped):
        return END_SOLUTION if "END" in stripped else BEGIN_SOLUTION
    return None


def _alike(text: str, marker: str) -> bool:
    """Is this short comment a mistyped form of the marker? Compared without case, spaces and the signs around."""
    if not re.match(r"[#=]+\s*\w", text) or len(text) > 40:
        return False
    text, marker = (re.sub(r"[^a-z]", "", part.lower()) for part in (text, marker))
    begins = text[:3] == marker[:3] or text[-8:] == marker[-8:]
    return begins and difflib.SequenceMatcher(None, text, marker).ratio() >= 0.8
