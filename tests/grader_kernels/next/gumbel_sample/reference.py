import torch
import triton
import triton.language as tl


@triton.jit
def sample_kernel(logits_ptr, ids_ptr, V, seed, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    best = -float("inf")
    place = 0
    for start in range(0, V, BLOCK):
        column = start + tl.arange(0, BLOCK)
        x = tl.load(logits_ptr + row * V + column, mask=column < V, other=-float("inf"))
        x -= tl.log(-tl.log(tl.rand(seed, row * V + column)))
        x = tl.where(column < V, x, -float("inf"))
        largest, at = tl.max(x, 0, return_indices=True)
        place = tl.where(largest > best, start + at, place)
        best = tl.maximum(largest, best)
    tl.store(ids_ptr + row, place)


def gumbel_sample(logits, seed, block=64):
    R, V = logits.shape
    ids = torch.empty(R, dtype=torch.int32, device=logits.device)
    sample_kernel[(R,)](logits, ids, V, seed, BLOCK=block)
    return ids
