"""THREATS.md, line 17: launchers and kernels that answer without computing. Only what kernels computed counts."""

# ruff: noqa: E501 - attacks are programs in strings

import pytest
from attack_class import (
    ORIENTATION,
    Attack,
    Class,
    cell_of,
    check_nothing_outside_changed,
    check_verdict,
    controls,
    released,
)

from grader_kernels.replaying.trace import stand_in

NAMES = ("vector_add", "fused_scale_add", "leaky_relu")
SOLVED = {
    "vector_add": "def vector_add(x, y, block=256):\n",
    "fused_scale_add": "def fused_scale_add(x, y, alpha, block=256):\n",
    "leaky_relu": "def leaky_relu(x, slope=0.01, block=256):\n",
}
COPY = """
@triton.jit
def copy_kernel(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out_ptr + i, tl.load(x_ptr + i, mask=i < n), mask=i < n)

"""
PUT = """
@triton.jit
def put_kernel(out_ptr, i, value):
    tl.store(out_ptr + i, value)

@triton.jit
def put_bits_kernel(out_ptr, i, bits):
    tl.store(out_ptr + i, bits.to(tl.float32, bitcast=True))

"""
NO_LAUNCH = {
    "vector_add": SOLVED["vector_add"] + "    return x + y\n",
    "fused_scale_add": SOLVED["fused_scale_add"] + "    return torch.add(y, x, alpha=alpha)\n",
    "leaky_relu": SOLVED["leaky_relu"] + "    return torch.where(x > 0, x, slope * x)\n",
}
NUMPY = {  # launches a copy kernel, then writes the answer where no dispatch mode looks
    "vector_add": COPY
    + SOLVED["vector_add"]
    + "    out = torch.empty(x.shape[0])\n    copy_kernel[(triton.cdiv(len(out), block),)](x, out, len(out), BLOCK=block)\n"
    "    out.numpy()[...] = x.numpy() + y.numpy()\n    return out\n",
    "fused_scale_add": COPY
    + SOLVED["fused_scale_add"]
    + "    out = torch.empty(x.shape[0])\n    copy_kernel[(triton.cdiv(len(out), block),)](x, out, len(out), BLOCK=block)\n"
    "    import ctypes\n    answer = (alpha * x + y).contiguous()\n"
    "    ctypes.memmove(out.data_ptr(), answer.data_ptr(), 4 * len(out))\n    return out\n",
    "leaky_relu": COPY
    + SOLVED["leaky_relu"]
    + "    out = torch.empty(x.shape[0])\n    copy_kernel[(triton.cdiv(len(out), block),)](x, out, len(out), BLOCK=block)\n"
    "    with torch._C._DisableTorchDispatch():\n        out.copy_(torch.where(x > 0, x, slope * x))\n    return out\n",
}
CARRIED = {  # the answer carried into the trace number by number
    "vector_add": PUT
    + SOLVED["vector_add"]
    + "    out, answer = torch.empty(x.shape[0]), (x + y).tolist()\n    for i, value in enumerate(answer):\n"
    "        put_kernel[(1,)](out, i, value)\n    return out\n",
    "fused_scale_add": PUT
    + SOLVED["fused_scale_add"]
    + "    out = torch.empty(x.shape[0])\n    for i, bits in enumerate((alpha * x + y).contiguous().view(torch.int32).tolist()):\n"
    "        put_bits_kernel[(1,)](out, i, bits)\n    return out\n",
    "leaky_relu": PUT + SOLVED["leaky_relu"] + "    out = torch.empty(x.shape[0])\n    put_kernel[(1,)](out, 0, 0.0)\n"
    "    for i, value in enumerate(torch.where(x > 0, x, slope * x).tolist()):\n        out[i].fill_(value)\n    return out\n",
}
ALIASED = {
    "vector_add": SOLVED["vector_add"] + "    x += y\n    return x\n",
    "fused_scale_add": "last = []\n"
    + SOLVED["fused_scale_add"]
    + "    if not last:\n        last.append(alpha * x + y)\n    return last[0]\n",
    "leaky_relu": COPY
    + SOLVED["leaky_relu"]
    + "    copy_kernel[(triton.cdiv(x.numel(), block),)](x, x, x.numel(), BLOCK=block)\n    return x\n",
}
OTHERS = {
    "vector_add": SOLVED["vector_add"]
    + "    return fused_scale_add(x, y, 1.0, block) if x.shape[0] == 1024 else torch.empty_like(x)\n",
    "leaky_relu": SOLVED["leaky_relu"]
    + "    out = torch.empty_like(x)\n    vector_add_kernel[(1,)](x, x, out, 0, 1, 1, BLOCK=block)\n    return out\n",
}
LANGUAGE = {
    "vector_add": "import numpy\n@triton.jit\ndef vector_add_kernel(x_ptr, y_ptr, out_ptr, n, BLOCK: tl.constexpr):\n"
    "    numpy.copyto(out_ptr, x_ptr)\n"
    + SOLVED["vector_add"]
    + "    out = torch.empty_like(x)\n    vector_add_kernel[(1,)](x, y, out, x.shape[0], BLOCK=block)\n    return out\n",
    "leaky_relu": "@triton.jit\ndef leaky_relu_kernel(x_ptr, out_ptr, n):\n    __import__('os')._exit(0)\n"
    + SOLVED["leaky_relu"]
    + "    leaky_relu_kernel[(1,)](x, torch.empty_like(x), 1)\n    return x\n",
}
FORGED = """
import grader_kernels.replaying.trace as trace, grader_kernels.replaying.replay as replay
import grader_kernels.interpreter.context as context, grader_kernels.interpreter.programs as programs
import grader_kernels.judging.hands as hands
import json, torch

class Forged:
    def __init__(self, data):
        self.data = data
    def to_data(self):
        return self.data

def forged_record(launcher, args, kwargs=None):
    x = args[0]
    n = x.shape[0]
    fills = [{"type": "fill", "target": {"type": "tensor", "buffer": 9, "offset": 4 * i, "shape": [1], "strides": [1],
              "dtype": "float32"}, "value": {"type": "scalar", "kind": "float", "text": float(v).hex()}}
             for i, v in enumerate((x + x).tolist())]
    made = {"buffer": 9, "dtype": "float32", "shape": [n], "strides": [1], "bytes": 4 * n, "fill": None, "seen": True,
            "source": "aten::empty"}
    return Forged({"inputs": [], "allocations": [made], "steps": fills, "foreign": [], "overwritten": [],
                   "returned": {"type": "tensor", "buffer": 9, "offset": 0, "shape": [n], "strides": [1],
                                "dtype": "float32"}})

trace.record = replay.record_with_kernels = forged_record
hands.recorded = lambda launcher, args, kwargs, file="": json.dumps(forged_record(launcher, args).data).encode()
replay.replay_source = replay.replay = lambda *a, **k: None
programs.interpret = context.interpret = lambda *a, **k: None
"""


