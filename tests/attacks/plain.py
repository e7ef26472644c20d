"""Plain nbgrader on one hostile hand-in at a time, each in a container of its own that is killed afterwards.

Plain nbgrader runs a hand-in with the caller's rights, and the attacks are real. So it runs behind bubblewrap: no
network, a read-only root, private memory disks, its own /proc, an ordinary user, limits, a deadline. The only files it
can change are those of a class folder that is thrown away. In that folder a bystander has been graded before: a
student whom the attack must not touch.

Not here: a sandbox for grading (autograder.sandbox.sandbox). Here the grader itself is inside, with all it knows.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
import time
import tomllib
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from attack_class import ROOT, Attack, hand_in, unit_of

from autograder.classroom import grade as grading
from autograder.classroom.class_folder import ClassFolder
from autograder.sandbox import bubblewrap
from autograder.sandbox.processes import family, memory_of

BYSTANDER = "bystander"
CLASS, REPOSITORY, NAMES = "/class", "/repository", "/names"
DEADLINE = 60.0  # seconds for one container, from its start to its end; more where an honest hand-in takes long
SLOW = 300.0  # seconds that an honest one may take
LINGER = 3  # seconds that what a hand-in left behind still has when nbgrader is done
MEMORY, DISK, PROCESSES = 4 << 30, 256 << 20, 200  # bytes of all processes, bytes of one file or disk, processes
FREE = 2 << 30  # bytes that stay free on the disk of the class folder
SCORES = """
import json, sqlite3
base = sqlite3.connect("file:/class/gradebook.db?mode=ro", uri=True)
found = base.execute(
    "SELECT student_id, SUM(COALESCE(manual_score, auto_score, 0)), COUNT(auto_score) FROM submitted_assignment AS s "
    "JOIN submitted_notebook AS n ON n.assignment_id = s.id JOIN grade AS g ON g.notebook_id = n.id GROUP BY 1")
print(json.dumps({str(name): [float(score), count] for name, score, count in found}))
"""


@dataclass
class Plain:
    """What plain nbgrader made of a hand-in. score: None when it gave none; says: what went wrong, "" for nothing."""

    score: float | None
    says: str = ""


class PlainClass:
    """A class of one unit, set up for plain nbgrader, with the bystander graded. Copied for every attack."""

    def __init__(self, root: Path, unit: str) -> None:
        self.unit, self.template, self.room = unit, root / "template", root / "class"
        folder = ClassFolder(self.template)
        grading.set_up(folder, unit)
        folder.config_file.write_text(f"c = get_config()\nc.CourseDirectory.root = {CLASS!r}\n")
        _put(self.template, Attack(BYSTANDER, 0, "honest", solved=tuple(unit_of(unit).points)[:1]), unit)
        shutil.copytree(self.template, self.room)
        began = time.monotonic()
        said = _nbgrader(self.room, unit, BYSTANDER, SLOW)
        self.deadline = max(DEADLINE, 2.5 * (time.monotonic() - began))
        self.before = _scores(self.room)
        if said or not self.before.get(BYSTANDER, [0])[0]:
            raise RuntimeError(f"plain nbgrader can't grade an honest hand-in here: {said or self.before}")
        shutil.rmtree(self.template)
        self.room.rename(self.template)

    def grade(self, attack: Attack) -> Plain:
        """Grade one attack in a copy of the class, which is gone afterwards."""
        shutil.copytree(self.template, self.room)
        try:
            _put(self.room, attack, self.unit)
            before = _files(self.room)
            says = _nbgrader(self.room, self.unit, attack.name, self.deadline)
            return self._found(attack, says, before)
        finally:
            shutil.rmtree(self.room, ignore_errors=True)

    def _found(self, attack: Attack, says: str, before: dict[str, str]) -> Plain:
        scores = _scores(self.room)
        harm = _harm(self.before, scores, before, _files(self.room))
        score, marked = scores.get(attack.name, [0.0, 0])
        given = marked and not (says and not score)
        return Plain(score, harm or says) if given else Plain(None, harm or says or "no score")


def _put(room: Path, attack: Attack, unit: str) -> None:
    """The hand-in as a collector leaves it, with the unit's data beside it."""
    place = room / "submitted" / attack.name / unit
    place.mkdir(parents=True)
    (place / f"{unit_of(unit).topic}.ipynb").write_bytes(hand_in(attack, unit, CLASS))
    shutil.copy(ROOT / "assignments" / unit / "cases.npz", place)
    for name, content in attack.files.items():
        (place / name).write_bytes(content)


