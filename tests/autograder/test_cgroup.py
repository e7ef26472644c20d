"""Control groups: where they are found, what is written into them, what is left when they are closed."""

import os
import subprocess
import sys

import pytest

from autograder.sandbox import cgroup
from autograder.sandbox.cgroup import CPU, MEMORY, PIDS, Group, Place
from autograder.sandbox.sandbox import Limits, Sandbox, why_not

MOUNT = "30 25 0:26 {root} {where} rw,nosuid - {system} {system} rw,{options}"


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine whose control groups are folders: machine(groups, mounts) is what `places` finds there."""
    monkeypatch.setattr(cgroup, "PROC", tmp_path)
    monkeypatch.setattr(cgroup, "_usable", lambda place: place.is_dir() and os.access(place, os.W_OK))
    cgroup.places.cache_clear()

    def find(groups, *mounts):
        (tmp_path / "cgroup").write_text("\n".join(groups))
        (tmp_path / "mountinfo").write_text("\n".join(MOUNT.format(**mount) for mount in mounts))
        return cgroup.places()

    yield find
    cgroup.places.cache_clear()


def folder(path, **files):
    path.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (path / name.replace("__", ".")).write_text(content)
    return path


def test_version_1_is_found_below_ones_own_group(machine, tmp_path):
    mine = folder(tmp_path / "memory" / "user" / "me")
    mount = {"root": "/", "where": tmp_path / "memory", "system": "cgroup", "options": "memory"}
    assert machine(["4:memory:/user/me", "0::/"], mount) == {MEMORY: Place(mine, 1)}


def test_in_a_container_the_mount_shows_ones_own_group(machine, tmp_path):
    mount = {"root": "/docker/x", "where": folder(tmp_path / "cpu"), "system": "cgroup", "options": "cpu,cpuacct"}
    assert machine(["4:cpu,cpuacct:/docker/x"], mount) == {CPU: Place(tmp_path / "cpu", 1)}


def unified(tmp_path, *inside):
    """A group of version 2 in which these processes are."""
    words = {"cgroup__controllers": "cpu memory pids", "cgroup__subtree_control": "cpu memory pids"}
    mine = folder(tmp_path / "all" / "scope", cgroup__procs="\n".join(map(str, inside)), **words)
    return mine, {"root": "/", "where": tmp_path / "all", "system": "cgroup2", "options": ""}


def test_version_2_hands_a_delegated_group_down_and_moves_into_a_leaf(machine, tmp_path):
    mine, mount = unified(tmp_path, os.getpid())
    assert machine(["0::/scope"], mount) == {kind: Place(mine, 2) for kind in (MEMORY, CPU, PIDS)}
    assert (mine / cgroup.LEAF / "cgroup.procs").read_text() == str(os.getpid())


def test_version_2_leaves_a_group_alone_in_which_others_are(machine, tmp_path):
    mine, mount = unified(tmp_path, os.getpid(), os.getppid())
    assert machine(["0::/scope"], mount) == {} and not (mine / cgroup.LEAF).exists()


def test_a_process_of_the_leaf_makes_its_groups_beside_it(machine, tmp_path):
    mine, mount = unified(tmp_path)
    folder(mine / cgroup.LEAF)
    assert machine([f"0::/scope/{cgroup.LEAF}"], mount)[MEMORY] == Place(mine, 2)


def test_where_there_are_none_nothing_fails(machine):
    assert machine(["0::/../../other"], {"root": "/", "where": "/x", "system": "cgroup2", "options": ""}) == {}
    group = Group({}, 1 << 30, 64)
    group.add(os.getpid())
    assert not group.out_of_memory() and group.folders == {}
    group.close()


@pytest.mark.parametrize(("version", "name"), [(1, "memory.limit_in_bytes"), (2, "memory.max")])
def test_limits_are_written_in_the_words_of_the_version(tmp_path, version, name):
    group = Group({MEMORY: Place(tmp_path, version), PIDS: Place(tmp_path, version)}, 1 << 30, 64)
    made = group.folders[MEMORY]
    assert (made / name).read_text() == str(1 << 30) and (made / "pids.max").read_text() == "64"


def test_groups_of_the_dead_are_removed_and_those_of_the_living_stay(machine, tmp_path):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    place = folder(tmp_path / "memory")
    dead, earlier = place / f"course-box-{ended.pid}-123-1", place / f"course-box-{os.getpid()}-1-1"
    living = place / f"course-box-{os.getpid()}-{cgroup._started(os.getpid())}-1"
    for each in (dead, earlier, living):
        each.mkdir()
    machine(["4:memory:/"], {"root": "/", "where": place, "system": "cgroup", "options": "memory"})
    assert [each.exists() for each in (dead, earlier, living)] == [False, False, True]


@pytest.fixture
def groups():
    cgroup.places.cache_clear()
    if missing := why_not():
        pytest.skip(missing)
    if MEMORY not in cgroup.places():
        pytest.skip("no control group for memory here")
    return cgroup.places()


def test_a_sandbox_is_in_its_groups_and_leaves_none_behind(groups):
    with Sandbox() as box:
        box.runner()
        made = list(box.group.folders.values())
        assert all(str(box.first.pid) in (each / "cgroup.procs").read_text().split() for each in made)
        box.start_over()
        assert not any(each.exists() for each in made) and box.group.folders
    assert not any(each.exists() for each in box.group.folders.values())


PIPES = """
import fcntl, os, time
held = []
while len(held) < 100:
    out, into = os.pipe()
    held += [out, into]
    os.set_blocking(into, False)
    try:
        while True: os.write(into, b'x' * 4096)
    except OSError: pass
held = bytearray(150 << 20)
for i in range(0, len(held), 4096): held[i] = 1
time.sleep(1)
print('won')
"""


def test_the_kernel_ends_students_processes_when_the_group_is_full_and_never_the_warden(groups, monkeypatch):
    """The watcher is blind here; the limit is low, so that the test stays small."""
    monkeypatch.setattr(Sandbox, "_too_much", lambda self: None)
    monkeypatch.setattr("autograder.sandbox.sandbox.ROOM", 0)
    with Sandbox(limits=Limits(cell=20, memory=100 << 20, tmp=8 << 20)) as box:
        limits = box.limits.of_a_process(True)
        monkeypatch.setattr(Limits, "of_a_process", lambda self, contained: limits | {"DATA": 4 << 30, "AS": 16 << 30})
        box.start_over()
        runner, results = box.run_notebook([("a", PIPES), ("b", "1 + 1")])
        assert (results[0].error_name, "kernel" in results[0].error) == ("out_of_memory", True), results
        assert results[1].output == "2\n" and not box.gone
