"""What becomes of answers by fresh readers: people who saw a released notebook, and never a check or a misconception.

tests/answers/UNIT/wrong.py and right.py hold their answers, as `autograder.authoring.answers` reads them. A wrong one
loses points on every secret, the notebook shows it before, and it is told what is wrong: by the name of the
misconception that it is, or in words. A right one is full on every secret.

    python -m autograder.proof.readers UNIT [EXERCISE ...] [--secrets N]

prints what each gets, and the words. Whether the words suffice is for a person to say.
"""

from __future__ import annotations

import argparse
from collections.abc import Collection, Iterator
from pathlib import Path

import msgspec

from autograder import ROOT
from autograder.authoring import recording
from autograder.authoring.answers import Alternative, read_answers
from autograder.authoring.unit import Unit, find_unit
from autograder.proof import gates
from course.checking.verdict import ExerciseVerdict

ANSWERS = ROOT / "tests" / "answers"
SECRETS = 2


class Told(msgspec.Struct):
    """One answer and what became of it.

    share   of the points: the most that a wrong one kept on any secret, the least that a right one got
    green   does the notebook show it as right          named   the misconception that the notebook names, or ""
    says    what the notebook says, a sentence for each case that fails
    """

    exercise: str
    answer: str
    kind: str
    share: float
    green: bool
    named: str
    says: list[str]

    @property
    def holds(self) -> bool:
        """Is it judged as it should be? Of a right one also in the notebook."""
        return self.share == 1 and self.green if self.kind == "right" else self.share < 1 and not self.green


def answers_of(unit: Unit, folder: Path = ANSWERS) -> list[tuple[str, Alternative]]:
    """("wrong" or "right", answer) of every reader's answer to a unit. Raises AuthoringError."""
    solutions = {name: unit.solution_source(name) for name in unit.exercises}
    return [
        (kind, answer)
        for kind in ("wrong", "right")
        for answer in read_answers(folder / unit.folder.name / f"{kind}.py", kind, solutions)
    ]


def told(
    unit: Unit, only: Collection[str] | None = None, secrets: int = SECRETS, every: int = 1
) -> Iterator[Told]:
    """What becomes of every answer to a unit, or to the exercises in `only`; of each `every`-th one."""
    answers = answers_of(unit)[::every]
    asked = {answer.exercise for _, answer in answers}
    for check, made, solved in recording.recorded(unit, asked & set(only) if only else asked):
        for kind, answer in (pair for pair in answers if pair[1].exercise == check.name):
            spaces = [recording.alternative(answer, solved) for _ in range(1 + secrets)]  # of their own: some remember
            shown = gates.shown_by(check, made, spaces.pop())
            scores = [gates.judge_local(check, made, s, seed, shown=shown).score for seed, s in enumerate(spaces)]
            share = (min if kind == "right" else max)(scores) / made.points
            named = shown.misconception.name if shown and shown.misconception else ""
            yield Told(check.name, answer.name, kind, share, gates.green(shown), named, _words(shown))


def _words(shown: ExerciseVerdict | None) -> list[str]:
    if shown is None:
        return ["it ends the exercise"]
    if shown.kernel is not None:
        return shown.kernel.sentences() or [shown.reason]
    failed = [trial for trial in shown.trials if not trial.passed]
    values = "(given {0.given}; yours {0.got}; expected {0.expected})"
    return [f"{t.title}: {t.says} {values.format(t)}" for t in failed] or [shown.reason]


def main() -> None:
    """Print a line for each answer."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("unit")
    parser.add_argument("exercises", nargs="*")
    parser.add_argument("--secrets", type=int, default=SECRETS)
    asked = parser.parse_args()
    for row in told(Unit.load(find_unit(asked.unit)), asked.exercises, asked.secrets):
        mark, green = "    " if row.holds else "BAD ", " green" if row.green else ""
        print(f"{mark}{row.exercise}.{row.answer} [{row.kind}] {row.share:.2f}{green} {row.named}")
        for sentence in row.says[:4]:
            print(f"          {sentence[:300]}")


if __name__ == "__main__":
    main()
