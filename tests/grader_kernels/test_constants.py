"""A constant in an operation with a tensor: the tensor decides, as in triton's compiler, on whichever side it stands.
Not here: the numbers of operations among tensors (test_numbers)."""

import operator

import pytest
import torch
import triton
import triton.language as tl

from grader_kernels.interpreter import recipes
from grader_kernels.interpreter.context import on_cpu

torch.set_num_threads(1)
BLOCK = tl.constexpr(4)
FORGET, CELL = tl.constexpr(1), tl.constexpr(2)
SEVEN, HALF, NOTHING = tl.constexpr(7), tl.constexpr(0.5), tl.constexpr(None)
KIND = tl.constexpr(tl.float16)


@triton.jit
def numbered_kernel(out_ptr):
    lane = tl.arange(0, BLOCK)
    tl.store(out_ptr + (BLOCK * tl.program_id(0) + lane), tl.program_id(0) + 1)


@triton.jit
def gates_kernel(x_ptr, out_ptr, width):
    tl.store(out_ptr, tl.load(x_ptr + FORGET * width))
    tl.store(out_ptr + 1, tl.load(x_ptr + CELL * width))


def test_a_global_constant_on_the_left_of_a_product():
    out = torch.zeros(12, dtype=torch.int32)
    gates = torch.zeros(2)
    with on_cpu():
        numbered_kernel[(3,)](out)
        gates_kernel[(1,)](torch.arange(100.0), gates, 10)
    assert out.tolist() == [1] * 4 + [2] * 4 + [3] * 4
    assert gates.tolist() == [10, 20]


@pytest.mark.parametrize("width", [1, 2, 3, 17, 33])
def test_the_same_kernel_with_another_number(width):
    gates = torch.zeros(2)
    with on_cpu():
        gates_kernel[(1,)](torch.arange(100.0), gates, width)
    assert gates.tolist() == [width, 2 * width]


OPERATORS = "+ - * // % & | ^ << >> < <= > >= == !=".split()


def both_sides(sign):
    """A kernel that stores SEVEN <sign> x, x <sign> SEVEN and the same behind a pointer."""
    source = f"""
@triton.jit
def sides_kernel(x_ptr, o_ptr):
    at = tl.arange(0, 8)
    x = tl.load(x_ptr + at)
    tl.store(o_ptr + at, SEVEN {sign} x)
    tl.store(o_ptr + 8 + at, x {sign} SEVEN)
    tl.store(o_ptr + (16 + at), (SEVEN {sign} tl.load(x_ptr + 2)) + 0 * x)
"""
    return made(source, "sides_kernel")


def made(source, name):
    """A kernel from a text, as a notebook cell would make it."""
    import linecache

    file = f"<{name} {abs(hash(source))}>"
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    names = dict(globals())
    exec(compile(source, file, "exec"), names)
    return names[name]


WORDS = "add sub mul floordiv mod and_ or_ xor lshift rshift lt le gt ge eq ne".split()
PYTHON = dict(zip(OPERATORS, WORDS, strict=True))


@pytest.mark.parametrize("sign", OPERATORS)
def test_constants_and_tensors_on_both_sides(sign):
    """Positive operands, so Python's numbers are C's."""
    compute, kernel = getattr(operator, PYTHON[sign]), both_sides(sign)
    for first in (1, 2, 5, 9, 23):  # five inputs under the same recipes
        x = torch.arange(first, first + 8, dtype=torch.int32)
        out = torch.zeros(24, dtype=torch.int32)
        with on_cpu():
            kernel[(1,)](x, out)
        values = x.tolist()
        left = [compute(7, v) for v in values]
        right = [compute(v, 7) for v in values]
        wrapped = [(v + 2**31) % 2**32 - 2**31 for v in [*left, *right, *[left[2]] * 8]]
        assert out.tolist() == wrapped


@triton.jit
def halves_kernel(x_ptr, o_ptr):
    at = tl.arange(0, 4)
    tl.store(o_ptr + at, HALF * tl.load(x_ptr + at))
    tl.store(o_ptr + 4 + at, HALF / tl.load(x_ptr + at))
    tl.store(o_ptr + 8 + at, HALF - tl.load(x_ptr + at).to(KIND))
    tl.store(o_ptr + 12 + at, HALF % tl.load(x_ptr + at))


@pytest.mark.parametrize("first", [1, 2, 3, 8, 100])
def test_a_float_among_constants(first):
    x, out = torch.arange(first, first + 4, dtype=torch.float32), torch.zeros(16)
    with on_cpu():
        halves_kernel[(1,)](x, out)
    assert torch.equal(out.view(4, 4), torch.stack([x / 2, 0.5 / x, 0.5 - x, torch.fmod(torch.full_like(x, 0.5), x)]))


