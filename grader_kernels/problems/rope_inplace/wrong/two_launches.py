# loses lean: each half has a launch of its own, through a second tensor
# says: launch
import torch
import triton
import triton.language as tl


@triton.jit
def turn_kernel(x_ptr, y_ptr, cos_ptr, sin_ptr, length, half, x_batch, x_time, x_col, BLOCK: tl.constexpr):
    batch, t = tl.program_id(0) // length, tl.program_id(0) % length
    pair = tl.arange(0, BLOCK)
    inside = pair < half
    first = x_ptr + batch * x_batch + t * x_time + pair * x_col
    a = tl.load(first, mask=inside).to(tl.float32)
    b = tl.load(first + half * x_col, mask=inside).to(tl.float32)
    cos = tl.load(cos_ptr + t * half + pair, mask=inside)
    sin = tl.load(sin_ptr + t * half + pair, mask=inside)
    target = y_ptr + tl.program_id(0) * 2 * half + pair
    tl.store(target, a * cos - b * sin, mask=inside)
    tl.store(target + half, a * sin + b * cos, mask=inside)


@triton.jit
def copy_kernel(x_ptr, y_ptr, length, width, x_batch, x_time, x_col, BLOCK: tl.constexpr):
    batch, t = tl.program_id(0) // length, tl.program_id(0) % length
    column = tl.arange(0, BLOCK)
    inside = column < width
    values = tl.load(y_ptr + tl.program_id(0) * width + column, mask=inside)
    tl.store(x_ptr + batch * x_batch + t * x_time + column * x_col, values, mask=inside)


def rope_inplace(x, cos, sin):
    N, T, d = x.shape
    y = torch.empty((N, T, d), dtype=x.dtype, device=x.device)
    turn_kernel[(N * T,)](x, y, cos, sin, T, d // 2, *x.stride(), BLOCK=triton.next_power_of_2(d // 2))
    copy_kernel[(N * T,)](x, y, T, d, *x.stride(), BLOCK=triton.next_power_of_2(d))
    return x
