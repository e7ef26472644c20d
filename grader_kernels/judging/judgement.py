"""The judgement of one launcher: right, safe, lean, compiles. One and the same in a notebook, in a class and by
`course kernel`; they differ in the hands that run things, and in the numbers.

    verdict = Judgement(task, hands).verdict()

Numbers come from a replay of the launcher's launches, made from the kernels' source on the task's own inputs; the
launcher itself is shown others (task.Posed.shown). How a group is won:

right     three quarters for the weighted share of cases with right numbers, from kernels alone, and a quarter when
          all are right: one case that doesn't forgive costs that much; below half: no points in the other groups
safe      no finding in any case; neither the order of the programs nor what masked lanes hold changes anything, nor
          does calling again
lean      in the cases that say so, at most the floor's bytes (times the case's slack) and the allowed launches; as many
          programs share the work as the task asks for
compiles  in the cases that say so, for every target; what else is launched, for the first, and no further than the
          front end where it is smaller than what was compiled (compiling.footprint); within their limits. A kernel that
          the compiler refuses gets no points for `lean` either

Not here: who runs what (`hands`, `judge`, autograder.judging.remote), and anything that shows on a GPU alone.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import msgspec
import torch

from grader_kernels.compiling.compiler import Seen, exceeds, judge_compiled
from grader_kernels.evidence import (
    LANES_MATTER,
    MASKED_MATTERS,
    ORDER_MATTERS,
    Access,
    Compiled,
    Evidence,
    Finding,
    Traffic,
    changed_input,
)
from grader_kernels.judging import agree
from grader_kernels.judging.task import Known, Outcome, Posed, Task
from grader_kernels.judging.verdict import (
    CaseResult,
    Group,
    KernelVerdict,
    Named,
    Pattern,
    TensorRow,
    TrafficRow,
)
from grader_kernels.problem import GROUPS
from grader_kernels.replaying import lean
from grader_kernels.replaying.trace import Trace, TraceError, extent_of, from_data, renamed

TARGETS = ("sm_80", "sm_90")
MAX_TRACE = 8 << 20  # bytes
MAX_WORDS = 600  # characters of a sentence that came from somebody else's process
ALL_RIGHT = 0.25  # part of `right` that only a file without a wrong case gets
ENOUGH = 0.5  # share of right cases below which the other groups are worth nothing: a constant is safe and lean, too
GIVE_UP = 2  # cases that may run out of time or memory before the rest is left alone
TF32 = (
    "tl.dot multiplies float32 tiles as tf32 where nothing else is said, with 10 bits behind the point: the numbers "
    'are right with input_precision="ieee"'
)
COMPILING = 120.0  # seconds for what is launched besides the cases that are about compiling
IDLE_PROGRAMS, IDLE_TIMES = 512, 0.9  # so many without anything to do, and this share of all: no fixed grid is so large
_VERB = re.compile(r": (reads|writes|updates) ")
CLEARLY = 1e-2  # of the largest number: by so much the answers of two known mistakes have to differ somewhere


class Lost(Exception):
    """A process is gone: it died, ran too long, or sent what can't be read. One sentence part: "it ..."."""

    def __init__(self, kind: str, sentence: str) -> None:
        super().__init__(sentence)
        self.kind, self.sentence = kind, sentence


class Failed(Exception):
    """A launcher or a replay could not. kind: "not_written", "missing", "memory", "language", "fault" or "raised".
    causes: what was found before the finding that ended it, and may have led to it."""

    def __init__(
        self, kind: str, sentence: str, finding: Finding | None = None, causes: Sequence[Finding] = ()
    ) -> None:
        super().__init__(sentence)
        self.kind, self.sentence, self.finding, self.causes = kind, sentence, finding, list(causes)


class Replayed(NamedTuple):
    """What a replay gave: what the launcher returned, as the kernels left it, and what was seen."""

    outputs: Any
    evidence: Evidence


