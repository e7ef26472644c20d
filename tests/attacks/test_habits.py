"""People's habits: magics, notes, scratch cells, cells typed anew. The notebook, the file and the class judge alike.

Every hand-in is judged in a notebook (cells run one by one, then the checks), and by class grading behind its walls;
`course check --full` is asked of some, and of all in `make test-all`. All must say what stands here.
"""

# ruff: noqa: E501 - hand-ins are programs in strings

import json
import os
import sys

import msgspec
import nbformat
import pytest
from attack_class import ROOT, Attack, Class, cell_of, check_verdict, unit_of

from autograder.judging.full import judge_notebook
from autograder.judging.needed import needed
from autograder.judging.rules import code_cells
from course.checking.cells import read_all
from course.checking.check import judge_with, load_once, quiet
from course.worker.session import Session

UNIT = "02_attention"
CASES = ROOT / "assignments" / UNIT / "cases.npz"
POINTS = unit_of(UNIT).points
SOFTMAX, MASK, KERNEL, ATTENTION = "stable_softmax", "causal_mask", "row_softmax", "scaled_dot_product_attention"
SOLVED = (SOFTMAX, MASK, KERNEL)
SOME = 5  # one in so many is judged by `course check --full` in `make test`


def full(*names):
    return {name: POINTS[name] for name in names}


def solution(name):
    return unit_of(UNIT).solution_source(name)


def keeps(name, why, **more):
    """Everything solved counts."""
    return Attack(name, 0, why, **({"solved": SOLVED, "scores": full(*SOLVED)} | more))


def loses(name, why, state, says, write, exercise=SOFTMAX, **more):
    """One exercise gives nothing, with these words; the others count."""
    return Attack(name, 0, why, solved=SOLVED, write={exercise: write}, states={exercise: state}, says=says,
                  scores=full(*(n for n in SOLVED if n != exercise)), **more)  # fmt: skip


def around(name, text):
    """The exercise's own cell, with its solution in the place of SOLUTION."""
    return {name: text.replace("SOLUTION", solution(name))}


HEAD = "def stable_softmax(x, dim=-1):\n"
RIGHT = HEAD + "    e = (x - x.amax(dim, keepdim=True)).exp()\n    return e / e.sum(dim, keepdim=True)\n"
MODULE = "def shifted(x, dim):\n    return (x - x.amax(dim, keepdim=True)).exp()\n"
WRAPPED = solution(KERNEL).replace("tl.program_id(0)", "(tl.program_id(0)\n           % tl.num_programs(0))", 1)


def doubled(notebook):
    """An exercise's cell stands twice: first an attempt that called the library, then the answer."""
    cell = cell_of(notebook, SOFTMAX)
    old = nbformat.v4.new_code_cell("import torch.nn.functional as F\n" + HEAD + "    return F.softmax(x, dim)")
    notebook.cells.insert(notebook.cells.index(cell), old)


def turned_to_text(raw):
    """A slip of the keyboard: JupyterLab makes text of a code cell on "m"; the learner's kernel keeps what it ran."""
    notebook = json.loads(raw)
    cell = next(c for c in notebook["cells"] if c["metadata"].get("nbgrader", {}).get("grade_id") == SOFTMAX)
    cell["cell_type"] = "markdown"
    del cell["outputs"], cell["execution_count"]
    return json.dumps(notebook).encode()


def colab(raw):
    """As Colab saves it: ids moved into metadata, format 4.0, metadata of its own."""
    notebook = json.loads(raw)
    for number, cell in enumerate(notebook["cells"]):
        cell["metadata"] |= {"id": f"c{number}", "colab": {"base_uri": "https://example.org"}}
        cell.pop("id", None)
    return json.dumps(notebook | {"nbformat_minor": 0, "metadata": {"colab": {"provenance": []}}}).encode()


def windows_lines(raw):
    notebook = json.loads(raw)
    for cell in notebook["cells"]:
        cell["source"] = "".join(cell["source"]).replace("\n", "\r\n")
    return json.dumps(notebook).encode()


def copied(notebook):
    """An exercise's cell copied with its id, and the copy rewritten: the last definition counts, as in a notebook."""
    cell = cell_of(notebook, SOFTMAX)
    copy = nbformat.from_dict({**cell, "id": "copied", "source": HEAD + "    return x * 0"})
    notebook.cells.insert(notebook.cells.index(cell) + 1, copy)


def split(notebook):
    """The answer stands in a cell of its own, below the exercise's."""
    cell = cell_of(notebook, SOFTMAX)
    cell.source = "import torch as T"
    notebook.cells.insert(notebook.cells.index(cell) + 1, nbformat.v4.new_code_cell(RIGHT))


def moved(notebook):
    cell = cell_of(notebook, SOFTMAX)
    notebook.cells.remove(cell)
    notebook.cells.append(cell)


