"""Wrong answers to unit 04 by readers who saw the released notebook only: tests/test_readers.py judges them."""

# %% exercise="LayerNorm" wrong="cancellation"
"""Variance as E[x^2] - E[x]^2 in float32."""
class LayerNorm(nn.Module):
    def __init__(self, width: int, eps: float = 1e-5):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean(dim=-1, keepdim=True)
        var = (x * x).mean(dim=-1, keepdim=True) - mean * mean
        return (x - mean) / torch.sqrt(var + self.eps) * self.weight + self.bias

# %% exercise="RMSNorm" wrong="only_float16"
"""Forgets bfloat16."""
class RMSNorm(nn.Module):
    def __init__(self, width: int, eps: float = 1e-6):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        dtype = x.dtype
        if dtype in (torch.float16,):
            x = x.float()
            weight = self.weight.float()
        else:
            weight = self.weight
        rms = torch.sqrt(x.pow(2).mean(-1, keepdim=True) + self.eps)
        return (x / rms * weight).to(dtype)

# %% exercise="BatchNorm" wrong="graph_kept"
"""Running statistics keep the graph."""
class BatchNorm(nn.Module):
    def __init__(self, width: int, eps: float = 1e-5, momentum: float = 0.1):
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))
        self.register_buffer("running_mean", torch.zeros(width))
        self.register_buffer("running_var", torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            flat = x.reshape(-1, x.shape[-1])
            n = flat.shape[0]
            mean = flat.mean(0)
            var = flat.var(0, unbiased=False)
            self.running_mean = (1 - self.momentum) * self.running_mean + self.momentum * mean
            self.running_var = (1 - self.momentum) * self.running_var + self.momentum * var * n / (n - 1)
        else:
            mean, var = self.running_mean, self.running_var
        return (x - mean) / torch.sqrt(var + self.eps) * self.weight + self.bias

# %% exercise="BatchNorm" wrong="parameters_not_buffers"
"""Running statistics are parameters."""
class BatchNorm(nn.Module):
    def __init__(self, width: int, eps: float = 1e-5, momentum: float = 0.1):
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))
        self.running_mean = nn.Parameter(torch.zeros(width))
        self.running_var = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            flat = x.reshape(-1, x.shape[-1])
            n = flat.shape[0]
            mean = flat.mean(0)
            var = flat.var(0, unbiased=False)
            with torch.no_grad():
                self.running_mean.mul_(1 - self.momentum).add_(self.momentum * mean)
                self.running_var.mul_(1 - self.momentum).add_(self.momentum * var * n / (n - 1))
        else:
            mean, var = self.running_mean, self.running_var
        return (x - mean) / torch.sqrt(var + self.eps) * self.weight + self.bias

# %% exercise="FeedForward" wrong="leaky"
"""Leaky relu."""
class FeedForward(nn.Module):
    def __init__(self, width: int, hidden: int, activation: str = "relu"):
        super().__init__()
        if activation not in ("relu", "gelu"):
            raise ValueError(f"unknown activation {activation!r}")
        self.activation = activation
        self.up = nn.Linear(width, hidden)
        self.down = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        h = self.up(x)
        h = nn.functional.leaky_relu(h) if self.activation == "relu" else nn.functional.gelu(h)
        return self.down(h)

# %% exercise="SwiGLU" wrong="two_thirds"
"""Hidden is cut to two thirds inside."""
class SwiGLU(nn.Module):
    def __init__(self, width: int, hidden: int):
        super().__init__()
        hidden = int(2 * hidden / 3)
        self.gate = nn.Linear(width, hidden, bias=False)
        self.up = nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(nn.functional.silu(self.gate(x)) * self.up(x))

# %% exercise="SwiGLU" wrong="softmax_gate"
"""Softmax gate."""
class SwiGLU(nn.Module):
    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.gate = nn.Linear(width, hidden, bias=False)
        self.up = nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(torch.softmax(self.gate(x), -1) * self.up(x))

# %% exercise="DecoderLayer" wrong="drops_memory"
"""Dropout on the memory as well."""
class DecoderLayer(nn.Module):
    def __init__(
        self, width: int, heads: int, hidden: int, norm: str = "pre", activation: str = "relu", dropout: float = 0.0
    ):
        super().__init__()
        if norm not in ("pre", "post"):
            raise ValueError(f"norm must be 'pre' or 'post', not {norm!r}")
        self.norm = norm
        self.self_attention = MultiHeadAttention(width, heads)
        self.norm1 = LayerNorm(width)
        self.cross_attention = MultiHeadAttention(width, heads)
        self.norm2 = LayerNorm(width)
        self.feed_forward = FeedForward(width, hidden, activation)
        self.norm3 = LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def sub(self, x, norm, f):
        if self.norm == "pre":
            return x + self.dropout(f(norm(x)))
        return norm(x + self.dropout(f(x)))

    def forward(self, x: Tensor, memory: Tensor, mask: Mask = None, memory_mask: Mask = None) -> Tensor:
        x = self.sub(x, self.norm1, lambda y: self.self_attention(y, mask)[0])
        x = self.sub(x, self.norm2, lambda y: self.cross_attention(y, memory_mask, self.dropout(memory))[0])
        return self.sub(x, self.norm3, self.feed_forward)

# %% exercise="Transformer" wrong="norm_before_last"
"""Decoder_norm on the memory, too."""
class Transformer(nn.Module):
    def __init__(
        self,
        source_vocab: int,
        target_vocab: int,
        width: int,
        heads: int,
        layers: int,
        hidden: int,
        norm: str = "pre",
        activation: str = "relu",
        dropout: float = 0.0,
        max_length: int = 256,
    ):
        super().__init__()
        self.width, self.max_length = width, max_length
        self.source_embedding = nn.Embedding(source_vocab, width)
        self.target_embedding = nn.Embedding(target_vocab, width)
        for emb in (self.source_embedding, self.target_embedding):
            nn.init.normal_(emb.weight, std=width**-0.5)
        self.encoder = nn.ModuleList(
            EncoderLayer(width, heads, hidden, norm, activation, dropout) for _ in range(layers)
        )
        self.decoder = nn.ModuleList(
            DecoderLayer(width, heads, hidden, norm, activation, dropout) for _ in range(layers)
        )
        self.encoder_norm = LayerNorm(width) if norm == "pre" else nn.Identity()
        self.decoder_norm = LayerNorm(width) if norm == "pre" else nn.Identity()
        self.dropout = nn.Dropout(dropout)

    def embed(self, embedding, ids):
        T = ids.shape[1]
        if T > self.max_length:
            raise ValueError(f"sequence of length {T} is longer than {self.max_length}")
        x = embedding(ids) * math.sqrt(self.width)
        pos = sinusoidal_encoding(T, self.width).to(x)
        return self.dropout(x + pos)

    def encode(self, source: Tensor) -> tuple[Tensor, Tensor]:
        keep = source != PAD
        x = self.embed(self.source_embedding, source)
        for layer in self.encoder:
            x = layer(x, keep[:, None, None, :])
        return self.encoder_norm(x), keep

    def decode(self, target: Tensor, memory: Tensor, source_keep: Tensor) -> Tensor:
        T = target.shape[1]
        causal = torch.ones(T, T, dtype=torch.bool, device=target.device).tril()
        x = self.embed(self.target_embedding, target)
        memory = self.decoder_norm(memory)
        for layer in self.decoder:
            x = layer(x, memory, causal, source_keep[:, None, None, :])
        return self.decoder_norm(x) @ self.target_embedding.weight.T

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        return self.decode(target, *self.encode(source))

# %% exercise="gradient_norms_by_depth" wrong="mean_over_batch"
"""Divides by B only."""
def gradient_norms_by_depth(states, x, direction, norm, heads=4):
    width = x.shape[-1]
    layers = []
    for state in states:
        layer = EncoderLayer(width, heads, state["feed_forward.up.weight"].shape[0], norm)
        layer.load_state_dict(state)
        layers.append(layer)
    h = x
    for layer in layers:
        h = layer(h)
    if norm == "pre":
        h = LayerNorm(width)(h)
    loss = (h * direction).sum((1, 2)).mean()
    loss.backward()
    return torch.stack([layer.feed_forward.down.weight.grad.norm() for layer in layers])

