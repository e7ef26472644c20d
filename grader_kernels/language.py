"""The gate for kernel source: what may be executed in a trusted process, by an allow-list of the Triton language.

`extract(source, needed)` takes the `@triton.jit` functions named in `needed`, the jitted functions they use and the
literal constants they use, and nothing else, out of a student's source. What it returns is executed by
`replay.load`, in a process that holds the judge's secrets. So this is a boundary, and it is an ALLOW-list: a piece of
syntax, a name, an attribute or a keyword that isn't listed here is refused, whatever it would do.

Of `@triton.autotune(...)` and `@triton.heuristics(...)` above a kernel nothing is kept, whatever stands in them: they
choose arguments while the launcher runs, and the launch trace holds what they chose.

What it stops: imports, any attribute but those of the lists below (`tl.core`, `x.handle`, dunders), calls of anything
but listed names, strings outside of arguments and comparisons, code in decorators, defaults, annotations, constants.
What it does not stop: endless loops and large tiles (limits of the process do), wrong kernels (that is the judge's
work), things only the compiler refuses (`compile` is the second gate).
"""

from __future__ import annotations

import ast
import copy
import operator
import re
from collections.abc import Collection


class LanguageError(ValueError):
    """Source that is not plain Triton. `line` counts in the source that was given, 0 when there is no line."""

    def __init__(self, sentence: str, line: int = 0) -> None:
        super().__init__(f"line {line}: {sentence}" if line else sentence)
        self.sentence, self.line = sentence, line


