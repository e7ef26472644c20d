"""Constants of a kernel's source, worked out by the gate: numbers, and what arithmetic and `math` make of them.

`Constants(names).value(node)` gives the value of an expression, or raises `Unknown` for what is no constant. Only what
is named here is computed, on plain numbers, and every result is bounded: nothing of the source is executed.
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable
from typing import Any, Protocol

import torch
import triton

from grader_kernels.language.refusing import LanguageError, refuse
from grader_kernels.language.words import DTYPE_NAMES, HOST_NAMES, MATH_CONSTANTS, MATH_FUNCTIONS

MAX_CONSTANT = 1 << 64
MAX_SHIFT = 64
MAX_STRING = 1000
MAX_ITEMS = 1000


class Names(Protocol):
    """What is asked of a scope (`names.Scope`)."""

    def path(self, node: ast.expr) -> str | None: ...
    def binds(self, name: str) -> bool: ...
    def constant(self, name: str, node: ast.AST, depth: int = 0) -> Any: ...


class Unknown(Exception):
    """No constant: it can't be worked out without running the source. node: the part that is in the way."""

    def __init__(self, node: ast.AST) -> None:
        super().__init__()
        self.node = node


class Dtype(str):
    """A dtype of the language, by its name."""


_BINARY = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
    ast.LShift: operator.lshift,
    ast.RShift: operator.rshift,
    ast.BitAnd: operator.and_,
    ast.BitOr: operator.or_,
    ast.BitXor: operator.xor,
}
_UNARY = {ast.USub: operator.neg, ast.UAdd: operator.pos, ast.Not: operator.not_, ast.Invert: operator.invert}
_COMPARE = {ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Lt: operator.lt, ast.LtE: operator.le}
_COMPARE |= {ast.Gt: operator.gt, ast.GtE: operator.ge}
_FUNCTIONS = {fn.__name__: fn for fn in (abs, min, max, round, int, float, bool, len)}
_MODULES: dict[str, Any] = {f"math.{name}": getattr(math, name) for name in MATH_FUNCTIONS | MATH_CONSTANTS}
_MODULES |= {f"triton.{name}": getattr(triton, name) for name in HOST_NAMES}
for _module in ("numpy", "torch"):
    _MODULES |= {f"{_module}.{name}": getattr(math, name) for name in "pi e inf nan".split()}
_MODULES |= {f"numpy.{name}": getattr(math, name) for name in "sqrt exp exp2 log log2 log10 sin cos tanh ceil".split()}
_LIMITS = {"max", "min", "eps", "tiny", "smallest_normal", "bits"}  # of torch.finfo and torch.iinfo


def bounded(node: ast.AST, value: Any) -> Any:
    """`value`, a number that fits into 64 bits."""
    if isinstance(value, int) and abs(value) >= MAX_CONSTANT:
        raise refuse(node, "this number does not fit into 64 bits")
    return value


