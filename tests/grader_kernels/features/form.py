"""The form of a feature: a kernel of a few lines, its inputs, and what it must compute, found without Triton.

    feature("exp", "out = tl.exp(x)", np.exp, x=real(16))

The body is put into a kernel that loads each tensor among the inputs as a tile of its shape, under its name, and
stores `out`; numbers are plain parameters, names in capitals are tl.constexpr. A body with `def kernel(` is a whole
kernel, whose parameters have these names. What it is not: a judgement; test_features.py runs and compares.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import linecache
import re
import textwrap
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

HEAD = "import triton\nimport triton.language as tl\nfrom triton.language.extra import libdevice\n\n\n"
WITHIN = {"float64": 1e-14, "float32": 5e-7, "float16": 1e-3, "bfloat16": 8e-3}  # relative, of a rounded result
FEATURES: dict[str, Feature] = {}
_numbers = itertools.count()


# inputs ---------------------------------------------------------------------------------------------------------------


def _generator(shape: tuple[int, ...], low: float, high: float) -> np.random.Generator:
    return np.random.Generator(np.random.Philox([*shape, int(1000 * abs(low)), int(1000 * abs(high))]))


def real(*shape: int, dtype: str = "float32", low: float = -3.0, high: float = 3.0, seed: int = 0) -> torch.Tensor:
    """Uniform numbers."""
    draws = _generator(shape, low + seed, high).uniform(low, high, shape)
    return torch.from_numpy(draws).to(getattr(torch, dtype))


def positive(*shape: int, dtype: str = "float32", high: float = 4.0, seed: int = 0) -> torch.Tensor:
    return real(*shape, dtype=dtype, low=0.1, high=high, seed=seed)


def whole(*shape: int, dtype: str = "int32", low: int = -20, high: int = 20, seed: int = 0) -> torch.Tensor:
    """Whole numbers, from low to below high, in any dtype."""
    return torch.from_numpy(_generator(shape, low + seed, high).integers(low, high, shape)).to(getattr(torch, dtype))


def mixed(*shape: int, dtype: str = "int32", seed: int = 0) -> torch.Tensor:
    """A permutation of 0, 1, 2, ... in this shape: no two alike."""
    order = _generator(shape, seed, 0).permutation(int(np.prod(shape))).reshape(shape)
    return torch.from_numpy(order).to(getattr(torch, dtype))


def flags(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(_generator(shape, seed, 1).integers(0, 2, shape)).bool()


def these(*values: Any, dtype: str = "float32") -> torch.Tensor:
    return torch.tensor(values, dtype=getattr(torch, dtype))


def plain(value: Any) -> Any:
    """An input as numpy knows it: floats in float64, whole numbers in int64, without loss."""
    if isinstance(value, tuple):
        return type(value)(*map(plain, value)) if hasattr(value, "_fields") else tuple(map(plain, value))
    if not isinstance(value, torch.Tensor):
        return value
    if value.dtype == torch.bool:
        return value.numpy()
    return value.to(torch.float64 if value.is_floating_point() else torch.int64).numpy()


def rounded(value: Any, dtype: str) -> torch.Tensor:
    """Numbers of numpy in a dtype of torch: floats rounded once, whole numbers wrapped."""
    if isinstance(value, torch.Tensor):
        return value.to(getattr(torch, dtype))
    value = np.asarray(value)
    if dtype.startswith(("int", "uint")):
        bits = int(dtype.lstrip("uint"))
        sign = 0 if dtype.startswith("u") else 1 << (bits - 1)
        wrapped = [(int(n) + sign) % (1 << bits) - sign for n in value.reshape(-1)]
        return torch.tensor(wrapped, dtype=getattr(torch, dtype)).reshape(value.shape)
    return torch.from_numpy(np.array(value)).to(getattr(torch, dtype))


# features -------------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Feature:
    """One feature of the language.

    inputs      by the name of the kernel's parameter; constants: its tl.constexpr, options: of the launch
    expected    name of an output: what it must hold, in its dtype
    within      how far a float may be from it, relative to the number; near: or in itself
    start       what the outputs hold before the launch; None: nothing
    """

    theme: str
    name: str
    source: str
    inputs: dict[str, Any]
    constants: dict[str, Any]
    options: dict[str, Any]
    expected: dict[str, torch.Tensor]
    grid: tuple[int, ...]
    within: float | None
    near: float
    start: float | None

    @functools.cached_property
    def module(self) -> dict[str, Any]:
        """What the source defines, executed once."""
        filename = f"<feature {next(_numbers)}>"
        linecache.cache[filename] = (len(self.source), None, self.source.splitlines(keepends=True), filename)
        namespace: dict[str, Any] = {"__name__": "feature"}
        exec(compile(self.source, filename, "exec", dont_inherit=True), namespace)
        return namespace

    def arguments(self) -> dict[str, Any]:
        """The inputs, and what the source alone can tell: `@name` stands for a name of the module."""
        return {name: self._named(value) for name, value in self.inputs.items()}

    def _named(self, value: Any) -> Any:
        if isinstance(value, str) and value.startswith("@"):
            return eval(value[1:], self.module)
        return value

    def launch(self, *inputs: Any) -> list[torch.Tensor]:
        """The launcher: one launch, by keyword."""
        outputs = {name: self._empty(made) for name, made in self.expected.items()}
        constants = {name: self._named(value) for name, value in self.constants.items()}
        kernel = self.module["kernel"]
        given = dict(zip(self.inputs, inputs)) | outputs
        named = {name if name in kernel.arg_names else f"{name}_ptr": value for name, value in given.items()}
        kernel[self.grid](**named, **constants, **self.options)
        return list(outputs.values())

    def _empty(self, like: torch.Tensor) -> torch.Tensor:
        if self.start is None:
            return torch.empty(like.shape, dtype=like.dtype)
        return torch.full(like.shape, self.start, dtype=like.dtype)

    def wrong(self, outputs: list[torch.Tensor]) -> str:
        """The first output that is not what it must be, in a few words; "" when all are."""
        for (name, right), got in zip(self.expected.items(), outputs, strict=True):
            near = self.near if right.is_floating_point() else 0.0
            within = WITHIN.get(str(right.dtype).removeprefix("torch."), 0.0) if self.within is None else self.within
            if got.dtype != right.dtype or got.shape != right.shape:
                return f"{name} is {got.dtype} of shape {tuple(got.shape)}"
            if not torch.allclose(got.double(), right.double(), rtol=within, atol=near, equal_nan=True):
                return f"{name} is {got.tolist()}, not {right.tolist()}"
            if right.dtype == torch.int64 and not torch.equal(got, right):
                return f"{name} differs in its last digits"
        return ""


def theme(called: str) -> Callable:
    """The function that adds features to one theme."""
    return functools.partial(_feature, called)


def _feature(
    theme: str,
    name: str,
    body: str,
    gives: Any,
    *,
    above: str = "",
    dtype: str | dict[str, str] = "",
    grid: tuple[int, ...] = (1,),
    options: dict[str, Any] | None = None,
    within: float | None = None,
    near: float = 0.0,
    start: float | None = None,
    **given: Any,
) -> None:
    """Adds one feature.

    body    lines of a kernel, or a whole source with `def kernel(`
    gives   the expected numbers, or a function of the inputs as `plain` has them; a dict for several outputs
    above   what stands above the kernel
    dtype   of the outputs; without it float32, int32 and bool, as the expected numbers are
    """
    if name in FEATURES:
        raise ValueError(f"there are two features {name}")
    constants = {key: value for key, value in given.items() if key.isupper()}
    inputs = {key: value for key, value in given.items() if not key.isupper()}
    numbers = _called(gives, {key: plain(value) for key, value in inputs.items()}) if callable(gives) else gives
    numbers = numbers if isinstance(numbers, dict) else {"out": numbers}
    kinds = dtype if isinstance(dtype, dict) else dict.fromkeys(numbers, dtype)
    expected = {key: rounded(value, kinds.get(key) or _kind(value)) for key, value in numbers.items()}
    body, above = textwrap.dedent(body).strip(), textwrap.dedent(above).strip()
    text = body + "\n" if "def kernel(" in body else _kernel(body, inputs, constants, expected)
    text = f"{above}\n\n\n{text}" if above else text
    source = text if re.search("^(import|from) triton", text, re.M) else HEAD + text
    FEATURES[name] = Feature(theme, name, source, inputs, constants, options or {}, expected, grid, within, near, start)


def _called(gives: Callable, inputs: dict[str, Any]) -> Any:
    """By keyword where the function has the names of the inputs, else in their order."""
    code = getattr(gives, "__code__", None)
    names = code.co_varnames[: code.co_argcount] if code else ()
    return gives(**inputs) if set(inputs) <= set(names) else gives(*inputs.values())


def _kind(value: Any) -> str:
    if isinstance(value, torch.Tensor):
        return str(value.dtype).removeprefix("torch.")
    return {"f": "float32", "b": "bool", "O": "int64"}.get(np.asarray(value).dtype.kind, "int32")


# the kernel around a body ---------------------------------------------------------------------------------------------


def _kernel(body: str, inputs: dict, constants: dict, expected: dict[str, torch.Tensor]) -> str:
    tiles = {name: value for name, value in inputs.items() if isinstance(value, torch.Tensor)}
    parameters = [f"{name}_ptr" if name in tiles else name for name in inputs]
    parameters += [f"{name}_ptr" for name in expected] + [f"{name}: tl.constexpr" for name in constants]
    lines = [f"{name} = tl.load({_place(name, value)})" for name, value in tiles.items()]
    lines += body.split("\n")
    lines += [f"tl.store({_place(name, value)}, {name})" for name, value in expected.items()]
    inside = textwrap.indent("\n".join(lines), "    ")
    return f"@triton.jit\ndef kernel({', '.join(parameters)}):\n{inside}\n"


def _place(name: str, tensor: torch.Tensor) -> str:
    """The pointers to a whole contiguous tensor, as a tile of its shape."""
    terms = [f"{name}_ptr"]
    for axis, size in enumerate(tensor.shape):
        others = ["None"] * tensor.dim()
        others[axis] = ":"
        lanes = f"tl.arange(0, {size})" + (f"[{', '.join(others)}]" if tensor.dim() > 1 else "")
        step = int(np.prod(tensor.shape[axis + 1 :]))
        terms.append(lanes + (f" * {step}" if step > 1 else ""))
    return " + ".join(terms)
