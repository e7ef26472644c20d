"""Every function of libdevice that runs on the CPU: against fifty digits, exact fractions and Python's whole numbers.
Not here: that triton takes these operands, which is triton's own check."""

import linecache
import math
import re
from fractions import Fraction

import mpmath
import numpy as np
import pytest
import torch
import triton
import triton.language as tl
from triton.language.extra import libdevice

from grader_kernels.interpreter.context import on_cpu
from grader_kernels.interpreter.libdevice import DECLARED, LIBDEVICE, NAMES, function_of
from grader_kernels.language import LIBDEVICE_NAMES

torch.set_num_threads(1)
mpmath.mp.dps = 50
SIZE = 128
FLOATS = {torch.float32: (24, -126), torch.float64: (53, -1022)}  # bits of a number, exponent of the least normal one
INTS = (torch.int32, torch.uint32, torch.int64, torch.uint64)


def jitted(name, count):
    """A jitted kernel that calls libdevice.NAME: one for each, made as a notebook cell would make it."""
    loads = "".join(f"    x{i} = tl.load(x{i}_ptr + at)\n" for i in range(count))
    source = f"@triton.jit\ndef call_{name}({''.join(f'x{i}_ptr, ' for i in range(count))}o_ptr, SIZE: tl.constexpr):\n"
    source += f"    at = tl.arange(0, SIZE)\n{loads}"
    source += f"    tl.store(o_ptr + at, libdevice.{name}({', '.join(f'x{i}' for i in range(count))}))\n"
    linecache.cache[f"<{name}>"] = (len(source), None, source.splitlines(keepends=True), f"<{name}>")
    names = {"triton": triton, "tl": tl, "libdevice": libdevice, "__name__": __name__}
    exec(compile(source, f"<{name}>", "exec"), names)
    return names[f"call_{name}"]


def called(name, *tensors, dtype):
    out = torch.empty(SIZE, dtype=dtype)
    with on_cpu():
        jitted(name, len(tensors))[(1,)](*tensors, out, SIZE=SIZE)
    return out


def drawn(dtype, low, high, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).uniform(low, high, SIZE)).to(dtype)


def any_bits(dtype, seed=0):
    """Numbers of all sizes: every exponent, and both zeros."""
    width = torch.empty(0, dtype=dtype).element_size()
    bits = np.random.default_rng(seed).integers(0, 256, SIZE * width, dtype=np.uint8)
    x = torch.from_numpy(bits).view(dtype).clone()
    if dtype.is_floating_point:
        x = torch.where(x.isfinite(), x, 1.5)
        x[:6] = torch.tensor([0.0, -0.0, 1.0, -1.0, 0.5, 3.0], dtype=dtype)
    return x


# float64 functions: fifty digits -------------------------------------------------------------------------------------


def normal_inverse(p):
    return -mpmath.sqrt(2) * erfc_inverse(2 * p)


def erfc_inverse(y):
    if y > mpmath.mpf("0.1"):
        return mpmath.erfinv(1 - y)
    near = mpmath.sqrt(-mpmath.log(y))
    return mpmath.findroot(lambda x: mpmath.log(mpmath.erfc(x)) - mpmath.log(y), near)


