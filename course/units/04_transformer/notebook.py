# %% [markdown]
r"""
# 04 · The Transformer

You build the model of 2017 from its parts: normalisation, feed-forward layers, encoder and decoder layers, and the whole
encoder-decoder. You measure why the place of one normalisation decides whether a deep stack trains. Then you train the
model to translate, and write the kernels that its normalisation and its loss run on.

**You need** unit 02 (attention and masks), unit 03 (embeddings and positions) and unit 00 (programs, offsets, masks in
Triton).

**Conventions, for the whole unit:**

| what | here |
| --- | --- |
| letters | `B` batch, `T` target length, `S` source length, `D` width, `H` heads, `V` vocabulary, `F` hidden width of the feed-forward layers |
| boolean mask | `True` = this query **may look** at this key, as in unit 02 |
| `keep` | (B, S) bool, `True` = a real token, `False` = padding |
| special tokens | 0 = PAD, 1 = BOS (begins a target), 2 = EOS (ends one) |
| `eps` | stands **inside** the root |
| `norm="pre"` / `"post"` | normalise what goes **into** a sublayer / the **sum** behind it |

Attention was unit 02's exercise and sinusoidal positions were unit 03's: both are given here, in `course.models`. Below
every exercise stand two folded hints and a check. Run the check as often as you like.
"""

# %% tags=["parameters"]
profile = "fast"  # ten seeds for each measurement; "full" takes thirty
seed = 0
device = "cpu"

# %%
import math

import matplotlib
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from course import check, models, plots, ready
from course.models import MultiHeadAttention, sinusoidal_encoding

matplotlib.rcParams.update(plots.STYLE)
torch.set_num_threads(1)  # the matrices here are small: a second thread would cost more than it brings
RUNS = range(seed, seed + (10 if profile == "fast" else 30))  # seeds of every measurement below
PAD, BOS, EOS = 0, 1, 2

# %% exercise="LayerNorm"
class LayerNorm(nn.Module):
    """Layer normalisation: every vector gets mean 0 and variance 1, then a scale and a shift for each coordinate.

    width  D
    eps    added to the variance, inside the root

    Parameters, by their names in the state dict: `weight` (D,), ones at first; `bias` (D,), zeros at first.

        y = (x - mean) / sqrt(variance + eps) * weight + bias

    Mean and variance are taken over the D coordinates of one vector; the variance divides by D.

    Source: Ba, Kiros and Hinton 2016, "Layer Normalization", section 3, equations 3 and 4.
    Difficulty 1 of 5, about 10 minutes.
    """

    def __init__(self, width: int, eps: float = 1e-5):
        super().__init__()
        ### BEGIN SOLUTION
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))
        ### END SOLUTION

    def forward(self, x: Tensor) -> Tensor:
        """x (..., D) -> (..., D), same dtype."""
        ### BEGIN SOLUTION
        centred = x - x.mean(dim=-1, keepdim=True)
        variance = centred.square().mean(dim=-1, keepdim=True)
        return centred * torch.rsqrt(variance + self.eps) * self.weight + self.bias
        ### END SOLUTION

# %% check="LayerNorm" points=2

# %% exercise="RMSNorm"
class RMSNorm(nn.Module):
    """Root-mean-square normalisation: each vector is divided by its root mean square. No mean, no shift.

    width  D
    eps    added to the mean square, inside the root

    Parameter, by its name in the state dict: `weight` (D,), ones at first.

        y = x / sqrt(mean(x^2) + eps) * weight

    float16 and bfloat16 vectors are squared, averaged and scaled in float32; the result is rounded to x's dtype at the
    end. float32 and float64 stay what they are.

    Source: Zhang and Sennrich 2019, "Root Mean Square Layer Normalization", section 4, equation 4.
    Difficulty 2 of 5, about 10 minutes.
    """

    def __init__(self, width: int, eps: float = 1e-6):
        super().__init__()
        ### BEGIN SOLUTION
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width))
        ### END SOLUTION

    def forward(self, x: Tensor) -> Tensor:
        """x (..., D) -> (..., D), same dtype."""
        ### BEGIN SOLUTION
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        mean_square = wide.square().mean(dim=-1, keepdim=True)
        return (wide * torch.rsqrt(mean_square + self.eps) * self.weight).to(x.dtype)
        ### END SOLUTION

# %% check="RMSNorm" points=2

