"""What every exercise must show before it ships: the gates.

Solution full; stub zero; each misconception loses points, is red in the notebook too, and is named; each
other right style full; an answer computed one precision lower loses points. `run_gates` gives the table, `render`
prints it.

    python -m autograder.proof.gates UNIT [EXERCISE] [--secrets N]

With --secrets every answer is judged on N of them, right ones and wrong ones. A wrong answer whose score depends on the
secret is paid by chance: its inputs are too easy.
"""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import msgspec
import torch

from autograder.authoring import recording
from autograder.authoring.checks import Check, attempt
from autograder.authoring.unit import Alternative, Unit, find_unit, stub
from autograder.judging import trials
from course.checking import cases
from course.checking.check import quiet
from course.checking.subject import LocalSubject
from course.checking.verdict import ExerciseVerdict
from grader_kernels.judging.judgement import recognise

SECRETS = {"solution": 2, "right": 2, "wrong": 1}  # right ones on many: autograder.proof.luck
LATE = "the notebook shows it as right: add a case"
LEAST_LOSS = 0.25  # of the group that a wrong kernel loses


class GateRow(msgspec.Struct):
    """One answer to one exercise and what became of it. `holds` says whether the gate does.

    score: on the secret where the gate is nearest to failing. apart: how far the scores on all secrets lie apart.
    """

    exercise: str
    answer: str
    kind: str
    score: float
    max_score: float
    named: str
    holds: bool
    says: str = ""
    apart: float = 0.0


def run_gates(folder: Path | str, only: Collection[str] | None = None, secrets: int | None = None) -> list[GateRow]:
    """Every gate of every exercise of the unit in `folder` (or of those in `only`).

    secrets: on how many each answer is judged; None for what `make test` can afford, SECRETS.
    """
    return [row for _, rows in prove(Unit.load(folder), only, secrets) for row in rows]


def prove(
    unit: Unit, only: Collection[str] | None = None, secrets: int | None = None
) -> Iterator[tuple[cases.CheckCases, list[GateRow]]]:
    """For each exercise of `run_gates`: its recorded cases and its gates."""
    counts = {kind: secrets or count for kind, count in SECRETS.items()}
    for check, made, solved in recording.recorded(unit, only):
        yield made, _exercise(unit, check, made, solved, counts)


def _exercise(
    unit: Unit, check: Check, recorded: cases.CheckCases, solved: dict[str, Any], counts: dict[str, int]
) -> list[GateRow]:
    def judged(kind: str, cell: Alternative | None = None) -> tuple[list[ExerciseVerdict], ExerciseVerdict | None]:
        """On each secret anew: an answer may remember something from call to call. A value can't.

        Right answers play the recorded cases once, before the first secret; wrong ones by themselves, as in a judge.
        What a wrong kernel gives on them was just recorded. The second of the two results is what the notebook shows.
        """
        times = 1 if check.kind == "value" else counts[kind]
        made = [recording.alternative(cell, solved) if cell else solved for _ in range(times)]
        if kind == "wrong" and recorded.kernel:
            shown = _recorded_name(recorded, cell.name)
        else:
            shown = shown_by(check, recorded, recording.alternative(cell, solved) if kind == "wrong" else made[0])
        told = [judge_local(check, recorded, made[seed % times], seed, shown=shown) for seed in range(counts[kind])]
        return told, shown

    rows = [_full(judged("solution")[0], "solution", "the solution")]
    rows.append(_stub(unit, check, recorded, solved))
    if check.kind != "kernel":  # a kernel's numbers and sizes are all fresh
        rows.append(_fresh(check, solved))
    if check.kind in ("function", "class"):
        rows += _lower_precision(check, recorded, solved)
    for right in (r for r in unit.rights if r.exercise == check.name):
        rows.append(_full(judged("right", right)[0], "right", right.name))
    for wrong in (m for m in unit.misconceptions if m.exercise == check.name):
        rows.append(_wrong(*judged("wrong", wrong), wrong))
    return rows


