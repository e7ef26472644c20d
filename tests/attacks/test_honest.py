"""THREATS.md, lines 36 to 40: honest students who must not lose a point."""

# ruff: noqa: E501 - attacks are programs in strings

import hashlib
import json
from dataclasses import replace

import pytest
from attack_class import ORIENTATION, SMALL, Attack, Class, cell_of, check_verdict, unit_of

POINTS = unit_of(ORIENTATION).points
EASY = ("fix_the_stub", "program_offsets", "count_bytes", "roofline", "fusion_bytes")
FULL = {name: POINTS[name] for name in EASY}
NOISE = """
import logging, sys, warnings
def noisy(f):
    def run(*args, **kwargs):
        warnings.warn("about to work")
        logging.getLogger().warning("working")
        print("progress", file=sys.stderr)
        for i in range(20):
            print(f"\\r{i / 20:.0%}", end="", flush=True)
        return f(*args, **kwargs)
    return run
fix_the_stub, program_offsets, count_bytes = map(noisy, (fix_the_stub, program_offsets, count_bytes))
warnings.simplefilter("always")
"""
STYLE = {
    "fix_the_stub": "def fix_the_stub(x, factor=2, *, verbose=False):\n    import numpy as np\n"
    "    out = torch.empty(x.shape + (2,), dtype=x.dtype)\n    out[..., 0] = (x.double() * factor).to(x.dtype)\n"
    "    return out[..., 0]\n",
    "program_offsets": "from typing import *\ndef lane(pid, block, i): return pid * block + i\n"
    "def program_offsets(pid: int, block: int, n: int) -> Tuple[torch.Tensor, torch.Tensor]:\n"
    "    o = torch.tensor([lane(pid, block, i) for i in range(block)])\n    return o, torch.einsum('i->i', (o < n).int()).bool()\n",
}


def split_cells(notebook):
    cell = cell_of(notebook, "count_bytes")
    lines = cell.source.split("\n")
    twin = json.loads(json.dumps(cell))
    cell.source, twin["source"] = "import math\nhelper = math.prod", "\n".join(lines)
    twin["id"] = "split-in-two"
    notebook.cells.insert(notebook.cells.index(cell) + 1, type(cell)(twin))


def kept_outputs(notebook):
    for number, cell in enumerate(c for c in notebook.cells if c.cell_type == "code"):
        cell.outputs = [{"output_type": "stream", "name": "stderr", "text": "Traceback\n" * 50}]
        cell.execution_count = number


def saved_by_colab(raw):
    notebook = json.loads(raw)
    for place, cell in enumerate(notebook["cells"]):
        cell["metadata"] = {"id": hashlib.sha256(b"%d" % place).hexdigest()[:12]}
        cell.pop("id", None)
    notebook["metadata"], notebook["nbformat_minor"] = {"colab": {"provenance": []}}, 0
    return json.dumps(notebook).encode()


def saved_by_vscode(raw):
    notebook = json.loads(raw)
    for cell in notebook["cells"]:
        cell["source"] = "".join(cell["source"]).splitlines(keepends=True)
        cell["metadata"]["vscode"] = {"languageId": "python"}
    notebook["metadata"]["orig_nbformat"] = 4
    return json.dumps(notebook, indent=2).replace("\\n", "\\r\\n").encode()


def saved_by_classic(raw):
    notebook = json.loads(raw)
    for cell in notebook["cells"]:
        cell.pop("id", None)
        cell["metadata"]["collapsed"] = False
    notebook["nbformat_minor"] = 2
    return b"\xef\xbb\xbf" + json.dumps(notebook, indent=1).encode()


def honest(name, line, why, **more):
    return Attack(name, line, why, **({"solved": EASY, "scores": FULL} | more))


STUDENTS = [
    honest("noisy", 36, "warnings, logging, stderr and a progress bar", after=(NOISE,)),
    honest("other_style", 37, "loops, float64 inside, strided results, extra arguments, imports in odd places", write=STYLE),
    honest("extra_cells", 38, "cells before, between and after, one of them failing",
           before=("x = 5", "1 / 0"), after=("x", "%timeit -n1 -r1 x", "!echo shell", "undefined_name")),
    honest("split", 38, "a cell split in two", change=split_cells),
    honest("outputs", 38, "outputs kept", change=kept_outputs),
    honest("colab", 38, "saved by Colab", raw=saved_by_colab),
    honest("vscode", 38, "saved by VS Code on Windows", raw=saved_by_vscode),
    honest("classic", 38, "saved by classic Notebook", raw=saved_by_classic),
    honest("one_crash", 39, "one function kills its process", write={"roofline": "def roofline(*a):\n    import os\n    os.abort()\n"},
           scores={**FULL, "roofline": 0.0}, states={"roofline": "crashed"}),
    honest("one_bad_cell", 39, "one cell can't be parsed", write={"roofline": "def roofline(:\n    return"},
           scores={**FULL, "roofline": 0.0}, states={"roofline": "crashed"}, says="SyntaxError"),
    honest("late_crash", 40, "the last cell crashes", after=("import ctypes\nctypes.string_at(0)",)),
    honest("late_loop", 40, "the last cell never ends", after=("while True:\n    pass",), limits=replace(SMALL, cell=4)),
]  # fmt: skip


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    group = Class(tmp_path_factory.mktemp("honest"), ORIENTATION, STUDENTS)
    for student in STUDENTS:
        group.hand_in(student)
    place = group.folder.submitted / "outputs" / ORIENTATION
    (place / "orientation.ipynb").rename(place / "My solution (final) 2.ipynb")
    return group.again()


@pytest.mark.parametrize("student", STUDENTS, ids=lambda a: f"{a.line}-{a.name}")
def test_the_honest_do_not_lose(graded, student):
    check_verdict(student, graded.verdicts[student.name])
