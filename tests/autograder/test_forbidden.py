"""Forbidden shortcuts, read from source and watched in a notebook; honest code is left alone."""

import pytest
import torch

from course.checking import cells as reader
from course.checking import forbidden
from course.checking.cells import read
from course.checking.forbidden import FAMILIES, Notebook, poisons, read_notebook, read_source, sure, watching

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
    "an annotation": "def f(x: nn.Softmax, *y: nn.Softmax) -> nn.Softmax:\n    z: nn.Softmax = x\n    return z",
    "a field of its own": "class A: pass\na = A()\na.softmax = abs\ndef f(x): return a.softmax(x)",
    "a magic line": "%matplotlib inline\ndef f(x): return x.exp()",
}


@pytest.mark.parametrize("code", SHORTCUTS.values(), ids=SHORTCUTS)
def test_a_shortcut_is_found(code):
    assert read_source([PRELUDE, code], "f", ["softmax"])


@pytest.mark.parametrize("code", HONEST.values(), ids=HONEST)
def test_honest_code_is_left_alone(code):
    assert read_source([PRELUDE, code], "f", ["softmax"]) == []


CALLED = {  # what a notebook sees of an answer that runs, whatever its source says
    "by a computed name": "def f(x): return getattr(torch, 'soft' + 'max')(x, -1)",
    "an operator": "def f(x): return torch.ops.aten._softmax(x, -1, False)",
    "by a layer": "layer = nn.Softmax(-1)\ndef f(x): return [layer][0](x)",
    "below another function": "def f(x): return torch.distributions.Categorical(logits=x).probs",
    "in half of the cases": "def f(x): return x.softmax(-1) if x.numel() else x",
}
NOT_CALLED = {
    "in a branch that nothing takes": "def f(x):\n    if x is None: return torch.softmax(x, -1)\n    return x.exp()",
    "as a type": "def f(x): return x.exp() if not isinstance(x, nn.Softmax) else x",
    "an operator that is allowed": "def f(x): return torch.logaddexp(x, x).exp()",
    "in a test beside it": "def f(x): return x.exp()\ndef test(): return f(X) - X.softmax(-1)\ntest()",
}


@pytest.mark.parametrize("code", [*CALLED.values(), *NOT_CALLED.values()], ids=[*CALLED, *NOT_CALLED])
def test_a_notebook_says_what_was_called(code):
    space = {"X": torch.ones(2, 3)}
    exec(PRELUDE + code, space)
    with watching(["softmax"]) as seen:
        space["f"](torch.ones(2, 3))
    found = sure(read_source([PRELUDE, code], "f", ["softmax"]), ["softmax"], seen)
    assert bool(found) == (code in CALLED.values())


def test_layers_of_torch_are_seen():
    x = torch.ones(2, 4, 8)
    nn = torch.nn
    calls = {
        "recurrence": (nn.RNN(8, 8), nn.LSTM(8, 8), nn.GRU(8, 8), lambda x: nn.LSTMCell(8, 8)(x[0])),
        "normalisation": (nn.LayerNorm(8), nn.RMSNorm(8), nn.BatchNorm1d(4), nn.GroupNorm(2, 4), nn.CosineSimilarity()),
        "attention": (lambda x: nn.MultiheadAttention(8, 2)(x, x, x), nn.TransformerEncoderLayer(8, 2)),
    }
    for family, layers in calls.items():
        for layer in layers:
            with watching([family]) as seen:
                layer(x, x) if isinstance(layer, nn.CosineSimilarity) else layer(x)
            assert seen, (family, layer)


def test_a_cell_that_is_no_python_stops_nothing():
    assert read_source([PRELUDE, "def (", SHORTCUTS["plainly"]], "f", ["softmax"])


OWN = "%%writefile own.py\nimport torch\nfrom torch import nn as m"
MODULES = {
    "the name of a library": ("%%writefile torch.py\ny = 1", "import torch\ndef f(x): return torch.softmax(x, 0)"),
    "a library by its way": (OWN, "import own\ndef f(x): return own.torch.softmax(x, 0)"),
    "a library from it": (OWN, "from own import torch\ndef f(x): return torch.softmax(x, 0)"),
    "a part of one": (OWN, "from own import m\ndef f(x): return m.Softmax()(x)"),
}


@pytest.mark.parametrize("cells", MODULES.values(), ids=MODULES)
def test_a_module_that_a_cell_writes_is_no_way_around(cells):
    assert read_source(cells, "f", ["softmax"])


def test_a_module_that_a_cell_writes_may_be_used():
    cells = "%%writefile own.py\nimport torch\ndef g(x): return torch.exp(x)", "from own import g, torch"
    assert read_source([*cells, "def f(x): return g(torch.tanh(x))"], "f", ["softmax"]) == []


def test_of_what_the_reader_fails_on_it_says_nothing(monkeypatch):
    def fail(*_):
        raise IndexError

    for name in ("_findings", "free_names", "_root"):
        with monkeypatch.context() as patched:
            patched.setattr(forbidden, name, fail)
            notebook = Notebook([read(cell) for cell in ("g = []\ng.append(1)", "def f(x): return g")])
            assert notebook.findings("f", ("softmax",)) == [] and notebook.uses("f") >= {"f"}, name
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
    assert read_source([PRELUDE, code], "f", ["autograd"])


@pytest.mark.parametrize("code", ["def f(x): return x.detach()", "def f(grad): return grad * 2"])
def test_what_is_no_autograd_is_left_alone(code):
    assert read_source([PRELUDE, code], "f", ["autograd"]) == []


NORMS = (
    "F.layer_norm(x, x.shape[-1:])", "nn.RMSNorm(8)(x)", "nn.BatchNorm1d(8)(x)", "F.normalize(x)",
    "x.renorm(2, 0, 1.0)", "torch.renorm(x, 2, 0, 1.0)", "nn.LocalResponseNorm(3)(x)", "nn.LazyInstanceNorm2d()(x)",
)  # fmt: skip


@pytest.mark.parametrize("call", NORMS)
def test_a_library_normalisation_is_found(call):
    assert len(read_source([PRELUDE, f"def f(x): return {call}"], "f", ["normalisation"])) == 1


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
    assert len(read_source([PRELUDE, "def f(x): return library(x)"], "f", ["softmax"], [LESSON])) == 1


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
