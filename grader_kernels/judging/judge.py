"""The verdict on one kernel file: right, safe, lean, compiles.

    with Judge() as judge:                       # warm: keep it for many files
        verdict = judge.judge("row_softmax", Path("my.py"))
    verdict = judge("row_softmax", Path("my.py"))    # the module's function: one shared Judge

The file is executed in a worker process only, which records what its launcher launches on stand-ins of the inputs. The
numbers come from a replay of these launches, from the kernels' source as the judge read it, on the judge's own inputs,
in a process that never saw the learner's Python. Comparison happens here.

What it does not judge: speed (`timing`, on a GPU), and anything that shows on a GPU alone. How a group is won:

right     three quarters for the weighted share of cases with right numbers, from kernels alone, and a quarter when
          all are right: one case that doesn't forgive costs that much; below half: no points in the other groups
safe      no finding in any case; the order of the programs changes nothing, nor does calling again
lean      in the cases that say so, at most the floor's bytes (times the case's slack) and the allowed launches
compiles  for every target, within its limits
"""

from __future__ import annotations

import ast
import atexit
import dataclasses
import functools
import inspect
import math
import os
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch

from grader_kernels import problem as problems
from grader_kernels.evidence import ORDER_MATTERS, Evidence, Finding, changed_input
from grader_kernels.judging import agree
from grader_kernels.judging.child import Child, Failed, Lost, Nursery, plain
from grader_kernels.judging.timing import NOT_MEASURED
from grader_kernels.judging.verdict import CaseResult, Group, KernelVerdict, Pattern, TensorRow, TrafficRow, pattern_of
from grader_kernels.problem import Case, Floor, Problem
from grader_kernels.replaying import lean
from grader_kernels.replaying.trace import Trace, TraceError, from_data, renamed, stand_in

TARGETS = ("sm_80", "sm_90")
MAX_SOURCE = 1_000_000  # characters of a file
MAX_TRACE = 8 << 20  # bytes
SPEED_SECONDS = 60.0
DIAGNOSED = 2  # failing cases that a known mistake must reproduce
ALL_RIGHT = 0.25  # part of `right` that only a file without a wrong case gets
ENOUGH = 0.5  # share of right cases below which the other groups are worth nothing: a constant is safe and lean, too
GIVE_UP = 2  # cases that may run out of time or memory before the rest is left alone


class NotAKernelFile(ValueError):
    """A file that can't be judged at all: not there, not text, not Python. One sentence."""


@dataclasses.dataclass
class _Ran:
    """What became of one case. `failure` says why there are no outputs, `dishonest` what the launcher did besides,
    `unwritten` what no kernel wrote. `other` is the case in another draw."""

    case: Case
    other: Case
    traced: bytes = b""
    launches: int = 0
    outputs: Any = None
    failure: str = ""
    kind: str = ""
    dishonest: list[str] = dataclasses.field(default_factory=list)
    unwritten: list[str] = dataclasses.field(default_factory=list)
    findings: list[Finding] = dataclasses.field(default_factory=list)
    evidence: Evidence = dataclasses.field(default_factory=Evidence)
    agreement: agree.Agreement = dataclasses.field(default_factory=lambda: agree.Agreement(False))

    @property
    def right(self) -> bool:
        return not self.failure and not self.dishonest and not self.unwritten and self.agreement.passed


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
            from grader_kernels.compiling.compiler import Compiler

            self._compiler = Compiler()
        return self._compiler

    def judge(
        self,
        problem: str | Problem,
        file: Path | str,
        *,
        seed: int | None = None,
        targets: Sequence[str] = TARGETS,
        tell: Callable[[str], None] = lambda what: None,
    ) -> KernelVerdict:
        """The verdict on a file (a Path), or on source text (a str).

        seed: of the inputs; None draws one that no file can guess, and the verdict says which.
        tell: is told what happens, for a progress line.
        Raises NotAKernelFile and problem.ProblemError.
        """
        started = time.monotonic()
        known = problem if isinstance(problem, Problem) else problems.load(problem)
        source, name = read(file)
        if not self.nursery.alive:
            self.nursery.close()
            self.nursery = Nursery()
        seed = secrets.randbits(63) if seed is None else seed
        found = _Judgement(self, known, source, name, seed, tuple(targets), tell).verdict()
        found.seconds = round(time.monotonic() - started, 3)
        return found


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


# --------------------------------------------------------------------------------------------------------------------
# One file


