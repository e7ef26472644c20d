"""Grade a class: take in, judge, keep verdict files, record. Killed at any point and started again, it goes on.

Each stage leaves files behind that the next run finds: canonical notebooks, one verdict file per hand-in, the
gradebook. A verdict is kept as long as the hand-in and the checks are the same. Judging runs on a
concurrent.futures.Executor; recording is serial (`autograder.classroom.record`).

Only a few hand-ins are given out at a time, and nothing of a verdict stays in memory once its file is written: a class
of five thousand needs no more of it than one of fifty.

What travels to a judging process and back is bytes: a Task and an Answer, both JSON under a schema. The notebook's text
travels in the task, so a process on another machine needs no shared disk. It needs this clone at the same commit,
because checks, cases and the judge itself are read there; a process whose version of them differs refuses, and the run
stops with the sentence. The class secret travels as well: use a network you trust, or Dask's TLS.
"""

from __future__ import annotations

import contextlib
import datetime
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    CancelledError,
    Executor,
    Future,
    wait,
)
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

import msgspec
import nbformat

from autograder import ROOT
from autograder.authoring import build
from autograder.authoring.unit import UNITS, Unit
from autograder.classroom import class_folder, clock, intake
from autograder.classroom.class_folder import ClassFolder, Verdicts, disk_full
from autograder.classroom.names import composed
from autograder.judging.judge import judge, unreadable
from autograder.judging.pool import ended_after, local_executor, start_early
from autograder.judging.rules import HandIn, UnitRules, code_cells, rules_for
from autograder.sandbox.deadline import FAR
from autograder.sandbox.sandbox import Limits, Lost, NoSandbox, SandboxGone, why_not
from course.checking import verdict as verdicts
from course.checking.verdict import Verdict
from course.files import write_whole

JUDGE_SECONDS = FAR * Limits.submission + 120  # after which the kernel ends a judging process
MOST_ALONE, ALONE_SECONDS = 200, 3600.0  # hand-ins that are judged a second time, and how long that may take in all
GONE = "its code ended the sandbox that it ran in, each time that it ran"
_one_at_a_time = threading.Lock()  # a Dask worker may run its tasks in threads; a judge has its process to itself
Tell = Callable[[str, int, int], None]


class Unfit(Exception):
    """A judging process can't judge anything, or is gone; one sentence. The run stops, and what it did stays."""


@dataclass
class Graded:
    """What a run did.

    verdicts  of every hand-in it looked at, read from disk      kept  how many were still good
    problems  what lies in submitted/ and was not graded, a sentence each
    """

    unit: str
    verdicts: Verdicts
    judged: int = 0
    kept: int = 0
    problems: list[str] = field(default_factory=list)


class Waiting(NamedTuple):
    """A hand-in without a verdict, as small as it can be."""

    student: str
    digest: str
    notes: list[str]


class Task(msgspec.Struct, frozen=True):
    """One hand-in to judge. `version`: the checks that must judge it; `secret`: hexadecimal."""

    unit: str
    student: str
    notebook: str
    digest: str
    notes: list[str]
    secret: str
    version: str


class Answer(msgspec.Struct):
    """What came of a Task: a verdict; or why this hand-in has none; or why this process can't judge at all.

    doubtful: the verdict counts if it is the same while nothing else is judged.
    """

    verdict: Verdict | None = None
    failed: str = ""
    unfit: str = ""
    doubtful: bool = False


def grade(
    folder: ClassFolder,
    unit: str,
    *,
    only: str | None = None,
    jobs: int = 2,
    executor: Executor | None = None,
    tell: Tell | None = None,
) -> Graded:
    """Judge every hand-in of a unit (or only one student's). The caller holds the class lock and records after.

    jobs      judged at the same time by processes of this machine
    executor  judges instead of them; `jobs` then says how many of its processes to keep busy
    tell      called with (what, done, total) as the work goes on

    Raises NoSandbox or Unfit when nothing can be judged, OSError when nothing can be written, and ClockError before
    anything is.
    """
    tell = tell or (lambda what, done, total: None)
    clock.read(folder.timestamps_file)
    if executor is None and _somebody_is_new(folder, unit, only):
        start_early()
    set_up(folder, unit)
    graded = Graded(unit, Verdicts(folder, unit, []))
    todo = _take_in(folder, unit, only, graded, tell)
    judging = _Judging(folder, graded, todo, 2 * jobs, tell)
    while judging.todo:
        pool = executor or local_executor(jobs)
        try:
            if executor is None and (missing := why_not()):
                raise NoSandbox(missing)
            suspects = judging.run(pool)
        finally:
            if executor is None:
                pool.shutdown(wait=True, cancel_futures=True)
        for each in suspects:
            judging.run_alone(each)
    judging.run_doubtful(executor)
    return graded