# %% exercise="gradient_norms_by_depth" wrong="mean_abs"
"""Mean absolute value."""
def gradient_norms_by_depth(states, x, direction, norm, heads=4):
    width = x.shape[-1]
    layers = []
    for state in states:
        layer = EncoderLayer(width, heads, state["feed_forward.up.weight"].shape[0], norm)
        layer.load_state_dict(state)
        layers.append(layer)
    h = x
    for layer in layers:
        h = layer(h)
    if norm == "pre":
        h = LayerNorm(width)(h)
    loss = (h * direction).sum(-1).mean()
    loss.backward()
    return torch.stack([layer.feed_forward.down.weight.grad.abs().mean() for layer in layers])

# %% exercise="gradient_norms_by_depth" wrong="with_graph"
"""Norms carry a graph."""
def gradient_norms_by_depth(states, x, direction, norm, heads=4):
    width = x.shape[-1]
    layers = []
    for state in states:
        layer = EncoderLayer(width, heads, state["feed_forward.up.weight"].shape[0], norm)
        layer.load_state_dict(state)
        layers.append(layer)
    h = x
    for layer in layers:
        h = layer(h)
    if norm == "pre":
        h = LayerNorm(width)(h)
    loss = (h * direction).sum(-1).mean()
    grads = torch.autograd.grad(loss, [layer.feed_forward.down.weight for layer in layers], create_graph=True)
    return torch.stack([g.norm() for g in grads])

