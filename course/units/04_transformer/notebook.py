# %% [markdown]
r"""
# 04 · The Transformer
"""

# %% tags=["parameters"]
profile = "fast"  # trains one translator; "full" trains four
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
from course.mocks import ScriptedModel
from course.models import MultiHeadAttention, sinusoidal_encoding

matplotlib.rcParams.update(plots.STYLE)
torch.set_num_threads(1)  # the matrices here are small: a second thread would cost more than it brings
RUNS = range(seed, seed + (10 if profile == "fast" else 30))  # seeds of every measurement below
PAD, BOS, EOS = 0, 1, 2

# %%
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
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        """x (..., D) -> (..., D), same dtype."""
        centred = x - x.mean(dim=-1, keepdim=True)
        variance = centred.square().mean(dim=-1, keepdim=True)
        return centred * torch.rsqrt(variance + self.eps) * self.weight + self.bias

# %%
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
        known = {"relu": nn.functional.relu, "gelu": nn.functional.gelu}  # this gelu is the exact one unless told
        if activation not in known:
            raise ValueError(f"activation is 'relu' or 'gelu', not {activation!r}")
        self.activation = known[activation]
        self.up = nn.Linear(width, hidden)
        self.down = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """x (..., D) -> (..., D)."""
        return self.down(self.activation(self.up(x)))

# %%
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
        if norm not in ("pre", "post"):
            raise ValueError(f"norm is 'pre' or 'post', not {norm!r}")
        self.pre = norm == "pre"
        self.attention, self.norm1 = MultiHeadAttention(width, heads), LayerNorm(width)
        self.feed_forward, self.norm2 = FeedForward(width, hidden, activation), LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """x (B, S, D), mask broadcastable to (B, H, S, S), True = may look -> (B, S, D)."""
        if self.pre:
            x = x + self.dropout(self.attention(self.norm1(x), mask)[0])
            return x + self.dropout(self.feed_forward(self.norm2(x)))
        x = self.norm1(x + self.dropout(self.attention(x, mask)[0]))
        return self.norm2(x + self.dropout(self.feed_forward(x)))

# %%
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
        if norm not in ("pre", "post"):
            raise ValueError(f"norm is 'pre' or 'post', not {norm!r}")
        self.pre = norm == "pre"
        self.self_attention, self.norm1 = MultiHeadAttention(width, heads), LayerNorm(width)
        self.cross_attention, self.norm2 = MultiHeadAttention(width, heads), LayerNorm(width)
        self.feed_forward, self.norm3 = FeedForward(width, hidden, activation), LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, x: Tensor, memory: Tensor, mask: Tensor | None = None, memory_mask: Tensor | None = None
    ) -> Tensor:
        """x (B, T, D) target stream, memory (B, S, D) -> (B, T, D).

        mask         broadcastable to (B, H, T, T), True = may look; usually causal
        memory_mask  broadcastable to (B, H, T, S), True = may look; usually hides the padding of the source
        """
        sublayers = (
            (self.norm1, lambda x: self.self_attention(x, mask)[0]),
            (self.norm2, lambda x: self.cross_attention(x, memory_mask, memory)[0]),
            (self.norm3, self.feed_forward),
        )
        for norm, sublayer in sublayers:
            x = x + self.dropout(sublayer(norm(x))) if self.pre else norm(x + self.dropout(sublayer(x)))
        return x

# %%
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

    def encode(self, source: Tensor) -> tuple[Tensor, Tensor]:
        """source (B, S) int64 -> memory (B, S, D), keep (B, S) bool, True where the source is no padding."""
        keep = source != PAD
        x = self.embedded(source, self.source_embedding)
        for layer in self.encoder:
            x = layer(x, keep[:, None, None, :])
        return self.encoder_norm(x), keep

    def decode(self, target: Tensor, memory: Tensor, source_keep: Tensor) -> Tensor:
        """target (B, T) int64, memory (B, S, D) and source_keep (B, S) as `encode` gives them -> logits (B, T, V)."""
        T = target.shape[1]
        causal = torch.ones(T, T, dtype=torch.bool, device=target.device).tril()
        x = self.embedded(target, self.target_embedding)
        for layer in self.decoder:
            x = layer(x, memory, causal, source_keep[:, None, None, :])
        return self.decoder_norm(x) @ self.target_embedding.weight.T

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """source (B, S), target (B, T) int64 -> logits (B, T, V): decode what encode gives."""
        return self.decode(target, *self.encode(source))

    def embedded(self, ids: Tensor, table: nn.Embedding) -> Tensor:
        """(B, T) ids -> (B, T, D): scaled embeddings plus positions."""
        T, D = ids.shape[1], table.embedding_dim
        if T > len(self.positions):
            raise ValueError(f"a sequence of {T} tokens is longer than max_length={len(self.positions)}")
        return self.dropout(table(ids) * math.sqrt(D) + self.positions[:T])