def _somebody_is_new(folder: ClassFolder, unit: str, only: str | None) -> bool:
    students = (each.student for each in _asked_for(folder, unit, only))
    return any(not folder.verdict_file(unit, student).is_file() for student in students)


def _asked_for(folder: ClassFolder, unit: str, only: str | None) -> list[class_folder.HandIn]:
    """All hand-ins, or those of one student, however the name was typed."""
    found = folder.hand_ins(unit)
    return found if only is None else [each for each in found if composed(each.student) == composed(only)]


def set_up(folder: ClassFolder, unit: str) -> None:
    """Make the unit known to the class from this clone's sources and its released notebook."""
    loaded = Unit.load(UNITS / unit)
    source = ROOT / "build" / "nbgrader" / "class_source" / unit
    source.mkdir(parents=True, exist_ok=True)
    made = build.source_notebook(loaded, build.load_checks(loaded))
    write_whole(source / f"{loaded.topic}.ipynb", build.to_bytes(made))
    folder.set_up(unit, source, ROOT / "assignments" / unit)


def judge_task(data: bytes) -> bytes:
    """Judge one hand-in in a judging process: a Task as JSON in, an Answer as JSON out. Raises nothing."""
    try:
        with _one_at_a_time, ended_after(JUDGE_SECONDS):
            return msgspec.json.encode(_judge(msgspec.json.decode(data, type=Task)))
    except (NoSandbox, Unfit) as error:
        answer = Answer(unfit=f"{socket.gethostname()}: {error}")
    except Exception as error:
        sentence = _one_line(error)
        answer = Answer(unfit=f"{socket.gethostname()}: {sentence}") if disk_full(error) else Answer(failed=sentence)
    return msgspec.json.encode(answer)


def _judge(task: Task) -> Answer:
    _one_thread()
    rules = _rules_of_version(task.unit, task.version)
    cells = code_cells(nbformat.reads(task.notebook, as_version=4))
    handin = HandIn(task.student, cells, task.digest, list(task.notes))
    secret, began = bytes.fromhex(task.secret), time.monotonic()
    try:
        verdict = judge(rules, handin, secret)
    except (SandboxGone, Lost):  # perhaps the machine took it away, and only this once
        try:
            verdict = judge(rules, handin, secret, spent=time.monotonic() - began)
        except (SandboxGone, Lost):
            return _taken_twice(rules, task)
    except MemoryError:
        return Answer(unreadable(rules, task.student, "judging it took more memory than a judge has", task.digest))
    return Answer(verdict, doubtful=verdict.starved)


def _taken_twice(rules: UnitRules, task: Task) -> Answer:
    """A sandbox without a hand-in says whose fault it was. Raises NoSandbox."""
    if missing := why_not():
        raise NoSandbox(missing)
    return Answer(unreadable(rules, task.student, GONE, task.digest), doubtful=True)


def _rules_of_version(unit: str, version: str) -> UnitRules:
    try:
        rules = rules_for(unit)
    except Exception as error:
        raise Unfit(f"expected unit {unit} in the clone of this judge, which can't be read ({error})") from None
    if rules.version != version:
        raise Unfit(
            f"expected the checks {version} of {unit}, and this judge has {rules.version}; "
            "check out the same commit everywhere, restart the workers and grade again"
        )
    return rules


def _take_in(folder: ClassFolder, unit: str, only: str | None, graded: Graded, tell: Tell) -> deque[Waiting]:
    """Canonical notebooks for all hand-ins; the ones that need a verdict."""
    rules, release = rules_for(unit), folder.release_notebook(unit)
    hand_ins = _asked_for(folder, unit, only)
    graded.problems += folder.not_graded(unit)
    zipped = (folder.root / "downloaded" / unit).is_dir()
    graded.verdicts = Verdicts(folder, unit, (h.student for h in hand_ins))
    todo: deque[Waiting] = deque()
    for done, each in enumerate(hand_ins):
        tell("taking in", done, len(hand_ins))
        out = folder.canonical_dir(each.student, unit)
        taken = intake.take_in(each.folder, release, unit, out, timestamps=folder.timestamps_file, zip_collected=zipped)
        old = folder.read_verdict(unit, each.student)
        if old is not None and (old.digest, old.check_version) == (taken.digest, rules.version):
            graded.kept += 1
        elif taken.reason:
            _keep(folder, unreadable(rules, each.student, taken.reason, taken.digest))
        else:
            todo.append(Waiting(each.student, taken.digest, taken.notes))
    return todo


