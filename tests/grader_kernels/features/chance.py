"""Features: random numbers, compared with Philox as its authors describe it, in Python's whole numbers."""

import numpy as np

from features.form import mixed, theme, whole

feature = theme("chance")
ROUNDS = 10
WORDS = {32: (0xD2511F53, 0xCD9E8D57, 0x9E3779B9, 0xBB67AE85)}
WORDS[64] = (0xD2E7470EE14C6C93, 0xCA5A826395121157, 0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B)


def philox(key, counter, rounds=ROUNDS, bits=32):
    """Four words from a counter of four and a key of two (Salmon and others, 2011)."""
    a, b, grow_a, grow_b = WORDS[bits]
    top = (1 << bits) - 1
    (k0, k1), (c0, c1, c2, c3) = key, counter
    for _ in range(rounds):
        right, left = b * c2, a * c0
        c0, c1, c2, c3 = right >> bits ^ c1 ^ k0, right & top, left >> bits ^ c3 ^ k1, left & top
        k0, k1 = k0 + grow_a & top, k1 + grow_b & top
    return c0, c1, c2, c3


def words(seed, offsets, rounds=ROUNDS):
    """Words of offsets below 2**64, as an array (4, number of offsets)."""
    seed %= 2**64
    key = (seed & 0xFFFFFFFF, seed >> 32)
    counters = [(int(n) & 0xFFFFFFFF, int(n) >> 32 & 0xFFFFFFFF, 0, 0) for n in offsets]
    return np.array([philox(key, counter, rounds) for counter in counters]).T


def uniform(word):
    """A number from 0 to below 1 of a word, as Triton scales it."""
    signed = np.where(word >= 2**31, word - 2**32, word)
    return np.where(signed < 0, -signed - 1, signed) * 4.6566127342e-10


def normal(word, other):
    """Box and Muller's pair."""
    radius = np.sqrt(-2 * np.log(np.maximum(1e-7, uniform(word))))
    return np.array([radius * np.cos(2 * np.pi * uniform(other)), radius * np.sin(2 * np.pi * uniform(other))])


N = np.arange(16)
SEED = dict(seed=12345)
FOUR = "a, b, c, d = tl.{}(seed, tl.arange(0, 16))\nout = tl.join(tl.join(a, b), tl.join(c, d))"
near = dict(near=4e-6, within=4e-6)  # the sine of a rounded angle up to two pi


def arranged(four):
    """Four rows as FOUR joins them."""
    a, b, c, d = four
    return np.stack([np.stack([a, b], -1), np.stack([c, d], -1)], -1)


