"""Other correct kernels. Each cell is a whole answer."""

# %% right="a_program_for_each_block"
@triton.jit
def embedding_gather_kernel(i_ptr, t_ptr, o_ptr, D, si, st0, st1, so, BLOCK: tl.constexpr):
    n = tl.program_id(0)
    c = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = c < D
    row = tl.load(i_ptr + n * si)
    tl.store(o_ptr + n * so + c, tl.load(t_ptr + row * st0 + c * st1, mask=inside, other=0.0), mask=inside)


def embedding_gather(ids, table, block=128):
    N, D = ids.shape[0], table.shape[1]
    out = torch.empty(N, D, dtype=table.dtype, device=table.device)
    embedding_gather_kernel[(N, triton.cdiv(D, block))](
        ids, table, out, D, ids.stride(0), table.stride(0), table.stride(1), out.stride(0), BLOCK=block)
    return out


# %% right="pointers_walk"
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
    out = table.new_empty(ids.numel(), table.size(1))
    embedding_gather_kernel[(ids.numel(),)](
        ids, table, out, table.size(1), ids.stride(0), table.stride(0), table.stride(1), BLOCK=block)
    return out
