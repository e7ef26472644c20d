"""What triton's language decides about an operation, decided once for operands of the same types.

`x + y` goes through triton's rules for types and shapes in every program, and an interpreted kernel spends most of its
time there. The rules ask for types and for numbers, never for what a tile holds. So the first call of an operation is
taped - which operations of the builder it came to - and every later call with operands of these types runs a function
made from the tape: the same operations of the same builder, without the rules.

What it is not: arithmetic or memory, which stay with the `builder`. Where a tape can't be trusted to tell the
whole story, the operation is left as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import triton.language as tl
from triton.language.semantic import TritonSemantic
from triton.runtime.interpreter import TensorHandle

MAX_RECIPES = 20_000  # of one operation

# Whose answers follow from the types of their operands: methods of tl.tensor, functions of tl, jitted ones of tl.
OPERATORS = {f"__{r}{name}__" for name in "add sub mul truediv floordiv mod and or xor".split() for r in ("", "r")}
OPERATORS |= {f"__{name}__" for name in "lt le gt ge eq ne neg invert".split()}
FUNCTIONS = set("arange program_id num_programs load store dot where maximum minimum expand_dims cast to abs".split())
FUNCTIONS |= set("__getitem__ exp exp2 log log2 sqrt rsqrt sin cos floor ceil erf fma full broadcast_to trans".split())
JITTED = {id(fn) for fn in (tl.standard.sum, tl.standard.max, tl.standard.min)}

# Operations of the builder that are one numpy operation, which widens its operands by itself.
_WIDENING = {f"create_{name}" for name in "fadd fsub fmul fdiv frem add sub mul sdiv udiv srem urem and or xor".split()}
_WIDENING |= {f"create_{k}cmp{c}{op}" for k, c in (("f", "O"), ("i", "S"), ("i", "U")) for op in "LT LE GT GE".split()}
_WIDENING |= {f"create_{name}" for name in "fcmpOEQ fcmpUNE icmpEQ icmpNE addptr select maxnumf minnumf".split()}
_WIDE = {"create_splat", "create_broadcast"}
_FILLED = {"create_masked_load", "create_masked_store"}  # their operands behind the first are widened there


def kind(value: Any) -> Any:
    """All that triton's rules ask of an operand: the type of a tensor, anything else itself. Raises TypeError for what
    is not known."""
    what = type(value)
    if what is tl.tensor:
        return value._kind
    if what is int or what is bool or what is str or value is None:
        return what, value
    if what is float:
        return what, value.hex()
    if what is tl.dtype:
        return what, value.name
    if what is tl.constexpr and type(value.value) is not tl.tensor:  # one of a tensor would be baked in by its type
        return what, kind(value.value)
    if (what is tuple or what is list) and not any(type(item) is tl.tensor for item in value):
        return what, *map(kind, value)
    if what is slice and value == slice(None):
        return what
    raise TypeError


def _size(value: Any) -> Any:
    """`kind`, but of a whole number only what decides about its type: its sign and its bits."""
    return ("int", value < 0, (~value if value < 0 else value).bit_length()) if type(value) is int else kind(value)


def facts(of: tl.dtype) -> dict[str, Any]:
    """What a tl.tensor of this type has as attributes, but for its handle. A tile's type brings them along."""
    known = vars(of).get("_facts") or _scalars.get(of.name)
    if known is None:
        known = {"shape": tl.tuple([]), "numel": tl.constexpr(1), "type": of, "dtype": of.scalar, "_kind": of.name}
        _scalars[of.name] = known
    return known


_scalars: dict[str, dict[str, Any]] = {}


class _Tape:
    """Stands in for the builder and writes down which of its operations make tensors."""

    def __init__(self, builder: Any) -> None:
        self.builder = builder
        self.calls: list[tuple[str, tuple, TensorHandle | None]] = []
        self.whole = True  # nothing happened that it has no word for

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.builder, name)
        if not name.startswith(("create_", "get_")):
            return found

        def call(*args: Any) -> Any:
            out = found(*args)
            if isinstance(out, TensorHandle) or (out is None and name.startswith("create_")):
                self.calls.append((name, args, out))
            elif name.startswith("create_"):
                self.whole = False
            return out

        return call

    def tells_all(self, out: Any) -> bool:
        """Whether `out` followed from the types of the operands. Triton looks at the value of a scalar `other`."""
        scalars = [made for name, _, made in self.calls if name == "create_masked_load" and made.data.size == 1]
        return self.whole and type(out) is tl.tensor and not scalars


