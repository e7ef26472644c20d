"""The search for lines that must not ship: what it must find, and what it must leave alone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import nbformat
import numpy as np
import pytest

from autograder.authoring.build import build
from autograder.authoring.leak import leaks, normalise, secret_lines
from autograder.authoring.unit import Unit

TINY = Path(__file__).resolve().parent.parent / "units" / "90_tiny"

SECRETS = {
    "solution": "twice_as_large = x + x",
    "solution in a class": "return doubled_first + self.offset",
    "case": "numbers_in = -trial.uniform((5,), low=1.0, high=2.0)",
    "trial": "for entry_count in (1, 2, 33):",
    "misconception": "squared_instead = x * x",
    "right style": "return torch.stack([entry * 2 for entry in x])",
}


@pytest.fixture
def folder(tiny, tmp_path):
    """The built assignment, to be spoilt."""
    return Path(shutil.copytree(tiny.assignment.parent, tmp_path / "90_tiny"))


def test_built_assignment_is_clean_and_solved_notebook_is_not(tiny):
    unit = Unit.load(TINY)
    assert leaks(unit, tiny.assignment.parent) == []
    assert len(leaks(unit, tiny.solution.parent)) == 6


@pytest.mark.parametrize("secret", SECRETS.values(), ids=SECRETS)
def test_line_is_found_in_every_kind_of_file(folder, secret):
    unit = Unit.load(TINY)
    notebook = nbformat.read(folder / "tiny.ipynb", as_version=4)
    notebook.cells[3].source += f"\nTry `{secret}`."
    nbformat.write(notebook, folder / "tiny.ipynb")
    np.savez(folder / "words.npz", words=np.array(["harmless", secret]))
    manifest = json.dumps({"checks": [{"says": secret}]}).encode()
    np.savez_compressed(folder / "manifest.npz", manifest=np.frombuffer(manifest, np.uint8), a0=np.zeros(3))
    (folder / "notes.txt").write_text(f"\t  {secret.replace(' ', '   ')}  # here it is\n")
    (folder / "table.json").write_text(json.dumps({secret: 1}))
    found = leaks(unit, folder)
    assert [Path(f.partition(": ")[0]).name for f in found] == [
        "manifest.npz", "notes.txt", "table.json", "tiny.ipynb", "words.npz"
    ]  # fmt: skip
    assert all(secret in sentence for sentence in found)


def test_line_with_quotes_is_found_inside_json(folder):
    secret = 'subject.load_state(layer, {"offset": offset})'
    manifest = json.dumps({"says": secret}).encode()
    np.savez_compressed(folder / "cases.npz", manifest=np.frombuffer(manifest, np.uint8))
    notebook = nbformat.read(folder / "tiny.ipynb", as_version=4)
    notebook.cells[1].source += f"\n{secret}"
    nbformat.write(notebook, folder / "tiny.ipynb")
    assert len(leaks(Unit.load(TINY), folder)) == 2


def test_output_of_a_cell_is_searched(folder):
    notebook = nbformat.read(folder / "tiny.ipynb", as_version=4)
    notebook.cells[1].outputs = [nbformat.v4.new_output("stream", text="a\nsquared_instead = x * x\nb\n")]
    nbformat.write(notebook, folder / "tiny.ipynb")
    assert len(leaks(Unit.load(TINY), folder)) == 1


@pytest.mark.parametrize(
    "harmless",
    [
        "doubles each number",  # a title
        "x + x is as good as 2 * x.",  # a hint
        "Squaring a number is not doubling it: 3 became 9, not 6.",  # an explanation
        "super().__init__()",  # the prompt has it
        "def double_it(x):",
        "class Shift(torch.nn.Module):",
        "import torch",
        "def _(subject, trial):",
    ],
)
def test_sentences_prompts_and_signatures_are_no_secrets(harmless):
    assert normalise(harmless) not in secret_lines(Unit.load(TINY))


def test_line_shown_in_a_given_cell_or_fence_is_no_secret(tmp_path):
    folder = Path(shutil.copytree(TINY, tmp_path / "90_tiny"))
    text = (folder / "notebook.py").read_text()
    text = text.replace('print(f"a given', 'x = torch.ones(1)\nsquared_instead = x * x\nprint(f"a given')
    text = text.replace("Write a function", "```python\ntwice_as_large = x + x\n```\nWrite a function")
    (folder / "notebook.py").write_text(text)
    lines = secret_lines(Unit.load(folder))
    assert "squared_instead = x * x" not in lines and "twice_as_large = x + x" not in lines


def test_line_shown_in_a_prompt_is_no_secret(tmp_path):
    folder = Path(shutil.copytree(TINY, tmp_path / "90_tiny"))
    path = folder / "notebook.py"
    path.write_text(
        path.read_text().replace("    returns  (N,)\n", "    returns  (N,)  with `twice_as_large = x + x`\n")
    )
    assert "twice_as_large = x + x" not in secret_lines(Unit.load(folder))


def test_line_in_prose_stays_a_secret(tiny, tmp_path):
    folder = Path(shutil.copytree(TINY, tmp_path / "90_tiny"))
    path = folder / "notebook.py"
    path.write_text(path.read_text().replace("Write a function", "Write `twice_as_large = x + x`, a function"))
    root = shutil.copytree(tiny.assignment.parents[2], tmp_path / "out")  # its gradebook takes seconds to make
    unit = Unit.load(folder)
    assert len(leaks(unit, build(unit, root).assignment.parent)) == 1


def test_comments_docstrings_and_lone_sentences_are_no_secrets(tmp_path):
    folder = Path(shutil.copytree(TINY, tmp_path / "90_tiny"))
    path = folder / "notebook.py"
    secret = (
        '"""A docstring.\n\n    Second docstring line, long enough.\n    """\n    # a comment in a region\n'
        '    twice_as_large = (  # here\n    "alone on a line",\n    )'
    )
    path.write_text(path.read_text().replace("twice_as_large = x + x", secret))
    lines = secret_lines(Unit.load(folder))
    assert not any("docstring" in line or "comment" in line or "alone" in line or "here" in line for line in lines)
    assert "twice_as_large = (" in lines


def test_longer_threshold_for_large_trees():
    unit = Unit.load(TINY)
    assert min(map(len, secret_lines(unit, at_least=30))) >= 30
    assert secret_lines(unit, at_least=30) < secret_lines(unit)
