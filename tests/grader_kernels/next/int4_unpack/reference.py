import torch
import triton
import triton.language as tl


@triton.jit
def unpack_kernel(packed_ptr, scales_ptr, w_ptr, C, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    i = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    byte = tl.load(packed_ptr + row * (C // 2) + i, mask=i < C // 2, other=0).to(tl.int8, bitcast=True)
    low = ((byte << 4).to(tl.int8) >> 4).to(tl.float32)  # the sign is shifted in again
    high = (byte >> 4).to(tl.float32)
    scale = tl.load(scales_ptr + row * (C // 32) + i // 16, mask=i < C // 2, other=0.0)
    w = tl.interleave(low * scale, high * scale).to(tl.float16)
    at = tl.program_id(1) * 2 * BLOCK + tl.arange(0, 2 * BLOCK)
    tl.store(w_ptr + row * C + at, w, mask=at < C)


def int4_unpack(packed, scales, block=64):
    R, half = packed.shape
    w = torch.empty((R, 2 * half), dtype=torch.float16, device=packed.device)
    unpack_kernel[(R, triton.cdiv(half, block))](packed, scales, w, 2 * half, BLOCK=block)
    return w
