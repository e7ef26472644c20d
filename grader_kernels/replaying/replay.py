"""Replay a launch trace on fresh, guarded memory, and hand back what the kernels alone computed.

What it checks: kernels stay inside their tensors (KernelFault) and leave the guard zones around every buffer
untouched; inputs keep their bytes; every returned element was stored by a kernel; nothing on the way was computed by
torch; what `sanitizer` finds and `meter` measures while the kernels run. What it does not check: whether the numbers
are right (that is the caller's comparison), speed, and whether an answer was carried into the kernels bit by bit, as
launches and whole numbers (bound `launches` for that).

Trust: the trace may come from a hostile process (`trace.from_data` checks it) and the source from a hostile author
(`language.extract` gates it, here again). Time and memory are not limited here: run it in a process that is.
"""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import functools
import hashlib
import linecache
import math
import textwrap
from collections import namedtuple
from collections.abc import Callable, Collection, Iterator
from typing import Any, NamedTuple

import msgspec
import numpy as np
import torch
import triton
import triton.language as tl
from triton.language.extra import libdevice
from triton.language.extra.cuda import libdevice as libdevice_cuda
from triton.runtime.jit import JITCallable, JITFunction

from grader_kernels import language
from grader_kernels.evidence import ORDER_MATTERS, Evidence, Traffic, changed_input
from grader_kernels.interpreter import context, programs
from grader_kernels.interpreter.faults import KernelFault
from grader_kernels.interpreter.interpreted import ordinary
from grader_kernels.interpreter.launch import MARKED, Observer, Settings
from grader_kernels.replaying.memory import COPIED, FILLED, STORED, UNTOUCHED, Arena, Memory
from grader_kernels.replaying.meter import Meter
from grader_kernels.replaying.sanitizer import Sanitizer
from grader_kernels.replaying.together import Together
from grader_kernels.replaying.trace import (
    DTYPES,
    TL_DTYPES,
    Allocation,
    Copy,
    DtypeRef,
    Fields,
    Fill,
    FunctionRef,
    Input,
    Items,
    Launch,
    Node,
    Scalar,
    TensorRef,
    Trace,
    TraceError,
    copy_into,
    extent_of,
    from_data,
    record_with_kernels,
    walk,
)

KERNEL_BUILTINS = {fn.__name__: fn for fn in (range, min, max, abs, len, float, int, bool)}
KERNEL_BUILTINS |= {"print": lambda *values, **options: None, "AssertionError": AssertionError}
KERNEL_BUILTINS["isinstance"] = lambda value, kind: isinstance(tl.core._unwrap_if_constexpr(value), kind)

MAX_HOST_NUMBERS = 64  # a launcher that needs more numbers than this carries an answer piece by piece
MAX_TEXT = 64  # of a string given to a launch
LITERAL = "aten::lift_fresh"  # a number that Python made into a tensor


@dataclasses.dataclass
class Replayed:
    """What a replay gave.

    outputs    what the launcher returned, with tensors as the kernels left them
    problems   sentences: the findings of `evidence` first, then what the launcher did
    changed    inputs whose bytes are others now
    """

    outputs: Any
    launches: int
    problems: list[str]
    changed: list[str]
    evidence: Evidence = dataclasses.field(default_factory=Evidence)


# --------------------------------------------------------------------------------------------------------------------
# One replay


class _Several(Observer):
    """Tells several observers, in their order."""

    def __init__(self, observers: list[Observer]) -> None:
        for event in "launch program load loaded store atomic dot barrier overflow done".split():
            told = [getattr(o, event) for o in observers if getattr(type(o), event) is not getattr(Observer, event)]
            setattr(self, event, told[0] if len(told) == 1 else _tell(told))
        self.arithmetic = any(o.arithmetic for o in observers)


def _tell(told: list[Callable]) -> Callable:
    def event(*facts: Any) -> None:
        for tell in told:
            tell(*facts)

    return event


