"""`course grade`, killed with SIGKILL and started again: the same final table as an undisturbed run."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
CHANGING = ("seconds", "peak_bytes")


def start(folder: Path) -> subprocess.Popen:
    command = [sys.executable, "-m", "course.cli", "grade", "00", "--sample", "--class", str(folder)]
    command += ["--json", str(folder.with_suffix(".json"))]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True)


def result(folder: Path) -> tuple[list, str]:
    """What the last run told: verdicts without times, and the grades as exported.

    The two classes have secrets of their own, so the random sizes in a failed trial's sentence differ.
    """
    verdicts = json.loads(folder.with_suffix(".json").read_text())
    for verdict in verdicts:
        for each in (verdict, *verdict["exercises"]):
            for key in CHANGING:
                each.pop(key, None)
        for trial in (t for each in verdict["exercises"] for t in each["trials"]):
            trial.pop("says")
    export = [sys.executable, "-m", "course.cli", "export", "00", "--class", str(folder)]
    return verdicts, subprocess.run(export, cwd=ROOT, capture_output=True, text=True, check=True).stdout


@pytest.mark.slow
def test_killed_five_times_and_started_again(tmp_path):
    calm, killed = tmp_path / "calm", tmp_path / "killed"
    began = time.monotonic()
    assert start(calm).wait() == 0
    length = time.monotonic() - began
    moments = sorted(random.Random(2026).uniform(0.02, 0.95) * length for _ in range(5))
    for moment in moments:
        run = start(killed)
        try:
            run.wait(moment)
        except subprocess.TimeoutExpired:
            os.kill(run.pid, signal.SIGKILL)
            run.wait()
    final = start(killed)
    told, _ = final.communicate()
    assert final.returncode == 0, told
    assert result(killed) == result(calm)
