"""Run context: ordinary `@triton.jit` kernels, launched on CPU tensors, are interpreted. CUDA tensors launch for real.

    with on_cpu():
        kernel[grid](x, y, n, BLOCK=64)        # x, y live on the CPU

What it is: triton's own interpreter, entered launch by launch, with its lies repaired (the types of loop variables and
of constants, casts and their roundings, bf16 arithmetic, `other=0.0`, masked lanes, `and` / `or` / `not` of tensors,
custom reductions, libdevice) and with every address checked against the tensors of the launch, so that an
out-of-bounds access is a sentence (`KernelFault`) and never a crash. An integer argument that is 1 stays an int32 here,
while triton's launcher makes it a constant, whose type may give way to that of a narrower tile.
What it is not: a sandbox (a kernel is Python here; `language` is the gate for kernels one does not trust), a race
detector (programs run one after another), or a clock (an interpreted kernel's time says nothing about a GPU).

`TRITON_INTERPRET` has no effect (`interpreted`). Here `tl` is patched for the length of one launch only, so compiling
works between launches, in the same process.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from triton.runtime.autotuner import Autotuner
from triton.runtime.interpreter import InterpretedFunction
from triton.runtime.jit import JITFunction

from grader_kernels.interpreter import tuned
from grader_kernels.interpreter.interpreted import ordinary
from grader_kernels.interpreter.launch import Observer, Settings
from grader_kernels.interpreter.patches import LOCK
from grader_kernels.interpreter.programs import interpret, tensors_in

_contexts: list[Settings] = []
_originals: dict[str, Any] = {}


def _run(self: JITFunction, *args, grid, warmup, **kwargs):
    """What `kernel[grid](...)` calls while a context is open."""
    if _contexts[-1].recorder is not None:
        return None if warmup else _contexts[-1].recorder(self, grid, args, kwargs)
    if warmup or _is_real(args, kwargs):
        return _originals["run"](self, *args, grid=grid, warmup=warmup, **kwargs)
    for hook in self.pre_run_hooks:
        hook(*args, **kwargs)
    return interpret(self, grid, args, kwargs, _contexts[-1])


def _run_interpreted(self: InterpretedFunction, *args, **kwargs):
    """The same of a kernel that was made under TRITON_INTERPRET=1."""
    return ordinary(self).run(*args, **kwargs)


def _run_autotuned(self: Autotuner, *args, **kwargs):
    """The same of a kernel under `@triton.autotune`."""
    if _is_real(args, kwargs) and _contexts[-1].recorder is None:
        return _originals["autotune"](self, *args, **kwargs)
    return tuned.launch(self, args, kwargs)


def _is_real(args: tuple, kwargs: dict[str, Any]) -> bool:
    """Whether a launch is a GPU's: a tensor lives there, or there is no tensor but a GPU."""
    tensors = list(tensors_in([*args, *kwargs.values()]))
    return any(tensor.is_cuda for tensor in tensors) or (not tensors and torch.cuda.is_available())


def _enter(settings: Settings) -> None:
    with LOCK:
        if not _contexts:
            _originals.update(run=JITFunction.run, autotune=Autotuner.run, interpreted=InterpretedFunction.run)
            JITFunction.run, Autotuner.run, InterpretedFunction.run = _run, _run_autotuned, _run_interpreted
        _contexts.append(settings)


def _leave(settings: Settings) -> None:
    with LOCK:
        _contexts[:] = [context for context in _contexts if context is not settings]
        if not _contexts:
            JITFunction.run, Autotuner.run = _originals["run"], _originals["autotune"]
            InterpretedFunction.run = _originals["interpreted"]


@contextlib.contextmanager
def on_cpu(
    *,
    tf32: bool = True,
    quiet: bool = False,
    observer: Observer | None = None,
    order: Callable[[int], np.ndarray] | None = None,
    recorder: Callable[[JITFunction, Any, tuple, dict], None] | None = None,
) -> Iterator[None]:
    """Interpret kernels launched on CPU tensors; leave launches on CUDA tensors alone. Nests; restores on exit.

    tf32      round the operands of a float32 `tl.dot` to tf32, as a GPU does with the default `input_precision`; False:
              multiply them as they are
    quiet     swallow tl.device_print and tl.static_print
    observer  told what the kernels do
    order     the order programs run in: from their count to a permutation of their numbers
    recorder  called for every launch with (kernel, grid, args, kwargs) INSTEAD of running it
    """
    settings = Settings(tf32, quiet, observer, order, recorder)
    _enter(settings)
    try:
        yield
    finally:
        _leave(settings)


_installed: list[Settings] = []


def install() -> None:
    """Enter `on_cpu()` for the life of the process (notebooks). Calling it again changes nothing."""
    if not _installed:
        _installed.append(Settings())
        _contexts.insert(0, _installed[0]) if _contexts else _enter(_installed[0])