class Constants:
    """Works out expressions in one scope."""

    def __init__(self, scope: Names, depth: int = 0) -> None:
        self.scope, self.depth = scope, depth
        self._computed: dict[int, Any] = {}  # of operations, so that each is worked out once; `Unknown` for no constant

    def value(self, node: ast.expr | None) -> Any:
        """A number, bool, None, string, `Dtype`, or a tuple of such. Raises Unknown, and LanguageError for what is too
        large or can't be computed."""
        handler = getattr(self, f"_of_{type(node).__name__}", None)
        if handler is None:
            raise Unknown(node)
        try:
            return bounded(node, handler(node))
        except (ArithmeticError, ValueError, TypeError) as error:
            if isinstance(error, LanguageError):
                raise
            raise refuse(node, "this constant can't be computed") from None

    def _of_Constant(self, node: ast.Constant) -> Any:
        if isinstance(node.value, str) and len(node.value) > MAX_STRING:
            raise refuse(node, "this string is too long")
        if node.value is None or type(node.value) in (bool, int, float, str):
            return node.value
        raise Unknown(node)

    def _of_Tuple(self, node: ast.Tuple | ast.List) -> tuple:
        made = tuple(self.value(item) for item in node.elts)
        if _more_than(MAX_ITEMS, made):
            raise refuse(node, f"a constant has at most {MAX_ITEMS} items")
        return made

    _of_List = _of_Tuple

    def _of_UnaryOp(self, node: ast.UnaryOp) -> Any:
        return _UNARY[type(node.op)](self._number(node.operand))

    def _number(self, node: ast.expr) -> int | float | bool:
        value = self.value(node)
        if type(value) not in (bool, int, float):
            raise Unknown(node)
        return value

    def _of_BinOp(self, node: ast.BinOp) -> Any:
        if id(node) not in self._computed:
            self._computed[id(node)] = Unknown
            self._computed[id(node)] = self._operation(node)
        if self._computed[id(node)] is Unknown:
            raise Unknown(node)
        return self._computed[id(node)]

    def _operation(self, node: ast.BinOp) -> Any:
        left, right = self._number(node.left), self._number(node.right)
        if isinstance(node.op, (ast.LShift, ast.RShift)) and not 0 <= right < MAX_SHIFT:
            raise refuse(node, "a shift must be between 0 and 63")
        if isinstance(node.op, ast.Pow) and abs(right) > MAX_SHIFT and isinstance(left, int):
            raise refuse(node, "this number does not fit into 64 bits")
        if type(node.op) not in _BINARY:
            raise Unknown(node)
        out = _BINARY[type(node.op)](left, right)
        if isinstance(out, complex):
            raise refuse(node, "this constant can't be computed")
        return out

    def _of_Compare(self, node: ast.Compare) -> bool:
        if len(node.ops) != 1 or type(node.ops[0]) not in _COMPARE:
            raise Unknown(node)
        return _COMPARE[type(node.ops[0])](self.value(node.left), self.value(node.comparators[0]))

    def _of_BoolOp(self, node: ast.BoolOp) -> Any:
        value = None
        for part in node.values:
            value = self.value(part)
            if bool(value) is isinstance(node.op, ast.Or):
                break
        return value

    def _of_IfExp(self, node: ast.IfExp) -> Any:
        return self.value(node.body if self.value(node.test) else node.orelse)

    def _of_Name(self, node: ast.Name) -> Any:
        return self.scope.constant(node.id, node, self.depth + 1)

    def _of_Attribute(self, node: ast.Attribute) -> Any:
        path = self.scope.path(node) or ""
        base, _, name = path.rpartition(".")
        if base == "tl" and name in DTYPE_NAMES:
            return Dtype(name)
        if isinstance(_MODULES.get(path), float):
            return _MODULES[path]
        if isinstance(node.value, ast.Call) and node.attr in _LIMITS:
            return getattr(self._limits(node.value), node.attr)
        raise Unknown(node)

    def _limits(self, node: ast.Call) -> Any:
        """torch.finfo(torch.float32) and the like."""
        path = self.scope.path(node.func)
        about = self.scope.path(node.args[0]) if len(node.args) == 1 and not node.keywords else None
        dtype = getattr(torch, (about or "").removeprefix("torch."), None)
        if path not in ("torch.finfo", "torch.iinfo") or not isinstance(dtype, torch.dtype):
            raise Unknown(node)
        return (torch.finfo if path == "torch.finfo" else torch.iinfo)(dtype)

    def _of_Call(self, node: ast.Call) -> Any:
        action = self._function(node.func)
        if action is None or node.keywords:
            raise Unknown(node)
        if action is float and len(node.args) == 1 and isinstance(node.args[0], ast.Constant):
            return float(node.args[0].value)  # float("inf")
        return action(*(self.value(arg) for arg in node.args))

    def _function(self, node: ast.expr) -> Callable | None:
        path = self.scope.path(node)
        if path in ("tl.constexpr", "constexpr"):
            return lambda value: value
        found = _MODULES.get(path)
        if found is None and isinstance(node, ast.Name) and not self.scope.binds(node.id):
            found = _FUNCTIONS.get(node.id)
        return found if callable(found) else None


def _more_than(most: int, value: tuple) -> bool:
    """Whether there are more items, at any depth. Tuples in tuples are shared: counting all could take for ever."""
    waiting, seen = [value], 0
    while waiting and seen <= most:
        item = waiting.pop()
        seen += 1
        waiting.extend(item if isinstance(item, tuple) else ())
    return seen > most


def literal(value: Any) -> ast.expr:
    """An expression that stands for a constant; `value` of it gives the constant again."""
    if isinstance(value, Dtype):
        return ast.parse(f"tl.{value}", mode="eval").body
    if isinstance(value, tuple):
        return ast.Tuple([literal(item) for item in value], ast.Load())
    if isinstance(value, float) and not math.isfinite(value):
        return ast.parse(f"float('{value}')", mode="eval").body
    return ast.parse(repr(value), mode="eval").body
