"""The compiler: what a GPU that isn't there says about a kernel, in a learner's words and with a learner's line."""

import os
import signal
import tempfile
import time

import pytest
import torch
import triton
import triton.language as tl
from triton.runtime.jit import JITFunction

from grader_kernels import language
from grader_kernels.compiling import compiler
from grader_kernels.compiling.compiler import Compiler, compile_launches, judge_compiled, plan
from grader_kernels.compiling.footprint import room
from grader_kernels.evidence import Compiled
from grader_kernels.interpreter.context import on_cpu
from grader_kernels.problem import Settings
from grader_kernels.replaying import replay, trace

torch.set_num_threads(1)

SOURCE = '''
import torch
import triton
import triton.language as tl


@triton.jit
def softmax_kernel(x_ptr, o_ptr, row_stride, n, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    offsets = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + row * row_stride + offsets, mask=offsets < n, other=-float("inf"))
    e = tl.exp(x - tl.max(x, 0))
    tl.store(o_ptr + row * n + offsets, e / tl.sum(e, 0), mask=offsets < n)


@triton.jit
def copy_kernel(x_ptr, o_ptr, n, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(o_ptr + offsets, tl.load(x_ptr + offsets, mask=offsets < n), mask=offsets < n)


@triton.jit
def matmul_kernel(a_ptr, b_ptr, c_ptr, M, N, K, BLOCK: tl.constexpr):
    rows = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    columns = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inner = tl.arange(0, BLOCK)
    total = tl.zeros((BLOCK, BLOCK), tl.float32)
    for start in range(0, K, BLOCK):
        k = start + inner
        a = tl.load(a_ptr + rows[:, None] * K + k[None, :], mask=(rows[:, None] < M) & (k[None, :] < K), other=0.0)
        inside = (k[:, None] < K) & (columns[None, :] < N)
        b = tl.load(b_ptr + k[:, None] * N + columns[None, :], mask=inside, other=0.0)
        total = tl.dot(a, b, total)
    inside = (rows[:, None] < M) & (columns[None, :] < N)
    tl.store(c_ptr + rows[:, None] * N + columns[None, :], total.to(tl.float16), mask=inside)


@triton.jit
def greedy_kernel(x_ptr, o_ptr, BLOCK: tl.constexpr):
    """One warp holds a row of 8192: 256 values in every thread, and a thread has 255 registers."""
    offsets = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + offsets)
    tl.store(o_ptr + offsets, x / tl.sum(x, 0) - tl.max(x, 0))


@triton.jit
def endless_kernel(x_ptr, n):
    x = tl.load(x_ptr)
    for i in tl.static_range(10000000):
        x = x * 2 + i
    tl.store(x_ptr, x)
'''


def traced(name, *args, source=SOURCE, **options):
    """The trace of a launcher that launches one kernel once."""
    kernel = replay.load(language.extract(source, {name}))[name]
    tensors = tuple(arg for arg in args if isinstance(arg, torch.Tensor))
    return trace.record(lambda *_: kernel[(1,)](*args, **options), tensors).to_data()


def softmax_trace(n=128, dtype=torch.float32, **options):
    return traced(
        "softmax_kernel", torch.zeros(2, n, dtype=dtype), torch.zeros(2, n, dtype=dtype), n, n, 128, **options
    )


def matmul_trace(**options):
    a, b, c = (torch.zeros(128, 128, dtype=torch.float16) for _ in range(3))
    return traced("matmul_kernel", a, b, c, 128, 128, 128, 64, **options)


def copy_trace(x, n=4096, **options):
    return traced("copy_kernel", x, torch.zeros(8192), n, 1024, **options)


def only(source, data, target="sm_80"):
    [one] = compile_launches(source, data, (target,))
    return one


# --------------------------------------------------------------------------------------------------------------------
# What a compiled kernel says


def test_a_softmax_compiles_for_both_targets_without_a_device():
    found = compile_launches(SOURCE, softmax_trace())
    assert [one.target for one in found] == ["sm_80", "sm_90"]
    for one in found:
        assert one.error == "" and one.kernel == "softmax_kernel"
        assert one.stack == 0 and 0 < one.registers < 64 and one.warps == 4
        assert 0 < one.shared < 1024 and one.tensor_cores == "" and not one.dots
    assert judge_compiled(found, Settings()) == []


def test_a_matmul_uses_each_targets_own_tensor_cores():
    found = compile_launches(SOURCE, matmul_trace())
    assert [one.tensor_cores for one in found] == ["mma.sync", "wgmma"] and all(one.dots for one in found)
    assert all(one.async_copies > 0 and one.load_bits == {"128": one.async_copies} for one in found)
    assert judge_compiled(found, Settings(tensor_cores=True, vector_bits=128)) == []


