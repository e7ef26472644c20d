"""Right answers to unit 04 by readers who saw the released notebook only: tests/test_readers.py judges them."""

# %% exercise="Transformer" right="persistent_positions"
"""As a reader wrote it."""
# positions in a persistent buffer (the usual register_buffer)
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
"""As a reader wrote it."""
# a persistent causal mask of max_length
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
"""As a reader wrote it."""
# the ValueError comes when the layer is called
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
