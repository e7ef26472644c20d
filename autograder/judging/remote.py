"""RemoteSubject: the subject operations (course.checking.subject), performed by a sandboxed worker that may be hostile.

It asks one question at a time and believes one thing: numbers of the right shape in the answer to that question. An
answer to something else, a frame that breaks the rules, a claim that only the judge can make (killed, timed out) end
the exercise. Sentences are made anew (`words`): the worker's own could carry the numbers that it was asked with.
Functions among the arguments stay here; the worker asks for them to be called.

Launches are traced by the worker, on inputs of the same layout with other numbers, and replayed elsewhere, from the
submitted kernel source and the judge's own inputs; the worker's outputs are thrown away.
"""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec
import torch

from autograder.judging.words import OTHER, Words
from autograder.sandbox.deadline import Deadline
from autograder.sandbox.sandbox import Exercise, Lost, Replayer
from course.checking.cases import FATAL
from course.checking.subject import KEPT, Handle, SubjectError
from grader_kernels import wire
from grader_kernels.compiling.compiler import Compiler, Seen
from grader_kernels.evidence import Compiled, Evidence
from grader_kernels.judging.judgement import Failed, Replayed, plain
from grader_kernels.judging.task import Posed
from grader_kernels.language import LanguageError, NotWritten
from grader_kernels.replaying.trace import from_data

WORKER_KINDS = ("raised", "not_attempted", "missing", "bad_value", "out_of_memory")  # what a worker may claim
KINDS = {"not_attempted": "not_written", "missing": "missing"}  # of a launcher's failures, in the kernel judge's words
MAX_NESTING = 32
_OUT_OF_MEMORY = "can't allocate memory"  # torch's allocator raises RuntimeError with these words


class _Question(NamedTuple):
    """What a worker is asked: an operation on the object of this name, or another."""

    operation: str
    subject: str
    args: tuple
    kwargs: dict

    def names(self) -> set[str]:
        """The names in it that are the check's own. What a function is called with is not among them."""
        found = [self.subject, *self.kwargs]
        if self.operation in ("call", "value"):
            found += self.args[:1]
        elif self.operation in ("method", "grad_method"):
            found += [*self.args[1:2], *(self.kwargs["params"] if self.operation == "grad_method" else ())]
        elif self.operation == "construct":
            found += [self.kwargs["name"]]
        elif self.operation == "load_state":
            found += self.args[1]
        return {name for name in found if type(name) is str}

    def changeable(self) -> set[str]:
        """What the call can change or keep, in LocalSubject's words."""
        places = [f"argument {number + 1}" for number in range(len(self.args))]
        more = [f"{about} {place}" for place in places for about in ("grad of", "the mode (train or eval) of")]
        return {*places, *more, *self.kwargs, "torch's gradient switch", "torch's default dtype"}


