"""TRITON_INTERPRET=1, the usual advice for machines without a GPU, changes no verdict: set anywhere, at any time."""

import os
import subprocess
import sys

import pytest

KERNEL = '''
@triton.jit
def squared(x):
    return x * x + tl.max(x, 0) * 0

@triton.jit
def square_kernel(x_ptr, o_ptr, n, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + i, mask=i < n, other=0.0)
    tl.store(o_ptr + i, squared(x) + x.sum() * 0, mask=i < n)

@triton.autotune(configs=[triton.Config({"BLOCK": 8})], key=["n"])
@triton.jit
def tuned_kernel(x_ptr, o_ptr, n, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(o_ptr + i, squared(tl.load(x_ptr + i, mask=i < n, other=0.0)), mask=i < n)

def square(x, tuned=False):
    out = torch.empty_like(x)
    if tuned:
        tuned_kernel[lambda meta: (triton.cdiv(len(x), meta["BLOCK"]),)](x, out, len(x))
    else:
        square_kernel[(triton.cdiv(len(x), 8),)](x, out, len(x), BLOCK=8)
    return out
'''
JUDGED = '''
from grader_kernels.compiling.compiler import compile_launches
from grader_kernels.replaying.replay import replay_source, source_of
from grader_kernels.replaying.trace import record_with_kernels
x = torch.arange(20.0)
for tuned in (False, True):
    trace, kernels = record_with_kernels(square, (x,), {"tuned": tuned})
    assert len(trace.launches) == 1, trace
    assert torch.equal(replay_source(source_of(kernels), trace.to_data(), ((x,), {}))["outputs"], x * x)
    assert [each.error for each in compile_launches(source_of(kernels), trace.to_data(), ("sm_80",))] == [""]
print("as ever")
'''
TORCH, TRITON = "import torch\n", "import triton, triton.language as tl\n"
OURS = "from course.kernels import tl, triton\n"
SET = 'import os\nos.environ["TRITON_INTERPRET"] = "1"\n'
PLACES = {
    "in the environment": OURS + KERNEL,
    "in the environment, kernels first": TRITON + KERNEL,
    "between import and kernels": OURS + SET + KERNEL,
    "after the kernels": OURS + KERNEL + SET,
    "before triton's own import and kernels": SET + TRITON + KERNEL,
    "by triton's own switch": OURS + "triton.knobs.runtime.interpret = True\n" + KERNEL,
}


@pytest.mark.parametrize("place", PLACES)
def test_the_variable_changes_nothing(place, tmp_path):
    program = tmp_path / "cells.py"  # a file: @triton.jit reads its source
    program.write_text(TORCH + PLACES[place] + JUDGED)
    environment = os.environ | ({"TRITON_INTERPRET": "1"} if "environment" in place else {})
    done = subprocess.run([sys.executable, program], env=environment, capture_output=True, text=True)
    assert done.stdout == "as ever\n", done.stderr
