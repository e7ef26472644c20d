import triton
import triton.language as tl


@triton.jit
def rope_inplace_kernel(x, cos, sin, half, sn, st, sd, BLOCK: tl.constexpr):
    n, t = tl.program_id(0), tl.program_id(1)
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
    grid = (x.shape[0], x.shape[1])
    rope_inplace_kernel[grid](x, cos, sin, half, *x.stride(), BLOCK=triton.next_power_of_2(half))
    return x
