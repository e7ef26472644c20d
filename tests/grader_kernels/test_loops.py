"""What a loop of a kernel counts with: an int32 tensor, or the type of its bounds, as the compiler makes it.

Not here: how fast loops are.
"""

import pytest
import torch
import triton
import triton.language as tl

from grader_kernels.interpreter.context import on_cpu

torch.set_num_threads(1)


def run(kernel, size, dtype, *args, **kwargs):
    out = torch.zeros(size, dtype=dtype)
    with on_cpu():
        kernel[(1,)](out, *args, **kwargs)
    return out.tolist()


@triton.jit
def floors_kernel(o_ptr, n):
    for j in range(0, n):
        tl.store(o_ptr + 2 * j, (j - 3) // 2)
        tl.store(o_ptr + 2 * j + 1, (j - 3) % 2)


@pytest.mark.parametrize("n", [0, 1, 4, 5, 9])
def test_division_is_toward_zero(n):
    quotients = [int((j - 3) / 2) for j in range(n)]
    want = [number for j, q in enumerate(quotients) for number in (q, j - 3 - 2 * q)]
    assert run(floors_kernel, 2 * n, torch.int32, n) == want


@triton.jit
def wraps_kernel(o_ptr, n, BY: tl.constexpr):
    for j in range(0, n):
        tl.store(o_ptr + j, j * BY // 7)


def wrapped(value, bits=32):
    return (value + 2 ** (bits - 1)) % 2**bits - 2 ** (bits - 1)


@pytest.mark.parametrize("by", [1_000_000_000, 1_500_000_000, 123_456_789, 2**31 - 1, -(2**31)])
def test_products_wrap(by):
    assert run(wraps_kernel, 8, torch.int32, 8, BY=by) == [int(wrapped(j * by) / 7) for j in range(8)]


@triton.jit
def casts_kernel(o_ptr, n):
    for j in range(0, n):
        tl.store(o_ptr + j, j.to(tl.int64) * 3_000_000_000 + (j.dtype == tl.int32))


def test_a_loop_variable_is_a_tensor():
    assert run(casts_kernel, 3, torch.int64, 3) == [1, 3_000_000_001, 6_000_000_001]


@triton.jit
def bounds_kernel(o_ptr, start, stop, STEP: tl.constexpr):
    at = 0
    for j in range(start, stop, STEP):
        tl.store(o_ptr + at, j)
        at += 1


BOUNDS = [(0, 7, 3), (7, 0, -3), (-4, 5, 2), (5, -5, -1), (3, 3, 1), (3, 9, -1), (2, 10, 100)]


@pytest.mark.parametrize("bounds", BOUNDS)
def test_steps_of_either_sign(bounds):
    want = list(range(*bounds))
    assert run(bounds_kernel, 12, torch.int32, bounds[0], bounds[1], STEP=bounds[2]) == want + [0] * (12 - len(want))


@triton.jit
def typed_kernel(o_ptr, n_ptr, kind_ptr, OF: tl.constexpr):
    n = tl.load(n_ptr)
    at = 0
    for j in tl.range(n - 2, n, num_stages=2):
        tl.store(o_ptr + at, j * 2)
        at += 1
        tl.store(kind_ptr, (j.dtype == OF) + 1)


TYPED = [
    (torch.int64, tl.int64, 2**40, [2 * (2**40 - 2), 2 * (2**40 - 1)]),
    (torch.int32, tl.int32, 2**31 - 1, [-6, -4]),
    (torch.int16, tl.int32, 100, [196, 198]),
    (torch.int8, tl.int32, 100, [196, 198]),
    (torch.uint8, tl.int32, 200, [396, 398]),
    (torch.uint32, tl.uint32, 100, [196, 198]),
    (torch.uint32, tl.uint32, 2**31, [2**32 - 4, 2**32 - 2]),
    (torch.uint64, tl.uint64, 2**40, [2 * (2**40 - 2), 2 * (2**40 - 1)]),
]


@pytest.mark.parametrize(("dtype", "kind", "n", "want"), TYPED)
def test_bounds_decide_the_type(dtype, kind, n, want):
    known = torch.zeros(1, dtype=torch.int32)
    if n == 2**31:  # a GPU compares signed numbers: from 2**31 - 2 to -2**31 there is nothing
        want, found = [0, 0], 0
    else:
        found = 2
    assert run(typed_kernel, 2, torch.int64, torch.tensor([n]).to(dtype), known, OF=kind) == want
    assert known.item() == found


@triton.jit
def stepping_kernel(o_ptr, start, stop, step):
    at = 0
    for j in range(start, stop, step):
        tl.store(o_ptr + at, j)
        at += 1


@pytest.mark.parametrize(("bounds", "want"), [((0, 6, 2), [0, 2, 4]), ((6, 0, -2), []), ((0, 5, 3), [0, 3])])
def test_a_step_that_is_known_only_at_run_time(bounds, want):
    assert run(stepping_kernel, 4, torch.int32, *bounds) == want + [0] * (4 - len(want))


@pytest.mark.parametrize("bounds", [(0, 6, -2), (0, 6, 0), (6, 0, 0)])
def test_a_loop_without_an_end_is_a_sentence(bounds):
    with pytest.raises(ValueError, match="this loop has no end on a GPU"):
        run(stepping_kernel, 4, torch.int32, *bounds)


@triton.jit
def bad_bounds_kernel(o_ptr, x):
    for j in range(0, x):
        tl.store(o_ptr + j, j)


@triton.jit
def tile_bounds_kernel(o_ptr):
    for j in range(0, tl.arange(0, 4)):
        tl.store(o_ptr + j, j)


@triton.jit
def unrolled_kernel(o_ptr, n):
    for j in tl.static_range(n):
        tl.store(o_ptr + j, j)


def test_bounds_are_whole_scalars():
    with pytest.raises(TypeError, match="the bounds and the step of a loop are whole numbers, not fp32"):
        run(bad_bounds_kernel, 4, torch.int32, 2.0)
    with pytest.raises(TypeError, match="are whole numbers, not <"):
        run(tile_bounds_kernel, 4, torch.int32)
    with pytest.raises(TypeError, match="tl.static_range needs constants"):
        run(unrolled_kernel, 4, torch.int32, 3)


@triton.jit
def constants_kernel(o_ptr, x_ptr, N: tl.constexpr, STEP: tl.constexpr):
    xs = (tl.load(x_ptr), tl.load(x_ptr + 1), tl.load(x_ptr + 2), tl.load(x_ptr + 3))
    for j in tl.static_range(0, N, step=STEP):
        width: tl.constexpr = 2**j
        tl.store(o_ptr + j * 8 + tl.arange(0, width), xs[j])
        if j == 2:
            tl.static_assert(width == 4 and (j - 3) // 2 == -1, "a constant divides like Python")


@pytest.mark.parametrize(("n", "step"), [(4, 1), (4, 2), (3, 1), (0, 1), (4, 3)])
def test_static_range_gives_constants(n, step):
    out = run(constants_kernel, 32, torch.int32, torch.tensor([5, 6, 7, 8], dtype=torch.int32), N=n, STEP=step)
    want = [[5 + j] * 2**j + [0] * (8 - 2**j) if j in range(0, n, step) else [0] * 8 for j in range(4)]
    assert out == sum(want, [])


@triton.jit
def waiting_kernel(o_ptr, n):
    j = 0
    while tl.condition(j < n, disable_licm=True):
        tl.store(o_ptr + j, j + 1)
        j += 1
    while tl.condition(j > n):
        j -= 1


@pytest.mark.parametrize("n", [0, 1, 2, 5, 8])
def test_a_condition_ends_a_loop(n):
    assert run(waiting_kernel, 8, torch.int32, n) == [j + 1 if j < n else 0 for j in range(8)]


@triton.jit
def long_kernel(o_ptr, n):
    total = tl.zeros((1,), tl.int64)
    for j in range(n):
        total += j
    tl.store(o_ptr + tl.arange(0, 1), total)


@pytest.mark.parametrize("n", [1, 1023, 1024, 1025, 5000])
def test_long_loops_count_right(n):
    assert run(long_kernel, 1, torch.int64, n) == [n * (n - 1) // 2]


@triton.jit
def nested_kernel(o_ptr, n, BLOCK: tl.constexpr):
    at = tl.arange(0, BLOCK)
    for i in range(0, n):
        row = tl.zeros((BLOCK,), tl.int32)
        for j in range(i, n, 2):
            row += tl.where(at == j, i * 10 + j, 0)
            if j % 2 == 0:
                row += 1
        tl.store(o_ptr + i * BLOCK + at, row)


def test_loops_inside_loops():
    want = torch.zeros(6, 8, dtype=torch.int64)
    for i in range(6):
        for j in range(i, 6, 2):
            want[i, j] += i * 10 + j
            want[i] += j % 2 == 0
    assert run(nested_kernel, 48, torch.int32, 6, BLOCK=8) == want.flatten().tolist()
