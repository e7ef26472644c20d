"""Other correct kernels. Each cell is a whole answer."""

# %% right="all_cells_in_one_line"
@triton.jit
def squash(x, FROM: tl.constexpr):
    """FROM = 0: sigmoid. FROM = -1: tanh. By an exponential that can't overflow."""
    e = tl.exp(-tl.abs(x) * (1 - FROM))
    positive = (1 + FROM * e) / (1 + e)
    return tl.where(x >= 0, positive, 1 + FROM - positive)


@triton.jit
def lstm_gates_kernel(fx, fh, c, h_out, c_out, count, H, x0, x1, h0, h1, c0, c1, BLOCK: tl.constexpr):
    cell = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    real = cell < count
    row = cell // H
    unit = cell % H
    a = fx + row * x0
    b = fh + row * h0
    zi = tl.load(a + unit * x1, real).to(tl.float32) + tl.load(b + unit * h1, real).to(tl.float32)
    zf = tl.load(a + (unit + H) * x1, real).to(tl.float32) + tl.load(b + (unit + H) * h1, real).to(tl.float32)
    zg = tl.load(a + (unit + 2 * H) * x1, real).to(tl.float32) + tl.load(b + (unit + 2 * H) * h1, real).to(tl.float32)
    zo = tl.load(a + (unit + 3 * H) * x1, real).to(tl.float32) + tl.load(b + (unit + 3 * H) * h1, real).to(tl.float32)
    old = tl.load(c + row * c0 + unit * c1, real).to(tl.float32)
    new = squash(zf, 0) * old + squash(zi, 0) * squash(zg, -1)
    tl.store(c_out + cell, new, real)
    tl.store(h_out + cell, squash(zo, 0) * squash(new, -1), real)


def lstm_gates(from_x, from_h, c, block=128):
    h_out = torch.empty(c.shape, dtype=c.dtype, device=c.device)
    c_out = torch.empty(c.shape, dtype=c.dtype, device=c.device)
    strides = (*from_x.stride(), *from_h.stride(), *c.stride())
    programs = triton.cdiv(c.numel(), block)
    lstm_gates_kernel[(programs,)](from_x, from_h, c, h_out, c_out, c.numel(), c.shape[1], *strides, BLOCK=block)
    return h_out, c_out

# %% right="a_tile_of_four_gates"
@triton.jit
def lstm_gates_kernel(fx, fh, c_ptr, both, H, BH, x0, x1, h0, h1, c0, c1, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    gate = tl.arange(0, 4)[:, None]
    for start in range(0, H, BLOCK):
        unit = start + tl.arange(0, BLOCK)
        column = gate * H + unit[None, :]
        mask = unit < H
        z = tl.load(fx + row * x0 + column * x1, mask=mask[None, :], other=0.0).to(tl.float32)
        z += tl.load(fh + row * h0 + column * h1, mask=mask[None, :], other=0.0).to(tl.float32)
        squashed = tl.sigmoid(tl.where(gate == 2, 2 * z, z))
        squashed = tl.where(gate == 2, 2 * squashed - 1, squashed)
        i = tl.sum(tl.where(gate == 0, squashed, 0.0), axis=0)
        f = tl.sum(tl.where(gate == 1, squashed, 0.0), axis=0)
        g = tl.sum(tl.where(gate == 2, squashed, 0.0), axis=0)
        o = tl.sum(tl.where(gate == 3, squashed, 0.0), axis=0)
        c = tl.load(c_ptr + row * c0 + unit * c1, mask=mask, other=0.0).to(tl.float32)
        c = f * c + i * g
        tl.store(both + row * H + unit, o * (2 * tl.sigmoid(2 * c) - 1), mask=mask)
        tl.store(both + BH + row * H + unit, c, mask=mask)


def lstm_gates(from_x, from_h, c, block=128):
    rows, H = c.shape
    both = torch.empty((2, rows, H), dtype=c.dtype, device=c.device)
    lstm_gates_kernel[(rows,)](
        from_x, from_h, c, both, H, rows * H, *from_x.stride(), *from_h.stride(), *c.stride(), BLOCK=block
    )
    return both[0], both[1]
