"""Other correct kernels. Each cell is a whole answer."""

# %% right="four_rows_per_program"
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

# %% right="few_programs_take_rows_in_turn"
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
