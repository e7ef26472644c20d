"""Loads, stores and atomics of an interpreted kernel: every address is checked against the tensors of the launch.

`Accesses` is the half of the builder that touches memory; pointers carry the tensor they were derived from along.
What it is not: arithmetic, which is `builder`, or the words of a fault, which are `faults`.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import triton.language as tl
from triton._C.libtriton import ir
from triton.runtime import interpreter as upstream
from triton.runtime.interpreter import TensorHandle

from grader_kernels.interpreter.faults import fault, waiting
from grader_kernels.interpreter.launch import MARKED, Launch, Region
from grader_kernels.interpreter.numbers import bf16_to_f32, f32_to_bf16, poison

MOST_LOOKS = {"reads": 10_000, "updates": 1_000}  # at one element in a row, without any change
_SPREAD = 0x9E3779B1, 0x85EBCA6B, 0xC2B2AE35  # odd and large: neighbours along any axis get different high bits
_SHIFTS = {width: np.uint64(width.bit_length() - 1) for width in (2, 4, 8)}


def _flag(mask: Any) -> np.ndarray | None:
    """A mask as booleans, None when there is none or when every lane is on."""
    if mask is None:
        return None
    lanes = np.asarray(mask.data if isinstance(mask, TensorHandle) else mask).astype(bool, copy=False)
    return None if lanes.all() else lanes


def unfilled(shape: tuple[int, ...], element: tl.dtype, how: str = MARKED) -> np.ndarray:
    """What lanes hold that no load has filled: the mark of `poison`, or a mixture of 0 and large numbers of both signs,
    in which no row and no column of a tile has one of them alone."""
    if how == MARKED:
        return poison(shape, element)
    return _mixture(shape, element).copy()


@functools.lru_cache(maxsize=256)
def _mixture(shape: tuple[int, ...], element: tl.dtype) -> np.ndarray:
    dtype = upstream._get_np_dtype(element)
    kinds = np.zeros(4, dtype)
    kinds[1], kinds[3] = _large(element, dtype, 1), _large(element, dtype, -1)
    places = np.zeros(shape, np.uint32)
    for axis, extent in enumerate(shape):
        spread = np.arange(extent, dtype=np.uint32) * np.uint32(_SPREAD[axis % len(_SPREAD)])
        places += spread.reshape([-1 if other == axis else 1 for other in range(len(shape))])
    return kinds[(places >> np.uint32(15)) & np.uint32(3)]


def _large(element: tl.dtype, dtype: np.dtype, sign: int) -> Any:
    if element.is_bf16():
        return f32_to_bf16(np.array([sign * 1e30], np.float32))[0]
    if dtype.kind == "f":
        return sign * (6e4 if dtype.itemsize == 2 else 1e30)
    return True if dtype == np.bool_ else np.iinfo(dtype).max // 2 * (sign if dtype.kind == "i" else 1)


def _spread(handle: TensorHandle, dtype: np.dtype, shape: tuple[int, ...]) -> TensorHandle:
    """`handle` with exactly this dtype and shape, in contiguous memory: what the native atomics take for granted."""
    data = np.broadcast_to(handle.data.astype(dtype, copy=False), shape)
    return TensorHandle(np.ascontiguousarray(data), handle.dtype, handle.attr)


def _turned(lanes: Any) -> Any:
    """A tile, or a mask, with its lanes in the opposite order."""
    if isinstance(lanes, TensorHandle):
        return TensorHandle(_turned(lanes.data), lanes.dtype, lanes.attr)
    return np.ascontiguousarray(lanes.reshape(-1)[::-1].reshape(lanes.shape))


def new_handle(data: np.ndarray, dtype: tl.dtype, attr: dict[str, Any] | None = None) -> TensorHandle:
    """A TensorHandle of data that is known to fit its type, in a third of the time."""
    made = object.__new__(TensorHandle)
    made.__dict__ = {"data": data, "dtype": dtype, "attr": {} if attr is None else attr}
    return made


class Accesses(upstream.InterpreterBuilder):
    """The operations of triton's interpreter builder on memory, guarded."""

    def __init__(self) -> None:
        super().__init__()
        self.launch: Launch | None = None
        self.grid_idx = (0, 0, 0)
        self.look, self._looks = None, 0  # where this program looked last and what it found; how often
        self.other_given = False  # semantic.py drops a scalar `other` that is 0: Semantic.load notes that it was there

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
        raise fault(self.launch, self.grid_idx, verb, region, flat[bad], flat.size)

    def _in_neighbour(self, verb: str, region: Region, flat: np.ndarray) -> None:
        for other in self.launch.regions:
            if region.apart_from(other):
                bad = (flat >= other.base) & (flat < other.end)
                if bad.any():
                    raise fault(self.launch, self.grid_idx, verb, region, flat[bad], flat.size)

    def _outside_all(self, verb: str, addresses: np.ndarray, size: int) -> None:
        flat = addresses.reshape(-1)
        good = np.zeros(flat.shape, bool)
        for region in self.launch.regions:
            if region.high - region.low >= size:
                good |= (flat >= region.low) & (flat <= region.high - size)
        if not good.all():
            raise fault(self.launch, self.grid_idx, verb, None, flat[~good], flat.size)

    def _note_look(self, verb: str, pointers: TensorHandle, addresses: np.ndarray, values: np.ndarray) -> None:
        """A program that looks at one element again and again waits; where programs run one by one, for ever."""
        if addresses.size != 1:
            self.look = None
            return
        look = addresses.item(), values.tobytes()
        self._looks = self._looks + 1 if look == self.look else 0
        self.look = look
        if self._looks >= MOST_LOOKS[verb] and self.launch.settings.runner is None:
            raise waiting(self.launch, self.grid_idx, self._region(pointers, addresses), addresses.item())

    # loads, stores, atomics
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
            self._note_lanes(lanes, shape)
            observer.load(self._region(ptrs, addresses), addresses.reshape(-1), dtype.itemsize, filled)
        if lanes is None:
            values = self._fetch(ptrs, addresses, dtype)
        else:
            how = self.launch.settings.unfilled
            values = unfilled(shape, element, how) if not filled else np.empty(shape, dtype)
            if filled:
                values[...] = 0 if other is None else other.data
            if addresses.size:
                values[np.broadcast_to(lanes, shape)] = self._fetch(ptrs, addresses, dtype)
        if observer is not None:
            observer.loaded(values)
        self._note_look("reads", ptrs, addresses, values)
        return new_handle(values, element)

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
        self.look = None
        dtype = upstream._get_np_dtype(ptrs.get_element_ty())
        lanes = _flag(mask)
        addresses = self.check("writes", ptrs, lanes, dtype.itemsize)
        shape = ptrs.data.shape
        # exactly the pointer's width: a wider value would write past the bytes that were checked
        data = np.broadcast_to(value.data.astype(dtype, copy=False), shape)
        observer = self.launch.settings.observer
        if observer is not None and addresses.size:
            self._note_lanes(lanes, shape)
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

    def _note_lanes(self, lanes: np.ndarray | None, shape: tuple[int, ...]) -> None:
        """Who of the program touches memory now, for observers that ask."""
        self.launch.lanes = lanes, shape

    def _region(self, pointers: TensorHandle, addresses: np.ndarray) -> Region | None:
        """The tensor that checked addresses lie in; None when they were made from numbers and span several."""
        region = pointers.attr.get("region")
        if region is not None or not addresses.size:
            return region
        low, high = int(addresses.min()), int(addresses.max())
        return next((known for known in self.launch.regions if known.owns(low, high + 1)), None)

    def _note_atomic(self, pointers: TensorHandle, lanes: np.ndarray | None, size: int, sem: Any) -> None:
        addresses = self.check("updates", pointers, lanes, size)
        self.launch.takes = sem in (ir.MEM_SEMANTIC.ACQUIRE, ir.MEM_SEMANTIC.ACQUIRE_RELEASE)
        self.launch.gives = sem in (ir.MEM_SEMANTIC.RELEASE, ir.MEM_SEMANTIC.ACQUIRE_RELEASE)
        observer = self.launch.settings.observer
        if observer is not None and addresses.size:
            self._note_lanes(lanes, pointers.data.shape)
            observer.atomic(self._region(pointers, addresses), addresses.reshape(-1), size)

    def create_atomic_rmw(self, op, ptr, val, mask, sem, *rest):
        dtype = upstream._get_np_dtype(ptr.get_element_ty())
        shape = np.broadcast_shapes(ptr.data.shape, val.data.shape)
        pointers, value = _spread(ptr, ptr.data.dtype, shape), _spread(val, dtype, shape)
        lanes = _flag(mask)
        self._note_atomic(pointers, lanes, dtype.itemsize, sem)
        lanes = np.ones(shape, bool) if lanes is None else np.ascontiguousarray(np.broadcast_to(lanes, shape))
        if self.launch.settings.order is not None:  # the lanes of a tile come in any order, too
            pointers, value, lanes = _turned(pointers), _turned(value), _turned(lanes)
        if val.dtype.scalar == tl.bfloat16:
            return self._in_lane_order(self._bf16_atomic(op, pointers, value, lanes))
        if op == ir.ATOMIC_OP.XCHG:  # of any type an exchange of bits
            value = TensorHandle(value.data.view(f"u{dtype.itemsize}"), value.dtype)
        old = super().create_atomic_rmw(op, pointers, value, TensorHandle(lanes, tl.int1), sem, *rest)
        old = self._in_lane_order(old)
        self._note_look("updates", pointers, pointers.data, old.data)
        return new_handle(old.data.view(dtype), value.dtype.scalar)

    def _in_lane_order(self, old: TensorHandle) -> TensorHandle:
        return old if self.launch.settings.order is None else _turned(old)

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
        self._note_atomic(pointers, None, dtype.itemsize, sem)
        old = super().create_atomic_cas(pointers, _spread(cmp, dtype, shape), _spread(val, dtype, shape), sem, *rest)
        self._note_look("updates", pointers, pointers.data, old.data)
        return old

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
        return new_handle(ptr.data + steps, ptr.dtype, ptr.attr)

    def create_expand_dims(self, arg, axis):
        sizes = arg.data.shape
        data = arg.data.reshape(*sizes[:axis], 1, *sizes[axis:])  # a view, in half the time of np.expand_dims
        return new_handle(data, arg.dtype.scalar, arg.attr)

    # descriptors
    def create_make_tensor_descriptor(self, base, shape, strides, tensor_shape, is_signed, padding="zero"):
        descriptor = _Descriptor(base, shape, strides, tensor_shape, padding)
        descriptor.validate()
        return descriptor

    def create_descriptor_reduce(self, kind, desc, value, indices):
        pointers, lanes = desc.materialize_pointers(indices)
        op = _reduction_of(kind.name, value.dtype.scalar)
        sem = ir.MEM_SEMANTIC.RELAXED
        return self.create_atomic_rmw(op, pointers, value, TensorHandle(lanes, tl.int1), sem, ir.MEM_SYNC_SCOPE.GPU)


def _reduction_of(name: str, kind: tl.dtype) -> Any:
    """The atomic that a descriptor's reduction is in every lane."""
    unsigned = name in ("MIN", "MAX") and not kind.is_int_signed()
    return getattr(ir.ATOMIC_OP, "FADD" if name == "ADD" and kind.is_floating() else "U" * unsigned + name)


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

    setattr(Accesses, name, carrying)


for _name in "splat unsplat broadcast reshape trans bitcast".split():
    _carry_region(f"create_{_name}")