class NotWritten(LanguageError):
    """A kernel that still raises NotImplementedError, as it was released."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


DTYPE_NAMES = _words(
    "float64 float32 float16 bfloat16 float8e4nv float8e5 int64 int32 int16 int8 int1 uint64 uint32 uint16 uint8"
)
MATH_NAMES = _words("abs ceil cos div_rn erf exp exp2 fdiv floor fma log log2 rsqrt sin sqrt sqrt_rn umulhi")
LANGUAGE_NAMES = (
    DTYPE_NAMES
    | MATH_NAMES
    | _words(
        """
        program_id num_programs arange zeros zeros_like full cast
        broadcast broadcast_to cat expand_dims interleave join permute ravel reshape split trans view squeeze unsqueeze
        load store make_block_ptr advance make_tensor_descriptor load_tensor_descriptor store_tensor_descriptor
        dot where flip gather swizzle2d clamp maximum minimum sigmoid softmax cdiv add sub mul
        max min argmax argmin sum xor_sum reduce_or reduce associative_scan cumsum cumprod sort topk histogram
        atomic_add atomic_and atomic_cas atomic_max atomic_min atomic_or atomic_xchg atomic_xor
        rand randn randint rand4x randn4x randint4x philox
        range static_range static_assert static_print device_assert device_print assume debug_barrier
        multiple_of max_contiguous max_constancy constexpr
        """
    )
)
LIBDEVICE_NAMES = _words(
    """
    abs exp exp2 expm1 log log2 log10 log1p sin cos tan asin acos atan atan2 sinh cosh tanh asinh acosh atanh
    sqrt rsqrt pow fmod floor ceil trunc rint round nearbyint hypot cbrt copysign nextafter isnan isinf finitef
    isfinited signbit erf erfc fast_expf fast_sinf fast_cosf fast_logf fast_powf fast_dividef div_rn
    """
)
HOST_NAMES = _words("cdiv next_power_of_2")  # triton.<name> inside a kernel

NAMESPACES = {
    "tl": LANGUAGE_NAMES,
    "tl.math": MATH_NAMES,
    "tl.extra.libdevice": LIBDEVICE_NAMES,
    "tl.extra.cuda.libdevice": LIBDEVICE_NAMES,
    "libdevice": LIBDEVICE_NAMES,
    "triton": HOST_NAMES,
    "triton.language": LANGUAGE_NAMES,
    "triton.language.math": MATH_NAMES,
}
INNER = {path for name in NAMESPACES for path in (name.rsplit(".", n)[0] for n in range(1, name.count(".") + 1))}
ROOTS = {name.split(".")[0] for name in NAMESPACES}

# attributes of tiles, dtypes and constexprs
MEMBERS = _words(
    """
    to cast shape dtype T numel type element_ty scalar value primitive_bitwidth int_bitwidth
    is_floating is_int is_int_signed is_int_unsigned is_ptr is_block
    is_fp64 is_fp32 is_fp16 is_bf16 is_int64 is_int32 is_int16 is_int8 is_bool
    abs ceil cos erf exp exp2 floor log log2 rsqrt sin sqrt sigmoid softmax
    sum max min argmax argmin xor_sum reduce associative_scan cumsum cumprod sort flip gather
    reshape trans permute expand_dims broadcast_to ravel view split squeeze unsqueeze histogram
    load store atomic_add atomic_and atomic_cas atomic_max atomic_min atomic_or atomic_xchg atomic_xor
    """
)
BUILTINS = _words("range min max abs len float int bool print")
SCALAR_ANNOTATIONS = _words("int float bool")
DROPPED_DECORATORS = _words("triton.autotune triton.heuristics")
JIT_OPTIONS = _words("do_not_specialize do_not_specialize_on_alignment noinline debug")

BINARY = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod)
BINARY += (ast.BitAnd, ast.BitOr, ast.BitXor, ast.LShift, ast.RShift)
COMPARISONS = (ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Is, ast.IsNot)
ADVICE = {
    ast.Import: "imports do not belong into a kernel",
    ast.Lambda: "lambda is not part of the Triton language",
    ast.FunctionDef: "a function inside a kernel is not possible: give it its own @triton.jit",
    ast.NamedExpr: "`:=` is not allowed here: write an assignment",
    ast.JoinedStr: "f-strings are not allowed in a kernel",
    ast.Break: "`break` is not part of the Triton language: use a mask or a bounded loop",
    ast.Continue: "`continue` is not part of the Triton language: use a mask",
    ast.Pow: "`**` is not part of the Triton language: multiply, or use tl.exp2",
    ast.Starred: "`*` unpacking is not allowed in a kernel",
    ast.Global: "a kernel can't change globals",
    ast.ListComp: "comprehensions are not part of the Triton language: use tl.static_range",
    ast.Dict: "dicts are not part of the Triton language",
    ast.Try: "try is not part of the Triton language",
    ast.With: "with is not part of the Triton language",
    ast.Raise: "raise is not part of the Triton language: use tl.device_assert",
}
MAX_SOURCE = 2_000_000
MAX_DEPTH = 120
MAX_CONSTANT = 1 << 64


def _refuse(node: ast.AST, sentence: str | None = None) -> LanguageError:
    kind = type(node)
    if isinstance(node, ast.Raise) and node.exc is not None and "NotImplementedError" in ast.unparse(node.exc):
        return NotWritten("the kernel is not written yet", node.lineno)
    sentence = sentence or ADVICE.get(kind) or f"{kind.__name__} is not part of the Triton language"
    return LanguageError(sentence, getattr(node, "lineno", 0))


# --------------------------------------------------------------------------------------------------------------------
# Literals: constants, defaults, decorator options

_OPERATORS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv}
_OPERATORS |= {ast.FloorDiv: operator.floordiv}


def _number(node: ast.expr) -> int | float | None:
    """The value of arithmetic on number literals, None if it is something else."""
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        return _bounded(node, node.value)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
        value = _number(node.operand)
        return value if value is None or isinstance(node.op, ast.UAdd) else -value
    if isinstance(node, ast.BinOp):
        return _arithmetic(node)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "float":
        words = [arg.value for arg in node.args if isinstance(arg, ast.Constant)]
        if not node.keywords and words in (["inf"], ["-inf"], ["nan"], ["+inf"]):
            return float(words[0])
    return None


def _bounded(node: ast.AST, value: int | float) -> int | float:
    if isinstance(value, int) and abs(value) >= MAX_CONSTANT:
        raise _refuse(node, "this number does not fit into 64 bits")
    return value


def _arithmetic(node: ast.BinOp) -> int | float | None:
    left, right = _number(node.left), _number(node.right)
    if left is None or right is None:
        return None
    if isinstance(node.op, (ast.LShift, ast.RShift)) and isinstance(left, int) and isinstance(right, int):
        if not 0 <= right < 64:
            raise _refuse(node, "a shift must be between 0 and 63")
        return _bounded(node, left << right if isinstance(node.op, ast.LShift) else left >> right)
    action = _OPERATORS.get(type(node.op))
    try:
        return None if action is None else _bounded(node, action(left, right))
    except (ArithmeticError, ValueError):
        raise _refuse(node, "this constant can't be computed") from None


def _is_literal(node: ast.expr | None) -> bool:
    """A number, bool, None, string, `tl.<dtype>`, or a tuple or list of such."""
    if isinstance(node, ast.Constant):
        if isinstance(node.value, str):
            return len(node.value) <= 1000
        return node.value is None or type(node.value) is bool or _number(node) is not None
    if isinstance(node, (ast.Tuple, ast.List)):
        return all(_is_literal(item) for item in node.elts)
    if isinstance(node, ast.Attribute):
        return _dotted(node) in {f"{base}.{name}" for base in ("tl", "triton.language") for name in DTYPE_NAMES}
    return node is not None and _number(node) is not None


def _dotted(node: ast.expr) -> str | None:
    """`a.b.c` as text, None for anything but names joined by dots."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if isinstance(node, ast.Name) else None


