"""What goes wrong: the group that it loses, and words that the verdict holds."""

# %% wrong="carry_with_its_own_block" loses="right" says="not its own"
"""The carry counts the block itself, too.

Which blocks lie before block 0?
"""
edit("mask=before < block, other=0", "mask=before <= block, other=0")

# %% wrong="reads_the_block_before" loses="safe" says="in the same launch"
"""Every program takes its carry from the last sum of the block before, without knowing whether it is there.

Who makes sure that block 3 is done before block 4 reads its last sum?
"""
edit("totals_kernel[(blocks,)](x, totals, len(x), BLOCK=block)", "")
edit("carry = tl.sum(tl.load(totals_ptr + before, mask=before < block, other=0), 0)",
     "carry = tl.load(sums_ptr + block * BLOCK - 1, mask=block > 0, other=0)")

# %% wrong="waits_by_number" loses="safe" says="waits for ever"
"""A block waits for the one with the number before it. Programs may start in any order: when those that wait fill the
GPU, the one that they wait for never starts.

What becomes of a program that waits for one that has not started?
"""
@triton.jit
def chained_kernel(x_ptr, ready_ptr, carry_ptr, sums_ptr, N, BLOCK: tl.constexpr):
    block = tl.program_id(0)
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
    ready = torch.zeros(blocks, dtype=torch.int32, device=x.device)
    chained_kernel[(blocks,)](x, ready, carries, sums, len(x), BLOCK=block)
    return sums