def green(shown: ExerciseVerdict | None) -> bool:
    """Does the notebook show an answer as right?"""
    return shown is not None and shown.state == "passed"


def _recorded_name(recorded: cases.CheckCases, wrong: str) -> ExerciseVerdict:
    """What the recorded task says of a wrong kernel: whom its outcomes look like."""
    known = recorded.kernel.known
    outcomes = next(mistake.outcomes for mistake in known if mistake.named.name == wrong)
    return ExerciseVerdict(recorded.name, 0.0, recorded.points, "failed", "", recognise(outcomes, known))


def shown_by(check: Check, recorded: cases.CheckCases, namespace: dict[str, Any]) -> ExerciseVerdict | None:
    """The verdict of the recorded cases; None where they end the exercise, which the judge will say."""
    with contextlib.suppress(Exception), quiet():
        return cases.play(recorded, LocalSubject(namespace, check.name))
    return None


def judge_local(
    check: Check,
    recorded: cases.CheckCases,
    namespace: dict[str, Any],
    seed: int = 0,
    wrap: Callable | None = None,
    shown: ExerciseVerdict | None = None,
) -> ExerciseVerdict:
    """The judge's verdict with a subject of this process (no sandbox: our own code only). shown: see trials."""
    secret = trials.secret_seed(b"gates", str(seed), check.name, "", "")

    def make_subject() -> Any:
        subject = LocalSubject(namespace, check.name)
        return wrap(subject) if wrap else subject

    return trials.judge_exercise(check, recorded, make_subject, secret, shown)


def render(rows: list[GateRow]) -> str:
    """The table as Markdown."""
    head = "| exercise | answer | gate | score | named | holds |\n|---|---|---|---|---|---|"
    body = (
        f"| {r.exercise} | {r.answer} | {r.kind} | {r.score:g} of {r.max_score:g} | {r.named} "
        f"| {'yes' if r.holds else 'NO: ' + r.says} |"
        for r in rows
    )
    return "\n".join([head, *body]) + "\n"


def _full(verdicts: list[ExerciseVerdict], kind: str, answer: str) -> GateRow:
    worst = min(verdicts, key=lambda v: v.score)
    return _row(worst, answer, kind, worst.state == "passed", _apart(verdicts))


def _wrong(verdicts: list[ExerciseVerdict], shown: ExerciseVerdict | None, wrong: Alternative) -> GateRow:
    """It loses points on every secret, is not green in the notebook before, and is named every time; a kernel loses
    the group that it should, and its verdict has the words."""
    worst = max(verdicts, key=lambda v: (_named(v) != wrong.name, v.score))
    missing = LATE if green(shown) else next((says for v in verdicts if (says := _as_stated(v, wrong))), "")
    holds = worst.score < worst.max_score and _named(worst) == wrong.name and not missing
    row = _row(worst, wrong.name, "wrong", holds, _apart(verdicts))
    row.says = missing or row.says
    return row


def _as_stated(verdict: ExerciseVerdict, wrong: Alternative) -> str:
    """What a kernel's verdict does not do that `loses=` and `says=` of its cell state; "" when all is well."""
    if not wrong.loses:
        return ""
    if verdict.kernel is None or verdict.kernel.reason:
        return f"it could not be judged: {verdict.reason}"
    group = verdict.kernel.group(wrong.loses)
    if group.won > group.weight * (1 - LEAST_LOSS):
        return f"{group.name} is {group.won:g} of {group.weight:g}"
    said = any(wrong.says in sentence for sentence in verdict.kernel.sentences())
    return "" if said else f"{wrong.says!r} is not said"


def _named(verdict: ExerciseVerdict) -> str:
    return verdict.misconception.name if verdict.misconception else ""


def _apart(verdicts: list[ExerciseVerdict]) -> float:
    scores = [verdict.score for verdict in verdicts]
    return round(max(scores) - min(scores), 9)


