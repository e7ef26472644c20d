"""Other correct kernels. Each cell is a whole answer."""

# %% right="pointers_first"
@triton.jit
def vector_add_kernel(x_ptr, y_ptr, out_ptr, n, x_stride, y_stride, BLOCK: tl.constexpr):
    pid = tl.program_id(axis=0)
    index = pid * BLOCK + tl.arange(0, BLOCK)
    inside = index < n
    left = tl.load(x_ptr + x_stride * index, mask=inside, other=0.0)
    right = tl.load(y_ptr + y_stride * index, mask=inside, other=0.0)
    total = left + right
    tl.store(out_ptr + index, total, mask=inside)


def vector_add(x, y, block=256):
    n = x.shape[0]
    out = torch.empty(n, dtype=x.dtype, device=x.device)
    grid = lambda meta: (triton.cdiv(n, meta["BLOCK"]),)  # noqa: E731
    vector_add_kernel[grid](x, y, out, n, x.stride(0), y.stride(0), BLOCK=block)
    return out


# %% right="two_halves_of_a_block"
@triton.jit
def vector_add_kernel(x_ptr, y_ptr, out_ptr, n, x_stride, y_stride, BLOCK: tl.constexpr):
    start = tl.program_id(0) * BLOCK
    for half in range(2):
        offsets = start + half * (BLOCK // 2) + tl.arange(0, BLOCK // 2)
        mask = offsets < n
        x = tl.load(x_ptr + offsets * x_stride, mask=mask)
        y = tl.load(y_ptr + offsets * y_stride, mask=mask)
        tl.store(out_ptr + offsets, x + y, mask=mask)


def vector_add(x, y, block=256):
    n = x.shape[0]
    out = torch.empty(n, dtype=x.dtype, device=x.device)
    vector_add_kernel[((n + block - 1) // block,)](x, y, out, n, x.stride(0), y.stride(0), BLOCK=block)
    return out


# %% right="from_the_end"
@triton.jit
def element_kernel(z_ptr, a_ptr, b_ptr, a_step, b_step, count, WIDTH: tl.constexpr):
    """Program 0 takes the last block."""
    index = (tl.num_programs(0) - 1 - tl.program_id(0)) * WIDTH + tl.arange(0, WIDTH)
    exists = index < count
    total = tl.load(a_ptr + index * a_step, mask=exists) + tl.load(b_ptr + index * b_step, mask=exists)
    tl.store(z_ptr + index, total, mask=exists)


def vector_add(x, y, block=256):
    z = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    programs = triton.cdiv(x.numel(), block)
    element_kernel[(programs,)](z, x, y, x.stride(0), y.stride(0), x.numel(), WIDTH=block)
    return z


# %% right="several_blocks_per_program"
@triton.jit
def add_kernel(x_ptr, y_ptr, out_ptr, n, x_stride, y_stride, BLOCK: tl.constexpr):
    for start in range(tl.program_id(0) * BLOCK, n, tl.num_programs(0) * BLOCK):
        at = start + tl.arange(0, BLOCK)
        x = tl.load(x_ptr + at * x_stride, mask=at < n, other=0.0)
        y = tl.load(y_ptr + at * y_stride, mask=at < n, other=0.0)
        tl.store(out_ptr + at, x + y, mask=at < n)


def vector_add(x, y, block=256):
    out = torch.empty_like(x, memory_format=torch.contiguous_format)
    n = x.numel()
    add_kernel[(triton.cdiv(n, 4 * block),)](x, y, out, n, x.stride(0), y.stride(0), block)
    return out
