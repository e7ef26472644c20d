"""Out of a source, the functions that a trace needs and what they use, written so that lines keep their numbers."""

from __future__ import annotations

import ast
import copy
import functools
from collections.abc import Collection
from typing import Any

from grader_kernels.language.constants import Constants, literal
from grader_kernels.language.functions import Walk, walk
from grader_kernels.language.names import Constant, Jitted, Record, Scope, Word, dotted, fields_of, may_be_field, same
from grader_kernels.language.refusing import LanguageError
from grader_kernels.language.words import DTYPE_NAMES, JIT_OPTIONS

MAX_SOURCE = 2_000_000
MAX_NODES = 40_000  # of the syntax trees of all functions that a launch needs; our flash attention has 800
UNREADABLE = (SyntaxError, ValueError, RecursionError, MemoryError)


def extract(source: str, needed: Collection[str], fields: Collection[str] = ()) -> str:
    """The jitted functions `needed`, with what they use, as source: functions, and below them one line for each other
    name. Each line of a function keeps its number, so a message about the result fits the source. Extracting twice
    changes nothing. Raises LanguageError with a sentence and a line.

    fields: of named tuples that the launches hand over, beside those that the source defines.
    """
    try:
        scope, source = _read(source)
        functions, others = _closure(scope, needed, fields)
    except RecursionError:
        raise LanguageError("this code is nested too deep") from None
    wanted = [_bare(found) for found in sorted(functions.values(), key=lambda found: found.node.lineno)]
    below = [_line(name, others[name]) for name in sorted(others)]
    kept = _keep_lines(source, list(functions.values()), wanted, below)
    return kept or "\n\n".join(ast.unparse(node) for node in [*wanted, *below]) + "\n"  # exact, without line numbers


@functools.lru_cache(maxsize=4)  # a notebook's kernels are asked for one by one
def _read(source: str) -> tuple[Scope, str]:
    """What the names of a source mean, and the source with plain line ends."""
    if len(source) > MAX_SOURCE:
        raise LanguageError(f"the source has {len(source)} characters; the limit is {MAX_SOURCE}")
    source = source.replace("\r\n", "\n").replace("\r", "\n")
    try:
        tree = ast.parse(source)
    except SyntaxError as error:
        raise LanguageError(f"the source is not Python: {error.msg}", error.lineno or 0) from None
    except UNREADABLE:
        raise LanguageError("the source can't be read as Python") from None
    return Scope(tree.body), source


def _closure(
    scope: Scope, needed: Collection[str], given: Collection[str]
) -> tuple[dict[str, Jitted], dict[str, Any]]:
    """(functions by their own names, what else they use by name)."""
    functions: dict[str, Jitted] = {}
    others: dict[str, Any] = {}
    fields = fields_of(scope) | {name for name in given if may_be_field(name)}
    waiting = [(name, _kernel(scope, name)) for name in sorted(needed)]
    nodes = 0
    while waiting:
        name, meaning = waiting.pop()
        if isinstance(meaning, Jitted):
            own = meaning.node.name
            if own != name:
                _add(others, name, meaning)
            if own not in functions:
                Walk.plain_name(own, meaning.node)
                functions[own] = meaning
                nodes += sum(1 for _ in ast.walk(meaning.node))
                if nodes > MAX_NODES:
                    raise LanguageError(f"{own}: a kernel with this much code is not read", meaning.node.lineno)
                waiting.extend(sorted(walk(meaning, fields).items(), key=lambda pair: pair[0]))
            elif functions[own].node is not meaning.node:
                raise _twice(own)
        else:
            _add(others, name, meaning)
    clash = sorted(set(functions) & set(others))
    if clash:
        raise _twice(clash[0])
    return functions, {name: meaning for name, meaning in others.items() if not _is_given(name, meaning)}


def _add(others: dict[str, Any], name: str, meaning: Any) -> None:
    if name in others and not same(others[name], meaning):
        raise _twice(name)
    others[name] = meaning


def _twice(name: str) -> LanguageError:
    return LanguageError(f"`{name}` means two things in the kernels of this source: give each its own name")


def _kernel(scope: Scope, name: str) -> Jitted:
    found = scope.kernels(name)
    if not found:
        raise LanguageError(f"there is no @triton.jit function named {name} in the source")
    if len(found) > 1:
        raise _twice(name)
    return found[0]


