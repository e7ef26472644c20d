"""Features: if, while and for in all their forms, and what variables are after them."""

import numpy as np

from features.form import mixed, real, theme, these, whole

feature = theme("control")
x1, x2 = mixed(16), mixed(4, 8)

# if -------------------------------------------------------------------------------------------------------------------

for _n, _gives in ((1, lambda x, n: x + 1), (2, lambda x, n: x * 2), (5, lambda x, n: -x)):
    feature(
        f"if, elif, else on a scalar that is {_n}",
        """
        if n == 1:
            out = x + 1
        elif n == 2:
            out = x * 2
        else:
            out = -x
        """,
        _gives,
        x=x1,
        n=_n,
    )
for _mode, _gives in (("add", lambda x: x + 1), ("double", lambda x: x * 2), (None, lambda x: x)):
    feature(
        f"if on a constexpr that is {_mode}",
        """
        if MODE == "add":
            out = x + 1
        elif MODE is not None and MODE == "double":
            out = x * 2
        else:
            out = x
        """,
        _gives,
        x=x1,
        MODE=_mode,
    )
feature("if without else", "out = x\nif n > 3:\n    out = out + 100", lambda x, n: x + 100, x=x1, n=5)
feature("if that does not hold", "out = x\nif n > 3:\n    out = out + 100", lambda x, n: x, x=x1, n=2)
feature("if on a loaded number", "out = x\nif tl.load(x_ptr + 3) > 100:\n    out = x * 0", lambda x: x, x=x1)
feature("if on a reduction", "out = x\nif tl.sum(x, 0) > 100:\n    out = x - 1", lambda x: x - 1, x=x1)
feature(
    "if on a program id",
    """
    @triton.jit
    def kernel(out):
        p = tl.program_id(0)
        if p % 2 == 0:
            tl.store(out + p, p)
        else:
            tl.store(out + p, -p)
    """,
    [0, -1, 2, -3, 4],
    grid=(5,),
)
feature(
    "nested if",
    """
    if n > 0:
        if n > 10:
            out = x + 10
        else:
            out = x + 5
        out = out * 2
    else:
        out = x
    """,
    lambda x, n: (x + 5) * 2,
    x=x1,
    n=7,
)
feature(
    "a constexpr if takes only its branch",
    """
    if EVEN:
        out = x
    else:
        out = tl.zeros((3,), tl.int32)
    """,
    lambda x: x,
    x=x1,
    EVEN=True,
)
feature(
    "a constexpr if changes shape and dtype",
    """
    y = x
    if WIDE:
        y = x[:, None].to(tl.float32)
    out = y * 0.5
    """,
    lambda x: x[:, None] / 2,
    x=x1,
    WIDE=True,
)
feature(
    "if with and, or, not",
    "if n > 1 and n < 9 or not n != 100:\n    out = x + 1\nelse:\n    out = x - 1",
    lambda x, n: x + 1,
    x=x1,
    n=5,
)
feature("if on an int", "out = x\nif n:\n    out = x + 1", lambda x, n: x + 1, x=x1, n=3)
feature("if on a bool argument", "out = x\nif b:\n    out = x + 1", lambda x, b: x, x=x1, b=False)
feature("if not", "out = x\nif not b:\n    out = x + 1", lambda x, b: x + 1, x=x1, b=False)
feature(
    "if on None",
    "out = x\nif y_ptr is not None:\n    out += tl.load(y_ptr + tl.arange(0, 16))",
    lambda x, y_ptr: x,
    x=x1,
    y_ptr=None,
)
feature("a value for either case", "out = x + (1 if n > 3 else 2)", lambda x, n: x + 2, x=x1, n=1)
feature("a value for either constexpr case", "out = x * 2 if DOUBLE else x", lambda x: x * 2, x=x1, DOUBLE=True)
feature("a tile for either case", "out = x if n > 3 else -x", lambda x, n: -x, x=x1, n=1)
feature(
    "stores in both branches",
    """
    @triton.jit
    def kernel(x, n, out):
        i = tl.arange(0, 16)
        if n > 3:
            tl.store(out + i, tl.load(x + i))
        else:
            tl.store(out + i, i)
    """,
    lambda x, n: np.arange(16),
    x=x1,
    n=2,
)
feature(
    "return in the middle of a kernel",
    """
    @triton.jit
    def kernel(n, out):
        p = tl.program_id(0)
        if p >= n:
            return
        tl.store(out + p, p + 1)
    """,
    lambda n: [1, 2, 3, 0, 0],
    n=3,
    grid=(5,),
    start=0,
)
feature(
    "return on a constexpr",
    """
    @triton.jit
    def kernel(out, SKIP: tl.constexpr):
        tl.store(out, 1)
        if SKIP:
            return
        tl.store(out, 2)
    """,
    [1],
    SKIP=True,
)
feature("if with pass", "out = x\nif n > 3:\n    pass\nelse:\n    out = x + 1", lambda x, n: x, x=x1, n=5)
feature(
    "tl.constexpr in a condition",
    "if tl.constexpr(x.dtype == tl.int32):\n    out = x\nelse:\n    out = x.to(tl.int32)",
    lambda x: x,
    x=x1,
)