class _Judgement:
    """The judging of one file: a worker, an evidence process, cases, and what they add up to."""

    def __init__(
        self, judge: Judge, known: Problem, source: str, file: str, seed: int, targets: tuple[str, ...], tell: Callable
    ) -> None:
        self.judge, self.problem, self.source, self.file = judge, known, source, file
        self.seed, self.targets, self.tell = seed, targets, tell
        self.give_up = time.monotonic() + judge.total
        self.exhausted = 0
        self.worker: Child | None = None
        self.evidence: Child | None = None

    def verdict(self) -> KernelVerdict:
        settings = self.problem.settings
        found = KernelVerdict(self.problem.name, self.file, seed=self.seed, max_score=sum(settings.weights.values()))
        try:
            self.tell("running the file")
            self._loaded_worker()
            drawn, other = (self.problem.cases(np.random.Generator(bits)) for bits in self._bits())
            runs = [self._run(_Ran(*both)) for both in self._told(list(zip(drawn, other, strict=True)))]
            if all(ran.kind == "not_written" for ran in runs):
                raise Failed("not_written", "it is not written yet")
            if any(ran.right for ran in runs):
                self._call_again(runs)
            self._fill(found, runs)
        except (Failed, Lost) as error:
            found.reason = _reason(error)
            found.groups = [Group(name, settings.weights[name], 0.0) for name in problems.GROUPS]
        finally:
            for child in (self.worker, self.evidence):
                if child is not None:
                    child.end()
        return found

    def _bits(self) -> tuple[np.random.Philox, np.random.Philox]:
        """Of the judge's numbers, and of those that a worker may see."""
        return np.random.Philox(self.seed), np.random.Philox(self.seed).jumped()

    def _told(self, cases: list[tuple[Case, Case]]) -> Iterator[tuple[Case, Case]]:
        for number, case in enumerate(cases, 1):
            self.tell(f"case {number} of {len(cases)}: {case[0].title}")
            yield case

    # processes
    def _loaded_worker(self) -> Child:
        """A worker that has executed the file. Raises Failed and Lost."""
        if self.worker is None or not self.worker.alive:
            self.worker = self.judge.nursery.child("worker")
            self.worker.ask("load", self.source, self.file, self.problem.name, seconds=self._seconds())
        return self.worker

    def _seconds(self) -> float:
        return max(0.5, min(self.judge.seconds, self.give_up - time.monotonic()))

    def _traced(self, ran: _Ran) -> bytes:
        asked = ("record", self.problem.name, *_stand_in(ran))
        return self._a_trace(self._loaded_worker().ask(*asked, seconds=self._seconds()))

    def _a_trace(self, data: Any) -> bytes:
        """What a worker sent as a trace: bytes, not too many, and a trace that can be; its inputs are called as the
        problem calls them. Raises Lost."""
        if type(data) is not bytes or len(data) > MAX_TRACE:
            raise Lost("channel", "its process sent something that is no launch trace")
        names = list(inspect.signature(self.problem.reference).parameters)
        return msgspec.json.encode(_parsed(data, names))

    def _replayed(self, source: str, traced: bytes, case: Case, **options: Any) -> dict:
        if self.evidence is None or not self.evidence.alive:
            self.evidence = self.judge.nursery.child("evidence")
        options["may_change"] = list(self.problem.settings.may_change)
        options["reorder"] = False  # `_shuffle` does that, for every launch
        return self.evidence.ask(
            "replay", source, traced, tuple(case.args), dict(case.kwargs), options, seconds=self._seconds()
        )

    # cases
    def _run(self, ran: _Ran) -> _Ran:
        if self.exhausted >= GIVE_UP or time.monotonic() > self.give_up:
            ran.failure, ran.kind = "not run: the cases before it took too long, or too much memory", "skipped"
            return ran
        try:
            ran.traced = self._traced(ran)
            ran.launches = len(_parsed(ran.traced).launches)
        except (Failed, Lost) as error:
            return self._failed(ran, error, "the launcher")
        try:
            self._see(ran, self._replayed(self.source, ran.traced, ran.case))
            self._shuffle(ran)
        except (Failed, Lost) as error:
            return self._failed(ran, error, "the kernel")
        ran.agreement = self._compared(ran.case, ran.outputs)
        return ran

    def _failed(self, ran: _Ran, error: Failed | Lost, who: str) -> _Ran:
        self.exhausted += error.kind in ("timed_out", "memory")
        ran.failure, ran.kind = error.sentence, error.kind
        if ran.failure.startswith("it "):
            ran.failure = who + ran.failure.removeprefix("it")
        elif ran.failure.startswith("its "):
            ran.failure = f"{who}'s {ran.failure.removeprefix('its ')}"
        if isinstance(error, Failed) and error.finding is not None:
            ran.findings.append(error.finding)
            ran.failure = f"the launch ended in line {error.finding.line}: an access out of bounds"
        return ran

    def _see(self, ran: _Ran, found: dict) -> None:
        ran.outputs = found["outputs"]
        ran.evidence = msgspec.json.decode(found["evidence"], type=Evidence)
        ran.findings, ran.dishonest = list(ran.evidence.findings), list(ran.evidence.launcher)
        ran.unwritten = list(ran.evidence.unwritten)
        changed = [name for name in ran.evidence.changed if name not in self.problem.settings.may_change]
        if not any(f.kind == "input_changed" for f in ran.findings):  # no kernel did it
            ran.findings += [Finding("input_changed", changed_input(name), tensor=name) for name in changed]

    def _shuffle(self, ran: _Ran) -> None:
        """The same launches again, their programs in another order: nothing may change."""
        if ran.evidence.traffic.programs <= max(1, ran.evidence.traffic.kernels):
            return
        again = self._replayed(self.source, ran.traced, ran.case, order=f"shuffled:{self.seed}", watch=False)["outputs"]
        if self.problem.settings.atomics:
            same = self._compared(ran.case, again).passed or not self._compared(ran.case, ran.outputs).passed
        else:
            same = agree.bits(again) == agree.bits(ran.outputs)
        if not same:
            ran.findings.append(ORDER_MATTERS)

    def _compared(self, case: Case, got: Any) -> agree.Agreement:
        return agree.compare(got, *self.problem.expected(case), case.factor, self.problem.settings.eps)

    def _call_again(self, runs: list[_Ran]) -> None:
        """Call the launcher as a cache would like it: other shapes in between, the same tensors, the same numbers."""
        self.tell("calling it again")
        for ran in [ran for ran in runs if ran.right]:
            asked = (self.problem.name, *_stand_in(ran), _stand_in(ran))
            try:
                traces = self._loaded_worker().ask("again", *asked, seconds=self._seconds())
                if type(traces) is not list or len(traces) != 4:
                    raise Lost("channel", "its process sent an answer of a wrong shape")
                for traced in {self._a_trace(t) for t in traces} - {ran.traced}:
                    self._judge_other_trace(ran, traced)
            except (Failed, Lost) as error:
                ran.dishonest.append(f"when it is called again, {error.sentence}")

    def _judge_other_trace(self, ran: _Ran, traced: bytes) -> None:
        """A later call launched something else: it must be as right as the first."""
        found = self._replayed(self.source, traced, ran.case)
        again = _Ran(ran.case, ran.other)
        self._see(again, found)
        agreement = self._compared(ran.case, again.outputs)
        says = again.dishonest or again.unwritten or ([] if agreement.passed else [agreement.says])
        ran.dishonest += [f"a later call with the same shapes goes wrong: {sentence}" for sentence in says]

    # the verdict
    def _fill(self, found: KernelVerdict, runs: list[_Ran]) -> None:
        if any("a later call" in s or "called again" in s for ran in runs for s in ran.dishonest):
            for ran in runs:
                ran.dishonest = ran.dishonest or ["the launcher keeps results from one call to the next"]
        found.cases = [_case_result(ran) for ran in runs]
        found.findings = _once(finding for ran in runs for finding in ran.findings)
        found.traffic = [self._traffic(ran) for ran in runs if ran.case.lean and not ran.failure]
        found.pattern = _pattern(runs)
        weights = self.problem.settings.weights
        total = sum(ran.case.weight for ran in runs)
        share = sum(ran.case.weight for ran in runs if ran.right) / total if total else 0.0
        found.groups = [
            Group("right", weights["right"], weights["right"] * _part(share), self._right_says(runs)),
            self._group("safe", self._unsafe(runs, found.findings)),
            self._group("lean", self._wasteful(runs, found.traffic)),
            self._group("compiles", self._compiled(runs, found)),
        ]
        if share < ENOUGH:
            for group in found.groups[1:]:
                group.won, group.says = 0.0, group.says or ["no points while less than half of the cases are right"]
        found.misconception = self._diagnosis(runs)
        found.speed, found.speed_figures = self._speed(all(ran.right for ran in runs))
        found.score = round(sum(group.won for group in found.groups), 2)

    def _group(self, name: str, against: list[str]) -> Group:
        weight = self.problem.settings.weights[name]
        return Group(name, weight, 0.0 if against else weight, against)

    @staticmethod
    def _right_says(runs: list[_Ran]) -> list[str]:
        right = sum(ran.right for ran in runs)
        return [] if right == len(runs) else [f"{right} of {len(runs)} cases are right"]

    @staticmethod
    def _unsafe(runs: list[_Ran], findings: list[Finding]) -> list[str]:
        says = [finding.sentence for finding in findings]
        unknown = [ran for ran in runs if ran.failure and not ran.findings]
        if unknown and not says:
            says.append(f"not known: {unknown[0].case.title!r} did not run to its end")
        return says

    def _traffic(self, ran: _Ran) -> TrafficRow:
        floor: Floor = self.problem.floor(*ran.case.args, **ran.case.kwargs)
        measured, traffic = _meter(ran), ran.evidence.traffic
        moved = lean.moved(measured, floor.plain())
        says = lean.too_much(measured, floor.plain(), ran.case.slack, self.problem.settings.launches)
        if sum(tensor.role == "output" for tensor in traffic.tensors) == 1:
            says = says.replace("returned tensor 0", "the result")
        rows = [
            TensorRow(
                t.name,
                t.role,
                t.unique_loaded if t.name in floor.resident else t.loaded,
                t.stored,
                floor.loads.get(t.name, 0),
                _needed_stores(floor, t.name),
                round(32 * (t.load_sectors + t.store_sectors) / max(1, t.loaded + t.stored), 2),
            )
            for t in traffic.tensors
        ]
        return TrafficRow(
            ran.case.title, moved, floor.total, round(moved / max(1, floor.total), 3), ran.case.slack,
            traffic.launches, rows, says, floor.why, traffic.dot_flops,
        )  # fmt: skip

    @staticmethod
    def _wasteful(runs: list[_Ran], traffic: list[TrafficRow]) -> list[str]:
        says = [f"{row.says} ({row.case})" for row in traffic if row.says]
        wrong = [ran for ran in runs if ran.case.lean and not ran.right]
        if wrong and not says:
            says.append(f"not counted: the numbers are wrong in {wrong[0].case.title!r}")
        return says[:1] + [s for s in says[1:] if s.split(" (")[0] != says[0].split(" (")[0]]

    def _compiled(self, runs: list[_Ran], found: KernelVerdict) -> list[str]:
        from grader_kernels.compiling.compiler import judge_compiled

        chosen = [ran for ran in runs if ran.case.compile and ran.traced]
        if not chosen:
            return ["not known: there is no launch to compile"]
        for ran in chosen:
            self.tell(f"compiling for {', '.join(self.targets)}")
            data = msgspec.json.decode(ran.traced)
            for compiled in self.judge.compiler.check(self.source, data, self.targets):
                if compiled not in found.compiled:
                    found.compiled.append(compiled)
        return judge_compiled(found.compiled, self.problem.settings)

    def _speed(self, right: bool) -> tuple[str, dict[str, float]]:
        """A sentence and figures. Whoever is asked runs the learner's file: it is worth no points."""
        if torch.version.cuda is None:
            return NOT_MEASURED, {}
        if not right:
            return "speed was not measured: not all numbers are right", {}
        self.tell("measuring")
        child = self.judge.nursery.child("speed")
        try:
            said = child.ask("measure", self.source, self.file, str(self.problem.folder), seconds=SPEED_SECONDS)
            figures = msgspec.convert(said["figures"], dict[str, float])
            return plain(msgspec.convert(said["says"], str)), figures
        except (Failed, Lost) as error:
            return f"speed was not measured: {error.sentence}", {}
        except (KeyError, TypeError, msgspec.ValidationError):
            return "speed was not measured: the process that measured sent no figures", {}
        finally:
            child.end()

    # diagnosis
    def _diagnosis(self, runs: list[_Ran]) -> str:
        """The reason of the one known mistake that gives the same wrong numbers; "" when there is none, or several."""
        wrong = [ran for ran in runs if not ran.failure and not ran.dishonest and not ran.right][:DIAGNOSED]
        if not wrong:
            return ""
        self.tell("looking for a known mistake")
        same = [reason for path in self.problem.files("wrong") if (reason := self._same_mistake(path, wrong))]
        return same[0] if len(set(same)) == 1 else ""

    def _same_mistake(self, path: Path, wrong: list[_Ran]) -> str:
        """The file's reason when it loses `right` with the numbers of all these runs."""
        source = path.read_text("utf-8")
        group, reason = reason_of(source)
        if group != "right":
            return ""
        worker = self.judge.nursery.child("worker")  # our own file, away from the learner's worker
        try:
            worker.ask("load", source, str(path), self.problem.name, seconds=self._seconds())
            for ran in wrong:
                case = (tuple(ran.case.args), dict(ran.case.kwargs))
                traced = self._a_trace(worker.ask("record", self.problem.name, *case, seconds=self._seconds()))
                theirs = self._replayed(source, traced, ran.case, watch=False)["outputs"]
                if not agree.alike(ran.outputs, theirs):
                    return ""
            return reason
        except (Failed, Lost):
            return ""
        finally:
            worker.end()


