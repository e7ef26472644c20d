"""Random kernels and what they compute: each piece of a kernel is a text and beside it a meaning in Python's numbers.

`kernel(seed)` draws one: types, operators, shapes, broadcasting, casts, reductions, scans, choices, masks, loops whose
variable is an operand, decisions of scalars, global and argument constants. The meaning is written down here from the
documents of Triton and PTX, never asked of an interpreter: whole numbers are Python's, wrapped; floats are computed in
float64 and rounded to their type after every operation.
What it is not: a test. test_random_kernels compares, and knows in what triton's own interpreter differs.

A piece whose meaning is open on a GPU (a division by zero, a shift by too much, a sum that depends on its order) is not
kept: its meaning raises `Open`, and another piece is drawn instead.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import math
import operator
import pickle
import sys
import warnings
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch

WHOLE = {"int1": (1, False), "int8": (8, True), "uint8": (8, False), "int16": (16, True), "uint16": (16, False)}
WHOLE |= {"int32": (32, True), "uint32": (32, False), "int64": (64, True), "uint64": (64, False)}
# bits of a number, exponent of the least normal one, the largest one
FLOATS = {"float16": (11, -14, 65504.0), "bfloat16": (8, -126, (2 - 2.0**-7) * 2.0**127)}
FLOATS |= {"float32": (24, -126, (2 - 2.0**-23) * 2.0**127), "float64": (53, -1022, float(np.finfo(np.float64).max))}
NARROW = ("float16", "bfloat16")

PRELUDE = """import triton
import triton.language as tl

G0, G1, G2 = tl.constexpr(3), tl.constexpr(-2), tl.constexpr(0.5)


@triton.jit
def larger(a, b):
    return tl.where(a > b, a, b)


@triton.jit
def affine(a, b, c, d):
    return a * c, b * c + d


@triton.jit
def scaled(x, y, K: tl.constexpr):
    return x * K + y
"""
GLOBALS = {"G0": 3, "G1": -2, "G2": 0.5}


class Open(Exception):
    """The meaning of a piece is open on a GPU, or the compiler refuses it."""


# The numbers of a type ------------------------------------------------------------------------------------------------


def fit(value: int, kind: str) -> int:
    """A whole number, wrapped into its type."""
    bits, signed = WHOLE[kind]
    low = value % 2**bits
    return low - 2**bits if signed and low >= 2 ** (bits - 1) else low


def ends(kind: str) -> tuple[int, int]:
    """The least and the largest number of a whole type."""
    bits, signed = WHOLE[kind]
    return (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)


def near(value: float | Fraction, kind: str) -> float:
    """A number rounded to its float type: to the nearest, of two as near to the even one."""
    if kind == "float64" and isinstance(value, float) or value == 0:
        return float(value)
    if isinstance(value, float) and not math.isfinite(value):
        return value
    digits, least, largest = FLOATS[kind]
    step = Fraction(2) ** (max(math.frexp(value)[1] - 1, least) - digits + 1)
    out = round(Fraction(value) / step) * step
    return float(out) if abs(out) <= largest else math.copysign(math.inf, value)


def to_whole(value: float, kind: str, source: str) -> int:
    """cvt.rzi of PTX: the nearest number that fits. There is none to 8 bits: of 16 the upper ones are dropped."""
    if not math.isfinite(value):
        raise Open("NaN or infinity as a whole number")
    wide = {"int8": "int16", "uint8": "uint16"}.get(kind, kind)
    low, high = ends(wide)
    return fit(min(max(int(value), low), high), kind)


def converted(value: Any, source: str, kind: str) -> Any:
    """One number of one type as a number of another."""
    if kind == "int1":
        return int(value != 0)
    if kind in WHOLE:
        return fit(value, kind) if source in WHOLE else to_whole(value, kind, source)
    if source in WHOLE and kind == "bfloat16":
        value = near(Fraction(value), "float32")
    return near(Fraction(value) if source in WHOLE else value, kind)


# Pieces: a text, and a meaning ----------------------------------------------------------------------------------------

Lanes = np.ndarray  # of Python's numbers


@dataclasses.dataclass(frozen=True)
class Piece:
    """An expression. run: its lanes, from the values of the names; constant: the number, where it is a tl.constexpr."""

    text: str
    kind: str
    shape: tuple[int, ...]
    run: Callable[[dict[str, Lanes]], Lanes]
    constant: Any = None


def lanes(function: Callable, *sides: Lanes) -> Lanes:
    """`function` of every lane."""
    sides = np.broadcast_arrays(*sides)
    out = np.empty(sides[0].shape, object)
    out.reshape(-1)[:] = [function(*lane) for lane in zip(*(side.reshape(-1) for side in sides), strict=True)]
    return out


def scalar(value: Any) -> Lanes:
    out = np.empty((), object)
    out[()] = value
    return out


def constant(value: Any, text: str | None = None) -> Piece:
    """A number that the compiler knows; its type by itself is that of triton's `to_tensor`."""
    kind = "float32" if isinstance(value, float) else "int32"
    return Piece(text or repr(value), kind, (), lambda names: scalar(value), value)


