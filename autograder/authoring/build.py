"""From a unit's sources to what a student receives: `assignments/` and `solutions/`.

What it is: notebook.py becomes an nbgrader source notebook with stable ids; nbgrader's own generate_assignment takes
the solutions, hidden tests and mark schemes out; the result, the recorded cases and the solved notebook are put in
place, each whole or not at all. Running it twice changes no byte.

What it is not: it judges nothing itself. Recording and comparing cases is `autograder.authoring.recording`; the search
for solution lines in what was built is `autograder.authoring.leak`.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import nbformat
import torch
from nbformat import NotebookNode
from nbgrader.preprocessors import ClearSolutions

from autograder import ROOT
from autograder.authoring import checks, recording
from autograder.authoring.checks import Check
from autograder.authoring.unit import BEGIN_SOLUTION, AuthoringError, Cell, Unit, stub
from course.checking import cases, compare
from course.checking.forbidden import FAMILIES
from course.errors import CourseError
from course.files import write_whole
from grader_kernels.judging.agree import Output

KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
ANSWER = "*Your answer:*"
SAME = 100.0  # cases are replaced when a value moved by more than this many tolerances of a well-conditioned result
NOISE = 1e-6  # what is left where terms of ordinary size cancel: another on each CPU
ROUNDING = 2.0  # what a kernel is allowed hangs on torch's own rounding error: on another CPU it moves by up to so much

CHECK_BODY = """check("{name}")
### BEGIN HIDDEN TESTS
check("{name}", hidden=True)
### END HIDDEN TESTS"""

OPTIONAL_BODY = 'check("{name}")'  # plain nbgrader gives no automatic points above a cell's own, which are 0

HINT = """<details><summary>Hint {number} of {total}</summary>

{hint}

</details>"""


@dataclass
class Built:
    """Where a unit's artefacts are, and which of them this build changed."""

    unit: str
    assignment: Path
    cases: Path
    solution: Path
    changed: list[Path] = field(default_factory=list)


def build(unit: Unit, out_root: Path | str = ROOT, recorded: cases.Cases | None = None) -> Built:
    """Build one unit below `out_root`: assignments/UNIT, solutions/UNIT, and nbgrader's own files in build/nbgrader.

    recorded: the unit's cases, where they have been recorded already.
    Nothing is written to assignments/ or solutions/ unless everything could be made. Raises `AuthoringError`.
    """
    out_root = Path(out_root)
    unit_checks = load_checks(unit)
    recorded = recorded or recording.record(unit)
    source = source_notebook(unit, unit_checks)
    released = generate_release(source, unit.id, unit.topic, out_root / "build" / "nbgrader")
    folder, solutions = out_root / "assignments" / unit.id, out_root / "solutions" / unit.id
    built = Built(unit.id, folder / f"{unit.topic}.ipynb", folder / "cases.npz", solutions / f"{unit.topic}.ipynb")
    _put(built, built.assignment, to_bytes(released))
    _put(built, built.solution, to_bytes(solved_notebook(unit, released)))
    if not same_cases(built.cases, recorded):
        _put(built, built.cases, recorded.to_bytes())
    return built


def load_checks(unit: Unit) -> dict[str, Check]:
    """The checks of the unit, in agreement with its notebook. Raises `AuthoringError` where they are not."""
    found = checks.load(unit.checks_path)
    for cell in unit.cells:
        if cell.kind == "check" and cell.name not in found:
            named = ", ".join(found) or "none"
            raise AuthoringError(
                f'check="{cell.name}" names no check of checks.py (it has: {named})', cell.file, cell.line
            )
    for name, check in found.items():
        if name not in unit.points:
            told = f'check "{name}" has no cell in the notebook; add # %% check="{name}" points=...'
            raise AuthoringError(told, unit.checks_path, check.source_line)
        _require_rules(unit, check)
    return found


def _require_rules(unit: Unit, check: Check) -> None:
    """What an exercise forbids, its docstring says in the words of the family; and how many launches a kernel has."""
    source = " ".join(unit.solution_source(check.name).split())
    rules = {FAMILIES[family].rule: f'forbids "{family}"' for family in check.forbids}
    if isinstance(check, checks.Kernel):
        rules[check.problem.settings.rule] = "counts launches"
    for rule, does in rules.items():
        if rule not in source:
            told = f"{check.name} {does}, and its docstring must say so: {rule}"
            raise AuthoringError(told, unit.checks_path, check.source_line)


# The source notebook


