"""Which cells of a hand-in the judge runs.

All that the student wrote, and of the cells the course gave (locked, restored from the release) those that bind a name
the kept cells use. Figures and timings of the lesson are left out: they decide nothing, they cost time, and they call
the student's functions where no limit of an exercise holds.
"""

from __future__ import annotations

import ast
import functools
import symtable
from collections.abc import Sequence
from typing import NamedTuple

from course.checking.cells import Reading, bound, used_names

LONG = 30_000  # characters of a cell: of a longer one all names that it uses count, also those that it made itself


class Cell(NamedTuple):
    """A code cell of a canonical notebook. given: it comes from the release and is locked."""

    id: str
    grade_id: str
    source: str
    given: bool = False


def needed(cells: Sequence[Cell], readings: Sequence[Reading]) -> list[int]:
    """The numbers of the cells to run, in order. readings: of each cell (course.checking.cells)."""
    names = [_names(reading) for reading in readings]
    kept = {number for number, cell in enumerate(cells) if not cell.given}
    while True:
        used = set().union(*(names[number][1] for number in kept))
        more = {number for number in range(len(cells)) if number not in kept and names[number][0] & used}
        if not more:
            return sorted(kept)
        kept |= more


@functools.lru_cache(maxsize=512)
def _names(reading: Reading) -> tuple[frozenset[str], frozenset[str]]:
    """Names a cell binds at its top level, and names it uses from elsewhere; kept, as a class shares cells."""
    if reading.module:
        return frozenset(), frozenset()
    try:
        table = symtable.symtable(reading.python, "<cell>", "exec")
        if len(reading.python) > LONG:
            return bound(table), frozenset(used_names(table))
        return bound(table), frozenset(_from_elsewhere(ast.parse(reading.python).body, set()))
    except Exception:
        return frozenset(), frozenset()


_BINDS_FOR_SURE = (ast.Assign, ast.AugAssign, ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef)


def _from_elsewhere(statements: list[ast.stmt], known: set[str]) -> set[str]:
    """Names that statements read before they have surely bound them; what they surely bind is added to `known`.

    Every figure of a lesson is called `figure`: a cell that makes its own needs no other one.
    """
    found: set[str] = set()
    for node in statements:
        if isinstance(node, ast.If):
            either = set(known), set(known)
            found |= _read(node.test) - known
            found |= _from_elsewhere(node.body, either[0]) | _from_elsewhere(node.orelse, either[1])
            known |= either[0] & either[1]
        elif isinstance(node, ast.For):
            found |= _read(node.iter) - known
            found |= _from_elsewhere(node.body, known | _stored(node.target)) | _from_elsewhere(node.orelse, set(known))
        else:
            changed = _stored(node.target) if isinstance(node, ast.AugAssign) else set()
            found |= (_read(node) | changed) - known
            known |= _stored(node) if isinstance(node, _BINDS_FOR_SURE) else set()
    return found


def _read(node: ast.AST) -> set[str]:
    return set(used_names(symtable.symtable(ast.unparse(node), "<part>", "exec")))


def _stored(node: ast.AST) -> set[str]:
    """Names bound by a simple statement or a loop's target; a target stands without its loop."""
    text = ast.unparse(node) if isinstance(node, ast.stmt) else f"{ast.unparse(node)} = ()"
    return bound(symtable.symtable(text, "<part>", "exec"))
