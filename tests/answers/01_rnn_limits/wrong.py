"""Wrong answers to unit 01 by readers who saw the released notebook only: tests/test_readers.py judges them."""

# %% exercise="rnn_step" wrong="tanh_by_exp"
"""(e^z - e^-z)/(e^z + e^-z) overflows to nan for large sums."""
def rnn_step(x, h, w_x, w_h, b):
    z = x @ w_x.T + h @ w_h.T + b
    return (torch.exp(z) - torch.exp(-z)) / (torch.exp(z) + torch.exp(-z))

# %% exercise="lstm_step" wrong="exp_tanh"
"""Tanh by e^z: nan for a large cell."""
def lstm_step(x, h, c, w_x, w_h, b):
    i, f, g, o = (x @ w_x.T + h @ w_h.T + b).chunk(4, dim=1)
    th = lambda v: (v.exp() - (-v).exp()) / (v.exp() + (-v).exp())
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * th(g)
    return torch.sigmoid(o) * th(c), c

# %% exercise="receptive_field" wrong="float"
"""Returns a float."""
def receptive_field(kernel_size, dilations):
    return 1.0 + (kernel_size - 1) * float(sum(dilations))

# %% exercise="additive_attention" wrong="mask_renormalised"
"""Masked after the softmax and divided by the sum: 0/0 when padding has a far higher score."""
def additive_attention(query, states, w_q, w_s, v, mask=None):
    scores = torch.tanh((query @ w_q.T)[:, None] + states @ w_s.T) @ v
    weights = torch.softmax(scores, dim=-1)
    if mask is not None:
        weights = weights * mask
        weights = weights / weights.sum(-1, keepdim=True)
    return (weights[..., None] * states).sum(1), weights

# %% exercise="additive_attention" wrong="max_over_padding"
"""The maximum is taken over the padding too, real weights underflow."""
def additive_attention(query, states, w_q, w_s, v, mask=None):
    scores = torch.tanh((query @ w_q.T)[:, None] + states @ w_s.T) @ v
    e = torch.exp(scores - scores.max(-1, keepdim=True).values)
    if mask is not None:
        e = e * mask
    weights = e / e.sum(-1, keepdim=True)
    return (weights[..., None] * states).sum(1), weights

# %% exercise="additive_attention" wrong="fill_minus_100"
"""Padding scores get -100, not -inf: exp(-100) of a weight is left, and real scores may lie lower."""
def additive_attention(query, states, w_q, w_s, v, mask=None):
    scores = torch.tanh((query @ w_q.T)[:, None] + states @ w_s.T) @ v
    if mask is not None:
        scores = scores.masked_fill(~mask, -100.0)
    weights = torch.softmax(scores, dim=-1)
    return (weights[..., None] * states).sum(1), weights

# %% exercise="bottleneck_finding" wrong="guessing"
"""The vector only guesses at 12 words."""
bottleneck_finding = {"one vector": [1.0, 0.57, 0.25], "attention": [1.0, 1.0, 1.0]}

# %% exercise="repaired_windows" wrong="state_with_graph"
"""The state that is handed back still has its graph."""
def repaired_windows(x, targets, h, w_x, w_h, b, window):
    w, found = w_h.detach().clone().requires_grad_(), []
    for start in range(0, x.shape[1], window):
        h, states = h.detach(), []
        for t in range(start, min(start + window, x.shape[1])):
            h = torch.tanh(x[:, t] @ w_x.T + h @ w.T + b)
            states.append(h)
        loss = ((torch.stack(states, 1) - targets[:, start:start + window]) ** 2).mean()
        found.append(torch.autograd.grad(loss, w)[0])
    return torch.stack(found), h

# %% exercise="lstm_step" wrong="exp_sigmoid"
"""Sigmoid = e^x / (1 + e^x): nan for large x."""
def lstm_step(x, h, c, w_x, w_h, b):
    i, f, g, o = (x @ w_x.T + h @ w_h.T + b).chunk(4, dim=1)
    s = lambda v: v.exp() / (1 + v.exp())
    c = s(f) * c + s(i) * torch.tanh(g)
    return s(o) * torch.tanh(c), c

# %% exercise="gru_step" wrong="exp_tanh"
"""Tanh by exponentials: nan for large sums."""
def gru_step(x, h, w_x, w_h, b_x, b_h):
    xr, xz, xn = (x @ w_x.T + b_x).chunk(3, dim=1)
    hr, hz, hn = (h @ w_h.T + b_h).chunk(3, dim=1)
    r, z = torch.sigmoid(xr + hr), torch.sigmoid(xz + hz)
    e = torch.exp(2 * (xn + r * hn))
    n = (e - 1) / (e + 1)
    return (1 - z) * n + z * h

# %% exercise="additive_attention" wrong="squeezed"
"""squeeze() of the scores drops axes of size one."""
def additive_attention(query, states, w_q, w_s, v, mask=None):
    scores = (torch.tanh((query @ w_q.T)[:, None] + states @ w_s.T) @ v[:, None]).squeeze()
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    weights = torch.softmax(scores, dim=-1)
    return (weights[..., None] * states).sum(-2), weights

