"""Other correct kernels. Each cell is a whole answer."""

# %% right="two_dimensional_grid"
@triton.jit
def rope_inplace_kernel(x, cos, sin, half, sn, st, sd, BLOCK: tl.constexpr):
    n = tl.program_id(0)
    t = tl.program_id(1)
    i = tl.arange(0, BLOCK)
    m = i < half
    base = x + n * sn + t * st
    a = tl.load(base + i * sd, mask=m, other=0.0).to(tl.float32)
    b = tl.load(base + (i + half) * sd, mask=m, other=0.0).to(tl.float32)
    c = tl.load(cos + t * half + i, mask=m, other=1.0)
    s = tl.load(sin + t * half + i, mask=m, other=0.0)
    tl.store(base + (i + half) * sd, b * c + a * s, mask=m)
    tl.store(base + i * sd, a * c - b * s, mask=m)


def rope_inplace(x, cos, sin):
    half = cos.shape[1]
    rope_inplace_kernel[(x.shape[0], x.shape[1])](
        x, cos, sin, half, x.stride(0), x.stride(1), x.stride(2), BLOCK=triton.next_power_of_2(half))
    return x


# %% right="a_position_for_every_fourth_batch"
@triton.jit
def rope_inplace_kernel(x, cos, sin, N, half, sn, st, sd, BLOCK: tl.constexpr):
    t = tl.program_id(0)
    i = tl.arange(0, BLOCK)
    m = i < half
    c = tl.load(cos + t * half + i, mask=m)
    s = tl.load(sin + t * half + i, mask=m)
    for n in range(tl.program_id(1), N, 4):
        p = x + n * sn + t * st + i * sd
        a = tl.load(p, mask=m).to(tl.float32)
        b = tl.load(p + half * sd, mask=m).to(tl.float32)
        tl.store(p, a * c - b * s, mask=m)
        tl.store(p + half * sd, a * s + b * c, mask=m)


def rope_inplace(x, cos, sin):
    rope_inplace_kernel[(x.size(1), min(x.size(0), 4))](x, cos, sin, x.size(0), x.size(2) // 2, *x.stride(),
                                                        BLOCK=triton.next_power_of_2(x.size(2) // 2))
    return x
