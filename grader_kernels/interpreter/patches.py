"""Patching `tl`: the list of patches is made once, and applied for the length of a launch.

What it is not: what a kernel computes, which is `builder`. Here triton's own code is led there, and back afterwards.
"""

from __future__ import annotations

import contextlib
import inspect
import operator
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import triton.compiler.code_generator  # noqa: F401  it keeps max and min of the language as they are now
import triton.language as tl
from triton.language.extra import libdevice as libdevice_stubs
from triton.language.extra.cuda import libdevice as libdevice_cuda
from triton.runtime import interpreter as upstream
from triton.runtime.jit import JITFunction

from grader_kernels.interpreter import recipes
from grader_kernels.interpreter.builder import BUILDER, SEMANTIC
from grader_kernels.interpreter.interpreted import ordinary
from grader_kernels.interpreter.reductions import reduce_tile, scan_tile
from grader_kernels.interpreter.rewriting import PATCHED, counted, python_function, unrolled


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
        print(*map(_unwrap_if_constexpr, values), **options)


def _static_assert(condition, message=""):
    assert condition, _unwrap_if_constexpr(message)


# What a constant says about another value. With a tensor, the tensor decides, as in the compiler.
_OF_CONSTANTS = [f"__{name}__" for name in "lt le gt ge eq ne pow and or xor lshift rshift".split()]
_OF_CONSTANTS += [f"__{r}{name}__" for name in "add sub mul truediv floordiv".split() for r in ("", "r")] + ["__mod__"]


_REFLECTED = {"__rmod__": operator.mod, "__rand__": operator.and_, "__ror__": operator.or_, "__rxor__": operator.xor}
_REFLECTED |= {"__rlshift__": operator.lshift, "__rrshift__": operator.rshift}  # those that tl.constexpr lacks


def _for_constants(member: Callable) -> Callable:
    """An operator of tl.constexpr that leaves tensors to the operator of the tensor."""

    def call(self, other):
        return NotImplemented if isinstance(other, tl.tensor) else member(self, other)

    return call


def _of_a_number(op: Callable) -> Callable:
    """`7 % C`, which the compiler takes: to it 7 is a tl.constexpr as well."""
    return lambda self, other: tl.constexpr(op(other, self.value))


def _attribute_of_constant(self: tl.constexpr, name: str) -> Any:
    """What a tl.constexpr has no word for is asked of its value."""
    if name in ("value", "type"):
        raise AttributeError(name)
    return getattr(self.value, name)


def _libdevice(name: str) -> Callable:
    member = getattr(libdevice_cuda, name)

    def call(*args, **_):
        try:
            return member(*args, _semantic=SEMANTIC)
        except KeyError as error:  # how triton says that there is none for these types
            kinds = ", ".join(str(kind) for kind in error.args[0])
            raise TypeError(f"libdevice.{name} does not take {kinds}: cast with .to(tl.float32) first") from None

    return call


def _call_device(self: JITFunction, *args, **kwargs):
    made = _device_calls.get(id(self))
    if made is None:
        made = python_function(self)
        if id(self) in recipes.JITTED:
            made = _device_calls[id(self)] = recipes.remembered(made, SEMANTIC)
    return made(*args, **kwargs)


_device_calls: dict[int, Callable] = {}


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


def _takes_semantic(member: Any) -> bool:
    """Whether the compiler would call this with its semantic: x.exp is a plain function around the builtin tl.exp."""
    return tl.core.is_builtin(member) or "_semantic" in getattr(getattr(member, "signature", None), "parameters", ())


def _plan_patches() -> list[tuple[Any, str, Any]]:
    scope = _Recorder()
    for owner in (tl, tl.core, tl.math, tl.tensor, tl.core.tensor_descriptor_base):
        for name, member in inspect.getmembers(owner):
            if _takes_semantic(member):
                scope.set_attr(owner, name, _by_recipe(name, member))
    for lang in (tl, tl.core):
        upstream._patch_lang_core(lang, scope)  # sets reduce and scan of both, every time: ours come after
    for lang in (tl, tl.core):
        scope.set_attr(lang, "static_print", _static_print)
        scope.set_attr(lang, "static_assert", _static_assert)
        scope.set_attr(lang, "range", counted)
        scope.set_attr(lang, "static_range", unrolled)
        scope.set_attr(lang, "reduce", reduce_tile)
        scope.set_attr(lang, "associative_scan", scan_tile)
    upstream._patch_lang_tensor(tl.tensor, scope)
    for name in _OF_CONSTANTS:
        scope.set_attr(tl.constexpr, name, _for_constants(getattr(tl.constexpr, name)))
    for name, op in _REFLECTED.items():
        scope.set_attr(tl.constexpr, name, _of_a_number(op))
    scope.set_attr(tl.constexpr, "__getattr__", _attribute_of_constant)
    for name, member in vars(tl.tensor).items():
        if isinstance(member, JITFunction):  # x.sum(0): a JITFunction is no method by itself
            scope.set_attr(tl.tensor, name, lambda *args, member=member, **kwargs: member(*args, **kwargs))
    for name in vars(libdevice_stubs).keys() & vars(libdevice_cuda).keys():
        if tl.core.is_builtin(getattr(libdevice_cuda, name)):
            call = _libdevice(name)
            scope.set_attr(libdevice_stubs, name, call)
            scope.set_attr(libdevice_cuda, name, call)
    scope.set_attr(JITFunction, "__call__", _call_device)
    scope.set_attr(upstream.InterpretedFunction, "__call__", lambda f, *a, **kw: _call_device(ordinary(f), *a, **kw))
    scope.set_attr(tl.block_type, "__init__", _quick_block_type)
    scope.set_attr(tl.tensor, "__init__", _quick_tensor)
    scope.set_attr(upstream, "_get_np_dtype", _quick_numpy_dtype)
    scope.set_attr(tl.core, "_unwrap_if_constexpr", _quick_unwrap)
    made = list(scope.values.values())
    PATCHED.update((id(vars(owner)[name]), value) for owner, name, value in made if callable(vars(owner).get(name)))
    return made


_MISSING = object()
_patches: list[tuple[Any, str, Any]] = []
LOCK = threading.RLock()  # held while something of triton's is patched


@contextlib.contextmanager
def interpreted_language() -> Iterator[None]:
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
