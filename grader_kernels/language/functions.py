"""The gate's walk through one function: everything that is not named here is refused.

`Kernel` walks what @triton.jit was put on, `Pure` what @triton.constexpr_function was. Both collect the names from
outside that a function uses, with what they stand for.
"""

from __future__ import annotations

import ast
import contextlib
import re
from typing import Any

from grader_kernels.language.constants import MAX_STRING, Constants, Unknown, bounded
from grader_kernels.language.names import Constant, Jitted, Record, Word, dotted
from grader_kernels.language.refusing import LanguageError, refuse
from grader_kernels.language.words import (
    BUILTINS,
    DROPPED_DECORATORS,
    DTYPE_NAMES,
    JIT_OPTIONS,
    MATH_FUNCTIONS,
    MEMBERS,
    NAMESPACES,
    REFUSED,
    ROOTS,
    TYPE_NAMES,
)

MAX_DEPTH = 120
BINARY = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.Pow)
BINARY += (ast.BitAnd, ast.BitOr, ast.BitXor, ast.LShift, ast.RShift)
COMPARISONS = (ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Is, ast.IsNot)
RANGES = ("range", "tl.range", "tl.static_range")
SCALARS = ("int", "float", "bool")
FORMAT = re.compile(r"[<>^+-]?0?\d{0,2},?(?:\.\d{1,2})?[a-zA-Z%]?")


