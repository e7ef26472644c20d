"""Values and frames that cross between the judge and a worker: JSON for structure, raw buffers for numbers.

A frame is MAGIC, u32 header length, u64 body length, a JSON header, the body. A value is a JSON scalar, or an object
with one key that says what it is ({"list": [...]}, {"tensor": {...}}); bytes and numbers lie in the body.

The reader trusts nothing: every number is checked before anything is allocated, and whatever is wrong raises
WireError. Not here: who asks what (course.worker.worker, autograder.judging.remote). No pickle anywhere, no code
crosses.
"""

from __future__ import annotations

import json
import math
import socket
import struct
import time
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch

MAGIC = b"CRS1"
HEAD = struct.Struct("<4sIQ")
MAX_HEADER, MAX_BODY = 1 << 20, 256 << 20  # bytes
MAX_ANSWER = 16 << 20  # bytes of one answer of a worker: the longest honest one has 640 kB, all of an exercise 2.4 MB
MAX_GROWTH = 4 << 20  # bytes of tensors out of a small body: strides of 0 let one number stand for many
MAX_ANSWERS = 64 << 20  # of all answers to the questions about one exercise
MAX_NODES, MAX_DEPTH, MAX_DIMS = 10_000, 32, 16
MAX_INT_BITS = 14_000  # Python refuses to print much longer ones
MAX_OFFSET = 1 << 12  # elements before the first one of a tensor that starts inside its storage
MAX_GAPS = 8  # a strided tensor travels with its gaps while they are at most this many times its elements
SHORT = 4096  # characters of a string that still travels in the header

TENSOR_DTYPES = {
    "float64": torch.float64,
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "int64": torch.int64,
    "int32": torch.int32,
    "int16": torch.int16,
    "int8": torch.int8,
    "uint8": torch.uint8,
    "bool": torch.bool,
}
OTHER_DTYPES = {"complex64": torch.complex64, "complex128": torch.complex128}  # cross as names only
TENSOR_NAMES = {dtype: name for name, dtype in TENSOR_DTYPES.items()}
DTYPE_NAMES = {dtype: name for name, dtype in (TENSOR_DTYPES | OTHER_DTYPES).items()}
ARRAY_DTYPES = {
    n: np.dtype(n) for n in "float64 float32 float16 int64 int32 int16 int8 uint64 uint32 uint16 uint8 bool".split()
}
KEY_TYPES = (str, int, bool, tuple, float, type(None))


class Handle:
    """An object that stays on the subject's side. `id` names it there; `type_name` is for messages only."""

    __slots__ = ("id", "type_name")

    def __init__(self, id: int, type_name: str = "object") -> None:
        self.id, self.type_name = id, type_name

    def __repr__(self) -> str:
        return f"<{self.type_name} #{self.id}>"


class WireError(ValueError):
    """A value that can't cross, or a frame that breaks the rules. The message is one sentence part."""


# --- values out ---------------------------------------------------------------------------------------------------


def encode(value: Any, buffers: list, callback: Callable[[Any], int] | None = None, most: int = MAX_BODY) -> Any:
    """The JSON-able spec of `value`; its raw bytes are appended to `buffers`.

    callback: gives a number to a Python callable among the values; without it callables can't cross. most: bytes.
    Raises WireError naming the type of what can't cross.
    """
    return _Encoder(buffers, callback, most).spec(value, 0)


