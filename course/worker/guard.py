"""Runs a student's cells so that they reach of the libraries only what an exercise lets them have.

What a text names can't be known by reading it: an alias, a pattern, an object that carries a module leads anywhere. So
each statement is rewritten before it runs: every attribute that it loads or sets, every call and every class goes
through a function of this module, which looks at the objects themselves. However an answer comes by a function of a
library, it can call it only if the library documents it under a path that is open (`course.checking.library`) and no
family forbids it; and it can pass nothing else on for the library to call. A statement that wants more is left out.

Not here: library functions that come down to a forbidden operator (the poison of course.worker.worker), what a refusal
means (autograder.judging.judge).
"""

from __future__ import annotations
import __future__

import ast
import builtins
import contextlib
import functools
import json
import linecache
import math
import os
import signal
import sys
import types
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from course.checking import forbidden, library
from course.checking.cells import statements

GET, AT, ITEM, CALL, KEEP = "<get>", "<at>", "<item>", "<call>", "<keep>"
DECORATE, CLASS, BASE = "<decorate>", "<class>", "<base>"
OWN_FILE = "<guarded "
LEFT_OUT = "left out: "  # what a guarded cell prints of a statement
ROOTS = frozenset({path.split(".")[0] for path in library.OPEN} | {"builtins", "tqdm", "logging"})
SHUT_ROOTS = (
    "course.worker", "course.checking", "torch._ops", "torch.library", "torch.jit", "torch.fx", "torch._dynamo",
    "torch._inductor", "torch._decomp", "torch._refs", "torch.overrides", "torch.utils",
)  # fmt: skip
KERNELS = ("triton", "course.kernels", "grader_kernels")  # whose text is run, and not guarded: they don't launch here
STATEMENT_SECONDS = 5.0  # of processor time
DEFINING = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom)
GENERATED = {
    "typing": ("_no_init_or_replace_init", "_proto_hook"),
    "typing_extensions": ("_no_init_or_replace_init", "_proto_hook"),
    "collections": ("_make", "_replace", "_asdict", "__getnewargs__", "__repr__"),
    "enum": "_generate_next_value_ _missing_ __new__ __reduce_ex__ __or__ __and__ __xor__ __invert__".split(),
}
PLAIN = frozenset({int, float, bool, str, bytes, complex, type(None), slice, type(Ellipsis), range})
CLOSED_TYPES = (types.CodeType, types.FrameType, types.CellType, types.TracebackType)
DUNDERS = frozenset(
    """__init__ __call__ __class__ __name__ __qualname__ __doc__ __len__ __iter__ __next__ __getitem__ __setitem__
    __contains__ __enter__ __exit__ __repr__ __str__ __eq__ __ne__ __lt__ __le__ __gt__ __ge__ __hash__ __bool__ __neg__
    __pos__ __abs__ __invert__ __add__ __sub__ __mul__ __matmul__ __truediv__ __floordiv__ __mod__ __pow__ __and__
    __or__ __xor__ __radd__ __rsub__ __rmul__ __rtruediv__ __rpow__ __iadd__ __isub__ __imul__ __itruediv__ __float__
    __int__ __version__ __members__ __annotations__ __post_init__ __new__ __init_subclass__ __torch_function__
    __format__ __get__ __set_name__ __missing__ __reversed__ __index__ __debug__ __setattr__
    __getattr__ __delattr__""".split()
)
SETTERS = ("__setattr__", "__delattr__", "__getattr__")  # what a class may call above itself
SETTING = ("getattr", "setattr", "delattr", "vars", "update_wrapper", "__getattribute__", *SETTERS)
CLASS_DUNDERS_SHUT = frozenset(
    """__array_interface__ __array_struct__ __cuda_array_interface__ __dlpack__ __buffer__ __getattribute__""".split()
)
OF_MODULES = frozenset("_parameters _buffers _modules".split())  # of torch.nn.Module
SHUT_BUILTINS = frozenset(
    """exec eval compile __import__ globals locals open input breakpoint help exit quit id memoryview dir""".split()
)
HELD = forbidden.HOLDING_ATTRIBUTES | {"tofile", "dump", "data_ptr", "untyped_storage", "storage", "next_functions"}


