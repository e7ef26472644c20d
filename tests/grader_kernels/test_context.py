"""The run context: kernels give the numbers a GPU would give, faults are sentences, and everything is put back."""

import math

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
import triton
import triton.language as tl
from hypothesis import given, settings
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from triton.language.extra import libdevice
from triton.runtime.jit import JITFunction

from grader_kernels.interpreter import context
from grader_kernels.interpreter.context import install, on_cpu
from grader_kernels.interpreter.faults import KernelFault
from grader_kernels.interpreter.numbers import bf16_to_f32, f32_to_bf16, round_to_tf32

torch.set_num_threads(1)
SCALE = tl.constexpr(2.0)


@triton.jit
def add_kernel(x_ptr, y_ptr, o_ptr, n, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
    x = tl.load(x_ptr + offsets, mask=mask)
    y = tl.load(y_ptr + offsets, mask=mask)
    tl.store(o_ptr + offsets, x + y, mask=mask)


@triton.jit
def softmax_kernel(x_ptr, o_ptr, row_stride, column_stride, n, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    start_ptr = x_ptr + row * row_stride
    top = -float("inf")
    total = 0.0
    for start in range(0, n, BLOCK):
        offsets = start + tl.arange(0, BLOCK)
        x = tl.load(start_ptr + offsets * column_stride, mask=offsets < n, other=-float("inf"))
        new_top = tl.maximum(top, tl.max(x, 0))
        total = total * tl.exp(top - new_top) + tl.sum(tl.exp(x - new_top), 0)
        top = new_top
    for start in range(0, n, BLOCK):
        offsets = start + tl.arange(0, BLOCK)
        x = tl.load(start_ptr + offsets * column_stride, mask=offsets < n, other=-float("inf"))
        tl.store(o_ptr + row * n + offsets, tl.exp(x - top) / total, mask=offsets < n)


@triton.jit
def scaled(x, factor):
    return x * factor * SCALE


@triton.jit
def helper_kernel(x_ptr, o_ptr, factor, n, BLOCK: tl.constexpr):
    offsets = tl.arange(0, BLOCK)
    tl.store(o_ptr + offsets, scaled(tl.load(x_ptr + offsets, mask=offsets < n), factor), mask=offsets < n)


@triton.jit
def matmul_kernel(
    a_ptr, b_ptr, c_ptr, M, N, K, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr, HOW: tl.constexpr = "ieee"
):
    m = tl.program_id(0) * BM + tl.arange(0, BM)
    n = tl.program_id(1) * BN + tl.arange(0, BN)
    acc = tl.zeros((BM, BN), tl.float32)
    for start in range(0, K, BK):
        k = start + tl.arange(0, BK)
        a = tl.load(a_ptr + m[:, None] * K + k[None, :], mask=(m[:, None] < M) & (k[None, :] < K), other=0.0)
        b = tl.load(b_ptr + k[:, None] * N + n[None, :], mask=(k[:, None] < K) & (n[None, :] < N), other=0.0)
        acc = tl.dot(a, b, acc, input_precision=HOW)
    tl.store(c_ptr + m[:, None] * N + n[None, :], acc, mask=(m[:, None] < M) & (n[None, :] < N))


@triton.jit
def no_other_kernel(x_ptr, o_ptr, n, KIND: tl.constexpr, BLOCK: tl.constexpr):
    offsets = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + offsets, mask=offsets < n)
    if KIND == "sum":
        tl.store(o_ptr, tl.sum(x))
    elif KIND == "max":
        tl.store(o_ptr, tl.max(x, 0))
    else:
        tl.store(o_ptr + offsets, x)


@triton.jit
def shifted_copy_kernel(x_ptr, o_ptr, n, shift, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + offsets + shift)  # no mask
    tl.store(o_ptr + offsets, x, mask=offsets < n)


@triton.jit
def unmasked_store_kernel(o_ptr, BLOCK: tl.constexpr):
    tl.store(o_ptr + tl.arange(0, BLOCK), 1.0)


@triton.jit
def atomic_kernel(x_ptr, o_ptr, n, bins, BLOCK: tl.constexpr):
    offsets = tl.arange(0, BLOCK)
    value = tl.load(x_ptr + offsets, mask=offsets < n, other=0)
    tl.atomic_add(o_ptr + value % bins, 1, mask=offsets < n)


@triton.jit
def wide_atomic_kernel(o_ptr, BLOCK: tl.constexpr):
    tl.atomic_add(o_ptr + tl.arange(0, BLOCK), 1.0)


@triton.jit
def logic_kernel(x_ptr, o_ptr, low, high, BLOCK: tl.constexpr):
    offsets = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + offsets)
    inside = x > low and x < high
    outside = not inside
    either = x < low or outside
    tl.store(o_ptr + offsets, inside.to(tl.int32) + 2 * outside.to(tl.int32) + 4 * either.to(tl.int32))


