"""Recorded cases: a table of calls, arguments and comparisons, played without any oracle.

The build records them (autograder.authoring.recording) into `cases.npz`: one JSON manifest and the arrays it names.
Who needs names, points and hints only takes `course.checking.manifest`: a twentieth of the time, and no torch.
Playing a case performs its steps on a subject, compares, and keeps what came back, so that the outcome can be held
against the recorded outcomes of each known misconception.

Not here: trials, oracles, seeds. Nothing in this file knows what a right answer is; it only has the numbers.
"""

from __future__ import annotations

import io
import json
import math
import os
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import torch

from course.checking import compare
from course.checking.manifest import FORMAT, require_format
from course.checking.naming import diagnose
from course.checking.recorded import Case, CheckCases, Misconception, Outcome, Ref, Step
from course.checking.subject import Handle, Subject, SubjectError, changed_and_kept
from course.checking.verdict import ExerciseVerdict, TrialResult, of_kernel, settle, without_points
from course.files import write_whole
from grader_kernels import problem
from grader_kernels.judging.task import KernelCases, Known, Task

NAMES = "parameters and buffers have the names that the prompt gives"
NAMES_SHARE = 1 / 10  # of the points, where a module has other ones that fit in shape and order
CUT_OFF = "no gradient"  # what a `raises` step expects of a result that no gradient can flow through
FATAL = ("killed", "timed_out", "out_of_memory", "channel")
NEVER_MEANT = (*FATAL, "not_attempted", "missing")  # failures that nothing asks for


class Played(NamedTuple):
    """One case, played. error: what stopped it. renamed: what was said of names that a module should have."""

    outcome: Outcome
    trial: TrialResult
    error: SubjectError | None
    renamed: str


class Cases:
    """The checks of one unit. `checks` maps exercise names to CheckCases, in the notebook's order."""

    def __init__(self, unit: str, checks: dict[str, CheckCases]) -> None:
        self.unit, self.checks = unit, checks

    def check(self, name: str) -> CheckCases:
        """The named check; KeyError with one sentence when there is none."""
        if name not in self.checks:
            raise KeyError(f"no check is named {name!r}; this unit has {', '.join(self.checks)}")
        return self.checks[name]

    @property
    def max_score(self) -> float:
        """All points but those of optional exercises."""
        return sum(check.points for check in self.checks.values() if not check.optional)

    def marked(self, rows: list[ExerciseVerdict]) -> list[ExerciseVerdict]:
        """The rows, each of which now says whether its exercise is optional."""
        for row in rows:
            row.optional = self.check(row.name).optional
        return rows

    def to_bytes(self) -> bytes:
        """The npz file's bytes; equal for equal content."""
        arrays: dict[str, np.ndarray] = {}
        checks = [to_plain(_fields(check), arrays) for check in self.checks.values()]
        plain = {"format": FORMAT, "unit": self.unit, "checks": checks}
        text = json.dumps(plain, separators=(",", ":"), allow_nan=False)
        out = io.BytesIO()
        np.savez_compressed(out, manifest=np.frombuffer(text.encode(), np.uint8), **arrays)
        return out.getvalue()

    def save(self, path: Path) -> None:
        """Write `path` whole or not at all."""
        write_whole(path, self.to_bytes())


def _fields(check: CheckCases) -> dict[str, Any]:
    """`optional` only where it says something: libraries from before there was such a word read all other units."""
    fields = msgspec.structs.asdict(check)
    return fields if check.optional else {name: value for name, value in fields.items() if name != "optional"}


