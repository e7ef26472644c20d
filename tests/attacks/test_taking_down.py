"""THREATS.md, lines 28 to 35: taking the grader down. Each costs its own exercise or itself, and the run goes on."""

# ruff: noqa: E501 - attacks are programs in strings

import json
import os

import nbformat
import pytest
from attack_class import ORIENTATION, SHORT, Attack, Class, check_nothing_outside_changed, check_verdict, controls

BAD = "def fix_the_stub(x):\n    return x + 1\n"
PLAIN = {"fix_the_stub": BAD}
HEADS = {
    "fix_the_stub": "def fix_the_stub(x):\n    ",
    "program_offsets": "def program_offsets(pid, block, n):\n    ",
    "count_bytes": "def count_bytes(inputs, out_dtype):\n    ",
    "roofline": "def roofline(intensity, peak, bandwidth):\n    ",
    "fusion_bytes": "def fusion_bytes(n, dtype):\n    ",
}
OFFSETS = {"program_offsets": 2.0}


def each(**bodies):
    """Exercises whose functions do these things."""
    return {name: HEADS[name] + body.replace("\n", "\n    ") + "\n" for name, body in bodies.items()}


def cells(name, line, why, *before, **more):
    """Attacks from cells: the honest exercise beside them counts."""
    more = {"solved": ("program_offsets",), "scores": OFFSETS} | more
    return Attack(name, line, why, write=PLAIN, before=before, **more)


CODE = [
    Attack(
        "loops", 28, "endless loops: in Python, deaf to signals, in native code that holds the GIL",
        write=each(
            fix_the_stub="while True: pass",
            count_bytes="import signal\nfor s in (2, 15, 1):\n    signal.signal(s, signal.SIG_IGN)\nwhile True: pass",
            roofline="import re\nre.match(r'(a+)+$', 'a' * 60 + 'b')",
        ),
        solved=("program_offsets",), scores=OFFSETS,
        states=dict.fromkeys(("fix_the_stub", "count_bytes", "roofline"), "timed_out"), limits=SHORT,
    ),
    cells("loop_in_a_cell", 28, "an endless loop before everything else", "while True:\n    pass", limits=SHORT),
    Attack(
        "memory", 29, "a 100 GB tensor, slow growth, many small objects, memory disks",
        write=each(
            fix_the_stub="import torch\nreturn torch.empty(25_000_000_000)",
            count_bytes="held = []\nwhile True: held.append(bytearray(20 << 20))",
            roofline="held = []\nwhile True: held.append([object() for _ in range(100_000)])",
            fusion_bytes="for disk in ('/dev/shm/a', '/tmp/a'):\n    with open(disk, 'wb') as file:\n"
            "        while True: file.write(b'x' * (1 << 20))",
        ),
        solved=("program_offsets",), scores=OFFSETS,
    ),
    cells("memory_in_a_cell", 29, "memory in a cell, in several processes",
          "import os, time\nfor _ in range(6):\n    if not os.fork():\n        held = b'x' * (400 << 20)\n        time.sleep(30)\n"
          "time.sleep(6)"),
    cells("disks_in_cells", 29, "both memory disks filled, sparse files, many files",
          "import os\nfor disk in ('/dev/shm', '/tmp'):\n    try:\n        with open(disk + '/full', 'wb') as file:\n"
          "            while True: file.write(b'x' * (1 << 20))\n    except OSError as error:\n        print(error)\n"
          "try:\n    os.truncate('/tmp/full', 1 << 50)\nexcept OSError as error:\n    print(error)",
          "import os\nfor i in range(100_000):\n    os.mkdir(f'/dev/shm/{i}')"),
    Attack(
        "bombs", 30, "fork bomb, thread bomb, file descriptors",
        write=each(
            fix_the_stub="import os\nwhile True: os.fork()",
            count_bytes="import threading, time\nwhile True: threading.Thread(target=time.sleep, args=(60,)).start()",
            roofline="import os\nheld = []\nwhile True: held.append(os.dup(0))",
        ),
        solved=("program_offsets",), scores=OFFSETS,
    ),
    cells("bomb_in_a_cell", 30, "a fork bomb in a cell", "import os\nwhile True:\n    os.fork()"),
    Attack(
        "exits", 31, "exits and crashes",
        write=each(
            fix_the_stub="import os\nos._exit(0)",
            count_bytes="import ctypes\nctypes.string_at(0)",
            roofline="import os\nos.abort()",
            fusion_bytes="import os, signal\nos.kill(os.getpid(), signal.SIGKILL)",
        ),
        solved=("program_offsets",), scores=OFFSETS,
        states=dict.fromkeys(("fix_the_stub", "count_bytes", "roofline", "fusion_bytes"), "crashed"),
    ),
    Attack(
        "more_exits", 31, "SystemExit, recursion, native stack overflow, keyboard interrupts",
        write=each(
            fix_the_stub="import sys\nsys.exit(0)",
            count_bytes="return count_bytes(inputs, out_dtype)",
            roofline="import sys\nsys.setrecursionlimit(10**9)\nreturn roofline(intensity, peak, bandwidth)",
            fusion_bytes="raise KeyboardInterrupt",
        ),
        solved=("program_offsets",), scores=OFFSETS,
    ),
    cells("exits_in_cells", 31, "cells that exit, crash and recurse",
          "raise SystemExit", "import ctypes\nctypes.string_at(0)", "import os\nos._exit(3)",
          "import sys\nsys.setrecursionlimit(10**9)\ndef f(): return f()\nf()"),
    cells("floods", 32, "600 MB printed, many lines, a large display, endless updates",
          "text = 'x' * (6 << 20)\nfor _ in range(100):\n    print(text)",
          "for i in range(1_000_000):\n    print(i)",
          "from IPython.display import display, HTML\ndisplay(HTML('<b>' + 'y' * (50 << 20)))\n"
          "import os\nos.write(1, b'z' * (1 << 20))\nos.write(2, b'z' * (1 << 20))",
          "from IPython.display import display\nwhile True:\n    display('x', display_id='a', update=True)", limits=SHORT),
    Attack(
        "asks", 33, "reads from a keyboard nobody sits at",
        before=("input('name? ')", "breakpoint()", "import getpass\ngetpass.getpass()", "import sys\nsys.stdin.read()",
                "import os\nos.read(0, 1)", "import pdb\npdb.set_trace()"),
        write=each(fix_the_stub="return input()", count_bytes="breakpoint()", roofline="import os\nreturn os.read(0, 9)"),
        solved=("program_offsets",), scores=OFFSETS,
    ),
    Attack(
        "sleeps", 35, "each call stops just before its limit: all calls together have a limit too",
        write=each(
            fix_the_stub=f"import time\ntime.sleep({SHORT.call - 0.7})\nreturn 2 * x",
            count_bytes=f"import time\ntime.sleep({SHORT.call - 0.7})\nreturn 1",
        ),
        solved=("program_offsets",), scores=OFFSETS,
        states={"fix_the_stub": "timed_out", "count_bytes": "timed_out"}, limits=SHORT,
    ),
    Attack(
        "never_ends", 35, "destructors and exit handlers that never return, threads that outlive their cell",
        before=(
            "import atexit, threading, time\n"
            "class Slow:\n    def __del__(self):\n        time.sleep(3600)\n"
            "kept = Slow()\natexit.register(time.sleep, 3600)\n"
            "def burn():\n    while True: pass\n"
            "threading.Thread(target=burn, daemon=True).start()\nthreading.Thread(target=time.sleep, args=(3600,)).start()",
        ),
        write=each(fix_the_stub="Slow()\nreturn 2 * x"),
        solved=("program_offsets",), scores=OFFSETS, states={"fix_the_stub": "timed_out"}, limits=SHORT,
    ),
]  # fmt: skip


