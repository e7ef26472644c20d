"""What `course doctor` says of the sandbox: that it works here, and on a machine that forbids it exactly why."""

from __future__ import annotations

from pathlib import Path

import pytest

from autograder import doctor
from autograder.sandbox import sandbox
from autograder.sandbox.cgroup import Place


@pytest.fixture
def settings(tmp_path, monkeypatch):
    """Write a kernel setting, as `doctor` will read it."""
    monkeypatch.setattr(doctor, "SYSCTL", tmp_path)

    def write(name: str, value: int) -> None:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"{value}\n")

    return write


def test_apparmor_restriction_is_named_with_the_profile_and_the_setting(settings):
    settings("kernel/apparmor_restrict_unprivileged_userns", 1)
    (found,) = doctor.restrictions("/usr/bin/bwrap")
    assert not found.ok and "/etc/apparmor.d/" in found.advice and "/usr/bin/bwrap flags" in found.advice
    assert "userns," in found.advice and "kernel.apparmor_restrict_unprivileged_userns=0" in found.advice


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("kernel/apparmor_restrict_unprivileged_userns", 0, 1),
        ("kernel/unprivileged_userns_clone", 1, 0),
        ("user/max_user_namespaces", 15000, 0),
    ],
)
def test_setting_is_told_only_when_it_forbids(settings, name, good, bad):
    settings(name, good)
    assert list(doctor.restrictions("bwrap")) == []
    settings(name, bad)
    assert [name.replace("/", ".") in found.says for found in doctor.restrictions("bwrap")] == [True]


def test_sandbox_that_does_not_start_is_told_in_its_own_words(settings, monkeypatch):
    settings("user/max_user_namespaces", 0)
    monkeypatch.setattr(sandbox, "why_not", lambda: "user namespaces are switched off")
    findings = {found.name: found for found in doctor.examine()}
    assert findings["bubblewrap"].ok and not findings["namespaces"].ok
    assert findings["sandbox"].says == "user namespaces are switched off" and findings["sandbox"].needed


def test_missing_bubblewrap_says_what_to_install(monkeypatch):
    def missing():
        raise sandbox.NoSandbox("bubblewrap is missing: install it")

    monkeypatch.setattr(doctor.bubblewrap, "find_bwrap", missing)
    (found,) = doctor.examine()
    assert not found.ok and "install" in found.says


def test_sandbox_works_here():
    missing = sandbox.why_not()
    if missing:
        pytest.skip(missing)
    assert all(found.ok or not found.needed for found in doctor.examine())


def told():
    return {found.name: found for found in doctor.shares()}


def test_control_groups_are_told_with_their_version(monkeypatch):
    monkeypatch.setattr(doctor.cgroup, "places", lambda: {"memory": Place(Path("/x"), 2), "cpu": Place(Path("/y"), 1)})
    assert told()["memory share"].ok and "version 2" in told()["memory share"].says
    assert told()["core share"].ok and "version 1" in told()["core share"].says


@pytest.mark.parametrize(("cores", "says"), [({0}, "there is one core"), ({2, 3, 5}, "one of 3 cores")])
def test_without_control_groups_it_is_said_what_holds_instead_and_how_to_get_them(monkeypatch, cores, says):
    monkeypatch.setattr(doctor.cgroup, "places", lambda: {})
    monkeypatch.setattr(doctor.os, "sched_getaffinity", lambda pid: cores)
    memory, processor = told()["memory share"], told()["core share"]
    assert not memory.ok and not memory.needed and "a watcher" in memory.says and "Delegate=yes" in memory.advice
    assert not processor.ok and says in processor.says and "lower priority" in processor.says


def test_a_kernel_that_does_not_count_waiting_is_told(monkeypatch):
    monkeypatch.setattr(doctor.processes, "waiting", lambda pids: None)
    assert not told()["waiting"].ok and "schedstat" in told()["waiting"].says


@pytest.mark.parametrize(("version", "ok", "says"), [(0, False, "none"), (3, True, "6.12"), (7, True, "version 7")])
def test_the_version_of_landlock_is_told(monkeypatch, version, ok, says):
    monkeypatch.setattr(doctor.walls, "landlock_version", lambda: version)
    assert told()["landlock"].ok is ok and says in told()["landlock"].says
