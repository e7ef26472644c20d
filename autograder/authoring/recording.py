"""Turn a check's case functions into recorded cases, and each misconception into its outcomes.

Recording runs a case function on the solution: every subject operation becomes a step, every comparison a step with
the oracle's expected value. The solution must pass; each misconception must fail, and no two outcomes may be alike.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Any

import torch

from autograder.authoring.checks import OPERATIONS, Check, Kernel, Trial, TrialSpec, load, seed_for
from autograder.authoring.kernels import execute
from autograder.authoring.unit import Alternative, AuthoringError, Unit
from course.checking import cases
from course.checking.check import quiet
from course.checking.naming import same_outcomes
from course.checking.subject import LocalSubject
from course.checking.verdict import Named
from grader_kernels.judging import judgement
from grader_kernels.judging.task import KernelCases, Known, Outcome

PUBLIC = b"public seed of the recorded cases"
CLEARLY = 100.0


class NotRecordable(Exception):
    """A case function does what only a trial can do."""


class Placeholder:
    """The result of a recorded step. It can be indexed, unpacked and passed on; nothing else."""

    def __init__(self, ref: cases.Ref, value: Any) -> None:
        self._ref, self._value = ref, value

    def __getitem__(self, key: Any) -> Placeholder:
        return Placeholder(cases.Ref(self._ref.step, (*self._ref.path, key)), self._value[key])

    def __iter__(self) -> Iterator[Placeholder]:
        return (self[i] for i in range(len(self._value)))

    def __getattr__(self, name: str) -> Any:
        raise NotRecordable(f"a case can't use `.{name}` of a result: make it a trial")

    def __bool__(self) -> bool:
        raise NotRecordable("a case can't decide on a result: make it a trial")


class RecordingSubject:
    """Performs operations on the solution and writes them down."""

    def __init__(self, subject: LocalSubject) -> None:
        self.subject, self.steps, self.results = subject, [], {}
        self._noted: list[tuple] | None = None  # operations that are written down and not performed

    def __call__(self, *args: Any, **kwargs: Any) -> Placeholder:
        return self._do("__call__", args, kwargs)

    def __getattr__(self, operation: str) -> Callable:
        if operation not in OPERATIONS:
            raise AttributeError(operation)
        return lambda *args, **kwargs: self._do(operation, args, kwargs)

    def _do(self, operation: str, args: tuple, kwargs: dict) -> Placeholder:
        step = cases.Step(operation, refs(list(args)), refs(kwargs))
        if self._noted is not None:
            number = -1 - len(self._noted)
            self._noted.append((number, step.do, step.args, step.kwargs))
            return Placeholder(cases.Ref(number), None)
        index = len(self.steps)
        self.steps.append(step)
        self.results[index] = cases.perform(self.subject, step, self.results)
        return Placeholder(cases.Ref(index), self.results[index])

    def noted(self, thunk: Callable[[], Any]) -> list[tuple]:
        """The operations in `thunk`, as a `raises` step holds them."""
        self._noted = []
        thunk()
        noted, self._noted = self._noted, None
        return noted


class RecordingTrial(Trial):
    """A Trial whose comparisons are written down; the solution must pass each."""

    def __init__(self, seed: int, recorder: RecordingSubject) -> None:
        super().__init__(seed)
        self.recorder = recorder

    def _compare(self, step: cases.Step) -> None:
        results = step.args[0] if step.do == "different" else [step.args[0]]
        if not all(isinstance(result, Placeholder) for result in results):
            raise NotRecordable("a case compares a result of the subject; compare computed values in a trial")
        self.recorder.steps.append(cases.Step(step.do, refs(step.args), None, step.says, step.condition))

    def true(self, condition: Any, says: str) -> None:
        raise NotRecordable("`true` can't be recorded: make it a trial")

    def raises(self, exception: str, thunk: Callable[[], Any], says: str | None = None) -> None:
        step = cases.Step("raises", [exception, self.recorder.noted(thunk)], None, says or "")
        raised = cases.raised_by(self.recorder.subject, step, dict(self.recorder.results))
        if raised != exception:
            raise NotRecordable(f"this should raise {exception}; the solution raised {raised or 'nothing'}")
        self.recorder.steps.append(step)

    def fits(self, *args: Any, **kwargs: Any) -> None:
        raise NotRecordable("`fits` can't be recorded: make it a trial")


def refs(value: Any) -> Any:
    """Placeholders inside `value` as Refs."""
    if isinstance(value, Placeholder):
        return value._ref
    if isinstance(value, (list, tuple)):
        return type(value)(refs(v) for v in value)
    if isinstance(value, dict):
        return {k: refs(v) for k, v in value.items()}
    return value


def record(unit: Unit) -> cases.Cases:
    """The recorded cases of every check of a unit, with its misconceptions. Raises AuthoringError."""
    return cases.Cases(unit.id, {check.name: made for check, made, _ in recorded(unit)})


def recorded(
    unit: Unit, only: Collection[str] | None = None
) -> Iterator[tuple[Check, cases.CheckCases, dict[str, Any]]]:
    """For each check in order (or those in `only`): itself, its recorded cases, and the globals of the solved notebook
    just after its exercise. Raises AuthoringError."""
    checks = load(unit.checks_path)
    asked = [name for name in unit.exercises if only is None or name in only]
    for name, solved in namespaces(unit, asked[-1]) if asked else ():
        if name in checks and name in asked:
            made = record_check(checks[name], unit.points[name], solved, name in unit.optional)
            made.minutes = unit.minutes(name)
            add_misconceptions(checks[name], made, solved, [m for m in unit.misconceptions if m.exercise == name])
            yield checks[name], made, solved


def namespaces(unit: Unit, last: str | None = None) -> Iterator[tuple[str, dict[str, Any]]]:
    """For each exercise in order, until `last`: its name and the solved notebook's globals just after its cell."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    done = 0
    for name in unit.exercises:
        sources = unit.code_until(name)
        for source in sources[done:]:
            with quiet():
                execute(source, namespace, f"{unit.id}, cell {done + 1}")
            done += 1
        yield name, dict(namespace)
        if name == last:
            return


