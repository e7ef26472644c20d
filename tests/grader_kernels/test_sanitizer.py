"""Sanitizer: every defect is found once, where it is, and a clean kernel of the same kind is left alone."""

import inspect

import msgspec
import pytest
import torch
import triton
import triton.language as tl
from triton.language.extra import libdevice

from grader_kernels.evidence import FINDINGS
from grader_kernels.interpreter.context import on_cpu
from grader_kernels.interpreter.faults import KernelFault
from grader_kernels.replaying.replay import local_launch, replay, replay_source
from grader_kernels.replaying.trace import record, record_with_kernels

torch.set_num_threads(1)


def watched(launcher, *args, **options):
    trace, functions = record_with_kernels(launcher, args, {})
    return replay(trace, functions, (args, {}), **options)


def findings(launcher, *args, **options):
    return watched(launcher, *args, **options).evidence.findings


def line_of(kernel, text, nth=0):
    """The number of the line of a kernel that holds this text."""
    lines, first = inspect.getsourcelines(kernel.fn)
    return [first + i for i, line in enumerate(lines) if text in line][nth]


def one(found, kind, kernel, text, *, tensor, program, lanes, nth=0):
    """The only finding, with everything that it must name."""
    assert [f.kind for f in found] == [kind], [f.sentence for f in found]
    finding = found[0]
    line = line_of(kernel, text, nth)
    assert (finding.kernel, finding.line) == (kernel.fn.__name__, line)
    assert text in finding.text and kind in FINDINGS
    assert (finding.tensor, finding.program, finding.lanes) == (tensor, program, lanes)
    where = program[0] if program[1:] == [0, 0] else tuple(program)
    assert finding.sentence.startswith(f"{kernel.fn.__name__}, program {where}, line {line} `")
    assert finding.sentence.endswith(".") and "\n" not in finding.sentence
    assert finding.advice.endswith(".") and not finding.advice.startswith(" ")
    return finding.sentence


X = torch.arange(200, dtype=torch.float32) + 1


# out of bounds --------------------------------------------------------------------------------------------------------


@triton.jit
def shift_kernel(x_ptr, o_ptr, n, shift, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + offsets + shift, mask=offsets < n)
    tl.store(o_ptr + offsets, x, mask=offsets < n)


def shifted(x, by):
    out = torch.empty_like(x)
    shift_kernel[(4,)](x, out, x.numel(), by, BLOCK=64)
    return out


def test_out_of_bounds_ends_the_launch_and_is_a_finding():
    with pytest.raises(KernelFault) as caught:
        watched(shifted, X, 3)
    one(
        [caught.value.finding], "out_of_bounds", shift_kernel, "x = tl.load", tensor="x_ptr", program=[3, 0, 0], lanes=3
    )
    assert "reads element 200 of x_ptr, which has 200 elements (3 of 8 active lanes are outside)" in str(caught.value)


def test_out_of_bounds_into_a_neighbour_names_the_neighbour():
    x, y = torch.zeros(100), torch.zeros(100)
    distance = (y.data_ptr() - x.data_ptr()) // 4
    with pytest.raises(KernelFault) as caught, on_cpu():
        shift_kernel[(1,)](x, y, 100, distance + 7, BLOCK=64)
    assert f"reads element {distance + 7} of x_ptr" in str(caught.value)
    assert str(caught.value).endswith(": that is element 7 of o_ptr.")


@pytest.mark.parametrize("first, shift, says", [
    (0, 64, "reads element 100 of x_ptr, which has 100 elements (28 of 64 active lanes are outside)"),
    (1, -1, "reads element -1 of x_ptr, which has 100 elements (1 of 64 active lanes are outside)"),
])  # fmt: skip
def test_out_of_bounds_into_the_other_half_of_one_buffer(first, shift, says):
    def launcher(x):
        both = torch.zeros(2, 100)
        shift_kernel[(1,)](both[first], both[1 - first], 64, shift, BLOCK=64)
        return both

    with pytest.raises(KernelFault) as caught:
        watched(launcher, X)
    assert f"{says}: that is element {0 if first == 0 else 99} of o_ptr." in str(caught.value)
    assert caught.value.finding.tensor == "x_ptr"


