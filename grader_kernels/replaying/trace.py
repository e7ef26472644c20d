"""Launch trace: what a launcher asked for, as plain data, without running a single kernel.

`record(launcher, args, kwargs)` runs the launcher's Python. Launches are written down and not executed; a dispatch mode
sees the allocations, fills and copies around them. The trace can be replayed elsewhere on other memory (`replay.py`).

What it is not: evidence. It is made in a process that ran a learner's Python, which can forge every word of it. That is
why the numbers of a verdict come from the replay alone: the worst a forged trace can ask for is another sequence of
launches of the learner's own kernels. `from_data` therefore checks shape, size and range of everything it reads.
Whatever torch computes is not in the trace: a tensor that was neither an input nor an allocation seen here is written
down as such (`seen=False`), never silently.
"""

from __future__ import annotations

import inspect
import math
from collections import namedtuple
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import msgspec
import numpy as np
import torch
import triton.language as tl
from msgspec import Meta, Struct
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from triton.runtime.jit import JITFunction

from grader_kernels.interpreter.context import on_cpu
from grader_kernels.interpreter.programs import bind, grid_of
from grader_kernels.problem import copy_into

MAX_BUFFERS = 4096
MAX_STEPS = 10_000
MAX_PROGRAMS = 10_000_000  # over all launches
MAX_BYTES = 1 << 30  # over all buffers
MAX_DEPTH = 16

Name = Annotated[str, Meta(min_length=1, max_length=200)]
Field = Annotated[str, Meta(pattern="^[a-zA-Z][a-zA-Z0-9_]*$", max_length=200)]
Size = Annotated[int, Meta(ge=0, le=1 << 40)]
Sizes = Annotated[list[Size], Meta(max_length=16)]

DTYPES = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (
        *(torch.float64, torch.float32, torch.float16, torch.bfloat16),
        *(torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool),
    )
}
TL_DTYPES = {
    dtype.name: dtype
    for dtype in (
        *(tl.float64, tl.float32, tl.float16, tl.bfloat16, tl.float8e4nv, tl.float8e5),
        *(tl.int64, tl.int32, tl.int16, tl.int8, tl.int1, tl.uint64, tl.uint32, tl.uint16, tl.uint8),
    )
}


class TraceError(ValueError):
    """A trace that can't be recorded or can't be believed; one sentence."""


# --------------------------------------------------------------------------------------------------------------------
# The data


class TensorRef(Struct, tag="tensor", frozen=True, forbid_unknown_fields=True):
    """A tensor as a view of a buffer: offset in bytes from the buffer's start, strides in elements."""

    buffer: Size
    offset: Size
    shape: Sizes
    strides: Sizes
    dtype: Name

    def numel(self) -> int:
        return math.prod(self.shape)

    def extent(self) -> int:
        """Bytes from the first to behind the last element."""
        return extent_of(self.shape, self.strides, DTYPES[self.dtype].itemsize)


class Scalar(Struct, tag="scalar", frozen=True, forbid_unknown_fields=True):
    """None, bool, int, float or str. Floats as hexadecimal text: exact, and inf and nan survive JSON."""

    kind: Annotated[str, Meta(pattern="^(none|bool|int|float|str)$")]
    text: Annotated[str, Meta(max_length=1000)] = ""

    @classmethod
    def of(cls, value: Any) -> Scalar:
        if value is None:
            return cls("none")
        if isinstance(value, float):
            return cls("float", value.hex())
        return cls(type(value).__name__, str(value))

    def value(self) -> None | bool | int | float | str:
        if self.kind == "none":
            return None
        if self.kind == "bool":
            return self.text == "True"
        if self.kind == "int":
            return _whole(self.text)
        return float.fromhex(self.text) if self.kind == "float" else self.text


def _whole(text: str) -> int:
    value = int(text) if len(text) <= 21 else 1 << 64
    if not -(1 << 63) <= value < 1 << 64:
        raise TraceError("the trace holds a whole number of more than 64 bits")
    return value


class DtypeRef(Struct, tag="dtype", frozen=True, forbid_unknown_fields=True):
    """A Triton dtype given to a launch (`tl.float16`)."""

    name: Name


