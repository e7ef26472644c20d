"""The gate: real kernels pass, every way out is refused."""

import ast
import re
import types

import pytest
import triton.language as tl
from triton.language.extra import libdevice

from grader_kernels.language import LanguageError, NotWritten, extract, words
from grader_kernels.replaying.replay import load

HEAD = "import torch\nimport triton\nimport triton.language as tl\nfrom triton.language.extra import libdevice\n\n"

SOFTMAX = """
@triton.jit
def k(x_ptr, o_ptr, stride, n, BLOCK: tl.constexpr):
    '''Row softmax.'''
    row = tl.program_id(0)
    offsets = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + row * stride + offsets, mask=offsets < n, other=-float("inf"))
    e = tl.exp(x - tl.max(x, axis=0))
    tl.store(o_ptr + row * stride + offsets, e / tl.sum(e, axis=0), mask=offsets < n)
"""
MATMUL = """
@triton.jit
def k(a, b, c, M, N, K, sa: int, sb, sc, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr = 32):
    m = tl.program_id(axis=0) * BM + tl.arange(0, BM)
    n = tl.program_id(axis=1) * BN + tl.arange(0, BN)
    acc = tl.zeros((BM, BN), dtype=tl.float32)
    for start in range(0, tl.cdiv(K, BK)):
        k0 = start * BK + tl.arange(0, BK)
        x = tl.load(a + m[:, None] * sa + k0[None, :], mask=(m[:, None] < M) & (k0[None, :] < K), other=0.0)
        y = tl.load(b + k0[:, None] * sb + n[None, :], mask=(k0[:, None] < K) & (n[None, :] < N), other=0.0)
        acc += tl.dot(x, y, input_precision="ieee")
    tl.store(c + m[:, None] * sc + n[None, :], acc.to(c.dtype.element_ty), mask=(m[:, None] < M) & (n[None, :] < N))
"""
FLASH = """
LOG2E: tl.constexpr = 1.4426950408889634

@triton.jit
def inner(acc, l, m, q, k_ptr, v_ptr, lo, hi, D: tl.constexpr, BN: tl.constexpr, CAUSAL: tl.constexpr):
    for start in range(lo, hi, BN):
        n = start + tl.arange(0, BN)
        k = tl.load(k_ptr + n[None, :] * D + tl.arange(0, D)[:, None], mask=n[None, :] < hi, other=0.0)
        s = tl.dot(q, k) * LOG2E
        if CAUSAL:
            s = tl.where(n[None, :] <= lo, s, float("-inf"))
        m_new = tl.maximum(m, tl.max(s, 1))
        p = tl.exp2(s - m_new[:, None])
        alpha = tl.exp2(m - m_new)
        l = l * alpha + tl.sum(p, 1)
        v = tl.load(v_ptr + n[:, None] * D + tl.arange(0, D)[None, :], mask=n[:, None] < hi, other=0.0)
        acc = acc * alpha[:, None] + tl.dot(p.to(v.dtype), v)
        m = m_new
    return acc, l, m

@triton.jit
def k(q_ptr, k_ptr, v_ptr, o_ptr, n, D: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr):
    q = tl.load(q_ptr + tl.arange(0, BM)[:, None] * D + tl.arange(0, D)[None, :])
    acc = tl.zeros([BM, D], tl.float32)
    l = tl.full([BM], 0.0, tl.float32)
    m = tl.full([BM], value=-float("inf"), dtype=tl.float32)
    acc, l, m = inner(acc, l, m, q, k_ptr, v_ptr, 0, n, D, BN, CAUSAL=False)
    tl.store(o_ptr + tl.arange(0, BM)[:, None] * D + tl.arange(0, D)[None, :], acc / l[:, None])
"""
ATOMICS = """
@triton.jit
def k(x_ptr, count_ptr, lock_ptr, n, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + offsets, mask=offsets < n, other=0)
    while tl.atomic_cas(lock_ptr, 0, 1) == 1:
        pass
    tl.atomic_add(count_ptr + x, 1, mask=offsets < n)
    tl.debug_barrier()
    tl.atomic_xchg(lock_ptr, 0)
"""
HELPERS = """
EPS = 1e-6
BLOCKS = (16, 32)
HALF = tl.float16

@triton.jit
def gelu(x):
    return 0.5 * x * (1 + libdevice.tanh(0.7978845608 * (x + 0.044715 * x * x * x)))

@triton.jit
def twice(x):
    return gelu(gelu(x))

@triton.jit
def k(x_ptr, o_ptr, n, ACT: tl.constexpr, BLOCK: tl.constexpr):
    offsets = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + offsets, mask=offsets < n) + EPS
    if ACT == "gelu":
        x = twice(x)
    elif ACT is not None and ACT == "relu":
        x = tl.maximum(x, 0.0)
    else:
        x = tl.where(x > 0, x, 0.01 * x)
    tl.store(o_ptr + offsets, x.to(HALF), mask=offsets < n)
"""
STATIC_RANGE = """
@triton.jit
def k(x_ptr, o_ptr, K: tl.constexpr, BLOCK: tl.constexpr):
    total = tl.zeros((BLOCK,), tl.float32)
    for i in tl.static_range(K):
        total += tl.load(x_ptr + i * BLOCK + tl.arange(0, BLOCK))
    for j in tl.range(0, 4, num_stages=2):
        total = total * 1.0
    tl.static_assert(K > 0, "K must be positive")
    tl.store(o_ptr + tl.arange(0, BLOCK), total if K > 1 else -total)
"""
CONSTEXPR_GLOBAL = """
WIDTH = tl.constexpr(64)
MASK = 1 << 4
NEG = -float("inf")

@triton.jit
def k(x_ptr):
    offsets = tl.arange(0, WIDTH)
    tl.store(x_ptr + offsets, tl.where((offsets & MASK) != 0, NEG, 0.0))
"""
SCAN = """
@triton.jit
def combine(a, b, c, d):
    return a * c, b * c + d

@triton.jit
def k(x_ptr, o_ptr, BLOCK: tl.constexpr):
    x = tl.load(x_ptr + tl.arange(0, BLOCK))
    a, b = tl.associative_scan((x, x), 0, combine)
    tl.store(o_ptr + tl.arange(0, BLOCK), b + tl.cumsum(x, 0))
"""
PHILOX = """
@triton.jit
def k(o_ptr, seed, BLOCK: tl.constexpr):
    offsets = tl.arange(0, BLOCK)
    u = tl.rand(seed, offsets)
    tl.store(o_ptr + offsets, tl.argmax(-tl.log(-tl.log(u)), axis=0))
"""
INT8 = """
@triton.jit(do_not_specialize=["n"])
def k(a, b, c, n, scale, B: tl.constexpr):
    i = tl.arange(0, B)
    acc = tl.dot(tl.load(a + i[:, None] * B + i[None, :]), tl.load(b + i[:, None] * B + i[None, :]), out_dtype=tl.int32)
    low = (acc >> 4) & 0xF
    tl.store(c + i[:, None] * B + i[None, :], low.to(tl.float32) * tl.load(scale))
"""
DESCRIPTOR = """
@triton.jit
def k(x_ptr, M, N, BM: tl.constexpr, BN: tl.constexpr):
    desc = tl.make_tensor_descriptor(x_ptr, shape=[M, N], strides=[N, 1], block_shape=[BM, BN])
    desc.store([0, 0], tl.trans(desc.load([0, 0])).reshape(BM, BN))
"""
METHODS = """
@triton.jit
def k(x_ptr, o_ptr, BLOCK: tl.constexpr):
    x = tl.load(x_ptr + tl.arange(0, BLOCK)).to(tl.float32)
    y = x.reshape(BLOCK // 2, 2)
    left, right = tl.split(y)
    total = (left * right).sum(0) + y.T.shape[0] + abs(-1) + max(1, 2) + triton.cdiv(5, 2)
    tl.store(o_ptr + tl.arange(0, BLOCK // 2), total)
"""
REAL = {
    name: value
    for name, value in list(globals().items())
    if name.isupper() and name != "HEAD" and isinstance(value, str)
}


