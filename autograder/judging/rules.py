"""What the judge is given: the rules of a unit, and a canonical hand-in.

Not here: judging (`judge`), and how a hand-in becomes canonical (autograder.classroom.intake).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from autograder import ROOT
from autograder.authoring.checks import Check, load, version
from autograder.authoring.unit import UNITS, Unit
from autograder.judging.needed import Cell
from course.checking import cases


@dataclass
class UnitRules:
    """What the judge knows of one unit. `points` and `manual` come from the release, never from a hand-in.

    solutions: the course's own answers, for what stands on an answer that is wrong.
    """

    unit: str
    checks: dict[str, Check]
    recorded: cases.Cases
    version: str
    manual: float = 0.0
    side_files: dict[str, bytes] = field(default_factory=dict)
    solutions: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, unit: str, checks_path: Path, cases_path: Path, manual: float) -> UnitRules:
        """Load the checks and the recorded cases of one unit."""
        recorded = cases.load(cases_path)
        side = {"cases.npz": cases_path.read_bytes()}
        return cls(unit, load(checks_path), recorded, version(checks_path), manual, side)

    @property
    def max_score(self) -> float:
        """All automatic points but those of optional exercises."""
        return self.recorded.max_score


@lru_cache(maxsize=8)
def rules_for(unit: str, cases_path: Path | None = None) -> UnitRules:
    """The rules of a unit from this clone."""
    path = cases_path or ROOT / "assignments" / unit / "cases.npz"
    made = Unit.load(UNITS / unit)
    rules = UnitRules.read(unit, UNITS / unit / "checks.py", path, sum(made.manual_points.values()))
    rules.solutions = {name: made.solution_source(name) for name in made.exercises}
    judged_by = path.read_bytes() + "\0".join(rules.solutions.values()).encode()
    rules.version += "-" + hashlib.sha256(judged_by).hexdigest()[:8]
    return rules


@dataclass
class HandIn:
    """One canonical notebook: every code cell but the checks, in order."""

    student: str
    cells: list[Cell]
    digest: str
    notes: list[str] = field(default_factory=list)

    @property
    def sources(self) -> list[str]:
        """The source of every cell."""
        return [cell.source for cell in self.cells]


def code_cells(notebook: Any) -> list[Cell]:
    """The code cells that are run: all but the check cells."""
    found = []
    for index, cell in enumerate(notebook.cells):
        marks = cell.metadata.get("nbgrader", {})
        if cell.cell_type == "code" and not marks.get("grade"):
            given = bool(marks.get("locked"))
            found.append(Cell(cell.get("id", f"cell-{index}"), marks.get("grade_id", ""), cell.source, given))
    return found
