"""The kernel judge: what it gives points for, what it says, and that nothing a file does stops it."""

import dataclasses
import os
from pathlib import Path

import msgspec
import pytest
import torch

from autograder.authoring import kernels
from grader_kernels import problem
from grader_kernels.judging import agree, judge, verdict
from grader_kernels.judging.task import pose
from grader_kernels.replaying import lean

TILE = """
import torch
import triton
import triton.language as tl


@triton.jit
def softmax_kernel(x_ptr, out_ptr, n, x_row, x_col, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    at = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + row * x_row + at * x_col, mask=at < n, other=-float("inf")).to(tl.float32)
    e = tl.exp(x - tl.max(x, axis=0))
    tl.store(out_ptr + row * n + at, e / tl.sum(e, axis=0), mask=at < n)


def row_softmax(x, block=128):
    out = torch.empty(x.shape, dtype=x.dtype)
    width = triton.next_power_of_2(x.shape[1])
    softmax_kernel[(x.shape[0],)](x, out, x.shape[1], x.stride(0), x.stride(1), BLOCK=width)
    return out
"""
LAUNCHER = "def row_softmax(x, block=128):\n"


def changed(old: str, new: str, source: str = TILE) -> str:
    assert old in source
    return source.replace(old, new)


def in_launcher(*lines: str) -> str:
    """The good file, with these lines at the start of its launcher."""
    return changed(LAUNCHER, LAUNCHER + "".join(f"    {line}\n" for line in lines))


def any_block(name: str) -> problem.Problem:
    """The problem, where a program may hold whole rows whatever `block` says, as TILE does."""
    known = problem.load(name)
    return dataclasses.replace(known, settings=msgspec.structs.replace(known.settings, block=False))


@pytest.fixture(scope="module")
def judging():
    with judge.Judge(seconds=1.0) as made:
        yield made


@pytest.fixture
def judged(judging):
    def ask(source, name="row_softmax", seed=0, **options):
        return judging.judge(any_block(name), source, seed=seed, targets=("sm_80",), **options)

    return ask


@pytest.fixture
def named(judged):
    """The verdict on a known wrong file, by a judge that knows it among others."""

    def ask(name, *others, problem="row_softmax"):
        _, wrongs = kernels.files(problem)
        known = [wrongs[other] for other in (name, *others)]
        mistakes = [judge.Mistake(verdict.Named(w.name, w.sentence, w.next), kernels.as_file(w.source)) for w in known]
        return judged(mistakes[0].source, problem, mistakes=mistakes)

    return ask


def won(found: verdict.KernelVerdict) -> dict[str, float]:
    return {group.name: round(group.won, 2) for group in found.groups}


def said(found: verdict.KernelVerdict, words: str) -> bool:
    return any(words in sentence for sentence in found.sentences())


def failing(found: verdict.KernelVerdict) -> list[str]:
    return [case.title for case in found.cases if not case.passed]


def share(found: verdict.KernelVerdict) -> float:
    """The points of `right` by the cases' weights when a case is wrong: three of four."""
    right = sum(case.weight for case in found.cases if case.passed)
    return round(3 * right / sum(case.weight for case in found.cases), 2)


# --- points ---


def test_a_right_kernel_gets_all_points_and_every_figure(judged):
    found = judged(TILE)
    assert found.full and found.score == 10 and not found.findings and not found.misconception
    assert all(case.passed and case.error <= case.allowed for case in found.cases)
    assert [row.ratio for row in found.traffic] == [1.0, 1.0]
    case = next(case for case in pose(problem.load("row_softmax"), 0).cases if case.floor)
    size = 4 * case.args[0].numel()
    x, out = found.traffic[0].tensors
    assert (x.name, x.loaded, x.needed_loads) == ("x", size, size)
    assert (out.role, out.stored, out.needed_stores) == ("output", size, size)
    assert found.compiled[0].target == "sm_80" and found.compiled[0].registers > 0
    assert "not measured" in found.speed
    assert verdict.decode(verdict.encode(found)) == found


def test_every_case_counts_in_right_and_the_known_mistake_is_named(named):
    found = named("no_maximum", "one_block_only")
    assert found.misconception.name == "no_maximum" and found.misconception.next
    assert failing(found) == [
        "rows narrower than a block, and far below zero",
        "rows near -12,000, near 300 and below -10^9",
    ]
    assert won(found)["right"] == share(found) < 3 and found.score < 9
    assert said(found, "numbers are NaN where a number is expected") and said(found, "subtract the row's maximum")


