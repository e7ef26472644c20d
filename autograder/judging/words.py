"""What may be said of a hand-in that runs on secret numbers: words that can't carry them.

What it is: `Words`, which reads a sentence that came from a worker and makes one of the judge's own. A sentence is
known by its form; a name in it must stand in the hand-in or be one that the judge asked for, a number must be a size in
the question. A text of the learner's own must stand in the hand-in as a whole.

What it is not: a judgement. Cases and trials are decided by values, never by words.
"""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Collection, Iterable
from functools import cache, cached_property
from typing import Any

import numpy as np
import torch

from course.checking.forbidden import FAMILIES
from grader_kernels import wire
from grader_kernels.replaying import trace

MAX_SENTENCE = 400
MAX_LINE = 120  # characters of a line of code
MAX_PIECES = 12  # of a sentence that lists names
LITTLE = 10  # numbers below it are always shown
UNSHOWN, OWN, NOT_YET = "…", "an exception of its own", "not written yet"
OTHER = "other entries: "  # how the exception of a module with other parameters begins

_FIELDS = {"n": r"-?\d{1,12}", "s": r"[(\[][-\d, ]{0,60}[)\]]", "w": r"[^`'\"\s]{1,200}"}
_SENTENCES = (
    "it asked for more memory than there is",
    "`{w}` is not defined: run the cell that defines it",
    "`{w}` has no value yet",
    "`{w}` is a {w}, not something to call",
    "the {w} object can't be called",
    "the {w} object has no `{w}`",
    "the object was released or never made",
    "the module has no parameter `{w}`",
    "no gradient can flow: the result is cut off from its inputs",
    "the result has shape {s}, expected {s}",
    f"the result can't be judged: it has more than {wire.MAX_NODES:,} parts",
    f"the result can't be judged: it is nested more than {wire.MAX_DEPTH} deep",
    f"the result can't be judged: it is larger than {wire.MAX_ANSWER >> 20} MiB",
    f"the result can't be judged: it is larger than a frame ({wire.MAX_BODY >> 20} MiB)",
    f"the result can't be judged: an int has more than {wire.MAX_INT_BITS:,} bits",
    "the result can't be judged: a {w} can't be sent",
    "the result can't be judged: a dict key is a {w}",
    "the result can't be judged: a {w} whose numbers can't be read can't be sent",
    "the result can't be judged: a tensor of {w} can't be sent",
    "the result can't be judged: a tensor of layout {w}",
    f"the result can't be judged: a tensor has more than {wire.MAX_DIMS} dimensions",
    f"the result can't be judged: a tensor is larger than {wire.MAX_ANSWER >> 20} MiB",
    "the result can't be judged: a numpy {w} can't be sent",
    f"the result can't be judged: an array has more than {wire.MAX_DIMS} dimensions",
    f"the result can't be judged: an array is larger than {wire.MAX_ANSWER >> 20} MiB",
    "the result can't be judged: a tensor on the meta device has no numbers",
    f"the launch trace asks for {{n}} bytes; the limit is {trace.MAX_BYTES}",
    f"the launch trace asks for {{n}} programs; the limit is {trace.MAX_PROGRAMS}",
    "the trace holds a whole number of more than 64 bits",
    "the launcher uses memory outside of its argument {w}",
    "two different kernels are named {w}: give each its own name",
    f"the launcher does more than {trace.MAX_STEPS} launches, fills and copies",
    "tensors of type {w} can't be traced",
    "it ended itself with {w}",
)
_PIECES = (
    "it has no {names}",
    "it has {names}, which should not be there",
    "`{w}` has shape {s} in it, expected {s}",
    "`{w}` should be called `{w}`",
    "and {n} more",
    "loaded by shape and order",
)
_NAMES = r"`[^`]{1,200}`(?:, `[^`]{1,200}`){0,3}(?: and \d{1,6} more)?"
ENTRIES = "the parameters and buffers of your module are other ones than expected: "
_MESSAGES = (
    "The size of tensor a ({n}) must match the size of tensor b ({n}) at non-singleton dimension {n}",
    "mat1 and mat2 shapes cannot be multiplied ({n}x{n} and {n}x{n})",
    "mat1 and mat2 must have the same dtype, but got {w} and {w}",
    "expected m1 and m2 to have the same dtype, but got: {w} != {w}",
    "expected scalar type {w} but found {w}",
    "Expected size for first two dimensions of batch2 tensor to be: {s} but got: {s}.",
    "shape '{s}' is invalid for input of size {n}",
    "index {n} is out of bounds for dimension {n} with size {n}",
    "index {n} is out of bounds for axis {n} with size {n}",
    "Dimension out of range (expected to be in range of {s}, but got {n})",
    "operands could not be broadcast together with shapes {s} {s}",
    "too many indices for tensor of dimension {n}",
    "Sizes of tensors must match except in dimension {n}. "
    "Expected size {n} but got size {n} for tensor number {n} in the list.",
    "element {n} of tensors does not require grad and does not have a grad_fn",
    "a leaf Variable that requires grad is being used in an in-place operation.",
    "Boolean value of Tensor with more than one value is ambiguous",
    "only integer tensors of a single element can be converted to an index",
    "name '{w}' is not defined",
    "cannot access local variable '{w}' where it is not associated with a value",
    "'{w}' object has no attribute '{w}'",
    "'{w}' object is not callable",
    "'{w}' object is not iterable",
    "'{w}' object is not subscriptable",
    "module '{w}' has no attribute '{w}'",
    "No module named '{w}'",
    "{w}() takes {n} positional arguments but {n} were given",
    "{w}() takes {n} positional argument but {n} were given",
    "{w}() got an unexpected keyword argument '{w}'",
    "{w}() missing {n} required positional argument: '{w}'",
    "{w}() missing {n} required positional arguments: '{w}' and '{w}'",
    "the grid of {w} has {n} dimensions; a grid has 1, 2 or 3",
    "the grid of {w} must hold whole numbers, not ({w}): use triton.cdiv or //",
    "grid dimension {n} of {w} is {n}; it must lie between 0 and {n}",
    "{w}: missing a required argument: '{w}'",
    "{w}: too many positional arguments",
    "{w}: got an unexpected keyword argument '{w}'",
    "list index out of range",
    "tuple index out of range",
    "division by zero",
    "float division by zero",
    "maximum recursion depth exceeded",
    "not for this exercise: `{w}`",
    "not enough values to unpack (expected {n}, got {n})",
    "too many values to unpack (expected {n})",
)


