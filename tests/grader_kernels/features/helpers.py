"""Features: functions that kernels call, constants of every kind, tuples and named tuples, closures, aliases."""

from typing import NamedTuple

import numpy as np
import torch

from features.form import mixed, real, theme, whole

feature = theme("helpers")
x1, x2 = mixed(16), mixed(4, 8)


class Given(NamedTuple):
    """What a launch is handed."""

    rows: torch.Tensor
    scale: int


GIVEN = "from collections import namedtuple\n\nGiven = namedtuple('Given', 'rows scale')"


def helper(name, above, body, gives, **options):
    """A feature with a function above its kernel."""
    feature(name, body, gives, above=above, **{"x": x1, **options})


def jitted(text):
    return f"@triton.jit\n{text}"


# functions ------------------------------------------------------------------------------------------------------------

TWICE = jitted("def twice(x):\n    return x * 2")
helper("a helper", TWICE, "out = twice(x)", lambda x: x * 2)
helper(
    "a helper of a helper",
    f"{TWICE}\n\n@triton.jit\ndef more(x):\n    return twice(twice(x)) + 1",
    "out = more(x)",
    lambda x: 4 * x + 1,
)
helper(
    "a helper defined below its user",
    f"@triton.jit\ndef more(x):\n    return twice(x) + 1\n\n{TWICE}",
    "out = more(x)",
    lambda x: 2 * x + 1,
)
helper(
    "a helper without a value",
    jitted("def save(p, x):\n    tl.store(p + tl.arange(0, 16), x * 2)"),
    """
    @triton.jit
    def kernel(x, out):
        save(out, tl.load(x + tl.arange(0, 16)))
    """,
    lambda x: x * 2,
)
helper(
    "a helper that returns a tuple",
    jitted("def both(x):\n    return x + 1, x * 2"),
    "a, b = both(x)\nout = a * b",
    lambda x: (x + 1) * 2 * x,
)
helper(
    "a tuple returned and indexed",
    jitted("def both(x):\n    return x + 1, x * 2"),
    "pair = both(x)\nout = pair[0] - pair[1]",
    lambda x: 1 - x,
)
helper(
    "a constexpr parameter",
    jitted(
        "def power(x, N: tl.constexpr):\n    y = x\n    for _ in tl.static_range(N - 1):\n        y *= x\n    return y"
    ),
    "out = power(x, 3)",
    lambda x: x**3,
)
helper(
    "defaults",
    jitted("def line(x, a: tl.constexpr = 2, b=3, c=None):\n    return x * a + b if c is None else c"),
    "out = line(x) + line(x, 5) + line(x, b=1)",
    lambda x: 2 * x + 3 + 5 * x + 3 + 2 * x + 1,
)
helper(
    "keyword arguments",
    jitted("def line(x, a, b):\n    return x * a + b"),
    "out = line(b=1, a=2, x=x)",
    lambda x: 2 * x + 1,
)
helper(
    "recursion over a constexpr",
    """
@triton.jit
def tower(x, N: tl.constexpr):
    if N == 0:
        return x
    else:
        return tower(x, N - 1) + N
""",
    "out = tower(x, 4)",
    lambda x: x + 10,
)
helper(
    "recursion that halves a tile",
    jitted(
        """
def total(x, N: tl.constexpr):
    if N == 1:
        return tl.sum(x, 0)
    else:
        a, b = tl.split(tl.reshape(x, (N // 2, 2)))
        return total(a + b, N // 2)
""".strip()
    ),
    "out = total(x, 16)",
    lambda x: x.sum(),
)
helper(
    "an early return on a constexpr",
    jitted(
        "def act(x, KIND: tl.constexpr):\n    if KIND == 'relu':\n        return tl.maximum(x, 0)\n    return x + 1"
    ),
    "out = act(x - 8, 'relu') * 100 + act(x, KIND='none')",
    lambda x: np.maximum(x - 8, 0) * 100 + x + 1,
)
helper(
    "an early return on a scalar",
    jitted("def clip(n, m):\n    if n > m:\n        return m\n    return n"),
    "out = x + clip(n, 5)",
    lambda x, n: x + 5,
    n=9,
)
helper(
    "a return in either branch",
    jitted("def sign(n):\n    if n > 0:\n        return 1\n    else:\n        return -1"),
    "out = x * sign(n)",
    lambda x, n: -x,
    n=-4,
)
helper(
    "a return of tuples in either branch",
    jitted("def order(a, b):\n    if a > b:\n        return a, b\n    else:\n        return b, a"),
    "large, small = order(n, 7)\nout = x * small + large",
    lambda x, n: x * 3 + 7,
    n=3,
)
helper(
    "a function as an argument",
    f"{TWICE}\n\n@triton.jit\ndef apply(f: tl.constexpr, x):\n    return f(x) + 1",
    "out = apply(twice, x)",
    lambda x: 2 * x + 1,
)
helper("a function given to the launch", TWICE, "out = F(x)", lambda x: 2 * x, F="@twice")
helper(
    "a function of the language given to a helper",
    jitted("def apply(f: tl.constexpr, x):\n    return f(x)"),
    "out = apply(tl.exp, x)",
    np.exp,
    x=real(16),
    within=1e-6,
)
helper(
    "a helper changes its own copy",
    jitted("def spoil(x):\n    x += 100\n    return x"),
    "y = spoil(x)\nout = x + y",
    lambda x: 2 * x + 100,
)
helper(
    "a helper without arguments",
    jitted("def here():\n    return tl.program_id(0) + 7"),
    "out = x + here()",
    lambda x: x + 7,
)
helper(
    "a helper that loads",
    jitted("def row(p, i, N: tl.constexpr):\n    return tl.load(p + i * N + tl.arange(0, N))"),
    "out = row(x_ptr, 2, 8)",
    lambda x: x[2],
    x=x2,
)
helper(
    "a loop in a helper",
    jitted("def total(p, n):\n    s = 0\n    for i in range(n):\n        s += tl.load(p + i)\n    return s"),
    "out = total(x_ptr, 16)",
    lambda x: x.sum(),
)
helper(
    "noinline",
    "@triton.jit(noinline=True)\ndef twice(x):\n    return x * 2",
    "out = x + twice(n)",
    lambda x, n: x + 2 * n,
    n=5,
)
helper(
    "inlined helpers with one name for two things",
    jitted("def f(x):\n    y = x + 1\n    return y"),
    "y = x * 10\nz = f(x)\nout = y + z",
    lambda x: 11 * x + 1,
)
helper(
    "unpacking a tuple in a call",
    jitted("def line(x, a, b):\n    return x * a + b"),
    "pair = (2, 3)\nout = line(x, *pair)",
    lambda x: 2 * x + 3,
)
helper(
    "unpacking what was returned",
    jitted("def both(x):\n    return x, x + 1") + "\n\n@triton.jit\ndef join(a, b):\n    return a * b",
    "pair = both(x)\nout = join(*pair)",
    lambda x: x * (x + 1),
)
helper(
    "annotated helpers",
    jitted('def line(x: tl.tensor, a: "int", b: int = 2) -> tl.tensor:\n    """A line."""\n    return x * a + b'),
    "out = line(x, 3)",
    lambda x: 3 * x + 2,
)
helper(
    "a helper that asserts",
    jitted("def half(x):\n    tl.static_assert(x.shape[0] % 2 == 0)\n    return x // 2"),
    "out = half(x)",
    lambda x: x // 2,
)
helper(
    "helpers by triton.jit()",
    "def _double(x):\n    return x * 2\n\n\ndouble = triton.jit(_double)",
    "out = double(x)",
    lambda x: 2 * x,
)

