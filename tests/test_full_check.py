"""`course check NOTEBOOK --full --json` on the real attention unit, as a script would call it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from autograder.authoring.unit import Unit, find_unit

ROOT = Path(__file__).parent.parent
UNIT = Unit.load(find_unit("attention"))


def check(*words: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "course.command_line.cli", "check", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)


@pytest.mark.parametrize("folder, code", [("assignments", 1), ("solutions", 0)])
def test_untouched_has_nothing_and_the_solution_everything(folder, code):
    done = check(f"{folder}/02_attention/attention.ipynb", "--full", "--json")
    assert done.returncode == code, done.stderr
    told = json.loads(done.stdout)
    points, by_hand = UNIT.max_score, sum(UNIT.manual_points.values())
    assert told["schema"] == 1 and told["max_score"] == points and told["manual_max"] == by_hand
    assert told["score"] == (points if folder == "solutions" else 0)
    assert sum(e["score"] for e in told["exercises"]) == told["score"] + told["extra"]
    assert {"name", "score", "max_score", "state", "reason", "misconception", "trials"} <= set(told["exercises"][0])


def test_what_is_no_notebook_is_one_sentence():
    done = check("README.md", "--full", "--json")
    assert done.returncode == 2 and done.stdout == ""
    assert "Traceback" not in done.stderr and len(done.stderr.strip().splitlines()) == 1
