"""Other correct kernels. Each cell is a whole answer."""

# %% right="fused_multiply_add"
@triton.jit
def fused_scale_add_kernel(x_ptr, y_ptr, out_ptr, n, alpha, x_stride, y_stride, BLOCK: tl.constexpr):
    index = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = index < n
    result = tl.load(y_ptr + index * y_stride, mask=inside, other=0.0)
    result += tl.load(x_ptr + index * x_stride, mask=inside, other=0.0) * alpha
    tl.store(out_ptr + index, result, mask=inside)


def fused_scale_add(x, y, alpha, block=256):
    n = x.numel()
    out = torch.empty((n,), dtype=x.dtype, device=x.device)
    fused_scale_add_kernel[(-(-n // block),)](x, y, out, n, alpha, x.stride(0), y.stride(0), BLOCK=block)
    return out


# %% right="own_block_size"
@triton.jit
def fused_scale_add_kernel(x_ptr, y_ptr, out_ptr, n, alpha, x_stride, y_stride, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + offsets * x_stride, mask=offsets < n)
    y = tl.load(y_ptr + offsets * y_stride, mask=offsets < n)
    tl.store(out_ptr + offsets, x * alpha + y, mask=offsets < n)


def fused_scale_add(x, y, alpha, block=256):
    n = x.shape[0]
    out = torch.empty(n, dtype=x.dtype, device=x.device)
    fused_scale_add_kernel[(triton.cdiv(n, 2 * block),)](x, y, out, n, alpha, x.stride(0), y.stride(0), BLOCK=2 * block)
    return out


# %% right="float32_by_a_helper"
@triton.jit
def element(base, index, stride, mask):
    return tl.load(base + index * stride, mask=mask, other=0.0).to(tl.float32)


@triton.jit
def fused_scale_add_kernel(x_ptr, y_ptr, out_ptr, n, alpha, x_stride, y_stride, BLOCK: tl.constexpr):
    index = tl.program_id(axis=0) * BLOCK + tl.arange(0, BLOCK)
    mask = index < n
    result = element(y_ptr, index, y_stride, mask)
    result += alpha * element(x_ptr, index, x_stride, mask)
    tl.store(out_ptr + index, result, mask)


def fused_scale_add(x, y, alpha, block=256):
    (n,) = x.shape
    out = x.new_empty(n)
    fused_scale_add_kernel[(-(-n // block),)](x, y, out, n, alpha, *x.stride(), *y.stride(), block)
    return out


# %% right="fma_two_rounds"
@triton.jit
def axpy(out_ptr, x_ptr, y_ptr, x_stride, y_stride, factor, n, LANES: tl.constexpr, ROUNDS: tl.constexpr):
    for part in tl.static_range(ROUNDS):
        at = (tl.program_id(0) * ROUNDS + part) * LANES + tl.arange(0, LANES)
        x = tl.load(x_ptr + at * x_stride, mask=at < n, other=0).to(tl.float32)
        y = tl.load(y_ptr + at * y_stride, mask=at < n, other=0).to(tl.float32)
        z = tl.fma(x, tl.full((LANES,), factor, tl.float32), y)
        tl.store(out_ptr + at, z.to(out_ptr.dtype.element_ty), mask=at < n)


def fused_scale_add(x, y, alpha, block=256):
    out = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    programs = triton.cdiv(x.numel(), 2 * block)
    axpy[(programs,)](out, x, y, x.stride(0), y.stride(0), float(alpha), x.numel(), LANES=block, ROUNDS=2)
    return out
