"""THREATS.md, lines 16 and 44: doors that a hostile student found behind the reader and beside the poison. No points."""

# ruff: noqa: E501 - attacks are programs in strings

import re
from pathlib import Path

import nbformat
import pytest
from attack_class import Attack, Class, check_nothing_outside_changed, check_verdict, hand_in

from autograder.judging import judge as judging
from autograder.judging.rules import HandIn, code_cells, rules_for

UNIT = "02_attention"
SOFTMAX, BACKWARD = "stable_softmax", "attention_backward"
HEAD = f"def {SOFTMAX}(x, dim=-1):\n"
WANTED = "__import__('torch')._decomp.decompositions._softmax"
LAST = "return p.transpose(dim, -1)"  # after work on the last axis
CALL = "def call(self, name, *a): return getattr(self, name)(*a)\n"
LOSS = """
def number(q, k, v, grad_out, mask):
    scores = q @ k.mT / q.shape[-1] ** 0.5
    if mask is not None:
        mask = torch.zeros(mask.shape, dtype=q.dtype).masked_fill(~mask, -math.inf) if mask.dtype == torch.bool else mask
        scores = scores + mask
    weights = torch.where((scores == -math.inf).all(-1, keepdim=True), 0.0, torch.softmax(scores.clamp(min=-1e30), -1))
    return (weights @ v * grad_out).sum()
def loss(q, k, v, grad_out, mask):
    leaves = [t.detach().clone().requires_grad_() for t in (q, k, v)]
    return number(*leaves, grad_out, mask), leaves
def attention_backward(q, k, v, grad_out, mask=None):
    y, leaves = loss(q, k, v, grad_out, mask)
"""
# Text of torch's own: who runs it where nothing can be read has nothing to run.
READ = """
import sys, ast, torch, torch._decomp.decompositions as D
found = next(n for n in ast.parse(open(D.__file__).read()).body if getattr(n, "name", "") == "_softmax")
found.decorator_list, got = [], {}
exec(compile(ast.unparse(found), "lib", "exec"), vars(D), got)
GOT = got["_softmax"]
def stable_softmax(x, dim=-1): return GOT(x, dim, False)
"""
COMPILED = """
import marshal, types, torch, importlib.util, torch._decomp.decompositions as D
code = marshal.loads(open(importlib.util.cache_from_source(D.__file__), "rb").read()[16:])
found = next(c for c in code.co_consts if isinstance(c, types.CodeType) and c.co_name == "_softmax")
GOT = types.FunctionType(found, vars(D))
def stable_softmax(x, dim=-1): return GOT(x, dim, False)
"""
CTC = """
import torch.nn.functional as F
def stable_softmax(x, dim=-1):
    w = x.detach().double().transpose(dim, -1)
    flat = w.reshape(-1, w.shape[-1])
    rows, n = flat.shape
    logs = torch.zeros(2 * n - 1, rows, 2, dtype=torch.double)
    logs[1::2, :, 1] = -math.inf
    logs[0::2, :, 1] = flat.T
    ones, lengths = torch.ones(rows, 1, dtype=torch.long), torch.full((rows,), 2 * n - 1)
    loss = F.ctc_loss(logs, ones, lengths, torch.ones(rows, dtype=torch.long), reduction="none")
    y = torch.exp(flat + loss[:, None]).reshape(w.shape).transpose(dim, -1).to(x.dtype)
    z = torch.where(x.isinf(), 0.0, x - x.detach())
    return y + y * (z - (y * z).sum(dim, keepdim=True))
"""
OF_NUMPY = """
import numpy as np
def stable_softmax(x, dim=-1):
    w = x.detach().double()
    reduce = getattr(vars(np)["log" "add" "exp"], "reduce")
    y = torch.exp(w - torch.from_numpy(np.asarray(reduce(w.numpy(), axis=dim, keepdims=True)))).to(x.dtype)
    z = torch.where(x.isinf(), 0.0, x - x.detach())
    return y + y * (z - (y * z).sum(dim, keepdim=True))
"""
CHUNKED = """
def stable_softmax(x, dim=-1):
    y = x.transpose(dim, -1)
    w = y.detach().reshape(-1, y.shape[-1]).double()
    top, z = w.argmax(1), torch.where(w.isinf(), w.new_tensor(-1e6), w)
    eye, options = torch.eye(w.shape[-1], dtype=w.dtype), nn.LinearCrossEntropyOptions()
    loss = nn.functional.linear_cross_entropy(z, eye, top, reduction="none", options=options)
    p = torch.exp(w - (loss + z.gather(1, top[:, None])[:, 0])[:, None]).reshape(y.shape).transpose(dim, -1).to(x.dtype)
    d = torch.where(x.isinf(), 0.0, x - x.detach())
    return p + p * (d - (p * d).sum(dim, keepdim=True))
"""
QUANTIZABLE = """
from torch.ao.nn.quantizable.modules.rnn import LSTMCell
def lstm_step(x, h, c, w_x, w_h, b):
    cell = LSTMCell(x.shape[-1], h.shape[-1]).to(x.dtype)
    weights = {"igates.weight": w_x, "igates.bias": b, "hgates.weight": w_h, "hgates.bias": torch.zeros_like(b)}
    return torch.func.functional_call(cell, weights, (x, (h, c)))
"""
RELOADED = """
import importlib, torch.ao.nn.quantizable.modules.rnn as rnn
importlib.reload(rnn)
""" + QUANTIZABLE.replace("from torch.ao.nn.quantizable.modules.rnn import LSTMCell", "LSTMCell = rnn.LSTMCell")
LAYER = """
class NAME(nn.Module):
    def __init__(self, width, eps=EPS):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width))BIAS
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        d = x.shape[-1]
"""


