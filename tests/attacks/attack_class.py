"""A class of attackers and two honest controls, made from a released notebook and graded in one run.

What it is: `Attack`, the declarative record of one hostile hand-in and of what its code honestly deserves; `Class`, a
class folder in which all attacks of a group are graded beside `honest_right` and `honest_wrong`.

What it is not: a list of attacks (the test modules hold those), or a sandbox: attacks are real.
"""



from __future__ import annotations

import functools
import hashlib
import io
import json
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

import nbformat
import psutil
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell

from autograder.authoring.unit import UNITS, Unit
from autograder.classroom import grade as grading
from autograder.classroom.class_folder import ClassFolder
from autograder.classroom.record import record
from autograder.judging import judge as judging
from autograder.judging.pool import local_executor
from autograder.sandbox.sandbox import Limits
from course.checking.verdict import Verdict

ROOT = Path(__file__).resolve().parent.parent.parent
ORIENTATION = "00_orientation"
RIGHT, WRONG = "honest_right", "honest_wrong"
SMALL = Limits(cell=8, call=5, exercise=12, submission=90, memory=1200 << 20, processes=48, tmp=64 << 20)
SHORT = replace(SMALL, cell=3, call=2, exercise=5)  # for what never ends: the right answers beside it take milliseconds
LEFT_BEHIND = f"left-{os.getpid()}"  # what detached processes of attacks are called: tests run side by side


@dataclass(frozen=True)
class Attack:
    """One hand-in.

    line     of THREATS.md               why     what it tries
    write    exercise -> the student's code for it
    solved   exercises solved as published
    before, after    extra cells at the top and at the bottom of the notebook
    change   edits the notebook; raw edits the bytes of the file; files lie beside it
    scores   what each exercise honestly deserves; those not named deserve 0
    states   of some exercises; says: part of a reason that must be given somewhere; state: of the whole hand-in
    limits   under which it is judged
    """

    name: str
    line: int
    why: str
    write: dict[str, str] = field(default_factory=dict)
    solved: tuple[str, ...] = ()
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    change: Callable[[NotebookNode], None] | None = None
    raw: Callable[[bytes], bytes] | None = None
    files: dict[str, bytes] = field(default_factory=dict)
    scores: dict[str, float] = field(default_factory=dict)
    states: dict[str, str] = field(default_factory=dict)
    says: str = ""
    state: str = "graded"
    limits: Limits = SMALL


@functools.cache
def unit_of(unit: str) -> Unit:
    """The unit's sources, for the answers of the honest."""
    return Unit.load(UNITS / unit)


def released(unit: str) -> NotebookNode:
    """The released notebook."""
    return nbformat.read(ROOT / "assignments" / unit / f"{unit_of(unit).topic}.ipynb", as_version=4)


def cell_of(notebook: NotebookNode, grade_id: str) -> NotebookNode:
    """The cell with this grade id."""
    return next(c for c in notebook.cells if c.metadata.get("nbgrader", {}).get("grade_id") == grade_id)


def solve(notebook: NotebookNode, unit: str, names: Iterable[str]) -> None:
    """Write published solutions into their cells."""
    for name in names:
        cell_of(notebook, name).source = unit_of(unit).solution_source(name)


def hand_in(attack: Attack, unit: str, about_class: str) -> bytes:
    """The bytes of the attacker's file. In code, CLASS stands for the class folder's path on this machine."""
    notebook = released(unit)
    solve(notebook, unit, attack.solved)
    for name, code in attack.write.items():
        cell_of(notebook, name).source = code.strip("\n")
    extra = [_extra(attack, "before", i, code) for i, code in enumerate(attack.before)]
    notebook.cells = [*extra, *notebook.cells]
    notebook.cells += [_extra(attack, "after", i, code) for i, code in enumerate(attack.after)]
    for cell in notebook.cells:
        cell.source = cell.source.replace("CLASS", about_class)
    if attack.change:
        attack.change(notebook)
    raw = json.dumps(notebook).encode()
    return attack.raw(raw) if attack.raw else raw


def _extra(attack: Attack, where: str, index: int, code: str) -> NotebookNode:
    cell = new_code_cell(code.strip("\n"))
    cell.id = hashlib.sha256(f"{attack.name} {where} {index}".encode()).hexdigest()[:8]
    return cell


def controls(unit: str, right: tuple[str, ...], wrong: dict[str, str]) -> list[Attack]:
    """The honest right student (full points for `right`) and the honest wrong one (none)."""
    points = unit_of(unit).points
    return [
        Attack(RIGHT, 0, "honest and right", solved=right, scores={name: points[name] for name in right}),
        Attack(WRONG, 0, "honest and wrong", write=wrong),
    ]


