"""Features: what stands around kernels: imports, decorators, options, closures; and hints, prints, checks."""

import numpy as np

from features.form import mixed, real, theme

feature = theme("launches")
x1 = mixed(16)

# imports and aliases --------------------------------------------------------------------------------------------------

KERNEL = """
@{jit}
def kernel(x, out):
    i = {tl}arange(0, 16)
    {tl}store(out + i, {exp}({tl}load(x + i)))
"""
IMPORTS = {
    "import triton.language as tl": ("import triton\nimport triton.language as tl", "triton.jit", "tl.", "tl.exp"),
    "from triton import language as tl": (
        "import triton\nfrom triton import language as tl",
        "triton.jit",
        "tl.",
        "tl.exp",
    ),
    "import triton.language": (
        "import triton\nimport triton.language",
        "triton.jit",
        "triton.language.",
        "triton.language.exp",
    ),
    "from triton import jit": ("from triton import jit\nimport triton.language as L", "jit", "L.", "L.exp"),
    "from triton.language import names": (
        "import triton\nfrom triton.language import arange, load, store, exp",
        "triton.jit",
        "",
        "exp",
    ),
    "names under other names": (
        "import triton as tt\nimport triton.language as tl\nfrom triton.language import exp as e",
        "tt.jit",
        "tl.",
        "e",
    ),
    "import triton.language.math": (
        "import triton\nimport triton.language as tl\nimport triton.language.math as tm",
        "triton.jit",
        "tl.",
        "tm.exp",
    ),
    "from triton.language import math": (
        "import triton\nimport triton.language as tl\nfrom triton.language import math",
        "triton.jit",
        "tl.",
        "math.exp",
    ),
    "triton.language.core": (
        "import triton\nimport triton.language.core as core\nfrom triton.language import exp",
        "triton.jit",
        "core.",
        "exp",
    ),
    "libdevice from extra": (
        "import triton\nimport triton.language as tl\nfrom triton.language.extra import libdevice",
        "triton.jit",
        "tl.",
        "libdevice.exp",
    ),
    "libdevice from extra.cuda": (
        "import triton\nimport triton.language as tl\nfrom triton.language.extra.cuda import libdevice as ld",
        "triton.jit",
        "tl.",
        "ld.exp",
    ),
    "tl.extra.libdevice": (
        "import triton\nimport triton.language as tl",
        "triton.jit",
        "tl.",
        "tl.extra.libdevice.exp",
    ),
    "an alias of a function": (
        "import triton\nimport triton.language as tl\n\nexponential = tl.exp",
        "triton.jit",
        "tl.",
        "exponential",
    ),
    "an alias of a module": (
        "import triton\nimport triton.language as tl\n\nm = tl.math",
        "triton.jit",
        "tl.",
        "m.exp",
    ),
    "a try around an import": (
        "import triton\nimport triton.language as tl\n\ntry:\n    from triton.language.extra.libdevice import exp\n"
        "except ImportError:\n    from triton.language.math import exp",
        "triton.jit",
        "tl.",
        "exp",
    ),
}
for _name, (_imports, _jit, _tl, _exp) in IMPORTS.items():
    feature(_name, KERNEL.format(jit=_jit, tl=_tl, exp=_exp), np.exp, above=_imports, x=real(16), within=1e-6)

# decorators -----------------------------------------------------------------------------------------------------------

PLAIN = """
@{}
def kernel(x, n, out, BLOCK: tl.constexpr = 16):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out + i, tl.load(x + i, mask=i < n, other=0) * n, mask=i < n)
"""
for _jit in (
    "triton.jit()",
    'triton.jit(do_not_specialize=["n"])',
    "triton.jit(do_not_specialize=[1])",
    "triton.jit(debug=True)",
    'triton.jit(do_not_specialize_on_alignment=["x"])',
    "triton.jit(noinline=False)",
    "triton.jit(repr=lambda _: 'named')",
    "triton.jit(launch_metadata=lambda grid, kernel, args: {})",
):
    feature(f"@{_jit}", PLAIN.format(_jit), lambda x, n: x * n, x=x1, n=16)
