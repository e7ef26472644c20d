"""Do a kernel's numbers agree with the reference? Shape and dtype first, then NaN and infinity, then the error.

    error    max|got - exact| / max|exact|, `exact` in float64
    allowed  factor x (the error of plain torch in the inputs' own dtype) + eps, and never less than half a unit in the
             last place of a half-precision output

So the precision asked for is part of the answer: what one step less precise makes is an error. Whole numbers and
booleans must be equal.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import torch

HALF_ULP = {torch.float16: 2.0**-11, torch.bfloat16: 2.0**-8}


@dataclasses.dataclass
class Agreement:
    """Whether it agrees, else a sentence. error and allowed belong to the output that is furthest off."""

    passed: bool
    says: str = ""
    error: float | None = None
    allowed: float | None = None


def outputs(value: Any) -> dict[str, Any]:
    """What a launcher or reference returned, by name: "out", or "out 0", "out 1" of a tuple, or a dict's keys."""
    if isinstance(value, (tuple, list)):
        return {f"out {i}": item for i, item in enumerate(value)}
    if isinstance(value, dict):
        return {str(key): item for key, item in value.items()}
    return {"out": value}


def compare(got: Any, exact: Any, plain: Any, factor: float = 4.0, eps: float = 1e-6) -> Agreement:
    """got: the launcher's result. exact: the reference in float64. plain: the operation in the inputs' dtype."""
    ours, exacts, plains = outputs(got), outputs(exact), outputs(plain)
    if len(ours) != len(exacts):
        return Agreement(False, f"the launcher returns {_count(got, ours)}; expected {_count(exact, exacts)}")
    worst = Agreement(True)
    for (name, mine), want, same in zip(ours.items(), exacts.values(), plains.values(), strict=True):
        found = _tensor(_called(name), mine, want, same, factor, eps)
        if not found.passed:
            return found
        if worst.error is None or (found.error or 0) / (found.allowed or 1) > worst.error / (worst.allowed or 1):
            worst = found
    return worst


def _count(value: Any, parts: dict) -> str:
    if not isinstance(value, (tuple, list, dict)):
        return "one value"
    return f"a {type(value).__name__} of {len(parts)}"


def _called(name: str) -> str:
    return "the result" if name == "out" else f"returned tensor {name.removeprefix('out ')}"


def _tensor(name: str, got: Any, exact: torch.Tensor, plain: torch.Tensor, factor: float, eps: float) -> Agreement:
    if not isinstance(got, torch.Tensor):
        return Agreement(False, f"{name} is {'None' if got is None else f'a {type(got).__name__}'}; expected a tensor")
    if got.shape != exact.shape:
        return Agreement(False, f"{name} has shape {tuple(got.shape)}; expected {tuple(exact.shape)}")
    if got.dtype != plain.dtype:
        return Agreement(False, f"{name} is {_dtype(got.dtype)}; expected {_dtype(plain.dtype)}")
    if not got.is_floating_point():
        return _whole_numbers(name, got, exact)
    exact, rounded = exact.double(), exact.to(got.dtype)
    odd = _not_finite(name, got, rounded)
    if odd:
        return Agreement(False, odd)
    number = torch.isfinite(exact) & torch.isfinite(rounded)
    scale = _largest(exact[number]) or 1.0
    error = _largest(got.double()[number] - exact[number]) / scale
    torch_error = _largest((plain.double() - exact)[number & torch.isfinite(plain)]) / scale
    allowed = max(factor * torch_error + eps, HALF_ULP.get(got.dtype, 0.0))
    if error <= allowed:
        return Agreement(True, "", error, allowed)
    return Agreement(False, _off(name, got, exact, number, error, allowed), error, allowed)


def _whole_numbers(name: str, got: torch.Tensor, exact: torch.Tensor) -> Agreement:
    wrong = got != exact.to(got.dtype)
    if not wrong.any():
        return Agreement(True)
    at = _first(wrong)
    says = f"{name}: {_of(wrong)} are wrong; the first at {_index(at)}: yours {got[at].item()}, expected {exact[at]:g}"
    return Agreement(False, says)


def _not_finite(name: str, got: torch.Tensor, want: torch.Tensor) -> str:
    """A sentence when NaN and infinity don't stand where they should."""
    cases = (
        (got.isnan() & ~want.isnan(), "are NaN where a number is expected"),
        (got.isinf() & (got != want), "are infinite where they should not be"),
        (want.isnan() & ~got.isnan(), "should be NaN and are numbers"),
        (want.isinf() & (got != want), "should be infinite and are not"),
    )
    for wrong, says in cases:
        if wrong.any():
            at = _first(wrong)
            return f"{name}: {_of(wrong)} {says}; the first at {_index(at)}"
    return ""


def _off(name: str, got: torch.Tensor, exact: torch.Tensor, number: torch.Tensor, error: float, allowed: float) -> str:
    away = torch.where(number, (got.double() - exact).abs(), 0.0)
    at = tuple(int(i) for i in torch.unravel_index(away.argmax(), away.shape))
    place = f" at {_index(at)}" if at else ""
    return (
        f"{name} is off by {error:.2g} of its largest value; {allowed:.2g} is allowed. "
        f"Worst{place}: yours {got[at].item():.6g}, expected {exact[at].item():.6g}"
    )


def _largest(x: torch.Tensor) -> float:
    return float(x.abs().max()) if x.numel() else 0.0


def _first(wrong: torch.Tensor) -> tuple[int, ...]:
    return tuple(int(i) for i in wrong.nonzero()[0])


def _index(at: tuple[int, ...]) -> str:
    return f"[{', '.join(map(str, at))}]"


def _of(wrong: torch.Tensor) -> str:
    bad = int(wrong.sum())
    return f"all {bad} numbers" if bad == wrong.numel() > 1 else f"{bad} of {wrong.numel()} numbers"


def _dtype(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def bits(value: Any) -> list[bytes]:
    """The bytes of every tensor in a result: equal exactly when the results agree bit for bit, NaN included."""
    return [tensor_bits(part) for part in outputs(value).values() if isinstance(part, torch.Tensor) and part.numel()]


def tensor_bits(tensor: torch.Tensor) -> bytes:
    """The bytes of its elements in order, whatever its strides: one element may have any stride and be contiguous."""
    dense = tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
    return dense.reshape(-1).view(torch.uint8).numpy().tobytes()


def alike(a: Any, b: Any, tolerance: float = 1e-4) -> bool:
    """Are these two the same mistake? NaN and infinity in the same places, the rest within `tolerance`."""
    ours, theirs = list(outputs(a).values()), list(outputs(b).values())
    return len(ours) == len(theirs) and all(_alike(x, y, tolerance) for x, y in zip(ours, theirs, strict=True))


def _alike(a: Any, b: Any, tolerance: float) -> bool:
    if not (isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor)) or a.shape != b.shape or a.dtype != b.dtype:
        return False
    if not a.is_floating_point():
        return torch.equal(a, b)
    finite = torch.isfinite(a) & torch.isfinite(b)
    odd = (a == b) | (a.isnan() & b.isnan()) | finite
    scale = _largest(b[finite].double()) or 1.0
    room = max(tolerance, 4 * HALF_ULP.get(a.dtype, 0.0))
    return bool(odd.all()) and _largest((a.double() - b.double())[finite]) <= room * scale