def test_a_known_mistake_is_named_also_when_it_leaves_numbers_unwritten(named):
    found = named("tail_never_computed", "no_maximum")
    assert said(found, "were never written by a kernel") and found.misconception.name == "tail_never_computed"


def test_a_known_mistake_is_named_also_when_all_numbers_are_right(named):
    found = named("exponentials_on_their_way_through_memory", "no_maximum")
    assert won(found)["right"] == 4 and found.misconception.name == "exponentials_on_their_way_through_memory"


def test_two_known_mistakes_that_do_the_same_are_told_together(judged):
    source = changed("e / tl.sum(e, axis=0)", "e / tl.sum(e, axis=0) * 0.99")
    mistakes = [judge.Mistake(verdict.Named(name, f"sentence {name}"), source) for name in "ab"]
    found = judged(source, mistakes=mistakes).misconception
    assert (found.name, found.sentence) == ("a | b", "one of: sentence a; or: sentence b")


def test_one_wrong_case_costs_a_quarter_of_right_and_its_own_share(judged):
    found = judged(changed("    out = ", "    if x.dtype == torch.float16: block = x[0, 5000]\n    out = "))
    assert failing(found) == ["float16"]
    total = sum(case.weight for case in found.cases)
    assert won(found)["right"] == share(found) == round(3 * (total - 2) / total, 2)


def test_a_mistake_that_nobody_knows_is_not_named(judged):
    twice = changed("tl.sum(e, axis=0)", "tl.sum(e, axis=0) * 2")
    other = judge.Mistake(verdict.Named("other", "another factor"), twice)
    found = judged(changed("e / tl.sum(e, axis=0)", "e / tl.sum(e, axis=0) * 0.99"), mistakes=[other])
    assert found.misconception is None and won(found)["right"] == 0


def test_with_little_right_the_other_groups_have_no_points(judged):
    found = judged(changed("e / tl.sum(e, axis=0)", "e"))
    assert "a single element" not in failing(found)
    assert found.score == share(found) > 0
    assert found.group("safe").says == ["no points while less than half of the cases are right"]


def test_less_precision_than_asked_for_is_wrong(judged):
    found = judged(changed("e / tl.sum(e, axis=0)", "(e / tl.sum(e, axis=0)).to(tl.float16)"))
    assert {"rows that fill a block exactly", "one column more than full blocks"} <= set(failing(found))
    assert "float16" not in failing(found)


def test_a_second_launch_and_a_second_reading_lose_lean(judged):
    again = "    softmax_kernel[(x.shape[0],)](x, out, x.shape[1], x.stride(0), x.stride(1), BLOCK=width)\n"
    found = judged(changed(again, 3 * again))
    assert won(found) == {"right": 4, "safe": 2, "lean": 0, "compiles": 2}
    assert said(found, "you move 3.0 times the bytes that are needed")
    assert said(found, "the result is written three times; you launch 3 kernels where one is enough")
    assert found.traffic[0].launches == 3 and found.traffic[0].ratio == 3.0


def test_what_is_wasted_is_told():
    def row(role, loaded, stored):
        return {"role": role, "loaded": loaded, "stored": stored, "unique_loaded": loaded}

    floor = {"loads": {"x": 40, "n": 8}, "stores": {"out": 40}, "resident": ["n"]}
    tensors = {"x": row("input", 40, 40), "n": row("input", 8, 0), "returned tensor 0": row("output", 0, 40)}
    meter = {"launches": 1, "copies": 0, "tensors": tensors}
    assert lean.too_much(meter, floor, 1.5) == ""
    assert lean.too_much(meter, floor) == "you move 1.5 times the bytes that are needed: x need not be written"
    meter |= {"launches": 3, "copies": 2}
    many = "you launch 3 kernels (2 of them to copy or fill with torch) where one is enough"
    assert lean.too_much(meter, floor, 1.5) == many
    tensors["n"] = row("input", 0, 0)
    assert "; no kernel reads n: its numbers must not come" in lean.too_much(meter, floor, 1.5)


def test_bytes_of_wrong_numbers_don_t_count(judged):
    found = judged(changed("mask=at < n, other", "mask=at < n - 1, other"))
    assert won(found)["lean"] == 0 and said(found, "not counted: the numbers are wrong in")


def test_what_the_sanitizer_finds_loses_safe_with_its_line(judged):
    found = judged(changed(', other=-float("inf")', ""))
    assert won(found)["safe"] == 0
    assert {finding.kind for finding in found.findings} == {"masked_lane"}
    assert any("other=" in sentence for sentence in found.group("safe").says)


