"""Features: atomic operations, their dtypes, masks, returned values and orders."""

import numpy as np

from features.form import mixed, real, theme, these, whole

feature = theme("atomics")
x1 = mixed(16)

ONE = """
@triton.jit
def kernel(x, out):
    i = tl.arange(0, 16)
    tl.atomic_{}(out + i, tl.load(x + i))
"""
RULES = {
    "add": (np.add, "int32 int64 float16 bfloat16 float32 float64"),
    "max": (np.maximum, "int32 int64 float32 float64"),
    "min": (np.minimum, "int32 int64 float32 float64"),
    "and": (np.bitwise_and, "int32 int64"),
    "or": (np.bitwise_or, "int32 int64"),
    "xor": (np.bitwise_xor, "int32 int64"),
    "xchg": (lambda x, start: x, "int32 int64 float32 float64"),
}
for _name, (_rule, _dtypes) in RULES.items():
    for _dtype in _dtypes.split():
        feature(
            f"tl.atomic_{_name} of {_dtype}",
            ONE.format(_name),
            lambda x, rule=_rule: rule(x, 5),
            x=whole(16, dtype=_dtype, low=-20, high=30),
            start=5,
            dtype=_dtype,
        )

for _name, (_rule, _) in RULES.items():
    feature(
        f"what tl.atomic_{_name} returns",
        f"""
        @triton.jit
        def kernel(x, out, before):
            i = tl.arange(0, 16)
            tl.store(before + i, tl.atomic_{_name}(out + i, tl.load(x + i)))
        """,
        lambda x, rule=_rule: {"out": rule(x, 3), "before": np.full(16, 3)},
        x=x1,
        start=3,
    )

feature(
    "tl.atomic_cas",
    """
    @triton.jit
    def kernel(x, out, before):
        i = tl.arange(0, 16)
        tl.store(before + i, tl.atomic_cas(out + i, tl.load(x + i) % 2, i))
    """,
    lambda x: {"out": np.where(x % 2 == 0, np.arange(16), 0), "before": np.zeros(16, int)},
    x=x1,
    start=0,
)
feature(
    "tl.atomic_cas of a scalar",
    """
    @triton.jit
    def kernel(out):
        tl.atomic_cas(out, 0, 7)
        tl.atomic_cas(out, 0, 9)
    """,
    np.array([7]),
    start=0,
)
feature(
    "tl.atomic_cas of int64",
    """
    @triton.jit
    def kernel(x, out):
        i = tl.arange(0, 16)
        tl.atomic_cas(out + i, tl.full((16,), 5, tl.int64), tl.load(x + i))
    """,
    lambda x: x,
    x=whole(16, dtype="int64"),
    start=5,
    dtype="int64",
)

SEVERAL = """
    @triton.jit
    def kernel(x, out):
        i = tl.program_id(0) * 16 + tl.arange(0, 16)
        tl.atomic_{}(out + {}, tl.load(x + i){})
    """
feature(
    "many programs add to one place",
    """
    @triton.jit
    def kernel(x, out):
        i = tl.program_id(0) * 16 + tl.arange(0, 16)
        tl.atomic_add(out, tl.sum(tl.load(x + i), 0))
    """,
    lambda x: np.array([x.sum()]),
    x=mixed(64),
    grid=(4,),
    start=0,
)
feature(
    "lanes add to one place",
    SEVERAL.format("add", "i * 0", ""),
    lambda x: np.array([x.sum()]),
    x=mixed(64),
    grid=(4,),
    start=0,
)
feature(
    "lanes add to a few places",
    SEVERAL.format("add", "i % 4", ""),
    lambda x: x.reshape(-1, 4).sum(0),
    x=mixed(64),
    grid=(4,),
    start=0,
)
feature(
    "programs find a maximum",
    SEVERAL.format("max", "i * 0", ""),
    lambda x: np.array([x.max()]),
    x=real(64, high=-1.0),
    grid=(4,),
    start=-99,
)
feature(
    "programs find a minimum",
    SEVERAL.format("min", "i % 2", ""),
    lambda x: x.reshape(-1, 2).min(0),
    x=mixed(64),
    grid=(4,),
    start=99,
)
feature(
    "a histogram with atomics",
    """
    @triton.jit
    def kernel(x, out, n):
        i = tl.program_id(0) * 16 + tl.arange(0, 16)
        tl.atomic_add(out + tl.load(x + i, mask=i < n, other=0), 1, mask=i < n)
    """,
    lambda x, n: np.bincount(x, minlength=8),
    x=whole(40, low=0, high=8),
    n=40,
    grid=(3,),
    start=0,
)
for _name in RULES:
    feature(
        f"tl.atomic_{_name} under a mask",
        f"""
        @triton.jit
        def kernel(x, out):
            i = tl.arange(0, 16)
            tl.atomic_{_name}(out + i, tl.load(x + i), mask=i < 9)
        """,
        lambda x, rule=RULES[_name][0]: np.where(np.arange(16) < 9, rule(x, 6), 6),
        x=x1,
        start=6,
    )
for _order in ("relaxed", "acquire", "release", "acq_rel"):
    feature(f'sem="{_order}"', SEVERAL.format("add", "i", f', sem="{_order}"'), lambda x: x + 1, x=x1, start=1)
for _scope in ("gpu", "cta", "sys"):
    feature(
        f'scope="{_scope}"',
        SEVERAL.format("or", "i", f', sem="relaxed", scope="{_scope}"'),
        lambda x: x | 1,
        x=x1,
        start=1,
    )
feature(
    "unsigned tl.atomic_max",
    """
    @triton.jit
    def kernel(x, out):
        i = tl.arange(0, 4)
        p = out.to(tl.pointer_type(tl.uint32), bitcast=True)
        tl.atomic_max(p + i, tl.load(x + i).to(tl.uint32, bitcast=True))
    """,
    [7, -1, 5, -3],
    x=these(7, -1, 2, -3, dtype="int32"),
    start=5,
)
feature(
    "a ticket for each program",
    """
    @triton.jit
    def kernel(count, out):
        ticket = tl.atomic_add(count, 1)
        tl.store(out + ticket, ticket * ticket)
    """,
    {"count": np.array([5]), "out": np.arange(5) ** 2},
    grid=(5,),
    start=0,
)
feature(
    "a lock around a sum",
    """
    @triton.jit
    def kernel(lock, x, out):
        i = tl.program_id(0) * 8 + tl.arange(0, 8)
        while tl.atomic_cas(lock, 0, 1) == 1:
            pass
        tl.store(out + tl.arange(0, 8), tl.load(out + tl.arange(0, 8)) + tl.load(x + i))
        tl.debug_barrier()
        tl.atomic_xchg(lock, 0)
    """,
    lambda x: {"lock": np.array([0]), "out": x.reshape(4, 8).sum(0)},
    x=mixed(32),
    grid=(4,),
    start=0,
)
feature(
    "the last program sums up",
    """
    @triton.jit
    def kernel(x, parts, count, out):
        p = tl.program_id(0)
        tl.store(parts + p, tl.sum(tl.load(x + p * 8 + tl.arange(0, 8)), 0))
        tl.debug_barrier()
        if tl.atomic_add(count, 1, sem="acq_rel") == 3:
            tl.store(out, tl.sum(tl.load(parts + tl.arange(0, 4)), 0))
    """,
    lambda x: {"parts": x.reshape(4, 8).sum(1), "count": np.array([4]), "out": np.array([x.sum()])},
    x=mixed(32),
    grid=(4,),
    start=0,
)
