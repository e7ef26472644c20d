"""Run a unit's solved notebook through papermill, within its budget, and keep what came out.

What it is: one notebook from `solutions/`, run in a folder of its own below build/solved with a progress bar; time and
peak memory measured; the executed notebook and its HTML page saved even when a cell fails, with a banner that says
which. `course solve` calls it.

What it is not: a judgement. That the solutions are right is shown by the build and by the gates in the test suite.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

import nbformat
import psutil

from autograder import ROOT
from autograder.authoring.build import tools_on_path
from autograder.authoring.unit import Unit
from course.errors import FINDINGS, OK, EnvironmentLacking, InputError
from course.files import write_whole

BUDGET_SECONDS = {"fast": 120.0, "full": 900.0}
BUDGET_BYTES = 2 * 2**30
SAMPLE_SECONDS = 0.1


@dataclass
class Solved:
    """One run. `problems` are sentences: a failed cell, a budget exceeded; empty when all is well.

    seconds     wall-clock time of the run, start of the kernel included
    peak_bytes  largest memory of the kernel's process tree, shared pages counted once
    """

    unit: str
    profile: str
    notebook: Path
    page: Path
    seconds: float = 0.0
    peak_bytes: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """0 when everything ran within budget, else 1."""
        return FINDINGS if self.problems else OK


def solve(
    unit: Unit, root: Path | str = ROOT, profile: str = "fast", seed: int = 0, device: str = "cpu", bar: bool = True
) -> Solved:
    """Run root/solutions/UNIT through papermill into root/build/solved/UNIT.

    Raises InputError (no such profile, unit not built) and EnvironmentLacking (no such device). A failing cell raises
    nothing: it is a problem of the returned run.
    """
    source = _source(unit, Path(root), profile, device)
    folder = Path(root) / "build" / "solved" / unit.id
    run = Solved(unit.id, profile, folder / source.name, folder / f"{unit.topic}.html")
    _prepare(folder, Path(root) / "assignments" / unit.id / "cases.npz", run)
    begin = monotonic()
    with PeakMemory() as memory:
        failure = _execute(source, run, {"profile": profile, "seed": seed, "device": device}, bar)
    run.seconds, run.peak_bytes = monotonic() - begin, memory.peak
    run.problems = [*failure, *_over_budget(run)]
    _render(run)
    return run


def _source(unit: Unit, root: Path, profile: str, device: str) -> Path:
    if profile not in BUDGET_SECONDS:
        raise InputError(f'profile is {" or ".join(BUDGET_SECONDS)}, not "{profile}"')
    source = root / "solutions" / unit.id / f"{unit.topic}.ipynb"
    if not source.is_file():
        raise InputError(f"{unit.id} has no solved notebook; run `course build {unit.id}` first")
    _refuse_missing_device(device)
    return source


def _refuse_missing_device(device: str) -> None:
    import torch

    if device.startswith("cuda") and not torch.cuda.is_available():
        raise EnvironmentLacking(f'device "{device}" was asked for and torch finds no CUDA here; leave --device away')


def _prepare(folder: Path, cases: Path, run: Solved) -> None:
    """The run's own folder, with the cases its checks play and without an older run's results."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in (run.notebook, run.page):
        old.unlink(missing_ok=True)
    if cases.is_file():
        shutil.copyfile(cases, folder / "cases.npz")


def _execute(source: Path, run: Solved, parameters: dict[str, Any], bar: bool) -> list[str]:
    """Run the notebook; a sentence if a cell failed. papermill saves after every cell and writes its banner."""
    import papermill
    from nbclient.exceptions import CellTimeoutError, DeadKernelError

    limit = int(4 * BUDGET_SECONDS[run.profile])
    settings = {"desc": run.unit, "disable": None if bar else True}
    try:
        with _kernel_finds_course():
            papermill.execute_notebook(
                source, run.notebook, parameters, kernel_name="python3", progress_bar=settings,
                cwd=run.notebook.parent, execution_timeout=limit, extra_arguments=["--IPKernelApp.log_level=ERROR"],
            )  # fmt: skip
    except papermill.PapermillExecutionError as error:
        return [f"cell {error.exec_count} fails: {error.ename}: {error.evalue}".replace("\n", " ")]
    except CellTimeoutError:
        return [_explain(run, source, f"a cell ran longer than {limit} s and was stopped")]
    except DeadKernelError:
        return [_explain(run, source, "the kernel died, most likely for want of memory")]
    return []


@contextlib.contextmanager
def _kernel_finds_course() -> Iterator[None]:
    """The kernel imports `course` from this tree, whether or not it is installed."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), *([before] if before else [])])
    try:
        with tools_on_path():
            yield
    finally:
        os.environ.pop("PYTHONPATH")
        if before is not None:
            os.environ["PYTHONPATH"] = before


def _explain(run: Solved, source: Path, sentence: str) -> str:
    """papermill has no banner for a kernel that is gone: put one on top of what was saved."""
    notebook = nbformat.read(run.notebook if run.notebook.is_file() else source, as_version=4)
    banner = nbformat.v4.new_markdown_cell(f'<span style="color:red">**This run did not finish: {sentence}.**</span>')
    notebook.cells.insert(0, banner)
    write_whole(run.notebook, nbformat.writes(notebook).encode())
    return sentence


def _over_budget(run: Solved) -> list[str]:
    problems, seconds = [], BUDGET_SECONDS[run.profile]
    if run.seconds > seconds:
        problems.append(f"it took {run.seconds:.0f} s; the budget of profile {run.profile} is {seconds:.0f} s")
    if run.peak_bytes > BUDGET_BYTES:
        problems.append(f"it needed {run.peak_bytes / 2**30:.2f} GiB; the budget is {BUDGET_BYTES / 2**30:.0f} GiB")
    return problems


def _render(run: Solved) -> None:
    """The executed notebook as an HTML page beside it."""
    from nbconvert import HTMLExporter

    page, _ = HTMLExporter(template_name="lab").from_filename(str(run.notebook))
    write_whole(run.page, page.encode())


class PeakMemory:
    """Samples the memory of the processes this one starts, until the block ends; `peak` is in bytes.

    every: seconds between two looks
    """

    def __init__(self, every: float = SAMPLE_SECONDS) -> None:
        self.peak, self.every = 0, every
        self._me = psutil.Process()
        self._before = {child.pid for child in self._me.children(recursive=True)}
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> PeakMemory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(self.every):
            with contextlib.suppress(psutil.Error):  # they come and go
                started = (child for child in self._me.children(recursive=True) if child.pid not in self._before)
                self.peak = max(self.peak, sum(_own_bytes(child) for child in started))


def _own_bytes(process: psutil.Process) -> int:
    """Memory of one process with shared pages divided among their users (resident size where that is not told)."""
    with contextlib.suppress(psutil.Error):
        try:
            return process.memory_full_info().pss
        except AttributeError:
            return process.memory_info().rss
    return 0
