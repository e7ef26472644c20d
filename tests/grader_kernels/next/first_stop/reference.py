import torch
import triton
import triton.language as tl


@triton.jit
def first_stop_kernel(tokens_ptr, places_ptr, N, stop, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    place = N
    start = 0
    while (start < N) & (place == N):
        at = start + tl.arange(0, BLOCK)
        tokens = tl.load(tokens_ptr + row * N + at, mask=at < N, other=stop + 1)
        place = tl.minimum(place, tl.min(tl.where(tokens == stop, at, N), 0))
        start += BLOCK
    tl.store(places_ptr + row, place)


def first_stop(tokens, stop, block=32):
    R, N = tokens.shape
    places = torch.empty(R, dtype=torch.int32, device=tokens.device)
    first_stop_kernel[(R,)](tokens, places, N, stop, BLOCK=block)
    return places