def _is_given(name: str, meaning: Any) -> bool:
    """Whether `replay.load` has the name already."""
    return isinstance(meaning, Word) and meaning.path == name


def _bare(jitted: Jitted) -> ast.FunctionDef:
    """The function with triton.jit alone, without annotations that say nothing to it, its defaults worked out."""
    node = copy.copy(jitted.node)
    node.args = copy.deepcopy(node.args)
    node.decorator_list = [_decorator(jitted)]
    node.returns = None
    for arg in node.args.args:
        arg.annotation = _annotation(arg.annotation, jitted.scope)
    node.args.defaults = [_default(default, jitted.scope) for default in node.args.defaults]
    return node


def _decorator(jitted: Jitted) -> ast.expr:
    if jitted.pure:
        return ast.parse("triton.constexpr_function", mode="eval").body
    jit = ast.parse("triton.jit", mode="eval").body
    given = jitted.call.keywords if isinstance(jitted.call, ast.Call) else []
    constants = Constants(jitted.scope)
    kept = [ast.keyword(k.arg, literal(constants.value(k.value))) for k in given if k.arg in JIT_OPTIONS]
    return ast.Call(jit, [], kept) if kept else jit


def _annotation(node: ast.expr | None, scope: Scope) -> ast.expr | None:
    """tl.constexpr and dtypes; triton takes no notice of others."""
    if node is None:
        return None
    text = node.value if isinstance(node, ast.Constant) else scope.path(node) or dotted(node)
    if not isinstance(text, str):
        return None
    if text.removeprefix("tl.") == "constexpr":
        return ast.parse("tl.constexpr", mode="eval").body
    if text in ("int", "float", "bool") and isinstance(node, ast.Name):
        return node
    known = text.startswith("tl.") and text.removeprefix("tl.") in DTYPE_NAMES
    return ast.parse(text, mode="eval").body if known else None


def _default(node: ast.expr, scope: Scope) -> ast.expr:
    return literal(Constants(scope).value(node))


def _line(name: str, meaning: Any) -> ast.stmt:
    """The assignment that gives a name its meaning."""
    if isinstance(meaning, Constant):
        value = literal(meaning.value)
        if meaning.constexpr:
            value = ast.Call(ast.parse("tl.constexpr", mode="eval").body, [value], [])
    elif isinstance(meaning, Record):
        value = ast.parse(f"namedtuple({name!r}, {meaning.fields!r})", mode="eval").body
    else:
        text = meaning.node.name if isinstance(meaning, Jitted) else meaning.path
        value = ast.parse(text, mode="eval").body
    return ast.fix_missing_locations(ast.Assign([ast.Name(name, ast.Store())], value, lineno=1))


# --------------------------------------------------------------------------------------------------------------------
# Lines


def _keep_lines(source: str, functions: list[Jitted], wanted: list[ast.FunctionDef], below: list[ast.stmt]) -> str:
    """The text, with every line of a function where it was; "" where that can't be."""
    lines = source.split("\n")
    kept = [""] * len(lines)
    for jitted, bare in zip(sorted(functions, key=lambda found: found.node.lineno), wanted, strict=True):
        node = jitted.node
        first, body = node.lineno - 1, node.body[0].lineno - 1
        if first < 1 or kept[first - 1] or body <= first:
            return ""
        kept[first - 1] = f"@{ast.unparse(bare.decorator_list[0])}"
        kept[first:body] = _head(node, bare, lines[first:body])
        kept[body : node.end_lineno] = lines[body : node.end_lineno]
    text = "\n".join([*"\n".join(kept).rstrip().split("\n"), *(ast.unparse(node) for node in below)]) + "\n"
    try:
        got = ast.parse(text).body
    except UNREADABLE:
        return ""
    return text if [ast.dump(node) for node in got] == [ast.dump(node) for node in [*wanted, *below]] else ""


def _head(node: ast.FunctionDef, bare: ast.FunctionDef, lines: list[str]) -> list[str]:
    """The lines from `def` to the body: as they are when nothing in them was changed, else one line and empty ones."""
    same_head = ast.dump(node.args) == ast.dump(bare.args) and node.returns is None
    if same_head and node.col_offset == 0:
        return lines
    short = copy.copy(bare)
    short.decorator_list, short.body = [], [ast.Pass()]
    return [ast.unparse(short).split("\n")[0], *[""] * (len(lines) - 1)]
