"""Features: products of matrices in every dtype, and those with scales."""

import numpy as np
import torch

from features.form import real, theme, whole

feature = theme("dots")


def pair(dtype, m=16, k=16, n=16, low=-4, high=5):
    """Two matrices of small whole numbers: every product of them is exact."""
    return dict(x=whole(m, k, dtype=dtype, low=low, high=high), y=whole(k, n, dtype=dtype, low=low, high=high, seed=1))


for _dtype in ("float16", "bfloat16", "float32", "float64"):
    feature(
        f"tl.dot of {_dtype}",
        "out = tl.dot(x, y)",
        np.matmul,
        dtype="float64" if _dtype == "float64" else "float32",
        **pair(_dtype),
    )
feature(
    "tl.dot of int8 is int32",
    "out = tl.dot(x, y)\ntl.static_assert(out.dtype == tl.int32)",
    np.matmul,
    **pair("int8", 16, 32, 16, -90, 90),
)
for _name, _kind in dict(float8e5=torch.float8_e5m2, float8e4nv=torch.float8_e4m3fn).items():
    _a, _b = (side.to(_kind) for side in pair("float32", 16, 32, 16).values())
    feature(
        f"tl.dot of {_name}",
        f"out = tl.dot(x.to(tl.{_name}, bitcast=True), y.to(tl.{_name}, bitcast=True))",
        (_a.double() @ _b.double()).numpy(),
        x=_a.view(torch.int8),
        y=_b.view(torch.int8),
    )
for _precision in ("ieee", "tf32", "tf32x3"):
    feature(
        f'input_precision="{_precision}"',
        f'out = tl.dot(x, y, input_precision="{_precision}")',
        np.matmul,
        **pair("float32"),
    )
feature(
    "ieee keeps float32's digits",
    'out = tl.dot(x, y, input_precision="ieee")',
    np.matmul,
    x=real(16, 16),
    y=real(16, 16, seed=1),
    near=1e-5,
)
feature(
    "allow_tf32", "out = tl.dot(x, y, allow_tf32=False)", np.matmul, x=real(16, 16), y=real(16, 16, seed=1), near=1e-5
)
feature(
    "tl.dot with a sum so far",
    "out = tl.dot(x, y, z)",
    lambda x, y, z: x @ y + z,
    z=whole(16, 16, dtype="float32"),
    **pair("float16"),
)
feature(
    "tl.dot with acc=",
    "out = tl.dot(x, y, acc=z)",
    lambda x, y, z: x @ y + z,
    z=whole(16, 16, dtype="float32"),
    **pair("bfloat16"),
)
feature(
    "tl.dot of int8 with a sum so far",
    "out = tl.dot(x, y, acc=z, out_dtype=tl.int32)",
    lambda x, y, z: x @ y + z,
    z=whole(16, 16),
    **pair("int8", 16, 32, 16),
)
feature(
    "out_dtype=tl.float16",
    "out = tl.dot(x, y, out_dtype=tl.float16)\ntl.static_assert(out.dtype == tl.float16)",
    np.matmul,
    dtype="float16",
    **pair("float16"),
)
feature(
    "acc += tl.dot",
    """
    out = tl.zeros((16, 16), tl.float32)
    for k in range(0, 32, 16):
        i = k + tl.arange(0, 16)
        a = tl.load(x_ptr + tl.arange(0, 16)[:, None] * 32 + i[None, :])
        b = tl.load(y_ptr + i[:, None] * 16 + tl.arange(0, 16)[None, :])
        out += tl.dot(a, b)
    """,
    np.matmul,
    **pair("float16", 16, 32, 16),
)
feature(
    "float16 products add in float32",
    "out = tl.dot(x, y)",
    np.matmul,
    x=real(16, 16, dtype="float16"),
    y=real(16, 16, dtype="float16", seed=1),
    near=1e-5,
)
feature(
    "tl.dot of a batch",
    "out = tl.dot(x, y)",
    np.matmul,
    x=whole(2, 16, 16, dtype="float16"),
    y=whole(2, 16, 16, dtype="float16"),
)
feature(
    "tl.dot of a batch with a sum so far",
    "out = tl.dot(x, y, z)",
    lambda x, y, z: x @ y + z,
    x=whole(2, 16, 16, dtype="float16"),
    y=whole(2, 16, 16, dtype="float16"),
    z=whole(2, 16, 16, dtype="float32"),
)
feature("few rows", "out = tl.dot(x, y)", np.matmul, **pair("float16", 4, 16, 8))
feature(
    "one row",
    "out = tl.dot(x[None, :], y)",
    lambda x, y: x[None] @ y,
    x=whole(16, dtype="float16"),
    y=whole(16, 16, dtype="float16"),
)
feature("sides of different sizes", "out = tl.dot(x, y)", np.matmul, **pair("float16", 32, 16, 64))
feature("tl.dot with a transposed side", "out = tl.dot(x, tl.trans(y))", lambda x, y: x @ y.T, **pair("float16"))
feature("tl.dot with x.T", "out = tl.dot(x.T, y)", lambda x, y: x.T @ y, **pair("bfloat16"))
feature(
    "tl.dot after a cast",
    "out = tl.dot(x.to(tl.bfloat16), y.to(tl.bfloat16)).to(tl.float16)",
    np.matmul,
    dtype="float16",
    **pair("float32"),
)
feature(
    "a chain of products",
    "out = tl.dot(tl.dot(x, y).to(tl.float16), x)",
    lambda x, y: x @ y @ x,
    **pair("float16", low=-2, high=3),
)
feature("max_num_imprecise_acc", "out = tl.dot(x, y, max_num_imprecise_acc=0)", np.matmul, **pair("float16"))
feature(
    "a product by broadcasting", "out = tl.sum(x[:, :, None] * y[None, :, :], 1)", np.matmul, **pair("float32", 8, 4, 8)
)
feature(
    "attention of one block",
    """
    s = tl.dot(x, tl.trans(y)) * 0.25
    p = tl.exp(s - tl.max(s, 1)[:, None])
    p = p / tl.sum(p, 1)[:, None]
    out = tl.dot(p, z, input_precision="ieee")
    """,
    lambda x, y, z: (w := np.exp(x @ y.T / 4)) / w.sum(1, keepdims=True) @ z,
    z=real(16, 16),
    near=1e-6,
    within=1e-5,
    **pair("float32", low=-2, high=3),
)
feature(
    "a tiled product over a grid",
    """
    @triton.jit
    def kernel(x, y, out, m, n, c, B: tl.constexpr):
        i = tl.program_id(0) * B + tl.arange(0, B)[:, None]
        j = tl.program_id(1) * B + tl.arange(0, B)[None, :]
        acc = tl.zeros((B, B), dtype=tl.float32)
        for k in range(tl.cdiv(c, B)):
            a = k * B + tl.arange(0, B)
            left = tl.load(x + i * c + a[None, :], mask=(i < m) & (a[None, :] < c), other=0.0)
            right = tl.load(y + a[:, None] * n + j, mask=(a[:, None] < c) & (j < n), other=0.0)
            acc = tl.dot(left, right, acc)
        tl.store(out + i * n + j, acc, mask=(i < m) & (j < n))
    """,
    lambda x, y, m, n, c: x @ y,
    m=20,
    n=18,
    c=40,
    B=16,
    grid=(2, 2),
    **pair("float16", 20, 40, 18),
)

