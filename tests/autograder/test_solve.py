"""`solve` on the tiny unit with real kernels: what is saved when all goes well, and when it does not."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

import nbformat
import psutil
import pytest
import torch

from autograder.authoring import solve as solving
from autograder.authoring.solve import solve
from autograder.authoring.unit import Unit
from course.errors import EnvironmentLacking, InputError

TINY = Path(__file__).resolve().parent.parent / "units" / "90_tiny"


@pytest.fixture
def root(tiny_root, tmp_path):
    return Path(shutil.copytree(tiny_root, tmp_path / "root"))


def spoil(root: Path, code: str) -> None:
    """Replace the source of the given cell of the solved notebook that prints its profile."""
    path = root / "solutions" / "90_tiny" / "tiny.ipynb"
    notebook = nbformat.read(path, as_version=4)
    next(c for c in notebook.cells if "a given cell" in c.source).source = code
    nbformat.write(notebook, path)


def texts(path: Path) -> str:
    notebook = nbformat.read(path, as_version=4)
    return "\n".join(str(output) for c in notebook.cells if c.cell_type == "code" for output in c.outputs)


def test_solution_runs_with_parameters_and_is_rendered(root):
    spoil(root, 'print(f"profile {profile} seed {seed} device {device}")')
    before = (root / "solutions" / "90_tiny" / "tiny.ipynb").read_bytes()
    run = solve(Unit.load(TINY), root, profile="full", seed=7, bar=False)
    assert (run.problems, run.exit_code) == ([], 0)
    assert "profile full seed 7 device cpu" in texts(run.notebook)
    assert "tensor([0., 2., 4.])" in texts(run.notebook)
    assert "<html" in run.page.read_text()[:200]
    assert 0 < run.seconds < 120 and 50 * 2**20 < run.peak_bytes < 2 * 2**30
    assert (root / "solutions" / "90_tiny" / "tiny.ipynb").read_bytes() == before
    assert sorted(p.name for p in (root / "assignments" / "90_tiny").iterdir()) == ["cases.npz", "tiny.ipynb"]


def test_failing_cell_is_told_and_saved_with_a_banner(root):
    spoil(root, 'raise ValueError("three is\\nnot four")')
    run = solve(Unit.load(TINY), root, bar=False)
    assert run.exit_code == 1 and "ValueError: three is not four" in run.problems[0] and len(run.problems) == 1
    saved = nbformat.read(run.notebook, as_version=4)
    assert any("An Exception was encountered" in c.source for c in saved.cells)
    assert "three is" in texts(run.notebook) and run.page.is_file()


def test_dead_kernel_is_told_and_saved_with_a_banner(root):
    spoil(root, "import os\nos._exit(9)")
    run = solve(Unit.load(TINY), root, bar=False)
    assert run.exit_code == 1 and "kernel died" in run.problems[0]
    assert "kernel died" in nbformat.read(run.notebook, as_version=4).cells[0].source and run.page.is_file()
    assert not [c for c in psutil.Process().children(recursive=True) if "ipykernel" in _command(c)]


def _command(process):
    """What it was started with; nothing for one that ended."""
    with contextlib.suppress(psutil.Error):
        return " ".join(process.cmdline())
    return ""


def test_exceeded_budgets_are_told(root, monkeypatch):
    monkeypatch.setattr(
        solving, "_execute", lambda source, run, *_: run.notebook.write_bytes(source.read_bytes()) and []
    )
    monkeypatch.setitem(solving.BUDGET_SECONDS, "fast", 0.0)
    monkeypatch.setattr(solving, "BUDGET_BYTES", -1)
    run = solve(Unit.load(TINY), root, bar=False)
    assert run.exit_code == 1 and ["the budget" in problem for problem in run.problems] == [True, True]


def test_bad_profile_is_bad_input(root):
    with pytest.raises(InputError, match='profile is fast or full, not "quick"'):
        solve(Unit.load(TINY), root, profile="quick")


def test_unit_that_is_not_built_is_bad_input(tmp_path):
    with pytest.raises(InputError, match="run `course build 90_tiny` first"):
        solve(Unit.load(TINY), tmp_path)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_missing_device_is_the_environments_fault(root):
    with pytest.raises(EnvironmentLacking, match="no CUDA"):
        solve(Unit.load(TINY), root, device="cuda")


def test_peak_memory_counts_children_only():
    import subprocess
    import sys

    with solving.PeakMemory() as memory:
        code = "x = bytearray(200 * 2**20); import time; time.sleep(0.6)"
        subprocess.run([sys.executable, "-c", code], check=True)
    assert 200 * 2**20 < memory.peak < 300 * 2**20