class TooLong(BaseException):
    """A statement that defines nothing ran too long: it was an experiment, and has shown what it shows before."""


class Refused(RuntimeError):
    """What a statement may not have. One sentence, which begins with "it"."""


@dataclass
class _Rules:
    """What is refused in this process, and what it knows of the cells that it ran."""

    families: tuple[forbidden.Family, ...] = ()
    methods: frozenset[str] = frozenset()
    allowed: dict[int, str] = field(default_factory=dict)  # id of a library's function or class: its path
    classes: dict[type, bool] = field(default_factory=dict)  # of libraries: are they open?
    spaces: list[dict] = field(default_factory=list)  # global names of guarded code
    given: list[Callable] = field(default_factory=list)  # what the judge handed over
    refused: bool = False  # whether any statement of the student's was left out


_rules = _Rules()


# --- what runs ----------------------------------------------------------------------------------------------------


def warm() -> None:
    """Do what every run would do for the first time."""
    _open()


def run(source: str, forbids: Iterable[str], given: bool = False, space: dict | None = None) -> None:
    """Run a cell's statements, those left out that want what they may not have.

    given: whether the release has this cell; what fails in it stops nobody. space: the caller's names, if not given.
    """
    _begin(tuple(forbids))
    _run(source, sys._getframe(1).f_globals if space is None else space, given)


def add_module(name: str, source: str, forbids: Iterable[str]) -> None:
    """Make a module that a cell wrote, of guarded statements. One that can be had otherwise stays as it is."""
    _begin(tuple(forbids))
    if name in sys.modules or forbidden._spec(name) is not None:
        return
    module = sys.modules[name] = types.ModuleType(name)
    _run(source, vars(module))


def give(function: Callable) -> Callable:
    """A function of the judge's that student code may call."""
    _rules.given.append(function)
    return function


def _begin(forbids: tuple[str, ...]) -> None:
    families = tuple(forbidden.FAMILIES[each] for each in forbids)
    if _rules.allowed and _rules.families == families:
        return
    sys.path[:] = [path for path in sys.path if path not in ("", os.getcwd())]  # no file beside the notebook was read
    _rules.families, _rules.classes = families, {}
    _rules.methods = frozenset(name for family in families for name in family.methods)
    _rules.allowed = {key: path for key, path in _open().items() if not _is_forbidden(path)}


@functools.lru_cache(maxsize=1)
def _open() -> dict[int, str]:
    """{id of a function or class: its path} of all that open modules document."""
    found: dict[int, str] = {}
    for module in sorted(library.OPEN):
        place = library.place(module)
        if not (place.is_module and place.known):
            continue
        for name, value in list(vars(sys.modules[module]).items()):
            path = f"{module}.{name}"
            if callable(value) and not name.startswith("_") and library.place(path).is_open:
                found.setdefault(id(value), library.place(path).path)
    for name, value in vars(builtins).items():
        if callable(value) and name not in SHUT_BUILTINS and not name.startswith("_"):
            found.setdefault(id(value), f"builtins.{name}")
    for path in library.MORE:
        module, _, name = path.rpartition(".")
        if callable(value := getattr(sys.modules.get(module), name, None)):
            found.setdefault(id(value), path)
    return found


def _is_forbidden(path: str) -> bool:
    return any(forbidden.is_of(family, path) for family in _rules.families)


def _run(source: str, space: dict, given: bool = False) -> None:
    if not _is_space(space):
        _rules.spaces.append(space)
    space |= {GET: get, AT: at, ITEM: item, CALL: call, KEEP: keep, DECORATE: decorate, CLASS: made, BASE: base}
    file = f"{OWN_FILE}{len(linecache.cache)}>"
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    flags = __future__.annotations.compiler_flag  # nothing that an answer may use evaluates them
    for statement in (part for whole in statements(source) for part in _parts(whole)):
        try:
            flags |= _future(statement)
            tree = ast.Module([_Rewriting().visit(statement)], [])
            code = compile(ast.fix_missing_locations(tree), file, "exec", flags, dont_inherit=True)
            with _within(math.inf if given or isinstance(statement, DEFINING) else STATEMENT_SECONDS):
                exec(code, space)
            if isinstance(statement, ast.ImportFrom):
                _forget(statement, space, given)
        except (Refused, TooLong) as reason:
            if not given:
                _leave_out(_named(statement), str(reason) or "it ran too long")
        except Exception:
            if not (given or _rules.refused):
                raise