class _Replay:
    def __init__(
        self,
        trace: Trace,
        kernels: dict[str, Any],
        inputs: tuple,
        guard: int,
        may_change: Collection[str] = (),
        order: str | None = None,
        watch: bool = True,
        unfilled: str = MARKED,
        tf32: bool = True,
        together: Together | None = None,
    ) -> None:
        self.trace, self.kernels, self.guard, self.may_change = trace, kernels, guard, may_change
        self.unfilled = unfilled
        self.contiguous, self.may_read = False, ()
        self.problems: list[str] = []
        self.launcher: list[str] = []
        self.unwritten: list[str] = []
        self.waits: list[str] = []
        self.arenas: dict[int, Arena] = {}
        self.names: dict[int, str] = {}
        self.before: dict[int, np.ndarray] = {}
        self.made: dict[int, Allocation] = {made.buffer: made for made in trace.allocations}
        for described in trace.inputs:
            self._place_input(described, _at(inputs, described.path))
        for made in trace.allocations:
            self._place_allocation(made)
        self._name_outputs()
        self.memory = Memory(self.arenas.values(), watch)
        self.sanitizer, self.meter = Sanitizer(self.memory), Meter(self.memory, _widest(trace))
        told = [together] if together is not None else [self.sanitizer, self.meter] if watch else []
        observer = _Several([*told, self.memory]) if told else self.memory
        runner = together.run if together is not None else None
        self.settings = Settings(tf32, True, observer, _order(order), unfilled=unfilled, runner=runner)
        if watch:
            for arena in self.arenas.values():
                if arena.role != "scratch":
                    self.meter.row(arena)

    def _name_outputs(self) -> None:
        returned = [node for node in walk(self.trace.returned) if isinstance(node, TensorRef)]
        for i, node in enumerate(returned):
            arena = self.arenas[node.buffer]
            if arena.role == "scratch":
                arena.name, arena.role = f"returned tensor {i}", "output"

    def _place_input(self, described: Input, given: Any) -> None:
        if not isinstance(given, torch.Tensor) or not _describes(described, given):
            raise TraceError(f"the trace's input {described.name} is not the tensor that was given")
        given = given.detach()
        arena = Arena(extent_of(described.shape, described.strides, given.element_size()), given.dtype, self.guard)
        whole = TensorRef(described.buffer, 0, described.shape, described.strides, described.dtype)
        copy_into(arena.view(whole), given)
        self.arenas[described.buffer], self.names[described.buffer] = arena, described.name
        self.before[described.buffer] = arena.bytes().copy()
        arena.name, arena.role, arena.fixed = described.name, "input", described.name not in self.may_change
        if arena.size > given.numel() * arena.item:
            arena.gaps = np.ones(len(arena.shadow), bool)
            torch.from_numpy(arena.gaps).as_strided(described.shape, described.strides).fill_(False)
        arena.may_hold_poison = arena.gaps is not None

    def _place_allocation(self, made: Allocation) -> None:
        arena = Arena(made.bytes, DTYPES[made.dtype], self.guard, self.unfilled)
        arena.starts_empty = made.seen
        arena.name = f"a {made.dtype} buffer of shape {tuple(made.shape)}"
        self.arenas[made.buffer], self.names[made.buffer] = arena, arena.name
        if made.fill is not None and made.seen:
            count = made.bytes // arena.item
            arena.view(TensorRef(made.buffer, 0, [count], [1], made.dtype)).fill_(made.fill.value())
            arena.shadow[:] = FILLED

    # steps
    def run(self) -> None:
        for made in self.trace.allocations:
            if made.fill is not None and made.seen and made.source != LITERAL:
                whole = TensorRef(made.buffer, 0, made.shape, made.strides, made.dtype)
                self.meter.fill(self.arenas[made.buffer], self._view(whole))
        with context.on_cpu(quiet=True):
            for step in self.trace.steps:
                if isinstance(step, Launch):
                    self._launch(step)
                else:
                    self._by_torch(step)

    def _by_torch(self, step: Fill | Copy) -> None:
        """What a recorder has seen torch do, torch can do again; a forged step it may refuse."""
        try:
            self._fill(step) if isinstance(step, Fill) else self._copy(step)
        except RuntimeError:
            raise TraceError("the launch trace holds a copy or a fill that torch can't do") from None

    def _view(self, ref: TensorRef) -> torch.Tensor:
        return self.arenas[ref.buffer].view(ref)

    def _mark(self, ref: TensorRef, who: int) -> None:
        self.arenas[ref.buffer].shadow_of(ref).fill_(who)

    def _fill(self, step: Fill) -> None:
        target = self._view(step.target)
        target.fill_(step.value.value())
        self._mark(step.target, FILLED)
        self.meter.fill(self.arenas[step.target.buffer], target)

    def _copy(self, step: Copy) -> None:
        target, source = self._view(step.target), self._view(step.source)
        if target.shape != source.shape:
            raise TraceError("the launch trace copies between tensors of different shapes")
        copy_into(target, source)
        self._mark(step.target, COPIED)
        self.meter.copy(self.arenas[step.source.buffer], source, self.arenas[step.target.buffer], target)

    def _launch(self, step: Launch) -> None:
        kernel = self.kernels.get(step.kernel)
        if not isinstance(kernel, JITFunction):
            raise TraceError(f"the launcher launches {step.kernel}, which is not among the kernels of the submission")
        for node in (node for arg in step.args.values() for node in walk(arg)):
            if isinstance(node, TensorRef) and node.buffer in self.made and not self.made[node.buffer].seen:
                self._say(f"{step.kernel} was given a tensor that no kernel made: {self._origin(node.buffer)}")
        arguments = {name: self._argument(node) for name, node in step.args.items()}
        programs.interpret(kernel, tuple(step.grid), (), arguments, self.settings)

    def _argument(self, node: Node) -> Any:
        if isinstance(node, TensorRef):
            return self._view(node)
        if isinstance(node, Scalar) and not (node.kind == "str" and len(node.text) > MAX_TEXT):
            return node.value()
        if isinstance(node, DtypeRef):
            return TL_DTYPES[node.name]
        if isinstance(node, FunctionRef):
            return self._jitted(node.name)
        if isinstance(node, Items):
            return node.tuple_of([self._argument(item) for item in node.items])
        raise TraceError("the launch trace hands a kernel something a kernel can't take")

    def _jitted(self, name: str) -> JITCallable:
        if not isinstance(self.kernels.get(name), JITCallable):
            raise TraceError(f"the launcher hands over {name}, which is not among the kernels of the submission")
        return self.kernels[name]

    # verdict
    def agrees(self, other: _Replay) -> bool:
        """Inputs and outputs hold the same bytes; scratch may differ."""
        kept = [buffer for buffer, arena in self.arenas.items() if arena.role != "scratch"]
        return all(np.array_equal(self.arenas[b].bytes(), other.arenas[b].bytes()) for b in kept)

    def _host_scalars(self) -> Iterator[Scalar]:
        """Every number that reaches a kernel without being in a tensor."""
        yield from (fill.value for fill in self.trace.fills)
        for launch in self.trace.launches:
            for node in (node for arg in launch.args.values() for node in walk(arg)):
                if isinstance(node, Scalar):
                    yield node

    def _say(self, sentence: str) -> None:
        """Something that the launcher did."""
        for told in (self.problems, self.launcher):
            if sentence not in told:
                told.append(sentence)

    def _origin(self, buffer: int) -> str:
        source = self.made[buffer].source
        return "it was made out of the trace's sight" if source == "unknown" else f"torch computed it ({source})"

    def judge(self, may_change: Collection[str]) -> list[str]:
        """Fill `problems`; returns the names of the inputs that were changed."""
        for finding in self.sanitizer.findings:
            if finding.kind != "input_changed":  # told below, once for an input
                self.problems.append(f"{finding.sentence} {finding.advice}")
        if not self.trace.launches:
            self._say("the launcher launched no kernel")
        numbers = {node.text for node in self._host_scalars() if node.kind == "float"}
        if max(len(numbers), len(self.trace.fills)) > MAX_HOST_NUMBERS:
            self._say("the launcher hands its kernels dozens of numbers that were computed outside of them")
        for read in (read for read in self.trace.host_reads if self.names[read.buffer] not in self.may_read):
            where = f"looks at {self.names[read.buffer]} in Python ({read.how})"
            self.waits.append(f"the launcher {where}: there it waits for the GPU; let a kernel load what it needs")
        self.problems += self.waits
        for buffer in self.trace.overwritten:
            self._say(f"torch computed into {self.names[buffer]} ({', '.join(self.trace.foreign)}): a kernel should")
        for buffer, arena in self.arenas.items():
            if not arena.guards_intact():
                self._say(f"a kernel wrote past the end of {self.names[buffer]}")
        changed = [self.names[b] for b, old in self.before.items() if not np.array_equal(old, self.arenas[b].bytes())]
        for name in changed:
            if name not in may_change:
                self.problems.append(changed_input(name))
        self._judge_place(may_change)
        return changed

    def _judge_place(self, may_change: Collection[str]) -> None:
        """What an exercise changes in place is what it returns; a launcher may also return nothing."""
        returned = [node.buffer for node in walk(self.trace.returned) if isinstance(node, TensorRef)]
        there = {described.name for described in self.trace.inputs if described.buffer in returned}
        if returned and may_change and not there & set(may_change):
            self._say(f"it returned a new tensor: expected {' or '.join(may_change)} itself, changed in place")

    def output(self, node: Node, name: str = "the returned tensor") -> Any:
        """The returned structure with replayed tensors in it."""
        if isinstance(node, TensorRef):
            self._judge_output(node, name)
            return self._view(node).clone()
        if isinstance(node, Items):
            items = [self.output(item, f"returned tensor {i}") for i, item in enumerate(node.items)]
            return items if node.kind == "list" else tuple(items)
        if isinstance(node, Fields):
            return {key: self.output(item, f"the returned tensor {key!r}") for key, item in node.items.items()}
        if isinstance(node, Scalar):
            if node.kind not in ("none",):
                self._say(f"the launcher returned {node.value()!r}: a number that came from Python, not from a kernel")
            return node.value()
        kind = getattr(node, "type_name", "jitted function or dtype")
        self._say(f"the launcher returned a {kind}: expected tensors")
        return None

    def _judge_output(self, ref: TensorRef, name: str) -> None:
        made = self.made.get(ref.buffer)
        if made is not None and not made.seen:
            return self._say(f"{name} was not written by a kernel: {self._origin(ref.buffer)}")
        if self.arenas[ref.buffer].fixed:
            return self._say(f"it returned its argument {self.names[ref.buffer]}: expected a new tensor")
        if self.contiguous and made is not None and not self._view(ref).is_contiguous():
            what = f"strides {tuple(ref.strides)} for the shape {tuple(ref.shape)}"
            self._say(f"{name} is not contiguous ({what}): expected a new contiguous tensor")
        shadow = self.arenas[ref.buffer].shadow_of(ref)
        total = shadow.numel()
        missing, copied = int((shadow == UNTOUCHED).sum()), int((shadow == COPIED).sum())
        if copied:
            self._say(f"{copied} of {total} elements of {name} were copied by torch, not written by a kernel")
        if made is None and missing < total:
            missing = 0  # the caller's own numbers, where the task leaves them as they are
        if missing:
            says = f"{missing} of {total} elements of {name} were never written by a kernel"
            self.problems.append(says)
            self.unwritten.append(says)
        if total and not copied and not missing and not int((shadow == STORED).sum()):
            self._say(f"{name} was filled by torch and never written by a kernel")
        return None


