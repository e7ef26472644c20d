"""Which text was judged: the card says so where the saved file and what ran differ."""

import json
import os
from types import SimpleNamespace

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from course.checking.texts import differing, saved, told, warning

RIGHT = "def double(x):\n    return helper(x)"
HELPER = "def helper(x):\n    return 2 * x"
CASES = {  # what ran, what the file holds -> names whose text differs
    "the same": ([HELPER, RIGHT], [HELPER, RIGHT], []),
    "run twice": ([HELPER, RIGHT, RIGHT, HELPER], [HELPER, RIGHT], []),
    "a comment more": ([HELPER, RIGHT], [HELPER, "# mine\n" + RIGHT], []),
    "another cell besides": ([HELPER, RIGHT], ["import math", HELPER, RIGHT, "print(double(2))"], []),
    "edited after it ran": ([HELPER, RIGHT], [HELPER, RIGHT.replace("x)", "x) + 1")], ["double"]),
    "its helper was edited": ([HELPER, RIGHT], [HELPER.replace("2", "3"), RIGHT], ["helper"]),
    "its helper was deleted": ([HELPER, RIGHT], [RIGHT], ["helper"]),
    "an import was deleted": (["import torch", "def double(x):\n    return torch.add(x, x)"],
                              ["def double(x):\n    return torch.add(x, x)"], ["torch"]),
    "out of order": ([RIGHT, HELPER.replace("2", "3"), HELPER], [HELPER, RIGHT, HELPER.replace("2", "3")], ["helper"]),
    "another one is not its own": ([HELPER, RIGHT, "y = 1"], [HELPER, RIGHT, "y = 2"], []),
    "magics": (["%%time\n" + HELPER, RIGHT + "\n!ls"], ["%%time\n" + HELPER, RIGHT + "\n!ls"], []),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_names_whose_text_differs(case):
    ran, saved, names = CASES[case]
    assert differing("double", ran, saved) == names


def test_the_words():
    assert told([]) == ""
    assert "the saved file holds another text of `a` and `b`" in told(["a", "b"])


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_the_file_is_the_one_that_the_editor_names(tmp_path, monkeypatch, encoding):
    path = tmp_path / "n.ipynb"
    notebook = new_notebook(cells=[new_markdown_cell("a"), new_code_cell("x = 1"), new_code_cell("y = '\u00e9'")])
    path.write_bytes(nbformat.writes(notebook).encode(encoding))
    monkeypatch.setenv("JPY_SESSION_NAME", str(path))
    assert saved({}).cells == ["x = 1", "y = '\u00e9'"]
    monkeypatch.setenv("JPY_SESSION_NAME", "")
    assert saved({}) is None and saved({"__vsc_ipynb_file__": str(path)}).cells == ["x = 1", "y = '\u00e9'"]
    path.write_text(json.dumps([1]))
    assert saved({"__vsc_ipynb_file__": str(path)}) is None


@pytest.mark.parametrize(("saved_at", "warned"), [(50, False), (150, True)])
def test_what_ran_after_the_file_was_saved_is_no_difference_yet(tmp_path, saved_at, warned):
    path = tmp_path / "n.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell(RIGHT.replace("helper(x)", "0"))]), path)
    os.utime(path, (saved_at, saved_at))
    ran = SimpleNamespace(cells=[RIGHT], at=lambda name: 100)
    assert bool(warning("double", ran, {"__vsc_ipynb_file__": str(path)})) == warned