def test_a_spill_is_seen_on_the_stack():
    found = only(SOURCE, traced("greedy_kernel", torch.zeros(8192), torch.zeros(8192), 8192, num_warps=1))
    assert found.stack > 0
    [says] = judge_compiled([found], Settings())
    assert f"{found.stack} bytes per thread on the stack" in says and "A100 (sm_80)" in says
    assert f"the {found.registers} registers" in says and f"{found.shared} bytes of shared memory" in says
    assert judge_compiled([found], Settings(stack=found.stack)) == []


def test_tiles_that_exceed_shared_memory_are_refused_by_the_smaller_device():
    found = {one.target: one for one in compile_launches(SOURCE, matmul_trace(num_stages=9), ("sm_80", "sm_86"))}
    assert found["sm_80"].shared == found["sm_86"].shared > 99 * 1024
    assert judge_compiled([found["sm_80"]], Settings()) == []
    [says] = judge_compiled([found["sm_86"]], Settings())
    assert f"needs {found['sm_86'].shared} bytes of shared memory" in says and "there are 101376" in says


def test_the_limits_are_those_of_nvidias_table():
    """CUDA C++ Programming Guide, technical specifications: 64, 163, 99, 163, 99, 227, 227, 99 KB, and in bytes."""
    kilobytes = dict(sm_75=64, sm_80=163, sm_86=99, sm_87=163, sm_89=99, sm_90=227, sm_100=227, sm_120=99)
    assert {t: n for t, n in compiler.SHARED_LIMITS.items() if t.startswith("sm_")} == {
        target: 1024 * number for target, number in kilobytes.items()
    }
    assert [compiler.SHARED_LIMITS[t] for t in ("sm_80", "sm_86", "sm_90")] == [166_912, 101_376, 232_448]


def test_amd_by_option():
    softmax, matmul = only(SOURCE, softmax_trace(), "gfx942"), only(SOURCE, matmul_trace(), "gfx942")
    assert matmul.tensor_cores == "mfma" and "128" in matmul.load_bits
    assert softmax.error == "" and softmax.registers > 0 and softmax.stack == 0 and softmax.shared_limit == 65_536


def test_a_target_nobody_knows():
    with pytest.raises(ValueError, match="sm_42 is not a target; there are sm_75, sm_80"):
        compile_launches(SOURCE, softmax_trace(), ("sm_42",))


# --------------------------------------------------------------------------------------------------------------------
# The specialisation is the launch's own


class Driver:
    """Enough of a driver for triton's own `warmup`."""

    def get_current_target(self):
        return compiler.gpu_target("sm_80")

    def get_current_device(self):
        return 0

    def get_current_stream(self, device):
        return 0


@pytest.mark.parametrize("n", [1, 17, 64, 1 << 33])
def test_it_is_what_tritons_own_launcher_compiles(n, tmp_path, monkeypatch):
    x, o = torch.zeros(8192)[1:], torch.zeros(8192)
    [job] = plan(SOURCE, copy_trace(torch.zeros(8192), n), ("sm_80",))
    mine = compiler._build(job, replay.load(job.source))
    kernel = replay.load(job.source)["copy_kernel"]
    monkeypatch.setattr(triton.runtime.driver, "_active", Driver())
    with triton.knobs.cache.scope():
        triton.knobs.cache.dir = str(tmp_path)
        theirs = kernel.warmup(x[63:], o, n, 1024, grid=(1,))
    assert x[63:].data_ptr() % 16 == 0
    assert mine.asm["ptx"] == theirs.asm["ptx"]


def test_an_aligned_row_is_loaded_four_numbers_at_a_time():
    x = torch.zeros(8192)
    assert only(SOURCE, copy_trace(x)).load_bits == {"128": 2}
    assert only(SOURCE, copy_trace(x, n=4095)).load_bits == {"32": 8}
    whole = torch.zeros(8192)
    data = trace.record(lambda whole: launch_copy(whole[1:]), (whole,)).to_data()
    found = only(SOURCE, data)
    assert found.load_bits == {"32": 8} and found.store_bits == {"128": 2}
    [says] = judge_compiled([found], Settings(vector_bits=128))
    assert "loads at most 32 bits at a time, 128 are possible" in says


def launch_copy(x):
    replay.load(language.extract(SOURCE, {"copy_kernel"}))["copy_kernel"][(1,)](x, torch.empty(8192), 4096, 1024)


