"""Which text was judged: a notebook's check judges what its kernel holds, a class judges the saved file.

The two differ where a cell was edited after it ran, ran out of order, or was deleted, and until the file is saved.
`differing` finds it for one exercise and what it uses. Not here: any judgement.
"""

from __future__ import annotations

import ast
import json
import os
from collections.abc import Sequence
from typing import Any

from course.checking.cells import UNREADABLE, read_all
from course.checking.forbidden import Notebook, free_names
from course.files import notebook_text


def saved_cells(namespace: dict[str, Any]) -> list[str] | None:
    """The code cells of the notebook's file, where JupyterLab or VS Code say which it is; else None."""
    path = namespace.get("__vsc_ipynb_file__") or os.environ.get("JPY_SESSION_NAME", "")
    try:
        with open(path, "rb") as file:
            cells = json.loads(notebook_text(file.read())[0])["cells"]
        return ["".join(cell["source"] or "") for cell in cells if cell["cell_type"] == "code"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


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
    return f"judged as it ran here; the saved file holds another text of {listed}: save it, run all cells, check again"


def _meaning(notebook: Notebook, name: str) -> tuple[str, str]:
    defined = notebook.definitions.get(name, [])
    return notebook.aliases.get(name, ""), ast.dump(defined[-1]) if defined else ""
