"""A problem: an operation to write as a GPU kernel, and everything needed to judge an answer.

A problem is a folder:

    problem.py     docstring = the task as the learner reads it (shapes, dtypes, conventions, returns)
                   settings = Settings(...)
                   cases(rng, sizes) -> list[Case]           both numpy Generators (Philox); inputs only, never
                                                             answers. `sizes` draws shapes, blocks, numbers of programs
                                                             and what else a launcher may read; `rng` draws the numbers,
                                                             which reach a result through kernels only
                   reference(*args, **kwargs)                slow and obvious, in float64 (or exact integers)
                   floor(*args, **kwargs) -> Floor           the bytes nobody can do without, and why
                   programs(*args, **kwargs) -> int          how many programs share the work at least, as
                                                             settings.share says; left out where the task doesn't ask
                   exact(*args, **kwargs) -> bool tensors    like the result: where it must be the reference to the
                                                             last bit, as the task says; left out where nowhere
                   baseline(*args, **kwargs)                 the operation in torch with the rounding that the task
                                                             asks for; left out where that is `reference` on the inputs
                                                             as they are. Its error says how much an answer may have
                   large(rng) -> Case                        what is timed on a GPU: so large that the launch itself
                                                             takes no part; left out where the largest case will do
                   operator(*args, **kwargs)                 what one would call in torch on a GPU, to compare times
                                                             with; left out where that is `baseline`
    right.py       other correct kernels, in other styles
    wrong.py       what learners get wrong: each states the group that it loses and words that the verdict must hold
    reference.py   our kernel, where no notebook teaches it; else the notebook's exercise is the solution
    cheat files live in tests, not here

Every kernel file defines its @triton.jit kernels and a launcher named like the problem, which takes and returns torch
tensors. Not here: judging (`judge`), running (`replay`).
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import numpy as np
import torch

FOLDER = Path(__file__).parent / "problems"
GROUPS = ("right", "safe", "lean", "compiles")


class ProblemError(ValueError):
    """A problem that doesn't exist or is written wrongly; one sentence."""


@dataclass(frozen=True)
class Case:
    """One call of the launcher.

    title      what it shows: "rows wider than a block"
    points_to  one sentence shown when the numbers are wrong here: what usually causes that
    lean       measure traffic here against the floor, times `slack`
    compile    what is launched here must compile for every target, and shows what it needs; launches of other cases
               must compile for the first one
    stack      bytes of stack per thread that are allowed here, when settings.stack allows less
    factor     how much more rounding than the float64 reference's one-pass torch baseline is allowed (see judge)
    """

    title: str
    args: tuple
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    points_to: str = ""
    lean: bool = False
    compile: bool = False
    stack: int = 0
    slack: float = 1.0
    weight: float = 1.0
    factor: float = 4.0


@dataclass(frozen=True)
class Floor:
    """Bytes that have to move. loads by argument name, stores by output ("out", or "out 0", "out 1" of a tuple).

    why       the derivation in words, with the formula of the shapes
    resident  arguments so small that every program reads them from a cache: their loads count once per launch
    flops     of tl.dot, 0 when the operation needs none
    """

    loads: Mapping[str, int]
    stores: Mapping[str, int]
    why: str
    resident: tuple[str, ...] = ()
    flops: int = 0

    def plain(self) -> dict[str, Any]:
        """As dicts and lists: what `lean` judges by and a recorded case holds."""
        loads, stores = dict(self.loads), dict(self.stores)
        return {"loads": loads, "stores": stores, "resident": list(self.resident), "why": self.why}

    @property
    def total(self) -> int:
        return sum(self.loads.values()) + sum(self.stores.values())


class Settings(msgspec.Struct, frozen=True):
    """What counts in a problem.

    weights       points by group, summing to 10
    launches      how many kernel launches are allowed
    may_change    argument names that the operation changes in place
    atomics       True: float atomics may be used, so the order of programs may change the last bits
    stack         bytes of stack per thread that are still allowed (spills), by target or for all
    tensor_cores  True: tl.dot must become tensor-core instructions, in every kernel that has one and in one at least;
                  "half": besides, none of them may multiply float32 tiles (as tf32, at half the speed)
    vector_bits   the widest global load must have at least this many bits, 0: not asked
    eps           absolute part of the tolerance, in units of max |reference|
    contiguous    what a launcher returns must be new and contiguous, as the task says; False: any strides will do
    may_read      argument names that a launcher may look at in Python, though that waits for the GPU
    block         True: the argument `block` says how many columns a program holds at once, and it stores no more
    once          True: a result in half precision is rounded once, from float32
    share         the sentence of the task on how many programs share the work ("" when the problem has no `programs`)
    """

    weights: dict[str, int] = msgspec.field(default_factory=lambda: {"right": 4, "safe": 2, "lean": 2, "compiles": 2})
    launches: int = 1
    may_change: tuple[str, ...] = ()
    atomics: bool = False
    stack: int = 0
    tensor_cores: bool | str = False
    vector_bits: int = 0
    eps: float = 1e-6
    contiguous: bool = True
    may_read: tuple[str, ...] = ()
    block: bool = False
    once: bool = False
    share: str = ""

    @property
    def rule(self) -> str:
        """The sentences on launches and programs that a prompt says."""
        allowed = "One launch" if self.launches == 1 else f"At most {self.launches} launches"
        return f"{allowed}; copies, conversions and fills by torch count as launches. {self.share}".strip()


