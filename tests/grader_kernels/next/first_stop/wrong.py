"""What goes wrong: the group that it loses, and words that the verdict holds."""

# %% wrong="reads_to_the_end" loses="lean" says="tokens is read"
"""The loop goes on to the end of the row, though the place is known.

What may follow the first stop token that changes the answer?
"""
edit("while (start < N) & (place == N):", "while start < N:")

# %% wrong="flag_of_another_program" loses="safe" says="in the same launch"
"""Two programs share a row. One looks at a flag that the other one sets by a plain store: whether it is seen, and when,
nobody knows.

What does a load see of a store that another program makes at the same time?
"""
@triton.jit
def halves_kernel(tokens_ptr, places_ptr, flags_ptr, N, stop, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    half = tl.cdiv(N, 2)
    start = tl.program_id(1) * half
    end = tl.minimum(N, start + half)
    place = N
    while (start < end) & (place == N) & (tl.load(flags_ptr + row) == 0):
        at = start + tl.arange(0, BLOCK)
        tokens = tl.load(tokens_ptr + row * N + at, mask=at < end, other=stop + 1)
        place = tl.minimum(place, tl.min(tl.where(tokens == stop, at, N), 0))
        start += BLOCK
    tl.atomic_min(places_ptr + row, place)
    if (tl.program_id(1) == 0) & (place < N):
        tl.store(flags_ptr + row, 1)


def first_stop(tokens, stop, block=32):
    R, N = tokens.shape
    flags = torch.zeros(R, dtype=torch.int32, device=tokens.device)
    places = torch.full((R,), N, dtype=torch.int32, device=tokens.device)
    halves_kernel[(R, 2)](tokens, places, flags, N, stop, BLOCK=block)
    return places
