"""The student mirror: a repository of its own that holds what students need and nothing else.

What it is: `release(folder)` writes the built notebooks with their cases, the learner library as an installable tree,
and a README. A second release into the same folder replaces what the first wrote and leaves the rest (`.git`) alone.

What it is not: a build. It copies what `course build` made and refuses when a secret line is found in it.
"""

from __future__ import annotations

import json
from pathlib import Path

from autograder import ROOT
from autograder.authoring import leak
from autograder.authoring.unit import Unit, unit_folders
from course.errors import CourseError, InputError
from course.files import write_whole

MANIFEST = "course-release.json"
LICENSES = ("LICENSE", "LICENSE-lessons")

README = """# Course notebooks

{count} on transformers, with the library they import. Linux, macOS or Windows, Python 3.11 to 3.13.

    python3 -m venv .venv
    .venv/bin/pip install .
    .venv/bin/course lab

`course lab` opens JupyterLab on a working copy in `work/`, which an update of this folder never overwrites. Write code
under the prompts, run the check below each one, hand in the notebook from `work/`.

    course list              units, exercises and points
    course check UNIT        all checks of a notebook as a table
    course hint EXERCISE     the next hint
    course doctor            what works on this machine

{units}
"""

WHEEL = """[tool.hatch.build.targets.wheel]
packages = ["course", "grader_kernels"]
"""


def release(folder: Path | str, root: Path | str = ROOT) -> list[Path]:
    """Write the student mirror of the clone at `root` into `folder`; returns the paths written, relative to it.

    Raises InputError when `folder` holds files that are no earlier release, or a unit is not built, and CourseError
    when a line that must not ship is found in what would ship.
    """
    folder, root = Path(folder), Path(root)
    earlier = _earlier(folder)
    units = [Unit.load(path) for path in unit_folders(root / "course" / "units")]
    contents = {**_assignments(units, root), **_library(root)}
    contents[Path("pyproject.toml")] = _pyproject(root)
    contents[Path("README.md")] = _readme(units)
    for path in sorted(contents):
        write_whole(folder / path, contents[path])
    _remove_stale(folder, earlier - set(contents))
    names = sorted(path.as_posix() for path in contents)
    write_whole(folder / MANIFEST, (json.dumps({"files": names}, indent=1) + "\n").encode())
    return sorted(contents)


def _earlier(folder: Path) -> set[Path]:
    """What an earlier release wrote here. Only an empty folder or an earlier release may be written to."""
    if not folder.exists() or {path.name for path in folder.iterdir()} <= {".git"}:
        return set()
    try:
        names = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"]
    except (OSError, ValueError, KeyError):
        raise InputError(f"{folder} holds files that are no earlier release; give an empty or a new folder") from None
    return {Path(name) for name in names if ".." not in Path(name).parts and not Path(name).is_absolute()}


def _assignments(units: list[Unit], root: Path) -> dict[Path, bytes]:
    contents = {}
    for unit in units:
        folder = root / "assignments" / unit.id
        leaked = leak.leaks(unit, folder)
        if leaked:
            raise CourseError(leaked[0])
        for name in (f"{unit.topic}.ipynb", "cases.npz"):
            if not (folder / name).is_file():
                raise InputError(f"assignments/{unit.id}/{name} is missing; run `course build {unit.id}` first")
            contents[Path("assignments", unit.id, name)] = (folder / name).read_bytes()
    return contents


def _library(root: Path) -> dict[Path, bytes]:
    """The learner library, from the one list there is of it, and the licences."""
    from autograder.sandbox import learner_library

    contents = {Path(inside): Path(here).read_bytes() for here, inside in learner_library.paths(root)}
    licences = {Path(name): root / name for name in LICENSES}
    return contents | {name: path.read_bytes() for name, path in licences.items() if path.is_file()}


def _pyproject(root: Path) -> bytes:
    """The learner library's pyproject, with the wheel made from the folders of the mirror instead of a clone's list."""
    text = (root / "packaging" / "learner" / "pyproject.toml").read_text(encoding="utf-8")
    head = text.partition("[tool.hatch")[0]
    lines = [line for line in head.splitlines() if not line.startswith("#")]
    return ("\n".join(lines).strip() + "\n\n" + WHEEL).encode()


def _readme(units: list[Unit]) -> bytes:
    rows = [f"- `{unit.id}`: {_counted(unit)}" for unit in units]
    count = f"{len(units)} graded notebook{'s' * (len(units) != 1)}"
    return README.format(count=count, units="\n".join(rows)).encode()


def _counted(unit: Unit) -> str:
    optional = f", {len(unit.optional)} of them optional" if unit.optional else ""
    return f"{len(unit.exercises)} exercises{optional}, {unit.max_score:g} points"


def _remove_stale(folder: Path, paths: set[Path]) -> None:
    for path in paths:
        (folder / path).unlink(missing_ok=True)
    parents = {parent for path in paths for parent in path.parents if parent.parts}
    for parent in sorted(parents, reverse=True):
        if (folder / parent).is_dir() and not any((folder / parent).iterdir()):
            (folder / parent).rmdir()