SMOOTH = {name: getattr(mpmath, name) for name in "exp expm1 log10 log1p sqrt hypot sin cos tan sinh cosh tanh".split()}
SMOOTH |= {name: getattr(mpmath, name) for name in "asin acos atan asinh acosh atanh sinpi cospi".split()}
SMOOTH |= {name: getattr(mpmath, name) for name in ("erf", "erfc", "erfinv", "atan2")}
SMOOTH |= {"log": mpmath.log, "log2": lambda x: mpmath.log(x, 2), "exp2": lambda x: mpmath.mpf(2) ** x}
SMOOTH |= {"exp10": lambda x: mpmath.mpf(10) ** x, "rsqrt": lambda x: 1 / mpmath.sqrt(x), "pow": mpmath.power}
SMOOTH |= {"fmod": lambda x, y: x - y * int(x / y), "fdim": lambda x, y: max(x - y, 0)}
SMOOTH |= {"remainder": lambda x, y: x - y * mpmath.nint(x / y), "rsqrt_rn": SMOOTH["rsqrt"]}
SMOOTH |= {"cbrt": lambda x: mpmath.sign(x) * mpmath.cbrt(abs(x)), "fma": lambda x, y, z: x * y + z}
SMOOTH |= {"rcbrt": lambda x: 1 / SMOOTH["cbrt"](x), "rhypot": lambda x, y: 1 / mpmath.hypot(x, y)}
SMOOTH |= {f"norm{n}d": lambda *x: mpmath.sqrt(sum(v * v for v in x)) for n in (3, 4)}
SMOOTH |= {f"rnorm{n}d": lambda *x: 1 / mpmath.sqrt(sum(v * v for v in x)) for n in (3, 4)}
SMOOTH |= {"erfcinv": erfc_inverse, "erfcx": lambda x: mpmath.exp(x * x) * mpmath.erfc(x), "normcdf": mpmath.ncdf}
SMOOTH |= {"normcdfinv": normal_inverse, "lgamma": lambda x: mpmath.log(abs(mpmath.gamma(x))), "tgamma": mpmath.gamma}
SMOOTH |= {"j0": lambda x: mpmath.besselj(0, x), "j1": lambda x: mpmath.besselj(1, x)}
SMOOTH |= {"cyl_bessel_i0": lambda x: mpmath.besseli(0, x), "cyl_bessel_i1": lambda x: mpmath.besseli(1, x)}
SMOOTH |= {f"fast_{name}f": SMOOTH[name] for name in "exp log log2 log10 sin cos tan exp10 pow".split()}
SMOOTH["fast_dividef"] = lambda x, y: x / y

DOMAIN = {"acosh": (1, 5), "atanh": (-0.99, 0.99), "acos": (-1, 1), "asin": (-1, 1), "log1p": (-0.9, 5)}
DOMAIN |= {name: (0.01, 20) for name in "log log2 log10 sqrt rsqrt rsqrt_rn pow fast_logf fast_log2f".split()}
DOMAIN |= {"fast_log10f": (0.01, 20), "fast_powf": (0.01, 20), "erfinv": (-0.999, 0.999), "erfcinv": (1e-6, 1.9)}
DOMAIN |= {"normcdfinv": (1e-4, 0.9), "erfcx": (-3, 40), "lgamma": (-3.5, 20), "tgamma": (-3.5, 20), "j0": (-30, 30)}
DOMAIN |= {"j1": (-30, 30), "cyl_bessel_i0": (-30, 30), "cyl_bessel_i1": (-30, 30), "sinpi": (-9, 9), "cospi": (-9, 9)}
COUNTS = {name: 2 for name in "hypot rhypot pow fmod remainder fdim atan2 fast_powf fast_dividef".split()}
COUNTS |= {"norm3d": 3, "rnorm3d": 3, "fma": 3, "norm4d": 4, "rnorm4d": 4}
# Near their zeros these have digits of their terms only, here as on a GPU.
LOOSER = {"cyl_bessel_i0": 4, "cyl_bessel_i1": 4, "lgamma": 2}  # sums of many terms; what the C library has
SIZE_OF_TERMS = {"j0": 1, "j1": 1, "lgamma": 1, "sinpi": 1, "cospi": 1, "fma": 16, "normcdfinv": 1, "erfcx": 0}


def takes(name, *tensors, dtype):
    """The result, None where triton has no such function of these types."""
    try:
        return called(name, *tensors, dtype=dtype)
    except TypeError as error:
        assert "does not take" in str(error)
        return None


@pytest.mark.parametrize("name", sorted(SMOOTH))
def test_a_function_has_the_digits_of_its_type(name):
    seen = 0
    for dtype, (digits, _) in FLOATS.items():
        sides = [drawn(dtype, *DOMAIN.get(name, (-4, 4)), seed) for seed in range(COUNTS.get(name, 1))]
        got = takes(name, *sides, dtype=dtype)
        if got is None:
            continue
        seen += 1
        for value, *numbers in zip(got.tolist(), *(side.tolist() for side in sides), strict=True):
            exact = SMOOTH[name](*map(mpmath.mpf, numbers))
            size = max(abs(exact), SIZE_OF_TERMS.get(name, 0))
            allowed = 8 * LOOSER.get(name, 1) * mpmath.mpf(2) ** -digits * size + mpmath.mpf(10) ** -300
            assert abs(value - exact) <= allowed, (name, dtype, numbers, value, float(exact))
    assert seen