class RemoteSubject:
    """The object called `name` of the notebook behind `exercise`.

    For `hands`: kernel_source gives the text of named kernels, replayer replays traces, compiler compiles. words: those
    of the hand-in, which a sentence from the worker may hold. After a call, `mutated` names the arguments changed in
    place; `refused` is the first function that was called and raised because it is poisoned.
    """

    def __init__(
        self,
        exercise: Exercise,
        name: str,
        kernel_source: Callable[[set[str]], str] | None = None,
        replayer: Replayer | None = None,
        compiler: Compiler | None = None,
        words: Words | None = None,
    ) -> None:
        self.exercise, self.name = exercise, name
        self.kernel_source, self.replayer, self.compiler = kernel_source, replayer, compiler
        self.words = words or Words()
        self.mutated: list[str] = []
        self.refused = ""
        self._functions: dict[int, Callable] = {}
        self._nesting = 0

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._question("__call__", args, kwargs)

    def call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        return self._question("call", (name, *args), kwargs)

    def value(self, name: str | None = None) -> Any:
        return self._question("value", (name,), {})

    def construct(self, *args: Any, name: str | None = None, **kwargs: Any) -> Handle:
        found = self._question("construct", args, {"name": name, **kwargs})
        return self._shaped(found, isinstance(found, Handle))

    def load_state(self, handle: Handle, state: dict[str, torch.Tensor]) -> str:
        said = self._question("load_state", (handle, state), {})
        return self.words.pieces(self._shaped(said, type(said) is str), state, state.keys())

    def method(self, handle: Handle, method: str, *args: Any, **kwargs: Any) -> Any:
        return self._question("method", (handle, method, *args), kwargs)

    def grad(self, *args: Any, cotangents: Any, wrt: tuple[int, ...], **kwargs: Any) -> tuple[Any, tuple]:
        found = self._question("grad", args, {"cotangents": cotangents, "wrt": wrt, **kwargs})
        return self._shaped(found, _is_grads(found, 2) and len(found[1]) == len(wrt))

    def grad_method(
        self,
        handle: Handle,
        method: str,
        *args: Any,
        cotangents: Any,
        wrt: tuple[int, ...] = (),
        params: tuple[str, ...] = (),
        **kwargs: Any,
    ) -> tuple[Any, tuple, dict]:
        asked = {"cotangents": cotangents, "wrt": wrt, "params": params, **kwargs}
        found = self._question("grad_method", (handle, method, *args), asked)
        fits = _is_grads(found, 3) and len(found[1]) == len(wrt) and type(found[2]) is dict
        return self._shaped(found, fits and set(found[2]) == set(params))

    def iterate(self, *args: Any, limit: int = 100, **kwargs: Any) -> list:
        found = self._question("iterate", args, {"limit": limit, **kwargs})
        return self._shaped(found, type(found) is list and len(found) <= limit)

    def hands(self) -> RemoteHands:
        """What judges its launcher: traces are made there, replays and compilations elsewhere."""
        return RemoteHands(self)

    def release(self, handle: Handle) -> None:
        self._question("release", (handle,), {})

    # --- one question, one answer ---

    def _question(self, operation: str, args: tuple, kwargs: dict) -> Any:
        self.mutated = []
        number, buffers = next(self.exercise.numbers), []
        spec = wire.encode((args, kwargs), buffers, self._register)
        header = {"id": number, "op": operation, "subject": self.name, "args": spec}
        deadline = self.exercise.call()
        try:
            self.exercise.send(header, buffers, deadline)
            return self._answer(number, deadline, _Question(operation, self.name, args, kwargs))
        except Lost as lost:
            raise SubjectError(lost.kind, lost.message) from lost

    def _answer(self, number: int, deadline: Deadline, question: _Question) -> Any:
        while True:
            header, body = self.exercise.listen(deadline)
            if "ask" in header:
                self._call_back(header, body, deadline)
                continue
            if type(header.get("id")) is not int or header["id"] != number:
                raise self._channel("an answer to a question that was not asked")
            self.mutated = self._names(header.get("mutated"), question)
            self.refused = self.refused or _word(header.get("refused"))
            if "failed" in header:
                raise self._failure(header["failed"], question)
            return self._decoded(header.get("ok"), body)

    def _register(self, function: Callable) -> int:
        number = next(self.exercise.numbers)
        self._functions[number] = function
        return number

    def _call_back(self, header: dict, body: bytearray, deadline: Deadline) -> None:
        """Call one of our functions for the worker, and answer with what it returns or raises."""
        number, function = header["ask"], self._functions.get(_integer(header.get("callback")))
        if type(number) is not int or function is None or self._nesting >= MAX_NESTING:
            raise self._channel("a call of a function that it was not given")
        arguments = self._decoded(header.get("args"), body)
        if not (_is_tuple(arguments, 2) and type(arguments[0]) is tuple and _is_keywords(arguments[1])):
            raise self._channel("a call without proper arguments")
        self._nesting += 1
        buffers: list[bytes] = []
        try:
            reply = {"answer": number, "ok": wire.encode(function(*arguments[0], **arguments[1]), buffers)}
        except wire.WireError:
            raise
        except Exception as error:
            if self.exercise.lost:
                raise
            reply = {"answer": number, "failed": {"exception": type(error).__name__, "message": str(error)[:1000]}}
        finally:
            self._nesting -= 1
        self.exercise.send(reply, buffers, deadline)

    # --- believing nothing ---

    def _decoded(self, spec: Any, body: bytearray) -> Any:
        try:
            return wire.decode(spec, body)
        except wire.WireError as error:
            raise self._channel(str(error)) from error

    def _failure(self, failed: Any, question: _Question) -> SubjectError:
        if type(failed) is not dict or failed.get("kind") not in WORKER_KINDS:
            return self._channel("a failure of unknown kind")
        message, name = failed.get("message"), failed.get("exception")
        if type(message) is not str or type(name) is not str:
            return self._channel("a failure without words")
        kind = "out_of_memory" if failed["kind"] == "raised" and _OUT_OF_MEMORY in message else failed["kind"]
        if kind == "out_of_memory":
            message = "it asked for more memory than there is"
        other = name if name.startswith(OTHER) else ""  # compared with those of known mistakes, and not shown
        said = self.words.sentence(kind, message[:2000], "" if other else name[:200], question[2:], question.names())
        return SubjectError(kind, said, other[:200] or self.words.exception(name))

    def _names(self, mutated: Any, question: _Question) -> list[str]:
        """Of what it says was changed or kept, that which a call can change or keep."""
        if type(mutated) is not list or len(mutated) > 100:
            raise self._channel("an answer of a wrong shape")
        known = question.changeable()
        return [name for name in mutated if type(name) is str and name.removeprefix(KEPT) in known]

    def _shaped(self, found: Any, fits: bool) -> Any:
        if not fits:
            raise self._channel("an answer of a wrong shape")
        return found

    def _channel(self, what: str) -> SubjectError:
        lost = self.exercise.end(Lost("channel", f"the worker sent {what}"))
        return SubjectError(lost.kind, lost.message)


