"""The trivial class as an otter-grader assignment, for the bench: its three checks written a second time, as doctests.

otter-grader is not among our dependencies. It is run from a virtual environment of its own, which needs torch too:

    python3 -m venv ENV && ENV/bin/pip install otter-grader torch && python -m autograder.proof.bench --otter ENV

Each hand-in is one `otter run`: a new process, one kernel, results.json. `otter grade`, which starts a container for
every hand-in, takes longer still and is not measured.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_notebook

from autograder.authoring.unit import Unit

DOCTESTS = {  # exercise of tests/units/90_tiny -> (lines before, what must be True) of each test case
    "double_it": [
        ("x = torch.randn(7) + 1", "torch.allclose(double_it(x), (2 * x.double()).float())"),
        ("x = -1 - torch.rand(5)", "torch.allclose(double_it(x), (2 * x.double()).float())"),
        ("xs = [torch.randn(n) for n in (1, 2, 33)]", "all(torch.allclose(double_it(x), 2 * x) for x in xs)"),
    ],
    "Shift": [
        (
            "x, b, layer = torch.randn(7), torch.randn(1), Shift(); _ = layer.load_state_dict({'offset': b})",
            "torch.allclose(layer(x), 2 * x + b)",
        ),
    ],
    "largest_double": [("value = float(largest_double)", "7.99 < value < 8.01")],
}


def make_assignment(environment: Path, unit: Unit, place: Path) -> Path:
    """Write the tests into `place`; the path of the autograder.zip that otter made of them."""
    for name, points in unit.points.items():
        cases = [
            {"code": f">>> {before}\n>>> bool({holds})\nTrue", "hidden": True, "locked": False}
            for before, holds in DOCTESTS[name]
        ]
        suite = {"cases": cases, "scored": True, "setup": "", "teardown": "", "type": "doctest"}
        path = place / "tests" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"OK_FORMAT = True\ntest = {dict(name=name, points=points, suites=[suite])!r}\n")
    made = place / "autograder.zip"
    otter = [str(environment / "bin" / "otter"), "generate", "-t", "tests", "-o", made.name, "--no-requirements"]
    subprocess.run([*otter, "--no-environment", "--no-config"], cwd=place, check=True, capture_output=True)
    return made


def as_otters(hand_in: Path, unit: Unit, place: Path) -> Path:
    """The same answers as an otter notebook: its three cells, each with a check below it."""
    answers = {c.metadata.get("nbgrader", {}).get("grade_id"): c.source for c in nbformat.read(hand_in, 4).cells}
    cells = [new_code_cell("import otter\nimport torch\n\ngrader = otter.Notebook()")]
    for name in unit.exercises:
        cells += [new_code_cell(answers[name]), new_code_cell(f'grader.check("{name}")')]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    place.mkdir(parents=True)
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": kernel}), place / hand_in.name)
    return place / hand_in.name


def command(environment: Path, assignment: Path, notebook: Path) -> list[str]:
    """Grade one notebook; results.json lies beside it then."""
    otter = [str(environment / "bin" / "otter"), "run", "--no-logo", "-a", str(assignment), "-o", str(notebook.parent)]
    return [*otter, str(notebook)]


def score(notebook: Path) -> float:
    """What results.json says."""
    tests = json.loads((notebook.parent / "results.json").read_text())["tests"]
    return sum(test.get("score", 0.0) for test in tests)
