"""Wrong answers to the kernel exercises of unit 04. Each cell is a whole answer; learners read its docstring."""

# %% exercise="rmsnorm_forward" wrong="eps_outside_the_root"
"""eps is added to the root mean square instead of to the mean of the squares.

Where does eps stand in the docstring, under the root or beside it? Try a row of small numbers.
"""
@triton.jit
def rmsnorm_kernel(x_ptr, w_ptr, out_ptr, n, eps, x_row, x_col, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    col = tl.arange(0, BLOCK)
    mask = col < n
    x = tl.load(x_ptr + row * x_row + col * x_col, mask=mask, other=0.0).to(tl.float32)
    w = tl.load(w_ptr + col, mask=mask, other=0.0).to(tl.float32)
    r = 1 / (tl.sqrt(tl.sum(x * x, axis=0) / n) + eps)
    tl.store(out_ptr + row * n + col, x * r * w, mask=mask)


def rmsnorm_forward(x, weight, eps=1e-6):
    R, C = x.shape
    out = torch.empty((R, C), dtype=x.dtype, device=x.device)
    rmsnorm_kernel[(R,)](x, weight, out, C, eps, *x.stride(), BLOCK=triton.next_power_of_2(C))
    return out

# %% exercise="rmsnorm_forward" wrong="no_root"
"""The row is divided by its mean square; the root is missing.

Root mean square: which word did you skip? A row that is twice as long should come out the same.
"""
@triton.jit
def rmsnorm_kernel(x_ptr, w_ptr, out_ptr, n, eps, x_row, x_col, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    col = tl.arange(0, BLOCK)
    mask = col < n
    x = tl.load(x_ptr + row * x_row + col * x_col, mask=mask, other=0.0).to(tl.float32)
    w = tl.load(w_ptr + col, mask=mask, other=0.0).to(tl.float32)
    r = 1 / (tl.sum(x * x, axis=0) / n + eps)
    tl.store(out_ptr + row * n + col, x * r * w, mask=mask)


def rmsnorm_forward(x, weight, eps=1e-6):
    R, C = x.shape
    out = torch.empty((R, C), dtype=x.dtype, device=x.device)
    rmsnorm_kernel[(R,)](x, weight, out, C, eps, *x.stride(), BLOCK=triton.next_power_of_2(C))
    return out

# %% exercise="rmsnorm_forward" wrong="length_instead_of_mean"
"""The row is divided by the root of the sum of its squares: every row gets length 1, not root mean square 1.

By how much do the numbers of a row of 400 shrink this way?
"""
@triton.jit
def rmsnorm_kernel(x_ptr, w_ptr, out_ptr, n, eps, x_row, x_col, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    col = tl.arange(0, BLOCK)
    mask = col < n
    x = tl.load(x_ptr + row * x_row + col * x_col, mask=mask, other=0.0).to(tl.float32)
    w = tl.load(w_ptr + col, mask=mask, other=0.0).to(tl.float32)
    r = 1 / tl.sqrt(tl.sum(x * x, axis=0) + eps)
    tl.store(out_ptr + row * n + col, x * r * w, mask=mask)


def rmsnorm_forward(x, weight, eps=1e-6):
    R, C = x.shape
    out = torch.empty((R, C), dtype=x.dtype, device=x.device)
    rmsnorm_kernel[(R,)](x, weight, out, C, eps, *x.stride(), BLOCK=triton.next_power_of_2(C))
    return out

# %% exercise="rmsnorm_forward" wrong="mean_over_the_block"
"""The sum of the squares is divided by BLOCK, so the lanes past the end of the row are counted in the mean.

How many numbers has the row, and how many lanes has the block?
"""
@triton.jit
def rmsnorm_kernel(x_ptr, w_ptr, out_ptr, n, eps, x_row, x_col, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    col = tl.arange(0, BLOCK)
    mask = col < n
    x = tl.load(x_ptr + row * x_row + col * x_col, mask=mask, other=0.0).to(tl.float32)
    w = tl.load(w_ptr + col, mask=mask, other=0.0).to(tl.float32)
    r = 1 / tl.sqrt(tl.sum(x * x, axis=0) / BLOCK + eps)
    tl.store(out_ptr + row * n + col, x * r * w, mask=mask)


def rmsnorm_forward(x, weight, eps=1e-6):
    R, C = x.shape
    out = torch.empty((R, C), dtype=x.dtype, device=x.device)
    rmsnorm_kernel[(R,)](x, weight, out, C, eps, *x.stride(), BLOCK=triton.next_power_of_2(C))
    return out

# %% exercise="rmsnorm_forward" wrong="subtracts_the_mean"
"""The mean of the row is subtracted first, as in layer normalisation.

RMSNorm leaves one thing of LayerNorm away. What comes out for a row whose numbers are all 30?
"""
@triton.jit
def rmsnorm_kernel(x_ptr, w_ptr, out_ptr, n, eps, x_row, x_col, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    col = tl.arange(0, BLOCK)
    mask = col < n
    x = tl.load(x_ptr + row * x_row + col * x_col, mask=mask, other=0.0).to(tl.float32)
    w = tl.load(w_ptr + col, mask=mask, other=0.0).to(tl.float32)
    x = tl.where(mask, x - tl.sum(x, axis=0) / n, 0.0)
    r = 1 / tl.sqrt(tl.sum(x * x, axis=0) / n + eps)
    tl.store(out_ptr + row * n + col, x * r * w, mask=mask)


def rmsnorm_forward(x, weight, eps=1e-6):
    R, C = x.shape
    out = torch.empty((R, C), dtype=x.dtype, device=x.device)
    rmsnorm_kernel[(R,)](x, weight, out, C, eps, *x.stride(), BLOCK=triton.next_power_of_2(C))
    return out

# %% exercise="rmsnorm_forward" wrong="no_weight"
"""The rows are normalised, but the weight is never used.

Which argument of the launcher does no line of the kernel read?
"""
@triton.jit
def rmsnorm_kernel(x_ptr, w_ptr, out_ptr, n, eps, x_row, x_col, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    col = tl.arange(0, BLOCK)
    mask = col < n
    x = tl.load(x_ptr + row * x_row + col * x_col, mask=mask, other=0.0).to(tl.float32)
    r = 1 / tl.sqrt(tl.sum(x * x, axis=0) / n + eps)
    tl.store(out_ptr + row * n + col, x * r, mask=mask)


def rmsnorm_forward(x, weight, eps=1e-6):
    R, C = x.shape
    out = torch.empty((R, C), dtype=x.dtype, device=x.device)
    rmsnorm_kernel[(R,)](x, weight, out, C, eps, *x.stride(), BLOCK=triton.next_power_of_2(C))
    return out

# %% exercise="rmsnorm_forward" wrong="squares_in_half_precision"
"""The squares are taken in the dtype of x: 400 times 400 is more than float16 can hold.

In which line does x become float32? It must come before the product.
"""
@triton.jit
def rmsnorm_kernel(x_ptr, w_ptr, out_ptr, n, eps, x_row, x_col, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    col = tl.arange(0, BLOCK)
    mask = col < n
    x = tl.load(x_ptr + row * x_row + col * x_col, mask=mask, other=0.0)
    w = tl.load(w_ptr + col, mask=mask, other=0.0).to(tl.float32)
    r = 1 / tl.sqrt(tl.sum((x * x).to(tl.float32), axis=0) / n + eps)
    tl.store(out_ptr + row * n + col, x * r * w, mask=mask)


def rmsnorm_forward(x, weight, eps=1e-6):
    R, C = x.shape
    out = torch.empty((R, C), dtype=x.dtype, device=x.device)
    rmsnorm_kernel[(R,)](x, weight, out, C, eps, *x.stride(), BLOCK=triton.next_power_of_2(C))
    return out

# %% exercise="rmsnorm_forward" wrong="tail_cut_off"
"""The block is the next smaller power of two, so the last columns of a row belong to no lane.

Who writes column 70 of a row of 75?
"""
@triton.jit
def rmsnorm_kernel(x_ptr, w_ptr, out_ptr, n, eps, x_row, x_col, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    col = tl.arange(0, BLOCK)
    mask = col < n
    x = tl.load(x_ptr + row * x_row + col * x_col, mask=mask, other=0.0).to(tl.float32)
    w = tl.load(w_ptr + col, mask=mask, other=0.0).to(tl.float32)
    r = 1 / tl.sqrt(tl.sum(x * x, axis=0) / n + eps)
    tl.store(out_ptr + row * n + col, x * r * w, mask=mask)


def rmsnorm_forward(x, weight, eps=1e-6):
    R, C = x.shape
    out = torch.empty((R, C), dtype=x.dtype, device=x.device)
    rmsnorm_kernel[(R,)](x, weight, out, C, eps, *x.stride(), BLOCK=triton.next_power_of_2(C + 1) // 2)
    return out

# %% exercise="rmsnorm_forward" wrong="no_masks"
"""Nothing is masked: the lanes past the end of the row read and write numbers that are not theirs.

Which programs touch memory past the end? Compare the column's number with n.
"""
@triton.jit
def rmsnorm_kernel(x_ptr, w_ptr, out_ptr, n, eps, x_row, x_col, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    col = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + row * x_row + col * x_col).to(tl.float32)
    w = tl.load(w_ptr + col).to(tl.float32)
    r = 1 / tl.sqrt(tl.sum(x * x, axis=0) / n + eps)
    tl.store(out_ptr + row * n + col, x * r * w)


def rmsnorm_forward(x, weight, eps=1e-6):
    R, C = x.shape
    out = torch.empty((R, C), dtype=x.dtype, device=x.device)
    rmsnorm_kernel[(R,)](x, weight, out, C, eps, *x.stride(), BLOCK=triton.next_power_of_2(C))
    return out

# %% exercise="rmsnorm_forward" wrong="rows_assumed_contiguous"
"""Addresses are row * C + column, which is right for contiguous tensors only.

Ask x for both of its strides. What are they for x.t()?
"""
@triton.jit
def rmsnorm_kernel(x_ptr, w_ptr, out_ptr, n, eps, x_row, x_col, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    col = tl.arange(0, BLOCK)
    mask = col < n
    x = tl.load(x_ptr + row * x_row + col * x_col, mask=mask, other=0.0).to(tl.float32)
    w = tl.load(w_ptr + col, mask=mask, other=0.0).to(tl.float32)
    r = 1 / tl.sqrt(tl.sum(x * x, axis=0) / n + eps)
    tl.store(out_ptr + row * n + col, x * r * w, mask=mask)


def rmsnorm_forward(x, weight, eps=1e-6):
    R, C = x.shape
    out = torch.empty((R, C), dtype=x.dtype, device=x.device)
    rmsnorm_kernel[(R,)](x, weight, out, C, eps, C, 1, BLOCK=triton.next_power_of_2(C))
    return out

# %% exercise="rmsnorm_forward" wrong="copied_to_be_contiguous"
"""x.contiguous() makes a copy when x is strided: all of it is read and written once more, before your kernel begins.

What would the kernel need in order to read x where it lies?
"""
@triton.jit
def rmsnorm_kernel(x_ptr, w_ptr, out_ptr, n, eps, x_row, x_col, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    col = tl.arange(0, BLOCK)
    mask = col < n
    x = tl.load(x_ptr + row * x_row + col * x_col, mask=mask, other=0.0).to(tl.float32)
    w = tl.load(w_ptr + col, mask=mask, other=0.0).to(tl.float32)
    r = 1 / tl.sqrt(tl.sum(x * x, axis=0) / n + eps)
    tl.store(out_ptr + row * n + col, x * r * w, mask=mask)


def rmsnorm_forward(x, weight, eps=1e-6):
    x = x.contiguous()
    R, C = x.shape
    out = torch.empty((R, C), dtype=x.dtype, device=x.device)
    rmsnorm_kernel[(R,)](x, weight, out, C, eps, *x.stride(), BLOCK=triton.next_power_of_2(C))
    return out

# %% exercise="rmsnorm_forward" wrong="second_walk"
"""The row is walked twice, once for the sum and once to write: x is read twice, although a row fits into a block.

Where are the numbers after the first load? Give the block all columns.
"""
@triton.jit
def rmsnorm_kernel(x_ptr, w_ptr, out_ptr, n, eps, x_row, x_col, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    squares = tl.zeros((BLOCK,), tl.float32)
    for c in range(0, n, BLOCK):
        col = c + tl.arange(0, BLOCK)
        x = tl.load(x_ptr + row * x_row + col * x_col, mask=col < n, other=0.0).to(tl.float32)
        squares += x * x
    r = 1 / tl.sqrt(tl.sum(squares, axis=0) / n + eps)
    for c in range(0, n, BLOCK):
        col = c + tl.arange(0, BLOCK)
        x = tl.load(x_ptr + row * x_row + col * x_col, mask=col < n, other=0.0).to(tl.float32)
        w = tl.load(w_ptr + col, mask=col < n, other=0.0).to(tl.float32)
        tl.store(out_ptr + row * n + col, x * r * w, mask=col < n)


def rmsnorm_forward(x, weight, eps=1e-6):
    out = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    rmsnorm_kernel[(x.shape[0],)](x, weight, out, x.shape[1], eps, *x.stride(), BLOCK=32)
    return out

# %% exercise="rmsnorm_forward" wrong="one_program_for_all_rows"
"""One program of one warp holds the whole matrix: far more numbers than its registers, so the compiler puts them into
slow memory, and all other processors wait.

Which rows need each other? Give each of the others a program of its own.
"""
@triton.jit
def rmsnorm_kernel(x_ptr, w_ptr, out_ptr, rows, n, eps, x_row, x_col, ROWS: tl.constexpr, BLOCK: tl.constexpr):
    row = tl.arange(0, ROWS)[:, None]
    col = tl.arange(0, BLOCK)[None, :]
    mask = (row < rows) & (col < n)
    x = tl.load(x_ptr + row * x_row + col * x_col, mask=mask, other=0.0).to(tl.float32)
    w = tl.load(w_ptr + col, mask=col < n, other=0.0).to(tl.float32)
    r = 1 / tl.sqrt(tl.sum(x * x, axis=1, keep_dims=True) / n + eps)
    tl.store(out_ptr + row * n + col, x * r * w, mask=mask)


def rmsnorm_forward(x, weight, eps=1e-6):
    R, C = x.shape
    out = torch.empty((R, C), dtype=x.dtype, device=x.device)
    rmsnorm_kernel[(1,)](
        x, weight, out, R, C, eps, *x.stride(),
        ROWS=triton.next_power_of_2(R), BLOCK=triton.next_power_of_2(C), num_warps=1)
    return out

# %% exercise="rmsnorm_forward" wrong="torch_instead_of_a_kernel"
"""torch does the work; no kernel of yours is launched.

Which line launches your kernel?
"""
@triton.jit
def rmsnorm_kernel(x_ptr, w_ptr, out_ptr, n, eps, x_row, x_col, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    col = tl.arange(0, BLOCK)
    mask = col < n
    x = tl.load(x_ptr + row * x_row + col * x_col, mask=mask, other=0.0).to(tl.float32)
    w = tl.load(w_ptr + col, mask=mask, other=0.0).to(tl.float32)
    r = 1 / tl.sqrt(tl.sum(x * x, axis=0) / n + eps)
    tl.store(out_ptr + row * n + col, x * r * w, mask=mask)


def rmsnorm_forward(x, weight, eps=1e-6):
    wide = x.float()
    return (wide * (wide.pow(2).mean(1, keepdim=True) + eps).rsqrt() * weight.float()).to(x.dtype)

# %% exercise="rmsnorm_backward" wrong="gradient_without_its_second_term"
"""dx is dy * weight * r alone: r is treated as a constant, but every x of the row changes it.

On how many outputs of the row does x_i have an influence?
"""
@triton.jit
def rmsnorm_rows_kernel(dy_ptr, x_ptr, w_ptr, dx_ptr, part_ptr, rows, n, eps, a0, a1, b0, b1, BLOCK: tl.constexpr):
    pid, P = tl.program_id(0), tl.num_programs(0)
    col = tl.arange(0, BLOCK)
    mask = col < n
    w = tl.load(w_ptr + col, mask=mask, other=0.0).to(tl.float32)
    dw = tl.zeros((BLOCK,), tl.float32)
    for row in range(pid, rows, P):
        dy = tl.load(dy_ptr + row * a0 + col * a1, mask=mask, other=0.0).to(tl.float32)
        x = tl.load(x_ptr + row * b0 + col * b1, mask=mask, other=0.0).to(tl.float32)
        r = 1 / tl.sqrt(tl.sum(x * x, axis=0) / n + eps)
        dw += dy * x * r
        g = dy * w
        tl.store(dx_ptr + row * n + col, g * r, mask=mask)
    tl.store(part_ptr + pid * n + col, dw, mask=mask)


@triton.jit
def rmsnorm_sum_kernel(part_ptr, dw_ptr, parts, n, BLOCK: tl.constexpr):
    col = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    total = tl.zeros((BLOCK,), tl.float32)
    for i in range(0, parts):
        total += tl.load(part_ptr + i * n + col, mask=col < n, other=0.0)
    tl.store(dw_ptr + col, total, mask=col < n)


def rmsnorm_backward(dy, x, weight, eps=1e-6, programs=4):
    R, C = x.shape
    dx = torch.empty((R, C), dtype=x.dtype, device=x.device)
    dw = torch.empty_like(weight)
    part = torch.empty((programs, C), dtype=torch.float32, device=x.device)
    rmsnorm_rows_kernel[(programs,)](
        dy, x, weight, dx, part, R, C, eps, *dy.stride(), *x.stride(), BLOCK=triton.next_power_of_2(C))
    rmsnorm_sum_kernel[(triton.cdiv(C, 64),)](part, dw, programs, C, BLOCK=64)
    return dx, dw

# %% exercise="rmsnorm_backward" wrong="weight_left_out_of_the_second_term"
"""The second term of dx is made with dy instead of dy * weight.

Which gradient arrives at the normalised row, before the weight or behind it?
"""
@triton.jit
def rmsnorm_rows_kernel(dy_ptr, x_ptr, w_ptr, dx_ptr, part_ptr, rows, n, eps, a0, a1, b0, b1, BLOCK: tl.constexpr):
    pid, P = tl.program_id(0), tl.num_programs(0)
    col = tl.arange(0, BLOCK)
    mask = col < n
    w = tl.load(w_ptr + col, mask=mask, other=0.0).to(tl.float32)
    dw = tl.zeros((BLOCK,), tl.float32)
    for row in range(pid, rows, P):
        dy = tl.load(dy_ptr + row * a0 + col * a1, mask=mask, other=0.0).to(tl.float32)
        x = tl.load(x_ptr + row * b0 + col * b1, mask=mask, other=0.0).to(tl.float32)
        r = 1 / tl.sqrt(tl.sum(x * x, axis=0) / n + eps)
        dw += dy * x * r
        g = dy * w
        mean = tl.sum(dy * x * r, axis=0) / n
        tl.store(dx_ptr + row * n + col, (g - x * r * mean) * r, mask=mask)
    tl.store(part_ptr + pid * n + col, dw, mask=mask)


@triton.jit
def rmsnorm_sum_kernel(part_ptr, dw_ptr, parts, n, BLOCK: tl.constexpr):
    col = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    total = tl.zeros((BLOCK,), tl.float32)
    for i in range(0, parts):
        total += tl.load(part_ptr + i * n + col, mask=col < n, other=0.0)
    tl.store(dw_ptr + col, total, mask=col < n)


def rmsnorm_backward(dy, x, weight, eps=1e-6, programs=4):
    R, C = x.shape
    dx = torch.empty((R, C), dtype=x.dtype, device=x.device)
    dw = torch.empty_like(weight)
    part = torch.empty((programs, C), dtype=torch.float32, device=x.device)
    rmsnorm_rows_kernel[(programs,)](
        dy, x, weight, dx, part, R, C, eps, *dy.stride(), *x.stride(), BLOCK=triton.next_power_of_2(C))
    rmsnorm_sum_kernel[(triton.cdiv(C, 64),)](part, dw, programs, C, BLOCK=64)
    return dx, dw

# %% exercise="rmsnorm_backward" wrong="sum_in_the_second_term"
"""The second term holds the sum over the row where the mean belongs.

r was made from a mean: which factor does its derivative bring along?
"""
@triton.jit
def rmsnorm_rows_kernel(dy_ptr, x_ptr, w_ptr, dx_ptr, part_ptr, rows, n, eps, a0, a1, b0, b1, BLOCK: tl.constexpr):
    pid, P = tl.program_id(0), tl.num_programs(0)
    col = tl.arange(0, BLOCK)
    mask = col < n
    w = tl.load(w_ptr + col, mask=mask, other=0.0).to(tl.float32)
    dw = tl.zeros((BLOCK,), tl.float32)
    for row in range(pid, rows, P):
        dy = tl.load(dy_ptr + row * a0 + col * a1, mask=mask, other=0.0).to(tl.float32)
        x = tl.load(x_ptr + row * b0 + col * b1, mask=mask, other=0.0).to(tl.float32)
        r = 1 / tl.sqrt(tl.sum(x * x, axis=0) / n + eps)
        dw += dy * x * r
        g = dy * w
        mean = tl.sum(g * x * r, axis=0)
        tl.store(dx_ptr + row * n + col, (g - x * r * mean) * r, mask=mask)
    tl.store(part_ptr + pid * n + col, dw, mask=mask)


@triton.jit
def rmsnorm_sum_kernel(part_ptr, dw_ptr, parts, n, BLOCK: tl.constexpr):
    col = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    total = tl.zeros((BLOCK,), tl.float32)
    for i in range(0, parts):
        total += tl.load(part_ptr + i * n + col, mask=col < n, other=0.0)
    tl.store(dw_ptr + col, total, mask=col < n)


def rmsnorm_backward(dy, x, weight, eps=1e-6, programs=4):
    R, C = x.shape
    dx = torch.empty((R, C), dtype=x.dtype, device=x.device)
    dw = torch.empty_like(weight)
    part = torch.empty((programs, C), dtype=torch.float32, device=x.device)
    rmsnorm_rows_kernel[(programs,)](
        dy, x, weight, dx, part, R, C, eps, *dy.stride(), *x.stride(), BLOCK=triton.next_power_of_2(C))
    rmsnorm_sum_kernel[(triton.cdiv(C, 64),)](part, dw, programs, C, BLOCK=64)
    return dx, dw

# %% exercise="rmsnorm_backward" wrong="dweight_of_x"
"""dweight is the sum of dy * x, with x as it came in, not normalised.

What is the weight multiplied with in the forward pass?
"""
@triton.jit
def rmsnorm_rows_kernel(dy_ptr, x_ptr, w_ptr, dx_ptr, part_ptr, rows, n, eps, a0, a1, b0, b1, BLOCK: tl.constexpr):
    pid, P = tl.program_id(0), tl.num_programs(0)
    col = tl.arange(0, BLOCK)
    mask = col < n
    w = tl.load(w_ptr + col, mask=mask, other=0.0).to(tl.float32)
    dw = tl.zeros((BLOCK,), tl.float32)
    for row in range(pid, rows, P):
        dy = tl.load(dy_ptr + row * a0 + col * a1, mask=mask, other=0.0).to(tl.float32)
        x = tl.load(x_ptr + row * b0 + col * b1, mask=mask, other=0.0).to(tl.float32)
        r = 1 / tl.sqrt(tl.sum(x * x, axis=0) / n + eps)
        dw += dy * x
        g = dy * w
        mean = tl.sum(g * x * r, axis=0) / n
        tl.store(dx_ptr + row * n + col, (g - x * r * mean) * r, mask=mask)
    tl.store(part_ptr + pid * n + col, dw, mask=mask)


@triton.jit
def rmsnorm_sum_kernel(part_ptr, dw_ptr, parts, n, BLOCK: tl.constexpr):
    col = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    total = tl.zeros((BLOCK,), tl.float32)
    for i in range(0, parts):
        total += tl.load(part_ptr + i * n + col, mask=col < n, other=0.0)
    tl.store(dw_ptr + col, total, mask=col < n)


def rmsnorm_backward(dy, x, weight, eps=1e-6, programs=4):
    R, C = x.shape
    dx = torch.empty((R, C), dtype=x.dtype, device=x.device)
    dw = torch.empty_like(weight)
    part = torch.empty((programs, C), dtype=torch.float32, device=x.device)
    rmsnorm_rows_kernel[(programs,)](
        dy, x, weight, dx, part, R, C, eps, *dy.stride(), *x.stride(), BLOCK=triton.next_power_of_2(C))
    rmsnorm_sum_kernel[(triton.cdiv(C, 64),)](part, dw, programs, C, BLOCK=64)
    return dx, dw

# %% exercise="rmsnorm_backward" wrong="mean_over_the_block"
"""The means are taken over BLOCK lanes, so the lanes past the end of the row are counted.

How many numbers has the row, and how many lanes has the block?
"""
@triton.jit
def rmsnorm_rows_kernel(dy_ptr, x_ptr, w_ptr, dx_ptr, part_ptr, rows, n, eps, a0, a1, b0, b1, BLOCK: tl.constexpr):
    pid, P = tl.program_id(0), tl.num_programs(0)
    col = tl.arange(0, BLOCK)
    mask = col < n
    w = tl.load(w_ptr + col, mask=mask, other=0.0).to(tl.float32)
    dw = tl.zeros((BLOCK,), tl.float32)
    for row in range(pid, rows, P):
        dy = tl.load(dy_ptr + row * a0 + col * a1, mask=mask, other=0.0).to(tl.float32)
        x = tl.load(x_ptr + row * b0 + col * b1, mask=mask, other=0.0).to(tl.float32)
        r = 1 / tl.sqrt(tl.sum(x * x, axis=0) / BLOCK + eps)
        dw += dy * x * r
        g = dy * w
        mean = tl.sum(g * x * r, axis=0) / BLOCK
        tl.store(dx_ptr + row * n + col, (g - x * r * mean) * r, mask=mask)
    tl.store(part_ptr + pid * n + col, dw, mask=mask)


@triton.jit
def rmsnorm_sum_kernel(part_ptr, dw_ptr, parts, n, BLOCK: tl.constexpr):
    col = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    total = tl.zeros((BLOCK,), tl.float32)
    for i in range(0, parts):
        total += tl.load(part_ptr + i * n + col, mask=col < n, other=0.0)
    tl.store(dw_ptr + col, total, mask=col < n)


def rmsnorm_backward(dy, x, weight, eps=1e-6, programs=4):
    R, C = x.shape
    dx = torch.empty((R, C), dtype=x.dtype, device=x.device)
    dw = torch.empty_like(weight)
    part = torch.empty((programs, C), dtype=torch.float32, device=x.device)
    rmsnorm_rows_kernel[(programs,)](
        dy, x, weight, dx, part, R, C, eps, *dy.stride(), *x.stride(), BLOCK=triton.next_power_of_2(C))
    rmsnorm_sum_kernel[(triton.cdiv(C, 64),)](part, dw, programs, C, BLOCK=64)
    return dx, dw

# %% exercise="rmsnorm_backward" wrong="eps_outside_the_root"
"""eps is added to the root mean square instead of to the mean of the squares, so these are the gradients of another
function.

Which r did the forward pass use?
"""
@triton.jit
def rmsnorm_rows_kernel(dy_ptr, x_ptr, w_ptr, dx_ptr, part_ptr, rows, n, eps, a0, a1, b0, b1, BLOCK: tl.constexpr):
    pid, P = tl.program_id(0), tl.num_programs(0)
    col = tl.arange(0, BLOCK)
    mask = col < n
    w = tl.load(w_ptr + col, mask=mask, other=0.0).to(tl.float32)
    dw = tl.zeros((BLOCK,), tl.float32)
    for row in range(pid, rows, P):
        dy = tl.load(dy_ptr + row * a0 + col * a1, mask=mask, other=0.0).to(tl.float32)
        x = tl.load(x_ptr + row * b0 + col * b1, mask=mask, other=0.0).to(tl.float32)
        r = 1 / (tl.sqrt(tl.sum(x * x, axis=0) / n) + eps)
        dw += dy * x * r
        g = dy * w
        mean = tl.sum(g * x * r, axis=0) / n
        tl.store(dx_ptr + row * n + col, (g - x * r * mean) * r, mask=mask)
    tl.store(part_ptr + pid * n + col, dw, mask=mask)


@triton.jit
def rmsnorm_sum_kernel(part_ptr, dw_ptr, parts, n, BLOCK: tl.constexpr):
    col = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    total = tl.zeros((BLOCK,), tl.float32)
    for i in range(0, parts):
        total += tl.load(part_ptr + i * n + col, mask=col < n, other=0.0)
    tl.store(dw_ptr + col, total, mask=col < n)


def rmsnorm_backward(dy, x, weight, eps=1e-6, programs=4):
    R, C = x.shape
    dx = torch.empty((R, C), dtype=x.dtype, device=x.device)
    dw = torch.empty_like(weight)
    part = torch.empty((programs, C), dtype=torch.float32, device=x.device)
    rmsnorm_rows_kernel[(programs,)](
        dy, x, weight, dx, part, R, C, eps, *dy.stride(), *x.stride(), BLOCK=triton.next_power_of_2(C))
    rmsnorm_sum_kernel[(triton.cdiv(C, 64),)](part, dw, programs, C, BLOCK=64)
    return dx, dw

# %% exercise="rmsnorm_backward" wrong="remainder_left_out"
"""Every program takes R // programs rows, and the remainder belongs to nobody.

Eleven rows for four programs: who takes the last three?
"""
@triton.jit
def rmsnorm_rows_kernel(dy_ptr, x_ptr, w_ptr, dx_ptr, part_ptr, rows, n, eps, a0, a1, b0, b1, BLOCK: tl.constexpr):
    pid, P = tl.program_id(0), tl.num_programs(0)
    col = tl.arange(0, BLOCK)
    mask = col < n
    w = tl.load(w_ptr + col, mask=mask, other=0.0).to(tl.float32)
    dw = tl.zeros((BLOCK,), tl.float32)
    for row in range(pid, rows // P * P, P):
        dy = tl.load(dy_ptr + row * a0 + col * a1, mask=mask, other=0.0).to(tl.float32)
        x = tl.load(x_ptr + row * b0 + col * b1, mask=mask, other=0.0).to(tl.float32)
        r = 1 / tl.sqrt(tl.sum(x * x, axis=0) / n + eps)
        dw += dy * x * r
        g = dy * w
        mean = tl.sum(g * x * r, axis=0) / n
        tl.store(dx_ptr + row * n + col, (g - x * r * mean) * r, mask=mask)
    tl.store(part_ptr + pid * n + col, dw, mask=mask)


@triton.jit
def rmsnorm_sum_kernel(part_ptr, dw_ptr, parts, n, BLOCK: tl.constexpr):
    col = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    total = tl.zeros((BLOCK,), tl.float32)
    for i in range(0, parts):
        total += tl.load(part_ptr + i * n + col, mask=col < n, other=0.0)
    tl.store(dw_ptr + col, total, mask=col < n)


def rmsnorm_backward(dy, x, weight, eps=1e-6, programs=4):
    R, C = x.shape
    dx = torch.empty((R, C), dtype=x.dtype, device=x.device)
    dw = torch.empty_like(weight)
    part = torch.empty((programs, C), dtype=torch.float32, device=x.device)
    rmsnorm_rows_kernel[(programs,)](
        dy, x, weight, dx, part, R, C, eps, *dy.stride(), *x.stride(), BLOCK=triton.next_power_of_2(C))
    rmsnorm_sum_kernel[(triton.cdiv(C, 64),)](part, dw, programs, C, BLOCK=64)
    return dx, dw

# %% exercise="rmsnorm_backward" wrong="columns_left_out"
"""The second launch has C // 64 programs, so the last columns of dweight are never added up.

How many programs of 64 columns cover 75?
"""
@triton.jit
def rmsnorm_rows_kernel(dy_ptr, x_ptr, w_ptr, dx_ptr, part_ptr, rows, n, eps, a0, a1, b0, b1, BLOCK: tl.constexpr):
    pid, P = tl.program_id(0), tl.num_programs(0)
    col = tl.arange(0, BLOCK)
    mask = col < n
    w = tl.load(w_ptr + col, mask=mask, other=0.0).to(tl.float32)
    dw = tl.zeros((BLOCK,), tl.float32)
    for row in range(pid, rows, P):
        dy = tl.load(dy_ptr + row * a0 + col * a1, mask=mask, other=0.0).to(tl.float32)
        x = tl.load(x_ptr + row * b0 + col * b1, mask=mask, other=0.0).to(tl.float32)
        r = 1 / tl.sqrt(tl.sum(x * x, axis=0) / n + eps)
        dw += dy * x * r
        g = dy * w
        mean = tl.sum(g * x * r, axis=0) / n
        tl.store(dx_ptr + row * n + col, (g - x * r * mean) * r, mask=mask)
    tl.store(part_ptr + pid * n + col, dw, mask=mask)


@triton.jit
def rmsnorm_sum_kernel(part_ptr, dw_ptr, parts, n, BLOCK: tl.constexpr):
    col = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    total = tl.zeros((BLOCK,), tl.float32)
    for i in range(0, parts):
        total += tl.load(part_ptr + i * n + col, mask=col < n, other=0.0)
    tl.store(dw_ptr + col, total, mask=col < n)


def rmsnorm_backward(dy, x, weight, eps=1e-6, programs=4):
    R, C = x.shape
    dx = torch.empty((R, C), dtype=x.dtype, device=x.device)
    dw = torch.empty_like(weight)
    part = torch.empty((programs, C), dtype=torch.float32, device=x.device)
    rmsnorm_rows_kernel[(programs,)](
        dy, x, weight, dx, part, R, C, eps, *dy.stride(), *x.stride(), BLOCK=triton.next_power_of_2(C))
    rmsnorm_sum_kernel[(max(C // 64, 1),)](part, dw, programs, C, BLOCK=64)
    return dx, dw

# %% exercise="rmsnorm_backward" wrong="partial_sums_in_half_precision"
"""The partial sum is kept in the dtype of x: next to a bfloat16 sum of 512 a share of 1 is rounded away.

Which dtype has your accumulator?
"""
@triton.jit
def rmsnorm_rows_kernel(dy_ptr, x_ptr, w_ptr, dx_ptr, part_ptr, rows, n, eps, a0, a1, b0, b1, BLOCK: tl.constexpr):
    pid, P = tl.program_id(0), tl.num_programs(0)
    col = tl.arange(0, BLOCK)
    mask = col < n
    w = tl.load(w_ptr + col, mask=mask, other=0.0).to(tl.float32)
    dw = tl.zeros((BLOCK,), x_ptr.dtype.element_ty)
    for row in range(pid, rows, P):
        dy = tl.load(dy_ptr + row * a0 + col * a1, mask=mask, other=0.0).to(tl.float32)
        x = tl.load(x_ptr + row * b0 + col * b1, mask=mask, other=0.0).to(tl.float32)
        r = 1 / tl.sqrt(tl.sum(x * x, axis=0) / n + eps)
        dw = (dw + dy * x * r).to(x_ptr.dtype.element_ty)
        g = dy * w
        mean = tl.sum(g * x * r, axis=0) / n
        tl.store(dx_ptr + row * n + col, (g - x * r * mean) * r, mask=mask)
    tl.store(part_ptr + pid * n + col, dw, mask=mask)


@triton.jit
def rmsnorm_sum_kernel(part_ptr, dw_ptr, parts, n, BLOCK: tl.constexpr):
    col = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    total = tl.zeros((BLOCK,), tl.float32)
    for i in range(0, parts):
        total += tl.load(part_ptr + i * n + col, mask=col < n, other=0.0)
    tl.store(dw_ptr + col, total, mask=col < n)


def rmsnorm_backward(dy, x, weight, eps=1e-6, programs=4):
    R, C = x.shape
    dx = torch.empty((R, C), dtype=x.dtype, device=x.device)
    dw = torch.empty_like(weight)
    part = torch.empty((programs, C), dtype=torch.float32, device=x.device)
    rmsnorm_rows_kernel[(programs,)](
        dy, x, weight, dx, part, R, C, eps, *dy.stride(), *x.stride(), BLOCK=triton.next_power_of_2(C))
    rmsnorm_sum_kernel[(triton.cdiv(C, 64),)](part, dw, programs, C, BLOCK=64)
    return dx, dw

# %% exercise="rmsnorm_backward" wrong="one_partial_sum_per_row"
"""The launcher starts a program for each row, so the partial sums are as many bytes as the matrix itself, written once
and read once.

What is the argument `programs` for, and where can a program keep the sum over several rows?
"""
@triton.jit
def rmsnorm_rows_kernel(dy_ptr, x_ptr, w_ptr, dx_ptr, part_ptr, rows, n, eps, a0, a1, b0, b1, BLOCK: tl.constexpr):
    pid, P = tl.program_id(0), tl.num_programs(0)
    col = tl.arange(0, BLOCK)
    mask = col < n
    w = tl.load(w_ptr + col, mask=mask, other=0.0).to(tl.float32)
    dw = tl.zeros((BLOCK,), tl.float32)
    for row in range(pid, rows, P):
        dy = tl.load(dy_ptr + row * a0 + col * a1, mask=mask, other=0.0).to(tl.float32)
        x = tl.load(x_ptr + row * b0 + col * b1, mask=mask, other=0.0).to(tl.float32)
        r = 1 / tl.sqrt(tl.sum(x * x, axis=0) / n + eps)
        dw += dy * x * r
        g = dy * w
        mean = tl.sum(g * x * r, axis=0) / n
        tl.store(dx_ptr + row * n + col, (g - x * r * mean) * r, mask=mask)
    tl.store(part_ptr + pid * n + col, dw, mask=mask)


@triton.jit
def rmsnorm_sum_kernel(part_ptr, dw_ptr, parts, n, BLOCK: tl.constexpr):
    col = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    total = tl.zeros((BLOCK,), tl.float32)
    for i in range(0, parts):
        total += tl.load(part_ptr + i * n + col, mask=col < n, other=0.0)
    tl.store(dw_ptr + col, total, mask=col < n)


def rmsnorm_backward(dy, x, weight, eps=1e-6, programs=4):
    R, C = x.shape
    programs = R
    dx = torch.empty((R, C), dtype=x.dtype, device=x.device)
    dw = torch.empty_like(weight)
    part = torch.empty((programs, C), dtype=torch.float32, device=x.device)
    rmsnorm_rows_kernel[(programs,)](
        dy, x, weight, dx, part, R, C, eps, *dy.stride(), *x.stride(), BLOCK=triton.next_power_of_2(C))
    rmsnorm_sum_kernel[(triton.cdiv(C, 64),)](part, dw, programs, C, BLOCK=64)
    return dx, dw

# %% exercise="rmsnorm_backward" wrong="programs_add_to_dweight"
"""Every program loads dweight, adds its share and stores it back, all at the same time: the later store wipes out what
the earlier ones added.

Two programs load the same old value. Whose share is left?
"""
@triton.jit
def rmsnorm_rows_kernel(dy_ptr, x_ptr, w_ptr, dx_ptr, dw_ptr, rows, n, eps, a0, a1, b0, b1, BLOCK: tl.constexpr):
    pid, P = tl.program_id(0), tl.num_programs(0)
    col = tl.arange(0, BLOCK)
    mask = col < n
    w = tl.load(w_ptr + col, mask=mask, other=0.0).to(tl.float32)
    dw = tl.zeros((BLOCK,), tl.float32)
    for row in range(pid, rows, P):
        dy = tl.load(dy_ptr + row * a0 + col * a1, mask=mask, other=0.0).to(tl.float32)
        x = tl.load(x_ptr + row * b0 + col * b1, mask=mask, other=0.0).to(tl.float32)
        r = 1 / tl.sqrt(tl.sum(x * x, axis=0) / n + eps)
        dw += dy * x * r
        g = dy * w
        mean = tl.sum(g * x * r, axis=0) / n
        tl.store(dx_ptr + row * n + col, (g - x * r * mean) * r, mask=mask)
    dw += tl.load(dw_ptr + col, mask=mask, other=0.0).to(tl.float32)
    tl.store(dw_ptr + col, dw, mask=mask)


def rmsnorm_backward(dy, x, weight, eps=1e-6, programs=4):
    R, C = x.shape
    dx = torch.empty((R, C), dtype=x.dtype, device=x.device)
    dw = torch.zeros_like(weight)
    rmsnorm_rows_kernel[(programs,)](
        dy, x, weight, dx, dw, R, C, eps, *dy.stride(), *x.stride(), BLOCK=triton.next_power_of_2(C))
    return dx, dw

# %% exercise="rmsnorm_backward" wrong="atomic_sum"
"""The programs add their shares to dweight atomically: each share is rounded to the dtype of the weight, and with the
order of the programs the last bits change from run to run.

Who can add the shares up in float32, in an order that never changes?
"""
@triton.jit
def rmsnorm_rows_kernel(dy_ptr, x_ptr, w_ptr, dx_ptr, dw_ptr, rows, n, eps, a0, a1, b0, b1, BLOCK: tl.constexpr):
    pid, P = tl.program_id(0), tl.num_programs(0)
    col = tl.arange(0, BLOCK)
    mask = col < n
    w = tl.load(w_ptr + col, mask=mask, other=0.0).to(tl.float32)
    dw = tl.zeros((BLOCK,), tl.float32)
    for row in range(pid, rows, P):
        dy = tl.load(dy_ptr + row * a0 + col * a1, mask=mask, other=0.0).to(tl.float32)
        x = tl.load(x_ptr + row * b0 + col * b1, mask=mask, other=0.0).to(tl.float32)
        r = 1 / tl.sqrt(tl.sum(x * x, axis=0) / n + eps)
        dw += dy * x * r
        g = dy * w
        mean = tl.sum(g * x * r, axis=0) / n
        tl.store(dx_ptr + row * n + col, (g - x * r * mean) * r, mask=mask)
    tl.atomic_add(dw_ptr + col, dw.to(dw_ptr.dtype.element_ty), mask=mask)


def rmsnorm_backward(dy, x, weight, eps=1e-6, programs=4):
    R, C = x.shape
    dx = torch.empty((R, C), dtype=x.dtype, device=x.device)
    dw = torch.zeros_like(weight)
    rmsnorm_rows_kernel[(programs,)](
        dy, x, weight, dx, dw, R, C, eps, *dy.stride(), *x.stride(), BLOCK=triton.next_power_of_2(C))
    return dx, dw

# %% exercise="rmsnorm_backward" wrong="partial_sums_begin_with_nothing"
"""A program begins its partial sum with what torch.empty left in memory.

Who wrote these numbers before your program read them?
"""
@triton.jit
def rmsnorm_rows_kernel(dy_ptr, x_ptr, w_ptr, dx_ptr, part_ptr, rows, n, eps, a0, a1, b0, b1, BLOCK: tl.constexpr):
    pid, P = tl.program_id(0), tl.num_programs(0)
    col = tl.arange(0, BLOCK)
    mask = col < n
    w = tl.load(w_ptr + col, mask=mask, other=0.0).to(tl.float32)
    dw = tl.load(part_ptr + pid * n + col, mask=mask, other=0.0)
    for row in range(pid, rows, P):
        dy = tl.load(dy_ptr + row * a0 + col * a1, mask=mask, other=0.0).to(tl.float32)
        x = tl.load(x_ptr + row * b0 + col * b1, mask=mask, other=0.0).to(tl.float32)
        r = 1 / tl.sqrt(tl.sum(x * x, axis=0) / n + eps)
        dw += dy * x * r
        g = dy * w
        mean = tl.sum(g * x * r, axis=0) / n
        tl.store(dx_ptr + row * n + col, (g - x * r * mean) * r, mask=mask)
    tl.store(part_ptr + pid * n + col, dw, mask=mask)


@triton.jit
def rmsnorm_sum_kernel(part_ptr, dw_ptr, parts, n, BLOCK: tl.constexpr):
    col = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    total = tl.zeros((BLOCK,), tl.float32)
    for i in range(0, parts):
        total += tl.load(part_ptr + i * n + col, mask=col < n, other=0.0)
    tl.store(dw_ptr + col, total, mask=col < n)


def rmsnorm_backward(dy, x, weight, eps=1e-6, programs=4):
    R, C = x.shape
    dx = torch.empty((R, C), dtype=x.dtype, device=x.device)
    dw = torch.empty_like(weight)
    part = torch.empty((programs, C), dtype=torch.float32, device=x.device)
    rmsnorm_rows_kernel[(programs,)](
        dy, x, weight, dx, part, R, C, eps, *dy.stride(), *x.stride(), BLOCK=triton.next_power_of_2(C))
    rmsnorm_sum_kernel[(triton.cdiv(C, 64),)](part, dw, programs, C, BLOCK=64)
    return dx, dw

# %% exercise="rmsnorm_backward" wrong="torch_sums_the_parts"
"""The partial sums are added by torch; no kernel of yours writes dweight.

The second launch is missing. Which program adds up which columns?
"""
@triton.jit
def rmsnorm_rows_kernel(dy_ptr, x_ptr, w_ptr, dx_ptr, part_ptr, rows, n, eps, a0, a1, b0, b1, BLOCK: tl.constexpr):
    pid, P = tl.program_id(0), tl.num_programs(0)
    col = tl.arange(0, BLOCK)
    mask = col < n
    w = tl.load(w_ptr + col, mask=mask, other=0.0).to(tl.float32)
    dw = tl.zeros((BLOCK,), tl.float32)
    for row in range(pid, rows, P):
        dy = tl.load(dy_ptr + row * a0 + col * a1, mask=mask, other=0.0).to(tl.float32)
        x = tl.load(x_ptr + row * b0 + col * b1, mask=mask, other=0.0).to(tl.float32)
        r = 1 / tl.sqrt(tl.sum(x * x, axis=0) / n + eps)
        dw += dy * x * r
        g = dy * w
        mean = tl.sum(g * x * r, axis=0) / n
        tl.store(dx_ptr + row * n + col, (g - x * r * mean) * r, mask=mask)
    tl.store(part_ptr + pid * n + col, dw, mask=mask)


def rmsnorm_backward(dy, x, weight, eps=1e-6, programs=4):
    R, C = x.shape
    dx = torch.empty((R, C), dtype=x.dtype, device=x.device)
    part = torch.empty((programs, C), dtype=torch.float32, device=x.device)
    rmsnorm_rows_kernel[(programs,)](
        dy, x, weight, dx, part, R, C, eps, *dy.stride(), *x.stride(), BLOCK=triton.next_power_of_2(C))
    return dx, part.sum(0).to(weight.dtype)

# %% exercise="rmsnorm_backward" wrong="rows_read_again_for_dweight"
"""The second launch walks over all of dy and x once more for dweight.

When dx was computed, dy and the normalised x were at hand. What can be kept of them?
"""
@triton.jit
def rmsnorm_dx_kernel(dy_ptr, x_ptr, w_ptr, dx_ptr, r_ptr, n, eps, a0, a1, b0, b1, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    col = tl.arange(0, BLOCK)
    mask = col < n
    w = tl.load(w_ptr + col, mask=mask, other=0.0).to(tl.float32)
    dy = tl.load(dy_ptr + row * a0 + col * a1, mask=mask, other=0.0).to(tl.float32)
    x = tl.load(x_ptr + row * b0 + col * b1, mask=mask, other=0.0).to(tl.float32)
    r = 1 / tl.sqrt(tl.sum(x * x, axis=0) / n + eps)
    mean = tl.sum(dy * w * x * r, axis=0) / n
    tl.store(dx_ptr + row * n + col, (dy * w - x * r * mean) * r, mask=mask)
    tl.store(r_ptr + row, r)


@triton.jit
def rmsnorm_dweight_kernel(dy_ptr, x_ptr, r_ptr, dw_ptr, rows, n, a0, a1, b0, b1, BLOCK: tl.constexpr):
    col = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = col < n
    total = tl.zeros((BLOCK,), tl.float32)
    for row in range(0, rows):
        dy = tl.load(dy_ptr + row * a0 + col * a1, mask=mask, other=0.0).to(tl.float32)
        x = tl.load(x_ptr + row * b0 + col * b1, mask=mask, other=0.0).to(tl.float32)
        total += dy * x * tl.load(r_ptr + row)
    tl.store(dw_ptr + col, total, mask=mask)


def rmsnorm_backward(dy, x, weight, eps=1e-6, programs=4):
    R, C = x.shape
    dx = torch.empty((R, C), dtype=x.dtype, device=x.device)
    dw = torch.empty_like(weight)
    r = torch.empty(R, dtype=torch.float32, device=x.device)
    strides = (*dy.stride(), *x.stride())
    rmsnorm_dx_kernel[(R,)](dy, x, weight, dx, r, C, eps, *strides, BLOCK=triton.next_power_of_2(C))
    rmsnorm_dweight_kernel[(triton.cdiv(C, 64),)](dy, x, r, dw, R, C, *strides, BLOCK=64)
    return dx, dw

# %% exercise="rmsnorm_backward" wrong="strides_of_x_for_dy"
"""dy is read with the strides of x, but the two lie in memory in ways of their own.

Which tensor do you have to ask for a0 and a1?
"""
@triton.jit
def rmsnorm_rows_kernel(dy_ptr, x_ptr, w_ptr, dx_ptr, part_ptr, rows, n, eps, a0, a1, b0, b1, BLOCK: tl.constexpr):
    pid, P = tl.program_id(0), tl.num_programs(0)
    col = tl.arange(0, BLOCK)
    mask = col < n
    w = tl.load(w_ptr + col, mask=mask, other=0.0).to(tl.float32)
    dw = tl.zeros((BLOCK,), tl.float32)
    for row in range(pid, rows, P):
        dy = tl.load(dy_ptr + row * a0 + col * a1, mask=mask, other=0.0).to(tl.float32)
        x = tl.load(x_ptr + row * b0 + col * b1, mask=mask, other=0.0).to(tl.float32)
        r = 1 / tl.sqrt(tl.sum(x * x, axis=0) / n + eps)
        dw += dy * x * r
        g = dy * w
        mean = tl.sum(g * x * r, axis=0) / n
        tl.store(dx_ptr + row * n + col, (g - x * r * mean) * r, mask=mask)
    tl.store(part_ptr + pid * n + col, dw, mask=mask)


@triton.jit
def rmsnorm_sum_kernel(part_ptr, dw_ptr, parts, n, BLOCK: tl.constexpr):
    col = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    total = tl.zeros((BLOCK,), tl.float32)
    for i in range(0, parts):
        total += tl.load(part_ptr + i * n + col, mask=col < n, other=0.0)
    tl.store(dw_ptr + col, total, mask=col < n)


def rmsnorm_backward(dy, x, weight, eps=1e-6, programs=4):
    R, C = x.shape
    dx = torch.empty((R, C), dtype=x.dtype, device=x.device)
    dw = torch.empty_like(weight)
    part = torch.empty((programs, C), dtype=torch.float32, device=x.device)
    rmsnorm_rows_kernel[(programs,)](
        dy, x, weight, dx, part, R, C, eps, *x.stride(), *x.stride(), BLOCK=triton.next_power_of_2(C))
    rmsnorm_sum_kernel[(triton.cdiv(C, 64),)](part, dw, programs, C, BLOCK=64)
    return dx, dw

# %% exercise="rmsnorm_backward" wrong="no_masks"
"""The rows are not masked: the lanes past their end take the next row's numbers into both sums, and write over it.

How many lanes has the block, and how many numbers has the row?
"""
@triton.jit
def rmsnorm_rows_kernel(dy_ptr, x_ptr, w_ptr, dx_ptr, part_ptr, rows, n, eps, a0, a1, b0, b1, BLOCK: tl.constexpr):
    pid, P = tl.program_id(0), tl.num_programs(0)
    col = tl.arange(0, BLOCK)
    w = tl.load(w_ptr + col).to(tl.float32)
    dw = tl.zeros((BLOCK,), tl.float32)
    for row in range(pid, rows, P):
        dy = tl.load(dy_ptr + row * a0 + col * a1).to(tl.float32)
        x = tl.load(x_ptr + row * b0 + col * b1).to(tl.float32)
        r = 1 / tl.sqrt(tl.sum(x * x, axis=0) / n + eps)
        dw += dy * x * r
        g = dy * w
        mean = tl.sum(g * x * r, axis=0) / n
        tl.store(dx_ptr + row * n + col, (g - x * r * mean) * r)
    tl.store(part_ptr + pid * n + col, dw)


@triton.jit
def rmsnorm_sum_kernel(part_ptr, dw_ptr, parts, n, BLOCK: tl.constexpr):
    col = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    total = tl.zeros((BLOCK,), tl.float32)
    for i in range(0, parts):
        total += tl.load(part_ptr + i * n + col, mask=col < n, other=0.0)
    tl.store(dw_ptr + col, total, mask=col < n)


def rmsnorm_backward(dy, x, weight, eps=1e-6, programs=4):
    R, C = x.shape
    dx = torch.empty((R, C), dtype=x.dtype, device=x.device)
    dw = torch.empty_like(weight)
    part = torch.empty((programs, C), dtype=torch.float32, device=x.device)
    rmsnorm_rows_kernel[(programs,)](
        dy, x, weight, dx, part, R, C, eps, *dy.stride(), *x.stride(), BLOCK=triton.next_power_of_2(C))
    rmsnorm_sum_kernel[(triton.cdiv(C, 64),)](part, dw, programs, C, BLOCK=64)
    return dx, dw

# %% exercise="residual_rmsnorm" wrong="normalises_x_alone"
"""The sum is stored, but y is the normalised x: the residual stream never reaches the next sublayer.

What does a pre-norm sublayer read: the last output, or the stream?
"""
@triton.jit
def residual_rmsnorm_kernel(
    x_ptr, old_ptr, w_ptr, y_ptr, total_ptr, n, eps, x0, x1, o0, o1, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0)
    col = tl.arange(0, BLOCK)
    mask = col < n
    x = tl.load(x_ptr + row * x0 + col * x1, mask=mask, other=0.0).to(tl.float32)
    old = tl.load(old_ptr + row * o0 + col * o1, mask=mask, other=0.0).to(tl.float32)
    w = tl.load(w_ptr + col, mask=mask, other=0.0).to(tl.float32)
    total = x + old
    r = 1 / tl.sqrt(tl.sum(x * x, axis=0) / n + eps)
    tl.store(total_ptr + row * n + col, total, mask=mask)
    tl.store(y_ptr + row * n + col, x * r * w, mask=mask)


def residual_rmsnorm(x, residual, weight, eps=1e-6):
    R, C = x.shape
    y, total = (torch.empty((R, C), dtype=x.dtype, device=x.device) for _ in range(2))
    residual_rmsnorm_kernel[(R,)](
        x, residual, weight, y, total, C, eps, *x.stride(), *residual.stride(), BLOCK=triton.next_power_of_2(C))
    return y, total

# %% exercise="residual_rmsnorm" wrong="root_of_x_alone"
"""The sum is divided by the root mean square of x alone.

Which row must have root mean square 1 in the end?
"""
@triton.jit
def residual_rmsnorm_kernel(
    x_ptr, old_ptr, w_ptr, y_ptr, total_ptr, n, eps, x0, x1, o0, o1, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0)
    col = tl.arange(0, BLOCK)
    mask = col < n
    x = tl.load(x_ptr + row * x0 + col * x1, mask=mask, other=0.0).to(tl.float32)
    old = tl.load(old_ptr + row * o0 + col * o1, mask=mask, other=0.0).to(tl.float32)
    w = tl.load(w_ptr + col, mask=mask, other=0.0).to(tl.float32)
    total = x + old
    r = 1 / tl.sqrt(tl.sum(x * x, axis=0) / n + eps)
    tl.store(total_ptr + row * n + col, total, mask=mask)
    tl.store(y_ptr + row * n + col, total * r * w, mask=mask)


def residual_rmsnorm(x, residual, weight, eps=1e-6):
    R, C = x.shape
    y, total = (torch.empty((R, C), dtype=x.dtype, device=x.device) for _ in range(2))
    residual_rmsnorm_kernel[(R,)](
        x, residual, weight, y, total, C, eps, *x.stride(), *residual.stride(), BLOCK=triton.next_power_of_2(C))
    return y, total

# %% exercise="residual_rmsnorm" wrong="total_is_the_old_residual"
"""The second result is the residual as it came in: the sublayer's output is lost for all later layers.

What should the next layer add to?
"""
@triton.jit
def residual_rmsnorm_kernel(
    x_ptr, old_ptr, w_ptr, y_ptr, total_ptr, n, eps, x0, x1, o0, o1, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0)
    col = tl.arange(0, BLOCK)
    mask = col < n
    x = tl.load(x_ptr + row * x0 + col * x1, mask=mask, other=0.0).to(tl.float32)
    old = tl.load(old_ptr + row * o0 + col * o1, mask=mask, other=0.0).to(tl.float32)
    w = tl.load(w_ptr + col, mask=mask, other=0.0).to(tl.float32)
    total = x + old
    r = 1 / tl.sqrt(tl.sum(total * total, axis=0) / n + eps)
    tl.store(total_ptr + row * n + col, old, mask=mask)
    tl.store(y_ptr + row * n + col, total * r * w, mask=mask)


def residual_rmsnorm(x, residual, weight, eps=1e-6):
    R, C = x.shape
    y, total = (torch.empty((R, C), dtype=x.dtype, device=x.device) for _ in range(2))
    residual_rmsnorm_kernel[(R,)](
        x, residual, weight, y, total, C, eps, *x.stride(), *residual.stride(), BLOCK=triton.next_power_of_2(C))
    return y, total

# %% exercise="residual_rmsnorm" wrong="results_swapped"
"""The sum is returned first and the normalised rows second.

In which order does the docstring name the two results?
"""
@triton.jit
def residual_rmsnorm_kernel(
    x_ptr, old_ptr, w_ptr, y_ptr, total_ptr, n, eps, x0, x1, o0, o1, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0)
    col = tl.arange(0, BLOCK)
    mask = col < n
    x = tl.load(x_ptr + row * x0 + col * x1, mask=mask, other=0.0).to(tl.float32)
    old = tl.load(old_ptr + row * o0 + col * o1, mask=mask, other=0.0).to(tl.float32)
    w = tl.load(w_ptr + col, mask=mask, other=0.0).to(tl.float32)
    total = x + old
    r = 1 / tl.sqrt(tl.sum(total * total, axis=0) / n + eps)
    tl.store(total_ptr + row * n + col, total, mask=mask)
    tl.store(y_ptr + row * n + col, total * r * w, mask=mask)


def residual_rmsnorm(x, residual, weight, eps=1e-6):
    R, C = x.shape
    y, total = (torch.empty((R, C), dtype=x.dtype, device=x.device) for _ in range(2))
    residual_rmsnorm_kernel[(R,)](
        x, residual, weight, y, total, C, eps, *x.stride(), *residual.stride(), BLOCK=triton.next_power_of_2(C))
    return total, y

# %% exercise="residual_rmsnorm" wrong="mean_over_the_block"
"""The sum of the squares is divided by BLOCK, so the lanes past the end of the row are counted in the mean.

How many numbers has the row, and how many lanes has the block?
"""
@triton.jit
def residual_rmsnorm_kernel(
    x_ptr, old_ptr, w_ptr, y_ptr, total_ptr, n, eps, x0, x1, o0, o1, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0)
    col = tl.arange(0, BLOCK)
    mask = col < n
    x = tl.load(x_ptr + row * x0 + col * x1, mask=mask, other=0.0).to(tl.float32)
    old = tl.load(old_ptr + row * o0 + col * o1, mask=mask, other=0.0).to(tl.float32)
    w = tl.load(w_ptr + col, mask=mask, other=0.0).to(tl.float32)
    total = x + old
    r = 1 / tl.sqrt(tl.sum(total * total, axis=0) / BLOCK + eps)
    tl.store(total_ptr + row * n + col, total, mask=mask)
    tl.store(y_ptr + row * n + col, total * r * w, mask=mask)


def residual_rmsnorm(x, residual, weight, eps=1e-6):
    R, C = x.shape
    y, total = (torch.empty((R, C), dtype=x.dtype, device=x.device) for _ in range(2))
    residual_rmsnorm_kernel[(R,)](
        x, residual, weight, y, total, C, eps, *x.stride(), *residual.stride(), BLOCK=triton.next_power_of_2(C))
    return y, total

# %% exercise="residual_rmsnorm" wrong="eps_outside_the_root"
"""eps is added to the root mean square instead of to the mean of the squares.

Where does eps stand in rmsnorm_forward?
"""
@triton.jit
def residual_rmsnorm_kernel(
    x_ptr, old_ptr, w_ptr, y_ptr, total_ptr, n, eps, x0, x1, o0, o1, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0)
    col = tl.arange(0, BLOCK)
    mask = col < n
    x = tl.load(x_ptr + row * x0 + col * x1, mask=mask, other=0.0).to(tl.float32)
    old = tl.load(old_ptr + row * o0 + col * o1, mask=mask, other=0.0).to(tl.float32)
    w = tl.load(w_ptr + col, mask=mask, other=0.0).to(tl.float32)
    total = x + old
    r = 1 / (tl.sqrt(tl.sum(total * total, axis=0) / n) + eps)
    tl.store(total_ptr + row * n + col, total, mask=mask)
    tl.store(y_ptr + row * n + col, total * r * w, mask=mask)


def residual_rmsnorm(x, residual, weight, eps=1e-6):
    R, C = x.shape
    y, total = (torch.empty((R, C), dtype=x.dtype, device=x.device) for _ in range(2))
    residual_rmsnorm_kernel[(R,)](
        x, residual, weight, y, total, C, eps, *x.stride(), *residual.stride(), BLOCK=triton.next_power_of_2(C))
    return y, total

# %% exercise="residual_rmsnorm" wrong="squares_in_half_precision"
"""The sum is squared in the dtype of x: 400 times 400 is more than float16 can hold.

Which numbers must be float32 before they are multiplied?
"""
@triton.jit
def residual_rmsnorm_kernel(
    x_ptr, old_ptr, w_ptr, y_ptr, total_ptr, n, eps, x0, x1, o0, o1, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0)
    col = tl.arange(0, BLOCK)
    mask = col < n
    x = tl.load(x_ptr + row * x0 + col * x1, mask=mask, other=0.0).to(tl.float32)
    old = tl.load(old_ptr + row * o0 + col * o1, mask=mask, other=0.0).to(tl.float32)
    w = tl.load(w_ptr + col, mask=mask, other=0.0).to(tl.float32)
    total = x + old
    half = total.to(x_ptr.dtype.element_ty)
    r = 1 / tl.sqrt(tl.sum((half * half).to(tl.float32), axis=0) / n + eps)
    tl.store(total_ptr + row * n + col, total, mask=mask)
    tl.store(y_ptr + row * n + col, total * r * w, mask=mask)


def residual_rmsnorm(x, residual, weight, eps=1e-6):
    R, C = x.shape
    y, total = (torch.empty((R, C), dtype=x.dtype, device=x.device) for _ in range(2))
    residual_rmsnorm_kernel[(R,)](
        x, residual, weight, y, total, C, eps, *x.stride(), *residual.stride(), BLOCK=triton.next_power_of_2(C))
    return y, total

# %% exercise="residual_rmsnorm" wrong="residual_updated_in_place"
"""The sum is written over the residual, which belongs to the caller.

Backward still needs the old stream. Where may the sum go instead?
"""
@triton.jit
def residual_rmsnorm_kernel(
    x_ptr, old_ptr, w_ptr, y_ptr, total_ptr, n, eps, x0, x1, o0, o1, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0)
    col = tl.arange(0, BLOCK)
    mask = col < n
    x = tl.load(x_ptr + row * x0 + col * x1, mask=mask, other=0.0).to(tl.float32)
    old = tl.load(old_ptr + row * o0 + col * o1, mask=mask, other=0.0).to(tl.float32)
    w = tl.load(w_ptr + col, mask=mask, other=0.0).to(tl.float32)
    total = x + old
    r = 1 / tl.sqrt(tl.sum(total * total, axis=0) / n + eps)
    tl.store(total_ptr + row * n + col, total, mask=mask)
    tl.store(old_ptr + row * o0 + col * o1, total, mask=mask)
    tl.store(y_ptr + row * n + col, total * r * w, mask=mask)


def residual_rmsnorm(x, residual, weight, eps=1e-6):
    R, C = x.shape
    y, total = (torch.empty((R, C), dtype=x.dtype, device=x.device) for _ in range(2))
    residual_rmsnorm_kernel[(R,)](
        x, residual, weight, y, total, C, eps, *x.stride(), *residual.stride(), BLOCK=triton.next_power_of_2(C))
    return y, total

# %% exercise="residual_rmsnorm" wrong="sum_read_back"
"""The sum is stored and loaded again at once. It costs a read, and without a barrier a thread may read what its
neighbour has not written yet.

Which variable holds the sum already?
"""
@triton.jit
def residual_rmsnorm_kernel(
    x_ptr, old_ptr, w_ptr, y_ptr, total_ptr, n, eps, x0, x1, o0, o1, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0)
    col = tl.arange(0, BLOCK)
    mask = col < n
    x = tl.load(x_ptr + row * x0 + col * x1, mask=mask, other=0.0).to(tl.float32)
    old = tl.load(old_ptr + row * o0 + col * o1, mask=mask, other=0.0).to(tl.float32)
    w = tl.load(w_ptr + col, mask=mask, other=0.0).to(tl.float32)
    total = x + old
    tl.store(total_ptr + row * n + col, total, mask=mask)
    total = tl.load(total_ptr + row * n + col, mask=mask, other=0.0).to(tl.float32)
    r = 1 / tl.sqrt(tl.sum(total * total, axis=0) / n + eps)
    tl.store(y_ptr + row * n + col, total * r * w, mask=mask)


def residual_rmsnorm(x, residual, weight, eps=1e-6):
    R, C = x.shape
    y, total = (torch.empty((R, C), dtype=x.dtype, device=x.device) for _ in range(2))
    residual_rmsnorm_kernel[(R,)](
        x, residual, weight, y, total, C, eps, *x.stride(), *residual.stride(), BLOCK=triton.next_power_of_2(C))
    return y, total

# %% exercise="residual_rmsnorm" wrong="two_launches"
"""One launch adds, a second one reads the sum back to normalise it: right numbers, a quarter more bytes.

After the add the row is in registers. What keeps you from going on there?
"""
@triton.jit
def residual_add_kernel(x_ptr, old_ptr, total_ptr, n, x0, x1, o0, o1, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    col = tl.arange(0, BLOCK)
    mask = col < n
    x = tl.load(x_ptr + row * x0 + col * x1, mask=mask, other=0.0).to(tl.float32)
    old = tl.load(old_ptr + row * o0 + col * o1, mask=mask, other=0.0).to(tl.float32)
    tl.store(total_ptr + row * n + col, x + old, mask=mask)


@triton.jit
def residual_rmsnorm_kernel(total_ptr, w_ptr, y_ptr, n, eps, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    col = tl.arange(0, BLOCK)
    mask = col < n
    total = tl.load(total_ptr + row * n + col, mask=mask, other=0.0).to(tl.float32)
    w = tl.load(w_ptr + col, mask=mask, other=0.0).to(tl.float32)
    r = 1 / tl.sqrt(tl.sum(total * total, axis=0) / n + eps)
    tl.store(y_ptr + row * n + col, total * r * w, mask=mask)


def residual_rmsnorm(x, residual, weight, eps=1e-6):
    R, C = x.shape
    y, total = (torch.empty((R, C), dtype=x.dtype, device=x.device) for _ in range(2))
    block = triton.next_power_of_2(C)
    residual_add_kernel[(R,)](x, residual, total, C, *x.stride(), *residual.stride(), BLOCK=block)
    residual_rmsnorm_kernel[(R,)](total, weight, y, C, eps, BLOCK=block)
    return y, total

# %% exercise="residual_rmsnorm" wrong="strides_of_x_for_the_residual"
"""The residual is read with the strides of x, but the two lie in memory in ways of their own.

Which tensor do you have to ask for o0 and o1?
"""
@triton.jit
def residual_rmsnorm_kernel(
    x_ptr, old_ptr, w_ptr, y_ptr, total_ptr, n, eps, x0, x1, o0, o1, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0)
    col = tl.arange(0, BLOCK)
    mask = col < n
    x = tl.load(x_ptr + row * x0 + col * x1, mask=mask, other=0.0).to(tl.float32)
    old = tl.load(old_ptr + row * o0 + col * o1, mask=mask, other=0.0).to(tl.float32)
    w = tl.load(w_ptr + col, mask=mask, other=0.0).to(tl.float32)
    total = x + old
    r = 1 / tl.sqrt(tl.sum(total * total, axis=0) / n + eps)
    tl.store(total_ptr + row * n + col, total, mask=mask)
    tl.store(y_ptr + row * n + col, total * r * w, mask=mask)


def residual_rmsnorm(x, residual, weight, eps=1e-6):
    R, C = x.shape
    y, total = (torch.empty((R, C), dtype=x.dtype, device=x.device) for _ in range(2))
    residual_rmsnorm_kernel[(R,)](
        x, residual, weight, y, total, C, eps, *x.stride(), *x.stride(), BLOCK=triton.next_power_of_2(C))
    return y, total

# %% exercise="residual_rmsnorm" wrong="no_masks"
"""Nothing is masked: the lanes past the end of the row read and write numbers that are not theirs.

Which programs touch memory past the end? Compare the column's number with n.
"""
@triton.jit
def residual_rmsnorm_kernel(
    x_ptr, old_ptr, w_ptr, y_ptr, total_ptr, n, eps, x0, x1, o0, o1, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0)
    col = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + row * x0 + col * x1).to(tl.float32)
    old = tl.load(old_ptr + row * o0 + col * o1).to(tl.float32)
    w = tl.load(w_ptr + col).to(tl.float32)
    total = x + old
    r = 1 / tl.sqrt(tl.sum(total * total, axis=0) / n + eps)
    tl.store(total_ptr + row * n + col, total)
    tl.store(y_ptr + row * n + col, total * r * w)


def residual_rmsnorm(x, residual, weight, eps=1e-6):
    R, C = x.shape
    y, total = (torch.empty((R, C), dtype=x.dtype, device=x.device) for _ in range(2))
    residual_rmsnorm_kernel[(R,)](
        x, residual, weight, y, total, C, eps, *x.stride(), *residual.stride(), BLOCK=triton.next_power_of_2(C))
    return y, total

# %% exercise="residual_rmsnorm" wrong="torch_adds"
"""torch adds the two before the launch, so the sum is written and read back, and the second result comes from no
kernel.

Which two pointers does the kernel need to add the rows itself?
"""
@triton.jit
def residual_rmsnorm_kernel(total_ptr, w_ptr, y_ptr, n, eps, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    col = tl.arange(0, BLOCK)
    mask = col < n
    total = tl.load(total_ptr + row * n + col, mask=mask, other=0.0).to(tl.float32)
    w = tl.load(w_ptr + col, mask=mask, other=0.0).to(tl.float32)
    r = 1 / tl.sqrt(tl.sum(total * total, axis=0) / n + eps)
    tl.store(y_ptr + row * n + col, total * r * w, mask=mask)


def residual_rmsnorm(x, residual, weight, eps=1e-6):
    R, C = x.shape
    total = (x + residual).contiguous()
    y = torch.empty_like(total)
    residual_rmsnorm_kernel[(R,)](total, weight, y, C, eps, BLOCK=triton.next_power_of_2(C))
    return y, total

# %% exercise="cross_entropy" wrong="no_maximum"
"""The maximum is not subtracted: exp(300) is infinite, exp(-500) is zero, and the loss is infinite or NaN.

You wrote a stable softmax in unit 02. Which walk is missing here?
"""
@triton.jit
def cross_entropy_kernel(z_ptr, t_ptr, loss_ptr, grad_ptr, V, ignore, s0, s1, ONE: tl.constexpr, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    lane = tl.arange(0, BLOCK)
    t = tl.load(t_ptr + row)
    keep = tl.where(t == ignore, 0.0, 1.0)
    z = tl.zeros((BLOCK,), tl.float32)
    m = 0.0
    s = 0.0
    own = 0.0
    for c in range(0, V, BLOCK):
        at = c + lane
        z = tl.load(z_ptr + row * s0 + at * s1, mask=at < V, other=-float("inf")).to(tl.float32)
        new = 0.0
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

# %% exercise="cross_entropy" wrong="running_sum_not_rescaled"
"""When a later block raises the maximum, the sum so far is not rescaled to it.

The old sum was relative to the old maximum. By which factor does it change?
"""
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
        s = s + tl.sum(tl.exp(z - new), axis=0)
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

# %% exercise="cross_entropy" wrong="zero_in_the_tail"
"""The lanes past the end of the row hold 0: each of them adds exp(0 - maximum) to the sum, and in a row that is
negative everywhere they win the maximum.

What value can never win a maximum, and adds nothing to a sum of exponentials?
"""
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
        z = tl.load(z_ptr + row * s0 + at * s1, mask=at < V, other=0.0).to(tl.float32)
        new = tl.maximum(m, tl.max(z, axis=0))
        s = s * tl.exp(m - new) + tl.sum(tl.exp(z - new), axis=0)
        own += tl.sum(tl.where(at == t, z, 0.0), axis=0)
        m = new
    tl.store(loss_ptr + row, (m + tl.log(s) - own) * keep)
    for c in range(0, V, BLOCK):
        at = c + lane
        if not ONE:  # else the row is still in z
            z = tl.load(z_ptr + row * s0 + at * s1, mask=at < V, other=0.0).to(tl.float32)
        grad = tl.exp(z - m) / s - tl.where(at == t, 1.0, 0.0)
        tl.store(grad_ptr + row * V + at, grad * keep, mask=at < V)


def cross_entropy(logits, target, block=256, ignore=-100):
    N, V = logits.shape
    loss = torch.empty(N, dtype=torch.float32, device=logits.device)
    grad = torch.empty((N, V), dtype=logits.dtype, device=logits.device)
    cross_entropy_kernel[(N,)](
        logits, target, loss, grad, V, ignore, *logits.stride(), ONE=V <= block, BLOCK=block)
    return loss, grad

# %% exercise="cross_entropy" wrong="softmax_as_gradient"
"""The gradient is the softmax alone: the 1 of the target is not subtracted.

The derivative of -logits[target] is missing. Where is it not zero?
"""
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
        grad = tl.exp(z - m) / s
        tl.store(grad_ptr + row * V + at, grad * keep, mask=at < V)


def cross_entropy(logits, target, block=256, ignore=-100):
    N, V = logits.shape
    loss = torch.empty(N, dtype=torch.float32, device=logits.device)
    grad = torch.empty((N, V), dtype=logits.dtype, device=logits.device)
    cross_entropy_kernel[(N,)](
        logits, target, loss, grad, V, ignore, *logits.stride(), ONE=V <= block, BLOCK=block)
    return loss, grad

# %% exercise="cross_entropy" wrong="target_sought_within_the_block"
"""The target is compared with the lane, so it is found once in every block.

What is the number of the class in lane 3 of the second block?
"""
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
        own += tl.sum(tl.where(lane == t, z, 0.0), axis=0)
        m = new
    tl.store(loss_ptr + row, (m + tl.log(s) - own) * keep)
    for c in range(0, V, BLOCK):
        at = c + lane
        if not ONE:  # else the row is still in z
            z = tl.load(z_ptr + row * s0 + at * s1, mask=at < V, other=-float("inf")).to(tl.float32)
        grad = tl.exp(z - m) / s - tl.where(lane == t, 1.0, 0.0)
        tl.store(grad_ptr + row * V + at, grad * keep, mask=at < V)


def cross_entropy(logits, target, block=256, ignore=-100):
    N, V = logits.shape
    loss = torch.empty(N, dtype=torch.float32, device=logits.device)
    grad = torch.empty((N, V), dtype=logits.dtype, device=logits.device)
    cross_entropy_kernel[(N,)](
        logits, target, loss, grad, V, ignore, *logits.stride(), ONE=V <= block, BLOCK=block)
    return loss, grad

# %% exercise="cross_entropy" wrong="maximum_left_out_of_the_loss"
"""The loss is log(sum) - logit: the maximum that was subtracted is not added again.

sum(exp(z - m)) = sum(exp(z)) * exp(-m). What does its logarithm need to become logsumexp?
"""
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
    tl.store(loss_ptr + row, (tl.log(s) - own) * keep)
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

# %% exercise="cross_entropy" wrong="half_precision_sum"
"""The sum is kept in the dtype of the logits: next to a float16 sum of 16 the small terms are rounded away.

Which dtype has your accumulator?
"""
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
        s = s.to(z_ptr.dtype.element_ty).to(tl.float32)
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

# %% exercise="cross_entropy" wrong="ignored_rows_keep_their_gradient"
"""The loss of ignored rows is 0, but their gradient is written as if they counted: padding is trained on.

What is the gradient of a loss that is 0 whatever the logits are?
"""
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
        tl.store(grad_ptr + row * V + at, grad, mask=at < V)


def cross_entropy(logits, target, block=256, ignore=-100):
    N, V = logits.shape
    loss = torch.empty(N, dtype=torch.float32, device=logits.device)
    grad = torch.empty((N, V), dtype=logits.dtype, device=logits.device)
    cross_entropy_kernel[(N,)](
        logits, target, loss, grad, V, ignore, *logits.stride(), ONE=V <= block, BLOCK=block)
    return loss, grad

# %% exercise="cross_entropy" wrong="ignored_rows_keep_their_loss"
"""Ignored rows get gradient 0, but their logsumexp still counts as a loss.

Append a row of padding. What should the sum of the losses do?
"""
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
    tl.store(loss_ptr + row, m + tl.log(s) - own)
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

# %% exercise="cross_entropy" wrong="ignored_target_is_a_column"
"""The logit of the target is fetched by its number, also when the target is -100: an address before the row.

Which load needs a mask that depends on the target?
"""
@triton.jit
def cross_entropy_kernel(z_ptr, t_ptr, loss_ptr, grad_ptr, V, ignore, s0, s1, ONE: tl.constexpr, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    lane = tl.arange(0, BLOCK)
    t = tl.load(t_ptr + row)
    keep = tl.where(t == ignore, 0.0, 1.0)
    z = tl.zeros((BLOCK,), tl.float32)
    m = -float("inf")
    s = 0.0
    for c in range(0, V, BLOCK):
        at = c + lane
        z = tl.load(z_ptr + row * s0 + at * s1, mask=at < V, other=-float("inf")).to(tl.float32)
        new = tl.maximum(m, tl.max(z, axis=0))
        s = s * tl.exp(m - new) + tl.sum(tl.exp(z - new), axis=0)
        m = new
    own = tl.load(z_ptr + row * s0 + t * s1).to(tl.float32)
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

# %% exercise="cross_entropy" wrong="gradient_of_the_mean"
"""The gradient is divided by the number of rows, as for the mean loss; here every row has a loss and a gradient of its
own.

Double the number of rows. Does the gradient of the first row's loss change?
"""
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
        tl.store(grad_ptr + row * V + at, grad * keep / tl.num_programs(0), mask=at < V)


def cross_entropy(logits, target, block=256, ignore=-100):
    N, V = logits.shape
    loss = torch.empty(N, dtype=torch.float32, device=logits.device)
    grad = torch.empty((N, V), dtype=logits.dtype, device=logits.device)
    cross_entropy_kernel[(N,)](
        logits, target, loss, grad, V, ignore, *logits.stride(), ONE=V <= block, BLOCK=block)
    return loss, grad

# %% exercise="cross_entropy" wrong="one_subtracted_through_memory"
"""The softmax is stored, and then 1 is subtracted from it in memory: without a barrier the second load may come before
the first store.

Where is the probability of the target before it is stored?
"""
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
        grad = tl.exp(z - m) / s
        tl.store(grad_ptr + row * V + at, grad * keep, mask=at < V)
    here = grad_ptr + row * V + t
    old = tl.load(here, mask=keep > 0, other=0.0).to(tl.float32)
    tl.store(here, old - 1, mask=keep > 0)


def cross_entropy(logits, target, block=256, ignore=-100):
    N, V = logits.shape
    loss = torch.empty(N, dtype=torch.float32, device=logits.device)
    grad = torch.empty((N, V), dtype=logits.dtype, device=logits.device)
    cross_entropy_kernel[(N,)](
        logits, target, loss, grad, V, ignore, *logits.stride(), ONE=V <= block, BLOCK=block)
    return loss, grad

# %% exercise="cross_entropy" wrong="third_walk"
"""Maximum and sum are found in two walks, so a wide row is read three times.

Can the sum be kept while the maximum is still unknown? See the formula of the online logsumexp.
"""
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
        m = tl.maximum(m, tl.max(z, axis=0))
        own += tl.sum(tl.where(at == t, z, 0.0), axis=0)
    for c in range(0, V, BLOCK):
        at = c + lane
        if not ONE:  # else the row is still in z
            z = tl.load(z_ptr + row * s0 + at * s1, mask=at < V, other=-float("inf")).to(tl.float32)
        s += tl.sum(tl.exp(z - m), axis=0)
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

# %% exercise="cross_entropy" wrong="row_read_again_though_it_fits"
"""A row that fits into a block is loaded again for the gradient, although it is still in registers.

How many times must a row of 100 travel when a block holds 128?
"""
@triton.jit
def cross_entropy_kernel(z_ptr, t_ptr, loss_ptr, grad_ptr, V, ignore, s0, s1, BLOCK: tl.constexpr):
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
        z = tl.load(z_ptr + row * s0 + at * s1, mask=at < V, other=-float("inf")).to(tl.float32)
        grad = tl.exp(z - m) / s - tl.where(at == t, 1.0, 0.0)
        tl.store(grad_ptr + row * V + at, grad * keep, mask=at < V)


def cross_entropy(logits, target, block=256, ignore=-100):
    N, V = logits.shape
    loss = torch.empty(N, dtype=torch.float32, device=logits.device)
    grad = torch.empty((N, V), dtype=logits.dtype, device=logits.device)
    cross_entropy_kernel[(N,)](
        logits, target, loss, grad, V, ignore, *logits.stride(), BLOCK=block)
    return loss, grad

# %% exercise="cross_entropy" wrong="softmax_as_a_tensor"
"""The softmax is written to memory by one launch and read back by another one to become the gradient: two matrices of N
x V more on their way.

When is the softmax of a row known, and who needs it?
"""
@triton.jit
def row_softmax_kernel(z_ptr, t_ptr, loss_ptr, p_ptr, V, ignore, s0, s1, ONE: tl.constexpr, BLOCK: tl.constexpr):
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
        tl.store(p_ptr + row * V + at, tl.exp(z - m) / s * keep, mask=at < V)


@triton.jit
def cross_entropy_kernel(p_ptr, t_ptr, grad_ptr, V, ignore, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    t = tl.load(t_ptr + row)
    for c in range(0, V, BLOCK):
        at = c + tl.arange(0, BLOCK)
        p = tl.load(p_ptr + row * V + at, mask=at < V, other=0.0)
        hit = (at == t) & (t != ignore)
        tl.store(grad_ptr + row * V + at, p - tl.where(hit, 1.0, 0.0), mask=at < V)


def cross_entropy(logits, target, block=256, ignore=-100):
    N, V = logits.shape
    loss = torch.empty(N, dtype=torch.float32, device=logits.device)
    p = torch.empty((N, V), dtype=torch.float32, device=logits.device)
    grad = torch.empty((N, V), dtype=logits.dtype, device=logits.device)
    row_softmax_kernel[(N,)](logits, target, loss, p, V, ignore, *logits.stride(), ONE=V <= block, BLOCK=block)
    cross_entropy_kernel[(N,)](p, target, grad, V, ignore, BLOCK=block)
    return loss, grad

# %% exercise="cross_entropy" wrong="no_masks"
"""Loads and stores have no mask: the last block takes numbers of the next row into the sum and writes over its
gradient, and at the last row it leaves the tensor.

Which lanes of the last block lie behind the last class?
"""
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
        z = tl.load(z_ptr + row * s0 + at * s1).to(tl.float32)
        new = tl.maximum(m, tl.max(z, axis=0))
        s = s * tl.exp(m - new) + tl.sum(tl.exp(z - new), axis=0)
        own += tl.sum(tl.where(at == t, z, 0.0), axis=0)
        m = new
    tl.store(loss_ptr + row, (m + tl.log(s) - own) * keep)
    for c in range(0, V, BLOCK):
        at = c + lane
        if not ONE:  # else the row is still in z
            z = tl.load(z_ptr + row * s0 + at * s1).to(tl.float32)
        grad = tl.exp(z - m) / s - tl.where(at == t, 1.0, 0.0)
        tl.store(grad_ptr + row * V + at, grad * keep)


def cross_entropy(logits, target, block=256, ignore=-100):
    N, V = logits.shape
    loss = torch.empty(N, dtype=torch.float32, device=logits.device)
    grad = torch.empty((N, V), dtype=logits.dtype, device=logits.device)
    cross_entropy_kernel[(N,)](
        logits, target, loss, grad, V, ignore, *logits.stride(), ONE=V <= block, BLOCK=block)
    return loss, grad

# %% exercise="cross_entropy" wrong="rows_assumed_contiguous"
"""Addresses are row * V + column, which is right for contiguous logits only.

Ask the logits for both of their strides.
"""
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
        logits, target, loss, grad, V, ignore, V, 1, ONE=V <= block, BLOCK=block)
    return loss, grad

# %% exercise="cross_entropy" wrong="torch_instead_of_a_kernel"
"""torch makes the loss and its gradient; no kernel of yours is launched.

Which line launches your kernel?
"""
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
    logs = logits.float().log_softmax(1)
    keep = target != ignore
    index = target.where(keep, 0)[:, None]
    loss = -logs.gather(1, index)[:, 0] * keep
    grad = logs.exp().scatter_add(1, index, torch.full(index.shape, -1.0)) * keep[:, None]
    return loss, grad.to(logits.dtype)
