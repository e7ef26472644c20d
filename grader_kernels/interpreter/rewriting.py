"""From a kernel's source to a Python function: assignments and loops make tensors; `and`, `or`, `not`, `if` see tiles.

What it is not: a gate. `grader_kernels.language` refuses; here Python is told to do what Triton would.
"""

from __future__ import annotations

import ast
import copy
import textwrap
import types
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import triton.language as tl
from triton.runtime.jit import JITCallable

from grader_kernels.interpreter import faults
from grader_kernels.interpreter.accesses import new_handle
from grader_kernels.interpreter.builder import SEMANTIC
from grader_kernels.interpreter.recipes import facts


def _is_tensor(value: Any) -> bool:
    return isinstance(value, tl.tensor)


def _is_tile(value: Any) -> bool:
    return _is_tensor(value) and value.type.is_block()


def _as_tensor(value: Any) -> Any:
    """What a name holds after `name = value`: numbers become tensors, also those in a tuple."""
    if type(value) is tl.tensor:
        return value
    if type(value) is tuple:
        return tuple(map(_as_tensor, value))
    return SEMANTIC.to_tensor(value, False)


def _arm(decided: Any, value: Any) -> Any:
    """An arm of `a if decided else b`: a tensor where a tensor decides, since the compiler makes both arms one type."""
    return _as_tensor(value) if _is_tensor(decided) else value


def _both(op: str, left: tl.tensor, right: Any) -> tl.tensor:
    join = SEMANTIC.logical_and if op == "and" else SEMANTIC.logical_or
    return join(left, SEMANTIC.to_tensor(right))


def _negate(value: Any) -> Any:
    return SEMANTIC.not_(value) if isinstance(value, tl.tensor) else not value


def _decide(value: Any) -> Any:
    if isinstance(value, tl.condition):
        value = value.condition
    if _is_tile(value) and value.handle.data.size > 1:
        raise TypeError("`if` and `while` need one value, not a tile: use tl.where, or a mask")
    return value


def _everywhere(value: Any) -> bool:
    return bool(np.all(value.handle.data)) if isinstance(value, tl.tensor) else bool(value)


def counted(first: Any, second: Any = None, step: Any = None, **_: Any) -> Iterator[tl.tensor]:
    """`range` and `tl.range` of a kernel: scalars of the type that start, stop and step have together, int32 for plain
    numbers. What says how to compile the loop is left aside.

    Raises TypeError for bounds that are no whole numbers, ValueError for loops without an end on a GPU.
    """
    start, stop, step = _three(first, second, step)
    down = not _is_tensor(step) and int(step) < 0  # only then the compiler counts down
    ends = [_bound(value) for value in (start, stop, step)]
    kind = SEMANTIC.integer_promote_impl(SEMANTIC.integer_promote_impl(ends[0][0], ends[1][0]), ends[2][0])
    low, high, by = (_as_signed(value, kind) for _, value in ends)
    if by == 0 or (by < 0 and not down and low < high):
        raise ValueError("this loop has no end on a GPU: its step is 0, or negative and known only at run time")
    return _each(range(low, high, by) if down or by > 0 else range(0), kind)


def _bound(value: Any) -> tuple[tl.dtype, int]:
    bound = SEMANTIC.to_tensor(value)
    if bound.type.is_block() or not bound.dtype.is_int():
        raise TypeError(f"the bounds and the step of a loop are whole numbers, not {bound.type}")
    return bound.dtype, int(bound.handle.data.reshape(-1)[0])


def _as_signed(value: int, kind: tl.dtype) -> int:
    """The loop of a GPU compares signed numbers, whatever the type."""
    half = 1 << (kind.primitive_bitwidth - 1)
    return (value + half) % (2 * half) - half


def _each(numbers: range, kind: tl.dtype) -> Iterator[tl.tensor]:
    width = kind.primitive_bitwidth // 8
    signed, made = np.dtype(f"i{width}"), np.dtype(f"{'iu'[kind.is_int_unsigned()]}{width}")
    known = facts(kind)
    for first in range(0, len(numbers), 1024):
        part = numbers[first : first + 1024]
        data = np.arange(part.start, part.stop, part.step, dtype=np.int64).astype(signed).view(made)
        for at in range(len(part)):
            number = object.__new__(tl.tensor)
            number.__dict__ = {**known, "handle": new_handle(data[at : at + 1], kind)}
            yield number


def unrolled(first: Any, second: Any = None, step: Any = None) -> Iterator[tl.constexpr]:
    """`tl.static_range` of a kernel: constants."""
    ends = _three(first, second, step)
    if any(map(_is_tensor, ends)):
        raise TypeError("tl.static_range needs constants: take range, or make the bound a tl.constexpr")
    return map(tl.constexpr, range(*map(tl.core._unwrap_if_constexpr, ends)))


def _three(first: Any, second: Any, step: Any) -> tuple[Any, Any, Any]:
    """(start, stop, step) of a loop's arguments."""
    start, stop = (0, first) if second is None else (first, second)
    return start, stop, 1 if step is None else step


def _loop(over: Any) -> Any:
    return counted if over is range else over


def _constant(function: Any) -> Any:
    """A function of Python as a kernel has it: max and min are triton's, the others take what a constant holds."""
    if function is max or function is min:
        function = tl.core.builtin_max if function is max else tl.core.builtin_min
        return lambda *args: tl.core._unwrap_if_constexpr(function(*args))
    if function in (float, int, len):
        return lambda *args: function(*map(tl.core._unwrap_if_constexpr, args))
    return _now(function)