# %% exercise="BatchNorm"
class BatchNorm(nn.Module):
    """Batch normalisation of (..., D): each of the D coordinates gets mean 0 and variance 1 over all other axes.

    width     D
    eps       added to the variance, inside the root
    momentum  how much of the newest batch goes into the running statistics:
              running = (1 - momentum) * running + momentum * batch   (torch's convention)

    Parameters: `weight` (D,), ones at first; `bias` (D,), zeros at first. Buffers, in the state dict too:
    `running_mean` (D,), zeros at first; `running_var` (D,), ones at first.

    In training (`self.training`) it normalises with mean and variance of this batch, the variance dividing by the
    number N of vectors, and moves the running statistics; into `running_var` goes the unbiased variance, which divides
    by N - 1. In evaluation it normalises with the running statistics and leaves them alone. N is at least 2 in
    training.

    Source: Ioffe and Szegedy 2015, "Batch Normalization: Accelerating Deep Network Training by Reducing Internal
    Covariate Shift", algorithms 1 and 2.
    Difficulty 3 of 5, about 20 minutes.
    """

    def __init__(self, width: int, eps: float = 1e-5, momentum: float = 0.1):
        super().__init__()
        ### BEGIN SOLUTION
        self.eps, self.momentum = eps, momentum
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))
        self.register_buffer("running_mean", torch.zeros(width))
        self.register_buffer("running_var", torch.ones(width))
        ### END SOLUTION

    def forward(self, x: Tensor) -> Tensor:
        """x (..., D) -> (..., D)."""
        ### BEGIN SOLUTION
        mean, variance = self.running_mean, self.running_var
        if self.training:
            vectors = x.reshape(-1, x.shape[-1])  # (N, D)
            mean, variance = vectors.mean(dim=0), vectors.var(dim=0, correction=0)
            with torch.no_grad():
                self.running_mean.lerp_(mean, self.momentum)
                self.running_var.lerp_(vectors.var(dim=0), self.momentum)
        return (x - mean) / torch.sqrt(variance + self.eps) * self.weight + self.bias
        ### END SOLUTION

# %% check="BatchNorm" points=4

# %% exercise="FeedForward"
class FeedForward(nn.Module):
    """Two linear maps with a nonlinearity between them, applied to every token on its own.

    width       D
    hidden      F
    activation  "relu", or "gelu" for the exact GELU, x * Phi(x) with Phi the normal distribution function (erf, no
                tanh approximation); anything else raises ValueError

    Parameters, by their names in the state dict: `up`, an nn.Linear(D, F), and `down`, an nn.Linear(F, D), with biases.

        y = down(activation(up(x)))

    Source: Vaswani et al. 2017, section 3.3, equation 2; GELU: Hendrycks and Gimpel 2016, "Gaussian Error Linear Units".
    Difficulty 1 of 5, about 8 minutes.
    """

    def __init__(self, width: int, hidden: int, activation: str = "relu"):
        super().__init__()
        ### BEGIN SOLUTION
        known = {"relu": nn.functional.relu, "gelu": nn.functional.gelu}  # this gelu is the exact one unless told
        if activation not in known:
            raise ValueError(f"activation is 'relu' or 'gelu', not {activation!r}")
        self.activation = known[activation]
        self.up = nn.Linear(width, hidden)
        self.down = nn.Linear(hidden, width)
        ### END SOLUTION

    def forward(self, x: Tensor) -> Tensor:
        """x (..., D) -> (..., D)."""
        ### BEGIN SOLUTION
        return self.down(self.activation(self.up(x)))
        ### END SOLUTION

# %% check="FeedForward" points=2

# %% exercise="SwiGLU"
class SwiGLU(nn.Module):
    """The gated feed-forward layer of Llama: one branch opens and closes the other, coordinate by coordinate.

    width   D
    hidden  F

    Parameters, by their names in the state dict: `gate` and `up`, each an nn.Linear(D, F), and `down`, an
    nn.Linear(F, D); no biases.

        y = down(silu(gate(x)) * up(x)),    silu(z) = z * sigmoid(z)

    Source: Shazeer 2020, "GLU Variants Improve Transformer", section 2, equation 6.
    Difficulty 1 of 5, about 8 minutes.
    """

    def __init__(self, width: int, hidden: int):
        super().__init__()
        ### BEGIN SOLUTION
        self.gate = nn.Linear(width, hidden, bias=False)
        self.up = nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)
        ### END SOLUTION

    def forward(self, x: Tensor) -> Tensor:
        """x (..., D) -> (..., D)."""
        ### BEGIN SOLUTION
        return self.down(nn.functional.silu(self.gate(x)) * self.up(x))
        ### END SOLUTION

