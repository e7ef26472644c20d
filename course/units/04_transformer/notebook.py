# %% [markdown]
r"""
# 04 · The Transformer

You build the model of 2017 from its parts: normalisation, feed-forward layers, encoder and decoder layers, and the
whole encoder-decoder. You measure what the place of one normalisation does to the gradients of a deep stack. Then you
train the model to translate, and write the kernels that its normalisation and its loss run on.

**You need** unit 02 (attention and masks), unit 03 (embeddings and positions) and unit 00 (programs, offsets, masks
in Triton).

**Time:** about seven hours for the exercises that `course list transformer` names; then questions to answer in words.

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
Below every exercise stand two or three folded hints and a check. Run the check as often as you like.

**How answers are judged.** Unless a docstring says otherwise:

- Arguments stay as they are: tensors, lists and state dicts belong to the caller.
- Gradients flow from a result to the tensors and the parameters that it was computed from.
- Floating-point numbers are finite, float32 or float64. A layer's input has the dtype of its parameters, and so has its
  output.
- Every size is at least 1.
"""

# %% tags=["parameters"]
profile = "fast"  # trains one translator, ten seeds for each measurement; "full": four translators, thirty seeds
seed = 0
device = "cpu"

# %%
import json
import math
from collections import Counter
from pathlib import Path

import matplotlib
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

import course
from course import check, data, models, plots, ready
from course.kernels import show_accesses, tl, triton
from course.mocks import ScriptedModel
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

    Mean and variance are taken over the D coordinates of one vector. The variance divides by D; it is
    the mean of (x - mean)^2, for mean(x^2) - mean^2 has no digits left where the mean is large. A vector of equal
    numbers becomes the bias, and its gradient is a number, too.

    Not allowed: library normalisations (F.layer_norm, nn.LayerNorm, nn.RMSNorm, nn.BatchNorm1d and the like).

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
        """x (..., D) float32 or float64, like the parameters -> (..., D), same dtype."""
        ### BEGIN SOLUTION
        centred = x - x.mean(dim=-1, keepdim=True)
        variance = centred.square().mean(dim=-1, keepdim=True)
        return centred * torch.rsqrt(variance + self.eps) * self.weight + self.bias
        ### END SOLUTION

# %% check="LayerNorm" points=2

# %% [markdown]
r"""
RMSNorm leaves the mean alone. It is cheaper by one reduction, Zhang and Sennrich found it as good as LayerNorm in
their experiments, and Llama uses it (Touvron et al. 2023, "LLaMA: Open and Efficient Foundation Language Models",
section 2.2). Half precision needs care: 400 squared is 160,000, and float16 ends at 65,504.
"""

# %% exercise="RMSNorm"
class RMSNorm(nn.Module):
    """Root-mean-square normalisation: each vector is divided by its root mean square. No mean, no shift.

    width  D
    eps    added to the mean square, inside the root

    Parameter, by its name in the state dict: `weight` (D,), ones at first.

        y = x / sqrt(mean(x^2) + eps) * weight

    float16 and bfloat16 vectors are squared, averaged and multiplied by the weight in float32, be the weight float32 or
    of their dtype; the result is rounded to x's dtype once, at the end. float32 and float64 stay what they are.

    Elsewhere: Llama's own code (llama/model.py) rounds before it multiplies by the weight.

    Not allowed: library normalisations (F.layer_norm, nn.LayerNorm, nn.RMSNorm, nn.BatchNorm1d and the like).

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
        """x (..., D) float16, bfloat16, float32 or float64 -> (..., D), same dtype."""
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
    training. The running statistics are numbers: no graph of a batch stays behind them. Buffers of your own may stand
    beside them in the state dict (torch counts batches, for example).

    Not allowed: library normalisations (F.layer_norm, nn.LayerNorm, nn.RMSNorm, nn.BatchNorm1d and the like).

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
        """x (..., D) float32 or float64, like parameters and buffers -> (..., D), same dtype."""
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
                tanh approximation); anything else raises ValueError, when the layer is called at the latest

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
when the number of weights should stay the same (Shazeer 2020, section 3). Llama uses this one (section
2.2).
"""

# %% exercise="SwiGLU"
class SwiGLU(nn.Module):
    """The gated feed-forward layer of Llama: one branch opens and closes the other, coordinate by coordinate.

    width   D
    hidden  F

    Parameters, by their names in the state dict: `gate` and `up`, each an nn.Linear(D, F), and `down`, an
    nn.Linear(F, D); no biases.

        y = down(silu(gate(x)) * up(x)),    silu(z) = z * sigmoid(z)

    Not allowed: the course's own functions, layers and models (course.models, course.gpt).

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

The original layer normalises the **sum**. GPT-2 (Radford et al. 2019, section 2.3) and Llama (section 2.2) normalise
what goes **into** the sublayer:

```
post-norm (2017)    x = norm(x + f(x))       the stream itself is normalised, 2 times in each encoder layer
pre-norm            x = x + f(norm(x))       nothing ever touches the stream but additions
```

One line differs. Section 6 measures what it does. The mask follows unit 02: boolean, broadcastable to (B, H, queries,
keys), `True` = may look. `MultiHeadAttention(width, heads)` from `course.models` makes a layer `attention`;
`attention(x, mask)` returns `(out, weights)`, and with a third argument it reads another sequence: `attention(x, mask,
memory)`.
"""

# %% exercise="EncoderLayer"
class EncoderLayer(nn.Module):
    """Self-attention, then a feed-forward layer; each is added to the stream, with a normalisation before or behind.

    width       D
    heads       H
    hidden      F
    norm        "pre":  x = x + dropout(sublayer(norm(x)))
                "post": x = norm(x + dropout(sublayer(x)));  anything else raises ValueError, when the layer is called
                at the latest
    activation  of FeedForward, "relu" or "gelu"; anything else raises ValueError, too
    dropout     probability from 0 to 1 that a number of a sublayer's output is set to zero, in training only; others
                grow by 1 / (1 - dropout), as in nn.Dropout. Nothing else is dropped.

    Parts, by their names in the state dict: `attention`, a MultiHeadAttention; `norm1`, a LayerNorm, belongs to it;
    `feed_forward`, a FeedForward; `norm2` belongs to that. eps as in LayerNorm.

    Not allowed: library attention (F.scaled_dot_product_attention, nn.MultiheadAttention, nn.Transformer).

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

    Arguments and errors as in EncoderLayer.

    Parts, by their names in the state dict, in the order in which they act: `self_attention` with `norm1`,
    `cross_attention` with `norm2`, `feed_forward` with `norm3`.

    The memory is read as it is: no norm and no dropout of this layer acts on it. The layer hides nothing by itself; the
    masks that it is given say who may look where.

    Not allowed: library attention (F.scaled_dot_product_attention, nn.MultiheadAttention, nn.Transformer).

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
wants to be as loud as they are. The factor serves both. `sinusoidal_encoding(length, width)` from `course.models` gives
the positions, a (length, width) float32 table, for an even width.
"""

# %% exercise="Transformer"
class Transformer(nn.Module):
    """The encoder-decoder of 2017.

    source_vocab, target_vocab  sizes of the two vocabularies
    width, heads, layers, hidden  D, H, layers of the encoder and as many of the decoder, F
    norm, activation, dropout   of every layer, errors as in EncoderLayer; dropout also acts on the sum of embedding and
                                position
    max_length                  longest sequence; a longer one raises ValueError

    Parts, by their names in the state dict: `source_embedding` and `target_embedding`, each an nn.Embedding;
    `encoder.0`, `encoder.1` ... (EncoderLayer), `decoder.0` ... (DecoderLayer); with norm="pre" also `encoder_norm` and
    `decoder_norm` (LayerNorm) behind the last layer of each side, since nothing else normalises the stream there.
    Buffers of your own may stand there too, and a second name of the target embedding, but no other parameter.

    - Embeddings are multiplied by sqrt(D), then sinusoidal_encoding is added. At the start they are normal with
      standard deviation 1 / sqrt(D).
    - The output head is the target embedding: logits = x @ target_embedding.weight.T, no bias.
    - Position t of the target sees targets 0 to t. Padding of the source is hidden from every query, in the encoder and
      in the decoder; each source has a token that is no padding. Padding of the target stands behind its tokens, so the
      causal mask hides it from them. What happens at the padded places of a target, and whether PAD's embedding is
      trained (padding_idx), is up to you.

    Not allowed: library attention (F.scaled_dot_product_attention, nn.MultiheadAttention, nn.Transformer).

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
They asked why, and looked at the gradients *before the first step*: at those of the feed-forward weights, for stacks of
different depth. You measure the same quantity. What their theorem says about it stands behind your finding.
"""