def name_of(name: str, kind: str, shape: tuple[int, ...]) -> Piece:
    return Piece(name, kind, shape, lambda names: names[name])


def joint(left: Piece, right: Piece) -> tuple[int, ...]:
    """The shape of two pieces together."""
    if left.shape and right.shape and len(left.shape) != len(right.shape):
        raise Open("another number of dimensions")
    try:
        return np.broadcast_shapes(left.shape, right.shape)
    except ValueError:
        raise Open("shapes that do not fit") from None


def rank(kind: str) -> int:
    return 0 if kind == "int1" else 1 if kind in WHOLE else 2


def promoted(left: str, right: str) -> str:
    """C's usual arithmetic conversions among whole numbers, without its promotion to int."""
    (wide, signed), (other_wide, other_signed) = WHOLE[left], WHOLE[right]
    if signed == other_signed:
        return left if wide > other_wide else right
    unsigned, plain = (right, left) if signed else (left, right)
    return unsigned if WHOLE[unsigned][0] >= WHOLE[plain][0] else plain


def together(left: Piece, right: Piece, dividing: bool = False) -> str:
    """The type that triton computes two operands in."""
    a, b = left.kind, right.kind
    if (left.constant is None) != (right.constant is None):
        number, tensor = (b, a) if left.constant is None else (a, b)
        if rank(number) <= rank(tensor):
            return "float32" if dividing and tensor in NARROW else tensor
    for wide in ("float64", "float32"):
        if wide in (a, b):
            return wide
    if "float16" in (a, b):
        return "float32" if dividing else "float16"
    if "bfloat16" in (a, b):
        return "bfloat16" if a == b and not dividing else "float32"
    if dividing and WHOLE[a][1] != WHOLE[b][1]:
        raise Open("a division of a signed by an unsigned number is refused")
    return promoted(a, b)


def as_kind(piece: Piece, kind: str) -> Callable:
    """The lanes of a piece as numbers of another type."""
    if piece.constant is not None and kind in WHOLE and not ends(kind)[0] <= piece.constant <= ends(kind)[1]:
        raise Open("a number that does not fit is refused")
    return lambda names: lanes(lambda value: converted(value, piece.kind, kind), piece.run(names))


def operation(text: str, kind: str, function: Callable, *sides: tuple[Piece, str]) -> Piece:
    """A piece out of others, each taken as numbers of a type. function: of one lane, rounded or wrapped afterwards."""
    shape = ()
    for piece, _ in sides:
        shape = joint(Piece("", "", shape, None), piece)
    runs = [as_kind(piece, of) for piece, of in sides]
    made = (lambda value: fit(value, kind)) if kind in WHOLE else (lambda value: finite(near(value, kind)))

    def run(names: dict[str, Lanes]) -> Lanes:
        values = lanes(lambda *lane: made(function(*lane)), *(run(names) for run in runs))
        return np.broadcast_to(values, shape)

    return Piece(text, kind, shape, run)


def finite(value: float) -> float:
    if not math.isfinite(value):
        raise Open("a float that left its range")
    return value


# Operators ------------------------------------------------------------------------------------------------------------

SUMS = {"+": operator.add, "-": operator.sub, "*": operator.mul}
COMPARISONS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
COMPARISONS |= {"==": operator.eq, "!=": operator.ne}
BITS = {"&": operator.and_, "|": operator.or_, "^": operator.xor}


def quotient(left: int, right: int) -> int:
    if right == 0:
        raise Open("a division by zero")
    size = abs(left) // abs(right)
    return size if (left < 0) == (right < 0) else -size


def remainder(left: Any, right: Any) -> Any:
    if isinstance(left, int):
        return left - right * quotient(left, right)
    if right == 0:
        raise Open("a division by zero")
    return math.fmod(left, right)


def ratio(left: float, right: float) -> float:
    if right == 0:
        raise Open("a division by zero")
    return left / right


def whole_or(piece: Piece) -> None:
    if piece.kind not in WHOLE:
        raise Open("an operator of whole numbers")


def fold(sign: str, left: Piece, right: Piece) -> Piece | None:
    """Two constants under an operator: a constant, as Python computes it."""
    if left.constant is None or right.constant is None:
        return None
    if sign not in SUMS:
        raise Open("only sums and products of constants are drawn")
    return constant(SUMS[sign](left.constant, right.constant), f"({left.text} {sign} {right.text})")


def unsigned_and_negative(kind: str, *sides: Piece) -> None:
    if kind in WHOLE and not WHOLE[kind][1] and any(s.constant is not None and s.constant < 0 for s in sides):
        raise Open("a negative number with an unsigned tensor is refused")


