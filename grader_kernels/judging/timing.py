"""How fast a launcher is on a GPU: real launches, against our kernel and against torch on the same device.

    device = timing.cuda()                                    # None without a GPU
    speed = timing.measure(problem, launcher, reference_launcher, device, case=case)

Every run, timed or not, gets new numbers in the same memory, with guard zones around it, and a flushed L2 cache; its
result is compared with the float64 reference, so a launcher that keeps results is wrong and not fast. One run before
the timed ones is watched: what torch computes in it is named, and the memory that the launcher allocates has guard
zones too.

Not yet run on a GPU: `CudaDevice` was written beside the manuals, and tests replace it by a device with a clock of
their own. Not evidence against hostile code either: the launcher runs in this process, where it can patch any clock.
Whether a kernel is right, safe and lean is the business of `judge`.
"""

from __future__ import annotations

import inspect
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import msgspec
import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from grader_kernels.judging import agree
from grader_kernels.problem import Case, Problem
from grader_kernels.replaying import trace

NOT_MEASURED = "speed was not measured: there is no CUDA device here"
GUARD = 256  # elements before and behind a tensor; keeps its alignment
WARM_UPS = 3
REPEATS = 20
LATE = 50e-6  # seconds of work on other streams that count as none
SMALL = 4 << 20  # bytes below which the launch takes longer than the memory
FREE = trace.UNINITIALISED | set(trace.CONSTANT) | set(trace.FILLED_WITH) | trace.COPYING
FREE |= {"aten::fill_", "aten::zero_", "aten::copy_", "aten::lift_fresh"}

_clock = time.perf_counter


class Timed(msgspec.Struct):
    """One run: seconds on the device, seconds that other streams went on behind it, and what the launcher returned."""

    seconds: float
    late: float
    result: Any


class Device(Protocol):
    """All that `measure` asks of a GPU. peak_bandwidth: bytes per second, 0.0 when not known."""

    name: str
    peak_bandwidth: float

    def to_device(self, tensor: torch.Tensor) -> torch.Tensor: ...
    def synchronize(self) -> None: ...
    def flush_l2(self) -> None: ...
    def timed(self, call: Callable[[], Any]) -> Timed: ...