class FunctionRef(Struct, tag="function", frozen=True, forbid_unknown_fields=True):
    """A jitted function given to a launch as a constexpr."""

    name: Name


class Other(Struct, tag="other", frozen=True, forbid_unknown_fields=True):
    """Something a trace has no word for."""

    type_name: Name


class Items(Struct, tag="items", frozen=True, forbid_unknown_fields=True):
    """A tuple or list; fields: the names of a named tuple's items."""

    kind: Annotated[str, Meta(pattern="^(tuple|list)$")]
    items: Annotated[list[Node], Meta(max_length=1000)]
    fields: Annotated[list[Field], Meta(max_length=1000)] = []

    def tuple_of(self, values: list) -> tuple:
        """A tuple of this kind. Raises TraceError for names that no named tuple can have."""
        if not self.fields:
            return tuple(values)
        try:
            return namedtuple("Given", self.fields)(*values)
        except (ValueError, TypeError):
            raise TraceError("the launch trace holds a named tuple that can't be") from None


class Fields(Struct, tag="fields", frozen=True, forbid_unknown_fields=True):
    """A dict with string keys."""

    items: Annotated[dict[Annotated[str, Meta(max_length=200)], Node], Meta(max_length=1000)]


Node = TensorRef | Scalar | DtypeRef | FunctionRef | Other | Items | Fields


class Input(Struct, frozen=True, forbid_unknown_fields=True):
    """A tensor argument. path leads to it from (args, kwargs); its buffer starts at its first element."""

    buffer: Size
    path: Annotated[list[Annotated[str, Meta(max_length=200)] | Size], Meta(max_length=MAX_DEPTH)]
    name: Name
    dtype: Name
    shape: Sizes
    strides: Sizes


class Allocation(Struct, frozen=True, forbid_unknown_fields=True):
    """Memory the launcher made.

    bytes   of its storage          fill    a number, or None: uninitialised
    seen    False: made where the recorder couldn't look, or computed by torch; nobody knows what it holds
    source  the operation that made it ("aten::empty")
    """

    buffer: Size
    dtype: Name
    shape: Sizes
    strides: Sizes
    bytes: Size
    fill: Scalar | None = None
    seen: bool = True
    source: Annotated[str, Meta(max_length=200)] = ""


class Fill(Struct, tag="fill", frozen=True, forbid_unknown_fields=True):
    """`target.fill_(value)`."""

    target: TensorRef
    value: Scalar


class Copy(Struct, tag="copy", frozen=True, forbid_unknown_fields=True):
    """`target.copy_(source)`: what `.contiguous()`, `.clone()` and `.to(dtype)` do."""

    target: TensorRef
    source: TensorRef


class HostRead(Struct, frozen=True, forbid_unknown_fields=True):
    """Numbers of a buffer that the launcher looks at in Python. how: "tolist()"."""

    buffer: Size
    how: Name


class Launch(Struct, tag="launch", frozen=True, forbid_unknown_fields=True):
    """One kernel launch; args by parameter name, constexprs the names that are tl.constexpr, options like num_warps."""

    kernel: Name
    grid: Annotated[list[Size], Meta(min_length=3, max_length=3)]
    args: Annotated[dict[Name, Node], Meta(max_length=200)]
    constexprs: Annotated[list[Name], Meta(max_length=200)] = []
    options: Annotated[dict[Name, Scalar], Meta(max_length=50)] = {}


