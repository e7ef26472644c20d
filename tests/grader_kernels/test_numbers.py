"""What single operations compute: against float64 within what the type allows, against Philox from its paper, and where
a GPU rounds in between, with the same roundings. Not here: whole kernels (test_properties) and nothing about speed."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
import triton
import triton.language as tl

from grader_kernels.interpreter.context import on_cpu
from grader_kernels.interpreter.numbers import bf16_to_f32, f32_to_bf16, is_poison

torch.set_num_threads(1)
HALF_ULP = {torch.bfloat16: 2**-9, torch.float16: 2**-12, torch.float32: 2**-25, torch.float64: 2**-54}
SIZE = 256


@triton.jit
def two_kernel(x_ptr, y_ptr, o_ptr, F: tl.constexpr, SIZE: tl.constexpr):
    at = tl.arange(0, SIZE)
    tl.store(o_ptr + at, F(tl.load(x_ptr + at), tl.load(y_ptr + at)))


@triton.jit
def one_kernel(x_ptr, o_ptr, F: tl.constexpr, SIZE: tl.constexpr):
    at = tl.arange(0, SIZE)
    tl.store(o_ptr + at, F(tl.load(x_ptr + at)))


def apply(function, *tensors, dtype=None):
    out = torch.empty(tensors[0].shape, dtype=dtype or tensors[0].dtype)
    with on_cpu():
        (one_kernel if len(tensors) == 1 else two_kernel)[(1,)](*tensors, out, F=function, SIZE=tensors[0].numel())
    return out


def draw(dtype, seed=0, shape=(SIZE,), scale=3.0):
    generator = np.random.default_rng(seed)
    return torch.from_numpy(generator.standard_normal(shape) * scale).to(dtype)


# one operation, one rounding -----------------------------------------------------------------------------------------


@triton.jit
def added(x, y):
    return x + y


@triton.jit
def subtracted(x, y):
    return x - y


@triton.jit
def multiplied(x, y):
    return x * y


@triton.jit
def divided(x, y):
    return x / y


@triton.jit
def remainder(x, y):
    return x % y


@triton.jit
def larger(x, y):
    return tl.maximum(x, y)


@triton.jit
def chosen(x, y):
    return tl.where(x > y, x, y * 0)


@triton.jit
def fused(x, y):
    return tl.fma(x, y, x)


@triton.jit
def helper(x, factor):
    return x * factor


@triton.jit
def through_helpers(x, y):
    return helper(helper(x, 2.0), 0.25) + y


def nearest(exact, dtype):
    """A fraction as a float of this type, from the definition: no number of it lies nearer."""
    step = Fraction(2) ** (math.frexp(float(exact))[1] + round(math.log2(HALF_ULP[dtype])) + 1)
    return float(round(exact / step) * step)


SINGLE = {
    added: lambda x, y: x + y,
    subtracted: lambda x, y: x - y,
    multiplied: lambda x, y: x * y,
    divided: lambda x, y: x / y,
    remainder: torch.fmod,
    larger: torch.maximum,
    chosen: lambda x, y: torch.where(x > y, x, 0.0),
    fused: lambda x, y: x * y + x,
    through_helpers: lambda x, y: x * 0.5 + y,  # powers of two: the helpers do not round
}


@pytest.mark.parametrize("dtype", HALF_ULP, ids=str)
@pytest.mark.parametrize("function", SINGLE, ids=lambda function: function.fn.__name__)
def test_one_operation_rounds_once(function, dtype):
    x, y = draw(dtype), draw(dtype, seed=1)
    if function is fused:
        exact = [Fraction(a) * Fraction(b) + Fraction(a) for a, b in zip(x.tolist(), y.tolist(), strict=True)]
        assert apply(function, x, y).tolist() == [nearest(number, dtype) for number in exact]
        return
    got, exact = apply(function, x, y).double(), SINGLE[function](x.double(), y.double())
    assert torch.equal(got, exact.to(dtype).double())


@triton.jit
def fused_kernel(x_ptr, y_ptr, z_ptr, o_ptr):
    at = tl.arange(0, 8)
    tl.store(o_ptr + at, tl.fma(tl.load(x_ptr + at), tl.load(y_ptr + at), tl.load(z_ptr + at)))


@pytest.mark.parametrize(("dtype", "digits"), [(torch.float32, 24), (torch.bfloat16, 8), (torch.float64, 53)], ids=str)
def test_a_fused_sum_sees_a_term_far_below_a_tie(dtype, digits):
    """1.5 * (1 + step) lies half way between two numbers; the third term says which one is nearer."""
    step = 2.0 ** (1 - digits)
    x, y, out = torch.full((8,), 1 + step, dtype=dtype), torch.full((8,), 1.5, dtype=dtype), torch.empty(8, dtype=dtype)
    z = torch.tensor([2.0**-80, -(2.0**-80), 2.0**-120, -(2.0**-120)] * 2, dtype=dtype)
    with on_cpu():
        fused_kernel[(1,)](x, y, z, out)
    assert out.tolist() == [1.5 + 2 * step, 1.5 + step] * 4


@triton.jit
def with_numbers(x):
    return tl.where(x * 2.5 > 1, x + 1, tl.full((256,), -1.5, x.dtype) - x)


@pytest.mark.parametrize("dtype", HALF_ULP, ids=str)
def test_numbers_in_the_kernel_take_the_type_of_the_tile(dtype):
    x = draw(dtype)
    assert torch.equal(apply(with_numbers, x), torch.where(x * 2.5 > 1, x + 1, -1.5 - x))


@triton.jit
def masked_kernel(x_ptr, o_ptr, SIZE: tl.constexpr):
    at = tl.arange(0, SIZE)
    tl.store(o_ptr + at, tl.load(x_ptr + at, mask=at % 2 == 0, other=-2.5))


@pytest.mark.parametrize("dtype", HALF_ULP, ids=str)
def test_other_takes_the_type_of_the_memory(dtype):
    x, out = draw(dtype), torch.empty(SIZE, dtype=dtype)
    with on_cpu():
        masked_kernel[(1,)](x, out, SIZE=SIZE)
    assert torch.equal(out[::2], x[::2]) and (out[1::2] == -2.5).all()


# sums in narrow types ------------------------------------------------------------------------------------------------


@triton.jit
def total_kernel(x_ptr, o_ptr, AXIS: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, OUT: tl.constexpr):
    x = tl.load(x_ptr + tl.arange(0, ROWS)[:, None] * COLUMNS + tl.arange(0, COLUMNS)[None, :])
    tl.store(o_ptr + tl.arange(0, OUT), tl.sum(x, AXIS))


def total(x, axis):
    out = torch.empty(x.shape[1 - axis], dtype=x.dtype)
    with on_cpu():
        total_kernel[(1,)](x, out, AXIS=axis, ROWS=x.shape[0], COLUMNS=x.shape[1], OUT=out.numel())
    return out


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_every_partial_sum_is_rounded_to_the_narrow_type(dtype, axis):
    x = draw(dtype, shape=(64, 64)).abs()
    got, exact = total(x, axis).double(), x.double().sum(axis)
    error = ((got - exact) / exact).abs().max()
    assert error <= 6 * 2 * HALF_ULP[dtype]  # 64 = 2**6 terms of one sign: six roundings
    assert not torch.equal(got, exact.to(dtype).double()), "summed in a wider type than a GPU does"


def test_a_half_precision_sum_overflows_on_the_way():
    x = torch.tensor([[60000.0, 60000.0, -60000.0, -60000.0]] * 2, dtype=torch.float16)
    assert not total(x, 1).isfinite().any()


@triton.jit
def dot_kernel(a_ptr, b_ptr, o_ptr, N: tl.constexpr, K: tl.constexpr, OUT: tl.constexpr, HOW: tl.constexpr):
    n, k = tl.arange(0, N), tl.arange(0, K)
    a = tl.load(a_ptr + n[:, None] * K + k[None, :])
    b = tl.load(b_ptr + k[:, None] * N + n[None, :])
    tl.store(o_ptr + n[:, None] * N + n[None, :], tl.dot(a, b, out_dtype=OUT, input_precision=HOW))


def dot(a, b, out=tl.float32, how="ieee", **context):
    result = torch.empty(a.shape[0], b.shape[1], dtype=getattr(torch, str(out).replace("fp", "float")))
    with on_cpu(**context):
        dot_kernel[(1,)](a, b, result, N=a.shape[0], K=a.shape[1], OUT=out, HOW=how)
    return result.double()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32], ids=str)
def test_dot_of_small_whole_numbers_is_exact(dtype):
    generator = np.random.default_rng(0)
    a, b = (torch.from_numpy(generator.integers(-8, 9, shape)).to(dtype) for shape in ((16, 128), (128, 16)))
    assert torch.equal(dot(a, b), a.double() @ b.double())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_a_narrow_dot_accumulates_in_float32(dtype):
    a, b = draw(dtype, shape=(16, 512)), draw(dtype, seed=1, shape=(512, 16))
    exact = a.double() @ b.double()
    assert ((dot(a, b) - exact).abs() <= 512 * 2**-24 * (a.double().abs() @ b.double().abs())).all()


def test_a_float16_accumulator_is_rounded_on_the_way():
    a = torch.ones(16, 4096, dtype=torch.float16)
    b = torch.full((4096, 16), 2.0**-7, dtype=torch.float16)
    b[0] = 2048.0  # from here on, 16 more columns add an eighth: less than half an ulp
    assert (dot(a, b, out=tl.float16) == 2048).all()
    assert (dot(a, b) > 2079).all()


def test_tf32_drops_thirteen_bits_unless_asked_not_to():
    a, one = draw(torch.float32, shape=(16, 16)), torch.eye(16)
    cut = (a.numpy().view(np.uint32) >> 13 << 13).view(np.float32)
    assert np.array_equal(dot(a, one, how="tf32", tf32=True).numpy(), cut)
    assert np.array_equal(dot(a, one, how=None).numpy(), cut)
    assert torch.equal(dot(a, one, how="tf32", tf32=False), a.double())
    assert torch.equal(dot(a, one, how="ieee"), a.double())


# Philox, written down from Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (SC 2011) --------------------

WORD = 2**32


def philox(counter, key, rounds=10):
    c, k = list(counter), list(key)
    for _ in range(rounds):
        low, high = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [high // WORD ^ c[1] ^ k[0], high % WORD, low // WORD ^ c[3] ^ k[1], low % WORD]
        k = [(k[0] + 0x9E3779B9) % WORD, (k[1] + 0xBB67AE85) % WORD]
    return c


KNOWN = [  # the authors' known answers for philox4x32-10
    ([0] * 4, [0] * 2, [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
    ([WORD - 1] * 4, [WORD - 1] * 2, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
    ([0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344], [0xA4093822, 0x299F31D0],
     [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1]),
]  # fmt: skip


@pytest.mark.parametrize(("counter", "key", "answer"), KNOWN)
def test_our_philox_is_the_papers(counter, key, answer):
    assert philox(counter, key) == answer


@triton.jit
def random_kernel(o_ptr, u_ptr, n_ptr, seed, start, SIZE: tl.constexpr):
    at = tl.arange(0, SIZE)
    a, b, c, d = tl.randint4x(seed, start + at)
    tl.store(o_ptr + at, a)
    tl.store(o_ptr + SIZE + at, b)
    tl.store(o_ptr + 2 * SIZE + at, c)
    tl.store(o_ptr + 3 * SIZE + at, d)
    tl.store(u_ptr + at, tl.rand(seed, start + at))
    tl.store(n_ptr + at, tl.randn(seed, start + at))


@pytest.mark.parametrize("start", [0, 2**31 - 1 - SIZE, 2**33])
@pytest.mark.parametrize("seed", [0, 7, 2**31 - 1, 2**63 - 1])
def test_random_numbers_are_philox(seed, start):
    words, uniform, normal = torch.empty(4, SIZE, dtype=torch.int64), torch.empty(SIZE), torch.empty(SIZE)
    with on_cpu():
        random_kernel[(1,)](words, uniform, normal, seed, start, SIZE=SIZE)
    counters = [[(start + i) % WORD, (start + i) // WORD, 0, 0] for i in range(SIZE)]
    want = np.array([philox(counter, [seed % WORD, seed // WORD]) for counter in counters]).T
    assert np.array_equal(words.numpy() % WORD, want)

    u = [np.abs(np.where(w >= WORD // 2, -(w - WORD) - 1, w)) * 4.6566127342e-10 for w in want[:2]]
    assert np.abs(uniform.numpy() - u[0]).max() <= 2**-23
    assert 0 <= uniform.min() and uniform.max() < 1
    radius = np.sqrt(-2 * np.log(np.maximum(1e-7, u[0])))
    assert np.abs(normal.numpy() - radius * np.cos(2 * np.pi * u[1])).max() < 1e-4


@triton.jit
def high_half(x, y):
    return tl.umulhi(x, y)


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64], ids=str)
def test_umulhi_counts_the_bits_as_unsigned(dtype):
    width = torch.iinfo(dtype).bits
    generator = np.random.default_rng(0)
    x, y = (torch.from_numpy(generator.integers(-(2 ** (width - 1)), 2 ** (width - 1), SIZE)).to(dtype) for _ in "xy")
    want = [(a % 2**width) * (b % 2**width) >> width for a, b in zip(x.tolist(), y.tolist(), strict=True)]
    assert [a % 2**width for a in apply(high_half, x, y).tolist()] == want


# bits ----------------------------------------------------------------------------------------------------------------


def test_the_mark_of_an_unloaded_lane_survives_narrow_sums():
    x = torch.ones(2, 64, dtype=torch.float16)
    x.view(torch.int16)[0, 5] = 0x7F68
    assert is_poison(total(x, 1).numpy()).tolist() == [True, False]


def test_bf16_arithmetic_is_float32_arithmetic_rounded():
    bits = np.random.default_rng(0).integers(0, 2**16, (2, 4096), dtype=np.uint16)
    bits = bits[:, np.isfinite(bf16_to_f32(bits)).all(0)][:, :2048]
    x, y = (torch.from_numpy(row.copy()).view(torch.bfloat16) for row in bits)
    left, right = bf16_to_f32(bits[0]), bf16_to_f32(bits[1])
    with np.errstate(all="ignore"):
        for function, want in ((added, left + right), (multiplied, left * right), (larger, np.maximum(left, right))):
            got = apply(function, x, y).view(torch.int16).numpy().view(np.uint16)
            assert np.array_equal(bf16_to_f32(got), bf16_to_f32(f32_to_bf16(want)), equal_nan=True)
