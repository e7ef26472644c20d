"""Wrong kernels that once had full marks, kind by kind: each loses its group, and the verdict says what it did.

A row is a right file of a problem with a small edit. The files that were found first stand in cheats/. Beside every
kind there are honest kernels that look like it and keep all their points. Not here: mistakes that learners make by
themselves, which are each problem's `wrong.py`.
"""

from typing import NamedTuple

import pytest
import torch

from autograder.authoring import kernels
from grader_kernels.judging.judge import Judge

torch.set_num_threads(1)
SEED = 5


class Row(NamedTuple):
    """A right file, what is changed in it, which group that costs, and words of the verdict."""

    problem: str
    loses: str
    says: str
    edits: tuple
    file: str = "solution"


@pytest.fixture(scope="module")
def judge():
    with Judge() as made:
        yield made


def source_of(problem, edits, file="solution"):
    source = kernels.files(problem)[0][file]
    for old, new in edits:
        assert old in source, old
        source = source.replace(old, new)
    return source


def judged(judge, problem, source):
    return judge.judge(problem, source, seed=SEED, targets=("sm_80",))


def loses(judge, row):
    verdict = judged(judge, row.problem, source_of(row.problem, row.edits, row.file))
    said = "\n".join(verdict.sentences())
    assert verdict.group(row.loses).won < verdict.group(row.loses).weight, said
    assert row.says in said
    return verdict


def keeps(judge, problem, edits, file="solution"):
    verdict = judged(judge, problem, source_of(problem, edits, file))
    assert verdict.full, verdict.sentences()


def rows(*given):
    return pytest.mark.parametrize("row", given, ids=[f"{row.problem}-{i}" for i, row in enumerate(given)])


# what masked lanes hold ---------------------------------------------------------------------------------------------

HELD = "changes with what lanes hold that a load left masked"
X, BARE = "mask=inside, other=0.0).to(tl.float32)\n    weight", "mask=inside).to(tl.float32)\n    weight"
OWN = "tl.where(x == x, x * x, 0.0)"  # NaN is unlike itself


@rows(
    Row("rmsnorm_forward", "safe", HELD, ((X, BARE), ("tl.sum(x * x, axis=0)", f"tl.sum({OWN}, axis=0)"))),
    Row(
        "rmsnorm_forward",
        "safe",
        HELD,
        (
            (X, BARE),
            ("tl.sum(x * x, axis=0) / n_cols", f"tl.sum({OWN}, axis=0) / tl.sum((x == x).to(tl.float32), axis=0)"),
        ),
    ),
    Row(
        "residual_rmsnorm",
        "safe",
        HELD,
        (
            (X, BARE),
            ("tl.sum(total * total, axis=0)", "tl.sum(tl.where(total == total, total * total, 0.0), axis=0)"),
        ),
    ),
    Row(
        "row_softmax",
        "safe",
        HELD,
        (
            (', other=-float("inf")', ""),
            ("tl.max(x, axis=0)", 'tl.max(tl.where(x == x, x, -float("inf")), axis=0)'),
            ("tl.sum(tl.exp(x - largest), axis=0)", "tl.sum(tl.where(x == x, tl.exp(x - largest), 0.0), axis=0)"),
        ),
    ),
    Row(
        "row_softmax",
        "safe",
        HELD,
        (
            (', other=-float("inf")', ""),
            ("tl.max(x, axis=0)", 'tl.max(tl.where(x > -3e38, x, -float("inf")), axis=0)'),
            ("tl.sum(tl.exp(x - largest), axis=0)", "tl.sum(tl.where(x > -3e38, tl.exp(x - largest), 0.0), axis=0)"),
        ),
    ),
    Row(
        "cross_entropy",
        "safe",
        HELD,
        (
            (
                ', other=-float("inf")).to(tl.float32)\n        largest = tl.max(x, axis=0)',
                ').to(tl.float32)\n        x = tl.where(x == x, x, -float("inf"))\n        largest = tl.max(x, axis=0)',
            ),
        ),
    ),
    Row(
        "rmsnorm_backward",
        "safe",
        HELD,
        (
            (
                "mask=inside, other=0.0).to(tl.float32)\n        r",
                "mask=inside).to(tl.float32)\n        x = tl.where(x == x, x, 0.0)\n        r",
            ),
        ),
    ),
)
def test_a_kernel_must_not_lean_on_what_masked_lanes_hold(judge, row):
    loses(judge, row)


