# loses right: the pairs are neighbours, (2i, 2i + 1), as in the other convention
# says: i + d/2
import triton
import triton.language as tl


@triton.jit
def rope_inplace_kernel(x_ptr, cos_ptr, sin_ptr, length, half, x_batch, x_time, x_col, BLOCK: tl.constexpr):
    batch, t = tl.program_id(0) // length, tl.program_id(0) % length
    pair = tl.arange(0, BLOCK)
    inside = pair < half
    first = x_ptr + batch * x_batch + t * x_time + 2 * pair * x_col
    second = first + x_col
    a = tl.load(first, mask=inside).to(tl.float32)
    b = tl.load(second, mask=inside).to(tl.float32)
    cos = tl.load(cos_ptr + t * half + pair, mask=inside)
    sin = tl.load(sin_ptr + t * half + pair, mask=inside)
    tl.store(first, a * cos - b * sin, mask=inside)
    tl.store(second, a * sin + b * cos, mask=inside)


def rope_inplace(x, cos, sin):
    N, T, d = x.shape
    rope_inplace_kernel[(N * T,)](x, cos, sin, T, d // 2, *x.stride(), BLOCK=triton.next_power_of_2(d // 2))
    return x
