"""A kernel problem's answers: the solution, the other right styles, the known mistakes.

    grader_kernels/problems/NAME/
      right.py      `# %% right="name"` cells: other correct kernels, in other styles
      wrong.py      `# %% wrong="name" loses="safe" says="outside"` cells: the group that the mistake loses, and words
                    that the verdict must hold; sentence, next question and edits as in a unit's misconceptions.py
      reference.py  our kernel, where no notebook teaches it yet

Where a notebook teaches it, the exercise called NAME is the solution: the text stands there and nowhere else.
Not here: what judges them (grader_kernels), and the form of the cells (`answers`).
"""

from __future__ import annotations

import linecache
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from autograder import ROOT
from autograder.authoring.answers import Alternative, read_answers
from autograder.authoring.percent import AuthoringError, read_cells

PROBLEMS = ROOT / "grader_kernels" / "problems"
UNITS = ROOT / "course" / "units"
IMPORTS = "import torch\nimport triton\nimport triton.language as tl\n"  # what a notebook has imported
BEGIN_SOLUTION, END_SOLUTION = "### BEGIN SOLUTION", "### END SOLUTION"


def is_kernel(exercise: str) -> bool:
    """Is there a problem of this name?"""
    return (PROBLEMS / exercise / "problem.py").is_file()


def answers(name: str, solution: str) -> tuple[list[Alternative], list[Alternative]]:
    """(right styles, mistakes) of a problem, whose solution this is. Raises AuthoringError."""
    rights = read_answers(PROBLEMS / name / "right.py", "right", {name: solution}, of_problem=name)
    return rights, read_answers(PROBLEMS / name / "wrong.py", "wrong", {name: solution}, rights, of_problem=name)


@cache
def solution(name: str) -> str:
    """The solution of a problem without the markers: of its notebook, else reference.py. Raises AuthoringError."""
    cell = _cell(name)
    own = PROBLEMS / name / "reference.py"
    if cell and own.is_file():
        raise AuthoringError(f'"{name}" has its solution in {cell[0]}; this file says it twice', own)
    if cell:
        return solved(cell[1])
    if own.is_file():
        return own.read_text("utf-8").removeprefix(IMPORTS).strip("\n")
    raise AuthoringError(f'no notebook has an exercise "{name}", so its solution is expected in this file', own)


def _cell(name: str) -> tuple[Path, str] | None:
    for notebook in sorted(UNITS.glob("*/notebook.py")):
        if f'exercise="{name}"' in notebook.read_text("utf-8"):
            for raw in read_cells(notebook):
                if raw.metadata.get("exercise") == name:
                    return notebook, raw.source
    return None


def solved(source: str) -> str:
    """A cell's source without the marker lines of its solution."""
    return "\n".join(line for line in source.split("\n") if line.strip() not in (BEGIN_SOLUTION, END_SOLUTION))


def as_file(source: str) -> str:
    """An answer as the file that `course kernel` judges."""
    return IMPORTS + "from torch import Tensor\n\n\n" + source.strip("\n") + "\n"


def execute(source: str, namespace: dict[str, Any], label: str) -> None:
    """Run one cell. The source stays readable for `inspect`, which @triton.jit needs."""
    filename = f"<{label}>"
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    exec(compile(source, filename, "exec"), namespace)


def launcher(name: str, answer: str = "solution") -> Callable:
    """The launcher of one of our own answers, executed in this process. Raises KeyError for an unknown one."""
    rights, wrongs = files(name)
    source = rights[answer] if answer in rights else as_file(wrongs[answer].source)
    module: dict[str, Any] = {"__name__": f"{name}_{answer}"}
    execute(source, module, f"{answer} of {name}")
    return module[name]


def files(name: str) -> tuple[dict[str, str], dict[str, Alternative]]:
    """(sources of right files by name, "solution" first; mistakes by name). Raises AuthoringError."""
    ours = solution(name)
    rights, wrongs = answers(name, ours)
    made = {"solution": as_file(ours)} | {right.name: as_file(right.source) for right in rights}
    return made, {wrong.name: wrong for wrong in wrongs}