def test_a_result_that_depends_on_the_order_of_programs_is_not_safe(judged):
    chain = changed("e = tl.exp(x - tl.max(x, axis=0))", "e = tl.exp(x - tl.max(x, axis=0)) + 0 * before")
    chain = changed(
        "    e = tl", "    before = tl.load(out_ptr + (row - 1) * n, mask=row > 0, other=0.0)\n    e = tl", chain
    )
    chain = changed("torch.empty(x.shape", "torch.zeros(x.shape", changed("0 * before", "0.5 * before", chain))
    found = judged(chain)
    assert won(found)["safe"] == 0 and {"race", "order"} <= {finding.kind for finding in found.findings}
    assert said(found, "changes with the order in which the programs run")


def test_a_kernel_the_compiler_refuses_loses_compiles(judged):
    found = judged(changed("at = tl.arange(0, BLOCK)", "at = tl.arange(0, BLOCK)\n    odd = tl.arange(0, 48)"))
    assert won(found)["compiles"] == 0 and said(found, "power of 2")


# --- honesty ---


@pytest.mark.parametrize("key", ["tuple(x.shape)", "x.data_ptr()", "x.sum().item()"])
def test_a_launcher_that_keeps_results_has_nothing_right(judged, key):
    source = changed("    return out\n", "    KEPT[key] = out\n    return out\n")
    look = f"    key = {key}\n    if key in KEPT:\n        return KEPT[key]\n"
    source = changed(LAUNCHER, f"KEPT = {{}}\n\n\n{LAUNCHER}{look}", source)
    assert judged(source).score == 0


def test_torch_in_place_of_a_kernel_has_nothing_right(judged):
    found = judged("import torch\n\n\ndef row_softmax(x, block=128):\n    return torch.softmax(x, 1)\n")
    assert found.score == 0 and said(found, "torch computed it")


def test_the_file_runs_in_a_child_and_never_sees_the_inputs(judged, tmp_path):
    notes = tmp_path / "notes"
    source = in_launcher(f"open({str(notes)!r}, 'a').write(f'{{os.getpid()}} {{x.flatten()[0].item()}}\\n')")
    found = judged("import os\n" + source)
    lines = [line.split() for line in notes.read_text().splitlines()]
    cases = pose(problem.load("row_softmax"), 0).cases
    assert won(found)["right"] == 4 and said(found, "the launcher looks at x in Python (item()): there it waits")
    assert {int(pid) for pid, _ in lines}.isdisjoint({os.getpid()})
    firsts = {float(case.args[0].flatten()[0]) for case in cases} - {0.0}
    assert firsts.isdisjoint(float(value) for _, value in lines)


def test_what_a_file_prints_reaches_nobody(capfd):
    source = in_launcher("print('10 of 10', flush=True)", "__import__('os').system('echo 10 of 10')")
    with judge.Judge() as own:  # born with the output that is looked at
        assert own.judge(any_block("row_softmax"), source, targets=()).full
    assert capfd.readouterr() == ("", "")


# --- nothing stops it ---


@pytest.mark.parametrize(
    "line, words",
    [
        ("while True: pass", "is there a loop that never ends?"),
        ("torch.empty(25_000_000_000)", "asked for more memory than there is here"),
        ("import os; os._exit(3)", "ended itself with exit code 3"),
        ("import ctypes; ctypes.string_at(0)", "died (segmentation fault)"),
        ("import sys; sys.exit(0)", "ended itself with SystemExit"),
        ("x[:, 5000]", "IndexError"),
    ],
    ids=["loop", "memory", "exit", "crash", "sys.exit", "raises"],
)
def test_a_launcher_that_goes_wrong_is_a_verdict_and_the_judge_goes_on(judged, line, words):
    found = judged(in_launcher(line))
    assert found.score == 0 and said(found, words)
    assert judged(TILE).full


def test_an_endless_kernel_is_a_verdict_and_the_judge_goes_on(judged):
    found = judged(changed("    e = tl", "    i = 0\n    while i < 10:\n        i = i * 1\n    e = tl"))
    assert found.score == 0 and said(found, "the kernel ran longer than")
    assert said(found, "not run: the cases before it took too long")
    assert judged(TILE).full