feature(
    "tl.randint",
    "out = tl.randint(seed, tl.arange(0, 16)).to(tl.int64)",
    lambda seed: words(seed, N)[0],
    dtype="int64",
    **SEED,
)
feature(
    "tl.randint4x",
    FOUR.format("randint4x").replace("d))", "d)).to(tl.int64)"),
    lambda seed: arranged(words(seed, N)),
    dtype="int64",
    **SEED,
)
feature("tl.rand", "out = tl.rand(seed, tl.arange(0, 16))", lambda seed: uniform(words(seed, N)[0]), **SEED)
feature("tl.rand4x", FOUR.format("rand4x"), lambda seed: arranged(uniform(words(seed, N))), **SEED)
feature(
    "tl.randn", "out = tl.randn(seed, tl.arange(0, 16))", lambda seed: normal(*words(seed, N)[:2])[0], **near, **SEED
)
feature(
    "tl.randn4x",
    FOUR.format("randn4x"),
    lambda seed: arranged([*normal(*words(seed, N)[:2]), *normal(*words(seed, N)[2:])]),
    **near,
    **SEED,
)
feature(
    "tl.philox",
    """
    z = tl.zeros((16,), tl.int32)
    a, b, c, d = tl.philox(seed, x, y, z, z + 3)
    out = (a ^ b ^ c ^ d).to(tl.int64)
    """,
    lambda x, y, seed: [np.bitwise_xor.reduce(philox((seed, 0), (int(a), int(b), 0, 3))) for a, b in zip(x, y)],
    x=mixed(16),
    y=mixed(16, seed=1),
    dtype="int64",
    **SEED,
)
feature(
    "tl.philox of 64 bits",
    """
    z = tl.zeros((16,), tl.int64)
    a, b, c, d = tl.philox(seed, x, z, z, z)
    out = (a ^ b ^ c ^ d).to(tl.int64, bitcast=True)
    """,
    lambda x, seed: np.array(
        [np.bitwise_xor.reduce(np.array(philox((seed, 0), (int(n), 0, 0, 0), bits=64), object)) for n in x], object
    ),
    x=mixed(16, dtype="int64"),
    dtype="int64",
    **SEED,
)
feature(
    "tl.philox_impl",
    """
    c = x.to(tl.uint32)
    z = c * 0
    a, _, _, _ = tl.philox_impl(c, z, z, z, z + 7, z + 9)
    out = a.to(tl.int64)
    """,
    lambda x: [philox((7, 9), (int(n), 0, 0, 0))[0] for n in x],
    x=mixed(16),
    dtype="int64",
)
feature(
    "fewer rounds",
    "out = tl.randint(seed, tl.arange(0, 16), n_rounds=6).to(tl.int64)",
    lambda seed: words(seed, N, 6)[0],
    dtype="int64",
    **SEED,
)
feature(
    "rounds by place", "out = tl.rand(seed, tl.arange(0, 16), 7)", lambda seed: uniform(words(seed, N, 7)[0]), **SEED
)
feature(
    "a seed of 64 bits",
    "out = tl.randint(seed, tl.arange(0, 16)).to(tl.int64)",
    lambda seed: words(seed, N)[0],
    seed=2**40 + 7,
    dtype="int64",
)
feature(
    "a seed below zero",
    "out = tl.randint(seed, tl.arange(0, 16)).to(tl.int64)",
    lambda seed: words(seed, N)[0],
    seed=-5,
    dtype="int64",
)
feature(
    "a seed from memory",
    "out = tl.rand(tl.load(x_ptr), tl.arange(0, 16))",
    lambda x: uniform(words(int(x[0]), N)[0]),
    x=whole(4, low=1, high=99),
)
feature("a seed that is a literal", "out = tl.rand(0, tl.arange(0, 16))", lambda: uniform(words(0, N)[0]))
feature(
    "offsets of 64 bits",
    "out = tl.randint(seed, x).to(tl.int64)",
    lambda x, seed: words(seed, x)[0],
    x=whole(16, dtype="int64", low=2**33, high=2**40),
    dtype="int64",
    **SEED,
)
feature("a scalar offset", "out = tl.rand(seed, n)", lambda seed, n: uniform(words(seed, [n])[0])[0], n=9, **SEED)
feature(
    "offsets of two dimensions",
    "out = tl.rand(seed, tl.arange(0, 4)[:, None] * 4 + tl.arange(0, 4)[None, :])",
    lambda seed: uniform(words(seed, N)[0]).reshape(4, 4),
    **SEED,
)
feature(
    "tl.uint_to_uniform_float",
    "out = tl.uint_to_uniform_float(x.to(tl.uint32, bitcast=True))",
    lambda x: uniform(x % 2**32),
    x=whole(16, low=-(2**31), high=2**31),
)
feature(
    "tl.pair_uniform_to_normal",
    "u = tl.rand(seed, tl.arange(0, 16))\na, b = tl.pair_uniform_to_normal(u, u)\nout = a + b",
    lambda seed: normal(*[words(seed, N)[0]] * 2).sum(0),
    **near,
    **SEED,
)
feature(
    "dropout",
    "out = tl.where(tl.rand(seed, tl.arange(0, 16)) > p, x / (1 - p), 0.0)",
    lambda x, seed, p: np.where(uniform(words(seed, N)[0]) > p, x / (1 - p), 0),
    x=mixed(16, dtype="float32"),
    p=0.25,
    **SEED,
)
feature(
    "numbers of a program",
    """
    @triton.jit
    def kernel(seed, out):
        i = tl.program_id(0) * 8 + tl.arange(0, 8)
        tl.store(out + i, tl.rand(seed, i))
    """,
    lambda seed: uniform(words(seed, N)[0]),
    grid=(2,),
    **SEED,
)
