"""Every problem: enough right and wrong files, inputs that belong to their seed and show precision, floors that add up.

What a notebook teaches is judged with its unit's gates. The others are judged here: right files get all points, wrong
files lose their group and are told why; their table is written to tests/gates/kernels.md and printed with -s. Not here:
the judge's own tests, and files that cheat.
"""

from pathlib import Path

import numpy as np
import pytest
import torch

from autograder.authoring import kernels
from grader_kernels import problem as problems
from grader_kernels.judging import agree, timing
from grader_kernels.judging.judge import Judge
from grader_kernels.replaying.trace import record

TABLE = Path(__file__).parents[1] / "gates" / "kernels.md"
NAMES = problems.names()
by_name = pytest.mark.parametrize("name", NAMES)
ALONE = [name for name in NAMES if (problems.FOLDER / name / "reference.py").is_file()]  # no notebook teaches them yet
LEAST_LOSS = 0.25  # of the group that a wrong file loses
MISTAKES = {
    "no max subtraction": ("row_softmax", "no_maximum"),
    "missing mask": ("vector_add", "no_masks"),
    "wrong stride": ("row_softmax", "rows_assumed_contiguous"),
    "off-by-one tail": ("vector_add", "off_by_one_mask"),
    "no rescale": ("row_softmax", "running_sum_not_rescaled"),
    "race": ("rmsnorm_backward", "programs_add_to_dweight"),
    "fp16 accumulate": ("row_softmax", "half_precision_sum"),
    "uninitialised accumulator": ("rmsnorm_backward", "partial_sums_begin_with_nothing"),
    "second pass that rereads": ("rmsnorm_forward", "second_walk"),
    "missing gradient term": ("rmsnorm_backward", "gradient_without_its_second_term"),
}


@pytest.fixture(scope="module")
def judge():
    with Judge() as made:
        yield made


def cases_of(problem, seed=0):
    return problem.cases(*(np.random.Generator(np.random.Philox(seed).jumped(jump)) for jump in (0, 2)))


def tensors(value):
    if isinstance(value, torch.Tensor):
        return [value]
    return [t for item in value for t in tensors(item)] if isinstance(value, (tuple, list)) else []


def bits(case):
    return agree.bits(tuple(tensors(case.args)))


# verdicts


@pytest.mark.slow
@pytest.mark.parametrize("name", ALONE)
@pytest.mark.parametrize("seed", range(1, 10))
def test_correct_kernels_get_all_points_on_other_seeds(judge, name, seed):
    rights, _ = kernels.files(name)
    verdicts = {file: judge.judge(name, source, seed=seed) for file, source in rights.items()}
    assert {file: verdict.sentences() for file, verdict in verdicts.items() if not verdict.full} == {}


@pytest.mark.slow
@pytest.mark.parametrize("name", ALONE)
def test_verdicts_are_as_stated(judge, name):
    rights, wrongs = kernels.files(name)
    rows = [correct_row(file, judge.judge(name, source, seed=0)) for file, source in rights.items()]
    rows += [wrong_row(wrong, judge.judge(name, kernels.as_file(wrong.source), seed=0)) for wrong in wrongs.values()]
    write_table(name, rows)
    assert [row for row in rows if row[-1] != "yes"] == []


def correct_row(file, verdict):
    holds = "yes" if verdict.full else f"no: {verdict.sentences()}"
    return f"the {file}" if file == "solution" else file, "", points(verdict), "", holds


def wrong_row(wrong, verdict):
    won = verdict.group(wrong.loses)
    said = any(wrong.says in sentence for sentence in [*verdict.sentences(), wrong.sentence])
    lost = won.won <= won.weight * (1 - LEAST_LOSS)
    holds = f"no: {wrong.loses} is {won.won:g}" if not lost else f"no: {wrong.says!r} is not said"
    return wrong.name, wrong.loses, points(verdict), wrong.says, "yes" if lost and said else holds


def points(verdict):
    return " ".join(f"{group.won:.2g}" for group in verdict.groups)


def write_table(name, rows):
    """Replace the rows of one problem: the tests of the others may run elsewhere, or not at all."""
    head = "| problem | answer | loses | right safe lean compiles | is told | holds |\n|---|---|---|---|---|---|\n"
    lines = TABLE.read_text().splitlines() if TABLE.exists() else []
    kept = [line for line in lines if line.split(" | ")[0].removeprefix("| ") in set(ALONE) - {name}]
    new = [f"| {' | '.join((name, *row))} |" for row in rows]
    ordered = sorted(kept + new, key=lambda line: line.split(" | ")[0])
    TABLE.parent.mkdir(exist_ok=True)
    TABLE.write_text("# Gates of the kernel problems\n\nWritten by `make test`.\n\n" + head + "\n".join(ordered) + "\n")
    print("\n" + head + "\n".join(new))


# the folders


@by_name
def test_a_problem_has_enough_right_and_wrong_files(name):
    rights, wrongs = kernels.files(name)
    assert len(rights) >= 3 and len(wrongs) >= 4
    lost = [wrong.loses for wrong in wrongs.values()]
    assert {"right", "lean"} <= set(lost) <= set(problems.GROUPS)
    assert all(wrong.says and wrong.next for wrong in wrongs.values())
    sentences = [wrong.sentence for wrong in wrongs.values()]
    assert len(set(sentences)) == len(sentences)


def test_the_common_mistakes_are_among_the_wrong_files():
    assert {what for what, (name, file) in MISTAKES.items() if file not in kernels.files(name)[1]} == set()


@by_name
def test_cases_belong_to_their_seed(name):
    problem = problems.load(name)
    first, again, other = (cases_of(problem, seed) for seed in (5, 5, 6))
    assert [case.title for case in first] == [case.title for case in other]
    assert len({case.title for case in first}) == len(first)
    assert [bits(case) for case in first] == [bits(case) for case in again]
    assert [bits(case) for case in first] != [bits(case) for case in other]