def binary(sign: str, left: Piece, right: Piece) -> Piece:
    """left <sign> right, of any operator of Triton."""
    folded = fold(sign, left, right)
    if folded is not None:
        return folded
    text = f"({left.text} {sign} {right.text})"
    if sign in COMPARISONS:
        return compared(text, sign, left, right)
    if sign in ("<<", ">>"):
        return shifted(text, sign, left, right)
    dividing = sign in ("/", "//", "%")
    kind = together(left, right, dividing)
    unsigned_and_negative(kind, left, right)
    if sign in BITS or sign == "//":
        whole_or(left), whole_or(right)
    if dividing and "int1" in (left.kind, right.kind):
        raise Open("a division of truths")
    if sign == "/" and kind in WHOLE:
        kind = "float32"
    function = {**SUMS, **BITS, "/": ratio, "//": quotient, "%": remainder}[sign]
    return operation(text, kind, function, (left, kind), (right, kind))


def compared(text: str, sign: str, left: Piece, right: Piece) -> Piece:
    """A comparison: here a constant is a tensor of its own type."""
    kind = together(dataclasses.replace(left, constant=None), dataclasses.replace(right, constant=None))
    sides = [dataclasses.replace(side, constant=None) for side in (left, right)]
    return operation(text, "int1", lambda a, b: int(COMPARISONS[sign](a, b)), (sides[0], kind), (sides[1], kind))


def shifted(text: str, sign: str, left: Piece, right: Piece) -> Piece:
    """A shift: to the right the type of the left operand says whether its sign moves in."""
    whole_or(left), whole_or(right)
    kind = together(left, right)
    if "int1" in (left.kind, right.kind):
        raise Open("a shift of truths")
    unsigned_and_negative(kind, left, right)
    bits, signed = WHOLE[kind][0], WHOLE[left.kind if left.constant is None else right.kind][1]

    def shift(value: int, by: int) -> int:
        if not 0 <= by < bits:
            raise Open("a shift by too much")
        if sign == "<<":
            return value << by
        return fit(value, f"{'' if signed else 'u'}int{bits}") >> by

    return operation(text, kind, shift, (left, kind), (right, kind))


def cast(piece: Piece, kind: str, fitting: bool = False) -> Piece:
    """piece.to(kind). fitting: a float that does not fit a whole type is taken as open."""
    if piece.constant is not None:
        raise Open("a constant has no .to")
    run = as_kind(piece, kind)
    if fitting and piece.kind in FLOATS and kind in WHOLE and kind != "int1":
        run = lambda names: lanes(lambda value: inside(value, piece.kind, kind), piece.run(names))  # noqa: E731
    checked = (lambda v: v) if kind in WHOLE else finite
    return Piece(f"{piece.text}.to(tl.{kind})", kind, piece.shape, lambda names: lanes(checked, run(names)))


def inside(value: float, source: str, kind: str) -> int:
    if not ends(kind)[0] <= value <= ends(kind)[1]:
        raise Open("a float that does not fit")
    return to_whole(value, kind, source)


def negative(piece: Piece) -> Piece:
    if piece.constant is not None or piece.kind == "int1":
        raise Open("only tensors of numbers")
    return operation(f"(-{piece.text})", piece.kind, lambda v: 0 - v, (piece, piece.kind))


def inverted(piece: Piece) -> Piece:
    whole_or(piece)
    if piece.constant is not None:
        raise Open("only tensors")
    return operation(f"(~{piece.text})", piece.kind, operator.invert, (piece, piece.kind))


def absolute(piece: Piece) -> Piece:
    if piece.constant is not None or piece.kind == "int1":
        raise Open("only tensors of numbers")
    return operation(f"tl.abs({piece.text})", piece.kind, abs, (piece, piece.kind))


def extreme(name: str, left: Piece, right: Piece) -> Piece:
    """tl.maximum and tl.minimum, which have no bfloat16."""
    sides = [widened(dataclasses.replace(side, constant=None)) for side in (left, right)]
    if "int1" in (left.kind, right.kind) or (left.constant is not None and right.constant is not None):
        raise Open("only tensors of numbers")
    kind = together(*sides)
    function = max if name == "maximum" else min
    return operation(f"tl.{name}({left.text}, {right.text})", kind, function, *((side, kind) for side in sides))


def widened(piece: Piece) -> Piece:
    if piece.kind != "bfloat16":
        return piece
    return Piece(piece.text, "float32", piece.shape, piece.run)


def chosen(condition: Piece, left: Piece, right: Piece) -> Piece:
    """tl.where"""
    if condition.kind != "int1" or (left.constant is not None and right.constant is not None):
        raise Open("tl.where takes a truth, and a tensor")
    kind = together(left, right)
    unsigned_and_negative(kind, left, right)
    if not condition.shape and joint(left, right):
        raise Open("a tile for one truth")
    text = f"tl.where({condition.text}, {left.text}, {right.text})"
    pick = lambda c, a, b: a if c else b  # noqa: E731
    return operation(text, kind, pick, (condition, "int1"), (left, kind), (right, kind))


