"""@triton.autotune and @triton.heuristics on CPU tensors: interpreted, recorded and replayed as a GPU would launch."""

import pytest
import torch
import triton
import triton.language as tl

from grader_kernels.interpreter.context import on_cpu
from grader_kernels.language import extract
from grader_kernels.replaying.replay import local_launch, replay_source
from grader_kernels.replaying.trace import record

SIZES = [triton.Config({"BLOCK": 32}, num_warps=1, num_stages=2), triton.Config({"BLOCK": 64}, num_warps=8)]


def grid(meta):
    return (triton.cdiv(meta["n"], meta["BLOCK"]),)


@triton.autotune(configs=SIZES, key=["n"])
@triton.jit
def tuned_kernel(x_ptr, o_ptr, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(o_ptr + at, tl.load(x_ptr + at, mask=at < n) + BLOCK, mask=at < n)


@triton.heuristics({"EVEN": lambda args: args["n"] % args["BLOCK"] == 0, "num_warps": lambda args: args["BLOCK"] // 8})
@triton.jit
def guessed_kernel(x_ptr, o_ptr, n, BLOCK: tl.constexpr, EVEN: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    if EVEN:
        tl.store(o_ptr + at, tl.load(x_ptr + at) + 1000)
    else:
        tl.store(o_ptr + at, tl.load(x_ptr + at, mask=at < n), mask=at < n)


@triton.autotune(configs=SIZES, key=["n"])
@triton.heuristics({"EVEN": lambda args: args["n"] % args["BLOCK"] == 0})
@triton.jit
def heuristics_inside_kernel(x_ptr, o_ptr, n, BLOCK: tl.constexpr, EVEN: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(o_ptr + at, tl.load(x_ptr + at, mask=at < n) + BLOCK + 1000 * EVEN, mask=at < n)


@triton.heuristics({"EVEN": lambda args: args["n"] % 32 == 0})
@triton.autotune(configs=SIZES, key=["n"])
@triton.jit
def heuristics_outside_kernel(x_ptr, o_ptr, n, BLOCK: tl.constexpr, EVEN: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(o_ptr + at, tl.load(x_ptr + at, mask=at < n) + BLOCK + 1000 * EVEN, mask=at < n)


SMALLEST = 64


@triton.autotune(configs=[triton.Config({"BLOCK": size}) for size in (16, 32, 64, 128)], key=["n"])
@triton.jit
def asserting_kernel(x_ptr, o_ptr, n, BLOCK: tl.constexpr):
    tl.static_assert(x_ptr.dtype.element_ty == tl.float32)
    tl.static_assert(BLOCK >= SMALLEST, "too small")
    at = tl.arange(0, BLOCK)
    tl.static_assert(at.shape[0] == BLOCK)
    tl.store(o_ptr + at, tl.load(x_ptr + at, mask=at < n) + BLOCK, mask=at < n)


def counting_kernel(**options):
    @triton.autotune(configs=SIZES, key=["n"], **options)
    @triton.jit
    def kernel(x_ptr, o_ptr, n, BLOCK: tl.constexpr):
        at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
        tl.atomic_add(o_ptr, tl.sum(tl.load(x_ptr + at, mask=at < n, other=0.0)))

    return kernel


def launcher(kernel, **given):
    def launch(x):
        out = torch.empty_like(x)
        kernel[grid](x, out, x.numel(), **given)
        return out

    return launch


KERNELS = {
    tuned_kernel: ({}, 32.0, {"BLOCK": 32}, (1, 2)),
    guessed_kernel: ({"BLOCK": 16}, 1000.0, {"BLOCK": 16, "EVEN": True}, (2, None)),
    heuristics_inside_kernel: ({}, 1032.0, {"BLOCK": 32, "EVEN": True}, (1, 2)),
    heuristics_outside_kernel: ({}, 1032.0, {"BLOCK": 32, "EVEN": True}, (1, 2)),
}


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: type(kernel).__name__)
def test_what_is_chosen_is_interpreted_recorded_and_replayed(kernel):
    given, plus, chosen, (warps, stages) = KERNELS[kernel]
    launch, x = launcher(kernel, **given), torch.arange(64.0)
    with on_cpu():
        assert torch.equal(launch(x), x + plus)

    recorded = record(launch, (x,)).launches[0]
    assert {name: recorded.args[name].value() for name in chosen} == chosen
    assert set(recorded.constexprs) == set(chosen)
    assert recorded.grid == [64 // chosen["BLOCK"], 1, 1]
    options = {name: value.value() for name, value in recorded.options.items()}
    assert (options["num_warps"], options.get("num_stages")) == (warps, stages)

    outputs, problems = local_launch(launch, (x,))
    assert torch.equal(outputs, x + plus) and not problems


def test_ragged_sizes_take_the_other_branch_of_a_heuristic():
    x = torch.arange(63.0)
    with on_cpu():
        assert torch.equal(launcher(guessed_kernel, BLOCK=16)(x), x)
        assert torch.equal(launcher(heuristics_inside_kernel)(x), x + 32)


def test_a_tuned_kernel_is_replayed_from_its_source():
    x, source = torch.arange(64.0), open(__file__, encoding="utf-8").read()
    trace = record(launcher(heuristics_inside_kernel), (x,))
    assert "autotune" not in extract(source, trace.kernels())
    done = replay_source(source, trace.to_data(), ((x,), {}))
    assert torch.equal(done["outputs"], x + 1032) and not done["problems"]


def test_a_configuration_that_an_assertion_refuses_is_passed_over():
    x = torch.arange(64.0)
    with on_cpu():
        assert torch.equal(launcher(asserting_kernel)(x), x + 64)
    assert record(launcher(asserting_kernel), (x,)).launches[0].args["BLOCK"].value() == 64
    assert asserting_kernel.best_config.kwargs == {"BLOCK": 64}


def test_when_all_are_refused_one_sentence_says_so(monkeypatch):
    monkeypatch.setitem(globals(), "SMALLEST", 4096)
    with on_cpu(), pytest.raises(ValueError, match="asserting_kernel: a tl.static_assert .* every configuration"):
        launcher(asserting_kernel)(torch.randn(64))


def test_pruning_is_asked():
    x = torch.arange(64.0)
    last = {"early_config_prune": lambda configs, named, **_: configs[1:]}
    pruned = triton.autotune(configs=SIZES, key=["n"], prune_configs_by=last)
    kernel = pruned(tuned_kernel.fn)
    with on_cpu():
        assert torch.equal(launcher(kernel)(x), x + 64)


def test_reset_to_zero_happens_when_a_gpu_would_measure_and_not_again():
    kernel, x, total = counting_kernel(reset_to_zero=["o_ptr"]), torch.ones(64), torch.full((1,), 5.0)
    with on_cpu():
        kernel[grid](x, total, 64)
        assert total == 64
        kernel[grid](x, total, 64)
        assert total == 128
        kernel[grid](x, total, 50)  # another key: measured anew
        assert total == 50


def test_reset_to_zero_is_a_fill_of_the_trace():
    kernel = counting_kernel(reset_to_zero=["o_ptr"])

    def total(x):
        out = torch.empty(1)
        kernel[grid](x, out, x.numel())
        return out

    outputs, problems = local_launch(total, (torch.ones(64),))
    assert outputs == 64 and not problems
    outputs, problems = local_launch(total, (torch.ones(64),))
    assert not outputs == 64  # the second launch of this key adds to what was there, as on a GPU


def test_hooks_see_the_chosen_arguments():
    seen = []
    config = triton.Config({"BLOCK": 32}, pre_hook=lambda args: seen.append(("config", args["BLOCK"], args["n"])))
    tuner = triton.autotune([config, *SIZES[1:]], key=["n"],
                            pre_hook=lambda args, reset_only=False: seen.append(("reset", reset_only)))  # fmt: skip
    kernel, x = tuner(tuned_kernel.fn), torch.ones(64)
    with on_cpu():
        kernel[grid](x, torch.empty(64), 64)
        kernel[grid](x, torch.empty(64), n=64)
    assert seen == [("reset", True), ("config", 32, 64), ("config", 32, 64)]


def test_an_argument_given_twice_is_one_sentence():
    with on_cpu(), pytest.raises(ValueError, match="tuned_kernel: BLOCK is given by the launch and by triton.autotune"):
        tuned_kernel[(1,)](torch.ones(8), torch.empty(8), 8, BLOCK=32)


def test_a_configuration_for_another_kernel_names_the_parameter():
    kernel = triton.autotune([triton.Config({"SIZE": 32})], key=[])(tuned_kernel.fn)
    with on_cpu(), pytest.raises(TypeError, match="has no parameter SIZE"):
        kernel[(1,)](torch.ones(8), torch.empty(8), 8)


def test_triton_keeps_its_own_notes_of_what_was_measured():
    with on_cpu():
        launcher(tuned_kernel)(torch.ones(64))
    assert not tuned_kernel.cache