class Walk:
    """One function. used: the names from outside, with their meanings."""

    def __init__(self, jitted: Jitted, fields: frozenset[str]) -> None:
        self.function, self.scope, self.jitted, self.fields = jitted.node, jitted.scope, jitted, fields
        self.used: dict[str, Any] = {}
        self.locals = {arg.arg for arg in self.function.args.args}
        self.depth = 0
        self._literals: dict[int, bool] = {}
        self._constants = Constants(self.scope)
        for node in ast.walk(self.function):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                self.locals.add(node.id)

    def check(self) -> None:
        """Raises LanguageError."""
        self._parameters(self.function)
        for name in sorted(self.locals):
            self.plain_name(name, self.function)
        self._block(self.function.body)

    # head
    def _parameters(self, function: ast.FunctionDef) -> None:
        args = function.args
        if args.vararg or args.kwarg or args.kwonlyargs or args.posonlyargs:
            raise refuse(function, f"{function.name}: a kernel takes plain parameters only, no *args, ** or /")
        if getattr(function, "type_params", None):
            raise refuse(function, f"{function.name}: a kernel has no type parameters")
        for default in args.defaults:
            self._default(default)

    def _default(self, node: ast.expr) -> None:
        try:
            Constants(self.scope).value(node)
        except Unknown:
            says = f"{self.function.name}: a default must be a constant: a number, a string, None or a tl dtype"
            raise refuse(node, says) from None

    @staticmethod
    def plain_name(name: str, node: ast.AST) -> None:
        """Raises LanguageError for a name that would stand in the way of ours."""
        if name.startswith("__") or name.startswith("_tl_"):
            raise refuse(node, f"the name `{name}` is not allowed in a kernel")
        if name in ROOTS or name in ("range", "print", "isinstance"):
            raise refuse(node, f"`{name}` is taken: choose another name")

    # statements
    def statement(self, node: ast.stmt) -> None:
        handler = getattr(self, f"_do_{type(node).__name__}", None)
        if handler is None:
            raise refuse(node)
        self._down(node)
        handler(node)
        self.depth -= 1

    def _down(self, node: ast.AST) -> None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise refuse(node, "this code is nested too deep")

    def _block(self, body: list[ast.stmt]) -> None:
        for statement in body:
            self.statement(statement)

    def _target(self, node: ast.expr) -> None:
        if isinstance(node, ast.Tuple):
            for item in node.elts:
                self._target(item)
        elif not isinstance(node, ast.Name):
            raise refuse(node, "in a kernel only names are assigned: memory is written with tl.store")

    def _do_Assign(self, node: ast.Assign) -> None:
        if len(node.targets) != 1:
            raise refuse(node, "a = b = ... is not part of the Triton language: write two lines")
        self._target(node.targets[0])
        self.expression(node.value)

    def _do_AnnAssign(self, node: ast.AnnAssign) -> None:
        if not self._is_type(node.annotation):
            raise refuse(node, "inside a kernel the only annotations are tl.constexpr, tl.tensor, numbers and dtypes")
        if not isinstance(node.target, ast.Name) or not node.simple or node.value is None:
            raise refuse(node, "an annotated assignment is NAME: tl.constexpr = value")
        self.expression(node.value)

    def _is_type(self, node: ast.expr) -> bool:
        """An annotation that a compiler may read: triton's visits it like any expression."""
        if isinstance(node, ast.Constant):
            return node.value in ("tl.constexpr", "constexpr")
        if isinstance(node, ast.Name) and node.id in self.locals:
            return False
        if isinstance(node, ast.Name) and node.id in SCALARS and not self.scope.binds(node.id):
            return True
        base, _, name = (self._path(node) or "").rpartition(".")
        self._use_root(node)
        return base == "tl" and name in TYPE_NAMES | DTYPE_NAMES

    def _do_AugAssign(self, node: ast.AugAssign) -> None:
        if not isinstance(node.target, ast.Name):
            raise refuse(node, "in a kernel only names are assigned: memory is written with tl.store")
        self._operator(node)
        self.expression(node.value)

    def _do_Expr(self, node: ast.Expr) -> None:
        if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            return
        self.expression(node.value)

    def _do_If(self, node: ast.If) -> None:
        self.expression(node.test)
        self._block(node.body)
        self._block(node.orelse)

    def _do_While(self, node: ast.While) -> None:
        if node.orelse:
            raise refuse(node, "while ... else is not part of the Triton language")
        self.expression(node.test)
        self._block(node.body)

    def _do_For(self, node: ast.For) -> None:
        if node.orelse or not isinstance(node.target, ast.Name) or node.type_comment:
            raise refuse(node, "a loop in a kernel is `for NAME in range(...)`, without else")
        call = node.iter
        if not isinstance(call, ast.Call) or (self._path(call.func) or dotted(call.func)) not in RANGES:
            raise refuse(node, "a loop in a kernel runs over range, tl.range or tl.static_range")
        self.expression(call)
        self._block(node.body)

    def _do_Return(self, node: ast.Return) -> None:
        if node.value is not None:
            self.expression(node.value)

    def _do_Pass(self, node: ast.Pass) -> None:
        pass

    def _do_Assert(self, node: ast.Assert) -> None:
        self.expression(node.test)
        if node.msg is not None:
            self._argument(node.msg)

    # expressions
    def expression(self, node: ast.expr) -> None:
        handler = getattr(self, f"_see_{type(node).__name__}", None)
        if handler is None:
            raise refuse(node)
        self._down(node)
        handler(node)
        self.depth -= 1

    def _argument(self, node: ast.expr) -> None:
        """Where a string may stand: an argument of a call, a side of a comparison."""
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            if len(node.value) > MAX_STRING:
                raise refuse(node, "this string is too long")
        elif isinstance(node, ast.JoinedStr):
            for part in node.values:
                self._part_of_text(part)
        else:
            self.expression(node)

    def _part_of_text(self, node: ast.expr) -> None:
        if not isinstance(node, ast.FormattedValue):
            return self._argument(node)
        given = node.format_spec.values if isinstance(node.format_spec, ast.JoinedStr) else []
        if not all(isinstance(part, ast.Constant) and FORMAT.fullmatch(str(part.value)) for part in given):
            raise refuse(node, "a format in an f-string is short: `{x}`, `{x:.3f}`")
        return self.expression(node.value)

    def _see_Constant(self, node: ast.Constant) -> None:
        if node.value is not None and type(node.value) not in (bool, int, float):
            raise refuse(node, f"a {type(node.value).__name__} can't stand here in a kernel")
        bounded(node, node.value)

    def _path(self, node: ast.expr) -> str | None:
        """The word of the language that an expression is; None when its name is a local one."""
        root = (dotted(node) or "").split(".")[0]
        return None if root in self.locals else self.scope.path(node)

    def _use_root(self, node: ast.expr) -> None:
        """Note the name that a dotted path begins with, when the source gave it its meaning."""
        root = (dotted(node) or "").split(".")[0]
        if root and root not in self.locals and self.scope.binds(root):
            meaning = self.scope.meaning(root)
            if isinstance(meaning, Word):
                self.used[root] = meaning

    def _see_Name(self, node: ast.Name) -> None:
        name = node.id
        if name in self.locals:
            return
        path = self._path(node)
        if path is not None:
            return self._word(node, path)
        meaning = self.scope.meaning(name)
        if isinstance(meaning, (Jitted, Record, Constant)):
            self._outer(node, meaning)
        elif self.scope.binds(name):
            raise refuse(node, self._unknown(name))
        elif name not in BUILTINS:
            raise refuse(node, f"`{name}` is not known in a kernel")
        return None

    def _unknown(self, name: str) -> str:
        home = self.scope.home(name)
        if name in home.given and name not in home.bound:
            return f"`{name}` is given to the function around the kernel: hand it over as a tl.constexpr parameter"
        return f"`{name}` is neither a @triton.jit function nor a literal constant of the notebook"

    def _outer(self, node: ast.Name, meaning: Jitted | Record | Constant) -> None:
        if isinstance(meaning, Jitted) and _is_tuned(meaning):
            raise refuse(node, f"`{node.id}` is tuned, so it is launched and not called: leave it only @triton.jit")
        self.plain_name(node.id, node)
        self.used[node.id] = meaning

    def _see_Attribute(self, node: ast.Attribute) -> None:
        if not isinstance(node.ctx, ast.Load):
            raise refuse(node, "attributes can't be assigned in a kernel")
        path = self._path(node)
        if path is not None:
            self._word(node, path)
        elif node.attr not in MEMBERS | self.fields:
            raise refuse(node, f"`.{node.attr}` is not an attribute of the Triton language")
        else:
            self.expression(node.value)

    def _word(self, node: ast.Name | ast.Attribute, path: str) -> None:
        """A word of the language (`tl.exp`), or an attribute of one (`tl.float32.primitive_bitwidth`)."""
        text = ast.unparse(node)
        base, _, name = path.rpartition(".")
        if path in NAMESPACES or not base:
            raise refuse(node, f"`{text}` stands here without a name behind it")
        if base == "tl" and name in TYPE_NAMES and name not in NAMESPACES[base]:
            raise refuse(node, f"`{text}` may stand only in isinstance(x, {text}) and in an annotation")
        if base == "tl" and name in REFUSED:
            raise refuse(node, REFUSED[name])
        if base in NAMESPACES:
            if name not in NAMESPACES[base]:
                raise refuse(node, f"`{text}` is not a name of the Triton language that may be used here")
            self._use_root(node)
        elif isinstance(node, ast.Attribute) and name in MEMBERS and base not in ROOTS and "." in base:
            self._word(node.value, base)
        else:
            raise refuse(node, f"`{text}` is not a name of the Triton language that may be used here")

    def _see_Call(self, node: ast.Call) -> None:
        if not isinstance(node.func, (ast.Name, ast.Attribute)):
            raise refuse(node, "only names can be called in a kernel")
        if isinstance(node.func, ast.Name) and node.func.id == "isinstance" and "isinstance" not in self.locals:
            return self._isinstance(node)
        self.expression(node.func)
        for arg in node.args:
            self._argument(arg.value if isinstance(arg, ast.Starred) and isinstance(arg.value, ast.Name) else arg)
        for keyword in node.keywords:
            if keyword.arg is None or keyword.arg.startswith("_"):
                raise refuse(node, f"the keyword `{keyword.arg or '**'}` is not allowed in a kernel")
            self._argument(keyword.value)
        return None

    def _isinstance(self, node: ast.Call) -> None:
        kinds = node.args[1].elts if len(node.args) == 2 and isinstance(node.args[1], ast.Tuple) else node.args[1:]
        if node.keywords or len(node.args) != 2 or not all(self._is_type(kind) for kind in kinds):
            raise refuse(node, "isinstance asks for tl.tensor, tl.constexpr, tl.dtype, int, float or bool here")
        self.expression(node.args[0])

    def _operator(self, node: ast.BinOp | ast.AugAssign) -> None:
        if not isinstance(node.op, BINARY):
            raise LanguageError(refuse(node.op).sentence, node.lineno)

    def _see_BinOp(self, node: ast.BinOp) -> None:
        self._operator(node)
        if self._is_literal(node):
            with contextlib.suppress(Unknown):
                self._constants.value(node)  # literals alone: a number that is too large is refused here
        self.expression(node.left)
        self.expression(node.right)

    def _is_literal(self, node: ast.AST) -> bool:
        """No name, call or subscript stands in it. Asked once of each node."""
        if id(node) not in self._literals:
            parts = not isinstance(node, (ast.Name, ast.Call, ast.Subscript)) and ast.iter_child_nodes(node)
            self._literals[id(node)] = bool(parts) and all(map(self._is_literal, parts))
        return self._literals[id(node)]

    def _see_UnaryOp(self, node: ast.UnaryOp) -> None:
        self.expression(node.operand)

    def _see_BoolOp(self, node: ast.BoolOp) -> None:
        for value in node.values:
            self.expression(value)

    def _see_Compare(self, node: ast.Compare) -> None:
        if len(node.ops) != 1:
            raise refuse(node, "a < b < c is not part of the Triton language: write (a < b) & (b < c)")
        if not isinstance(node.ops[0], COMPARISONS):
            raise refuse(node, "`in` is not part of the Triton language")
        self._argument(node.left)
        self._argument(node.comparators[0])

    def _see_IfExp(self, node: ast.IfExp) -> None:
        for part in (node.test, node.body, node.orelse):
            self.expression(part)

    def _see_ListComp(self, node: ast.ListComp) -> None:
        over = node.generators[0]
        plain = len(node.generators) == 1 and not over.ifs and isinstance(over.target, ast.Name) and not over.is_async
        if not plain or (isinstance(over.iter, ast.Call) and dotted(over.iter.func) in RANGES):
            raise refuse(node)
        self.expression(over.iter)
        self.expression(node.elt)

    def _see_Subscript(self, node: ast.Subscript) -> None:
        if not isinstance(node.ctx, ast.Load):
            raise refuse(node, "a tile's element can't be assigned: use tl.where")
        if isinstance(node.value, ast.Name) and isinstance(self._meaning_outside(node.value.id), Jitted):
            raise refuse(node, f"`{node.value.id}[...]` is a launch: inside a kernel a function is called")
        self.expression(node.value)
        self._index(node.slice)

    def _meaning_outside(self, name: str) -> Any:
        return None if name in self.locals else self.scope.meaning(name)

    def _index(self, node: ast.expr) -> None:
        if isinstance(node, ast.Slice):
            for bound in (node.lower, node.upper, node.step):
                if bound is not None:
                    self.expression(bound)
        elif isinstance(node, ast.Tuple):
            for item in node.elts:
                self._index(item)
        else:
            self.expression(node)

    def _see_Tuple(self, node: ast.Tuple) -> None:
        for item in node.elts:
            self._argument(item)

    _see_List = _see_Tuple


