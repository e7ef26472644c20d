"""The run context against triton's own interpreter: the same launches of three reference kernels, each in a process of
its own, one thread, CPU seconds. Interpreted time says nothing about a GPU; it says how long a learner waits here.

python -m autograder.proof.interpreters prints the seconds by kernel as JSON, measured with triton's interpreter when
TRITON_INTERPRET=1 and with the run context otherwise. `python -m autograder.proof.bench` shows both.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable

import torch
from torch.nn import functional

from autograder import ROOT
from autograder.authoring.kernels import launcher

INTERPRET = "TRITON_INTERPRET"
ASKED = os.environ.get(INTERPRET) == "1"  # grader_kernels takes the word out of the environment when it is imported
SIZES = {"row_softmax": "1024 x 1024", "matmul": "512 x 512 x 512", "flash_forward": "8 heads, 1024 x 64, causal"}
ONE_THREAD = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")


ORACLES = {
    "row_softmax": lambda x, block: x.softmax(-1),
    "matmul": lambda a, b, out_dtype: a @ b,
    "flash_forward": lambda q, k, v, causal: functional.scaled_dot_product_attention(q, k, v, is_causal=causal),
}


def arguments(name: str, scale: int) -> tuple[tuple, dict]:
    """All in float32: triton's own interpreter multiplies the bit patterns of bfloat16."""
    torch.manual_seed(0)
    if name == "row_softmax":
        return (torch.randn(1024 // scale, 1024),), {"block": 1024}
    if name == "matmul":
        n = 512 // scale
        return (torch.randn(n, n), torch.randn(n, n)), {"out_dtype": torch.float32}
    return tuple(torch.randn(1, max(1, 8 // scale), 1024 // scale, 64) for _ in range(3)), {"causal": True}


def seconds(name: str, context: Callable, repeats: int = 3) -> float:
    """The fastest of several runs, after a small one; the numbers must be right."""
    launch = launcher(name)
    took = []
    for scale in (16, *[1] * repeats):
        args, kwargs = arguments(name, scale)
        began = time.process_time()
        with context():
            got = launch(*args, **kwargs)
        took.append(time.process_time() - began)
        got = got[0] if isinstance(got, tuple) else got
        torch.testing.assert_close(got, ORACLES[name](*args, **kwargs), rtol=1e-3, atol=1e-3)
    return min(took[1:])


def measure() -> dict[str, float]:
    """CPU seconds by problem in this process, with the interpreter that its environment asks for."""
    torch.set_num_threads(1)
    if not ASKED:
        from grader_kernels.interpreter.context import on_cpu

        context = functools.partial(on_cpu, tf32=False)  # triton's own interpreter multiplies float32 as it is
    else:
        context = contextlib.nullcontext
    taken = {name: seconds(name, context) for name in SIZES}
    if ASKED and "grader_kernels" in sys.modules:
        raise RuntimeError("triton's own interpreter was asked for, and ours was imported")
    return taken


def table() -> list[str]:
    """Both interpreters side by side, one line a kernel."""
    taken = {}
    for flag in ("0", "1"):
        environment = os.environ | ONE_THREAD | {INTERPRET: flag}
        command = [sys.executable, "-m", "autograder.proof.interpreters"]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"interpreting with {INTERPRET}={flag} failed: {done.stderr[-500:]}")
        taken[flag] = json.loads(done.stdout)
    lines = [f"reference kernels interpreted, CPU seconds{'this context':>16}{'triton':>10}{'ratio':>8}"]
    for name, mine in taken["0"].items():
        theirs = taken["1"][name]
        lines.append(f"  {name + ' ' + SIZES[name]:42}{mine:14.2f}{theirs:10.2f}{theirs / mine:8.2f}")
    return lines


if __name__ == "__main__":
    print(json.dumps(measure()))