PATCHED: dict[int, Any] = {}  # by the identity of a function of tl: what is called in its place


def _now(function: Any) -> Any:
    """What a name from outside calls. `load = tl.load` above a kernel holds the function of an unpatched `tl`."""
    return PATCHED.get(id(function), function)


_HELPERS = {"_tl_as_tensor": _as_tensor, "_tl_is_tensor": _is_tensor, "_tl_both": _both, "_tl_negate": _negate}
_HELPERS |= {"_tl_decide": _decide, "_tl_everywhere": _everywhere, "_tl_arm": _arm, "_tl_loop": _loop}
_HELPERS |= {"_tl_now": _now, "_tl_constant": _constant, "_tl_plain": tl.core._unwrap_if_constexpr}
_PYTHONS = ("max", "min", "float", "int", "len")


def _call(helper: str, *args: ast.expr) -> ast.Call:
    return ast.Call(ast.Name(helper, ast.Load()), list(args), [])


class _Rewriter(ast.NodeTransformer):
    """The places where Python would quietly do something else than Triton."""

    def __init__(self, function: ast.FunctionDef) -> None:
        self.temporaries = 0
        self.locals = {node.arg for node in ast.walk(function) if isinstance(node, ast.arg)}
        self.locals |= {n.id for n in ast.walk(function) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}

    def visit_Assign(self, node: ast.Assign) -> ast.AST:
        if len(node.targets) > 1:
            raise SyntaxError("a = b = ... is not supported in a kernel: write two lines")
        self.generic_visit(node)
        node.value = _call("_tl_as_tensor", node.value)
        return node

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.AST:
        if not isinstance(node.target, ast.Name):
            return self.generic_visit(node)
        sum_ = ast.BinOp(ast.Name(node.target.id, ast.Load()), node.op, node.value)
        return ast.copy_location(self.visit_Assign(ast.Assign([node.target], sum_)), node)

    def visit_For(self, node: ast.For) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.iter, ast.Call):
            node.iter.func = _call("_tl_loop", node.iter.func)
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.func, ast.Name) and node.func.id not in self.locals:
            node.func = _call("_tl_constant" if node.func.id in _PYTHONS else "_tl_now", node.func)
        return node

    def visit_FormattedValue(self, node: ast.FormattedValue) -> ast.AST:
        self.generic_visit(node)
        node.value = _call("_tl_plain", node.value)
        return node

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        if len(node.ops) > 1:
            raise SyntaxError("a < b < c is not supported in a kernel: write (a < b) & (b < c)")
        self.generic_visit(node)
        if isinstance(node.ops[0], (ast.Is, ast.IsNot)):
            node.left, *node.comparators = (_call("_tl_plain", side) for side in (node.left, *node.comparators))
        return node

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.AST:
        self.generic_visit(node)
        word = "and" if isinstance(node.op, ast.And) else "or"
        out = node.values[0]
        for right in node.values[1:]:
            name = self._temporary()
            held = ast.NamedExpr(ast.Name(name, ast.Store()), out)
            plain = ast.BoolOp(node.op, [ast.Name(name, ast.Load()), copy.deepcopy(right)])
            joined = _call("_tl_both", ast.Constant(word), ast.Name(name, ast.Load()), right)
            out = ast.IfExp(_call("_tl_is_tensor", held), joined, plain)
        return out

    def _temporary(self) -> str:
        self.temporaries += 1
        return f"_tl_left{self.temporaries}"

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
        self.generic_visit(node)
        return _call("_tl_negate", node.operand) if isinstance(node.op, ast.Not) else node

    def _decided(self, node: Any) -> ast.AST:
        self.generic_visit(node)
        node.test = _call("_tl_decide", node.test)
        return node

    visit_If = visit_While = _decided

    def visit_IfExp(self, node: ast.IfExp) -> ast.AST:
        self._decided(node)
        name = self._temporary()
        node.test = ast.NamedExpr(ast.Name(name, ast.Store()), node.test)
        node.body, node.orelse = (_call("_tl_arm", ast.Name(name, ast.Load()), arm) for arm in (node.body, node.orelse))
        return node

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
        if not (fn.__module__ or "").startswith("triton."):
            faults.mark_learners(code)
        _rewritten[fn] = made
    return _rewritten[fn]


def _rewrite(fn: Callable, source: str, first_line: int) -> types.CodeType:
    tree = ast.parse(textwrap.dedent(source)).body[0]
    tree.decorator_list, tree.returns = [], None
    for arg in [*tree.args.posonlyargs, *tree.args.args, *tree.args.kwonlyargs]:
        arg.annotation = None
    try:
        tree = _Rewriter(tree).visit(tree)
    except SyntaxError as error:
        raise SyntaxError(f"{fn.__name__}: {error.msg}") from None
    outer_names = [*fn.__code__.co_freevars, *_HELPERS]
    factory = ast.parse("def _factory(): pass").body[0]
    factory.args.args = [ast.arg(name) for name in outer_names]
    tree.name = "_tl_kernel"  # its own name must lead outside, so that it can call itself
    factory.body = [tree]
    ast.increment_lineno(tree, first_line - 1)
    module = ast.fix_missing_locations(ast.Module([factory], []))
    outer = compile(module, fn.__code__.co_filename, "exec", dont_inherit=True)
    code = _code_named(_code_named(outer, "_factory"), tree.name)
    return code.replace(co_name=fn.__name__, co_qualname=fn.__qualname__)


def _code_named(code: types.CodeType, name: str) -> types.CodeType:
    return next(const for const in code.co_consts if isinstance(const, types.CodeType) and const.co_name == name)