def test_walking_through_a_buffer_from_a_view_is_fine():
    def launcher(x):
        both = torch.zeros(2, 100)
        shift_kernel[(1,)](x, both[1], 64, 0, BLOCK=64)
        shift_kernel[(1,)](both[0], out := torch.empty(64), 64, 100, BLOCK=64)
        return out

    assert torch.equal(watched(launcher, X).outputs, X[:64])


def test_what_was_found_before_the_fault_is_kept():
    def launcher(x, ids):
        out = torch.empty(8)
        gather_kernel[(1,)](x, ids, out, 40_000, BLOCK=8)
        return out

    with pytest.raises(KernelFault) as caught:
        watched(launcher, X, torch.full((8,), 70_000, dtype=torch.int32))
    assert [f.kind for f in caught.value.earlier] == ["overflow"] and caught.value.finding.kind == "out_of_bounds"


@triton.jit
def gather_kernel(x_ptr, ids_ptr, o_ptr, stride, BLOCK: tl.constexpr):
    offsets = tl.arange(0, BLOCK)
    at = tl.load(ids_ptr + offsets) * stride
    tl.store(o_ptr + offsets, tl.load(x_ptr + at))


# uninitialised --------------------------------------------------------------------------------------------------------


@triton.jit
def add_into_kernel(x_ptr, o_ptr, n, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
    old = tl.load(o_ptr + offsets, mask=mask, other=0.0)
    tl.store(o_ptr + offsets, old + tl.load(x_ptr + offsets, mask=mask, other=0.0), mask=mask)


@triton.jit
def count_kernel(x_ptr, o_ptr, n, BLOCK: tl.constexpr):
    offsets = tl.arange(0, BLOCK)
    tl.atomic_add(o_ptr + tl.load(x_ptr + offsets, mask=offsets < n, other=0), 1, mask=offsets < n)


def test_reading_memory_that_nobody_wrote():
    def launcher(x):
        out = torch.empty_like(x)
        add_into_kernel[(4,)](x, out, x.numel(), BLOCK=64)
        return out

    done = watched(launcher, X)
    says = one(done.evidence.findings, "uninitialised", add_into_kernel, "old = tl.load", tensor="o_ptr",
               program=[0, 0, 0], lanes=64)  # fmt: skip
    assert "reads element 0 of o_ptr (returned tensor 0), which nobody wrote before" in says
    assert done.problems == [f"{says} {done.evidence.findings[0].advice}"]


def test_the_first_unwritten_element_is_named():
    def launcher(x):
        out = torch.empty(200)
        shift_kernel[(1,)](x, out, 60, 0, BLOCK=64)
        add_into_kernel[(1,)](x, out, 64, BLOCK=64)
        return out[:64]

    (finding,) = findings(launcher, X)
    assert "element 60 of o_ptr" in finding.sentence and finding.lanes == 4


def test_filled_memory_may_be_read():
    def launcher(x):
        out = torch.zeros_like(x)
        add_into_kernel[(4,)](x, out, x.numel(), BLOCK=64)
        return out

    done = watched(launcher, X)
    assert done.problems == [] and torch.equal(done.outputs, X)


def test_an_atomic_needs_a_first_value():
    def launcher(x, make):
        out = make(8, dtype=torch.int32)
        count_kernel[(1,)](x, out, x.numel(), BLOCK=64)
        return out

    ids = torch.tensor([1, 3, 3], dtype=torch.int32)
    says = one(findings(lambda x: launcher(x, torch.empty), ids), "uninitialised", count_kernel, "tl.atomic_add",
               tensor="o_ptr", program=[0, 0, 0], lanes=3)  # fmt: skip
    assert "updates element 1 of o_ptr" in says
    assert findings(lambda x: launcher(x, torch.zeros), ids) == []


def test_reading_between_the_elements_of_a_strided_input():
    wide = torch.zeros(400)
    (finding,) = findings(lambda x: shifted(x, 0), wide[::2])
    assert finding.kind == "uninitialised" and finding.tensor == "x_ptr" and finding.lanes == 32
    assert "reads offset 1 of x_ptr, a gap between the elements of the input x (32 lanes)." in finding.sentence
    assert "x.stride(0)" in finding.advice


# masked lanes ---------------------------------------------------------------------------------------------------------


@triton.jit
def row_sum_kernel(x_ptr, o_ptr, n, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    offsets = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + row * n + offsets, mask=offsets < n)
    tl.store(o_ptr + row, tl.sum(tl.exp(x)))


@triton.jit
def row_sum_where_kernel(x_ptr, o_ptr, n, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    offsets = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + row * n + offsets, mask=offsets < n)
    tl.store(o_ptr + row, tl.sum(tl.where(offsets < n, tl.exp(x), 0.0)))


@triton.jit
def copy_all_lanes_kernel(x_ptr, o_ptr, n, BLOCK: tl.constexpr):
    offsets = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + offsets, mask=offsets < n)
    tl.store(o_ptr + offsets, x)


