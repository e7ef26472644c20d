"""What an author writes: a Check with cases and trials.

A case and a trial are both functions `(subject, trial)`. A case is recorded by the build with a public seed and played
in the learner's notebook; the judge runs it again with a secret seed. A trial is run by the judge only, and may hold
any Python. Inputs come from numpy's Philox, expected values from an oracle in float64.

Not here: how cases are recorded (autograder.authoring.recording), how a hand-in is run (autograder.judging.judge).
"""

from __future__ import annotations

import hashlib
import hmac
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import torch

from autograder import ROOT
from autograder.authoring import goodness
from autograder.authoring.unit import AuthoringError
from course.checking import cases
from course.checking.compare import Difference
from course.checking.subject import Subject, SubjectError
from course.checking.verdict import TrialResult
from grader_kernels import problem
from grader_kernels.judging.task import Task, pose

KINDS = ("function", "class", "generator", "kernel", "value")
JUDGES = ("autograder/sandbox", "autograder/judging", "course/checking", "course/worker", "grader_kernels")  # folders
JUDGES += tuple(f"autograder/authoring/{name}.py" for name in ("checks", "goodness", "oracle"))
ANSWERS = ("reference.py", "right.py", "wrong.py")  # of a kernel problem: what is judged, not what judges
OPERATIONS = frozenset("call value construct load_state method grad grad_method iterate release".split())


class TrialFailed(Exception):
    """A comparison found a difference; ends the trial."""

    def __init__(self, difference: Difference) -> None:
        super().__init__(difference.says)
        self.difference = difference


class TrialSpec(msgspec.Struct):
    """One case or trial: its title states what holds."""

    title: str
    weight: float
    function: Callable
    recorded: bool


class Check:
    """The judgement of one exercise.

    name: the exercise's name, also the name of the object it defines.
    hints: two or three sentences, each more telling than the one before.
    forbids: families of library calls that should be written, not called (see course.checking.forbidden); the docstring
        must say each family's rule.
    kind: function, class, generator, value (an experiment's finding; what is expected is never shown) or kernel (see
        `Kernel`).
    mutates: argument names ("argument 1", "out") the exercise is meant to change in place.
    new: the docstring asks for a new list or tensor: an argument that is handed back is a mistake.
    legal: arguments -> does the docstring allow them? Asked by the mutation run (autograder.proof.behaviour), which
        draws inputs that no trial has; needed only where the solution gives something for arguments that it need not
        take.
    """

    def __init__(
        self,
        name: str,
        *,
        hints: tuple[str, ...] = (),
        forbids: tuple[str, ...] = (),
        kind: str = "function",
        mutates: tuple[str, ...] = (),
        new: bool = False,
        legal: Callable[..., Any] | None = None,
    ) -> None:
        if kind not in KINDS:
            raise ValueError(f"kind is one of {', '.join(KINDS)}, not {kind!r}")
        self.name, self.hints, self.forbids, self.kind = name, tuple(hints), tuple(forbids), kind
        self.mutates, self.new, self.legal = tuple(mutates), new, legal
        self.specs: list[TrialSpec] = []
        frame = sys._getframe(1)
        while frame.f_code.co_filename == __file__:  # of a subclass
            frame = frame.f_back
        self.file, self.source_line = frame.f_code.co_filename, frame.f_lineno

    def case(self, title: str, weight: float = 1.0) -> Callable[[Callable], Callable]:
        """Decorator: a recorded case."""
        return self._add(title, weight, recorded=True)

    def trial(self, title: str, weight: float = 1.0) -> Callable[[Callable], Callable]:
        """Decorator: a trial for the judge only."""
        return self._add(title, weight, recorded=False)

    def _add(self, title: str, weight: float, recorded: bool) -> Callable[[Callable], Callable]:
        def keep(function: Callable) -> Callable:
            if any(s.title == title for s in self.specs):
                line = function.__code__.co_firstlineno
                raise AuthoringError(f"two trials of {self.name} are titled {title!r}", self.file, line)
            self.specs.append(TrialSpec(title, float(weight), function, recorded))
            return function

        return keep


class Kernel(Check):
    """A kernel exercise: everything that judges it stands in grader_kernels/problems/NAME/.

    hints: as in Check. Raises AuthoringError when there is no such problem.
    """

    def __init__(self, name: str, *, hints: tuple[str, ...] = ()) -> None:
        super().__init__(name, hints=hints, kind="kernel")
        try:
            self.problem = problem.load(name)
        except problem.ProblemError as error:
            raise AuthoringError(str(error), self.file, self.source_line) from None

    def task(self, seed: int) -> Task:
        """The problem's cases of this seed."""
        return pose(self.problem, seed)