def _is_tuned(jitted: Jitted) -> bool:
    return len(jitted.node.decorator_list) > 1


class Kernel(Walk):
    """A function under triton.jit."""

    def check(self) -> None:
        self._decorators()
        super().check()

    def _decorators(self) -> None:
        decorators = list(self.function.decorator_list)
        self._options(self.jitted.call)
        if decorators and self.jitted.call is decorators[-1]:
            decorators.pop()
        for decorator in decorators:  # what stands above chooses arguments in the launcher's process; it is not kept
            if not isinstance(decorator, ast.Call) or self.scope.path(decorator.func) not in DROPPED_DECORATORS:
                name = self.function.name
                raise refuse(decorator, f"{name} may carry @triton.autotune(...) and @triton.heuristics(...) above "
                             "@triton.jit, the last line above the def, and no other decorator")  # fmt: skip

    def _options(self, node: ast.expr) -> None:
        if not isinstance(node, ast.Call):
            return
        for keyword in node.keywords:
            if keyword.arg in JIT_OPTIONS:
                try:
                    Constants(self.scope).value(keyword.value)
                except Unknown:
                    raise refuse(node, f"triton.jit's {keyword.arg} must be a constant") from None
        if node.args and node in self.function.decorator_list:
            raise refuse(node, "triton.jit takes keyword options only")