def source_notebook(unit: Unit, unit_checks: dict[str, Check]) -> NotebookNode:
    """The unit as an nbgrader source notebook: solutions, hidden tests and mark schemes still in it."""
    cells: list[NotebookNode] = []
    for cell, grade_id in zip(unit.cells, cell_ids(unit.cells), strict=True):
        cells += _nodes(cell, grade_id, unit_checks)
    metadata = {"kernelspec": dict(KERNEL), "language_info": {"name": "python"}, "course": {"unit": unit.id}}
    return nbformat.from_dict({"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5})


def cell_ids(cells: Sequence[Cell]) -> list[str]:
    """The id of each cell: from its key, else from its own text. So a new cell leaves the ids of all others alone.

    A count of cells would change with every cell above, and a count from the nearest key with every new key between.
    Cells with the same text can stand in for each other; they are numbered.
    """
    own = [_own_id(cell) for cell in cells]
    before = [own[:place].count(name) for place, name in enumerate(own)]
    return [f"{name}-{count + 1}" if count else name for name, count in zip(own, before, strict=True)]


def _own_id(cell: Cell) -> str:
    if cell.kind == "exercise":
        return cell.name
    return f"{cell.kind}-{cell.name or hashlib.sha256(cell.source.encode()).hexdigest()[:8]}"


def _nodes(cell: Cell, grade_id: str, unit_checks: dict[str, Check]) -> list[NotebookNode]:
    """The notebook cells one source cell becomes."""
    if cell.kind == "exercise":
        return [_node("code", grade_id, cell.source, solution=True)]
    if cell.kind == "check":
        return [*_hints(unit_checks[cell.name]), _check_node(cell, grade_id)]
    if cell.kind == "explain":
        node = _node("markdown", grade_id, cell.source, locked=True, task=True, points=cell.points)
        return [node, _answer(cell)]
    node = _node("markdown" if cell.kind == "text" else "code", grade_id, cell.source, locked=True)
    if cell.tags:
        node.metadata["tags"] = list(cell.tags)
    return [node]


def _check_node(cell: Cell, grade_id: str) -> NotebookNode:
    """A check cell. That of an optional exercise is worth 0 to nbgrader; recording reads its points beside that."""
    body = (OPTIONAL_BODY if cell.optional else CHECK_BODY).format(name=cell.name)
    node = _node("code", grade_id, body, grade=True, locked=True, points=0 if cell.optional else cell.points)
    if cell.optional:
        node.metadata["course"] = {"optional": cell.points}
    return node


def _node(cell_type: str, grade_id: str, source: str, **roles: Any) -> NotebookNode:
    """A cell whose nbgrader id is also its cell id, so that both stay the same from build to build."""
    plain = {"schema_version": 3, "grade": False, "locked": False, "solution": False, "task": False}
    node = {
        "id": grade_id,
        "cell_type": cell_type,
        "source": source,
        "metadata": {"nbgrader": {**plain, "grade_id": grade_id, **roles}},
    }
    return nbformat.from_dict(node | ({"outputs": [], "execution_count": None} if cell_type == "code" else {}))


def _hints(check: Check) -> list[NotebookNode]:
    """The hints of a check, folded, in one locked cell; no cell without hints."""
    texts = [HINT.format(number=n, total=len(check.hints), hint=hint) for n, hint in enumerate(check.hints, 1)]
    return [_node("markdown", f"hints-{check.name}", "\n\n".join(texts), locked=True)] if texts else []


def _answer(cell: Cell) -> NotebookNode:
    """The plain cell below a free-response question. nbgrader knows nothing of it; intake finds it by its metadata."""
    metadata = {"course": {"answer": cell.name}, "deletable": False}
    return nbformat.from_dict(
        {"id": f"answer-{cell.name}", "cell_type": "markdown", "source": ANSWER, "metadata": metadata}
    )


# nbgrader


class StubSolutions(ClearSolutions):
    """nbgrader's ClearSolutions with a stub that names the exercise and never breaks 'run all'."""

    def preprocess_cell(self, cell: NotebookNode, resources: dict, cell_index: int) -> tuple[NotebookNode, dict]:
        about = cell.metadata.get("nbgrader", {})
        if cell.cell_type == "code" and about.get("solution") and BEGIN_SOLUTION in cell.source:
            cell.source = stub(cell.source, about["grade_id"])
            return cell, resources
        return super().preprocess_cell(cell, resources, cell_index)


def release_config(course_folder: Path, db_url: str | None = None) -> Any:
    """nbgrader's configuration for generate_assignment in `course_folder`, whole: no file of the user is read."""
    from nbgrader.converters import GenerateAssignment
    from nbgrader.preprocessors import InstantiateTests
    from traitlets.config import Config

    config = Config()
    config.CourseDirectory.root = str(course_folder)
    config.CourseDirectory.db_url = db_url or f"sqlite:///{course_folder / 'gradebook.db'}"
    config.CourseDirectory.ignore = ["*.py", "*.pyc", "__pycache__", ".ipynb_checkpoints", ".*"]
    stock = GenerateAssignment.preprocessors.default_args[0]
    kept = [pp for pp in stock if pp is not InstantiateTests]
    config.GenerateAssignment.preprocessors = [StubSolutions if pp is ClearSolutions else pp for pp in kept]
    return config


def generate_release(
    source: NotebookNode, unit_id: str, topic: str, course_folder: Path, db_url: str | None = None
) -> NotebookNode:
    """What nbgrader's generate_assignment makes of `source`: course_folder/source/UNIT -> course_folder/release/UNIT.

    The assignment is recorded in the gradebook at `db_url` (default: course_folder/gradebook.db). A class folder uses
    this too, to get its own source, release and gradebook entries. Raises CourseError with nbgrader's last words.
    """
    from nbgrader.converters import GenerateAssignment
    from nbgrader.coursedir import CourseDirectory
    from nbgrader.utils import capture_log

    course_folder = course_folder.resolve()
    folder = course_folder / "source" / unit_id
    if folder.exists():
        shutil.rmtree(folder)
    write_whole(folder / f"{topic}.ipynb", to_bytes(source))
    config = release_config(course_folder, db_url)
    course = CourseDirectory(config=config, assignment_id=unit_id)
    with tools_on_path():
        result = capture_log(GenerateAssignment(coursedir=course, config=config, force=True))
    path = course_folder / "release" / unit_id / f"{topic}.ipynb"
    if not result["success"] or not path.is_file():
        raise CourseError(f"nbgrader could not generate {unit_id}: {_last_words(result)}")
    return nbformat.read(path, as_version=4)


@contextlib.contextmanager
def tools_on_path() -> Iterator[None]:
    """nbgrader calls `alembic` by its bare name to make a gradebook: find it beside the running Python."""
    before = os.environ.get("PATH", os.defpath)
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), before])
    try:
        yield
    finally:
        os.environ["PATH"] = before