def _widest(trace: Trace) -> int:
    """Which launch has the most programs."""
    sizes = [math.prod(launch.grid) for launch in trace.launches]
    return sizes.index(max(sizes)) if sizes else 0


def _order(order: str | None) -> Callable[[int], np.ndarray] | None:
    if order is None:
        return None
    if order == "reversed":
        return lambda count: np.arange(count)[::-1]
    way, _, seed = order.partition(":")
    if way != "shuffled" or not seed.isdecimal():
        raise ValueError(f"order is {order!r}: expected None, 'reversed' or 'shuffled:SEED'")
    return lambda count: np.random.Generator(np.random.Philox(int(seed))).permutation(count)


def _at(inputs: tuple, path: list[str | int]) -> Any:
    value: Any = inputs
    for key in path:
        try:
            value = value[key]
        except (LookupError, TypeError):
            raise TraceError(f"the trace names an input at {path}, where none was given") from None
    return value


def _describes(described: Input, tensor: torch.Tensor) -> bool:
    """Same dtype, shape and strides; the stride of a dimension with one element says nothing."""
    if DTYPES[described.dtype] != tensor.dtype or described.shape != list(tensor.shape):
        return False
    strides = zip(described.strides, tensor.stride(), described.shape, strict=True)
    return tensor.numel() == 0 or all(mine == given for mine, given, size in strides if size > 1)


