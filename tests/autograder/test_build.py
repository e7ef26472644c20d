"""From sources to what a student receives, on the tiny unit. Not here: the course's own units (tests/test_units.py)."""

from __future__ import annotations

import json
import os
import re
import shutil
import sqlite3
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
from nbgrader import api

from autograder.authoring import build as building
from autograder.authoring import recording
from autograder.authoring.build import build
from autograder.authoring.unit import AuthoringError, Unit, UnknownUnit, find_unit, stub
from course.checking import cases
from course.checking.check import quiet
from course.checking.subject import LocalSubject
from course.files import write_whole
from grader_kernels.judging.agree import Expected, Output
from grader_kernels.judging.task import KernelCases, Posed, Task
from grader_kernels.problem import Settings

UNITS = Path(__file__).resolve().parent.parent / "units"
TINY = UNITS / "90_tiny"


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    return build(Unit.load(TINY), tmp_path_factory.mktemp("built"))


@pytest.fixture(scope="module")
def released(built):
    return nbformat.read(built.assignment, as_version=4)


@pytest.fixture
def copy(tmp_path):
    """A copy of the tiny unit whose files `edit(file, old, new)` changes; returns the line of the change."""
    folder = tmp_path / "units" / "90_tiny"
    shutil.copytree(TINY, folder)

    def edit(file: str, old: str, new: str) -> int:
        path = folder / file
        text = path.read_text()
        assert text.count(old) >= 1, f"{old!r} is not in {file}"
        path.write_text(text.replace(old, new, 1))
        return text[: text.index(old)].count("\n") + 1

    edit.folder = folder
    return edit


def cell(notebook, cell_id):
    return next(c for c in notebook.cells if c.id == cell_id)


def run_cells(notebook, skip=()):
    """Run the code cells in this process, check cells left out, and return the namespace."""
    namespace = {"__name__": "__main__"}
    for number, node in enumerate(notebook.cells):
        if node.cell_type == "code" and not node.id.startswith("check-") and node.id not in skip:
            with quiet():
                recording.execute(node.source, namespace, f"test cell {number}")
    return namespace


# What a student receives


def test_cells_stand_in_order_with_ids_of_their_keys_or_their_text(released):
    assert [re.sub("-[0-9a-f]{8}$", "-TEXT", c.id) for c in released.cells] == [
        "text-TEXT", "code-TEXT", "code-TEXT", "text-TEXT",
        "double_it", "hints-double_it", "check-double_it", "code-TEXT",
        "Shift", "hints-Shift", "check-Shift",
        "largest_double", "check-largest_double", "code-TEXT",
        "explain-why_double", "answer-why_double",
    ]  # fmt: skip


TRIPLE = '''# %% [markdown]
r"""
## Triple
"""

# %%
print("another given cell")

# %% exercise="triple_it"
def triple_it(x):
    """Three times x."""
    ### BEGIN SOLUTION
    return 3 * x
    ### END SOLUTION

# %% check="triple_it" points=2

'''
TRIPLE_CHECK = '''
triple_it = Check("triple_it")


@triple_it.case("triples")
def _(subject, trial):
    x = trial.normal((5,))
    trial.close(subject(x), (x.double() * 3).float())
'''


@pytest.mark.parametrize("above", ['# %% exercise="Shift"', '# %%\nprint(f"a given cell', '# %%\nif ready('])
def test_an_exercise_put_in_between_leaves_the_ids_of_all_other_cells_alone(copy, built, tmp_path, above):
    copy("notebook.py", above, TRIPLE + above)
    with (copy.folder / "checks.py").open("a") as checks:
        checks.write(TRIPLE_CHECK)
    more = build(Unit.load(copy.folder), tmp_path)
    for one, other in ((built.assignment, more.assignment), (built.solution, more.solution)):
        before, after = ({c.id: c for c in nbformat.read(p, as_version=4).cells} for p in (one, other))
        assert {name: after.get(name) for name in before} == before
        assert len(after) == len(before) + 4 and {"triple_it", "check-triple_it"} < after.keys() - before.keys()


def test_cells_with_the_same_text_are_numbered(copy):
    copy("notebook.py", "# %%\nif ready(", "# %%\n# twice\n\n# %%\n# twice\n\n# %%\nif ready(")
    unit = Unit.load(copy.folder)
    ids = building.cell_ids(unit.cells)
    first, second = (name for name, cell in zip(ids, unit.cells, strict=True) if cell.source == "# twice")
    assert second == f"{first}-2" and len(set(ids)) == len(ids)