# %% exercise="rmsnorm_forward" wrong="rounds_before_weight"
"""Rounds before the weight."""
@triton.jit
def rmsnorm_kernel(x_ptr, weight_ptr, out_ptr, n_cols, eps, x_row, x_col, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    cols = tl.arange(0, BLOCK)
    mask = cols < n_cols
    x = tl.load(x_ptr + row * x_row + cols * x_col, mask=mask, other=0.0).to(tl.float32)
    w = tl.load(weight_ptr + cols, mask=mask, other=0.0).to(tl.float32)
    ms = tl.sum(x * x, axis=0) / n_cols
    y = (x / tl.sqrt(ms + eps)).to(out_ptr.dtype.element_ty) * w
    tl.store(out_ptr + row * n_cols + cols, y.to(out_ptr.dtype.element_ty), mask=mask)


def rmsnorm_forward(x: Tensor, weight: Tensor, eps: float = 1e-6) -> Tensor:
    R, C = x.shape
    out = torch.empty((R, C), dtype=x.dtype, device=x.device)
    rmsnorm_kernel[(R,)](x, weight, out, C, eps, x.stride(0), x.stride(1), BLOCK=triton.next_power_of_2(C))
    return out

# %% exercise="rmsnorm_forward" wrong="weight_unmasked"
"""Loads the weight without a mask."""
@triton.jit
def rmsnorm_kernel(x_ptr, weight_ptr, out_ptr, n_cols, eps, x_row, x_col, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    cols = tl.arange(0, BLOCK)
    mask = cols < n_cols
    x = tl.load(x_ptr + row * x_row + cols * x_col, mask=mask, other=0.0).to(tl.float32)
    w = tl.load(weight_ptr + cols).to(tl.float32)
    ms = tl.sum(x * x, axis=0) / n_cols
    y = x / tl.sqrt(ms + eps) * w
    tl.store(out_ptr + row * n_cols + cols, y.to(out_ptr.dtype.element_ty), mask=mask)


def rmsnorm_forward(x: Tensor, weight: Tensor, eps: float = 1e-6) -> Tensor:
    R, C = x.shape
    out = torch.empty((R, C), dtype=x.dtype, device=x.device)
    rmsnorm_kernel[(R,)](x, weight, out, C, eps, x.stride(0), x.stride(1), BLOCK=triton.next_power_of_2(C))
    return out

# %% exercise="rmsnorm_backward" wrong="partial_in_half"
"""Partial sums in x's type."""
@triton.jit
def rmsnorm_rows_kernel(
    dy_ptr, x_ptr, weight_ptr, dx_ptr, partial_ptr, n_rows, n_cols, eps,
    dy_row, dy_col, x_row, x_col, BLOCK: tl.constexpr,
):  # fmt: skip
    pid = tl.program_id(0)
    P = tl.num_programs(0)
    cols = tl.arange(0, BLOCK)
    mask = cols < n_cols
    w = tl.load(weight_ptr + cols, mask=mask, other=0.0).to(tl.float32)
    acc = tl.zeros((BLOCK,), dtype=tl.float32)
    for row in range(pid, n_rows, P):
        dy = tl.load(dy_ptr + row * dy_row + cols * dy_col, mask=mask, other=0.0).to(tl.float32)
        x = tl.load(x_ptr + row * x_row + cols * x_col, mask=mask, other=0.0).to(tl.float32)
        r = 1 / tl.sqrt(tl.sum(x * x, axis=0) / n_cols + eps)
        xhat = x * r
        g = dy * w
        c = tl.sum(g * xhat, axis=0) / n_cols
        dx = r * (g - xhat * c)
        tl.store(dx_ptr + row * n_cols + cols, dx.to(dx_ptr.dtype.element_ty), mask=mask)
        acc += dy * xhat
    tl.store(partial_ptr + pid * n_cols + cols, acc, mask=mask)


@triton.jit
def rmsnorm_sum_kernel(partial_ptr, dweight_ptr, n_partial, n_cols, BLOCK: tl.constexpr):
    cols = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = cols < n_cols
    acc = tl.zeros((BLOCK,), dtype=tl.float32)
    for i in range(n_partial):
        acc += tl.load(partial_ptr + i * n_cols + cols, mask=mask, other=0.0).to(tl.float32)
    tl.store(dweight_ptr + cols, acc.to(dweight_ptr.dtype.element_ty), mask=mask)


def rmsnorm_backward(
    dy: Tensor, x: Tensor, weight: Tensor, eps: float = 1e-6, programs: int = 4
) -> tuple[Tensor, Tensor]:
    R, C = x.shape
    dx = torch.empty((R, C), dtype=x.dtype, device=x.device)
    dweight = torch.empty_like(weight)
    partial = torch.empty((programs, C), dtype=x.dtype, device=x.device)
    rmsnorm_rows_kernel[(programs,)](
        dy, x, weight, dx, partial, R, C, eps, *dy.stride(), *x.stride(), BLOCK=triton.next_power_of_2(C)
    )
    rmsnorm_sum_kernel[(triton.cdiv(C, 64),)](partial, dweight, programs, C, BLOCK=64)
    return dx, dweight

# %% exercise="rmsnorm_backward" wrong="contiguous_copy"
"""Copies dy and x first."""
@triton.jit
def rmsnorm_rows_kernel(
    dy_ptr, x_ptr, weight_ptr, dx_ptr, partial_ptr, n_rows, n_cols, eps,
    dy_row, dy_col, x_row, x_col, BLOCK: tl.constexpr,
):  # fmt: skip
    pid = tl.program_id(0)
    P = tl.num_programs(0)
    cols = tl.arange(0, BLOCK)
    mask = cols < n_cols
    w = tl.load(weight_ptr + cols, mask=mask, other=0.0).to(tl.float32)
    acc = tl.zeros((BLOCK,), dtype=tl.float32)
    for row in range(pid, n_rows, P):
        dy = tl.load(dy_ptr + row * dy_row + cols * dy_col, mask=mask, other=0.0).to(tl.float32)
        x = tl.load(x_ptr + row * x_row + cols * x_col, mask=mask, other=0.0).to(tl.float32)
        r = 1 / tl.sqrt(tl.sum(x * x, axis=0) / n_cols + eps)
        xhat = x * r
        g = dy * w
        c = tl.sum(g * xhat, axis=0) / n_cols
        dx = r * (g - xhat * c)
        tl.store(dx_ptr + row * n_cols + cols, dx.to(dx_ptr.dtype.element_ty), mask=mask)
        acc += dy * xhat
    tl.store(partial_ptr + pid * n_cols + cols, acc, mask=mask)


@triton.jit
def rmsnorm_sum_kernel(partial_ptr, dweight_ptr, n_partial, n_cols, BLOCK: tl.constexpr):
    cols = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = cols < n_cols
    acc = tl.zeros((BLOCK,), dtype=tl.float32)
    for i in range(n_partial):
        acc += tl.load(partial_ptr + i * n_cols + cols, mask=mask, other=0.0)
    tl.store(dweight_ptr + cols, acc.to(dweight_ptr.dtype.element_ty), mask=mask)


def rmsnorm_backward(
    dy: Tensor, x: Tensor, weight: Tensor, eps: float = 1e-6, programs: int = 4
) -> tuple[Tensor, Tensor]:
    dy, x = dy.contiguous(), x.contiguous()
    R, C = x.shape
    dx = torch.empty((R, C), dtype=x.dtype, device=x.device)
    dweight = torch.empty_like(weight)
    partial = torch.empty((programs, C), dtype=torch.float32, device=x.device)
    rmsnorm_rows_kernel[(programs,)](
        dy, x, weight, dx, partial, R, C, eps, *dy.stride(), *x.stride(), BLOCK=triton.next_power_of_2(C)
    )
    rmsnorm_sum_kernel[(triton.cdiv(C, 64),)](partial, dweight, programs, C, BLOCK=64)
    return dx, dweight

# %% exercise="residual_rmsnorm" wrong="post_order"
"""Y = norm(x) + residual."""
@triton.jit
def residual_rmsnorm_kernel(
    x_ptr, residual_ptr, weight_ptr, out_ptr, total_ptr, n_cols, eps,
    x_row, x_col, residual_row, residual_col, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0)
    cols = tl.arange(0, BLOCK)
    mask = cols < n_cols
    x = tl.load(x_ptr + row * x_row + cols * x_col, mask=mask, other=0.0).to(tl.float32)
    res = tl.load(residual_ptr + row * residual_row + cols * residual_col, mask=mask, other=0.0).to(tl.float32)
    w = tl.load(weight_ptr + cols, mask=mask, other=0.0).to(tl.float32)
    total = x + res
    ms = tl.sum(x * x, axis=0) / n_cols
    y = x / tl.sqrt(ms + eps) * w + res
    tl.store(out_ptr + row * n_cols + cols, y.to(out_ptr.dtype.element_ty), mask=mask)
    tl.store(total_ptr + row * n_cols + cols, total.to(total_ptr.dtype.element_ty), mask=mask)


def residual_rmsnorm(x: Tensor, residual: Tensor, weight: Tensor, eps: float = 1e-6) -> tuple[Tensor, Tensor]:
    R, C = x.shape
    y = torch.empty((R, C), dtype=x.dtype, device=x.device)
    total = torch.empty((R, C), dtype=x.dtype, device=x.device)
    residual_rmsnorm_kernel[(R,)](
        x, residual, weight, y, total, C, eps, *x.stride(), *residual.stride(), BLOCK=triton.next_power_of_2(C)
    )
    return y, total

# %% exercise="cross_entropy" wrong="block_ignored"
"""The block is the next power of two of V."""
@triton.jit
def cross_entropy_kernel(
    logits_ptr, target_ptr, loss_ptr, grad_ptr, n_classes, ignore, row_stride, class_stride, BLOCK: tl.constexpr
):
    row = tl.program_id(0)
    target = tl.load(target_ptr + row)
    counts = target != ignore
    m = -float("inf")
    s = 0.0
    zt = 0.0
    if n_classes <= BLOCK:
        at = tl.arange(0, BLOCK)
        mask = at < n_classes
        z = tl.load(logits_ptr + row * row_stride + at * class_stride, mask=mask, other=-float("inf")).to(tl.float32)
        m = tl.max(z, axis=0)
        e = tl.exp(z - m)
        s = tl.sum(e, axis=0)
        zt = tl.sum(tl.where(at == target, z, 0.0), axis=0)
        loss = tl.where(counts, tl.log(s) + m - zt, 0.0)
        grad = e / s - tl.where(at == target, 1.0, 0.0)
        grad = tl.where(counts, grad, 0.0)
        tl.store(grad_ptr + row * n_classes + at, grad.to(grad_ptr.dtype.element_ty), mask=mask)
        tl.store(loss_ptr + row, loss)
    else:
        for start in range(0, n_classes, BLOCK):
            at = start + tl.arange(0, BLOCK)
            mask = at < n_classes
            z = tl.load(logits_ptr + row * row_stride + at * class_stride, mask=mask, other=-float("inf")).to(tl.float32)
            new_m = tl.maximum(m, tl.max(z, axis=0))
            s = s * tl.exp(m - new_m) + tl.sum(tl.exp(z - new_m), axis=0)
            m = new_m
            zt += tl.sum(tl.where(at == target, z, 0.0), axis=0)
        loss = tl.where(counts, tl.log(s) + m - zt, 0.0)
        tl.store(loss_ptr + row, loss)
        for start in range(0, n_classes, BLOCK):
            at = start + tl.arange(0, BLOCK)
            mask = at < n_classes
            z = tl.load(logits_ptr + row * row_stride + at * class_stride, mask=mask, other=-float("inf")).to(tl.float32)
            grad = tl.exp(z - m) / s - tl.where(at == target, 1.0, 0.0)
            grad = tl.where(counts, grad, 0.0)
            tl.store(grad_ptr + row * n_classes + at, grad.to(grad_ptr.dtype.element_ty), mask=mask)


def cross_entropy(logits: Tensor, target: Tensor, block: int = 256, ignore: int = -100) -> tuple[Tensor, Tensor]:
    N, V = logits.shape
    loss = torch.empty(N, dtype=torch.float32, device=logits.device)
    grad = torch.empty((N, V), dtype=logits.dtype, device=logits.device)
    cross_entropy_kernel[(N,)](
        logits, target, loss, grad, V, ignore, logits.stride(0), logits.stride(1), BLOCK=triton.next_power_of_2(V)
    )
    return loss, grad

# %% exercise="smoothed_cross_entropy" wrong="share_swapped"
"""Smoothing and 1 - smoothing swapped."""
def smoothed_cross_entropy(logits: Tensor, target: Tensor, smoothing: float = 0.1) -> Tensor:
    z = logits - logits.max(dim=-1, keepdim=True).values
    logp = z - z.exp().sum(-1, keepdim=True).log()
    nll = -logp.gather(-1, target.unsqueeze(-1)).squeeze(-1)
    uniform = -logp.mean(-1)
    loss = smoothing * nll + (1 - smoothing) * uniform
    return loss[target != PAD].mean()

# %% exercise="smoothed_cross_entropy" wrong="bits"
"""In bits."""
def smoothed_cross_entropy(logits: Tensor, target: Tensor, smoothing: float = 0.1) -> Tensor:
    z = logits - logits.max(dim=-1, keepdim=True).values
    logp = z - z.exp().sum(-1, keepdim=True).log()
    nll = -logp.gather(-1, target.unsqueeze(-1)).squeeze(-1)
    uniform = -logp.mean(-1)
    loss = (1 - smoothing) * nll + smoothing * uniform
    return loss[target != PAD].mean() / math.log(2)

# %% exercise="smoothed_cross_entropy" wrong="tokens_minus_bos"
"""BOS does not count either."""
def smoothed_cross_entropy(logits: Tensor, target: Tensor, smoothing: float = 0.1) -> Tensor:
    z = logits - logits.max(dim=-1, keepdim=True).values
    logp = z - z.exp().sum(-1, keepdim=True).log()
    nll = -logp.gather(-1, target.unsqueeze(-1)).squeeze(-1)
    uniform = -logp.mean(-1)
    loss = (1 - smoothing) * nll + smoothing * uniform
    return loss[target > BOS].mean()

# %% exercise="greedy_decode" wrong="pad_ends"
"""PAD ends a row, too."""
@torch.no_grad()
def greedy_decode(model, source: Tensor, max_length: int) -> Tensor:
    memory, keep = model.encode(source)
    B = source.shape[0]
    out = torch.full((B, 1), BOS, dtype=torch.int64, device=source.device)
    ended = torch.zeros(B, dtype=torch.bool, device=source.device)
    for _ in range(max_length):
        token = model.decode(out, memory, keep)[:, -1].argmax(-1)
        token = torch.where(ended, PAD, token)
        out = torch.cat([out, token[:, None]], dim=1)
        ended = ended | (token == EOS) | (token == PAD)
        if ended.all():
            break
    return out[:, 1:]

# %% exercise="greedy_decode" wrong="pad_forbidden"
"""PAD and BOS are forbidden."""
@torch.no_grad()
def greedy_decode(model, source: Tensor, max_length: int) -> Tensor:
    memory, keep = model.encode(source)
    B = source.shape[0]
    out = torch.full((B, 1), BOS, dtype=torch.int64, device=source.device)
    ended = torch.zeros(B, dtype=torch.bool, device=source.device)
    for _ in range(max_length):
        logits = model.decode(out, memory, keep)[:, -1].clone()
        logits[:, [PAD, BOS]] = -math.inf
        token = logits.argmax(-1)
        token = torch.where(ended, PAD, token)
        out = torch.cat([out, token[:, None]], dim=1)
        ended = ended | (token == EOS)
        if ended.all():
            break
    return out[:, 1:]

# %% exercise="bleu" wrong="joined_strings"
"""N-grams joined into one string without a separator."""
def bleu(candidates: list[list], references: list[list[list]], max_n: int = 4) -> float:
    def ngrams(tokens, n):
        return Counter("".join(map(str, tokens[i : i + n])) for i in range(len(tokens) - n + 1))

    c = sum(len(cand) for cand in candidates)
    r = 0
    for cand, refs in zip(candidates, references):
        r += min((len(ref) for ref in refs), key=lambda n: (abs(n - len(cand)), n))
    log_sum = 0.0
    for n in range(1, max_n + 1):
        match = total = 0
        for cand, refs in zip(candidates, references):
            counts = ngrams(cand, n)
            best = Counter()
            for ref in refs:
                best |= ngrams(ref, n)
            match += sum(min(count, best[g]) for g, count in counts.items())
            total += sum(counts.values())
        if match == 0 or total == 0:
            return 0.0
        log_sum += math.log(match / total)
    return min(1.0, math.exp(1 - r / c)) * math.exp(log_sum / max_n)

# %% exercise="repaired_loss" wrong="last_out"
"""The last position is cut on both sides."""
def repaired_loss(model, source: Tensor, target: Tensor) -> Tensor:
    logits = model(source, shift_right(target))
    return nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), target[:, :-1].flatten(), ignore_index=PAD)

