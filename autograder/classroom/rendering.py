"""How long a page takes to show, and what is done about a cell that takes too long.

What it is: `lighten`, which shows every cell of the student's own to the renderers of nbconvert, under a budget of
processor time for a cell and for a notebook, and makes plain what does not fit; `within`, the budget itself; and
`Page`, the exporter of feedback pages.

What it is not: it changes no code. Code that takes too long to colour is shown without colours, and where even that
would take too long, pages show its beginning (`shown`).
"""

from __future__ import annotations

import contextlib
import itertools
import re
import signal
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

from bs4 import BeautifulSoup
from nbconvert.exporters import HTMLExporter
from nbconvert.filters.highlight import Highlight2HTML
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbconvert.filters.strings import strip_files_prefix
from nbconvert.preprocessors import HighlightMagicsPreprocessor
from nbformat import NotebookNode

from autograder.classroom.markdown import BLOCKER

CELL_SECONDS = 0.5  # of processor time; a thousand characters of honest text take a thousandth
NOTEBOOK_SECONDS, SECONDS_PER_MB = 1.5, 1.0
PLAIN_CHARACTERS, ALL_PLAIN = 20_000, 500_000  # of text that is shown plain: of a cell, of a notebook
PLAIN_LINE = 200
SIGN = re.compile("[<>&\"']")  # HTML writes these as entities, each of which a page takes apart and puts together again
CELL_SIGNS, ALL_SIGNS = 5_000, 20_000  # in a cell's code, in all code of one's own: a second; it grows with the square
AGAIN = 0.1  # seconds after which a budget is enforced again: a callback may have swallowed the first exception
COLOURS = "magics_language"  # where nbconvert looks for the language of a cell
SHOWN = "characters_shown"  # of a code cell that pages show in part
POLICY = (
    "img-src data:; media-src 'none'; object-src 'none'; frame-src 'none'; connect-src 'none'; form-action 'none'; "
    "base-uri 'none'"
)  # what a feedback page may load: scripts and styles of nbgrader's template, and no picture from elsewhere


class TooSlow(BaseException):
    """The budget of `within` is spent. No Exception, so that no renderer takes it for one of its own."""


@contextlib.contextmanager
def within(seconds: float) -> Iterator[None]:
    """Raise TooSlow inside after `seconds` of processor time. No limit outside a process's main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before, hook = signal.signal(signal.SIGPROF, _stop), sys.unraisablehook
    sys.unraisablehook = lambda lost: None if isinstance(lost.exc_value, TooSlow) else hook(lost)
    try:
        signal.setitimer(signal.ITIMER_PROF, max(seconds, 0.001), AGAIN)
        yield
    finally:
        _disarm(before)
        sys.unraisablehook = hook


def _stop(*_: Any) -> None:
    raise TooSlow


def _disarm(before: Any) -> None:
    """End the budget, also where it is spent at this moment."""
    while True:
        try:
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.signal(signal.SIGPROF, before)
            return
        except TooSlow:
            continue


def lighten(notebook: NotebookNode, release: NotebookNode, notes: list[str]) -> None:
    """Make plain what takes too long to show, or can't be shown at all. Adds a sentence to `notes`.

    A code cell that would take too long even without colours is marked: `shown` gives its beginning.
    """
    given = {cell.id: cell.source for cell in release.cells}
    own = [cell for cell in notebook.cells if given.get(cell.id) != cell.source]
    left = NOTEBOOK_SECONDS + SECONDS_PER_MB * sum(len(cell.source) for cell in own) / 1e6
    room, signs, slow, language = ALL_PLAIN, ALL_SIGNS, [], _language(notebook)
    for cell in own:
        began = time.process_time()
        signs -= _mark(cell, min(signs, CELL_SIGNS))
        if SHOWN in cell.metadata or left <= 0 or not _shows(cell, language, min(left, CELL_SECONDS)):
            slow.append(_beginning(cell.source))
            room -= _make_plain(cell, room)
        left -= time.process_time() - began
    if any(cell.metadata.get(COLOURS) for cell in own):
        _keep_colours(notebook, language)
    if slow:
        what = "1 cell takes" if len(slow) == 1 else f"{len(slow)} cells take"
        how = "plain or in part" if any(SHOWN in cell.metadata for cell in own) else "plain"
        notes.append(f"{what} too long to show as written and can be seen {how}; the first begins with {slow[0]}.")


def _language(notebook: NotebookNode) -> str:
    """The language in which nbconvert colours the notebook's code."""
    about = notebook.metadata.get("language_info", {})
    return about.get("pygments_lexer") or about.get("name") or "ipython3"