def test_bessel_functions_of_a_whole_order():
    order, x = torch.arange(SIZE, dtype=torch.int32) % 20, drawn(torch.float64, -30, 30)
    got = called("jn", order, x, dtype=torch.float64)
    for n, value, out in zip(order.tolist(), x.tolist(), got.tolist(), strict=True):
        assert abs(out - mpmath.besselj(n, value)) < 1e-14
    with pytest.raises(NotImplementedError, match="Bessel functions run on the CPU up to"):
        called("j0", torch.full((SIZE,), 1e6), dtype=torch.float32)


ENDS = {
    "lgamma": [(0.0, math.inf), (-3.0, math.inf), (1.0, 0.0), (math.inf, math.inf)],
    "tgamma": [(0.0, math.inf), (-0.0, -math.inf), (-3.0, math.nan), (180.0, math.inf), (5.0, 24.0)],
    "erfinv": [(1.0, math.inf), (-1.0, -math.inf), (1.5, math.nan), (0.0, 0.0)],
    "erfcinv": [(0.0, math.inf), (2.0, -math.inf), (-1.0, math.nan), (1.0, 0.0)],
    "normcdfinv": [(0.0, -math.inf), (1.0, math.inf), (0.5, 0.0)],
    "erfcx": [(math.inf, 0.0), (-30.0, math.inf), (0.0, 1.0)],
    "logb": [(0.0, -math.inf), (-math.inf, math.inf), (8.0, 3.0), (7.9, 2.0), (5e-324, -1074.0)],
    "sinpi": [(1.0, 0.0), (0.5, 1.0), (-1.5, 1.0), (2.0**60, 0.0), (math.inf, math.nan)],
    "cospi": [(1.0, -1.0), (0.5, 0.0), (-1.5, 0.0), (2.0**60, 1.0), (math.inf, math.nan)],
    "round": [(0.5, 1.0), (-0.5, -1.0), (2.5, 3.0), (0.49999999999999994, 0.0), (math.inf, math.inf)],
    "rint": [(0.5, 0.0), (1.5, 2.0), (-2.5, -2.0)],
    "nearbyint": [(0.5, 0.0), (1.5, 2.0), (-2.5, -2.0)],
    "trunc": [(1.9, 1.0), (-1.9, -1.0)],
    "floor": [(1.9, 1.0), (-1.1, -2.0)],
    "ceil": [(1.1, 2.0), (-1.9, -1.0)],
    "abs": [(-1.5, 1.5), (-math.inf, math.inf)],
    "isnan": [(math.nan, 1.0), (1.0, 0.0), (math.inf, 0.0)],
    "isinf": [(math.nan, 0.0), (-math.inf, 1.0), (1.0, 0.0)],
    "isfinited": [(math.nan, 0.0), (-math.inf, 0.0), (1.0, 1.0)],
    "signbit": [(-0.0, 1.0), (0.0, 0.0), (-3.0, 1.0)],
    "cyl_bessel_i1": [(0.0, 0.0), (800.0, math.inf), (-800.0, -math.inf)],
}


