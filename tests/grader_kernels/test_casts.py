"""Casts of an interpreted kernel: which number comes out, from the definition of the rounding, and at the ends of types
what NVIDIA's cvt does. Not here: casts of libdevice (test_libdevice)."""

import bisect
import math
from fractions import Fraction

import numpy as np
import pytest
import torch
import triton
import triton.language as tl

from grader_kernels.interpreter.context import on_cpu

torch.set_num_threads(1)
SIZE = 256
NAN, INF = math.nan, math.inf


@triton.jit
def cast_kernel(x_ptr, o_ptr, TO: tl.constexpr, HOW: tl.constexpr, SIZE: tl.constexpr):
    at = tl.arange(0, SIZE)
    tl.store(o_ptr + at, tl.load(x_ptr + at).to(TO, fp_downcast_rounding=HOW))


def cast(x, to, how=None, out=None):
    """x.to(to), in memory of type `out` where torch calls it so."""
    result = torch.empty(x.numel(), dtype=out or getattr(torch, str(to).replace("fp", "float").replace("bf", "bfloat")))
    with on_cpu():
        cast_kernel[(1,)](x, result, TO=to, HOW=how, SIZE=x.numel())
    return result


def filled(values, dtype):
    """A tensor of SIZE with these values, over and over."""
    return torch.tensor((list(values) * SIZE)[:SIZE], dtype=dtype)


FLOAT8 = {torch.float8_e5m2: (tl.float8e5, 57344.0), torch.float8_e4m3fn: (tl.float8e4nv, 448.0)}


def every_number(kind):
    """All numbers of a float of 8 bits, and those half way between two neighbours."""
    numbers = np.unique(torch.arange(256, dtype=torch.uint8).view(kind).float().numpy())
    numbers = numbers[np.isfinite(numbers)]
    between = (numbers[1:].astype(np.float64) + numbers[:-1]) / 2
    return numbers, np.concatenate([numbers, between, np.nextafter(between, INF), np.nextafter(between, -INF)])


def nearest(value, numbers):
    """The nearest number; of two as near the one whose last bit is 0, which has the even place among those above 0."""
    size, positive = abs(Fraction(value)), [float(n) for n in numbers if n >= 0]
    above = bisect.bisect(positive, float(size))
    near = range(max(above - 2, 0), min(above + 2, len(positive)))
    at = min(near, key=lambda i: (abs(Fraction(positive[i]) - size), i % 2))
    return math.copysign(positive[at], value)


@pytest.mark.parametrize("kind", FLOAT8, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64], ids=str)
def test_float8_is_the_nearest_number_and_ties_are_even(kind, dtype):
    numbers, inputs = every_number(kind)
    drawn = np.random.default_rng(0).standard_normal(512) * np.exp2(np.random.default_rng(1).integers(-20, 9, 512))
    x = torch.from_numpy(np.resize(np.concatenate([inputs, drawn]), 2048)).to(dtype)
    got = cast(x, FLOAT8[kind][0], out=kind).float()
    largest = FLOAT8[kind][1]
    assert got.tolist() == [nearest(max(min(value, largest), -largest), numbers) for value in x.tolist()]


@pytest.mark.parametrize("kind", FLOAT8, ids=str)
def test_float8_ends_with_its_largest_number(kind):
    x = filled([0.4997, 1.9457, 0.1198, -0.4798, INF, -INF, NAN, 1e30, -1e30, 0.0, -0.0, 1e-30], torch.float32)
    got, largest = cast(x, FLOAT8[kind][0], out=kind).float(), FLOAT8[kind][1]
    assert torch.equal(got[:4], x[:4].to(kind).float())
    assert got[4:6].tolist() == got[7:9].tolist() == [largest, -largest]  # .satfinite
    assert got[6].isnan() and got[9:12].tolist() == [0, 0, 0] and got[10].signbit()


@pytest.mark.parametrize("kind", FLOAT8, ids=str)
@pytest.mark.parametrize("to", [tl.float16, tl.bfloat16, tl.float32, tl.float64], ids=str)
def test_float8_becomes_wider_exactly(kind, to):
    x = torch.arange(256, dtype=torch.uint8).view(kind)
    assert torch.equal(cast(x, to).float().nan_to_num(7, INF, -INF), x.float().nan_to_num(7, INF, -INF))