@pytest.mark.parametrize("problem", ["vector_add", "rope_inplace", "leaky_relu"])
def test_lanes_without_a_value_that_reach_nothing_are_fine(judge, problem):
    assert "other=" not in kernels.files(problem)[0]["solution"]
    keeps(judge, problem, ())


# what is never compiled ---------------------------------------------------------------------------------------------

WARPS = "num_warps=64 asks for 2048 threads"


@rows(
    Row(
        "row_softmax",
        "compiles",
        WARPS,
        (("BLOCK=block", "BLOCK=block, num_warps=64 if x.dtype == torch.float16 else 4"),),
    ),
    Row("vector_add", "compiles", WARPS, (("BLOCK=block", "BLOCK=block, num_warps=64 if x.stride(0) == 2 else 4"),)),
    Row("cross_entropy", "compiles", WARPS, (("BLOCK=block", "BLOCK=block, num_warps=64 if ignore == 0 else 4"),)),
    Row("embedding_gather", "compiles", WARPS, (("BLOCK=block", "BLOCK=block, num_warps=64 if len(ids) == 3 else 4"),)),
    Row(
        "rope_inplace",
        "compiles",
        WARPS,
        (("next_power_of_2(d // 2)", "next_power_of_2(d // 2), num_warps=64 if x.dtype == torch.bfloat16 else 4"),),
    ),
    Row(
        "rmsnorm_forward",
        "compiles",
        "bytes per thread on the stack",
        (("next_power_of_2(n_cols)", "next_power_of_2(n_cols) * (256 if eps == 0.5 else 1), num_warps=1"),),
    ),
)
def test_every_specialisation_is_compiled(judge, row):
    verdict = loses(judge, row)
    assert verdict.group("right").won == verdict.group("right").weight


# tf32 ---------------------------------------------------------------------------------------------------------------

ASKED, IEEE = ', input_precision="ieee")', 'input_precision="ieee"'


@rows(
    Row("flash_forward", "right", IEEE, (("tl.dot(q, k" + ASKED, "tl.dot(q, k)"),)),
    Row("flash_forward", "right", IEEE, (("o * before[:, None]" + ASKED, "o * before[:, None])"),)),
    Row("flash_forward", "right", IEEE, ((ASKED, ")"),), "one_program_per_head"),
    Row("flash_forward", "right", IEEE, ((IEEE, 'input_precision="tf32"'),), "two_phases"),
    Row("paged_decode_attention", "right", IEEE, (("tl.dot(q, k" + ASKED, "tl.dot(q, k)"),)),
    Row("paged_decode_attention", "right", IEEE, (("o * before[:, None]" + ASKED, "o * before[:, None])"),)),
    Row("paged_decode_attention", "right", IEEE, ((ASKED, ")"),), "one_dimensional_grid"),
)
def test_float32_tiles_are_multiplied_as_tensor_cores_do(judge, row):
    verdict = loses(judge, row)
    assert "as tf32 where nothing else is said" in "\n".join(verdict.sentences())


def test_half_precision_needs_no_word_about_it(judge):
    assert IEEE not in kernels.files("matmul")[0]["solution"]
    keeps(judge, "matmul", ())


# sizes --------------------------------------------------------------------------------------------------------------


@rows(
    Row(
        "vector_add",
        "right",
        "never written",
        (("grid = (triton.cdiv(n, block),)", "grid = (triton.cdiv(min(n, 2000), block),)"),),
    ),
    Row("fused_scale_add", "right", "never written", (("triton.cdiv(n, block)", "triton.cdiv(min(n, 2000), block)"),)),
    Row("rmsnorm_forward", "right", "never written", (("triton.next_power_of_2(n_cols)", "4096"),)),
    Row("residual_rmsnorm", "right", "never written", (("triton.next_power_of_2(n_cols)", "4096"),)),
    Row("rmsnorm_backward", "right", "never written", (("triton.next_power_of_2(n_cols)", "4096"),)),
    Row("embedding_gather", "right", "never written", (("out, table.shape[1],", "out, min(table.shape[1], 256),"),)),
)
def test_a_kernel_must_be_right_for_all_sizes_of_its_task(judge, row):
    loses(judge, row)