feature("a default of a constexpr parameter", PLAIN.format("triton.jit"), lambda x, n: x * n, x=x1, n=16)
feature(
    "triton.jit called on a function",
    """
def kernel(x, out):
    i = tl.arange(0, 16)
    tl.store(out + i, tl.load(x + i) + 1)


kernel = triton.jit(kernel)
""",
    lambda x: x + 1,
    x=x1,
)
feature(
    "a kernel made in a function",
    """
def make(width):
    @triton.jit
    def kernel(x, out, BLOCK: tl.constexpr = 16):
        i = tl.arange(0, BLOCK)
        tl.store(out + i, tl.load(x + i) * 3)

    return kernel


kernel = make(4)
""",
    lambda x: x * 3,
    x=x1,
)
feature(
    "a kernel made in a function, with its constants",
    """
def make():
    FACTOR = tl.constexpr(3)

    @triton.jit
    def kernel(x, out):
        i = tl.arange(0, 16)
        tl.store(out + i, tl.load(x + i) * FACTOR)

    return kernel


kernel = make()
""",
    lambda x: x * 3,
    x=x1,
)
feature(
    "a kernel made for a number",
    """
def make(factor):
    FACTOR = tl.constexpr(factor)

    @triton.jit
    def kernel(x, out):
        i = tl.arange(0, 16)
        tl.store(out + i, tl.load(x + i) * FACTOR)

    return kernel


kernel = make(3)
""",
    lambda x: x * 3,
    x=x1,
)
feature(
    "a kernel in a class",
    """
class Kernels:
    @triton.jit
    def kernel(x, out):
        i = tl.arange(0, 16)
        tl.store(out + i, tl.load(x + i) * 3)


kernel = Kernels.kernel
""",
    lambda x: x * 3,
    x=x1,
)
TUNED = """
@triton.autotune(
    configs=[triton.Config({"BLOCK": 16}, num_warps=2), triton.Config({"BLOCK": 32}, num_stages=3)],
    key=["n"],
)
@triton.jit
def kernel(x, out, n, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out + i, tl.load(x + i, mask=i < n) + 1, mask=i < n)
"""
over_blocks = lambda meta: (-(-meta["n"] // meta["BLOCK"]),)  # noqa: E731
feature("@triton.autotune", TUNED, lambda x, n: x + 1, x=mixed(50), n=50, grid=over_blocks)
feature(
    "@triton.heuristics",
    """
@triton.heuristics({"EVEN": lambda args: args["n"] % args["BLOCK"] == 0})
@triton.jit
def kernel(x, out, n, BLOCK: tl.constexpr, EVEN: tl.constexpr):
    i = tl.arange(0, BLOCK)
    if EVEN:
        tl.store(out + i, tl.load(x + i) + 1)
    else:
        tl.store(out + i, tl.load(x + i, mask=i < n) + 2, mask=i < n)
""",
    lambda x, n: x + 2,
    x=mixed(15),
    n=15,
    BLOCK=16,
)
feature(
    "@triton.autotune over @triton.heuristics",
    """
@triton.autotune(configs=[triton.Config({"BLOCK": 32})], key=[])
@triton.heuristics(values={"WIDE": lambda args: args["BLOCK"] > 16})
@triton.jit
def kernel(x, out, n, BLOCK: tl.constexpr, WIDE: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out + i, tl.load(x + i, mask=i < n) + (1 if WIDE else 2), mask=i < n)
""",
    lambda x, n: x + 1,
    x=mixed(50),
    n=50,
    grid=over_blocks,
)
feature(
    "num_warps, num_stages of a launch",
    PLAIN.format("triton.jit"),
    lambda x, n: x * n,
    x=x1,
    n=16,
    options=dict(num_warps=2, num_stages=3),
)
feature(
    "num_ctas and maxnreg of a launch",
    PLAIN.format("triton.jit"),
    lambda x, n: x * n,
    x=x1,
    n=16,
    options=dict(num_ctas=1, maxnreg=64),
)
feature(
    "enable_fp_fusion of a launch",
    PLAIN.format("triton.jit"),
    lambda x, n: x * n,
    x=x1,
    n=16,
    options=dict(enable_fp_fusion=False),
)
feature(
    "annotations of a kernel",
    """
    @triton.jit
    def kernel(x: tl.tensor, out: tl.tensor, n: tl.int32, scale: tl.float32, N: "tl.constexpr") -> None:
        i = tl.arange(0, N)
        tl.store(out + i, tl.load(x + i) * n * scale)
    """,
    lambda x, n, scale: x * n * scale,
    x=real(16),
    n=3,
    scale=0.5,
    N=16,
    within=1e-6,
)
feature(
    "annotations of torch and Python",
    """
    import torch
    import triton
    import triton.language as tl
    from triton.language import constexpr


    @triton.jit
    def kernel(x: torch.Tensor, out: torch.Tensor, n: int, scale: float, N: constexpr):
        i = tl.arange(0, N)
        tl.store(out + i, tl.load(x + i) * n * scale)
    """,
    lambda x, n, scale: x * n * scale,
    x=real(16),
    n=3,
    scale=0.5,
    N=16,
    within=1e-6,
)
feature(
    "from __future__ import annotations",
    """
    from __future__ import annotations

    import triton
    import triton.language as tl


    @triton.jit
    def kernel(x: tl.tensor | None, out, N: tl.constexpr):
        i = tl.arange(0, N)
        tl.store(out + i, tl.load(x + i) * 2)
    """,
    lambda x: x * 2,
    x=x1,
    N=16,
)
feature(
    "a kernel with much around it",
    """
    import math
    import os

    import torch
    import triton
    import triton.language as tl

    DEVICE = os.environ.get("DEVICE", "cpu")
    BLOCK = tl.constexpr(16)
    torch.manual_seed(0)


    class Module(torch.nn.Module):
        def forward(self, x):
            return x * math.pi


    @triton.jit
    def kernel(x, out):
        i = tl.arange(0, BLOCK)
        tl.store(out + i, tl.load(x + i) * 2)


    print(DEVICE) if os.environ.get("NEVER") else None
    """,
    lambda x: x * 2,
    x=x1,
)

# hints, prints, checks ------------------------------------------------------------------------------------------------

HINTS = {
    "tl.multiple_of": "n = tl.multiple_of(n, 8)\nout = x + n",
    "tl.multiple_of of a tile": "i = tl.multiple_of(tl.arange(0, 16), 16)\nout = tl.load(x_ptr + i) + n",
    "tl.max_contiguous": "i = tl.max_contiguous(tl.arange(0, 16), 16)\nout = tl.load(x_ptr + i) + n",
    "tl.max_constancy": "i = tl.max_constancy(tl.arange(0, 16) // 4, 4)\nout = x + i * 0 + n",
    "tl.assume": "tl.assume(n > 0)\nout = x + n",
    "tl.debug_barrier": "tl.debug_barrier()\nout = x + n",
    "tl.static_assert": 'tl.static_assert(x.shape[0] == 16, "sixteen")\nout = x + n',
    "tl.static_assert of a constant": "tl.static_assert(N % 8 == 0 and N > 0)\nout = x + n",
    "tl.static_print": 'tl.static_print("shape", x.shape, N)\nout = x + n',
    "tl.static_print of an f-string": 'tl.static_print(f"N is {N} and {N + 1:>4d}")\nout = x + n',
    "tl.static_assert with an f-string": 'tl.static_assert(N == 16, f"N is {N}")\nout = x + n',
    "tl.device_print": 'tl.device_print("x", x)\nout = x + n',
    "tl.device_print in hex": 'tl.device_print("pid and n", tl.program_id(0), n, hex=True)\nout = x + n',
    "tl.device_assert": 'tl.device_assert(x >= 0, "below zero")\nout = x + n',
    "tl.device_assert under a mask": 'tl.device_assert(x < 5, "too large", mask=x < 5)\nout = x + n',
    "print": 'print("n", n)\nout = x + n',
    "print of an f-string": 'print(f"N {N}")\nout = x + n',
}
for _name, _body in HINTS.items():
    feature(_name, _body, lambda x, n: x + n, x=x1, n=8, N=16)

# what can't run without a GPU -----------------------------------------------------------------------------------------

feature(
    "tl.inline_asm_elementwise",
    'out = tl.inline_asm_elementwise("add.s32 $0, $1, 1;", "=r,r", [x], dtype=tl.int32, is_pure=True, pack=1)',
    lambda x: x + 1,
    x=x1,
)
feature(
    "tl.map_elementwise",
    "out = tl.map_elementwise(larger, x, x * 0 + 5)",
    lambda x: np.maximum(x, 5),
    x=x1,
    above="""
@triton.jit
def larger(a, b):
    if a > b:
        return a
    else:
        return b
""",
)
