"""Which text was judged: a notebook's check judges what its kernel holds, a class judges the saved file.

The two differ where a cell was edited after it ran, ran out of order, or was deleted. `warning` finds it for one
exercise and what it uses. What ran after the file was saved is no difference yet. Not here: any judgement.
"""

from __future__ import annotations

import ast
import contextlib
import json
import os
import sys
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from course.checking.cells import UNREADABLE, bound_names, read, read_all
from course.checking.forbidden import Notebook, free_names
from course.files import notebook_text


class Saved(NamedTuple):
    """The code cells of the notebook's file, and when it was saved (seconds since the epoch)."""

    cells: list[str]
    at: float


def saved(namespace: dict[str, Any]) -> Saved | None:
    """The notebook's file, where JupyterLab or VS Code say which it is; else None."""
    path = namespace.get("__vsc_ipynb_file__") or os.environ.get("JPY_SESSION_NAME", "")
    try:
        with open(path, "rb") as file:
            at, cells = os.fstat(file.fileno()).st_mtime, json.loads(notebook_text(file.read())[0])["cells"]
        return Saved(["".join(cell["source"] or "") for cell in cells if cell["cell_type"] == "code"], at)
    except (OSError, ValueError, KeyError, TypeError):
        return None


class Ran:
    """The cells that ran in this notebook, as they were typed, and when. Nothing outside of one."""

    def __init__(self) -> None:
        self.shell, self.times = None, {}
        with contextlib.suppress(AttributeError, KeyError):
            self.shell = sys.modules["IPython"].get_ipython()
            self.shell.events.register("post_run_cell", self._now)

    @property
    def cells(self) -> list[str]:
        return list(self.shell.history_manager.input_hist_raw) if self.shell is not None else []

    def at(self, name: str) -> float:
        """When the cell ran that bound `name` last; 0 where that was before this began."""
        cells = self.cells
        last = (n for n in range(len(cells) - 1, -1, -1) if name in bound_names(read(cells[n])))
        return self.times.get(next(last, -1), 0.0)

    def _now(self, *_: Any) -> None:
        self.times[len(self.cells) - 1] = time.time()


def warning(exercise: str, ran: Ran, namespace: dict[str, Any]) -> str:
    """What the card says where the file, saved after it all ran, has another text; "" where it has the same."""
    file = saved(namespace) if ran.cells else None
    return told([n for n in differing(exercise, ran.cells, file.cells) if ran.at(n) < file.at]) if file else ""


def differing(exercise: str, ran: Sequence[str], saved: Sequence[str]) -> list[str]:
    """The exercise, and names that it uses, whose last definition that ran is not the last one of the file."""
    here, there = Notebook(read_all(ran)), Notebook(read_all(saved))
    try:
        used = [name for _, node in here.reachable(exercise) for name in free_names(node)]
        names = dict.fromkeys([exercise, *used])
        return [name for name in names if _meaning(here, name) != _meaning(there, name)]
    except UNREADABLE:
        return []


def told(names: Sequence[str]) -> str:
    """What the card says of names whose text differs; "" when there is none."""
    if not names:
        return ""
    listed = " and ".join(f"`{name}`" for name in names[:3])
    return f"judged as it ran here; the saved file holds another text of {listed}: run all cells, then check again"


def _meaning(notebook: Notebook, name: str) -> tuple[str, str]:
    defined = notebook.definitions.get(name, [])
    return notebook.aliases.get(name, ""), ast.dump(defined[-1]) if defined else ""