class Hands(Protocol):
    """Runs a launcher and replays its launches, somewhere. Each raises Failed and Lost.

    deadline: by time.monotonic(); cases that would begin after it are left alone.
    """

    deadline: float

    def begin(self) -> None:
        """Before the first case: what raises here says that nothing can be judged at all."""

    def trace(self, case: Posed) -> bytes:
        """The launch trace of one call on what the case shows, as JSON."""

    def again(self, case: Posed) -> list[bytes]:
        """The traces of four further calls that a cache would answer (see `trace.called_again`)."""

    def replay(self, traced: bytes, case: Posed, **options: Any) -> Replayed:
        """The replay on the case's own numbers. options: of replaying.replay.replay_source."""

    def order(self, traced: bytes, targets: Sequence[str]) -> None:
        """What `compile` will be asked for may be begun with. Raises nothing."""

    def compile(self, traced: bytes, targets: Sequence[str], seen: Seen) -> list[Compiled]:
        """The kernels of its launches, compiled, but for what `seen` spares."""


class Ran(msgspec.Struct):
    """What became of one case. `failure` says why there are no outputs, `dishonest` what the launcher did besides,
    `unwritten` what no kernel wrote, `refused` what a GPU's compiler says against its kernels, `idle` that too few
    programs work, `many` that there are too many launches or programs, `block` that a program holds too much, `hint`
    why numbers are wrong."""

    case: Posed
    traced: bytes = b""
    launches: int = 0
    outputs: Any = None
    failure: str = ""
    kind: str = ""
    dishonest: list[str] = []
    unwritten: list[str] = []
    findings: list[Finding] = []
    evidence: Evidence = msgspec.field(default_factory=Evidence)
    agreement: agree.Agreement = msgspec.field(default_factory=lambda: agree.Agreement(False))
    traffic: TrafficRow | None = None
    compiled: list[Compiled] = []
    refused: list[str] = []
    idle: str = ""
    many: str = ""
    block: str = ""
    hint: str = ""

    @property
    def right(self) -> bool:
        return not self.failure and not self.dishonest and not self.unwritten and self.agreement.passed


