"""What the instructor package adds to `course doctor`: can a worker be walled in here, and if not, what to do.

The sandbox is really started, mounts and all, and a cell is run in it. The kernel's settings that may forbid it are
read too, because the program that fails does not name them. Then, which walls stand between hand-ins that are judged at
the same time: what a sandbox may take of memory and processors. Nothing is changed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from autograder.sandbox import bubblewrap, cgroup, processes, sandbox
from course.command_line.doctor import Finding
from course.worker import walls

SYSCTL = Path("/proc/sys")
PROFILE = """\
Save this as /etc/apparmor.d/course-bwrap and run `sudo apparmor_parser -r /etc/apparmor.d/course-bwrap`:
    abi <abi/4.0>,
    include <tunables/global>
    profile course-bwrap {path} flags=(unconfined) {{
      userns,
    }}
or, until the next reboot and for every program: sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0"""
DELEGATE = (
    "run it as root, or in a group of its own: systemd-run --user --scope -p Delegate=yes course grade ...; "
    "in a container, one with control groups that can be written to"
)
NEW_LANDLOCK = 6  # keeps signals and abstract sockets in
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
        found.append(Finding("sandbox", True, "a cell ran in it: namespaces, mounts and limits work"))
        return [*found, _warmth(), *shares()]
    advice = "grading needs it, learning does not; inside a container, allow user namespaces when you start it"
    return [*found, *restrictions(path), Finding("sandbox", False, missing, advice)]


def _warmth() -> Finding:
    """Whether sandboxes are forked from a warm process, or each starts a Python of its own."""
    why = sandbox.Sandbox.cold_because
    if not why:
        return Finding("warm start", True, "sandboxes are forked in hundredths of a second")
    advice = "grading works and is slow: each hand-in starts a Python of its own; allow namespaces to be nested"
    return Finding("warm start", False, why, advice, needed=False)


def shares() -> Iterator[Finding]:
    """What keeps one hand-in from taking the machine from the others; where that is missing, what holds instead."""
    places = cgroup.places()
    yield _group("memory", places.get(cgroup.MEMORY), "a watcher counts 20 times a second, and not all of the kernel's")
    cores = sorted(os.sched_getaffinity(0))
    pinned = f"each judge's sandboxes have one of {len(cores)} cores" if len(cores) > 1 else "there is one core"
    yield _group("core", places.get(cgroup.CPU), f"{pinned}, at a lower priority than the judge")
    counted = processes.waiting([os.getpid()]) is not None
    guess = "the kernel has no /proc/PID/schedstat: who waits for a processor is guessed from the load"
    says = "who waits for a processor is counted, and does not pay for it" if counted else guess
    yield Finding("waiting", counted, says, "use a kernel with CONFIG_SCHED_INFO", needed=False)
    version = walls.landlock_version()
    says = f"version {version}" if version else "this kernel has none, or it is switched off"
    if 0 < version < NEW_LANDLOCK:
        says += f": signals within a hand-in are kept in from version {NEW_LANDLOCK} on (Linux 6.12)"
    if not version:
        says += ": a hand-in can copy code out of the library's files where an exercise forbids to call it"
    yield Finding("landlock", version > 0, says, "add landlock to the kernel's lsm= option", needed=False)


def _group(what: str, place: cgroup.Place | None, instead: str) -> Finding:
    if place is None:
        return Finding(f"{what} share", False, f"no control group: {instead}", DELEGATE, needed=False)
    return Finding(f"{what} share", True, f"control groups, version {place.version}: each hand-in has one")


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