class Trace(Struct, forbid_unknown_fields=True):
    """Everything a launcher asked for. foreign: names of torch operations that compute ("aten::_softmax");
    overwritten: buffers such an operation wrote into; host_reads: what it looked at in Python."""

    inputs: Annotated[list[Input], Meta(max_length=MAX_BUFFERS)] = []
    allocations: Annotated[list[Allocation], Meta(max_length=MAX_BUFFERS)] = []
    steps: Annotated[list[Fill | Copy | Launch], Meta(max_length=MAX_STEPS)] = []
    foreign: Annotated[list[Name], Meta(max_length=1000)] = []
    overwritten: Annotated[list[Size], Meta(max_length=MAX_BUFFERS)] = []
    host_reads: Annotated[list[HostRead], Meta(max_length=1000)] = []
    returned: Node = Scalar("none")

    @property
    def launches(self) -> list[Launch]:
        return [step for step in self.steps if isinstance(step, Launch)]

    @property
    def fills(self) -> list[Fill]:
        return [step for step in self.steps if isinstance(step, Fill)]

    @property
    def copies(self) -> list[Copy]:
        return [step for step in self.steps if isinstance(step, Copy)]

    def kernels(self) -> set[str]:
        """Names of the kernels launched and of the jitted functions handed to them."""
        handed = {node.name for node in self._given() if isinstance(node, FunctionRef)}
        return {launch.kernel for launch in self.launches} | handed

    def fields(self) -> frozenset[str]:
        """Names of the items of named tuples given to launches."""
        return frozenset(name for node in self._given() if isinstance(node, Items) for name in node.fields)

    def _given(self) -> Iterator[Node]:
        return (node for launch in self.launches for arg in launch.args.values() for node in walk(arg))

    def to_data(self) -> dict[str, Any]:
        """The trace as dicts, lists, strings, ints and bools: any JSON encoder takes it."""
        return msgspec.to_builtins(self)


def from_data(data: Any) -> Trace:
    """Read what `to_data` wrote, believing nothing. Raises TraceError."""
    try:
        trace = msgspec.convert(data, Trace, strict=True)
        _check(trace)
    except (msgspec.ValidationError, RecursionError, ValueError, OverflowError, TypeError) as error:
        if isinstance(error, TraceError):
            raise
        raise TraceError(f"the launch trace is malformed: {error}") from None
    return trace


def walk(node: Node, depth: int = 0) -> Iterator[Node]:
    """The node and everything under it."""
    if depth > MAX_DEPTH:
        raise TraceError(f"the launch trace is nested more than {MAX_DEPTH} deep")
    yield node
    below = node.items if isinstance(node, Items) else node.items.values() if isinstance(node, Fields) else ()
    for item in below:
        yield from walk(item, depth + 1)


def extent_of(shape: list[int], strides: list[int], itemsize: int) -> int:
    """Bytes from a tensor's first element to behind its last."""
    if any(size == 0 for size in shape):
        return 0
    return (sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True)) + 1) * itemsize


def _check(trace: Trace) -> None:
    sizes = _buffer_sizes(trace)
    if sum(sizes.values()) > MAX_BYTES:
        raise TraceError(f"the launch trace asks for {sum(sizes.values())} bytes; the limit is {MAX_BYTES}")
    for root in _roots(trace):
        for node in walk(root):
            _check_node(node, sizes)
    programs = sum(math.prod(launch.grid) for launch in trace.launches)
    if programs > MAX_PROGRAMS:
        raise TraceError(f"the launch trace asks for {programs} programs; the limit is {MAX_PROGRAMS}")
    if not {*trace.overwritten, *(read.buffer for read in trace.host_reads)} <= set(sizes):
        raise TraceError("the launch trace names a buffer that does not exist")
    filled = [*(fill.value for fill in trace.fills), *(made.fill for made in trace.allocations if made.fill)]
    if not all(isinstance(number.value(), bool | int | float) for number in filled):
        raise TraceError("the launch trace fills a tensor with what is no number")


def _buffer_sizes(trace: Trace) -> dict[int, int]:
    sizes: dict[int, int] = {}
    for made in [*trace.inputs, *trace.allocations]:
        if made.buffer in sizes:
            raise TraceError(f"the launch trace defines buffer {made.buffer} twice")
        if made.dtype not in DTYPES or len(made.shape) != len(made.strides):
            raise TraceError(f"the launch trace holds a buffer of unknown kind ({made.dtype})")
        extent = extent_of(made.shape, made.strides, DTYPES[made.dtype].itemsize)
        sizes[made.buffer] = extent if isinstance(made, Input) else made.bytes
        if extent > sizes[made.buffer]:
            raise TraceError(f"the launch trace holds a buffer ({made.buffer}) that is larger than its memory")
    return sizes


