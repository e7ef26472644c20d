"""Which earlier answers an answer is built on: a fault in `bpe_merge` shows up in `bpe_train`, which calls it.

What it is: the names of exercises that an answer's code reads, and the sentence a verdict says when one of them is not
right. What it is not: a judgement. Points are lost all the same; the learner is told where to look first.
"""

from __future__ import annotations

import dis
from collections.abc import Container, Iterator
from types import CodeType, FunctionType
from typing import Any

from course.checking.verdict import ExerciseVerdict

READS = ("LOAD_GLOBAL", "LOAD_NAME")


def used_by(answer: Any, exercises: Container[str]) -> list[str]:
    """Exercises whose names the code of a function or class reads, each once, in order of appearance."""
    found = (name for code in _codes(answer) for name in _reads(code) if name in exercises)
    return [name for name in dict.fromkeys(found) if name != getattr(answer, "__name__", "")]


def explain(verdict: ExerciseVerdict, shaky: list[str]) -> ExerciseVerdict:
    """The verdict, which says that it is built on answers that are not right yet."""
    if shaky and verdict.state not in ("passed", "not_attempted", "missing"):
        names = " and ".join(shaky)
        said = f"it uses your {names}, which {'is' if len(shaky) == 1 else 'are'} not right yet: look there first"
        verdict.reason = f"{verdict.reason}; {said}" if verdict.reason else said
    return verdict


def _codes(answer: Any) -> Iterator[CodeType]:
    parts = vars(answer).values() if isinstance(answer, type) else [answer]
    yield from (part.__code__ for part in parts if isinstance(part, FunctionType))


def _reads(code: CodeType) -> Iterator[str]:
    yield from (each.argval for each in dis.get_instructions(code) if each.opname in READS)
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from _reads(inner)
