"""Everything of an LSTM step that is not a matrix product.

lstm_gates(from_x, from_h, c, block=128) -> (h_new, c_new)

from_x  (B, 4 H) float32 or float16, any strides: x W_x^T + b of one time step, usually a slice of all time steps
from_h  (B, 4 H) same dtype, any strides: h W_h^T
c       (B, H) same dtype, any strides: the cell state; it belongs to the caller and stays as it is
block   elements of one row of h_new that a program holds at once, a power of two; H may be larger
h_new   (B, H) same dtype, new and contiguous: o tanh(c_new)
c_new   (B, H) same dtype, new and contiguous: f c + i g

The columns of from_x + from_h are the four gates in torch's order, H columns each: i, f, g, o, with i, f, o through a
sigmoid and g through tanh. Numbers of any size are possible. Work in float32 and round once. One launch. More
than one program where there are more than four blocks of cells.
"""

import torch

from grader_kernels.problem import Case, Floor, Settings, normal, power_of_two, strided

SHARE = "More than one program where there are more than four blocks of cells."
settings = Settings(launches=1, block=True, once=True, share=SHARE)

ORDER = (
    "from_x + from_h holds the gates in the order i, f, g, o. f belongs to the old cell state, tanh is applied to the "
    "new one, and h_new comes first."
)
TAIL = "H is no multiple of the block: the last lanes of a gate belong to the next gate, or to nobody."
ADDRESS = "Rows need not lie 4 H elements apart, nor columns side by side: ask each tensor for both of its strides."
LARGE = "exp overflows above 88. Write tanh so that it is 1 or -1 there: as 2 sigmoid(2 x) - 1, or with exp(-2 |x|)."
ADDED = "Work in float32, with the cell too: what is rounded to float16 half way is rounded again later."


def cases(rng, sizes):
    def step(rows, width, spread=2.0, dtype=torch.float32):
        gates = [normal(rng, rows, 4 * width, spread=spread, dtype=dtype) for _ in range(2)]
        return (*gates, normal(rng, rows, width, spread=1.5, dtype=dtype))

    def between(low, high):
        return int(sizes.integers(low, high))

    rows, width, some = between(3, 6), between(33, 48), between(193, 230)
    full, next_to = power_of_two(sizes, 32, 128), power_of_two(sizes, 16, 64)
    at, steps = between(1, 4), between(5, 8)
    # not near 0, where tanh by exponentials has few digits, nor where it has grown flat
    one = tuple(0.5 + t.sigmoid() / 2 for t in step(1, 1))
    sequence = normal(rng, rows, steps, 4 * width, spread=2)
    _, from_h, c = step(rows, width)
    own = tuple(strided(t, how) for t, how in zip(step(rows, between(17, 31)), ("transposed", "every_other",
        "transposed")))
    x, h, old = step(rows, width)
    cancelling = (x + 60, h - 60, old)
    half_x, half_h, half_c = step(rows, some, spread=0.3, dtype=torch.float16)
    half_x[:, : 2 * some] -= 6  # i and f nearly shut: the last digits of the sum decide what is kept of a large cell
    open_or_shut, other, large = step(rows, width)
    open_or_shut[:, width : 2 * width] += 30 * normal(rng, rows, width).sign()
    kept = 60 * large.sign() + large  # exp(2 c) overflows
    return [
        Case("a single cell", one, {"block": 16}, points_to=TAIL),
        Case("rows of full blocks", step(between(4, 8), full * between(2, 6)), {"block": full}, lean=True,
             compile=True, points_to=ORDER),
        Case("rows with a ragged tail", step(rows, width), {"block": 16}, lean=True, points_to=TAIL, weight=2),
        Case("rows narrower than a block", step(rows, between(6, 15)), {"block": 32}, points_to=TAIL),
        Case("one cell more than a block", step(rows, next_to + 1), {"block": next_to}, points_to=TAIL),
        Case("the launcher's own block", step(between(2, 5), between(129, 256)), points_to=TAIL),
        Case("one time step out of a sequence", (sequence[:, at], from_h, c), {"block": 16}, points_to=ADDRESS,
             weight=2),
        Case("every tensor with strides of its own", own, {"block": 16}, points_to=ADDRESS, weight=2),
        Case("gates of several hundred", step(rows, between(18, 31), spread=150), {"block": 32}, points_to=LARGE,
             weight=6),
        Case("the two addends nearly cancel", cancelling, {"block": 32}, points_to=ADDED),
        Case("float16 numbers are added in float32", (half_x, half_h, 20 * half_c), {"block": 64}, points_to=ADDED,
             weight=2),
        Case("a large old cell is kept where f is open and lost where it is shut", (open_or_shut, other, kept),
             {"block": 16}, points_to=ORDER),
    ]  # fmt: skip


def large(rng):
    from_x, from_h, c = (normal(rng, 1024, width) for width in (4096, 4096, 1024))
    return Case("1024 rows of 1024 cells", (from_x, from_h, c), {"block": 256})


def reference(from_x, from_h, c, block=128):
    i, f, g, o = (from_x + from_h).chunk(4, dim=1)
    c_new = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c_new), c_new


def baseline(from_x, from_h, c, block=128):
    return tuple(out.to(c.dtype) for out in reference(from_x.float(), from_h.float(), c.float()))


def programs(from_x, from_h, c, block=128):
    return 2 if c.numel() > 4 * block else 1


def floor(from_x, from_h, c, block=128):
    n = c.numel() * c.element_size()
    why = "4 B H elements of from_x, as many of from_h and B H of c are read once, B H of h and of c written: 11 B H"
    return Floor({"from_x": 4 * n, "from_h": 4 * n, "c": n}, {"out 0": n, "out 1": n}, why)
