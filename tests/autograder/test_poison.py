"""What a poisoned run does to the library: no way to a forbidden operator that we know gives its numbers there, and
nothing that holds the library's code can be had. What notebooks do every day works."""

# ruff: noqa: E501 - programs in strings

import sys

import pytest

from autograder.sandbox.sandbox import Limits, Sandbox, why_not
from course.checking.forbidden import FAMILIES, poisons
from course.worker.poison import LIBRARIES

if sys.platform != "linux" or why_not():
    pytest.skip("the sandbox needs Linux and namespaces", allow_module_level=True)

SETUP = """
import warnings
warnings.simplefilter("ignore")
import contextlib, torch, torch.autograd.forward_ad
with contextlib.suppress(OSError):  # nobody can have it where something is poisoned
    import torch.nn.attention.flex_attention
from torch import nn
from torch.nn import functional as F
D, R, A = torch._decomp.decompositions, torch._refs, torch.ops.aten
torch.manual_seed(0)
x = torch.randn(2, 3)
def tried(call):
    try:
        call()
        return "gives"
    except (Exception, SystemExit):
        return "raises"
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
        torch.vmap(F.scaled_dot_product_attention)(q, q, q)[0, 0]
        torch.func.functionalize(F.scaled_dot_product_attention)(q, q, q)[0, 0]
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
        torch.vmap(lambda row: F.layer_norm(row, (3,)))(x)
        torch.vmap(lambda row: F.group_norm(row[None], 1)[0])(x)
        torch.func.functionalize(lambda z: F.layer_norm(z, (3,)))(x)
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
BEFORE = {  # what code may do before it asks for the operator: it still raises
    "a patch of what torch calls": """
import builtins
kept = torch.Tensor.detach, builtins.isinstance, builtins.RuntimeError, torch.Tensor
T = torch.Tensor
T.detach, builtins.isinstance, builtins.RuntimeError = lambda t: t.clone(), lambda *a: False, ValueError
found = tried(lambda: x.softmax(-1))
T.detach, builtins.isinstance, builtins.RuntimeError, torch.Tensor = kept""",
    "its library destroyed": """
import course.worker.poison as w
for held in [*vars(w).values(), *vars(torch.library).values()]:
    if isinstance(held, torch.library.Library): held._destroy()
found = tried(lambda: x.softmax(-1))""",
    "a kernel asked for by its key": """
keys = torch._C.DispatchKeySet(torch._C.DispatchKey.CPU)
found = tried(lambda: torch.library.get_kernel("aten::_softmax", "CPU").call_boxed(keys, x, -1, False))""",
    "an operator sent on": """
