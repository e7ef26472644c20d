"""The rooms of the house, and which way its imports run: down, never up, never in a circle.

The order of the rooms is what CONTRIBUTING says; the arrows are read from the imports of every file, those inside
functions among them. Not here: what the rooms do.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS = (  # from the top to the bottom
    "training",
    "autograder",
    "autograder.proof",
    "autograder.classroom",
    "autograder.judging",
    "autograder.authoring",
    "autograder.sandbox",
    "course.command_line",
    "course.widgets",
    "course",
    "course.worker",
    "course.checking",
    "grader_kernels.judging",
    "grader_kernels.compiling",
    "grader_kernels.replaying",
    "grader_kernels.language",
    "grader_kernels.interpreter",
    "grader_kernels",
)
PACKAGES = ("autograder", "course", "grader_kernels", "training")
EVERYWHERE = ("autograder", "course", "course.errors", "course.files")  # a name, or a few lines that import nothing
MOST = 15  # files of code in a folder
DATA = ("units", "problems")  # lessons and problems: what the machinery reads


def files() -> dict[str, Path]:
    """Every module of the packages, by its dotted name."""
    found = {}
    for path in (p for package in PACKAGES for p in (ROOT / package).rglob("*.py")):
        inside = path.relative_to(ROOT).with_suffix("")
        if not set(DATA) & set(inside.parts):
            found[".".join(inside.parts).removesuffix(".__init__")] = path
    return found


def imported(source: str, modules) -> Iterator[str]:
    """The modules among `modules` that a source imports, anywhere in it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            named = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            within = [f"{node.module}.{alias.name}" for alias in node.names]
            named = [name if name in modules else node.module for name in within]
        else:
            continue
        yield from (name for name in named if name in modules)


def arrows() -> set[tuple[str, str]]:
    """(importer, imported), without what everyone may import."""
    modules = files()
    found = {(name, other) for name, path in modules.items() for other in imported(path.read_text(), modules)}
    return {(a, b) for a, b in found if a != b and b not in EVERYWHERE}


def room(module: str) -> str:
    """The room a module stands in; a room's own __init__ belongs to it."""
    return module if module in ROOMS else module.rpartition(".")[0]


def upward(found: set[tuple[str, str]]) -> list[tuple[str, str]]:
    """The arrows that run to a higher room."""
    return sorted((a, b) for a, b in found if ROOMS.index(room(b)) < ROOMS.index(room(a)))


def circle(found: set[tuple[str, str]]) -> list[str]:
    """Modules that import each other, directly or through others: what is left when both ends are taken away."""
    left = set(found)
    while True:
        importers, others = {a for a, _ in left}, {b for _, b in left}
        kept = {(a, b) for a, b in left if b in importers and a in others}
        if kept == left:
            return sorted(importers)
        left = kept


def crowded(folders) -> list[str]:
    """Folders with more than MOST files of code, of (path, names) pairs."""
    return [str(folder) for folder, names in folders if sum(name != "__init__.py" for name in names) > MOST]


def test_every_module_stands_in_a_known_room():
    assert {room(module) for module in files()} == set(ROOMS)


def test_no_import_runs_up():
    assert upward(arrows()) == []


def test_no_modules_import_each_other():
    assert circle(arrows()) == []


def test_no_folder_is_crowded():
    folders = {path.parent for path in files().values()}
    assert crowded((folder, [p.name for p in folder.glob("*.py")]) for folder in folders) == []


def test_the_kernel_judge_knows_nobody_above_it_and_the_course_not_the_autograder():
    packages = {(a.partition(".")[0], b.partition(".")[0]) for a, b in arrows()}
    assert {b for a, b in packages if a == "grader_kernels"} <= {"grader_kernels"}
    assert ("course", "autograder") not in packages
    assert {b for a, b in packages if a == "training"} <= {"training", "course"}


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import course.plots", ["course.plots"]),
        ("from course import plots, data", ["course.plots", "course.data"]),
        ("from course.plots import show", ["course.plots"]),
        ("def f():\n    from course import plots\n", ["course.plots"]),
        ("import torch\nfrom . import plots\n", []),
    ],
)
def test_imports_are_read_wherever_they_stand(source, found):
    assert list(imported(source, {"course", "course.plots", "course.data"})) == found


def test_what_must_fail_does():
    assert upward({("course.plots", "autograder.proof.gates"), ("autograder.proof.gates", "course.plots")})
    assert circle({("a", "b"), ("b", "c"), ("c", "a"), ("c", "d")}) == ["a", "b", "c"] and not circle({("a", "b")})
    assert crowded([("here", [f"{n}.py" for n in range(16)])]) == ["here"]
