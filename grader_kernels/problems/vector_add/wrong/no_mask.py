# loses safe: nothing is masked, so the last program works behind the end
# says: are outside
import torch
import triton
import triton.language as tl


@triton.jit
def vector_add_kernel(x_ptr, y_ptr, out_ptr, x_stride, y_stride, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + offsets * x_stride)
    y = tl.load(y_ptr + offsets * y_stride)
    tl.store(out_ptr + offsets, x + y)


def vector_add(x, y, block=256):
    n = x.shape[0]
    out = torch.empty(n, dtype=x.dtype, device=x.device)
    vector_add_kernel[(triton.cdiv(n, block),)](x, y, out, x.stride(0), y.stride(0), BLOCK=block)
    return out