def load(path: Path) -> dict[str, Check]:
    """The checks of a checks.py, by name, in the order they are written."""
    spec = importlib.util.spec_from_file_location(f"checks_of_{path.parent.name}", path)
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except AuthoringError:
        raise
    except Exception as error:
        line = error.lineno if isinstance(error, SyntaxError) else _last_line(error, path)
        raise AuthoringError(f"{type(error).__name__}: {error}", path, line or 0) from error
    found = [c for c in vars(module).values() if isinstance(c, Check)]
    names = [c.name for c in found]
    for check in found:
        if names.count(check.name) > 1:
            raise AuthoringError(f"two checks are named {check.name!r}", path, check.source_line)
        if check.kind != "kernel" and not any(s.recorded for s in check.specs):
            raise AuthoringError(f"check {check.name!r} has no case", path, check.source_line)
    return {c.name: c for c in sorted(found, key=lambda c: c.source_line)}


def seed_for(secret: bytes, *parts: str) -> int:
    """128 bits from HMAC-SHA256 of the parts; equal parts give equal inputs, and nobody without the secret can tell."""
    digest = hmac.new(secret, "\x00".join(parts).encode(), hashlib.sha256).digest()
    return int.from_bytes(digest[:16], "little")


class Trial:
    """Random inputs and comparisons for one run of one case or trial. A failed comparison raises TrialFailed."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.Generator(np.random.Philox(key=seed))
        self.drawn = False

    @property
    def rng(self) -> np.random.Generator:
        """The generator behind every random input; using it makes the trial a fresh one (`drawn`)."""
        self.drawn = True
        return self._rng

    def normal(self, *shapes: tuple, spread: float = 1.0, mean: float = 0.0, dtype: torch.dtype = torch.float32) -> Any:
        """Normal tensors of the given shapes, drawn in float64 and rounded once to `dtype`."""
        return self._several(shapes, lambda s: _tensor(self.rng.standard_normal(s) * spread + mean).to(dtype))

    def uniform(self, *shapes: tuple, low: float = 0.0, high: float = 1.0, dtype: torch.dtype = torch.float32) -> Any:
        """Uniform tensors in [low, high)."""
        return self._several(shapes, lambda s: _tensor(self.rng.uniform(low, high, s)).to(dtype))

    def integers(self, low: int, high: int, *shapes: tuple) -> Any:
        """int64 tensors with values in [low, high); one int when no shape is given."""
        if not shapes:
            return int(self.rng.integers(low, high))
        return self._several(shapes, lambda s: _tensor(self.rng.integers(low, high, s)))

    def permutation(self, n: int) -> torch.Tensor:
        """A random order of 0..n-1, int64."""
        return torch.from_numpy(self.rng.permutation(n))

    strided = staticmethod(problem.strided)

    def close(self, got: Any, expected: Any, says: str | None = None, condition: float = 1.0) -> None:
        """`got` equals `expected` within the tolerance of its dtype (see course.checking.compare)."""
        self._compare(cases.Step("close", [got, expected], None, says or "", float(condition)))

    def equal(self, got: Any, expected: Any, says: str | None = None) -> None:
        """`got` is exactly `expected`."""
        self._compare(cases.Step("equal", [got, expected], None, says or ""))

    def between(self, got: Any, low: float, high: float, says: str | None = None) -> None:
        """`got` is a finite number in [low, high]."""
        self._compare(cases.Step("between", [got, float(low), float(high)], None, says or ""))

    def likely(self, got: Any, low: float, high: float, says: str | None = None) -> None:
        """`between`, for a number in which chance has a hand: of it a case keeps only whether it lies there."""
        self._compare(cases.Step("likely", [got, float(low), float(high)], None, says or ""))

    def among(self, got: Any, options: tuple | list, says: str | None = None) -> None:
        """`got` is exactly one of the options."""
        self._compare(cases.Step("among", [got, list(options)], None, says or ""))

    def one_of(self, got: Any, options: tuple | list, says: str | None = None) -> None:
        """`among`, where chance decides which: of it a case keeps only whether it is one of them."""
        self._compare(cases.Step("drawn", [got, list(options)], None, says or ""))

    def different(self, got: list, says: str | None = None) -> None:
        """The numbers of a list, parts of results among them, are all different."""
        self._compare(cases.Step("different", [got], None, says or ""))

    def true(self, condition: Any, says: str) -> None:
        """A plain condition (trials only)."""
        if not bool(condition):
            raise TrialFailed(Difference(says))

    def raises(self, exception: str, thunk: Callable[[], Any], says: str | None = None) -> None:
        """One of the subject's operations in `thunk()` raises `exception`; none may index what another one gave."""
        found = cases.unlike(exception, cases.refusal(thunk), says or "")
        if found:
            raise TrialFailed(found)

    def cut_off(self, thunk: Callable[[], Any], says: str | None = None) -> None:
        """`thunk()` asks for a gradient that can't flow, because the result has no graph. Otherwise as `raises`."""
        self.raises(cases.CUT_OFF, thunk, says)

    def fits(self, counts: Any, probabilities: Any, says: str | None = None, false_alarm: float = 1e-6) -> None:
        """`counts` could have come from `probabilities`; a right sampler fails at most with rate `false_alarm`."""
        worst = goodness.misfit([int(c) for c in counts], [float(p) for p in probabilities], false_alarm)
        if worst is not None:
            n = sum(int(c) for c in counts)
            seen = f"{int(counts[worst])} of {n}", f"about {n * float(probabilities[worst]):.0f}"
            raise TrialFailed(Difference(says or f"outcome {worst} comes too often or too rarely", *seen))

    def _compare(self, step: cases.Step) -> None:
        found = cases.compare_step(step, step.args[0])
        if found:
            raise TrialFailed(found)

    @staticmethod
    def _several(shapes: tuple, make: Callable[[tuple], torch.Tensor]) -> Any:
        made = tuple(make(tuple(s) if isinstance(s, (tuple, list)) else (s,)) for s in shapes)
        return made[0] if len(made) == 1 else made


