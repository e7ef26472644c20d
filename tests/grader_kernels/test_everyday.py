"""vector_add as people write it: what triton takes is judged, with all points, by `course kernel` and in a notebook."""

import types

import pytest

from grader_kernels import problem
from grader_kernels.judging.hands import LocalHands
from grader_kernels.judging.judge import Judge
from grader_kernels.judging.judgement import Judgement
from grader_kernels.judging.task import pose

BASE = """
import torch
import triton
import triton.language as tl

@triton.jit
def add_kernel(x_ptr, y_ptr, out_ptr, n, x_stride, y_stride, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = offsets < n
    x = tl.load(x_ptr + offsets * x_stride, mask=inside)
    y = tl.load(y_ptr + offsets * y_stride, mask=inside)
    tl.store(out_ptr + offsets, x + y, mask=inside)

def vector_add(x, y, block=256):
    n = x.shape[0]
    out = torch.empty(n, dtype=x.dtype, device=x.device)
    add_kernel[(triton.cdiv(n, block),)](x, y, out, n, x.stride(0), y.stride(0), BLOCK=block)
    return out
"""
SUM = "x + y, mask"
HEAD = "@triton.jit\ndef add_kernel("


def above(text):
    """Lines above the kernel."""
    return [(HEAD, f"{text}\n\n{HEAD}")]


def summed(text):
    """Another way of writing x + y."""
    return [(SUM, f"{text}, mask")]


def imported(line, old, new):
    """An import, and a word of the kernel that uses it."""
    return [("import triton.language as tl\n", f"import triton.language as tl\n{line}\n"), (old, new)]