# constants ------------------------------------------------------------------------------------------------------------

helper("a global under two names", "SIZE = tl.constexpr(16)\nSAME = SIZE", "out = x + SAME", lambda x: x + 16)
helper(
    "a global made by tl.constexpr",
    "SIZE = tl.constexpr(16)",
    "out = tl.arange(0, SIZE) + x",
    lambda x: np.arange(16) + x,
)
helper(
    "constants worked out",
    "A = tl.constexpr(3)\nHALF = 7 // 2\nB = tl.constexpr(2 ** 4 - 3 * 5 + HALF % 2)\nC = tl.constexpr(1 << 3 | 1)",
    "out = x * A + B + C",
    lambda x: 3 * x + 2 + 9,
)
helper(
    "constants of math",
    "import math\n\nLOG2E = tl.constexpr(1 / math.log(2))\nROOT = tl.constexpr(math.sqrt(2.0))",
    "out = x * LOG2E + ROOT",
    lambda x: x / np.log(2) + np.sqrt(2),
    x=real(16),
    near=3e-7,
)
helper(
    "a dtype under another name",
    "HALF = tl.constexpr(tl.float16)",
    "out = x.to(HALF)",
    lambda x: x,
    x=real(16),
    dtype="float16",
)
helper(
    "a string for a global", 'MODE = tl.constexpr("twice")', 'out = x * 2 if MODE == "twice" else x', lambda x: 2 * x
)
helper("a flag for a global", "DOUBLE = tl.constexpr(True)", "out = x\nif DOUBLE:\n    out *= 2", lambda x: 2 * x)
helper(
    "a float for a global",
    'LEAST = tl.constexpr(float("-inf"))',
    "out = tl.maximum(tl.full((16,), LEAST, tl.float32), x)",
    lambda x: x,
    x=real(16),
)
helper("a tuple for a global", "SIZES = tl.constexpr((2, 3, 5))", "out = x * SIZES[0] + SIZES[2]", lambda x: 2 * x + 5)
helper(
    "a constant of the interpreter's limits",
    "BIG = tl.constexpr(2**31 - 1)",
    "out = tl.minimum(x + 0, BIG)",
    lambda x: x,
)
feature(
    "constants of the launch worked out in the kernel",
    "HALF: tl.constexpr = N // 2\nREST: tl.constexpr = N - HALF * 2\nout = x.reshape(HALF, 2 + REST)",
    lambda x: x.reshape(8, 2),
    x=x1,
    N=16,
)
feature("** of constants", "out = x * 2**N + N**2", lambda x: 8 * x + 9, x=x1, N=3)
feature("-N, ~N, not N", "out = x + (-N) + (~N) + (1 if not N else 0)", lambda x: x - 5 - 6, x=x1, N=5)
feature("comparison of constants", "out = x\nif N >= 4 and N != 7:\n    out = x + 1", lambda x: x + 1, x=x1, N=5)
feature("a constexpr float", "out = x * EPS", lambda x: x * 0.25, x=real(16), EPS=0.25)
feature("a constexpr bool", "out = x * 2 if FLAG else x", lambda x: x, x=x1, FLAG=False)
feature(
    "a constexpr string in an argument",
    "out = tl.dot(x, x, input_precision=MODE)",
    lambda x: x @ x,
    x=whole(16, 16, dtype="float32"),
    MODE="ieee",
)
feature("a dtype given to the launch", "out = x.to(TYPE)", lambda x: x, x=real(16), TYPE="@tl.float16", dtype="float16")
feature("a tuple given as a constexpr", "out = x * SIZES[0] + SIZES[1]", lambda x: 2 * x + 3, x=x1, SIZES=(2, 3))
feature("None given as a constexpr", "out = x if BIAS is None else x + BIAS", lambda x: x, x=x1, BIAS=None)
helper(
    "a constexpr_function",
    """
@triton.constexpr_function
def log2(n):
    count = 0
    while n > 1:
        n //= 2
        count += 1
    return count
""",
    "out = x + log2(N)",
    lambda x: x + 4,
    N=16,
)
helper(
    "a constexpr_function for a shape",
    "@triton.constexpr_function\ndef halves(n):\n    return [n // 2, 2]",
    "out = tl.reshape(x, halves(16))",
    lambda x: x.reshape(8, 2),
)
helper(
    "a constexpr_function with break",
    """
@triton.constexpr_function
def first(n):
    for i in range(2, n):
        if n % i == 0:
            break
    return i
""",
    "out = x + first(N)",
    lambda x: x + 5,
    N=35,
)
feature(
    "triton.cdiv and triton.next_power_of_2",
    "out = x + triton.cdiv(N, 8) + triton.next_power_of_2(N)",
    lambda x: x + 3 + 32,
    x=x1,
    N=20,
)
feature(
    "len, min, max of constants",
    "SHAPE: tl.constexpr = (3, 4)\nout = x + len(SHAPE) + min(N, 2) + max(N, 9)",
    lambda x: x + 2 + 2 + 9,
    x=x1,
    N=5,
)
feature("int and float of constants", "out = x + int(7 / 2) + int(N * 0.5)", lambda x: x + 3 + 2, x=x1, N=5)
feature(
    "isinstance", "if isinstance(n, tl.tensor):\n    out = x + 1\nelse:\n    out = x", lambda x, n: x + 1, x=x1, n=7
)
feature(
    "isinstance of a constant",
    "out = x\nif isinstance(N, int) and not isinstance(N, tl.constexpr):\n    out = x + N",
    lambda x: x + 3,
    x=x1,
    N=3,
)