@pytest.mark.parametrize("source", REAL.values(), ids=REAL)
def test_a_real_kernel_passes_and_loads(source):
    kept = extract(HEAD + source + "\ndef launcher(x):\n    return torch.exp(x)\n", {"k"})
    assert "import" not in kept and "launcher" not in kept
    assert extract(kept, {"k"}) == kept
    assert "k" in load(kept)


def test_lines_stay_where_they_were():
    source = HEAD + "x = 1\n" + SOFTMAX
    kept = extract(source, {"k"})
    for number, line in enumerate(kept.split("\n")):
        assert line in ("", source.split("\n")[number])


def test_windows_line_ends_do_not_hurt():
    assert extract((HEAD + SOFTMAX).replace("\n", "\r\n"), {"k"}) == extract(HEAD + SOFTMAX, {"k"})


def test_what_is_no_python_is_refused():
    with pytest.raises(LanguageError, match="line 1: the source is not Python"):
        extract("%matplotlib inline\n" + HEAD + SOFTMAX, {"k"})


def test_the_last_definition_counts():
    first = "@triton.jit\ndef k(x):\n    tl.store(x, 1)\n"
    second = "@triton.jit\ndef k(x):\n    tl.store(x, 2)\n"
    kept = extract(HEAD + first + second, {"k"})
    assert "2" in kept and "1)" not in kept