def _roots(trace: Trace) -> Iterator[Node]:
    yield trace.returned
    for step in trace.steps:
        if isinstance(step, Launch):
            yield from step.args.values()
            yield from step.options.values()
        elif isinstance(step, Fill):
            yield from (step.target, step.value)
        else:
            yield from (step.target, step.source)
    yield from (made.fill for made in trace.allocations if made.fill is not None)


def _check_node(node: Node, sizes: dict[int, int]) -> None:
    if isinstance(node, Scalar):
        node.value()
    elif isinstance(node, DtypeRef) and node.name not in TL_DTYPES:
        raise TraceError(f"the launch trace names an unknown dtype ({node.name})")
    elif isinstance(node, TensorRef):
        if node.buffer not in sizes or node.dtype not in DTYPES or len(node.shape) != len(node.strides):
            raise TraceError("the launch trace refers to a tensor that does not exist")
        if node.offset % DTYPES[node.dtype].itemsize or node.offset + node.extent() > sizes[node.buffer]:
            raise TraceError(f"the launch trace refers to memory outside of buffer {node.buffer}")


# --------------------------------------------------------------------------------------------------------------------
# Recording

UNINITIALISED = {f"aten::{name}" for name in ("empty", "empty_like", "empty_strided", "empty_permuted")}
UNINITIALISED |= {"aten::new_empty", "aten::new_empty_strided"}
CONSTANT = {f"aten::{name}{like}": value for name, value in (("zeros", 0), ("ones", 1)) for like in ("", "_like")}
CONSTANT |= {"aten::new_zeros": 0, "aten::new_ones": 1}
FILLED_WITH = {"aten::full": 1, "aten::full_like": 1, "aten::new_full": 2}  # position of the fill value
COPYING = {"aten::clone", "aten::_to_copy"}
READING = {"aten::_local_scalar_dense": "item()", "aten::equal": "torch.equal", "aten::is_nonzero": "bool()"}
READING_METHODS = set("tolist numpy cpu __array__ __dlpack__".split())  # which no dispatcher is told of, on a CPU


