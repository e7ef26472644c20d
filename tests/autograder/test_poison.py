"""What a poisoned run does to the library: no way to a forbidden operator that we know gives its numbers there."""

# ruff: noqa: E501 - programs in strings

import sys

import pytest

from autograder.sandbox.sandbox import Limits, Sandbox, why_not
from course.checking.forbidden import FAMILIES, poisons

if sys.platform != "linux" or why_not():
    pytest.skip("the sandbox needs Linux and namespaces", allow_module_level=True)

SETUP = """
import warnings
warnings.simplefilter("ignore")
import torch, torch.autograd.forward_ad, torch.nn.attention.flex_attention
from torch import nn
from torch.nn import functional as F
D, R, A = torch._decomp.decompositions, torch._refs, torch.ops.aten
torch.manual_seed(0)
x = torch.randn(2, 3)
def gives(call, right):
    try:
        got = eval(call, globals())
        return got.shape == right.shape and torch.allclose(got.float(), right, atol=1e-2)
    except Exception:
        return False
"""
RIGHT = {  # family -> what sets its numbers up, with the right answer
    "softmax": "right = x.exp() / x.exp().sum(-1, keepdim=True)\nlse = x.exp().sum(-1).log()",
    "attention": "q = x[None, None]\nright = x.matmul(x.mT).div(3 ** 0.5).exp()\nright = (right / right.sum(-1, keepdim=True)) @ x",
    "recurrence": "w = [torch.randn(3, 3), torch.randn(3, 3), torch.randn(3), torch.randn(3)]\nh, n = torch.randn(2, 3), torch.tensor([2])\n"
    "right = torch.tanh(x @ w[0].T + w[2] + h @ w[1].T + w[3])",
    "normalisation": "right = (x - x.mean(-1, keepdim=True)) / (x.var(-1, correction=0, keepdim=True) + 1e-5).sqrt()\n"
    "rms = x / (x * x).mean(-1, keepdim=True).sqrt()\nimage = x.reshape(1, 2, 3, 1)\nones = torch.ones(2), torch.zeros(2)",
    "autograd": "y, right = x.clone().requires_grad_(), x.cos()\ndef pull(f, *a):\n    f(*a)\n    return y.grad\n"
    "def dual():\n    ad = torch.autograd.forward_ad\n    with ad.dual_level():\n"
    "        return ad.unpack_dual(ad.make_dual(x, torch.ones(2, 3)).sin()).tangent\n",
}  # fmt: skip
WAYS = {
    "softmax": """
        torch.softmax(x, -1)
        torch.softmax(x.bfloat16(), -1)
        torch.exp(x - x.to(torch.complex64).logsumexp(-1, True).real)
        x.to_mkldnn().softmax(-1).to_dense()
        torch.sparse.softmax(x.to_sparse(), -1).to_dense()
        torch.sparse.log_softmax(x.to_sparse(), -1).to_dense().exp()
        torch.nested.nested_tensor([x[0], x[1]]).softmax(-1).to_padded_tensor(0.0)
        torch._masked_softmax(x, x > 99, -1, 2)
        A._safe_softmax(x, -1)
        D._softmax(x, -1, False)
        D._log_softmax(x, -1, False).exp()
        D.safe_softmax(x, -1)
        R.softmax(x, -1)
        R.special.softmax(x, -1)
        torch.exp(x - R.logsumexp(x, -1, True))
        R.nn.functional.log_softmax(x, -1).exp()
        torch.distributions.SoftmaxTransform()(x)
        torch.vmap(lambda row: row.softmax(-1))(x)
    """,
    "attention": """
        F.scaled_dot_product_attention(q, q, q)[0, 0]
        torch._scaled_dot_product_attention_math(q, q, q)[0][0, 0]
        A.scaled_dot_product_attention.default.decompose(q, q, q)[0, 0]
        D.scaled_dot_product_flash_attention_for_cpu(q, q, q)[0][0, 0]
        torch.nn.attention.flex_attention.flex_attention(q, q, q)[0, 0]
    """,
    "recurrence": """
        torch.rnn_tanh_cell(x, h, *w)
        torch.rnn_tanh(x, n, h[None], w, True, 1, 0.0, False, False)[0]
        torch.rnn_tanh(x[None], h[None], w, True, 1, 0.0, False, False, False)[0][0]
        A.rnn_tanh_cell.default.decompose(x, h, *w)
        D.rnn_tanh_input(x[None], h[None], w, True, 1, 0.0, False, False, False)[0][0]
    """,
    "normalisation": """
        F.layer_norm(x, (3,))
        A.layer_norm.default.decompose(x, (3,))
        R.native_layer_norm(x, (3,), None, None, 1e-5)[0]
        R.nn.functional.layer_norm(x, (3,))
        nn.LazyBatchNorm2d(track_running_stats=False)(image).reshape(2, 3)
        torch.batch_norm(image.to_mkldnn(), *ones, None, None, True, 0.1, 1e-5, False).to_dense().reshape(2, 3)
        F.local_response_norm((x - x.mean(-1, keepdim=True))[..., None], 5, 5 / 3, 0.5, 1e-5)[..., 0]
        F.normalize(x - x.mean(-1, keepdim=True), dim=-1) * 3 ** 0.5
        torch.renorm((x - x.mean(-1, keepdim=True)) * 1e6, 2, 0, 1.0) * 3 ** 0.5
        torch._weight_norm(x - x.mean(-1, keepdim=True), torch.ones(2, 1)) * 3 ** 0.5
    """,
    "autograd": """
        pull(y.sin().sum().backward)
        torch.autograd.grad(y.sin().sum(), y)[0]
        torch.enable_grad()(torch.inference_mode(False)(lambda: torch.autograd.grad(y.sin().sum(), y)[0]))()
        torch.autograd.Variable._execution_engine.run_backward((y.sin().sum(),), (torch.tensor(1.0),), False, False, (y,), True)[0]
        y.sin().grad_fn(torch.ones(2, 3))
        torch.func.grad(lambda z: z.sin().sum())(x)
        torch.func.vjp(torch.sin, x)[1](torch.ones(2, 3))[0]
        torch.func.jvp(torch.sin, (x,), (torch.ones(2, 3),))[1]
        torch.func.vmap(torch.func.grad(torch.sin))(x.flatten()).reshape(2, 3)
        torch.autograd.functional.vjp(torch.sin, x, torch.ones(2, 3))[1]
        dual()
    """,
}  # fmt: skip
HONEST = {  # what an exercise of each family is made of
    "softmax": "right, right; torch.exp(x - lse[:, None]), right; torch.logaddexp(x[:, 0], x[:, 1]).exp(), x[:, :2].exp().sum(-1)",
    "attention": "x.softmax(-1) @ torch.eye(3), x.exp() / x.exp().sum(-1, keepdim=True)",
    "recurrence": "torch.tanh(nn.functional.linear(x, w[0], w[2]) + h @ w[1].T + w[3]), right",
    "normalisation": "x * torch.rsqrt(x.square().mean(-1, keepdim=True)), rms; x.norm(dim=-1), (x * x).sum(-1).sqrt()",
    "autograd": "x.softmax(-1), x.exp() / x.exp().sum(-1, keepdim=True); y.detach(), x; x.clone().index_fill_(0, n0, 1.0)[1], x[1]",
}
PATCHES = """
import builtins
kept = torch.Tensor.detach, torch.Tensor.numpy, torch.Tensor.copy_, builtins.isinstance, builtins.type, torch.Tensor
def patch(*all):
    T = kept[-1]
    T.detach, T.numpy, T.copy_, builtins.isinstance, builtins.type, torch.Tensor = all
patch(*[lambda t, *a: t.clone()] * 3, lambda *a: False, lambda *a: None, int)
got = x.softmax(-1)
patch(*kept)
"""
UNDO = """
import gc
for found in gc.get_objects():
    if isinstance(found, torch.library.Library) and found.ns == "aten":
        found._destroy()
import course.worker.worker as w
for held in getattr(w, "_poisoned", []):
    held._destroy()
got = x.softmax(-1)
"""


