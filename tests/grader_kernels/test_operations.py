"""Operations of an interpreted kernel that are no arithmetic of two floats: atomics, NaN in maximum and clamp, shifts,
division, narrow whole numbers, methods of tensors and descriptors, dots of whole and of scaled numbers, scans, sorting.
Each against Python's numbers or torch. Not here: casts (test_casts), constants (test_constants), loops (test_loops)."""

import itertools
import math

import numpy as np
import pytest
import torch
import triton
import triton.language as tl

from grader_kernels.interpreter.context import on_cpu

torch.set_num_threads(1)
WHOLE = [getattr(torch, name) for name in "int8 uint8 int16 uint16 int32 uint32 int64 uint64".split()]
FLOATS = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
NAN = math.nan


def run(kernel, *args, **kwargs):
    """The kernel's last argument, after one program."""
    with on_cpu():
        kernel[(1,)](*args, **kwargs)
    return args[-1]


def fitted(value, dtype):
    """A whole number modulo the width of its type."""
    ends = torch.iinfo(dtype)
    return (value - ends.min) % 2**ends.bits + ends.min


def any_whole(dtype, seed, size=64):
    raw = np.random.default_rng(seed).integers(0, 256, size * dtype.itemsize).astype(np.uint8)
    return torch.from_numpy(raw).view(dtype)


# whole numbers -------------------------------------------------------------------------------------------------------


