"""`from course.kernels import tl, triton`: the one import of every kernel exercise.

With triton installed, kernels launched on CPU tensors are interpreted from here on and CUDA tensors launch for real
(`grader_kernels.interpreter.context.install`). Without it (macOS, Windows) both names are stand-ins: kernels can be
defined, so that 'run all' never breaks, and a launch raises NotImplementedError with one line that says where kernels
do run.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from grader_kernels import NO_TRITON  # before triton: it clears TRITON_INTERPRET


class _Kernel:
    """A kernel that can be defined and indexed with a grid, but not launched."""

    def __init__(self, fn: Callable) -> None:
        self.fn = fn
        self.__name__ = getattr(fn, "__name__", "kernel")
        self.__doc__ = getattr(fn, "__doc__", None)

    def __getitem__(self, grid: Any) -> Callable:
        return self

    def __call__(self, *args: Any, **kwargs: Any) -> None:
        raise NotImplementedError(NO_TRITON)

    run = warmup = __call__


class _Language:
    """Stands for `triton.language`: every name exists (annotations and defaults need that), nothing can be called."""

    def __init__(self, name: str = "tl") -> None:
        self._name = name

    def __getattr__(self, name: str) -> _Language:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Language(f"{self._name}.{name}")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._name == "tl.constexpr" and len(args) == 1:
            return args[0]
        raise NotImplementedError(NO_TRITON)

    def __repr__(self) -> str:
        return self._name


class _Triton:
    """Stands for `triton`: what launchers use outside a kernel works, `jit` returns a kernel that can't be launched."""

    def __init__(self) -> None:
        self.language = _Language()

    @staticmethod
    def jit(fn: Callable | None = None, **options: Any) -> Any:
        return _Kernel(fn) if fn is not None else _Kernel

    @staticmethod
    def autotune(*args: Any, **options: Any) -> Callable:
        return lambda kernel: kernel

    heuristics = autotune

    @staticmethod
    def Config(*args: Any, **options: Any) -> None:
        return None

    @staticmethod
    def cdiv(x: int, y: int) -> int:
        """Ceiling of x / y."""
        return -(-x // y)

    @staticmethod
    def next_power_of_2(n: int) -> int:
        """The smallest power of two that is at least n."""
        return 1 << max(n - 1, 0).bit_length()


try:
    import triton
    import triton.language as tl
except Exception:  # not only ImportError: a broken install must not break a notebook either
    triton = _Triton()
    tl = triton.language
    _found = False
else:
    from grader_kernels.interpreter import context

    context.install()
    _found = True


def available() -> bool:
    """True when kernels run here (interpreted on the CPU, or for real on a GPU)."""
    return _found


def show_accesses(launcher: Callable, *args: Any, **kwargs: Any) -> None:
    """Show what one program of `launcher(*args, **kwargs)` loads and stores, access by access.

    A launcher that isn't written yet, or a system without Triton, gives one line instead of a picture.
    """
    if not _found:
        return print(NO_TRITON)
    from course import picture, plots

    try:
        found = picture.of_launch(launcher, args, kwargs)
    except NotImplementedError as error:
        return print(f"Waiting for an exercise above: {error}.")
    except Exception as error:
        return print(f"The launch did not get through ({type(error).__name__}: {error}): see what its check says.")
    title = f"What one program of {launcher.__name__} touches"
    return plots.show(picture.pattern(found, title=title), alt=picture.describe(found))


__all__ = ["available", "show_accesses", "tl", "triton"]