def _leave_out(names: list[str], why: str) -> None:
    """Say which names have no value, or not their last one, since a statement was left out."""
    _rules.refused = True
    print(f"\n{LEFT_OUT}{json.dumps([names, why])}")


def _named(statement: ast.stmt) -> list[str]:
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [statement.name]
    if isinstance(statement, ast.Import | ast.ImportFrom):
        return [(alias.asname or alias.name).split(".")[0] for alias in statement.names]
    return [node.id for node in ast.walk(statement) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]


def left_out(output: str) -> list[tuple[list[str], str]]:
    """(names, why) of statements that were left out, by what a guarded cell printed. It may have printed anything."""
    found = []
    for line in output.split("\n"):
        with contextlib.suppress(ValueError):
            if line.startswith(LEFT_OUT):
                names, why = json.loads(line.removeprefix(LEFT_OUT))
                if type(names) is list and is_a_reason(why):
                    found.append((names, why))
    return found


def is_a_reason(why: Any) -> bool:
    """Whether this may stand in a verdict as what was refused."""
    return type(why) is str and why.startswith("it ") and len(why) <= 200 and why.isprintable()


def _parts(statement: ast.stmt) -> list[ast.stmt]:
    """The names of an import one by one, so that each can be left out."""
    if not isinstance(statement, ast.ImportFrom) or statement.module == "__future__":
        return [statement]
    parts = [ast.ImportFrom(statement.module, [alias], statement.level) for alias in statement.names]
    return [ast.copy_location(part, statement) for part in parts]


def _forget(statement: ast.ImportFrom, space: dict, given: bool) -> None:
    """Take away the functions that an import brought and nobody may call."""
    [alias] = statement.names
    names = [alias.asname or alias.name] if alias.name != "*" else library.starred(statement.module or "") or []
    for name in names:
        if callable(value := space.get(name)) and not may_be_called(value):
            del space[name]
            if not given:
                _leave_out([name], f"it imports `{_name_of(value)}`, which can't be read")


@contextlib.contextmanager
def _within(seconds: float) -> Iterator[None]:
    """Raises TooLong in what takes more processor time, where the system can say so."""
    if seconds == math.inf or not hasattr(signal, "setitimer"):
        yield
        return
    before = signal.signal(signal.SIGPROF, _too_long)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def _too_long(*_: Any) -> None:
    raise TooLong


def _future(statement: ast.stmt) -> int:
    if isinstance(statement, ast.ImportFrom) and statement.module == "__future__":
        return sum(getattr(__future__, a.name).compiler_flag for a in statement.names if hasattr(__future__, a.name))
    return 0


