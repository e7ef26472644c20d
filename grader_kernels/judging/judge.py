"""The kernel judge for one's own files: what `course kernel` asks.

    with Judge() as judge:                       # warm: keep it for many files
        verdict = judge.judge("row_softmax", Path("my.py"))
    verdict = judge("row_softmax", Path("my.py"))    # the module's function: one shared Judge

The file is executed in a worker process only, which records what its launcher launches on stand-ins of the inputs. The
numbers come from a replay of these launches, from the kernels' source as the judge read it, on the judge's own inputs,
in a process that never saw the learner's Python. What it adds up to is `judgement`'s.

What it does not judge: speed (`timing`, on a GPU), and anything that shows on a GPU alone.
"""

from __future__ import annotations

import ast
import atexit
import contextlib
import functools
import os
import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import torch

from grader_kernels import problem as problems
from grader_kernels.compiling.compiler import Compiler, Seen
from grader_kernels.evidence import Compiled, Evidence
from grader_kernels.judging.child import Child, Nursery
from grader_kernels.judging.judgement import TARGETS, Failed, Judgement, Lost, Replayed, outcome, plain
from grader_kernels.judging.task import Known, Outcome, Posed, Task, pose
from grader_kernels.judging.timing import NOT_MEASURED
from grader_kernels.judging.verdict import KernelVerdict, Named
from grader_kernels.problem import Problem

MAX_SOURCE = 1_000_000  # characters of a file
SPEED_SECONDS = 60.0


class NotAKernelFile(ValueError):
    """A file that can't be judged at all: not there, not text, not Python. One sentence."""


class Mistake(NamedTuple):
    """A known wrong kernel file of a problem: what it is called, and its source."""

    named: Named
    source: str


class Judge:
    """Warm processes, for many files one after another. A context manager.

    seconds   for one call of the launcher, and for one replay of it        total   for all cases of one file
    compiler  a grader_kernels.compiling.compiler.Compiler to share; else its own
    """

    def __init__(self, *, seconds: float = 10.0, total: float = 90.0, compiler: Any = None) -> None:
        self.nursery = Nursery()
        self.seconds, self.total = seconds, total
        self._compiler, self._own_compiler = compiler, compiler is None

    def __enter__(self) -> Judge:
        return self

    def __exit__(self, *what: Any) -> None:
        self.close()

    def close(self) -> None:
        """End its processes. Safe to call twice."""
        self.nursery.close()
        if self._own_compiler and self._compiler is not None:
            self._compiler.close()
            self._compiler = None

    @property
    def compiler(self) -> Any:
        """The warm compile process, started when it is first needed."""
        if self._compiler is None:
            self._compiler = Compiler()
        return self._compiler

    def judge(
        self,
        problem: str | Problem,
        file: Path | str,
        *,
        seed: int | None = None,
        targets: Sequence[str] = TARGETS,
        mistakes: Iterable[Mistake] = (),
        reference: str = "",
        tell: Callable[[str], None] = lambda what: None,
    ) -> KernelVerdict:
        """The verdict on a file (a Path), or on source text (a str).

        seed: of the inputs; None draws one that no file can guess, and the verdict says which. mistakes: those that may
        be recognised, taken when they are needed. reference: the source of our kernel, for a comparison of speed where
        there is a GPU. tell: is told what happens, for a progress line.
        Raises NotAKernelFile and problem.ProblemError.
        """
        started = time.monotonic()
        known = problem if isinstance(problem, Problem) else problems.load(problem)
        source, name = read(file)
        if not self.nursery.alive:
            self.nursery.close()
            self.nursery = Nursery()
        seed = secrets.randbits(63) if seed is None else seed
        task = pose(known, seed)
        with ChildHands(self, task, source, name) as hands:
            tell("running the file")
            remembered = (Known(m.named, _Live(self, task, m.source)) for m in mistakes)
            found = Judgement(task, hands, targets=targets, known=remembered, tell=tell).verdict()
        found.file, found.seed = name, seed
        found.speed, found.speed_figures = self._speed(found, source, name, known, reference, tell)
        found.seconds = round(time.monotonic() - started, 3)
        return found

    def _speed(
        self, found: KernelVerdict, source: str, file: str, known: Problem, reference: str, tell: Callable[[str], None]
    ) -> tuple[str, dict[str, float]]:
        """A sentence and figures. Whoever is asked runs the learner's file: it is worth no points."""
        if torch.version.cuda is None or not reference:
            return NOT_MEASURED, {}
        if not all(case.passed for case in found.cases) or found.reason:
            return "speed was not measured: not all numbers are right", {}
        tell("measuring")
        child = self.nursery.child("speed")
        try:
            said = child.ask("measure", source, file, str(known.folder), reference, seconds=SPEED_SECONDS)
            figures = msgspec.convert(said["figures"], dict[str, float])
            return plain(msgspec.convert(said["says"], str)), figures
        except (Failed, Lost) as error:
            return f"speed was not measured: {error.sentence}", {}
        except (KeyError, TypeError, msgspec.ValidationError):
            return "speed was not measured: the process that measured sent no figures", {}
        finally:
            child.end()