def replay(
    trace: Trace,
    kernels: dict[str, Any],
    inputs: tuple[tuple, dict],
    *,
    guard: int = 64,
    may_change: Collection[str] = (),
    order: str | None = None,
    watch: bool = True,
    reorder: bool = False,
    contiguous: bool = False,
    unfilled: str = MARKED,
    tf32: bool = True,
    may_read: Collection[str] = (),
) -> Replayed:
    """Replay `trace` with `kernels` on copies of the tensors in `inputs` = (args, kwargs) of the launcher's call.

    guard       elements of guard zone before and behind every buffer
    may_change  names of inputs that the exercise asks to change in place
    order       in which the programs of every launch run: None as numbered, "reversed", "shuffled:SEED" in a fixed
                random order
    watch       False: without sanitizer and meter, in about half the time
    reorder     where atomics were used, run everything once more in reverse: a result that changes is a finding
    contiguous  a returned tensor that is not contiguous is a problem
    unfilled    what lanes hold that no load has filled, and memory that nobody wrote: "marked", so that it is found,
                or "mixed": 0 and large numbers of both signs
    tf32        False: float32 tiles are multiplied as they are, whatever the kernel asks for
    may_read    names of inputs that the launcher may look at in Python

    Raises KernelFault when a kernel leaves its tensors (its `finding` says where, `earlier` what was found
    until then), TraceError when trace, kernels and inputs don't fit, and what a kernel itself raises.
    """
    state = _Replay(trace, kernels, inputs, guard, may_change, order, watch, unfilled, tf32)
    state.contiguous, state.may_read = contiguous, may_read
    try:
        state.run()
    except KernelFault as fault:
        fault.earlier, fault.causes = state.sanitizer.findings, state.sanitizer.causes
        raise
    if reorder and state.sanitizer.atomics:
        other = _Replay(trace, kernels, inputs, guard, may_change, "reversed", watch=False)
        try:
            other.run()
            found = [] if state.agrees(other) else [ORDER_MATTERS]
        except KernelFault as fault:
            found = [fault.finding]
        state.sanitizer.findings += found
    if state.sanitizer.suspects:
        _bring_together(state, inputs)
    changed = state.judge(may_change)
    outputs = state.output(trace.returned)
    seen, unfilled, atomics = state.sanitizer.findings, state.sanitizer.unfilled, state.sanitizer.atomics
    launcher = changed, state.launcher, state.unwritten
    evidence = Evidence(seen, state.meter.traffic, *launcher, unfilled, state.waits, atomics)
    return Replayed(outputs, len(trace.launches), state.problems, changed, evidence)


