"""A notebook cell as the Python that IPython makes of it: the one reading of source that all judgements share.

A cell is read by IPython's own transformer, line by line in place: what stands on line 7 of the cell stands on line 7
of `Reading.python`. `%%time`, `%time` and `%%capture` are seen through; shell lines and the like become `pass`; what
can run Python that nobody reads (`%run`, `%timeit`, `!echo {x}`) stays a call of `get_ipython()`.

A cell that can't be read costs itself only: its Python is what stands above the mistake, and its error says where.
Not here: what names mean (course.checking.forbidden), and which cells are run (autograder.judging.needed).
"""

from __future__ import annotations

import ast
import functools
import re
import symtable
from collections.abc import Iterable, Iterator
from typing import NamedTuple

WORK = 6_000_000  # characters that IPython's transformer may go through for one notebook: a few seconds
SEEN_THROUGH = ("time", "capture")  # cell magics whose body runs as it stands
HARMLESS = frozenset("matplotlib autoreload pip conda cd pwd ls env pinfo pinfo2".split())
SHELL = frozenset("bash sh script html HTML javascript js latex markdown svg SVG perl ruby cmd ! sx system".split())
UNREADABLE = (SyntaxError, ValueError, RecursionError, MemoryError)
_ITS_OWN = re.compile(r"^\s*(?:[%!?,;/]|>>>|In \[|.*\?\s*$|.*=\s*[%!])")  # lines on which only IPython may be at home
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
    """The readings of a notebook's cells. Cells whose magics would take too long to go through count as unreadable."""
    left, found = WORK, []
    for source in sources:
        if _parses(source):
            found.append(_whole(source))
            continue
        left -= _work(source)
        found.append(_transformed(source) if left >= 0 else Reading("", "it has too many lines of IPython's own", 1))
    return found


def statements(python: str) -> list[ast.stmt]:
    """The statements of a reading's Python; none when it can't be parsed."""
    try:
        return ast.parse(python).body
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
    return frozenset(s.get_name() for s in table.get_symbols() if s.is_assigned() or s.is_imported())


def used_names(table: symtable.SymbolTable) -> Iterator[str]:
    """Names that code takes from the notebook: parameters and locals are its own."""
    top = table.get_type() == "module"
    for symbol in table.get_symbols():
        if symbol.is_referenced() if top else symbol.is_global():
            yield symbol.get_name()
    for child in table.get_children():
        yield from used_names(child)


@functools.lru_cache(maxsize=512)
def _parses(source: str) -> bool:
    try:
        ast.parse(source)
    except UNREADABLE:
        return False
    return True


@functools.lru_cache(maxsize=512)
def _whole(python: str) -> Reading:
    """Source that parses, up to the first statement that can't be compiled: IPython runs those above it."""
    try:
        symtable.symtable(python, "<cell>", "exec")
        return Reading(python)
    except UNREADABLE:
        pass
    for node in ast.parse(python).body:
        try:
            symtable.symtable(ast.unparse(node), "<cell>", "exec")
        except UNREADABLE as error:
            kept = python.split("\n")[: _first_line(node) - 1]
            return Reading("\n".join(kept), _words(error), _first_line(node))
    return Reading(python)


def _first_line(node: ast.stmt) -> int:
    return min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])


def _words(error: BaseException) -> str:
    if isinstance(error, SyntaxError):
        return error.msg or "it is no Python"
    return "it is nested too deep" if isinstance(error, RecursionError) else "it is no Python"


def _work(source: str) -> int:
    own = sum(bool(_ITS_OWN.match(line)) for line in source.splitlines())
    return len(source) * (1 + own)


@functools.lru_cache(maxsize=512)
def _transformed(source: str) -> Reading:
    """A cell that is no plain Python."""
    blank = len(source) - len(source.lstrip("\r\n \t"))
    above = source[:blank].count("\n")
    body = source.split("\n", above)[above] if above else source
    magic = _CELL_MAGIC.match(body.lstrip().split("\n", 1)[0])
    if magic:
        return _below(above, _of_magic(magic, body.lstrip().partition("\n")[2]))
    return _below(above, _of_lines(body))


def _below(lines: int, found: Reading) -> Reading:
    return found._replace(python="\n" * lines + found.python, line=found.line and found.line + lines)


def _of_magic(magic: re.Match, body: str) -> Reading:
    """`%%name line`, and the body below it."""
    name = magic[1]
    if name in SEEN_THROUGH:
        return _below(1, _whole(body) if _parses(body) else _transformed(body))
    written = _WRITEFILE.match(magic[0].strip())
    if written:
        text = _whole(body) if _parses(body) else Reading("", "it is no Python", 1)
        return _below(1, text)._replace(module=written[1])
    if name in SHELL and not _expands(magic[2] + body):
        return Reading("pass")
    return Reading(f"get_ipython().run_cell_magic({name!r})")


def _of_lines(source: str) -> Reading:
    python = source
    try:
        python = _transformer()().transform_cell(source)
        return _whole(python.removesuffix("\n")) if ast.parse(python) else Reading("")
    except SyntaxError as error:  # nothing of the cell runs, unless IPython takes its only line for a magic
        automagic = _AUTOMAGIC.match(source) and "\n" not in source.strip()
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

        def do_one_token_transform(self, lines: list[str]) -> tuple[bool, list[str]]:
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
