"""Features: the methods of tiles, pointers and scalars, and what tiles and dtypes say of themselves."""

import math

import numpy as np

from features.form import flags, mixed, positive, real, theme, these, whole

feature = theme("methods")
x1, x2 = mixed(16), mixed(4, 8)

# methods --------------------------------------------------------------------------------------------------------------

OF_FLOATS = {
    "x.exp()": np.exp,
    "x.exp2()": np.exp2,
    "x.sin()": np.sin,
    "x.cos()": np.cos,
    "x.erf()": np.vectorize(math.erf, otypes=[float]),
    "x.abs()": np.abs,
    "x.floor()": np.floor,
    "x.ceil()": np.ceil,
    "x.sigmoid()": lambda x: 1 / (1 + np.exp(-x)),
    "x.softmax()": lambda x: np.exp(x) / np.exp(x).sum(),
}
OF_POSITIVE = {
    "x.log()": np.log,
    "x.log2()": np.log2,
    "x.sqrt()": np.sqrt,
    "x.sqrt_rn()": np.sqrt,
    "x.rsqrt()": lambda x: x**-0.5,
}
for _text, _gives in OF_FLOATS.items():
    feature(_text, f"out = {_text}", _gives, x=real(16), within=1e-6)
for _text, _gives in OF_POSITIVE.items():
    feature(_text, f"out = {_text}", _gives, x=positive(16), within=1e-6, near=1e-7)