def load(path: str | os.PathLike) -> Cases:
    """The Cases in an npz file. Raises ValueError in one sentence when it is not one."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            plain = json.loads(bytes(stored["manifest"]))
            arrays = {k: stored[k] for k in stored.files if k != "manifest"}
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is not a cases file: {error}") from error
    require_format(path, plain.get("format"))
    found = [_check_from(from_plain(c, arrays)) for c in plain["checks"]]
    return Cases(plain["unit"], {c.name: c for c in found})


def play(check: CheckCases, subject: Subject) -> ExerciseVerdict:
    """Play every case and name the misconception whose outcomes all match, if one does.

    SubjectErrors of FATAL kinds pass through: the process under judgement is gone.
    """
    verdict = _played(check, subject)
    verdict.optional = check.optional
    return verdict


def _played(check: CheckCases, subject: Subject) -> ExerciseVerdict:
    if check.kernel is not None:
        return judge_kernel(check, check.kernel.task, subject, check.kernel.known)
    played = [play_case(check, case, subject) for case in check.cases]
    if played and all(each.error and each.error.kind in ("not_attempted", "missing") for each in played):
        error = played[0].error
        return without_points(check.name, check.points, error.kind, error.message, hints=len(check.hints))
    trials = [each.trial for each in played]
    passed = [trial.passed for trial in trials]
    named = None if all(passed) else diagnose(check, [each.outcome for each in played], passed)
    trials = with_names(trials, [each.renamed for each in played])
    return settle(check.name, check.points, trials, hints=len(check.hints), misconception=named)


def with_names(trials: list[TrialResult], renamed: Sequence[str]) -> list[TrialResult]:
    """The trials, and one more, which fails, where a module has other names than it should: they alone cost points."""
    says = next(filter(None, renamed), "")
    if not says:
        return trials
    weight = sum(t.weight for t in trials) * NAMES_SHARE / (1 - NAMES_SHARE)
    return [*trials, TrialResult(NAMES, weight, False, says)]


def judge_kernel(check: CheckCases, task: Task, subject: Subject, known: Sequence[Known] = ()) -> ExerciseVerdict:
    """The judgement of a launcher on a task, with the points of its check. known: mistakes recorded on this task.

    SubjectErrors of FATAL kinds pass through.
    """
    try:
        hands = subject.hands()
    except SubjectError as error:
        if error.kind in FATAL:
            raise
        return without_points(check.name, check.points, error.kind, error.message, hints=len(check.hints))
    from grader_kernels.judging.judgement import Judgement  # needs triton, which not every learner has

    return of_kernel(check.name, check.points, Judgement(task, hands, known=known).verdict(), hints=len(check.hints))


def play_case(check: CheckCases, case: Case, subject: Subject) -> Played:
    """Perform one case. Comparisons go on after the first difference, so that the outcome is complete."""
    results: dict[int, Any] = {}
    outcome, first, error, renamed, given = Outcome(got=[], effects=[]), None, None, "", ""
    for index, step in enumerate(case.steps):
        before = first
        try:
            if step.do in compare.COMPARISONS:
                differs, got = compared(step, subject, results)
                outcome.got.append(got)
                first = first or differs
            else:
                results[index] = perform(subject, step, results)
                renamed = renamed or (results[index] if step.do == "load_state" else "")
                found = guard(check, step, subject, results[index])
                if found:
                    outcome.effects.append(found.says)
                    first = first or found
        except SubjectError as stopped:
            if stopped.kind in FATAL:
                raise
            error = stopped
            outcome.raised = stopped.exception or stopped.kind
            first = first or compare.Difference(stopped.message)
            given = given if before else _given(check, case, step)
            break
        given = given if before or first is None else _given(check, case, step)
    passed = first is None
    shown = first or compare.Difference("")
    if check.kind == "value":
        shown = shown._replace(expected="")  # what an experiment gives is for the learner to read off it
    trial = TrialResult(case.title, case.weight, passed, shown.says, shown.got, shown.expected, given)
    return Played(outcome, trial, error, renamed)


def _given(check: CheckCases, case: Case, step: Step) -> str:
    """The call that a comparison was about, or the one that failed, as one would write it; "" if it is too long."""
    do, args, kwargs = step.do, step.args, step.kwargs
    if do == "raises":
        _, do, args, kwargs = step.args[1][-1]
    elif do in compare.COMPARISONS:
        if not isinstance(args[0], Ref):
            return ""
        made = case.steps[args[0].step]
        do, args, kwargs = made.do, made.args, made.kwargs
    name, kwargs = check.name, kwargs or {}
    if do == "call":
        name, *args = args
    elif do == "construct":
        name, kwargs = kwargs.get("name") or name, {key: v for key, v in kwargs.items() if key != "name"}
    elif do == "grad":
        kwargs = {}
    elif do not in ("__call__", "iterate"):
        return ""
    return compare.call_text(name, args, kwargs)


def perform(subject: Subject, step: Step, results: dict[int, Any]) -> Any:
    """One subject operation with its recorded arguments."""
    args, kwargs = resolve(step.args, results), resolve(step.kwargs or {}, results)
    return subject(*args, **kwargs) if step.do == "__call__" else getattr(subject, step.do)(*args, **kwargs)


def compared(step: Step, subject: Subject, results: dict[int, Any]) -> tuple[compare.Difference | None, Any]:
    """What a comparison finds, and what an outcome keeps of it."""
    if step.do == "raises":
        raised = raised_by(subject, step, results)
        return unlike(step.args[0], raised, step.says), raised
    got = resolve(step.args[0], results)
    differs = compare_step(step, got)
    if step.do in compare.CHANCE:
        return differs, differs is None
    return differs, storable(step.args[1] if _is_new_weight(step, got) else got)


def raised_by(subject: Subject, step: Step, results: dict[int, Any]) -> str:
    """What the operations of a `raises` step end in; see `refusal`."""

    def perform_all() -> None:
        for number, do, args, kwargs in step.args[1]:
            results[number] = perform(subject, Step(do, [_own(arg) for arg in args], kwargs), results)

    return refusal(perform_all)


def _own(value: Any) -> Any:
    """A copy of a recorded tensor: `grad` hands on what it gets, and the code may ask it for its gradient."""
    return value.detach().clone() if isinstance(value, torch.Tensor) else value


def refusal(thunk: Callable[[], Any]) -> str:
    """The name of the exception that `thunk()` makes the subject raise, CUT_OFF, the kind of another failure, or ""
    when it gives a value. Passes on what no check asks for."""
    try:
        thunk()
    except SubjectError as error:
        if error.kind in NEVER_MEANT:
            raise
        cut = error.kind == "bad_value" and error.message.startswith("no gradient can flow")
        return CUT_OFF if cut else error.exception or error.kind
    return ""


def unlike(wanted: str, raised: str, says: str = "") -> compare.Difference | None:
    """None when what was raised is what should be."""
    if raised == wanted:
        return None
    found, expected = (f"{name} is raised" if name else "nothing is raised" for name in (raised, wanted))
    if wanted == CUT_OFF:
        found, expected = "a gradient flows through it", "no gradient flows through it"
    return compare.Difference(says or "it should refuse this", found, expected)


def guard(check: CheckCases, step: Step, subject: Subject, result: Any) -> compare.Difference | None:
    """What is checked on every call without being asked: no NaN out of nowhere, no argument changed."""
    changed, kept = changed_and_kept(subject.mutated)
    changed = [name for name in changed if name not in check.mutates]
    if changed:
        in_place = " in place" if " of " not in changed[0] and "'" not in changed[0] else ""
        return compare.Difference(f"your code changed {changed[0]}{in_place}; the caller still needs it")
    if check.new and kept:
        return compare.Difference(f"the result is {kept[0]} itself, or lies in its memory; it should be a new one")
    if compare.has_nan(result) and not compare.has_nan(step.args):
        return compare.Difference("the result contains NaN")
    return None


def compare_step(step: Step, got: Any) -> compare.Difference | None:
    """The difference a comparison step finds, with the author's sentence in front when there is one."""
    found = compare.by(step.do, got, step.args[1:], step.condition)
    return found._replace(says=step.says) if found and step.says else found