class _Encoder:
    def __init__(self, buffers: list, callback: Callable[[Any], int] | None, most: int) -> None:
        self.buffers, self.callback, self.most = buffers, callback, most
        self.size = sum(len(b) for b in buffers)
        self.nodes = 0

    def spec(self, value: Any, depth: int) -> Any:
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise WireError(f"it has more than {MAX_NODES:,} parts")
        if depth > MAX_DEPTH:
            raise WireError(f"it is nested more than {MAX_DEPTH} deep")
        kind = type(value)  # never __class__: an object may lie about that
        if value is None or kind is bool:
            return value
        for base, write in _WRITERS:
            if issubclass(kind, base):
                return write(self, value, depth)
        if self.callback is not None and callable(value):
            return {"callback": self.callback(value)}
        raise WireError(f"a {kind.__name__} can't be sent")

    def store(self, raw: bytes) -> list[int]:
        at, self.size = self.size, self.size + len(raw)
        if self.size > self.most:
            raise WireError(f"it is larger than {self.most >> 20} MiB")
        self.buffers.append(raw)
        return [at, len(raw)]

    def integer(self, value: int, depth: int) -> Any:
        value = int.__index__(value)
        if -(1 << 62) < value < 1 << 62:
            return value
        if value.bit_length() > MAX_INT_BITS:
            raise WireError(f"an int has more than {MAX_INT_BITS:,} bits")
        return {"int": hex(value)}

    def real(self, value: float, depth: int) -> Any:
        value = float.__float__(value)
        return value if math.isfinite(value) else {"float": struct.pack(">d", value).hex()}

    def text(self, value: str, depth: int) -> Any:
        value = str.__str__(value)
        if len(value) <= SHORT and not _has_surrogate(value):
            return value
        return {"str": self.store(value.encode("utf-8", "surrogatepass"))}

    def blob(self, value: bytes, depth: int) -> Any:
        return {"bytes": self.store(bytes.__getitem__(value, slice(None)))}

    def items(self, value: list, depth: int) -> Any:
        return {"list": [self.spec(v, depth + 1) for v in list.__iter__(value)]}

    def parts(self, value: tuple, depth: int) -> Any:
        return {"tuple": [self.spec(v, depth + 1) for v in tuple.__iter__(value)]}

    def pairs(self, value: dict, depth: int) -> Any:
        found = list(dict.items(value))
        for key, _ in found:
            if not issubclass(type(key), KEY_TYPES):
                raise WireError(f"a dict key is a {type(key).__name__}")
        return {"dict": [[self.spec(k, depth + 1), self.spec(v, depth + 1)] for k, v in found]}

    def tensor(self, value: torch.Tensor, depth: int) -> Any:
        try:
            with torch._C.DisableTorchFunctionSubclass(), torch.no_grad():
                return {"tensor": self._tensor(_plain(value))}
        except (RuntimeError, TypeError) as error:
            raise WireError(f"a {type(value).__name__[:80]} whose numbers can't be read can't be sent") from error

    def _tensor(self, x: torch.Tensor) -> dict:
        if x.dtype not in TENSOR_NAMES:
            raise WireError(f"a tensor of {x.dtype} can't be sent")
        if x.dim() > MAX_DIMS:
            raise WireError(f"a tensor has more than {MAX_DIMS} dimensions")
        stride, span = x.stride(), _span(x.shape, x.stride())
        if span > MAX_GAPS * x.numel() + 64 or x.numel() == 0:
            x = x.contiguous()
            stride, span = x.stride(), x.numel()
        if self.size + max(span, x.numel()) * x.element_size() > self.most:
            raise WireError(f"it is larger than {self.most >> 20} MiB")
        raw = x.as_strided((span,), (1,)).view(torch.uint8).numpy().tobytes() if span else b""
        start = x.storage_offset() if 0 < x.storage_offset() <= MAX_OFFSET and span else 0
        return {
            "dtype": TENSOR_NAMES[x.dtype],
            "shape": list(x.shape),
            "stride": list(stride),
            "start": start,
            "at": self.store(raw),
        }

    def array(self, value: np.ndarray, depth: int) -> Any:
        plain = np.ndarray.view(value, np.ndarray)
        plain = np.array(plain, dtype=plain.dtype.newbyteorder("="), order="C", copy=True)
        return {"array": self._array(plain, False)}

    def number(self, value: np.generic, depth: int) -> Any:
        return {"array": self._array(np.asarray(value), True)}

    def _array(self, x: np.ndarray, scalar: bool) -> dict:
        if x.dtype.name not in ARRAY_DTYPES:
            raise WireError(f"a numpy {x.dtype.name[:40]} can't be sent")
        if x.ndim > MAX_DIMS:
            raise WireError(f"an array has more than {MAX_DIMS} dimensions")
        if self.size + x.nbytes > self.most:
            raise WireError(f"it is larger than {self.most >> 20} MiB")
        return {"dtype": x.dtype.name, "shape": list(x.shape), "scalar": scalar, "at": self.store(x.tobytes())}

    def dtype(self, value: torch.dtype, depth: int) -> Any:
        if value not in DTYPE_NAMES:
            raise WireError(f"{value} can't be sent")
        return {"dtype": DTYPE_NAMES[value]}

    def handle(self, value: Handle, depth: int) -> Any:
        return {"handle": [value.id, value.type_name[:80]]}