keys = torch._C.DispatchKeySet(torch._C.DispatchKey.CPU)
found = tried(lambda: torch.ops.aten._softmax.default.redispatch(keys, x, -1, False))""",
}
GONE = {  # what would hold the library's code, or lead to native code: each raises
    "the source of torch": "open(torch.__file__).read()",
    "its compiled source": "open(D.__cached__, 'rb').read()",
    "a source by way of /proc": "open('/proc/self/root' + torch.__file__).read()",
    "a source of the course": "import course.models; open(course.models.__file__).read()",
    "a part of torch that nobody imported": "import torch._inductor.decomposition, torch.onnx._internal.fx",
    "a quantized cell": "from torch.ao.nn.quantizable import LSTM; LSTM(2, 2)",
    "a program": "import subprocess; subprocess.run(['/bin/true'])",
    "Python itself": "import sys, os; os.execv(sys.executable, ['python', '-c', ''])",
    "a spawned process": "import multiprocessing as m; p = m.get_context('spawn').Process(target=print); p.start(); p.join(); 1 // (p.exitcode == 0)",
    "native code": "import ctypes; ctypes.CDLL(None)",
    "native code of torch": "import ctypes; ctypes.CDLL(torch._C.__file__)",
    "native code that is held already": "import course.worker.walls as w; w._libc.getpid()",
    "native code by an array": "import numpy as np; np.ones(1).ctypes.data",
    "an address": "import ctypes; ctypes.string_at(id(x), 8)",
    "the old code of a function": "import gc; gc.get_objects()",
    "the wall itself": "import course.worker.poison as w; w._no_native_code.__code__ = (lambda e, a: None).__code__",
    "numpy's": "import numpy as np; np.logaddexp",
    "numpy's, wherever a module holds it": "import sys, numpy as np; next(v for m in list(sys.modules.values()) for v in list(vars(m).values()) if isinstance(v, np.ufunc) and v.__name__ == 'logaddexp')",
}
EVERYDAY = """
x = torch.randn(4, 3, requires_grad=True); print(x, x.exp(), torch.zeros(2).to_sparse(), torch.zeros(3, dtype=torch.cfloat))
m = nn.Linear(3, 2); o = torch.optim.AdamW(m.parameters(), 1e-3); s = torch.optim.lr_scheduler.CosineAnnealingLR(o, 10)
m(x).square().mean().backward(); o.step(); o.zero_grad(); s.step(); nn.utils.clip_grad_norm_(m.parameters(), 1.0)
print(m, m.state_dict()); torch.testing.assert_close(torch.ones(2), torch.ones(2))
torch.func.vmap(torch.sin)(x); torch.func.grad(lambda a: a.sin().sum())(x); torch.func.jvp(torch.sin, (x,), (x,))
torch.func.jacrev(torch.sin)(x[0]); torch.func.functional_call(m, dict(m.named_parameters()), (x,))
torch.autograd.gradcheck(torch.sin, (x.double().detach().requires_grad_(),)); torch.autograd.functional.jacobian(torch.sin, x[0])
import torch.utils.data as d; list(d.DataLoader(d.TensorDataset(x.detach()), 2))
import torch.utils.checkpoint as c; c.checkpoint(m, x, use_reentrant=False).sum().backward()
torch.einsum("ij,kj->ik", x, x); torch.einsum("ij,kj,lj->ikl", x, x, x)
import io; b = io.BytesIO(); torch.save(m.state_dict(), b); b.seek(0); torch.load(b)
with torch.autocast("cpu", torch.bfloat16): m(x); torch.distributions.Normal(0.0, 1.0).sample()
nn.utils.rnn.pad_sequence([x[0], x[1]]); nn.init.xavier_uniform_(m.weight); import copy; copy.deepcopy(m)
handle = m.register_forward_hook(lambda *a: None); m(x); handle.remove()
import numpy as np; np.random.default_rng(0).normal(); np.fft.fft([1.0]); np.polynomial.Polynomial([1, 2])
torch.linalg.svd(x); torch.quantile(x, 0.5); torch.cdist(x, x); nn.Linear(3, 2, device="meta")(torch.ones(1, 3, device="meta"))
torch.cuda.is_available(); torch.backends.mps.is_available(); torch.accelerator.is_available()
with torch.profiler.profile(): m(x)
F.interpolate(x[None], 6); F.conv1d(x[None], torch.ones(1, 4, 1)); F.one_hot(torch.tensor([1])); F.embedding(torch.tensor([1]), x)
import matplotlib.pyplot as plt; plt.imshow(x.detach()); plt.legend(["a"]); plt.title("$a^2$"); plt.savefig("/tmp/a.png"); plt.savefig("/tmp/a.svg")
import statistics, sqlite3, csv, asyncio, unittest, doctest, decimal, timeit, multiprocessing, http.client, xml.dom.minidom
from IPython.display import display, Markdown; display(Markdown("a")); from tqdm import trange; list(trange(3))
nn.utils.parametrizations.orthogonal(nn.Linear(2, 2)); nn.utils.parameters_to_vector(m.parameters()); torch.cov(x)
torch.svd_lowrank(x); torch.jit.trace(torch.sin, x)(x); torch.nn.functional.dropout(x, 0.5)
(torch.randn(4, 8, dtype=torch.bfloat16) @ torch.randn(8, 3, dtype=torch.bfloat16)); torch.nn.Linear(8, 3, dtype=torch.bfloat16)(torch.ones(2, 8, dtype=torch.bfloat16))
F.conv2d(torch.ones(1, 3, 9, 9), torch.ones(2, 3, 3, 3)); torch.utils.benchmark if hasattr(torch.utils, "benchmark") else None; import inspect; inspect.getsource(contextlib.suppress)
import pydantic; pydantic.create_model("A", a=(int, 1))(a=2); import regex, yaml; yaml.safe_load("a: 1"); import msgspec, psutil, sympy; sympy.sin(1)
%time sum(range(3))
%env OMP_NUM_THREADS=1
open("/tmp/mine.py", "w").write("ten = 10"); import sys; sys.path.insert(0, "/tmp"); import mine; mine.ten
""".strip().splitlines()  # fmt: skip


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


@pytest.mark.parametrize("way", BEFORE)
def test_code_that_runs_before_does_not_take_it_back(said, way):
    assert said(["softmax"], SETUP, BEFORE[way], "print(found)") == "raises"


def test_what_holds_the_library_s_code_can_not_be_had(said):
    ask = f"print([way for way, code in {GONE!r}.items() if tried(lambda: exec(code, globals())) == 'gives'])"
    assert said(["softmax"], SETUP, ask) == "[]"


def test_it_can_where_nothing_is_poisoned(said):
    rest = {way: code for way, code in GONE.items() if way not in ("Python itself", "a spawned process", "a program")}
    ask = f"print([way for way, code in {rest!r}.items() if tried(lambda: exec(code, globals())) != 'gives'])"
    assert said([], SETUP, ask) == "[]"


def test_what_notebooks_do_every_day_works(said):
    said(["recurrence"], SETUP, *EVERYDAY)


def test_families_poison_whole_packets():
    names = [name for family in FAMILIES.values() for name in family.operators if name.partition(".")[0] not in LIBRARIES]
    assert names and [name for name in names if "." in name] == []