def _is_new_weight(step: Step, got: Any) -> bool:
    """A number of a tensor, inside its range: it may be random, so an outcome has the range's low end instead."""
    return step.do == "between" and isinstance(got, torch.Tensor) and not compare.between(got, *step.args[1:])


def resolve(value: Any, results: dict[int, Any]) -> Any:
    """Replace every Ref inside `value` by the result it names. SubjectError when the part does not exist."""
    if isinstance(value, Ref):
        found = results[value.step]
        for key in value.path:
            found = _part(found, key)
        return found
    if isinstance(value, (list, tuple)):
        return type(value)(resolve(v, results) for v in value)
    if isinstance(value, dict):
        return {k: resolve(v, results) for k, v in value.items()}
    return value


def _part(value: Any, key: Any) -> Any:
    if isinstance(value, (tuple, list, dict, torch.Tensor)):
        try:
            return value[key]
        except (IndexError, KeyError, TypeError):
            pass
    shown = compare._article(value)
    raise SubjectError("bad_value", f"expected a result with a part [{key!r}], got {shown}")


def storable(value: Any) -> Any:
    """A value as it can be recorded; objects become a note of their type."""
    if isinstance(value, torch.Tensor):
        return value.detach().contiguous()
    if isinstance(value, (bool, int, float, str, bytes, type(None), np.ndarray, torch.dtype)):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, dict):
        return {k if isinstance(k, (str, int, tuple)) else str(k): storable(v) for k, v in value.items()}
    if isinstance(value, (tuple, list)):
        return [storable(v) for v in value] if isinstance(value, list) else tuple(storable(v) for v in value)
    return f"<{type(value).__name__}>"


