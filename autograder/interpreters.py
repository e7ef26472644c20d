"""The run context against triton's own interpreter: the same launches of three reference kernels, each in a process of
its own, one thread, CPU seconds. Interpreted time says nothing about a GPU; it says how long a learner waits here.

python -m autograder.interpreters prints the seconds by kernel as JSON, measured with triton's interpreter when
TRITON_INTERPRET=1 and with the run context otherwise. `python -m autograder.bench` shows both.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable

import torch

from autograder.grade import ROOT
from grader_kernels import problem

SIZES = {"row_softmax": "1024 x 1024", "matmul": "512 x 512 x 512", "flash_forward": "8 heads, 1024 x 64, causal"}
ONE_THREAD = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def arguments(name: str, scale: int) -> tuple[tuple, dict]:
    """All in float32: triton's own interpreter multiplies the bit patterns of bfloat16."""
    torch.manual_seed(0)
    if name == "row_softmax":
        return (torch.randn(1024 // scale, 1024),), {"block": 1024}
    if name == "matmul":
        n = 512 // scale
        return (torch.randn(n, n), torch.randn(n, n)), {"out_dtype": torch.float32}
    return tuple(torch.randn(1, max(1, 8 // scale), 1024 // scale, 64) for _ in range(3)), {"causal": True}


def launcher(name: str) -> Callable:
    """The launcher of a problem's reference kernel."""
    spec = importlib.util.spec_from_file_location(name, problem.FOLDER / name / "reference.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, name)


def seconds(name: str, context: Callable, repeats: int = 3) -> float:
    """The fastest of several runs, after a small one; the numbers must be right."""
    launch, checked = launcher(name), problem.load(name)
    took = []
    for scale in (16, *[1] * repeats):
        args, kwargs = arguments(name, scale)
        began = time.process_time()
        with context():
            got = launch(*args, **kwargs)
        took.append(time.process_time() - began)
        torch.testing.assert_close(got, checked.reference(*args, **kwargs), rtol=1e-3, atol=1e-3)
    return min(took[1:])


def measure() -> dict[str, float]:
    """CPU seconds by problem in this process, with the interpreter that its environment asks for."""
    torch.set_num_threads(1)
    if os.environ.get("TRITON_INTERPRET") == "1":
        context = contextlib.nullcontext
    else:
        from grader_kernels.run import on_cpu as context
    return {name: seconds(name, context) for name in SIZES}


def table() -> list[str]:
    """Both interpreters side by side, one line a kernel."""
    taken = {}
    for flag in ("0", "1"):
        environment = os.environ | ONE_THREAD | {"TRITON_INTERPRET": flag}
        command = [sys.executable, "-m", "autograder.interpreters"]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"interpreting with TRITON_INTERPRET={flag} failed: {done.stderr[-500:]}")
        taken[flag] = json.loads(done.stdout)
    lines = [f"reference kernels interpreted, CPU seconds{'this context':>16}{'triton':>10}{'ratio':>8}"]
    for name, mine in taken["0"].items():
        theirs = taken["1"][name]
        lines.append(f"  {name + ' ' + SIZES[name]:42}{mine:14.2f}{theirs:10.2f}{theirs / mine:8.2f}")
    return lines


if __name__ == "__main__":
    print(json.dumps(measure()))
