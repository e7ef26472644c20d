"""nbgrader's validator, behind its Validate buttons and `nbgrader validate`: it says of a notebook what is true."""

from __future__ import annotations

import os
from pathlib import Path

import nbformat
import pytest
import synthetic
from nbgrader.validator import Validator

from course import validating
from course.checking.verdict import without_points

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def validate(tiny_root, tmp_path, monkeypatch):
    """A function that validates the tiny unit with some exercises solved: the check cells that nbgrader says failed."""
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    (solution,) = (tiny_root / "solutions" / synthetic.UNIT).glob("*.ipynb")
    released = tiny_root / "assignments" / synthetic.UNIT
    (tmp_path / "cases.npz").write_bytes((released / "cases.npz").read_bytes())

    def failed(*solved):
        mine = nbformat.read(released / solution.name, as_version=4)
        answers = {cell.id: cell.source for cell in nbformat.read(solution, as_version=4).cells}
        for cell in mine.cells:
            if cell.metadata.get("nbgrader", {}).get("grade_id") in solved:
                cell.source = answers[cell.id]
        nbformat.write(mine, tmp_path / solution.name)
        found = Validator().validate(str(tmp_path / solution.name))
        assert set(found) <= {"failed"}
        return {cell["source"]: cell["error"] for cell in found.get("failed", [])}

    return failed


def test_a_notebook_with_some_exercises_done_is_no_success(validate):
    found = validate("double_it")
    assert 'check("double_it")' not in found and 'check("Shift")' in found
    assert "NotPassed" in found['check("Shift")'] and "has 0 of" in found['check("Shift")']


def test_a_solved_notebook_is_a_success(validate):
    assert validate("double_it", "Shift", "largest_double") == {}


def test_an_optional_exercise_fails_no_notebook(monkeypatch):
    row = without_points("double_it", 3, "not_attempted", "")
    monkeypatch.setattr(validating, "judge", lambda name, namespace: row)
    with pytest.raises(validating.NotPassed, match="double_it has 0 of 3 points"):
        validating.check("double_it")
    row.optional = True
    validating.check("double_it")


def test_a_learners_own_session_raises_nothing(monkeypatch):
    monkeypatch.delenv("NBGRADER_VALIDATING", raising=False)
    assert not validating.validates()
