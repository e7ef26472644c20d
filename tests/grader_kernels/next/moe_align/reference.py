import torch
import triton
import triton.language as tl


@triton.jit
def count_kernel(experts_ptr, counts_ptr, T, E: tl.constexpr, BLOCK: tl.constexpr):
    t = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    expert = tl.load(experts_ptr + t, mask=t < T, other=0)
    counts = tl.histogram(expert, E, mask=t < T)
    tl.atomic_add(counts_ptr + tl.arange(0, E), counts)


@triton.jit
def place_kernel(
    experts_ptr, counts_ptr, order_ptr, owner_ptr, T, C, E: tl.constexpr, SIZE: tl.constexpr, BLOCK: tl.constexpr
):
    expert = tl.program_id(0)
    counts = tl.load(counts_ptr + tl.arange(0, E))
    ends = tl.cumsum((counts + SIZE - 1) // SIZE * SIZE, 0)
    mine = tl.arange(0, E) == expert
    end = tl.sum(tl.where(mine, ends, 0))
    count = tl.sum(tl.where(mine, counts, 0))
    first = end - (count + SIZE - 1) // SIZE * SIZE
    lane = tl.arange(0, BLOCK)
    place = first
    for start in range(0, T, BLOCK):
        t = start + lane
        hit = (tl.load(experts_ptr + t, mask=t < T, other=-1) == expert).to(tl.int32)
        before = tl.cumsum(hit, 0) - hit
        tl.store(order_ptr + place + before, t, mask=hit == 1)
        place += tl.sum(hit)
    limit = tl.where(expert == E - 1, C, end)
    for start in range(place, limit, BLOCK):
        tl.store(order_ptr + start + lane, T, mask=start + lane < limit)
    for start in range(first // SIZE, limit // SIZE, BLOCK):
        at = start + lane
        tl.store(owner_ptr + at, tl.where(at < end // SIZE, expert, -1), mask=at < limit // SIZE)


def moe_align(experts, E, block=4):
    T, tile = len(experts), 64
    C = triton.cdiv(T + E * (block - 1), block) * block
    counts = torch.zeros(E, dtype=torch.int32, device=experts.device)
    order = torch.empty(C, dtype=torch.int32, device=experts.device)
    owner = torch.empty(C // block, dtype=torch.int32, device=experts.device)
    count_kernel[(triton.cdiv(T, tile),)](experts, counts, T, E=E, BLOCK=tile)
    place_kernel[(E,)](experts, counts, order, owner, T, C, E=E, SIZE=block, BLOCK=tile)
    return order, owner
