"""Guarded cells: whatever way an answer takes to a library function, it may call it or not for what it is."""

import textwrap

import pytest
import torch

from course.worker import guard

HEAD = "import torch, math, functools, contextlib, dataclasses, enum, operator, warnings\nfrom torch import nn, Tensor"
X = torch.tensor([[0.5, -1.0, 2.0], [3.0, 0.0, 0.25]])


@pytest.fixture
def cells(monkeypatch):
    """Runs cells under guard and gives their names back; undone afterwards."""
    monkeypatch.setattr(guard, "_rules", guard._Rules())
    space = {"__name__": "__main__"}

    def run(*sources, forbids=("softmax",), given=False):
        for source in (HEAD, *sources):
            guard.run(textwrap.dedent(source), forbids, given, space)
        return space

    return run


# What gets hold of a library's softmax or of what runs text, by name: the function `f` that a harness would call.
HOSTILE = {
    "a path": "def f(x): return torch.softmax(x, -1)",
    "a method": "def f(x): return x.softmax(-1)",
    "a private module": "def f(x): return torch._decomp.decompositions._softmax(x, -1, False)",
    "an import in a class": """
        class A:
            from torch import _decomp
        def f(x): return A._decomp.decompositions._softmax(x, -1, False)""",
    "an import of the function": """
        from torch._decomp.decompositions import _softmax as g
        def f(x): return g(x, -1, False)""",
    "the function itself": "from torch._decomp.decompositions import _softmax as f",
    "two meanings": "q = math.sin\nq = torch\ndef f(x): return q.sparse.softmax(x.to_sparse(), -1)",
    "an inner import": """
        def f(x, g=None):
            def go():
                from torch import _decomp as g
                return g.decompositions._softmax(x, -1, False)
            return go()""",
    "globals by a pattern": """
        class M(type):
            def __instancecheck__(c, o): return True
        class T(metaclass=M): __match_args__ = ("__globals__",)
        def f(x):
            match nn.functional.silu:
                case T(g): return g["torch"]._decomp.decompositions._softmax(x, -1, False)""",
    "a method by a pattern": """
        class M(type):
            def __instancecheck__(c, o): return True
        class T(metaclass=M): __match_args__ = ("soft" "max",)
        def f(x):
            match x:
                case T(go): return go(-1)""",
    "a function of a module by a pattern": """
        class M(type):
            def __instancecheck__(c, o): return True
        class T(metaclass=M): __match_args__ = ("logsumexp",)
        def f(x):
            match torch:
                case T(go): return (x - go(x, -1, True)).exp()""",
    "a keyword pattern": """
        def f(x):
            match x:
                case Tensor(softmax=go): return go(-1)""",
    "attributes by a wrapper": """
        box = []
        class K:
            def __setattr__(self, n, v): box.append(v)
        functools.update_wrapper(K(), nn.functional.silu, assigned=("__glo" "bals__",), updated=())
        def f(x): return box[-1]["torch"]._decomp.decompositions._softmax(x, -1, False)""",
    "an enum's converter": """
        class E(enum.Enum): pass
        got = E._convert_("X", "builtins", lambda n: n == "eval")
        def f(x): return got["eval"].value("x.softmax(-1)", {"x": x})""",
    "a computed name": "def f(x): return getattr(x, 'soft' + 'max')(-1)",
    "a name that is none": """
        class N(str): pass
        def f(x): return getattr(x, N('softmax'))(-1)""",
    "the module of warnings": "def f(x): return warnings.catch_warnings()._module.sys.modules['torch']",
    "what an exception carries": """
        def f(x):
            try:
                with torch.random.fork_rng(devices=[0], device_type="cpu"): pass
            except AttributeError as e:
                return e.obj.torch._decomp.decompositions._softmax(x, -1, False)""",
    "a subclass": "class S(nn.Softmax): pass\ndef f(x): return S(-1)(x)",
    "a forward of the library's": """
        class L(nn.Module):
            def __init__(self):
                super().__init__()
                from torch._decomp.decompositions import _softmax
                self.forward = lambda x: _softmax(x, -1, False)
        def f(x): return L()(x)""",
    "a forward of the library's in a module of its own": """
        from torch._decomp.decompositions import _softmax as g
        class L(nn.Module):
            def __init__(self):
                super().__init__()
                self.forward = functools.partial if self is None else g
        def f(x): return nn.Sequential(L())(x)""",
    "a hook of the library's": """
        from torch._refs.nn.functional import layer_norm as g
        class L(nn.Module):
            def forward(self, x): return x
        layer = L()
        for layer._forward_hooks[0] in [g]: pass
        layer._forward_hooks[1] = g
        def f(x): return layer._forward_hooks[1](x, (3,))""",
    "a method of the library's in a class of its own": """
        from torch._refs.nn.functional import softmin as g
        class A: pass
        setattr(A, "go", g)
        A.go = g
        def f(x): return A.go(x, -1)""",
    "another module for a class": """
        from torch._decomp.decompositions import _softmax as g
        class A:
            __module__ = "torch.nn"
            __add__ = staticmethod(g)
        def f(x): return A() + x""",
    "attributes that a metaclass computes": """
        class M(type):
            def __instancecheck__(c, o): return True
            def __getattr__(c, n): return ("logsumexp",)
        class T(metaclass=M): pass
        def f(x):
            match x:
                case T(go): return go(-1)""",
    "above one's own method": """
        class T(Tensor):
            def softmax(self, dim): return super().softmax(dim)
        def f(x): return x.as_subclass(T).softmax(-1)""",
    "an operator of the library's": """
        class A:
            from torch._decomp.decompositions import _softmax as g
            __add__ = staticmethod(g)
        def f(x): return A() + x""",
    "a call of the library's": """
        from torch._decomp.decompositions import _softmax as g
        class A: __call__ = staticmethod(g)
        def f(x): return A()(x, -1, False)""",
    "for the library to call": """
        from torch._decomp.decompositions import _softmax as g
        def f(x): return next(map(g, [x], [-1], [False]))""",
    "in a container, for the library to call": """
        from torch._decomp.decompositions import _softmax as g
        def f(x): return functools.reduce(lambda a, h: h(a, -1, False), [g], x)""",
    "a partial": """
        from torch._decomp.decompositions import _softmax as g
        def f(x): return functools.partial(g, x)(-1, False)""",
    "text that runs": "def f(x): return eval('x.softmax(-1)')",
    "text that runs, under another name": "run = eval\ndef f(x): return run('x.softmax(-1)', {'x': x})",
    "an annotation that runs": "def f(x):\n    class A:\n        y: x.softmax(-1) = 0\n    return A.__annotations__['y'] + 0",
    "the namespace": "def g(): pass\ndef f(x): return g.__globals__['torch'].softmax(x, -1)",
    "a patch of the library": "torch.exp = torch.softmax\ndef f(x): return torch.exp(x, -1)",
    "a patched method": "torch.Tensor.exp = lambda t: t.softmax(-1)\ndef f(x): return (x.exp, torch.zeros(2).exp()[5])",
    "a patch by setattr": "setattr(torch, 'exp', torch.softmax)\ndef f(x): return torch.exp(x, -1)",
    "another super": "def super(): return torch\ndef f(x): return super().softmax(x, -1)",
    "a metaclass's namespace": """
        def meta(name, bases, ns): return dict(ns)
        class A(metaclass=meta):
            from torch import _decomp
        def f(x): return A["_decomp"].decompositions._softmax(x, -1, False)""",
    "a function that torch hands over": """
        box = []
        class T(Tensor):
            @classmethod
            def __torch_function__(cls, func, types, args=(), kwargs=None):
                box.append(func)
                return super().__torch_function__(func, types, args, kwargs or {})
        def f(x):
            nn.functional.softmin(x.as_subclass(T), -1)
            return box[0](x, -1)""",
    "the guard itself": "def f(x): return __import__('course.worker.guard').worker.guard.get(x, 'softmax')(-1)",
    "a file beside the notebook": """
        torch.tensor(list(b"import torch")).to(torch.uint8).numpy().tofile("beside_me.py")
        import beside_me
        def f(x): return beside_me.torch.softmax(x, -1)""",
    "a patch of the guard": """
        from course.worker.guard import _Rewriting
        _Rewriting.visit_Attribute = lambda self, node: node
        def f(x): return x.softmax(-1)""",
    "a patch of the guard by way of a list": """
        import course.worker.guard as g
        list(map(setattr, [g], ["may_call"], [lambda f: None]))
        def f(x): return torch.softmax(x, -1)""",
    "an attribute by way of a list": "def f(x): return list(map(getattr, [x], ['soft' + 'max']))[0](-1)",
    "a copy that a metaclass has made": """
        import copy
        class M(type):
            @property
            def __copy__(c): return torch.nn.functional.softmin
        class T(Tensor, metaclass=M): pass
        def f(x): return copy.copy(T(x))""",
    "a kernel that is no kernel": """
        from course.kernels import tl, triton
        box = []
        @triton.jit
        def k(): box.append(torch.softmax(box[0], -1))
        def f(x):
            box.append(x)
            k[(1,)]()
            return box[1]""",
    "bare memory": "class P: __array_interface__ = {}\ndef f(x): return id(P())",
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_no_way_leads_to_what_is_forbidden(kind, cells):
    space = cells(HOSTILE[kind])
    with pytest.raises((RuntimeError, NameError, KeyError, TypeError, AttributeError, IndexError)) as refused:
        guard.may_enter(space["f"])
        found = space["f"](X)
        raise AssertionError(f"it gave {found}")
    assert not isinstance(refused.value, AssertionError)
    assert not torch.is_tensor(space.get("found"))


HONEST = {
    "exp and sum": "def f(x):\n    e = (x - x.amax(-1, keepdim=True)).exp()\n    return e / e.sum(-1, keepdim=True)",
    "own names that a library has, too": """
        class Ops:
            def softmax(self, x): return torch.exp(x) / torch.exp(x).sum(-1, keepdim=True)
        def f(x): return Ops().softmax(x)""",
    "aliases": """
        import torch as th
        from torch import exp
        fn, summed = exp, th.Tensor.sum
        def f(x): return fn(x) / summed(fn(x), -1, True)""",
    "decorators, caches and partials": """
        import time
        from functools import lru_cache, partial, wraps
        times = {}
        def timed(fn):
            @wraps(fn)
            def run(*args, **kwargs):
                times.setdefault(fn.__name__, []).append(time.perf_counter())
                return fn(*args, **kwargs)
            return run
        @lru_cache(maxsize=None)
        def last(): return -1
        class Counted:
            def __init__(self, fn):
                functools.update_wrapper(self, fn)
                self.fn, self.calls = fn, 0
            def __call__(self, *a, **k):
                self.calls += 1
                return self.fn(*a, **k)
        @timed
        @Counted
        def powers(x): return torch.exp(x)
        total = partial(torch.sum, dim=-1, keepdim=True)
        @torch.no_grad()
        def f(x): return powers(x) / total(powers(x)) * (last() + 2)""",
    "a module with everything": """
        class Scale(nn.Module):
            kinds: dict = {}
            def __init_subclass__(cls, **more): Scale.kinds[cls.__name__] = cls
            def __init__(self):
                super().__init__()
                self.register_buffer("one", torch.ones(1))
                self.parts = nn.ModuleList(nn.Identity() for _ in range(2))
                self.__hidden = 1
            def forward(self, x):
                for part in self.parts: x = part(x)
                return x * self.one * self.__hidden
        class Mine(Scale):
            def __repr__(self): return super().__repr__()
        def f(x):
            e = Scale.kinds["Mine"]()(x).exp()
            return e / e.sum(-1, keepdim=True)""",
    "dataclasses, named tuples, enums": """
        from typing import NamedTuple
        from collections import namedtuple
        @dataclasses.dataclass(frozen=True)
        class Options:
            dim: int = -1
        class Both(NamedTuple):
            top: Tensor
            total: Tensor
        Pair = namedtuple("Pair", "a b")
        class Kind(enum.Enum):
            PLAIN = "plain"
        def f(x):
            options, kind = Options(), Kind("plain")
            pair = Pair(x.exp(), kind)
            both = Both(pair.a, pair.a.sum(options.dim, keepdim=True))
            return both.top / both._replace(total=both.total).total""",
    "a function with a way back": """
        class Exp(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                y = x.exp()
                ctx.save_for_backward(y)
                ctx.scale = 1
                return y
            @staticmethod
            def backward(ctx, g):
                (y,) = ctx.saved_tensors
                return g * y * ctx.scale
        def f(x): return Exp.apply(x) / Exp.apply(x).sum(-1, keepdim=True)""",
    "registries and own changes": """
        OPS = {}
        def register(name):
            def keep(fn):
                OPS[name] = fn
                return fn
            return keep
        @register("exp")
        def powers(x): return x.exp()
        class Rows: pass
        setattr(Rows, "go", lambda self, x: OPS["exp"](x))
        def init():
            global TOTAL
            TOTAL = -1
        init()
        class Keeper:
            def __init__(self): self.storage, self.__own = [], 1
            def put(self, x):
                self.storage.append(x)
                return self.storage[-1] * self.__own
        def f(x): return Keeper().put(Rows().go(x)) / Rows().go(x).sum(TOTAL, keepdim=True)""",
    "imports where they may fail": """
        try:
            import numpy as np
        except ImportError:
            np = None
        if True:
            from math import inf
        def f(x): return torch.from_numpy(np.exp(x.numpy())) / x.exp().sum(-1, keepdim=True)""",
    "a comparison of one's own that is left out": """
        def g(x): return x.exp()
        assert torch.allclose(g(torch.zeros(2)), torch.softmax(torch.zeros(2), 0))
        def f(x): return g(x) / g(x).sum(-1, keepdim=True)""",
    "own functions called like builtins": """
        def vars(x): return x.exp()
        class Open:
            def getattr(self, x): return vars(x)
        def f(x): return list(map(Open().getattr, [x]))[0] / vars(x).sum(-1, keepdim=True)""",
    "words for people": """
        import logging, sys, types
        log = logging.getLogger("mine")
        options = types.SimpleNamespace(dim=-1)
        def f(x):
            log.debug("%s", x.shape)
            print(sys.float_info.epsilon, file=sys.stderr)
            return x.exp() / x.exp().sum(options.dim, keepdim=True)""",
    "patterns": """
        def f(x):
            match x:
                case Tensor(ndim=2): e = x.exp()
            return e / e.sum(-1, keepdim=True)""",
}


@pytest.mark.parametrize("kind", HONEST)
def test_honest_code_runs_as_it_would(kind, cells):
    space = cells(HONEST[kind])
    guard.may_enter(space["f"])
    assert torch.allclose(space["f"](X), torch.softmax(X, -1))


def test_what_the_release_cannot_have_stops_nobody_and_a_mistake_stops_its_cell(cells):
    space = cells("a = 1\nraise ValueError\nb = 1", given=True)
    assert (space["a"], space["b"]) == (1, 1)
    with pytest.raises(ZeroDivisionError):
        cells("c = 1\n1 / 0\nd = 1")
    assert space["c"] == 1 and "d" not in space


def test_an_experiment_of_ones_own_is_left_out_when_it_takes_long(cells, monkeypatch):
    monkeypatch.setattr(guard, "STATEMENT_SECONDS", 0.1)
    space = cells("a = 1\nwhile True:\n    try:\n        a += 1\n    except Exception:\n        pass\nb = 2", "c = b")
    assert space["c"] == 2 < space["a"]


def test_what_the_judge_hands_over_may_be_called(cells):
    space = cells("def f(g, x): return g(x)")
    with pytest.raises(guard.Refused):
        space["f"](torch._decomp.decompositions._softmax, X)
    ours = guard.give(lambda x: x + 1)
    assert torch.equal(space["f"](ours, X), X + 1)


def test_a_function_with_a_way_back_where_autograd_is_forbidden(cells):
    space = cells(HONEST["a function with a way back"], forbids=("autograd",))
    assert torch.allclose(space["f"](X), torch.softmax(X, -1))


@pytest.mark.parametrize("way", ["loss.backward()", "torch.autograd.grad(loss, x)", "getattr(loss, 'back' + 'ward')()"])
def test_autograd_where_it_is_forbidden(way, cells):
    space = cells(f"def f(x):\n    loss = (x * x).sum()\n    return {way}", forbids=("autograd",))
    with pytest.raises(guard.Refused):
        space["f"](X.clone().requires_grad_())