# %% exercise="repaired_loss" wrong="detached"
"""No gradient: .item() and a new tensor."""
def repaired_loss(model, source: Tensor, target: Tensor) -> Tensor:
    logits = model(source, shift_right(target))
    return torch.tensor(nn.functional.cross_entropy(logits.flatten(0, 1), target.flatten(), ignore_index=PAD).item())

# %% exercise="repaired_loss" wrong="eval"
"""Puts the model into eval mode."""
def repaired_loss(model, source: Tensor, target: Tensor) -> Tensor:
    model.eval()
    logits = model(source, shift_right(target))
    return nn.functional.cross_entropy(logits.flatten(0, 1), target.flatten(), ignore_index=PAD)

# %% exercise="smoothed_cross_entropy" wrong="pad_logit_hidden"
"""PAD's logit is set to minus a lot before the softmax."""
def smoothed_cross_entropy(logits: Tensor, target: Tensor, smoothing: float = 0.1) -> Tensor:
    logits = logits.index_fill(-1, torch.tensor([PAD]), -1e4)
    z = logits - logits.max(dim=-1, keepdim=True).values
    logp = z - z.exp().sum(-1, keepdim=True).log()
    nll = -logp.gather(-1, target.unsqueeze(-1)).squeeze(-1)
    uniform = -logp.mean(-1)
    loss = (1 - smoothing) * nll + smoothing * uniform
    return loss[target != PAD].mean()

# %% exercise="bleu" wrong="lowercases"
"""Lowercases the tokens."""
def bleu(candidates: list[list], references: list[list[list]], max_n: int = 4) -> float:
    def ngrams(tokens, n):
        return Counter(tuple(t.lower() if isinstance(t, str) else t for t in tokens[i : i + n]) for i in range(len(tokens) - n + 1))

    c = sum(len(cand) for cand in candidates)
    r = 0
    for cand, refs in zip(candidates, references):
        r += min((len(ref) for ref in refs), key=lambda n: (abs(n - len(cand)), n))
    log_sum = 0.0
    for n in range(1, max_n + 1):
        match = total = 0
        for cand, refs in zip(candidates, references):
            counts = ngrams(cand, n)
            best = Counter()
            for ref in refs:
                best |= ngrams(ref, n)
            match += sum(min(count, best[g]) for g, count in counts.items())
            total += sum(counts.values())
        if match == 0 or total == 0:
            return 0.0
        log_sum += math.log(match / total)
    return min(1.0, math.exp(1 - r / c)) * math.exp(log_sum / max_n)

# %% exercise="bleu" wrong="empty_candidate_skipped"
"""Empty candidates are left out, their references too."""
def bleu(candidates: list[list], references: list[list[list]], max_n: int = 4) -> float:
    def ngrams(tokens, n):
        return Counter(tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1))

    pairs = [(c, r) for c, r in zip(candidates, references) if c]
    candidates, references = [c for c, _ in pairs], [r for _, r in pairs]
    c = sum(len(cand) for cand in candidates)
    r = 0
    for cand, refs in zip(candidates, references):
        r += min((len(ref) for ref in refs), key=lambda n: (abs(n - len(cand)), n))
    log_sum = 0.0
    for n in range(1, max_n + 1):
        match = total = 0
        for cand, refs in zip(candidates, references):
            counts = ngrams(cand, n)
            best = Counter()
            for ref in refs:
                best |= ngrams(ref, n)
            match += sum(min(count, best[g]) for g, count in counts.items())
            total += sum(counts.values())
        if match == 0 or total == 0:
            return 0.0
        log_sum += math.log(match / total)
    return min(1.0, math.exp(1 - r / c)) * math.exp(log_sum / max_n)

# %% exercise="residual_rmsnorm" wrong="y_from_half_product"
"""Rounds before the weight."""
@triton.jit
def residual_rmsnorm_kernel(
    x_ptr, residual_ptr, weight_ptr, out_ptr, total_ptr, n_cols, eps,
    x_row, x_col, residual_row, residual_col, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0)
    cols = tl.arange(0, BLOCK)
    mask = cols < n_cols
    x = tl.load(x_ptr + row * x_row + cols * x_col, mask=mask, other=0.0).to(tl.float32)
    res = tl.load(residual_ptr + row * residual_row + cols * residual_col, mask=mask, other=0.0).to(tl.float32)
    w = tl.load(weight_ptr + cols, mask=mask, other=0.0).to(tl.float32)
    total = x + res
    ms = tl.sum(total * total, axis=0) / n_cols
    y = (total / tl.sqrt(ms + eps)).to(out_ptr.dtype.element_ty) * w
    tl.store(out_ptr + row * n_cols + cols, y.to(out_ptr.dtype.element_ty), mask=mask)
    tl.store(total_ptr + row * n_cols + cols, total.to(total_ptr.dtype.element_ty), mask=mask)


def residual_rmsnorm(x: Tensor, residual: Tensor, weight: Tensor, eps: float = 1e-6) -> tuple[Tensor, Tensor]:
    R, C = x.shape
    y = torch.empty((R, C), dtype=x.dtype, device=x.device)
    total = torch.empty((R, C), dtype=x.dtype, device=x.device)
    residual_rmsnorm_kernel[(R,)](
        x, residual, weight, y, total, C, eps, *x.stride(), *residual.stride(), BLOCK=triton.next_power_of_2(C)
    )
    return y, total

