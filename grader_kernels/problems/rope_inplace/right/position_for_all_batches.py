import triton
import triton.language as tl


@triton.jit
def rope_inplace_kernel(x, cos, sin, N, half, sn, st, sd, BLOCK: tl.constexpr):
    t = tl.program_id(0)
    i = tl.arange(0, BLOCK)
    m = i < half
    c = tl.load(cos + t * half + i, mask=m)
    s = tl.load(sin + t * half + i, mask=m)
    for n in range(0, N):
        p = x + n * sn + t * st + i * sd
        a = tl.load(p, mask=m).to(tl.float32)
        b = tl.load(p + half * sd, mask=m).to(tl.float32)
        tl.store(p, a * c - b * s, mask=m)
        tl.store(p + half * sd, a * s + b * c, mask=m)


def rope_inplace(x, cos, sin):
    N, T, d = x.shape
    rope_inplace_kernel[(T,)](x, cos, sin, N, d // 2, *x.stride(), BLOCK=triton.next_power_of_2(d // 2))
    return x