def test_launches_that_differ_in_nothing_a_compiler_sees_are_compiled_once():
    def launcher(x, o):
        kernel = replay.load(language.extract(SOURCE, {"copy_kernel"}))["copy_kernel"]
        for n, block, options in [(17, 64, {}), (18, 64, {}), (32, 64, {}), (1, 64, {}), (17, 128, {}),
                                  (17, 64, {"num_warps": 8}), (1 << 40, 64, {})]:  # fmt: skip
            kernel[(1,)](x, o, n, block, **options)

    data = trace.record(launcher, (torch.zeros(64), torch.zeros(64))).to_data()
    jobs = plan(SOURCE, data, ("sm_80",))
    assert [trace.Scalar.value(job.launch.args["n"]) for job in jobs] == [17, 32, 1, 17, 17, 1 << 40]
    assert len(plan(SOURCE, data, ("sm_80", "sm_90"))) == 12


def test_where_a_view_starts_is_part_of_the_specialisation():
    def launcher(x, o):
        kernel = replay.load(language.extract(SOURCE, {"copy_kernel"}))["copy_kernel"]
        for start in (0, 4, 1, 5):
            kernel[(1,)](x[start:], o, 17, 32)

    data = trace.record(launcher, (torch.zeros(64), torch.zeros(64))).to_data()
    assert [job.launch.args["x_ptr"].offset for job in plan(SOURCE, data, ("sm_80",))] == [0, 4]


def test_options_that_name_files_never_reach_the_compiler():
    data = softmax_trace()
    data["steps"][0]["options"] = {
        "ir_override": {"type": "scalar", "kind": "str", "text": "/etc/passwd.ptx"},
        "ptx_options": {"type": "scalar", "kind": "str", "text": "--help"},
    }
    assert only(SOURCE, data).error == ""


def test_warps():
    assert "num_warps=3: the number of warps must be a power of two" in only(SOURCE, softmax_trace(num_warps=3)).error
    assert "asks for 2048 threads, and a block has at most 1024" in only(SOURCE, softmax_trace(num_warps=64)).error


# --------------------------------------------------------------------------------------------------------------------
# A learner's words, and a learner's line

HEAD = """import math
import numpy as np
import torch
import triton
import triton.language as tl

WIDTH = 4
LENGTH = len("abc")


@triton.jit
def helper(x, BLOCK: tl.constexpr):
    return x + tl.arange(0, BLOCK + 1)


@triton.jit
def k(x_ptr, o_ptr, n, BLOCK: tl.constexpr):
    offsets = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + offsets, mask=offsets < n)
"""
TAIL = "\n    tl.store(o_ptr + offsets, x, mask=offsets < n)\n"

