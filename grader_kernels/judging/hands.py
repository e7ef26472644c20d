"""Running a launcher and replaying its launches: in this process, and what other processes do in the same words.

`recorded` and `replayed` run where the work is done: in the notebook, in a sandboxed worker, in the children of the
kernel judge. `LocalHands` are judgement.Hands of this process. Not here: the processes.
"""

from __future__ import annotations

import contextlib
import linecache
import math
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
import torch

from grader_kernels import language, wire
from grader_kernels.compiling import compiler
from grader_kernels.evidence import Compiled, Evidence, Finding
from grader_kernels.interpreter.faults import KernelFault
from grader_kernels.judging.judgement import Failed, Replayed, plain
from grader_kernels.judging.task import Posed
from grader_kernels.replaying import replay, trace

OUT_OF_MEMORY = "can't allocate memory"  # torch's allocator raises RuntimeError with these words
TOO_MUCH_MEMORY = "it asked for more memory than there is here"
MAX_LINE = 120  # characters of a line of code that is quoted


class LocalHands:
    """judgement.Hands of this process, on a launcher that lives here."""

    deadline = math.inf

    def __init__(self, launcher: Callable) -> None:
        self.launcher = launcher
        self.kernels: dict[str, Any] = {}
        self.source = ""  # theirs, once it was asked for

    def begin(self) -> None:
        """The launcher is here already."""

    def trace(self, case: Posed) -> bytes:
        return self._record(*case.shown())

    def again(self, case: Posed) -> list[bytes]:
        return again(self._record, *case.shown(), case.shown())

    def replay(self, traced: bytes, case: Posed, **options: Any) -> Replayed:
        found = replayed(self._source(), traced, case.args, case.kwargs, options)
        return Replayed(found["outputs"], msgspec.json.decode(found["evidence"], type=Evidence))

    def order(self, traced: bytes, targets: Sequence[str]) -> None:
        """Nobody else is here to begin."""

    def compile(self, traced: bytes, targets: Sequence[str], seen: compiler.Seen) -> list[Compiled]:
        data = msgspec.json.decode(traced)
        return compiler.compile_launches(self._source(), data, tuple(targets), compiler.HERE, seen)

    def _record(self, args: tuple, kwargs: dict) -> bytes:
        with told(_file_of(self.launcher)):
            traced, kernels = trace.record_with_kernels(self.launcher, args, kwargs)
            if any(self.kernels.get(name) is not kernel for name, kernel in kernels.items()):
                self.kernels, self.source = self.kernels | kernels, ""
            return msgspec.json.encode(traced)

    def _source(self) -> str:
        self.source = self.source or replay.source_of(self.kernels)
        return self.source


def recorded(launcher: Callable, args: tuple, kwargs: dict, file: str = "") -> bytes:
    """The launch trace of one call, as JSON. file: where the launcher stands. Raises Failed."""
    with told(file or _file_of(launcher)):
        return msgspec.json.encode(trace.record(launcher, args, kwargs))


def again(record: Callable[[tuple, dict], bytes], args: tuple, kwargs: dict, other: tuple) -> list[bytes]:
    """Traces of calls that a cache would answer: the same tensors twice, new numbers in the same tensors, the first
    numbers in new tensors. other: (args, kwargs) of the same layout, with other numbers."""
    first = trace.cloned((args, kwargs))
    traces = [record(args, kwargs) for _ in range(2)]
    for old, new in zip(_tensors((args, kwargs)), _tensors(other), strict=True):
        trace.copy_into(old, new)
    return [*traces, record(args, kwargs), record(*first)]


def _tensors(value: Any) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value]
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, (tuple, list)) else ()
    return [tensor for item in inside for tensor in _tensors(item)]


