# loses lean: the activated gates are written to memory by one launch and read back by a second one
# says: between the kernels
import torch
import triton
import triton.language as tl


@triton.jit
def activate_kernel(x_ptr, h_ptr, gates_ptr, width, x_row, x_col, h_row, h_col, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    column = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = column < 4 * width
    z = tl.load(x_ptr + row * x_row + column * x_col, mask=inside, other=0.0).to(tl.float32)
    z += tl.load(h_ptr + row * h_row + column * h_col, mask=inside, other=0.0).to(tl.float32)
    is_g = (column >= 2 * width) & (column < 3 * width)
    gate = tl.where(is_g, 2 * tl.sigmoid(2 * z) - 1, tl.sigmoid(z))
    tl.store(gates_ptr + row * 4 * width + column, gate, mask=inside)


@triton.jit
def combine_kernel(gates_ptr, c_ptr, h_new_ptr, c_new_ptr, width, c_row, c_col, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    unit = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = unit < width
    gates_ptr += row * 4 * width
    i = tl.load(gates_ptr + unit, mask=inside, other=0.0)
    f = tl.load(gates_ptr + width + unit, mask=inside, other=0.0)
    g = tl.load(gates_ptr + 2 * width + unit, mask=inside, other=0.0)
    o = tl.load(gates_ptr + 3 * width + unit, mask=inside, other=0.0)
    c_new = f * tl.load(c_ptr + row * c_row + unit * c_col, mask=inside, other=0.0).to(tl.float32) + i * g
    tl.store(c_new_ptr + row * width + unit, c_new, mask=inside)
    tl.store(h_new_ptr + row * width + unit, o * (2 * tl.sigmoid(2 * c_new) - 1), mask=inside)


def lstm_gates(from_x, from_h, c, block=128):
    rows, width = c.shape
    gates = torch.empty((rows, 4 * width), dtype=torch.float32, device=c.device)
    h_new = torch.empty((rows, width), dtype=c.dtype, device=c.device)
    c_new = torch.empty((rows, width), dtype=c.dtype, device=c.device)
    activate_kernel[(rows, triton.cdiv(4 * width, block))](
        from_x, from_h, gates, width, *from_x.stride(), *from_h.stride(), BLOCK=block
    )
    combine_kernel[(rows, triton.cdiv(width, block))](gates, c, h_new, c_new, width, *c.stride(), BLOCK=block)
    return h_new, c_new
