"""What of the installed libraries an answer may name where its exercise forbids something.

A library has more doors than names: `torch.nn.modules.activation.F.softmax`, `torch._refs.softmax`, `random._os`. So
nothing is looked up by its spelling. A path is walked as Python would walk it, through every module that lies on it,
and a function or class gets the name under which it is documented. What stands in `OPEN` may be named; everything else
holds the exercise for the instructor, whatever it is called and in whichever version it comes.

Not here: which calls answer an exercise outright (course.checking.forbidden).
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import sys
from collections.abc import Container
from types import BuiltinFunctionType, ModuleType
from typing import NamedTuple

TORCH = """torch.nn.functional torch.nn torch torch.nn.init torch.nn.parameter torch.nn.utils torch.nn.utils.rnn
torch.nn.attention torch.linalg torch.special torch.fft torch.autograd torch.autograd.functional
torch.autograd.forward_ad torch.func torch.distributions torch.cuda torch.random torch.optim torch.optim.lr_scheduler
torch.amp torch.types"""
STANDARD = """math cmath random itertools functools collections collections.abc typing typing_extensions dataclasses
enum abc numbers fractions decimal statistics string re time datetime copy contextlib heapq bisect operator json
textwrap warnings unicodedata array pprint __future__"""
OTHERS = "numpy numpy.linalg numpy.random numpy.fft einops triton triton.language"
OWN = "course course.kernels course.models course.data course.plots"
OPEN = frozenset(f"{TORCH} {STANDARD} {OTHERS} {OWN}".split())
# Of modules that evaluate texts, or read and patch what they are pointed at: what may be named.
_HINTS = """AbstractSet Annotated Any AnyStr AsyncGenerator AsyncIterable AsyncIterator Awaitable BinaryIO Callable
    ClassVar Collection Concatenate Container ContextManager Coroutine Counter DefaultDict Deque Dict Final FrozenSet
    Generator Generic Hashable IO Iterable Iterator KeysView List Literal LiteralString Mapping Match MutableMapping
    MutableSequence MutableSet NamedTuple Never NewType NoReturn NotRequired Optional OrderedDict ParamSpec Pattern
    Protocol ReadOnly Required Reversible Self Sequence Set Sized SupportsAbs SupportsFloat SupportsIndex SupportsInt
    SupportsRound Text TextIO Tuple Type TYPE_CHECKING TypeAlias TypeAliasType TypedDict TypeGuard TypeIs TypeVar
    TypeVarTuple Union Unpack ValuesView assert_never assert_type cast final overload override runtime_checkable"""
NAMES = {
    module: frozenset(names.split())
    for module, names in {
        "typing": _HINTS,
        "typing_extensions": _HINTS,
        "contextlib": "AbstractContextManager ContextDecorator ExitStack closing contextmanager nullcontext suppress",
        "warnings": "catch_warnings filterwarnings resetwarnings simplefilter warn",
        "enum": "Enum Flag IntEnum IntFlag StrEnum auto member nonmember unique",
        "dataclasses": """FrozenInstanceError InitVar KW_ONLY MISSING asdict astuple dataclass field fields is_dataclass
            replace""",
        "functools": """cache cached_property cmp_to_key lru_cache partial partialmethod reduce total_ordering
            update_wrapper wraps""",
        "copy": "Error copy deepcopy",
    }.items()
}
# Of what torch takes from its C module, the rest of which is TorchScript and the dispatcher.
OF_C = frozenset(
    """Event Generator OutOfMemoryError Size Stream default_generator device dtype finfo get_autocast_dtype
    get_default_dtype get_num_threads iinfo is_autocast_enabled is_grad_enabled is_inference_mode_enabled layout
    memory_format set_flush_denormal set_num_threads""".split()
)
# Single names of modules that are not open.
MORE = frozenset(
    """sys.float_info sys.maxsize sys.stderr sys.stdout types.SimpleNamespace types.MappingProxyType
    timeit.default_timer logging.getLogger tqdm.tqdm tqdm.trange tqdm.auto.tqdm tqdm.auto.trange tqdm.notebook.tqdm
    torch.autograd.function.once_differentiable torch.autograd.function.FunctionCtx torch.testing.assert_close
    torch.profiler.record_function torch.backends.mps.is_available torch.backends.cuda.is_built
    numpy.typing.NDArray numpy.typing.ArrayLike IPython.display.display""".split()
)
# What runs, loads or finds code by a text or a file.
SHUT = frozenset(
    """torch.load torch.save torch.compile torch.from_file torch.import_ir_module torch.set_default_device
    torch.use_deterministic_algorithms torch.typename torch.get_device_module torch.cond torch.while_loop
    numpy.load numpy.save numpy.savez numpy.savez_compressed numpy.fromfile numpy.memmap numpy.genfromtxt numpy.loadtxt
    numpy.DataSource numpy.fromregex numpy.info numpy.test numpy.show_config numpy.get_include
    string.Formatter operator.attrgetter operator.methodcaller""".split()
)


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

    @property
    def is_module(self) -> bool:
        """Whether the path is one of a module itself."""
        return not self.rest

    @property
    def is_open(self) -> bool:
        """Whether an answer may name it."""
        if self.known and is_on_the_way(self.path):
            return True
        if self.module not in OPEN or not self.known or any(_is_private(part) for part in self.rest):
            return False
        return not self.rest or (f"{self.module}.{self.rest[0]}" not in SHUT and self.rest[0] in _names_of(self.module))


@functools.lru_cache(maxsize=1024)
def is_on_the_way(path: str) -> bool:
    """Whether it is one of MORE, or a module on the way to one."""
    return path in MORE or any(each.startswith(f"{path}.") for each in MORE)


@functools.lru_cache(maxsize=4096)
def place(path: str) -> Place:
    """Where a dotted path leads. Modules that nobody imported yet are imported only if they are open."""
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


def starred(module: str) -> list[str] | None:
    """What `from module import *` brings; None where that can't be known without running it."""
    found = place(module)
    if not (found.is_module and found.known):
        return None
    names = vars(sys.modules[found.module])
    return list(names.get("__all__", (name for name in names if not name.startswith("_"))))


@functools.lru_cache(maxsize=128)
def _names_of(module: str) -> Container[str]:
    """What may be named of an open module: of the standard library what is documented, of others what is there."""
    there = vars(sys.modules[module])
    if module in NAMES:
        return NAMES[module]
    if module in STANDARD.split():
        return frozenset(there.get("__all__", there))
    return there.keys() - (vars(sys.modules["torch._C"]).keys() - OF_C) if module == "torch" else there


def _home(value: object, within: str) -> tuple[str, str] | None:
    """The module of another package that a function or a class says it comes from, and its name there."""
    said, name = str(getattr(value, "__module__", "")), str(getattr(value, "__name__", ""))
    if within in STANDARD.split() or said.split(".")[0] in (within.split(".")[0], "builtins"):
        return None
    homes = (said.removeprefix("_"), said)  # functools.reduce comes from _functools
    return next(((each, name) for each in homes if getattr(sys.modules.get(each), name, None) is value), None)


def _is_private(part: str) -> bool:
    return part.startswith("_") and not part.endswith("__")


def _module(name: str) -> ModuleType | None:
    """A module that is there already, or that is open."""
    if name in OPEN and name not in sys.modules:
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