@pytest.mark.parametrize(
    "which, roles",
    [
        ("# Tiny", {"locked": True}),
        ('profile = "fast"', {"locked": True}),
        ("hints-Shift", {"locked": True}),
        ("double_it", {"solution": True}),
        ("check-Shift", {"locked": True, "grade": True, "points": 2.5}),
        ("explain-why_double", {"locked": True, "task": True, "points": 2}),
    ],
)
def test_nbgrader_metadata(released, which, roles):
    """`which` is a cell's id or how its text begins."""
    cell_id = next(c.id for c in released.cells if c.id == which or c.source.startswith(which))
    about = dict(cell(released, cell_id).metadata["nbgrader"])
    assert len(about.pop("checksum")) == 32
    assert about.pop("cell_type") == cell(released, cell_id).cell_type
    nothing = {"grade": False, "locked": False, "solution": False, "task": False}
    assert about == {"schema_version": 3, "grade_id": cell_id, **nothing, **roles}


def test_answer_cell_is_a_plain_markdown_cell_that_can_be_edited(released):
    answer = cell(released, "answer-why_double")
    assert answer.cell_type == "markdown" and "editable" not in answer.metadata and "nbgrader" not in answer.metadata
    assert answer.metadata["course"] == {"answer": "why_double"}


def test_stub_says_what_to_write_and_keeps_the_prompt(released):
    source = cell(released, "double_it").source
    assert source.endswith('    """\n    raise NotImplementedError("write double_it here")')
    assert "Every number of `x` twice as large." in source


def test_solutions_hidden_tests_and_mark_schemes_are_gone(built):
    text = built.assignment.read_text()
    for secret in (
        "twice_as_large",
        "doubled_first",
        "8.0",
        "hidden",
        "HIDDEN",
        "BEGIN",
        "END",
        "homogeneity",
        "jupytext",
    ):
        assert secret not in text, secret


def test_check_cell_calls_check_and_source_has_the_hidden_part(built, released):
    assert cell(released, "check-double_it").source == 'check("double_it")'
    source = nbformat.read(built.assignment.parents[2] / "build/nbgrader/source/90_tiny/tiny.ipynb", as_version=4)
    assert cell(source, "check-double_it").source == (
        'check("double_it")\n### BEGIN HIDDEN TESTS\ncheck("double_it", hidden=True)\n### END HIDDEN TESTS'
    )


def test_hints_are_folded(released):
    text = cell(released, "hints-double_it").source
    assert text.count("<details>") == text.count("</details>") == 2 and "<details open" not in text
    assert "Which operation makes a number twice as large?" in text


def test_notebook_carries_no_outputs_and_a_fixed_kernel(released):
    assert all(c.outputs == [] and c.execution_count is None for c in released.cells if c.cell_type == "code")
    assert released.metadata == {
        "course": {"unit": "90_tiny"},
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }


def test_parameters_cell_keeps_its_tag(released):
    (parameters,) = (c for c in released.cells if "tags" in c.metadata)
    assert parameters.metadata["tags"] == ["parameters"] and 'profile = "fast"' in parameters.source


def test_only_notebook_and_cases_reach_students(built):
    assert sorted(p.name for p in built.assignment.parent.iterdir()) == ["cases.npz", "tiny.ipynb"]
    release = built.assignment.parents[2] / "build" / "nbgrader" / "release" / "90_tiny"
    assert [p.name for p in release.iterdir()] == ["tiny.ipynb"]


def test_files_dropped_beside_nbgraders_source_do_not_ship(built):
    source = built.assignment.parents[2] / "build" / "nbgrader" / "source" / "90_tiny"
    (source / "answers.csv").write_text("2,4")
    (source / "solution.py").write_text("x = 1")
    again = build(Unit.load(TINY), built.assignment.parents[2])
    assert again.changed == [] and not list(built.assignment.parents[2].glob("*/90_tiny/answers.csv"))
    assert not (source.parents[1] / "release" / "90_tiny" / "answers.csv").exists()


def test_untouched_notebook_runs_from_top_to_bottom(released):
    assert run_cells(released)["largest_double"] is None


