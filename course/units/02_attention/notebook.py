# %% [markdown]
r"""
# 02 · Attention

You write attention from the softmax up: masks, heads, cross-attention, two GPU kernels. Then you measure what it can
and cannot do, work out its gradients, look inside three heads, and repair two mistakes.

**You need** unit 01 (why recurrence runs out of room) and unit 00 (programs, offsets, masks in Triton).

**Time:** a good five hours for the exercises that `course list attention` names; then questions to answer in words.

**Conventions, for the whole unit:**

| what | here |
| --- | --- |
| letters | `B` batch, `H` heads, `T` queries, `S` keys, `D` model width, `d` = `D / H` width of one head |
| boolean mask | `True` = this query **may look** at this key |
| float mask | is **added** to the scaled scores; `-inf` blocks |
| a query that may look at nothing | weights all zero, output all zero, no NaN |

**How answers are judged.** A docstring may say otherwise; where it doesn't,

- arguments stay as they are: tensors, masks and modules' inputs;
- numbers are float32 or float64, results have the dtype of the inputs, and computing in that dtype is precise enough;
  sizes are 1 or more;
- gradients flow through results, without NaN; kernels have no backward pass here;
- library functions are allowed, `torch.softmax` too.

Below every exercise stand two or three folded hints and a check. Run the check as often as you like.
"""

# %% tags=["parameters"]
profile = "fast"  # ten seeds for each measurement; "full" takes a hundred
seed = 0
device = "cpu"

# %%
import math

import matplotlib
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from course import check, plots, ready
from course.kernels import show_accesses, tl, triton

matplotlib.rcParams.update(plots.STYLE)
RUNS = range(seed, seed + (10 if profile == "fast" else 100))  # seeds of every measurement below

# %% [markdown]
r"""
## 1. Why

Unit 01 ended with attention on top of a recurrent encoder: one vector no longer has to hold the whole sentence, because
the decoder may look at every state. The states themselves are still made one after another. To learn that the last word
depends on the first, the gradient has to walk back through every step between them, and each step multiplies it by the
same kind of matrix.

Attention removes the walk. The last position computes one score per earlier position and takes a weighted mean of all
of them: every position is one step away. The figure below measures this. It asks, for a random recurrent network and a
random attention layer, how strongly the last output reacts to the input that lies *k* steps back. No training, ten
seeds; the line is their median, the band reaches from the smallest to the largest.
"""

# %%
STEPS, WIDTH = 40, 32


def recurrent_last(inputs, gen):
    """Last state of h = tanh(W h + U x); W has a spectral radius of about 0.9."""
    w = 0.9 * torch.randn(WIDTH, WIDTH, generator=gen) / math.sqrt(WIDTH)
    u = torch.randn(WIDTH, WIDTH, generator=gen) / math.sqrt(WIDTH)
    state = torch.zeros(WIDTH)
    for x in inputs:
        state = torch.tanh(w @ state + u @ x)
    return state


def attended_last(inputs, gen):
    """What the last position reads: a weighted mean over all positions."""
    to_query, to_key, to_value = torch.randn(3, WIDTH, WIDTH, generator=gen) / math.sqrt(WIDTH)
    affinity = (inputs @ to_key.T) @ (to_query @ inputs[-1]) / WIDTH**0.5
    share = torch.exp(affinity - affinity.max())
    return (share / share.sum()) @ (inputs @ to_value.T)


def reaction(last_of, run):
    """(STEPS,) norm of d(last output . random direction) / d(input k steps back), k = 0 first."""
    gen = torch.Generator().manual_seed(run)
    inputs = torch.randn(STEPS, WIDTH, generator=gen, requires_grad=True)
    direction = torch.randn(WIDTH, generator=gen) / math.sqrt(WIDTH)
    (last_of(inputs, gen) @ direction).backward()
    return inputs.grad.norm(dim=-1).flip(0)


curves = {
    "recurrent network": torch.stack([reaction(recurrent_last, run) for run in RUNS]),
    "attention": torch.stack([reaction(attended_last, run) for run in RUNS]),
}

figure, axes = plots.new(7, 3.2)
for (name, curve), style in zip(curves.items(), ("--", "-"), strict=True):
    axes.semilogy(curve.median(0).values, style, label=name)
    axes.fill_between(range(STEPS), curve.amin(0), curve.amax(0), alpha=0.2)
axes.set(xlabel="steps back", ylabel="gradient norm at that input", title="How far back does the last output react?")
axes.legend(loc="lower left")
plots.show(figure, alt="Gradient norm over steps back: falls steadily for the recurrent network, flat for attention.")

for name, curve in curves.items():
    far = curve[:, 1] / curve[:, -1]
    print(f"{name:18s} one step back / {STEPS - 1} steps back: "
          f"median {far.median().item():9.3g}, smallest {far.min().item():9.3g}, largest {far.max().item():9.3g}")

# %% [markdown]
r"""
The attention curve is flat. That is the gain, and it has two prices. Attention compares every position with every
other, so its cost grows with the square of the length (you will count it). And a flat curve means it cannot see order
at all (you will measure that too; unit 03 repairs it).

## 2. From scores to weights

Attention turns scores into weights with a softmax,

$$\operatorname{softmax}(x)_i = \frac{e^{x_i}}{\sum_j e^{x_j}}.$$

In exact arithmetic any constant may be subtracted from all $x_i$. In float32 the choice matters:
"""

# %%
for exponent in (88.0, 89.0, -103.0, -104.0):
    print(f"exp({exponent:6.0f}) = {torch.tensor(exponent).exp().item():.4g}")

# %% [markdown]
r"""
Write a softmax that does not mind scores of any size.
"""

# %% exercise="stable_softmax"
def stable_softmax(x: Tensor, dim: int = -1) -> Tensor:
    """Softmax along one dimension that neither overflows nor divides zero by zero.

    x        float, one dimension or more; any size of numbers, for example all near 300 or all near -500; entries may
             be -inf (they get weight 0) as long as each row has one finite entry
    dim      the dimension along which the weights sum to 1
    returns  same shape and dtype as x; x itself stays as it was

    softmax(x)_i = exp(x_i - c) / sum_j exp(x_j - c), the same for every c: choose c well, for each row.
    Write it with exp and sum.
    Not allowed: library softmax functions and losses (torch.softmax, log_softmax, logsumexp, cross_entropy).

    Source: Blanchard, Higham and Higham 2021, "Accurately computing the log-sum-exp and softmax functions".
    Difficulty 1 of 5, about 10 minutes.
    """
    ### BEGIN SOLUTION
    shifted = (x - x.amax(dim=dim, keepdim=True)).exp()
    return shifted / shifted.sum(dim=dim, keepdim=True)
    ### END SOLUTION

# %% check="stable_softmax" points=2

# %% [markdown]
r"""
## 3. Scaled dot-product attention

Each query compares itself with every key, the scores become weights, the weights mix the values (Vaswani et al. 2017,
equation 1):

$$\operatorname{Attention}(Q, K, V) = \operatorname{softmax}\!\left(\frac{Q K^{\top}}{\sqrt{d_k}}\right) V$$

A mask acts **before** the softmax. Then blocked keys get weight zero and the others still sum to one. Two kinds of mask
are in use and you support both: boolean (`True` = may look) and float (added to the scaled scores; `-inf` blocks, a
finite number is a bias).
"""

# %% exercise="scaled_dot_product_attention"
def scaled_dot_product_attention(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """softmax(q k^T / sqrt(d_k) + mask) v, and the weights.

    q        (..., T, d_k)  queries
    k        (..., S, d_k)  keys
    v        (..., S, d_v)  values
    mask     None, or broadcastable to (..., T, S).
             bool: True = this query may look at this key. float, of q's dtype: added to the scaled scores, -inf blocks.
    returns  out (..., T, d_v), weights (..., T, S). Rows of the weights sum to 1; a query that may look at no key has
             weights 0 and output 0, and no NaN reaches any gradient.

    Not allowed: library attention (F.scaled_dot_product_attention, nn.MultiheadAttention, nn.Transformer).

    Source: Vaswani et al. 2017, "Attention Is All You Need", section 3.2.1, equation 1.
    Difficulty 3 of 5, about 25 minutes.
    """
    ### BEGIN SOLUTION
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])  # (..., T, S)
    if mask is None:
        weights = stable_softmax(scores)
        return weights @ v, weights
    scores = scores.masked_fill(~mask, -math.inf) if mask.dtype == torch.bool else scores + mask
    empty = (scores == -math.inf).all(dim=-1, keepdim=True)  # (..., T, 1) queries with nothing to read
    weights = stable_softmax(scores.masked_fill(empty, 0.0)).masked_fill(empty, 0.0)
    return weights @ v, weights
    ### END SOLUTION

