"""When are two values the same? Shape, dtype, device and NaN first, then numbers within a derived tolerance.

The tolerance for a dtype with unit roundoff u is 64 u x condition x max|expected| (float64, float32). `condition` is
how much the operation magnifies a rounding error of its input; for a softmax that is its largest |score|. For half
types the factor is 2, and the root mean square of the error must stay within 2.2 u, which the next lower precision
exceeds. Source of the form: forward error <= condition x backward error (Higham 2002, section 1.6).

A comparison returns None, or a `Difference`: a sentence and two small renderings.
"""

from __future__ import annotations

import math
import os
from typing import Any, NamedTuple

import numpy as np
import torch

from grader_kernels.judging import relations

# What a check asks of a value.
COMPARISONS = ("close", "equal", "between", "likely", "among", "drawn", "different", "raises")
CHANCE = ("likely", "drawn")  # those in which chance has a hand: an outcome keeps whether they hold
UNIT_ROUNDOFF = {
    torch.float64: 2.0**-53,
    torch.float32: 2.0**-24,
    torch.float16: 2.0**-11,
    torch.bfloat16: 2.0**-8,
}
SHOWN = 8  # numbers of a row, and of a tensor among arguments
WINDOW = 72  # characters of a list
LINE = 110  # characters of a call
DEPTH = 3  # of lists in lists
COUNTED = ("first", "second", "third", "fourth")


class Difference(NamedTuple):
    """What is wrong, in a sentence, with what was got and expected as small text."""

    says: str
    got: str = ""
    expected: str = ""


def tolerance(expected: torch.Tensor, condition: float = 1.0) -> float:
    """Largest allowed |got - expected| for a float tensor, relative to its largest finite magnitude."""
    finite = expected[torch.isfinite(expected)].double().abs()
    scale = float(finite.max()) if finite.numel() else 0.0
    u = UNIT_ROUNDOFF[expected.dtype]
    factor = 64.0 if u < 1e-5 else 2.0
    return factor * u * max(condition, 1.0) * scale + 1e-30


def by(comparison: str, got: Any, wanted: list, condition: float = 1.0) -> Difference | None:
    """What one of COMPARISONS finds; `raises` is of operations, not of a value."""
    if comparison == "close":
        return close(got, wanted[0], condition)
    if comparison == "equal":
        return equal(got, wanted[0])
    if comparison == "different":
        return different(got)
    return among(got, wanted[0]) if comparison in ("among", "drawn") else between(got, wanted[0], wanted[1])


def close(got: Any, expected: Any, condition: float = 1.0, where: str = "") -> Difference | None:
    """None when `got` equals `expected`: structures element by element, floats within tolerance, the rest exactly."""
    if isinstance(expected, torch.Tensor):
        return _tensors(got, expected, condition, where)
    if isinstance(expected, np.ndarray):
        if not isinstance(got, np.ndarray):
            return _kind(got, "a numpy array", where)
        return _tensors(torch.from_numpy(got.copy()), torch.from_numpy(expected.copy()), condition, where)
    if isinstance(expected, dict):
        return _dicts(got, expected, condition, where)
    if isinstance(expected, (tuple, list)):
        return _sequences(got, expected, condition, where)
    if isinstance(expected, float):
        return _numbers(got, expected, condition, where)
    return equal(got, expected, where)


def equal(got: Any, expected: Any, where: str = "") -> Difference | None:
    """None when the two are exactly equal; a bool is no int, and where an int is expected a float is none either."""
    if isinstance(expected, torch.Tensor) and not expected.is_floating_point():
        return _tensors(got, expected, 1.0, where)
    if isinstance(expected, torch.Tensor):
        return _tensors(got, expected, 1e-9, where)
    if isinstance(expected, (tuple, list, dict)):
        walk = _dicts if isinstance(expected, dict) else _sequences
        return walk(got, expected, None, where)
    plain = _plain(got)
    if type(expected) is int and isinstance(plain, float):
        return _kind(got, f"an int, {_small(expected)}", where)
    if isinstance(expected, bool) != isinstance(plain, bool) or isinstance(expected, str) != isinstance(plain, str):
        return _kind(got, "None" if expected is None else f"{_article(expected)}, {expected!r}", where)
    if not isinstance(plain, (int, float, str, bytes, bool, type(None))) or plain != expected:
        return Difference(f"{where or 'the result'} is wrong", *_apart(plain, expected))
    return None