class _Recorder(TorchDispatchMode):
    """Watches torch between launches and knows where every tensor's memory comes from."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # nothing is compiled here, and importing the compiler takes more than a second

    def __init__(self, launcher: Callable, args: tuple, kwargs: dict[str, Any]) -> None:
        super().__init__()
        self.trace = Trace()
        self.functions: dict[str, JITFunction] = {}
        self.buffers: dict[int, int] = {}  # storage -> buffer, for allocations
        self.inputs: dict[int, list[tuple[torch.Tensor, Input]]] = {}  # storage -> inputs in it
        self.constants: dict[int, Any] = {}  # storage of a literal 0-d tensor -> its value
        self.alive: list[torch.Tensor] = []  # keeps addresses from being used twice
        self._next = 0
        for path, name, tensor in _tensor_paths(launcher, args, kwargs):
            self._add_input(path, name, tensor)

    # memory
    def _number(self) -> int:
        self._next += 1
        return self._next - 1

    def _add_input(self, path: list[str | int], name: str, tensor: torch.Tensor) -> None:
        described = Input(self._number(), path, name, _dtype_name(tensor), list(tensor.shape), list(tensor.stride()))
        self.trace.inputs.append(described)
        self.inputs.setdefault(_storage_key(tensor), []).append((tensor, described))
        self.alive.append(tensor)

    def allocate(self, tensor: torch.Tensor, source: str, fill: Any = None, seen: bool = True) -> int:
        storage = tensor.untyped_storage()
        number = self._number()
        value = None if fill is None else Scalar.of(fill)
        layout = (list(tensor.shape), list(tensor.stride()))
        described = Allocation(number, _dtype_name(tensor), *layout, storage.nbytes(), value, seen, source)
        self.trace.allocations.append(described)
        self.buffers[_storage_key(tensor)] = number
        self.alive.append(tensor)
        return number

    def known(self, tensor: torch.Tensor) -> bool:
        return _storage_key(tensor) in self.buffers or _storage_key(tensor) in self.inputs

    def reference(self, tensor: torch.Tensor) -> TensorRef:
        """The tensor as a view of a buffer; memory nobody saw being made becomes a buffer with seen=False."""
        if _storage_key(tensor) in self.inputs:
            return self._input_reference(tensor)
        if not self.known(tensor):
            self.allocate(tensor, "unknown", seen=False)
        offset = tensor.storage_offset() * tensor.element_size()
        return self._view(tensor, self.buffers[_storage_key(tensor)], offset)

    def _input_reference(self, tensor: torch.Tensor) -> TensorRef:
        owners = self.inputs[_storage_key(tensor)]
        extent = extent_of(list(tensor.shape), list(tensor.stride()), tensor.element_size())
        for owner, described in owners:
            offset = tensor.data_ptr() - owner.data_ptr() if tensor.numel() else 0
            room = extent_of(described.shape, described.strides, owner.element_size())
            if 0 <= offset and offset + extent <= room:
                return self._view(tensor, described.buffer, offset)
        raise TraceError(f"the launcher uses memory outside of its argument {owners[0][1].name}")

    @staticmethod
    def _view(tensor: torch.Tensor, buffer: int, offset: int) -> TensorRef:
        return TensorRef(buffer, offset, list(tensor.shape), list(tensor.stride()), _dtype_name(tensor))

    def node(self, value: Any, depth: int = 0) -> Node:
        """Any value of a launch or a return as data."""
        if isinstance(value, torch.Tensor):
            return self.reference(value)
        value = tl.core._unwrap_if_constexpr(value)
        if value is None or type(value) in (bool, int, float, str):
            return Scalar.of(value)
        if isinstance(value, tl.dtype) and value.name in TL_DTYPES:
            return DtypeRef(value.name)
        if isinstance(value, JITFunction):
            return FunctionRef(self._function(value))
        if isinstance(value, (tuple, list)) and depth < MAX_DEPTH:
            kind = "tuple" if isinstance(value, tuple) else "list"
            return Items(kind, [self.node(item, depth + 1) for item in value], list(getattr(value, "_fields", ())))
        if isinstance(value, dict) and depth < MAX_DEPTH and all(isinstance(key, str) for key in value):
            return Fields({key: self.node(item, depth + 1) for key, item in value.items()})
        return Other(type(value).__name__[:200])

    def _function(self, function: JITFunction) -> str:
        name = function.fn.__name__
        if self.functions.setdefault(name, function) is not function:
            raise TraceError(f"two different kernels are named {name}: give each its own name")
        return name

    # events
    def launch(self, kernel: JITFunction, grid: Any, args: tuple, kwargs: dict[str, Any]) -> None:
        arguments, options = bind(kernel, args, kwargs)
        sizes = grid_of(kernel, grid, arguments)
        nodes = {name: self.node(value) for name, value in arguments.items()}
        constexprs = [param.name for param in kernel.params if param.is_constexpr]
        plain = {name: Scalar.of(value) for name, value in options.items() if type(value) in (bool, int, float, str)}
        self._step(Launch(self._function(kernel), list(sizes), nodes, constexprs, plain))

    def _step(self, step: Fill | Copy | Launch) -> None:
        if len(self.trace.steps) >= MAX_STEPS:
            raise TraceError(f"the launcher does more than {MAX_STEPS} launches, fills and copies")
        self.trace.steps.append(step)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        self._note(func._schema, args, kwargs, out)
        return out

    def _note(self, schema, args: tuple, kwargs: dict[str, Any], out: Any) -> None:
        name = schema.name
        if name in UNINITIALISED:
            self.allocate(out, name)
        elif name in CONSTANT:
            self.allocate(out, name, CONSTANT[name])
        elif name in FILLED_WITH:
            at = FILLED_WITH[name]
            self.allocate(out, name, args[at] if len(args) > at else kwargs["fill_value"])
        elif name == "aten::lift_fresh":
            self._note_literal(out)
        elif name in ("aten::fill_", "aten::zero_"):
            self._note_fill(args[0], args[1] if name == "aten::fill_" else 0)
        elif name in COPYING and self.known(args[0]):
            self.allocate(out, name)
            self._step(Copy(self.reference(out), self.reference(args[0])))
        elif name == "aten::copy_" and self.known(args[0]) and self.known(args[1]):
            self._note_copy(args[0], args[1])
        elif name in READING:
            for tensor in args:
                self.note_host_read(tensor, READING[name])
        elif not _is_view(schema):
            self._note_foreign(schema, args, kwargs, out)

    def note_host_read(self, tensor: Any, how: str) -> None:
        """A look at numbers; those that Python made itself are no news."""
        if not isinstance(tensor, torch.Tensor) or _storage_key(tensor) in self.constants:
            return
        read = HostRead(self.reference(tensor).buffer, how)
        if read not in self.trace.host_reads and len(self.trace.host_reads) < 1000:
            self.trace.host_reads.append(read)

    def _note_literal(self, tensor: torch.Tensor) -> None:
        """`torch.tensor(2.0)`: a number, not a computation."""
        if tensor.numel() == 1 and not self.known(tensor):
            self.constants[_storage_key(tensor)] = tensor.item()
            self.allocate(tensor, "aten::lift_fresh", tensor.item())

    def _note_fill(self, target: torch.Tensor, value: Any) -> None:
        if isinstance(value, torch.Tensor):
            value = self.constants.get(_storage_key(value))
        if value is None or not self.known(target):
            self._add_foreign("aten::fill_", [target])
        else:
            self._step(Fill(self.reference(target), Scalar.of(value)))

    def _note_copy(self, target: torch.Tensor, source: torch.Tensor) -> None:
        source = source.expand(target.shape)
        self._step(Copy(self.reference(target), self.reference(source)))

    def _note_foreign(self, schema, args: tuple, kwargs: dict[str, Any], out: Any) -> None:
        written = [kind.alias_info is not None and kind.alias_info.is_write for kind in schema.arguments]
        values = [*args, *(kwargs.get(kind.name) for kind in schema.arguments[len(args) :])]
        self._add_foreign(schema.name, [value for value, write in zip(values, written, strict=False) if write])
        for tensor in out if isinstance(out, (tuple, list)) else [out]:
            if isinstance(tensor, torch.Tensor) and not self.known(tensor):
                self.allocate(tensor, schema.name, seen=False)

    def _add_foreign(self, name: str, written: list[Any]) -> None:
        if name not in self.trace.foreign and len(self.trace.foreign) < 1000:
            self.trace.foreign.append(name)
        for tensor in written:
            if isinstance(tensor, torch.Tensor):
                buffer = self.reference(tensor).buffer
                if buffer not in self.trace.overwritten:
                    self.trace.overwritten.append(buffer)


class _HostReads(TorchFunctionMode):
    """Watches the methods that hand a tensor's numbers to Python without an operation of torch."""

    def __init__(self, recorder: _Recorder) -> None:
        super().__init__()
        self.recorder = recorder

    def __torch_function__(self, func, types, args=(), kwargs=None):
        name = getattr(func, "__name__", "")
        if name in READING_METHODS and args:
            self.recorder.note_host_read(args[0], f"{name}()")
        return func(*args, **(kwargs or {}))