def test_a_kernel_that_reads_far_out_of_bounds_is_a_finding(judged):
    found = judged(changed("row * x_row + at", "row * x_row + 100000000000 + at"))
    assert found.score == 0 and said(found, "out of bounds")
    [finding] = found.findings
    assert finding.kind == "out_of_bounds" and finding.tensor == "x_ptr" and "tl.load" in finding.text


def test_a_death_in_one_case_costs_that_case_only(judged):
    found = judged(in_launcher("if x.shape[1] > 1 and x.shape[1] % 32 == 1: import os; os._exit(1)"))
    assert failing(found) == ["one column more than full blocks"]
    assert won(found) == {"right": share(found), "safe": 0, "lean": 2, "compiles": 2}


def test_killing_the_judge_s_helper_gains_nothing_and_the_next_file_is_judged(judged):
    found = judged(in_launcher("import os, signal; os.kill(os.getppid(), signal.SIGKILL)"))
    assert found.score == 0 and said(found, "killed")
    assert judged(TILE).full


def test_no_process_is_left_over():
    import psutil

    with judge.Judge(seconds=1.0) as own:
        pid = own.nursery.pid
        own.judge(any_block("row_softmax"), in_launcher("__import__('subprocess').Popen(['sleep', '60'])"), targets=())
        assert psutil.pid_exists(pid)
    assert not psutil.pid_exists(pid)
    own.close()


# --- files that can't be judged ---