# for ------------------------------------------------------------------------------------------------------------------

feature("for over a number", "out = x\nfor i in range(4):\n    out = out + i", lambda x: x + 6, x=x1)
feature("for over an argument", "out = x\nfor i in range(n):\n    out += i", lambda x, n: x + 10, x=x1, n=5)
feature("for from, to, step", "out = x\nfor i in range(2, 11, 3):\n    out += i", lambda x: x + 2 + 5 + 8, x=x1)
feature(
    "for backwards",
    "out = x\nfor i in range(6, 0, -2):\n    out = out * 2 + i",
    lambda x: ((x * 2 + 6) * 2 + 4) * 2 + 2,
    x=x1,
)
feature(
    "for backwards from an argument",
    "out = x\nfor i in range(n - 1, -1, -1):\n    out = out * 2 + i",
    lambda x, n: ((x * 2 + 2) * 2 + 1) * 2,
    x=x1,
    n=3,
)
feature(
    "for with a step that is an argument",
    "out = x\nfor i in range(0, 10, n):\n    out += i",
    lambda x, n: x + 0 + 4 + 8,
    x=x1,
    n=4,
)
feature(
    "for with bounds from memory",
    "out = tl.zeros((), tl.int32)\nfor i in range(tl.load(x_ptr), tl.load(x_ptr + 1)):\n    out += i",
    lambda x: sum(range(x[0], x[1])),
    x=these(3, 9, dtype="int32"),
)
feature("for that never runs", "out = x\nfor i in range(n, 3):\n    out = out * 0", lambda x, n: x, x=x1, n=5)
feature(
    "for over a tensor bound", "out = x\nfor i in range(tl.cdiv(n, 4)):\n    out += 1", lambda x, n: x + 3, x=x1, n=10
)
feature(
    "for over a program's share",
    """
    @triton.jit
    def kernel(out, B: tl.constexpr):
        p = tl.program_id(0)
        total = 0
        for i in range(p * B, (p + 1) * B):
            total += i
        tl.store(out + p, total)
    """,
    [0 + 1 + 2, 3 + 4 + 5],
    B=3,
    grid=(2,),
)
feature(
    "a loop variable is a tensor", "out = x\nfor i in range(4):\n    out += i.to(tl.int32) * 2", lambda x: x + 12, x=x1
)
feature(
    "a loop variable has a dtype",
    "out = x\nfor i in range(3):\n    tl.static_assert(i.dtype == tl.int32)\n    out += i",
    lambda x: x + 3,
    x=x1,
)
feature(
    "a loop variable in int64",
    "out = tl.zeros((16,), tl.int64)\nfor i in range(n):\n    out += i",
    lambda n: np.full(16, n * (n - 1) // 2),
    n=4,
    dtype="int64",
)
feature(
    "a loop variable decides",
    "out = x\nfor i in range(4):\n    if i % 2 == 0:\n        out += 10\n    else:\n        out -= 1",
    lambda x: x + 18,
    x=x1,
)
feature(
    "nested loops",
    "out = x\nfor i in range(3):\n    for j in range(i, 4):\n        out += i * j",
    lambda x: x + sum(i * j for i in range(3) for j in range(i, 4)),
    x=x1,
)
feature(
    "several variables go round",
    "a = x\nb = x * 0 + 1\nfor _ in range(5):\n    a, b = b, a + b\nout = b",
    lambda x: 5 * x + 8,
    x=x1,
)
feature(
    "a scalar goes round",
    "total = 0.0\nfor i in range(16):\n    total += tl.load(x_ptr + i)\nout = total",
    lambda x: x.sum(),
    x=whole(16, dtype="float32"),
)
feature(
    "a running maximum",
    """
    m = tl.full((4,), -float("inf"), tl.float32)
    s = tl.zeros((4,), tl.float32)
    for j in range(0, 8, 2):
        part = tl.load(x_ptr + tl.arange(0, 4)[:, None] * 8 + j + tl.arange(0, 2)[None, :])
        new = tl.maximum(m, tl.max(part, 1))
        s = s * tl.exp(m - new) + tl.sum(tl.exp(part - new[:, None]), 1)
        m = new
    out = m + tl.log(s)
    """,
    lambda x: np.log(np.exp(x).sum(1)),
    x=real(4, 8),
    within=1e-6,
    near=1e-6,
)
feature(
    "while inside for",
    "out = x\nfor i in range(3):\n    k = i\n    while k > 0:\n        out += k\n        k -= 1",
    lambda x: x + 1 + 2 + 1,
    x=x1,
)
feature(
    "if on a tensor around a loop",
    "out = x\nif n > 2:\n    for i in range(n):\n        out += i",
    lambda x, n: x + 6,
    x=x1,
    n=4,
)
feature("tl.range", "out = x\nfor i in tl.range(0, 8, 2):\n    out += i", lambda x: x + 12, x=x1)
feature(
    "tl.range with num_stages",
    "out = x\nfor i in tl.range(0, n, num_stages=3):\n    out += i",
    lambda x, n: x + 6,
    x=x1,
    n=4,
)
feature(
    "tl.range with every option",
    """
    out = x
    for i in tl.range(0, n, 1, num_stages=2, loop_unroll_factor=2, disallow_acc_multi_buffer=True, disable_licm=True):
        out += i
    """,
    lambda x, n: x + 6,
    x=x1,
    n=4,
)
feature(
    "tl.range that flattens",
    """
    out = x
    for i in tl.range(0, 2, flatten=True):
        for j in range(3):
            out += i * j
    """,
    lambda x: x + 3,
    x=x1,
)
feature(
    "tl.range with warp_specialize",
    "out = x\nfor i in tl.range(0, n, warp_specialize=False):\n    out += i",
    lambda x, n: x + 6,
    x=x1,
    n=4,
)
feature("tl.static_range", "out = x\nfor i in tl.static_range(4):\n    out += i", lambda x: x + 6, x=x1)
feature(
    "tl.static_range from, to, step",
    "out = x\nfor i in tl.static_range(1, N, 2):\n    out += i",
    lambda x: x + 1 + 3 + 5,
    x=x1,
    N=7,
)
feature(
    "tl.static_range backwards",
    "out = x\nfor i in tl.static_range(3, 0, -1):\n    out = out * 2 + i",
    lambda x: ((x * 2 + 3) * 2 + 2) * 2 + 1,
    x=x1,
)
feature(
    "tl.static_range makes constants",
    "out = x\nfor i in tl.static_range(3):\n    out += tl.sum(tl.full((2**i,), 1, tl.int32), 0)",
    lambda x: x + 7,
    x=x1,
)
feature(
    "tl.static_range inside tl.static_range",
    "out = x\nfor i in tl.static_range(3):\n    for j in tl.static_range(i):\n        out += j + 1",
    lambda x: x + 1 + 1 + 2,
    x=x1,
)
feature(
    "tl.static_range over a tuple's places",
    "sizes: tl.constexpr = (1, 10, 100)\nout = x\nfor i in tl.static_range(len(sizes)):\n    out += sizes[i]",
    lambda x: x + 111,
    x=x1,
)
feature(
    "tl.static_range with an if on its variable",
    "out = x\nfor i in tl.static_range(3):\n    if i == 1:\n        out = out * 2",
    lambda x: x * 2,
    x=x1,
)
feature(
    "a range by keywords of constants", "out = x\nfor i in range(0, N // 2):\n    out += N", lambda x: x + 32, x=x1, N=8
)
feature(
    "a variable made inside a loop",
    "out = x\nfor i in range(3):\n    step = i * 2\n    out += step",
    lambda x: x + 6,
    x=x1,
)

# while ----------------------------------------------------------------------------------------------------------------

feature("while", "out = x\nk = n\nwhile k > 0:\n    out += k\n    k -= 1", lambda x, n: x + 10, x=x1, n=4)
feature(
    "while on two conditions",
    "k = 0\ns = 0\nwhile (k < n) & (s < 10):\n    s += k\n    k += 1\nout = x + s * 100 + k",
    lambda x, n: x + 1005,
    x=x1,
    n=99,
)
feature("while and ... and", "k = 0\nwhile k < n and k < 5:\n    k += 1\nout = x + k", lambda x, n: x + 5, x=x1, n=9)
feature(
    "while with tl.condition",
    "out = x\nk = n\nwhile tl.condition(k > 0):\n    out += k\n    k -= 1",
    lambda x, n: x + 10,
    x=x1,
    n=4,
)
feature(
    "while with tl.condition and its option",
    "out = x\nk = n\nwhile tl.condition(k > 0, disable_licm=True):\n    out += k\n    k -= 1",
    lambda x, n: x + 10,
    x=x1,
    n=4,
)
feature("while until a tile is done", "out = x\nwhile tl.max(out, 0) > 3:\n    out = out // 2", lambda x: x // 4, x=x1)
feature(
    "Collatz",
    """
    k = n
    steps = 0
    while k != 1:
        if k % 2 == 0:
            k = k // 2
        else:
            k = 3 * k + 1
        steps += 1
    out = x + steps
    """,
    lambda x, n: x + 111,
    x=x1,
    n=27,
)
feature(
    "binary search",
    """
    low = tl.zeros((16,), tl.int32)
    high = tl.full((16,), 16, tl.int32)
    while tl.max(high - low, 0) > 0:
        middle = (low + high) // 2
        value = tl.load(y_ptr + middle, mask=low < high, other=0)
        right = (value < x) & (low < high)
        low, high = tl.where(right, middle + 1, low), tl.where(right | (low >= high), high, middle)
    out = low
    """,
    lambda x, y: np.searchsorted(y, x),
    x=x1,
    y=mixed(16).sort().values * 2,
)
feature(
    "Newton's square root",
    "out = x\nfor _ in range(6):\n    out = 0.5 * (out + x / out)",
    np.sqrt,
    x=real(16, low=0.5, high=4.0),
    within=1e-6,
)
feature(
    "Horner's rule in a static loop",
    """
    TERMS: tl.constexpr = (1.0, -2.0, 3.0)
    out = tl.zeros_like(x)
    for i in tl.static_range(3):
        out = out * x + TERMS[i]
    """,
    lambda x: x * x - 2 * x + 3,
    x=whole(16, dtype="float32"),
)
feature("assert", 'assert n > 0, "n must be positive"\nout = x + n', lambda x, n: x + n, x=x1, n=3)
feature("assert on a constexpr", "assert N == 8\nout = x + N", lambda x: x + 8, x=x1, N=8)
feature("a docstring and comments", '"""What it does."""\n# a comment\nout = x  # another', lambda x: x, x=x1)
feature("pass", "pass\nout = x", lambda x: x, x=x1)
feature("two names at once", "a, b = x + 1, x + 2\nb, a = a, b\nout = a - b", lambda x: np.ones(16, int), x=x1)
feature("three names at once", "a, b, c = x, x + 1, x + 2\nout = a + b + c", lambda x: 3 * x + 3, x=x1)
feature(
    "annotations of variables",
    "a: tl.constexpr = 3\nb: tl.tensor = x\nc: int = 2\nout = b * a + c",
    lambda x: x * 3 + 2,
    x=x1,
)
feature(
    "a name used again for something else",
    "y = x\ny = y.to(tl.float32)\ny = y[:, None]\nout = y * 0.5",
    lambda x: x[:, None] / 2,
    x=x1,
)