REFUSED = {
    "break": (["for i in range(3):", "    break"], "    break", "`break` is not part of the Triton language"),
    "dict": (["d = {1: 2}"], "d = {1: 2}", "dicts are not part of the Triton language"),
    "torch call": (["x = torch.exp(x)"], "torch.exp", "`torch.exp` runs in Python on the host*use tl.exp"),
    "torch function tl lacks": (["x = torch.nn.functional.gelu(x)"], "gelu", "a kernel can't call it"),
    "numpy call": (["x = np.sqrt(x)"], "np.sqrt", "`np.sqrt` runs in Python on the host"),
    "math call": (["x = math.exp(x)"], "math.exp", "use tl.math.exp"),
    "K below 16": (
        ["a = tl.zeros((16, 8), tl.float16)", "c = tl.dot(a, tl.trans(a))"],
        "c = tl.dot",
        "tl.dot needs K >= 16 here",
    ),
    "dot of two dtypes": (
        ["a = tl.zeros((16, 16), tl.float16)", "c = tl.dot(a, a.to(tl.float32))"],
        "c = tl.dot",
        "tiles of one dtype, and these are fp16 and fp32",
    ),
    "arange of 48": (["y = tl.arange(0, 48)"], "48", "every axis of a tile must be a power of two"),
    "zeros of 48": (["y = tl.zeros((48,), tl.float32)"], "48", "every axis of a tile must be a power of two"),
    "size at run time": (["y = tl.arange(0, n)"], "(0, n)", "pass the size as a tl.constexpr parameter"),
    "huge tile": (["y = tl.zeros((4096, 4096), tl.float32)"], "4096", "a tile of 16777216 elements is too large"),
    "undefined name": (["x = x + ofsets"], "ofsets", "`ofsets` is not defined here (did you mean `offsets`?)"),
    "name of one branch": (["if n > 3:", "    y = x", "x = x + y"], "x + y", "`y` is not defined here"),
    "plain global": (["x = x * WIDTH"], "WIDTH", "`WIDTH` is a plain global variable*WIDTH = tl.constexpr(...)"),
    "computed global": (["x = x * LENGTH"], "LENGTH", "`LENGTH` is a plain global variable*LENGTH = tl.constexpr(...)"),
    "type of a loop": (
        [
            "total = tl.zeros((BLOCK,), tl.float16)",
            "for i in range(4):",
            "    y = i",
            "    total = total + x",
            "x = total",
        ],
        "total + x",
        "`total` is a (64) tile of fp16 before the loop and becomes a (64) tile of fp32 in it",
    ),
    "scalar grown in a while": (
        ["total = 0.0", "i = 0", "while i < n:", "    total += x", "    i += 1"],
        "total += x",
        "`total` is fp32 before the loop and becomes a (64) tile of fp32",
    ),
    "constant in a loop": (
        ["total: tl.constexpr = 0", "for i in range(n):", "    total = total + 1"],
        "total + 1",
        "`total` is a constant (tl.constexpr)",
    ),
    "types of two branches": (
        ["if n > 3:", "    y = x", "else:", "    y = 0", "x = x + y"],
        "if n > 3",
        "`y` becomes a (64) tile of fp32 in the if and int32 in the else",
    ),
    "shapes": (["x = x + tl.arange(0, 32)"], "32", "axis 0 has 64 elements in one and 32 in the other"),
    "in a helper": (["x = helper(x, BLOCK)"], "BLOCK + 1", "every axis of a tile must be a power of two"),
    "if on a tile": (["if x > 0:", "    x = -x"], "if x > 0", "an `if` can't ask a whole tile: use tl.where"),
    "number as an address": (["tl.store(offsets, x)"], "(offsets, x)", "tl.store needs an address and got a (64) tile"),
    "number as a mask": (["x = tl.load(x_ptr + offsets, mask=n)"], "mask=n", "a mask must hold True or False"),
    "returns": (["return x"], "return x", "a kernel returns nothing"),
    "indexing": (["x = x[0]"], "x[0]", "a tile can't be indexed with numbers"),
    "static assertion": (["tl.static_assert(BLOCK > 100, 'too small')"], "100", "tl.static_assert failed: too small"),
    "fp8 on an A100": (["x = x.to(tl.float8e4nv).to(tl.float32)"], "fp8|float8", "this GPU has no fp8e4nv"),
    "anything else": (["x = tl.sum(x, 3)"], "tl.sum", "the compiler refuses this line: invalid axis 3"),
    "not written": (["raise NotImplementedError"], "raise", "the kernel is not written yet"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_is_said_in_words_with_its_line(name):
    body, at, words = REFUSED[name]
    source = HEAD + "\n".join("    " + line for line in body) + TAIL
    plain = traced("k", torch.zeros(64), torch.zeros(64), 60, 64, source=HEAD + TAIL)
    found = only(source, plain)
    text = source.split("\n")[found.line - 1]
    assert any(part in text for part in at.split("|")), (found.line, text)
    before, _, after = words.partition("*")
    assert before in found.error and after in found.error
    assert "Traceback" not in found.error and "\n" not in found.error and "0x" not in found.error


def test_the_same_refusal_on_two_targets_is_one_sentence():
    source = (HEAD + TAIL).replace("mask=offsets < n)\n", "mask=offsets < n) + ofsets\n", 1)
    found = compile_launches(source, traced("k", torch.zeros(64), torch.zeros(64), 60, 64, source=HEAD + TAIL))
    [says] = judge_compiled(found, Settings())
    assert says.startswith("k, line 19: `ofsets` is not defined here")


def test_an_error_of_one_kernel_leaves_the_others_alone():
    source = HEAD + "    x = torch.exp(x)" + TAIL + SOURCE
    data = traced("k", torch.zeros(64), torch.zeros(64), 60, 64, source=HEAD + TAIL)
    data["steps"] += softmax_trace()["steps"]
    data["inputs"] = softmax_trace()["inputs"]
    assert [bool(one.error) for one in compile_launches(source, data)] == [True, True, False, False]


def test_a_parameter_may_be_called_like_an_option():
    source = SOURCE.replace("def copy_kernel(x_ptr, o_ptr, n,", "def copy_kernel(x_ptr, o_ptr, debug,").replace(
        "offsets < n), mask=offsets < n)\n\n\n@triton.jit\ndef matmul",
        "offsets < debug), mask=offsets < debug)\n\n\n@triton.jit\ndef matmul",
    )
    data = traced("copy_kernel", torch.zeros(64), torch.zeros(64), 60, 64, source=source)
    assert only(source, data).error == ""


@pytest.mark.parametrize("ending", ["\r\n", "\r"])
def test_other_line_endings(ending):
    data = traced("k", torch.zeros(64), torch.zeros(64), 60, 64, source=HEAD + TAIL)
    found = only((HEAD + "    x = torch.exp(x)" + TAIL).replace("\n", ending), data)
    assert found.line == 20 and "use tl.exp" in found.error


def test_a_launch_that_does_not_fit_is_refused_without_a_line():
    data = softmax_trace()
    del data["steps"][0]["args"]["n"]
    found = only(SOURCE, data)
    assert found.line == 0 and found.error.startswith("the compiler refuses this kernel: ") and "'n'" in found.error


def test_a_kernel_that_is_not_in_the_source():
    found = only(HEAD + TAIL, softmax_trace())
    assert found.error == "there is no @triton.jit function named softmax_kernel in the source"


# --------------------------------------------------------------------------------------------------------------------
# Sentences


def test_judging_says_each_thing_once_and_names_the_device():
    one = Compiled("k", "sm_90", stack=64, shared=300_000, shared_limit=232_448, load_bits={"32": 4})
    says = judge_compiled([one, one], Settings(tensor_cores=True, vector_bits=64, stack=16))
    assert len(says) == 4 and all("k on H100 (sm_90)" in sentence for sentence in says)
    assert "64 bytes per thread on the stack (16 are allowed)" in says[0]
    assert "300000 bytes of shared memory per block, and there are 232448" in says[1]
    assert "uses no tensor cores" in says[2] and "at most 32 bits" in says[3]


def test_one_kernel_with_tensor_cores_is_enough_and_a_t4_needs_none():
    both = [Compiled("a", "sm_80", tensor_cores="mma.sync", shared_limit=1), Compiled("b", "sm_80", shared_limit=1)]
    assert judge_compiled(both, Settings(tensor_cores=True)) == []
    assert judge_compiled([Compiled("b", "sm_75", shared_limit=1)], Settings(tensor_cores=True)) == []


def test_a_problem_in_half_precision_refuses_float32_tiles():
    """tf32 is as good as any tensor core elsewhere. Broken on purpose: a judge that ignores `tf32` says nothing."""
    one = Compiled("a", "sm_80", tensor_cores="mma.sync", dots=True, tf32=True, shared_limit=1)
    assert judge_compiled([one], Settings(tensor_cores=True)) == []
    [says] = judge_compiled([one], Settings(tensor_cores="half"))
    assert says.startswith("a on A100 (sm_80) multiplies float32 tiles, at half the speed")


def test_whoever_multiplies_tiles_needs_tensor_cores_whatever_others_do():
    good = Compiled("a", "sm_80", tensor_cores="mma.sync", dots=True, shared_limit=1)
    other = Compiled("b", "sm_80", dots=True, shared_limit=1)
    [says] = judge_compiled([good, other], Settings(tensor_cores=True))
    assert says.startswith("b on A100 (sm_80) uses no tensor cores")
    assert judge_compiled([good, Compiled("a", "sm_80", dots=True, shared_limit=1)], Settings(tensor_cores=True)) == []


def test_a_refusal_by_one_target_names_it():
    found = [Compiled("k", "sm_80", error="this GPU has no fp8e4nv", line=7), Compiled("k", "sm_90", shared_limit=1)]
    assert judge_compiled(found, Settings()) == ["k on A100 (sm_80), line 7: this GPU has no fp8e4nv"]


# --------------------------------------------------------------------------------------------------------------------
# The child and the cache


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


def test_a_second_check_compiles_nothing_also_in_a_new_process(cache):
    with Compiler(cache) as first:
        found = first.check(SOURCE, softmax_trace())
        assert first.compiled == 2 and not any(one.error for one in found)
        assert first.check(SOURCE, softmax_trace()) == found and first.compiled == 2
    with Compiler(cache) as second:
        assert second.check(SOURCE, softmax_trace()) == found
        assert second.compiled == 0 and second._child is None
    assert compile_launches(SOURCE, softmax_trace()) == found


def test_the_cache_goes_by_content(cache):
    moved = "# a comment\n\n\n" + SOURCE.replace("row = tl.program_id(0)\n", "row = tl.program_id(0)  # my row\n\n")
    other = SOURCE.replace("e / tl.sum(e, 0)", "e / (tl.sum(e, 0) + 0.5)")
    with Compiler(cache) as one:
        one.check(SOURCE, softmax_trace(), ("sm_80",))
        one.check(moved, softmax_trace(), ("sm_80",))
        assert one.compiled == 1
        for source, data in [
            (other, softmax_trace()),
            (SOURCE, softmax_trace(n=127)),
            (SOURCE, softmax_trace(dtype=torch.float16)),
            (SOURCE, softmax_trace(num_warps=8)),
        ]:
            before = one.compiled
            one.check(source, data, ("sm_80",))
            assert one.compiled == before + 1


def test_a_refusal_is_not_remembered_and_keeps_its_own_line(cache):
    wrong = HEAD + "    x = x + ofsets" + TAIL
    data = traced("k", torch.zeros(64), torch.zeros(64), 60, 64, source=HEAD + TAIL)
    late = HEAD + "    x = x + tl.arange(0, 32)" + TAIL
    with Compiler(cache) as one:
        assert [one.check(source, data, ("sm_80",))[0].line for source in (wrong, "\n" + wrong)] == [20, 21]
        assert [one.check(source, data, ("sm_80",))[0].line for source in (late, "\n" + late)] == [20, 21]
    assert list(cache.iterdir()) == []


def test_the_cache_is_private_and_written_whole(cache):
    with Compiler(cache) as one:
        one.check(SOURCE, softmax_trace(), ("sm_80",))
    assert cache.stat().st_mode & 0o777 == 0o700
    [entry] = cache.iterdir()
    assert entry.suffix == ".json" and entry.stat().st_mode & 0o077 == 0
    entry.write_text('{"kernel": "softmax_kernel", "tar')
    with Compiler(cache) as again:
        assert again.check(SOURCE, softmax_trace(), ("sm_80",))[0].registers > 0
        assert again.compiled == 1


def test_a_folder_that_others_can_write_is_not_believed(cache):
    cache.mkdir()
    cache.chmod(0o777)
    with Compiler(cache) as one:
        one.check(SOURCE, softmax_trace(), ("sm_80",))
        one.check(SOURCE, softmax_trace(), ("sm_80",))
        assert one.compiled == 1
    assert list(cache.iterdir()) == []


def test_the_cache_is_where_the_environment_says(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_KERNEL_CACHE", str(tmp_path / "here"))
    assert compiler.Cache().folder == tmp_path / "here"
    monkeypatch.delenv("COURSE_KERNEL_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    assert compiler.Cache().folder.is_relative_to(tmp_path / "caches")


def test_a_crash_is_a_sentence_and_the_next_kernel_compiles(cache, monkeypatch):
    honest = compiler.compile_job

    def crashes(job):
        if job.launch.kernel == "copy_kernel":
            os.kill(os.getpid(), signal.SIGSEGV)
        return honest(job)

    monkeypatch.setattr(compiler, "compile_job", crashes)
    with Compiler(cache) as one:
        found = one.check(SOURCE, copy_trace(torch.zeros(8192)), ("sm_80",))
        assert found[0].error == "the compiler crashed on this kernel (SIGSEGV)"
        assert one.check(SOURCE, softmax_trace(), ("sm_80",))[0].error == ""


def test_a_killed_child_is_made_anew(cache):
    with Compiler(cache) as one:
        one.check(SOURCE, softmax_trace(), ("sm_80",))
        os.kill(one._child.pid, signal.SIGKILL)
        assert "crashed" in one.check(SOURCE, softmax_trace(num_warps=8), ("sm_80",))[0].error
        assert one.check(SOURCE, softmax_trace(num_warps=8), ("sm_80",))[0].error == ""


def test_a_compilation_without_end_is_ended(cache, tmp_path, monkeypatch):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    with Compiler(cache) as one:
        one.check(SOURCE, softmax_trace(), ("sm_80",))
        pid = one._child.pid
        start = time.monotonic()
        found = one.check(SOURCE, traced("endless_kernel", torch.zeros(1), 3), seconds=1)
        assert time.monotonic() - start < 5
        assert "not finished after 1 seconds" in found[0].error and "the time was used up" in found[1].error
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
        assert one.check(SOURCE, copy_trace(torch.zeros(8192)), ("sm_80",))[0].error == ""
    assert list(scratch.iterdir()) == []


def test_close_leaves_no_process(cache):
    one = Compiler(cache)
    one.start()
    pid = one._child.pid
    one.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_the_child_holds_nothing_of_its_parents(cache):
    reading, writing = os.pipe()
    with Compiler(cache) as one:
        one.start()
        one.check(SOURCE, softmax_trace(), ("sm_80",))
        os.close(writing)
        os.set_blocking(reading, False)
        assert os.read(reading, 1) == b""  # would block if the child still held the writing end
    os.close(reading)


# --------------------------------------------------------------------------------------------------------------------
# Triton is left as it was


@triton.jit
def sum_kernel(x_ptr, o_ptr, BLOCK: tl.constexpr):
    tl.store(o_ptr, tl.sum(tl.load(x_ptr + tl.arange(0, BLOCK)), 0))


def interpreted_sum():
    x, out = torch.arange(64.0), torch.zeros(1)
    with on_cpu():
        sum_kernel[(1,)](x, out, 64)
    return out.item()


def test_what_is_known_is_not_compiled_again(monkeypatch):
    cache = compiler.Cache(on_disk=False)
    first = compile_launches(SOURCE, softmax_trace(), cache=cache)
    monkeypatch.setattr(compiler, "compile_job", lambda job: pytest.fail(f"compiled again for {job.target}"))
    assert compile_launches("# a comment\n" + SOURCE, softmax_trace(), cache=cache) == first
    assert len(cache.known) == len(first) == 2


def test_interpret_compile_interpret_compile():
    def state():
        language = (tl.sum, tl.load, tl.tensor.__add__, JITFunction.run, JITFunction.__dict__.get("__call__"))
        return (*language, triton.runtime.driver._active, triton.knobs.cache.dir, dict(os.environ))

    before, descriptors = state(), sorted(os.listdir("/proc/self/fd"))
    assert interpreted_sum() == 2016
    first = compile_launches(SOURCE, softmax_trace())
    assert interpreted_sum() == 2016
    assert compile_launches(SOURCE, softmax_trace()) == first
    only(HEAD + "    x = x + tl.arange(0, 32)" + TAIL, traced("k", *[torch.zeros(64)] * 2, 60, 64, source=HEAD + TAIL))
    assert interpreted_sum() == 2016
    assert state() == before and sorted(os.listdir("/proc/self/fd")) == descriptors
    assert not sum_kernel.device_caches


def test_compiling_says_nothing(capfd):
    source = SOURCE.replace(
        "    row = tl.program_id(0)\n", '    row = tl.program_id(0)\n    tl.static_print("hello")\n'
    )
    assert only(source, softmax_trace()).error == ""
    only(HEAD + "    return x" + TAIL, traced("k", *[torch.zeros(64)] * 2, 60, 64, source=HEAD + TAIL))
    assert capfd.readouterr() == ("", "")


# --------------------------------------------------------------------------------------------------------------------
# Not all of it, and not yet

SPARED = '''
import torch
import triton
import triton.language as tl


@triton.jit
def sum_kernel(x_ptr, o_ptr, BLOCK: tl.constexpr):
    x = tl.load(x_ptr + tl.arange(0, BLOCK))
    if BLOCK == 32:
        tl.store(o_ptr + tl.arange(0, BLOCK), tl.cumsum(x, 0))
    elif BLOCK == 16:
        tl.store(o_ptr, tl.sum(x + tl.arange(0, 64), 0))
    else:
        tl.store(o_ptr, tl.max(x, 0))


@triton.jit
def dot_kernel(x_ptr, o_ptr, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)[:, None] * BLOCK + tl.arange(0, BLOCK)[None, :]
    x = tl.load(x_ptr + i)
    tl.store(o_ptr + i, tl.dot(x, x).to(o_ptr.dtype.element_ty))


@triton.jit
def add_kernel(x_ptr, o_ptr, BLOCK: tl.constexpr):
    tl.atomic_add(o_ptr, tl.sum(tl.load(x_ptr + tl.arange(0, BLOCK)), 0))
'''


def spared(kernel, *, block, before, target="sm_80", dtype=torch.float32, then=torch.float32, first=None, **options):
    """Was `block` (in dtype `then`) compiled whole, after `before` was? With what was found, and the number of jobs."""
    seen = compiler.Seen()
    one, other = (
        traced(kernel, torch.zeros(1 << 15, dtype=kind), torch.zeros(1 << 15, dtype=kind), size, source=SPARED, **asked)
        for size, kind, asked in ((before, dtype, first or {}), (block, then, options))
    )
    compile_launches(SPARED, one, (target,), seen=seen)
    seen.sparing = True
    found = compile_launches(SPARED, other, (target,), seen=seen)
    return bool(found) and found[0].registers > 0, found


def test_what_is_smaller_than_what_was_compiled_goes_through_the_front_end_alone():
    assert not spared("sum_kernel", block=64, before=128)[0]
    assert not spared("sum_kernel", block=64, before=128, then=torch.float16)[0]
    assert not spared("dot_kernel", block=16, before=32)[0]
    assert not spared("add_kernel", block=16, before=32)[0]


def test_what_is_larger_by_less_than_there_is_room_goes_through_the_front_end_alone():
    assert not spared("sum_kernel", block=256, before=128)[0]
    assert not spared("dot_kernel", block=32, before=16)[0]


def test_products_of_bfloat16_are_products_of_float16_on_a_device_that_has_both():
    assert not spared("dot_kernel", block=16, before=32, dtype=torch.float16, then=torch.bfloat16)[0]
    assert spared("dot_kernel", block=16, before=32, target="sm_75", dtype=torch.float16, then=torch.bfloat16)[0]


@pytest.mark.parametrize(
    "needs, times",
    [
        ({"registers": 32}, 3.98),
        ({"registers": 8}, 8),
        ({"registers": 200}, 1),
        ({"registers": 32, "warps": 32}, 1),
        ({"registers": 16, "warps": 32}, 2),
        ({"registers": 32, "stack": 8}, 1),
        ({"registers": 32, "shared": 60 << 10}, 1.36),
        ({}, 1),
    ],
    ids=lambda value: " ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else None,
)
def test_room_is_half_of_what_a_thread_and_a_block_have(needs, times):
    found = Compiled("k", "sm_80", shared_limit=163 << 10, **{"stack": 0, "shared": 0, "warps": 4, **needs})
    assert room(found) == pytest.approx(times, rel=0.01)


def test_a_launch_that_lets_a_thread_have_few_registers_leaves_less_room():
    assert not spared("sum_kernel", block=256, before=128)[0]
    assert spared("sum_kernel", block=512, before=128, first={"maxnreg": 32}, maxnreg=32)[0]


@pytest.mark.parametrize(
    "kernel, options",
    [
        ("sum_kernel", {"block": 4096, "before": 128}),
        ("sum_kernel", {"block": 32, "before": 128}),
        ("sum_kernel", {"block": 64, "before": 128, "num_warps": 8}),
        ("sum_kernel", {"block": 64, "before": 128, "then": torch.float64}),
        ("dot_kernel", {"block": 16, "before": 32, "then": torch.float16}),
        ("add_kernel", {"block": 16, "before": 32, "then": torch.float16}),
    ],
    ids=["larger", "another operation", "more warps", "float64", "a product of other types", "an atomic of others"],
)
def test_what_may_be_refused_where_the_first_was_not_is_compiled_whole(kernel, options):
    assert spared(kernel, **options)[0]


def test_the_front_end_finds_what_is_wrong_in_a_branch_that_constants_choose():
    whole, [found] = spared("sum_kernel", block=16, before=128)
    assert not whole and "16" in found.error and "64" in found.error and found.line == 13


def test_the_same_in_other_sizes_is_not_compiled_again():
    assert spared("sum_kernel", block=64, before=64) == (False, [])


def test_a_cache_keeps_both_halves_apart(cache):
    small = traced("sum_kernel", torch.zeros(64), torch.zeros(64), 64, source=SPARED)
    large = traced("sum_kernel", torch.zeros(128), torch.zeros(128), 128, source=SPARED)
    for compiled in (2, 0):
        seen = compiler.Seen()
        with Compiler(cache) as one:
            one.check(SPARED, large, ("sm_80",), seen=seen)
            seen.sparing = True
            assert one.check(SPARED, small, ("sm_80",), seen=seen)[0].registers == -1
            assert one.compiled == compiled
    with Compiler(cache) as one:  # nothing larger was compiled: the front end is not enough
        assert one.check(SPARED, small, ("sm_80",))[0].registers > 0
        assert one.compiled == 1


def test_what_was_ordered_is_compiled_once(cache):
    with Compiler(cache) as one:
        one.order(SOURCE, softmax_trace())
        one.order(SOURCE, softmax_trace())
        one.order(SOURCE, matmul_trace())
        assert len(one._ordered) == 4
        found = one.check(SOURCE, matmul_trace())
        assert [f.kernel for f in found] == ["matmul_kernel"] * 2 and found == compile_launches(SOURCE, matmul_trace())
        assert one.check(SOURCE, softmax_trace()) == compile_launches(SOURCE, softmax_trace())
        assert one.compiled == 4 and not one._ordered and not one._done


def test_the_next_file_does_not_wait_for_what_was_ordered_for_the_last(cache):
    endless = traced("endless_kernel", torch.zeros(4), 3)
    with Compiler(cache) as one:
        one.order(SOURCE, endless)
        one.drop()
        began = time.monotonic()
        assert not one.check(SOURCE, softmax_trace(), ("sm_80",), seconds=30)[0].error
        assert time.monotonic() - began < 25 and one.compiled == 1


def test_a_refusal_that_was_ordered_is_told(cache):
    wrong = HEAD + "    x = x + ofsets" + TAIL
    data = traced("k", torch.zeros(64), torch.zeros(64), 60, 64, source=HEAD + TAIL)
    with Compiler(cache) as one:
        one.order(wrong, data, ("sm_80",))
        assert one.check(wrong, data, ("sm_80",))[0].line == 20
        one.order(wrong, data, ("sm_80",))
        assert one.check("\n" + wrong, data, ("sm_80",))[0].line == 21


def test_a_process_that_dies_over_what_was_ordered_costs_that_alone(cache):
    with Compiler(cache) as one:
        one.order(SOURCE, softmax_trace(), ("sm_80",))
        os.kill(one._child.pid, signal.SIGKILL)
        assert "crashed" in one.check(SOURCE, softmax_trace(), ("sm_80",))[0].error
        assert not one.check(SOURCE, matmul_trace(), ("sm_80",))[0].error
