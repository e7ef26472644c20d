"""Does a mutant behave differently? The same inputs for both, wider than the trials', and a comparison.

A script is what a check did to its subject: one call, or the calls around one object. `record` notes the scripts of
all cases and trials for several seeds, `widen` draws new ones from them, and `Bench` keeps those that the solution
accepts with what it gives. A script counts when the solution gives a value without NaN, or raises on purpose (a
`raise` of its own), and when the check's `legal` does not say that the docstring forbids it.

Two results are the same when they differ by less than rounding: 64 roundings of the largest number, and 16 times what
the solution itself differs by when its inputs are rounded anew. Exceptions are alike whatever they say.

Not here: mutations (autograder.proof.mutation), processes and the report (autograder.proof.mutants).
"""

from __future__ import annotations

import copy
import hashlib
import itertools
import linecache
import math
import random
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch

from autograder.authoring.checks import OPERATIONS, Check, attempt, seed_for
from course.checking import cases, compare
from course.checking.check import quiet
from course.checking.subject import Handle, LocalSubject, SubjectError, changed_and_kept, clone_with_layout
from grader_kernels import problem

SEEDS = 4
DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
LETTERS = "etaoin shrdlu.,'’!?0123456789_\n\té😀ßनAZ<|>"
Script = list[cases.Step]


class Raised(NamedTuple):
    """An exception in place of a result. meant: the code has a `raise` for it."""

    exception: str
    meant: bool


class Given(NamedTuple):
    """What a step gave: its value, which arguments it changed, which parts of the value have a graph behind them."""

    value: Any
    changed: list[str]
    graph: list[bool]


class Spy:
    """Passes operations on to a subject and writes them down, tensors copied, objects as Refs to their making."""

    def __init__(self, subject: LocalSubject) -> None:
        self._subject, self.steps, self._made = subject, [], {}

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._do("__call__", args, kwargs)

    def __getattr__(self, name: str) -> Any:
        if name not in OPERATIONS:
            return getattr(self._subject, name)
        return lambda *args, **kwargs: self._do(name, args, kwargs)

    def _do(self, operation: str, args: tuple, kwargs: dict) -> Any:
        known = {id(a): self._made[a.id] for a in args if isinstance(a, Handle) and a.id in self._made}
        plain = [cases.Ref(known[id(a)]) if id(a) in known else copied(a) for a in args]
        self.steps.append(cases.Step(operation, plain, copied(kwargs)))
        found = self._subject
        result = (found if operation == "__call__" else getattr(found, operation))(*args, **kwargs)
        if isinstance(result, Handle):
            self._made.setdefault(result.id, len(self.steps) - 1)
        return result


def record(check: Check, solved: dict[str, Any], seeds: int = SEEDS) -> list[Script]:
    """The scripts of every case and trial, for `seeds` seeds; each text once."""
    scripts: list[Script] = []
    for seed in range(seeds):
        for spec in check.specs:
            spy = Spy(LocalSubject(solved, check.name))
            with quiet():
                attempt(check, spec, spy, seed_for(b"wider", str(seed), check.name, spec.title))
            one = any(step.do == "construct" for step in spy.steps)
            scripts += [spy.steps] if one else [[step] for step in spy.steps if step.do != "release"]
    return [script for script in scripts if script]


def perform(script: Script, namespace: dict[str, Any], name: str) -> list[Any]:
    """What each step gives, as Given; a Raised is the last. Randomness begins anew."""
    subject, results, seen = LocalSubject(namespace, name), {}, []
    torch.default_generator.manual_seed(0), random.seed(0), np.random.seed(0)
    for index, step in enumerate(script):
        try:
            with quiet():
                results[index] = cases.perform(subject, step, results)
        except SubjectError as error:
            return [*seen, Raised(error.exception or error.kind, _meant(error))]
        graph = [v.requires_grad for v in _leaves(results[index]) if isinstance(v, torch.Tensor)]
        seen.append(Given(cases.storable(results[index]), changed_and_kept(subject.mutated)[0], graph))
    return seen


def _meant(error: SubjectError) -> bool:
    trace = getattr(error.__cause__, "__traceback__", None)
    while trace and trace.tb_next:
        trace = trace.tb_next
    if not trace:
        return False
    file = trace.tb_frame.f_code.co_filename
    return file.startswith("<") and linecache.getline(file, trace.tb_lineno).strip().startswith("raise ")


