"""What the grader remembers and what travels: the compile cache, and the answers of judging processes.

No hand-in can write either of them (tests/attacks/test_knows_the_grader.py tries); here it chooses what goes in.
"""

import os
import pickle
import re
from concurrent.futures import Future

import msgspec
import pytest
import torch
import triton

from autograder.classroom import grade
from grader_kernels.compiling.compiler import Built, Compiler, plan
from grader_kernels.compiling.footprint import Footprint
from grader_kernels.evidence import Compiled
from grader_kernels.replaying import replay, trace

KERNEL = """
@triton.jit
def helper(x):
    return 2 * x

@triton.jit
def scale_kernel(x_ptr, o_ptr, n, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)
    tl.store(o_ptr + i, helper(tl.load(x_ptr + i, mask=i < n)), mask=i < n)
"""
SWAPS = {  # what a poisoner would hand in beside the kernel above: nearly the same, and another binary
    "helper": ("return 2 * x", "return 3 * x"),
    "constant_type": ("2 * x", "2.0 * x"),
    "text_in_a_comment": ("return 2 * x", "return 2 * x + 0  # return 2 * x"),
    "mask": ("mask=i < n)), mask=i < n", "mask=i < n)), mask=i < n - 0"),
    "annotation": ("BLOCK: tl.constexpr", "BLOCK: tl.constexpr = 4"),
}


def job(source=KERNEL, x=None, n=3, **options):
    """The one thing to compile for a launch."""
    kernel = replay.load(source)["scale_kernel"]

    def run(x):
        out = torch.empty_like(x)
        kernel[(triton.cdiv(4, 4),)](x, out, n, BLOCK=4, **options)
        return out

    data = trace.record(run, (torch.ones(8)[:4] if x is None else x,), {}).to_data()
    [found] = plan(source, data, ("sm_80",))
    return found


@pytest.mark.parametrize("swap", SWAPS)
def test_a_kernel_that_looks_alike_is_not_taken_for_another(swap):
    old, new = SWAPS[swap]
    assert old in KERNEL
    assert job(KERNEL.replace(old, new)).key() != job().key()


def test_every_argument_that_changes_the_binary_changes_the_key():
    jobs = [job(), job(n=1), job(n=16), job(x=torch.ones(4).int()), job(x=torch.ones(4).half()), job(num_warps=1)]
    keys = [each.key() for each in jobs]
    assert len(set(keys)) == len(keys) and all(re.fullmatch("[0-9a-f]{64}", key) for key in keys)


def test_a_remembered_binary_is_served_to_its_own_kernel_only(tmp_path):
    """Somebody's harmless kernel was compiled first; a spilling one of the same name must not get its numbers."""
    with Compiler(tmp_path / "cache") as compiler:
        first = job()
        compiler.cache.put(first, Built(Compiled("scale_kernel", "sm_80", registers=1)))
        assert compiler.cache.get(first).compiled.registers == 1
        assert compiler.cache.get(job(KERNEL.replace("2 * x", "x + x"))) is None
    (tmp_path / "cache" / f"{first.key()}.json").write_bytes(b'{"kernel": "\xff"}')
    with Compiler(tmp_path / "cache") as compiler:
        assert compiler.cache.get(first) is None


def test_half_a_compilation_is_taken_for_a_whole_one_by_nobody(tmp_path):
    """What the front end alone let through counts where something larger was compiled, and without a size nowhere."""
    small = Footprint(64, frozenset({"tt.load"}))
    with Compiler(tmp_path / "cache") as compiler:
        compiler.cache.put(job(), Built(Compiled("scale_kernel", "sm_80"), small, whole=False))
        assert compiler.cache.get(job()) is None
        for size, known in ((64, True), (63, False)):
            enough = (Footprint(size, small.operations),)
            assert (compiler.cache.get(msgspec.structs.replace(job(), enough=enough)) is not None) is known
    (tmp_path / "cache" / f"{job().key()}-front.json").write_bytes(b'{"compiled": {"kernel": "", "target": "sm_80"}}')
    with Compiler(tmp_path / "cache") as compiler:
        assert compiler.cache.get(msgspec.structs.replace(job(), enough=(small,))) is None


class Bomb:
    """Runs a command when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_an_answer_is_json_of_one_shape_and_never_a_pickle(tmp_path):
    mark = tmp_path / "ran"
    hostile = [
        pickle.dumps(Bomb(str(mark))), b"", b"[]", b"null", b'{"verdict": 58}', b'{"failed": 5}',
        b'{"verdict": {"score": "58"}}', b'{"verdict": {"exercises": [{"name": "x"}]}}', b"\xff" * 100, b"[" * 100_000,
        {"verdict": None}, Bomb(str(mark)),
    ]  # fmt: skip
    for data in hostile:
        future = Future()
        future.set_result(data)
        answer = grade._answer(future)
        assert answer.verdict is None and answer.failed, data
    assert not mark.exists()


def test_a_task_is_json_of_one_shape(tmp_path):
    mark = tmp_path / "ran"
    for data in (pickle.dumps(Bomb(str(mark))), b"", b"{}", b'{"unit": 5}', b"[" * 100_000):
        answer = msgspec.json.decode(grade.judge_task(data), type=grade.Answer)
        assert answer.verdict is None and answer.failed
    assert not mark.exists()