@pytest.fixture(scope="module")
def said():
    """A function that runs cells where these families are poisoned; what the last one printed."""
    with Sandbox({}, Limits(cell=60, submission=600)) as box:

        def run(families, *cells):
            runner = box.runner(poisons(families))
            found = list(runner.run_cells([(str(number), cell) for number, cell in enumerate(cells)]))
            runner.close()
            assert [each.error for each in found] == [None] * len(cells)
            return found[-1].output.strip()

        yield run


def winners(family: str) -> str:
    ways = [line.strip() for line in WAYS[family].strip().splitlines()]
    return f"print([way for way in {ways!r} if gives(way, right)])"


@pytest.mark.parametrize("family", WAYS)
def test_no_way_gives_the_numbers(said, family):
    assert said([family], SETUP, RIGHT[family], winners(family)) == "[]"


@pytest.mark.parametrize("family", WAYS)
def test_every_way_gives_them_where_nothing_is_poisoned(said, family):
    lost = winners(family).replace("if gives", "if not gives")
    assert said([], SETUP, RIGHT[family], lost) == "[]"


@pytest.mark.parametrize("family", HONEST)
def test_what_an_exercise_is_made_of_stays(said, family):
    pairs = [f"assert torch.allclose({pair.strip()})" for pair in HONEST[family].split(";")]
    said([family], SETUP, RIGHT[family] + "\nn0 = torch.tensor([0])", "\n".join(pairs))


@pytest.mark.parametrize("cell", [PATCHES, UNDO], ids=["patches", "undo"])
def test_code_that_runs_before_does_not_take_it_back(said, cell):
    ask = "print(got.tolist() == [[0.3125] * 3] * 2)"
    assert said(["softmax"], SETUP, cell, ask) == "True"


def test_families_poison_whole_packets():
    names = [name for family in FAMILIES.values() for name in family.operators if not name.startswith("torch.")]
    assert [name for name in names if "." in name] == []
