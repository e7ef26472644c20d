import torch
import triton
import triton.language as tl


@triton.jit
def element_kernel(z_ptr, a_ptr, b_ptr, a_step, b_step, count, WIDTH: tl.constexpr):
    """Program 0 takes the last block."""
    index = (tl.num_programs(0) - 1 - tl.program_id(0)) * WIDTH + tl.arange(0, WIDTH)
    exists = index < count
    total = tl.load(a_ptr + index * a_step, mask=exists) + tl.load(b_ptr + index * b_step, mask=exists)
    tl.store(z_ptr + index, total, mask=exists)


def vector_add(x, y, block=256):
    z = torch.zeros(x.shape, dtype=x.dtype, device=x.device)
    programs = triton.cdiv(x.numel(), block)
    element_kernel[(programs,)](z, x, y, x.stride(0), y.stride(0), x.numel(), WIDTH=block)
    return z
