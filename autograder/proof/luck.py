"""Is a right answer ever refused? Solutions and the other right styles, on many secrets.

A comparison that asks for more digits than there are refuses a right answer on a few secrets in a hundred: nobody sees
it on the few of the gates, and a student pays.

    python -m autograder.proof.luck UNIT [EXERCISE] [--secrets N]
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch

from autograder.authoring import recording
from autograder.authoring.checks import Check, Kernel, TrialSpec, attempt, load
from autograder.authoring.unit import Unit, find_unit
from autograder.judging.trials import KERNEL, secret_seed
from course.checking import cases
from course.checking.check import quiet
from course.checking.subject import LocalSubject, Subject
from course.checking.verdict import TrialResult
from grader_kernels.judging.judgement import Judgement


class Refusal(NamedTuple):
    """A case, a trial or a kernel's group that a right answer did not win whole, on the secret of this number."""

    exercise: str
    answer: str
    secret: int
    title: str
    says: str


def refusals(
    folder: Path, secrets: int, only: Collection[str] | None = None, of_kernels: int | None = None
) -> Iterator[Refusal]:
    """Every refusal of a right answer to the unit's exercises, or to those in `only`. Secrets count from 0.

    of_kernels: on how many secrets kernels are judged, if not on as many as the rest. A value is the same on all.
    """
    unit = Unit.load(folder)
    checks = load(unit.checks_path)
    asked = [name for name in unit.exercises if name in checks and (only is None or name in only)]
    for name, solved in recording.namespaces(unit, asked[-1]) if asked else ():
        if name in asked:
            answers = _answers(unit, name, solved)
            refused = _refused_kernel if checks[name].kind == "kernel" else _refused
            times = {"value": 1, "kernel": secrets if of_kernels is None else of_kernels}
            for secret in range(times.get(checks[name].kind, secrets)):
                yield from refused(checks[name], answers, secret)


def few_inputs(folder: Path, secrets: int) -> Iterator[tuple[str, str, int]]:
    """Every recorded case whose inputs repeat: exercise, title, and how many different ones `secrets` draws have.

    Who knows the recorded answer of such a case is now and then asked the same again. A case that asks the same always
    is not among them: it is paid up to what holds on fresh inputs.
    """
    unit = Unit.load(folder)
    checks = load(unit.checks_path)
    asked = [name for name in unit.exercises if name in checks and checks[name].kind not in ("kernel", "value")]
    for name, solved in recording.namespaces(unit, asked[-1]) if asked else ():
        for spec in checks[name].specs if name in asked else ():
            if spec.recorded:
                drawn = len({_drawn(checks[name], spec, solved, secret) for secret in range(secrets)})
                if 1 < drawn < secrets:
                    yield name, spec.title, drawn


def _drawn(check: Check, spec: TrialSpec, solved: dict[str, Any], secret: int) -> bytes:
    """The case of one secret, as it would be stored."""
    seed = secret_seed(b"gates", str(secret), check.name, "", "")
    with quiet():
        case = recording.record_case(check, spec, solved, seed(spec.title))
    made = cases.CheckCases(check.name, 1, check.kind, [], [case])
    stored = cases.Cases("", {check.name: made}).to_bytes()
    return hashlib.sha256(stored).digest()


def _answers(unit: Unit, name: str, solved: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The globals of each right answer, the solution first."""
    rights = (right for right in unit.rights if right.exercise == name)
    return {"the solution": solved} | {right.name: recording.alternative(right, solved) for right in rights}


def _refused(check: Check, answers: dict[str, dict[str, Any]], secret: int) -> Iterator[Refusal]:
    """The secrets are those of the gates."""
    seed = secret_seed(b"gates", str(secret), check.name, "", "")
    for spec in check.specs:
        judge = _judge(check, spec, answers["the solution"], seed(spec.title))
        for answer, namespace in answers.items():
            with quiet():
                result = judge(LocalSubject(namespace, check.name))
            if not result.passed:
                says = " | ".join(word for word in (result.says, result.got, result.expected) if word)
                yield Refusal(check.name, answer, secret, spec.title, says)


def _refused_kernel(check: Kernel, answers: dict[str, dict[str, Any]], secret: int) -> Iterator[Refusal]:
    """One task for all answers."""
    task = check.task(secret_seed(b"gates", str(secret), check.name, "", "")(KERNEL))
    for answer, namespace in answers.items():
        with quiet():
            found = Judgement(task, LocalSubject(namespace, check.name).hands()).verdict()
        if found.reason:
            yield Refusal(check.name, answer, secret, "the judgement", found.reason)
        for group in found.groups:
            if group.won < group.weight:
                yield Refusal(check.name, answer, secret, group.name, "; ".join(group.says))


def _judge(check: Check, spec: TrialSpec, solved: dict[str, Any], seed: int) -> Callable[[Subject], TrialResult]:
    """A case is recorded once for all answers: what takes long is its oracle."""
    if not spec.recorded:
        return lambda subject: attempt(check, spec, subject, seed).result
    with quiet():
        case = recording.record_case(check, spec, solved, seed)
    return lambda subject: cases.play_case(check, case, subject).trial


def main(words: list[str]) -> int:
    """Print the refusals; 1 when there is one."""
    parser = argparse.ArgumentParser(prog="python -m autograder.proof.luck", description=__doc__.split("\n\n")[0])
    parser.add_argument("unit", help="as in course build: 02, attention or 02_attention")
    parser.add_argument("exercise", nargs="?")
    parser.add_argument("--secrets", type=int, default=200, metavar="N", help="how many (200)")
    asked = parser.parse_args(words)
    torch.set_num_threads(1)
    found = 0
    for refusal in refusals(find_unit(asked.unit), asked.secrets, [asked.exercise] if asked.exercise else None):
        found += 1
        where = f"{refusal.exercise}, {refusal.answer}, secret {refusal.secret}"
        print(f"{where}: {refusal.title}: {refusal.says}", flush=True)
    print(f"{found} refusals")
    return 1 if found else 0


if __name__ == "__main__":
    import sys

    sys.exit(main(sys.argv[1:]))