def among(got: Any, options: tuple | list) -> Difference | None:
    """None when `got` is exactly one of the options."""
    found = [equal(got, option) for option in options]
    if None in found:
        return None
    return found[0]._replace(expected=" or ".join(map(_small, options)))


def different(got: list) -> Difference | None:
    """None when the numbers of a list are all different."""
    plain = [_plain(number) for number in got]
    if not all(isinstance(number, (int, float)) for number in plain):
        return _kind(next(n for n in plain if not isinstance(n, (int, float))), "a number", "")
    count = len(set(plain))
    if count == len(plain):
        return None
    return Difference("some of the numbers are equal", f"{count} different ones", f"{len(plain)} different ones")


def between(got: Any, low: float, high: float) -> Difference | None:
    """None when `got` is a finite number in [low, high]."""
    number = _plain(got)
    if isinstance(number, bool) or not isinstance(number, (int, float)):
        return _kind(got, "a number", "")
    number = _as_float(number)
    if not math.isfinite(number) or not low <= number <= high:
        return Difference("the number is out of range", f"{number:.6g}", f"between {low:.6g} and {high:.6g}")
    return None


def call_text(name: str, args: Any, kwargs: dict | None = None) -> str:
    """A call as one would write it, tensors as lists; "" where its arguments don't fit a line."""
    parts = [_argument(value) for value in args]
    parts += [f"{key}={_argument(value)}" if _argument(value) else "" for key, value in (kwargs or {}).items()]
    text = f"{name}({', '.join(parts)})"
    return text if all(parts) and len(text) <= LINE else ""