# races behind an atomic that orders nothing -------------------------------------------------------------------------

WAITS = "no program waits for the atomic between them"
BELL = "tl.atomic_add(note_ptr, 1)"
COUNT = "tl.store(note_ptr + 1, tl.load(note_ptr + 1) + 1)"


def noted(problem, *lines):
    """The solution of a row problem, with these lines at the start of its kernel and a tensor of zeros for them."""
    begins = {
        "rmsnorm_forward": "    row = tl",
        "embedding_gather": "    token = tl",
        "vector_add": "    offsets = tl",
        "leaky_relu": "    offsets = tl",
        "row_softmax": "    row = tl",
    }[problem]
    own = "".join(f"    {line}\n" for line in lines)
    kernel = f"{problem.removesuffix('_forward')}_kernel"
    edits = (
        (begins, own + begins),
        ("BLOCK: tl.constexpr", "note_ptr, BLOCK: tl.constexpr"),
        ("BLOCK=", "note_ptr=torch.zeros(4, dtype=torch.int32), BLOCK="),
    )
    assert kernel in kernels.files(problem)[0]["solution"]
    return edits


@rows(
    Row("rmsnorm_forward", "safe", WAITS, noted("rmsnorm_forward", BELL, COUNT, BELL)),
    Row(
        "vector_add",
        "safe",
        WAITS,
        noted("vector_add", "tl.atomic_xchg(note_ptr, 0)", COUNT, "tl.atomic_xchg(note_ptr, 0)"),
    ),
    Row("embedding_gather", "safe", WAITS, noted("embedding_gather", "tl.atomic_cas(note_ptr, 0, 0)", COUNT, BELL)),
    Row(
        "row_softmax",
        "safe",
        WAITS,
        noted("row_softmax", "for _ in range(20 * tl.program_id(0)):", f"    {BELL}", BELL, COUNT, BELL),
    ),
    Row(
        "leaky_relu",
        "safe",
        WAITS,
        noted("leaky_relu", f"seen = {BELL}", "tl.store(note_ptr + 1, tl.load(note_ptr + 1) + 1 + 0 * seen)", BELL),
    ),
    Row(
        "rmsnorm_forward",
        "safe",
        WAITS,
        noted(
            "rmsnorm_forward",
            BELL,
            "if tl.program_id(0) == tl.num_programs(0) - 1:",
            "    tl.store(note_ptr + 2, tl.load(note_ptr + 1))",
            "tl.store(note_ptr + 1, tl.program_id(0))",
            BELL,
        ),
    ),
)
def test_an_atomic_that_nobody_waits_for_orders_nothing(judge, row):
    loses(judge, row)


LOCKED = (
    "while tl.atomic_cas(note_ptr, 0, 1) == 1:",
    "    pass",
    COUNT,
    "tl.debug_barrier()",
    "tl.atomic_xchg(note_ptr, 0)",
)
LAST = (
    COUNT.replace("tl.store(note_ptr + 1, tl.load(note_ptr + 1) + 1)", "tl.atomic_add(note_ptr + 1, 1)"),
    f"seen = {BELL}",
    "if seen == tl.num_programs(0) - 1:",
    "    tl.store(note_ptr + 2, tl.load(note_ptr + 1))",
)


@pytest.mark.parametrize("lines", [LOCKED, LAST], ids=["a lock", "the last program"])
@pytest.mark.parametrize("problem", ["rmsnorm_forward", "row_softmax", "vector_add"])
def test_programs_that_do_wait_have_no_finding(judge, problem, lines):
    verdict = judged(judge, problem, source_of(problem, noted(problem, *lines)))
    assert not verdict.findings and verdict.group("safe").won == 2, verdict.sentences()


# results that are not contiguous ------------------------------------------------------------------------------------

LOOSE = "is not contiguous (strides"


