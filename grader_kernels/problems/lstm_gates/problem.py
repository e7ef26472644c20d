"""Everything of an LSTM step that is not a matrix product.

lstm_gates(from_x, from_h, c, block=128) -> (h_new, c_new)

from_x  (B, 4 H) float32 or float16, any strides: x W_x^T + b of one time step, usually a slice of all time steps
from_h  (B, 4 H) same dtype, any strides: h W_h^T
c       (B, H) same dtype, any strides: the cell state; it belongs to the caller and stays as it is
block   elements of one row of h_new that a program holds at once, a power of two; H may be larger
h_new   (B, H) same dtype, new and contiguous: o tanh(c_new)
c_new   (B, H) same dtype, new and contiguous: f c + i g

The columns of from_x + from_h are the four gates in torch's order, H columns each: i, f, g, o, with i, f, o through a
sigmoid and g through tanh. Numbers of any size are possible. Work in float32 and round once. One launch.
"""

import torch

from grader_kernels.problem import Case, Floor, Settings, normal, strided

settings = Settings(launches=1)

ORDER = "The gates come in the order i, f, g, o; f belongs to the old cell state, and tanh is applied to the new one."
TAIL = "H is no multiple of the block: the last lanes of a gate belong to the next gate, or to nobody."
ADDRESS = "from_x may be a slice: its rows do not lie 4 H elements apart. Ask each tensor for its strides."
LARGE = "exp overflows above 88. Write tanh so that it is 1 or -1 there: as 2 sigmoid(2 x) - 1, or with exp(-2 |x|)."


def cases(rng, sizes):
    def step(rows, width, spread=2.0, dtype=torch.float32):
        gates = [normal(rng, rows, 4 * width, spread=spread, dtype=dtype) for _ in range(2)]
        return (*gates, normal(rng, rows, width, dtype=dtype))

    sequence = normal(rng, 3, 5, 4 * 20, spread=2)
    _, from_h, c = step(3, 20)
    turned = tuple(strided(t, how) for t, how in zip(step(4, 21), ("transposed", "every_other", "transposed")))
    return [
        Case("a single cell", step(1, 1), {"block": 16}, points_to=TAIL),
        Case("rows of full blocks", step(4, 128), {"block": 64}, lean=True, compile=True, points_to=ORDER),
        Case("rows with a ragged tail", step(3, 37), {"block": 16}, lean=True, points_to=TAIL),
        Case("rows narrower than a block", step(5, 13), {"block": 32}, points_to=TAIL),
        Case("one cell more than a block", step(3, 33), {"block": 32}, points_to=TAIL),
        Case("one time step out of a sequence", (sequence[:, 2], from_h, c), {"block": 32}, points_to=ADDRESS,
             weight=2),
        Case("every tensor with strides of its own", turned, {"block": 16}, points_to=ADDRESS),
        Case("gates of several hundred", step(4, 24, spread=150), {"block": 32}, points_to=LARGE, weight=2),
        Case("float16", step(4, 40, dtype=torch.float16), {"block": 64}, weight=2,
             points_to="Work in float32: what is rounded to float16 half way is rounded again later."),
    ]  # fmt: skip


def reference(from_x, from_h, c, block=128):
    i, f, g, o = (from_x + from_h).chunk(4, dim=1)
    c_new = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c_new), c_new


def baseline(from_x, from_h, c, block=128):
    return tuple(out.to(c.dtype) for out in reference(from_x.float(), from_h.float(), c.float()))


def floor(from_x, from_h, c, block=128):
    n = c.numel() * c.element_size()
    why = "4 B H elements of from_x, as many of from_h and B H of c are read once, B H of h and of c written: 11 B H"
    return Floor({"from_x": 4 * n, "from_h": 4 * n, "c": n}, {"out 0": n, "out 1": n}, why)