def _bring_together(state: _Replay, inputs: tuple[tuple, dict]) -> None:
    """Ask about the suspects of each launch; those that met are findings."""
    suspects, findings = state.sanitizer.suspects, state.sanitizer.findings
    for number in sorted({suspect.launch for suspect in suspects}):
        mine = [suspect for suspect in suspects if suspect.launch == number]
        together = Together(mine, state.sanitizer.accesses)
        given = state.trace, state.kernels, inputs, state.guard, state.may_change
        other = _Replay(*given, watch=False, together=together)
        with contextlib.suppress(KernelFault):
            other.run()
        if together.met is not None:
            told = [suspect.finding for suspect in mine if set(suspect.lines) == set(together.met)]
            findings.append((told or [mine[0].finding])[0])


# --------------------------------------------------------------------------------------------------------------------
# From source


def load(source: str) -> dict[str, JITFunction]:
    """Execute kernel source that passed `language.extract`; returns its jitted functions by name.

    Its globals are `triton`, `tl`, `libdevice`, `math` and a handful of builtins. What stands below the functions is
    executed first, where it gives names to numbers and words of the language: a default may use it.
    """
    digest = hashlib.sha256(source.encode()).hexdigest()[:16]
    filename = f"<kernels {digest}>"
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    namespace: dict[str, Any] = {"__builtins__": dict(KERNEL_BUILTINS), "__name__": f"kernels_{digest}"}
    namespace |= {"triton": triton, "tl": tl, "libdevice": libdevice, "math": math, "namedtuple": namedtuple}
    tree = ast.parse(source)
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    tree.body.sort(key=lambda node: _turn(node, functions))
    exec(compile(tree, filename, "exec", dont_inherit=True), namespace)
    namespace.update({name: ordinary(value) for name, value in namespace.items()})
    return {name: value for name, value in namespace.items() if isinstance(value, JITFunction)}


