"""What an answer is built on: a fault in `bpe_merge` shows up in `bpe_train`, which calls it.

What it is: the exercises that an answer stands on, and the sentences a verdict says when one of them is not right, or
when a cell that it needs stopped. What it is not: a judgement. Points are lost all the same; the learner is told where
to look first, and no mistake is named: what looks like one may come from below.
"""

from __future__ import annotations

import dis
import inspect
import re
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from types import CodeType, FunctionType
from typing import Any

from course.checking.cells import Reading, bound_names
from course.checking.verdict import ExerciseVerdict

_NOT_DEFINED = re.compile(r"NameError: name '(\w+)' is not defined")
READS = ("LOAD_GLOBAL", "LOAD_NAME")


def used_by(name: str, namespace: Mapping[str, Any], exercises: Container[str]) -> list[str]:
    """Exercises whose names the code of `namespace[name]` reads, itself or by way of other functions and classes of the
    notebook, each once, the nearest first."""
    todo, seen, found = [name], {name}, []
    for current in todo:  # grows
        reads = dict.fromkeys(each for code in _codes(namespace.get(current), namespace) for each in _reads(code))
        new = [each for each in reads if each not in seen]
        seen |= set(new)
        found += [each for each in new if each in exercises]
        todo += [each for each in new if each not in exercises]
    return found


def shaky(name: str, uses: Callable[[str], Iterable[str]], right: Callable[[str], bool]) -> list[str]:
    """Exercises that are not right and that `name` stands on: it uses them, or right ones that do."""
    todo, seen, found = [name], {name}, []
    for current in todo:  # grows
        new = [other for other in uses(current) if other not in seen]
        seen |= set(new)
        stand = {other: right(other) for other in new}
        todo += [other for other in new if stand[other]]
        found += [other for other in new if not stand[other]]
    return found


def explain(verdict: ExerciseVerdict, shaky: list[str]) -> ExerciseVerdict:
    """The verdict, which says that it is built on answers that are not right yet."""
    if shaky and verdict.state not in ("passed", "not_attempted", "missing"):
        names = " and ".join(shaky)
        said = f"it uses your {names}, which {'is' if len(shaky) == 1 else 'are'} not right yet: look there first"
        verdict.reason = f"{verdict.reason}; {said}" if verdict.reason else said
        verdict.misconception = None
    return verdict


class Stopped:
    """The cells of a notebook that stopped with an error: what is not there because of them."""

    def __init__(self) -> None:
        self.said: dict[str, str] = {}  # from exercises to what their own cells stopped with
        self.names: dict[str, str] = {}  # from names to what the cells that should have bound them stopped with

    def note(self, exercise: str, cell: Reading, error: str) -> None:
        """A cell stopped. exercise: which one it answers, "" for none."""
        self.said |= {exercise: error} if exercise else {}
        self.names |= dict.fromkeys(bound_names(cell), error)

    def explain(self, verdict: ExerciseVerdict) -> ExerciseVerdict:
        """The verdict, which says that a cell stopped where that is why something is not there."""
        if verdict.state == "missing" and verdict.name in self.said:
            verdict.state, verdict.reason = "crashed", f"its cell stopped with {self.said[verdict.name]}"
        missed = {name for trial in verdict.trials for name in _NOT_DEFINED.findall(trial.says)} & self.names.keys()
        for name in sorted(missed)[:1]:
            told = f"the cell that should bring `{name}` stopped with {self.names[name]}"
            verdict.reason = f"{verdict.reason}; {told}" if verdict.reason else told
        return verdict


def _codes(answer: Any, namespace: Mapping[str, Any]) -> Iterator[CodeType]:
    """The code of a function or class of the notebook; of what is imported, none."""
    parts = vars(answer).values() if isinstance(answer, type) else [answer]
    functions = (inspect.unwrap(part) for part in parts if isinstance(part, FunctionType))
    here = namespace.get("__name__")
    yield from (each.__code__ for each in functions if each.__globals__.get("__name__") == here)


def _reads(code: CodeType) -> Iterator[str]:
    yield from (each.argval for each in dis.get_instructions(code) if each.opname in READS)
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from _reads(inner)
