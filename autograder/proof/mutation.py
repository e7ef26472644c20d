"""Small changes to a solution's source: the operators of the mutation run.

Each family takes a node of the syntax tree and gives the nodes that may stand in its place. `mutants` puts one of them
in at a time; what reads the same as another mutant, or as the solution, comes once or not at all.

Left alone: docstrings, annotations, decorators, what is printed, and the words of an exception.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable, Iterator
from typing import NamedTuple

SWAPS = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv, ast.Pow: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.And: ast.Or,
    ast.Or: ast.And, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot,
    ast.IsNot: ast.Is, ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
}  # fmt: skip
TURNED = {ast.Lt: ast.Gt, ast.LtE: ast.GtE, ast.Gt: ast.Lt, ast.GtE: ast.LtE}
ORDERED = (ast.Sub, ast.Div, ast.FloorDiv, ast.Mod, ast.Pow, ast.MatMult)  # a op b is not b op a
MODULES = {"torch", "math", "nn", "np", "re", "random"}
UNTOUCHED = {"annotation", "returns", "decorator_list", "exc", "ctx", "func"}


class Mutant(NamedTuple):
    """One changed solution. line: 1 is the cell's first; change: "old -> new"; source: all of it."""

    line: int
    family: str
    change: str
    source: str


def mutants(source: str) -> list[Mutant]:
    """Every single-change mutant of a solution, each once, in the order of the source."""
    tree = ast.parse(source)
    seen, found = {_sense(tree)}, []
    alone = {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Expr)}  # `statement` leaves these out
    parents = {id(child): node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    for node in _nodes(tree):
        shown = _shown(node, parents)
        for family, new in changes(node):
            if family == "call" and id(node) in alone:
                continue
            put = {id(node): new}
            mutated = copy.deepcopy(tree, dict(put))
            sense, text = _sense(mutated), ast.unparse(ast.fix_missing_locations(mutated))
            if sense not in seen and _compiles(text):
                seen.add(sense)
                change = f"{_words(shown)} -> {_words(copy.deepcopy(shown, put))}"
                found.append(Mutant(_line(node), family, change, text))
    return sorted(found, key=lambda m: m.line)


def changes(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """What may stand in the place of one node, with the family's name."""
    for family, make in FAMILIES.items():
        for new in make(node):
            yield family, new


def operator(node: ast.AST) -> Iterator[ast.AST]:
    """Another operator; a comparison that includes its bound, excludes it, or is turned round."""
    if isinstance(node, (ast.BinOp, ast.BoolOp, ast.AugAssign)) and type(node.op) in SWAPS:
        yield _with(node, op=SWAPS[type(node.op)]())
    if isinstance(node, ast.Compare):
        for table in (SWAPS, TURNED):
            if type(node.ops[0]) in table:
                yield _with(node, ops=[table[type(node.ops[0])](), *node.ops[1:]])


def term(node: ast.AST) -> Iterator[ast.AST]:
    """One side of an operator, one branch of a choice, all that a filter would hold back."""
    if isinstance(node, ast.BinOp):
        yield from (node.left, node.right)
    if isinstance(node, ast.BoolOp):
        for i in range(len(node.values)):
            rest = node.values[:i] + node.values[i + 1 :]
            yield _with(node, values=rest) if len(rest) > 1 else rest[0]
    if isinstance(node, ast.IfExp):
        yield from (node.body, node.orelse)
    if isinstance(node, ast.comprehension) and node.ifs:
        yield _with(node, ifs=[])


def sign(node: ast.AST) -> Iterator[ast.AST]:
    """Without a minus, `not` or `~`; the result with a minus."""
    if isinstance(node, ast.UnaryOp):
        yield node.operand
    if isinstance(node, ast.Return) and isinstance(node.value, ast.Tuple):
        for i, part in enumerate(node.value.elts):
            yield _with(node, value=_with(node.value, elts=_put(node.value.elts, i, _minus(part))))
    elif isinstance(node, ast.Return) and not isinstance(node.value, (ast.Constant, ast.Dict, ast.List, type(None))):
        yield _with(node, value=_minus(node.value))


def constant(node: ast.AST) -> Iterator[ast.AST]:
    """An int (an axis too) one more and one less; a float doubled and with a minus; a truth value turned round."""
    if not isinstance(node, ast.Constant):
        return
    if isinstance(node.value, bool):
        yield ast.Constant(not node.value)
    elif isinstance(node.value, int):
        yield from (ast.Constant(node.value + 1), ast.Constant(node.value - 1))
    elif isinstance(node.value, float):
        yield from (ast.Constant(node.value * 2), _minus(node)) if node.value else (ast.Constant(1.0),)


def swap(node: ast.AST) -> Iterator[ast.AST]:
    """Two neighbours changed: arguments, members of a tuple, sides of an operator for which it matters."""
    for field in ("args", "elts"):
        parts = getattr(node, field, None)
        if isinstance(node, (ast.Call, ast.Tuple)) and parts:
            for i in range(len(parts) - 1):
                yield _with(node, **{field: [*parts[:i], parts[i + 1], parts[i], *parts[i + 2 :]]})
    if isinstance(node, ast.BinOp) and isinstance(node.op, ORDERED):
        yield _with(node, left=node.right, right=node.left)


def keyword(node: ast.AST) -> Iterator[ast.AST]:
    """A call without one of its keyword arguments."""
    if isinstance(node, ast.Call):
        for i in range(len(node.keywords)):
            yield _with(node, keywords=node.keywords[:i] + node.keywords[i + 1 :])


def bound(node: ast.AST) -> Iterator[ast.AST]:
    """A slice or a range that begins or ends one place off."""
    if isinstance(node, ast.Slice):
        for field, missing in (("lower", 1), ("upper", -1)):
            end = getattr(node, field)
            moved = [_constant(missing)] if end is None else _off_by_one(end)
            yield from (_with(node, **{field: new}) for new in moved)
            if end is not None:
                yield _with(node, **{field: None})
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "range":
        for i, end in enumerate(node.args):
            yield from (_with(node, args=_put(node.args, i, new)) for new in _off_by_one(end))


def call(node: ast.AST) -> Iterator[ast.AST]:
    """What a function or method would have been applied to, as it is."""
    if not isinstance(node, ast.Call):
        return
    method = isinstance(node.func, ast.Attribute) and not _is_module(node.func.value)
    if method:
        yield node.func.value
    elif node.args and not isinstance(node.args[0], (ast.Starred, ast.GeneratorExp)) and not _named(node, "range"):
        yield node.args[0]


def statement(node: ast.AST) -> Iterator[ast.AST]:
    """A statement left out, a branch never or always taken, a loop never entered."""
    again = isinstance(node, ast.Assign) and _names(node.targets[0]) <= _names(node.value)
    if again or isinstance(node, (ast.Expr, ast.AugAssign, ast.Raise, ast.Continue, ast.Break)):
        yield ast.Pass()
    if isinstance(node, ast.If):
        yield from (_with(node, test=_constant(False)), _with(node, test=_constant(True)))
    if isinstance(node, ast.While):
        yield _with(node, test=_constant(False))


FAMILIES: dict[str, Callable[[ast.AST], Iterator[ast.AST]]] = {
    f.__name__: f for f in (operator, term, sign, constant, swap, keyword, bound, call, statement)
}


def _nodes(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.Expr) and (isinstance(node.value, ast.Constant) or _named(node.value, "print")):
        return
    yield node
    for field, value in ast.iter_fields(node):
        inner = value.value if field == "func" and isinstance(value, ast.Attribute) else value  # x of x.f()
        if field not in UNTOUCHED or inner is not value:
            for child in inner if isinstance(inner, list) else [inner]:
                if isinstance(child, ast.AST):
                    yield from _nodes(child)


def _shown(node: ast.AST, parents: dict[int, ast.AST]) -> ast.AST:
    """The smallest part that tells a change: a number or a slice alone could stand anywhere in its line."""
    small = (ast.Constant, ast.UnaryOp, ast.Slice, ast.Name)
    while isinstance(node, small) and isinstance(parents.get(id(node)), (ast.expr, ast.keyword, ast.comprehension)):
        node = parents[id(node)]
    return node


def _with(node: ast.AST, **fields: object) -> ast.AST:
    """A copy with other fields."""
    twin = copy.copy(node)
    for name, value in fields.items():
        setattr(twin, name, value)
    return twin


def _put(parts: list, i: int, new: ast.AST) -> list:
    return [*parts[:i], new, *parts[i + 1 :]]


def _minus(node: ast.AST) -> ast.AST:
    return node.operand if isinstance(node, ast.UnaryOp) else ast.UnaryOp(ast.USub(), node)


def _constant(value: object) -> ast.Constant:
    return ast.Constant(value)


def _off_by_one(node: ast.AST) -> list[ast.AST]:
    """Not for constants, which have a family of their own."""
    if isinstance(node, (ast.Constant, ast.Starred)):
        return []
    return [ast.BinOp(node, step(), ast.Constant(1)) for step in (ast.Add, ast.Sub)]


def _named(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name


def _is_module(node: ast.AST) -> bool:
    while isinstance(node, ast.Attribute):
        node = node.value
    return isinstance(node, ast.Name) and node.id in MODULES


def _names(node: ast.AST) -> set[str]:
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name)} or {""}


def _sense(tree: ast.AST) -> str:
    """The same for sources that plainly do the same."""
    return ast.unparse(ast.fix_missing_locations(_Plainly().visit(copy.deepcopy(tree))))


def _steps(node: ast.AST) -> tuple[ast.AST, float | None]:
    """x and 2 for x + 2, x and -2 for x - 2, the node and None for anything else."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Add, ast.Sub)):
        if isinstance(node.right, ast.Constant) and type(node.right.value) in (int, float):
            return node.left, node.right.value if isinstance(node.op, ast.Add) else -node.right.value
    return node, None


class _Plainly(ast.NodeTransformer):
    """Writes x + 0 as x, x + 1 - 1 as x, -0 as 0, x[0:] as x[:]."""

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        start, first = _steps(node.left)
        _, second = _steps(node)
        if second is None:
            return node
        total = second + (first or 0)
        left = node.left if first is None else start
        return ast.BinOp(left, ast.Add(), ast.Constant(total)) if total else left

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
        self.generic_visit(node)
        return node.operand if isinstance(node.operand, ast.Constant) and node.operand.value == 0 else node

    def visit_Slice(self, node: ast.Slice) -> ast.AST:
        self.generic_visit(node)
        zero = isinstance(node.lower, ast.Constant) and node.lower.value == 0
        return _with(node, lower=None) if zero else node


def _compiles(source: str) -> bool:
    try:
        compile(source, "<mutant>", "exec")
    except SyntaxError:
        return False
    return True


def _line(node: ast.AST) -> int:
    places = [n.lineno for n in ast.walk(node) if hasattr(n, "lineno")]
    return getattr(node, "lineno", min(places, default=0))


def _words(node: ast.AST) -> str:
    """The node as one line of code."""
    lines = ast.unparse(node).strip().splitlines()
    return lines[0] + (" ..." if len(lines) > 1 else "")
