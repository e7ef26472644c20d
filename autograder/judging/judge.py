"""The judge: one canonical notebook in, one verdict out.

It owns the checks, the secret seeds and the record of what passed. Student code runs in a sandboxed worker; only
values come back. It runs the cells in a clean runner, and then one exercise after another in forks. Answers that earned
points where something is forbidden run once more in a new sandbox, where that raises. Answers that stand on wrong ones
are judged a second time (autograder.judging.follow_on).

Not here: reading hand-ins (autograder.classroom.intake), classes and processes (autograder.classroom.grade), the
gradebook.
"""

from __future__ import annotations

import ast
import atexit
import contextlib
import functools
import re
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from functools import partial
from typing import ClassVar

from autograder.authoring.checks import attempt
from autograder.judging import trials
from autograder.judging.follow_on import follow_on
from autograder.judging.needed import Cell, needed
from autograder.judging.remote import RemoteSubject
from autograder.judging.rules import HandIn, UnitRules
from autograder.judging.words import Words
from autograder.sandbox.sandbox import Exercise, Limits, Lost, Replayer, Runner, Sandbox, SandboxGone
from course.checking import cases, cells, forbidden, foundations
from course.checking.check import quiet
from course.checking.subject import SubjectError
from course.checking.verdict import ExerciseVerdict, Verdict, encodable, without_points
from course.worker.poison import REFUSAL
from course.worker.session import CellResult
from grader_kernels import language
from grader_kernels.compiling.compiler import Compiler

RERUNS = 3  # how often a runner that an exercise killed is made anew
LONG = 1e6  # seconds a replay sandbox may live
MOST_NOTES = 5  # on cells that can't be read
LEAST_LEFT = 5.0  # seconds that must be left of a hand-in's time for a second judgement of its answers
WAITING = "waiting for a processor"
CELL_OUTPUT, ALL_OUTPUT = 20_000, 500_000  # characters of printed text that a verdict keeps


def unreadable(rules: UnitRules, student: str, reason: str, digest: str = "") -> Verdict:
    """The verdict of a hand-in that gave no notebook: a row with score 0 and the reason."""
    rows = [without_points(c.name, c.points, "missing", reason) for c in rules.recorded.checks.values()]
    return Verdict(
        1, rules.unit, student, 0.0, rules.max_score, rules.manual, "unreadable", reason, rules.recorded.marked(rows),
        digest, rules.version,
    )  # fmt: skip


def judge(
    rules: UnitRules,
    handin: HandIn,
    secret: bytes,
    limits: Limits | None = None,
    kind: str = "bwrap",
    spent: float = 0.0,
) -> Verdict:
    """The verdict of one hand-in. `kind="none"` runs the worker without a sandbox: for one's own code only.

    spent: seconds of `limits.submission` that are gone already. Raises NoSandbox, and SandboxGone (or Lost, while it
    starts) when the sandbox was taken away: then the hand-in must be judged again.
    """
    began, used = time.perf_counter(), time.process_time()
    limits = limits or Limits()
    limits = replace(limits, submission=max(limits.submission - spent, min(limits.submission, LEAST_LEFT)))
    session = _Session(rules, handin, secret, limits, kind)

    def again(changed: HandIn, only: set[str]) -> list[ExerciseVerdict]:
        left = session.left()
        if left < LEAST_LEFT:
            return []
        second = _Session(rules, changed, secret, replace(limits, submission=left), kind, only)
        return session.take_in(second, second.run())

    rows = rules.recorded.marked(follow_on(session.run(), handin, session.notebook, rules.solutions, again))
    verdict = Verdict(
        unit=rules.unit, student=handin.student, max_score=rules.max_score, manual_max=rules.manual,
        exercises=rows, digest=handin.digest, check_version=rules.version, notes=[*handin.notes, *session.notes],
        cell_outputs=session.outputs, peak_bytes=session.peak_bytes, costs=session.costs, starved=session.starved,
    )  # fmt: skip
    verdict.costs["of the judge"] = round(time.process_time() - used, 4)
    verdict.seconds = round(time.perf_counter() - began, 3)
    return encodable(verdict.add_up())


