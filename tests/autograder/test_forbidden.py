"""Forbidden shortcuts, read from source: every disguise is found or holds; honest code is left alone."""

import sys
from types import ModuleType

import pytest

from course.checking import cells as reader
from course.checking import forbidden
from course.checking.cells import read
from course.checking.forbidden import FAMILIES, Notebook, poisons, read_notebook, read_source

PRELUDE = "import torch\nimport torch.nn.functional as F\nfrom torch import nn, softmax as sm\nquick = F.softmax\n"
SHORTCUTS = {
    "plainly": "def f(x): return torch.softmax(x, -1)",
    "a method": "def f(x): return x.softmax(-1)",
    "an import alias": "def f(x): return sm(x, -1)",
    "an assignment": "def f(x): return quick(x, -1)",
    "a module": "def f(x): return nn.Softmax(-1)(x)",
    "a helper": "def h(x): return F.log_softmax(x, -1).exp()\ndef f(x): return h(x)",
    "getattr": "def f(x): return getattr(torch, 'softmax')(x, -1)",
    "a default argument": "def f(x, g=F.softmax): return g(x, -1)",
    "a patched function": "torch.exp = torch.softmax\ndef f(x): return torch.exp(x, -1)",
    "an import inside": "def f(x):\n    from torch.nn.functional import softmax\n    return softmax(x, -1)",
    "a base class": "class M(nn.Softmax): pass\ndef f(x): return M(-1)(x)",
    "attention": "def f(x): return F.scaled_dot_product_attention(x, x, x)",
    "a method of the class": "def f(x): return torch.Tensor.softmax(x, -1)",
    "a module of a module": "import torch.nn.modules.activation as act\ndef f(x): return act.F.softmax(x, -1)",
    "a class where it is defined": "from torch.nn.modules.activation import *\ndef f(x): return Softmax(-1)(x)",
    "the course's own": "from course.models import masked_softmax\ndef f(x): return masked_softmax(x)",
    "a transformed one": "def f(x): return torch.vmap(F.scaled_dot_product_attention)(x, x, x)",
}
HOLDS = {
    "a built name": "def f(x): return getattr(torch, 'soft' + 'max')(x, -1)",
    "torch.ops": "def f(x): return torch.ops.aten._softmax(x, -1, False)",
    "torch._C": "def f(x): return torch._C._nn.silu(x)",
    "eval": "def f(x): return eval('torch.soft' + 'max')(x, -1)",
    "exec": "def f(x):\n    exec('y = 1')\n    return x",
    "importlib": "def f(x):\n    import importlib\n    return importlib.import_module('torch')",
    "gc": "import gc\ndef f(x): return gc.get_objects()",
    "ctypes": "import ctypes as c\ndef f(x): return c.pythonapi",
    "a dict of a module": "def f(x): return torch.__dict__['soft' + 'max'](x, -1)",
    "a library override": "L = torch.library.Library('aten', 'IMPL')\ndef f(x): return L",
    "what torch is made of": "import torch._refs as r\ndef f(x): return r.exp(x)",
    "a decomposition": "import torch._decomp.decompositions as D\ndef f(x): return D._softmax(x, -1, False)",
    "a part that is not documented": "def f(x): return torch.distributions.utils.logits_to_probs(x)",
    "other processes": "from torch.utils.data import DataLoader\ndef f(x): return next(iter(DataLoader(x)))",
    "a private function": "def f(x): return torch._masked_softmax(x, x > 9, -1, 2)",
    "a module's own modules": "import random\ndef f(x): return random._os.system('x')",
    "modules by another way": "import os\nw = os.sys.modules['course.worker.worker']\ndef f(x): return w.x(x)",
    "a module in the functions": "def f(x): return F.importlib.import_module('torch._refs')",
    "getattr as a value": "from functools import reduce\ndef f(x): return reduce(getattr, 'ab', x)",
    "a comprehension's own name": "def f(x): return [torch._refs.exp(x) for torch in [torch]]",
    "a name that a comprehension had": "def f(x):\n    [0 for torch in ()]\n    return torch._refs.exp(x)",
    "a global among locals": "def f(x):\n    torch = 0\n    def g():\n        global torch\n        torch._refs.exp(x)",
    "a builtin kept": "vars = vars\ndef f(x): return vars(x)",
    "a builtin that is defined nowhere": "if x is None:\n    def eval(text): pass\ndef f(x): return eval('x')",
    "another module under the same name": "import math\ng = math\ng = torch._refs\ndef f(x): return g.exp(x)",
    "getattr of globals": "def f(x): return getattr(f, '__globals__')",
    "an annotation of its own name": "def f(torch) -> torch._refs: return torch",
    "a match": "def f(x):\n    match torch:\n        case object(softmax=g): return g(x, -1)",
    "a module in a list": "def f(x): return [torch][0]._refs.exp(x)",
    "a module under a local name": "def f(x):\n    g = torch\n    return g._refs.exp(x)",
    "a module as a default": "def f(x, g=torch): return g._refs.exp(x)",
    "a module in a class": "class A:\n    m = torch\ndef f(x): return A.m._refs.exp(x)",
    "a module that is returned": "def g(): return torch\ndef f(x): return g()._refs.exp(x)",
    "a module in a loop": "def f(x):\n    for m in (F,): return m._x(x)",
    "a module with a walrus": "def f(x): return (g := F)._x(x)",
    "a format string": "import string\ndef f(x): return string.Formatter().get_field('0.exp', (x,), {})",
    "methodcaller": "from operator import methodcaller as m\ndef f(x): return m('soft' + 'max', -1)(x)",
    "a frame": "def g():\n    yield\ndef f(x): return g().gi_frame",
    "a pickle in an array": "import numpy as np\ndef f(x): return np.load('a.npy', allow_pickle=True)",
    "ctypes of an array": "def f(x): return x.numpy().ctypes",
    "hints that are evaluated": "import typing\ndef f(x): return typing.get_type_hints(f)",
    "a function out of parts": "import types\ndef f(x): return types.FunctionType(1, {})",
    "a reference that is evaluated": "import typing\ndef f(x): return typing.ForwardRef('x')",
    "a reference in a hint": "from typing import Optional, get_args\ndef f(x): return get_args(Optional['x'])[0]",
    "annotations that are evaluated": "import typing_extensions as t\ndef f(x): return t.get_annotations(f)",
    "output that is redirected": "import contextlib\nclass R(contextlib.redirect_stdout): pass\ndef f(x): return R(x)",
    "members of a module": "import enum\nclass E(enum.Enum): pass\ndef f(x): return E._convert_('X', 'm', len)",
    "a type that a module borrows": "import dataclasses\ndef f(x): return dataclasses.FunctionType(1, {})",
    "TorchScript's IR": "def f(x): return torch.parse_ir(x)",
    "TorchScript": "def f(x): return torch.CompilationUnit()",
    "what another package is borrowed from": "from course.plots import Figure as g\ndef f(x): return g(x)",
    "a format without parts": "def f(x): return getattr(x, f'')",
    "unknown stars": "from torch.nn.attention.flex_attention import *\ndef f(x): return flex_attention(x)",
}
HONEST = {
    "exp and sum": "def f(x):\n    e = (x - x.amax(-1, keepdim=True)).exp()\n    return e / e.sum(-1, keepdim=True)",
    "a comparison elsewhere": "def f(x): return x.exp()\nassert f(torch.zeros(1)) == torch.softmax(torch.zeros(1), 0)",
    "a parameter named like a global": "x = torch.zeros(3).softmax(-1)\ndef f(x): return x.exp()",
    "a class": "class M(nn.Module):\n    def __init__(self):\n        super().__init__()\ndef f(x): return M()",
    "its result compared": "def f(x): return x.exp()\nprint(f(torch.zeros(3)).sum() - sm(torch.zeros(3), 0).sum())",
    "names that are its own": "def f(x, F=4):\n    torch = x.exp()\n    return [F for F in torch][:F]",
    "an attribute of its own": "class M(nn.Module):\n    def forward(self, x): return getattr(self, x)(x)\nf = M()",
    "documented parts": "import math\ndef f(x): return F.silu(x) + torch.linalg.norm(x) * math.exp(torch.pi)",
    "the same under another name": "from torch.nn.modules.activation import F as g\ndef f(x): return g.relu(x)",
    "a magic line": "%matplotlib inline\ndef f(x): return x.exp()",
}