def _nbgrader(room: Path, unit: str, student: str, seconds: float) -> str:
    """`nbgrader autograde` in a container; "" or what went wrong."""
    command = f"cd {CLASS} && /env/bin/python -m nbgrader autograde {unit} --student={student}; code=$?; "
    code, said, stopped = _run(room, ["/bin/sh", "-c", f"{command} sleep {LINGER}; exit $code"], seconds)
    if stopped:
        return stopped
    errors = [line for line in said.splitlines() if "Error" in line and "Traceback" not in line]
    return f"crashed: {(errors or said.splitlines() or ['no word'])[-1].strip()[-90:]}" if code else ""


def _scores(room: Path) -> dict[str, list]:
    """student -> (score, how many grades), read in a container too: by now the gradebook is the attacker's."""
    code, said, _ = _run(room, ["/env/bin/python", "-I", "-S", "-c", SCORES], writable=False)
    try:
        return json.loads(said.splitlines()[-1]) if not code else {}
    except (ValueError, IndexError):
        return {}


def _harm(before: dict, after: dict, files: dict[str, str], files_after: dict[str, str]) -> str:
    """What happened to others, "" for nothing."""
    if before[BYSTANDER] != after.get(BYSTANDER):
        now = after.get(BYSTANDER, ["none"])[0]
        return f"harmed others: the bystander's score {before[BYSTANDER][0]:g} became {now}"
    changed = [name for name in files if files_after.get(name) != files[name]]
    planted = [name for name in files_after if Path(name).name.startswith("attack-")]
    if changed or planted:
        return f"harmed others: {' and '.join([*changed, *planted][:2])} changed"
    return ""


def _files(room: Path) -> dict[str, str]:
    """Hand-ins, sources, release, the bystander's pages, the configuration: what nbgrader itself doesn't change."""
    roots = ["submitted", "source", "release", f"autograded/{BYSTANDER}", "nbgrader_config.py"]
    found = [p for root in roots for p in ((room / root).rglob("*") if (room / root).is_dir() else [room / root])]
    found += [p for p in room.rglob("attack-*")]
    return {str(p.relative_to(room)): hashlib.sha256(p.read_bytes()).hexdigest() for p in found if _plain_file(p)}


def _plain_file(path: Path) -> bool:
    return path.is_file() and not path.is_symlink() and path.stat().st_size < DISK


# --- the container ------------------------------------------------------------------------------------------------


def _run(room: Path, program: list[str], seconds: float = DEADLINE, writable: bool = True) -> tuple[int, str, str]:
    """(exit code, the end of what it said, why it was stopped or "")."""
    command = _container(room, program, writable)
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            command.argv, env=command.env, stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT,
            pass_fds=command.descriptors(), start_new_session=True,
        )  # fmt: skip
        command.close()
        stopped = _watch(process, room, seconds)
        said.seek(max(0, said.seek(0, os.SEEK_END) - 100_000))
        return process.wait(), said.read().decode("utf-8", "replace"), stopped


def _watch(process: subprocess.Popen, room: Path, seconds: float) -> str:
    """Wait for its end; kill it when it takes too long or too much."""
    give_up = time.monotonic() + seconds
    stopped = ""
    while not stopped:
        try:
            process.wait(0.2)
            return ""
        except subprocess.TimeoutExpired:
            stopped = _too_much(process.pid, room, time.monotonic() > give_up)
    process.kill()  # its first process dies with it, and with that everything inside
    process.wait()
    return stopped