def alternative(cell: Alternative, solved: dict[str, Any]) -> dict[str, Any]:
    """The globals with the exercise replaced by a misconception or another right style."""
    namespace = dict(solved)
    try:
        with quiet():
            execute(cell.source, namespace, f"{cell.exercise}, {cell.name}")
    except Exception as error:
        told = f"{cell.name!r} of {cell.exercise} does not run: {type(error).__name__}: {error}"
        raise AuthoringError(told, cell.file, cell.line) from error
    return namespace


def record_check(check: Check, points: float, solved: dict[str, Any], optional: bool = False) -> cases.CheckCases:
    """The recorded cases of one check. `solved`: the globals of the solved notebook."""
    if isinstance(check, Kernel):
        return _record_kernel(check, points, solved, optional)
    recorded = []
    for spec in (s for s in check.specs if s.recorded):
        try:
            with quiet():
                recorded.append(record_case(check, spec, solved, seed_for(PUBLIC, check.name, spec.title)))
        except Exception as error:
            line = spec.function.__code__.co_firstlineno
            told = f"case {spec.title!r} of {check.name} can't be recorded: {type(error).__name__}: {error}"
            raise AuthoringError(told, check.file, line) from error
    said = {"mutates": list(check.mutates), "new": check.new, "optional": optional, "forbids": list(check.forbids)}
    made = cases.CheckCases(check.name, points, check.kind, list(check.hints), recorded, **said)
    _solution_passes(check, made, solved)
    return made


def record_case(check: Check, spec: TrialSpec, solved: dict[str, Any], seed: int) -> cases.Case:
    """The steps of one case on the inputs of this seed, with what its oracle expects."""
    subject = RecordingSubject(LocalSubject(solved, check.name))
    spec.function(subject, RecordingTrial(seed, subject))
    return cases.Case(spec.title, spec.weight, subject.steps)


def _record_kernel(check: Kernel, points: float, solved: dict[str, Any], optional: bool) -> cases.CheckCases:
    """The task of the public seed; what is known to go wrong on it is added by `add_misconceptions`."""
    task = check.task(seed_for(PUBLIC, check.name))
    made = cases.CheckCases(check.name, points, check.kind, list(check.hints), [], optional=optional)
    made.kernel = KernelCases(task)
    _solution_passes(check, made, solved)
    return made


def add_misconceptions(check: Check, made: cases.CheckCases, solved: dict[str, Any], wrongs: list[Alternative]) -> None:
    """Play the cases on each misconception and keep the outcomes in `made`.

    AuthoringError when one can't be told from the solution, or from another one, in any case.
    """
    of, alike = (_launched, _same_launches) if made.kernel else (outcomes, same_outcomes)
    known = [("the solution", of(made, solved))]
    for wrong in wrongs:
        found = of(made, alternative(wrong, solved))
        for other, theirs in known:
            if alike(made, found, theirs, CLEARLY):
                told = f"misconception {wrong.name!r} of {check.name} can't be told from {other} in any case"
                raise AuthoringError(told, wrong.file, wrong.line)
        known.append((f"misconception {wrong.name!r}", found))
        named = (wrong.name, wrong.sentence, wrong.next)
        if made.kernel:
            made.kernel.known.append(Known(Named(*named), found))
        else:
            made.misconceptions.append(cases.Misconception(*named, found))


def outcomes(made: cases.CheckCases, namespace: dict[str, Any]) -> list[cases.Outcome]:
    """The outcome of every case on the objects of `namespace`: what they draw is the same in every build."""
    subject = LocalSubject(namespace, made.name)
    with quiet(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return [cases.play_case(made, case, subject).outcome for case in made.cases]


def _launched(made: cases.CheckCases, namespace: dict[str, Any]) -> list[Outcome]:
    """The same of a kernel."""
    judged = judgement.Judgement(made.kernel.task, LocalSubject(namespace, made.name).hands())
    with quiet():
        judged.verdict()
    return judged.outcomes()


def _same_launches(made: cases.CheckCases, ours: list[Outcome], theirs: list[Outcome], slack: float) -> bool:
    pairs = zip(ours, theirs, strict=True)
    return all(judgement.same(a, b, judgement.CLEARLY) for a, b in pairs)


def _solution_passes(check: Check, made: cases.CheckCases, solved: dict[str, Any]) -> None:
    with quiet():
        verdict = cases.play(made, LocalSubject(solved, check.name))
    for trial in verdict.trials:
        if not trial.passed:
            told = f"the solution of {check.name} fails its case {trial.title!r}: {trial.says}"
            got = f" (got {trial.got}, expected {trial.expected})" if trial.got or trial.expected else ""
            raise AuthoringError(told + got, check.file, check.source_line)
    if verdict.state != "passed":
        raise AuthoringError(f"{check.name}: {verdict.reason}", check.file, check.source_line)
