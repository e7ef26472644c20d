# loses safe: the lanes behind the end of a row are not masked
# says: are outside
import torch
import triton
import triton.language as tl


@triton.jit
def tanh(x):
    return 2 * tl.sigmoid(2 * x) - 1


@triton.jit
def preactivation(x_ptr, h_ptr, column, x_col, h_col, mask):
    x = tl.load(x_ptr + column * x_col, mask=mask, other=0.0).to(tl.float32)
    return x + tl.load(h_ptr + column * h_col, mask=mask, other=0.0).to(tl.float32)


@triton.jit
def lstm_gates_kernel(
    x_ptr, h_ptr, c_ptr, h_new_ptr, c_new_ptr, width,
    x_row, x_col, h_row, h_col, c_row, c_col, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0)
    unit = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = unit < 4 * width
    x_ptr += row * x_row
    h_ptr += row * h_row
    i = tl.sigmoid(preactivation(x_ptr, h_ptr, unit, x_col, h_col, inside))
    f = tl.sigmoid(preactivation(x_ptr, h_ptr, unit + width, x_col, h_col, inside))
    g = tanh(preactivation(x_ptr, h_ptr, unit + 2 * width, x_col, h_col, inside))
    o = tl.sigmoid(preactivation(x_ptr, h_ptr, unit + 3 * width, x_col, h_col, inside))
    c = tl.load(c_ptr + row * c_row + unit * c_col, mask=inside, other=0.0).to(tl.float32)
    c_new = f * c + i * g
    tl.store(c_new_ptr + row * width + unit, c_new, mask=inside)
    tl.store(h_new_ptr + row * width + unit, o * tanh(c_new), mask=inside)


def lstm_gates(from_x, from_h, c, block=128):
    rows, width = c.shape
    h_new = torch.empty((rows, width), dtype=c.dtype, device=c.device)
    c_new = torch.empty((rows, width), dtype=c.dtype, device=c.device)
    grid = (rows, triton.cdiv(width, block))
    lstm_gates_kernel[grid](
        from_x, from_h, c, h_new, c_new, width, *from_x.stride(), *from_h.stride(), *c.stride(), BLOCK=block
    )
    return h_new, c_new