class Words:
    """The words of one hand-in. sources: its cells and the release's, as they are judged."""

    def __init__(self, sources: Iterable[str] = ()) -> None:
        self.sources = list(sources)

    def exception(self, name: str) -> str:
        """The name of an exception where it is a builtin's, a library's, or one that the hand-in writes; else ""."""
        return name if name in _library_exceptions() or (name.isidentifier() and name in self._written) else ""

    def sentence(
        self, kind: str, said: str, exception: str = "", question: Any = (), names: Collection[str] = ()
    ) -> str:
        """What a worker said of a failure of this kind, in words of ours.

        question: what it was asked with; names: those in it.
        """
        said = " ".join(said.split())
        about = _sizes(question), names
        if said.startswith(ENTRIES):
            return (ENTRIES + self.pieces(said.removeprefix(ENTRIES), question, names))[:MAX_SENTENCE]
        if known := self._filled(_SENTENCES, said, *about):
            return known[:MAX_SENTENCE]
        said, line = self._without_line(said)
        if kind == "not_attempted":
            return (said if said in self._literals else NOT_YET) + line
        named, _, text = said.removeprefix("it raised ").partition(": ")
        text = self._text(text, *about)
        name = self.exception(named) or self.exception(exception) or OWN
        return f"it raised {name}{text and ': '}{text}"[:MAX_SENTENCE] + line

    def _without_line(self, said: str) -> tuple[str, str]:
        """The sentence, and the line of code that it ends with, where the hand-in has such a line there."""
        found = re.fullmatch(r"(.*) \(line (\d{1,9}) `(.*)`\)", said)
        if found is None:
            return said, ""
        lines = (source.split("\n")[int(found[2]) - 1 : int(found[2])] for source in self.sources)
        known = any(line and " ".join(line[0].strip()[:MAX_LINE].split()) == found[3] for line in lines)
        return found[1], f" (line {found[2]} `{found[3]}`)" if known else ""

    def pieces(self, said: str, question: Any = (), names: Collection[str] = ()) -> str:
        """A list of names that a module has or should have, in words of ours."""
        numbers = _sizes(question)
        known = [self._filled(_PIECES, piece, numbers, names) for piece in said.split("; ")[:MAX_PIECES]]
        return "; ".join(filter(None, known))[:MAX_SENTENCE]

    def _text(self, text: str, numbers: Collection[int], names: Collection[str]) -> str:
        """The words of an exception: a library's by their form, the learner's where they stand in the hand-in."""
        return text if text and text in self._literals else self._filled(_MESSAGES, text, numbers, names)

    def _filled(self, forms: tuple[str, ...], said: str, numbers: Collection[int], names: Collection[str]) -> str:
        """The form that `said` has, filled with what may be shown; "" when it has none of them."""
        found = _forms(forms).fullmatch(said)
        if found is None:
            return ""
        form, fields = _form_of(forms, found)
        shown = iter([self._field(kind, value, numbers, names) for kind, value in fields])
        return re.sub(r"\{(?:n|s|w|names)\}", lambda _: next(shown), form)

    def _field(self, kind: str, value: str, numbers: Collection[int], names: Collection[str]) -> str:
        if kind == "w":
            return self._name(value, names)
        if kind == "names":
            value = re.sub(r"`([^`]*)`", lambda name: f"`{self._name(name[1], names)}`", value)
            return re.sub(r"(?<= and )\d+(?= more)", lambda n: _number(n[0], numbers), value)
        return re.sub(r"\d+", lambda n: _number(n[0], numbers), value)

    def _name(self, name: str, names: Collection[str]) -> str:
        """A name with dots: each part stands in the hand-in or a library, or was asked for, or is a little number."""
        known = name in names or all(
            part in self._written or part in names or part in _library_names() or (part.isdigit() and len(part) < 2)
            for part in name.split(".")
        )
        return name[:60] if known else UNSHOWN

    @cached_property
    def _written(self) -> frozenset[str]:
        return frozenset(word for source in self.sources for word in re.findall(r"[^\W\d]\w{0,59}\b", source))

    @cached_property
    def _literals(self) -> frozenset[str]:
        """Every text that the hand-in writes out, as an exception shows it."""
        found: set[str] = set()
        for source in self.sources:
            try:
                tree = ast.parse(source)
            except (SyntaxError, ValueError, RecursionError, MemoryError):
                continue
            texts = (
                node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and type(node.value) is str
            )
            for text in (" ".join(text.split())[:300] for text in texts):
                found |= {text, repr(text)}
        return frozenset(found)


