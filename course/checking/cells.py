"""A notebook cell as the Python that IPython makes of it: the one reading of source that all judgements share.

A cell is read by IPython's own transformer, line by line in place: what stands on line 7 of the cell stands on line 7
of `Reading.python`. `%%time`, `%time` and `%%capture` are seen through; shell lines and the like become `pass`; what
can run Python that nobody reads (`%run`, `%timeit`, `!echo {x}`) stays a call of `get_ipython()`.

A cell that can't be read costs itself only: its Python is what stands above the mistake, and its error says where.
Not here: what names mean (course.checking.forbidden), and which cells are run (autograder.judging.needed).
"""

from __future__ import annotations

import ast
import collections
import functools
import re
import symtable
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

WORK = 400_000  # what going through lines with IPython's transformer may cost for one notebook: about a second
MOST_MAGICS = 20  # cell magics one below the other
MOST_MISTAKES = 5  # statements that parse and can't be compiled, one above the other
MOST_TOKENS = 60_000  # words and signs of a notebook that are read; the longest answered notebook has 20,000
TOO_MANY = "it has too many lines of IPython's own"
TOO_LONG = "the notebook has more code than is read"
NOT_UNDERSTOOD = "the reader of notebooks fails on it"
NOT_READ = (TOO_MANY, TOO_LONG, NOT_UNDERSTOOD)  # what Python might well run
SEEN_THROUGH = ("time", "capture")  # cell magics whose body runs as it stands
HARMLESS = frozenset("matplotlib autoreload pip conda cd pwd ls env pinfo pinfo2".split())
SHELL = frozenset("bash sh script html HTML javascript js latex markdown svg SVG perl ruby cmd ! sx system".split())
UNREADABLE = (SyntaxError, ValueError, RecursionError, MemoryError)
MOST_CROWDED = 2_000_000  # see _crowding
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
SCOPES = FUNCTIONS + COMPREHENSIONS
PLAIN = ("attr", "value", "type_comment", "module")  # fields of syntax trees in which a text is no name of a scope
_TOKEN = re.compile(r"\w+|[^\w ]")
_BLANKS = re.compile(r"[ \t\f]{9,}")
_WRITEFILE = re.compile(r"^%%(?:writefile|file)\s+(?:\./)?([A-Za-z_]\w*)\.py\s*$")
_AUTOMAGIC = re.compile(r"^\s*[A-Za-z_]\w*\s+\S")
_CELL_MAGIC = re.compile(r"^%%(\S+)(.*)$")


class Reading(NamedTuple):
    """python: see above. error: why the cell, or its rest, can't be read, in words; line: where, counted from 1.

    module: the name of the module that this cell writes (`%%writefile name.py`); `python` is its text then.
    """

    python: str
    error: str = ""
    line: int = 0
    module: str = ""


def read(source: str) -> Reading:
    """The reading of one cell."""
    return read_all([source])[0]


def read_all(sources: Iterable[str]) -> list[Reading]:
    """The readings of a notebook's cells. What would take too long counts as unreadable: see NOT_READ."""
    left, tokens, found = WORK, MOST_TOKENS, []
    for source in sources:
        if tokens >= 0:
            tokens -= _tokens(source)
        if tokens < 0:
            found.append(_NO_MORE)
            continue
        reading, cost = _read(source, left)
        left -= cost
        found.append(reading)
    return found


def _read(source: str, left: int) -> tuple[Reading, int]:
    """The reading of one cell, and what it cost of what is left of WORK."""
    try:
        if _parses(source):
            return _whole(source), 0
        return _transformed(source) if left >= 0 else (_REFUSED, 0)
    except Exception:  # a mistake of ours costs this cell, not the hand-in
        return Reading("", NOT_UNDERSTOOD, 1), 0


@functools.lru_cache(maxsize=512)
def _tokens(source: str) -> int:
    """Words, signs and lines: what parsing it costs, about."""
    return sum(1 for _ in _TOKEN.finditer(source))


def statements(python: str) -> list[ast.stmt]:
    """The statements of a reading's Python; none when it can't be parsed."""
    try:
        return ast.parse(python).body
    except UNREADABLE:
        return []


def parts(source: str, last: int = 0) -> list[str]:
    """The statements at the top of a cell, each as a text; none where it can't be read.

    last: the line after which none counts any more; 0: all count.
    """
    try:
        return [ast.unparse(node) for node in ast.parse(source).body if not last or node.lineno <= last]
    except UNREADABLE:
        return []


def bound_names(reading: Reading) -> frozenset[str]:
    """Names that a cell binds at its top level; none when it can't be read."""
    try:
        return bound(symtable.symtable(reading.python, "<cell>", "exec"))
    except UNREADABLE:
        return frozenset()


