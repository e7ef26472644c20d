"""Right answers to unit 03 by readers who saw the released notebook only: tests/test_readers.py judges them."""

# %% exercise="apply_rope" right="r1_first"
"""Two tensors a and b."""
def apply_rope(x: Tensor, positions: Tensor, pairing: str = "interleaved", base: float = 10000.0) -> Tensor:
    if pairing not in ("interleaved", "half"):
        raise ValueError(f"unknown pairing {pairing!r}")
    d = x.shape[-1]
    freqs = rope_frequencies(d, base).to(x.device)
    angles = positions.to(x.device).float()[:, None] * freqs
    cos, sin = angles.cos(), angles.sin()
    xf = x.float()
    if pairing == "interleaved":
        a, b = xf[..., 0::2], xf[..., 1::2]
    else:
        a, b = xf[..., : d // 2], xf[..., d // 2 :]
    ra, rb = a * cos - b * sin, a * sin + b * cos
    if pairing == "interleaved":
        out = torch.stack([ra, rb], dim=-1).flatten(-2)
    else:
        out = torch.cat([ra, rb], dim=-1)
    return out.to(x.dtype)

# %% exercise="apply_rope" right="r2_complex"
"""Complex numbers, Meta's code; half by a permutation."""
def apply_rope(x: Tensor, positions: Tensor, pairing: str = "interleaved", base: float = 10000.0) -> Tensor:
    if pairing == "half":
        pairs = torch.stack(x.float().chunk(2, -1), -1)
    elif pairing == "interleaved":
        pairs = x.float().reshape(*x.shape[:-1], -1, 2)
    else:
        raise ValueError(pairing)
    angles = torch.outer(positions.float(), rope_frequencies(x.shape[-1], base))
    turned = torch.view_as_complex(pairs.contiguous()) * torch.polar(torch.ones_like(angles), angles)
    turned = torch.view_as_real(turned)
    if pairing == "half":
        turned = turned.transpose(-1, -2)
    return turned.flatten(-2).type_as(x)

# %% exercise="apply_rope" right="r3_rotate_half"
"""X * cos + rotate(x) * sin, as in transformers; cos and sin converted to x's dtype."""
def rotate_half(x):
    x1, x2 = x.chunk(2, dim=-1)
    return torch.cat((-x2, x1), dim=-1)


def rotate_every_two(x):
    x1, x2 = x[..., ::2], x[..., 1::2]
    return torch.stack((-x2, x1), dim=-1).flatten(-2)


def apply_rope(x: Tensor, positions: Tensor, pairing: str = "interleaved", base: float = 10000.0) -> Tensor:
    inv_freq = 1.0 / (base ** (torch.arange(0, x.shape[-1], 2, dtype=torch.float32) / x.shape[-1]))
    freqs = torch.einsum("i,j->ij", positions.float(), inv_freq)
    if pairing == "half":
        emb, rotate = torch.cat((freqs, freqs), dim=-1), rotate_half
    elif pairing == "interleaved":
        emb, rotate = freqs.repeat_interleave(2, dim=-1), rotate_every_two
    else:
        raise ValueError("pairing must be 'interleaved' or 'half'")
    return x * emb.cos().to(x.dtype) + rotate(x) * emb.sin().to(x.dtype)

# %% exercise="apply_rope" right="r4_matrices"
"""A block diagonal rotation matrix for each position, einsum, float64 inside."""
def apply_rope(x: Tensor, positions: Tensor, pairing: str = "interleaved", base: float = 10000.0) -> Tensor:
    d, T = x.shape[-1], len(positions)
    if pairing == "interleaved":
        first = torch.arange(0, d, 2)
        second = first + 1
    elif pairing == "half":
        first = torch.arange(d // 2)
        second = first + d // 2
    else:
        raise ValueError
    angle = positions.double()[:, None] * base ** (-torch.arange(0, d, 2).double() / d)
    R = torch.zeros(T, d, d, dtype=torch.float64)
    R[:, first, first] = angle.cos()
    R[:, first, second] = -angle.sin()
    R[:, second, first] = angle.sin()
    R[:, second, second] = angle.cos()
    return torch.einsum("tij,...tj->...ti", R, x.double()).to(x.dtype)

# %% exercise="apply_rope" right="r5_loops_into_empty_like"
"""Loops over positions and pairs, written into a clone."""
def apply_rope(x: Tensor, positions: Tensor, pairing: str = "interleaved", base: float = 10000.0) -> Tensor:
    assert x.shape[-1] % 2 == 0
    if pairing not in ["interleaved", "half"]:
        raise ValueError("no such pairing: " + str(pairing))
    d = x.shape[-1]
    out = x.clone()
    for n, p in enumerate(positions.tolist()):
        for i in range(d // 2):
            j, k = (2 * i, 2 * i + 1) if pairing == "interleaved" else (i, i + d // 2)
            c, s = math.cos(p * base ** (-2 * i / d)), math.sin(p * base ** (-2 * i / d))
            out[..., n, j] = x[..., n, j] * c - x[..., n, k] * s
            out[..., n, k] = x[..., n, j] * s + x[..., n, k] * c
    return out

# %% exercise="apply_rope" right="r6_half_through_interleaved"
"""Half by permuting to interleaved and back with an index; result not contiguous."""
def apply_rope(x: Tensor, positions: Tensor, pairing: str = "interleaved", base: float = 10000.0) -> Tensor:
    d = x.shape[-1]
    if pairing == "half":
        order = torch.arange(d).view(2, d // 2).T.flatten()
        back = torch.argsort(order)
        return apply_rope(x[..., order], positions, "interleaved", base)[..., back]
    if pairing != "interleaved":
        raise ValueError(f"{pairing=}")
    angle = positions[:, None].to(torch.float32) * rope_frequencies(d, base)[None]
    c, s = torch.cos(angle), torch.sin(angle)
    even, odd = x[..., 0::2].float(), x[..., 1::2].float()
    result = torch.empty(d, *x.shape[:-1]).movedim(0, -1)
    result[..., 0::2] = even * c - odd * s
    result[..., 1::2] = even * s + odd * c
    return result.to(x.dtype)

# %% exercise="embed" right="one_hot_ignored"
"""Always a lookup: the prompt says that the check can not tell."""
# the flag is ignored: always a lookup
def embed(ids, table, one_hot=False):
    return table[ids]

