"""Every unit through every gate. The tables of the gates are written to tests/gates/ and printed with -s.

A unit comes in halves, so that two workers share it; each half is recorded once, for its gates and for its cases.
"""

import functools
import symtable
from itertools import accumulate
from pathlib import Path

import msgspec
import nbformat
import pytest

from autograder.authoring import build, checks, leak
from autograder.authoring.unit import Unit, unit_folders
from autograder.proof.gates import GateRow, prove, render, run_gates
from course.checking import cases
from course.files import write_whole

GATES = Path(__file__).parent / "gates"
ROOT = Path(__file__).parent.parent
UNITS = unit_folders()
HALVES = (1, 2)
SECRETS = 6
KERNEL = 10  # how many other exercises take as long as one with a kernel
by_name = pytest.mark.parametrize("folder", UNITS, ids=[u.name for u in UNITS])
by_half = pytest.mark.parametrize(
    "folder, half",
    [(u, half) for u in UNITS for half in HALVES],
    ids=[f"{u.name}-{half}" for u in UNITS for half in HALVES],
)


def halves(unit):
    """The names of the unit's checks in two parts that take about as long."""
    found = checks.load(unit.checks_path)
    names = [name for name in unit.exercises if name in found]
    costs = list(accumulate(KERNEL if found[name].kind == "kernel" else 1 for name in names))
    middle = 1 + sum(cost <= costs[-1] / 2 for cost in costs[:-1])
    return names[:middle], names[middle:]


@functools.cache
def proved(folder, half):
    """The gates and the recorded cases of one half of a unit."""
    unit = Unit.load(folder)
    found = list(prove(unit, halves(unit)[half - 1]))
    rows = [row for _, rows in found for row in rows]
    return rows, cases.Cases(unit.id, {made.name: made for made, _ in found})


@pytest.fixture
def run_folder(tmp_path_factory, worker_id):
    """A folder that all workers of this run have in common."""
    base = tmp_path_factory.getbasetemp()
    return base if worker_id == "master" else base.parent


def write_table(folder, half, rows, run_folder):
    """Leave the rows of this half, and write the unit's table when those of the other lie there."""
    write_whole(run_folder / f"gates-{folder.name}-{half}.json", msgspec.json.encode(rows))
    parts = [run_folder / f"gates-{folder.name}-{each}.json" for each in HALVES]
    if all(part.is_file() for part in parts):
        rows = [row for part in parts for row in msgspec.json.decode(part.read_bytes(), type=list[GateRow])]
        text = f"# Gates of {folder.name}\n\nWritten by `make test`.\n\n{render(rows)}"
        write_whole(GATES / f"{folder.name}.md", text.encode())


@by_half
def test_every_gate_holds(folder, half, run_folder):
    rows, _ = proved(folder, half)
    print(render(rows))
    write_table(folder, half, rows, run_folder)
    assert [(r.exercise, r.answer, r.says) for r in rows if not r.holds] == []


@by_half
def test_the_cases_are_what_is_committed(folder, half, tmp_path):
    _, fresh = proved(folder, half)
    kept = cases.load(ROOT / "assignments" / folder.name / "cases.npz")
    stale = "cases are stale: course build"
    assert list(kept.checks) == sum(halves(Unit.load(folder)), []), stale
    cases.Cases(kept.unit, {name: kept.check(name) for name in fresh.checks}).save(tmp_path / "cases.npz")
    assert build.same_cases(tmp_path / "cases.npz", fresh), stale


def write_seeds(folder, rows, run_folder):
    """Leave the unit's wrong answers whose score depends on the secret; list those of all units when all lie there."""
    name = lambda unit: run_folder / f"seeds-{unit.name}.json"  # noqa: E731
    write_whole(name(folder), msgspec.json.encode([row for row in rows if row.apart]))
    if all(name(unit).is_file() for unit in UNITS):
        found = {unit.name: msgspec.json.decode(name(unit).read_bytes(), type=list[GateRow]) for unit in UNITS}
        head = "| unit | exercise | answer | most | points | apart |\n|---|---|---|---|---|---|"
        body = [
            f"| {unit} | {r.exercise} | {r.answer} | {r.score:g} | {r.max_score:g} | {r.apart:g} |"
            for unit, rows in found.items()
            for r in rows
        ]
        title = "# Wrong answers whose score depends on the secret"
        text = f"{title}\n\nOn {SECRETS} secrets. Written by `make test-all`.\n"
        write_whole(GATES / "seeds.md", "\n".join([text, head, *body, ""]).encode())


@pytest.mark.slow
@by_name
def test_every_gate_holds_on_six_secrets(folder, run_folder):
    rows = run_gates(folder, secrets=SECRETS)
    write_seeds(folder, rows, run_folder)
    assert [(r.exercise, r.answer, r.says) for r in rows if not r.holds] == []


@by_name
def test_each_exercise_has_misconceptions_and_two_other_right_styles(folder):
    unit = Unit.load(folder)
    for name in unit.exercises:
        assert sum(m.exercise == name for m in unit.misconceptions) >= 1, f"{name} has no misconception"
        assert sum(r.exercise == name for r in unit.rights) >= 2, f"{name} has fewer than two other right styles"


@by_name
def test_the_build_reproduces_what_is_committed(folder, tmp_path):
    """The notebooks; their cases are compared above, where they are recorded."""
    unit = Unit.load(folder)
    built = build.build(unit, tmp_path, cases.load(ROOT / "assignments" / unit.id / "cases.npz"))
    for made, kept in ((built.assignment, "assignments"), (built.solution, "solutions")):
        assert made.read_bytes() == (ROOT / kept / unit.id / made.name).read_bytes(), f"{kept} is stale: course build"


@by_name
def test_no_cell_takes_the_name_of_what_an_earlier_one_defined(folder):
    """Else an earlier cell, run once more, finds a number where its function stood."""
    notebook = nbformat.read(ROOT / "solutions" / folder.name / f"{folder.name.partition('_')[2]}.ipynb", 4)
    defined, taken = {}, []
    for number, cell in enumerate(each for each in notebook.cells if each.cell_type == "code"):
        for symbol in symtable.symtable(cell.source, f"cell {number}", "exec").get_symbols():
            name = symbol.get_name()
            if symbol.is_namespace() or symbol.is_imported():
                defined.setdefault(name, number)
            elif symbol.is_assigned() and defined.get(name, number) != number:
                taken.append(f"cell {number} assigns to {name}, which cell {defined[name]} defined")
    assert len(defined) > 20 and taken == []


@by_name
def test_nothing_leaks_into_assignments(folder):
    assert leak.leaks(Unit.load(folder), ROOT / "assignments" / folder.name) == []
