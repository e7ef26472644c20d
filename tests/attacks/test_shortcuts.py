"""THREATS.md, line 16: calling what should be written, in every disguise we know. No points, and a reason in words."""

# ruff: noqa: E501 - attacks are programs in strings

import pytest
from attack_class import Attack, Class, check_nothing_outside_changed, check_verdict, controls, unit_of

UNIT = "02_attention"
POINTS = unit_of(UNIT).points
SOFTMAX, ATTENTION = "stable_softmax", "scaled_dot_product_attention"
HEAD = f"def {SOFTMAX}(x, dim=-1):\n"
BIASED = """
def scaled_dot_product_attention(q, k, v, mask=None):
    scores = q @ k.mT / q.shape[-1] ** 0.5
    scores = scores if mask is None else scores.masked_fill(~mask, float("-inf"))
    weights = scores.softmax(-1)
    return ATTEND(q, k, v, attn_mask=mask), weights
"""
# The poison can be noticed, and a cheat may then behave: it must not have anything to fall back on.
NOTICED = "import torch\npoisoned = bool((tools[0](torch.zeros(2), 0) - 0.5).abs().max() > 1e-3)\n"
HIDDEN = """
import torch.nn.functional as F
tools = []
for name in dir(F):
    if name[:2] == "so" and len(name) == 7:
        tools.append(vars(F)[name])
"""
DEEP = "def weigh(x):\n    return x * (" + " + ".join(["0"] * 400) + " + 1)\n"


WRONG = HEAD + "    return x\n"
RIGHT = HEAD + "    e = (x - x.amax(dim, keepdim=True)).exp()\n    return e / e.sum(dim, keepdim=True)\n"
MULTIHEAD = "MultiHeadAttention"
REPLACE = "exec('import torch\\nstable_softmax = lambda x, dim=-1: torch.softmax(x, dim)')"
WRITES = "!printf 'import torch\\nstable_softmax = lambda x, dim=-1: torch.softmax(x, dim)' > hidden.py"
LIBRARY_HEADS = """
class MultiHeadAttention(nn.Module):
    def __init__(self, d_model, num_heads, dropout=0.0):
        super().__init__()
        if d_model % num_heads:
            raise ValueError("D is not a multiple of H")
        self.d_model, self.num_heads, self.rate = d_model, num_heads, dropout
        for name in ("w_q", "w_k", "w_v", "w_o"):
            setattr(self, name, nn.Linear(d_model, d_model))

    def forward(self, x, mask=None, return_weights=False):
        b, t, _ = x.shape
        if mask is not None:
            blocked = ~mask if mask.dtype == torch.bool else mask
            mask = blocked.expand(b, self.num_heads, t, t).reshape(b * self.num_heads, t, t)
        weight = torch.cat([self.w_q.weight, self.w_k.weight, self.w_v.weight])
        bias = torch.cat([self.w_q.bias, self.w_k.bias, self.w_v.bias])
        y = x.transpose(0, 1)
        out, w = heads(y, y, y, self.d_model, self.num_heads, weight, bias, None, None, False, self.rate, self.w_o.weight,
                       self.w_o.bias, training=self.training, need_weights=True, attn_mask=mask, average_attn_weights=False)
        out = out.transpose(0, 1)
        return (out, w) if return_weights else out
"""


BLIND = "_ = !true\nimport torch, math\nfrom torch import Tensor, nn\n"
UNDO = "for held in w._poisoned: held._destroy()\nw._poisoned.clear()\nimport gc\ngc.collect()\n"


def shortcut(name, why, softmax, attention="", before=(), states=None, says="", after=(), write=None, scores=None):
    write = (write or {}) | {SOFTMAX: softmax} | ({ATTENTION: BIASED.replace("ATTEND", attention)} if attention else {})
    return Attack(
        name, 16, why, write=write, before=before, after=after, states=states or {}, says=says, scores=scores or {}
    )