@dataclass(frozen=True)
class Problem:
    """A loaded problem. `baseline` is the operation in torch at the inputs' own dtype: it sets the tolerance."""

    name: str
    folder: Path
    task: str
    settings: Settings
    cases: Callable[[np.random.Generator, np.random.Generator], list[Case]]
    reference: Callable
    floor: Callable[..., Floor]
    baseline: Callable
    programs: Callable[..., int] | None = None
    exact: Callable | None = None
    large: Callable[[np.random.Generator], Case] | None = None
    operator: Callable | None = None

    def expected(self, case: Case) -> tuple[Any, Any, Any]:
        """(the reference in float64, the operation in the inputs' own dtype, the reference on inputs that are off by
        half a unit in the last place of float32), each on copies of the case's inputs."""
        (args, kwargs), (own_args, own_kwargs) = (copied((case.args, dict(case.kwargs))) for _ in range(2))
        exact = in_float64((args, kwargs))
        near_args, near_kwargs = nudged(exact)
        with torch.no_grad():
            near = self.reference(*near_args, **near_kwargs)
            return self.reference(*exact[0], **exact[1]), self.baseline(*own_args, **own_kwargs), near


def names() -> list[str]:
    """All problems of this course."""
    return sorted(path.parent.name for path in FOLDER.glob("*/problem.py"))


def load(name: str | Path) -> Problem:
    """The problem called `name`, or the one in a folder (a Path). Raises ProblemError."""
    folder = name if isinstance(name, Path) else FOLDER / name
    path = folder / "problem.py"
    if not path.is_file():
        raise ProblemError(f"there is no problem called {folder.name}; there are {', '.join(names())}")
    module = _module(path)
    missing = [part for part in ("cases", "reference", "floor") if not callable(getattr(module, part, None))]
    if missing:
        raise ProblemError(f"{path}: expected a function {missing[0]}")
    settings = getattr(module, "settings", Settings())
    if set(settings.weights) != set(GROUPS) or not math.isclose(sum(settings.weights.values()), 10):
        raise ProblemError(f"{path}: weights must name {', '.join(GROUPS)} and sum to 10")
    baseline = getattr(module, "baseline", module.reference)
    task = (module.__doc__ or "").strip()
    asked = (getattr(module, name, None) for name in ("programs", "exact", "large", "operator"))
    return Problem(folder.name, folder, task, settings, module.cases, module.reference, module.floor, baseline, *asked)


def _module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"problem_{path.parent.name}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def copied(value: Any) -> Any:
    """`value` with a clone of every tensor in it."""
    if isinstance(value, torch.Tensor):
        return value.clone()
    if isinstance(value, dict):
        return {key: copied(item) for key, item in value.items()}
    return type(value)(copied(item) for item in value) if isinstance(value, (tuple, list)) else value


def copy_into(target: torch.Tensor, source: torch.Tensor) -> None:
    """target.copy_(source), also where a dimension was expanded and many elements share one place."""
    for dim, stride in enumerate(target.stride()):
        if stride == 0 and target.shape[dim] > 1:
            target, source = target.narrow(dim, 0, 1), source.narrow(dim, 0, 1)
    if target.numel():
        target.copy_(source)


def in_float64(value: Any) -> Any:
    """Arguments with every float tensor in float64: what `reference` is called with."""
    if isinstance(value, torch.Tensor):
        return value.double() if value.is_floating_point() else value
    if isinstance(value, (tuple, list)):
        return type(value)(in_float64(item) for item in value)
    return {key: in_float64(item) for key, item in value.items()} if isinstance(value, Mapping) else value


def nudged(value: Any) -> Any:
    """Arguments in float64 with every float tensor off by 2**-24 of itself, up or down in turn."""
    if isinstance(value, torch.Tensor):
        if not value.is_floating_point():
            return value.clone()
        turns = torch.arange(value.numel()).reshape(value.shape)
        return value * (1 + 2.0**-24 * ((turns * 2654435761 >> 7) % 2 * 2 - 1))
    if isinstance(value, (tuple, list)):
        return type(value)(nudged(item) for item in value)
    return {key: nudged(item) for key, item in value.items()} if isinstance(value, Mapping) else value


def power_of_two(sizes: np.random.Generator, low: int, high: int) -> int:
    """One of the powers of two from low to high, both of them powers of two."""
    return 1 << int(sizes.integers(low.bit_length() - 1, high.bit_length()))


def normal(rng: np.random.Generator, *shape: int, spread: float = 1.0, mean: float = 0.0,
           dtype: torch.dtype = torch.float32) -> torch.Tensor:  # fmt: skip
    """Normal numbers drawn in float64 and rounded once."""
    return torch.from_numpy(np.asarray(rng.standard_normal(shape) * spread + mean)).to(dtype)


def strided(x: torch.Tensor, layout: str = "transposed") -> torch.Tensor:
    """The values of `x` in another layout: "transposed" (last two axes), "every_other" or "offset"."""
    if layout == "transposed":
        return x.transpose(-1, -2).contiguous().transpose(-1, -2)
    wide = torch.zeros(*x.shape[:-1], 2 * x.shape[-1] + 1, dtype=x.dtype)
    view = wide[..., : 2 * x.shape[-1] : 2] if layout == "every_other" else wide[..., 1 : 1 + x.shape[-1]]
    return view.copy_(x)
