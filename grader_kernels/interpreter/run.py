"""Run context: ordinary `@triton.jit` kernels, launched on CPU tensors, are interpreted. CUDA tensors launch for real.

    with on_cpu():
        kernel[grid](x, y, n, BLOCK=64)        # x, y live on the CPU

What it is: triton's own interpreter, entered launch by launch, with its lies repaired (bf16 arithmetic, `other=0.0`,
masked lanes, `and` / `or` / `not` on tiles, custom reductions) and with every address checked against the tensors of
the launch, so that an out-of-bounds access is a sentence (`KernelFault`) and never a crash.
What it is not: a sandbox (a kernel is Python here; `language.py` is the gate for kernels one doesn't trust), a race
detector (programs run one after another), or a clock (an interpreted kernel's time says nothing about a GPU).

`TRITON_INTERPRET` must stay unset: it is read when `@triton.jit` runs and when `triton.language` is imported, and it
makes the same kernel uncompilable. Here `tl` is patched for the length of one launch only, so compiling works between
launches, in the same process.
"""

from __future__ import annotations

import ast
import contextlib
import copy
import ctypes
import dataclasses
import inspect
import linecache
import sys
import textwrap
import threading
import types
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
import triton.language as tl
from triton._C.libtriton import ir
from triton.language.extra import libdevice as libdevice_stubs
from triton.language.extra.cuda import libdevice as libdevice_cuda
from triton.language.semantic import TritonSemantic
from triton.runtime import interpreter as upstream
from triton.runtime.autotuner import Autotuner, Config
from triton.runtime.jit import JITCallable, JITFunction

from grader_kernels.evidence import Finding
from grader_kernels.interpreter import recipes

TensorHandle = upstream.TensorHandle

LAUNCH_OPTIONS = frozenset(
    "num_warps num_stages num_ctas maxnreg enable_fp_fusion launch_cooperative_grid launch_pdl debug "
    "sanitize_overflow instrumentation_mode waves_per_eu matrix_instr_nonkdim kpack".split()
)
GRID_LIMITS = (2**31 - 1, 65535, 65535)  # CUDA C programming guide, table of compute capabilities


OUT_OF_BOUNDS = "Mask off the lanes that have no element of their own, and check the strides in the address."


class KernelFault(RuntimeError):
    """A kernel touched memory that isn't its own. One sentence; the parts stand in the attributes.

    kernel   name of the kernel             program  (x, y, z) of the program
    line     line in the learner's source   tensor   name of the kernel's parameter, None if not known
    element  offset in elements from the tensor's first element, None if not known
    finding  the same as evidence           earlier  findings of a sanitizer before it
    """

    def __init__(self, sentence: str, *, kernel="", program=(), line=0, tensor=None, element=None, lanes=1) -> None:
        super().__init__(sentence)
        self.kernel, self.program, self.line, self.tensor, self.element = kernel, program, line, tensor, element
        text, where = source_place()[1], dict(kernel=kernel, line=line, tensor=tensor or "", program=list(program))
        self.finding = Finding("out_of_bounds", sentence, OUT_OF_BOUNDS, **where, text=text, lanes=lanes)
        self.earlier: list[Finding] = []


# --------------------------------------------------------------------------------------------------------------------
# Numbers: bfloat16 as uint16 patterns, and the NaN that marks a lane nobody loaded


def bf16_to_f32(bits: np.ndarray) -> np.ndarray:
    """uint16 patterns -> float32, exact."""
    return (np.ascontiguousarray(bits).astype(np.uint32) << np.uint32(16)).view(np.float32).reshape(np.shape(bits))


def f32_to_bf16(values: np.ndarray, truncate: bool = False) -> np.ndarray:
    """float -> uint16 patterns of bfloat16, to nearest, ties to even (or toward zero); NaN payloads survive."""
    values = np.asarray(values).astype(np.float32, order="C")
    bits = values.view(np.uint32)
    half = np.uint32(0) if truncate else ((bits >> np.uint32(16)) & np.uint32(1)) + np.uint32(0x7FFF)
    rounded = ((bits + half) >> np.uint32(16)).astype(np.uint16)
    return np.where(np.isnan(values), (bits >> np.uint32(16)).astype(np.uint16) | np.uint16(0x40), rounded)


def round_to_tf32(values: np.ndarray) -> np.ndarray:
    """float32 with 10 bits of mantissa, toward zero: triton hands the float32 bits to a tensor core as they are (its
    PTX holds no cvt.rna.tf32.f32), and that reads the upper 19."""
    bits = np.ascontiguousarray(values).view(np.uint32) & np.uint32(0xFFFFE000)
    return np.where(np.isfinite(values), bits.view(np.float32), values)


# A quiet NaN with a payload in its top mantissa bits, so that it survives conversion between all float formats:
# it tells "nobody loaded this lane" from a NaN that the kernel's own arithmetic made.
POISON_BITS = {np.dtype(np.float16): 0x7F68, np.dtype(np.float32): 0x7FED0000, np.dtype(np.float64): 0x7FFDA00000000000}
POISON_BF16 = 0x7FED
GARBAGE_BYTE = 0x5A  # integers have no NaN


def poison(shape: tuple[int, ...], dtype: tl.dtype) -> np.ndarray:
    """What lanes hold that no load has filled: NaN for floats, 0x5A5A... for integers, True for booleans."""
    numpy_dtype = upstream._get_np_dtype(dtype)
    if dtype.is_bf16():
        return np.full(shape, POISON_BF16, numpy_dtype)
    if numpy_dtype in POISON_BITS:
        return np.full(shape, POISON_BITS[numpy_dtype], f"u{numpy_dtype.itemsize}").view(numpy_dtype)
    if numpy_dtype == np.bool_:
        return np.ones(shape, numpy_dtype)
    return np.full(shape, int.from_bytes(bytes([GARBAGE_BYTE]) * numpy_dtype.itemsize, "little"), numpy_dtype)


def is_poison(values: np.ndarray) -> np.ndarray:
    """Which lanes still carry the mark of `poison` (sign ignored)."""
    width = values.dtype.itemsize
    bits = np.ascontiguousarray(values).view(f"u{width}").reshape(values.shape)
    return (bits & ((1 << (8 * width - 1)) - 1)) == POISON_BITS[values.dtype]


def _has_nan(values: np.ndarray) -> bool:
    return values.dtype in POISON_BITS and bool(np.isnan(values).any())


def _stay_marked(out: np.ndarray, sides: list[np.ndarray]) -> np.ndarray:
    """`out` with the mark of `poison` put back where it became another NaN: numpy's exp, log and sin do that."""
    if _has_nan(out):
        for side in sides:
            if _has_nan(side) and side.shape == out.shape:
                mark = np.array(POISON_BITS[out.dtype], f"u{out.dtype.itemsize}").view(out.dtype)
                out = np.where(np.isnan(out) & is_poison(side), mark, out)
    return out