OF_TILES = {
    "x.sum(0)": lambda x: x.sum(0),
    "x.sum(axis=1, keep_dims=True)": lambda x: x.sum(1, keepdims=True),
    "x.sum()": lambda x: x.sum(),
    "x.max(1)": lambda x: x.max(1),
    "x.min(axis=0)": lambda x: x.min(0),
    "x.argmax(1)": lambda x: x.argmax(1),
    "x.argmin(axis=0)": lambda x: x.argmin(0),
    "x.xor_sum(1)": lambda x: np.bitwise_xor.reduce(x, 1),
    "x.reduce_or(1)": lambda x: np.bitwise_or.reduce(x, 1),
    "x.cumsum(1)": lambda x: x.cumsum(1),
    "x.cumsum(axis=0, reverse=True)": lambda x: x[::-1].cumsum(0)[::-1],
    "x.cumprod(1)": lambda x: x.cumprod(1),
    "x.flip(1)": lambda x: x[:, ::-1],
    "x.reshape(8, 4)": lambda x: x.reshape(8, 4),
    "x.reshape((2, 16))": lambda x: x.reshape(2, 16),
    "x.ravel()": lambda x: x.reshape(-1),
    "x.trans()": lambda x: x.T,
    "x.permute(1, 0)": lambda x: x.T,
    "x.expand_dims(0)": lambda x: x[None],
    "x[:, None, :].broadcast_to(4, 2, 8)": lambda x: np.stack([x, x], 1),
    "x.cast(tl.float32)": lambda x: x.astype(float),
    "x.cdiv(3)": lambda x: -(-x // 3),
    "x.gather(x % 4, 0)": lambda x: np.take_along_axis(x, x % 4, 0),
    "tl.sort(x.view(32))": lambda x: np.arange(32),
}
for _text, _gives in OF_TILES.items():
    _tile = whole(4, 8, low=1, high=4) if "cumprod" in _text else x2
    feature(_text, f"out = {_text}", _gives, x=_tile)

feature("x.split()", "a, b = x.split()\nout = a - b", lambda x: x[:, 0] - x[:, 1], x=mixed(16, 2))
feature("x.histogram(8)", "out = x.histogram(8)", lambda x: np.bincount(x, minlength=8), x=whole(32, low=0, high=8))
feature(
    "x.max with places", "a, b = x.max(1, return_indices=True)\nout = a - b", lambda x: x.max(1) - x.argmax(1), x=x2
)
feature(
    "x.reduce(0, f)",
    "out = x.reduce(0, times)",
    np.prod,
    x=whole(16, low=1, high=4),
    above="@triton.jit\ndef times(a, b):\n    return a * b",
)
feature(
    "x.associative_scan(0, f)",
    "out = x.associative_scan(0, larger)",
    np.maximum.accumulate,
    x=x1,
    above="@triton.jit\ndef larger(a, b):\n    return tl.maximum(a, b)",
)
feature("x.item()", "out = x + x.sum(0, keep_dims=True).item()", lambda x: x + x.sum(), x=x1)
feature(
    "methods one after another",
    "out = x.to(tl.float32).reshape(8, 4).sum(1).sqrt()[:, None]",
    lambda x: np.sqrt(x.reshape(8, 4).sum(1))[:, None],
    x=x2,
    within=1e-6,
)
feature("x.to(dtype)", "out = x.to(tl.float32) / 2", lambda x: x / 2, x=x1)
feature(
    "p.store",
    """
    @triton.jit
    def kernel(x, out):
        i = tl.arange(0, 16)
        p = out + i
        p.store(tl.load(x + i), mask=i < 10)
    """,
    lambda x: np.where(np.arange(16) < 10, x, 0),
    x=x1,
    start=0,
)
for _name, _rule in dict(add=np.add, max=np.maximum, min=np.minimum, xor=np.bitwise_xor, xchg=lambda x, y: x).items():
    feature(
        f"p.atomic_{_name}",
        f"""
        @triton.jit
        def kernel(x, out):
            p = out + tl.arange(0, 16)
            p.atomic_{_name}(tl.load(x + tl.arange(0, 16)))
        """,
        lambda x, rule=_rule: rule(x, 5),
        x=x1,
        start=5,
    )
feature(
    "p.atomic_cas",
    """
    @triton.jit
    def kernel(out):
        out.atomic_cas(0, 3)
    """,
    [3],
    start=0,
)
feature(
    "methods of a scalar argument",
    "out = x * n.to(tl.float32) + s.abs()",
    lambda x, n, s: x * n + 2.5,
    x=real(16),
    n=3,
    s=-2.5,
    within=1e-6,
)

# what they say of themselves ------------------------------------------------------------------------------------------

SAYINGS = {
    "x.shape[0]": (x2, 4),
    "x.shape[1] * 2": (x2, 16),
    "len(x.shape)": (x2, 2),
    "x.numel": (x2, 32),
    "x.dtype.primitive_bitwidth": (real(4, dtype="float16"), 16),
    "x.dtype.int_bitwidth": (whole(4, dtype="int8"), 8),
    "x.dtype.is_floating()": (real(4), 1),
    "x.dtype.is_int()": (real(4), 0),
    "x.dtype.is_int_signed()": (whole(4), 1),
    "x.dtype.is_int_unsigned()": (whole(4, dtype="uint8", low=0, high=9), 1),
    "x.dtype.is_fp16()": (real(4, dtype="float16"), 1),
    "x.dtype.is_bf16()": (real(4, dtype="bfloat16"), 1),
    "x.dtype.is_fp32()": (real(4), 1),
    "x.dtype.is_fp64()": (real(4), 0),
    "x.dtype.is_fp8()": (real(4), 0),
    "x.dtype.is_bool()": (flags(4), 1),
    "x.dtype.is_int8()": (whole(4, dtype="int8"), 1),
    "x.dtype.is_int64()": (whole(4, dtype="int64"), 1),
    "x.dtype.is_standard_floating()": (real(4), 1),
    "x.dtype == tl.int32": (whole(4), 1),
    "x.dtype != tl.int32": (whole(4), 0),
    "x.type.scalar == tl.int32": (whole(4), 1),
    "x.type.is_block()": (whole(4), 1),
    "x.type.shape[0]": (x1, 16),
    "x.type.element_ty == tl.int32": (x1, 1),
    "x_ptr.dtype.is_ptr()": (whole(4), 1),
    "x_ptr.type.is_ptr()": (whole(4), 1),
    "x_ptr.dtype.element_ty == tl.float32": (real(4), 1),
    "x_ptr.dtype.element_ty.primitive_bitwidth // 8": (real(4, dtype="float64"), 8),
    "x_ptr.type.element_ty.is_fp16()": (real(4, dtype="float16"), 1),
    "tl.float16.primitive_bitwidth": (x1, 16),
    "tl.int8.get_int_max_value()": (x1, 127),
    "tl.int16.get_int_min_value()": (x1, -(2**15)),
    "x.dtype.get_int_max_value() - 5": (x1, 2**31 - 6),
    "tl.sum(x, 0).dtype == tl.int32": (x1, 1),
    "N.bit_length()": (x1, 5),
    "N.value + 1": (x1, 17),
}
for _text, (_tile, _says) in SAYINGS.items():
    feature(
        f"{_text} of {str(_tile.dtype).removeprefix('torch.')}",
        f"out = tl.zeros((4,), tl.int32) + ({_text})",
        np.full(4, _says),
        x=_tile,
        **{"N": 16} if _text.startswith("N.") else {},
    )
KINDS = {
    "is_fp8e4nv is_fp8e5 is_fp8e4b15 is_fp8e4b8 is_fp8e5b16 is_ptr is_const": (),
    "is_int1 is_bool": ("int1",),
    **{f"is_{name}": (name,) for name in "int8 int16 int32 int64 uint8 uint16 uint32 uint64".split()},
    "is_fp16": ("float16",),
}
for _names, _true in KINDS.items():
    for _name in _names.split():
        for _kind in ("int1", "int8", "uint32") if not _true else _true:
            feature(
                f"{_name}() of {_kind}",
                f"y = x.to(tl.{_kind})\nout = x + (1 if y.dtype.{_name}() else 2)",
                lambda x, says=1 if _true else 2: x + says,
                x=x1,
            )
feature(
    "is_fp8e5() of float8e5",
    "y = x.to(tl.float8e5, bitcast=True)\nout = x + (1 if y.dtype.is_fp8e5() else 2)",
    lambda x: x + 1,
    x=mixed(16, dtype="int8"),
    dtype="int8",
)
feature("a tile in the shape of another", "out = tl.full(x.shape, 3, x.dtype)", np.full((4, 8), 3), x=x2)
feature(
    "a tile with its shape in parts",
    "out = tl.zeros((x.shape[0], 2, x.shape[1]), tl.int32) + x[:, None, :]",
    lambda x: np.stack([x, x], 1),
    x=x2,
)
feature(
    "an if on a dtype",
    "if x.dtype == tl.float16:\n    out = x.to(tl.float32) * 2\nelse:\n    out = x.to(tl.float32)",
    lambda x: x * 2,
    x=real(16, dtype="float16"),
)
feature(
    "an if on whether a dtype is a float",
    "if x.dtype.is_floating():\n    out = x * 0.5\nelse:\n    out = x // 2",
    lambda x: x // 2,
    x=x1,
    dtype="int32",
)
feature(
    "the smallest number of a dtype",
    "out = tl.max(tl.where(x > 100, x, x.dtype.get_int_min_value()), 0)",
    np.asarray(-128),
    x=these(1, 2, 3, 4, dtype="int8"),
)
feature(
    "tl.block_type",
    "T: tl.constexpr = tl.block_type(tl.float32, [16])\nout = x.to(T.element_ty)",
    lambda x: x.astype(float),
    x=x1,
)
feature("tl.TRITON_MAX_TENSOR_NUMEL", "out = x + (1 if tl.TRITON_MAX_TENSOR_NUMEL >= 16 else 0)", lambda x: x + 1, x=x1)