def fused(x: Piece, y: Piece, z: Piece) -> Piece:
    if len({x.kind, y.kind, z.kind}) != 1 or x.kind in WHOLE or None not in (x.constant, y.constant, z.constant):
        raise Open("tl.fma is drawn of one float type")
    if any(side.constant is not None for side in (x, y, z)):
        raise Open("tl.fma is drawn of tensors")
    exact = lambda a, b, c: Fraction(a) * Fraction(b) + Fraction(c)  # noqa: E731
    return operation(f"tl.fma({x.text}, {y.text}, {z.text})", x.kind, exact, *((s, x.kind) for s in (x, y, z)))


def rounded(name: str, piece: Piece) -> Piece:
    if piece.constant is not None or piece.kind not in ("float32", "float64"):
        raise Open("only of float32 and float64")
    function = {"floor": math.floor, "ceil": math.ceil, "sqrt": root}[name]
    return operation(f"tl.{name}({piece.text})", piece.kind, lambda v: float(function(v)), (piece, piece.kind))


def root(value: float) -> float:
    if value < 0:
        raise Open("the root of a negative number")
    return math.sqrt(value)


# Tiles ----------------------------------------------------------------------------------------------------------------


def reduced(name: str, piece: Piece, axis: int | None) -> Piece:
    """tl.sum, tl.max, tl.min, tl.xor_sum, tl.argmax and tl.argmin."""
    if not piece.shape or (axis is not None and axis >= len(piece.shape)):
        raise Open("a tile along one of its axes")
    kind = reduced_kind(name, piece.kind)
    if name.startswith("arg") and (axis is None or piece.kind == "int1"):
        raise Open("the place of a number along an axis")
    if name == "xor_sum" and piece.kind not in WHOLE:
        raise Open("an operator of whole numbers")
    text = f"tl.{name}({piece.text}" + ("" if axis is None else f", {axis}") + ")"
    shape = () if axis is None else tuple(s for i, s in enumerate(piece.shape) if i != axis)
    run, function = as_kind(piece, kind), REDUCTIONS[name]

    def meaning(names: dict[str, Lanes]) -> Lanes:
        values = run(names)
        rows = [values.reshape(-1)] if axis is None else np.moveaxis(values, axis, -1).reshape(-1, values.shape[axis])
        out = np.empty(shape, object)
        out.reshape(-1)[:] = [function(list(row), kind) for row in rows]
        return out

    return Piece(text, "int32" if name.startswith("arg") else kind, shape, meaning)


def reduced_kind(name: str, kind: str) -> str:
    """The type that a reduction computes in."""
    if name in ("max", "min") and kind in (*NARROW, "int1", "int8", "uint8", "int16", "uint16"):
        return "int32" if kind in WHOLE else "float32"
    if name.startswith("arg") and kind == "bfloat16":
        return "float32"
    if name in ("sum", "cumsum") and kind in WHOLE and WHOLE[kind][0] < 32:
        return "int32" if WHOLE[kind][1] else "uint32"
    return kind


def total(row: list, kind: str) -> Any:
    """A sum, where it is the same in every order."""
    if kind in WHOLE:
        return fit(sum(row), kind)
    digits, least, _ = FLOATS[kind]
    exact = sum(map(Fraction, row))
    size = sum(abs(Fraction(value)) for value in row)
    step = Fraction(2) ** (math.frexp(float(size))[1] - digits)
    if size and (any(Fraction(value) % step for value in row) or size >= FLOATS[kind][2]):
        raise Open("a sum that depends on its order")
    return float(exact)


def xor(row: list, kind: str) -> int:
    out = 0
    for value in row:
        out = fit(out ^ value, kind)
    return out


REDUCTIONS: dict[str, Callable] = {"sum": total, "xor_sum": xor}
REDUCTIONS |= {"max": lambda row, kind: max(row), "min": lambda row, kind: min(row)}
REDUCTIONS |= {"argmax": lambda row, kind: row.index(max(row)), "argmin": lambda row, kind: row.index(min(row))}


def scanned(name: str, piece: Piece, axis: int, reverse: bool) -> Piece:
    """tl.cumsum, tl.cumprod of whole numbers, and associative scans."""
    if axis >= len(piece.shape) or piece.kind == "int1" or (name != "larger" and piece.kind not in WHOLE):
        raise Open("a tile of whole numbers along one of its axes")
    kind = reduced_kind(name, piece.kind)
    tuples = name == "affine"
    texts = {"larger": f"tl.associative_scan({piece.text}, {axis}, larger, reverse={reverse})"}
    texts["affine"] = f"tl.associative_scan(({piece.text}, {piece.text}), {axis}, affine, reverse={reverse})[1]"
    text = texts.get(name, f"tl.{name}({piece.text}, {axis}, reverse={reverse})")
    run, combine = as_kind(piece, kind), SCANS[name]

    def line(row: list) -> list:
        row = [(v, v) if tuples else (v,) for v in (row[::-1] if reverse else row)]
        out = row[:1]
        for value in row[1:]:
            step = combine(*out[-1], *value)
            out.append(tuple(fit(v, kind) if kind in WHOLE else v for v in (step if tuples else (step,))))
        out = [value[-1] for value in out]
        return out[::-1] if reverse else out

    def meaning(names: dict[str, Lanes]) -> Lanes:
        values = np.moveaxis(run(names), axis, -1)
        out = np.empty(values.shape, object)
        for at in np.ndindex(values.shape[:-1]):
            out[at] = line(list(values[at]))
        return np.moveaxis(out, -1, axis)

    return Piece(text, kind, piece.shape, meaning)


