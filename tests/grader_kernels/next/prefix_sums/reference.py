import torch
import triton
import triton.language as tl


@triton.jit
def totals_kernel(x_ptr, totals_ptr, N, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(totals_ptr + tl.program_id(0), tl.sum(tl.load(x_ptr + at, mask=at < N, other=0), 0))


@triton.jit
def sums_kernel(x_ptr, totals_ptr, sums_ptr, N, BLOCK: tl.constexpr, ROOM: tl.constexpr):
    block = tl.program_id(0)
    at, before = block * BLOCK + tl.arange(0, BLOCK), tl.arange(0, ROOM)
    carry = tl.sum(tl.load(totals_ptr + before, mask=before < block, other=0), 0)
    x = tl.load(x_ptr + at, mask=at < N, other=0)
    tl.store(sums_ptr + at, carry + tl.cumsum(x, 0), mask=at < N)


def prefix_sums(x, block=64):
    blocks = triton.cdiv(len(x), block)
    sums, totals = torch.empty_like(x), torch.empty(blocks, dtype=torch.int32, device=x.device)
    totals_kernel[(blocks,)](x, totals, len(x), BLOCK=block)
    sums_kernel[(blocks,)](x, totals, sums, len(x), BLOCK=block, ROOM=triton.next_power_of_2(blocks))
    return sums
