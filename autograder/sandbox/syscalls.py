"""The syscall filter of a worker: a short list of calls that no notebook needs and that attack a kernel.

A seccomp program in classic BPF, built by hand for the two processors the course runs on; elsewhere there is none.
Refused calls return an error, they don't kill; to ask for larger socket buffers does nothing, and succeeds. Source of
the numbers: the kernel's own syscall tables.
"""

from __future__ import annotations

import errno
import platform
import struct

# name: (x86_64, aarch64); None where the processor doesn't have it
REFUSED: dict[str, tuple[int | None, int | None]] = {
    "acct": (163, 89),
    "add_key": (248, 217),
    "adjtimex": (159, 171),
    "bpf": (321, 280),
    "cachestat": (451, 451),  # it tells which pages of a file are in memory: so do mincore, preadv2
    "chroot": (161, 51),
    "clock_adjtime": (305, 266),
    "clock_settime": (227, 112),
    "delete_module": (176, 106),
    "fadvise64": (221, 223),
    "finit_module": (313, 273),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fsopen": (430, 430),
    "fspick": (433, 433),
    "init_module": (175, 105),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "io_uring_setup": (425, 425),
    "ioperm": (173, None),
    "iopl": (172, None),
    "kcmp": (312, 272),
    "kexec_file_load": (320, 294),
    "kexec_load": (246, 104),
    "keyctl": (250, 219),
    "lookup_dcookie": (212, 18),
    "memfd_create": (319, 279),  # memory that no process's size shows
    "memfd_secret": (447, 447),
    "mincore": (27, 232),
    "modify_ldt": (154, None),
    "mount": (165, 40),
    "mount_setattr": (442, 442),
    "move_mount": (429, 429),
    "mq_open": (240, 180),
    "msgget": (68, 186),
    "name_to_handle_at": (303, 264),
    "nfsservctl": (180, 42),
    "open_by_handle_at": (304, 265),
    "open_tree": (428, 428),
    "perf_event_open": (298, 241),
    "personality": (135, 92),
    "pidfd_getfd": (438, 438),
    "pivot_root": (155, 41),
    "preadv2": (327, 286),
    "process_madvise": (440, 440),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "ptrace": (101, 117),
    "quotactl": (179, 60),
    "readahead": (187, 213),
    "reboot": (169, 142),
    "request_key": (249, 218),
    "sched_setaffinity": (203, 122),  # each hand-in has the processor that its judge chose
    "semget": (64, 190),
    "setns": (308, 268),
    "settimeofday": (164, 170),
    "shmat": (30, 196),
    "shmctl": (31, 195),
    "shmget": (29, 194),
    "swapoff": (168, 225),
    "swapon": (167, 224),
    "syslog": (103, 116),
    "umount2": (166, 39),
    "unshare": (272, 97),
    "uselib": (134, None),
    "userfaultfd": (323, 282),
    "vhangup": (153, 58),
    "vmsplice": (278, 75),
}
CLONE, CLONE3, SOCKET = (56, 220), (435, 435), (41, 198)
OF_ONESELF = {  # their first argument is a process: 0 for oneself. Of the warden, they would starve it
    "prlimit": (302, 261),
    "sched_setattr": (314, 274),
    "sched_setparam": (142, 118),
    "sched_setscheduler": (144, 119),
}
SETPRIORITY, FCNTL, SETSOCKOPT = (141, 140), (72, 25), (54, 208)
SET_PIPE_SIZE = 1031
MMAP, PROT_EXEC, MAP_ANONYMOUS = (9, 222), 4, 0x20
SOL_SOCKET, BUFFER_SIZES = 1, (7, 8, 32, 33)  # SO_SNDBUF, SO_RCVBUF, and FORCE of both
NEW_NAMESPACES = 0x7E020000  # CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET
FAMILIES = (1, 2, 10, 16)  # unix, IPv4, IPv6, netlink; a virtual machine's vsock would pass the network namespace
PROCESSORS = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _ERROR = 0x7FFF0000, 0x00050000
_NUMBER, _ARCHITECTURE, _FIRST, _SECOND, _THIRD, _FOURTH = 0, 4, 16, 24, 32, 40  # offsets in struct seccomp_data