def _turn(node: ast.stmt, functions: set[str]) -> int:
    """When a statement is executed: names of numbers and words, functions, other names of functions."""
    if isinstance(node, ast.FunctionDef):
        return 1
    return 2 if isinstance(node.value, ast.Name) and node.value.id in functions else 0


def source_of(kernels: dict[str, JITFunction]) -> str:
    """The other way round: text that `language.extract` takes, of the kernels and of the globals that they use.

    Where all functions stand in one file or cell, each keeps its line numbers.
    """
    functions: dict[str, JITCallable] = {}
    others: dict[str, str] = {}
    for name, kernel in kernels.items():
        _gather(name, kernel, functions, others)
    files = {function.fn.__code__.co_filename for function in functions.values()}
    parts = [_lines_of(function) for function in functions.values()]
    if len(files) > 1:
        return "\n\n".join([*others.values(), *("\n".join(lines) for _, lines in parts)]) + "\n"
    placed: list[str] = []
    for first, lines in sorted(parts):
        placed += [""] * (first - 1 - len(placed))
        placed += lines
    return "\n".join([*placed, "", *others.values()]) + "\n"


def _gather(name: str, value: Any, functions: dict[str, JITCallable], others: dict[str, str]) -> None:
    """Sort a global, and those that it uses, into functions and lines that give a name its meaning."""
    value = ordinary(value)
    if name in others:
        return
    word = _words().get(id(value))
    if word is not None:
        if word != name:
            others[name] = f"{name} = {word}"
    elif isinstance(value, JITCallable):
        own = value.fn.__name__
        if own != name:
            others[name] = f"{name} = {own}"
        if own not in functions:
            functions[own] = value
            known, text = value.get_capture_scope(), "\n".join(_lines_of(value)[1])
            used = {node.id for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name)}
            for other in sorted(used & set(known)):
                _gather(other, known[other], functions, others)
    elif isinstance(value, type) and issubclass(value, tuple) and hasattr(value, "_fields"):
        others[name] = f"{name} = namedtuple({name!r}, {value._fields!r})"
    else:
        text = _literal(value)
        if text:
            others[name] = f"{name} = {text}"


def _literal(value: Any) -> str:
    """A number, dtype, string or tuple of such as source; "" for other things."""
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, tl.constexpr):
        inner = _literal(value.value)
        return inner and f"tl.constexpr({inner})"
    if isinstance(value, tl.dtype):
        return _dtypes().get(value.name, "")
    if type(value) is float and not math.isfinite(value):
        return f"float('{value}')"
    if type(value) in (tuple, list):
        items = [_literal(item) for item in value]
        return f"({', '.join(items)},)" if items and all(items) else ""
    return repr(value) if type(value) in (int, float, bool, str) else ""


@functools.cache
def _dtypes() -> dict[str, str]:
    return {getattr(tl, name).name: f"tl.{name}" for name in language.DTYPE_NAMES}


@functools.cache
def _words() -> dict[int, str]:
    """The modules and functions of the language by their identity, as the gate calls them."""
    pairs = [("libdevice", libdevice_cuda), ("libdevice", libdevice), ("tl.math", tl.math), ("tl", tl)]
    found = {id(module): name for name, module in [*pairs, ("triton", triton), ("math", math)]}
    for name, module in [*pairs, ("triton", triton)]:  # of two names for one thing the last stays
        for word in language.NAMESPACES[name]:
            value = getattr(module, word, None)
            if callable(value) and not isinstance(value, tl.dtype):
                found[id(value)] = f"{name}.{word}"
    return found


