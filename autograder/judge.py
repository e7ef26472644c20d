"""The judge: one canonical notebook in, one verdict out.

It owns the checks, the secret seeds and the record of what passed. Student code runs in a sandboxed worker; only
values come back. It runs the cells once in a poisoned runner for each family of forbidden calls (before any other
student code of this hand-in has run), once in a clean runner, and then one exercise after another in forks.

Not here: reading hand-ins (autograder.intake), classes and processes (autograder.grade), the gradebook.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from autograder import forbidden, trials
from autograder.checks import Check, load, version
from autograder.remote import RemoteSubject
from autograder.sandbox import Limits, Runner, Sandbox
from course import cases
from course.check import quiet
from course.subject import SubjectError
from course.verdict import ExerciseVerdict, Verdict, without_points
from grader_kernels import language

MAX_RUNNERS = 6


@dataclass
class UnitRules:
    """What the judge knows of one unit. `points` and `manual` come from the release, never from a hand-in."""

    unit: str
    checks: dict[str, Check]
    recorded: cases.Cases
    version: str
    manual: float = 0.0
    side_files: dict[str, bytes] = field(default_factory=dict)

    @classmethod
    def read(cls, unit: str, checks_path: Path, cases_path: Path, manual: float) -> UnitRules:
        """Load the checks and the recorded cases of one unit."""
        recorded = cases.load(cases_path)
        side = {"cases.npz": cases_path.read_bytes()}
        return cls(unit, load(checks_path), recorded, version(checks_path), manual, side)

    @property
    def max_score(self) -> float:
        """All automatic points."""
        return sum(c.points for c in self.recorded.checks.values())


@dataclass
class HandIn:
    """One canonical notebook. cells: (cell id, grade id or "", source) of every code cell but the checks, in order."""

    student: str
    cells: list[tuple[str, str, str]]
    digest: str
    notes: list[str] = field(default_factory=list)

    @property
    def sources(self) -> list[str]:
        """The source of every cell."""
        return [source for _, _, source in self.cells]


def unreadable(rules: UnitRules, student: str, reason: str, digest: str = "") -> Verdict:
    """The verdict of a hand-in that gave no notebook: a row with score 0 and the reason."""
    rows = [without_points(c.name, c.points, "missing", reason) for c in rules.recorded.checks.values()]
    return Verdict(
        1, rules.unit, student, 0.0, rules.max_score, rules.manual, "unreadable", reason, rows, digest, rules.version
    )


def judge(rules: UnitRules, handin: HandIn, secret: bytes, limits: Limits | None = None, kind: str = "bwrap") -> Verdict:
    """The verdict of one hand-in. `kind="none"` runs the worker without a sandbox: for one's own code only."""
    began = time.perf_counter()
    session = _Session(rules, handin, secret, limits or Limits(), kind)
    rows = session.run()
    verdict = Verdict(
        unit=rules.unit, student=handin.student, max_score=rules.max_score, manual_max=rules.manual,
        exercises=rows, digest=handin.digest, check_version=rules.version, notes=[*handin.notes, *session.notes],
        cell_outputs=session.outputs, peak_bytes=session.peak_bytes,
    )  # fmt: skip
    verdict.score = round(sum(row.score for row in rows), 4)
    verdict.seconds = round(time.perf_counter() - began, 3)
    return verdict


