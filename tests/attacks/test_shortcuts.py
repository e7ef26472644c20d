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


def shortcut(name, why, softmax, attention="", before=(), states=None, says="", after=()):
    write = {SOFTMAX: softmax} | ({ATTENTION: BIASED.replace("ATTEND", attention)} if attention else {})
    return Attack(name, 16, why, write=write, before=before, after=after, states=states or {}, says=says)


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
    shortcut(
        "unreadable_source", "right code beside source that breaks a careless reader of source: held, and the run goes on",
        DEEP + "def stable_softmax(x, dim=-1):\n    y = (weigh(x) - x.amax(dim, keepdim=True)).exp()\n"
        "    return y / y.sum(dim, keepdim=True)\n",
        after=("def stable_softmax(x, dim=-1):\n    nonlocal y\n",), states=HELD, says="can't be read",
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