def test_only_what_is_used_is_kept():
    kept = extract(HEAD + "A = 1\nB = 2\n" + HELPERS, {"gelu"})
    assert [type(s).__name__ for s in ast.parse(kept).body] == ["FunctionDef"]


BODIES = {
    "dunder class": "tl.store(x, x.__class__)",
    "dunder chain": "y = ().__class__.__bases__[0].__subclasses__()",
    "handle": "y = x.handle",
    "handle data": "y = x.handle.data",
    "core module": "y = tl.core.sys",
    "core builtin": "y = tl.core.builtin(x)",
    "standard": "y = tl.standard.core.math",
    "tl builtins": "y = tl.__builtins__",
    "tl dict": "y = tl.__dict__",
    "semantic": "y = tl.semantic.TritonSemantic",
    "tensor constructor": "y = tl.tensor(x, tl.float32)",
    "inline assembly": "y = tl.inline_asm_elementwise('x', 'y', [x], tl.int32, True, 1)",
    "map_elementwise": "y = tl.map_elementwise(x, x)",
    "extra": "y = tl.extra.cuda.utils",
    "extra alone": "y = tl.extra",
    "bare tl": "y = tl",
    "bare triton": "y = triton",
    "triton runtime": "y = triton.runtime.driver",
    "triton jit inside": "y = triton.jit(x)",
    "libdevice module": "y = libdevice.core",
    "import": "import os",
    "from import": "from os import system",
    "dunder import": "__import__('os').system('true')",
    "open": "open('/etc/passwd')",
    "getattr": "y = getattr(x, 'handle')",
    "eval": "y = eval('1')",
    "exec": "exec('1')",
    "globals": "y = globals()",
    "type": "y = type(x)",
    "vars": "y = vars(tl)",
    "lambda": "y = (lambda: 1)()",
    "walrus": "tl.store(x, (y := 1))",
    "comprehension": "y = [i for i in range(3)]",
    "generator": "y = sum(i for i in range(3))",
    "f-string": "y = f'{x.handle}'",
    "format": "y = '{0.handle}'.format(x)",
    "percent format": "y = '%s' % x",
    "string value": "y = 'a' * 1000000000",
    "bytes": "y = b'abc'",
    "ellipsis": "y = ...",
    "complex": "y = 1j",
    "power": "y = 10 ** 10 ** 10",
    "huge shift": "y = 1 << 100000000",
    "huge number": "y = 99999999999999999999999999",
    "try": "try:\n        pass\n    except Exception as e:\n        y = e",
    "raise": "raise x",
    "with": "with x as y:\n        pass",
    "class": "class A:\n        pass",
    "nested function": "def inner():\n        pass",
    "nested decorator": "@print\n    def inner():\n        pass",
    "global": "global tl",
    "nonlocal": "nonlocal x",
    "del": "del x",
    "yield": "yield x",
    "await": "await x",
    "match": "match x:\n        case 1:\n            pass",
    "break": "for i in range(3):\n        break",
    "for over a list": "for i in [1, 2]:\n        pass",
    "for else": "for i in range(2):\n        pass\n    else:\n        pass",
    "for over a call": "for i in x.to(tl.float32):\n        pass",
    "shadow tl": "tl = x",
    "shadow triton in a loop": "for triton in range(3):\n        pass",
    "shadow range": "range = x",
    "assign an attribute": "x.handle = 1",
    "assign tl's attribute": "tl.load = x",
    "augment an attribute": "tl.load += 1",
    "assign an item": "x[0] = 1",
    "annotate an attribute": "x.y: tl.constexpr = 1",
    "annotation that calls": "y: print(1) = 1",
    "annotation without value": "y: tl.constexpr",
    "double starred call": "tl.load(**x)",
    "starred target": "a, *b = x",
    "private keyword": "y = tl.load(x, _semantic=1)",
    "private keyword on a method": "y = x.to(tl.float32, _semantic=x)",
    "call of a call": "y = tl.load(x)(1)",
    "call of an item": "y = x[0](1)",
    "chained assignment": "a = b = 1",
    "chained comparison": "y = 1 < x < 2",
    "in": "y = x in x",
    "dict": "y = {1: 2}",
    "set": "y = {1, 2}",
    "torch": "y = torch.exp(x)",
    "launcher": "y = launcher(x)",
    "unknown name": "y = undefined_name",
    "helper name": "_tl_as_tensor = x",
    "matmul operator": "y = x @ x",
    "to_ir": "y = tl.float32.to_ir(x)",
    "constexpr of tl": "y = tl.constexpr(tl)",
    "jit function's fn": "y = helper.fn",
    "jit function's run": "helper.run(grid=1, warmup=False)",
    "jit function's globals": "y = helper.__globals__",
    "launch from inside": "helper[(1,)](x)",
    "imported alias": "y = np",
    "mutable global": "y = CONFIG",
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_a_way_out_is_refused_with_its_line(body):
    helper = "@triton.jit\ndef helper(x):\n    return x\n"
    rest = "import numpy as np\nCONFIG = {'a': print}\ndef launcher(x):\n    return x\n"
    source = HEAD + rest + helper + f"@triton.jit\ndef k(x):\n    {body}\n"
    with pytest.raises(LanguageError) as caught:
        extract(source, {"k"})
    assert caught.value.sentence and "\n" not in str(caught.value)


def test_a_kernel_as_it_was_released_is_not_written_and_another_raise_is_refused():
    kernel = "@triton.jit\ndef k(x):\n    raise {}\n"
    with pytest.raises(NotWritten, match="line"):
        extract(HEAD + kernel.format('NotImplementedError("write k here")'), {"k"})
    with pytest.raises(LanguageError) as caught:
        extract(HEAD + kernel.format("ValueError('x')"), {"k"})
    assert not isinstance(caught.value, NotWritten)


HEADS = {
    "no decorator": "def k(x):\n    pass",
    "another decorator too": "@print\n@triton.jit\ndef k(x):\n    pass",
    "another decorator below": "@triton.jit\n@print\ndef k(x):\n    pass",
    "autotune below": "@triton.jit\n@triton.autotune(configs=[], key=[])\ndef k(x):\n    pass",
    "autotune without brackets": "@triton.autotune\n@triton.jit\ndef k(x):\n    pass",
    "autotune from elsewhere": "@tuning.autotune(configs=[], key=[])\n@triton.jit\ndef k(x):\n    pass",
    "jit twice": "@triton.jit\n@triton.jit\ndef k(x):\n    pass",
    "a tuned helper": "@triton.autotune([], [])\n@triton.jit\ndef h(x):\n    pass\n@triton.jit\ndef k(x):\n    h(x)",
    "decorator with a positional": "@triton.jit(print)\ndef k(x):\n    pass",
    "decorator from elsewhere": "@jit\ndef k(x):\n    pass",
    "decorator item": "@[triton.jit][0]\ndef k(x):\n    pass",
    "default with code": "@triton.jit\ndef k(x=print(1)):\n    pass",
    "default with a name": "@triton.jit\ndef k(x=tl):\n    pass",
    "star args": "@triton.jit\ndef k(*x):\n    pass",
    "star kwargs": "@triton.jit\ndef k(**x):\n    pass",
    "keyword only": "@triton.jit\ndef k(*, x):\n    pass",
    "parameter named tl": "@triton.jit\ndef k(tl):\n    pass",
    "parameter with dunder": "@triton.jit\ndef k(__x):\n    pass",
    "async": "@triton.jit\nasync def k(x):\n    pass",
    "class": "class k:\n    pass",
    "lambda": "k = triton.jit(lambda x: x)",
    "rebound later": "@triton.jit\ndef k(x):\n    pass\nk = print",
    "rebound in a loop": "@triton.jit\ndef k(x):\n    pass\nfor k in [print]:\n    pass",
    "rebound by import": "@triton.jit\ndef k(x):\n    pass\nfrom os import system as k",
    "constant with code": "C = print(1)\n@triton.jit\ndef k(x):\n    tl.store(x, C)",
    "constexpr with code": "C = tl.constexpr(print(1))\n@triton.jit\ndef k(x):\n    tl.store(x, C)",
    "constant rebound": "C = 1\nC = [print]\n@triton.jit\ndef k(x):\n    tl.store(x, C)",
    "constant too large": "C = 1 << 63 << 63\n@triton.jit\ndef k(x):\n    tl.store(x, C)",
    "recursive through a bad helper": "@triton.jit\ndef h(x):\n    import os\n@triton.jit\ndef k(x):\n    h(x)",
    "not python": "def k(:",
    "nul byte": "@triton.jit\ndef k(x):\n    pass\0",
    "deep": "@triton.jit\ndef k(x):\n    y = " + "-" * 500 + "1",
    "long": "@triton.jit\ndef k(x):\n" + "    y = x + 1\n" * 7000,
    "long together": "@triton.jit\ndef h(x):\n" + "    y = x + 1\n" * 4000
    + "@triton.jit\ndef k(x):\n" + "    h(x)\n" * 4000,
    "very deep": "@triton.jit\ndef k(x):\n    y = " + "(" * 5000 + "1" + ")" * 5000,
}


@pytest.mark.parametrize("source", HEADS.values(), ids=HEADS)
def test_a_bad_head_or_constant_is_refused(source):
    with pytest.raises(LanguageError):
        extract(HEAD + source + "\n", {"k"})


ABOVE = {
    "a tuple's field that opens a tensor": ("P = namedtuple('P', ['handle'])", "y = x.handle"),
    "a field that opens a function": ("P = namedtuple('P', 'fn run')", "y = helper.fn"),
    "a field with an underscore": ("P = namedtuple('P', ['__class__'])", "y = x.__class__"),
    "a field of a class": ("class P(NamedTuple):\n    data: int", "y = x.data"),
    "a class with a method": ("class P(NamedTuple):\n    a: int\n    def f(self): pass", "y = P(x)"),
    "a class with a default that runs": ("class P(NamedTuple):\n    a: int = print(1)", "y = P(x)"),
    "another class": ("class P(dict):\n    a: int", "y = P(x)"),
    "the inner module": ("import triton.language.core as c", "y = c.builtin"),
    "a module of the runtime": ("import triton.runtime as r", "y = r.driver"),
    "a module of the runtime, by a member's name": ("import triton.runtime as r", "y = r.store.load"),
    "another module under the name of ours": ("import os as libdevice", "y = libdevice.abs(x)"),
    "torch under a name of ours": ("import torch as tl", "y = tl.exp(x)"),
    "a module given a name": ("m = tl", "y = m.core"),
    "a module handed over": ("m = tl.math", "y = helper(m)"),
    "the tensor's class": ("T = tl.tensor", "y = T(x, x)"),
    "the dtype's class": ("D = tl.dtype", "y = D('fp32')"),
    "a constant that calls": ("C = tl.constexpr(open('x'))", "y = C"),
    "a constant that calls by a name": ("f = print\nC = tl.constexpr(f(1))", "y = C"),
    "a constant that shadows": ("def float(x):\n    return print\nC = float('inf')", "y = C"),
    "a constant of numpy's inside": ("import numpy as np\nC = tl.constexpr(np.load('x'))", "y = C"),
    "a constant that takes for ever": ("C = tl.constexpr(9 ** 9 ** 9 ** 9)", "y = x + C"),
    "a constant as a long text": ("C = 'a' * 1000000000", "y = x + C"),
    "tuples in tuples": ("A = (1, 2)\n" + "\n".join("A = (A, A)" for _ in range(3)), "y = A"),
    "tuples of shared tuples": ("A0 = (1, 2)\n" + "\n".join(f"A{i + 1} = (A{i}, A{i})" for i in range(60)), "y = A60"),
    "names in a circle": ("a = b\nb = a", "y = a"),
    "sums in a circle": ("a = b + 1\nb = a + 1", "y = a"),
    "a long chain": ("A0 = 1\n" + "\n".join(f"A{i + 1} = A{i}" for i in range(3000)), "y = A3000"),
    "a constexpr function that opens": ("@triton.constexpr_function\ndef f(n):\n    return open('x')", "y = f(1)"),
    "a constexpr function that imports": ("@triton.constexpr_function\ndef f(n):\n    import os", "y = f(1)"),
    "a constexpr function that loads": ("@triton.constexpr_function\ndef f(n):\n    return tl.load(n)", "y = f(1)"),
    "a constexpr function that asks": ("@triton.constexpr_function\ndef f(n):\n    return n.__class__", "y = f(1)"),
    "a helper's default that runs": ("@triton.jit\ndef h(a, b=print(1)):\n    return a", "y = h(x)"),
    "a helper under another decorator": ("@print\n@triton.jit\ndef h(a):\n    return a", "y = h(x)"),
    "a format that takes memory": ("", "tl.static_print(f'{1:1000000000}')"),
    "a format out of a name": ("", "tl.static_print(f'{1:{x}}')"),
    "an f-string that opens": ("", "tl.static_print(f'{x.handle}')"),
    "an annotation that runs": ("", "y: triton.runtime.driver.active() = x"),
    "isinstance with a class from elsewhere": ("", "y = isinstance(x, helper)"),
    "unpacking of an attribute": ("", "y = tl.load(*x.handle)"),
}


@pytest.mark.parametrize("above, body", ABOVE.values(), ids=ABOVE)
def test_what_stands_above_a_kernel_opens_no_way_out(above, body):
    helper = (
        "from typing import NamedTuple\nfrom collections import namedtuple\n@triton.jit\ndef helper(x):\n    return x\n"
    )
    with pytest.raises(LanguageError) as caught:
        extract(f"{HEAD}{helper}{above}\n@triton.jit\ndef k(x):\n    {body}\n", {"k"})
    assert caught.value.sentence and "\n" not in str(caught.value)


@pytest.mark.parametrize("field", ["handle", "fn", "__class__", "_semantic", "run", "not a name"])
def test_a_field_that_a_launch_names_opens_nothing(field):
    with pytest.raises(LanguageError):
        extract(f"{HEAD}@triton.jit\ndef k(x):\n    y = x.{field}\n", {"k"}, {field})


KEPT_OUT = {
    "annotations": "@triton.jit\ndef k(x: print('a'), y: 'open') -> print('b'):\n    tl.store(x, y)\n",
    "options": "@triton.jit(repr=print('a'), launch_metadata=open)\ndef k(x, y):\n    tl.store(x, y)\n",
    "the call": "def k(x, y):\n    tl.store(x, y)\nprint(k)\nk = triton.jit(k, repr=open)\n",
    "what stands around": "if open('x'):\n    @triton.jit\n    def k(x, y):\n        tl.store(x, y)\n",
    "a factory": "def make(f=open):\n    print(f)\n    @triton.jit\n    def k(x, y):\n        tl.store(x, y)\n",
    "a constant's arithmetic": "C = tl.constexpr(max(1, 2))\n@triton.jit\ndef k(x, y=C):\n    tl.store(x, y)\n",
}


@pytest.mark.parametrize("source", KEPT_OUT.values(), ids=KEPT_OUT)
def test_nothing_of_it_is_kept(source):
    kept = extract(HEAD + source, {"k"})
    assert not {"print", "open", "max", "make", "repr", "launch_metadata"} & set(re.findall(r"\w+", kept))
    assert extract(kept, {"k"}) == kept and load(kept)["k"].arg_names == ["x", "y"]


def test_two_kernels_of_one_name_inside_functions_are_told():
    inside = "def {}():\n    @triton.jit\n    def k(x):\n        tl.store(x, {})\n    return k\n"
    with pytest.raises(LanguageError, match="`k` means two things"):
        extract(HEAD + inside.format("one", 1) + inside.format("two", 2), {"k"})


def test_the_lists_name_all_of_the_language():
    """What triton has and the gate does not let through stands here, with the reason why."""
    public = lambda owner: {name for name in dir(owner) if not name.startswith("_")}  # noqa: E731
    modules = {name for name in public(tl) if isinstance(getattr(tl, name), types.ModuleType)}
    inner = {"const", "slice", "str_to_ty", "constexpr_type", "tensor_descriptor_type", "tuple_type"}  # of the compiler
    assert public(tl) - words.LANGUAGE_NAMES - words.TYPE_NAMES - modules - inner == set(words.REFUSED) - modules
    methods = public(tl.tensor) | public(tl.tensor_descriptor)
    assert methods - words.MEMBERS == {"block_type"}
    assert public(tl.math) - words.MATH_NAMES == {"List", "T", "core", "wraps"}
    without = {"y0", "y1", "yn", "rcp64h"}  # no counterpart on the CPU; fast_tanhf is a stub for other GPUs
    assert public(libdevice) - words.LIBDEVICE_NAMES - {"core"} == without | {"fast_tanhf"}


def test_statements_sharing_a_line_are_not_smuggled_in():
    source = HEAD + "import os; A = 1; os.system('true')\n@triton.jit\ndef k(x):\n    tl.store(x, A)\n"
    kept = ast.parse(extract(source, {"k"}))
    assert [type(statement).__name__ for statement in kept.body] == ["FunctionDef", "Assign"]


def test_a_backslash_or_form_feed_does_not_shift_the_lines():
    trick = "A = 1 \\\n+ 1\nB = '''\x0c\nimport os\n'''\n@triton.jit\ndef k(x):\n    tl.store(x, A)\n"
    kept = ast.parse(extract(HEAD + trick, {"k"}))
    assert [type(statement).__name__ for statement in kept.body] == ["FunctionDef", "Assign"]


def test_needed_names_are_checked_too():
    with pytest.raises(LanguageError, match="__builtins__"):
        extract(HEAD + SOFTMAX, {"__builtins__"})


TUNED = """
CONFIGS = [triton.Config({"BLOCK": 2**i}, num_warps=print("read")) for i in range(3)]
@triton.autotune(
    configs=CONFIGS, key=["n"],
    prune_configs_by={"early_config_prune": lambda *args: __import__("os").system("true")},
)
@triton.heuristics({"EVEN": lambda args: args["n"] % args["BLOCK"] == 0})
@triton.jit
def k(x, n, BLOCK: tl.constexpr, EVEN: tl.constexpr):
    tl.store(x, n)
"""


def test_of_autotune_and_heuristics_nothing_is_kept():
    extracted = extract(HEAD + TUNED, {"k"})
    function = ast.parse(extracted).body
    assert [ast.unparse(decorator) for decorator in function[0].decorator_list] == ["triton.jit"] and len(function) == 1
    assert extracted == extract(extracted, {"k"})
    at = (HEAD + TUNED).split("\n").index("    tl.store(x, n)")
    assert extracted.split("\n")[at] == "    tl.store(x, n)"
    assert load(extracted)["k"].arg_names == ["x", "n", "BLOCK", "EVEN"]