# The bench: inputs that the solution accepts


class Bench:
    """Scripts and what the solution gives for each: the recorded ones and `count` wider ones, all different.

    Fewer when there are no more, or after `seconds` of CPU.
    """

    def __init__(
        self, check: Check, solved: dict[str, Any], count: int = 1000, seconds: float = 60.0, seed: int = 0
    ) -> None:
        self.check, self.solved = check, solved
        self.pairs: list[tuple[Script, list[Any]]] = []
        self._seen: set[bytes] = set()
        recorded = record(check, solved)
        self._fill(recorded, len(recorded), math.inf)
        self.recorded = len(self.pairs)
        if check.kind != "value":  # a value has no inputs
            drawn = widen(recorded, np.random.Generator(np.random.Philox(key=seed)))
            self._fill(drawn, count, time.process_time() + seconds)

    @property
    def wider(self) -> int:
        """How many inputs were drawn beyond the recorded ones."""
        return len(self.pairs) - self.recorded

    def _fill(self, scripts: Iterable[Script], count: int, until: float) -> None:
        """Take up to `count` more scripts that are new, legal and accepted; give up after 30 times as many."""
        enough = len(self.pairs) + count
        for script in itertools.islice(scripts, 30 * count):
            if len(self.pairs) >= enough or time.process_time() > until:
                return
            key = _digest(script)
            if key in self._seen or not self._legal(script):
                continue
            self._seen.add(key)
            given = perform(copied(script), self.solved, self.check.name)
            if given and self._counts(script, given):
                self.pairs.append((script, given))

    def _legal(self, script: Script) -> bool:
        """What the check's `legal` says of each call of the exercise's own function or class."""
        legal = self.check.legal
        calls = [s for s in script if s.do in ("__call__", "construct", "grad", "iterate")]
        try:
            return legal is None or all(bool(legal(*s.args, **_own(s.kwargs))) for s in calls)
        except Exception:  # arguments that don't even fit the question
            return False

    @staticmethod
    def _counts(script: Script, given: list[Any]) -> bool:
        last = given[-1]
        if isinstance(last, Raised):
            return last.meant
        given_nan = any(compare.has_nan([*s.args, s.kwargs]) for s in script)
        return given_nan or not compare.has_nan([each.value for each in given])

    def difference(self, namespace: dict[str, Any]) -> str:
        """The first input on which the objects of `namespace` behave differently, in words; "" if there is none."""
        for script, expected in self.pairs:
            got = perform(copied(script), namespace, self.check.name)
            if identical(got, expected):
                continue
            shaken = [perform(shake(script, i), self.solved, self.check.name) for i in range(3)]
            if not same(got, expected, shaken):
                return f"{told(script)} gives {_brief(got)}, not {_brief(expected)}"
        return ""


def _digest(script: Script) -> bytes:
    """Equal for scripts that do the same."""
    plain = _mapped(_content, [[step.do, step.args, step.kwargs] for step in script])
    return hashlib.sha256(repr(plain).encode()).digest()


def _content(value: Any) -> Any:
    if not isinstance(value, torch.Tensor):
        return value
    flat = torch.empty(value.numel(), dtype=value.dtype).copy_(value.detach().reshape(-1)).view(torch.uint8)
    return f"{value.dtype} {value.shape} {value.stride()} {hashlib.sha256(flat.numpy().tobytes()).hexdigest()}"


def _own(kwargs: dict | None) -> dict:
    return {k: v for k, v in (kwargs or {}).items() if k not in ("cotangents", "wrt", "params", "limit", "name")}


# Comparison


