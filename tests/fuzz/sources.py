"""Source that takes its readers long: pieces of Python and of what only IPython reads, repeated up to a megabyte.

`timed` is the oracle: processor time of each reader in a fork of its own, which the kernel ends when it takes too long.
What it is not: a judgement of what was read (tests/course/test_cells.py, tests/grader_kernels/test_language.py).
"""

from __future__ import annotations

import itertools
import json
import os
import random
import resource
import time
from collections.abc import Callable

from autograder.judging.judge import kernels_of
from autograder.judging.needed import Cell, needed
from course.checking import cells, forbidden, foundations
from grader_kernels.language import LanguageError

LARGEST = 1_000_000
LIMIT = 2.0  # seconds of processor time for one reader; the slowest takes about 1.3 on two busy cores of an AMD EPYC
UNITS = (
    *" \t\n\r\f\0([{'%!?;,/-*#a1\u0301\ufb01\xa0",
    *("()", "\\\n", "'" * 3, '"""\n', "??", "%a\n", "!a\n", "a?\n", "a? ", ">>>", ">>> a\n", "In [1]: a\n", "**", "= "),
    *("a=b\nb=a\n", "x = x.T\n", "x = x[0]\n", "a = !b\n", "a = %b\n", "a: b = c\n", "x = tl.load(x)\n", "a\n", "a;"),
    *(
        "@a\n",
        "f'{",
        "f'{{",
        "f'{a!r:{b}}' ",
        "lambda x:",
        "not ",
        "a+",
        "a and ",
        "a<",
        "a,",
        "a.",
        "a()",
        "a[0]",
        "a=",
    ),
    *(
        "(a:=",
        "f(a=",
        "{a:",
        "a if b else ",
        "(a for a in b) ",
        "[a for a in ",
        "'a' ",
        "a \\\n",
        "await a\n",
        "f(a)\n",
    ),
    *("@triton.jit\ndef f():pass\n", "@triton.jit\ndef f(x):\n y = 1+1+1+1+1+x\n", "def f(): return f()\n", "return\n"),
    *(
        "import a as b, b as a\n",
        "global a\n",
        "nonlocal a\n",
        "try:\n pass\nexcept:pass\n",
        "match a:\n case 1:pass\n",
    ),
    *("if a:pass\n", "elif b:pass\n", "%%a\n", "%%time\n", "%time a\n", "%%capture\n", "class A:pass\n", "1_"),
)


def _until(size: int, piece: Callable[[int], str]) -> str:
    """Numbered pieces, as many as fit."""
    found, left = [], size
    for number in itertools.count():
        found.append(piece(number))
        left -= len(found[-1])
        if left < 0:
            return "".join(found[:-1])