def edited(change):
    def edit(raw):
        notebook = json.loads(raw)
        change(notebook)
        return json.dumps(notebook).encode()

    return edit


def same_ids(notebook):
    for cell in notebook["cells"]:
        cell["id"] = "same"


def no_ids(notebook):
    for cell in notebook["cells"]:
        cell.pop("id")
    notebook["nbformat_minor"] = 0


def strange_types(notebook):
    notebook["cells"] += [None, 5, [], {"cell_type": 7, "source": {"a": 1}, "metadata": []}, {"source": 3}]
    notebook["metadata"] = []


def lone_surrogates(notebook):
    notebook["cells"].append({"cell_type": "code", "source": "x = '\ud800\x00'", "metadata": {}, "outputs": []})


def version_3(raw):
    old = nbformat.convert(nbformat.reads(raw, 4), 3)
    for sheet in old.worksheets:
        for cell in sheet.cells:
            cell.setdefault("metadata", {})
    return nbformat.writes(old, 3).encode()


def file(name, why, raw, state="unreadable", **more):
    solved = {} if state == "unreadable" else {"scores": OFFSETS}
    return Attack(name, 34, why, write=PLAIN, solved=("program_offsets",), raw=raw, state=state, **(solved | more))


FILES = [
    file("empty", "no bytes", lambda raw: b""),
    file("truncated", "cut in the middle", lambda raw: raw[: len(raw) // 2]),
    file("not_json", "not JSON", lambda raw: b"\x7fELF" + os.urandom(2000)),
    file("list", "JSON, but no notebook", lambda raw: b"[1, 2, 3]"),
    file("huge", "200 MB", lambda raw: raw + b" " * 200_000_000, says="MB"),
    file("nested", "nested 100,000 deep", lambda raw: b'{"cells": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    file("million_cells", "a million cells", lambda raw: b'{"cells": [' + b"1," * 999_999 + b"1]}", says="cells"),
    file("many_outputs", "millions of objects", lambda raw: b'{"cells": [' + b"{}," * 1_100_000 + b"{}]}"),
    file("invalid_utf8", "bytes that are no UTF-8", lambda raw: raw.replace(b"# 00", b"\xff\xfe 00", 1), state="graded"),
    file("nul_bytes", "NUL bytes and lone surrogates", edited(lone_surrogates), state="graded"),
    file("same_ids", "every cell with one id", edited(same_ids), state="graded"),
    file("no_ids", "cells without ids", edited(no_ids), state="graded"),
    file("strange_types", "cells that are no cells", edited(strange_types), state="graded"),
    file("version_3", "the old format", version_3, state="graded"),
    file("other_kernel", "a kernelspec of another language",
         edited(lambda n: n["metadata"].update(kernelspec={"name": "bash", "display_name": "b"})), state="graded"),
]  # fmt: skip
ATTACKS = [*controls(ORIENTATION, ("fix_the_stub", "program_offsets", "count_bytes"), PLAIN), *CODE, *FILES]


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    group = Class(tmp_path_factory.mktemp("down"), ORIENTATION, ATTACKS)
    for attack in ATTACKS:
        group.hand_in(attack)
    group.before = group.files()
    return group.again()


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda a: f"{a.line}-{a.name}")
def test_it_costs_what_it_spoils_and_nothing_else(graded, attack):
    check_verdict(attack, graded.verdicts[attack.name])


def test_nothing_outside_the_workers_changed(graded):
    check_nothing_outside_changed(graded, graded.before)


def test_a_verdict_stays_small_whatever_was_printed(graded):
    for path in (graded.folder.verdicts / ORIENTATION).iterdir():
        assert path.stat().st_size < 2_000_000, path
