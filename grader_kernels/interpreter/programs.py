"""One launch, interpreted: its arguments are bound, its grid is read, its programs run one after another.

What it is not: the moment when a launch comes here instead of a GPU; that is `context`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import torch
import triton.language as tl
from triton.runtime import interpreter as upstream
from triton.runtime.interpreter import TensorHandle
from triton.runtime.jit import JITFunction

from grader_kernels.interpreter.builder import BUILDER
from grader_kernels.interpreter.faults import KernelFault, where_raised
from grader_kernels.interpreter.launch import Launch, Observer, Region, Settings
from grader_kernels.interpreter.patches import LOCK, interpreted_language
from grader_kernels.interpreter.rewriting import python_function

LAUNCH_OPTIONS = frozenset(
    "num_warps num_stages num_ctas maxnreg enable_fp_fusion launch_cooperative_grid launch_pdl debug "
    "sanitize_overflow instrumentation_mode waves_per_eu matrix_instr_nonkdim kpack".split()
)
GRID_LIMITS = (2**31 - 1, 65535, 65535)  # CUDA C programming guide, table of compute capabilities


def tensors_in(value: Any) -> Iterator[torch.Tensor]:
    """Every tensor among the arguments of a launch, tuples and descriptors included."""
    if isinstance(value, (tuple, list)):
        for item in value:
            yield from tensors_in(item)
    elif hasattr(value, "data_ptr"):
        yield upstream._unwrap_tensor(value)
    elif isinstance(value, upstream.TensorDescriptor):
        yield upstream._unwrap_tensor(value.base)


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
    with LOCK, interpreted_language(), np.errstate(all="ignore"):
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


def _one_by_one(run: Callable[[int], None], numbers: Iterable[int]) -> None:
    for number in numbers:
        run(number)


def _run_programs(program: Callable, values: dict[str, Any], sizes: tuple[int, int, int]) -> None:
    BUILDER.set_grid_dim(*sizes)
    BUILDER.grid_idx = (0, 0, 0)
    settings = BUILDER.launch.settings
    observer = settings.observer or Observer()
    observer.launch(BUILDER.launch, sizes)
    count = sizes[0] * sizes[1] * sizes[2]
    numbers = range(count) if settings.order is None else settings.order(count).tolist()

    def run(number: int) -> None:
        BUILDER.grid_idx, BUILDER.look = tuple(int(i) for i in np.unravel_index(number, sizes)), None
        observer.program(BUILDER.grid_idx, number)
        program(**values)

    try:
        (settings.runner or _one_by_one)(run, numbers)
        observer.done()
    except KernelFault:
        raise
    except Exception as error:
        error.add_note(where_raised(error, BUILDER.launch, BUILDER.grid_idx))
        raise