def _judge_within(limits: dict[str, Limits]) -> None:
    """In a judge process: every hand-in has its own limits, which end an endless loop in seconds."""
    grading.judge = lambda rules, handin, secret, **more: judging.judge(
        rules, handin, secret, limits[handin.student], **more
    )


class Class:
    """A class folder with all hand-ins of a group. `run` grades it once; `verdicts` are by student."""

    def __init__(self, root: Path, unit: str, attacks: Iterable[Attack]) -> None:
        self.unit, self.folder = unit, ClassFolder(root)
        self.attacks = {attack.name: attack for attack in attacks}
        self.limits: dict[str, Limits] = {}
        self.verdicts: dict[str, Verdict] = {}
        self.seconds = 0.0

    def hand_in(self, attack: Attack) -> None:
        """Put the attack's files where the collector would."""
        self.limits[attack.name] = attack.limits
        place = self.folder.submitted / attack.name / self.unit
        place.mkdir(parents=True, exist_ok=True)
        topic = unit_of(self.unit).topic
        (place / f"{topic}.ipynb").write_bytes(hand_in(attack, self.unit, str(self.folder.root)))
        for name, content in attack.files.items():
            (place / name).write_bytes(content)

    def run(self) -> Class:
        """Grade everyone in one run."""
        for attack in self.attacks.values():
            self.hand_in(attack)
        return self.again()

    def again(self) -> Class:
        """Grade what changed."""
        began = time.monotonic()
        prepare = functools.partial(_judge_within, self.limits)
        with self.folder.lock("attacks"), local_executor(2, prepare) as executor:
            graded = grading.grade(self.folder, self.unit, executor=executor)
        self.verdicts = {v.student: v for v in graded.verdicts}
        self.problems = graded.problems
        self.seconds += time.monotonic() - began
        return self

    def record(self) -> dict[str, str]:
        """Record all verdicts into the gradebook; {student: problem}."""
        with self.folder.lock("attacks"):
            return record(self.folder, self.unit)

    def rows(self) -> dict[str, dict[str, tuple]]:
        """The gradebook: student -> grade cell -> (automatic score, maximum, wants a person)."""
        found = {}
        with self.folder.gradebook() as book:
            for submission in book.assignment_submissions(self.unit):
                grades = [g for notebook in submission.notebooks for g in notebook.grades]
                found[submission.student.id] = {
                    g.name: (g.auto_score, g.max_score, g.needs_manual_grade)
                    for g in sorted(grades, key=lambda g: g.name)
                }
        return found

    def files(self) -> dict[str, str]:
        """Every file of hand-ins and release with the digest of its bytes."""
        roots = [self.folder.submitted, self.folder.root / "release", ROOT / "assignments" / self.unit]
        found = [p for root in roots for p in root.rglob("*") if p.is_file()]
        return {str(p): hashlib.sha256(p.read_bytes()).hexdigest() for p in found}


def check_verdict(attack: Attack, verdict: Verdict) -> None:
    """The score is what the code honestly deserves, exercise by exercise."""
    told = io.StringIO()
    for e in verdict.exercises:
        failed = [f"{t.title}: {t.says}" for t in e.trials if not t.passed]
        print(f"{e.name}: {e.score:g}/{e.max_score:g} {e.state} {e.reason} {failed[:2]}", file=told)
    about = f"line {attack.line}, {attack.name}: {attack.why}\n{verdict.state} {verdict.reason}\n{told.getvalue()}"
    assert verdict.state == attack.state, about
    for exercise in verdict.exercises:
        assert abs(exercise.score - attack.scores.get(exercise.name, 0.0)) < 1e-6, f"{exercise.name}\n{about}"
        if exercise.name in attack.states:
            assert exercise.state == attack.states[exercise.name], f"{exercise.name}\n{about}"
    assert abs(verdict.score - sum(attack.scores.values())) < 1e-6, about
    reasons = [
        verdict.reason,
        *(e.reason for e in verdict.exercises),
        *(t.says for e in verdict.exercises for t in e.trials),
        *(says for e in verdict.exercises if e.kernel for says in e.kernel.sentences()),
    ]
    assert any(attack.says in reason for reason in reasons), f"nothing says {attack.says!r}\n{about}\n{verdict.notes}"


def check_nothing_outside_changed(graded: Class, before: dict[str, str]) -> None:
    """Hand-ins, release and class folder are as they were; no process of an attack is left; everyone has a verdict."""
    after = graded.files()
    assert {k: v for k, v in after.items() if k in before} == before
    names = {path.name for path in graded.folder.root.rglob("*")}
    assert not [name for name in names if name.startswith("attack-")], names
    assert set(graded.verdicts) == set(graded.attacks) and not graded.problems
    left = [p for p in psutil.process_iter(["name"]) if p.info["name"] == LEFT_BEHIND]
    assert not left, left
