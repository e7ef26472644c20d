"""What goes wrong: the group that it loses, and words that the verdict holds."""

# %% wrong="order_i_f_o_g" loses="right" says="order i, f, g, o"
"""The columns are taken in the order i, f, o, g. They hold i, f, g, o: candidate and output gate are exchanged.

Which block of H columns goes through tanh?
"""
edit("g = tl.load(x_ptr + (unit + 2 * width)", "g = tl.load(x_ptr + (unit + 3 * width)")
edit("(g + tl.load(h_ptr + (unit + 2 * width)", "(g + tl.load(h_ptr + (unit + 3 * width)")
edit("o = tl.load(x_ptr + (unit + 3 * width)", "o = tl.load(x_ptr + (unit + 2 * width)")
edit("(o + tl.load(h_ptr + (unit + 3 * width)", "(o + tl.load(h_ptr + (unit + 2 * width)")

# %% wrong="gates_next_to_each_other" loses="right" says="order i, f, g, o"
"""The gates of a unit are taken to stand next to each other, gate k of unit u in column 4 u + k. They stand in four
blocks of H columns: first i of all units, then f of all units.

For H = 3: which gate of which unit is column 4?
"""
edit("x_ptr + unit * x_col", "x_ptr + 4 * unit * x_col")
edit("h_ptr + unit * h_col", "h_ptr + 4 * unit * h_col")
edit("(unit + width) * x_col", "(4 * unit + 1) * x_col")
edit("(unit + width) * h_col", "(4 * unit + 1) * h_col")
edit("(unit + 2 * width) * x_col", "(4 * unit + 2) * x_col")
edit("(unit + 2 * width) * h_col", "(4 * unit + 2) * h_col")
edit("(unit + 3 * width) * x_col", "(4 * unit + 3) * x_col")
edit("(unit + 3 * width) * h_col", "(4 * unit + 3) * h_col")

# %% wrong="no_tanh_on_the_cell" loses="right" says="tanh is applied to the new one"
"""The new cell goes into h without tanh.

What bounds h when the cell is 20?
"""
edit("o * (2 * tl.sigmoid(2 * c_new) - 1)", "o * c_new")

# %% wrong="state_from_the_old_cell" loses="right" says="tanh is applied to the new one"
"""h is made of the cell before the step: what was just written is not shown.

In which order do the two formulas of lstm_step come: c_new first, or h_new?
"""
edit("o * (2 * tl.sigmoid(2 * c_new) - 1)", "o * (2 * tl.sigmoid(2 * c) - 1)")

# %% wrong="forgets_with_f" loses="right" says="old cell state"
"""1 - f is kept of the old cell instead of f: with f = 1 everything is lost.

What does the forget gate say: how much to forget, or how much to keep?
"""
edit("c_new = f * c + i * g", "c_new = (1 - f) * c + i * g")

# %% wrong="one_added_to_the_forget_gate" loses="right" says="old cell state"
"""1 is added to the sum of the forget gate, as some libraries do inside the cell. Here a forget bias is a part of
from_x already.

All numbers of from_x and from_h are zero. How much of c should be kept?
"""
edit("f = tl.sigmoid(f + tl.load(", "f = tl.sigmoid(1 + f + tl.load(")

# %% wrong="tanh_is_two_sigmoids_minus_one" loses="right" says="2 sigmoid(2 x) - 1"
"""tanh is written as 2 * sigmoid(x) - 1, which is tanh(x / 2): the inner factor 2 is missing.

What is the slope of tanh at 0, and what is the slope of your function there?
"""
edit("g = 2 * tl.sigmoid(2 * (g", "g = 2 * tl.sigmoid((g")
edit("2 * tl.sigmoid(2 * c_new) - 1", "2 * tl.sigmoid(c_new) - 1")

# %% wrong="tanh_overflows" loses="right" says="exp overflows"
"""tanh is written with exp(x), which is infinite above 88: infinity divided by infinity is NaN.

Write it as 2 * sigmoid(2 * x) - 1, which can't overflow.
"""
edit("g = 2 * tl.sigmoid(2 * (g + tl.load(", "g = (g + tl.load(")
edit(".to(tl.float32))) - 1", ".to(tl.float32))\ng = (tl.exp(g) - tl.exp(-g)) / (tl.exp(g) + tl.exp(-g))")
edit("2 * tl.sigmoid(2 * c_new) - 1", "(tl.exp(c_new) - tl.exp(-c_new)) / (tl.exp(c_new) + tl.exp(-c_new))")