REFUSED = re.compile(re.escape(REFUSAL).replace(r"\{\}", r"(\w{1,60})"))
Passes = list[bool | None] | None  # trial by trial, None for one that raised; None when the process died


class _Session:
    """One judgement of a hand-in: its cells, its exercises, and what of them holds where the forbidden raises."""

    def __init__(
        self,
        rules: UnitRules,
        handin: HandIn,
        secret: bytes,
        limits: Limits,
        kind: str,
        only: Collection[str] | None = None,
    ) -> None:
        self.rules, self.handin, self.secret, self.limits, self.kind = rules, handin, secret, limits, kind
        self.began = time.perf_counter()
        self.exercises = [name for name in rules.recorded.checks if only is None or name in only]
        self.outputs: dict[str, str] = {}
        self.lost: dict[str, CellResult] = {}
        self.kernels: dict[frozenset[str], str | language.LanguageError] = {}  # names of kernels to their source
        self.peak_bytes = 0
        self.starved = False
        self.reruns = RERUNS
        self.costs: dict[str, float] = {}
        self.ends: dict[str, int] = {}  # by cell: the line in which it stopped, 0 where it did not
        self.refusals: list[tuple[list[str], str]] = []  # names, and the forbidden function without which they are
        self.called: dict[str, str] = {}  # by exercise: the forbidden function that its trials called
        self.readings = cells.read_all(handin.sources)
        self.needed = needed(handin.cells, self.readings)
        self.notes = [_unread(cell, reading) for cell, reading in self._own() if reading.error][:MOST_NOTES]
        self.stopped = foundations.Stopped()

    def run(self) -> list[ExerciseVerdict]:
        with self._sandbox(self.limits) as box:
            with self._stage("cells"):
                self.runner = self._run_cells(box)
            with self._stage("exercises"):
                rows = [self._exercise(name, box) for name in self.exercises]
        rows = self._without_shortcuts(rows)
        self._explain(rows)
        return rows

    @contextlib.contextmanager
    def _sandbox(self, limits: Limits) -> Iterator[Sandbox]:
        """A sandbox of which the costs are taken down. Raises SandboxGone where it ended by itself."""
        with contextlib.ExitStack() as stack:
            with self._stage("sandbox"):
                box = stack.enter_context(Sandbox(self.rules.side_files, limits, self.kind))
            yield box
            if box.gone:
                raise SandboxGone(box.gone)
            self.peak_bytes = max(self.peak_bytes, box.peak_bytes)
            self._add_cost("of the sandbox", box.processor_seconds())
            self._add_cost(WAITING, box.meter.waited)
            self.starved = Replays.starved() or box.starved or self.starved
            with self._stage("sandbox"):
                stack.close()

    def left(self) -> float:
        """Seconds of the hand-in's time that are left; what it waited for a processor was not its own."""
        return self.limits.submission - (time.perf_counter() - self.began) + self.costs.get(WAITING, 0.0)

    def take_in(self, other: _Session, rows: list[ExerciseVerdict]) -> list[ExerciseVerdict]:
        """The rows of another session on the same hand-in, whose costs come on top of this one's."""
        self.peak_bytes = max(self.peak_bytes, other.peak_bytes)
        self.starved = self.starved or other.starved
        for stage, cost in other.costs.items():
            self._add_cost(stage, cost)
        return rows

    def _explain(self, rows: list[ExerciseVerdict]) -> None:
        """Say which verdicts lie on exercises that are not right themselves."""
        wrong = {row.name for row in rows if row.state != "passed"}
        right = lambda name: name not in wrong  # noqa: E731
        for row in rows:
            row.made_of = self.notebook.digest(row.name)
            self.stopped.explain(row)
            if row.name in wrong:
                foundations.explain(row, foundations.shaky(row.name, self.notebook.mentions, right))

    @contextlib.contextmanager
    def _stage(self, name: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self._add_cost(name, time.perf_counter() - began)

    def _add_cost(self, name: str, seconds: float) -> None:
        self.costs[name] = round(self.costs.get(name, 0.0) + seconds, 4)

    def _without_shortcuts(self, rows: list[ExerciseVerdict]) -> list[ExerciseVerdict]:
        """The rows, without the points of answers that call what should be written, or that can't be read."""
        checks, found, to_run = self.rules.checks, {row.name: row for row in rows}, {}
        for row in rows:
            if checks[row.name].forbids and row.score:
                to_run.setdefault(checks[row.name].forbids, []).append(row)
        if to_run:
            limits = replace(self.limits, submission=max(self.left(), min(self.limits.submission, LEAST_LEFT)))
            with self._stage("poisoned runs"), self._sandbox(limits) as box:
                pieces = self._pieces()
                for number, (forbids, group) in enumerate(to_run.items()):
                    if number and not box.gone:
                        box.start_over()  # what one family may have could lie on its disks for the next
                    found |= self._run_poisoned(box, pieces, forbids, group)
        return list(found.values())

    def _run_poisoned(
        self, box: Sandbox, pieces: list[tuple[str, str]], forbids: tuple[str, ...], rows: list[ExerciseVerdict]
    ) -> dict[str, ExerciseVerdict]:
        """Rows whose trials don't all pass where what is forbidden raises, each with the reason."""
        self.refusals = []
        try:
            runner, results = box.run_notebook(pieces, forbidden.poisons(forbids))
        except Lost:
            passes = dict.fromkeys(row.name for row in rows)
        else:
            for (_, source), result in zip(pieces, results, strict=True):
                if found := REFUSED.search(result.error or ""):
                    self.refusals.append((list(cells.bound_names(cells.read(source))), found[1]))
            passes = {row.name: self._passes(row.name, runner) for row in rows}
            box.sweep()
            runner.close()
        changed = [row for row in rows if _changed(row, passes[row.name]) or row.name in self.called]
        return {row.name: self._refused(row, forbids) for row in changed}

    def _refused(self, row: ExerciseVerdict, forbids: tuple[str, ...]) -> ExerciseVerdict:
        """The verdict on an answer that doesn't hold without what is forbidden."""
        if findings := self.notebook.findings(row.name, forbids):
            return forbidden.refuse(row, findings)
        used = self.notebook.uses(row.name)
        what = " or ".join(forbidden.FAMILIES[f].what for f in forbids)
        held = (name for names, name in self.refusals if not used.isdisjoint(names))
        if name := self.called.get(row.name) or next(held, ""):
            return forbidden.without(row, "forbidden", f"it uses {what}, `{name}`; {forbidden.WRITE_IT}")
        return forbidden.without(row, "held", f"it doesn't run where {what} can't be called; {forbidden.LOOKED_AT}")

    @functools.cached_property
    def words(self) -> Words:
        """What may be said of the hand-in."""
        return Words(self.handin.sources)

    @functools.cached_property
    def notebook(self) -> forbidden.Notebook:
        """The hand-in, read for forbidden calls."""
        given = [r for c, r in zip(self.handin.cells, self.readings, strict=True) if c.given]
        return forbidden.read_notebook([reading for _, reading in self._own()], given)

    def _own(self) -> list[tuple[Cell, cells.Reading]]:
        """The student's cells."""
        return [(c, r) for c, r in zip(self.handin.cells, self.readings, strict=True) if not c.given]

    def _pieces(self) -> list[tuple[str, str]]:
        """The cells to run, statement by statement: where one stops at what is forbidden, the others go on. What never
        ran in the clean runner, as its cell stopped before, doesn't run."""
        found = []
        for number in self.needed:
            cell, reading = self.handin.cells[number], self.readings[number]
            readable = not (reading.error or reading.module)
            parts = cells.parts(reading.python, self.ends.get(cell.id, 0)) if readable else []
            found += [(f"{cell.id}/{n}", part) for n, part in enumerate(parts)] or [(cell.id, self._source(number))]
        return found

    def _passes(self, name: str, runner: Runner) -> list[bool | None] | None:
        """Which cases and trials pass, on the same secret inputs as in the clean runner.

        None for one that raised, None instead of the list when the process died. The recorded numbers are not used:
        their answers lie in cases.npz, where the poisoned run could look them up.
        """
        check, seed, subjects = self.rules.checks[name], self._seed(name), []
        try:
            with runner.exercise() as exercise, Replays(self.kind) as replays, quiet():
                subjects = [self._subject(name, exercise, replays) for _ in check.specs]
                asked = zip(check.specs, subjects, strict=True)
                made = [attempt(check, spec, subject, seed(spec.title)) for spec, subject in asked]
        except (SubjectError, Lost):
            return None
        finally:
            if called := next((subject.refused for subject in subjects if subject.refused), ""):
                self.called[name] = called
        return [None if each.raised else each.result.passed for each in made]

    def _seed(self, name: str) -> Callable[[str], int]:
        return trials.secret_seed(self.secret, self.handin.student, name, self.rules.version, self.handin.digest)

    def _run_cells(self, box: Sandbox) -> Runner | Lost:
        """The clean runner, every cell run but those that end their process."""
        try:
            runner, results = box.run_notebook(self._cells())
        except Lost as lost:
            return lost
        read = {cell.id: (cell, reading) for cell, reading in zip(self.handin.cells, self.readings, strict=True)}
        for result in results:
            self._keep_output(result)
            self.ends[result.cell_id] = result.line
            if result.error_name in cases.FATAL:
                self.lost[result.cell_id] = result
            elif result.error and result.cell_id in read:
                cell, reading = read[result.cell_id]
                self.stopped.note(cell.grade_id, reading, result.error)
        return runner

    def _cells(self) -> list[tuple[str, str]]:
        return [(self.handin.cells[number].id, self._source(number)) for number in self.needed]

    def _source(self, number: int) -> str:
        """A cell's source; of one that Python could run and nobody can read, an error that says so."""
        error = self.readings[number].error
        return f"raise SyntaxError({error!r})" if error in cells.NOT_READ else self.handin.cells[number].source

    def _keep_output(self, result: CellResult) -> None:
        """What a cell said, cut: a thousand cells that print a megabyte each must not fill disks and pages."""
        said = "\n".join(t for t in (result.output, result.error) if t)
        room = min(CELL_OUTPUT, ALL_OUTPUT - sum(map(len, self.outputs.values())))
        self.outputs[result.cell_id] = said if len(said) <= room else f"{said[: max(room, 0)]}\n... (cut)"

    def _open(self, box: Sandbox) -> Exercise:
        """A fork of the clean runner. If an exercise took the runner along, its cells run again, a few times."""
        while True:
            if isinstance(self.runner, Lost):
                raise self.runner
            try:
                return self.runner.exercise()
            except Lost:
                if not self.reruns:
                    raise
                self.reruns -= 1
                box.start_over()  # secret numbers may have been written down, and cells print
                self.runner = self._run_cells(box)

    def _exercise(self, name: str, box: Sandbox) -> ExerciseVerdict:
        check, recorded = self.rules.checks[name], self.rules.recorded.check(name)
        stopped = next((self.lost[c.id] for c in self.handin.cells if c.grade_id == name and c.id in self.lost), None)
        if stopped:
            state, reason = trials.FATAL_STATES[stopped.error_name], f"your cell was stopped: {stopped.error}"
            return without_points(name, recorded.points, state, reason, hints=len(check.hints))
        try:
            with contextlib.ExitStack() as stack:
                replays = stack.enter_context(Replays(self.kind))
                subject = partial(self._subject, name, stack.enter_context(self._open(box)), replays)
                anew = lambda: self._subject(name, stack.enter_context(self._open(box)), replays)  # noqa: E731
                return trials.judge_exercise(check, recorded, subject, self._seed(name), anew=anew)
        except Lost as lost:
            state = trials.FATAL_STATES.get(lost.kind, "crashed")
            return without_points(name, recorded.points, state, lost.message, hints=len(check.hints))

    def _subject(self, name: str, exercise: Exercise, replays: Replays) -> RemoteSubject:
        return RemoteSubject(exercise, name, self._kernel_source, replays, the_compiler(), self.words)

    def _kernel_source(self, needed: set[str]) -> str:
        key = frozenset(needed)
        if key not in self.kernels:
            try:
                self.kernels[key] = kernels_of([reading.python for reading in self.readings], needed)
            except language.LanguageError as error:  # it is refused for every launch, and read once
                self.kernels[key] = error
            except Exception:
                self.kernels[key] = language.LanguageError("this kernel can't be read")
        found = self.kernels[key]
        if isinstance(found, language.LanguageError):
            raise found
        return found


class Replays:
    """Replays the launch traces of one exercise, in a sandbox that never sees student Python. A context manager.

    The sandbox is one for this process, made when it is needed; the process in it ends with the exercise.
    """

    _box: ClassVar[Sandbox | None] = None

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.replayer: Replayer | None = None

    def __enter__(self) -> Replays:
        return self

    def __exit__(self, *_: object) -> None:
        if self.replayer is not None:
            self.replayer.close()

    def replay(
        self, source: str, traced: bytes, inputs: tuple[tuple, dict], options: dict, seconds: float | None = None
    ) -> dict:
        """See autograder.sandbox.sandbox.Replayer. A sandbox that died is made anew, once."""
        for turn in (1, 2):
            box = self._sandbox()
            if self.replayer is None or self.replayer.box is not box:
                self.replayer = box.replayer()
            try:
                return self.replayer.replay(source, traced, inputs, options, seconds)
            except Lost:
                if turn == 2 or self._alive(box):
                    raise
                self.close()
        raise AssertionError

    @classmethod
    def close(cls) -> None:
        """End the sandbox."""
        if cls._box is not None:
            cls._box.close()
            cls._box = None

    @classmethod
    def starved(cls) -> bool:
        """Whether a replay ran out of time that others had, since this was last asked."""
        if cls._box is None:
            return False
        found, cls._box.starved = cls._box.starved, False
        return found

    def _sandbox(self) -> Sandbox:
        if Replays._box is None:
            box = Sandbox(limits=Limits(submission=LONG), kind=self.kind)
            box.__enter__()
            Replays._box = box
            atexit.register(Replays.close)
        return Replays._box

    @staticmethod
    def _alive(box: Sandbox) -> bool:
        try:
            box.sweep()
        except Lost:
            return False
        return True


def _changed(row: ExerciseVerdict, passes: Passes) -> list[bool | None]:
    """Of the trials that passed, those that don't here."""
    clean = [trial.passed for trial in row.trials if trial.title != cases.NAMES]
    return [here for there, here in zip(clean, passes or [None] * len(clean), strict=True) if there and not here]


@functools.cache
def the_compiler() -> Compiler:
    """The compile process of this judge, started when a check first asks for it; kernels seen before are cached."""
    made = Compiler()
    atexit.register(made.close)
    return made


def _unread(cell: Cell, reading: cells.Reading) -> str:
    line = next((line for line in cell.source.splitlines() if line.strip()), "").strip()
    where = f"{reading.error} (line {reading.line})"
    return f"the cell that begins with `{line[:60]}` can't be read and costs itself only: {where}"


def kernels_of(cells: list[str], needed: set[str]) -> str:
    """The kernels called `needed` out of the cells, with what they use. Where all of it stands in one cell, lines have
    the numbers that they have there. Raises language.LanguageError."""
    source = language.extract("\n\n".join(cells), needed)
    functions = [node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)]
    if not functions:
        return source
    first = min(decorator.lineno for node in functions for decorator in node.decorator_list) - 1
    last, begins = max(node.end_lineno for node in functions) - 1, 0
    for cell in cells:
        ends = begins + cell.count("\n")
        if begins <= first and last <= ends:
            return "\n".join(source.split("\n")[begins:])
        begins = ends + 2
    return source