class _Rewriting(ast.NodeTransformer):
    """A statement, with every attribute, call, decorator and class through this module's functions."""

    owner = ""  # the class around it, whose private names Python changes

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        of, name = self.visit(node.value), node.attr
        if self.owner and name.startswith("__") and not name.endswith("__"):
            name = f"_{self.owner}{name}"
        if isinstance(node.ctx, ast.Load):
            return _at(_calling(GET, of, ast.Constant(name)), node)
        return _at(ast.Attribute(_at(_calling(AT, of, ast.Constant(name)), node), node.attr, node.ctx), node)

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        of = _at(_calling(ITEM, self.visit(node.value)), node)
        return _at(ast.Subscript(of, self.visit(node.slice), node.ctx), node)

    def visit_Assign(self, node: Any) -> ast.AST:
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        names_only = all(isinstance(target, ast.Name) for target in targets)
        self._visit_all_but(node, "annotation")
        if node.value is not None and not names_only:
            node.value = _at(_calling(KEEP, node.value), node.value)
        return node

    visit_AnnAssign = visit_AugAssign = visit_Assign

    def visit_For(self, node: Any) -> ast.AST:
        is_with = isinstance(node, ast.With | ast.AsyncWith)
        targets = [item.optional_vars for item in node.items] if is_with else [node.target]
        for inner in (each for target in targets if target for each in ast.walk(target)):
            if isinstance(inner, ast.Attribute | ast.Subscript):
                raise Refused("it keeps what a loop or a context gives in a part of something")
        return self.generic_visit(node)

    visit_AsyncFor = visit_With = visit_AsyncWith = visit_comprehension = visit_For

    def visit_Call(self, node: ast.Call) -> ast.AST:
        args, keywords = [self.visit(a) for a in node.args], [self.visit(k) for k in node.keywords]
        if isinstance(node.func, ast.Name) and node.func.id == "super" and not node.args:
            return node
        return _at(ast.Call(ast.Name(CALL, ast.Load()), [self.visit(node.func), *args], keywords), node)

    def visit_Name(self, node: ast.Name) -> ast.AST:
        if node.id == "super" and not isinstance(node.ctx, ast.Load):
            raise Refused("it gives `super` another meaning")
        if node.id in SHUT_BUILTINS and isinstance(node.ctx, ast.Load):
            return _at(_calling(BASE, node), node)
        return node

    def visit_FunctionDef(self, node: Any) -> ast.AST:
        _not_super(node.name, *(a.arg for a in ast.walk(node.args) if isinstance(a, ast.arg)))
        self._visit_all_but(node, "returns")
        node.decorator_list = [_at(_calling(DECORATE, each), each) for each in node.decorator_list]
        return node

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_arg(self, node: ast.arg) -> ast.AST:
        return node  # its annotation is a text

    def _visit_all_but(self, node: Any, annotation: str) -> None:
        kept = getattr(node, annotation, None)
        if kept is not None:
            setattr(node, annotation, None)
        self.generic_visit(node)
        if kept is not None:
            setattr(node, annotation, kept)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        _not_super(node.name)
        outer, self.owner = self.owner, node.name.lstrip("_")
        node.body = [self.visit(each) for each in node.body]
        self.owner = outer
        node.bases, node.decorator_list = ([self.visit(e) for e in es] for es in (node.bases, node.decorator_list))
        node.keywords = [self.visit(each) for each in node.keywords]
        node.decorator_list = [_at(_calling(DECORATE, each), each) for each in node.decorator_list]
        node.decorator_list.append(_at(ast.Name(CLASS, ast.Load()), node))
        node.bases = [b if isinstance(b, ast.Starred) else _at(_calling(BASE, b), b) for b in node.bases]
        for each in node.keywords:
            each.value = _at(_calling(BASE, each.value), each.value)
        if any(isinstance(b, ast.Starred) for b in node.bases) or any(k.arg is None for k in node.keywords):
            raise Refused("it computes the bases of a class")
        return node

    def visit_MatchClass(self, node: ast.MatchClass) -> ast.AST:
        for name in node.kwd_attrs:
            if name.startswith("_") or name in HELD:
                raise Refused(f"it matches the attribute `{name}`")
        node.patterns, node.kwd_patterns = ([self.visit(p) for p in ps] for ps in (node.patterns, node.kwd_patterns))
        return node  # its class is a name or a path: what is matched must be an instance of it

    def visit_MatchValue(self, node: ast.MatchValue) -> ast.AST:
        return node  # only a path or a number may stand there

    def visit_Import(self, node: ast.Import) -> ast.AST:
        _not_super(*(a.asname or a.name for a in node.names))
        return node

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST:
        _not_super(*(a.asname or a.name for a in node.names))
        for each in node.names:
            if each.name.startswith("__"):
                raise Refused(f"it imports `{each.name}`")
        return node


def _not_super(*names: str) -> None:
    if "super" in names:
        raise Refused("it gives `super` another meaning")


def _calling(name: str, *args: ast.expr) -> ast.Call:
    return ast.Call(ast.Name(name, ast.Load()), list(args), [])


def _at(new: ast.AST, old: ast.AST) -> Any:
    return ast.fix_missing_locations(ast.copy_location(new, old))


# --- what is looked at --------------------------------------------------------------------------------------------


def get(of: Any, name: str) -> Any:
    """`of.name`, if a statement may have it."""
    kind = type(of)
    if kind is types.ModuleType or isinstance(of, types.ModuleType):
        return _of_module(of, name)
    if name.startswith("_"):
        if not (_is_own(of, kind, name) or _is_usual(of, kind, name)):
            raise Refused(f"it uses `.{name}`")
    elif name in _rules.methods:
        return _own_value(of, name)
    elif (name in HELD or kind in CLOSED_TYPES) and not _is_own(of, kind, name):
        raise Refused(f"it uses `.{name}`")
    return getattr(of, name)