def test_gradebook_knows_points(built):
    gradebook = sqlite3.connect(built.assignment.parents[2] / "build" / "nbgrader" / "gradebook.db")
    points = dict(gradebook.execute("select name, max_score from base_cell natural join grade_cells").fetchall())
    assert points == {"check-double_it": 3, "check-Shift": 2.5, "check-largest_double": 1}
    tasks = gradebook.execute("select name, max_score from base_cell natural join task_cells").fetchall()
    assert tasks == [("explain-why_double", 2)]


# Solved notebook and cases


def test_solved_notebook_is_the_release_with_solutions(built, released):
    solved = nbformat.read(built.solution, as_version=4)
    differing = {ours.id for ours, theirs in zip(solved.cells, released.cells, strict=True) if ours != theirs}
    assert differing == {"double_it", "Shift", "largest_double"}
    assert "BEGIN" not in built.solution.read_text() and "hidden" not in built.solution.read_text()


def test_solved_notebook_passes_every_recorded_case_and_the_stub_none(built, released):
    recorded = cases.load(built.cases)
    assert list(recorded.checks) == ["double_it", "Shift", "largest_double"]
    solved, untouched = (run_cells(nbformat.read(p, as_version=4)) for p in (built.solution, built.assignment))
    for name, check in recorded.checks.items():
        verdict = cases.play(check, LocalSubject(solved, name))
        assert (verdict.state, verdict.score) == ("passed", check.points)
        assert cases.play(check, LocalSubject(untouched, name)).score == 0


def test_misconceptions_ship_as_sentences(built):
    known = cases.load(built.cases).checks["double_it"].misconceptions
    assert [(m.name, m.sentence, m.next) for m in known][0] == (
        "squares",
        "Squaring a number is not doubling it: 3 became 9, not 6.",
        "What does your function make of 2 and of 3?",
    )


# Rebuilding


def test_second_build_changes_no_byte(built, tmp_path):
    before = {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in (built.assignment, built.cases, built.solution)}
    assert build(Unit.load(TINY), built.assignment.parents[2]).changed == []
    assert {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in before} == before
    elsewhere = build(Unit.load(TINY), tmp_path)
    for ours, theirs in zip((elsewhere.assignment, elsewhere.cases, elsewhere.solution), before, strict=True):
        assert ours.read_bytes() == theirs.read_bytes()


def moved(path: Path, factor: float) -> None:
    """Scale every float array of a cases file."""
    with np.load(path) as stored:
        arrays = {name: stored[name] * factor if stored[name].dtype.kind == "f" else stored[name] for name in stored}
    np.savez_compressed(
        path, **{name: a.astype(np.float32) if a.dtype.kind == "f" else a for name, a in arrays.items()}
    )


@pytest.mark.parametrize("factor, replaced", [(1 + 1e-6, False), (1.01, True)])
def test_cases_are_replaced_only_beyond_tolerance(built, factor, replaced):
    original = built.cases.read_bytes()
    moved(built.cases, factor)
    shifted = built.cases.read_bytes()
    again = build(Unit.load(TINY), built.assignment.parents[2])
    assert (built.cases in again.changed) == replaced
    assert built.cases.read_bytes() == (original if replaced else shifted)
    write_whole(built.cases, original)


@pytest.mark.parametrize("content", [b"", b"no npz", None])
def test_unreadable_cases_are_replaced(built, tmp_path, content):
    path = tmp_path / "cases.npz"
    if content is not None:
        path.write_bytes(content)
    assert not building.same_cases(path, cases.load(built.cases))


def test_changed_sentence_replaces_cases(built):
    recorded = cases.load(built.cases)
    assert building.same_cases(built.cases, recorded)
    recorded.checks["double_it"].hints[0] += " Really?"
    assert not building.same_cases(built.cases, recorded)


def test_every_kind_of_recorded_value_can_be_compared(tmp_path):
    values = [True, 2**80, 1.5, float("nan"), "word", b"bytes", None, (1, 2), {"key": [1.0]}, torch.bfloat16,
              torch.ones(3, dtype=torch.bfloat16), torch.ones(3, 4).T, np.arange(3), cases.Ref(0, (1,))]  # fmt: skip
    steps = [cases.Step("__call__", values), cases.Step("equal", [cases.Ref(0), 1])]
    recorded = cases.Cases("90_tiny", {"x": cases.CheckCases("x", 1, "function", [], [cases.Case("title", 1, steps)])})
    recorded.save(tmp_path / "cases.npz")
    assert building.same_cases(tmp_path / "cases.npz", recorded)


