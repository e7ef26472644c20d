"""Speed on a GPU, measured with the device replaced by one that has a clock of its own and a diary."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from grader_kernels import problem as problems
from grader_kernels.judging import timing
from grader_kernels.judging.timing import Timed, measure
from grader_kernels.problem import Case, Floor, Settings, normal

torch.set_num_threads(1)
ROWS, COLUMNS = 4, 32
BYTES = 2 * ROWS * COLUMNS * 4
MICROSECOND = 1e-6
SLOW = 16e-6


def kernel(x, out):
    """Stands for a kernel: it works on memory, out of torch's sight."""
    e = np.exp(x.numpy() - x.numpy().max(1, keepdims=True))
    out.numpy()[...] = e / e.sum(1, keepdims=True)


class FakeDevice:
    """Runs on the CPU. A call takes as long as it says with `spend`, else SLOW; the diary tells what came when."""

    name = "a device of ours"
    peak_bandwidth = 1e9

    def __init__(self):
        self.diary, self.spent, self.late = [], 0.0, 0.0

    def spend(self, seconds):
        self.spent += seconds

    def to_device(self, tensor):
        return tensor.clone()

    def synchronize(self):
        self.diary.append("synchronize")

    def flush_l2(self):
        self.diary.append("flush")

    def timed(self, call):
        self.spent, self.late = 0.0, 0.0
        result = call()
        self.diary.append("timed")
        return Timed(self.spent or SLOW, self.late, result)


def a_problem(**changes):
    def cases(rng, sizes):
        return [
            Case("small", (normal(rng, 2, 8),), {"block": 8}),
            Case("large", (normal(rng, ROWS, COLUMNS),), {"block": 16}, lean=True),
            Case("larger, but not measured for bytes", (normal(rng, 2 * ROWS, COLUMNS),), {"block": 16}),
        ]

    def floor(x, block=128):
        return Floor({"x": x.numel() * 4}, {"out": x.numel() * 4}, "each once", flops=640)

    known = dict(task="", settings=Settings(), cases=cases, floor=floor, reference=softmax, baseline=softmax)
    return problems.Problem("row_softmax", None, **(known | changes))


def softmax(x, block=128):
    return torch.softmax(x, 1)


@pytest.fixture
def device():
    return FakeDevice()


@pytest.fixture
def honest(device):
    def launcher(x, block=128):
        out = torch.empty(x.shape, dtype=x.dtype, device=x.device)
        kernel(x, out)
        device.spend(8 * MICROSECOND)
        return out

    return launcher


@pytest.fixture
def ours(device):
    def launcher(x, block=128):
        device.spend(4 * MICROSECOND)
        out = torch.empty_like(x)
        kernel(x, out)
        return out

    return launcher


def refused(launcher, ours, device, **options):
    speed = measure(a_problem(**options), launcher, ours, device, repeats=5)
    assert speed.problems and speed.seconds == 0.0, "it was timed"
    assert speed.problems[0] in speed.says()
    return "; ".join(speed.problems)


# --------------------------------------------------------------------------------------------------------------------
# What is measured


def test_an_honest_launcher_is_timed(device, honest, ours):
    speed = measure(a_problem(), honest, ours, device, repeats=5)
    assert speed.problems == []
    assert (speed.seconds, speed.reference, speed.torch) == (8e-6, 4e-6, SLOW)
    assert (speed.case, speed.repeats) == ("large", 5)
    assert (speed.bytes, speed.flops, speed.peak_bandwidth) == (BYTES, 640, 1e9)


def test_the_time_is_the_median(device, honest, ours):
    times = itertools.chain([1.0] * (1 + timing.WARM_UPS), itertools.cycle([5e-6, 900e-6, 7e-6, 6e-6, 1e-6]))

    def uneven(x, block=128):
        out = honest(x, block)
        device.spent = next(times)
        return out

    assert measure(a_problem(), uneven, ours, device, repeats=5).seconds == 6e-6


