"""What a process of a sandbox does to itself before student code runs in it or in its children.

`harden` is for zygotes and wardens, which run our own code alone; `collapse` makes their forks quick. `separate` gives
a fork of the zygote namespaces of its own, `furnish` its private disks, /proc and loopback, `shut` takes its rights
away for good. `step_back` and `landlock` are for every process that runs student code.

Linux only, and plain system calls: a failure raises OSError with the step's name. Not here: the walls around the zygote
(autograder.sandbox.bubblewrap), limits on resources (course.worker.worker), what is refused by the filter
(autograder.sandbox.syscalls).
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import resource
import socket
import struct
from collections.abc import Iterable

STEP_BACK = 5  # of nice, on top of what it has
NEW_NAMESPACES = 0x7E020000  # mount, cgroup, UTS, IPC, user, pid, net
DISKS = ("/tmp", "/dev/shm")
SMALL = {  # what the kernel may hold for the processes of these namespaces
    "net/ipv4/tcp_rmem": "4096 65536 262144",
    "net/ipv4/tcp_wmem": "4096 65536 262144",
    "user/max_inotify_instances": "64",
    "user/max_inotify_watches": "8192",
}
WRITABLE = (*DISKS, "/dev/null", "/dev/zero", "/dev/full", "/dev/tty", "/dev/ptmx", "/dev/pts")
_PRIVATE, _NOSUID, _NODEV, _NOEXEC = 0x44000, 2, 4, 8  # with every mount below
_PR_SET_DUMPABLE, _PR_SET_SECCOMP, _PR_CAPBSET_DROP, _PR_SET_CHILD_SUBREAPER, _PR_SET_NO_NEW_PRIVS = 4, 22, 24, 36, 38
_MADV_COLLAPSE = 25
_SIOCSIFFLAGS, _IFF_UP_RUNNING = 0x8914, 0x41
_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446  # the same on every processor
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_FOLDER, _REFER, _TRUNCATE = (1 << bit for bit in (0, 1, 2, 3, 13, 14))
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE
_CHANGE_FOLDER = 0x1FF0  # remove and make, of every kind of file
_SCOPE_ABSTRACT_SOCKETS, _SCOPE_SIGNALS = 1, 2

_libc = ctypes.CDLL(None, use_errno=True)


def harden() -> None:
    """No core files, no ptrace by others of the same user, no rights to gain; orphans below become ours.

    And as many open files as may be: the kernel counts a user's files in flight against it, those of others included.
    """
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    for option, value in ((_PR_SET_DUMPABLE, 0), (_PR_SET_CHILD_SUBREAPER, 1), (_PR_SET_NO_NEW_PRIVS, 1)):
        _prctl(option, value)


def collapse(start: int, size: int) -> bool:
    """Put the pages from this address on together into huge ones; whether the kernel did."""
    return _libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(size), _MADV_COLLAPSE) == 0


def separate() -> None:
    """New namespaces of every kind; the caller's next fork is the first process in them."""
    uid, gid = os.getuid(), os.getgid()
    _prctl(_PR_SET_DUMPABLE, 1)  # or our own maps would belong to root
    _done(_libc.unshare(NEW_NAMESPACES), "new namespaces")
    for name, content in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(content)
    _prctl(_PR_SET_DUMPABLE, 0)


def furnish(disk_bytes: int, disk_files: int) -> None:
    """Empty disks, terminals, a /proc and a loopback of its own, for the first process of new namespaces."""
    _mount("none", "/", "", _PRIVATE)
    room = f"size={disk_bytes},nr_inodes={disk_files},mode=0755"
    for disk in DISKS:
        _mount("tmpfs", disk, "tmpfs", _NOSUID | _NODEV, room)
    _mount("devpts", "/dev/pts", "devpts", _NOSUID | _NOEXEC, "newinstance,ptmxmode=0666,mode=0620")
    _mount("proc", "/proc", "proc", _NOSUID | _NODEV | _NOEXEC)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", _IFF_UP_RUNNING))
    with open("/proc/sys/user/max_user_namespaces", "w") as file:
        file.write("0")
    for name, value in SMALL.items():
        with contextlib.suppress(OSError), open(f"/proc/sys/{name}", "w") as file:  # not every kernel has all of them
            file.write(value)