class Pure(Walk):
    """A function under triton.constexpr_function: Python on numbers, which runs while a kernel is compiled."""

    def _do_Break(self, node: ast.Break) -> None:
        pass

    _do_Continue = _do_Break

    def _word(self, node: ast.Name | ast.Attribute, path: str) -> None:
        base, _, name = path.rpartition(".")
        if base == "math" and name in MATH_FUNCTIONS:
            return self._use_root(node)
        if base in NAMESPACES and base not in ("math", "triton") and name not in DTYPE_NAMES:
            says = f"`{ast.unparse(node)}` is no number: a constexpr_function computes with Python's numbers"
            raise refuse(node, says)
        return super()._word(node, path)

    def _outer(self, node: ast.Name, meaning: Jitted | Record | Constant) -> None:
        if isinstance(meaning, Jitted) and not meaning.pure:
            raise refuse(node, f"`{node.id}` is a kernel's function: a constexpr_function can't call it")
        super()._outer(node, meaning)


def walk(jitted: Jitted, fields: frozenset[str]) -> dict[str, Any]:
    """The names from outside that a function uses, with their meanings. Raises LanguageError.

    fields: attributes of the named tuples of the source.
    """
    made = (Pure if jitted.pure else Kernel)(jitted, fields)
    made.check()
    return made.used