class Judgement:
    """The judging of one launcher. tell: is told what happens. known: mistakes that may be recognised."""

    def __init__(
        self,
        task: Task,
        hands: Hands,
        *,
        targets: Sequence[str] = TARGETS,
        known: Iterable[Known] = (),
        tell: Callable[[str], None] = lambda what: None,
    ) -> None:
        self.task, self.hands, self.targets, self.tell = task, hands, tuple(targets), tell
        self.settings, self.known = task.settings, known
        self.exhausted = 0
        self.compiling = 0.0  # seconds
        self.runs: list[Ran] = []

    def verdict(self) -> KernelVerdict:
        """The verdict; a file that can't be judged has a reason and no points. Raises what `hands` raise besides
        Failed and Lost."""
        found = KernelVerdict(self.task.name, max_score=sum(self.settings.weights.values()))
        try:
            self.hands.begin()
            self.runs = [self._run(case, number) for number, case in enumerate(self.task.cases, 1)]
            kinds = {ran.kind for ran in self.runs}
            if kinds in ({"not_written"}, {"missing"}):
                raise Failed(*kinds, self.runs[0].failure)
            if any(ran.right for ran in self.runs):
                self._call_again()
            self._fill(found)
        except (Failed, Lost) as error:
            found.reason, found.kind = _reason(error), error.kind
            found.groups = [Group(name, self.settings.weights[name], 0.0) for name in GROUPS]
        return found

    def outcomes(self) -> list[Outcome]:
        """What each case gave, once there is a verdict."""
        return [outcome(ran) for ran in self.runs]

    # cases
    def _run(self, case: Posed, number: int) -> Ran:
        ran = Ran(case)
        if self.exhausted >= GIVE_UP or time.monotonic() > self.hands.deadline:
            ran.failure, ran.kind = "not run: the cases before it took too long, or too much memory", "skipped"
            return ran
        self.tell(f"case {number} of {len(self.task.cases)}: {case.title}")
        try:
            ran.traced = self._named(self.hands.trace(case))
            ran.launches = len(_parsed(ran.traced).launches)
            if case.compile:
                self.hands.order(ran.traced, self.targets)
        except (Failed, Lost) as error:
            return self._failed(ran, error, "the launcher")
        try:
            self._see(ran, self._replay(ran.traced, case))
            self._shuffle_or_wait(ran)
        except (Failed, Lost) as error:
            return self._failed(ran, error, "the kernel")
        ran.agreement = agree.compare(ran.outputs, case.expected)
        ran.hint = self._why_wrong(ran)
        return ran

    def _why_wrong(self, ran: Ran) -> str:
        """Wrong numbers that are right without tf32 are told so."""
        if ran.agreement.passed or "tf32" not in ran.evidence.traffic.dot_dtypes:
            return ""
        exactly = self._replay(ran.traced, ran.case, watch=False, tf32=False).outputs
        return TF32 if agree.compare(exactly, ran.case.expected).passed else ""

    def _named(self, data: Any) -> bytes:
        """What a worker sent as a trace: bytes, not too many, and a trace that can be; its inputs are called as the
        problem calls them. Raises Lost."""
        if type(data) is not bytes or len(data) > MAX_TRACE:
            raise Lost("channel", "its process sent something that is no launch trace")
        return msgspec.json.encode(_parsed(data, self.task.parameters))

    def _replay(self, traced: bytes, case: Posed, **options: Any) -> Replayed:
        options |= {"may_change": list(self.settings.may_change), "may_read": list(self.settings.may_read)}
        options |= {"contiguous": self.settings.contiguous, "reorder": False}  # `_shuffle` does, every launch
        return self.hands.replay(traced, case, **options)

    def _failed(self, ran: Ran, error: Failed | Lost, who: str) -> Ran:
        self.exhausted += error.kind in ("timed_out", "memory")
        ran.failure, ran.kind = error.sentence, error.kind
        if ran.kind in ("not_written", "missing"):
            return ran
        if ran.failure.startswith("it "):
            ran.failure = who + ran.failure.removeprefix("it")
        elif ran.failure.startswith("its "):
            ran.failure = f"{who}'s {ran.failure.removeprefix('its ')}"
        if isinstance(error, Failed) and error.finding is not None:
            ran.findings += [*error.causes, error.finding]
            why = "it waits for ever" if error.finding.kind == "waiting" else "an access out of bounds"
            ran.failure = f"the launch ended in line {error.finding.line}: {why}"
        return ran

    def _see(self, ran: Ran, found: Replayed) -> None:
        ran.outputs, ran.evidence = found
        ran.findings, ran.dishonest = list(ran.evidence.findings), list(ran.evidence.launcher)
        ran.unwritten = list(ran.evidence.unwritten)
        changed = [name for name in ran.evidence.changed if name not in self.settings.may_change]
        if not any(f.kind == "input_changed" for f in ran.findings):  # no kernel did it
            ran.findings += [Finding("input_changed", changed_input(name), tensor=name) for name in changed]

    def _shuffle_or_wait(self, ran: Ran) -> None:
        """`_shuffle`; a program that waits for another one in another order has right numbers and is not safe."""
        try:
            self._shuffle(ran)
        except Failed as error:
            if error.finding is None or error.finding.kind != "waiting":
                raise
            ran.findings.append(error.finding)

    def _shuffle(self, ran: Ran) -> None:
        """The same launches again, their programs and the lanes of their atomics in another order, and with other
        numbers in lanes that no load has filled: nothing may change. Not where numbers came from elsewhere than from
        kernels: those are not the same in any two replays."""
        if ran.dishonest:
            return
        several = ran.evidence.traffic.programs > max(1, ran.evidence.traffic.kernels)
        order = ORDER_MATTERS if several else LANES_MATTER
        several = several or ran.evidence.atomics
        told = ran.unwritten or any(f.kind in ("uninitialised", "masked_lane") for f in ran.findings)
        masked, others = ran.evidence.unfilled and not told, "marked" if told else "mixed"
        if several and not self._same(ran, order="shuffled:1", unfilled=others):
            masked = masked and self._same(ran, order="shuffled:1")
            ran.findings.append(MASKED_MATTERS if masked else order)
        elif masked and not several and not self._same(ran, unfilled=others):
            ran.findings.append(MASKED_MATTERS)

    def _same(self, ran: Ran, **options: Any) -> bool:
        """Whether a replay with these options gives what the first one gave."""
        again = self._replay(ran.traced, ran.case, watch=False, **options).outputs
        if not self.settings.atomics:
            return agree.bits(again) == agree.bits(ran.outputs)
        passed = agree.compare(again, ran.case.expected).passed
        return passed or not agree.compare(ran.outputs, ran.case.expected).passed

    def _call_again(self) -> None:
        """Call the launcher as a cache would like it: other shapes in between, the same tensors, the same numbers."""
        self.tell("calling it again")
        for ran in [ran for ran in self.runs if ran.right]:
            try:
                traces = self.hands.again(ran.case)
                if type(traces) is not list or len(traces) != 4:
                    raise Lost("channel", "its process sent an answer of a wrong shape")
                for traced in {self._named(t) for t in traces} - {ran.traced}:
                    self._judge_other_trace(ran, traced)
            except (Failed, Lost) as error:
                ran.dishonest.append(f"when it is called again, {error.sentence}")

    def _judge_other_trace(self, ran: Ran, traced: bytes) -> None:
        """A later call launched something else: it must be as right as the first."""
        again = Ran(ran.case)
        self._see(again, self._replay(traced, ran.case))
        agreement = agree.compare(again.outputs, ran.case.expected)
        says = again.dishonest or again.unwritten or ([] if agreement.passed else [agreement.says])
        ran.dishonest += [f"a later call with the same shapes goes wrong: {sentence}" for sentence in says]

    # the verdict
    def _fill(self, found: KernelVerdict) -> None:
        runs, weights = self.runs, self.settings.weights
        if any("a later call" in s or "called again" in s for ran in runs for s in ran.dishonest):
            for ran in runs:
                ran.dishonest = ran.dishonest or ["the launcher keeps results from one call to the next"]
        seen = Seen()
        for ran in sorted(runs, key=lambda ran: (not ran.case.compile, -_elements(ran.case))):
            self._count_and_compile(ran, seen)
        found.cases = [_case_result(ran) for ran in runs]
        found.findings = _once(finding for ran in runs for finding in ran.findings)
        found.traffic = [ran.traffic for ran in runs if ran.traffic]
        found.compiled = _different(each for ran in runs for each in ran.compiled)
        found.pattern = _pattern(runs)
        total = sum(ran.case.weight for ran in runs)
        share = sum(ran.case.weight for ran in runs if ran.right) / total if total else 0.0
        found.groups = [
            Group("right", weights["right"], weights["right"] * _part(share), _right_says(runs)),
            self._group("safe", _unsafe(runs, found.findings)),
            self._group("lean", _wasteful(runs)),
            self._group("compiles", self._uncompiled(found.compiled)),
        ]
        if any(one.error for one in found.compiled):
            lean = found.group("lean")
            lean.won, lean.says = 0.0, [*lean.says, "not counted: what no compiler takes runs on no GPU"]
        if share < ENOUGH:
            for group in found.groups[1:]:
                group.won, group.says = 0.0, group.says or ["no points while less than half of the cases are right"]
        found.score = round(sum(group.won for group in found.groups), 2)
        if not found.full:
            self.tell("looking for a known mistake")
            found.misconception = recognise(self.outcomes(), self.known)

    def _count_and_compile(self, ran: Ran, seen: Seen) -> None:
        if ran.case.floor and not ran.failure:
            ran.traffic = _traffic(ran, self.settings.launches)
        if not ran.failure and ran.evidence.traffic.busy < ran.case.programs:
            ran.idle = _idle(ran, self.settings.share)
        if not ran.failure:
            ran.many = _too_many(ran, self.settings.launches)
            ran.block = _beyond_its_block(ran, self.settings.block)
        if ran.traced:
            self._compile(ran, seen)

    def _compile(self, ran: Ran, seen: Seen) -> None:
        """Cases that are not about compiling show only what is wrong with launches that no case before them had, and
        nothing more once something was refused."""
        if not ran.case.compile and any(other.refused for other in self.runs):
            return
        targets = self.targets if ran.case.compile else self.targets[:1]
        seen.sparing = not ran.case.compile
        self.tell(f"compiling for {', '.join(targets)}")
        began = time.monotonic()
        ran.compiled = self.hands.compile(ran.traced, targets, seen)
        self.compiling += time.monotonic() - began
        if not ran.case.compile and self.compiling > COMPILING:
            late = f"compiling all that is launched was not finished after {COMPILING:g} seconds"
            ran.compiled = [Compiled(self.task.name, targets[0], error=late)]
        elif not ran.case.compile:
            ran.compiled = [one for one in ran.compiled if exceeds(one, self.settings, ran.case.stack)]
        ran.refused = judge_compiled(ran.compiled, self.settings)

    def _group(self, name: str, against: list[str]) -> Group:
        weight = self.settings.weights[name]
        return Group(name, weight, 0.0 if against else weight, against)

    def _uncompiled(self, compiled: list[Compiled]) -> list[str]:
        if not any(ran.case.compile and ran.traced for ran in self.runs):
            return ["not known: there is no launch to compile"]
        return judge_compiled(compiled, self.settings)


