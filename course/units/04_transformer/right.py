"""Right answers to the kernel exercises of unit 04 in other styles: a check must not mind how one is written."""

# %% exercise="rmsnorm_forward" right="four_rows_per_program"
@triton.jit
def rmsnorm_kernel(y_ptr, x_ptr, w_ptr, rows, n, eps, x0, x1, ROWS: tl.constexpr, WIDTH: tl.constexpr):
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)[:, None]
    col = tl.arange(0, WIDTH)[None, :]
    mask = (row < rows) & (col < n)
    x = tl.load(x_ptr + row * x0 + col * x1, mask=mask, other=0).to(tl.float32)
    w = tl.load(w_ptr + col, mask=col < n, other=0).to(tl.float32)
    y = x * tl.rsqrt(tl.sum(x * x, axis=1, keep_dims=True) / n + eps) * w
    tl.store(y_ptr + row * n + col, y.to(y_ptr.dtype.element_ty), mask=mask)


def rmsnorm_forward(x, weight, eps=1e-6):
    rows, n = x.shape
    y = x.new_empty(rows, n)
    width = triton.next_power_of_2(n)
    rmsnorm_kernel[(triton.cdiv(rows, 4),)](y, x, weight, rows, n, eps, *x.stride(), ROWS=4, WIDTH=width)
    return y

# %% exercise="rmsnorm_forward" right="few_programs_take_rows_in_turn"
@triton.jit
def mean_square(x, mask, count):
    return tl.sum(tl.where(mask, x * x, 0.0), axis=0) * (1.0 / count)


@triton.jit
def rmsnorm_kernel(x_ptr, w_ptr, y_ptr, rows, n, eps, x0, x1, BLOCK: tl.constexpr):
    col = tl.arange(0, BLOCK)
    mask = col < n
    w = tl.load(w_ptr + col, mask=mask, other=0.0).to(tl.float32)
    for row in range(tl.program_id(0), rows, tl.num_programs(0)):
        x = tl.load(x_ptr + row * x0 + col * x1, mask=mask, other=0.0).to(tl.float32)
        factor = 1 / tl.sqrt(mean_square(x, mask, n) + eps)
        tl.store(y_ptr + row * n + col, w * (x * factor), mask=mask)


def rmsnorm_forward(x, weight, eps=1e-6):
    rows, n = x.shape
    y = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    block = triton.next_power_of_2(n)
    rmsnorm_kernel[(min(rows, 3),)](x, weight, y, rows, n, eps, x.stride(0), x.stride(1), BLOCK=block)
    return y

# %% exercise="rmsnorm_backward" right="runs_of_rows"
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

# %% exercise="rmsnorm_backward" right="partial_sums_as_columns"
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
    out, dw = torch.zeros((rows, n), dtype=x.dtype, device=x.device), torch.zeros_like(weight)
    part = torch.zeros((n, programs), dtype=torch.float32, device=x.device)
    rmsnorm_rows_kernel[(programs,)](
        out, dy, x, weight, part, rows, n, eps, *dy.stride(), *x.stride(), P=programs, BLOCK=triton.next_power_of_2(n))
    rmsnorm_sum_kernel[(n,)](part, dw, P=programs)
    return out, dw

# %% exercise="residual_rmsnorm" right="from_the_rounded_sum_two_rows_at_once"
@triton.jit
def residual_rmsnorm_kernel(y, s, a, b, w, rows, n, eps, a0, a1, b0, b1, ROWS: tl.constexpr, WIDTH: tl.constexpr):
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)[:, None]
    col = tl.arange(0, WIDTH)[None, :]
    mask = (row < rows) & (col < n)
    first = tl.load(a + row * a0 + col * a1, mask=mask, other=0).to(tl.float32)
    second = tl.load(b + row * b0 + col * b1, mask=mask, other=0).to(tl.float32)
    gain = tl.load(w + col, mask=col < n, other=0).to(tl.float32)
    rounded = (first + second).to(s.dtype.element_ty)
    tl.store(s + row * n + col, rounded, mask=mask)
    total = rounded.to(tl.float32)
    factor = tl.rsqrt(tl.sum(total * total, axis=1, keep_dims=True) / n + eps)
    tl.store(y + row * n + col, total * factor * gain, mask=mask)


