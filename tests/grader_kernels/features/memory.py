"""Features: programs and their grid, loads and stores by pointers, blocks and descriptors."""

import numpy as np
import torch

from features.form import flags, mixed, real, theme

feature = theme("memory")
x1, x2 = mixed(16), mixed(4, 8)

# programs and grids ---------------------------------------------------------------------------------------------------

feature(
    "a grid of one dimension",
    """
    @triton.jit
    def kernel(x, out, BLOCK: tl.constexpr):
        i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
        tl.store(out + i, tl.load(x + i) * 2)
    """,
    lambda x: x * 2,
    x=mixed(64),
    BLOCK=16,
    grid=(4,),
)
feature(
    "a grid of two dimensions",
    """
    @triton.jit
    def kernel(out):
        row, column = tl.program_id(0), tl.program_id(1)
        tl.store(out + row * tl.num_programs(1) + column, row * 10 + column)
    """,
    lambda: np.arange(3)[:, None] * 10 + np.arange(5),
    grid=(3, 5),
)
feature(
    "a grid of three dimensions",
    """
    @triton.jit
    def kernel(out):
        i, j, k = tl.program_id(axis=0), tl.program_id(axis=1), tl.program_id(axis=2)
        at = (i * tl.num_programs(axis=1) + j) * tl.num_programs(axis=2) + k
        tl.store(out + at, i * 100 + j * 10 + k)
    """,
    lambda: np.array([[[100 * i + 10 * j + k for k in range(4)] for j in range(3)] for i in range(2)]),
    grid=(2, 3, 4),
)
feature(
    "a grid from the meta arguments",
    """
    @triton.jit
    def kernel(x, out, n, BLOCK: tl.constexpr):
        i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
        tl.store(out + i, tl.load(x + i, mask=i < n), mask=i < n)
    """,
    lambda x, n: x,
    x=mixed(50),
    n=50,
    BLOCK=16,
    grid=lambda meta: (-(-meta["n"] // meta["BLOCK"]),),
)
feature(
    "num_programs of axes that the grid has not",
    "out = tl.num_programs(0) * 100 + tl.num_programs(1) * 10 + tl.num_programs(2)",
    np.asarray(111),
)
feature(
    "a program id in int64",
    "out = tl.program_id(0).to(tl.int64) * (1 << 40) + tl.arange(0, 16)",
    np.arange(16),
    dtype="int64",
)
feature(
    "programs in a loop with the stride of the grid",
    """
    @triton.jit
    def kernel(x, out, n, BLOCK: tl.constexpr):
        for block in range(tl.program_id(0), tl.cdiv(n, BLOCK), tl.num_programs(0)):
            i = block * BLOCK + tl.arange(0, BLOCK)
            tl.store(out + i, tl.load(x + i, mask=i < n, other=0) + 1, mask=i < n)
    """,
    lambda x, n: x + 1,
    x=mixed(100),
    n=100,
    BLOCK=16,
    grid=(3,),
)

# pointers -------------------------------------------------------------------------------------------------------------

feature(
    "a mask with other",
    "i = tl.arange(0, 32)\nout = tl.load(x_ptr + i, mask=i < 16, other=-1)",
    lambda x: np.r_[x, np.full(16, -1)],
    x=x1,
)
feature(
    "other is a tile",
    "i = tl.arange(0, 32)\nout = tl.load(x_ptr + i, mask=i < 16, other=i * 10)",
    lambda x: np.r_[x, np.arange(16, 32) * 10],
    x=x1,
)
feature(
    "other is cast to the dtype",
    "i = tl.arange(0, 32)\nout = tl.load(x_ptr + i, mask=i < 16, other=0.5)",
    lambda x: np.r_[x, np.full(16, 0.5)],
    x=real(16, dtype="bfloat16"),
    dtype="bfloat16",
)
feature(
    "other is -inf",
    "i = tl.arange(0, 32)\nout = tl.max(tl.load(x_ptr + i, mask=i < 16, other=-float('inf')), 0)",
    lambda x: x.max(),
    x=real(16, high=-1.0),
)
feature(
    "a mask of two dimensions",
    """
    i, j = tl.arange(0, 4)[:, None], tl.arange(0, 8)[None, :]
    out = tl.load(x_ptr + i * 8 + j, mask=(i < 3) & (j < 5), other=0)
    """,
    lambda x: np.where((np.arange(4)[:, None] < 3) & (np.arange(8) < 5), x, 0),
    x=x2,
)
feature(
    "a mask that broadcasts",
    "out = tl.load(x_ptr + tl.arange(0, 4)[:, None] * 8 + tl.arange(0, 8)[None, :], "
    "mask=tl.arange(0, 8)[None, :] < 5, other=0)",
    lambda x: np.where(np.arange(8) < 5, x, 0),
    x=x2,
)
feature(
    "a masked store leaves the rest",
    """
    @triton.jit
    def kernel(x, out):
        i = tl.arange(0, 16)
        tl.store(out + i, tl.load(x + i), mask=i % 2 == 0)
    """,
    lambda x: np.where(np.arange(16) % 2 == 0, x, 7),
    x=x1,
    start=7,
)
feature(
    "a mask that is a scalar", "out = tl.load(x_ptr + tl.arange(0, 16), mask=n > 3, other=0)", lambda x, n: x, x=x1, n=4
)
feature(
    "a mask that is constant",
    "out = tl.load(x_ptr + tl.arange(0, 16), mask=EVEN or n > 3, other=0)",
    lambda x, n: x,
    x=x1,
    n=2,
    EVEN=True,
)
feature("mask=None, other=None", "out = tl.load(x_ptr + tl.arange(0, 16), mask=None, other=None)", lambda x: x, x=x1)
feature(
    "mask and other by place",
    "i = tl.arange(0, 32)\nout = tl.load(x_ptr + i, i < 16, 3)",
    lambda x: np.r_[x, np.full(16, 3)],
    x=x1,
)
feature("a scalar load and store", "s = tl.load(x_ptr + 3)\nout = s + 1", lambda x: x[3] + 1, x=x1)
feature(
    "a scalar load under a mask",
    "out = tl.load(x_ptr + 99, mask=n > 3, other=-5)",
    lambda x, n: np.asarray(-5),
    x=x1,
    n=1,
)
feature(
    "a scalar stored to many places",
    """
    @triton.jit
    def kernel(x, out):
        tl.store(out + tl.arange(0, 16), tl.load(x + 3))
    """,
    lambda x: np.full(16, x[3]),
    x=x1,
)
feature(
    "a number stored",
    """
    @triton.jit
    def kernel(out):
        tl.store(out + tl.arange(0, 16), 2.5)
    """,
    np.full(16, 2.5),
)
feature("pointers that are loaded places", "out = tl.load(y_ptr + x)", lambda x, y: y[x], x=x1, y=mixed(16, seed=1))
feature(
    "stores to shuffled places",
    """
    @triton.jit
    def kernel(x, out):
        i = tl.arange(0, 16)
        tl.store(out + tl.load(x + i), i)
    """,
    lambda x: np.argsort(x),
    x=x1,
)
feature(
    "rows with a stride",
    "out = tl.load(x_ptr + tl.arange(0, 4)[:, None] * 8 + tl.arange(0, 4)[None, :] * 2)",
    lambda x: x[:, ::2],
    x=x2,
)
feature(
    "a transposed load",
    "out = tl.load(x_ptr + tl.arange(0, 8)[:, None] + tl.arange(0, 4)[None, :] * 8)",
    lambda x: x.T,
    x=x2,
)
feature("backwards", "out = tl.load(x_ptr + 15 - tl.arange(0, 16))", lambda x: x[::-1], x=x1)
feature(
    "a pointer moved in a loop",
    """
    p = x_ptr + tl.arange(0, 8)
    out = tl.zeros((8,), tl.int32)
    for _ in range(4):
        out += tl.load(p)
        p += 8
    """,
    lambda x: x.sum(0),
    x=x2,
)
feature("a base pointer moved", "x_ptr += 8\nout = tl.load(x_ptr + tl.arange(0, 8))", lambda x: x[1], x=x2)
feature("pointer - number", "p = x_ptr + 16\nout = tl.load(p - 16 + tl.arange(0, 16))", lambda x: x, x=x1)
feature("number + pointer", "out = tl.load(tl.arange(0, 16) + x_ptr)", lambda x: x, x=x1)
feature("offsets in int64", "out = tl.load(x_ptr + tl.arange(0, 16).to(tl.int64))", lambda x: x, x=x1)
feature("offsets in uint32", "out = tl.load(x_ptr + tl.arange(0, 16).to(tl.uint32))", lambda x: x, x=x1)
feature(
    "strided tensors",
    """
    @triton.jit
    def kernel(x, out, step, away):
        i, j = tl.arange(0, 8)[:, None], tl.arange(0, 4)[None, :]
        tl.store(out + i * 4 + j, tl.load(x + i * step + j * away))
    """,
    lambda x, step, away: x,
    x=mixed(4, 8).T,
    step=1,
    away=8,
)
feature(
    "a pointer chosen by if",
    """
    if n > 3:
        p = x_ptr
    else:
        p = x_ptr + 8
    out = tl.load(p + tl.arange(0, 8))
    """,
    lambda x, n: x[1],
    x=x2,
    n=1,
)
feature("bool tensors", "out = tl.where(x, 1, 2)", lambda x: np.where(x, 1, 2), x=flags(16))
feature("a bool tensor is stored", "out = x > 5", lambda x: x > 5, x=x1)
feature(
    "an input that is also written",
    """
    @triton.jit
    def kernel(x, out):
        i = tl.arange(0, 16)
        tl.store(out + i, tl.load(x + i))
        tl.debug_barrier()
        tl.store(out + i, tl.load(out + i) + 1)
    """,
    lambda x: x + 1,
    x=x1,
)

# how a load is cached -------------------------------------------------------------------------------------------------

for _modifier in ("", ".ca", ".cg", ".cv"):
    feature(
        f"cache_modifier='{_modifier}' of a load",
        f"out = tl.load(x_ptr + tl.arange(0, 16), cache_modifier='{_modifier}')",
        lambda x: x,
        x=x1,
    )
for _modifier in (".wb", ".cg", ".cs", ".wt"):
    feature(
        f"cache_modifier='{_modifier}' of a store",
        f"""
        @triton.jit
        def kernel(x, out):
            i = tl.arange(0, 16)
            tl.store(out + i, tl.load(x + i), cache_modifier="{_modifier}")
        """,
        lambda x: x,
        x=x1,
    )
for _policy in ("evict_first", "evict_last"):
    feature(
        f"eviction_policy='{_policy}'",
        f"""
        @triton.jit
        def kernel(x, out):
            i = tl.arange(0, 16)
            tl.store(out + i, tl.load(x + i, eviction_policy="{_policy}"), eviction_policy="{_policy}")
        """,
        lambda x: x,
        x=x1,
    )
feature("volatile", "out = tl.load(x_ptr + tl.arange(0, 16), volatile=True)", lambda x: x, x=x1)

# blocks ---------------------------------------------------------------------------------------------------------------

BLOCK = "p = tl.make_block_ptr(x_ptr, shape=(4, 8), strides=(8, 1), offsets=({}), block_shape=({}), order=(1, 0))\n"
whole_block, part, over = BLOCK.format("0, 0", "4, 8"), BLOCK.format("2, 4", "2, 4"), BLOCK.format("2, 4", "4, 8")
feature("a block pointer", whole_block + "out = tl.load(p)", lambda x: x, x=x2)
feature("a block pointer to a part", part + "out = tl.load(p)", lambda x: x[2:, 4:], x=x2)
feature(
    "boundary_check with zeros",
    over + 'out = tl.load(p, boundary_check=(0, 1), padding_option="zero")',
    lambda x: np.pad(x[2:, 4:], ((0, 2), (0, 4))),
    x=x2,
)
feature(
    "boundary_check with NaN",
    over + 'out = tl.load(p, boundary_check=(0, 1), padding_option="nan")',
    lambda x: np.pad(x[2:, 4:], ((0, 2), (0, 4)), constant_values=np.nan),
    x=real(4, 8),
)
feature(
    "boundary_check of one axis",
    BLOCK.format("2, 0", "4, 8") + 'out = tl.load(p, boundary_check=(0,), padding_option="zero")',
    lambda x: np.pad(x[2:], ((0, 2), (0, 0))),
    x=x2,
)
feature(
    "tl.advance",
    BLOCK.format("0, 0", "2, 4") + "p = tl.advance(p, (2, 0))\np = tl.advance(p, [0, 4])\nout = tl.load(p)",
    lambda x: x[2:, 4:],
    x=x2,
)
feature(
    "p.advance in a loop",
    BLOCK.format("0, 0", "4, 2")
    + """
    out = tl.zeros((4, 2), tl.int32)
    for _ in range(4):
        out += tl.load(p)
        p = p.advance((0, 2))
    """.replace("\n    ", "\n"),
    lambda x: x.reshape(4, 4, 2).sum(1),
    x=x2,
)
feature(
    "a block pointer by columns",
    """
    p = tl.make_block_ptr(x_ptr, shape=(8, 4), strides=(1, 8), offsets=(0, 0), block_shape=(8, 4), order=(0, 1))
    out = tl.load(p)
    """,
    lambda x: x.T,
    x=x2,
)
feature(
    "a block pointer of one dimension",
    """
    p = tl.make_block_ptr(base=x_ptr, shape=[n], strides=[1], offsets=[8], block_shape=[16], order=[0])
    out = tl.load(p, boundary_check=[0], padding_option="zero")
    """,
    lambda x, n: np.r_[x[8:], np.zeros(8, int)],
    x=x1,
    n=16,
)
feature(
    "a store through a block pointer",
    """
    @triton.jit
    def kernel(x, out, n):
        p = tl.make_block_ptr(x, (4, n), (n, 1), (0, 0), (4, 8), (1, 0))
        q = tl.make_block_ptr(out, (8, 4), (4, 1), (0, 0), (8, 4), (1, 0))
        tl.store(q, tl.trans(tl.load(p)))
    """,
    lambda x, n: x.T,
    x=x2,
    n=8,
)
feature(
    "a store with boundary_check",
    """
    @triton.jit
    def kernel(x, out):
        i = tl.arange(0, 8)
        q = tl.make_block_ptr(out, (5, 6), (6, 1), (0, 0), (8, 8), (1, 0))
        tl.store(q, tl.load(x + i[:, None] * 8 + i[None, :]), boundary_check=(0, 1))
    """,
    lambda x: x[:5, :6],
    x=mixed(8, 8),
)
feature(
    "a block pointer handed to a helper",
    whole_block + "out = doubled(p)",
    lambda x: x * 2,
    x=x2,
    above="@triton.jit\ndef doubled(p):\n    return tl.load(p) * 2",
)

# descriptors ----------------------------------------------------------------------------------------------------------

DESCRIPTOR = "d = tl.make_tensor_descriptor(x_ptr, shape=[8, 16], strides=[16, 1], block_shape=[4, 8])\n"
d2 = mixed(8, 16)
feature("a descriptor", DESCRIPTOR + "out = d.load([4, 8])", lambda x: x[4:, 8:], x=d2)
feature(
    "a descriptor past the end reads zeros",
    DESCRIPTOR + "out = d.load([6, 12])",
    lambda x: np.pad(x[6:, 12:], ((0, 2), (0, 4))),
    x=d2,
)
feature(
    "a descriptor that pads with NaN",
    """
    d = tl.make_tensor_descriptor(x_ptr, [8, 16], [16, 1], [4, 8], padding_option="nan")
    out = d.load([6, 12])
    """,
    lambda x: np.pad(x[6:, 12:], ((0, 2), (0, 4)), constant_values=np.nan),
    x=real(8, 16),
)
feature(
    "tl.load_tensor_descriptor", DESCRIPTOR + "out = tl.load_tensor_descriptor(d, [0, 8])", lambda x: x[:4, 8:], x=d2
)
feature(
    "a store through a descriptor",
    """
    @triton.jit
    def kernel(x, out, m, n):
        source = tl.make_tensor_descriptor(x, shape=[m, n], strides=[n, 1], block_shape=[8, 16])
        target = tl.make_tensor_descriptor(out, shape=[n, m], strides=[m, 1], block_shape=[16, 8])
        target.store([0, 0], source.load([0, 0]).T)
    """,
    lambda x, m, n: x.T,
    x=d2,
    m=8,
    n=16,
)
feature(
    "tl.store_tensor_descriptor",
    """
    @triton.jit
    def kernel(x, out, n):
        source = tl.make_tensor_descriptor(x, [8, n], [n, 1], [8, 16])
        target = tl.make_tensor_descriptor(out, [8, n], [n, 1], [8, 16])
        tl.store_tensor_descriptor(target, [0, 0], tl.load_tensor_descriptor(source, [0, 0]) + 1)
    """,
    lambda x, n: x + 1,
    x=d2,
    n=16,
)
feature(
    "a descriptor over programs",
    """
    @triton.jit
    def kernel(x, out, BM: tl.constexpr, BN: tl.constexpr):
        source = tl.make_tensor_descriptor(x, shape=[8, 16], strides=[16, 1], block_shape=[BM, BN])
        target = tl.make_tensor_descriptor(out, shape=[8, 16], strides=[16, 1], block_shape=[BM, BN])
        at = [tl.program_id(0) * BM, tl.program_id(1) * BN]
        target.store(at, source.load(at) * 3)
    """,
    lambda x: x * 3,
    x=d2,
    BM=4,
    BN=4,
    grid=(2, 4),
)
feature(
    "a descriptor of three dimensions",
    """
    d = tl.make_tensor_descriptor(x_ptr, shape=[2, 4, 8], strides=[32, 8, 1], block_shape=[1, 4, 8])
    out = d.load([1, 0, 0]).reshape(4, 8)
    """,
    lambda x: x[1],
    x=mixed(2, 4, 8),
)
feature(
    "what a descriptor says of itself",
    DESCRIPTOR
    + """
tl.static_assert(d.dtype == tl.int32)
out = d.load([0, 0]) * d.block_shape[0] + d.shape[1] + d.strides[0].to(tl.int32)
""",
    lambda x: x[:4, :8] * 4 + 32,
    x=d2,
)
feature(
    "an atomic addition through a descriptor",
    """
    @triton.jit
    def kernel(x, out):
        i = tl.arange(0, 4)[:, None] * 8 + tl.arange(0, 8)[None, :]
        d = tl.make_tensor_descriptor(out, shape=[4, 8], strides=[8, 1], block_shape=[4, 8])
        d.atomic_add([0, 0], tl.load(x + i))
    """,
    lambda x: x + 5,
    x=x2,
    start=5,
)

for _name, _rule in dict(
    min=np.minimum, max=np.maximum, xor=np.bitwise_xor, **{"and": np.bitwise_and, "or": np.bitwise_or}
).items():
    feature(
        f"d.atomic_{_name}",
        f"""
        @triton.jit
        def kernel(x, out):
            i = tl.arange(0, 4)[:, None] * 8 + tl.arange(0, 8)[None, :]
            d = tl.make_tensor_descriptor(out, shape=[4, 8], strides=[8, 1], block_shape=[4, 8])
            d.atomic_{_name}([0, 0], tl.load(x + i))
        """,
        lambda x, rule=_rule: rule(x, 5),
        x=x2,
        start=5,
    )
feature(
    "d.gather of rows",
    """
    d = tl.make_tensor_descriptor(x_ptr, shape=[16, 16], strides=[16, 1], block_shape=[1, 8])
    out = d.gather(y, 8)
    """,
    lambda x, y: x[y, 8:],
    x=mixed(16, 16),
    y=mixed(16)[:8],
)
feature(
    "d.scatter of rows",
    """
    @triton.jit
    def kernel(x, y, out):
        i = tl.arange(0, 8)
        d = tl.make_tensor_descriptor(out, shape=[8, 8], strides=[8, 1], block_shape=[1, 8])
        d.scatter(tl.load(x + i[:, None] * 8 + i[None, :]), tl.load(y + i), 0)
    """,
    lambda x, y: x[np.argsort(y)],
    x=mixed(8, 8),
    y=mixed(8),
)

# what the trace can't carry -------------------------------------------------------------------------------------------

feature(
    "a tensor of uint32",
    "out = x.to(tl.int64)",
    lambda x: [1, 2, 2**31, 5],
    x=torch.tensor([1, 2, 2**31, 5], dtype=torch.uint32),
    dtype="int64",
)
feature(
    "a tensor of uint16",
    "out = x.to(tl.int32)",
    lambda x: [1, 2, 40000, 5],
    x=torch.tensor([1, 2, 40000, 5], dtype=torch.uint16),
)
feature(
    "a tensor of uint64",
    "out = (x >> 32).to(tl.int32)",
    lambda x: [0, 1],
    x=torch.tensor([1, 2**32], dtype=torch.uint64),
)
feature(
    "a tensor of float8e5",
    "out = x.to(tl.float32)",
    lambda x: [1.0, 0.5],
    x=torch.tensor([1.0, 0.5]).to(torch.float8_e5m2),
)