SCANS: dict[str, Callable] = {"cumsum": operator.add, "cumprod": operator.mul, "larger": max}
SCANS["affine"] = lambda a, b, c, d: (a * c, b * c + d)


def moved(name: str, piece: Piece) -> Piece:
    """Shapes and orders: nothing is computed."""
    if not piece.shape:
        raise Open("only tiles")
    flat = (math.prod(piece.shape),)
    two = len(piece.shape) == 2
    forms = {
        "trans": (f"tl.trans({piece.text})", piece.shape[::-1], np.transpose) if two else None,
        "flat": (f"{piece.text}.reshape({flat[0]})", flat, lambda v: v.reshape(flat)) if two else None,
        "table": (f"{piece.text}.reshape(4, 4)", (4, 4), lambda v: v.reshape(4, 4)) if piece.shape == (16,) else None,
        "flip": (f"tl.flip({piece.text}, 0)", piece.shape, lambda v: np.flip(v, 0)),
        "sort": (f"tl.sort({piece.text})", piece.shape, ordered) if piece.shape[-1] > 1 else None,
        "row": (f"{piece.text}[None, :]", (1, 16), lambda v: v[None]) if piece.shape == (16,) else None,
    }
    if forms[name] is None or (name in ("flip", "sort") and (piece.shape[0] == 1 or piece.kind == "int1")):
        raise Open("no such shape")
    text, shape, function = forms[name]
    return Piece(text, piece.kind, shape, lambda names: function(piece.run(names)))


def ordered(values: Lanes) -> Lanes:
    out = np.empty(values.shape, object)
    for at in np.ndindex(values.shape[:-1]):
        out[at] = sorted(values[at])
    return out


# Kernels --------------------------------------------------------------------------------------------------------------


def places(shape: tuple[int, ...]) -> str:
    """The places of a tile's elements in memory, as a text."""
    if len(shape) < 2:
        return f"tl.arange(0, {shape[0]})" if shape else "0"
    rows, columns = shape
    return f"(tl.arange(0, {rows})[:, None] * {columns} + tl.arange(0, {columns})[None, :])"


GRID = 2
Step = Callable[[dict[str, Lanes]], None]


@dataclasses.dataclass(eq=False)
class Kernel:
    """One random kernel: its text, its arguments, and what it must store.

    inputs: name -> (kind, values); scalars: name -> number; constants: name -> number, of tl.constexpr parameters
    outputs: name -> (kind, the values that it must hold)
    """

    name: str
    source: str
    inputs: dict[str, tuple[str, list]]
    scalars: dict[str, Any]
    constants: dict[str, Any]
    outputs: dict[str, tuple[str, list]]

    def text(self) -> str:
        """A module with this kernel alone."""
        return f"{PRELUDE}\n\n{self.source}"