def _lines_of(function: JITCallable) -> tuple[int, list[str]]:
    """(number of its first line, its lines): `def` and what follows as they are, above it triton.jit with its options,
    however it was put there."""
    lines = textwrap.dedent("".join(function.raw_src)).rstrip("\n").split("\n")
    above = next(number for number, line in enumerate(lines) if line.startswith("def "))
    decorator = "@triton.constexpr_function"
    if isinstance(function, JITFunction):
        options = {name: getattr(function, name, None) for name in language.JIT_OPTIONS}
        given = ", ".join(f"{name}={value!r}" for name, value in sorted(options.items()) if value)
        decorator = f"@triton.jit({given})" if given else "@triton.jit"
    return max(1, function.starting_line_number + above - 1), [decorator, *lines[above:]]


@functools.lru_cache(maxsize=16)
def _loaded(source: str, needed: frozenset[str], fields: frozenset[str]) -> dict[str, JITFunction]:
    """The jitted functions that a trace needs, from source that passes the gate."""
    return load(language.extract(source, needed, fields)) if needed else {}


def replay_source(
    source: str,
    trace_data: dict[str, Any],
    inputs: tuple[tuple, dict],
    *,
    may_change: Collection[str] = (),
    order: str | None = None,
    watch: bool = True,
    reorder: bool = True,
    **options: Any,
) -> dict[str, Any]:
    """For the judge: trace from the worker, kernels from the submitted source, inputs = (args, kwargs) from the judge.
    options: further ones of `replay`.

    Returns {"outputs", "problems", "launches", "changed", "evidence"}; evidence is evidence.Evidence as
    builtins. Raises TraceError, language.LanguageError, KernelFault, and what a kernel raises; each says what
    happened in one sentence.
    """
    trace = from_data(trace_data)
    kernels = _loaded(source, frozenset(trace.kernels()), trace.fields())
    done = replay(trace, kernels, inputs, may_change=may_change, order=order, watch=watch, reorder=reorder, **options)
    found = {"outputs": done.outputs, "problems": done.problems, "launches": done.launches, "changed": done.changed}
    return found | {"evidence": msgspec.to_builtins(done.evidence)}


class Launched(NamedTuple):
    """One call of a launcher in this process: what came out, what was seen, and what a compiler needs to know.

    findings: their kinds. traffic: evidence.Traffic as builtins. On a GPU nothing is traced: trace is None and kernels
    are empty.
    """

    outputs: Any
    problems: list[str]
    findings: list[str]
    traffic: dict[str, Any]
    kernels: dict[str, JITFunction]
    trace: Trace | None


def launch_here(
    launcher: Callable, args: tuple = (), kwargs: dict[str, Any] | None = None, *, may_change: Collection[str] = ()
) -> Launched:
    """Record and replay in this process, with the launcher's own kernels.

    With CUDA tensors among the arguments the launcher simply runs, and there are no problems to tell.
    """
    kwargs = kwargs or {}
    if any(tensor.is_cuda for tensor in programs.tensors_in([*args, *kwargs.values()])):
        return Launched(launcher(*args, **kwargs), [], [], msgspec.to_builtins(Traffic()), {}, None)
    trace, functions = record_with_kernels(launcher, args, kwargs)
    done = replay(trace, functions, (args, kwargs), may_change=may_change, reorder=True)
    kinds, traffic = [f.kind for f in done.evidence.findings], msgspec.to_builtins(done.evidence.traffic)
    return Launched(done.outputs, done.problems, kinds, traffic, functions, trace)


def local_launch(
    launcher: Callable, args: tuple = (), kwargs: dict[str, Any] | None = None, *, may_change: Collection[str] = ()
) -> tuple[Any, list[str]]:
    """`launch_here`, as (outputs, problems)."""
    return launch_here(launcher, args, kwargs, may_change=may_change)[:2]
