"""For any shapes, strides, offsets and block sizes the run context computes what torch does, with the reference kernel
of every problem; and whatever happens in it, triton is left as it was. A problem without a row in PROBLEMS is tried
with its own cases, on other numbers and in other layouts."""

import importlib
import inspect
import math
import os
from functools import cache, partial
from typing import NamedTuple

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
import triton
import triton.language as tl
from hypothesis import HealthCheck, given, settings
from triton.runtime.autotuner import Autotuner, Heuristics
from triton.runtime.driver import driver
from triton.runtime.jit import JITCallable, JITFunction, KernelInterface

from autograder.authoring import kernels
from grader_kernels import problem
from grader_kernels.compiling.compiler import compile_launches
from grader_kernels.interpreter.context import on_cpu
from grader_kernels.interpreter.faults import KernelFault
from grader_kernels.interpreter.launch import Observer
from grader_kernels.interpreter.programs import tensors_in
from grader_kernels.judging import agree
from grader_kernels.replaying.replay import local_launch
from grader_kernels.replaying.trace import record

torch.set_num_threads(1)
FLOATS = (torch.float32, torch.float16, torch.bfloat16)
HALVES = FLOATS[1:]
calm = partial(settings, deadline=None, suppress_health_check=[HealthCheck.too_slow])

sizes = partial(st.integers, 1)


def powers(low, high):
    return st.integers(low, high).map(lambda n: 2**n)


def generators():
    return st.integers(0, 2**32 - 1).map(np.random.default_rng)


@st.composite
def tensors(draw, *shape, dtype=torch.float32, spread=1.0, layout="any"):
    """Normal numbers at any offset. layout: "any" strides, "rows" (neighbours of the last axis adjoin), "dense"."""
    return draw(placed(problem.normal(draw(generators()), *shape, spread=spread, dtype=dtype), layout))


@st.composite
def placed(draw, values, layout="any"):
    """The same values in a larger piece of memory: axes in any order, gaps between them, anywhere in it."""
    last = values.dim() - 1
    axes = draw(st.permutations(range(values.dim()))) if layout == "any" else list(range(last, -1, -1))
    strides, reach = [0] * values.dim(), 1
    for axis in axes:
        dense = layout == "dense" or (layout == "rows" and axis == last)
        strides[axis] = reach * (1 if dense else draw(st.integers(1, 3))) + (0 if dense else draw(st.integers(0, 2)))
        reach = strides[axis] * values.shape[axis]
    offset = draw(st.integers(0, 5))
    memory = torch.zeros(offset + reach, dtype=values.dtype)
    return memory.as_strided(values.shape, strides, offset).copy_(values)


# what each problem is called with ------------------------------------------------------------------------------------


@st.composite
def vectors(draw, *numbers):
    dtype, n = draw(st.sampled_from(FLOATS)), draw(sizes(300))
    x, y = (draw(tensors(n, dtype=dtype, spread=5)) for _ in range(2))
    return (x, y, *(draw(number) for number in numbers)), {"block": draw(powers(0, 9))}


@st.composite
def rows(draw):
    dtype = draw(st.sampled_from([torch.float32, torch.float16]))
    x = draw(tensors(draw(sizes(5)), draw(sizes(130)), dtype=dtype, spread=draw(st.sampled_from([0.1, 3, 400]))))
    return (x,), {"block": draw(powers(0, 8))}


@st.composite
def masked_scores(draw):
    shape = draw(sizes(5)), draw(sizes(130))
    scores = draw(tensors(*shape, spread=3))
    mask = torch.from_numpy(draw(generators()).random(shape) < draw(st.sampled_from([0.0, 0.05, 0.6, 1.0])))
    mask = mask[:1].expand(shape) if draw(st.booleans()) else draw(placed(mask))
    return (scores, mask, draw(st.floats(2**-6, 4, width=32))), {"block": draw(powers(0, 8))}


@st.composite
def gates(draw):
    dtype, many, width = draw(st.sampled_from([torch.float32, torch.float16])), draw(sizes(4)), draw(sizes(70))
    from_x, from_h = (draw(tensors(many, 4 * width, dtype=dtype, spread=2)) for _ in range(2))
    return (from_x, from_h, draw(tensors(many, width, dtype=dtype))), {"block": draw(powers(0, 7))}


@st.composite
def to_normalise(draw, count):
    dtype, shape = draw(st.sampled_from(FLOATS)), (draw(sizes(4)), draw(sizes(300)))
    given_ones = [draw(tensors(*shape, dtype=dtype)) for _ in range(count)]
    weight = draw(tensors(shape[1], dtype=dtype, layout="dense"))
    return (*given_ones, weight), {"eps": draw(st.sampled_from([1e-6, 1e-3]))}