def residual_rmsnorm(x, residual, weight, eps=1e-6):
    rows, n = x.shape
    y, s = x.new_empty(rows, n), x.new_empty(rows, n)
    residual_rmsnorm_kernel[(triton.cdiv(rows, 2),)](
        y, s, x, residual, weight, rows, n, eps, *x.stride(), *residual.stride(),
        ROWS=2, WIDTH=triton.next_power_of_2(n))
    return y, s

# %% exercise="residual_rmsnorm" right="both_results_in_one_buffer"
@triton.jit
def residual_rmsnorm_kernel(x, old, w, out, rows, n, half, eps, x0, x1, r0, r1, BLOCK: tl.constexpr):
    col = tl.arange(0, BLOCK)
    mask = col < n
    weight = tl.load(w + col, mask=mask, other=0.0).to(tl.float32)
    for row in range(tl.program_id(0), rows, tl.num_programs(0)):
        total = tl.load(old + row * r0 + col * r1, mask=mask, other=0.0).to(tl.float32)
        total += tl.load(x + row * x0 + col * x1, mask=mask, other=0.0).to(tl.float32)
        y = total / tl.sqrt(tl.sum(total * total, axis=0) / n + eps) * weight
        tl.store(out + row * n + col, y, mask=mask)
        tl.store(out + half + row * n + col, total, mask=mask)


def residual_rmsnorm(x, residual, weight, eps=1e-6):
    rows, n = x.shape
    both = torch.empty((2, rows, n), dtype=x.dtype, device=x.device)
    residual_rmsnorm_kernel[(min(rows, 4),)](
        x, residual, weight, both, rows, n, rows * n, eps, *x.stride(), *residual.stride(),
        BLOCK=triton.next_power_of_2(n))
    return both.unbind()

