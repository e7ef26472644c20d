"""Random kernels: what the run context computes is what they mean; triton's own interpreter, which knows less, and its
compiler are asked as well. How they are drawn, and what they mean: random_kernels.
"""

import collections
import os
import pickle
import re
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import random_kernels
import triton
from random_kernels import FLOATS, WHOLE, Kernel, arguments_of, launched, loaded, modules
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from grader_kernels.interpreter.context import on_cpu

ROOT = Path(__file__).resolve().parents[2]
FEW, MANY, COMPILED = range(150), range(1000, 3600), range(60)


def same(found: float, meant: float) -> bool:
    return found == meant or (found != found and meant != meant)


def difference(kernel: Kernel, stored: dict[str, list] | str) -> str:
    """The first value that is not what it means, as a sentence; empty when there is none."""
    if isinstance(stored, str):
        return f"{kernel.name}: {stored}"
    for name, (_, meant) in kernel.outputs.items():
        for place, (found, value) in enumerate(zip(stored[name], meant, strict=True)):
            if not same(found, value):
                return f"{kernel.name}: element {place} of {name} is {found}, not {value}\n{kernel.source}"
    return ""


def ours(kernels: list[Kernel], folder: Path) -> dict[str, dict[str, list] | str]:
    """What the run context stores for every kernel."""
    stored = {}
    with warnings.catch_warnings(), on_cpu():
        warnings.simplefilter("ignore")
        for path, part in modules(kernels, folder):
            module = loaded(path)
            stored |= {kernel.name: launched(getattr(module, kernel.name), arguments_of(kernel)) for kernel in part}
    return stored


@pytest.fixture(scope="module")
def few() -> list[Kernel]:
    return [random_kernels.kernel(seed) for seed in FEW]


def test_random_kernels_compute_what_they_mean(few, tmp_path):
    stored = ours(few, tmp_path)
    assert [text for kernel in few if (text := difference(kernel, stored[kernel.name]))] == []


WORDS = "+ - * / // % & | ^ << >> < <= > >= == != ~ while if mask= scaled( G0 G1 G2 C0 C1 associative_scan".split()
WORDS += "where fma abs maximum minimum floor ceil sqrt sum max min argmax argmin xor_sum cumsum cumprod".split()
WORDS += ["trans", "flip", "sort", " in range(", " in tl.range(", " in tl.static_range("]
WORDS += [f".to(tl.{kind})" for kind in (*WHOLE, *FLOATS)]


def test_random_kernels_are_various(few):
    """Every operator, type and kind of loop is among the few."""
    text = "\n".join(kernel.source for kernel in few)
    assert [word for word in WORDS if word not in text] == []


def test_a_wrong_number_is_a_sentence():
    kernel = random_kernels.kernel(0)
    right = {name: list(values) for name, (_, values) in kernel.outputs.items()}
    assert difference(kernel, right) == ""
    name = next(iter(right))
    right[name][1] += 1
    assert difference(kernel, right).startswith(f"{kernel.name}: element 1 of {name} is ")
    assert difference(kernel, "ValueError: no") == f"{kernel.name}: ValueError: no"


SIGNATURE = {**{f"int{n}": f"i{n}" for n in (8, 16, 32, 64)}, **{f"uint{n}": f"u{n}" for n in (8, 16, 32, 64)}}
SIGNATURE |= {"float16": "fp16", "bfloat16": "bf16", "float32": "fp32", "float64": "fp64"}


@pytest.mark.slow
def test_the_compiler_takes_random_kernels(tmp_path):
    """Their asserted types too. A kernel that is refused is a fault of what draws it."""
    kernels = [random_kernels.kernel(seed) for seed in COMPILED]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for path, part in modules(kernels, tmp_path):
            module = loaded(path)
            for kernel in part:
                types = {name: f"*{SIGNATURE[kind]}" for name, (kind, _) in {**kernel.inputs, **kernel.outputs}.items()}
                types |= {"n": "i32", "m": "i32", "f": "fp32"} | dict.fromkeys(kernel.constants, "constexpr")
                source = ASTSource(getattr(module, kernel.name), types, dict(kernel.constants))
                assert triton.compile(source, target=GPUTarget("cuda", 80, 32)).asm["ptx"]


# triton's own interpreter --------------------------------------------------------------------------------------------

WRAPS = "a sum of a whole tile that wraps is an error"
KNOWN = {  # what it does otherwise, and what shows that a kernel asks for it
    "the variable of a loop is a number of Python": r" in (tl\.)?range\(",
    "a float argument is a number of Python": r"\bf\b",
    "a global constant makes a constant of a tensor": r"\bG\d",
    "bfloat16 is rounded toward zero, or computed on its bits": "bfloat16",
    "~ of an unsigned number is an error": "~",
    "a shift changes its operands": ">>",
    "tl.fma rounds twice": r"tl\.fma",
    "floats that do not fit a whole type wrap": r"\.to\(tl\.u?int",
    "a sum of truths is `or`": "[<>=]",
}


def tritons(kernels: list[Kernel], folder: Path) -> dict[str, dict[str, list] | str]:
    """What triton's interpreter stores, run in a process of its own."""
    asked = {path.name: {k.name: arguments_of(k) for k in part} for path, part in modules(kernels, folder)}
    (folder / "asked.pickle").write_bytes(pickle.dumps(asked))
    environment = {**os.environ, "TRITON_INTERPRET": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, random_kernels.__file__, str(folder)]
    subprocess.run(command, check=True, env=environment, cwd=folder, timeout=3000)
    return pickle.loads((folder / "stored.pickle").read_bytes())


def explained(kernel: Kernel, text: str) -> str:
    """The first thing in a kernel that triton's interpreter is known to do otherwise, empty when there is none."""
    body = kernel.source.partition("):\n")[2]
    if "OverflowError" in text and "out of bounds for int32" in text and "tl.sum(" in body:
        return WRAPS
    return next((name for name, shows in KNOWN.items() if re.search(shows, body)), "")


def test_plain_random_kernels_are_tritons_too(tmp_path):
    """Without what its interpreter is known to do otherwise, it computes what they mean."""
    kernels = [random_kernels.kernel(seed, plain=True) for seed in range(40)]
    stored = tritons(kernels, tmp_path)
    assert [text for kernel in kernels if (text := difference(kernel, stored[kernel.name]))] == []


@pytest.mark.slow
@pytest.mark.parametrize("plain", [False, True])
def test_many_random_kernels(plain, tmp_path):
    """Run with -s to see how many triton's interpreter computes otherwise, and why."""
    kernels = [random_kernels.kernel(seed, plain) for seed in MANY]
    stored = ours(kernels, tmp_path)
    assert [text for kernel in kernels if (text := difference(kernel, stored[kernel.name]))] == []

    stored = tritons(kernels, tmp_path)
    texts = {kernel: difference(kernel, stored[kernel.name]) for kernel in kernels}
    why = collections.Counter(explained(kernel, text) for kernel, text in texts.items() if text)
    print(f"\nof {len(kernels)} kernels triton's interpreter computes {why.total()} otherwise:")
    print(*why.most_common(), sep="\n")
    assert why[""] == 0
    assert not plain or set(why) <= {WRAPS, ""}
