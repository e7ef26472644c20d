"""How large a kernel is before the slow half of its compilation, so that of many alike the largest alone go through it.

A specialisation that uses no operation which a compiled one of the same kernel, options and target does not use, and
names tiles that are smaller, or larger by less than that one has room for, is refused by a GPU's compiler no more than
that one. It goes through triton's front end (which finds what is wrong in a branch that constants choose), and no
further.

This rests on how compilers behave and is no theorem. It is for launches that a task doesn't ask to compile; those it
asks for are always compiled whole.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any

import msgspec
from triton._C.libtriton import ir
from triton.backends.compiler import BaseBackend, GPUTarget
from triton.compiler import ASTSource

from grader_kernels.evidence import Compiled

_OPERATION = re.compile(r"(?:= |^\s*)\"?([a-z_]+\.[a-z_.0-9]+)")
_TYPE = re.compile(r"(?:\b|(?<=\dx))(?:[fi]\d+|bf16|f8\w+)\b")
_UNUSUAL = re.compile(r"(?:\b|(?<=\dx))(?:f64|f8\w+)\b")  # what not every device has for whatever it has for float32
_PLAIN = re.compile(r"(?:arith|math|scf|cf)\.")  # every device has them for every usual type
_PARTICULAR = re.compile(r"tt\.(?:dot|atomic|descriptor)|ttng?\.|tti\.")  # instructions of their own for each type
_TENSOR = re.compile(r"tensor<((?:\d+x)+)(!tt\.ptr|[a-z]+\d+)")
_BITS = re.compile(r"\d+")

COMFORT = 0.5  # of the registers and of the shared memory that there are: a need that grows twice as fast as the tiles
# still finds a place
REGISTERS, OF_A_THREAD = 65536, 255  # of a block; NVIDIA: CUDA C++ Programming Guide, "Compute Capabilities"
MOST_ROOM = 8.0


class Footprint(msgspec.Struct, frozen=True):
    """size: bytes of all tensors that its intermediate code names, as often as it names them. operations: what it
    does besides plain arithmetic, with the types of its numbers where a device may know some and not others. room: so
    many times larger it may be before it meets a limit; known of what was compiled."""

    size: int
    operations: frozenset[str]
    room: float = 1.0

    @classmethod
    def of(cls, text: str, halves: bool = False, room: float = 1.0) -> Footprint:
        """Of a kernel in triton's intermediate language (TTIR). halves: the device multiplies bfloat16 as it multiplies
        float16."""
        size, operations = 0, set()
        for line in text.splitlines():
            line = line.partition(" loc(")[0]
            size += sum(_bytes(*found) for found in _TENSOR.findall(line))
            if found := _OPERATION.search(line):
                name = found[1]
                types = set((_TYPE if _PARTICULAR.match(name) else _UNUSUAL).findall(line))
                if types or not _PLAIN.match(name):
                    operations.add(" ".join([name, *sorted({"f16" if halves and t == "bf16" else t for t in types})]))
        return cls(size, frozenset(operations), room)

    def within(self, others: Iterable[Footprint]) -> bool:
        """Has one of the others room for this size, and all of these operations?"""
        return any(self.size <= other.size * other.room and self.operations <= other.operations for other in others)


def room(compiled: Compiled, most: int = OF_A_THREAD) -> float:
    """How many times larger the tiles of a compiled kernel may be before it needs more than COMFORT. most: registers
    that its launch lets a thread have."""
    if compiled.stack > 0 or compiled.registers <= 0:
        return 1.0
    registers = COMFORT * min(most, REGISTERS // (32 * max(1, compiled.warps))) / compiled.registers
    shared = COMFORT * compiled.shared_limit / max(1, compiled.shared)
    return max(1.0, min(MOST_ROOM, registers, shared))


def _bytes(shape: str, element: str) -> int:
    """A pointer has eight bytes; a bit takes one."""
    bits = 64 if element == "!tt.ptr" else max(8, int(_BITS.search(element)[0]))
    return bits // 8 * math.prod(int(extent) for extent in shape.split("x") if extent)


def lowered(source: ASTSource, target: GPUTarget, options: Any, backend: BaseBackend, halves: bool) -> Footprint:
    """What triton's front end makes of a kernel. Raises what it raises."""
    context = ir.context()
    ir.load_dialects(context)
    backend.load_dialects(context)
    generators = backend.get_codegen_implementation(options), backend.get_module_map()
    module = source.make_ir(target, options, *generators, context)
    stages: dict[str, Any] = {}
    backend.add_stages(stages, options, source.language)
    return Footprint.of(str(stages["ttir"](module, dict(options.__dict__))), halves)