class Guarded:
    """A subject whose every call is checked for NaN, changed arguments and launch problems."""

    def __init__(self, subject: Subject, check: Check) -> None:
        self._subject, self._check = subject, check
        self.renamed = ""  # what was said of names that a module should have

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._do("__call__", args, kwargs)

    def __getattr__(self, operation: str) -> Callable:
        if operation not in OPERATIONS:
            raise AttributeError(operation)
        return lambda *args, **kwargs: self._do(operation, args, kwargs)

    def _do(self, operation: str, args: tuple, kwargs: dict) -> Any:
        target = self._subject if operation == "__call__" else getattr(self._subject, operation)
        result = target(*args, **kwargs)
        step = cases.Step(operation, [*args, *kwargs.values()])
        found = cases.guard(self._check, step, self._subject, result)
        if found:
            raise TrialFailed(found)
        if operation == "load_state":
            self.renamed = self.renamed or result
        return result


class Attempt(NamedTuple):
    """One run of a case or trial. raised: the subject gave no value at all. fresh: it drew random inputs. renamed: as
    in cases.Played."""

    result: TrialResult
    raised: bool
    fresh: bool
    renamed: str = ""


def attempt(check: Check, spec: TrialSpec, subject: Subject, seed: int) -> Attempt:
    """One case or trial with live values. SubjectErrors of FATAL kinds pass through; all else is a result."""
    result, raised, trial = TrialResult(spec.title, spec.weight, False), False, Trial(seed)
    guarded = Guarded(subject, check)
    try:
        spec.function(guarded, trial)
    except TrialFailed as failed:
        result.says, result.got, result.expected = failed.difference
    except SubjectError as error:
        if error.kind in cases.FATAL:
            raise
        result.says, raised = error.message, True
    except KeyError as error:
        result.says = f"what your code returned has no {str(error.args[0])[:100]!r}"
    except Exception as error:
        result.says = f"the check could not use what your code returned ({type(error).__name__})"
    else:
        result.passed = True
    return Attempt(result, raised, trial.drawn, guarded.renamed)


def version(path: Path) -> str:
    """Digest of a unit's checks and of all that judges: verdicts are kept as long as it stays the same."""
    found = [ROOT / name for name in JUDGES]
    inside = (file for folder in found if folder.is_dir() for file in folder.rglob("*.py"))
    judges = sorted(file for file in [*inside, *found] if file.is_file() and not set(ANSWERS) & set(file.parts))
    return hashlib.sha256(b"".join(file.read_bytes() for file in [path, *judges])).hexdigest()[:16]


def _tensor(drawn: Any) -> torch.Tensor:
    """numpy gives a number of its own, and no array, for the shape ()."""
    return torch.from_numpy(np.asarray(drawn))


def _last_line(error: BaseException, path: Path) -> int:
    trace, line = error.__traceback__, 0
    while trace:
        if trace.tb_frame.f_code.co_filename == str(path):
            line = trace.tb_lineno
        trace = trace.tb_next
    return line