def _stub(unit: Unit, check: Check, recorded: cases.CheckCases, solved: dict[str, Any]) -> GateRow:
    """The cell as a student receives it: no points, also where it holds code that is to be repaired."""
    namespace = {name: value for name, value in solved.items() if name != check.name}
    with quiet():
        recording.execute(stub(unit.cell("exercise", check.name).source, check.name), namespace, "the stub")
    verdict = judge_local(check, recorded, namespace)
    given = verdict.state == "failed"  # something to repair
    return _row(verdict, "the stub", "stub", verdict.score == 0 and (given or verdict.state == "not_attempted"))


def _fresh(check: Check, solved: dict[str, Any]) -> GateRow:
    """Half the weight or more must lie on inputs that nobody has seen; a value is what it is."""
    made = [attempt(check, spec, LocalSubject(solved, check.name), 7) for spec in check.specs]
    share = sum(a.result.weight for a in made if a.fresh) / sum(a.result.weight for a in made)
    holds = share >= 0.5 or check.kind == "value"
    return GateRow(check.name, "weight on fresh inputs", "fresh", round(share, 2), 1, "", holds, "mostly fixed inputs")


def _lower_precision(check: Check, recorded: cases.CheckCases, solved: dict[str, Any]) -> list[GateRow]:
    """Round every float tensor that comes back to the next lower precision; only where floats come back at all."""
    touched: list[bool] = []
    verdict = judge_local(check, recorded, solved, wrap=lambda s: LowerPrecision(s, touched))
    if not touched:
        return []
    return [_row(verdict, "one precision lower", "precision", verdict.score < verdict.max_score)]


class LowerPrecision:
    """A subject whose float tensors were computed one precision lower (rounded there and back)."""

    LOWER = {torch.float64: torch.float32, torch.float32: torch.float16, torch.float16: torch.bfloat16}

    def __init__(self, subject: LocalSubject, touched: list[bool]) -> None:
        self._subject, self._touched = subject, touched

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._round(self._subject(*args, **kwargs))

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._subject, name)
        return (lambda *a, **k: self._round(found(*a, **k))) if callable(found) else found

    def _round(self, value: Any) -> Any:
        if isinstance(value, torch.Tensor) and value.dtype in self.LOWER:
            rounded = value.to(self.LOWER[value.dtype]).to(value.dtype)
            if not torch.equal(rounded.nan_to_num(), value.nan_to_num()):
                self._touched.append(True)
            return rounded
        if isinstance(value, (tuple, list)):
            return type(value)(self._round(v) for v in value)
        return value


def _row(verdict: ExerciseVerdict, answer: str, kind: str, holds: bool, apart: float = 0.0) -> GateRow:
    failed = next((f"{t.title}: {t.says}" for t in verdict.trials if not t.passed), verdict.reason)
    return GateRow(verdict.name, answer, kind, verdict.score, verdict.max_score, _named(verdict), holds, failed, apart)


def main(words: list[str]) -> int:
    """Print the table; 1 when a gate does not hold."""
    parser = argparse.ArgumentParser(prog="python -m autograder.proof.gates", description=__doc__.split("\n\n")[0])
    parser.add_argument("unit", help="as in course build: 02, attention or 02_attention")
    parser.add_argument("exercise", nargs="?")
    parser.add_argument("--secrets", type=int, metavar="N", help="judge every answer on N secrets")
    asked = parser.parse_args(words)
    torch.set_num_threads(1)
    rows = run_gates(find_unit(asked.unit), [asked.exercise] if asked.exercise else None, asked.secrets)
    print(render(rows))
    for row in (row for row in rows if row.apart):
        print(f"{row.exercise}, {row.answer}: the scores on {asked.secrets} secrets lie {row.apart:g} apart")
    return 0 if all(row.holds for row in rows) else 1


if __name__ == "__main__":
    import sys

    sys.exit(main(sys.argv[1:]))