# --------------------------------------------------------------------------------------------------------------------
# The top level of the source: which definition of a name counts


class _Module:
    """The top-level names of a student's source; of several definitions the last one counts, as at run time."""

    def __init__(self, tree: ast.Module) -> None:
        self.bound: dict[str, ast.stmt] = {}
        for statement in tree.body:
            for name in _names_bound(statement):
                self.bound[name] = statement

    def function(self, name: str) -> ast.FunctionDef | None:
        found = self.bound.get(name)
        return found if isinstance(found, ast.FunctionDef) and _jit_decorator(found) else None

    def constant(self, name: str) -> ast.stmt | None:
        found = self.bound.get(name)
        return found if found is not None and _is_constant(found) else None


def _names_bound(statement: ast.stmt) -> set[str]:
    """Every name a top-level statement may bind, also deep inside (an `if`, a `for`, an import, a walrus)."""
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return {statement.name}
    names = set()
    for node in ast.walk(statement):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            names.add(node.id)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, ast.alias):
            names.add((node.asname or node.name).split(".")[0])
    return names


def _jit_decorator(function: ast.FunctionDef) -> bool:
    for decorator in function.decorator_list:
        target = decorator.func if isinstance(decorator, ast.Call) else decorator
        if _dotted(target) in ("triton.jit", "jit"):
            return True
    return False


def _is_constant(statement: ast.stmt) -> bool:
    """`NAME = literal`, `NAME = tl.constexpr(literal)`, `NAME: tl.constexpr = literal`."""
    if isinstance(statement, ast.Assign):
        if len(statement.targets) != 1 or not isinstance(statement.targets[0], ast.Name):
            return False
    elif not (isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name)):
        return False
    elif _dotted(statement.annotation) not in {"tl.constexpr", "triton.language.constexpr", *SCALAR_ANNOTATIONS}:
        return False
    value = statement.value
    if isinstance(value, ast.Call) and _dotted(value.func) in ("tl.constexpr", "triton.language.constexpr"):
        return len(value.args) == 1 and not value.keywords and _is_literal(value.args[0])
    return _is_literal(value)


# --------------------------------------------------------------------------------------------------------------------
# One function


