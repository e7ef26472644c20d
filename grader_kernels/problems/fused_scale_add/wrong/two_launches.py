# loses lean: alpha * x is written to memory by one launch and read back by a second one
# says: between the kernels
import torch
import triton
import triton.language as tl


@triton.jit
def scale_kernel(x_ptr, out_ptr, n, alpha, x_stride, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + offsets * x_stride, mask=offsets < n).to(tl.float32)
    tl.store(out_ptr + offsets, alpha * x, mask=offsets < n)


@triton.jit
def add_kernel(scaled_ptr, y_ptr, out_ptr, n, y_stride, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    scaled = tl.load(scaled_ptr + offsets, mask=offsets < n)
    y = tl.load(y_ptr + offsets * y_stride, mask=offsets < n)
    tl.store(out_ptr + offsets, scaled + y, mask=offsets < n)


def fused_scale_add(x, y, alpha, block=256):
    n = x.shape[0]
    scaled = torch.empty(n, dtype=torch.float32, device=x.device)
    out = torch.empty(n, dtype=x.dtype, device=x.device)
    grid = (triton.cdiv(n, block),)
    scale_kernel[grid](x, scaled, n, alpha, x.stride(0), BLOCK=block)
    add_kernel[grid](scaled, y, out, n, y.stride(0), BLOCK=block)
    return out