def _last_words(result: dict[str, Any]) -> str:
    """The line of nbgrader's log that names the exception, rather than the one that says to look above."""
    lines = f"{result.get('error', '')}\n{result.get('log', '')}".splitlines()
    named = [line.strip() for line in lines if re.match(r"\s*[\w.]*(Error|Exception): ", line) and "above" not in line]
    return named[-1] if named else "it gave no reason"


def solved_notebook(unit: Unit, released: NotebookNode) -> NotebookNode:
    """The released notebook with every exercise solved: what a perfect student would hand in."""
    notebook = nbformat.from_dict(released)
    for cell in notebook.cells:
        about = cell.metadata.get("nbgrader", {})
        if about.get("solution"):
            cell.source = unit.solution_source(about["grade_id"])
    return notebook


# Writing


def to_bytes(notebook: NotebookNode) -> bytes:
    """The notebook's file: checked, keys sorted, one newline at the end."""
    nbformat.validate(notebook)
    return (nbformat.writes(notebook, version=nbformat.NO_CONVERT).rstrip("\n") + "\n").encode()


def _put(built: Built, path: Path, content: bytes) -> None:
    if write_whole(path, content):
        built.changed.append(path)


def same_cases(path: Path, recorded: cases.Cases) -> bool:
    """True when the file at `path` holds `recorded` up to rounding: another CPU's last bit is no change."""
    if not path.is_file():
        return False
    try:
        stored = cases.load(path)
    except (ValueError, KeyError, TypeError):
        return False
    with tempfile.TemporaryDirectory() as folder:
        recorded.save(Path(folder) / "cases.npz")
        fresh = cases.load(Path(folder) / "cases.npz")
    return (
        stored.unit == fresh.unit
        and list(stored.checks) == list(fresh.checks)
        and not compare.close(_comparable(stored.checks), _comparable(fresh.checks), SAME)
        and _near(_allowed(stored.checks), _allowed(fresh.checks))
    )


def _near(ours: list[float], theirs: list[float]) -> bool:
    """True when each number is the other's up to the factor `ROUNDING`."""
    return len(ours) == len(theirs) and all(
        max(a, b) <= ROUNDING * min(a, b) for a, b in zip(ours, theirs, strict=True)
    )


def _allowed(value: Any) -> list[float]:
    """The errors that kernels' outputs are allowed, in the order of their cases."""
    if isinstance(value, Output):
        return [value.allowed]
    if isinstance(value, msgspec.Struct):
        value = msgspec.structs.asdict(value)
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, (tuple, list)) else ()
    return [number for part in parts for number in _allowed(part)]


def _comparable(value: Any) -> Any:
    """Recorded values as `compare` takes them: structs as dicts, dtypes as words, tensors with their strides."""
    if isinstance(value, Output):
        value = msgspec.structs.replace(value, allowed=0.0)  # compared by `_near`
    if isinstance(value, msgspec.Struct):
        return _comparable(msgspec.structs.asdict(value))
    if isinstance(value, dict):
        return {str(key): _comparable(part) for key, part in value.items()}
    if isinstance(value, (tuple, list)):
        return [type(value).__name__, *(_comparable(part) for part in value)]
    if isinstance(value, torch.Tensor):
        quiet = value.masked_fill(value.abs() < NOISE, 0.0) if value.is_floating_point() else value
        return [str(value.stride()), quiet]
    return str(value) if isinstance(value, torch.dtype) else value
