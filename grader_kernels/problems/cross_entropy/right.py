"""Other correct kernels. Each cell is a whole answer."""

# %% right="lanes_keep_their_own_maximum_and_sum"
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
    own = tl.load(x_ptr + row * x0 + t * x1, mask=keep, other=0.0).to(tl.float32)
    tl.store(loss_ptr + row, tl.where(keep, log_total - own, 0.0))
    g = tl.exp(x - log_total) - (lane == t).to(tl.float32)
    tl.store(grad_ptr + row * V + lane, tl.where(keep, g, 0.0), mask=lane < V)


def cross_entropy(logits, target, block=256, ignore=-100):
    N, V = logits.shape
    loss = torch.empty(N, dtype=torch.float32, device=logits.device)
    grad = torch.empty_like(logits, memory_format=torch.contiguous_format)
    kernel = cross_entropy_kernel if V <= block else cross_entropy_wide_kernel
    kernel[(N,)](logits, target, loss, grad, V, ignore, *logits.stride(), BLOCK=block)
    return loss, grad

# %% right="ignored_rows_are_not_read"
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

# %% right="one_pair_of_walks"
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