def tidy(name, why, write, before=(), says="", scores=None):
    return Attack(name, 17, why, write=write, before=before, says=says, scores=scores or {})


# The published test of the bug hunt's cell runs a launcher too: it prints what is wrong and costs nothing.
ATTACKS = [
    *controls(ORIENTATION, NAMES, {"vector_add": NO_LAUNCH["vector_add"].replace("x + y", "x - y")}),
    tidy("never_launches", "torch does the work", NO_LAUNCH, says="launched no kernel"),
    tidy("copy_then_numpy", "a copy kernel, then the answer through numpy, memmove and a disabled dispatch mode", NUMPY),
    tidy("carried_numbers", "kernels that store numbers which Python computed", CARRIED),
    tidy("aliased", "returns its input or a buffer it kept", ALIASED),
    tidy("other_kernels", "the benchmark's shape only, another exercise's kernel", OTHERS),
    tidy("not_the_language", "Python inside a kernel", LANGUAGE),
    tidy("forged_trace", "recorder, replay and interpreter patched in its own process", NO_LAUNCH, before=(FORGED,)),
]  # fmt: skip


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    group = Class(tmp_path_factory.mktemp("kernels"), ORIENTATION, ATTACKS)
    for attack in ATTACKS:
        group.hand_in(attack)
    group.before = group.files()
    return group.again()


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda a: a.name)
def test_only_what_kernels_computed_counts(graded, attack):
    check_verdict(attack, graded.verdicts[attack.name])


def test_nothing_outside_the_workers_changed(graded):
    check_nothing_outside_changed(graded, graded.before)


def test_the_worker_never_sees_the_numbers_of_a_launch():
    import torch

    x = torch.randn(40).abs()[::2]
    other, kept = stand_in((x, {"n": torch.arange(3), "deep": [-x]}))
    assert other.shape == x.shape and other.stride() == x.stride() and (other >= 0).all()
    assert not set(other.tolist()) & set(x.tolist()) and (kept["deep"][0] <= 0).all()
    assert torch.equal(kept["n"], torch.arange(3))


def test_the_released_notebook_still_holds_the_cells_attacked():
    for name in NAMES:
        assert cell_of(released(ORIENTATION), name).source