@rows(
    Row(
        "vector_add",
        "right",
        LOOSE,
        (
            ("torch.empty(n,", "torch.empty(2 * n,"),
            ("device=x.device)", "device=x.device)[::2]"),
            ("out_ptr + offsets", "out_ptr + 2 * offsets"),
        ),
    ),
    Row(
        "embedding_gather",
        "right",
        LOOSE,
        (
            ("table.shape[1]), dtype", "table.shape[1] + 1), dtype"),
            ("device=table.device)", "device=table.device)[:, :-1]"),
        ),
    ),
    Row(
        "row_softmax",
        "right",
        LOOSE,
        (
            ("torch.empty((n_rows, n_cols)", "torch.empty((n_cols, n_rows)"),
            ("device=x.device)", "device=x.device).t()"),
        ),
    ),
    Row(
        "masked_scaled_softmax",
        "right",
        LOOSE,
        (
            ("torch.empty((n_rows, n_cols)", "torch.empty((n_cols, n_rows)"),
            ("device=scores.device)", "device=scores.device).t()"),
        ),
    ),
    Row(
        "row_softmax",
        "right",
        LOOSE,
        (("y = torch.empty_like(x, memory_format=torch.contiguous_format)", "y = torch.empty_like(x)"),),
        "lanes_keep_their_own_maximum_and_sum",
    ),
    Row(
        "lstm_gates",
        "right",
        LOOSE,
        (("return h_out, c_out", "return h_out.t().contiguous().t(), c_out"),),
        "all_cells_in_one_line",
    ),
)
def test_a_result_is_contiguous_where_the_task_says_so(judge, row):
    loses(judge, row)


def test_what_is_changed_in_place_has_the_strides_it_had(judge):
    keeps(judge, "rope_inplace", ())


def test_two_results_may_share_a_buffer(judge):
    keeps(judge, "residual_rmsnorm", (), "both_results_in_one_buffer")


# fills --------------------------------------------------------------------------------------------------------------

FILLED = "to copy or fill with torch"


@rows(
    Row("vector_add", "lean", FILLED, (("torch.empty(n,", "torch.zeros(n,"),)),
    Row("rmsnorm_forward", "lean", FILLED, (("torch.empty((n_rows, n_cols),", "torch.full((n_rows, n_cols), 1.0,"),)),
    Row("row_softmax", "lean", FILLED, (("    row_softmax_kernel[", "    out.zero_()\n    row_softmax_kernel["),)),
    Row(
        "embedding_gather",
        "lean",
        FILLED,
        (("    embedding_gather_kernel[", "    out.fill_(3)\n    embedding_gather_kernel["),),
    ),
    Row("cross_entropy", "lean", FILLED, (("torch.empty(n_rows,", "torch.ones(n_rows,"),)),
    Row("lstm_gates", "lean", FILLED, (("h_new = torch.empty((rows, width)", "h_new = c.new_zeros((rows, width)"),)),
    Row("rmsnorm_backward", "lean", FILLED, (("partial = torch.empty(", "partial = torch.zeros("),)),
)
def test_what_torch_fills_is_a_launch_and_bytes(judge, row):
    verdict = loses(judge, row)
    assert verdict.group("right").won == verdict.group("right").weight


# nearly exact -------------------------------------------------------------------------------------------------------

ZERO = "must be exactly 0 and are not"


@rows(
    Row(
        "masked_scaled_softmax",
        "right",
        ZERO,
        (("tl.exp(x - largest), 0.0) / total", "tl.exp(x - largest), 1e-12) / total"),),
    ),
    Row(
        "masked_scaled_softmax",
        "right",
        ZERO,
        (("out_ptr + at * out_col, weight", "out_ptr + at * out_col, weight + 1e-20"),),
    ),
    Row(
        "masked_scaled_softmax",
        "right",
        ZERO,
        (
            (
                "weight = tl.where(allowed, tl.exp(x - largest), 0.0) / total",
                "weight = tl.where(allowed, tl.exp(x - largest) / total, 1e-9)",
            ),
        ),
    ),
    Row("cross_entropy", "right", ZERO, (("at_target) * kept)", "at_target) * kept + (1 - kept) * 1e-9)"),)),
    Row("cross_entropy", "right", ZERO, (("0.0, 1.0)", "1e-8, 1.0)"),)),
    Row(
        "embedding_gather",
        "right",
        "must be exactly the number that was given",
        (("out_row + at, values,", "out_row + at, values * 1.0000002,"),),
    ),
)
def test_what_the_task_says_exactly_is_exact(judge, row):
    loses(judge, row)


