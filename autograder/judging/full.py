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

import nbformat

from autograder.authoring.checks import load
from autograder.authoring.unit import UNITS
from autograder.judging import trials
from autograder.judging.judge import judge
from autograder.judging.rules import HandIn, code_cells, rules_for
from autograder.sandbox.sandbox import Limits
from course.checking.check import find_cases
from course.checking.subject import LocalSubject
from course.checking.verdict import Verdict


def judge_notebook(path: Path, cases_path: Path, limit: float, tell: Callable[[str], None]) -> Verdict:
    """The verdict on one's own notebook, with fresh seeds. `limit`: seconds a cell and an exercise may take."""
    notebook = nbformat.read(path, as_version=4)
    tell("running the cells and every trial")
    rules = rules_for(find_unit_of(cases_path), cases_path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    handin = HandIn("", code_cells(notebook), digest)
    limits = Limits(cell=limit, exercise=limit)
    return judge(rules, handin, secrets.token_bytes(32), limits, kind="none")


def score_hidden(name: str, namespace: dict[str, Any]) -> float:
    """Points of exercise `name` for the objects of this process, trials included."""
    recorded = find_cases(name)
    check = load(UNITS / recorded.unit / "checks.py")[name]
    seed = trials.secret_seed(secrets.token_bytes(32), "", name, "", "")
    subject = lambda: LocalSubject(namespace, name)  # noqa: E731
    return trials.judge_exercise(check, recorded.check(name), subject, seed).score


def find_unit_of(cases_path: Path) -> str:
    """The unit a cases file belongs to."""
    from course.checking.cases import load as load_cases

    return load_cases(cases_path).unit