# %% exercise="residual_rmsnorm" wrong="contiguous_copies"
"""Copies first."""
@triton.jit
def residual_rmsnorm_kernel(
    x_ptr, residual_ptr, weight_ptr, out_ptr, total_ptr, n_cols, eps,
    x_row, x_col, residual_row, residual_col, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0)
    cols = tl.arange(0, BLOCK)
    mask = cols < n_cols
    x = tl.load(x_ptr + row * x_row + cols * x_col, mask=mask, other=0.0).to(tl.float32)
    res = tl.load(residual_ptr + row * residual_row + cols * residual_col, mask=mask, other=0.0).to(tl.float32)
    w = tl.load(weight_ptr + cols, mask=mask, other=0.0).to(tl.float32)
    total = x + res
    ms = tl.sum(total * total, axis=0) / n_cols
    y = total / tl.sqrt(ms + eps) * w
    tl.store(out_ptr + row * n_cols + cols, y.to(out_ptr.dtype.element_ty), mask=mask)
    tl.store(total_ptr + row * n_cols + cols, total.to(total_ptr.dtype.element_ty), mask=mask)


def residual_rmsnorm(x: Tensor, residual: Tensor, weight: Tensor, eps: float = 1e-6) -> tuple[Tensor, Tensor]:
    x, residual = x.contiguous(), residual.contiguous()
    R, C = x.shape
    y = torch.empty((R, C), dtype=x.dtype, device=x.device)
    total = torch.empty((R, C), dtype=x.dtype, device=x.device)
    residual_rmsnorm_kernel[(R,)](
        x, residual, weight, y, total, C, eps, *x.stride(), *residual.stride(), BLOCK=triton.next_power_of_2(C)
    )
    return y, total

# %% exercise="cross_entropy" wrong="other_minus_1e4"
"""Lanes past the end are -1e4: logits may be smaller (any size of numbers)."""
@triton.jit
def cross_entropy_kernel(
    logits_ptr, target_ptr, loss_ptr, grad_ptr, n_classes, ignore, row_stride, class_stride, BLOCK: tl.constexpr
):
    row = tl.program_id(0)
    target = tl.load(target_ptr + row)
    counts = target != ignore
    m = -float("inf")
    s = 0.0
    zt = 0.0
    if n_classes <= BLOCK:
        at = tl.arange(0, BLOCK)
        mask = at < n_classes
        z = tl.load(logits_ptr + row * row_stride + at * class_stride, mask=mask, other=-1e4).to(tl.float32)
        m = tl.max(z, axis=0)
        e = tl.exp(z - m)
        s = tl.sum(e, axis=0)
        zt = tl.sum(tl.where(at == target, z, 0.0), axis=0)
        loss = tl.where(counts, tl.log(s) + m - zt, 0.0)
        grad = e / s - tl.where(at == target, 1.0, 0.0)
        grad = tl.where(counts, grad, 0.0)
        tl.store(grad_ptr + row * n_classes + at, grad.to(grad_ptr.dtype.element_ty), mask=mask)
        tl.store(loss_ptr + row, loss)
    else:
        for start in range(0, n_classes, BLOCK):
            at = start + tl.arange(0, BLOCK)
            mask = at < n_classes
            z = tl.load(logits_ptr + row * row_stride + at * class_stride, mask=mask, other=-1e4).to(tl.float32)
            new_m = tl.maximum(m, tl.max(z, axis=0))
            s = s * tl.exp(m - new_m) + tl.sum(tl.exp(z - new_m), axis=0)
            m = new_m
            zt += tl.sum(tl.where(at == target, z, 0.0), axis=0)
        loss = tl.where(counts, tl.log(s) + m - zt, 0.0)
        tl.store(loss_ptr + row, loss)
        for start in range(0, n_classes, BLOCK):
            at = start + tl.arange(0, BLOCK)
            mask = at < n_classes
            z = tl.load(logits_ptr + row * row_stride + at * class_stride, mask=mask, other=-1e4).to(tl.float32)
            grad = tl.exp(z - m) / s - tl.where(at == target, 1.0, 0.0)
            grad = tl.where(counts, grad, 0.0)
            tl.store(grad_ptr + row * n_classes + at, grad.to(grad_ptr.dtype.element_ty), mask=mask)


def cross_entropy(logits: Tensor, target: Tensor, block: int = 256, ignore: int = -100) -> tuple[Tensor, Tensor]:
    N, V = logits.shape
    loss = torch.empty(N, dtype=torch.float32, device=logits.device)
    grad = torch.empty((N, V), dtype=logits.dtype, device=logits.device)
    cross_entropy_kernel[(N,)](
        logits, target, loss, grad, V, ignore, logits.stride(0), logits.stride(1), BLOCK=block
    )
    return loss, grad

# %% exercise="cross_entropy" wrong="max_from_minus_1e4"
"""The running maximum starts at -1e4."""
@triton.jit
def cross_entropy_kernel(
    logits_ptr, target_ptr, loss_ptr, grad_ptr, n_classes, ignore, row_stride, class_stride, BLOCK: tl.constexpr
):
    row = tl.program_id(0)
    target = tl.load(target_ptr + row)
    counts = target != ignore
    m = -1e4
    s = 0.0
    zt = 0.0
    if n_classes <= BLOCK:
        at = tl.arange(0, BLOCK)
        mask = at < n_classes
        z = tl.load(logits_ptr + row * row_stride + at * class_stride, mask=mask, other=-float("inf")).to(tl.float32)
        m = tl.maximum(-1e4, tl.max(z, axis=0))
        e = tl.exp(z - m)
        s = tl.sum(e, axis=0)
        zt = tl.sum(tl.where(at == target, z, 0.0), axis=0)
        loss = tl.where(counts, tl.log(s) + m - zt, 0.0)
        grad = e / s - tl.where(at == target, 1.0, 0.0)
        grad = tl.where(counts, grad, 0.0)
        tl.store(grad_ptr + row * n_classes + at, grad.to(grad_ptr.dtype.element_ty), mask=mask)
        tl.store(loss_ptr + row, loss)
    else:
        for start in range(0, n_classes, BLOCK):
            at = start + tl.arange(0, BLOCK)
            mask = at < n_classes
            z = tl.load(logits_ptr + row * row_stride + at * class_stride, mask=mask, other=-float("inf")).to(tl.float32)
            new_m = tl.maximum(m, tl.max(z, axis=0))
            s = s * tl.exp(m - new_m) + tl.sum(tl.exp(z - new_m), axis=0)
            m = new_m
            zt += tl.sum(tl.where(at == target, z, 0.0), axis=0)
        loss = tl.where(counts, tl.log(s) + m - zt, 0.0)
        tl.store(loss_ptr + row, loss)
        for start in range(0, n_classes, BLOCK):
            at = start + tl.arange(0, BLOCK)
            mask = at < n_classes
            z = tl.load(logits_ptr + row * row_stride + at * class_stride, mask=mask, other=-float("inf")).to(tl.float32)
            grad = tl.exp(z - m) / s - tl.where(at == target, 1.0, 0.0)
            grad = tl.where(counts, grad, 0.0)
            tl.store(grad_ptr + row * n_classes + at, grad.to(grad_ptr.dtype.element_ty), mask=mask)


def cross_entropy(logits: Tensor, target: Tensor, block: int = 256, ignore: int = -100) -> tuple[Tensor, Tensor]:
    N, V = logits.shape
    loss = torch.empty(N, dtype=torch.float32, device=logits.device)
    grad = torch.empty((N, V), dtype=logits.dtype, device=logits.device)
    cross_entropy_kernel[(N,)](
        logits, target, loss, grad, V, ignore, logits.stride(0), logits.stride(1), BLOCK=block
    )
    return loss, grad

