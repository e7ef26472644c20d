"""What a name of a kernel's source stands for: a jitted function, a constant, a word of the language, a named tuple.

A `Scope` is a module's top level, or the body of a function that makes kernels. Of several definitions of a name the
last one counts, as at run time. Nothing is executed: a name that only running the source could tell is `None`.
"""

from __future__ import annotations

import ast
import dataclasses
from collections.abc import Iterator
from typing import Any

import triton.language as tl
from triton.runtime.jit import ConstexprFunction, JITFunction

from grader_kernels.language.constants import Constants, Unknown
from grader_kernels.language.refusing import LanguageError
from grader_kernels.language.words import MEMBERS, MODULES, NAMESPACES, ROOTS

MAX_ALIASES = 100
FOREIGN = {"numpy": "numpy", "torch": "torch", "collections": "collections", "typing": "typing"}  # only for constants
JITTING = ("triton.jit", "triton.constexpr_function")
SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


@dataclasses.dataclass(frozen=True)
class Jitted:
    """A function that triton.jit, or triton.constexpr_function when `pure`, was put on. call: what jitted it, a
    decorator or a call, with its options."""

    node: ast.FunctionDef
    scope: Scope
    call: ast.expr
    pure: bool = False


@dataclasses.dataclass(frozen=True)
class Word:
    """A module or a function of the language under another name. path: as in NAMESPACES, "tl.load"."""

    path: str


@dataclasses.dataclass(frozen=True)
class Record:
    """A named tuple."""

    fields: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Constant:
    """A constant. constexpr: it was made by tl.constexpr, which a kernel asks of a global number."""

    value: Any
    constexpr: bool