def to_plain(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    """JSON-able form of a value; numbers of tensors and arrays go into `arrays`."""
    if isinstance(value, msgspec.Struct):
        return to_plain(msgspec.structs.asdict(value), arrays)
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": str(value)}  # JSON has no such numbers
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Ref):
        return {"ref": [value.step, *value.path]}
    if isinstance(value, Handle):
        raise ValueError("an object can't be recorded, only its results")
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    if isinstance(value, torch.dtype):
        return {"dtype": str(value).removeprefix("torch.")}
    if isinstance(value, list):
        return [to_plain(v, arrays) for v in value]
    if isinstance(value, tuple):
        return {"tuple": [to_plain(v, arrays) for v in value]}
    if isinstance(value, dict):
        return {"dict": [[to_plain(k, arrays), to_plain(v, arrays)] for k, v in value.items()]}
    if isinstance(value, (torch.Tensor, np.ndarray)):
        return _array_to_plain(value, arrays)
    raise ValueError(f"a {type(value).__name__} can't be recorded in a case; make it a trial")


def _array_to_plain(value: torch.Tensor | np.ndarray, arrays: dict[str, np.ndarray]) -> Any:
    key = f"a{len(arrays)}"
    if isinstance(value, np.ndarray):
        arrays[key] = value
        return {"numpy": key}
    dtype = str(value.dtype).removeprefix("torch.")
    flat = value.detach().contiguous()
    arrays[key] = flat.view(torch.int16).numpy() if value.dtype == torch.bfloat16 else flat.numpy()
    arrays[key] = arrays[key].reshape(tuple(value.shape))
    plain = {"tensor": key, "type": dtype}
    if not value.is_contiguous():
        plain["stride"] = list(value.stride())
    return plain


def from_plain(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    """The inverse of `to_plain` (structs come back as dicts)."""
    if isinstance(value, list):
        return [from_plain(v, arrays) for v in value]
    if not isinstance(value, dict):
        return value
    if "ref" in value:
        return Ref(value["ref"][0], tuple(value["ref"][1:]))
    if "float" in value:
        return float(value["float"])
    if "bytes" in value:
        return bytes.fromhex(value["bytes"])
    if "dtype" in value:
        return getattr(torch, value["dtype"])
    if "tuple" in value:
        return tuple(from_plain(v, arrays) for v in value["tuple"])
    if "dict" in value:
        return {from_plain(k, arrays): from_plain(v, arrays) for k, v in value["dict"]}
    if "numpy" in value:
        return arrays[value["numpy"]]
    return _tensor_from_plain(value, arrays)


def _tensor_from_plain(value: dict, arrays: dict[str, np.ndarray]) -> torch.Tensor:
    flat = torch.from_numpy(np.array(arrays[value["tensor"]]))
    if value["type"] == "bfloat16":
        flat = flat.view(torch.bfloat16)
    if "stride" not in value:
        return flat
    strided = torch.empty_strided(flat.shape, value["stride"], dtype=flat.dtype)
    problem.copy_into(strided, flat)
    return strided


def _check_from(plain: dict) -> CheckCases:
    plain["cases"] = [Case(c["title"], c["weight"], [Step(**s) for s in c["steps"]]) for c in plain["cases"]]
    plain["misconceptions"] = [
        Misconception(m["name"], m["sentence"], m["next"], [Outcome(**o) for o in m["outcomes"]])
        for m in plain["misconceptions"]
    ]
    if plain.get("kernel") is not None:
        plain["kernel"] = msgspec.convert(plain["kernel"], KernelCases)
    return CheckCases(**plain)
