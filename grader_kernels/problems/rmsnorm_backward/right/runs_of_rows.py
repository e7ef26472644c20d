import torch
import triton
import triton.language as tl


@triton.jit
def rows_kernel(dy, x, w, dx, sums, rows, columns, share, eps, dy0, dy1, x0, x1, WIDTH: tl.constexpr):
    """Program p takes the p-th run of `share` rows."""
    at = tl.arange(0, WIDTH)
    mask = at < columns
    weight = tl.load(w + at, mask=mask, other=0.0).to(tl.float32)
    total = tl.zeros((WIDTH,), tl.float32)
    first = tl.program_id(0) * share
    for row in range(first, tl.minimum(first + share, rows)):
        grad = tl.load(dy + row * dy0 + at * dy1, mask=mask, other=0.0).to(tl.float32)
        value = tl.load(x + row * x0 + at * x1, mask=mask, other=0.0).to(tl.float32)
        r = tl.rsqrt(tl.sum(value * value, axis=0) / columns + eps)
        total += grad * value * r
        along = tl.sum(grad * weight * value, axis=0) / columns
        tl.store(dx + row * columns + at, r * grad * weight - r * r * r * value * along, mask=mask)
    tl.store(sums + tl.program_id(0) * columns + at, total, mask=mask)


@triton.jit
def columns_kernel(sums, dw, count, columns, HEIGHT: tl.constexpr, WIDTH: tl.constexpr):
    """All partial sums of WIDTH columns in one tile."""
    i = tl.arange(0, HEIGHT)[:, None]
    at = tl.program_id(0) * WIDTH + tl.arange(0, WIDTH)
    tile = tl.load(sums + i * columns + at[None, :], mask=(i < count) & (at < columns)[None, :], other=0.0)
    tl.store(dw + at, tl.sum(tile, axis=0), mask=at < columns)


def rmsnorm_backward(dy, x, weight, eps=1e-6, programs=4):
    rows, columns = x.shape
    programs = min(programs, rows)
    dx = x.new_empty(rows, columns)
    dw = torch.empty_like(weight)
    sums = torch.empty((programs, columns), dtype=torch.float32, device=x.device)
    width = triton.next_power_of_2(columns)
    strides = (*dy.stride(), *x.stride())
    share = triton.cdiv(rows, programs)
    rows_kernel[(programs,)](dy, x, weight, dx, sums, rows, columns, share, eps, *strides, WIDTH=width)
    height = triton.next_power_of_2(programs)
    columns_kernel[(triton.cdiv(columns, 32),)](sums, dw, programs, columns, HEIGHT=height, WIDTH=32)
    return dx, dw