def shapes(case):
    """All that a launcher may recognise a case by."""
    plain = [value for value in (*case.args, *case.kwargs.values()) if type(value) is int]
    return (*(tuple(t.shape) for t in tensors(case.args)), *plain)


def sizes_of(case):
    return [size for t in tensors(case.args) for size in t.shape]


@by_name
def test_no_case_has_sizes_that_a_launcher_could_know(name):
    """Except where only one size can exist: a single element, a single pair, a single cell with its four gates."""
    problem = problems.load(name)
    drawn = [cases_of(problem, seed) for seed in range(12)]
    fixed = [same[0].title for same in zip(*drawn, strict=True) if len({shapes(case) for case in same}) == 1]
    lone = {case.title for case in drawn[0] if max(sizes_of(case)) <= 4}
    assert set(fixed) <= lone


@by_name
def test_a_problem_shows_widths_below_and_above_a_block_and_its_widest(name):
    problem = problems.load(name)
    longest = [max(max(sizes_of(case)) for case in cases_of(problem, seed)) for seed in range(4)]
    assert min(longest) > 4096 if "up to 8192" in problem.task else True
    drawn = [case.kwargs for seed in range(4) for case in cases_of(problem, seed)]
    blocks = [given[key] for given in drawn for key in given if key.startswith("block")]
    assert len(set(blocks)) > 1 or not blocks


@by_name
def test_the_task_says_what_is_judged(name):
    """What is contiguous, how many programs share the work, what is exact: each stands in the words of the task."""
    problem = problems.load(name)
    task = " ".join(problem.task.split())
    if problem.settings.contiguous and not problem.settings.may_change:
        assert "new contiguous tensor" in task or "new and contiguous" in task or "both new and contiguous" in task
    assert (problem.programs is None) == (problem.settings.share == "")
    assert problem.settings.share.rstrip(".").lower() in task.lower()
    assert problem.exact is None or "exactly" in task or "0 where the target is `ignore`" in task
    for case in cases_of(problem):
        most = problem.programs(*case.args, **case.kwargs) if problem.programs else 1
        assert most == 1 or most <= max(sizes_of(case))


@by_name
def test_what_must_be_exact_has_the_shape_of_the_result(name):
    problem = problems.load(name)
    for case in cases_of(problem) if problem.exact else []:
        wanted = agree.outputs(problem.exact(*case.args, **case.kwargs))
        result = agree.outputs(problem.baseline(*case.args, **case.kwargs))
        assert {key: t.shape for key, t in wanted.items()} == {key: t.shape for key, t in result.items()}
        assert all(t.dtype == torch.bool for t in wanted.values())


@by_name
def test_the_floor_names_arguments_and_outputs_and_says_why(name):
    problem = problems.load(name)
    assert problem.task.count(f"{name}(") >= 1 and any(case.compile for case in cases_of(problem))
    lean = [case for case in cases_of(problem) if case.lean]
    assert lean
    for case in lean:
        floor = problem.floor(*case.args, **case.kwargs)
        parts = agree.outputs(problem.baseline(*case.args, **case.kwargs))
        assert len(floor.why.split()) > 10 and set(floor.resident) <= set(floor.loads)
        written = sum(part.numel() * part.element_size() for part in tensors(tuple(parts.values())))
        assert sum(floor.stores.values()) == written and set(floor.stores) == set(parts)


@by_name
def test_reference_and_baseline_leave_their_arguments_alone(name):
    problem = problems.load(name)
    for case in cases_of(problem):
        before = bits(case)
        problem.reference(*problems.in_float64(case.args), **case.kwargs)
        problem.baseline(*case.args, **case.kwargs)
        assert bits(case) == before, case.title


@by_name
def test_what_is_timed_is_large_and_torch_has_an_operator_for_it(name):
    problem = problems.load(name)
    case = problem.large(np.random.default_rng(0))
    floor = problem.floor(*case.args, **case.kwargs)
    assert floor.total > 7 * timing.SMALL or floor.flops > 1e9
    traced = record(kernels.launcher(name), problems.copied(case.args), case.kwargs)
    assert traced.launches, "our launcher takes it"
    ours = tensors(problem.baseline(*problems.copied(case.args), **case.kwargs))
    theirs = tensors((problem.operator or problem.baseline)(*problems.copied(case.args), **case.kwargs))
    for mine, other in zip(ours, theirs, strict=False):
        assert mine.dtype == other.dtype
        assert (mine.double() - other.double()).abs().max() < 0.02 * mine.double().abs().max()


@by_name
def test_float32_answers_one_step_less_precise_do_not_pass(name):
    problem = problems.load(name)
    cases = [c for c in cases_of(problem) if has_float32(c.args) and has_float32(problem.expected(c)[1])]
    passed = [case.title for case in cases if passes_in_half_precision(problem, case)]
    assert len(passed) <= len(cases) // 3, f"float16 is good enough for {passed}"


def has_float32(values):
    return any(t.dtype == torch.float32 for t in tensors(values))


def passes_in_half_precision(problem, case):
    exact, plain, near = problem.expected(case)
    halves = tuple(t.half() if isinstance(t, torch.Tensor) and t.is_floating_point() else t for t in case.args)
    rough = agree.outputs(problem.baseline(*halves, **case.kwargs)).values()
    wanted = agree.outputs(plain).values()
    rough = [part.to(want.dtype) for part, want in zip(rough, wanted, strict=True)]
    got = rough if isinstance(plain, (tuple, list)) else rough[0]
    return agree.compare(got, agree.expect(exact, plain, near, case.factor, problem.settings.eps)).passed