@pytest.mark.parametrize("factor, same", [(1.8, True), (0.6, True), (2.2, False), (0.4, False)])
def test_an_allowed_rounding_error_moves_by_less_than_a_factor_of_two(tmp_path, factor, same):
    def recorded(allowed):
        expected = Expected("tensor", [Output("out", torch.ones(3), torch.float32, allowed)])
        task = Task("x", [], Settings(), [Posed("title", (), {}, [], expected)])
        check = cases.CheckCases("x", 1, "function", [], [], kernel=KernelCases(task))
        return cases.Cases("90_tiny", {"x": check})

    recorded(1.5e-6).save(tmp_path / "cases.npz")
    assert building.same_cases(tmp_path / "cases.npz", recorded(1.5e-6 * factor)) == same


def test_a_killed_build_leaves_whole_files(built, monkeypatch):
    before = built.assignment.read_bytes()
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        write_whole(built.assignment, b"half")
    assert built.assignment.read_bytes() == before


def test_build_finds_nbgraders_tools_without_an_activated_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", os.defpath)
    api.get_alembic_version.cache_clear()
    unit = Unit.load(TINY)
    source = building.source_notebook(unit, building.load_checks(unit))
    assert building.generate_release(source, unit.id, unit.topic, tmp_path).cells
    assert os.environ["PATH"] == os.defpath


# An author's mistakes: one sentence, with file and line