@triton.jit
def float8_dot_kernel(x_ptr, y_ptr, o_ptr, TO: tl.constexpr):
    at = tl.arange(0, 16)[:, None] * 16 + tl.arange(0, 16)[None, :]
    x, y = tl.load(x_ptr + at).to(TO), tl.load(y_ptr + at).to(TO)
    tl.store(o_ptr + at, tl.dot(x, y) + x.to(tl.float32))


@pytest.mark.parametrize("kind", FLOAT8, ids=str)
def test_a_dot_of_float8(kind):
    x, y = (torch.from_numpy(np.random.default_rng(seed).integers(-4, 5, (16, 16))).float() for seed in range(2))
    out = torch.empty(16, 16)
    with on_cpu():
        float8_dot_kernel[(1,)](x, y, out, TO=FLOAT8[kind][0])
    assert torch.equal(out, x @ y + x)


NARROW = {tl.float16: (11, -14, 65504.0), tl.bfloat16: (8, -126, float(torch.finfo(torch.bfloat16).max))}
NARROW |= {tl.float32: (24, -126, float(torch.finfo(torch.float32).max))}


def rounded(value, to, how):
    """From the definition: a multiple of the step between numbers of its size."""
    digits, least, largest = NARROW[to]
    if value == 0 or not math.isfinite(value):
        return value
    step = Fraction(2) ** (max(math.frexp(value)[1] - 1, least) - digits + 1)
    size = (round if how == "rtne" else math.floor)(abs(Fraction(value)) / step) * step
    size = float(size) if size <= largest else (INF if how == "rtne" else largest)
    return math.copysign(size, value)


@pytest.mark.parametrize("how", ["rtne", "rtz"])
@pytest.mark.parametrize("to", NARROW, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_a_float_becomes_narrower_with_one_rounding(dtype, to, how):
    if dtype == torch.float32 and to == tl.float32:
        return
    drawn = np.random.default_rng(0).standard_normal(SIZE) * np.exp2(np.random.default_rng(1).integers(-160, 140, SIZE))
    ties = [1 + 2.0**-8 + 2.0**-40, 1 + 2.0**-8, 1 + 3 * 2.0**-8 - 2.0**-40, 1 + 2.0**-11, 1 + 2.0**-24]
    ties += [65519.99, 65520.0]
    x = torch.from_numpy(drawn)
    x[: 2 * len(ties) + 3] = torch.tensor([*ties, *(-tie for tie in ties), 0.0, INF, -INF])
    x = x.to(dtype)
    assert cast(x, to, how).double().tolist() == [rounded(value, to, how) for value in x.tolist()]


NAMES = "int8 uint8 int16 uint16 int32 uint32 int64 uint64".split()
WHOLE = {getattr(tl, name): getattr(torch, name) for name in NAMES}


def whole(value, to, wide):
    """PTX, cvt.rzi: what does not fit is the nearest number that does; NaN is 0, of 64 bits the top one.
    To 8 bits there is no cvt: the compiler takes 16 bits and drops the upper ones."""
    ends = torch.iinfo({torch.int8: torch.int16, torch.uint8: torch.uint16}.get(WHOLE[to], WHOLE[to]))
    if math.isnan(value):
        out = (ends.min or 2 ** (ends.bits - 1)) if wide or ends.bits == 64 else 0
    else:
        out = ends.max if value >= ends.max else ends.min if value <= ends.min else int(value)
    narrow = torch.iinfo(WHOLE[to])
    return (out - narrow.min) % 2**narrow.bits + narrow.min


ODD = [0.9, -0.9, 1.5, -1.5, 127.9, 128.0, 255.5, 256.0, 300.0, -129.0, -300.7, 32767.5, 40000.0, -40000.0, 65536.0]
ODD += [2.0**31, -(2.0**31), 2.0**32, 3e9, -3e9, 2.0**63, -(2.0**63), 2e19, -1e30, INF, -INF, NAN, -0.0]


@pytest.mark.parametrize("to", WHOLE, ids=str)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str)
def test_a_float_becomes_whole(dtype, to):
    x = filled(ODD, torch.float64).to(dtype)
    assert cast(x, to).tolist() == [whole(value, to, dtype == torch.float64) for value in x.tolist()]


