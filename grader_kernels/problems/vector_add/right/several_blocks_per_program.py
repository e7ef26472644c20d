import torch
import triton
import triton.language as tl


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
    add_kernel[(min(triton.cdiv(n, block), 2),)](x, y, out, n, x.stride(0), y.stride(0), block)
    return out