@cache
def _forms(forms: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(f"(?P<form{number}>{_pattern(form)})" for number, form in enumerate(forms)))


def _form_of(forms: tuple[str, ...], found: re.Match[str]) -> tuple[str, list[tuple[str, str]]]:
    """The form that was found, and its fields: (kind, value)."""
    form = forms[int((found.lastgroup or "form0").removeprefix("form"))]
    values = re.fullmatch(_pattern(form), found[0])
    kinds = re.findall(r"\{(n|s|w|names)\}", form)
    return form, list(zip(kinds, values.groups() if values else (), strict=True))


def _pattern(form: str) -> str:
    pieces = re.split(r"\{(n|s|w|names)\}", form)
    fields = _FIELDS | {"names": _NAMES}
    return "".join(f"({fields[piece]})" if at % 2 else re.escape(piece) for at, piece in enumerate(pieces))


def _number(digits: str, numbers: Collection[int]) -> str:
    return digits if int(digits) < LITTLE or int(digits) in numbers else UNSHOWN


def _walk(value: Any, depth: int = 0) -> Iterable[Any]:
    yield value
    if depth < 6 and isinstance(value, (list, tuple)):
        for item in value[:200]:
            yield from _walk(item, depth + 1)
    elif depth < 6 and isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from _walk(item, depth + 1)


def _sizes(question: Any) -> frozenset[int]:
    """The sizes of the tensors and arrays of a question."""
    return frozenset(
        size for value in _walk(question) if isinstance(value, (torch.Tensor, np.ndarray)) for size in value.shape
    )


@cache
def _library_exceptions() -> frozenset[str]:
    """Names of exceptions of Python, torch, numpy and of the subject operations themselves."""
    modules = (builtins, torch, np, np.linalg, np.exceptions, torch.linalg, ast)
    kinds = (each for module in modules for each in vars(module).values())
    names = {each.__name__ for each in kinds if isinstance(each, type) and issubclass(each, BaseException)}
    return frozenset(names | {"NoKeyboard", "JSONDecodeError", "CompilationError", "InterpreterError"})


@cache
def _library_names() -> frozenset[str]:
    """Names of types that a value or a message may be of, and of what an exercise may forbid."""
    kinds = (each for module in (builtins, torch, np, torch.nn) for each in vars(module).items())
    names = {name for name, each in kinds if isinstance(each, (type, torch.dtype))}
    types = "function generator module NoneType method builtin_function_or_method"
    dtypes = "torch numpy nn Float Double Long Int Half BFloat16 Bool"  # in torch's own sentences
    forbidden = {part for family in FAMILIES.values() for name in family.operators for part in name.split(".")}
    return frozenset(names | set(types.split()) | set(dtypes.split()) | forbidden)