# lanes don't wait for each other ------------------------------------------------------------------------------------

LANE = "another lane"


BACKWARDS = (("out_ptr, n_cols", "out_ptr, back_ptr, n_cols"), ("out, n_cols", "out, torch.empty_like(out), n_cols"))
PARTNER = """tl.store(first, a * cos - b * sin, mask=inside)
    tl.store(second, a * sin + b * cos, mask=inside)"""


@rows(
    Row(
        "rmsnorm_forward",
        "safe",
        LANE,
        (
            *BACKWARDS,
            (
                "tl.store(out_ptr + row * n_cols + columns, x / rms * weight, mask=inside)",
                "tl.store(back_ptr + row * n_cols + n_cols - 1 - columns, x / rms * weight, mask=inside)\n"
                "    y = tl.load(back_ptr + row * n_cols + n_cols - 1 - columns, mask=inside)\n"
                "    z = tl.load(back_ptr + row * n_cols + columns, mask=inside)\n"
                "    tl.store(out_ptr + row * n_cols + columns, y + 0 * z, mask=inside)",
            ),
        ),
    ),
    Row(
        "vector_add",
        "safe",
        LANE,
        (
            (
                "tl.store(out_ptr + offsets, x + y, mask=mask)",
                "tl.store(out_ptr + offsets, x + y, mask=mask)\n"
                "    z = tl.load(out_ptr + tl.maximum(offsets - 1, tl.program_id(0) * BLOCK), mask=mask)\n"
                "    tl.store(out_ptr + offsets, x + y + 0 * z, mask=mask)",
            ),
        ),
    ),
    Row(
        "rope_inplace",
        "safe",
        LANE,
        (
            (
                PARTNER,
                "tl.store(first, a * cos - b * sin, mask=inside)\n    front = x_ptr + batch * x_batch + t * x_time\n"
                "    there = front + (2 * half - 1 - pair) * x_col\n    turned = tl.where(inside, half - 1 - pair, 0)\n"
                "    c = tl.load(cos_ptr + t * table_row + turned, mask=inside)\n"
                "    s = tl.load(sin_ptr + t * table_row + turned, mask=inside)\n"
                "    p = tl.load(there, mask=inside).to(tl.float32)\n"
                "    tl.store(second, a * sin + b * cos + 0 * p * c * s, mask=inside)",
            ),
        ),
    ),
    Row(
        "leaky_relu",
        "safe",
        LANE,
        (
            *noted("leaky_relu")[1:],
            ("torch.zeros(4,", "torch.zeros(4 * triton.cdiv(x.numel(), block),"),
            (
                "    inside = offsets < n\n",
                "    inside = offsets < n\n    own = note_ptr + 4 * tl.program_id(0) + offsets % 4\n"
                "    tl.atomic_add(own, 1, mask=inside)\n    count = tl.load(own, mask=inside, other=0)\n"
                "    n += tl.min(count, 0) * 0\n",
            ),
        ),
    ),
    Row(
        "fused_scale_add",
        "safe",
        LANE,
        (
            (
                "tl.store(out_ptr + offsets, alpha * x + y, mask=mask)",
                "tl.store(out_ptr + offsets, y, mask=mask)\n    first = tl.load(out_ptr + tl.program_id(0) * BLOCK)\n"
                "    tl.store(out_ptr + offsets, alpha * x + y + 0 * first, mask=mask)",
            ),
        ),
    ),
)
def test_lanes_of_a_program_do_not_wait_for_each_other(judge, row):
    loses(judge, row)


@pytest.mark.parametrize(
    "problem, edits",
    [
        (
            "vector_add",
            (
                (
                    "tl.store(out_ptr + offsets, x + y, mask=mask)",
                    "tl.store(out_ptr + offsets, x, mask=mask)\n    z = tl.load(out_ptr + offsets, mask=mask)\n"
                    "    tl.store(out_ptr + offsets, z + y, mask=mask)",
                ),
            ),
        ),
        (
            "rope_inplace",
            (
                (
                    PARTNER,
                    "tl.store(second, a * sin + b * cos, mask=inside)\n"
                    "    tl.store(first, a * cos - b * sin, mask=inside)",
                ),
            ),
        ),
    ],
    ids=["vector_add", "rope_inplace"],
)
def test_a_lane_may_read_back_what_it_stored_itself(judge, problem, edits):
    verdict = judged(judge, problem, source_of(problem, edits))
    assert not verdict.findings and verdict.group("right").won == 4, verdict.sentences()