# %% exercise="gradient_norms_by_depth"
def gradient_norms_by_depth(
    states: list[dict[str, Tensor]], x: Tensor, direction: Tensor, norm: str, heads: int = 4
) -> Tensor:
    """How large is the gradient of each layer's `feed_forward.down.weight`?

    states     L state dicts of EncoderLayers (relu), the layer that reads the input first
    x          (B, T, D) float32, the input of the first layer
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
# What the table shows: a dict of four medians, as printed or rounded to one decimal:
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
What came out, in words:

- **The last layer behaves like the bounds of theorem 1** (Xiong et al. 2020). They bound the gradient of the last
  layer's feed-forward weights by something that does not depend on the depth $L$ for post-norm, and by something that
  falls like $1/\sqrt{L}$ for pre-norm. The next cell puts your medians beside that.
- **Pre-norm gradients are not the same at every depth.** They fall from the first layer to the last. The three curves
  lie on each other: what a layer gets depends on how many layers stand before it, not on how many follow.
- **Post-norm gradients do not vanish towards the input** here, though the norm behind the sum has been called the main
  source of vanishing gradients (Takase et al. 2023, "B2T Connection: Serving Stability and Performance in Deep
  Transformers", abstract). The medians of first and last layer are alike; single seeds scatter.

Read it for what it is: relu layers of width 64, random inputs, one kind of initial weights. The cell also makes the
measurement with the small initial weights of the first GPT, normal with deviation 0.02 (Radford et al. 2018, section
4.1):
"""

# %%
if gradients is not None:
    for norm, bound in (("post", 1.0), ("pre", math.sqrt(6 / 24))):
        ratio = (gradients[norm, 24][:, -1] / gradients[norm, 6][:, -1]).median()
        print(f"{norm:5s} last layer, 24 layers against 6: measured {ratio:.2f}, the bounds {bound:.2f}")
    for norm in ("post", "pre"):
        small = measured(norm, 12, range(seed, seed + 10), deviation=0.02)
        print(f"{norm:5s} 12 layers, deviation 0.02: first / last {told(small[:, 0] / small[:, -1])}")

# %% [markdown]
r"""
With the small weights all differences are gone: they make each sublayer's output so small beside a stream of width 64
that the place of the norm hardly matters yet. What a gradient is worth also depends on the optimiser: Adam divides by
its size. Xiong et al. show training runs; here only the first step's gradients were measured.
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
panel = residual_stream.show(learner_layer)

# %% [markdown]
r"""
## 8. Four GPU kernels, and the way back

Norms and the loss do little arithmetic for the bytes they move. RMSNorm squares, adds, divides and multiplies: four
operations for a number that is read once and written once, eight bytes in float32. On the roofline of unit 00 that lies
far on the memory's side, so such a kernel is judged on one question: how often does each number travel?

This section is about training, so every kernel has a way back. A **backward kernel** is a kernel like any other: it
gets what the forward pass was given and the gradient of what it returned, and gives the gradient of what it was given.
For $y = f(x)$ and a loss $L$ it gets $x$ and $dy = \partial L / \partial y$ and returns $dx = \partial L / \partial x$.
Autograd calls it, you write it; no graph is recorded inside a kernel.

The kernels see matrices: a stream of shape $(B, T, D)$ is $R = B \cdot T$ rows of $C = D$ columns.

For all four: a launcher allocates its results and launches. Every number in them comes from a kernel of yours; a sum by
torch, for example, is not allowed. Results have no graph.

### RMSNorm, forward