class _Session:
    """The life of one sandbox: poisoned runs, the clean run, the exercises."""

    def __init__(self, rules: UnitRules, handin: HandIn, secret: bytes, limits: Limits, kind: str) -> None:
        self.rules, self.handin, self.secret, self.limits, self.kind = rules, handin, secret, limits, kind
        self.outputs: dict[str, str] = {}
        self.notes: list[str] = []
        self.lost: dict[str, tuple[str, str]] = {}
        self.peak_bytes = 0

    def run(self) -> list[ExerciseVerdict]:
        with Sandbox(kind=self.kind, side_files=self.rules.side_files, limits=self.limits) as box:
            poisoned = self._poisoned_outcomes(box)
            runner = self._runner(box, keep=True)
            rows = [self._exercise(name, runner, poisoned.get(name)) for name in self.rules.recorded.checks]
            self.peak_bytes = box.peak_bytes
        return rows

    def _poisoned_outcomes(self, box: Sandbox) -> dict[str, list[bool] | None]:
        """For each exercise that forbids something: which cases pass with the forbidden operators poisoned."""
        found: dict[str, list[bool] | None] = {}
        by_family: dict[tuple[str, ...], list[str]] = {}
        for name, check in self.rules.checks.items():
            if check.forbids and name in self.rules.recorded.checks:
                by_family.setdefault(check.forbids, []).append(name)
        for forbids, names in by_family.items():
            runner = self._runner(box, poison=forbidden.poisons(forbids))
            for name in names:
                found[name] = self._passes(name, runner)
            runner.close()
        return found

    def _passes(self, name: str, runner: Runner) -> list[bool] | None:
        """Which recorded cases pass; None when the exercise's process died."""
        exercise = runner.exercise()
        try:
            with quiet():
                verdict = cases.play(self.rules.recorded.check(name), self._subject(name, exercise))
            return [t.passed for t in verdict.trials]
        except SubjectError:
            return None
        finally:
            exercise.close()

    def _runner(self, box: Sandbox, poison: tuple[str, ...] = (), keep: bool = False) -> Runner:
        """A runner in which every cell has run, but those that killed one before."""
        for _ in range(MAX_RUNNERS):
            runner = box.runner(poison=poison)
            ended = self._run_cells(runner, keep)
            if ended is None:
                return runner
            runner.close()
            self.lost[ended[0]] = ended[1:]
        self.notes.append("several cells ended their process; the rest was not run")
        return box.runner(poison=poison)

    def _run_cells(self, runner: Runner, keep: bool) -> tuple[str, str, str] | None:
        """Run the cells; the id of the cell that ended the runner, its state and the reason, or None."""
        todo = [(id, source) for id, _, source in self.handin.cells if id not in self.lost]
        running = todo[0][0] if todo else ""
        try:
            for (running, _), result in zip(todo, runner.run_cells(todo), strict=False):  # noqa: B007
                if keep:
                    self.outputs[running] = "\n".join(t for t in (result.output, result.error) if t)
                following = [i for i, _ in todo]
                running = (following + [""])[following.index(running) + 1]
        except SubjectError as error:
            return getattr(error, "cell_id", running), trials.FATAL_STATES[error.kind], error.message
        return None

    def _exercise(self, name: str, runner: Runner, poisoned: list[bool] | None) -> ExerciseVerdict:
        check, recorded = self.rules.checks[name], self.rules.recorded.check(name)
        lost = next((self.lost[id] for id, grade_id, _ in self.handin.cells if grade_id == name and id in self.lost), None)
        if lost:
            return without_points(name, recorded.points, lost[0], f"your cell was stopped: {lost[1]}")
        exercise = runner.exercise()
        try:
            seed = trials.secret_seed(
                self.secret, self.handin.student, name, self.rules.version, self.handin.digest
            )
            verdict = trials.judge_exercise(check, recorded, lambda: self._subject(name, exercise), seed)
            clean = self._clean_passes(check, recorded, exercise, verdict)
        finally:
            exercise.close()
        return self._without_shortcut(check, verdict, clean, poisoned)

    def _clean_passes(self, check: Check, recorded: cases.CheckCases, exercise: Any, verdict: ExerciseVerdict) -> list[bool]:
        """Which recorded cases pass in the clean runner (asked only where something is forbidden and was earned)."""
        if not check.forbids or not verdict.score:
            return []
        try:
            with quiet():
                return [t.passed for t in cases.play(recorded, self._subject(check.name, exercise)).trials]
        except SubjectError:
            return []

    def _without_shortcut(
        self, check: Check, verdict: ExerciseVerdict, clean: list[bool], poisoned: list[bool] | None
    ) -> ExerciseVerdict:
        """Refuse the points of a proven shortcut; hold what can't be decided."""
        if not check.forbids or not verdict.score:
            return verdict
        findings = forbidden.read_source(self.handin.sources, check.name, check.forbids)
        called = next((f for f in findings if f.kind == "shortcut"), None)
        opaque = next((f for f in findings if f.kind == "hold"), None)
        proven = poisoned is not None and any(c and not p for c, p in zip(clean, poisoned, strict=False))
        what = " or ".join(forbidden.FAMILIES[f].what for f in check.forbids)
        if proven:
            how = called.says if called else f"its answer changes when {what} is made to give wrong numbers"
            return _refused(verdict, "forbidden", f"{how}; this exercise asks you to write it")
        if called or opaque or (poisoned is None and clean):
            why = (called or opaque).says if called or opaque else "it can't be run a second time"
            return _refused(verdict, "held", f"{why}; your instructor will look at it")
        return verdict

    def _subject(self, name: str, exercise: Any) -> RemoteSubject:
        return RemoteSubject(exercise, name, kernel_source=self._kernel_source)

    def _kernel_source(self, needed: Iterable[str]) -> str:
        return language.extract("\n\n".join(_code_only(s) for s in self.handin.sources), set(needed))


def _refused(verdict: ExerciseVerdict, state: str, reason: str) -> ExerciseVerdict:
    return without_points(verdict.name, verdict.max_score, state, reason, hints=verdict.hints)


def _code_only(source: str) -> str:
    """A cell without IPython's own lines."""
    return "\n".join("" if line.lstrip().startswith(("%", "!")) else line for line in source.splitlines())
