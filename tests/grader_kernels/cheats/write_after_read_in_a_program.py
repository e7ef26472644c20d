# refused: which another lane of this program reads
# problem: rope_inplace
# loses: safe
"""Each lane reads its own number and its partner's, and writes its own. The partner's lane may be another thread,
which may have written already: threads of a program don't wait for each other. (It reads x twice as well.)"""

import triton
import triton.language as tl


@triton.jit
def kernel(x_ptr, cos_ptr, sin_ptr, T, half, x_b, x_t, x_c, BLOCK: tl.constexpr):
    b, t = tl.program_id(0) // T, tl.program_id(0) % T
    i = tl.arange(0, BLOCK)
    inside = i < 2 * half
    row = x_ptr + b * x_b + t * x_t
    pair = tl.where(i < half, i, i - half)
    partner = tl.where(i < half, i + half, i - half)
    own = tl.load(row + i * x_c, mask=inside).to(tl.float32)
    other = tl.load(row + partner * x_c, mask=inside).to(tl.float32)
    cos = tl.load(cos_ptr + t * half + pair, mask=inside)
    sin = tl.load(sin_ptr + t * half + pair, mask=inside)
    tl.store(row + i * x_c, own * cos + tl.where(i < half, -other, other) * sin, mask=inside)


def rope_inplace(x, cos, sin):
    N, T, d = x.shape
    kernel[(N * T,)](x, cos, sin, T, d // 2, *x.stride(), BLOCK=triton.next_power_of_2(d))
    return x
