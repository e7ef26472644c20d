"""What goes wrong: the group that it loses, and words that the verdict holds."""

# %% wrong="counts_by_load_and_store" loses="safe" says="use tl.atomic_add"
"""Programs add to the counts by a load and a store: when two of them load the same number, one loses what it counted.

What may happen to a count between your load and your store?
"""
edit("tl.atomic_add(counts_ptr + tl.arange(0, E), counts)",
     "tl.store(counts_ptr + tl.arange(0, E), counts + tl.load(counts_ptr + tl.arange(0, E)))")

# %% wrong="inclusive_scan" loses="right" says="A token's place"
"""The scan counts the token itself, so all places are one too late.

How many tokens stand before the first one of an expert?
"""
edit("before = tl.cumsum(hit, 0) - hit", "before = tl.cumsum(hit, 0)")

# %% wrong="places_by_arrival" loses="safe" says="The result changes with the order in which the"
"""A token's place is what the counter of its expert happened to be when its program came by: another one in every run.

Which of two tokens of one expert comes first when their programs run at once?
"""
@triton.jit
def count_kernel(experts_ptr, counts_ptr, T, E: tl.constexpr, BLOCK: tl.constexpr):
    t = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.atomic_add(counts_ptr + tl.load(experts_ptr + t, mask=t < T, other=0), 1, mask=t < T)


@triton.jit
def place_kernel(
    experts_ptr, counts_ptr, cursor_ptr, order_ptr, owner_ptr, T, C, E: tl.constexpr, SIZE: tl.constexpr,
    BLOCK: tl.constexpr, ROOM: tl.constexpr,
):  # fmt: skip
    t = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    e = tl.arange(0, E)
    counts = tl.load(counts_ptr + e)
    padded = (counts + SIZE - 1) // SIZE * SIZE
    starts = tl.cumsum(padded, 0) - padded
    expert = tl.load(experts_ptr + t, mask=t < T, other=0)
    first = tl.sum(tl.where(expert[:, None] == e[None, :], starts[None, :], 0), 1)
    tl.store(order_ptr + first + tl.atomic_add(cursor_ptr + expert, 1, mask=t < T), t, mask=t < T)
    if tl.program_id(0) == 0:
        at = tl.arange(0, ROOM)
        inside = (at[:, None] >= starts[None, :]) & (at[:, None] < (starts + counts)[None, :])
        tl.store(order_ptr + at, T, mask=(at < C) & (tl.sum(inside.to(tl.int32), 1) == 0))
        begins = at[:, None] * SIZE >= starts[None, :]
        ours = begins & (at[:, None] * SIZE < (starts + padded)[None, :])
        owner = tl.sum(tl.where(ours, e[None, :] + 1, 0), 1) - 1
        tl.store(owner_ptr + at, owner, mask=at < C // SIZE)


def moe_align(experts, E, block=4):
    T, tile = len(experts), 16
    C = triton.cdiv(T + E * (block - 1), block) * block
    counts = torch.zeros((2, E), dtype=torch.int32, device=experts.device)
    order = torch.empty(C, dtype=torch.int32, device=experts.device)
    owner = torch.empty(C // block, dtype=torch.int32, device=experts.device)
    count_kernel[(triton.cdiv(T, tile),)](experts, counts, T, E=E, BLOCK=tile)
    place_kernel[(triton.cdiv(T, tile),)](
        experts, counts, counts[1], order, owner, T, C, E=E, SIZE=block, BLOCK=tile, ROOM=triton.next_power_of_2(C)
    )
    return order, owner

# %% wrong="places_by_lane" loses="safe" says="the lanes of a tile do their atomics"
"""One program takes all places in one atomic of a tile. Its lanes come by in any order, too.

Which lane of a tile does its atomic first?
"""
@triton.jit
def one_program_kernel(
    experts_ptr, cursor_ptr, order_ptr, owner_ptr, T, C, E: tl.constexpr, SIZE: tl.constexpr,
    BLOCK: tl.constexpr, ROOM: tl.constexpr,
):  # fmt: skip
    t, e, at = tl.arange(0, BLOCK), tl.arange(0, E), tl.arange(0, ROOM)
    expert = tl.load(experts_ptr + t, mask=t < T, other=-1)
    hits = (expert[:, None] == e[None, :]).to(tl.int32)
    counts = tl.sum(hits, 0)
    padded = (counts + SIZE - 1) // SIZE * SIZE
    starts = tl.cumsum(padded, 0) - padded
    first = tl.sum(hits * starts[None, :], 1)
    taken = tl.atomic_add(cursor_ptr + expert, 1, mask=t < T)
    tl.store(order_ptr + first + taken, t, mask=t < T)
    inside = (at[:, None] >= starts[None, :]) & (at[:, None] < (starts + counts)[None, :])
    tl.store(order_ptr + at, T, mask=(at < C) & (tl.sum(inside.to(tl.int32), 1) == 0))
    ours = (at[:, None] * SIZE >= starts[None, :]) & (at[:, None] * SIZE < (starts + padded)[None, :])
    tl.store(owner_ptr + at, tl.sum(tl.where(ours, e[None, :] + 1, 0), 1) - 1, mask=at < C // SIZE)


def moe_align(experts, E, block=4):
    T = len(experts)
    C = triton.cdiv(T + E * (block - 1), block) * block
    cursor = torch.zeros(E, dtype=torch.int32, device=experts.device)
    order = torch.empty(C, dtype=torch.int32, device=experts.device)
    owner = torch.empty(C // block, dtype=torch.int32, device=experts.device)
    room = triton.next_power_of_2
    one_program_kernel[(1,)](experts, cursor, order, owner, T, C, E=E, SIZE=block, BLOCK=room(T), ROOM=room(C))
    return order, owner