@st.composite
def to_normalise_backward(draw):
    args, kwargs = draw(to_normalise(2))
    return args, {**kwargs, "programs": draw(sizes(6))}


@st.composite
def classes(draw):
    shape = draw(sizes(5)), draw(sizes(130))
    logits = draw(tensors(*shape, dtype=draw(st.sampled_from(FLOATS)), spread=draw(st.sampled_from([0.1, 3, 100]))))
    ignore = draw(st.sampled_from([-100, -1]))
    targets = draw(st.lists(st.just(ignore) | st.integers(0, shape[1] - 1), min_size=shape[0], max_size=shape[0]))
    return (logits, draw(placed(torch.tensor(targets), "dense"))), {"block": draw(powers(0, 8)), "ignore": ignore}


@st.composite
def matrices(draw):
    m, n, k = (draw(sizes(50)) for _ in range(3))
    dtype = draw(st.sampled_from(HALVES))
    a, b = draw(tensors(m, k, dtype=dtype)), draw(tensors(k, n, dtype=dtype))
    blocks = {name: draw(powers(4, 6)) for name in ("block_m", "block_n", "block_k")}
    return (a, b), {"out_dtype": draw(st.sampled_from([None, torch.float32])), **blocks}


@st.composite
def layers(draw):
    m, n, k = (draw(sizes(50)) for _ in range(3))
    dtype = draw(st.sampled_from(HALVES))
    x, w = draw(tensors(m, k, dtype=dtype)), draw(tensors(n, k, dtype=dtype))
    blocks = {name: draw(powers(4, 6)) for name in ("block_m", "block_n", "block_k")}
    return (x, w, draw(tensors(n, dtype=torch.float32, layout="dense"))), blocks


@st.composite
def attention(draw):
    dtype, causal, d = draw(st.sampled_from(FLOATS)), draw(st.booleans()), draw(powers(4, 5))
    batch, shared, groups, keys = draw(sizes(2)), draw(sizes(2)), draw(sizes(2)), draw(sizes(50))
    queries = draw(sizes(keys if causal else 50))
    q = draw(tensors(batch, groups * shared, queries, d, dtype=dtype, layout="rows"))
    k, v = (draw(tensors(batch, groups, keys, d, dtype=dtype, layout="rows")) for _ in range(2))
    return (q, k, v), {"causal": causal, "block_m": draw(powers(4, 5)), "block_n": draw(powers(4, 5))}