class _Function:
    """Walks one jitted function; everything not named here is refused. Collects the outside names it uses."""

    def __init__(self, function: ast.FunctionDef, module: _Module) -> None:
        self.function, self.module = function, module
        self.functions: set[str] = set()
        self.constants: set[str] = set()
        self.locals = {arg.arg for arg in function.args.args}
        self.depth = 0
        for node in ast.walk(function):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                self.locals.add(node.id)

    def check(self) -> None:
        function = self.function
        self._signature(function)
        for name in self.locals:
            self._plain_name(name, function)
        self._block(function.body)

    # head
    def _signature(self, function: ast.FunctionDef) -> None:
        args = function.args
        if args.vararg or args.kwarg or args.kwonlyargs or args.posonlyargs:
            raise _refuse(function, f"{function.name}: a kernel takes plain parameters only, no *args, ** or /")
        if function.returns is not None or getattr(function, "type_params", None):
            raise _refuse(function, f"{function.name}: a kernel has no return annotation")
        for arg in args.args:
            self._annotation(arg.annotation)
        for default in args.defaults:
            if not _is_literal(default):
                raise _refuse(default, f"{function.name}: a default must be a number, a string, None or a tl dtype")
        *outer, innermost = function.decorator_list
        for decorator in outer:
            self._dropped_decorator(decorator)
        self._decorator(innermost)

    def _dropped_decorator(self, decorator: ast.expr) -> None:
        """What stands above @triton.jit chooses arguments in the launcher's process; `_bare` drops it unread."""
        if not isinstance(decorator, ast.Call) or _dotted(decorator.func) not in DROPPED_DECORATORS:
            name = self.function.name
            raise _refuse(decorator, f"{name} may carry @triton.autotune(...) and @triton.heuristics(...) above "
                          "@triton.jit, and no other decorator")  # fmt: skip

    def _decorator(self, decorator: ast.expr) -> None:
        """@triton.jit itself, which must be the innermost one."""
        if isinstance(decorator, ast.Call):
            for keyword in decorator.keywords:
                if keyword.arg not in JIT_OPTIONS or not _is_literal(keyword.value):
                    raise _refuse(decorator, f"triton.jit takes no `{keyword.arg}` here")
            if decorator.args:
                raise _refuse(decorator, "triton.jit takes keyword options only")
            decorator = decorator.func
        if _dotted(decorator) != "triton.jit":
            raise _refuse(decorator, "write @triton.jit, as the last decorator above the def")

    def _annotation(self, node: ast.expr | None) -> None:
        if node is None or (isinstance(node, ast.Constant) and node.value in ("tl.constexpr", "constexpr")):
            return
        allowed = {"tl.constexpr", "tl.tensor", "triton.language.constexpr", *SCALAR_ANNOTATIONS}
        if _dotted(node) not in allowed | {f"tl.{name}" for name in DTYPE_NAMES}:
            raise _refuse(node, "the only annotations are tl.constexpr, tl.tensor, int, float, bool and tl dtypes")
        if isinstance(node, ast.Name) and node.id in self.locals:
            raise _refuse(node, f"`{node.id}` is both a name and an annotation")

    def _plain_name(self, name: str, node: ast.AST) -> None:
        if name.startswith("__") or name.startswith("_tl_") or not name.isascii():
            raise _refuse(node, f"the name `{name}` is not allowed in a kernel")
        if name in ROOTS or name in BUILTINS and name in ("range", "print"):
            raise _refuse(node, f"`{name}` is taken: choose another name")

    # statements
    def statement(self, node: ast.stmt) -> None:
        handler = getattr(self, f"_do_{type(node).__name__}", None)
        if handler is None:
            raise _refuse(node)
        self._down(node)
        handler(node)
        self.depth -= 1

    def _down(self, node: ast.AST) -> None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise _refuse(node, "this code is nested too deep")

    def _block(self, body: list[ast.stmt]) -> None:
        for statement in body:
            self.statement(statement)

    def _target(self, node: ast.expr) -> None:
        if isinstance(node, ast.Tuple):
            for item in node.elts:
                self._target(item)
        elif not isinstance(node, ast.Name):
            raise _refuse(node, "in a kernel only names are assigned: memory is written with tl.store")

    def _do_Assign(self, node: ast.Assign) -> None:
        if len(node.targets) != 1:
            raise _refuse(node, "a = b = ... is not part of the Triton language: write two lines")
        self._target(node.targets[0])
        self.expression(node.value)

    def _do_AnnAssign(self, node: ast.AnnAssign) -> None:
        self._annotation(node.annotation)
        if not isinstance(node.target, ast.Name) or not node.simple or node.value is None:
            raise _refuse(node, "an annotated assignment is NAME: tl.constexpr = value")
        self.expression(node.value)

    def _do_AugAssign(self, node: ast.AugAssign) -> None:
        if not isinstance(node.target, ast.Name):
            raise _refuse(node, "in a kernel only names are assigned: memory is written with tl.store")
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
            raise _refuse(node, "while ... else is not part of the Triton language")
        self.expression(node.test)
        self._block(node.body)

    def _do_For(self, node: ast.For) -> None:
        if node.orelse or not isinstance(node.target, ast.Name) or node.type_comment:
            raise _refuse(node, "a loop in a kernel is `for NAME in range(...)`, without else")
        call = node.iter
        ranges = ("range", "tl.range", "tl.static_range", "triton.language.range", "triton.language.static_range")
        if not isinstance(call, ast.Call) or _dotted(call.func) not in ranges:
            raise _refuse(node, "a loop in a kernel runs over range, tl.range or tl.static_range")
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
            raise _refuse(node)
        self._down(node)
        handler(node)
        self.depth -= 1

    def _argument(self, node: ast.expr) -> None:
        """Where a string may stand: an argument of a call, a side of a comparison."""
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            if len(node.value) > 1000:
                raise _refuse(node, "this string is too long")
            return
        self.expression(node)

    def _see_Constant(self, node: ast.Constant) -> None:
        if node.value is not None and type(node.value) not in (bool, int, float):
            raise _refuse(node, f"a {type(node.value).__name__} can't stand here in a kernel")
        if type(node.value) is int:
            _bounded(node, node.value)

    def _see_Name(self, node: ast.Name) -> None:
        name = node.id
        if name in self.locals:
            return
        if name in ROOTS:
            raise _refuse(node, f"`{name}` stands here without a name behind it")
        called = self.module.function(name)
        if called is not None:
            if len(called.decorator_list) > 1:
                raise _refuse(node, f"`{name}` is tuned, so it is launched and not called: leave it only @triton.jit")
            self.functions.add(name)
        elif self.module.constant(name) is not None:
            self.constants.add(name)
            self._plain_name(name, node)
        elif name in self.module.bound:
            raise _refuse(node, f"`{name}` is neither a @triton.jit function nor a literal constant of the notebook")
        elif name not in BUILTINS:
            raise _refuse(node, f"`{name}` is not known in a kernel")

    def _see_Attribute(self, node: ast.Attribute) -> None:
        if not isinstance(node.ctx, ast.Load):
            raise _refuse(node, "attributes can't be assigned in a kernel")
        path = _dotted(node)
        root = path.split(".")[0] if path else None
        if root in ROOTS and root not in self.locals:
            self._language_name(node, path)
        elif node.attr not in MEMBERS:
            raise _refuse(node, f"`.{node.attr}` is not an attribute of the Triton language")
        else:
            self.expression(node.value)

    def _language_name(self, node: ast.Attribute, path: str) -> None:
        """`tl.<name>` and what may follow it (`tl.float32.primitive_bitwidth`)."""
        base, name = path.rsplit(".", 1)
        if base in NAMESPACES:
            if name not in NAMESPACES[base]:
                raise _refuse(node, f"`{path}` is not a name of the Triton language that may be used here")
        elif base in INNER or node.attr not in MEMBERS:
            raise _refuse(node, f"`{path}` is not a name of the Triton language that may be used here")
        else:
            self._language_name(node.value, base)

    def _see_Call(self, node: ast.Call) -> None:
        if not isinstance(node.func, (ast.Name, ast.Attribute)):
            raise _refuse(node, "only names can be called in a kernel")
        self.expression(node.func)
        for arg in node.args:
            self._argument(arg)
        for keyword in node.keywords:
            if keyword.arg is None or keyword.arg.startswith("_"):
                raise _refuse(node, f"the keyword `{keyword.arg or '**'}` is not allowed in a kernel")
            self._argument(keyword.value)

    def _operator(self, node: ast.BinOp | ast.AugAssign) -> None:
        if not isinstance(node.op, BINARY):
            raise LanguageError(str(_refuse(node.op).sentence), node.lineno)

    def _see_BinOp(self, node: ast.BinOp) -> None:
        self._operator(node)
        if _number(node) is None:
            self.expression(node.left)
            self.expression(node.right)

    def _see_UnaryOp(self, node: ast.UnaryOp) -> None:
        self.expression(node.operand)

    def _see_BoolOp(self, node: ast.BoolOp) -> None:
        for value in node.values:
            self.expression(value)

    def _see_Compare(self, node: ast.Compare) -> None:
        if len(node.ops) != 1:
            raise _refuse(node, "a < b < c is not part of the Triton language: write (a < b) & (b < c)")
        if not isinstance(node.ops[0], COMPARISONS):
            raise _refuse(node, "`in` is not part of the Triton language")
        self._argument(node.left)
        self._argument(node.comparators[0])

    def _see_IfExp(self, node: ast.IfExp) -> None:
        for part in (node.test, node.body, node.orelse):
            self.expression(part)

    def _see_Subscript(self, node: ast.Subscript) -> None:
        if not isinstance(node.ctx, ast.Load):
            raise _refuse(node, "a tile's element can't be assigned: use tl.where")
        self.expression(node.value)
        self._index(node.slice)

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


