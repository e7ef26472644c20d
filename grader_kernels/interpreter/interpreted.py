"""TRITON_INTERPRET=1 does no harm: what triton made for its own interpreter becomes an ordinary kernel.

The variable is common advice for machines without a GPU. Triton reads it at every `@triton.jit` and when
`triton.language` is imported; a kernel made under it can't be compiled, and its launches can't be recorded.
"""

from __future__ import annotations

import contextlib
import sys
from types import FunctionType
from typing import Any

from triton import knobs
from triton.runtime.interpreter import InterpretedFunction
from triton.runtime.jit import JITFunction


def ignore() -> None:
    """From here on the variable is not read, and triton's own functions are ordinary ones."""
    vars(knobs.runtime)["interpret"] = False  # an assignment would write to the environment, for children to read
    modules = [module for name, module in list(sys.modules.items()) if name.split(".")[0] == "triton"]
    classes = [value for module in modules for value in vars(module).values() if isinstance(value, type)]
    for owner in [*modules, *(each for each in classes if each.__module__.split(".")[0] == "triton")]:
        for name, value in list(vars(owner).items()):
            if isinstance(_unwrapped(value), InterpretedFunction):
                setattr(owner, name, ordinary(_unwrapped(value)))


def _unwrapped(value: Any) -> Any:
    """`x.sum` of a tile is a function around the kernel `tl.sum`, where that was made under the variable."""
    for cell in (isinstance(value, FunctionType) and value.__closure__) or ():
        with contextlib.suppress(ValueError):  # an empty cell
            if isinstance(cell.cell_contents, InterpretedFunction):
                return cell.cell_contents
    return value


def ordinary(value: Any) -> Any:
    """A kernel that was made under the variable, as `@triton.jit` makes it without, one for each; else the value."""
    if not isinstance(value, InterpretedFunction):
        return value
    made = vars(value).get("_ordinary")
    if made is None:
        options = {name: option for name, option in value.kwargs.items() if option is not None}
        made = value._ordinary = JITFunction(value.fn, **options)
    return made