# %% exercise="cross_entropy" right="lanes_keep_their_own_maximum_and_sum"
@triton.jit
def cross_entropy_wide_kernel(x_ptr, t_ptr, loss_ptr, grad_ptr, V, ignore, x0, x1, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    t = tl.load(t_ptr + row)
    keep = t != ignore
    lane = tl.arange(0, BLOCK)
    m = tl.full((BLOCK,), -3e38, tl.float32)
    s = tl.zeros((BLOCK,), tl.float32)
    for start in range(0, V, BLOCK):
        at = start + lane
        x = tl.load(x_ptr + row * x0 + at * x1, mask=at < V, other=-3e38).to(tl.float32)
        x = tl.maximum(x, -3e38)
        higher = tl.maximum(m, x)
        s = s * tl.exp(m - higher) + tl.where(at < V, tl.exp(x - higher), 0.0)
        m = higher
    top = tl.max(m, axis=0)
    log_total = tl.log(tl.sum(s * tl.exp(m - top), axis=0)) + top
    own = tl.load(x_ptr + row * x0 + t * x1, mask=keep, other=0.0).to(tl.float32)
    tl.store(loss_ptr + row, tl.where(keep, log_total - own, 0.0))
    for start in range(0, V, BLOCK):
        at = start + lane
        x = tl.load(x_ptr + row * x0 + at * x1, mask=(at < V) & keep, other=0.0).to(tl.float32)
        g = tl.exp(x - log_total) - (at == t).to(tl.float32)
        tl.store(grad_ptr + row * V + at, tl.where(keep, g, 0.0), mask=at < V)


@triton.jit
def cross_entropy_kernel(x_ptr, t_ptr, loss_ptr, grad_ptr, V, ignore, x0, x1, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    t = tl.load(t_ptr + row)
    keep = t != ignore
    lane = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + row * x0 + lane * x1, mask=lane < V, other=-float("inf")).to(tl.float32)
    top = tl.max(x, axis=0)
    log_total = tl.log(tl.sum(tl.exp(x - top), axis=0)) + top
    own = tl.sum(tl.where(lane == t, x, 0.0), axis=0)
    tl.store(loss_ptr + row, tl.where(keep, log_total - own, 0.0))
    g = tl.exp(x - log_total) - (lane == t).to(tl.float32)
    tl.store(grad_ptr + row * V + lane, tl.where(keep, g, 0.0), mask=lane < V)


def cross_entropy(logits, target, block=256, ignore=-100):
    N, V = logits.shape
    loss = torch.zeros(N, dtype=torch.float32, device=logits.device)
    grad = torch.empty_like(logits, memory_format=torch.contiguous_format)
    kernel = cross_entropy_kernel if V <= block else cross_entropy_wide_kernel
    kernel[(N,)](logits, target, loss, grad, V, ignore, *logits.stride(), BLOCK=block)
    return loss, grad

# %% exercise="cross_entropy" right="ignored_rows_are_not_read"
@triton.jit
def load_row(ptr, at, stride, count):
    return tl.load(ptr + at * stride, mask=at < count, other=-float("inf")).to(tl.float32)


@triton.jit
def cross_entropy_kernel(x_ptr, t_ptr, loss_ptr, grad_ptr, rows, V, ignore, s0, s1, BLOCK: tl.constexpr):
    for row in range(tl.program_id(0), rows, tl.num_programs(0)):
        lane = tl.arange(0, BLOCK)
        t = tl.load(t_ptr + row)
        if t == ignore:
            tl.store(loss_ptr + row, 0.0)
            for start in range(0, V, BLOCK):
                tl.store(grad_ptr + row * V + start + lane, tl.zeros((BLOCK,), tl.float32), mask=start + lane < V)
        else:
            first = load_row(x_ptr + row * s0, lane, s1, V)
            m = tl.max(first, axis=0)
            s = tl.sum(tl.exp(first - m), axis=0)
            own = tl.sum(tl.where(lane == t, first, 0.0), axis=0)
            for start in range(BLOCK, V, BLOCK):
                x = load_row(x_ptr + row * s0, start + lane, s1, V)
                old = m
                m = tl.maximum(m, tl.max(x, axis=0))
                s = s * tl.exp(old - m) + tl.sum(tl.exp(x - m), axis=0)
                own += tl.sum(tl.where(start + lane == t, x, 0.0), axis=0)
            tl.store(loss_ptr + row, tl.log(s) + m - own)
            p = tl.exp(first - m) / s
            tl.store(grad_ptr + row * V + lane, tl.where(lane == t, p - 1, p), mask=lane < V)
            for start in range(BLOCK, V, BLOCK):
                p = tl.exp(load_row(x_ptr + row * s0, start + lane, s1, V) - m) / s
                p = tl.where(start + lane == t, p - 1, p)
                tl.store(grad_ptr + row * V + start + lane, p, mask=start + lane < V)


def cross_entropy(logits, target, block=256, ignore=-100):
    N, V = logits.shape
    loss = torch.empty((N,), dtype=torch.float32, device=logits.device)
    grad = torch.empty((N, V), dtype=logits.dtype, device=logits.device)
    cross_entropy_kernel[(min(N, 2),)](logits, target, loss, grad, N, V, ignore, *logits.stride(), BLOCK=block)
    return loss, grad

# %% exercise="cross_entropy" right="one_pair_of_walks_for_all_widths"
@triton.jit
def cross_entropy_kernel(z_ptr, t_ptr, loss_ptr, grad_ptr, V, ignore, s0, s1, ONE: tl.constexpr, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    lane = tl.arange(0, BLOCK)
    t = tl.load(t_ptr + row)
    keep = tl.where(t == ignore, 0.0, 1.0)
    z = tl.zeros((BLOCK,), tl.float32)
    m = -float("inf")
    s = 0.0
    own = 0.0
    for c in range(0, V, BLOCK):
        at = c + lane
        z = tl.load(z_ptr + row * s0 + at * s1, mask=at < V, other=-float("inf")).to(tl.float32)
        new = tl.maximum(m, tl.max(z, axis=0))
        s = s * tl.exp(m - new) + tl.sum(tl.exp(z - new), axis=0)
        own += tl.sum(tl.where(at == t, z, 0.0), axis=0)
        m = new
    tl.store(loss_ptr + row, (m + tl.log(s) - own) * keep)
    for c in range(0, V, BLOCK):
        at = c + lane
        if not ONE:  # else the row is still in z
            z = tl.load(z_ptr + row * s0 + at * s1, mask=at < V, other=-float("inf")).to(tl.float32)
        grad = tl.exp(z - m) / s - tl.where(at == t, 1.0, 0.0)
        tl.store(grad_ptr + row * V + at, grad * keep, mask=at < V)


def cross_entropy(logits, target, block=256, ignore=-100):
    N, V = logits.shape
    loss = torch.empty(N, dtype=torch.float32, device=logits.device)
    grad = torch.empty((N, V), dtype=logits.dtype, device=logits.device)
    cross_entropy_kernel[(N,)](
        logits, target, loss, grad, V, ignore, *logits.stride(), ONE=V <= block, BLOCK=block)
    return loss, grad