# --------------------------------------------------------------------------------------------------------------------
# The whole

_MAGIC = re.compile(r"^(\s*)([%!].*|\?.*|.*\S\?)$")


def _parse(source: str) -> tuple[ast.Module, str]:
    if len(source) > MAX_SOURCE:
        raise LanguageError(f"the source has {len(source)} characters; the limit is {MAX_SOURCE}")
    source = source.replace("\r\n", "\n").replace("\r", "\n")
    try:
        return ast.parse(source), source
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        plain = "\n".join(_MAGIC.sub(r"\1pass", line) for line in source.split("\n"))
    try:
        return ast.parse(plain), plain
    except SyntaxError as error:
        raise LanguageError(f"the source is not Python: {error.msg}", error.lineno or 0) from None
    except (ValueError, RecursionError, MemoryError):
        raise LanguageError("the source can't be read as Python") from None


def _bare(function: ast.FunctionDef) -> ast.FunctionDef:
    """The function with @triton.jit alone."""
    bare = copy.copy(function)
    bare.decorator_list = function.decorator_list[-1:]
    return bare


def _closure(module: _Module, needed: Collection[str]) -> tuple[dict[str, ast.FunctionDef], dict[str, ast.stmt]]:
    functions: dict[str, ast.FunctionDef] = {}
    constants: dict[str, ast.stmt] = {}
    waiting = sorted(needed)
    while waiting:
        name = waiting.pop()
        if name in functions:
            continue
        found = module.function(name)
        if found is None:
            raise LanguageError(f"there is no @triton.jit function named {name} at the top level of the source")
        checker = _Function(found, module)
        checker._plain_name(name, found)
        checker.check()
        functions[name] = _bare(found)
        constants |= {constant: module.constant(constant) for constant in checker.constants}
        waiting.extend(sorted(checker.functions))
    return functions, constants


