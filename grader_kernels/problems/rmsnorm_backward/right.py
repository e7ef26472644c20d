"""Other correct kernels. Each cell is a whole answer."""

# %% right="runs_of_rows"
@triton.jit
def rmsnorm_rows_kernel(dy, x, w, dx, sums, rows, n, share, eps, dy0, dy1, x0, x1, WIDTH: tl.constexpr):
    at = tl.arange(0, WIDTH)
    mask = at < n
    weight = tl.load(w + at, mask=mask, other=0.0).to(tl.float32)
    total = tl.zeros((WIDTH,), tl.float32)
    first = tl.program_id(0) * share
    for row in range(first, tl.minimum(first + share, rows)):
        grad = tl.load(dy + row * dy0 + at * dy1, mask=mask, other=0.0).to(tl.float32)
        value = tl.load(x + row * x0 + at * x1, mask=mask, other=0.0).to(tl.float32)
        r = tl.rsqrt(tl.sum(value * value, axis=0) / n + eps)
        total += grad * value * r
        along = tl.sum(grad * weight * value, axis=0) / n
        tl.store(dx + row * n + at, r * grad * weight - r * r * r * value * along, mask=mask)
    tl.store(sums + tl.program_id(0) * n + at, total, mask=mask)


@triton.jit
def rmsnorm_sum_kernel(sums, dw, count, n, HEIGHT: tl.constexpr, WIDTH: tl.constexpr):
    i = tl.arange(0, HEIGHT)[:, None]
    at = tl.program_id(0) * WIDTH + tl.arange(0, WIDTH)
    tile = tl.load(sums + i * n + at[None, :], mask=(i < count) & (at < n)[None, :], other=0.0)
    tl.store(dw + at, tl.sum(tile, axis=0), mask=at < n)


def rmsnorm_backward(dy, x, weight, eps=1e-6, programs=4):
    rows, n = x.shape
    programs = min(programs, rows)
    dx, dw = x.new_empty(rows, n), torch.empty_like(weight)
    sums = torch.empty((programs, n), dtype=torch.float32, device=x.device)
    share = triton.cdiv(rows, programs)
    rmsnorm_rows_kernel[(programs,)](
        dy, x, weight, dx, sums, rows, n, share, eps, *dy.stride(), *x.stride(), WIDTH=triton.next_power_of_2(n))
    height = triton.next_power_of_2(programs)
    rmsnorm_sum_kernel[(triton.cdiv(n, 32),)](sums, dw, programs, n, HEIGHT=height, WIDTH=32)
    return dx, dw

# %% right="partial_sums_as_columns"
@triton.jit
def one_row(dy, x, weight, count, eps):
    r = 1 / tl.sqrt(tl.sum(x * x, axis=0) / count + eps)
    g = dy * weight * r
    return g - x * r * r * (tl.sum(g * x, axis=0) / count), dy * x * r


@triton.jit
def rmsnorm_rows_kernel(
    out_ptr, dy_ptr, x_ptr, w_ptr, part_ptr, rows, n, eps, a0, a1, b0, b1, P: tl.constexpr, BLOCK: tl.constexpr
):
    col = tl.arange(0, BLOCK)
    mask = col < n
    weight = tl.load(w_ptr + col, mask, 0.0).to(tl.float32)
    own = tl.zeros((BLOCK,), tl.float32)
    pid = tl.program_id(0)
    for turn in range(0, tl.cdiv(rows - pid, P)):
        row = pid + turn * P
        dy = tl.load(dy_ptr + row * a0 + col * a1, mask, 0.0).to(tl.float32)
        x = tl.load(x_ptr + row * b0 + col * b1, mask, 0.0).to(tl.float32)
        dx, dw = one_row(dy, x, weight, n, eps)
        own += dw
        tl.store(out_ptr + row * n + col, dx, mask)
    tl.store(part_ptr + col * P + pid, own, mask)


@triton.jit
def rmsnorm_sum_kernel(part_ptr, dw_ptr, P: tl.constexpr):
    col = tl.program_id(0)
    total = 0.0
    for i in range(P):
        total += tl.load(part_ptr + col * P + i)
    tl.store(dw_ptr + col, total)


def rmsnorm_backward(dy, x, weight, eps=1e-6, programs=4):
    rows, n = x.shape
    out, dw = torch.empty((rows, n), dtype=x.dtype, device=x.device), torch.empty_like(weight)
    part = torch.empty((n, programs), dtype=torch.float32, device=x.device)
    rmsnorm_rows_kernel[(programs,)](
        out, dy, x, weight, part, rows, n, eps, *dy.stride(), *x.stride(), P=programs, BLOCK=triton.next_power_of_2(n))
    rmsnorm_sum_kernel[(n,)](part, dw, P=programs)
    return out, dw