@st.composite
def packed_weights(draw):
    dtype, block = draw(st.sampled_from([torch.float16, torch.bfloat16])), draw(powers(5, 6))
    m, n, groups, group = draw(sizes(40)), draw(sizes(50)), draw(sizes(3)), block * draw(sizes(2))
    generator = draw(generators())
    packed = torch.from_numpy(generator.integers(0, 256, (groups * group // 2, n), dtype=np.uint8))
    scales = torch.from_numpy(generator.uniform(0.002, 0.02, (groups, n))).to(dtype)
    x = draw(tensors(m, groups * group, dtype=dtype))
    blocks = {"block_m": draw(powers(4, 5)), "block_n": draw(powers(4, 6)), "block_k": block}
    return (x, draw(placed(packed, "dense")), draw(placed(scales, "dense"))), blocks


@st.composite
def pages(draw):
    dtype, d, slots = draw(st.sampled_from(FLOATS)), draw(powers(4, 5)), draw(powers(4, 5))
    groups, shared = draw(sizes(2)), draw(sizes(3))
    lengths = draw(st.lists(st.integers(1, 70), min_size=1, max_size=3))
    width = -(-max(lengths) // slots) + draw(st.integers(0, 1))
    count = len(lengths) * width + draw(st.integers(0, 2))
    generator = draw(generators())
    table = torch.from_numpy(generator.permutation(count)[: len(lengths) * width].reshape(len(lengths), width))
    keys, values = (problem.normal(generator, count, slots, groups, d, dtype=dtype) for _ in range(2))
    for length, its_pages in zip(lengths, table, strict=True):
        for token in range(length, width * slots):
            keys[its_pages[token // slots], token % slots] = values[its_pages[token // slots], token % slots] = math.nan
    q = draw(tensors(len(lengths), groups * shared, d, dtype=dtype, layout="dense"))
    whole = [torch.tensor(lengths, dtype=torch.int32), table.int()]
    return (q, *(draw(placed(part, "dense")) for part in (keys, values, *reversed(whole)))), {}


@st.composite
def lookups(draw):
    V, D, N, dtype = draw(sizes(12)), draw(sizes(90)), draw(sizes(6)), draw(st.sampled_from(FLOATS))
    ids = torch.from_numpy(draw(generators()).integers(0, V, N))
    return (draw(placed(ids)), draw(tensors(V, D, dtype=dtype))), {"block": draw(powers(0, 7))}


@st.composite
def heads_to_turn(draw):
    N, T, half, dtype = draw(sizes(4)), draw(sizes(5)), draw(sizes(20)), draw(st.sampled_from(FLOATS))
    angles = torch.from_numpy(draw(generators()).uniform(-3, 3, (T, half)))
    return (draw(tensors(N, T, 2 * half, dtype=dtype)), angles.cos().float(), angles.sin().float()), {}


PROBLEMS = {
    "vector_add": vectors(),
    "fused_scale_add": vectors(st.floats(-4, 4, width=32)),
    "row_softmax": rows(),
    "masked_scaled_softmax": masked_scores(),
    "lstm_gates": gates(),
    "rmsnorm_forward": to_normalise(1),
    "residual_rmsnorm": to_normalise(2),
    "rmsnorm_backward": to_normalise_backward(),
    "cross_entropy": classes(),
    "matmul": matrices(),
    "linear_gelu": layers(),
    "flash_forward": attention(),
    "w4a16_matmul": packed_weights(),
    "paged_decode_attention": pages(),
    "embedding_gather": lookups(),
    "rope_inplace": heads_to_turn(),
}


launcher = cache(kernels.launcher)
load = cache(problem.load)


class Call(NamedTuple):
    """What a launcher is called with, and how much rounding is allowed (see problem.Case)."""

    args: tuple
    kwargs: dict
    factor: float = 4.0


@st.composite
def own_case(draw, name):
    """A case of the problem with other numbers, each tensor elsewhere in memory, as freely as some case lays it.

    Four times the case's rounding is allowed: torch's own result, which says how much, is sometimes right by luck.
    """
    cases = load(name).cases(draw(generators()), draw(generators()))
    case = cases[draw(st.integers(0, len(cases) - 1))]
    args = [
        draw(placed(arg, freest(other.args[at] for other in cases))) if isinstance(arg, torch.Tensor) else arg
        for at, arg in enumerate(case.args)
    ]
    return Call(tuple(args), dict(case.kwargs), 4 * case.factor)


def freest(tensors):
    """The layout of `placed` that these are examples of."""
    strided = [tensor for tensor in tensors if not tensor.is_contiguous()]
    return "dense" if not strided else "rows" if all(tensor.stride(-1) == 1 for tensor in strided) else "any"


def calls(name):
    """The arguments of a problem's launcher: any shapes where a row of PROBLEMS draws them, else its cases' shapes."""
    return PROBLEMS[name].map(lambda drawn: Call(*drawn)) if name in PROBLEMS else own_case(name)


def changing(wanted):
    """Places of the arguments that the operation changes in place."""
    names = list(inspect.signature(wanted.reference).parameters)
    return [names.index(name) for name in wanted.settings.may_change]


def shuffled(seed):
    return None if seed is None else lambda count: np.random.default_rng(seed).permutation(count)


@pytest.mark.parametrize("name", problem.names())
@calm(max_examples=20)
@given(data=st.data())
def test_any_layout_and_block_agrees_with_torch(name, data):
    agrees_with_torch(name, data, calls(name))


@pytest.mark.parametrize("name", problem.names())
@calm(max_examples=5)
@given(data=st.data())
def test_its_own_cases_in_other_layouts_agree_with_torch(name, data):
    """What a problem gets that has no row in PROBLEMS."""
    agrees_with_torch(name, data, own_case(name))


def agrees_with_torch(name, data, arguments):
    args, kwargs, factor = data.draw(arguments, label="arguments")
    wanted = load(name)
    before = [tensor.clone() for tensor in tensors_in(args)]
    exact, rounded = wanted.reference(*problem.in_float64(args), **kwargs), wanted.baseline(*args, **kwargs)
    with on_cpu(order=shuffled(data.draw(st.none() | st.integers(0, 99), label="order of programs"))):
        got = launcher(name)(*args, **kwargs)
    found = agree.compare(got, agree.expect(exact, rounded, None, factor, wanted.settings.eps))
    assert found.passed, found.says
    kept = [not any(tensor is args[at] for at in changing(wanted)) for tensor in tensors_in(args)]
    pairs = zip(before, tensors_in(args), kept, strict=True)
    assert all(torch.equal(a, b) or a.isnan().any() for a, b, keep in pairs if keep), "an input was changed"


@pytest.mark.parametrize("name", problem.names())
@calm(max_examples=5)
@given(data=st.data())
def test_recorded_and_replayed_is_the_same_as_run(name, data):
    args, kwargs, _ = data.draw(calls(name), label="arguments")
    replayed, problems = local_launch(launcher(name), args, kwargs, may_change=load(name).settings.may_change)
    with on_cpu():
        straight = launcher(name)(*args, **kwargs)
    assert not problems
    for one, other in zip(tensors_in((straight,)), tensors_in((replayed,)), strict=True):
        assert torch.equal(one, other)


# triton stays as it was ----------------------------------------------------------------------------------------------

MODULES = """triton triton.language triton.language.core triton.language.math triton.language.standard
triton.language.random triton.language.semantic triton.language.extra.libdevice triton.language.extra.cuda.libdevice
triton.runtime.interpreter triton.runtime.jit triton.runtime.autotuner triton.runtime.driver
triton.compiler.compiler triton.compiler.code_generator""".split()
CLASSES = [tl.tensor, tl.dtype, tl.block_type, tl.pointer_type, tl.constexpr, tl.core.tensor_descriptor_base]
CLASSES += [JITFunction, JITCallable, KernelInterface, Autotuner, Heuristics]


def snapshot():
    """Every attribute of every part of triton that could be patched, and the driver."""
    owners = [*map(importlib.import_module, MODULES), *CLASSES, driver]
    owners += [type(importlib.import_module("triton.runtime.interpreter").interpreter_builder)]
    # reading a class makes its __annotations__, copying it __slotnames__; driver attributes are compared as objects,
    # which keeps them alive; a warning that is shown first in this process leaves a __warningregistry__
    skip = ("__dict__", "__annotations__", "__slotnames__", "__weakref__", "__builtins__", "__warningregistry__")
    return {
        (getattr(owner, "__name__", "driver"), name): value
        for owner in owners
        for name, value in vars(owner).items()
        if name not in skip
    }


UNTOUCHED = snapshot()  # when this module is collected: before any launch of the process


def assert_untouched(before=UNTOUCHED):
    now = snapshot()
    assert sorted(before.keys() ^ now.keys()) == []
    assert [name for name, value in before.items() if now[name] is not value] == []


SOURCE = kernels.files("row_softmax")[0]["solution"]


@triton.autotune(configs=[triton.Config({"BLOCK": 16}), triton.Config({"BLOCK": 32})], key=["n"])
@triton.heuristics({"EVEN": lambda args: args["n"] % args["BLOCK"] == 0})
@triton.jit
def tuned_kernel(x_ptr, n, BLOCK: tl.constexpr, EVEN: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(x_ptr + at, at.to(tl.float32), mask=at < n)


def interpreted():
    x = torch.randn(3, 20)
    with on_cpu():
        torch.testing.assert_close(launcher("row_softmax")(x, block=16), x.softmax(1))


def compiled():
    trace = record(launcher("row_softmax"), (torch.randn(3, 64),), {"block": 64})
    assert [done.error for done in compile_launches(SOURCE, trace.to_data(), ("sm_80",))] == [""]


def replayed():
    x = torch.randn(3, 20)
    outputs, problems = local_launch(launcher("row_softmax"), (x,), {"block": 16})
    torch.testing.assert_close(outputs, x.softmax(1))
    assert not problems


def tuned():
    x = torch.zeros(40)
    with on_cpu(), on_cpu(quiet=True):
        tuned_kernel[lambda meta: (triton.cdiv(40, meta["BLOCK"]),)](x, 40)
    assert torch.equal(x, torch.arange(40.0))


def faulty():
    with on_cpu(), pytest.raises(KernelFault):
        tuned_kernel[(3,)](torch.zeros(20), 40)


def interrupted():
    class Stop(Observer):
        def store(self, *_):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), on_cpu(observer=Stop()):
        tuned_kernel[(3,)](torch.zeros(40), 40)


ACTIONS = [interpreted, compiled, replayed, tuned, faulty, interrupted]


@calm(max_examples=8)
@given(st.lists(st.sampled_from(ACTIONS), min_size=1, max_size=5))
def test_whatever_is_done_in_a_row_triton_is_untouched(actions):
    for action in [interpreted, compiled, *actions, interpreted]:
        action()
        assert_untouched()


@calm(max_examples=12)
@given(st.lists(st.sampled_from(ACTIONS), min_size=1, max_size=4))
def test_contexts_nest_around_everything(actions):
    with on_cpu(order=lambda count: np.arange(count)[::-1]):
        open_context = snapshot()
        for action in actions:
            action()
            assert_untouched(open_context)
    assert_untouched()


def test_contexts_may_close_in_any_order():
    first, second = on_cpu(), on_cpu(quiet=True)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    tuned()
    second.__exit__(None, None, None)
    assert_untouched()


def test_the_environment_says_nothing_about_interpreting():
    interpreted()
    assert "TRITON_INTERPRET" not in os.environ and not triton.knobs.runtime.interpret
