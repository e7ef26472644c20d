"""THREATS.md, lines 37, 45 and 46, where an exercise forbids something: honest students whose notebooks do what a
careless reader of source takes for a shortcut. An answer has to hold where what is forbidden raises; theirs do."""

# ruff: noqa: E501 - answers are programs in strings

import pytest
from attack_class import Attack, Class, check_verdict, unit_of

UNIT = "02_attention"
POINTS, ANSWER = unit_of(UNIT).points, unit_of(UNIT).solution_source
SOFTMAX, ATTENTION, HEADS = "stable_softmax", "scaled_dot_product_attention", "MultiHeadAttention"
HEAD = "def stable_softmax(x, dim=-1):\n"
BODY = "    e = (x - x.amax(dim, keepdim=True)).exp()\n    return e / e.sum(dim, keepdim=True)\n"
ENTROPY = ANSWER("attention_entropy")
NAMED = """
def stable_softmax(x, dim=-1, F=None):
    torch = x.amax(dim, keepdim=True)
    [F for F in (1, 2)]
    nn = (x - torch).exp()
    return nn / nn.sum(dim, keepdim=True)
"""
COMPUTED = """
class MultiHeadAttention(nn.Module):
    def __init__(self, d_model, num_heads, dropout=0.0):
        super().__init__()
        if d_model % num_heads:
            raise ValueError("not a multiple")
        self.num_heads = num_heads
        for name in "qkvo":
            setattr(self, f"w_{name}", nn.Linear(d_model, d_model))
        self.dropout = nn.Dropout(dropout)

    def part(self, name, x):
        return split_heads(getattr(self, name)(x), self.num_heads)

    def forward(self, x, mask=None):
        q, k, v = [self.part("w_" + name, x) for name in "qkv"]
        weights = scaled_dot_product_attention(q, k, v, mask)[1]
        return self.w_o(merge_heads(self.dropout(weights) @ v)), weights
"""
SPLIT = COMPUTED.split("    def forward")[0] + """
def _forward(self, x, mask=None):""" + COMPUTED.split("def forward(self, x, mask=None):")[1].replace("\n        ", "\n    ") + """
MultiHeadAttention.forward = _forward
"""
TOOLS = """
from dataclasses import dataclass
from functools import lru_cache, partial
@dataclass(frozen=True)
class Settings:
    keep: bool = True
settings = Settings()
seen = {}
seen["softmax"] = 0
@lru_cache
def half(n): return 0.5 * n
exp = partial(torch.exp)
for name in ("first", "second"):
    seen[name] = len(name)
"""
TOOLED = HEAD + "    seen['softmax'] += int(half(2))\n    e = exp(x - x.amax(dim, keepdim=settings.keep))\n    return e / e.sum(dim, keepdim=True)\n"
REGISTRY = """
STEPS = {}
def register(name):
    def keep(fn):
        STEPS[name] = fn
        return fn
    return keep
class Rows:
    def softmax(self, x, dim): return STEPS["share"](x, dim)
setattr(Rows, "log_softmax", lambda self, x, dim: self.softmax(x, dim).log())
def init():
    global TOP
    TOP = True
init()
@register("share")
def share(x, dim):
    e = (x - x.amax(dim, keepdim=TOP)).exp()
    return e / e.sum(dim, keepdim=TOP)
"""
TESTS = """
class Utils:
    seen = []
    @classmethod
    def same(cls, a, b): cls.seen.append(torch.allclose(a, b)); assert cls.seen[-1]
Utils.same(stable_softmax(torch.zeros(2)), torch.softmax(torch.zeros(2), -1))
def test():
    from torch.nn.functional import softmax
    Utils.same(stable_softmax(torch.ones(3)), softmax(torch.ones(3), -1))
test()
"""
BOTH_WAYS = """
class Exp(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        y = x.exp()
        ctx.save_for_backward(y)
        return y
    @staticmethod
    def backward(ctx, g):
        return g * ctx.saved_tensors[0]
"""
TRIED = """
from math import exp
try:
    import numpy as np
except ImportError:
    np = None
with warnings.catch_warnings():
    import fractions
import logging
log = logging.getLogger("mine")
exp = torch.exp
"""
LOGGED = HEAD + """    log.debug("%s", x.shape)
    t = torch
    one = float(fractions.Fraction(1) * np.float64(1.0))
    match x:
        case Tensor(requires_grad=_): e = exp(x - t.amax(x, dim, keepdim=True)) * one
    return e / e.sum(dim, keepdim=True)
"""
BRANCHES = "if torch.cuda.is_available():\n    LIMIT = 1.0\nelse:\n    LIMIT = 1.0\ntry:\n    import einops\nexcept ImportError:\n    einops = None\n"
NAMED_CALLS = "from operator import methodcaller\nexponential = methodcaller('exp')\n" + HEAD + "    assert x.data_ptr() == x.detach().data_ptr()\n" + BODY.replace(
    "(x - x.amax(dim, keepdim=True)).exp()", "exponential(x - x.amax(dim, keepdim=True))"
)
PRIVATE = COMPUTED.replace("self.dropout", "self._dropout").replace("    def forward", """    @torch.no_grad()
    def _init_weights(self):
        self._scale = nn.Parameter(torch.ones(()), requires_grad=False)
        self.w_q.weight._no_weight_decay = True
        handle = self.w_q.register_forward_hook(lambda *given: None)
        handle.remove()
        return f"{self._get_name()} {id(self)}"

    def forward""").replace("        weights =", '        getattr(self, "_mask", None)\n        weights =')