def bound(table: symtable.SymbolTable) -> frozenset[str]:
    """Names that are assigned or imported at the top of a table."""
    return frozenset(s.get_name() for s in _symbols(table) if s.is_assigned() or s.is_imported())


def used_names(table: symtable.SymbolTable) -> Iterator[str]:
    """Names that code takes from the notebook: parameters and locals are its own."""
    top = table.get_type() == "module"
    for symbol in _symbols(table):
        if symbol.is_referenced() if top else symbol.is_global():
            yield symbol.get_name()
    for child in table.get_children():
        yield from used_names(child)


def _symbols(table: symtable.SymbolTable) -> list[symtable.Symbol]:
    """What `table.get_symbols()` gives, without its namespaces: to find them it compares each name with each scope."""
    top = table.get_type() == "module"
    return [symtable.Symbol(name, flags, module_scope=top) for name, flags in table._table.symbols.items()]


@functools.lru_cache(maxsize=512)
def _parses(source: str) -> bool:
    return _parsed(source) is not None


@functools.lru_cache(maxsize=1)
def _parsed(source: str) -> ast.Module | None:
    """The syntax tree, or None; kept for who asks next."""
    try:
        return ast.parse(source)
    except UNREADABLE:
        return None


@functools.lru_cache(maxsize=512)
def _whole(python: str) -> Reading:
    """Source that parses, up to the first statement that can't be compiled: IPython runs those above it."""
    if _crowding(_parsed(python)) > MOST_CROWDED:
        return _NO_MORE
    found = Reading(python)
    for _ in range(MOST_MISTAKES):
        try:
            symtable.symtable(found.python, "<cell>", "exec")
            return found
        except UNREADABLE as error:
            found = _above(found.python, error)
    return found._replace(python="")


def _crowding(tree: ast.Module) -> int:
    """How many names Python's own symbol tables copy, at most: each function's, for every scope inside it."""
    names, scopes, around = collections.Counter(), collections.Counter(), {}
    todo: list[tuple[ast.AST, int]] = [(tree, 0)]
    while todo:
        node, function = todo.pop()
        if function:
            names[function] += sum(_identifiers(value) for name, value in vars(node).items() if name not in PLAIN)
        if isinstance(node, (*SCOPES, ast.ClassDef)):
            outer = function
            while outer:
                scopes[outer] += 1
                outer = around[outer]
            if not isinstance(node, ast.ClassDef):  # whose names are seen in no scope below
                around[id(node)], function = function, id(node)
        todo += ((child, function) for child in ast.iter_child_nodes(node))
    return sum(count * scopes[function] for function, count in names.items())


def _identifiers(value: Any) -> int:
    """How many names stand in a field of a syntax tree's node itself."""
    return sum(map(_identifiers, value)) if type(value) is list else isinstance(value, str)


def _above(python: str, error: BaseException) -> Reading:
    """What stands above the statement with this error; nothing where the error doesn't say which one it is."""
    line = getattr(error, "lineno", None) or 1
    begins = [first for node in ast.parse(python).body if (first := _first_line(node)) <= line]
    kept = python.split("\n")[: begins[-1] - 1] if begins else []
    return Reading("\n".join(kept), _words(error), begins[-1] if begins else 1)


def _first_line(node: ast.stmt) -> int:
    return min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])


def _words(error: BaseException) -> str:
    if isinstance(error, SyntaxError):
        return error.msg or "it is no Python"
    return "it is nested too deep" if isinstance(error, RecursionError) else "it is no Python"


_REFUSED, _NO_MORE = Reading("", TOO_MANY, 1), Reading("", TOO_LONG, 1)


class _TooMuch(Exception):
    """Going through a cell once more would cost too much."""


def _cost(lines: list[str]) -> int:
    """What going through lines once costs IPython's transformer, in steps of about 2 us: one for each character, four
    for each line, and more where it goes back and forth in a line (blanks, quotes, what stands before a question mark).
    """
    asked = any(line.rstrip().endswith("?") for line in lines)
    return sum(_cost_of_line(line, asked) for line in lines)