@triton.jit
def constants_kernel(o_ptr, C: tl.constexpr):
    tl.store(o_ptr, SEVEN**2 - 2**C)
    tl.store(o_ptr + 1, 20 % SEVEN + (1 << C) + (SEVEN & 6) + (8 | SEVEN) + (5 ^ SEVEN) + (100 >> CELL))
    tl.store(o_ptr + 2, max(SEVEN, C) * min(SEVEN, C) + int(HALF * 4) + len((1, 2, 3)))
    tl.store(o_ptr + 3, (NOTHING is None) + (SEVEN is not None))
    tl.store(o_ptr + 4, float(SEVEN) * 2 + KIND.primitive_bitwidth)
    tl.static_assert(SEVEN == 7, f"{SEVEN} is seven")
    tl.static_assert(SEVEN // CELL == 3 and not SEVEN < CELL)


def test_constants_among_themselves():
    out = torch.zeros(5)
    with on_cpu():
        constants_kernel[(1,)](out, C=3)
    assert out.tolist() == [49 - 8, 6 + 8 + 6 + 15 + 2 + 25, 7 * 3 + 2 + 3, 2, 30]


@triton.jit
def printing_kernel(o_ptr):
    tl.static_print(f"{SEVEN} and {HALF!r}", CELL)
    tl.static_assert(SEVEN == CELL, f"{SEVEN} is not {CELL}")


def test_texts_hold_what_a_constant_is(capsys):
    with on_cpu(), pytest.raises(AssertionError, match="7 is not 2"):
        printing_kernel[(1,)](torch.zeros(1))
    assert capsys.readouterr().out == "7 and 0.5 2\n"


@triton.jit
def power(x, n: tl.constexpr):
    if n == 0:
        return x * 0 + 1
    return x * power(x, n - 1)


@triton.jit
def powers_kernel(x_ptr, o_ptr):
    for i in tl.static_range(5):
        tl.store(o_ptr + i, power(tl.load(x_ptr), i) + (1 << i))


@pytest.mark.parametrize("x", [-3, 0, 1, 2, 9])
def test_a_helper_calls_itself_with_another_constant(x):
    out = torch.zeros(5, dtype=torch.int32)
    with on_cpu():
        powers_kernel[(1,)](torch.tensor([x], dtype=torch.int32), out)
    assert out.tolist() == [x**i + 2**i for i in range(5)]


@triton.jit
def asking_kernel(x_ptr, o_ptr, C: tl.constexpr):
    x = tl.load(x_ptr)
    if isinstance(x, tl.tensor):
        tl.store(o_ptr, 1)
    if isinstance(C, int):
        tl.store(o_ptr + 1, 1)
    if isinstance(C, tl.tensor):
        tl.store(o_ptr + 2, 1)


def test_isinstance_tells_tensors_from_constants():
    out = torch.zeros(3)
    with on_cpu():
        asking_kernel[(1,)](torch.zeros(1), out, C=3)
    assert out.tolist() == [1, 1, 0]


@triton.jit
def names_kernel(o_ptr, C: tl.constexpr):
    a, b = -7, 2
    tl.store(o_ptr, a // b)
    c = C
    c -= 10
    tl.store(o_ptr + 1, c // 2)
    tl.store(o_ptr + 2, (C - 10) // 2)  # of constants alone it is Python's
    tl.store(o_ptr + 3, (-7 if tl.program_id(0) == 0 else 0) // 2)
    tl.store(o_ptr + 4, max(tl.program_id(0) - 7, -9) // 2)


@triton.jit
def changed_kernel(o_ptr, C: tl.constexpr):
    C -= 10
    tl.store(o_ptr, C // 2)


def test_a_number_behind_a_name_is_a_tensor():
    out, changed = torch.zeros(5, dtype=torch.int32), torch.zeros(1, dtype=torch.int32)
    with on_cpu():
        names_kernel[(1,)](out, C=3)
        changed_kernel[(1,)](changed, C=3)
    assert out.tolist() == [-3, -3, -4, -3, -3]
    assert changed.tolist() == [-3]


def test_a_constant_that_holds_a_tensor_is_no_key_of_a_recipe():
    tensor = tl.tensor(None, tl.int32)
    for value in (tl.constexpr(tensor), [tl.constexpr(tensor)], (1, tl.constexpr(tensor))):
        with pytest.raises(TypeError):
            recipes.kind(value)
    assert recipes.kind(tl.constexpr(3)) != recipes.kind(tl.constexpr(4))