# scaled ---------------------------------------------------------------------------------------------------------------


def scaled(x, y, left=None, right=None):
    """The product of matrices with scales that are powers of two, one for 32 numbers along the sum."""
    x = x if left is None else x * np.repeat(2.0 ** (left - 127), 32, 1)
    y = y if right is None else y * np.repeat(2.0 ** (right - 127), 32, 1).T
    return x @ y


E5 = torch.float8_e5m2
_sides = pair("float32", 16, 64, 16)
_bytes = {name: side.to(E5).view(torch.uint8) for name, side in _sides.items()}
_scales = dict(
    s=whole(16, 2, dtype="uint8", low=125, high=130), t=whole(16, 2, dtype="uint8", low=125, high=130, seed=1)
)
_exact = {name: side.double().numpy() for name, side in _sides.items()}
feature(
    "tl.dot_scaled of e5m2",
    'out = tl.dot_scaled(x, s, "e5m2", y, t, "e5m2")',
    lambda x, y, s, t: scaled(*_exact.values(), s, t),
    **_bytes,
    **_scales,
)
feature(
    "tl.dot_scaled with one scale",
    'out = tl.dot_scaled(x, s, "e5m2", y, None, "e5m2")',
    lambda x, y, s: scaled(*_exact.values(), s),
    s=_scales["s"],
    **_bytes,
)
feature(
    "tl.dot_scaled of bf16 with e5m2",
    'out = tl.dot_scaled(x, None, "bf16", y, t, "e5m2")',
    lambda x, y, t: scaled(*_exact.values(), None, t),
    x=_sides["x"].bfloat16(),
    y=_bytes["y"],
    t=_scales["t"],
)
feature(
    "tl.dot_scaled with a sum so far",
    'out = tl.dot_scaled(x, s, "e5m2", y, t, "e5m2", acc=z)',
    lambda x, y, s, t, z: scaled(*_exact.values(), s, t) + z,
    z=whole(16, 16, dtype="float32"),
    **_bytes,
    **_scales,
)

E2M1 = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6])
feature(
    "tl.dot_scaled of four-bit numbers",
    'out = tl.dot_scaled(x, s, "e2m1", y, None, "bf16")',
    lambda x, y, s: scaled(np.stack([E2M1[x & 15], E2M1[x >> 4]], -1).reshape(16, 64), y, s),
    x=whole(16, 32, dtype="uint8", low=0, high=256),
    y=_sides["y"].bfloat16(),
    s=_scales["s"],
)