# --------------------------------------------------------------------------------------------------------------------
# Known mistakes


def outcome(ran: Ran) -> Outcome:
    """What a case gave, as far as it belongs to the mistake that was made."""
    signs = {_sign(finding) for finding in ran.findings} | ({f"failed: {ran.kind}"} if ran.failure else set())
    told = {"launcher": ran.dishonest, "unwritten": ran.unwritten}
    if ran.case.compile:  # else what is compiled depends on the cases before
        signs |= {f"error: {error}" for error in [_told_by_compiler(ran.compiled)] if error}
        told |= {"limits": ran.refused}
    told |= {"many": ran.many, "block": ran.block, "idle": ran.idle, "tf32": ran.hint, "waits": ran.evidence.waits}
    signs |= {name for name, says in told.items() if says}
    if ran.traffic and ran.traffic.says:
        signs |= {"bytes" if ran.traffic.ratio > ran.traffic.limit else "lean", f"{ran.launches} launches"}
        signs |= {"read back" for row in ran.traffic.tensors if row.role == "output" and row.loaded}
    right = ran.right or not isinstance(ran.outputs, (torch.Tensor, tuple, list, dict))
    return Outcome(sorted(signs), [] if right else _tensors(ran.outputs))


def _sign(finding: Finding) -> str:
    """A finding without its place. A load outside is no store outside, and the lanes that are outside tell a missing
    mask from one that is too wide."""
    if finding.kind != "out_of_bounds":
        return finding.kind
    verb = _VERB.search(finding.sentence)
    return f"{finding.kind}, {verb[1] if verb else ''} {finding.lanes} lanes"