def remembered(member: Callable, semantic: TritonSemantic, *, numbers: bool = False) -> Callable:
    """`member`, a builtin of triton or a jitted function made of them, by recipe. It is called with _semantic.

    numbers     whole numbers among the operands are numbers, not places, sizes or axes: they may differ each time
    """
    recipes: dict[tuple, Callable | None] = {}
    ask = _size if numbers else kind

    def call(*args: Any, **kwargs: Any) -> Any:
        operands = (*args, *kwargs.values()) if kwargs else args
        try:
            recipe = recipes[*map(ask, operands), *kwargs]
        except (KeyError, TypeError, AttributeError):
            recipe = None
        if recipe is None or type(semantic.builder) is _Tape:
            return slowly(args, kwargs, operands)
        return recipe(operands)

    def slowly(args: tuple, kwargs: dict[str, Any], operands: tuple) -> Any:
        builder = semantic.builder
        key = _key(ask, operands, kwargs)
        if key is None or key in recipes or type(builder) is _Tape or len(recipes) >= MAX_RECIPES:
            return member(*args, **kwargs)
        recipes[key] = None
        if not all(type(o) is not tl.tensor or isinstance(o.handle, TensorHandle) for o in operands):
            return member(*args, **kwargs)
        operands = tuple(_apart(value) for value in operands)
        tape = semantic.builder = _Tape(builder)
        try:
            out = member(*operands[: len(args)], **dict(zip(kwargs, operands[len(args) :], strict=True)))
        finally:
            semantic.builder = builder
        if tape.tells_all(out):
            recipes[key] = _Writer(tape, operands, numbers).recipe(out)
        return out

    return call


def _key(ask: Callable, operands: tuple, names: Iterable[str]) -> tuple | None:
    try:
        return (*map(ask, operands), *names)
    except (TypeError, AttributeError):
        return None


def _apart(value: Any) -> Any:
    """A tensor with a handle of its own, so that x * x is not taken for x * y."""
    if type(value) is not tl.tensor:
        return value
    return tl.tensor(TensorHandle(value.handle.data, value.handle.dtype, value.handle.attr), value.type)


class _Writer:
    """Writes a tape down as a function of the operands, o."""

    def __init__(self, tape: _Tape, operands: tuple, numbers: bool) -> None:
        self.tape, self.operands = tape, operands
        tensors = [(i, o) for i, o in enumerate(operands) if type(o) is tl.tensor]
        self.names = {id(o.handle): f"o[{i}].handle" for i, o in tensors}
        self.varying = {i: o for i, o in enumerate(operands) if numbers and type(o) is int and o not in (0, -1)}
        self.bound: set[int] = set()
        self.known: dict[str, Any] = {"new": tl.tensor.__new__, "tensor": tl.tensor, "builder": tape.builder}
        self.lines: list[str] = []
        self.widened = {id(made): given for name, given, made in tape.calls if name in _WIDE}

    def recipe(self, out: tl.tensor) -> Callable | None:
        """None when a number among the operands can't be found again on the tape."""
        needed = {id(value) for call in self.tape.calls for value in self._in_shape(call)} | {id(out.handle)}
        for number, call in enumerate(self.tape.calls):
            if call[0] not in _WIDE or id(call[2]) in needed:
                self._write(number, *call)
        if self.bound != set(self.varying) or (out.handle is not None and id(out.handle) not in self.names):
            return None
        body = "\n    ".join([*self.lines, *self._last_lines(out)])
        exec(compile(f"def recipe(o):\n    {body}", "<recipe>", "exec"), self.known)
        return self.known["recipe"]

    def _write(self, number: int, name: str, given: tuple, made: TensorHandle | None) -> None:
        wide = {id(value) for value in self._in_shape((name, given, made))}
        words = [self._place(value if id(value) in wide else self._narrow(value)) for value in given]
        if name.startswith("get_"):
            at = next((i for i, o in self.varying.items() if type(given[0]) is int and given[0] == o), None)
            if at is None:
                return  # a constant
            self.bound.add(at)
            words = [f"o[{at}]"]
        if name == "create_masked_load":
            self.lines.append(f"builder.other_given = {self.tape.builder.other_given}")
        self.names[id(made)] = f"t{number}"
        self.lines.append(f"t{number} = {self._constant(getattr(self.tape.builder, name))}({', '.join(words)})")

    def _last_lines(self, out: tl.tensor) -> list[str]:
        given_back = next((i for i, o in enumerate(self.operands) if o is out), None)
        if given_back is not None:
            return [f"return o[{given_back}]"]
        self.known["facts"] = facts(out.type)
        handle = "None" if out.handle is None else self.names[id(out.handle)]
        return ["out = new(tensor)", f"out.__dict__ = {{**facts, 'handle': {handle}}}", "return out"]

    def _constant(self, value: Any) -> str:
        name = f"c{len(self.known)}"
        self.known[name] = value
        return name

    def _place(self, value: Any) -> str:
        if not isinstance(value, TensorHandle):
            return self._constant(value)
        if id(value) not in self.names:
            self.names[id(value)] = self._constant(value)
        return self.names[id(value)]

    def _narrow(self, value: Any) -> Any:
        """What a widened tensor was before."""
        while id(value) in self.widened:
            value = next(given for given in self.widened[id(value)] if isinstance(given, TensorHandle))
        return value

    def _in_shape(self, call: tuple[str, tuple, Any]) -> list[TensorHandle]:
        """Which operands of a builder's operation must come in the shape that triton gave them."""
        name, given, made = call
        handles = [value for value in given if isinstance(value, TensorHandle)]
        if name in _WIDENING:
            shapes = [self._narrow(value).data.shape for value in handles]
            return [] if np.broadcast_shapes(*shapes) == made.data.shape else handles
        return handles[:1] if name in _FILLED else handles