# %% wrong="second_addend_forgotten" loses="right" says="from_x + from_h"
"""from_h is not added: the gates see the input and nothing of the state.

How many loads does one gate need?
"""
edit("i + tl.load(h_ptr + unit * h_col, mask=inside, other=0.0).to(tl.float32)", "i")
edit("f + tl.load(h_ptr + (unit + width) * h_col, mask=inside, other=0.0).to(tl.float32)", "f")
edit("g + tl.load(h_ptr + (unit + 2 * width) * h_col, mask=inside, other=0.0).to(tl.float32)", "g")
edit("o + tl.load(h_ptr + (unit + 3 * width) * h_col, mask=inside, other=0.0).to(tl.float32)", "o")

# %% wrong="second_addend_of_o_forgotten" loses="right" says="from_x + from_h"
"""Three gates are the sum of from_x and from_h. The output gate takes from_x alone, so what is shown does not depend on
the old state. c_new is right.

Count the loads of your kernel: how many do four gates and a cell need?
"""
edit("o + tl.load(h_ptr + (unit + 3 * width) * h_col, mask=inside, other=0.0).to(tl.float32)", "o")

# %% wrong="rows_of_4_h" loses="right" says="a gap between the elements of the input from_x"
"""The rows of from_x are taken to lie 4H elements apart. A slice of a longer sequence has other strides.

Print sequence[:, 2].stride(). Which number leads to the next row?
"""
edit("x_ptr += row * x_row", "x_ptr += row * 4 * width")

# %% wrong="columns_taken_for_neighbours" loses="right" says="strides"
"""The column strides are ignored: neighbours in memory are taken for neighbours in the row.

Where does column 3 of a transposed tensor lie?
"""
edit(" * x_col", "", times=4)
edit(" * h_col", "", times=4)
edit(" * c_col", "")

# %% wrong="columns_of_from_x_taken_for_neighbours" loses="right" says="strides"
"""The column stride of from_x is ignored: neighbours in memory are taken for neighbours in the row. The other tensors
are read with their strides.

Where does column 3 of a transposed tensor lie?
"""
edit(" * x_col", "", times=4)

# %% wrong="masked_at_4_h" loses="safe" says="are outside"
"""The mask ends at 4H instead of at H: the last lanes work on the next gate's columns and write into the next row.

How many units does a row of the results have?
"""
edit("inside = unit < width", "inside = unit < 4 * width")

# %% wrong="grid_without_the_tail" loses="right" says="never written by a kernel"
"""H // block programs for each row: the units behind the last full block are never computed.

How many programs cover the last unit when H is no multiple of block?
"""
edit("(rows, triton.cdiv(width, block))", "(rows, width // block)")

# %% wrong="grid_without_the_tail_but_one" loses="right" says="never written by a kernel"
"""H // block programs for each row, or one where that is none: rows shorter than a block come out right, but behind the
last full block of a longer row nothing is computed.

How many programs does a row of 100 units need when block is 64?
"""
edit("(rows, triton.cdiv(width, block))", "(rows, max(1, width // block))")

# %% wrong="one_block_for_each_row" loses="right" says="never written by a kernel"
"""Each row gets one program, and the program works on its first block only.

Who computes unit BLOCK?
"""
edit("(rows, triton.cdiv(width, block))", "(rows, 1)")

# %% wrong="cell_changed_in_place" loses="safe" says="the input c"
"""The new cell is written over the old one, which belongs to the caller.

Backpropagation needs the old cell. Into which tensor should the new one go?
"""
edit("tl.store(c_new_ptr + row * width + unit, c_new, mask=inside)", """
    tl.store(c_ptr + row * c_row + unit * c_col, c_new, mask=inside)
    tl.store(c_new_ptr + row * width + unit, c_new, mask=inside)
""")

# %% wrong="results_exchanged" loses="right" says="h_new comes first"
"""The launcher returns (c_new, h_new). The docstring, like torch, has h first.

Which of your two results lies between -1 and 1?
"""
edit("return h_new, c_new", "return c_new, h_new")