@pytest.mark.parametrize("to", WHOLE, ids=str)
@pytest.mark.parametrize("dtype", WHOLE.values(), ids=str)
def test_whole_numbers_keep_their_low_bits(dtype, to):
    x = torch.from_numpy(np.random.default_rng(0).integers(-(2**62), 2**62, SIZE)).to(dtype)
    ends = torch.iinfo(WHOLE[to])
    assert cast(x, to).tolist() == [(value - ends.min) % 2**ends.bits + ends.min for value in x.tolist()]


@pytest.mark.parametrize("to", [tl.float16, tl.float32, tl.float64], ids=str)
@pytest.mark.parametrize("dtype", WHOLE.values(), ids=str)
def test_whole_numbers_become_floats_with_one_rounding(dtype, to):
    x = torch.from_numpy(np.random.default_rng(0).integers(-(2**62), 2**62, SIZE) >> np.arange(SIZE) % 60).to(dtype)
    want = [np.float64(value) if to == tl.float64 else rounded_whole(value, to) for value in x.tolist()]
    assert cast(x, to).double().tolist() == want


def rounded_whole(value, to):
    digits, _, largest = NARROW[to]
    step = 2 ** max(abs(value).bit_length() - digits, 0)
    size = round(Fraction(abs(value), step)) * step
    return math.copysign(size if size <= largest else INF, value) if value else 0.0


@triton.jit
def truth_kernel(x_ptr, o_ptr, SIZE: tl.constexpr):
    at = tl.arange(0, SIZE)
    true = tl.load(x_ptr + at).to(tl.int1)
    tl.store(o_ptr + at, true.to(tl.int32) + 10 * (true & (at > 1)).to(tl.float32))
    tl.store(o_ptr + SIZE + at, true + true)  # one bit: 1 + 1 is 0
    tl.store(o_ptr + 2 * SIZE + at, true * true)
    tl.store(o_ptr + 3 * SIZE + at, true - (at > 1))
    tl.store(o_ptr + 4 * SIZE + at, true * 3 + ~true)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int8, torch.int64, torch.bool], ids=str)
def test_a_truth_is_one_bit(dtype):
    x, out = torch.tensor([0, 3, 0, 1]).to(dtype), torch.empty(5, 4)
    with on_cpu():
        truth_kernel[(1,)](x, out, SIZE=4)
    assert out.tolist() == [[0, 1, 0, 11], [0, 0, 0, 0], [0, 1, 0, 1], [0, 1, 1, 0], [1, 3, 1, 3]]


@triton.jit
def bits_kernel(x_ptr, o_ptr, TO: tl.constexpr, SIZE: tl.constexpr):
    at = tl.arange(0, SIZE)
    tl.store(o_ptr + at, tl.load(x_ptr + at).to(TO, bitcast=True))


BITCASTS = [(torch.float32, tl.int32), (torch.int32, tl.float32), (torch.bfloat16, tl.int16)]
BITCASTS += [(torch.int16, tl.bfloat16), (torch.float16, tl.uint16), (torch.int64, tl.float64)]
BITCASTS += [(torch.float32, tl.uint32), (torch.uint8, tl.int8)]


@pytest.mark.parametrize(("dtype", "to"), BITCASTS, ids=str)
def test_a_bitcast_keeps_every_bit(dtype, to):
    raw = torch.from_numpy(np.random.default_rng(0).integers(0, 256, SIZE * dtype.itemsize).astype(np.uint8))
    out = torch.empty(SIZE, dtype=getattr(torch, str(to).replace("fp", "float").replace("bf", "bfloat")))
    with on_cpu():
        bits_kernel[(1,)](raw.view(dtype), out, TO=to, SIZE=SIZE)
    assert torch.equal(out.view(torch.uint8), raw)