HELPER = "@triton.jit\ndef {}:\n    {}\n"
IN_A_FUNCTION = [
    (HEAD, "def make():\n    @triton.jit\n    def add_kernel("),
    ("BLOCK: tl.constexpr):\n", "BLOCK: tl.constexpr):\n    "),
    ("    inside =", "        inside ="),
    ("    x = tl", "        x = tl"),
    ("    y = tl", "        y = tl"),
    ("    tl.store", "        tl.store"),
    ("\ndef vector_add", "    return add_kernel\n\nKERNEL = make()\n\ndef vector_add"),
    ("    add_kernel[", "    KERNEL["),
]
BITS = """
@triton.constexpr_function
def bits(n):
    count = 0
    while n > 1:
        n = n // 2
        count += 1
    return count
"""
POINT = "class Pair(NamedTuple):\n    first: object\n    second: object"
WAYS = {
    # words of the language under every import
    "the course's import": [
        ("import triton\nimport triton.language as tl\n", "from course.kernels import tl, triton\n")
    ],
    "handed on under other names": [
        ("import triton\nimport triton.language as tl\n", "from course.kernels import tl as L, triton as T\n"),
        ("tl.", "L."),
        ("triton.", "T."),
    ],
    "jit imported": [*imported("from triton import jit", HEAD, "@jit\ndef add_kernel(")],
    "jit under another name": imported("from triton import jit as kernel", HEAD, "@kernel\ndef add_kernel("),
    "triton under another name": imported("import triton as t", HEAD, "@t.jit\ndef add_kernel("),
    "triton.language in full": [("tl.arange", "triton.language.arange")],
    "the language under another name": imported("from triton import language as L", "tl.arange", "L.arange"),
    "a function imported": imported("from triton.language import load", "x = tl.load", "x = load"),
    "a function under another name": imported("from triton.language import store as put", "tl.store", "put"),
    "max imported": imported("from triton.language import maximum", SUM, "maximum(x + y, x + y), mask"),
    "a function given another name": [*above("load = tl.load"), ("x = tl.load", "x = load")],
    "math imported": imported("from triton.language import math", SUM, "math.abs(x) * 0 + x + y, mask"),
    "math under another name": imported("import triton.language.math as tlm", SUM, "tlm.abs(x) * 0 + x + y, mask"),
    "libdevice imported": imported(
        "from triton.language.extra import libdevice", SUM, "libdevice.trunc(x.to(tl.float32)) * 0 + x + y, mask"
    ),
    "libdevice of cuda": imported(
        "from triton.language.extra.cuda import libdevice", SUM, "libdevice.rint(x.to(tl.float32)) * 0 + x + y, mask"
    ),
    "libdevice under another name": imported(
        "import triton.language.extra.libdevice as ld", SUM, "ld.floor(x.to(tl.float32)) * 0 + x + y, mask"
    ),
    "a function of libdevice": imported(
        "from triton.language.extra.libdevice import trunc", SUM, "trunc(x.to(tl.float32)) * 0 + x + y, mask"
    ),
    "a function of libdevice under another name": imported(
        "from triton.language.extra.cuda.libdevice import round as to_whole",
        SUM,
        "to_whole(x.to(tl.float32)) * 0 + x + y, mask",
    ),
    "libdevice in full": summed("tl.extra.cuda.libdevice.ceil(x.to(tl.float32)) * 0 + x + y"),
    "a dtype with a name": [*above("wide = tl.float32"), *summed("x.to(wide) * 0 + x + y")],
    "cdiv imported": imported("from triton import cdiv", SUM, "x + y * cdiv(BLOCK, BLOCK), mask"),
    # functions under any name, at any depth
    "jit as a function": [
        (HEAD, "def add_kernel("),
        ("\ndef vector_add", "\nadd_kernel = triton.jit(add_kernel)\n\ndef vector_add"),
    ],
    "jit as a function, another name": [
        (HEAD, "def _add("),
        ("\ndef vector_add", "\nadd_kernel = triton.jit(_add)\n\ndef vector_add"),
    ],
    "a kernel made in a function": IN_A_FUNCTION,
    "a kernel in an if": [
        (HEAD, "if True:\n    @triton.jit\n    def add_kernel("),
        *IN_A_FUNCTION[1:6],
    ],
    "a kernel with another name at the launch": [("    add_kernel[", "    launch = add_kernel\n    launch[")],
    "a helper": [*above(HELPER.format("add(a, b)", "return a + b")), *summed("add(x, y)")],
    "a helper with another name": [
        *above(HELPER.format("add(a, b)", "return a + b") + "\nplus = add"),
        *summed("plus(x, y)"),
    ],
    "a helper by a call of jit": [
        *above("def _add(a, b):\n    return a + b\n\nadd = triton.jit(_add)"),
        *summed("add(x, y)"),
    ],
    "a helper with a default": [
        *above(HELPER.format("add(a, b, k: tl.constexpr = 2)", "return (a * k + b * k) / k")),
        *summed("add(x, y)"),
    ],
    "a helper that calls itself": [
        *above(
            HELPER.format(
                "twice(x, k: tl.constexpr)", "if k == 0:\n        return x\n    else:\n        return twice(x, k - 1)"
            )
        ),
        *summed("twice(x, 2) + y"),
    ],
    "a helper that gives two": [
        *above(HELPER.format("both(a, b)", "return a, b")),
        ("    tl.store", "    x, y = both(x, y)\n    tl.store"),
    ],
    "a tuple unpacked in a call": [
        *above(HELPER.format("add(a, b)", "return a + b")),
        ("    tl.store", "    both = (x, y)\n    tl.store"),
        *summed("add(*both)"),
    ],
    # constants
    "a constant of math": [*above("import math\nONE = tl.constexpr(math.log2(2))"), *summed("x * ONE + y")],
    "a constant of numpy": [*above("import numpy as np\nONE = tl.constexpr(np.exp(0))"), *summed("x * ONE + y")],
    "a constant of constants": [*above("TWO = 2\nONE = tl.constexpr(TWO // 2)"), *summed("x * ONE + y")],
    "a constant of a power": [*above("ONE = tl.constexpr(2 ** 10 / 1024)"), *summed("x * ONE + y")],
    "a constant of a limit": [
        *above("TOP = tl.constexpr(torch.finfo(torch.float32).max)"),
        *summed("tl.where(x > TOP, TOP, x + y)"),
    ],
    "a constant of a choice": [*above("ONE = tl.constexpr(1 if 2 > 1 else 3)"), *summed("x * ONE + y")],
    "a constant on the left": [
        *above("ONE = tl.constexpr(1)"),
        ("tl.program_id(0) * BLOCK", "ONE * tl.program_id(0) * BLOCK"),
    ],
    "a constant as a default": [
        *above("ONE = tl.constexpr(1)"),
        ("BLOCK: tl.constexpr):", "BLOCK: tl.constexpr, K: tl.constexpr = ONE):"),
        *summed("x * K + y"),
    ],
    "a number of the module as a default": [
        *above("ONE = 3 - 2"),
        ("BLOCK: tl.constexpr):", "BLOCK: tl.constexpr, K: tl.constexpr = ONE):"),
        *summed("x * K + y"),
    ],
    "infinity as a default": [
        *above("import math"),
        ("BLOCK: tl.constexpr):", "BLOCK: tl.constexpr, K: tl.constexpr = math.inf):"),
        *summed("tl.where(x < K, x + y, 0.0)"),
    ],
    "a power of a constexpr": [("* BLOCK +", "* (BLOCK ** 1) +")],
    "a constexpr function": [*above(BITS), ("* BLOCK +", "* (2 ** bits(BLOCK)) +")],
    # annotations and options
    "a pointer's annotation": [("x_ptr, y_ptr", "x_ptr: torch.Tensor, y_ptr: 'a pointer'")],
    "an annotation that is a call": [("x_ptr, y_ptr", "x_ptr: tl.pointer_type(tl.float32), y_ptr")],
    "a return annotation": [("tl.constexpr):", "tl.constexpr) -> None:")],
    "a helper's return annotation": [
        *above(HELPER.format("add(a, b) -> tl.tensor", "return a + b")),
        *summed("add(x, y)"),
    ],
    "an annotation as text": [("BLOCK: tl.constexpr", "BLOCK: 'tl.constexpr'")],
    "constexpr imported": imported("from triton.language import constexpr", "BLOCK: tl.constexpr", "BLOCK: constexpr"),
    "the option launch_metadata": [
        (HEAD, "def about(grid, kernel, args):\n    return {}\n\n@triton.jit(launch_metadata=about)\ndef add_kernel("),
    ],
    "the option repr": [(HEAD, "@triton.jit(repr=lambda info: 'add')\ndef add_kernel(")],
    "the option do_not_specialize": [
        (HEAD, "STEADY = ['seed']\n\n@triton.jit(do_not_specialize=STEADY)\ndef add_kernel("),
        ("BLOCK: tl.constexpr):", "seed, BLOCK: tl.constexpr):"),
        ("y.stride(0), BLOCK", "y.stride(0), 7, BLOCK"),
    ],
    "the option debug": [(HEAD, "@triton.jit(debug=False)\ndef add_kernel(")],
    "the option noinline": [
        *above("@triton.jit(noinline=True)\ndef nothing(n):\n    return n * 0\n"),
        *summed("x + y + nothing(n)"),
    ],
    # statements
    "isinstance": [("    tl.store", "    if isinstance(x, tl.tensor):\n        x = x + 0\n    tl.store")],
    "isinstance of a constexpr": [("    tl.store", "    if isinstance(BLOCK, int):\n        x = x + 0\n    tl.store")],
    "an f-string printed": [("    tl.store", "    tl.static_print(f'BLOCK is {BLOCK}')\n    tl.store")],
    "an f-string in an assertion": [
        ("    tl.store", "    tl.static_assert(BLOCK >= 1, f'BLOCK is {BLOCK}')\n    tl.store")
    ],
    "prints left in": [
        ("    tl.store", "    tl.device_print('pid', tl.program_id(0))\n    print('x', x)\n    tl.store")
    ],
    "an assertion": [("    tl.store", "    assert BLOCK > 0, 'no block'\n    tl.store")],
    "a wrapped modulus": [("    inside =", "    offsets = (\n        offsets\n        % 1048576\n    )\n    inside =")],
    "methods of tiles": summed("x.abs() * 0 + x + y"),
    "a loop variable as a tensor": [
        ("    tl.store", "    for j in range(0, 1):\n        x += j.to(x.dtype)\n    tl.store")
    ],
    "a name that is not ASCII": [("x = tl.load", "größe = n\n    x = tl.load"), ("offsets < n", "offsets < n")],
    "named tuples": [
        ("import torch\n", "import torch\nfrom typing import NamedTuple\n"),
        *above(POINT),
        ("    tl.store", "    pair = Pair(x, y)\n    tl.store"),
        *summed("pair.first + pair.second"),
    ],
    "a named tuple by a call": [
        ("import torch\n", "import torch\nfrom collections import namedtuple\n"),
        *above("Pair = namedtuple('Pair', ['first', 'second'])"),
        ("    tl.store", "    pair = Pair(x, y)\n    tl.store"),
        *summed("pair.first + pair.second"),
    ],
    "a named tuple as an argument": [
        ("import torch\n", "import torch\nfrom collections import namedtuple\n"),
        *above("Pair = namedtuple('Pair', ['first', 'second'])"),
        ("x_ptr, y_ptr, out_ptr", "pointers, out_ptr"),
        ("](x, y, out", "](Pair(x, y), out"),
        ("x_ptr +", "pointers.first +"),
        ("y_ptr +", "pointers.second +"),
    ],
    # around the kernel
    "the tutorials' device": above("DEVICE = triton.runtime.driver.active.get_active_torch_device()"),
    "the number of multiprocessors": above(
        "FACTS = triton.runtime.driver.active.utils.get_device_properties(0)\nMANY = FACTS['multiprocessor_count']"
    ),
    "the target": above("NVIDIA = triton.runtime.driver.active.get_current_target().backend == 'cuda'"),
    "the interpreter's variable": [
        ("import torch\n", "import os\nos.environ['TRITON_INTERPRET'] = '1'\nimport torch\n")
    ],
    "heuristics": [
        (HEAD, "@triton.heuristics({'ONE': lambda args: args['n'] // args['n']})\n" + HEAD),
        ("BLOCK: tl.constexpr):", "BLOCK: tl.constexpr, ONE: tl.constexpr):"),
        *summed("x * ONE + y"),
    ],
}


