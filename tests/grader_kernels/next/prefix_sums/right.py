"""Other correct kernels. Each cell is a whole answer."""

# %% right="one_walk_with_tickets"
"""A block waits for the carry of the block before it. Blocks are given out in the order in which programs start, so
nobody waits for a program that has not started."""
@triton.jit
def chained_kernel(x_ptr, ticket_ptr, ready_ptr, carry_ptr, sums_ptr, N, BLOCK: tl.constexpr):
    block = tl.atomic_add(ticket_ptr, 1)
    at = block * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + at, mask=at < N, other=0)
    carry = 0
    if block > 0:
        while tl.atomic_add(ready_ptr + block - 1, 0) == 0:
            pass
        carry = tl.load(carry_ptr + block - 1)
    tl.store(carry_ptr + block, carry + tl.sum(x, 0))
    tl.atomic_xchg(ready_ptr + block, 1)
    tl.store(sums_ptr + at, carry + tl.cumsum(x, 0), mask=at < N)


def prefix_sums(x, block=64):
    blocks = triton.cdiv(len(x), block)
    sums, carries = torch.empty_like(x), torch.empty(blocks, dtype=torch.int32, device=x.device)
    known = torch.zeros(blocks + 1, dtype=torch.int32, device=x.device)
    chained_kernel[(blocks,)](x, known[blocks:], known, carries, sums, len(x), BLOCK=block)
    return sums
