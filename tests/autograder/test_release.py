"""The student mirror, made from a small clone: what is in it, what is not, what happens to an existing folder."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from autograder.authoring.build import ROOT
from autograder.authoring.release import release
from course.errors import CourseError, InputError

TINY = ROOT / "tests" / "units" / "90_tiny"


@pytest.fixture(scope="module")
def made(tiny_root, tmp_path_factory):
    """A clone with the real learner library, one tiny unit, built, and the instructor's folders."""
    root = tmp_path_factory.mktemp("clone")
    leave_out = shutil.ignore_patterns("units", "__pycache__")
    shutil.copytree(ROOT / "course", root / "course", ignore=leave_out)
    shutil.copytree(ROOT / "grader_kernels", root / "grader_kernels", ignore=leave_out)
    shutil.copytree(ROOT / "packaging", root / "packaging")
    (root / "LICENSE").write_text("MIT")
    shutil.copytree(TINY, root / "course" / "units" / "90_tiny")
    for folder in ("assignments", "solutions"):
        shutil.copytree(tiny_root / folder, root / folder)
    return root


@pytest.fixture
def clone(made, tmp_path):
    return Path(shutil.copytree(made, tmp_path / "clone"))


def files(folder: Path) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


def test_mirror_holds_what_students_need_and_nothing_else(clone, tmp_path):
    written = release(tmp_path / "mirror", clone)
    found = files(tmp_path / "mirror")
    assert found == {p.as_posix() for p in written} | {"course-release.json"}
    wanted = {"README.md", "LICENSE", "pyproject.toml", "course/__init__.py", "course/command_line/cli.py"}
    assert wanted | {"assignments/90_tiny/tiny.ipynb", "assignments/90_tiny/cases.npz"} <= found
    assert "grader_kernels/interpreter/context.py" in found
    assert {f.split("/")[0] for f in found if "/" in f} == {"assignments", "course", "grader_kernels"}
    assert not any(f.startswith("course/units") for f in found)
    assert "1 graded notebook" in (tmp_path / "mirror" / "README.md").read_text()


@pytest.mark.skipif(
    importlib.util.find_spec("hatchling") is None, reason="the build backend hatchling is not installed"
)
def test_mirror_makes_a_wheel_of_the_learner_library(clone, tmp_path):
    mirror = tmp_path / "mirror"
    release(mirror, clone)
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel"], cwd=mirror, check=True, capture_output=True
    )
    names = {n for n in zipfile.ZipFile(next((mirror / "dist").glob("*.whl"))).namelist() if ".dist-info" not in n}
    assert names == {n for n in files(mirror) if n.startswith(("course/", "grader_kernels/"))}


def test_second_release_replaces_the_first_and_keeps_the_rest(clone, tmp_path):
    mirror = tmp_path / "mirror"
    (mirror / ".git").mkdir(parents=True)
    (mirror / ".git" / "HEAD").write_text("ref")
    (clone / "course" / "gone.py").write_text("")
    release(mirror, clone)
    (clone / "course" / "gone.py").unlink()
    (mirror / "NOTES.md").write_text("the instructor's own")
    assert (mirror / "course" / "gone.py").exists()
    release(mirror, clone)
    assert not (mirror / "course" / "gone.py").exists()
    assert (mirror / "NOTES.md").exists() and (mirror / ".git" / "HEAD").exists()


def test_folder_with_other_files_is_refused(clone, tmp_path):
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(InputError, match="no earlier release"):
        release(tmp_path, clone)
    assert not (tmp_path / "README.md").exists()


def test_manifest_cannot_reach_outside(clone, tmp_path):
    mirror = tmp_path / "mirror"
    release(mirror, clone)
    (tmp_path / "precious").write_text("")
    (mirror / "course-release.json").write_text('{"files": ["../precious", "/etc/hostname", "README.md"]}')
    release(mirror, clone)
    assert (tmp_path / "precious").exists()


def test_unit_that_is_not_built_is_refused(clone, tmp_path):
    (clone / "assignments" / "90_tiny" / "cases.npz").unlink()
    with pytest.raises(InputError, match="run `course build 90_tiny` first"):
        release(tmp_path / "mirror", clone)
    assert not (tmp_path / "mirror").exists()


def test_leak_is_refused(clone, tmp_path):
    shutil.copy(clone / "solutions" / "90_tiny" / "tiny.ipynb", clone / "assignments" / "90_tiny" / "tiny.ipynb")
    with pytest.raises(CourseError, match="must not ship"):
        release(tmp_path / "mirror", clone)
    assert not (tmp_path / "mirror").exists()