def _storage_key(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage()._cdata


def _dtype_name(tensor: torch.Tensor) -> str:
    name = str(tensor.dtype).removeprefix("torch.")
    if name not in DTYPES:
        raise TraceError(f"tensors of type {tensor.dtype} can't be traced")
    return name


def _is_view(schema) -> bool:
    """A view makes no numbers: everything it returns is an alias, and it writes nothing."""
    returns = [returned.alias_info for returned in schema.returns]
    return bool(returns) and all(alias is not None and not alias.is_write for alias in returns)


Found = tuple[list[str | int], str, torch.Tensor]  # path, name in words, tensor


def _tensor_paths(launcher: Callable, args: tuple, kwargs: dict[str, Any]) -> Iterator[Found]:
    try:
        names = list(inspect.signature(launcher).parameters)
    except (TypeError, ValueError):
        names = []
    for i, arg in enumerate(args):
        name = names[i] if i < len(names) else f"argument {i}"
        yield from _below([0, i], name, arg)
    for key, arg in kwargs.items():
        yield from _below([1, key], key, arg)


def renamed(trace: Trace, names: list[str]) -> Trace:
    """`trace` with its inputs called by their place in the call: names[i] for the i-th argument, keywords as given."""

    def name(path: list[str | int]) -> str:
        if len(path) < 2 or path[0] == 0 and not (type(path[1]) is int and path[1] < len(names)):
            raise TraceError(f"the trace names an input at {path}, where none was given")
        first = names[path[1]] if path[0] == 0 else str(path[1])
        return "".join([first, *(f"[{key!r}]" for key in path[2:])])[:200]

    inputs = [msgspec.structs.replace(made, name=name(made.path)) for made in trace.inputs]
    return msgspec.structs.replace(trace, inputs=inputs)


def _below(path: list[str | int], name: str, value: Any) -> Iterator[Found]:
    if isinstance(value, torch.Tensor):
        yield path, name[:200], value
    elif len(path) < MAX_DEPTH and isinstance(value, (tuple, list)):
        for i, item in enumerate(value):
            yield from _below([*path, i], f"{name}[{i}]", item)
    elif len(path) < MAX_DEPTH and isinstance(value, dict):
        for key, item in value.items():
            if isinstance(key, (str, int)):
                yield from _below([*path, key], f"{name}[{key!r}]", item)


def record(launcher: Callable, args: tuple = (), kwargs: dict[str, Any] | None = None) -> Trace:
    """Run `launcher(*args, **kwargs)` with its launches written down instead of executed.

    Everything a kernel would have written stays unwritten, so a launcher that looks at a kernel's result sees
    whatever was there before. Raises what the launcher raises, and TraceError.
    """
    return record_with_kernels(launcher, args, kwargs)[0]


def record_with_kernels(
    launcher: Callable, args: tuple, kwargs: dict[str, Any] | None
) -> tuple[Trace, dict[str, JITFunction]]:
    """As `record`; also the jitted functions by name, for a replay in this process."""
    kwargs = kwargs or {}
    recorder = _Recorder(launcher, args, kwargs)
    with on_cpu(recorder=recorder.launch), recorder, _HostReads(recorder):
        returned = launcher(*args, **kwargs)
    recorder.trace.returned = recorder.node(returned)
    return recorder.trace, recorder.functions


# --------------------------------------------------------------------------------------------------------------------
# Other tensors of the same layout


def cloned(value: Any) -> Any:
    """`value` with a copy of every tensor in it; strides stay, also those of an expanded dimension."""
    if isinstance(value, torch.Tensor):
        copy = torch.empty_strided(value.shape, value.stride(), dtype=value.dtype)
        copy_into(copy, value.detach())
        return copy
    if isinstance(value, dict):
        return {key: cloned(item) for key, item in value.items()}
    return type(value)(cloned(item) for item in value) if isinstance(value, (tuple, list)) else value


def stand_in(value: Any, other: Any = None) -> Any:
    """`value` with other numbers in every float tensor: shape, strides, sign and order of magnitude stay.

    Whole numbers and booleans stay too: launchers size their grids by them. With `other`, the same arguments drawn a
    second time, tensors of them come from there: what two draws have in common is known to a launcher, nothing else.
    """
    if isinstance(value, torch.Tensor) and value.is_floating_point() and value.numel():
        known = value[torch.isfinite(value)].double()
        top = 2.0 ** math.ceil(math.log2(max(float(known.abs().max()) if known.numel() else 1.0, 1e-6)))
        low = 0.0 if bool((known >= 0).all()) else -top
        high = 0.0 if low and bool((known <= 0).all()) else top
        made = torch.empty_strided(value.shape, value.stride(), dtype=value.dtype)
        copy_into(made, torch.from_numpy(np.random.default_rng().uniform(low, high, tuple(value.shape))))
        return made
    if isinstance(value, torch.Tensor):
        return other if isinstance(other, torch.Tensor) and _layout(other) == _layout(value) else value
    if type(value) in (tuple, list):
        others = other if type(other) is type(value) and len(other) == len(value) else [None] * len(value)
        return type(value)(stand_in(v, o) for v, o in zip(value, others, strict=True))
    if type(value) is dict:
        others = other if type(other) is dict else {}
        return {k: stand_in(v, others.get(k)) for k, v in value.items()}
    return value


def _layout(tensor: torch.Tensor) -> tuple:
    return tensor.dtype, tensor.shape, tensor.stride()