_WRITERS: tuple[tuple[type, Callable], ...] = (
    (torch.Tensor, _Encoder.tensor),
    (np.ndarray, _Encoder.array),
    (np.generic, _Encoder.number),
    (int, _Encoder.integer),
    (float, _Encoder.real),
    (str, _Encoder.text),
    (bytes, _Encoder.blob),
    (list, _Encoder.items),
    (tuple, _Encoder.parts),
    (dict, _Encoder.pairs),
    (torch.dtype, _Encoder.dtype),
    (Handle, _Encoder.handle),
)


def _plain(value: torch.Tensor) -> torch.Tensor:
    """The tensor under a subclass or a parameter, on the CPU, without history and lazy bits."""
    layout = torch.Tensor.layout.__get__(value)
    if layout != torch.strided:
        raise WireError(f"a tensor of layout {layout} can't be sent")
    x = torch.Tensor.detach(value).as_subclass(torch.Tensor)
    if x.device.type == "meta":
        raise WireError("a tensor on the meta device has no numbers")
    return x.cpu().resolve_conj().resolve_neg()


def _has_surrogate(text: str) -> bool:
    return not text.isascii() and any("\ud800" <= c <= "\udfff" for c in text)


def _span(shape: Iterable[int], stride: Iterable[int]) -> int:
    """Elements between the first and the last of a strided tensor, both included."""
    shape = tuple(shape)
    if 0 in shape:
        return 0
    return 1 + sum((n - 1) * s for n, s in zip(shape, stride, strict=True))


# --- values in ----------------------------------------------------------------------------------------------------


def decode(spec: Any, body: bytes | bytearray, callback: Callable[[int], Any] | None = None) -> Any:
    """The value that `spec` and `body` describe. Tensors and arrays are fresh copies.

    callback: makes the function that stands for a callable's number; without it callables are refused.
    Raises WireError for anything that breaks the rules.
    """
    try:
        return _Decoder(body, callback).value(spec, 0)
    except WireError:
        raise
    except (ValueError, TypeError, KeyError, IndexError, OverflowError, RuntimeError, MemoryError) as error:
        raise WireError(f"a value that can't be read ({type(error).__name__})") from error


