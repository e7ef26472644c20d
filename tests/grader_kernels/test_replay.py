"""Trace and replay: what a launcher hands in is what its kernels compute, whatever its Python does besides."""

import json
import math

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
import triton
import triton.language as tl
from hypothesis import given, settings
from torch.utils._python_dispatch import _disable_current_modes

from grader_kernels.interpreter import context
from grader_kernels.interpreter.accesses import unfilled
from grader_kernels.interpreter.context import install
from grader_kernels.interpreter.faults import KernelFault
from grader_kernels.interpreter.numbers import bf16_to_f32
from grader_kernels.replaying.replay import Arena, _Replay, load, local_launch, replay, replay_source
from grader_kernels.replaying.trace import TraceError, cloned, from_data, record, record_with_kernels, renamed, stand_in

torch.set_num_threads(1)


@triton.jit
def softmax_kernel(x_ptr, o_ptr, row_stride, column_stride, n, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    offsets = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + row * row_stride + offsets * column_stride, mask=offsets < n, other=-float("inf"))
    e = tl.exp(x - tl.max(x, 0))
    tl.store(o_ptr + row * n + offsets, e / tl.sum(e, 0), mask=offsets < n)


@triton.jit
def copy_kernel(x_ptr, o_ptr, n, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(o_ptr + offsets, tl.load(x_ptr + offsets, mask=offsets < n), mask=offsets < n)


@triton.jit
def unmasked_kernel(x_ptr, o_ptr, n, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(o_ptr + offsets, tl.load(x_ptr + offsets))


@triton.jit
def count_kernel(x_ptr, o_ptr, n, BLOCK: tl.constexpr):
    offsets = tl.arange(0, BLOCK)
    tl.atomic_add(o_ptr + tl.load(x_ptr + offsets, mask=offsets < n, other=0), 1, mask=offsets < n)


@triton.jit
def double(x):
    return x * 2


@triton.jit
def apply_kernel(x_ptr, o_ptr, n, scale, FN: tl.constexpr, DTYPE: tl.constexpr, BLOCK: tl.constexpr):
    offsets = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + offsets, mask=offsets < n).to(DTYPE)
    if scale is not None:
        x = x * scale
    tl.store(o_ptr + offsets, FN(x), mask=offsets < n)


def softmax(x, extra=None):
    """An honest launcher."""
    out = torch.empty(x.shape, dtype=x.dtype)
    softmax_kernel[(x.shape[0],)](
        x, out, *x.stride(), x.shape[1], BLOCK=triton.next_power_of_2(x.shape[1]), num_warps=4
    )
    return out


def copy_of(x):
    out = torch.empty_like(x)
    copy_kernel[lambda meta: (triton.cdiv(meta["n"], meta["BLOCK"]),)](x, out, x.numel(), BLOCK=64)
    return out


def draw(*shape, seed=0):
    return torch.from_numpy(np.random.Generator(np.random.Philox(seed)).standard_normal(shape)).float()


X = draw(5, 40)


# honest launchers -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("x", [X, X.t(), X[:, ::2], X[1:4, 3:]], ids=["plain", "transposed", "strided", "offset"])
def test_honest_launcher(x):
    out, problems = local_launch(softmax, (x,), {"extra": None})
    torch.testing.assert_close(out, x.softmax(1))
    assert problems == []


def test_recording_executes_no_kernel_and_leaves_the_inputs():
    before = X.clone()
    trace = record(softmax, (X,))
    assert torch.equal(X, before)
    assert [launch.kernel for launch in trace.launches] == ["softmax_kernel"]
    assert trace.launches[0].grid == [5, 1, 1]
    assert trace.launches[0].options["num_warps"].value() == 4
    assert trace.inputs[0].name == "x" and trace.inputs[0].path == [0, 0]
    assert trace.allocations[0].fill is None and trace.foreign == []


def test_replay_from_source_and_json():
    source = open(__file__).read()
    data = json.loads(json.dumps(record(softmax, (X,)).to_data()))
    done = replay_source(source, data, ((X,), {}))
    torch.testing.assert_close(done["outputs"], X.softmax(1))
    assert done["problems"] == [] and done["launches"] == 1


def test_contiguous_copies_and_casts_are_replayed():
    def launcher(x):
        return copy_of(x.t().contiguous().to(torch.float16))

    out, problems = local_launch(launcher, (X,))
    assert torch.equal(out, X.t().half()) and problems == []


def test_zero_filled_counters_and_several_outputs():
    def launcher(ids, x):
        counts = torch.zeros(10, dtype=torch.int32)
        count_kernel[(1,)](ids, counts, ids.numel(), BLOCK=64)
        return counts, {"copy": [copy_of(x)]}

    ids = torch.tensor([1, 1, 7], dtype=torch.int32)
    (counts, rest), problems = local_launch(launcher, (ids, X))
    assert counts.tolist() == [0, 2, 0, 0, 0, 0, 0, 1, 0, 0]
    assert torch.equal(rest["copy"][0], X) and problems == []


def test_functions_dtypes_none_and_floats_reach_the_kernel():
    def launcher(x, scale):
        out = torch.empty_like(x)
        apply_kernel[(1,)](x, out, x.numel(), scale, FN=double, DTYPE=tl.float32, BLOCK=256)
        return out

    source = open(__file__).read()
    for scale in (None, 0.1):
        data = json.loads(json.dumps(record(launcher, (X, scale)).to_data()))
        done = replay_source(source, data, ((X, scale), {}))
        torch.testing.assert_close(done["outputs"], X * 2 * (1 if scale is None else 0.1))
        assert done["problems"] == []


def test_views_of_one_buffer():
    def launcher(x):
        both = torch.full((2, *x.shape), -math.inf)
        copy_kernel[(4,)](x, both[0], x.numel(), BLOCK=64)
        copy_kernel[(4,)](both[0], both[1], x.numel(), BLOCK=64)
        return both[1].view(-1)[:7], both

    (seven, both), problems = local_launch(launcher, (X,))
    assert torch.equal(seven, X.view(-1)[:7]) and torch.equal(both[0], X) and problems == []


def test_tensors_inside_lists_and_dicts_and_the_same_one_twice():
    def launcher(pair, named):
        return copy_of(pair[0]), copy_of(pair[1]), copy_of(named["y"])

    y = draw(8, seed=3)
    outs, problems = local_launch(launcher, ([X, X],), {"named": {"y": y}})
    assert problems == [] and all(torch.equal(a, b) for a, b in zip(outs, (X, X, y), strict=True))


def test_expanded_input():
    x = torch.tensor([1.0, 2.0]).unsqueeze(1).expand(2, 30)
    out, problems = local_launch(softmax, (x,))
    torch.testing.assert_close(out, x.softmax(1))
    assert problems == []


def test_installed_context_does_not_disturb_recording():
    try:
        install()
        out, problems = local_launch(softmax, (X,))
    finally:
        context._leave(context._installed.pop())
    torch.testing.assert_close(out, X.softmax(1))
    assert problems == []


@settings(max_examples=30, deadline=None)
@given(
    shape=st.lists(st.integers(0, 6), min_size=1, max_size=3),
    dtype=st.sampled_from([torch.float32, torch.bfloat16, torch.int64, torch.int8, torch.float64]),
    block=st.sampled_from([1, 16, 64]),
)
def test_any_contiguous_tensor_survives_the_round_trip(shape, dtype, block):
    def launcher(x):
        out = torch.empty_like(x)
        if x.numel():
            copy_kernel[(triton.cdiv(x.numel(), block),)](x, out, x.numel(), BLOCK=block)
        return out

    x = (draw(*shape) * 50).to(dtype)
    out, _ = local_launch(launcher, (x,))
    assert torch.equal(out, x) and out.dtype == x.dtype


# launchers that cheat or err ------------------------------------------------------------------------------------------


def softmax_by_torch(x):
    softmax(x)
    return torch.softmax(x, 1)


def only_torch(x):
    return torch.softmax(x, 1)


def through_numpy(x):
    out = copy_of(x)
    e = np.exp(x.numpy() - x.numpy().max(1, keepdims=True))
    out.numpy()[...] = e / e.sum(1, keepdims=True)
    return out


def behind_the_modes(x):
    out = copy_of(x)
    with _disable_current_modes():
        out.copy_(x.softmax(1))
    return out


def allocated_behind_the_modes(x):
    with _disable_current_modes():
        answer = x.softmax(1)
    return answer


def hidden_answer_copied_by_a_kernel(x):
    with _disable_current_modes():
        answer = x.softmax(1)
    return copy_of(answer)


def torch_answer_copied_by_a_kernel(x):
    return copy_of(torch.softmax(x, 1))


def torch_in_place(x):
    out = copy_of(x).exp_()
    return out.div_(out.sum(1, keepdim=True))


def torch_out_argument(x):
    out = copy_of(x)
    torch.softmax(x, 1, out=out)
    return out


CACHE = {}


def cached(x):
    copy_of(x)
    return CACHE["out"]


def number_by_number(x):
    values = [float(v) for v in x.softmax(1).view(-1)]
    table = torch.empty_like(x)
    for i, value in enumerate(values):
        table.view(-1)[i].fill_(value)
    return copy_of(table)


CHEATS = [
    (softmax_by_torch, "aten::_softmax"),
    (only_torch, "no kernel"),
    (through_numpy, None),
    (behind_the_modes, None),
    (allocated_behind_the_modes, "out of the trace's sight"),
    (hidden_answer_copied_by_a_kernel, "out of the trace's sight"),
    (torch_answer_copied_by_a_kernel, "aten::_softmax"),
    (torch_in_place, "aten::exp_"),
    (torch_out_argument, "aten::softmax"),
    (cached, "out of the trace's sight"),
    (number_by_number, "dozens of numbers"),
]


@pytest.mark.parametrize("launcher, says", CHEATS, ids=[launcher.__name__ for launcher, _ in CHEATS])
def test_an_answer_that_no_kernel_computed_gains_nothing(launcher, says):
    CACHE["out"] = X.softmax(1)
    trace, functions = record_with_kernels(launcher, (X,), {})
    done = replay(trace, functions, ((X,), {}))
    right = torch.allclose(done.outputs, X.softmax(1), atol=1e-6)
    assert not right or done.problems
    assert says is None or says in " ".join(done.problems)


def test_writing_through_numpy_gives_the_copy():
    out, _ = local_launch(through_numpy, (X,))
    assert torch.equal(out, X)


def test_a_partly_written_output_is_counted():
    def launcher(x):
        out = torch.empty(200)
        copy_kernel[(3,)](x, out, 200, BLOCK=64)
        return out

    out, problems = local_launch(launcher, (draw(200),))
    assert problems == ["8 of 200 elements of the returned tensor were never written by a kernel"]
    assert out[192:].isnan().all() and not out[:192].isnan().any()


def test_a_changed_input_is_named_unless_the_exercise_asks_for_it():
    def launcher(x, cache):
        copy_kernel[(4,)](x, cache, x.numel(), BLOCK=64)
        return cache

    cache = torch.zeros(5, 40)
    out, problems = local_launch(launcher, (X, cache))
    changed, returned = "the input cache was changed by the launch", "it returned its argument cache"
    assert torch.equal(out, X) and problems == [changed, f"{returned}: expected a new tensor"]
    assert local_launch(launcher, (X, cache), may_change=["cache"])[1] == []
    assert not cache.any()


@pytest.mark.parametrize("returns", ["a new tensor", "nothing"])
def test_what_works_in_place_returns_its_argument_or_nothing(returns):
    def launcher(x, cache):
        out = torch.empty_like(x) if returns == "a new tensor" else cache
        copy_kernel[(4,)](x, out, x.numel(), BLOCK=64)
        return None if returns == "nothing" else out

    says = ["it returned a new tensor: expected cache itself, changed in place"]
    problems = local_launch(launcher, (X, torch.zeros(5, 40)), may_change=["cache"])[1]
    assert problems == (says if returns == "a new tensor" else [])


def test_returned_numbers_and_objects_are_flagged():
    out, problems = local_launch(lambda x: (copy_of(x), 3, object()), (X,))
    assert out[1] == 3 and out[2] is None
    assert "returned 3" in problems[0] and "returned a object" in problems[1]


def test_an_out_of_bounds_kernel_faults_at_the_first_element_outside():
    def launcher(x):
        out = torch.empty_like(x)
        unmasked_kernel[(4,)](x, out, x.numel(), BLOCK=64)
        return out

    big = draw(1000)
    with pytest.raises(KernelFault, match="element 200 of x_ptr, which has 200 elements"):
        local_launch(launcher, (big[:200],))  # in the notebook's memory the neighbours are there; in the replay not


def test_assuming_a_contiguous_input_meets_nan():
    out, _ = local_launch(copy_of, (X[:, ::2],))
    assert out.isnan().any()


def test_guard_zones_are_watched():
    arena = Arena(40, torch.float32, 64)
    assert arena.guards_intact()
    arena.raw[arena.start + 40] ^= 1
    assert not arena.guards_intact()
    assert (arena.low - arena.raw.ctypes.data) // 4 % 2 == 1


def test_a_touched_guard_is_a_problem():
    trace, functions = record_with_kernels(softmax, (X,), {})
    state = _Replay(trace, functions, ((X,), {}), 64)
    state.run()
    state.arenas[1].raw[0] ^= 1
    state.judge(())
    assert state.problems == ["a kernel wrote past the end of a float32 buffer of shape (5, 40)"]


def test_two_kernels_of_one_name_are_refused():
    other = triton.jit(copy_kernel.fn)

    def launcher(x):
        out = copy_of(x)
        other[(4,)](x, out, x.numel(), BLOCK=64)
        return out

    with pytest.raises(TraceError, match="two different kernels are named copy_kernel"):
        local_launch(launcher, (X,))


# forged traces --------------------------------------------------------------------------------------------------------


def forged(**changes):
    data = json.loads(json.dumps(record(softmax, (X,)).to_data()))
    for path, value in changes.items():
        target = data
        *way, last = [int(key) if key.isdigit() else key for key in path.split("__")]
        for key in way:
            target = target[key]
        target[last] = value
    return data


FORGERIES = {
    "unknown field": dict(steps__0__extra=1),
    "huge buffer": dict(allocations__0__bytes=1 << 39),
    "huge grid": dict(steps__0__grid=[1 << 20, 1 << 15, 1]),
    "negative offset": dict(returned__offset=-4),
    "offset past the end": dict(returned__offset=4),
    "odd offset": dict(returned__offset=2, returned__shape=[1, 1]),
    "wide stride": dict(returned__strides=[1 << 30, 1]),
    "negative stride": dict(returned__strides=[-40, 1]),
    "unknown buffer": dict(returned__buffer=9),
    "unknown dtype": dict(returned__dtype="complex64"),
    "ranks differ": dict(returned__strides=[1]),
    "buffer defined twice": dict(allocations__0__buffer=0),
    "not a number": dict(steps__0__args__n={"type": "scalar", "kind": "int", "text": "x"}),
    "big number": dict(steps__0__args__n={"type": "scalar", "kind": "int", "text": "9" * 500}),
    "long name": dict(steps__0__kernel="k" * 10_000),
    "wrong type": dict(steps=3),
    "grid of strings": dict(steps__0__grid=["1", "1", "1"]),
    "unknown tag": dict(returned__type="exec"),
}


@pytest.mark.parametrize("changes", FORGERIES.values(), ids=FORGERIES)
def test_a_malformed_trace_is_one_sentence(changes):
    with pytest.raises(TraceError):
        from_data(forged(**changes))


def test_a_deeply_nested_trace_is_refused():
    node = {"type": "scalar", "kind": "none", "text": ""}
    for _ in range(5000):
        node = {"type": "items", "kind": "list", "items": [node]}
    with pytest.raises(TraceError):
        from_data(forged(returned=node))


def test_a_trace_about_other_inputs_is_refused():
    with pytest.raises(TraceError, match="not the tensor that was given"):
        replay_source(open(__file__).read(), forged(), ((draw(6, 40),), {}))


def test_a_trace_that_names_no_kernel_of_the_source_is_refused():
    from grader_kernels.language import LanguageError

    with pytest.raises(LanguageError, match="no @triton.jit function named eval"):
        replay_source(open(__file__).read(), forged(steps__0__kernel="eval"), ((X,), {}))


def test_loaded_source_sees_nothing_but_triton():
    kernels = load("@triton.jit\ndef k(x):\n    return open\n")
    names = set(kernels["k"].fn.__globals__)
    assert names == {"__builtins__", "__name__", "triton", "tl", "libdevice", "math", "namedtuple", "k"}
    assert not {"open", "__import__", "eval", "exec", "getattr"} & set(kernels["k"].fn.__globals__["__builtins__"])


@pytest.mark.parametrize("x", [draw(1, 6).expand(4, 6), draw(6, 4).T, draw(4, 12)[:, ::2], torch.tensor(1.5)])
def test_copies_and_stand_ins_keep_every_stride(x):
    copy, other = cloned(x), stand_in(x)
    assert torch.equal(copy, x) and copy.stride() == other.stride() == x.stride()
    assert not torch.equal(other, x) and other.shape == x.shape


def test_a_stand_in_takes_its_whole_numbers_from_the_other_draw():
    mine, theirs = torch.tensor([1, 2]), torch.tensor([3, 4])
    assert stand_in(((mine,), {"n": mine}), ((theirs,), {"n": theirs})) == ((theirs,), {"n": theirs})
    assert stand_in((mine, 5), (torch.tensor([3]), 6)) == (mine, 5)


def test_inputs_are_renamed_by_their_place():
    trace = record(lambda a, pair, k: copy_of(a), (X, [X.clone()]), {"k": X.clone()})
    assert [made.name for made in renamed(trace, ["x", "both"]).inputs] == ["x", "both[0]", "k"]
    with pytest.raises(TraceError, match="names an input at"):
        renamed(trace, ["x"])


@pytest.mark.parametrize("element", [tl.float32, tl.float16, tl.bfloat16, tl.int32, tl.int64, tl.int8], ids=str)
def test_what_masked_lanes_hold_is_zero_and_large_of_both_signs_along_every_axis(element):
    held = unfilled((64, 64), element, "mixed")
    held = bf16_to_f32(held) if element.is_bf16() else held
    for lanes in (*held, *held.T):
        assert {-1, 0, 1} == set(np.sign(lanes.astype(np.float64)))
    assert unfilled((4,), element, "mixed") is not unfilled((4,), element, "mixed")