class Maker:
    """Draws one kernel. Its statements run while they are drawn, in every program, so that nothing open stays in it."""

    def __init__(self, seed: int, plain: bool = False) -> None:
        self.plain = plain
        self.kinds = [kind for kind in (*WHOLE, *FLOATS) if not (plain and kind == "bfloat16")]
        self.rng = np.random.Generator(np.random.Philox(seed))
        self.seed = seed
        self.lines: list[str] = []
        self.pieces: list[Piece] = []
        self.worlds: list[dict[str, Lanes]] = [{"pid": scalar(pid)} for pid in range(GRID)]
        self.inputs: dict[str, tuple[str, list]] = {}
        self.scalars = {"n": self.whole(2, 6), "m": self.whole(-9, 9), "f": self.whole(-8, 8) / 4 + 0.125}
        self.constants = {"C0": self.whole(1, 7), "C1": self.pick([0.25, 2.0, -1.5])}
        self.count = 0

    # drawing
    def whole(self, low: int, high: int) -> int:
        return int(self.rng.integers(low, high + 1))

    def pick(self, items: Any) -> Any:
        return items[int(self.rng.integers(0, len(items)))]

    def fresh(self, letter: str) -> str:
        self.count += 1
        return f"{letter}{self.count}"

    def tried(self, draw: Callable[[], Any], times: int = 40) -> Any:
        """What `draw` gives, drawn again where its meaning is open; None when it stays so."""
        for _ in range(times):
            with contextlib.suppress(Open):
                return draw()
        return None

    # values
    def value(self, kind: str) -> Any:
        if kind in WHOLE:
            low, high = ends(kind)
            size = self.pick([3, 20, 2**31, 2**63])
            drawn = fit(int(self.rng.integers(-size, size)), kind)
            return drawn if self.rng.random() < 0.9 else self.pick([low, high])
        return near(self.whole(-64, 64) / self.pick([1.0, 8.0, 8.0, 3.0]), kind)

    def load(self) -> None:
        """A statement that loads a tile, perhaps under a mask."""
        name, kind = self.fresh("x"), self.pick(self.kinds[1:])
        shape = self.pick([(16,), (16,), (4, 4), (4, 4), (4, 1), (1, 4), ()])
        size = math.prod(shape)
        values = [self.value(kind) for _ in range(size * GRID)]
        self.inputs[f"{name}_ptr"] = (kind, values)
        masked = bool(shape) and self.rng.random() < 0.3
        mask = f", mask={places(shape)} < n, other={self.pick([0, 1, 3])}" if masked else ""
        self.lines.append(f"{name} = tl.load({name}_ptr + pid * {size} + {places(shape)}{mask})")
        other = int(mask[-1]) if masked else 0
        for pid, world in enumerate(self.worlds):
            part = values[pid * size : (pid + 1) * size]
            if masked:
                filler = converted(other, "int32", kind)
                part = [v if i < self.scalars["n"] else filler for i, v in enumerate(part)]
            world[name] = lanes(lambda v: v, np.array([*part, None], object)[:-1].reshape(shape))
        self.pieces.append(name_of(name, kind, shape))

    def cast(self, piece: Piece, kind: str) -> Piece:
        return cast(piece, kind, fitting=self.plain)

    def binary(self, sign: str, left: Piece, right: Piece) -> Piece:
        made = binary(sign, left, right)
        if self.plain and made.kind == "int1" and sign in SUMS:
            raise Open("a sum of truths")
        return made

    # expressions
    def leaf(self) -> Piece:
        if self.rng.random() < 0.3:
            number = self.pick([1, 2, 3, 5, 7, 100, -1, -3, 0.5, 1.5, -2.0])
            return self.pick([constant(number), constant(number), *self.known_constants()])
        return self.pick(self.pieces[-6:] if self.rng.random() < 0.7 else self.pieces)

    def known_constants(self) -> list[Piece]:
        named = self.constants if self.plain else {**GLOBALS, **self.constants}
        return [constant(value, name) for name, value in named.items()]

    def expression(self, depth: int) -> Piece:
        if depth == 0:
            return self.leaf()
        made = self.tried(lambda: self.pick(self.forms())(depth), 60)
        return self.leaf() if made is None else made

    def forms(self) -> list[Callable[[int], Piece]]:
        """The kinds of pieces, those that shall come often more than once."""
        rare = [] if self.plain else [self.fma]
        often = [self.arithmetic] * 6 + [self.choice, self.casting, self.reduction] * 2
        return [*often, self.comparison, self.unary, self.either, self.moving, self.scan, self.helper, *rare]

    def arithmetic(self, depth: int) -> Piece:
        sign = self.pick("+ - * + - * / // % & | ^ << >>".split()[: -1 if self.plain else None])
        return self.binary(sign, self.expression(depth - 1), self.expression(depth - 1))

    def comparison(self, depth: int) -> Piece:
        sides = self.expression(depth - 1), self.expression(depth - 1)
        if sides[0].constant is not None and sides[1].constant is not None:
            raise Open("a comparison of constants")
        return self.binary(self.pick(list(COMPARISONS)), *sides)

    def choice(self, depth: int) -> Piece:
        return chosen(self.comparison(depth), self.expression(depth - 1), self.expression(depth - 1))

    def casting(self, depth: int) -> Piece:
        return self.cast(self.expression(depth - 1), self.pick(self.kinds))

    def unary(self, depth: int) -> Piece:
        piece = self.expression(depth - 1)
        name = self.pick(["floor", "ceil", "sqrt"])
        return self.pick([negative, negative if self.plain else inverted, absolute, lambda p: rounded(name, p)])(piece)

    def either(self, depth: int) -> Piece:
        return extreme(self.pick(["maximum", "minimum"]), self.expression(depth - 1), self.expression(depth - 1))

    def moving(self, depth: int) -> Piece:
        return moved(self.pick(["trans", "flat", "table", "flip", "sort", "row"]), self.expression(depth - 1))

    def scan(self, depth: int) -> Piece:
        piece = self.expression(depth - 1)
        return scanned(self.pick(list(SCANS)), piece, self.whole(0, 1), self.rng.random() < 0.5)

    def fma(self, depth: int) -> Piece:
        x, kind = self.expression(depth - 1), self.pick(list(FLOATS))
        return fused(*(self.cast(self.expression(depth - 1), kind) for _ in range(2)), self.cast(x, kind))

    def helper(self, depth: int) -> Piece:
        x, y, k = self.expression(depth - 1), self.expression(depth - 1), self.pick([2, 3, 0.5])
        if x.constant is not None or y.constant is not None:
            raise Open("the helper takes tensors")
        return dataclasses.replace(
            self.binary("+", self.binary("*", x, constant(k)), y), text=f"scaled({x.text}, {y.text}, {k})"
        )

    def reduction(self, depth: int) -> Piece:
        return reduced(self.pick(list(REDUCTIONS)), self.expression(depth - 1), self.pick([None, 0, 0, 1]))

    # statements
    def checked(self, depth: int, want: Callable[[Piece], bool] = lambda piece: True) -> Piece:
        """A piece that is not open in any program, and no constant."""
        piece = self.expression(depth)
        if piece.constant is not None or not want(piece) or len(piece.text) > 400:
            raise Open("another one")
        for world in self.worlds:
            piece.run(world)
        return piece

    def assign(self) -> None:
        piece = self.tried(lambda: self.checked(self.whole(1, 3)))
        if piece is not None:
            self.bind(self.fresh("v"), piece)

    def bind(self, name: str, piece: Piece) -> None:
        """`name = piece`, with its type asserted."""
        self.lines += [f"{name} = {piece.text}", f"tl.static_assert({name}.dtype == tl.{piece.kind})"]
        for world in self.worlds:
            world[name] = piece.run(world)
        self.pieces.append(name_of(name, piece.kind, piece.shape))

    def loop(self) -> None:
        """A loop that changes a tile or a scalar; the loop's variable is one of the operands."""
        made = self.tried(self.looping, 20)
        if made is not None:
            self.keep(*made)

    def keep(self, lines: list[str], name: str, like: Piece, values: list[Lanes]) -> None:
        """Take a statement that leaves `name` with these values in the programs."""
        self.lines += lines
        for world, value in zip(self.worlds, values, strict=True):
            world[name] = value
        self.pieces.append(name_of(name, like.kind, like.shape))

    def looping(self) -> tuple:
        name, at, start = self.fresh("s"), self.fresh("j"), self.pick(self.pieces)
        before, head, kind, numbers, after = self.pick(self.heads(at))
        state = name_of(name, start.kind, start.shape)
        if kind == "constant":
            bodies = self.unrolled(state, at, numbers)
            text = bodies[numbers[0]].text
        else:
            body = self.body(state, name_of(at, kind, ()))
            text, bodies = body.text, dict.fromkeys(numbers, body)
        lines = [f"{name} = {start.text}", *before, head, f"    {name} = {text}", *(f"    {line}" for line in after)]
        values = []
        for world in self.worlds:
            inside = {**world, name: start.run(world)}
            for number in bodies:
                inside[at] = scalar(number)
                inside[name] = bodies[number].run(inside)
            values.append(inside[name])
        return lines, name, start, values

    def heads(self, at: str) -> list[tuple]:
        """(lines before, the loop's head, the type of its variable, its numbers, lines at the end of its body)"""
        n, m, word = self.scalars["n"], self.scalars["m"], self.pick(["range", "tl.range"])
        step = self.pick([1, 1, 2, -1, -2])
        low, high = (0, n) if step > 0 else (n, 0)
        words = f"(0, n, {step})" if step > 0 else f"(n, 0, {step})"
        known = range(1, 4) if step > 0 else range(5, 0, step)
        constants = [
            ([], f"for {at} in tl.static_{known}:", "constant", known, []),
            ([f"{at} = n - n"], f"while {at} < n:", "int32", range(n), [f"{at} += 1"]),
        ]
        if self.plain:
            return constants
        return [
            *constants,
            *[([], f"for {at} in {word}{words}:", "int32", range(low, high, step), [])] * 3,
            ([], f"for {at} in range(m, 9, C0):", "int32", range(m, 9, self.constants["C0"]), []),
            ([], f"for {at} in {word}(m.to(tl.int64), m + 3):", "int64", range(m, m + 3), []),
            ([], f"for {at} in {word}(0, n.to(tl.uint32)):", "uint32", range(n), []),
        ]

    def body(self, state: Piece, at: Piece) -> Piece:
        """What a loop makes of its state: of the same type and shape."""
        held, self.pieces = self.pieces, [*self.pieces, at, at, at, state]
        try:
            piece = self.expression(2)
        finally:
            self.pieces = held
        if piece.constant is not None or at.text not in piece.text or len(piece.text) > 300:
            raise Open("a body that uses the variable")
        return self.same(state, self.binary(self.pick(["+", "-", "*"]), state, piece))

    def same(self, state: Piece, changed: Piece) -> Piece:
        """`changed` with the type of `state`, whose shape it must have."""
        if changed.shape != state.shape:
            raise Open("a name keeps its shape")
        return changed if changed.kind == state.kind else self.cast(changed, state.kind)

    def unrolled(self, state: Piece, at: str, numbers: range) -> dict[int, Piece]:
        """The body for every number of a loop over constants."""
        signs, other = [self.pick(["+", "-", "*"]) for _ in "ab"], self.pick(self.pieces)
        made = {}
        for number in numbers:
            inner = self.binary(signs[1], other, constant(number, at))
            made[number] = self.same(state, self.binary(signs[0], state, inner))
        return made

    def decision(self) -> None:
        """if ... else, of a scalar that every program has for itself."""
        made = self.tried(self.deciding, 20)
        if made is not None:
            self.keep(*made)

    def deciding(self) -> tuple:
        name, condition = self.fresh("d"), self.comparison(2)
        if condition.shape:
            raise Open("one truth")
        first = self.checked(2)
        second = self.same(first, self.checked(2))
        values = [(first if condition.run(world)[()] else second).run(world) for world in self.worlds]
        both = self.pick([condition.text, f"{condition.text} and pid >= 0", f"pid < 0 or not not {condition.text}"])
        lines = [f"if {both}:", f"    {name} = {first.text}", "else:", f"    {name} = {second.text}"]
        return lines, name, first, values

    # the whole
    def kernel(self) -> Kernel:
        """A kernel with a load, some statements, and a store of every name."""
        scalars = [name_of("n", "int32", ()), name_of("m", "int32", ()), name_of("f", "float32", ())]
        scalars = scalars[:2] if self.plain else scalars
        for world in self.worlds:
            world.update({name: scalar(value) for name, value in self.scalars.items()})
        self.pieces += [*scalars, name_of("pid", "int32", ())]
        for _ in range(self.whole(2, 4)):
            self.load()
        for _ in range(self.whole(3, 7)):
            self.pick([self.assign, self.assign, self.assign, self.loop, self.loop, self.decision])()
        return self.finished()

    def finished(self) -> Kernel:
        name = f"kernel_{self.seed}"
        outputs = {}
        for piece in [p for p in self.pieces if p.text[0] in "vsd"]:
            at, size = places(piece.shape), math.prod(piece.shape)
            kind = "int8" if piece.kind == "int1" else piece.kind
            values = [value for world in self.worlds for value in world[piece.text].reshape(-1)]
            outputs[f"{piece.text}_ptr"] = (kind, values)
            self.lines.append(f"tl.store({piece.text}_ptr + pid * {size} + {at}, {piece.text})")
        arguments = [*self.inputs, *outputs, *self.scalars, *(f"{name}: tl.constexpr" for name in self.constants)]
        body = ["pid = tl.program_id(0)", *self.lines]
        source = f"@triton.jit\ndef {name}({', '.join(arguments)}):\n" + "".join(f"    {line}\n" for line in body)
        return Kernel(name, source, self.inputs, self.scalars, self.constants, outputs)