def _keep_colours(notebook: NotebookNode, language: str) -> None:
    """A cell's own language counts in notebooks of IPython only: make it one, in which all others look as before."""
    if not language.startswith("ipython"):
        notebook.metadata.language_info = NotebookNode(
            notebook.metadata.get("language_info", {}), pygments_lexer="ipython3"
        )
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.metadata = NotebookNode({COLOURS: language} | cell.metadata)


def _shows(cell: NotebookNode, language: str, seconds: float) -> bool:
    """Can the cell be shown within its time? Whatever else goes wrong would go wrong on the page, too."""
    try:
        with within(seconds):
            BeautifulSoup(_html(cell, language), features="html.parser")
    except (TooSlow, Exception):
        return False
    return True


def _html(cell: NotebookNode, language: str) -> str:
    """What nbconvert makes of the cell's text; pictures without their bytes."""
    if cell.cell_type == "code":
        magics = HighlightMagicsPreprocessor().which_magic_language(cell.source)
        return Highlight2HTML(pygments_lexer=language)(cell.source, metadata={COLOURS: magics} if magics else {})
    pictures = {name: dict.fromkeys(data, "") for name, data in cell.get("attachments", {}).items()}
    renderer = IPythonRenderer(escape=False, attachments=pictures)
    return strip_files_prefix(MarkdownWithMath(renderer=renderer).render(cell.source))


def _make_plain(cell: NotebookNode, room: int) -> int:
    """The text as it was typed, and no more; returns its length. Code keeps its text and loses its colours."""
    if cell.cell_type == "code":
        cell.metadata = NotebookNode(cell.metadata, **{COLOURS: "text"})
        return 0
    text = cell.source[: max(0, min(room, PLAIN_CHARACTERS))]
    cut = "\n\n(cut)" if len(text) < len(cell.source) else ""
    text = re.sub(rf"([^\n]{{{PLAIN_LINE}}})(?=[^\n])", r"\1\n", text)  # a filter of the page is quadratic in lines
    fence = "~" * max([2, *map(len, re.findall("~+", text))]) + "~"
    cell.source = f"{fence}\n{text}\n{fence}{cut}"
    cell.pop("attachments", None)
    return len(text)


def _mark(cell: NotebookNode, most: int) -> int:
    """How many signs of a code cell are shown. One that has more than `most` is marked with where it is cut."""
    if cell.cell_type != "code":
        return 0
    places = [found.start() for found in itertools.islice(SIGN.finditer(cell.source), most + 1)]
    if len(places) > most:
        cell.metadata[SHOWN] = min(places[most], PLAIN_CHARACTERS)
    return min(len(places), most)


def shown(cell: NotebookNode) -> str:
    """The text of a code cell that was made plain, as pages show it.

    No line "%%language" at its top brings back colours.
    """
    count = cell.metadata.get(SHOWN, len(cell.source))
    rest = len(cell.source) - count
    cut = f"\n# (cut: {rest:,} characters more in the notebook that was handed in)" if rest > 0 else ""
    return re.sub(r"^(\s*)%%", rf"\1{BLOCKER}%%", cell.source[:count]) + cut


def _beginning(source: str) -> str:
    line = next((line for line in source.split("\n", 50)[:50] if line.strip()), "").strip()
    return f'"{re.sub(r"[^ -~]", "?", line[:200])[:40]}"'


class Page(HTMLExporter):
    """nbconvert's HTML under a policy that lets no page load what its text names."""

    def from_notebook_node(self, nb: NotebookNode, resources: Any = None, **kw: Any) -> tuple[str, Any]:
        page, resources = super().from_notebook_node(nb, resources, **kw)
        policy = f'<meta http-equiv="Content-Security-Policy" content="{POLICY}"/>'
        return page.replace("<head>", f"<head>{policy}", 1), resources
