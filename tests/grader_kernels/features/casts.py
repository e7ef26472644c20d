"""Features: casts between dtypes, their rounding, bits read as another dtype, and the eight-bit floats."""

import numpy as np
import torch

from features.form import flags, mixed, positive, real, theme, these, whole

feature = theme("casts")

# between numbers ------------------------------------------------------------------------------------------------------

WAYS = {
    ("float32", "int32"): np.trunc,
    ("float32", "int8"): np.trunc,
    ("float32", "int64"): np.trunc,
    ("float64", "float32"): np.asarray,
    ("float32", "float64"): np.asarray,
    ("float32", "float16"): np.asarray,
    ("float32", "bfloat16"): np.asarray,
    ("float16", "bfloat16"): np.asarray,
    ("bfloat16", "float16"): np.asarray,
    ("bfloat16", "float32"): np.asarray,
    ("float64", "float16"): np.asarray,
    ("float16", "int32"): np.trunc,
    ("bfloat16", "int16"): np.trunc,
    ("int32", "float32"): np.asarray,
    ("int64", "float32"): np.asarray,
    ("int64", "float64"): np.asarray,
    ("int32", "float16"): np.asarray,
    ("int32", "bfloat16"): np.asarray,
    ("int32", "int8"): np.asarray,
    ("int32", "int16"): np.asarray,
    ("int64", "int32"): np.asarray,
    ("int8", "int64"): np.asarray,
    ("uint8", "int32"): np.asarray,
    ("uint8", "float32"): np.asarray,
}
for (_from, _to), _rule in WAYS.items():
    feature(
        f"{_from} to {_to}",
        f"out = x.to(tl.{_to})\ntl.static_assert(out.dtype == tl.{_to})",
        _rule,
        x=real(16, dtype=_from, low=-99.0, high=99.0) if "float" in _from else whole(16, dtype=_from, low=0, high=120),
        dtype=_to,
        within=0.0,
    )

feature("int32 to int8 drops bits", "out = x.to(tl.int8)", lambda x: x, x=whole(16, low=-999, high=999), dtype="int8")
feature(
    "int64 to int32 drops bits",
    "out = x.to(tl.int32)",
    lambda x: x,
    x=whole(16, dtype="int64", low=-(2**40), high=2**40),
    dtype="int32",
)
feature("int8 to uint8 and up", "out = x.to(tl.uint8).to(tl.int32)", lambda x: x % 256, x=whole(16, dtype="int8"))
feature(
    "int8 to uint32 widens the sign",
    "out = x.to(tl.uint32).to(tl.int64)",
    lambda x: x % 2**32,
    x=whole(16, dtype="int8"),
    dtype="int64",
)
feature(
    "uint32 to float32",
    "out = x.to(tl.uint32, bitcast=True).to(tl.float32)",
    lambda x: x % 2**32,
    x=whole(16),
    dtype="float32",
)
feature("float32 to uint8", "out = x.to(tl.uint8).to(tl.int32)", np.trunc, x=positive(16, high=250.0), dtype="int32")
feature("float32 to uint64", "out = x.to(tl.uint64).to(tl.int64)", np.trunc, x=positive(16, high=9e9), dtype="int64")
feature("a mask to float32", "out = x.to(tl.float32)", lambda x: x.astype(float), x=flags(16))
feature("int32 to a mask", "out = x.to(tl.int1)", lambda x: x != 0, x=whole(16, low=-2, high=2))
feature(
    "float32 to a mask",
    "out = x.to(tl.int1)",
    lambda x: x != 0,
    x=these(0.0, 0.5, -0.0, -3.0, float("nan"), 0.25, 0.0, 1e-30),
)
feature("tl.cast", "out = tl.cast(x, tl.float16)", lambda x: x, x=real(16), dtype="float16")
feature("x.cast", "out = x.cast(tl.int32)", np.trunc, x=real(16, high=99.0), dtype="int32")
feature("a cast to the same dtype", "out = x.to(tl.float32)", lambda x: x, x=real(16))
feature(
    "a cast to the dtype of a pointer",
    "out = (x * 2).to(out_ptr.dtype.element_ty)",
    lambda x: x * 2,
    x=real(16),
    dtype="float16",
)
feature(
    "a cast to the dtype of a tile",
    "out = x.to(y.dtype) + y",
    lambda x, y: np.trunc(x) + y,
    x=real(16, high=9.0),
    y=whole(16),
    dtype="int32",
)
feature("a cast of a scalar", "out = x * n.to(tl.float32)", lambda x, n: x * n, x=real(16), n=5)
feature("a store casts", "out = x * 1.5", lambda x: np.trunc(x * 1.5), x=whole(16), dtype="int32")
feature("a store into float16 rounds", "out = x", lambda x: x, x=real(16), dtype="float16", within=0.0)
feature("large float32 to int64", "out = x.to(tl.int64)", np.trunc, x=real(16, low=-1e15, high=1e15), dtype="int64")
feature(
    "large int32 to float32 rounds to even",
    "out = x.to(tl.float32)",
    lambda x: x.astype(np.float32),
    x=whole(16, low=2**25, high=2**30),
    within=0.0,
)