@triton.jit
def whole_kernel(x_ptr, y_ptr, o_ptr):
    at = tl.arange(0, 64)
    x, y = tl.load(x_ptr + at), tl.load(y_ptr + at)
    tl.store(o_ptr + at, x + y)
    tl.store(o_ptr + 64 + at, x - y)
    tl.store(o_ptr + 128 + at, x * y)
    tl.store(o_ptr + 192 + at, x // y)
    tl.store(o_ptr + 256 + at, x % y)
    tl.store(o_ptr + 320 + at, -x)
    tl.store(o_ptr + 384 + at, ~x)
    tl.store(o_ptr + 448 + at, (x & y) | (x ^ 5))


def toward_zero(x, y):
    size = abs(x) // abs(y)
    return size if (x < 0) == (y < 0) else -size


@pytest.mark.parametrize("dtype", WHOLE, ids=str)
def test_whole_numbers_wrap_and_divide_toward_zero(dtype):
    for seed in range(5):
        x, y = any_whole(dtype, 2 * seed), any_whole(dtype, 2 * seed + 1)
        y = torch.where(y.to(torch.int64) == 0, torch.ones_like(y), y) if dtype != torch.uint64 else y
        out = run(whole_kernel, x, y, torch.zeros(512, dtype=dtype)).tolist()
        pairs = list(zip(x.tolist(), y.tolist(), strict=True))
        want = [a + b for a, b in pairs] + [a - b for a, b in pairs] + [a * b for a, b in pairs]
        want += [toward_zero(a, b) for a, b in pairs] + [a - b * toward_zero(a, b) for a, b in pairs]
        want += [-a for a, _ in pairs] + [~a for a, _ in pairs] + [(a & b) | (a ^ 5) for a, b in pairs]
        assert out == [fitted(value, dtype) for value in want]


@triton.jit
def shifts_kernel(x_ptr, s_ptr, o_ptr):
    at = tl.arange(0, 64)
    x, s = tl.load(x_ptr + at), tl.load(s_ptr + at)
    tl.store(o_ptr + at, x >> s)
    tl.store(o_ptr + 64 + at, x << s)
    tl.store(o_ptr + 128 + at, (x >> 1) + (s // 2).to(x.dtype))
    tl.store(o_ptr + 192 + at, (100 >> s).to(x.dtype))


@pytest.mark.parametrize("amounts", [torch.int32, torch.uint8, torch.uint64], ids=str)
@pytest.mark.parametrize("dtype", WHOLE, ids=str)
def test_shifts_look_at_the_left_operand(dtype, amounts):
    wide = max(dtype.itemsize, amounts.itemsize)
    unsigned = {dtype, amounts} & {t for t in (torch.uint32, torch.uint64) if t.itemsize == wide}
    x = any_whole(dtype, 1).to(torch.int64).abs().to(dtype) if unsigned else any_whole(dtype, 1)  # else a cast comes in
    s = (torch.arange(64) % (8 * dtype.itemsize - 1)).to(amounts)
    out = run(shifts_kernel, x, s, torch.zeros(256, dtype=dtype)).tolist()
    pairs = list(zip(x.tolist(), s.tolist(), strict=True))
    want = [a >> b for a, b in pairs] + [a << b for a, b in pairs]
    want += [(a >> 1) + b // 2 for a, b in pairs] + [100 >> b for _, b in pairs]
    assert out == [fitted(value, dtype) for value in want]


@triton.jit
def large_shift_kernel(x_ptr, s_ptr, o_ptr):
    x, s = tl.load(x_ptr), tl.load(s_ptr)
    tl.store(o_ptr + 1, x >> (s - s))
    tl.store(o_ptr, (s // 2).to(tl.int64))


@pytest.mark.parametrize("s", [2**63 + 2, 2**63, 2**64 - 1, 7, 2**62])
def test_a_shift_leaves_its_operands_alone(s):
    amounts = torch.tensor([s], dtype=torch.uint64)
    out = run(large_shift_kernel, torch.tensor([-8]), amounts, torch.zeros(2, dtype=torch.int64))
    assert out.tolist() == [s // 2, -8]


@triton.jit
def mixed_kernel(x_ptr, y_ptr, o_ptr, kind_ptr, OF: tl.constexpr):
    at = tl.arange(0, 64)
    out = tl.load(x_ptr + at) + tl.load(y_ptr + at)
    tl.store(kind_ptr, (out.dtype == OF) + 0)
    tl.store(o_ptr + at, out.to(tl.int64))


def together(left, right):
    """The usual arithmetic conversions of C, without the promotion to int."""
    if left.is_signed == right.is_signed or left.itemsize != right.itemsize:
        return left if left.itemsize > right.itemsize else right
    return left if right.is_signed else right


@pytest.mark.parametrize(("left", "right"), list(itertools.combinations(WHOLE[:7], 2)), ids=str)
def test_two_types_of_whole_numbers(left, right):
    x, y, known = any_whole(left, 1), any_whole(right, 2), torch.zeros(1, dtype=torch.int32)
    kind = together(left, right)
    with on_cpu():
        out = torch.zeros(64, dtype=torch.int64)
        mixed_kernel[(1,)](x, y, out, known, OF=getattr(tl, str(kind).removeprefix("torch.")))
    assert known.item() == 1
    assert out.tolist() == [fitted(a + b, kind) for a, b in zip(x.tolist(), y.tolist(), strict=True)]


# reductions and scans ------------------------------------------------------------------------------------------------


@triton.jit
def reductions_kernel(x_ptr, o_ptr):
    x = tl.load(x_ptr + tl.arange(0, 64))
    tl.store(o_ptr, tl.sum(x))
    tl.store(o_ptr + 1, tl.max(x, 0))
    tl.store(o_ptr + 2, x.min(0))
    tl.store(o_ptr + 3, tl.argmax(x, 0))
    tl.store(o_ptr + 4, x.argmin(0))
    tl.store(o_ptr + 5, tl.xor_sum(x, 0))
    tl.store(o_ptr + 6, tl.reduce_or(x, 0))
    tl.store(o_ptr + 7, tl.sum(x, dtype=tl.int64))
    tl.store(o_ptr + 8, (tl.sum(x).dtype == tl.int32) + 2 * (tl.sum(x).dtype == tl.uint32))


@pytest.mark.parametrize("dtype", WHOLE[:6], ids=str)
def test_reductions_of_whole_numbers(dtype):
    """A sum of less than 32 bits is one of 32, with the sign of its terms."""
    for seed in range(5):
        x = any_whole(dtype, seed)
        out = run(reductions_kernel, x, torch.zeros(9, dtype=torch.int64)).tolist()
        values = x.tolist()
        signed = torch.iinfo(dtype).min < 0
        total = fitted(sum(values), torch.int32 if signed else torch.uint32)
        xor, either = 0, 0
        for value in values:
            xor, either = xor ^ value, either | value
        largest, least = max(values), min(values)
        want = [total, largest, least, values.index(largest), values.index(least), xor, either, sum(values)]
        assert out == [*want, 1 if signed else 2]


@triton.jit
def truths_kernel(x_ptr, o_ptr):
    x = tl.load(x_ptr + tl.arange(0, 64))
    tl.store(o_ptr, tl.sum(x > 0))
    tl.store(o_ptr + 1, tl.sum((x > 0).to(tl.int8)))
    tl.store(o_ptr + 2, tl.max((x > 0).to(tl.int32), 0))


@pytest.mark.parametrize("seed", range(5))
def test_truths_are_counted(seed):
    x = any_whole(torch.int32, seed)
    count = int((x > 0).sum())
    assert run(truths_kernel, x, torch.zeros(3, dtype=torch.int32)).tolist() == [count, count, 1]


@triton.jit
def later_of_larger(a, i, b, j):
    return tl.where(a > b, a, b), tl.where(a > b, i, j)


@triton.jit
def affine(a, b, c, d):
    return a * c, b * c + d


@triton.jit
def scans_kernel(x_ptr, y_ptr, o_ptr, REVERSE: tl.constexpr):
    at = tl.arange(0, 64)
    x, y = tl.load(x_ptr + at), tl.load(y_ptr + at)
    largest, place = tl.associative_scan((x, at), 0, later_of_larger, reverse=REVERSE)
    tl.store(o_ptr + at, largest)
    tl.store(o_ptr + 64 + at, place)
    factor, term = tl.associative_scan((x, y), 0, affine, reverse=REVERSE)
    tl.store(o_ptr + 128 + at, factor)
    tl.store(o_ptr + 192 + at, term)
    tl.store(o_ptr + 256 + at, tl.cumsum(x, 0, reverse=REVERSE))
    tl.store(o_ptr + 320 + at, x.cumprod(0, reverse=REVERSE))


def scanned(combine, values, reverse):
    out = []
    for value in reversed(values) if reverse else values:
        out.append(combine(*out[-1], *value) if out else value)
    return out[::-1] if reverse else out


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_scans_of_tuples(seed, reverse):
    x, y = any_whole(torch.int32, seed), any_whole(torch.int32, seed + 10)
    out = run(scans_kernel, x, y, torch.zeros(384, dtype=torch.int32), REVERSE=reverse).view(6, 64).tolist()
    a, b = x.tolist(), y.tolist()
    fit = torch.int32
    best = scanned(lambda a, i, b, j: (a, i) if a > b else (b, j), list(zip(a, range(64))), reverse)
    lines = scanned(lambda a, b, c, d: (fitted(a * c, fit), fitted(b * c + d, fit)), list(zip(a, b)), reverse)
    sums = scanned(lambda a, b: (fitted(a + b, fit),), [(v,) for v in a], reverse)
    assert out == [*map(list, zip(*best)), *map(list, zip(*lines)), [s for (s,) in sums], [f for f, _ in lines]]


# NaN -----------------------------------------------------------------------------------------------------------------


@triton.jit
def extremes_kernel(x_ptr, y_ptr, o_ptr, ALL: tl.constexpr):
    x, y = tl.load(x_ptr), tl.load(y_ptr)
    tl.store(o_ptr, tl.maximum(x, y))
    tl.store(o_ptr + 1, tl.minimum(x, y))
    tl.store(o_ptr + 2, tl.maximum(x, y, propagate_nan=ALL))
    tl.store(o_ptr + 3, tl.minimum(x, y, propagate_nan=ALL))
    tl.store(o_ptr + 4, tl.clamp(x, -1.0, 1.0))
    tl.store(o_ptr + 5, tl.clamp(x, -1.0, 1.0, propagate_nan=ALL))


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize(("x", "y"), [(NAN, 2.0), (2.0, NAN), (NAN, NAN), (-3.0, 2.0), (0.5, -0.25)])
def test_who_wins_against_nan(x, y, dtype):
    x, y = torch.tensor([x], dtype=dtype), torch.tensor([y], dtype=dtype)
    out = run(extremes_kernel, x, y, torch.zeros(6, dtype=dtype), ALL=tl.PropagateNan.ALL)
    within = x.fmax(torch.tensor(-1.0)).fmin(torch.tensor(1.0))
    want = torch.cat([x.fmax(y), x.fmin(y), x.maximum(y), x.minimum(y), within, x.clamp(-1, 1)]).to(dtype)
    assert torch.equal(out.nan_to_num(99), want.nan_to_num(99))


# atomics -------------------------------------------------------------------------------------------------------------


@triton.jit
def exchange_kernel(p_ptr, value, o_ptr, MASK: tl.constexpr):
    at = tl.arange(0, 4)
    tl.store(o_ptr + at, tl.atomic_xchg(p_ptr + at, (value + at).to(p_ptr.dtype.element_ty), mask=at < MASK), at < MASK)
    tl.atomic_xchg(p_ptr, tl.load(p_ptr))


EXCHANGED = [torch.int32, torch.uint32, torch.int64, torch.uint64, torch.float32, torch.float64]


@pytest.mark.parametrize("dtype", EXCHANGED, ids=str)
@pytest.mark.parametrize("lanes", [0, 2, 4])
def test_an_exchange_of_any_type(dtype, lanes):
    memory = torch.tensor([1.5, 2.5, 3.5, 4.5]).to(dtype)
    before = memory.tolist()
    out = run(exchange_kernel, memory, 7.25, torch.zeros(4, dtype=dtype), MASK=lanes).tolist()
    new = torch.tensor([7.25, 8.25, 9.25, 10.25], dtype=torch.float64).to(dtype).tolist()
    assert out == before[:lanes] + [0] * (4 - lanes)
    assert memory.tolist() == new[:lanes] + before[lanes:]


@triton.jit
def smallest_kernel(p_ptr, x_ptr, o_ptr):
    at = tl.arange(0, 8)
    x = tl.load(x_ptr + at)
    tl.store(o_ptr + at, tl.atomic_min(p_ptr + at, x))
    tl.store(o_ptr + 8 + at, tl.atomic_max(p_ptr + 8 + at, x))
    (p_ptr + 16 + at).atomic_add(x)


@pytest.mark.parametrize("dtype", [*EXCHANGED], ids=str)
def test_atomics_of_either_sign(dtype):
    for seed in range(5):
        drawn = np.random.default_rng(seed).integers(-50, 50, (4, 8)) / (2 if dtype.is_floating_point else 1)
        drawn = np.abs(drawn) if dtype in (torch.uint32, torch.uint64) else drawn
        memory = torch.from_numpy(drawn[:3].copy()).to(dtype).reshape(-1)
        x, before = torch.from_numpy(drawn[3].copy()).to(dtype), memory.clone()
        out = run(smallest_kernel, memory, x, torch.zeros(16, dtype=dtype))
        assert out.tolist() == before[:16].tolist()
        pairs = [list(zip(part.tolist(), x.tolist(), strict=True)) for part in before.view(3, 8)]
        assert memory.tolist() == [*map(min, pairs[0]), *map(max, pairs[1]), *map(sum, pairs[2])]


@triton.jit
def compare_kernel(p_ptr, x_ptr, o_ptr):
    tl.store(o_ptr, tl.atomic_cas(p_ptr, tl.load(x_ptr), tl.load(x_ptr + 1)))
    tl.store(o_ptr + 1, p_ptr.atomic_cas(tl.load(x_ptr), tl.load(x_ptr)))


@pytest.mark.parametrize("dtype", [*EXCHANGED, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("found", [2, 3])
def test_compare_and_swap(dtype, found):
    memory, x = torch.tensor([found]).to(dtype), torch.tensor([2, 9]).to(dtype)
    out = run(compare_kernel, memory, x, torch.zeros(2, dtype=dtype))
    assert [*out.tolist(), *memory.tolist()] == ([2, 9, 9] if found == 2 else [3, 3, 3])


# methods -------------------------------------------------------------------------------------------------------------

MATH = "exp exp2 log log2 cos sin sqrt sqrt_rn rsqrt erf floor ceil abs sigmoid".split()


@triton.jit
def methods_kernel(x_ptr, o_ptr):
    at = tl.arange(0, 8)
    x = tl.load(x_ptr + at)
    tl.store(o_ptr + at, x.exp())
    tl.store(o_ptr + 8 + at, x.exp2())
    tl.store(o_ptr + 16 + at, x.log())
    tl.store(o_ptr + 24 + at, x.log2())
    tl.store(o_ptr + 32 + at, x.cos())
    tl.store(o_ptr + 40 + at, x.sin())
    tl.store(o_ptr + 48 + at, x.sqrt())
    tl.store(o_ptr + 56 + at, x.sqrt_rn())
    tl.store(o_ptr + 64 + at, x.rsqrt())
    tl.store(o_ptr + 72 + at, x.erf())
    tl.store(o_ptr + 80 + at, x.floor())
    tl.store(o_ptr + 88 + at, x.ceil())
    tl.store(o_ptr + 96 + at, x.abs())
    tl.store(o_ptr + 104 + at, x.sigmoid())


@pytest.mark.parametrize("scale", [0.3, 1.0, 2.7, 9.0, 20.0])
def test_functions_are_methods_too(scale):
    x = torch.arange(1, 9) * scale / 8
    out = run(methods_kernel, x, torch.zeros(112)).view(14, 8)
    for name, row in zip(MATH, out, strict=True):
        want = getattr(torch, name.removesuffix("_rn"))(x.double())
        torch.testing.assert_close(row.double(), want, rtol=1e-6, atol=1e-7)


@triton.jit
def shapes_kernel(x_ptr, o_ptr):
    at = tl.arange(0, 8)
    x = tl.load(x_ptr + at)
    tl.store(o_ptr + at, x.reshape(2, 4).trans().view(8))
    tl.store(o_ptr + 8 + at, x.reshape((4, 2)).permute(1, 0).ravel())
    tl.store(o_ptr + 16 + at, x.reshape(4, 2).T.reshape(8))
    tl.store(o_ptr + 24 + at, x.expand_dims(0).broadcast_to(2, 8).sum(0))
    tl.store(o_ptr + 32 + at, x.to(tl.int8).cast(tl.int32).cdiv(3))
    left, right = x.reshape(4, 2).split()
    tl.store(o_ptr + 40 + tl.arange(0, 4), left * 10 + right)
    tl.store(o_ptr + 44 + tl.arange(0, 4), left.gather(tl.arange(0, 4) ^ 1, 0))
    tl.store(o_ptr + 48 + at, x.histogram(8))
    tl.store(o_ptr + 56 + at, tl.interleave(left, right * 2))
    tl.store(o_ptr + 64 + at, x.flip(0))
    tl.store(o_ptr + 72 + at, tl.join(left, right).reshape(8))
    tl.store(o_ptr + 80 + at, x.reshape(2, 2, 2).trans(2, 0, 1).reshape(8))
    tl.store(o_ptr + 88 + at, tl.sort(x))
    tl.store(o_ptr + 96 + at, tl.sort(x.reshape(2, 4), 1, descending=True).reshape(8))
    tl.store(o_ptr + 104 + tl.arange(0, 4), tl.topk(x, 4))
    (o_ptr + 108).store(x.sum().item())


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("dtype", [torch.int32, torch.int64, torch.int8, torch.uint8], ids=str)
def test_shapes_and_orders(seed, dtype):
    x = torch.from_numpy(np.random.default_rng(seed).permutation(8)).to(dtype)
    out = run(shapes_kernel, x, torch.zeros(109, dtype=torch.int32)).tolist()
    x = x.int()
    left, right = x[::2], x[1::2]
    want = [x.view(2, 4).T, x.view(4, 2).T, x.view(4, 2).T, x * 2, (x + 2) // 3, left * 10 + right]
    want += [left[[1, 0, 3, 2]], torch.ones(8), torch.stack([left, right * 2], 1), x.flip(0), x]
    want += [x.view(2, 2, 2).permute(2, 0, 1), x.sort()[0], x.view(2, 4).sort(1, descending=True)[0]]
    want += [x.topk(4)[0], x.sum()]
    assert out == torch.cat([part.reshape(-1).int() for part in want]).tolist()


@triton.jit
def histogram_kernel(x_ptr, o_ptr, n):
    at = tl.arange(0, 64)
    x = tl.load(x_ptr + at)
    tl.store(o_ptr + tl.arange(0, 8), tl.histogram(x, 8))
    tl.store(o_ptr + 8 + tl.arange(0, 8), tl.histogram(x, 8, mask=(at < 20) & (x != 3)))


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64, torch.uint8, torch.int16], ids=str)
def test_histograms(dtype):
    x = torch.from_numpy(np.random.default_rng(0).integers(0, 8, 64)).to(dtype)
    out = torch.zeros(16, dtype=torch.int32)
    with on_cpu():
        histogram_kernel[(1,)](x, out, 64)
    values = x.tolist()
    assert out.tolist() == [values.count(i) for i in range(8)] + [values[:20].count(i) * (i != 3) for i in range(8)]


@triton.jit
def walking_kernel(x_ptr, o_ptr):
    x = tl.make_block_ptr(x_ptr, (8, 8), (8, 1), (0, 0), (4, 4), (1, 0))
    o = tl.make_block_ptr(o_ptr, (8, 8), (8, 1), (4, 0), (4, 4), (1, 0))
    for j in range(0, 2):
        tl.store(o, tl.load(x) * 2 + j)
        x = x.advance((0, 4))
        o = tl.advance(o, (0, 4))


def test_block_pointers_advance():
    x = torch.arange(64, dtype=torch.int32).view(8, 8)
    want = torch.zeros(8, 8, dtype=torch.int32)
    want[4:, :4], want[4:, 4:] = x[:4, :4] * 2, x[:4, 4:] * 2 + 1
    assert torch.equal(run(walking_kernel, x, torch.zeros(8, 8, dtype=torch.int32)), want)


@triton.jit
def descriptors_kernel(x_ptr, o_ptr):
    x = tl.make_tensor_descriptor(x_ptr, [8, 8], [8, 1], [4, 4])
    o = tl.make_tensor_descriptor(o_ptr, [8, 8], [8, 1], [4, 4])
    for j in range(0, 2):
        tile = x.load([0, j * 4])
        o.store([4, j * 4], tile)
        o.atomic_add([4, j * 4], tile)
        o.atomic_max([4, j * 4], tile * 0 + 20)
        o.atomic_min([4, j * 4], tile * 0 + 40)
        o.atomic_and([4, j * 4], tile * 0 + 31)
        o.atomic_or([4, j * 4], tile * 0 + 64)
        o.atomic_xor([4, j * 4], tile * 0 + 1)


def test_descriptors_load_store_and_update():
    x = torch.arange(64, dtype=torch.int32).view(8, 8)
    want = torch.zeros(8, 8, dtype=torch.int32)
    want[4:] = (((x[:4] * 2).clamp(20, 40) & 31) | 64) ^ 1
    assert torch.equal(run(descriptors_kernel, x, torch.zeros(8, 8, dtype=torch.int32)), want)


@triton.jit
def rows_kernel(x_ptr, o_ptr):
    x = tl.make_tensor_descriptor(x_ptr, [16, 16], [16, 1], [1, 8])
    o = tl.make_tensor_descriptor(o_ptr, [8, 8], [8, 1], [1, 8])
    rows = tl.arange(0, 8)
    o.scatter(x.gather(rows * 2, 8), 7 - rows, 0)


def test_descriptors_gather_and_scatter():
    x = torch.arange(256, dtype=torch.int32).view(16, 16)
    assert torch.equal(run(rows_kernel, x, torch.zeros(8, 8, dtype=torch.int32)), x[::2, 8:].flip(0))


@triton.jit
def decisions_kernel(x_ptr, n, o_ptr):
    a = tl.load(x_ptr)
    if n > 0 and a > 2:
        tl.store(o_ptr, 1)
    if n < 0 or a > 2:
        tl.store(o_ptr + 1, 1)
    if not (n < 0 or a > 4):
        tl.store(o_ptr + 2, 1)
    both = n > 0 and a > 2
    tl.store(o_ptr + 3, both.to(tl.int32))
    tl.store(o_ptr + 4, a if n > 0 else 2 * a)


@pytest.mark.parametrize(("a", "n"), list(itertools.product([1, 3, 7], [-2, 5])))
def test_decisions_of_scalars(a, n):
    out = run(decisions_kernel, torch.tensor([a], dtype=torch.int32), n, torch.zeros(5, dtype=torch.int32)).tolist()
    both, either, neither = n > 0 and a > 2, n < 0 or a > 2, not (n < 0 or a > 4)
    assert out == [both, either, neither, both, a if n > 0 else 2 * a]


# dots ----------------------------------------------------------------------------------------------------------------


@triton.jit
def whole_dot_kernel(x_ptr, y_ptr, start, o_ptr):
    at = tl.arange(0, 32)[:, None] * 32 + tl.arange(0, 32)[None, :]
    total = tl.zeros((32, 32), tl.int32) + start
    tl.store(o_ptr + at, tl.dot(tl.load(x_ptr + at), tl.load(y_ptr + at), total, out_dtype=tl.int32))


@pytest.mark.parametrize("start", [0, 7, -5, 2**31 - 1, -(2**31)])
def test_a_dot_of_int8_is_an_int32_that_wraps(start):
    x, y = (any_whole(torch.int8, seed, 1024).view(32, 32) for seed in range(2))
    out = run(whole_dot_kernel, x, y, start, torch.zeros(32, 32, dtype=torch.int32))
    exact = x.long() @ y.long() + start
    assert out.tolist() == [[fitted(value, torch.int32) for value in row] for row in exact.tolist()]


@triton.jit
def scaled_dot_kernel(x_ptr, y_ptr, xs_ptr, ys_ptr, o_ptr, X: tl.constexpr, Y: tl.constexpr, K: tl.constexpr):
    m, n, g, k = tl.arange(0, 16), tl.arange(0, 16), tl.arange(0, 2), tl.arange(0, 64)
    left = tl.arange(0, K)
    x = tl.load(x_ptr + m[:, None] * K + left[None, :])
    y = tl.load(y_ptr + k[:, None] * 16 + n[None, :])
    x_scale, y_scale = tl.load(xs_ptr + m[:, None] * 2 + g[None, :]), tl.load(ys_ptr + n[:, None] * 2 + g[None, :])
    tl.store(o_ptr + m[:, None] * 16 + n[None, :], tl.dot_scaled(x, x_scale, X, y, y_scale, Y))


E2M1 = [0, 0.5, 1, 1.5, 2, 3, 4, 6]
DTYPES = {"e4m3": torch.float8_e4m3fn, "e5m2": torch.float8_e5m2, "bf16": torch.bfloat16, "fp16": torch.float16}


def scaled_operand(form, rows, columns, seed):
    """(what a kernel loads, its numbers)"""
    generator = np.random.default_rng(seed)
    if form == "e2m1":
        bits = generator.integers(0, 16, (rows, columns))
        numbers = torch.tensor([(E2M1[b & 7] if b < 8 else -E2M1[b & 7]) for b in bits.reshape(-1).tolist()])
        return torch.from_numpy((bits[:, ::2] | bits[:, 1::2] << 4).astype(np.uint8)), numbers.view(rows, columns)
    numbers = torch.from_numpy(generator.integers(-4, 5, (rows, columns)) / 4).float()
    return numbers.to(DTYPES[form]), numbers


@pytest.mark.parametrize("left", ["e2m1", "e4m3", "e5m2"])
@pytest.mark.parametrize("right", ["e4m3", "e5m2", "bf16"])
def test_a_dot_of_scaled_numbers(left, right):
    x, a = scaled_operand(left, 16, 64, 1)
    y, b = scaled_operand(right, 64, 16, 2)
    scales = torch.from_numpy(np.random.default_rng(3).integers(124, 131, (2, 16, 2))).to(torch.uint8)
    out = torch.zeros(16, 16)
    with on_cpu():
        scaled_dot_kernel[(1,)](x, y, scales[0], scales[1], out, X=left, Y=right, K=x.shape[1])
    factors = [(2.0 ** (scale.double() - 127)).repeat_interleave(32, 1) for scale in scales]
    assert torch.equal(out.double(), (a.double() * factors[0]) @ (b.double() * factors[1].T))


# the numbers of a random generator are Philox's: test_numbers


@triton.jit
def fills_kernel(o_ptr, VALUE: tl.constexpr):
    at = tl.arange(0, 4)
    tl.store(o_ptr + at, tl.full((4,), VALUE, tl.int64) + tl.zeros_like(at).to(tl.int64))


@pytest.mark.parametrize("value", [0, 1, -1, 2**40, -(2**62)])
def test_a_tile_of_one_number(value):
    assert run(fills_kernel, torch.zeros(4, dtype=torch.int64), VALUE=value).tolist() == [value] * 4