def identical(a: Any, b: Any) -> bool:
    """Bit for bit, NaN equal to itself."""
    if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        if a.dtype != b.dtype or a.shape != b.shape:
            return False
        return bool(((a == b) | ((a != a) & (b != b))).all())
    if isinstance(a, Raised) and isinstance(b, Raised):
        return True
    if isinstance(a, (list, tuple)) and type(a) is type(b):
        return len(a) == len(b) and all(identical(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, dict) and isinstance(b, dict):
        return list(a) == list(b) and all(identical(a[k], b[k]) for k in a)
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
    return type(a) is type(b) and (a == b or (isinstance(a, float) and math.isnan(a) and math.isnan(b)))


def same(got: Any, expected: Any, shaken: list[Any]) -> bool:
    """Equal within rounding. shaken: the solution's results for inputs rounded anew; where they jump, anything goes."""
    if isinstance(expected, torch.Tensor) and isinstance(got, torch.Tensor):
        return _same_tensors(got, expected, shaken)
    if isinstance(expected, float) and isinstance(got, float):
        as_told = [s for s in shaken if isinstance(s, float)]  # most floats were float32 numbers of a tensor
        return compare.close(got, expected) is None or any(compare.close(s, got) is None for s in as_told)
    if isinstance(got, Given) and isinstance(expected, Given):
        told = [s.value for s in shaken if isinstance(s, Given)]
        return got[1:] == expected[1:] and same(got.value, expected.value, told)
    if isinstance(expected, (list, tuple)) and type(got) is type(expected):
        if len(got) != len(expected):
            return any(not isinstance(s, type(expected)) or len(s) != len(expected) for s in shaken)
        fitting = [s for s in shaken if isinstance(s, type(expected)) and len(s) == len(expected)]
        parts = enumerate(zip(got, expected, strict=True))
        return all(same(g, e, [s[i] for s in fitting]) for i, (g, e) in parts)
    if isinstance(expected, dict) and isinstance(got, dict):
        return set(got) == set(expected) and all(
            same(got[k], expected[k], [s[k] for s in shaken if isinstance(s, dict) and k in s]) for k in expected
        )
    return identical(got, expected) or any(not identical(s, expected) for s in shaken)


def _same_tensors(got: torch.Tensor, expected: torch.Tensor, shaken: list[Any]) -> bool:
    if got.dtype != expected.dtype or got.shape != expected.shape:
        return False
    alike = [s for s in shaken if isinstance(s, torch.Tensor) and s.shape == expected.shape]
    if not expected.is_floating_point():
        return torch.equal(got, expected) or any(not torch.equal(s, expected) for s in alike)
    if got.numel() == 0:
        return True
    g, e, others = got.double(), expected.double(), [s.double() for s in alike]
    usable = torch.isfinite(e) & torch.stack([torch.isfinite(s) for s in others] or [torch.isfinite(e)]).all(0)
    steady = torch.stack([_both_special(s, e) for s in others] or [_both_special(e, e)]).all(0) & ~torch.isfinite(e)
    if not bool(_both_special(g, e)[steady].all()) or not bool(torch.isfinite(g)[usable].all()):
        return False
    u = compare.UNIT_ROUNDOFF[expected.dtype]
    scale = float(e[usable].abs().max()) if bool(usable.any()) else 0.0
    moved = max((float((s - e)[usable].abs().max()) for s in others if bool(usable.any())), default=0.0)
    error = float((g - e)[usable].abs().max()) if bool(usable.any()) else 0.0
    return error <= (64 if u < 1e-5 else 4) * u * scale + 16 * moved + 1e-300


def _both_special(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return (a == b) | (a.isnan() & b.isnan())


def shake(script: Script, seed: int) -> Script:
    """The same script with every float tensor rounded anew: each number a rounding larger or smaller."""
    gen = torch.Generator().manual_seed(seed)

    def moved(value: Any) -> Any:
        if isinstance(value, torch.Tensor) and value.dtype in compare.UNIT_ROUNDOFF:
            signs = torch.randint(0, 2, value.shape, generator=gen) * 2 - 1
            shaken = value.double() * (1 + 2 * compare.UNIT_ROUNDOFF[value.dtype] * signs)
            return torch.where(torch.isfinite(value), shaken, value.double()).to(value.dtype)
        return value

    return [cases.Step(s.do, _mapped(moved, s.args), _mapped(moved, s.kwargs)) for s in script]


# Wider inputs


class Draw:
    """Random choices. One Draw for a bench, so that a bench is the same every time."""

    def __init__(self, rng: np.random.Generator, scripts: list[Script]) -> None:
        self.rng, self.pool, self.level = rng, _pool(scripts), None
        self._ranges: dict[tuple, tuple[int, int]] = {}

    def chance(self, p: float) -> bool:
        return bool(self.rng.random() < p)

    def whole(self, low: int, high: int) -> int:
        """low <= . <= high."""
        return int(self.rng.integers(low, max(low, high) + 1))

    def one(self, things: Any) -> Any:
        things = list(things)
        return things[int(self.rng.integers(len(things)))]

    def range(self, place: tuple, value: int) -> tuple[int, int]:
        """Smallest and largest recorded int of a place."""
        if place not in self._ranges:
            known = [v for v in self.pool.get(place, []) if isinstance(v, int)] or [value]
            self._ranges[place] = min(known), max(known)
        return self._ranges[place]

    def normal(self, shape: tuple) -> torch.Tensor:
        return torch.from_numpy(np.asarray(self.rng.standard_normal(tuple(shape))))

    def scale(self, low: float = -3, high: float = 3) -> float:
        return float(10 ** self.rng.uniform(low, high))


def widen(scripts: list[Script], rng: np.random.Generator) -> Iterator[Script]:
    """Endlessly many scripts: recorded ones with other sizes, numbers, layouts, dtypes and words."""
    draw = Draw(rng, scripts)
    while scripts:
        script = copied(draw.one(scripts))
        if draw.chance(0.5):
            script = _resized(script, draw)
        if draw.chance(0.15):
            wanted = draw.one(DTYPES[1:])
            script = [_step(s, lambda v, wanted=wanted: _as(v, wanted)) for s in script]
        draw.level = draw.scale() if draw.chance(0.5) else None
        yield [_varied(step, draw) for step in script]


def _varied(step: cases.Step, draw: Draw) -> cases.Step:
    fixed = ("name", "wrt", "params", "limit")
    names_method = step.do in ("method", "grad_method", "call")
    args = list(step.args)
    for i, value in enumerate(args):
        is_method = names_method and i == (0 if step.do == "call" else 1)
        args[i] = value if is_method else _value(value, draw, (step.do, i))
    kwargs = {k: v if k in fixed else _value(v, draw, (step.do, k)) for k, v in (step.kwargs or {}).items()}
    return cases.Step(step.do, args, kwargs)


def _value(value: Any, draw: Draw, place: tuple) -> Any:
    """Another value of the same kind for an argument; now and then one from another recorded call."""
    if isinstance(value, cases.Ref) or draw.chance(0.15):
        return value
    if draw.chance(0.1):
        value = copied(draw.one(draw.pool.get(place, [value])))
    return _changed(value, draw, place)


def _changed(value: Any, draw: Draw, place: tuple) -> Any:
    if isinstance(value, torch.Tensor):
        return _tensor(value, draw, place)
    if isinstance(value, bool):
        return draw.chance(0.5)
    if isinstance(value, int):
        return _int(value, draw, place)
    if isinstance(value, float):
        return _float(value, draw)
    if isinstance(value, str):
        return _str(value, draw, place)
    if isinstance(value, torch.dtype) and value in DTYPES:
        return draw.one(DTYPES)
    if isinstance(value, dict):
        return {k: _value(v, draw, (*place, k)) for k, v in value.items()}
    if isinstance(value, (list, tuple)) and not hasattr(value, "_fields"):
        return _several(value, draw, place)
    return value


def _several(value: Any, draw: Draw, place: tuple) -> Any:
    parts = [_value(v, draw, (*place, "...")) for v in value] if draw.chance(0.6) else list(value)
    if draw.chance(0.3) and parts:
        parts = parts[: draw.whole(0, len(parts))]
    if draw.chance(0.2) and len(parts) < 200:
        parts = parts * draw.whole(1, 3)
    if draw.chance(0.3):
        parts = [parts[i] for i in draw.rng.permutation(len(parts))]
    return type(value)(parts)


def _int(value: int, draw: Draw, place: tuple) -> int:
    low, high = draw.range(place, value)
    if min(value, low) < 0:
        return draw.whole(low - 2, high + 4)
    near = draw.whole(max(0, value - 2), value + 2)
    return draw.one((value, near, near, draw.whole(0, 3), draw.whole(0, min(high, 300) + 3), draw.whole(0, high + 3)))


def _float(value: float, draw: Draw) -> float:
    if not math.isfinite(value):
        return value
    factor = draw.one((1.0, draw.scale(-0.3, 0.3), draw.scale(-1, 1), draw.scale()))
    return value * factor if value else draw.one((0.0, 0.5, draw.scale(-3, 0)))


def _str(value: str, draw: Draw, place: tuple) -> str:
    known = [v for v in draw.pool.get(place, []) if isinstance(v, str)] or [value]
    kind = draw.whole(0, 5)
    if kind == 0:
        return draw.one(known)
    if kind == 1:
        return draw.one(known)[: draw.whole(0, len(value))] + draw.one(known)[draw.whole(0, 9) :]
    if kind == 2:
        return "".join(draw.one(LETTERS) for _ in range(draw.whole(0, 30)))
    if kind == 3:
        at = draw.whole(0, len(value))
        return value[:at] + draw.one(LETTERS) + value[at:]
    return " ".join([value] * draw.whole(1, 3)) if kind == 4 else value


def _tensor(value: torch.Tensor, draw: Draw, place: tuple) -> torch.Tensor:
    if value.dtype == torch.bool:
        made = torch.from_numpy(np.asarray(draw.rng.random(tuple(value.shape)) < draw.one((0.0, 0.1, 0.5, 0.9, 1.0))))
    elif value.is_floating_point():
        made = _floats(value, draw, place).to(value.dtype)
    else:
        made = _ids(value, draw, place)
    if made.dim() >= 2 and draw.chance(0.25):
        made = problem.strided(made, draw.one(("transposed", "every_other", "offset")))
    return made


def _ids(value: torch.Tensor, draw: Draw, place: tuple) -> torch.Tensor:
    known = [v for v in draw.pool.get(place, []) if isinstance(v, torch.Tensor) and v.numel()]
    known = [v for v in known if not v.is_floating_point()] or [torch.tensor([0, 1])]
    low, high = min(int(v.min()) for v in known), max(int(v.max()) for v in known)
    here = int(value.max()) if value.numel() else 0
    most = draw.one((here, here, here + 1, high, high + draw.whole(1, 5)))
    kind = draw.whole(0, 3)
    if kind == 0:
        return value
    if kind == 1 and value.dim():
        return value[torch.from_numpy(draw.rng.permutation(len(value)))]
    drawn = draw.rng.integers(min(low, most), most + 1, tuple(value.shape))
    return torch.from_numpy(np.asarray(drawn)).to(value.dtype)


def _floats(value: torch.Tensor, draw: Draw, place: tuple) -> torch.Tensor:
    """Redrawn at a scale from 1e-3 to 1e3. Weights stay weights, what is never negative mostly so; -inf stays."""
    known = [v for v in draw.pool.get(place, []) if isinstance(v, torch.Tensor) and v.is_floating_point()]
    known = [v for v in known if v.numel()] or [value]
    if value.numel() and all(bool(_are_weights(v)) for v in known):
        return _weights(value, draw)
    noise, kind = draw.normal(value.shape), draw.whole(0, 9)
    scale = draw.level or draw.one((draw.scale(), draw.scale(-1, 1)))
    made = (
        value.double(), value.double() * scale, noise * scale, noise * scale, noise, noise * draw.scale(-1, 1),
        -noise.abs() * scale - draw.one((0.0, scale, 300.0)), noise * 0, noise * 0 + draw.one((1.0, -1.0)) * scale,
        noise * draw.scale(-2, 1) + draw.one((-1, 1)) * draw.scale(0, 3),
    )[kind]  # fmt: skip
    if all(bool((v >= 0).all()) for v in known) and draw.chance(0.7):
        made = made.abs()
    blocked = ~torch.isfinite(value)
    if bool(blocked.any()):
        made = made.nan_to_num(posinf=0.0, neginf=0.0)
        blocked = blocked if draw.chance(0.5) else draw.normal(value.shape) > draw.one((-0.5, 0.5, 1.5))
        made = made.masked_fill(blocked, -math.inf)
    return made


def _are_weights(value: torch.Tensor) -> torch.Tensor | bool:
    if not value.numel() or not value.dim():
        return False
    rows = value.double().sum(-1)
    return (value >= 0).all() & ((rows - 1).abs() < 1e-2).all()


def _weights(value: torch.Tensor, draw: Draw) -> torch.Tensor:
    """Rows that sum to 1: soft, nearly hard, exactly one-hot, all alike."""
    made = torch.softmax(draw.normal(value.shape) * draw.scale(-1, 2), -1)
    hard = torch.nn.functional.one_hot(made.argmax(-1), value.shape[-1]).double()
    return draw.one((made, made, made, hard, torch.full_like(made, 1 / value.shape[-1])))


def _resized(script: Script, draw: Draw) -> Script:
    """One, two or three sizes changed everywhere they occur, with their multiples; numbers are cut or repeated."""
    sizes = sorted({n for value in _leaves(script) if isinstance(value, torch.Tensor) for n in value.shape if n > 1})
    if not sizes:
        return script
    new: dict[int, int] = {}
    for _ in range(draw.whole(1, 3)):
        old = draw.one(sizes)
        new[old] = draw.one((draw.whole(1, old), draw.whole(1, old + 5), old + 1, old * 2))
    if draw.chance(0.5):
        multiples = {m: m // n * to for n, to in new.items() for m in sizes if m % n == 0}
        new = {**multiples, **new}
    ints_too = draw.chance(0.7)

    def resized(value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            for axis, n in enumerate(value.shape):
                if n in new:
                    value = value.index_select(axis, torch.arange(new[n]) % n)
        elif type(value) is int and ints_too:
            value = new.get(value, value)
        return value

    return [_step(step, resized) for step in script]


def _as(value: Any, dtype: torch.dtype) -> Any:
    return value.to(dtype) if isinstance(value, torch.Tensor) and value.is_floating_point() else value


def _step(step: cases.Step, change: Callable[[Any], Any]) -> cases.Step:
    kwargs = {k: v if k in ("wrt", "limit") else _mapped(change, v) for k, v in (step.kwargs or {}).items()}
    return cases.Step(step.do, _mapped(change, step.args), kwargs)


def _mapped(change: Callable[[Any], Any], value: Any) -> Any:
    """`change` for every leaf inside lists, tuples and dicts."""
    if isinstance(value, cases.Ref):
        return value
    if isinstance(value, (list, tuple)):
        return type(value)(_mapped(change, v) for v in value)
    if isinstance(value, dict):
        return {k: _mapped(change, v) for k, v in value.items()}
    return change(value)


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, cases.Step):
        yield from _leaves([value.args, value.kwargs])
    elif isinstance(value, (list, tuple)):
        for v in value:
            yield from _leaves(v)
    elif isinstance(value, dict):
        yield from _leaves(list(value.values()))
    else:
        yield value


def _pool(scripts: list[Script]) -> dict[tuple, list[Any]]:
    """All recorded values by place: operation and argument, and members of lists under "..."."""
    pool: dict[tuple, list[Any]] = {}

    def note(place: tuple, value: Any) -> None:
        pool.setdefault(place, []).append(value)
        if isinstance(value, dict):
            for k, v in value.items():
                note((*place, k), v)
        elif isinstance(value, (list, tuple)):
            for v in value:
                note((*place, "..."), v)

    for step in (step for script in scripts for step in script):
        for key, value in [*enumerate(step.args), *(step.kwargs or {}).items()]:
            if not isinstance(value, cases.Ref):
                note((step.do, key), value)
    return pool


def copied(value: Any) -> Any:
    """A deep copy that keeps the layout of tensors and gives them no graph."""
    if isinstance(value, torch.Tensor):
        return clone_with_layout(value)
    if isinstance(value, cases.Step):
        return cases.Step(value.do, copied(value.args), copied(value.kwargs))
    if isinstance(value, cases.Ref):
        return value
    if isinstance(value, (list, tuple)):
        return type(value)(copied(v) for v in value)
    if isinstance(value, dict):
        return {k: copied(v) for k, v in value.items()}
    return copy.deepcopy(value) if isinstance(value, np.ndarray) else value


# Words for the report


def told(script: Script) -> str:
    """The last step as a short call."""
    step = script[-1]
    words = [_brief(a) for a in step.args] + [f"{k}={_brief(v)}" for k, v in (step.kwargs or {}).items()]
    return f"{step.do.strip('_')}({', '.join(words)})"


def _brief(value: Any) -> str:
    if isinstance(value, torch.Tensor):
        if value.numel() == 1:
            return f"tensor {value.item():.9g}"
        return f"{str(value.dtype).removeprefix('torch.')}{list(value.shape)}"
    if isinstance(value, Raised):
        return value.exception
    if isinstance(value, list) and value and isinstance(value[-1], (Given, Raised)):
        return _brief(value[-1])
    if isinstance(value, Given):
        changed = f", changed {', '.join(value.changed)}" if value.changed else ""
        return _brief(value.value) + changed + (" with a graph" if any(value.graph) else "")
    text = "(" + ", ".join(map(_brief, value)) + ")" if isinstance(value, (list, tuple)) else repr(value)
    return text if len(text) < 70 else text[:67] + "..."