@triton.jit
def inf_minus_inf_kernel(x_ptr, o_ptr, n, BLOCK: tl.constexpr):
    offsets = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + offsets, mask=offsets < n)
    e = tl.exp(x * 1000)
    tl.store(o_ptr + offsets, e / e, mask=offsets < n)


def row_sums(kernel):
    def launcher(x):
        out = torch.empty(x.shape[0])
        kernel[(x.shape[0],)](x, out, x.shape[1], BLOCK=64)
        return out

    return launcher


def padded(kernel, size=64):
    def launcher(x):
        out = torch.empty(size, dtype=x.dtype)
        kernel[(1,)](x, out, x.numel(), BLOCK=64)
        return out

    return launcher


def test_a_masked_lane_that_reaches_a_sum():
    says = one(findings(row_sums(row_sum_kernel), X.view(5, 40)), "masked_lane", row_sum_kernel, "tl.store",
               tensor="o_ptr", program=[0, 0, 0], lanes=1)  # fmt: skip
    assert f"the load of x_ptr in line {line_of(row_sum_kernel, 'tl.load')} has no other=" in says


def test_masked_lanes_that_reach_nothing_are_fine():
    assert findings(row_sums(row_sum_where_kernel), X.view(5, 40)) == []
    assert findings(row_sums(row_sum_kernel), torch.ones(3, 64)) == []
    assert findings(lambda x: shifted(x, 0), X) == []


@pytest.mark.parametrize(
    "dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int32, torch.int64]
)
def test_masked_lanes_of_every_dtype(dtype):
    x = X[:50].to(dtype)
    one(findings(padded(copy_all_lanes_kernel), x), "masked_lane", copy_all_lanes_kernel, "tl.store", tensor="o_ptr",
        program=[0, 0, 0], lanes=14)  # fmt: skip


def test_nan_in_the_input_is_the_inputs_business():
    x = X.clone()
    x[7] = torch.nan
    assert findings(row_sums(row_sum_where_kernel), x.view(5, 40)) == []


def test_nan_of_the_arithmetic_is_no_masked_lane():
    assert findings(padded(inf_minus_inf_kernel, 50), X[:50]) == []


@triton.jit
def functions_kernel(x_ptr, o_ptr, n, FN: tl.constexpr, BLOCK: tl.constexpr):
    offsets = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + offsets, mask=offsets < n).to(tl.float32)
    tl.store(o_ptr + offsets, FN(x))


@triton.jit
def softly(x):
    return tl.sigmoid(-tl.exp(tl.sin(x) - tl.max(x)) / tl.log(x + 2))


@triton.jit
def through_device(x):
    return libdevice.tanh(libdevice.pow(x, 2.0))


@triton.jit
def through_dot(x):
    tile = tl.reshape(x, (16, 4))
    return tl.reshape(tl.sum(tile[:, :, None] * tile[:, None, :], axis=1), (64,))


