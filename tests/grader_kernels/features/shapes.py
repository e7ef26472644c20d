"""Features: making tiles, and giving them other shapes and orders."""

import numpy as np

from features.form import mixed, real, theme, whole

feature = theme("shapes")
x1, x2, x3, y1, y2 = mixed(16), mixed(4, 8), mixed(2, 4, 8), mixed(16, seed=1), mixed(4, 8, seed=1)

# making ---------------------------------------------------------------------------------------------------------------

feature("tl.arange", "out = tl.arange(0, 16)", np.arange(16))
feature("tl.arange from elsewhere", "out = tl.arange(16, 32)", np.arange(16, 32))
feature("tl.arange of one", "out = tl.arange(0, 1)", np.arange(1))
feature("tl.arange by keywords", "out = tl.arange(start=4, end=8)", np.arange(4, 8))
feature("tl.full", "out = tl.full((4, 8), 7, tl.int32)", np.full((4, 8), 7))
feature("tl.full by keywords", "out = tl.full([16], value=-float('inf'), dtype=tl.float32)", np.full(16, -np.inf))
feature("tl.full of a scalar", "out = tl.full((16,), n, tl.int32)", lambda n: np.full(16, n), n=9)
feature(
    "tl.full of a loaded scalar",
    "out = tl.full((16,), tl.load(x_ptr + 2), tl.int32)",
    lambda x: np.full(16, x[2]),
    x=x1,
)
feature("tl.full of bfloat16", "out = tl.full((16,), 0.1, tl.bfloat16)", np.full(16, 0.1), dtype="bfloat16", within=0.0)
feature("tl.full without dimensions", "out = tl.full((), 3.0, tl.float32) + x", lambda x: x + 3, x=x1, dtype="float32")
feature("tl.zeros", "out = tl.zeros((4, 8), tl.float32)", np.zeros((4, 8)))
feature("tl.zeros by keywords", "out = tl.zeros(shape=[16], dtype=tl.int64)", np.zeros(16), dtype="int64")
feature("tl.zeros_like", "out = tl.zeros_like(x) + 1", np.ones((4, 8)), x=real(4, 8))
feature(
    "tl.zeros of a named shape",
    "SHAPE: tl.constexpr = (4, N)\nout = tl.zeros(SHAPE, tl.int32)",
    np.zeros((4, 8), int),
    N=8,
)
feature("tl.to_tensor", "out = tl.to_tensor(3) + x", lambda x: x + 3, x=x1)

# broadcasting ---------------------------------------------------------------------------------------------------------

feature("x[:, None]", "out = x[:, None]", lambda x: x[:, None], x=x1)
feature("x[None, :]", "out = x[None, :]", lambda x: x[None], x=x1)
feature("x[None, :, None]", "out = x[None, :, None]", lambda x: x[None, :, None], x=x1)
feature("x[:, :, None]", "out = x[:, :, None] + tl.arange(0, 2)", lambda x: x[:, :, None] + np.arange(2), x=x2)
feature("tl.expand_dims", "out = tl.expand_dims(x, 0)", lambda x: x[None], x=x1)
feature("tl.expand_dims at the end", "out = tl.expand_dims(x, -1)", lambda x: x[:, None], x=x1)
feature("tl.expand_dims twice", "out = tl.expand_dims(x, (0, 2))", lambda x: x[None, :, None], x=x1)
feature("tl.broadcast_to", "out = tl.broadcast_to(x[None, :], (4, 16))", lambda x: np.broadcast_to(x, (4, 16)), x=x1)
feature("tl.broadcast_to, sizes apart", "out = tl.broadcast_to(x[:, None], 16, 2)", lambda x: np.stack([x, x], 1), x=x1)
feature("tl.broadcast_to of a scalar", "out = tl.broadcast_to(n, (4, 8))", lambda n: np.full((4, 8), n), n=5)
feature(
    "tl.broadcast",
    "a, b = tl.broadcast(x[:, None], y[None, :])\nout = a * 100 + b",
    lambda x, y: x[:, None] * 100 + y,
    x=x1,
    y=y1,
)
feature(
    "broadcasting in three dimensions",
    "out = x[:, None, :] * 100 + y[None, :, :]",
    lambda x, y: x[:, None] * 100 + y[None],
    x=mixed(2, 8),
    y=mixed(4, 8),
)
feature("a scalar tile beside a tile", "out = x + tl.sum(x, 0)", lambda x: x + x.sum(0), x=x2)
feature("a tile of one beside a tile", "out = x + tl.full((1, 1), 3, tl.int32)", lambda x: x + 3, x=x2)
feature("tl.squeeze", "out = tl.squeeze(x[None, :], 0)", lambda x: x, x=x1)
feature("tl.unsqueeze", "out = tl.unsqueeze(x, 1)", lambda x: x[:, None], x=x1)

