"""What a process does to itself so that nothing in it can have what an exercise forbids.

`poison_operators` makes operators raise, below Python, and takes away what libraries have for them in Python; so do all
operators outside of aten, and what repeats layers for other kinds of tensors or runs graphs by itself. `close_doors`
lets no more library code in: no file of it can be read, no program started, no native code loaded, or called by its
name. From there on it doesn't matter what a learner's code does to its own process: what computes is not there.

What it can't hold: a function that nobody listed and that comes down to other operators; native code that is called by
its address. Without Landlock (Linux 5.13) files can be read. Not here: which operators (course.checking.forbidden).
"""

from __future__ import annotations

import ctypes
import ctypes.util
import functools
import gc
import glob
import importlib
import importlib.util
import inspect
import linecache
import os
import pkgutil
import re
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from types import FunctionType
from typing import Any, NoReturn

import torch

from course.worker import walls

AUTOGRAD = "Autograd"  # in the place of a name: what records a graph, of every operator
AUTOGRAD_KEYS = (AUTOGRAD, "AutogradCPU", "AutogradNestedTensor", "AutogradOther")
COMPUTING_KEYS = (
    "CPU", "MkldnnCPU", "SparseCPU", "SparseCsrCPU", "NestedTensorCPU", "QuantizedCPU", "CompositeImplicitAutograd",
    "CompositeImplicitAutogradNestedTensor", "CompositeExplicitAutograd", "CompositeExplicitAutogradNonFunctional",
    "FuncTorchBatched", "FuncTorchBatchedDecomposition", "FuncTorchVmapMode",
)  # fmt: skip
IN_PYTHON = ("torch._refs", "torch._refs.special", "torch._refs.nn.functional", "torch._decomp.decompositions")
LIBRARIES = ("torch", "course", "numpy")  # whose functions have names with dots
CLOSED = (  # layers, losses and operators of torch's that are written in Python, and compilers
    "torch.ao", "torch.quantization", "torch.nn.modules.linear_cross_entropy", "torch.onnx", "torch.masked",
    "torch.distributed.tensor", "torch._higher_order_ops", "torch._inductor", "torch._native", "torch._numpy",
)  # fmt: skip
REFERENCES = ("torch._refs", "torch._decomp")  # operators in Python; what all tensors need stays: so meta ones work
TELLING = re.compile(r"softmax|softmin|logsumexp|entropy|norm(?!al)|rnn|lstm|gru|cell|layer|attention|backward")
CLOSED_FOR = {  # where that is forbidden: without a graph some of these give zeros
    AUTOGRAD: (
        "torch.autograd.gradcheck", "torch.autograd.functional", "torch.autograd.forward_ad",
        "torch._functorch.eager_transforms",
    ),
}  # fmt: skip
OPEN = ("aten", "prims", "profiler")  # namespaces of operators; what is in the others repeats them for other tensors
INTERPRETERS = re.compile(  # names in torch._C: of what runs a graph by itself, and of switches that let it derive one
    r"_te|parse_ir|_jit_(to_static_module|interpret_graph|differentiate|set_.*|override_.*|.*autodiff.*|.*decompos.*)|"
    r"_load_for_lite.*|_fuse_to_static_module|_debug_set_.*|_set_graph_executor_optimize"
)
has_kernel = torch._C._dispatch_has_kernel_for_dispatch_key
PLAIN = re.compile(  # packages for figures, tables and settings
    r"(numpy|matplotlib|mpl_toolkits|PIL|pillow|cycler|dateutil|six|pyparsing|packaging|kiwisolver|contourpy|fontTools|"
    r"fonttools|IPython|ipython|ipywidgets|traitlets|pygments|jedi|parso|prompt_toolkit|pexpect|ptyprocess|rich|tqdm|"
    r"einops|pandas|pytz|tzdata|babel|typing_extensions|typing_inspection|annotated_types|pydantic|pydantic_core|"
    r"msgspec|psutil|sympy|mpmath|regex|yaml)\b"
)
SYSTEM = ("/tmp", "/dev", "/proc", "/etc", "/usr/share", "/lib/*-linux-gnu*", "/lib64/*.so*", "/usr/lib/*.so*")
SITES = ("site-packages", "dist-packages")