A row of width $C$ fits into one program here, in a block of the next power of two. The lanes past the end of the row
must not disturb the sum, must not be counted in the mean, and must not be stored.
"""

# %% exercise="rmsnorm_forward"
@triton.jit
def rmsnorm_kernel(x_ptr, weight_ptr, out_ptr, n_cols, eps, x_row, x_col, BLOCK: tl.constexpr):
    """One program: one row, held as a whole in BLOCK lanes.

    x_row, x_col  strides of x, in elements; weight and out are dense
    """
    ### BEGIN SOLUTION
    row = tl.program_id(0)
    columns = tl.arange(0, BLOCK)
    inside = columns < n_cols
    x = tl.load(x_ptr + row * x_row + columns * x_col, mask=inside, other=0.0).to(tl.float32)
    weight = tl.load(weight_ptr + columns, mask=inside, other=0.0).to(tl.float32)
    rms = tl.sqrt(tl.sum(x * x, axis=0) / n_cols + eps)
    tl.store(out_ptr + row * n_cols + columns, x / rms * weight, mask=inside)
    ### END SOLUTION


def rmsnorm_forward(x: Tensor, weight: Tensor, eps: float = 1e-6) -> Tensor:
    """RMS normalisation of every row, on the GPU (or interpreted, for CPU tensors).

    x        (R, C) float32, float16 or bfloat16, any strides; C is any number up to 8192
    weight   (C,) same dtype, contiguous
    eps      added to the mean of the squares, under the root
    returns  (R, C) same dtype, new and contiguous: x / sqrt(mean(x^2) + eps) * weight, the mean along the row

    Work in float32 and round once. Read each row once. One launch; copies, conversions and fills by torch count as
    launches. More than one program where there are more than four rows.
    triton.next_power_of_2 gives the block. You may change the kernel's parameters; keep the names of both functions.

    Source: Zhang and Sennrich 2019, "Root Mean Square Layer Normalization", equation 4 (eps as in torch's RMSNorm).
    Difficulty 2 of 5, about 20 minutes.
    """
    ### BEGIN SOLUTION
    n_rows, n_cols = x.shape
    out = torch.empty((n_rows, n_cols), dtype=x.dtype, device=x.device)
    rmsnorm_kernel[(n_rows,)](
        x, weight, out, n_cols, eps, x.stride(0), x.stride(1), BLOCK=triton.next_power_of_2(n_cols)
    )
    return out
    ### END SOLUTION

# %% check="rmsnorm_forward" points=4

# %% [markdown]
r"""
### RMSNorm, backward

Write $r = 1 / \sqrt{\frac{1}{C}\sum_j x_j^2 + \varepsilon}$ for the row's factor and $\hat x_i = r\, x_i$ for the
normalised row, so that $y_i = w_i\,\hat x_i$. Let $g_i = w_i\, dy_i$ be the gradient that arrives at $\hat x_i$. Two
things depend on $x_i$: its own output, through the factor in front, and **all** outputs of the row, through $r$.

$$dx_i = r\, g_i + \frac{\partial r}{\partial x_i} \sum_j g_j\, x_j, \qquad
\frac{\partial r}{\partial x_i} = -\frac{1}{2}\, r^3 \cdot \frac{2 x_i}{C} = -\frac{r^3 x_i}{C}$$

Put together, with one $r$ taken out and the others moved into $\hat x$:

$$dx_i = r \left( g_i - \hat x_i \cdot \frac{1}{C} \sum_j g_j\, \hat x_j \right)$$

The second term takes out of $g$ what points along $\hat x$. That makes sense: a step along $x$ only makes the row
longer, and the norm undoes that (exactly when $\varepsilon = 0$). It needs one more sum over the row and no more bytes.

**The weight is different.** Every row uses the same $w_i$, so its gradient is a sum over rows:
$dw_i = \sum_{\text{rows}} dy_i\, \hat x_i$. One program for each row would mean thousands of programs that add to the
same $C$ numbers.

- *Load, add, store*: two programs load the same old value, and the later store wipes out the other's share. A race.
- *Atomic adds* lose nothing, but the programs come in any order, and floats added in another order round differently.
- *Partial sums*: a few programs share the rows. Each adds up its own rows in registers and stores one row of $C$ sums
  at the end. A second launch adds these few rows, always in the same order. Same bits on every run.

How much does the order matter? The same ten thousand numbers, added one after another in twenty orders:
"""

# %%
gen = torch.Generator().manual_seed(seed)
numbers = torch.randn(10_000, generator=gen)
orders = [torch.randperm(10_000, generator=gen) for _ in range(20)]
sums = [numbers[order].numpy().cumsum()[-1].item() for order in orders]  # one after another, each sum rounded
print(f"{len(set(sums))} different float32 sums of the same numbers in 20 orders")
print(f"from {min(sums):.6f} to {max(sums):.6f}; in float64 {numbers.double().sum().item():.6f}")

# %% [markdown]
r"""
No sum is wrong, but two runs of one training script would differ, and nobody could tell a bug from rounding.

The bytes: $dy$ and $x$ read once, $dx$ written once, $3RC$ numbers. The partial sums add `2 * programs * C` floats,
written once and read once: little as long as each program has many rows.
"""

# %% exercise="rmsnorm_backward"
@triton.jit
def rmsnorm_rows_kernel(
    dy_ptr, x_ptr, weight_ptr, dx_ptr, partial_ptr, n_rows, n_cols, eps,
    dy_row, dy_col, x_row, x_col, BLOCK: tl.constexpr,
):  # fmt: skip
    """One program: dx of its share of the rows, and the partial sum of dweight over them."""
    ### BEGIN SOLUTION
    columns = tl.arange(0, BLOCK)
    inside = columns < n_cols
    weight = tl.load(weight_ptr + columns, mask=inside, other=0.0).to(tl.float32)
    dweight = tl.zeros((BLOCK,), tl.float32)
    for row in range(tl.program_id(0), n_rows, tl.num_programs(0)):
        dy = tl.load(dy_ptr + row * dy_row + columns * dy_col, mask=inside, other=0.0).to(tl.float32)
        x = tl.load(x_ptr + row * x_row + columns * x_col, mask=inside, other=0.0).to(tl.float32)
        r = 1 / tl.sqrt(tl.sum(x * x, axis=0) / n_cols + eps)
        normed = x * r
        dweight += dy * normed
        g = dy * weight
        dx = (g - normed * (tl.sum(g * normed, axis=0) / n_cols)) * r
        tl.store(dx_ptr + row * n_cols + columns, dx, mask=inside)
    tl.store(partial_ptr + tl.program_id(0) * n_cols + columns, dweight, mask=inside)
    ### END SOLUTION


@triton.jit
def rmsnorm_sum_kernel(partial_ptr, dweight_ptr, n_partial, n_cols, BLOCK: tl.constexpr):
    """One program: BLOCK columns of dweight, the sum of all partial sums."""
    ### BEGIN SOLUTION
    columns = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = columns < n_cols
    total = tl.zeros((BLOCK,), tl.float32)
    for i in range(0, n_partial):
        total += tl.load(partial_ptr + i * n_cols + columns, mask=inside, other=0.0)
    tl.store(dweight_ptr + columns, total, mask=inside)
    ### END SOLUTION


def rmsnorm_backward(
    dy: Tensor, x: Tensor, weight: Tensor, eps: float = 1e-6, programs: int = 4
) -> tuple[Tensor, Tensor]:
    """The gradients of x and of the weight of y = x / sqrt(mean(x^2) + eps) * weight.

    dy        (R, C) float32, float16 or bfloat16, any strides: the gradient of y
    x         (R, C) same dtype, any strides of its own; C is any number up to 8192
    weight    (C,) same dtype, contiguous
    programs  how many programs share the R rows in the first launch, at least 1, possibly more than R
    returns   dx (R, C) same dtype, new and contiguous; dweight (C,) same dtype, new and contiguous

    Work in float32, the partial sums too, and round once. Read each row of dy and x once: r is worked out again, that
    costs no bytes. No atomics. You may change the kernels' parameters, and use other kernels.
    At most 2 launches; copies, conversions and fills by torch count as launches. min(programs, R) programs share the
    rows. A share may come out empty, its partial sum is 0 then. One program alone may do with a single launch.

    Source: the derivation above. Triton's layer-norm tutorial sums its weight gradients in two stages too.
    Difficulty 4 of 5, about 50 minutes.
    """
    ### BEGIN SOLUTION
    n_rows, n_cols = x.shape
    dx = torch.empty((n_rows, n_cols), dtype=x.dtype, device=x.device)
    dweight = torch.empty(n_cols, dtype=weight.dtype, device=x.device)
    partial = torch.empty((programs, n_cols), dtype=torch.float32, device=x.device)
    rmsnorm_rows_kernel[(programs,)](
        dy, x, weight, dx, partial, n_rows, n_cols, eps, *dy.stride(), *x.stride(),
        BLOCK=triton.next_power_of_2(n_cols),
    )  # fmt: skip
    rmsnorm_sum_kernel[(triton.cdiv(n_cols, 128),)](partial, dweight, programs, n_cols, BLOCK=128)
    return dx, dweight
    ### END SOLUTION

# %% check="rmsnorm_backward" points=6

# %% [markdown]
r"""
The middle one of three programs that share seven rows, access by access: the weight, once; then a row of `dy`, a row of
`x`, a row of `dx`, and the same for the next row of its share. The partial sum is written once, at the end.
"""

# %%
show_accesses(
    rmsnorm_backward, torch.linspace(-1, 1, 84).reshape(7, 12), torch.arange(84.0).reshape(7, 12), torch.ones(12),
    programs=3,
)  # fmt: skip

# %% [markdown]
r"""
### The residual add, fused

In a pre-norm layer the output of a sublayer is added to the residual stream, and the sum is normalised for the next
sublayer. As two kernels the sum travels twice: written by the first, read back by the second. One kernel has it at
hand. It has **two outputs**: the normalised rows, and the sum itself, which is the stream of the next layer.

What that saves, counted in matrices of $R \times C$: two reads and a write, then a read and a write, make five; fused
it is two reads and two writes. For the base model of 2017 (6 + 6 layers, width 512; an encoder layer has two sublayers
and a decoder layer three) and 4,096 tokens on each side in a 16-bit type:
"""

# %%
rows, width, size = 4096, 512, 2
sublayers = 6 * 2 + 6 * 3
matrix = rows * width * size
apart, fused = 5 * matrix, 4 * matrix
print(f"for each sublayer: {apart / 2**20:.0f} MiB in two kernels, {fused / 2**20:.0f} MiB in one")
print(f"for {sublayers} sublayers: {sublayers * (apart - fused) / 2**20:.0f} MiB less, {1 - fused / apart:.0%} of it")

# %% exercise="residual_rmsnorm"
@triton.jit
def residual_rmsnorm_kernel(
    x_ptr, residual_ptr, weight_ptr, out_ptr, total_ptr, n_cols, eps,
    x_row, x_col, residual_row, residual_col, BLOCK: tl.constexpr,
):  # fmt: skip
    """One program: one row of both results, held as a whole in BLOCK lanes."""
    ### BEGIN SOLUTION
    row = tl.program_id(0)
    columns = tl.arange(0, BLOCK)
    inside = columns < n_cols
    x = tl.load(x_ptr + row * x_row + columns * x_col, mask=inside, other=0.0).to(tl.float32)
    old = tl.load(residual_ptr + row * residual_row + columns * residual_col, mask=inside, other=0.0).to(tl.float32)
    weight = tl.load(weight_ptr + columns, mask=inside, other=0.0).to(tl.float32)
    total = x + old
    rms = tl.sqrt(tl.sum(total * total, axis=0) / n_cols + eps)
    tl.store(total_ptr + row * n_cols + columns, total, mask=inside)
    tl.store(out_ptr + row * n_cols + columns, total / rms * weight, mask=inside)
    ### END SOLUTION


def residual_rmsnorm(x: Tensor, residual: Tensor, weight: Tensor, eps: float = 1e-6) -> tuple[Tensor, Tensor]:
    """Add to the residual stream and normalise the sum.

    x         (R, C) float32, float16 or bfloat16, any strides: the output of a sublayer; C is any number up to 8192
    residual  (R, C) same dtype, any strides of its own; it belongs to the caller and stays as it is
    weight    (C,) same dtype, contiguous
    eps       added to the mean of the squares, under the root
    returns   y (R, C) and total (R, C), same dtype, both new and contiguous: total = x + residual, and y is total
              normalised as in rmsnorm_forward

    Work in float32; y may come from the sum before or after it is rounded. Read each row once.
    One launch; copies, conversions and fills by torch count as launches. More than one program where there are more
    than four rows.
    Difficulty 2 of 5, about 15 minutes.
    """
    ### BEGIN SOLUTION
    n_rows, n_cols = x.shape
    out = torch.empty((n_rows, n_cols), dtype=x.dtype, device=x.device)
    total = torch.empty((n_rows, n_cols), dtype=x.dtype, device=x.device)
    residual_rmsnorm_kernel[(n_rows,)](
        x, residual, weight, out, total, n_cols, eps, *x.stride(), *residual.stride(),
        BLOCK=triton.next_power_of_2(n_cols),
    )  # fmt: skip
    return out, total
    ### END SOLUTION

# %% check="residual_rmsnorm" points=3

# %% [markdown]
r"""
### Cross-entropy, forward and backward in one launch

The logits are the largest tensor of a language model's training step: `N` tokens times `V` words. The loss of a row and
its gradient are

$$\ell = \log\sum_v e^{z_v} - z_t, \qquad \frac{\partial \ell}{\partial z_v} = p_v - [v = t], \qquad
p = \operatorname{softmax}(z)$$

The gradient needs nothing that the forward pass does not know already. So one kernel can do both while the row is near,
and the softmax is never a tensor: $p_v$ exists in a register, one is subtracted at the target, and the gradient is
stored. What does torch write on its way?
"""

# %%
from torch.utils._python_dispatch import TorchDispatchMode


class MatricesWritten(TorchDispatchMode):
    """Notes every operation below it that writes a new tensor of one shape."""

    def __init__(self, shape):
        super().__init__()
        self.shape, self.names = shape, []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        self.names += [func.name() for t in (out if isinstance(out, tuple) else (out,)) if t.shape == self.shape]
        return out


logits = torch.randn(6, 50, generator=torch.Generator().manual_seed(seed), requires_grad=True)
with MatricesWritten(logits.shape) as written:
    nn.functional.cross_entropy(logits, torch.arange(6)).backward()
print("torch writes", len([name for name in written.names if "detach" not in name]), "matrices of N x V:")
print(*(name for name in written.names if "detach" not in name), sep="\n")
tokens, words = 8192, 50_257  # GPT-2's vocabulary
print(f"for {tokens:,} tokens and {words:,} words each of them has {tokens * words * 4 / 2**30:.2f} GiB in float32")

# %% [markdown]
r"""
Your kernel writes one. The first of torch's matrices, the log-probabilities, stays until the backward pass has read it.

**How often is the row read?** A row that fits into a block: once, everything happens in registers. A wider row must be
walked. First for the maximum, then for the sum of $e^{z - m}$, then for the gradient: three reads. An **online**
logsumexp saves one. Walk once with a running maximum $m$ and a running sum $s$. When a block raises the maximum to
$m'$, what was summed so far was relative to the old one, so

$$s \leftarrow s \, e^{m - m'} + \sum_{v \in \text{block}} e^{z_v - m'}$$

(Milakov and Gimelshein 2018, "Online normalizer calculation for softmax"). That is 2 reads and 1 write against 3 and 1.

Two libraries go further. Liger Kernel (Hsu et al. 2024, "Liger Kernel: Efficient Triton Kernels for LLM Training")
stores the gradient over the logits themselves, so not even the gradient is a new tensor. Cut Cross-Entropy (Wijmans et
al. 2025, "Cut Your Losses in Large-Vocabulary Language Models") multiplies by the output head inside the kernel and
never has logits in memory at all; its abstract gives 24 GB before and 1 MB after for the loss of Gemma 2 (2B).

Rows whose target is `ignore` (padding) have loss 0 and gradient 0. Their target is no column: never use it as an
address. `ignore` may be any whole number; here it is often PAD, 0.
"""

# %% exercise="cross_entropy"
@triton.jit
def cross_entropy_kernel(
    logits_ptr, target_ptr, loss_ptr, grad_ptr, n_classes, ignore, row_stride, class_stride, BLOCK: tl.constexpr
):
    """One program: loss and gradient of one row, BLOCK classes at a time."""
    ### BEGIN SOLUTION
    row = tl.program_id(0)
    logits_ptr += row * row_stride
    grad_ptr += row.to(tl.int64) * n_classes
    lanes = tl.arange(0, BLOCK)
    target = tl.load(target_ptr + row)
    kept = tl.where(target == ignore, 0.0, 1.0)
    if n_classes <= BLOCK:  # the row stays in registers
        inside = lanes < n_classes
        x = tl.load(logits_ptr + lanes * class_stride, mask=inside, other=-float("inf")).to(tl.float32)
        largest = tl.max(x, axis=0)
        e = tl.exp(x - largest)
        total = tl.sum(e, axis=0)
        hit = lanes == target
        tl.store(grad_ptr + lanes, (e / total - tl.where(hit, 1.0, 0.0)) * kept, mask=inside)
        at_target = tl.sum(tl.where(hit, x, 0.0), axis=0)
        tl.store(loss_ptr + row, (largest + tl.log(total) - at_target) * kept)
    else:
        largest = -float("inf")
        total = 0.0
        at_target = 0.0
        for start in range(0, n_classes, BLOCK):
            at = start + lanes
            x = tl.load(logits_ptr + at * class_stride, mask=at < n_classes, other=-float("inf")).to(tl.float32)
            higher = tl.maximum(largest, tl.max(x, axis=0))
            total = total * tl.exp(largest - higher) + tl.sum(tl.exp(x - higher), axis=0)
            at_target += tl.sum(tl.where(at == target, x, 0.0), axis=0)
            largest = higher
        for start in range(0, n_classes, BLOCK):
            at = start + lanes
            x = tl.load(logits_ptr + at * class_stride, mask=at < n_classes, other=-float("inf")).to(tl.float32)
            grad = tl.exp(x - largest) / total - tl.where(at == target, 1.0, 0.0)
            tl.store(grad_ptr + at, grad * kept, mask=at < n_classes)
        tl.store(loss_ptr + row, (largest + tl.log(total) - at_target) * kept)
    ### END SOLUTION


def cross_entropy(logits: Tensor, target: Tensor, block: int = 256, ignore: int = -100) -> tuple[Tensor, Tensor]:
    """Cross-entropy of every row, and its gradient.

    logits   (N, V) float32, float16 or bfloat16, any strides, finite numbers of any size; V may be larger than block
    target   (N,) int64, contiguous: a class 0 ... V - 1, or `ignore`
    block    how many columns a program holds at once, at most; a power of two
    ignore   the target of rows that don't count
    returns  loss (N,) float32, new: log(sum(exp(logits))) - logits[target] of each row, 0 where the target is ignore;
             grad (N, V) dtype of logits, new and contiguous: the gradient of the row's own loss,
             softmax(logits) - one_hot(target), all 0 where the target is ignore

    Work in float32. Read a row that fits in a block once, a wider one twice; one that is ignored need not be read.
    Nothing is divided by N: who wants the mean divides afterwards. One launch; copies, conversions and fills by torch
    count as launches. More than one program where there are more than four rows.

    Source: Milakov and Gimelshein 2018, "Online normalizer calculation for softmax", algorithm 3, for the first walk.
    Difficulty 4 of 5, about 45 minutes.
    """
    ### BEGIN SOLUTION
    n_rows, n_classes = logits.shape
    loss = torch.empty(n_rows, dtype=torch.float32, device=logits.device)
    grad = torch.empty((n_rows, n_classes), dtype=logits.dtype, device=logits.device)
    cross_entropy_kernel[(n_rows,)](
        logits, target, loss, grad, n_classes, ignore, logits.stride(0), logits.stride(1), BLOCK=block
    )
    return loss, grad
    ### END SOLUTION

# %% check="cross_entropy" points=5

# %% [markdown]
r"""
One program on a row of 40 classes in blocks of 16: one staircase for the running maximum and sum, a second one beside
the gradient's.
"""

# %%
show_accesses(cross_entropy, torch.linspace(-3, 3, 120).reshape(3, 40), torch.tensor([7, 20, 39]), block=16)

# %% [markdown]
r"""
### Put into autograd

A pair of kernels becomes an operation of torch through `torch.autograd.Function`: `forward` keeps what `backward` will
need. RMSNorm keeps its input and works $r$ out again. The fused add keeps only the sum, and its backward adds the two
gradients that arrive: one through the norm, one along the stream. The loss keeps its gradient, which is ready.
"""

# %%
class KernelRMSNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight):  # (R, C), (C,) -> (R, C)
        ctx.save_for_backward(x, weight)
        return rmsnorm_forward(x, weight)

    @staticmethod
    def backward(ctx, dy):
        return rmsnorm_backward(dy, *ctx.saved_tensors)


class KernelResidualRMSNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, residual, weight):  # (R, C), (R, C), (C,) -> y (R, C), total (R, C)
        y, total = residual_rmsnorm(x, residual, weight)
        ctx.save_for_backward(total, weight)
        return y, total

    @staticmethod
    def backward(ctx, dy, dtotal):
        dx, dweight = rmsnorm_backward(dy, *ctx.saved_tensors)
        both = dx + dtotal  # a sum hands its gradient to each of its terms
        return both, both, dweight


class KernelCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx, logits, target, ignore):  # (N, V), (N,) -> (N,)
        loss, grad = cross_entropy(logits, target, ignore=ignore)
        ctx.save_for_backward(grad)
        return loss

    @staticmethod
    def backward(ctx, dloss):
        (grad,) = ctx.saved_tensors
        return grad * dloss[:, None].to(grad.dtype), None, None

# %% [markdown]
r"""
The last stretch of a pre-norm decoder, once with your kernels and once with torch: normalise, a sublayer, add it to the
stream and normalise, the output head, the mean loss over the tokens that are not PAD. The gradients of all five tensors
are compared.
"""

# %%
def last_stretch(stream, inner_gain, inner, outer_gain, head, target, kernels):
    """Mean loss of (N, D) stream vectors; inner (D, D) is the sublayer, head (D, V)."""
    if kernels:
        y, _ = KernelResidualRMSNorm.apply(
            KernelRMSNorm.apply(stream, inner_gain) @ inner, stream, outer_gain
        )
        losses = KernelCrossEntropy.apply(y @ head, target, 0)
    else:
        total = stream + nn.functional.rms_norm(stream, stream.shape[1:], inner_gain, 1e-6) @ inner
        y = nn.functional.rms_norm(total, total.shape[1:], outer_gain, 1e-6)
        losses = nn.functional.cross_entropy(y @ head, target, ignore_index=0, reduction="none")
    return losses.sum() / (target != 0).sum()


def every_kernel():
    one = torch.ones(1, 1)
    rmsnorm_forward(one, one[0])
    rmsnorm_backward(one, one, one[0])
    residual_rmsnorm(one, one, one[0])
    cross_entropy(one, torch.zeros(1, dtype=torch.int64))


if ready(every_kernel):
    gen = torch.Generator().manual_seed(seed)
    N, D, V = 9, 20, 37
    shapes = {"stream": (N, D), "inner_gain": (D,), "inner": (D, D), "outer_gain": (D,), "head": (D, V)}
    tensors = [torch.randn(shape, generator=gen).requires_grad_() for shape in shapes.values()]
    target = torch.randint(0, V, (N,), generator=gen)
    target[-2:] = 0  # PAD
    ours = last_stretch(*tensors, target, kernels=True)
    theirs = last_stretch(*tensors, target, kernels=False)
    print(f"loss: {ours.item():.6f} with your kernels, {theirs.item():.6f} with torch")
    pairs = zip(shapes, torch.autograd.grad(ours, tensors), torch.autograd.grad(theirs, tensors))
    for name, mine, torchs in pairs:
        gap = ((mine - torchs).abs().max() / torchs.abs().max()).item()
        print(f"gradient of {name:11s} largest difference, relative to its largest number: {gap:.1e}")

# %% [markdown]
r"""
## 9. What goes in, what should come out

The model is there. Training it takes three small pieces: what the decoder is given, how its answer is scored, and how
fast it learns.

A decoder is trained on all positions at once: at position $t$ it is given the **true** tokens before $t$ and has to
predict token $t$ (*teacher forcing*). Its input is therefore the target, moved to the right by one place, with BOS in
front:

```
target           22   .   Mai   EOS  PAD       what should come out
decoder input   BOS  22    .    Mai  EOS       what goes in
```

The causal mask does not do this for you. It lets position $t$ see positions 0 to $t$ of its *input*; if the input is
the target itself, the answer stands at position $t$.
"""

# %% exercise="shift_right"
def shift_right(target: Tensor) -> Tensor:
    """The decoder's input for a batch of targets.

    target   (B, T) int64, tokens and then EOS in each row, PAD behind it; T is at least 1
    returns  (B, T) int64, a new tensor: BOS (1) first, then the target without its last column. `target` stays as it
             was. EOS and PAD move like the other tokens: what stands behind EOS does not matter to the loss, so nothing
             is replaced.

    Elsewhere: T5 begins with PAD, BART with EOS, instead of a BOS.

    Source: Vaswani et al. 2017, section 3.1 ("offset by one position") and figure 1 ("shifted right").
    Difficulty 1 of 5, about 5 minutes.
    """
    ### BEGIN SOLUTION
    first = torch.full_like(target[:, :1], BOS)
    return torch.cat([first, target[:, :-1]], dim=1)
    ### END SOLUTION

# %% check="shift_right" points=2

# %% [markdown]
r"""
**Label smoothing** asks for a little less than certainty. The target of a token is not 1 at the right class and 0
elsewhere; a share $\epsilon$ of it is spread over the vocabulary. At least three conventions are in use:

| who | the right class gets | every other class gets |
| --- | --- | --- |
| Szegedy et al. 2016 (section 7), PyTorch, **here** | $1 - \epsilon + \epsilon / V$ | $\epsilon / V$ |
| tensor2tensor, the code of Vaswani et al. 2017 | $1 - \epsilon$ | $\epsilon / (V - 1)$ |
| The Annotated Transformer | $1 - \epsilon$ | $\epsilon / (V - 2)$, and PAD nothing |

Each row sums to 1. Padding is another matter: a *position* whose target is PAD does not count at all, in the sum or
in the number it is divided by. Otherwise the loss depends on what else happened to be in the batch.
"""

# %% exercise="smoothed_cross_entropy"
def smoothed_cross_entropy(logits: Tensor, target: Tensor, smoothing: float = 0.1) -> Tensor:
    """Mean cross-entropy over the real tokens of a batch, with smoothed targets.

    logits     (B, T, V) float32 or float64, finite numbers of any size
    target     (B, T) int64; PAD (0) does not count, everything else does, BOS too; at least one token is real
    smoothing  epsilon, from 0 to 1. The target distribution of a token is
               q = (1 - epsilon) * one_hot(token) + epsilon / V, over all V classes, PAD among them
    returns    () same dtype as logits: mean over real tokens of -sum_v q_v log softmax(logits)_v, in nats

    Every real token of the batch counts the same, however long its row is. Subtract the largest logit, then exp, sum
    and log. Not allowed: library softmax functions and losses (torch.softmax, log_softmax, logsumexp, cross_entropy).

    Source: Szegedy et al. 2016, "Rethinking the Inception Architecture for Computer Vision", section 7; Vaswani et al.
    2017, section 5.4 (epsilon 0.1).
    Difficulty 3 of 5, about 20 minutes.
    """
    ### BEGIN SOLUTION
    shifted = logits - logits.amax(dim=-1, keepdim=True)
    log_probs = shifted - shifted.exp().sum(dim=-1, keepdim=True).log()  # (B, T, V)
    right = log_probs.gather(-1, target[..., None])[..., 0]  # (B, T)
    losses = -(1 - smoothing) * right - smoothing * log_probs.mean(dim=-1)
    return losses[target != PAD].mean()
    ### END SOLUTION

# %% check="smoothed_cross_entropy" points=4

# %% [markdown]
r"""
**Warm-up.** At the start Adam's estimates of the gradient's size rest on a few batches, and in a post-norm model the
gradients near the output are large (section 6). So the first steps are kept small: the rate grows in a straight line
for `warmup` steps and then falls with the square root of the step.
"""

# %% exercise="warmup_schedule"
def warmup_schedule(step: int, width: int, warmup: int = 4000, factor: float = 1.0) -> float:
    """The learning rate at a step.

    step     counts from 1, one for each update of the weights (not for each epoch); below 1: raise ValueError
    width    D
    warmup   the step at which the rate is largest, at least 1
    factor   multiplies everything; 1 in the paper
    returns  factor * D^(-1/2) * min(step^(-1/2), step * warmup^(-3/2)), a float; a tensor of one number counts as one

    Source: Vaswani et al. 2017, section 5.3, equation 3.
    Difficulty 1 of 5, about 6 minutes.
    """
    ### BEGIN SOLUTION
    if step < 1:
        raise ValueError(f"steps count from 1, this one is {step}")
    return factor * width**-0.5 * min(step**-0.5, step * warmup**-1.5)
    ### END SOLUTION

# %% check="warmup_schedule" points=1

# %%
if ready(lambda: warmup_schedule(1, 4)):
    figure, axes = plots.new(7, 2.6)
    for width, warmup in ((512, 4000), (256, 4000), (512, 8000)):
        steps = range(1, 20_001, 50)
        axes.plot(steps, [warmup_schedule(step, width, warmup) for step in steps], label=f"D {width}, {warmup} steps")
        print(f"D = {width}, warm-up {warmup}: largest rate {warmup_schedule(warmup, width, warmup):.2e}")
    axes.set(xlabel="step", ylabel="learning rate")
    plots.legend(axes, "upper right")
    plots.show(figure, alt="Three learning rates over steps: up in a line to the warm-up step, then slowly down.")

# %% [markdown]
r"""
## 10. One token after another

Training knows the target; translating does not. The decoder begins with BOS, its most likely next token is appended,
and the longer row goes in again, until EOS. In a batch the rows end at different steps. A row that has ended gets PAD
from then on, whatever the model says about it, and the loop ends when all rows have ended, or at `max_length`.
"""

# %% exercise="greedy_decode"
def greedy_decode(model, source: Tensor, max_length: int) -> Tensor:
    """The most likely next token, again and again, for a batch.

    model       any object with encode(source) -> (memory, source_keep) and
                decode(target (B, t), memory, source_keep) -> logits (B, t, V)
    source      (B, S) int64, PAD behind the shorter rows
    max_length  at most this many tokens in a row, EOS counted, BOS not; at least 1
    returns     (B, L) int64 without BOS: each row ends with its EOS and is PAD after it; a row that reaches max_length
                is cut there. L is the length of the longest row, so it is less than max_length when all rows end early.

    Only EOS ends a row: a model may choose PAD or BOS as well, and the row goes on. The source is encoded once. No
    gradients are recorded, no step is taken after the last row has ended, and the model's mode (train or eval) stays as
    it is.

    Difficulty 3 of 5, about 20 minutes.
    """
    ### BEGIN SOLUTION
    with torch.no_grad():
        memory, source_keep = model.encode(source)
        tokens = torch.full((len(source), 1), BOS)
        ended = torch.zeros(len(source), dtype=torch.bool)
        for _ in range(max_length):
            if ended.all():
                break
            likeliest = model.decode(tokens, memory, source_keep)[:, -1].argmax(dim=-1)  # (B,)
            likeliest[ended] = PAD
            ended = ended | (likeliest == EOS)
            tokens = torch.cat([tokens, likeliest[:, None]], dim=1)
    return tokens[:, 1:]
    ### END SOLUTION

# %% check="greedy_decode" points=4

# %% [markdown]
r"""
## 11. How good is a translation?

**Exact match** is the share of outputs that equal their reference, piece for piece. **BLEU** (Papineni et al. 2002)
gives credit for parts: for $n = 1 \dots 4$ it counts which of the candidate's n-grams occur in a reference,

$$p_n = \frac{\sum_{\text{candidates}} \sum_{g}
\min\big(\text{count}(g),\; \max_{\text{references}} \text{count}_{\text{ref}}(g)\big)}
{\sum_{\text{candidates}} \sum_{g} \text{count}(g)}, \qquad
\text{BLEU} = \min\!\big(1,\, e^{1 - r/c}\big) \cdot \Big(\prod_{n=1}^{4} p_n\Big)^{1/4},$$

with $c$ the length of all candidates together and $r$ the length of their references. The minimum **clips**: without
it, "the the the the the the the" would have a precision of one (the paper's example 2). The factor in front, the
**brevity penalty**, is there because precision alone rewards saying little.
"""

# %% exercise="bleu"
def bleu(candidates: list[list], references: list[list[list]], max_n: int = 4) -> float:
    """Corpus BLEU, without smoothing.

    candidates  one list of tokens (strings or ints) for each sentence; "The" and "the" are two tokens
    references  for each sentence a list of one or more references, each a list of tokens
    max_n       n-grams from 1 to max_n, all with the same weight
    returns     a float from 0 to 1 (a tensor of one number counts as one)

    - Counts are summed over the whole corpus before anything is divided: this is not the mean of sentence scores.
    - An n-gram is clipped at the largest number of times it occurs in one reference of its sentence.
    - r adds up, for each sentence, the reference length nearest to the candidate's; the shorter one on a tie. An empty
      candidate is a sentence like the others.
    - 0 where some p_n is 0, or where no candidate has an n-gram that long.

    Elsewhere: sentence BLEU with smoothing (Lin and Och 2004); scores times 100; the tokenizer is a convention, too
    (Post 2018, "A Call for Clarity in Reporting BLEU Scores").

    Source: Papineni et al. 2002, "BLEU: a Method for Automatic Evaluation of Machine Translation", sections 2.1 to 2.3.
    Difficulty 3 of 5, about 30 minutes.
    """
    ### BEGIN SOLUTION
    def grams(tokens, n):
        return Counter(tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1))

    pairs = list(zip(candidates, references))
    c = sum(len(candidate) for candidate in candidates)
    r = sum(min((abs(len(ref) - len(cand)), len(ref)) for ref in refs)[1] for cand, refs in pairs)
    product = 1.0
    for n in range(1, max_n + 1):
        matched = total = 0
        for candidate, refs in pairs:
            counts, allowed = grams(candidate, n), Counter()
            for reference in refs:
                allowed |= grams(reference, n)  # the larger of the two counts
            matched += sum((counts & allowed).values())  # the smaller one
            total += sum(counts.values())
        if matched == 0:
            return 0.0
        product *= matched / total
    return product ** (1 / max_n) * min(1.0, math.exp(1 - r / c))
    ### END SOLUTION

# %% check="bleu" points=3

# %% [markdown]
r"""
The example 1 of the paper: two translations of a Chinese sentence and three references. Count along for the first
candidate: 17 of its 18 words occur in a reference (the paper's own number; the missing one is *obeys*).
"""

# %%
REFERENCES = [
    "It is a guide to action that ensures that the military will forever heed Party commands",
    "It is the guiding principle which guarantees the military forces always being under the command of the Party",
    "It is the practical guide for the army always to heed the directions of the party",
]
CANDIDATES = {
    "candidate 1": "It is a guide to action which ensures that the military always obeys the commands of the party",
    "candidate 2": "It is to insure the troops forever hearing the activity guidebook that party direct",
    "the x 7": "the the the the the the the",
}
if ready(lambda: bleu([["a"]], [[["a"]]], 1)):
    allowed = [line.lower().split() for line in REFERENCES]
    for name, line in CANDIDATES.items():
        scores = [bleu([line.lower().split()], [allowed], n) for n in (1, 2, 3, 4)]
        print(f"{name:12s} BLEU up to n = 1, 2, 3, 4:", "  ".join(f"{score:.3f}" for score in scores))

# %% [markdown]
r"""
## 12. Experiment: translate dates

Now your parts work together. The data are days from 1930 to 2049, written in English and in French or German, in three
styles of Unicode's CLDR tables (through Babel): short, medium and long. A source begins with the language that is
wanted. The split is by day, and no text of the held-out side occurs in training.
"""

# %%
train_pairs, held_pairs = data.split_dates(styles=("short", "medium", "long"))
held_pairs = [pair for pair in held_pairs if pair.day.day % 3 == 1]  # days 1, 4, 7 ...: a third is enough


def asked(pair):
    """What the encoder reads."""
    return f"<{pair.language}>{pair.source}"


english, foreign = data.Pieces(map(asked, train_pairs)), data.Pieces(pair.target for pair in train_pairs)


def batch_of(texts, pieces, end):
    rows = [torch.tensor(pieces.encode(text) + end) for text in texts]
    return nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=PAD)


sources = batch_of(map(asked, train_pairs), english, [])
targets = batch_of([pair.target for pair in train_pairs], foreign, [EOS])
held_sources = batch_of(map(asked, held_pairs), english, [])
held_targets = batch_of([pair.target for pair in held_pairs], foreign, [EOS])
print(f"{len(train_pairs):,} pairs to train on, {len(held_pairs):,} held out; "
      f"{len(english)} pieces of English, {len(foreign)} of French and German")
for pair in train_pairs[:6]:
    print(f"  {asked(pair):32s} -> {pair.target}")
print("as pieces:", [english.pieces[i] for i in sources[0].tolist() if i != PAD])

# %% [markdown]
r"""
The model has two layers, width 48 and four heads; it is trained for 350 steps of 128 pairs with Adam as in the paper
(section 5.3: betas 0.9 and 0.98), your loss and your schedule. At the end stands the mean of its last five checkpoints,
as in the paper's section 6.1: the steps are large, and each single one leaves the weights a little off. All this takes
less than a minute. The fast profile trains one translator, `pre-norm`. Four arms were recorded by the course's authors,
each with ten seeds, with a model made of PyTorch's own layers; their table stands behind your finding:

- `pre-norm`, and `post-norm`: the same but for the place of the normalisation;
- `not shifted`: the decoder is given the target itself;
- `shifted twice`: the target is moved once for the decoder and once more in the loss.
"""

# %%
recorded = json.loads((Path(course.__file__).parent / "runs" / "dates.json").read_text())
WIDTH, HIDDEN, STEPS, BATCH = (recorded[name] for name in ("width", "hidden", "steps", "batch"))
WARMUP, FACTOR, KEPT, APART = (recorded[name] for name in ("warmup", "factor", "kept", "apart"))
HEADS, LAYERS = 4, 2
ARMS = {
    "pre-norm": {},
    "not shifted": {"shifts": 0},
    "shifted twice": {"shifts": 2},
    "post-norm": {"norm": "post"},
}


def fed(target, shifts):
    """What goes into the decoder and what should come out. One shift is right."""
    given = target if shifts == 0 else shift_right(target)
    return (given[:, :-1], target[:, 1:]) if shifts == 2 else (given, target)


def train_translator(run, norm="pre", shifts=1):
    gen, kept = torch.Generator().manual_seed(run), []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(run)
        model = Transformer(len(english), len(foreign), WIDTH, HEADS, LAYERS, HIDDEN, norm=norm)
    optimiser = torch.optim.Adam(model.parameters(), lr=1.0, betas=(0.9, 0.98), eps=1e-9, fused=True)
    for step in range(1, STEPS + 1):
        optimiser.param_groups[0]["lr"] = warmup_schedule(step, WIDTH, WARMUP, FACTOR)
        some = torch.randint(len(sources), (BATCH,), generator=gen)
        given, labels = fed(targets[some], shifts)
        loss = smoothed_cross_entropy(model(sources[some], given), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if step > STEPS - KEPT * APART and step % APART == 0:
            kept.append([p.detach().clone() for p in model.parameters()])
    with torch.no_grad():
        for p, *versions in zip(model.parameters(), *kept, strict=True):
            p.copy_(torch.stack(versions).mean(0))
    return model.eval(), loss.item()


def translate(model, ids):
    return [foreign.decode(row) for row in greedy_decode(model, ids, 16).tolist()]


def token_accuracy(model, shifts=1):
    """Share of tokens that are right when all earlier ones are given (teacher forcing)."""
    given, labels = fed(held_targets, shifts)
    with torch.no_grad():
        guesses = model(held_sources, given).argmax(-1)
    return (guesses == labels)[labels != PAD].float().mean().item()


right_answers = {}  # what a source may be translated to: every target that stands beside it in the data
for pair in held_pairs:
    right_answers.setdefault(asked(pair), set()).add(pair.target)

# %%
translator = outputs = None
word = torch.ones(1, 1, dtype=torch.int64)
parts_ready = ready(lambda: (
    Transformer(4, 4, 8, 2, 1, 8)(word, shift_right(word)), smoothed_cross_entropy(torch.zeros(1, 1, 4), word),
    warmup_schedule(1, 4), greedy_decode(ScriptedModel(torch.zeros(2, 4)), word, 2), bleu([["a"]], [[["a"]]]),
))  # fmt: skip
if parts_ready:
    for name, settings in ARMS.items():
        if profile == "fast" and name != "pre-norm":
            continue
        model, loss = train_translator(seed, **settings)
        texts = translate(model, held_sources)
        exact = sum(text == pair.target for text, pair in zip(texts, held_pairs)) / len(texts)
        right = sum(text in right_answers[asked(pair)] for text, pair in zip(texts, held_pairs)) / len(texts)
        print(f"yours, {name}, seed {seed}: last loss {loss:.3f}, token accuracy "
              f"{token_accuracy(model, settings.get('shifts', 1)):.4f}, exact match {exact:.4f}, right {right:.4f}")
        if translator is None:
            translator, outputs = model, texts

# %% [markdown]
r"""
`token accuracy` is measured with teacher forcing, all the others on what `greedy_decode` wrote. `right` counts every
answer that is the translation of its source *somewhere* in the held-out data. Why is it larger than exact match? Look
at the errors before you go on. In the largest group, does the source say all that the reference needs?
"""

# %%
def pieces_of(text):
    return data.Pieces.PATTERN.findall(text)


def where_it_differs(pair, text):
    """"length", "year" (the rest is right), or "day or month"."""
    got, wanted = pieces_of(text), pieces_of(pair.target)
    digits = 2 if (pair.language, pair.style) == ("de", "short") else 4
    if len(got) != len(wanted):
        return "length"
    return "year" if got[:-digits] == wanted[:-digits] else "day or month"


if outputs:
    misses = [(pair, text) for pair, text in zip(held_pairs, outputs) if text != pair.target]
    print(f"{len(misses)} of {len(held_pairs)} are not their reference")
    for language in ("fr", "de"):
        for style in ("short", "medium", "long"):
            group = [(pair, text) for pair, text in misses if (pair.language, pair.style) == (language, style)]
            other = sum(text in right_answers[asked(pair)] for pair, text in group)
            parts = dict(Counter(where_it_differs(pair, text) for pair, text in group))
            print(f"  {language} {style:7s} {len(group):3d}, of which {other:3d} are another right answer   {parts}")
    shown = Counter()
    for pair, text in misses:
        kind = "right elsewhere" if text in right_answers[asked(pair)] else "wrong"
        shown[kind, pair.language, pair.style] += 1
        if shown[kind, pair.language, pair.style] <= 2:
            print(f"  {kind:16s} {asked(pair):32s} -> {text:28s} reference: {pair.target}")

# %% [markdown]
r"""
Where a source has several right answers, whoever guesses is wrong now and then. So exact match has a **ceiling** that
belongs to the data. A translator gives one answer for each source; with k right answers in the data it meets one of k.
"""

# %%
ceiling = sum(1 / len(right_answers[asked(pair)]) for pair in held_pairs) / len(held_pairs)
print(f"the best exact match that any translator can reach: {ceiling:.4f}")

# %% exercise="translation_finding"
# What came out: a dict with
#
#   "right"    share of YOUR translator's outputs that are a right answer, three decimals or more
#   "exact"    its exact match, three decimals or more
#   "ceiling"  the best exact match that any translator can reach on these pairs, three decimals or more
#   "group"    the language and style with the most outputs that are not their reference: "fr long", for example
#   "missing"  what the source of that group does not say: "day", "month", "year" or "language"
#
# Difficulty 2 of 5, about 10 minutes.
### BEGIN SOLUTION
translation_finding = {"right": 0.999, "exact": 0.953, "ceiling": 0.954, "group": "fr short", "missing": "year"}
### END SOLUTION

# %% check="translation_finding" points=3

# %% [markdown]
r"""
Two of the groups are no mistakes of the model. *5/16/35* is 1935 or 2035, and French writes the whole year: the answer
is not in the input. (That is why the split takes care: the short style writes 1926 and 2026 alike, so the side of a day
is decided by its year without century, its month and its day.) *May 16, 1935* is the medium style and also the long
style, because *May* has no shorter form; in German the two differ (16.05.1935 and 16. Mai 1935). Nobody can know which
one is meant. What is wrong by any reference is mostly in short dates, too, for example a year of three digits.

The recorded arms, and what was wrong in them:
"""

# %%
print("recorded: number of seeds, then median (smallest to largest)")
print(f"{'':16s}" + "".join(f"{title:>21s}" for title in ("token accuracy", "exact match", "right", "BLEU")))
for name, by_seed in recorded["runs"].items():
    line = f"{name:14s}{len(by_seed):2d}"
    for measure in ("tokens", "exact", "right", "bleu"):
        values = sorted(run[measure] for run in by_seed.values())
        line += f"{values[len(values) // 2]:.3f} ({values[0]:.3f}-{values[-1]:.3f})".rjust(21)
    print(line)
for name, by_seed in recorded["runs"].items():
    print(f"{name:15s} its first seed writes {min(by_seed.items())[1]['first']}")
for name in ("pre-norm", "post-norm"):
    runs = recorded["runs"][name].values()
    groups, wrong = Counter(), Counter()
    for run in runs:
        groups.update(run["not_exact"])
        wrong.update(run["not_right"])
    print(f"{name}, {len(runs)} seeds together, not the reference:", dict(groups.most_common(3)))
    print("    wrong by any reference:", dict(wrong.most_common(4)), f"of {len(runs) * recorded['pairs']:,}")

# %% [markdown]
r"""
Two arms deserve a look. `not shifted` has the best token accuracy of all, exactly 1, and not one right date: it learned
to copy its input, and when it translates there is nothing to copy. `shifted twice` looks healthy too, and what it
writes begins with the second piece: the first one it was never asked for. `post-norm` does as well as
`pre-norm` in nine seeds of ten, and one seed ended at 0.944: two layers are not deep, and there is a warm-up.

**Where does it look?** The cross-attention of the last decoder layer for one date, mean over the heads. Each row is the
step that writes a piece, each column a piece of the source. Before you run it: which column should the row of the month
read, and which one the last row?
"""

# %%
if translator is not None:
    pair = next(p for p in held_pairs if (p.language, p.style) == ("de", "long") and p.day.day > 9)
    kept = []
    watch = translator.decoder[-1].cross_attention.register_forward_hook(lambda _, given, out: kept.append(out[1]))
    ids = torch.tensor([english.encode(asked(pair))])
    with torch.no_grad():
        translator(ids, shift_right(torch.tensor([[*foreign.encode(pair.target), EOS]])))
    watch.remove()
    weights = kept[0][0].mean(0)  # (T, S)
    figure, axes = plots.new(6.4, 5)
    axes.imshow(weights, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    below = [english.pieces[i] for i in ids[0].tolist()]
    beside = [foreign.pieces[i] for i in foreign.encode(pair.target)] + ["<eos>"]
    axes.set(xticks=range(len(below)), yticks=range(len(beside)), xlabel="is read", ylabel="is written")
    axes.set_xticklabels(below, rotation=60, ha="right")
    axes.set_yticklabels(beside)
    plots.show(figure, alt="Cross-attention of one date as a grid: the digits of the year lie on a diagonal.")

# %% [markdown]
r"""
The digits read their digits. Do not take the other rows for an explanation: behind two encoder layers a column stands
for what the encoder has gathered at that place, not for the piece written below it. (The authors' month read the comma
behind the day more than its own name.)

**What does BLEU say about it?** Take the references themselves and spoil each one a little: in every translation the
last digit of the year is wrong. Then compare with your translator.
"""

# %%
def spoiled(text):
    """The same date with its last digit one too large (9 becomes 0)."""
    return text[:-1] + str((int(text[-1]) + 1) % 10)


if outputs:
    one = [[pieces_of(pair.target)] for pair in held_pairs]
    several = [[pieces_of(text) for text in sorted(right_answers[asked(pair)])] for pair in held_pairs]
    everything_wrong = [pieces_of(spoiled(pair.target)) for pair in held_pairs]
    yours = [pieces_of(text) for text in outputs]
    print(f"your translator: BLEU {bleu(yours, one):.3f} with one reference, {bleu(yours, several):.3f} with several")
    print(f"each year wrong: BLEU {bleu(everything_wrong, one):.3f}, exact match 0")

# %% [markdown]
r"""
BLEU does not know that one digit is the whole point. It was made to rank systems on whole corpora of free text, where
no output equals its reference and where judgements of people agree with the ranking (Papineni et al. 2002, section 5);
for a date, a price or a dose it answers another question. With several references, as the paper meant it, the
undecidable dates cost nothing any more.

## 13. Bug hunt

**The first: a training loss.** A model class prepares its decoder's input by itself and then computes its loss with
the library's function for language models. A good model was fine-tuned with it. The loss fell and the token accuracy on
the validation set looked healthy, but what the model wrote became worse.
"""

# %%
def causal_lm_loss(logits, labels):
    """The library's loss for models without an encoder: position t is scored on label t + 1."""
    return nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), ignore_index=PAD)


def published_loss(model, source, target):
    """Training loss of an encoder-decoder."""
    batch_size, length = target.shape
    decoder_input = torch.cat([torch.full((batch_size, 1), BOS), target[:, : length - 1]], dim=1)
    return causal_lm_loss(model(source, decoder_input), target)

# %% exercise="repaired_loss"
def repaired_loss(model, source: Tensor, target: Tensor) -> Tensor:
    """Training loss of an encoder-decoder.

    model    called as model(source, decoder_input) -> logits (B, T, V); it does not shift anything by itself
    source   (B, S) int64
    target   (B, T) int64, tokens and EOS, PAD behind; each row has its EOS at least
    returns  () mean cross-entropy in nats, without smoothing, over all real tokens of the batch, the first token and
             EOS among them; gradients flow through it. The model stays in its mode (train or eval).

    Difficulty 2 of 5, about 10 minutes.
    """
    ### BEGIN SOLUTION
    return smoothed_cross_entropy(model(source, shift_right(target)), target, smoothing=0.0)
    ### END SOLUTION

# %% check="repaired_loss" points=2

# %% [markdown]
r"""
Each function is right on its own. Together they shift twice: given the tokens *before* t, the model is asked for token
t + 1, and token t is never asked for. In the transformers library a common loss function brought this into
`VisionEncoderDecoderModel` (pull request 40185 names release 4.50 as the first), and in 2026 the same was found in
Moonshine, CohereASR, Florence-2 and PPFormulaNet (46784, 46895, 46898, issue 46901). The opposite, no shift at all, was
in MONAI's GenerativeModels until its issue 314.

What it costs: loss and token accuracy look healthy, on the validation set too, because both are measured with the same
two shifts. Fine-tuning damages a good model, step by step, and the first one to notice is whoever reads what it writes.
The recorded arms of section 12 again:
"""

# %%
for name in ("not shifted", "pre-norm", "shifted twice"):
    middle = {m: sorted(run[m] for run in recorded["runs"][name].values()) for m in ("tokens", "exact")}
    print(f"{name:14s} median token accuracy {middle['tokens'][len(middle['tokens']) // 2]:.3f}, "
          f"exact match {middle['exact'][len(middle['exact']) // 2]:.3f}")

# %% [markdown]
r"""
**The second: a validation loss.** This is called every thousand steps, in the middle of an epoch. Three things are
wrong with it, and none of them raises an error:
"""

# %%
def published_validation(model, batches):
    """Mean loss on the validation set."""
    model.eval()
    losses = [repaired_loss(model, source, target) for source, target in batches]
    return (sum(losses) / len(losses)).item()

# %% exercise="repaired_validation"
def repaired_validation(model, batches: list[tuple[Tensor, Tensor]]) -> float:
    """Mean loss on the validation set.

    model    an nn.Module, called as model(source, decoder_input) -> logits (B, T, V), with all of its parts in training
             mode or all in evaluation mode
    batches  a list of (source, target) pairs as in repaired_loss; the batches differ in their number of tokens
    returns  a float (a tensor of one number counts as one): cross-entropy in nats per real token, every token of all
             batches counting the same; measured in evaluation mode, without recording gradients

    Afterwards the model is in the mode in which it came.

    Difficulty 2 of 5, about 10 minutes.
    """
    ### BEGIN SOLUTION
    mode = model.training
    model.eval()
    total = tokens = 0
    with torch.no_grad():
        for source, target in batches:
            real = (target != PAD).sum().item()
            total += repaired_loss(model, source, target).item() * real
            tokens += real
    model.train(mode)
    return total / tokens
    ### END SOLUTION

# %% check="repaired_validation" points=2

# %%
if ready(lambda: repaired_loss(ScriptedModel(torch.zeros(2, 4)), word, word)):
    probe = ScriptedModel(torch.zeros(2, 4)).train()
    published_validation(probe, [(word, word)])
    print("after a validation the model is in", "training" if probe.training else "evaluation", "mode")

# %% [markdown]
r"""
The published loop never calls `model.train()` again. From the first validation to the end of the epoch the model trains
without dropout. fartashf/vsepp, the code of a published paper, did this (issue 4); the repair changed its results
noticeably, and became an option, so that the published numbers could still be reproduced. The reverse, measuring with
dropout switched on, was reported for PyTorch's own translation tutorial (pytorch/tutorials, issue 208). Two smaller
mistakes stand beside it: each batch counts the same however many tokens it holds, and a graph is built for a backward
pass that never comes.

`model.train()` and `model.eval()` set all parts alike. Where a part is frozen in evaluation mode while the rest is
trained, each module's own mode has to be remembered: `{m: m.training for m in model.modules()}`.
"""

# %% [markdown]
r"""
## 14. Widely repeated, and wrong

Where a claim was read somewhere, the text is named. The others are conclusions that come easily.

**"97 % of the tokens are right, so nearly all translations are."** The accuracy that training loops print is measured
with teacher forcing: every guess is made with all earlier tokens right. A date is right when all of its pieces are, and
when translating, one wrong piece is an input for all later ones (Ranzato et al. 2016, "Sequence Level Training with
Recurrent Neural Networks", call it exposure bias). The recorded runs were measured both ways as they trained:
"""

# %%
curves = torch.tensor([run["curve"] for run in recorded["runs"]["pre-norm"].values()])  # (seeds, moments, 2)
moments = [recorded["every"] * (i + 1) for i in range(curves.shape[1])]
figure, axes = plots.new(7, 3)
for column, (name, style) in enumerate((("token accuracy, teacher forcing", "s--"), ("exact match", "o-"))):
    axes.plot(moments, curves[:, :, column].median(0).values, style, label=name)
    axes.fill_between(moments, curves[:, :, column].amin(0), curves[:, :, column].amax(0), alpha=0.2)
axes.set(xlabel="step", ylabel="share", ylim=(0, 1.05), xticks=moments)
axes.legend(loc="lower right")
plots.show(figure, alt="Over training steps: token accuracy is high early, exact match follows much later.")
length = (held_targets != PAD).sum(1).float().mean().item()
for moment, (tokens, exact) in zip(moments, curves.median(0).values.tolist()):
    print(f"step {moment:4d}: {tokens:.3f} of the tokens, {exact:.3f} of the dates "
          f"({tokens:.3f} to the power of {length:.1f} pieces is {tokens**length:.3f})")

# %% [markdown]
r"""
**"A loss that stops at 0.72 has not converged."** With smoothed targets no model reaches zero: the cross-entropy is
never less than the entropy of the target, and a smoothed target has one. Your own function says how much, given a
model that predicts the smoothed distribution exactly:
"""

# %%
if ready(lambda: smoothed_cross_entropy(torch.zeros(1, 1, 4), torch.ones(1, 1, dtype=torch.int64))):
    for smoothing in (0.0, 0.1, 0.2):
        V = len(foreign)
        best = torch.full((1, 1, V), smoothing / V)
        best[..., BOS] += 1 - smoothing  # any class will do
        floor = smoothed_cross_entropy(best.clamp(min=1e-30).log(), torch.full((1, 1), BOS), smoothing)
        print(f"epsilon {smoothing:.1f}, {V} classes: the lowest possible loss is {floor.item():.3f}")
    last = sorted(run["loss"] for run in recorded["runs"]["pre-norm"].values())
    print(f"the recorded translators ended between {last[0]:.3f} and {last[-1]:.3f}, each on its last batch")

# %% [markdown]
r"""
Losses under different smoothing are therefore not comparable, and "perplexity" computed from a smoothed loss means
nothing. Measure both on the plain cross-entropy.
"""

# %% [markdown]
r"""
**"Batch normalisation fails on text because sentences have different lengths."** So say pages that prepare for
interviews (for example mlprep.co, "Batch Norm vs Layer Norm"). Lengths are no obstacle: pick the real tokens with
`keep`, and batch normalisation sees N vectors and no padding. The cell pads the same sentences to 12 and to 40 tokens.
What stays is what section 2 measured, and a gap between the two modes: in training the statistics of a small batch, in
evaluation those of many.
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
        trained, alone = norm(batch), norm.eval()(batch)
        gaps["training against evaluation"].append(((trained - alone).norm() / alone.norm()).item())
    for what, values in gaps.items():
        values = sorted(values)
        print(f"{what:28s} difference: median {values[len(values) // 2]:.3f}  ({values[0]:.3f} to {values[-1]:.3f})")

# %% [markdown]
r"""
All batches here come from one distribution, which is the best case. Shen et al. 2020 measured that the batch
statistics of real text fluctuate much more than those of images, throughout training, and name this as the cause. Wang,
Wu and Huang 2022 ("Understanding the Failure of Batch Normalization for Transformers in NLP", abstract) found the gap
between the two modes to be the leading one.

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
**"Language models are still built and trained with the settings of 2017."** Attention, the residual stream and Adam
with a warm-up have stayed. Little else has, for example in Llama (7B):

| | Vaswani et al. 2017 (sections 3.1 to 3.5, 5.3, 5.4) | Touvron et al. 2023 (sections 2.2 and 2.3, table 2) |
| --- | --- | --- |
| norm | LayerNorm, of the sum | RMSNorm, of what goes in |
| feed-forward | ReLU | SwiGLU |
| positions | sinusoids, added once | rotary, in every layer |
| optimiser | Adam, betas 0.9 and 0.98 | AdamW, betas 0.9 and 0.95, weight decay 0.1, clipping at 1.0 |
| smoothing | 0.1, and dropout 0.1 | none is named |
| learning rate | up for 4,000 steps, then as step^(-1/2) | up for 2,000 steps, then a cosine to a tenth of its peak |

How much does the last row change? Llama saw a trillion tokens, four million in each step:
"""

# %%
TOTAL, UP, HIGHEST = 10**12 // (4 * 10**6), 2000, 3e-4  # steps, warm-up, largest rate


def cosine_share(step):
    """The rate as a share of its peak: a line up, then half a cosine from 1 to 0.1."""
    return step / UP if step < UP else 0.1 + 0.45 * (1 + math.cos(math.pi * (step - UP) / (TOTAL - UP)))


if ready(lambda: warmup_schedule(1, 4)):
    peak, steps = warmup_schedule(UP, 4096, UP), range(1, TOTAL + 1, 250)
    shares = {
        "2017: inverse root": [warmup_schedule(step, 4096, UP) / peak for step in steps],
        "Llama: cosine": [cosine_share(step) for step in steps],
    }
    figure, axes = plots.new(7, 2.6)
    for (name, values), style in zip(shares.items(), ("-", "--"), strict=True):
        axes.plot(steps, values, style, label=name)
        print(f"{name:20s} half way: {values[len(values) // 2]:.2f} of its peak, at the end {values[-1]:.2f}, "
              f"on average {sum(values) / len(values):.2f}")
    axes.set(xlabel="step", ylabel="share of the peak")
    plots.legend(axes, "upper right")
    plots.show(figure, alt="Share of the peak rate over steps: the inverse root falls at once, the cosine slowly.")
    print(f"the peak that the formula of 2017 gives for D = 4096 and {UP:,} steps: {peak:.1e}; Llama's: {HIGHEST:.1e}")

# %% [markdown]
r"""
Peak and end nearly agree. Between them the cosine keeps the rate high, and it has to know in advance how many steps
there will be; the inverse root does not.
"""

# %% [markdown]
r"""
## 15. Explain

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

# %% [markdown] explain="teacher_forcing" points=2
r"""
**What is teacher forcing, and what does it hide?** Say what the decoder is given in training and in translation, why
the target is shifted by exactly one place, and which measurement you would trust before a release.

=== BEGIN MARK SCHEME ===
- 0.5 points: training: the true earlier tokens, all positions at once under a causal mask; translation: its own earlier
  outputs, one step after another.
- 0.5 points: without a shift the answer stands in the input and is copied (token accuracy 1, exact match 0 in section
  12); with two shifts a token is skipped.
- 0.5 points: it hides how errors act on later tokens, and that all tokens of an output must be right together.
- 0.5 points: measure what is generated (exact match for dates; BLEU or people for free text), and read the errors.
=== END MARK SCHEME ===
"""
