"""Where a path into an installed library leads.

A library has more doors than names: `torch.nn.modules.activation.F.softmax` is `torch.nn.functional.softmax`. A path is
walked as Python would walk it, through every module that lies on it, and a function or class gets the name under which
it is documented. Not here: which calls answer an exercise outright (course.checking.forbidden).
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import sys
from types import BuiltinFunctionType, ModuleType
from typing import NamedTuple

TORCH = """torch.nn.functional torch.nn torch torch.nn.init torch.nn.parameter torch.nn.utils torch.nn.utils.rnn
torch.nn.attention torch.linalg torch.special torch.fft torch.autograd torch.autograd.functional
torch.autograd.forward_ad torch.func torch.distributions torch.cuda torch.random torch.optim torch.optim.lr_scheduler
torch.amp torch.types"""


class Place(NamedTuple):
    """Where a path leads: the module on which it ends, and what is left of it from there.

    known: whether the module has what is left of it, or nothing is.
    """

    module: str
    rest: tuple[str, ...] = ()
    known: bool = True

    @property
    def path(self) -> str:
        """The place in words, under its documented name where it has one."""
        return ".".join((self.module, *self.rest))


@functools.lru_cache(maxsize=4096)
def place(path: str) -> Place:
    """Where a dotted path leads. Of modules that nobody imported yet only those of TORCH are imported."""
    root, *rest = path.split(".")
    module = _module(root)
    if module is None:
        return Place(root, tuple(rest), False)
    while rest:
        inside = f"{module.__name__}.{rest[0]}"
        found = vars(module).get(rest[0], _module(inside))
        if found is None and rest[0] not in vars(module):
            return Place(module.__name__, tuple(rest), False)
        if not isinstance(found, ModuleType):
            public = (_documented().get(id(found)) or _home(found, module.__name__)) if callable(found) else None
            return Place(public[0], (public[1], *rest[1:])) if public else Place(module.__name__, tuple(rest))
        module, rest = found, rest[1:]
    return Place(module.__name__)


def starred(module: str) -> list[str]:
    """What `from module import *` brings, as far as that is known without running it."""
    found = place(module)
    if found.rest or not found.known:
        return []
    names = vars(sys.modules[found.module])
    return list(names.get("__all__", (name for name in names if not name.startswith("_"))))


def _home(value: object, within: str) -> tuple[str, str] | None:
    """The module of another package that a function or a class says it comes from, and its name there."""
    said, name = str(getattr(value, "__module__", "")), str(getattr(value, "__name__", ""))
    if within.split(".")[0] in sys.stdlib_module_names or said.split(".")[0] in (within.split(".")[0], "builtins"):
        return None
    homes = (said.removeprefix("_"), said)  # functools.reduce comes from _functools
    return next(((each, name) for each in homes if getattr(sys.modules.get(each), name, None) is value), None)


def _module(name: str) -> ModuleType | None:
    """A module that is there already, or one of TORCH."""
    if name in TORCH.split() and name not in sys.modules:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    return sys.modules.get(name)


@functools.lru_cache(maxsize=1)
def _documented() -> dict[int, tuple[str, str]]:
    """From functions and classes of torch, wherever they are bound, to a module of `TORCH` and their name in it: the
    one that they say they come from, else the first."""
    found: dict[int, tuple[str, str]] = {}
    for own in (True, False):
        for module in TORCH.split():
            for name, value in list(vars(importlib.import_module(module)).items()):
                if callable(value) and not name.startswith("_") and _is_of(value, module if own else "torch"):
                    found.setdefault(id(value), (module, name))
    return found


def _is_of(value: object, module: str) -> bool:
    said = str(getattr(value, "__module__", ""))
    return said == module or (module == "torch" and (said.startswith("torch.") or type(value) is BuiltinFunctionType))