def test_bandwidth_and_share_of_peak(device, honest, ours):
    speed = measure(a_problem(), honest, ours, device, repeats=3)
    assert speed.bandwidth == pytest.approx(BYTES / 8e-6)
    assert speed.share == pytest.approx(BYTES / 8e-6 / 1e9)
    assert speed.figures()["share"] == speed.share and set(map(type, speed.figures().values())) == {float}
    assert (
        "2.00 times as slow as our kernel, 2.00 times as fast as torch" in speed.says()
        and "13% of the peak" in speed.says()
    )
    assert "mostly the launch" in speed.says()


def test_a_peak_that_is_not_known_is_no_share(device, honest, ours):
    device.peak_bandwidth = 0.0
    speed = measure(a_problem(), honest, ours, device, repeats=3)
    assert speed.share == 0.0 and "peak" not in speed.says()


def test_the_caller_can_pick_the_case(device, honest, ours):
    assert measure(a_problem(), honest, ours, device, pick=lambda cases: 0, repeats=2).case == "small"


def test_the_cache_is_flushed_before_every_timed_call(device, honest, ours):
    measure(a_problem(), honest, ours, device, repeats=4)
    calls = 1 + timing.WARM_UPS + 2 * timing.WARM_UPS + 3 * 4
    assert device.diary == ["synchronize", "flush", "synchronize", "timed"] * calls


def test_the_three_take_turns(device, honest, ours):
    order = []

    def told(name, launcher):
        def call(x, block=128):
            order.append(name)
            return launcher(x, block)

        return call

    measure(a_problem(), told("yours", honest), told("ours", ours), device, repeats=3)
    assert order[-6:] == ["yours", "ours", "ours", "yours", "yours", "ours"]


def test_every_call_gets_new_numbers_in_the_same_memory(device, honest, ours):
    seen = []

    def curious(x, block=128):
        seen.append((x.data_ptr(), tuple(x.flatten().tolist())))
        return honest(x, block)

    measure(a_problem(), curious, ours, device, repeats=6)
    assert len(seen) == len({numbers for _, numbers in seen}) == 10
    assert len({address for address, _ in seen}) == 1


def test_strides_survive(device, honest, ours):
    layouts = set()

    def cases(rng, sizes):
        return [Case("transposed", (normal(rng, COLUMNS, ROWS).t(),), lean=True)]

    def curious(x, block=128):
        layouts.add(x.stride())
        return honest(x, block)

    assert measure(a_problem(cases=cases), curious, ours, device, repeats=2).problems == []
    assert layouts == {(1, ROWS)}


def test_the_course_s_own_problem_can_be_timed(device, honest, ours):
    speed = measure(problems.load("row_softmax"), honest, ours, device, repeats=2)
    assert speed.problems == [] and speed.bytes > 0


def test_two_measurements_draw_different_numbers(device, honest, ours):
    seen = []

    def curious(x, block=128):
        seen.append(x[0, 0].item())
        return honest(x, block)

    for _ in range(2):
        measure(a_problem(), curious, ours, device, repeats=1)
    assert len(set(seen)) == len(seen)


# --------------------------------------------------------------------------------------------------------------------
# What is refused


@pytest.mark.parametrize("call", range(9))
def test_every_single_output_is_checked(device, honest, ours, call):
    calls = itertools.count()

    def wrong_once(x, block=128):
        out = honest(x, block)
        if next(calls) == call:
            out[-1, -1] += 0.01
        return out

    assert "off by" in refused(wrong_once, ours, device)


def test_right_on_the_first_call_only(device, honest, ours):
    first = []

    def launcher(x, block=128):
        if not first:
            first.append(honest(x, block))
            return first[0]
        return torch.empty_like(x).copy_(first[0])

    assert "off by" in refused(launcher, ours, device)


@pytest.mark.parametrize("key", [lambda x: x.data_ptr(), lambda x: x.shape], ids=["pointer", "shape"])
def test_a_cache(device, honest, ours, key):
    cache = {}

    def launcher(x, block=128):
        if key(x) not in cache:
            cache[key(x)] = honest(x, block)
        return cache[key(x)]

    assert "off by" in refused(launcher, ours, device)