def reason_of(source: str) -> tuple[str, str]:
    """(group, reason) of a file in `wrong/`: its first line is `# loses GROUP: reason`."""
    group, _, reason = source.partition("\n")[0].removeprefix("# loses ").partition(": ")
    return group, reason


# --------------------------------------------------------------------------------------------------------------------
# Small parts


def _part(share: float) -> float:
    """Of the points of `right`, by the weighted share of right cases."""
    return 1.0 if share == 1.0 else (1 - ALL_RIGHT) * share


def _stand_in(ran: _Ran) -> tuple[tuple, dict]:
    """What a worker is called with: nothing that another draw of the case would not hold, too."""
    case, other = ((tuple(case.args), dict(case.kwargs)) for case in (ran.case, ran.other))
    return stand_in(case, other)


def _parsed(data: bytes, names: list[str] | None = None) -> Trace:
    try:
        trace = from_data(msgspec.json.decode(data))
        return trace if names is None else renamed(trace, names)
    except (TraceError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Lost("channel", f"its launches can't be judged: {plain(str(error))}") from None


def _reason(error: Failed | Lost) -> str:
    says = error.sentence
    return f"the file can't be judged: {says}" if error.kind not in ("not_written", "missing") else says


def _case_result(ran: _Ran) -> CaseResult:
    numbers_wrong = not ran.failure and not ran.agreement.passed
    ended = [ran.failure] if ran.failure else [ran.agreement.says] if numbers_wrong else []
    says = [*ran.dishonest, *ran.unwritten, *ended]
    hint = ran.case.points_to if numbers_wrong and not ran.findings and not ran.dishonest else ""
    figures = ran.agreement.error, ran.agreement.allowed
    error, allowed = (None if figure is None or not math.isfinite(figure) else figure for figure in figures)
    return CaseResult(ran.case.title, ran.right, says, hint, error, allowed, ran.case.weight)


def _once(findings: Iterator[Finding]) -> list[Finding]:
    """Each defect once: the first of those with the same kind, kernel, line and tensor."""
    seen: dict[tuple, Finding] = {}
    for finding in findings:
        seen.setdefault((finding.kind, finding.kernel, finding.line, finding.tensor), finding)
    return list(seen.values())


def _meter(ran: _Ran) -> dict[str, Any]:
    return lean.summary(msgspec.to_builtins(ran.evidence.traffic))


def _needed_stores(floor: Floor, tensor: str) -> int:
    """What has to be stored into a tensor. The floor says "out", or "out 0"; the meter "returned tensor 0"."""
    number = tensor.removeprefix("returned tensor ")
    names = (f"out {number}", "out") if number == "0" else (f"out {number}", tensor)
    return next((floor.stores[name] for name in names if name in floor.stores), 0)


def _pattern(runs: list[_Ran]) -> Pattern | None:
    """The access pattern of the most telling right case: the one with the most accesses that is metered."""
    shown = [ran for ran in runs if ran.evidence.traffic.pattern]
    shown = [ran for ran in shown if ran.case.lean] or shown
    if not shown:
        return None
    ran = max(shown, key=lambda r: len(r.evidence.traffic.pattern))
    results = agree.outputs(ran.outputs).values()
    return pattern_of(ran.evidence.traffic, _parsed(ran.traced), results, ran.case.title)