class _Judging:
    """The hand-ins that wait for a verdict, given out a few at a time."""

    def __init__(self, folder: ClassFolder, graded: Graded, todo: deque[Waiting], ahead: int, tell: Tell) -> None:
        self.folder, self.graded, self.todo, self.ahead, self.tell = folder, graded, todo, ahead, tell
        self.rules, self.release = rules_for(graded.unit), folder.release_notebook(graded.unit)
        self.secret, self.total = folder.secret().hex(), len(todo)
        self.doubtful: list[tuple[Waiting, Verdict]] = []

    def run(self, pool: Executor) -> list[Waiting]:
        """Judge what waits. Returns early when a judge died and took the pool along: with those it had in hand."""
        running: dict[Future, Waiting] = {}
        suspects: list[Waiting] = []
        self.tell("judging", self.graded.judged, self.total)
        whole = True
        while running or (self.todo and whole):
            whole = whole and self._give_out(pool, running)
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                each = running.pop(future)
                if not future.cancelled() and isinstance(future.exception(), BrokenExecutor):
                    suspects.append(each)
                    whole = False
                else:
                    self._settle(each, _answer(future))
        return suspects

    def run_alone(self, each: Waiting) -> None:
        """Judge one hand-in in a pool of its own: it may be the one that breaks pools."""
        began = time.monotonic()
        with local_executor(1) as pool:
            answer = _answer(pool.submit(judge_task, self._task(each)))
        if answer.failed and time.monotonic() - began >= JUDGE_SECONDS:
            reason = f"judging it took longer than {JUDGE_SECONDS:g} s"
            answer = Answer(unreadable(self.rules, each.student, reason, each.digest))
        self._settle(each, answer)

    def run_doubtful(self, executor: Executor | None) -> None:
        """Judge again, one by one and after all others, who ran out of time or lost a sandbox on a busy machine.

        The second verdict counts. An executor of somebody else's may still judge another class.
        """
        doubtful, self.doubtful, give_up = self.doubtful, [], time.monotonic() + ALONE_SECONDS
        for each, verdict in doubtful:
            answer = Answer()
            if time.monotonic() < give_up:
                self.tell("judging alone", self.graded.judged, self.total)
                with contextlib.nullcontext(executor) if executor else local_executor(1) as pool:
                    answer = _answer(pool.submit(judge_task, self._task(each)))
            self._settle(each, answer if answer.verdict or answer.unfit else Answer(verdict), last=True)

    def _give_out(self, pool: Executor, running: dict[Future, Waiting]) -> bool:
        """Keep the pool busy; whether it is whole."""
        while self.todo and len(running) < self.ahead:
            try:
                running[pool.submit(judge_task, self._task(self.todo[0]))] = self.todo[0]
            except BrokenExecutor:
                return False
            self.todo.popleft()
        return True

    def _task(self, each: Waiting) -> bytes:
        unit = self.graded.unit
        text = (self.folder.canonical_dir(each.student, unit) / self.release.name).read_text(encoding="utf-8")
        return msgspec.json.encode(
            Task(unit, each.student, text, each.digest, each.notes, self.secret, self.rules.version)
        )

    def _settle(self, each: Waiting, answer: Answer, last: bool = False) -> None:
        if answer.unfit:
            raise Unfit(answer.unfit)
        if answer.doubtful and answer.verdict and not last and len(self.doubtful) < MOST_ALONE:
            self.doubtful.append((each, answer.verdict))
            return
        self.graded.judged += 1
        verdict = answer.verdict or self._given_up(each, answer.failed)
        if (verdict.student, verdict.unit, verdict.digest) != (each.student, self.graded.unit, each.digest):
            raise Unfit("a judge answered with a verdict on another hand-in; restart the workers and grade again")
        _keep(self.folder, verdict)
        self.tell("judging", self.graded.judged, self.total)

    def _given_up(self, each: Waiting, failed: str) -> Verdict:
        """No points and the reason; without a version, so that the next run judges again."""
        verdict = unreadable(self.rules, each.student, f"the judge could not finish: {failed}", each.digest)
        verdict.check_version = ""
        return verdict


def _answer(future: Future) -> Answer:
    """What a judging process answered, or why it did not."""
    try:
        return msgspec.json.decode(future.result(), type=Answer)
    except CancelledError:
        return Answer(unfit="the connection to the scheduler was lost; start it and its workers, and grade again")
    except Exception as error:
        killed = type(error).__name__ == "KilledWorker"  # of distributed, which not every clone has
        return Answer(failed="every Dask worker that judged it died" if killed else _one_line(error))


def _keep(folder: ClassFolder, verdict: Verdict) -> None:
    old = folder.read_verdict(verdict.unit, verdict.student)
    if old is not None:
        verdicts.follows(verdict, old, datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"))
    folder.write_verdict(verdict)


@lru_cache(maxsize=1)
def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


def _one_line(error: BaseException) -> str:
    said = " ".join(f"{type(error).__name__}: {error}".split())[:300]
    return said.encode("utf-8", "replace").decode()