def shut(syscall_filter: bytes) -> None:
    """No capability and no way to one, and the syscall filter (a BPF program; b"" for none)."""
    with open("/proc/sys/kernel/cap_last_cap") as file:
        for capability in range(int(file.read()) + 1):
            _prctl(_PR_CAPBSET_DROP, capability)
    version_3 = struct.pack("Ii", 0x20080522, 0)
    _done(_libc.capset(version_3, bytes(24)), "dropping capabilities")
    filter_calls(syscall_filter)


def filter_calls(program: bytes) -> None:
    """Another syscall filter (a BPF program; b"" for none), for this process and its children, for good."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    if program:
        filled = struct.pack("HxxxxxxP", len(program) // 8, _address(program))
        _prctl(_PR_SET_SECCOMP, 2, _address(filled))


def step_back() -> None:
    """Behind the judge and the warden where processors are scarce, before them where memory is. No way back: a lower
    nice needs a right, and Landlock forbids to write to /proc.
    """
    os.nice(STEP_BACK)
    _prctl(_PR_SET_DUMPABLE, 1)  # or the file would belong to root
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")
    _prctl(_PR_SET_DUMPABLE, 0)


def landlock_version() -> int:
    """The version of Landlock that the kernel has; 0 for none."""
    return max(0, _libc.syscall(_LANDLOCK_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint32(1)))


def landlock() -> None:
    """Nothing outside WRITABLE can be changed, nobody outside this process and its children signalled.

    Where the kernel has no Landlock nothing is done. Signals and abstract sockets are kept in from version 6 on.
    """
    version = landlock_version()
    if version < 1:
        return
    rights = _WRITE_FILE | _CHANGE_FOLDER | (_REFER if version >= 2 else 0) | (_TRUNCATE if version >= 3 else 0)
    _restrict(rights, rights, WRITABLE, _SCOPE_SIGNALS | _SCOPE_ABSTRACT_SOCKETS if version >= 6 else 0)


def read_only_these(paths: Iterable[str]) -> None:
    """From now on nothing but these files, and what lies in these folders, can be read, and no program started.

    For this process and its children; what is open or loaded stays so. Landlock must be there.
    """
    _restrict(_EXECUTE | _READ_FILE | _READ_FOLDER, _READ_FILE | _READ_FOLDER, paths)


def _restrict(handled: int, allowed: int, paths: Iterable[str], scopes: int = 0) -> None:
    """Of the rights to `handled`, only those to `allowed` are left, and only in `paths`."""
    attributes = struct.pack("QQQ", handled, 0, scopes)
    size = ctypes.c_size_t(24 if scopes else 8)
    rules = _done(_libc.syscall(_LANDLOCK_CREATE, attributes, size, ctypes.c_uint32(0)), "Landlock's rules")
    try:
        for path in paths:
            _allow(rules, path, allowed)
        _prctl(_PR_SET_NO_NEW_PRIVS, 1)
        _done(_libc.syscall(_LANDLOCK_RESTRICT, rules, ctypes.c_uint32(0)), "Landlock")
    finally:
        os.close(rules)


def _allow(rules: int, path: str, rights: int) -> None:
    try:
        opened = os.open(path, os.O_PATH)
    except OSError:
        return
    try:
        if not os.path.isdir(path):
            rights &= _OF_FILES
        rule = struct.pack("=Qi", rights, opened)
        _done(_libc.syscall(_LANDLOCK_ADD, rules, 1, rule, ctypes.c_uint32(0)), f"Landlock's rule for {path}")
    finally:
        os.close(opened)


def _mount(what: str, where: str, kind: str, flags: int, options: str = "") -> None:
    words = [word.encode() for word in (what, where, kind)]
    _done(_libc.mount(*words, ctypes.c_ulong(flags), options.encode()), f"mounting {where}")


def _prctl(option: int, *values: int) -> None:
    padded = [ctypes.c_ulong(value) for value in (*values, 0, 0, 0, 0)[:4]]
    _done(_libc.prctl(option, *padded), f"prctl {option}")


def _address(data: bytes) -> int:
    return ctypes.cast(ctypes.c_char_p(data), ctypes.c_void_p).value or 0


def _done(code: int, step: str) -> int:
    if code < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{step}: {os.strerror(number)}")
    return code