class RemoteHands:
    """judgement.Hands on a launcher behind a RemoteSubject.

    The worker gets stand-ins of the same layout: what it never saw it can't carry into the trace as numbers.
    """

    deadline = math.inf

    def __init__(self, subject: RemoteSubject) -> None:
        self.subject = subject

    def begin(self) -> None:
        """The cells ran before; what is missing is said case by case."""
        if self.subject.compiler is not None:
            self.subject.compiler.drop()

    def trace(self, case: Posed) -> Any:
        return self._asked("trace", *case.shown())

    def again(self, case: Posed) -> Any:
        return self._asked("again", *case.shown(), case.shown())

    def replay(self, traced: bytes, case: Posed, **options: Any) -> Replayed:
        source, limit = self._source(traced), self.subject.exercise.limits.call
        try:
            found = self.subject.replayer.replay(source, traced, (case.args, case.kwargs), options, limit)
        except Lost as lost:
            raise SubjectError(lost.kind, lost.message, lost.exception) from lost
        try:
            return Replayed(found["outputs"], msgspec.json.decode(found["evidence"], type=Evidence))
        except (KeyError, TypeError, msgspec.DecodeError) as error:
            raise SubjectError("channel", "the replay of its launches gave nothing that can be read") from error

    def order(self, traced: bytes, targets: Sequence[str]) -> None:
        with contextlib.suppress(Failed):  # the replay says it
            self.subject.compiler.order(self._source(traced), msgspec.json.decode(traced), tuple(targets))

    def compile(self, traced: bytes, targets: Sequence[str], seen: Seen) -> list[Compiled]:
        data = msgspec.json.decode(traced)
        return self.subject.compiler.check(self._source(traced), data, tuple(targets), seen=seen)

    def _asked(self, operation: str, *args: Any) -> Any:
        """The worker's answer. What it could not do is a case's; what ends the exercise passes through."""
        try:
            return self.subject._question(operation, args, {})
        except SubjectError as error:
            if error.kind in FATAL:
                raise
            raise Failed(KINDS.get(error.kind, "raised"), plain(error.message)) from error

    def _source(self, traced: bytes) -> str:
        """The source of the kernels that a trace names. Raises Failed."""
        try:
            return self.subject.kernel_source(from_data(msgspec.json.decode(traced)).kernels())
        except NotWritten as error:
            raise Failed("not_written", "its kernel is not written yet") from error
        except LanguageError as error:
            raise Failed("language", str(error)) from error


def _word(value: Any) -> str:
    """The first name in a list of names."""
    first = value[0] if type(value) is list and value else None
    return first if type(first) is str and re.fullmatch(r"\w{1,60}", first, re.ASCII) else ""


def _integer(value: Any) -> int:
    return value if type(value) is int else 0


def _is_tuple(value: Any, size: int) -> bool:
    return type(value) is tuple and len(value) == size


def _is_grads(value: Any, size: int) -> bool:
    return _is_tuple(value, size) and type(value[1]) is tuple and all(type(g) is torch.Tensor for g in value[1])


def _is_keywords(value: Any) -> bool:
    return type(value) is dict and all(type(key) is str for key in value)