def replayed(source: str, traced: bytes, args: tuple, kwargs: dict, options: dict) -> dict[str, Any]:
    """replay.replay_source, with its exceptions in words and its evidence as JSON. Raises Failed."""
    try:
        found = replay.replay_source(source, msgspec.json.decode(traced), (args, kwargs), **options)
    except language.NotWritten:
        raise Failed("not_written", "its kernel is not written yet") from None
    except language.LanguageError as error:
        raise Failed("language", str(error)) from None
    except KernelFault as fault:
        raise Failed("fault", str(fault), fault.finding, fault.causes) from None
    except (trace.TraceError, msgspec.DecodeError) as error:
        raise Failed("raised", str(error)) from None
    except (MemoryError, wire.WireError):
        raise
    except Exception as error:
        where = f" ({'; '.join(error.__notes__)})" if getattr(error, "__notes__", None) else ""
        raise Failed("raised", f"the kernel raised {type(error).__name__}: {error}{where}") from None
    return {"outputs": found["outputs"], "evidence": msgspec.json.encode(found["evidence"])}


WARM = """
@triton.jit
def twice_kernel(x_ptr, o_ptr, n, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + i, mask=i < n, other=0.0)
    tl.store(o_ptr + i, x * 2 + tl.sum(x, axis=0) - tl.max(x, axis=0), mask=i < n)
"""


def warm() -> None:
    """Replay a launch of our own, so that forks find triton's lazy paths touched."""
    kernel = replay.load(WARM)["twice_kernel"]

    def twice(x: torch.Tensor) -> torch.Tensor:
        out = torch.empty_like(x)
        kernel[(1,)](x, out, 3, BLOCK=4)
        return out

    x = torch.ones(3)
    replayed(WARM, recorded(twice, (x,), {}), (x,), {}, {})


# --------------------------------------------------------------------------------------------------------------------
# Words


@contextlib.contextmanager
def told(file: str) -> Iterator[None]:
    """What a launcher raises becomes Failed, with its line in `file`."""
    try:
        yield
    except (Failed, MemoryError):
        raise
    except trace.TraceError as error:
        raise Failed("raised", str(error)) from None
    except NotImplementedError as error:
        raise Failed("not_written", str(error) or "it is not written yet") from None
    except (KeyboardInterrupt, SystemExit) as error:
        raise Failed("raised", f"it ended itself with {type(error).__name__}({error})") from None
    except Exception as error:
        if OUT_OF_MEMORY in str(error):
            raise Failed("memory", TOO_MUCH_MEMORY + _line(error, file)) from None
        says = f"it raised {type(error).__name__}: {error}" if str(error) else f"it raised {type(error).__name__}"
        raise Failed("raised", says + _line(error, file)) from None


def _file_of(launcher: Any) -> str:
    code = getattr(launcher, "__code__", None)
    return code.co_filename if code else ""


def _line(error: BaseException, file: str) -> str:
    if isinstance(error, SyntaxError) and error.filename == file:
        return f" (line {error.lineno})"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    if not lines:
        return ""
    return f" (line {lines[-1]} `{linecache.getline(file, lines[-1]).strip()[:MAX_LINE]}`)"


def in_words(error: BaseException) -> dict[str, Any]:
    """An exception as it crosses to the judge; `failure` reads it."""
    if isinstance(error, Failed):
        found = {"finding": msgspec.to_builtins(error.finding), "causes": msgspec.to_builtins(error.causes)}
        return {"kind": error.kind, "sentence": error.sentence, **found}
    if isinstance(error, wire.WireError):
        return {"kind": "raised", "sentence": f"the result can't be judged: {error}"}
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and OUT_OF_MEMORY in str(error)):
        return {"kind": "memory", "sentence": TOO_MUCH_MEMORY}
    name, says = type(error).__name__, str(error)[:2000]
    return {"kind": "raised", "sentence": f"{name}: {says}" if says else name}


def failure(said: Any) -> Failed:
    """What `in_words` said, believing nothing. Raises WireError."""
    if type(said) is not dict or type(said.get("kind")) is not str or type(said.get("sentence")) is not str:
        raise wire.WireError("a failure without words")
    try:
        finding = msgspec.convert(said.get("finding"), Finding | None)
        causes = msgspec.convert(said.get("causes", []), list[Finding])
    except msgspec.ValidationError:
        raise wire.WireError("a finding that is none") from None
    return Failed(said["kind"][:20], plain(said["sentence"]), finding, causes)