@pytest.mark.parametrize("code", SHORTCUTS.values(), ids=SHORTCUTS)
def test_a_shortcut_is_found(code):
    assert any(f.kind == "shortcut" for f in read_source([PRELUDE, code], "f", ["softmax"]))


@pytest.mark.parametrize("code", HOLDS.values(), ids=HOLDS)
def test_what_cannot_be_read_holds(code):
    assert any(f.kind in ("hold", "unsure") for f in read_source([PRELUDE, code], "f", ["softmax"]))


@pytest.mark.parametrize("code", HONEST.values(), ids=HONEST)
def test_honest_code_is_left_alone(code):
    assert read_source([PRELUDE, code], "f", ["softmax"]) == []


def test_a_cell_that_is_no_python_stops_nothing():
    assert read_source([PRELUDE, "def (", SHORTCUTS["plainly"]], "f", ["softmax"])


OWN = "%%writefile own.py\nimport torch\nfrom torch import nn as m"
MODULES = {
    "the name of a library": ("%%writefile torch.py\ny = 1", "import torch\ndef f(x): return torch._refs.exp(x)"),
    "a library by its way": (OWN, "import own\ndef f(x): return own.torch._refs.exp(x)"),
    "a library from it": (OWN, "from own import torch\ndef f(x): return torch._refs.exp(x)"),
    "a part of one": (OWN, "from own import m\ndef f(x): return m.Softmax()(x)"),
}


