"""What the next kernels need of the judge: a small problem for each family, which one right kernel wins and typical
mistakes lose. They lie in next/, in the form of grader_kernels/problems.

Not here: the problems that are taught (test_problems), and whether a judge's single rules hold (test_sanitizer).
"""

from pathlib import Path

import pytest

from autograder.authoring import kernels
from autograder.authoring.answers import read_answers
from grader_kernels import problem as problems
from grader_kernels.judging.judge import Judge

FOLDER = Path(__file__).parent / "next"
LEAST_LOSS = 0.25  # of the group that a wrong kernel loses
ONE_TARGET = ("sm_80",)
UNEVEN = {("first_stop", "halves_that_tell_each_other")}  # what they read depends on who comes first: not lean


def read(name):
    """(right sources by name, mistakes) of a problem in next/."""
    folder = FOLDER / name
    ours = (folder / "reference.py").read_text("utf-8").removeprefix(kernels.IMPORTS).strip("\n")
    rights = read_answers(folder / "right.py", "right", {name: ours}, of_problem=name)
    wrongs = read_answers(folder / "wrong.py", "wrong", {name: ours}, rights, of_problem=name)
    return {"solution": ours} | {right.name: right.source for right in rights}, wrongs


NAMES = sorted(path.parent.name for path in FOLDER.glob("*/problem.py"))
RIGHT = [(name, right) for name in NAMES for right in read(name)[0]]
WRONG = [(name, wrong.name) for name in NAMES for wrong in read(name)[1]]


@pytest.fixture(scope="module")
def judge():
    with Judge() as made:
        yield made


def judged(judge, name, source, targets=ONE_TARGET, seed=1):
    return judge.judge(problems.load(FOLDER / name), kernels.as_file(source), seed=seed, targets=targets)


def lost(verdict):
    return {group.name for group in verdict.groups if group.won < group.weight}


@pytest.mark.parametrize(("name", "right"), RIGHT)
def test_a_right_kernel_gets_all_points(judge, name, right):
    verdict = judged(judge, name, read(name)[0][right])
    assert lost(verdict) <= ({"lean"} if (name, right) in UNEVEN else set()), verdict.sentences()


@pytest.mark.parametrize(("name", "wrong"), WRONG)
def test_a_wrong_kernel_loses_its_group_and_is_told_why(judge, name, wrong):
    mistake = next(each for each in read(name)[1] if each.name == wrong)
    verdict = judged(judge, name, mistake.source, ONE_TARGET if mistake.loses == "compiles" else ())
    group = verdict.group(mistake.loses)
    assert group.won <= group.weight * (1 - LEAST_LOSS), verdict.sentences()
    assert any(mistake.says in sentence for sentence in verdict.sentences()), verdict.sentences()


def test_every_family_has_two_mistakes():
    assert [name for name in NAMES if len(read(name)[1]) < 2] == []


@pytest.mark.slow
@pytest.mark.parametrize(("name", "right"), RIGHT)
def test_right_kernels_get_all_points_on_other_seeds_and_all_targets(judge, name, right):
    for seed in range(2, 7):
        verdict = judged(judge, name, read(name)[0][right], ("sm_80", "sm_90"), seed)
        assert lost(verdict) <= ({"lean"} if (name, right) in UNEVEN else set()), (seed, verdict.sentences())
