"""Wrong answers to unit 01 by readers who saw the prompts only: tests/test_told_early.py judges them."""

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
