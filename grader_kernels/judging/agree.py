"""Do a kernel's numbers agree with the reference? Shape and dtype first, then NaN and infinity, then the error.

    error    max|got - exact| / max|exact|, `exact` in float64
    allowed  factor x (the error of plain torch in the inputs' own dtype, or what half a unit in the last place of
             float32 in every input changes, when that is more) + eps, and never less than half a unit in the last place
             of a half-precision output; in float64, factor x the error of plain torch + 1e-13

So the precision asked for is part of the answer: what one step less precise makes is an error. Whole numbers and
booleans must be equal, and so must be the numbers of which the task says what they are exactly.
"""

from __future__ import annotations

from typing import Any

import msgspec
import torch

from grader_kernels.judging import relations

ENOUGH, ONCE = 64, 0.1  # numbers, and the share of them that may be off where they are rounded once
OF_DOUBLE = 1e-13  # what is allowed of float64 beside plain torch's own error
HALF_ULP = {torch.float16: 2.0**-11, torch.bfloat16: 2.0**-8}


class Output(msgspec.Struct):
    """One tensor that is expected: its numbers in float64 (or whole), its dtype, and the error allowed, relative to
    its largest number. same: where no error is allowed, None for nowhere. once: half-precision numbers are rounded
    once, from float32."""

    name: str
    exact: Any
    dtype: Any
    allowed: float = 0.0
    same: Any = None
    once: bool = False


class Expected(msgspec.Struct):
    """What a launcher should return. kind: "tensor", "tuple", "list" or "dict"."""

    kind: str
    outputs: list[Output]


class Agreement(msgspec.Struct):
    """Whether it agrees, else a sentence, with the number that is furthest off from both sides.

    error and allowed belong to the output that is furthest off.
    """

    passed: bool
    says: str = ""
    got: str = ""
    expected: str = ""
    error: float | None = None
    allowed: float | None = None


def outputs(value: Any) -> dict[str, Any]:
    """What a launcher or reference returned, by name: "out", or "out 0", "out 1" of a tuple, or a dict's keys."""
    if isinstance(value, (tuple, list)):
        return {f"out {i}": item for i, item in enumerate(value)}
    if isinstance(value, dict):
        return {str(key): item for key, item in value.items()}
    return {"out": value}


def expect(
    exact: Any,
    plain: Any,
    nudged: Any = None,
    factor: float = 4.0,
    eps: float = 1e-6,
    same: Any = None,
    once: bool = False,
) -> Expected:
    """exact: the reference in float64. plain: the operation in torch at the inputs' own dtype, which sets what is
    allowed. nudged: the reference on inputs that are off by half a unit in the last place of float32: of exp(1000 x) no
    way of computing it can know more; None: they change nothing. factor, eps: see the formula above. same: like the
    result, booleans: where it must be exact. once: see `Output`."""
    nudged = exact if nudged is None else nudged
    parts = zip(outputs(exact).items(), outputs(plain).values(), outputs(nudged).values(), strict=True)
    kind = "tensor" if isinstance(exact, torch.Tensor) else type(exact).__name__
    expected = Expected(kind, [_output(name, want, as_is, near, factor, eps) for (name, want), as_is, near in parts])
    for output, where in zip(expected.outputs, outputs(same).values() if same is not None else (), strict=False):
        output.same = where
    for output in expected.outputs:
        output.once = once and output.dtype in HALF_ULP
    return expected


def _output(
    name: str, exact: torch.Tensor, plain: torch.Tensor, nudged: torch.Tensor, factor: float, eps: float
) -> Output:
    if not plain.is_floating_point():
        return Output(name, exact, plain.dtype)
    exact = exact.double()
    number = torch.isfinite(exact) & torch.isfinite(exact.to(plain.dtype))
    scale = _largest(exact[number]) or 1.0
    own = _largest((plain.double() - exact)[number & torch.isfinite(plain)])
    if plain.dtype == torch.float64:
        return Output(name, exact, plain.dtype, factor * own / scale + OF_DOUBLE)
    torch_error = max(own, _largest((nudged.double() - exact)[number & torch.isfinite(nudged)])) / scale
    return Output(name, exact, plain.dtype, max(factor * torch_error + eps, HALF_ULP.get(plain.dtype, 0.0)))