@pytest.mark.parametrize("cells", MODULES.values(), ids=MODULES)
def test_a_module_that_a_cell_writes_is_no_way_around(cells):
    assert read_source(cells, "f", ["softmax"])


def test_a_module_that_a_cell_writes_may_be_used():
    cells = "%%writefile own.py\nimport torch\ndef g(x): return torch.exp(x)", "from own import g, torch"
    assert read_source([*cells, "def f(x): return g(torch.tanh(x))"], "f", ["softmax"]) == []


def test_what_the_reader_fails_on_is_held(monkeypatch):
    def fail(*_):
        raise IndexError

    for name in ("_findings", "free_names", "_root"):
        with monkeypatch.context() as patched:
            patched.setattr(forbidden, name, fail)
            notebook = Notebook([read(cell) for cell in ("g = []\ng.append(1)", "def f(x): return g")])
            assert [each.kind for each in notebook.findings("f", ("softmax",))][:1] == ["hold"], name
            assert notebook.digest("f") == "" or name == "_findings"
            assert notebook.mentions("f") in ([], ["g"])


def test_a_cell_that_the_reader_fails_on_is_not_run(monkeypatch):
    monkeypatch.setattr(reader, "_transformed", lambda source: 1 // 0)
    assert read("!ls").error in reader.NOT_READ


def test_families_name_operators_to_poison():
    assert "_softmax" in poisons(["softmax"])
    assert all(family.operators for family in FAMILIES.values())


AUTOGRAD = {
    "grad": "def f(x):\n    x = x.clone().requires_grad_()\n    return torch.autograd.grad(x.sum(), x)[0]",
    "backward": "def f(x):\n    x = x.clone().requires_grad_()\n    (x * x).sum().backward()\n    return x.grad",
    "functional": "from torch.autograd.functional import vjp\ndef f(x): return vjp(torch.exp, x)[1]",
    "func": "from torch import func\ndef f(x): return func.vjp(torch.exp, x)[1](x)[0]",
    "an alias": "pull = torch.Tensor.backward\ndef f(x):\n    pull(x.sum())\n    return x.grad",
    "a node of the graph": "def f(x): return x.exp().grad_fn(x)",
    "a distribution": "class E(torch.distributions.ExponentialFamily): pass\ndef f(x): return E(x).entropy()",
}


@pytest.mark.parametrize("code", AUTOGRAD.values(), ids=AUTOGRAD)
def test_autograd_is_found(code):
    assert any(each.kind == "shortcut" for each in read_source([PRELUDE, code], "f", ["autograd"]))


@pytest.mark.parametrize("code", ["def f(x): return x.detach()", "def f(grad): return grad * 2"])
def test_what_is_no_autograd_is_left_alone(code):
    assert read_source([PRELUDE, code], "f", ["autograd"]) == []


NORMS = (
    "F.layer_norm(x, x.shape[-1:])", "nn.RMSNorm(8)(x)", "nn.BatchNorm1d(8)(x)", "F.normalize(x)",
    "x.renorm(2, 0, 1.0)", "torch.renorm(x, 2, 0, 1.0)", "nn.LocalResponseNorm(3)(x)", "nn.LazyInstanceNorm2d()(x)",
)  # fmt: skip


@pytest.mark.parametrize("call", NORMS)
def test_a_library_normalisation_is_found(call):
    found = read_source([PRELUDE, f"def f(x): return {call}"], "f", ["normalisation"])
    assert [f.kind for f in found] == ["shortcut"]


LESSON = """
answer = torch.softmax(torch.zeros(3), 0)
seen = {}
for name in "ab":
    f(torch.zeros(3)).exp().sum()
    seen[f.kind, name] = answer
    f.compared = answer
def library(x): return torch.softmax(x, -1)
"""


def test_what_a_lesson_does_with_an_exercise_is_no_change_of_it():
    honest = [PRELUDE, "def f(x): return x.exp()"]
    assert read_source(honest, "f", ["softmax"], [LESSON]) == []


def test_what_a_lesson_defines_is_read_where_it_is_used():
    found = read_source([PRELUDE, "def f(x): return library(x)"], "f", ["softmax"], [LESSON])
    assert [each.kind for each in found] == ["shortcut"]


@pytest.mark.parametrize(
    ("package", "kind"),
    [("nowhere_einops", "absent"), ("made_here", "hold"), ("ctypes", "hold"), ("beside", "hold")],
)
def test_what_is_not_installed_is_told_apart_from_what_cannot_be_read(package, kind, monkeypatch, tmp_path):
    (tmp_path / "beside.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "made_here", ModuleType("made_here"))
    found = read_source([f"import {package} as p\ndef f(x): return p.f(x)"], "f", ["softmax"])
    assert {each.kind for each in found} == {kind}


HELPED = [PRELUDE, "def h(x): return x.exp()", "def f(x): return h(x)"]
DIGESTS = {  # another hand-in -> is f made of the same?
    "a cell more": ([*HELPED, "print(f(torch.zeros(2)))"], True),
    "a comment more": ([*HELPED[:2], "# mine\ndef f(x):\n    return h(x)"], True),
    "another helper": ([PRELUDE, "def h(x): return x.exp() + 1", HELPED[2]], False),
    "another answer": ([*HELPED[:2], "def f(x): return h(x) + 1"], False),
    "a value that it uses is changed": ([*HELPED[:2], HELPED[2], "h.cache = 1"], True),
    "the library is patched": ([*HELPED, "torch.exp = abs"], False),
}


@pytest.mark.parametrize("case", DIGESTS)
def test_what_an_exercise_is_made_of(case):
    cells, same = DIGESTS[case]
    assert (read_notebook(cells).digest("f") == read_notebook(HELPED).digest("f")) == same