class _Decoder:
    def __init__(self, body: bytes | bytearray, callback: Callable[[int], Any] | None) -> None:
        self.body, self.callback, self.nodes = body, callback, 0
        self.room = max(len(body), MAX_GROWTH)  # bytes that tensors may still take

    def value(self, spec: Any, depth: int) -> Any:
        self.nodes += 1
        if self.nodes > MAX_NODES or depth > MAX_DEPTH:
            raise WireError("a value with too many parts")
        kind = type(spec)
        if spec is None or kind in (bool, int, str):
            return self._small(spec)
        if kind is float:
            return _checked(spec, math.isfinite(spec), "a number that is not finite")
        if kind is not dict or len(spec) != 1:
            raise WireError("a value of unknown kind")
        [(name, inner)] = spec.items()
        if name not in _READERS:
            raise WireError("a value of unknown kind")
        return _READERS[name](self, inner, depth)

    def _small(self, spec: Any) -> Any:
        if type(spec) is int and spec.bit_length() > 63:
            raise WireError("an int that is too long")
        return spec

    def slice(self, at: Any) -> memoryview:
        if type(at) is not list or len(at) != 2 or not all(_natural(n, MAX_BODY) for n in at):
            raise WireError("a place in the body that is not two numbers")
        if at[0] + at[1] > len(self.body):
            raise WireError("a place outside the body")
        return memoryview(self.body)[at[0] : at[0] + at[1]]

    def integer(self, inner: Any, depth: int) -> int:
        if type(inner) is not str or len(inner) > MAX_INT_BITS // 4 + 3:
            raise WireError("an int that is too long")
        return int(inner, 16)

    def real(self, inner: Any, depth: int) -> float:
        if type(inner) is not str or len(inner) != 16:
            raise WireError("a float that is not 8 bytes")
        return struct.unpack(">d", bytes.fromhex(inner))[0]

    def text(self, inner: Any, depth: int) -> str:
        return bytes(self.slice(inner)).decode("utf-8", "surrogatepass")

    def blob(self, inner: Any, depth: int) -> bytes:
        return bytes(self.slice(inner))

    def items(self, inner: Any, depth: int) -> list:
        return [self.value(v, depth + 1) for v in _list(inner)]

    def parts(self, inner: Any, depth: int) -> tuple:
        return tuple(self.items(inner, depth))

    def pairs(self, inner: Any, depth: int) -> dict:
        found = {}
        for pair in _list(inner):
            if len(_list(pair)) != 2:
                raise WireError("a dict entry that is not a pair")
            key = self.value(pair[0], depth + 1)
            if type(key) not in KEY_TYPES:
                raise WireError("a dict key of a wrong kind")
            found[key] = self.value(pair[1], depth + 1)
        return found

    def _extent(self, inner: Any, itemsize: int) -> tuple[tuple[int, ...], int]:
        shape = inner["shape"]
        if type(shape) is not list or len(shape) > MAX_DIMS or not all(_natural(n, MAX_BODY) for n in shape):
            raise WireError("a shape that is not a short list of sizes")
        count = math.prod(shape)
        if count * itemsize > self.room:
            raise WireError("tensors that are too large")
        self.room -= count * itemsize
        return tuple(shape), count

    def tensor(self, inner: Any, depth: int) -> torch.Tensor:
        dtype = TENSOR_DTYPES[inner["dtype"]]
        shape, _ = self._extent(inner, dtype.itemsize)
        stride, start, raw = inner["stride"], inner["start"], self.slice(inner["at"])
        if type(stride) is not list or len(stride) != len(shape) or not all(_natural(n, MAX_BODY) for n in stride):
            raise WireError("strides that don't fit the shape")
        span = _span(shape, stride)
        if not _natural(start, MAX_OFFSET) or span * dtype.itemsize != len(raw):
            raise WireError("a tensor whose bytes don't fit its shape")
        return _from_bytes(raw, dtype, start).as_strided(shape, stride, start)

    def array(self, inner: Any, depth: int) -> Any:
        dtype, raw = ARRAY_DTYPES[inner["dtype"]], self.slice(inner["at"])
        shape, count = self._extent(inner, dtype.itemsize)
        if count * dtype.itemsize != len(raw):
            raise WireError("an array whose bytes don't fit its shape")
        flat = np.frombuffer(raw, np.uint8).astype(bool) if dtype.kind == "b" else np.frombuffer(raw, dtype).copy()
        found = flat.reshape(shape)
        return found[()] if inner["scalar"] is True and shape == () else found

    def dtype(self, inner: Any, depth: int) -> torch.dtype:
        return (TENSOR_DTYPES | OTHER_DTYPES)[inner]

    def handle(self, inner: Any, depth: int) -> Handle:
        number, name = inner
        if not _natural(number, 1 << 62) or type(name) is not str or len(name) > 80:
            raise WireError("a handle that is not a number and a name")
        return Handle(number, name)

    def function(self, inner: Any, depth: int) -> Any:
        if self.callback is None or not _natural(inner, 1 << 62):
            raise WireError("a function, where none can cross")
        return self.callback(inner)