def test_a_file_that_is_none_is_one_sentence(tmp_path):
    for name, content in (("python.py", b"def f(:"), ("binary.py", b"\xff\xfe"), ("null.py", b"x = '\0'")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(judge.NotAKernelFile, match=name):
            judge.read(tmp_path / name)
    with pytest.raises(judge.NotAKernelFile, match="can't be read"):
        judge.read(tmp_path / "missing.py")
    with pytest.raises(judge.NotAKernelFile, match="can't be read"):
        judge.read(tmp_path)
    with pytest.raises(judge.NotAKernelFile, match="characters"):
        judge.read("x = 1\n" * judge.MAX_SOURCE)


@pytest.mark.parametrize(
    "source, words",
    [
        ("x = 1", "no function called row_softmax"),
        ("import nothing_like_this", "ModuleNotFoundError"),
        ("while True: pass", "loop that never ends"),
        ("raise KeyboardInterrupt", "ended itself with KeyboardInterrupt"),
    ],
)
def test_a_file_that_can_t_be_executed_has_a_reason(judged, source, words):
    found = judged(source)
    assert found.score == 0 and words in found.reason and not found.cases
    assert verdict.decode(verdict.encode(found)) == found


def test_what_nobody_wrote_is_not_written_yet(judged):
    kernel = changed("    row = tl.program_id(0)\n", "    raise NotImplementedError\n")
    for source in (in_launcher("raise NotImplementedError('write row_softmax here')"), kernel):
        found = judged(source)
        assert found.score == 0 and found.kind == "not_written" and not found.cases


def test_nobody_can_guess_the_seed_and_the_verdict_tells_it(judged):
    first, other = (judged(TILE, seed=None) for _ in range(2))
    assert first.seed != other.seed and min(first.seed, other.seed) > 2**32
    again = judged(TILE, seed=first.seed)
    assert [case.error for case in again.cases] == [case.error for case in first.cases]


def test_inputs_are_called_as_the_problem_calls_them(judged):
    kernel, launcher = TILE.split("def row_softmax")
    renamed = launcher.replace("x.", "rows.").replace("(x,", "(rows,")
    found = judged(f"{kernel}def row_softmax{renamed}")
    assert found.full and [row.name for row in found.traffic[0].tensors] == ["x", "returned tensor 0"]
    assert found.pattern.sizes["x"] > 0


def test_an_argument_given_back_is_no_answer_and_its_stores_are_told(judged):
    found = judged(changed("out = torch.empty(x.shape, dtype=x.dtype)", "out = x"))
    assert found.score == 0 and said(found, "it returned its argument x") and said(found, "the input x")


def test_every_right_case_is_called_again(judged):
    """The last case is large, and the only one that is kept."""
    keeps = "    if x.shape[1] > 3000 and KEPT:\n        return KEPT[0]\n"
    source = changed(LAUNCHER, f"KEPT = []\n\n\n{LAUNCHER}{keeps}")
    last = "    return out\n"
    found = judged(changed(last, f"    KEPT.extend([out] * (x.shape[1] > 3000))\n{last}", source))
    assert found.score == 0 and said(found, "a later call with the same shapes goes wrong")


def test_a_launcher_sees_no_whole_number_that_another_draw_would_not_hold():
    cases = pose(problem.load("cross_entropy"), 0).cases
    for case in cases:
        (logits, target), _ = case.shown()
        assert logits.stride() == case.args[0].stride() and torch.equal(target, case.other[0][1])
        assert not torch.equal(logits, case.args[0]) or not logits.numel()
    assert any(not torch.equal(case.args[1], case.shown()[0][1]) for case in cases)


def test_the_same_seed_gives_the_same_verdict(judged):
    first, again, other = (judged(TILE, seed=seed) for seed in (3, 3, 4))
    first.seconds = again.seconds = 0
    assert first == again
    assert [c.error for c in first.cases] != [c.error for c in other.cases]


def test_an_unknown_problem_is_one_sentence(judged):
    with pytest.raises(problem.ProblemError, match="there is no problem called nothing"):
        judged(TILE, "nothing")


# --- when numbers agree ---

EXACT = torch.tensor([1.0, 2.0, 4.0], dtype=torch.float64)


def compare(got, exact, plain):
    return agree.compare(got, agree.expect(exact, plain))


def near(got, exact=EXACT, plain=None):
    return compare(got, exact, exact.to(got.dtype) if plain is None else plain)


def test_shape_dtype_and_structure_come_first():
    assert "has shape (2,); expected (3,)" in near(torch.zeros(2)).says
    assert near(EXACT, plain=EXACT.float()).says == "the result is float64; expected float32"
    assert "is None; expected a tensor" in compare(None, EXACT, EXACT).says
    assert "returns one value; expected a tuple of 2" in compare(EXACT, (EXACT, EXACT), (EXACT, EXACT)).says
    found = compare((EXACT, EXACT + 1), (EXACT, EXACT), (EXACT, EXACT))
    assert found.says.startswith("returned tensor 1 is off by 0.25 of its largest value")


def test_the_error_is_relative_to_the_largest_value_and_says_where():
    assert near(EXACT.float() + torch.tensor([0, 0, 3.9e-6])).passed
    found = near(EXACT.float() + torch.tensor([0, 1e-4, 0]))
    assert not found.passed and "it is worst at [1]" in found.says and (found.got, found.expected) == ("2.0001", "2")
    assert found.error == pytest.approx(2.5e-5, rel=1e-2)


def test_plain_torch_sets_how_much_is_allowed():
    plain = EXACT.float() + torch.tensor([0, 0, 1e-3])
    assert near(EXACT.float() + torch.tensor([3.9e-3, 0, 0]), plain=plain).passed
    assert not near(EXACT.float() + torch.tensor([4.1e-3, 0, 0]), plain=plain).passed


@pytest.mark.parametrize("dtype, unit", [(torch.float16, 2.0**-10), (torch.bfloat16, 2.0**-7)])
def test_half_a_unit_of_a_half_type_is_always_allowed(dtype, unit):
    exact = torch.tensor([1 + 0.49 * unit, 0.5], dtype=torch.float64)
    assert near(torch.tensor([1.0, 0.5], dtype=dtype), exact, torch.tensor([1.0, 0.5], dtype=dtype)).passed
    off = torch.tensor([1 - unit, 0.5], dtype=dtype)
    assert not compare(off, exact * 0 + torch.tensor([1.0, 0.5]), torch.tensor([1.0, 0.5], dtype=dtype)).passed


def test_nan_and_infinity_must_stand_where_they_should():
    odd = torch.tensor([float("nan"), float("inf"), 1.0], dtype=torch.float64)
    assert near(odd.float(), odd).passed
    nowhere = near(odd.float() * float("nan"), odd).says
    assert "2 of 3 numbers are NaN where a number is expected; the first at [1]" in nowhere
    assert "should be NaN" in near(torch.tensor([0.0, float("inf"), 1.0]), odd).says
    assert "infinite" in near(torch.tensor([float("nan"), -float("inf"), 1.0]), odd).says
    too_large = torch.tensor([1e6, 1.0], dtype=torch.float64)
    assert near(too_large.half(), too_large, too_large.half()).passed


def test_whole_numbers_must_be_equal():
    exact = torch.tensor([3, 4])
    assert compare(torch.tensor([3, 4]), exact, exact).passed
    found = compare(torch.tensor([3, 5]), exact, exact)
    assert "1 of 2 numbers are wrong; the first at [1]" in found.says and (found.got, found.expected) == ("5", "4")


def test_bits_tell_results_apart_and_know_nan():
    nan = torch.tensor([float("nan"), 0.0])
    assert agree.bits(nan) == agree.bits(nan.clone())
    assert agree.bits(torch.tensor([0.0])) != agree.bits(torch.tensor([-0.0]))


def test_two_wrong_results_are_alike_up_to_rounding():
    wrong = torch.tensor([1.0, float("nan"), 5.0])
    assert agree.alike(wrong, wrong * (1 + 1e-6)) and not agree.alike(wrong, wrong * 1.01)
    assert not agree.alike(wrong, torch.tensor([1.0, 2.0, 5.0]))


# --- the pattern ---


def test_the_pattern_is_that_of_one_program(judged):
    found = judged(TILE).pattern
    assert [access.kind for access in found.accesses] == ["load", "store"]
    counted = {case.args[0].numel() for case in pose(problem.load("row_softmax"), 0).cases if case.floor}
    assert found.sizes["x"] in counted
    assert msgspec.json.decode(msgspec.json.encode(found), type=verdict.Pattern) == found


def test_a_path_is_a_file_and_a_string_is_source(tmp_path):
    (tmp_path / "mine.py").write_text(TILE)
    assert judge.read(tmp_path / "mine.py") == (TILE, str(tmp_path / "mine.py"))
    assert judge.read(TILE) == (TILE, "source.py")
    assert isinstance(Path(judge.read(TILE)[1]), Path)


# --- speed ---


def test_speed_is_asked_of_a_process_of_its_own(judging, monkeypatch):
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    asked = []
    made = judging.nursery.child
    monkeypatch.setattr(judging.nursery, "child", lambda role: asked.append(role) or made(role))
    found = judging.judge("row_softmax", TILE, targets=(), reference=TILE)
    assert "speed" in asked and found.speed == judge.NOT_MEASURED and found.speed_figures == {}
    wrong = judging.judge("row_softmax", in_launcher("x[:, 5000]"), targets=(), reference=TILE)
    assert wrong.speed == "speed was not measured: not all numbers are right"


def test_what_was_measured_stands_in_the_verdict(judging, monkeypatch):
    class Said:
        def __init__(self, said):
            self.said = said

        def ask(self, operation, *values, seconds):
            return self.said

        def end(self):
            pass

    monkeypatch.setattr(torch.version, "cuda", "13.0")
    made = judging.nursery.child
    for said, expected in (
        ({"says": "5 microseconds", "figures": {"seconds": 5e-6}}, ("5 microseconds", {"seconds": 5e-6})),
        ({"says": 5, "figures": {}}, ("speed was not measured: the process that measured sent no figures", {})),
        ([], ("speed was not measured: the process that measured sent no figures", {})),
    ):
        monkeypatch.setattr(judging.nursery, "child", lambda role, s=said: Said(s) if role == "speed" else made(role))
        found = judging.judge("row_softmax", TILE, targets=(), reference=TILE)
        assert (found.speed, found.speed_figures) == expected


@pytest.mark.parametrize("one", [torch.ones(3)[::2][:1], torch.tensor(1.0), torch.ones(1, 1).expand(1, 1)])
def test_the_bits_of_one_element_do_not_depend_on_its_stride(one):
    assert agree.bits(one) == agree.bits(torch.ones(1))


def test_a_program_that_holds_more_columns_than_block_says_is_told_so(judging):
    found = judging.judge("row_softmax", TILE, seed=0, targets=("sm_80",))
    assert won(found) == {"right": 4, "safe": 2, "lean": 0, "compiles": 2}
    assert said(found, "columns at once where block is")


def test_copies_and_idle_programs_count_where_bytes_do_not(judged):
    copies = in_launcher("x = x.contiguous()")
    assert said(judged(copies), "you launch 2 kernels (1 of them to copy or fill with torch) where one is enough")
    idle = changed("n, x_row,", "n, x_rows, x_row,")
    idle = changed("row = tl.program_id(0)", "row = tl.program_id(0) % x_rows", idle)
    idle = changed("x.shape[1], x.stride(0)", "x.shape[1], x.shape[0], x.stride(0)", idle)
    assert judged(idle).full
    many = changed("mask=at < n, other", "mask=(at < n) & (row < x_rows), other", idle)
    many = changed("% x_rows", "", changed("mask=at < n)", "mask=(at < n) & (row < x_rows))", many))
    many = changed("softmax_kernel[(x.shape[0],)]", "softmax_kernel[(x.shape[0] + 700,)]", many)
    assert said(judged(many), "programs have nothing to do: launch as many as there are blocks")