# %% exercise="rnn_step" wrong="two_biases"
"""The bias is added with each product, as torch's b_ih and b_hh, so twice (held list, onebias turned round)."""
def rnn_step(x, h, w_x, w_h, b):
    return torch.tanh((x @ w_x.T + b) + (h @ w_h.T + b))

# %% exercise="gradient_norms_through_time" wrong="product_of_norms"
"""Multiplies norms (an upper bound), not vectors."""
def gradient_norms_through_time(states, w_h, last_grad):
    bound = last_grad.norm()
    norms = [bound]
    size = torch.linalg.matrix_norm(w_h, 2)
    for t in range(len(states) - 1, 0, -1):
        bound = bound * size * (1 - states[t] ** 2).max()
        norms.append(bound)
    return torch.stack(norms[::-1])

# %% exercise="clip_gradient_norm" wrong="factor_no_root"
"""The norm is returned right, the factor uses the squared norm."""
def clip_gradient_norm(*grads, max_norm):
    square = sum((g ** 2).sum() for g in grads)
    factor = (max_norm / square.clamp(min=1e-12)).clamp(max=1)
    return [g * factor for g in grads], square.sqrt()

# %% exercise="lstm_step" wrong="bias_twice"
"""The bias is added with each product, as b_ih and b_hh (held list: onebias)."""
def lstm_step(x, h, c, w_x, w_h, b):
    i, f, g, o = (torch.nn.functional.linear(x, w_x, b) + torch.nn.functional.linear(h, w_h, b)).chunk(4, dim=1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c

# %% exercise="lstm_step" wrong="no_bias"
"""No bias at all."""
def lstm_step(x, h, c, w_x, w_h, b):
    i, f, g, o = (x @ w_x.T + h @ w_h.T).chunk(4, dim=1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c

# %% exercise="lstm_step" wrong="coupled_gates"
"""F = 1 - i."""
def lstm_step(x, h, c, w_x, w_h, b):
    i, _, g, o = (x @ w_x.T + h @ w_h.T + b).chunk(4, dim=1)
    i = torch.sigmoid(i)
    c = (1 - i) * c + i * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c

# %% exercise="lstm_gates" wrong="empty_like_strided"
"""Empty_like(c) keeps c's strides (stores follow them): right numbers, results not contiguous."""
@triton.jit
def tanh(x):
    return 2 * tl.sigmoid(2 * x) - 1


@triton.jit
def lstm_gates_kernel(
    x_ptr, h_ptr, c_ptr, h_new_ptr, c_new_ptr, width,
    x_row, x_col, h_row, h_col, c_row, c_col, o_row, o_col, BLOCK: tl.constexpr,
):
    row = tl.program_id(0)
    unit = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    mask = unit < width
    x = x_ptr + row * x_row
    hp = h_ptr + row * h_row
    i = tl.load(x + unit * x_col, mask=mask).to(tl.float32) + tl.load(hp + unit * h_col, mask=mask).to(tl.float32)
    f = tl.load(x + (width + unit) * x_col, mask=mask).to(tl.float32) + tl.load(hp + (width + unit) * h_col, mask=mask).to(tl.float32)
    g = tl.load(x + (2 * width + unit) * x_col, mask=mask).to(tl.float32) + tl.load(hp + (2 * width + unit) * h_col, mask=mask).to(tl.float32)
    o = tl.load(x + (3 * width + unit) * x_col, mask=mask).to(tl.float32) + tl.load(hp + (3 * width + unit) * h_col, mask=mask).to(tl.float32)
    c = tl.load(c_ptr + row * c_row + unit * c_col, mask=mask).to(tl.float32)
    c_new = tl.sigmoid(f) * c + tl.sigmoid(i) * tanh(g)
    h_new = tl.sigmoid(o) * tanh(c_new)
    tl.store(h_new_ptr + row * o_row + unit * o_col, h_new, mask=mask)
    tl.store(c_new_ptr + row * o_row + unit * o_col, c_new, mask=mask)


def lstm_gates(from_x, from_h, c, block=128):
    B, H = c.shape
    h_new = torch.empty_like(c)
    c_new = torch.empty_like(c)
    grid = (B, triton.cdiv(H, block))
    lstm_gates_kernel[grid](
        from_x, from_h, c, h_new, c_new, H,
        from_x.stride(0), from_x.stride(1), from_h.stride(0), from_h.stride(1), c.stride(0), c.stride(1), h_new.stride(0), h_new.stride(1), BLOCK=block,
    )
    return h_new, c_new

# %% exercise="lstm_gates" wrong="block_ignored"
"""One program holds the whole row, block is ignored."""
@triton.jit
def tanh(x):
    return 2 * tl.sigmoid(2 * x) - 1


@triton.jit
def lstm_gates_kernel(
    x_ptr, h_ptr, c_ptr, h_new_ptr, c_new_ptr, width,
    x_row, x_col, h_row, h_col, c_row, c_col, BLOCK: tl.constexpr,
):
    row = tl.program_id(0)
    unit = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    mask = unit < width
    x = x_ptr + row * x_row
    hp = h_ptr + row * h_row
    i = tl.load(x + unit * x_col, mask=mask).to(tl.float32) + tl.load(hp + unit * h_col, mask=mask).to(tl.float32)
    f = tl.load(x + (width + unit) * x_col, mask=mask).to(tl.float32) + tl.load(hp + (width + unit) * h_col, mask=mask).to(tl.float32)
    g = tl.load(x + (2 * width + unit) * x_col, mask=mask).to(tl.float32) + tl.load(hp + (2 * width + unit) * h_col, mask=mask).to(tl.float32)
    o = tl.load(x + (3 * width + unit) * x_col, mask=mask).to(tl.float32) + tl.load(hp + (3 * width + unit) * h_col, mask=mask).to(tl.float32)
    c = tl.load(c_ptr + row * c_row + unit * c_col, mask=mask).to(tl.float32)
    c_new = tl.sigmoid(f) * c + tl.sigmoid(i) * tanh(g)
    h_new = tl.sigmoid(o) * tanh(c_new)
    tl.store(h_new_ptr + row * width + unit, h_new, mask=mask)
    tl.store(c_new_ptr + row * width + unit, c_new, mask=mask)


def lstm_gates(from_x, from_h, c, block=128):
    B, H = c.shape
    h_new = torch.empty((B, H), dtype=c.dtype, device=c.device)
    c_new = torch.empty((B, H), dtype=c.dtype, device=c.device)
    block = triton.next_power_of_2(H)
    grid = (B, 1)
    lstm_gates_kernel[grid](
        from_x, from_h, c, h_new, c_new, H,
        from_x.stride(0), from_x.stride(1), from_h.stride(0), from_h.stride(1), c.stride(0), c.stride(1), BLOCK=block,
    )
    return h_new, c_new

# %% exercise="lstm_gates" wrong="block_fixed"
"""BLOCK is 128 whatever block says."""
@triton.jit
def tanh(x):
    return 2 * tl.sigmoid(2 * x) - 1


@triton.jit
def lstm_gates_kernel(
    x_ptr, h_ptr, c_ptr, h_new_ptr, c_new_ptr, width,
    x_row, x_col, h_row, h_col, c_row, c_col, BLOCK: tl.constexpr,
):
    row = tl.program_id(0)
    unit = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    mask = unit < width
    x = x_ptr + row * x_row
    hp = h_ptr + row * h_row
    i = tl.load(x + unit * x_col, mask=mask).to(tl.float32) + tl.load(hp + unit * h_col, mask=mask).to(tl.float32)
    f = tl.load(x + (width + unit) * x_col, mask=mask).to(tl.float32) + tl.load(hp + (width + unit) * h_col, mask=mask).to(tl.float32)
    g = tl.load(x + (2 * width + unit) * x_col, mask=mask).to(tl.float32) + tl.load(hp + (2 * width + unit) * h_col, mask=mask).to(tl.float32)
    o = tl.load(x + (3 * width + unit) * x_col, mask=mask).to(tl.float32) + tl.load(hp + (3 * width + unit) * h_col, mask=mask).to(tl.float32)
    c = tl.load(c_ptr + row * c_row + unit * c_col, mask=mask).to(tl.float32)
    c_new = tl.sigmoid(f) * c + tl.sigmoid(i) * tanh(g)
    h_new = tl.sigmoid(o) * tanh(c_new)
    tl.store(h_new_ptr + row * width + unit, h_new, mask=mask)
    tl.store(c_new_ptr + row * width + unit, c_new, mask=mask)


def lstm_gates(from_x, from_h, c, block=128):
    B, H = c.shape
    h_new = torch.empty((B, H), dtype=c.dtype, device=c.device)
    c_new = torch.empty((B, H), dtype=c.dtype, device=c.device)
    grid = (B, triton.cdiv(H, 128))
    lstm_gates_kernel[grid](
        from_x, from_h, c, h_new, c_new, H,
        from_x.stride(0), from_x.stride(1), from_h.stride(0), from_h.stride(1), c.stride(0), c.stride(1), BLOCK=128,
    )
    return h_new, c_new

# %% exercise="lstm_gates" wrong="rounded_cell_shown"
"""The cell is rounded to float16 before the state is made of it (rounded twice)."""
@triton.jit
def tanh(x):
    return 2 * tl.sigmoid(2 * x) - 1


@triton.jit
def lstm_gates_kernel(
    x_ptr, h_ptr, c_ptr, h_new_ptr, c_new_ptr, width,
    x_row, x_col, h_row, h_col, c_row, c_col, BLOCK: tl.constexpr,
):
    row = tl.program_id(0)
    unit = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    mask = unit < width
    x = x_ptr + row * x_row
    hp = h_ptr + row * h_row
    i = tl.load(x + unit * x_col, mask=mask).to(tl.float32) + tl.load(hp + unit * h_col, mask=mask).to(tl.float32)
    f = tl.load(x + (width + unit) * x_col, mask=mask).to(tl.float32) + tl.load(hp + (width + unit) * h_col, mask=mask).to(tl.float32)
    g = tl.load(x + (2 * width + unit) * x_col, mask=mask).to(tl.float32) + tl.load(hp + (2 * width + unit) * h_col, mask=mask).to(tl.float32)
    o = tl.load(x + (3 * width + unit) * x_col, mask=mask).to(tl.float32) + tl.load(hp + (3 * width + unit) * h_col, mask=mask).to(tl.float32)
    c = tl.load(c_ptr + row * c_row + unit * c_col, mask=mask).to(tl.float32)
    c_new = tl.sigmoid(f) * c + tl.sigmoid(i) * tanh(g)
    c_new = c_new.to(c_new_ptr.dtype.element_ty)
    h_new = tl.sigmoid(o) * tanh(c_new.to(tl.float32))
    tl.store(h_new_ptr + row * width + unit, h_new, mask=mask)
    tl.store(c_new_ptr + row * width + unit, c_new, mask=mask)


def lstm_gates(from_x, from_h, c, block=128):
    B, H = c.shape
    h_new = torch.empty((B, H), dtype=c.dtype, device=c.device)
    c_new = torch.empty((B, H), dtype=c.dtype, device=c.device)
    grid = (B, triton.cdiv(H, block))
    lstm_gates_kernel[grid](
        from_x, from_h, c, h_new, c_new, H,
        from_x.stride(0), from_x.stride(1), from_h.stride(0), from_h.stride(1), c.stride(0), c.stride(1), BLOCK=block,
    )
    return h_new, c_new

# %% exercise="lstm_gates" wrong="gates_interleaved"
"""Gate k of unit u in column 4 u + k."""
@triton.jit
def tanh(x):
    return 2 * tl.sigmoid(2 * x) - 1


@triton.jit
def lstm_gates_kernel(
    x_ptr, h_ptr, c_ptr, h_new_ptr, c_new_ptr, width,
    x_row, x_col, h_row, h_col, c_row, c_col, BLOCK: tl.constexpr,
):
    row = tl.program_id(0)
    unit = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    mask = unit < width
    x = x_ptr + row * x_row
    hp = h_ptr + row * h_row
    i = tl.load(x + 4 * unit * x_col, mask=mask).to(tl.float32) + tl.load(hp + 4 * unit * h_col, mask=mask).to(tl.float32)
    f = tl.load(x + (4 * unit + 1) * x_col, mask=mask).to(tl.float32) + tl.load(hp + (4 * unit + 1) * h_col, mask=mask).to(tl.float32)
    g = tl.load(x + (4 * unit + 2) * x_col, mask=mask).to(tl.float32) + tl.load(hp + (4 * unit + 2) * h_col, mask=mask).to(tl.float32)
    o = tl.load(x + (4 * unit + 3) * x_col, mask=mask).to(tl.float32) + tl.load(hp + (4 * unit + 3) * h_col, mask=mask).to(tl.float32)
    c = tl.load(c_ptr + row * c_row + unit * c_col, mask=mask).to(tl.float32)
    c_new = tl.sigmoid(f) * c + tl.sigmoid(i) * tanh(g)
    h_new = tl.sigmoid(o) * tanh(c_new)
    tl.store(h_new_ptr + row * width + unit, h_new, mask=mask)
    tl.store(c_new_ptr + row * width + unit, c_new, mask=mask)


def lstm_gates(from_x, from_h, c, block=128):
    B, H = c.shape
    h_new = torch.empty((B, H), dtype=c.dtype, device=c.device)
    c_new = torch.empty((B, H), dtype=c.dtype, device=c.device)
    grid = (B, triton.cdiv(H, block))
    lstm_gates_kernel[grid](
        from_x, from_h, c, h_new, c_new, H,
        from_x.stride(0), from_x.stride(1), from_h.stride(0), from_h.stride(1), c.stride(0), c.stride(1), BLOCK=block,
    )
    return h_new, c_new

# %% exercise="lstm_gates" wrong="python_global"
"""Wrong on a GPU: uses a plain global of the notebook for the number of gates."""
GATE_OUT = 3


@triton.jit
def tanh(x):
    return 2 * tl.sigmoid(2 * x) - 1


@triton.jit
def lstm_gates_kernel(
    x_ptr, h_ptr, c_ptr, h_new_ptr, c_new_ptr, width,
    x_row, x_col, h_row, h_col, c_row, c_col, BLOCK: tl.constexpr,
):
    row = tl.program_id(0)
    unit = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    mask = unit < width
    x = x_ptr + row * x_row
    hp = h_ptr + row * h_row
    i = tl.load(x + unit * x_col, mask=mask).to(tl.float32) + tl.load(hp + unit * h_col, mask=mask).to(tl.float32)
    f = tl.load(x + (width + unit) * x_col, mask=mask).to(tl.float32) + tl.load(hp + (width + unit) * h_col, mask=mask).to(tl.float32)
    g = tl.load(x + (2 * width + unit) * x_col, mask=mask).to(tl.float32) + tl.load(hp + (2 * width + unit) * h_col, mask=mask).to(tl.float32)
    o = tl.load(x + (GATE_OUT * width + unit) * x_col, mask=mask).to(tl.float32) + tl.load(hp + (GATE_OUT * width + unit) * h_col, mask=mask).to(tl.float32)
    c = tl.load(c_ptr + row * c_row + unit * c_col, mask=mask).to(tl.float32)
    c_new = tl.sigmoid(f) * c + tl.sigmoid(i) * tanh(g)
    h_new = tl.sigmoid(o) * tanh(c_new)
    tl.store(h_new_ptr + row * width + unit, h_new, mask=mask)
    tl.store(c_new_ptr + row * width + unit, c_new, mask=mask)


def lstm_gates(from_x, from_h, c, block=128):
    B, H = c.shape
    h_new = torch.empty((B, H), dtype=c.dtype, device=c.device)
    c_new = torch.empty((B, H), dtype=c.dtype, device=c.device)
    grid = (B, triton.cdiv(H, block))
    lstm_gates_kernel[grid](
        from_x, from_h, c, h_new, c_new, H,
        from_x.stride(0), from_x.stride(1), from_h.stride(0), from_h.stride(1), c.stride(0), c.stride(1), BLOCK=block,
    )
    return h_new, c_new

# %% exercise="lstm_gates" wrong="no_from_h_for_o"
"""From_h is left out of the output gate."""
@triton.jit
def tanh(x):
    return 2 * tl.sigmoid(2 * x) - 1


@triton.jit
def lstm_gates_kernel(
    x_ptr, h_ptr, c_ptr, h_new_ptr, c_new_ptr, width,
    x_row, x_col, h_row, h_col, c_row, c_col, BLOCK: tl.constexpr,
):
    row = tl.program_id(0)
    unit = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    mask = unit < width
    x = x_ptr + row * x_row
    hp = h_ptr + row * h_row
    i = tl.load(x + unit * x_col, mask=mask).to(tl.float32) + tl.load(hp + unit * h_col, mask=mask).to(tl.float32)
    f = tl.load(x + (width + unit) * x_col, mask=mask).to(tl.float32) + tl.load(hp + (width + unit) * h_col, mask=mask).to(tl.float32)
    g = tl.load(x + (2 * width + unit) * x_col, mask=mask).to(tl.float32) + tl.load(hp + (2 * width + unit) * h_col, mask=mask).to(tl.float32)
    o = tl.load(x + (3 * width + unit) * x_col, mask=mask).to(tl.float32)
    c = tl.load(c_ptr + row * c_row + unit * c_col, mask=mask).to(tl.float32)
    c_new = tl.sigmoid(f) * c + tl.sigmoid(i) * tanh(g)
    h_new = tl.sigmoid(o) * tanh(c_new)
    tl.store(h_new_ptr + row * width + unit, h_new, mask=mask)
    tl.store(c_new_ptr + row * width + unit, c_new, mask=mask)


def lstm_gates(from_x, from_h, c, block=128):
    B, H = c.shape
    h_new = torch.empty((B, H), dtype=c.dtype, device=c.device)
    c_new = torch.empty((B, H), dtype=c.dtype, device=c.device)
    grid = (B, triton.cdiv(H, block))
    lstm_gates_kernel[grid](
        from_x, from_h, c, h_new, c_new, H,
        from_x.stride(0), from_x.stride(1), from_h.stride(0), from_h.stride(1), c.stride(0), c.stride(1), BLOCK=block,
    )
    return h_new, c_new

# %% exercise="lstm_gates" wrong="bias_of_forget"
"""Adds 1 to the forget gate."""
@triton.jit
def tanh(x):
    return 2 * tl.sigmoid(2 * x) - 1


@triton.jit
def lstm_gates_kernel(
    x_ptr, h_ptr, c_ptr, h_new_ptr, c_new_ptr, width,
    x_row, x_col, h_row, h_col, c_row, c_col, BLOCK: tl.constexpr,
):
    row = tl.program_id(0)
    unit = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    mask = unit < width
    x = x_ptr + row * x_row
    hp = h_ptr + row * h_row
    i = tl.load(x + unit * x_col, mask=mask).to(tl.float32) + tl.load(hp + unit * h_col, mask=mask).to(tl.float32)
    f = tl.load(x + (width + unit) * x_col, mask=mask).to(tl.float32) + tl.load(hp + (width + unit) * h_col, mask=mask).to(tl.float32)
    g = tl.load(x + (2 * width + unit) * x_col, mask=mask).to(tl.float32) + tl.load(hp + (2 * width + unit) * h_col, mask=mask).to(tl.float32)
    o = tl.load(x + (3 * width + unit) * x_col, mask=mask).to(tl.float32) + tl.load(hp + (3 * width + unit) * h_col, mask=mask).to(tl.float32)
    c = tl.load(c_ptr + row * c_row + unit * c_col, mask=mask).to(tl.float32)
    c_new = tl.sigmoid(f + 1.0) * c + tl.sigmoid(i) * tanh(g)
    h_new = tl.sigmoid(o) * tanh(c_new)
    tl.store(h_new_ptr + row * width + unit, h_new, mask=mask)
    tl.store(c_new_ptr + row * width + unit, c_new, mask=mask)


def lstm_gates(from_x, from_h, c, block=128):
    B, H = c.shape
    h_new = torch.empty((B, H), dtype=c.dtype, device=c.device)
    c_new = torch.empty((B, H), dtype=c.dtype, device=c.device)
    grid = (B, triton.cdiv(H, block))
    lstm_gates_kernel[grid](
        from_x, from_h, c, h_new, c_new, H,
        from_x.stride(0), from_x.stride(1), from_h.stride(0), from_h.stride(1), c.stride(0), c.stride(1), BLOCK=block,
    )
    return h_new, c_new

# %% exercise="additive_attention" wrong="softmax_over_hidden"
"""Softmax over the hidden axis before v (held list: hidden axis)."""
def additive_attention(query, states, w_q, w_s, v, mask=None):
    hidden = torch.softmax(torch.tanh((query @ w_q.T)[:, None] + states @ w_s.T), dim=-1)
    weights = hidden @ v
    if mask is not None:
        weights = weights.masked_fill(~mask, 0)
    weights = weights / weights.sum(1, keepdim=True)
    return (weights[..., None] * states).sum(1), weights

# %% exercise="additive_attention" wrong="mask_inverted"
"""The real tokens are masked."""
def additive_attention(query, states, w_q, w_s, v, mask=None):
    scores = torch.tanh((query @ w_q.T)[:, None] + states @ w_s.T) @ v
    if mask is not None:
        scores = scores.masked_fill(mask, float("-inf"))
    weights = torch.softmax(scores, dim=-1)
    return (weights[..., None] * states).sum(1), weights

# %% exercise="additive_attention" wrong="no_tanh"
"""No tanh: the query then cancels in the softmax."""
def additive_attention(query, states, w_q, w_s, v, mask=None):
    scores = ((query @ w_q.T)[:, None] + states @ w_s.T) @ v
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    weights = torch.softmax(scores, dim=-1)
    return (weights[..., None] * states).sum(1), weights

# %% exercise="additive_attention" wrong="scaled"
"""Scores divided by sqrt(A), as in dot-product attention."""
def additive_attention(query, states, w_q, w_s, v, mask=None):
    scores = torch.tanh((query @ w_q.T)[:, None] + states @ w_s.T) @ v / math.sqrt(len(v))
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    weights = torch.softmax(scores, dim=-1)
    return (weights[..., None] * states).sum(1), weights

# %% exercise="rnn_forward" wrong="sorted_not_unsorted"
"""Rows are sorted by length for `last` and never put back (pack_padded_sequence habit)."""
def rnn_forward(x, h, w_x, w_h, b, lengths=None):
    states = []
    for t in range(x.shape[1]):
        h = torch.tanh(x[:, t] @ w_x.T + h @ w_h.T + b)
        states.append(h)
    states = torch.stack(states, 1)
    if lengths is None:
        return states, h
    order = lengths.argsort(descending=True)
    return states, states[order, lengths[order] - 1]

# %% exercise="causal_dilated_conv" wrong="masked_same"
""""same" convolution with the future taps zeroed (masked convolution): half of the taps are lost."""
def causal_dilated_conv(x, weight, bias, dilation=1):
    K = weight.shape[-1]
    keep = torch.arange(K) <= K // 2
    return torch.nn.functional.conv1d(x, weight * keep, bias, dilation=dilation, padding="same")

# %% exercise="lstm_gates" wrong="cell_tanh_overflow"
"""Tanh of the new cell by e^2c: nan for a large cell (gates are safe)."""
@triton.jit
def tanh(x):
    return 2 * tl.sigmoid(2 * x) - 1


@triton.jit
def lstm_gates_kernel(
    x_ptr, h_ptr, c_ptr, h_new_ptr, c_new_ptr, width,
    x_row, x_col, h_row, h_col, c_row, c_col, BLOCK: tl.constexpr,
):
    row = tl.program_id(0)
    unit = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    mask = unit < width
    x = x_ptr + row * x_row
    hp = h_ptr + row * h_row
    i = tl.load(x + unit * x_col, mask=mask).to(tl.float32) + tl.load(hp + unit * h_col, mask=mask).to(tl.float32)
    f = tl.load(x + (width + unit) * x_col, mask=mask).to(tl.float32) + tl.load(hp + (width + unit) * h_col, mask=mask).to(tl.float32)
    g = tl.load(x + (2 * width + unit) * x_col, mask=mask).to(tl.float32) + tl.load(hp + (2 * width + unit) * h_col, mask=mask).to(tl.float32)
    o = tl.load(x + (3 * width + unit) * x_col, mask=mask).to(tl.float32) + tl.load(hp + (3 * width + unit) * h_col, mask=mask).to(tl.float32)
    c = tl.load(c_ptr + row * c_row + unit * c_col, mask=mask).to(tl.float32)
    c_new = tl.sigmoid(f) * c + tl.sigmoid(i) * tanh(g)
    h_new = tl.sigmoid(o) * (tl.exp(2 * c_new) - 1) / (tl.exp(2 * c_new) + 1)
    tl.store(h_new_ptr + row * width + unit, h_new, mask=mask)
    tl.store(c_new_ptr + row * width + unit, c_new, mask=mask)


def lstm_gates(from_x, from_h, c, block=128):
    B, H = c.shape
    h_new = torch.empty((B, H), dtype=c.dtype, device=c.device)
    c_new = torch.empty((B, H), dtype=c.dtype, device=c.device)
    grid = (B, triton.cdiv(H, block))
    lstm_gates_kernel[grid](
        from_x, from_h, c, h_new, c_new, H,
        from_x.stride(0), from_x.stride(1), from_h.stride(0), from_h.stride(1), c.stride(0), c.stride(1), BLOCK=block,
    )
    return h_new, c_new

# %% exercise="lstm_gates" wrong="whole_row_by_everyone"
"""Every program of a row works on all blocks of it: everything is moved several times."""
@triton.jit
def tanh(x):
    return 2 * tl.sigmoid(2 * x) - 1


@triton.jit
def lstm_gates_kernel(
    x_ptr, h_ptr, c_ptr, h_new_ptr, c_new_ptr, width,
    x_row, x_col, h_row, h_col, c_row, c_col, BLOCK: tl.constexpr,
):
    row = tl.program_id(0)
    for j in range(0, tl.num_programs(1)):
      unit = j * BLOCK + tl.arange(0, BLOCK)
      mask = unit < width
      x = x_ptr + row * x_row
      hp = h_ptr + row * h_row
      i = tl.load(x + unit * x_col, mask=mask).to(tl.float32) + tl.load(hp + unit * h_col, mask=mask).to(tl.float32)
      f = tl.load(x + (width + unit) * x_col, mask=mask).to(tl.float32) + tl.load(hp + (width + unit) * h_col, mask=mask).to(tl.float32)
      g = tl.load(x + (2 * width + unit) * x_col, mask=mask).to(tl.float32) + tl.load(hp + (2 * width + unit) * h_col, mask=mask).to(tl.float32)
      o = tl.load(x + (3 * width + unit) * x_col, mask=mask).to(tl.float32) + tl.load(hp + (3 * width + unit) * h_col, mask=mask).to(tl.float32)
      c = tl.load(c_ptr + row * c_row + unit * c_col, mask=mask).to(tl.float32)
      c_new = tl.sigmoid(f) * c + tl.sigmoid(i) * tanh(g)
      h_new = tl.sigmoid(o) * tanh(c_new)
      tl.store(h_new_ptr + row * width + unit, h_new, mask=mask)
      tl.store(c_new_ptr + row * width + unit, c_new, mask=mask)


def lstm_gates(from_x, from_h, c, block=128):
    B, H = c.shape
    h_new = torch.empty((B, H), dtype=c.dtype, device=c.device)
    c_new = torch.empty((B, H), dtype=c.dtype, device=c.device)
    grid = (B, triton.cdiv(H, block))
    lstm_gates_kernel[grid](
        from_x, from_h, c, h_new, c_new, H,
        from_x.stride(0), from_x.stride(1), from_h.stride(0), from_h.stride(1), c.stride(0), c.stride(1), BLOCK=block,
    )
    return h_new, c_new

# %% exercise="lstm_gates" wrong="gates_read_twice"
"""The four gates of from_x are read a second time for the state."""
@triton.jit
def tanh(x):
    return 2 * tl.sigmoid(2 * x) - 1


@triton.jit
def lstm_gates_kernel(
    x_ptr, h_ptr, c_ptr, h_new_ptr, c_new_ptr, width,
    x_row, x_col, h_row, h_col, c_row, c_col, BLOCK: tl.constexpr,
):
    row = tl.program_id(0)
    unit = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    mask = unit < width
    x = x_ptr + row * x_row
    hp = h_ptr + row * h_row
    i = tl.load(x + unit * x_col, mask=mask).to(tl.float32) + tl.load(hp + unit * h_col, mask=mask).to(tl.float32)
    f = tl.load(x + (width + unit) * x_col, mask=mask).to(tl.float32) + tl.load(hp + (width + unit) * h_col, mask=mask).to(tl.float32)
    g = tl.load(x + (2 * width + unit) * x_col, mask=mask).to(tl.float32) + tl.load(hp + (2 * width + unit) * h_col, mask=mask).to(tl.float32)
    o = tl.load(x + (3 * width + unit) * x_col, mask=mask).to(tl.float32) + tl.load(hp + (3 * width + unit) * h_col, mask=mask).to(tl.float32)
    c = tl.load(c_ptr + row * c_row + unit * c_col, mask=mask).to(tl.float32)
    c_new = tl.sigmoid(f) * c + tl.sigmoid(i) * tanh(g)
    o = tl.load(x + (3 * width + unit) * x_col, mask=mask).to(tl.float32) + tl.load(hp + (3 * width + unit) * h_col, mask=mask).to(tl.float32)
    h_new = tl.sigmoid(o) * tanh(c_new)
    tl.store(h_new_ptr + row * width + unit, h_new, mask=mask)
    tl.store(c_new_ptr + row * width + unit, c_new, mask=mask)


def lstm_gates(from_x, from_h, c, block=128):
    B, H = c.shape
    h_new = torch.empty((B, H), dtype=c.dtype, device=c.device)
    c_new = torch.empty((B, H), dtype=c.dtype, device=c.device)
    grid = (B, triton.cdiv(H, block))
    lstm_gates_kernel[grid](
        from_x, from_h, c, h_new, c_new, H,
        from_x.stride(0), from_x.stride(1), from_h.stride(0), from_h.stride(1), c.stride(0), c.stride(1), BLOCK=block,
    )
    return h_new, c_new

# %% exercise="lstm_gates" wrong="contiguous_c_only"
"""Only c is copied by .contiguous() (needless bytes and a second launch)."""
@triton.jit
def tanh(x):
    return 2 * tl.sigmoid(2 * x) - 1


@triton.jit
def lstm_gates_kernel(
    x_ptr, h_ptr, c_ptr, h_new_ptr, c_new_ptr, width,
    x_row, x_col, h_row, h_col, c_row, c_col, BLOCK: tl.constexpr,
):
    row = tl.program_id(0)
    unit = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    mask = unit < width
    x = x_ptr + row * x_row
    hp = h_ptr + row * h_row
    i = tl.load(x + unit * x_col, mask=mask).to(tl.float32) + tl.load(hp + unit * h_col, mask=mask).to(tl.float32)
    f = tl.load(x + (width + unit) * x_col, mask=mask).to(tl.float32) + tl.load(hp + (width + unit) * h_col, mask=mask).to(tl.float32)
    g = tl.load(x + (2 * width + unit) * x_col, mask=mask).to(tl.float32) + tl.load(hp + (2 * width + unit) * h_col, mask=mask).to(tl.float32)
    o = tl.load(x + (3 * width + unit) * x_col, mask=mask).to(tl.float32) + tl.load(hp + (3 * width + unit) * h_col, mask=mask).to(tl.float32)
    c = tl.load(c_ptr + row * c_row + unit * c_col, mask=mask).to(tl.float32)
    c_new = tl.sigmoid(f) * c + tl.sigmoid(i) * tanh(g)
    h_new = tl.sigmoid(o) * tanh(c_new)
    tl.store(h_new_ptr + row * width + unit, h_new, mask=mask)
    tl.store(c_new_ptr + row * width + unit, c_new, mask=mask)


def lstm_gates(from_x, from_h, c, block=128):
    c = c.contiguous()
    B, H = c.shape
    h_new = torch.empty((B, H), dtype=c.dtype, device=c.device)
    c_new = torch.empty((B, H), dtype=c.dtype, device=c.device)
    grid = (B, triton.cdiv(H, block))
    lstm_gates_kernel[grid](
        from_x, from_h, c, h_new, c_new, H,
        from_x.stride(0), from_x.stride(1), from_h.stride(0), from_h.stride(1), c.stride(0), c.stride(1), BLOCK=block,
    )
    return h_new, c_new

# %% exercise="lstm_gates" wrong="loop_carried_int"
"""Wrong on a GPU only: a loop-carried variable starts as an int and becomes a float tile (no global is used)."""
@triton.jit
def tanh(x):
    return 2 * tl.sigmoid(2 * x) - 1


@triton.jit
def lstm_gates_kernel(
    x_ptr, h_ptr, c_ptr, h_new_ptr, c_new_ptr, width,
    x_row, x_col, h_row, h_col, c_row, c_col, BLOCK: tl.constexpr,
):
    row = tl.program_id(0)
    unit = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    mask = unit < width
    x = x_ptr + row * x_row
    hp = h_ptr + row * h_row
    i = tl.load(x + unit * x_col, mask=mask).to(tl.float32) + tl.load(hp + unit * h_col, mask=mask).to(tl.float32)
    f = tl.load(x + (width + unit) * x_col, mask=mask).to(tl.float32) + tl.load(hp + (width + unit) * h_col, mask=mask).to(tl.float32)
    g = tl.load(x + (2 * width + unit) * x_col, mask=mask).to(tl.float32) + tl.load(hp + (2 * width + unit) * h_col, mask=mask).to(tl.float32)
    o = tl.load(x + (3 * width + unit) * x_col, mask=mask).to(tl.float32) + tl.load(hp + (3 * width + unit) * h_col, mask=mask).to(tl.float32)
    c = tl.load(c_ptr + row * c_row + unit * c_col, mask=mask).to(tl.float32)
    c_new = 0
    for k in range(row, row + 1):
        c_new = tl.sigmoid(f) * c + tl.sigmoid(i) * tanh(g)
    h_new = tl.sigmoid(o) * tanh(c_new)
    tl.store(h_new_ptr + row * width + unit, h_new, mask=mask)
    tl.store(c_new_ptr + row * width + unit, c_new, mask=mask)


def lstm_gates(from_x, from_h, c, block=128):
    B, H = c.shape
    h_new = torch.empty((B, H), dtype=c.dtype, device=c.device)
    c_new = torch.empty((B, H), dtype=c.dtype, device=c.device)
    grid = (B, triton.cdiv(H, block))
    lstm_gates_kernel[grid](
        from_x, from_h, c, h_new, c_new, H,
        from_x.stride(0), from_x.stride(1), from_h.stride(0), from_h.stride(1), c.stride(0), c.stride(1), BLOCK=block,
    )
    return h_new, c_new