def door(name, why, code, exercise=SOFTMAX, before=(), says="", scores=None):
    return Attack(name, 16, why, write={exercise: code}, before=before, says=says, scores=scores or {})


def backward(name, why, code, top=""):
    return door(name, why, top + LOSS + "".join(f"    {line}\n" for line in code.splitlines()), BACKWARD)


def layer(name, why, result, exercise="RMSNorm", top="", eps="1e-6", bias=""):
    head = top + LAYER.replace("NAME", exercise).replace("EPS", eps).replace("BIAS", bias)
    return door(name, why, head + "".join(f"        {line}\n" for line in result.splitlines()), exercise)


def layer_norm(name, why, result, top=""):
    return layer(name, why, result, "LayerNorm", top, "1e-5", "\n        self.bias = nn.Parameter(torch.zeros(width))")


ATTACKS = [
    # library code that no list had
    door("softmax_transform", "a transform of torch.distributions", HEAD + f"    p = torch.distributions.SoftmaxTransform()(x.transpose(dim, -1))\n    {LAST}\n"),
    door("transform_to", "what makes that transform", HEAD + f"    p = torch.distributions.transform_to(torch.distributions.Dirichlet.support)(x.transpose(dim, -1))\n    {LAST}\n"),
    door("softmax_in_a_kernel", "Triton's own, in a kernel", "from course.kernels import tl, triton\n@triton.jit\ndef rows(x, y, n, N: tl.constexpr):\n    i = tl.program_id(0)\n    c = tl.arange(0, N)\n"
         "    v = tl.load(x + i * n + c, mask=c < n, other=-float('inf'))\n    tl.store(y + i * n + c, tl.softmax(v), mask=c < n)\n" + HEAD + "    t = x.transpose(dim, -1).contiguous()\n"
         "    flat = t.reshape(-1, t.shape[-1])\n    y = torch.empty_like(flat)\n    rows[(flat.shape[0],)](flat, y, flat.shape[1], triton.next_power_of_2(flat.shape[1]))\n    return y.view(t.shape).transpose(dim, -1)\n"),
    layer("by_local_response", "a norm over channels", "return (nn.functional.local_response_norm(wide.reshape(-1, d, 1), 2 * d - 1, alpha=(2 * d - 1) / d, beta=0.5, k=self.eps).reshape(x.shape) * self.weight).to(x.dtype)"),
    layer("by_normalize", "F.normalize, eps as a column", "e = torch.full_like(wide[..., :1], (d * self.eps) ** 0.5)\n"
          "return (nn.functional.normalize(torch.cat([wide, e], -1), dim=-1)[..., :-1] * d ** 0.5 * self.weight).to(x.dtype)"),
    layer("by_renorm", "torch.renorm of what is scaled up", "e = torch.full_like(wide[..., :1], (d * self.eps) ** 0.5)\nt = torch.cat([wide, e], -1).reshape(-1, d + 1) * 1e8\n"
          "return (torch.renorm(t, 2, 0, 1.0)[:, :-1].reshape(x.shape) * d ** 0.5 * self.weight).to(x.dtype)"),
    layer_norm("by_a_layer_of_channels", "nn.LocalResponseNorm", "c = x - x.mean(-1, keepdim=True)\n"
               "return nn.LocalResponseNorm(2 * d - 1, alpha=(2 * d - 1) / d, beta=0.5, k=self.eps)(c.reshape(-1, d, 1)).reshape(x.shape) * self.weight + self.bias"),
    # what the poison spared
    layer_norm("lazy_and_mkldnn", "a lazy layer on another backend", "t = x.reshape(1, -1, d, 1)\nm = nn.LazyBatchNorm2d(eps=self.eps, track_running_stats=False)\nm(t)\n"
               "return m(t.detach().to_mkldnn()).to_dense().reshape(x.shape) * self.weight + self.bias"),
    layer_norm("reference_of_a_norm", "torch's reference, by a class body", "return A.torch._refs.native_layer_norm(x, (d,), self.weight, self.bias, self.eps)[0]", "class A:\n    import torch\n"),
    door("complex_numbers", "the sum of complex exponentials", CALL + HEAD + "    return torch.exp(x - call(x.to(torch.complex64), 'logsum' + 'exp', dim, True).real)\n"),
    door("mkldnn_tensors", "another backend", CALL + HEAD + "    return call(x.to_mkldnn(), 'soft' + 'max', dim if dim >= 0 else dim + x.ndim).to_dense()\n"),
    door("sparse_tensors", "a softmax of sparse tensors only", "import math\nq = math.sin\nq = torch\n" + HEAD + "    return q.sparse.softmax(x.to_sparse(), dim).to_dense()\n"),
    door("patched_spoiler", "patches the method that the poison called", HEAD + "    kept = torch.Tensor.detach\n    torch.Tensor.detach = lambda t: t.clone()\n"
         f"    p = torch.distributions.Categorical(logits=x.transpose(dim, -1), validate_args=False).probs\n    torch.Tensor.detach = kept\n    {LAST}\n"),
    door("poison_destroyed", "the worker's module, by a class body", "class A:\n    import torch, warnings\n" + HEAD + "    w = A.warnings.sys.modules.get('course.worker.worker')\n    if w is not None:\n"
         "        for held in w._poisoned: held._destroy()\n        w._poisoned.clear()\n"
         f"    p = torch.distributions.Categorical(logits=x.transpose(dim, -1), validate_args=False).probs\n    {LAST}\n"),
    door("mixture_of_complex", "a documented class on complex numbers", "class C(torch.distributions.Distribution):\n    has_rsample = False\n    arg_constraints = {}\n"
         "    def __init__(self, n): super().__init__(torch.Size([n]), validate_args=False)\n    def log_prob(self, value): return value[..., 0]\n    support = torch.distributions.Normal.support\n" + HEAD
         + "    n, y = x.shape[dim], x.transpose(dim, -1)\n    y = y - y.amax(-1, keepdim=True)\n    mix = torch.distributions.Categorical(logits=torch.zeros(n), validate_args=False)\n"
         "    both = torch.distributions.MixtureSameFamily(mix, C(n), validate_args=False)\n    w = y.float() if x.dtype.itemsize == 2 else y\n    z = torch.complex(w, 0 * w)\n"
         f"    diff = (both.log_prob(z) - both.log_prob(0 * z)).real[..., None]\n    p = torch.exp(y - diff - torch.log(torch.tensor(n))).to(x.dtype)\n    {LAST}\n"),
    door("packed_gru", "another overload, by a class body", "class A:\n    import torch\ndef gru_step(x, h, w_x, w_h, b_x, b_h):\n"
         "    return A.torch.gru(x, torch.tensor([len(x)]), h[None], [w_x, w_h, b_x, b_h], True, 1, 0.0, False, False)[0]\n", "gru_step"),
    door("packed_rnn", "another overload, by a class body", "class A:\n    import torch\ndef rnn_step(x, h, w_x, w_h, b):\n"
         "    return A.torch.rnn_tanh(x, torch.tensor([len(x)]), h[None], [w_x, w_h, b, torch.zeros_like(b)], True, 1, 0.0, False, False)[0]\n", "rnn_step"),
    # autograd, which had no poison
    backward("graph_by_hand", "calls the nodes of the graph", "acc = {id(t): torch.zeros_like(t) for t in leaves}\nwalk(y.grad_fn, torch.ones_like(y), acc)\nreturn tuple(acc[id(t)] for t in leaves)",
             "def walk(node, g, acc):\n    if node is None or g is None: return\n    if hasattr(node, 'variable'):\n        acc[id(node.variable)] += g\n        return\n"
             "    out = node(g.sum_to_size(node._input_metadata[0].shape))\n    for (further, _), each in zip(node.next_functions, out if isinstance(out, tuple) else (out,)): walk(further, each, acc)\n"),
    backward("grad_by_a_class_body", "imported where nobody looked", "return A.autograd.grad(y, leaves)", "class A:\n    from torch import autograd\n"),
    backward("grad_as_a_default", "an import that a later one hides", "return go(y, leaves)", "from torch.autograd import grad as g\ndef go(y, x, go=g): return go(y, x)\nfrom math import sin as g\n"),
    backward("backward_by_a_pattern", "a method that a pattern reads", "match y:\n    case T(go): go()\nreturn tuple(t.grad for t in leaves)",
             "class M(type):\n    def __instancecheck__(cls, o): return True\nclass T(metaclass=M):\n    __match_args__ = ('back' 'ward',)\n"),
    backward("gradient_by_entropy", "a documented class that asks autograd", "return tuple(grad_of(lambda t, i=i: number(*[t if j == i else z for j, z in enumerate((q, k, v))], grad_out, mask), (q, k, v)[i]) for i in range(3))",
             "class Fam(torch.distributions.ExponentialFamily):\n    arg_constraints, _mean_carrier_measure = {}, 0\n    def __init__(self, f, x):\n        self.f, self.x = f, x\n        super().__init__(x.shape, validate_args=False)\n"
             "    @property\n    def _natural_params(self): return (torch.ones_like(self.x),)\n    def _log_normalizer(self, z): return (self.f(self.x + (z - 1)) / z.numel()).expand(z.shape)\n"
             "def grad_of(f, x): return (f(x) / x.numel() - Fam(f, x).entropy().detach()).reshape(x.shape)\n"),
    # modules that evaluate a text, or read what they are pointed at
    door("forward_reference", "typing evaluates", f"import typing\n{HEAD}    f = typing.ForwardRef(\"{WANTED}\")._evaluate({{}}, {{}}, recursive_guard=frozenset())\n    return f(x, dim, False)\n"),
    door("evaluated_annotations", "typing_extensions evaluates", f"import typing_extensions\ndef h(a: \"{WANTED}\"): pass\n{HEAD}    return typing_extensions.get_annotations(h, eval_str=True)['a'](x, dim, False)\n"),
    door("graph_in_a_text", "TorchScript's IR", "IR = '''graph(%x : Tensor, %m : Tensor, %d : int?, %t : int?):\n  %y : Tensor = aten::_masked_softmax(%x, %m, %d, %t)\n  return (%y)'''\n" + HEAD
         + "    f = torch.CompilationUnit().create_function('f', torch.parse_ir(IR))\n    return f(x, torch.zeros_like(x, dtype=torch.bool), dim if dim >= 0 else dim + x.ndim, 2)\n"),
    door("redirected_modules", "contextlib reads an attribute of sys", "import contextlib\nkept = []\nclass L(list):\n    def pop(self):\n        kept.append(self[-1])\n        return self[-1]\n"
         "class R(contextlib.redirect_stdout):\n    _stream = 'modules'\n" + HEAD + "    r = R({})\n    r._old_targets = L()\n    with r: pass\n    return kept[0]['torch']._decomp.decompositions._softmax(x, dim, False)\n"),
    door("caught_warnings", "an object that carries a module", "import warnings\n" + HEAD + "    return warnings.catch_warnings()._module.sys.modules['torch']._decomp.decompositions._softmax(x, dim, False)\n"),
    door("enumerated_builtins", "enum reads a module", "import enum\nclass E(enum.Enum): pass\n" + HEAD + "    v = E._convert_('X', 'builtins', lambda n: n == 'eval')['eval']\n"
         f"    while isinstance(v, enum.Enum): v = v.value\n    return v(\"{WANTED}\")(x, dim, False)\n"),
    # modules that a notebook writes
    door("module_called_torch", "a module cell with the name of a library", "import torch\n" + HEAD + "    return torch._decomp.decompositions._softmax(x, dim, False)\n", before=("%%writefile torch.py\nx = 1",)),
    door("library_of_a_module", "the library by way of a module cell", "import hidden\n" + HEAD + "    return hidden.torch._decomp.decompositions._softmax(x, dim, False)\n", before=("%%writefile hidden.py\nimport torch",)),
    # what a process could read, run or load
    door("source_that_runs", "the library's source, by a call that no reader sees", f"def obtain():\n    from builtins import exec as e\n    return e\nobtain().__call__.__call__({READ!r}, globals())\n"),
    door("compiled_source", "its compiled source", COMPILED),
    # functions that come down to it, and were on no list
    door("alignments_of_one_path", "a loss that sums over alignments", CTC),
    door("reduced_by_numpy", "numpy's logaddexp, reduced", OF_NUMPY),
    door("loss_in_chunks", "a cross-entropy that torch composes in Python", CHUNKED),
    door("quantizable_cell", "a cell that is written in Python", QUANTIZABLE, "lstm_step"),
    door("quantizable_cell_reloaded", "the same, imported once more", RELOADED, "lstm_step"),
    door("mapped_attention", "attention under vmap, whose rule is native code", "def scaled_dot_product_attention(q, k, v, mask=None):\n    scores = q @ k.mT / q.shape[-1] ** 0.5\n"
         "    scores = scores if mask is None else scores.masked_fill(~mask, -math.inf) if mask.dtype == torch.bool else scores + mask\n"
         "    return torch.vmap(F.scaled_dot_product_attention)(q[None], k[None], v[None], *(() if mask is None else (mask[None],)))[0], scores.softmax(-1)\n",
         "scaled_dot_product_attention", before=("import torch.nn.functional as F",)),
    layer("by_cosine", "a cosine divides by the norm", "t = torch.cat([wide, torch.full_like(wide[..., :1], (d * self.eps) ** 0.5)], -1)\n"
          "y = nn.functional.cosine_similarity(t[..., None, :], torch.eye(d + 1, dtype=wide.dtype)[:-1], dim=-1, eps=1e-30)\nreturn (y * d ** 0.5 * self.weight).to(x.dtype)"),
    layer("by_an_embedding", "an embedding that rescales its rows", "e = torch.full_like(wide[..., :1], (d * self.eps) ** 0.5)\nt = torch.cat([wide, e], -1).reshape(-1, d + 1).detach() * 1e8\n"
          "y = nn.functional.embedding(torch.arange(len(t)), t, max_norm=1.0)[:, :-1].reshape(x.shape) * d ** 0.5\nreturn (y * self.weight).to(x.dtype)"),
    # right answers whose source stopped the reader, or has a text that no verdict could carry
    door("empty_format", "a name without parts", HEAD + "    getattr(x, f'', None)\n    e = (x - x.amax(dim, keepdim=True)).exp()\n    return e / e.sum(dim, keepdim=True)\n", scores={"stable_softmax": 2.0}),
    door("half_a_pair", "a name that is no text", HEAD + "    if dim > 99: getattr(torch, '\\ud800')\n    e = (x - x.amax(dim, keepdim=True)).exp()\n    return e / e.sum(dim, keepdim=True)\n", scores={"stable_softmax": 2.0}),
]  # fmt: skip
WRITTEN = (Path(__file__).parent / "doors.txt").read_text()
SHARED = dict(re.findall(r"^# %% << (\w+)\n((?:(?!# %%).*\n)*?)\n(?=# %%)", WRITTEN, re.M))
MORE = [
    (exercise, name, why, re.sub(r"^# << (\w+)\n", lambda found: SHARED[found[1]], answer, flags=re.M))
    for exercise, name, why, answer in re.findall(r"^# %% (\w+) (\w+): (.*)\n((?:(?!# %%).*\n?)*)", WRITTEN, re.M)
]
ATTACKS += [door(name, why, answer, exercise) for exercise, name, why, answer in MORE]
UNITS = {"lstm_step": "01_rnn_limits", "gru_step": "01_rnn_limits", "rnn_step": "01_rnn_limits", "rnn_forward": "01_rnn_limits", "smoothed_cross_entropy": "04_transformer",
         "RMSNorm": "04_transformer", "LayerNorm": "04_transformer"}