@triton.jit
def tile_if_kernel(x_ptr, BLOCK: tl.constexpr):
    x = tl.load(x_ptr + tl.arange(0, BLOCK))
    if x > 0:
        tl.store(x_ptr + tl.arange(0, BLOCK), x)


@triton.jit
def compose(m1, b1, m2, b2):
    return m1 * m2, b1 * m2 + b2


@triton.jit
def scan_kernel(m_ptr, b_ptr, o_ptr, BLOCK: tl.constexpr):
    offsets = tl.arange(0, BLOCK)
    m, b = tl.load(m_ptr + offsets), tl.load(b_ptr + offsets)
    _, out = tl.associative_scan((m, b), 0, compose)
    tl.store(o_ptr + offsets, out)


@triton.jit
def smaller(a, b):
    return tl.minimum(a, b)


@triton.jit
def custom_reduce_kernel(x_ptr, o_ptr, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    at = tl.arange(0, ROWS)[:, None] * COLUMNS + tl.arange(0, COLUMNS)[None, :]
    tl.store(o_ptr + tl.arange(0, ROWS), tl.reduce(tl.load(x_ptr + at), 1, smaller))


@triton.jit
def methods_kernel(x_ptr, o_ptr, BLOCK: tl.constexpr):
    x = tl.load(x_ptr + tl.arange(0, BLOCK))
    tl.store(o_ptr, x.sum(0))
    tl.store(o_ptr + 1, x.max(0))
    tl.store(o_ptr + 2, tl.argmax(x, 0).to(tl.float32))
    tl.store(o_ptr + 3, tl.sum(libdevice.tanh(x), 0))


@triton.jit
def cast_kernel(x_ptr, o_ptr, BLOCK: tl.constexpr):
    offsets = tl.arange(0, BLOCK)
    tl.store(o_ptr + offsets, tl.load(x_ptr + offsets).to(tl.bfloat16))


@triton.jit
def bf16_arithmetic_kernel(x_ptr, y_ptr, o_ptr, less_ptr, BLOCK: tl.constexpr):
    offsets = tl.arange(0, BLOCK)
    x, y = tl.load(x_ptr + offsets), tl.load(y_ptr + offsets)
    tl.store(o_ptr + offsets, x * y + x - tl.maximum(x, y))
    tl.store(less_ptr + offsets, (x < y).to(tl.float32))


@triton.jit
def descriptor_kernel(x_ptr, o_ptr, M, N, BM: tl.constexpr, BN: tl.constexpr):
    x = tl.make_tensor_descriptor(x_ptr, shape=[M, N], strides=[N, 1], block_shape=[BM, BN])
    o = tl.make_tensor_descriptor(o_ptr, shape=[M, N], strides=[N, 1], block_shape=[BM, BN])
    o.store([0, 0], x.load([0, 0]) * 2)


def launch(kernel, grid, *args, **meta):
    with on_cpu():
        kernel[grid](*args, **meta)


def draw(*shape, seed=0, dtype=torch.float32):
    rng = np.random.Generator(np.random.Philox(seed))
    return torch.from_numpy(rng.standard_normal(shape)).to(dtype)


# numbers ------------------------------------------------------------------------------------------------------------


def test_vector_add_with_a_ragged_tail():
    x, y, out = draw(200), draw(200, seed=1), torch.full((200,), math.nan)
    launch(add_kernel, (4,), x, y, out, 200, BLOCK=64)
    assert torch.equal(out, x + y)


@pytest.mark.parametrize("n", [1, 64, 65, 200])
def test_softmax_with_rows_wider_than_a_block(n):
    x = draw(7, n) * 6 + 100
    out = torch.empty_like(x)
    launch(softmax_kernel, (7,), x, out, x.stride(0), x.stride(1), n, BLOCK=64)
    torch.testing.assert_close(out, x.softmax(1))


def test_strided_input():
    x = draw(50, 9).t()
    out = torch.empty(9, 50)
    launch(softmax_kernel, (9,), x, out, x.stride(0), x.stride(1), 50, BLOCK=32)
    torch.testing.assert_close(out, x.softmax(1))


def test_device_function_and_constexpr_global():
    x, out = draw(20), torch.empty(20)
    launch(helper_kernel, (1,), x, out, 1.5, 20, BLOCK=32)
    torch.testing.assert_close(out, x * 3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_dot_against_float64(dtype):
    a, b = draw(37, 100, dtype=dtype), draw(100, 21, seed=1, dtype=dtype)
    out = torch.empty(37, 21)
    launch(matmul_kernel, (3, 2), a, b, out, 37, 21, 100, BM=16, BN=16, BK=32)
    exact = a.double() @ b.double()
    assert (out.double() - exact).abs().max() < 1e-5 * exact.abs().max()


def test_tf32_cuts_unless_the_kernel_or_the_context_asks_for_more():
    a, b = draw(16, 16), torch.eye(16)
    plain, asked, rounded = (torch.empty(16, 16) for _ in range(3))
    launch(matmul_kernel, (1, 1), a, b, asked, 16, 16, 16, BM=16, BN=16, BK=16)
    launch(matmul_kernel, (1, 1), a, b, rounded, 16, 16, 16, BM=16, BN=16, BK=16, HOW=None)
    with on_cpu(tf32=False):
        matmul_kernel[(1, 1)](a, b, plain, 16, 16, 16, BM=16, BN=16, BK=16, HOW=None)
    assert torch.equal(plain, a) and torch.equal(asked, a)
    assert 2**-11 < ((rounded - a) / a).abs().max() < 2**-10  # cut off, not rounded: a tensor core reads 19 bits
    assert np.array_equal(rounded.numpy(), round_to_tf32(a.numpy()))


def test_bf16_arithmetic_and_comparison():
    x, y = draw(64, dtype=torch.bfloat16), draw(64, seed=1, dtype=torch.bfloat16)
    out, less = torch.empty_like(x), torch.empty(64)
    launch(bf16_arithmetic_kernel, (1,), x, y, out, less, BLOCK=64)
    assert torch.equal(out, x * y + x - torch.maximum(x, y))
    assert torch.equal(less, (x < y).float())


def test_cast_to_bf16_rounds_as_torch_does():
    specials = torch.tensor([math.inf, -math.inf, 0.0, -0.0, 1.00390625, 1.01171875, 3.4e38, 1e-40])
    x = torch.cat([draw(56) * 1e3, specials])
    out = torch.empty(64, dtype=torch.bfloat16)
    launch(cast_kernel, (1,), x, out, BLOCK=64)
    assert torch.equal(out, x.bfloat16())


def test_bf16_codec_covers_every_pattern():
    bits = np.arange(65536, dtype=np.uint16)
    values = bf16_to_f32(bits)
    number = ~np.isnan(values)
    assert np.array_equal(f32_to_bf16(values)[number], bits[number])
    assert np.isnan(bf16_to_f32(f32_to_bf16(values[~number]))).all()


@pytest.mark.parametrize("kind", ["sum", "max", "copy"])
def test_masked_load_without_other_is_nan(kind):
    x, out = -draw(20).abs(), torch.zeros(32)
    launch(no_other_kernel, (1,), x, out, 20, KIND=kind, BLOCK=32)
    assert out[20:].isnan().all() if kind == "copy" else out[0].isnan()
    if kind == "copy":
        assert torch.equal(out[:20], x)


def test_masked_integer_load_without_other_is_garbage():
    x, out = torch.ones(20, dtype=torch.int32), torch.zeros(32, dtype=torch.int32)
    launch(no_other_kernel, (1,), x, out, 20, KIND="copy", BLOCK=32)
    assert (out[20:] == 0x5A5A5A5A).all()


def test_the_kernels_own_nan_does_not_win_a_max():
    x, out = torch.tensor([1.0, math.nan, 3.0, 2.0]), torch.zeros(4)
    launch(no_other_kernel, (1,), x, out, 4, KIND="max", BLOCK=4)
    assert out[0] == 3.0


def test_atomics_count():
    x, out = torch.arange(50, dtype=torch.int32), torch.zeros(7, dtype=torch.int32)
    launch(atomic_kernel, (1,), x, out, 50, 7, BLOCK=64)
    assert torch.equal(out, torch.bincount(x % 7).int())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_float_atomics(dtype):
    out = torch.zeros(16, dtype=dtype)
    launch(wide_atomic_kernel, (3,), out, BLOCK=16)
    assert (out == 3).all()


def test_and_or_not_work_lane_by_lane():
    x, out = draw(64), torch.zeros(64, dtype=torch.int32)
    launch(logic_kernel, (1,), x, out, -0.5, 0.5, BLOCK=64)
    inside = (x > -0.5) & (x < 0.5)
    assert torch.equal(out, inside.int() + 2 * (~inside).int() + 4 * ((x < -0.5) | ~inside).int())


def test_if_on_a_tile_says_what_to_do():
    with pytest.raises(TypeError, match="tl.where"):
        launch(tile_if_kernel, (1,), draw(8), BLOCK=8)


def test_associative_scan_with_a_tuple():
    m, b, out = draw(32), draw(32, seed=1), torch.empty(32)
    launch(scan_kernel, (1,), m, b, out, BLOCK=32)
    state, expected = 0.0, []
    for i in range(32):
        state = float(m[i]) * state + float(b[i])
        expected.append(state)
    torch.testing.assert_close(out, torch.tensor(expected), rtol=1e-4, atol=1e-5)


def test_custom_reduction():
    x, out = draw(4, 16), torch.empty(4)
    launch(custom_reduce_kernel, (1,), x, out, ROWS=4, COLUMNS=16)
    assert torch.equal(out, x.amin(1))


def test_methods_of_tiles_and_libdevice():
    x, out = draw(32), torch.empty(4)
    launch(methods_kernel, (1,), x, out, BLOCK=32)
    torch.testing.assert_close(out, torch.stack([x.sum(), x.max(), x.argmax().float(), x.tanh().sum()]))


def test_tensor_descriptors():
    x, out = draw(8, 16), torch.empty(8, 16)
    launch(descriptor_kernel, (1,), x, out, 8, 16, BM=8, BN=16)
    assert torch.equal(out, x * 2)


@settings(max_examples=40, deadline=None)
@given(
    rows=st.integers(1, 5),
    n=st.integers(1, 90),
    log_block=st.integers(0, 6),
    step=st.integers(1, 3),
    seed=st.integers(0, 99),
)
def test_any_shape_block_and_stride_agrees_with_torch(rows, n, log_block, step, seed):
    x = draw(rows, n * step, seed=seed)[:, ::step]
    out = torch.full((rows, n), math.nan)
    launch(softmax_kernel, (rows,), x, out, x.stride(0), x.stride(1), n, BLOCK=2**log_block)
    torch.testing.assert_close(out, x.softmax(1), rtol=1e-5, atol=1e-6)


# bounds -------------------------------------------------------------------------------------------------------------


def test_reading_one_past_the_end_names_element_kernel_and_line():
    x, out = draw(200), torch.empty(200)
    with pytest.raises(KernelFault) as caught:
        launch(shifted_copy_kernel, (4,), x, out, 200, 0, BLOCK=64)
    fault = caught.value
    assert (fault.kernel, fault.tensor, fault.element, fault.program) == (
        "shifted_copy_kernel",
        "x_ptr",
        200,
        (3, 0, 0),
    )
    assert "element 200 of x_ptr, which has 200 elements" in str(fault)
    assert "`x = tl.load(x_ptr + offsets + shift)  # no mask`" in str(fault)
    assert open(__file__).read().split("\n")[fault.line - 1].strip().startswith("x = tl.load(x_ptr + offsets + shift)")


@pytest.mark.parametrize("shift", [10**9, -(10**9), -1])
def test_far_and_negative_addresses_do_not_kill_the_process(shift):
    with pytest.raises(KernelFault, match="element"):
        launch(shifted_copy_kernel, (1,), draw(64), torch.empty(64), 64, shift, BLOCK=64)


def test_landing_in_another_tensor_of_the_launch_is_a_fault_too():
    memory = torch.zeros(128)
    near, far = torch.frombuffer(memory.numpy(), dtype=torch.float32, count=64), memory[64:]
    with pytest.raises(KernelFault, match="element 64 of x_ptr"):
        launch(shifted_copy_kernel, (1,), near, far, 64, 64, BLOCK=64)


def test_stores_and_atomics_are_checked_before_they_write():
    memory = torch.zeros(40)
    out = torch.frombuffer(memory.numpy(), dtype=torch.float32, count=20)
    for kernel, verb in ((unmasked_store_kernel, "writes"), (wide_atomic_kernel, "updates")):
        with pytest.raises(KernelFault, match=f"{verb} element 20 of o_ptr"):
            launch(kernel, (1,), out, BLOCK=32)
    assert not memory.any()


def test_an_error_inside_a_kernel_says_where():
    with pytest.raises(ValueError) as caught:
        launch(add_kernel, (1,), draw(8), draw(8), torch.empty(8), 8, BLOCK=12)
    assert "add_kernel" in caught.value.__notes__[0] and "tl.arange" in caught.value.__notes__[0]


def test_a_wrong_argument_or_grid_is_one_sentence():
    x = draw(8)
    with pytest.raises(TypeError, match="add_kernel has no parameter BLOKC"):
        launch(add_kernel, (1,), x, x, x, 8, BLOKC=8)
    with pytest.raises(TypeError, match="missing a required argument"):
        launch(add_kernel, (1,), x, x, x, 8)
    with pytest.raises(TypeError, match="whole numbers"):
        launch(add_kernel, (8 / 4,), x, x, x, 8, BLOCK=8)
    with pytest.raises(ValueError, match="between 0 and 65535"):
        launch(add_kernel, (1, 70000), x, x, x, 8, BLOCK=8)


def test_grid_may_be_a_function_of_the_arguments():
    x, out = draw(100), torch.empty(100)
    launch(add_kernel, lambda meta: (triton.cdiv(meta["n"], meta["BLOCK"]),), x, x, out, 100, BLOCK=32, num_warps=2)
    assert torch.equal(out, 2 * x)


# the context --------------------------------------------------------------------------------------------------------


def compile_for_sm80(kernel):
    signature = dict(x_ptr="*fp32", o_ptr="*fp32", row_stride="i32", column_stride="i32", n="i32", BLOCK="constexpr")
    source = ASTSource(fn=kernel, signature=signature, constexprs={"BLOCK": 64})
    return triton.compile(source, target=GPUTarget("cuda", 80, 32)).asm["ptx"]


def test_interpret_compile_interpret(tmp_path, monkeypatch):
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    x = draw(3, 100)
    for _ in range(2):
        out = torch.empty_like(x)
        launch(softmax_kernel, (3,), x, out, 100, 1, 100, BLOCK=64)
        torch.testing.assert_close(out, x.softmax(1))
        assert ".target sm_80" in compile_for_sm80(softmax_kernel)


def test_compiling_works_inside_the_context_too(tmp_path, monkeypatch):
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    with on_cpu():
        assert ".target sm_80" in compile_for_sm80(softmax_kernel)


def test_a_launch_adds_no_names_to_the_learners_globals():
    before = set(globals())
    launch(add_kernel, (1,), draw(8), draw(8), torch.empty(8), 8, BLOCK=8)
    assert set(globals()) == before


def test_contexts_nest_and_close():
    original = JITFunction.run
    with on_cpu():
        with on_cpu(quiet=True):
            add_kernel[(1,)](draw(8), draw(8), torch.empty(8), 8, BLOCK=8)
        assert JITFunction.run is not original
        add_kernel[(1,)](draw(8), draw(8), torch.empty(8), 8, BLOCK=8)
    assert JITFunction.run is original


def test_install_stays_and_repeats(monkeypatch):
    original = JITFunction.run
    try:
        install()
        install()
        with on_cpu():
            pass
        out = torch.empty(8)
        add_kernel[(1,)](torch.ones(8), torch.ones(8), out, 8, BLOCK=8)
        assert (out == 2).all()
    finally:
        context._leave(context._installed.pop())
    assert JITFunction.run is original


def test_a_real_tensor_goes_to_the_real_launch(monkeypatch):
    called = []
    with on_cpu(), monkeypatch.context() as patch:  # undone before the context puts the original back
        patch.setitem(context._originals, "run", lambda self, *args, **kwargs: called.append(args))
        patch.setattr(context, "tensors_in", lambda values: [type("T", (), {"is_cuda": True})()])
        add_kernel[(1,)]("cuda tensor", BLOCK=8)
    assert called == [("cuda tensor",)]


@triton.jit
def two_bytes_on_kernel(x_ptr, o_ptr, N: tl.constexpr):
    bytes_ptr = x_ptr.to(tl.pointer_type(tl.int8), bitcast=True) + 2
    at = tl.arange(0, N)
    x = tl.load(bytes_ptr.to(tl.pointer_type(tl.int32), bitcast=True) + at)
    out_ptr = (o_ptr.to(tl.pointer_type(tl.int8), bitcast=True) + 2).to(tl.pointer_type(tl.int32), bitcast=True)
    tl.store(out_ptr + at, x)


def test_an_address_between_two_elements_is_read_and_written_where_it_is():
    x, out = torch.arange(1, 10, dtype=torch.int32) * 70_000, torch.zeros(9, dtype=torch.int32)
    with on_cpu():
        two_bytes_on_kernel[(1,)](x, out, N=8)
    assert torch.equal(out.view(torch.int8)[2:34], x.view(torch.int8)[2:34])
    assert not out.view(torch.int8)[[0, 1, 34, 35]].any()
