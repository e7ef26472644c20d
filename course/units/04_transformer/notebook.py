# %% [markdown]
r"""
# 04 · The Transformer

You build the model of 2017 from its parts: normalisation, feed-forward layers, encoder and decoder layers, and the
whole encoder-decoder. You measure what the place of one normalisation does to the gradients of a deep stack. Then you
train the model to translate, and write the kernels that its normalisation and its loss run on.

**You need** unit 02 (attention and masks), unit 03 (embeddings and positions) and unit 00 (programs, offsets, masks
in Triton).

**Conventions, for the whole unit:**

| what | here |
| --- | --- |
| letters | `B` batch, `T` target length, `S` source length, `D` width, `H` heads, `V` vocabulary, `F` hidden width |
| boolean mask | `True` = this query **may look** at this key, as in unit 02 |
| `keep` | (B, S) bool, `True` = a real token, `False` = padding |
| special tokens | 0 = PAD, 1 = BOS (begins a target), 2 = EOS (ends one) |
| `eps` | stands **inside** the root |
| `norm="pre"` / `"post"` | normalise what goes **into** a sublayer / the **sum** behind it |

Attention was unit 02's exercise and sinusoidal positions were unit 03's: both are given here, in `course.models`.
Below every exercise stand two folded hints and a check. Run the check as often as you like.
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
Mask = Tensor | None  # bool, True = may look; None hides nothing

# %% [markdown]
r"""
## 1. Why

Unit 02 built attention, unit 03 gave it tokens and positions. Attention moves information *between* tokens: each
output is a weighted mean of values. Is a stack of such layers a model?