def dotted(node: ast.expr) -> str | None:
    """`a.b.c` as text, None for anything but names joined by dots."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if isinstance(node, ast.Name) else None


def _inside(statement: ast.AST) -> Iterator[ast.AST]:
    """The statement and what stands in it, but not what stands in functions and classes in it."""
    todo = [statement]
    while todo:
        node = todo.pop()
        yield node
        if not isinstance(node, (*SCOPES, ast.Lambda)):
            todo += reversed(list(ast.iter_child_nodes(node)))


class Scope:
    """The names bound by a list of statements; of several the last. outer: where the others are looked for."""

    def __init__(self, body: list[ast.stmt], outer: Scope | None = None, given: frozenset[str] = frozenset()) -> None:
        self.outer, self.given = outer, given
        self.inner: list[Scope] = []
        self.bound: dict[str, ast.AST] = {}
        self.functions: dict[str, ast.FunctionDef] = {}
        self.calls: dict[str, list[ast.Call]] = {}  # of what takes a name first, as triton.jit(f) does
        self._resolved: dict[str, Any] = {}
        self._targets: set[int] = set()  # names, as nodes, that an assignment binds plainly
        for statement in body:
            for node in _inside(statement):
                self._note(node)

    def _note(self, node: ast.AST) -> None:
        if isinstance(node, SCOPES):
            self.bound[node.name] = node
            given = ast.walk(node.args) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) else ()
            self.inner.append(Scope(node.body, self, frozenset(arg.arg for arg in given if isinstance(arg, ast.arg))))
            if isinstance(node, ast.FunctionDef):
                self.functions[node.name] = node
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            for alias in node.names:
                self.bound[alias.asname or alias.name.split(".")[0]] = node
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                if isinstance(target, ast.Name):
                    self.bound[target.id] = node
                    self._targets.add(id(target))
        elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            if id(node) not in self._targets:
                self.bound[node.id] = node  # a loop, a walrus, an unpacking: nobody knows what it holds
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Name):
            self.calls.setdefault(node.args[0].id, []).append(node)

    # looking up
    def binds(self, name: str) -> bool:
        """Whether the source gives this name a meaning."""
        return name in self.bound or name in self.given or (self.outer is not None and self.outer.binds(name))

    def home(self, name: str) -> Scope | None:
        """The scope that binds a name."""
        if name in self.bound or name in self.given:
            return self
        return self.outer.home(name) if self.outer is not None else None

    def path(self, node: ast.expr) -> str | None:
        """`tl.exp` for whatever the source calls it, "numpy.log2" for what only constants use, None for the rest."""
        text = dotted(node)
        if text is None:
            return None
        root, _, rest = text.partition(".")
        start = self._root(root)
        return None if start is None else _canonical(f"{start}.{rest}" if rest else start)

    def _root(self, name: str) -> str | None:
        if not self.binds(name):
            return name if name in ROOTS else None
        found = self.meaning(name)
        return found.path if isinstance(found, Word) else None

    def meaning(self, name: str, depth: int = 0) -> Jitted | Word | Record | Constant | None:
        """What a name stands for; None when only running the source could tell. Raises LanguageError."""
        if depth > MAX_ALIASES:
            raise LanguageError("these names stand for each other, or one for too many others")
        home = self.home(name)
        if home is None or name not in home.bound:
            return None
        if name not in home._resolved:
            home._resolved[name] = None  # a name that stands for itself
            try:
                home._resolved[name] = home._resolve(name, home.bound[name], depth)
            except BaseException:
                del home._resolved[name]  # it is refused again when it is asked again
                raise
        return home._resolved[name]

    def _resolve(self, name: str, node: ast.AST, depth: int) -> Jitted | Word | Record | Constant | None:
        if isinstance(node, ast.FunctionDef):
            return self._jitted(node)
        if isinstance(node, ast.ClassDef):
            return _record_of_class(node, self)
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            return _imported(name, node)
        if isinstance(node, (ast.Assign, ast.AnnAssign)):
            return self._assigned(name, node, depth)
        return None

    def _jitted(self, node: ast.FunctionDef) -> Jitted | None:
        for decorator in node.decorator_list:
            path = self.path(decorator.func if isinstance(decorator, ast.Call) else decorator)
            if path in JITTING:
                return Jitted(node, self, decorator, path.endswith("function"))
        for call in self.calls.get(node.name, ()):
            path = self.path(call.func)
            if path in JITTING:
                return Jitted(node, self, call, path.endswith("function"))
        return None

    def _assigned(self, name: str, node: ast.Assign | ast.AnnAssign, depth: int) -> Any:
        value = node.value
        if isinstance(node, ast.Assign) and not all(isinstance(target, ast.Name) for target in node.targets):
            return None
        if isinstance(value, ast.Name):
            return Word(value.id) if self._is_root(value.id) else self.meaning(value.id, depth + 1)
        path = self.path(value) if isinstance(value, ast.Attribute) else None
        if path is not None and (path in NAMESPACES or _is_word(path)) and not _is_number(path):
            return Word(path)
        if isinstance(value, ast.Call):
            made = self._made_by_call(name, value, depth)
            if made is not None:
                return made
        try:
            found = Constants(self, depth).value(value)
        except Unknown:
            return None
        constexpr = isinstance(value, ast.Call) and self.path(value.func) == "tl.constexpr"
        return Constant(found, constexpr)

    def _is_root(self, name: str) -> bool:
        return name in ROOTS and not self.binds(name)

    def _made_by_call(self, name: str, call: ast.Call, depth: int) -> Jitted | Record | None:
        """triton.jit(f), and a named tuple."""
        if self.path(call.func) in JITTING and len(call.args) == 1:
            of = call.args[0].id if isinstance(call.args[0], ast.Name) else ""
            if of == name:  # k = triton.jit(k)
                return self._jitted(self.functions[name]) if name in self.functions else None
            return self.meaning(of, depth + 1) if of else None
        return _record_of_call(call, self)

    def constant(self, name: str, node: ast.AST, depth: int = 0) -> Any:
        """The value of a name that is a constant. Raises Unknown and LanguageError."""
        found = self.meaning(name, depth)
        if isinstance(found, Constant):
            return found.value
        if isinstance(found, Word) and _is_number(found.path):
            return Constants(self, depth).value(ast.parse(found.path, mode="eval").body)
        raise Unknown(node)

    # kernels
    def kernels(self, name: str) -> list[Jitted]:
        """The jitted functions of this name, from the outside inwards."""
        found = self.meaning(name) if name in self.bound else None
        if isinstance(found, Jitted) and found.node.name == name and not found.pure:
            return [found]
        return [kernel for inner in self.inner for kernel in inner.kernels(name)]


def fields_of(scope: Scope) -> frozenset[str]:
    """The attributes of all named tuples that a source defines, at any depth."""
    found: set[str] = set()
    for node in scope.bound.values():
        record = _record_of_class(node, scope) if isinstance(node, ast.ClassDef) else None
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            record = _record_of_call(node.value, scope)
        found.update(record.fields if record is not None else ())
    return frozenset(found.union(*(fields_of(inner) for inner in scope.inner)))


def _canonical(path: str) -> str:
    """A dotted path with the module in front called as in NAMESPACES."""
    path = path if not path.startswith("tl.") else f"triton.language.{path[3:]}"
    parts = path.split(".")
    for cut in range(len(parts), 0, -1):
        known = MODULES.get(".".join(parts[:cut]))
        if known is not None:
            return ".".join([known, *parts[cut:]])
    return "tl" if path == "tl" else path


def _is_word(path: str) -> bool:
    base, _, name = path.rpartition(".")
    return name in NAMESPACES.get(base, ())


def _is_number(path: str) -> bool:
    return path.startswith("math.")


def _imported(name: str, node: ast.Import | ast.ImportFrom) -> Word | None:
    for alias in node.names:
        if (alias.asname or alias.name.split(".")[0]) != name:
            continue
        if isinstance(node, ast.ImportFrom) and alias.name in ("tl", "triton"):
            return Word(alias.name)  # as course.kernels and other modules hand them on
        if isinstance(node, ast.ImportFrom):
            path = f"{node.module}.{alias.name}" if node.module and not node.level else ""
        else:
            path = alias.name if alias.asname else alias.name.split(".")[0]
        first = path.split(".")[0]
        return Word(_canonical(path)) if first in ("triton", "math", *FOREIGN) else None
    return None


# named tuples


def _fields(names: list[str]) -> Record | None:
    return Record(tuple(names)) if names and all(may_be_field(name) for name in names) else None


def _instance_attributes() -> set[str]:
    def sample(x):
        return x

    kinds = (tl.tensor, tl.dtype, tl.block_type, tl.pointer_type, tl.constexpr, tl.tuple, tl.tensor_descriptor)
    kinds += (JITFunction, ConstexprFunction, type(sample), type(tl), int, float, str, tuple, type)
    names = {name for kind in kinds for name in dir(kind)} | set(vars(tl.int32))
    return names | {"handle", "fn", "src", "desc", "values", "base", "attr", "data", "gi_frame", "f_globals"}


_TAKEN = frozenset(_instance_attributes() - MEMBERS)


def may_be_field(name: str) -> bool:
    """An attribute that opens nothing on any value that a kernel can hold."""
    return name.isidentifier() and not name.startswith("_") and name not in _TAKEN


def _record_of_class(node: ast.ClassDef, scope: Scope) -> Record | None:
    bases = [scope.path(base) for base in node.bases]
    if bases != ["typing.NamedTuple"] or node.keywords or node.decorator_list:
        return None
    plain = [item for item in node.body if not isinstance(item, (ast.Expr, ast.Pass))]
    if not all(isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name) for item in plain):
        return None
    return _fields([item.target.id for item in plain]) if all(item.value is None for item in plain) else None


def _record_of_call(call: ast.Call, scope: Scope) -> Record | None:
    path = scope.path(call.func) or (call.func.id if isinstance(call.func, ast.Name) else None)
    if path not in ("collections.namedtuple", "namedtuple") or len(call.args) != 2 or call.keywords:
        return None
    try:
        names = Constants(scope).value(call.args[1])
    except Unknown:
        return None
    names = names.replace(",", " ").split() if isinstance(names, str) else list(names)
    return _fields(names) if all(isinstance(name, str) for name in names) else None


def same(a: Any, b: Any) -> bool:
    """Whether two meanings are one and the same."""
    if isinstance(a, Jitted) and isinstance(b, Jitted):
        return a.node is b.node
    return a == b and repr(a) == repr(b)