@functools.cache
def _shared(process: int) -> Judge:
    made = Judge()
    atexit.register(lambda: os.getpid() == process and made.close())
    return made


def judge(problem: str | Problem, file: Path | str, **options: Any) -> KernelVerdict:
    """Judge.judge with one Judge for the life of this process."""
    return _shared(os.getpid()).judge(problem, file, **options)


def read(file: Path | str) -> tuple[str, str]:
    """(source, name) of a file or of source text. Raises NotAKernelFile."""
    name = str(file) if isinstance(file, Path) else "source.py"
    if isinstance(file, Path):
        try:
            file = file.read_text("utf-8")
        except UnicodeDecodeError:
            raise NotAKernelFile(f"{name} is not text: expected Python source in UTF-8") from None
        except OSError as error:
            raise NotAKernelFile(f"{name} can't be read ({error.strerror}): expected a Python file") from None
    if len(file) > MAX_SOURCE:
        raise NotAKernelFile(f"{name} has {len(file):,} characters; a kernel file has at most {MAX_SOURCE:,}")
    try:
        ast.parse(file)
    except SyntaxError as error:
        raise NotAKernelFile(f"{name} is not Python: {error.msg} (line {error.lineno})") from None
    except (ValueError, RecursionError, MemoryError):
        raise NotAKernelFile(f"{name} can't be read as Python") from None
    return file, name


class ChildHands:
    """judgement.Hands in children of the nursery: a worker for the file, another process for replays."""

    def __init__(self, judge: Judge, task: Task, source: str, file: str) -> None:
        self.judge, self.task, self.source, self.file = judge, task, source, file
        self.deadline = time.monotonic() + judge.total
        self.worker: Child | None = None
        self.evidence: Child | None = None

    def __enter__(self) -> ChildHands:
        return self

    def __exit__(self, *what: Any) -> None:
        for child in (self.worker, self.evidence):
            if child is not None:
                child.end()

    def begin(self) -> None:
        """Execute the file."""
        self.judge.compiler.drop()
        self._loaded_worker()

    def trace(self, case: Posed) -> bytes:
        return self._loaded_worker().ask("record", self.task.name, *case.shown(), seconds=self._seconds())

    def again(self, case: Posed) -> list[bytes]:
        asked = (self.task.name, *case.shown(), case.shown())
        return self._loaded_worker().ask("again", *asked, seconds=self._seconds())

    def replay(self, traced: bytes, case: Posed, **options: Any) -> Replayed:
        if self.evidence is None or not self.evidence.alive:
            self.evidence = self.judge.nursery.child("evidence")
        asked = (self.source, traced, case.args, case.kwargs, options)
        found = self.evidence.ask("replay", *asked, seconds=self._seconds())
        return Replayed(found["outputs"], msgspec.json.decode(found["evidence"], type=Evidence))

    def order(self, traced: bytes, targets: Sequence[str]) -> None:
        self.judge.compiler.order(self.source, msgspec.json.decode(traced), tuple(targets))

    def compile(self, traced: bytes, targets: Sequence[str], seen: Seen) -> list[Compiled]:
        return self.judge.compiler.check(self.source, msgspec.json.decode(traced), tuple(targets), seen=seen)

    def _loaded_worker(self) -> Child:
        """A worker that has executed the file. Raises Failed and Lost."""
        if self.worker is None or not self.worker.alive:
            self.worker = self.judge.nursery.child("worker")
            self.worker.ask("load", self.source, self.file, self.task.name, seconds=self._seconds())
        return self.worker

    def _seconds(self) -> float:
        return max(0.5, min(self.judge.seconds, self.deadline - time.monotonic()))


class _Live:
    """The outcomes of a known mistake on this task, worked out one by one as they are asked for."""

    def __init__(self, judge: Judge, task: Task, source: str) -> None:
        self.judge, self.task, self.source = judge, task, source

    def __getitem__(self, index: int) -> Outcome:
        alone = msgspec.structs.replace(self.task, cases=[self.task.cases[index]])
        with ChildHands(self.judge, alone, self.source, "mistake.py") as hands:
            for earlier in self.task.cases[:index]:  # an answer may remember them
                with contextlib.suppress(Failed, Lost):
                    hands.trace(earlier)
            judged = Judgement(alone, hands)
            judged.verdict()
            return outcome(judged.runs[0]) if judged.runs else Outcome(["failed: not run"])
