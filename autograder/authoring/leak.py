"""Does code that must stay with the instructor stand where a student or a worker can read it?

What it is: the secret lines of a unit (solutions, checks, misconceptions, other right styles) and a search for them in
the files of a folder, notebooks and npz files included. Sentences - hints, titles, explanations - are meant to ship and
are no secrets; neither is a line that a student is shown on purpose in a given cell.

What it is not: proof that no paraphrase leaks. It compares lines, with spaces and comments taken out.
"""

from __future__ import annotations

import ast
import io
import json
import re
import tokenize
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from autograder.authoring.unit import Unit, regions, stub

AT_LEAST = 12  # shorter lines say nothing: `return x`, `else:`
TRIVIAL = re.compile(r"""(?x)
    (async\s)?def\s | class\s | import\s | from\s.*\simport\s | @           # signatures, imports, decorators
  | super\(\)\.__init__\(\)$ | raise\s\w+(\(\))?$ | \)?\s*->.*:$            # what every class has, ends of signatures
  | [rbuf]?(?P<q>["']).*(?P=q)\s*[,)\]]*$                                   # a sentence alone on its line
""")


def leaks(unit: Unit, folder: Path | str) -> list[str]:
    """One sentence for each secret line of `unit` that occurs in a file below `folder`; empty when all is well."""
    secrets = secret_lines(unit)
    found = []
    for path in sorted(p for p in Path(folder).rglob("*") if p.is_file()):
        text = _normalised_text(readable(path))
        found += [
            f"{path}: holds a line of {unit.id} that must not ship: {line}" for line in sorted(secrets) if line in text
        ]
    return found


def secret_lines(unit: Unit, at_least: int = AT_LEAST) -> set[str]:
    """The lines of code that must not ship, normalised; compare with `normalise(line)` or look for them in a text.

    at_least  shortest line that counts. Walks over large foreign trees (a worker's file system) want about 30: short
              lines also occur in other people's code.
    """
    shown = _shown(unit)
    secrets = {line for source in _secret_sources(unit) for line in code_lines(source) if len(line) >= at_least}
    return {line for line in secrets if not TRIVIAL.match(line) and line not in shown}


def readable(path: Path) -> str:
    """All text in a file: every string of a notebook, every array of an npz, the bytes of anything else."""
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as arrays:
            return "\n".join(_array_text(arrays[name]) for name in arrays.files)
    text = path.read_bytes().decode("utf-8", "ignore")
    return _json_text(text) if path.suffix in (".ipynb", ".json") else text


def normalise(line: str) -> str:
    """A line without the spaces that make no difference."""
    return re.sub(r"\s+", " ", line).strip()


def code_lines(source: str) -> Iterator[str]:
    """The lines of Python code in `source`, normalised, without comments and docstrings."""
    try:
        hidden = _docstring_lines(ast.parse(source))
        comments = dict(_comments(source))
    except (SyntaxError, tokenize.TokenError):
        hidden, comments = set(), {}
    for number, line in enumerate(source.split("\n"), 1):
        if number not in hidden:
            yield normalise(line[: comments.get(number)])


def _secret_sources(unit: Unit) -> Iterator[str]:
    for cell in unit.cells:
        if cell.kind == "exercise":
            lines = cell.source.split("\n")
            yield from (_dedented(lines[region.begin + 1 : region.end]) for region in regions(cell.source))
    yield from (alternative.source for alternative in (*unit.misconceptions, *unit.rights))
    yield unit.checks_path.read_text(encoding="utf-8")


def _dedented(lines: list[str]) -> str:
    """A solution region as a program of its own, so that its comments and docstrings can be found."""
    return "def _():\n" + "\n".join("    " + line for line in lines) if lines else ""


def _shown(unit: Unit) -> str:
    """What a student is given on purpose: code cells, prompts with their docstrings, fenced blocks of the prose."""
    given = [stub(cell.source, cell.name) for cell in unit.cells if cell.kind in ("code", "exercise")]
    for cell in unit.cells:
        if cell.kind == "text":
            given += re.findall(r"^```\w*\n(.*?)^```", cell.source, re.M | re.S)
    return _normalised_text("\n".join(given))


def _docstring_lines(tree: ast.Module) -> set[int]:
    """Numbers of the lines that only hold a string nobody uses."""
    strings = (node for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
    return {n for node in strings if isinstance(node.value.value, str) for n in range(node.lineno, node.end_lineno + 1)}


def _comments(source: str) -> Iterator[tuple[int, int]]:
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start


def _array_text(array: np.ndarray) -> str:
    if array.dtype.kind in "SU":
        return "\n".join(str(part) for part in array.ravel())
    return _json_text(array.tobytes().decode("utf-8", "ignore")) if array.dtype == np.uint8 else ""


def _json_text(text: str) -> str:
    """Every string in a JSON text, keys too; the text itself when it is not JSON."""
    try:
        return "\n".join(_strings(json.loads(text)))
    except ValueError:
        return text


def _strings(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list) and value and all(isinstance(part, str) for part in value):
        yield "".join(value) if value[0].endswith("\n") else "\n".join(value)  # a cell's source is a list of lines
    elif isinstance(value, (list, dict)):
        for part in [*value, *value.values()] if isinstance(value, dict) else value:
            yield from _strings(part)


@lru_cache(maxsize=8)
def _normalised_text(text: str) -> str:
    return "\n".join(normalise(line) for line in text.split("\n"))
