"""What an answer is built on: a fault in `bpe_merge` shows up in `bpe_train`, which calls it.

What it is: the exercises that an answer stands on, and the sentences a verdict says when one of them is not right, or
when a cell that it needs stopped. What it is not: a judgement. A notebook can't tell whether the answer is right: the
learner is told where to look first, and no mistake is named, as what looks like one may come from below. The judge
tries the answer again on the course's own answers (autograder.judging.follow_on).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from course.checking.cells import Reading, bound_names
from course.checking.verdict import ExerciseVerdict

_NOT_DEFINED = re.compile(r"NameError: name '(\w+)' is not defined")


def shaky(name: str, mentions: Callable[[str], Iterable[str]], right: Callable[[str], bool]) -> list[str]:
    """Exercises that are not right and that `name` stands on, by itself or by way of what is right.

    mentions: from a name to those that its definition mentions. right: of an exercise; True for what is none.
    """
    todo, seen, found = [name], {name}, []
    for current in todo:  # grows
        for other in mentions(current):
            if other not in seen:
                seen.add(other)
                (todo if right(other) else found).append(other)
    return found


def built_on(name: str, mentions: Callable[[str], Iterable[str]], wrong: Iterable[str]) -> list[str]:
    """Exercises among `wrong`, in their order, that `name` stands on, by itself or by way of any other."""
    todo, seen = [name], {name}
    for current in todo:  # grows
        more = [other for other in dict.fromkeys(mentions(current)) if other not in seen]
        seen.update(more)
        todo += more
    return [other for other in wrong if other in seen and other != name]


def explain(verdict: ExerciseVerdict, below: list[str]) -> ExerciseVerdict:
    """The verdict, which says that it is built on the answers `below`, which are not right yet; without a name for what
    is wrong."""
    if below and verdict.state not in ("passed", "not_attempted", "missing"):
        names = " and ".join(below)
        few = len(below) == 1
        said = f"this may be right: it uses your {names}, which {'is' if few else 'are'} not right yet; mend "
        said += "that first" if few else "those first"
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
