"""A small unit and a small class, made here with nbformat, for the tests of intake, record, export and formgrader."""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from autograder.classroom import intake
from autograder.classroom.class_folder import ClassFolder
from course.checking.verdict import ExerciseVerdict, TrialResult, Verdict

UNIT, TOPIC = "07_tiny", "tiny"
SOLVED = {
    "double_it": "def double_it(x):\n    return 2 * x",
    "add_up": "def add_up(numbers):\n    return sum(numbers)",
}


def source_notebook(exercises: tuple[str, ...] = ("double_it", "add_up"), explain: bool = True) -> NotebookNode:
    """What `course build` gives nbgrader: locked prose, exercises, checks with hidden tests, one question."""
    cells = [_locked(new_markdown_cell("# Tiny\n\nTwo functions."), "intro")]
    cells += [_locked(new_code_cell("import math"), "setup")]
    for name in exercises:
        cells += [_exercise(name), _check(name)]
    if explain:
        cells += [_question("why"), _with_id(new_markdown_cell("*Your answer here.*"), "answer-why")]
    notebook = new_notebook(cells=cells)
    notebook.metadata["kernelspec"] = {"name": "python3", "language": "python", "display_name": "Python 3"}
    return notebook


def _meta(cell: NotebookNode, grade_id: str, **flags: object) -> NotebookNode:
    about = {"grade": False, "solution": False, "locked": False, "task": False, "schema_version": 3}
    cell.metadata["nbgrader"] = about | {"grade_id": grade_id, "cell_type": cell.cell_type} | flags
    return _with_id(cell, grade_id.replace("_", "-"))


def _with_id(cell: NotebookNode, name: str) -> NotebookNode:
    cell.id = name
    return cell


def _locked(cell: NotebookNode, grade_id: str) -> NotebookNode:
    return _meta(cell, grade_id, locked=True)


def _exercise(name: str) -> NotebookNode:
    head, _, body = SOLVED[name].partition("\n") if name in SOLVED else (f"def {name}():", "", "    return 1")
    return _meta(new_code_cell(f"{head}\n    ### BEGIN SOLUTION\n{body}\n    ### END SOLUTION"), name, solution=True)


def _check(name: str) -> NotebookNode:
    body = f'check("{name}")\n### BEGIN HIDDEN TESTS\ncheck("{name}", hidden=True)\n### END HIDDEN TESTS'
    return _meta(new_code_cell(body), f"check-{name}", grade=True, locked=True, points=3)


def _question(name: str) -> NotebookNode:
    text = "Why does doubling commute with adding?\n\n=== BEGIN MARK SCHEME ===\nlinearity\n=== END MARK SCHEME ==="
    return _meta(new_markdown_cell(text), f"explain-{name}", task=True, locked=True, points=2)


def make_class(root: Path, source: NotebookNode | None = None) -> ClassFolder:
    """A class folder with the unit set up, through nbgrader's own generate_assignment."""
    built = root.parent / f"{root.name}-built"
    built.mkdir(parents=True, exist_ok=True)
    nbformat.write(source if source is not None else source_notebook(), built / f"{TOPIC}.ipynb")
    (built / "cases.npz").write_bytes(b"numbers")
    classroom = ClassFolder(root)
    classroom.set_up(UNIT, built)
    return classroom


def copy_of(classroom: ClassFolder, root: Path) -> ClassFolder:
    """The same class in a folder of its own."""
    return ClassFolder(shutil.copytree(classroom.root, root))


def released(classroom: ClassFolder) -> NotebookNode:
    return nbformat.read(classroom.release_notebook(UNIT), as_version=4)


def solved(release: NotebookNode, answer: str | None = None) -> NotebookNode:
    """The released notebook filled in, as a student leaves it."""
    notebook = copy.deepcopy(release)
    for cell in notebook.cells:
        name = cell.metadata.get("nbgrader", {}).get("grade_id", "")
        if name in SOLVED:
            cell.source = SOLVED[name]
        if cell.id == "answer-why" and answer is not None:
            cell.source = answer
    return notebook


def hand_in(classroom: ClassFolder, student: str, notebook: NotebookNode | bytes, name: str = f"{TOPIC}.ipynb") -> Path:
    folder = classroom.submitted / student / UNIT
    folder.mkdir(parents=True, exist_ok=True)
    data = notebook if isinstance(notebook, bytes) else json.dumps(notebook).encode()
    (folder / name).write_bytes(data)
    return folder


def take_in(classroom: ClassFolder, student: str, **more: bool) -> intake.Intake:
    return intake.take_in(
        classroom.submitted / student / UNIT,
        classroom.release_notebook(UNIT),
        UNIT,
        classroom.canonical_dir(student, UNIT),
        timestamps=classroom.timestamps_file,
        **more,
    )


def judge(classroom: ClassFolder, student: str, version: str = "v1", **scores: float | str) -> Verdict:
    """A verdict file as the judge would leave it. A score is points, or a state such as "held"."""
    taken = take_in(classroom, student)
    exercises = [exercise(name, scores.get(name, 3.0)) for name in SOLVED] if taken.notebook is not None else []
    verdict = Verdict(
        unit=UNIT,
        student=student,
        score=sum(e.score for e in exercises),
        max_score=6,
        manual_max=2,
        state="graded" if taken.notebook is not None else "unreadable",
        reason=taken.reason,
        exercises=exercises,
        digest=taken.digest,
        check_version=version,
        notes=taken.notes,
        cell_outputs={"double-it": "printed <script>alert(1)</script>\n"},
    )
    classroom.write_verdict(verdict)
    return verdict


def exercise(name: str, score: float | str) -> ExerciseVerdict:
    if isinstance(score, str):
        return ExerciseVerdict(name, 0.0, 3.0, score, reason="It was decided elsewhere.")
    says = "" if score == 3 else "<img src=x onerror=alert(1)> came back"
    trials = [TrialResult(f"{name} does what it says", 1.0, score == 3, says)]
    return ExerciseVerdict(name, score, 3.0, "passed" if score == 3 else "partial", trials=trials)