def _told_by_compiler(compiled: Sequence[Compiled]) -> str:
    """The first error without the learner's own names and numbers: kernels are refused alike when it is the same."""
    error = next((each.error for each in compiled if each.error), "")
    return re.sub(r"\d+", "#", re.sub(r"`[^`]*`|'[^']*'", "``", error))


def _tensors(value: Any) -> list[torch.Tensor]:
    return [part for part in agree.outputs(value).values() if isinstance(part, torch.Tensor)]


def same(ours: Outcome, theirs: Outcome, tolerance: float = 1e-4) -> bool:
    """Did the two make the same mistake in this case, or none?"""
    return ours.signs == theirs.signs and agree.alike(ours.outputs, theirs.outputs, tolerance)


def recognise(outcomes: list[Outcome], known: Iterable[Known]) -> Named | None:
    """The one known mistake that gives the same in every case; several are told as "one of".

    Cases in which something is wrong are asked first: `known` may work out an outcome only when it is asked for.
    """
    left = list(known)
    quiet = Outcome()
    for index in sorted(range(len(outcomes)), key=lambda i: same(outcomes[i], quiet)):
        left = [mistake for mistake in left if same(outcomes[index], mistake.outcomes[index])]
        if not left:
            return None
    if len(left) < 2:
        return left[0].named if left else None
    names, sentences = ([getattr(each.named, part) for each in left] for part in ("name", "sentence"))
    return Named(" | ".join(names), f"one of: {'; or: '.join(sentences)}", left[0].named.next)


