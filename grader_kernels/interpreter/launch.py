"""What one launch is: the memory of its tensors, what was asked of it, and who is told what it does.

What it is not: running it, which is `programs`, or finding that an access is wrong, which is `accesses`.
"""

from __future__ import annotations

import ctypes
import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from triton.runtime.jit import JITFunction

MARKED, MIXED = "marked", "mixed"  # a NaN that is recognised; what a GPU mostly has, 0, and large numbers among it


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
        """The region of a launch's argument."""
        storage = tensor.untyped_storage()
        low = storage.data_ptr()
        high = low + storage.nbytes()
        base, item = tensor.data_ptr(), tensor.element_size()
        steps = sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
        end = base + (steps + 1) * item if tensor.numel() else base
        return cls(name, low, high, base, item, tensor.numel(), tensor.is_contiguous(), end)

    def owns(self, low: int, high: int) -> bool:
        """Whether the bytes [low, high) all lie inside."""
        return self.low <= low and high <= self.high

    def apart_from(self, other: Region) -> bool:
        """Both lie in one storage and share no part of it."""
        return self.low == other.low and (self.end <= other.base or other.end <= self.base)

    def extent(self) -> str:
        """How much there is, as the end of a sentence about the tensor."""
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

    def dot(self, left: tuple[int, ...], right: tuple[int, ...], dtype: str) -> None:
        """A `tl.dot` of tiles of these shapes; dtype is what it multiplies: "fp16", "fp32", or "tf32" of float32."""

    def barrier(self) -> None:
        """A `tl.debug_barrier`."""

    def overflow(self, operation: str) -> None:
        """A signed 32-bit result that did not fit (the value wraps)."""

    def done(self) -> None:
        """The launch ended without an error."""


@dataclasses.dataclass
class Settings:
    """What one `on_cpu` asks for; its arguments say what each means. A replay asks for the last two."""

    tf32: bool = True
    quiet: bool = False
    observer: Observer | None = None
    order: Callable[[int], np.ndarray] | None = None
    recorder: Callable[[JITFunction, Any, tuple, dict], None] | None = None
    unfilled: str = MARKED  # what lanes hold that no load has filled
    runner: Callable[[Callable[[int], None], Iterable[int]], None] | None = None  # runs the programs; None: one by one


@dataclasses.dataclass
class Launch:
    """The launch that is being interpreted."""

    kernel: str
    regions: list[Region]
    settings: Settings
    views: dict[tuple[int, np.dtype], np.ndarray] = dataclasses.field(default_factory=dict)
    lanes: tuple[np.ndarray | None, tuple[int, ...]] = (None, ())  # of the access that is observed
    takes: bool = True  # the atomic that is observed sees what others have done before theirs ("acquire")
    gives: bool = True  # others see by it what was done before ("release")

    def memory(self, region: Region, dtype: np.dtype) -> np.ndarray:
        """The storage that a region lies in, in elements of this type."""
        view = self.views.get((region.low, dtype))
        if view is None:
            size = region.high - region.low
            raw = np.frombuffer((ctypes.c_uint8 * size).from_address(region.low), np.uint8)
            view = self.views[region.low, dtype] = raw[: size // dtype.itemsize * dtype.itemsize].view(dtype)
        return view