def _argument(value: Any) -> str:
    if isinstance(value, torch.Tensor):
        return _as_list(value) if value.numel() <= SHOWN and value.dim() <= 2 else ""
    if isinstance(value, (list, tuple)):
        items = [_argument(item) for item in value[: LINE // 3]]
        end = ",)" if isinstance(value, tuple) and len(items) == 1 else ")"
        text = f"[{', '.join(items)}]" if isinstance(value, list) else f"({', '.join(items)}{end}"
        return text if all(items) and len(value) <= LINE // 3 else ""
    if isinstance(value, dict):
        pairs = [(_argument(key), _argument(item)) for key, item in list(value.items())[: LINE // 5]]
        return f"{{{', '.join(f'{k}: {v}' for k, v in pairs)}}}" if all(map(all, pairs)) else ""
    return _small(value) if isinstance(value, (bool, int, float, str, bytes, type(None), torch.dtype)) else ""


def _as_list(x: torch.Tensor) -> str:
    if x.dim() == 0:
        return _number(x)
    return f"[{', '.join(_as_list(part) for part in x.detach())}]"


def has_nan(value: Any) -> bool:
    """True when a tensor, array or float anywhere inside is NaN."""
    if isinstance(value, torch.Tensor):
        return value.is_floating_point() and bool(value.isnan().any())
    if isinstance(value, np.ndarray):
        return value.dtype.kind == "f" and bool(np.isnan(value).any())
    if isinstance(value, float):
        return math.isnan(value)
    if isinstance(value, dict):
        return any(has_nan(v) for v in value.values())
    return isinstance(value, (tuple, list)) and any(has_nan(v) for v in value)


def _tensors(got: Any, expected: torch.Tensor, condition: float, where: str) -> Difference | None:
    what = where or "the result"
    if not isinstance(got, torch.Tensor):
        return _kind(got, f"a tensor of shape {tuple(expected.shape)}", where)
    if tuple(got.shape) != tuple(expected.shape):
        shapes = str(tuple(got.shape)), str(tuple(expected.shape))
        return Difference(_with(f"{what} has the wrong shape", _of_shapes(got, expected, condition)), *shapes)
    if got.dtype != expected.dtype:
        return Difference(f"{what} has the wrong dtype", _dtype(got.dtype), _dtype(expected.dtype))
    if got.device != expected.device:
        return Difference(f"{what} is on the wrong device", str(got.device), str(expected.device))
    got = got.detach()
    if not expected.is_floating_point():
        wrong = got != expected
        return _first(what, got, expected, wrong) if bool(wrong.any()) else None
    return _floats(what, got, expected, condition)


def _floats(what: str, got: torch.Tensor, expected: torch.Tensor, condition: float) -> Difference | None:
    if got.numel() == 0:
        return None
    nan = got.isnan() & ~expected.isnan()
    if bool(nan.any()):
        count, total = int(nan.sum()), got.numel()
        return _first(f"{what} contains NaN ({count} of {total} numbers)", got, expected, nan)
    same = (got == expected) | (got.isnan() & expected.isnan())
    error = (got.double() - expected.double()).abs()
    error = torch.where(same, torch.zeros_like(error), error.nan_to_num(nan=math.inf))
    allowed = tolerance(expected, condition)
    wrong = error > allowed
    if bool(wrong.any()):
        found = _first(what, got, expected, wrong)
        return found._replace(says=_with(found.says, relations.relation(got, expected, allowed)))
    u = UNIT_ROUNDOFF[expected.dtype]
    rms = float(error[torch.isfinite(expected)].square().mean().sqrt()) if u > 1e-5 else 0.0
    size = float(expected[torch.isfinite(expected)].double().square().mean().sqrt()) if u > 1e-5 else 1.0
    if error.numel() >= 32 and u > 1e-5 and rms > 2.2 * u * max(condition, 1.0) * size:
        return Difference(f"{what} is less precise than {_dtype(expected.dtype)} allows", f"{rms:.2e} rms error")
    return None


def _of_shapes(got: torch.Tensor, expected: torch.Tensor, condition: float) -> str:
    if not (got.is_floating_point() and expected.is_floating_point()):
        return ""
    return relations.of_shapes(got, expected, tolerance(expected, condition))


def _with(says: str, relation: str) -> str:
    return f"{says}; {relation}" if relation else says


def _first(what: str, got: torch.Tensor, expected: torch.Tensor, wrong: torch.Tensor) -> Difference:
    """The row that holds the first wrong number, from both sides."""
    share = f"{int(wrong.sum())} of {wrong.numel()}"
    if got.dim() == 0:
        return Difference(f"{what} is wrong", _number(got), _number(expected))
    flat = int(wrong.reshape(-1).to(torch.uint8).argmax())
    width = got.shape[-1]
    row, column = divmod(flat, width)
    start = max(0, min(column - SHOWN // 2, width - SHOWN))
    position = ", ".join(str(int(i)) for i in np.unravel_index(flat, tuple(got.shape)))
    rows = [_row(t.reshape(-1, width)[row], start) for t in (got, expected)]
    says = what if "NaN" in what else f"{what} is wrong in {share} places, first at [{position}]"
    return Difference(says, *rows)


def _row(row: torch.Tensor, start: int) -> str:
    cells = " ".join(_number(x) for x in row[start : start + SHOWN])
    return ("... " if start else "") + cells + (" ..." if start + SHOWN < row.numel() else "")


def _number(x: torch.Tensor) -> str:
    value = x.item()
    return f"{value + 0.0:.4g}" if isinstance(value, float) else str(int(value))  # + 0.0: no minus zero


def _numbers(got: Any, expected: float, condition: float | None, where: str) -> Difference | None:
    number = _plain(got)
    if isinstance(number, bool) or not isinstance(number, (int, float)):
        return _kind(got, f"a number, {expected:.6g}", where)
    number = _as_float(number)
    limit = 64 * 2.0**-24 * max(condition or 1.0, 1.0) * (abs(expected) if math.isfinite(expected) else 0) + 1e-30
    same = number == expected or (math.isnan(number) and math.isnan(expected))
    if not same and not abs(number - expected) <= (0 if condition is None else limit):
        shown = [f"{n:.6g}" for n in (number, expected)]
        shown = [f"{n:.12g}" for n in (number, expected)] if shown[0] == shown[1] else shown
        return Difference(f"{where or 'the number'} is wrong", *shown)
    return None


def _sequences(got: Any, expected: tuple | list, condition: float | None, where: str) -> Difference | None:
    word = "a tuple" if isinstance(expected, tuple) else "a list"
    if not isinstance(got, (tuple, list)):
        return _kind(got, f"{word} of {len(expected)}", where)
    if condition is None and _shows(got) and _shows(expected):
        return _items(got, expected, where or "the result")
    if len(got) != len(expected):
        return Difference(f"{where or 'the result'} has the wrong length", str(len(got)), str(len(expected)))
    for i, (g, e) in enumerate(zip(got, expected, strict=True)):
        place = _place(where, i, expected)
        found = equal(g, e, place) if condition is None else close(g, e, condition, place)
        if found:
            return found
    return None


def _place(where: str, i: int, expected: tuple | list) -> str:
    """An item's place; what a function returns side by side is counted as people count."""
    if where or isinstance(expected, list) or not 2 <= len(expected) <= len(COUNTED):
        return f"{where or 'the result'}[{i}]"
    return f"the {COUNTED[i]} of the {len(expected)} results"


def _shows(value: Any, depth: int = DEPTH) -> bool:
    """True for tokens, ids, words and pairs of them: what a person reads without a shape."""
    if type(value) in (tuple, list):
        return depth > 0 and all(_shows(item, depth - 1) for item in value)
    if type(value) is int:
        return abs(value) < 2**63
    return type(value) in (bool, float, str, bytes, type(None))


def _items(got: tuple | list, expected: tuple | list, what: str) -> Difference | None:
    """Two lists of items that can be shown: both sides from shortly before the first one that differs."""
    pairs = enumerate(zip(got, expected, strict=False))
    first = next((i for i, (g, e) in pairs if equal(g, e)), min(len(got), len(expected)))
    if first == len(got) == len(expected):
        return None
    shown = _window(got, first), _window(expected, first)
    if shown[0] == shown[1] and len(got) == len(expected):
        return equal(got[first], expected[first], f"{what}[{first}]")  # of two kinds, or apart further inside
    if len(got) != len(expected):
        return Difference(f"{what} has {len(got)} items instead of {len(expected)}, first wrong at [{first}]", *shown)
    return Difference(f"{what} is wrong, first at [{first}]", *shown)


def _window(items: tuple | list, first: int) -> str:
    """The items from two before `first` on, as many as fit a line."""
    start, room, cells = max(0, first - 2), WINDOW, []
    for item in items[start:]:
        cells.append(_small(item))
        room -= len(cells[-1]) + 2
        if room < 0:
            cells[-1] = "..."
            break
    return ("... " if start else "") + (", ".join(cells) or "nothing")


def _dicts(got: Any, expected: dict, condition: float | None, where: str) -> Difference | None:
    if not isinstance(got, dict):
        return _kind(got, f"a dict with keys {sorted(map(str, expected))}", where)
    if set(got) != set(expected):
        keys = str(sorted(map(str, got)))[:80], str(sorted(map(str, expected)))[:80]
        return Difference(f"{where or 'the result'} has the wrong keys", *keys)
    for key, e in expected.items():
        place = f"{where or 'the result'}[{key!r}]"
        found = equal(got[key], e, place) if condition is None else close(got[key], e, condition, place)
        if found:
            return found
    return None


def _plain(value: Any) -> Any:
    """A zero-dimensional tensor or numpy scalar as the Python number it holds."""
    if isinstance(value, (torch.Tensor, np.generic)) and not (isinstance(value, torch.Tensor) and value.numel() != 1):
        return value.item()
    return value


def _as_float(number: int | float) -> float:
    """The number as a float; an int beyond every float is infinite."""
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf


def _kind(got: Any, wanted: str, where: str) -> Difference:
    return Difference(f"{where or 'the result'} should be {wanted}", _article(got), wanted)


def _article(value: Any) -> str:
    if value is None:
        return "None (is a `return` missing?)"
    if isinstance(value, torch.Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    name = type(value).__name__
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def _small(value: Any) -> str:
    if isinstance(value, int) and value.bit_length() > 256:  # Python refuses to write out the largest
        return f"a whole number of {value.bit_length():,} bits"
    text = f"{value:.6g}" if isinstance(value, float) else repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _apart(got: Any, expected: Any) -> tuple[str, str]:
    """Both as small texts that differ: what is too long is shown from shortly before the place where they part."""
    shown = _small(got), _small(expected)
    if shown[0] != shown[1] or isinstance(expected, int):
        return shown
    texts = repr(got), repr(expected)
    first = len(os.path.commonprefix(texts))
    start = max(0, first - WINDOW // 2)
    before = "... " if start else ""
    return tuple(f"{before}{text[start : start + WINDOW]}{' ...' * (len(text) > start + WINDOW)}" for text in texts)


def _dtype(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