# tuples ---------------------------------------------------------------------------------------------------------------

feature("a tuple of tiles", "t = (x, x + 1, 7)\nout = t[0] + t[1] * t[2]", lambda x: x + (x + 1) * 7, x=x1)
feature("a slice of a tuple", "t = (1, 2, 3, 4)\nout = x + t[1:3][1] + t[-1]", lambda x: x + 7, x=x1)
feature("tuples added", "t = (1, 2) + (3,)\nout = x + t[2] + len(t)", lambda x: x + 6, x=x1)
feature("a tuple comprehension", "t = [x * k for k in (1, 2, 3)]\nout = t[0] + t[2]", lambda x: 4 * x, x=x1)
feature("a list", "t = [x, 2 * x]\nout = t[1]", lambda x: 2 * x, x=x1)
feature("tl.tuple", "t = tl.tuple([x, x + 1])\nout = t[1]", lambda x: x + 1, x=x1)
feature(
    "a tuple goes round a loop",
    "t = (x, x * 0)\nfor i in range(3):\n    t = (t[0] + 1, t[1] + t[0])\nout = t[1]",
    lambda x: 3 * x + 3,
    x=x1,
)
feature(
    "a tuple after if",
    "if n > 3:\n    t = (x, 1)\nelse:\n    t = (-x, 2)\nout = t[0] * t[1]",
    lambda x, n: -2 * x,
    x=x1,
    n=1,
)
feature(
    "a tuple of arguments",
    """
    @triton.jit
    def kernel(pair, out, sizes):
        i = tl.arange(0, 16)
        tl.store(out + i, tl.load(pair[0] + i) * sizes[0] + tl.load(pair[1] + i) * sizes[1])
    """,
    lambda pair, sizes: pair[0] * 2 + pair[1] * 3,
    pair=(x1, mixed(16, seed=1)),
    sizes=(2, 3),
)
feature(
    "a loop over a tuple of arguments",
    """
    @triton.jit
    def kernel(parts, out):
        i = tl.arange(0, 16)
        total = tl.zeros((16,), tl.int32)
        for k in tl.static_range(len(parts)):
            total += tl.load(parts[k] + i)
        tl.store(out + i, total)
    """,
    lambda parts: sum(parts),
    parts=(x1, mixed(16, seed=1), mixed(16, seed=2)),
)
feature(
    "a tuple with None in it",
    """
    @triton.jit
    def kernel(parts, out):
        i = tl.arange(0, 16)
        x = tl.load(parts[0] + i)
        if parts[1] is not None:
            x += tl.load(parts[1] + i)
        tl.store(out + i, x)
    """,
    lambda parts: parts[0],
    parts=(x1, None),
)
PAIR = "from typing import NamedTuple\n\n\nclass Pair(NamedTuple):\n    first: tl.tensor\n    second: tl.tensor"
helper("a named tuple", PAIR, "p = Pair(x, x + 1)\nout = p.first * p.second", lambda x: x * (x + 1))
helper(
    "a named tuple from a helper",
    PAIR + "\n\n\n@triton.jit\ndef swap(p):\n    return Pair(p.second, p.first)",
    "p = swap(Pair(x, x * 0))\nout = p.second - p.first",
    lambda x: x,
)
helper(
    "collections.namedtuple",
    'from collections import namedtuple\n\nState = namedtuple("State", ["value", "step"])',
    "s = State(x, 2)\nfor _ in range(3):\n    s = State(s.value + s.step, s.step)\nout = s.value",
    lambda x: x + 6,
)
feature(
    "a named tuple given to the launch",
    """
    @triton.jit
    def kernel(given, out):
        i = tl.arange(0, 16)
        tl.store(out + i, tl.load(given.rows + i) * given.scale)
    """,
    lambda given: given.rows * given.scale,
    given=Given(x1, 5),
    above=GIVEN,
)
