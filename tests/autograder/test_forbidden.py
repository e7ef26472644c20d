"""Forbidden shortcuts, read from source: every disguise is found or holds; honest code is left alone."""

import sys
from types import ModuleType

import pytest

from course.checking.forbidden import FAMILIES, poisons, read_notebook, read_source

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
}
HOLDS = {
    "a built name": "def f(x): return getattr(torch, 'soft' + 'max')(x, -1)",
    "torch.ops": "def f(x): return torch.ops.aten._softmax(x, -1, False)",
    "torch._C": "def f(x): return torch._C._nn.softmax(x)",
    "eval": "def f(x): return eval('torch.soft' + 'max')(x, -1)",
    "exec": "def f(x):\n    exec('y = 1')\n    return x",
    "importlib": "def f(x):\n    import importlib\n    return importlib.import_module('torch')",
    "gc": "import gc\ndef f(x): return gc.get_objects()",
    "ctypes": "import ctypes as c\ndef f(x): return c.pythonapi",
    "a dict of a module": "def f(x): return torch.__dict__['soft' + 'max'](x, -1)",
    "a library override": "L = torch.library.Library('aten', 'IMPL')\ndef f(x): return L",
}
HONEST = {
    "exp and sum": "def f(x):\n    e = (x - x.amax(-1, keepdim=True)).exp()\n    return e / e.sum(-1, keepdim=True)",
    "a comparison elsewhere": "def f(x): return x.exp()\nassert f(torch.zeros(1)) == torch.softmax(torch.zeros(1), 0)",
    "a parameter named like a global": "x = torch.zeros(3).softmax(-1)\ndef f(x): return x.exp()",
    "a class": "class M(nn.Module):\n    def __init__(self):\n        super().__init__()\ndef f(x): return M()",
    "a magic line": "%matplotlib inline\ndef f(x): return x.exp()",
}


@pytest.mark.parametrize("code", SHORTCUTS.values(), ids=SHORTCUTS)
def test_a_shortcut_is_found(code):
    assert any(f.kind == "shortcut" for f in read_source([PRELUDE, code], "f", ["softmax"]))


@pytest.mark.parametrize("code", HOLDS.values(), ids=HOLDS)
def test_what_cannot_be_read_holds(code):
    assert any(f.kind == "hold" for f in read_source([PRELUDE, code], "f", ["softmax"]))


@pytest.mark.parametrize("code", HONEST.values(), ids=HONEST)
def test_honest_code_is_left_alone(code):
    assert read_source([PRELUDE, code], "f", ["softmax"]) == []


def test_a_cell_that_is_no_python_stops_nothing():
    assert read_source([PRELUDE, "def (", SHORTCUTS["plainly"]], "f", ["softmax"])


def test_families_name_operators_to_poison():
    assert "_softmax" in poisons(["softmax"])
    assert {name for name, family in FAMILIES.items() if family.operators} == FAMILIES.keys() - {"autograd"}


AUTOGRAD = {
    "grad": "def f(x):\n    x = x.clone().requires_grad_()\n    return torch.autograd.grad(x.sum(), x)[0]",
    "backward": "def f(x):\n    x = x.clone().requires_grad_()\n    (x * x).sum().backward()\n    return x.grad",
    "functional": "from torch.autograd.functional import vjp\ndef f(x): return vjp(torch.exp, x)[1]",
    "func": "from torch import func\ndef f(x): return func.vjp(torch.exp, x)[1](x)[0]",
    "an alias": "pull = torch.Tensor.backward\ndef f(x):\n    pull(x.sum())\n    return x.grad",
    "a Function": "class F(torch.autograd.Function):\n    pass\ndef f(x): return F.apply(x)",
}


@pytest.mark.parametrize("code", AUTOGRAD.values(), ids=AUTOGRAD)
def test_autograd_is_found(code):
    assert any(each.kind == "shortcut" for each in read_source([PRELUDE, code], "f", ["autograd"]))


@pytest.mark.parametrize("code", ["def f(x): return x.detach()", "def f(grad): return grad * 2"])
def test_what_is_no_autograd_is_left_alone(code):
    assert read_source([PRELUDE, code], "f", ["autograd"]) == []


@pytest.mark.parametrize("call", ["F.layer_norm(x, x.shape[-1:])", "nn.RMSNorm(8)(x)", "nn.BatchNorm1d(8)(x)"])
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
    _, left_out = read_notebook([*honest, LESSON]).trusted(("softmax",))
    assert left_out  # in a cell of one's own it may be one: the class runs the notebook without it, too


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
