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

# %% exercise="LayerNorm" wrong="unbiased_variance"
"""Divides the variance by D - 1, the default of torch.var."""
class LayerNorm(nn.Module):
    def __init__(self, width: int, eps: float = 1e-5):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean(-1, keepdim=True)
        centred = x - mean
        var = x.var(-1, keepdim=True)
        out = centred / torch.sqrt(var + self.eps) * self.weight + self.bias
        return out.to(x.dtype)

# %% exercise="LayerNorm" wrong="eps_outside_root"
"""Adds eps to the standard deviation: wrong for small vectors, and the gradient of a vector of equal numbers is NaN."""
class LayerNorm(nn.Module):
    def __init__(self, width: int, eps: float = 1e-5):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean(-1, keepdim=True)
        centred = x - mean
        var = (centred * centred).mean(-1, keepdim=True)
        out = centred / (torch.sqrt(var) + self.eps) * self.weight + self.bias
        return out.to(x.dtype)

# %% exercise="LayerNorm" wrong="mean_of_squares_minus_square"
"""Variance as mean(x^2) - mean^2: no digits left for vectors with a large mean."""
class LayerNorm(nn.Module):
    def __init__(self, width: int, eps: float = 1e-5):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean(-1, keepdim=True)
        centred = x - mean
        var = ((x * x).mean(-1, keepdim=True) - mean * mean).clamp(min=0)
        out = centred / torch.sqrt(var + self.eps) * self.weight + self.bias
        return out.to(x.dtype)

# %% exercise="LayerNorm" wrong="statistics_over_tokens_too"
"""Statistics over all axes but the first, as in group norm: wrong for (B, T, D) input."""
class LayerNorm(nn.Module):
    def __init__(self, width: int, eps: float = 1e-5):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        axes = tuple(range(1, x.dim())) if x.dim() > 1 else (0,)
        var, mean = torch.var_mean(x, dim=axes, correction=0, keepdim=True)
        return (x - mean) / torch.sqrt(var + self.eps) * self.weight + self.bias

# %% exercise="LayerNorm" wrong="axis_one"
"""Statistics over axis 1: right for (N, D), wrong for (B, T, D)."""
class LayerNorm(nn.Module):
    def __init__(self, width: int, eps: float = 1e-5):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean(min(1, x.dim() - 1), keepdim=True)
        centred = x - mean
        var = (centred * centred).mean(min(1, x.dim() - 1), keepdim=True)
        out = centred / torch.sqrt(var + self.eps) * self.weight + self.bias
        return out.to(x.dtype)

# %% exercise="LayerNorm" wrong="bias_before_weight"
"""The shift is added before the scale: (x_hat + bias) * weight."""
class LayerNorm(nn.Module):
    def __init__(self, width: int, eps: float = 1e-5):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean(-1, keepdim=True)
        centred = x - mean
        var = (centred * centred).mean(-1, keepdim=True)
        out = (centred / torch.sqrt(var + self.eps) + self.bias) * self.weight
        return out.to(x.dtype)

# %% exercise="LayerNorm" wrong="always_float32"
"""Computes in float32 and returns float32, also for a float64 vector."""
class LayerNorm(nn.Module):
    def __init__(self, width: int, eps: float = 1e-5):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        x = x.float()
        mean = x.mean(-1, keepdim=True)
        centred = x - mean
        var = (centred * centred).mean(-1, keepdim=True)
        out = centred / torch.sqrt(var + self.eps) * self.weight.float() + self.bias.float()
        return out.to(x.dtype)

# %% exercise="LayerNorm" wrong="statistics_detached"
"""Mean and variance without gradient: the forward is right, the gradient of x is not."""
class LayerNorm(nn.Module):
    def __init__(self, width: int, eps: float = 1e-5):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            mean = x.mean(-1, keepdim=True)
            var = (x - mean).square().mean(-1, keepdim=True)
        centred = x - mean
        out = centred / torch.sqrt(var + self.eps) * self.weight + self.bias
        return out.to(x.dtype)

# %% exercise="RMSNorm" wrong="norm_not_rms"
"""Divides by the length sqrt(sum x^2), not by the root of the mean."""
class RMSNorm(nn.Module):
    def __init__(self, width: int, eps: float = 1e-6):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        square = wide.pow(2).sum(-1, keepdim=True)
        out = wide * torch.rsqrt(square + self.eps) * self.weight
        return out.to(x.dtype)

# %% exercise="RMSNorm" wrong="subtracts_mean"
"""Takes the mean away first, as LayerNorm does."""
class RMSNorm(nn.Module):
    def __init__(self, width: int, eps: float = 1e-6):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        wide = wide - wide.mean(-1, keepdim=True)
        square = wide.pow(2).mean(-1, keepdim=True)
        out = wide * torch.rsqrt(square + self.eps) * self.weight
        return out.to(x.dtype)

# %% exercise="RMSNorm" wrong="squares_in_half"
"""Squares before it converts: 400 in float16 becomes inf, its output 0."""
class RMSNorm(nn.Module):
    def __init__(self, width: int, eps: float = 1e-6):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        square = x.pow(2).to(wide.dtype).mean(-1, keepdim=True)
        out = wide * torch.rsqrt(square + self.eps) * self.weight
        return out.to(x.dtype)

# %% exercise="RMSNorm" wrong="rounds_before_weight"
"""As in Llama's code: rounds to half before the weight, so the scale is not applied in float32 and it rounds twice."""
class RMSNorm(nn.Module):
    def __init__(self, width: int, eps: float = 1e-6):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        square = wide.pow(2).mean(-1, keepdim=True)
        out = (wide * torch.rsqrt(square + self.eps)).to(x.dtype) * self.weight.to(x.dtype)
        return out.to(x.dtype)

# %% exercise="RMSNorm" wrong="float64_through_float32"
"""Converts everything to float32, float64 too: its digits are lost."""
class RMSNorm(nn.Module):
    def __init__(self, width: int, eps: float = 1e-6):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        wide = x.float()
        square = wide.pow(2).mean(-1, keepdim=True)
        out = wide * torch.rsqrt(square + self.eps) * self.weight
        return out.to(x.dtype)

# %% exercise="RMSNorm" wrong="eps_outside_root"
"""Adds eps to the root: a small vector comes out too large."""
class RMSNorm(nn.Module):
    def __init__(self, width: int, eps: float = 1e-6):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        square = wide.pow(2).mean(-1, keepdim=True)
        out = wide / (square.sqrt() + self.eps) * self.weight
        return out.to(x.dtype)

# %% exercise="RMSNorm" wrong="stays_float32"
"""Never converts back: a float16 vector comes out in float32."""
class RMSNorm(nn.Module):
    def __init__(self, width: int, eps: float = 1e-6):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        square = wide.pow(2).mean(-1, keepdim=True)
        out = wide * torch.rsqrt(square + self.eps) * self.weight
        return out

# %% exercise="RMSNorm" wrong="only_float16_widened"
"""Widens float16 but squares and scales bfloat16 in bfloat16."""
class RMSNorm(nn.Module):
    def __init__(self, width: int, eps: float = 1e-6):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        wide = x.float() if x.dtype == torch.float16 else x
        square = wide.pow(2).mean(-1, keepdim=True)
        out = wide * torch.rsqrt(square + self.eps) * self.weight
        return out.to(x.dtype)

# %% exercise="BatchNorm" wrong="running_var_biased"
"""Puts the variance that divides by N into running_var."""
class BatchNorm(nn.Module):
    def __init__(self, width: int, eps: float = 1e-5, momentum: float = 0.1):
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))
        self.register_buffer("running_mean", torch.zeros(width))
        self.register_buffer("running_var", torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        flat = x.reshape(-1, x.shape[-1])
        if self.training:
            mean, var = flat.mean(0), flat.var(0, correction=0)
            with torch.no_grad():
                self.running_mean.lerp_(mean, self.momentum)
                self.running_var.lerp_(var, self.momentum)
        else:
            mean, var = self.running_mean, self.running_var
        return (x - mean) / torch.sqrt(var + self.eps) * self.weight + self.bias

# %% exercise="BatchNorm" wrong="momentum_of_the_old"
"""Momentum is the share of the old statistics, as in other libraries: running moves by 0.9 of the batch."""
class BatchNorm(nn.Module):
    def __init__(self, width: int, eps: float = 1e-5, momentum: float = 0.1):
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))
        self.register_buffer("running_mean", torch.zeros(width))
        self.register_buffer("running_var", torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        flat = x.reshape(-1, x.shape[-1])
        if self.training:
            mean, var = flat.mean(0), flat.var(0, correction=0)
            with torch.no_grad():
                self.running_mean.lerp_(mean, 1 - self.momentum)
                self.running_var.lerp_(flat.var(0), 1 - self.momentum)
        else:
            mean, var = self.running_mean, self.running_var
        return (x - mean) / torch.sqrt(var + self.eps) * self.weight + self.bias

# %% exercise="BatchNorm" wrong="normalises_unbiased"
"""Normalises the batch with the variance that divides by N - 1."""
class BatchNorm(nn.Module):
    def __init__(self, width: int, eps: float = 1e-5, momentum: float = 0.1):
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))
        self.register_buffer("running_mean", torch.zeros(width))
        self.register_buffer("running_var", torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        flat = x.reshape(-1, x.shape[-1])
        if self.training:
            mean, var = flat.mean(0), flat.var(0)
            with torch.no_grad():
                self.running_mean.lerp_(mean, self.momentum)
                self.running_var.lerp_(flat.var(0), self.momentum)
        else:
            mean, var = self.running_mean, self.running_var
        return (x - mean) / torch.sqrt(var + self.eps) * self.weight + self.bias

# %% exercise="BatchNorm" wrong="graph_in_buffers"
"""The running statistics are tensors with a graph: it grows, and a second backward through them fails."""
class BatchNorm(nn.Module):
    def __init__(self, width: int, eps: float = 1e-5, momentum: float = 0.1):
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))
        self.register_buffer("running_mean", torch.zeros(width))
        self.register_buffer("running_var", torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        flat = x.reshape(-1, x.shape[-1])
        if self.training:
            mean, var = flat.mean(0), flat.var(0, correction=0)
            self.running_mean = (1 - self.momentum) * self.running_mean + self.momentum * mean
            self.running_var = (1 - self.momentum) * self.running_var + self.momentum * flat.var(0)
        else:
            mean, var = self.running_mean, self.running_var
        return (x - mean) / torch.sqrt(var + self.eps) * self.weight + self.bias

# %% exercise="BatchNorm" wrong="eval_uses_batch"
"""In evaluation the batch's own statistics are used, as in training."""
class BatchNorm(nn.Module):
    def __init__(self, width: int, eps: float = 1e-5, momentum: float = 0.1):
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))
        self.register_buffer("running_mean", torch.zeros(width))
        self.register_buffer("running_var", torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        flat = x.reshape(-1, x.shape[-1])
        if self.training:
            mean, var = flat.mean(0), flat.var(0, correction=0)
            with torch.no_grad():
                self.running_mean.lerp_(mean, self.momentum)
                self.running_var.lerp_(flat.var(0), self.momentum)
        else:
            mean, var = flat.mean(0), flat.var(0, correction=0)
        return (x - mean) / torch.sqrt(var + self.eps) * self.weight + self.bias

# %% exercise="BatchNorm" wrong="eval_updates"
"""In evaluation the running statistics move, too."""
class BatchNorm(nn.Module):
    def __init__(self, width: int, eps: float = 1e-5, momentum: float = 0.1):
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))
        self.register_buffer("running_mean", torch.zeros(width))
        self.register_buffer("running_var", torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        flat = x.reshape(-1, x.shape[-1])
        mean, var = flat.mean(0), flat.var(0, correction=0)
        if not self.training:
            mean, var = self.running_mean.clone(), self.running_var.clone()
        if len(flat) > 1:
            with torch.no_grad():
                self.running_mean.lerp_(flat.mean(0), self.momentum)
                self.running_var.lerp_(flat.var(0), self.momentum)
        return (x - mean) / torch.sqrt(var + self.eps) * self.weight + self.bias

# %% exercise="BatchNorm" wrong="batch_axis_only"
"""For (B, T, D) it normalises over B alone, each place for itself; the running statistics average the places."""
class BatchNorm(nn.Module):
    def __init__(self, width: int, eps: float = 1e-5, momentum: float = 0.1):
        super().__init__()
        self.width, self.eps, self.momentum = width, eps, momentum
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))
        self.register_buffer("running_mean", torch.zeros(width))
        self.register_buffer("running_var", torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            mean, var = x.mean(0), x.var(0, correction=0)
            with torch.no_grad():
                self.running_mean.lerp_(mean.reshape(-1, self.width).mean(0), self.momentum)
                self.running_var.lerp_(x.reshape(-1, self.width).var(0), self.momentum)
        else:
            mean, var = self.running_mean, self.running_var
        return (x - mean) / torch.sqrt(var + self.eps) * self.weight + self.bias

# %% exercise="BatchNorm" wrong="statistics_not_in_state_dict"
"""The running statistics are no persistent buffers: a saved and loaded layer has forgotten them."""
class BatchNorm(nn.Module):
    def __init__(self, width: int, eps: float = 1e-5, momentum: float = 0.1):
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))
        self.register_buffer("running_mean", torch.zeros(width), persistent=False)
        self.register_buffer("running_var", torch.ones(width), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        flat = x.reshape(-1, x.shape[-1])
        if self.training:
            mean, var = flat.mean(0), flat.var(0, correction=0)
            with torch.no_grad():
                self.running_mean.lerp_(mean, self.momentum)
                self.running_var.lerp_(flat.var(0), self.momentum)
        else:
            mean, var = self.running_mean, self.running_var
        return (x - mean) / torch.sqrt(var + self.eps) * self.weight + self.bias

# %% exercise="BatchNorm" wrong="training_uses_running"
"""In training it moves the running statistics and normalises with them."""
class BatchNorm(nn.Module):
    def __init__(self, width: int, eps: float = 1e-5, momentum: float = 0.1):
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))
        self.register_buffer("running_mean", torch.zeros(width))
        self.register_buffer("running_var", torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        flat = x.reshape(-1, x.shape[-1])
        if self.training:
            mean, var = flat.mean(0), flat.var(0, correction=0)
            with torch.no_grad():
                self.running_mean.lerp_(mean, self.momentum)
                self.running_var.lerp_(flat.var(0), self.momentum)
        mean, var = self.running_mean.clone(), self.running_var.clone()
        return (x - mean) / torch.sqrt(var + self.eps) * self.weight + self.bias

# %% exercise="FeedForward" wrong="gelu_tanh"
"""The tanh approximation of GELU, as in GPT-2."""
class FeedForward(nn.Module):
    def __init__(self, width: int, hidden: int, activation: str = "relu"):
        super().__init__()
        known = {"relu": nn.functional.relu, "gelu": lambda z: nn.functional.gelu(z, approximate="tanh")}
        if activation not in known:
            raise ValueError(f"unknown activation: {activation}")
        self.act = known[activation]
        self.up = nn.Linear(width, hidden)
        self.down = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(self.act(self.up(x)))

# %% exercise="FeedForward" wrong="gelu_sigmoid"
"""GELU as x * sigmoid(1.702 x), the other approximation of the paper."""
class FeedForward(nn.Module):
    def __init__(self, width: int, hidden: int, activation: str = "relu"):
        super().__init__()
        known = {"relu": nn.functional.relu, "gelu": lambda z: z * torch.sigmoid(1.702 * z)}
        if activation not in known:
            raise ValueError(f"unknown activation: {activation}")
        self.act = known[activation]
        self.up = nn.Linear(width, hidden)
        self.down = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(self.act(self.up(x)))

# %% exercise="FeedForward" wrong="activation_behind_down"
"""A second nonlinearity behind down: no output of the relu layer is negative."""
class FeedForward(nn.Module):
    def __init__(self, width: int, hidden: int, activation: str = "relu"):
        super().__init__()
        known = {"relu": nn.functional.relu, "gelu": nn.functional.gelu}
        if activation not in known:
            raise ValueError(f"unknown activation: {activation}")
        self.act = known[activation]
        self.up = nn.Linear(width, hidden)
        self.down = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.down(self.act(self.up(x))))

# %% exercise="FeedForward" wrong="unknown_is_relu"
"""Any unknown activation is silently relu; no ValueError."""
class FeedForward(nn.Module):
    def __init__(self, width: int, hidden: int, activation: str = "relu"):
        super().__init__()
        known = {"relu": nn.functional.relu, "gelu": nn.functional.gelu}
        self.act = known.get(activation, nn.functional.relu)
        self.up = nn.Linear(width, hidden)
        self.down = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(self.act(self.up(x)))

# %% exercise="FeedForward" wrong="no_biases"
"""Both linear maps have no bias, so the state dict lacks two names."""
class FeedForward(nn.Module):
    def __init__(self, width: int, hidden: int, activation: str = "relu"):
        super().__init__()
        known = {"relu": nn.functional.relu, "gelu": nn.functional.gelu}
        if activation not in known:
            raise ValueError(f"unknown activation: {activation}")
        self.act = known[activation]
        self.up = nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(self.act(self.up(x)))

# %% exercise="FeedForward" wrong="adds_input"
"""Adds its input: the residual is the layer's business, not this one's."""
class FeedForward(nn.Module):
    def __init__(self, width: int, hidden: int, activation: str = "relu"):
        super().__init__()
        known = {"relu": nn.functional.relu, "gelu": nn.functional.gelu}
        if activation not in known:
            raise ValueError(f"unknown activation: {activation}")
        self.act = known[activation]
        self.up = nn.Linear(width, hidden)
        self.down = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.down(self.act(self.up(x)))

# %% exercise="SwiGLU" wrong="branches_swapped"
"""silu acts on up, not on gate."""
class SwiGLU(nn.Module):
    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.gate = nn.Linear(width, hidden, bias=False)
        self.up = nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(nn.functional.silu(self.up(x)) * self.gate(x))

# %% exercise="SwiGLU" wrong="sigmoid_gate"
"""The plain GLU: a sigmoid gate without the factor z."""
class SwiGLU(nn.Module):
    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.gate = nn.Linear(width, hidden, bias=False)
        self.up = nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(torch.sigmoid(self.gate(x)) * self.up(x))

# %% exercise="SwiGLU" wrong="gelu_gate"
"""GEGLU: gelu in the place of silu."""
class SwiGLU(nn.Module):
    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.gate = nn.Linear(width, hidden, bias=False)
        self.up = nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(nn.functional.gelu(self.gate(x)) * self.up(x))

# %% exercise="SwiGLU" wrong="with_biases"
"""The three linear maps have biases."""
class SwiGLU(nn.Module):
    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.gate = nn.Linear(width, hidden)
        self.up = nn.Linear(width, hidden)
        self.down = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(nn.functional.silu(self.gate(x)) * self.up(x))

# %% exercise="SwiGLU" wrong="silu_of_product"
"""silu acts on the product of both branches."""
class SwiGLU(nn.Module):
    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.gate = nn.Linear(width, hidden, bias=False)
        self.up = nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(nn.functional.silu(self.gate(x) * self.up(x)))

# %% exercise="SwiGLU" wrong="hidden_two_thirds"
"""Cuts the hidden width to two thirds by itself, as papers do with F = 4D."""
class SwiGLU(nn.Module):
    def __init__(self, width: int, hidden: int):
        super().__init__()
        hidden = max(1, 2 * hidden // 3)
        self.gate = nn.Linear(width, hidden, bias=False)
        self.up = nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(nn.functional.silu(self.gate(x)) * self.up(x))

# %% exercise="EncoderLayer" wrong="residual_of_normed"
"""Pre-norm adds to the normalised copy, not to the stream."""
class EncoderLayer(nn.Module):
    def __init__(
        self, width: int, heads: int, hidden: int, norm: str = "pre", activation: str = "relu", dropout: float = 0.0
    ):
        super().__init__()
        if norm not in ("pre", "post"):
            raise ValueError(f"unknown norm: {norm}")
        self.norm = norm
        self.attention = MultiHeadAttention(width, heads)
        self.norm1 = LayerNorm(width)
        self.feed_forward = FeedForward(width, hidden, activation)
        self.norm2 = LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def sublayer(self, x, norm, f):
        if self.norm == "pre":
            x = norm(x)
            return x + self.dropout(f(x))
        return norm(x + self.dropout(f(x)))

    def forward(self, x: Tensor, mask: Mask = None) -> Tensor:
        x = self.sublayer(x, self.norm1, lambda y: self.attention(y, mask)[0])
        return self.sublayer(x, self.norm2, self.feed_forward)

# %% exercise="EncoderLayer" wrong="post_norms_sublayer"
"""Post-norm normalises the sublayer's output before it is added, not the sum."""
class EncoderLayer(nn.Module):
    def __init__(
        self, width: int, heads: int, hidden: int, norm: str = "pre", activation: str = "relu", dropout: float = 0.0
    ):
        super().__init__()
        if norm not in ("pre", "post"):
            raise ValueError(f"unknown norm: {norm}")
        self.norm = norm
        self.attention = MultiHeadAttention(width, heads)
        self.norm1 = LayerNorm(width)
        self.feed_forward = FeedForward(width, hidden, activation)
        self.norm2 = LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def sublayer(self, x, norm, f):
        if self.norm == "pre":
            return x + self.dropout(f(norm(x)))
        return x + norm(self.dropout(f(x)))

    def forward(self, x: Tensor, mask: Mask = None) -> Tensor:
        x = self.sublayer(x, self.norm1, lambda y: self.attention(y, mask)[0])
        return self.sublayer(x, self.norm2, self.feed_forward)

# %% exercise="EncoderLayer" wrong="norms_swapped"
"""norm2 goes with the attention and norm1 with the feed-forward layer."""
class EncoderLayer(nn.Module):
    def __init__(
        self, width: int, heads: int, hidden: int, norm: str = "pre", activation: str = "relu", dropout: float = 0.0
    ):
        super().__init__()
        if norm not in ("pre", "post"):
            raise ValueError(f"unknown norm: {norm}")
        self.norm = norm
        self.attention = MultiHeadAttention(width, heads)
        self.norm1 = LayerNorm(width)
        self.feed_forward = FeedForward(width, hidden, activation)
        self.norm2 = LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def sublayer(self, x, norm, f):
        if self.norm == "pre":
            return x + self.dropout(f(norm(x)))
        return norm(x + self.dropout(f(x)))

    def forward(self, x: Tensor, mask: Mask = None) -> Tensor:
        x = self.sublayer(x, self.norm2, lambda y: self.attention(y, mask)[0])
        return self.sublayer(x, self.norm1, self.feed_forward)

# %% exercise="EncoderLayer" wrong="parallel_sublayers"
"""Pre-norm: both sublayers read the same stream, the second one does not see what the first made."""
class EncoderLayer(nn.Module):
    def __init__(
        self, width: int, heads: int, hidden: int, norm: str = "pre", activation: str = "relu", dropout: float = 0.0
    ):
        super().__init__()
        if norm not in ("pre", "post"):
            raise ValueError(f"unknown norm: {norm}")
        self.norm = norm
        self.attention = MultiHeadAttention(width, heads)
        self.norm1 = LayerNorm(width)
        self.feed_forward = FeedForward(width, hidden, activation)
        self.norm2 = LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def sublayer(self, x, norm, f):
        if self.norm == "pre":
            return x + self.dropout(f(norm(x)))
        return norm(x + self.dropout(f(x)))

    def forward(self, x: Tensor, mask: Mask = None) -> Tensor:
        before = x
        x = self.sublayer(x, self.norm1, lambda y: self.attention(y, mask)[0])
        if self.norm == "pre":
            return x + self.dropout(self.feed_forward(self.norm2(before)))
        return self.sublayer(x, self.norm2, self.feed_forward)

# %% exercise="EncoderLayer" wrong="attention_weights_dropped"
"""Hands dropout to the attention too, so its weights are dropped in training: 'nothing else is dropped'."""
class EncoderLayer(nn.Module):
    def __init__(
        self, width: int, heads: int, hidden: int, norm: str = "pre", activation: str = "relu", dropout: float = 0.0
    ):
        super().__init__()
        if norm not in ("pre", "post"):
            raise ValueError(f"unknown norm: {norm}")
        self.norm = norm
        self.attention = MultiHeadAttention(width, heads, dropout)
        self.norm1 = LayerNorm(width)
        self.feed_forward = FeedForward(width, hidden, activation)
        self.norm2 = LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def sublayer(self, x, norm, f):
        if self.norm == "pre":
            return x + self.dropout(f(norm(x)))
        return norm(x + self.dropout(f(x)))

    def forward(self, x: Tensor, mask: Mask = None) -> Tensor:
        x = self.sublayer(x, self.norm1, lambda y: self.attention(y, mask)[0])
        return self.sublayer(x, self.norm2, self.feed_forward)

# %% exercise="EncoderLayer" wrong="dropout_in_eval"
"""nn.functional.dropout without training=: it drops in evaluation, too."""
class EncoderLayer(nn.Module):
    def __init__(
        self, width: int, heads: int, hidden: int, norm: str = "pre", activation: str = "relu", dropout: float = 0.0
    ):
        super().__init__()
        if norm not in ("pre", "post"):
            raise ValueError(f"unknown norm: {norm}")
        self.norm = norm
        self.attention = MultiHeadAttention(width, heads)
        self.norm1 = LayerNorm(width)
        self.feed_forward = FeedForward(width, hidden, activation)
        self.norm2 = LayerNorm(width)
        self.dropout = lambda y: nn.functional.dropout(y, dropout)

    def sublayer(self, x, norm, f):
        if self.norm == "pre":
            return x + self.dropout(f(norm(x)))
        return norm(x + self.dropout(f(x)))

    def forward(self, x: Tensor, mask: Mask = None) -> Tensor:
        x = self.sublayer(x, self.norm1, lambda y: self.attention(y, mask)[0])
        return self.sublayer(x, self.norm2, self.feed_forward)

# %% exercise="EncoderLayer" wrong="dropout_on_the_stream"
"""Drops the sum instead of the sublayer's output: the stream itself gets holes."""
class EncoderLayer(nn.Module):
    def __init__(
        self, width: int, heads: int, hidden: int, norm: str = "pre", activation: str = "relu", dropout: float = 0.0
    ):
        super().__init__()
        if norm not in ("pre", "post"):
            raise ValueError(f"unknown norm: {norm}")
        self.norm = norm
        self.attention = MultiHeadAttention(width, heads)
        self.norm1 = LayerNorm(width)
        self.feed_forward = FeedForward(width, hidden, activation)
        self.norm2 = LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def sublayer(self, x, norm, f):
        if self.norm == "pre":
            return self.dropout(x + f(norm(x)))
        return norm(self.dropout(x + f(x)))

    def forward(self, x: Tensor, mask: Mask = None) -> Tensor:
        x = self.sublayer(x, self.norm1, lambda y: self.attention(y, mask)[0])
        return self.sublayer(x, self.norm2, self.feed_forward)

# %% exercise="EncoderLayer" wrong="feed_forward_not_dropped"
"""Dropout only behind the attention."""
class EncoderLayer(nn.Module):
    def __init__(
        self, width: int, heads: int, hidden: int, norm: str = "pre", activation: str = "relu", dropout: float = 0.0
    ):
        super().__init__()
        if norm not in ("pre", "post"):
            raise ValueError(f"unknown norm: {norm}")
        self.norm = norm
        self.attention = MultiHeadAttention(width, heads)
        self.norm1 = LayerNorm(width)
        self.feed_forward = FeedForward(width, hidden, activation)
        self.norm2 = LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def sublayer(self, x, norm, f):
        if self.norm == "pre":
            return x + self.dropout(f(norm(x)))
        return norm(x + self.dropout(f(x)))

    def forward(self, x: Tensor, mask: Mask = None) -> Tensor:
        x = self.sublayer(x, self.norm1, lambda y: self.attention(y, mask)[0])
        if self.norm == "pre":
            return x + self.feed_forward(self.norm2(x))
        return self.norm2(x + self.feed_forward(x))

# %% exercise="EncoderLayer" wrong="any_norm_is_post"
"""Every other word than pre is taken for post; no ValueError."""
class EncoderLayer(nn.Module):
    def __init__(
        self, width: int, heads: int, hidden: int, norm: str = "pre", activation: str = "relu", dropout: float = 0.0
    ):
        super().__init__()
        self.norm = norm
        self.attention = MultiHeadAttention(width, heads)
        self.norm1 = LayerNorm(width)
        self.feed_forward = FeedForward(width, hidden, activation)
        self.norm2 = LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def sublayer(self, x, norm, f):
        if self.norm == "pre":
            return x + self.dropout(f(norm(x)))
        return norm(x + self.dropout(f(x)))

    def forward(self, x: Tensor, mask: Mask = None) -> Tensor:
        x = self.sublayer(x, self.norm1, lambda y: self.attention(y, mask)[0])
        return self.sublayer(x, self.norm2, self.feed_forward)

# %% exercise="EncoderLayer" wrong="mask_inverted"
"""Inverts the mask, as nn.Transformer wants it: True = hidden."""
class EncoderLayer(nn.Module):
    def __init__(
        self, width: int, heads: int, hidden: int, norm: str = "pre", activation: str = "relu", dropout: float = 0.0
    ):
        super().__init__()
        if norm not in ("pre", "post"):
            raise ValueError(f"unknown norm: {norm}")
        self.norm = norm
        self.attention = MultiHeadAttention(width, heads)
        self.norm1 = LayerNorm(width)
        self.feed_forward = FeedForward(width, hidden, activation)
        self.norm2 = LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def sublayer(self, x, norm, f):
        if self.norm == "pre":
            return x + self.dropout(f(norm(x)))
        return norm(x + self.dropout(f(x)))

    def forward(self, x: Tensor, mask: Mask = None) -> Tensor:
        x = self.sublayer(x, self.norm1, lambda y: self.attention(y, None if mask is None else ~mask)[0])
        return self.sublayer(x, self.norm2, self.feed_forward)

# %% exercise="EncoderLayer" wrong="mask_not_passed"
"""Never hands the mask to the attention."""
class EncoderLayer(nn.Module):
    def __init__(
        self, width: int, heads: int, hidden: int, norm: str = "pre", activation: str = "relu", dropout: float = 0.0
    ):
        super().__init__()
        if norm not in ("pre", "post"):
            raise ValueError(f"unknown norm: {norm}")
        self.norm = norm
        self.attention = MultiHeadAttention(width, heads)
        self.norm1 = LayerNorm(width)
        self.feed_forward = FeedForward(width, hidden, activation)
        self.norm2 = LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def sublayer(self, x, norm, f):
        if self.norm == "pre":
            return x + self.dropout(f(norm(x)))
        return norm(x + self.dropout(f(x)))

    def forward(self, x: Tensor, mask: Mask = None) -> Tensor:
        x = self.sublayer(x, self.norm1, lambda y: self.attention(y)[0])
        return self.sublayer(x, self.norm2, self.feed_forward)

# %% exercise="EncoderLayer" wrong="activation_not_passed"
"""The feed-forward layer is always relu."""
class EncoderLayer(nn.Module):
    def __init__(
        self, width: int, heads: int, hidden: int, norm: str = "pre", activation: str = "relu", dropout: float = 0.0
    ):
        super().__init__()
        if norm not in ("pre", "post"):
            raise ValueError(f"unknown norm: {norm}")
        self.norm = norm
        self.attention = MultiHeadAttention(width, heads)
        self.norm1 = LayerNorm(width)
        self.feed_forward = FeedForward(width, hidden)
        self.norm2 = LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def sublayer(self, x, norm, f):
        if self.norm == "pre":
            return x + self.dropout(f(norm(x)))
        return norm(x + self.dropout(f(x)))

    def forward(self, x: Tensor, mask: Mask = None) -> Tensor:
        x = self.sublayer(x, self.norm1, lambda y: self.attention(y, mask)[0])
        return self.sublayer(x, self.norm2, self.feed_forward)

# %% exercise="DecoderLayer" wrong="cross_first"
"""Cross-attention acts before self-attention."""
class DecoderLayer(nn.Module):
    def __init__(
        self, width: int, heads: int, hidden: int, norm: str = "pre", activation: str = "relu", dropout: float = 0.0
    ):
        super().__init__()
        if norm not in ("pre", "post"):
            raise ValueError(f"unknown norm: {norm}")
        self.norm = norm
        self.self_attention = MultiHeadAttention(width, heads)
        self.norm1 = LayerNorm(width)
        self.cross_attention = MultiHeadAttention(width, heads)
        self.norm2 = LayerNorm(width)
        self.feed_forward = FeedForward(width, hidden, activation)
        self.norm3 = LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def sublayer(self, x, norm, f):
        if self.norm == "pre":
            return x + self.dropout(f(norm(x)))
        return norm(x + self.dropout(f(x)))

    def forward(self, x: Tensor, memory: Tensor, mask: Mask = None, memory_mask: Mask = None) -> Tensor:
        x = self.sublayer(x, self.norm2, lambda y: self.cross_attention(y, memory_mask, memory)[0])
        x = self.sublayer(x, self.norm1, lambda y: self.self_attention(y, mask)[0])
        return self.sublayer(x, self.norm3, self.feed_forward)

# %% exercise="DecoderLayer" wrong="memory_normalised"
"""Pre-norm normalises the memory with norm2 as well."""
class DecoderLayer(nn.Module):
    def __init__(
        self, width: int, heads: int, hidden: int, norm: str = "pre", activation: str = "relu", dropout: float = 0.0
    ):
        super().__init__()
        if norm not in ("pre", "post"):
            raise ValueError(f"unknown norm: {norm}")
        self.norm = norm
        self.self_attention = MultiHeadAttention(width, heads)
        self.norm1 = LayerNorm(width)
        self.cross_attention = MultiHeadAttention(width, heads)
        self.norm2 = LayerNorm(width)
        self.feed_forward = FeedForward(width, hidden, activation)
        self.norm3 = LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def sublayer(self, x, norm, f):
        if self.norm == "pre":
            return x + self.dropout(f(norm(x)))
        return norm(x + self.dropout(f(x)))

    def forward(self, x: Tensor, memory: Tensor, mask: Mask = None, memory_mask: Mask = None) -> Tensor:
        x = self.sublayer(x, self.norm1, lambda y: self.self_attention(y, mask)[0])
        x = self.sublayer(x, self.norm2, lambda y: self.cross_attention(y, memory_mask, self.norm2(memory) if self.norm == "pre" else memory)[0])
        return self.sublayer(x, self.norm3, self.feed_forward)

# %% exercise="DecoderLayer" wrong="memory_mask_forgotten"
"""The cross-attention gets no mask: padding of the source is read."""
class DecoderLayer(nn.Module):
    def __init__(
        self, width: int, heads: int, hidden: int, norm: str = "pre", activation: str = "relu", dropout: float = 0.0
    ):
        super().__init__()
        if norm not in ("pre", "post"):
            raise ValueError(f"unknown norm: {norm}")
        self.norm = norm
        self.self_attention = MultiHeadAttention(width, heads)
        self.norm1 = LayerNorm(width)
        self.cross_attention = MultiHeadAttention(width, heads)
        self.norm2 = LayerNorm(width)
        self.feed_forward = FeedForward(width, hidden, activation)
        self.norm3 = LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def sublayer(self, x, norm, f):
        if self.norm == "pre":
            return x + self.dropout(f(norm(x)))
        return norm(x + self.dropout(f(x)))

    def forward(self, x: Tensor, memory: Tensor, mask: Mask = None, memory_mask: Mask = None) -> Tensor:
        x = self.sublayer(x, self.norm1, lambda y: self.self_attention(y, mask)[0])
        x = self.sublayer(x, self.norm2, lambda y: self.cross_attention(y, None, memory)[0])
        return self.sublayer(x, self.norm3, self.feed_forward)

# %% exercise="DecoderLayer" wrong="own_causal_mask"
"""Hides the future by itself, also when no mask is given."""
class DecoderLayer(nn.Module):
    def __init__(
        self, width: int, heads: int, hidden: int, norm: str = "pre", activation: str = "relu", dropout: float = 0.0
    ):
        super().__init__()
        if norm not in ("pre", "post"):
            raise ValueError(f"unknown norm: {norm}")
        self.norm = norm
        self.self_attention = MultiHeadAttention(width, heads)
        self.norm1 = LayerNorm(width)
        self.cross_attention = MultiHeadAttention(width, heads)
        self.norm2 = LayerNorm(width)
        self.feed_forward = FeedForward(width, hidden, activation)
        self.norm3 = LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def sublayer(self, x, norm, f):
        if self.norm == "pre":
            return x + self.dropout(f(norm(x)))
        return norm(x + self.dropout(f(x)))

    def forward(self, x: Tensor, memory: Tensor, mask: Mask = None, memory_mask: Mask = None) -> Tensor:
        causal = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool, device=x.device).tril()
        mask = causal if mask is None else mask & causal
        x = self.sublayer(x, self.norm1, lambda y: self.self_attention(y, mask)[0])
        x = self.sublayer(x, self.norm2, lambda y: self.cross_attention(y, memory_mask, memory)[0])
        return self.sublayer(x, self.norm3, self.feed_forward)

# %% exercise="DecoderLayer" wrong="one_attention_for_both"
"""Self- and cross-attention are one module with two names: they share their weights."""
class DecoderLayer(nn.Module):
    def __init__(
        self, width: int, heads: int, hidden: int, norm: str = "pre", activation: str = "relu", dropout: float = 0.0
    ):
        super().__init__()
        if norm not in ("pre", "post"):
            raise ValueError(f"unknown norm: {norm}")
        self.norm = norm
        self.self_attention = MultiHeadAttention(width, heads)
        self.norm1 = LayerNorm(width)
        self.cross_attention = self.self_attention
        self.norm2 = LayerNorm(width)
        self.feed_forward = FeedForward(width, hidden, activation)
        self.norm3 = LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def sublayer(self, x, norm, f):
        if self.norm == "pre":
            return x + self.dropout(f(norm(x)))
        return norm(x + self.dropout(f(x)))

    def forward(self, x: Tensor, memory: Tensor, mask: Mask = None, memory_mask: Mask = None) -> Tensor:
        x = self.sublayer(x, self.norm1, lambda y: self.self_attention(y, mask)[0])
        x = self.sublayer(x, self.norm2, lambda y: self.cross_attention(y, memory_mask, memory)[0])
        return self.sublayer(x, self.norm3, self.feed_forward)

# %% exercise="DecoderLayer" wrong="cross_not_added"
"""The cross-attention's output replaces the stream, nothing is added."""
class DecoderLayer(nn.Module):
    def __init__(
        self, width: int, heads: int, hidden: int, norm: str = "pre", activation: str = "relu", dropout: float = 0.0
    ):
        super().__init__()
        if norm not in ("pre", "post"):
            raise ValueError(f"unknown norm: {norm}")
        self.norm = norm
        self.self_attention = MultiHeadAttention(width, heads)
        self.norm1 = LayerNorm(width)
        self.cross_attention = MultiHeadAttention(width, heads)
        self.norm2 = LayerNorm(width)
        self.feed_forward = FeedForward(width, hidden, activation)
        self.norm3 = LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def sublayer(self, x, norm, f):
        if self.norm == "pre":
            return x + self.dropout(f(norm(x)))
        return norm(x + self.dropout(f(x)))

    def forward(self, x: Tensor, memory: Tensor, mask: Mask = None, memory_mask: Mask = None) -> Tensor:
        x = self.sublayer(x, self.norm1, lambda y: self.self_attention(y, mask)[0])
        if self.norm == "pre":
            x = self.dropout(self.cross_attention(self.norm2(x), memory_mask, memory)[0])
        else:
            x = self.norm2(self.dropout(self.cross_attention(x, memory_mask, memory)[0]))
        return self.sublayer(x, self.norm3, self.feed_forward)

# %% exercise="DecoderLayer" wrong="norm2_and_norm3_swapped"
"""norm3 goes with the cross-attention, norm2 with the feed-forward layer."""
class DecoderLayer(nn.Module):
    def __init__(
        self, width: int, heads: int, hidden: int, norm: str = "pre", activation: str = "relu", dropout: float = 0.0
    ):
        super().__init__()
        if norm not in ("pre", "post"):
            raise ValueError(f"unknown norm: {norm}")
        self.norm = norm
        self.self_attention = MultiHeadAttention(width, heads)
        self.norm1 = LayerNorm(width)
        self.cross_attention = MultiHeadAttention(width, heads)
        self.norm2 = LayerNorm(width)
        self.feed_forward = FeedForward(width, hidden, activation)
        self.norm3 = LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def sublayer(self, x, norm, f):
        if self.norm == "pre":
            return x + self.dropout(f(norm(x)))
        return norm(x + self.dropout(f(x)))

    def forward(self, x: Tensor, memory: Tensor, mask: Mask = None, memory_mask: Mask = None) -> Tensor:
        x = self.sublayer(x, self.norm1, lambda y: self.self_attention(y, mask)[0])
        x = self.sublayer(x, self.norm3, lambda y: self.cross_attention(y, memory_mask, memory)[0])
        return self.sublayer(x, self.norm2, self.feed_forward)

# %% exercise="DecoderLayer" wrong="cross_query_raw"
"""Pre-norm: the queries of the cross-attention are the stream without norm2."""
class DecoderLayer(nn.Module):
    def __init__(
        self, width: int, heads: int, hidden: int, norm: str = "pre", activation: str = "relu", dropout: float = 0.0
    ):
        super().__init__()
        if norm not in ("pre", "post"):
            raise ValueError(f"unknown norm: {norm}")
        self.norm = norm
        self.self_attention = MultiHeadAttention(width, heads)
        self.norm1 = LayerNorm(width)
        self.cross_attention = MultiHeadAttention(width, heads)
        self.norm2 = LayerNorm(width)
        self.feed_forward = FeedForward(width, hidden, activation)
        self.norm3 = LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def sublayer(self, x, norm, f):
        if self.norm == "pre":
            return x + self.dropout(f(norm(x)))
        return norm(x + self.dropout(f(x)))

    def forward(self, x: Tensor, memory: Tensor, mask: Mask = None, memory_mask: Mask = None) -> Tensor:
        x = self.sublayer(x, self.norm1, lambda y: self.self_attention(y, mask)[0])
        x = self.sublayer(x, self.norm2, lambda y: self.cross_attention(x, memory_mask, memory)[0])
        return self.sublayer(x, self.norm3, self.feed_forward)

# %% exercise="DecoderLayer" wrong="memory_dropped"
"""Dropout also acts on the memory before it is read."""
class DecoderLayer(nn.Module):
    def __init__(
        self, width: int, heads: int, hidden: int, norm: str = "pre", activation: str = "relu", dropout: float = 0.0
    ):
        super().__init__()
        if norm not in ("pre", "post"):
            raise ValueError(f"unknown norm: {norm}")
        self.norm = norm
        self.self_attention = MultiHeadAttention(width, heads)
        self.norm1 = LayerNorm(width)
        self.cross_attention = MultiHeadAttention(width, heads)
        self.norm2 = LayerNorm(width)
        self.feed_forward = FeedForward(width, hidden, activation)
        self.norm3 = LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def sublayer(self, x, norm, f):
        if self.norm == "pre":
            return x + self.dropout(f(norm(x)))
        return norm(x + self.dropout(f(x)))

    def forward(self, x: Tensor, memory: Tensor, mask: Mask = None, memory_mask: Mask = None) -> Tensor:
        x = self.sublayer(x, self.norm1, lambda y: self.self_attention(y, mask)[0])
        x = self.sublayer(x, self.norm2, lambda y: self.cross_attention(y, memory_mask, self.dropout(memory))[0])
        return self.sublayer(x, self.norm3, self.feed_forward)

# %% exercise="DecoderLayer" wrong="causal_mask_for_memory"
"""The causal mask goes to the cross-attention when no memory_mask is given and T = S."""
class DecoderLayer(nn.Module):
    def __init__(
        self, width: int, heads: int, hidden: int, norm: str = "pre", activation: str = "relu", dropout: float = 0.0
    ):
        super().__init__()
        if norm not in ("pre", "post"):
            raise ValueError(f"unknown norm: {norm}")
        self.norm = norm
        self.self_attention = MultiHeadAttention(width, heads)
        self.norm1 = LayerNorm(width)
        self.cross_attention = MultiHeadAttention(width, heads)
        self.norm2 = LayerNorm(width)
        self.feed_forward = FeedForward(width, hidden, activation)
        self.norm3 = LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def sublayer(self, x, norm, f):
        if self.norm == "pre":
            return x + self.dropout(f(norm(x)))
        return norm(x + self.dropout(f(x)))

    def forward(self, x: Tensor, memory: Tensor, mask: Mask = None, memory_mask: Mask = None) -> Tensor:
        if memory_mask is None and x.shape[1] == memory.shape[1]:
            memory_mask = mask
        x = self.sublayer(x, self.norm1, lambda y: self.self_attention(y, mask)[0])
        x = self.sublayer(x, self.norm2, lambda y: self.cross_attention(y, memory_mask, memory)[0])
        return self.sublayer(x, self.norm3, self.feed_forward)

# %% exercise="Transformer" wrong="no_sqrt_width"
"""The embeddings are not multiplied by sqrt(D)."""
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
        nn.init.normal_(self.source_embedding.weight, std=width**-0.5)
        nn.init.normal_(self.target_embedding.weight, std=width**-0.5)
        self.encoder = nn.ModuleList(
            EncoderLayer(width, heads, hidden, norm, activation, dropout) for _ in range(layers)
        )
        self.decoder = nn.ModuleList(
            DecoderLayer(width, heads, hidden, norm, activation, dropout) for _ in range(layers)
        )
        self.encoder_norm = LayerNorm(width) if norm == "pre" else nn.Identity()
        self.decoder_norm = LayerNorm(width) if norm == "pre" else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.register_buffer("positions", sinusoidal_encoding(max_length, width), persistent=False)

    def embed(self, ids, table):
        length = ids.shape[1]
        if length > self.max_length:
            raise ValueError(f"{length} tokens, at most {self.max_length}")
        return self.dropout(table(ids) + self.positions[:length])

    def encode(self, source: Tensor) -> tuple[Tensor, Tensor]:
        keep = source != PAD
        x = self.embed(source, self.source_embedding)
        for layer in self.encoder:
            x = layer(x, keep[:, None, None, :])
        return self.encoder_norm(x), keep

    def decode(self, target: Tensor, memory: Tensor, source_keep: Tensor) -> Tensor:
        length = target.shape[1]
        causal = torch.ones(length, length, dtype=torch.bool, device=target.device).tril()
        x = self.embed(target, self.target_embedding)
        for layer in self.decoder:
            x = layer(x, memory, causal, source_keep[:, None, None, :])
        return self.decoder_norm(x) @ self.target_embedding.weight.T

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        return self.decode(target, *self.encode(source))

# %% exercise="Transformer" wrong="sum_scaled"
"""Positions are added first, and the sum is multiplied by sqrt(D)."""
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
        nn.init.normal_(self.source_embedding.weight, std=width**-0.5)
        nn.init.normal_(self.target_embedding.weight, std=width**-0.5)
        self.encoder = nn.ModuleList(
            EncoderLayer(width, heads, hidden, norm, activation, dropout) for _ in range(layers)
        )
        self.decoder = nn.ModuleList(
            DecoderLayer(width, heads, hidden, norm, activation, dropout) for _ in range(layers)
        )
        self.encoder_norm = LayerNorm(width) if norm == "pre" else nn.Identity()
        self.decoder_norm = LayerNorm(width) if norm == "pre" else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.register_buffer("positions", sinusoidal_encoding(max_length, width), persistent=False)

    def embed(self, ids, table):
        length = ids.shape[1]
        if length > self.max_length:
            raise ValueError(f"{length} tokens, at most {self.max_length}")
        return self.dropout((table(ids) + self.positions[:length]) * math.sqrt(self.width))

    def encode(self, source: Tensor) -> tuple[Tensor, Tensor]:
        keep = source != PAD
        x = self.embed(source, self.source_embedding)
        for layer in self.encoder:
            x = layer(x, keep[:, None, None, :])
        return self.encoder_norm(x), keep

    def decode(self, target: Tensor, memory: Tensor, source_keep: Tensor) -> Tensor:
        length = target.shape[1]
        causal = torch.ones(length, length, dtype=torch.bool, device=target.device).tril()
        x = self.embed(target, self.target_embedding)
        for layer in self.decoder:
            x = layer(x, memory, causal, source_keep[:, None, None, :])
        return self.decoder_norm(x) @ self.target_embedding.weight.T

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        return self.decode(target, *self.encode(source))

# %% exercise="Transformer" wrong="embeddings_of_size_one"
"""Keeps nn.Embedding's initial deviation 1, so a fresh model's logits are large."""
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
        self.encoder = nn.ModuleList(
            EncoderLayer(width, heads, hidden, norm, activation, dropout) for _ in range(layers)
        )
        self.decoder = nn.ModuleList(
            DecoderLayer(width, heads, hidden, norm, activation, dropout) for _ in range(layers)
        )
        self.encoder_norm = LayerNorm(width) if norm == "pre" else nn.Identity()
        self.decoder_norm = LayerNorm(width) if norm == "pre" else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.register_buffer("positions", sinusoidal_encoding(max_length, width), persistent=False)

    def embed(self, ids, table):
        length = ids.shape[1]
        if length > self.max_length:
            raise ValueError(f"{length} tokens, at most {self.max_length}")
        return self.dropout(table(ids) * math.sqrt(self.width) + self.positions[:length])

    def encode(self, source: Tensor) -> tuple[Tensor, Tensor]:
        keep = source != PAD
        x = self.embed(source, self.source_embedding)
        for layer in self.encoder:
            x = layer(x, keep[:, None, None, :])
        return self.encoder_norm(x), keep

    def decode(self, target: Tensor, memory: Tensor, source_keep: Tensor) -> Tensor:
        length = target.shape[1]
        causal = torch.ones(length, length, dtype=torch.bool, device=target.device).tril()
        x = self.embed(target, self.target_embedding)
        for layer in self.decoder:
            x = layer(x, memory, causal, source_keep[:, None, None, :])
        return self.decoder_norm(x) @ self.target_embedding.weight.T

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        return self.decode(target, *self.encode(source))

# %% exercise="Transformer" wrong="closing_norms_in_post"
"""Closing norms also with post-norm: extra parameters, and the output is normalised twice."""
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
        nn.init.normal_(self.source_embedding.weight, std=width**-0.5)
        nn.init.normal_(self.target_embedding.weight, std=width**-0.5)
        self.encoder = nn.ModuleList(
            EncoderLayer(width, heads, hidden, norm, activation, dropout) for _ in range(layers)
        )
        self.decoder = nn.ModuleList(
            DecoderLayer(width, heads, hidden, norm, activation, dropout) for _ in range(layers)
        )
        self.encoder_norm = LayerNorm(width)
        self.decoder_norm = LayerNorm(width)
        self.dropout = nn.Dropout(dropout)
        self.register_buffer("positions", sinusoidal_encoding(max_length, width), persistent=False)

    def embed(self, ids, table):
        length = ids.shape[1]
        if length > self.max_length:
            raise ValueError(f"{length} tokens, at most {self.max_length}")
        return self.dropout(table(ids) * math.sqrt(self.width) + self.positions[:length])

    def encode(self, source: Tensor) -> tuple[Tensor, Tensor]:
        keep = source != PAD
        x = self.embed(source, self.source_embedding)
        for layer in self.encoder:
            x = layer(x, keep[:, None, None, :])
        return self.encoder_norm(x), keep

    def decode(self, target: Tensor, memory: Tensor, source_keep: Tensor) -> Tensor:
        length = target.shape[1]
        causal = torch.ones(length, length, dtype=torch.bool, device=target.device).tril()
        x = self.embed(target, self.target_embedding)
        for layer in self.decoder:
            x = layer(x, memory, causal, source_keep[:, None, None, :])
        return self.decoder_norm(x) @ self.target_embedding.weight.T

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        return self.decode(target, *self.encode(source))

# %% exercise="Transformer" wrong="no_decoder_norm"
"""Pre-norm: decoder_norm exists but the decoder's stream goes to the head without it."""
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
        nn.init.normal_(self.source_embedding.weight, std=width**-0.5)
        nn.init.normal_(self.target_embedding.weight, std=width**-0.5)
        self.encoder = nn.ModuleList(
            EncoderLayer(width, heads, hidden, norm, activation, dropout) for _ in range(layers)
        )
        self.decoder = nn.ModuleList(
            DecoderLayer(width, heads, hidden, norm, activation, dropout) for _ in range(layers)
        )
        self.encoder_norm = LayerNorm(width) if norm == "pre" else nn.Identity()
        self.decoder_norm = LayerNorm(width) if norm == "pre" else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.register_buffer("positions", sinusoidal_encoding(max_length, width), persistent=False)

    def embed(self, ids, table):
        length = ids.shape[1]
        if length > self.max_length:
            raise ValueError(f"{length} tokens, at most {self.max_length}")
        return self.dropout(table(ids) * math.sqrt(self.width) + self.positions[:length])

    def encode(self, source: Tensor) -> tuple[Tensor, Tensor]:
        keep = source != PAD
        x = self.embed(source, self.source_embedding)
        for layer in self.encoder:
            x = layer(x, keep[:, None, None, :])
        return self.encoder_norm(x), keep

    def decode(self, target: Tensor, memory: Tensor, source_keep: Tensor) -> Tensor:
        length = target.shape[1]
        causal = torch.ones(length, length, dtype=torch.bool, device=target.device).tril()
        x = self.embed(target, self.target_embedding)
        for layer in self.decoder:
            x = layer(x, memory, causal, source_keep[:, None, None, :])
        return x @ self.target_embedding.weight.T

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        return self.decode(target, *self.encode(source))

# %% exercise="Transformer" wrong="causal_one_too_far"
"""tril(diagonal=1): position t also sees t + 1."""
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
        nn.init.normal_(self.source_embedding.weight, std=width**-0.5)
        nn.init.normal_(self.target_embedding.weight, std=width**-0.5)
        self.encoder = nn.ModuleList(
            EncoderLayer(width, heads, hidden, norm, activation, dropout) for _ in range(layers)
        )
        self.decoder = nn.ModuleList(
            DecoderLayer(width, heads, hidden, norm, activation, dropout) for _ in range(layers)
        )
        self.encoder_norm = LayerNorm(width) if norm == "pre" else nn.Identity()
        self.decoder_norm = LayerNorm(width) if norm == "pre" else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.register_buffer("positions", sinusoidal_encoding(max_length, width), persistent=False)

    def embed(self, ids, table):
        length = ids.shape[1]
        if length > self.max_length:
            raise ValueError(f"{length} tokens, at most {self.max_length}")
        return self.dropout(table(ids) * math.sqrt(self.width) + self.positions[:length])

    def encode(self, source: Tensor) -> tuple[Tensor, Tensor]:
        keep = source != PAD
        x = self.embed(source, self.source_embedding)
        for layer in self.encoder:
            x = layer(x, keep[:, None, None, :])
        return self.encoder_norm(x), keep

    def decode(self, target: Tensor, memory: Tensor, source_keep: Tensor) -> Tensor:
        length = target.shape[1]
        causal = torch.ones(length, length, dtype=torch.bool, device=target.device).tril(diagonal=1)
        x = self.embed(target, self.target_embedding)
        for layer in self.decoder:
            x = layer(x, memory, causal, source_keep[:, None, None, :])
        return self.decoder_norm(x) @ self.target_embedding.weight.T

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        return self.decode(target, *self.encode(source))

# %% exercise="Transformer" wrong="source_padding_read_by_decoder"
"""The decoder gets no mask for the memory."""
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
        nn.init.normal_(self.source_embedding.weight, std=width**-0.5)
        nn.init.normal_(self.target_embedding.weight, std=width**-0.5)
        self.encoder = nn.ModuleList(
            EncoderLayer(width, heads, hidden, norm, activation, dropout) for _ in range(layers)
        )
        self.decoder = nn.ModuleList(
            DecoderLayer(width, heads, hidden, norm, activation, dropout) for _ in range(layers)
        )
        self.encoder_norm = LayerNorm(width) if norm == "pre" else nn.Identity()
        self.decoder_norm = LayerNorm(width) if norm == "pre" else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.register_buffer("positions", sinusoidal_encoding(max_length, width), persistent=False)

    def embed(self, ids, table):
        length = ids.shape[1]
        if length > self.max_length:
            raise ValueError(f"{length} tokens, at most {self.max_length}")
        return self.dropout(table(ids) * math.sqrt(self.width) + self.positions[:length])

    def encode(self, source: Tensor) -> tuple[Tensor, Tensor]:
        keep = source != PAD
        x = self.embed(source, self.source_embedding)
        for layer in self.encoder:
            x = layer(x, keep[:, None, None, :])
        return self.encoder_norm(x), keep

    def decode(self, target: Tensor, memory: Tensor, source_keep: Tensor) -> Tensor:
        length = target.shape[1]
        causal = torch.ones(length, length, dtype=torch.bool, device=target.device).tril()
        x = self.embed(target, self.target_embedding)
        for layer in self.decoder:
            x = layer(x, memory, causal)
        return self.decoder_norm(x) @ self.target_embedding.weight.T

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        return self.decode(target, *self.encode(source))

# %% exercise="Transformer" wrong="keep_hides_queries"
"""The encoder's mask has keep on the query axis: real tokens read the padding."""
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
        nn.init.normal_(self.source_embedding.weight, std=width**-0.5)
        nn.init.normal_(self.target_embedding.weight, std=width**-0.5)
        self.encoder = nn.ModuleList(
            EncoderLayer(width, heads, hidden, norm, activation, dropout) for _ in range(layers)
        )
        self.decoder = nn.ModuleList(
            DecoderLayer(width, heads, hidden, norm, activation, dropout) for _ in range(layers)
        )
        self.encoder_norm = LayerNorm(width) if norm == "pre" else nn.Identity()
        self.decoder_norm = LayerNorm(width) if norm == "pre" else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.register_buffer("positions", sinusoidal_encoding(max_length, width), persistent=False)

    def embed(self, ids, table):
        length = ids.shape[1]
        if length > self.max_length:
            raise ValueError(f"{length} tokens, at most {self.max_length}")
        return self.dropout(table(ids) * math.sqrt(self.width) + self.positions[:length])

    def encode(self, source: Tensor) -> tuple[Tensor, Tensor]:
        keep = source != PAD
        x = self.embed(source, self.source_embedding)
        for layer in self.encoder:
            x = layer(x, keep[:, None, :, None])
        return self.encoder_norm(x), keep

    def decode(self, target: Tensor, memory: Tensor, source_keep: Tensor) -> Tensor:
        length = target.shape[1]
        causal = torch.ones(length, length, dtype=torch.bool, device=target.device).tril()
        x = self.embed(target, self.target_embedding)
        for layer in self.decoder:
            x = layer(x, memory, causal, source_keep[:, None, None, :])
        return self.decoder_norm(x) @ self.target_embedding.weight.T

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        return self.decode(target, *self.encode(source))

# %% exercise="Transformer" wrong="untied_head"
"""A head of its own, an nn.Linear with the same start as the embedding: another parameter."""
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
        nn.init.normal_(self.source_embedding.weight, std=width**-0.5)
        nn.init.normal_(self.target_embedding.weight, std=width**-0.5)
        self.encoder = nn.ModuleList(
            EncoderLayer(width, heads, hidden, norm, activation, dropout) for _ in range(layers)
        )
        self.decoder = nn.ModuleList(
            DecoderLayer(width, heads, hidden, norm, activation, dropout) for _ in range(layers)
        )
        self.encoder_norm = LayerNorm(width) if norm == "pre" else nn.Identity()
        self.decoder_norm = LayerNorm(width) if norm == "pre" else nn.Identity()
        self.head = nn.Linear(width, target_vocab, bias=False)
        self.head.weight.data.copy_(self.target_embedding.weight.data)
        self.dropout = nn.Dropout(dropout)
        self.register_buffer("positions", sinusoidal_encoding(max_length, width), persistent=False)

    def embed(self, ids, table):
        length = ids.shape[1]
        if length > self.max_length:
            raise ValueError(f"{length} tokens, at most {self.max_length}")
        return self.dropout(table(ids) * math.sqrt(self.width) + self.positions[:length])

    def encode(self, source: Tensor) -> tuple[Tensor, Tensor]:
        keep = source != PAD
        x = self.embed(source, self.source_embedding)
        for layer in self.encoder:
            x = layer(x, keep[:, None, None, :])
        return self.encoder_norm(x), keep

    def decode(self, target: Tensor, memory: Tensor, source_keep: Tensor) -> Tensor:
        length = target.shape[1]
        causal = torch.ones(length, length, dtype=torch.bool, device=target.device).tril()
        x = self.embed(target, self.target_embedding)
        for layer in self.decoder:
            x = layer(x, memory, causal, source_keep[:, None, None, :])
        return self.head(self.decoder_norm(x))

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        return self.decode(target, *self.encode(source))

# %% exercise="Transformer" wrong="one_layer_repeated"
"""[layer] * N: all layers of a side are one layer with N names."""
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
        nn.init.normal_(self.source_embedding.weight, std=width**-0.5)
        nn.init.normal_(self.target_embedding.weight, std=width**-0.5)
        self.encoder = nn.ModuleList(
            [EncoderLayer(width, heads, hidden, norm, activation, dropout)] * layers
        )
        self.decoder = nn.ModuleList(
            [DecoderLayer(width, heads, hidden, norm, activation, dropout)] * layers
        )
        self.encoder_norm = LayerNorm(width) if norm == "pre" else nn.Identity()
        self.decoder_norm = LayerNorm(width) if norm == "pre" else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.register_buffer("positions", sinusoidal_encoding(max_length, width), persistent=False)

    def embed(self, ids, table):
        length = ids.shape[1]
        if length > self.max_length:
            raise ValueError(f"{length} tokens, at most {self.max_length}")
        return self.dropout(table(ids) * math.sqrt(self.width) + self.positions[:length])

    def encode(self, source: Tensor) -> tuple[Tensor, Tensor]:
        keep = source != PAD
        x = self.embed(source, self.source_embedding)
        for layer in self.encoder:
            x = layer(x, keep[:, None, None, :])
        return self.encoder_norm(x), keep

    def decode(self, target: Tensor, memory: Tensor, source_keep: Tensor) -> Tensor:
        length = target.shape[1]
        causal = torch.ones(length, length, dtype=torch.bool, device=target.device).tril()
        x = self.embed(target, self.target_embedding)
        for layer in self.decoder:
            x = layer(x, memory, causal, source_keep[:, None, None, :])
        return self.decoder_norm(x) @ self.target_embedding.weight.T

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        return self.decode(target, *self.encode(source))

# %% exercise="Transformer" wrong="max_length_excluded"
"""A sequence of exactly max_length tokens raises, too."""
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
        nn.init.normal_(self.source_embedding.weight, std=width**-0.5)
        nn.init.normal_(self.target_embedding.weight, std=width**-0.5)
        self.encoder = nn.ModuleList(
            EncoderLayer(width, heads, hidden, norm, activation, dropout) for _ in range(layers)
        )
        self.decoder = nn.ModuleList(
            DecoderLayer(width, heads, hidden, norm, activation, dropout) for _ in range(layers)
        )
        self.encoder_norm = LayerNorm(width) if norm == "pre" else nn.Identity()
        self.decoder_norm = LayerNorm(width) if norm == "pre" else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.register_buffer("positions", sinusoidal_encoding(max_length, width), persistent=False)

    def embed(self, ids, table):
        length = ids.shape[1]
        if length >= self.max_length:
            raise ValueError(f"{length} tokens, at most {self.max_length}")
        return self.dropout(table(ids) * math.sqrt(self.width) + self.positions[:length])

    def encode(self, source: Tensor) -> tuple[Tensor, Tensor]:
        keep = source != PAD
        x = self.embed(source, self.source_embedding)
        for layer in self.encoder:
            x = layer(x, keep[:, None, None, :])
        return self.encoder_norm(x), keep

    def decode(self, target: Tensor, memory: Tensor, source_keep: Tensor) -> Tensor:
        length = target.shape[1]
        causal = torch.ones(length, length, dtype=torch.bool, device=target.device).tril()
        x = self.embed(target, self.target_embedding)
        for layer in self.decoder:
            x = layer(x, memory, causal, source_keep[:, None, None, :])
        return self.decoder_norm(x) @ self.target_embedding.weight.T

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        return self.decode(target, *self.encode(source))

# %% exercise="Transformer" wrong="long_target_accepted"
"""Positions are made on demand and only the source is measured: a long target raises nothing."""
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
        nn.init.normal_(self.source_embedding.weight, std=width**-0.5)
        nn.init.normal_(self.target_embedding.weight, std=width**-0.5)
        self.encoder = nn.ModuleList(
            EncoderLayer(width, heads, hidden, norm, activation, dropout) for _ in range(layers)
        )
        self.decoder = nn.ModuleList(
            DecoderLayer(width, heads, hidden, norm, activation, dropout) for _ in range(layers)
        )
        self.encoder_norm = LayerNorm(width) if norm == "pre" else nn.Identity()
        self.decoder_norm = LayerNorm(width) if norm == "pre" else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.register_buffer("positions", sinusoidal_encoding(max_length, width), persistent=False)

    def embed(self, ids, table):
        length = ids.shape[1]
        if table is self.source_embedding and length > self.max_length:
            raise ValueError(f"{length} tokens, at most {self.max_length}")
        return self.dropout(table(ids) * math.sqrt(self.width) + sinusoidal_encoding(length, self.width).to(ids.device))

    def encode(self, source: Tensor) -> tuple[Tensor, Tensor]:
        keep = source != PAD
        x = self.embed(source, self.source_embedding)
        for layer in self.encoder:
            x = layer(x, keep[:, None, None, :])
        return self.encoder_norm(x), keep

    def decode(self, target: Tensor, memory: Tensor, source_keep: Tensor) -> Tensor:
        length = target.shape[1]
        causal = torch.ones(length, length, dtype=torch.bool, device=target.device).tril()
        x = self.embed(target, self.target_embedding)
        for layer in self.decoder:
            x = layer(x, memory, causal, source_keep[:, None, None, :])
        return self.decoder_norm(x) @ self.target_embedding.weight.T

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        return self.decode(target, *self.encode(source))

# %% exercise="Transformer" wrong="embedding_not_dropped"
"""Dropout does not act on the sum of embedding and position."""
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
        nn.init.normal_(self.source_embedding.weight, std=width**-0.5)
        nn.init.normal_(self.target_embedding.weight, std=width**-0.5)
        self.encoder = nn.ModuleList(
            EncoderLayer(width, heads, hidden, norm, activation, dropout) for _ in range(layers)
        )
        self.decoder = nn.ModuleList(
            DecoderLayer(width, heads, hidden, norm, activation, dropout) for _ in range(layers)
        )
        self.encoder_norm = LayerNorm(width) if norm == "pre" else nn.Identity()
        self.decoder_norm = LayerNorm(width) if norm == "pre" else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.register_buffer("positions", sinusoidal_encoding(max_length, width), persistent=False)

    def embed(self, ids, table):
        length = ids.shape[1]
        if length > self.max_length:
            raise ValueError(f"{length} tokens, at most {self.max_length}")
        return (table(ids) * math.sqrt(self.width) + self.positions[:length])

    def encode(self, source: Tensor) -> tuple[Tensor, Tensor]:
        keep = source != PAD
        x = self.embed(source, self.source_embedding)
        for layer in self.encoder:
            x = layer(x, keep[:, None, None, :])
        return self.encoder_norm(x), keep

    def decode(self, target: Tensor, memory: Tensor, source_keep: Tensor) -> Tensor:
        length = target.shape[1]
        causal = torch.ones(length, length, dtype=torch.bool, device=target.device).tril()
        x = self.embed(target, self.target_embedding)
        for layer in self.decoder:
            x = layer(x, memory, causal, source_keep[:, None, None, :])
        return self.decoder_norm(x) @ self.target_embedding.weight.T

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        return self.decode(target, *self.encode(source))

# %% exercise="Transformer" wrong="raw_stream_as_memory"
"""Each decoder layer reads the encoder layers' stream before encoder_norm."""
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
        nn.init.normal_(self.source_embedding.weight, std=width**-0.5)
        nn.init.normal_(self.target_embedding.weight, std=width**-0.5)
        self.encoder = nn.ModuleList(
            EncoderLayer(width, heads, hidden, norm, activation, dropout) for _ in range(layers)
        )
        self.decoder = nn.ModuleList(
            DecoderLayer(width, heads, hidden, norm, activation, dropout) for _ in range(layers)
        )
        self.encoder_norm = LayerNorm(width) if norm == "pre" else nn.Identity()
        self.decoder_norm = LayerNorm(width) if norm == "pre" else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.register_buffer("positions", sinusoidal_encoding(max_length, width), persistent=False)

    def embed(self, ids, table):
        length = ids.shape[1]
        if length > self.max_length:
            raise ValueError(f"{length} tokens, at most {self.max_length}")
        return self.dropout(table(ids) * math.sqrt(self.width) + self.positions[:length])

    def encode(self, source: Tensor) -> tuple[Tensor, Tensor]:
        keep = source != PAD
        x = self.embed(source, self.source_embedding)
        for layer in self.encoder:
            x = layer(x, keep[:, None, None, :])
        return x, keep

    def decode(self, target: Tensor, memory: Tensor, source_keep: Tensor) -> Tensor:
        length = target.shape[1]
        causal = torch.ones(length, length, dtype=torch.bool, device=target.device).tril()
        x = self.embed(target, self.target_embedding)
        for layer in self.decoder:
            x = layer(x, memory, causal, source_keep[:, None, None, :])
        return self.decoder_norm(x) @ self.target_embedding.weight.T

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        return self.decode(target, *self.encode(source))

# %% exercise="Transformer" wrong="keep_by_bos"
"""keep is True from token 1 + 1 on: BOS (1) in a source counts as padding."""
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
        nn.init.normal_(self.source_embedding.weight, std=width**-0.5)
        nn.init.normal_(self.target_embedding.weight, std=width**-0.5)
        self.encoder = nn.ModuleList(
            EncoderLayer(width, heads, hidden, norm, activation, dropout) for _ in range(layers)
        )
        self.decoder = nn.ModuleList(
            DecoderLayer(width, heads, hidden, norm, activation, dropout) for _ in range(layers)
        )
        self.encoder_norm = LayerNorm(width) if norm == "pre" else nn.Identity()
        self.decoder_norm = LayerNorm(width) if norm == "pre" else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.register_buffer("positions", sinusoidal_encoding(max_length, width), persistent=False)

    def embed(self, ids, table):
        length = ids.shape[1]
        if length > self.max_length:
            raise ValueError(f"{length} tokens, at most {self.max_length}")
        return self.dropout(table(ids) * math.sqrt(self.width) + self.positions[:length])

    def encode(self, source: Tensor) -> tuple[Tensor, Tensor]:
        keep = source > BOS
        x = self.embed(source, self.source_embedding)
        for layer in self.encoder:
            x = layer(x, keep[:, None, None, :])
        return self.encoder_norm(x), keep

    def decode(self, target: Tensor, memory: Tensor, source_keep: Tensor) -> Tensor:
        length = target.shape[1]
        causal = torch.ones(length, length, dtype=torch.bool, device=target.device).tril()
        x = self.embed(target, self.target_embedding)
        for layer in self.decoder:
            x = layer(x, memory, causal, source_keep[:, None, None, :])
        return self.decoder_norm(x) @ self.target_embedding.weight.T

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        return self.decode(target, *self.encode(source))

# %% exercise="gradient_norms_by_depth" wrong="no_closing_norm"
"""Pre-norm without the LayerNorm behind the last layer."""
def gradient_norms_by_depth(
    states: list[dict[str, Tensor]], x: Tensor, direction: Tensor, norm: str, heads: int = 4
) -> Tensor:
    hidden, width = states[0]["feed_forward.up.weight"].shape
    stack = []
    for state in states:
        layer = EncoderLayer(width, heads, hidden, norm)
        layer.load_state_dict(state)
        stack.append(layer)
    y = x
    for layer in stack:
        y = layer(y)
    loss = (y * direction).sum(-1).mean()
    grads = torch.autograd.grad(loss, [layer.feed_forward.down.weight for layer in stack])
    return torch.stack([g.norm() for g in grads])

# %% exercise="gradient_norms_by_depth" wrong="closing_norm_always"
"""A closing LayerNorm behind post-norm stacks as well (the gradient changes by its second normalisation)."""
def gradient_norms_by_depth(
    states: list[dict[str, Tensor]], x: Tensor, direction: Tensor, norm: str, heads: int = 4
) -> Tensor:
    hidden, width = states[0]["feed_forward.up.weight"].shape
    stack = []
    for state in states:
        layer = EncoderLayer(width, heads, hidden, norm)
        layer.load_state_dict(state)
        stack.append(layer)
    y = x
    for layer in stack:
        y = layer(y)
    y = LayerNorm(width)(y)
    loss = (y * direction).sum(-1).mean()
    grads = torch.autograd.grad(loss, [layer.feed_forward.down.weight for layer in stack])
    return torch.stack([g.norm() for g in grads])

# %% exercise="gradient_norms_by_depth" wrong="mean_over_numbers"
"""The mean runs over all B * T * D products, not over tokens: D times too small."""
def gradient_norms_by_depth(
    states: list[dict[str, Tensor]], x: Tensor, direction: Tensor, norm: str, heads: int = 4
) -> Tensor:
    hidden, width = states[0]["feed_forward.up.weight"].shape
    stack = []
    for state in states:
        layer = EncoderLayer(width, heads, hidden, norm)
        layer.load_state_dict(state)
        stack.append(layer)
    y = x
    for layer in stack:
        y = layer(y)
    if norm == "pre":
        y = LayerNorm(width)(y)
    loss = (y * direction).mean()
    grads = torch.autograd.grad(loss, [layer.feed_forward.down.weight for layer in stack])
    return torch.stack([g.norm() for g in grads])

# %% exercise="gradient_norms_by_depth" wrong="sum_over_tokens"
"""The sum over tokens, not the mean."""
def gradient_norms_by_depth(
    states: list[dict[str, Tensor]], x: Tensor, direction: Tensor, norm: str, heads: int = 4
) -> Tensor:
    hidden, width = states[0]["feed_forward.up.weight"].shape
    stack = []
    for state in states:
        layer = EncoderLayer(width, heads, hidden, norm)
        layer.load_state_dict(state)
        stack.append(layer)
    y = x
    for layer in stack:
        y = layer(y)
    if norm == "pre":
        y = LayerNorm(width)(y)
    loss = (y * direction).sum()
    grads = torch.autograd.grad(loss, [layer.feed_forward.down.weight for layer in stack])
    return torch.stack([g.norm() for g in grads])

# %% exercise="gradient_norms_by_depth" wrong="up_instead_of_down"
"""Gradients of feed_forward.up.weight."""
def gradient_norms_by_depth(
    states: list[dict[str, Tensor]], x: Tensor, direction: Tensor, norm: str, heads: int = 4
) -> Tensor:
    hidden, width = states[0]["feed_forward.up.weight"].shape
    stack = []
    for state in states:
        layer = EncoderLayer(width, heads, hidden, norm)
        layer.load_state_dict(state)
        stack.append(layer)
    y = x
    for layer in stack:
        y = layer(y)
    if norm == "pre":
        y = LayerNorm(width)(y)
    loss = (y * direction).sum(-1).mean()
    grads = torch.autograd.grad(loss, [layer.feed_forward.up.weight for layer in stack])
    return torch.stack([g.norm() for g in grads])

# %% exercise="gradient_norms_by_depth" wrong="last_layer_first"
"""The result stands in the order of the backward pass: last layer first."""
def gradient_norms_by_depth(
    states: list[dict[str, Tensor]], x: Tensor, direction: Tensor, norm: str, heads: int = 4
) -> Tensor:
    hidden, width = states[0]["feed_forward.up.weight"].shape
    stack = []
    for state in states:
        layer = EncoderLayer(width, heads, hidden, norm)
        layer.load_state_dict(state)
        stack.append(layer)
    y = x
    for layer in stack:
        y = layer(y)
    if norm == "pre":
        y = LayerNorm(width)(y)
    loss = (y * direction).sum(-1).mean()
    grads = torch.autograd.grad(loss, [layer.feed_forward.down.weight for layer in stack])
    return torch.stack([g.norm() for g in reversed(grads)])

# %% exercise="gradient_norms_by_depth" wrong="squared_norm"
"""The squared Frobenius norm."""
def gradient_norms_by_depth(
    states: list[dict[str, Tensor]], x: Tensor, direction: Tensor, norm: str, heads: int = 4
) -> Tensor:
    hidden, width = states[0]["feed_forward.up.weight"].shape
    stack = []
    for state in states:
        layer = EncoderLayer(width, heads, hidden, norm)
        layer.load_state_dict(state)
        stack.append(layer)
    y = x
    for layer in stack:
        y = layer(y)
    if norm == "pre":
        y = LayerNorm(width)(y)
    loss = (y * direction).sum(-1).mean()
    grads = torch.autograd.grad(loss, [layer.feed_forward.down.weight for layer in stack])
    return torch.stack([g.square().sum() for g in grads])

# %% exercise="gradient_norms_by_depth" wrong="spectral_norm"
"""matrix_norm with ord=2 is the largest singular value, not the Frobenius norm."""
def gradient_norms_by_depth(
    states: list[dict[str, Tensor]], x: Tensor, direction: Tensor, norm: str, heads: int = 4
) -> Tensor:
    hidden, width = states[0]["feed_forward.up.weight"].shape
    stack = []
    for state in states:
        layer = EncoderLayer(width, heads, hidden, norm)
        layer.load_state_dict(state)
        stack.append(layer)
    y = x
    for layer in stack:
        y = layer(y)
    if norm == "pre":
        y = LayerNorm(width)(y)
    loss = (y * direction).sum(-1).mean()
    grads = torch.autograd.grad(loss, [layer.feed_forward.down.weight for layer in stack])
    return torch.stack([torch.linalg.matrix_norm(g, ord=2) for g in grads])

# %% exercise="gradient_norms_by_depth" wrong="heads_not_passed"
"""Always four heads."""
def gradient_norms_by_depth(
    states: list[dict[str, Tensor]], x: Tensor, direction: Tensor, norm: str, heads: int = 4
) -> Tensor:
    hidden, width = states[0]["feed_forward.up.weight"].shape
    stack = []
    for state in states:
        layer = EncoderLayer(width, 4, hidden, norm)
        layer.load_state_dict(state)
        stack.append(layer)
    y = x
    for layer in stack:
        y = layer(y)
    if norm == "pre":
        y = LayerNorm(width)(y)
    loss = (y * direction).sum(-1).mean()
    grads = torch.autograd.grad(loss, [layer.feed_forward.down.weight for layer in stack])
    return torch.stack([g.norm() for g in grads])

# %% exercise="gradient_norms_by_depth" wrong="graph_kept"
"""create_graph=True: the norms carry a graph."""
def gradient_norms_by_depth(
    states: list[dict[str, Tensor]], x: Tensor, direction: Tensor, norm: str, heads: int = 4
) -> Tensor:
    hidden, width = states[0]["feed_forward.up.weight"].shape
    stack = []
    for state in states:
        layer = EncoderLayer(width, heads, hidden, norm)
        layer.load_state_dict(state)
        stack.append(layer)
    y = x
    for layer in stack:
        y = layer(y)
    if norm == "pre":
        y = LayerNorm(width)(y)
    loss = (y * direction).sum(-1).mean()
    grads = torch.autograd.grad(loss, [layer.feed_forward.down.weight for layer in stack], create_graph=True)
    return torch.stack([g.norm() for g in grads])

# %% exercise="gradient_norms_by_depth" wrong="norm_not_passed"
"""All layers are built with the default norm="pre"; only the closing norm obeys the argument."""
def gradient_norms_by_depth(
    states: list[dict[str, Tensor]], x: Tensor, direction: Tensor, norm: str, heads: int = 4
) -> Tensor:
    hidden, width = states[0]["feed_forward.up.weight"].shape
    stack = []
    for state in states:
        layer = EncoderLayer(width, heads, hidden)
        layer.load_state_dict(state)
        stack.append(layer)
    y = x
    for layer in stack:
        y = layer(y)
    if norm == "pre":
        y = LayerNorm(width)(y)
    loss = (y * direction).sum(-1).mean()
    grads = torch.autograd.grad(loss, [layer.feed_forward.down.weight for layer in stack])
    return torch.stack([g.norm() for g in grads])

# %% exercise="depth_finding" wrong="pre_and_post_swapped"
"""The two arrangements are exchanged."""
depth_finding = {"post_last": 0.4, "pre_last": 1.0, "pre_first": 1.0, "post_first": 5.1}

# %% exercise="depth_finding" wrong="six_by_twenty_four"
"""pre_last is 6 layers divided by 24: the reciprocal."""
depth_finding = {"post_last": 1.0, "pre_last": 2.3, "pre_first": 5.1, "post_first": 1.0}

# %% exercise="depth_finding" wrong="last_by_first"
"""pre_first is last divided by first."""
depth_finding = {"post_last": 1.0, "pre_last": 0.4, "pre_first": 0.2, "post_first": 1.0}

# %% exercise="depth_finding" wrong="post_vanishes"
"""What is often said instead of what came out: post-norm gradients vanish towards the input."""
depth_finding = {"post_last": 1.0, "pre_last": 0.4, "pre_first": 5.1, "post_first": 0.1}

# %% exercise="depth_finding" wrong="row_of_six_layers"
"""pre_first is read from the line of 6 layers."""
depth_finding = {"post_last": 1.0, "pre_last": 0.4, "pre_first": 2.2, "post_first": 1.2}

# %% exercise="depth_finding" wrong="gradient_itself"
"""post_last and pre_last are the gradients of the last layer of 24, not divided by those of 6."""
depth_finding = {"post_last": 6.0, "pre_last": 1.4, "pre_first": 5.1, "post_first": 1.0}

# %% exercise="translation_finding" wrong="right_and_exact_swapped"
"""The two shares are exchanged."""
translation_finding = {"right": 0.949, "exact": 0.995, "ceiling": 0.954, "group": "fr short", "missing": "year"}

# %% exercise="translation_finding" wrong="ceiling_is_one"
"""Believes that a perfect translator reaches 1."""
translation_finding = {"right": 0.995, "exact": 0.949, "ceiling": 1.0, "group": "fr short", "missing": "year"}

# %% exercise="translation_finding" wrong="ceiling_without_half"
"""Takes away all undecidable pairs, though a translator meets half of them."""
translation_finding = {"right": 0.995, "exact": 0.949, "ceiling": 0.907, "group": "fr short", "missing": "year"}

# %% exercise="translation_finding" wrong="german_short"
"""Names the German short dates as the largest group."""
translation_finding = {"right": 0.995, "exact": 0.949, "ceiling": 0.954, "group": "de short", "missing": "year"}

# %% exercise="translation_finding" wrong="language_missing"
"""The source begins with the language; it says it."""
translation_finding = {"right": 0.995, "exact": 0.949, "ceiling": 0.954, "group": "fr short", "missing": "language"}

# %% exercise="translation_finding" wrong="percent"
"""Percent instead of shares."""
translation_finding = {"right": 99.5, "exact": 94.9, "ceiling": 95.4, "group": "fr short", "missing": "year"}

# %% exercise="translation_finding" wrong="share_of_not_right"
"""The share of errors under right."""
translation_finding = {"right": 0.005, "exact": 0.949, "ceiling": 0.954, "group": "fr short", "missing": "year"}

# %% exercise="shift_right" wrong="begins_with_pad"
"""Begins with PAD, as T5 does."""
def shift_right(target: Tensor) -> Tensor:
    return torch.cat([torch.full_like(target[:, :1], PAD), target[:, :-1]], dim=1)

# %% exercise="shift_right" wrong="rolled"
"""torch.roll along the row: the last column comes round to the front, no BOS."""
def shift_right(target: Tensor) -> Tensor:
    return torch.roll(target, 1, dims=1)

# %% exercise="shift_right" wrong="one_longer"
"""Keeps the last column: (B, T + 1)."""
def shift_right(target: Tensor) -> Tensor:
    return torch.cat([torch.full_like(target[:, :1], BOS), target], dim=1)

# %% exercise="shift_right" wrong="in_place"
"""Moves inside the caller's tensor."""
def shift_right(target: Tensor) -> Tensor:
    target[:, 1:] = target[:, :-1].clone()
    target[:, 0] = BOS
    return target

# %% exercise="shift_right" wrong="eos_cleaned_up"
"""Replaces EOS by PAD in the result: it is not the target without its last column any more."""
def shift_right(target: Tensor) -> Tensor:
    moved = torch.cat([torch.full_like(target[:, :1], BOS), target[:, :-1]], dim=1)
    return moved.masked_fill(moved == EOS, PAD)

# %% exercise="shift_right" wrong="float_result"
"""torch.ones makes a float column, and torch.cat a float tensor."""
def shift_right(target: Tensor) -> Tensor:
    return torch.cat([torch.ones(len(target), 1), target[:, :-1]], dim=1)

# %% exercise="shift_right" wrong="left"
"""Moves to the left: the first column is lost and BOS stands at the end."""
def shift_right(target: Tensor) -> Tensor:
    return torch.cat([target[:, 1:], torch.full_like(target[:, :1], BOS)], dim=1)

# %% exercise="shift_right" wrong="overwrites_first"
"""BOS over the first column, nothing is moved."""
def shift_right(target: Tensor) -> Tensor:
    moved = target.clone()
    moved[:, 0] = BOS
    return moved

# %% exercise="smoothed_cross_entropy" wrong="tensor2tensor_convention"
"""The right class gets 1 - eps, every other eps / (V - 1)."""
def smoothed_cross_entropy(logits: Tensor, target: Tensor, smoothing: float = 0.1) -> Tensor:
    shifted = logits - logits.amax(-1, keepdim=True)
    log_probs = shifted - shifted.exp().sum(-1, keepdim=True).log()
    right = log_probs.gather(-1, target[..., None])[..., 0]
    others = (log_probs.sum(-1) - right) / (logits.shape[-1] - 1)
    losses = -(1 - smoothing) * right - smoothing * others
    return losses[target != PAD].mean()

# %% exercise="smoothed_cross_entropy" wrong="pad_class_gets_nothing"
"""Spreads epsilon over all classes but PAD: the mean leaves class 0 out."""
def smoothed_cross_entropy(logits: Tensor, target: Tensor, smoothing: float = 0.1) -> Tensor:
    shifted = logits - logits.amax(-1, keepdim=True)
    log_probs = shifted - shifted.exp().sum(-1, keepdim=True).log()
    right = log_probs.gather(-1, target[..., None])[..., 0]
    losses = -(1 - smoothing) * right - smoothing * log_probs[..., 1:].mean(-1)
    return losses[target != PAD].mean()

# %% exercise="smoothed_cross_entropy" wrong="padding_in_the_count"
"""Padded places count 0 in the sum but are in the number it is divided by."""
def smoothed_cross_entropy(logits: Tensor, target: Tensor, smoothing: float = 0.1) -> Tensor:
    shifted = logits - logits.amax(-1, keepdim=True)
    log_probs = shifted - shifted.exp().sum(-1, keepdim=True).log()
    right = log_probs.gather(-1, target[..., None])[..., 0]
    losses = -(1 - smoothing) * right - smoothing * log_probs.mean(-1)
    return (losses * (target != PAD)).mean()

# %% exercise="smoothed_cross_entropy" wrong="mean_of_rows"
"""The mean of the rows' means: a token of a short row counts more."""
def smoothed_cross_entropy(logits: Tensor, target: Tensor, smoothing: float = 0.1) -> Tensor:
    shifted = logits - logits.amax(-1, keepdim=True)
    log_probs = shifted - shifted.exp().sum(-1, keepdim=True).log()
    right = log_probs.gather(-1, target[..., None])[..., 0]
    losses = -(1 - smoothing) * right - smoothing * log_probs.mean(-1)
    real = target != PAD
    per_row = (losses * real).sum(1) / real.sum(1).clamp(min=1)
    return per_row[real.any(1)].mean()

# %% exercise="smoothed_cross_entropy" wrong="no_maximum"
"""exp of the plain logits: inf for logits above 88."""
def smoothed_cross_entropy(logits: Tensor, target: Tensor, smoothing: float = 0.1) -> Tensor:
    shifted = logits
    log_probs = shifted - shifted.exp().sum(-1, keepdim=True).log()
    right = log_probs.gather(-1, target[..., None])[..., 0]
    losses = -(1 - smoothing) * right - smoothing * log_probs.mean(-1)
    return losses[target != PAD].mean()

# %% exercise="smoothed_cross_entropy" wrong="log_of_softmax"
"""The log of exp / sum: a class 200 below the largest has probability 0, its log -inf."""
def smoothed_cross_entropy(logits: Tensor, target: Tensor, smoothing: float = 0.1) -> Tensor:
    shifted = logits - logits.amax(-1, keepdim=True)
    log_probs = (shifted.exp() / shifted.exp().sum(-1, keepdim=True)).log()
    right = log_probs.gather(-1, target[..., None])[..., 0]
    losses = -(1 - smoothing) * right - smoothing * log_probs.mean(-1)
    return losses[target != PAD].mean()

# %% exercise="smoothed_cross_entropy" wrong="one_maximum_for_all"
"""Subtracts the largest logit of the whole batch: a row far below it underflows."""
def smoothed_cross_entropy(logits: Tensor, target: Tensor, smoothing: float = 0.1) -> Tensor:
    shifted = logits - logits.max()
    log_probs = shifted - shifted.exp().sum(-1, keepdim=True).log()
    right = log_probs.gather(-1, target[..., None])[..., 0]
    losses = -(1 - smoothing) * right - smoothing * log_probs.mean(-1)
    return losses[target != PAD].mean()

# %% exercise="smoothed_cross_entropy" wrong="sum_over_classes"
"""Epsilon on every class instead of epsilon / V."""
def smoothed_cross_entropy(logits: Tensor, target: Tensor, smoothing: float = 0.1) -> Tensor:
    shifted = logits - logits.amax(-1, keepdim=True)
    log_probs = shifted - shifted.exp().sum(-1, keepdim=True).log()
    right = log_probs.gather(-1, target[..., None])[..., 0]
    losses = -(1 - smoothing) * right - smoothing * log_probs.sum(-1)
    return losses[target != PAD].mean()

# %% exercise="smoothed_cross_entropy" wrong="bos_ignored"
"""BOS does not count, either."""
def smoothed_cross_entropy(logits: Tensor, target: Tensor, smoothing: float = 0.1) -> Tensor:
    shifted = logits - logits.amax(-1, keepdim=True)
    log_probs = shifted - shifted.exp().sum(-1, keepdim=True).log()
    right = log_probs.gather(-1, target[..., None])[..., 0]
    losses = -(1 - smoothing) * right - smoothing * log_probs.mean(-1)
    return losses[target > BOS].mean()

# %% exercise="smoothed_cross_entropy" wrong="bits_2"
"""Bits instead of nats: divided by ln 2."""
def smoothed_cross_entropy(logits: Tensor, target: Tensor, smoothing: float = 0.1) -> Tensor:
    shifted = logits - logits.amax(-1, keepdim=True)
    log_probs = shifted - shifted.exp().sum(-1, keepdim=True).log()
    right = log_probs.gather(-1, target[..., None])[..., 0]
    losses = -(1 - smoothing) * right - smoothing * log_probs.mean(-1)
    return losses[target != PAD].mean() / math.log(2)

# %% exercise="smoothed_cross_entropy" wrong="always_float32"
"""Converts to float32 first and returns it for float64, too."""
def smoothed_cross_entropy(logits: Tensor, target: Tensor, smoothing: float = 0.1) -> Tensor:
    logits = logits.float()
    shifted = logits - logits.amax(-1, keepdim=True)
    log_probs = shifted - shifted.exp().sum(-1, keepdim=True).log()
    right = log_probs.gather(-1, target[..., None])[..., 0]
    losses = -(1 - smoothing) * right - smoothing * log_probs.mean(-1)
    return losses[target != PAD].mean()

# %% exercise="warmup_schedule" wrong="step_zero_is_zero"
"""Step 0 gives 0 instead of a ValueError."""
def warmup_schedule(step: int, width: int, warmup: int = 4000, factor: float = 1.0) -> float:
    if step < 0:
        raise ValueError(step)
    if step == 0:
        return 0.0
    return factor * width**-0.5 * min(step**-0.5, step * warmup**-1.5)

# %% exercise="warmup_schedule" wrong="largest"
"""The larger of the two curves."""
def warmup_schedule(step: int, width: int, warmup: int = 4000, factor: float = 1.0) -> float:
    if step < 1:
        raise ValueError(f"steps count from 1, not {step}")
    return factor * width**-0.5 * max(step**-0.5, step * warmup**-1.5)

# %% exercise="warmup_schedule" wrong="times_root_of_width"
"""Multiplies by sqrt(D) instead of dividing."""
def warmup_schedule(step: int, width: int, warmup: int = 4000, factor: float = 1.0) -> float:
    if step < 1:
        raise ValueError(f"steps count from 1, not {step}")
    return factor * width**0.5 * min(step**-0.5, step * warmup**-1.5)

# %% exercise="warmup_schedule" wrong="counts_from_zero"
"""Adds one to the step, as with LambdaLR's count from 0."""
def warmup_schedule(step: int, width: int, warmup: int = 4000, factor: float = 1.0) -> float:
    if step < 1:
        raise ValueError(f"steps count from 1, not {step}")
    step = step + 1
    return factor * width**-0.5 * min(step**-0.5, step * warmup**-1.5)

# %% exercise="warmup_schedule" wrong="constant_behind_warmup"
"""Stays at the peak after the warm-up."""
def warmup_schedule(step: int, width: int, warmup: int = 4000, factor: float = 1.0) -> float:
    if step < 1:
        raise ValueError(f"steps count from 1, not {step}")
    return factor * width**-0.5 * min(warmup**-0.5, step * warmup**-1.5)

# %% exercise="warmup_schedule" wrong="factor_on_the_fall_only"
"""The factor multiplies one of the two curves only."""
def warmup_schedule(step: int, width: int, warmup: int = 4000, factor: float = 1.0) -> float:
    if step < 1:
        raise ValueError(f"steps count from 1, not {step}")
    return width**-0.5 * min(factor * step**-0.5, step * warmup**-1.5)

# %% exercise="warmup_schedule" wrong="jumps_to_peak"
"""min(step, warmup) in the falling curve: no warm-up at all, the peak from step 1 on."""
def warmup_schedule(step: int, width: int, warmup: int = 4000, factor: float = 1.0) -> float:
    if step < 1:
        raise ValueError(f"steps count from 1, not {step}")
    return factor * width**-0.5 * max(step, warmup) ** -0.5

# %% exercise="warmup_schedule" wrong="zero_step_clamped"
"""max(step, 1): a step below 1 counts as 1, no error."""
def warmup_schedule(step: int, width: int, warmup: int = 4000, factor: float = 1.0) -> float:
    step = max(step, 1)
    return factor * width**-0.5 * min(step**-0.5, step * warmup**-1.5)

# %% exercise="greedy_decode" wrong="goes_on_after_eos"
"""A row that has ended goes on with what the model says."""
@torch.no_grad()
def greedy_decode(model, source: Tensor, max_length: int) -> Tensor:
    memory, keep = model.encode(source)
    rows = torch.full((len(source), 1), BOS, dtype=torch.int64, device=source.device)
    ended = torch.zeros(len(source), dtype=torch.bool, device=source.device)
    for _ in range(max_length):
        token = model.decode(rows, memory, keep)[:, -1].argmax(-1)
        ended = ended | (token == EOS)
        rows = torch.cat([rows, token[:, None]], dim=1)
        if ended.all():
            break
    return rows[:, 1:]

# %% exercise="greedy_decode" wrong="eos_becomes_pad"
"""`ended` is updated before the PADs go in: EOS itself is overwritten."""
@torch.no_grad()
def greedy_decode(model, source: Tensor, max_length: int) -> Tensor:
    memory, keep = model.encode(source)
    rows = torch.full((len(source), 1), BOS, dtype=torch.int64, device=source.device)
    ended = torch.zeros(len(source), dtype=torch.bool, device=source.device)
    for _ in range(max_length):
        token = model.decode(rows, memory, keep)[:, -1].argmax(-1)
        ended = ended | (token == EOS)
        token = token.masked_fill(ended, PAD)
        rows = torch.cat([rows, token[:, None]], dim=1)
        if ended.all():
            break
    return rows[:, 1:]

# %% exercise="greedy_decode" wrong="bos_in_result"
"""BOS stays in the result."""
@torch.no_grad()
def greedy_decode(model, source: Tensor, max_length: int) -> Tensor:
    memory, keep = model.encode(source)
    rows = torch.full((len(source), 1), BOS, dtype=torch.int64, device=source.device)
    ended = torch.zeros(len(source), dtype=torch.bool, device=source.device)
    for _ in range(max_length):
        token = model.decode(rows, memory, keep)[:, -1].argmax(-1)
        token = token.masked_fill(ended, PAD)
        ended = ended | (token == EOS)
        rows = torch.cat([rows, token[:, None]], dim=1)
        if ended.all():
            break
    return rows

# %% exercise="greedy_decode" wrong="first_position_read"
"""Reads the logits of the first position, not of the last."""
@torch.no_grad()
def greedy_decode(model, source: Tensor, max_length: int) -> Tensor:
    memory, keep = model.encode(source)
    rows = torch.full((len(source), 1), BOS, dtype=torch.int64, device=source.device)
    ended = torch.zeros(len(source), dtype=torch.bool, device=source.device)
    for _ in range(max_length):
        token = model.decode(rows, memory, keep)[:, 0].argmax(-1)
        token = token.masked_fill(ended, PAD)
        ended = ended | (token == EOS)
        rows = torch.cat([rows, token[:, None]], dim=1)
        if ended.all():
            break
    return rows[:, 1:]

# %% exercise="greedy_decode" wrong="encodes_every_step"
"""The source is encoded in each step."""
@torch.no_grad()
def greedy_decode(model, source: Tensor, max_length: int) -> Tensor:
    memory, keep = model.encode(source)
    rows = torch.full((len(source), 1), BOS, dtype=torch.int64, device=source.device)
    ended = torch.zeros(len(source), dtype=torch.bool, device=source.device)
    for _ in range(max_length):
        memory, keep = model.encode(source)
        token = model.decode(rows, memory, keep)[:, -1].argmax(-1)
        token = token.masked_fill(ended, PAD)
        ended = ended | (token == EOS)
        rows = torch.cat([rows, token[:, None]], dim=1)
        if ended.all():
            break
    return rows[:, 1:]

# %% exercise="greedy_decode" wrong="always_max_length"
"""Never stops early: L is always max_length."""
@torch.no_grad()
def greedy_decode(model, source: Tensor, max_length: int) -> Tensor:
    memory, keep = model.encode(source)
    rows = torch.full((len(source), 1), BOS, dtype=torch.int64, device=source.device)
    ended = torch.zeros(len(source), dtype=torch.bool, device=source.device)
    for _ in range(max_length):
        token = model.decode(rows, memory, keep)[:, -1].argmax(-1)
        token = token.masked_fill(ended, PAD)
        ended = ended | (token == EOS)
        rows = torch.cat([rows, token[:, None]], dim=1)
    return rows[:, 1:]

# %% exercise="greedy_decode" wrong="pad_ends_too"
"""A PAD that the model chooses ends the row as well."""
@torch.no_grad()
def greedy_decode(model, source: Tensor, max_length: int) -> Tensor:
    memory, keep = model.encode(source)
    rows = torch.full((len(source), 1), BOS, dtype=torch.int64, device=source.device)
    ended = torch.zeros(len(source), dtype=torch.bool, device=source.device)
    for _ in range(max_length):
        token = model.decode(rows, memory, keep)[:, -1].argmax(-1)
        token = token.masked_fill(ended, PAD)
        ended = ended | (token == EOS) | (token == PAD)
        rows = torch.cat([rows, token[:, None]], dim=1)
        if ended.all():
            break
    return rows[:, 1:]

# %% exercise="greedy_decode" wrong="eval_mode_left"
"""Puts the model into evaluation mode and leaves it there."""
@torch.no_grad()
def greedy_decode(model, source: Tensor, max_length: int) -> Tensor:
    if isinstance(model, nn.Module):
        model.eval()
    memory, keep = model.encode(source)
    rows = torch.full((len(source), 1), BOS, dtype=torch.int64, device=source.device)
    ended = torch.zeros(len(source), dtype=torch.bool, device=source.device)
    for _ in range(max_length):
        token = model.decode(rows, memory, keep)[:, -1].argmax(-1)
        token = token.masked_fill(ended, PAD)
        ended = ended | (token == EOS)
        rows = torch.cat([rows, token[:, None]], dim=1)
        if ended.all():
            break
    return rows[:, 1:]

# %% exercise="greedy_decode" wrong="all_in_one_step"
"""Stops only when all rows choose EOS in the same step."""
@torch.no_grad()
def greedy_decode(model, source: Tensor, max_length: int) -> Tensor:
    memory, keep = model.encode(source)
    rows = torch.full((len(source), 1), BOS, dtype=torch.int64, device=source.device)
    ended = torch.zeros(len(source), dtype=torch.bool, device=source.device)
    for _ in range(max_length):
        token = model.decode(rows, memory, keep)[:, -1].argmax(-1)
        token = token.masked_fill(ended, PAD)
        ended = ended | (token == EOS)
        rows = torch.cat([rows, token[:, None]], dim=1)
        if (token == EOS).all():
            break
    return rows[:, 1:]

# %% exercise="greedy_decode" wrong="bos_counted"
"""max_length counts BOS: one token too few."""
@torch.no_grad()
def greedy_decode(model, source: Tensor, max_length: int) -> Tensor:
    memory, keep = model.encode(source)
    rows = torch.full((len(source), 1), BOS, dtype=torch.int64, device=source.device)
    ended = torch.zeros(len(source), dtype=torch.bool, device=source.device)
    for _ in range(max_length - 1):
        token = model.decode(rows, memory, keep)[:, -1].argmax(-1)
        token = token.masked_fill(ended, PAD)
        ended = ended | (token == EOS)
        rows = torch.cat([rows, token[:, None]], dim=1)
        if ended.all():
            break
    return rows[:, 1:]

# %% exercise="greedy_decode" wrong="gradients_recorded"
"""No no_grad: the model runs with gradients."""
def greedy_decode(model, source: Tensor, max_length: int) -> Tensor:
    memory, keep = model.encode(source)
    rows = torch.full((len(source), 1), BOS, dtype=torch.int64, device=source.device)
    ended = torch.zeros(len(source), dtype=torch.bool, device=source.device)
    for _ in range(max_length):
        token = model.decode(rows, memory, keep)[:, -1].argmax(-1)
        token = token.masked_fill(ended, PAD)
        ended = ended | (token == EOS)
        rows = torch.cat([rows, token[:, None]], dim=1)
        if ended.all():
            break
    return rows[:, 1:]

# %% exercise="greedy_decode" wrong="stops_at_first_eos"
"""The whole batch stops when one row has ended."""
@torch.no_grad()
def greedy_decode(model, source: Tensor, max_length: int) -> Tensor:
    memory, keep = model.encode(source)
    rows = torch.full((len(source), 1), BOS, dtype=torch.int64, device=source.device)
    ended = torch.zeros(len(source), dtype=torch.bool, device=source.device)
    for _ in range(max_length):
        token = model.decode(rows, memory, keep)[:, -1].argmax(-1)
        token = token.masked_fill(ended, PAD)
        ended = ended | (token == EOS)
        rows = torch.cat([rows, token[:, None]], dim=1)
        if ended.any():
            break
    return rows[:, 1:]

# %% exercise="greedy_decode" wrong="one_step_more"
"""Notices that all have ended only after another step, whose column it drops."""
@torch.no_grad()
def greedy_decode(model, source: Tensor, max_length: int) -> Tensor:
    memory, keep = model.encode(source)
    rows = torch.full((len(source), 1), BOS, dtype=torch.int64, device=source.device)
    ended = torch.zeros(len(source), dtype=torch.bool, device=source.device)
    for _ in range(max_length):
        token = model.decode(rows, memory, keep)[:, -1].argmax(-1)
        if ended.all():
            break
        token = token.masked_fill(ended, PAD)
        ended = ended | (token == EOS)
        rows = torch.cat([rows, token[:, None]], dim=1)
    return rows[:, 1:]

# %% exercise="bleu" wrong="not_clipped"
"""Every candidate n-gram that occurs in a reference counts, however often."""
def ngrams(tokens, n):
    return Counter(tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1))


def bleu(candidates: list[list], references: list[list[list]], max_n: int = 4) -> float:
    logs = 0.0
    for n in range(1, max_n + 1):
        matched = total = 0
        for candidate, allowed in zip(candidates, references, strict=True):
            counts = ngrams(candidate, n)
            limit = Counter()
            for reference in allowed:
                limit |= ngrams(reference, n)
            matched += sum(often for gram, often in counts.items() if gram in limit)
            total += sum(counts.values())
        if matched == 0:
            return 0.0
        logs += math.log(matched / total) / max_n
    c = sum(len(candidate) for candidate in candidates)
    r = sum(
        min((len(x) for x in allowed), key=lambda size: (abs(size - len(candidate)), size))
        for candidate, allowed in zip(candidates, references)
    )
    return min(1.0, math.exp(1 - r / c)) * math.exp(logs)

# %% exercise="bleu" wrong="references_added"
"""Clips at the number of times in all references together."""
def ngrams(tokens, n):
    return Counter(tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1))


def bleu(candidates: list[list], references: list[list[list]], max_n: int = 4) -> float:
    logs = 0.0
    for n in range(1, max_n + 1):
        matched = total = 0
        for candidate, allowed in zip(candidates, references, strict=True):
            counts = ngrams(candidate, n)
            limit = Counter()
            for reference in allowed:
                limit += ngrams(reference, n)
            matched += sum((counts & limit).values())
            total += sum(counts.values())
        if matched == 0:
            return 0.0
        logs += math.log(matched / total) / max_n
    c = sum(len(candidate) for candidate in candidates)
    r = sum(
        min((len(x) for x in allowed), key=lambda size: (abs(size - len(candidate)), size))
        for candidate, allowed in zip(candidates, references)
    )
    return min(1.0, math.exp(1 - r / c)) * math.exp(logs)

# %% exercise="bleu" wrong="mean_of_sentences"
"""The mean of sentence scores."""
def ngrams(tokens, n):
    return Counter(tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1))


def bleu(candidates: list[list], references: list[list[list]], max_n: int = 4) -> float:
    if len(candidates) > 1:
        return sum(bleu([c], [r], max_n) for c, r in zip(candidates, references)) / len(candidates)
    logs = 0.0
    for n in range(1, max_n + 1):
        matched = total = 0
        for candidate, allowed in zip(candidates, references, strict=True):
            counts = ngrams(candidate, n)
            limit = Counter()
            for reference in allowed:
                limit |= ngrams(reference, n)
            matched += sum((counts & limit).values())
            total += sum(counts.values())
        if matched == 0:
            return 0.0
        logs += math.log(matched / total) / max_n
    c = sum(len(candidate) for candidate in candidates)
    r = sum(
        min((len(x) for x in allowed), key=lambda size: (abs(size - len(candidate)), size))
        for candidate, allowed in zip(candidates, references)
    )
    return min(1.0, math.exp(1 - r / c)) * math.exp(logs)

# %% exercise="bleu" wrong="shortest_reference"
"""r takes the shortest reference."""
def ngrams(tokens, n):
    return Counter(tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1))


def bleu(candidates: list[list], references: list[list[list]], max_n: int = 4) -> float:
    logs = 0.0
    for n in range(1, max_n + 1):
        matched = total = 0
        for candidate, allowed in zip(candidates, references, strict=True):
            counts = ngrams(candidate, n)
            limit = Counter()
            for reference in allowed:
                limit |= ngrams(reference, n)
            matched += sum((counts & limit).values())
            total += sum(counts.values())
        if matched == 0:
            return 0.0
        logs += math.log(matched / total) / max_n
    c = sum(len(candidate) for candidate in candidates)
    r = sum(
        min((len(x) for x in allowed), key=lambda size: size)
        for candidate, allowed in zip(candidates, references)
    )
    return min(1.0, math.exp(1 - r / c)) * math.exp(logs)

# %% exercise="bleu" wrong="longer_on_a_tie"
"""The longer reference on a tie."""
def ngrams(tokens, n):
    return Counter(tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1))


def bleu(candidates: list[list], references: list[list[list]], max_n: int = 4) -> float:
    logs = 0.0
    for n in range(1, max_n + 1):
        matched = total = 0
        for candidate, allowed in zip(candidates, references, strict=True):
            counts = ngrams(candidate, n)
            limit = Counter()
            for reference in allowed:
                limit |= ngrams(reference, n)
            matched += sum((counts & limit).values())
            total += sum(counts.values())
        if matched == 0:
            return 0.0
        logs += math.log(matched / total) / max_n
    c = sum(len(candidate) for candidate in candidates)
    r = sum(
        min((len(x) for x in allowed), key=lambda size: (abs(size - len(candidate)), -size))
        for candidate, allowed in zip(candidates, references)
    )
    return min(1.0, math.exp(1 - r / c)) * math.exp(logs)

# %% exercise="bleu" wrong="no_penalty"
"""No brevity penalty."""
def ngrams(tokens, n):
    return Counter(tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1))


def bleu(candidates: list[list], references: list[list[list]], max_n: int = 4) -> float:
    logs = 0.0
    for n in range(1, max_n + 1):
        matched = total = 0
        for candidate, allowed in zip(candidates, references, strict=True):
            counts = ngrams(candidate, n)
            limit = Counter()
            for reference in allowed:
                limit |= ngrams(reference, n)
            matched += sum((counts & limit).values())
            total += sum(counts.values())
        if matched == 0:
            return 0.0
        logs += math.log(matched / total) / max_n
    c = sum(len(candidate) for candidate in candidates)
    r = sum(
        min((len(x) for x in allowed), key=lambda size: (abs(size - len(candidate)), size))
        for candidate, allowed in zip(candidates, references)
    )
    return math.exp(logs)

# %% exercise="bleu" wrong="penalty_upside_down"
"""exp(1 - c / r): long candidates are punished, short ones are not."""
def ngrams(tokens, n):
    return Counter(tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1))


def bleu(candidates: list[list], references: list[list[list]], max_n: int = 4) -> float:
    logs = 0.0
    for n in range(1, max_n + 1):
        matched = total = 0
        for candidate, allowed in zip(candidates, references, strict=True):
            counts = ngrams(candidate, n)
            limit = Counter()
            for reference in allowed:
                limit |= ngrams(reference, n)
            matched += sum((counts & limit).values())
            total += sum(counts.values())
        if matched == 0:
            return 0.0
        logs += math.log(matched / total) / max_n
    c = sum(len(candidate) for candidate in candidates)
    r = sum(
        min((len(x) for x in allowed), key=lambda size: (abs(size - len(candidate)), size))
        for candidate, allowed in zip(candidates, references)
    )
    return min(1.0, math.exp(1 - c / r)) * math.exp(logs)

# %% exercise="bleu" wrong="penalty_not_limited"
"""No min with 1: a long candidate is rewarded."""
def ngrams(tokens, n):
    return Counter(tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1))


def bleu(candidates: list[list], references: list[list[list]], max_n: int = 4) -> float:
    logs = 0.0
    for n in range(1, max_n + 1):
        matched = total = 0
        for candidate, allowed in zip(candidates, references, strict=True):
            counts = ngrams(candidate, n)
            limit = Counter()
            for reference in allowed:
                limit |= ngrams(reference, n)
            matched += sum((counts & limit).values())
            total += sum(counts.values())
        if matched == 0:
            return 0.0
        logs += math.log(matched / total) / max_n
    c = sum(len(candidate) for candidate in candidates)
    r = sum(
        min((len(x) for x in allowed), key=lambda size: (abs(size - len(candidate)), size))
        for candidate, allowed in zip(candidates, references)
    )
    return math.exp(1 - r / c) * math.exp(logs)

# %% exercise="bleu" wrong="arithmetic_mean"
"""The arithmetic mean of the precisions."""
def ngrams(tokens, n):
    return Counter(tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1))


def bleu(candidates: list[list], references: list[list[list]], max_n: int = 4) -> float:
    logs = 0.0
    for n in range(1, max_n + 1):
        matched = total = 0
        for candidate, allowed in zip(candidates, references, strict=True):
            counts = ngrams(candidate, n)
            limit = Counter()
            for reference in allowed:
                limit |= ngrams(reference, n)
            matched += sum((counts & limit).values())
            total += sum(counts.values())
        if matched == 0:
            return 0.0
        logs += matched / total / max_n
    c = sum(len(candidate) for candidate in candidates)
    r = sum(
        min((len(x) for x in allowed), key=lambda size: (abs(size - len(candidate)), size))
        for candidate, allowed in zip(candidates, references)
    )
    return min(1.0, math.exp(1 - r / c)) * logs

# %% exercise="bleu" wrong="empty_candidate_skipped_2"
"""An empty candidate is left out of r."""
def ngrams(tokens, n):
    return Counter(tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1))


def bleu(candidates: list[list], references: list[list[list]], max_n: int = 4) -> float:
    logs = 0.0
    for n in range(1, max_n + 1):
        matched = total = 0
        for candidate, allowed in zip(candidates, references, strict=True):
            counts = ngrams(candidate, n)
            limit = Counter()
            for reference in allowed:
                limit |= ngrams(reference, n)
            matched += sum((counts & limit).values())
            total += sum(counts.values())
        if matched == 0:
            return 0.0
        logs += math.log(matched / total) / max_n
    c = sum(len(candidate) for candidate in candidates)
    r = sum(
        min((len(x) for x in allowed), key=lambda size: (abs(size - len(candidate)), size))
        for candidate, allowed in zip(candidates, references) if candidate
    )
    return min(1.0, math.exp(1 - r / c)) * math.exp(logs)

# %% exercise="bleu" wrong="too_long_ngrams_skipped"
"""An n that no candidate reaches is skipped instead of giving 0."""
def ngrams(tokens, n):
    return Counter(tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1))


def bleu(candidates: list[list], references: list[list[list]], max_n: int = 4) -> float:
    logs = 0.0
    for n in range(1, max_n + 1):
        matched = total = 0
        for candidate, allowed in zip(candidates, references, strict=True):
            counts = ngrams(candidate, n)
            limit = Counter()
            for reference in allowed:
                limit |= ngrams(reference, n)
            matched += sum((counts & limit).values())
            total += sum(counts.values())
        if total == 0 and candidates and n > 1:
            continue
        if matched == 0:
            return 0.0
        logs += math.log(matched / total) / max_n
    c = sum(len(candidate) for candidate in candidates)
    r = sum(
        min((len(x) for x in allowed), key=lambda size: (abs(size - len(candidate)), size))
        for candidate, allowed in zip(candidates, references)
    )
    return min(1.0, math.exp(1 - r / c)) * math.exp(logs)

# %% exercise="bleu" wrong="sets"
"""Sets of n-grams: a repetition counts once, above and below."""
def ngrams(tokens, n):
    return Counter({tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1)})


def bleu(candidates: list[list], references: list[list[list]], max_n: int = 4) -> float:
    logs = 0.0
    for n in range(1, max_n + 1):
        matched = total = 0
        for candidate, allowed in zip(candidates, references, strict=True):
            counts = ngrams(candidate, n)
            limit = Counter()
            for reference in allowed:
                limit |= ngrams(reference, n)
            matched += sum((counts & limit).values())
            total += sum(counts.values())
        if matched == 0:
            return 0.0
        logs += math.log(matched / total) / max_n
    c = sum(len(candidate) for candidate in candidates)
    r = sum(
        min((len(x) for x in allowed), key=lambda size: (abs(size - len(candidate)), size))
        for candidate, allowed in zip(candidates, references)
    )
    return min(1.0, math.exp(1 - r / c)) * math.exp(logs)

# %% exercise="bleu" wrong="lower_case"
"""Lowers the case of strings: The and the are one token."""
def ngrams(tokens, n):
    tokens = [t.lower() if isinstance(t, str) else t for t in tokens]
    return Counter(tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1))


def bleu(candidates: list[list], references: list[list[list]], max_n: int = 4) -> float:
    logs = 0.0
    for n in range(1, max_n + 1):
        matched = total = 0
        for candidate, allowed in zip(candidates, references, strict=True):
            counts = ngrams(candidate, n)
            limit = Counter()
            for reference in allowed:
                limit |= ngrams(reference, n)
            matched += sum((counts & limit).values())
            total += sum(counts.values())
        if matched == 0:
            return 0.0
        logs += math.log(matched / total) / max_n
    c = sum(len(candidate) for candidate in candidates)
    r = sum(
        min((len(x) for x in allowed), key=lambda size: (abs(size - len(candidate)), size))
        for candidate, allowed in zip(candidates, references)
    )
    return min(1.0, math.exp(1 - r / c)) * math.exp(logs)

# %% exercise="bleu" wrong="joined_strings_2"
"""Joins an n-gram to one string: ('ab', 'c') and ('a', 'bc') are the same."""
def ngrams(tokens, n):
    return Counter("".join(map(str, tokens[i : i + n])) for i in range(len(tokens) - n + 1))


def bleu(candidates: list[list], references: list[list[list]], max_n: int = 4) -> float:
    logs = 0.0
    for n in range(1, max_n + 1):
        matched = total = 0
        for candidate, allowed in zip(candidates, references, strict=True):
            counts = ngrams(candidate, n)
            limit = Counter()
            for reference in allowed:
                limit |= ngrams(reference, n)
            matched += sum((counts & limit).values())
            total += sum(counts.values())
        if matched == 0:
            return 0.0
        logs += math.log(matched / total) / max_n
    c = sum(len(candidate) for candidate in candidates)
    r = sum(
        min((len(x) for x in allowed), key=lambda size: (abs(size - len(candidate)), size))
        for candidate, allowed in zip(candidates, references)
    )
    return min(1.0, math.exp(1 - r / c)) * math.exp(logs)

# %% exercise="bleu" wrong="zero_smoothed"
"""A precision of 0 is replaced by a tiny number, so the score is not 0."""
def ngrams(tokens, n):
    return Counter(tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1))


def bleu(candidates: list[list], references: list[list[list]], max_n: int = 4) -> float:
    logs = 0.0
    for n in range(1, max_n + 1):
        matched = total = 0
        for candidate, allowed in zip(candidates, references, strict=True):
            counts = ngrams(candidate, n)
            limit = Counter()
            for reference in allowed:
                limit |= ngrams(reference, n)
            matched += sum((counts & limit).values())
            total += sum(counts.values())
        if total == 0:
            return 0.0
        matched = max(matched, 0.1)
        logs += math.log(matched / total) / max_n
    c = sum(len(candidate) for candidate in candidates)
    r = sum(
        min((len(x) for x in allowed), key=lambda size: (abs(size - len(candidate)), size))
        for candidate, allowed in zip(candidates, references)
    )
    return min(1.0, math.exp(1 - r / c)) * math.exp(logs)

# %% exercise="repaired_loss" wrong="logits_cut"
"""Input is the target itself and the loss compares t with t + 1: the first token is never asked for."""
def repaired_loss(model, source: Tensor, target: Tensor) -> Tensor:
    logits = model(source, target)[:, :-1]
    return nn.functional.cross_entropy(logits.flatten(0, 1), target[:, 1:].flatten(), ignore_index=PAD)

# %% exercise="repaired_loss" wrong="padding_counts"
"""Without ignore_index: PAD positions count."""
def repaired_loss(model, source: Tensor, target: Tensor) -> Tensor:
    logits = model(source, shift_right(target))
    return nn.functional.cross_entropy(logits.flatten(0, 1), target.flatten())

# %% exercise="repaired_loss" wrong="no_shift"
"""The decoder is given the target itself."""
def repaired_loss(model, source: Tensor, target: Tensor) -> Tensor:
    logits = model(source, target)
    return nn.functional.cross_entropy(logits.flatten(0, 1), target.flatten(), ignore_index=PAD)

# %% exercise="repaired_loss" wrong="two_shifts"
"""Still two shifts: shifted input, and the loss on t + 1."""
def repaired_loss(model, source: Tensor, target: Tensor) -> Tensor:
    logits = model(source, shift_right(target))
    return nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), target[:, 1:].flatten(), ignore_index=PAD)

# %% exercise="repaired_loss" wrong="smoothed"
"""With label smoothing 0.1."""
def repaired_loss(model, source: Tensor, target: Tensor) -> Tensor:
    logits = model(source, shift_right(target))
    return nn.functional.cross_entropy(logits.flatten(0, 1), target.flatten(), ignore_index=PAD, label_smoothing=0.1)

# %% exercise="repaired_loss" wrong="no_gradient"
"""Runs under no_grad: no gradient flows."""
def repaired_loss(model, source: Tensor, target: Tensor) -> Tensor:
    with torch.no_grad():
        logits = model(source, shift_right(target))
    return nn.functional.cross_entropy(logits.flatten(0, 1), target.flatten(), ignore_index=PAD)

# %% exercise="repaired_loss" wrong="mean_over_rows"
"""The mean of the rows' means."""
def repaired_loss(model, source: Tensor, target: Tensor) -> Tensor:
    logits = model(source, shift_right(target))
    losses = [
        nn.functional.cross_entropy(row, labels, ignore_index=PAD) for row, labels in zip(logits, target)
    ]
    return torch.stack(losses).mean()

# %% exercise="repaired_loss" wrong="eos_ignored"
"""EOS counts as padding."""
def repaired_loss(model, source: Tensor, target: Tensor) -> Tensor:
    logits = model(source, shift_right(target))
    return nn.functional.cross_entropy(logits.flatten(0, 1), target.masked_fill(target == EOS, PAD).flatten(), ignore_index=PAD)

# %% exercise="repaired_loss" wrong="sets_train_mode"
"""Calls model.train(): a model in evaluation mode leaves it."""
def repaired_loss(model, source: Tensor, target: Tensor) -> Tensor:
    if isinstance(model, nn.Module):
        model.train()
    logits = model(source, shift_right(target))
    return nn.functional.cross_entropy(logits.flatten(0, 1), target.flatten(), ignore_index=PAD)

# %% exercise="repaired_loss" wrong="divided_by_all"
"""The sum is divided by B * T, PAD included."""
def repaired_loss(model, source: Tensor, target: Tensor) -> Tensor:
    logits = model(source, shift_right(target))
    return nn.functional.cross_entropy(logits.flatten(0, 1), target.flatten(), ignore_index=PAD, reduction="sum") / target.numel()

# %% exercise="repaired_validation" wrong="always_train_after"
"""Ends with model.train(): a model that came in evaluation mode leaves in training mode."""
def repaired_validation(model, batches: list[tuple[Tensor, Tensor]]) -> float:
    was = model.training
    model.eval()
    total, tokens = 0.0, 0
    try:
        with torch.no_grad():
            for source, target in batches:
                real = int((target != PAD).sum())
                total += repaired_loss(model, source, target).item() * real
                tokens += real
    finally:
        model.train()
    return total / tokens

# %% exercise="repaired_validation" wrong="left_in_eval"
"""Never goes back."""
def repaired_validation(model, batches: list[tuple[Tensor, Tensor]]) -> float:
    was = model.training
    model.eval()
    total, tokens = 0.0, 0
    try:
        with torch.no_grad():
            for source, target in batches:
                real = int((target != PAD).sum())
                total += repaired_loss(model, source, target).item() * real
                tokens += real
    finally:
        pass
    return total / tokens

# %% exercise="repaired_validation" wrong="not_in_eval"
"""Never switches to evaluation: dropout is on."""
def repaired_validation(model, batches: list[tuple[Tensor, Tensor]]) -> float:
    was = model.training
    total, tokens = 0.0, 0
    try:
        with torch.no_grad():
            for source, target in batches:
                real = int((target != PAD).sum())
                total += repaired_loss(model, source, target).item() * real
                tokens += real
    finally:
        model.train(was)
    return total / tokens

# %% exercise="repaired_validation" wrong="mean_of_batches"
"""Each batch counts the same."""
def repaired_validation(model, batches: list[tuple[Tensor, Tensor]]) -> float:
    was = model.training
    model.eval()
    total, tokens = 0.0, 0
    try:
        with torch.no_grad():
            for source, target in batches:
                real = 1
                total += repaired_loss(model, source, target).item() * real
                tokens += real
    finally:
        model.train(was)
    return total / tokens

# %% exercise="repaired_validation" wrong="padding_as_weight"
"""A batch is weighted with all its places, PAD too."""
def repaired_validation(model, batches: list[tuple[Tensor, Tensor]]) -> float:
    was = model.training
    model.eval()
    total, tokens = 0.0, 0
    try:
        with torch.no_grad():
            for source, target in batches:
                real = target.numel()
                total += repaired_loss(model, source, target).item() * real
                tokens += real
    finally:
        model.train(was)
    return total / tokens

# %% exercise="repaired_validation" wrong="rows_as_weight"
"""A batch is weighted with its number of rows."""
def repaired_validation(model, batches: list[tuple[Tensor, Tensor]]) -> float:
    was = model.training
    model.eval()
    total, tokens = 0.0, 0
    try:
        with torch.no_grad():
            for source, target in batches:
                real = len(target)
                total += repaired_loss(model, source, target).item() * real
                tokens += real
    finally:
        model.train(was)
    return total / tokens

# %% exercise="repaired_validation" wrong="gradients_recorded"
"""Without no_grad: a graph is built in each batch."""
def repaired_validation(model, batches: list[tuple[Tensor, Tensor]]) -> float:
    was = model.training
    model.eval()
    total, tokens = 0.0, 0
    try:
        if True:
            for source, target in batches:
                real = int((target != PAD).sum())
                total += repaired_loss(model, source, target).item() * real
                tokens += real
    finally:
        model.train(was)
    return total / tokens

# %% exercise="repaired_validation" wrong="perplexity"
"""Returns the perplexity."""
def repaired_validation(model, batches: list[tuple[Tensor, Tensor]]) -> float:
    was = model.training
    model.eval()
    total, tokens = 0.0, 0
    try:
        with torch.no_grad():
            for source, target in batches:
                real = int((target != PAD).sum())
                total += repaired_loss(model, source, target).item() * real
                tokens += real
    finally:
        model.train(was)
    return math.exp(total / tokens)

# %% exercise="repaired_validation" wrong="sum_over_tokens"
"""Returns the sum over all tokens, not the mean."""
def repaired_validation(model, batches: list[tuple[Tensor, Tensor]]) -> float:
    was = model.training
    model.eval()
    total, tokens = 0.0, 0
    try:
        with torch.no_grad():
            for source, target in batches:
                real = int((target != PAD).sum())
                total += repaired_loss(model, source, target).item() * real
                tokens += real
    finally:
        model.train(was)
    return total

# %% exercise="repaired_validation" wrong="smoothed"
"""Measured with the training's smoothed loss."""
def repaired_validation(model, batches: list[tuple[Tensor, Tensor]]) -> float:
    was = model.training
    model.eval()
    total, tokens = 0.0, 0
    try:
        with torch.no_grad():
            for source, target in batches:
                real = int((target != PAD).sum())
                total += smoothed_cross_entropy(model(source, shift_right(target)), target).item() * real
                tokens += real
    finally:
        model.train(was)
    return total / tokens

# %% exercise="rmsnorm_forward" wrong="mean_over_block"
"""Divides by BLOCK: wrong unless C is a power of two."""
@triton.jit
def rmsnorm_kernel(x_ptr, weight_ptr, out_ptr, n_cols, eps, x_row, x_col, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    cols = tl.arange(0, BLOCK)
    inside = cols < n_cols
    x = tl.load(x_ptr + row * x_row + cols * x_col, mask=inside, other=0.0).to(tl.float32)
    mean_square = tl.sum(x * x, axis=0) / BLOCK
    factor = 1.0 / tl.sqrt(mean_square + eps)
    weight = tl.load(weight_ptr + cols, mask=inside, other=0.0).to(tl.float32)
    y = x * factor * weight
    tl.store(out_ptr + row * n_cols + cols, y.to(out_ptr.dtype.element_ty), mask=inside)


def rmsnorm_forward(x: Tensor, weight: Tensor, eps: float = 1e-6) -> Tensor:
    rows, cols = x.shape
    out = torch.empty((rows, cols), dtype=x.dtype, device=x.device)
    block = triton.next_power_of_2(cols)
    rmsnorm_kernel[(rows,)](x, weight, out, cols, eps, x.stride(0), x.stride(1), BLOCK=block)
    return out

# %% exercise="rmsnorm_forward" wrong="lanes_filled_with_one"
"""The lanes past the end hold 1 and are in the sum of the squares."""
@triton.jit
def rmsnorm_kernel(x_ptr, weight_ptr, out_ptr, n_cols, eps, x_row, x_col, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    cols = tl.arange(0, BLOCK)
    inside = cols < n_cols
    x = tl.load(x_ptr + row * x_row + cols * x_col, mask=inside, other=1.0).to(tl.float32)
    mean_square = tl.sum(x * x, axis=0) / n_cols
    factor = 1.0 / tl.sqrt(mean_square + eps)
    weight = tl.load(weight_ptr + cols, mask=inside, other=0.0).to(tl.float32)
    y = x * factor * weight
    tl.store(out_ptr + row * n_cols + cols, y.to(out_ptr.dtype.element_ty), mask=inside)


def rmsnorm_forward(x: Tensor, weight: Tensor, eps: float = 1e-6) -> Tensor:
    rows, cols = x.shape
    out = torch.empty((rows, cols), dtype=x.dtype, device=x.device)
    block = triton.next_power_of_2(cols)
    rmsnorm_kernel[(rows,)](x, weight, out, cols, eps, x.stride(0), x.stride(1), BLOCK=block)
    return out

# %% exercise="rmsnorm_forward" wrong="eps_outside_root"
"""eps is added to the root."""
@triton.jit
def rmsnorm_kernel(x_ptr, weight_ptr, out_ptr, n_cols, eps, x_row, x_col, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    cols = tl.arange(0, BLOCK)
    inside = cols < n_cols
    x = tl.load(x_ptr + row * x_row + cols * x_col, mask=inside, other=0.0).to(tl.float32)
    mean_square = tl.sum(x * x, axis=0) / n_cols
    factor = 1.0 / (tl.sqrt(mean_square) + eps)
    weight = tl.load(weight_ptr + cols, mask=inside, other=0.0).to(tl.float32)
    y = x * factor * weight
    tl.store(out_ptr + row * n_cols + cols, y.to(out_ptr.dtype.element_ty), mask=inside)


def rmsnorm_forward(x: Tensor, weight: Tensor, eps: float = 1e-6) -> Tensor:
    rows, cols = x.shape
    out = torch.empty((rows, cols), dtype=x.dtype, device=x.device)
    block = triton.next_power_of_2(cols)
    rmsnorm_kernel[(rows,)](x, weight, out, cols, eps, x.stride(0), x.stride(1), BLOCK=block)
    return out

# %% exercise="rmsnorm_forward" wrong="column_stride_ignored"
"""Takes the columns for neighbours: wrong for a transposed x."""
@triton.jit
def rmsnorm_kernel(x_ptr, weight_ptr, out_ptr, n_cols, eps, x_row, x_col, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    cols = tl.arange(0, BLOCK)
    inside = cols < n_cols
    x = tl.load(x_ptr + row * x_row + cols, mask=inside, other=0.0).to(tl.float32)
    mean_square = tl.sum(x * x, axis=0) / n_cols
    factor = 1.0 / tl.sqrt(mean_square + eps)
    weight = tl.load(weight_ptr + cols, mask=inside, other=0.0).to(tl.float32)
    y = x * factor * weight
    tl.store(out_ptr + row * n_cols + cols, y.to(out_ptr.dtype.element_ty), mask=inside)


def rmsnorm_forward(x: Tensor, weight: Tensor, eps: float = 1e-6) -> Tensor:
    rows, cols = x.shape
    out = torch.empty((rows, cols), dtype=x.dtype, device=x.device)
    block = triton.next_power_of_2(cols)
    rmsnorm_kernel[(rows,)](x, weight, out, cols, eps, x.stride(0), x.stride(1), BLOCK=block)
    return out

# %% exercise="rmsnorm_forward" wrong="contiguous_copy"
"""x.contiguous() first: a second launch for an x that is not contiguous."""
@triton.jit
def rmsnorm_kernel(x_ptr, weight_ptr, out_ptr, n_cols, eps, x_row, x_col, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    cols = tl.arange(0, BLOCK)
    inside = cols < n_cols
    x = tl.load(x_ptr + row * x_row + cols * x_col, mask=inside, other=0.0).to(tl.float32)
    mean_square = tl.sum(x * x, axis=0) / n_cols
    factor = 1.0 / tl.sqrt(mean_square + eps)
    weight = tl.load(weight_ptr + cols, mask=inside, other=0.0).to(tl.float32)
    y = x * factor * weight
    tl.store(out_ptr + row * n_cols + cols, y.to(out_ptr.dtype.element_ty), mask=inside)


def rmsnorm_forward(x: Tensor, weight: Tensor, eps: float = 1e-6) -> Tensor:
    x = x.contiguous()
    rows, cols = x.shape
    out = torch.empty((rows, cols), dtype=x.dtype, device=x.device)
    block = triton.next_power_of_2(cols)
    rmsnorm_kernel[(rows,)](x, weight, out, cols, eps, x.stride(0), x.stride(1), BLOCK=block)
    return out

# %% exercise="rmsnorm_forward" wrong="squares_in_half"
"""Squares in x's dtype: a float16 above 255 becomes inf."""
@triton.jit
def rmsnorm_kernel(x_ptr, weight_ptr, out_ptr, n_cols, eps, x_row, x_col, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    cols = tl.arange(0, BLOCK)
    inside = cols < n_cols
    x = tl.load(x_ptr + row * x_row + cols * x_col, mask=inside, other=0.0)
    mean_square = tl.sum((x * x).to(tl.float32), axis=0) / n_cols
    factor = 1.0 / tl.sqrt(mean_square + eps)
    weight = tl.load(weight_ptr + cols, mask=inside, other=0.0).to(tl.float32)
    y = x * factor * weight
    tl.store(out_ptr + row * n_cols + cols, y.to(out_ptr.dtype.element_ty), mask=inside)


def rmsnorm_forward(x: Tensor, weight: Tensor, eps: float = 1e-6) -> Tensor:
    rows, cols = x.shape
    out = torch.empty((rows, cols), dtype=x.dtype, device=x.device)
    block = triton.next_power_of_2(cols)
    rmsnorm_kernel[(rows,)](x, weight, out, cols, eps, x.stride(0), x.stride(1), BLOCK=block)
    return out

# %% exercise="rmsnorm_forward" wrong="read_twice"
"""Loads the row once for the sum and again for the output."""
@triton.jit
def rmsnorm_kernel(x_ptr, weight_ptr, out_ptr, n_cols, eps, x_row, x_col, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    cols = tl.arange(0, BLOCK)
    inside = cols < n_cols
    x = tl.load(x_ptr + row * x_row + cols * x_col, mask=inside, other=0.0).to(tl.float32)
    mean_square = tl.sum(x * x, axis=0) / n_cols
    factor = 1.0 / tl.sqrt(mean_square + eps)
    weight = tl.load(weight_ptr + cols, mask=inside, other=0.0).to(tl.float32)
    x = tl.load(x_ptr + row * x_row + cols * x_col, mask=inside, other=0.0).to(tl.float32)
    y = x * factor * weight
    tl.store(out_ptr + row * n_cols + cols, y.to(out_ptr.dtype.element_ty), mask=inside)


def rmsnorm_forward(x: Tensor, weight: Tensor, eps: float = 1e-6) -> Tensor:
    rows, cols = x.shape
    out = torch.empty((rows, cols), dtype=x.dtype, device=x.device)
    block = triton.next_power_of_2(cols)
    rmsnorm_kernel[(rows,)](x, weight, out, cols, eps, x.stride(0), x.stride(1), BLOCK=block)
    return out

# %% exercise="rmsnorm_forward" wrong="empty_like"
"""torch.empty_like keeps the strides of a transposed x: the result is not contiguous and its rows are mixed up."""
@triton.jit
def rmsnorm_kernel(x_ptr, weight_ptr, out_ptr, n_cols, eps, x_row, x_col, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    cols = tl.arange(0, BLOCK)
    inside = cols < n_cols
    x = tl.load(x_ptr + row * x_row + cols * x_col, mask=inside, other=0.0).to(tl.float32)
    mean_square = tl.sum(x * x, axis=0) / n_cols
    factor = 1.0 / tl.sqrt(mean_square + eps)
    weight = tl.load(weight_ptr + cols, mask=inside, other=0.0).to(tl.float32)
    y = x * factor * weight
    tl.store(out_ptr + row * n_cols + cols, y.to(out_ptr.dtype.element_ty), mask=inside)


def rmsnorm_forward(x: Tensor, weight: Tensor, eps: float = 1e-6) -> Tensor:
    rows, cols = x.shape
    out = torch.empty_like(x)
    block = triton.next_power_of_2(cols)
    rmsnorm_kernel[(rows,)](x, weight, out, cols, eps, x.stride(0), x.stride(1), BLOCK=block)
    return out

# %% exercise="rmsnorm_forward" wrong="rounded_before_weight"
"""Rounds to x's dtype before the weight and again behind it."""
@triton.jit
def rmsnorm_kernel(x_ptr, weight_ptr, out_ptr, n_cols, eps, x_row, x_col, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    cols = tl.arange(0, BLOCK)
    inside = cols < n_cols
    x = tl.load(x_ptr + row * x_row + cols * x_col, mask=inside, other=0.0).to(tl.float32)
    mean_square = tl.sum(x * x, axis=0) / n_cols
    factor = 1.0 / tl.sqrt(mean_square + eps)
    weight = tl.load(weight_ptr + cols, mask=inside, other=0.0).to(tl.float32)
    y = (x * factor).to(out_ptr.dtype.element_ty).to(tl.float32) * weight
    tl.store(out_ptr + row * n_cols + cols, y.to(out_ptr.dtype.element_ty), mask=inside)


def rmsnorm_forward(x: Tensor, weight: Tensor, eps: float = 1e-6) -> Tensor:
    rows, cols = x.shape
    out = torch.empty((rows, cols), dtype=x.dtype, device=x.device)
    block = triton.next_power_of_2(cols)
    rmsnorm_kernel[(rows,)](x, weight, out, cols, eps, x.stride(0), x.stride(1), BLOCK=block)
    return out

# %% exercise="rmsnorm_forward" wrong="one_program"
"""One program walks all rows."""
@triton.jit
def rmsnorm_kernel(x_ptr, weight_ptr, out_ptr, n_rows, n_cols, eps, x_row, x_col, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    cols = tl.arange(0, BLOCK)
    inside = cols < n_cols
    weight = tl.load(weight_ptr + cols, mask=inside, other=0.0).to(tl.float32)
    for _ in range(n_rows):
        x = tl.load(x_ptr + row * x_row + cols * x_col, mask=inside, other=0.0).to(tl.float32)
        factor = 1.0 / tl.sqrt(tl.sum(x * x, axis=0) / n_cols + eps)
        tl.store(out_ptr + row * n_cols + cols, x * factor * weight, mask=inside)
        row += 1


def rmsnorm_forward(x: Tensor, weight: Tensor, eps: float = 1e-6) -> Tensor:
    rows, cols = x.shape
    out = torch.empty((rows, cols), dtype=x.dtype, device=x.device)
    rmsnorm_kernel[(1,)](x, weight, out, rows, cols, eps, *x.stride(), BLOCK=triton.next_power_of_2(cols))
    return out

# %% exercise="rmsnorm_forward" wrong="block_of_1024"
"""A fixed block: columns behind 1024 are neither summed nor written."""
@triton.jit
def rmsnorm_kernel(x_ptr, weight_ptr, out_ptr, n_cols, eps, x_row, x_col, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    cols = tl.arange(0, BLOCK)
    inside = cols < n_cols
    x = tl.load(x_ptr + row * x_row + cols * x_col, mask=inside, other=0.0).to(tl.float32)
    mean_square = tl.sum(x * x, axis=0) / n_cols
    factor = 1.0 / tl.sqrt(mean_square + eps)
    weight = tl.load(weight_ptr + cols, mask=inside, other=0.0).to(tl.float32)
    y = x * factor * weight
    tl.store(out_ptr + row * n_cols + cols, y.to(out_ptr.dtype.element_ty), mask=inside)


def rmsnorm_forward(x: Tensor, weight: Tensor, eps: float = 1e-6) -> Tensor:
    rows, cols = x.shape
    out = torch.empty((rows, cols), dtype=x.dtype, device=x.device)
    block = 1024
    rmsnorm_kernel[(rows,)](x, weight, out, cols, eps, x.stride(0), x.stride(1), BLOCK=block)
    return out

# %% exercise="rmsnorm_forward" wrong="float32_result"
"""The result is float32 for float16 input."""
@triton.jit
def rmsnorm_kernel(x_ptr, weight_ptr, out_ptr, n_cols, eps, x_row, x_col, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    cols = tl.arange(0, BLOCK)
    inside = cols < n_cols
    x = tl.load(x_ptr + row * x_row + cols * x_col, mask=inside, other=0.0).to(tl.float32)
    mean_square = tl.sum(x * x, axis=0) / n_cols
    factor = 1.0 / tl.sqrt(mean_square + eps)
    weight = tl.load(weight_ptr + cols, mask=inside, other=0.0).to(tl.float32)
    y = x * factor * weight
    tl.store(out_ptr + row * n_cols + cols, y.to(out_ptr.dtype.element_ty), mask=inside)


def rmsnorm_forward(x: Tensor, weight: Tensor, eps: float = 1e-6) -> Tensor:
    rows, cols = x.shape
    out = torch.empty((rows, cols), dtype=torch.float32, device=x.device)
    block = triton.next_power_of_2(cols)
    rmsnorm_kernel[(rows,)](x, weight, out, cols, eps, x.stride(0), x.stride(1), BLOCK=block)
    return out

# %% exercise="rmsnorm_forward" wrong="mean_subtracted"
"""LayerNorm's variance: takes the mean of the row away for the factor."""
@triton.jit
def rmsnorm_kernel(x_ptr, weight_ptr, out_ptr, n_cols, eps, x_row, x_col, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    cols = tl.arange(0, BLOCK)
    inside = cols < n_cols
    x = tl.load(x_ptr + row * x_row + cols * x_col, mask=inside, other=0.0).to(tl.float32)
    centred = tl.where(inside, x - tl.sum(x, axis=0) / n_cols, 0.0)
    mean_square = tl.sum(centred * centred, axis=0) / n_cols
    factor = 1.0 / tl.sqrt(mean_square + eps)
    weight = tl.load(weight_ptr + cols, mask=inside, other=0.0).to(tl.float32)
    y = x * factor * weight
    tl.store(out_ptr + row * n_cols + cols, y.to(out_ptr.dtype.element_ty), mask=inside)


def rmsnorm_forward(x: Tensor, weight: Tensor, eps: float = 1e-6) -> Tensor:
    rows, cols = x.shape
    out = torch.empty((rows, cols), dtype=x.dtype, device=x.device)
    block = triton.next_power_of_2(cols)
    rmsnorm_kernel[(rows,)](x, weight, out, cols, eps, x.stride(0), x.stride(1), BLOCK=block)
    return out

# %% exercise="rmsnorm_backward" wrong="second_term_forgotten"
"""dx without the term through r."""
@triton.jit
def rmsnorm_rows_kernel(
    dy_ptr, x_ptr, weight_ptr, dx_ptr, partial_ptr, n_rows, n_cols, eps,
    dy_row, dy_col, x_row, x_col, BLOCK: tl.constexpr,
):  # fmt: skip
    p = tl.program_id(0)
    cols = tl.arange(0, BLOCK)
    inside = cols < n_cols
    weight = tl.load(weight_ptr + cols, mask=inside, other=0.0).to(tl.float32)
    partial = tl.zeros((BLOCK,), tl.float32)
    for row in range(p, n_rows, tl.num_programs(0)):
        dy = tl.load(dy_ptr + row * dy_row + cols * dy_col, mask=inside, other=0.0).to(tl.float32)
        x = tl.load(x_ptr + row * x_row + cols * x_col, mask=inside, other=0.0).to(tl.float32)
        r = 1.0 / tl.sqrt(tl.sum(x * x, axis=0) / n_cols + eps)
        x_hat = x * r
        g = dy * weight
        inner = tl.sum(g * x_hat, axis=0) / n_cols
        dx = r * g
        tl.store(dx_ptr + row * n_cols + cols, dx.to(dx_ptr.dtype.element_ty), mask=inside)
        partial += dy * x_hat
    tl.store(partial_ptr + p * n_cols + cols, partial, mask=inside)


@triton.jit
def rmsnorm_sum_kernel(partial_ptr, dweight_ptr, n_partial, n_cols, BLOCK: tl.constexpr):
    cols = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = cols < n_cols
    total = tl.zeros((BLOCK,), tl.float32)
    for p in range(n_partial):
        total += tl.load(partial_ptr + p * n_cols + cols, mask=inside, other=0.0)
    tl.store(dweight_ptr + cols, total.to(dweight_ptr.dtype.element_ty), mask=inside)


def rmsnorm_backward(
    dy: Tensor, x: Tensor, weight: Tensor, eps: float = 1e-6, programs: int = 4
) -> tuple[Tensor, Tensor]:
    rows, cols = x.shape
    programs = min(programs, rows)
    dx = torch.empty((rows, cols), dtype=x.dtype, device=x.device)
    dweight = torch.empty((cols,), dtype=x.dtype, device=x.device)
    partial = torch.empty((programs, cols), dtype=torch.float32, device=x.device)
    rmsnorm_rows_kernel[(programs,)](
        dy, x, weight, dx, partial, rows, cols, eps,
        dy.stride(0), dy.stride(1), x.stride(0), x.stride(1), BLOCK=triton.next_power_of_2(cols),
    )  # fmt: skip
    rmsnorm_sum_kernel[(triton.cdiv(cols, 128),)](partial, dweight, programs, cols, BLOCK=128)
    return dx, dweight

# %% exercise="rmsnorm_backward" wrong="inner_over_block"
"""The inner mean divides by BLOCK."""
@triton.jit
def rmsnorm_rows_kernel(
    dy_ptr, x_ptr, weight_ptr, dx_ptr, partial_ptr, n_rows, n_cols, eps,
    dy_row, dy_col, x_row, x_col, BLOCK: tl.constexpr,
):  # fmt: skip
    p = tl.program_id(0)
    cols = tl.arange(0, BLOCK)
    inside = cols < n_cols
    weight = tl.load(weight_ptr + cols, mask=inside, other=0.0).to(tl.float32)
    partial = tl.zeros((BLOCK,), tl.float32)
    for row in range(p, n_rows, tl.num_programs(0)):
        dy = tl.load(dy_ptr + row * dy_row + cols * dy_col, mask=inside, other=0.0).to(tl.float32)
        x = tl.load(x_ptr + row * x_row + cols * x_col, mask=inside, other=0.0).to(tl.float32)
        r = 1.0 / tl.sqrt(tl.sum(x * x, axis=0) / n_cols + eps)
        x_hat = x * r
        g = dy * weight
        inner = tl.sum(g * x_hat, axis=0) / BLOCK
        dx = r * (g - x_hat * inner)
        tl.store(dx_ptr + row * n_cols + cols, dx.to(dx_ptr.dtype.element_ty), mask=inside)
        partial += dy * x_hat
    tl.store(partial_ptr + p * n_cols + cols, partial, mask=inside)


@triton.jit
def rmsnorm_sum_kernel(partial_ptr, dweight_ptr, n_partial, n_cols, BLOCK: tl.constexpr):
    cols = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = cols < n_cols
    total = tl.zeros((BLOCK,), tl.float32)
    for p in range(n_partial):
        total += tl.load(partial_ptr + p * n_cols + cols, mask=inside, other=0.0)
    tl.store(dweight_ptr + cols, total.to(dweight_ptr.dtype.element_ty), mask=inside)


def rmsnorm_backward(
    dy: Tensor, x: Tensor, weight: Tensor, eps: float = 1e-6, programs: int = 4
) -> tuple[Tensor, Tensor]:
    rows, cols = x.shape
    programs = min(programs, rows)
    dx = torch.empty((rows, cols), dtype=x.dtype, device=x.device)
    dweight = torch.empty((cols,), dtype=x.dtype, device=x.device)
    partial = torch.empty((programs, cols), dtype=torch.float32, device=x.device)
    rmsnorm_rows_kernel[(programs,)](
        dy, x, weight, dx, partial, rows, cols, eps,
        dy.stride(0), dy.stride(1), x.stride(0), x.stride(1), BLOCK=triton.next_power_of_2(cols),
    )  # fmt: skip
    rmsnorm_sum_kernel[(triton.cdiv(cols, 128),)](partial, dweight, programs, cols, BLOCK=128)
    return dx, dweight

# %% exercise="rmsnorm_backward" wrong="inner_without_weight"
"""The inner sum takes dy instead of weight * dy."""
@triton.jit
def rmsnorm_rows_kernel(
    dy_ptr, x_ptr, weight_ptr, dx_ptr, partial_ptr, n_rows, n_cols, eps,
    dy_row, dy_col, x_row, x_col, BLOCK: tl.constexpr,
):  # fmt: skip
    p = tl.program_id(0)
    cols = tl.arange(0, BLOCK)
    inside = cols < n_cols
    weight = tl.load(weight_ptr + cols, mask=inside, other=0.0).to(tl.float32)
    partial = tl.zeros((BLOCK,), tl.float32)
    for row in range(p, n_rows, tl.num_programs(0)):
        dy = tl.load(dy_ptr + row * dy_row + cols * dy_col, mask=inside, other=0.0).to(tl.float32)
        x = tl.load(x_ptr + row * x_row + cols * x_col, mask=inside, other=0.0).to(tl.float32)
        r = 1.0 / tl.sqrt(tl.sum(x * x, axis=0) / n_cols + eps)
        x_hat = x * r
        g = dy * weight
        inner = tl.sum(dy * x_hat, axis=0) / n_cols
        dx = r * (g - x_hat * inner)
        tl.store(dx_ptr + row * n_cols + cols, dx.to(dx_ptr.dtype.element_ty), mask=inside)
        partial += dy * x_hat
    tl.store(partial_ptr + p * n_cols + cols, partial, mask=inside)


@triton.jit
def rmsnorm_sum_kernel(partial_ptr, dweight_ptr, n_partial, n_cols, BLOCK: tl.constexpr):
    cols = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = cols < n_cols
    total = tl.zeros((BLOCK,), tl.float32)
    for p in range(n_partial):
        total += tl.load(partial_ptr + p * n_cols + cols, mask=inside, other=0.0)
    tl.store(dweight_ptr + cols, total.to(dweight_ptr.dtype.element_ty), mask=inside)


def rmsnorm_backward(
    dy: Tensor, x: Tensor, weight: Tensor, eps: float = 1e-6, programs: int = 4
) -> tuple[Tensor, Tensor]:
    rows, cols = x.shape
    programs = min(programs, rows)
    dx = torch.empty((rows, cols), dtype=x.dtype, device=x.device)
    dweight = torch.empty((cols,), dtype=x.dtype, device=x.device)
    partial = torch.empty((programs, cols), dtype=torch.float32, device=x.device)
    rmsnorm_rows_kernel[(programs,)](
        dy, x, weight, dx, partial, rows, cols, eps,
        dy.stride(0), dy.stride(1), x.stride(0), x.stride(1), BLOCK=triton.next_power_of_2(cols),
    )  # fmt: skip
    rmsnorm_sum_kernel[(triton.cdiv(cols, 128),)](partial, dweight, programs, cols, BLOCK=128)
    return dx, dweight

# %% exercise="rmsnorm_backward" wrong="dweight_of_raw_x"
"""dweight sums dy * x, not dy * x_hat."""
@triton.jit
def rmsnorm_rows_kernel(
    dy_ptr, x_ptr, weight_ptr, dx_ptr, partial_ptr, n_rows, n_cols, eps,
    dy_row, dy_col, x_row, x_col, BLOCK: tl.constexpr,
):  # fmt: skip
    p = tl.program_id(0)
    cols = tl.arange(0, BLOCK)
    inside = cols < n_cols
    weight = tl.load(weight_ptr + cols, mask=inside, other=0.0).to(tl.float32)
    partial = tl.zeros((BLOCK,), tl.float32)
    for row in range(p, n_rows, tl.num_programs(0)):
        dy = tl.load(dy_ptr + row * dy_row + cols * dy_col, mask=inside, other=0.0).to(tl.float32)
        x = tl.load(x_ptr + row * x_row + cols * x_col, mask=inside, other=0.0).to(tl.float32)
        r = 1.0 / tl.sqrt(tl.sum(x * x, axis=0) / n_cols + eps)
        x_hat = x * r
        g = dy * weight
        inner = tl.sum(g * x_hat, axis=0) / n_cols
        dx = r * (g - x_hat * inner)
        tl.store(dx_ptr + row * n_cols + cols, dx.to(dx_ptr.dtype.element_ty), mask=inside)
        partial += dy * x
    tl.store(partial_ptr + p * n_cols + cols, partial, mask=inside)


@triton.jit
def rmsnorm_sum_kernel(partial_ptr, dweight_ptr, n_partial, n_cols, BLOCK: tl.constexpr):
    cols = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = cols < n_cols
    total = tl.zeros((BLOCK,), tl.float32)
    for p in range(n_partial):
        total += tl.load(partial_ptr + p * n_cols + cols, mask=inside, other=0.0)
    tl.store(dweight_ptr + cols, total.to(dweight_ptr.dtype.element_ty), mask=inside)


def rmsnorm_backward(
    dy: Tensor, x: Tensor, weight: Tensor, eps: float = 1e-6, programs: int = 4
) -> tuple[Tensor, Tensor]:
    rows, cols = x.shape
    programs = min(programs, rows)
    dx = torch.empty((rows, cols), dtype=x.dtype, device=x.device)
    dweight = torch.empty((cols,), dtype=x.dtype, device=x.device)
    partial = torch.empty((programs, cols), dtype=torch.float32, device=x.device)
    rmsnorm_rows_kernel[(programs,)](
        dy, x, weight, dx, partial, rows, cols, eps,
        dy.stride(0), dy.stride(1), x.stride(0), x.stride(1), BLOCK=triton.next_power_of_2(cols),
    )  # fmt: skip
    rmsnorm_sum_kernel[(triton.cdiv(cols, 128),)](partial, dweight, programs, cols, BLOCK=128)
    return dx, dweight

# %% exercise="rmsnorm_backward" wrong="dweight_of_g"
"""dweight sums weight * dy * x_hat."""
@triton.jit
def rmsnorm_rows_kernel(
    dy_ptr, x_ptr, weight_ptr, dx_ptr, partial_ptr, n_rows, n_cols, eps,
    dy_row, dy_col, x_row, x_col, BLOCK: tl.constexpr,
):  # fmt: skip
    p = tl.program_id(0)
    cols = tl.arange(0, BLOCK)
    inside = cols < n_cols
    weight = tl.load(weight_ptr + cols, mask=inside, other=0.0).to(tl.float32)
    partial = tl.zeros((BLOCK,), tl.float32)
    for row in range(p, n_rows, tl.num_programs(0)):
        dy = tl.load(dy_ptr + row * dy_row + cols * dy_col, mask=inside, other=0.0).to(tl.float32)
        x = tl.load(x_ptr + row * x_row + cols * x_col, mask=inside, other=0.0).to(tl.float32)
        r = 1.0 / tl.sqrt(tl.sum(x * x, axis=0) / n_cols + eps)
        x_hat = x * r
        g = dy * weight
        inner = tl.sum(g * x_hat, axis=0) / n_cols
        dx = r * (g - x_hat * inner)
        tl.store(dx_ptr + row * n_cols + cols, dx.to(dx_ptr.dtype.element_ty), mask=inside)
        partial += g * x_hat
    tl.store(partial_ptr + p * n_cols + cols, partial, mask=inside)


@triton.jit
def rmsnorm_sum_kernel(partial_ptr, dweight_ptr, n_partial, n_cols, BLOCK: tl.constexpr):
    cols = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = cols < n_cols
    total = tl.zeros((BLOCK,), tl.float32)
    for p in range(n_partial):
        total += tl.load(partial_ptr + p * n_cols + cols, mask=inside, other=0.0)
    tl.store(dweight_ptr + cols, total.to(dweight_ptr.dtype.element_ty), mask=inside)


def rmsnorm_backward(
    dy: Tensor, x: Tensor, weight: Tensor, eps: float = 1e-6, programs: int = 4
) -> tuple[Tensor, Tensor]:
    rows, cols = x.shape
    programs = min(programs, rows)
    dx = torch.empty((rows, cols), dtype=x.dtype, device=x.device)
    dweight = torch.empty((cols,), dtype=x.dtype, device=x.device)
    partial = torch.empty((programs, cols), dtype=torch.float32, device=x.device)
    rmsnorm_rows_kernel[(programs,)](
        dy, x, weight, dx, partial, rows, cols, eps,
        dy.stride(0), dy.stride(1), x.stride(0), x.stride(1), BLOCK=triton.next_power_of_2(cols),
    )  # fmt: skip
    rmsnorm_sum_kernel[(triton.cdiv(cols, 128),)](partial, dweight, programs, cols, BLOCK=128)
    return dx, dweight

# %% exercise="rmsnorm_backward" wrong="plus_sign"
"""The second term is added, not taken away."""
@triton.jit
def rmsnorm_rows_kernel(
    dy_ptr, x_ptr, weight_ptr, dx_ptr, partial_ptr, n_rows, n_cols, eps,
    dy_row, dy_col, x_row, x_col, BLOCK: tl.constexpr,
):  # fmt: skip
    p = tl.program_id(0)
    cols = tl.arange(0, BLOCK)
    inside = cols < n_cols
    weight = tl.load(weight_ptr + cols, mask=inside, other=0.0).to(tl.float32)
    partial = tl.zeros((BLOCK,), tl.float32)
    for row in range(p, n_rows, tl.num_programs(0)):
        dy = tl.load(dy_ptr + row * dy_row + cols * dy_col, mask=inside, other=0.0).to(tl.float32)
        x = tl.load(x_ptr + row * x_row + cols * x_col, mask=inside, other=0.0).to(tl.float32)
        r = 1.0 / tl.sqrt(tl.sum(x * x, axis=0) / n_cols + eps)
        x_hat = x * r
        g = dy * weight
        inner = tl.sum(g * x_hat, axis=0) / n_cols
        dx = r * (g + x_hat * inner)
        tl.store(dx_ptr + row * n_cols + cols, dx.to(dx_ptr.dtype.element_ty), mask=inside)
        partial += dy * x_hat
    tl.store(partial_ptr + p * n_cols + cols, partial, mask=inside)


@triton.jit
def rmsnorm_sum_kernel(partial_ptr, dweight_ptr, n_partial, n_cols, BLOCK: tl.constexpr):
    cols = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = cols < n_cols
    total = tl.zeros((BLOCK,), tl.float32)
    for p in range(n_partial):
        total += tl.load(partial_ptr + p * n_cols + cols, mask=inside, other=0.0)
    tl.store(dweight_ptr + cols, total.to(dweight_ptr.dtype.element_ty), mask=inside)


def rmsnorm_backward(
    dy: Tensor, x: Tensor, weight: Tensor, eps: float = 1e-6, programs: int = 4
) -> tuple[Tensor, Tensor]:
    rows, cols = x.shape
    programs = min(programs, rows)
    dx = torch.empty((rows, cols), dtype=x.dtype, device=x.device)
    dweight = torch.empty((cols,), dtype=x.dtype, device=x.device)
    partial = torch.empty((programs, cols), dtype=torch.float32, device=x.device)
    rmsnorm_rows_kernel[(programs,)](
        dy, x, weight, dx, partial, rows, cols, eps,
        dy.stride(0), dy.stride(1), x.stride(0), x.stride(1), BLOCK=triton.next_power_of_2(cols),
    )  # fmt: skip
    rmsnorm_sum_kernel[(triton.cdiv(cols, 128),)](partial, dweight, programs, cols, BLOCK=128)
    return dx, dweight

# %% exercise="rmsnorm_backward" wrong="r_missing_in_x_hat"
"""The second term with r once: x * mean(g * x) * r, one x is not normalised."""
@triton.jit
def rmsnorm_rows_kernel(
    dy_ptr, x_ptr, weight_ptr, dx_ptr, partial_ptr, n_rows, n_cols, eps,
    dy_row, dy_col, x_row, x_col, BLOCK: tl.constexpr,
):  # fmt: skip
    p = tl.program_id(0)
    cols = tl.arange(0, BLOCK)
    inside = cols < n_cols
    weight = tl.load(weight_ptr + cols, mask=inside, other=0.0).to(tl.float32)
    partial = tl.zeros((BLOCK,), tl.float32)
    for row in range(p, n_rows, tl.num_programs(0)):
        dy = tl.load(dy_ptr + row * dy_row + cols * dy_col, mask=inside, other=0.0).to(tl.float32)
        x = tl.load(x_ptr + row * x_row + cols * x_col, mask=inside, other=0.0).to(tl.float32)
        r = 1.0 / tl.sqrt(tl.sum(x * x, axis=0) / n_cols + eps)
        x_hat = x * r
        g = dy * weight
        inner = tl.sum(g * x_hat, axis=0) / n_cols
        dx = r * (g - x * inner)
        tl.store(dx_ptr + row * n_cols + cols, dx.to(dx_ptr.dtype.element_ty), mask=inside)
        partial += dy * x_hat
    tl.store(partial_ptr + p * n_cols + cols, partial, mask=inside)


@triton.jit
def rmsnorm_sum_kernel(partial_ptr, dweight_ptr, n_partial, n_cols, BLOCK: tl.constexpr):
    cols = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = cols < n_cols
    total = tl.zeros((BLOCK,), tl.float32)
    for p in range(n_partial):
        total += tl.load(partial_ptr + p * n_cols + cols, mask=inside, other=0.0)
    tl.store(dweight_ptr + cols, total.to(dweight_ptr.dtype.element_ty), mask=inside)


def rmsnorm_backward(
    dy: Tensor, x: Tensor, weight: Tensor, eps: float = 1e-6, programs: int = 4
) -> tuple[Tensor, Tensor]:
    rows, cols = x.shape
    programs = min(programs, rows)
    dx = torch.empty((rows, cols), dtype=x.dtype, device=x.device)
    dweight = torch.empty((cols,), dtype=x.dtype, device=x.device)
    partial = torch.empty((programs, cols), dtype=torch.float32, device=x.device)
    rmsnorm_rows_kernel[(programs,)](
        dy, x, weight, dx, partial, rows, cols, eps,
        dy.stride(0), dy.stride(1), x.stride(0), x.stride(1), BLOCK=triton.next_power_of_2(cols),
    )  # fmt: skip
    rmsnorm_sum_kernel[(triton.cdiv(cols, 128),)](partial, dweight, programs, cols, BLOCK=128)
    return dx, dweight

# %% exercise="rmsnorm_backward" wrong="partials_in_half"
"""The partial sums are kept in x's dtype: rounded twice for float16."""
@triton.jit
def rmsnorm_rows_kernel(
    dy_ptr, x_ptr, weight_ptr, dx_ptr, partial_ptr, n_rows, n_cols, eps,
    dy_row, dy_col, x_row, x_col, BLOCK: tl.constexpr,
):  # fmt: skip
    p = tl.program_id(0)
    cols = tl.arange(0, BLOCK)
    inside = cols < n_cols
    weight = tl.load(weight_ptr + cols, mask=inside, other=0.0).to(tl.float32)
    partial = tl.zeros((BLOCK,), tl.float32)
    for row in range(p, n_rows, tl.num_programs(0)):
        dy = tl.load(dy_ptr + row * dy_row + cols * dy_col, mask=inside, other=0.0).to(tl.float32)
        x = tl.load(x_ptr + row * x_row + cols * x_col, mask=inside, other=0.0).to(tl.float32)
        r = 1.0 / tl.sqrt(tl.sum(x * x, axis=0) / n_cols + eps)
        x_hat = x * r
        g = dy * weight
        inner = tl.sum(g * x_hat, axis=0) / n_cols
        dx = r * (g - x_hat * inner)
        tl.store(dx_ptr + row * n_cols + cols, dx.to(dx_ptr.dtype.element_ty), mask=inside)
        partial += dy * x_hat
    tl.store(partial_ptr + p * n_cols + cols, partial, mask=inside)


@triton.jit
def rmsnorm_sum_kernel(partial_ptr, dweight_ptr, n_partial, n_cols, BLOCK: tl.constexpr):
    cols = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = cols < n_cols
    total = tl.zeros((BLOCK,), tl.float32)
    for p in range(n_partial):
        total += tl.load(partial_ptr + p * n_cols + cols, mask=inside, other=0.0)
    tl.store(dweight_ptr + cols, total.to(dweight_ptr.dtype.element_ty), mask=inside)


def rmsnorm_backward(
    dy: Tensor, x: Tensor, weight: Tensor, eps: float = 1e-6, programs: int = 4
) -> tuple[Tensor, Tensor]:
    rows, cols = x.shape
    programs = min(programs, rows)
    dx = torch.empty((rows, cols), dtype=x.dtype, device=x.device)
    dweight = torch.empty((cols,), dtype=x.dtype, device=x.device)
    partial = torch.empty((programs, cols), dtype=x.dtype, device=x.device)
    rmsnorm_rows_kernel[(programs,)](
        dy, x, weight, dx, partial, rows, cols, eps,
        dy.stride(0), dy.stride(1), x.stride(0), x.stride(1), BLOCK=triton.next_power_of_2(cols),
    )  # fmt: skip
    rmsnorm_sum_kernel[(triton.cdiv(cols, 128),)](partial, dweight, programs, cols, BLOCK=128)
    return dx, dweight

# %% exercise="rmsnorm_backward" wrong="tail_rows_dropped"
"""Each program takes n_rows // P rows: the rest is left out when P does not divide R."""
@triton.jit
def rmsnorm_rows_kernel(
    dy_ptr, x_ptr, weight_ptr, dx_ptr, partial_ptr, n_rows, n_cols, eps,
    dy_row, dy_col, x_row, x_col, BLOCK: tl.constexpr,
):  # fmt: skip
    p = tl.program_id(0)
    cols = tl.arange(0, BLOCK)
    inside = cols < n_cols
    weight = tl.load(weight_ptr + cols, mask=inside, other=0.0).to(tl.float32)
    partial = tl.zeros((BLOCK,), tl.float32)
    share = n_rows // tl.num_programs(0)
    for row in range(p * share, (p + 1) * share):
        dy = tl.load(dy_ptr + row * dy_row + cols * dy_col, mask=inside, other=0.0).to(tl.float32)
        x = tl.load(x_ptr + row * x_row + cols * x_col, mask=inside, other=0.0).to(tl.float32)
        r = 1.0 / tl.sqrt(tl.sum(x * x, axis=0) / n_cols + eps)
        x_hat = x * r
        g = dy * weight
        inner = tl.sum(g * x_hat, axis=0) / n_cols
        dx = r * (g - x_hat * inner)
        tl.store(dx_ptr + row * n_cols + cols, dx.to(dx_ptr.dtype.element_ty), mask=inside)
        partial += dy * x_hat
    tl.store(partial_ptr + p * n_cols + cols, partial, mask=inside)


@triton.jit
def rmsnorm_sum_kernel(partial_ptr, dweight_ptr, n_partial, n_cols, BLOCK: tl.constexpr):
    cols = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = cols < n_cols
    total = tl.zeros((BLOCK,), tl.float32)
    for p in range(n_partial):
        total += tl.load(partial_ptr + p * n_cols + cols, mask=inside, other=0.0)
    tl.store(dweight_ptr + cols, total.to(dweight_ptr.dtype.element_ty), mask=inside)


def rmsnorm_backward(
    dy: Tensor, x: Tensor, weight: Tensor, eps: float = 1e-6, programs: int = 4
) -> tuple[Tensor, Tensor]:
    rows, cols = x.shape
    programs = min(programs, rows)
    dx = torch.empty((rows, cols), dtype=x.dtype, device=x.device)
    dweight = torch.empty((cols,), dtype=x.dtype, device=x.device)
    partial = torch.empty((programs, cols), dtype=torch.float32, device=x.device)
    rmsnorm_rows_kernel[(programs,)](
        dy, x, weight, dx, partial, rows, cols, eps,
        dy.stride(0), dy.stride(1), x.stride(0), x.stride(1), BLOCK=triton.next_power_of_2(cols),
    )  # fmt: skip
    rmsnorm_sum_kernel[(triton.cdiv(cols, 128),)](partial, dweight, programs, cols, BLOCK=128)
    return dx, dweight

# %% exercise="rmsnorm_backward" wrong="strides_of_x_for_dy"
"""Reads dy with the strides of x."""
@triton.jit
def rmsnorm_rows_kernel(
    dy_ptr, x_ptr, weight_ptr, dx_ptr, partial_ptr, n_rows, n_cols, eps,
    dy_row, dy_col, x_row, x_col, BLOCK: tl.constexpr,
):  # fmt: skip
    p = tl.program_id(0)
    cols = tl.arange(0, BLOCK)
    inside = cols < n_cols
    weight = tl.load(weight_ptr + cols, mask=inside, other=0.0).to(tl.float32)
    partial = tl.zeros((BLOCK,), tl.float32)
    for row in range(p, n_rows, tl.num_programs(0)):
        dy = tl.load(dy_ptr + row * dy_row + cols * dy_col, mask=inside, other=0.0).to(tl.float32)
        x = tl.load(x_ptr + row * x_row + cols * x_col, mask=inside, other=0.0).to(tl.float32)
        r = 1.0 / tl.sqrt(tl.sum(x * x, axis=0) / n_cols + eps)
        x_hat = x * r
        g = dy * weight
        inner = tl.sum(g * x_hat, axis=0) / n_cols
        dx = r * (g - x_hat * inner)
        tl.store(dx_ptr + row * n_cols + cols, dx.to(dx_ptr.dtype.element_ty), mask=inside)
        partial += dy * x_hat
    tl.store(partial_ptr + p * n_cols + cols, partial, mask=inside)


@triton.jit
def rmsnorm_sum_kernel(partial_ptr, dweight_ptr, n_partial, n_cols, BLOCK: tl.constexpr):
    cols = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = cols < n_cols
    total = tl.zeros((BLOCK,), tl.float32)
    for p in range(n_partial):
        total += tl.load(partial_ptr + p * n_cols + cols, mask=inside, other=0.0)
    tl.store(dweight_ptr + cols, total.to(dweight_ptr.dtype.element_ty), mask=inside)


def rmsnorm_backward(
    dy: Tensor, x: Tensor, weight: Tensor, eps: float = 1e-6, programs: int = 4
) -> tuple[Tensor, Tensor]:
    rows, cols = x.shape
    programs = min(programs, rows)
    dx = torch.empty((rows, cols), dtype=x.dtype, device=x.device)
    dweight = torch.empty((cols,), dtype=x.dtype, device=x.device)
    partial = torch.empty((programs, cols), dtype=torch.float32, device=x.device)
    rmsnorm_rows_kernel[(programs,)](
        dy, x, weight, dx, partial, rows, cols, eps,
        x.stride(0), x.stride(1), x.stride(0), x.stride(1), BLOCK=triton.next_power_of_2(cols),
    )  # fmt: skip
    rmsnorm_sum_kernel[(triton.cdiv(cols, 128),)](partial, dweight, programs, cols, BLOCK=128)
    return dx, dweight

# %% exercise="rmsnorm_backward" wrong="zeros_filled"
"""torch.zeros for the partial sums: a third launch."""
@triton.jit
def rmsnorm_rows_kernel(
    dy_ptr, x_ptr, weight_ptr, dx_ptr, partial_ptr, n_rows, n_cols, eps,
    dy_row, dy_col, x_row, x_col, BLOCK: tl.constexpr,
):  # fmt: skip
    p = tl.program_id(0)
    cols = tl.arange(0, BLOCK)
    inside = cols < n_cols
    weight = tl.load(weight_ptr + cols, mask=inside, other=0.0).to(tl.float32)
    partial = tl.zeros((BLOCK,), tl.float32)
    for row in range(p, n_rows, tl.num_programs(0)):
        dy = tl.load(dy_ptr + row * dy_row + cols * dy_col, mask=inside, other=0.0).to(tl.float32)
        x = tl.load(x_ptr + row * x_row + cols * x_col, mask=inside, other=0.0).to(tl.float32)
        r = 1.0 / tl.sqrt(tl.sum(x * x, axis=0) / n_cols + eps)
        x_hat = x * r
        g = dy * weight
        inner = tl.sum(g * x_hat, axis=0) / n_cols
        dx = r * (g - x_hat * inner)
        tl.store(dx_ptr + row * n_cols + cols, dx.to(dx_ptr.dtype.element_ty), mask=inside)
        partial += dy * x_hat
    tl.store(partial_ptr + p * n_cols + cols, partial, mask=inside)


@triton.jit
def rmsnorm_sum_kernel(partial_ptr, dweight_ptr, n_partial, n_cols, BLOCK: tl.constexpr):
    cols = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = cols < n_cols
    total = tl.zeros((BLOCK,), tl.float32)
    for p in range(n_partial):
        total += tl.load(partial_ptr + p * n_cols + cols, mask=inside, other=0.0)
    tl.store(dweight_ptr + cols, total.to(dweight_ptr.dtype.element_ty), mask=inside)


def rmsnorm_backward(
    dy: Tensor, x: Tensor, weight: Tensor, eps: float = 1e-6, programs: int = 4
) -> tuple[Tensor, Tensor]:
    rows, cols = x.shape
    programs = min(programs, rows)
    dx = torch.empty((rows, cols), dtype=x.dtype, device=x.device)
    dweight = torch.empty((cols,), dtype=x.dtype, device=x.device)
    partial = torch.zeros((programs, cols), dtype=torch.float32, device=x.device)
    rmsnorm_rows_kernel[(programs,)](
        dy, x, weight, dx, partial, rows, cols, eps,
        dy.stride(0), dy.stride(1), x.stride(0), x.stride(1), BLOCK=triton.next_power_of_2(cols),
    )  # fmt: skip
    rmsnorm_sum_kernel[(triton.cdiv(cols, 128),)](partial, dweight, programs, cols, BLOCK=128)
    return dx, dweight

# %% exercise="rmsnorm_backward" wrong="float32_dweight"
"""dweight is float32 for half inputs."""
@triton.jit
def rmsnorm_rows_kernel(
    dy_ptr, x_ptr, weight_ptr, dx_ptr, partial_ptr, n_rows, n_cols, eps,
    dy_row, dy_col, x_row, x_col, BLOCK: tl.constexpr,
):  # fmt: skip
    p = tl.program_id(0)
    cols = tl.arange(0, BLOCK)
    inside = cols < n_cols
    weight = tl.load(weight_ptr + cols, mask=inside, other=0.0).to(tl.float32)
    partial = tl.zeros((BLOCK,), tl.float32)
    for row in range(p, n_rows, tl.num_programs(0)):
        dy = tl.load(dy_ptr + row * dy_row + cols * dy_col, mask=inside, other=0.0).to(tl.float32)
        x = tl.load(x_ptr + row * x_row + cols * x_col, mask=inside, other=0.0).to(tl.float32)
        r = 1.0 / tl.sqrt(tl.sum(x * x, axis=0) / n_cols + eps)
        x_hat = x * r
        g = dy * weight
        inner = tl.sum(g * x_hat, axis=0) / n_cols
        dx = r * (g - x_hat * inner)
        tl.store(dx_ptr + row * n_cols + cols, dx.to(dx_ptr.dtype.element_ty), mask=inside)
        partial += dy * x_hat
    tl.store(partial_ptr + p * n_cols + cols, partial, mask=inside)


@triton.jit
def rmsnorm_sum_kernel(partial_ptr, dweight_ptr, n_partial, n_cols, BLOCK: tl.constexpr):
    cols = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = cols < n_cols
    total = tl.zeros((BLOCK,), tl.float32)
    for p in range(n_partial):
        total += tl.load(partial_ptr + p * n_cols + cols, mask=inside, other=0.0)
    tl.store(dweight_ptr + cols, total.to(dweight_ptr.dtype.element_ty), mask=inside)


def rmsnorm_backward(
    dy: Tensor, x: Tensor, weight: Tensor, eps: float = 1e-6, programs: int = 4
) -> tuple[Tensor, Tensor]:
    rows, cols = x.shape
    programs = min(programs, rows)
    dx = torch.empty((rows, cols), dtype=x.dtype, device=x.device)
    dweight = torch.empty((cols,), dtype=torch.float32, device=x.device)
    partial = torch.empty((programs, cols), dtype=torch.float32, device=x.device)
    rmsnorm_rows_kernel[(programs,)](
        dy, x, weight, dx, partial, rows, cols, eps,
        dy.stride(0), dy.stride(1), x.stride(0), x.stride(1), BLOCK=triton.next_power_of_2(cols),
    )  # fmt: skip
    rmsnorm_sum_kernel[(triton.cdiv(cols, 128),)](partial, dweight, programs, cols, BLOCK=128)
    return dx, dweight

# %% exercise="rmsnorm_backward" wrong="empty_like_x"
"""dx as torch.empty_like(x): not contiguous for a transposed x, and filled in the wrong order."""
@triton.jit
def rmsnorm_rows_kernel(
    dy_ptr, x_ptr, weight_ptr, dx_ptr, partial_ptr, n_rows, n_cols, eps,
    dy_row, dy_col, x_row, x_col, BLOCK: tl.constexpr,
):  # fmt: skip
    p = tl.program_id(0)
    cols = tl.arange(0, BLOCK)
    inside = cols < n_cols
    weight = tl.load(weight_ptr + cols, mask=inside, other=0.0).to(tl.float32)
    partial = tl.zeros((BLOCK,), tl.float32)
    for row in range(p, n_rows, tl.num_programs(0)):
        dy = tl.load(dy_ptr + row * dy_row + cols * dy_col, mask=inside, other=0.0).to(tl.float32)
        x = tl.load(x_ptr + row * x_row + cols * x_col, mask=inside, other=0.0).to(tl.float32)
        r = 1.0 / tl.sqrt(tl.sum(x * x, axis=0) / n_cols + eps)
        x_hat = x * r
        g = dy * weight
        inner = tl.sum(g * x_hat, axis=0) / n_cols
        dx = r * (g - x_hat * inner)
        tl.store(dx_ptr + row * n_cols + cols, dx.to(dx_ptr.dtype.element_ty), mask=inside)
        partial += dy * x_hat
    tl.store(partial_ptr + p * n_cols + cols, partial, mask=inside)


@triton.jit
def rmsnorm_sum_kernel(partial_ptr, dweight_ptr, n_partial, n_cols, BLOCK: tl.constexpr):
    cols = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = cols < n_cols
    total = tl.zeros((BLOCK,), tl.float32)
    for p in range(n_partial):
        total += tl.load(partial_ptr + p * n_cols + cols, mask=inside, other=0.0)
    tl.store(dweight_ptr + cols, total.to(dweight_ptr.dtype.element_ty), mask=inside)


def rmsnorm_backward(
    dy: Tensor, x: Tensor, weight: Tensor, eps: float = 1e-6, programs: int = 4
) -> tuple[Tensor, Tensor]:
    rows, cols = x.shape
    programs = min(programs, rows)
    dx = torch.empty_like(x)
    dweight = torch.empty((cols,), dtype=x.dtype, device=x.device)
    partial = torch.empty((programs, cols), dtype=torch.float32, device=x.device)
    rmsnorm_rows_kernel[(programs,)](
        dy, x, weight, dx, partial, rows, cols, eps,
        dy.stride(0), dy.stride(1), x.stride(0), x.stride(1), BLOCK=triton.next_power_of_2(cols),
    )  # fmt: skip
    rmsnorm_sum_kernel[(triton.cdiv(cols, 128),)](partial, dweight, programs, cols, BLOCK=128)
    return dx, dweight

# %% exercise="rmsnorm_backward" wrong="last_partial_forgotten"
"""The second kernel stops before the last partial sum."""
@triton.jit
def rmsnorm_rows_kernel(
    dy_ptr, x_ptr, weight_ptr, dx_ptr, partial_ptr, n_rows, n_cols, eps,
    dy_row, dy_col, x_row, x_col, BLOCK: tl.constexpr,
):  # fmt: skip
    p = tl.program_id(0)
    cols = tl.arange(0, BLOCK)
    inside = cols < n_cols
    weight = tl.load(weight_ptr + cols, mask=inside, other=0.0).to(tl.float32)
    partial = tl.zeros((BLOCK,), tl.float32)
    for row in range(p, n_rows, tl.num_programs(0)):
        dy = tl.load(dy_ptr + row * dy_row + cols * dy_col, mask=inside, other=0.0).to(tl.float32)
        x = tl.load(x_ptr + row * x_row + cols * x_col, mask=inside, other=0.0).to(tl.float32)
        r = 1.0 / tl.sqrt(tl.sum(x * x, axis=0) / n_cols + eps)
        x_hat = x * r
        g = dy * weight
        inner = tl.sum(g * x_hat, axis=0) / n_cols
        dx = r * (g - x_hat * inner)
        tl.store(dx_ptr + row * n_cols + cols, dx.to(dx_ptr.dtype.element_ty), mask=inside)
        partial += dy * x_hat
    tl.store(partial_ptr + p * n_cols + cols, partial, mask=inside)


@triton.jit
def rmsnorm_sum_kernel(partial_ptr, dweight_ptr, n_partial, n_cols, BLOCK: tl.constexpr):
    cols = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = cols < n_cols
    total = tl.zeros((BLOCK,), tl.float32)
    for p in range(n_partial - 1):
        total += tl.load(partial_ptr + p * n_cols + cols, mask=inside, other=0.0)
    tl.store(dweight_ptr + cols, total.to(dweight_ptr.dtype.element_ty), mask=inside)


def rmsnorm_backward(
    dy: Tensor, x: Tensor, weight: Tensor, eps: float = 1e-6, programs: int = 4
) -> tuple[Tensor, Tensor]:
    rows, cols = x.shape
    programs = min(programs, rows)
    dx = torch.empty((rows, cols), dtype=x.dtype, device=x.device)
    dweight = torch.empty((cols,), dtype=x.dtype, device=x.device)
    partial = torch.empty((programs, cols), dtype=torch.float32, device=x.device)
    rmsnorm_rows_kernel[(programs,)](
        dy, x, weight, dx, partial, rows, cols, eps,
        dy.stride(0), dy.stride(1), x.stride(0), x.stride(1), BLOCK=triton.next_power_of_2(cols),
    )  # fmt: skip
    rmsnorm_sum_kernel[(triton.cdiv(cols, 128),)](partial, dweight, programs, cols, BLOCK=128)
    return dx, dweight

# %% exercise="rmsnorm_backward" wrong="rows_read_twice"
"""A first load of x for r and a second one for the rest of the row's work."""
@triton.jit
def rmsnorm_rows_kernel(
    dy_ptr, x_ptr, weight_ptr, dx_ptr, partial_ptr, n_rows, n_cols, eps,
    dy_row, dy_col, x_row, x_col, BLOCK: tl.constexpr,
):  # fmt: skip
    p = tl.program_id(0)
    cols = tl.arange(0, BLOCK)
    inside = cols < n_cols
    weight = tl.load(weight_ptr + cols, mask=inside, other=0.0).to(tl.float32)
    partial = tl.zeros((BLOCK,), tl.float32)
    for row in range(p, n_rows, tl.num_programs(0)):
        dy = tl.load(dy_ptr + row * dy_row + cols * dy_col, mask=inside, other=0.0).to(tl.float32)
        x = tl.load(x_ptr + row * x_row + cols * x_col, mask=inside, other=0.0).to(tl.float32)
        r = 1.0 / tl.sqrt(tl.sum(x * x, axis=0) / n_cols + eps)
        x = tl.load(x_ptr + row * x_row + cols * x_col, mask=inside, other=0.0).to(tl.float32)
        x_hat = x * r
        g = dy * weight
        inner = tl.sum(g * x_hat, axis=0) / n_cols
        dx = r * (g - x_hat * inner)
        tl.store(dx_ptr + row * n_cols + cols, dx.to(dx_ptr.dtype.element_ty), mask=inside)
        partial += dy * x_hat
    tl.store(partial_ptr + p * n_cols + cols, partial, mask=inside)


@triton.jit
def rmsnorm_sum_kernel(partial_ptr, dweight_ptr, n_partial, n_cols, BLOCK: tl.constexpr):
    cols = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = cols < n_cols
    total = tl.zeros((BLOCK,), tl.float32)
    for p in range(n_partial):
        total += tl.load(partial_ptr + p * n_cols + cols, mask=inside, other=0.0)
    tl.store(dweight_ptr + cols, total.to(dweight_ptr.dtype.element_ty), mask=inside)


def rmsnorm_backward(
    dy: Tensor, x: Tensor, weight: Tensor, eps: float = 1e-6, programs: int = 4
) -> tuple[Tensor, Tensor]:
    rows, cols = x.shape
    programs = min(programs, rows)
    dx = torch.empty((rows, cols), dtype=x.dtype, device=x.device)
    dweight = torch.empty((cols,), dtype=x.dtype, device=x.device)
    partial = torch.empty((programs, cols), dtype=torch.float32, device=x.device)
    rmsnorm_rows_kernel[(programs,)](
        dy, x, weight, dx, partial, rows, cols, eps,
        dy.stride(0), dy.stride(1), x.stride(0), x.stride(1), BLOCK=triton.next_power_of_2(cols),
    )  # fmt: skip
    rmsnorm_sum_kernel[(triton.cdiv(cols, 128),)](partial, dweight, programs, cols, BLOCK=128)
    return dx, dweight

# %% exercise="rmsnorm_backward" wrong="eps_forgotten"
"""r without eps: a row of zeros becomes NaN."""
@triton.jit
def rmsnorm_rows_kernel(
    dy_ptr, x_ptr, weight_ptr, dx_ptr, partial_ptr, n_rows, n_cols, eps,
    dy_row, dy_col, x_row, x_col, BLOCK: tl.constexpr,
):  # fmt: skip
    p = tl.program_id(0)
    cols = tl.arange(0, BLOCK)
    inside = cols < n_cols
    weight = tl.load(weight_ptr + cols, mask=inside, other=0.0).to(tl.float32)
    partial = tl.zeros((BLOCK,), tl.float32)
    for row in range(p, n_rows, tl.num_programs(0)):
        dy = tl.load(dy_ptr + row * dy_row + cols * dy_col, mask=inside, other=0.0).to(tl.float32)
        x = tl.load(x_ptr + row * x_row + cols * x_col, mask=inside, other=0.0).to(tl.float32)
        r = 1.0 / tl.sqrt(tl.sum(x * x, axis=0) / n_cols)
        x_hat = x * r
        g = dy * weight
        inner = tl.sum(g * x_hat, axis=0) / n_cols
        dx = r * (g - x_hat * inner)
        tl.store(dx_ptr + row * n_cols + cols, dx.to(dx_ptr.dtype.element_ty), mask=inside)
        partial += dy * x_hat
    tl.store(partial_ptr + p * n_cols + cols, partial, mask=inside)


@triton.jit
def rmsnorm_sum_kernel(partial_ptr, dweight_ptr, n_partial, n_cols, BLOCK: tl.constexpr):
    cols = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = cols < n_cols
    total = tl.zeros((BLOCK,), tl.float32)
    for p in range(n_partial):
        total += tl.load(partial_ptr + p * n_cols + cols, mask=inside, other=0.0)
    tl.store(dweight_ptr + cols, total.to(dweight_ptr.dtype.element_ty), mask=inside)


def rmsnorm_backward(
    dy: Tensor, x: Tensor, weight: Tensor, eps: float = 1e-6, programs: int = 4
) -> tuple[Tensor, Tensor]:
    rows, cols = x.shape
    programs = min(programs, rows)
    dx = torch.empty((rows, cols), dtype=x.dtype, device=x.device)
    dweight = torch.empty((cols,), dtype=x.dtype, device=x.device)
    partial = torch.empty((programs, cols), dtype=torch.float32, device=x.device)
    rmsnorm_rows_kernel[(programs,)](
        dy, x, weight, dx, partial, rows, cols, eps,
        dy.stride(0), dy.stride(1), x.stride(0), x.stride(1), BLOCK=triton.next_power_of_2(cols),
    )  # fmt: skip
    rmsnorm_sum_kernel[(triton.cdiv(cols, 128),)](partial, dweight, programs, cols, BLOCK=128)
    return dx, dweight

# %% exercise="rmsnorm_backward" wrong="atomic_adds"
"""All programs add to one row of sums with atomics (a fill, a kernel, a conversion in half)."""
@triton.jit
def rmsnorm_rows_kernel(
    dy_ptr, x_ptr, weight_ptr, dx_ptr, sums_ptr, n_rows, n_cols, eps,
    dy_row, dy_col, x_row, x_col, BLOCK: tl.constexpr,
):  # fmt: skip
    cols = tl.arange(0, BLOCK)
    inside = cols < n_cols
    weight = tl.load(weight_ptr + cols, mask=inside, other=0.0).to(tl.float32)
    for row in range(tl.program_id(0), n_rows, tl.num_programs(0)):
        dy = tl.load(dy_ptr + row * dy_row + cols * dy_col, mask=inside, other=0.0).to(tl.float32)
        x = tl.load(x_ptr + row * x_row + cols * x_col, mask=inside, other=0.0).to(tl.float32)
        r = 1.0 / tl.sqrt(tl.sum(x * x, axis=0) / n_cols + eps)
        x_hat = x * r
        g = dy * weight
        dx = r * (g - x_hat * tl.sum(g * x_hat, axis=0) / n_cols)
        tl.store(dx_ptr + row * n_cols + cols, dx, mask=inside)
        tl.atomic_add(sums_ptr + cols, dy * x_hat, mask=inside)


@triton.jit
def rmsnorm_sum_kernel(partial_ptr, dweight_ptr, n_partial, n_cols, BLOCK: tl.constexpr):
    pass


def rmsnorm_backward(
    dy: Tensor, x: Tensor, weight: Tensor, eps: float = 1e-6, programs: int = 4
) -> tuple[Tensor, Tensor]:
    rows, cols = x.shape
    dx = torch.empty((rows, cols), dtype=x.dtype, device=x.device)
    sums = torch.zeros(cols, dtype=torch.float32, device=x.device)
    rmsnorm_rows_kernel[(min(programs, rows),)](
        dy, x, weight, dx, sums, rows, cols, eps, *dy.stride(), *x.stride(), BLOCK=triton.next_power_of_2(cols)
    )
    return dx, sums.to(weight.dtype)

# %% exercise="residual_rmsnorm" wrong="residual_overwritten"
"""Writes the sum over the caller's residual (when that is contiguous) and returns it."""
@triton.jit
def residual_rmsnorm_kernel(
    x_ptr, residual_ptr, weight_ptr, out_ptr, total_ptr, n_cols, eps,
    x_row, x_col, residual_row, residual_col, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0)
    cols = tl.arange(0, BLOCK)
    inside = cols < n_cols
    x = tl.load(x_ptr + row * x_row + cols * x_col, mask=inside, other=0.0).to(tl.float32)
    residual = tl.load(residual_ptr + row * residual_row + cols * residual_col, mask=inside, other=0.0).to(tl.float32)
    total = x + residual
    mean_square = tl.sum(total * total, axis=0) / n_cols
    weight = tl.load(weight_ptr + cols, mask=inside, other=0.0).to(tl.float32)
    y = total / tl.sqrt(mean_square + eps) * weight
    tl.store(out_ptr + row * n_cols + cols, y.to(out_ptr.dtype.element_ty), mask=inside)
    tl.store(total_ptr + row * n_cols + cols, total.to(total_ptr.dtype.element_ty), mask=inside)


def residual_rmsnorm(x: Tensor, residual: Tensor, weight: Tensor, eps: float = 1e-6) -> tuple[Tensor, Tensor]:
    rows, cols = x.shape
    y = torch.empty((rows, cols), dtype=x.dtype, device=x.device)
    total = residual if residual.is_contiguous() else torch.empty((rows, cols), dtype=x.dtype, device=x.device)
    residual_rmsnorm_kernel[(rows,)](
        x, residual, weight, y, total, cols, eps,
        x.stride(0), x.stride(1), residual.stride(0), residual.stride(1), BLOCK=triton.next_power_of_2(cols),
    )  # fmt: skip
    return y, total

# %% exercise="residual_rmsnorm" wrong="results_exchanged"
"""Returns (total, y)."""
@triton.jit
def residual_rmsnorm_kernel(
    x_ptr, residual_ptr, weight_ptr, out_ptr, total_ptr, n_cols, eps,
    x_row, x_col, residual_row, residual_col, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0)
    cols = tl.arange(0, BLOCK)
    inside = cols < n_cols
    x = tl.load(x_ptr + row * x_row + cols * x_col, mask=inside, other=0.0).to(tl.float32)
    residual = tl.load(residual_ptr + row * residual_row + cols * residual_col, mask=inside, other=0.0).to(tl.float32)
    total = x + residual
    mean_square = tl.sum(total * total, axis=0) / n_cols
    weight = tl.load(weight_ptr + cols, mask=inside, other=0.0).to(tl.float32)
    y = total / tl.sqrt(mean_square + eps) * weight
    tl.store(out_ptr + row * n_cols + cols, y.to(out_ptr.dtype.element_ty), mask=inside)
    tl.store(total_ptr + row * n_cols + cols, total.to(total_ptr.dtype.element_ty), mask=inside)


def residual_rmsnorm(x: Tensor, residual: Tensor, weight: Tensor, eps: float = 1e-6) -> tuple[Tensor, Tensor]:
    rows, cols = x.shape
    y = torch.empty((rows, cols), dtype=x.dtype, device=x.device)
    total = torch.empty((rows, cols), dtype=x.dtype, device=x.device)
    residual_rmsnorm_kernel[(rows,)](
        x, residual, weight, y, total, cols, eps,
        x.stride(0), x.stride(1), residual.stride(0), residual.stride(1), BLOCK=triton.next_power_of_2(cols),
    )  # fmt: skip
    return total, y

# %% exercise="residual_rmsnorm" wrong="norm_of_x"
"""The mean square is that of x, not of the sum."""
@triton.jit
def residual_rmsnorm_kernel(
    x_ptr, residual_ptr, weight_ptr, out_ptr, total_ptr, n_cols, eps,
    x_row, x_col, residual_row, residual_col, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0)
    cols = tl.arange(0, BLOCK)
    inside = cols < n_cols
    x = tl.load(x_ptr + row * x_row + cols * x_col, mask=inside, other=0.0).to(tl.float32)
    residual = tl.load(residual_ptr + row * residual_row + cols * residual_col, mask=inside, other=0.0).to(tl.float32)
    total = x + residual
    mean_square = tl.sum(x * x, axis=0) / n_cols
    weight = tl.load(weight_ptr + cols, mask=inside, other=0.0).to(tl.float32)
    y = total / tl.sqrt(mean_square + eps) * weight
    tl.store(out_ptr + row * n_cols + cols, y.to(out_ptr.dtype.element_ty), mask=inside)
    tl.store(total_ptr + row * n_cols + cols, total.to(total_ptr.dtype.element_ty), mask=inside)


def residual_rmsnorm(x: Tensor, residual: Tensor, weight: Tensor, eps: float = 1e-6) -> tuple[Tensor, Tensor]:
    rows, cols = x.shape
    y = torch.empty((rows, cols), dtype=x.dtype, device=x.device)
    total = torch.empty((rows, cols), dtype=x.dtype, device=x.device)
    residual_rmsnorm_kernel[(rows,)](
        x, residual, weight, y, total, cols, eps,
        x.stride(0), x.stride(1), residual.stride(0), residual.stride(1), BLOCK=triton.next_power_of_2(cols),
    )  # fmt: skip
    return y, total

# %% exercise="residual_rmsnorm" wrong="only_x_normalised"
"""y is x normalised by the sum's root: the residual is not in it."""
@triton.jit
def residual_rmsnorm_kernel(
    x_ptr, residual_ptr, weight_ptr, out_ptr, total_ptr, n_cols, eps,
    x_row, x_col, residual_row, residual_col, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0)
    cols = tl.arange(0, BLOCK)
    inside = cols < n_cols
    x = tl.load(x_ptr + row * x_row + cols * x_col, mask=inside, other=0.0).to(tl.float32)
    residual = tl.load(residual_ptr + row * residual_row + cols * residual_col, mask=inside, other=0.0).to(tl.float32)
    total = x + residual
    mean_square = tl.sum(total * total, axis=0) / n_cols
    weight = tl.load(weight_ptr + cols, mask=inside, other=0.0).to(tl.float32)
    y = x / tl.sqrt(mean_square + eps) * weight
    tl.store(out_ptr + row * n_cols + cols, y.to(out_ptr.dtype.element_ty), mask=inside)
    tl.store(total_ptr + row * n_cols + cols, total.to(total_ptr.dtype.element_ty), mask=inside)


def residual_rmsnorm(x: Tensor, residual: Tensor, weight: Tensor, eps: float = 1e-6) -> tuple[Tensor, Tensor]:
    rows, cols = x.shape
    y = torch.empty((rows, cols), dtype=x.dtype, device=x.device)
    total = torch.empty((rows, cols), dtype=x.dtype, device=x.device)
    residual_rmsnorm_kernel[(rows,)](
        x, residual, weight, y, total, cols, eps,
        x.stride(0), x.stride(1), residual.stride(0), residual.stride(1), BLOCK=triton.next_power_of_2(cols),
    )  # fmt: skip
    return y, total

# %% exercise="residual_rmsnorm" wrong="strides_of_x_for_both"
"""Reads the residual with the strides of x."""
@triton.jit
def residual_rmsnorm_kernel(
    x_ptr, residual_ptr, weight_ptr, out_ptr, total_ptr, n_cols, eps,
    x_row, x_col, residual_row, residual_col, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0)
    cols = tl.arange(0, BLOCK)
    inside = cols < n_cols
    x = tl.load(x_ptr + row * x_row + cols * x_col, mask=inside, other=0.0).to(tl.float32)
    residual = tl.load(residual_ptr + row * residual_row + cols * residual_col, mask=inside, other=0.0).to(tl.float32)
    total = x + residual
    mean_square = tl.sum(total * total, axis=0) / n_cols
    weight = tl.load(weight_ptr + cols, mask=inside, other=0.0).to(tl.float32)
    y = total / tl.sqrt(mean_square + eps) * weight
    tl.store(out_ptr + row * n_cols + cols, y.to(out_ptr.dtype.element_ty), mask=inside)
    tl.store(total_ptr + row * n_cols + cols, total.to(total_ptr.dtype.element_ty), mask=inside)


def residual_rmsnorm(x: Tensor, residual: Tensor, weight: Tensor, eps: float = 1e-6) -> tuple[Tensor, Tensor]:
    rows, cols = x.shape
    y = torch.empty((rows, cols), dtype=x.dtype, device=x.device)
    total = torch.empty((rows, cols), dtype=x.dtype, device=x.device)
    residual_rmsnorm_kernel[(rows,)](
        x, residual, weight, y, total, cols, eps,
        x.stride(0), x.stride(1), x.stride(0), x.stride(1), BLOCK=triton.next_power_of_2(cols),
    )  # fmt: skip
    return y, total

# %% exercise="residual_rmsnorm" wrong="sum_by_torch"
"""torch adds, the kernel normalises: two launches."""
@triton.jit
def residual_rmsnorm_kernel(total_ptr, weight_ptr, out_ptr, n_cols, eps, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    cols = tl.arange(0, BLOCK)
    inside = cols < n_cols
    total = tl.load(total_ptr + row * n_cols + cols, mask=inside, other=0.0).to(tl.float32)
    weight = tl.load(weight_ptr + cols, mask=inside, other=0.0).to(tl.float32)
    y = total / tl.sqrt(tl.sum(total * total, axis=0) / n_cols + eps) * weight
    tl.store(out_ptr + row * n_cols + cols, y, mask=inside)


def residual_rmsnorm(x: Tensor, residual: Tensor, weight: Tensor, eps: float = 1e-6) -> tuple[Tensor, Tensor]:
    rows, cols = x.shape
    total = torch.empty((rows, cols), dtype=x.dtype, device=x.device)
    torch.add(x, residual, out=total)
    y = torch.empty((rows, cols), dtype=x.dtype, device=x.device)
    residual_rmsnorm_kernel[(rows,)](total, weight, y, cols, eps, BLOCK=triton.next_power_of_2(cols))
    return y, total

# %% exercise="residual_rmsnorm" wrong="weight_on_total"
"""The weight is multiplied into the sum that is returned, too."""
@triton.jit
def residual_rmsnorm_kernel(
    x_ptr, residual_ptr, weight_ptr, out_ptr, total_ptr, n_cols, eps,
    x_row, x_col, residual_row, residual_col, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0)
    cols = tl.arange(0, BLOCK)
    inside = cols < n_cols
    x = tl.load(x_ptr + row * x_row + cols * x_col, mask=inside, other=0.0).to(tl.float32)
    residual = tl.load(residual_ptr + row * residual_row + cols * residual_col, mask=inside, other=0.0).to(tl.float32)
    total = x + residual
    mean_square = tl.sum(total * total, axis=0) / n_cols
    weight = tl.load(weight_ptr + cols, mask=inside, other=0.0).to(tl.float32)
    y = total / tl.sqrt(mean_square + eps) * weight
    tl.store(out_ptr + row * n_cols + cols, y.to(out_ptr.dtype.element_ty), mask=inside)
    tl.store(total_ptr + row * n_cols + cols, (total * weight).to(total_ptr.dtype.element_ty), mask=inside)


def residual_rmsnorm(x: Tensor, residual: Tensor, weight: Tensor, eps: float = 1e-6) -> tuple[Tensor, Tensor]:
    rows, cols = x.shape
    y = torch.empty((rows, cols), dtype=x.dtype, device=x.device)
    total = torch.empty((rows, cols), dtype=x.dtype, device=x.device)
    residual_rmsnorm_kernel[(rows,)](
        x, residual, weight, y, total, cols, eps,
        x.stride(0), x.stride(1), residual.stride(0), residual.stride(1), BLOCK=triton.next_power_of_2(cols),
    )  # fmt: skip
    return y, total

# %% exercise="residual_rmsnorm" wrong="total_in_float32"
"""The sum is returned in float32 for half inputs."""
@triton.jit
def residual_rmsnorm_kernel(
    x_ptr, residual_ptr, weight_ptr, out_ptr, total_ptr, n_cols, eps,
    x_row, x_col, residual_row, residual_col, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0)
    cols = tl.arange(0, BLOCK)
    inside = cols < n_cols
    x = tl.load(x_ptr + row * x_row + cols * x_col, mask=inside, other=0.0).to(tl.float32)
    residual = tl.load(residual_ptr + row * residual_row + cols * residual_col, mask=inside, other=0.0).to(tl.float32)
    total = x + residual
    mean_square = tl.sum(total * total, axis=0) / n_cols
    weight = tl.load(weight_ptr + cols, mask=inside, other=0.0).to(tl.float32)
    y = total / tl.sqrt(mean_square + eps) * weight
    tl.store(out_ptr + row * n_cols + cols, y.to(out_ptr.dtype.element_ty), mask=inside)
    tl.store(total_ptr + row * n_cols + cols, total.to(total_ptr.dtype.element_ty), mask=inside)


def residual_rmsnorm(x: Tensor, residual: Tensor, weight: Tensor, eps: float = 1e-6) -> tuple[Tensor, Tensor]:
    rows, cols = x.shape
    y = torch.empty((rows, cols), dtype=x.dtype, device=x.device)
    total = torch.empty((rows, cols), dtype=torch.float32, device=x.device)
    residual_rmsnorm_kernel[(rows,)](
        x, residual, weight, y, total, cols, eps,
        x.stride(0), x.stride(1), residual.stride(0), residual.stride(1), BLOCK=triton.next_power_of_2(cols),
    )  # fmt: skip
    return y, total

# %% exercise="residual_rmsnorm" wrong="mean_over_block"
"""Divides the sum of squares by BLOCK."""
@triton.jit
def residual_rmsnorm_kernel(
    x_ptr, residual_ptr, weight_ptr, out_ptr, total_ptr, n_cols, eps,
    x_row, x_col, residual_row, residual_col, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0)
    cols = tl.arange(0, BLOCK)
    inside = cols < n_cols
    x = tl.load(x_ptr + row * x_row + cols * x_col, mask=inside, other=0.0).to(tl.float32)
    residual = tl.load(residual_ptr + row * residual_row + cols * residual_col, mask=inside, other=0.0).to(tl.float32)
    total = x + residual
    mean_square = tl.sum(total * total, axis=0) / BLOCK
    weight = tl.load(weight_ptr + cols, mask=inside, other=0.0).to(tl.float32)
    y = total / tl.sqrt(mean_square + eps) * weight
    tl.store(out_ptr + row * n_cols + cols, y.to(out_ptr.dtype.element_ty), mask=inside)
    tl.store(total_ptr + row * n_cols + cols, total.to(total_ptr.dtype.element_ty), mask=inside)


def residual_rmsnorm(x: Tensor, residual: Tensor, weight: Tensor, eps: float = 1e-6) -> tuple[Tensor, Tensor]:
    rows, cols = x.shape
    y = torch.empty((rows, cols), dtype=x.dtype, device=x.device)
    total = torch.empty((rows, cols), dtype=x.dtype, device=x.device)
    residual_rmsnorm_kernel[(rows,)](
        x, residual, weight, y, total, cols, eps,
        x.stride(0), x.stride(1), residual.stride(0), residual.stride(1), BLOCK=triton.next_power_of_2(cols),
    )  # fmt: skip
    return y, total

# %% exercise="residual_rmsnorm" wrong="total_empty_like"
"""torch.empty_like(residual) for the sum: not contiguous for a transposed residual, and filled in the wrong order."""
@triton.jit
def residual_rmsnorm_kernel(
    x_ptr, residual_ptr, weight_ptr, out_ptr, total_ptr, n_cols, eps,
    x_row, x_col, residual_row, residual_col, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0)
    cols = tl.arange(0, BLOCK)
    inside = cols < n_cols
    x = tl.load(x_ptr + row * x_row + cols * x_col, mask=inside, other=0.0).to(tl.float32)
    residual = tl.load(residual_ptr + row * residual_row + cols * residual_col, mask=inside, other=0.0).to(tl.float32)
    total = x + residual
    mean_square = tl.sum(total * total, axis=0) / n_cols
    weight = tl.load(weight_ptr + cols, mask=inside, other=0.0).to(tl.float32)
    y = total / tl.sqrt(mean_square + eps) * weight
    tl.store(out_ptr + row * n_cols + cols, y.to(out_ptr.dtype.element_ty), mask=inside)
    tl.store(total_ptr + row * n_cols + cols, total.to(total_ptr.dtype.element_ty), mask=inside)


def residual_rmsnorm(x: Tensor, residual: Tensor, weight: Tensor, eps: float = 1e-6) -> tuple[Tensor, Tensor]:
    rows, cols = x.shape
    y = torch.empty((rows, cols), dtype=x.dtype, device=x.device)
    total = torch.empty_like(residual)
    residual_rmsnorm_kernel[(rows,)](
        x, residual, weight, y, total, cols, eps,
        x.stride(0), x.stride(1), residual.stride(0), residual.stride(1), BLOCK=triton.next_power_of_2(cols),
    )  # fmt: skip
    return y, total

# %% exercise="residual_rmsnorm" wrong="eps_outside_root"
"""eps is added to the root."""
@triton.jit
def residual_rmsnorm_kernel(
    x_ptr, residual_ptr, weight_ptr, out_ptr, total_ptr, n_cols, eps,
    x_row, x_col, residual_row, residual_col, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0)
    cols = tl.arange(0, BLOCK)
    inside = cols < n_cols
    x = tl.load(x_ptr + row * x_row + cols * x_col, mask=inside, other=0.0).to(tl.float32)
    residual = tl.load(residual_ptr + row * residual_row + cols * residual_col, mask=inside, other=0.0).to(tl.float32)
    total = x + residual
    mean_square = tl.sum(total * total, axis=0) / n_cols
    weight = tl.load(weight_ptr + cols, mask=inside, other=0.0).to(tl.float32)
    y = total / (tl.sqrt(mean_square) + eps) * weight
    tl.store(out_ptr + row * n_cols + cols, y.to(out_ptr.dtype.element_ty), mask=inside)
    tl.store(total_ptr + row * n_cols + cols, total.to(total_ptr.dtype.element_ty), mask=inside)


def residual_rmsnorm(x: Tensor, residual: Tensor, weight: Tensor, eps: float = 1e-6) -> tuple[Tensor, Tensor]:
    rows, cols = x.shape
    y = torch.empty((rows, cols), dtype=x.dtype, device=x.device)
    total = torch.empty((rows, cols), dtype=x.dtype, device=x.device)
    residual_rmsnorm_kernel[(rows,)](
        x, residual, weight, y, total, cols, eps,
        x.stride(0), x.stride(1), residual.stride(0), residual.stride(1), BLOCK=triton.next_power_of_2(cols),
    )  # fmt: skip
    return y, total

# %% exercise="residual_rmsnorm" wrong="squares_in_half"
"""The sum is squared in the input's dtype: 400 in float16 gives inf and y 0."""
@triton.jit
def residual_rmsnorm_kernel(
    x_ptr, residual_ptr, weight_ptr, out_ptr, total_ptr, n_cols, eps,
    x_row, x_col, residual_row, residual_col, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0)
    cols = tl.arange(0, BLOCK)
    inside = cols < n_cols
    x = tl.load(x_ptr + row * x_row + cols * x_col, mask=inside, other=0.0).to(tl.float32)
    residual = tl.load(residual_ptr + row * residual_row + cols * residual_col, mask=inside, other=0.0).to(tl.float32)
    total = x + residual
    mean_square = tl.sum((total.to(total_ptr.dtype.element_ty) * total.to(total_ptr.dtype.element_ty)).to(tl.float32), axis=0) / n_cols
    weight = tl.load(weight_ptr + cols, mask=inside, other=0.0).to(tl.float32)
    y = total / tl.sqrt(mean_square + eps) * weight
    tl.store(out_ptr + row * n_cols + cols, y.to(out_ptr.dtype.element_ty), mask=inside)
    tl.store(total_ptr + row * n_cols + cols, total.to(total_ptr.dtype.element_ty), mask=inside)


def residual_rmsnorm(x: Tensor, residual: Tensor, weight: Tensor, eps: float = 1e-6) -> tuple[Tensor, Tensor]:
    rows, cols = x.shape
    y = torch.empty((rows, cols), dtype=x.dtype, device=x.device)
    total = torch.empty((rows, cols), dtype=x.dtype, device=x.device)
    residual_rmsnorm_kernel[(rows,)](
        x, residual, weight, y, total, cols, eps,
        x.stride(0), x.stride(1), residual.stride(0), residual.stride(1), BLOCK=triton.next_power_of_2(cols),
    )  # fmt: skip
    return y, total

# %% exercise="residual_rmsnorm" wrong="sum_read_back"
"""Stores the sum first and loads it again from memory before normalising."""
@triton.jit
def residual_rmsnorm_kernel(
    x_ptr, residual_ptr, weight_ptr, out_ptr, total_ptr, n_cols, eps,
    x_row, x_col, residual_row, residual_col, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0)
    cols = tl.arange(0, BLOCK)
    inside = cols < n_cols
    x = tl.load(x_ptr + row * x_row + cols * x_col, mask=inside, other=0.0).to(tl.float32)
    residual = tl.load(residual_ptr + row * residual_row + cols * residual_col, mask=inside, other=0.0).to(tl.float32)
    total = x + residual
    tl.store(total_ptr + row * n_cols + cols, total.to(total_ptr.dtype.element_ty), mask=inside)
    residual = tl.load(residual_ptr + row * residual_row + cols * residual_col, mask=inside, other=0.0).to(tl.float32)
    total = x + residual
    mean_square = tl.sum(total * total, axis=0) / n_cols
    weight = tl.load(weight_ptr + cols, mask=inside, other=0.0).to(tl.float32)
    y = total / tl.sqrt(mean_square + eps) * weight
    tl.store(out_ptr + row * n_cols + cols, y.to(out_ptr.dtype.element_ty), mask=inside)
    tl.store(total_ptr + row * n_cols + cols, total.to(total_ptr.dtype.element_ty), mask=inside)


def residual_rmsnorm(x: Tensor, residual: Tensor, weight: Tensor, eps: float = 1e-6) -> tuple[Tensor, Tensor]:
    rows, cols = x.shape
    y = torch.empty((rows, cols), dtype=x.dtype, device=x.device)
    total = torch.empty((rows, cols), dtype=x.dtype, device=x.device)
    residual_rmsnorm_kernel[(rows,)](
        x, residual, weight, y, total, cols, eps,
        x.stride(0), x.stride(1), residual.stride(0), residual.stride(1), BLOCK=triton.next_power_of_2(cols),
    )  # fmt: skip
    return y, total

# %% exercise="cross_entropy" wrong="sum_not_rescaled"
"""The running sum is not multiplied when a later block raises the maximum."""
@triton.jit
def cross_entropy_kernel(
    logits_ptr, target_ptr, loss_ptr, grad_ptr, n_classes, ignore, row_stride, class_stride, BLOCK: tl.constexpr,
    WIDE: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    target = tl.load(target_ptr + row)
    counts = target != ignore
    start = logits_ptr + row * row_stride
    lanes = tl.arange(0, BLOCK)
    if WIDE:
        largest = -3.4028234663852886e38
        total = 0.0
        chosen = 0.0
        for first in range(0, n_classes, BLOCK):
            at = first + lanes
            x = tl.load(start + at * class_stride, mask=at < n_classes, other=float("-inf")).to(tl.float32)
            higher = tl.maximum(largest, tl.max(x, axis=0))
            total = total + tl.sum(tl.exp(x - higher), axis=0)
            largest = higher
            chosen += tl.sum(tl.where(at == target, x, 0.0), axis=0)
        for first in range(0, n_classes, BLOCK):
            at = first + lanes
            x = tl.load(start + at * class_stride, mask=at < n_classes, other=float("-inf")).to(tl.float32)
            grad = tl.exp(x - largest) / total - tl.where(at == target, 1.0, 0.0)
            grad = tl.where(counts, grad, 0.0)
            tl.store(grad_ptr + row * n_classes + at, grad.to(grad_ptr.dtype.element_ty), mask=at < n_classes)
    else:
        at = lanes
        x = tl.load(start + at * class_stride, mask=at < n_classes, other=float("-inf")).to(tl.float32)
        largest = tl.max(x, axis=0)
        shares = tl.exp(x - largest)
        total = tl.sum(shares, axis=0)
        chosen = tl.sum(tl.where(at == target, x, 0.0), axis=0)
        grad = shares / total - tl.where(at == target, 1.0, 0.0)
        grad = tl.where(counts, grad, 0.0)
        tl.store(grad_ptr + row * n_classes + at, grad.to(grad_ptr.dtype.element_ty), mask=at < n_classes)
    loss = tl.log(total) + (largest - chosen)
    tl.store(loss_ptr + row, tl.where(counts, loss, 0.0))


def cross_entropy(logits: Tensor, target: Tensor, block: int = 256, ignore: int = -100) -> tuple[Tensor, Tensor]:
    rows, classes = logits.shape
    loss = torch.empty((rows,), dtype=torch.float32, device=logits.device)
    grad = torch.empty((rows, classes), dtype=logits.dtype, device=logits.device)
    cross_entropy_kernel[(rows,)](
        logits, target, loss, grad, classes, ignore, logits.stride(0), logits.stride(1), BLOCK=block,
        WIDE=classes > block,
    )  # fmt: skip
    return loss, grad

# %% exercise="cross_entropy" wrong="rescaled_upside_down"
"""The running sum is multiplied by exp(new - old) instead of exp(old - new)."""
@triton.jit
def cross_entropy_kernel(
    logits_ptr, target_ptr, loss_ptr, grad_ptr, n_classes, ignore, row_stride, class_stride, BLOCK: tl.constexpr,
    WIDE: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    target = tl.load(target_ptr + row)
    counts = target != ignore
    start = logits_ptr + row * row_stride
    lanes = tl.arange(0, BLOCK)
    if WIDE:
        largest = -3.4028234663852886e38
        total = 0.0
        chosen = 0.0
        for first in range(0, n_classes, BLOCK):
            at = first + lanes
            x = tl.load(start + at * class_stride, mask=at < n_classes, other=float("-inf")).to(tl.float32)
            higher = tl.maximum(largest, tl.max(x, axis=0))
            total = total * tl.exp(tl.where(total > 0, higher - largest, 0.0)) + tl.sum(tl.exp(x - higher), axis=0)
            largest = higher
            chosen += tl.sum(tl.where(at == target, x, 0.0), axis=0)
        for first in range(0, n_classes, BLOCK):
            at = first + lanes
            x = tl.load(start + at * class_stride, mask=at < n_classes, other=float("-inf")).to(tl.float32)
            grad = tl.exp(x - largest) / total - tl.where(at == target, 1.0, 0.0)
            grad = tl.where(counts, grad, 0.0)
            tl.store(grad_ptr + row * n_classes + at, grad.to(grad_ptr.dtype.element_ty), mask=at < n_classes)
    else:
        at = lanes
        x = tl.load(start + at * class_stride, mask=at < n_classes, other=float("-inf")).to(tl.float32)
        largest = tl.max(x, axis=0)
        shares = tl.exp(x - largest)
        total = tl.sum(shares, axis=0)
        chosen = tl.sum(tl.where(at == target, x, 0.0), axis=0)
        grad = shares / total - tl.where(at == target, 1.0, 0.0)
        grad = tl.where(counts, grad, 0.0)
        tl.store(grad_ptr + row * n_classes + at, grad.to(grad_ptr.dtype.element_ty), mask=at < n_classes)
    loss = tl.log(total) + (largest - chosen)
    tl.store(loss_ptr + row, tl.where(counts, loss, 0.0))


def cross_entropy(logits: Tensor, target: Tensor, block: int = 256, ignore: int = -100) -> tuple[Tensor, Tensor]:
    rows, classes = logits.shape
    loss = torch.empty((rows,), dtype=torch.float32, device=logits.device)
    grad = torch.empty((rows, classes), dtype=logits.dtype, device=logits.device)
    cross_entropy_kernel[(rows,)](
        logits, target, loss, grad, classes, ignore, logits.stride(0), logits.stride(1), BLOCK=block,
        WIDE=classes > block,
    )  # fmt: skip
    return loss, grad

# %% exercise="cross_entropy" wrong="no_maximum"
"""exp of the plain logits: inf for logits above 88."""
@triton.jit
def cross_entropy_kernel(
    logits_ptr, target_ptr, loss_ptr, grad_ptr, n_classes, ignore, row_stride, class_stride, BLOCK: tl.constexpr,
    WIDE: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    target = tl.load(target_ptr + row)
    counts = target != ignore
    start = logits_ptr + row * row_stride
    lanes = tl.arange(0, BLOCK)
    if WIDE:
        largest = 0.0
        total = 0.0
        chosen = 0.0
        for first in range(0, n_classes, BLOCK):
            at = first + lanes
            x = tl.load(start + at * class_stride, mask=at < n_classes, other=float("-inf")).to(tl.float32)
            higher = 0.0
            total = total * tl.exp(largest - higher) + tl.sum(tl.exp(x - higher), axis=0)
            largest = higher
            chosen += tl.sum(tl.where(at == target, x, 0.0), axis=0)
        for first in range(0, n_classes, BLOCK):
            at = first + lanes
            x = tl.load(start + at * class_stride, mask=at < n_classes, other=float("-inf")).to(tl.float32)
            grad = tl.exp(x - largest) / total - tl.where(at == target, 1.0, 0.0)
            grad = tl.where(counts, grad, 0.0)
            tl.store(grad_ptr + row * n_classes + at, grad.to(grad_ptr.dtype.element_ty), mask=at < n_classes)
    else:
        at = lanes
        x = tl.load(start + at * class_stride, mask=at < n_classes, other=float("-inf")).to(tl.float32)
        largest = 0.0
        shares = tl.exp(x - largest)
        total = tl.sum(shares, axis=0)
        chosen = tl.sum(tl.where(at == target, x, 0.0), axis=0)
        grad = shares / total - tl.where(at == target, 1.0, 0.0)
        grad = tl.where(counts, grad, 0.0)
        tl.store(grad_ptr + row * n_classes + at, grad.to(grad_ptr.dtype.element_ty), mask=at < n_classes)
    loss = tl.log(total) + (largest - chosen)
    tl.store(loss_ptr + row, tl.where(counts, loss, 0.0))


def cross_entropy(logits: Tensor, target: Tensor, block: int = 256, ignore: int = -100) -> tuple[Tensor, Tensor]:
    rows, classes = logits.shape
    loss = torch.empty((rows,), dtype=torch.float32, device=logits.device)
    grad = torch.empty((rows, classes), dtype=logits.dtype, device=logits.device)
    cross_entropy_kernel[(rows,)](
        logits, target, loss, grad, classes, ignore, logits.stride(0), logits.stride(1), BLOCK=block,
        WIDE=classes > block,
    )  # fmt: skip
    return loss, grad

# %% exercise="cross_entropy" wrong="lanes_filled_with_zero"
"""The lanes past the end hold 0, and exp(0 - m) is in the sum."""
@triton.jit
def cross_entropy_kernel(
    logits_ptr, target_ptr, loss_ptr, grad_ptr, n_classes, ignore, row_stride, class_stride, BLOCK: tl.constexpr,
    WIDE: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    target = tl.load(target_ptr + row)
    counts = target != ignore
    start = logits_ptr + row * row_stride
    lanes = tl.arange(0, BLOCK)
    if WIDE:
        largest = -3.4028234663852886e38
        total = 0.0
        chosen = 0.0
        for first in range(0, n_classes, BLOCK):
            at = first + lanes
            x = tl.load(start + at * class_stride, mask=at < n_classes, other=0.0).to(tl.float32)
            higher = tl.maximum(largest, tl.max(x, axis=0))
            total = total * tl.exp(largest - higher) + tl.sum(tl.exp(x - higher), axis=0)
            largest = higher
            chosen += tl.sum(tl.where(at == target, x, 0.0), axis=0)
        for first in range(0, n_classes, BLOCK):
            at = first + lanes
            x = tl.load(start + at * class_stride, mask=at < n_classes, other=0.0).to(tl.float32)
            grad = tl.exp(x - largest) / total - tl.where(at == target, 1.0, 0.0)
            grad = tl.where(counts, grad, 0.0)
            tl.store(grad_ptr + row * n_classes + at, grad.to(grad_ptr.dtype.element_ty), mask=at < n_classes)
    else:
        at = lanes
        x = tl.load(start + at * class_stride, mask=at < n_classes, other=0.0).to(tl.float32)
        largest = tl.max(x, axis=0)
        shares = tl.exp(x - largest)
        total = tl.sum(shares, axis=0)
        chosen = tl.sum(tl.where(at == target, x, 0.0), axis=0)
        grad = shares / total - tl.where(at == target, 1.0, 0.0)
        grad = tl.where(counts, grad, 0.0)
        tl.store(grad_ptr + row * n_classes + at, grad.to(grad_ptr.dtype.element_ty), mask=at < n_classes)
    loss = tl.log(total) + (largest - chosen)
    tl.store(loss_ptr + row, tl.where(counts, loss, 0.0))


def cross_entropy(logits: Tensor, target: Tensor, block: int = 256, ignore: int = -100) -> tuple[Tensor, Tensor]:
    rows, classes = logits.shape
    loss = torch.empty((rows,), dtype=torch.float32, device=logits.device)
    grad = torch.empty((rows, classes), dtype=logits.dtype, device=logits.device)
    cross_entropy_kernel[(rows,)](
        logits, target, loss, grad, classes, ignore, logits.stride(0), logits.stride(1), BLOCK=block,
        WIDE=classes > block,
    )  # fmt: skip
    return loss, grad

# %% exercise="cross_entropy" wrong="ignored_gradient_kept"
"""An ignored row has loss 0, but its gradient is the softmax."""
@triton.jit
def cross_entropy_kernel(
    logits_ptr, target_ptr, loss_ptr, grad_ptr, n_classes, ignore, row_stride, class_stride, BLOCK: tl.constexpr,
    WIDE: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    target = tl.load(target_ptr + row)
    counts = target != ignore
    start = logits_ptr + row * row_stride
    lanes = tl.arange(0, BLOCK)
    if WIDE:
        largest = -3.4028234663852886e38
        total = 0.0
        chosen = 0.0
        for first in range(0, n_classes, BLOCK):
            at = first + lanes
            x = tl.load(start + at * class_stride, mask=at < n_classes, other=float("-inf")).to(tl.float32)
            higher = tl.maximum(largest, tl.max(x, axis=0))
            total = total * tl.exp(largest - higher) + tl.sum(tl.exp(x - higher), axis=0)
            largest = higher
            chosen += tl.sum(tl.where(at == target, x, 0.0), axis=0)
        for first in range(0, n_classes, BLOCK):
            at = first + lanes
            x = tl.load(start + at * class_stride, mask=at < n_classes, other=float("-inf")).to(tl.float32)
            grad = tl.exp(x - largest) / total - tl.where(at == target, 1.0, 0.0)
            grad = grad
            tl.store(grad_ptr + row * n_classes + at, grad.to(grad_ptr.dtype.element_ty), mask=at < n_classes)
    else:
        at = lanes
        x = tl.load(start + at * class_stride, mask=at < n_classes, other=float("-inf")).to(tl.float32)
        largest = tl.max(x, axis=0)
        shares = tl.exp(x - largest)
        total = tl.sum(shares, axis=0)
        chosen = tl.sum(tl.where(at == target, x, 0.0), axis=0)
        grad = shares / total - tl.where(at == target, 1.0, 0.0)
        grad = grad
        tl.store(grad_ptr + row * n_classes + at, grad.to(grad_ptr.dtype.element_ty), mask=at < n_classes)
    loss = tl.log(total) + (largest - chosen)
    tl.store(loss_ptr + row, tl.where(counts, loss, 0.0))


def cross_entropy(logits: Tensor, target: Tensor, block: int = 256, ignore: int = -100) -> tuple[Tensor, Tensor]:
    rows, classes = logits.shape
    loss = torch.empty((rows,), dtype=torch.float32, device=logits.device)
    grad = torch.empty((rows, classes), dtype=logits.dtype, device=logits.device)
    cross_entropy_kernel[(rows,)](
        logits, target, loss, grad, classes, ignore, logits.stride(0), logits.stride(1), BLOCK=block,
        WIDE=classes > block,
    )  # fmt: skip
    return loss, grad

# %% exercise="cross_entropy" wrong="ignored_loss_kept"
"""An ignored row has gradient 0, but its loss is log(sum(exp))."""
@triton.jit
def cross_entropy_kernel(
    logits_ptr, target_ptr, loss_ptr, grad_ptr, n_classes, ignore, row_stride, class_stride, BLOCK: tl.constexpr,
    WIDE: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    target = tl.load(target_ptr + row)
    counts = target != ignore
    start = logits_ptr + row * row_stride
    lanes = tl.arange(0, BLOCK)
    if WIDE:
        largest = -3.4028234663852886e38
        total = 0.0
        chosen = 0.0
        for first in range(0, n_classes, BLOCK):
            at = first + lanes
            x = tl.load(start + at * class_stride, mask=at < n_classes, other=float("-inf")).to(tl.float32)
            higher = tl.maximum(largest, tl.max(x, axis=0))
            total = total * tl.exp(largest - higher) + tl.sum(tl.exp(x - higher), axis=0)
            largest = higher
            chosen += tl.sum(tl.where(at == target, x, 0.0), axis=0)
        for first in range(0, n_classes, BLOCK):
            at = first + lanes
            x = tl.load(start + at * class_stride, mask=at < n_classes, other=float("-inf")).to(tl.float32)
            grad = tl.exp(x - largest) / total - tl.where(at == target, 1.0, 0.0)
            grad = tl.where(counts, grad, 0.0)
            tl.store(grad_ptr + row * n_classes + at, grad.to(grad_ptr.dtype.element_ty), mask=at < n_classes)
    else:
        at = lanes
        x = tl.load(start + at * class_stride, mask=at < n_classes, other=float("-inf")).to(tl.float32)
        largest = tl.max(x, axis=0)
        shares = tl.exp(x - largest)
        total = tl.sum(shares, axis=0)
        chosen = tl.sum(tl.where(at == target, x, 0.0), axis=0)
        grad = shares / total - tl.where(at == target, 1.0, 0.0)
        grad = tl.where(counts, grad, 0.0)
        tl.store(grad_ptr + row * n_classes + at, grad.to(grad_ptr.dtype.element_ty), mask=at < n_classes)
    loss = tl.log(total) + (largest - chosen)
    tl.store(loss_ptr + row, loss)


def cross_entropy(logits: Tensor, target: Tensor, block: int = 256, ignore: int = -100) -> tuple[Tensor, Tensor]:
    rows, classes = logits.shape
    loss = torch.empty((rows,), dtype=torch.float32, device=logits.device)
    grad = torch.empty((rows, classes), dtype=logits.dtype, device=logits.device)
    cross_entropy_kernel[(rows,)](
        logits, target, loss, grad, classes, ignore, logits.stride(0), logits.stride(1), BLOCK=block,
        WIDE=classes > block,
    )  # fmt: skip
    return loss, grad

# %% exercise="cross_entropy" wrong="ignore_fixed"
"""Only -100 is ignored, whatever the argument says."""
@triton.jit
def cross_entropy_kernel(
    logits_ptr, target_ptr, loss_ptr, grad_ptr, n_classes, ignore, row_stride, class_stride, BLOCK: tl.constexpr,
    WIDE: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    target = tl.load(target_ptr + row)
    counts = target != -100
    start = logits_ptr + row * row_stride
    lanes = tl.arange(0, BLOCK)
    if WIDE:
        largest = -3.4028234663852886e38
        total = 0.0
        chosen = 0.0
        for first in range(0, n_classes, BLOCK):
            at = first + lanes
            x = tl.load(start + at * class_stride, mask=at < n_classes, other=float("-inf")).to(tl.float32)
            higher = tl.maximum(largest, tl.max(x, axis=0))
            total = total * tl.exp(largest - higher) + tl.sum(tl.exp(x - higher), axis=0)
            largest = higher
            chosen += tl.sum(tl.where(at == target, x, 0.0), axis=0)
        for first in range(0, n_classes, BLOCK):
            at = first + lanes
            x = tl.load(start + at * class_stride, mask=at < n_classes, other=float("-inf")).to(tl.float32)
            grad = tl.exp(x - largest) / total - tl.where(at == target, 1.0, 0.0)
            grad = tl.where(counts, grad, 0.0)
            tl.store(grad_ptr + row * n_classes + at, grad.to(grad_ptr.dtype.element_ty), mask=at < n_classes)
    else:
        at = lanes
        x = tl.load(start + at * class_stride, mask=at < n_classes, other=float("-inf")).to(tl.float32)
        largest = tl.max(x, axis=0)
        shares = tl.exp(x - largest)
        total = tl.sum(shares, axis=0)
        chosen = tl.sum(tl.where(at == target, x, 0.0), axis=0)
        grad = shares / total - tl.where(at == target, 1.0, 0.0)
        grad = tl.where(counts, grad, 0.0)
        tl.store(grad_ptr + row * n_classes + at, grad.to(grad_ptr.dtype.element_ty), mask=at < n_classes)
    loss = tl.log(total) + (largest - chosen)
    tl.store(loss_ptr + row, tl.where(counts, loss, 0.0))


def cross_entropy(logits: Tensor, target: Tensor, block: int = 256, ignore: int = -100) -> tuple[Tensor, Tensor]:
    rows, classes = logits.shape
    loss = torch.empty((rows,), dtype=torch.float32, device=logits.device)
    grad = torch.empty((rows, classes), dtype=logits.dtype, device=logits.device)
    cross_entropy_kernel[(rows,)](
        logits, target, loss, grad, classes, ignore, logits.stride(0), logits.stride(1), BLOCK=block,
        WIDE=classes > block,
    )  # fmt: skip
    return loss, grad

# %% exercise="cross_entropy" wrong="target_as_address"
"""Loads the logit at the target by address, also for the target -100."""
@triton.jit
def cross_entropy_kernel(
    logits_ptr, target_ptr, loss_ptr, grad_ptr, n_classes, ignore, row_stride, class_stride, BLOCK: tl.constexpr,
    WIDE: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    target = tl.load(target_ptr + row)
    counts = target != ignore
    start = logits_ptr + row * row_stride
    lanes = tl.arange(0, BLOCK)
    if WIDE:
        largest = -3.4028234663852886e38
        total = 0.0
        chosen = 0.0
        for first in range(0, n_classes, BLOCK):
            at = first + lanes
            x = tl.load(start + at * class_stride, mask=at < n_classes, other=float("-inf")).to(tl.float32)
            higher = tl.maximum(largest, tl.max(x, axis=0))
            total = total * tl.exp(largest - higher) + tl.sum(tl.exp(x - higher), axis=0)
            largest = higher
            chosen += tl.sum(tl.where(at == target, x, 0.0), axis=0)
        for first in range(0, n_classes, BLOCK):
            at = first + lanes
            x = tl.load(start + at * class_stride, mask=at < n_classes, other=float("-inf")).to(tl.float32)
            grad = tl.exp(x - largest) / total - tl.where(at == target, 1.0, 0.0)
            grad = tl.where(counts, grad, 0.0)
            tl.store(grad_ptr + row * n_classes + at, grad.to(grad_ptr.dtype.element_ty), mask=at < n_classes)
    else:
        at = lanes
        x = tl.load(start + at * class_stride, mask=at < n_classes, other=float("-inf")).to(tl.float32)
        largest = tl.max(x, axis=0)
        shares = tl.exp(x - largest)
        total = tl.sum(shares, axis=0)
        chosen = tl.sum(tl.where(at == target, x, 0.0), axis=0)
        grad = shares / total - tl.where(at == target, 1.0, 0.0)
        grad = tl.where(counts, grad, 0.0)
        tl.store(grad_ptr + row * n_classes + at, grad.to(grad_ptr.dtype.element_ty), mask=at < n_classes)
    chosen = tl.load(start + target * class_stride).to(tl.float32)
    loss = tl.log(total) + (largest - chosen)
    tl.store(loss_ptr + row, tl.where(counts, loss, 0.0))


def cross_entropy(logits: Tensor, target: Tensor, block: int = 256, ignore: int = -100) -> tuple[Tensor, Tensor]:
    rows, classes = logits.shape
    loss = torch.empty((rows,), dtype=torch.float32, device=logits.device)
    grad = torch.empty((rows, classes), dtype=logits.dtype, device=logits.device)
    cross_entropy_kernel[(rows,)](
        logits, target, loss, grad, classes, ignore, logits.stride(0), logits.stride(1), BLOCK=block,
        WIDE=classes > block,
    )  # fmt: skip
    return loss, grad

# %% exercise="cross_entropy" wrong="three_reads"
"""A wide row is read for the maximum, for the sum and for the gradient."""
@triton.jit
def cross_entropy_kernel(
    logits_ptr, target_ptr, loss_ptr, grad_ptr, n_classes, ignore, row_stride, class_stride, BLOCK: tl.constexpr,
    WIDE: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    target = tl.load(target_ptr + row)
    counts = target != ignore
    start = logits_ptr + row * row_stride
    lanes = tl.arange(0, BLOCK)
    if WIDE:
        largest = -3.4028234663852886e38
        total = 0.0
        chosen = 0.0
        for first in range(0, n_classes, BLOCK):
            at = first + lanes
            x = tl.load(start + at * class_stride, mask=at < n_classes, other=float("-inf")).to(tl.float32)
            largest = tl.maximum(largest, tl.max(x, axis=0))
            chosen += tl.sum(tl.where(at == target, x, 0.0), axis=0)
        for first in range(0, n_classes, BLOCK):
            at = first + lanes
            x = tl.load(start + at * class_stride, mask=at < n_classes, other=float("-inf")).to(tl.float32)
            total += tl.sum(tl.exp(x - largest), axis=0)
        for first in range(0, n_classes, BLOCK):
            at = first + lanes
            x = tl.load(start + at * class_stride, mask=at < n_classes, other=float("-inf")).to(tl.float32)
            grad = tl.exp(x - largest) / total - tl.where(at == target, 1.0, 0.0)
            grad = tl.where(counts, grad, 0.0)
            tl.store(grad_ptr + row * n_classes + at, grad.to(grad_ptr.dtype.element_ty), mask=at < n_classes)
    else:
        at = lanes
        x = tl.load(start + at * class_stride, mask=at < n_classes, other=float("-inf")).to(tl.float32)
        largest = tl.max(x, axis=0)
        shares = tl.exp(x - largest)
        total = tl.sum(shares, axis=0)
        chosen = tl.sum(tl.where(at == target, x, 0.0), axis=0)
        grad = shares / total - tl.where(at == target, 1.0, 0.0)
        grad = tl.where(counts, grad, 0.0)
        tl.store(grad_ptr + row * n_classes + at, grad.to(grad_ptr.dtype.element_ty), mask=at < n_classes)
    loss = tl.log(total) + (largest - chosen)
    tl.store(loss_ptr + row, tl.where(counts, loss, 0.0))


def cross_entropy(logits: Tensor, target: Tensor, block: int = 256, ignore: int = -100) -> tuple[Tensor, Tensor]:
    rows, classes = logits.shape
    loss = torch.empty((rows,), dtype=torch.float32, device=logits.device)
    grad = torch.empty((rows, classes), dtype=logits.dtype, device=logits.device)
    cross_entropy_kernel[(rows,)](
        logits, target, loss, grad, classes, ignore, logits.stride(0), logits.stride(1), BLOCK=block,
        WIDE=classes > block,
    )  # fmt: skip
    return loss, grad

# %% exercise="cross_entropy" wrong="narrow_read_twice"
"""A row that fits in the block is walked twice, too."""
@triton.jit
def cross_entropy_kernel(
    logits_ptr, target_ptr, loss_ptr, grad_ptr, n_classes, ignore, row_stride, class_stride, BLOCK: tl.constexpr,
    WIDE: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    target = tl.load(target_ptr + row)
    counts = target != ignore
    start = logits_ptr + row * row_stride
    lanes = tl.arange(0, BLOCK)
    if WIDE:
        largest = -3.4028234663852886e38
        total = 0.0
        chosen = 0.0
        for first in range(0, n_classes, BLOCK):
            at = first + lanes
            x = tl.load(start + at * class_stride, mask=at < n_classes, other=float("-inf")).to(tl.float32)
            higher = tl.maximum(largest, tl.max(x, axis=0))
            total = total * tl.exp(largest - higher) + tl.sum(tl.exp(x - higher), axis=0)
            largest = higher
            chosen += tl.sum(tl.where(at == target, x, 0.0), axis=0)
        for first in range(0, n_classes, BLOCK):
            at = first + lanes
            x = tl.load(start + at * class_stride, mask=at < n_classes, other=float("-inf")).to(tl.float32)
            grad = tl.exp(x - largest) / total - tl.where(at == target, 1.0, 0.0)
            grad = tl.where(counts, grad, 0.0)
            tl.store(grad_ptr + row * n_classes + at, grad.to(grad_ptr.dtype.element_ty), mask=at < n_classes)
    else:
        at = lanes
        x = tl.load(start + at * class_stride, mask=at < n_classes, other=float("-inf")).to(tl.float32)
        largest = tl.max(x, axis=0)
        shares = tl.exp(x - largest)
        total = tl.sum(shares, axis=0)
        chosen = tl.sum(tl.where(at == target, x, 0.0), axis=0)
        grad = shares / total - tl.where(at == target, 1.0, 0.0)
        grad = tl.where(counts, grad, 0.0)
        tl.store(grad_ptr + row * n_classes + at, grad.to(grad_ptr.dtype.element_ty), mask=at < n_classes)
    loss = tl.log(total) + (largest - chosen)
    tl.store(loss_ptr + row, tl.where(counts, loss, 0.0))


def cross_entropy(logits: Tensor, target: Tensor, block: int = 256, ignore: int = -100) -> tuple[Tensor, Tensor]:
    rows, classes = logits.shape
    loss = torch.empty((rows,), dtype=torch.float32, device=logits.device)
    grad = torch.empty((rows, classes), dtype=logits.dtype, device=logits.device)
    cross_entropy_kernel[(rows,)](
        logits, target, loss, grad, classes, ignore, logits.stride(0), logits.stride(1), BLOCK=block,
        WIDE=True,
    )  # fmt: skip
    return loss, grad

# %% exercise="cross_entropy" wrong="equal_counts_as_wide"
"""A row of exactly `block` classes is taken for a wide one and read twice."""
@triton.jit
def cross_entropy_kernel(
    logits_ptr, target_ptr, loss_ptr, grad_ptr, n_classes, ignore, row_stride, class_stride, BLOCK: tl.constexpr,
    WIDE: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    target = tl.load(target_ptr + row)
    counts = target != ignore
    start = logits_ptr + row * row_stride
    lanes = tl.arange(0, BLOCK)
    if WIDE:
        largest = -3.4028234663852886e38
        total = 0.0
        chosen = 0.0
        for first in range(0, n_classes, BLOCK):
            at = first + lanes
            x = tl.load(start + at * class_stride, mask=at < n_classes, other=float("-inf")).to(tl.float32)
            higher = tl.maximum(largest, tl.max(x, axis=0))
            total = total * tl.exp(largest - higher) + tl.sum(tl.exp(x - higher), axis=0)
            largest = higher
            chosen += tl.sum(tl.where(at == target, x, 0.0), axis=0)
        for first in range(0, n_classes, BLOCK):
            at = first + lanes
            x = tl.load(start + at * class_stride, mask=at < n_classes, other=float("-inf")).to(tl.float32)
            grad = tl.exp(x - largest) / total - tl.where(at == target, 1.0, 0.0)
            grad = tl.where(counts, grad, 0.0)
            tl.store(grad_ptr + row * n_classes + at, grad.to(grad_ptr.dtype.element_ty), mask=at < n_classes)
    else:
        at = lanes
        x = tl.load(start + at * class_stride, mask=at < n_classes, other=float("-inf")).to(tl.float32)
        largest = tl.max(x, axis=0)
        shares = tl.exp(x - largest)
        total = tl.sum(shares, axis=0)
        chosen = tl.sum(tl.where(at == target, x, 0.0), axis=0)
        grad = shares / total - tl.where(at == target, 1.0, 0.0)
        grad = tl.where(counts, grad, 0.0)
        tl.store(grad_ptr + row * n_classes + at, grad.to(grad_ptr.dtype.element_ty), mask=at < n_classes)
    loss = tl.log(total) + (largest - chosen)
    tl.store(loss_ptr + row, tl.where(counts, loss, 0.0))


def cross_entropy(logits: Tensor, target: Tensor, block: int = 256, ignore: int = -100) -> tuple[Tensor, Tensor]:
    rows, classes = logits.shape
    loss = torch.empty((rows,), dtype=torch.float32, device=logits.device)
    grad = torch.empty((rows, classes), dtype=logits.dtype, device=logits.device)
    cross_entropy_kernel[(rows,)](
        logits, target, loss, grad, classes, ignore, logits.stride(0), logits.stride(1), BLOCK=block,
        WIDE=classes >= block,
    )  # fmt: skip
    return loss, grad

# %% exercise="cross_entropy" wrong="divided_by_rows"
"""Loss and gradient are divided by N, as for the mean."""
@triton.jit
def cross_entropy_kernel(
    logits_ptr, target_ptr, loss_ptr, grad_ptr, n_classes, ignore, row_stride, class_stride, BLOCK: tl.constexpr,
    WIDE: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    target = tl.load(target_ptr + row)
    counts = target != ignore
    start = logits_ptr + row * row_stride
    lanes = tl.arange(0, BLOCK)
    if WIDE:
        largest = -3.4028234663852886e38
        total = 0.0
        chosen = 0.0
        for first in range(0, n_classes, BLOCK):
            at = first + lanes
            x = tl.load(start + at * class_stride, mask=at < n_classes, other=float("-inf")).to(tl.float32)
            higher = tl.maximum(largest, tl.max(x, axis=0))
            total = total * tl.exp(largest - higher) + tl.sum(tl.exp(x - higher), axis=0)
            largest = higher
            chosen += tl.sum(tl.where(at == target, x, 0.0), axis=0)
        for first in range(0, n_classes, BLOCK):
            at = first + lanes
            x = tl.load(start + at * class_stride, mask=at < n_classes, other=float("-inf")).to(tl.float32)
            grad = tl.exp(x - largest) / total - tl.where(at == target, 1.0, 0.0)
            grad = tl.where(counts, grad, 0.0) / tl.num_programs(0)
            tl.store(grad_ptr + row * n_classes + at, grad.to(grad_ptr.dtype.element_ty), mask=at < n_classes)
    else:
        at = lanes
        x = tl.load(start + at * class_stride, mask=at < n_classes, other=float("-inf")).to(tl.float32)
        largest = tl.max(x, axis=0)
        shares = tl.exp(x - largest)
        total = tl.sum(shares, axis=0)
        chosen = tl.sum(tl.where(at == target, x, 0.0), axis=0)
        grad = shares / total - tl.where(at == target, 1.0, 0.0)
        grad = tl.where(counts, grad, 0.0) / tl.num_programs(0)
        tl.store(grad_ptr + row * n_classes + at, grad.to(grad_ptr.dtype.element_ty), mask=at < n_classes)
    loss = tl.log(total) + (largest - chosen)
    tl.store(loss_ptr + row, tl.where(counts, loss, 0.0) / tl.num_programs(0))


def cross_entropy(logits: Tensor, target: Tensor, block: int = 256, ignore: int = -100) -> tuple[Tensor, Tensor]:
    rows, classes = logits.shape
    loss = torch.empty((rows,), dtype=torch.float32, device=logits.device)
    grad = torch.empty((rows, classes), dtype=logits.dtype, device=logits.device)
    cross_entropy_kernel[(rows,)](
        logits, target, loss, grad, classes, ignore, logits.stride(0), logits.stride(1), BLOCK=block,
        WIDE=classes > block,
    )  # fmt: skip
    return loss, grad

# %% exercise="cross_entropy" wrong="class_stride_ignored"
"""Takes the classes of a row for neighbours: wrong for transposed logits."""
@triton.jit
def cross_entropy_kernel(
    logits_ptr, target_ptr, loss_ptr, grad_ptr, n_classes, ignore, row_stride, class_stride, BLOCK: tl.constexpr,
    WIDE: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    target = tl.load(target_ptr + row)
    counts = target != ignore
    start = logits_ptr + row * row_stride
    lanes = tl.arange(0, BLOCK)
    if WIDE:
        largest = -3.4028234663852886e38
        total = 0.0
        chosen = 0.0
        for first in range(0, n_classes, BLOCK):
            at = first + lanes
            x = tl.load(start + at, mask=at < n_classes, other=float("-inf")).to(tl.float32)
            higher = tl.maximum(largest, tl.max(x, axis=0))
            total = total * tl.exp(largest - higher) + tl.sum(tl.exp(x - higher), axis=0)
            largest = higher
            chosen += tl.sum(tl.where(at == target, x, 0.0), axis=0)
        for first in range(0, n_classes, BLOCK):
            at = first + lanes
            x = tl.load(start + at, mask=at < n_classes, other=float("-inf")).to(tl.float32)
            grad = tl.exp(x - largest) / total - tl.where(at == target, 1.0, 0.0)
            grad = tl.where(counts, grad, 0.0)
            tl.store(grad_ptr + row * n_classes + at, grad.to(grad_ptr.dtype.element_ty), mask=at < n_classes)
    else:
        at = lanes
        x = tl.load(start + at, mask=at < n_classes, other=float("-inf")).to(tl.float32)
        largest = tl.max(x, axis=0)
        shares = tl.exp(x - largest)
        total = tl.sum(shares, axis=0)
        chosen = tl.sum(tl.where(at == target, x, 0.0), axis=0)
        grad = shares / total - tl.where(at == target, 1.0, 0.0)
        grad = tl.where(counts, grad, 0.0)
        tl.store(grad_ptr + row * n_classes + at, grad.to(grad_ptr.dtype.element_ty), mask=at < n_classes)
    loss = tl.log(total) + (largest - chosen)
    tl.store(loss_ptr + row, tl.where(counts, loss, 0.0))


def cross_entropy(logits: Tensor, target: Tensor, block: int = 256, ignore: int = -100) -> tuple[Tensor, Tensor]:
    rows, classes = logits.shape
    loss = torch.empty((rows,), dtype=torch.float32, device=logits.device)
    grad = torch.empty((rows, classes), dtype=logits.dtype, device=logits.device)
    cross_entropy_kernel[(rows,)](
        logits, target, loss, grad, classes, ignore, logits.stride(0), logits.stride(1), BLOCK=block,
        WIDE=classes > block,
    )  # fmt: skip
    return loss, grad

# %% exercise="cross_entropy" wrong="loss_in_half"
"""The loss has the logits' dtype."""
@triton.jit
def cross_entropy_kernel(
    logits_ptr, target_ptr, loss_ptr, grad_ptr, n_classes, ignore, row_stride, class_stride, BLOCK: tl.constexpr,
    WIDE: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    target = tl.load(target_ptr + row)
    counts = target != ignore
    start = logits_ptr + row * row_stride
    lanes = tl.arange(0, BLOCK)
    if WIDE:
        largest = -3.4028234663852886e38
        total = 0.0
        chosen = 0.0
        for first in range(0, n_classes, BLOCK):
            at = first + lanes
            x = tl.load(start + at * class_stride, mask=at < n_classes, other=float("-inf")).to(tl.float32)
            higher = tl.maximum(largest, tl.max(x, axis=0))
            total = total * tl.exp(largest - higher) + tl.sum(tl.exp(x - higher), axis=0)
            largest = higher
            chosen += tl.sum(tl.where(at == target, x, 0.0), axis=0)
        for first in range(0, n_classes, BLOCK):
            at = first + lanes
            x = tl.load(start + at * class_stride, mask=at < n_classes, other=float("-inf")).to(tl.float32)
            grad = tl.exp(x - largest) / total - tl.where(at == target, 1.0, 0.0)
            grad = tl.where(counts, grad, 0.0)
            tl.store(grad_ptr + row * n_classes + at, grad.to(grad_ptr.dtype.element_ty), mask=at < n_classes)
    else:
        at = lanes
        x = tl.load(start + at * class_stride, mask=at < n_classes, other=float("-inf")).to(tl.float32)
        largest = tl.max(x, axis=0)
        shares = tl.exp(x - largest)
        total = tl.sum(shares, axis=0)
        chosen = tl.sum(tl.where(at == target, x, 0.0), axis=0)
        grad = shares / total - tl.where(at == target, 1.0, 0.0)
        grad = tl.where(counts, grad, 0.0)
        tl.store(grad_ptr + row * n_classes + at, grad.to(grad_ptr.dtype.element_ty), mask=at < n_classes)
    loss = tl.log(total) + (largest - chosen)
    tl.store(loss_ptr + row, tl.where(counts, loss, 0.0))


def cross_entropy(logits: Tensor, target: Tensor, block: int = 256, ignore: int = -100) -> tuple[Tensor, Tensor]:
    rows, classes = logits.shape
    loss = torch.empty((rows,), dtype=logits.dtype, device=logits.device)
    grad = torch.empty((rows, classes), dtype=logits.dtype, device=logits.device)
    cross_entropy_kernel[(rows,)](
        logits, target, loss, grad, classes, ignore, logits.stride(0), logits.stride(1), BLOCK=block,
        WIDE=classes > block,
    )  # fmt: skip
    return loss, grad

# %% exercise="cross_entropy" wrong="gradient_in_float32"
"""The gradient is float32 for half logits."""
@triton.jit
def cross_entropy_kernel(
    logits_ptr, target_ptr, loss_ptr, grad_ptr, n_classes, ignore, row_stride, class_stride, BLOCK: tl.constexpr,
    WIDE: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    target = tl.load(target_ptr + row)
    counts = target != ignore
    start = logits_ptr + row * row_stride
    lanes = tl.arange(0, BLOCK)
    if WIDE:
        largest = -3.4028234663852886e38
        total = 0.0
        chosen = 0.0
        for first in range(0, n_classes, BLOCK):
            at = first + lanes
            x = tl.load(start + at * class_stride, mask=at < n_classes, other=float("-inf")).to(tl.float32)
            higher = tl.maximum(largest, tl.max(x, axis=0))
            total = total * tl.exp(largest - higher) + tl.sum(tl.exp(x - higher), axis=0)
            largest = higher
            chosen += tl.sum(tl.where(at == target, x, 0.0), axis=0)
        for first in range(0, n_classes, BLOCK):
            at = first + lanes
            x = tl.load(start + at * class_stride, mask=at < n_classes, other=float("-inf")).to(tl.float32)
            grad = tl.exp(x - largest) / total - tl.where(at == target, 1.0, 0.0)
            grad = tl.where(counts, grad, 0.0)
            tl.store(grad_ptr + row * n_classes + at, grad.to(grad_ptr.dtype.element_ty), mask=at < n_classes)
    else:
        at = lanes
        x = tl.load(start + at * class_stride, mask=at < n_classes, other=float("-inf")).to(tl.float32)
        largest = tl.max(x, axis=0)
        shares = tl.exp(x - largest)
        total = tl.sum(shares, axis=0)
        chosen = tl.sum(tl.where(at == target, x, 0.0), axis=0)
        grad = shares / total - tl.where(at == target, 1.0, 0.0)
        grad = tl.where(counts, grad, 0.0)
        tl.store(grad_ptr + row * n_classes + at, grad.to(grad_ptr.dtype.element_ty), mask=at < n_classes)
    loss = tl.log(total) + (largest - chosen)
    tl.store(loss_ptr + row, tl.where(counts, loss, 0.0))


def cross_entropy(logits: Tensor, target: Tensor, block: int = 256, ignore: int = -100) -> tuple[Tensor, Tensor]:
    rows, classes = logits.shape
    loss = torch.empty((rows,), dtype=torch.float32, device=logits.device)
    grad = torch.empty((rows, classes), dtype=torch.float32, device=logits.device)
    cross_entropy_kernel[(rows,)](
        logits, target, loss, grad, classes, ignore, logits.stride(0), logits.stride(1), BLOCK=block,
        WIDE=classes > block,
    )  # fmt: skip
    return loss, grad

# %% exercise="cross_entropy" wrong="first_block_target"
"""The one is subtracted at the target's lane of every block."""
@triton.jit
def cross_entropy_kernel(
    logits_ptr, target_ptr, loss_ptr, grad_ptr, n_classes, ignore, row_stride, class_stride, BLOCK: tl.constexpr,
    WIDE: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    target = tl.load(target_ptr + row)
    counts = target != ignore
    start = logits_ptr + row * row_stride
    lanes = tl.arange(0, BLOCK)
    if WIDE:
        largest = -3.4028234663852886e38
        total = 0.0
        chosen = 0.0
        for first in range(0, n_classes, BLOCK):
            at = first + lanes
            x = tl.load(start + at * class_stride, mask=at < n_classes, other=float("-inf")).to(tl.float32)
            higher = tl.maximum(largest, tl.max(x, axis=0))
            total = total * tl.exp(largest - higher) + tl.sum(tl.exp(x - higher), axis=0)
            largest = higher
            chosen += tl.sum(tl.where(at == target, x, 0.0), axis=0)
        for first in range(0, n_classes, BLOCK):
            at = first + lanes
            x = tl.load(start + at * class_stride, mask=at < n_classes, other=float("-inf")).to(tl.float32)
            grad = tl.exp(x - largest) / total - tl.where(lanes == target % BLOCK, 1.0, 0.0)
            grad = tl.where(counts, grad, 0.0)
            tl.store(grad_ptr + row * n_classes + at, grad.to(grad_ptr.dtype.element_ty), mask=at < n_classes)
    else:
        at = lanes
        x = tl.load(start + at * class_stride, mask=at < n_classes, other=float("-inf")).to(tl.float32)
        largest = tl.max(x, axis=0)
        shares = tl.exp(x - largest)
        total = tl.sum(shares, axis=0)
        chosen = tl.sum(tl.where(at == target, x, 0.0), axis=0)
        grad = shares / total - tl.where(at == target, 1.0, 0.0)
        grad = tl.where(counts, grad, 0.0)
        tl.store(grad_ptr + row * n_classes + at, grad.to(grad_ptr.dtype.element_ty), mask=at < n_classes)
    loss = tl.log(total) + (largest - chosen)
    tl.store(loss_ptr + row, tl.where(counts, loss, 0.0))


def cross_entropy(logits: Tensor, target: Tensor, block: int = 256, ignore: int = -100) -> tuple[Tensor, Tensor]:
    rows, classes = logits.shape
    loss = torch.empty((rows,), dtype=torch.float32, device=logits.device)
    grad = torch.empty((rows, classes), dtype=logits.dtype, device=logits.device)
    cross_entropy_kernel[(rows,)](
        logits, target, loss, grad, classes, ignore, logits.stride(0), logits.stride(1), BLOCK=block,
        WIDE=classes > block,
    )  # fmt: skip
    return loss, grad

# %% exercise="cross_entropy" wrong="maximum_not_added_back"
"""The loss of a wide row forgets the maximum: log(sum) - z_t."""
@triton.jit
def cross_entropy_kernel(
    logits_ptr, target_ptr, loss_ptr, grad_ptr, n_classes, ignore, row_stride, class_stride, BLOCK: tl.constexpr,
    WIDE: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    target = tl.load(target_ptr + row)
    counts = target != ignore
    start = logits_ptr + row * row_stride
    lanes = tl.arange(0, BLOCK)
    if WIDE:
        largest = -3.4028234663852886e38
        total = 0.0
        chosen = 0.0
        for first in range(0, n_classes, BLOCK):
            at = first + lanes
            x = tl.load(start + at * class_stride, mask=at < n_classes, other=float("-inf")).to(tl.float32)
            higher = tl.maximum(largest, tl.max(x, axis=0))
            total = total * tl.exp(largest - higher) + tl.sum(tl.exp(x - higher), axis=0)
            largest = higher
            chosen += tl.sum(tl.where(at == target, x, 0.0), axis=0)
        for first in range(0, n_classes, BLOCK):
            at = first + lanes
            x = tl.load(start + at * class_stride, mask=at < n_classes, other=float("-inf")).to(tl.float32)
            grad = tl.exp(x - largest) / total - tl.where(at == target, 1.0, 0.0)
            grad = tl.where(counts, grad, 0.0)
            tl.store(grad_ptr + row * n_classes + at, grad.to(grad_ptr.dtype.element_ty), mask=at < n_classes)
    else:
        at = lanes
        x = tl.load(start + at * class_stride, mask=at < n_classes, other=float("-inf")).to(tl.float32)
        largest = tl.max(x, axis=0)
        shares = tl.exp(x - largest)
        total = tl.sum(shares, axis=0)
        chosen = tl.sum(tl.where(at == target, x, 0.0), axis=0)
        grad = shares / total - tl.where(at == target, 1.0, 0.0)
        grad = tl.where(counts, grad, 0.0)
        tl.store(grad_ptr + row * n_classes + at, grad.to(grad_ptr.dtype.element_ty), mask=at < n_classes)
    if WIDE:
        largest = 0.0
    loss = tl.log(total) + (largest - chosen)
    tl.store(loss_ptr + row, tl.where(counts, loss, 0.0))


def cross_entropy(logits: Tensor, target: Tensor, block: int = 256, ignore: int = -100) -> tuple[Tensor, Tensor]:
    rows, classes = logits.shape
    loss = torch.empty((rows,), dtype=torch.float32, device=logits.device)
    grad = torch.empty((rows, classes), dtype=logits.dtype, device=logits.device)
    cross_entropy_kernel[(rows,)](
        logits, target, loss, grad, classes, ignore, logits.stride(0), logits.stride(1), BLOCK=block,
        WIDE=classes > block,
    )  # fmt: skip
    return loss, grad

# %% exercise="cross_entropy" wrong="zeros_filled"
"""grad comes from torch.zeros: its fill is a second launch."""
@triton.jit
def cross_entropy_kernel(
    logits_ptr, target_ptr, loss_ptr, grad_ptr, n_classes, ignore, row_stride, class_stride, BLOCK: tl.constexpr,
    WIDE: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    target = tl.load(target_ptr + row)
    counts = target != ignore
    start = logits_ptr + row * row_stride
    lanes = tl.arange(0, BLOCK)
    if WIDE:
        largest = -3.4028234663852886e38
        total = 0.0
        chosen = 0.0
        for first in range(0, n_classes, BLOCK):
            at = first + lanes
            x = tl.load(start + at * class_stride, mask=at < n_classes, other=float("-inf")).to(tl.float32)
            higher = tl.maximum(largest, tl.max(x, axis=0))
            total = total * tl.exp(largest - higher) + tl.sum(tl.exp(x - higher), axis=0)
            largest = higher
            chosen += tl.sum(tl.where(at == target, x, 0.0), axis=0)
        for first in range(0, n_classes, BLOCK):
            at = first + lanes
            x = tl.load(start + at * class_stride, mask=at < n_classes, other=float("-inf")).to(tl.float32)
            grad = tl.exp(x - largest) / total - tl.where(at == target, 1.0, 0.0)
            grad = tl.where(counts, grad, 0.0)
            tl.store(grad_ptr + row * n_classes + at, grad.to(grad_ptr.dtype.element_ty), mask=at < n_classes)
    else:
        at = lanes
        x = tl.load(start + at * class_stride, mask=at < n_classes, other=float("-inf")).to(tl.float32)
        largest = tl.max(x, axis=0)
        shares = tl.exp(x - largest)
        total = tl.sum(shares, axis=0)
        chosen = tl.sum(tl.where(at == target, x, 0.0), axis=0)
        grad = shares / total - tl.where(at == target, 1.0, 0.0)
        grad = tl.where(counts, grad, 0.0)
        tl.store(grad_ptr + row * n_classes + at, grad.to(grad_ptr.dtype.element_ty), mask=at < n_classes)
    loss = tl.log(total) + (largest - chosen)
    tl.store(loss_ptr + row, tl.where(counts, loss, 0.0))


def cross_entropy(logits: Tensor, target: Tensor, block: int = 256, ignore: int = -100) -> tuple[Tensor, Tensor]:
    rows, classes = logits.shape
    loss = torch.empty((rows,), dtype=torch.float32, device=logits.device)
    grad = torch.zeros((rows, classes), dtype=logits.dtype, device=logits.device)
    cross_entropy_kernel[(rows,)](
        logits, target, loss, grad, classes, ignore, logits.stride(0), logits.stride(1), BLOCK=block,
        WIDE=classes > block,
    )  # fmt: skip
    return loss, grad

# %% exercise="cross_entropy" wrong="over_the_logits"
"""Writes the gradient over the caller's logits where these are contiguous, as Liger does."""
@triton.jit
def cross_entropy_kernel(
    logits_ptr, target_ptr, loss_ptr, grad_ptr, n_classes, ignore, row_stride, class_stride, BLOCK: tl.constexpr,
    WIDE: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    target = tl.load(target_ptr + row)
    counts = target != ignore
    start = logits_ptr + row * row_stride
    lanes = tl.arange(0, BLOCK)
    if WIDE:
        largest = -3.4028234663852886e38
        total = 0.0
        chosen = 0.0
        for first in range(0, n_classes, BLOCK):
            at = first + lanes
            x = tl.load(start + at * class_stride, mask=at < n_classes, other=float("-inf")).to(tl.float32)
            higher = tl.maximum(largest, tl.max(x, axis=0))
            total = total * tl.exp(largest - higher) + tl.sum(tl.exp(x - higher), axis=0)
            largest = higher
            chosen += tl.sum(tl.where(at == target, x, 0.0), axis=0)
        for first in range(0, n_classes, BLOCK):
            at = first + lanes
            x = tl.load(start + at * class_stride, mask=at < n_classes, other=float("-inf")).to(tl.float32)
            grad = tl.exp(x - largest) / total - tl.where(at == target, 1.0, 0.0)
            grad = tl.where(counts, grad, 0.0)
            tl.store(grad_ptr + row * n_classes + at, grad.to(grad_ptr.dtype.element_ty), mask=at < n_classes)
    else:
        at = lanes
        x = tl.load(start + at * class_stride, mask=at < n_classes, other=float("-inf")).to(tl.float32)
        largest = tl.max(x, axis=0)
        shares = tl.exp(x - largest)
        total = tl.sum(shares, axis=0)
        chosen = tl.sum(tl.where(at == target, x, 0.0), axis=0)
        grad = shares / total - tl.where(at == target, 1.0, 0.0)
        grad = tl.where(counts, grad, 0.0)
        tl.store(grad_ptr + row * n_classes + at, grad.to(grad_ptr.dtype.element_ty), mask=at < n_classes)
    loss = tl.log(total) + (largest - chosen)
    tl.store(loss_ptr + row, tl.where(counts, loss, 0.0))


def cross_entropy(logits: Tensor, target: Tensor, block: int = 256, ignore: int = -100) -> tuple[Tensor, Tensor]:
    rows, classes = logits.shape
    loss = torch.empty((rows,), dtype=torch.float32, device=logits.device)
    grad = logits if logits.is_contiguous() else torch.empty((rows, classes), dtype=logits.dtype, device=logits.device)
    cross_entropy_kernel[(rows,)](
        logits, target, loss, grad, classes, ignore, logits.stride(0), logits.stride(1), BLOCK=block,
        WIDE=classes > block,
    )  # fmt: skip
    return loss, grad

# %% exercise="LayerNorm" wrong="difference_of_squares"
"""Variance as mean(x^2) - mean^2 (clamped at 0): no digits left for x with mean 1e4 and variance 1."""
class LayerNorm(nn.Module):
    def __init__(self, width: int, eps: float = 1e-5):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        centred = x - x.mean(-1, keepdim=True)
        variance = ((x * x).mean(-1, keepdim=True) - x.mean(-1, keepdim=True) ** 2).clamp(min=0)
        y = centred / torch.sqrt(variance + self.eps) * self.weight + self.bias
        return y.to(x.dtype)

# %% exercise="LayerNorm" wrong="nan_gradient_of_equals"
"""Takes the root of the variance first and squares it again: a vector of equal numbers has a gradient of NaN."""
class LayerNorm(nn.Module):
    def __init__(self, width: int, eps: float = 1e-5):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        centred = x - x.mean(-1, keepdim=True)
        deviation = torch.sqrt((centred * centred).mean(-1, keepdim=True))
        variance = deviation**2
        y = centred / torch.sqrt(variance + self.eps) * self.weight + self.bias
        return y.to(x.dtype)

# %% exercise="LayerNorm" wrong="unbiased_variance_2"
"""The variance divides by D - 1 (torch's default), not by D."""
class LayerNorm(nn.Module):
    def __init__(self, width: int, eps: float = 1e-5):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        centred = x - x.mean(-1, keepdim=True)
        variance = centred.var(-1, keepdim=True)
        y = centred / torch.sqrt(variance + self.eps) * self.weight + self.bias
        return y.to(x.dtype)

# %% exercise="LayerNorm" wrong="statistics_cut"
"""Mean and variance are computed without gradients, so the gradient of x lacks their terms."""
class LayerNorm(nn.Module):
    def __init__(self, width: int, eps: float = 1e-5):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            mean = x.mean(-1, keepdim=True)
            variance = ((x - mean) ** 2).mean(-1, keepdim=True)
        centred = x - mean
        y = centred / torch.sqrt(variance + self.eps) * self.weight + self.bias
        return y.to(x.dtype)

# %% exercise="LayerNorm" wrong="buffers_not_parameters"
"""weight and bias stand in the state dict but are buffers: no optimiser ever trains them."""
class LayerNorm(nn.Module):
    def __init__(self, width: int, eps: float = 1e-5):
        super().__init__()
        self.eps = eps
        self.register_buffer("weight", torch.ones(width))
        self.register_buffer("bias", torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        centred = x - x.mean(-1, keepdim=True)
        variance = (centred * centred).mean(-1, keepdim=True)
        y = centred / torch.sqrt(variance + self.eps) * self.weight + self.bias
        return y.to(x.dtype)

# %% exercise="LayerNorm" wrong="eps_as_a_floor"
"""eps is not added, it is the smallest variance allowed: wrong for small variances."""
class LayerNorm(nn.Module):
    def __init__(self, width: int, eps: float = 1e-5):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        centred = x - x.mean(-1, keepdim=True)
        variance = (centred * centred).mean(-1, keepdim=True)
        y = centred / torch.sqrt(variance.clamp(min=self.eps)) * self.weight + self.bias
        return y.to(x.dtype)

# %% exercise="RMSNorm" wrong="rounded_before_the_scale"
"""Rounds to the half dtype before the weight multiplies (as Llama's code does): halves are rounded twice and not scaled in float32."""
class RMSNorm(nn.Module):
    def __init__(self, width: int, eps: float = 1e-6):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        work = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        square = (work * work).mean(-1, keepdim=True)
        y = (work / torch.sqrt(square + self.eps)).to(x.dtype) * self.weight.to(x.dtype)
        return y.to(x.dtype)

# %% exercise="RMSNorm" wrong="always_float32"
"""x.float() for every dtype: float64 loses half of its digits."""
class RMSNorm(nn.Module):
    def __init__(self, width: int, eps: float = 1e-6):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        work = x.float()
        square = (work * work).mean(-1, keepdim=True)
        y = work / torch.sqrt(square + self.eps) * self.weight
        return y.to(x.dtype)

# %% exercise="RMSNorm" wrong="bfloat16_forgotten"
"""Only float16 goes to float32; bfloat16 is squared and averaged in bfloat16."""
class RMSNorm(nn.Module):
    def __init__(self, width: int, eps: float = 1e-6):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        work = x.float() if x.dtype == torch.float16 else x
        square = (work * work).mean(-1, keepdim=True)
        y = work / torch.sqrt(square + self.eps) * self.weight
        return y.to(x.dtype)

# %% exercise="RMSNorm" wrong="eps_behind_the_root"
"""eps is added to the root, not inside: wrong for small vectors."""
class RMSNorm(nn.Module):
    def __init__(self, width: int, eps: float = 1e-6):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        work = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        square = (work * work).mean(-1, keepdim=True)
        y = work / (torch.sqrt(square) + self.eps) * self.weight
        return y.to(x.dtype)

# %% exercise="RMSNorm" wrong="factor_cut"
"""The factor is computed under no_grad: the gradient of x lacks the part through the root mean square."""
class RMSNorm(nn.Module):
    def __init__(self, width: int, eps: float = 1e-6):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        work = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        with torch.no_grad():
            square = (work * work).mean(-1, keepdim=True)
        y = work / torch.sqrt(square + self.eps) * self.weight
        return y.to(x.dtype)

# %% exercise="RMSNorm" wrong="float32_comes_back"
"""The result of a float16 vector stays float32."""
class RMSNorm(nn.Module):
    def __init__(self, width: int, eps: float = 1e-6):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        work = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        square = (work * work).mean(-1, keepdim=True)
        y = work / torch.sqrt(square + self.eps) * self.weight
        return y

# %% exercise="RMSNorm" wrong="scaled_in_half"
"""The mean square is taken in float32, but the vector itself is divided and scaled in its half dtype."""
class RMSNorm(nn.Module):
    def __init__(self, width: int, eps: float = 1e-6):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        work = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        square = (work * work).mean(-1, keepdim=True)
        y = x / torch.sqrt(square + self.eps).to(x.dtype) * self.weight.to(x.dtype)
        return y.to(x.dtype)

# %% exercise="BatchNorm" wrong="graph_stays"
"""The running statistics are reassigned without detach: the graphs of all batches stay behind them."""
class BatchNorm(nn.Module):
    def __init__(self, width: int, eps: float = 1e-5, momentum: float = 0.1):
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))
        self.register_buffer("running_mean", torch.zeros(width))
        self.register_buffer("running_var", torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        flat = x.reshape(-1, x.shape[-1])
        if self.training:
            mean, variance = flat.mean(0), flat.var(0, correction=0)
            self.running_mean = (1 - self.momentum) * self.running_mean + self.momentum * mean
            self.running_var = (1 - self.momentum) * self.running_var + self.momentum * flat.var(0)
        else:
            mean, variance = self.running_mean, self.running_var
        return (x - mean) / torch.sqrt(variance + self.eps) * self.weight + self.bias

# %% exercise="BatchNorm" wrong="biased_into_running"
"""The variance that divides by N goes into running_var, not the unbiased one."""
class BatchNorm(nn.Module):
    def __init__(self, width: int, eps: float = 1e-5, momentum: float = 0.1):
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))
        self.register_buffer("running_mean", torch.zeros(width))
        self.register_buffer("running_var", torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        flat = x.reshape(-1, x.shape[-1])
        if self.training:
            mean, variance = flat.mean(0), flat.var(0, correction=0)
            with torch.no_grad():
                self.running_mean.lerp_(mean, self.momentum)
                self.running_var.lerp_(variance, self.momentum)
        else:
            mean, variance = self.running_mean, self.running_var
        return (x - mean) / torch.sqrt(variance + self.eps) * self.weight + self.bias

# %% exercise="BatchNorm" wrong="batch_statistics_cut"
"""Batch mean and variance are taken without gradients: the gradient of x lacks their terms."""
class BatchNorm(nn.Module):
    def __init__(self, width: int, eps: float = 1e-5, momentum: float = 0.1):
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))
        self.register_buffer("running_mean", torch.zeros(width))
        self.register_buffer("running_var", torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        flat = x.reshape(-1, x.shape[-1])
        if self.training:
            mean, variance = flat.detach().mean(0), flat.detach().var(0, correction=0)
            with torch.no_grad():
                self.running_mean.lerp_(mean, self.momentum)
                self.running_var.lerp_(flat.var(0), self.momentum)
        else:
            mean, variance = self.running_mean, self.running_var
        return (x - mean) / torch.sqrt(variance + self.eps) * self.weight + self.bias

# %% exercise="BatchNorm" wrong="momentum_of_the_old_2"
"""momentum is taken as the share of the old statistics, the other way round."""
class BatchNorm(nn.Module):
    def __init__(self, width: int, eps: float = 1e-5, momentum: float = 0.1):
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))
        self.register_buffer("running_mean", torch.zeros(width))
        self.register_buffer("running_var", torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        flat = x.reshape(-1, x.shape[-1])
        if self.training:
            mean, variance = flat.mean(0), flat.var(0, correction=0)
            with torch.no_grad():
                self.running_mean.lerp_(mean, 1 - self.momentum)
                self.running_var.lerp_(flat.var(0), 1 - self.momentum)
        else:
            mean, variance = self.running_mean, self.running_var
        return (x - mean) / torch.sqrt(variance + self.eps) * self.weight + self.bias

# %% exercise="BatchNorm" wrong="not_in_the_state_dict"
"""The buffers are not persistent: running statistics are missing in the state dict."""
class BatchNorm(nn.Module):
    def __init__(self, width: int, eps: float = 1e-5, momentum: float = 0.1):
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))
        self.register_buffer("running_mean", torch.zeros(width), persistent=False)
        self.register_buffer("running_var", torch.ones(width), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        flat = x.reshape(-1, x.shape[-1])
        if self.training:
            mean, variance = flat.mean(0), flat.var(0, correction=0)
            with torch.no_grad():
                self.running_mean.lerp_(mean, self.momentum)
                self.running_var.lerp_(flat.var(0), self.momentum)
        else:
            mean, variance = self.running_mean, self.running_var
        return (x - mean) / torch.sqrt(variance + self.eps) * self.weight + self.bias

# %% exercise="BatchNorm" wrong="first_axis_only"
"""Mean and variance over the first axis only: right for (N, D), wrong for (B, T, D), whose positions get statistics of their own."""
class BatchNorm(nn.Module):
    def __init__(self, width: int, eps: float = 1e-5, momentum: float = 0.1):
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))
        self.register_buffer("running_mean", torch.zeros(width))
        self.register_buffer("running_var", torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        flat = x.reshape(-1, x.shape[-1])
        if self.training:
            mean, variance = x.mean(0), x.var(0, correction=0)
            with torch.no_grad():
                self.running_mean.lerp_(flat.mean(0), self.momentum)
                self.running_var.lerp_(flat.var(0), self.momentum)
        else:
            mean, variance = self.running_mean, self.running_var
        return (x - mean) / torch.sqrt(variance + self.eps) * self.weight + self.bias

# %% exercise="BatchNorm" wrong="evaluation_moves_too"
"""The running statistics move in evaluation as well."""
class BatchNorm(nn.Module):
    def __init__(self, width: int, eps: float = 1e-5, momentum: float = 0.1):
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))
        self.register_buffer("running_mean", torch.zeros(width))
        self.register_buffer("running_var", torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        flat = x.reshape(-1, x.shape[-1])
        if self.training:
            mean, variance = flat.mean(0), flat.var(0, correction=0)
        else:
            mean, variance = self.running_mean.clone(), self.running_var.clone()
        if len(flat) > 1:
            with torch.no_grad():
                self.running_mean.lerp_(flat.mean(0), self.momentum)
                self.running_var.lerp_(flat.var(0), self.momentum)
        return (x - mean) / torch.sqrt(variance + self.eps) * self.weight + self.bias

# %% exercise="FeedForward" wrong="tanh_gelu"
"""GELU in the tanh approximation, not the exact one."""
class FeedForward(nn.Module):
    def __init__(self, width: int, hidden: int, activation: str = "relu"):
        super().__init__()
        if activation not in ("relu", "gelu"):
            raise ValueError(f"unknown activation {activation!r}")
        self.up = nn.Linear(width, hidden)
        self.down = nn.Linear(hidden, width)
        self.act = nn.functional.relu if activation == "relu" else nn.GELU(approximate="tanh")

    def forward(self, x: Tensor) -> Tensor:
        return self.down(self.act(self.up(x)))

# %% exercise="FeedForward" wrong="everything_else_is_gelu"
"""An unknown activation does not raise, it becomes GELU."""
class FeedForward(nn.Module):
    def __init__(self, width: int, hidden: int, activation: str = "relu"):
        super().__init__()
        self.up = nn.Linear(width, hidden)
        self.down = nn.Linear(hidden, width)
        self.act = nn.functional.relu if activation == "relu" else nn.functional.gelu

    def forward(self, x: Tensor) -> Tensor:
        return self.down(self.act(self.up(x)))

# %% exercise="FeedForward" wrong="key_error"
"""An unknown activation raises KeyError, not ValueError."""
class FeedForward(nn.Module):
    def __init__(self, width: int, hidden: int, activation: str = "relu"):
        super().__init__()
        self.up = nn.Linear(width, hidden)
        self.down = nn.Linear(hidden, width)
        self.act = {"relu": nn.functional.relu, "gelu": nn.functional.gelu}[activation]

    def forward(self, x: Tensor) -> Tensor:
        return self.down(self.act(self.up(x)))

# %% exercise="FeedForward" wrong="capitals_accepted"
""""GELU" and "ReLU" are accepted, where anything but the two names raises ValueError."""
class FeedForward(nn.Module):
    def __init__(self, width: int, hidden: int, activation: str = "relu"):
        super().__init__()
        activation = activation.lower()
        if activation not in ("relu", "gelu"):
            raise ValueError(f"unknown activation {activation!r}")
        self.up = nn.Linear(width, hidden)
        self.down = nn.Linear(hidden, width)
        self.act = nn.functional.relu if activation == "relu" else nn.functional.gelu

    def forward(self, x: Tensor) -> Tensor:
        return self.down(self.act(self.up(x)))

# %% exercise="FeedForward" wrong="any_torch_function"
"""Any function of torch.nn.functional is accepted: "silu" does not raise."""
class FeedForward(nn.Module):
    def __init__(self, width: int, hidden: int, activation: str = "relu"):
        super().__init__()
        if not hasattr(nn.functional, activation):
            raise ValueError(f"unknown activation {activation!r}")
        self.up = nn.Linear(width, hidden)
        self.down = nn.Linear(hidden, width)
        self.act = getattr(nn.functional, activation)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(self.act(self.up(x)))

# %% exercise="FeedForward" wrong="residual_inside"
"""Adds its input to the result, which is the layer's business: y = x + down(...)."""
class FeedForward(nn.Module):
    def __init__(self, width: int, hidden: int, activation: str = "relu"):
        super().__init__()
        if activation not in ("relu", "gelu"):
            raise ValueError(f"unknown activation {activation!r}")
        self.up = nn.Linear(width, hidden)
        self.down = nn.Linear(hidden, width)
        self.act = nn.functional.relu if activation == "relu" else nn.functional.gelu

    def forward(self, x: Tensor) -> Tensor:
        return x + self.down(self.act(self.up(x)))

# %% exercise="FeedForward" wrong="sigmoid_gelu"
"""GELU as x * sigmoid(1.702 x)."""
class FeedForward(nn.Module):
    def __init__(self, width: int, hidden: int, activation: str = "relu"):
        super().__init__()
        if activation not in ("relu", "gelu"):
            raise ValueError(f"unknown activation {activation!r}")
        self.up = nn.Linear(width, hidden)
        self.down = nn.Linear(hidden, width)
        self.act = nn.functional.relu if activation == "relu" else lambda z: z * torch.sigmoid(1.702 * z)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(self.act(self.up(x)))

# %% exercise="SwiGLU" wrong="bias_of_down"
"""down has a bias."""
class SwiGLU(nn.Module):
    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.gate = nn.Linear(width, hidden, bias=False)
        self.up = nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(nn.functional.silu(self.gate(x)) * self.up(x))

# %% exercise="SwiGLU" wrong="exp_overflows"
"""silu as z * exp(z) / (1 + exp(z)): NaN where a gate's number is above 88."""
class SwiGLU(nn.Module):
    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.gate = nn.Linear(width, hidden, bias=False)
        self.up = nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        z = self.gate(x)
        grown = torch.exp(z)
        return self.down(z * grown / (1 + grown) * self.up(x))

# %% exercise="SwiGLU" wrong="shared_matrix"
"""gate and up are one and the same linear map: loading two different matrices gives the wrong result."""
class SwiGLU(nn.Module):
    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.gate = nn.Linear(width, hidden, bias=False)
        self.up = self.gate
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(nn.functional.silu(self.gate(x)) * self.up(x))

# %% exercise="EncoderLayer" wrong="dropout_in_evaluation"
"""functional.dropout without self.training drops in evaluation too."""
class EncoderLayer(nn.Module):
    def __init__(
        self, width: int, heads: int, hidden: int, norm: str = "pre", activation: str = "relu", dropout: float = 0.0
    ):
        super().__init__()
        if norm not in ("pre", "post"):
            raise ValueError(f"norm is pre or post, not {norm!r}")
        self.norm = norm
        self.attention = MultiHeadAttention(width, heads)
        self.norm1 = LayerNorm(width)
        self.feed_forward = FeedForward(width, hidden, activation)
        self.norm2 = LayerNorm(width)
        self.dropout = lambda z: nn.functional.dropout(z, dropout)

    def add(self, x, norm, sublayer):
        if self.norm == "pre":
            return x + self.dropout(sublayer(norm(x)))
        return norm(x + self.dropout(sublayer(x)))

    def forward(self, x: Tensor, mask: Mask = None) -> Tensor:
        x = self.add(x, self.norm1, lambda z: self.attention(z, mask)[0])
        return self.add(x, self.norm2, self.feed_forward)

# %% exercise="EncoderLayer" wrong="nan_at_probability_one"
"""Own dropout divides by 1 - dropout: NaN for dropout = 1, which is allowed."""
class EncoderLayer(nn.Module):
    def __init__(
        self, width: int, heads: int, hidden: int, norm: str = "pre", activation: str = "relu", dropout: float = 0.0
    ):
        super().__init__()
        if norm not in ("pre", "post"):
            raise ValueError(f"norm is pre or post, not {norm!r}")
        self.norm = norm
        self.attention = MultiHeadAttention(width, heads)
        self.norm1 = LayerNorm(width)
        self.feed_forward = FeedForward(width, hidden, activation)
        self.norm2 = LayerNorm(width)
        self.rate = dropout

    def dropout(self, z):
        if not self.training or self.rate == 0:
            return z
        return z * (torch.rand_like(z) >= self.rate) / (1 - self.rate)

    def add(self, x, norm, sublayer):
        if self.norm == "pre":
            return x + self.dropout(sublayer(norm(x)))
        return norm(x + self.dropout(sublayer(x)))

    def forward(self, x: Tensor, mask: Mask = None) -> Tensor:
        x = self.add(x, self.norm1, lambda z: self.attention(z, mask)[0])
        return self.add(x, self.norm2, self.feed_forward)

# %% exercise="EncoderLayer" wrong="eps_of_a_millionth"
"""The norms are built with eps 1e-6, not LayerNorm's own."""
class EncoderLayer(nn.Module):
    def __init__(
        self, width: int, heads: int, hidden: int, norm: str = "pre", activation: str = "relu", dropout: float = 0.0
    ):
        super().__init__()
        if norm not in ("pre", "post"):
            raise ValueError(f"norm is pre or post, not {norm!r}")
        self.norm = norm
        self.attention = MultiHeadAttention(width, heads)
        self.norm1 = LayerNorm(width, 1e-6)
        self.feed_forward = FeedForward(width, hidden, activation)
        self.norm2 = LayerNorm(width, 1e-6)
        self.dropout = nn.Dropout(dropout)

    def add(self, x, norm, sublayer):
        if self.norm == "pre":
            return x + self.dropout(sublayer(norm(x)))
        return norm(x + self.dropout(sublayer(x)))

    def forward(self, x: Tensor, mask: Mask = None) -> Tensor:
        x = self.add(x, self.norm1, lambda z: self.attention(z, mask)[0])
        return self.add(x, self.norm2, self.feed_forward)

# %% exercise="EncoderLayer" wrong="everything_else_is_post"
"""An unknown norm does not raise, it is treated as post."""
class EncoderLayer(nn.Module):
    def __init__(
        self, width: int, heads: int, hidden: int, norm: str = "pre", activation: str = "relu", dropout: float = 0.0
    ):
        super().__init__()
        self.norm = norm
        self.attention = MultiHeadAttention(width, heads)
        self.norm1 = LayerNorm(width)
        self.feed_forward = FeedForward(width, hidden, activation)
        self.norm2 = LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def add(self, x, norm, sublayer):
        if self.norm == "pre":
            return x + self.dropout(sublayer(norm(x)))
        return norm(x + self.dropout(sublayer(x)))

    def forward(self, x: Tensor, mask: Mask = None) -> Tensor:
        x = self.add(x, self.norm1, lambda z: self.attention(z, mask)[0])
        return self.add(x, self.norm2, self.feed_forward)

# %% exercise="EncoderLayer" wrong="activation_lost"
"""activation is not handed to FeedForward: "gelu" computes relu."""
class EncoderLayer(nn.Module):
    def __init__(
        self, width: int, heads: int, hidden: int, norm: str = "pre", activation: str = "relu", dropout: float = 0.0
    ):
        super().__init__()
        if norm not in ("pre", "post"):
            raise ValueError(f"norm is pre or post, not {norm!r}")
        self.norm = norm
        self.attention = MultiHeadAttention(width, heads)
        self.norm1 = LayerNorm(width)
        self.feed_forward = FeedForward(width, hidden)
        self.norm2 = LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def add(self, x, norm, sublayer):
        if self.norm == "pre":
            return x + self.dropout(sublayer(norm(x)))
        return norm(x + self.dropout(sublayer(x)))

    def forward(self, x: Tensor, mask: Mask = None) -> Tensor:
        x = self.add(x, self.norm1, lambda z: self.attention(z, mask)[0])
        return self.add(x, self.norm2, self.feed_forward)

# %% exercise="EncoderLayer" wrong="adds_to_the_normalised"
"""Pre-norm adds the sublayer to the normalised copy, not to the stream."""
class EncoderLayer(nn.Module):
    def __init__(
        self, width: int, heads: int, hidden: int, norm: str = "pre", activation: str = "relu", dropout: float = 0.0
    ):
        super().__init__()
        if norm not in ("pre", "post"):
            raise ValueError(f"norm is pre or post, not {norm!r}")
        self.norm = norm
        self.attention = MultiHeadAttention(width, heads)
        self.norm1 = LayerNorm(width)
        self.feed_forward = FeedForward(width, hidden, activation)
        self.norm2 = LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def add(self, x, norm, sublayer):
        if self.norm == "pre":
            x = norm(x)
            return x + self.dropout(sublayer(x))
        return norm(x + self.dropout(sublayer(x)))

    def forward(self, x: Tensor, mask: Mask = None) -> Tensor:
        x = self.add(x, self.norm1, lambda z: self.attention(z, mask)[0])
        return self.add(x, self.norm2, self.feed_forward)

# %% exercise="EncoderLayer" wrong="hidden_dropped_too"
"""Dropout acts on the hidden numbers of the feed-forward layer as well."""
class EncoderLayer(nn.Module):
    def __init__(
        self, width: int, heads: int, hidden: int, norm: str = "pre", activation: str = "relu", dropout: float = 0.0
    ):
        super().__init__()
        if norm not in ("pre", "post"):
            raise ValueError(f"norm is pre or post, not {norm!r}")
        self.norm = norm
        self.attention = MultiHeadAttention(width, heads)
        self.norm1 = LayerNorm(width)
        self.feed_forward = FeedForward(width, hidden, activation)
        self.norm2 = LayerNorm(width)
        self.dropout = nn.Dropout(dropout)
        self.feed_forward.down.register_forward_pre_hook(lambda part, given: (self.dropout(given[0]),))

    def add(self, x, norm, sublayer):
        if self.norm == "pre":
            return x + self.dropout(sublayer(norm(x)))
        return norm(x + self.dropout(sublayer(x)))

    def forward(self, x: Tensor, mask: Mask = None) -> Tensor:
        x = self.add(x, self.norm1, lambda z: self.attention(z, mask)[0])
        return self.add(x, self.norm2, self.feed_forward)

# %% exercise="EncoderLayer" wrong="second_not_dropped"
"""Dropout acts on the attention's output only."""
class EncoderLayer(nn.Module):
    def __init__(
        self, width: int, heads: int, hidden: int, norm: str = "pre", activation: str = "relu", dropout: float = 0.0
    ):
        super().__init__()
        if norm not in ("pre", "post"):
            raise ValueError(f"norm is pre or post, not {norm!r}")
        self.norm = norm
        self.attention = MultiHeadAttention(width, heads)
        self.norm1 = LayerNorm(width)
        self.feed_forward = FeedForward(width, hidden, activation)
        self.norm2 = LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def add(self, x, norm, sublayer):
        if self.norm == "pre":
            return x + self.dropout(sublayer(norm(x)))
        return norm(x + self.dropout(sublayer(x)))

    def forward(self, x: Tensor, mask: Mask = None) -> Tensor:
        x = self.add(x, self.norm1, lambda z: self.attention(z, mask)[0])
        if self.norm == "pre":
            return x + self.feed_forward(self.norm2(x))
        return self.norm2(x + self.feed_forward(x))

# %% exercise="DecoderLayer" wrong="memory_normalised_2"
"""Pre-norm normalises the memory with norm2 as well."""
class DecoderLayer(nn.Module):
    def __init__(
        self, width: int, heads: int, hidden: int, norm: str = "pre", activation: str = "relu", dropout: float = 0.0
    ):
        super().__init__()
        if norm not in ("pre", "post"):
            raise ValueError(f"norm is pre or post, not {norm!r}")
        self.norm = norm
        self.self_attention = MultiHeadAttention(width, heads)
        self.norm1 = LayerNorm(width)
        self.cross_attention = MultiHeadAttention(width, heads)
        self.norm2 = LayerNorm(width)
        self.feed_forward = FeedForward(width, hidden, activation)
        self.norm3 = LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def add(self, x, norm, sublayer):
        if self.norm == "pre":
            return x + self.dropout(sublayer(norm(x)))
        return norm(x + self.dropout(sublayer(x)))

    def forward(self, x: Tensor, memory: Tensor, mask: Mask = None, memory_mask: Mask = None) -> Tensor:
        x = self.add(x, self.norm1, lambda z: self.self_attention(z, mask)[0])
        x = self.add(x, self.norm2, lambda z: self.cross_attention(z, memory_mask, self.norm2(memory) if self.norm == "pre" else memory)[0])
        return self.add(x, self.norm3, self.feed_forward)

# %% exercise="DecoderLayer" wrong="memory_dropped_2"
"""Dropout acts on the memory too."""
class DecoderLayer(nn.Module):
    def __init__(
        self, width: int, heads: int, hidden: int, norm: str = "pre", activation: str = "relu", dropout: float = 0.0
    ):
        super().__init__()
        if norm not in ("pre", "post"):
            raise ValueError(f"norm is pre or post, not {norm!r}")
        self.norm = norm
        self.self_attention = MultiHeadAttention(width, heads)
        self.norm1 = LayerNorm(width)
        self.cross_attention = MultiHeadAttention(width, heads)
        self.norm2 = LayerNorm(width)
        self.feed_forward = FeedForward(width, hidden, activation)
        self.norm3 = LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def add(self, x, norm, sublayer):
        if self.norm == "pre":
            return x + self.dropout(sublayer(norm(x)))
        return norm(x + self.dropout(sublayer(x)))

    def forward(self, x: Tensor, memory: Tensor, mask: Mask = None, memory_mask: Mask = None) -> Tensor:
        x = self.add(x, self.norm1, lambda z: self.self_attention(z, mask)[0])
        x = self.add(x, self.norm2, lambda z: self.cross_attention(z, memory_mask, self.dropout(memory))[0])
        return self.add(x, self.norm3, self.feed_forward)

# %% exercise="DecoderLayer" wrong="causal_by_itself"
"""Hides the later positions when no mask is given, where the layer hides nothing by itself."""
class DecoderLayer(nn.Module):
    def __init__(
        self, width: int, heads: int, hidden: int, norm: str = "pre", activation: str = "relu", dropout: float = 0.0
    ):
        super().__init__()
        if norm not in ("pre", "post"):
            raise ValueError(f"norm is pre or post, not {norm!r}")
        self.norm = norm
        self.self_attention = MultiHeadAttention(width, heads)
        self.norm1 = LayerNorm(width)
        self.cross_attention = MultiHeadAttention(width, heads)
        self.norm2 = LayerNorm(width)
        self.feed_forward = FeedForward(width, hidden, activation)
        self.norm3 = LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def add(self, x, norm, sublayer):
        if self.norm == "pre":
            return x + self.dropout(sublayer(norm(x)))
        return norm(x + self.dropout(sublayer(x)))

    def forward(self, x: Tensor, memory: Tensor, mask: Mask = None, memory_mask: Mask = None) -> Tensor:
        if mask is None:
            mask = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool, device=x.device).tril()
        x = self.add(x, self.norm1, lambda z: self.self_attention(z, mask)[0])
        x = self.add(x, self.norm2, lambda z: self.cross_attention(z, memory_mask, memory)[0])
        return self.add(x, self.norm3, self.feed_forward)

# %% exercise="DecoderLayer" wrong="cross_reads_raw_stream"
"""Pre-norm: the queries of the cross-attention are the stream, not normalised."""
class DecoderLayer(nn.Module):
    def __init__(
        self, width: int, heads: int, hidden: int, norm: str = "pre", activation: str = "relu", dropout: float = 0.0
    ):
        super().__init__()
        if norm not in ("pre", "post"):
            raise ValueError(f"norm is pre or post, not {norm!r}")
        self.norm = norm
        self.self_attention = MultiHeadAttention(width, heads)
        self.norm1 = LayerNorm(width)
        self.cross_attention = MultiHeadAttention(width, heads)
        self.norm2 = LayerNorm(width)
        self.feed_forward = FeedForward(width, hidden, activation)
        self.norm3 = LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def add(self, x, norm, sublayer):
        if self.norm == "pre":
            return x + self.dropout(sublayer(norm(x)))
        return norm(x + self.dropout(sublayer(x)))

    def forward(self, x: Tensor, memory: Tensor, mask: Mask = None, memory_mask: Mask = None) -> Tensor:
        x = self.add(x, self.norm1, lambda z: self.self_attention(z, mask)[0])
        cross = self.cross_attention(x, memory_mask, memory)[0]
        x = x + self.dropout(cross)
        x = x if self.norm == "pre" else self.norm2(x)
        return self.add(x, self.norm3, self.feed_forward)

# %% exercise="DecoderLayer" wrong="cross_first_2"
"""Cross-attention acts before self-attention."""
class DecoderLayer(nn.Module):
    def __init__(
        self, width: int, heads: int, hidden: int, norm: str = "pre", activation: str = "relu", dropout: float = 0.0
    ):
        super().__init__()
        if norm not in ("pre", "post"):
            raise ValueError(f"norm is pre or post, not {norm!r}")
        self.norm = norm
        self.self_attention = MultiHeadAttention(width, heads)
        self.norm1 = LayerNorm(width)
        self.cross_attention = MultiHeadAttention(width, heads)
        self.norm2 = LayerNorm(width)
        self.feed_forward = FeedForward(width, hidden, activation)
        self.norm3 = LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def add(self, x, norm, sublayer):
        if self.norm == "pre":
            return x + self.dropout(sublayer(norm(x)))
        return norm(x + self.dropout(sublayer(x)))

    def forward(self, x: Tensor, memory: Tensor, mask: Mask = None, memory_mask: Mask = None) -> Tensor:
        x = self.add(x, self.norm2, lambda z: self.cross_attention(z, memory_mask, memory)[0])
        x = self.add(x, self.norm1, lambda z: self.self_attention(z, mask)[0])
        return self.add(x, self.norm3, self.feed_forward)

# %% exercise="DecoderLayer" wrong="memory_mask_lost"
"""memory_mask is never used: the padding of the source is seen."""
class DecoderLayer(nn.Module):
    def __init__(
        self, width: int, heads: int, hidden: int, norm: str = "pre", activation: str = "relu", dropout: float = 0.0
    ):
        super().__init__()
        if norm not in ("pre", "post"):
            raise ValueError(f"norm is pre or post, not {norm!r}")
        self.norm = norm
        self.self_attention = MultiHeadAttention(width, heads)
        self.norm1 = LayerNorm(width)
        self.cross_attention = MultiHeadAttention(width, heads)
        self.norm2 = LayerNorm(width)
        self.feed_forward = FeedForward(width, hidden, activation)
        self.norm3 = LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def add(self, x, norm, sublayer):
        if self.norm == "pre":
            return x + self.dropout(sublayer(norm(x)))
        return norm(x + self.dropout(sublayer(x)))

    def forward(self, x: Tensor, memory: Tensor, mask: Mask = None, memory_mask: Mask = None) -> Tensor:
        x = self.add(x, self.norm1, lambda z: self.self_attention(z, mask)[0])
        x = self.add(x, self.norm2, lambda z: self.cross_attention(z, None, memory)[0])
        return self.add(x, self.norm3, self.feed_forward)

# %% exercise="DecoderLayer" wrong="dropout_before_the_sublayer"
"""Dropout acts on what goes into a sublayer, not on its output."""
class DecoderLayer(nn.Module):
    def __init__(
        self, width: int, heads: int, hidden: int, norm: str = "pre", activation: str = "relu", dropout: float = 0.0
    ):
        super().__init__()
        if norm not in ("pre", "post"):
            raise ValueError(f"norm is pre or post, not {norm!r}")
        self.norm = norm
        self.self_attention = MultiHeadAttention(width, heads)
        self.norm1 = LayerNorm(width)
        self.cross_attention = MultiHeadAttention(width, heads)
        self.norm2 = LayerNorm(width)
        self.feed_forward = FeedForward(width, hidden, activation)
        self.norm3 = LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def add(self, x, norm, sublayer):
        if self.norm == "pre":
            return x + sublayer(self.dropout(norm(x)))
        return norm(x + sublayer(self.dropout(x)))

    def forward(self, x: Tensor, memory: Tensor, mask: Mask = None, memory_mask: Mask = None) -> Tensor:
        x = self.add(x, self.norm1, lambda z: self.self_attention(z, mask)[0])
        x = self.add(x, self.norm2, lambda z: self.cross_attention(z, memory_mask, memory)[0])
        return self.add(x, self.norm3, self.feed_forward)

# %% exercise="DecoderLayer" wrong="dropout_in_evaluation"
"""functional.dropout without self.training drops in evaluation too."""
class DecoderLayer(nn.Module):
    def __init__(
        self, width: int, heads: int, hidden: int, norm: str = "pre", activation: str = "relu", dropout: float = 0.0
    ):
        super().__init__()
        if norm not in ("pre", "post"):
            raise ValueError(f"norm is pre or post, not {norm!r}")
        self.norm = norm
        self.self_attention = MultiHeadAttention(width, heads)
        self.norm1 = LayerNorm(width)
        self.cross_attention = MultiHeadAttention(width, heads)
        self.norm2 = LayerNorm(width)
        self.feed_forward = FeedForward(width, hidden, activation)
        self.norm3 = LayerNorm(width)
        self.dropout = lambda z: nn.functional.dropout(z, dropout)

    def add(self, x, norm, sublayer):
        if self.norm == "pre":
            return x + self.dropout(sublayer(norm(x)))
        return norm(x + self.dropout(sublayer(x)))

    def forward(self, x: Tensor, memory: Tensor, mask: Mask = None, memory_mask: Mask = None) -> Tensor:
        x = self.add(x, self.norm1, lambda z: self.self_attention(z, mask)[0])
        x = self.add(x, self.norm2, lambda z: self.cross_attention(z, memory_mask, memory)[0])
        return self.add(x, self.norm3, self.feed_forward)

# %% exercise="Transformer" wrong="closing_norms_in_post_2"
"""The closing norms stand there with norm="post" too."""
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
        for table in (self.source_embedding, self.target_embedding):
            nn.init.normal_(table.weight, std=width**-0.5)
        self.encoder = nn.ModuleList(
            EncoderLayer(width, heads, hidden, norm, activation, dropout) for _ in range(layers)
        )
        self.decoder = nn.ModuleList(
            DecoderLayer(width, heads, hidden, norm, activation, dropout) for _ in range(layers)
        )
        self.encoder_norm = LayerNorm(width)
        self.decoder_norm = LayerNorm(width)
        self.dropout = nn.Dropout(dropout)
        self.register_buffer("positions", sinusoidal_encoding(max_length, width))

    def embed(self, ids, table):
        length = ids.shape[1]
        if length > self.max_length:
            raise ValueError(f"{length} tokens, at most {self.max_length}")
        return self.dropout(table(ids) * math.sqrt(self.width) + self.positions[:length])

    def encode(self, source: Tensor) -> tuple[Tensor, Tensor]:
        keep = source != PAD
        x = self.embed(source, self.source_embedding)
        for layer in self.encoder:
            x = layer(x, keep[:, None, None, :])
        return self.encoder_norm(x), keep

    def decode(self, target: Tensor, memory: Tensor, source_keep: Tensor) -> Tensor:
        x = self.embed(target, self.target_embedding)
        causal = torch.ones(target.shape[1], target.shape[1], dtype=torch.bool, device=x.device).tril()
        for layer in self.decoder:
            x = layer(x, memory, causal, source_keep[:, None, None, :])
        return self.decoder_norm(x) @ self.target_embedding.weight.T

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        memory, keep = self.encode(source)
        return self.decode(target, memory, keep)

# %% exercise="Transformer" wrong="positions_trained"
"""The sinusoids are a parameter, so they are trained."""
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
        for table in (self.source_embedding, self.target_embedding):
            nn.init.normal_(table.weight, std=width**-0.5)
        self.encoder = nn.ModuleList(
            EncoderLayer(width, heads, hidden, norm, activation, dropout) for _ in range(layers)
        )
        self.decoder = nn.ModuleList(
            DecoderLayer(width, heads, hidden, norm, activation, dropout) for _ in range(layers)
        )
        self.encoder_norm = LayerNorm(width) if norm == "pre" else nn.Identity()
        self.decoder_norm = LayerNorm(width) if norm == "pre" else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.positions = nn.Parameter(sinusoidal_encoding(max_length, width))

    def embed(self, ids, table):
        length = ids.shape[1]
        if length > self.max_length:
            raise ValueError(f"{length} tokens, at most {self.max_length}")
        return self.dropout(table(ids) * math.sqrt(self.width) + self.positions[:length])

    def encode(self, source: Tensor) -> tuple[Tensor, Tensor]:
        keep = source != PAD
        x = self.embed(source, self.source_embedding)
        for layer in self.encoder:
            x = layer(x, keep[:, None, None, :])
        return self.encoder_norm(x), keep

    def decode(self, target: Tensor, memory: Tensor, source_keep: Tensor) -> Tensor:
        x = self.embed(target, self.target_embedding)
        causal = torch.ones(target.shape[1], target.shape[1], dtype=torch.bool, device=x.device).tril()
        for layer in self.decoder:
            x = layer(x, memory, causal, source_keep[:, None, None, :])
        return self.decoder_norm(x) @ self.target_embedding.weight.T

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        memory, keep = self.encode(source)
        return self.decode(target, memory, keep)

# %% exercise="Transformer" wrong="sum_not_dropped"
"""Dropout does not act on the sum of embedding and position."""
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
        for table in (self.source_embedding, self.target_embedding):
            nn.init.normal_(table.weight, std=width**-0.5)
        self.encoder = nn.ModuleList(
            EncoderLayer(width, heads, hidden, norm, activation, dropout) for _ in range(layers)
        )
        self.decoder = nn.ModuleList(
            DecoderLayer(width, heads, hidden, norm, activation, dropout) for _ in range(layers)
        )
        self.encoder_norm = LayerNorm(width) if norm == "pre" else nn.Identity()
        self.decoder_norm = LayerNorm(width) if norm == "pre" else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.register_buffer("positions", sinusoidal_encoding(max_length, width))

    def embed(self, ids, table):
        length = ids.shape[1]
        if length > self.max_length:
            raise ValueError(f"{length} tokens, at most {self.max_length}")
        return table(ids) * math.sqrt(self.width) + self.positions[:length]

    def encode(self, source: Tensor) -> tuple[Tensor, Tensor]:
        keep = source != PAD
        x = self.embed(source, self.source_embedding)
        for layer in self.encoder:
            x = layer(x, keep[:, None, None, :])
        return self.encoder_norm(x), keep

    def decode(self, target: Tensor, memory: Tensor, source_keep: Tensor) -> Tensor:
        x = self.embed(target, self.target_embedding)
        causal = torch.ones(target.shape[1], target.shape[1], dtype=torch.bool, device=x.device).tril()
        for layer in self.decoder:
            x = layer(x, memory, causal, source_keep[:, None, None, :])
        return self.decoder_norm(x) @ self.target_embedding.weight.T

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        memory, keep = self.encode(source)
        return self.decode(target, memory, keep)

# %% exercise="Transformer" wrong="positions_not_dropped"
"""Dropout acts on the embedding before the position is added."""
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
        for table in (self.source_embedding, self.target_embedding):
            nn.init.normal_(table.weight, std=width**-0.5)
        self.encoder = nn.ModuleList(
            EncoderLayer(width, heads, hidden, norm, activation, dropout) for _ in range(layers)
        )
        self.decoder = nn.ModuleList(
            DecoderLayer(width, heads, hidden, norm, activation, dropout) for _ in range(layers)
        )
        self.encoder_norm = LayerNorm(width) if norm == "pre" else nn.Identity()
        self.decoder_norm = LayerNorm(width) if norm == "pre" else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.register_buffer("positions", sinusoidal_encoding(max_length, width))

    def embed(self, ids, table):
        length = ids.shape[1]
        if length > self.max_length:
            raise ValueError(f"{length} tokens, at most {self.max_length}")
        return self.dropout(table(ids) * math.sqrt(self.width)) + self.positions[:length]

    def encode(self, source: Tensor) -> tuple[Tensor, Tensor]:
        keep = source != PAD
        x = self.embed(source, self.source_embedding)
        for layer in self.encoder:
            x = layer(x, keep[:, None, None, :])
        return self.encoder_norm(x), keep

    def decode(self, target: Tensor, memory: Tensor, source_keep: Tensor) -> Tensor:
        x = self.embed(target, self.target_embedding)
        causal = torch.ones(target.shape[1], target.shape[1], dtype=torch.bool, device=x.device).tril()
        for layer in self.decoder:
            x = layer(x, memory, causal, source_keep[:, None, None, :])
        return self.decoder_norm(x) @ self.target_embedding.weight.T

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        memory, keep = self.encode(source)
        return self.decode(target, memory, keep)

# %% exercise="Transformer" wrong="one_too_short"
"""A sequence of exactly max_length tokens raises."""
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
        for table in (self.source_embedding, self.target_embedding):
            nn.init.normal_(table.weight, std=width**-0.5)
        self.encoder = nn.ModuleList(
            EncoderLayer(width, heads, hidden, norm, activation, dropout) for _ in range(layers)
        )
        self.decoder = nn.ModuleList(
            DecoderLayer(width, heads, hidden, norm, activation, dropout) for _ in range(layers)
        )
        self.encoder_norm = LayerNorm(width) if norm == "pre" else nn.Identity()
        self.decoder_norm = LayerNorm(width) if norm == "pre" else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.register_buffer("positions", sinusoidal_encoding(max_length, width))

    def embed(self, ids, table):
        length = ids.shape[1]
        if length >= self.max_length:
            raise ValueError(f"{length} tokens, at most {self.max_length}")
        return self.dropout(table(ids) * math.sqrt(self.width) + self.positions[:length])

    def encode(self, source: Tensor) -> tuple[Tensor, Tensor]:
        keep = source != PAD
        x = self.embed(source, self.source_embedding)
        for layer in self.encoder:
            x = layer(x, keep[:, None, None, :])
        return self.encoder_norm(x), keep

    def decode(self, target: Tensor, memory: Tensor, source_keep: Tensor) -> Tensor:
        x = self.embed(target, self.target_embedding)
        causal = torch.ones(target.shape[1], target.shape[1], dtype=torch.bool, device=x.device).tril()
        for layer in self.decoder:
            x = layer(x, memory, causal, source_keep[:, None, None, :])
        return self.decoder_norm(x) @ self.target_embedding.weight.T

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        memory, keep = self.encode(source)
        return self.decode(target, memory, keep)

# %% exercise="Transformer" wrong="target_may_be_longer"
"""Only the source is checked: a target longer than max_length is decoded."""
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
        for table in (self.source_embedding, self.target_embedding):
            nn.init.normal_(table.weight, std=width**-0.5)
        self.encoder = nn.ModuleList(
            EncoderLayer(width, heads, hidden, norm, activation, dropout) for _ in range(layers)
        )
        self.decoder = nn.ModuleList(
            DecoderLayer(width, heads, hidden, norm, activation, dropout) for _ in range(layers)
        )
        self.encoder_norm = LayerNorm(width) if norm == "pre" else nn.Identity()
        self.decoder_norm = LayerNorm(width) if norm == "pre" else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.register_buffer("positions", sinusoidal_encoding(max_length, width))

    def embed(self, ids, table):
        length = ids.shape[1]
        if table is self.source_embedding and length > self.max_length:
            raise ValueError(f"{length} tokens, at most {self.max_length}")
        return self.dropout(table(ids) * math.sqrt(self.width) + sinusoidal_encoding(length, self.width).to(self.positions))

    def encode(self, source: Tensor) -> tuple[Tensor, Tensor]:
        keep = source != PAD
        x = self.embed(source, self.source_embedding)
        for layer in self.encoder:
            x = layer(x, keep[:, None, None, :])
        return self.encoder_norm(x), keep

    def decode(self, target: Tensor, memory: Tensor, source_keep: Tensor) -> Tensor:
        x = self.embed(target, self.target_embedding)
        causal = torch.ones(target.shape[1], target.shape[1], dtype=torch.bool, device=x.device).tril()
        for layer in self.decoder:
            x = layer(x, memory, causal, source_keep[:, None, None, :])
        return self.decoder_norm(x) @ self.target_embedding.weight.T

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        memory, keep = self.encode(source)
        return self.decode(target, memory, keep)

# %% exercise="Transformer" wrong="keep_with_four_axes"
"""encode gives keep as (B, 1, 1, S), not (B, S)."""
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
        for table in (self.source_embedding, self.target_embedding):
            nn.init.normal_(table.weight, std=width**-0.5)
        self.encoder = nn.ModuleList(
            EncoderLayer(width, heads, hidden, norm, activation, dropout) for _ in range(layers)
        )
        self.decoder = nn.ModuleList(
            DecoderLayer(width, heads, hidden, norm, activation, dropout) for _ in range(layers)
        )
        self.encoder_norm = LayerNorm(width) if norm == "pre" else nn.Identity()
        self.decoder_norm = LayerNorm(width) if norm == "pre" else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.register_buffer("positions", sinusoidal_encoding(max_length, width))

    def embed(self, ids, table):
        length = ids.shape[1]
        if length > self.max_length:
            raise ValueError(f"{length} tokens, at most {self.max_length}")
        return self.dropout(table(ids) * math.sqrt(self.width) + self.positions[:length])

    def encode(self, source: Tensor) -> tuple[Tensor, Tensor]:
        keep = (source != PAD)[:, None, None, :]
        x = self.embed(source, self.source_embedding)
        for layer in self.encoder:
            x = layer(x, keep)
        return self.encoder_norm(x), keep

    def decode(self, target: Tensor, memory: Tensor, source_keep: Tensor) -> Tensor:
        x = self.embed(target, self.target_embedding)
        causal = torch.ones(target.shape[1], target.shape[1], dtype=torch.bool, device=x.device).tril()
        for layer in self.decoder:
            x = layer(x, memory, causal, source_keep)
        return self.decoder_norm(x) @ self.target_embedding.weight.T

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        memory, keep = self.encode(source)
        return self.decode(target, memory, keep)

# %% exercise="Transformer" wrong="fresh_size_one"
"""The embeddings keep torch's standard deviation of 1."""
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
        self.encoder = nn.ModuleList(
            EncoderLayer(width, heads, hidden, norm, activation, dropout) for _ in range(layers)
        )
        self.decoder = nn.ModuleList(
            DecoderLayer(width, heads, hidden, norm, activation, dropout) for _ in range(layers)
        )
        self.encoder_norm = LayerNorm(width) if norm == "pre" else nn.Identity()
        self.decoder_norm = LayerNorm(width) if norm == "pre" else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.register_buffer("positions", sinusoidal_encoding(max_length, width))

    def embed(self, ids, table):
        length = ids.shape[1]
        if length > self.max_length:
            raise ValueError(f"{length} tokens, at most {self.max_length}")
        return self.dropout(table(ids) * math.sqrt(self.width) + self.positions[:length])

    def encode(self, source: Tensor) -> tuple[Tensor, Tensor]:
        keep = source != PAD
        x = self.embed(source, self.source_embedding)
        for layer in self.encoder:
            x = layer(x, keep[:, None, None, :])
        return self.encoder_norm(x), keep

    def decode(self, target: Tensor, memory: Tensor, source_keep: Tensor) -> Tensor:
        x = self.embed(target, self.target_embedding)
        causal = torch.ones(target.shape[1], target.shape[1], dtype=torch.bool, device=x.device).tril()
        for layer in self.decoder:
            x = layer(x, memory, causal, source_keep[:, None, None, :])
        return self.decoder_norm(x) @ self.target_embedding.weight.T

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        memory, keep = self.encode(source)
        return self.decode(target, memory, keep)

# %% exercise="Transformer" wrong="decoder_sees_padding"
"""The decoder gets no memory mask."""
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
        for table in (self.source_embedding, self.target_embedding):
            nn.init.normal_(table.weight, std=width**-0.5)
        self.encoder = nn.ModuleList(
            EncoderLayer(width, heads, hidden, norm, activation, dropout) for _ in range(layers)
        )
        self.decoder = nn.ModuleList(
            DecoderLayer(width, heads, hidden, norm, activation, dropout) for _ in range(layers)
        )
        self.encoder_norm = LayerNorm(width) if norm == "pre" else nn.Identity()
        self.decoder_norm = LayerNorm(width) if norm == "pre" else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.register_buffer("positions", sinusoidal_encoding(max_length, width))

    def embed(self, ids, table):
        length = ids.shape[1]
        if length > self.max_length:
            raise ValueError(f"{length} tokens, at most {self.max_length}")
        return self.dropout(table(ids) * math.sqrt(self.width) + self.positions[:length])

    def encode(self, source: Tensor) -> tuple[Tensor, Tensor]:
        keep = source != PAD
        x = self.embed(source, self.source_embedding)
        for layer in self.encoder:
            x = layer(x, keep[:, None, None, :])
        return self.encoder_norm(x), keep

    def decode(self, target: Tensor, memory: Tensor, source_keep: Tensor) -> Tensor:
        x = self.embed(target, self.target_embedding)
        causal = torch.ones(target.shape[1], target.shape[1], dtype=torch.bool, device=x.device).tril()
        for layer in self.decoder:
            x = layer(x, memory, causal)
        return self.decoder_norm(x) @ self.target_embedding.weight.T

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        memory, keep = self.encode(source)
        return self.decode(target, memory, keep)

# %% exercise="Transformer" wrong="decoder_without_dropout"
"""dropout is not handed to the decoder's layers."""
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
        for table in (self.source_embedding, self.target_embedding):
            nn.init.normal_(table.weight, std=width**-0.5)
        self.encoder = nn.ModuleList(
            EncoderLayer(width, heads, hidden, norm, activation, dropout) for _ in range(layers)
        )
        self.decoder = nn.ModuleList(
            DecoderLayer(width, heads, hidden, norm, activation) for _ in range(layers)
        )
        self.encoder_norm = LayerNorm(width) if norm == "pre" else nn.Identity()
        self.decoder_norm = LayerNorm(width) if norm == "pre" else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.register_buffer("positions", sinusoidal_encoding(max_length, width))

    def embed(self, ids, table):
        length = ids.shape[1]
        if length > self.max_length:
            raise ValueError(f"{length} tokens, at most {self.max_length}")
        return self.dropout(table(ids) * math.sqrt(self.width) + self.positions[:length])

    def encode(self, source: Tensor) -> tuple[Tensor, Tensor]:
        keep = source != PAD
        x = self.embed(source, self.source_embedding)
        for layer in self.encoder:
            x = layer(x, keep[:, None, None, :])
        return self.encoder_norm(x), keep

    def decode(self, target: Tensor, memory: Tensor, source_keep: Tensor) -> Tensor:
        x = self.embed(target, self.target_embedding)
        causal = torch.ones(target.shape[1], target.shape[1], dtype=torch.bool, device=x.device).tril()
        for layer in self.decoder:
            x = layer(x, memory, causal, source_keep[:, None, None, :])
        return self.decoder_norm(x) @ self.target_embedding.weight.T

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        memory, keep = self.encode(source)
        return self.decode(target, memory, keep)

# %% exercise="Transformer" wrong="one_layer_many_times"
"""The layers of each side are one layer, repeated."""
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
        for table in (self.source_embedding, self.target_embedding):
            nn.init.normal_(table.weight, std=width**-0.5)
        self.encoder = nn.ModuleList([EncoderLayer(width, heads, hidden, norm, activation, dropout)] * layers)
        self.decoder = nn.ModuleList([DecoderLayer(width, heads, hidden, norm, activation, dropout)] * layers)
        self.encoder_norm = LayerNorm(width) if norm == "pre" else nn.Identity()
        self.decoder_norm = LayerNorm(width) if norm == "pre" else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.register_buffer("positions", sinusoidal_encoding(max_length, width))

    def embed(self, ids, table):
        length = ids.shape[1]
        if length > self.max_length:
            raise ValueError(f"{length} tokens, at most {self.max_length}")
        return self.dropout(table(ids) * math.sqrt(self.width) + self.positions[:length])

    def encode(self, source: Tensor) -> tuple[Tensor, Tensor]:
        keep = source != PAD
        x = self.embed(source, self.source_embedding)
        for layer in self.encoder:
            x = layer(x, keep[:, None, None, :])
        return self.encoder_norm(x), keep

    def decode(self, target: Tensor, memory: Tensor, source_keep: Tensor) -> Tensor:
        x = self.embed(target, self.target_embedding)
        causal = torch.ones(target.shape[1], target.shape[1], dtype=torch.bool, device=x.device).tril()
        for layer in self.decoder:
            x = layer(x, memory, causal, source_keep[:, None, None, :])
        return self.decoder_norm(x) @ self.target_embedding.weight.T

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        memory, keep = self.encode(source)
        return self.decode(target, memory, keep)

# %% exercise="gradient_norms_by_depth" wrong="heads_ignored"
"""heads is not handed on: always four heads."""
def gradient_norms_by_depth(
    states: list[dict[str, Tensor]], x: Tensor, direction: Tensor, norm: str, heads: int = 4
) -> Tensor:
    width = x.shape[-1]
    stack = []
    for state in states:
        layer = EncoderLayer(width, 4, len(state["feed_forward.up.weight"]), norm)
        layer.load_state_dict(state)
        stack.append(layer)
    out = x
    for layer in stack:
        out = layer(out)
    if norm == "pre":
        out = LayerNorm(width)(out)
    loss = (out * direction).sum(-1).mean()
    grads = torch.autograd.grad(loss, [layer.feed_forward.down.weight for layer in stack])
    return torch.stack([grad.norm() for grad in grads])

# %% exercise="gradient_norms_by_depth" wrong="with_a_graph"
"""create_graph=True: the norms come back with a graph behind them."""
def gradient_norms_by_depth(
    states: list[dict[str, Tensor]], x: Tensor, direction: Tensor, norm: str, heads: int = 4
) -> Tensor:
    width = x.shape[-1]
    stack = []
    for state in states:
        layer = EncoderLayer(width, heads, len(state["feed_forward.up.weight"]), norm)
        layer.load_state_dict(state)
        stack.append(layer)
    out = x
    for layer in stack:
        out = layer(out)
    if norm == "pre":
        out = LayerNorm(width)(out)
    loss = (out * direction).sum(-1).mean()
    grads = torch.autograd.grad(loss, [layer.feed_forward.down.weight for layer in stack], create_graph=True)
    return torch.stack([grad.norm() for grad in grads])

# %% exercise="gradient_norms_by_depth" wrong="no_closing_norm_2"
"""The closing LayerNorm of pre-norm is missing."""
def gradient_norms_by_depth(
    states: list[dict[str, Tensor]], x: Tensor, direction: Tensor, norm: str, heads: int = 4
) -> Tensor:
    width = x.shape[-1]
    stack = []
    for state in states:
        layer = EncoderLayer(width, heads, len(state["feed_forward.up.weight"]), norm)
        layer.load_state_dict(state)
        stack.append(layer)
    out = x
    for layer in stack:
        out = layer(out)
    loss = (out * direction).sum(-1).mean()
    grads = torch.autograd.grad(loss, [layer.feed_forward.down.weight for layer in stack])
    return torch.stack([grad.norm() for grad in grads])

# %% exercise="gradient_norms_by_depth" wrong="norm_behind_post"
"""The closing LayerNorm stands behind a post-norm stack too: differs where the last norm2 has other weights than ones."""
def gradient_norms_by_depth(
    states: list[dict[str, Tensor]], x: Tensor, direction: Tensor, norm: str, heads: int = 4
) -> Tensor:
    width = x.shape[-1]
    stack = []
    for state in states:
        layer = EncoderLayer(width, heads, len(state["feed_forward.up.weight"]), norm)
        layer.load_state_dict(state)
        stack.append(layer)
    out = x
    for layer in stack:
        out = layer(out)
    out = LayerNorm(width)(out)
    loss = (out * direction).sum(-1).mean()
    grads = torch.autograd.grad(loss, [layer.feed_forward.down.weight for layer in stack])
    return torch.stack([grad.norm() for grad in grads])

# %% exercise="gradient_norms_by_depth" wrong="mean_over_numbers_2"
"""The loss is the mean over all B * T * D products, not the mean over tokens of the dot product."""
def gradient_norms_by_depth(
    states: list[dict[str, Tensor]], x: Tensor, direction: Tensor, norm: str, heads: int = 4
) -> Tensor:
    width = x.shape[-1]
    stack = []
    for state in states:
        layer = EncoderLayer(width, heads, len(state["feed_forward.up.weight"]), norm)
        layer.load_state_dict(state)
        stack.append(layer)
    out = x
    for layer in stack:
        out = layer(out)
    if norm == "pre":
        out = LayerNorm(width)(out)
    loss = (out * direction).mean()
    grads = torch.autograd.grad(loss, [layer.feed_forward.down.weight for layer in stack])
    return torch.stack([grad.norm() for grad in grads])

# %% exercise="gradient_norms_by_depth" wrong="spectral_norm_2"
"""The largest singular value, not the Frobenius norm."""
def gradient_norms_by_depth(
    states: list[dict[str, Tensor]], x: Tensor, direction: Tensor, norm: str, heads: int = 4
) -> Tensor:
    width = x.shape[-1]
    stack = []
    for state in states:
        layer = EncoderLayer(width, heads, len(state["feed_forward.up.weight"]), norm)
        layer.load_state_dict(state)
        stack.append(layer)
    out = x
    for layer in stack:
        out = layer(out)
    if norm == "pre":
        out = LayerNorm(width)(out)
    loss = (out * direction).sum(-1).mean()
    grads = torch.autograd.grad(loss, [layer.feed_forward.down.weight for layer in stack])
    return torch.stack([torch.linalg.matrix_norm(grad, ord=2) for grad in grads])

# %% exercise="gradient_norms_by_depth" wrong="last_layer_first_2"
"""The norms come back with the last layer first."""
def gradient_norms_by_depth(
    states: list[dict[str, Tensor]], x: Tensor, direction: Tensor, norm: str, heads: int = 4
) -> Tensor:
    width = x.shape[-1]
    stack = []
    for state in states:
        layer = EncoderLayer(width, heads, len(state["feed_forward.up.weight"]), norm)
        layer.load_state_dict(state)
        stack.append(layer)
    out = x
    for layer in stack:
        out = layer(out)
    if norm == "pre":
        out = LayerNorm(width)(out)
    loss = (out * direction).sum(-1).mean()
    grads = torch.autograd.grad(loss, [layer.feed_forward.down.weight for layer in stack])
    return torch.stack([grad.norm() for grad in reversed(grads)])

# %% exercise="rmsnorm_forward" wrong="copied_first"
"""x.contiguous() copies an x with other strides: a second launch."""
@triton.jit
def rmsnorm_kernel(x_ptr, weight_ptr, out_ptr, n_cols, eps, x_row, x_col, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    columns = tl.arange(0, BLOCK)
    inside = columns < n_cols
    x = tl.load(x_ptr + row * x_row + columns * x_col, mask=inside, other=0.0).to(tl.float32)
    weight = tl.load(weight_ptr + columns, mask=inside, other=0.0).to(tl.float32)
    root = tl.sqrt(tl.sum(x * x, axis=0) / n_cols + eps)
    tl.store(out_ptr + row * n_cols + columns, x / root * weight, mask=inside)


def rmsnorm_forward(x: Tensor, weight: Tensor, eps: float = 1e-6) -> Tensor:
    x = x.contiguous()
    rows, cols = x.shape
    out = torch.empty((rows, cols), dtype=x.dtype, device=x.device)
    rmsnorm_kernel[(rows,)](x, weight, out, cols, eps, x.stride(0), x.stride(1), BLOCK=triton.next_power_of_2(cols))
    return out

# %% exercise="rmsnorm_forward" wrong="result_filled"
"""The result begins as torch.zeros: a fill, so a second launch."""
@triton.jit
def rmsnorm_kernel(x_ptr, weight_ptr, out_ptr, n_cols, eps, x_row, x_col, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    columns = tl.arange(0, BLOCK)
    inside = columns < n_cols
    x = tl.load(x_ptr + row * x_row + columns * x_col, mask=inside, other=0.0).to(tl.float32)
    weight = tl.load(weight_ptr + columns, mask=inside, other=0.0).to(tl.float32)
    root = tl.sqrt(tl.sum(x * x, axis=0) / n_cols + eps)
    tl.store(out_ptr + row * n_cols + columns, x / root * weight, mask=inside)


def rmsnorm_forward(x: Tensor, weight: Tensor, eps: float = 1e-6) -> Tensor:
    rows, cols = x.shape
    out = torch.zeros((rows, cols), dtype=x.dtype, device=x.device)
    rmsnorm_kernel[(rows,)](x, weight, out, cols, eps, x.stride(0), x.stride(1), BLOCK=triton.next_power_of_2(cols))
    return out

# %% exercise="rmsnorm_forward" wrong="weight_converted"
"""weight.float() by torch: a second launch for half precision."""
@triton.jit
def rmsnorm_kernel(x_ptr, weight_ptr, out_ptr, n_cols, eps, x_row, x_col, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    columns = tl.arange(0, BLOCK)
    inside = columns < n_cols
    x = tl.load(x_ptr + row * x_row + columns * x_col, mask=inside, other=0.0).to(tl.float32)
    weight = tl.load(weight_ptr + columns, mask=inside, other=0.0).to(tl.float32)
    root = tl.sqrt(tl.sum(x * x, axis=0) / n_cols + eps)
    tl.store(out_ptr + row * n_cols + columns, x / root * weight, mask=inside)


def rmsnorm_forward(x: Tensor, weight: Tensor, eps: float = 1e-6) -> Tensor:
    weight = weight.float()
    rows, cols = x.shape
    out = torch.empty((rows, cols), dtype=x.dtype, device=x.device)
    rmsnorm_kernel[(rows,)](x, weight, out, cols, eps, x.stride(0), x.stride(1), BLOCK=triton.next_power_of_2(cols))
    return out

# %% exercise="rmsnorm_forward" wrong="rounded_twice"
"""The normalised row is rounded to the dtype before the weight multiplies."""
@triton.jit
def rmsnorm_kernel(x_ptr, weight_ptr, out_ptr, n_cols, eps, x_row, x_col, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    columns = tl.arange(0, BLOCK)
    inside = columns < n_cols
    x = tl.load(x_ptr + row * x_row + columns * x_col, mask=inside, other=0.0).to(tl.float32)
    weight = tl.load(weight_ptr + columns, mask=inside, other=0.0).to(tl.float32)
    root = tl.sqrt(tl.sum(x * x, axis=0) / n_cols + eps)
    tl.store(out_ptr + row * n_cols + columns, (x / root).to(out_ptr.dtype.element_ty).to(tl.float32) * weight, mask=inside)


def rmsnorm_forward(x: Tensor, weight: Tensor, eps: float = 1e-6) -> Tensor:
    rows, cols = x.shape
    out = torch.empty((rows, cols), dtype=x.dtype, device=x.device)
    rmsnorm_kernel[(rows,)](x, weight, out, cols, eps, x.stride(0), x.stride(1), BLOCK=triton.next_power_of_2(cols))
    return out

# %% exercise="rmsnorm_forward" wrong="row_read_twice"
"""The row is loaded once for its mean square and once more for the result."""
@triton.jit
def rmsnorm_kernel(x_ptr, weight_ptr, out_ptr, n_cols, eps, x_row, x_col, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    columns = tl.arange(0, BLOCK)
    inside = columns < n_cols
    x = tl.load(x_ptr + row * x_row + columns * x_col, mask=inside, other=0.0).to(tl.float32)
    weight = tl.load(weight_ptr + columns, mask=inside, other=0.0).to(tl.float32)
    root = tl.sqrt(tl.sum(x * x, axis=0) / n_cols + eps)
    x = tl.load(x_ptr + row * x_row + columns * x_col, mask=inside, other=0.0).to(tl.float32)
    tl.store(out_ptr + row * n_cols + columns, x / root * weight, mask=inside)


def rmsnorm_forward(x: Tensor, weight: Tensor, eps: float = 1e-6) -> Tensor:
    rows, cols = x.shape
    out = torch.empty((rows, cols), dtype=x.dtype, device=x.device)
    rmsnorm_kernel[(rows,)](x, weight, out, cols, eps, x.stride(0), x.stride(1), BLOCK=triton.next_power_of_2(cols))
    return out

# %% exercise="rmsnorm_forward" wrong="one_program_2"
"""A single program walks over all rows."""
@triton.jit
def rmsnorm_kernel(x_ptr, weight_ptr, out_ptr, n_rows, n_cols, eps, x_row, x_col, BLOCK: tl.constexpr):
    columns = tl.arange(0, BLOCK)
    inside = columns < n_cols
    weight = tl.load(weight_ptr + columns, mask=inside, other=0.0).to(tl.float32)
    for row in range(n_rows):
        x = tl.load(x_ptr + row * x_row + columns * x_col, mask=inside, other=0.0).to(tl.float32)
        root = tl.sqrt(tl.sum(x * x, axis=0) / n_cols + eps)
        tl.store(out_ptr + row * n_cols + columns, x / root * weight, mask=inside)


def rmsnorm_forward(x: Tensor, weight: Tensor, eps: float = 1e-6) -> Tensor:
    rows, cols = x.shape
    out = torch.empty((rows, cols), dtype=x.dtype, device=x.device)
    rmsnorm_kernel[(1,)](x, weight, out, rows, cols, eps, x.stride(0), x.stride(1), BLOCK=triton.next_power_of_2(cols))
    return out

# %% exercise="rmsnorm_forward" wrong="strides_kept"
"""torch.empty_like keeps the strides of a transposed x, and the store follows them: the result is not contiguous."""
@triton.jit
def rmsnorm_kernel(x_ptr, weight_ptr, out_ptr, n_cols, eps, x_row, x_col, out_row, out_col, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    columns = tl.arange(0, BLOCK)
    inside = columns < n_cols
    x = tl.load(x_ptr + row * x_row + columns * x_col, mask=inside, other=0.0).to(tl.float32)
    weight = tl.load(weight_ptr + columns, mask=inside, other=0.0).to(tl.float32)
    root = tl.sqrt(tl.sum(x * x, axis=0) / n_cols + eps)
    tl.store(out_ptr + row * out_row + columns * out_col, x / root * weight, mask=inside)


def rmsnorm_forward(x: Tensor, weight: Tensor, eps: float = 1e-6) -> Tensor:
    rows, cols = x.shape
    out = torch.empty_like(x)
    rmsnorm_kernel[(rows,)](x, weight, out, cols, eps, x.stride(0), x.stride(1), out.stride(0), out.stride(1), BLOCK=triton.next_power_of_2(cols))
    return out

# %% exercise="rmsnorm_forward" wrong="mean_over_lanes"
"""Divides by BLOCK, not by the number of columns: wrong where C is no power of two."""
@triton.jit
def rmsnorm_kernel(x_ptr, weight_ptr, out_ptr, n_cols, eps, x_row, x_col, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    columns = tl.arange(0, BLOCK)
    inside = columns < n_cols
    x = tl.load(x_ptr + row * x_row + columns * x_col, mask=inside, other=0.0).to(tl.float32)
    weight = tl.load(weight_ptr + columns, mask=inside, other=0.0).to(tl.float32)
    root = tl.sqrt(tl.sum(x * x, axis=0) / BLOCK + eps)
    tl.store(out_ptr + row * n_cols + columns, x / root * weight, mask=inside)


def rmsnorm_forward(x: Tensor, weight: Tensor, eps: float = 1e-6) -> Tensor:
    rows, cols = x.shape
    out = torch.empty((rows, cols), dtype=x.dtype, device=x.device)
    rmsnorm_kernel[(rows,)](x, weight, out, cols, eps, x.stride(0), x.stride(1), BLOCK=triton.next_power_of_2(cols))
    return out

# %% exercise="rmsnorm_forward" wrong="squares_in_half_2"
"""Squares in the dtype of x: 400 squared is infinite in float16."""
@triton.jit
def rmsnorm_kernel(x_ptr, weight_ptr, out_ptr, n_cols, eps, x_row, x_col, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    columns = tl.arange(0, BLOCK)
    inside = columns < n_cols
    x = tl.load(x_ptr + row * x_row + columns * x_col, mask=inside, other=0.0)
    weight = tl.load(weight_ptr + columns, mask=inside, other=0.0).to(tl.float32)
    root = tl.sqrt(tl.sum((x * x).to(tl.float32), axis=0) / n_cols + eps)
    tl.store(out_ptr + row * n_cols + columns, x / root * weight, mask=inside)


def rmsnorm_forward(x: Tensor, weight: Tensor, eps: float = 1e-6) -> Tensor:
    rows, cols = x.shape
    out = torch.empty((rows, cols), dtype=x.dtype, device=x.device)
    rmsnorm_kernel[(rows,)](x, weight, out, cols, eps, x.stride(0), x.stride(1), BLOCK=triton.next_power_of_2(cols))
    return out

# %% exercise="rmsnorm_forward" wrong="dense_columns"
"""Ignores the stride of the columns."""
@triton.jit
def rmsnorm_kernel(x_ptr, weight_ptr, out_ptr, n_cols, eps, x_row, x_col, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    columns = tl.arange(0, BLOCK)
    inside = columns < n_cols
    x = tl.load(x_ptr + row * x_row + columns, mask=inside, other=0.0).to(tl.float32)
    weight = tl.load(weight_ptr + columns, mask=inside, other=0.0).to(tl.float32)
    root = tl.sqrt(tl.sum(x * x, axis=0) / n_cols + eps)
    tl.store(out_ptr + row * n_cols + columns, x / root * weight, mask=inside)


def rmsnorm_forward(x: Tensor, weight: Tensor, eps: float = 1e-6) -> Tensor:
    rows, cols = x.shape
    out = torch.empty((rows, cols), dtype=x.dtype, device=x.device)
    rmsnorm_kernel[(rows,)](x, weight, out, cols, eps, x.stride(0), x.stride(1), BLOCK=triton.next_power_of_2(cols))
    return out

# %% exercise="rmsnorm_backward" wrong="partial_sums_in_half"
"""The partial sums are stored in the dtype of x: for halves they are rounded before they are added."""
@triton.jit
def rmsnorm_rows_kernel(
    dy_ptr, x_ptr, weight_ptr, dx_ptr, partial_ptr, n_rows, n_cols, eps,
    dy_row, dy_col, x_row, x_col, BLOCK: tl.constexpr,
):  # fmt: skip
    first = tl.program_id(0)
    columns = tl.arange(0, BLOCK)
    inside = columns < n_cols
    weight = tl.load(weight_ptr + columns, mask=inside, other=0.0).to(tl.float32)
    share = tl.zeros((BLOCK,), tl.float32)
    for row in range(first, n_rows, tl.num_programs(0)):
        dy = tl.load(dy_ptr + row * dy_row + columns * dy_col, mask=inside, other=0.0).to(tl.float32)
        x = tl.load(x_ptr + row * x_row + columns * x_col, mask=inside, other=0.0).to(tl.float32)
        r = 1 / tl.sqrt(tl.sum(x * x, axis=0) / n_cols + eps)
        hat = x * r
        g = dy * weight
        dx = r * (g - hat * (tl.sum(g * hat, axis=0) / n_cols))
        tl.store(dx_ptr + row * n_cols + columns, dx, mask=inside)
        share += dy * hat
    tl.store(partial_ptr + first * n_cols + columns, share, mask=inside)


@triton.jit
def rmsnorm_sum_kernel(partial_ptr, dweight_ptr, n_partial, n_cols, BLOCK: tl.constexpr):
    columns = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = columns < n_cols
    total = tl.zeros((BLOCK,), tl.float32)
    for row in range(n_partial):
        total += tl.load(partial_ptr + row * n_cols + columns, mask=inside, other=0.0).to(tl.float32)
    tl.store(dweight_ptr + columns, total, mask=inside)


def rmsnorm_backward(
    dy: Tensor, x: Tensor, weight: Tensor, eps: float = 1e-6, programs: int = 4
) -> tuple[Tensor, Tensor]:
    rows, cols = x.shape
    programs = min(programs, rows)
    dx = torch.empty((rows, cols), dtype=x.dtype, device=x.device)
    dweight = torch.empty((cols,), dtype=weight.dtype, device=x.device)
    partial = torch.empty((programs, cols), dtype=x.dtype, device=x.device)
    rmsnorm_rows_kernel[(programs,)](
        dy, x, weight, dx, partial, rows, cols, eps, *dy.stride(), *x.stride(), BLOCK=triton.next_power_of_2(cols)
    )
    rmsnorm_sum_kernel[(triton.cdiv(cols, 128),)](partial, dweight, programs, cols, BLOCK=128)
    return dx, dweight

# %% exercise="rmsnorm_backward" wrong="rest_left_out"
"""Each program takes R // programs rows, the rest of the division is left out: its dx is never written."""
@triton.jit
def rmsnorm_rows_kernel(
    dy_ptr, x_ptr, weight_ptr, dx_ptr, partial_ptr, n_rows, n_cols, eps,
    dy_row, dy_col, x_row, x_col, BLOCK: tl.constexpr,
):  # fmt: skip
    first = tl.program_id(0)
    columns = tl.arange(0, BLOCK)
    inside = columns < n_cols
    weight = tl.load(weight_ptr + columns, mask=inside, other=0.0).to(tl.float32)
    share = tl.zeros((BLOCK,), tl.float32)
    for row in range(first * (n_rows // tl.num_programs(0)), (first + 1) * (n_rows // tl.num_programs(0))):
        dy = tl.load(dy_ptr + row * dy_row + columns * dy_col, mask=inside, other=0.0).to(tl.float32)
        x = tl.load(x_ptr + row * x_row + columns * x_col, mask=inside, other=0.0).to(tl.float32)
        r = 1 / tl.sqrt(tl.sum(x * x, axis=0) / n_cols + eps)
        hat = x * r
        g = dy * weight
        dx = r * (g - hat * (tl.sum(g * hat, axis=0) / n_cols))
        tl.store(dx_ptr + row * n_cols + columns, dx, mask=inside)
        share += dy * hat
    tl.store(partial_ptr + first * n_cols + columns, share, mask=inside)


@triton.jit
def rmsnorm_sum_kernel(partial_ptr, dweight_ptr, n_partial, n_cols, BLOCK: tl.constexpr):
    columns = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = columns < n_cols
    total = tl.zeros((BLOCK,), tl.float32)
    for row in range(n_partial):
        total += tl.load(partial_ptr + row * n_cols + columns, mask=inside, other=0.0)
    tl.store(dweight_ptr + columns, total, mask=inside)


def rmsnorm_backward(
    dy: Tensor, x: Tensor, weight: Tensor, eps: float = 1e-6, programs: int = 4
) -> tuple[Tensor, Tensor]:
    rows, cols = x.shape
    programs = min(programs, rows)
    dx = torch.empty((rows, cols), dtype=x.dtype, device=x.device)
    dweight = torch.empty((cols,), dtype=weight.dtype, device=x.device)
    partial = torch.empty((programs, cols), dtype=torch.float32, device=x.device)
    rmsnorm_rows_kernel[(programs,)](
        dy, x, weight, dx, partial, rows, cols, eps, *dy.stride(), *x.stride(), BLOCK=triton.next_power_of_2(cols)
    )
    rmsnorm_sum_kernel[(triton.cdiv(cols, 128),)](partial, dweight, programs, cols, BLOCK=128)
    return dx, dweight

# %% exercise="rmsnorm_backward" wrong="partial_filled"
"""The partial sums begin as torch.zeros: a third launch."""
@triton.jit
def rmsnorm_rows_kernel(
    dy_ptr, x_ptr, weight_ptr, dx_ptr, partial_ptr, n_rows, n_cols, eps,
    dy_row, dy_col, x_row, x_col, BLOCK: tl.constexpr,
):  # fmt: skip
    first = tl.program_id(0)
    columns = tl.arange(0, BLOCK)
    inside = columns < n_cols
    weight = tl.load(weight_ptr + columns, mask=inside, other=0.0).to(tl.float32)
    share = tl.zeros((BLOCK,), tl.float32)
    for row in range(first, n_rows, tl.num_programs(0)):
        dy = tl.load(dy_ptr + row * dy_row + columns * dy_col, mask=inside, other=0.0).to(tl.float32)
        x = tl.load(x_ptr + row * x_row + columns * x_col, mask=inside, other=0.0).to(tl.float32)
        r = 1 / tl.sqrt(tl.sum(x * x, axis=0) / n_cols + eps)
        hat = x * r
        g = dy * weight
        dx = r * (g - hat * (tl.sum(g * hat, axis=0) / n_cols))
        tl.store(dx_ptr + row * n_cols + columns, dx, mask=inside)
        share += dy * hat
    tl.store(partial_ptr + first * n_cols + columns, share, mask=inside)


@triton.jit
def rmsnorm_sum_kernel(partial_ptr, dweight_ptr, n_partial, n_cols, BLOCK: tl.constexpr):
    columns = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = columns < n_cols
    total = tl.zeros((BLOCK,), tl.float32)
    for row in range(n_partial):
        total += tl.load(partial_ptr + row * n_cols + columns, mask=inside, other=0.0)
    tl.store(dweight_ptr + columns, total, mask=inside)


def rmsnorm_backward(
    dy: Tensor, x: Tensor, weight: Tensor, eps: float = 1e-6, programs: int = 4
) -> tuple[Tensor, Tensor]:
    rows, cols = x.shape
    programs = min(programs, rows)
    dx = torch.empty((rows, cols), dtype=x.dtype, device=x.device)
    dweight = torch.empty((cols,), dtype=weight.dtype, device=x.device)
    partial = torch.zeros((programs, cols), dtype=torch.float32, device=x.device)
    rmsnorm_rows_kernel[(programs,)](
        dy, x, weight, dx, partial, rows, cols, eps, *dy.stride(), *x.stride(), BLOCK=triton.next_power_of_2(cols)
    )
    rmsnorm_sum_kernel[(triton.cdiv(cols, 128),)](partial, dweight, programs, cols, BLOCK=128)
    return dx, dweight

# %% exercise="rmsnorm_backward" wrong="converted_by_torch"
"""dweight is summed in float32 and converted by torch: a third launch for halves."""
@triton.jit
def rmsnorm_rows_kernel(
    dy_ptr, x_ptr, weight_ptr, dx_ptr, partial_ptr, n_rows, n_cols, eps,
    dy_row, dy_col, x_row, x_col, BLOCK: tl.constexpr,
):  # fmt: skip
    first = tl.program_id(0)
    columns = tl.arange(0, BLOCK)
    inside = columns < n_cols
    weight = tl.load(weight_ptr + columns, mask=inside, other=0.0).to(tl.float32)
    share = tl.zeros((BLOCK,), tl.float32)
    for row in range(first, n_rows, tl.num_programs(0)):
        dy = tl.load(dy_ptr + row * dy_row + columns * dy_col, mask=inside, other=0.0).to(tl.float32)
        x = tl.load(x_ptr + row * x_row + columns * x_col, mask=inside, other=0.0).to(tl.float32)
        r = 1 / tl.sqrt(tl.sum(x * x, axis=0) / n_cols + eps)
        hat = x * r
        g = dy * weight
        dx = r * (g - hat * (tl.sum(g * hat, axis=0) / n_cols))
        tl.store(dx_ptr + row * n_cols + columns, dx, mask=inside)
        share += dy * hat
    tl.store(partial_ptr + first * n_cols + columns, share, mask=inside)


@triton.jit
def rmsnorm_sum_kernel(partial_ptr, dweight_ptr, n_partial, n_cols, BLOCK: tl.constexpr):
    columns = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = columns < n_cols
    total = tl.zeros((BLOCK,), tl.float32)
    for row in range(n_partial):
        total += tl.load(partial_ptr + row * n_cols + columns, mask=inside, other=0.0)
    tl.store(dweight_ptr + columns, total, mask=inside)


def rmsnorm_backward(
    dy: Tensor, x: Tensor, weight: Tensor, eps: float = 1e-6, programs: int = 4
) -> tuple[Tensor, Tensor]:
    rows, cols = x.shape
    programs = min(programs, rows)
    dx = torch.empty((rows, cols), dtype=x.dtype, device=x.device)
    dweight = torch.empty((cols,), dtype=torch.float32, device=x.device)
    partial = torch.empty((programs, cols), dtype=torch.float32, device=x.device)
    rmsnorm_rows_kernel[(programs,)](
        dy, x, weight, dx, partial, rows, cols, eps, *dy.stride(), *x.stride(), BLOCK=triton.next_power_of_2(cols)
    )
    rmsnorm_sum_kernel[(triton.cdiv(cols, 128),)](partial, dweight, programs, cols, BLOCK=128)
    return dx, dweight.to(weight.dtype)

# %% exercise="rmsnorm_backward" wrong="atomic_adds_2"
"""Programs add their shares to dweight with atomics, in any order."""
@triton.jit
def rmsnorm_rows_kernel(
    dy_ptr, x_ptr, weight_ptr, dx_ptr, partial_ptr, n_rows, n_cols, eps,
    dy_row, dy_col, x_row, x_col, BLOCK: tl.constexpr,
):  # fmt: skip
    first = tl.program_id(0)
    columns = tl.arange(0, BLOCK)
    inside = columns < n_cols
    weight = tl.load(weight_ptr + columns, mask=inside, other=0.0).to(tl.float32)
    share = tl.zeros((BLOCK,), tl.float32)
    for row in range(first, n_rows, tl.num_programs(0)):
        dy = tl.load(dy_ptr + row * dy_row + columns * dy_col, mask=inside, other=0.0).to(tl.float32)
        x = tl.load(x_ptr + row * x_row + columns * x_col, mask=inside, other=0.0).to(tl.float32)
        r = 1 / tl.sqrt(tl.sum(x * x, axis=0) / n_cols + eps)
        hat = x * r
        g = dy * weight
        dx = r * (g - hat * (tl.sum(g * hat, axis=0) / n_cols))
        tl.store(dx_ptr + row * n_cols + columns, dx, mask=inside)
        share += dy * hat
    tl.atomic_add(partial_ptr + columns, share, mask=inside)


@triton.jit
def rmsnorm_sum_kernel(partial_ptr, dweight_ptr, n_partial, n_cols, BLOCK: tl.constexpr):
    columns = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = columns < n_cols
    total = tl.zeros((BLOCK,), tl.float32)
    for row in range(n_partial):
        total += tl.load(partial_ptr + row * n_cols + columns, mask=inside, other=0.0)
    tl.store(dweight_ptr + columns, total, mask=inside)


def rmsnorm_backward(
    dy: Tensor, x: Tensor, weight: Tensor, eps: float = 1e-6, programs: int = 4
) -> tuple[Tensor, Tensor]:
    rows, cols = x.shape
    programs = min(programs, rows)
    dx = torch.empty((rows, cols), dtype=x.dtype, device=x.device)
    dweight = torch.empty((cols,), dtype=weight.dtype, device=x.device)
    partial = torch.zeros((1, cols), dtype=torch.float32, device=x.device)
    rmsnorm_rows_kernel[(programs,)](
        dy, x, weight, dx, partial, rows, cols, eps, *dy.stride(), *x.stride(), BLOCK=triton.next_power_of_2(cols)
    )
    return dx, partial[0].to(weight.dtype)

# %% exercise="rmsnorm_backward" wrong="strides_of_x_for_dy_2"
"""dy is read with the strides of x: wrong where the two lie differently in memory."""
@triton.jit
def rmsnorm_rows_kernel(
    dy_ptr, x_ptr, weight_ptr, dx_ptr, partial_ptr, n_rows, n_cols, eps,
    dy_row, dy_col, x_row, x_col, BLOCK: tl.constexpr,
):  # fmt: skip
    first = tl.program_id(0)
    columns = tl.arange(0, BLOCK)
    inside = columns < n_cols
    weight = tl.load(weight_ptr + columns, mask=inside, other=0.0).to(tl.float32)
    share = tl.zeros((BLOCK,), tl.float32)
    for row in range(first, n_rows, tl.num_programs(0)):
        dy = tl.load(dy_ptr + row * dy_row + columns * dy_col, mask=inside, other=0.0).to(tl.float32)
        x = tl.load(x_ptr + row * x_row + columns * x_col, mask=inside, other=0.0).to(tl.float32)
        r = 1 / tl.sqrt(tl.sum(x * x, axis=0) / n_cols + eps)
        hat = x * r
        g = dy * weight
        dx = r * (g - hat * (tl.sum(g * hat, axis=0) / n_cols))
        tl.store(dx_ptr + row * n_cols + columns, dx, mask=inside)
        share += dy * hat
    tl.store(partial_ptr + first * n_cols + columns, share, mask=inside)


@triton.jit
def rmsnorm_sum_kernel(partial_ptr, dweight_ptr, n_partial, n_cols, BLOCK: tl.constexpr):
    columns = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = columns < n_cols
    total = tl.zeros((BLOCK,), tl.float32)
    for row in range(n_partial):
        total += tl.load(partial_ptr + row * n_cols + columns, mask=inside, other=0.0)
    tl.store(dweight_ptr + columns, total, mask=inside)


def rmsnorm_backward(
    dy: Tensor, x: Tensor, weight: Tensor, eps: float = 1e-6, programs: int = 4
) -> tuple[Tensor, Tensor]:
    rows, cols = x.shape
    programs = min(programs, rows)
    dx = torch.empty((rows, cols), dtype=x.dtype, device=x.device)
    dweight = torch.empty((cols,), dtype=weight.dtype, device=x.device)
    partial = torch.empty((programs, cols), dtype=torch.float32, device=x.device)
    rmsnorm_rows_kernel[(programs,)](
        dy, x, weight, dx, partial, rows, cols, eps, *x.stride(), *x.stride(), BLOCK=triton.next_power_of_2(cols)
    )
    rmsnorm_sum_kernel[(triton.cdiv(cols, 128),)](partial, dweight, programs, cols, BLOCK=128)
    return dx, dweight

# %% exercise="rmsnorm_backward" wrong="first_128_columns"
"""The second launch has one program of 128 columns: dweight past them is never written."""
@triton.jit
def rmsnorm_rows_kernel(
    dy_ptr, x_ptr, weight_ptr, dx_ptr, partial_ptr, n_rows, n_cols, eps,
    dy_row, dy_col, x_row, x_col, BLOCK: tl.constexpr,
):  # fmt: skip
    first = tl.program_id(0)
    columns = tl.arange(0, BLOCK)
    inside = columns < n_cols
    weight = tl.load(weight_ptr + columns, mask=inside, other=0.0).to(tl.float32)
    share = tl.zeros((BLOCK,), tl.float32)
    for row in range(first, n_rows, tl.num_programs(0)):
        dy = tl.load(dy_ptr + row * dy_row + columns * dy_col, mask=inside, other=0.0).to(tl.float32)
        x = tl.load(x_ptr + row * x_row + columns * x_col, mask=inside, other=0.0).to(tl.float32)
        r = 1 / tl.sqrt(tl.sum(x * x, axis=0) / n_cols + eps)
        hat = x * r
        g = dy * weight
        dx = r * (g - hat * (tl.sum(g * hat, axis=0) / n_cols))
        tl.store(dx_ptr + row * n_cols + columns, dx, mask=inside)
        share += dy * hat
    tl.store(partial_ptr + first * n_cols + columns, share, mask=inside)


@triton.jit
def rmsnorm_sum_kernel(partial_ptr, dweight_ptr, n_partial, n_cols, BLOCK: tl.constexpr):
    columns = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = columns < n_cols
    total = tl.zeros((BLOCK,), tl.float32)
    for row in range(n_partial):
        total += tl.load(partial_ptr + row * n_cols + columns, mask=inside, other=0.0)
    tl.store(dweight_ptr + columns, total, mask=inside)


def rmsnorm_backward(
    dy: Tensor, x: Tensor, weight: Tensor, eps: float = 1e-6, programs: int = 4
) -> tuple[Tensor, Tensor]:
    rows, cols = x.shape
    programs = min(programs, rows)
    dx = torch.empty((rows, cols), dtype=x.dtype, device=x.device)
    dweight = torch.empty((cols,), dtype=weight.dtype, device=x.device)
    partial = torch.empty((programs, cols), dtype=torch.float32, device=x.device)
    rmsnorm_rows_kernel[(programs,)](
        dy, x, weight, dx, partial, rows, cols, eps, *dy.stride(), *x.stride(), BLOCK=triton.next_power_of_2(cols)
    )
    rmsnorm_sum_kernel[(1,)](partial, dweight, programs, cols, BLOCK=128)
    return dx, dweight

# %% exercise="rmsnorm_backward" wrong="x_read_twice"
"""x is loaded once for r and once more for dx."""
@triton.jit
def rmsnorm_rows_kernel(
    dy_ptr, x_ptr, weight_ptr, dx_ptr, partial_ptr, n_rows, n_cols, eps,
    dy_row, dy_col, x_row, x_col, BLOCK: tl.constexpr,
):  # fmt: skip
    first = tl.program_id(0)
    columns = tl.arange(0, BLOCK)
    inside = columns < n_cols
    weight = tl.load(weight_ptr + columns, mask=inside, other=0.0).to(tl.float32)
    share = tl.zeros((BLOCK,), tl.float32)
    for row in range(first, n_rows, tl.num_programs(0)):
        dy = tl.load(dy_ptr + row * dy_row + columns * dy_col, mask=inside, other=0.0).to(tl.float32)
        x = tl.load(x_ptr + row * x_row + columns * x_col, mask=inside, other=0.0).to(tl.float32)
        r = 1 / tl.sqrt(tl.sum(x * x, axis=0) / n_cols + eps)
        x = tl.load(x_ptr + row * x_row + columns * x_col, mask=inside, other=0.0).to(tl.float32)
        hat = x * r
        g = dy * weight
        dx = r * (g - hat * (tl.sum(g * hat, axis=0) / n_cols))
        tl.store(dx_ptr + row * n_cols + columns, dx, mask=inside)
        share += dy * hat
    tl.store(partial_ptr + first * n_cols + columns, share, mask=inside)


@triton.jit
def rmsnorm_sum_kernel(partial_ptr, dweight_ptr, n_partial, n_cols, BLOCK: tl.constexpr):
    columns = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = columns < n_cols
    total = tl.zeros((BLOCK,), tl.float32)
    for row in range(n_partial):
        total += tl.load(partial_ptr + row * n_cols + columns, mask=inside, other=0.0)
    tl.store(dweight_ptr + columns, total, mask=inside)


def rmsnorm_backward(
    dy: Tensor, x: Tensor, weight: Tensor, eps: float = 1e-6, programs: int = 4
) -> tuple[Tensor, Tensor]:
    rows, cols = x.shape
    programs = min(programs, rows)
    dx = torch.empty((rows, cols), dtype=x.dtype, device=x.device)
    dweight = torch.empty((cols,), dtype=weight.dtype, device=x.device)
    partial = torch.empty((programs, cols), dtype=torch.float32, device=x.device)
    rmsnorm_rows_kernel[(programs,)](
        dy, x, weight, dx, partial, rows, cols, eps, *dy.stride(), *x.stride(), BLOCK=triton.next_power_of_2(cols)
    )
    rmsnorm_sum_kernel[(triton.cdiv(cols, 128),)](partial, dweight, programs, cols, BLOCK=128)
    return dx, dweight

# %% exercise="rmsnorm_backward" wrong="weight_outside_the_mean"
"""The mean in dx is taken of dy * hat without the weight."""
@triton.jit
def rmsnorm_rows_kernel(
    dy_ptr, x_ptr, weight_ptr, dx_ptr, partial_ptr, n_rows, n_cols, eps,
    dy_row, dy_col, x_row, x_col, BLOCK: tl.constexpr,
):  # fmt: skip
    first = tl.program_id(0)
    columns = tl.arange(0, BLOCK)
    inside = columns < n_cols
    weight = tl.load(weight_ptr + columns, mask=inside, other=0.0).to(tl.float32)
    share = tl.zeros((BLOCK,), tl.float32)
    for row in range(first, n_rows, tl.num_programs(0)):
        dy = tl.load(dy_ptr + row * dy_row + columns * dy_col, mask=inside, other=0.0).to(tl.float32)
        x = tl.load(x_ptr + row * x_row + columns * x_col, mask=inside, other=0.0).to(tl.float32)
        r = 1 / tl.sqrt(tl.sum(x * x, axis=0) / n_cols + eps)
        hat = x * r
        g = dy * weight
        dx = r * (g - hat * (tl.sum(dy * hat, axis=0) / n_cols))
        tl.store(dx_ptr + row * n_cols + columns, dx, mask=inside)
        share += dy * hat
    tl.store(partial_ptr + first * n_cols + columns, share, mask=inside)


@triton.jit
def rmsnorm_sum_kernel(partial_ptr, dweight_ptr, n_partial, n_cols, BLOCK: tl.constexpr):
    columns = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = columns < n_cols
    total = tl.zeros((BLOCK,), tl.float32)
    for row in range(n_partial):
        total += tl.load(partial_ptr + row * n_cols + columns, mask=inside, other=0.0)
    tl.store(dweight_ptr + columns, total, mask=inside)


def rmsnorm_backward(
    dy: Tensor, x: Tensor, weight: Tensor, eps: float = 1e-6, programs: int = 4
) -> tuple[Tensor, Tensor]:
    rows, cols = x.shape
    programs = min(programs, rows)
    dx = torch.empty((rows, cols), dtype=x.dtype, device=x.device)
    dweight = torch.empty((cols,), dtype=weight.dtype, device=x.device)
    partial = torch.empty((programs, cols), dtype=torch.float32, device=x.device)
    rmsnorm_rows_kernel[(programs,)](
        dy, x, weight, dx, partial, rows, cols, eps, *dy.stride(), *x.stride(), BLOCK=triton.next_power_of_2(cols)
    )
    rmsnorm_sum_kernel[(triton.cdiv(cols, 128),)](partial, dweight, programs, cols, BLOCK=128)
    return dx, dweight

# %% exercise="rmsnorm_backward" wrong="hat_rounded"
"""The normalised row is rounded to the half dtype in between."""
@triton.jit
def rmsnorm_rows_kernel(
    dy_ptr, x_ptr, weight_ptr, dx_ptr, partial_ptr, n_rows, n_cols, eps,
    dy_row, dy_col, x_row, x_col, BLOCK: tl.constexpr,
):  # fmt: skip
    first = tl.program_id(0)
    columns = tl.arange(0, BLOCK)
    inside = columns < n_cols
    weight = tl.load(weight_ptr + columns, mask=inside, other=0.0).to(tl.float32)
    share = tl.zeros((BLOCK,), tl.float32)
    for row in range(first, n_rows, tl.num_programs(0)):
        dy = tl.load(dy_ptr + row * dy_row + columns * dy_col, mask=inside, other=0.0).to(tl.float32)
        x = tl.load(x_ptr + row * x_row + columns * x_col, mask=inside, other=0.0).to(tl.float32)
        r = 1 / tl.sqrt(tl.sum(x * x, axis=0) / n_cols + eps)
        hat = (x * r).to(dx_ptr.dtype.element_ty).to(tl.float32)
        g = dy * weight
        dx = r * (g - hat * (tl.sum(g * hat, axis=0) / n_cols))
        tl.store(dx_ptr + row * n_cols + columns, dx, mask=inside)
        share += dy * hat
    tl.store(partial_ptr + first * n_cols + columns, share, mask=inside)


@triton.jit
def rmsnorm_sum_kernel(partial_ptr, dweight_ptr, n_partial, n_cols, BLOCK: tl.constexpr):
    columns = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = columns < n_cols
    total = tl.zeros((BLOCK,), tl.float32)
    for row in range(n_partial):
        total += tl.load(partial_ptr + row * n_cols + columns, mask=inside, other=0.0)
    tl.store(dweight_ptr + columns, total, mask=inside)


def rmsnorm_backward(
    dy: Tensor, x: Tensor, weight: Tensor, eps: float = 1e-6, programs: int = 4
) -> tuple[Tensor, Tensor]:
    rows, cols = x.shape
    programs = min(programs, rows)
    dx = torch.empty((rows, cols), dtype=x.dtype, device=x.device)
    dweight = torch.empty((cols,), dtype=weight.dtype, device=x.device)
    partial = torch.empty((programs, cols), dtype=torch.float32, device=x.device)
    rmsnorm_rows_kernel[(programs,)](
        dy, x, weight, dx, partial, rows, cols, eps, *dy.stride(), *x.stride(), BLOCK=triton.next_power_of_2(cols)
    )
    rmsnorm_sum_kernel[(triton.cdiv(cols, 128),)](partial, dweight, programs, cols, BLOCK=128)
    return dx, dweight

# %% exercise="residual_rmsnorm" wrong="residual_overwritten_2"
"""The sum is stored over the caller's residual, which is returned as total."""
@triton.jit
def residual_rmsnorm_kernel(
    x_ptr, residual_ptr, weight_ptr, out_ptr, total_ptr, n_cols, eps,
    x_row, x_col, residual_row, residual_col, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    columns = tl.arange(0, BLOCK)
    inside = columns < n_cols
    x = tl.load(x_ptr + row * x_row + columns * x_col, mask=inside, other=0.0).to(tl.float32)
    residual = tl.load(residual_ptr + row * residual_row + columns * residual_col, mask=inside, other=0.0).to(tl.float32)
    weight = tl.load(weight_ptr + columns, mask=inside, other=0.0).to(tl.float32)
    total = x + residual
    root = tl.sqrt(tl.sum(total * total, axis=0) / n_cols + eps)
    tl.store(out_ptr + row * n_cols + columns, total / root * weight, mask=inside)
    tl.store(residual_ptr + row * residual_row + columns * residual_col, total, mask=inside)


def residual_rmsnorm(x: Tensor, residual: Tensor, weight: Tensor, eps: float = 1e-6) -> tuple[Tensor, Tensor]:
    rows, cols = x.shape
    out = torch.empty((rows, cols), dtype=x.dtype, device=x.device)
    total = residual
    residual_rmsnorm_kernel[(rows,)](
        x, residual, weight, out, total, cols, eps, *x.stride(), *residual.stride(), BLOCK=triton.next_power_of_2(cols)
    )
    return out, total

# %% exercise="residual_rmsnorm" wrong="sum_by_torch_2"
"""torch adds first: a second launch, and the sum travels twice."""
@triton.jit
def residual_rmsnorm_kernel(
    x_ptr, residual_ptr, weight_ptr, out_ptr, total_ptr, n_cols, eps,
    x_row, x_col, residual_row, residual_col, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    columns = tl.arange(0, BLOCK)
    inside = columns < n_cols
    x = tl.load(x_ptr + row * x_row + columns * x_col, mask=inside, other=0.0).to(tl.float32)
    residual = tl.load(residual_ptr + row * residual_row + columns * residual_col, mask=inside, other=0.0).to(tl.float32)
    weight = tl.load(weight_ptr + columns, mask=inside, other=0.0).to(tl.float32)
    total = x
    root = tl.sqrt(tl.sum(total * total, axis=0) / n_cols + eps)
    tl.store(out_ptr + row * n_cols + columns, total / root * weight, mask=inside)
    tl.store(total_ptr + row * n_cols + columns, total, mask=inside)


def residual_rmsnorm(x: Tensor, residual: Tensor, weight: Tensor, eps: float = 1e-6) -> tuple[Tensor, Tensor]:
    rows, cols = x.shape
    out = torch.empty((rows, cols), dtype=x.dtype, device=x.device)
    total = (x + residual).contiguous()
    residual_rmsnorm_kernel[(rows,)](
        total, total, weight, out, total, cols, eps, *total.stride(), *total.stride(), BLOCK=triton.next_power_of_2(cols)
    )
    return out, total

# %% exercise="residual_rmsnorm" wrong="one_pair_of_strides"
"""The residual is read with the strides of x."""
@triton.jit
def residual_rmsnorm_kernel(
    x_ptr, residual_ptr, weight_ptr, out_ptr, total_ptr, n_cols, eps,
    x_row, x_col, residual_row, residual_col, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    columns = tl.arange(0, BLOCK)
    inside = columns < n_cols
    x = tl.load(x_ptr + row * x_row + columns * x_col, mask=inside, other=0.0).to(tl.float32)
    residual = tl.load(residual_ptr + row * residual_row + columns * residual_col, mask=inside, other=0.0).to(tl.float32)
    weight = tl.load(weight_ptr + columns, mask=inside, other=0.0).to(tl.float32)
    total = x + residual
    root = tl.sqrt(tl.sum(total * total, axis=0) / n_cols + eps)
    tl.store(out_ptr + row * n_cols + columns, total / root * weight, mask=inside)
    tl.store(total_ptr + row * n_cols + columns, total, mask=inside)


def residual_rmsnorm(x: Tensor, residual: Tensor, weight: Tensor, eps: float = 1e-6) -> tuple[Tensor, Tensor]:
    rows, cols = x.shape
    out = torch.empty((rows, cols), dtype=x.dtype, device=x.device)
    total = torch.empty((rows, cols), dtype=x.dtype, device=x.device)
    residual_rmsnorm_kernel[(rows,)](
        x, residual, weight, out, total, cols, eps, *x.stride(), *x.stride(), BLOCK=triton.next_power_of_2(cols)
    )
    return out, total

# %% exercise="residual_rmsnorm" wrong="total_in_float32_2"
"""The sum of two half rows is returned in float32."""
@triton.jit
def residual_rmsnorm_kernel(
    x_ptr, residual_ptr, weight_ptr, out_ptr, total_ptr, n_cols, eps,
    x_row, x_col, residual_row, residual_col, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    columns = tl.arange(0, BLOCK)
    inside = columns < n_cols
    x = tl.load(x_ptr + row * x_row + columns * x_col, mask=inside, other=0.0).to(tl.float32)
    residual = tl.load(residual_ptr + row * residual_row + columns * residual_col, mask=inside, other=0.0).to(tl.float32)
    weight = tl.load(weight_ptr + columns, mask=inside, other=0.0).to(tl.float32)
    total = x + residual
    root = tl.sqrt(tl.sum(total * total, axis=0) / n_cols + eps)
    tl.store(out_ptr + row * n_cols + columns, total / root * weight, mask=inside)
    tl.store(total_ptr + row * n_cols + columns, total, mask=inside)


def residual_rmsnorm(x: Tensor, residual: Tensor, weight: Tensor, eps: float = 1e-6) -> tuple[Tensor, Tensor]:
    rows, cols = x.shape
    out = torch.empty((rows, cols), dtype=x.dtype, device=x.device)
    total = torch.empty((rows, cols), dtype=torch.float32, device=x.device)
    residual_rmsnorm_kernel[(rows,)](
        x, residual, weight, out, total, cols, eps, *x.stride(), *residual.stride(), BLOCK=triton.next_power_of_2(cols)
    )
    return out, total

# %% exercise="residual_rmsnorm" wrong="like_x"
"""empty_like(x) and stores along its strides: the results are not contiguous for a transposed x."""
@triton.jit
def residual_rmsnorm_kernel(
    x_ptr, residual_ptr, weight_ptr, out_ptr, total_ptr, n_cols, eps,
    x_row, x_col, residual_row, residual_col, out_row, out_col, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    columns = tl.arange(0, BLOCK)
    inside = columns < n_cols
    x = tl.load(x_ptr + row * x_row + columns * x_col, mask=inside, other=0.0).to(tl.float32)
    residual = tl.load(residual_ptr + row * residual_row + columns * residual_col, mask=inside, other=0.0).to(tl.float32)
    weight = tl.load(weight_ptr + columns, mask=inside, other=0.0).to(tl.float32)
    total = x + residual
    root = tl.sqrt(tl.sum(total * total, axis=0) / n_cols + eps)
    tl.store(out_ptr + row * out_row + columns * out_col, total / root * weight, mask=inside)
    tl.store(total_ptr + row * out_row + columns * out_col, total, mask=inside)


def residual_rmsnorm(x: Tensor, residual: Tensor, weight: Tensor, eps: float = 1e-6) -> tuple[Tensor, Tensor]:
    rows, cols = x.shape
    out = torch.empty_like(x)
    total = torch.empty_like(x)
    residual_rmsnorm_kernel[(rows,)](
        x, residual, weight, out, total, cols, eps, *x.stride(), *residual.stride(), *out.stride(), BLOCK=triton.next_power_of_2(cols)
    )
    return out, total

# %% exercise="residual_rmsnorm" wrong="sum_read_back_2"
"""The sum is stored and loaded again for the norm: one more read of each row."""
@triton.jit
def residual_rmsnorm_kernel(
    x_ptr, residual_ptr, weight_ptr, out_ptr, total_ptr, n_cols, eps,
    x_row, x_col, residual_row, residual_col, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    columns = tl.arange(0, BLOCK)
    inside = columns < n_cols
    x = tl.load(x_ptr + row * x_row + columns * x_col, mask=inside, other=0.0).to(tl.float32)
    residual = tl.load(residual_ptr + row * residual_row + columns * residual_col, mask=inside, other=0.0).to(tl.float32)
    weight = tl.load(weight_ptr + columns, mask=inside, other=0.0).to(tl.float32)
    total = x + residual
    tl.store(total_ptr + row * n_cols + columns, total, mask=inside)
    total = tl.load(total_ptr + row * n_cols + columns, mask=inside, other=0.0).to(tl.float32)
    root = tl.sqrt(tl.sum(total * total, axis=0) / n_cols + eps)
    tl.store(out_ptr + row * n_cols + columns, total / root * weight, mask=inside)


def residual_rmsnorm(x: Tensor, residual: Tensor, weight: Tensor, eps: float = 1e-6) -> tuple[Tensor, Tensor]:
    rows, cols = x.shape
    out = torch.empty((rows, cols), dtype=x.dtype, device=x.device)
    total = torch.empty((rows, cols), dtype=x.dtype, device=x.device)
    residual_rmsnorm_kernel[(rows,)](
        x, residual, weight, out, total, cols, eps, *x.stride(), *residual.stride(), BLOCK=triton.next_power_of_2(cols)
    )
    return out, total

# %% exercise="residual_rmsnorm" wrong="total_of_the_normalised"
"""The stream that comes back is residual + y, not x + residual."""
@triton.jit
def residual_rmsnorm_kernel(
    x_ptr, residual_ptr, weight_ptr, out_ptr, total_ptr, n_cols, eps,
    x_row, x_col, residual_row, residual_col, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    columns = tl.arange(0, BLOCK)
    inside = columns < n_cols
    x = tl.load(x_ptr + row * x_row + columns * x_col, mask=inside, other=0.0).to(tl.float32)
    residual = tl.load(residual_ptr + row * residual_row + columns * residual_col, mask=inside, other=0.0).to(tl.float32)
    weight = tl.load(weight_ptr + columns, mask=inside, other=0.0).to(tl.float32)
    total = x + residual
    root = tl.sqrt(tl.sum(total * total, axis=0) / n_cols + eps)
    tl.store(out_ptr + row * n_cols + columns, total / root * weight, mask=inside)
    tl.store(total_ptr + row * n_cols + columns, residual + total / root * weight, mask=inside)


def residual_rmsnorm(x: Tensor, residual: Tensor, weight: Tensor, eps: float = 1e-6) -> tuple[Tensor, Tensor]:
    rows, cols = x.shape
    out = torch.empty((rows, cols), dtype=x.dtype, device=x.device)
    total = torch.empty((rows, cols), dtype=x.dtype, device=x.device)
    residual_rmsnorm_kernel[(rows,)](
        x, residual, weight, out, total, cols, eps, *x.stride(), *residual.stride(), BLOCK=triton.next_power_of_2(cols)
    )
    return out, total

# %% exercise="residual_rmsnorm" wrong="whole_block_mean"
"""The mean of the squares divides by BLOCK: wrong where C is no power of two."""
@triton.jit
def residual_rmsnorm_kernel(
    x_ptr, residual_ptr, weight_ptr, out_ptr, total_ptr, n_cols, eps,
    x_row, x_col, residual_row, residual_col, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    columns = tl.arange(0, BLOCK)
    inside = columns < n_cols
    x = tl.load(x_ptr + row * x_row + columns * x_col, mask=inside, other=0.0).to(tl.float32)
    residual = tl.load(residual_ptr + row * residual_row + columns * residual_col, mask=inside, other=0.0).to(tl.float32)
    weight = tl.load(weight_ptr + columns, mask=inside, other=0.0).to(tl.float32)
    total = x + residual
    root = tl.sqrt(tl.sum(total * total, axis=0) / BLOCK + eps)
    tl.store(out_ptr + row * n_cols + columns, total / root * weight, mask=inside)
    tl.store(total_ptr + row * n_cols + columns, total, mask=inside)


def residual_rmsnorm(x: Tensor, residual: Tensor, weight: Tensor, eps: float = 1e-6) -> tuple[Tensor, Tensor]:
    rows, cols = x.shape
    out = torch.empty((rows, cols), dtype=x.dtype, device=x.device)
    total = torch.empty((rows, cols), dtype=x.dtype, device=x.device)
    residual_rmsnorm_kernel[(rows,)](
        x, residual, weight, out, total, cols, eps, *x.stride(), *residual.stride(), BLOCK=triton.next_power_of_2(cols)
    )
    return out, total

# %% exercise="cross_entropy" wrong="negative_means_ignored"
"""A row counts unless its target is negative: ignore=0 (PAD) is treated as a class."""
@triton.jit
def cross_entropy_kernel(
    logits_ptr, target_ptr, loss_ptr, grad_ptr, n_classes, ignore, row_stride, class_stride, BLOCK: tl.constexpr
):
    row = tl.program_id(0).to(tl.int64)
    target = tl.load(target_ptr + row)
    counts = (target >= 0).to(tl.float32)
    lanes = tl.arange(0, BLOCK)
    z_row = logits_ptr + row * row_stride
    g_row = grad_ptr + row * n_classes
    if n_classes <= BLOCK:
        inside = lanes < n_classes
        z = tl.load(z_row + lanes * class_stride, mask=inside, other=float("-inf")).to(tl.float32)
        largest = tl.max(z, axis=0)
        e = tl.exp(z - largest)
        total = tl.sum(e, axis=0)
        chosen = tl.sum(tl.where(lanes == target, z, 0.0), axis=0)
        grad = e / total - tl.where(lanes == target, 1.0, 0.0)
        tl.store(g_row + lanes, grad * counts, mask=inside)
    else:
        largest = tl.full((), float("-inf"), tl.float32)
        total = tl.full((), 0.0, tl.float32)
        chosen = tl.full((), 0.0, tl.float32)
        for start in range(0, n_classes, BLOCK):
            at = start + lanes
            z = tl.load(z_row + at * class_stride, mask=at < n_classes, other=float("-inf")).to(tl.float32)
            larger = tl.maximum(largest, tl.max(z, axis=0))
            total = total * tl.exp(largest - larger) + tl.sum(tl.exp(z - larger), axis=0)
            largest = larger
            chosen += tl.sum(tl.where(at == target, z, 0.0), axis=0)
        for start in range(0, n_classes, BLOCK):
            at = start + lanes
            z = tl.load(z_row + at * class_stride, mask=at < n_classes, other=float("-inf")).to(tl.float32)
            grad = tl.exp(z - largest) / total - tl.where(at == target, 1.0, 0.0)
            tl.store(g_row + at, grad * counts, mask=at < n_classes)
    tl.store(loss_ptr + row, (largest + tl.log(total) - chosen) * counts)


def cross_entropy(logits: Tensor, target: Tensor, block: int = 256, ignore: int = -100) -> tuple[Tensor, Tensor]:
    rows, classes = logits.shape
    loss = torch.empty((rows,), dtype=torch.float32, device=logits.device)
    grad = torch.empty((rows, classes), dtype=logits.dtype, device=logits.device)
    cross_entropy_kernel[(rows,)](logits, target, loss, grad, classes, ignore, *logits.stride(), BLOCK=block)
    return loss, grad

# %% exercise="cross_entropy" wrong="target_as_address_2"
"""The target's logit is loaded through the target as an address, for ignored rows too: -100 is no column."""
@triton.jit
def cross_entropy_kernel(
    logits_ptr, target_ptr, loss_ptr, grad_ptr, n_classes, ignore, row_stride, class_stride, BLOCK: tl.constexpr
):
    row = tl.program_id(0).to(tl.int64)
    target = tl.load(target_ptr + row)
    counts = (target != ignore).to(tl.float32)
    lanes = tl.arange(0, BLOCK)
    z_row = logits_ptr + row * row_stride
    g_row = grad_ptr + row * n_classes
    if n_classes <= BLOCK:
        inside = lanes < n_classes
        z = tl.load(z_row + lanes * class_stride, mask=inside, other=float("-inf")).to(tl.float32)
        largest = tl.max(z, axis=0)
        e = tl.exp(z - largest)
        total = tl.sum(e, axis=0)
        chosen = tl.sum(tl.where(lanes == target, z, 0.0), axis=0)
        grad = e / total - tl.where(lanes == target, 1.0, 0.0)
        tl.store(g_row + lanes, grad * counts, mask=inside)
    else:
        largest = tl.full((), float("-inf"), tl.float32)
        total = tl.full((), 0.0, tl.float32)
        chosen = tl.full((), 0.0, tl.float32)
        for start in range(0, n_classes, BLOCK):
            at = start + lanes
            z = tl.load(z_row + at * class_stride, mask=at < n_classes, other=float("-inf")).to(tl.float32)
            larger = tl.maximum(largest, tl.max(z, axis=0))
            total = total * tl.exp(largest - larger) + tl.sum(tl.exp(z - larger), axis=0)
            largest = larger
            chosen += tl.sum(tl.where(at == target, z, 0.0), axis=0)
        for start in range(0, n_classes, BLOCK):
            at = start + lanes
            z = tl.load(z_row + at * class_stride, mask=at < n_classes, other=float("-inf")).to(tl.float32)
            grad = tl.exp(z - largest) / total - tl.where(at == target, 1.0, 0.0)
            tl.store(g_row + at, grad * counts, mask=at < n_classes)
    chosen = tl.load(z_row + target * class_stride).to(tl.float32)
    tl.store(loss_ptr + row, (largest + tl.log(total) - chosen) * counts)


def cross_entropy(logits: Tensor, target: Tensor, block: int = 256, ignore: int = -100) -> tuple[Tensor, Tensor]:
    rows, classes = logits.shape
    loss = torch.empty((rows,), dtype=torch.float32, device=logits.device)
    grad = torch.empty((rows, classes), dtype=logits.dtype, device=logits.device)
    cross_entropy_kernel[(rows,)](logits, target, loss, grad, classes, ignore, *logits.stride(), BLOCK=block)
    return loss, grad

# %% exercise="cross_entropy" wrong="three_reads_2"
"""A wide row is read three times: maximum, sum, gradient."""
@triton.jit
def cross_entropy_kernel(
    logits_ptr, target_ptr, loss_ptr, grad_ptr, n_classes, ignore, row_stride, class_stride, BLOCK: tl.constexpr
):
    row = tl.program_id(0).to(tl.int64)
    target = tl.load(target_ptr + row)
    counts = (target != ignore).to(tl.float32)
    lanes = tl.arange(0, BLOCK)
    z_row = logits_ptr + row * row_stride
    g_row = grad_ptr + row * n_classes
    if n_classes <= BLOCK:
        inside = lanes < n_classes
        z = tl.load(z_row + lanes * class_stride, mask=inside, other=float("-inf")).to(tl.float32)
        largest = tl.max(z, axis=0)
        e = tl.exp(z - largest)
        total = tl.sum(e, axis=0)
        chosen = tl.sum(tl.where(lanes == target, z, 0.0), axis=0)
        grad = e / total - tl.where(lanes == target, 1.0, 0.0)
        tl.store(g_row + lanes, grad * counts, mask=inside)
    else:
        largest = tl.full((), float("-inf"), tl.float32)
        total = tl.full((), 0.0, tl.float32)
        chosen = tl.full((), 0.0, tl.float32)
        for start in range(0, n_classes, BLOCK):
            at = start + lanes
            z = tl.load(z_row + at * class_stride, mask=at < n_classes, other=float("-inf")).to(tl.float32)
            largest = tl.maximum(largest, tl.max(z, axis=0))
            chosen += tl.sum(tl.where(at == target, z, 0.0), axis=0)
        for start in range(0, n_classes, BLOCK):
            at = start + lanes
            z = tl.load(z_row + at * class_stride, mask=at < n_classes, other=float("-inf")).to(tl.float32)
            total += tl.sum(tl.exp(z - largest), axis=0)
        for start in range(0, n_classes, BLOCK):
            at = start + lanes
            z = tl.load(z_row + at * class_stride, mask=at < n_classes, other=float("-inf")).to(tl.float32)
            grad = tl.exp(z - largest) / total - tl.where(at == target, 1.0, 0.0)
            tl.store(g_row + at, grad * counts, mask=at < n_classes)
    tl.store(loss_ptr + row, (largest + tl.log(total) - chosen) * counts)


def cross_entropy(logits: Tensor, target: Tensor, block: int = 256, ignore: int = -100) -> tuple[Tensor, Tensor]:
    rows, classes = logits.shape
    loss = torch.empty((rows,), dtype=torch.float32, device=logits.device)
    grad = torch.empty((rows, classes), dtype=logits.dtype, device=logits.device)
    cross_entropy_kernel[(rows,)](logits, target, loss, grad, classes, ignore, *logits.stride(), BLOCK=block)
    return loss, grad

# %% exercise="cross_entropy" wrong="narrow_read_twice_2"
"""A row that fits in a block is read twice, like a wide one."""
@triton.jit
def cross_entropy_kernel(
    logits_ptr, target_ptr, loss_ptr, grad_ptr, n_classes, ignore, row_stride, class_stride, BLOCK: tl.constexpr
):
    row = tl.program_id(0).to(tl.int64)
    target = tl.load(target_ptr + row)
    counts = (target != ignore).to(tl.float32)
    lanes = tl.arange(0, BLOCK)
    z_row = logits_ptr + row * row_stride
    g_row = grad_ptr + row * n_classes
    if n_classes < 1:
        inside = lanes < n_classes
        z = tl.load(z_row + lanes * class_stride, mask=inside, other=float("-inf")).to(tl.float32)
        largest = tl.max(z, axis=0)
        e = tl.exp(z - largest)
        total = tl.sum(e, axis=0)
        chosen = tl.sum(tl.where(lanes == target, z, 0.0), axis=0)
        grad = e / total - tl.where(lanes == target, 1.0, 0.0)
        tl.store(g_row + lanes, grad * counts, mask=inside)
    else:
        largest = tl.full((), float("-inf"), tl.float32)
        total = tl.full((), 0.0, tl.float32)
        chosen = tl.full((), 0.0, tl.float32)
        for start in range(0, n_classes, BLOCK):
            at = start + lanes
            z = tl.load(z_row + at * class_stride, mask=at < n_classes, other=float("-inf")).to(tl.float32)
            larger = tl.maximum(largest, tl.max(z, axis=0))
            total = total * tl.exp(largest - larger) + tl.sum(tl.exp(z - larger), axis=0)
            largest = larger
            chosen += tl.sum(tl.where(at == target, z, 0.0), axis=0)
        for start in range(0, n_classes, BLOCK):
            at = start + lanes
            z = tl.load(z_row + at * class_stride, mask=at < n_classes, other=float("-inf")).to(tl.float32)
            grad = tl.exp(z - largest) / total - tl.where(at == target, 1.0, 0.0)
            tl.store(g_row + at, grad * counts, mask=at < n_classes)
    tl.store(loss_ptr + row, (largest + tl.log(total) - chosen) * counts)


def cross_entropy(logits: Tensor, target: Tensor, block: int = 256, ignore: int = -100) -> tuple[Tensor, Tensor]:
    rows, classes = logits.shape
    loss = torch.empty((rows,), dtype=torch.float32, device=logits.device)
    grad = torch.empty((rows, classes), dtype=logits.dtype, device=logits.device)
    cross_entropy_kernel[(rows,)](logits, target, loss, grad, classes, ignore, *logits.stride(), BLOCK=block)
    return loss, grad

# %% exercise="cross_entropy" wrong="block_ignored_2"
"""The block is always as wide as the row, whatever `block` says: a program holds more than `block` columns."""
@triton.jit
def cross_entropy_kernel(
    logits_ptr, target_ptr, loss_ptr, grad_ptr, n_classes, ignore, row_stride, class_stride, BLOCK: tl.constexpr
):
    row = tl.program_id(0).to(tl.int64)
    target = tl.load(target_ptr + row)
    counts = (target != ignore).to(tl.float32)
    lanes = tl.arange(0, BLOCK)
    z_row = logits_ptr + row * row_stride
    g_row = grad_ptr + row * n_classes
    if n_classes <= BLOCK:
        inside = lanes < n_classes
        z = tl.load(z_row + lanes * class_stride, mask=inside, other=float("-inf")).to(tl.float32)
        largest = tl.max(z, axis=0)
        e = tl.exp(z - largest)
        total = tl.sum(e, axis=0)
        chosen = tl.sum(tl.where(lanes == target, z, 0.0), axis=0)
        grad = e / total - tl.where(lanes == target, 1.0, 0.0)
        tl.store(g_row + lanes, grad * counts, mask=inside)
    else:
        largest = tl.full((), float("-inf"), tl.float32)
        total = tl.full((), 0.0, tl.float32)
        chosen = tl.full((), 0.0, tl.float32)
        for start in range(0, n_classes, BLOCK):
            at = start + lanes
            z = tl.load(z_row + at * class_stride, mask=at < n_classes, other=float("-inf")).to(tl.float32)
            larger = tl.maximum(largest, tl.max(z, axis=0))
            total = total * tl.exp(largest - larger) + tl.sum(tl.exp(z - larger), axis=0)
            largest = larger
            chosen += tl.sum(tl.where(at == target, z, 0.0), axis=0)
        for start in range(0, n_classes, BLOCK):
            at = start + lanes
            z = tl.load(z_row + at * class_stride, mask=at < n_classes, other=float("-inf")).to(tl.float32)
            grad = tl.exp(z - largest) / total - tl.where(at == target, 1.0, 0.0)
            tl.store(g_row + at, grad * counts, mask=at < n_classes)
    tl.store(loss_ptr + row, (largest + tl.log(total) - chosen) * counts)


def cross_entropy(logits: Tensor, target: Tensor, block: int = 256, ignore: int = -100) -> tuple[Tensor, Tensor]:
    rows, classes = logits.shape
    loss = torch.empty((rows,), dtype=torch.float32, device=logits.device)
    grad = torch.empty((rows, classes), dtype=logits.dtype, device=logits.device)
    cross_entropy_kernel[(rows,)](logits, target, loss, grad, classes, ignore, *logits.stride(), BLOCK=triton.next_power_of_2(classes))
    return loss, grad

# %% exercise="cross_entropy" wrong="maximum_starts_at_zero"
"""The running maximum starts at 0: a row whose logits are all below -110 has an infinite loss when it is wider than a block."""
@triton.jit
def cross_entropy_kernel(
    logits_ptr, target_ptr, loss_ptr, grad_ptr, n_classes, ignore, row_stride, class_stride, BLOCK: tl.constexpr
):
    row = tl.program_id(0).to(tl.int64)
    target = tl.load(target_ptr + row)
    counts = (target != ignore).to(tl.float32)
    lanes = tl.arange(0, BLOCK)
    z_row = logits_ptr + row * row_stride
    g_row = grad_ptr + row * n_classes
    if n_classes <= BLOCK:
        inside = lanes < n_classes
        z = tl.load(z_row + lanes * class_stride, mask=inside, other=float("-inf")).to(tl.float32)
        largest = tl.max(z, axis=0)
        e = tl.exp(z - largest)
        total = tl.sum(e, axis=0)
        chosen = tl.sum(tl.where(lanes == target, z, 0.0), axis=0)
        grad = e / total - tl.where(lanes == target, 1.0, 0.0)
        tl.store(g_row + lanes, grad * counts, mask=inside)
    else:
        largest = tl.full((), 0.0, tl.float32)
        total = tl.full((), 0.0, tl.float32)
        chosen = tl.full((), 0.0, tl.float32)
        for start in range(0, n_classes, BLOCK):
            at = start + lanes
            z = tl.load(z_row + at * class_stride, mask=at < n_classes, other=float("-inf")).to(tl.float32)
            larger = tl.maximum(largest, tl.max(z, axis=0))
            total = total * tl.exp(largest - larger) + tl.sum(tl.exp(z - larger), axis=0)
            largest = larger
            chosen += tl.sum(tl.where(at == target, z, 0.0), axis=0)
        for start in range(0, n_classes, BLOCK):
            at = start + lanes
            z = tl.load(z_row + at * class_stride, mask=at < n_classes, other=float("-inf")).to(tl.float32)
            grad = tl.exp(z - largest) / total - tl.where(at == target, 1.0, 0.0)
            tl.store(g_row + at, grad * counts, mask=at < n_classes)
    tl.store(loss_ptr + row, (largest + tl.log(total) - chosen) * counts)


def cross_entropy(logits: Tensor, target: Tensor, block: int = 256, ignore: int = -100) -> tuple[Tensor, Tensor]:
    rows, classes = logits.shape
    loss = torch.empty((rows,), dtype=torch.float32, device=logits.device)
    grad = torch.empty((rows, classes), dtype=logits.dtype, device=logits.device)
    cross_entropy_kernel[(rows,)](logits, target, loss, grad, classes, ignore, *logits.stride(), BLOCK=block)
    return loss, grad

# %% exercise="cross_entropy" wrong="lanes_at_minus_1e4"
"""Lanes past the end hold -10000, which is larger than logits of -50000."""
@triton.jit
def cross_entropy_kernel(
    logits_ptr, target_ptr, loss_ptr, grad_ptr, n_classes, ignore, row_stride, class_stride, BLOCK: tl.constexpr
):
    row = tl.program_id(0).to(tl.int64)
    target = tl.load(target_ptr + row)
    counts = (target != ignore).to(tl.float32)
    lanes = tl.arange(0, BLOCK)
    z_row = logits_ptr + row * row_stride
    g_row = grad_ptr + row * n_classes
    if n_classes <= BLOCK:
        inside = lanes < n_classes
        z = tl.load(z_row + lanes * class_stride, mask=inside, other=-1.0e4).to(tl.float32)
        largest = tl.max(z, axis=0)
        e = tl.exp(z - largest)
        total = tl.sum(e, axis=0)
        chosen = tl.sum(tl.where(lanes == target, z, 0.0), axis=0)
        grad = e / total - tl.where(lanes == target, 1.0, 0.0)
        tl.store(g_row + lanes, grad * counts, mask=inside)
    else:
        largest = tl.full((), float("-inf"), tl.float32)
        total = tl.full((), 0.0, tl.float32)
        chosen = tl.full((), 0.0, tl.float32)
        for start in range(0, n_classes, BLOCK):
            at = start + lanes
            z = tl.load(z_row + at * class_stride, mask=at < n_classes, other=-1.0e4).to(tl.float32)
            larger = tl.maximum(largest, tl.max(z, axis=0))
            total = total * tl.exp(largest - larger) + tl.sum(tl.exp(z - larger), axis=0)
            largest = larger
            chosen += tl.sum(tl.where(at == target, z, 0.0), axis=0)
        for start in range(0, n_classes, BLOCK):
            at = start + lanes
            z = tl.load(z_row + at * class_stride, mask=at < n_classes, other=-1.0e4).to(tl.float32)
            grad = tl.exp(z - largest) / total - tl.where(at == target, 1.0, 0.0)
            tl.store(g_row + at, grad * counts, mask=at < n_classes)
    tl.store(loss_ptr + row, (largest + tl.log(total) - chosen) * counts)


def cross_entropy(logits: Tensor, target: Tensor, block: int = 256, ignore: int = -100) -> tuple[Tensor, Tensor]:
    rows, classes = logits.shape
    loss = torch.empty((rows,), dtype=torch.float32, device=logits.device)
    grad = torch.empty((rows, classes), dtype=logits.dtype, device=logits.device)
    cross_entropy_kernel[(rows,)](logits, target, loss, grad, classes, ignore, *logits.stride(), BLOCK=block)
    return loss, grad

# %% exercise="cross_entropy" wrong="log_of_a_probability"
"""Loss as -log of the target's probability: infinite where that underflows, 0 to 100 for example."""
@triton.jit
def cross_entropy_kernel(
    logits_ptr, target_ptr, loss_ptr, grad_ptr, n_classes, ignore, row_stride, class_stride, BLOCK: tl.constexpr
):
    row = tl.program_id(0).to(tl.int64)
    target = tl.load(target_ptr + row)
    counts = (target != ignore).to(tl.float32)
    lanes = tl.arange(0, BLOCK)
    z_row = logits_ptr + row * row_stride
    g_row = grad_ptr + row * n_classes
    if n_classes <= BLOCK:
        inside = lanes < n_classes
        z = tl.load(z_row + lanes * class_stride, mask=inside, other=float("-inf")).to(tl.float32)
        largest = tl.max(z, axis=0)
        e = tl.exp(z - largest)
        total = tl.sum(e, axis=0)
        chosen = tl.sum(tl.where(lanes == target, z, 0.0), axis=0)
        grad = e / total - tl.where(lanes == target, 1.0, 0.0)
        tl.store(g_row + lanes, grad * counts, mask=inside)
    else:
        largest = tl.full((), float("-inf"), tl.float32)
        total = tl.full((), 0.0, tl.float32)
        chosen = tl.full((), 0.0, tl.float32)
        for start in range(0, n_classes, BLOCK):
            at = start + lanes
            z = tl.load(z_row + at * class_stride, mask=at < n_classes, other=float("-inf")).to(tl.float32)
            larger = tl.maximum(largest, tl.max(z, axis=0))
            total = total * tl.exp(largest - larger) + tl.sum(tl.exp(z - larger), axis=0)
            largest = larger
            chosen += tl.sum(tl.where(at == target, z, 0.0), axis=0)
        for start in range(0, n_classes, BLOCK):
            at = start + lanes
            z = tl.load(z_row + at * class_stride, mask=at < n_classes, other=float("-inf")).to(tl.float32)
            grad = tl.exp(z - largest) / total - tl.where(at == target, 1.0, 0.0)
            tl.store(g_row + at, grad * counts, mask=at < n_classes)
    tl.store(loss_ptr + row, tl.where(target != ignore, -tl.log(tl.exp(chosen - largest) / total), 0.0))


def cross_entropy(logits: Tensor, target: Tensor, block: int = 256, ignore: int = -100) -> tuple[Tensor, Tensor]:
    rows, classes = logits.shape
    loss = torch.empty((rows,), dtype=torch.float32, device=logits.device)
    grad = torch.empty((rows, classes), dtype=logits.dtype, device=logits.device)
    cross_entropy_kernel[(rows,)](logits, target, loss, grad, classes, ignore, *logits.stride(), BLOCK=block)
    return loss, grad

# %% exercise="cross_entropy" wrong="gradient_of_ignored"
"""Ignored rows have loss 0, but the gradient softmax(logits)."""
@triton.jit
def cross_entropy_kernel(
    logits_ptr, target_ptr, loss_ptr, grad_ptr, n_classes, ignore, row_stride, class_stride, BLOCK: tl.constexpr
):
    row = tl.program_id(0).to(tl.int64)
    target = tl.load(target_ptr + row)
    counts = (target != ignore).to(tl.float32)
    lanes = tl.arange(0, BLOCK)
    z_row = logits_ptr + row * row_stride
    g_row = grad_ptr + row * n_classes
    if n_classes <= BLOCK:
        inside = lanes < n_classes
        z = tl.load(z_row + lanes * class_stride, mask=inside, other=float("-inf")).to(tl.float32)
        largest = tl.max(z, axis=0)
        e = tl.exp(z - largest)
        total = tl.sum(e, axis=0)
        chosen = tl.sum(tl.where(lanes == target, z, 0.0), axis=0)
        grad = e / total - tl.where(lanes == target, 1.0, 0.0)
        tl.store(g_row + lanes, grad, mask=inside)
    else:
        largest = tl.full((), float("-inf"), tl.float32)
        total = tl.full((), 0.0, tl.float32)
        chosen = tl.full((), 0.0, tl.float32)
        for start in range(0, n_classes, BLOCK):
            at = start + lanes
            z = tl.load(z_row + at * class_stride, mask=at < n_classes, other=float("-inf")).to(tl.float32)
            larger = tl.maximum(largest, tl.max(z, axis=0))
            total = total * tl.exp(largest - larger) + tl.sum(tl.exp(z - larger), axis=0)
            largest = larger
            chosen += tl.sum(tl.where(at == target, z, 0.0), axis=0)
        for start in range(0, n_classes, BLOCK):
            at = start + lanes
            z = tl.load(z_row + at * class_stride, mask=at < n_classes, other=float("-inf")).to(tl.float32)
            grad = tl.exp(z - largest) / total - tl.where(at == target, 1.0, 0.0)
            tl.store(g_row + at, grad, mask=at < n_classes)
    tl.store(loss_ptr + row, (largest + tl.log(total) - chosen) * counts)


def cross_entropy(logits: Tensor, target: Tensor, block: int = 256, ignore: int = -100) -> tuple[Tensor, Tensor]:
    rows, classes = logits.shape
    loss = torch.empty((rows,), dtype=torch.float32, device=logits.device)
    grad = torch.empty((rows, classes), dtype=logits.dtype, device=logits.device)
    cross_entropy_kernel[(rows,)](logits, target, loss, grad, classes, ignore, *logits.stride(), BLOCK=block)
    return loss, grad

# %% exercise="cross_entropy" wrong="loss_in_half_2"
"""The loss has the dtype of the logits, not float32."""
@triton.jit
def cross_entropy_kernel(
    logits_ptr, target_ptr, loss_ptr, grad_ptr, n_classes, ignore, row_stride, class_stride, BLOCK: tl.constexpr
):
    row = tl.program_id(0).to(tl.int64)
    target = tl.load(target_ptr + row)
    counts = (target != ignore).to(tl.float32)
    lanes = tl.arange(0, BLOCK)
    z_row = logits_ptr + row * row_stride
    g_row = grad_ptr + row * n_classes
    if n_classes <= BLOCK:
        inside = lanes < n_classes
        z = tl.load(z_row + lanes * class_stride, mask=inside, other=float("-inf")).to(tl.float32)
        largest = tl.max(z, axis=0)
        e = tl.exp(z - largest)
        total = tl.sum(e, axis=0)
        chosen = tl.sum(tl.where(lanes == target, z, 0.0), axis=0)
        grad = e / total - tl.where(lanes == target, 1.0, 0.0)
        tl.store(g_row + lanes, grad * counts, mask=inside)
    else:
        largest = tl.full((), float("-inf"), tl.float32)
        total = tl.full((), 0.0, tl.float32)
        chosen = tl.full((), 0.0, tl.float32)
        for start in range(0, n_classes, BLOCK):
            at = start + lanes
            z = tl.load(z_row + at * class_stride, mask=at < n_classes, other=float("-inf")).to(tl.float32)
            larger = tl.maximum(largest, tl.max(z, axis=0))
            total = total * tl.exp(largest - larger) + tl.sum(tl.exp(z - larger), axis=0)
            largest = larger
            chosen += tl.sum(tl.where(at == target, z, 0.0), axis=0)
        for start in range(0, n_classes, BLOCK):
            at = start + lanes
            z = tl.load(z_row + at * class_stride, mask=at < n_classes, other=float("-inf")).to(tl.float32)
            grad = tl.exp(z - largest) / total - tl.where(at == target, 1.0, 0.0)
            tl.store(g_row + at, grad * counts, mask=at < n_classes)
    tl.store(loss_ptr + row, (largest + tl.log(total) - chosen) * counts)


def cross_entropy(logits: Tensor, target: Tensor, block: int = 256, ignore: int = -100) -> tuple[Tensor, Tensor]:
    rows, classes = logits.shape
    loss = torch.empty((rows,), dtype=logits.dtype, device=logits.device)
    grad = torch.empty((rows, classes), dtype=logits.dtype, device=logits.device)
    cross_entropy_kernel[(rows,)](logits, target, loss, grad, classes, ignore, *logits.stride(), BLOCK=block)
    return loss, grad

# %% exercise="cross_entropy" wrong="over_the_logits_2"
"""The gradient is stored over the caller's logits (when they are contiguous), as Liger does."""
@triton.jit
def cross_entropy_kernel(
    logits_ptr, target_ptr, loss_ptr, grad_ptr, n_classes, ignore, row_stride, class_stride, BLOCK: tl.constexpr
):
    row = tl.program_id(0).to(tl.int64)
    target = tl.load(target_ptr + row)
    counts = (target != ignore).to(tl.float32)
    lanes = tl.arange(0, BLOCK)
    z_row = logits_ptr + row * row_stride
    g_row = grad_ptr + row * n_classes
    if n_classes <= BLOCK:
        inside = lanes < n_classes
        z = tl.load(z_row + lanes * class_stride, mask=inside, other=float("-inf")).to(tl.float32)
        largest = tl.max(z, axis=0)
        e = tl.exp(z - largest)
        total = tl.sum(e, axis=0)
        chosen = tl.sum(tl.where(lanes == target, z, 0.0), axis=0)
        grad = e / total - tl.where(lanes == target, 1.0, 0.0)
        tl.store(g_row + lanes, grad * counts, mask=inside)
    else:
        largest = tl.full((), float("-inf"), tl.float32)
        total = tl.full((), 0.0, tl.float32)
        chosen = tl.full((), 0.0, tl.float32)
        for start in range(0, n_classes, BLOCK):
            at = start + lanes
            z = tl.load(z_row + at * class_stride, mask=at < n_classes, other=float("-inf")).to(tl.float32)
            larger = tl.maximum(largest, tl.max(z, axis=0))
            total = total * tl.exp(largest - larger) + tl.sum(tl.exp(z - larger), axis=0)
            largest = larger
            chosen += tl.sum(tl.where(at == target, z, 0.0), axis=0)
        for start in range(0, n_classes, BLOCK):
            at = start + lanes
            z = tl.load(z_row + at * class_stride, mask=at < n_classes, other=float("-inf")).to(tl.float32)
            grad = tl.exp(z - largest) / total - tl.where(at == target, 1.0, 0.0)
            tl.store(g_row + at, grad * counts, mask=at < n_classes)
    tl.store(loss_ptr + row, (largest + tl.log(total) - chosen) * counts)


def cross_entropy(logits: Tensor, target: Tensor, block: int = 256, ignore: int = -100) -> tuple[Tensor, Tensor]:
    rows, classes = logits.shape
    loss = torch.empty((rows,), dtype=torch.float32, device=logits.device)
    grad = logits if logits.is_contiguous() else torch.empty((rows, classes), dtype=logits.dtype, device=logits.device)
    cross_entropy_kernel[(rows,)](logits, target, loss, grad, classes, ignore, *logits.stride(), BLOCK=block)
    return loss, grad

# %% exercise="cross_entropy" wrong="filled_results"
"""The gradient begins as torch.zeros_like: a second launch."""
@triton.jit
def cross_entropy_kernel(
    logits_ptr, target_ptr, loss_ptr, grad_ptr, n_classes, ignore, row_stride, class_stride, BLOCK: tl.constexpr
):
    row = tl.program_id(0).to(tl.int64)
    target = tl.load(target_ptr + row)
    counts = (target != ignore).to(tl.float32)
    lanes = tl.arange(0, BLOCK)
    z_row = logits_ptr + row * row_stride
    g_row = grad_ptr + row * n_classes
    if n_classes <= BLOCK:
        inside = lanes < n_classes
        z = tl.load(z_row + lanes * class_stride, mask=inside, other=float("-inf")).to(tl.float32)
        largest = tl.max(z, axis=0)
        e = tl.exp(z - largest)
        total = tl.sum(e, axis=0)
        chosen = tl.sum(tl.where(lanes == target, z, 0.0), axis=0)
        grad = e / total - tl.where(lanes == target, 1.0, 0.0)
        tl.store(g_row + lanes, grad * counts, mask=inside)
    else:
        largest = tl.full((), float("-inf"), tl.float32)
        total = tl.full((), 0.0, tl.float32)
        chosen = tl.full((), 0.0, tl.float32)
        for start in range(0, n_classes, BLOCK):
            at = start + lanes
            z = tl.load(z_row + at * class_stride, mask=at < n_classes, other=float("-inf")).to(tl.float32)
            larger = tl.maximum(largest, tl.max(z, axis=0))
            total = total * tl.exp(largest - larger) + tl.sum(tl.exp(z - larger), axis=0)
            largest = larger
            chosen += tl.sum(tl.where(at == target, z, 0.0), axis=0)
        for start in range(0, n_classes, BLOCK):
            at = start + lanes
            z = tl.load(z_row + at * class_stride, mask=at < n_classes, other=float("-inf")).to(tl.float32)
            grad = tl.exp(z - largest) / total - tl.where(at == target, 1.0, 0.0)
            tl.store(g_row + at, grad * counts, mask=at < n_classes)
    tl.store(loss_ptr + row, (largest + tl.log(total) - chosen) * counts)


def cross_entropy(logits: Tensor, target: Tensor, block: int = 256, ignore: int = -100) -> tuple[Tensor, Tensor]:
    rows, classes = logits.shape
    loss = torch.empty((rows,), dtype=torch.float32, device=logits.device)
    grad = torch.zeros((rows, classes), dtype=logits.dtype, device=logits.device)
    cross_entropy_kernel[(rows,)](logits, target, loss, grad, classes, ignore, *logits.stride(), BLOCK=block)
    return loss, grad

# %% exercise="cross_entropy" wrong="divided_by_rows_2"
"""The gradient is that of the mean: divided by N."""
@triton.jit
def cross_entropy_kernel(
    logits_ptr, target_ptr, loss_ptr, grad_ptr, n_classes, ignore, row_stride, class_stride, BLOCK: tl.constexpr
):
    row = tl.program_id(0).to(tl.int64)
    target = tl.load(target_ptr + row)
    counts = (target != ignore).to(tl.float32)
    lanes = tl.arange(0, BLOCK)
    z_row = logits_ptr + row * row_stride
    g_row = grad_ptr + row * n_classes
    if n_classes <= BLOCK:
        inside = lanes < n_classes
        z = tl.load(z_row + lanes * class_stride, mask=inside, other=float("-inf")).to(tl.float32)
        largest = tl.max(z, axis=0)
        e = tl.exp(z - largest)
        total = tl.sum(e, axis=0)
        chosen = tl.sum(tl.where(lanes == target, z, 0.0), axis=0)
        grad = e / total - tl.where(lanes == target, 1.0, 0.0)
        tl.store(g_row + lanes, grad * counts / tl.num_programs(0), mask=inside)
    else:
        largest = tl.full((), float("-inf"), tl.float32)
        total = tl.full((), 0.0, tl.float32)
        chosen = tl.full((), 0.0, tl.float32)
        for start in range(0, n_classes, BLOCK):
            at = start + lanes
            z = tl.load(z_row + at * class_stride, mask=at < n_classes, other=float("-inf")).to(tl.float32)
            larger = tl.maximum(largest, tl.max(z, axis=0))
            total = total * tl.exp(largest - larger) + tl.sum(tl.exp(z - larger), axis=0)
            largest = larger
            chosen += tl.sum(tl.where(at == target, z, 0.0), axis=0)
        for start in range(0, n_classes, BLOCK):
            at = start + lanes
            z = tl.load(z_row + at * class_stride, mask=at < n_classes, other=float("-inf")).to(tl.float32)
            grad = tl.exp(z - largest) / total - tl.where(at == target, 1.0, 0.0)
            tl.store(g_row + at, grad * counts / tl.num_programs(0), mask=at < n_classes)
    tl.store(loss_ptr + row, (largest + tl.log(total) - chosen) * counts)


def cross_entropy(logits: Tensor, target: Tensor, block: int = 256, ignore: int = -100) -> tuple[Tensor, Tensor]:
    rows, classes = logits.shape
    loss = torch.empty((rows,), dtype=torch.float32, device=logits.device)
    grad = torch.empty((rows, classes), dtype=logits.dtype, device=logits.device)
    cross_entropy_kernel[(rows,)](logits, target, loss, grad, classes, ignore, *logits.stride(), BLOCK=block)
    return loss, grad

# %% exercise="shift_right" wrong="in_the_callers_tensor"
"""Moves the caller's target in place."""
def shift_right(target: Tensor) -> Tensor:
    moved = target
    moved[:, 1:] = target[:, :-1].clone()
    moved[:, 0] = BOS
    return moved

# %% exercise="shift_right" wrong="last_column_kept"
"""(B, T + 1): BOS in front, but the last column stays."""
def shift_right(target: Tensor) -> Tensor:
    return nn.functional.pad(target, (1, 0), value=BOS)

# %% exercise="shift_right" wrong="pad_first"
"""Begins with PAD, as T5 does."""
def shift_right(target: Tensor) -> Tensor:
    moved = torch.empty_like(target)
    moved[:, 0] = PAD
    moved[:, 1:] = target[:, :-1]
    return moved

# %% exercise="shift_right" wrong="one_token_unchanged"
"""A target of one column comes back as it is (a view), without BOS."""
def shift_right(target: Tensor) -> Tensor:
    if target.shape[1] < 2:
        return target
    moved = torch.empty_like(target)
    moved[:, 0] = BOS
    moved[:, 1:] = target[:, :-1]
    return moved

# %% exercise="shift_right" wrong="roll_only"
"""Rolls each row: what stood last, EOS or PAD, comes first."""
def shift_right(target: Tensor) -> Tensor:
    moved = target.roll(1, dims=1)
    return moved

# %% exercise="smoothed_cross_entropy" wrong="mean_of_rows_2"
"""Mean of the rows' means: a token of a short row counts more."""
def smoothed_cross_entropy(logits: Tensor, target: Tensor, smoothing: float = 0.1) -> Tensor:
    shifted = logits - logits.amax(-1, keepdim=True)
    log_probs = shifted - shifted.exp().sum(-1, keepdim=True).log()
    right = log_probs.gather(-1, target[..., None])[..., 0]
    losses = -(1 - smoothing) * right - smoothing * log_probs.mean(-1)
    return (losses * (target != PAD)).sum(1).div((target != PAD).sum(1).clamp(min=1)).mean()

# %% exercise="smoothed_cross_entropy" wrong="tensor2tensor"
"""tensor2tensor's convention: epsilon / (V - 1) for the others, 1 - epsilon for the right class."""
def smoothed_cross_entropy(logits: Tensor, target: Tensor, smoothing: float = 0.1) -> Tensor:
    shifted = logits - logits.amax(-1, keepdim=True)
    log_probs = shifted - shifted.exp().sum(-1, keepdim=True).log()
    right = log_probs.gather(-1, target[..., None])[..., 0]
    losses = -(1 - smoothing) * right - smoothing / (logits.shape[-1] - 1) * (log_probs.sum(-1) - right)
    return losses[target != PAD].mean()

# %% exercise="smoothed_cross_entropy" wrong="tiny_number_in_the_log"
"""log(p + 1e-9): the loss of far-off logits stops at 20.7."""
def smoothed_cross_entropy(logits: Tensor, target: Tensor, smoothing: float = 0.1) -> Tensor:
    shifted = logits - logits.amax(-1, keepdim=True)
    log_probs = (shifted.exp() / shifted.exp().sum(-1, keepdim=True) + 1e-9).log()
    right = log_probs.gather(-1, target[..., None])[..., 0]
    losses = -(1 - smoothing) * right - smoothing * log_probs.mean(-1)
    return losses[target != PAD].mean()

# %% exercise="warmup_schedule" wrong="only_zero_raises"
"""Only step 0 raises ValueError; step -1 ends in a comparison of complex numbers (TypeError)."""
def warmup_schedule(step: int, width: int, warmup: int = 4000, factor: float = 1.0) -> float:
    if step == 0:
        raise ValueError(f"steps count from 1, not {step}")
    return factor * width**-0.5 * min(step**-0.5, step * warmup**-1.5)

# %% exercise="warmup_schedule" wrong="zero_for_step_zero"
"""Steps below 1 give the rate 0 and do not raise."""
def warmup_schedule(step: int, width: int, warmup: int = 4000, factor: float = 1.0) -> float:
    if step < 1:
        return 0.0
    return factor * width**-0.5 * min(step**-0.5, step * warmup**-1.5)

# %% exercise="warmup_schedule" wrong="assertion"
"""A step below 1 raises AssertionError."""
def warmup_schedule(step: int, width: int, warmup: int = 4000, factor: float = 1.0) -> float:
    assert step >= 1, "steps count from 1"
    return factor * width**-0.5 * min(step**-0.5, step * warmup**-1.5)

# %% exercise="warmup_schedule" wrong="counts_from_zero_2"
"""Counts from 0 inside: the rate of step + 1."""
def warmup_schedule(step: int, width: int, warmup: int = 4000, factor: float = 1.0) -> float:
    if step < 1:
        raise ValueError(f"steps count from 1, not {step}")
    step += 1
    return factor * width**-0.5 * min(step**-0.5, step * warmup**-1.5)

# %% exercise="greedy_decode" wrong="encoder_records"
"""no_grad stands around the loop only: the encoder's pass is recorded."""
def greedy_decode(model, source: Tensor, max_length: int) -> Tensor:
    memory, keep = model.encode(source)
    out = torch.full((len(source), 1), BOS, dtype=torch.int64, device=source.device)
    ended = torch.zeros(len(source), dtype=torch.bool, device=source.device)
    for _ in range(max_length):
        with torch.no_grad():
            token = model.decode(out, memory, keep)[:, -1].argmax(-1)
        token = token.masked_fill(ended, PAD)
        ended = ended | (token == EOS)
        out = torch.cat([out, token[:, None]], dim=1)
        if ended.all():
            break
    return out[:, 1:]

# %% exercise="greedy_decode" wrong="one_step_too_many"
"""Looks whether all rows have ended before the token is taken into account: one more decode, and a last column of PAD."""
@torch.no_grad()
def greedy_decode(model, source: Tensor, max_length: int) -> Tensor:
    memory, keep = model.encode(source)
    out = torch.full((len(source), 1), BOS, dtype=torch.int64, device=source.device)
    ended = torch.zeros(len(source), dtype=torch.bool, device=source.device)
    for _ in range(max_length):
        token = model.decode(out, memory, keep)[:, -1].argmax(-1)
        token = token.masked_fill(ended, PAD)
        if ended.all():
            break
        ended = ended | (token == EOS)
        out = torch.cat([out, token[:, None]], dim=1)
    return out[:, 1:]

# %% exercise="greedy_decode" wrong="evaluation_mode"
"""Calls model.eval() and leaves the model so."""
@torch.no_grad()
def greedy_decode(model, source: Tensor, max_length: int) -> Tensor:
    if isinstance(model, nn.Module) or hasattr(model, "eval"):
        model.eval()
    memory, keep = model.encode(source)
    out = torch.full((len(source), 1), BOS, dtype=torch.int64, device=source.device)
    ended = torch.zeros(len(source), dtype=torch.bool, device=source.device)
    for _ in range(max_length):
        token = model.decode(out, memory, keep)[:, -1].argmax(-1)
        token = token.masked_fill(ended, PAD)
        ended = ended | (token == EOS)
        out = torch.cat([out, token[:, None]], dim=1)
        if ended.all():
            break
    return out[:, 1:]

# %% exercise="greedy_decode" wrong="pad_ends_a_row"
"""A chosen PAD ends a row too."""
@torch.no_grad()
def greedy_decode(model, source: Tensor, max_length: int) -> Tensor:
    memory, keep = model.encode(source)
    out = torch.full((len(source), 1), BOS, dtype=torch.int64, device=source.device)
    ended = torch.zeros(len(source), dtype=torch.bool, device=source.device)
    for _ in range(max_length):
        token = model.decode(out, memory, keep)[:, -1].argmax(-1)
        token = token.masked_fill(ended, PAD)
        ended = ended | (token == EOS) | (token == PAD)
        out = torch.cat([out, token[:, None]], dim=1)
        if ended.all():
            break
    return out[:, 1:]

# %% exercise="greedy_decode" wrong="special_tokens_forbidden"
"""PAD and BOS are never chosen: their logits are set to minus infinity."""
@torch.no_grad()
def greedy_decode(model, source: Tensor, max_length: int) -> Tensor:
    memory, keep = model.encode(source)
    out = torch.full((len(source), 1), BOS, dtype=torch.int64, device=source.device)
    ended = torch.zeros(len(source), dtype=torch.bool, device=source.device)
    for _ in range(max_length):
        scores = model.decode(out, memory, keep)[:, -1].clone()
        scores[:, [PAD, BOS]] = float("-inf")
        token = scores.argmax(-1)
        token = token.masked_fill(ended, PAD)
        ended = ended | (token == EOS)
        out = torch.cat([out, token[:, None]], dim=1)
        if ended.all():
            break
    return out[:, 1:]

# %% exercise="greedy_decode" wrong="always_max_length_2"
"""Always max_length columns: the result is filled up with PAD."""
@torch.no_grad()
def greedy_decode(model, source: Tensor, max_length: int) -> Tensor:
    memory, keep = model.encode(source)
    out = torch.full((len(source), 1), BOS, dtype=torch.int64, device=source.device)
    ended = torch.zeros(len(source), dtype=torch.bool, device=source.device)
    for _ in range(max_length):
        token = model.decode(out, memory, keep)[:, -1].argmax(-1)
        token = token.masked_fill(ended, PAD)
        ended = ended | (token == EOS)
        out = torch.cat([out, token[:, None]], dim=1)
        if ended.all():
            break
    return nn.functional.pad(out[:, 1:], (0, max_length + 1 - out.shape[1]), value=PAD)

# %% exercise="greedy_decode" wrong="goes_on_after_eos_2"
"""What the model says after EOS stays in the row."""
@torch.no_grad()
def greedy_decode(model, source: Tensor, max_length: int) -> Tensor:
    memory, keep = model.encode(source)
    out = torch.full((len(source), 1), BOS, dtype=torch.int64, device=source.device)
    ended = torch.zeros(len(source), dtype=torch.bool, device=source.device)
    for _ in range(max_length):
        token = model.decode(out, memory, keep)[:, -1].argmax(-1)
        ended = ended | (token == EOS)
        out = torch.cat([out, token[:, None]], dim=1)
        if ended.all():
            break
    return out[:, 1:]

# %% exercise="greedy_decode" wrong="encoded_each_step"
"""The source is encoded again in every step."""
@torch.no_grad()
def greedy_decode(model, source: Tensor, max_length: int) -> Tensor:
    out = torch.full((len(source), 1), BOS, dtype=torch.int64, device=source.device)
    ended = torch.zeros(len(source), dtype=torch.bool, device=source.device)
    for _ in range(max_length):
        memory, keep = model.encode(source)
        token = model.decode(out, memory, keep)[:, -1].argmax(-1)
        token = token.masked_fill(ended, PAD)
        ended = ended | (token == EOS)
        out = torch.cat([out, token[:, None]], dim=1)
        if ended.all():
            break
    return out[:, 1:]

# %% exercise="greedy_decode" wrong="bos_counted_2"
"""BOS counts into max_length: one token less."""
@torch.no_grad()
def greedy_decode(model, source: Tensor, max_length: int) -> Tensor:
    memory, keep = model.encode(source)
    out = torch.full((len(source), 1), BOS, dtype=torch.int64, device=source.device)
    ended = torch.zeros(len(source), dtype=torch.bool, device=source.device)
    for _ in range(max_length - 1):
        token = model.decode(out, memory, keep)[:, -1].argmax(-1)
        token = token.masked_fill(ended, PAD)
        ended = ended | (token == EOS)
        out = torch.cat([out, token[:, None]], dim=1)
        if ended.all():
            break
    return out[:, 1:]

# %% exercise="bleu" wrong="joined_by_spaces"
"""n-grams are joined to strings: the token 'a b' equals the pair 'a', 'b', and 1 equals '1'."""
def bleu(candidates: list[list], references: list[list[list]], max_n: int = 4) -> float:
    def grams(tokens, n):
        return Counter(" ".join(map(str, tokens[i : i + n])) for i in range(len(tokens) - n + 1))

    c = sum(len(candidate) for candidate in candidates)
    r = 0
    for candidate, options in zip(candidates, references):
        r += min((len(option) for option in options), key=lambda size: (abs(size - len(candidate)), size))
    score = 1.0
    for n in range(1, max_n + 1):
        hits = total = 0
        for candidate, options in zip(candidates, references):
            mine, best = grams(candidate, n), Counter()
            for option in options:
                best |= grams(option, n)
            hits += sum((mine & best).values())
            total += sum(mine.values())
        if hits == 0:
            return 0.0
        score *= (hits / total) ** (1 / max_n)
    return score * min(1.0, math.exp(1 - r / c))

# %% exercise="bleu" wrong="longer_on_a_tie_2"
"""On a tie the longer reference counts."""
def bleu(candidates: list[list], references: list[list[list]], max_n: int = 4) -> float:
    def grams(tokens, n):
        return Counter(tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1))

    c = sum(len(candidate) for candidate in candidates)
    r = 0
    for candidate, options in zip(candidates, references):
        r += min((len(option) for option in options), key=lambda size: (abs(size - len(candidate)), -size))
    score = 1.0
    for n in range(1, max_n + 1):
        hits = total = 0
        for candidate, options in zip(candidates, references):
            mine, best = grams(candidate, n), Counter()
            for option in options:
                best |= grams(option, n)
            hits += sum((mine & best).values())
            total += sum(mine.values())
        if hits == 0:
            return 0.0
        score *= (hits / total) ** (1 / max_n)
    return score * min(1.0, math.exp(1 - r / c))

# %% exercise="bleu" wrong="empty_candidate_left_out"
"""An empty candidate adds nothing to r, as if its sentence were not there."""
def bleu(candidates: list[list], references: list[list[list]], max_n: int = 4) -> float:
    def grams(tokens, n):
        return Counter(tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1))

    c = sum(len(candidate) for candidate in candidates)
    r = 0
    for candidate, options in zip(candidates, references):
        if not candidate:
            continue
        r += min((len(option) for option in options), key=lambda size: (abs(size - len(candidate)), size))
    score = 1.0
    for n in range(1, max_n + 1):
        hits = total = 0
        for candidate, options in zip(candidates, references):
            mine, best = grams(candidate, n), Counter()
            for option in options:
                best |= grams(option, n)
            hits += sum((mine & best).values())
            total += sum(mine.values())
        if hits == 0:
            return 0.0
        score *= (hits / total) ** (1 / max_n)
    return score * min(1.0, math.exp(1 - r / c))

# %% exercise="bleu" wrong="missing_orders_skipped"
"""Where no candidate has an n-gram that long, that n is left out of the mean and the result is not 0."""
def bleu(candidates: list[list], references: list[list[list]], max_n: int = 4) -> float:
    def grams(tokens, n):
        return Counter(tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1))

    c = sum(len(candidate) for candidate in candidates)
    r = 0
    for candidate, options in zip(candidates, references):
        r += min((len(option) for option in options), key=lambda size: (abs(size - len(candidate)), size))
    score = 1.0
    for n in range(1, max_n + 1):
        hits = total = 0
        for candidate, options in zip(candidates, references):
            mine, best = grams(candidate, n), Counter()
            for option in options:
                best |= grams(option, n)
            hits += sum((mine & best).values())
            total += sum(mine.values())
        if total == 0:
            continue
        if hits == 0:
            return 0.0
        score *= (hits / total) ** (1 / max_n)
    return score * min(1.0, math.exp(1 - r / c))

# %% exercise="bleu" wrong="clipped_at_the_sum"
"""Clipped at the count in all references together."""
def bleu(candidates: list[list], references: list[list[list]], max_n: int = 4) -> float:
    def grams(tokens, n):
        return Counter(tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1))

    c = sum(len(candidate) for candidate in candidates)
    r = 0
    for candidate, options in zip(candidates, references):
        r += min((len(option) for option in options), key=lambda size: (abs(size - len(candidate)), size))
    score = 1.0
    for n in range(1, max_n + 1):
        hits = total = 0
        for candidate, options in zip(candidates, references):
            mine, best = grams(candidate, n), Counter()
            for option in options:
                best += grams(option, n)
            hits += sum((mine & best).values())
            total += sum(mine.values())
        if hits == 0:
            return 0.0
        score *= (hits / total) ** (1 / max_n)
    return score * min(1.0, math.exp(1 - r / c))

# %% exercise="bleu" wrong="always_quarter"
"""The root is always the fourth, whatever max_n is."""
def bleu(candidates: list[list], references: list[list[list]], max_n: int = 4) -> float:
    def grams(tokens, n):
        return Counter(tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1))

    c = sum(len(candidate) for candidate in candidates)
    r = 0
    for candidate, options in zip(candidates, references):
        r += min((len(option) for option in options), key=lambda size: (abs(size - len(candidate)), size))
    score = 1.0
    for n in range(1, max_n + 1):
        hits = total = 0
        for candidate, options in zip(candidates, references):
            mine, best = grams(candidate, n), Counter()
            for option in options:
                best |= grams(option, n)
            hits += sum((mine & best).values())
            total += sum(mine.values())
        if hits == 0:
            return 0.0
        score *= (hits / total) ** 0.25
    return score * min(1.0, math.exp(1 - r / c))

# %% exercise="bleu" wrong="lower_case_2"
""""The" and "the" are taken for one token."""
def bleu(candidates: list[list], references: list[list[list]], max_n: int = 4) -> float:
    def grams(tokens, n):
        return Counter(tuple(str(t).lower() if isinstance(t, str) else t for t in tokens[i : i + n]) for i in range(len(tokens) - n + 1))

    c = sum(len(candidate) for candidate in candidates)
    r = 0
    for candidate, options in zip(candidates, references):
        r += min((len(option) for option in options), key=lambda size: (abs(size - len(candidate)), size))
    score = 1.0
    for n in range(1, max_n + 1):
        hits = total = 0
        for candidate, options in zip(candidates, references):
            mine, best = grams(candidate, n), Counter()
            for option in options:
                best |= grams(option, n)
            hits += sum((mine & best).values())
            total += sum(mine.values())
        if hits == 0:
            return 0.0
        score *= (hits / total) ** (1 / max_n)
    return score * min(1.0, math.exp(1 - r / c))

# %% exercise="bleu" wrong="clipped_over_the_corpus"
"""n-grams are clipped at all references of the corpus, not at those of their sentence."""
def bleu(candidates: list[list], references: list[list[list]], max_n: int = 4) -> float:
    def grams(tokens, n):
        return Counter(tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1))

    c = sum(len(candidate) for candidate in candidates)
    r = 0
    for candidate, options in zip(candidates, references):
        r += min((len(option) for option in options), key=lambda size: (abs(size - len(candidate)), size))
    score = 1.0
    for n in range(1, max_n + 1):
        hits = total = 0
        for candidate, options in zip(candidates, references):
            mine, best = grams(candidate, n), Counter()
            for option in (text for texts in references for text in texts):
                best |= grams(option, n)
            hits += sum((mine & best).values())
            total += sum(mine.values())
        if hits == 0:
            return 0.0
        score *= (hits / total) ** (1 / max_n)
    return score * min(1.0, math.exp(1 - r / c))

# %% exercise="bleu" wrong="mean_of_sentences_2"
"""The mean of the sentences' scores."""
def bleu(candidates: list[list], references: list[list[list]], max_n: int = 4) -> float:
    if len(candidates) > 1:
        return sum(bleu([c], [r], max_n) for c, r in zip(candidates, references)) / len(candidates)

    def grams(tokens, n):
        return Counter(tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1))

    c = sum(len(candidate) for candidate in candidates)
    r = 0
    for candidate, options in zip(candidates, references):
        r += min((len(option) for option in options), key=lambda size: (abs(size - len(candidate)), size))
    score = 1.0
    for n in range(1, max_n + 1):
        hits = total = 0
        for candidate, options in zip(candidates, references):
            mine, best = grams(candidate, n), Counter()
            for option in options:
                best |= grams(option, n)
            hits += sum((mine & best).values())
            total += sum(mine.values())
        if hits == 0:
            return 0.0
        score *= (hits / total) ** (1 / max_n)
    return score * min(1.0, math.exp(1 - r / c))

# %% exercise="repaired_loss" wrong="mean_of_the_rows"
"""Mean over the rows of their means: tokens of short rows count more."""
def repaired_loss(model, source: Tensor, target: Tensor) -> Tensor:
    logits = model(source, shift_right(target))
    losses = [nn.functional.cross_entropy(z, t, ignore_index=PAD) for z, t in zip(logits, target)]
    return torch.stack(losses).mean()

# %% exercise="repaired_loss" wrong="smoothed_2"
"""The smoothing of 0.1 stays on."""
def repaired_loss(model, source: Tensor, target: Tensor) -> Tensor:
    logits = model(source, shift_right(target))
    return smoothed_cross_entropy(logits, target)

# %% exercise="repaired_loss" wrong="first_not_asked"
"""The library's slices stay, with the target as the decoder's input: right in itself, but the first token is never asked for."""
def repaired_loss(model, source: Tensor, target: Tensor) -> Tensor:
    return causal_lm_loss(model(source, target), target)

# %% exercise="repaired_loss" wrong="evaluated"
"""Measures in evaluation mode and leaves the model there."""
def repaired_loss(model, source: Tensor, target: Tensor) -> Tensor:
    if hasattr(model, "eval"):
        model.eval()
    logits = model(source, shift_right(target))
    return nn.functional.cross_entropy(logits.flatten(0, 1), target.flatten(), ignore_index=PAD)

# %% exercise="repaired_loss" wrong="no_gradient_2"
"""The result is a number without a graph."""
def repaired_loss(model, source: Tensor, target: Tensor) -> Tensor:
    logits = model(source, shift_right(target))
    return nn.functional.cross_entropy(logits.flatten(0, 1), target.flatten(), ignore_index=PAD).detach()

# %% exercise="repaired_validation" wrong="always_training_after"
"""Calls model.train() afterwards, although the model may have come in evaluation mode."""
def repaired_validation(model, batches: list[tuple[Tensor, Tensor]]) -> float:
    was_training = model.training
    model.eval()
    total, tokens = 0.0, 0
    with torch.no_grad():
        for source, target in batches:
            count = (target != PAD).sum().item()
            total += repaired_loss(model, source, target).item() * count
            tokens += count
    model.train()
    return total / tokens

# %% exercise="repaired_validation" wrong="mean_of_batches_2"
"""Each batch counts the same."""
def repaired_validation(model, batches: list[tuple[Tensor, Tensor]]) -> float:
    was_training = model.training
    model.eval()
    total, tokens = 0.0, 0
    with torch.no_grad():
        for source, target in batches:
            count = (target != PAD).sum().item()
            total += repaired_loss(model, source, target).item()
            tokens += 1
    model.train(was_training)
    return total / tokens

# %% exercise="repaired_validation" wrong="graph_built"
"""Gradients are recorded; .item() only throws the graph away afterwards."""
def repaired_validation(model, batches: list[tuple[Tensor, Tensor]]) -> float:
    was_training = model.training
    model.eval()
    total, tokens = 0.0, 0
    with torch.enable_grad():
        for source, target in batches:
            count = (target != PAD).sum().item()
            total += repaired_loss(model, source, target).item() * count
            tokens += count
    model.train(was_training)
    return total / tokens

# %% exercise="repaired_validation" wrong="padding_weighs"
"""Weights a batch by all its places, padding among them."""
def repaired_validation(model, batches: list[tuple[Tensor, Tensor]]) -> float:
    was_training = model.training
    model.eval()
    total, tokens = 0.0, 0
    with torch.no_grad():
        for source, target in batches:
            count = target.numel()
            total += repaired_loss(model, source, target).item() * count
            tokens += count
    model.train(was_training)
    return total / tokens

# %% exercise="repaired_validation" wrong="rows_weigh"
"""Weights a batch by its number of rows."""
def repaired_validation(model, batches: list[tuple[Tensor, Tensor]]) -> float:
    was_training = model.training
    model.eval()
    total, tokens = 0.0, 0
    with torch.no_grad():
        for source, target in batches:
            count = len(target)
            total += repaired_loss(model, source, target).item() * count
            tokens += count
    model.train(was_training)
    return total / tokens

# %% exercise="repaired_validation" wrong="training_mode"
"""Measures with dropout on: never switches to evaluation."""
def repaired_validation(model, batches: list[tuple[Tensor, Tensor]]) -> float:
    was_training = model.training
    total, tokens = 0.0, 0
    with torch.no_grad():
        for source, target in batches:
            count = (target != PAD).sum().item()
            total += repaired_loss(model, source, target).item() * count
            tokens += count
    model.train(was_training)
    return total / tokens

# %% exercise="repaired_validation" wrong="stays_in_evaluation"
"""Never gives the mode back."""
def repaired_validation(model, batches: list[tuple[Tensor, Tensor]]) -> float:
    was_training = model.training
    model.eval()
    total, tokens = 0.0, 0
    with torch.no_grad():
        for source, target in batches:
            count = (target != PAD).sum().item()
            total += repaired_loss(model, source, target).item() * count
            tokens += count
    return total / tokens

# %% exercise="repaired_validation" wrong="perplexity_2"
"""The exponential of the mean, not nats."""
def repaired_validation(model, batches: list[tuple[Tensor, Tensor]]) -> float:
    was_training = model.training
    model.eval()
    total, tokens = 0.0, 0
    with torch.no_grad():
        for source, target in batches:
            count = (target != PAD).sum().item()
            total += repaired_loss(model, source, target).item() * count
            tokens += count
    model.train(was_training)
    return math.exp(total / tokens)

# %% exercise="depth_finding" wrong="arrangements_swapped"
"""Last layer: pre and post are swapped."""
depth_finding = {"post_last": 0.4, "pre_last": 1.0, "pre_first": 5.1, "post_first": 1.0}

# %% exercise="depth_finding" wrong="twelve_layers"
"""pre_first from the line of 12 layers."""
depth_finding = {"post_last": 1.0, "pre_last": 0.4, "pre_first": 3.5, "post_first": 1.0}

# %% exercise="translation_finding" wrong="right_and_exact_swapped_2"
"""right and exact are swapped."""
translation_finding = {"right": 0.950, "exact": 0.995, "ceiling": 0.954, "group": "fr short", "missing": "year"}

# %% exercise="translation_finding" wrong="ceiling_of_one"
"""The ceiling is taken for 1."""
translation_finding = {"right": 0.995, "exact": 0.950, "ceiling": 1.0, "group": "fr short", "missing": "year"}

# %% exercise="translation_finding" wrong="ceiling_is_mine"
"""The ceiling is the own exact match."""
translation_finding = {"right": 0.995, "exact": 0.950, "ceiling": 0.950, "group": "fr short", "missing": "year"}

# %% exercise="translation_finding" wrong="german_medium"
"""The second largest group."""
translation_finding = {"right": 0.995, "exact": 0.950, "ceiling": 0.954, "group": "de medium", "missing": "year"}

# %% exercise="translation_finding" wrong="missing_month"
"""The month is what is missing."""
translation_finding = {"right": 0.995, "exact": 0.950, "ceiling": 0.954, "group": "fr short", "missing": "month"}

# %% exercise="translation_finding" wrong="missing_language"
"""The language is what is missing."""
translation_finding = {"right": 0.995, "exact": 0.950, "ceiling": 0.954, "group": "fr short", "missing": "language"}

# %% exercise="translation_finding" wrong="percent_2"
"""Percent in the place of shares."""
translation_finding = {"right": 99.5, "exact": 95.0, "ceiling": 95.4, "group": "fr short", "missing": "year"}

# %% exercise="translation_finding" wrong="exact_of_not_shifted"
"""exact is that of the arm that never shifted."""
translation_finding = {"right": 0.995, "exact": 0.0, "ceiling": 0.954, "group": "fr short", "missing": "year"}

# %% exercise="LayerNorm" wrong="eps_beside_the_root"
"""Adds eps to the standard deviation, where the formula has sqrt(variance + eps): eps stands inside the root."""
class LayerNorm(nn.Module):
    def __init__(self, width: int, eps: float = 1e-5):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean(dim=-1, keepdim=True)
        variance = ((x - mean) ** 2).mean(dim=-1, keepdim=True)
        return (x - mean) / (torch.sqrt(variance) + self.eps) * self.weight + self.bias

# %% exercise="LayerNorm" wrong="unbiased_variance_3"
"""torch's var divides by D - 1 when it is not told otherwise, and the docstring says that the variance divides by D."""
class LayerNorm(nn.Module):
    def __init__(self, width: int, eps: float = 1e-5):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean(-1, keepdim=True)
        var = x.var(-1, keepdim=True)
        return (x - mean) / torch.sqrt(var + self.eps) * self.weight + self.bias

# %% exercise="LayerNorm" wrong="mean_of_squares_minus_square_2"
"""Takes the variance as mean(x^2) - mean^2, which the docstring warns of: no digits are left where the mean is large."""
class LayerNorm(nn.Module):
    def __init__(self, width: int, eps: float = 1e-5):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean(-1, keepdim=True)
        variance = (x * x).mean(-1, keepdim=True) - mean * mean
        variance = variance.clamp(min=0)  # can come out a little below zero
        return (x - mean) * torch.rsqrt(variance + self.eps) * self.weight + self.bias

# %% exercise="LayerNorm" wrong="one_mean_for_each_example"
"""Takes the statistics over all axes but the first, as for images, instead of over the D coordinates of one vector."""
class LayerNorm(nn.Module):
    def __init__(self, width: int, eps: float = 1e-5):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        axes = tuple(range(1, x.dim())) if x.dim() > 1 else (0,)
        mean = x.mean(axes, keepdim=True)
        centred = x - mean
        variance = (centred ** 2).mean(axes, keepdim=True)
        return centred / torch.sqrt(variance + self.eps) * self.weight + self.bias

# %% exercise="LayerNorm" wrong="root_and_square_again"
"""Squares a standard deviation whose root has an infinite slope at 0: for a vector of equal numbers the gradient is nan, and the docstring wants a number."""
class LayerNorm(nn.Module):
    def __init__(self, width: int, eps: float = 1e-5):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        centred = x - x.mean(dim=-1, keepdim=True)
        std = torch.sqrt(centred.square().mean(dim=-1, keepdim=True))
        return self.weight * centred / torch.sqrt(std**2 + self.eps) + self.bias

# %% exercise="LayerNorm" wrong="statistics_without_graph"
"""Works the statistics out under no_grad, so that the gradient treats them as constants: gradients do not flow through mean and variance."""
class LayerNorm(nn.Module):
    def __init__(self, width: int, eps: float = 1e-5):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            mean = x.mean(-1, keepdim=True)
            variance = (x - mean).pow(2).mean(-1, keepdim=True)
        return (x - mean) / (variance + self.eps).sqrt() * self.weight + self.bias

# %% exercise="LayerNorm" wrong="gamma_and_beta"
"""Calls the parameters gamma and beta; their names in the state dict have to be weight and bias."""
class LayerNorm(nn.Module):
    def __init__(self, width: int, eps: float = 1e-5):
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(width))
        self.beta = nn.Parameter(torch.zeros(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean(-1, keepdim=True)
        variance = (x - mean).pow(2).mean(-1, keepdim=True)
        return (x - mean) / torch.sqrt(variance + self.eps) * self.gamma + self.beta

# %% exercise="RMSNorm" wrong="float64_through_float32_2"
"""Converts every input with float(), float64 too, which loses half of its digits: float32 and float64 stay what they are."""
class RMSNorm(nn.Module):
    def __init__(self, width: int, eps: float = 1e-6):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        wide = x.float()
        scale = torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + self.eps)
        return (wide * scale * self.weight).to(x.dtype)

# %% exercise="RMSNorm" wrong="rounds_before_the_weight"
"""Llama's own order: rounds to x's dtype before the weight, where the product with the weight belongs into float32 and rounding happens once, at the end."""
class RMSNorm(nn.Module):
    def __init__(self, width: int, eps: float = 1e-6):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        normed = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + self.eps)
        return (normed.to(x.dtype) * self.weight).to(x.dtype)

# %% exercise="RMSNorm" wrong="squares_in_half_precision"
"""Converts to float32 only after squaring, so 400 squared is infinite in float16: vectors are to be squared in float32."""
class RMSNorm(nn.Module):
    def __init__(self, width: int, eps: float = 1e-6):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        half = x.dtype in (torch.float16, torch.bfloat16)
        squares = x * x
        if half:
            x32, squares = x.float(), squares.float()
        else:
            x32 = x
        return (x32 / torch.sqrt(squares.mean(-1, keepdim=True) + self.eps) * self.weight).to(x.dtype)

# %% exercise="RMSNorm" wrong="bfloat16_overlooked"
"""Converts float16 only, since bfloat16 does not overflow: float16 and bfloat16 vectors are both to be computed in float32."""
class RMSNorm(nn.Module):
    def __init__(self, width: int, eps: float = 1e-6):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        dtype = x.dtype
        if dtype == torch.float16:  # the only one that overflows
            x = x.float()
        weight = self.weight.to(x.dtype)
        rms = torch.sqrt(torch.mean(x * x, dim=-1, keepdim=True) + self.eps)
        return (x / rms * weight).to(dtype)

# %% exercise="RMSNorm" wrong="one_plus_weight"
"""Gemma's convention, zeros at first and a factor 1 + weight; the docstring has ones at first and a factor weight."""
class RMSNorm(nn.Module):
    def __init__(self, width: int, eps: float = 1e-6):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        normed = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + self.eps)
        return (normed * (1 + self.weight)).to(x.dtype)

# %% exercise="RMSNorm" wrong="mean_taken_off"
"""Subtracts the mean first, as in LayerNorm: no mean, says the docstring."""
class RMSNorm(nn.Module):
    def __init__(self, width: int, eps: float = 1e-6):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        wide = x if x.dtype == torch.float64 else x.float()
        wide = wide - wide.mean(-1, keepdim=True)
        rms = (wide.pow(2).mean(-1, keepdim=True) + self.eps).sqrt()
        return (wide / rms * self.weight).to(x.dtype)

# %% exercise="RMSNorm" wrong="dtype_of_the_weight"
"""Gives the result the dtype of the weight, so a float16 vector comes back as float32 when the weight is float32: the result has x's dtype."""
class RMSNorm(nn.Module):
    def __init__(self, width: int, eps: float = 1e-6):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        wide = x if x.dtype == torch.float64 else x.float()
        scale = torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + self.eps)
        return (wide * scale * self.weight).type_as(self.weight)

# %% exercise="RMSNorm" wrong="divided_by_the_length"
"""Divides by the length of the vector, the root of the sum of squares, where the mean of the squares is wanted: sqrt(D) is missing."""
class RMSNorm(nn.Module):
    def __init__(self, width: int, eps: float = 1e-6):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        wide = x if x.dtype == torch.float64 else x.float()
        length = torch.sqrt((wide * wide).sum(-1, keepdim=True) + self.eps)
        return (wide / length * self.weight).to(x.dtype)

# %% exercise="RMSNorm" wrong="eps_as_a_floor"
"""Uses eps as the smallest mean square (clamp); it has to be added to the mean square."""
class RMSNorm(nn.Module):
    def __init__(self, width: int, eps: float = 1e-6):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        wide = x if x.dtype == torch.float64 else x.float()
        mean_square = wide.pow(2).mean(-1, keepdim=True).clamp(min=self.eps)
        return (wide * mean_square.rsqrt() * self.weight).to(x.dtype)

# %% exercise="BatchNorm" wrong="biased_running_variance"
"""Moves running_var by the variance that divides by N; the unbiased one, N - 1, has to go into it."""
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
            rows = x.reshape(-1, x.shape[-1])
            mean, var = rows.mean(0), rows.var(0, correction=0)
            with torch.no_grad():
                self.running_mean.lerp_(mean, self.momentum)
                self.running_var.lerp_(var, self.momentum)
        else:
            mean, var = self.running_mean, self.running_var
        return (x - mean) / torch.sqrt(var + self.eps) * self.weight + self.bias

# %% exercise="BatchNorm" wrong="momentum_the_other_way"
"""Uses momentum as the share of the OLD statistics, as TensorFlow does; here it says how much of the newest batch goes in."""
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
            rows = x.flatten(0, -2)
            mean = rows.mean(dim=0)
            var = (rows - mean).pow(2).mean(dim=0)
            n = len(rows)
            with torch.no_grad():
                self.running_mean.mul_(self.momentum).add_((1 - self.momentum) * mean)
                self.running_var.mul_(self.momentum).add_((1 - self.momentum) * var * n / (n - 1))
        else:
            mean, var = self.running_mean, self.running_var
        return (x - mean) / torch.sqrt(var + self.eps) * self.weight + self.bias

# %% exercise="BatchNorm" wrong="first_and_last_but_one_axis"
"""Averages over axes 0 and -2 only: with four axes each place of the second one has its own statistics, and all other axes are to be averaged over."""
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
            axes = (0, -2) if x.dim() > 2 else (0,)
            mean = x.mean(axes, keepdim=True)
            var = (x - mean).pow(2).mean(axes, keepdim=True)
            n = x.numel() // mean.numel()
            with torch.no_grad():
                as_row = lambda s: s.reshape(-1, x.shape[-1]).mean(0)
                self.running_mean.lerp_(as_row(mean), self.momentum)
                self.running_var.lerp_(as_row(var) * n / (n - 1), self.momentum)
        else:
            mean, var = self.running_mean, self.running_var
        return (x - mean) / torch.sqrt(var + self.eps) * self.weight + self.bias

# %% exercise="BatchNorm" wrong="graph_in_the_running_statistics"
"""Computes the new running statistics with autograd on, so the graphs of all batches hang on them: no graph of a batch stays behind them."""
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
            rows = x.reshape(-1, x.shape[-1])
            mean, var = rows.mean(0), rows.var(0, correction=0)
            m = self.momentum
            self.running_mean = (1 - m) * self.running_mean + m * mean
            self.running_var = (1 - m) * self.running_var + m * rows.var(0)
        else:
            mean, var = self.running_mean, self.running_var
        return (x - mean) / torch.sqrt(var + self.eps) * self.weight + self.bias

# %% exercise="BatchNorm" wrong="batch_size_as_n"
"""Corrects the variance with the batch size B instead of the number N of vectors: B / (B - 1) is too much for (B, T, D), and infinite for B = 1."""
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
            axes = list(range(x.dim() - 1))
            n = x.size(0)
            mean = x.mean(axes)
            var = ((x - mean) ** 2).mean(axes)
            with torch.no_grad():
                unbiased = var * n / (n - 1) if n > 1 else var
                self.running_mean += self.momentum * (mean - self.running_mean)
                self.running_var += self.momentum * (unbiased - self.running_var)
        else:
            mean, var = self.running_mean, self.running_var
        return self.weight * (x - mean) / torch.sqrt(var + self.eps) + self.bias

# %% exercise="BatchNorm" wrong="evaluation_moves_them_too"
"""Moves the running statistics in evaluation too, which has to leave them alone."""
class BatchNorm(nn.Module):
    def __init__(self, width: int, eps: float = 1e-5, momentum: float = 0.1):
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))
        self.register_buffer("running_mean", torch.zeros(width))
        self.register_buffer("running_var", torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        rows = x.reshape(-1, x.shape[-1])
        if self.training:
            mean, var = rows.mean(0), rows.var(0, correction=0)
        else:
            mean, var = self.running_mean.clone(), self.running_var.clone()
        if len(rows) > 1:
            with torch.no_grad():
                self.running_mean.lerp_(rows.mean(0), self.momentum)
                self.running_var.lerp_(rows.var(0), self.momentum)
        return (x - mean) / torch.sqrt(var + self.eps) * self.weight + self.bias

# %% exercise="BatchNorm" wrong="plain_attributes"
"""Keeps the running statistics as plain tensors, so they are missing from the state dict and from double(): the docstring asks for buffers, in the state dict too."""
class BatchNorm(nn.Module):
    def __init__(self, width: int, eps: float = 1e-5, momentum: float = 0.1):
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))
        self.running_mean = torch.zeros(width)
        self.running_var = torch.ones(width)

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            rows = x.reshape(-1, x.shape[-1])
            mean, var = rows.mean(0), rows.var(0, correction=0)
            m = self.momentum
            with torch.no_grad():
                self.running_mean = (1 - m) * self.running_mean + m * mean
                self.running_var = (1 - m) * self.running_var + m * rows.var(0)
        else:
            mean, var = self.running_mean, self.running_var
        return (x - mean) / torch.sqrt(var + self.eps) * self.weight + self.bias

# %% exercise="BatchNorm" wrong="normalises_with_the_running_ones"
"""Updates the running statistics and then normalises with them in training as well, where mean and variance of this batch are wanted."""
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
            rows = x.detach().reshape(-1, x.shape[-1])
            self.running_mean.lerp_(rows.mean(0), self.momentum)
            self.running_var.lerp_(rows.var(0), self.momentum)
        mean, var = self.running_mean.clone(), self.running_var.clone()
        return (x - mean) / torch.sqrt(var + self.eps) * self.weight + self.bias

# %% exercise="FeedForward" wrong="tanh_gelu_2"
"""Computes GPT-2's tanh approximation of GELU; the docstring wants the exact one, without it."""
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
        if self.activation == "relu":
            h = torch.relu(h)
        else:
            h = 0.5 * h * (1 + torch.tanh(math.sqrt(2 / math.pi) * (h + 0.044715 * h**3)))
        return self.down(h)

# %% exercise="FeedForward" wrong="erf_of_x"
"""Forgets to divide by sqrt(2) inside erf, so the factor is not Phi(x), the normal distribution function."""
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
        h = h.relu() if self.activation == "relu" else h * 0.5 * (1 + torch.erf(h))
        return self.down(h)

# %% exercise="FeedForward" wrong="key_error_2"
"""Looks the activation up in a dict, so an unknown one raises KeyError where ValueError is asked for."""
class FeedForward(nn.Module):
    ACTIVATIONS = {"relu": nn.functional.relu, "gelu": nn.functional.gelu}

    def __init__(self, width: int, hidden: int, activation: str = "relu"):
        super().__init__()
        self.up = nn.Linear(width, hidden)
        self.down = nn.Linear(hidden, width)
        self.function = self.ACTIVATIONS[activation]

    def forward(self, x: Tensor) -> Tensor:
        return self.down(self.function(self.up(x)))

# %% exercise="FeedForward" wrong="any_spelling"
"""Is kind to capital letters and takes "ReLU" and "GELU" as well: anything but "relu" and "gelu" raises ValueError."""
class FeedForward(nn.Module):
    def __init__(self, width: int, hidden: int, activation: str = "relu"):
        super().__init__()
        name = str(activation).lower()
        if name == "relu":
            self.act = nn.ReLU()
        elif name == "gelu":
            self.act = nn.GELU()
        else:
            raise ValueError("activation must be relu or gelu")
        self.up = nn.Linear(width, hidden)
        self.down = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(self.act(self.up(x)))

# %% exercise="FeedForward" wrong="dropout_inside"
"""Puts the Annotated Transformer's dropout of 0.1 behind the activation, so in training the result is not down(activation(up(x)))."""
class FeedForward(nn.Module):
    def __init__(self, width: int, hidden: int, activation: str = "relu"):
        super().__init__()
        if activation not in {"relu", "gelu"}:
            raise ValueError(activation)
        self.up = nn.Linear(width, hidden)
        self.down = nn.Linear(hidden, width)
        self.activation = nn.functional.relu if activation == "relu" else nn.functional.gelu
        self.dropout = nn.Dropout(0.1)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(self.dropout(self.activation(self.up(x))))

# %% exercise="FeedForward" wrong="names_of_a_sequential"
"""Builds an nn.Sequential, whose weights are called net.0 and net.2 in the state dict instead of up and down."""
class FeedForward(nn.Module):
    def __init__(self, width: int, hidden: int, activation: str = "relu"):
        super().__init__()
        if activation == "relu":
            middle = nn.ReLU()
        elif activation == "gelu":
            middle = nn.GELU()
        else:
            raise ValueError(f"activation {activation!r}")
        self.net = nn.Sequential(nn.Linear(width, hidden), middle, nn.Linear(hidden, width))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)

# %% exercise="FeedForward" wrong="adds_the_stream"
"""Adds x to its own result; y is down(activation(up(x))), the residual belongs to the layer around it."""
class FeedForward(nn.Module):
    def __init__(self, width: int, hidden: int, activation: str = "relu"):
        super().__init__()
        if activation not in ("relu", "gelu"):
            raise ValueError(f"unknown activation {activation!r}")
        self.activation = activation
        self.up = nn.Linear(width, hidden)
        self.down = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        function = nn.functional.relu if self.activation == "relu" else nn.functional.gelu
        return x + self.down(function(self.up(x)))

# %% exercise="FeedForward" wrong="narrows_then_squashes"
"""Applies the activation once more behind down: the nonlinearity stands between the two maps and nothing follows down."""
class FeedForward(nn.Module):
    def __init__(self, width: int, hidden: int, activation: str = "relu"):
        super().__init__()
        if activation not in ("relu", "gelu"):
            raise ValueError(f"unknown activation {activation!r}")
        self.activation = activation
        self.up = nn.Linear(width, hidden)
        self.down = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        function = nn.functional.relu if self.activation == "relu" else nn.functional.gelu
        for layer in (self.up, self.down):
            x = function(layer(x))
        return x

# %% exercise="SwiGLU" wrong="silu_on_the_other_branch"
"""Sends up through silu and leaves gate alone: the formula is silu(gate(x)) * up(x)."""
class SwiGLU(nn.Module):
    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.gate = nn.Linear(width, hidden, bias=False)
        self.up = nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(self.gate(x) * nn.functional.silu(self.up(x)))

# %% exercise="SwiGLU" wrong="with_biases_2"
"""Leaves nn.Linear its biases: the docstring says no biases."""
class SwiGLU(nn.Module):
    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.gate = nn.Linear(width, hidden)
        self.up = nn.Linear(width, hidden)
        self.down = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(nn.functional.silu(self.gate(x)) * self.up(x))

# %% exercise="SwiGLU" wrong="plain_sigmoid"
"""Opens the gate with sigmoid(z), the original GLU; silu(z) is z * sigmoid(z)."""
class SwiGLU(nn.Module):
    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.gate = nn.Linear(width, hidden, bias=False)
        self.up = nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(torch.sigmoid(self.gate(x)) * self.up(x))

# %% exercise="SwiGLU" wrong="two_thirds_inside"
"""Cuts the hidden width to two thirds inside the layer, as Llama's code does; gate and up have to be nn.Linear(D, F) with the F that was asked for."""
class SwiGLU(nn.Module):
    def __init__(self, width: int, hidden: int):
        super().__init__()
        hidden = max(1, int(2 * hidden / 3))  # three matrices instead of two
        self.gate = nn.Linear(width, hidden, bias=False)
        self.up = nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(nn.functional.silu(self.gate(x)) * self.up(x))

# %% exercise="SwiGLU" wrong="exponential_overflows"
"""Writes sigmoid as e^z / (1 + e^z), which is inf / inf = nan for gates above 89: silu(z) is about z there."""
class SwiGLU(nn.Module):
    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.gate = nn.Linear(width, hidden, bias=False)
        self.up = nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        z = self.gate(x)
        e = torch.exp(z)
        return self.down(z * (e / (1 + e)) * self.up(x))

# %% exercise="SwiGLU" wrong="three_axes_only"
"""Names the axes of x in einsum, so a single vector (D,) or a matrix (N, D) raises an error: x is (..., D)."""
class SwiGLU(nn.Module):
    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.gate = nn.Linear(width, hidden, bias=False)
        self.up = nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        g = torch.einsum("btd,fd->btf", x, self.gate.weight)
        u = torch.einsum("btd,fd->btf", x, self.up.weight)
        return torch.einsum("btf,df->btd", nn.functional.silu(g) * u, self.down.weight)

# %% exercise="SwiGLU" wrong="gate_and_up_in_one_matrix"
"""Keeps gate and up as one nn.Linear(D, 2F), as fused kernels do: the state dict has to have gate and up, each of its own."""
class SwiGLU(nn.Module):
    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.gate_up = nn.Linear(width, 2 * hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        gate, up = self.gate_up(x).chunk(2, dim=-1)
        return self.down(nn.functional.silu(gate) * up)

# %% exercise="SwiGLU" wrong="silu_of_the_product"
"""Multiplies first and squashes the product: silu belongs around gate(x) alone."""
class SwiGLU(nn.Module):
    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.gate = nn.Linear(width, hidden, bias=False)
        self.up = nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(nn.functional.silu(self.gate(x) * self.up(x)))

# %% exercise="SwiGLU" wrong="gelu_gate_2"
"""Uses GELU for the gate, which is GEGLU; the docstring defines silu(z) = z * sigmoid(z)."""
class SwiGLU(nn.Module):
    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.gate = nn.Linear(width, hidden, bias=False)
        self.up = nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(nn.functional.gelu(self.gate(x)) * self.up(x))

# %% exercise="EncoderLayer" wrong="adds_to_the_normalised_copy"
"""With pre-norm it overwrites x by norm(x) and adds to that: x + dropout(sublayer(norm(x))) adds to the stream itself."""
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
        self.norm2 = LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Mask = None) -> Tensor:
        if self.norm == "pre":
            x = self.norm1(x)
            x = x + self.dropout(self.attention(x, mask)[0])
            x = self.norm2(x)
            x = x + self.dropout(self.feed_forward(x))
        else:
            x = self.norm1(x + self.dropout(self.attention(x, mask)[0]))
            x = self.norm2(x + self.dropout(self.feed_forward(x)))
        return x

# %% exercise="EncoderLayer" wrong="post_norm_of_the_branch"
"""With post-norm it normalises what is added instead of the sum: norm(x + dropout(sublayer(x)))."""
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
        self.norm2 = LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Mask = None) -> Tensor:
        if self.norm == "pre":
            x = x + self.dropout(self.attention(self.norm1(x), mask)[0])
            x = x + self.dropout(self.feed_forward(self.norm2(x)))
        else:
            x = x + self.norm1(self.dropout(self.attention(x, mask)[0]))
            x = x + self.norm2(self.dropout(self.feed_forward(x)))
        return x

# %% exercise="EncoderLayer" wrong="norm1_twice"
"""Uses norm1 in front of both pre-norm sublayers, a slip of copy and paste that shows only with trained norms: norm2 belongs to the feed-forward layer."""
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
        self.norm2 = LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Mask = None) -> Tensor:
        if self.norm == "pre":
            x = x + self.dropout(self.attention(self.norm1(x), mask)[0])
            x = x + self.dropout(self.feed_forward(self.norm1(x)))
        else:
            x = self.norm1(x + self.dropout(self.attention(x, mask)[0]))
            x = self.norm2(x + self.dropout(self.feed_forward(x)))
        return x

# %% exercise="EncoderLayer" wrong="both_from_the_input"
"""Lets the feed-forward layer read the layer's input, side by side with the attention as in GPT-J: self-attention comes first, then the feed-forward layer on what it made."""
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
        self.norm2 = LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Mask = None) -> Tensor:
        if self.norm == "pre":
            attended = self.dropout(self.attention(self.norm1(x), mask)[0])
            thought = self.dropout(self.feed_forward(self.norm2(x)))
            x = x + attended + thought
        else:
            x = self.norm1(x + self.dropout(self.attention(x, mask)[0]))
            x = self.norm2(x + self.dropout(self.feed_forward(x)))
        return x

# %% exercise="EncoderLayer" wrong="dropout_in_evaluation_too"
"""Calls nn.functional.dropout without its third argument, which is on by default: dropout acts in training only."""
class EncoderLayer(nn.Module):
    def __init__(
        self, width: int, heads: int, hidden: int, norm: str = "pre", activation: str = "relu", dropout: float = 0.0
    ):
        super().__init__()
        if norm not in ("pre", "post"):
            raise ValueError("norm must be pre or post")
        self.pre = norm == "pre"
        self.dropout = dropout
        self.attention = MultiHeadAttention(width, heads)
        self.norm1, self.norm2 = LayerNorm(width), LayerNorm(width)
        self.feed_forward = FeedForward(width, hidden, activation)

    def add(self, x, norm, sublayer):
        if self.pre:
            return x + nn.functional.dropout(sublayer(norm(x)), self.dropout)
        return norm(x + nn.functional.dropout(sublayer(x), self.dropout))

    def forward(self, x: Tensor, mask: Mask = None) -> Tensor:
        x = self.add(x, self.norm1, lambda y: self.attention(y, mask)[0])
        return self.add(x, self.norm2, self.feed_forward)

# %% exercise="EncoderLayer" wrong="anything_else_is_post"
"""Takes every norm that is not "pre" for "post": anything else raises ValueError."""
class EncoderLayer(nn.Module):
    def __init__(
        self, width: int, heads: int, hidden: int, norm: str = "pre", activation: str = "relu", dropout: float = 0.0
    ):
        super().__init__()
        self.norm = norm
        self.attention = MultiHeadAttention(width, heads)
        self.norm1 = LayerNorm(width)
        self.feed_forward = FeedForward(width, hidden, activation)
        self.norm2 = LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Mask = None) -> Tensor:
        if self.norm == "pre":
            x = x + self.dropout(self.attention(self.norm1(x), mask)[0])
            x = x + self.dropout(self.feed_forward(self.norm2(x)))
        else:
            x = self.norm1(x + self.dropout(self.attention(x, mask)[0]))
            x = self.norm2(x + self.dropout(self.feed_forward(x)))
        return x

# %% exercise="EncoderLayer" wrong="activation_not_handed_on"
"""Does not hand the activation on to FeedForward, so it is relu always and an unknown one raises nothing: activation of FeedForward, anything else raises ValueError, too."""
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
        self.feed_forward = FeedForward(width, hidden)
        self.norm2 = LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Mask = None) -> Tensor:
        if self.norm == "pre":
            x = x + self.dropout(self.attention(self.norm1(x), mask)[0])
            x = x + self.dropout(self.feed_forward(self.norm2(x)))
        else:
            x = self.norm1(x + self.dropout(self.attention(x, mask)[0]))
            x = self.norm2(x + self.dropout(self.feed_forward(x)))
        return x

# %% exercise="EncoderLayer" wrong="stream_added_in_place"
"""Adds with += to the caller's x in the pre-norm branch: arguments stay as they are."""
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
        self.norm2 = LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Mask = None) -> Tensor:
        if self.norm == "pre":
            x += self.dropout(self.attention(self.norm1(x), mask)[0])
            x += self.dropout(self.feed_forward(self.norm2(x)))
        else:
            x = self.norm1(x + self.dropout(self.attention(x, mask)[0]))
            x = self.norm2(x + self.dropout(self.feed_forward(x)))
        return x

# %% exercise="EncoderLayer" wrong="mask_forgotten_behind_post"
"""Passes the mask in the pre-norm branch only: with post-norm every query looks at every key, whatever the mask says."""
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
        self.norm2 = LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Mask = None) -> Tensor:
        if self.norm == "pre":
            x = x + self.dropout(self.attention(self.norm1(x), mask)[0])
            x = x + self.dropout(self.feed_forward(self.norm2(x)))
        else:
            x = self.norm1(x + self.dropout(self.attention(x)[0]))
            x = self.norm2(x + self.dropout(self.feed_forward(x)))
        return x

# %% exercise="EncoderLayer" wrong="dropout_of_the_sum"
"""Drops numbers of the whole sum, the stream among them, where a number of a sublayer's output is set to zero and nothing else is dropped."""
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
        self.norm2 = LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Mask = None) -> Tensor:
        if self.norm == "pre":
            x = self.dropout(x + self.attention(self.norm1(x), mask)[0])
            x = self.dropout(x + self.feed_forward(self.norm2(x)))
        else:
            x = self.norm1(self.dropout(x + self.attention(x, mask)[0]))
            x = self.norm2(self.dropout(x + self.feed_forward(x)))
        return x

# %% exercise="DecoderLayer" wrong="memory_normalised_3"
"""With pre-norm it sends the memory through norm2 as well: the memory is read as it is."""
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

    def forward(self, x: Tensor, memory: Tensor, mask: Mask = None, memory_mask: Mask = None) -> Tensor:
        if self.norm == "pre":
            x = x + self.dropout(self.self_attention(self.norm1(x), mask)[0])
            x = x + self.dropout(self.cross_attention(self.norm2(x), memory_mask, self.norm2(memory))[0])
            x = x + self.dropout(self.feed_forward(self.norm3(x)))
        else:
            x = self.norm1(x + self.dropout(self.self_attention(x, mask)[0]))
            x = self.norm2(x + self.dropout(self.cross_attention(x, memory_mask, memory)[0]))
            x = self.norm3(x + self.dropout(self.feed_forward(x)))
        return x

# %% exercise="DecoderLayer" wrong="cross_attention_first"
"""Looks at the source before it looks at its own target: the order in which the parts act is self-attention, cross-attention, feed-forward."""
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

    def forward(self, x: Tensor, memory: Tensor, mask: Mask = None, memory_mask: Mask = None) -> Tensor:
        if self.norm == "pre":
            x = x + self.dropout(self.cross_attention(self.norm2(x), memory_mask, memory)[0])
            x = x + self.dropout(self.self_attention(self.norm1(x), mask)[0])
            x = x + self.dropout(self.feed_forward(self.norm3(x)))
        else:
            x = self.norm2(x + self.dropout(self.cross_attention(x, memory_mask, memory)[0]))
            x = self.norm1(x + self.dropout(self.self_attention(x, mask)[0]))
            x = self.norm3(x + self.dropout(self.feed_forward(x)))
        return x

# %% exercise="DecoderLayer" wrong="causal_on_its_own"
"""Builds a causal mask when none is given: the layer hides nothing by itself."""
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

    def forward(self, x: Tensor, memory: Tensor, mask: Mask = None, memory_mask: Mask = None) -> Tensor:
        if mask is None:  # a decoder is always causal
            length = x.shape[1]
            mask = torch.ones(length, length, dtype=torch.bool, device=x.device).tril()
        if self.norm == "pre":
            x = x + self.dropout(self.self_attention(self.norm1(x), mask)[0])
            x = x + self.dropout(self.cross_attention(self.norm2(x), memory_mask, memory)[0])
            x = x + self.dropout(self.feed_forward(self.norm3(x)))
        else:
            x = self.norm1(x + self.dropout(self.self_attention(x, mask)[0]))
            x = self.norm2(x + self.dropout(self.cross_attention(x, memory_mask, memory)[0]))
            x = self.norm3(x + self.dropout(self.feed_forward(x)))
        return x

# %% exercise="DecoderLayer" wrong="mask_for_both"
"""Falls back on the mask of the target where no memory_mask is given, so with T = S the source is read causally: only the masks that it is given for it hide anything."""
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

    def forward(self, x: Tensor, memory: Tensor, mask: Mask = None, memory_mask: Mask = None) -> Tensor:
        if memory_mask is None and mask is not None and mask.shape[-1] == memory.shape[1]:
            memory_mask = mask
        if self.norm == "pre":
            x = x + self.dropout(self.self_attention(self.norm1(x), mask)[0])
            x = x + self.dropout(self.cross_attention(self.norm2(x), memory_mask, memory)[0])
            x = x + self.dropout(self.feed_forward(self.norm3(x)))
        else:
            x = self.norm1(x + self.dropout(self.self_attention(x, mask)[0]))
            x = self.norm2(x + self.dropout(self.cross_attention(x, memory_mask, memory)[0]))
            x = self.norm3(x + self.dropout(self.feed_forward(x)))
        return x

# %% exercise="DecoderLayer" wrong="norms_named_by_age"
"""Starts from the EncoderLayer and gives the new cross-attention the new norm3, so norm2 stays with feed_forward: cross_attention goes with norm2, feed_forward with norm3."""
class DecoderLayer(EncoderLayer):
    def __init__(
        self, width: int, heads: int, hidden: int, norm: str = "pre", activation: str = "relu", dropout: float = 0.0
    ):
        super().__init__(width, heads, hidden, norm, activation, dropout)
        if norm not in ("pre", "post"):
            raise ValueError(norm)
        self.kind, self.rate = norm, dropout
        del self.attention
        self.self_attention = MultiHeadAttention(width, heads)
        self.cross_attention = MultiHeadAttention(width, heads)
        self.norm3 = LayerNorm(width)

    def added(self, x, norm, sublayer):
        y = sublayer(norm(x) if self.kind == "pre" else x)
        x = x + nn.functional.dropout(y, self.rate, self.training)
        return x if self.kind == "pre" else norm(x)

    def forward(self, x: Tensor, memory: Tensor, mask: Mask = None, memory_mask: Mask = None) -> Tensor:
        x = self.added(x, self.norm1, lambda y: self.self_attention(y, mask)[0])
        x = self.added(x, self.norm3, lambda y: self.cross_attention(y, memory_mask, memory)[0])
        return self.added(x, self.norm2, self.feed_forward)

# %% exercise="DecoderLayer" wrong="dropout_one_is_nan"
"""Divides by 1 - dropout by hand, which is 0 / 0 = nan at dropout 1: the probability goes from 0 to 1, as in nn.Dropout."""
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
        self.rate = dropout

    def dropout(self, y):
        if not self.training:
            return y
        stays = torch.rand_like(y) >= self.rate
        return y * stays / (1 - self.rate)

    def forward(self, x: Tensor, memory: Tensor, mask: Mask = None, memory_mask: Mask = None) -> Tensor:
        if self.norm == "pre":
            x = x + self.dropout(self.self_attention(self.norm1(x), mask)[0])
            x = x + self.dropout(self.cross_attention(self.norm2(x), memory_mask, memory)[0])
            x = x + self.dropout(self.feed_forward(self.norm3(x)))
        else:
            x = self.norm1(x + self.dropout(self.self_attention(x, mask)[0]))
            x = self.norm2(x + self.dropout(self.cross_attention(x, memory_mask, memory)[0]))
            x = self.norm3(x + self.dropout(self.feed_forward(x)))
        return x

# %% exercise="DecoderLayer" wrong="raw_stream_asks_the_memory"
"""With pre-norm the cross-attention's queries are the stream itself, norm2 is never used: x + dropout(sublayer(norm(x))) holds for all three sublayers."""
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

    def forward(self, x: Tensor, memory: Tensor, mask: Mask = None, memory_mask: Mask = None) -> Tensor:
        if self.norm == "pre":
            x = x + self.dropout(self.self_attention(self.norm1(x), mask)[0])
            x = x + self.dropout(self.cross_attention(x, memory_mask, memory)[0])
            x = x + self.dropout(self.feed_forward(self.norm3(x)))
        else:
            x = self.norm1(x + self.dropout(self.self_attention(x, mask)[0]))
            x = self.norm2(x + self.dropout(self.cross_attention(x, memory_mask, memory)[0]))
            x = self.norm3(x + self.dropout(self.feed_forward(x)))
        return x

# %% exercise="DecoderLayer" wrong="cross_attention_never_dropped"
"""Forgets dropout behind the cross-attention: it acts on the output of every sublayer."""
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

    def forward(self, x: Tensor, memory: Tensor, mask: Mask = None, memory_mask: Mask = None) -> Tensor:
        if self.norm == "pre":
            x = x + self.dropout(self.self_attention(self.norm1(x), mask)[0])
            x = x + self.cross_attention(self.norm2(x), memory_mask, memory)[0]
            x = x + self.dropout(self.feed_forward(self.norm3(x)))
        else:
            x = self.norm1(x + self.dropout(self.self_attention(x, mask)[0]))
            x = self.norm2(x + self.cross_attention(x, memory_mask, memory)[0])
            x = self.norm3(x + self.dropout(self.feed_forward(x)))
        return x

# %% exercise="DecoderLayer" wrong="another_eps"
"""Gives the norms eps 1e-6, as tensor2tensor does: arguments as in EncoderLayer, and there eps is LayerNorm's own, 1e-5."""
class DecoderLayer(nn.Module):
    def __init__(
        self, width: int, heads: int, hidden: int, norm: str = "pre", activation: str = "relu", dropout: float = 0.0
    ):
        super().__init__()
        if norm not in ("pre", "post"):
            raise ValueError(f"norm must be 'pre' or 'post', not {norm!r}")
        self.norm = norm
        self.self_attention = MultiHeadAttention(width, heads)
        self.norm1 = LayerNorm(width, eps=1e-6)
        self.cross_attention = MultiHeadAttention(width, heads)
        self.norm2 = LayerNorm(width, eps=1e-6)
        self.feed_forward = FeedForward(width, hidden, activation)
        self.norm3 = LayerNorm(width, eps=1e-6)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, memory: Tensor, mask: Mask = None, memory_mask: Mask = None) -> Tensor:
        if self.norm == "pre":
            x = x + self.dropout(self.self_attention(self.norm1(x), mask)[0])
            x = x + self.dropout(self.cross_attention(self.norm2(x), memory_mask, memory)[0])
            x = x + self.dropout(self.feed_forward(self.norm3(x)))
        else:
            x = self.norm1(x + self.dropout(self.self_attention(x, mask)[0]))
            x = self.norm2(x + self.dropout(self.cross_attention(x, memory_mask, memory)[0]))
            x = self.norm3(x + self.dropout(self.feed_forward(x)))
        return x

# %% exercise="DecoderLayer" wrong="memory_mask_inverted"
"""Turns the memory_mask round before the cross-attention, as nn.MultiheadAttention would want it: True = may look."""
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

    def forward(self, x: Tensor, memory: Tensor, mask: Mask = None, memory_mask: Mask = None) -> Tensor:
        if memory_mask is not None:
            memory_mask = ~memory_mask  # True = hidden
        if self.norm == "pre":
            x = x + self.dropout(self.self_attention(self.norm1(x), mask)[0])
            x = x + self.dropout(self.cross_attention(self.norm2(x), memory_mask, memory)[0])
            x = x + self.dropout(self.feed_forward(self.norm3(x)))
        else:
            x = self.norm1(x + self.dropout(self.self_attention(x, mask)[0]))
            x = self.norm2(x + self.dropout(self.cross_attention(x, memory_mask, memory)[0]))
            x = self.norm3(x + self.dropout(self.feed_forward(x)))
        return x

# %% exercise="Transformer" wrong="positions_louder_too"
"""Multiplies the sum of embedding and position by sqrt(D): only the embeddings are multiplied, then the encoding is added."""
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
        for embedding in (self.source_embedding, self.target_embedding):
            nn.init.normal_(embedding.weight, std=width**-0.5)
        self.encoder = nn.ModuleList(
            EncoderLayer(width, heads, hidden, norm, activation, dropout) for _ in range(layers)
        )
        self.decoder = nn.ModuleList(
            DecoderLayer(width, heads, hidden, norm, activation, dropout) for _ in range(layers)
        )
        if norm == "pre":
            self.encoder_norm = LayerNorm(width)
            self.decoder_norm = LayerNorm(width)
        else:
            self.encoder_norm = self.decoder_norm = nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.register_buffer("positions", sinusoidal_encoding(max_length, width), persistent=False)

    def embed(self, ids, embedding):
        length = ids.shape[1]
        if length > self.max_length:
            raise ValueError(f"{length} tokens are more than {self.max_length}")
        x = (embedding(ids) + self.positions[:length]) * math.sqrt(self.width)
        return self.dropout(x)

    def encode(self, source: Tensor) -> tuple[Tensor, Tensor]:
        keep = source != PAD
        x = self.embed(source, self.source_embedding)
        for layer in self.encoder:
            x = layer(x, keep[:, None, None, :])
        return self.encoder_norm(x), keep

    def decode(self, target: Tensor, memory: Tensor, source_keep: Tensor) -> Tensor:
        x = self.embed(target, self.target_embedding)
        length = target.shape[1]
        causal = torch.ones(length, length, dtype=torch.bool, device=target.device).tril()
        for layer in self.decoder:
            x = layer(x, memory, causal, source_keep[:, None, None, :])
        return self.decoder_norm(x) @ self.target_embedding.weight.T

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        return self.decode(target, *self.encode(source))

# %% exercise="Transformer" wrong="one_layer_many_times_2"
"""Puts one and the same layer N times into the list: encoder.0, encoder.1 ... are layers of their own."""
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
        for embedding in (self.source_embedding, self.target_embedding):
            nn.init.normal_(embedding.weight, std=width**-0.5)
        self.encoder = nn.ModuleList([EncoderLayer(width, heads, hidden, norm, activation, dropout)] * layers)
        self.decoder = nn.ModuleList([DecoderLayer(width, heads, hidden, norm, activation, dropout)] * layers)
        if norm == "pre":
            self.encoder_norm = LayerNorm(width)
            self.decoder_norm = LayerNorm(width)
        else:
            self.encoder_norm = self.decoder_norm = nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.register_buffer("positions", sinusoidal_encoding(max_length, width), persistent=False)

    def embed(self, ids, embedding):
        length = ids.shape[1]
        if length > self.max_length:
            raise ValueError(f"{length} tokens are more than {self.max_length}")
        x = embedding(ids) * math.sqrt(self.width) + self.positions[:length]
        return self.dropout(x)

    def encode(self, source: Tensor) -> tuple[Tensor, Tensor]:
        keep = source != PAD
        x = self.embed(source, self.source_embedding)
        for layer in self.encoder:
            x = layer(x, keep[:, None, None, :])
        return self.encoder_norm(x), keep

    def decode(self, target: Tensor, memory: Tensor, source_keep: Tensor) -> Tensor:
        x = self.embed(target, self.target_embedding)
        length = target.shape[1]
        causal = torch.ones(length, length, dtype=torch.bool, device=target.device).tril()
        for layer in self.decoder:
            x = layer(x, memory, causal, source_keep[:, None, None, :])
        return self.decoder_norm(x) @ self.target_embedding.weight.T

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        return self.decode(target, *self.encode(source))

# %% exercise="Transformer" wrong="sees_one_token_too_many"
"""The diagonal of the causal mask is off by one, so position t sees target t + 1 as well: it sees targets 0 to t."""
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
        for embedding in (self.source_embedding, self.target_embedding):
            nn.init.normal_(embedding.weight, std=width**-0.5)
        self.encoder = nn.ModuleList(
            EncoderLayer(width, heads, hidden, norm, activation, dropout) for _ in range(layers)
        )
        self.decoder = nn.ModuleList(
            DecoderLayer(width, heads, hidden, norm, activation, dropout) for _ in range(layers)
        )
        if norm == "pre":
            self.encoder_norm = LayerNorm(width)
            self.decoder_norm = LayerNorm(width)
        else:
            self.encoder_norm = self.decoder_norm = nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.register_buffer("positions", sinusoidal_encoding(max_length, width), persistent=False)

    def embed(self, ids, embedding):
        length = ids.shape[1]
        if length > self.max_length:
            raise ValueError(f"{length} tokens are more than {self.max_length}")
        x = embedding(ids) * math.sqrt(self.width) + self.positions[:length]
        return self.dropout(x)

    def encode(self, source: Tensor) -> tuple[Tensor, Tensor]:
        keep = source != PAD
        x = self.embed(source, self.source_embedding)
        for layer in self.encoder:
            x = layer(x, keep[:, None, None, :])
        return self.encoder_norm(x), keep

    def decode(self, target: Tensor, memory: Tensor, source_keep: Tensor) -> Tensor:
        x = self.embed(target, self.target_embedding)
        length = target.shape[1]
        causal = torch.ones(length, length, dtype=torch.bool, device=target.device).tril(diagonal=1)
        for layer in self.decoder:
            x = layer(x, memory, causal, source_keep[:, None, None, :])
        return self.decoder_norm(x) @ self.target_embedding.weight.T

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        return self.decode(target, *self.encode(source))

# %% exercise="Transformer" wrong="xavier_over_everything"
"""Runs the Annotated Transformer's Xavier loop over all matrices at the end, the embeddings among them: at the start these are normal with deviation 1 / sqrt(D)."""
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
        self.encoder = nn.ModuleList(
            EncoderLayer(width, heads, hidden, norm, activation, dropout) for _ in range(layers)
        )
        self.decoder = nn.ModuleList(
            DecoderLayer(width, heads, hidden, norm, activation, dropout) for _ in range(layers)
        )
        if norm == "pre":
            self.encoder_norm = LayerNorm(width)
            self.decoder_norm = LayerNorm(width)
        else:
            self.encoder_norm = self.decoder_norm = nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.register_buffer("positions", sinusoidal_encoding(max_length, width), persistent=False)
        for p in self.parameters():
            if p.dim() > 1:
                nn.init.xavier_uniform_(p)

    def embed(self, ids, embedding):
        length = ids.shape[1]
        if length > self.max_length:
            raise ValueError(f"{length} tokens are more than {self.max_length}")
        x = embedding(ids) * math.sqrt(self.width) + self.positions[:length]
        return self.dropout(x)

    def encode(self, source: Tensor) -> tuple[Tensor, Tensor]:
        keep = source != PAD
        x = self.embed(source, self.source_embedding)
        for layer in self.encoder:
            x = layer(x, keep[:, None, None, :])
        return self.encoder_norm(x), keep

    def decode(self, target: Tensor, memory: Tensor, source_keep: Tensor) -> Tensor:
        x = self.embed(target, self.target_embedding)
        length = target.shape[1]
        causal = torch.ones(length, length, dtype=torch.bool, device=target.device).tril()
        for layer in self.decoder:
            x = layer(x, memory, causal, source_keep[:, None, None, :])
        return self.decoder_norm(x) @ self.target_embedding.weight.T

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        return self.decode(target, *self.encode(source))

# %% exercise="Transformer" wrong="decoder_reads_the_padding"
"""Hides the padding of the source in the encoder but not in the cross-attention: it is hidden from every query, in the encoder and in the decoder."""
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
        for embedding in (self.source_embedding, self.target_embedding):
            nn.init.normal_(embedding.weight, std=width**-0.5)
        self.encoder = nn.ModuleList(
            EncoderLayer(width, heads, hidden, norm, activation, dropout) for _ in range(layers)
        )
        self.decoder = nn.ModuleList(
            DecoderLayer(width, heads, hidden, norm, activation, dropout) for _ in range(layers)
        )
        if norm == "pre":
            self.encoder_norm = LayerNorm(width)
            self.decoder_norm = LayerNorm(width)
        else:
            self.encoder_norm = self.decoder_norm = nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.register_buffer("positions", sinusoidal_encoding(max_length, width), persistent=False)

    def embed(self, ids, embedding):
        length = ids.shape[1]
        if length > self.max_length:
            raise ValueError(f"{length} tokens are more than {self.max_length}")
        x = embedding(ids) * math.sqrt(self.width) + self.positions[:length]
        return self.dropout(x)

    def encode(self, source: Tensor) -> tuple[Tensor, Tensor]:
        keep = source != PAD
        x = self.embed(source, self.source_embedding)
        for layer in self.encoder:
            x = layer(x, keep[:, None, None, :])
        return self.encoder_norm(x), keep

    def decode(self, target: Tensor, memory: Tensor, source_keep: Tensor) -> Tensor:
        x = self.embed(target, self.target_embedding)
        length = target.shape[1]
        causal = torch.ones(length, length, dtype=torch.bool, device=target.device).tril()
        for layer in self.decoder:
            x = layer(x, memory, causal)
        return self.decoder_norm(x) @ self.target_embedding.weight.T

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        return self.decode(target, *self.encode(source))

# %% exercise="Transformer" wrong="longest_sequence_refused"
"""Raises for a sequence of exactly max_length tokens: that is the longest one allowed, only a longer one raises ValueError."""
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
        for embedding in (self.source_embedding, self.target_embedding):
            nn.init.normal_(embedding.weight, std=width**-0.5)
        self.encoder = nn.ModuleList(
            EncoderLayer(width, heads, hidden, norm, activation, dropout) for _ in range(layers)
        )
        self.decoder = nn.ModuleList(
            DecoderLayer(width, heads, hidden, norm, activation, dropout) for _ in range(layers)
        )
        if norm == "pre":
            self.encoder_norm = LayerNorm(width)
            self.decoder_norm = LayerNorm(width)
        else:
            self.encoder_norm = self.decoder_norm = nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.register_buffer("positions", sinusoidal_encoding(max_length, width), persistent=False)

    def embed(self, ids, embedding):
        length = ids.shape[1]
        if length >= self.max_length:
            raise ValueError(f"sequence of {length} tokens is too long")
        x = embedding(ids) * math.sqrt(self.width) + self.positions[:length]
        return self.dropout(x)

    def encode(self, source: Tensor) -> tuple[Tensor, Tensor]:
        keep = source != PAD
        x = self.embed(source, self.source_embedding)
        for layer in self.encoder:
            x = layer(x, keep[:, None, None, :])
        return self.encoder_norm(x), keep

    def decode(self, target: Tensor, memory: Tensor, source_keep: Tensor) -> Tensor:
        x = self.embed(target, self.target_embedding)
        length = target.shape[1]
        causal = torch.ones(length, length, dtype=torch.bool, device=target.device).tril()
        for layer in self.decoder:
            x = layer(x, memory, causal, source_keep[:, None, None, :])
        return self.decoder_norm(x) @ self.target_embedding.weight.T

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        return self.decode(target, *self.encode(source))

# %% exercise="Transformer" wrong="dropout_before_the_positions"
"""Drops numbers of the embedding before the position is added: dropout acts on the sum of both."""
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
        for embedding in (self.source_embedding, self.target_embedding):
            nn.init.normal_(embedding.weight, std=width**-0.5)
        self.encoder = nn.ModuleList(
            EncoderLayer(width, heads, hidden, norm, activation, dropout) for _ in range(layers)
        )
        self.decoder = nn.ModuleList(
            DecoderLayer(width, heads, hidden, norm, activation, dropout) for _ in range(layers)
        )
        if norm == "pre":
            self.encoder_norm = LayerNorm(width)
            self.decoder_norm = LayerNorm(width)
        else:
            self.encoder_norm = self.decoder_norm = nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.register_buffer("positions", sinusoidal_encoding(max_length, width), persistent=False)

    def embed(self, ids, embedding):
        length = ids.shape[1]
        if length > self.max_length:
            raise ValueError(f"{length} tokens are more than {self.max_length}")
        x = self.dropout(embedding(ids) * math.sqrt(self.width))
        return x + self.positions[:length]

    def encode(self, source: Tensor) -> tuple[Tensor, Tensor]:
        keep = source != PAD
        x = self.embed(source, self.source_embedding)
        for layer in self.encoder:
            x = layer(x, keep[:, None, None, :])
        return self.encoder_norm(x), keep

    def decode(self, target: Tensor, memory: Tensor, source_keep: Tensor) -> Tensor:
        x = self.embed(target, self.target_embedding)
        length = target.shape[1]
        causal = torch.ones(length, length, dtype=torch.bool, device=target.device).tril()
        for layer in self.decoder:
            x = layer(x, memory, causal, source_keep[:, None, None, :])
        return self.decoder_norm(x) @ self.target_embedding.weight.T

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        return self.decode(target, *self.encode(source))

# %% exercise="Transformer" wrong="keep_remembered_from_encode"
"""Remembers keep from the last call of encode and decodes with that, not with the source_keep it is given: wrong as soon as another batch was encoded in between."""
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
        for embedding in (self.source_embedding, self.target_embedding):
            nn.init.normal_(embedding.weight, std=width**-0.5)
        self.encoder = nn.ModuleList(
            EncoderLayer(width, heads, hidden, norm, activation, dropout) for _ in range(layers)
        )
        self.decoder = nn.ModuleList(
            DecoderLayer(width, heads, hidden, norm, activation, dropout) for _ in range(layers)
        )
        if norm == "pre":
            self.encoder_norm = LayerNorm(width)
            self.decoder_norm = LayerNorm(width)
        else:
            self.encoder_norm = self.decoder_norm = nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.register_buffer("positions", sinusoidal_encoding(max_length, width), persistent=False)

    def embed(self, ids, embedding):
        length = ids.shape[1]
        if length > self.max_length:
            raise ValueError(f"{length} tokens are more than {self.max_length}")
        x = embedding(ids) * math.sqrt(self.width) + self.positions[:length]
        return self.dropout(x)

    def encode(self, source: Tensor) -> tuple[Tensor, Tensor]:
        keep = self.keep = source != PAD
        x = self.embed(source, self.source_embedding)
        for layer in self.encoder:
            x = layer(x, keep[:, None, None, :])
        return self.encoder_norm(x), keep

    def decode(self, target: Tensor, memory: Tensor, source_keep: Tensor) -> Tensor:
        x = self.embed(target, self.target_embedding)
        length = target.shape[1]
        causal = torch.ones(length, length, dtype=torch.bool, device=target.device).tril()
        for layer in self.decoder:
            x = layer(x, memory, causal, self.keep[:, None, None, :])
        return self.decoder_norm(x) @ self.target_embedding.weight.T

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        return self.decode(target, *self.encode(source))

# %% exercise="Transformer" wrong="decoder_always_pre"
"""Does not hand the place of the norm on to the decoder layers: norm holds for every layer."""
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
        for embedding in (self.source_embedding, self.target_embedding):
            nn.init.normal_(embedding.weight, std=width**-0.5)
        self.encoder = nn.ModuleList(
            EncoderLayer(width, heads, hidden, norm, activation, dropout) for _ in range(layers)
        )
        self.decoder = nn.ModuleList(
            DecoderLayer(width, heads, hidden, activation=activation, dropout=dropout) for _ in range(layers)
        )
        if norm == "pre":
            self.encoder_norm = LayerNorm(width)
            self.decoder_norm = LayerNorm(width)
        else:
            self.encoder_norm = self.decoder_norm = nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.register_buffer("positions", sinusoidal_encoding(max_length, width), persistent=False)

    def embed(self, ids, embedding):
        length = ids.shape[1]
        if length > self.max_length:
            raise ValueError(f"{length} tokens are more than {self.max_length}")
        x = embedding(ids) * math.sqrt(self.width) + self.positions[:length]
        return self.dropout(x)

    def encode(self, source: Tensor) -> tuple[Tensor, Tensor]:
        keep = source != PAD
        x = self.embed(source, self.source_embedding)
        for layer in self.encoder:
            x = layer(x, keep[:, None, None, :])
        return self.encoder_norm(x), keep

    def decode(self, target: Tensor, memory: Tensor, source_keep: Tensor) -> Tensor:
        x = self.embed(target, self.target_embedding)
        length = target.shape[1]
        causal = torch.ones(length, length, dtype=torch.bool, device=target.device).tril()
        for layer in self.decoder:
            x = layer(x, memory, causal, source_keep[:, None, None, :])
        return self.decoder_norm(x) @ self.target_embedding.weight.T

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        return self.decode(target, *self.encode(source))

# %% exercise="Transformer" wrong="closing_norms_with_post_too"
"""Has the two closing norms with post-norm as well: they belong to norm="pre" only, and no other parameter may stand in the state dict."""
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
        for embedding in (self.source_embedding, self.target_embedding):
            nn.init.normal_(embedding.weight, std=width**-0.5)
        self.encoder = nn.ModuleList(
            EncoderLayer(width, heads, hidden, norm, activation, dropout) for _ in range(layers)
        )
        self.decoder = nn.ModuleList(
            DecoderLayer(width, heads, hidden, norm, activation, dropout) for _ in range(layers)
        )
        self.encoder_norm = LayerNorm(width)
        self.decoder_norm = LayerNorm(width)
        self.dropout = nn.Dropout(dropout)
        self.register_buffer("positions", sinusoidal_encoding(max_length, width), persistent=False)

    def embed(self, ids, embedding):
        length = ids.shape[1]
        if length > self.max_length:
            raise ValueError(f"{length} tokens are more than {self.max_length}")
        x = embedding(ids) * math.sqrt(self.width) + self.positions[:length]
        return self.dropout(x)

    def encode(self, source: Tensor) -> tuple[Tensor, Tensor]:
        keep = source != PAD
        x = self.embed(source, self.source_embedding)
        for layer in self.encoder:
            x = layer(x, keep[:, None, None, :])
        return self.encoder_norm(x), keep

    def decode(self, target: Tensor, memory: Tensor, source_keep: Tensor) -> Tensor:
        x = self.embed(target, self.target_embedding)
        length = target.shape[1]
        causal = torch.ones(length, length, dtype=torch.bool, device=target.device).tril()
        for layer in self.decoder:
            x = layer(x, memory, causal, source_keep[:, None, None, :])
        return self.decoder_norm(x) @ self.target_embedding.weight.T

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        return self.decode(target, *self.encode(source))

# %% exercise="Transformer" wrong="head_with_a_bias"
"""Ties the head's matrix but keeps the bias that nn.Linear brings along: logits = x @ target_embedding.weight.T, no bias, no other parameter."""
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
        for embedding in (self.source_embedding, self.target_embedding):
            nn.init.normal_(embedding.weight, std=width**-0.5)
        self.encoder = nn.ModuleList(
            EncoderLayer(width, heads, hidden, norm, activation, dropout) for _ in range(layers)
        )
        self.decoder = nn.ModuleList(
            DecoderLayer(width, heads, hidden, norm, activation, dropout) for _ in range(layers)
        )
        if norm == "pre":
            self.encoder_norm = LayerNorm(width)
            self.decoder_norm = LayerNorm(width)
        else:
            self.encoder_norm = self.decoder_norm = nn.Identity()
        self.head = nn.Linear(width, target_vocab)
        self.head.weight = self.target_embedding.weight
        self.dropout = nn.Dropout(dropout)
        self.register_buffer("positions", sinusoidal_encoding(max_length, width), persistent=False)

    def embed(self, ids, embedding):
        length = ids.shape[1]
        if length > self.max_length:
            raise ValueError(f"{length} tokens are more than {self.max_length}")
        x = embedding(ids) * math.sqrt(self.width) + self.positions[:length]
        return self.dropout(x)

    def encode(self, source: Tensor) -> tuple[Tensor, Tensor]:
        keep = source != PAD
        x = self.embed(source, self.source_embedding)
        for layer in self.encoder:
            x = layer(x, keep[:, None, None, :])
        return self.encoder_norm(x), keep

    def decode(self, target: Tensor, memory: Tensor, source_keep: Tensor) -> Tensor:
        x = self.embed(target, self.target_embedding)
        length = target.shape[1]
        causal = torch.ones(length, length, dtype=torch.bool, device=target.device).tril()
        for layer in self.decoder:
            x = layer(x, memory, causal, source_keep[:, None, None, :])
        return self.head(self.decoder_norm(x))

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        return self.decode(target, *self.encode(source))

# %% exercise="Transformer" wrong="long_targets_pass"
"""Checks the length of the source only and computes as many positions as it needs: a longer sequence raises ValueError, a target too."""
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
        for embedding in (self.source_embedding, self.target_embedding):
            nn.init.normal_(embedding.weight, std=width**-0.5)
        self.encoder = nn.ModuleList(
            EncoderLayer(width, heads, hidden, norm, activation, dropout) for _ in range(layers)
        )
        self.decoder = nn.ModuleList(
            DecoderLayer(width, heads, hidden, norm, activation, dropout) for _ in range(layers)
        )
        if norm == "pre":
            self.encoder_norm = LayerNorm(width)
            self.decoder_norm = LayerNorm(width)
        else:
            self.encoder_norm = self.decoder_norm = nn.Identity()
        self.dropout = nn.Dropout(dropout)

    def embed(self, ids, embedding):
        places = sinusoidal_encoding(ids.shape[1], self.width).to(ids.device)
        x = embedding(ids) * math.sqrt(self.width) + places
        return self.dropout(x)

    def encode(self, source: Tensor) -> tuple[Tensor, Tensor]:
        if source.shape[1] > self.max_length:
            raise ValueError("source is too long")
        keep = source != PAD
        x = self.embed(source, self.source_embedding)
        for layer in self.encoder:
            x = layer(x, keep[:, None, None, :])
        return self.encoder_norm(x), keep

    def decode(self, target: Tensor, memory: Tensor, source_keep: Tensor) -> Tensor:
        x = self.embed(target, self.target_embedding)
        length = target.shape[1]
        causal = torch.ones(length, length, dtype=torch.bool, device=target.device).tril()
        for layer in self.decoder:
            x = layer(x, memory, causal, source_keep[:, None, None, :])
        return self.decoder_norm(x) @ self.target_embedding.weight.T

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        return self.decode(target, *self.encode(source))

# %% exercise="Transformer" wrong="padded_queries_instead_of_keys"
"""Puts keep on the axis of the queries in the encoder, so real tokens read the padding: padding is hidden from every query."""
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
        for embedding in (self.source_embedding, self.target_embedding):
            nn.init.normal_(embedding.weight, std=width**-0.5)
        self.encoder = nn.ModuleList(
            EncoderLayer(width, heads, hidden, norm, activation, dropout) for _ in range(layers)
        )
        self.decoder = nn.ModuleList(
            DecoderLayer(width, heads, hidden, norm, activation, dropout) for _ in range(layers)
        )
        if norm == "pre":
            self.encoder_norm = LayerNorm(width)
            self.decoder_norm = LayerNorm(width)
        else:
            self.encoder_norm = self.decoder_norm = nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.register_buffer("positions", sinusoidal_encoding(max_length, width), persistent=False)

    def embed(self, ids, embedding):
        length = ids.shape[1]
        if length > self.max_length:
            raise ValueError(f"{length} tokens are more than {self.max_length}")
        x = embedding(ids) * math.sqrt(self.width) + self.positions[:length]
        return self.dropout(x)

    def encode(self, source: Tensor) -> tuple[Tensor, Tensor]:
        keep = source != PAD
        x = self.embed(source, self.source_embedding)
        for layer in self.encoder:
            x = layer(x, keep[:, None, :, None])
        return self.encoder_norm(x), keep

    def decode(self, target: Tensor, memory: Tensor, source_keep: Tensor) -> Tensor:
        x = self.embed(target, self.target_embedding)
        length = target.shape[1]
        causal = torch.ones(length, length, dtype=torch.bool, device=target.device).tril()
        for layer in self.decoder:
            x = layer(x, memory, causal, source_keep[:, None, None, :])
        return self.decoder_norm(x) @ self.target_embedding.weight.T

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        return self.decode(target, *self.encode(source))

# %% exercise="Transformer" wrong="logits_scaled_down"
"""Divides the logits by sqrt(D), as T5 does with its shared head: logits = x @ target_embedding.weight.T."""
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
        for embedding in (self.source_embedding, self.target_embedding):
            nn.init.normal_(embedding.weight, std=width**-0.5)
        self.encoder = nn.ModuleList(
            EncoderLayer(width, heads, hidden, norm, activation, dropout) for _ in range(layers)
        )
        self.decoder = nn.ModuleList(
            DecoderLayer(width, heads, hidden, norm, activation, dropout) for _ in range(layers)
        )
        if norm == "pre":
            self.encoder_norm = LayerNorm(width)
            self.decoder_norm = LayerNorm(width)
        else:
            self.encoder_norm = self.decoder_norm = nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.register_buffer("positions", sinusoidal_encoding(max_length, width), persistent=False)

    def embed(self, ids, embedding):
        length = ids.shape[1]
        if length > self.max_length:
            raise ValueError(f"{length} tokens are more than {self.max_length}")
        x = embedding(ids) * math.sqrt(self.width) + self.positions[:length]
        return self.dropout(x)

    def encode(self, source: Tensor) -> tuple[Tensor, Tensor]:
        keep = source != PAD
        x = self.embed(source, self.source_embedding)
        for layer in self.encoder:
            x = layer(x, keep[:, None, None, :])
        return self.encoder_norm(x), keep

    def decode(self, target: Tensor, memory: Tensor, source_keep: Tensor) -> Tensor:
        x = self.embed(target, self.target_embedding)
        length = target.shape[1]
        causal = torch.ones(length, length, dtype=torch.bool, device=target.device).tril()
        for layer in self.decoder:
            x = layer(x, memory, causal, source_keep[:, None, None, :])
        return self.decoder_norm(x) @ self.target_embedding.weight.T / math.sqrt(self.width)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        return self.decode(target, *self.encode(source))

# %% exercise="gradient_norms_by_depth" wrong="mean_over_coordinates_too"
"""Takes the mean over B * T * D numbers: the loss is the mean over the B * T tokens of a dot product, which is a sum over D."""
def gradient_norms_by_depth(
    states: list[dict[str, Tensor]], x: Tensor, direction: Tensor, norm: str, heads: int = 4
) -> Tensor:
    width = x.shape[-1]
    hidden = states[0]["feed_forward.up.weight"].shape[0]
    stack = []
    for state in states:
        layer = EncoderLayer(width, heads, hidden, norm).to(x.dtype)
        layer.load_state_dict(state)
        stack.append(layer)
    h = x
    for layer in stack:
        h = layer(h)
    if norm == "pre":
        h = LayerNorm(width).to(x.dtype)(h)
    loss = (h * direction).mean()
    grads = torch.autograd.grad(loss, [layer.feed_forward.down.weight for layer in stack])
    return torch.stack([g.norm() for g in grads])

# %% exercise="gradient_norms_by_depth" wrong="no_closing_norm_3"
"""Forgets the LayerNorm that stands behind the last layer with norm="pre"."""
def gradient_norms_by_depth(
    states: list[dict[str, Tensor]], x: Tensor, direction: Tensor, norm: str, heads: int = 4
) -> Tensor:
    width = x.shape[-1]
    hidden = states[0]["feed_forward.up.weight"].shape[0]
    stack = []
    for state in states:
        layer = EncoderLayer(width, heads, hidden, norm).to(x.dtype)
        layer.load_state_dict(state)
        stack.append(layer)
    h = x
    for layer in stack:
        h = layer(h)
    loss = (h * direction).sum(-1).mean()
    grads = torch.autograd.grad(loss, [layer.feed_forward.down.weight for layer in stack])
    return torch.stack([g.norm() for g in grads])

# %% exercise="gradient_norms_by_depth" wrong="last_layer_first_3"
"""Collects the gradients on the way back and returns them in that order: first layer first."""
def gradient_norms_by_depth(
    states: list[dict[str, Tensor]], x: Tensor, direction: Tensor, norm: str, heads: int = 4
) -> Tensor:
    width = x.shape[-1]
    hidden = states[0]["feed_forward.up.weight"].shape[0]
    stack = []
    for state in states:
        layer = EncoderLayer(width, heads, hidden, norm).to(x.dtype)
        layer.load_state_dict(state)
        stack.append(layer)
    h = x
    for layer in stack:
        h = layer(h)
    if norm == "pre":
        h = LayerNorm(width).to(x.dtype)(h)
    loss = (h * direction).sum(-1).mean()
    sizes = []
    for layer in reversed(stack):
        (g,) = torch.autograd.grad(loss, layer.feed_forward.down.weight, retain_graph=True)
        sizes.append(g.norm())
    return torch.stack(sizes)

# %% exercise="gradient_norms_by_depth" wrong="spectral_norm_3"
"""Takes the largest singular value of each gradient: Frobenius norms are asked for."""
def gradient_norms_by_depth(
    states: list[dict[str, Tensor]], x: Tensor, direction: Tensor, norm: str, heads: int = 4
) -> Tensor:
    width = x.shape[-1]
    hidden = states[0]["feed_forward.up.weight"].shape[0]
    stack = []
    for state in states:
        layer = EncoderLayer(width, heads, hidden, norm).to(x.dtype)
        layer.load_state_dict(state)
        stack.append(layer)
    h = x
    for layer in stack:
        h = layer(h)
    if norm == "pre":
        h = LayerNorm(width).to(x.dtype)(h)
    loss = (h * direction).sum(-1).mean()
    grads = torch.autograd.grad(loss, [layer.feed_forward.down.weight for layer in stack])
    return torch.stack([torch.linalg.matrix_norm(g, ord=2) for g in grads])

# %% exercise="gradient_norms_by_depth" wrong="always_four_heads"
"""Builds every layer with four heads and overlooks the argument heads, which changes what the same weights compute."""
def gradient_norms_by_depth(
    states: list[dict[str, Tensor]], x: Tensor, direction: Tensor, norm: str, heads: int = 4
) -> Tensor:
    width = x.shape[-1]
    hidden = states[0]["feed_forward.up.weight"].shape[0]
    stack = []
    for state in states:
        layer = EncoderLayer(width, 4, hidden, norm).to(x.dtype)
        layer.load_state_dict(state)
        stack.append(layer)
    h = x
    for layer in stack:
        h = layer(h)
    if norm == "pre":
        h = LayerNorm(width).to(x.dtype)(h)
    loss = (h * direction).sum(-1).mean()
    grads = torch.autograd.grad(loss, [layer.feed_forward.down.weight for layer in stack])
    return torch.stack([g.norm() for g in grads])

# %% exercise="gradient_norms_by_depth" wrong="callers_weights_marked"
"""Computes with the caller's own tensors and switches requires_grad on in them: arguments stay as they are, state dicts belong to the caller."""
def gradient_norms_by_depth(
    states: list[dict[str, Tensor]], x: Tensor, direction: Tensor, norm: str, heads: int = 4
) -> Tensor:
    hidden, width = states[0]["feed_forward.up.weight"].shape
    layer = EncoderLayer(width, heads, hidden, norm)
    h = x
    for state in states:
        state["feed_forward.down.weight"].requires_grad_(True)
        h = torch.func.functional_call(layer, state, (h,))
    if norm == "pre":
        h = LayerNorm(width).to(h.dtype)(h)
    loss = (h * direction).sum(-1).mean()
    grads = torch.autograd.grad(loss, [state["feed_forward.down.weight"] for state in states])
    return torch.stack([g.norm() for g in grads])

# %% exercise="gradient_norms_by_depth" wrong="keeps_the_graph"
"""Asks for the gradients with create_graph, so the result still has a graph: norms are returned without a graph."""
def gradient_norms_by_depth(
    states: list[dict[str, Tensor]], x: Tensor, direction: Tensor, norm: str, heads: int = 4
) -> Tensor:
    width = x.shape[-1]
    hidden = states[0]["feed_forward.up.weight"].shape[0]
    stack = []
    for state in states:
        layer = EncoderLayer(width, heads, hidden, norm).to(x.dtype)
        layer.load_state_dict(state)
        stack.append(layer)
    h = x
    for layer in stack:
        h = layer(h)
    if norm == "pre":
        h = LayerNorm(width).to(x.dtype)(h)
    loss = (h * direction).sum(-1).mean()
    grads = torch.autograd.grad(loss, [layer.feed_forward.down.weight for layer in stack], create_graph=True)
    return torch.stack([g.norm() for g in grads])

# %% exercise="gradient_norms_by_depth" wrong="mean_of_the_norms"
"""Takes the gradient of each sequence by itself and returns the mean of their norms: it is the norm of the gradient of one loss, the mean over all tokens."""
def gradient_norms_by_depth(
    states: list[dict[str, Tensor]], x: Tensor, direction: Tensor, norm: str, heads: int = 4
) -> Tensor:
    width = x.shape[-1]
    hidden = states[0]["feed_forward.up.weight"].shape[0]
    stack = []
    for state in states:
        layer = EncoderLayer(width, heads, hidden, norm).to(x.dtype)
        layer.load_state_dict(state)
        stack.append(layer)
    closing = LayerNorm(width).to(x.dtype) if norm == "pre" else nn.Identity()
    weights = [layer.feed_forward.down.weight for layer in stack]
    sizes = []
    for one, way in zip(x, direction):
        h = one[None]
        for layer in stack:
            h = layer(h)
        loss = (closing(h)[0] * way).sum(-1).mean()
        sizes.append(torch.stack([g.norm() for g in torch.autograd.grad(loss, weights)]))
    return torch.stack(sizes).mean(0)

# %% exercise="gradient_norms_by_depth" wrong="gradient_of_up"
"""Asks for the gradients of feed_forward.up.weight: the question is about feed_forward.down.weight."""
def gradient_norms_by_depth(
    states: list[dict[str, Tensor]], x: Tensor, direction: Tensor, norm: str, heads: int = 4
) -> Tensor:
    width = x.shape[-1]
    hidden = states[0]["feed_forward.up.weight"].shape[0]
    stack = []
    for state in states:
        layer = EncoderLayer(width, heads, hidden, norm).to(x.dtype)
        layer.load_state_dict(state)
        stack.append(layer)
    h = x
    for layer in stack:
        h = layer(h)
    if norm == "pre":
        h = LayerNorm(width).to(x.dtype)(h)
    loss = (h * direction).sum(-1).mean()
    grads = torch.autograd.grad(loss, [layer.feed_forward.up.weight for layer in stack])
    return torch.stack([g.norm() for g in grads])

# %% exercise="depth_finding" wrong="arrangements_exchanged"
"""Has the numbers of pre-norm under post and the other way round: the last layer's gradient shrinks with depth in the PRE-norm stack."""
depth_finding = {"post_last": 0.44, "pre_last": 1.0, "pre_first": 1.04, "post_first": 5.08}

# %% exercise="depth_finding" wrong="last_over_first"
"""Divides the last layer's gradient by the first layer's; it is the first layer's divided by the last layer's."""
depth_finding = {"post_last": 1.0, "pre_last": 0.44, "pre_first": 0.2, "post_first": 0.96}

# %% exercise="depth_finding" wrong="six_over_twenty_four"
"""Divides 6 layers by 24: it is the last layer of 24 divided by that of 6."""
depth_finding = {"post_last": 1.0, "pre_last": 2.25, "pre_first": 5.08, "post_first": 1.04}

# %% exercise="depth_finding" wrong="line_of_twelve_layers"
"""Reads first / last in the line of 12 layers: it is asked of the stack of 24."""
depth_finding = {"post_last": 1.0, "pre_last": 0.4, "pre_first": 3.5, "post_first": 1.0}

# %% exercise="depth_finding" wrong="gradients_instead_of_ratios"
"""Gives the last layer's gradient at 24 layers itself, from the column beside: post_last and pre_last are that gradient divided by the one at 6."""
depth_finding = {"post_last": 5.97, "pre_last": 1.39, "pre_first": 5.08, "post_first": 1.04}

# %% exercise="depth_finding" wrong="largest_of_the_range"
"""Copies the largest of the seeds from the brackets: medians are asked for."""
depth_finding = {"post_last": 1.14, "pre_last": 0.54, "pre_first": 7.33, "post_first": 2.05}

# %% exercise="depth_finding" wrong="post_norm_vanishes"
"""Writes down what is often read, that post-norm gradients vanish towards the input; the table says that first and last layer are alike."""
depth_finding = {"post_last": 1.0, "pre_last": 0.4, "pre_first": 5.1, "post_first": 0.1}

# %% exercise="depth_finding" wrong="pre_norm_alike_everywhere"
"""Takes for granted that pre-norm gradients have the same size in every layer; the table says that they fall from the first layer to the last."""
depth_finding = {"post_last": 1.0, "pre_last": 0.4, "pre_first": 1.0, "post_first": 1.0}

# %% exercise="depth_finding" wrong="one_key_left_out"
"""Leaves post_first out, since it says nothing new: a dict of four medians is asked for."""
depth_finding = {"post_last": 1.0, "pre_last": 0.44, "pre_first": 5.08}

# %% exercise="depth_finding" wrong="in_percent"
"""Gives percentages: the medians stand as printed, or rounded to one decimal."""
depth_finding = {"post_last": 100, "pre_last": 44, "pre_first": 508, "post_first": 104}

# %% exercise="rmsnorm_forward" wrong="mean_over_the_block"
"""Divides the sum by BLOCK instead of n_cols: the surplus lanes are counted in the mean ("the mean along the row")."""
@triton.jit
def rmsnorm_kernel(x_ptr, weight_ptr, out_ptr, n_cols, eps, x_row, x_col, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    cols = tl.arange(0, BLOCK)
    mask = cols < n_cols
    x = tl.load(x_ptr + row * x_row + cols * x_col, mask=mask, other=0.0).to(tl.float32)
    weight = tl.load(weight_ptr + cols, mask=mask, other=0.0).to(tl.float32)
    rstd = 1 / tl.sqrt(tl.sum(x * x, axis=0) / BLOCK + eps)
    tl.store(out_ptr + row * n_cols + cols, x * rstd * weight, mask=mask)


def rmsnorm_forward(x: Tensor, weight: Tensor, eps: float = 1e-6) -> Tensor:
    R, C = x.shape
    out = torch.empty((R, C), dtype=x.dtype, device=x.device)
    BLOCK = triton.next_power_of_2(C)
    rmsnorm_kernel[(R,)](x, weight, out, C, eps, x.stride(0), x.stride(1), BLOCK=BLOCK)
    return out

# %% exercise="rmsnorm_forward" wrong="rounds_before_the_weight"
"""Rounds the normalised row to x's dtype and then multiplies by the weight, as Llama's own code does: breaks "Work in float32 and round once"."""
@triton.jit
def rmsnorm_kernel(x_ptr, weight_ptr, out_ptr, n_cols, eps, x_row, x_col, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    cols = tl.arange(0, BLOCK)
    mask = cols < n_cols
    raw = tl.load(x_ptr + row * x_row + cols * x_col, mask=mask, other=0.0)
    x = raw.to(tl.float32)
    rstd = 1 / tl.sqrt(tl.sum(x * x, axis=0) / n_cols + eps)
    normed = (x * rstd).to(raw.dtype)
    weight = tl.load(weight_ptr + cols, mask=mask, other=0.0).to(tl.float32)
    tl.store(out_ptr + row * n_cols + cols, normed.to(tl.float32) * weight, mask=mask)


def rmsnorm_forward(x: Tensor, weight: Tensor, eps: float = 1e-6) -> Tensor:
    R, C = x.shape
    out = torch.empty((R, C), dtype=x.dtype, device=x.device)
    rmsnorm_kernel[(R,)](x, weight, out, C, eps, x.stride(0), x.stride(1), BLOCK=triton.next_power_of_2(C))
    return out

# %% exercise="rmsnorm_forward" wrong="empty_like_keeps_the_strides"
"""torch.empty_like gives a transposed x a transposed result, which the kernel fills as if it were dense: breaks "new and contiguous" (and the numbers) for such x."""
@triton.jit
def rmsnorm_kernel(x_ptr, weight_ptr, out_ptr, n_cols, eps, x_row, x_col, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    cols = tl.arange(0, BLOCK)
    mask = cols < n_cols
    x = tl.load(x_ptr + row * x_row + cols * x_col, mask=mask, other=0.0).to(tl.float32)
    w = tl.load(weight_ptr + cols, mask=mask, other=0.0).to(tl.float32)
    y = x * tl.rsqrt(tl.sum(x * x, axis=0) / n_cols + eps) * w
    tl.store(out_ptr + row * n_cols + cols, y, mask=mask)


def rmsnorm_forward(x: Tensor, weight: Tensor, eps: float = 1e-6) -> Tensor:
    out = torch.empty_like(x)
    R, C = x.shape
    rmsnorm_kernel[(R,)](x, weight, out, C, eps, *x.stride(), BLOCK=triton.next_power_of_2(C))
    return out

# %% exercise="rmsnorm_forward" wrong="store_without_mask"
"""The store has no mask, so the lanes past the end of the row write over the next row and past the end of the result: "must not be stored"."""
@triton.jit
def rmsnorm_kernel(x_ptr, weight_ptr, out_ptr, n_cols, eps, x_row, x_col, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    cols = tl.arange(0, BLOCK)
    mask = cols < n_cols
    x = tl.load(x_ptr + row * x_row + cols * x_col, mask=mask, other=0.0).to(tl.float32)
    w = tl.load(weight_ptr + cols, mask=mask, other=0.0).to(tl.float32)
    scale = 1.0 / tl.sqrt(tl.sum(x * x, axis=0) / n_cols + eps)
    tl.store(out_ptr + row * n_cols + cols, x * scale * w)


def rmsnorm_forward(x: Tensor, weight: Tensor, eps: float = 1e-6) -> Tensor:
    rows, cols = x.shape
    out = torch.empty(rows, cols, dtype=x.dtype, device=x.device)
    rmsnorm_kernel[(rows,)](x, weight, out, cols, eps, x.stride(0), x.stride(1), BLOCK=triton.next_power_of_2(cols))
    return out

# %% exercise="rmsnorm_forward" wrong="one_program_walks_all_rows"
"""A single program loops over all rows: breaks "More than one program where there are more than four rows"."""
@triton.jit
def rmsnorm_kernel(x_ptr, weight_ptr, out_ptr, n_rows, n_cols, eps, x_row, x_col, BLOCK: tl.constexpr):
    cols = tl.arange(0, BLOCK)
    mask = cols < n_cols
    w = tl.load(weight_ptr + cols, mask=mask, other=0.0).to(tl.float32)
    for row in range(n_rows):
        x = tl.load(x_ptr + row * x_row + cols * x_col, mask=mask, other=0.0).to(tl.float32)
        scale = 1.0 / tl.sqrt(tl.sum(x * x, axis=0) / n_cols + eps)
        tl.store(out_ptr + row * n_cols + cols, x * scale * w, mask=mask)


def rmsnorm_forward(x: Tensor, weight: Tensor, eps: float = 1e-6) -> Tensor:
    R, C = x.shape
    out = torch.empty((R, C), dtype=x.dtype, device=x.device)
    rmsnorm_kernel[(1,)](x, weight, out, R, C, eps, x.stride(0), x.stride(1), BLOCK=triton.next_power_of_2(C))
    return out

# %% exercise="rmsnorm_forward" wrong="made_contiguous_first"
"""Calls x.contiguous() before the launch: for an x with other strides that is a copy by torch, a second launch ("One launch; copies ... count as launches")."""
@triton.jit
def rmsnorm_kernel(x_ptr, weight_ptr, out_ptr, n_cols, eps, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    cols = tl.arange(0, BLOCK)
    mask = cols < n_cols
    x = tl.load(x_ptr + row * n_cols + cols, mask=mask, other=0.0).to(tl.float32)
    w = tl.load(weight_ptr + cols, mask=mask, other=0.0).to(tl.float32)
    scale = 1.0 / tl.sqrt(tl.sum(x * x, axis=0) / n_cols + eps)
    tl.store(out_ptr + row * n_cols + cols, x * scale * w, mask=mask)


def rmsnorm_forward(x: Tensor, weight: Tensor, eps: float = 1e-6) -> Tensor:
    x = x.contiguous()
    out = torch.empty_like(x)
    R, C = x.shape
    rmsnorm_kernel[(R,)](x, weight, out, C, eps, BLOCK=triton.next_power_of_2(C))
    return out

# %% exercise="rmsnorm_forward" wrong="weight_multiplied_by_torch"
"""The kernel only normalises, and torch multiplies by the weight: breaks "Every number in them comes from a kernel of yours"."""
@triton.jit
def rmsnorm_kernel(x_ptr, out_ptr, n_cols, eps, x_row, x_col, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    cols = tl.arange(0, BLOCK)
    mask = cols < n_cols
    x = tl.load(x_ptr + row * x_row + cols * x_col, mask=mask, other=0.0).to(tl.float32)
    scale = 1.0 / tl.sqrt(tl.sum(x * x, axis=0) / n_cols + eps)
    tl.store(out_ptr + row * n_cols + cols, x * scale, mask=mask)


def rmsnorm_forward(x: Tensor, weight: Tensor, eps: float = 1e-6) -> Tensor:
    R, C = x.shape
    normed = torch.empty((R, C), dtype=torch.float32, device=x.device)
    rmsnorm_kernel[(R,)](x, normed, C, eps, x.stride(0), x.stride(1), BLOCK=triton.next_power_of_2(C))
    return (normed * weight).to(x.dtype)

# %% exercise="rmsnorm_forward" wrong="eps_behind_the_root"
"""Adds eps to the root instead of to the mean of the squares: "eps added to the mean of the squares, under the root"."""
@triton.jit
def rmsnorm_kernel(x_ptr, weight_ptr, out_ptr, n_cols, eps, x_row, x_col, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    cols = tl.arange(0, BLOCK)
    mask = cols < n_cols
    x = tl.load(x_ptr + row * x_row + cols * x_col, mask=mask, other=0.0).to(tl.float32)
    w = tl.load(weight_ptr + cols, mask=mask, other=0.0).to(tl.float32)
    rms = tl.sqrt(tl.sum(x * x, axis=0) / n_cols)
    tl.store(out_ptr + row * n_cols + cols, x / (rms + eps) * w, mask=mask)


def rmsnorm_forward(x: Tensor, weight: Tensor, eps: float = 1e-6) -> Tensor:
    R, C = x.shape
    out = torch.empty((R, C), dtype=x.dtype, device=x.device)
    rmsnorm_kernel[(R,)](x, weight, out, C, eps, x.stride(0), x.stride(1), BLOCK=triton.next_power_of_2(C))
    return out

# %% exercise="rmsnorm_backward" wrong="weight_missing_in_the_dot"
"""The sum over the row takes dy * x_hat instead of g * x_hat with g = w * dy: dx is wrong wherever the weight is not 1 ("The gradients of x ... of y = x / sqrt(...) * weight")."""
@triton.jit
def rmsnorm_rows_kernel(
    dy_ptr, x_ptr, weight_ptr, dx_ptr, partial_ptr, n_rows, n_cols, eps,
    dy_row, dy_col, x_row, x_col, BLOCK: tl.constexpr,
):  # fmt: skip
    pid = tl.program_id(0)
    cols = tl.arange(0, BLOCK)
    mask = cols < n_cols
    w = tl.load(weight_ptr + cols, mask=mask, other=0.0).to(tl.float32)
    acc = tl.zeros((BLOCK,), tl.float32)
    for row in range(pid, n_rows, tl.num_programs(0)):
        dy = tl.load(dy_ptr + row * dy_row + cols * dy_col, mask=mask, other=0.0).to(tl.float32)
        x = tl.load(x_ptr + row * x_row + cols * x_col, mask=mask, other=0.0).to(tl.float32)
        r = 1 / tl.sqrt(tl.sum(x * x, axis=0) / n_cols + eps)
        x_hat = x * r
        c = tl.sum(dy * x_hat, axis=0) / n_cols
        tl.store(dx_ptr + row * n_cols + cols, r * (dy * w - x_hat * c), mask=mask)
        acc += dy * x_hat
    tl.store(partial_ptr + pid * n_cols + cols, acc, mask=mask)


@triton.jit
def rmsnorm_sum_kernel(partial_ptr, dweight_ptr, n_partial, n_cols, BLOCK: tl.constexpr):
    cols = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = cols < n_cols
    acc = tl.zeros((BLOCK,), tl.float32)
    for p in range(n_partial):
        acc += tl.load(partial_ptr + p * n_cols + cols, mask=mask, other=0.0)
    tl.store(dweight_ptr + cols, acc, mask=mask)


def rmsnorm_backward(
    dy: Tensor, x: Tensor, weight: Tensor, eps: float = 1e-6, programs: int = 4
) -> tuple[Tensor, Tensor]:
    R, C = x.shape
    P = min(programs, R)
    dx = torch.empty((R, C), dtype=x.dtype, device=x.device)
    dweight = torch.empty((C,), dtype=weight.dtype, device=x.device)
    partial = torch.empty((P, C), dtype=torch.float32, device=x.device)
    rmsnorm_rows_kernel[(P,)](
        dy, x, weight, dx, partial, R, C, eps, dy.stride(0), dy.stride(1), x.stride(0), x.stride(1),
        BLOCK=triton.next_power_of_2(C),
    )  # fmt: skip
    rmsnorm_sum_kernel[(triton.cdiv(C, 128),)](partial, dweight, P, C, BLOCK=128)
    return dx, dweight

# %% exercise="rmsnorm_backward" wrong="partial_sums_in_the_dtype_of_weight"
"""The partial sums are kept in the weight's dtype, so float16 and bfloat16 are rounded twice: "Work in float32, the partial sums too, and round once"."""
@triton.jit
def rmsnorm_rows_kernel(
    dy_ptr, x_ptr, weight_ptr, dx_ptr, partial_ptr, n_rows, n_cols, eps,
    dy_row, dy_col, x_row, x_col, BLOCK: tl.constexpr,
):  # fmt: skip
    pid = tl.program_id(0)
    cols = tl.arange(0, BLOCK)
    mask = cols < n_cols
    w = tl.load(weight_ptr + cols, mask=mask, other=0.0).to(tl.float32)
    acc = tl.zeros((BLOCK,), tl.float32)
    for row in range(pid, n_rows, tl.num_programs(0)):
        dy = tl.load(dy_ptr + row * dy_row + cols * dy_col, mask=mask, other=0.0).to(tl.float32)
        x = tl.load(x_ptr + row * x_row + cols * x_col, mask=mask, other=0.0).to(tl.float32)
        r = 1 / tl.sqrt(tl.sum(x * x, axis=0) / n_cols + eps)
        x_hat = x * r
        g = dy * w
        c = tl.sum(g * x_hat, axis=0) / n_cols
        tl.store(dx_ptr + row * n_cols + cols, r * (g - x_hat * c), mask=mask)
        acc += dy * x_hat
    tl.store(partial_ptr + pid * n_cols + cols, acc, mask=mask)


@triton.jit
def rmsnorm_sum_kernel(partial_ptr, dweight_ptr, n_partial, n_cols, BLOCK: tl.constexpr):
    cols = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = cols < n_cols
    acc = tl.zeros((BLOCK,), tl.float32)
    for p in range(n_partial):
        acc += tl.load(partial_ptr + p * n_cols + cols, mask=mask, other=0.0).to(tl.float32)
    tl.store(dweight_ptr + cols, acc, mask=mask)


def rmsnorm_backward(
    dy: Tensor, x: Tensor, weight: Tensor, eps: float = 1e-6, programs: int = 4
) -> tuple[Tensor, Tensor]:
    R, C = x.shape
    P = min(programs, R)
    dx = x.new_empty(R, C)
    dweight = weight.new_empty(C)
    partial = weight.new_empty(P, C)
    rmsnorm_rows_kernel[(P,)](
        dy, x, weight, dx, partial, R, C, eps, *dy.stride(), *x.stride(), BLOCK=triton.next_power_of_2(C)
    )
    rmsnorm_sum_kernel[(triton.cdiv(C, 128),)](partial, dweight, P, C, BLOCK=128)
    return dx, dweight

# %% exercise="rmsnorm_backward" wrong="last_rows_left_out"
"""Every program takes R // P neighbouring rows, so what is left of the division belongs to nobody: "min(programs, R) programs share the rows" - all R of them."""
@triton.jit
def rmsnorm_rows_kernel(
    dy_ptr, x_ptr, weight_ptr, dx_ptr, partial_ptr, each, n_cols, eps,
    dy_row, dy_col, x_row, x_col, BLOCK: tl.constexpr,
):  # fmt: skip
    pid = tl.program_id(0)
    cols = tl.arange(0, BLOCK)
    mask = cols < n_cols
    w = tl.load(weight_ptr + cols, mask=mask, other=0.0).to(tl.float32)
    acc = tl.zeros((BLOCK,), tl.float32)
    for k in range(each):
        row = pid * each + k
        dy = tl.load(dy_ptr + row * dy_row + cols * dy_col, mask=mask, other=0.0).to(tl.float32)
        x = tl.load(x_ptr + row * x_row + cols * x_col, mask=mask, other=0.0).to(tl.float32)
        r = 1 / tl.sqrt(tl.sum(x * x, axis=0) / n_cols + eps)
        x_hat = x * r
        g = dy * w
        c = tl.sum(g * x_hat, axis=0) / n_cols
        tl.store(dx_ptr + row * n_cols + cols, r * (g - x_hat * c), mask=mask)
        acc += dy * x_hat
    tl.store(partial_ptr + pid * n_cols + cols, acc, mask=mask)


@triton.jit
def rmsnorm_sum_kernel(partial_ptr, dweight_ptr, n_partial, n_cols, BLOCK: tl.constexpr):
    cols = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = cols < n_cols
    acc = tl.zeros((BLOCK,), tl.float32)
    for p in range(n_partial):
        acc += tl.load(partial_ptr + p * n_cols + cols, mask=mask, other=0.0)
    tl.store(dweight_ptr + cols, acc, mask=mask)


def rmsnorm_backward(
    dy: Tensor, x: Tensor, weight: Tensor, eps: float = 1e-6, programs: int = 4
) -> tuple[Tensor, Tensor]:
    R, C = x.shape
    P = min(programs, R)
    dx = torch.empty((R, C), dtype=x.dtype, device=x.device)
    dweight = torch.empty((C,), dtype=weight.dtype, device=x.device)
    partial = torch.empty((P, C), dtype=torch.float32, device=x.device)
    rmsnorm_rows_kernel[(P,)](
        dy, x, weight, dx, partial, R // P, C, eps, *dy.stride(), *x.stride(), BLOCK=triton.next_power_of_2(C)
    )
    rmsnorm_sum_kernel[(triton.cdiv(C, 128),)](partial, dweight, P, C, BLOCK=128)
    return dx, dweight

# %% exercise="rmsnorm_backward" wrong="race_on_one_row_of_sums"
"""All programs load, add to and store one shared row of sums: the race that the text describes ("the later store wipes out the other's share"), though one after another the numbers come out right."""
@triton.jit
def rmsnorm_rows_kernel(
    dy_ptr, x_ptr, weight_ptr, dx_ptr, sums_ptr, n_rows, n_cols, eps,
    dy_row, dy_col, x_row, x_col, BLOCK: tl.constexpr,
):  # fmt: skip
    pid = tl.program_id(0)
    cols = tl.arange(0, BLOCK)
    mask = cols < n_cols
    w = tl.load(weight_ptr + cols, mask=mask, other=0.0).to(tl.float32)
    acc = tl.zeros((BLOCK,), tl.float32)
    for row in range(pid, n_rows, tl.num_programs(0)):
        dy = tl.load(dy_ptr + row * dy_row + cols * dy_col, mask=mask, other=0.0).to(tl.float32)
        x = tl.load(x_ptr + row * x_row + cols * x_col, mask=mask, other=0.0).to(tl.float32)
        r = 1 / tl.sqrt(tl.sum(x * x, axis=0) / n_cols + eps)
        x_hat = x * r
        g = dy * w
        c = tl.sum(g * x_hat, axis=0) / n_cols
        tl.store(dx_ptr + row * n_cols + cols, r * (g - x_hat * c), mask=mask)
        acc += dy * x_hat
    if pid > 0:
        acc += tl.load(sums_ptr + cols, mask=mask, other=0.0)
    tl.store(sums_ptr + cols, acc, mask=mask)


@triton.jit
def rmsnorm_sum_kernel(sums_ptr, dweight_ptr, n_cols, BLOCK: tl.constexpr):
    cols = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = cols < n_cols
    tl.store(dweight_ptr + cols, tl.load(sums_ptr + cols, mask=mask, other=0.0), mask=mask)


def rmsnorm_backward(
    dy: Tensor, x: Tensor, weight: Tensor, eps: float = 1e-6, programs: int = 4
) -> tuple[Tensor, Tensor]:
    R, C = x.shape
    dx = torch.empty((R, C), dtype=x.dtype, device=x.device)
    dweight = torch.empty((C,), dtype=weight.dtype, device=x.device)
    sums = torch.empty((C,), dtype=torch.float32, device=x.device)
    rmsnorm_rows_kernel[(min(programs, R),)](
        dy, x, weight, dx, sums, R, C, eps, *dy.stride(), *x.stride(), BLOCK=triton.next_power_of_2(C)
    )
    rmsnorm_sum_kernel[(triton.cdiv(C, 128),)](sums, dweight, C, BLOCK=128)
    return dx, dweight

# %% exercise="rmsnorm_backward" wrong="empty_share_stores_nothing"
"""Shares of cdiv(R, P) neighbouring rows; a program without rows returns before it stores its partial sum, which stays uninitialised: "A share may come out empty, its partial sum is 0 then"."""
@triton.jit
def rmsnorm_rows_kernel(
    dy_ptr, x_ptr, weight_ptr, dx_ptr, partial_ptr, n_rows, n_cols, eps, each,
    dy_row, dy_col, x_row, x_col, BLOCK: tl.constexpr,
):  # fmt: skip
    pid = tl.program_id(0)
    first = pid * each
    if first < n_rows:
        cols = tl.arange(0, BLOCK)
        mask = cols < n_cols
        w = tl.load(weight_ptr + cols, mask=mask, other=0.0).to(tl.float32)
        acc = tl.zeros((BLOCK,), tl.float32)
        for row in range(first, tl.minimum(first + each, n_rows)):
            dy = tl.load(dy_ptr + row * dy_row + cols * dy_col, mask=mask, other=0.0).to(tl.float32)
            x = tl.load(x_ptr + row * x_row + cols * x_col, mask=mask, other=0.0).to(tl.float32)
            r = 1 / tl.sqrt(tl.sum(x * x, axis=0) / n_cols + eps)
            x_hat = x * r
            g = dy * w
            c = tl.sum(g * x_hat, axis=0) / n_cols
            tl.store(dx_ptr + row * n_cols + cols, r * (g - x_hat * c), mask=mask)
            acc += dy * x_hat
        tl.store(partial_ptr + pid * n_cols + cols, acc, mask=mask)


@triton.jit
def rmsnorm_sum_kernel(partial_ptr, dweight_ptr, n_partial, n_cols, BLOCK: tl.constexpr):
    cols = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = cols < n_cols
    acc = tl.zeros((BLOCK,), tl.float32)
    for p in range(n_partial):
        acc += tl.load(partial_ptr + p * n_cols + cols, mask=mask, other=0.0)
    tl.store(dweight_ptr + cols, acc, mask=mask)


def rmsnorm_backward(
    dy: Tensor, x: Tensor, weight: Tensor, eps: float = 1e-6, programs: int = 4
) -> tuple[Tensor, Tensor]:
    R, C = x.shape
    P = min(programs, R)
    dx = torch.empty((R, C), dtype=x.dtype, device=x.device)
    dweight = torch.empty((C,), dtype=weight.dtype, device=x.device)
    partial = torch.empty((P, C), dtype=torch.float32, device=x.device)
    rmsnorm_rows_kernel[(P,)](
        dy, x, weight, dx, partial, R, C, eps, triton.cdiv(R, P), *dy.stride(), *x.stride(),
        BLOCK=triton.next_power_of_2(C),
    )  # fmt: skip
    rmsnorm_sum_kernel[(triton.cdiv(C, 128),)](partial, dweight, P, C, BLOCK=128)
    return dx, dweight

# %% exercise="rmsnorm_backward" wrong="dy_read_with_the_strides_of_x"
"""dy is addressed with x's strides: breaks "any strides of its own" as soon as the two differ."""
@triton.jit
def rmsnorm_rows_kernel(
    dy_ptr, x_ptr, weight_ptr, dx_ptr, partial_ptr, n_rows, n_cols, eps, row_stride, col_stride, BLOCK: tl.constexpr
):
    pid = tl.program_id(0)
    cols = tl.arange(0, BLOCK)
    mask = cols < n_cols
    w = tl.load(weight_ptr + cols, mask=mask, other=0.0).to(tl.float32)
    acc = tl.zeros((BLOCK,), tl.float32)
    for row in range(pid, n_rows, tl.num_programs(0)):
        offsets = row * row_stride + cols * col_stride
        dy = tl.load(dy_ptr + offsets, mask=mask, other=0.0).to(tl.float32)
        x = tl.load(x_ptr + offsets, mask=mask, other=0.0).to(tl.float32)
        r = 1 / tl.sqrt(tl.sum(x * x, axis=0) / n_cols + eps)
        x_hat = x * r
        g = dy * w
        c = tl.sum(g * x_hat, axis=0) / n_cols
        tl.store(dx_ptr + row * n_cols + cols, r * (g - x_hat * c), mask=mask)
        acc += dy * x_hat
    tl.store(partial_ptr + pid * n_cols + cols, acc, mask=mask)


@triton.jit
def rmsnorm_sum_kernel(partial_ptr, dweight_ptr, n_partial, n_cols, BLOCK: tl.constexpr):
    cols = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = cols < n_cols
    acc = tl.zeros((BLOCK,), tl.float32)
    for p in range(n_partial):
        acc += tl.load(partial_ptr + p * n_cols + cols, mask=mask, other=0.0)
    tl.store(dweight_ptr + cols, acc, mask=mask)


def rmsnorm_backward(
    dy: Tensor, x: Tensor, weight: Tensor, eps: float = 1e-6, programs: int = 4
) -> tuple[Tensor, Tensor]:
    R, C = x.shape
    P = min(programs, R)
    dx = torch.empty((R, C), dtype=x.dtype, device=x.device)
    dweight = torch.empty((C,), dtype=weight.dtype, device=x.device)
    partial = torch.empty((P, C), dtype=torch.float32, device=x.device)
    rmsnorm_rows_kernel[(P,)](
        dy, x, weight, dx, partial, R, C, eps, x.stride(0), x.stride(1), BLOCK=triton.next_power_of_2(C)
    )
    rmsnorm_sum_kernel[(triton.cdiv(C, 128),)](partial, dweight, P, C, BLOCK=128)
    return dx, dweight

# %% exercise="rmsnorm_backward" wrong="partials_summed_by_torch"
"""The second stage is partial.sum(0): "Every number in them comes from a kernel of yours; a sum by torch, for example, is not allowed"."""
@triton.jit
def rmsnorm_rows_kernel(
    dy_ptr, x_ptr, weight_ptr, dx_ptr, partial_ptr, n_rows, n_cols, eps,
    dy_row, dy_col, x_row, x_col, BLOCK: tl.constexpr,
):  # fmt: skip
    pid = tl.program_id(0)
    cols = tl.arange(0, BLOCK)
    mask = cols < n_cols
    w = tl.load(weight_ptr + cols, mask=mask, other=0.0).to(tl.float32)
    acc = tl.zeros((BLOCK,), tl.float32)
    for row in range(pid, n_rows, tl.num_programs(0)):
        dy = tl.load(dy_ptr + row * dy_row + cols * dy_col, mask=mask, other=0.0).to(tl.float32)
        x = tl.load(x_ptr + row * x_row + cols * x_col, mask=mask, other=0.0).to(tl.float32)
        r = 1 / tl.sqrt(tl.sum(x * x, axis=0) / n_cols + eps)
        x_hat = x * r
        g = dy * w
        c = tl.sum(g * x_hat, axis=0) / n_cols
        tl.store(dx_ptr + row * n_cols + cols, r * (g - x_hat * c), mask=mask)
        acc += dy * x_hat
    tl.store(partial_ptr + pid * n_cols + cols, acc, mask=mask)


def rmsnorm_backward(
    dy: Tensor, x: Tensor, weight: Tensor, eps: float = 1e-6, programs: int = 4
) -> tuple[Tensor, Tensor]:
    R, C = x.shape
    P = min(programs, R)
    dx = torch.empty((R, C), dtype=x.dtype, device=x.device)
    partial = torch.empty((P, C), dtype=torch.float32, device=x.device)
    rmsnorm_rows_kernel[(P,)](
        dy, x, weight, dx, partial, R, C, eps, *dy.stride(), *x.stride(), BLOCK=triton.next_power_of_2(C)
    )
    return dx, partial.sum(0, dtype=torch.float32).to(weight.dtype)

# %% exercise="rmsnorm_backward" wrong="atomic_adds_3"
"""Every program adds its share to dweight with tl.atomic_add: breaks "No atomics" (other bits on other runs)."""
@triton.jit
def rmsnorm_rows_kernel(
    dy_ptr, x_ptr, weight_ptr, dx_ptr, dweight_ptr, n_rows, n_cols, eps,
    dy_row, dy_col, x_row, x_col, BLOCK: tl.constexpr,
):  # fmt: skip
    pid = tl.program_id(0)
    cols = tl.arange(0, BLOCK)
    mask = cols < n_cols
    w = tl.load(weight_ptr + cols, mask=mask, other=0.0).to(tl.float32)
    acc = tl.zeros((BLOCK,), tl.float32)
    for row in range(pid, n_rows, tl.num_programs(0)):
        dy = tl.load(dy_ptr + row * dy_row + cols * dy_col, mask=mask, other=0.0).to(tl.float32)
        x = tl.load(x_ptr + row * x_row + cols * x_col, mask=mask, other=0.0).to(tl.float32)
        r = 1 / tl.sqrt(tl.sum(x * x, axis=0) / n_cols + eps)
        x_hat = x * r
        g = dy * w
        c = tl.sum(g * x_hat, axis=0) / n_cols
        tl.store(dx_ptr + row * n_cols + cols, r * (g - x_hat * c), mask=mask)
        acc += dy * x_hat
    tl.atomic_add(dweight_ptr + cols, acc, mask=mask)


def rmsnorm_backward(
    dy: Tensor, x: Tensor, weight: Tensor, eps: float = 1e-6, programs: int = 4
) -> tuple[Tensor, Tensor]:
    R, C = x.shape
    dx = torch.empty((R, C), dtype=x.dtype, device=x.device)
    dweight = torch.zeros((C,), dtype=torch.float32, device=x.device)
    rmsnorm_rows_kernel[(min(programs, R),)](
        dy, x, weight, dx, dweight, R, C, eps, *dy.stride(), *x.stride(), BLOCK=triton.next_power_of_2(C)
    )
    return dx, dweight.to(weight.dtype)

# %% exercise="rmsnorm_backward" wrong="sum_kernel_of_one_program"
"""The second launch has one program of at most 1024 columns, so wider dweight is not written to its end: "C is any number up to 8192"."""
@triton.jit
def rmsnorm_rows_kernel(
    dy_ptr, x_ptr, weight_ptr, dx_ptr, partial_ptr, n_rows, n_cols, eps,
    dy_row, dy_col, x_row, x_col, BLOCK: tl.constexpr,
):  # fmt: skip
    pid = tl.program_id(0)
    cols = tl.arange(0, BLOCK)
    mask = cols < n_cols
    w = tl.load(weight_ptr + cols, mask=mask, other=0.0).to(tl.float32)
    acc = tl.zeros((BLOCK,), tl.float32)
    for row in range(pid, n_rows, tl.num_programs(0)):
        dy = tl.load(dy_ptr + row * dy_row + cols * dy_col, mask=mask, other=0.0).to(tl.float32)
        x = tl.load(x_ptr + row * x_row + cols * x_col, mask=mask, other=0.0).to(tl.float32)
        r = 1 / tl.sqrt(tl.sum(x * x, axis=0) / n_cols + eps)
        x_hat = x * r
        g = dy * w
        c = tl.sum(g * x_hat, axis=0) / n_cols
        tl.store(dx_ptr + row * n_cols + cols, r * (g - x_hat * c), mask=mask)
        acc += dy * x_hat
    tl.store(partial_ptr + pid * n_cols + cols, acc, mask=mask)


@triton.jit
def rmsnorm_sum_kernel(partial_ptr, dweight_ptr, n_partial, n_cols, BLOCK: tl.constexpr):
    cols = tl.arange(0, BLOCK)
    mask = cols < n_cols
    acc = tl.zeros((BLOCK,), tl.float32)
    for p in range(n_partial):
        acc += tl.load(partial_ptr + p * n_cols + cols, mask=mask, other=0.0)
    tl.store(dweight_ptr + cols, acc, mask=mask)


def rmsnorm_backward(
    dy: Tensor, x: Tensor, weight: Tensor, eps: float = 1e-6, programs: int = 4
) -> tuple[Tensor, Tensor]:
    R, C = x.shape
    P = min(programs, R)
    dx = torch.empty((R, C), dtype=x.dtype, device=x.device)
    dweight = torch.empty((C,), dtype=weight.dtype, device=x.device)
    partial = torch.empty((P, C), dtype=torch.float32, device=x.device)
    rmsnorm_rows_kernel[(P,)](
        dy, x, weight, dx, partial, R, C, eps, *dy.stride(), *x.stride(), BLOCK=triton.next_power_of_2(C)
    )
    rmsnorm_sum_kernel[(1,)](partial, dweight, P, C, BLOCK=1024)
    return dx, dweight

# %% exercise="rmsnorm_backward" wrong="eps_forgotten_2"
"""r is worked out again without eps: the gradients of y = x / sqrt(mean(x^2) + eps) are wrong for small rows, and a row of zeros gives NaN."""
@triton.jit
def rmsnorm_rows_kernel(
    dy_ptr, x_ptr, weight_ptr, dx_ptr, partial_ptr, n_rows, n_cols,
    dy_row, dy_col, x_row, x_col, BLOCK: tl.constexpr,
):  # fmt: skip
    pid = tl.program_id(0)
    cols = tl.arange(0, BLOCK)
    mask = cols < n_cols
    w = tl.load(weight_ptr + cols, mask=mask, other=0.0).to(tl.float32)
    acc = tl.zeros((BLOCK,), tl.float32)
    for row in range(pid, n_rows, tl.num_programs(0)):
        dy = tl.load(dy_ptr + row * dy_row + cols * dy_col, mask=mask, other=0.0).to(tl.float32)
        x = tl.load(x_ptr + row * x_row + cols * x_col, mask=mask, other=0.0).to(tl.float32)
        r = tl.rsqrt(tl.sum(x * x, axis=0) / n_cols)
        x_hat = x * r
        g = dy * w
        c = tl.sum(g * x_hat, axis=0) / n_cols
        tl.store(dx_ptr + row * n_cols + cols, r * (g - x_hat * c), mask=mask)
        acc += dy * x_hat
    tl.store(partial_ptr + pid * n_cols + cols, acc, mask=mask)


@triton.jit
def rmsnorm_sum_kernel(partial_ptr, dweight_ptr, n_partial, n_cols, BLOCK: tl.constexpr):
    cols = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = cols < n_cols
    acc = tl.zeros((BLOCK,), tl.float32)
    for p in range(n_partial):
        acc += tl.load(partial_ptr + p * n_cols + cols, mask=mask, other=0.0)
    tl.store(dweight_ptr + cols, acc, mask=mask)


def rmsnorm_backward(
    dy: Tensor, x: Tensor, weight: Tensor, eps: float = 1e-6, programs: int = 4
) -> tuple[Tensor, Tensor]:
    R, C = x.shape
    P = min(programs, R)
    dx = torch.empty((R, C), dtype=x.dtype, device=x.device)
    dweight = torch.empty((C,), dtype=weight.dtype, device=x.device)
    partial = torch.empty((P, C), dtype=torch.float32, device=x.device)
    rmsnorm_rows_kernel[(P,)](
        dy, x, weight, dx, partial, R, C, *dy.stride(), *x.stride(), BLOCK=triton.next_power_of_2(C)
    )
    rmsnorm_sum_kernel[(triton.cdiv(C, 128),)](partial, dweight, P, C, BLOCK=128)
    return dx, dweight

# %% exercise="residual_rmsnorm" wrong="total_into_the_residual"
"""Stores the sum over the residual that came in and returns that tensor, as vLLM's fused_add_rms_norm does: "it belongs to the caller and stays as it is", "both new and contiguous"."""
@triton.jit
def residual_rmsnorm_kernel(
    x_ptr, residual_ptr, weight_ptr, out_ptr, n_cols, eps,
    x_row, x_col, residual_row, residual_col, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0)
    cols = tl.arange(0, BLOCK)
    mask = cols < n_cols
    x = tl.load(x_ptr + row * x_row + cols * x_col, mask=mask, other=0.0).to(tl.float32)
    stream = residual_ptr + row * residual_row + cols * residual_col
    total = x + tl.load(stream, mask=mask, other=0.0).to(tl.float32)
    tl.store(stream, total, mask=mask)
    w = tl.load(weight_ptr + cols, mask=mask, other=0.0).to(tl.float32)
    scale = 1 / tl.sqrt(tl.sum(total * total, axis=0) / n_cols + eps)
    tl.store(out_ptr + row * n_cols + cols, total * scale * w, mask=mask)


def residual_rmsnorm(x: Tensor, residual: Tensor, weight: Tensor, eps: float = 1e-6) -> tuple[Tensor, Tensor]:
    R, C = x.shape
    y = torch.empty((R, C), dtype=x.dtype, device=x.device)
    residual_rmsnorm_kernel[(R,)](
        x, residual, weight, y, C, eps, *x.stride(), *residual.stride(), BLOCK=triton.next_power_of_2(C)
    )
    return y, residual

# %% exercise="residual_rmsnorm" wrong="block_of_1024"
"""The block is always 1024 lanes, so a wider row is cut off: "C is any number up to 8192"."""
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
    total = x + res
    w = tl.load(weight_ptr + cols, mask=mask, other=0.0).to(tl.float32)
    scale = 1 / tl.sqrt(tl.sum(total * total, axis=0) / n_cols + eps)
    tl.store(out_ptr + row * n_cols + cols, total * scale * w, mask=mask)
    tl.store(total_ptr + row * n_cols + cols, total, mask=mask)


def residual_rmsnorm(x: Tensor, residual: Tensor, weight: Tensor, eps: float = 1e-6) -> tuple[Tensor, Tensor]:
    R, C = x.shape
    y = torch.empty((R, C), dtype=x.dtype, device=x.device)
    total = torch.empty((R, C), dtype=x.dtype, device=x.device)
    residual_rmsnorm_kernel[(R,)](x, residual, weight, y, total, C, eps, *x.stride(), *residual.stride(), BLOCK=1024)
    return y, total

# %% exercise="residual_rmsnorm" wrong="results_the_other_way_round"
"""Returns (total, y): the docstring says "returns y (R, C) and total (R, C)", in this order."""
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
    total = x + res
    tl.store(total_ptr + row * n_cols + cols, total, mask=mask)
    w = tl.load(weight_ptr + cols, mask=mask, other=0.0).to(tl.float32)
    scale = 1 / tl.sqrt(tl.sum(total * total, axis=0) / n_cols + eps)
    tl.store(out_ptr + row * n_cols + cols, total * scale * w, mask=mask)


def residual_rmsnorm(x: Tensor, residual: Tensor, weight: Tensor, eps: float = 1e-6) -> tuple[Tensor, Tensor]:
    R, C = x.shape
    total = torch.empty((R, C), dtype=x.dtype, device=x.device)
    y = torch.empty((R, C), dtype=x.dtype, device=x.device)
    residual_rmsnorm_kernel[(R,)](
        x, residual, weight, y, total, C, eps, *x.stride(), *residual.stride(), BLOCK=triton.next_power_of_2(C)
    )
    return total, y

# %% exercise="residual_rmsnorm" wrong="squares_in_half_precision"
"""Adds and squares in the type of the rows and only then goes to float32: in float16 a sum above 255 squares to infinity ("Work in float32")."""
@triton.jit
def residual_rmsnorm_kernel(
    x_ptr, residual_ptr, weight_ptr, out_ptr, total_ptr, n_cols, eps,
    x_row, x_col, residual_row, residual_col, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0)
    cols = tl.arange(0, BLOCK)
    mask = cols < n_cols
    x = tl.load(x_ptr + row * x_row + cols * x_col, mask=mask, other=0.0)
    res = tl.load(residual_ptr + row * residual_row + cols * residual_col, mask=mask, other=0.0)
    total = x + res
    squares = total * total
    w = tl.load(weight_ptr + cols, mask=mask, other=0.0).to(tl.float32)
    scale = 1 / tl.sqrt(tl.sum(squares.to(tl.float32), axis=0) / n_cols + eps)
    tl.store(out_ptr + row * n_cols + cols, total.to(tl.float32) * scale * w, mask=mask)
    tl.store(total_ptr + row * n_cols + cols, total, mask=mask)


def residual_rmsnorm(x: Tensor, residual: Tensor, weight: Tensor, eps: float = 1e-6) -> tuple[Tensor, Tensor]:
    R, C = x.shape
    y = torch.empty((R, C), dtype=x.dtype, device=x.device)
    total = torch.empty((R, C), dtype=x.dtype, device=x.device)
    residual_rmsnorm_kernel[(R,)](
        x, residual, weight, y, total, C, eps, *x.stride(), *residual.stride(), BLOCK=triton.next_power_of_2(C)
    )
    return y, total

# %% exercise="residual_rmsnorm" wrong="both_rows_read_twice"
"""Walks over the row in blocks of 256, once for the sum of squares and once for the results: breaks "Read each row once" where C is larger than a block."""
@triton.jit
def residual_rmsnorm_kernel(
    x_ptr, residual_ptr, weight_ptr, out_ptr, total_ptr, n_cols, eps,
    x_row, x_col, residual_row, residual_col, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0)
    lanes = tl.arange(0, BLOCK)
    squares = tl.zeros((BLOCK,), tl.float32)
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        mask = cols < n_cols
        x = tl.load(x_ptr + row * x_row + cols * x_col, mask=mask, other=0.0).to(tl.float32)
        res = tl.load(residual_ptr + row * residual_row + cols * residual_col, mask=mask, other=0.0).to(tl.float32)
        squares += (x + res) * (x + res)
    scale = 1 / tl.sqrt(tl.sum(squares, axis=0) / n_cols + eps)
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        mask = cols < n_cols
        x = tl.load(x_ptr + row * x_row + cols * x_col, mask=mask, other=0.0).to(tl.float32)
        res = tl.load(residual_ptr + row * residual_row + cols * residual_col, mask=mask, other=0.0).to(tl.float32)
        w = tl.load(weight_ptr + cols, mask=mask, other=0.0).to(tl.float32)
        tl.store(out_ptr + row * n_cols + cols, (x + res) * scale * w, mask=mask)
        tl.store(total_ptr + row * n_cols + cols, x + res, mask=mask)


def residual_rmsnorm(x: Tensor, residual: Tensor, weight: Tensor, eps: float = 1e-6) -> tuple[Tensor, Tensor]:
    R, C = x.shape
    y = torch.empty((R, C), dtype=x.dtype, device=x.device)
    total = torch.empty((R, C), dtype=x.dtype, device=x.device)
    residual_rmsnorm_kernel[(R,)](x, residual, weight, y, total, C, eps, *x.stride(), *residual.stride(), BLOCK=256)
    return y, total

# %% exercise="residual_rmsnorm" wrong="normalises_the_sublayer_only"
"""y is x normalised, not the sum: "y is total normalised as in rmsnorm_forward"."""
@triton.jit
def residual_rmsnorm_kernel(
    x_ptr, residual_ptr, weight_ptr, out_ptr, total_ptr, n_cols, eps,
    x_row, x_col, residual_row, residual_col, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0)
    cols = tl.arange(0, BLOCK)
    mask = cols < n_cols
    x = tl.load(x_ptr + row * x_row + cols * x_col, mask=mask, other=0.0).to(tl.float32)
    w = tl.load(weight_ptr + cols, mask=mask, other=0.0).to(tl.float32)
    scale = 1 / tl.sqrt(tl.sum(x * x, axis=0) / n_cols + eps)
    tl.store(out_ptr + row * n_cols + cols, x * scale * w, mask=mask)
    res = tl.load(residual_ptr + row * residual_row + cols * residual_col, mask=mask, other=0.0).to(tl.float32)
    tl.store(total_ptr + row * n_cols + cols, x + res, mask=mask)


def residual_rmsnorm(x: Tensor, residual: Tensor, weight: Tensor, eps: float = 1e-6) -> tuple[Tensor, Tensor]:
    R, C = x.shape
    y = torch.empty((R, C), dtype=x.dtype, device=x.device)
    total = torch.empty((R, C), dtype=x.dtype, device=x.device)
    residual_rmsnorm_kernel[(R,)](
        x, residual, weight, y, total, C, eps, *x.stride(), *residual.stride(), BLOCK=triton.next_power_of_2(C)
    )
    return y, total

# %% exercise="residual_rmsnorm" wrong="total_kept_in_float32"
"""The sum comes back as float32 whatever the inputs are, like residual_in_fp32 of flash-attn's layer norm: "returns y (R, C) and total (R, C), same dtype"."""
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
    total = x + res
    tl.store(total_ptr + row * n_cols + cols, total, mask=mask)
    w = tl.load(weight_ptr + cols, mask=mask, other=0.0).to(tl.float32)
    scale = 1 / tl.sqrt(tl.sum(total * total, axis=0) / n_cols + eps)
    tl.store(out_ptr + row * n_cols + cols, total * scale * w, mask=mask)


def residual_rmsnorm(x: Tensor, residual: Tensor, weight: Tensor, eps: float = 1e-6) -> tuple[Tensor, Tensor]:
    R, C = x.shape
    y = torch.empty((R, C), dtype=x.dtype, device=x.device)
    total = torch.empty((R, C), dtype=torch.float32, device=x.device)
    residual_rmsnorm_kernel[(R,)](
        x, residual, weight, y, total, C, eps, *x.stride(), *residual.stride(), BLOCK=triton.next_power_of_2(C)
    )
    return y, total

# %% exercise="cross_entropy" wrong="sum_not_rescaled_2"
"""The running sum is not multiplied by exp(old maximum - new maximum) when a block raises the maximum: the loss of rows wider than a block is not log(sum(exp(logits))) - logits[target]."""
@triton.jit
def cross_entropy_kernel(
    logits_ptr, target_ptr, loss_ptr, grad_ptr, n_classes, ignore, row_stride, class_stride, BLOCK: tl.constexpr
):
    row = tl.program_id(0)
    t = tl.load(target_ptr + row)
    keep = t != ignore
    lanes = tl.arange(0, BLOCK)
    base = logits_ptr + row * row_stride
    out = grad_ptr + row * n_classes
    if n_classes <= BLOCK:
        mask = lanes < n_classes
        z = tl.load(base + lanes * class_stride, mask=mask, other=-float("inf")).to(tl.float32)
        m = tl.max(z, axis=0)
        e = tl.exp(z - m)
        s = tl.sum(e, axis=0)
        zt = tl.sum(tl.where(lanes == t, z, 0.0), axis=0)
        tl.store(loss_ptr + row, tl.where(keep, m + tl.log(s) - zt, 0.0))
        tl.store(out + lanes, tl.where(keep, e / s - tl.where(lanes == t, 1.0, 0.0), 0.0), mask=mask)
    else:
        m = -float("inf")
        s = 0.0
        zt = 0.0
        for start in range(0, n_classes, BLOCK):
            at = start + lanes
            z = tl.load(base + at * class_stride, mask=at < n_classes, other=-float("inf")).to(tl.float32)
            m = tl.maximum(m, tl.max(z, axis=0))
            s += tl.sum(tl.exp(z - m), axis=0)
            zt += tl.sum(tl.where(at == t, z, 0.0), axis=0)
        tl.store(loss_ptr + row, tl.where(keep, m + tl.log(s) - zt, 0.0))
        for start in range(0, n_classes, BLOCK):
            at = start + lanes
            z = tl.load(base + at * class_stride, mask=at < n_classes, other=-float("inf")).to(tl.float32)
            g = tl.exp(z - m) / s - tl.where(at == t, 1.0, 0.0)
            tl.store(out + at, tl.where(keep, g, 0.0), mask=at < n_classes)


def cross_entropy(logits: Tensor, target: Tensor, block: int = 256, ignore: int = -100) -> tuple[Tensor, Tensor]:
    N, V = logits.shape
    loss = torch.empty((N,), dtype=torch.float32, device=logits.device)
    grad = torch.empty((N, V), dtype=logits.dtype, device=logits.device)
    cross_entropy_kernel[(N,)](
        logits, target, loss, grad, V, ignore, *logits.stride(), BLOCK=min(block, triton.next_power_of_2(V))
    )
    return loss, grad

# %% exercise="cross_entropy" wrong="every_negative_target_is_ignored"
"""Takes a row for ignored when its target is negative and never looks at `ignore`: "`ignore` may be any whole number; here it is often PAD, 0"."""
@triton.jit
def cross_entropy_kernel(
    logits_ptr, target_ptr, loss_ptr, grad_ptr, n_classes, ignore, row_stride, class_stride, BLOCK: tl.constexpr
):
    row = tl.program_id(0)
    t = tl.load(target_ptr + row)
    keep = t >= 0
    lanes = tl.arange(0, BLOCK)
    base = logits_ptr + row * row_stride
    out = grad_ptr + row * n_classes
    if n_classes <= BLOCK:
        mask = lanes < n_classes
        z = tl.load(base + lanes * class_stride, mask=mask, other=-float("inf")).to(tl.float32)
        m = tl.max(z, axis=0)
        e = tl.exp(z - m)
        s = tl.sum(e, axis=0)
        zt = tl.sum(tl.where(lanes == t, z, 0.0), axis=0)
        tl.store(loss_ptr + row, tl.where(keep, m + tl.log(s) - zt, 0.0))
        tl.store(out + lanes, tl.where(keep, e / s - tl.where(lanes == t, 1.0, 0.0), 0.0), mask=mask)
    else:
        m = -float("inf")
        s = 0.0
        zt = 0.0
        for start in range(0, n_classes, BLOCK):
            at = start + lanes
            z = tl.load(base + at * class_stride, mask=at < n_classes, other=-float("inf")).to(tl.float32)
            new = tl.maximum(m, tl.max(z, axis=0))
            s = s * tl.exp(m - new) + tl.sum(tl.exp(z - new), axis=0)
            m = new
            zt += tl.sum(tl.where(at == t, z, 0.0), axis=0)
        tl.store(loss_ptr + row, tl.where(keep, m + tl.log(s) - zt, 0.0))
        for start in range(0, n_classes, BLOCK):
            at = start + lanes
            z = tl.load(base + at * class_stride, mask=at < n_classes, other=-float("inf")).to(tl.float32)
            g = tl.exp(z - m) / s - tl.where(at == t, 1.0, 0.0)
            tl.store(out + at, tl.where(keep, g, 0.0), mask=at < n_classes)


def cross_entropy(logits: Tensor, target: Tensor, block: int = 256, ignore: int = -100) -> tuple[Tensor, Tensor]:
    N, V = logits.shape
    loss = torch.empty((N,), dtype=torch.float32, device=logits.device)
    grad = torch.empty((N, V), dtype=logits.dtype, device=logits.device)
    cross_entropy_kernel[(N,)](
        logits, target, loss, grad, V, ignore, *logits.stride(), BLOCK=min(block, triton.next_power_of_2(V))
    )
    return loss, grad

# %% exercise="cross_entropy" wrong="ignored_target_as_an_address"
"""Loads the logit at the target in every row, also where the target is `ignore` (-100 columns away): "Their target is no column: never use it as an address"."""
@triton.jit
def cross_entropy_kernel(
    logits_ptr, target_ptr, loss_ptr, grad_ptr, n_classes, ignore, row_stride, class_stride, BLOCK: tl.constexpr
):
    row = tl.program_id(0)
    t = tl.load(target_ptr + row)
    keep = t != ignore
    lanes = tl.arange(0, BLOCK)
    base = logits_ptr + row * row_stride
    out = grad_ptr + row * n_classes
    zt = tl.load(base + t * class_stride).to(tl.float32)
    if n_classes <= BLOCK:
        mask = lanes < n_classes
        z = tl.load(base + lanes * class_stride, mask=mask, other=-float("inf")).to(tl.float32)
        m = tl.max(z, axis=0)
        e = tl.exp(z - m)
        s = tl.sum(e, axis=0)
        tl.store(loss_ptr + row, tl.where(keep, m + tl.log(s) - zt, 0.0))
        tl.store(out + lanes, tl.where(keep, e / s - tl.where(lanes == t, 1.0, 0.0), 0.0), mask=mask)
    else:
        m = -float("inf")
        s = 0.0
        for start in range(0, n_classes, BLOCK):
            at = start + lanes
            z = tl.load(base + at * class_stride, mask=at < n_classes, other=-float("inf")).to(tl.float32)
            new = tl.maximum(m, tl.max(z, axis=0))
            s = s * tl.exp(m - new) + tl.sum(tl.exp(z - new), axis=0)
            m = new
        tl.store(loss_ptr + row, tl.where(keep, m + tl.log(s) - zt, 0.0))
        for start in range(0, n_classes, BLOCK):
            at = start + lanes
            z = tl.load(base + at * class_stride, mask=at < n_classes, other=-float("inf")).to(tl.float32)
            g = tl.exp(z - m) / s - tl.where(at == t, 1.0, 0.0)
            tl.store(out + at, tl.where(keep, g, 0.0), mask=at < n_classes)


def cross_entropy(logits: Tensor, target: Tensor, block: int = 256, ignore: int = -100) -> tuple[Tensor, Tensor]:
    N, V = logits.shape
    loss = torch.empty((N,), dtype=torch.float32, device=logits.device)
    grad = torch.empty((N, V), dtype=logits.dtype, device=logits.device)
    cross_entropy_kernel[(N,)](
        logits, target, loss, grad, V, ignore, *logits.stride(), BLOCK=min(block, triton.next_power_of_2(V))
    )
    return loss, grad

# %% exercise="cross_entropy" wrong="one_hot_by_lane"
"""In the second walk the target is compared with the lane instead of with the column, so 1 is subtracted in every block or in the wrong one: "softmax(logits) - one_hot(target)" fails where V is larger than the block."""
@triton.jit
def cross_entropy_kernel(
    logits_ptr, target_ptr, loss_ptr, grad_ptr, n_classes, ignore, row_stride, class_stride, BLOCK: tl.constexpr
):
    row = tl.program_id(0)
    t = tl.load(target_ptr + row)
    keep = t != ignore
    lanes = tl.arange(0, BLOCK)
    hit = tl.where(lanes == t, 1.0, 0.0)
    base = logits_ptr + row * row_stride
    out = grad_ptr + row * n_classes
    if n_classes <= BLOCK:
        mask = lanes < n_classes
        z = tl.load(base + lanes * class_stride, mask=mask, other=-float("inf")).to(tl.float32)
        m = tl.max(z, axis=0)
        e = tl.exp(z - m)
        s = tl.sum(e, axis=0)
        zt = tl.sum(tl.where(lanes == t, z, 0.0), axis=0)
        tl.store(loss_ptr + row, tl.where(keep, m + tl.log(s) - zt, 0.0))
        tl.store(out + lanes, tl.where(keep, e / s - hit, 0.0), mask=mask)
    else:
        m = -float("inf")
        s = 0.0
        zt = 0.0
        for start in range(0, n_classes, BLOCK):
            at = start + lanes
            z = tl.load(base + at * class_stride, mask=at < n_classes, other=-float("inf")).to(tl.float32)
            new = tl.maximum(m, tl.max(z, axis=0))
            s = s * tl.exp(m - new) + tl.sum(tl.exp(z - new), axis=0)
            m = new
            zt += tl.sum(tl.where(at == t, z, 0.0), axis=0)
        tl.store(loss_ptr + row, tl.where(keep, m + tl.log(s) - zt, 0.0))
        for start in range(0, n_classes, BLOCK):
            at = start + lanes
            z = tl.load(base + at * class_stride, mask=at < n_classes, other=-float("inf")).to(tl.float32)
            tl.store(out + at, tl.where(keep, tl.exp(z - m) / s - hit, 0.0), mask=at < n_classes)


def cross_entropy(logits: Tensor, target: Tensor, block: int = 256, ignore: int = -100) -> tuple[Tensor, Tensor]:
    N, V = logits.shape
    loss = torch.empty((N,), dtype=torch.float32, device=logits.device)
    grad = torch.empty((N, V), dtype=logits.dtype, device=logits.device)
    cross_entropy_kernel[(N,)](
        logits, target, loss, grad, V, ignore, *logits.stride(), BLOCK=min(block, triton.next_power_of_2(V))
    )
    return loss, grad

# %% exercise="cross_entropy" wrong="maximum_starts_at_zero_2"
"""The running maximum of the wide walk starts at 0: where all logits of a row are below about -100 every exponential is 0 and the loss is infinite ("finite numbers of any size")."""
@triton.jit
def cross_entropy_kernel(
    logits_ptr, target_ptr, loss_ptr, grad_ptr, n_classes, ignore, row_stride, class_stride, BLOCK: tl.constexpr
):
    row = tl.program_id(0)
    t = tl.load(target_ptr + row)
    keep = t != ignore
    lanes = tl.arange(0, BLOCK)
    base = logits_ptr + row * row_stride
    out = grad_ptr + row * n_classes
    if n_classes <= BLOCK:
        mask = lanes < n_classes
        z = tl.load(base + lanes * class_stride, mask=mask, other=-float("inf")).to(tl.float32)
        m = tl.max(z, axis=0)
        e = tl.exp(z - m)
        s = tl.sum(e, axis=0)
        zt = tl.sum(tl.where(lanes == t, z, 0.0), axis=0)
        tl.store(loss_ptr + row, tl.where(keep, m + tl.log(s) - zt, 0.0))
        tl.store(out + lanes, tl.where(keep, e / s - tl.where(lanes == t, 1.0, 0.0), 0.0), mask=mask)
    else:
        m = 0.0
        s = 0.0
        zt = 0.0
        for start in range(0, n_classes, BLOCK):
            at = start + lanes
            z = tl.load(base + at * class_stride, mask=at < n_classes, other=-float("inf")).to(tl.float32)
            new = tl.maximum(m, tl.max(z, axis=0))
            s = s * tl.exp(m - new) + tl.sum(tl.exp(z - new), axis=0)
            m = new
            zt += tl.sum(tl.where(at == t, z, 0.0), axis=0)
        tl.store(loss_ptr + row, tl.where(keep, m + tl.log(s) - zt, 0.0))
        for start in range(0, n_classes, BLOCK):
            at = start + lanes
            z = tl.load(base + at * class_stride, mask=at < n_classes, other=-float("inf")).to(tl.float32)
            g = tl.exp(z - m) / s - tl.where(at == t, 1.0, 0.0)
            tl.store(out + at, tl.where(keep, g, 0.0), mask=at < n_classes)


def cross_entropy(logits: Tensor, target: Tensor, block: int = 256, ignore: int = -100) -> tuple[Tensor, Tensor]:
    N, V = logits.shape
    loss = torch.empty((N,), dtype=torch.float32, device=logits.device)
    grad = torch.empty((N, V), dtype=logits.dtype, device=logits.device)
    cross_entropy_kernel[(N,)](
        logits, target, loss, grad, V, ignore, *logits.stride(), BLOCK=min(block, triton.next_power_of_2(V))
    )
    return loss, grad

# %% exercise="cross_entropy" wrong="narrow_row_read_twice"
"""Always walks twice, also over a row that one block holds: "Read a row that fits in a block once, a wider one twice"."""
@triton.jit
def cross_entropy_kernel(
    logits_ptr, target_ptr, loss_ptr, grad_ptr, n_classes, ignore, row_stride, class_stride, BLOCK: tl.constexpr
):
    row = tl.program_id(0)
    t = tl.load(target_ptr + row)
    lanes = tl.arange(0, BLOCK)
    largest = -float("inf")
    total = 0.0
    at_target = 0.0
    for start in range(0, n_classes, BLOCK):
        at = start + lanes
        x = tl.load(logits_ptr + row * row_stride + at * class_stride, mask=at < n_classes, other=-float("inf"))
        x = x.to(tl.float32)
        higher = tl.maximum(largest, tl.max(x, axis=0))
        total = total * tl.exp(largest - higher) + tl.sum(tl.exp(x - higher), axis=0)
        largest = higher
        at_target += tl.sum(tl.where(at == t, x, 0.0), axis=0)
    counts = tl.where(t == ignore, 0.0, 1.0)
    tl.store(loss_ptr + row, counts * (largest + tl.log(total) - at_target))
    for start in range(0, n_classes, BLOCK):
        at = start + lanes
        x = tl.load(logits_ptr + row * row_stride + at * class_stride, mask=at < n_classes, other=-float("inf"))
        p = tl.exp(x.to(tl.float32) - largest) / total
        tl.store(grad_ptr + row * n_classes + at, counts * (p - tl.where(at == t, 1.0, 0.0)), mask=at < n_classes)


def cross_entropy(logits: Tensor, target: Tensor, block: int = 256, ignore: int = -100) -> tuple[Tensor, Tensor]:
    N, V = logits.shape
    loss = torch.empty((N,), dtype=torch.float32, device=logits.device)
    grad = torch.empty((N, V), dtype=logits.dtype, device=logits.device)
    cross_entropy_kernel[(N,)](
        logits, target, loss, grad, V, ignore, *logits.stride(), BLOCK=min(block, triton.next_power_of_2(V))
    )
    return loss, grad

# %% exercise="cross_entropy" wrong="three_walks"
"""A wide row is walked for the maximum, for the sum and for the gradient: "a wider one twice"."""
@triton.jit
def cross_entropy_kernel(
    logits_ptr, target_ptr, loss_ptr, grad_ptr, n_classes, ignore, row_stride, class_stride, BLOCK: tl.constexpr
):
    row = tl.program_id(0)
    t = tl.load(target_ptr + row)
    counts = tl.where(t == ignore, 0.0, 1.0)
    lanes = tl.arange(0, BLOCK)
    base = logits_ptr + row * row_stride
    out = grad_ptr + row * n_classes
    if n_classes <= BLOCK:
        mask = lanes < n_classes
        z = tl.load(base + lanes * class_stride, mask=mask, other=-float("inf")).to(tl.float32)
        m = tl.max(z, axis=0)
        e = tl.exp(z - m)
        s = tl.sum(e, axis=0)
        zt = tl.sum(tl.where(lanes == t, z, 0.0), axis=0)
        tl.store(loss_ptr + row, counts * (m + tl.log(s) - zt))
        tl.store(out + lanes, counts * (e / s - tl.where(lanes == t, 1.0, 0.0)), mask=mask)
    else:
        m = -float("inf")
        for start in range(0, n_classes, BLOCK):
            at = start + lanes
            z = tl.load(base + at * class_stride, mask=at < n_classes, other=-float("inf")).to(tl.float32)
            m = tl.maximum(m, tl.max(z, axis=0))
        s = 0.0
        zt = 0.0
        for start in range(0, n_classes, BLOCK):
            at = start + lanes
            z = tl.load(base + at * class_stride, mask=at < n_classes, other=-float("inf")).to(tl.float32)
            s += tl.sum(tl.exp(z - m), axis=0)
            zt += tl.sum(tl.where(at == t, z, 0.0), axis=0)
        tl.store(loss_ptr + row, counts * (m + tl.log(s) - zt))
        for start in range(0, n_classes, BLOCK):
            at = start + lanes
            z = tl.load(base + at * class_stride, mask=at < n_classes, other=-float("inf")).to(tl.float32)
            tl.store(out + at, counts * (tl.exp(z - m) / s - tl.where(at == t, 1.0, 0.0)), mask=at < n_classes)


def cross_entropy(logits: Tensor, target: Tensor, block: int = 256, ignore: int = -100) -> tuple[Tensor, Tensor]:
    N, V = logits.shape
    loss = torch.empty((N,), dtype=torch.float32, device=logits.device)
    grad = torch.empty((N, V), dtype=logits.dtype, device=logits.device)
    cross_entropy_kernel[(N,)](
        logits, target, loss, grad, V, ignore, *logits.stride(), BLOCK=min(block, triton.next_power_of_2(V))
    )
    return loss, grad

# %% exercise="cross_entropy" wrong="gradient_over_the_logits"
"""Stores the gradient over the logits and returns them, as Liger Kernel does: "grad (N, V) ... new and contiguous", and arguments stay as they are."""
@triton.jit
def cross_entropy_kernel(
    logits_ptr, target_ptr, loss_ptr, n_classes, ignore, row_stride, class_stride, BLOCK: tl.constexpr
):
    row = tl.program_id(0)
    t = tl.load(target_ptr + row)
    keep = t != ignore
    lanes = tl.arange(0, BLOCK)
    base = logits_ptr + row * row_stride
    if n_classes <= BLOCK:
        mask = lanes < n_classes
        z = tl.load(base + lanes * class_stride, mask=mask, other=-float("inf")).to(tl.float32)
        m = tl.max(z, axis=0)
        e = tl.exp(z - m)
        s = tl.sum(e, axis=0)
        zt = tl.sum(tl.where(lanes == t, z, 0.0), axis=0)
        tl.store(loss_ptr + row, tl.where(keep, m + tl.log(s) - zt, 0.0))
        g = e / s - tl.where(lanes == t, 1.0, 0.0)
        tl.store(base + lanes * class_stride, tl.where(keep, g, 0.0), mask=mask)
    else:
        m = -float("inf")
        s = 0.0
        zt = 0.0
        for start in range(0, n_classes, BLOCK):
            at = start + lanes
            z = tl.load(base + at * class_stride, mask=at < n_classes, other=-float("inf")).to(tl.float32)
            new = tl.maximum(m, tl.max(z, axis=0))
            s = s * tl.exp(m - new) + tl.sum(tl.exp(z - new), axis=0)
            m = new
            zt += tl.sum(tl.where(at == t, z, 0.0), axis=0)
        tl.store(loss_ptr + row, tl.where(keep, m + tl.log(s) - zt, 0.0))
        for start in range(0, n_classes, BLOCK):
            at = start + lanes
            z = tl.load(base + at * class_stride, mask=at < n_classes, other=-float("inf")).to(tl.float32)
            g = tl.exp(z - m) / s - tl.where(at == t, 1.0, 0.0)
            tl.store(base + at * class_stride, tl.where(keep, g, 0.0), mask=at < n_classes)


def cross_entropy(logits: Tensor, target: Tensor, block: int = 256, ignore: int = -100) -> tuple[Tensor, Tensor]:
    N, V = logits.shape
    loss = torch.empty((N,), dtype=torch.float32, device=logits.device)
    cross_entropy_kernel[(N,)](
        logits, target, loss, V, ignore, *logits.stride(), BLOCK=min(block, triton.next_power_of_2(V))
    )
    return loss, logits.detach()

# %% exercise="cross_entropy" wrong="gradient_of_the_mean"
"""Divides the gradient by the number of rows, as a mean loss would need it: "Nothing is divided by N"."""
@triton.jit
def cross_entropy_kernel(
    logits_ptr, target_ptr, loss_ptr, grad_ptr, n_classes, ignore, row_stride, class_stride, BLOCK: tl.constexpr
):
    row = tl.program_id(0)
    t = tl.load(target_ptr + row)
    keep = t != ignore
    share = 1.0 / tl.num_programs(0)
    lanes = tl.arange(0, BLOCK)
    base = logits_ptr + row * row_stride
    out = grad_ptr + row * n_classes
    if n_classes <= BLOCK:
        mask = lanes < n_classes
        z = tl.load(base + lanes * class_stride, mask=mask, other=-float("inf")).to(tl.float32)
        m = tl.max(z, axis=0)
        e = tl.exp(z - m)
        s = tl.sum(e, axis=0)
        zt = tl.sum(tl.where(lanes == t, z, 0.0), axis=0)
        tl.store(loss_ptr + row, tl.where(keep, m + tl.log(s) - zt, 0.0))
        g = (e / s - tl.where(lanes == t, 1.0, 0.0)) * share
        tl.store(out + lanes, tl.where(keep, g, 0.0), mask=mask)
    else:
        m = -float("inf")
        s = 0.0
        zt = 0.0
        for start in range(0, n_classes, BLOCK):
            at = start + lanes
            z = tl.load(base + at * class_stride, mask=at < n_classes, other=-float("inf")).to(tl.float32)
            new = tl.maximum(m, tl.max(z, axis=0))
            s = s * tl.exp(m - new) + tl.sum(tl.exp(z - new), axis=0)
            m = new
            zt += tl.sum(tl.where(at == t, z, 0.0), axis=0)
        tl.store(loss_ptr + row, tl.where(keep, m + tl.log(s) - zt, 0.0))
        for start in range(0, n_classes, BLOCK):
            at = start + lanes
            z = tl.load(base + at * class_stride, mask=at < n_classes, other=-float("inf")).to(tl.float32)
            g = (tl.exp(z - m) / s - tl.where(at == t, 1.0, 0.0)) * share
            tl.store(out + at, tl.where(keep, g, 0.0), mask=at < n_classes)


def cross_entropy(logits: Tensor, target: Tensor, block: int = 256, ignore: int = -100) -> tuple[Tensor, Tensor]:
    N, V = logits.shape
    loss = torch.empty((N,), dtype=torch.float32, device=logits.device)
    grad = torch.empty((N, V), dtype=logits.dtype, device=logits.device)
    cross_entropy_kernel[(N,)](
        logits, target, loss, grad, V, ignore, *logits.stride(), BLOCK=min(block, triton.next_power_of_2(V))
    )
    return loss, grad

# %% exercise="cross_entropy" wrong="surplus_lanes_count_as_zero"
"""The lanes past the end of the row hold 0, not minus infinity, and each adds exp(0 - m) to the sum: wrong loss and gradient wherever V is no multiple of the block."""
@triton.jit
def cross_entropy_kernel(
    logits_ptr, target_ptr, loss_ptr, grad_ptr, n_classes, ignore, row_stride, class_stride, BLOCK: tl.constexpr
):
    row = tl.program_id(0)
    t = tl.load(target_ptr + row)
    keep = t != ignore
    lanes = tl.arange(0, BLOCK)
    base = logits_ptr + row * row_stride
    out = grad_ptr + row * n_classes
    if n_classes <= BLOCK:
        mask = lanes < n_classes
        z = tl.load(base + lanes * class_stride, mask=mask, other=0.0).to(tl.float32)
        m = tl.max(z, axis=0)
        e = tl.exp(z - m)
        s = tl.sum(e, axis=0)
        zt = tl.sum(tl.where(lanes == t, z, 0.0), axis=0)
        tl.store(loss_ptr + row, tl.where(keep, m + tl.log(s) - zt, 0.0))
        tl.store(out + lanes, tl.where(keep, e / s - tl.where(lanes == t, 1.0, 0.0), 0.0), mask=mask)
    else:
        m = -float("inf")
        s = 0.0
        zt = 0.0
        for start in range(0, n_classes, BLOCK):
            at = start + lanes
            z = tl.load(base + at * class_stride, mask=at < n_classes, other=0.0).to(tl.float32)
            new = tl.maximum(m, tl.max(z, axis=0))
            s = s * tl.exp(m - new) + tl.sum(tl.exp(z - new), axis=0)
            m = new
            zt += tl.sum(tl.where(at == t, z, 0.0), axis=0)
        tl.store(loss_ptr + row, tl.where(keep, m + tl.log(s) - zt, 0.0))
        for start in range(0, n_classes, BLOCK):
            at = start + lanes
            z = tl.load(base + at * class_stride, mask=at < n_classes, other=0.0).to(tl.float32)
            g = tl.exp(z - m) / s - tl.where(at == t, 1.0, 0.0)
            tl.store(out + at, tl.where(keep, g, 0.0), mask=at < n_classes)


def cross_entropy(logits: Tensor, target: Tensor, block: int = 256, ignore: int = -100) -> tuple[Tensor, Tensor]:
    N, V = logits.shape
    loss = torch.empty((N,), dtype=torch.float32, device=logits.device)
    grad = torch.empty((N, V), dtype=logits.dtype, device=logits.device)
    cross_entropy_kernel[(N,)](
        logits, target, loss, grad, V, ignore, *logits.stride(), BLOCK=min(block, triton.next_power_of_2(V))
    )
    return loss, grad

# %% exercise="cross_entropy" wrong="loss_in_the_dtype_of_logits"
"""The losses come back in the type of the logits: "loss (N,) float32"."""
@triton.jit
def cross_entropy_kernel(
    logits_ptr, target_ptr, loss_ptr, grad_ptr, n_classes, ignore, row_stride, class_stride, BLOCK: tl.constexpr
):
    row = tl.program_id(0)
    t = tl.load(target_ptr + row)
    keep = t != ignore
    lanes = tl.arange(0, BLOCK)
    base = logits_ptr + row * row_stride
    out = grad_ptr + row * n_classes
    if n_classes <= BLOCK:
        mask = lanes < n_classes
        z = tl.load(base + lanes * class_stride, mask=mask, other=-float("inf")).to(tl.float32)
        m = tl.max(z, axis=0)
        e = tl.exp(z - m)
        s = tl.sum(e, axis=0)
        zt = tl.sum(tl.where(lanes == t, z, 0.0), axis=0)
        tl.store(loss_ptr + row, tl.where(keep, m + tl.log(s) - zt, 0.0))
        tl.store(out + lanes, tl.where(keep, e / s - tl.where(lanes == t, 1.0, 0.0), 0.0), mask=mask)
    else:
        m = -float("inf")
        s = 0.0
        zt = 0.0
        for start in range(0, n_classes, BLOCK):
            at = start + lanes
            z = tl.load(base + at * class_stride, mask=at < n_classes, other=-float("inf")).to(tl.float32)
            new = tl.maximum(m, tl.max(z, axis=0))
            s = s * tl.exp(m - new) + tl.sum(tl.exp(z - new), axis=0)
            m = new
            zt += tl.sum(tl.where(at == t, z, 0.0), axis=0)
        tl.store(loss_ptr + row, tl.where(keep, m + tl.log(s) - zt, 0.0))
        for start in range(0, n_classes, BLOCK):
            at = start + lanes
            z = tl.load(base + at * class_stride, mask=at < n_classes, other=-float("inf")).to(tl.float32)
            g = tl.exp(z - m) / s - tl.where(at == t, 1.0, 0.0)
            tl.store(out + at, tl.where(keep, g, 0.0), mask=at < n_classes)


def cross_entropy(logits: Tensor, target: Tensor, block: int = 256, ignore: int = -100) -> tuple[Tensor, Tensor]:
    N, V = logits.shape
    loss, grad = logits.new_empty(N), logits.new_empty(N, V)
    cross_entropy_kernel[(N,)](
        logits, target, loss, grad, V, ignore, *logits.stride(), BLOCK=min(block, triton.next_power_of_2(V))
    )
    return loss, grad

# %% exercise="cross_entropy" wrong="ignored_row_keeps_its_gradient"
"""Only the loss of an ignored row is set to 0, its gradient stays softmax(logits): "grad ... all 0 where the target is ignore"."""
@triton.jit
def cross_entropy_kernel(
    logits_ptr, target_ptr, loss_ptr, grad_ptr, n_classes, ignore, row_stride, class_stride, BLOCK: tl.constexpr
):
    row = tl.program_id(0)
    t = tl.load(target_ptr + row)
    keep = t != ignore
    lanes = tl.arange(0, BLOCK)
    base = logits_ptr + row * row_stride
    out = grad_ptr + row * n_classes
    if n_classes <= BLOCK:
        mask = lanes < n_classes
        z = tl.load(base + lanes * class_stride, mask=mask, other=-float("inf")).to(tl.float32)
        m = tl.max(z, axis=0)
        e = tl.exp(z - m)
        s = tl.sum(e, axis=0)
        zt = tl.sum(tl.where(lanes == t, z, 0.0), axis=0)
        tl.store(loss_ptr + row, tl.where(keep, m + tl.log(s) - zt, 0.0))
        tl.store(out + lanes, e / s - tl.where((lanes == t) & keep, 1.0, 0.0), mask=mask)
    else:
        m = -float("inf")
        s = 0.0
        zt = 0.0
        for start in range(0, n_classes, BLOCK):
            at = start + lanes
            z = tl.load(base + at * class_stride, mask=at < n_classes, other=-float("inf")).to(tl.float32)
            new = tl.maximum(m, tl.max(z, axis=0))
            s = s * tl.exp(m - new) + tl.sum(tl.exp(z - new), axis=0)
            m = new
            zt += tl.sum(tl.where(at == t, z, 0.0), axis=0)
        tl.store(loss_ptr + row, tl.where(keep, m + tl.log(s) - zt, 0.0))
        for start in range(0, n_classes, BLOCK):
            at = start + lanes
            z = tl.load(base + at * class_stride, mask=at < n_classes, other=-float("inf")).to(tl.float32)
            tl.store(out + at, tl.exp(z - m) / s - tl.where((at == t) & keep, 1.0, 0.0), mask=at < n_classes)


def cross_entropy(logits: Tensor, target: Tensor, block: int = 256, ignore: int = -100) -> tuple[Tensor, Tensor]:
    N, V = logits.shape
    loss = torch.empty((N,), dtype=torch.float32, device=logits.device)
    grad = torch.empty((N, V), dtype=logits.dtype, device=logits.device)
    cross_entropy_kernel[(N,)](
        logits, target, loss, grad, V, ignore, *logits.stride(), BLOCK=min(block, triton.next_power_of_2(V))
    )
    return loss, grad

# %% exercise="shift_right" wrong="rolled_without_bos"
"""Rolls the row, so its last column (EOS or PAD) comes round to the front where BOS belongs: "BOS (1) first"."""
def shift_right(target: Tensor) -> Tensor:
    return torch.roll(target, shifts=1, dims=1)

# %% exercise="shift_right" wrong="last_column_kept_2"
"""Puts BOS in front without cutting the last column: T + 1 columns instead of "(B, T)", "the target without its last column"."""
def shift_right(target: Tensor) -> Tensor:
    start = torch.full((target.shape[0], 1), BOS, dtype=target.dtype, device=target.device)
    return torch.cat([start, target], dim=1)

# %% exercise="shift_right" wrong="eos_replaced_by_pad"
"""Replaces the EOS in the decoder's input by PAD, because nothing is asked for behind it: "nothing is replaced"."""
def shift_right(target: Tensor) -> Tensor:
    start = torch.full_like(target[:, :1], BOS)
    given = torch.cat([start, target[:, :-1]], dim=1)
    return given.masked_fill(given == EOS, PAD)

# %% exercise="shift_right" wrong="bos_column_of_floats"
"""torch.ones makes a float column, and cat turns everything into float32: "returns (B, T) int64"."""
def shift_right(target: Tensor) -> Tensor:
    return torch.cat([torch.ones(len(target), 1), target[:, :-1]], dim=1)

# %% exercise="shift_right" wrong="begins_with_pad_2"
"""Begins with PAD as T5 does: "BOS (1) first"."""
def shift_right(target: Tensor) -> Tensor:
    shifted = torch.zeros_like(target)
    shifted[:, 1:] = target[:, :-1]
    return shifted

# %% exercise="shift_right" wrong="loop_overwrites_what_it_reads"
"""Moves the columns inside one tensor from left to right, so every column is a copy of the first one, BOS: the rest is not "the target without its last column"."""
def shift_right(target: Tensor) -> Tensor:
    given = target.clone()
    given[:, 0] = BOS
    for t in range(1, given.shape[1]):
        given[:, t] = given[:, t - 1]
    return given

# %% exercise="shift_right" wrong="moved_in_place"
"""Moves the columns of the target itself and returns it: "a new tensor", "`target` stays as it was"."""
def shift_right(target: Tensor) -> Tensor:
    target[:, 1:] = target[:, :-1].clone()
    target[:, 0] = BOS
    return target

# %% exercise="shift_right" wrong="bos_only_where_there_is_more"
"""Returns a target of one column unchanged, as if there was nothing to move: "T is at least 1", and its only column is BOS then."""
def shift_right(target: Tensor) -> Tensor:
    if target.shape[1] < 2:
        return target.clone()
    start = target.new_full((target.shape[0], 1), BOS)
    return torch.cat((start, target[:, :-1]), dim=-1)

# %% exercise="smoothed_cross_entropy" wrong="tensor2tensor_convention_2"
"""Gives the right class 1 - epsilon and each other one epsilon / (V - 1): the docstring's q is (1 - epsilon) * one_hot + epsilon / V over all V classes."""
def smoothed_cross_entropy(logits: Tensor, target: Tensor, smoothing: float = 0.1) -> Tensor:
    shifted = logits - logits.amax(-1, keepdim=True)
    log_probs = shifted - shifted.exp().sum(-1, keepdim=True).log()
    V = logits.shape[-1]
    q = torch.full_like(log_probs, smoothing / max(V - 1, 1))
    q.scatter_(-1, target[..., None], 1 - smoothing)
    losses = -(q * log_probs).sum(-1)
    return losses[target != PAD].mean()

# %% exercise="smoothed_cross_entropy" wrong="padding_in_the_denominator"
"""Sets the losses of padding to 0 but divides by all B * T places: "mean over real tokens"."""
def smoothed_cross_entropy(logits: Tensor, target: Tensor, smoothing: float = 0.1) -> Tensor:
    shifted = logits - logits.amax(-1, keepdim=True)
    log_probs = shifted - shifted.exp().sum(-1, keepdim=True).log()
    right = log_probs.gather(-1, target[..., None])[..., 0]
    losses = -(1 - smoothing) * right - smoothing * log_probs.mean(-1)
    return (losses * (target != PAD)).mean()

# %% exercise="smoothed_cross_entropy" wrong="mean_of_row_means"
"""Averages each row over its tokens and then the rows: "Every real token of the batch counts the same, however long its row is"."""
def smoothed_cross_entropy(logits: Tensor, target: Tensor, smoothing: float = 0.1) -> Tensor:
    shifted = logits - logits.amax(-1, keepdim=True)
    log_probs = shifted - shifted.exp().sum(-1, keepdim=True).log()
    right = log_probs.gather(-1, target[..., None])[..., 0]
    losses = -(1 - smoothing) * right - smoothing * log_probs.mean(-1)
    real = (target != PAD).to(losses.dtype)
    tokens = real.sum(1)
    per_row = (losses * real).sum(1) / tokens.clamp(min=1)
    return per_row[tokens > 0].mean()

# %% exercise="smoothed_cross_entropy" wrong="one_maximum_for_the_batch"
"""Subtracts the largest logit of the whole batch: in a row whose logits lie 200 lower all exponentials are 0 and the loss is infinite ("finite numbers of any size")."""
def smoothed_cross_entropy(logits: Tensor, target: Tensor, smoothing: float = 0.1) -> Tensor:
    shifted = logits - logits.max()
    log_probs = shifted - shifted.exp().sum(-1, keepdim=True).log()
    right = log_probs.gather(-1, target[..., None])[..., 0]
    losses = -(1 - smoothing) * right - smoothing * log_probs.mean(-1)
    return losses[target != PAD].mean()

# %% exercise="smoothed_cross_entropy" wrong="bos_does_not_count"
"""Leaves out BOS together with PAD: "PAD (0) does not count, everything else does, BOS too"."""
def smoothed_cross_entropy(logits: Tensor, target: Tensor, smoothing: float = 0.1) -> Tensor:
    shifted = logits - logits.amax(-1, keepdim=True)
    log_probs = shifted - shifted.exp().sum(-1, keepdim=True).log()
    right = log_probs.gather(-1, target[..., None])[..., 0]
    losses = -(1 - smoothing) * right - smoothing * log_probs.mean(-1)
    return losses[target > BOS].mean()

# %% exercise="smoothed_cross_entropy" wrong="pad_class_gets_nothing_2"
"""Spreads epsilon over the classes without PAD: "over all V classes, PAD among them"."""
def smoothed_cross_entropy(logits: Tensor, target: Tensor, smoothing: float = 0.1) -> Tensor:
    shifted = logits - logits.amax(-1, keepdim=True)
    log_probs = shifted - shifted.exp().sum(-1, keepdim=True).log()
    right = log_probs.gather(-1, target[..., None])[..., 0]
    spread = log_probs[..., 1:].mean(-1)
    losses = -(1 - smoothing) * right - smoothing * spread
    return losses[target != PAD].mean()

# %% exercise="smoothed_cross_entropy" wrong="float32_inside"
"""Converts the logits to float32 first and returns that: "returns () same dtype as logits", float64 too."""
def smoothed_cross_entropy(logits: Tensor, target: Tensor, smoothing: float = 0.1) -> Tensor:
    z = logits.float()
    z = z - z.amax(-1, keepdim=True)
    log_probs = z - z.exp().sum(-1, keepdim=True).log()
    right = log_probs.gather(-1, target[..., None])[..., 0]
    losses = -(1 - smoothing) * right - smoothing * log_probs.mean(-1)
    return losses[target != PAD].mean()

# %% exercise="smoothed_cross_entropy" wrong="log_of_a_clamped_softmax"
"""Makes probabilities and takes log(p + 1e-9): where a logit lies more than 20 below the largest the loss stops growing ("-sum_v q_v log softmax(logits)_v", "finite numbers of any size")."""
def smoothed_cross_entropy(logits: Tensor, target: Tensor, smoothing: float = 0.1) -> Tensor:
    e = (logits - logits.amax(-1, keepdim=True)).exp()
    log_probs = (e / e.sum(-1, keepdim=True) + 1e-9).log()
    right = log_probs.gather(-1, target[..., None])[..., 0]
    losses = -(1 - smoothing) * right - smoothing * log_probs.mean(-1)
    return losses[target != PAD].mean()

# %% exercise="warmup_schedule" wrong="step_zero_becomes_one"
"""Treats step 0 as step 1, as The Annotated Transformer does for LambdaLR: "below 1: raise ValueError"."""
def warmup_schedule(step: int, width: int, warmup: int = 4000, factor: float = 1.0) -> float:
    if step == 0:
        step = 1
    if step < 0:
        raise ValueError("step must not be negative")
    return factor * (width ** (-0.5) * min(step ** (-0.5), step * warmup ** (-1.5)))

# %% exercise="warmup_schedule" wrong="an_assertion"
"""Checks the step with assert, which raises AssertionError: "below 1: raise ValueError"."""
def warmup_schedule(step: int, width: int, warmup: int = 4000, factor: float = 1.0) -> float:
    assert step >= 1, "steps count from 1"
    return factor * width**-0.5 * min(step**-0.5, step * warmup**-1.5)

# %% exercise="warmup_schedule" wrong="power_before_division"
"""warmup ** -3 / 2 is half of warmup ** -3, not the power -3/2: the line up is far too low and the largest rate not at `warmup`."""
def warmup_schedule(step: int, width: int, warmup: int = 4000, factor: float = 1.0) -> float:
    if step < 1:
        raise ValueError(step)
    return factor * width ** (-1 / 2) * min(step ** (-1 / 2), step * warmup ** -3 / 2)

# %% exercise="warmup_schedule" wrong="line_up_to_one"
"""The line is step / warmup instead of step * warmup ** -1.5, so it meets the curve long before `warmup` ("the step at which the rate is largest")."""
def warmup_schedule(step: int, width: int, warmup: int = 4000, factor: float = 1.0) -> float:
    if step < 1:
        raise ValueError("step counts from 1")
    return factor / math.sqrt(width) * min(1 / math.sqrt(step), step / warmup)

# %% exercise="warmup_schedule" wrong="factor_only_behind_the_warmup"
"""The factor stands with one of the two curves inside min: "factor multiplies everything"."""
def warmup_schedule(step: int, width: int, warmup: int = 4000, factor: float = 1.0) -> float:
    if step < 1:
        raise ValueError("step counts from 1")
    return width**-0.5 * min(factor * step**-0.5, step * warmup**-1.5)

# %% exercise="warmup_schedule" wrong="steps_count_from_zero"
"""Adds 1 to the step, as if it counted from 0: every rate is that of the next step ("step counts from 1")."""
def warmup_schedule(step: int, width: int, warmup: int = 4000, factor: float = 1.0) -> float:
    if step < 1:
        raise ValueError("step counts from 1")
    n = step + 1
    return factor * width**-0.5 * min(n**-0.5, n * warmup**-1.5)

# %% exercise="greedy_decode" wrong="encodes_in_every_step"
"""Calls model.encode inside the loop: "The source is encoded once"."""
@torch.no_grad()
def greedy_decode(model, source: Tensor, max_length: int) -> Tensor:
    target = torch.full((len(source), 1), BOS, dtype=torch.int64, device=source.device)
    ended = torch.zeros(len(source), dtype=torch.bool, device=source.device)
    for _ in range(max_length):
        memory, keep = model.encode(source)
        token = model.decode(target, memory, keep)[:, -1].argmax(-1)
        token = token.masked_fill(ended, PAD)
        ended = ended | (token == EOS)
        target = torch.cat([target, token[:, None]], dim=1)
        if ended.all():
            break
    return target[:, 1:]

# %% exercise="greedy_decode" wrong="eos_becomes_pad_2"
"""Updates `ended` before it writes PAD, so the EOS itself is overwritten: "each row ends with its EOS"."""
@torch.no_grad()
def greedy_decode(model, source: Tensor, max_length: int) -> Tensor:
    memory, keep = model.encode(source)
    target = torch.full((len(source), 1), BOS, dtype=torch.int64, device=source.device)
    ended = torch.zeros(len(source), dtype=torch.bool, device=source.device)
    for _ in range(max_length):
        token = model.decode(target, memory, keep)[:, -1].argmax(-1)
        ended = ended | (token == EOS)
        token = torch.where(ended, PAD, token)
        target = torch.cat([target, token[:, None]], dim=1)
        if ended.all():
            break
    return target[:, 1:]

# %% exercise="greedy_decode" wrong="stops_with_the_first_row"
"""Ends as soon as any row has its EOS, which cuts the others off: "L is the length of the longest row"."""
@torch.no_grad()
def greedy_decode(model, source: Tensor, max_length: int) -> Tensor:
    memory, keep = model.encode(source)
    target = torch.full((len(source), 1), BOS, dtype=torch.int64, device=source.device)
    for _ in range(max_length):
        token = model.decode(target, memory, keep)[:, -1].argmax(-1)
        target = torch.cat([target, token[:, None]], dim=1)
        if (token == EOS).any():
            break
    return target[:, 1:]

# %% exercise="greedy_decode" wrong="pad_ends_a_row_too"
"""A row that chooses PAD counts as ended: "Only EOS ends a row: a model may choose PAD or BOS as well, and the row goes on"."""
@torch.no_grad()
def greedy_decode(model, source: Tensor, max_length: int) -> Tensor:
    memory, keep = model.encode(source)
    target = torch.full((len(source), 1), BOS, dtype=torch.int64, device=source.device)
    ended = torch.zeros(len(source), dtype=torch.bool, device=source.device)
    for _ in range(max_length):
        token = model.decode(target, memory, keep)[:, -1].argmax(-1)
        token[ended] = PAD
        ended = ended | (token == EOS) | (token == PAD)
        target = torch.cat([target, token[:, None]], dim=1)
        if ended.all():
            break
    return target[:, 1:]

# %% exercise="greedy_decode" wrong="bos_counted_in_max_length"
"""Stops when the row with its BOS has max_length columns, one token too early: "at most this many tokens in a row, EOS counted, BOS not"."""
@torch.no_grad()
def greedy_decode(model, source: Tensor, max_length: int) -> Tensor:
    memory, keep = model.encode(source)
    target = torch.full((len(source), 1), BOS, dtype=torch.int64, device=source.device)
    ended = torch.zeros(len(source), dtype=torch.bool, device=source.device)
    while target.shape[1] < max_length and not ended.all():
        token = model.decode(target, memory, keep)[:, -1].argmax(-1)
        token = token.masked_fill(ended, PAD)
        ended |= token == EOS
        target = torch.cat([target, token[:, None]], dim=1)
    return target[:, 1:]

# %% exercise="greedy_decode" wrong="leaves_the_model_in_eval"
"""Calls model.eval() and leaves it so: "the model's mode (train or eval) stays as it is"."""
@torch.no_grad()
def greedy_decode(model, source: Tensor, max_length: int) -> Tensor:
    if hasattr(model, "eval"):
        model.eval()
    memory, keep = model.encode(source)
    target = torch.full((len(source), 1), BOS, dtype=torch.int64, device=source.device)
    ended = torch.zeros(len(source), dtype=torch.bool, device=source.device)
    for _ in range(max_length):
        token = model.decode(target, memory, keep)[:, -1].argmax(-1)
        token = token.masked_fill(ended, PAD)
        ended |= token == EOS
        target = torch.cat([target, token[:, None]], dim=1)
        if ended.all():
            break
    return target[:, 1:]

# %% exercise="greedy_decode" wrong="gradients_recorded_2"
"""Runs the model without torch.no_grad(): "No gradients are recorded"."""
def greedy_decode(model, source: Tensor, max_length: int) -> Tensor:
    memory, keep = model.encode(source)
    target = torch.full((len(source), 1), BOS, dtype=torch.int64, device=source.device)
    ended = torch.zeros(len(source), dtype=torch.bool, device=source.device)
    for _ in range(max_length):
        token = model.decode(target, memory, keep)[:, -1].argmax(-1)
        token = token.masked_fill(ended, PAD)
        ended = ended | (token == EOS)
        target = torch.cat([target, token[:, None]], dim=1)
        if ended.all():
            break
    return target[:, 1:]

# %% exercise="greedy_decode" wrong="one_step_after_the_end"
"""Looks whether all rows have ended only after the next call of the model: the result is right, but "no step is taken after the last row has ended"."""
@torch.no_grad()
def greedy_decode(model, source: Tensor, max_length: int) -> Tensor:
    memory, keep = model.encode(source)
    target = torch.full((len(source), 1), BOS, dtype=torch.int64, device=source.device)
    ended = torch.zeros(len(source), dtype=torch.bool, device=source.device)
    for _ in range(max_length):
        token = model.decode(target, memory, keep)[:, -1].argmax(-1)
        if ended.all():
            break
        token = token.masked_fill(ended, PAD)
        ended = ended | (token == EOS)
        target = torch.cat([target, token[:, None]], dim=1)
    return target[:, 1:]

# %% exercise="greedy_decode" wrong="columns_of_pad_cut_off"
"""Walks to max_length with a stop, then drops every column that holds nothing but PAD, also those that the model chose: "a model may choose PAD ... and the row goes on"."""
@torch.no_grad()
def greedy_decode(model, source: Tensor, max_length: int) -> Tensor:
    memory, keep = model.encode(source)
    target = torch.full((len(source), 1), BOS, dtype=torch.int64, device=source.device)
    ended = torch.zeros(len(source), dtype=torch.bool, device=source.device)
    for _ in range(max_length):
        token = model.decode(target, memory, keep)[:, -1].argmax(-1)
        token = token.masked_fill(ended, PAD)
        ended = ended | (token == EOS)
        target = torch.cat([target, token[:, None]], dim=1)
        if ended.all():
            break
    made = target[:, 1:]
    return made[:, (made != PAD).any(dim=0)]

# %% exercise="greedy_decode" wrong="always_max_length_columns"
"""The result has max_length columns whatever happens, filled up with PAD: "L is the length of the longest row, so it is less than max_length when all rows end early"."""
@torch.no_grad()
def greedy_decode(model, source: Tensor, max_length: int) -> Tensor:
    memory, keep = model.encode(source)
    target = torch.full((len(source), max_length + 1), PAD, dtype=torch.int64, device=source.device)
    target[:, 0] = BOS
    ended = torch.zeros(len(source), dtype=torch.bool, device=source.device)
    for t in range(max_length):
        if ended.all():
            break
        token = model.decode(target[:, : t + 1], memory, keep)[:, -1].argmax(-1)
        target[:, t + 1] = token.masked_fill(ended, PAD)
        ended = ended | (target[:, t + 1] == EOS)
    return target[:, 1:]

# %% exercise="bleu" wrong="mean_of_sentence_scores"
"""Scores every sentence and averages: "Counts are summed over the whole corpus before anything is divided: this is not the mean of sentence scores"."""
def bleu(candidates: list[list], references: list[list[list]], max_n: int = 4) -> float:
    def grams(tokens, n):
        return Counter(tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1))

    def score(candidate, refs):
        precisions = []
        for n in range(1, max_n + 1):
            have, allowed = grams(candidate, n), Counter()
            for ref in refs:
                allowed |= grams(ref, n)
            hits = sum((have & allowed).values())
            if hits == 0:
                return 0.0
            precisions.append(hits / sum(have.values()))
        r = min((abs(len(x) - len(candidate)), len(x)) for x in refs)[1]
        penalty = min(1.0, math.exp(1 - r / len(candidate)))
        return penalty * math.prod(precisions) ** (1 / max_n)

    scores = [score(candidate, refs) for candidate, refs in zip(candidates, references)]
    return sum(scores) / len(scores)

# %% exercise="bleu" wrong="counts_of_the_references_added"
"""Adds the counts of all references instead of taking the largest: "clipped at the largest number of times it occurs in one reference"."""
def bleu(candidates: list[list], references: list[list[list]], max_n: int = 4) -> float:
    def grams(tokens, n):
        return Counter(tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1))

    product = 1.0
    for n in range(1, max_n + 1):
        hits = total = 0
        for candidate, refs in zip(candidates, references):
            have = grams(candidate, n)
            allowed = sum((grams(ref, n) for ref in refs), Counter())
            hits += sum((have & allowed).values())
            total += sum(have.values())
        if hits == 0:
            return 0.0
        product *= hits / total
    c = sum(len(candidate) for candidate in candidates)
    r = sum(min((abs(len(x) - len(cand)), len(x)) for x in refs)[1] for cand, refs in zip(candidates, references))
    return min(1.0, math.exp(1 - r / c)) * product ** (1 / max_n)

# %% exercise="bleu" wrong="empty_candidates_skipped"
"""Leaves sentences with an empty candidate out, so their reference length is missing in r: "An empty candidate is a sentence like the others"."""
def bleu(candidates: list[list], references: list[list[list]], max_n: int = 4) -> float:
    hits, totals = [0] * max_n, [0] * max_n
    c = r = 0
    for candidate, refs in zip(candidates, references):
        if not candidate:
            continue
        c += len(candidate)
        r += min((abs(len(ref) - len(candidate)), len(ref)) for ref in refs)[1]
        for n in range(1, max_n + 1):
            have = Counter(tuple(candidate[i : i + n]) for i in range(len(candidate) - n + 1))
            allowed = Counter()
            for ref in refs:
                allowed |= Counter(tuple(ref[i : i + n]) for i in range(len(ref) - n + 1))
            hits[n - 1] += sum((have & allowed).values())
            totals[n - 1] += sum(have.values())
    if min(hits) == 0:
        return 0.0
    precision = math.prod(h / t for h, t in zip(hits, totals)) ** (1 / max_n)
    return min(1.0, math.exp(1 - r / c)) * precision

# %% exercise="bleu" wrong="tie_goes_to_the_first"
"""On a tie the reference that stands first in the list gives its length: "the shorter one on a tie"."""
def bleu(candidates: list[list], references: list[list[list]], max_n: int = 4) -> float:
    hits, totals = [0] * max_n, [0] * max_n
    c = r = 0
    for candidate, refs in zip(candidates, references):
        c += len(candidate)
        r += min((len(ref) for ref in refs), key=lambda length: abs(length - len(candidate)))
        for n in range(1, max_n + 1):
            have = Counter(tuple(candidate[i : i + n]) for i in range(len(candidate) - n + 1))
            allowed = Counter()
            for ref in refs:
                allowed |= Counter(tuple(ref[i : i + n]) for i in range(len(ref) - n + 1))
            hits[n - 1] += sum((have & allowed).values())
            totals[n - 1] += sum(have.values())
    if min(hits) == 0:
        return 0.0
    precision = math.prod(h / t for h, t in zip(hits, totals)) ** (1 / max_n)
    return min(1.0, math.exp(1 - r / c)) * precision

# %% exercise="bleu" wrong="shortest_reference_2"
"""r adds up the shortest reference of each sentence, as NIST's script did: "the reference length nearest to the candidate's"."""
def bleu(candidates: list[list], references: list[list[list]], max_n: int = 4) -> float:
    hits, totals = [0] * max_n, [0] * max_n
    c = r = 0
    for candidate, refs in zip(candidates, references):
        c += len(candidate)
        r += min(len(ref) for ref in refs)
        for n in range(1, max_n + 1):
            have = Counter(tuple(candidate[i : i + n]) for i in range(len(candidate) - n + 1))
            allowed = Counter()
            for ref in refs:
                allowed |= Counter(tuple(ref[i : i + n]) for i in range(len(ref) - n + 1))
            hits[n - 1] += sum((have & allowed).values())
            totals[n - 1] += sum(have.values())
    if min(hits) == 0:
        return 0.0
    precision = math.prod(h / t for h, t in zip(hits, totals)) ** (1 / max_n)
    return min(1.0, math.exp(1 - r / c)) * precision

# %% exercise="bleu" wrong="always_the_fourth_root"
"""Takes the fourth root whatever max_n is: "n-grams from 1 to max_n, all with the same weight" (1 / max_n)."""
def bleu(candidates: list[list], references: list[list[list]], max_n: int = 4) -> float:
    def grams(tokens, n):
        return Counter(zip(*(tokens[i:] for i in range(n))))

    logs = 0.0
    for n in range(1, max_n + 1):
        hits = total = 0
        for candidate, refs in zip(candidates, references):
            have, allowed = grams(candidate, n), Counter()
            for ref in refs:
                allowed |= grams(ref, n)
            hits += sum((have & allowed).values())
            total += sum(have.values())
        if hits == 0:
            return 0.0
        logs += 0.25 * math.log(hits / total)
    c = sum(len(candidate) for candidate in candidates)
    r = sum(min((abs(len(x) - len(cand)), len(x)) for x in refs)[1] for cand, refs in zip(candidates, references))
    return min(1.0, math.exp(1 - r / c)) * math.exp(logs)

# %% exercise="bleu" wrong="orders_that_do_not_exist_are_skipped"
"""Where no candidate has an n-gram of some length, that n is left out of the mean: "0 ... where no candidate has an n-gram that long"."""
def bleu(candidates: list[list], references: list[list[list]], max_n: int = 4) -> float:
    def grams(tokens, n):
        return Counter(zip(*(tokens[i:] for i in range(n))))

    precisions = []
    for n in range(1, max_n + 1):
        hits = total = 0
        for candidate, refs in zip(candidates, references):
            have, allowed = grams(candidate, n), Counter()
            for ref in refs:
                allowed |= grams(ref, n)
            hits += sum((have & allowed).values())
            total += sum(have.values())
        if total:
            precisions.append(hits / total)
    if not precisions or min(precisions) == 0:
        return 0.0
    c = sum(len(candidate) for candidate in candidates)
    r = sum(min((abs(len(x) - len(cand)), len(x)) for x in refs)[1] for cand, refs in zip(candidates, references))
    return min(1.0, math.exp(1 - r / c)) * math.prod(precisions) ** (1 / len(precisions))

# %% exercise="bleu" wrong="tokens_glued_together"
"""An n-gram is the joined text of its tokens, so ("ab", "c") equals ("a", "bc"), and 1 equals "1": n-grams are lists of tokens, "strings or ints"."""
def bleu(candidates: list[list], references: list[list[list]], max_n: int = 4) -> float:
    def grams(tokens, n):
        return Counter("".join(map(str, tokens[i : i + n])) for i in range(len(tokens) - n + 1))

    product = 1.0
    for n in range(1, max_n + 1):
        hits = total = 0
        for candidate, refs in zip(candidates, references):
            have, allowed = grams(candidate, n), Counter()
            for ref in refs:
                allowed |= grams(ref, n)
            hits += sum((have & allowed).values())
            total += sum(have.values())
        if hits == 0:
            return 0.0
        product *= hits / total
    c = sum(len(candidate) for candidate in candidates)
    r = sum(min((abs(len(x) - len(cand)), len(x)) for x in refs)[1] for cand, refs in zip(candidates, references))
    return min(1.0, math.exp(1 - r / c)) * product ** (1 / max_n)

# %% exercise="bleu" wrong="long_candidates_are_rewarded"
"""The brevity factor is exp(1 - r / c) without the minimum, so it exceeds 1 when the candidates are longer: "min(1, e^(1 - r/c))", "a float from 0 to 1"."""
def bleu(candidates: list[list], references: list[list[list]], max_n: int = 4) -> float:
    def grams(tokens, n):
        return Counter(tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1))

    product = 1.0
    for n in range(1, max_n + 1):
        hits = total = 0
        for candidate, refs in zip(candidates, references):
            have, allowed = grams(candidate, n), Counter()
            for ref in refs:
                allowed |= grams(ref, n)
            hits += sum((have & allowed).values())
            total += sum(have.values())
        if hits == 0:
            return 0.0
        product *= hits / total
    c = sum(len(candidate) for candidate in candidates)
    r = sum(min((abs(len(x) - len(cand)), len(x)) for x in refs)[1] for cand, refs in zip(candidates, references))
    return math.exp(1 - r / c) * product ** (1 / max_n)

# %% exercise="translation_finding" wrong="in_percent"
"""Gives percentages: the docstring asks for a share, from 0 to 1."""
translation_finding = {"right": 99.02, "exact": 95.11, "ceiling": 95.83, "group": "fr short", "missing": "year"}

# %% exercise="translation_finding" wrong="exact_and_right_exchanged"
""""right" and "exact" are exchanged: exact match would be larger than the share of right answers and than the ceiling."""
translation_finding = {"right": 0.9511, "exact": 0.9902, "ceiling": 0.9583, "group": "fr short", "missing": "year"}

# %% exercise="translation_finding" wrong="a_ceiling_of_one"
"""Takes 1 for the ceiling, as if each source had one answer: "the best exact match that any translator can reach on these pairs"."""
translation_finding = {"right": 0.9902, "exact": 0.9511, "ceiling": 1.0, "group": "fr short", "missing": "year"}

# %% exercise="translation_finding" wrong="undecidable_pairs_are_all_lost"
"""The ceiling counts a source with two right answers as a certain miss, not as one of two: it lies below the exact match that was reached."""
translation_finding = {"right": 0.9902, "exact": 0.9511, "ceiling": 0.9167, "group": "fr short", "missing": "year"}

# %% exercise="translation_finding" wrong="the_group_of_may"
"""Names the German dates of May, the smaller one of the undecidable groups: "the language and style with the most outputs that are not their reference"."""
translation_finding = {"right": 0.9902, "exact": 0.9511, "ceiling": 0.9583, "group": "de long", "missing": "year"}

# %% exercise="translation_finding" wrong="the_month_is_missing"
"""Says that the month is missing in 5/16/35: it is there, what the source does not say is the century of the year."""
translation_finding = {"right": 0.9902, "exact": 0.9511, "ceiling": 0.9583, "group": "fr short", "missing": "month"}

# %% exercise="translation_finding" wrong="token_accuracy_for_exact"
"""Copies the token accuracy of the printed line in the place of the exact match: no exact match can lie above the ceiling."""
translation_finding = {"right": 0.9902, "exact": 0.9874, "ceiling": 0.9583, "group": "fr short", "missing": "year"}

# %% exercise="repaired_loss" wrong="not_shifted_at_all"
"""Removes both shifts: the decoder reads the token that it is scored on (section 9: "the answer stands at position t")."""
def repaired_loss(model, source: Tensor, target: Tensor) -> Tensor:
    logits = model(source, target)
    return nn.functional.cross_entropy(logits.flatten(0, 1), target.flatten(), ignore_index=PAD)

# %% exercise="repaired_loss" wrong="first_token_never_asked"
"""Feeds target[:, :-1] and scores on target[:, 1:], as for a target that begins with BOS: "over all real tokens of the batch, the first token and EOS among them"."""
def repaired_loss(model, source: Tensor, target: Tensor) -> Tensor:
    logits = model(source, target[:, :-1])
    return nn.functional.cross_entropy(logits.flatten(0, 1), target[:, 1:].flatten(), ignore_index=PAD)

# %% exercise="repaired_loss" wrong="smoothed_by_default"
"""Uses smoothed_cross_entropy with its default of 0.1: "without smoothing"."""
def repaired_loss(model, source: Tensor, target: Tensor) -> Tensor:
    return smoothed_cross_entropy(model(source, shift_right(target)), target)

# %% exercise="repaired_loss" wrong="padding_counts_2"
"""Forgets ignore_index, so the padded places are scored too: "over all real tokens of the batch"."""
def repaired_loss(model, source: Tensor, target: Tensor) -> Tensor:
    logits = model(source, shift_right(target))
    return nn.functional.cross_entropy(logits.flatten(0, 1), target.flatten())

# %% exercise="repaired_loss" wrong="reshaped_instead_of_transposed"
"""Makes (B, V, T) out of (B, T, V) with reshape, which mixes positions and classes: no longer the cross-entropy of these logits."""
def repaired_loss(model, source: Tensor, target: Tensor) -> Tensor:
    logits = model(source, shift_right(target))
    B, T, V = logits.shape
    return nn.functional.cross_entropy(logits.reshape(B, V, T), target, ignore_index=PAD)

# %% exercise="repaired_loss" wrong="sets_training_mode"
"""Calls model.train() because it is a training loss: "The model stays in its mode (train or eval)"."""
def repaired_loss(model, source: Tensor, target: Tensor) -> Tensor:
    if isinstance(model, nn.Module):
        model.train()
    logits = model(source, shift_right(target))
    return nn.functional.cross_entropy(logits.flatten(0, 1), target.flatten(), ignore_index=PAD)

# %% exercise="repaired_loss" wrong="eos_left_out"
"""Scores only tokens above EOS: "over all real tokens of the batch, the first token and EOS among them"."""
def repaired_loss(model, source: Tensor, target: Tensor) -> Tensor:
    logits = model(source, shift_right(target))
    real = (target != PAD) & (target != EOS)
    return nn.functional.cross_entropy(logits[real], target[real], reduction="sum") / real.sum().clamp(min=1)

# %% exercise="repaired_loss" wrong="a_number_without_a_graph"
"""Makes a new tensor of the loss's number: "gradients flow through it"."""
def repaired_loss(model, source: Tensor, target: Tensor) -> Tensor:
    logits = model(source, shift_right(target))
    total = 0.0
    for row, answers in zip(logits, target):
        total += nn.functional.cross_entropy(row, answers, ignore_index=PAD, reduction="sum").item()
    return torch.tensor(total / (target != PAD).sum().item())

# %% exercise="repaired_validation" wrong="mode_noted_too_late"
"""Notes model.training after model.eval(), so it always gives back evaluation mode: "Afterwards the model is in the mode in which it came"."""
@torch.no_grad()
def repaired_validation(model, batches: list[tuple[Tensor, Tensor]]) -> float:
    model.eval()
    mode = model.training
    total, tokens = 0.0, 0
    for source, target in batches:
        count = (target != PAD).sum().item()
        total += repaired_loss(model, source, target).item() * count
        tokens += count
    model.train(mode)
    return total / tokens

# %% exercise="repaired_validation" wrong="always_back_to_training"
"""Calls model.train() at the end, also for a model that came in evaluation mode: "in the mode in which it came"."""
@torch.no_grad()
def repaired_validation(model, batches: list[tuple[Tensor, Tensor]]) -> float:
    model.eval()
    total, tokens = 0.0, 0
    for source, target in batches:
        count = (target != PAD).sum().item()
        total += repaired_loss(model, source, target).item() * count
        tokens += count
    model.train()
    return total / tokens

# %% exercise="repaired_validation" wrong="mode_given_back_inside_the_loop"
"""model.train(mode) stands inside the loop, so from the second batch on it is measured in training mode: "measured in evaluation mode"."""
@torch.no_grad()
def repaired_validation(model, batches: list[tuple[Tensor, Tensor]]) -> float:
    mode = model.training
    model.eval()
    total, tokens = 0.0, 0
    for source, target in batches:
        count = (target != PAD).sum().item()
        total += repaired_loss(model, source, target).item() * count
        tokens += count
        model.train(mode)
    return total / tokens

# %% exercise="repaired_validation" wrong="weighted_by_rows"
"""Weighs a batch by its number of sentences, not of tokens: "every token of all batches counting the same"."""
@torch.no_grad()
def repaired_validation(model, batches: list[tuple[Tensor, Tensor]]) -> float:
    mode = model.training
    model.eval()
    total = sum(repaired_loss(model, source, target).item() * len(target) for source, target in batches)
    model.train(mode)
    return total / sum(len(target) for _, target in batches)

# %% exercise="repaired_validation" wrong="padding_in_the_weights"
"""Weighs a batch by target.numel(), with its padding: "nats per real token"."""
@torch.no_grad()
def repaired_validation(model, batches: list[tuple[Tensor, Tensor]]) -> float:
    mode = model.training
    model.eval()
    total, places = 0.0, 0
    for source, target in batches:
        total += repaired_loss(model, source, target).item() * target.numel()
        places += target.numel()
    model.train(mode)
    return total / places

# %% exercise="repaired_validation" wrong="means_over_tokens"
"""Adds up the mean losses of the batches without multiplying by their tokens and divides by all tokens: not "cross-entropy in nats per real token"."""
@torch.no_grad()
def repaired_validation(model, batches: list[tuple[Tensor, Tensor]]) -> float:
    mode = model.training
    model.eval()
    total, tokens = 0.0, 0
    for source, target in batches:
        total += repaired_loss(model, source, target).item()
        tokens += (target != PAD).sum().item()
    model.train(mode)
    return total / tokens

# %% exercise="repaired_validation" wrong="graph_is_built"
"""No torch.no_grad() around the loop: "without recording gradients"."""
def repaired_validation(model, batches: list[tuple[Tensor, Tensor]]) -> float:
    mode = model.training
    model.eval()
    total, tokens = 0.0, 0
    for source, target in batches:
        count = (target != PAD).sum().item()
        total += repaired_loss(model, source, target).item() * count
        tokens += count
    model.train(mode)
    return total / tokens

# %% exercise="repaired_validation" wrong="dropout_still_on"
"""Takes torch.no_grad() for evaluation mode and never calls eval(): "measured in evaluation mode"."""
@torch.no_grad()
def repaired_validation(model, batches: list[tuple[Tensor, Tensor]]) -> float:
    total, tokens = 0.0, 0
    for source, target in batches:
        count = (target != PAD).sum().item()
        total += repaired_loss(model, source, target).item() * count
        tokens += count
    return total / tokens