# one program does it all --------------------------------------------------------------------------------------------

ALONE = "one program does all the work where at least"


@rows(
    Row(
        "vector_add",
        "lean",
        ALONE,
        (("add_kernel[(triton.cdiv(n, 4 * block),)]", "add_kernel[(1,)]"),),
        "several_blocks_per_program",
    ),
    Row("row_softmax", "lean", ALONE, (("[(min(rows, 3),)]", "[(1,)]"),), "exp2_one_maximum_per_lane"),
    Row("rmsnorm_forward", "lean", ALONE, (("[(min(rows, 3),)]", "[(1,)]"),), "few_programs_take_rows_in_turn"),
    Row("residual_rmsnorm", "lean", ALONE, (("[(min(rows, 4),)]", "[(1,)]"),), "both_results_in_one_buffer"),
    Row("cross_entropy", "lean", ALONE, (("[(min(N, 2),)]", "[(1,)]"),), "ignored_rows_are_not_read"),
    Row("matmul", "lean", ALONE, (("min(3, ", "min(1, "),), "persistent"),
    Row(
        "rmsnorm_backward",
        "lean",
        ALONE,
        (("rmsnorm_rows_kernel[(programs,)]", "programs = 1\n    rmsnorm_rows_kernel[(1,)]"),),
    ),
    Row(
        "rmsnorm_forward",
        "lean",
        ALONE,
        (  # the others are there and do nothing
            ("range(tl.program_id(0), rows, tl.num_programs(0))", "range(0, tl.where(tl.program_id(0) == 0, rows, 0))"),
        ),
        "few_programs_take_rows_in_turn",
    ),
)
def test_the_work_is_shared_as_the_task_says(judge, row):
    verdict = loses(judge, row)
    assert verdict.group("right").won == verdict.group("right").weight


@pytest.mark.parametrize(
    "problem, file",
    [
        ("vector_add", "several_blocks_per_program"),
        ("row_softmax", "exp2_one_maximum_per_lane"),
        ("matmul", "persistent"),
        ("rmsnorm_forward", "few_programs_take_rows_in_turn"),
        ("rmsnorm_forward", "four_rows_per_program"),
    ],
)
def test_programs_may_take_several_rows_or_blocks_in_turn(judge, problem, file):
    keeps(judge, problem, (), file)


# numbers that Python looks at ---------------------------------------------------------------------------------------

LOOKS = "in Python ("


@rows(
    Row("embedding_gather", "lean", LOOKS, (("    out = ", "    ids.tolist()\n    out = "),)),
    Row("embedding_gather", "lean", LOOKS, (("    out = ", "    int(ids[0])\n    out = "),)),
    Row("cross_entropy", "lean", LOOKS, (("    loss = torch", "    target.numpy()\n    loss = torch"),)),
    Row("cross_entropy", "lean", LOOKS, (("    loss = torch", "    assert (target < 10000).all()\n    loss = torch"),)),
    Row("rope_inplace", "lean", LOOKS, (("    N, T, d = ", "    cos[0, 0].item()\n    N, T, d = "),)),
    Row("paged_decode_attention", "lean", LOOKS, (("    (B, H, D), ", "    lengths.cpu()\n    (B, H, D), "),)),
    Row(
        "masked_scaled_softmax",
        "lean",
        LOOKS,
        (("    out = torch", "    everything = bool(mask[0, 0])\n    out = torch"),),
    ),
)
def test_a_launcher_looks_at_no_numbers(judge, row):
    loses(judge, row)


def test_numbers_that_python_made_are_no_news(judge):
    keeps(
        judge,
        "rmsnorm_forward",
        (
            (
                "    n_rows, n_cols = x.shape",
                "    eps = float(torch.tensor(eps, dtype=torch.float64))\n    n_rows, n_cols = x.shape",
            ),
        ),
    )