_CHECK = '# %% check="largest_double" points=1\n\n'
FINDING = (TINY / "notebook.py").read_text().partition('# %% exercise="largest_double"')[2].partition(_CHECK)[0]
FINDING = f'# %% exercise="largest_double"{FINDING}{_CHECK}'
FINDING_BELOW = _CHECK + FINDING.removesuffix(_CHECK)
MISTAKES = {
    "key names no check": (
        "checks.py",
        'Check("Shift"',
        'Check("Shaft"',
        'check="Shift" names no check',
        "notebook.py",
        'check="Shift" points=2.5',
    ),
    "check without a cell": (
        "checks.py",
        "largest_double = Check(",
        'extra = Check("extra")\n\n\n@extra.case("holds")\ndef _(subject, trial):\n'
        "    trial.equal(subject(), 1)\n\n\nlargest_double = Check(",
        'check "extra" has no cell',
        "checks.py",
        0,
    ),
    "exercise without a check": (
        "notebook.py",
        '# %% check="Shift" points=2.5\n',
        "",
        'exercise "Shift" has no check cell',
        "notebook.py",
        'exercise="Shift"',
    ),
    "check without an exercise": (
        "notebook.py",
        '# %% check="Shift"',
        '# %% check="Shifd" points=1\n\n# %% check="Shift"',
        'check "Shifd" has no exercise cell',
        "notebook.py",
        0,
    ),
    "check above its exercise": ("notebook.py", FINDING, FINDING_BELOW, "stands above its exercise", "notebook.py", 0),
    "duplicate exercise": (
        "notebook.py",
        'exercise="Shift"',
        'exercise="double_it"',
        "stands twice, first in line ",
        "notebook.py",
        0,
    ),
    "duplicate misconception": (
        "misconceptions.py",
        'wrong="doubles_positive_only"',
        'wrong="squares"',
        "stands twice",
        "misconceptions.py",
        0,
    ),
    "marker typo": (
        "notebook.py",
        "### BEGIN SOLUTION",
        "### BEGIN SOLUTON",
        'expected "### BEGIN SOLUTION"',
        "notebook.py",
        0,
    ),
    "end marker typo": (
        "notebook.py",
        "### END SOLUTION",
        "### END SOLUTIONS",
        'expected "### END SOLUTION"',
        "notebook.py",
        0,
    ),
    "lower case marker": (
        "notebook.py",
        "### BEGIN SOLUTION",
        "### begin solution",
        'expected "### BEGIN SOLUTION"',
        "notebook.py",
        0,
    ),
    "half a marker": ("notebook.py", "### END SOLUTION", "### END", 'expected "### END SOLUTION"', "notebook.py", 0),
    "spaceless marker": (
        "notebook.py",
        "### BEGIN SOLUTION",
        "#BEGIN SOLUTION",
        'expected "### BEGIN SOLUTION"',
        "notebook.py",
        0,
    ),
    "marker in a line of code": (
        "notebook.py",
        "return twice_as_large",
        "return twice_as_large  ### BEGIN SOLUTION",
        "alone on the line",
        "notebook.py",
        0,
    ),
    "unbalanced, no end": (
        "notebook.py",
        "    ### END SOLUTION\n",
        "",
        "without ### END SOLUTION",
        "notebook.py",
        "### BEGIN SOLUTION",
    ),
    "unbalanced, no begin": (
        "notebook.py",
        "    ### BEGIN SOLUTION\n",
        "",
        "### END SOLUTION without ### BEGIN SOLUTION",
        "notebook.py",
        "### END SOLUTION",
    ),
    "nested": (
        "notebook.py",
        "    ### END SOLUTION\n",
        "    ### BEGIN SOLUTION\n",
        "a second ### BEGIN SOLUTION",
        "notebook.py",
        0,
    ),
    "no region": (
        "notebook.py",
        "### BEGIN SOLUTION\nlargest_double = 8.0\n### END SOLUTION",
        "largest_double = 8.0",
        "has no ### BEGIN SOLUTION",
        "notebook.py",
        'exercise="largest_double"',
    ),
    "markers outside an exercise": (
        "notebook.py",
        'profile = "fast"',
        '### BEGIN SOLUTION\nprofile = "fast"\n### END SOLUTION',
        "outside an exercise cell",
        "notebook.py",
        0,
    ),
    "markers in prose": (
        "notebook.py",
        "Write a function",
        "### BEGIN SOLUTION\nWrite a function\n### END SOLUTION",
        "outside an exercise cell",
        "notebook.py",
        0,
    ),
    "hidden tests by hand": (
        "notebook.py",
        "seed = 0",
        "seed = 0\n### BEGIN HIDDEN TESTS",
        "the build writes hidden tests",
        "notebook.py",
        1,
    ),
    "scheme typo": (
        "notebook.py",
        "=== BEGIN MARK SCHEME ===",
        "=== BEGIN MARKSCHEME ===",
        'expected "=== BEGIN MARK SCHEME ==="',
        "notebook.py",
        0,
    ),
    "scheme not closed": (
        "notebook.py",
        "=== END MARK SCHEME ===\n",
        "",
        "markers come in pairs",
        "notebook.py",
        "=== BEGIN MARK SCHEME",
    ),
    "no scheme": (
        "notebook.py",
        "=== BEGIN MARK SCHEME ===\nOne point for additivity, one for homogeneity.\n=== END MARK SCHEME ===\n",
        "",
        "has no mark scheme",
        "notebook.py",
        'explain="why_double"',
    ),
    "points missing": ("notebook.py", "points=2.5", "", "says no points", "notebook.py", 0),
    "explain points missing": (
        "notebook.py",
        'explain="why_double" points=2',
        'explain="why_double"',
        "says no points",
        "notebook.py",
        0,
    ),
    "points zero": ("notebook.py", "points=2.5", "points=0", "expected a positive number", "notebook.py", 0),
    "points negative": ("notebook.py", "points=2.5", "points=-1", "expected a positive number", "notebook.py", 0),
    "points in words": ("notebook.py", "points=2.5", 'points="two"', "expected a positive number", "notebook.py", 0),
    "optional in words": (
        "notebook.py",
        "points=2.5",
        'points=2.5 optional="yes"',
        "expected optional=true, or no such word",
        "notebook.py",
        0,
    ),
    "optional without a value": (
        "notebook.py",
        "points=2.5",
        "points=2.5 optional",
        "expected optional=true, or no such word",
        "notebook.py",
        0,
    ),
    "optional question": (
        "notebook.py",
        'explain="why_double" points=2',
        'explain="why_double" points=2 optional=true',
        'unknown key "optional"',
        "notebook.py",
        0,
    ),
    "unknown key": (
        "notebook.py",
        'exercise="Shift"',
        'exercize="Shift"',
        'did you mean "exercise"?',
        "notebook.py",
        0,
    ),
    "key of another cell": (
        "notebook.py",
        'exercise="Shift"',
        'exercise="Shift" points=3',
        'unknown key "points"',
        "notebook.py",
        0,
    ),
    "two keys": (
        "notebook.py",
        'exercise="Shift"',
        'exercise="Shift" check="Shift"',
        "a cell has one key",
        "notebook.py",
        0,
    ),
    "broken key": ("notebook.py", 'exercise="Shift"', 'exercise="Shift', 'after "# %%"', "notebook.py", 0),
    "name that is none": ("notebook.py", 'exercise="Shift"', 'exercise="the shift"', "is not a name", "notebook.py", 0),
    "explain in a code cell": ("notebook.py", "[markdown] explain=", "explain=", "this one is code", "notebook.py", 0),
    "exercise in a text cell": (
        "notebook.py",
        '# %% exercise="Shift"',
        '# %% [markdown] exercise="Shift"',
        "this one is markdown",
        "notebook.py",
        0,
    ),
    "check cell with a body": (
        "notebook.py",
        "points=2.5\n",
        "points=2.5\nassert True\n",
        "stays empty",
        "notebook.py",
        0,
    ),
    "no Python": (
        "notebook.py",
        "twice_as_large = x + x",
        "twice_as_large = = x",
        "this is no Python",
        "notebook.py",
        0,
    ),
    "stub breaks the cell": (
        "notebook.py",
        "class Shift(torch.nn.Module):\n",
        "if True:\n    ### BEGIN SOLUTION\n    pass\n    ### END SOLUTION\nclass Shift(torch.nn.Module):\n",
        "once its solution is taken out",
        "notebook.py",
        'exercise="Shift"',
    ),
    "code before the first cell": ("notebook.py", "# A unit", "x = 1\n# A unit", "before the first", "notebook.py", 0),
    "misconception of nothing": (
        "misconceptions.py",
        'exercise="Shift"',
        'exercise="Shifd"',
        'there is "Shift": a typo?',
        "misconceptions.py",
        0,
    ),
    "right style of nothing": (
        "right.py",
        'exercise="double_it"',
        'exercise="halve_it"',
        "is not in the notebook",
        "right.py",
        0,
    ),
    "misconception without a sentence": (
        "misconceptions.py",
        '"""Negative numbers became zero: something cuts them off."""\n',
        "",
        'misconception "doubles_positive_only" has no sentence',
        "misconceptions.py",
        'wrong="doubles_positive_only"',
    ),
    "misconception without a name": (
        "misconceptions.py",
        ' wrong="squares"',
        "",
        "this cell has no wrong",
        "misconceptions.py",
        0,
    ),
    "misconception without code": (
        "misconceptions.py",
        "def double_it(x):\n    return 2 * x.clamp(min=0)\n",
        "",
        "has no code",
        "misconceptions.py",
        'wrong="doubles_positive_only"',
    ),
    "solution fails its cases": (
        "notebook.py",
        "twice_as_large = x + x",
        "twice_as_large = x + x + 1",
        "the solution of double_it fails",
        "checks.py",
        None,
    ),
    "misconception passes": (
        "misconceptions.py",
        "squared_instead = x * x",
        "squared_instead = x + x",
        "can't be told from the solution",
        "misconceptions.py",
        'wrong="squares"',
    ),
    "misconceptions alike": (
        "misconceptions.py",
        "return 2 * x.clamp(min=0)",
        "return x**2",
        "can't be told from misconception 'squares'",
        "misconceptions.py",
        'wrong="doubles_positive_only"',
    ),
    "what is forbidden is not said": (
        "checks.py",
        'Shift = Check("Shift",',
        'Shift = Check("Shift", forbids=("softmax",),',
        'Shift forbids "softmax", and its docstring must say so: Not allowed: library softmax',
        "checks.py",
        0,
    ),
    "misconception does not run": (
        "misconceptions.py",
        "class Shift(torch.nn.Module):",
        "class Shift(torch.nn.Modul):",
        "does not run",
        "misconceptions.py",
        'wrong="forgets_to_double"',
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistake_is_told_in_one_sentence_with_file_and_line(copy, tmp_path, mistake):
    """`at`: 0 the edited line, 1 the one below, words: the first line of the file that holds them, None: any."""
    file, old, new, sentence, where, at = MISTAKES[mistake]
    edited = copy(file, old, new)
    with pytest.raises(AuthoringError) as told:
        build(Unit.load(copy.folder), tmp_path)
    assert sentence in str(told.value) and "\n" not in str(told.value)
    assert (copy.folder / where).samefile(told.value.file)
    if isinstance(at, str):
        lines = (copy.folder / where).read_text().split("\n")
        edited, at = 1 + next(number for number, line in enumerate(lines) if at in line), 0
    assert at is None or told.value.line == edited + at
    assert not (tmp_path / "assignments").exists() and not (tmp_path / "solutions").exists()


def test_a_kernel_exercise_says_how_many_launches_count(monkeypatch):
    unit = Unit.load(find_unit("01"))
    building.load_checks(unit)
    monkeypatch.setattr(Settings, "rule", "Three launches.")
    with pytest.raises(AuthoringError, match="lstm_gates counts launches, and its docstring must say so: Three launch"):
        building.load_checks(unit)


def test_missing_file_is_told(tmp_path):
    with pytest.raises(AuthoringError, match="missing"):
        Unit.load(tmp_path)


def test_a_unit_without_misconceptions_or_other_styles_can_be_built(copy, tmp_path):
    (copy.folder / "misconceptions.py").unlink()
    (copy.folder / "right.py").unlink()
    assert build(Unit.load(copy.folder), tmp_path).assignment.is_file()


# Reading a unit


def test_unit_tells_names_points_and_alternatives():
    unit = Unit.load(TINY)
    assert (unit.id, unit.topic, unit.exercises) == ("90_tiny", "tiny", ("double_it", "Shift", "largest_double"))
    assert unit.points == {"double_it": 3, "Shift": 2.5, "largest_double": 1} and unit.manual_points == {
        "why_double": 2
    }
    assert [(m.exercise, m.name) for m in unit.misconceptions][2] == ("Shift", "forgets_to_double")
    assert [r.name for r in unit.rights] == ["times_two", "loop"]
    assert (unit.max_score, unit.optional) == (6.5, frozenset())
    extra = Unit.load(UNITS / "91_extra")
    assert (extra.points["third_of_it"], extra.max_score, extra.optional) == (2, 4, frozenset({"third_of_it"}))


def test_every_cell_knows_its_line():
    unit, lines = Unit.load(TINY), (TINY / "notebook.py").read_text().split("\n")
    assert all(lines[c.line - 1].startswith("# %%") for c in unit.cells)
    assert lines[unit.cell("check", "Shift").line - 1] == '# %% check="Shift" points=2.5'


def test_code_until_holds_solved_code_and_no_checks():
    sources = Unit.load(TINY).code_until("Shift")
    assert len(sources) == 5 and "self.offset" in sources[-1] and "twice_as_large" in sources[2]
    assert not any("check(" in s or "BEGIN" in s for s in sources)


@pytest.mark.parametrize(
    "source, expected",
    [
        (
            "def f():\n    ### BEGIN SOLUTION\n    return 1\n    ### END SOLUTION",
            'def f():\n    raise NotImplementedError("write f here")',
        ),
        (
            "### BEGIN SOLUTION\na = 1\nb, c = a, 2\n### END SOLUTION",
            "a = None  # write a here\nb = None  # write b here\nc = None  # write c here",
        ),
        ("### BEGIN SOLUTION\ndef f():\n    return 1\n### END SOLUTION", "# write f here"),
        (
            "class A:\n    x = 1\n    ### BEGIN SOLUTION\n    def g(self):\n        pass\n    ### END SOLUTION",
            "class A:\n    x = 1\n    # write f here",
        ),
        (
            "def f():\n    return 1\n### BEGIN SOLUTION\nx = f()\n### END SOLUTION",
            "def f():\n    return 1\nx = None  # write x here",
        ),
    ],
)
def test_stub_never_raises_outside_a_function(source, expected):
    assert stub(source, "f") == expected


@pytest.mark.parametrize("name", ["90", "tiny", "90_tiny", " 90_tiny/ "])
def test_unit_is_found_by_number_topic_and_id(name):
    assert find_unit(name, UNITS) == TINY


@pytest.mark.parametrize("name", ["tny", "90_tinny", "91_tiny"])
def test_unknown_unit_is_told_with_the_nearest(name):
    with pytest.raises(UnknownUnit, match='did you mean "90_tiny"'):
        find_unit(name, UNITS)


def test_generated_notebook_is_plain_json_with_newline_at_end(built):
    text = built.assignment.read_text()
    assert text.endswith("}\n") and json.loads(text)["nbformat_minor"] == 5
