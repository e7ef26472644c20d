"""From a kernel's source to a Python function: assignments make tensors; `and`, `or`, `not`, `if` see tiles.

What it is not: a gate. `grader_kernels.language` refuses; here Python is told to do what Triton would.
"""

from __future__ import annotations

import ast
import copy
import textwrap
import types
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import triton.language as tl
from triton.runtime.jit import JITCallable

from grader_kernels.interpreter import faults
from grader_kernels.interpreter.builder import SEMANTIC


def _is_tile(value: Any) -> bool:
    return isinstance(value, tl.tensor) and value.type.is_block()


def _as_tensor(value: Any) -> Any:
    return value if type(value) is tl.tensor else SEMANTIC.to_tensor(value, False)


def _both(op: str, left: tl.tensor, right: Any) -> tl.tensor:
    join = SEMANTIC.logical_and if op == "and" else SEMANTIC.logical_or
    return join(left, SEMANTIC.to_tensor(right))


def _negate(value: Any) -> Any:
    return SEMANTIC.not_(value) if isinstance(value, tl.tensor) else not value


def _decide(value: Any) -> Any:
    if _is_tile(value) and value.handle.data.size > 1:
        raise TypeError("`if` and `while` need one value, not a tile: use tl.where, or a mask")
    return value


def _everywhere(value: Any) -> bool:
    return bool(np.all(value.handle.data)) if isinstance(value, tl.tensor) else bool(value)


_HELPERS = {"_tl_as_tensor": _as_tensor, "_tl_is_tile": _is_tile, "_tl_both": _both, "_tl_negate": _negate}
_HELPERS |= {"_tl_decide": _decide, "_tl_everywhere": _everywhere}


def _call(helper: str, *args: ast.expr) -> ast.Call:
    return ast.Call(ast.Name(helper, ast.Load()), list(args), [])


class _Rewriter(ast.NodeTransformer):
    """The places where Python would quietly do something else than Triton."""

    def __init__(self) -> None:
        self.temporaries = 0

    def visit_Assign(self, node: ast.Assign) -> ast.AST:
        if len(node.targets) > 1:
            raise SyntaxError("a = b = ... is not supported in a kernel: write two lines")
        self.generic_visit(node)
        node.value = _call("_tl_as_tensor", node.value)
        return node

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        if len(node.ops) > 1:
            raise SyntaxError("a < b < c is not supported in a kernel: write (a < b) & (b < c)")
        return self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.AST:
        self.generic_visit(node)
        word = "and" if isinstance(node.op, ast.And) else "or"
        out = node.values[0]
        for right in node.values[1:]:
            self.temporaries += 1
            name = f"_tl_left{self.temporaries}"
            held = ast.NamedExpr(ast.Name(name, ast.Store()), out)
            plain = ast.BoolOp(node.op, [ast.Name(name, ast.Load()), copy.deepcopy(right)])
            joined = _call("_tl_both", ast.Constant(word), ast.Name(name, ast.Load()), right)
            out = ast.IfExp(_call("_tl_is_tile", held), joined, plain)
        return out

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
        self.generic_visit(node)
        return _call("_tl_negate", node.operand) if isinstance(node.op, ast.Not) else node

    def _decided(self, node: Any) -> ast.AST:
        self.generic_visit(node)
        node.test = _call("_tl_decide", node.test)
        return node

    visit_If = visit_While = visit_IfExp = _decided

    def visit_Assert(self, node: ast.Assert) -> ast.AST:
        self.generic_visit(node)
        node.test = _call("_tl_everywhere", node.test)
        return node


_rewritten: weakref.WeakKeyDictionary[Callable, Callable] = weakref.WeakKeyDictionary()


def python_function(jitted: JITCallable) -> Callable:
    """The Python function that runs one program of `jitted`. It shares globals, defaults and closure with the
    original, so a constant or helper defined in a later cell is seen, and nothing is added to anybody's globals."""
    fn = jitted.fn
    if fn not in _rewritten:
        code = _rewrite(fn, "".join(jitted.raw_src), jitted.starting_line_number)
        cells = dict(zip(fn.__code__.co_freevars, fn.__closure__ or (), strict=True))
        cells |= {name: types.CellType(value) for name, value in _HELPERS.items()}
        closure = tuple(cells.get(name) or types.CellType() for name in code.co_freevars)
        made = types.FunctionType(code, fn.__globals__, fn.__name__, fn.__defaults__, closure)
        made.__kwdefaults__ = fn.__kwdefaults__
        if not fn.__module__.startswith("triton."):
            faults.mark_learners(code)
        _rewritten[fn] = made
    return _rewritten[fn]


def _rewrite(fn: Callable, source: str, first_line: int) -> types.CodeType:
    tree = ast.parse(textwrap.dedent(source)).body[0]
    tree.decorator_list, tree.returns = [], None
    for arg in [*tree.args.posonlyargs, *tree.args.args, *tree.args.kwonlyargs]:
        arg.annotation = None
    try:
        tree = _Rewriter().visit(tree)
    except SyntaxError as error:
        raise SyntaxError(f"{fn.__name__}: {error.msg}") from None
    outer_names = [*fn.__code__.co_freevars, *_HELPERS]
    factory = ast.parse("def _factory(): pass").body[0]
    factory.args.args = [ast.arg(name) for name in outer_names]
    factory.body = [tree]
    ast.increment_lineno(tree, first_line - 1)
    module = ast.fix_missing_locations(ast.Module([factory], []))
    outer = compile(module, fn.__code__.co_filename, "exec", dont_inherit=True)
    return _code_named(_code_named(outer, "_factory"), fn.__name__)


def _code_named(code: types.CodeType, name: str) -> types.CodeType:
    return next(const for const in code.co_consts if isinstance(const, types.CodeType) and const.co_name == name)