def _too_much(pid: int, room: Path, late: bool) -> str:
    if late:
        return "timed out"
    if memory_of(family(pid))[0] > MEMORY:
        return f"stopped: more than {MEMORY >> 30} GiB of memory"
    return "stopped: it filled the disk" if shutil.disk_usage(room).free < FREE else ""


def _container(room: Path, program: list[str], writable: bool) -> bubblewrap.Command:
    """The command line. Root lays the files out, becomes nobody, and only then the walls go up."""
    command = bubblewrap.Command([], {})
    bwrap = bubblewrap.find_bwrap()
    layout = [*bubblewrap._layout(command), *_repository(command), "--bind" if writable else "--ro-bind", str(room)]
    limits = [f"--nproc={PROCESSES}", f"--data={MEMORY}", f"--fsize={DISK}", f"--cpu={int(SLOW)}", "--core=0"]
    inside = ["/usr/bin/prlimit", *limits, *program]
    if os.geteuid() != 0:
        command.argv = [bwrap, *layout, CLASS, *_walls(), "--", *inside]
        return command
    _give_away(room)
    outer = [bwrap, *layout, CLASS, *bubblewrap._dirs("/bwrap", "/bwrap/bin"), "--ro-bind", bwrap, "/bwrap/bin/bwrap"]
    outer += [*bubblewrap._bwrap_libraries(bwrap), "--dev-bind", "/dev", "/dev", "--bind", "/proc", "/proc"]
    outer += ["--die-with-parent", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID", "--clearenv"]
    drop = f"import os, sys; os.setgroups([]); os.setresgid(*[{bubblewrap.NOBODY}] * 3); "
    drop += f"os.setresuid(*[{bubblewrap.NOBODY}] * 3); os.execv(sys.argv[1], sys.argv[1:])"
    become = [bubblewrap._python_inside(), "-I", "-S", "-c", drop]
    bind = ["--bind" if writable else "--ro-bind", CLASS, CLASS]
    command.argv = [*outer, "--", *become, "/bwrap/bin/bwrap", "--ro-bind", "/", "/", *bind, *_walls(), "--", *inside]
    return command


def _walls() -> list[str]:
    disk = ["--size", str(DISK), "--tmpfs"]
    walls = ["--unshare-all", "--hostname", "plain", "--die-with-parent", "--new-session", "--dev", "/dev"]
    walls += ["--proc", "/proc", *disk, "/dev/shm", *disk, "/tmp", "--remount-ro", "/dev", "--remount-ro", "/"]
    known = bubblewrap.environment() | bubblewrap.own_libpython()
    known |= {"COURSE_TRUSTED": "1", "PYTHONPATH": f"{REPOSITORY}:{NAMES}"}
    return [*walls, "--clearenv", *bubblewrap._pairs("--setenv", known), "--chdir", CLASS]


def _repository(command: bubblewrap.Command) -> list[str]:
    """This clone, read only, and the names under which the instructor package is found."""
    name = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["name"]
    entries = metadata.distribution(name).read_text("entry_points.txt") or ""
    about = f"{NAMES}/{name.replace('-', '_')}-0.dist-info"
    listed = bubblewrap._dirs(NAMES, about, REPOSITORY, CLASS)
    listed += bubblewrap._file(command, f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {name}\n".encode())
    listed += bubblewrap._file(command, f"{about}/entry_points.txt", entries.encode())
    return [*listed, "--ro-bind", str(ROOT), REPOSITORY]


def _give_away(room: Path) -> None:
    """To the user inside. Links are not followed."""
    for path in (room, *room.rglob("*")):
        os.chown(path, bubblewrap.NOBODY, bubblewrap.NOBODY, follow_symlinks=False)