# --------------------------------------------------------------------------------------------------------------------
# Small parts


def _part(share: float) -> float:
    """Of the points of `right`, by the weighted share of right cases."""
    return 1.0 if share == 1.0 else (1 - ALL_RIGHT) * share


def _parsed(data: bytes, names: list[str] | None = None) -> Trace:
    try:
        trace = from_data(msgspec.json.decode(data))
        return trace if names is None else renamed(trace, names)
    except (TraceError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Lost("channel", f"its launches can't be judged: {plain(str(error))}") from None


def plain(words: str) -> str:
    """One line, printable, not too long: words of a process that ran somebody else's code."""
    line = " ".join("".join(c if c.isprintable() else " " for c in words).split())
    return line if len(line) <= MAX_WORDS else line[: MAX_WORDS - 3] + "..."


def _reason(error: Failed | Lost) -> str:
    says = error.sentence
    return f"it can't be judged: {says}" if error.kind not in ("not_written", "missing") else says


def _case_result(ran: Ran) -> CaseResult:
    numbers_wrong = not ran.failure and not ran.agreement.passed
    ended = [ran.failure] if ran.failure else [ran.agreement.says] if numbers_wrong else []
    says = [*ran.dishonest, *ran.unwritten, *ended]
    says += [ran.hint] if ran.hint else []
    hint = ran.case.points_to if numbers_wrong and not ran.hint and not ran.findings and not ran.dishonest else ""
    figures = ran.agreement.error, ran.agreement.allowed
    error, allowed = (None if figure is None or not math.isfinite(figure) else figure for figure in figures)
    numbers = (ran.agreement.got, ran.agreement.expected) if numbers_wrong else ("", "")
    return CaseResult(ran.case.title, ran.right, says, hint, *numbers, error, allowed, ran.case.weight)


def _elements(case: Posed) -> int:
    """Of the largest tensor that is given."""
    return max((part.numel() for part in _tensors([*case.args, *case.kwargs.values()])), default=0)


def _right_says(runs: list[Ran]) -> list[str]:
    right = sum(ran.right for ran in runs)
    return [] if right == len(runs) else [f"{right} of {len(runs)} cases are right"]


def _unsafe(runs: list[Ran], findings: list[Finding]) -> list[str]:
    says = [finding.sentence for finding in findings]
    unknown = [ran for ran in runs if ran.failure and not ran.findings]
    if unknown and not says:
        says.append(f"not known: {unknown[0].case.title!r} did not run to its end")
    return says


def _wasteful(runs: list[Ran]) -> list[str]:
    says = [f"{ran.traffic.says} ({ran.traffic.case})" for ran in runs if ran.traffic and ran.traffic.says]
    says += [ran.idle for ran in runs if ran.idle][:1] + [s for ran in runs for s in ran.evidence.waits][:1]
    says += [ran.many for ran in runs if ran.many][:1] + [ran.block for ran in runs if ran.block][:1]
    wrong = [ran for ran in runs if ran.case.floor and not ran.right]
    if wrong and not says:
        says.append(f"not counted: the numbers are wrong in {wrong[0].case.title!r}")
    return says[:1] + [s for s in says[1:] if s.split(" (")[0] != says[0].split(" (")[0]]


def _idle(ran: Ran, share: str) -> str:
    busy = ran.evidence.traffic.busy
    who = "one program does" if busy == 1 else f"{busy} programs do"
    return f"{who} all the work where at least {ran.case.programs} should share it ({ran.case.title}). {share}"


def _too_many(ran: Ran, launches: int) -> str:
    """More launches than are needed where bytes are not counted, or programs that find nothing to do."""
    traffic = ran.evidence.traffic
    says = "" if ran.case.floor else lean.launched({"launches": traffic.launches, "copies": traffic.copies}, launches)
    idle = traffic.programs - traffic.worked
    if not says and idle > IDLE_PROGRAMS and idle > IDLE_TIMES * traffic.programs:
        says = f"{idle:,} of {traffic.programs:,} programs have nothing to do: launch as many as there are blocks"
    return f"{says} ({ran.case.title})" if says else ""


def _beyond_its_block(ran: Ran, counts: bool) -> str:
    block, held = ran.case.kwargs.get("block"), ran.evidence.traffic.held
    if not counts or block is None or held <= block:
        return ""
    return f"a program holds {held:,} columns at once where block is {block} ({ran.case.title})"


def _once(findings: Iterator[Finding]) -> list[Finding]:
    """Each defect once: the first of those with the same kind, kernel, line and tensor."""
    seen: dict[tuple, Finding] = {}
    for finding in findings:
        seen.setdefault((finding.kind, finding.kernel, finding.line, finding.tensor), finding)
    return list(seen.values())


def _different(found: Iterator[Compiled]) -> list[Compiled]:
    seen: list[Compiled] = []
    for each in found:
        if each not in seen:
            seen.append(each)
    return seen


# --------------------------------------------------------------------------------------------------------------------
# Bytes


def _traffic(ran: Ran, launches: int) -> TrafficRow:
    floor, traffic = ran.case.floor, ran.evidence.traffic
    measured = lean.summary(msgspec.to_builtins(traffic))
    moved, needed = lean.moved(measured, floor), lean.needed(floor)
    says = lean.too_much(measured, floor, ran.case.slack, launches)
    if sum(tensor.role == "output" for tensor in traffic.tensors) == 1:
        says = says.replace("returned tensor 0", "the result")
    rows = [
        TensorRow(
            t.name,
            t.role,
            t.unique_loaded if t.name in floor["resident"] else t.loaded,
            t.stored,
            floor["loads"].get(t.name, 0),
            _needed_stores(floor["stores"], t.name),
            round(32 * (t.load_sectors + t.store_sectors) / max(1, t.loaded + t.stored), 2),
        )
        for t in traffic.tensors
    ]
    return TrafficRow(
        ran.case.title, moved, needed, round(moved / max(1, needed), 3), ran.case.slack, traffic.launches, rows, says,
        floor["why"], traffic.dot_flops,
    )  # fmt: skip


def _needed_stores(stores: dict[str, int], tensor: str) -> int:
    """What has to be stored into a tensor. The floor says "out", or "out 0"; the meter "returned tensor 0"."""
    number = tensor.removeprefix("returned tensor ")
    names = (f"out {number}", "out") if number == "0" else (f"out {number}", tensor)
    return next((stores[name] for name in names if name in stores), 0)


def _pattern(runs: list[Ran]) -> Pattern | None:
    """The access pattern of the most telling right case: the one with the most accesses that is metered."""
    shown = [ran for ran in runs if ran.evidence.traffic.pattern]
    shown = [ran for ran in shown if ran.case.floor] or shown
    if not shown:
        return None
    ran = max(shown, key=lambda r: len(r.evidence.traffic.pattern))
    results = agree.outputs(ran.outputs).values()
    return pattern_of(ran.evidence.traffic, _parsed(ran.traced), results, ran.case.title)


def pattern_of(traffic: Traffic, trace: Trace, results: Iterable[Any], case: str = "") -> Pattern:
    """The pattern that a meter kept. results: what the launcher returned, one by one."""
    accesses: list[Access] = traffic.pattern
    whole = {made.name: extent_of(made.shape, made.strides, 1) for made in trace.inputs}
    whole |= {f"returned tensor {i}": out.numel() for i, out in enumerate(results) if isinstance(out, torch.Tensor)}
    sizes = {access.tensor: whole.get(access.tensor, 0) for access in accesses}
    for access in accesses:
        sizes[access.tensor] = max(sizes[access.tensor], 1 + max(access.elements, default=-1))
    return Pattern(case, traffic.pattern_program, sizes, accesses)
