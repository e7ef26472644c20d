"""Wrong answers and other right styles: the cells of `misconceptions.py` and `right.py`.

What it is: the reader of both files. Below its docstring a cell holds a whole answer, or nothing but edits of a right
one, so that a reader sees the mistake and not what it shares with the solution:

    # %% exercise="LayerNorm" wrong="unbiased_variance"
    edit("correction=0", "correction=1")

    edit(old, new)            `old` stands once in the solution, `new` takes its place; edits follow one after another
    edit(old, new, times=3)   `old` stands three times, and each is replaced
    # %% ... of="loops"       what is edited is the style "loops" of right.py instead of the solution

Text of several lines is whole lines, written at any indentation: `new` gets the indentation that `old` has.

What it is not: no edit is executed, and neither is an answer (`autograder.authoring.recording` runs them).
"""

from __future__ import annotations

import ast
import os
import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from autograder.authoring.percent import (
    AuthoringError,
    Raw,
    last_line,
    name_of,
    near,
    parse,
    read_cells,
    refuse_unknown_keys,
)

ALLOWED = {"wrong": {"exercise", "wrong", "of"}, "right": {"exercise", "right"}}
OF_PROBLEM = {"wrong": {"wrong", "of", "loses", "says"}, "right": {"right"}}  # in a kernel problem's folder


@dataclass(frozen=True)
class Alternative:
    """One cell of `misconceptions.py` or `right.py`: a full replacement of an exercise cell.

    sentence  the explanation a learner reads (a misconception has one; a right style may)
    next      the next step, "" where none is given
    source    the whole code without the leading docstring, also where the author wrote edits
    loses, says   of a kernel: the group it loses, and words that its verdict holds
    """

    exercise: str
    name: str
    sentence: str
    next: str
    source: str
    file: Path
    line: int
    loses: str = ""
    says: str = ""


class Edit(NamedTuple):
    """One `edit(old, new)`. line: of the call, from 1 in its file."""

    old: str
    new: str
    times: int
    file: Path
    line: int


def read_answers(
    path: Path, key: str, solutions: Mapping[str, str], rights: Iterable[Alternative] = (), of_problem: str = ""
) -> list[Alternative]:
    """The cells of a file in order; none when there is no such file.

    key        "wrong" or "right": which of the two files it is
    solutions  solved source of every exercise; what edits change
    rights     right styles that a cell may name with of= and change instead
    of_problem the kernel problem that the file belongs to: its cells name no exercise

    Raises AuthoringError.
    """
    found: list[Alternative] = []
    bases = {(right.exercise, right.name): right.source for right in rights}
    for raw in read_cells(path) if path.is_file() else ():
        if raw.cell_type == "code" and raw.metadata:
            refuse_unknown_keys(raw, (OF_PROBLEM if of_problem else ALLOWED)[key])
            if of_problem:
                raw.metadata["exercise"] = of_problem
            answer = _answer(raw, key, solutions, bases)
            _refuse_second(answer, key, found)
            found.append(answer)
    return found


def _refuse_second(answer: Alternative, key: str, before: list[Alternative]) -> None:
    for other in before:
        if (other.exercise, other.name) == (answer.exercise, answer.name):
            raise AuthoringError(
                f'{key}="{other.name}" for "{other.exercise}" stands twice, first in line {other.line}',
                answer.file,
                answer.line,
            )


def _answer(
    raw: Raw, key: str, solutions: Mapping[str, str], bases: Mapping[tuple[str, str], str]
) -> Alternative:
    exercise, name = _names(raw, key, solutions)
    sentence, following, source, edits = _content(raw)
    if key == "wrong" and not sentence:
        raise AuthoringError(
            f'misconception "{name}" has no sentence; begin the cell with a docstring that explains it',
            raw.file,
            raw.line,
        )
    if not source.strip():
        raise AuthoringError(f'{key}="{name}" has no code', raw.file, raw.line)
    base = _base(raw, exercise, solutions[exercise], bases, edits)
    told = {word: str(raw.metadata.get(word, "")) for word in ("loses", "says")}
    source = edited(base, edits) if edits else source
    return Alternative(exercise, name, sentence, following, source, raw.file, raw.line, **told)


def _names(raw: Raw, key: str, exercises: Iterable[str]) -> tuple[str, str]:
    for needed in ("exercise", key):
        if needed not in raw.metadata:
            raise AuthoringError(f'this cell has no {needed}; expected exercise="..." {key}="..."', raw.file, raw.line)
    exercise, name = name_of(raw, "exercise"), name_of(raw, key)
    if exercise not in exercises:
        raise AuthoringError(
            f'{key}="{name}" is for exercise "{exercise}", which is not in the notebook{near(exercise, exercises)}',
            raw.file,
            raw.line,
        )
    return exercise, name


def _content(raw: Raw) -> tuple[str, str, str, list[Edit]]:
    """First and second paragraph of the docstring a cell may begin with, the code below it, and its edits."""
    tree = parse(raw.source, raw.file, raw.line + 1)
    text = ast.get_docstring(tree)
    if text is None:
        return "", "", raw.source, _edits(raw, tree.body)
    paragraphs = [" ".join(part.split()) for part in re.split(r"\n\s*\n", text) if part.strip()]
    code = "\n".join(raw.source.split("\n")[last_line(tree.body[0]) :]).strip("\n")
    return (*(paragraphs + ["", ""])[:2], code, _edits(raw, tree.body[1:]))