# other shapes ---------------------------------------------------------------------------------------------------------

feature("tl.reshape", "out = tl.reshape(x, (2, 16))", lambda x: x.reshape(2, 16), x=x2)
feature("tl.reshape, sizes apart", "out = tl.reshape(x, 2, 2, 8)", lambda x: x.reshape(2, 2, 8), x=x2)
feature("tl.reshape to a list", "out = tl.reshape(x, [32])", lambda x: x.reshape(32), x=x2)
feature("tl.reshape to one dimension and back", "out = x.reshape(32).reshape(8, 4)", lambda x: x.reshape(8, 4), x=x2)
feature("tl.reshape in any order", "out = tl.sort(tl.reshape(x, (32,), can_reorder=True))", np.arange(32), x=x2)
feature("tl.view", "out = tl.sort(tl.view(x, (32,)))", np.arange(32), x=x2)
feature("tl.ravel", "out = tl.ravel(x)", lambda x: x.reshape(-1), x=x2)
feature("tl.ravel of three dimensions", "out = tl.ravel(x)", lambda x: x.reshape(-1), x=x3)
feature("tl.trans", "out = tl.trans(x)", lambda x: x.T, x=x2)
feature("tl.trans of given axes", "out = tl.trans(x, 1, 0)", lambda x: x.T, x=x2)
feature("tl.trans of a tuple of axes", "out = tl.trans(x, (2, 0, 1))", lambda x: x.transpose(2, 0, 1), x=x3)
feature("x.T", "out = x.T", lambda x: x.T, x=x2)
feature("tl.permute", "out = tl.permute(x, (1, 2, 0))", lambda x: x.transpose(1, 2, 0), x=x3)
feature("tl.permute, axes apart", "out = tl.permute(x, 0, 2, 1)", lambda x: x.transpose(0, 2, 1), x=x3)
feature(
    "four dimensions",
    "out = tl.permute(x.reshape(2, 2, 2, 4), 3, 1, 0, 2)",
    lambda x: x.reshape(2, 2, 2, 4).transpose(3, 1, 0, 2),
    x=x2,
)

# joining and splitting ------------------------------------------------------------------------------------------------

feature("tl.join", "out = tl.join(x, y)", lambda x, y: np.stack([x, y], -1), x=x1, y=y1)
feature("tl.join of two dimensions", "out = tl.join(x, y)", lambda x, y: np.stack([x, y], -1), x=x2, y=y2)
feature("tl.join of scalars", "out = tl.join(tl.load(x_ptr), tl.load(x_ptr + 1))", lambda x: x[:2], x=x1)
feature("tl.split", "a, b = tl.split(x)\nout = a * 100 + b", lambda x: x[:, 0] * 100 + x[:, 1], x=mixed(16, 2))
feature("tl.split after reshape", "a, b = tl.split(x.reshape(8, 2))\nout = a - b", lambda x: x[::2] - x[1::2], x=x1)
feature(
    "halves of a row", "a, b = tl.split(tl.permute(x.reshape(2, 8), 1, 0))\nout = a - b", lambda x: x[:8] - x[8:], x=x1
)
feature("tl.interleave", "out = tl.interleave(x, y)", lambda x, y: np.stack([x, y], -1).reshape(-1), x=x1, y=y1)
feature(
    "tl.interleave of two dimensions",
    "out = tl.interleave(x, y)",
    lambda x, y: np.stack([x, y], -1).reshape(4, 16),
    x=x2,
    y=y2,
)
feature(
    "tl.interleave promotes nothing",
    "out = tl.interleave(x, -x)",
    lambda x: np.stack([x, -x], -1).reshape(-1),
    x=real(16, dtype="float16"),
    dtype="float16",
)
feature("tl.cat in any order", "out = tl.sort(tl.cat(x, x + 16, can_reorder=True))", np.arange(32), x=x1)
feature("tl.cat", "out = tl.cat(x, y)", lambda x, y: np.concatenate([x, y]), x=x1, y=y1)
feature("tl.cat along the last axis", "out = tl.cat(x, y, dim=1)", lambda x, y: np.concatenate([x, y], 1), x=x2, y=y2)