# %% exercise="BatchNorm" wrong="buffers_renamed"
"""Buffers named moving_mean and moving_var."""
class BatchNorm(nn.Module):
    def __init__(self, width: int, eps: float = 1e-5, momentum: float = 0.1):
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))
        self.register_buffer("moving_mean", torch.zeros(width))
        self.register_buffer("moving_var", torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            flat = x.reshape(-1, x.shape[-1])
            n = flat.shape[0]
            mean = flat.mean(0)
            var = flat.var(0, unbiased=False)
            with torch.no_grad():
                self.moving_mean.mul_(1 - self.momentum).add_(self.momentum * mean)
                self.moving_var.mul_(1 - self.momentum).add_(self.momentum * var * n / (n - 1))
        else:
            mean, var = self.moving_mean, self.moving_var
        return (x - mean) / torch.sqrt(var + self.eps) * self.weight + self.bias

# %% exercise="FeedForward" wrong="sequential"
"""The maps in an nn.Sequential: other names."""
class FeedForward(nn.Module):
    def __init__(self, width: int, hidden: int, activation: str = "relu"):
        super().__init__()
        if activation not in ("relu", "gelu"):
            raise ValueError(activation)
        self.net = nn.Sequential(nn.Linear(width, hidden), nn.ReLU() if activation == "relu" else nn.GELU(), nn.Linear(hidden, width))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)

# %% exercise="FeedForward" wrong="bias_up_only"
"""Down has no bias."""
class FeedForward(nn.Module):
    def __init__(self, width: int, hidden: int, activation: str = "relu"):
        super().__init__()
        if activation not in ("relu", "gelu"):
            raise ValueError(f"unknown activation {activation!r}")
        self.activation = activation
        self.up = nn.Linear(width, hidden)
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        h = self.up(x)
        h = torch.relu(h) if self.activation == "relu" else nn.functional.gelu(h)
        return self.down(h)

# %% exercise="SwiGLU" wrong="w1_w2_w3"
"""Maps named w1, w2, w3 as in Llama's code."""
class SwiGLU(nn.Module):
    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.w1 = nn.Linear(width, hidden, bias=False)
        self.w3 = nn.Linear(width, hidden, bias=False)
        self.w2 = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.w2(nn.functional.silu(self.w1(x)) * self.w3(x))