def written(edits):
    """The base with its edits. Each text stands in it."""
    source = BASE
    for old, new in edits:
        assert old in source, old
        source = source.replace(old, new)
    return source


@pytest.fixture(scope="module")
def judge():
    with Judge() as judge:
        yield judge


@pytest.mark.parametrize("edits", WAYS.values(), ids=WAYS)
def test_it_gets_all_points(judge, edits):
    found = judge.judge("vector_add", written(edits), seed=3)
    assert found.full, (found.reason, [case.says for case in found.cases], [group.says for group in found.groups])


@pytest.mark.parametrize("edits", WAYS.values(), ids=WAYS)
def test_a_notebook_says_the_same(edits, tmp_path, monkeypatch):
    """Its kernels are taken out of the process that holds them, not out of a file."""
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    path = tmp_path / "cell.py"
    path.write_text(written(edits))
    module = types.ModuleType("cell")
    exec(compile(path.read_text(), str(path), "exec", dont_inherit=True), vars(module))
    task = pose(problem.load("vector_add"), 3)
    task.cases = [case for case in task.cases if case.compile] + task.cases[:2]
    found = Judgement(task, LocalHands(module.vector_add), targets=("sm_80",)).verdict()
    assert found.full, (found.reason, [case.says for case in found.cases], [group.says for group in found.groups])


