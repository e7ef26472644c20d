"""Every unit through every gate. The tables of the gates are written to tests/gates/ and printed with -s."""

from pathlib import Path

import pytest

from autograder.authoring import build, leak
from autograder.authoring.unit import Unit, unit_folders
from autograder.proof.gates import render, run_gates

GATES = Path(__file__).parent / "gates"
ROOT = Path(__file__).parent.parent
UNITS = unit_folders()
by_name = pytest.mark.parametrize("folder", UNITS, ids=[u.name for u in UNITS])


@by_name
def test_every_gate_holds(folder):
    rows = run_gates(folder)
    table = render(rows)
    print(table)
    GATES.mkdir(exist_ok=True)
    (GATES / f"{folder.name}.md").write_text(f"# Gates of {folder.name}\n\nWritten by `make test`.\n\n{table}")
    assert [(r.exercise, r.answer, r.says) for r in rows if not r.holds] == []


@pytest.mark.slow
@by_name
def test_every_gate_holds_on_six_secrets(folder):
    rows = run_gates(folder, secrets=6)
    assert [(r.exercise, r.answer, r.says) for r in rows if not r.holds] == []


@by_name
def test_each_exercise_has_misconceptions_and_two_other_right_styles(folder):
    unit = Unit.load(folder)
    for name in unit.exercises:
        assert sum(m.exercise == name for m in unit.misconceptions) >= 1, f"{name} has no misconception"
        assert sum(r.exercise == name for r in unit.rights) >= 2, f"{name} has fewer than two other right styles"


@by_name
def test_the_build_reproduces_what_is_committed(folder, tmp_path):
    unit = Unit.load(folder)
    built = build.build(unit, tmp_path)
    for made, kept in ((built.assignment, "assignments"), (built.solution, "solutions")):
        assert made.read_bytes() == (ROOT / kept / unit.id / made.name).read_bytes(), f"{kept} is stale: course build"
    from course.checking import cases

    fresh = cases.load(built.cases)
    assert build.same_cases(ROOT / "assignments" / unit.id / "cases.npz", fresh), "cases are stale: course build"


@by_name
def test_nothing_leaks_into_assignments(folder):
    assert leak.leaks(Unit.load(folder), ROOT / "assignments" / folder.name) == []