def test_one_buffer_for_all_results(device, ours):
    buffer = torch.empty(ROWS, COLUMNS)

    def launcher(x, block=128):
        kernel(x, buffer)
        return buffer

    assert "the result of one call changes with the next call" in refused(launcher, ours, device)


def test_torch_on_the_gpu(device, ours):
    assert "torch computes in the launcher (aten::_softmax)" in refused(softmax, ours, device)


@pytest.mark.parametrize("where", [-1, ROWS * COLUMNS], ids=["before", "behind"])
def test_a_write_next_to_an_argument(device, honest, ours, where):
    def launcher(x, block=128):
        x.as_strided((1,), (1,), x.storage_offset() + where).numpy()[...] = 1.0
        return honest(x, block)

    assert "wrote next to the argument x" in refused(launcher, ours, device)


@pytest.mark.parametrize("where", [-1, ROWS * COLUMNS], ids=["before", "behind"])
def test_a_write_next_to_the_result(device, honest, ours, where):
    def launcher(x, block=128):
        out = honest(x, block)
        if out.storage_offset():
            out.as_strided((1,), (1,), out.storage_offset() + where).numpy()[...] = 1.0
        return out

    assert "wrote next to a tensor that the launcher made" in refused(launcher, ours, device)


def test_a_changed_argument(device, honest, ours):
    def launcher(x, block=128):
        out = honest(x, block)
        x.numpy()[0, 0] = 0.0
        return out

    assert "changed its argument x" in refused(launcher, ours, device)


def test_an_argument_that_may_change(device, ours):
    def in_place(x, block=128):
        kernel(x, x)
        return x

    settings = Settings(may_change=("x",))
    assert measure(a_problem(settings=settings), in_place, in_place, device, repeats=3).problems == []


def test_work_on_another_stream(device, honest, ours):
    def launcher(x, block=128):
        device.late = 1e-3
        return honest(x, block)

    assert "work goes on after the launcher's stream is done" in refused(launcher, ours, device)


def test_an_object_that_computes_later(device, honest, ours):
    class Later(torch.Tensor):
        pass

    def launcher(x, block=128):
        return honest(x, block).as_subclass(Later)

    assert "returns a Later; expected tensors" in refused(launcher, ours, device)


def test_another_precision(device, honest, ours):
    def launcher(x, block=128):
        out = honest(x, block)
        out.numpy()[...] = out.numpy().astype(np.float16)
        return out

    assert "off by" in refused(launcher, ours, device)


def test_our_own_kernel_must_be_right(device, honest):
    with pytest.raises(RuntimeError, match="our own kernel for row_softmax fails on a device of ours: .* off by"):
        measure(a_problem(), honest, lambda x, block=128: x.clone(), device, repeats=2)


class Event:
    """A CUDA event of a device where everything takes 2 ms."""

    def __init__(self, enable_timing):
        assert enable_timing

    def record(self):
        self.recorded = True

    def synchronize(self):
        assert self.recorded

    def elapsed_time(self, end):
        assert self.recorded and end.recorded
        return 2.0


def test_what_the_cuda_device_makes_of_what_cuda_says(monkeypatch):
    """Names of attributes and units only: nothing here says that it works on a GPU."""
    a100 = SimpleNamespace(name="A100", memory_clock_rate=1_215_000, memory_bus_width=5120, L2_cache_size=40 << 20)
    empty, sizes = torch.empty, []
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: a100)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    monkeypatch.setattr(torch, "empty", lambda size, dtype, device: sizes.append(size) or empty(16, dtype=dtype))
    device = timing.CudaDevice()
    assert device.peak_bandwidth == pytest.approx(1555e9, rel=1e-3)  # NVIDIA's data sheet
    assert sizes[0] >= 2 * a100.L2_cache_size
    device.flush_l2()
    timed = device.timed(lambda: "result")
    assert (timed.seconds, timed.result) == (2e-3, "result") and 0 <= timed.late < timing.LATE


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_without_a_gpu_nothing_is_measured():
    assert timing.cuda() is None
    assert "not measured" in timing.NOT_MEASURED
