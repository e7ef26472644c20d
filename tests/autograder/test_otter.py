"""The bench's otter column: its tests judge the trivial unit as ours do, and without otter-grader the bench says so."""

import nbformat
import pytest
import torch
from nbformat.v4 import new_code_cell, new_notebook

from autograder.authoring.unit import Unit
from autograder.proof import bench, otter

UNIT = Unit.load(bench.ROOT / "tests" / "units" / bench.TINY)


def passes(name, sources):
    """Whether all test cases of an exercise hold for these answers."""
    told = {"torch": torch}
    for source in sources:
        exec(source, told)
    held = []
    for before, holds in otter.DOCTESTS[name]:
        exec(before, told)
        held.append(bool(eval(holds, told)))
    return all(held)


def test_its_tests_take_the_solution_and_no_misconception():
    solutions = {name: UNIT.solution_source(name) for name in UNIT.exercises}
    assert set(otter.DOCTESTS) == set(UNIT.exercises)
    for name in UNIT.exercises:
        assert passes(name, solutions.values())
    assert UNIT.misconceptions
    for wrong in UNIT.misconceptions:
        assert not passes(wrong.exercise, (solutions | {wrong.exercise: wrong.source}).values()), wrong.name


def test_an_otter_notebook_has_the_answers_of_the_hand_in(tmp_path):
    cells = []
    for name in UNIT.exercises:
        cells.append(new_code_cell(f"{name} = 1"))
        cells[-1].metadata["nbgrader"] = {"grade_id": name}
    nbformat.write(new_notebook(cells=cells), tmp_path / "tiny.ipynb")
    made = nbformat.read(otter.as_otters(tmp_path / "tiny.ipynb", UNIT, tmp_path / "otter"), as_version=4)
    first, *rest = [cell.source for cell in made.cells]
    assert "otter.Notebook()" in first
    assert rest[::2] == [cell.source for cell in cells]
    assert rest[1::2] == [f'grader.check("{name}")' for name in UNIT.exercises]


@pytest.mark.parametrize("environment", [None, "ENV"])
def test_the_table_measures_otter_or_says_that_it_did_not(monkeypatch, tmp_path, environment):
    took = bench.Took(2.0, 1.0, 1 << 20, 2)
    classes = [bench.Kind("tiny", bench.TINY), bench.Kind("b", bench.ATTENTION)]
    monkeypatch.setattr(bench, "kinds", lambda clone: classes)
    monkeypatch.setattr(bench, "ours", lambda *words: (took, {}))
    monkeypatch.setattr(bench, "plain_nbgrader", lambda *words: bench.Took(8.0, 1.0, 1 << 20, 2))
    monkeypatch.setattr(bench, "otter_grader", lambda *words: bench.Took(12.0, 1.0, 1 << 20, 2))
    said = [line for line in bench.compare(tmp_path, 2, 2, 1, environment) if "otter" in line]
    assert len(said) == 2 and "not measured" in said[1]
    assert said[0].endswith(" 6.0") if environment else "not measured, needs --otter ENV" in said[0]


def test_an_environment_without_otter_is_a_sentence(tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        bench.main(["--otter", str(tmp_path)])
    assert ended.value.code == 2 and "virtual environment with otter-grader" in capsys.readouterr().err