# Edits


def _edits(raw: Raw, body: list[ast.stmt]) -> list[Edit]:
    """The edits a cell consists of; none when it is a whole answer."""
    if not any(_is_edit(statement) for statement in body):
        return []
    for statement in body:
        if not _is_edit(statement):
            raise AuthoringError(
                "a cell holds edits or a whole answer, this one mixes them; write this line as an edit, too",
                raw.file,
                raw.line + statement.lineno,
            )
    return [_edit(raw, statement.value) for statement in body]


def _is_edit(statement: ast.stmt) -> bool:
    call = statement.value if isinstance(statement, ast.Expr) else None
    return isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "edit"


def _edit(raw: Raw, call: ast.Call) -> Edit:
    line = raw.line + call.lineno
    texts = [node.value for node in call.args if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    times = {word.arg: word.value.value for word in call.keywords if isinstance(word.value, ast.Constant)}
    number = times.get("times", 1)
    known = len(call.args) == len(texts) == 2 and len(call.keywords) == len(times) and times.keys() <= {"times"}
    if not known or not texts[0].strip() or type(number) is not int or number < 1:
        told = 'expected edit("old text", "new text") with two plain strings, and times=N behind if need be'
        raise AuthoringError(told, raw.file, line)
    old, new = _dedented(*texts)
    if old == new:
        raise AuthoringError("this edit changes nothing: old and new text are the same", raw.file, line)
    return Edit(old, new, number, raw.file, line)


def _dedented(*texts: str) -> list[str]:
    """Texts of several lines without the indentation that all these lines share, and without the breaks beside the
    quotes; other texts as they are."""
    lines = [line for text in texts if "\n" in text for line in text.split("\n") if line.strip()]
    shared = len(margin := os.path.commonprefix(lines)) - len(margin.lstrip())
    return [_shifted(text, shared) if "\n" in text else text for text in texts]


def _shifted(text: str, left: int) -> str:
    lines = [line[left:] if line.strip() else "" for line in text.split("\n")]
    return "\n".join(lines).removeprefix("\n").removesuffix("\n")


def _base(
    raw: Raw, exercise: str, solution: str, bases: Mapping[tuple[str, str], str], edits: list[Edit]
) -> str:
    """What the cell's edits change: the solution, or the right style that `of=` names."""
    if "of" not in raw.metadata:
        return solution
    if not edits:
        raise AuthoringError("of= says what is edited, and this cell is a whole answer", raw.file, raw.line)
    name, styles = name_of(raw, "of"), [style for owner, style in bases if owner == exercise]
    if name not in styles:
        raise AuthoringError(
            f'of="{name}" is no style of "{exercise}" in right.py{near(name, styles)}', raw.file, raw.line
        )
    return bases[exercise, name]


def edited(base: str, edits: list[Edit]) -> str:
    """`base` after all edits, one after another. Raises AuthoringError with the line of the one that does not fit."""
    source = base
    for edit in edits:
        source = _applied(edit, source)
    if source == base:
        raise AuthoringError("these edits change nothing: they undo each other", edits[-1].file, edits[-1].line)
    try:
        ast.parse(source)
    except SyntaxError as error:
        told = f"the edited text is no Python: {error.msg}, in its line {error.lineno}"
        raise AuthoringError(told, edits[-1].file, edits[-1].line) from None
    return source


def _applied(edit: Edit, source: str) -> str:
    places = list(_places(edit.old, source))
    if not places:
        raise AuthoringError(f"the old text is not in what is edited: {_quoted(edit.old)}", edit.file, edit.line)
    if len(places) != edit.times:
        raise AuthoringError(
            f"the old text stands there {len(places)} times instead of {_times(edit.times)}: {_quoted(edit.old)}; "
            "write more of the line around it, or times=N",
            edit.file,
            edit.line,
        )
    for start, end, indent in reversed(places):
        source = source[:start] + textwrap.indent(edit.new, indent).removeprefix(indent) + source[end:]
    return source


def _places(old: str, source: str) -> Iterator[tuple[int, int, str]]:
    """Where `old` stands: start, end, and the indentation of that line. Text of several lines is whole lines."""
    pattern = re.escape(old)
    if "\n" in old:
        lines = [f"(?P=indent){re.escape(line)}" if line.strip() else "[ \t]*" for line in old.split("\n")]
        lines[0] = f"^(?P<indent>[ \t]*){re.escape(old.split(chr(10))[0])}"
        pattern = "\n".join(lines) + "$"
    for match in re.finditer(pattern, source, re.M):
        start = match.end("indent") if "indent" in match.groupdict() else match.start()
        before = source[source.rfind("\n", 0, start) + 1 : start]
        yield start, match.end(), before[: len(before) - len(before.lstrip())]


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"


def _quoted(text: str) -> str:
    """The first line of `text`, to be recognised by."""
    first, *more = text.strip("\n").split("\n")
    return f'"{first.strip()}"' + (" ..." if more else "")
