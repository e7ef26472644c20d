"""A notebook file as the command line reads it: its cells, which of them are checks, which exercise each answers.

Not here: running it (`selfcheck`).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from course.errors import InputError
from course.files import notebook_text

if TYPE_CHECKING:
    import nbformat  # imported where a notebook is read: most commands do without

LARGEST = 64 * 2**20  # bytes of a notebook file


def read_notebook(path: Path) -> nbformat.NotebookNode:
    """A notebook of format 4, in UTF-8 or UTF-16. InputError in one sentence for anything else."""
    if not path.is_file():
        raise InputError(f"expected a notebook, but there is no file {path}")
    if path.stat().st_size > LARGEST:
        raise InputError(f"{path} has {path.stat().st_size / 2**20:.0f} MiB, a notebook may have 64: clear its outputs")
    import nbformat

    try:
        document = json.loads(notebook_text(path.read_bytes())[0])
        for cell in document.get("cells", ()):
            cell["source"] = cell.get("source") or ""  # some editors write null
        notebook = nbformat.reads(json.dumps(document), as_version=4)
        if isinstance(notebook.cells, list) and all(isinstance(c.source, str) for c in notebook.cells):
            _answers_as_code(notebook)
            return notebook
    except Exception:
        pass
    raise InputError(f"{path} is not a notebook: expected the JSON of an .ipynb file, format 4")


def _answers_as_code(notebook: nbformat.NotebookNode) -> None:
    """An answer whose cell was turned into text by a slip of the keyboard is code, as class grading takes it."""
    marks = [(cell, cell.metadata.get("nbgrader", {})) for cell in notebook.cells]
    as_code = {about.get("grade_id") for cell, about in marks if cell.cell_type == "code"}
    for cell, about in marks:
        if cell.cell_type != "code" and about.get("cell_type") == "code" and about.get("grade_id") not in as_code:
            cell.cell_type, cell.outputs, cell.execution_count = "code", [], None


def is_check_cell(cell: nbformat.NotebookNode) -> bool:
    """A cell that only calls `check(...)`: it is not run here, the cases are played instead."""
    marks = cell.metadata.get("nbgrader", {})
    graded = bool(marks.get("grade")) and not marks.get("solution")
    return cell.cell_type == "code" and (graded or cell.source.lstrip().startswith("check("))


def exercise_cells(notebook: nbformat.NotebookNode, names: list[str]) -> dict[str, str]:
    """The source of each named exercise's cell."""
    found = {exercise_of(cell, names): cell.source for cell in notebook.cells}
    return {name: source for name, source in found.items() if name}


def manual_points(cells: list[dict]) -> float:
    """Points that a person gives among these notebook cells: nbgrader's task cells and hand-graded answers."""
    marks = [cell["metadata"].get("nbgrader", {}) for cell in cells]
    by_hand = (m for m in marks if m.get("task") or (m.get("grade") and m.get("solution")))
    return sum(float(m.get("points", 0)) for m in by_hand)


def exercise_of(cell: nbformat.NotebookNode, names: list[str]) -> str:
    """Which of the named exercises a cell answers, "" when none."""
    marks = cell.metadata.get("nbgrader", {})
    name = str(marks.get("grade_id", ""))
    return name if cell.cell_type == "code" and not is_check_cell(cell) and name in names else ""