def _own_value(of: Any, name: str) -> Any:
    """What guarded code defined under the name of a forbidden method."""
    found = getattr(of, name)
    inner = getattr(found, "__func__", found)
    if callable(found) and not _is_own_class(type(found)) and not _is_own_class(found):
        if type(inner) is not types.FunctionType or not _is_own_function(inner):
            raise Refused(f"it uses `.{name}`")
    return found


def _of_module(module: types.ModuleType, name: str) -> Any:
    said = str(vars(module).get("__name__", ""))
    if _is_space(vars(module)):
        return getattr(module, name)
    if (name.startswith("_") and name != "__version__") or sys.modules.get(said) is not module:
        raise Refused(f"it uses `{said}.{name}`, which can't be read")
    place = library.place(f"{said}.{name}")
    if not place.is_module and _is_forbidden(place.path):
        raise Refused(f"it uses `{place.path}`")
    if not (place.is_open or name == "__version__" or library.is_on_the_way(f"{said}.{name}")):
        raise Refused(f"it uses `{said}.{name}`, which can't be read")
    return getattr(module, name)


def at(of: Any, name: str) -> Any:
    """`of`, whose attribute is set or deleted, if a statement may."""
    kind = type(of)
    if name.startswith("__") and name.endswith("__"):
        raise Refused(f"it sets `.{name}`")
    if isinstance(of, types.ModuleType):
        if not _is_space(vars(of)):
            raise Refused(f"it changes `{of.__name__}`")
    elif isinstance(of, type):
        if not _is_own_class(of):
            raise Refused(f"it changes `{of.__name__}`")
    elif isinstance(of, types.FunctionType):
        if not _is_own_function(of):
            raise Refused(f"it changes `{of.__name__}`")
    elif not _is_own_class(kind):
        _settable(of, kind, name)
    return of


def _settable(of: Any, kind: type, name: str) -> None:
    from torch import Tensor, nn

    if isinstance(of, Tensor) and name in ("grad", "data", "requires_grad"):
        return
    if isinstance(of, nn.Module) and not name.startswith("_") and name != "forward":
        return
    if kind is types.SimpleNamespace or _comes_from(kind) == "torch.autograd.function":
        return
    raise Refused(f"it sets `.{name}` of a {kind.__name__}")


def item(of: Any) -> Any:
    """`of`, of which an item is taken, set or deleted: no namespace."""
    if isinstance(of, dict) and _is_namespace(of):
        raise Refused("it reads a namespace")
    return of


def keep(value: Any) -> Any:
    """What becomes a part of something: nothing there that the library may call and a statement may not."""
    may_pass(value)
    return value


def call(function: Any, /, *args: Any, **kwargs: Any) -> Any:
    """`function(*args, **kwargs)`, if a statement may call it, and the library what it is given."""
    special = _SPECIAL.get(id(function))
    if special is not None:
        return special(*args, **kwargs)
    if getattr(function, "__name__", "") in SETTERS:
        _look_at_setting(function, *args)
    else:
        may_call(function)
    for each in (*args, *kwargs.values()):
        may_pass(each)
    return function(*args, **kwargs)


def _look_at_setting(function: Any, name: Any = None, *value: Any) -> None:
    """`super().__setattr__(name, value)` and the like, on an object of guarded code."""
    of = getattr(function, "__self__", None)
    if type(name) is not str or name.startswith("_") or not _is_own_class(type(of)):
        raise Refused("it reads or sets an attribute")


def decorate(decorator: Any) -> Callable:
    """What calls a decorator."""
    return lambda decorated: call(decorator, decorated)


def base(value: Any) -> Any:
    """A base, a metaclass or another argument of a class."""
    if callable(value):
        may_call(value)
    return value


def made(value: Any) -> Any:
    """A class that was just made: nothing in it leads the interpreter to what may not be called."""
    if not isinstance(value, type):
        return value
    if not _is_own_class(value):
        raise Refused("it gives a class another module")
    for each in value.__bases__:
        may_call(each)
    if issubclass(value, type) and {"__getattr__", "__getattribute__", "__match_args__"} & vars(value).keys():
        raise Refused("it computes the attributes of classes")
    for holder in (value, type(value)):
        if _is_own_class(holder):
            _look_into(holder)
    return value