def _cost_of_line(line: str, asked: bool) -> int:
    blanks = sum(len(run) ** 2 // 12 for run in _BLANKS.findall(line))
    quotes = line.count("'''") + line.count('"' * 3)
    return 4 + len(line) + blanks + len(line) * (quotes + (len(line) if asked else 0)) // 2000


@functools.lru_cache(maxsize=512)
def _transformed(source: str) -> tuple[Reading, int]:
    """A cell that is no plain Python, and what reading it cost."""
    above, body = _first_of(source)
    for _ in range(MOST_MAGICS):
        magic = _CELL_MAGIC.match(body.lstrip().split("\n", 1)[0])
        if not magic:
            found, cost = _of_lines(body)
            return _below(above, found), cost
        rest = body.lstrip().partition("\n")[2]
        if magic[1] not in SEEN_THROUGH:
            return _below(above, _of_magic(magic, rest)), 0
        if _parses(rest):
            return _below(above + 1, _whole(rest)), 0
        blank, body = _first_of(rest)
        above += 1 + blank
    return _REFUSED, 0


def _first_of(source: str) -> tuple[int, str]:
    """How many blank lines stand above, and the source from the first other one on."""
    blank = len(source) - len(source.lstrip("\r\n \t"))
    above = source[:blank].count("\n")
    return above, source.split("\n", above)[above] if above else source


def _below(lines: int, found: Reading) -> Reading:
    return found._replace(python="\n" * lines + found.python, line=found.line and found.line + lines)


def _of_magic(magic: re.Match, body: str) -> Reading:
    """`%%name line`, and the body below it."""
    written = _WRITEFILE.match(magic[0].strip())
    if written:
        text = _whole(body) if _parses(body) else Reading("", "it is no Python", 1)
        return _below(1, text)._replace(module=written[1])
    if magic[1] in SHELL and not _expands(magic[2] + body):
        return Reading("pass")
    return Reading(f"get_ipython().run_cell_magic({magic[1]!r})")


def _of_lines(source: str) -> tuple[Reading, int]:
    transformer = _transformer()()
    try:
        return _by(transformer, source), WORK - transformer.left
    except _TooMuch:
        return _REFUSED, WORK


def _by(transformer: Any, source: str) -> Reading:
    """The reading of lines by IPython's transformer."""
    python = source
    try:
        transformer.spend(source.splitlines())
        python = transformer.transform_cell(source)
        return _whole(python.removesuffix("\n")) if ast.parse(python) else Reading("")
    except _TooMuch:
        raise
    except SyntaxError as error:  # nothing of the cell runs, unless IPython takes its only line for a magic
        automagic = "\n" not in source.strip() and _AUTOMAGIC.match(source)
        return Reading("get_ipython()" if automagic else "", _words(error), error.lineno or 1)
    except Exception as error:  # whatever IPython's transformer makes of odd text: it would not run the cell either
        return Reading("", _words(error), 1)


def _expands(line: str) -> bool:
    """IPython evaluates `{...}` and `$name` in lines for the shell and for magics."""
    return "{" in line or "$" in line


@functools.cache
def _transformer() -> type:
    """IPython's transformer, with every line left where it is. Imported where a cell needs it: it takes a while."""
    from IPython.core.inputtransformer2 import TransformerManager, cell_magic, leading_empty_lines

    class InPlace(TransformerManager):
        def __init__(self) -> None:
            super().__init__()
            self.cleanup_transforms = [t for t in self.cleanup_transforms if t is not leading_empty_lines]
            self.line_transforms = [t for t in self.line_transforms if t is not cell_magic]
            self.left = WORK

        def spend(self, lines: list[str]) -> None:
            """Raises _TooMuch where going through these lines once more would cost too much."""
            self.left -= _cost(lines)
            if self.left < 0:
                raise _TooMuch

        def do_one_token_transform(self, lines: list[str]) -> tuple[bool, list[str]]:
            self.spend(lines)
            changed, new = super().do_one_token_transform(lines)
            if changed:
                at = next((i for i, (a, b) in enumerate(zip(lines, new, strict=False)) if a != b), len(new) - 1)
                new = [*new[:at], _plain(new[at]), *["\n"] * (len(lines) - len(new)), *new[at + 1 :]]
            return changed, new

    return InPlace


def _plain(line: str) -> str:
    """A line that IPython's transformer wrote, as the Python that it stands for."""
    indent = line[: len(line) - len(line.lstrip())]
    try:
        statement = ast.parse(line.strip()).body[0]
    except (*UNREADABLE, IndexError):
        return line
    call = statement.value if isinstance(statement, (ast.Expr, ast.Assign)) else None
    if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute)):
        return line
    said = [each.value for each in call.args if isinstance(each, ast.Constant)]
    if call.func.attr == "run_line_magic" and said[0] == "time" and isinstance(statement, ast.Expr):
        return f"{indent}{said[1]}\n" if _parses(said[1]) and "\n" not in said[1] else line
    shell = call.func.attr in ("system", "getoutput") or (call.func.attr == "run_line_magic" and said[0] in HARMLESS)
    if not shell or _expands(" ".join(map(str, said))):
        return line
    said_nothing = f"{ast.unparse(statement.targets[0])} = []" if isinstance(statement, ast.Assign) else "pass"
    return f"{indent}{said_nothing}\n"