SHAPES: dict[str, Callable[[int], str]] = {
    "a chain of names": lambda size: _until(size, lambda n: f"n{n} = n{n + 1}\n"),
    "functions that use each other": lambda size: _until(
        size, lambda n: f"def n{n}(): return n{n + 1}() + n{n + 2}()\n"
    ),
    "kernels that call each other": lambda size: _until(
        size, lambda n: f"@triton.jit\ndef n{n}(x):\n n{n + 1}(x); n{n + 2}(x); n{n + 1}(x)\n"
    ),
    "constants out of constants": lambda size: "n0 = 1\n" + _until(size, lambda n: f"n{n + 1} = n{n} + n{n}\n"),
    "a staircase": lambda size: _until(size, lambda n: " " * (n % 90) + ("if a:\n" if n % 90 < 89 else "a\n")),
    "functions in functions": lambda size: _until(
        size, lambda n: " " * (n % 90) + (f"def n{n}(x):\n" if n % 90 < 89 else "a\n")
    ),
    "blanks before a word": lambda size: "def (:\n" + " " * size + "x",
    "blanks after a word": lambda size: "x" + " " * size + "?",
    "one long word": lambda size: f"{'a' * size} ?",
    "a kernel of sums": lambda size: "@triton.jit\ndef n0(x):\n" + (" y = " + "1+" * 100 + "x\n") * (size // 206),
    "many classes": lambda size: _until(size, lambda n: f"class n{n}:0\n"),
    "many functions": lambda size: _until(size, lambda n: f"def n{n}():n{n + 1}\n"),
    "many functions in one": lambda size: "def f():\n" + _until(size, lambda n: f" def n{n}():0\n"),
    "many classes in one": lambda size: "class f:\n" + _until(size, lambda n: f" class n{n}:0\n"),
    "many lambdas": lambda size: _until(size, lambda n: f"n{n}=lambda:n{n + 1}\n"),
    "many sets": lambda size: _until(size, lambda n: f"n{n}={{n for n in n{n + 1}}}\n"),
    "decorated functions": lambda size: _until(size, lambda n: f"@n{n + 1}\ndef n{n}():0\n"),
    "names around lambdas in a function": lambda size: (
        "def f():\n" + _until(size // 2, lambda n: f" n{n}=0\n") + " def g():\n" + "  lambda:0\n" * (size // 22)
    ),
    "imports around lambdas": lambda size: (
        "def f():\n" + _until(size // 2, lambda n: f" import n{n}\n") + " lambda:0\n" * (size // 22)
    ),
    "globals around lambdas": lambda size: (
        f"def f():\n global {_until(size // 2, lambda n: f'n{n},')}n\n" + " lambda:0\n" * (size // 22)
    ),
    "a long body in functions in functions": lambda size: (
        "".join(" " * n + f"def f{n or ''}():\n" for n in range(97)) + " " * 97 + "a;" * (size // 2)
    ),
    "comprehensions in targets": lambda size: (
        f"def f():\n x = {'[0 for a[' * 90}{'a,' * (size // 2)}a{'] in b]' * 90}\n"
    ),
    "a mistake below": lambda size: "a = 1\n" * (size // 6) + "nonlocal a\n",
    "many mistakes": lambda size: "def f(a, a): pass\n" * (size // 18),
}


def longest(shape: str) -> int:
    """How many characters of a shape are about the most that is read (cells.MOST_TOKENS)."""
    few, many = 1000, LARGEST
    while many - few > 1000:
        size = (few + many) // 2
        few, many = (size, many) if cells._tokens(SHAPES[shape](size)) <= cells.MOST_TOKENS else (few, size)
    return few


def repeated(chance: random.Random, size: int) -> str:
    """Up to `size` characters of one unit, or of two in each other, sometimes with an end of its own."""
    first, second = chance.choice(UNITS), chance.choice(("", "", chance.choice(UNITS)))
    between = chance.choice((1, 1, 20, 90))
    unit = first * between + second
    text = (unit * (size // max(len(unit), 1) + 1))[:size]
    return (
        chance.choice(("", "", "x = 1\n", "def (:\n", "%%time\n", "!a\n"))
        + text
        + chance.choice(("", "", "?", "\n!a", "x"))
    )


def make(chance: random.Random) -> bytes:
    """Bytes for the fuzzers: one cell, or several."""
    size = chance.choice((10, 1000, 30_000, 200_000))
    source = chance.choice((repeated, lambda c, n: c.choice(list(SHAPES.values()))(n)))(chance, size)
    return source.encode("utf-8", "surrogatepass")


def feed(data: bytes) -> bool:
    """Every reader ends in time; True where the source was read."""
    source = data.decode("utf-8", "replace")
    for name, reader in READERS.items():
        began = time.process_time()
        reader(source)
        seconds = time.process_time() - began
        if seconds > LIMIT:  # what is imported at the first call is not the reader's
            seconds = best(reader, source)
        assert seconds < LIMIT, f"{name} took {seconds:.1f} s"
    return not cells.read(source).error


# --------------------------------------------------------------------------------------------------------------------
# The readers


def _kernels(source: str) -> None:
    for name in ("f", "n0"):
        try:
            kernels_of([cells.read(source).python], {name})
        except LanguageError:
            pass


def _foundations(source: str) -> None:
    reading = cells.read(source)
    notebook = forbidden.read_notebook([reading])
    foundations.Stopped().note("f", reading, "an error")
    foundations.shaky("n0", notebook.mentions, lambda name: len(name) % 2 == 0)
    foundations.built_on("n0", notebook.mentions, ("n5", "n7"))


def _findings(source: str) -> None:
    notebook = forbidden.read_notebook([cells.read(source)])
    for name in ("f", "n0"):
        notebook.findings(name, ("softmax", "attention", "autograd"))


READERS: dict[str, Callable[[str], object]] = {
    "cells": cells.read,
    "cells, line by line": lambda source: cells.read_all(source.splitlines(True)),
    "needed": lambda source: needed([Cell("a", "", source)], [cells.read(source)]),
    "kernels": _kernels,
    "foundations": _foundations,
    "findings": _findings,
}


def timed(reader: Callable[[str], object], source: str, most: int = 10) -> float:
    """Seconds of processor time beyond what `cells.read` takes, which comes first; inf where it was ended or raised."""
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        _measure(reader, source, most, theirs)
    os.close(theirs)
    with os.fdopen(ours, "rb") as said:
        found = said.read()
    os.waitpid(child, 0)
    return json.loads(found) if found else float("inf")


def best(reader: Callable[[str], object], source: str) -> float:
    """`timed`, and where that is too long again, twice: neighbours on the machine only add to it."""
    found = timed(reader, source)
    for _ in range(2):
        found = min(found, timed(reader, source)) if found >= LIMIT else found
    return found


def _measure(reader: Callable[[str], object], source: str, most: int, pipe: int) -> None:
    """In a fork, which ends here."""
    try:
        spent = int(time.process_time()) + most
        resource.setrlimit(resource.RLIMIT_CPU, (spent, spent + 1))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if reader is not cells.read:
            cells.read(source)
        began = time.process_time()
        reader(source)
        os.write(pipe, json.dumps(time.process_time() - began).encode())
    finally:
        os._exit(0)