def _look_into(owner: type) -> None:
    for name, value in list(vars(owner).items()):
        if name in CLASS_DUNDERS_SHUT:
            raise Refused(f"it defines `{name}`")
        if name == "__match_args__":
            plain = type(value) is tuple and all(type(each) is str for each in value)
            if not plain or any(each.startswith("_") or each in HELD for each in value):
                raise Refused("it matches attributes that it may not have")
        if isinstance(value, property) and issubclass(owner, type) and name.startswith("__"):
            raise Refused("it computes the attributes of classes")
        for inner in _inside(value):
            if callable(inner) and not isinstance(inner, type) and not _is_generated(inner):
                may_call(inner)


def _inside(value: Any) -> tuple:
    if isinstance(value, property):
        return value.fget, value.fset, value.fdel
    return (getattr(value, "__func__", value),) if isinstance(value, (staticmethod, classmethod)) else (value,)


def _is_generated(value: Any) -> bool:
    """A method that the metaclass of NamedTuple, Enum or Protocol put into a class."""
    if not isinstance(value, types.FunctionType):
        return False
    generated = value.__name__ == "__new__" and value.__code__.co_filename.startswith("<string>")
    return generated or value.__name__ in GENERATED.get(_comes_from(value), ())


def may_be_called(function: Any) -> bool:
    """Whether `may_call` lets it pass."""
    try:
        may_call(function)
    except Refused:
        return False
    return True


def may_enter(function: Any) -> None:
    """`may_call`, where there are guarded cells."""
    if _rules.allowed:
        may_call(function)


def may_call(function: Any) -> None:
    """Raises Refused where a statement may not call it."""
    inner = function.__func__ if type(function) is types.MethodType else function
    if type(inner) is types.FunctionType and _is_own_function(inner):
        return
    if getattr(function, "__name__", "") in SETTING and not isinstance(function, type):
        raise Refused("it hands on what reads or sets attributes by name")
    if id(function) in _rules.allowed:
        return
    kind = type(function)
    if kind is types.FunctionType:
        allowed = _may_call_function(function)
    elif kind is types.MethodType:
        of, inner = function.__self__, function.__func__
        allowed = _may_call_method(of, inner)
    elif kind in _BUILTIN:
        allowed = _may_call_builtin(function)
    elif kind in _DESCRIPTORS:
        allowed = _is_open_class(function.__objclass__) and _is_public(function.__name__)
    elif kind is functools.partial:
        if function.func is not functools.update_wrapper or not _is_plain_wrapping(function):
            may_call(function.func)
        for each in (*function.args, *function.keywords.values()):
            may_pass(each)
        return
    elif isinstance(function, type):
        allowed = _is_own_class(function) or _is_open_class(function)
    elif kind is functools._lru_cache_wrapper:
        return may_call(function.__wrapped__)
    else:
        allowed = _is_own_class(kind) or (_is_open_class(kind) and not _comes_from(kind).startswith(KERNELS))
    if not allowed:
        raise Refused(f"it calls `{_name_of(function)}`, which can't be read")


def _is_plain_wrapping(function: functools.partial) -> bool:
    """What `functools.wraps(function)` gives."""
    usual = {"assigned": functools.WRAPPER_ASSIGNMENTS, "updated": functools.WRAPPER_UPDATES}
    return not function.args and all(function.keywords.get(name) is value for name, value in usual.items())


def may_pass(value: Any, depth: int = 0) -> None:
    """Raises Refused where it is, or holds, something that may not be called."""
    kind = type(value)
    if kind in PLAIN:
        return
    if kind in (list, tuple, set, frozenset):
        if depth < 3:
            for each in list(value)[:1000]:
                if type(each) not in PLAIN:
                    may_pass(each, depth + 1)
    elif isinstance(value, dict):
        if _is_namespace(value):
            raise Refused("it hands on a namespace")
        if depth < 3:
            for each in list(value.values())[:1000]:
                may_pass(each, depth + 1)
    elif kind in (staticmethod, classmethod, property):
        for each in _inside(value):
            may_pass(each, depth + 1)
    elif callable(value) and not _is_own_class(kind) and _comes_from(kind) not in ("types", "typing"):
        may_call(value)


