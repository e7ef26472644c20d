"""What was seen while kernels ran: plain data that crosses processes and stands in verdicts.

Not here: how it is seen (`sanitizer`, `meter`, `compiler`, `replay`) and what it is worth (`judge`).
"""

from __future__ import annotations

import msgspec

FINDINGS = (
    "out_of_bounds",  # an address outside the tensor it was derived from
    "uninitialised",  # a read of memory that nobody wrote
    "masked_lane",  # a lane that was masked off, without `other`, reached a stored result
    "race",  # two programs touch one element in one launch, at least one of them writes, without an atomic
    "duplicate_store",  # one store writes different values to one address
    "barrier",  # a program reads back through memory what it stored, without tl.debug_barrier
    "order",  # the result depends on the order of the programs
    "input_changed",  # a store into an input that must stay as it is
    "overflow",  # a signed 32-bit number that didn't fit
    "waiting",  # a program that looks at one element for ever: whoever could change it has ended, or not started
)


DEVICES = {"sm_75": "T4", "sm_80": "A100", "sm_86": "RTX 30", "sm_89": "RTX 40", "sm_90": "H100", "sm_100": "B200"}
DEVICES |= {"sm_120": "RTX 50", "gfx90a": "MI250", "gfx942": "MI300", "gfx950": "MI350", "gfx1100": "RX 7900"}


class Finding(msgspec.Struct, frozen=True):
    """One defect, in a learner's words.

    kind      one of FINDINGS          kernel, line, text  where: the line of the learner's source and what it says
    sentence  what is wrong            tensor              the kernel's parameter, "" when it is about none
    advice    what to do about it      program, lanes      the first program that did it, and how many of its lanes
    """

    kind: str
    sentence: str
    advice: str = ""
    kernel: str = ""
    line: int = 0
    text: str = ""
    tensor: str = ""
    program: list[int] = []
    lanes: int = 0


MASKED_MATTERS = Finding(
    "masked_lane",
    "The result changes with what lanes hold that a load left masked: NaN here, and on a GPU 0 or anything else.",
    "Give the load other= the value that changes nothing: 0 for a sum, -inf for a maximum.",
)

ORDER_MATTERS = Finding(
    "order",
    "The result changes with the order in which the programs run.",
    "Programs of one launch run at the same time, in any order: none may use what another one writes.",
)


LANES_MATTER = Finding(
    "order",
    "The result changes with the order in which the lanes of a tile do their atomics.",
    "What an atomic returns, and a float sum, depends on who comes first: give each lane a place by tl.cumsum, or "
    "reduce the tile first.",
)


class TensorTraffic(msgspec.Struct):
    """Bytes moved between one tensor and the programs, over all launches of one call of the launcher.

    name      the launcher's argument ("x"), "returned tensor 0", or what a buffer between kernels is made of
    role      "input", "output" or "scratch"
    loaded, stored                  bytes asked for by active lanes; an atomic counts in both
    unique_loaded, unique_stored    bytes of different addresses, summed over launches
    program_loaded                  bytes of different addresses within each program, summed over programs: a row that
                                    one program reads twice counts once here and twice in `loaded`
    load_sectors, store_sectors     32-byte sectors that each access touches, summed: 32 * sectors / bytes is the
                                    price of poor coalescing, 1.0 when neighbouring lanes read neighbouring elements
    """

    name: str
    role: str
    loaded: int = 0
    stored: int = 0
    unique_loaded: int = 0
    unique_stored: int = 0
    program_loaded: int = 0
    load_sectors: int = 0
    store_sectors: int = 0


class Access(msgspec.Struct):
    """One access of the program whose pattern is shown: element numbers of a tensor, in lane order."""

    kind: str  # "load", "store" or "atomic"
    tensor: str
    line: int
    elements: list[int]


class Traffic(msgspec.Struct):
    """What the launches of one call moved and computed. dot_flops counts 2*M*N*K for every tl.dot.

    launches    of kernels, copies and fills: what torch copies (`.contiguous()`, `.to(dtype)`) or fills (`torch.zeros`)
                is moved by a kernel, too
    copies      how many of these are torch's, fills among them
    busy        how many programs store something, in the launch that loads most
    worked      how many programs store something, in all launches
    held        columns of the widest tile that a program stores at once (of its last axis), with masked lanes
    dot_dtypes  what tl.dot multiplies: "fp16", "bf16", "fp32", or "tf32" of float32 tiles
    """

    launches: int = 0
    copies: int = 0
    programs: int = 0
    busy: int = 0
    worked: int = 0
    held: int = 0
    tensors: list[TensorTraffic] = []
    dot_flops: int = 0
    dot_dtypes: list[str] = []
    pattern: list[Access] = []
    pattern_program: list[int] = []

    @property
    def kernels(self) -> int:
        """Launches that are no copies."""
        return self.launches - self.copies

    @property
    def moved(self) -> int:
        """Bytes loaded and stored."""
        return sum(t.loaded + t.stored for t in self.tensors)


def changed_input(name: str) -> str:
    """What is said of an input that has other bytes after the launch."""
    return f"the input {name} was changed by the launch"


class Evidence(msgspec.Struct):
    """All that a replay saw of one call of a launcher.

    launcher   what the launcher did instead of launching, in sentences: torch arithmetic, copies, cached results
    changed    inputs whose bytes are others now, also those that may change
    unwritten  returned tensors that have elements which no kernel wrote, in sentences
    unfilled   whether a load left lanes masked and gave them no value
    waits      what the launcher looks at in Python, in sentences
    atomics    whether a kernel used any
    """

    findings: list[Finding] = []
    traffic: Traffic = msgspec.field(default_factory=Traffic)
    changed: list[str] = []
    launcher: list[str] = []
    unwritten: list[str] = []
    unfilled: bool = False
    waits: list[str] = []
    atomics: bool = False


class Compiled(msgspec.Struct):
    """One kernel of one launch, compiled for one GPU that need not be there.

    target      "sm_80", "sm_90", "gfx942" ...     error    what the compiler refuses, in a learner's words
    registers, stack     per thread, registers and bytes of stack (spills, arrays); -1 when not known
    shared      bytes of shared memory per block       shared_limit   what the device has for one block
    load_bits   widths in bits of global loads, with their number   tensor_cores  "", "mma.sync", "wgmma", "mfma"
    dots        whether it multiplies tiles with tl.dot        tf32   whether tensor cores multiply tf32 tiles for it
    """

    kernel: str
    target: str
    error: str = ""
    line: int = 0
    registers: int = -1
    stack: int = -1
    shared: int = 0
    shared_limit: int = 0
    warps: int = 0
    load_bits: dict[str, int] = {}
    store_bits: dict[str, int] = {}
    tensor_cores: str = ""
    async_copies: int = 0
    dots: bool = False
    tf32: bool = False


def device(target: str) -> str:
    """`A100 (sm_80)`."""
    return f"{DEVICES[target]} ({target})" if target in DEVICES else target