# rounding modes -------------------------------------------------------------------------------------------------------


def toward_zero(bits):
    """Rounding of float32 numbers that keeps so many bits of the significand, toward zero."""
    return lambda x: (x.astype(np.float32).view(np.int32) & -(1 << (23 - bits))).view(np.float32)


feature(
    "to float16, nearest",
    'out = x.to(tl.float16, fp_downcast_rounding="rtne")',
    lambda x: x,
    x=real(16),
    dtype="float16",
    within=0.0,
)
feature(
    "to float16, toward zero",
    'out = x.to(tl.float16, fp_downcast_rounding="rtz")',
    toward_zero(10),
    x=real(16),
    dtype="float16",
    within=0.0,
)
feature(
    "to bfloat16, nearest",
    'out = x.to(tl.bfloat16, fp_downcast_rounding="rtne")',
    lambda x: x,
    x=real(16),
    dtype="bfloat16",
    within=0.0,
)
feature(
    "to bfloat16, toward zero",
    'out = x.to(tl.bfloat16, fp_downcast_rounding="rtz")',
    toward_zero(7),
    x=real(16),
    dtype="bfloat16",
    within=0.0,
)
feature(
    "to bfloat16, ties to even",
    "out = x.to(tl.bfloat16)",
    [1.0, 1.015625, -1.0, 1.0078125],
    x=these(1.00390625, 1.01171875, -1.00390625, 1.00390637),
    dtype="bfloat16",
    within=0.0,
)
feature(
    "float16 overflows to inf",
    "out = x.to(tl.float16)",
    np.array([np.inf, -np.inf, 65504.0, np.nan]),
    x=these(70000.0, -1e6, 65504.0, float("nan")),
    dtype="float16",
)
feature(
    "tl.cast toward zero",
    'out = tl.cast(x, tl.bfloat16, fp_downcast_rounding="rtz")',
    toward_zero(7),
    x=real(16),
    dtype="bfloat16",
    within=0.0,
)

# bits -----------------------------------------------------------------------------------------------------------------

feature(
    "bits of float32", "out = x.to(tl.int32, bitcast=True)", lambda x: x.astype(np.float32).view(np.int32), x=real(16)
)
feature(
    "float32 of bits",
    "out = x.to(tl.float32, bitcast=True)",
    lambda x: x.astype(np.int32).view(np.float32),
    x=whole(16, low=2**29, high=2**30),
    within=0.0,
)
feature(
    "bits of float16",
    "out = x.to(tl.int16, bitcast=True)",
    lambda x: x.astype(np.float16).view(np.int16),
    x=real(16, dtype="float16"),
    dtype="int16",
)
feature(
    "bits of bfloat16",
    "out = x.to(tl.int16, bitcast=True)",
    lambda x: x.astype(np.float32).view(np.int32) >> 16,
    x=real(16, dtype="bfloat16"),
    dtype="int16",
)
feature(
    "bits of float64",
    "out = tl.cast(x, tl.int64, bitcast=True)",
    lambda x: x.view(np.int64),
    x=real(16, dtype="float64"),
    dtype="int64",
)
feature(
    "bfloat16 from the upper half",
    "out = (x << 16).to(tl.float32, bitcast=True)",
    lambda x: (x << 16).astype(np.int32).view(np.float32),
    x=whole(16, low=2**13, high=2**14),
    within=0.0,
)
feature(
    "sign by bits",
    "out = (x.to(tl.uint32, bitcast=True) & 0x7FFFFFFF).to(tl.float32, bitcast=True)",
    np.abs,
    x=real(16),
    within=0.0,
)
feature(
    "two halves of an int32",
    "out = (x & 0xFFFF).to(tl.int16).to(tl.int32) + (x >> 16)",
    lambda x: (x & 0xFFFF).astype(np.int16) + (x >> 16),
    x=whole(16, low=-(2**31), high=2**31),
)
feature(
    "four-bit numbers",
    "low = (x & 0xF).to(tl.int8)\nlow = tl.where(low > 7, low - 16, low)\nout = tl.join(low, x >> 4)",
    lambda x: np.stack([np.where((x & 15) > 7, (x & 15) - 16, x & 15), x >> 4], -1),
    x=whole(16, dtype="int8", low=-128, high=128),
    dtype="int8",
)