# %% wrong="gates_on_their_way_through_memory" loses="lean" says="between the kernels"
"""One kernel writes the four gates to memory, a second one reads them back and makes the cell of them. The numbers are
right; this is the unfused version with two launches.

Which tensor in your launcher is neither an input nor a result? Which program made the numbers it holds, and which one
needs them?
"""
@triton.jit
def gates_kernel(x_ptr, h_ptr, gates_ptr, width, x_row, x_col, h_row, h_col, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    column = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    m = column < 4 * width
    z = tl.load(x_ptr + row * x_row + column * x_col, m, 0.0).to(tl.float32)
    z += tl.load(h_ptr + row * h_row + column * h_col, m, 0.0).to(tl.float32)
    is_g = (column >= 2 * width) & (column < 3 * width)
    tl.store(gates_ptr + row * 4 * width + column, tl.where(is_g, 2 * tl.sigmoid(2 * z) - 1, tl.sigmoid(z)), m)


@triton.jit
def cell_kernel(gates_ptr, c_ptr, h_new_ptr, c_new_ptr, width, c_row, c_col, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    u = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    m = u < width
    gates_ptr += row * 4 * width
    i, f = tl.load(gates_ptr + u, m, 0.0), tl.load(gates_ptr + width + u, m, 0.0)
    g, o = tl.load(gates_ptr + 2 * width + u, m, 0.0), tl.load(gates_ptr + 3 * width + u, m, 0.0)
    new = f * tl.load(c_ptr + row * c_row + u * c_col, m, 0.0).to(tl.float32) + i * g
    tl.store(c_new_ptr + row * width + u, new, m)
    tl.store(h_new_ptr + row * width + u, o * (2 * tl.sigmoid(2 * new) - 1), m)


def lstm_gates(from_x, from_h, c, block=128):
    rows, width = c.shape
    gates = torch.empty((rows, 4 * width), dtype=torch.float32, device=c.device)
    h_new = torch.empty((rows, width), dtype=c.dtype, device=c.device)
    c_new = torch.empty((rows, width), dtype=c.dtype, device=c.device)
    gates_kernel[(rows, triton.cdiv(4 * width, block))](
        from_x, from_h, gates, width, *from_x.stride(), *from_h.stride(), BLOCK=block
    )
    cell_kernel[(rows, triton.cdiv(width, block))](gates, c, h_new, c_new, width, *c.stride(), BLOCK=block)
    return h_new, c_new

# %% wrong="added_in_float16" of="a_tile_of_four_gates" loses="right" says="float16"
"""The two addends of a gate are added in float16, and only their rounded sum is converted to float32. A float16 number
near 60 is a multiple of 1/32: what two such numbers leave when they nearly cancel is mostly rounding.

Which dtype do your numbers have between the loads and the first addition?
"""
edit("mask=mask[None, :], other=0.0).to(tl.float32)", "mask=mask[None, :], other=0.0).to(tl.float16)", times=2)
edit("squashed = tl.sigmoid(tl.where(gate == 2, 2 * z, z))", """
    z = z.to(tl.float32)
    squashed = tl.sigmoid(tl.where(gate == 2, 2 * z, z))
""")

# %% wrong="block_size_as_a_global" loses="compiles" says="UNITS_OF_A_PROGRAM"
"""The kernel takes its block size from a variable outside of it. A kernel is compiled by itself: it knows its
parameters and constants declared as tl.constexpr, nothing else.

How does `block` get into the kernel as a number the compiler knows?
"""
edit("@triton.jit", "UNITS_OF_A_PROGRAM = 32\n\n\n@triton.jit")
edit("tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)",
     "tl.program_id(1) * UNITS_OF_A_PROGRAM + tl.arange(0, UNITS_OF_A_PROGRAM)")  # fmt: skip
edit("triton.cdiv(width, block)", "triton.cdiv(width, UNITS_OF_A_PROGRAM)")

# %% wrong="calls_torch" loses="right" says="torch computed it"
"""The launcher computes with torch. No kernel is launched, so there is nothing to judge.

Which line starts your kernel?
"""
def lstm_gates(from_x, from_h, c, block=128):
    i, f, g, o = (from_x + from_h).chunk(4, 1)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c
