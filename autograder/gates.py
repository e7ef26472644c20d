"""What every exercise must show before it ships: the gates.

Solution full on ten seeds; stub zero; each misconception loses points and is named; each other right style full; an
answer computed one precision lower loses points. `run_gates` gives the table, `render` prints it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import torch

from autograder import recording, trials
from autograder.checks import Check, attempt, load
from autograder.unit import Unit
from course import cases
from course.subject import LocalSubject
from course.verdict import ExerciseVerdict

SEEDS = 10
STUB = "raise NotImplementedError"


class GateRow(msgspec.Struct):
    """One answer to one exercise and what became of it. `holds` says whether the gate does."""

    exercise: str
    answer: str
    kind: str
    score: float
    max_score: float
    named: str
    holds: bool
    says: str = ""


def run_gates(folder: Path | str, only: str | None = None, seeds: int = SEEDS) -> list[GateRow]:
    """Every gate of every exercise of the unit in `folder` (or of the one named `only`)."""
    unit = Unit.load(folder)
    checks, made = load(unit.checks_path), recording.record(unit)
    rows: list[GateRow] = []
    for name, solved in recording.namespaces(unit):
        if only in (None, name):
            rows += _exercise(unit, checks[name], made.check(name), solved, seeds)
    return rows


def _exercise(
    unit: Unit, check: Check, recorded: cases.CheckCases, solved: dict[str, Any], seeds: int
) -> list[GateRow]:
    rows = [_full(check, recorded, solved, "solution", "the solution", seeds)]
    rows += [_stub(check, recorded, solved), _fresh(check, solved)]
    if check.kind in ("function", "class"):
        rows += _lower_precision(check, recorded, solved)
    for right in (r for r in unit.rights if r.exercise == check.name):
        rows.append(_full(check, recorded, recording.alternative(right, solved), "right", right.name, 2))
    for wrong in (m for m in unit.misconceptions if m.exercise == check.name):
        verdict = judge_local(check, recorded, recording.alternative(wrong, solved))
        named = verdict.misconception.name if verdict.misconception else ""
        holds = verdict.score < verdict.max_score and named == wrong.name
        rows.append(_row(verdict, wrong.name, "wrong", holds))
    return rows


def judge_local(
    check: Check, recorded: cases.CheckCases, namespace: dict[str, Any], seed: int = 0, wrap: Callable | None = None
) -> ExerciseVerdict:
    """The judge's verdict with a subject of this process (no sandbox: our own code only)."""
    secret = trials.secret_seed(b"gates", str(seed), check.name, "", "")

    def make_subject() -> Any:
        subject = LocalSubject(namespace, check.name)
        return wrap(subject) if wrap else subject

    return trials.judge_exercise(check, recorded, make_subject, secret)


def render(rows: list[GateRow]) -> str:
    """The table as Markdown."""
    head = "| exercise | answer | gate | score | named | holds |\n|---|---|---|---|---|---|"
    body = (
        f"| {r.exercise} | {r.answer} | {r.kind} | {r.score:g} of {r.max_score:g} | {r.named} "
        f"| {'yes' if r.holds else 'NO: ' + r.says} |"
        for r in rows
    )
    return "\n".join([head, *body]) + "\n"


def _full(
    check: Check, recorded: cases.CheckCases, namespace: dict[str, Any], kind: str, answer: str, seeds: int
) -> GateRow:
    verdicts = [judge_local(check, recorded, namespace, seed) for seed in range(seeds)]
    worst = min(verdicts, key=lambda v: v.score)
    return _row(worst, answer, kind, worst.state == "passed")


def _stub(check: Check, recorded: cases.CheckCases, solved: dict[str, Any]) -> GateRow:
    namespace = dict(solved)
    if check.kind == "value":
        namespace[check.name] = None
    else:
        namespace[check.name] = _unwritten
    verdict = judge_local(check, recorded, namespace)
    return _row(verdict, "the stub", "stub", verdict.score == 0 and verdict.state == "not_attempted")


def _fresh(check: Check, solved: dict[str, Any]) -> GateRow:
    """Half the weight or more must lie on inputs that nobody has seen; a value is what it is."""
    made = [attempt(check, spec, LocalSubject(solved, check.name), 7) for spec in check.specs]
    share = sum(a.result.weight for a in made if a.fresh) / sum(a.result.weight for a in made)
    holds = share >= 0.5 or check.kind == "value"
    return GateRow(check.name, "weight on fresh inputs", "fresh", round(share, 2), 1, "", holds, "mostly fixed inputs")


def _unwritten(*args: Any, **kwargs: Any) -> Any:
    raise NotImplementedError("write this")


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


def _row(verdict: ExerciseVerdict, answer: str, kind: str, holds: bool) -> GateRow:
    failed = next((f"{t.title}: {t.says}" for t in verdict.trials if not t.passed), verdict.reason)
    named = verdict.misconception.name if verdict.misconception else ""
    return GateRow(verdict.name, answer, kind, verdict.score, verdict.max_score, named, holds, failed)


if __name__ == "__main__":
    import sys

    torch.set_num_threads(1)
    table = run_gates(sys.argv[1], *sys.argv[2:3])
    print(render(table))
    sys.exit(0 if all(r.holds for r in table) else 1)