_READERS: dict[str, Callable] = {
    "int": _Decoder.integer,
    "float": _Decoder.real,
    "str": _Decoder.text,
    "bytes": _Decoder.blob,
    "list": _Decoder.items,
    "tuple": _Decoder.parts,
    "dict": _Decoder.pairs,
    "tensor": _Decoder.tensor,
    "array": _Decoder.array,
    "dtype": _Decoder.dtype,
    "handle": _Decoder.handle,
    "callback": _Decoder.function,
}


def _from_bytes(raw: memoryview, dtype: torch.dtype, start: int) -> torch.Tensor:
    """A fresh one-dimensional tensor: `start` zeros, then the numbers of `raw`."""
    flat = torch.zeros(start * dtype.itemsize + len(raw), dtype=torch.uint8, device="cpu")
    if len(raw):
        flat.numpy()[start * dtype.itemsize :] = np.frombuffer(raw, np.uint8)
    return flat.ne(0) if dtype == torch.bool else flat.view(dtype)  # a bool byte of 7 is not a bool


def _natural(number: Any, limit: int) -> bool:
    return type(number) is int and 0 <= number <= limit


def _list(value: Any) -> list:
    return _checked(value, type(value) is list, "a list that is not one")


def _checked(value: Any, ok: bool, says: str) -> Any:
    if not ok:
        raise WireError(says)
    return value


# --- frames -------------------------------------------------------------------------------------------------------


def send(sock: socket.socket, header: dict, buffers: Iterable = (), deadline: float | None = None) -> None:
    """Write one frame. deadline: on time.monotonic(); raises TimeoutError after it, WireError if it is too large."""
    buffers = list(buffers)
    text = json.dumps(header, allow_nan=False, separators=(",", ":")).encode()
    size = sum(len(b) for b in buffers)
    if len(text) > MAX_HEADER or size > MAX_BODY:
        raise WireError(f"it is larger than a frame ({MAX_BODY >> 20} MiB)")
    for part in (HEAD.pack(MAGIC, len(text), size) + text, *buffers):
        _limit(sock, deadline)
        sock.sendall(part)


def recv(sock: socket.socket, deadline: float | None = None, most: int = MAX_BODY) -> tuple[dict, bytearray]:
    """Read one frame: (header, body). most: bytes that the body may have.

    Raises EOFError when the other side is gone, TimeoutError after `deadline` (time.monotonic()), WireError for a frame
    that breaks the rules; after either of the last two the stream is of no use any more.
    """
    magic, header_size, body_size = HEAD.unpack(_exactly(sock, HEAD.size, deadline, first=True))
    if magic != MAGIC or header_size > MAX_HEADER or body_size > most:
        raise WireError("a frame that starts wrongly or is too large")
    header = _parse(_exactly(sock, header_size, deadline))
    return header, _exactly(sock, body_size, deadline)


def _parse(raw: bytearray) -> dict:
    try:
        header = json.loads(raw.decode("utf-8"), parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise WireError("a header that is not JSON") from error
    return _checked(header, type(header) is dict, "a header that is not an object")


def _refuse(constant: str) -> None:
    raise ValueError(constant)


def _exactly(sock: socket.socket, size: int, deadline: float | None, first: bool = False) -> bytearray:
    found, view, got = bytearray(size), None, 0
    view = memoryview(found)
    while got < size:
        _limit(sock, deadline)
        try:
            count = sock.recv_into(view[got:])
        except ConnectionError:
            count = 0
        if not count:
            if first and got == 0:
                raise EOFError("the other side is gone")
            raise WireError("a frame that ends early")
        got += count
    view.release()
    return found


def _limit(sock: socket.socket, deadline: float | None) -> None:
    if deadline is None:
        sock.settimeout(None)
        return
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("the deadline has passed")
    sock.settimeout(left)