REFUSED = {
    "a plain global": ([*above("ONE = 1"), *summed("x * ONE + y")], "`ONE` is a plain global variable"),
    "other without a mask": ([("x_stride, mask=inside)", "x_stride, other=0.0)")], "`other` cannot be provided"),
    "a function's argument": (
        [("def make():", "def make(scale):"), ("make()", "make(1)"), *summed("x * scale + y")],
        "hand it over as a tl.constexpr parameter",
    ),
    "assembly": (
        summed("tl.inline_asm_elementwise('', '', [x], tl.float32, True, 1) + y"),
        "write it with tl functions",
    ),
    "torch inside": (summed("torch.add(x, y)"), "torch.add"),
    "a chain of comparisons": ([("offsets < n", "0 <= offsets < n")], r"(a < b) & (b < c)"),
}


@pytest.mark.parametrize("edits, says", REFUSED.values(), ids=REFUSED)
def test_what_stays_refused_is_told_with_the_way_out(judge, edits, says):
    if "function's" in says or edits[0][0] == "def make():":
        edits = IN_A_FUNCTION + edits
    found = judge.judge("vector_add", written(edits), seed=3)
    told = [
        found.reason,
        *(case.says for case in found.cases),
        *(says for group in found.groups for says in group.says),
    ]
    assert not found.full and any(says in text for text in told), told