@pytest.mark.parametrize("function", [softly, through_device, through_dot], ids=lambda f: f.fn.__name__)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_masked_lane_is_followed_through_arithmetic(function, dtype):
    def launcher(x):
        out = torch.empty(64, dtype=x.dtype)
        functions_kernel[(1,)](x, out, x.numel(), FN=function, BLOCK=64)
        return out

    found = findings(launcher, X[:48].to(dtype) / 50)
    one(found, "masked_lane", functions_kernel, "tl.store", tensor="o_ptr", program=[0, 0, 0], lanes=found[0].lanes)
    assert found[0].lanes >= 16
    assert findings(launcher, X[:64].to(dtype) / 50) == []


@triton.jit
def masked_row_kernel(x_ptr, o_ptr, n, BLOCK: tl.constexpr):
    offsets = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + offsets, mask=offsets < n)
    x = tl.where(offsets < n, x - float("inf"), -float("inf"))
    e = tl.exp(x - tl.max(x))
    tl.store(o_ptr + offsets, e / tl.sum(e), mask=offsets < n)


def test_a_row_without_a_finite_number_is_no_masked_lane():
    done = watched(padded(masked_row_kernel, 50), X[:50])
    assert done.outputs.isnan().all() and done.evidence.findings == []


def test_a_load_whose_lanes_are_all_masked():
    (finding,) = findings(padded(copy_all_lanes_kernel), X[:0])
    assert finding.kind == "masked_lane" and finding.lanes == 64


# races ----------------------------------------------------------------------------------------------------------------


@triton.jit
def last_wins_kernel(o_ptr, same):
    tl.store(o_ptr + 1, tl.program_id(0) * (1 - same))