@pytest.mark.parametrize("name", sorted(ENDS))
def test_a_function_at_its_ends(name):
    given = ENDS[name]
    x = torch.tensor((given * SIZE)[:SIZE], dtype=torch.float64)
    got = called(name, x[:, 0].contiguous(), dtype=torch.float64)
    assert torch.allclose(got, x[:, 1], rtol=0, atol=1e-15, equal_nan=True), list(zip(given, got.tolist()))


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_functions_that_look_at_bits_of_floats(dtype):
    x, y = any_bits(dtype), any_bits(dtype, 1)
    assert torch.equal(called("copysign", x, y, dtype=dtype), x.copysign(y))
    assert torch.equal(called("nextafter", x, y, dtype=dtype), torch.nextafter(x, y))
    places = torch.arange(SIZE, dtype=torch.int32) - 64
    for name in ("ldexp", "scalbn"):
        assert torch.equal(called(name, x, places, dtype=dtype), torch.from_numpy(np.ldexp(x.numpy(), places.numpy())))
    want = [-(2**31) if v == 0 else math.frexp(v)[1] - 1 for v in x.tolist()]
    assert called("ilogb", x, dtype=torch.int32).tolist() == want
    x[:4] = torch.tensor([math.nan, math.inf, -0.5, 0.25])
    if dtype == torch.float32:
        assert called("saturatef", x, dtype=dtype).tolist() == [0 if v != v else min(max(v, 0), 1) for v in x.tolist()]
        assert called("finitef", x, dtype=torch.int32).bool().tolist() == x.isfinite().tolist()


# Roundings: exact fractions ------------------------------------------------------------------------------------------

TO_WHOLE = {"rn": round, "rz": math.trunc, "rd": math.floor, "ru": math.ceil}  # of a Fraction, round is to even


def to_float(exact, mode, dtype):
    """A fraction as a float of this type, rounded as the definition says."""
    digits, least = FLOATS[dtype]
    if exact == 0:
        return 0.0
    size = exact.numerator.bit_length() - exact.denominator.bit_length()
    size -= abs(exact) < Fraction(2) ** size
    step = Fraction(2) ** (max(size, least) - digits + 1)
    out = TO_WHOLE[mode](exact / step) * step
    largest = (2 - Fraction(2) ** (1 - digits)) * Fraction(2) ** (1 - least)
    size = float(abs(out)) if abs(out) <= largest else beyond(exact, mode, largest)
    return size if exact > 0 else -size


def beyond(exact, mode, largest):
    toward_zero = mode == "rz" or mode == ("rd" if exact > 0 else "ru")
    return float(largest) if toward_zero else math.inf