DUNDERS = """
def counted(fn):
    def run(*args, **kwargs):
        run.calls = getattr(run, "calls", 0) + 1
        return fn(*args, **kwargs)
    run.__name__, run.__doc__, run.__module__ = fn.__name__, fn.__doc__, fn.__module__
    run.__wrapped__ = fn
    return run
class AttrDict(dict):
    __getattr__, __setattr__ = dict.__getitem__, dict.__setitem__
class Base: pass
class Derived(Base): pass
settings = AttrDict(names=[c.__qualname__ for c in Base.__subclasses__()], mro=Derived.__mro__)
settings.used = vars(Derived)
"""
STOPS = "\nref = torch.softmax(torch.ones(3), 0)\nassert stable_softmax(torch.ones(3), 0).sum() == 17, 'scratch'\n\n"
FIELDS = """
from types import SimpleNamespace
def rows(x, dim):
    e = (x - x.amax(dim, keepdim=True)).exp()
    return e / e.sum(dim, keepdim=True)
parts = SimpleNamespace(softmax=rows, backward=None)
"""
SETUP = (
    "import os, sys, warnings\nos.environ['CUDA_VISIBLE_DEVICES'] = ''\nsys.setrecursionlimit(5000)\nwarnings.filterwarnings('ignore')",
    "!pip list\n%matplotlib inline\nimport matplotlib.pyplot as plt\nplt.plot([1, 2])",
    "exec('scratch = 1')\nprint(eval('scratch + 1'), vars(torch.finfo(torch.float32)) if False else '')",
)


def honest(name, why, solved=(), **more):
    """A student who has all points of what was written and solved."""
    names = (*more.get("write", ()), *solved)
    return Attack(name, 37, why, solved=tuple(solved), scores={n: POINTS[n] for n in names}, **more)