# %% check="SwiGLU" points=2

# %% exercise="EncoderLayer"
class EncoderLayer(nn.Module):
    """Self-attention, then a feed-forward layer; each is added to the stream, with a normalisation before or behind.

    width       D
    heads       H
    hidden      F
    norm        "pre":  x = x + dropout(sublayer(norm(x)))
                "post": x = norm(x + dropout(sublayer(x)));  anything else raises ValueError
    activation  of FeedForward, "relu" or "gelu"
    dropout     probability from 0 to 1 that a number of a sublayer's output is set to zero, in training only

    Parts, by their names in the state dict: `attention`, a MultiHeadAttention; `norm1`, a LayerNorm, belongs to it;
    `feed_forward`, a FeedForward; `norm2` belongs to that. eps as in LayerNorm.

    Source: Vaswani et al. 2017, section 3.1 and figure 1 (post-norm), section 5.4 (dropout); Xiong et al. 2020, "On
    Layer Normalization in the Transformer Architecture", figure 1 (both).
    Difficulty 2 of 5, about 20 minutes.
    """

    def __init__(
        self, width: int, heads: int, hidden: int, norm: str = "pre", activation: str = "relu", dropout: float = 0.0
    ):
        super().__init__()
        ### BEGIN SOLUTION
        if norm not in ("pre", "post"):
            raise ValueError(f"norm is 'pre' or 'post', not {norm!r}")
        self.pre = norm == "pre"
        self.attention, self.norm1 = MultiHeadAttention(width, heads), LayerNorm(width)
        self.feed_forward, self.norm2 = FeedForward(width, hidden, activation), LayerNorm(width)
        self.dropout = nn.Dropout(dropout)
        ### END SOLUTION

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """x (B, S, D), mask broadcastable to (B, H, S, S), True = may look -> (B, S, D)."""
        ### BEGIN SOLUTION
        if self.pre:
            x = x + self.dropout(self.attention(self.norm1(x), mask)[0])
            return x + self.dropout(self.feed_forward(self.norm2(x)))
        x = self.norm1(x + self.dropout(self.attention(x, mask)[0]))
        return self.norm2(x + self.dropout(self.feed_forward(x)))
        ### END SOLUTION

# %% check="EncoderLayer" points=4

# %% exercise="DecoderLayer"
class DecoderLayer(nn.Module):
    """Self-attention, cross-attention to the encoder's output, feed-forward: three sublayers, each added to the stream.

    Arguments as in EncoderLayer.

    Parts, by their names in the state dict, in the order in which they act: `self_attention` with `norm1`,
    `cross_attention` with `norm2`, `feed_forward` with `norm3`.

    The memory is read as it is: no norm of this layer acts on it. The layer hides nothing by itself; the masks that it
    is given say who may look where.

    Source: Vaswani et al. 2017, section 3.1 and figure 1.
    Difficulty 3 of 5, about 20 minutes.
    """

    def __init__(
        self, width: int, heads: int, hidden: int, norm: str = "pre", activation: str = "relu", dropout: float = 0.0
    ):
        super().__init__()
        ### BEGIN SOLUTION
        if norm not in ("pre", "post"):
            raise ValueError(f"norm is 'pre' or 'post', not {norm!r}")
        self.pre = norm == "pre"
        self.self_attention, self.norm1 = MultiHeadAttention(width, heads), LayerNorm(width)
        self.cross_attention, self.norm2 = MultiHeadAttention(width, heads), LayerNorm(width)
        self.feed_forward, self.norm3 = FeedForward(width, hidden, activation), LayerNorm(width)
        self.dropout = nn.Dropout(dropout)
        ### END SOLUTION

    def forward(
        self, x: Tensor, memory: Tensor, mask: Tensor | None = None, memory_mask: Tensor | None = None
    ) -> Tensor:
        """x (B, T, D) target stream, memory (B, S, D) -> (B, T, D).

        mask         broadcastable to (B, H, T, T), True = may look; usually causal
        memory_mask  broadcastable to (B, H, T, S), True = may look; usually hides the padding of the source
        """
        ### BEGIN SOLUTION
        sublayers = (
            (self.norm1, lambda x: self.self_attention(x, mask)[0]),
            (self.norm2, lambda x: self.cross_attention(x, memory_mask, memory)[0]),
            (self.norm3, self.feed_forward),
        )
        for norm, sublayer in sublayers:
            x = x + self.dropout(sublayer(norm(x))) if self.pre else norm(x + self.dropout(sublayer(x)))
        return x
        ### END SOLUTION

