"""`from course.kernels import tl, triton`: works with triton, and without it breaks nothing until a launch."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

NOTEBOOK = """
import torch
from course.kernels import available, tl, triton

WIDTH = tl.constexpr(4)

@triton.jit
def add_one(x_ptr, n, BLOCK: tl.constexpr = 8, DTYPE: tl.constexpr = tl.float32):
    offsets = tl.arange(0, BLOCK)
    tl.store(x_ptr + offsets, tl.load(x_ptr + offsets, mask=offsets < n) + 1, mask=offsets < n)

@triton.jit(do_not_specialize=["n"])
def other(n):
    pass

x = torch.zeros(6)
try:
    add_one[(triton.cdiv(6, 8),)](x, 6, num_warps=triton.next_power_of_2(3))
    print(available(), x.tolist())
except NotImplementedError as error:
    print(available(), error)
"""


def run_notebook(folder: Path, before: str = "", **variables: str) -> str:
    script = folder / "notebook.py"  # a file: triton reads the source of its kernels
    script.write_text(before + NOTEBOOK)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_with_triton_a_kernel_on_the_cpu_simply_runs(tmp_path):
    assert run_notebook(tmp_path) == "True [1.0, 1.0, 1.0, 1.0, 1.0, 1.0]"


def test_a_variable_left_in_the_environment_does_no_harm(tmp_path):
    assert run_notebook(tmp_path, TRITON_INTERPRET="1") == "True [1.0, 1.0, 1.0, 1.0, 1.0, 1.0]"


def test_without_triton_only_the_launch_says_so(tmp_path):
    said = run_notebook(tmp_path, "import sys\nsys.modules['triton'] = None\n")
    assert said.startswith("False ") and "Linux, WSL on Windows, or Colab" in said and "\n" not in said
