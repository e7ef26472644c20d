"""Ways through torch to what an exercise asks to write, found by a machine: every function and class of every module is
called, and what gives the answer is a route.

python tests/attacks/routes.py writes routes.json, which test_routes.py reads; it takes minutes. Functions that crash or
hang end a child process and are passed over. Not here: what becomes of a route.
"""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import select
import signal
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import torch

FILE = Path(__file__).parent / "routes.json"
SECONDS = 60  # without a word from a child
TOGETHER = 10  # things that one child is asked: some of them change how torch behaves
CHANGES = (
    "set_",
    "_set",
    "_enable",
    "_disable",
    "enable",
    "disable",
    "autocast",
    "_push",
    "_pop",
    "_enter",
    "_exit",
    "seed",
)
LEFT_OUT = ("testing", "distributed", "utils", "onnx", "cuda", "xpu", "mps", "mtia", "_inductor", "_dynamo", "compiler",
            "package", "hub", "monitor", "profiler", "contrib", "_export", "export", "fx", "_lazy",
            "_strobelight")  # fmt: skip
torch.set_num_threads(1)  # threads do not survive a fork
torch.manual_seed(0)
X, Q, K, V = torch.randn(3, 5), *torch.randn(3, 1, 2, 4, 8)
H, C = torch.randn(3, 6), torch.randn(3, 6)
W = {gates: (torch.randn(6 * gates, 5), torch.randn(6 * gates, 6), torch.randn(6 * gates), torch.randn(6 * gates))
     for gates in (1, 3, 4)}  # fmt: skip
N, NW, NB = torch.randn(2, 4, 8), torch.rand(8), torch.rand(8)
INPUTS = ("X", "Q", "K", "V", "H", "C", "N", "NW", "NB")  # of which each call gets its own: some work in place
SOFTMAX = (X.double().exp() / X.double().exp().sum(-1, keepdim=True)).float()
ATTEND = ((Q @ K.mT / 8**0.5).exp() / (Q @ K.mT / 8**0.5).exp().sum(-1, keepdim=True)) @ V
NORMED = (N - N.mean(-1, keepdim=True)) / (N.var(-1, correction=0, keepdim=True) + 1e-5).sqrt() * NW + NB
RMS = N / ((N * N).mean(-1, keepdim=True) + 1e-5).sqrt() * NW


def _gates(kind: int) -> list[torch.Tensor]:
    w, u, b, c = W[kind]
    return [*(X @ w.T + b).chunk(kind, -1), *(H @ u.T + c).chunk(kind, -1)]


def _lstm() -> torch.Tensor:
    i, f, g, o, ui, uf, ug, uo = _gates(4)
    cell = torch.sigmoid(f + uf) * C + torch.sigmoid(i + ui) * torch.tanh(g + ug)
    return torch.sigmoid(o + uo) * torch.tanh(cell)


def _gru() -> torch.Tensor:
    r, z, n, ur, uz, un = _gates(3)
    update = torch.sigmoid(z + uz)
    return (1 - update) * torch.tanh(n + torch.sigmoid(r + ur) * un) + update * H


# fmt: off
CALLS = {  # family -> ways of calling `f`, and the answers one of which must come out
    "softmax": (
        ("f(X, -1)", "f(X, dim=-1)", "f(X, -1, False)", "f(X)", "f(-1)(X)", "f(dim=-1)(X)", "f(X, -1).exp()",
         "f(X, -1, False).exp()", "f(dim=-1)(X).exp()", "(X - f(X, -1, True)).exp()", "f(-X, -1)", "f(dim=-1)(-X)",
         "(X - f(X, (-1,), True)).exp()", "f(X, X > 99, -1, 2)", "f(X, -1, torch.float32)",
         "(X - f(X, -1)[:, -1:]).exp()",
         "f(logits=X).probs", "f(logits=X).logits.exp()", "f(X.to_sparse(), -1).to_dense()"),
        (SOFTMAX,),
    ),
    "attention": (
        ("f(Q, K, V)", "f(Q, K, V)[0]", "f(Q, K, V, None, 0.0, False)", "f(Q, K, V, None, 0.0, False)[0]",
         "mha(f)", "mha_function(f)", "torch.vmap(f)(Q, K, V)", "f()(Q, K, V)", "f(Q, K, V, 0.0, False)[0]"),
        (ATTEND,),
    ),
    "recurrence": (
        ("f(X, H, *W[1])", "f(X, (H, C), *W[4])[0]", "f(X, H, *W[3])", "cell(f, X, H, W[1])",
         "cell(f, X, (H, C), W[4])",
         "cell(f, X, H, W[3])", "layer(f, X, H, W[1])", "layer(f, X, (H, C), W[4])", "layer(f, X, H, W[3])"),
        (torch.tanh(sum(_gates(1))), _lstm(), _gru()),
    ),
    "normalisation": (
        ("f(N, (8,), NW, NB, 1e-5)", "f(N, (8,), NW, NB, 1e-5)[0]", "f(N, [8], NW, 1e-5)", "f(N, [8], NW, 1e-5)[0]",
         "f(8)(N) * NW + NB", "f(8, elementwise_affine=False)(N) * NW + NB", "f(8, eps=1e-5)(N) * NW",
         "f(N, [8], eps=1e-5) * NW + NB", "f(N, (8,)) * NW + NB"),
        (NORMED, RMS),
    ),
}
# fmt: on