@triton.jit
def neighbour_kernel(x_ptr, n, step, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    right = tl.load(x_ptr + offsets + step, mask=offsets + step < n, other=0.0)
    tl.debug_barrier()
    tl.store(x_ptr + offsets, right, mask=offsets < n)


@triton.jit
def total_kernel(x_ptr, o_ptr, BLOCK: tl.constexpr):
    x = tl.load(x_ptr + tl.program_id(0) * BLOCK + tl.arange(0, BLOCK))
    old = tl.load(o_ptr)
    tl.store(o_ptr, old + tl.sum(x))


@triton.jit
def atomic_total_kernel(x_ptr, o_ptr, BLOCK: tl.constexpr):
    x = tl.load(x_ptr + tl.program_id(0) * BLOCK + tl.arange(0, BLOCK))
    tl.atomic_add(o_ptr, tl.sum(x))


@triton.jit
def locked_total_kernel(x_ptr, o_ptr, lock_ptr, BLOCK: tl.constexpr):
    x = tl.load(x_ptr + tl.program_id(0) * BLOCK + tl.arange(0, BLOCK))
    while tl.atomic_cas(lock_ptr, 0, 1) == 1:
        pass
    tl.store(o_ptr, tl.load(o_ptr) + tl.sum(x))
    tl.debug_barrier()
    tl.atomic_xchg(lock_ptr, 0)


@triton.jit
def early_unlock_kernel(x_ptr, o_ptr, lock_ptr, BLOCK: tl.constexpr):
    x = tl.load(x_ptr + tl.program_id(0) * BLOCK + tl.arange(0, BLOCK))
    while tl.atomic_cas(lock_ptr, 0, 1) == 1:
        pass
    old = tl.load(o_ptr)
    tl.atomic_xchg(lock_ptr, 0)
    tl.store(o_ptr, old + tl.sum(x))


@triton.jit
def last_adds_kernel(x_ptr, part_ptr, o_ptr, count_ptr, P: tl.constexpr, BLOCK: tl.constexpr):
    p = tl.program_id(0)
    x = tl.load(x_ptr + p * BLOCK + tl.arange(0, BLOCK))
    tl.store(part_ptr + p, tl.sum(x))
    tl.debug_barrier()
    if tl.atomic_add(count_ptr, 1) == P - 1:
        tl.store(o_ptr, tl.sum(tl.load(part_ptr + tl.arange(0, P))))


@triton.jit
def peeking_kernel(o_ptr, seen_ptr):
    p = tl.program_id(0)
    tl.store(seen_ptr + p, tl.load(o_ptr))
    tl.atomic_add(o_ptr, 1)


@triton.jit
def reset_kernel(o_ptr):
    if tl.program_id(0) == 2:
        tl.store(o_ptr, 0)
    else:
        tl.atomic_add(o_ptr, 1)


@triton.jit
def count_others_kernel(o_ptr, seen_ptr):
    if tl.program_id(0) == 0:
        tl.store(seen_ptr, tl.load(o_ptr))
    else:
        tl.atomic_add(o_ptr, 1)


def test_two_programs_write_one_element():
    def launcher(same):
        out = torch.zeros(4, dtype=torch.int32)
        last_wins_kernel[(3,)](out, same)
        return out

    says = one(findings(launcher, 0), "race", last_wins_kernel, "tl.store", tensor="o_ptr", program=[1, 0, 0], lanes=1)
    line = line_of(last_wins_kernel, "tl.store")
    assert (
        f"writes element 1 of o_ptr, which program 0 writes, with another value, in the same launch (line {line})"
        in says
    )
    assert findings(launcher, 1) == []  # the same bytes: nobody can tell


def in_place(kernel, *more):
    def launcher(x):
        kernel[(4,)](x, x.numel(), *more, BLOCK=64)
        return x

    return launcher


@triton.jit
def back_kernel(x_ptr, n, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    left = tl.load(x_ptr + offsets - 1, mask=(offsets > 0) & (offsets < n), other=0.0)
    tl.debug_barrier()
    tl.store(x_ptr + offsets, left, mask=offsets < n)


@pytest.mark.parametrize("kernel, more, text, says", [
    (neighbour_kernel, (1,), "tl.store", "writes element 64 of x_ptr, which program 0 reads in the same"),
    (back_kernel, (), "left = tl.load", "reads element 63 of x_ptr, which program 0 writes in the same"),
], ids=["after", "before"])  # fmt: skip
def test_a_program_reads_what_another_writes(kernel, more, text, says):
    found = findings(in_place(kernel, *more), X, may_change=["x"])
    assert says in one(found, "race", kernel, text, tensor="x_ptr", program=[1, 0, 0], lanes=1)


@triton.jit
def second_halves_kernel(x_ptr, n, BLOCK: tl.constexpr):
    x = tl.load(x_ptr)
    if tl.program_id(0) == 1:
        tl.store(x_ptr, x / 2)


def test_reading_it_oneself_hides_no_other_reader():
    found = findings(in_place(second_halves_kernel), X, may_change=["x"])
    assert [f.kind for f in found] == ["race", "race"]
    assert (
        "program 1, " in found[0].sentence and "writes element 0 of x_ptr, which program 0 reads" in found[0].sentence
    )


def test_updating_in_place_what_is_ones_own_is_fine():
    assert findings(in_place(neighbour_kernel, 0), X, may_change=["x"]) == []


def totals(kernel, *locks):
    def launcher(x):
        out = torch.zeros(1)
        kernel[(x.numel() // 16,)](x, out, *[torch.zeros(1, dtype=torch.int32) for _ in locks], BLOCK=16)
        return out

    return launcher


def test_a_sum_without_an_atomic_is_a_race():
    found = findings(totals(total_kernel), X[:64])
    assert [f.kind for f in found] == ["race", "race"]
    read, written = (line_of(total_kernel, text) for text in ("old = tl.load", "tl.store"))
    assert [f.line for f in found] == [read, written]
    assert f"which program 0 writes in the same launch (line {written})" in found[0].sentence


def test_atomics_and_locks_are_no_races():
    for launcher in (totals(atomic_total_kernel), totals(locked_total_kernel, "lock")):
        done = watched(launcher, X[:64])
        assert done.problems == [] and done.outputs.item() == X[:64].sum()


@triton.jit
def histogram_kernel(ids_ptr, o_ptr, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.atomic_add(o_ptr + tl.load(ids_ptr + offsets), 1)


def test_tiles_of_atomics_are_no_race():
    def launcher(ids):
        out = torch.zeros(5, dtype=torch.int32)
        histogram_kernel[(4,)](ids, out, BLOCK=8)
        return out

    ids = torch.arange(32) % 5
    done = watched(launcher, ids)
    assert done.problems == [] and torch.equal(done.outputs, torch.bincount(ids).int())


def test_a_lock_that_is_released_too_early():
    found = findings(totals(early_unlock_kernel, "lock"), X[:64])
    assert {f.kind for f in found} == {"race"} and found[0].tensor == "o_ptr"


def test_the_last_program_adds_up():
    def launcher(x):
        parts, out, count = torch.empty(4), torch.empty(1), torch.zeros(1, dtype=torch.int32)
        last_adds_kernel[(4,)](x, parts, out, count, P=4, BLOCK=16)
        return out

    done = watched(launcher, X[:64])
    assert done.problems == [] and done.outputs.item() == X[:64].sum()


def test_a_plain_read_races_with_an_atomic():
    def launcher():
        out, seen = torch.zeros(1, dtype=torch.int32), torch.empty(4, dtype=torch.int32)
        peeking_kernel[(4,)](out, seen)
        return out, seen

    says = one(findings(launcher), "race", peeking_kernel, "tl.load(o_ptr)", tensor="o_ptr", program=[1, 0, 0], lanes=1)
    assert f"which program 0 writes in the same launch (line {line_of(peeking_kernel, 'tl.atomic_add')})" in says


def test_a_plain_store_races_with_an_atomic():
    def launcher():
        out = torch.zeros(1, dtype=torch.int32)
        reset_kernel[(4,)](out)
        return out

    found = findings(launcher)
    store, add = (line_of(reset_kernel, text) for text in ("tl.store", "tl.atomic_add"))
    assert [(f.kind, f.line, f.program) for f in found] == [("race", store, [2, 0, 0]), ("race", add, [3, 0, 0])]
    assert "writes element 0 of o_ptr, which program 1 updates atomically in the same" in found[0].sentence
    assert "updates element 0 of o_ptr, which program 2 writes, not atomically, in the same" in found[1].sentence


def test_an_atomic_races_with_a_plain_read():
    def launcher():
        out, seen = torch.zeros(1, dtype=torch.int32), torch.empty(4, dtype=torch.int32)
        count_others_kernel[(2,)](out, seen)
        return out, seen[:1]

    says = one(findings(launcher), "race", count_others_kernel, "tl.atomic_add", tensor="o_ptr", program=[1, 0, 0],
               lanes=1)  # fmt: skip
    assert "updates element 0 of o_ptr, which program 0 reads, not atomically," in says


def test_races_end_with_the_launch():
    def launcher(x):
        middle, out = torch.empty_like(x), torch.empty_like(x)
        shift_kernel[(4,)](x, middle, x.numel(), 0, BLOCK=64)
        shift_kernel[(2,)](middle, out, x.numel(), 0, BLOCK=128)
        return out

    assert findings(launcher, X) == []


# duplicates -----------------------------------------------------------------------------------------------------------


@triton.jit
def scatter_kernel(x_ptr, ids_ptr, o_ptr, n, BLOCK: tl.constexpr):
    offsets = tl.arange(0, BLOCK)
    at = tl.load(ids_ptr + offsets, mask=offsets < n, other=0)
    tl.store(o_ptr + at, tl.load(x_ptr + offsets, mask=offsets < n, other=0.0), mask=offsets < n)


def scatter(x, ids):
    out = torch.zeros(16)
    scatter_kernel[(1,)](x, ids, out, ids.numel(), BLOCK=8)
    return out


def test_one_store_with_two_values_for_one_address():
    says = one(findings(scatter, X, torch.tensor([4, 9, 5, 9, 9, 0])), "duplicate_store", scatter_kernel, "tl.store",
               tensor="o_ptr", program=[0, 0, 0], lanes=3)  # fmt: skip
    assert "stores 3 values that differ at element 9 of o_ptr" in says


def test_different_addresses_or_equal_values_are_fine():
    assert findings(scatter, X, torch.tensor([4, 9, 5, 3, 1, 0])) == []
    assert findings(scatter, torch.ones(6), torch.tensor([4, 9, 5, 9, 9, 0])) == []


# barrier --------------------------------------------------------------------------------------------------------------


@triton.jit
def reverse_twice_kernel(x_ptr, t_ptr, o_ptr, WAIT: tl.constexpr, BLOCK: tl.constexpr):
    offsets = tl.arange(0, BLOCK)
    tl.store(t_ptr + offsets, tl.load(x_ptr + offsets))
    if WAIT:
        tl.debug_barrier()
    back = tl.load(t_ptr + BLOCK - 1 - offsets)
    tl.store(o_ptr + offsets, back)


def test_reading_back_needs_a_barrier():
    def launcher(x, wait):
        middle, out = torch.empty(64), torch.empty(64)
        reverse_twice_kernel[(1,)](x, middle, out, WAIT=wait, BLOCK=64)
        return out

    says = one(findings(launcher, X, False), "barrier", reverse_twice_kernel, "back = tl.load", tensor="t_ptr",
               program=[0, 0, 0], lanes=64)  # fmt: skip
    assert f"which this program stored in line {line_of(reverse_twice_kernel, 'tl.store')}" in says
    assert findings(launcher, X, True) == []


@triton.jit
def ticket_kernel(o_ptr, seen_ptr):
    p = tl.program_id(0)
    tl.atomic_add(o_ptr + p, 3)
    tl.store(seen_ptr + p, tl.load(o_ptr + p))


def test_reading_back_an_atomic_needs_none():
    def launcher():
        out, seen = torch.zeros(4, dtype=torch.int32), torch.empty(4, dtype=torch.int32)
        ticket_kernel[(4,)](out, seen)
        return out, seen

    assert findings(launcher) == []


# inputs, overflow -----------------------------------------------------------------------------------------------------


def test_a_store_into_an_input():
    def launcher(x, cache):
        shift_kernel[(4,)](x, cache, x.numel(), 0, BLOCK=64)
        return cache

    says = one(findings(launcher, X, X.clone()), "input_changed", shift_kernel, "tl.store", tensor="o_ptr",
               program=[0, 0, 0], lanes=64)  # fmt: skip
    assert "writes into o_ptr, which is the input cache" in says
    assert findings(launcher, X, X.clone(), may_change=["cache"]) == []


@triton.jit
def far_kernel(x_ptr, ids_ptr, o_ptr, n, stride, WIDE: tl.constexpr, BLOCK: tl.constexpr):
    offsets = tl.arange(0, BLOCK)
    ids = tl.load(ids_ptr + offsets, mask=offsets < n)
    if WIDE:
        ids = ids.to(tl.int64)
    at = ids * stride
    x = tl.load(x_ptr + offsets, mask=(offsets < n) & (at != 1), other=0.0)
    tl.store(o_ptr + offsets, x, mask=offsets < n)


@pytest.mark.parametrize("ids, wide, kinds", [
    ([70_000] * 8, False, ["overflow"]),
    ([70_000] * 8, True, []),
    ([20_000] * 8, False, []),
    ([20_000] * 5, False, []),  # masked lanes hold anything
])  # fmt: skip
def test_overflow(ids, wide, kinds):
    def launcher(x, ids):
        out = torch.empty(8)
        far_kernel[(1,)](x, ids, out, ids.numel(), 40_000, WIDE=wide, BLOCK=8)
        return out[: ids.numel()]

    found = findings(launcher, X, torch.tensor(ids, dtype=torch.int32))
    assert [f.kind for f in found] == kinds
    if kinds:
        says = one(found, "overflow", far_kernel, "at = ids * stride", tensor="", program=[0, 0, 0], lanes=0)
        assert "the product of two int32 numbers does not fit into 32 bits" in says


# as a whole -----------------------------------------------------------------------------------------------------------


def test_without_watching_nothing_is_found():
    done = watched(totals(total_kernel), X[:64], watch=False)
    assert done.evidence.findings == [] and done.problems == [] and done.outputs.item() == X[:64].sum()


def test_the_order_of_programs_can_be_shuffled():
    def launcher(same):
        out = torch.zeros(2, dtype=torch.int32)
        last_wins_kernel[(50,)](out, same)
        return out

    natural = watched(launcher, 0).outputs
    outputs = [watched(launcher, 0, order=f"shuffled:{seed}", watch=False).outputs for seed in (1, 1, 2, 3)]
    assert natural.tolist() == [0, 49]
    assert torch.equal(outputs[0], outputs[1]) and len({tuple(out.tolist()) for out in outputs}) == 3
    with pytest.raises(ValueError, match="shuffled:SEED"):
        watched(launcher, 0, order="backwards")


def test_findings_hold_in_any_order():
    def found(order):
        return {(f.kind, f.line, f.tensor) for f in findings(totals(total_kernel), X[:64], order=order)}

    assert found("shuffled:4") == found(None)
    assert findings(totals(locked_total_kernel, "lock"), X[:64], order="shuffled:4") == []


def test_elements_are_counted_from_the_argument():
    def launcher(x, ids):
        both = torch.zeros(2, 16)
        scatter_kernel[(1,)](x, ids, both[1], ids.numel(), BLOCK=8)
        last_wins_kernel[(3,)](both.view(-1)[4:], 0)
        return both

    found = findings(launcher, X, torch.tensor([4, 9, 5, 9]))
    assert [f.kind for f in found] == ["duplicate_store", "race"]
    assert "at element 9 of o_ptr" in found[0].sentence and "writes element 1 of o_ptr" in found[1].sentence


def test_helpers_are_named_by_their_own_line():
    def launcher(x):
        out = torch.empty_like(x)
        with_helper_kernel[(1,)](x, out, BLOCK=64)
        return out[:64]

    (finding,) = findings(launcher, X)
    assert finding.line == line_of(read_both, "tl.load(b_ptr") and finding.kernel == "with_helper_kernel"


@triton.jit
def read_both(a_ptr, b_ptr, offsets):
    return tl.load(a_ptr + offsets) + tl.load(b_ptr + offsets)


@triton.jit
def with_helper_kernel(x_ptr, o_ptr, BLOCK: tl.constexpr):
    offsets = tl.arange(0, BLOCK)
    tl.store(o_ptr + offsets, read_both(x_ptr, o_ptr, offsets))


def test_evidence_crosses_as_plain_data():
    source = open(__file__).read()
    done = replay_source(source, record(totals(total_kernel), (X[:64],)).to_data(), ((X[:64],), {}))
    evidence = msgspec.json.decode(msgspec.json.encode(done["evidence"]))
    assert [f["line"] for f in evidence["findings"]] == [
        line_of(total_kernel, "old ="),
        line_of(total_kernel, "tl.store"),
    ]
    assert done["problems"] == [f"{f['sentence']} {f['advice']}" for f in evidence["findings"]]


def test_the_notebook_sees_the_findings():
    _, problems = local_launch(totals(total_kernel), (X[:64],))
    assert len(problems) == 2 and "tl.atomic_add" in problems[0]


def last_adds(x):
    out, parts, count = torch.empty(1), torch.empty(4), torch.zeros(1, dtype=torch.int32)
    last_adds_kernel[(4,)](x, parts, out, count, P=4, BLOCK=16)
    return out


def test_the_notebook_and_the_class_see_that_the_order_of_atomics_matters():
    x = torch.linspace(0, 1, 64) ** 2
    for launcher in (totals(atomic_total_kernel), totals(locked_total_kernel, "lock")):
        _, [problem] = local_launch(launcher, (x,))
        assert problem.startswith("The result changes with the order in which the programs run. ")
        given = (open(__file__).read(), record(launcher, (x,)).to_data(), ((x,), {}))
        assert replay_source(*given)["problems"] == [problem]
        assert local_launch(launcher, (X[:64],))[1] == []  # sums of whole numbers are exact
    assert local_launch(last_adds, (x,))[1] == []