def wide(raw):
    """UTF-16, as an editor on Windows may save it."""
    return raw.decode().encode("utf-16")


def without_source(raw):
    notebook = json.loads(raw)
    notebook["cells"].append({"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None, "source": None})
    return json.dumps(notebook).encode()


HABITS = [
    # lines that are IPython's own
    keeps("asks_for_help", "help on a name", before=("import torch\ntorch.softmax?",)),
    keeps("asks_before", "help, the other way round", before=("?print",)),
    keeps("asks_for_source", "help on the answer below the answer", write=around(SOFTMAX, "SOLUTION\nstable_softmax??")),
    keeps("lists_files", "the shell's answer in a variable", before=("files = !ls\nprint(files)",)),
    keeps("bash_cell", "a cell for the shell", before=("%%bash\nnvidia-smi || echo no gpu\nfor i in 1 2; do echo $i; done",)),
    keeps("installs", "an indented !pip", before=("    !pip --version\n    import math",)),
    keeps("installs_if", "an !install under an if", before=("try:\n    import nowhere_einops\nexcept ImportError:\n    !pip --version",)),
    keeps("percent_pip", "%pip, %matplotlib, %autoreload", before=("%load_ext autoreload\n%autoreload 2\n%matplotlib inline\n%pip list",)),
    keeps("notes", "notes typed as code", after=("TODO: ask about the mask, why -inf?",)),
    keeps("notes_two", "two lines of notes", before=("softmax is shift invariant\nsubtract the max first!",)),
    keeps("unfinished", "an unfinished function elsewhere", after=("def try_it(x:\n    return",)),
    keeps("pasted_prompts", "pasted from a tutorial", before=(">>> import torch\n>>> torch.ones(2)\ntensor([1., 1.])",)),
    keeps("html_cell", "a cell of HTML", before=("%%html\n<b>hello</b>",)),
    keeps("latex_cell", "a cell of LaTeX", before=("%%latex\n$e^{x}$",)),
    keeps("times_a_line", "%time and %timeit", after=("%time y = stable_softmax(torch.zeros(3))\n%timeit -n1 -r1 stable_softmax(y)",)),
    keeps("times_a_cell", "%%timeit", after=("%%timeit -n1 -r1\nstable_softmax(torch.zeros(3))",)),
    keeps("expands", "a shell line with a Python value", after=("!echo {torch.__version__}",)),
    keeps("runs_a_file", "%run of what is not there", before=("%run helpers.py",)),
    keeps("awaits", "await at the top", before=("import asyncio\nawait asyncio.sleep(0)",)),
    keeps("environment_magic", "%env", before=("%env CUDA_VISIBLE_DEVICES=0",)),
    # the same, in the cells of exercises
    keeps("timed_exercises", "%%time above exercises", write=around(SOFTMAX, "%%time\nSOLUTION") | around(MASK, "%%time\n\nSOLUTION")),
    keeps("captured", "%%capture above an exercise", write=around(SOFTMAX, "%%capture out\nSOLUTION") | around(KERNEL, "%%capture\nSOLUTION")),
    keeps("shell_inside", "!ls below an answer", write=around(SOFTMAX, "SOLUTION\n!ls") | around(KERNEL, "!ls\nSOLUTION")),
    keeps("blank_above", "empty lines, then %%time", write=around(SOFTMAX, "\n\n%%time\nSOLUTION")),
    keeps("wrapped_modulus", "a line of a kernel that begins with %", write={KERNEL: WRAPPED}),
    keeps("tried_inside", "an experiment below the answer, stopped by its own error", write=around(SOFTMAX, "SOLUTION\nraise RuntimeError('later')")),
    loses("unfinished_exercise", "an answer that is no Python costs itself", "crashed", "SyntaxError", "def stable_softmax(x, dim=-1:\n    return x"),
    loses("unfinished_kernel", "and a kernel that is no Python", "crashed", "SyntaxError", "@triton.jit\ndef row_softmax_kernel(x_ptr:\n    pass", exercise=KERNEL),
    loses("timed_kernel", "triton itself refuses kernels under %%time", "crashed", "@jit functions should be defined in a Python file", "%%time\n" + solution(KERNEL), exercise=KERNEL),
    loses("needs_einops", "a library that is not there", "crashed", "No module named 'nowhere_einops'", "from nowhere_einops import rearrange\n" + RIGHT),
    Attack("imports_elsewhere", 0, "the import stands in another cell", solved=SOLVED, before=("import nowhere_einops as ein",),
           write={SOFTMAX: HEAD + "    return ein.softmax(x)\n"}, scores=full(MASK, KERNEL), says="No module named 'nowhere_einops'"),
    # set-up cells and scratch cells
    keeps("environment", "variables of the environment", before=('import os\nos.environ["CUDA_VISIBLE_DEVICES"] = "0"\nos.environ["TOKENIZERS_PARALLELISM"] = "false"',)),
    keeps("colab", "is this Colab?", before=("if 'google.colab' in str(get_ipython()):\n    from google.colab import drive\n    drive.mount('/content/drive')",)),
    keeps("line_magic", "get_ipython().run_line_magic", before=('get_ipython().run_line_magic("matplotlib", "inline")',)),
    keeps("evaluates", "eval and exec in scratch cells", before=("print(eval('1 + 1'))\nexec('scratch = 3')", "def debug(text):\n    return eval(text)\ndebug('2 * 3')")),
    keeps("compares", "compares with the library", after=("import torch.nn.functional as F\nx = torch.randn(3, 4)\nprint((stable_softmax(x).sum() - F.softmax(x, -1).sum()).item())\nassert torch.allclose(stable_softmax(x), torch.softmax(x, -1))",)),
    keeps("hangs_on", "hangs the library's answer onto its own", after=("import torch.nn.functional as F\nstable_softmax.reference = F.softmax\nstable_softmax.note = 'done'",)),
    keeps("settings", "settings of libraries", before=("import matplotlib.pyplot as plt, warnings, sys\nplt.rcParams['figure.figsize'] = (4, 3)\nwarnings.filterwarnings('ignore')\nsys.path.append('/content')\ntorch_home = sys.path[-1]",)),
    keeps("torch_settings", "settings of torch", before=("import torch\ntorch.backends.cudnn.deterministic = True\ntorch.set_printoptions(precision=3)\ntorch.manual_seed(0)",)),
    keeps("inspects", "reads its own source", after=("import inspect, sys, gc\nprint(inspect.getsource(stable_softmax)[:20], 'torch' in sys.modules, gc.collect())",)),
    keeps("earlier_attempt", "an earlier attempt with the library stands above", change=doubled),
    keeps("globals", "writes into globals()", after=("globals()['colour'] = 'red'\nvars()['size'] = 3",)),
    keeps("interpret", "TRITON_INTERPRET=1 in a cell", before=('import os\nos.environ["TRITON_INTERPRET"] = "1"\nimport triton',)),
    keeps("interpret_magic", "and with %env", before=("%env TRITON_INTERPRET=1",)),
    # modules that the notebook writes
    keeps("writes_a_module", "a helper in a module of its own", before=("%%writefile shifts.py\nimport torch\n" + MODULE, "from shifts import shifted"), write={SOFTMAX: HEAD + "    e = shifted(x, dim)\n    return e / e.sum(dim, keepdim=True)\n"}),
    loses("module_calls_it", "a module that calls the library", "forbidden", "a library softmax, `torch.softmax`", "import shifty\n" + HEAD + "    return shifty.all_of_it(x, dim)\n",
          before=("%%writefile shifty.py\nimport torch\ndef all_of_it(x, dim):\n    return torch.softmax(x, dim)\n",)),
    # what is forbidden is forbidden in the notebook, too
    loses("calls_it", "the library's answer", "forbidden", "a library softmax, `torch.nn.functional.softmax` (line 3)", "import torch.nn.functional as F\n" + HEAD + "    return F.softmax(x, dim)\n"),
    loses("helper_calls_it", "through a helper", "forbidden", "of the cell of `helper`", HEAD + "    return helper(x, dim)\n", before=("import torch\ndef helper(x, dim):\n    return x.softmax(dim)",)),
    keeps("runs_text", "right, and runs text", write={SOFTMAX: HEAD + "    y = eval('x - x.amax(dim, keepdim=True)').exp()\n    return y / y.sum(dim, keepdim=True)\n"}),
    keeps("computed_name", "a computed name that leads to nothing forbidden", write={SOFTMAX: HEAD + "    y = getattr(x - x.amax(dim, keepdim=True), str('exp'))()\n    return y / y.sum(dim, keepdim=True)\n"}),
    keeps("harmless_name", "a computed name that no library call has", write={SOFTMAX: "class Steps:\n    def w_top(self, x, dim): return x.amax(dim, keepdim=True)\n" + HEAD + "    top = [getattr(Steps(), f'w_{n}')(x, dim) for n in ('top',)][0]\n    e = (x - top).exp()\n    return e / e.sum(dim, keepdim=True)\n"}),
    Attack("attention_call", 0, "the attention of the library", solved=SOLVED, scores=full(*SOLVED), states={ATTENTION: "forbidden"}, says="a library attention",
           write={ATTENTION: solution(ATTENTION) + "\nhonest = scaled_dot_product_attention\ndef scaled_dot_product_attention(q, k, v, mask=None):\n    torch.nn.functional.scaled_dot_product_attention(q, k, v)\n    return honest(q, k, v, mask)\n"}),
    # files
    keeps("byte_order_mark", "a BOM", raw=lambda raw: b"\xef\xbb\xbf" + raw),
    keeps("utf_16", "UTF-16", raw=wide),
    keeps("no_source", "a cell whose source is null", raw=without_source),
    keeps("turned_to_text", "an answer's cell turned into text", raw=turned_to_text),
    keeps("colab_saved", "saved by Colab", raw=colab),
    keeps("windows_lines", "lines that end as on Windows", raw=windows_lines),
    # cells
    Attack("copied", 0, "an answer's cell copied and spoilt", solved=SOLVED, change=copied, scores=full(MASK, KERNEL)),
    keeps("split", "the answer in a cell of its own", change=split),
    keeps("moved", "the answer moved to the end", change=moved),
    keeps("exits", "exit() in a scratch cell", after=("import sys\nsys.exit()",)),
    keeps("stops", "a cell that stops above", before=("assert False, 'todo'",)),
    keeps("asks", "input()", before=("name = input('your name? ')",)),
    keeps("wants_a_gpu", "moves to a GPU below", after=("import torch\nprint(stable_softmax(torch.ones(3).cuda()))",)),
    keeps("default_device", "the device idiom", before=("import torch\ntorch.set_default_device('cuda' if torch.cuda.is_available() else 'cpu')",)),
    loses("hard_space", "non-breaking spaces from a web page", "crashed", "SyntaxError", HEAD + "    return\u00a0x\n"),
    keeps("hard_space_below", "and in a scratch cell", after=("y =\u00a05",)),
]  # fmt: skip
NAMES = (SOFTMAX, MASK, KERNEL, ATTENTION)


def in_the_notebook(path, folder, names):
    """What the cards of a notebook say: its cells run in `folder`, then its checks, in a process of their own.

    Of the lesson's cells only those that the others need: its figures take longer than everything else.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.chdir(folder)
            sys.path.insert(0, "")
            cells = code_cells(nbformat.read(path, 4))
            run = [cells[n].source for n in needed(cells, read_all([cell.source for cell in cells]))]
            session, recorded = Session(), load_once(CASES)
            for source in run:
                session.run(source)
            with quiet():
                said = {name: judge_with(recorded, name, session.namespace, run) for name in names}
            os.write(writing, msgspec.json.encode({n: (v.score, v.state, v.reason) for n, v in said.items()}))
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as answer:
        said = answer.read()
    os.waitpid(child, 0)
    return msgspec.json.decode(said)


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    return Class(tmp_path_factory.mktemp("habits"), UNIT, HABITS).run()


def test_the_verdict_says_which_cell_could_not_be_read(graded):
    unread = {"notes_two": "softmax is shift", "unfinished": "def try_it(x:", "unfinished_exercise": "def stable"}
    for name, begins in unread.items():
        assert any(begins in note and "costs itself only" in note for note in graded.verdicts[name].notes)
    assert not graded.verdicts["bash_cell"].notes


@pytest.mark.parametrize("habit", HABITS, ids=lambda a: a.name)
def test_a_class_gives_what_is_deserved(graded, habit):
    check_verdict(habit, graded.verdicts[habit.name])


READABLE = [habit for habit in HABITS if not habit.raw]


@pytest.mark.parametrize("habit", READABLE, ids=lambda a: a.name)
def test_the_notebook_says_the_same(graded, habit, tmp_path):
    path = graded.folder.submitted / habit.name / UNIT / "attention.ipynb"
    kernels = KERNEL in habit.write or "interpret" in habit.name  # others do in a notebook what plain Python does
    said = in_the_notebook(path, tmp_path, NAMES if kernels else (SOFTMAX, MASK, ATTENTION))
    rows = {row.name: row for row in graded.verdicts[habit.name].exercises}
    assert {n: said[n][:2] for n in said} == {n: [rows[n].score, _in_a_notebook(rows[n])] for n in said}, said
    refused = [n for n in said if rows[n].state in ("forbidden", "held")]
    assert {n: said[n][2] for n in refused} == {n: rows[n].reason for n in refused}


def _in_a_notebook(row):
    """In a notebook the learner sees the cell's error; its check says that the name is missing."""
    return "missing" if row.state == "crashed" else row.state


@pytest.mark.parametrize(
    "habit", [pytest.param(h, marks=pytest.mark.slow if n % SOME else (), id=h.name) for n, h in enumerate(HABITS)]
)
def test_the_whole_check_says_the_same(graded, habit):
    path = graded.folder.submitted / habit.name / UNIT / "attention.ipynb"
    told = {row.name: (row.score, row.state) for row in judge_notebook(path, CASES, 60, lambda line: None).exercises}
    assert told == {row.name: (row.score, row.state) for row in graded.verdicts[habit.name].exercises}