# %% check="DecoderLayer" points=4

# %% exercise="Transformer"
class Transformer(nn.Module):
    """The encoder-decoder of 2017.

    source_vocab, target_vocab  sizes of the two vocabularies
    width, heads, layers, hidden  D, H, layers of the encoder and as many of the decoder, F
    norm, activation, dropout   of every layer; dropout also acts on the sum of embedding and position
    max_length                  longest sequence; a longer one raises ValueError

    Parts, by their names in the state dict: `source_embedding` and `target_embedding`, each an nn.Embedding;
    `encoder.0`, `encoder.1` ... (EncoderLayer), `decoder.0` ... (DecoderLayer); with norm="pre" also `encoder_norm` and
    `decoder_norm` (LayerNorm) behind the last layer of each side, since nothing else normalises the stream there.

    - Embeddings are multiplied by sqrt(D), then sinusoidal_encoding is added. At the start they are normal with
      standard deviation 1 / sqrt(D).
    - The output head is the target embedding: logits = x @ target_embedding.weight.T, no bias.
    - Position t of the target sees targets 0 to t. Padding of the source is hidden from every query, in the encoder and
      in the decoder. Padding of the target stands behind its tokens, so the causal mask hides it from them.

    Source: Vaswani et al. 2017, sections 3.1 to 3.5 (3.4: embeddings, their scale and the shared head).
    Difficulty 4 of 5, about 40 minutes.
    """

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
        ### BEGIN SOLUTION
        options = (width, heads, hidden, norm, activation, dropout)
        self.source_embedding = nn.Embedding(source_vocab, width)
        self.target_embedding = nn.Embedding(target_vocab, width)
        self.encoder = nn.ModuleList(EncoderLayer(*options) for _ in range(layers))
        self.decoder = nn.ModuleList(DecoderLayer(*options) for _ in range(layers))
        self.encoder_norm = LayerNorm(width) if norm == "pre" else nn.Identity()
        self.decoder_norm = LayerNorm(width) if norm == "pre" else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.register_buffer("positions", sinusoidal_encoding(max_length, width), persistent=False)
        for embedding in (self.source_embedding, self.target_embedding):
            nn.init.normal_(embedding.weight, std=width**-0.5)
        ### END SOLUTION

    def encode(self, source: Tensor) -> tuple[Tensor, Tensor]:
        """source (B, S) int64 -> memory (B, S, D), keep (B, S) bool, True where the source is no padding."""
        ### BEGIN SOLUTION
        keep = source != PAD
        x = self.embedded(source, self.source_embedding)
        for layer in self.encoder:
            x = layer(x, keep[:, None, None, :])
        return self.encoder_norm(x), keep
        ### END SOLUTION

    def decode(self, target: Tensor, memory: Tensor, source_keep: Tensor) -> Tensor:
        """target (B, T) int64, memory (B, S, D) and source_keep (B, S) as `encode` gives them -> logits (B, T, V)."""
        ### BEGIN SOLUTION
        T = target.shape[1]
        causal = torch.ones(T, T, dtype=torch.bool, device=target.device).tril()
        x = self.embedded(target, self.target_embedding)
        for layer in self.decoder:
            x = layer(x, memory, causal, source_keep[:, None, None, :])
        return self.decoder_norm(x) @ self.target_embedding.weight.T
        ### END SOLUTION

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """source (B, S), target (B, T) int64 -> logits (B, T, V): decode what encode gives."""
        ### BEGIN SOLUTION
        return self.decode(target, *self.encode(source))

    def embedded(self, ids: Tensor, table: nn.Embedding) -> Tensor:
        """(B, T) ids -> (B, T, D): scaled embeddings plus positions."""
        T, D = ids.shape[1], table.embedding_dim
        if T > len(self.positions):
            raise ValueError(f"a sequence of {T} tokens is longer than max_length={len(self.positions)}")
        return self.dropout(table(ids) * math.sqrt(D) + self.positions[:T])
        ### END SOLUTION

# %% check="Transformer" points=6