def poison_operators(names: list[str]) -> list[str]:
    """Make ATen operators raise on the CPU, below Python, as long as the process lives; what was changed.

    names: "softmax.int", "aten::_softmax" or "_softmax" (every overload), for tensors of any layout. What torch has for
    them in Python raises, too, and all of CLOSED and of what is TELLING.
    "torch.nn.functional.name": a function of a library, composed of operators that an exercise may need.
    "Autograd": no operator records a graph or carries a tangent.
    What computed before is gone: nothing in the process holds it. Unknown names raise ValueError.
    """
    functions = [name for name in names if name.partition(".")[0] in LIBRARIES]
    for name in functions:
        function = pkgutil.resolve_name(name)
        _empty(function) if isinstance(function, FunctionType) else _take_away(function, name.partition(".")[0])
    for packages in (CLOSED, *(CLOSED_FOR[name] for name in names if name in CLOSED_FOR)):
        for function in _functions_below(packages):
            _empty(function)
    for function in _functions_below(REFERENCES):
        if TELLING.search(function.__name__):
            _empty(function)
    torch._C._set_graph_executor_optimize(False)
    for module in (torch._C, torch):
        for name in filter(INTERPRETERS.fullmatch, dir(module)):
            delattr(module, name)
    library = _library_for_good("aten")
    _close_namespaces()
    done = _without_graphs(library) if AUTOGRAD in names else []
    for name in names:
        if name not in functions and name != AUTOGRAD:
            overloads = _overloads(name)
            for function in _in_python(name, overloads):
                _empty(function)
            done += [overload for overload in overloads if _poison(library, overload)]
    return done + functions


def _library_for_good(namespace: str) -> Any:
    """A library of kernels that nothing in Python leads to: who finds it could destroy it, and its kernels with it."""
    library = torch._C._dispatch_library("IMPL", namespace, "", __file__, 0)
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(library))
    return library


def _close_namespaces() -> None:
    """All operators raise that are not in OPEN: of quantized tensors, of other backends, of compilers."""
    libraries = functools.cache(_library_for_good)
    for namespace, overload, keys in _of_namespaces():
        _refuse_in(libraries(namespace), overload, keys)


@functools.cache
def _of_namespaces() -> list[tuple[str, str, list[str]]]:
    """(namespace, overload, keys that compute) of operators that are not in OPEN."""
    named = [name.split("::") for name in torch._C._dispatch_get_all_op_names() if name.split("::")[0] not in OPEN]
    found = [(n, o, [key for key in COMPUTING_KEYS if has_kernel(f"{n}::{o}", key)]) for n, o in named]
    return [each for each in found if each[2]]


def _without_graphs(library: Any) -> list[str]:
    """Let every operator pass by its kernel for autograd, to the one that computes."""
    for overload, key in _of_autograd():
        library.impl(overload, key, torch.library.fallthrough_kernel, False)
    return list(dict.fromkeys(overload for overload, _ in _of_autograd()))


@functools.cache
def _of_autograd() -> list[tuple[str, str]]:
    """(overload, key) of every kernel that records a graph."""
    aten = [name for name in torch._C._dispatch_get_all_op_names() if name.startswith("aten::")]
    return [(name.removeprefix("aten::"), key) for name in aten for key in AUTOGRAD_KEYS if has_kernel(name, key)]


def prepare() -> None:
    """Look up what `poison_operators` and `close_doors` need, for the forks of this process."""
    of_ctypes(), _of_namespaces(), _of_autograd()
    for packages in (CLOSED, REFERENCES, *CLOSED_FOR.values()):
        _functions_below(packages)


def _poison(library: Any, overload: str) -> bool:
    """Whether there was something to poison."""
    keys = [key for key in COMPUTING_KEYS if has_kernel(f"aten::{overload}", key)]
    composed = any(key.startswith("Composite") for key in keys)  # then it has one for every layout
    _refuse_in(library, overload, COMPUTING_KEYS if composed else keys)
    return bool(keys)


def _refuse_in(library: Any, overload: str, keys: Iterable[str]) -> None:
    packet = overload.partition(".")[0]
    for key in keys:
        library.impl(overload, key, lambda *_, **__: refuse(packet), False)


def _in_python(name: str, overloads: list[str]) -> Iterator[FunctionType]:
    """What torch has in Python for an operator: references and decompositions, without their wrappers."""
    packet = name.removeprefix("aten::").partition(".")[0]
    found = [getattr(importlib.import_module(m), n, None) for m in IN_PYTHON for n in (packet, packet.lstrip("_"))]
    for each in overloads:
        overload = getattr(getattr(torch.ops.aten, packet), each.partition(".")[2] or "default")
        tables = torch._decomp.global_decomposition_table
        found += [table.get(overload) for kind, table in tables.items() if kind != "meta"]
        found += [kernel for key, kernel in overload.py_kernels.items() if str(key) != "DispatchKey.Meta"]
    for function in map(inspect.unwrap, filter(callable, found)):
        if isinstance(function, FunctionType):
            yield function