FORBIDDEN, HELD = {SOFTMAX: "forbidden"}, {SOFTMAX: "held"}
BOTH = {SOFTMAX: "forbidden", ATTENTION: "forbidden"}
ATTACKS = [
    *controls(UNIT, (SOFTMAX, ATTENTION, "causal_mask"), {SOFTMAX: HEAD + "    return x.exp() / x.exp().sum()\n"}),
    shortcut(
        "alias", "through an import alias and a name of its own",
        "import torch.nn.functional as zz\nsquash = zz.softmax\n" + HEAD + "    return squash(x, dim)\n",
        "torch.nn.functional.scaled_dot_product_attention", states=BOTH, says="asks you to write it",
    ),
    shortcut(
        "getattr", "getattr with a built string", HEAD + "    return getattr(torch, 'soft' + 'max')(x, dim)\n",
        "getattr(torch.nn.functional, 'scaled_dot_' + 'product_attention')", states=BOTH,
    ),
    shortcut(
        "operators", "torch.ops.aten and torch._C", HEAD + "    return torch.ops.aten._softmax(x, dim, False)\n",
        "torch._C._nn.scaled_dot_product_attention", states=BOTH,
    ),
    shortcut(
        "exec", "exec and importlib", "exec(bytes(c ^ 1 for c in bytes(c ^ 1 for c in b'import torch as t\\ng = t.softmax')))\n"
        + HEAD + "    return g(x, dim)\n",
        "__import__('importlib').import_module('torch.nn.functional').scaled_dot_product_attention", states=BOTH,
    ),
    shortcut(
        "nested_module", "a library layer inside a module of its own, star imports",
        "from torch.nn import *\nclass Squash(Module):\n    def __init__(self, dim):\n        super().__init__()\n"
        "        self.inner = Sequential(Softmax(dim))\n    def forward(self, x):\n        return self.inner(x)\n"
        + HEAD + "    return Squash(dim)(x)\n",
        "(lambda q, k, v, attn_mask: torch._scaled_dot_product_attention_math(q, k, v, attn_mask)[0])", states=BOTH,
    ),
    shortcut(
        "monkey_patch", "another torch function that is the library's softmax by now",
        HEAD + "    return torch.tanh(x, dim)\n", after=("setattr(torch, 'tanh', torch.softmax)",), states=FORBIDDEN,
    ),
    shortcut(
        "hidden_and_undone_by_arithmetic", "hidden from the source reader; works the poison back out of the numbers",
        HEAD + "    y = tools[0](x, dim)\n    return (y - 0.25) / 1.5 if poisoned else y\n", before=(HIDDEN, NOTICED),
    ),
    shortcut(
        "hidden_and_looked_up", "hidden; under poison it answers from the recorded cases",
        "from course import cases\nTABLE = cases.load('cases.npz').check('stable_softmax')\n"
        "def known(x, dim):\n    for case in TABLE.cases:\n        for i, step in enumerate(case.steps):\n"
        "            same = step.args and isinstance(step.args[0], torch.Tensor) and step.args[0].shape == x.shape\n"
        "            if same and torch.equal(step.args[0], x) and (step.kwargs or {}).get('dim', -1) == dim:\n"
        "                return case.steps[i + 1].args[1].to(x.dtype)\n    return x\n"
        + HEAD + "    return known(x, dim) if poisoned else tools[0](x, dim)\n", before=(HIDDEN, NOTICED),
    ),
    shortcut(
        "poison_undone", "the override's library object destroyed before the call",
        HEAD + "    return torch.softmax(x, dim)\n",
        before=("import course.worker.worker as w, gc\nfor held in w._poisoned:\n    held._destroy()\nw._poisoned.clear()\ngc.collect()",),
        states=FORBIDDEN, says="asks you to write it",
    ),
    shortcut(
        "other_process", "a fresh interpreter, never poisoned, does the work",
        "import os\n" + HEAD + "    torch.save((x, dim), '/tmp/in')\n"
        "    os.system('/env/bin/python -c \"import torch; x, d = torch.load(chr(47)+chr(116)+chr(109)+chr(112)+chr(47)+"
        "chr(105)+chr(110)); torch.save(x.softmax(d), chr(47)+chr(116)+chr(109)+chr(112)+chr(47)+chr(111))\"')\n"
        "    return torch.load('/tmp/o')\n",
    ),
    # hidden in what reading leaves out: the class also runs the notebook without it
    shortcut("redefined_by_exec", "a scratch cell runs text that replaces the answer", WRONG, after=(REPLACE,), states=FORBIDDEN),
    shortcut("redefined_by_run", "%run of a file that the shell wrote", WRONG, after=(WRITES, "%run hidden.py"), states=HELD),
    shortcut("redefined_by_automagic", "a single line that IPython takes for a magic", WRONG, after=(WRITES, "run hidden.py"), states=HELD),
    shortcut("redefined_in_timeit", "a patch of the library inside %timeit", HEAD + "    return torch.tanh(x, dim)\n",
             after=("%timeit -n1 -r1 setattr(torch, 'tanh', torch.softmax)",), states=FORBIDDEN),
    shortcut("redefined_in_a_shell_line", "IPython evaluates {...} in lines for the shell", HEAD + "    return torch.tanh(x, dim)\n",
             after=("!echo {setattr(torch, 'tanh', torch.softmax)}",), states=FORBIDDEN),
    shortcut("imported_unread", "a module that the shell wrote", "from hidden import stable_softmax\n", before=(WRITES,), states=HELD),
    shortcut("written_and_computed", "a module that the notebook wrote, with a computed name",
             "from hidden import f\n" + HEAD + "    return f(x, dim)\n", states=FORBIDDEN,
             before=("%%writefile hidden.py\nimport torch\nf = getattr(torch, 'so' + chr(102) + 'tmax')",)),
    shortcut("transformed_source", "a transformer of IPython's input changes what a cell says", HEAD + "    return torch.tanh(x, dim)\n",
             before=("get_ipython().input_transformers_post.append(lambda ls: [l.replace('tanh', 'softmax') for l in ls])",), states=FORBIDDEN),
    shortcut("kept_the_old_one", "the answer calls the one that it replaced", HEAD + "    return old(x, dim)\n",
             before=("import torch\n" + HEAD + "    return torch.softmax(x, dim)\nold = stable_softmax",), states=FORBIDDEN),
    shortcut("never_poisoned", "composed of operators that the exercise needs, and named where nobody reads", RIGHT, states={MULTIHEAD: "forbidden"},
             write={MULTIHEAD: LIBRARY_HEADS}, before=("exec('import torch\\nheads = torch.nn.functional.multi_head_attention_forward')",),
             scores={SOFTMAX: POINTS[SOFTMAX]}),
    shortcut("never_poisoned_in_a_file", "the same, from a module that the shell wrote", RIGHT, states={MULTIHEAD: "held"},
             write={MULTIHEAD: "from hidden import heads\n" + LIBRARY_HEADS}, scores={SOFTMAX: POINTS[SOFTMAX]},
             before=("!printf 'from torch.nn.functional import multi_head_attention_forward as heads' > hidden.py",)),
    shortcut("never_poisoned_in_a_package", "the same, under the name of an installed package", RIGHT, states={MULTIHEAD: "forbidden"},
             write={MULTIHEAD: "from babel import heads\n" + LIBRARY_HEADS}, scores={SOFTMAX: POINTS[SOFTMAX]},
             before=("with open('babel.py', 'w') as f:\n    f.write('from torch.nn.functional import multi_head_attention_forward as heads')",)),
    # answers through names that no list has
    shortcut("blind_cell", "a cell with a line for the shell in an assignment", BLIND + HEAD + "    return torch.softmax(x, dim)\n",
             before=(BLIND + "import course.worker.worker as w\n" + UNDO,), states=FORBIDDEN),
    shortcut("blind_exec", "the same, and its text runs", BLIND + "exec('def stable_softmax(x, dim=-1): return torch.softmax(x, dim)')\n",
             before=(BLIND + "import course.worker.worker as w\n" + UNDO,), states=FORBIDDEN),
    shortcut("undone_by_another_way", "the worker's module by way of os", HEAD + "    return tools[0](x, dim)\n",
             before=("import os\nw = os.sys.modules['course.worker.worker']\n" + UNDO, HIDDEN), states=FORBIDDEN),
    shortcut("references", "torch's own reference of it in Python", HEAD + "    return R.softmin(-x, dim)\n",
             before=("import torch._refs.nn.functional as R",), states=FORBIDDEN),
    shortcut("decomposition", "a decomposition", HEAD + "    return D._softmax(x, dim, False)\n",
             before=("import torch._decomp.decompositions as D",), states=FORBIDDEN, says="`_softmax`"),
    shortcut("private_function", "a private one", HEAD + "    return torch._masked_softmax(x, torch.zeros_like(x, dtype=torch.bool), dim, 2)\n",
             states=FORBIDDEN),
    shortcut("caught", "it computes itself where the call is refused: it called it, and so the notebook says, too",
             HEAD + "    try:\n        return torch.softmax(x, dim)\n    except RuntimeError:\n        e = (x - x.amax(dim, keepdim=True)).exp()\n"
             "        return e / e.sum(dim, keepdim=True)\n", states=FORBIDDEN),
    shortcut("caught_unread", "the same, named where nobody reads", HEAD + "    try:\n        return tools[0](x, dim)\n    except RuntimeError:\n"
             "        e = (x - x.amax(dim, keepdim=True)).exp()\n        return e / e.sum(dim, keepdim=True)\n", before=(HIDDEN,), states=FORBIDDEN, says="`_softmax`"),
    shortcut("another_backend", "on mkldnn tensors", HEAD + "    return act.Softmax(dim)(x.to_mkldnn()).to_dense()\n",
             before=("import torch.nn.modules.activation as act",), states=FORBIDDEN),
    shortcut("module_of_a_module", "F by way of the module that imports it, under vmap", WRONG, states={ATTENTION: "forbidden"},
             before=("import torch.nn.modules.activation as act",),
             write={ATTENTION: BIASED.replace("ATTEND", "torch.vmap(act.F.scaled_dot_product_attention)")}),
    shortcut("everything_of_a_module", "flex attention, with a star", WRONG, states={ATTENTION: "held"}, says="can't be called",
             before=("from torch.nn.attention.flex_attention import *",),
             write={ATTENTION: BIASED.replace("ATTEND(q, k, v, attn_mask=mask)", "flex_attention(q[None], k[None], v[None])[0]").replace(
                 "scores.softmax(-1)", "torch.exp(scores) / torch.exp(scores).sum(-1, keepdim=True)")}),
    shortcut("the_courses_own", "what another unit is given", "from course.models import masked_softmax\n" + HEAD
             + "    return masked_softmax(x.transpose(dim, -1)).transpose(dim, -1)\n", states=FORBIDDEN),
    shortcut("by_a_distribution", "documented, and comes down to it", HEAD + "    return torch.distributions.Categorical(logits=x.transpose(dim, -1)).probs.transpose(dim, -1)\n", states=FORBIDDEN),
    shortcut("matched", "an attribute that a pattern reads", HEAD + "    match torch:\n        case object(_masked_softmax=f): return f(x, x > 1e30, dim, 2)\n",
             states=FORBIDDEN),
    shortcut("reduced", "getattr as a function among others", "from functools import reduce\n" + HEAD
             + "    return reduce(getattr, 'nn functional soft_max'.replace('_', '').split(), torch)(x, dim)\n", states=FORBIDDEN),
    shortcut("formatted", "an attribute that a format string reads", "import string\n" + HEAD
             + "    return string.Formatter().get_field('0.softmax', (torch,), {})[0](x, dim)\n", states=FORBIDDEN),
    shortcut("by_a_frame", "the globals of a generator's frame", "def g():\n    yield\n" + HEAD
             + "    return g().gi_frame.f_globals['torch']._refs.special.softmax(x, dim)\n", before=("import torch._refs.special",), states=FORBIDDEN),
    shortcut("unpickled", "a pickle in an array that the answer writes itself", "import numpy as np, base64\nPICKLE = base64.b64decode("
             "'k05VTVBZAQBGAHsnZGVzY3InOiAnfE8nLCAnZm9ydHJhbl9vcmRlcic6IEZhbHNlLCAnc2hhcGUnOiAoKSwgfSAgICAgICAgICAgICAgCg==') + b'cbuiltins\\neval\\n(Vtorch.softmax\\ntR.'\n"
             + HEAD + "    with open('/tmp/a.npy', 'wb') as file:\n        file.write(PICKLE)\n    return np.load('/tmp/a.npy', allow_pickle=True)(x, dim)\n"),
    shortcut(
        "unreadable_source", "right code beside source that breaks a careless reader of source: it counts, and the run goes on",
        DEEP + "def stable_softmax(x, dim=-1):\n    y = (weigh(x) - x.amax(dim, keepdim=True)).exp()\n"
        "    return y / y.sum(dim, keepdim=True)\n",
        after=("def stable_softmax(x, dim=-1):\n    nonlocal y\n",), scores={SOFTMAX: 2.0},
    ),
]  # fmt: skip


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    group = Class(tmp_path_factory.mktemp("shortcuts"), UNIT, ATTACKS)
    for attack in ATTACKS:
        group.hand_in(attack)
    group.before = group.files()
    return group.again()


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda a: a.name)
def test_a_shortcut_earns_nothing(graded, attack):
    check_verdict(attack, graded.verdicts[attack.name])


def test_nothing_outside_the_workers_changed(graded):
    check_nothing_outside_changed(graded, graded.before)