def extract(source: str, needed: Collection[str]) -> str:
    """The jitted functions `needed`, with the jitted functions and literal constants they use, as source.

    Each statement keeps its line number, so a message about the result fits the source. Extracting twice changes
    nothing. Raises LanguageError with a sentence and a line.
    """
    tree, source = _parse(source)
    module = _Module(tree)
    try:
        functions, constants = _closure(module, needed)
    except RecursionError:
        raise LanguageError("this code is nested too deep") from None
    chosen = sorted([*functions.values(), *constants.values()], key=_first_line)
    result = _keep_lines(source, chosen)
    wanted = [ast.dump(statement) for statement in chosen]
    try:
        got = [ast.dump(statement) for statement in ast.parse(result).body]
    except (SyntaxError, ValueError):
        got = []
    if got == wanted:
        return result
    return ast.unparse(ast.Module(chosen, []))  # several statements on one line: exact, only without line numbers


def _first_line(statement: ast.stmt) -> tuple[int, int]:
    decorators = getattr(statement, "decorator_list", [])
    return min([statement.lineno, *(d.lineno for d in decorators)]), statement.col_offset


def _keep_lines(source: str, statements: list[ast.stmt]) -> str:
    lines = source.split("\n")
    kept = [""] * len(lines)
    for statement in statements:
        for number in range(_first_line(statement)[0] - 1, statement.end_lineno):
            kept[number] = lines[number]
    return "\n".join(kept).rstrip() + "\n"