def kernel(seed: int, plain: bool = False) -> Kernel:
    """The random kernel of this number. plain: without what triton's own interpreter is known to do otherwise, namely
    loops with range, float arguments, global constants, bfloat16, tl.fma, `~`, `>>`, sums of truths, and floats that do
    not fit the whole type they are cast to."""
    return Maker(seed, plain).kernel()


# Launches -------------------------------------------------------------------------------------------------------------

BATCH = 250  # kernels of a module


def modules(kernels: list[Kernel], folder: Path) -> Iterator[tuple[Path, list[Kernel]]]:
    """The kernels as files, and as modules made of them: triton reads the source of a kernel from its file."""
    for number in range(0, len(kernels), BATCH):
        path = folder / f"random_kernels_{number}.py"
        part = kernels[number : number + BATCH]
        path.write_text(PRELUDE + "".join(f"\n\n{kernel.source}" for kernel in part))
        yield path, part


def loaded(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def tensor(kind: str, values: list) -> torch.Tensor:
    if kind == "uint64":
        return torch.from_numpy(np.array(values, np.uint64))
    wide = torch.float64 if kind in FLOATS else torch.int64
    return torch.tensor(values, dtype=wide).to(getattr(torch, kind))


def launched(function: Any, arguments: dict) -> dict[str, list] | str:
    """What a kernel stores, or the error that it ends with."""
    inputs = {name: tensor(*given) for name, given in arguments["inputs"].items()}
    outputs = {name: tensor(kind, [0] * count) for name, (kind, count) in arguments["outputs"].items()}
    try:
        function[(arguments["grid"],)](**inputs, **outputs, **arguments["others"])
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return {name: (out.double() if out.is_floating_point() else out).tolist() for name, out in outputs.items()}


def arguments_of(kernel: Kernel) -> dict[str, Any]:
    """What a launch needs, without what must come out."""
    outputs = {name: (kind, len(values)) for name, (kind, values) in kernel.outputs.items()}
    others = {**kernel.scalars, **kernel.constants}
    return {"inputs": kernel.inputs, "outputs": outputs, "others": others, "grid": GRID}


def as_triton_runs(folder: Path) -> None:
    """The child process: run the kernels of a folder under TRITON_INTERPRET, and leave what they store there."""
    warnings.simplefilter("ignore")
    asked = pickle.loads((folder / "asked.pickle").read_bytes())
    stored = {}
    with np.errstate(all="ignore"):
        for file, kernels in asked.items():
            module = loaded(folder / file)
            stored |= {name: launched(getattr(module, name), arguments) for name, arguments in kernels.items()}
    (folder / "stored.pickle").write_bytes(pickle.dumps(stored))


if __name__ == "__main__":
    as_triton_runs(Path(sys.argv[1]))