class CudaDevice:
    """The current CUDA device, timed with events on its current stream. Not yet run on a GPU."""

    def __init__(self) -> None:
        properties = torch.cuda.get_device_properties(torch.cuda.current_device())
        self.name = properties.name
        clock = getattr(properties, "memory_clock_rate", 0)  # kHz; two transfers per cycle
        self.peak_bandwidth = 2 * clock * 1e3 * getattr(properties, "memory_bus_width", 0) / 8
        size = max(256 << 20, 2 * getattr(properties, "L2_cache_size", 0))
        self._flusher = torch.empty(size, dtype=torch.int8, device="cuda")

    def to_device(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor.cuda()

    def synchronize(self) -> None:
        torch.cuda.synchronize()

    def flush_l2(self) -> None:
        self._flusher.zero_()

    def timed(self, call: Callable[[], Any]) -> Timed:
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        result = call()
        end.record()
        end.synchronize()
        waited, idle = _seconds(torch.cuda.synchronize), _seconds(torch.cuda.synchronize)  # for other streams; for none
        return Timed(start.elapsed_time(end) / 1e3, max(0.0, waited - idle), result)


def _seconds(action: Callable[[], Any]) -> float:
    started = _clock()
    action()
    return _clock() - started


def cuda() -> Device | None:
    """The device to measure on, None when there is none."""
    return CudaDevice() if torch.cuda.is_available() else None


class Speed(msgspec.Struct):
    """What was measured. Times are medians in seconds; bytes is the floor of the case: what nobody can do without.

    problems   why there is nothing to be proud of: sentences, and then the times are 0.0
    """

    device: str
    case: str
    repeats: int
    seconds: float = 0.0
    reference: float = 0.0
    torch: float = 0.0
    bytes: int = 0
    flops: int = 0
    peak_bandwidth: float = 0.0
    problems: list[str] = []

    @property
    def bandwidth(self) -> float:
        """Needed bytes per second: what is moved in vain doesn't count."""
        return self.bytes / self.seconds if self.seconds else 0.0

    @property
    def share(self) -> float:
        """Of the device's peak bandwidth, 0.0 when that is not known."""
        return self.bandwidth / self.peak_bandwidth if self.peak_bandwidth else 0.0

    def figures(self) -> dict[str, float]:
        """Everything as numbers, for a verdict."""
        known = ("seconds", "reference", "torch", "bandwidth", "share", "bytes", "flops", "peak_bandwidth", "repeats")
        return {name: float(getattr(self, name)) for name in known}

    def says(self) -> str:
        """One sentence."""
        if self.problems:
            return f"speed does not count on {self.device}: {self.problems[0]}"
        words = f"{self.seconds * 1e6:.1f} microseconds on {self.device} ({self.case})"
        words += f", {_times(self.reference, self.seconds, 'our kernel')}"
        words += f", {_times(self.torch, self.seconds, 'torch')}; {self.bandwidth / 1e9:.0f} GB/s"
        if self.share:
            words += f", {self.share:.0%} of the peak"
        return words + ("; so few bytes that mostly the launch was measured" if self.bytes < SMALL else "")


def _times(theirs: float, yours: float, who: str) -> str:
    ratio = theirs / yours
    return f"{ratio:.2f} times as fast as {who}" if ratio >= 1 else f"{1 / ratio:.2f} times as slow as {who}"


# --------------------------------------------------------------------------------------------------------------------
# Inputs: one place in memory for each, with new numbers for every run


class _Guarded:
    """A tensor's memory on the device, between two guard zones. `view` has its shape and strides."""

    def __init__(self, like: torch.Tensor, device: Device) -> None:
        extent = trace.extent_of(list(like.shape), list(like.stride()), 1)
        whole = torch.full(((extent + 2 * GUARD) * like.element_size(),), 0xA5, dtype=torch.uint8)
        self.whole = device.to_device(whole)
        item = like.element_size()
        self.zones = (self.whole[: GUARD * item], self.whole[(GUARD + extent) * item :])
        self.view = self.whole.view(like.dtype).as_strided(like.shape, like.stride(), GUARD)

    def intact(self) -> bool:
        return all(bool((zone == 0xA5).all()) for zone in self.zones)


def _walk(value: Any, path: str) -> list[tuple[str, torch.Tensor]]:
    """Every tensor below `value`, with where it stands."""
    if isinstance(value, torch.Tensor):
        return [(path, value)]
    if isinstance(value, Mapping):
        return [found for key, item in value.items() for found in _walk(item, f"{path}[{key}]" if path else str(key))]
    if isinstance(value, (tuple, list)):
        return [found for i, item in enumerate(value) for found in _walk(item, f"{path}[{i}]")]
    return []


def _replaced(value: Any, path: str, tensors: Mapping[str, torch.Tensor]) -> Any:
    """`value` with the tensors that stand in `tensors`."""
    if isinstance(value, torch.Tensor):
        return tensors[path]
    if isinstance(value, Mapping):
        return {key: _replaced(item, f"{path}[{key}]" if path else str(key), tensors) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return type(value)(_replaced(item, f"{path}[{i}]", tensors) for i, item in enumerate(value))
    return value


class _Inputs:
    """The arguments of all calls: the same memory for every call of one layout."""

    def __init__(self, problem: Problem, device: Device) -> None:
        self.names = list(inspect.signature(problem.reference).parameters)
        self.may_change = tuple(problem.settings.may_change)
        self.device = device
        self.places: dict[tuple, _Guarded] = {}
        self.used: dict[str, _Guarded] = {}
        self.given: dict[str, torch.Tensor] = {}

    def load(self, case: Case) -> tuple[tuple, dict[str, Any]]:
        """The case's arguments on the device."""
        call = dict(zip(self.names, case.args, strict=False)) | dict(case.kwargs)
        self.given = dict(_walk(call, ""))
        self.used = {path: self._place(path, tensor) for path, tensor in self.given.items()}
        for path, place in self.used.items():
            place.view.copy_(self.given[path])
        call = _replaced(call, "", {path: place.view for path, place in self.used.items()})
        return tuple(call[name] for name in self.names[: len(case.args)]), {name: call[name] for name in case.kwargs}

    def _place(self, path: str, tensor: torch.Tensor) -> _Guarded:
        key = (path, tensor.dtype, tuple(tensor.shape), tensor.stride())
        if key not in self.places:
            self.places[key] = _Guarded(tensor, self.device)
        return self.places[key]

    def problems(self) -> list[str]:
        """What happened to them in a call."""
        says = []
        for path, place in self.used.items():
            if not place.intact():
                says.append(f"a kernel wrote next to the argument {path}")
            free = path.split("[")[0] in self.may_change
            if not free and not _same_bits(place.view.cpu(), self.given[path]):
                says.append(f"the launcher changed its argument {path}")
        return says


def _same_bits(a: torch.Tensor, b: torch.Tensor) -> bool:
    return agree.tensor_bits(a) == agree.tensor_bits(b)


# --------------------------------------------------------------------------------------------------------------------
# The watched call


class _Watch(TorchDispatchMode):
    """Names what torch computes, and puts guard zones around what is allocated without numbers in it."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # nothing is compiled here, and importing the compiler takes seconds

    def __init__(self, device: Device) -> None:
        super().__init__()
        self.device = device
        self.computed: list[str] = []
        self.made: list[_Guarded] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        name = func._schema.name
        if name in trace.UNINITIALISED and out.numel() and out.element_size() * out.numel() < 1 << 32:
            self.made.append(_Guarded(out, self.device))
            return self.made[-1].view
        if name not in FREE and not trace._is_view(func._schema) and name not in self.computed:
            self.computed.append(name)
        return out

    def problems(self) -> list[str]:
        says = [f"torch computes in the launcher ({', '.join(self.computed)}): kernels should"] if self.computed else []
        if not all(place.intact() for place in self.made):
            says.append("a kernel wrote next to a tensor that the launcher made")
        return says


# --------------------------------------------------------------------------------------------------------------------
# Measuring


class _Contestant:
    """A launcher, its times, and its last result: which must stay what it was when the next one comes."""

    def __init__(self, launcher: Callable) -> None:
        self.launcher = launcher
        self.seconds: list[float] = []
        self.kept: list[tuple[torch.Tensor, torch.Tensor]] = []

    def keep(self, result: Any) -> None:
        self.kept = [(tensor, tensor.cpu().clone()) for _, tensor in _walk(result, "")]

    def problems(self) -> list[str]:
        changed = any(not _same_bits(tensor.cpu(), copy) for tensor, copy in self.kept)
        return ["the result of one call changes with the next call"] if changed else []


class _Measurement:
    def __init__(
        self, problem: Problem, device: Device, seed: int | None, pick: Callable[[list[Case]], int] | None
    ) -> None:
        self.problem, self.device = problem, device
        self.rng = np.random.Generator(np.random.Philox(seed))
        self.pick, self.number = pick, -1
        self.inputs = _Inputs(problem, device)
        self.case = self.fresh()

    def fresh(self) -> Case:
        """The case, with new numbers."""
        if self.pick is None and self.problem.large is not None:
            return self.problem.large(self.rng)
        sizes = np.random.Generator(np.random.Philox(0))  # the same for every call
        cases = self.problem.cases(self.rng, sizes)
        if self.number < 0:
            self.number = (self.pick or largest(self.problem))(cases)
        return cases[self.number]

    def run(self, contestant: _Contestant, watch: _Watch | None = None) -> tuple[float, list[str]]:
        """One call on new inputs: (seconds, problems)."""
        case = self.fresh()
        args, kwargs = self.inputs.load(case)
        self.device.synchronize()
        self.device.flush_l2()
        self.device.synchronize()
        timed = self.device.timed(lambda: _called(contestant.launcher, args, kwargs, watch))
        says = contestant.problems() + self._wrong(case, timed) + (watch.problems() if watch else [])
        if not says and not self.problem.settings.may_change:
            contestant.keep(timed.result)
        return timed.seconds, says

    def _wrong(self, case: Case, timed: Timed) -> list[str]:
        says = self.inputs.problems()
        if timed.late > LATE:
            says.append("work goes on after the launcher's stream is done: it can't be timed")
        return says + self._off(case, timed.result)

    def _off(self, case: Case, result: Any) -> list[str]:
        odd = [type(item).__name__ for item in agree.outputs(result).values() if type(item) is not torch.Tensor]
        if odd:
            return [f"the launcher returns a {odd[0]}; expected tensors"]
        tensors = {path: tensor.cpu() for path, tensor in _walk(result, "")}
        expected = agree.expect(*self.problem.expected(case), case.factor, self.problem.settings.eps)
        found = agree.compare(_replaced(result, "", tensors), expected)
        return [] if found.passed else [found.says]


def _called(launcher: Callable, args: tuple, kwargs: dict, watch: _Watch | None) -> Any:
    if watch is None:
        return launcher(*args, **kwargs)
    with watch:
        return launcher(*args, **kwargs)


def largest(problem: Problem) -> Callable[[list[Case]], int]:
    """Picks the case that moves most bytes, of those that are measured for bytes."""

    def pick(cases: list[Case]) -> int:
        chosen = [i for i, case in enumerate(cases) if case.lean] or range(len(cases))
        return max(chosen, key=lambda i: problem.floor(*cases[i].args, **cases[i].kwargs).total)

    return pick


def measure(
    problem: Problem,
    launcher: Callable,
    reference_launcher: Callable,
    device: Device,
    *,
    pick: Callable[[list[Case]], int] | None = None,
    seed: int | None = None,
    repeats: int = REPEATS,
) -> Speed:
    """Time `launcher` on `device` against our launcher and against torch (the problem's operator).

    pick    chooses the case among the problem's cases; default: the problem's `large` one, else the `largest` of them
    seed    of the inputs, which are drawn anew for every call; None: nobody knows them before

    A launcher that is wrong once, in any call, is not timed: `problems` says why. Raises what a launcher raises, and
    RuntimeError when our own kernel is wrong on this device.
    """
    work = _Measurement(problem, device, seed, pick)
    floor = problem.floor(*work.case.args, **work.case.kwargs)
    speed = Speed(device.name, work.case.title, repeats, bytes=floor.total, flops=floor.flops)
    speed.peak_bandwidth = device.peak_bandwidth
    yours, ours, plain = runners = [
        _Contestant(f) for f in (launcher, reference_launcher, problem.operator or problem.baseline)
    ]
    speed.problems = _warmed(work, yours, device)
    if speed.problems:
        return speed
    for runner in (ours, plain):
        for _ in range(WARM_UPS):
            says = work.run(runner)[1]
            if says and runner is ours:
                raise RuntimeError(f"our own kernel for {problem.name} fails on {device.name}: {says[0]}")
    for number in range(repeats):
        for place in range(len(runners)):
            runner = runners[(number + place) % len(runners)]
            seconds, says = work.run(runner)
            runner.seconds.append(seconds)
            if says and runner is yours:
                speed.problems = _once(says)
                return speed
    speed.seconds, speed.reference, speed.torch = (statistics.median(runner.seconds) for runner in runners)
    return speed


def _warmed(work: _Measurement, yours: _Contestant, device: Device) -> list[str]:
    """Compile, tune, and look closely; problems."""
    says: list[str] = []
    for number in range(1 + WARM_UPS):
        says += work.run(yours, _Watch(device) if number == 1 else None)[1]
    return _once(says)


def _once(sentences: list[str]) -> list[str]:
    return list(dict.fromkeys(sentences))