# %% check="scaled_dot_product_attention" points=5

# %% [markdown]
r"""
## 4. Who may look at whom

**Causal mask.** A model that predicts the next token must not read it. Query $i$ may look at itself and at what came
before. When there are fewer queries than keys, the queries are the *last* ones: this happens when a model generates and
the earlier keys are already stored (unit 11). Row 0 of a mask for 2 queries and 6 keys is position 4.

```
causal_mask(2, 6)     key   0 1 2 3 4 5
        position 4          1 1 1 1 1 0
        position 5          1 1 1 1 1 1
```

**Padding mask.** Sentences of one batch differ in length and are filled up with padding. No query may look at padding.
The mask belongs to the keys, so it must spread over heads and queries: shape `(B, 1, 1, S)`.

**Both.** A decoder needs both at once: a key may be read when *every* mask allows it.
"""

# %% exercise="causal_mask"
def causal_mask(n_queries: int, n_keys: int) -> Tensor:
    """Which keys may each query read, if nobody may read the future?

    n_queries  T, the last T positions of the sequence; 1 <= T <= S
    n_keys     S, all positions from 0 to S - 1
    returns    (T, S) bool, True = may look. Query row i is position S - T + i; it sees itself and everything earlier.

    Source: Vaswani et al. 2017, section 3.2.3 (masking in the decoder).
    Difficulty 2 of 5, about 10 minutes.
    """
    ### BEGIN SOLUTION
    positions = torch.arange(n_keys)
    return positions <= positions[n_keys - n_queries :, None]
    ### END SOLUTION

# %% check="causal_mask" points=3

# %% exercise="padding_mask"
def padding_mask(lengths: Tensor, n_keys: int) -> Tensor:
    """Which keys are real tokens?

    lengths  (B,) int64, number of real tokens in each row of the batch; they stand first, padding follows
    n_keys   S, length of the padded rows
    returns  (B, 1, 1, S) bool, True = may look; broadcasts over heads and over queries

    Difficulty 1 of 5, about 8 minutes.
    """
    ### BEGIN SOLUTION
    real = torch.arange(n_keys) < lengths[:, None]  # (B, S)
    return real[:, None, None, :]
    ### END SOLUTION

# %% check="padding_mask" points=2

# %% exercise="combine_masks"
def combine_masks(*masks: Tensor | None) -> Tensor | None:
    """One mask that allows only what every mask allows.

    masks    boolean, True = may look; shapes that broadcast against each other, for example (T, S) and (B, 1, 1, S).
             None means "no restriction".
    returns  the broadcast shape, bool; None when there is no mask at all, or only None

    Difficulty 1 of 5, about 8 minutes.
    """
    ### BEGIN SOLUTION
    given = [mask for mask in masks if mask is not None]
    if not given:
        return None
    both = given[0]
    for mask in given[1:]:
        both = both & mask
    return both
    ### END SOLUTION

# %% check="combine_masks" points=2

# %% [markdown]
r"""
Here are your masks side by side for a batch of two rows, 6 and 4 tokens long.
"""

# %%
if ready(lambda: combine_masks(causal_mask(2, 2), padding_mask(torch.tensor([2]), 2))):
    pads = padding_mask(torch.tensor([6, 4]), 6)
    shown = {
        "causal": causal_mask(6, 6),
        "padding, row 1": pads[1, 0].expand(6, 6),
        "both, row 1": combine_masks(causal_mask(6, 6), pads)[1, 0],
        "causal, last 2 queries": causal_mask(2, 6),
    }
    figure = Figure(figsize=(9, 2.6), layout="constrained")
    panels = figure.subplots(1, 4)
    for panel, (name, allowed) in zip(panels, shown.items(), strict=True):
        panel.imshow(allowed, cmap="Blues", vmin=0, vmax=3)
        panel.set(title=name, xlabel="key", xticks=range(6), yticks=range(len(allowed)))
        for row, column in allowed.nonzero().tolist():
            panel.text(column, row, "1", ha="center", va="center")
    panels[0].set_ylabel("query")
    plots.show(figure, alt="Four masks as grids of ones: causal, padding, both, and causal for the last two queries.")

# %% [markdown]
r"""
## 5. Several heads

One softmax gives one set of weights: a query that must look at the subject *and* at the verb gets a blend. Multi-head
attention cuts the width $D$ into $H$ heads of $d = D/H$ and lets each attend on its own (Vaswani et al. 2017, section
3.2.2):

$$\operatorname{MultiHead}(X) = \operatorname{Concat}(\text{head}_1, \dots, \text{head}_H)\, W^O, \qquad
\text{head}_h = \operatorname{Attention}(X W^Q_h,\; X W^K_h,\; X W^V_h)$$

In code one matrix of shape $(D, D)$ holds the $W_h$ of all heads side by side: head $h$ owns columns $hd$ to $(h+1)d$
of the result. Splitting is only a matter of moving axes, and moving them wrongly keeps every shape right. So the check
looks at which number lands where.
"""