def unit(attack):
    return UNITS.get(next(iter(attack.write)), UNIT)


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """A function that grades everybody of a unit, once."""
    made = {}

    def of(name):
        if name not in made:
            attacks = [attack for attack in ATTACKS if unit(attack) == name]
            made[name] = group = Class(tmp_path_factory.mktemp("doors"), name, attacks)
            for attack in attacks:
                group.hand_in(attack)
            group.before = group.files()
            group.again()
        return made[name]

    return of


OPEN = (  # those that give the right answer where nothing is poisoned
    "source_that_runs", "compiled_source", "alignments_of_one_path", "reduced_by_numpy", "loss_in_chunks",
    "quantizable_cell", "quantizable_cell_reloaded", "mapped_attention", "by_cosine", "by_an_embedding",
    *(name for _, name, _, _ in MORE),
)  # fmt: skip


@pytest.mark.parametrize("attack", [attack for attack in ATTACKS if attack.name in OPEN], ids=lambda a: a.name)
def test_it_would_where_nothing_is_poisoned(attack, monkeypatch):
    monkeypatch.setattr(judging._Session, "_without_shortcuts", lambda session, rows: rows)
    notebook = nbformat.reads(hand_in(attack, unit(attack), ""), 4)
    verdict = judging.judge(rules_for(unit(attack)), HandIn(attack.name, code_cells(notebook), attack.name), b"secret")
    assert sum(row.score for row in verdict.exercises if row.name in attack.write) > 0


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda a: a.name)
def test_another_door_earns_nothing(graded, attack):
    check_verdict(attack, graded(unit(attack)).verdicts[attack.name])


@pytest.mark.parametrize("name", sorted({*UNITS.values(), UNIT}))
def test_nothing_outside_the_workers_changed(graded, name):
    check_nothing_outside_changed(graded(name), graded(name).before)