# ==== writer B begins here: everything above is a stand-in ====

# %% [markdown]
r"""
## 9. What goes in, what should come out

The model is there. Training it takes three small pieces, each of which is wrong in some published code: what the
decoder is given, how its answer is scored, and how fast it learns.

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
             was. What stands behind EOS in the result does not matter to the loss: nothing has to be cleaned up.

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
elsewhere; a share $\epsilon$ of it is spread over the vocabulary. There are three conventions, and papers rarely say
which one they mean:

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

    logits     (B, T, V) float, any size of numbers
    target     (B, T) int64; PAD (0) does not count, at least one token is real
    smoothing  epsilon, from 0 to 1. The target distribution of a token is
               q = (1 - epsilon) * one_hot(token) + epsilon / V, over all V classes, PAD among them
    returns    () same dtype as logits: mean over real tokens of -sum_v q_v log softmax(logits)_v, in nats

    Every real token of the batch counts the same, however long its row is. Library softmax functions and losses are not
    allowed here (log_softmax and logsumexp neither): subtract the largest logit, then exp, sum and log.

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
    warmup   the step at which the rate is largest
    factor   multiplies everything; 1 in the paper
    returns  factor * D^(-1/2) * min(step^(-1/2), step * warmup^(-3/2)), a float

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

    The source is encoded once. No gradients are recorded, no step is taken after the last row has ended, and the
    model's mode (train or eval) stays as it is.

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

    candidates  one list of tokens (strings or ints) for each sentence
    references  for each sentence a list of one or more references, each a list of tokens
    max_n       n-grams from 1 to max_n, all with the same weight
    returns     a float from 0 to 1

    - Counts are summed over the whole corpus before anything is divided: this is not the mean of sentence scores.
    - An n-gram is clipped at the largest number of times it occurs in one reference of its sentence.
    - r adds up, for each sentence, the reference length nearest to the candidate's; the shorter one on a tie.
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
wanted. The split is by day, and that takes care. The short style has two digits for the year, so 1926 and 2026 are the
same text: the side of a day is decided by its year *without century*, its month and its day. No text of the held-out
side occurs in training.
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
`pre-norm` with ten seeds, with a model made of PyTorch's own layers:

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

# %%
print("recorded: number of seeds, then median (smallest to largest)")
print(f"{'':18s}" + "".join(f"{title:>26s}" for title in ("token accuracy", "exact match", "right", "BLEU")))
for name, by_seed in recorded["runs"].items():
    line = f"{name:15s}{len(by_seed):3d}"
    for measure in ("tokens", "exact", "right", "bleu"):
        values = sorted(run[measure] for run in by_seed.values())
        line += f"{values[len(values) // 2]:.3f} ({values[0]:.3f} to {values[-1]:.3f})".rjust(26)
    print(line)
for name, by_seed in recorded["runs"].items():
    print(f"{name:15s} its first seed writes {min(by_seed.items())[1]['first']}")

# %% [markdown]
r"""
`token accuracy` is measured with teacher forcing, all the others on what `greedy_decode` wrote. `right` counts every
answer that is the translation of its source *somewhere* in the held-out data. Why is it larger than exact match? Look
at the errors before you go on.
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
Two of the groups are no mistakes of the model. *5/16/35* is 1935 or 2035, and French writes the whole year: the answer
is not in the input. *May 16, 1935* is the medium style and also the long style, because *May* has no shorter form; in
German the two differ (16.05.1935 and 16. Mai 1935). Nobody can know which one is meant, and whoever guesses is wrong
half of the time. So exact match has a **ceiling** that belongs to the data. A translator gives one answer for each
source; with k right answers in the data it meets one of k.
"""

# %%
ceiling = sum(1 / len(right_answers[asked(pair)]) for pair in held_pairs) / len(held_pairs)
print(f"the best exact match that any translator can reach: {ceiling:.4f}")
for name in ("pre-norm", "post-norm"):
    runs = recorded["runs"][name].values()
    groups, wrong = Counter(), Counter()
    for run in runs:
        groups.update(run["not_exact"])
        wrong.update(run["not_right"])
    print(f"{name}, {len(runs)} seeds together, not the reference:", dict(groups.most_common(4)))
    print("    wrong by any reference:", dict(wrong.most_common(4)), f"of {len(runs) * recorded['pairs']:,}")

# %% exercise="translation_finding"
# What came out: a dict with
#
#   "right"    share of YOUR translator's outputs that are a right answer, three decimals
#   "exact"    its exact match, three decimals
#   "ceiling"  the best exact match that any translator can reach on these pairs, three decimals
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
The check accepts what the ten recorded seeds gave and a little more. Of the answers 0.985 to 1.000 were
right (0.97 counts), 0.939 to 0.954 equalled their reference (0.92 counts), and French short dates were the largest
group in all ten. What is wrong by any reference is mostly in
short dates, too: 72 of 76 in the ten seeds together, for example a year of three digits.

Two arms deserve a look. `not shifted` has the best token accuracy of all, exactly 1, and not one right date: it learned
to copy its input, and when it translates there is nothing to copy. `shifted twice` looks healthy too, and writes every
other piece: the one in between it was never asked for. Between `pre-norm` and `post-norm` there is nothing to see: two
layers are not deep, and there is a warm-up.

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
behind the month as much as the month itself.)

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
no output equals its reference and where judgements of people agree with the ranking; for a date, a price or a dose it
answers another question. With several references, as the paper meant it, the undecidable dates cost nothing any more.

## 13. Bug hunt

**The first: count the shifts.** A model class prepares its decoder's input by itself and then computes its loss with
the library's function for language models:
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


for name in ("not shifted", "pre-norm", "shifted twice"):
    middle = {m: sorted(run[m] for run in recorded["runs"][name].values()) for m in ("tokens", "exact")}
    print(f"{name:14s} median token accuracy {middle['tokens'][len(middle['tokens']) // 2]:.3f}, "
          f"exact match {middle['exact'][len(middle['exact']) // 2]:.3f}")

# %% [markdown]
r"""
Each function is right on its own. Together they shift twice: given the tokens *before* t, the model is asked for token
t + 1, and token t is never asked for. In the transformers library a common loss function brought this into
`VisionEncoderDecoderModel` (pull request 40185 names release 4.50 as the first), and in 2026 the same was found in
Moonshine, CohereASR, Florence-2 and PPFormulaNet (46784, 46895, 46898, issue 46901). The opposite, no shift at all, was
in MONAI's GenerativeModels until its issue 314.

