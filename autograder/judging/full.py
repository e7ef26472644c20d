"""The whole judgement, trials included, of a notebook that is one's own: no class, no sandbox, no gradebook.

`course check --full` comes here, and plain nbgrader's hidden tests where the instructor said COURSE_TRUSTED=1.
Hand-ins of other people are for autograder.classroom.grade.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from autograder.authoring.checks import load
from autograder.authoring.unit import UNITS, AuthoringError
from autograder.judging import trials
from autograder.judging.judge import judge
from autograder.judging.rules import HandIn, UnitRules, code_cells, rules_for
from autograder.sandbox.sandbox import Limits, Lost, NoSandbox, SandboxGone
from course.checking.check import find_cases, ran_here, refused
from course.checking.subject import LocalSubject
from course.checking.verdict import Verdict
from course.command_line.notebooks import read_notebook
from course.errors import EnvironmentLacking, InputError

TRIES = 3
GONE = SandboxGone, Lost, NoSandbox, psutil.Error, BlockingIOError, MemoryError  # what a busy machine does


def judge_notebook(path: Path, cases_path: Path, limit: float, tell: Callable[[str], None]) -> Verdict:
    """The verdict on one's own notebook, with fresh seeds. `limit`: seconds a cell and an exercise may take.

    A process that this machine ended is no verdict: all is judged again, a few times. Raises InputError for cases that
    this clone can't judge by, and EnvironmentLacking when the machine lets no judgement end.
    """
    notebook = read_notebook(path)
    rules = _rules(cases_path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    handin = HandIn("", code_cells(notebook), digest)
    limits, secret = Limits(cell=limit, exercise=limit), secrets.token_bytes(32)
    for turn in range(TRIES):
        tell("running the cells and every trial" + (", once more" if turn else ""))
        try:
            return judge(rules, handin, secret, limits, kind="none")
        except GONE as error:
            why = " ".join(str(error).split())
    raise EnvironmentLacking(f"this machine ended the notebook's processes {TRIES} times ({why}); close other programs")


def _rules(cases_path: Path) -> UnitRules:
    """What the notebook is judged by: the cases as the learner has them, the checks of this clone."""
    try:
        unit = find_unit_of(cases_path)
        if not (UNITS / unit / "checks.py").is_file():
            raise InputError(f"{cases_path} belongs to the unit {unit!r}, which this clone does not have")
        rules = rules_for(unit, cases_path)
    except AuthoringError as error:
        raise InputError(str(error)) from None
    except (ValueError, KeyError, TypeError) as error:
        said = str(error) if isinstance(error, ValueError) else f"{cases_path} can't be read ({error!r})"
        raise InputError(f"{said}: get the unit again") from None
    unknown = [name for name in rules.recorded.checks if name not in rules.checks]
    if unknown:
        raise InputError(f"{cases_path} has a check {unknown[0]!r}, which {unit} here lacks: get the unit again")
    return rules


def score_hidden(name: str, namespace: dict[str, Any]) -> float:
    """Points of exercise `name` for the objects of this process, trials included."""
    recorded = find_cases(name)
    check = load(UNITS / recorded.unit / "checks.py")[name]
    seed = trials.secret_seed(secrets.token_bytes(32), "", name, "", "")
    subject = lambda: LocalSubject(namespace, name)  # noqa: E731
    verdict = trials.judge_exercise(check, recorded.check(name), subject, seed)
    return refused(recorded.check(name), verdict, ran_here.cells).score


def find_unit_of(cases_path: Path) -> str:
    """The unit a cases file belongs to."""
    from course.checking.cases import load as load_cases

    return load_cases(cases_path).unit
