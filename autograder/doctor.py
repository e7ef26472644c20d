"""What the instructor package adds to `course doctor`: can a worker be walled in here, and if not, what to do.

The sandbox is really started, mounts and all, and a cell is run in it. The kernel's settings that may forbid it are
read too, because the program that fails does not name them. Nothing is changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from autograder.sandbox import bubblewrap, sandbox
from course.command_line.doctor import Finding

SYSCTL = Path("/proc/sys")
PROFILE = """\
Save this as /etc/apparmor.d/course-bwrap and run `sudo apparmor_parser -r /etc/apparmor.d/course-bwrap`:
    abi <abi/4.0>,
    include <tunables/global>
    profile course-bwrap {path} flags=(unconfined) {{
      userns,
    }}
or, until the next reboot and for every program: sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0"""
SETTINGS: tuple[tuple[str, Callable[[int], bool], str], ...] = (
    ("kernel/apparmor_restrict_unprivileged_userns", lambda value: value == 0, PROFILE),
    ("kernel/unprivileged_userns_clone", lambda value: value == 1, "sudo sysctl kernel.unprivileged_userns_clone=1"),
    ("user/max_user_namespaces", lambda value: value > 0, "sudo sysctl user.max_user_namespaces=10000"),
)


def examine() -> list[Finding]:
    """bubblewrap, the whole sandbox, and when that fails the settings that may be why."""
    try:
        path = bubblewrap.find_bwrap()
    except sandbox.NoSandbox as error:
        return [Finding("bubblewrap", False, str(error), "grading needs it, learning does not")]
    missing = sandbox.why_not()
    found = [Finding("bubblewrap", True, path)]
    if missing is None:
        return [*found, Finding("sandbox", True, "a cell ran in it: namespaces, mounts and limits work"), _warmth()]
    advice = "grading needs it, learning does not; inside a container, allow user namespaces when you start it"
    return [*found, *restrictions(path), Finding("sandbox", False, missing, advice)]


def _warmth() -> Finding:
    """Whether sandboxes are forked from a warm process, or each starts a Python of its own."""
    why = sandbox.Sandbox.cold_because
    if not why:
        return Finding("warm start", True, "sandboxes are forked in hundredths of a second")
    advice = "grading works and is slow: each hand-in starts a Python of its own; allow namespaces to be nested"
    return Finding("warm start", False, why, advice, needed=False)


def restrictions(bwrap: str) -> Iterator[Finding]:
    """The kernel's settings that restrict user namespaces, each with the exact way out; nothing where none does."""
    for name, fits, advice in SETTINGS:
        value = _setting(name)
        if value is not None and not fits(value):
            says = f"{name.replace('/', '.')} is {value}: user namespaces are restricted"
            yield Finding("namespaces", False, says, advice.format(path=bwrap) if advice is PROFILE else advice)


def _setting(name: str) -> int | None:
    try:
        return int((SYSCTL / name).read_text())
    except (OSError, ValueError):
        return None