def _may_call_function(function: types.FunctionType) -> bool:
    if _is_own_function(function) or any(function is each for each in _rules.given):
        return True
    if "__wrapped__" in vars(function):
        may_call(function.__wrapped__)
        return True
    return _is_made_by_open_function(function) or (_is_public(function.__name__) and _is_of_open_class(function))


def _is_made_by_open_function(function: types.FunctionType) -> bool:
    """Whether a function of a library's gave it, one that may be called: `lru_cache(maxsize=None)`."""
    outer, local, _ = function.__qualname__.partition(".<locals>.")
    found: Any = sys.modules.get(function.__module__)
    for part in outer.split("."):
        found = getattr(found, part, None)
    return bool(local) and id(found) in _rules.allowed


def _may_call_method(of: Any, function: Any) -> bool:
    if type(function) is not types.FunctionType:
        return _is_own_class(type(function))
    if _is_own_function(function) or id(function) in _rules.allowed:
        return True
    if _is_generated(function):
        return _is_own_class(of if isinstance(of, type) else type(of))
    is_of_its_class = _is_of_open_class(function) or _comes_from(function) == "course.mocks"
    return is_of_its_class and _is_open_method(of, function.__name__)


def _may_call_builtin(function: Any) -> bool:
    of = function.__self__
    if of is None or isinstance(of, types.ModuleType):
        return False  # those of open modules are allowed by what they are
    return _is_open_method(of, function.__name__)


def _is_open_method(of: Any, name: str) -> bool:
    if isinstance(of, dict) and _is_namespace(of):
        return False
    owner = of if isinstance(of, type) else type(of)
    if name in _rules.methods or name in ("__setattr__", "__delattr__", "__getattribute__"):
        return False
    if not _is_public(name):
        return _is_own(of, type(of), name)
    return _is_open_class(owner) or _is_own_class(owner)


def _is_of_open_class(function: types.FunctionType) -> bool:
    """Whether it is the method that its own name says, of an open class."""
    owner: Any = sys.modules.get(function.__module__)
    *path, name = function.__qualname__.split(".")
    for part in path:
        owner = getattr(owner, part, None)
    held = isinstance(owner, type) and vars(owner).get(name)
    return bool(held) and getattr(held, "__func__", held) is function and _is_open_class(owner)


def _is_open_class(kind: type) -> bool:
    if kind not in _rules.classes:
        _rules.classes[kind] = id(kind) in _rules.allowed or _is_open_kind(kind)
    return _rules.classes[kind]


def _is_open_kind(kind: type) -> bool:
    if kind in CLOSED_TYPES or kind in (types.ModuleType, types.FunctionType, types.BuiltinFunctionType):
        return False
    said = _comes_from(kind)
    parts = said.split(".")
    private = any(p.startswith("_") and p not in ("_C", "_tensor", "_collections_abc", "_operator") for p in parts)
    if parts[0] not in ROOTS or private or any(said == root or said.startswith(f"{root}.") for root in SHUT_ROOTS):
        return False
    if said == "torch.autograd.function":  # what a function with a way back is given
        return kind.__name__.endswith("Backward")
    path = library.place(f"{said}.{kind.__name__}").path
    return not _is_forbidden(path) and f"{said}.{kind.__name__}" not in library.SHUT and path not in library.SHUT


def _is_public(name: str) -> bool:
    return not name.startswith("_") or name in DUNDERS or name == "<lambda>"


def _is_usual(of: Any, kind: type, name: str) -> bool:
    from torch import nn

    if name in OF_MODULES:
        return isinstance(of, nn.Module)
    if name in ("__setattr__", "__delattr__", "__getattr__", "__torch_function__"):
        return kind is super or of is object
    if name == "__dict__":
        return _is_own_class(kind)
    return name in DUNDERS


def _is_own(of: Any, kind: type, name: str) -> bool:
    """Whether a name of an object was given to it by guarded code."""
    if isinstance(of, types.FunctionType):
        return _is_own_function(of) and name in vars(of)
    owner = of if isinstance(of, type) else kind
    if not _is_own_class(owner) and not (kind is super and _is_own_class(type(of.__self__))):
        return False
    if not isinstance(of, type) and kind is not super and name in getattr(of, "__dict__", ()):
        return name not in _parts_of_modules()
    if kind is super:
        owner = type(of.__self__)
    return any(name in vars(each) for each in owner.__mro__ if _is_own_class(each))