# %% exercise="SwiGLU" wrong="fused"
"""Gate and up in one map of 2 F."""
class SwiGLU(nn.Module):
    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.gate_up = nn.Linear(width, 2 * hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        g, u = self.gate_up(x).chunk(2, -1)
        return self.down(nn.functional.silu(g) * u)

# %% exercise="SwiGLU" wrong="no_gate"
"""A plain feed-forward layer with silu: no gate branch."""
class SwiGLU(nn.Module):
    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.up = nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(nn.functional.silu(self.up(x)))

# %% exercise="EncoderLayer" wrong="self_attn_name"
"""Attention named self_attn."""
class EncoderLayer(nn.Module):
    def __init__(
        self, width: int, heads: int, hidden: int, norm: str = "pre", activation: str = "relu", dropout: float = 0.0
    ):
        super().__init__()
        if norm not in ("pre", "post"):
            raise ValueError(f"norm must be 'pre' or 'post', not {norm!r}")
        self.norm = norm
        self.self_attn = MultiHeadAttention(width, heads)
        self.norm1 = LayerNorm(width)
        self.feed_forward = FeedForward(width, hidden, activation)
        self.norm2 = LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def sub(self, x, norm, f):
        if self.norm == "pre":
            return x + self.dropout(f(norm(x)))
        return norm(x + self.dropout(f(x)))

    def forward(self, x: Tensor, mask: Mask = None) -> Tensor:
        x = self.sub(x, self.norm1, lambda y: self.self_attn(y, mask)[0])
        return self.sub(x, self.norm2, self.feed_forward)

# %% exercise="EncoderLayer" wrong="one_norm_only"
"""One norm object for both, norm2 = norm1."""
class EncoderLayer(nn.Module):
    def __init__(
        self, width: int, heads: int, hidden: int, norm: str = "pre", activation: str = "relu", dropout: float = 0.0
    ):
        super().__init__()
        if norm not in ("pre", "post"):
            raise ValueError(f"norm must be 'pre' or 'post', not {norm!r}")
        self.norm = norm
        self.attention = MultiHeadAttention(width, heads)
        self.norm1 = LayerNorm(width)
        self.feed_forward = FeedForward(width, hidden, activation)
        self.norm2 = self.norm1
        self.dropout = nn.Dropout(dropout)

    def sub(self, x, norm, f):
        if self.norm == "pre":
            return x + self.dropout(f(norm(x)))
        return norm(x + self.dropout(f(x)))

    def forward(self, x: Tensor, mask: Mask = None) -> Tensor:
        x = self.sub(x, self.norm1, lambda y: self.attention(y, mask)[0])
        return self.sub(x, self.norm2, self.feed_forward)

# %% exercise="EncoderLayer" wrong="linears_inside"
"""Up and down directly in the layer."""
class EncoderLayer(nn.Module):
    def __init__(
        self, width: int, heads: int, hidden: int, norm: str = "pre", activation: str = "relu", dropout: float = 0.0
    ):
        super().__init__()
        if norm not in ("pre", "post"):
            raise ValueError(f"norm must be 'pre' or 'post', not {norm!r}")
        self.norm = norm
        self.attention = MultiHeadAttention(width, heads)
        self.norm1 = LayerNorm(width)
        self.up, self.down = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.norm2 = LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def sub(self, x, norm, f):
        if self.norm == "pre":
            return x + self.dropout(f(norm(x)))
        return norm(x + self.dropout(f(x)))

    def forward(self, x: Tensor, mask: Mask = None) -> Tensor:
        x = self.sub(x, self.norm1, lambda y: self.attention(y, mask)[0])
        return self.sub(x, self.norm2, lambda y: self.down(torch.relu(self.up(y))))

# %% exercise="Transformer" wrong="encoder_layers_name"
"""Layers named encoder_layers."""
class Transformer(nn.Module):
    def __init__(
        self,
        source_vocab: int,
        target_vocab: int,
        width: int,
        heads: int,
        layers: int,
        hidden: int,
        norm: str = "pre",
        activation: str = "relu",
        dropout: float = 0.0,
        max_length: int = 256,
    ):
        super().__init__()
        self.width, self.max_length = width, max_length
        self.source_embedding = nn.Embedding(source_vocab, width)
        self.target_embedding = nn.Embedding(target_vocab, width)
        for emb in (self.source_embedding, self.target_embedding):
            nn.init.normal_(emb.weight, std=width**-0.5)
        self.encoder_layers = nn.ModuleList(
            EncoderLayer(width, heads, hidden, norm, activation, dropout) for _ in range(layers)
        )
        self.decoder = nn.ModuleList(
            DecoderLayer(width, heads, hidden, norm, activation, dropout) for _ in range(layers)
        )
        self.encoder_norm = LayerNorm(width) if norm == "pre" else nn.Identity()
        self.decoder_norm = LayerNorm(width) if norm == "pre" else nn.Identity()
        self.dropout = nn.Dropout(dropout)

    def embed(self, embedding, ids):
        T = ids.shape[1]
        if T > self.max_length:
            raise ValueError(f"sequence of length {T} is longer than {self.max_length}")
        x = embedding(ids) * math.sqrt(self.width)
        pos = sinusoidal_encoding(T, self.width).to(x)
        return self.dropout(x + pos)

    def encode(self, source: Tensor) -> tuple[Tensor, Tensor]:
        keep = source != PAD
        x = self.embed(self.source_embedding, source)
        for layer in self.encoder_layers:
            x = layer(x, keep[:, None, None, :])
        return self.encoder_norm(x), keep

    def decode(self, target: Tensor, memory: Tensor, source_keep: Tensor) -> Tensor:
        T = target.shape[1]
        causal = torch.ones(T, T, dtype=torch.bool, device=target.device).tril()
        x = self.embed(self.target_embedding, target)
        for layer in self.decoder:
            x = layer(x, memory, causal, source_keep[:, None, None, :])
        return self.decoder_norm(x) @ self.target_embedding.weight.T

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        return self.decode(target, *self.encode(source))

# %% exercise="Transformer" wrong="head_bias"
"""A bias on the head."""
class Transformer(nn.Module):
    def __init__(
        self,
        source_vocab: int,
        target_vocab: int,
        width: int,
        heads: int,
        layers: int,
        hidden: int,
        norm: str = "pre",
        activation: str = "relu",
        dropout: float = 0.0,
        max_length: int = 256,
    ):
        super().__init__()
        self.width, self.max_length = width, max_length
        self.source_embedding = nn.Embedding(source_vocab, width)
        self.target_embedding = nn.Embedding(target_vocab, width)
        for emb in (self.source_embedding, self.target_embedding):
            nn.init.normal_(emb.weight, std=width**-0.5)
        self.encoder = nn.ModuleList(
            EncoderLayer(width, heads, hidden, norm, activation, dropout) for _ in range(layers)
        )
        self.decoder = nn.ModuleList(
            DecoderLayer(width, heads, hidden, norm, activation, dropout) for _ in range(layers)
        )
        self.encoder_norm = LayerNorm(width) if norm == "pre" else nn.Identity()
        self.decoder_norm = LayerNorm(width) if norm == "pre" else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.head_bias = nn.Parameter(torch.zeros(target_vocab))

    def embed(self, embedding, ids):
        T = ids.shape[1]
        if T > self.max_length:
            raise ValueError(f"sequence of length {T} is longer than {self.max_length}")
        x = embedding(ids) * math.sqrt(self.width)
        pos = sinusoidal_encoding(T, self.width).to(x)
        return self.dropout(x + pos)

    def encode(self, source: Tensor) -> tuple[Tensor, Tensor]:
        keep = source != PAD
        x = self.embed(self.source_embedding, source)
        for layer in self.encoder:
            x = layer(x, keep[:, None, None, :])
        return self.encoder_norm(x), keep

    def decode(self, target: Tensor, memory: Tensor, source_keep: Tensor) -> Tensor:
        T = target.shape[1]
        causal = torch.ones(T, T, dtype=torch.bool, device=target.device).tril()
        x = self.embed(self.target_embedding, target)
        for layer in self.decoder:
            x = layer(x, memory, causal, source_keep[:, None, None, :])
        return self.decoder_norm(x) @ self.target_embedding.weight.T + self.head_bias

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        return self.decode(target, *self.encode(source))

# %% exercise="Transformer" wrong="one_embedding"
"""Source and target share one table."""
class Transformer(nn.Module):
    def __init__(
        self,
        source_vocab: int,
        target_vocab: int,
        width: int,
        heads: int,
        layers: int,
        hidden: int,
        norm: str = "pre",
        activation: str = "relu",
        dropout: float = 0.0,
        max_length: int = 256,
    ):
        super().__init__()
        self.width, self.max_length = width, max_length
        self.source_embedding = nn.Embedding(source_vocab, width)
        self.target_embedding = self.source_embedding
        for emb in (self.source_embedding, self.target_embedding):
            nn.init.normal_(emb.weight, std=width**-0.5)
        self.encoder = nn.ModuleList(
            EncoderLayer(width, heads, hidden, norm, activation, dropout) for _ in range(layers)
        )
        self.decoder = nn.ModuleList(
            DecoderLayer(width, heads, hidden, norm, activation, dropout) for _ in range(layers)
        )
        self.encoder_norm = LayerNorm(width) if norm == "pre" else nn.Identity()
        self.decoder_norm = LayerNorm(width) if norm == "pre" else nn.Identity()
        self.dropout = nn.Dropout(dropout)

    def embed(self, embedding, ids):
        T = ids.shape[1]
        if T > self.max_length:
            raise ValueError(f"sequence of length {T} is longer than {self.max_length}")
        x = embedding(ids) * math.sqrt(self.width)
        pos = sinusoidal_encoding(T, self.width).to(x)
        return self.dropout(x + pos)

    def encode(self, source: Tensor) -> tuple[Tensor, Tensor]:
        keep = source != PAD
        x = self.embed(self.source_embedding, source)
        for layer in self.encoder:
            x = layer(x, keep[:, None, None, :])
        return self.encoder_norm(x), keep

    def decode(self, target: Tensor, memory: Tensor, source_keep: Tensor) -> Tensor:
        T = target.shape[1]
        causal = torch.ones(T, T, dtype=torch.bool, device=target.device).tril()
        x = self.embed(self.target_embedding, target)
        for layer in self.decoder:
            x = layer(x, memory, causal, source_keep[:, None, None, :])
        return self.decoder_norm(x) @ self.target_embedding.weight.T

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        return self.decode(target, *self.encode(source))

# %% exercise="Transformer" wrong="no_closing_norm_encoder"
"""No closing norm behind the encoder."""
class Transformer(nn.Module):
    def __init__(
        self,
        source_vocab: int,
        target_vocab: int,
        width: int,
        heads: int,
        layers: int,
        hidden: int,
        norm: str = "pre",
        activation: str = "relu",
        dropout: float = 0.0,
        max_length: int = 256,
    ):
        super().__init__()
        self.width, self.max_length = width, max_length
        self.source_embedding = nn.Embedding(source_vocab, width)
        self.target_embedding = nn.Embedding(target_vocab, width)
        for emb in (self.source_embedding, self.target_embedding):
            nn.init.normal_(emb.weight, std=width**-0.5)
        self.encoder = nn.ModuleList(
            EncoderLayer(width, heads, hidden, norm, activation, dropout) for _ in range(layers)
        )
        self.decoder = nn.ModuleList(
            DecoderLayer(width, heads, hidden, norm, activation, dropout) for _ in range(layers)
        )
        self.encoder_norm = nn.Identity()
        self.decoder_norm = LayerNorm(width) if norm == "pre" else nn.Identity()
        self.dropout = nn.Dropout(dropout)

    def embed(self, embedding, ids):
        T = ids.shape[1]
        if T > self.max_length:
            raise ValueError(f"sequence of length {T} is longer than {self.max_length}")
        x = embedding(ids) * math.sqrt(self.width)
        pos = sinusoidal_encoding(T, self.width).to(x)
        return self.dropout(x + pos)

    def encode(self, source: Tensor) -> tuple[Tensor, Tensor]:
        keep = source != PAD
        x = self.embed(self.source_embedding, source)
        for layer in self.encoder:
            x = layer(x, keep[:, None, None, :])
        return self.encoder_norm(x), keep

    def decode(self, target: Tensor, memory: Tensor, source_keep: Tensor) -> Tensor:
        T = target.shape[1]
        causal = torch.ones(T, T, dtype=torch.bool, device=target.device).tril()
        x = self.embed(self.target_embedding, target)
        for layer in self.decoder:
            x = layer(x, memory, causal, source_keep[:, None, None, :])
        return self.decoder_norm(x) @ self.target_embedding.weight.T

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        return self.decode(target, *self.encode(source))

# %% exercise="rmsnorm_forward" wrong="x_unmasked"
"""Loads x without a mask."""
@triton.jit
def rmsnorm_kernel(x_ptr, weight_ptr, out_ptr, n_cols, eps, x_row, x_col, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    cols = tl.arange(0, BLOCK)
    mask = cols < n_cols
    x = tl.load(x_ptr + row * x_row + cols * x_col).to(tl.float32)
    w = tl.load(weight_ptr + cols, mask=mask, other=0.0).to(tl.float32)
    ms = tl.sum(x * x, axis=0) / n_cols
    y = x / tl.sqrt(ms + eps) * w
    tl.store(out_ptr + row * n_cols + cols, y.to(out_ptr.dtype.element_ty), mask=mask)


def rmsnorm_forward(x: Tensor, weight: Tensor, eps: float = 1e-6) -> Tensor:
    R, C = x.shape
    out = torch.empty((R, C), dtype=x.dtype, device=x.device)
    rmsnorm_kernel[(R,)](x, weight, out, C, eps, x.stride(0), x.stride(1), BLOCK=triton.next_power_of_2(C))
    return out

# %% exercise="rmsnorm_forward" wrong="mask_lte"
"""Mask columns <= n_cols."""
@triton.jit
def rmsnorm_kernel(x_ptr, weight_ptr, out_ptr, n_cols, eps, x_row, x_col, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    cols = tl.arange(0, BLOCK)
    mask = cols <= n_cols
    x = tl.load(x_ptr + row * x_row + cols * x_col, mask=mask, other=0.0).to(tl.float32)
    w = tl.load(weight_ptr + cols, mask=mask, other=0.0).to(tl.float32)
    ms = tl.sum(x * x, axis=0) / n_cols
    y = x / tl.sqrt(ms + eps) * w
    tl.store(out_ptr + row * n_cols + cols, y.to(out_ptr.dtype.element_ty), mask=mask)


def rmsnorm_forward(x: Tensor, weight: Tensor, eps: float = 1e-6) -> Tensor:
    R, C = x.shape
    out = torch.empty((R, C), dtype=x.dtype, device=x.device)
    rmsnorm_kernel[(R,)](x, weight, out, C, eps, x.stride(0), x.stride(1), BLOCK=triton.next_power_of_2(C))
    return out

# %% exercise="rmsnorm_backward" wrong="store_unmasked"
"""Dx stored without a mask."""
@triton.jit
def rmsnorm_rows_kernel(
    dy_ptr, x_ptr, weight_ptr, dx_ptr, partial_ptr, n_rows, n_cols, eps,
    dy_row, dy_col, x_row, x_col, BLOCK: tl.constexpr,
):  # fmt: skip
    pid = tl.program_id(0)
    P = tl.num_programs(0)
    cols = tl.arange(0, BLOCK)
    mask = cols < n_cols
    w = tl.load(weight_ptr + cols, mask=mask, other=0.0).to(tl.float32)
    acc = tl.zeros((BLOCK,), dtype=tl.float32)
    for row in range(pid, n_rows, P):
        dy = tl.load(dy_ptr + row * dy_row + cols * dy_col, mask=mask, other=0.0).to(tl.float32)
        x = tl.load(x_ptr + row * x_row + cols * x_col, mask=mask, other=0.0).to(tl.float32)
        r = 1 / tl.sqrt(tl.sum(x * x, axis=0) / n_cols + eps)
        xhat = x * r
        g = dy * w
        c = tl.sum(g * xhat, axis=0) / n_cols
        dx = r * (g - xhat * c)
        tl.store(dx_ptr + row * n_cols + cols, dx.to(dx_ptr.dtype.element_ty))
        acc += dy * xhat
    tl.store(partial_ptr + pid * n_cols + cols, acc, mask=mask)


@triton.jit
def rmsnorm_sum_kernel(partial_ptr, dweight_ptr, n_partial, n_cols, BLOCK: tl.constexpr):
    cols = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = cols < n_cols
    acc = tl.zeros((BLOCK,), dtype=tl.float32)
    for i in range(n_partial):
        acc += tl.load(partial_ptr + i * n_cols + cols, mask=mask, other=0.0)
    tl.store(dweight_ptr + cols, acc.to(dweight_ptr.dtype.element_ty), mask=mask)


def rmsnorm_backward(
    dy: Tensor, x: Tensor, weight: Tensor, eps: float = 1e-6, programs: int = 4
) -> tuple[Tensor, Tensor]:
    R, C = x.shape
    dx = torch.empty((R, C), dtype=x.dtype, device=x.device)
    dweight = torch.empty_like(weight)
    partial = torch.empty((programs, C), dtype=torch.float32, device=x.device)
    rmsnorm_rows_kernel[(programs,)](
        dy, x, weight, dx, partial, R, C, eps, *dy.stride(), *x.stride(), BLOCK=triton.next_power_of_2(C)
    )
    rmsnorm_sum_kernel[(triton.cdiv(C, 64),)](partial, dweight, programs, C, BLOCK=64)
    return dx, dweight

# %% exercise="cross_entropy" wrong="no_online"
"""The whole row in one block whatever `block` says: no walk at all."""
@triton.jit
def cross_entropy_kernel(
    logits_ptr, target_ptr, loss_ptr, grad_ptr, n_classes, ignore, row_stride, class_stride, BLOCK: tl.constexpr
):
    row = tl.program_id(0)
    at = tl.arange(0, BLOCK)
    mask = at < n_classes
    target = tl.load(target_ptr + row)
    z = tl.load(logits_ptr + row * row_stride + at * class_stride, mask=mask, other=-float("inf")).to(tl.float32)
    m = tl.max(z, axis=0)
    e = tl.exp(z - m)
    s = tl.sum(e, axis=0)
    counts = target != ignore
    loss = m + tl.log(s) - tl.sum(tl.where(at == target, z, 0.0), axis=0)
    grad = e / s - tl.where(at == target, 1.0, 0.0)
    tl.store(loss_ptr + row, tl.where(counts, loss, 0.0))
    tl.store(grad_ptr + row * n_classes + at, tl.where(counts, grad, 0.0).to(grad_ptr.dtype.element_ty), mask=mask)


def cross_entropy(logits: Tensor, target: Tensor, block: int = 256, ignore: int = -100) -> tuple[Tensor, Tensor]:
    N, V = logits.shape
    loss = torch.empty(N, dtype=torch.float32, device=logits.device)
    grad = torch.empty((N, V), dtype=logits.dtype, device=logits.device)
    cross_entropy_kernel[(N,)](
        logits, target, loss, grad, V, ignore, logits.stride(0), logits.stride(1), BLOCK=triton.next_power_of_2(V)
    )
    return loss, grad

# %% exercise="cross_entropy" wrong="contiguous_copy"
"""Copies the logits first."""
@triton.jit
def cross_entropy_kernel(
    logits_ptr, target_ptr, loss_ptr, grad_ptr, n_classes, ignore, row_stride, class_stride, BLOCK: tl.constexpr
):
    row = tl.program_id(0)
    target = tl.load(target_ptr + row)
    counts = target != ignore
    m = -float("inf")
    s = 0.0
    zt = 0.0
    if n_classes <= BLOCK:
        at = tl.arange(0, BLOCK)
        mask = at < n_classes
        z = tl.load(logits_ptr + row * row_stride + at * class_stride, mask=mask, other=-float("inf")).to(tl.float32)
        m = tl.max(z, axis=0)
        e = tl.exp(z - m)
        s = tl.sum(e, axis=0)
        zt = tl.sum(tl.where(at == target, z, 0.0), axis=0)
        loss = tl.where(counts, tl.log(s) + m - zt, 0.0)
        grad = e / s - tl.where(at == target, 1.0, 0.0)
        grad = tl.where(counts, grad, 0.0)
        tl.store(grad_ptr + row * n_classes + at, grad.to(grad_ptr.dtype.element_ty), mask=mask)
        tl.store(loss_ptr + row, loss)
    else:
        for start in range(0, n_classes, BLOCK):
            at = start + tl.arange(0, BLOCK)
            mask = at < n_classes
            z = tl.load(logits_ptr + row * row_stride + at * class_stride, mask=mask, other=-float("inf")).to(tl.float32)
            new_m = tl.maximum(m, tl.max(z, axis=0))
            s = s * tl.exp(m - new_m) + tl.sum(tl.exp(z - new_m), axis=0)
            m = new_m
            zt += tl.sum(tl.where(at == target, z, 0.0), axis=0)
        loss = tl.where(counts, tl.log(s) + m - zt, 0.0)
        tl.store(loss_ptr + row, loss)
        for start in range(0, n_classes, BLOCK):
            at = start + tl.arange(0, BLOCK)
            mask = at < n_classes
            z = tl.load(logits_ptr + row * row_stride + at * class_stride, mask=mask, other=-float("inf")).to(tl.float32)
            grad = tl.exp(z - m) / s - tl.where(at == target, 1.0, 0.0)
            grad = tl.where(counts, grad, 0.0)
            tl.store(grad_ptr + row * n_classes + at, grad.to(grad_ptr.dtype.element_ty), mask=mask)


def cross_entropy(logits: Tensor, target: Tensor, block: int = 256, ignore: int = -100) -> tuple[Tensor, Tensor]:
    logits = logits.contiguous()
    N, V = logits.shape
    loss = torch.empty(N, dtype=torch.float32, device=logits.device)
    grad = torch.empty((N, V), dtype=logits.dtype, device=logits.device)
    cross_entropy_kernel[(N,)](
        logits, target, loss, grad, V, ignore, logits.stride(0), logits.stride(1), BLOCK=block
    )
    return loss, grad
