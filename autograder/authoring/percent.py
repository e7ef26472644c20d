"""The py:percent files of a unit, cell by cell, and the error that tells an author where something does not fit.

What it is: the reader of `# %%` lines and their keys, with the line of every cell.

What it is not: it does not know what a cell is for (`autograder.authoring.unit`, `autograder.authoring.answers`).
"""

from __future__ import annotations

import ast
import difflib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from course.errors import CourseError

JUPYTEXT_KEYS = ("cell_marker", "lines_to_next_cell")  # how the text was laid out; nothing an author wrote
KNOWN_KEYS = ("exercise", "check", "explain", "points", "optional", "tags", "wrong", "right", "of")


class AuthoringError(CourseError):
    """A mistake in a unit's sources: one sentence (`message`), with the file and line where the author finds it."""

    def __init__(self, message: str, file: Path | str, line: int = 1) -> None:
        self.message, self.file, self.line = message, Path(file), line
        super().__init__(f"{_short(self.file)}:{line}: {message}")


class Raw(NamedTuple):
    """A cell as jupytext reads it, and where its `# %%` line stands."""

    cell_type: str
    metadata: dict[str, Any]
    source: str
    file: Path
    line: int
    lines: list[str]


def read_cells(path: Path) -> Iterator[Raw]:
    """The cells of a py:percent file, through jupytext's own reader, one by one so that their lines stay known."""
    from jupytext.cell_reader import DoublePercentScriptCellReader
    from nbformat import ValidationError

    if not path.is_file():
        raise AuthoringError(
            f"this file is missing; a unit has notebook.py and checks.py (looked in {path.parent.name}/)", path
        )
    try:
        rest, line = path.read_text(encoding="utf-8").splitlines(), 1
    except UnicodeDecodeError:
        raise AuthoringError("this file is not UTF-8 text", path) from None
    while rest:
        reader = DoublePercentScriptCellReader({"extension": ".py", "format_name": "percent"}, "python")
        try:
            cell, length = reader.read(rest)
        except ValidationError as error:
            raise AuthoringError(f"no notebook can hold this cell's keys: {error.message}", path, line) from None
        if re.match(r"\s*#\s*%%", rest[0]):
            keys = {key: value for key, value in cell.metadata.items() if key not in JUPYTEXT_KEYS}
            yield Raw(cell.cell_type, keys, cell.source, path, line, rest[:length])
        else:
            _refuse_preamble(rest[:length], path, line)
        rest, line = rest[length:], line + length


def _refuse_preamble(lines: list[str], path: Path, line: int) -> None:
    """Before the first `# %%` only a docstring, comments and imports may stand; they reach no notebook."""
    allowed = ast.Import | ast.ImportFrom | ast.Expr
    try:
        body = ast.parse("\n".join(lines)).body
    except SyntaxError as error:
        raise AuthoringError(f"this is no Python: {error.msg}", path, line + (error.lineno or 1) - 1) from None
    for node in body:
        if not isinstance(node, allowed):
            raise AuthoringError(
                'code stands before the first "# %%" line and would reach no cell; put a "# %%" above it',
                path,
                line + node.lineno - 1,
            )


def refuse_unknown_keys(raw: Raw, allowed: set[str]) -> None:
    """Raises AuthoringError when the cell's line has a key that is not `allowed`; it names the nearest one."""
    for key, value in raw.metadata.items():
        if key in allowed:
            continue
        if key in ("title", "incorrectly_encoded_metadata"):
            raise AuthoringError(f'"{value}" after "# %%" is not a list of key="value"', raw.file, raw.line)
        close = difflib.get_close_matches(key, KNOWN_KEYS, n=1)
        hint = f' (did you mean "{close[0]}"?)' if close and close[0] != key else ""
        raise AuthoringError(
            f'unknown key "{key}"{hint}; this cell may have: {", ".join(sorted(allowed))}', raw.file, raw.line
        )


def name_of(raw: Raw, key: str) -> str:
    """What the cell's `key` names. Raises AuthoringError when that is no Python name."""
    name = raw.metadata[key]
    if not isinstance(name, str) or not name.isidentifier() or not name.isascii() or len(name) > 50:
        raise AuthoringError(
            f'{key}={name!r} is not a name; expected a Python name such as {key}="causal_mask"', raw.file, raw.line
        )
    return name


def parse(source: str, file: Path, line: int) -> ast.Module:
    """The tree of `source`, whose first line is `line` of `file`. Raises AuthoringError."""
    try:
        return ast.parse(source)
    except SyntaxError as error:
        raise AuthoringError(f"this is no Python: {error.msg}", file, line + (error.lineno or 1) - 1) from None


def near(name: str, candidates: Iterable[str]) -> str:
    """' (there is "NAME": a typo?)' for the candidate that looks most like `name`; "" when none does."""
    close = difflib.get_close_matches(name, candidates, n=1)
    return f' (there is "{close[0]}": a typo?)' if close else ""


def last_line(node: ast.stmt) -> int:
    """The line of its source in which a statement ends."""
    return node.end_lineno or node.lineno


def _short(file: Path) -> str:
    try:
        return str(file.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(file)
