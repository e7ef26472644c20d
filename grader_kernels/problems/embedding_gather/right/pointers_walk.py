import triton
import triton.language as tl


@triton.jit
def embedding_gather_kernel(i_ptr, t_ptr, o_ptr, D, si, st0, st1, BLOCK: tl.constexpr):
    n = tl.program_id(0)
    source = t_ptr + tl.load(i_ptr + n * si) * st0
    target = o_ptr + n * D
    lanes = tl.arange(0, BLOCK)
    left = D
    while left > 0:
        tl.store(target + lanes, tl.load(source + lanes * st1, mask=lanes < left), mask=lanes < left)
        source += BLOCK * st1
        target += BLOCK
        left -= BLOCK


def embedding_gather(ids, table, block=128):
    N, D = ids.numel(), table.size(1)
    out = table.new_empty(N, D)
    embedding_gather_kernel[(N,)](ids, table, out, D, ids.stride(0), *table.stride(), BLOCK=block)
    return out