def compare(got: Any, want: Expected) -> Agreement:
    """got: the launcher's result."""
    ours = outputs(got)
    if len(ours) != len(want.outputs):
        expected = "one value" if want.kind == "tensor" else f"a {want.kind} of {len(want.outputs)}"
        return Agreement(False, f"the launcher returns {_count(got, ours)}; expected {expected}")
    worst = Agreement(True)
    for mine, output in zip(ours.values(), want.outputs, strict=True):
        found = _tensor(_called(output.name), mine, output)
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


def _rounded_twice(name: str, got: torch.Tensor, rounded: torch.Tensor, want: Output) -> str:
    """What is rounded once from float32 is the nearest number of its type in 99 of 100 places: in the others the exact
    number lies near the middle of two. What was rounded before is not in one of four or five. Nobody is asked for more
    than float32 holds beside the largest number: next to 100, what is 1e-11 may as well be 0.
    """
    if not want.once or got.numel() < ENOUGH:
        return ""
    beside = 2.0**-24 * _largest(rounded.double()[torch.isfinite(rounded)])
    off = int(((got != rounded) & ~((got.double() - rounded.double()).abs() <= beside)).sum())
    if off <= ONCE * got.numel():
        return ""
    which = f"{off} of {got.numel()} numbers of {name}"
    return f"{which} are not the nearest in {_dtype(want.dtype)}: work in float32 and round once, at the end"


def _tensor(name: str, got: Any, want: Output) -> Agreement:
    exact = want.exact
    if not isinstance(got, torch.Tensor):
        return Agreement(False, f"{name} is {'None' if got is None else f'a {type(got).__name__}'}; expected a tensor")
    if got.shape != exact.shape:
        return Agreement(False, f"{name} has shape {tuple(got.shape)}; expected {tuple(exact.shape)}")
    if got.dtype != want.dtype:
        return Agreement(False, f"{name} is {_dtype(got.dtype)}; expected {_dtype(want.dtype)}")
    if not got.is_floating_point():
        return _whole_numbers(name, got, exact)
    rounded = exact.to(got.dtype)
    odd = _not_finite(name, got, rounded)
    if odd:
        return Agreement(False, odd)
    inexact = _not_the_same(name, got, rounded, want.same)
    if inexact is not None:
        return inexact
    number = torch.isfinite(exact) & torch.isfinite(rounded)
    scale = _largest(exact[number]) or 1.0
    error = _largest(got.double()[number] - exact[number]) / scale
    if error <= want.allowed and (twice := _rounded_twice(name, got[number], rounded[number], want)):
        return Agreement(False, twice, "", "", error, want.allowed)
    if error <= want.allowed:
        return Agreement(True, "", "", "", error, want.allowed)
    return _off(name, got, exact, number, error, want.allowed)


def _whole_numbers(name: str, got: torch.Tensor, exact: torch.Tensor) -> Agreement:
    wrong = got != exact.to(got.dtype)
    if not wrong.any():
        return Agreement(True)
    at = _first(wrong)
    says = f"{name}: {_of(wrong)} are wrong; the first at {_index(at)}"
    return Agreement(False, says, str(got[at].item()), f"{exact[at]:g}")


def _not_the_same(name: str, got: torch.Tensor, want: torch.Tensor, where: torch.Tensor | None) -> Agreement | None:
    """What is said when numbers that the task names exactly are only near."""
    wrong = torch.zeros(()) if where is None else where & (got != want) & torch.isfinite(want)
    if not wrong.any():
        return None
    what = "0" if not want[where].any() else "the number that was given"
    at = _first(wrong)
    says = f"{name}: {_of(wrong)} must be exactly {what} and are not; the first at {_index(at)}"
    return Agreement(False, says, f"{got[at].item():.6g}", f"{want[at].item():.6g}")


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


def _off(
    name: str, got: torch.Tensor, exact: torch.Tensor, number: torch.Tensor, error: float, allowed: float
) -> Agreement:
    away = torch.where(number, (got.double() - exact).abs(), 0.0)
    at = tuple(int(i) for i in torch.unravel_index(away.argmax(), away.shape))
    place = f"; it is worst at {_index(at)}" if at else ""
    says = f"{name} is off by {error:.2g} of its largest value where {allowed:.2g} is allowed{place}"
    found = relations.relation(got, exact, allowed * (_largest(exact[number]) or 1.0))
    says += f"; {found}" if found else ""
    return Agreement(False, says, f"{got[at].item():.6g}", f"{exact[at].item():.6g}", error, allowed)


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