def cell(f, x, state, weights):
    """One step of a module with these weights."""
    made = f(5, 6)
    _give(made, weights)
    found = made(x, state)
    return found[0] if isinstance(found, tuple) else found


def layer(f, x, state, weights):
    """A layer of one step with these weights."""
    made = f(5, 6)
    _give(made, weights)
    state = tuple(s[None] for s in state) if isinstance(state, tuple) else state[None]
    return made(x[None], state)[0][0]


def mha(f):
    """A module with one head that changes nothing before or after it."""
    made = f(8, 1, bias=False, batch_first=True)
    made.in_proj_weight.data, made.out_proj.weight.data = torch.eye(8).repeat(3, 1), torch.eye(8)
    return made(Q[0], K[0], V[0])[0][None]


def mha_function(f):
    """The same as a function."""
    q, k, v = (x[0].transpose(0, 1) for x in (Q, K, V))
    eyes = torch.eye(8).repeat(3, 1)
    found = f(q, k, v, 8, 1, eyes, torch.zeros(24), None, None, False, 0.0, torch.eye(8), torch.zeros(8))
    return found[0].transpose(0, 1)[None]


def _give(made, weights):
    for parameter, weight in zip(made.parameters(), weights, strict=True):
        parameter.data = weight


def modules() -> Iterator[str]:
    """Every module of torch that can be imported and that computes on the CPU."""
    found = {each.name for each in pkgutil.walk_packages(torch.__path__, "torch.", onerror=lambda name: None)}
    for name in sorted(found | {name for name in sys.modules if name.startswith("torch.")}):
        if not set(LEFT_OUT) & set(name.split(".")):
            yield name


def things_in(module: str) -> list[tuple[str, object]]:
    """What there is to call in a module; of `torch.Tensor` the methods."""
    if module == "torch.Tensor":
        named = [(name, getattr(torch.Tensor, name, None)) for name in dir(torch.Tensor)]
    else:
        named = sorted(vars(importlib.import_module(module)).items(), key=lambda pair: pair[0])
        inside = [name for name, value in named if value is torch.nn.functional]
        named += [(f"{name}.{n}", v) for name in inside for n, v in vars(torch.nn.functional).items()]
    return [(n, value) for n, value in named if callable(value) and not n.startswith(("__", *CHANGES))]


def _gives(f, call: str, answers: tuple[torch.Tensor, ...]) -> bool:
    try:
        signal.setitimer(signal.ITIMER_PROF, 2)
        value = eval(call, globals() | {name: globals()[name].clone() for name in INPUTS} | {"f": f})
        signal.setitimer(signal.ITIMER_PROF, 0)
        return isinstance(value, torch.Tensor) and any(
            value.shape == a.shape and bool(torch.isclose(value, a, rtol=1e-3, atol=1e-4).all()) for a in answers
        )
    except BaseException:
        signal.setitimer(signal.ITIMER_PROF, 0)
        return False


def _in_a_child(things: list[tuple[str, object]]) -> tuple[dict[str, dict[str, str]], int]:
    """name -> family -> the call that gives the answer, for as many as a child came to; and how many that were."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        signal.signal(signal.SIGPROF, _too_long)
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 0), os.dup2(null, 1), os.dup2(null, 2)
        _tell(things, os.fdopen(write, "w", buffering=1))
    os.close(write)
    told = [json.loads(line) for line in _lines(read)]
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    found: dict[str, dict[str, str]] = {}
    for name, family, call in told:
        found.setdefault(name, {}).update({family: call} if family else {})
    return found, len(found)


def _lines(descriptor: int) -> Iterator[str]:
    """What a child says, until it ends or says nothing for a while."""
    said = b""
    while select.select([descriptor], [], [], SECONDS)[0] and (more := os.read(descriptor, 1 << 16)):
        said += more
    os.close(descriptor)
    yield from said.decode().splitlines()


def _tell(things: list[tuple[str, object]], out) -> None:
    try:
        for name, thing in things:
            print(json.dumps([name, "", ""]), file=out)
            for family, (calls, answers) in CALLS.items():
                call = next((call for call in calls if _gives(thing, call, answers)), "")
                if call:
                    print(json.dumps([name, family, call]), file=out)
    finally:
        os._exit(0)


def _too_long(*_) -> None:
    raise TimeoutError


def main() -> None:
    """Find and write."""
    found: list[dict] = []
    known: dict[int, dict[str, str]] = {}  # by id; things that were asked already
    kept: list[object] = []
    warnings.simplefilter("ignore")
    os.chdir(tempfile.mkdtemp())  # some of what is called writes files
    for module in ["torch", "torch.Tensor", *modules()]:
        try:
            things = things_in(module)
        except Exception as error:
            print(module, error, file=sys.stderr)
            continue
        new = [(name, thing) for name, thing in things if id(thing) not in known]
        while new:
            told, asked = _in_a_child(new[:TOGETHER])
            for name, thing in new[: max(asked, 1)]:
                known[id(thing)] = told.get(name, {})
                kept.append(thing)
            new = new[max(asked, 1) :]
        for name, thing in things:
            for family, call in known[id(thing)].items():
                found.append({"family": family, "module": module, "name": name, "call": call})
        print(module, len(found), file=sys.stderr)
    FILE.write_text(json.dumps(found, indent=0) + "\n")


if __name__ == "__main__":
    main()