def root(x):
    """The square root with a hundred digits too many, and something behind them where they are not all."""
    scaled = x * Fraction(4) ** 1200
    whole = math.isqrt(scaled.numerator // scaled.denominator)
    return Fraction(whole + (whole * whole != scaled) * Fraction(1, 2)) / Fraction(2) ** 1200


ROUNDED = {"add": lambda x, y: x + y, "sub": lambda x, y: x - y, "mul": lambda x, y: x * y, "div": lambda x, y: x / y}
ROUNDED |= {"fma": lambda x, y, z: x * y + z, "rcp": lambda x: 1 / x, "sqrt": root}
OPERANDS = {"fma": 3, "rcp": 1, "sqrt": 1}


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("mode", TO_WHOLE)
@pytest.mark.parametrize("name", ROUNDED)
def test_an_operation_rounds_as_it_is_called(name, mode, dtype):
    for draw in (any_bits, lambda dtype, seed: drawn(dtype, 0.5, 2, seed)):
        sides = [draw(dtype, seed) for seed in range(OPERANDS.get(name, 2))]
        sides = [torch.where(side == 0, 1.25, side) for side in sides]
        sides = [side.abs() for side in sides] if name == "sqrt" else sides
        got = called(f"{name}_{mode}", *sides, dtype=dtype).tolist()
        exact = [ROUNDED[name](*map(Fraction, lane)) for lane in zip(*(side.tolist() for side in sides), strict=True)]
        assert got == [to_float(number, mode, dtype) for number in exact]


@pytest.mark.parametrize("mode", TO_WHOLE)
def test_a_sum_that_is_nothing(mode):
    x = drawn(torch.float32, 1, 2)
    zero = torch.zeros(SIZE)
    for out in (called(f"sub_{mode}", x, x, dtype=x.dtype), called(f"fma_{mode}", x, -x, x * x, dtype=x.dtype) * 0):
        assert not out.any()
    assert called(f"sub_{mode}", x, x, dtype=x.dtype).signbit().all() == (mode == "rd")
    assert not called(f"add_{mode}", zero, zero, dtype=x.dtype).signbit().any()


CASTS = [name for name in NAMES if re.fullmatch(r"[a-z]+2[a-z]+_r[nzdu]", name)]
TYPES = {"int": torch.int32, "uint": torch.uint32, "ll": torch.int64, "ull": torch.uint64}
TYPES |= {"float": torch.float32, "double": torch.float64}


@pytest.mark.parametrize("name", CASTS)
def test_a_cast_rounds_as_it_is_called(name):
    source, target, mode = re.split("[2_]", name)
    inside, outside = TYPES[source], TYPES[target]
    x = any_bits(inside)
    if inside.is_floating_point:
        x[SIZE // 2 :] = drawn(inside, -5000, 5000)[SIZE // 2 :]
        x[10:13] = torch.tensor([math.nan, math.inf, -math.inf])
    got = called(name, x, dtype=outside).tolist()
    want = [cast_of(value, mode, outside, wide=inside == torch.float64) for value in x.tolist()]
    assert str(got) == str(want)


def cast_of(value, mode, dtype, wide):
    """PTX, cvt: numbers that do not fit are the nearest that do; NaN is 0, or the top bit where 64 bits are in it."""
    if dtype.is_floating_point:
        return to_float(Fraction(value), mode, dtype) if value and math.isfinite(value) else float(value)
    ends = torch.iinfo(dtype)
    if math.isnan(value):
        top = ends.min or 2 ** (ends.bits - 1)
        return top if wide or ends.bits == 64 else 0
    if math.isinf(value):
        return ends.max if value > 0 else ends.min
    return min(max(TO_WHOLE[mode](Fraction(value)), ends.min), ends.max)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_casts_to_a_long_number(dtype):
    x = drawn(dtype, -100, 100)
    x[:4] = torch.tensor([0.5, 2.5, -0.5, 1e30])
    assert called("llrint", x, dtype=torch.int64).tolist() == [min(round(v), 2**63 - 1) for v in x.tolist()]
    half_away = [int(math.copysign(math.floor(abs(Fraction(v)) + Fraction(1, 2)), v)) for v in x.tolist()[:3]]
    assert called("llround", x, dtype=torch.int64).tolist()[:3] == half_away == [1, 3, -1]


# Whole numbers -------------------------------------------------------------------------------------------------------


def bits(x, width):
    return [(x >> i) & 1 for i in range(width)]


def first(found, x, width):
    return next((i for i in range(width) if found(i)), width)


WHOLE = {
    "clz": lambda x, w: first(lambda i: bits(x, w)[w - 1 - i], x, w),
    "popc": lambda x, w: sum(bits(x, w)),
    "ffs": lambda x, w: (first(lambda i: bits(x, w)[i], x, w) + 1) % (w + 1),
    "brev": lambda x, w: sum(bit << (w - 1 - i) for i, bit in enumerate(bits(x, w))),
    "abs": lambda x, w: abs(x),
    "mulhi": lambda x, y, w: (x * y) // 2**w,
    "mul24": lambda x, y, w: low24(x) * low24(y),
    "hadd": lambda x, y, w: (x + y) // 2,
    "rhadd": lambda x, y, w: (x + y + 1) // 2,
    "sad": lambda x, y, z, w: abs(x - y) + z,
}


def low24(x):
    low = x % 2**24
    return low - 2**24 if x < 0 and low >= 2**23 else low


def numbers(dtype, seed, small=False):
    x = any_bits(dtype, seed)
    x = x.view(torch.int64 if dtype in (torch.int64, torch.uint64) else torch.int32)
    x = x >> 9 if small else x
    x[:3] = torch.tensor([0, 1, -1]) if dtype in (torch.int32, torch.int64) else torch.tensor([0, 1, 5])
    return x.view(dtype)


@pytest.mark.parametrize("name", WHOLE)
def test_a_function_of_whole_numbers(name):
    seen = 0
    for dtype in INTS:
        small = name == "mul24" and dtype == torch.int32  # what is above 24 bits does not count
        sides = [numbers(dtype, seed, small) for seed in range(WHOLE[name].__code__.co_argcount - 1)]
        if name == "sad":
            sides[2] = sides[2].view(torch.uint32) if dtype in (torch.int32, torch.uint32) else sides[2]
        out = torch.int32 if name in ("clz", "popc", "ffs") else dtype
        got = takes(name, *sides, dtype=out)
        if got is None:
            continue
        seen += 1
        width, modulo = 8 * dtype.itemsize, 2 ** (8 * out.itemsize)
        want = [WHOLE[name](*lane, width) % modulo for lane in zip(*(side.tolist() for side in sides), strict=True)]
        assert [value % modulo for value in got.tolist()] == want, dtype
    assert seen


def test_bytes_are_picked():
    x, y, selector = (numbers(torch.int32, seed) for seed in range(3))
    got = called("byte_perm", x, y, selector, dtype=torch.int32)
    for a, b, s, out in zip(x.tolist(), y.tolist(), selector.tolist(), got.tolist(), strict=True):
        eight = [(a >> 8 * i) & 255 for i in range(4)] + [(b >> 8 * i) & 255 for i in range(4)]
        assert [(out >> 8 * i) & 255 for i in range(4)] == [eight[(s >> 4 * i) & 7] for i in range(4)]


def test_bits_change_their_type():
    x, y, z = any_bits(torch.float32), any_bits(torch.float64), any_bits(torch.int32)
    for name in ("float_as_int", "float_as_uint"):
        assert torch.equal(called(name, x, dtype=torch.int32), x.view(torch.int32))
    assert torch.equal(called("int_as_float", x.view(torch.int32), dtype=x.dtype), x)
    assert torch.equal(called("uint_as_float", x.view(torch.uint32), dtype=x.dtype), x)
    assert torch.equal(called("double_as_longlong", y, dtype=torch.int64), y.view(torch.int64))
    assert torch.equal(called("longlong_as_double", y.view(torch.int64), dtype=y.dtype), y)
    halves = y.view(torch.int32).view(SIZE, 2)
    assert torch.equal(called("double2loint", y, dtype=torch.int32), halves[:, 0])
    assert torch.equal(called("double2hiint", y, dtype=torch.int32), halves[:, 1])
    assert torch.equal(called("hiloint2double", halves[:, 1].contiguous(), halves[:, 0].contiguous(), dtype=y.dtype), y)
    assert z.dtype == torch.int32


# All of them ---------------------------------------------------------------------------------------------------------

ALONE = "jn copysign nextafter ldexp scalbn ilogb saturatef finitef llrint llround byte_perm hiloint2double".split()
ALONE += "double2loint double2hiint float_as_int float_as_uint int_as_float uint_as_float".split()
ALONE += ["longlong_as_double", "double_as_longlong"]


def test_every_function_that_runs_is_tested_and_the_others_say_so():
    tested = {*SMOOTH, *ENDS, *WHOLE, *CASTS, *ALONE} | {f"{name}_{mode}" for name in ROUNDED for mode in TO_WHOLE}
    assert tested == set(NAMES) == set(LIBDEVICE)
    assert DECLARED - set(NAMES) == {"rcp64h", "y0", "y1", "yn"}
    for name in ("y0", "rcp64h"):
        with pytest.raises(NotImplementedError, match=f"libdevice.{name} does not run on the CPU"):
            called(name, torch.ones(SIZE, dtype=torch.float64), dtype=torch.float64)
    assert function_of("__nv_clzll") is LIBDEVICE["clz"]


def test_the_gate_lets_through_only_what_runs():
    assert set(NAMES) >= LIBDEVICE_NAMES


@triton.jit
def whole_power_kernel(x_ptr, o_ptr, SIZE: tl.constexpr):
    at = tl.arange(0, SIZE)
    tl.store(o_ptr + at, libdevice.pow(tl.load(x_ptr + at), 3))


def test_libdevice_takes_what_the_compiler_takes():
    x, out = drawn(torch.float32, -4, 4), torch.empty(SIZE)
    with on_cpu():
        whole_power_kernel[(1,)](x, out, SIZE=SIZE)
    torch.testing.assert_close(out, x**3)
    for dtype in (torch.bfloat16, torch.float16, torch.int32):
        with pytest.raises(TypeError, match=r"libdevice.tanh does not take .*: cast with"):
            called("tanh", x.to(dtype), dtype=dtype)