def _number_wins(op: Callable) -> Callable:
    """`op` (fmax or fmin) as on a GPU: a number beats NaN - except the NaN of a lane nobody loaded, which stays."""

    def pick(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        out = op(a, b)
        for side in (a, b):
            if _has_nan(side):
                out = np.where(is_poison(side), side, out)
        return out

    return pick


# --------------------------------------------------------------------------------------------------------------------
# Memory: which bytes belong to which tensor


@dataclasses.dataclass(frozen=True)
class Region:
    """The bytes [low, high) that pointers derived from one tensor argument may touch.

    base is the address of the tensor's first element, end the address behind its last: the whole storage may be
    touched, not only the view, because walking from a view with strides is legal - except where another argument of
    the launch lies in it, apart from this one. Element numbers in messages count from base.
    """

    name: str
    low: int
    high: int
    base: int
    itemsize: int
    numel: int
    contiguous: bool
    end: int

    @classmethod
    def of(cls, name: str, tensor: torch.Tensor) -> Region:
        storage = tensor.untyped_storage()
        low = storage.data_ptr()
        high = low + storage.nbytes()
        base, item = tensor.data_ptr(), tensor.element_size()
        steps = sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
        end = base + (steps + 1) * item if tensor.numel() else base
        return cls(name, low, high, base, item, tensor.numel(), tensor.is_contiguous(), end)

    def owns(self, low: int, high: int) -> bool:
        return self.low <= low and high <= self.high

    def apart_from(self, other: Region) -> bool:
        """Both lie in one storage and share no part of it."""
        return self.low == other.low and (self.end <= other.base or other.end <= self.base)

    def extent(self) -> str:
        if self.contiguous:
            return f"which has {self.numel} element{'' if self.numel == 1 else 's'}"
        last = (self.high - self.base) // self.itemsize - 1
        return f"which has {self.numel} elements and whose memory ends with offset {last}"


class Observer:
    """Told what an interpreted launch does, while it does it. Every method may be left as it is.

    Addresses are flat uint64 arrays of the active lanes, already known to lie inside `region`, which is None only for
    pointers that were not derived from an argument. `size` is bytes per element. An exception ends the launch.
    """

    arithmetic = True  # False: `overflow` need not be called, which saves time

    def launch(self, launch: Launch, grid: tuple[int, int, int]) -> None:
        """A launch starts."""

    def program(self, index: tuple[int, int, int], number: int) -> None:
        """A program starts; number counts them in the order of the grid, whatever order they run in."""

    def load(self, region: Region | None, addresses: np.ndarray, size: int, filled: bool) -> None:
        """A load, perhaps of no lane at all. filled: False when lanes were masked off and no `other` was given: they
        hold poison."""

    def loaded(self, values: np.ndarray) -> None:
        """What that load brought, all lanes, bfloat16 as uint16 patterns."""

    def store(self, region: Region | None, addresses: np.ndarray, size: int, values: np.ndarray) -> None:
        """A store, before it happens; values belong to addresses, lane by lane."""

    def atomic(self, region: Region | None, addresses: np.ndarray, size: int) -> None:
        """An atomic read-modify-write."""

    def dot(self, left: tuple[int, ...], right: tuple[int, ...], dtype: tl.dtype) -> None:
        """A `tl.dot` of tiles of these shapes; dtype is the operands'."""

    def barrier(self) -> None:
        """A `tl.debug_barrier`."""

    def overflow(self, operation: str) -> None:
        """A signed 32-bit result that did not fit (the value wraps)."""

    def done(self) -> None:
        """The launch ended without an error."""


@dataclasses.dataclass
class Settings:
    """What one `on_cpu` asks for; its arguments say what each means."""

    tf32: bool = False
    quiet: bool = False
    observer: Observer | None = None
    order: Callable[[int], np.ndarray] | None = None
    recorder: Callable[[JITFunction, Any, tuple, dict], None] | None = None


@dataclasses.dataclass
class Launch:
    """The launch that is being interpreted."""

    kernel: str
    regions: list[Region]
    settings: Settings
    views: dict[tuple[int, np.dtype], np.ndarray] = dataclasses.field(default_factory=dict)

    def memory(self, region: Region, dtype: np.dtype) -> np.ndarray:
        """The storage that a region lies in, in elements of this type."""
        view = self.views.get((region.low, dtype))
        if view is None:
            size = region.high - region.low
            raw = np.frombuffer((ctypes.c_uint8 * size).from_address(region.low), np.uint8)
            view = self.views[region.low, dtype] = raw[: size // dtype.itemsize * dtype.itemsize].view(dtype)
        return view


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


def place(launch: Launch, program: tuple[int, int, int]) -> str:
    line, text = source_place()
    index = program[0] if program[1:] == (0, 0) else program
    return f"{launch.kernel}, program {index}, line {line}" + (f" `{text}`" if text else "")


Program = tuple[int, int, int]


def _fault(
    launch: Launch, program: Program, verb: str, region: Region | None, bad: np.ndarray, active: int
) -> KernelFault:
    """bad: the addresses of the lanes that are outside, of `active` active ones."""
    address = int(bad[0])
    facts = {"kernel": launch.kernel, "program": program, "line": source_place()[0], "lanes": int(bad.size)}
    lanes = f" ({bad.size} of {active} active lanes are outside)" if active > 1 else ""
    if region is None:
        says = f"{verb} an address that belongs to no tensor of this launch{lanes}"
        return KernelFault(f"{place(launch, program)}: {says}.", **facts)
    element = (address - region.base) // region.itemsize
    says = f"{verb} element {element} of {region.name}, {region.extent()}{lanes}{_landing(launch, region, address)}"
    return KernelFault(f"{place(launch, program)}: {says}.", **facts, tensor=region.name, element=element)


def _landing(launch: Launch, region: Region | None, address: int) -> str:
    for other in launch.regions:
        if other is not region and other.base <= address < other.end:
            return f": that is element {(address - other.base) // other.itemsize} of {other.name}"
    return ""


# --------------------------------------------------------------------------------------------------------------------
# The builder: every operation of a kernel ends here


def _flag(mask: Any) -> np.ndarray | None:
    """A mask as booleans, None when there is none or when every lane is on."""
    if mask is None:
        return None
    lanes = np.asarray(mask.data if isinstance(mask, TensorHandle) else mask).astype(bool, copy=False)
    return None if lanes.all() else lanes


def _spread(handle: TensorHandle, dtype: np.dtype, shape: tuple[int, ...]) -> TensorHandle:
    """`handle` with exactly this dtype and shape, in contiguous memory: what the native atomics take for granted."""
    data = np.broadcast_to(handle.data.astype(dtype, copy=False), shape)
    return TensorHandle(np.ascontiguousarray(data), handle.dtype, handle.attr)


def _handle(data: np.ndarray, dtype: tl.dtype, attr: dict[str, Any] | None = None) -> TensorHandle:
    """A TensorHandle of data that is known to fit its type, in a third of the time."""
    made = object.__new__(TensorHandle)
    made.__dict__ = {"data": data, "dtype": dtype, "attr": {} if attr is None else attr}
    return made


_SHIFTS = {width: np.uint64(width.bit_length() - 1) for width in (2, 4, 8)}
_WRAPPING = {np.add: "sum", np.subtract: "difference", np.multiply: "product"}


class Builder(upstream.InterpreterBuilder):
    """triton's interpreter builder with its arithmetic repaired and its memory guarded."""

    def __init__(self) -> None:
        super().__init__()
        self.options = dataclasses.replace(self.options, sanitize_overflow=False)  # int32 wraps, as on a GPU
        self.launch: Launch | None = None
        self.grid_idx = (0, 0, 0)
        self.other_given = False  # semantic.py drops a scalar `other` that is 0: Semantic.load notes that it was there

    # memory
    def check(self, verb: str, pointers: TensorHandle, lanes: np.ndarray | None, size: int) -> np.ndarray:
        """Addresses of the active lanes, after making sure that each lies inside its tensor."""
        addresses = pointers.data if lanes is None else pointers.data[np.broadcast_to(lanes, pointers.data.shape)]
        if addresses.size == 0:
            return addresses
        low, high = int(addresses.min()), int(addresses.max()) + size
        region = pointers.attr.get("region")
        if region is not None:
            if not region.owns(low, high):
                self._outside(verb, region, addresses, size)
            if low < region.base or high > region.end:
                self._in_neighbour(verb, region, addresses.reshape(-1))
        elif not any(known.owns(low, high) for known in self.launch.regions):
            self._outside_all(verb, addresses, size)
        return addresses

    def _outside(self, verb: str, region: Region, addresses: np.ndarray, size: int) -> None:
        flat = addresses.reshape(-1)
        bad = (flat < region.low) | (flat > max(region.high - size, 0)) | (region.high - region.low < size)
        raise _fault(self.launch, self.grid_idx, verb, region, flat[bad], flat.size)

    def _in_neighbour(self, verb: str, region: Region, flat: np.ndarray) -> None:
        for other in self.launch.regions:
            if region.apart_from(other):
                bad = (flat >= other.base) & (flat < other.end)
                if bad.any():
                    raise _fault(self.launch, self.grid_idx, verb, region, flat[bad], flat.size)

    def _outside_all(self, verb: str, addresses: np.ndarray, size: int) -> None:
        flat = addresses.reshape(-1)
        good = np.zeros(flat.shape, bool)
        for region in self.launch.regions:
            if region.high - region.low >= size:
                good |= (flat >= region.low) & (flat <= region.high - size)
        if not good.all():
            raise _fault(self.launch, self.grid_idx, verb, None, flat[~good], flat.size)

    def create_load(self, ptr, *rest):
        return self.create_masked_load(ptr, None, None, *rest)

    def create_store(self, ptr, value, *rest):
        return self.create_masked_store(ptr, value, None, *rest)

    def create_masked_load(self, ptrs, mask, other, *rest, **options):
        element = ptrs.get_element_ty()
        dtype = upstream._get_np_dtype(element)
        lanes = _flag(mask)
        addresses = self.check("reads", ptrs, lanes, dtype.itemsize)
        shape = ptrs.data.shape
        filled = lanes is None or other is not None or self.other_given
        observer = self.launch.settings.observer
        if observer is not None:
            observer.load(self._region(ptrs, addresses), addresses.reshape(-1), dtype.itemsize, filled)
        if lanes is None:
            values = self._fetch(ptrs, addresses, dtype)
        else:
            values = poison(shape, element) if not filled else np.empty(shape, dtype)
            if filled:
                values[...] = 0 if other is None else other.data
            if addresses.size:
                values[np.broadcast_to(lanes, shape)] = self._fetch(ptrs, addresses, dtype)
        if observer is not None:
            observer.loaded(values)
        return _handle(values, element)

    def _fetch(self, pointers: TensorHandle, addresses: np.ndarray, dtype: np.dtype) -> np.ndarray:
        """What stands at checked addresses."""
        places = self._places(pointers, addresses, dtype)
        if places is None:
            on, nothing = np.ones(addresses.shape, bool), np.zeros(addresses.shape, dtype)
            return upstream._interpreter.load(addresses, on, nothing, dtype)
        memory, at = places
        return memory.take(at)

    def _places(self, pointers: TensorHandle, addresses: np.ndarray, dtype: np.dtype) -> tuple | None:
        """(the memory of the tensor that checked addresses lie in, their places in it); None: no one tensor, or an
        address between two elements."""
        region = pointers.attr.get("region")
        if region is None:
            return None
        at = addresses - np.uint64(region.low)
        width = dtype.itemsize
        if width > 1:
            if int(np.bitwise_or.reduce(at, axis=None)) & (width - 1):
                return None
            at >>= _SHIFTS[width]
        return self.launch.memory(region, dtype), at.view(np.int64)

    def create_masked_store(self, ptrs, value, mask, *rest, **options):
        dtype = upstream._get_np_dtype(ptrs.get_element_ty())
        lanes = _flag(mask)
        addresses = self.check("writes", ptrs, lanes, dtype.itemsize)
        shape = ptrs.data.shape
        # exactly the pointer's width: a wider value would write past the bytes that were checked
        data = np.broadcast_to(value.data.astype(dtype, copy=False), shape)
        observer = self.launch.settings.observer
        if observer is not None and addresses.size:
            active = data if lanes is None else data[np.broadcast_to(lanes, shape)]
            observer.store(self._region(ptrs, addresses), addresses.reshape(-1), dtype.itemsize, active.reshape(-1))
        if addresses.size:
            self._put(ptrs, addresses, data if lanes is None else data[np.broadcast_to(lanes, shape)])

    def _put(self, pointers: TensorHandle, addresses: np.ndarray, values: np.ndarray) -> None:
        """Write at checked addresses, lane by lane: the last one stays."""
        places = self._places(pointers, addresses, values.dtype)
        if places is None:
            upstream._interpreter.store(addresses, values, np.ones(addresses.shape, bool))
        else:
            memory, at = places
            memory[at] = values

    def _region(self, pointers: TensorHandle, addresses: np.ndarray) -> Region | None:
        """The tensor that checked addresses lie in; None when they were made from numbers and span several."""
        region = pointers.attr.get("region")
        if region is not None or not addresses.size:
            return region
        low, high = int(addresses.min()), int(addresses.max())
        return next((known for known in self.launch.regions if known.owns(low, high + 1)), None)

    def _note_atomic(self, pointers: TensorHandle, lanes: np.ndarray | None, size: int) -> None:
        addresses = self.check("updates", pointers, lanes, size)
        observer = self.launch.settings.observer
        if observer is not None and addresses.size:
            observer.atomic(self._region(pointers, addresses), addresses.reshape(-1), size)

    def create_atomic_rmw(self, op, ptr, val, mask, sem, *rest):
        dtype = upstream._get_np_dtype(ptr.get_element_ty())
        shape = np.broadcast_shapes(ptr.data.shape, val.data.shape)
        pointers, value = _spread(ptr, ptr.data.dtype, shape), _spread(val, dtype, shape)
        lanes = _flag(mask)
        self._note_atomic(pointers, lanes, dtype.itemsize)
        lanes = np.ones(shape, bool) if lanes is None else np.ascontiguousarray(np.broadcast_to(lanes, shape))
        if val.dtype.scalar == tl.bfloat16:
            return self._bf16_atomic(op, pointers, value, lanes)
        return super().create_atomic_rmw(op, pointers, value, TensorHandle(lanes, tl.int1), sem, *rest)

    def _bf16_atomic(self, op, ptr, val, lanes):
        if op != ir.ATOMIC_OP.FADD:
            raise NotImplementedError("of the bfloat16 atomics only tl.atomic_add runs on the CPU")
        before = np.zeros(ptr.data.shape, np.uint16)
        one = np.ones(1, bool)
        for at in zip(*np.nonzero(lanes), strict=True):
            address = np.array([ptr.data[at]], np.uint64)
            old = upstream._interpreter.load(address, one, np.zeros(1, np.uint16), np.dtype(np.uint16))
            new = f32_to_bf16(bf16_to_f32(old) + bf16_to_f32(val.data[at].reshape(1)))
            upstream._interpreter.store(address, new, one)
            before[at] = old[0]
        return TensorHandle(before, tl.bfloat16)

    def create_atomic_cas(self, ptr, cmp, val, sem, *rest):
        dtype = upstream._get_np_dtype(ptr.get_element_ty())
        shape = np.broadcast_shapes(ptr.data.shape, cmp.data.shape, val.data.shape)
        pointers = _spread(ptr, ptr.data.dtype, shape)
        self._note_atomic(pointers, None, dtype.itemsize)
        return super().create_atomic_cas(pointers, _spread(cmp, dtype, shape), _spread(val, dtype, shape), sem, *rest)

    def create_tensor_pointer_load(self, ptr, boundary_check, padding_option, *rest):
        pointers, lanes = self._materialize(ptr, boundary_check)
        dtype = upstream._get_np_dtype(pointers.get_element_ty())
        other = None
        if padding_option == ir.PADDING_OPTION.PAD_ZERO:
            other = TensorHandle(np.zeros(pointers.data.shape, dtype), pointers.get_element_ty())
        elif padding_option == ir.PADDING_OPTION.PAD_NAN:
            other = TensorHandle(poison(pointers.data.shape, pointers.get_element_ty()), pointers.get_element_ty())
        return self.create_masked_load(pointers, lanes, other, *rest)

    def create_tensor_pointer_store(self, ptr, value, boundary_check, *rest):
        pointers, lanes = self._materialize(ptr, boundary_check)
        return self.create_masked_store(pointers, value, lanes, *rest)

    @staticmethod
    def _materialize(ptr, boundary_check):
        pointers, lanes = ptr.materialize_pointers(boundary_check)
        pointers.attr.update(ptr.base.attr)
        return pointers, lanes

    # pointers remember their tensor
    def create_addptr(self, ptr, offset):
        width = np.uint64(max(1, ptr.get_element_ty().primitive_bitwidth // 8))
        steps = offset.data.astype(np.uint64)
        steps *= width
        return _handle(ptr.data + steps, ptr.dtype, ptr.attr)

    def create_expand_dims(self, arg, axis):
        sizes = arg.data.shape
        data = arg.data.reshape(*sizes[:axis], 1, *sizes[axis:])  # a view, in half the time of np.expand_dims
        return _handle(data, arg.dtype.scalar, arg.attr)

    # arithmetic
    def binary_op(self, lhs, rhs, op):
        kind = lhs.dtype.scalar
        if kind.name == "bf16":
            right = bf16_to_f32(rhs.data) if rhs.dtype.scalar == tl.bfloat16 else rhs.data
            return self._narrow(op(bf16_to_f32(lhs.data), right))
        observer = self.launch.settings.observer
        if observer is not None and observer.arithmetic and op in _WRAPPING and kind.name == "int32":
            self._watch_overflow(lhs.data, rhs.data, op)
        out = op(lhs.data, rhs.data)
        if out.itemsize > lhs.data.itemsize:  # numpy took a wider type
            out = out.astype(upstream._get_np_dtype(kind))
        return _handle(out, kind)

    def _watch_overflow(self, left: np.ndarray, right: np.ndarray, op: np.ufunc) -> None:
        wide = op(left, right, dtype=np.int64)
        wide += 2**31
        if wide.size and np.maximum.reduce(wide.view(np.uint64), axis=None) >= 2**32:
            self.launch.settings.observer.overflow(_WRAPPING[op])

    @staticmethod
    def _narrow(values: np.ndarray) -> TensorHandle:
        """Back from float32 to bfloat16, unless the operation was a comparison."""
        if values.dtype == np.bool_:
            return TensorHandle(values, tl.int1)
        return TensorHandle(f32_to_bf16(values), tl.bfloat16)

    def unary_op(self, arg, op):
        data = bf16_to_f32(arg.data) if arg.dtype.scalar == tl.bfloat16 else arg.data
        out = _stay_marked(op(data), [data])
        return self._narrow(out) if arg.dtype.scalar == tl.bfloat16 else _handle(out, arg.dtype.scalar)

    def ternary_op(self, lhs, rhs, other, op):
        if other.dtype.scalar == tl.bfloat16 and op is not np.where:
            return self._narrow(op(*(bf16_to_f32(side.data) for side in (lhs, rhs, other))))
        return super().ternary_op(lhs, rhs, other, op)

    def create_maxnumf(self, lhs, rhs):
        return self.binary_op(lhs, rhs, _number_wins(np.fmax))

    def create_minnumf(self, lhs, rhs):
        return self.binary_op(lhs, rhs, _number_wins(np.fmin))

    def create_fma(self, x, y, z):
        if z.dtype.scalar == tl.bfloat16:
            return self._narrow(bf16_to_f32(x.data) * bf16_to_f32(y.data) + bf16_to_f32(z.data))
        wide = np.float64 if z.data.dtype in (np.float16, np.float32) else z.data.dtype
        out = x.data.astype(wide) * y.data.astype(wide) + z.data.astype(wide)  # one rounding, as fused
        return TensorHandle(out.astype(z.data.dtype), z.dtype.scalar)

    def create_erf(self, arg):
        if arg.dtype.scalar == tl.bfloat16:
            return self._narrow(upstream.np_erf_fp32(bf16_to_f32(arg.data)))
        return super().create_erf(arg)

    def create_rsqrt(self, arg):
        if arg.dtype.scalar == tl.bfloat16:
            return self._narrow(1 / np.sqrt(bf16_to_f32(arg.data)))
        return super().create_rsqrt(arg)

    def create_dot(self, a, b, d, input_precision, *rest):
        if self.launch.settings.observer is not None:
            self.launch.settings.observer.dot(a.data.shape, b.data.shape, a.dtype.scalar)
        left, right = self._dot_operand(a, input_precision), self._dot_operand(b, input_precision)
        if left is None or right is None:
            return super().create_dot(a, b, d, input_precision, *rest)
        if d.data.dtype == np.float16:
            return self._half_dot(left, right, d)
        return _handle((np.matmul(left, right) + d.data).astype(d.data.dtype, copy=False), d.dtype.scalar)

    @staticmethod
    def _half_dot(left: np.ndarray, right: np.ndarray, d: TensorHandle) -> TensorHandle:
        """A float16 accumulator is rounded after every 16 columns: that many one mma instruction takes."""
        total = d.data
        for k in range(0, left.shape[-1], 16):
            total = (np.matmul(left[..., k : k + 16], right[..., k : k + 16, :]) + total).astype(np.float16)
        return TensorHandle(total, d.dtype.scalar)

    def _dot_operand(self, side: TensorHandle, input_precision) -> np.ndarray | None:
        """An operand in a type numpy multiplies fast and exactly enough; None: leave it to upstream."""
        dtype = side.dtype.scalar
        if dtype == tl.bfloat16:
            return bf16_to_f32(side.data)
        if dtype == tl.float32:
            tf32 = self.launch.settings.tf32 and input_precision == ir.INPUT_PRECISION.TF32
            return round_to_tf32(side.data) if tf32 else side.data
        if dtype == tl.float16:
            return side.data.astype(np.float32)
        if dtype in (tl.int8, tl.uint8):
            return side.data.astype(np.float64)  # products and sums stay below 2**53: exact
        return side.data if dtype == tl.float64 else None

    def create_umulhi(self, lhs, rhs):
        unsigned = np.dtype(f"u{lhs.data.dtype.itemsize}")  # the bits count, also those of a signed number
        left, right = (TensorHandle(side.data.view(unsigned), side.dtype) for side in (lhs, rhs))
        return TensorHandle(super().create_umulhi(left, right).data.view(lhs.data.dtype), lhs.dtype.scalar)

    # casts
    def get_bf16(self, value):
        return TensorHandle(f32_to_bf16(np.array([value], np.float32)), tl.bfloat16)

    def cast_impl(self, src, dst_type):
        source, target = src.dtype.scalar, dst_type.scalar
        if source == tl.bfloat16 and target != tl.bfloat16 and src.data.dtype == np.uint16:
            return TensorHandle(bf16_to_f32(src.data).astype(upstream._get_np_dtype(dst_type)), target)
        if target == tl.bfloat16 and source != tl.bfloat16:
            return TensorHandle(f32_to_bf16(src.data), tl.bfloat16)
        return TensorHandle(src.data.astype(upstream._get_np_dtype(dst_type)), target)

    create_si_to_fp = create_ui_to_fp = create_fp_to_si = create_fp_to_ui = create_fp_ext = create_fp_trunc = cast_impl

    def create_int_cast(self, src, dst_type, is_signed):
        return self.cast_impl(src, dst_type)

    def create_fp_to_fp(self, src, dst_type, rounding_mode):
        kinds = {src.dtype.scalar, dst_type.scalar}
        if tl.bfloat16 in kinds and kinds <= {tl.bfloat16, tl.float16, tl.float32, tl.float64}:
            if dst_type.scalar == tl.bfloat16 and rounding_mode == ir.ROUNDING_MODE.RTZ:
                return TensorHandle(f32_to_bf16(src.data, truncate=True), tl.bfloat16)
            return self.cast_impl(src, dst_type)
        return super().create_fp_to_fp(src, dst_type, rounding_mode)

    # the rest
    def create_barrier(self):
        if self.launch.settings.observer is not None:
            self.launch.settings.observer.barrier()

    def create_make_tensor_descriptor(self, base, shape, strides, tensor_shape, is_signed, padding="zero"):
        descriptor = _Descriptor(base, shape, strides, tensor_shape, padding)
        descriptor.validate()
        return descriptor

    def create_print(self, prefix, hex, values, isSigned):
        if not self.launch.settings.quiet:
            super().create_print(prefix, hex, values, isSigned)


class _Descriptor(upstream.TensorDescHandle):
    """A tensor descriptor whose base may lie anywhere (guarded buffers start at odd elements); strides are checked."""

    def validate(self) -> None:
        width = self.base.dtype.element_ty.primitive_bitwidth // 8
        for stride in self.strides[:-1]:
            if stride.data.item() * width % 16:
                raise ValueError("every stride of a tensor descriptor but the last must be a multiple of 16 bytes")
        if self.strides[-1].data.item() != 1:
            raise ValueError("the last stride of a tensor descriptor must be 1")

    def materialize_pointers(self, offsets):
        pointers, lanes = super().materialize_pointers(offsets)
        pointers.attr.update(self.base.attr)
        return pointers, lanes


def _carry_region(name: str) -> None:
    """Let the result of builder operation `name` point into the same tensor as its first argument."""
    base = getattr(upstream.InterpreterBuilder, name)

    def carrying(self, *args):
        out = base(self, *args)
        for arg in args:
            if isinstance(arg, TensorHandle) and arg.attr and isinstance(out, TensorHandle):
                out.attr.update(arg.attr)
                break
        return out

    setattr(Builder, name, carrying)


for _name in "splat unsplat broadcast reshape trans bitcast".split():
    _carry_region(f"create_{_name}")


class Semantic(TritonSemantic):
    """triton's semantic analysis on our builder."""

    def load(self, ptr, mask, other, *args, **kwargs):
        BUILDER.other_given = other is not None  # self.builder may be a tape
        return super().load(ptr, mask, other, *args, **kwargs)


BUILDER = Builder()
SEMANTIC = Semantic(BUILDER)


# --------------------------------------------------------------------------------------------------------------------
# Reductions and scans: any associative combine function, log2(n) steps on whole tiles


def _tile(data: np.ndarray, dtype: tl.dtype) -> tl.tensor:
    """numpy data -> tl.tensor: a tile, or a scalar when it has no dimensions."""
    data = np.asarray(data)
    data = data.astype(upstream._get_np_dtype(dtype), copy=False)
    if data.ndim:
        return tl.tensor(TensorHandle(data, dtype.scalar), tl.block_type(dtype, list(data.shape)))
    return tl.tensor(TensorHandle(data.reshape(1), dtype.scalar), dtype)


def _sum(data: np.ndarray, dtype: tl.dtype, axis: int) -> np.ndarray:
    if data.dtype != np.float16 and not dtype.is_bf16():
        return data.sum(axis=axis)
    parts = np.moveaxis(data, axis, -1)
    while parts.shape[-1] > 1:  # every partial sum is rounded to the tile's type, as on a GPU
        left, right = parts[..., 0::2], parts[..., 1::2]
        parts = f32_to_bf16(bf16_to_f32(left) + bf16_to_f32(right)) if dtype.is_bf16() else left + right
    return parts[..., 0]


def _extreme(op: np.ufunc) -> Callable:
    def reduce(data: np.ndarray, dtype: tl.dtype, axis: int) -> np.ndarray:
        if dtype.is_bf16():
            return f32_to_bf16(reduce(bf16_to_f32(data), tl.float32, axis))
        out = op.reduce(data, axis=axis)
        if _has_nan(data):
            marked = is_poison(data)
            out = np.where(marked.any(axis=axis), poison((1,), dtype)[0], out)
        return out

    return reduce


Parts = list[np.ndarray]


def _combine(combine_fn: Any, left: Parts, right: Parts, dtypes: list[tl.dtype]) -> Parts:
    sides = [_tile(data, dtype) for half in (left, right) for data, dtype in zip(half, dtypes, strict=True)]
    out = combine_fn(*sides)
    parts = list(out) if isinstance(out, (tuple, tl.tuple)) else [out]
    return [
        np.broadcast_to(SEMANTIC.cast(SEMANTIC.to_tensor(part), dtype).handle.data, like.shape)
        for part, dtype, like in zip(parts, dtypes, left, strict=True)
    ]


def _tiles(value: Any) -> tuple[tl.tensor, ...]:
    tiles = tuple(value) if isinstance(value, (tuple, tl.tuple)) else (value,)
    for tile in tiles:
        if not (isinstance(tile, tl.tensor) and tile.type.is_block()):
            raise ValueError("a reduction or scan needs a tile, not a scalar")
    return tiles


def _check_axis(axis: Any, rank: int) -> int | None:
    axis = tl.core._unwrap_if_constexpr(axis)
    if axis is not None and not -rank <= int(axis) < rank:
        raise ValueError(f"axis {axis} does not exist: the tile has {rank} dimension{'' if rank == 1 else 's'}")
    return None if axis is None else int(axis) % rank


def _reduction(self, tile: TensorHandle, dtype: tl.dtype, axis: int, combine_fn: Any) -> TensorHandle:
    """The builder's operation under a reduction that numpy knows."""
    return _tile(_QUICK_REDUCTIONS[combine_fn]([tile.data], [dtype], axis)[0], dtype).handle


Builder.create_reduction = _reduction


def reduce_tile(input, axis, combine_fn, keep_dims=False, **_):
    """`tl.reduce` and all that is built on it: tile, or tuple of tiles, reduced along `axis` (None: everything)."""
    tiles = _tiles(input)
    rank = tiles[0].handle.data.ndim
    axis = _check_axis(axis, rank)
    dtypes = [tile.dtype for tile in tiles]
    parts = [tile.handle.data.reshape(-1) if axis is None else tile.handle.data for tile in tiles]
    at = 0 if axis is None else axis
    quick = _QUICK_REDUCTIONS.get(combine_fn)
    if quick is not None and len(tiles) == 1 and axis is not None and not tl.core._unwrap_if_constexpr(keep_dims):
        handle = SEMANTIC.builder.create_reduction(input.handle, dtypes[0], axis, combine_fn)
        left = [size.value for i, size in enumerate(input.shape) if i != axis]
        return tl.tensor(handle, tl.block_type(dtypes[0], left) if left else dtypes[0])
    if quick is not None:
        out = quick(parts, dtypes, at)
    else:
        parts = [np.moveaxis(part, at, -1) for part in parts]
        while parts[0].shape[-1] > 1:
            parts = _combine(combine_fn, [p[..., 0::2] for p in parts], [p[..., 1::2] for p in parts], dtypes)
        out = [part[..., 0] for part in parts]
    if tl.core._unwrap_if_constexpr(keep_dims):
        out = [np.reshape(part, (1,) * rank) if axis is None else np.expand_dims(part, at) for part in out]
    results = tuple(_tile(part, dtype) for part, dtype in zip(out, dtypes, strict=True))
    return results if isinstance(input, (tuple, tl.tuple)) else results[0]


def _arg_extreme(which: Callable) -> Callable:
    def reduce(parts, dtypes, axis):
        at = np.expand_dims(which(parts[0], axis=axis), axis)
        return [np.take_along_axis(part, at, axis).squeeze(axis) for part in parts]

    return reduce


def _single(op: Callable) -> Callable:
    return lambda parts, dtypes, axis: [op(parts[0], dtypes[0], axis)]


_QUICK_REDUCTIONS = {
    tl.standard._sum_combine: _single(_sum),
    tl.standard._elementwise_max: _single(_extreme(np.fmax)),
    tl.standard._elementwise_min: _single(_extreme(np.fmin)),
    tl.standard._argmax_combine_tie_break_left: _arg_extreme(np.argmax),
    tl.standard._argmin_combine_tie_break_left: _arg_extreme(np.argmin),
}
_QUICK_SCANS = {tl.standard._sum_combine: np.cumsum, tl.standard._prod_combine: np.cumprod}


def scan_tile(input, axis, combine_fn, reverse=False, **_):
    """`tl.associative_scan`: inclusive, along `axis`, from the end when `reverse`."""
    tiles = _tiles(input)
    axis = _check_axis(axis, tiles[0].handle.data.ndim)
    reverse = bool(tl.core._unwrap_if_constexpr(reverse))
    dtypes = [tile.dtype for tile in tiles]
    parts = [np.moveaxis(tile.handle.data, axis, -1) for tile in tiles]
    parts = [part[..., ::-1] for part in parts] if reverse else parts
    quick = _QUICK_SCANS.get(combine_fn)
    if quick is not None and not dtypes[0].is_bf16():
        parts = [quick(parts[0], axis=-1)]
    else:
        parts = _scan_by_doubling(combine_fn, parts, dtypes)
    parts = [part[..., ::-1] for part in parts] if reverse else parts
    results = tuple(_tile(np.moveaxis(part, -1, axis), dtype) for part, dtype in zip(parts, dtypes, strict=True))
    return results if isinstance(input, (tuple, tl.tuple)) else results[0]


def _scan_by_doubling(combine_fn: Any, parts: list[np.ndarray], dtypes: list[tl.dtype]) -> list[np.ndarray]:
    n = parts[0].shape[-1]
    step = 1
    while step < n:
        both = _combine(combine_fn, [np.roll(part, step, axis=-1) for part in parts], parts, dtypes)
        parts = [np.where(np.arange(n) >= step, new, old) for new, old in zip(both, parts, strict=True)]
        step *= 2
    return parts


# --------------------------------------------------------------------------------------------------------------------
# libdevice, which upstream's interpreter refuses


def _round_half_away(x: np.ndarray) -> np.ndarray:
    whole = np.floor(np.abs(x))
    return np.copysign(np.where(np.abs(x) - whole >= 0.5, whole + 1, whole), x)


LIBDEVICE: dict[str, Callable] = {
    **{name: getattr(np, name) for name in "exp exp2 expm1 log log2 log10 log1p sqrt".split()},
    **{name: getattr(np, name) for name in "floor ceil trunc rint hypot cbrt copysign isnan isinf nextafter".split()},
    **{name: getattr(np, name) for name in "sin cos tan sinh cosh tanh".split()},
    **{name: getattr(np, "arc" + name[1:]) for name in "asin acos atan atan2 asinh acosh atanh".split()},
    "abs": np.abs,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "pow": np.power,
    "fmod": np.fmod,
    "round": _round_half_away,
    "nearbyint": np.rint,
    "finitef": np.isfinite,
    "isfinited": np.isfinite,
    "signbit": np.signbit,
    "erf": np.vectorize(upstream.math.erf, otypes=[np.float64]),
    "erfc": np.vectorize(upstream.math.erfc, otypes=[np.float64]),
    "fast_expf": np.exp,
    "fast_sinf": np.sin,
    "fast_cosf": np.cos,
    "fast_logf": np.log,
    "fast_powf": np.power,
    "fast_dividef": np.divide,
    "div_rn": np.divide,
}


# What libdevice calls a function ("__nv_expf", "__nv_exp", "__nv_isnand") less the letter of its type.
SYMBOLS = {"fabs": "abs", "llabs": "abs", "fdiv_rn": "div_rn", "ddiv_rn": "div_rn", "powi": "pow"}
SYMBOLS |= {"fast_fdivide": "fast_dividef"}


def _function_of(symbol: str) -> Callable:
    name = symbol.removeprefix("__nv_")
    short = name[:-1] if name[-1] in "fd" else name
    for known in (name, short, SYMBOLS.get(name), SYMBOLS.get(short)):
        if known in LIBDEVICE:
            return LIBDEVICE[known]
    raise NotImplementedError(f"{symbol} of libdevice does not run on the CPU")


def _extern_elementwise(self, library, path, symbol, args, result, is_pure):
    """The builder's operation under every libdevice function: triton itself has checked and widened the operands."""
    sides = [arg.data for arg in args]
    data = _stay_marked(np.asarray(_function_of(symbol)(*sides)), sides)
    return TensorHandle(data.astype(upstream._get_np_dtype(result)), result.scalar)


Builder.create_extern_elementwise = _extern_elementwise


def _libdevice(name: str) -> Callable:
    member = getattr(libdevice_cuda, name)

    def call(*args, **_):
        try:
            return member(*args, _semantic=SEMANTIC)
        except KeyError as error:  # how triton says that there is none for these types
            kinds = ", ".join(str(kind) for kind in error.args[0])
            raise TypeError(f"libdevice.{name} does not take {kinds}: cast with .to(tl.float32) first") from None

    return call


# --------------------------------------------------------------------------------------------------------------------
# From a kernel's source to a Python function: assignments make tensors; and, or, not, if see tiles


def _is_tile(value: Any) -> bool:
    return isinstance(value, tl.tensor) and value.type.is_block()


def _as_tensor(value: Any) -> Any:
    return value if type(value) is tl.tensor else SEMANTIC.to_tensor(value, False)


def _both(op: str, left: tl.tensor, right: Any) -> tl.tensor:
    join = SEMANTIC.logical_and if op == "and" else SEMANTIC.logical_or
    return join(left, SEMANTIC.to_tensor(right))


def _negate(value: Any) -> Any:
    return SEMANTIC.not_(value) if isinstance(value, tl.tensor) else not value


def _decide(value: Any) -> Any:
    if _is_tile(value) and value.handle.data.size > 1:
        raise TypeError("`if` and `while` need one value, not a tile: use tl.where, or a mask")
    return value


def _everywhere(value: Any) -> bool:
    return bool(np.all(value.handle.data)) if isinstance(value, tl.tensor) else bool(value)


_HELPERS = {"_tl_as_tensor": _as_tensor, "_tl_is_tile": _is_tile, "_tl_both": _both, "_tl_negate": _negate}
_HELPERS |= {"_tl_decide": _decide, "_tl_everywhere": _everywhere}


def _call(helper: str, *args: ast.expr) -> ast.Call:
    return ast.Call(ast.Name(helper, ast.Load()), list(args), [])


class _Rewriter(ast.NodeTransformer):
    """The places where Python would quietly do something else than Triton."""

    def __init__(self) -> None:
        self.temporaries = 0

    def visit_Assign(self, node: ast.Assign) -> ast.AST:
        if len(node.targets) > 1:
            raise SyntaxError("a = b = ... is not supported in a kernel: write two lines")
        self.generic_visit(node)
        node.value = _call("_tl_as_tensor", node.value)
        return node

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        if len(node.ops) > 1:
            raise SyntaxError("a < b < c is not supported in a kernel: write (a < b) & (b < c)")
        return self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.AST:
        self.generic_visit(node)
        word = "and" if isinstance(node.op, ast.And) else "or"
        out = node.values[0]
        for right in node.values[1:]:
            self.temporaries += 1
            name = f"_tl_left{self.temporaries}"
            held = ast.NamedExpr(ast.Name(name, ast.Store()), out)
            plain = ast.BoolOp(node.op, [ast.Name(name, ast.Load()), copy.deepcopy(right)])
            joined = _call("_tl_both", ast.Constant(word), ast.Name(name, ast.Load()), right)
            out = ast.IfExp(_call("_tl_is_tile", held), joined, plain)
        return out

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
        self.generic_visit(node)
        return _call("_tl_negate", node.operand) if isinstance(node.op, ast.Not) else node

    def _decided(self, node: Any) -> ast.AST:
        self.generic_visit(node)
        node.test = _call("_tl_decide", node.test)
        return node

    visit_If = visit_While = visit_IfExp = _decided

    def visit_Assert(self, node: ast.Assert) -> ast.AST:
        self.generic_visit(node)
        node.test = _call("_tl_everywhere", node.test)
        return node


_rewritten: weakref.WeakKeyDictionary[Callable, Callable] = weakref.WeakKeyDictionary()
_learner_codes: weakref.WeakSet[types.CodeType] = weakref.WeakSet()
_learner_ids: set[int] = set()  # of those, and of some that are gone: a quick no


def python_function(jitted: JITCallable) -> Callable:
    """The Python function that runs one program of `jitted`. It shares globals, defaults and closure with the
    original, so a constant or helper defined in a later cell is seen, and nothing is added to anybody's globals."""
    fn = jitted.fn
    if fn not in _rewritten:
        code = _rewrite(fn, "".join(jitted.raw_src), jitted.starting_line_number)
        cells = dict(zip(fn.__code__.co_freevars, fn.__closure__ or (), strict=True))
        cells |= {name: types.CellType(value) for name, value in _HELPERS.items()}
        closure = tuple(cells.get(name) or types.CellType() for name in code.co_freevars)
        made = types.FunctionType(code, fn.__globals__, fn.__name__, fn.__defaults__, closure)
        made.__kwdefaults__ = fn.__kwdefaults__
        if not fn.__module__.startswith("triton."):
            _learner_codes.add(code)
            _learner_ids.add(id(code))
        _rewritten[fn] = made
    return _rewritten[fn]


def _rewrite(fn: Callable, source: str, first_line: int) -> types.CodeType:
    tree = ast.parse(textwrap.dedent(source)).body[0]
    tree.decorator_list, tree.returns = [], None
    for arg in [*tree.args.posonlyargs, *tree.args.args, *tree.args.kwonlyargs]:
        arg.annotation = None
    try:
        tree = _Rewriter().visit(tree)
    except SyntaxError as error:
        raise SyntaxError(f"{fn.__name__}: {error.msg}") from None
    outer_names = [*fn.__code__.co_freevars, *_HELPERS]
    factory = ast.parse("def _factory(): pass").body[0]
    factory.args.args = [ast.arg(name) for name in outer_names]
    factory.body = [tree]
    ast.increment_lineno(tree, first_line - 1)
    module = ast.fix_missing_locations(ast.Module([factory], []))
    outer = compile(module, fn.__code__.co_filename, "exec", dont_inherit=True)
    return _code_named(_code_named(outer, "_factory"), fn.__name__)


def _code_named(code: types.CodeType, name: str) -> types.CodeType:
    return next(const for const in code.co_consts if isinstance(const, types.CodeType) and const.co_name == name)


def _call_device(self: JITFunction, *args, **kwargs):
    made = _device_calls.get(id(self))
    if made is None:
        made = python_function(self)
        if id(self) in recipes.JITTED:
            made = _device_calls[id(self)] = recipes.remembered(made, SEMANTIC)
    return made(*args, **kwargs)


_device_calls: dict[int, Callable] = {}


# --------------------------------------------------------------------------------------------------------------------
# Patching `tl`: the list is made once, applied for the length of a launch


class _Recorder:
    """Collects what triton's own patching functions would set."""

    def __init__(self) -> None:
        self.values: dict[tuple[int, str], tuple[Any, str, Any]] = {}

    def set_attr(self, owner: Any, name: str, value: Any) -> None:
        self.values[id(owner), name] = (owner, name, value)


def _with_semantic(member: Callable) -> Callable:
    member = getattr(member, "__wrapped__", member)  # without the question whether _semantic was given

    def call(*args, **kwargs):
        kwargs["_semantic"] = SEMANTIC
        return member(*args, **kwargs)

    return call


def _by_recipe(name: str, member: Callable) -> Callable:
    call = _with_semantic(member)
    if name in recipes.OPERATORS or name in recipes.FUNCTIONS:
        return recipes.remembered(call, SEMANTIC, numbers=name in recipes.OPERATORS)
    return call


def _static_print(*values, **options):
    if not BUILDER.launch.settings.quiet:
        print(*values, **options)


# Types are built anew for every operation, which is half of an interpreted kernel's time: build each one once.
_block_types: dict[tuple, dict[str, Any]] = {}
_numpy_dtypes: dict[str, np.dtype] = {}
_block_type_init, _get_np_dtype = tl.block_type.__init__, upstream._get_np_dtype
_unwrap_if_constexpr = tl.core._unwrap_if_constexpr


def _quick_block_type(self, element_ty, shape):
    key = (element_ty.name, *[size.value if isinstance(size, tl.constexpr) else size for size in shape])
    made = _block_types.get(key)
    if made is None:
        _block_type_init(self, element_ty, shape)
        sizes = list(self.shape)
        facts = {"shape": tl.tuple([tl.constexpr(size) for size in sizes]), "numel": tl.constexpr(int(np.prod(sizes)))}
        facts |= {"type": self, "dtype": self.scalar, "_kind": key}
        made = _block_types[key] = {**vars(self), "_facts": facts}
    vars(self).update(made)


def _quick_tensor(self, handle, type):
    self.__dict__ = {**recipes.facts(type), "handle": handle}


_PLAIN = {tl.tensor, tl.dtype, tl.block_type, tl.pointer_type, int, float, bool, str, type(None)}


def _quick_unwrap(value):
    return value if type(value) in _PLAIN else _unwrap_if_constexpr(value)


def _quick_numpy_dtype(dtype):
    found = _numpy_dtypes.get(dtype.name)
    if found is None:
        found = _numpy_dtypes[dtype.name] = _get_np_dtype(dtype)
    return found


def _plan_patches() -> list[tuple[Any, str, Any]]:
    scope = _Recorder()
    for owner in (tl, tl.core, tl.math, tl.tensor, tl.core.tensor_descriptor_base):
        for name, member in inspect.getmembers(owner):
            if tl.core.is_builtin(member):
                scope.set_attr(owner, name, _by_recipe(name, member))
    for lang in (tl, tl.core):
        upstream._patch_lang_core(lang, scope)  # sets reduce and scan of both, every time: ours come after
    for lang in (tl, tl.core):
        scope.set_attr(lang, "static_print", _static_print)
        scope.set_attr(lang, "reduce", reduce_tile)
        scope.set_attr(lang, "associative_scan", scan_tile)
    upstream._patch_lang_tensor(tl.tensor, scope)
    for name, member in vars(tl.tensor).items():
        if isinstance(member, JITFunction):  # x.sum(0): a JITFunction is no method by itself
            scope.set_attr(tl.tensor, name, lambda *args, member=member, **kwargs: member(*args, **kwargs))
    for name in vars(libdevice_stubs).keys() & vars(libdevice_cuda).keys():
        if tl.core.is_builtin(getattr(libdevice_cuda, name)):
            call = _libdevice(name)
            scope.set_attr(libdevice_stubs, name, call)
            scope.set_attr(libdevice_cuda, name, call)
    scope.set_attr(JITFunction, "__call__", _call_device)
    scope.set_attr(tl.block_type, "__init__", _quick_block_type)
    scope.set_attr(tl.tensor, "__init__", _quick_tensor)
    scope.set_attr(upstream, "_get_np_dtype", _quick_numpy_dtype)
    scope.set_attr(tl.core, "_unwrap_if_constexpr", _quick_unwrap)
    return list(scope.values.values())


_MISSING = object()
_patches: list[tuple[Any, str, Any]] = []
_lock = threading.RLock()


@contextlib.contextmanager
def _interpreted_language() -> Iterator[None]:
    if not _patches:
        _patches.extend(_plan_patches())
    before = [(owner, name, vars(owner).get(name, _MISSING)) for owner, name, _ in _patches]
    try:
        for owner, name, value in _patches:
            setattr(owner, name, value)
        yield
    finally:
        for owner, name, value in before:
            if value is _MISSING:
                with contextlib.suppress(AttributeError):
                    delattr(owner, name)
            else:
                setattr(owner, name, value)


# --------------------------------------------------------------------------------------------------------------------
# One launch


def tensors_in(value: Any) -> Iterator[torch.Tensor]:
    """Every tensor among the arguments of a launch, tuples and descriptors included."""
    if isinstance(value, (tuple, list)):
        for item in value:
            yield from tensors_in(item)
    elif hasattr(value, "data_ptr"):
        yield upstream._unwrap_tensor(value)
    elif isinstance(value, upstream.TensorDescriptor):
        yield value.base


def bind(kernel: JITFunction, args: tuple, kwargs: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """(arguments by parameter name, launch options such as num_warps). TypeError names what doesn't fit."""
    names = set(kernel.arg_names)
    options = {name: value for name, value in kwargs.items() if name not in names}
    unknown = sorted(set(options) - LAUNCH_OPTIONS)
    if unknown:
        raise TypeError(f"{kernel.fn.__name__} has no parameter {unknown[0]}; it has {', '.join(kernel.arg_names)}")
    try:
        bound = kernel.signature.bind(*args, **{name: value for name, value in kwargs.items() if name in names})
    except TypeError as error:
        raise TypeError(f"{kernel.fn.__name__}: {error}") from None
    bound.apply_defaults()
    return dict(bound.arguments), options


def grid_of(kernel: JITFunction, grid: Any, arguments: dict[str, Any]) -> tuple[int, int, int]:
    """The launch grid as three ints; a callable grid is given the arguments by name."""
    grid = grid(arguments) if callable(grid) else grid
    grid = tuple(grid) if isinstance(grid, (tuple, list)) else (grid,)
    name = kernel.fn.__name__
    if not 1 <= len(grid) <= 3:
        raise ValueError(f"the grid of {name} has {len(grid)} dimensions; a grid has 1, 2 or 3")
    try:
        sizes = tuple(size.__index__() for size in grid)
    except AttributeError:
        kinds = ", ".join(type(size).__name__ for size in grid)
        raise TypeError(f"the grid of {name} must hold whole numbers, not ({kinds}): use triton.cdiv or //") from None
    sizes += (1,) * (3 - len(sizes))
    for axis, (size, limit) in enumerate(zip(sizes, GRID_LIMITS, strict=True)):
        if not 0 <= size <= limit:
            raise ValueError(f"grid dimension {axis} of {name} is {size}; it must lie between 0 and {limit}")
    return sizes


def _argument(name: str, value: Any, regions: list[Region]) -> Any:
    """A launch argument as the kernel sees it: tensors become pointers that know their tensor."""
    if isinstance(value, bool):
        return tl.tensor(TensorHandle(np.array([value]), tl.int1), tl.int1)
    if isinstance(value, float):
        return tl.tensor(TensorHandle(np.array([value], np.float32), tl.float32), tl.float32)
    if isinstance(value, tuple):
        items = [_argument(f"{name}[{i}]", item, regions) for i, item in enumerate(value)]
        return upstream._tuple_create(value, items)
    if hasattr(value, "data_ptr"):
        tensor = upstream._unwrap_tensor(value)
        if tensor.device.type != "cpu":
            raise TypeError(f"argument {name} lives on {tensor.device}: expected a tensor on the CPU")
        regions.append(Region.of(name, tensor))
        pointer = upstream._implicit_cvt(value)
        pointer.handle.attr["region"] = regions[-1]
        return pointer
    if isinstance(value, upstream.TensorDescriptor):
        raise NotImplementedError("tensor descriptors made on the host don't run on the CPU: make them in the kernel")
    return upstream._implicit_cvt(value)


def interpret(kernel: JITFunction, grid: Any, args: tuple, kwargs: dict[str, Any], settings: Settings) -> None:
    """Run every program of one launch, one after another, on CPU tensors.

    Raises KernelFault for an address outside the launch's tensors. Other errors of the kernel are raised as they are,
    with a note that says where.
    """
    arguments, _ = bind(kernel, args, kwargs)
    sizes = grid_of(kernel, grid, arguments)
    constant = {param.name for param in kernel.params if param.is_constexpr}
    regions: list[Region] = []
    with _lock, _interpreted_language(), np.errstate(all="ignore"):
        values = {
            name: tl.core._unwrap_if_constexpr(value) if name in constant else _argument(name, value, regions)
            for name, value in arguments.items()
        }
        outer = BUILDER.launch
        BUILDER.launch = Launch(kernel.fn.__name__, regions, settings)
        try:
            _run_programs(python_function(kernel), values, sizes)
        finally:
            BUILDER.launch = outer


def _run_programs(program: Callable, values: dict[str, Any], sizes: tuple[int, int, int]) -> None:
    BUILDER.set_grid_dim(*sizes)
    BUILDER.grid_idx = (0, 0, 0)
    settings = BUILDER.launch.settings
    observer = settings.observer or Observer()
    observer.launch(BUILDER.launch, sizes)
    count = sizes[0] * sizes[1] * sizes[2]
    try:
        for number in range(count) if settings.order is None else settings.order(count).tolist():
            BUILDER.grid_idx = tuple(int(i) for i in np.unravel_index(number, sizes))
            observer.program(BUILDER.grid_idx, number)
            program(**values)
        observer.done()
    except KernelFault:
        raise
    except Exception as error:
        error.add_note(_where_raised(error))
        raise


def _where_raised(error: BaseException) -> str:
    line, text, trace = 0, "", error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code in _learner_codes:
            line = trace.tb_lineno
            text = linecache.getline(trace.tb_frame.f_code.co_filename, line).strip()
        trace = trace.tb_next
    return f"in {BUILDER.launch.kernel}, program {BUILDER.grid_idx}, line {line} `{text}`"


# --------------------------------------------------------------------------------------------------------------------
# The context

_contexts: list[Settings] = []
_originals: dict[str, Any] = {}


def _run(self: JITFunction, *args, grid, warmup, **kwargs):
    """What `kernel[grid](...)` calls while a context is open."""
    if _contexts[-1].recorder is not None:
        return None if warmup else _contexts[-1].recorder(self, grid, args, kwargs)
    tensors = list(tensors_in([*args, *kwargs.values()]))
    real = any(tensor.is_cuda for tensor in tensors) or (not tensors and torch.cuda.is_available())
    if warmup or real:
        return _originals["run"](self, *args, grid=grid, warmup=warmup, **kwargs)
    for hook in self.pre_run_hooks:
        hook(*args, **kwargs)
    return interpret(self, grid, args, kwargs, _contexts[-1])


def _run_autotuned(self: Autotuner, *args, **kwargs):
    """An autotuned kernel on CPU tensors: nothing is measured. The first configuration counts that
    `prune_configs_by` leaves and that no `tl.static_assert` on block sizes refuses; whether it would be the fastest, or
    fit into a GPU's shared memory, is not asked.

    Hooks are called as a GPU run calls them around the launch that counts: `pre_hook` and `reset_to_zero` once for
    each new value of `key` (and never with a single configuration), a configuration's own `pre_hook` every time.
    `post_hook` and `restore_value` belong to the measuring and have nothing to do here.
    """
    tensors = list(tensors_in([*args, *kwargs.values()]))
    real = any(tensor.is_cuda for tensor in tensors) or (not tensors and torch.cuda.is_available())
    if real and _contexts[-1].recorder is None:
        return _originals["autotune"](self, *args, **kwargs)
    self.nargs = dict(zip(self.arg_names, args, strict=False))
    config = self.best_config = _pick_config(self, args, kwargs)
    everything = {**self.nargs, **kwargs, **config.all_kwargs()}
    if _is_new_key(self, kwargs):
        self.pre_hook(everything, reset_only=True)
    if config.pre_hook is not None:
        config.pre_hook(everything)
    try:
        return self.fn.run(*args, **kwargs, **config.all_kwargs())
    finally:
        self.nargs = None


def _pick_config(tuner: Autotuner, args: tuple, kwargs: dict[str, Any]) -> Config:
    name = tuner.base_fn.__name__
    configs = tuner.prune_configs(kwargs) if len(tuner.configs) > 1 else tuner.configs
    for config in configs:
        twice = sorted(config.all_kwargs().keys() & {*kwargs, *tuner.arg_names[: len(args)]})
        if twice:
            raise ValueError(f"{name}: {', '.join(twice)} is given by the launch and by triton.autotune: drop one")
        if _asserts_hold(tuner, {**tuner.nargs, **kwargs, **config.kwargs}):
            return config
    raise ValueError(f"{name}: a tl.static_assert of the kernel refuses every configuration of triton.autotune")


def _asserts_hold(tuner: Autotuner, arguments: dict[str, Any]) -> bool:
    """Whether the `tl.static_assert`s at the top of the kernel's body that speak of its constants alone are true."""
    kernel = tuner.fn
    while not isinstance(kernel, JITFunction):
        kernel = kernel.fn
    fn = kernel.fn
    known = {param.name for param in kernel.params if param.is_constexpr} & arguments.keys()
    unknown = set(fn.__code__.co_varnames) - known
    for statement in ast.parse(textwrap.dedent("".join(kernel.raw_src))).body[0].body:
        call = statement.value if isinstance(statement, ast.Expr) else None
        if not (isinstance(call, ast.Call) and ast.unparse(call.func).endswith("static_assert") and call.args):
            continue
        if unknown.isdisjoint(node.id for node in ast.walk(call.args[0]) if isinstance(node, ast.Name)):
            code = compile(ast.Expression(call.args[0]), fn.__code__.co_filename, "eval")
            if not eval(code, {**fn.__globals__, **{name: arguments[name] for name in known}}):
                return False
    return True


_keys_seen: weakref.WeakKeyDictionary[Autotuner, set[tuple]] = weakref.WeakKeyDictionary()


def _is_new_key(tuner: Autotuner, kwargs: dict[str, Any]) -> bool:
    """Whether a GPU run would measure now. Remembered apart from the tuner's own cache, which real launches use."""
    if len(tuner.configs) < 2:
        return False
    given = {name: value for name, value in {**tuner.nargs, **kwargs}.items() if name in tuner.arg_names}
    dtypes = [str(value.dtype) for value in given.values() if hasattr(value, "dtype")]
    key = (*(given[name] for name in tuner.keys if name in given), *dtypes)
    seen = _keys_seen.setdefault(tuner, set())
    new = key not in seen
    seen.add(key)
    return new


def _enter(settings: Settings) -> None:
    with _lock:
        if not _contexts:
            _originals.update(run=JITFunction.run, autotune=Autotuner.run)
            JITFunction.run, Autotuner.run = _run, _run_autotuned
        _contexts.append(settings)


def _leave(settings: Settings) -> None:
    with _lock:
        _contexts[:] = [context for context in _contexts if context is not settings]
        if not _contexts:
            JITFunction.run, Autotuner.run = _originals["run"], _originals["autotune"]


@contextlib.contextmanager
def on_cpu(
    *,
    tf32: bool = False,
    quiet: bool = False,
    observer: Observer | None = None,
    order: Callable[[int], np.ndarray] | None = None,
    recorder: Callable[[JITFunction, Any, tuple, dict], None] | None = None,
) -> Iterator[None]:
    """Interpret kernels launched on CPU tensors; leave launches on CUDA tensors alone. Nests; restores on exit.

    tf32      round the operands of a float32 `tl.dot` to tf32, as the default `input_precision` does on a GPU
    quiet     swallow tl.device_print and tl.static_print
    observer  told what the kernels do
    order     the order programs run in: from their count to a permutation of their numbers
    recorder  called for every launch with (kernel, grid, args, kwargs) INSTEAD of running it
    """
    settings = Settings(tf32, quiet, observer, order, recorder)
    _enter(settings)
    try:
        yield
    finally:
        _leave(settings)


_installed: list[Settings] = []


def install() -> None:
    """Enter `on_cpu()` for the life of the process (notebooks). Calling it again changes nothing."""
    if not _installed:
        _installed.append(Settings())
        _contexts.insert(0, _installed[0]) if _contexts else _enter(_installed[0])
