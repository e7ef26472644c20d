"""Run a notebook's code cells in this process, one by one, and say what each printed.

A Session is IPython without a person: no history, no colours, no keyboard, no windows. Output is kept as plain text
and capped, so a cell may print 600 MB. Rich displays leave only their text/plain.

Not here: any protection (autograder.sandbox.sandbox), any time limit, any judgement.
"""

from __future__ import annotations

import contextlib
import getpass
import io
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

os.environ.setdefault("IPYTHONDIR", os.path.join(tempfile.gettempdir(), ".ipython"))
os.environ.setdefault("MPLBACKEND", "Agg")

from IPython.core.displayhook import DisplayHook
from IPython.core.displaypub import DisplayPublisher
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

OUTPUT_LIMIT = 1 << 20  # characters of output kept per cell
ERROR_LIMIT = 2000
NO_ANSWER = "nobody can answer here: this notebook runs by itself, so input(), getpass and breakpoint() don't work"


class NoKeyboard(RuntimeError):
    """Something asked a person, and there is none."""


@dataclass
class CellResult:
    """What one cell did. output: plain text, capped. error: one line, None when the cell ran through.

    error_name: the exception's class name, or killed, timed_out, out_of_memory when the cell took its process along.
    line: of the cell, in which its error came up; 0 where there was none, or nothing ran.
    """

    output: str = ""
    error: str | None = None
    error_name: str = ""
    seconds: float = 0.0
    cell_id: str = ""
    line: int = 0


class Session:
    """An IPython namespace that runs cells. One per process."""

    def __init__(self, output_limit: int = OUTPUT_LIMIT) -> None:
        self.shell = _shell()
        self.namespace: dict[str, Any] = self.shell.user_ns
        self.output_limit = output_limit

    def run(self, source: str, cell_id: str = "") -> CellResult:
        """Run one cell. Whatever it raises, SystemExit too, is the cell's error and nobody else's."""
        out = Transcript(self.output_limit)
        start = time.perf_counter()
        with _attached(self.shell, out):
            error = self._run(source)
        _close_figures()
        self.shell.history_manager.outputs.clear()
        result = CellResult(seconds=time.perf_counter() - start, cell_id=cell_id, output=out.text())
        if error is not None:
            result.error, result.error_name = describe(error), type(error).__name__[:100]
            result.line = _line_of(error)
        return result

    def _run(self, source: str) -> BaseException | None:
        try:
            done = self.shell.run_cell(source, store_history=False)
        except BaseException as error:
            return error
        return done.error_before_exec or done.error_in_exec


class Transcript(io.TextIOBase):
    """Collects what a cell prints, the first `limit` characters of it; the rest is only counted."""

    encoding = "utf-8"

    def __init__(self, limit: int) -> None:
        self.parts: list[str] = []
        self.room, self.lost = limit, 0
        self.buffer = _Bytes(self)

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        size = len(text)
        if self.room <= 0:
            self.lost += size
        elif size <= self.room:
            self.room -= size
            self.parts.append(text)
        else:
            self.parts.append(text[: self.room])
            self.lost, self.room = size - self.room, 0
        if len(self.parts) > 10_000:
            self.parts = ["".join(self.parts)]
        return size

    def text(self) -> str:
        """All that was kept; a last line tells how much was not."""
        kept = "".join(self.parts)
        return f"{kept}\n[{self.lost:,} more characters are not kept]" if self.lost else kept


class _Bytes(io.RawIOBase):
    """`sys.stdout.buffer` of a transcript."""

    def __init__(self, transcript: Transcript) -> None:
        self.transcript = transcript

    def writable(self) -> bool:
        return True

    def write(self, raw: Any) -> int:
        raw = memoryview(raw)
        self.transcript.write(bytes(raw[:OUTPUT_LIMIT]).decode("utf-8", "replace"))
        return raw.nbytes


class _Keyboard(io.TextIOBase):
    """A standard input with nobody at it: reading raises at once."""

    encoding = "utf-8"

    def readable(self) -> bool:
        return True

    def readline(self, *_: Any) -> str:
        raise NoKeyboard(NO_ANSWER)

    read = readline


class _Hook(DisplayHook):
    """The last value of a cell, as plain text."""

    def write_output_prompt(self) -> None: ...

    def write_format_data(self, format_dict: dict, md_dict: dict | None = None) -> None:
        _write_plain(format_dict)


class _Publisher(DisplayPublisher):
    """display(...), as plain text. Updates of a display in place are not kept."""

    def publish(self, data: dict, metadata: dict | None = None, *, update: bool = False, **_: Any) -> None:
        if not update:
            _write_plain(data)

    def clear_output(self, wait: bool = False) -> None: ...


class _Shell(InteractiveShell):
    displayhook_class = _Hook
    display_pub_class = _Publisher

    def enable_gui(self, gui: str | None = None) -> None: ...

    def ask_exit(self) -> None: ...

    def _tee(self, channel: str) -> contextlib.AbstractContextManager:
        """IPython keeps a second copy of all output, at 10 us a line. Nobody reads it here."""
        return contextlib.nullcontext()

    def _showtraceback(self, etype: Any, evalue: Any, stb: list[str]) -> None:
        print(self.InteractiveTB.stb2text(stb)[-20_000:])


def _shell() -> InteractiveShell:
    settings = Config()
    settings.HistoryManager.enabled = False
    settings.InteractiveShell.colors = "nocolor"
    settings.InteractiveShell.xmode = "Plain"
    settings.InteractiveShell.cache_size = 0
    settings.InteractiveShell.banner1 = ""
    shell = _Shell(config=settings) if InteractiveShell.initialized() else _Shell.instance(config=settings)
    shell.display_formatter.active_types = ["text/plain"]
    return shell


def _write_plain(data: dict) -> None:
    text = data.get("text/plain")
    if isinstance(text, str):
        print(text)


@contextlib.contextmanager
def _attached(shell: InteractiveShell, out: Transcript) -> Iterator[None]:
    """Standard streams belong to the cell while it runs; afterwards they are what they were."""
    before = sys.stdin, sys.stdout, sys.stderr, getpass.getpass
    sys.stdin, sys.stdout, sys.stderr = _Keyboard(), out, out
    getpass.getpass = _no_secret
    try:
        yield
    finally:
        sys.stdin, sys.stdout, sys.stderr, getpass.getpass = before


def hang_up_keyboard() -> None:
    """For the rest of this process, whoever reads from the keyboard gets an error at once."""
    sys.stdin, getpass.getpass = _Keyboard(), _no_secret


def _no_secret(prompt: str = "Password: ", stream: Any = None) -> str:
    raise NoKeyboard(NO_ANSWER)


def describe(error: BaseException) -> str:
    """`Name: message` in one line, also for an exception whose __str__ fails."""
    try:
        said = f"{error.msg} (line {error.lineno})" if isinstance(error, SyntaxError) else str(error)
        text = " ".join(said.split())
    except BaseException:
        text = "(its message can't be read)"
    name = type(error).__name__[:100]
    return f"{name}: {text}"[:ERROR_LIMIT] if text else name


def _line_of(error: BaseException) -> int:
    """The line at the top of a cell in which an error came up; 0 where the cell didn't run."""
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_name == "<module>":
            return trace.tb_lineno
        trace = trace.tb_next
    return 0


def _close_figures() -> None:
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is not None:
        with contextlib.suppress(Exception):
            pyplot.close("all")
