"""Run a check's trials on subjects, and put the verdict together. Used by the judge, by --full and by the gates.

Not here: where subjects come from. `make_subject()` gives a fresh one for every trial, so state can't leak between
trials and the death of one process costs one exercise.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec

from autograder.authoring.checks import Attempt, Check, Kernel, attempt, seed_for
from course.checking import cases
from course.checking.check import quiet
from course.checking.subject import Subject, SubjectError
from course.checking.verdict import ExerciseVerdict, Named, TrialResult, settle, without_points

FATAL_STATES = {
    "killed": "crashed",
    "timed_out": "timed_out",
    "out_of_memory": "out_of_memory",
    "channel": "crashed",
}
KERNEL = "the kernel's task"  # what its seed is made from
NOTHING_FRESH = "nothing holds on new inputs, so what holds on fixed ones gives no points"
LESS_FRESH = "what holds on fixed inputs is paid no more than what holds on new ones"
MakeSubject = Callable[[], Subject]


def judge_exercise(
    check: Check,
    recorded: cases.CheckCases,
    make_subject: MakeSubject,
    seed: Callable[[str], int],
    shown: ExerciseVerdict | None = None,
    anew: MakeSubject | None = None,
) -> ExerciseVerdict:
    """The hidden verdict: recorded cases name the misconception, trials with secret seeds give the points.

    seed: from a trial's title to 128 bits. shown: what `cases.play` gave, where that is known already. anew: gives a
    subject that has seen no numbers yet; without it `make_subject` does. A fatal SubjectError ends the exercise with no
    points and its reason.
    """
    began = time.perf_counter()
    try:
        with quiet():
            if isinstance(check, Kernel):
                verdict = _kernel(check, recorded, make_subject, seed)
                _name(verdict, recorded, shown, anew or make_subject)
            else:
                verdict = _trials(check, recorded, make_subject, seed, shown)
    except SubjectError as error:
        state = FATAL_STATES[error.kind]
        verdict = without_points(check.name, recorded.points, state, error.message, hints=len(check.hints))
    except Exception as error:  # a value that no comparison foresaw must not end the judge
        reason = f"the check could not use what your code returned ({type(error).__name__})"
        verdict = without_points(check.name, recorded.points, "failed", reason, hints=len(check.hints))
    verdict.seconds = round(time.perf_counter() - began, 3)
    return verdict


def secret_seed(secret: bytes, student: str, exercise: str, version: str, digest: str) -> Callable[[str], int]:
    """HMAC seeds: remembered answers fail, a resubmission meets new inputs, and every verdict can be replayed."""
    return lambda title: seed_for(secret, student, exercise, version, digest, title)


def _kernel(
    check: Kernel, recorded: cases.CheckCases, make_subject: MakeSubject, seed: Callable[[str], int]
) -> ExerciseVerdict:
    """A launcher on sizes and numbers of its own."""
    return cases.judge_kernel(recorded, check.task(seed(KERNEL)), make_subject())


def _name(
    verdict: ExerciseVerdict, recorded: cases.CheckCases, shown: ExerciseVerdict | None, anew: MakeSubject
) -> None:
    """Name the mistake of a kernel by the recorded cases, and hide what belongs to the secret ones."""
    if verdict.kernel is not None and verdict.state != "passed":
        verdict.misconception = (shown or cases.play(recorded, anew())).misconception
        verdict.kernel = msgspec.structs.replace(verdict.kernel.hidden(), misconception=verdict.misconception)


def _trials(
    check: Check,
    recorded: cases.CheckCases,
    make_subject: MakeSubject,
    seed: Callable[[str], int],
    shown: ExerciseVerdict | None,
) -> ExerciseVerdict:
    shown = shown or cases.play(recorded, make_subject())
    return shown if shown.state in ("not_attempted", "missing") else _scored(check, shown, make_subject, seed)


def _scored(
    check: Check, shown: ExerciseVerdict, make_subject: MakeSubject, seed: Callable[[str], int]
) -> ExerciseVerdict:
    made = [attempt(check, spec, make_subject(), seed(spec.title)) for spec in check.specs]
    results = [each.result for each in made]
    for result in results:
        result.got = result.expected = result.given = ""
    named: Named | None = shown.misconception if not all(r.passed for r in results) else None
    results = cases.with_names(results, [each.renamed for each in made])
    verdict = settle(check.name, shown.max_score, results, hints=len(check.hints), misconception=named)
    return _no_more_than_fresh(verdict, made)


def _no_more_than_fresh(verdict: ExerciseVerdict, made: list[Attempt]) -> ExerciseVerdict:
    """The verdict, in which fixed cases are paid up to the share that holds on fresh inputs, as their answers can be
    looked up. A check without fresh inputs, an experiment's finding, stays as it is."""
    fresh, fixed = ([each.result for each in made if each.fresh is kind] for kind in (True, False))
    if not fresh:
        return verdict
    paid = _won(fixed) - _weight(fixed) * _won(fresh) / _weight(fresh)
    if verdict.score and not _won(fresh):
        verdict.score, verdict.state, verdict.reason = 0.0, "failed", NOTHING_FRESH
    elif verdict.score and paid > 0:
        lost = verdict.max_score * paid / _weight(verdict.trials)
        verdict.score, verdict.reason = round(verdict.score - lost, 4), LESS_FRESH
    return verdict


def _weight(results: list[TrialResult]) -> float:
    return sum(each.weight for each in results)


def _won(results: list[TrialResult]) -> float:
    return sum(each.weight for each in results if each.passed)
