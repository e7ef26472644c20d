"""What the next kernels need of the judge: a small problem for each family, which one right kernel wins and typical
mistakes lose. They lie in next/, in the form of grader_kernels/problems.

Not here: the problems that are taught (test_problems), and whether a judge's single rules hold (test_sanitizer).
"""

from pathlib import Path

import pytest

from autograder.authoring import kernels
from autograder.authoring.answers import read_answers
from grader_kernels import problem as problems
from grader_kernels.judging.hands import LocalHands
from grader_kernels.judging.judge import Judge
from grader_kernels.judging.judgement import Judgement
from grader_kernels.judging.task import pose

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


@pytest.mark.parametrize(
    ("name", "wrong"), [("arrival_slots", "slot_after_counting"), ("prefix_sums", "waits_by_number")]
)
def test_a_fault_is_told_alike_in_a_notebook(judge, name, wrong):
    source = kernels.as_file(next(each for each in read(name)[1] if each.name == wrong).source)
    namespace = {"__name__": "__main__"}
    kernels.execute(source, namespace, f"{wrong} of {name}")
    task = pose(problems.load(FOLDER / name), 1)
    here = Judgement(task, LocalHands(namespace[name]), targets=()).verdict()
    there = judge.judge(problems.load(FOLDER / name), source, seed=1, targets=())
    assert here.findings == there.findings and here.groups == there.groups
    assert [case.says for case in here.cases] == [case.says for case in there.cases]


def test_who_waits_in_another_order_only_has_right_numbers_and_is_not_safe(judge):
    source = next(each for each in read("prefix_sums")[1] if each.name == "waits_by_number").source
    assert lost(judged(judge, "prefix_sums", source)) == {"safe"}


def test_every_family_has_two_mistakes():
    assert [name for name in NAMES if len(read(name)[1]) < 2] == []


@pytest.mark.slow
def test_tiles_that_spill_are_told_with_registers_stack_and_shared_memory(judge):
    source = read("matmul_epilogue")[0]["solution"]
    large = source.replace("BLOCK_M=block_m, BLOCK_N=block_n", "BLOCK_M=128, BLOCK_N=128, num_warps=1")
    verdict = judged(judge, "matmul_epilogue", large.replace("cdiv(M, block_m)", "cdiv(M, 128)").replace(
        "cdiv(N, block_n)", "cdiv(N, 128)"))  # fmt: skip
    assert verdict.group("compiles").won == 0
    [says] = [s for s in verdict.group("compiles").says if "on the stack" in s]
    [one] = [one for one in verdict.compiled if one.stack > 0]
    for figure in (f"{one.stack} bytes per thread", f"the {one.registers} registers", f"{one.shared} bytes of shared"):
        assert figure in says


@pytest.mark.slow
@pytest.mark.parametrize(("name", "right"), RIGHT)
def test_right_kernels_get_all_points_on_other_seeds_and_all_targets(judge, name, right):
    for seed in range(2, 7):
        verdict = judged(judge, name, read(name)[0][right], ("sm_80", "sm_90"), seed)
        assert lost(verdict) <= ({"lean"} if (name, right) in UNEVEN else set()), (seed, verdict.sentences())


@pytest.mark.slow
@pytest.mark.parametrize(("name", "wrong"), WRONG)
def test_wrong_kernels_lose_their_group_on_other_seeds(judge, name, wrong):
    mistake = next(each for each in read(name)[1] if each.name == wrong)
    for seed in range(2, 7):
        verdict = judged(judge, name, mistake.source, ONE_TARGET if mistake.loses == "compiles" else (), seed)
        group = verdict.group(mistake.loses)
        assert group.won <= group.weight * (1 - LEAST_LOSS), (seed, verdict.sentences())
        assert any(mistake.says in sentence for sentence in verdict.sentences()), (seed, verdict.sentences())