# floats of eight bits -------------------------------------------------------------------------------------------------

KINDS = {"float8e4nv": torch.float8_e4m3fn, "float8e5": torch.float8_e5m2}
for _name, _kind in KINDS.items():
    _bytes = mixed(128, dtype="int8", seed=1)
    feature(
        f"float32 of {_name}",
        f"out = x.to(tl.{_name}, bitcast=True).to(tl.float32)",
        _bytes.view(_kind).float(),
        x=_bytes,
        within=0.0,
    )
    feature(
        f"float16 of {_name}",
        f"out = x.to(tl.{_name}, bitcast=True).to(tl.float16)",
        _bytes.view(_kind).to(torch.float16),
        x=_bytes,
        within=0.0,
    )
    _numbers = real(64, low=-30.0, high=30.0)
    for _source in ("float32", "float16", "bfloat16"):
        feature(
            f"{_name} of {_source}",
            f"out = x.to(tl.{_name}).to(tl.int8, bitcast=True)",
            _numbers.to(getattr(torch, _source)).to(_kind).view(torch.int8),
            x=_numbers.to(getattr(torch, _source)),
        )
    feature(
        f"small numbers in {_name}",
        f"out = x.to(tl.{_name}).to(tl.float32)",
        (_numbers / 4096).to(_kind).float(),
        x=_numbers / 4096,
        within=0.0,
    )
feature(
    "float8e4b15",
    "out = x.to(tl.float8e4b15, bitcast=True).to(tl.float16)",
    [0.25, 0.5, 1.0, -1.5],
    x=these(0x68, 0x70, 0x78, 0xFC - 256, dtype="int8"),
    dtype="float16",
)
feature(
    "float8e5 toward zero",
    'out = x.to(tl.float8e5, fp_downcast_rounding="rtz").to(tl.float32)',
    toward_zero(2),
    x=real(16),
    within=0.0,
)
feature(
    "a scale for float8",
    "s = tl.max(tl.abs(x)) / 448.0\nout = (x / s).to(tl.float8e4nv).to(tl.float32) * s",
    lambda x: (
        (torch.from_numpy(x).float() / (np.abs(x).max() / 448)).to(torch.float8_e4m3fn).double().numpy()
        * np.abs(x).max()
        / 448
    ),
    x=real(64),
    within=1e-6,
)

# pointers -------------------------------------------------------------------------------------------------------------

feature(
    "a pointer to another dtype",
    "out = tl.load(x_ptr.to(tl.pointer_type(tl.int32)) + tl.arange(0, 16))",
    lambda x: x.astype(np.float32).view(np.int32),
    x=real(16),
)
feature(
    "tl.cast of a pointer",
    "p = tl.cast(x_ptr, tl.pointer_type(tl.int8))\nout = tl.load(p + tl.arange(0, 64))",
    lambda x: x.astype(np.int32).view(np.int8),
    x=whole(16, low=-(2**31), high=2**31),
    dtype="int8",
)
feature(
    "float8 through a pointer",
    "p = x_ptr.to(tl.pointer_type(tl.float8e5))\nout = tl.load(p + tl.arange(0, 128)).to(tl.float32)",
    mixed(128, dtype="int8", seed=1).view(torch.float8_e5m2).float(),
    x=mixed(128, dtype="int8", seed=1),
)
feature(
    "a bitcast of a pointer",
    "p = x_ptr.to(tl.pointer_type(tl.int16), bitcast=True)\nout = tl.load(p + tl.arange(0, 16))",
    lambda x: x.astype(np.float16).view(np.int16),
    x=real(16, dtype="float16"),
    dtype="int16",
)
