"""The reading of a cell: the Python that IPython makes of it, every line where it was."""

import ast
import json
import subprocess
import symtable
import sys
import time

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from autograder import ROOT
from course.checking.cells import TOO_LONG, _symbols, bound_names, read, read_all, statements

READ = {
    "x = 1\ny?": "x = 1\npass",
    "?x\nz = 2": "pass\nz = 2",
    "x.y??": "pass",
    "files = !ls": "files = []",
    "    !pip install x\n    y = 1": "pass\ny = 1",
    "!echo it's\ny = 1": "pass\ny = 1",
    "!ls \\\n  -l\nx = 1": "pass\n\nx = 1",
    "%matplotlib inline\nx = 1": "pass\nx = 1",
    "%%bash\nfor i in 1 2; do echo $HOME; done": "get_ipython().run_cell_magic('bash')",
    "%%bash\necho hello": "pass",
    "%%html\n<b>x</b>": "pass",
    "%%time\ndef f():\n    return 1": "\ndef f():\n    return 1",
    "\n\n%%time\nx = 1\n!ls": "\n\n\nx = 1\npass",
    "%%capture out\n%%time\nx = 2": "\n\nx = 2",
    "if 1:\n    %time z = g()": "if 1:\n    z = g()",
    "a = (b\n  % c)": "a = (b\n  % c)",
    "a = (b\n  % c)\nb?": "a = (b\n  % c)\npass",
    "s = '''\n%time\n!ls\n'''": "s = '''\n%time\n!ls\n'''",
    ">>> x = 1\n>>> y": "x = 1\ny",
    "await f()": "await f()",
    # what can run Python that nobody reads stays a call
    "!echo {x}": "get_ipython().system('echo {x}')",
    "!echo $x": "get_ipython().system('echo $x')",
    "y = %who_ls": "y = get_ipython().run_line_magic('who_ls', '')",
    "%run m.py": "get_ipython().run_line_magic('run', 'm.py')",
    "%timeit f()": "get_ipython().run_line_magic('timeit', 'f()')",
    "%%timeit\nf()": "get_ipython().run_cell_magic('timeit')",
    "%config A.b = f()": "get_ipython().run_line_magic('config', 'A.b = f()')",
    "%env X={f()}": "get_ipython().run_line_magic('env', 'X={f()}')",
    "run m.py": "get_ipython()",  # IPython takes a single line for a magic
}
WRONG = {
    "def f(:\n    return": ("", 1),
    "x = 1\ny = = 2": ("", 2),
    "x = 1\n!ls\ny = = 2": ("", 3),
    "import math\n\ndef f():\n    nonlocal y\n": ("import math\n", 3),
    "x = 1\ndef f(a, a): pass\ny = 2": ("x = 1", 2),
    "first line of notes\nsecond line of notes": ("", 1),
    "\0": ("", 1),
}


@pytest.mark.parametrize("source", READ)
def test_a_cell_is_read_line_by_line(source):
    assert read(source) == (READ[source], "", 0, "") or (source == "run m.py" and read(source).python == READ[source])


@pytest.mark.parametrize("source", WRONG)
def test_what_is_no_python_costs_itself_and_says_where(source):
    found = read(source)
    assert (found.python, found.line) == WRONG[source] and found.error
    assert read_all([source, "x = 1"])[1].python == "x = 1"


def test_a_module_that_a_cell_writes():
    found = read("%%writefile helpers.py\ndef f():\n    return 1\n")
    assert found.module == "helpers" and found.python.startswith("\ndef f")
    assert read("%%writefile notes.txt\nhello").module == ""


RUN = [s for s in READ if "get_ipython" not in READ[s] and "await" not in s and "?" not in s]


BOUND = """
import json, sys
from course.worker.session import Session

session, found = Session(), []
for source in json.load(sys.stdin):
    session.namespace.update(b=7, c=4, x=0, y=0, g=len)
    before = {**session.namespace}
    session.run(source)
    now = session.namespace.items()
    found.append([name for name, value in now if name not in before or before[name] is not value])
json.dump(found, sys.stdout)
"""


def test_the_names_are_those_that_ipython_binds():
    """In a process of its own: a shell stays for the life of its process."""
    done = subprocess.run([sys.executable, "-c", BOUND], input=json.dumps(RUN), capture_output=True, text=True)
    for source, names in zip(RUN, json.loads(done.stdout), strict=True):
        assert {n for n in names if not n.startswith("_") and n != "out"} <= bound_names(read(source)), source


PACKAGES = ("course", "autograder", "grader_kernels")
OURS = sorted(path for name in PACKAGES for path in (ROOT / name).rglob("*.py") if path.name != "__init__.py")


@pytest.mark.parametrize("path", OURS[::7], ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_symbols_are_those_of_the_table(path):
    """Python's own way to them, which is quadratic, on our own files."""
    told = ["get_name", "is_assigned", "is_imported", "is_referenced", "is_global"]
    seen, todo = 0, [symtable.symtable(path.read_text(), "<cell>", "exec")]
    while todo:
        table = todo.pop()
        found = [[getattr(symbol, t)() for t in told] for symbol in _symbols(table)]
        assert found == [[getattr(symbol, t)() for t in told] for symbol in table.get_symbols()]
        seen += len(found)
        todo += table.get_children()
    assert seen


CROWDED = {
    "functions in a function": "def f():\n" + "".join(f" def n{n}(): 0\n" for n in range(3000)),
    "imports around lambdas": "def f():\n" + "".join(f" import n{n}\n" for n in range(3000)) + " lambda: 0\n" * 3000,
    "a function between": (
        "def f():\n" + "".join(f" n{n} = 0\n" for n in range(3000)) + " def g():\n" + "  lambda: 0\n" * 3000
    ),
    "classes": "def f():\n" + "".join(f" n{n} = 0\n" for n in range(3000)) + " class A: 0\n" * 3000,
}


@pytest.mark.parametrize("source", CROWDED.values(), ids=CROWDED)
def test_scopes_that_copy_too_many_names_are_not_read(source):
    assert read(source).error == TOO_LONG


def test_many_scopes_at_the_top_are_read():
    assert not read("".join(f"class n{n}: x = lambda: {n}\n" for n in range(3000))).error


LINES = ["x = {n}", "def f{n}():\n    return {n}", "%matplotlib inline", "!ls", "y{n}?", "z{n} = !ls", "# {n}", ""]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(LINES), max_size=12))
def test_statements_keep_their_lines(chosen):
    source = "\n".join(line.format(n=number) for number, line in enumerate(chosen))
    kept = {node.lineno: ast.unparse(node) for node in statements(read(source).python)}
    lines = source.split("\n")
    for number, line in enumerate(lines, 1):
        if line.startswith(("x =", "def ")):
            assert kept[number].split("\n")[0] == line


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="ab =()[]{}'\"\\#%!?\n\t:,@\0;/\u2028é", max_size=60))
def test_odd_text_is_read_or_refused(source):
    found = read(source)
    ast.parse(found.python)  # what was read is Python, whatever stood there
    assert found.error == "" or found.line > 0


def test_a_cell_of_magics_does_not_keep_the_judge_busy():
    began = time.process_time()
    found = read("\n".join(f"!echo {n} {'x' * 200}" for n in range(7_000)))
    assert found.error == "it has too many lines of IPython's own" and time.process_time() - began < 5
