# loses right: the number of programs is rounded down, so the last elements are never computed
# says: never written by a kernel
import torch
import triton
import triton.language as tl


@triton.jit
def fused_scale_add_kernel(x_ptr, y_ptr, out_ptr, n, alpha, x_stride, y_stride, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
    x = tl.load(x_ptr + offsets * x_stride, mask=mask).to(tl.float32)
    y = tl.load(y_ptr + offsets * y_stride, mask=mask).to(tl.float32)
    tl.store(out_ptr + offsets, alpha * x + y, mask=mask)


def fused_scale_add(x, y, alpha, block=256):
    n = x.shape[0]
    out = torch.empty(n, dtype=x.dtype, device=x.device)
    fused_scale_add_kernel[(max(1, n // block),)](x, y, out, n, alpha, x.stride(0), y.stride(0), BLOCK=block)
    return out