def program(machine: str | None = None) -> bytes | None:
    """The BPF program for this machine, or None if it is a processor we have no numbers for."""
    machine = machine or platform.machine()
    if machine not in PROCESSORS:
        return None
    column, audit = PROCESSORS[machine]
    refuse = [numbers[column] for numbers in REFUSED.values()]
    code = _head(audit)
    for number in sorted(n for n in refuse if n is not None):
        code += [_op(_EQUAL, number, 0, 1), _refuse(errno.EPERM)]
    code += [_op(_EQUAL, CLONE3[column], 0, 1), _refuse(errno.ENOSYS)]  # its flags lie behind a pointer
    for numbers in OF_ONESELF.values():
        code += _only(numbers[column], _if(_FIRST, 0, _allow()) + _refuse(errno.EPERM))
    code += _only(SETPRIORITY[column], _if(_FIRST, 0, _if(_SECOND, 0, _allow())) + _refuse(errno.EPERM))
    code += _only(FCNTL[column], _if(_SECOND, SET_PIPE_SIZE, _refuse(errno.EPERM)) + _allow())
    sizes = b"".join(_op(_EQUAL, size, 0, 1) + _refuse(0) for size in BUFFER_SIZES)  # nothing is done, and that works
    code += _only(SETSOCKOPT[column], _if(_SECOND, SOL_SOCKET, _op(_LOAD, _THIRD) + sizes) + _allow())
    spaces = _op(_LOAD, _FIRST) + _op(_ANY_BIT, NEW_NAMESPACES, 0, 1)
    code += _only(CLONE[column], spaces + _refuse(errno.EPERM) + _allow())
    families = b"".join(_op(_EQUAL, family, 0, 1) + _allow() for family in FAMILIES)
    code += _only(SOCKET[column], _op(_LOAD, _FIRST) + families + _refuse(errno.EAFNOSUPPORT))
    return b"".join([*code, _allow()])


def no_new_code(machine: str | None = None) -> bytes:
    """The BPF program of a process that can run no machine code out of a file any more: what is loaded stays, and
    libraries may still write code of their own (oneDNN does). b"" for a processor we have no numbers for.
    """
    machine = machine or platform.machine()
    if machine not in PROCESSORS:
        return b""
    column, audit = PROCESSORS[machine]
    files = _op(_LOAD, _FOURTH) + _op(_ANY_BIT, MAP_ANONYMOUS, 0, 1) + _allow() + _refuse(errno.EPERM)
    executable = _op(_LOAD, _THIRD) + _op(_ANY_BIT, PROT_EXEC, 1, 0) + _allow() + files
    return b"".join([*_head(audit), *_only(MMAP[column], executable), _allow()])


def _head(audit: int) -> list[bytes]:
    """With which a program begins: calls of this processor alone, and then the call's number is loaded."""
    code = [_op(_LOAD, _ARCHITECTURE), _op(_EQUAL, audit, 1, 0), _refuse(errno.ENOSYS), _op(_LOAD, _NUMBER)]
    return [*code, _op(_AT_LEAST, 0x40000000, 0, 1), _refuse(errno.ENOSYS)]  # x32


def _only(number: int, then: bytes) -> list[bytes]:
    """`then`, which must decide, for the call of this number."""
    return [_op(_EQUAL, number, 0, len(then) // 8), then]


def _if(argument: int, value: int, then: bytes) -> bytes:
    """`then` where the argument has this value; otherwise what follows."""
    return _op(_LOAD, argument) + _op(_EQUAL, value, 0, len(then) // 8) + then


def _allow() -> bytes:
    return _op(_RETURN, _ALLOW)


def _op(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("<HBBI", code, if_true, if_false, value)


def _refuse(number: int) -> bytes:
    return _op(_RETURN, _ERROR | number)
