"""Where in the learner's source a kernel is, and `KernelFault`, the sentence about an access outside its tensors.

What it is not: the check of an address, which is `accesses`. It words what was found there.
"""

from __future__ import annotations

import linecache
import sys
import types
import weakref

import numpy as np

from grader_kernels.evidence import Finding
from grader_kernels.interpreter.launch import Launch, Region

WAITING = (
    "Programs start in any order, and some only when others have ended: give their numbers out with tl.atomic_add and "
    "wait for smaller numbers only, or use a second launch; and let go of every lock."
)
OUT_OF_BOUNDS = "Mask off the lanes that have no element of their own, and check the strides in the address."
Program = tuple[int, int, int]

_learner_codes: weakref.WeakSet[types.CodeType] = weakref.WeakSet()
_learner_ids: set[int] = set()  # of those, and of some that are gone: a quick no


def mark_learners(code: types.CodeType) -> None:
    """Say that this code is a kernel of a learner: its lines are the ones to name."""
    _learner_codes.add(code)
    _learner_ids.add(id(code))


def _learner_frame() -> types.FrameType | None:
    """The innermost frame that runs a learner's kernel."""
    frame = sys._getframe(1)
    while frame is not None and not (id(frame.f_code) in _learner_ids and frame.f_code in _learner_codes):
        frame = frame.f_back
    return frame


def source_line() -> int:
    """The line of a learner's kernel that is running, 0 when there is none."""
    frame = _learner_frame()
    return 0 if frame is None else frame.f_lineno


def source_place() -> tuple[int, str]:
    """(line number, its text) of the line of a learner's kernel that is running."""
    frame = _learner_frame()
    if frame is None:
        return 0, ""
    return frame.f_lineno, linecache.getline(frame.f_code.co_filename, frame.f_lineno).strip()


class KernelFault(RuntimeError):
    """A kernel touched memory that isn't its own, or waits for ever. One sentence; the parts stand in the attributes.

    kernel   name of the kernel             program  (x, y, z) of the program
    line     line in the learner's source   tensor   name of the kernel's parameter, None if not known
    element  offset in elements from the tensor's first element, None if not known
    finding  the same as evidence           earlier  findings of a sanitizer before it
    causes   those of them that may have led to it: of whole numbers, which become addresses
    """

    def __init__(
        self, sentence: str, *, kernel="", program=(), line=0, tensor=None, element=None, lanes=1, waits=False
    ) -> None:
        super().__init__(sentence)
        self.kernel, self.program, self.line, self.tensor, self.element = kernel, program, line, tensor, element
        text, where = source_place()[1], dict(kernel=kernel, line=line, tensor=tensor or "", program=list(program))
        kind, advice = ("waiting", WAITING) if waits else ("out_of_bounds", OUT_OF_BOUNDS)
        self.finding = Finding(kind, sentence, advice, **where, text=text, lanes=lanes)
        self.earlier: list[Finding] = []
        self.causes: list[Finding] = []


def place(launch: Launch, program: Program) -> str:
    """Which program runs which line, as a sentence about it begins."""
    line, text = source_place()
    index = program[0] if program[1:] == (0, 0) else program
    return f"{launch.kernel}, program {index}, line {line}" + (f" `{text}`" if text else "")


def fault(
    launch: Launch, program: Program, verb: str, region: Region | None, bad: np.ndarray, active: int
) -> KernelFault:
    """The fault of an access. bad: the addresses of the lanes that are outside, of `active` active ones."""
    address = int(bad[0])
    facts = {"kernel": launch.kernel, "program": program, "line": source_place()[0], "lanes": int(bad.size)}
    lanes = f" ({bad.size} of {active} active lanes are outside)" if active > 1 else ""
    if region is None:
        says = f"{verb} an address that belongs to no tensor of this launch{lanes}"
        return KernelFault(f"{place(launch, program)}: {says}.", **facts)
    element = (address - region.base) // region.itemsize
    says = f"{verb} element {element} of {region.name}, {region.extent()}{lanes}{_landing(launch, region, address)}"
    return KernelFault(f"{place(launch, program)}: {says}.", **facts, tensor=region.name, element=element)


def waiting(launch: Launch, program: Program, region: Region | None, address: int) -> KernelFault:
    """The fault of a program that looks at one element again and again and finds the same."""
    what, facts = "one number", {"kernel": launch.kernel, "program": program, "line": source_place()[0], "waits": True}
    if region is not None:
        element = (address - region.base) // region.itemsize
        what, facts = f"element {element} of {region.name}", facts | {"tensor": region.name, "element": element}
    says = f"waits for ever: it looks at {what} again and again, and no program that has started changes it any more"
    return KernelFault(f"{place(launch, program)}: {says}.", **facts)


def _landing(launch: Launch, region: Region | None, address: int) -> str:
    for other in launch.regions:
        if other is not region and other.base <= address < other.end:
            return f": that is element {(address - other.base) // other.itemsize} of {other.name}"
    return ""


def where_raised(error: BaseException, launch: Launch, program: Program) -> str:
    """Where in a learner's kernel an exception came up, as a note to it."""
    line, text, trace = 0, "", error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code in _learner_codes:
            line = trace.tb_lineno
            text = linecache.getline(trace.tb_frame.f_code.co_filename, line).strip()
        trace = trace.tb_next
    return f"in {launch.kernel}, program {program}, line {line} `{text}`"
