"""Right answers to unit 04 by readers who saw the released notebook only: tests/test_readers.py judges them."""

# %% exercise="Transformer" right="persistent_positions"
"""Positions in a persistent buffer (the usual register_buffer)."""
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
        self.register_buffer("positions", sinusoidal_encoding(max_length, width))

    def embed(self, embedding, ids):
        T = ids.shape[1]
        if T > self.max_length:
            raise ValueError(f"sequence of length {T} is longer than {self.max_length}")
        x = embedding(ids) * math.sqrt(self.width)
        pos = self.positions[:T]
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

# %% exercise="Transformer" right="causal_buffer"
"""A persistent causal mask of max_length."""
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
        self.register_buffer("causal", torch.ones(max_length, max_length, dtype=torch.bool).tril())

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
        causal = self.causal[:T, :T]
        x = self.embed(self.target_embedding, target)
        for layer in self.decoder:
            x = layer(x, memory, causal, source_keep[:, None, None, :])
        return self.decoder_norm(x) @ self.target_embedding.weight.T

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        return self.decode(target, *self.encode(source))

# %% exercise="FeedForward" right="raises_in_forward"
"""The ValueError comes when the layer is called."""
class FeedForward(nn.Module):
    def __init__(self, width: int, hidden: int, activation: str = "relu"):
        super().__init__()
        self.activation = activation
        self.up = nn.Linear(width, hidden)
        self.down = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        h = self.up(x)
        if self.activation not in ("relu", "gelu"):
            raise ValueError(self.activation)
        h = torch.relu(h) if self.activation == "relu" else nn.functional.gelu(h)
        return self.down(h)

# %% exercise="warmup_schedule" right="tensor"
"""A tensor of one number counts as a float, as the prompt says."""
# a tensor
def warmup_schedule(step: int, width: int, warmup: int = 4000, factor: float = 1.0) -> float:
    if step < 1:
        raise ValueError("step counts from 1")
    return torch.tensor(factor * width**-0.5 * min(step**-0.5, step * warmup**-1.5))

# %% exercise="repaired_validation" right="tensor"
"""A tensor of one number counts as a float, as the prompt says."""
# returns a tensor
def repaired_validation(model, batches: list[tuple[Tensor, Tensor]]) -> float:
    was_training = model.training
    model.eval()
    total, count = 0.0, 0
    with torch.no_grad():
        for source, target in batches:
            n = (target != PAD).sum().item()
            total += repaired_loss(model, source, target).item() * n
            count += n
    model.train(was_training)
    return torch.tensor(total / count)

# %% exercise="LayerNorm" right="std_squared"
"""The variance as the square of the standard deviation, whose gradient at 0 is 0 in torch."""
# sqrt(std^2 + eps): the gradient of std is NaN for a vector of equal numbers
class LayerNorm(nn.Module):
    def __init__(self, width: int, eps: float = 1e-5):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean(dim=-1, keepdim=True)
        var = x.std(dim=-1, keepdim=True, unbiased=False) ** 2
        return (x - mean) / torch.sqrt(var + self.eps) * self.weight + self.bias