@functools.cache
def _functions_below(packages: tuple[str, ...]) -> list[FunctionType]:
    """The functions of modules that are loaded, and the methods of their classes."""
    inside, found = tuple(f"{package}." for package in packages), []
    for module in [module for name, module in list(sys.modules.items()) if f"{name}.".startswith(inside)]:
        for value in list(vars(module).values()):
            held = [value, *vars(value).values()] if isinstance(value, type) else [value]
            for each in (part.__func__ if isinstance(part, staticmethod | classmethod) else part for part in held):
                if isinstance(each, FunctionType) and each.__module__ == module.__name__:
                    found.append(each)
    return found


def _take_away(function: Any, package: str) -> None:
    """A function that is not written in Python, out of the modules of its package: no other holds one."""
    for module in [module for name, module in list(sys.modules.items()) if f"{name}.".startswith(f"{package}.")]:
        for name in [name for name, value in list(vars(module).items()) if value is function]:
            delattr(module, name)


def _empty(function: FunctionType) -> None:
    """Give a function code that raises, with its name; one with a closure gets code with one."""
    says = {NAME: function.__name__}
    code, old = _emptied.__code__, function.__code__
    consts = tuple(says.get(each, each) if type(each) is str else each for each in code.co_consts)
    function.__code__ = code.replace(co_consts=consts, co_freevars=old.co_freevars)
    function.__defaults__ = function.__kwdefaults__ = None


def _emptied(*_: Any, **__: Any) -> NoReturn:
    from course.worker.poison import refuse  # it runs with the names of another module

    refuse("the name of the function")


NAME = "the name of the function"
REFUSAL = "not for this exercise: `{}`"
refused: list[str] = []  # names, of what was called and raised


def refuse(name: str) -> NoReturn:
    """Raise for a call of what is forbidden, and note it: who catches that has called it nevertheless."""
    refused.append(name)
    raise RuntimeError(REFUSAL.format(name))


def _overloads(name: str) -> list[str]:
    name = name.removeprefix("aten::")
    packet, _, overload = name.partition(".")
    if not hasattr(torch.ops.aten, packet):
        raise ValueError(f"there is no operator aten::{packet}")
    known = getattr(torch.ops.aten, packet).overloads()
    if overload:
        return [name]
    return [packet if o == "default" else f"{packet}.{o}" for o in known]


def close_doors(syscall_filter: bytes = b"") -> None:
    """In a process whose operators are poisoned, for good: no file with the library's code can be read, no program
    started, no native code loaded (syscall_filter: autograder.sandbox.syscalls.no_new_code) or called by its name."""
    linecache.clearcache()  # sources that were looked at
    if sys.platform == "linux":
        if walls.landlock_version():
            walls.read_only_these(_readable())
        walls.filter_calls(syscall_filter)
    sys.addaudithook(_no_native_code)
    del walls._libc
    for module in (ctypes, ctypes.util, sys.modules["_ctypes"]):
        sys.modules[module.__name__] = None  # importing it raises ImportError
        for name in [name for name in vars(module) if not name.startswith("__")]:
            delattr(module, name)
    for copy in of_ctypes():
        copy.clear()


@functools.cache
def of_ctypes() -> list[dict[str, Any]]:
    """What Python keeps of ctypes' native half for an import that comes again. To be asked before the doors close."""
    return [found for found in gc.get_objects() if type(found) is dict and {"CFuncPtr", "dlsym"} <= found.keys()]


def _readable() -> list[str]:
    """Folders and files without an implementation of what exercises ask for: the standard library, PLAIN, SYSTEM."""
    standard = sysconfig.get_paths()["stdlib"]
    found = [os.path.join(standard, name) for name in os.listdir(standard) if name not in SITES]
    for site in (path for path in sys.path if path.endswith(SITES)):
        found += [os.path.join(site, name) for name in os.listdir(site) if PLAIN.match(name)]
    found.append(os.path.join(os.path.dirname(importlib.util.find_spec("course").origin), "runs"))
    return [*found, *(path for each in (*SYSTEM, f"{os.path.dirname(standard)}/*.so*") for path in glob.glob(each))]


def _no_native_code(event: str, args: tuple) -> None:
    assert event[:7] != "ctypes.", event
    assert event not in ("gc.get_objects", "gc.get_referrers", "gc.get_referents"), event
    assert event != "object.__setattr__" or args[1] != "__code__", event