# picking --------------------------------------------------------------------------------------------------------------

feature("tl.flip", "out = tl.flip(x, 0)", lambda x: x[::-1], x=x1)
feature("tl.flip of columns", "out = tl.flip(x, 1)", lambda x: x[:, ::-1], x=x2)
feature("tl.flip of rows", "out = tl.flip(x, 0)", lambda x: x[::-1], x=x2)
feature("tl.flip of the last axis", "out = tl.flip(x, -1)", lambda x: x[:, ::-1], x=real(4, 8), within=0.0)
feature("tl.gather", "out = tl.gather(x, y, 0)", lambda x, y: x[y], x=x1, y=y1)
feature(
    "tl.gather along rows",
    "out = tl.gather(x, y % 8, axis=1)",
    lambda x, y: np.take_along_axis(x, y % 8, 1),
    x=x2,
    y=y2,
)
feature(
    "tl.gather along columns", "out = tl.gather(x, y % 4, 0)", lambda x, y: np.take_along_axis(x, y % 4, 0), x=x2, y=y2
)
feature("tl.gather of another size", "out = tl.gather(x, tl.arange(0, 4) * 3, 0)", lambda x: x[np.arange(4) * 3], x=x1)


def swizzled(size_i, size_j, size_g):
    """Programs i, j of a grid in groups of size_g rows, column by column in each, as one number i * 100 + j."""
    out = np.zeros((size_i, size_j), int)
    for number in range(size_i * size_j):
        first = number // (size_g * size_j) * size_g
        rows = min(size_g, size_i - first)
        within = number - first * size_j
        out[number // size_j, number % size_j] = (first + within % rows) * 100 + within // rows
    return out


feature(
    "tl.swizzle2d",
    "i, j = tl.swizzle2d(tl.arange(0, 4)[:, None], tl.arange(0, 8)[None, :], 4, 8, 2)\nout = i * 100 + j",
    swizzled(4, 8, 2),
)
feature(
    "tl.swizzle2d of scalars",
    """
    @triton.jit
    def kernel(out):
        i, j = tl.swizzle2d(tl.program_id(0), tl.program_id(1), tl.num_programs(0), tl.num_programs(1), 2)
        tl.store(out + tl.program_id(0) * tl.num_programs(1) + tl.program_id(1), i * 100 + j)
    """,
    swizzled(3, 5, 2),
    grid=(3, 5),
)
feature(
    "a triangle", "out = tl.where(tl.arange(0, 8)[:, None] >= tl.arange(0, 8)[None, :], x, 0)", np.tril, x=mixed(8, 8)
)
feature("one element by a mask", "out = tl.sum(tl.where(tl.arange(0, 16) == 5, x, 0))", lambda x: int(x[5]), x=x1)
feature(
    "one-hot rows",
    "out = (x[:, None] == tl.arange(0, 16)[None, :]).to(tl.int32)",
    lambda x: np.eye(16, dtype=int)[x],
    x=x1,
)
feature(
    "x.item of a tile of one",
    "out = x[None, :] + tl.sum(y, 0, keep_dims=True).item()",
    lambda x, y: x[None] + y.sum(),
    x=x1,
    y=whole(16),
)
feature(
    "a large tile", "r = tl.arange(0, 64)\nout = tl.sum(tl.sum(r[:, None] * r[None, :], 1), 0)", np.asarray(2016 * 2016)
)
