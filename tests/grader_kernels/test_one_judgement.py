"""The three ways to judge a kernel give the same groups, cases and words: the notebook, a class, `course kernel`.

They run the same text on the same task: in this process, behind the sandbox's walls as class grading does, and in the
children of the kernel judge. Of each problem the solution and some wrong files here; every file in `make test-all`.
"""

import contextlib
import linecache
from pathlib import Path

import pytest
import torch

from autograder.authoring import kernels
from autograder.judging.judge import Replays, kernels_of, the_compiler
from autograder.judging.remote import RemoteSubject
from autograder.sandbox.sandbox import Limits, Sandbox, why_not
from course.checking.subject import LocalSubject
from grader_kernels import problem as problems
from grader_kernels.judging.judge import Judge, Mistake
from grader_kernels.judging.judgement import Judgement
from grader_kernels.judging.task import Known, pose
from grader_kernels.judging.verdict import Named

SEED = 11
SOME = 4  # one wrong file in so many belongs to `make test`
LONG = ("matmul", "flash_forward", "w4a16_matmul", "paged_decode_attention")

torch.set_num_threads(1)


def answers():
    """(problem, file) of every right and wrong file; the slow ones marked."""
    for name in problems.names():
        rights, wrongs = kernels.files(name)
        for number, file in enumerate([*rights, *wrongs]):
            slow = name in LONG or number % SOME
            yield pytest.param(name, file, marks=pytest.mark.slow if slow else ())


def sources(name):
    rights, wrongs = kernels.files(name)
    return rights | {wrong.name: kernels.as_file(wrong.source) for wrong in wrongs.values()}


@pytest.fixture(scope="module")
def box():
    missing = why_not()
    if missing:
        pytest.skip(missing)
    with Sandbox(limits=Limits(submission=3600)) as box:
        yield box
    Replays.close()


@pytest.fixture(scope="module")
def judge():
    with Judge() as made:
        yield made


def run(source, name):
    """The file's names, as in a notebook's cell."""
    linecache.cache[f"<{name}>"] = (len(source), None, source.splitlines(keepends=True), f"<{name}>")
    namespace = {"__name__": "__main__"}
    exec(compile(source, f"<{name}>", "exec"), namespace)
    return namespace


def in_the_notebook(task, source, known=()):
    judged = Judgement(task, LocalSubject(run(source, task.name), task.name).hands(), known=known)
    return judged.verdict(), judged.outcomes()


def in_a_class(box, task, source, known):
    runner, _ = box.run_notebook([("cell", source)])
    try:
        with runner.exercise() as exercise, Replays("bwrap") as replays:
            of = lambda needed: kernels_of([source], needed)  # noqa: E731
            subject = RemoteSubject(exercise, task.name, of, replays, the_compiler())
            return Judgement(task, subject.hands(), known=known).verdict()
    finally:
        runner.close()


def words(found):
    """All that a learner reads, without the time."""
    return {
        "reason": found.reason,
        "score": found.score,
        "groups": [(group.name, group.weight, group.won, group.says) for group in found.groups],
        "cases": [(c.title, c.passed, c.says, c.points_to, c.got, c.expected) for c in found.cases],
        "findings": [(f.kind, f.sentence, f.advice, f.line, f.text) for f in found.findings],
        "bytes": [(row.case, row.moved, row.floor, row.says) for row in found.traffic],
        "compiled": found.compiled,
        "looks like": found.misconception,
    }


@pytest.mark.parametrize(("name", "file"), list(answers()))
def test_the_three_ways_say_the_same(box, judge, name, file):
    problem, source = problems.load(name), sources(name)[file]
    task = pose(problem, SEED)
    _, wrongs = kernels.files(name)
    mistakes = [Mistake(Named(file, wrongs[file].sentence, wrongs[file].next), source)] if file in wrongs else []
    known = [Known(mistake.named, in_the_notebook(task, mistake.source)[1]) for mistake in mistakes]
    here, _ = in_the_notebook(task, source, known)
    assert words(in_a_class(box, task, source, known)) == words(here)
    assert words(judge.judge(problem, source, seed=SEED, mistakes=mistakes)) == words(here)
    assert here.full == (file not in wrongs) and (here.misconception is not None) == (file in wrongs)


@pytest.mark.parametrize("file", ["race_hidden_by_a_bell", "tf32_by_default", "lengths_on_the_host_and_a_dummy_read"])
def test_what_only_hardware_shows_is_said_everywhere(box, judge, file):
    """Programs at once, tf32 and looks at numbers: the same in this process, behind the walls and in children."""
    text = (Path(__file__).parent / "cheats" / f"{file}.py").read_text()
    name = next(line for line in text.splitlines() if line.startswith("# problem: ")).removeprefix("# problem: ")
    problem, task = problems.load(name), pose(problems.load(name), SEED)
    here, _ = in_the_notebook(task, text)
    assert not here.full and alike(words(in_a_class(box, task, text, ())), words(here))
    assert alike(words(judge.judge(problem, text, seed=SEED)), words(here))


def alike(ours, theirs):
    """The same, up to the rounding of numbers that are shown: what processors share out differs with where a tensor
    lies in memory."""
    if isinstance(ours, dict):
        return ours.keys() == theirs.keys() and all(alike(ours[key], theirs[key]) for key in ours)
    if isinstance(ours, (list, tuple)):
        return len(ours) == len(theirs) and all(map(alike, ours, theirs))
    if isinstance(ours, str) and ours != theirs:
        with contextlib.suppress(ValueError):
            return abs(float(ours) - float(theirs)) < 1e-5
    return ours == theirs


def test_lines_are_counted_within_the_cell():
    cells = ["x = 1\n", "# a comment\n@triton.jit\ndef k(x_ptr):\n    tl.store(x_ptr, 1)\n", "y = 2"]
    assert kernels_of(cells, {"k"}).split("\n")[1:3] == ["@triton.jit", "def k(x_ptr):"]
    split = ["N = 4", cells[1].replace("1)", "N)")]
    assert "N = 4" in kernels_of(split, {"k"}) and "tl.store(x_ptr, N)" in kernels_of(split, {"k"})


def test_the_solution_of_a_problem_stands_once():
    assert all(kernels.solution(name) for name in problems.names())
    assert not list(Path(problems.FOLDER).glob("*/starter.py"))