# %% exercise="split_heads"
def split_heads(x: Tensor, num_heads: int) -> Tensor:
    """Cut the last dimension into heads and move the heads in front of the tokens.

    x          (B, T, D), D a multiple of num_heads
    num_heads  H
    returns    (B, H, T, D // H) with result[b, h, t] == x[b, t, h * d : (h + 1) * d], d = D // H

    Difficulty 2 of 5, about 8 minutes.
    """
    ### BEGIN SOLUTION
    B, T, D = x.shape
    return x.reshape(B, T, num_heads, D // num_heads).transpose(1, 2)  # (B, H, T, d)
    ### END SOLUTION

# %% check="split_heads" points=2

# %% exercise="merge_heads"
def merge_heads(x: Tensor) -> Tensor:
    """The inverse of split_heads: put each token's heads side by side again.

    x        (B, H, T, d)
    returns  (B, T, H * d) with result[b, t, h * d : (h + 1) * d] == x[b, h, t]

    Difficulty 2 of 5, about 5 minutes.
    """
    ### BEGIN SOLUTION
    B, H, T, d = x.shape
    return x.transpose(1, 2).reshape(B, T, H * d)  # (B, T, D)
    ### END SOLUTION

# %% check="merge_heads" points=2

# %% exercise="MultiHeadAttention"
class MultiHeadAttention(nn.Module):
    """Multi-head self-attention.

    d_model    D, width of the input and of the output
    num_heads  H, 1 or more; raises ValueError when D is not a multiple of H
    dropout    probability from 0 to 1 that a weight is set to zero, in training only (nn.Dropout on the weights)

    Masks are bool or float, as in scaled_dot_product_attention. A query that may look at no key has weights 0 in every
    head, and only the bias of w_o is left of its output.

    Parameters, by their names in the state dict: `w_q`, `w_k`, `w_v`, `w_o`, each an nn.Linear(D, D) with bias. The
    columns of w_q, w_k, w_v belong to the heads in order: head h owns columns h * d to (h + 1) * d.

    Not allowed: library attention (F.scaled_dot_product_attention, nn.MultiheadAttention, nn.Transformer).

    Source: Vaswani et al. 2017, section 3.2.2.
    Difficulty 3 of 5, about 30 minutes.
    """

    def __init__(self, d_model: int, num_heads: int, dropout: float = 0.0):
        super().__init__()
        ### BEGIN SOLUTION
        if d_model % num_heads:
            raise ValueError(f"d_model={d_model} is not a multiple of num_heads={num_heads}")
        self.num_heads = num_heads
        self.w_q = nn.Linear(d_model, d_model)
        self.w_k = nn.Linear(d_model, d_model)
        self.w_v = nn.Linear(d_model, d_model)
        self.w_o = nn.Linear(d_model, d_model)
        self.dropout = nn.Dropout(dropout)
        ### END SOLUTION

    def forward(self, x: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """x (B, T, D), mask broadcastable to (B, H, T, T) -> out (B, T, D), weights (B, H, T, T) before dropout."""
        ### BEGIN SOLUTION
        q, k, v = (split_heads(linear(x), self.num_heads) for linear in (self.w_q, self.w_k, self.w_v))
        _, weights = scaled_dot_product_attention(q, k, v, mask)  # (B, H, T, T)
        mixed = self.dropout(weights) @ v  # (B, H, T, d)
        return self.w_o(merge_heads(mixed)), weights
        ### END SOLUTION

# %% check="MultiHeadAttention" points=6

# %% [markdown]
r"""
## 6. Cross-attention

A decoder that writes French has to read the English. It asks; the encoder answers:

- **queries** come from the decoder ("what do I need next?"),
- **keys and values** come from the encoder ("here is what I have, and where").

The output has one row per *query*, so it has the decoder's length. The mask hides padding of the source sentence. There
is no causal mask here: the source is known in full before the first French word is written.
"""

# %% exercise="CrossAttention"
class CrossAttention(nn.Module):
    """Multi-head attention from one sequence (the decoder's) to another (the encoder's output, the memory).

    d_model    D, width of both sequences
    num_heads  H, divides D (no error is asked for where it doesn't)

    When all of a source is padding, the weights are 0 and only the bias of w_o is left of the output; no NaN.

    Parameters: `w_q`, `w_k`, `w_v`, `w_o`, each an nn.Linear(D, D) with bias; heads in order, as above.

    Not allowed: library attention (F.scaled_dot_product_attention, nn.MultiheadAttention, nn.Transformer).

    Source: Vaswani et al. 2017, section 3.2.3, "encoder-decoder attention".
    Difficulty 3 of 5, about 20 minutes.
    """

    def __init__(self, d_model: int, num_heads: int):
        super().__init__()
        ### BEGIN SOLUTION
        self.num_heads = num_heads
        self.w_q = nn.Linear(d_model, d_model)
        self.w_k = nn.Linear(d_model, d_model)
        self.w_v = nn.Linear(d_model, d_model)
        self.w_o = nn.Linear(d_model, d_model)
        ### END SOLUTION

    def forward(self, x: Tensor, memory: Tensor, memory_mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """x (B, T, D) decoder states, memory (B, S, D) encoder output -> out (B, T, D), weights (B, H, T, S).

        memory_mask  bool, broadcastable to (B, H, T, S), True = may look; usually padding_mask(source_lengths, S)
        """
        ### BEGIN SOLUTION
        q = split_heads(self.w_q(x), self.num_heads)  # (B, H, T, d)
        k = split_heads(self.w_k(memory), self.num_heads)  # (B, H, S, d)
        v = split_heads(self.w_v(memory), self.num_heads)
        out, weights = scaled_dot_product_attention(q, k, v, memory_mask)
        return self.w_o(merge_heads(out)), weights
        ### END SOLUTION

# %% check="CrossAttention" points=5

# %% [markdown]
r"""
## 7. Reading attention

Two numbers say a lot about a head. The **entropy** of a query's weights tells how many keys it really reads: $0$ for a
single key, $\ln S$ for an even spread over $S$ keys. The **sink mass** tells how much of its attention rests on the
first few tokens, whatever they are. Trained decoders park attention there when they have nothing to look for; throwing
those tokens out of a cache breaks them (Xiao et al. 2023; unit 08).
"""

# %% exercise="attention_entropy"
def attention_entropy(weights: Tensor) -> Tensor:
    """Entropy of each query's attention, in nats.

    weights  (..., T, S)  attention weights, rows sum to 1; some may be exactly 0, and 0 ln 0 = 0
    returns  (..., T)     -sum_s w_s ln(w_s), from 0 (one key) to ln(S) (all keys alike); no gradient is needed

    Source: Shannon 1948; watched during training by Zhai et al. 2023, "Stabilizing Transformer Training by Preventing
    Attention Entropy Collapse".
    Difficulty 2 of 5, about 8 minutes.
    """
    ### BEGIN SOLUTION
    return -torch.xlogy(weights, weights).sum(dim=-1)
    ### END SOLUTION

# %% check="attention_entropy" points=2

# %% exercise="sink_mass"
def sink_mass(weights: Tensor, first: int = 4) -> Tensor:
    """Fraction of attention that falls on the first tokens.

    weights  (B, H, T, S)  attention weights, rows sum to 1
    first    how many leading keys count as the sink, at least 1 and less than T
    returns  (H,)          mean over batch and over queries t >= first; t counts rows, also where T is not S. No
                           gradient is needed.

    Source: Xiao et al. 2023, "Efficient Streaming Language Models with Attention Sinks", section 3.
    Difficulty 2 of 5, about 10 minutes.
    """
    ### BEGIN SOLUTION
    on_sink = weights[:, :, first:, :first].sum(dim=-1)  # (B, H, T - first)
    return on_sink.mean(dim=(0, 2))
    ### END SOLUTION

# %% check="sink_mass" points=2

# %% [markdown]
r"""
## 8. What it costs

Count once, by hand, for one multi-head self-attention layer on one sequence of $n$ tokens. A matrix product of
$(a, b)$ by $(b, c)$ takes $2abc$ floating-point operations: one multiplication and one addition for each term.
"""

# %% exercise="attention_cost"
def attention_cost(n: int, d_model: int, num_heads: int, bytes_per_number: int = 4) -> dict[str, int]:
    """FLOPs and bytes of one multi-head self-attention layer, forward, batch of one.

    n                 sequence length (queries and keys)
    d_model           D, a multiple of num_heads; each head has width D // num_heads
    bytes_per_number  4 for float32, 2 for float16
    returns           a dict of ints:
        "projection_flops"  the four (n, D) x (D, D) products: queries, keys, values, output
        "score_flops"       q k^T, all heads together
        "mix_flops"         weights times v, all heads together
        "score_bytes"       size of the weights of all heads, (H, n, n)
        "kv_bytes"          size of the keys and values of all heads

    A multiplication and an addition count as two FLOPs. Biases, the scale and the softmax are left out.

    Source: the terms of Vaswani et al. 2017, table 1 (self-attention: O(n^2 d) per layer), with their constants.
    Difficulty 2 of 5, about 15 minutes.
    """
    ### BEGIN SOLUTION
    return {
        "projection_flops": 4 * 2 * n * d_model * d_model,
        "score_flops": 2 * n * n * d_model,  # H heads of width D / H: the heads cancel
        "mix_flops": 2 * n * n * d_model,
        "score_bytes": num_heads * n * n * bytes_per_number,
        "kv_bytes": 2 * n * d_model * bytes_per_number,
    }
    ### END SOLUTION

# %% check="attention_cost" points=3

# %% [markdown]
r"""
The picture for a layer of the width of GPT-2's small model ($D = 768$, 12 heads; Radford et al. 2019). Where do the
products that grow with $n^2$ overtake the projections? How large are the weights at that point, beside the keys and
values they are made from?
"""

# %%
if ready(lambda: attention_cost(8, 4, 2)):
    D, H = 768, 12
    lengths = [2**power for power in range(6, 16)]
    costs = [attention_cost(n, D, H) for n in lengths]
    quadratic = [cost["score_flops"] + cost["mix_flops"] for cost in costs]
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.loglog(lengths, quadratic, "o-", label="scores and mixing")
    left.loglog(lengths, [cost["projection_flops"] for cost in costs], "s--", label="projections")
    left.set(xlabel="sequence length n", ylabel="FLOPs", title="work")
    right.loglog(lengths, [cost["score_bytes"] for cost in costs], "o-", label="weights of all heads")
    right.loglog(lengths, [cost["kv_bytes"] for cost in costs], "s--", label="keys and values")
    right.set(xlabel="sequence length n", ylabel="bytes, float32", title="memory")
    left.legend()
    right.legend()
    plots.show(figure, alt="FLOPs and bytes over sequence length: the quadratic part overtakes the linear part.")
    overtakes = next(n for n, cost, square in zip(lengths, costs, quadratic, strict=True)
                     if square >= cost["projection_flops"])
    print(f"first length of the table at which the quadratic part is no smaller: n = {overtakes}; 2 D = {2 * D}")
    for n in (1024, 32768):
        cost = attention_cost(n, D, H)
        print(f"n = {n:6d}: weights {cost['score_bytes'] / 2**20:10,.0f} MiB, "
              f"keys and values {cost['kv_bytes'] / 2**20:6,.0f} MiB")

# %% [markdown]
r"""
### The roofline of attention

The weights are large, and nobody needs to keep them. What would be gained? Count one head of width $d$ on $n$ tokens,
$b$ bytes per number: once as three kernels, one for each step, and once as one kernel that keeps scores and weights
on the chip (the next section shows how).

| kernel | reads | writes |
| --- | --- | --- |
| $S = Q K^{\top}$ | $2nd$ | $n^2$ |
| $P = \operatorname{softmax}(S)$, with scale and mask | $n^2$ | $n^2$ |
| $O = P V$ | $n^2 + nd$ | $nd$ |
| all in one | $3nd$ | $nd$ |

Both do $4 n^2 d$ FLOPs in their products. (Exponentials are left out; they have a unit and a limit of their own, which
a fused kernel meets next: Shah et al. 2024, "FlashAttention-3".) The arithmetic intensities are

$$I_{\text{three}} = \frac{4 n^2 d}{b\,(4 n^2 + 4 n d)} = \frac{1}{b} \cdot \frac{n d}{n + d} < \frac{d}{b}, \qquad
I_{\text{one}} = \frac{4 n^2 d}{4 b\, n d} = \frac{n}{b}.$$

The score matrix takes the share $n / (n + d)$ of the bytes of three kernels: more than half as soon as $n > d$.
"""

# %%
GPUS = {  # bytes per second, dense bf16 FLOP per second: the data sheets, as in unit 00
    "A100 SXM 80GB": (2.039e12, 312e12),
    "H100 SXM": (3.35e12, 989e12),
}


def attention_bytes(n, d, b=2):
    """Bytes moved by one head: as three kernels, and as one."""
    return b * (4 * n * n + 4 * n * d), b * 4 * n * d


def seconds_at_least(flops, moved, gpu):
    """What the roofline allows: the longer one of arithmetic and memory."""
    bandwidth, peak = GPUS[gpu]
    return max(flops / peak, moved / bandwidth)


lengths = [2**power for power in range(5, 17)]
figure, axes = plots.new(7, 3.4)
versions = {"three kernels, d = 64": (64, 0), "three kernels, d = 128": (128, 0), "one kernel, any d": (64, 1)}
for (name, (d, which)), marker, colour in zip(versions.items(), plots.MARKERS, plots.COLOURS, strict=False):
    intensity = [4 * n * n * d / attention_bytes(n, d)[which] for n in lengths]
    axes.loglog(lengths, intensity, marker=marker, color=colour, markersize=5, label=name)
for (name, (bandwidth, peak)), style in zip(GPUS.items(), ("--", ":"), strict=True):
    axes.axhline(peak / bandwidth, linestyle=style, color="black", linewidth=1)
    axes.annotate(f"ridge of the {name}", (lengths[-1], peak / bandwidth), ha="right", va="bottom", fontsize=9)
axes.set(xlabel="sequence length n", ylabel="FLOP per byte, bf16", title="Arithmetic intensity of attention")
plots.legend(axes, "upper left")
plots.show(figure, alt="Intensity over length: flat and far below the ridges for three kernels, rising for one.")

for width in (64, 128):
    for n in (width, 1024, 16384):
        many, one = attention_bytes(n, width)
        ratios = [seconds_at_least(4 * n * n * width, many, gpu) / seconds_at_least(4 * n * n * width, one, gpu)
                  for gpu in GPUS]
        print(f"d = {width:3d}, n = {n:6d}: scores are {n / (n + width):4.0%} of the bytes of three kernels; "
              f"these take {ratios[0]:5.1f} (A100), {ratios[1]:5.1f} (H100) times as long as one")

# %% [markdown]
r"""
Three kernels are memory-bound at every length: no $n$ lifts them over $d / b$. One kernel is compute-bound from
$n = b \cdot \text{ridge}$ on, and from there the ratio of the times no longer grows. Its bytes are a floor: they hold
as long as keys and values stay in a cache while one block of queries after another reads them.

## 9. Softmax as a GPU kernel

A reduction turns many numbers into one: a maximum, a sum. In Triton one program takes one row. Two things are new
against unit 00.

**A row can be wider than a block.** The program walks along the row in steps of `BLOCK` columns. What must be known of
the *whole* row before the first weight can be written? That decides how many times you walk.

**A tail lane needs a value that does no harm.** The last step hangs over the end of the row. `tl.load(..., mask=...,
other=...)` lets you choose what the missing lanes hold. Zero is harmless in a sum. Is it harmless in a maximum? And in
a sum of exponentials?

Count traffic while you write, as in unit 00. A row of `C` floats must be read once and written once: the floor is
$8C$ bytes. Every further walk over the row adds $4C$.

The rows may have any strides (`x.t()`, `x[:, ::2]`): ask the tensor for its strides and pass them to the kernel. The
output is a tensor of its own, with its own strides. Compute in float32 whatever the input's dtype is, and let the store
convert back.
"""

# %% exercise="row_softmax"
@triton.jit
def row_softmax_kernel(x_ptr, out_ptr, n_cols, x_row, x_col, out_row, out_col, BLOCK: tl.constexpr):
    """One program: one row, or several, BLOCK columns at a time.

    x_row, x_col, out_row, out_col  strides, in elements
    """
    ### BEGIN SOLUTION
    row = tl.program_id(0)
    x_ptr += row * x_row
    out_ptr += row * out_row
    columns = tl.arange(0, BLOCK)
    largest = -float("inf")
    for start in range(0, n_cols, BLOCK):
        at = start + columns
        x = tl.load(x_ptr + at * x_col, mask=at < n_cols, other=-float("inf")).to(tl.float32)
        largest = tl.maximum(largest, tl.max(x, axis=0))
    total = 0.0
    for start in range(0, n_cols, BLOCK):
        at = start + columns
        x = tl.load(x_ptr + at * x_col, mask=at < n_cols, other=-float("inf")).to(tl.float32)
        total += tl.sum(tl.exp(x - largest), axis=0)
    for start in range(0, n_cols, BLOCK):
        at = start + columns
        x = tl.load(x_ptr + at * x_col, mask=at < n_cols, other=-float("inf")).to(tl.float32)
        tl.store(out_ptr + at * out_col, tl.exp(x - largest) / total, mask=at < n_cols)
    ### END SOLUTION


def row_softmax(x: Tensor, block: int = 128) -> Tensor:
    """Softmax of every row, on the GPU (or interpreted, for CPU tensors).

    x        (R, C) float32 or float16, finite, any strides; C may be far larger than block
    block    columns that a program holds at once, at most; a power of two
    returns  (R, C) same dtype, new and contiguous; computed in float32

    Read x at most three times. One launch; copies, conversions and fills by torch count as launches. More than one
    program where there are more than four rows.
    You may change the kernel's parameters; keep the names of both functions.
    Difficulty 3 of 5, about 40 minutes.
    """
    ### BEGIN SOLUTION
    n_rows, n_cols = x.shape
    out = torch.empty((n_rows, n_cols), dtype=x.dtype, device=x.device)
    row_softmax_kernel[(n_rows,)](
        x, out, n_cols, x.stride(0), x.stride(1), out.stride(0), out.stride(1), BLOCK=block
    )
    return out
    ### END SOLUTION

# %% check="row_softmax" points=5

# %% [markdown]
r"""
### Two walks: the online softmax

Maximum and sum can be found on the same walk (Milakov and Gimelshein 2018, "Online normalizer calculation for softmax",
arXiv 1805.02867). Let $m_k$ be the largest of the first $k$ entries, and $\ell_k$ the sum of their exponentials as seen
from there:

$$m_k = \max_{j \le k} x_j, \qquad \ell_k = \sum_{j \le k} e^{x_j - m_k}.$$

The next entry may be a new maximum. Then every term of the sum was measured from the wrong place, and all by the same
factor:

$$e^{x_j - m_{k+1}} = e^{x_j - m_k} \cdot e^{m_k - m_{k+1}}.$$

So one multiplication puts the whole sum right:

$$m_{k+1} = \max(m_k, x_{k+1}), \qquad \ell_{k+1} = \ell_k\, e^{m_k - m_{k+1}} + e^{x_{k+1} - m_{k+1}}, \qquad
m_0 = -\infty,\; \ell_0 = 0.$$

Neither exponent is ever positive, so nothing overflows. The factor is 1 as long as the maximum stays. The same rule
joins blocks, or two parts that different programs have finished: $\ell = \ell_a e^{m_a - m} + \ell_b e^{m_b - m}$ with
$m = \max(m_a, m_b)$. One case needs care: where a first block is hidden by a mask, $m_a = m = -\infty$, and
$-\infty - (-\infty)$ is NaN.
"""

# %%
def walk_once(row):
    """After each entry of row (C,): running maximum, running sum, and the sum that forgets the factor."""
    largest, total, forgetful, history = -math.inf, 0.0, 0.0, []
    for x in row.tolist():
        before, largest = largest, max(largest, x)
        total = total * math.exp(before - largest) + math.exp(x - largest)
        forgetful = forgetful + math.exp(x - largest)
        history.append((largest, total, forgetful))
    return torch.tensor(history, dtype=torch.float64).T


row = 2 * torch.randn(60, generator=torch.Generator().manual_seed(seed + 3), dtype=torch.float64)
row += torch.linspace(0, 5, 60, dtype=torch.float64)  # rising, so that the maximum changes often
maxima, sums, forgetful = walk_once(row)
figure = Figure(figsize=(9, 3.0), layout="constrained")
left, right = figure.subplots(1, 2)
left.plot(row, "o", markersize=4, color=plots.COLOURS[0], label="entries")
left.step(range(60), maxima, where="post", color=plots.COLOURS[1], label="running maximum")
left.set(xlabel="entries read", ylabel="score")
right.step(range(60), sums, where="post", color=plots.COLOURS[1], label="rescaled")
right.step(range(60), forgetful, "--", where="post", color=plots.COLOURS[2], label="never rescaled")
right.axhline((row - row.max()).exp().sum(), color="black", linestyle=":", linewidth=1, label="the softmax's sum")
right.set(xlabel="entries read", ylabel="running sum")
plots.legend(left)
plots.legend(right)
plots.show(figure, alt="Left: scores and their running maximum. Right: the sum drops with each new maximum.")
print(f"sum of the softmax {(row - row.max()).exp().sum():.6f}   "
      f"one walk {sums[-1]:.6f}   without the factor {forgetful[-1]:.6f}")

# %% [markdown]
r"""
A row softmax then walks twice, $12C$ bytes instead of $16C$. Attention gains more. Its output is a sum over the keys as
well, so it takes the same factor:

$$o_{k+1} = o_k\, e^{m_k - m_{k+1}} + e^{x_{k+1} - m_{k+1}}\, v_{k+1}, \qquad \text{output} = o_S / \ell_S.$$

No weight is needed a second time, so none has to be stored. This is how one kernel reads $Q$, $K$ and $V$ and writes
$O$ and nothing else: FlashAttention (Dao et al. 2022, algorithm 1), which unit 08 builds.

The middle program of a launch of yours, access by access. Three walks show as three staircases over `x`, a running
maximum as two; the result is written once.
"""

# %%
show_accesses(row_softmax, torch.arange(150.0, device=device).reshape(3, 50) / 50, block=16)

# %% [markdown]
r"""
In attention the scale and the mask sit between the scores and the softmax. A kernel that does all three reads the
scores once where three separate operations would write and read them again. This is the first half of a fused attention
kernel.
"""

# %% exercise="masked_scaled_softmax"
@triton.jit
def masked_scaled_softmax_kernel(
    scores_ptr, mask_ptr, out_ptr, scale, n_cols,
    scores_row, scores_col, mask_row, mask_col, out_row, out_col, BLOCK: tl.constexpr,
):  # fmt: skip
    """One program: a row, or several. Blocked columns count as -inf; a row without any allowed column becomes zeros."""
    ### BEGIN SOLUTION
    row = tl.program_id(0)
    scores_ptr += row * scores_row
    mask_ptr += row * mask_row
    out_ptr += row * out_row
    columns = tl.arange(0, BLOCK)
    largest = -float("inf")
    for start in range(0, n_cols, BLOCK):
        at = start + columns
        allowed = tl.load(mask_ptr + at * mask_col, mask=at < n_cols, other=0) != 0
        x = tl.load(scores_ptr + at * scores_col, mask=allowed, other=-float("inf")).to(tl.float32) * scale
        largest = tl.maximum(largest, tl.max(tl.where(allowed, x, -float("inf")), axis=0))
    largest = tl.where(largest == -float("inf"), 0.0, largest)  # nothing allowed: exp(-inf - 0) = 0
    total = 0.0
    for start in range(0, n_cols, BLOCK):
        at = start + columns
        allowed = tl.load(mask_ptr + at * mask_col, mask=at < n_cols, other=0) != 0
        x = tl.load(scores_ptr + at * scores_col, mask=allowed, other=-float("inf")).to(tl.float32) * scale
        total += tl.sum(tl.where(allowed, tl.exp(x - largest), 0.0), axis=0)
    total = tl.where(total == 0.0, 1.0, total)
    for start in range(0, n_cols, BLOCK):
        at = start + columns
        inside = at < n_cols
        allowed = tl.load(mask_ptr + at * mask_col, mask=inside, other=0) != 0
        x = tl.load(scores_ptr + at * scores_col, mask=allowed, other=-float("inf")).to(tl.float32) * scale
        weight = tl.where(allowed, tl.exp(x - largest), 0.0) / total
        tl.store(out_ptr + at * out_col, weight, mask=inside)
    ### END SOLUTION


def masked_scaled_softmax(scores: Tensor, mask: Tensor, scale: float, block: int = 128) -> Tensor:
    """softmax(scale * scores) over the allowed columns of every row.

    scores   (R, C) float32, finite, any strides, any size of numbers: scale * score may overflow where it is blocked
    mask     (R, C) bool, True = allowed, any strides (a stride of 0 too: an expanded row)
    scale    a positive float, usually 1 / sqrt(d)
    block    columns that a program holds at once, at most; a power of two; C may be larger
    returns  (R, C) float32, new and contiguous; blocked columns are exactly 0, and so is a row with no allowed column

    Read scores and mask at most three times. One launch; copies, conversions and fills by torch count as launches. More
    than one program where there are more than four rows.
    Difficulty 4 of 5, about 35 minutes.
    """
    ### BEGIN SOLUTION
    n_rows, n_cols = scores.shape
    out = torch.empty((n_rows, n_cols), dtype=scores.dtype, device=scores.device)
    masked_scaled_softmax_kernel[(n_rows,)](
        scores, mask, out, scale, n_cols, *scores.stride(), *mask.stride(), *out.stride(), BLOCK=block
    )
    return out
    ### END SOLUTION

# %% check="masked_scaled_softmax" points=5

# %% [markdown]
r"""
Your kernel beside your own function, on a shape that fits no block:
"""

# %%
if ready(lambda: (row_softmax(torch.zeros(1, 3, device=device)), stable_softmax(torch.zeros(2)))):
    sample = torch.randn(5, 300, generator=torch.Generator().manual_seed(seed)).to(device) * 6
    difference = (row_softmax(sample, block=64) - stable_softmax(sample)).abs().max().item()
    print(f"largest difference from stable_softmax: {difference:.1e}")
    cells = sample.numel() * sample.element_size()
    print(f"floor {2 * cells:,} bytes (read once, write once); three walks and one write: {4 * cells:,} bytes")

# %% [markdown]
r"""
## 10. Experiment: does attention know the order of words?

A claim: self-attention cannot tell *"Ravi killed the lion"* from *"the lion killed Ravi"*, because both give the same
output. Measure it. Each word gets a fixed random vector; queries, keys and values are those vectors.
The second sentence is the first one in another order.
"""

# %%
WORDS = ["Ravi", "killed", "the", "lion"]
ORDER = [2, 3, 1, 0]  # "the lion killed Ravi"


def word_vectors(run: int) -> Tensor:
    """(4, 16) one random vector for each of WORDS; another set for every run."""
    return torch.randn(len(WORDS), 16, generator=torch.Generator().manual_seed(run))


print(" ".join(WORDS), "->", " ".join(WORDS[i] for i in ORDER))

# %% exercise="permutation_finding"
def permutation_finding(runs: list[int]) -> dict[str, float]:
    """What happens to the outputs when the words change places?

    Let x be the word vectors of a run, A(x) the output (T, 16) of your attention with x for queries, keys and values,
    and C(x) the same with a causal mask. For each run take the largest |difference| over all elements. Return the
    median over the runs, rounded to four decimals, of

    "same_place"   A(x[ORDER]) against A(x): position by position, as the claim says it
    "same_word"    A(x[ORDER]) against A(x)[ORDER]: word by word
    "causal_word"  C(x[ORDER]) against C(x)[ORDER]: word by word, with the causal mask

    runs     seeds, an odd number of them
    returns  three floats under these names

    Difficulty 2 of 5, about 15 minutes.
    """
    ### BEGIN SOLUTION
    def attend(x, mask=None):
        return scaled_dot_product_attention(x, x, x, mask)[0]

    gaps = {"same_place": [], "same_word": [], "causal_word": []}
    for run in runs:
        x, causal = word_vectors(run), causal_mask(len(WORDS), len(WORDS))
        gaps["same_place"].append((attend(x[ORDER]) - attend(x)).abs().max().item())
        gaps["same_word"].append((attend(x[ORDER]) - attend(x)[ORDER]).abs().max().item())
        gaps["causal_word"].append((attend(x[ORDER], causal) - attend(x, causal)[ORDER]).abs().max().item())
    return {name: round(sorted(found)[len(found) // 2], 4) for name, found in gaps.items()}
    ### END SOLUTION

# %% check="permutation_finding" points=3

# %%
if ready(lambda: permutation_finding([0])):
    tried = [permutation_finding([run]) for run in RUNS]
    print(f"{len(RUNS)} seeds, one set of word vectors each".ljust(42), "smallest     median    largest")
    for name in ("same_place", "same_word", "causal_word"):
        spread = sorted(result[name] for result in tried)
        print(f"{name:40s} {spread[0]:10.4f} {spread[len(spread) // 2]:10.4f} {spread[-1]:10.4f}")

# %% [markdown]
r"""
So the claim is half right. The *set* of outputs is the same and each word takes its output along when it moves:
attention is **equivariant** to permutations, not invariant. A model that adds up or averages the outputs cannot tell
the sentences apart; one that reads "what is at position 0" can. And with a causal mask not even equivariance holds:
the mask itself says who came first. That is why decoders without any position encoding still learn something about
order (Haviv et al. 2022, "Transformer Language Models without Positional Encodings Still Learn Positional
Information"). A table that says *order: transformer yes, MLP no* speaks of a transformer with position encodings or
with a causal mask. Without both it permutes, and an MLP over the concatenated words does not.

## 11. The way back

Training needs the gradients of a loss for $Q$, $K$ and $V$. The layer above hands down $dO$, the gradient for the
output $O$. Autograd finds the rest from the operations that you wrote. A fused kernel is one operation to autograd, so
it has to bring its own backward pass (unit 08). Write it by hand once:

$$S = \frac{Q K^{\top}}{\sqrt{d_k}} + \text{mask}, \qquad P = \operatorname{softmax}(S), \qquad O = P V.$$

**A product.** For $C = AB$ the gradients are $dA = dC\, B^{\top}$ and $dB = A^{\top} dC$. So $O = PV$ gives

$$dV = P^{\top} dO, \qquad dP = dO\, V^{\top}.$$

**The softmax** acts on each row by itself. Within row $i$,

$$\frac{\partial P_{ij}}{\partial S_{il}} = P_{ij}\, (\delta_{jl} - P_{il}), \qquad \delta_{jl} = 1 \text{ if } j = l,
\text{ else } 0.$$

A score moves *all* weights of its row: its own goes up, the others make room. Write down $dS_{il} = \sum_j dP_{ij}\,
\partial P_{ij} / \partial S_{il}$, simplify it until no $\delta$ is left, and go on to $dQ$ and $dK$.
"""

# %% exercise="attention_backward"
def attention_backward(
    q: Tensor, k: Tensor, v: Tensor, grad_out: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of the output of scaled_dot_product_attention for queries, keys and values.

    q         (..., T, d_k)  queries, float32 or float64; the others have the same dtype and leading dimensions
    k         (..., S, d_k)  keys
    v         (..., S, d_v)  values
    grad_out  (..., T, d_v)  gradient of a loss for the output
    mask      None, bool or float, as in scaled_dot_product_attention; it gets no gradient
    returns   dq, dk, dv with the shapes and the dtype of q, k, v. A query that may look at no key adds nothing to any
              of them, and its row of dq is 0. The results need no graph.

    You may call your scaled_dot_product_attention.
    Not allowed: autograd in any form (.backward(), torch.autograd, torch.func).

    Source: Dao et al. 2022, "FlashAttention: Fast and Memory-Efficient Exact Attention with IO-Awareness", appendix
    B.2.
    Difficulty 3 of 5, about 25 minutes.
    """
    ### BEGIN SOLUTION
    _, weights = scaled_dot_product_attention(q, k, v, mask)  # (..., T, S)
    grad_v = weights.transpose(-2, -1) @ grad_out  # (..., S, d_v)
    grad_weights = grad_out @ v.transpose(-2, -1)  # (..., T, S)
    row_sums = (weights * grad_weights).sum(dim=-1, keepdim=True)  # (..., T, 1)
    grad_products = weights * (grad_weights - row_sums) / math.sqrt(q.shape[-1])  # of q k^T, before the scale
    return grad_products @ k, grad_products.transpose(-2, -1) @ q, grad_v
    ### END SOLUTION

# %% check="attention_backward" points=4

# %% [markdown]
r"""
The sum over the keys that the softmax brings in is a number for each query, and it needs no weights at all:

$$\sum_j P_{ij}\, dP_{ij} = \sum_j P_{ij} \sum_e dO_{ie} V_{je} = \sum_e dO_{ie}\, O_{ie}.$$

The right-hand side reads two tensors of shape $(T, d_v)$. FlashAttention's backward pass keeps that number and the
logarithm of the softmax's denominator for each query, and computes each block of $P$ and $dP$ anew (Dao et al. 2022,
appendix B). It has five products where the forward pass has two: $P$ once more, then $dV$, $dP$, $dQ$ and $dK$.
"""

# %%
if ready(lambda: attention_backward(*torch.zeros(4, 2, 3))):
    gen = torch.Generator().manual_seed(seed)
    inputs = [torch.randn(*shape, generator=gen, dtype=torch.float64) for shape in ((5, 8), (7, 8), (7, 6), (5, 6))]
    leaves = [x.clone().requires_grad_() for x in inputs[:3]]
    output, shares = scaled_dot_product_attention(*leaves)
    by_autograd = torch.autograd.grad(output, leaves, inputs[3])
    for name, mine, theirs in zip(("dq", "dk", "dv"), attention_backward(*inputs), by_autograd, strict=True):
        print(f"{name}: largest difference from autograd {(mine - theirs).abs().max().item():.1e}")
    long_way = (shares * (inputs[3] @ inputs[2].T)).sum(-1)
    short_way = (inputs[3] * output).sum(-1)
    print(f"sum over keys of P dP against sum over the width of dO O: {(long_way - short_way).abs().max().item():.1e}")

# %% [markdown]
r"""
## 12. Experiment: what the square root is for

Why $1/\sqrt{d_k}$? If the numbers in $q$ and $k$ are independent with variance 1, then $q \cdot k$ has variance $d_k$.
The wider the head, the larger the scores, and the closer the softmax to picking one key. A softmax that has picked
passes no gradient: $\partial w_i / \partial s_i = w_i (1 - w_i)$ is zero at both ends, and so is every other entry of
the Jacobian of section 11.

Measure both. Draw 64 queries and 64 keys from a normal distribution for widths 16, 64, 256 and 1024, with and without
the scale, over ten seeds.
"""

# %% exercise="saturation_finding"
# A dict of four tables. Each table is a list with one row for each width in DIMS; each row is a list of ten numbers,
# one for each of the seeds 0 to 9; each number is the mean over 64 queries of a property of their weights on 64 keys:
#
#   "raw_entropy"      entropy of the weights without any scale, divided by ln(64): 0 = one key, 1 = all keys alike
#   "scaled_entropy"   the same with the scores divided by sqrt(d)
#   "raw_gradient"     1 - sum_s w_s^2, the trace of the softmax's Jacobian: 0 = no gradient passes; without any scale
#   "scaled_gradient"  the same with the scores divided by sqrt(d)
#
# Use your stable_softmax and attention_entropy, and torch.Generator().manual_seed(seed) for each seed. Draw queries and
# keys in any order; one generator may serve all widths of a seed, or each width begins with a new one.
# Difficulty 2 of 5, about 20 minutes.
DIMS = [16, 64, 256, 1024]
### BEGIN SOLUTION
saturation_finding = {"raw_entropy": [], "scaled_entropy": [], "raw_gradient": [], "scaled_gradient": []}
for width in DIMS:
    generators = [torch.Generator().manual_seed(run) for run in range(10)]
    products = torch.stack([
        torch.randn(64, width, generator=gen) @ torch.randn(64, width, generator=gen).mT for gen in generators
    ])  # (10, 64, 64)
    for kind, logits in (("raw", products), ("scaled", products / math.sqrt(width))):
        drawn = stable_softmax(logits)
        normed = attention_entropy(drawn).mean(dim=-1) / math.log(64)
        passing = 1 - drawn.square().sum(dim=-1).mean(dim=-1)
        saturation_finding[f"{kind}_entropy"].append(normed.tolist())
        saturation_finding[f"{kind}_gradient"].append(passing.tolist())
### END SOLUTION

# %% check="saturation_finding" points=3

# %%
if saturation_finding is None:
    print("Waiting for saturation_finding above.")
else:
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    panels = figure.subplots(1, 2)
    titles = {"entropy": "how many keys are read", "gradient": "how much gradient passes"}
    for panel, (what, title) in zip(panels, titles.items(), strict=True):
        for scaling, style in (("raw", "o--"), ("scaled", "s-")):
            table = torch.tensor(saturation_finding[f"{scaling}_{what}"])  # (widths, seeds)
            panel.semilogx(DIMS, table.median(dim=1).values, style, label=scaling)
            panel.fill_between(DIMS, table.amin(dim=1), table.amax(dim=1), alpha=0.25)
            spread = "   ".join(f"{row.min():.3f} to {row.max():.3f}" for row in table)
            print(f"{scaling:7s}{what:9s} ten seeds, d = 16, 64, 256, 1024:   {spread}")
        panel.set(xlabel="width d", title=title, ylim=(0, 1.05))
        panel.legend()
    plots.show(figure, alt="Entropy and gradient over head width: flat with the scale, falling towards zero without.")

# %% [markdown]
r"""
With the scale both curves are flat: the softmax behaves the same whatever the width of the head. Without it, wide heads
read one key and pass almost no gradient. The assumption behind it, independent numbers with variance 1, holds at the
start of training and no longer: trained heads can become as sharp as they need to be.

## 13. Explore: three heads

Three heads, built by hand from rules that trained models are known to learn (Elhage et al. 2021, "A Mathematical
Framework for Transformer Circuits"; Olsson et al. 2022, "In-context Learning and Induction Heads"):

- **previous token** looks one step back,
- **same token** looks at earlier copies of itself,
- **induction** looks at what came *after* the earlier copies of the current token: it predicts by repeating.

Choose a head and a query. Where does the induction head look at the second "the"? Where does each head look when there
is nothing to find? (The first token is a sink: compare with your `sink_mass`.)
"""

# %%
from course.widgets import attention_explorer

learner_attention = None
if ready(lambda: scaled_dot_product_attention(torch.zeros(1, 2), torch.zeros(1, 2), torch.zeros(1, 2))):
    learner_attention = scaled_dot_product_attention
attention_explorer.show("<s> the cat saw the dog and the cat ran".split(), attend=learner_attention)

# %% [markdown]
r"""
## 14. Bug hunt

Two pieces of code. Both run without an error message on the sizes that their authors tried.

**The first** lets a decoder read the states of an encoder, with one head.
"""

# %%
def published_cross_attention(decoder_states, encoder_states, w_q, w_k, w_v):
    """Attention from decoder to encoder. decoder_states (B, T, D), encoder_states (B, S, D), w_* (D, D)."""
    queries = encoder_states.matmul(w_q)
    keys = encoder_states.matmul(w_k)
    values = decoder_states.matmul(w_v)
    logits = queries.matmul(keys.mT) * w_k.shape[-1] ** -0.5
    logits = torch.exp(logits - logits.max(-1, True).values)
    return (logits / logits.sum(-1, True)).matmul(values)


gen = torch.Generator().manual_seed(seed)
english, french = torch.randn(1, 5, 8, generator=gen), torch.randn(1, 5, 8, generator=gen)
maps = [torch.randn(8, 8, generator=gen) / math.sqrt(8) for _ in range(3)]
print("five words into five words:", tuple(published_cross_attention(french, english, *maps).shape))
try:
    print(published_cross_attention(french[:, :3], english, *maps).shape)
except RuntimeError as error:
    print("five words into three words:", error)

# %% exercise="repaired_cross_attention"
def repaired_cross_attention(
    decoder_states: Tensor, encoder_states: Tensor, w_q: Tensor, w_k: Tensor, w_v: Tensor
) -> Tensor:
    """Attention from the decoder's states to the encoder's, as in section 6: one head, no biases, no output projection.

    decoder_states  (B, T, D)
    encoder_states  (B, S, D), S may differ from T
    w_q, w_k, w_v   (D, D), applied from the right: states @ w
    returns         (B, T, D), one row for each decoder position; scores may be in the hundreds

    Not allowed: library attention (F.scaled_dot_product_attention, nn.MultiheadAttention, nn.Transformer).

    Difficulty 2 of 5, about 10 minutes.
    """
    ### BEGIN SOLUTION
    q, k, v = decoder_states @ w_q, encoder_states @ w_k, encoder_states @ w_v
    return scaled_dot_product_attention(q, k, v)[0]
    ### END SOLUTION

# %% check="repaired_cross_attention" points=3

# %% [markdown]
r"""
The code did what a sentence says that is wrong: *the encoder supplies the queries and the keys, the decoder supplies
the values.* With as many words on both sides every shape is right. Then only the numbers tell, or the question whose
rows the output should have.

**The second** makes the weights of five queries on five keys with equal scores. No query may read the future.
"""

# %%
def published_weights(logits, mask):
    """Attention weights. logits (..., T, S); keys where mask is 0 are hidden."""
    logits = torch.where(mask == 0, torch.tensor(float("-inf")), logits)
    unnormalised = torch.exp(logits - logits.max(-1, True).values)
    return unnormalised / unnormalised.sum(-1, True)


def subsequent_mask(length):
    """Additive mask: -inf above the diagonal, 0 elsewhere."""
    return torch.full((length, length), float("-inf")).triu(1)


torch.set_printoptions(precision=2, sci_mode=False)
print(published_weights(torch.zeros(5, 5), subsequent_mask(5)))
torch.set_printoptions(profile="default")

# %% [markdown]
r"""
Compare each row with what section 4 asks for. Then repair it so that it can't happen again.
"""

# %% exercise="repaired_masking"
def repaired_masking(logits: Tensor, mask: Tensor) -> Tensor:
    """Attention weights under a mask of either convention, told apart by its dtype.

    logits   (..., T, S)  scaled scores, of any size
    mask     broadcastable to (..., T, S). bool: True = may look. float, of any float dtype no wider than that of the
             logits: added to them; -inf hides, a finite number is a bias (as ALiBi uses it, unit 03). Any other dtype:
             raise TypeError instead of guessing.
    returns  (..., T, S)  weights, of the logits' dtype; a row that may look at nothing is all zero, and its gradient is
             not asked for

    Not allowed: library attention (F.scaled_dot_product_attention, nn.MultiheadAttention, nn.Transformer).

    Difficulty 2 of 5, about 15 minutes.
    """
    ### BEGIN SOLUTION
    if mask.dtype == torch.bool:
        bias = torch.zeros(mask.shape, dtype=logits.dtype).masked_fill(~mask, -math.inf)
    elif mask.is_floating_point():
        bias = mask.to(logits.dtype)
    else:
        raise TypeError(f"a mask is bool (True = may look) or float (added), this one is {mask.dtype}")
    biased = logits + bias
    empty = biased.isneginf().all(dim=-1, keepdim=True)
    return stable_softmax(biased.masked_fill(empty, 0.0)).masked_fill(empty, 0.0)
    ### END SOLUTION

# %% check="repaired_masking" points=3

# %% [markdown]
r"""
Two conventions met. To the mask, 0 means *add nothing*, so *may look*; to the function, 0 means *hidden*. All queries
but the last attended to the future and to nothing else, and the last one to nothing at all. Where its NaN is left out
of the loss, as padding is, nothing fails: the loss falls fast, because the answer is in the input. Code of both kinds
is in use. The Annotated Transformer (Rush 2018) hides `mask == 0`; torch's
`nn.Transformer.generate_square_subsequent_mask` makes 0 and `-inf`:
"""

# %%
print(nn.Transformer.generate_square_subsequent_mask(3))

# %% [markdown]
r"""
## 15. Widely repeated, and wrong

**"Words with a low softmax weight are discarded."** They are turned down, and nothing is discarded: no softmax weight
of finite scores is zero (until it underflows), many small weights add up, and the gradient still reaches every one of
them. Take 64 keys of width 64 and throw away the lower half of the weights:
"""

# %%
lower_half, change, smallest = [], [], []
for run in RUNS:
    gen = torch.Generator().manual_seed(run)
    query, keys, values = (torch.randn(*shape, generator=gen) for shape in ((1, 64), (64, 64), (64, 64)))
    weight = torch.exp(query @ keys.T / 8)
    weight = (weight / weight.sum()).sort(descending=True)
    kept = weight.values.clone()
    kept[:, 32:] = 0
    whole, cut = weight.values @ values[weight.indices[0]], kept / kept.sum() @ values[weight.indices[0]]
    lower_half.append(weight.values[:, 32:].sum().item())
    change.append(((whole - cut).norm() / whole.norm()).item())
    smallest.append(weight.values.min().item())
for name, numbers in (("weight of the lower half", lower_half), ("relative change of the output", change),
                      ("smallest single weight", smallest)):
    numbers = sorted(numbers)
    middle = numbers[len(numbers) // 2]
    print(f"{name:32s} median {middle:.4f}, {len(numbers)} seeds from {numbers[0]:.4f} to {numbers[-1]:.4f}")

# %% [markdown]
r"""
**"A mask is a mask: the conventions are interchangeable."** They are opposite, inside one library. PyTorch's
`scaled_dot_product_attention` reads a boolean `True` as *may look*; its `nn.MultiheadAttention` reads `True` as *may
not look*. Hand both the same causal mask and see who can read the future:
"""

# %%
causal = torch.ones(5, 5, dtype=torch.bool).tril()
everything = torch.zeros(1, 1, 5, 5)  # equal scores: the weights show the mask and nothing else
as_function = nn.functional.scaled_dot_product_attention(everything, everything, torch.eye(5)[None, None], causal)[0, 0]
module = nn.MultiheadAttention(5, 1, batch_first=True)
nn.init.zeros_(module.in_proj_weight)
with torch.no_grad():
    _, as_module = module(torch.zeros(1, 5, 5), torch.zeros(1, 5, 5), torch.zeros(1, 5, 5), attn_mask=causal)
for name, got in (("F.scaled_dot_product_attention", as_function), ("nn.MultiheadAttention", as_module[0])):
    future = (got * torch.ones(5, 5).triu(1)).sum(-1)
    print(f"{name:32s} share of attention on the future, by query:", [f"{x:.2f}" for x in future.tolist()])

# %% [markdown]
r"""
The last query of the second line may look at nothing at all; its NaN is what PyTorch returns there. (In this unit you
return zeros.)

**"Under a causal mask each position attends only to previous positions."** And to itself. Taken at its word, the first
position has nothing to read:
"""

# %%
only_previous = torch.ones(4, 4, dtype=torch.bool).tril(-1)
for name, allowed in (("previous positions only", only_previous), ("and itself", only_previous | torch.eye(4).bool())):
    share = torch.softmax(torch.zeros(4, 4).masked_fill(~allowed, -math.inf), dim=-1)
    print(f"{name:24s} weights of position 0: {share[0].tolist()}, of position 1: {share[1].tolist()}")

# %% [markdown]
r"""
Two more claims of this kind you have met already: *"both sentences give the same output"* (section 10) and *"the
encoder gives queries and keys, the decoder values"*, the first bug.

## 16. Explain

Answer in your own words, in four to eight sentences each. These are read and marked by a person.
"""

# %% [markdown] explain="why_many_heads" points=2
r"""
**What is the role of multi-head attention?** Say what one head cannot do, what several heads cost compared with one
head of full width, and what the output projection is for.

=== BEGIN MARK SCHEME ===
- 1 point: one softmax gives one distribution per query, so one head blends what it looks for; several heads attend to
  different places or by different relations at once, each in its own subspace of width D / H.
- 0.5 points: the cost is about the same as one head of full width: H products of width D / H. (The weights take H
  times the memory.)
- 0.5 points: the output projection mixes the heads; without it each head only ever writes to its own slice.
- No credit for "more heads are more accurate" alone. Accept that many trained heads can be removed with little loss
  (Michel, Levy and Neubig 2019).
=== END MARK SCHEME ===
"""

# %% [markdown] explain="key_and_value" points=2
r"""
**What are key and value in a transformer, and why are they two things?** Use an example in which a position should be
found for one reason and deliver something else.

=== BEGIN MARK SCHEME ===
- 1 point: the key is what a position is found by (compared with the query), the value is what it delivers once found;
  both are learned linear maps of the same state.
- 0.5 points: why two: being findable and being useful are different. The induction head is the standard example: it
  finds a position by the token before it and delivers the token itself.
- 0.5 points: keys only act through the weights; values are what is summed. A blocked or low-weight key still has a
  value, it is only turned down.
=== END MARK SCHEME ===
"""

# %% [markdown] explain="cross_attention" points=2
r"""
**What is cross-attention?** Where do queries, keys and values come from, which length has the output, and which mask
belongs there?

=== BEGIN MARK SCHEME ===
- 1 point: queries from the decoder; keys AND values from the encoder's output. No point for the encoder supplying
  queries.
- 0.5 points: one output row per query, so the decoder's length; weights (T, S).
- 0.5 points: padding of the source is masked; no causal mask, because the whole source is known.
- Accept other uses: text attending to image features, a decoder reading retrieved documents.
=== END MARK SCHEME ===
"""

# %% [markdown] explain="encoder_and_decoder_masks" points=2
r"""
**Why do encoders use plain self-attention and decoders masked self-attention?**

=== BEGIN MARK SCHEME ===
- 1 point: an encoder represents an input that is known in full; reading both sides helps and gives nothing away. A
  decoder models p(next token | earlier tokens); if it could read the next token it would copy it, and it would have
  nothing to copy when it generates.
- 0.5 points: the mask lets training compute the losses of all positions in one pass, each as if the later tokens did
  not exist.
- 0.5 points: encoders still need a padding mask; masking is not something only decoders have.
=== END MARK SCHEME ===
"""

# %% [markdown] explain="masks_in_training_and_inference" points=2
r"""
**What does masking do in training, and what at inference?** Say what happens to the causal mask when a model generates
one token at a time with stored keys and values.

=== BEGIN MARK SCHEME ===
- 0.5 points: training: all positions at once (teacher forcing); the causal mask hides what each position has to
  predict.
- 0.5 points: padding masks are needed in both, as soon as a batch holds sequences of different lengths (left padding
  when generating).
- 1 point: at inference with a cache the one new query may look at all stored keys: its mask row is all True, nothing
  has to be hidden because the future does not exist yet. A prompt read in one pass, or in chunks, does need the mask,
  with the diagonal moved to the queries' position.
=== END MARK SCHEME ===
"""

# %% [markdown] explain="masked_multi_head_attention" points=2
r"""
**What is masked multi-head attention responsible for in a transformer's decoder?** Include why the mask acts before the
softmax.

=== BEGIN MARK SCHEME ===
- 1 point: each position gathers what it needs from itself and earlier positions of the text written so far, in
  several heads at once; it carries the left context and keeps generation autoregressive.
- 0.5 points: before the softmax, so that blocked keys get weight 0 AND the allowed ones sum to 1; zeroing afterwards
  leaves rows that sum to less than 1 and lets the future act through the denominator.
- 0.5 points: the same mask holds for all heads; it adds no parameters.
=== END MARK SCHEME ===
"""
