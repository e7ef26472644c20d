"""Which cells of a hand-in the judge runs.

All that the student wrote, and of the cells the course gave (locked, restored from the release) those that bind a name
the kept cells use. Figures and timings of the lesson are left out: they decide nothing, they cost time, and they call
the student's functions where no limit of an exercise holds.
"""

from __future__ import annotations

import symtable
from collections.abc import Iterator
from typing import NamedTuple


class Cell(NamedTuple):
    """A code cell of a canonical notebook. given: it comes from the release and is locked."""

    id: str
    grade_id: str
    source: str
    given: bool = False


def needed(cells: list[Cell]) -> list[Cell]:
    """The cells to run, in order."""
    names = {cell.id: _names(cell.source) for cell in cells}
    kept = {cell.id for cell in cells if not cell.given}
    while True:
        used = set().union(*(names[id][1] for id in kept)) if kept else set()
        more = {cell.id for cell in cells if cell.id not in kept and names[cell.id][0] & used}
        if not more:
            return [cell for cell in cells if cell.id in kept]
        kept |= more


def used_in(source: str) -> set[str]:
    """Names a cell uses from elsewhere; none when it can't be read."""
    return _names(source)[1]


def _names(source: str) -> tuple[set[str], set[str]]:
    """Names a cell binds at its top level, and names it uses from elsewhere."""
    try:
        table = symtable.symtable(source, "<cell>", "exec")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return set(), set()
    bound = {s.get_name() for s in table.get_symbols() if s.is_assigned() or s.is_imported()}
    return bound, set(used_names(table))


def used_names(table: symtable.SymbolTable) -> Iterator[str]:
    """Names that code takes from the notebook: parameters and locals are its own."""
    top = table.get_type() == "module"
    for symbol in table.get_symbols():
        if symbol.is_referenced() if top else symbol.is_global():
            yield symbol.get_name()
    for child in table.get_children():
        yield from used_names(child)