What it costs: loss and token accuracy look healthy, on the validation set too, because both are measured with the same
two shifts. Fine-tuning damages a good model, step by step, and the first one to notice is whoever reads what it writes.
"""

# %% exercise="repaired_loss"
def repaired_loss(model, source: Tensor, target: Tensor) -> Tensor:
    """Training loss of an encoder-decoder.

    model    called as model(source, decoder_input) -> logits (B, T, V); it does not shift anything by itself
    source   (B, S) int64
    target   (B, T) int64, tokens and EOS, PAD behind
    returns  () mean cross-entropy in nats, without smoothing, over all real tokens of the batch, the first token and
             EOS among them

    Difficulty 2 of 5, about 10 minutes.
    """
    ### BEGIN SOLUTION
    return smoothed_cross_entropy(model(source, shift_right(target)), target, smoothing=0.0)
    ### END SOLUTION

# %% check="repaired_loss" points=2

# %% [markdown]
r"""
**The second: what validation leaves behind.** This is called every thousand steps, in the middle of an epoch:
"""

# %%
def published_validation(model, batches):
    """Mean loss on the validation set."""
    model.eval()
    losses = [repaired_loss(model, source, target) for source, target in batches]
    return (sum(losses) / len(losses)).item()


if ready(lambda: repaired_loss(ScriptedModel(torch.zeros(2, 4)), word, word)):
    probe = ScriptedModel(torch.zeros(2, 4)).train()
    published_validation(probe, [(word, word)])
    print("after a validation the model is in", "training" if probe.training else "evaluation", "mode")

# %% [markdown]
r"""
Nobody calls `model.train()` afterwards. From the first validation to the end of the epoch the model trains without
dropout. fartashf/vsepp, the code of a published paper, did this (issue 4); the repair changed its results noticeably,
and became an option, so that the published numbers could still be reproduced. The reverse, measuring with dropout
switched on, was reported for PyTorch's own translation tutorial (pytorch/tutorials, issue 208). Two smaller mistakes
stand beside it: each batch counts the same however many tokens it holds, and a graph is built for a backward pass
that never comes.
"""

# %% exercise="repaired_validation"
def repaired_validation(model, batches: list[tuple[Tensor, Tensor]]) -> float:
    """Mean loss on the validation set.

    model    an nn.Module, called as model(source, decoder_input) -> logits (B, T, V), in training or evaluation mode
    batches  (source, target) pairs as in repaired_loss; the batches differ in their number of tokens
    returns  a float: cross-entropy in nats per real token, every token of all batches counting the same; measured in
             evaluation mode, without recording gradients

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

# %% [markdown]
r"""
## 14. Widely repeated, and wrong

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