The figure says no. It measures how different the 24 tokens of a random sequence still are after each layer: the
distance of all vectors from their common mean, relative to their size. Means of means come together. Four layers of
attention alone leave 24 copies of one vector, up to rounding (Dong, Cordonnier and Loukas 2021, "Attention is not all
you need: pure attention loses rank doubly exponentially with depth"). Adding each layer's input back slows it down.
Whole Transformer layers, which also normalise and compute something on each token, keep the tokens apart longest. No
training; ten seeds; line and band are median and range.
"""

# %%
DEPTH, WIDE, TOKENS = 12, 64, 24


def unequal(x):
    """How far the tokens of x (1, T, D) are from their common mean, relative to their size."""
    return ((x - x.mean(dim=1, keepdim=True)).norm() / x.norm()).item()


@torch.no_grad()
def through_depth(kind, run):
    """(DEPTH + 1,) unequal(x) before the first layer and behind each; Xavier-initialised weights."""
    torch.manual_seed(run)
    if kind == "whole layers":
        stack = [nn.TransformerEncoderLayer(WIDE, 4, 4 * WIDE, 0.0, batch_first=True, norm_first=True)
                 for _ in range(DEPTH)]
    else:
        stack = [MultiHeadAttention(WIDE, 4) for _ in range(DEPTH)]
    for matrix in (p for part in stack for p in part.parameters() if p.dim() == 2):
        nn.init.xavier_normal_(matrix)
    x = torch.randn(1, TOKENS, WIDE)
    found = [unequal(x)]
    for part in stack:
        made = part(x) if kind == "whole layers" else part(x)[0]
        x = x + made if kind == "attention, input added" else made
        found.append(unequal(x))
    return torch.tensor(found)


figure, axes = plots.new(7, 3.2)
for kind, style in (("attention alone", "--"), ("attention, input added", "-."), ("whole layers", "-")):
    left_over = torch.stack([through_depth(kind, run) for run in RUNS])
    axes.semilogy(left_over.median(0).values, style, label=kind)
    axes.fill_between(range(DEPTH + 1), left_over.amin(0), left_over.amax(0), alpha=0.2)
    deepest = left_over[:, -1]
    print(f"{kind:24s} behind layer 4: {left_over[:, 4].median():.1e}, behind layer {DEPTH}: {deepest.median():.1e} "
          f"({deepest.min():.1e} to {deepest.max():.1e})")
axes.set(xlabel="layers", ylabel="difference between tokens", title="What is left of 24 different tokens?")
plots.legend(axes, "center right")
plots.show(figure, alt="Difference between tokens over depth: attention alone falls to rounding errors in four layers.")

# %% [markdown]
r"""
So three things are missing, and this unit writes them: the **residual stream** that every sublayer adds to,
**normalisation** that keeps the stream in a range, and a **feed-forward layer** that computes on each token. Then the
parts become an encoder, a decoder and a model.

## 2. Normalisation

A sublayer adds to the stream, so the stream grows. Normalisation brings a vector back to a fixed size. Whose mean and
variance? That is the only question, and it has three answers here.

| | mean and variance of | parameters | statistics kept |
| --- | --- | --- | --- |
| LayerNorm | the coordinates of **one token** | scale, shift | none |
| RMSNorm | the coordinates of one token; no mean | scale | none |
| BatchNorm | one coordinate over **all tokens of the batch** | scale, shift | running mean and variance |
"""

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

# %% [markdown]
r"""
RMSNorm leaves the mean alone. It is cheaper by one reduction, Zhang and Sennrich found it as good as LayerNorm in
their experiments, and Llama and many later language models use it. Half precision needs care: 400 squared is 160,000,
and float16 ends at 65,504.
"""

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

# %% [markdown]
r"""
Batch normalisation came first (2015) and made deep image models trainable. It asks another question: how large is
this coordinate, compared with the same coordinate of the other examples? While training the answer comes from the
batch. Later there may be no batch, so it comes from a record that was kept: **two modes**, one layer.
"""

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

# %% [markdown]
r"""
Why not here? Take a sentence of 12 tokens. Keep it as it is and change its neighbours in the batch, or pad them. How
much does *its* output change, relative to its size?
"""

# %%
if ready(lambda: (BatchNorm(2)(torch.zeros(1, 2, 2)), LayerNorm(2)(torch.zeros(1, 2)))):
    changes = {}
    for run in RUNS:
        gen = torch.Generator().manual_seed(run)
        sentence, friends, others = (torch.randn(n, 12, 16, generator=gen) for n in (1, 3, 3))
        padded = friends.clone()
        padded[:, 6:] = 0.0
        for layer_name, make in (("BatchNorm, training", BatchNorm), ("LayerNorm", LayerNorm)):
            before = make(16)(torch.cat([sentence, friends]))[0]
            for what, now in (("other neighbours", others), ("neighbours padded", padded)):
                after = make(16)(torch.cat([sentence, now]))[0]
                changes.setdefault((layer_name, what), []).append(((after - before).norm() / before.norm()).item())
    print(f"relative change of one sentence's output, {len(RUNS)} seeds: median (smallest to largest)")
    for (layer_name, what), values in changes.items():
        values = sorted(values)
        print(f"{layer_name:20s} {what:18s} {values[len(values) // 2]:.3f}  ({values[0]:.3f} to {values[-1]:.3f})")

# %% [markdown]
r"""
With batch normalisation a translation depends on who else is being translated, and on how much they were padded. In
evaluation the running statistics take over and the dependence is gone, but now the layer computes something it never
computed in training. How far the two are apart depends on how much the statistics fluctuate from batch to batch. Text
has been measured to be much worse than images (Shen et al. 2020, "PowerNorm: Rethinking Batch Normalization in
Transformers"). A decoder that writes one token at a time would have a batch of one vector. Layer normalisation has
one mode and needs nobody else.

## 3. The feed-forward layer

Attention mixes tokens with weights that depend on the input, but what it mixes are linear maps of them. The
feed-forward layer is where each token is computed on: widen, squash, narrow. It holds two thirds of a layer's weights
when $F = 4D$ ($8D^2$ against $4D^2$ of attention). GELU exists in two versions, exact and a tanh approximation; a
checkpoint trained with one is slightly wrong with the other. Here it is the exact one.
"""

# %% exercise="FeedForward"
class FeedForward(nn.Module):
    """Two linear maps with a nonlinearity between them, applied to every token on its own.

    width       D
    hidden      F
    activation  "relu", or "gelu" for the exact GELU, x * Phi(x) with Phi the normal distribution function (erf, no
                tanh approximation); anything else raises ValueError

    Parameters, by their names in the state dict: `up`, an nn.Linear(D, F), and `down`, an nn.Linear(F, D), with biases.

        y = down(activation(up(x)))

    Source: Vaswani et al. 2017, section 3.3, equation 2. GELU: Hendrycks and Gimpel 2016, "Gaussian Error Linear Units
    (GELUs)", section 2.
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

# %% [markdown]
r"""
Gated layers multiply two branches. They have three matrices, so their hidden width is cut to two thirds ($F = 8D/3$)
when the number of weights should stay the same (Shazeer 2020, section 3). Llama uses this one.
"""

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

# %% [markdown]
r"""
## 4. Layers

The original layer normalises the **sum**; most later models normalise what goes **into** the sublayer:

```
post-norm (2017)    x = norm(x + f(x))       the stream itself is normalised, 2 times in each encoder layer
pre-norm            x = x + f(norm(x))       nothing ever touches the stream but additions
```

One line differs. Section 6 measures what it does. The mask follows unit 02: boolean, broadcastable to (B, H, queries,
keys), `True` = may look. `MultiHeadAttention` from `course.models` returns `(out, weights)`; with a third argument it
reads another sequence: `attention(x, mask, memory)`.
"""

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

    def forward(self, x: Tensor, mask: Mask = None) -> Tensor:
        """x (B, S, D), mask broadcastable to (B, H, S, S), True = may look -> (B, S, D)."""
        ### BEGIN SOLUTION
        if self.pre:
            x = x + self.dropout(self.attention(self.norm1(x), mask)[0])
            return x + self.dropout(self.feed_forward(self.norm2(x)))
        x = self.norm1(x + self.dropout(self.attention(x, mask)[0]))
        return self.norm2(x + self.dropout(self.feed_forward(x)))
        ### END SOLUTION

# %% check="EncoderLayer" points=4

# %% [markdown]
r"""
The decoder's layer has one sublayer more. It writes the target, so it looks at what is written already
(self-attention, causal) and at the source (cross-attention, not causal).
"""

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

    def forward(self, x: Tensor, memory: Tensor, mask: Mask = None, memory_mask: Mask = None) -> Tensor:
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

# %% [markdown]
r"""
## 5. The model

```
 source ids                                   target ids, shifted right
     | embed * sqrt(D) + positions                | embed * sqrt(D) + positions
 [ encoder layer ] x N                        [ decoder layer ] x N  <-- memory, where keep is True
     | closing norm (pre-norm only)               | closing norm (pre-norm only)
   memory, keep  ------------------------->     @ target embedding, transposed = logits
```

Why the factor $\sqrt{D}$? The embedding is also the output head. As a head it wants numbers of size $1/\sqrt{D}$, so
that a fresh model's logits are about as large as 1. As an input it is added to sinusoids of size about $0.7$ and
wants to be as loud as they are. The factor serves both.
"""

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
        causal = target.new_ones((T, T), dtype=torch.bool).tril()
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

# %% [markdown]
r"""
A fresh model, before any training. A model that gives all 50 tokens the same probability has a loss of $\ln 50 =
3.91$. Yours has more, and a favourite: the token it has just read. Its embedding is still in the stream, and the head
is the same matrix.
"""

# %%
two_tokens = torch.tensor([[1, 2]])
if ready(lambda: Transformer(3, 3, 4, 2, 1, 8)(two_tokens, two_tokens)):
    torch.manual_seed(seed)
    fresh = Transformer(40, 50, 64, 4, 2, 256)
    source, target = torch.randint(3, 40, (32, 12)), torch.randint(3, 50, (32, 10))
    with torch.no_grad():
        guesses = fresh(source, target)
    loss = nn.functional.cross_entropy(guesses.flatten(0, 1), torch.randint(3, 50, (320,)))
    print(f"{sum(p.numel() for p in fresh.parameters()):,} weights; logits {tuple(guesses.shape)}")
    print(f"loss on random answers {loss:.2f}; ln 50 = {math.log(50):.2f}")
    copies = (guesses.argmax(-1) == target).float().mean()
    print(f"places at which the likeliest next token is the one just read: {copies:.0%}")

# %% [markdown]
r"""
## 6. Experiment: pre- against post-norm, without training

Post-norm models need a warm-up: a learning rate that starts small. Without it Xiong et al. 2020 ("On Layer
Normalization in the Transformer Architecture", section 3.2) got 8.45 BLEU on a translation task, with it about 34.
They asked why, and looked at the gradients *before the first step*. Their theorem 1 bounds the gradient of the last
layer's feed-forward weights: by something that does not depend on the depth $L$ for post-norm, and by something that
falls like $1/\sqrt{L}$ for pre-norm.

First the measurement, then what it says.
"""

# %% exercise="gradient_norms_by_depth"
def gradient_norms_by_depth(
    states: list[dict[str, Tensor]], x: Tensor, direction: Tensor, norm: str, heads: int = 4
) -> Tensor:
    """How large is the gradient of each layer's `feed_forward.down.weight`?

    states     L state dicts of EncoderLayers (relu), the layer that reads the input first
    x          (B, T, D)  the input of the first layer
    direction  (B, T, D)  the loss is the mean over all B * T tokens of the dot product <output, direction>
    norm       "pre": a new LayerNorm (weight 1, bias 0) stands behind the last layer; "post": nothing does
    returns    (L,)  Frobenius norms of the gradients, first layer first, without a graph

    Source: the quantity of Xiong et al. 2020, section 3.3, theorem 1.
    Difficulty 2 of 5, about 15 minutes.
    """
    ### BEGIN SOLUTION
    hidden, width = states[0]["feed_forward.up.weight"].shape
    stack = [EncoderLayer(width, heads, hidden, norm) for _ in states]
    for layer, state in zip(stack, states):
        layer.load_state_dict(state)
        x = layer(x)
    if norm == "pre":
        x = LayerNorm(width)(x)
    loss = (x * direction).sum(dim=-1).mean()
    grads = torch.autograd.grad(loss, [layer.feed_forward.down.weight for layer in stack])
    return torch.stack([grad.norm() for grad in grads])
    ### END SOLUTION

# %% check="gradient_norms_by_depth" points=3

# %%
DEPTHS = [6, 12, 24]
PARTS = ("attention.w_q", "attention.w_k", "attention.w_v", "attention.w_o", "feed_forward.up", "feed_forward.down")


def fresh_states(depth, gen, deviation=None, width=64, hidden=256):
    """State dicts of `depth` layers. Matrices are normal with Xavier's deviation, sqrt(2 / (rows + columns)), or a
    fixed one; biases are 0, norms as they start."""
    shapes = dict.fromkeys(PARTS, (width, width)) | {"feed_forward.up": (hidden, width)}
    shapes["feed_forward.down"] = (width, hidden)
    states = []
    for _ in range(depth):
        state = {f"norm{n}.{part}": torch.full((width,), float(part == "weight")) for n in (1, 2)
                 for part in ("weight", "bias")}
        for name, (rows, columns) in shapes.items():
            spread = deviation or math.sqrt(2 / (rows + columns))
            state[f"{name}.weight"] = spread * torch.randn(rows, columns, generator=gen)
            state[f"{name}.bias"] = torch.zeros(rows)
        states.append(state)
    return states


def measured(norm, depth, runs, deviation=None):
    """(runs, depth) gradient norms of fresh stacks, batches of 4 sequences of 16 random tokens."""
    rows = []
    for run in runs:
        gen = torch.Generator().manual_seed(run)
        x, direction = torch.randn(2, 4, 16, 64, generator=gen)
        rows.append(gradient_norms_by_depth(fresh_states(depth, gen, deviation), x, direction, norm))
    return torch.stack(rows)


gradients = None
if ready(lambda: gradient_norms_by_depth(fresh_states(1, torch.Generator()), *torch.zeros(2, 1, 2, 64), "pre")):
    gradients = {(norm, depth): measured(norm, depth, RUNS) for norm in ("pre", "post") for depth in DEPTHS}
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for panel, norm in zip(panels, ("post", "pre"), strict=True):
        for depth, style in zip(DEPTHS, (":", "--", "-"), strict=True):
            table, places = gradients[norm, depth], torch.arange(1, depth + 1)
            panel.semilogy(places, table.median(0).values, style, label=f"{depth} layers")
            panel.fill_between(places, table.amin(0), table.amax(0), alpha=0.2)
        panel.set(title=f"{norm}-norm", xlabel="layer")
        plots.legend(panel, "lower left")
    panels[0].set_ylabel("gradient norm")
    plots.show(figure, alt="Gradient norm by layer for 6, 12 and 24 layers, post-norm beside pre-norm.")

    def told(numbers):
        return f"{numbers.median():6.2f}  ({numbers.min():.2f} to {numbers.max():.2f})"

    print(f"{len(RUNS)} seeds: median (smallest to largest)")
    for norm in ("post", "pre"):
        last = {depth: gradients[norm, depth][:, -1] for depth in DEPTHS}
        for depth in DEPTHS:
            print(f"{norm:5s} {depth:2d} layers  last layer {told(last[depth])}".ljust(56),
                  f"first / last {told(gradients[norm, depth][:, 0] / last[depth])}")
        print(f"{norm:5s} last layer of 24 / last layer of 6, seed by seed: {told(last[24] / last[6])}")

# %% exercise="depth_finding"
# What the table shows: a dict of four medians, one decimal each:
#
#   "post_last"   gradient of the last layer of 24, divided by that of the last layer of 6, with post-norm
#   "pre_last"    the same with pre-norm
#   "pre_first"   first layer's gradient divided by the last layer's, in the pre-norm stack of 24 layers
#   "post_first"  the same with post-norm
#
# Difficulty 1 of 5, about 5 minutes.
### BEGIN SOLUTION
depth_finding = {"post_last": 1.0, "pre_last": 0.4, "pre_first": 5.1, "post_first": 1.0}
### END SOLUTION

# %% check="depth_finding" points=3

# %% [markdown]
r"""
What came out, of 100 seeds in groups of ten (medians of each group):

- **The last layer behaves like the bounds of theorem 1.** Post-norm: 24 layers have 0.93 to 1.02 times the gradient
  of 6 layers. Pre-norm: 0.43 to 0.48 times, and $\sqrt{6/24} = 0.5$.
- **Pre-norm gradients are not the same at every depth.** The first layer's is 4.5 to 5.6 times the last one's. The
  three curves lie on each other: what a layer gets depends on how many layers stand before it, not on how many
  follow.
- **Post-norm gradients do not vanish towards the input**, though this is often said. First and last layer are about
  equal (0.8 to 1.3); single seeds scatter from 0.3 to 4.7.

The check takes 0.8 to 1.2, 0.35 to 0.6, 4 to 6.5 and 0.6 to 1.6. Read it for what it is: relu layers of width 64,
random inputs, one kind of initial weights. The same measurement with the small initial weights of the first GPT,
normal with deviation 0.02 (Radford et al. 2018, section 4.1):
"""

# %%
if gradients is not None:
    for norm in ("post", "pre"):
        small = measured(norm, 12, range(seed, seed + 10), deviation=0.02)
        print(f"{norm:5s} 12 layers, deviation 0.02: first / last {told(small[:, 0] / small[:, -1])}")

# %% [markdown]
r"""
All differences are gone: such weights make each sublayer's output so small beside a stream of width 64 that the place
of the norm hardly matters yet. What a gradient is worth also depends on the optimiser: Adam divides by its size.
Xiong et al. show training runs; here only the first step's gradients were measured.
"""

# %% [markdown]
r"""
## 7. Explore: the residual stream, layer by layer

The panel sends random tokens through twelve of your layers and shows, sublayer by sublayer, how long the stream's
vectors are and which share of a sublayer's sum is new. Move the slider: it multiplies the output weights of every
sublayer. Where does each of the two arrangements go when the sublayers get louder? In which layers does a pre-norm
model still change much?
"""

# %%
from course.widgets import residual_stream

learner_layer = None
if ready(lambda: (EncoderLayer(4, 2, 8)(torch.zeros(1, 2, 4)), EncoderLayer(4, 2, 8, "post")(torch.zeros(1, 2, 4)))):
    learner_layer = EncoderLayer
residual_stream.show(learner_layer)

# %% [markdown]
r"""
## 8. Widely repeated, and wrong

**"Batch normalisation fails on text because sentences have different lengths."** Lengths are no obstacle: pick the
real tokens with `keep`, and batch normalisation sees N vectors and no padding. The cell pads the same sentences to 12
and to 40 tokens. What stays is what section 2 measured, and a gap between the two modes: in training the statistics
of a small batch, in evaluation those of many.
"""

# %%
if ready(lambda: BatchNorm(2)(torch.zeros(2, 2))):
    gaps = {"padded to 12 or to 40": [], "training against evaluation": []}
    for run in RUNS:
        gen = torch.Generator().manual_seed(run)
        keep = torch.arange(40) < torch.tensor([12, 5, 9, 3])[:, None]  # 29 real tokens
        long = torch.randn(4, 40, 16, generator=gen)
        norm = BatchNorm(16)
        one, other = norm(long[keep]), norm(long[:, :12][keep[:, :12]])
        gaps["padded to 12 or to 40"].append((one - other).abs().max().item())
        for _ in range(200):  # many batches of 29 tokens move the running statistics
            trained = norm(torch.randn(29, 16, generator=gen))
        batch = torch.randn(29, 16, generator=gen)
        trained, asked = norm(batch), norm.eval()(batch)
        gaps["training against evaluation"].append(((trained - asked).norm() / asked.norm()).item())
    for what, values in gaps.items():
        values = sorted(values)
        print(f"{what:28s} difference: median {values[len(values) // 2]:.3f}  ({values[0]:.3f} to {values[-1]:.3f})")

# %% [markdown]
r"""
All batches here come from one distribution, which is the best case. Shen et al. 2020 measured that the batch
statistics of real text fluctuate much more than those of images, throughout training, and name this as the cause.

**"Layer normalisation uses the statistics of training at inference."** That is batch normalisation. Layer
normalisation computes mean and variance anew from each vector, in training and after it (Ba et al. 2016, section 3).
It has nothing to remember, and `eval()` changes nothing:
"""

# %%
def asked_after_training(torchs):
    """Trains a layer of torch's on 100 batches: the largest change by eval(), and the names of what it keeps."""
    torch.manual_seed(seed)
    for _ in range(100):
        batch = 5 + 3 * torch.randn(64, 16)
        trained = torchs(batch)
    return (trained - torchs.eval()(batch)).abs().max().item(), [name for name, _ in torchs.named_buffers()]


for torchs_norm in (nn.LayerNorm, nn.BatchNorm1d):
    by_eval, remembered = asked_after_training(torchs_norm(16))
    print(f"{torchs_norm.__name__:12s} largest change by eval(): {by_eval:.3f}; it keeps {remembered}")

# %% [markdown]
r"""
## 9. Explain

Answer in your own words, in four to eight sentences each. These are read and marked by a person.
"""

# %% [markdown] explain="residuals_and_normalisation" points=2
r"""
**What are residual connections and normalisation for, and how do they work together?** Say what happens to a stack
without either, and what changes when the norm moves from the sum to the input of the sublayer.

=== BEGIN MARK SCHEME ===
- 0.5 points: residual: a sublayer adds to the stream instead of replacing it, so information and gradients have a
  path past every sublayer; attention alone makes all tokens equal within a few layers (section 1).
- 0.5 points: normalisation: sublayers add up, so the stream would grow with depth; it keeps what a sublayer reads (or
  what leaves it) at a fixed size.
- 0.5 points: post-norm normalises the stream itself, so nothing passes untouched; pre-norm leaves a path of additions
  only and needs a closing norm.
- 0.5 points: a consequence that was measured: with pre-norm the last layer's gradient falls with depth, about as 1 /
  sqrt(L), with post-norm it does not (Xiong et al. explain the need for a warm-up by this); or: in pre-norm late
  layers change the stream little.
- No credit for "post-norm gradients vanish" alone: section 6 did not find it.
=== END MARK SCHEME ===
"""

# %% [markdown] explain="layer_or_batch_normalisation" points=2
r"""
**Layer or batch normalisation: what does each average over, and what does each do in training and at inference?** Why
do language models use the first?

=== BEGIN MARK SCHEME ===
- 0.5 points: layer: over the coordinates of one token; batch: over all tokens of the batch, for each coordinate.
- 0.5 points: layer: the same computation in training and at inference, nothing is kept. Batch: batch statistics (and
  the gradient through them) in training, running averages at inference.
- 0.5 points: consequences: with batch normalisation an output depends on its neighbours and on padding in training;
  the two modes differ, more so for small batches and for data whose statistics fluctuate, as text does.
- 0.5 points: a decoder makes one token at a time, batch of one: layer normalisation does not notice. Accept: sequence
  parallel or small-batch training needs no exchange of statistics.
- "Sentences have different lengths" alone: no credit. The two variances (N and N - 1) may be named and are not
  needed.
=== END MARK SCHEME ===
"""

# %% [markdown] explain="the_architecture" points=2
r"""
**Describe the Transformer of 2017 to somebody who knows what a neural network is.** From the tokens of the source to
the probabilities of the next target token: which parts, in which order, and what each is there for.

=== BEGIN MARK SCHEME ===
- 0.5 points: tokens become embeddings (scaled by sqrt(D)) plus positions, since attention alone knows no order.
- 0.5 points: encoder layers: self-attention (tokens exchange information), feed-forward (each token is computed on),
  each with a residual and a norm; repeated; the result is the memory.
- 0.5 points: decoder layers: causal self-attention over what is written, cross-attention to the memory (queries from
  the decoder, keys and values from the memory), feed-forward.
- 0.5 points: the head: a linear map (here the target embedding, shared) to V logits, softmax; training in parallel
  with shifted targets, generation one token at a time.
- Half of the last point where masks (causal, padding) are missing altogether.
=== END MARK SCHEME ===
"""
