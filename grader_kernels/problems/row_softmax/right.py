"""Other correct kernels. Each cell is a whole answer."""

# %% right="one_walk_with_a_running_maximum"
@triton.jit
def row_softmax_kernel(x, y, n, x0, x1, y0, y1, BLOCK: tl.constexpr):
    r = tl.program_id(0)
    i = tl.arange(0, BLOCK)
    top = -float("inf")
    total = 0.0
    for c in range(0, n, BLOCK):
        v = tl.load(x + r * x0 + (c + i) * x1, mask=c + i < n, other=-float("inf")).to(tl.float32)
        new = tl.maximum(top, tl.max(v, axis=0))
        total = total * tl.exp(top - new) + tl.sum(tl.exp(v - new), axis=0)
        top = new
    for c in range(0, n, BLOCK):
        v = tl.load(x + r * x0 + (c + i) * x1, mask=c + i < n, other=-float("inf")).to(tl.float32)
        tl.store(y + r * y0 + (c + i) * y1, tl.exp(v - top) / total, mask=c + i < n)


def row_softmax(x, block=128):
    y = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    row_softmax_kernel[(x.shape[0],)](x, y, x.shape[1], x.stride(0), x.stride(1), y.stride(0), y.stride(1), BLOCK=block)
    return y


# %% right="lanes_keep_their_own_maximum_and_sum"
@triton.jit
def row_softmax_kernel(x, y, n, x0, x1, y0, y1, BLOCK: tl.constexpr):
    r = tl.program_id(0)
    i = tl.arange(0, BLOCK)
    tops = tl.full((BLOCK,), -float("inf"), tl.float32)
    for c in range(0, n, BLOCK):
        tops = tl.maximum(tops, tl.load(x + r * x0 + (c + i) * x1, mask=c + i < n, other=-float("inf")).to(tl.float32))
    top = tl.max(tops, axis=0)
    sums = tl.zeros((BLOCK,), tl.float32)
    for c in range(0, n, BLOCK):
        inside = c + i < n
        v = tl.load(x + r * x0 + (c + i) * x1, mask=inside, other=0.0).to(tl.float32)
        sums += tl.where(inside, tl.exp(v - top), 0.0)
    total = tl.sum(sums, axis=0)
    for c in range(0, n, BLOCK):
        v = tl.load(x + r * x0 + (c + i) * x1, mask=c + i < n, other=0.0).to(tl.float32)
        tl.store(y + r * y0 + (c + i) * y1, tl.exp(v - top) * (1.0 / total), mask=c + i < n)


def row_softmax(x, block=128):
    y = torch.empty_like(x, memory_format=torch.contiguous_format)
    row_softmax_kernel[(x.shape[0],)](x, y, x.shape[1], *x.stride(), *y.stride(), BLOCK=block)
    return y


# %% right="exp2_one_maximum_per_lane"
LOG2E = tl.constexpr(1.4426950408889634)


@triton.jit
def softmax_kernel(out_ptr, x_ptr, x_row, x_col, n_rows, n_cols, ONE_BLOCK: tl.constexpr, BLOCK: tl.constexpr):
    """Rows are dealt out to the programs; every lane keeps a maximum and a sum of its own until the row ends."""
    lane = tl.arange(0, BLOCK)
    for row in range(tl.program_id(0), n_rows, tl.num_programs(0)):
        source = x_ptr + row * x_row
        target = out_ptr + row * n_cols
        m = tl.load(source + lane * x_col, mask=lane < n_cols, other=-float("inf")).to(tl.float32)
        first = m
        s = tl.where(lane < n_cols, 1.0, 0.0)
        if not ONE_BLOCK:
            for start in range(BLOCK, n_cols, BLOCK):
                at = start + lane
                x = tl.load(source + at * x_col, mask=at < n_cols, other=-float("inf")).to(tl.float32)
                higher = tl.maximum(m, x)
                s = s * tl.exp2((m - higher) * LOG2E) + tl.exp2((x - higher) * LOG2E)
                m = higher
        top = tl.max(m, axis=0)
        scale = 1 / tl.sum(s * tl.exp2((m - top) * LOG2E), axis=0)
        tl.store(target + lane, tl.exp2((first - top) * LOG2E) * scale, mask=lane < n_cols)
        if not ONE_BLOCK:
            for start in range(BLOCK, n_cols, BLOCK):
                at = start + lane
                x = tl.load(source + at * x_col, mask=at < n_cols, other=0.0).to(tl.float32)
                tl.store(target + at, tl.exp2((x - top) * LOG2E) * scale, mask=at < n_cols)


def row_softmax(x, block=128):
    rows, columns = x.shape
    out = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    softmax_kernel[(min(rows, 3),)](out, x, *x.stride(), rows, columns, ONE_BLOCK=columns <= block, BLOCK=block)
    return out


# %% right="three_walks"
@triton.jit
def wide_kernel(x_ptr, out_ptr, n_cols, x_row, x_col, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    x_ptr += row * x_row
    columns = tl.arange(0, BLOCK)
    largest = tl.full((BLOCK,), -float("inf"), tl.float32)
    for start in range(0, n_cols, BLOCK):
        x = tl.load(x_ptr + (start + columns) * x_col, mask=start + columns < n_cols, other=-float("inf"))
        largest = tl.maximum(largest, x.to(tl.float32))
    m = tl.max(largest, axis=0)
    sums = tl.zeros((BLOCK,), tl.float32)
    for start in range(0, n_cols, BLOCK):
        x = tl.load(x_ptr + (start + columns) * x_col, mask=start + columns < n_cols, other=-float("inf"))
        sums += tl.exp(x.to(tl.float32) - m)
    total = tl.sum(sums, axis=0)
    for start in range(0, n_cols, BLOCK):
        at = start + columns
        x = tl.load(x_ptr + at * x_col, mask=at < n_cols, other=-float("inf")).to(tl.float32)
        tl.store(out_ptr + row * n_cols + at, tl.exp(x - m) / total, mask=at < n_cols)


@triton.jit
def narrow_kernel(x_ptr, out_ptr, n_cols, x_row, x_col, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    columns = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + row * x_row + columns * x_col, mask=columns < n_cols, other=-float("inf")).to(tl.float32)
    weights = tl.exp(x - tl.max(x, axis=0))
    tl.store(out_ptr + row * n_cols + columns, weights / tl.sum(weights, axis=0), mask=columns < n_cols)


def row_softmax(x, block=128):
    n_rows, n_cols = x.shape
    out = torch.empty((n_rows, n_cols), dtype=x.dtype, device=x.device)
    kernel = narrow_kernel if n_cols <= block else wide_kernel
    kernel[(n_rows,)](x, out, n_cols, x.stride(0), x.stride(1), BLOCK=block)
    return out