@functools.lru_cache(maxsize=1)
def _parts_of_modules() -> frozenset[str]:
    """What torch.nn.Module keeps for itself in every module."""
    from torch import nn

    return frozenset(name for name in vars(nn.Module()) if name.startswith("_"))


def _is_own_class(kind: Any) -> bool:
    said = _comes_from(kind)
    is_own = said in ("__main__", __name__) or _is_own_module(said)  # a namedtuple is of whoever called
    return isinstance(kind, type) and is_own and kind not in (Refused, TooLong, _Rules, _Rewriting)


def _is_own_module(name: str) -> bool:
    module = sys.modules.get(name)
    return module is not None and _is_space(vars(module))


def _is_own_function(function: types.FunctionType) -> bool:
    """Guarded code, and that of the release's cells."""
    return function.__code__.co_filename.startswith(OWN_FILE) or _is_space(function.__globals__)


def _is_namespace(found: dict) -> bool:
    return "__builtins__" in found or "__spec__" in found or found is sys.modules or _is_space(found)


def _is_space(found: dict) -> bool:
    return any(found is space for space in _rules.spaces)


def _comes_from(value: Any) -> str:
    found = value.__dict__.get("__module__", "") if isinstance(value, type) else getattr(value, "__module__", "")
    return found if type(found) is str and found else ("builtins" if isinstance(value, type) else "")


def _name_of(function: Any) -> str:
    named = getattr(function, "__name__", "") or type(function).__name__
    module = getattr(function, "__module__", "")
    return f"{module}.{named}" if type(module) is str and module else str(named)


# --- builtins that read and set attributes ------------------------------------------------------------------------


def _getattr(of: Any, name: Any, *otherwise: Any) -> Any:
    if type(name) is not str:
        raise Refused("it reads an attribute under no name")
    try:
        return get(of, name)
    except AttributeError:
        if otherwise:
            return otherwise[0]
        raise


def _setattr(of: Any, name: Any, value: Any) -> None:
    if type(name) is not str:
        raise Refused("it sets an attribute under no name")
    may_pass(value)
    setattr(at(of, name), name, value)


def _delattr(of: Any, name: Any) -> None:
    if type(name) is not str:
        raise Refused("it deletes an attribute under no name")
    delattr(at(of, name), name)


def _vars(*of: Any) -> Any:
    if len(of) != 1 or not _is_own_class(type(of[0])):
        raise Refused("it uses `vars`")
    return vars(of[0])


def _type(*args: Any, **kwargs: Any) -> Any:
    if len(args) == 1:
        return type(args[0])
    for each in args:
        may_pass(each)
    return made(type(*args, **kwargs))


def _object_setattr(of: Any, name: Any, value: Any) -> None:
    if type(name) is not str or not _is_own_class(type(of)):
        raise Refused("it sets an attribute")
    may_pass(value)
    object.__setattr__(at(of, name), name, value)


def _given_only(function: Callable, *names: str) -> Callable:
    """`function`, where it is given nothing but these."""

    def run(*args: Any, **kwargs: Any) -> Any:
        if kwargs.keys() - set(names) or len(args) > len(names):
            raise Refused("it copies attributes under computed names")
        for each in (*args, *kwargs.values()):
            may_pass(each)
        return function(*args, **kwargs)

    return run


_SPECIAL: dict[int, Callable] = {
    id(getattr): _getattr,
    id(setattr): _setattr,
    id(delattr): _delattr,
    id(vars): _vars,
    id(type): _type,
    id(object.__setattr__): _object_setattr,
    id(functools.update_wrapper): _given_only(functools.update_wrapper, "wrapper", "wrapped"),
    id(functools.wraps): _given_only(functools.wraps, "wrapped"),
}
_BUILTIN = (types.BuiltinFunctionType, types.MethodWrapperType)
_DESCRIPTORS = (types.MethodDescriptorType, types.WrapperDescriptorType, types.ClassMethodDescriptorType)