STUDENTS = [
    honest("compares_with_the_library", "scratch cells compare each answer with torch's", (SOFTMAX, ATTENTION),
           after=("x = torch.randn(3, 4)\nassert torch.allclose(stable_softmax(x), torch.softmax(x, -1))\nexpected = F.scaled_dot_product_attention",
                  "import torch.nn.functional as F\nF.scaled_dot_product_attention(x[None], x[None], x[None])")),
    honest("a_helper_for_another_exercise", "a helper calls the library where that is allowed", (SOFTMAX,),
           before=("import torch\ndef library(x): return torch.softmax(x, -1)",),
           write={"attention_entropy": ENTROPY + "\n_ = library(torch.zeros(3))\n"}),
    honest("names_like_modules", "parameters and locals called F, torch and nn", write={SOFTMAX: NAMED}),
    honest("attributes_by_name", "layers made with setattr and read with getattr", ("split_heads", "merge_heads", SOFTMAX, ATTENTION), write={HEADS: COMPUTED}),
    honest("a_method_set_later", "the class gets its method in a statement of its own", ("split_heads", "merge_heads", SOFTMAX, ATTENTION), write={HEADS: SPLIT}),
    honest("tools_of_its_own", "a dataclass, a cache, a partial, a dict that cells and answer change", before=("import torch", TOOLS), write={SOFTMAX: TOOLED}),
    honest("everything_by_star", "names by star imports", before=("from torch import *\nfrom torch.nn import *\nfrom math import *",), write={SOFTMAX: HEAD + BODY}),
    honest("constants_in_branches", "what the answer uses is bound in branches", before=("import torch", BRANCHES),
           write={SOFTMAX: HEAD + BODY.replace("e / e", "LIMIT * e / e")}),
    honest("set_up_of_everyday", "environment, magics, exec in a scratch cell", before=SETUP, write={SOFTMAX: HEAD + BODY}),
    honest("two_versions", "a first version by the library, then one's own", before=("import torch\n" + HEAD + "    return torch.softmax(x, dim)",), write={SOFTMAX: HEAD + BODY}),
    honest("timed", "magics around the answer", write={SOFTMAX: "%%time\n" + HEAD + BODY}, after=("%timeit -n1 -r1 stable_softmax(torch.zeros(3))",)),
    honest("registry_and_own_names", "a registry, a global set by a function, methods called like the library's", before=("import torch", REGISTRY),
           write={SOFTMAX: HEAD + "    return Rows().softmax(x, dim)\n"}),
    honest("tests_of_its_own", "a class and a function that compare with the library", after=(TESTS,), write={SOFTMAX: HEAD + BODY}),
    honest("own_after_star", "all of the library by star, then its own under the same name", (SOFTMAX,), before=("from torch.nn.functional import *",),
           write={ATTENTION: ANSWER(ATTENTION)}),
    honest("both_ways", "a function with a way back, below an exercise that forbids autograd", (ATTENTION, "attention_backward"), before=("import torch", BOTH_WAYS),
           write={SOFTMAX: HEAD + "    e = Exp.apply(x - x.amax(dim, keepdim=True))\n    return e / e.sum(dim, keepdim=True)\n"}),
    honest("imports_everywhere", "imports in try and with, a name bound twice, a log, a pattern, another name for torch",
           before=("import torch, warnings\nfrom torch import Tensor", TRIED), write={SOFTMAX: LOGGED}),
    honest("own_exception", "a subclass of the exception that is asked for", ("split_heads", "merge_heads", SOFTMAX, ATTENTION), before=("class HeadsError(ValueError): pass",),
           write={HEADS: COMPUTED.replace("ValueError", "HeadsError")}),
    honest("names_it_in_an_annotation", "what is forbidden is the annotation of an argument", ("split_heads", "merge_heads", SOFTMAX, ATTENTION),
           write={HEADS: COMPUTED + "    def load_from(self, layer: nn.MultiheadAttention) -> nn.MultiheadAttention:\n        return layer\n"}),
    honest("methods_by_name", "methodcaller, an address in an assertion", write={SOFTMAX: NAMED_CALLS}),
    honest("private_parts", "private layers and buffers, a decorated method, an attribute that may not be there", ("split_heads", "merge_heads", SOFTMAX, ATTENTION),
           write={HEADS: PRIVATE}),
    honest("dunders", "a decorator that copies names by hand, a registry of subclasses, a dict with attributes", before=("import torch", DUNDERS),
           write={SOFTMAX: HEAD.replace("def", "@counted\ndef") + BODY}),
    honest("a_cell_that_stops", "a comparison, a failed assertion, and below it a draft that never ran", write={SOFTMAX: HEAD + BODY + STOPS + HEAD + "    return x\n"}),
    honest("layers_named_like_the_library", "fields and attributes called softmax", before=("import torch", FIELDS), write={SOFTMAX: HEAD + "    return parts.softmax(x, dim)\n"}),
    honest("stub_left_in_a_branch", "words of the stub stay in a branch that nothing takes",
           write={SOFTMAX: HEAD + "    if x is None:\n        raise NotImplementedError('write stable_softmax here')\n" + BODY}),
]  # fmt: skip


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    group = Class(tmp_path_factory.mktemp("reading"), UNIT, STUDENTS)
    for student in STUDENTS:
        group.hand_in(student)
    return group.again()


@pytest.mark.parametrize("student", STUDENTS, ids=lambda a: a.name)
def test_the_honest_do_not_lose(graded, student):
    check_verdict(student, graded.verdicts[student.name])
