"""What a right answer is, for every exercise of unit 05.

The oracles are torch's own modules, losses and convolutions in float64, attention one query at a time
(autograder.authoring.oracle), tensors that are made on the meta device and counted, and walks over one token after
another. tests/course/test_model_families_*.py compare them with BERT, GPT-2, Llama, Gemma 3, T5, ViT, CLIP and Whisper
of transformers. Models to evaluate are course.mocks.ScriptedLanguageModel, whose logits are a hash of what they were
shown. What judges a kernel stands in grader_kernels/problems/NAME/.
"""

import math

import torch
from torch import nn

from autograder.authoring import oracle
from autograder.authoring.checks import Check, Kernel

F64 = torch.float64


# how large is it? -----------------------------------------------------------------------------------------------------

count = Check(
    "count_parameters",
    hints=(
        "Write down the maps of one layer as pairs (from, to): four of the attention, two or three of the feed-forward "
        "layer. A map has from * to weights, and `to` biases.",
        "Then what is there once: tables, the norms outside of the layers, the pooler, the head. A tied head is no new "
        "parameter.",
        "A patch map has patch * D + D, its [CLS] vector D more. A norm has D or 2 D: two in each layer, and up to two "
        "outside.",
    ),
)


def encoder_sizes(settings):
    """Every parameter on the meta device, made by torch's own modules, and counted."""
    D, F, kv, V = (settings[key] for key in ("width", "hidden", "kv_width", "vocab"))
    bias, made = settings["bias"], []

    def norm():
        made.append(nn.LayerNorm(D) if settings["norm"] == "layer" else nn.RMSNorm(D))

    with torch.device("meta"):
        for rows in (V, settings["positions"], settings["segments"]):
            made.append(nn.Embedding(rows, D))
        if settings["patch"]:
            made += [nn.Linear(settings["patch"], D), nn.Embedding(1, D)]
        if settings["embedding_norm"]:
            norm()
        for _ in range(settings["layers"]):
            for out in (D, kv, kv, D):
                made.append(nn.Linear(D, out, bias=bias))
            for _ in range(2 if settings["gated"] else 1):
                made.append(nn.Linear(D, F, bias=bias))
            made.append(nn.Linear(F, D, bias=bias))
            norm()
            norm()
        if settings["final_norm"]:
            norm()
        if settings["pooler"]:
            made.append(nn.Linear(D, D))
        if settings["head"] == "own":
            made.append(nn.Linear(D, V, bias=False))
    return sum(parameter.numel() for module in made for parameter in module.parameters())


PLAIN = {
    "width": 48, "layers": 3, "hidden": 130, "kv_width": 48, "bias": False, "gated": False, "norm": "rms",
    "embedding_norm": False, "final_norm": False, "vocab": 0, "positions": 0, "segments": 0, "patch": 0,
    "pooler": False, "head": "none",
}  # fmt: skip


def drawn_sizes(trial, **changes):
    """Settings whose numbers are all drawn, so that no two counts are alike, and nothing switched on but `changes`."""
    D = trial.integers(5, 900)
    drawn = {"width": D, "kv_width": D, "hidden": trial.integers(1000, 5000), "layers": trial.integers(2, 60)}
    return PLAIN | drawn | changes


def told_sizes(trial, subject, says, settings):
    trial.equal(subject(settings), encoder_sizes(settings), says)


@count.case("four maps of attention, two of the feed-forward layer, in every layer")
def _(subject, trial):
    told_sizes(trial, subject, "a layer without biases, RMS norms", drawn_sizes(trial))
    told_sizes(trial, subject, "one layer", drawn_sizes(trial, layers=1))


@count.case("biases: each linear map has one for each number that comes out", weight=2)
def _(subject, trial):
    told_sizes(trial, subject, "with biases", drawn_sizes(trial, bias=True))
    told_sizes(trial, subject, "with biases and a gate", drawn_sizes(trial, bias=True, gated=True))


@count.case("a gated feed-forward layer has three maps")
def _(subject, trial):
    told_sizes(trial, subject, "gated", drawn_sizes(trial, gated=True))


@count.case("keys and values may be narrower than queries", weight=2)
def _(subject, trial):
    for bias in (False, True):
        settings = drawn_sizes(trial, width=trial.integers(300, 900), kv_width=trial.integers(5, 300), bias=bias)
        told_sizes(trial, subject, f"kv_width below width, bias={bias}", settings)


@count.case("norms: RMS has one vector, layer norm two; two in a layer, and those outside", weight=2)
def _(subject, trial):
    for norm in ("layer", "rms"):
        for inside, final in ((False, False), (True, False), (False, True), (True, True)):
            settings = drawn_sizes(trial, norm=norm, embedding_norm=inside, final_norm=final)
            says = f"norm={norm!r}, embedding_norm={inside}, final_norm={final}"
            told_sizes(trial, subject, says, settings)


@count.case("tables of tokens, positions and segments")
def _(subject, trial):
    for key in ("vocab", "positions", "segments"):
        told_sizes(trial, subject, f"only {key}", drawn_sizes(trial, **{key: trial.integers(2, 60_000)}))


@count.case("a head of its own is a second table, a tied one is not", weight=2)
def _(subject, trial):
    for head in ("own", "tied", "none"):
        settings = drawn_sizes(trial, vocab=trial.integers(500, 60_000), head=head, bias=True)
        told_sizes(trial, subject, f"head={head!r}", settings)


@count.case("patches: a map with a bias, and [CLS]; a pooler: a map with a bias", weight=2)
def _(subject, trial):
    told_sizes(trial, subject, "patches", drawn_sizes(trial, patch=trial.integers(3, 3000)))
    told_sizes(trial, subject, "a pooler", drawn_sizes(trial, pooler=True))
    settings = drawn_sizes(trial, patch=trial.integers(3, 3000), pooler=True, bias=True, norm="layer")
    told_sizes(trial, subject, "both, with biases in the layers too", settings)


@count.case("everything at once", weight=3)
def _(subject, trial):
    for _ in range(4):
        flags = {key: bool(trial.integers(0, 2)) for key in ("bias", "gated", "embedding_norm", "final_norm", "pooler")}
        rows = {key: trial.integers(2, 5000) for key in ("vocab", "positions", "segments", "patch")}
        words = {"norm": ("layer", "rms")[trial.integers(0, 2)], "head": ("none", "tied", "own")[trial.integers(0, 3)]}
        told_sizes(trial, subject, "drawn settings", drawn_sizes(trial, **flags, **rows, **words, kv_width=5))


@count.case("BERT-base, GPT-2, ViT-base, LLaMA-7B and GPT-3")
def _(subject, trial):
    bert = PLAIN | {
        "width": 768, "kv_width": 768, "hidden": 3072, "layers": 12, "bias": True, "norm": "layer", "vocab": 30522,
        "positions": 512, "segments": 2, "embedding_norm": True, "pooler": True,
    }  # fmt: skip
    gpt = bert | {"vocab": 50257, "positions": 1024, "segments": 0, "embedding_norm": False, "pooler": False}
    gpt |= {"final_norm": True, "head": "tied"}
    vit = gpt | {"vocab": 0, "positions": 197, "patch": 768, "head": "none"}
    llama = PLAIN | {"width": 4096, "kv_width": 4096, "hidden": 11008, "layers": 32, "gated": True, "final_norm": True}
    llama |= {"vocab": 32000, "head": "own"}
    large = gpt | {"width": 12288, "kv_width": 12288, "hidden": 49152, "layers": 96, "positions": 2048}
    named = {"BERT-base": bert, "GPT-2": gpt, "ViT-base": vit, "LLaMA-7B": llama, "GPT-3": large}
    for name, settings in named.items():
        told_sizes(trial, subject, name, settings)


@count.case("an unknown norm or head raises ValueError")
def _(subject, trial):
    for changes in ({"norm": "batch"}, {"head": "shared"}, {"norm": "RMS"}, {"head": True}):
        settings = drawn_sizes(trial, vocab=90, **changes)
        says = f"{changes} must raise ValueError"
        trial.raises("ValueError", lambda settings=settings: subject(settings), says)
        settings, says = settings | {"vocab": 0}, f"{changes} must raise ValueError, with no token table, too"
        trial.raises("ValueError", lambda settings=settings: subject(settings), says)


# masked language modelling --------------------------------------------------------------------------------------------

mlm = Check(
    "mlm_corrupt",
    hints=(
        "Make one boolean tensor that says which positions are chosen. Everything else asks it first. What do labels "
        "hold where it is False?",
        "A position is chosen where `choose` is below `rate` and `special` is False. The same `change` cuts the chosen "
        "ones into three bands: below 0.8, from 0.8 to 0.9, from 0.9.",
        "torch.where(chosen & (change < 0.8), mask_id, ids) makes a new tensor; (word * vocab_size).long() is the "
        "random word of each position.",
    ),
    new=True,
    legal=lambda ids, special, choose, change, word, mask_id, vocab_size, rate=0.15: bool(
        ((word >= 0) & (word < 1)).all() and vocab_size > 0
    ),
)


def corrupted_by_hand(ids, special, choose, change, word, mask_id, vocab_size, rate=0.15):
    """One position after another."""
    read, asked = ids.clone(), torch.full_like(ids, -100)
    for b in range(ids.shape[0]):
        for t in range(ids.shape[1]):
            if special[b, t] or not choose[b, t].item() < rate:
                continue
            asked[b, t] = ids[b, t]
            if change[b, t].item() < 0.8:
                read[b, t] = mask_id
            elif change[b, t].item() < 0.9:
                read[b, t] = math.floor(word[b, t].item() * vocab_size)
    return read, asked


def mlm_batch(trial, B, T, V, rate=0.15, special=0.2, chosen=0.5):
    """A batch in which about half of the positions are chosen, a third of them in each band of `change`."""
    ids, mask_id = trial.integers(0, V, (B, T)), trial.integers(0, V)
    hidden = trial.uniform((B, T)) < special
    choose, change, word = trial.uniform((B, T), (B, T), (B, T), dtype=F64)
    choose = torch.where(trial.uniform((B, T)) < chosen, choose * rate, rate + choose * (1 - rate))
    band = trial.integers(0, 3, (B, T))
    starts, widths = torch.tensor([0.0, 0.8, 0.9], dtype=F64), torch.tensor([0.8, 0.1, 0.1], dtype=F64)
    change = starts[band] + change * widths[band] * (1 - 1e-9)
    return ids, hidden, choose, change, word, mask_id, V


@mlm.case("labels are the original ids where a position is chosen, and -100 elsewhere", weight=2)
def _(subject, trial):
    batch = mlm_batch(trial, 3, trial.integers(15, 30), trial.integers(500, 40_000))
    trial.equal(subject(*batch)[1], corrupted_by_hand(*batch)[1])


@mlm.case("chosen positions: [MASK] below 0.8, a random word below 0.9, the word itself above", weight=4)
def _(subject, trial):
    batch = mlm_batch(trial, 4, trial.integers(15, 30), trial.integers(500, 40_000))
    trial.equal(subject(*batch)[0], corrupted_by_hand(*batch)[0])


@mlm.case("special tokens are never chosen, whatever the draw says", weight=2)
def _(subject, trial):
    batch = mlm_batch(trial, 3, trial.integers(10, 20), trial.integers(500, 40_000), special=0.6, chosen=0.9)
    read, asked = corrupted_by_hand(*batch)
    got = subject(*batch)
    trial.equal(got[0], read, "what is read")
    trial.equal(got[1], asked, "labels")


@mlm.case("the random word is any id of the vocabulary, the first and the last too")
def _(subject, trial):
    V = trial.integers(500, 60_000)
    ids, hidden, choose, change, word, mask_id, _ = mlm_batch(trial, 2, 14, V, special=0.0, chosen=1.0)
    change = 0.8 + 0.099 * change
    word[0, 3], word[1, 5], word[1, 9] = 0.0, 1 - 1e-12, (mask_id + 0.5) / V
    batch = (ids, hidden, choose, change, word, mask_id, V)
    trial.equal(subject(*batch)[0], corrupted_by_hand(*batch)[0])


@mlm.case("the rate is 15 % unless told, and no other draw decides who is chosen")
def _(subject, trial):
    for options in ({}, {"rate": float(trial.uniform((1,), low=0.3, high=0.9))}):
        ids, hidden, choose, change, word, mask_id, V = mlm_batch(trial, 3, 20, 1000, **options)
        choose = trial.uniform((3, 20), high=min(1.0, 2 * options.get("rate", 0.15)), dtype=F64)
        batch = (ids, hidden, choose, change, word, mask_id, V)
        got, (read, asked) = subject(*batch, **options), corrupted_by_hand(*batch, **options)
        trial.equal(got[1], asked, f"labels, {options or 'rate not given'}")
        trial.equal(got[0], read, f"what is read, {options or 'rate not given'}")


@mlm.case("rates of 0 and 1, a row of special tokens only")
def _(subject, trial):
    for rate in (0.0, 1.0):
        ids, hidden, _, change, word, mask_id, V = mlm_batch(trial, 3, 9, 700)
        choose = trial.uniform((3, 9), dtype=F64)
        choose[2, 4] = 0.0
        hidden[1] = True
        batch = (ids, hidden, choose, change, word, mask_id, V, rate)
        got, (read, asked) = subject(*batch), corrupted_by_hand(*batch)
        trial.equal(got[0], read, f"what is read, rate={rate}")
        trial.equal(got[1], asked, f"labels, rate={rate}")


@mlm.case("a draw that lies on a border belongs to the band above it")
def _(subject, trial):
    ids, hidden, choose, change, word, mask_id, V = mlm_batch(trial, 2, 12, 900, special=0.0, chosen=1.0)
    change[0, :4], change[1, 2:6], choose[:, 8:10] = 0.8, 0.9, 0.25
    batch = (ids, hidden, choose, change, word, mask_id, V, 0.25)
    got, (read, asked) = subject(*batch), corrupted_by_hand(*batch)
    trial.equal(got[0], read, "what is read")
    trial.equal(got[1], asked, "labels")


shares = Check(
    "corruption_shares",
    hints=(
        "Which positions count at all? Only those: divide by their number.",
        "Among the chosen there are three kinds: equal to mask_id, equal to the label, neither.",
    ),
)


def shares_by_hand(corrupted, labels, mask_id):
    pairs = [(c, a) for c, a in zip(corrupted.flatten().tolist(), labels.flatten().tolist(), strict=True) if a != -100]
    kinds = [0 if c == mask_id else 2 if c == a else 1 for c, a in pairs]
    return tuple(kinds.count(kind) / len(pairs) for kind in range(3))


def shares_batch(trial, B, T, V=40, chosen=0.5):
    """A batch with a few words, so that mask_id and equal words stand at positions that are not chosen, too."""
    mask_id = trial.integers(0, V)
    originals = (mask_id + trial.integers(1, V, (B, T))) % V
    kind = trial.integers(0, 7, (B, T))
    corrupted = torch.where(kind < 3, mask_id, torch.where(kind < 5, trial.integers(0, V, (B, T)), originals))
    asked = torch.where(trial.uniform((B, T)) < chosen, originals, -100)
    asked[0, 0] = originals[0, 0]
    return corrupted, asked, mask_id


@shares.case("three shares of the chosen positions", weight=3)
def _(subject, trial):
    for B, T in ((1, 31), (4, 17)):
        batch = shares_batch(trial, B, T)
        trial.close(subject(*batch), shares_by_hand(*batch), f"a batch of ({B}, {T})")


@shares.case("shares of the whole batch: rows with many chosen positions count more")
def _(subject, trial):
    corrupted, asked, mask_id = shares_batch(trial, 3, 23, chosen=0.9)
    asked[1, 3:] = -100
    trial.close(subject(corrupted, asked, mask_id), shares_by_hand(corrupted, asked, mask_id))


@shares.case("[MASK] at a position that is not chosen does not count")
def _(subject, trial):
    corrupted, asked, mask_id = shares_batch(trial, 2, 19)
    corrupted = torch.where(asked == -100, mask_id, corrupted)
    trial.close(subject(corrupted, asked, mask_id), shares_by_hand(corrupted, asked, mask_id))


@shares.case("a share of nothing is 0.0")
def _(subject, trial):
    for kind, says in enumerate(("only [MASK]", "only other words", "only the original words")):
        shape, mask_id = (2, trial.integers(5, 20)), trial.integers(0, 40)
        originals = (mask_id + trial.integers(1, 19, shape)) % 40
        corrupted = (torch.full(shape, mask_id), (originals + 20) % 40, originals.clone())[kind]
        asked = torch.where(trial.uniform(shape) < 0.5, originals, -100)
        asked[1, 2] = originals[1, 2]
        trial.close(subject(corrupted, asked, mask_id), shares_by_hand(corrupted, asked, mask_id), says)


counted = Check(
    "published_shares",
    hints=(
        "The middle number of each line of the table. What should the three numbers of a line be?",
        "80, 10 and 10: one line has all three.",
    ),
    kind="value",
)
RANDOM_SHARES = {"mask_then_half": 10, "mask_then_tenth": 2, "random_then_mask": 1, "random_then_rest": 10}


@counted.case("the shares of random words that the table shows")
def _(subject, trial):
    for name, percent in RANDOM_SHARES.items():
        trial.between(subject.value()[name], percent - 0.2, percent + 0.2, name)


@counted.case("the form that does what the paper says")
def _(subject, trial):
    trial.equal(subject.value()["right"], "mask_then_half")


corrupt = Check(
    "repaired_corrupt",
    hints=(
        "Take 1000 chosen positions. How many have a random word after the first draw, and how many are left? How many "
        "of those that are left have to become [MASK]?",
        "800 of 900. And a position that has its random word must not be asked a second time.",
    ),
    new=True,
)


def repaired_by_hand(ids, chosen, random_draw, mask_draw, words, mask_id):
    read, asked = ids.clone(), torch.full_like(ids, -100)
    for place in chosen.nonzero().tolist():
        place = tuple(place)
        asked[place] = ids[place]
        if random_draw[place].item() < 0.1:
            read[place] = words[place]
        elif mask_draw[place].item() * 9 < 8:
            read[place] = mask_id
    return read, asked


def two_draws(trial, B, T, low=0.0, high=1.0, random=0.4):
    """A batch whose second draw lies in [low, high), more than 1e-9 away from 8 / 9."""
    ids, words, mask_id = trial.integers(0, 5000, (B, T)), trial.integers(0, 5000, (B, T)), trial.integers(0, 5000)
    words = torch.where(trial.uniform((B, T)) < 0.25, ids, words)  # a random word may be the original one
    chosen = trial.uniform((B, T)) < 0.7
    first, second = trial.uniform((B, T), dtype=F64), trial.uniform((B, T), low=low, high=high, dtype=F64)
    first = torch.where(trial.uniform((B, T)) < random, first * 0.1, 0.1 + 0.9 * first)
    second = torch.where((second - 8 / 9).abs() < 1e-6, 0.5, second)
    if high == 1.0:  # every known threshold shows
        chosen[0, :3], first[0, :3], second[0, :3] = True, 0.5, torch.tensor([0.85, 0.895, 0.95], dtype=F64)
    return ids, chosen, first, second, words, mask_id


@corrupt.case("a random word stays: [MASK] is written only where the first draw left the word", weight=2)
def _(subject, trial):
    batch = two_draws(trial, 3, trial.integers(12, 30), high=0.75)
    trial.equal(subject(*batch)[0], repaired_by_hand(*batch)[0])


@corrupt.case("80 % of all chosen positions become [MASK]: which share of those that are left?", weight=3)
def _(subject, trial):
    for low, high in ((0.8, 8 / 9), (8 / 9, 0.9), (0.85, 0.93)):
        batch = two_draws(trial, 2, trial.integers(15, 30), low, high, random=0.2)
        says = f"second draws between {low:.3f} and {high:.3f}"
        trial.equal(subject(*batch)[0], repaired_by_hand(*batch)[0], says)


@corrupt.case("labels, and positions that are not chosen, are as they were")
def _(subject, trial):
    batch = two_draws(trial, 3, trial.integers(12, 30))
    got, (read, asked) = subject(*batch), repaired_by_hand(*batch)
    trial.equal(got[1], asked, "labels")
    trial.equal(got[0], read, "what is read")


@corrupt.case("a first draw of 0.1 or a little less; nothing chosen at all")
def _(subject, trial):
    ids, chosen, first, second, words, mask_id = two_draws(trial, 2, 16)
    first[0, :8], first[1, 4:] = 0.1, 0.0999999
    batch = (ids, chosen, first, second, words, mask_id)
    trial.equal(subject(*batch)[0], repaired_by_hand(*batch)[0], "draws near 0.1")
    batch = (ids, chosen & False, first, second, words, mask_id)
    got = subject(*batch)
    trial.equal(got[0], ids, "nothing chosen: what is read")
    trial.equal(got[1], torch.full_like(ids, -100), "nothing chosen: labels")


# next sentence --------------------------------------------------------------------------------------------------------

follows = Check(
    "next_sentence_pairs",
    hints=(
        "Two loops: documents, and in each one the sentences that have a next one. How many pairs are there so far? "
        "That number is the row of draws.",
        "The other documents are documents[:i] + documents[i + 1:]. By number, not by comparing texts: two documents "
        "may have the same.",
    ),
    new=True,
)


def pairs_by_hand(documents, draws):
    pairs, row = [], 0
    for own in range(len(documents)):
        others = [number for number in range(len(documents)) if number != own]
        for place in range(len(documents[own]) - 1):
            kind, which, sentence = (draws[row, column].item() for column in range(3))
            if kind < 0.5:
                pairs.append((documents[own][place], documents[own][place + 1], 0))
            else:
                other = documents[others[math.floor(which * len(others))]]
                pairs.append((documents[own][place], other[math.floor(sentence * len(other))], 1))
            row += 1
    return pairs


def some_documents(trial, lengths):
    """Documents of these lengths; a sentence is a word of five digits, all different."""
    first, step = trial.integers(10_000, 20_000), trial.integers(3, 300)
    numbers = iter(range(first, first + step * sum(lengths), step))
    return [[f"s{next(numbers)}" for _ in range(length)] for length in lengths]


def pair_draws(trial, documents, low=0.0, high=1.0):
    n = sum(len(document) - 1 for document in documents)
    kind, rest = trial.uniform((n, 1), low=low, high=high, dtype=F64), trial.uniform((n, 2), dtype=F64)
    return torch.cat([kind, rest], dim=1)


def told_pairs(trial, subject, documents, draws, says=None):
    trial.equal(subject(documents, draws), pairs_by_hand(documents, draws), says)


@follows.case("true pairs: each sentence with the one behind it, inside its document", weight=2)
def _(subject, trial):
    documents = some_documents(trial, [3, 1, 2, 4])
    told_pairs(trial, subject, documents, pair_draws(trial, documents, high=0.5))


@follows.case("random sentences come from another document, the first draw decides which", weight=4)
def _(subject, trial):
    for lengths in ([4, 3, 5], [3, 6, 2, 4]):
        documents = some_documents(trial, lengths)
        draws = pair_draws(trial, documents, low=0.5)
        told_pairs(trial, subject, documents, draws)
    documents = some_documents(trial, [6, 5])
    told_pairs(trial, subject, documents, pair_draws(trial, documents, low=0.5), "two documents")


@follows.case("both kinds, documents of very different length", weight=2)
def _(subject, trial):
    documents = some_documents(trial, [1, trial.integers(5, 9), 2, trial.integers(8, 14), 1])
    told_pairs(trial, subject, documents, pair_draws(trial, documents))


@follows.case("documents with the same text are different documents", weight=2)
def _(subject, trial):
    documents = some_documents(trial, [4, 3])
    documents = [documents[0], list(documents[0]), documents[1], list(documents[1]), list(documents[0])]
    told_pairs(trial, subject, documents, pair_draws(trial, documents, low=0.4))


@follows.case("sentences with the same text are different sentences")
def _(subject, trial):
    documents = some_documents(trial, [5, 4, 3])
    documents[0][3], documents[1][2], documents[1][3] = documents[0][1], documents[1][0], documents[0][1]
    draws = pair_draws(trial, documents, low=0.3)
    draws[[3, 6], 0] = trial.uniform((2,), high=0.5, dtype=F64)  # behind a sentence that stood there before
    told_pairs(trial, subject, documents, draws)


@follows.case("draws of 0, just below 1, and exactly 0.5")
def _(subject, trial):
    documents = some_documents(trial, [4, 2, 3, 5])
    draws = pair_draws(trial, documents, low=0.6)
    last = 1 - 1e-12
    for row, numbers in ((0, (0.5, 0.0, 0.0)), (1, (0.5, last, last)), (4, (0.9, last, 0.0)), (5, (0.0, 0.3, 0.3))):
        draws[row] = torch.tensor(numbers, dtype=F64)
    told_pairs(trial, subject, documents, draws)


@follows.case("fewer than two documents raise ValueError; documents of one sentence give no pair")
def _(subject, trial):
    for lengths in ([3], [1]):
        documents = some_documents(trial, lengths)
        draws = pair_draws(trial, documents, high=0.5)
        says = f"one document of {lengths[0]} must raise ValueError"
        trial.raises("ValueError", lambda documents=documents, draws=draws: subject(documents, draws), says)
    trial.raises("ValueError", lambda: subject([], torch.zeros(0, 3, dtype=F64)), "no document must raise ValueError")
    documents = some_documents(trial, [1, 1])
    told_pairs(trial, subject, documents, pair_draws(trial, documents), "two documents of one sentence")


# the encoder ----------------------------------------------------------------------------------------------------------

EPS_OF_BERT = 1e-12

bert = Check(
    "BertEncoder",
    hints=(
        "Three tables are added, and the sum is normalised before the first layer. Print the names in your state dict: "
        "nn.ModuleList gives encoder.0, a module inside gives encoder.0.norm1.",
        "A padding mask of keys is keep[:, None, None, :]: the same for every head and every query. MultiHeadAttention "
        "returns (out, weights).",
        "Post-norm: what is added to is the layer's input, and the norm acts on the sum. Three things differ from unit "
        "04: eps=1e-12 in every norm, no factor sqrt(D), nn.functional.gelu without approximate.",
    ),
    forbids=("attention_of_torch", "model"),
    kind="class",
)


def bert_norm_state(trial, name, D):
    return {f"{name}.weight": trial.normal((D,), spread=0.4, mean=1), f"{name}.bias": trial.normal((D,), spread=0.5)}


def bert_linear_state(trial, name, rows, columns):
    weight = trial.normal((rows, columns), spread=1.2 / math.sqrt(columns))
    return {f"{name}.weight": weight, f"{name}.bias": trial.normal((rows,), spread=0.4)}


def bert_state(trial, V, D, layers, F, positions=12, segments=2, spread=1.0):
    """A state dict of BertEncoder, far from initial values. spread: of the embeddings."""
    state = {}
    for name, rows in (("token", V), ("position", positions), ("segment", segments)):
        state[f"{name}_embedding.weight"] = trial.normal((rows, D), spread=spread)
    state |= bert_norm_state(trial, "embedding_norm", D)
    for i in range(layers):
        for part in ("w_q", "w_k", "w_v", "w_o"):
            state |= bert_linear_state(trial, f"encoder.{i}.attention.{part}", D, D)
        state |= bert_linear_state(trial, f"encoder.{i}.feed_forward.up", F, D)
        state |= bert_linear_state(trial, f"encoder.{i}.feed_forward.down", D, F)
        for norm in ("norm1", "norm2"):
            state |= bert_norm_state(trial, f"encoder.{i}.{norm}", D)
    return state


def bert_normed(x, state, name):
    weight, bias = state[f"{name}.weight"].double(), state[f"{name}.bias"].double()
    return nn.functional.layer_norm(x, x.shape[-1:], weight, bias, EPS_OF_BERT)


def bert_mapped(x, state, name):
    return x @ state[f"{name}.weight"].double().T + state[f"{name}.bias"].double()


def bert_inside(ids, state, heads, keep=None, segments=None):
    """All states and weights in float64, attention query by query (autograder.authoring.oracle)."""
    tables = [state[f"{name}_embedding.weight"].double() for name in ("token", "position", "segment")]
    segments = torch.zeros_like(ids) if segments is None else segments
    x = bert_normed(tables[0][ids] + tables[1][: ids.shape[1]] + tables[2][segments], state, "embedding_norm")
    states, weights, i = [x], [], 0
    mask = None if keep is None else keep[:, None, None, :]
    while f"encoder.{i}.norm1.weight" in state:
        attention = {key.removeprefix(f"encoder.{i}.attention."): value.double() for key, value in state.items()}
        mixed, weight = oracle.multi_head_attention(x, x, attention, heads, mask)
        x = bert_normed(x + mixed, state, f"encoder.{i}.norm1")
        inner = nn.functional.gelu(bert_mapped(x, state, f"encoder.{i}.feed_forward.up"))
        x = bert_normed(x + bert_mapped(inner, state, f"encoder.{i}.feed_forward.down"), state, f"encoder.{i}.norm2")
        states.append(x)
        weights.append(weight)
        i += 1
    return states, weights


def bert_out(ids, state, heads, keep=None, segments=None):
    return bert_inside(ids, state, heads, keep, segments)[0][-1].to(state["embedding_norm.weight"].dtype)


def bert_made(subject, state, *sizes, **options):
    made = subject.construct(*sizes, **options)
    subject.load_state(made, state)
    return made


def kept(trial, B, T):
    """(B, T) bool: padding at any places, at least one token and one padding in each row, the first row whole."""
    keep = trial.uniform((B, T)) < 0.6
    for row in range(B):
        keep[row, trial.integers(0, T - 1)], keep[row, T - 1 if row % 2 else 0] = True, False
        keep[row, T // 2] = True
    keep[0] = True
    return keep


def real_tokens_close(trial, got, want, keep, says, condition):
    """Compare rows of (B, T, ...) where keep is True, one after another."""
    for b, t in keep.nonzero().tolist():
        trial.close(got[b][t], want[b, t].float(), f"{says}, row {b}, token {t}", condition=condition)


@bert.case("one layer: embeddings, norm, attention, feed-forward", weight=2)
def _(subject, trial):
    V, T = trial.integers(15, 40), trial.integers(4, 8)
    ids, state = trial.integers(0, V, (2, T)), bert_state(trial, V, 6, 1, 10)
    made = bert_made(subject, state, V, 6, 2, 1, 10, max_length=12)
    trial.close(subject.method(made, "__call__", ids), bert_out(ids, state, 2), condition=10)


@bert.case("two layers, three heads", weight=2)
def _(subject, trial):
    ids, state = trial.integers(0, 20, (3, 6)), bert_state(trial, 20, 6, 2, 9)
    made = bert_made(subject, state, 20, 6, 3, 2, 9, max_length=12)
    trial.close(subject.method(made, "__call__", ids), bert_out(ids, state, 3), condition=20)


@bert.case("padding is hidden from every query, in every layer", weight=3)
def _(subject, trial):
    ids, keep, state = trial.integers(0, 20, (3, 7)), kept(trial, 3, 7), bert_state(trial, 20, 6, 2, 10)
    made = bert_made(subject, state, 20, 6, 2, 2, 10, max_length=12)
    got = subject.method(made, "__call__", ids, keep)
    real_tokens_close(trial, got, bert_out(ids, state, 2, keep), keep, "states behind the last layer", 20)


@bert.case("segments have their own table, and all tokens belong to segment 0 unless told", weight=2)
def _(subject, trial):
    ids, segments = trial.integers(0, 20, (2, 6)), trial.integers(0, 3, (2, 6))
    segments[0, 1], segments[1, 4] = 2, 1
    state = bert_state(trial, 20, 6, 1, 10, segments=3)
    made = bert_made(subject, state, 20, 6, 2, 1, 10, 12, 3)
    got = subject.method(made, "__call__", ids, segments=segments)
    trial.close(got, bert_out(ids, state, 2, segments=segments), "segments given", condition=10)
    trial.close(subject.method(made, "__call__", ids), bert_out(ids, state, 2), "segments left out", condition=10)


@bert.case("eps is 1e-12 in every norm: it shows on small numbers")
def _(subject, trial):
    ids, state = trial.integers(0, 20, (2, 5)), bert_state(trial, 20, 6, 1, 10, spread=1e-3)
    made = bert_made(subject, state, 20, 6, 2, 1, 10, max_length=12)
    got = subject.method(made, "__call__", ids)
    trial.close(got, bert_out(ids, state, 2), "embeddings near 0.001", condition=20)
    state = bert_state(trial, 20, 6, 1, 10)
    for name in list(state):  # a small stream: the first norm and both sublayers give little
        if not name.startswith(("encoder.0.norm", "token", "position", "segment")) and "norm1" not in name:
            state[name] = state[name] * (1e-3 if name.startswith("embedding_norm") or "w_o" in name else 1)
    made = bert_made(subject, state, 20, 6, 2, 1, 10, max_length=12)
    got, want = subject.method(made, "inspect", ids)[0], bert_inside(ids, state, 2)[0]
    trial.close(got[-1], want[-1].float(), "a stream near 0.001 in the first norm of the layer", condition=60)
    state = bert_state(trial, 20, 6, 1, 10)
    for name in ("norm1.weight", "norm1.bias", "feed_forward.down.weight", "feed_forward.down.bias"):
        state[f"encoder.0.{name}"] = state[f"encoder.0.{name}"] * 1e-3
    made = bert_made(subject, state, 20, 6, 2, 1, 10, max_length=12)
    got = subject.method(made, "__call__", ids)
    trial.close(got, bert_out(ids, state, 2), "a stream near 0.001 in the second norm of the layer", condition=60)


@bert.case("the exact GELU")
def _(subject, trial):
    ids, state = trial.integers(0, 20, (2, 5)), bert_state(trial, 20, 4, 1, 4)
    eye = torch.eye(4)
    state |= {"encoder.0.feed_forward.up.weight": 2 * eye, "encoder.0.feed_forward.down.weight": 6 * eye}
    made = bert_made(subject, state, 20, 4, 2, 1, 4, max_length=12)
    trial.close(subject.method(made, "__call__", ids), bert_out(ids, state, 2), condition=15)


@bert.case("inspect gives the states behind the embeddings and each layer, and each layer's weights", weight=2)
def _(subject, trial):
    ids, keep, segments = trial.integers(0, 20, (2, 6)), kept(trial, 2, 6), trial.integers(0, 2, (2, 6))
    state = bert_state(trial, 20, 6, 2, 10)
    made = bert_made(subject, state, 20, 6, 2, 2, 10, max_length=12)
    for arguments in ((ids,), (ids, None, segments)):
        states, weights = subject.method(made, "inspect", *arguments)
        wanted, shares = bert_inside(ids, state, 2, None, arguments[-1] if len(arguments) > 1 else None)
        trial.close(states, [x.float() for x in wanted], "states", condition=20)
        trial.close(weights, [x.float() for x in shares], "weights", condition=30)
    states, weights = subject.method(made, "inspect", ids, keep, segments)
    wanted, shares = bert_inside(ids, state, 2, keep, segments)
    for i in range(2):
        real_tokens_close(trial, states[i + 1], wanted[i + 1], keep, f"states behind layer {i}, padded", 20)
        for b, t in keep.nonzero().tolist():
            for head in range(2):
                says = f"weights of layer {i}, head {head}, row {b}, query {t}"
                trial.close(weights[i][b][head][t], shares[i][b, head, t].float(), says, condition=30)


@bert.case("gradients reach every parameter", weight=2)
def _(subject, trial):
    ids, segments, state = trial.integers(0, 9, (2, 5)), trial.integers(0, 2, (2, 5)), bert_state(trial, 9, 4, 2, 7)
    made, cotangent = bert_made(subject, state, 9, 4, 2, 2, 7, max_length=12), trial.normal((2, 5, 4))
    names = tuple(state)
    _, _, params = subject.grad_method(
        made, "__call__", ids, None, segments, cotangents=(cotangent,), wrt=(), params=names
    )

    def applied(*tensors):
        return bert_inside(ids, dict(zip(names, tensors, strict=True)), 2, None, segments)[0][-1]

    wanted = oracle.gradients(applied, [state[name] for name in names], [cotangent])[1]
    for name, expected in zip(names, wanted, strict=True):
        if not name.endswith("w_k.bias"):  # its true gradient is 0
            trial.close(params[name], expected, f"gradient of {name}", condition=60)


@bert.case("a sequence longer than the position table raises ValueError; one as long does not")
def _(subject, trial):
    state = bert_state(trial, 20, 6, 1, 8, positions=5)
    made = bert_made(subject, state, 20, 6, 2, 1, 8, max_length=5)
    for T in (1, 5):
        ids = trial.integers(0, 20, (2, T))
        trial.close(subject.method(made, "__call__", ids), bert_out(ids, state, 2), f"{T} tokens", condition=10)
    longer = trial.integers(0, 20, (2, 6))
    says = "six tokens, positions for five: ValueError"
    trial.raises("ValueError", lambda: subject.method(made, "__call__", longer), says)


@bert.case("float64; other sizes")
def _(subject, trial):
    D, F, V = 2 * trial.integers(2, 5), trial.integers(5, 16), trial.integers(10, 30)
    ids, state = trial.integers(0, V, (2, 4)), bert_state(trial, V, D, 3, F, positions=9, segments=1)
    made = bert_made(subject, state, V, D, 2, 3, F, 9, 1)
    subject.method(made, "double")
    wide = {name: tensor.double() for name, tensor in state.items()}
    trial.close(subject.method(made, "__call__", ids), bert_out(ids, wide, 2), condition=40)


@bert.trial("a sentence beside a longer one has the states that it has alone")
def _(subject, trial):
    state = bert_state(trial, 20, 6, 2, 10)
    made = bert_made(subject, state, 20, 6, 2, 2, 10, max_length=12)
    ids, keep = trial.integers(0, 20, (2, 9)), torch.ones(2, 9, dtype=torch.bool)
    keep[1, 4:] = False
    alone, beside = subject.method(made, "__call__", ids[1:, :4]), subject.method(made, "__call__", ids, keep)
    trial.close(beside[1, :4], alone[0], "padding changes the states", condition=20)
    trial.close(alone, bert_out(ids[1:, :4], state, 2), condition=20)


# one vector for a sentence --------------------------------------------------------------------------------------------

pool = Check(
    "masked_mean_pool",
    hints=(
        "A sum and a count for each sentence. Who comes in to the sum, and by what is it divided?",
        "Set padded states to 0 with masked_fill before the sum over dim 1, and divide by the number of True in each "
        "row of keep, at least 1.",
    ),
)


def pooled_by_hand(states, keep):
    """The mean of each row's real vectors, float64."""
    rows = []
    for vectors, real in zip(states.double(), keep, strict=True):
        chosen = [vector for vector, is_real in zip(vectors, real.tolist(), strict=True) if is_real]
        rows.append(sum(chosen) / len(chosen) if chosen else torch.zeros_like(vectors[0]))
    return torch.stack(rows).to(states.dtype)


@pool.case("the mean of the real tokens, rows of different length", weight=3)
def _(subject, trial):
    T = trial.integers(6, 12)
    states, keep = trial.normal((4, T, 5), spread=2, mean=1.5), kept(trial, 4, T)
    trial.close(subject(states, keep), pooled_by_hand(states, keep), condition=4)


@pool.case("one sentence alone; padding in front and behind")
def _(subject, trial):
    states = trial.normal((1, 7, 6), mean=1)
    trial.close(subject(states, torch.ones(1, 7, dtype=torch.bool)), states.double().mean(1).float(), "no padding")
    keep = torch.zeros(2, 7, dtype=torch.bool)
    keep[0, 3:], keep[1, 2] = True, True
    states = trial.normal((2, 7, 6), mean=1)
    trial.close(subject(states, keep), pooled_by_hand(states, keep), "padding in front", condition=4)


@pool.case("huge numbers at padded places change nothing", weight=2)
def _(subject, trial):
    states, keep = trial.normal((3, 8, 4)), kept(trial, 3, 8)
    huge = torch.where(keep[:, :, None], states, trial.normal((3, 8, 4), spread=1e12))
    trial.close(subject(huge, keep), pooled_by_hand(states, keep), condition=4)


@pool.case("a row without a real token is 0, and its gradient is no NaN")
def _(subject, trial):
    states, keep = trial.normal((3, 5, 4), mean=2), kept(trial, 3, 5)
    keep[1] = False
    trial.close(subject(states, keep), pooled_by_hand(states, keep), condition=4)
    cotangent = trial.normal((3, 4))
    _, (grad,) = subject.grad(states, keep, cotangents=(cotangent,), wrt=(0,))
    want = oracle.gradients(lambda x: pooled_by_hand(x, keep), [states], [cotangent])[1]
    trial.close(grad, want[0], "gradient of the states", condition=4)


@pool.case("float64 keeps its digits; one token, one number")
def _(subject, trial):
    states, keep = trial.normal((3, 9, 4), spread=3, dtype=F64), kept(trial, 3, 9)
    trial.close(subject(states, keep), pooled_by_hand(states, keep), condition=4)
    states = trial.normal((2, 1, 1))
    keep = torch.tensor([[True], [False]])
    trial.close(subject(states, keep), pooled_by_hand(states, keep))


distances = Check(
    "repaired_distances",
    hints=(
        "A sentence of 4 tokens in a batch padded to 40: what is the published vector, compared with the mean of the "
        "four?",
        "The zeros are harmless in the sum. The division is not: by the number of real tokens of each row.",
    ),
)


def distances_by_hand(query, states, keep):
    """math.sqrt of a sum of squares; zero only where the vectors are equal."""
    vectors = pooled_by_hand(states.double(), keep)
    return (vectors - query.double()).square().sum(1).sqrt().to(states.dtype)


@distances.case("the distance from the mean of each row's own tokens", weight=3)
def _(subject, trial):
    T = trial.integers(6, 12)
    query, states, keep = trial.normal((5,), mean=1), trial.normal((4, T, 5), spread=2, mean=1), kept(trial, 4, T)
    trial.close(subject(query, states, keep), distances_by_hand(query, states, keep), condition=6)


@distances.case("full rows: plain means")
def _(subject, trial):
    query, states = trial.normal((6,)), trial.normal((3, 5, 6), mean=1)
    keep = torch.ones(3, 5, dtype=torch.bool)
    trial.close(subject(query, states, keep), distances_by_hand(query, states, keep), condition=6)


@distances.case("padding in front or in the middle, large numbers there", weight=2)
def _(subject, trial):
    query, states, keep = trial.normal((4,)), trial.normal((3, 9, 4)), kept(trial, 3, 9)
    keep[0, :2], keep[1, :3] = False, False
    huge = torch.where(keep[:, :, None], states, trial.normal((3, 9, 4), spread=1e6))
    trial.close(subject(query, huge, keep), distances_by_hand(query, states, keep), condition=6)


@distances.case("gradients reach the query and the real tokens; float64")
def _(subject, trial):
    query, states, keep = trial.normal((4,)), trial.normal((3, 6, 4), mean=1), kept(trial, 3, 6)
    cotangent = trial.normal((3,))
    _, grads = subject.grad(query, states, keep, cotangents=(cotangent,), wrt=(0, 1))
    want = oracle.gradients(lambda q, x: distances_by_hand(q, x, keep), [query, states], [cotangent])[1]
    trial.close(grads[0], want[0], "gradient of the query", condition=10)
    trial.close(grads[1], want[1], "gradient of the states", condition=10)
    wide = query.double(), states.double(), keep
    trial.close(subject(*wide), distances_by_hand(*wide), "float64", condition=6)


@distances.trial("a sentence has the same distance alone and beside a longer one")
def _(subject, trial):
    query, states, keep = trial.normal((5,)), trial.normal((2, 11, 5), mean=1), torch.ones(2, 11, dtype=torch.bool)
    keep[1, 3:] = False
    alone = subject(query, states[1:, :3], keep[1:, :3])
    trial.close(subject(query, states, keep)[1], alone[0], "the padded one differs", condition=6)
    trial.close(alone, distances_by_hand(query, states[1:, :3], keep[1:, :3]), condition=6)


# heads ----------------------------------------------------------------------------------------------------------------

head = Check(
    "ClassificationHead",
    hints=(
        "Which token's state is taken? Four steps stand in the formula, from the inside out.",
        "states[:, 0] is (B, D). Dropout stands between the tanh and the classifier, and nn.Dropout looks at the mode "
        "by itself.",
    ),
    kind="class",
)


def head_state(trial, D, C):
    return bert_linear_state(trial, "pooler", D, D) | bert_linear_state(trial, "classifier", C, D)


def head_logits(states, state):
    pooled = torch.tanh(bert_mapped(states.double()[:, 0], state, "pooler"))
    return bert_mapped(pooled, state, "classifier").to(states.dtype)


def made_head(subject, state, D, C, training=False, **options):
    made = subject.construct(D, C, **options)
    subject.load_state(made, state)
    subject.method(made, "train" if training else "eval")
    return made


@head.case("pooler, tanh, classifier, on the first token", weight=3)
def _(subject, trial):
    for B, T, D, C in ((3, 5, 6, 4), (1, 1, 5, 2), (4, 2, 3, 7)):
        states, state = trial.normal((B, T, D), spread=1.5), head_state(trial, D, C)
        made = made_head(subject, state, D, C, dropout=0.0)
        trial.close(subject.method(made, "__call__", states), head_logits(states, state), condition=6)


@head.case("a dropout of 1 in training leaves the classifier's bias; evaluation knows no dropout", weight=2)
def _(subject, trial):
    states, state = trial.normal((3, 4, 6)), head_state(trial, 6, 5)
    made = made_head(subject, state, 6, 5, training=True, dropout=1.0)
    trial.close(subject.method(made, "__call__", states), state["classifier.bias"].expand(3, 5).contiguous())
    subject.method(made, "eval")
    trial.close(subject.method(made, "__call__", states), head_logits(states, state), "in evaluation", condition=6)
    made = made_head(subject, state, 6, 5, training=True, dropout=0.0)
    trial.close(subject.method(made, "__call__", states), head_logits(states, state), "dropout=0", condition=6)


@head.case("dropout acts on the pooled vector: a number is gone, or doubled", weight=2)
def _(subject, trial):
    D = 12
    state = head_state(trial, D, D) | {"classifier.weight": torch.eye(D), "classifier.bias": torch.zeros(D)}
    state |= {"pooler.weight": torch.zeros(D, D), "pooler.bias": torch.full((D,), 20.0)}  # tanh gives exactly 1
    made = made_head(subject, state, D, D, training=True, dropout=0.5)
    got = subject.method(made, "__call__", trial.normal((2, 3, D)))
    for row in range(2):
        for column in range(D):
            trial.one_of(got[row][column], (0.0, 2.0), "dropout=0.5, a pooled vector of ones: each is gone, or doubled")


@head.case("each number of the pooled vector is gone or stays by itself")
def _(subject, trial):
    """The mean of 48 numbers, each 0 or 2: out of [0.2, 1.8] once in 6e8 rows (4 or fewer of a kind)."""
    D = 48
    state = {"pooler.weight": torch.zeros(D, D), "pooler.bias": torch.full((D,), 20.0)}  # tanh gives exactly 1
    state |= {"classifier.weight": torch.full((1, D), 1 / D), "classifier.bias": torch.zeros(1)}
    made = made_head(subject, state, D, 1, training=True, dropout=0.5)
    got = subject.method(made, "__call__", trial.normal((4, 3, D)))
    for row in range(4):
        trial.likely(got[row][0], 0.2, 1.8, "mean of 48 numbers that are gone or doubled, each by itself: near 1")


@head.case("the default dropout is 0.1")
def _(subject, trial):
    D = 6
    state = head_state(trial, D, D) | {"classifier.weight": torch.eye(D), "classifier.bias": torch.zeros(D)}
    state |= {"pooler.weight": torch.zeros(D, D), "pooler.bias": torch.full((D,), 20.0)}
    made = made_head(subject, state, D, D, training=True)
    got, ninth = subject.method(made, "__call__", trial.normal((1, 2, D))), torch.tensor(1 / 0.9)
    grown = (ninth, *(torch.nextafter(ninth, torch.tensor(other)) for other in (0.0, 2.0)))
    for column in range(D):
        says = "a pooled vector of ones: each is gone, or divided by 0.9"
        trial.one_of(got[0][column], (0.0, *(n.item() for n in grown)), says)


@head.case("gradients reach both maps, and of the states the first token's only")
def _(subject, trial):
    states, state, cotangent = trial.normal((2, 3, 4)), head_state(trial, 4, 5), trial.normal((2, 5))
    names = tuple(state)
    made = made_head(subject, state, 4, 5, dropout=0.0)
    _, (grad,), params = subject.grad_method(
        made, "__call__", states, cotangents=(cotangent,), wrt=(0,), params=names
    )
    want = oracle.gradients(
        lambda x, *tensors: head_logits(x, dict(zip(names, tensors, strict=True))),
        [states, *state.values()], [cotangent],
    )[1]  # fmt: skip
    trial.close(grad, want[0], "gradient of the states", condition=8)
    for name, expected in zip(names, want[1:], strict=True):
        trial.close(params[name], expected, f"gradient of {name}", condition=8)
    made = made_head(subject, state, 4, 5, training=True, dropout=1.0)
    _, (grad,), params = subject.grad_method(
        made, "__call__", states, cotangents=(cotangent,), wrt=(0,), params=("pooler.weight", "classifier.bias")
    )
    trial.equal(grad, torch.zeros_like(states), "a dropout of 1, in training: gradient of the states")
    trial.equal(params["pooler.weight"], torch.zeros(4, 4), "a dropout of 1, in training: gradient of pooler.weight")
    trial.close(params["classifier.bias"], cotangent.sum(0), "a dropout of 1, in training: gradient of the bias")


@head.case("float64")
def _(subject, trial):
    states, state = trial.normal((3, 4, 5), dtype=F64), head_state(trial, 5, 3)
    made = made_head(subject, state, 5, 3, dropout=0.0)
    subject.method(made, "double")
    wide = {name: tensor.double() for name, tensor in state.items()}
    trial.close(subject.method(made, "__call__", states), head_logits(states, wide), condition=6)


tagging = Check(
    "tagging_loss",
    hints=(
        "Mark the pieces that are asked first: a piece is the first of its word when the piece before it belongs to "
        "another word, or is none.",
        "Shift word_of one place to the right and put -1 in front. first = a word, and another number than before. "
        "tags.gather(1, ...) needs numbers from 0: clamp them.",
        "cross_entropy(logits[first], asked tags, reduction='sum'), divided by the number of first pieces, at least 1.",
    ),
)


def tagging_by_hand(logits, tags, word_of):
    """Word after word: the loss of its first piece, in float64."""
    losses = []
    for b in range(len(word_of)):
        seen = set()
        for t, word in enumerate(word_of[b].tolist()):
            if word >= 0 and word not in seen:
                seen.add(word)
                row = logits[b, t].double()
                losses.append(torch.logsumexp(row, 0) - row[tags[b, word]])
    total = sum(losses) / len(losses) if losses else 0 * logits.double().sum()
    return total.to(logits.dtype)


def pieces(trial, B, words, longest=4, front=1, behind=3):
    """word_of for sentences of at most `words` words, each of 1 to `longest` pieces, with specials around them."""
    rows = []
    for b in range(B):
        count = words if b == 0 else trial.integers(1, words + 1)
        row = [-1] * front
        for word in range(count):
            row += [word] * (longest if word == b % 2 else trial.integers(1, longest + 1))
        rows.append(row)
    T = max(map(len, rows)) + behind
    return torch.tensor([row + [-1] * (T - len(row)) for row in rows])


def surprising(trial, word_of, C, tags, spread=3.0):
    """Logits whose size differs from piece to piece, so that every share of the mean shows; the right class is
    unlikely, so that no loss is a difference of nearly equal numbers."""
    logits = trial.normal((*word_of.shape, C), spread=spread) * trial.uniform((*word_of.shape, 1), low=0.5, high=3)
    for b, t in (word_of >= 0).nonzero().tolist():
        logits[b, t, tags[b, word_of[b, t]]] -= 20
    return logits


@tagging.case("each word counts once, by its first piece", weight=4)
def _(subject, trial):
    for B, words, C in ((1, 4, 5), (4, 6, 7)):
        word_of, tags = pieces(trial, B, words), trial.integers(0, C, (B, words))
        logits = surprising(trial, word_of, C, tags)
        trial.close(subject(logits, tags, word_of), tagging_by_hand(logits, tags, word_of), f"{B} rows", condition=10)


@tagging.case("all words of the batch count the same, in short sentences and in long ones")
def _(subject, trial):
    word_of = torch.cat([pieces(trial, 1, 9, 1)[:, :13], torch.full((1, 13), -1)])
    word_of[1, 1:3] = torch.tensor([0, 0])
    tags = trial.integers(0, 4, (2, 9))
    logits = surprising(trial, word_of, 4, tags)
    logits[1] *= 3
    trial.close(subject(logits, tags, word_of), tagging_by_hand(logits, tags, word_of), condition=10)


@tagging.case("words that are cut off do not count, whatever their tag; -100 there is no tag", weight=2)
def _(subject, trial):
    word_of = pieces(trial, 3, 5)
    tags = trial.integers(0, 6, (3, 8))
    for b in range(3):
        tags[b, int(word_of[b].max()) + 1 :] = -100
    logits = surprising(trial, word_of, 6, tags)
    trial.close(subject(logits, tags, word_of), tagging_by_hand(logits, tags, word_of), "cut behind", condition=10)
    shifted = torch.where(word_of >= 0, word_of + 2, -1)  # the first two words are missing
    trial.close(subject(logits, tags.clamp(min=0), shifted), tagging_by_hand(logits, tags.clamp(min=0), shifted),
                "cut in front", condition=10)  # fmt: skip


@tagging.case("words right at the edges, and words apart from each other")
def _(subject, trial):
    word_of = pieces(trial, 1, 4, front=0, behind=0)
    tags = trial.integers(0, 5, (1, 4))
    logits = surprising(trial, word_of, 5, tags)
    trial.close(subject(logits, tags, word_of), tagging_by_hand(logits, tags, word_of), "no specials", condition=10)
    word_of = torch.tensor([[0, 0, 0, 0], [0, 0, 1, 1], [0, 0, 0, 0]])
    tags = trial.integers(0, 5, (3, 2))
    logits = surprising(trial, word_of, 5, tags)
    trial.close(subject(logits, tags, word_of), tagging_by_hand(logits, tags, word_of), "whole rows", condition=10)
    word_of = torch.tensor([[1, 1, 2, 2], [-1, -1, -1, -1], [3, 3, 3, 3]])  # cut in front
    tags = trial.integers(0, 5, (3, 4))
    logits = surprising(trial, word_of, 5, tags)
    trial.close(subject(logits, tags, word_of), tagging_by_hand(logits, tags, word_of), "no word 0", condition=10)
    word_of = torch.tensor([[-1, -1, 0, 0, -1]])
    tags = trial.integers(0, 5, (1, 1))
    logits = surprising(trial, word_of, 5, tags, spread=1)
    trial.close(subject(logits, tags, word_of), tagging_by_hand(logits, tags, word_of), "one word", condition=10)
    word_of = torch.tensor([[-1, 0, 0, -1, 1, -1, -1, 2, 2, 2, -1]])
    tags = trial.integers(0, 5, (1, 4))
    logits = surprising(trial, word_of, 5, tags)
    trial.close(subject(logits, tags, word_of), tagging_by_hand(logits, tags, word_of), "gaps", condition=10)


@tagging.case("no word at all: a loss of 0 with gradients of 0")
def _(subject, trial):
    word_of, tags, logits = torch.full((2, 5), -1), trial.integers(0, 3, (2, 4)), trial.normal((2, 5, 3))
    trial.close(subject(logits, tags, word_of), torch.tensor(0.0))
    _, (grad,) = subject.grad(logits, tags, word_of, cotangents=(torch.tensor(1.0),), wrt=(0,))
    trial.close(grad, torch.zeros(2, 5, 3), "gradient of the logits")


@tagging.case("gradients reach first pieces only; float64; logits of several hundred", weight=2)
def _(subject, trial):
    word_of = pieces(trial, 3, 4)
    tags = trial.integers(0, 5, (3, 4))
    logits = surprising(trial, word_of, 5, tags)
    cotangent = trial.normal((1,))[0]
    _, (grad,) = subject.grad(logits, tags, word_of, cotangents=(cotangent,), wrt=(0,))
    want = oracle.gradients(lambda x: tagging_by_hand(x, tags, word_of), [logits], [cotangent])[1]
    trial.close(grad, want[0], "gradient of the logits", condition=10)
    wide = logits.double()
    trial.close(subject(wide, tags, word_of), tagging_by_hand(wide, tags, word_of), "float64", condition=10)
    large = 100 * logits
    trial.close(subject(large, tags, word_of), tagging_by_hand(large, tags, word_of), "large logits", condition=10)


span = Check(
    "span_loss",
    hints=(
        "Two classifications over positions. Which positions may a softmax give something to?",
        "Set the logits of all other tokens to -inf before the softmax; then two calls of cross_entropy, one for each "
        "column, and their mean.",
    ),
)


def text_mask(trial, B, T):
    """(B, T) bool: a question, then a text, then padding; every part in every row."""
    allowed = torch.zeros(B, T, dtype=torch.bool)
    for b in range(B):
        begin = trial.integers(1, T // 2 - 1)
        allowed[b, begin : trial.integers(begin + 2, T)] = True
    return allowed


def some_spans(trial, allowed):
    """Two allowed places for each row, start <= end."""
    pairs = []
    for row in allowed:
        places = row.nonzero().flatten().tolist()
        pairs.append(sorted((places[trial.integers(0, len(places))], places[trial.integers(0, len(places))])))
    return torch.tensor(pairs).T.contiguous()


def span_loss_by_hand(logits, allowed, start, end):
    """Row by row, over the allowed tokens alone, in float64."""
    losses = []
    for b in range(len(logits)):
        for column, right in ((0, start), (1, end)):
            scores = logits[b, :, column].double()
            losses.append(torch.logsumexp(scores[allowed[b]], 0) - scores[right[b]])
    return (sum(losses) / len(losses)).to(logits.dtype)


def unlikely_spans(trial, allowed, **options):
    """Logits and spans; the right places are unlikely, so that no loss is a difference of nearly equal numbers."""
    logits, (start, end) = trial.normal((*allowed.shape, 2), **options), some_spans(trial, allowed)
    rows = torch.arange(len(allowed))
    logits[rows, start, 0] -= 12
    logits[rows, end, 1] -= 12
    return logits, start, end


@span.case("two cross-entropies over the tokens of the text, and their mean", weight=3)
def _(subject, trial):
    for B, T in ((1, 9), (4, trial.integers(10, 16))):
        allowed = text_mask(trial, B, T)
        logits, start, end = unlikely_spans(trial, allowed, spread=3)
        trial.close(subject(logits, allowed, start, end), span_loss_by_hand(logits, allowed, start, end), condition=10)


@span.case("an answer at the first token, and one at the last")
def _(subject, trial):
    allowed = text_mask(trial, 3, 10)
    logits, start, end = unlikely_spans(trial, allowed, spread=3)
    allowed[0, :3], allowed[2, 7:] = True, True
    start[0], end[0], start[2], end[2] = 0, 0, 9, 9
    trial.close(subject(logits, allowed, start, end), span_loss_by_hand(logits, allowed, start, end), condition=10)


@span.case("tokens that are not allowed get nothing, however large their logits", weight=3)
def _(subject, trial):
    allowed = text_mask(trial, 3, 12)
    logits, start, end = unlikely_spans(trial, allowed, spread=2)
    logits = torch.where(allowed[:, :, None], logits, trial.uniform((3, 12, 2), low=50, high=900))
    trial.close(subject(logits, allowed, start, end), span_loss_by_hand(logits, allowed, start, end), condition=10)


@span.case("logits far below zero: a masked token must lie lower still")
def _(subject, trial):
    allowed = text_mask(trial, 2, 10)
    logits, start, end = unlikely_spans(trial, allowed, spread=2, mean=-30_000)
    trial.close(subject(logits, allowed, start, end), span_loss_by_hand(logits, allowed, start, end), condition=30_000)
    logits = torch.where(allowed[:, :, None], logits, trial.normal((2, 10, 2)))
    got, want = subject(logits, allowed, start, end), span_loss_by_hand(logits, allowed, start, end)
    trial.close(got, want, "the text's logits near -30,000, others near 0", condition=30_000)
    logits, start, end = unlikely_spans(trial, allowed, spread=2, mean=-2e9, dtype=F64)
    got, want = subject(logits, allowed, start, end), span_loss_by_hand(logits, allowed, start, end)
    trial.close(got, want, "logits near -2e9, float64", condition=1e9)


@span.case("one token of text: its loss is 0")
def _(subject, trial):
    allowed, place = torch.zeros(3, 8, dtype=torch.bool), trial.integers(0, 8, (3,))
    allowed[torch.arange(3), place] = True
    logits = trial.normal((3, 8, 2), spread=4)
    trial.close(subject(logits, allowed, place, place), torch.tensor(0.0))


@span.case("gradients: softmax minus one, and 0 outside of the text; float64", weight=2)
def _(subject, trial):
    allowed = text_mask(trial, 3, 9)
    logits, start, end = unlikely_spans(trial, allowed, spread=2)
    cotangent = trial.normal((1,))[0]
    _, (grad,) = subject.grad(logits, allowed, start, end, cotangents=(cotangent,), wrt=(0,))
    want = oracle.gradients(lambda x: span_loss_by_hand(x, allowed, start, end), [logits], [cotangent])[1]
    trial.close(grad, want[0], "gradient of the logits", condition=10)
    wide = logits.double()
    trial.close(subject(wide, allowed, start, end), span_loss_by_hand(wide, allowed, start, end), condition=10)


best = Check(
    "best_span",
    hints=(
        "There are T * T pairs of a start and an end. Which of them are answers? Two loops do it; a (T, T) table does "
        "it at once.",
        "sums[b, s, e] = start logit of s + end logit of e; -inf where e < s, where it is too long, or where s or e is "
        "not allowed. Then one argmax over the flattened table.",
        "argmax gives the first of equal ones. From the number n of the flattened table: start n // T, end n % T.",
    ),
)


def best_by_hand(logits, allowed, max_length):
    found = []
    for b in range(len(logits)):
        places = allowed[b].nonzero().flatten().tolist()
        pairs = [(s, e) for s in places for e in places if s <= e < s + max_length]
        found.append(max(pairs, key=lambda pair: float(logits[b, pair[0], 0]) + float(logits[b, pair[1], 1])))
    return torch.tensor(found)


def clear_logits(trial, B, T, dtype=torch.float32):
    """Numbers of which no two sums of a start and an end lie nearer than 0.01: starts are multiples of 1, ends of 1 /
    64."""
    starts = torch.stack([trial.permutation(T) for _ in range(B)]) - T // 2
    ends = torch.stack([trial.permutation(63)[:T] for _ in range(B)]) / 64 + trial.integers(-3, 4, (B, T))
    return torch.stack([starts.double(), ends.double()], dim=-1).to(dtype)


@best.case("the largest sum of all spans", weight=3)
def _(subject, trial):
    for B, T in ((1, 7), (6, trial.integers(8, 14))):
        logits, allowed = clear_logits(trial, B, T), torch.ones(B, T, dtype=torch.bool)
        trial.equal(subject(logits, allowed, T), best_by_hand(logits, allowed, T), f"{B} rows of {T} tokens")


def reversed_peaks(trial, B, T):
    """Logits whose best start stands behind the best end: the best of each is no span."""
    logits = clear_logits(trial, B, T)
    for b in range(B):
        end = trial.integers(0, T - 1)
        logits[b, end if b % 3 == 2 else trial.integers(end + 1, T), 0] += 20  # or an answer of one token
        logits[b, end, 1] += 20
    return logits


@best.case("the end does not stand before the start", weight=3)
def _(subject, trial):
    logits, allowed = reversed_peaks(trial, 6, 11), torch.ones(6, 11, dtype=torch.bool)
    trial.equal(subject(logits, allowed, 11), best_by_hand(logits, allowed, 11))


@best.case("no answer is longer than max_length tokens", weight=3)
def _(subject, trial):
    allowed = torch.ones(4, 12, dtype=torch.bool)
    for limit in (1, 2, 5, 40):
        logits = clear_logits(trial, 4, 12)
        logits[:, 1, 0] += 9
        logits[:, 1 + min(limit, 10), 1] += 9  # one token too long
        trial.equal(subject(logits, allowed, limit), best_by_hand(logits, allowed, limit), f"max_length={limit}")


@best.case("start and end are tokens of the text", weight=3)
def _(subject, trial):
    logits, allowed = clear_logits(trial, 6, 13), text_mask(trial, 6, 13)
    logits = logits + 60 * ~allowed[:, :, None]
    trial.equal(subject(logits, allowed, 5), best_by_hand(logits, allowed, 5), "large logits outside of the text")
    logits = clear_logits(trial, 6, 13) - 500.0
    logits = torch.where(allowed[:, :, None], logits, 0.0)
    trial.equal(subject(logits, allowed, 13), best_by_hand(logits, allowed, 13), "logits near -500")
    logits, allowed = clear_logits(trial, 6, 13), trial.uniform((6, 13)) < 0.6
    for row in range(6):  # the largest start and end stand on both sides of a token that is no text
        first = trial.integers(0, 9)
        allowed[row, first : first + 4] = torch.tensor([True, False, False, True])
        logits[row, first, 0] += 30
        logits[row, first + 3, 1] += 30
    says = "an answer with a token inside that may be no start and no end"
    trial.equal(subject(logits, allowed, 13), best_by_hand(logits, allowed, 13), says)


@best.case("every start and every end is looked at, also where many of them have larger logits")
def _(subject, trial):
    logits, allowed = clear_logits(trial, 3, 60), torch.ones(3, 60, dtype=torch.bool)
    logits[:, 28:, 0] += 200  # more than half of the starts are larger, and no end behind them is any good
    logits[:, 28:, 1] -= 900
    trial.equal(subject(logits, allowed, 30), best_by_hand(logits, allowed, 30), "32 starts with larger logits")
    logits = logits.flip(1, 2)
    trial.equal(subject(logits, allowed, 30), best_by_hand(logits, allowed, 30), "32 ends with larger logits")


@best.case("of equal sums the smallest start, then the smallest end", weight=2)
def _(subject, trial):
    for limit in (4, 9):
        logits, allowed = trial.integers(-1, 2, (5, 9, 2)).float(), text_mask(trial, 5, 9)
        trial.equal(subject(logits, allowed, limit), best_by_hand(logits, allowed, limit), f"max_length={limit}")
    logits, allowed = torch.full((2, 6, 2), trial.integers(-9, 9) / 2), text_mask(trial, 2, 6)
    trial.equal(subject(logits, allowed, 4), best_by_hand(logits, allowed, 4), "all logits equal")


@best.case("float64, one token, logits very far below zero")
def _(subject, trial):
    logits, allowed = clear_logits(trial, 3, 10, F64) / 2**30, text_mask(trial, 3, 10)
    trial.equal(subject(logits + 1, allowed, 6), best_by_hand(logits + 1, allowed, 6), "float64: close sums")
    logits, allowed = trial.normal((2, 1, 2)), torch.ones(2, 1, dtype=torch.bool)
    trial.equal(subject(logits, allowed, 1), torch.zeros(2, 2, dtype=torch.int64), "one token")
    logits, allowed = clear_logits(trial, 3, 8, F64) - 2.0**40, text_mask(trial, 3, 8)
    trial.equal(subject(logits, allowed, 8), best_by_hand(logits, allowed, 8), "logits near -1e12")


# grouped queries ------------------------------------------------------------------------------------------------------


def grouped_attention(q, k, v, mask=None):
    """Query head after query head, each with the key/value head that serves it, one query at a time, in float64."""
    (B, H, T, _), S = q.shape, k.shape[2]
    shared = H // k.shape[1]
    full = None if mask is None else mask.expand(B, H, T, S)
    heads = []
    for h in range(H):
        own = None if full is None else full[:, h]
        heads.append(oracle.attention(q[:, h].double(), k[:, h // shared].double(), v[:, h // shared].double(), own)[0])
    return torch.stack(heads, dim=1).to(q.dtype)


def grouped(trial, H, G, T, S, d, e=None, B=2, spread=1.5, dtype=torch.float32):
    return trial.normal((B, H, T, d), (B, G, S, d), (B, G, S, e or d), spread=spread, dtype=dtype)


def decoder_sizes(trial, count, low=3, high=9):
    """That many different sizes: none is taken for another."""
    return (low + trial.permutation(high - low)[:count]).tolist()


gqa = Check(
    "grouped_query_attention",
    hints=(
        "Six query heads, two key/value heads: write down which of the two each of the six looks at.",
        "Heads 0 1 2 share head 0: the keys must become 0 0 0 1 1 1, and so must the values. Which of repeat and "
        "repeat_interleave does that, and along which axis?",
        "k.repeat_interleave(H // G, dim=1), the same for v; then it is unit 02's attention, with masked_softmax.",
    ),
    forbids=("attention_of_torch", "model"),
    legal=lambda q, k, v, mask=None: q.dim() == 4 and k.dim() == 4 and v.dim() == 4 and q.shape[1] % k.shape[1] == 0,
)


@gqa.case("neighbouring query heads share a head: 0 0 0 1 1 1", weight=3)
def _(subject, trial):
    T, S, d = decoder_sizes(trial, 3)
    for H, G in ((6, 2), (8, 4)):
        q, k, v = grouped(trial, H, G, T, S, d)
        trial.close(subject(q, k, v), grouped_attention(q, k, v), f"{H} query heads, {G} key/value heads", condition=8)


@gqa.case("one key/value head for all, and one for each")
def _(subject, trial):
    T, S, d = decoder_sizes(trial, 3)
    for G in (1, 4):
        q, k, v = grouped(trial, 4, G, T, S, d)
        trial.close(subject(q, k, v), grouped_attention(q, k, v), f"4 query heads, {G} key/value heads", condition=8)


@gqa.case("masks of every shape that broadcasts", weight=2)
def _(subject, trial):
    T, S, d = decoder_sizes(trial, 3)
    q, k, v = grouped(trial, 6, 3, T, S, d)
    for shape in ((T, S), (2, 1, 1, S), (2, 6, T, S), (6, 1, S), (2, 1, T, 1)):
        mask = trial.uniform(shape) < 0.6
        mask[..., 0] = mask[..., 0] | (shape[-1] > 1)  # every query may look at something where keys are told apart
        got = subject(q, k, v, mask)
        says = f"mask of shape {shape}, B=2, H=6, T={T}, S={S}"
        trial.close(got, grouped_attention(q, k, v, mask), says, condition=8)
    causal = oracle.causal_mask(T, T)
    q, k, v = grouped(trial, 6, 2, T, T, d)
    trial.close(subject(q, k, v, mask=causal), grouped_attention(q, k, v, causal), "causal", condition=8)


@gqa.case("a query that may look at nothing gets 0, and its gradients are 0")
def _(subject, trial):
    T, S, d = decoder_sizes(trial, 3)
    q, k, v = grouped(trial, 4, 2, T, S, d)
    mask = trial.uniform((2, 1, T, S)) < 0.7
    mask[0, 0, 1], mask[1, 0, 0] = False, False
    cotangent = trial.normal((2, 4, T, d))
    out, grads = subject.grad(q, k, v, mask, cotangents=(cotangent,), wrt=(0, 1, 2))
    want = oracle.gradients(lambda q, k, v: grouped_attention(q, k, v, mask), [q, k, v], [cotangent])
    trial.close(out, want[0], condition=8)
    for name, got, expected in zip("qkv", (grads[0], grads[1], grads[2]), want[1], strict=True):
        trial.close(got, expected, f"gradient of {name}", condition=20)


@gqa.case("gradients: a shared key gets the sum over its query heads", weight=2)
def _(subject, trial):
    T, S, d, e = decoder_sizes(trial, 4)
    q, k, v = grouped(trial, 6, 2, T, S, d, e)
    cotangent = trial.normal((2, 6, T, e))
    _, grads = subject.grad(q, k, v, cotangents=(cotangent,), wrt=(0, 1, 2))
    want = oracle.gradients(grouped_attention, [q, k, v], [cotangent])[1]
    for name, got, expected in zip("qkv", (grads[0], grads[1], grads[2]), want, strict=True):
        trial.close(got, expected, f"gradient of {name}", condition=20)


@gqa.case("values of another width; scores of several hundred; float64; any layout")
def _(subject, trial):
    T, S, d, e = decoder_sizes(trial, 4)
    q, k, v = grouped(trial, 6, 2, T, S, d, e)
    trial.close(subject(q, k, v), grouped_attention(q, k, v), "values wider or narrower than keys", condition=8)
    large = 20 * q
    trial.close(subject(large, 20 * k, v), grouped_attention(large, 20 * k, v), "large scores", condition=5000)
    layouts = [trial.strided(part, layout) for part, layout in zip((q, k, v), ("transposed", "every_other", "offset"))]
    trial.close(subject(*layouts), grouped_attention(q, k, v), "other layouts", condition=8)
    q, k, v = grouped(trial, 4, 2, T, S, d, e, B=3, dtype=F64)
    trial.close(subject(q, k, v), grouped_attention(q, k, v), "float64", condition=8)


@gqa.case("query heads that can't be shared out evenly raise ValueError")
def _(subject, trial):
    for H, G in ((6, 4), (2, 3)):
        q, k, v = grouped(trial, H, G, 3, 5, 4)
        says = f"{H} query heads and {G} key/value heads must raise ValueError"
        trial.raises("ValueError", lambda q=q, k=k, v=v: subject(q, k, v), says)


@gqa.trial("many shapes")
def _(subject, trial):
    for _ in range(8):
        B, G, shared, T, S, d, e = (trial.integers(1, high) for high in (4, 4, 5, 8, 8, 9, 9))
        q, k, v = grouped(trial, G * shared, G, T, S, d, e, B)
        mask = trial.uniform((B, 1, T, S)) < 0.6 if trial.integers(0, 2) else None
        got = subject(q, k, v) if mask is None else subject(q, k, v, mask)
        trial.close(got, grouped_attention(q, k, v, mask), f"q {tuple(q.shape)}, k {tuple(k.shape)}", condition=20)


# blocks ---------------------------------------------------------------------------------------------------------------


def decoder_loaded(subject, state, *args, **options):
    """A new object of the subject's class with this state dict."""
    made = subject.construct(*args, **options)
    subject.load_state(made, state)
    return made


def decoder_map(trial, name, rows, columns, bias=False):
    """Weights of an nn.Linear(columns, rows) under `name`."""
    state = {f"{name}.weight": trial.normal((rows, columns), spread=1.2 / math.sqrt(columns))}
    return state | ({f"{name}.bias": trial.normal((rows,), spread=0.4)} if bias else {})


def gain(trial, name, width):
    """The weight of an RMSNorm, far from one and of both signs."""
    return {f"{name}.weight": trial.normal((width,), spread=0.6, mean=1.0)}


def wide(state):
    return {key: tensor.double() for key, tensor in state.items()}


def rms_normed(x, weight, eps):
    """torch's, in float64."""
    return nn.functional.rms_norm(x, x.shape[-1:], weight, eps)


def turned(x, positions, base):
    """Pairs (i, i + d/2) as complex numbers, turned by position times base^(-2i/d): x (..., T, d) in float64."""
    half = x.shape[-1] // 2
    angles = torch.outer(positions.double(), base ** (-torch.arange(half, dtype=F64) / half))
    pairs = torch.complex(x[..., :half], x[..., half:]) * torch.polar(torch.ones_like(angles), angles)
    return torch.cat([pairs.real, pairs.imag], dim=-1)


def split_by_width(x, d):
    return torch.stack(x.split(d, dim=-1), dim=1)  # (B, T, n d) -> (B, n, T, d)


def rotary_attention(x, w, d, base, eps, positions, mask):
    """Queries, keys and values by x @ w.T, normalised where there is a norm, turned; (B, T, H d) in float64."""
    q, k, v = (split_by_width(x @ w[f"{name}.weight"].T, d) for name in ("w_q", "w_k", "w_v"))
    if "q_norm.weight" in w:
        q, k = rms_normed(q, w["q_norm.weight"], eps), rms_normed(k, w["k_norm.weight"], eps)
    mixed = grouped_attention(turned(q, positions, base), turned(k, positions, base), v, mask)
    return torch.cat(mixed.unbind(1), dim=-1)


def llama_block(x, state, d, base=10000.0, eps=1e-6, positions=None, mask=None):
    """A Llama block in float64, rounded once."""
    w, y, T = wide(state), x.double(), x.shape[1]
    positions = torch.arange(T) if positions is None else positions
    causal = oracle.causal_mask(T, T)
    mask = causal if mask is None else causal & mask
    h = rms_normed(y, w["norm1.weight"], eps)
    y = y + rotary_attention(h, w, d, base, eps, positions, mask) @ w["w_o.weight"].T
    h = rms_normed(y, w["norm2.weight"], eps)
    inner = nn.functional.silu(h @ w["feed_forward.gate.weight"].T) * (h @ w["feed_forward.up.weight"].T)
    return (y + inner @ w["feed_forward.down.weight"].T).to(x.dtype)


def attention_maps(trial, D, H, G, d):
    shapes = {"w_q": (H * d, D), "w_k": (G * d, D), "w_v": (G * d, D), "w_o": (D, H * d)}
    maps = [decoder_map(trial, name, *shape) for name, shape in shapes.items()]
    return maps[0] | maps[1] | maps[2] | maps[3]


def llama_state(trial, D, H, G, F, d, qk_norm=False):
    state = gain(trial, "norm1", D) | attention_maps(trial, D, H, G, d) | gain(trial, "norm2", D)
    state |= decoder_map(trial, "feed_forward.gate", F, D) | decoder_map(trial, "feed_forward.up", F, D)
    state |= decoder_map(trial, "feed_forward.down", D, F)
    return state | (gain(trial, "q_norm", d) | gain(trial, "k_norm", d) if qk_norm else {})


def block_gradients(subject, trial, made, function, x, state, condition=40):
    """Gradients of a block's input and of all its parameters, against those of `function(x, state)`."""
    names, cotangent = tuple(state), trial.normal(tuple(x.shape))
    _, grads, params = subject.grad_method(made, "__call__", x, cotangents=(cotangent,), wrt=(0,), params=names)

    def applied(x, *tensors):
        return function(x, dict(zip(names, tensors, strict=True)))

    want = oracle.gradients(applied, [x, *state.values()], [cotangent])[1]
    trial.close(grads[0], want[0], "gradient of the input", condition=condition)
    for name, expected in zip(names, want[1:], strict=True):
        trial.close(params[name], expected, f"gradient of {name}", condition=condition)


llama = Check(
    "LlamaBlock",
    hints=(
        "Write the two lines of the docstring first. What is added to is the stream x, what goes into a sublayer is "
        "normalised.",
        "Project, split into heads, normalise if asked, turn queries and keys, attend with a causal mask, join the "
        "heads, project. Shapes: (B, T, H d) -> (B, T, H, d) -> (B, H, T, d).",
        "causal = torch.ones(T, T, dtype=torch.bool).tril(); with a mask: causal & mask. Rotations come after q_norm "
        "and k_norm, and values are never turned.",
    ),
    forbids=("attention_of_torch", "model"),
    kind="class",
)


@llama.case("grouped queries, rotations, a causal mask and SwiGLU in one block", weight=3)
def _(subject, trial):
    T, F = decoder_sizes(trial, 2, 5, 12)
    x, state = trial.normal((2, T, 12), spread=2, mean=0.5), llama_state(trial, 12, 6, 2, F, 2)
    got = subject.method(decoder_loaded(subject, state, 12, 6, 2, F), "__call__", x)
    trial.close(got, llama_block(x, state, 2), condition=30)
    state = llama_state(trial, 16, 4, 2, F, 4)
    x = trial.normal((2, T, 16), spread=2, mean=0.5)
    got = subject.method(decoder_loaded(subject, state, 16, 4, 2, F), "__call__", x)
    trial.close(got, llama_block(x, state, 4), "width 16, 4 heads, 2 key/value heads", condition=30)


@llama.case("heads that are wider or narrower than D / H")
def _(subject, trial):
    T, F = decoder_sizes(trial, 2, 4, 10)
    for D, H, G, d in ((6, 4, 2, 8), (10, 3, 1, 4)):
        x, state = trial.normal((2, T, D), spread=2), llama_state(trial, D, H, G, F, d)
        got = subject.method(decoder_loaded(subject, state, D, H, G, F, head_width=d), "__call__", x)
        trial.close(got, llama_block(x, state, d), f"D={D}, H={H}, G={G}, d={d}", condition=30)


@llama.case("positions of their own, and another base", weight=2)
def _(subject, trial):
    T, F = decoder_sizes(trial, 2, 4, 10)
    x, state = trial.normal((2, T, 16), spread=2), llama_state(trial, 16, 4, 2, F, 4)
    positions = trial.permutation(200)[:T]  # in no order: who may look is told by the place in the row
    made = decoder_loaded(subject, state, 16, 4, 2, F)
    got = subject.method(made, "__call__", x, positions)
    trial.close(got, llama_block(x, state, 4, positions=positions), f"positions {positions.tolist()}", condition=60)
    base = float(trial.integers(20, 400))
    got = subject.method(decoder_loaded(subject, state, 16, 4, 2, F, base=base), "__call__", x)
    trial.close(got, llama_block(x, state, 4, base), f"base={base}", condition=30)


@llama.case("a mask hides more than the future, never less", weight=2)
def _(subject, trial):
    T, F = decoder_sizes(trial, 2, 5, 10)
    x, state = trial.normal((2, T, 12), spread=2), llama_state(trial, 12, 6, 2, F, 2)
    made = decoder_loaded(subject, state, 12, 6, 2, F)
    for shape in ((2, 1, 1, T), (T, T), (2, 6, T, T)):
        mask = trial.uniform(shape) < 0.6
        mask.view(-1)[0] = False  # a first token, which may look at nothing then
        got = subject.method(made, "__call__", x, mask=mask)
        trial.close(got, llama_block(x, state, 2, mask=mask), f"mask of shape {shape}", condition=30)


@llama.case("qk_norm: queries and keys are normalised head by head, before they are turned", weight=2)
def _(subject, trial):
    T, F = decoder_sizes(trial, 2, 5, 10)
    x, state = trial.normal((2, T, 16), spread=2), llama_state(trial, 16, 4, 2, F, 4, qk_norm=True)
    made = decoder_loaded(subject, state, 16, 4, 2, F, qk_norm=True)
    trial.close(subject.method(made, "__call__", x), llama_block(x, state, 4), condition=30)
    state |= {name: 1e-3 * state[name] for name in ("w_q.weight", "w_k.weight")}  # eps counts
    made = decoder_loaded(subject, state, 16, 4, 2, F, qk_norm=True, eps=1e-4)
    trial.close(subject.method(made, "__call__", x), llama_block(x, state, 4, eps=1e-4), "small queries", condition=30)


@llama.case("eps is that of both norms: it shows on a small stream")
def _(subject, trial):
    T, F = decoder_sizes(trial, 2, 4, 10)
    x, state = trial.normal((2, T, 12), spread=1e-3), llama_state(trial, 12, 6, 2, F, 2)
    got = subject.method(decoder_loaded(subject, state, 12, 6, 2, F), "__call__", x)
    trial.close(got, llama_block(x, state, 2), "numbers near 0.001", condition=30)
    got = subject.method(decoder_loaded(subject, state, 12, 6, 2, F, eps=0.3), "__call__", 500 * x)
    trial.close(got, llama_block(500 * x, state, 2, eps=0.3), "eps=0.3", condition=30)


@llama.case("with closed sublayers the stream passes as it is")
def _(subject, trial):
    T, F = decoder_sizes(trial, 2, 4, 10)
    x, state = trial.normal((3, T, 12), spread=3, mean=1), llama_state(trial, 12, 4, 2, F, 4)
    state |= {name: torch.zeros_like(state[name]) for name in ("w_o.weight", "feed_forward.down.weight")}
    got = subject.method(decoder_loaded(subject, state, 12, 4, 2, F, head_width=4), "__call__", x)
    trial.equal(got, x)


@llama.case("gradients reach the input and every parameter", weight=2)
def _(subject, trial):
    for qk_norm in (False, True):
        x, state = trial.normal((2, 5, 8), spread=2), llama_state(trial, 8, 4, 2, 10, 2, qk_norm)
        made = decoder_loaded(subject, state, 8, 4, 2, 10, qk_norm=qk_norm)
        block_gradients(subject, trial, made, lambda x, w: llama_block(x, w, 2), x, state, 60)


@llama.case("a single token, float64")
def _(subject, trial):
    state = llama_state(trial, 12, 6, 3, 7, 2)
    made = decoder_loaded(subject, state, 12, 6, 3, 7)
    x = trial.normal((4, 1, 12), spread=2)
    trial.close(subject.method(made, "__call__", x), llama_block(x, state, 2), "one token", condition=30)
    subject.method(made, "double")
    x = trial.normal((2, trial.integers(3, 8), 12), spread=2, dtype=F64)
    trial.close(subject.method(made, "__call__", x), llama_block(x, state, 2), "float64", condition=1e4)


@llama.case("heads that don't fit raise ValueError when the block is made")
def _(subject, trial):
    trial.raises("ValueError", lambda: subject.construct(12, 6, 4, 8), "6 heads, 4 key/value heads")
    trial.raises("ValueError", lambda: subject.construct(10, 4, 2, 8), "width 10, 4 heads")


# GPT ------------------------------------------------------------------------------------------------------------------


def gpt_logits(ids, state, heads):
    """GPT-2 in float64: torch's layer_norm and gelu, attention head by head; rounded once."""
    w, T = wide(state), ids.shape[1]
    D = w["token_embedding.weight"].shape[1]
    causal = oracle.causal_mask(T, T)

    def normed(x, name):
        return nn.functional.layer_norm(x, (D,), w[f"{name}.weight"], w[f"{name}.bias"])

    x = w["token_embedding.weight"][ids] + w["position_embedding.weight"][:T]
    for i in range(sum(name.endswith("up.weight") for name in w)):
        own = {name.removeprefix(f"blocks.{i}.attention."): tensor for name, tensor in w.items()
               if name.startswith(f"blocks.{i}.attention.")}  # fmt: skip
        h = normed(x, f"blocks.{i}.norm1")
        x = x + oracle.multi_head_attention(h, h, own, heads, causal)[0]
        h = normed(x, f"blocks.{i}.norm2")
        inner = h @ w[f"blocks.{i}.up.weight"].T + w[f"blocks.{i}.up.bias"]
        inner = nn.functional.gelu(inner, approximate="tanh")
        x = x + inner @ w[f"blocks.{i}.down.weight"].T + w[f"blocks.{i}.down.bias"]
    logits = normed(x, "norm") @ w["token_embedding.weight"].T
    return logits.to(state["token_embedding.weight"].dtype)


def shifted_norm(trial, name, width):
    return gain(trial, name, width) | {f"{name}.bias": trial.normal((width,), spread=0.5)}


def gpt_state(trial, V, context, D, L, spread=1.0):
    """Weights far from where they start; `spread` is of the embeddings."""
    state = {"token_embedding.weight": trial.normal((V, D), spread=spread)}
    state["position_embedding.weight"] = trial.normal((context, D), spread=spread)
    for i in range(L):
        for part in ("w_q", "w_k", "w_v", "w_o"):
            state |= decoder_map(trial, f"blocks.{i}.attention.{part}", D, D, bias=True)
        state |= shifted_norm(trial, f"blocks.{i}.norm1", D) | shifted_norm(trial, f"blocks.{i}.norm2", D)
        state |= decoder_map(trial, f"blocks.{i}.up", 4 * D, D, bias=True)
        state |= decoder_map(trial, f"blocks.{i}.down", D, 4 * D, bias=True)
    return state | shifted_norm(trial, "norm", D)


gpt = Check(
    "GPT",
    hints=(
        "Write forward for one block first, from the three lines of the docstring; a block has two norms, and the "
        "model one more at its end.",
        "causal = torch.ones(T, T, dtype=torch.bool).tril() hides the future; attention(x, causal)[0] is the output. "
        "The head is x @ self.token_embedding.weight.T: no copy and no layer of its own.",
        "Initialise at the end of __init__: walk over named_parameters(); the names tell biases, norms and the maps "
        "that write into the stream.",
    ),
    forbids=("attention_of_torch", "model"),
    kind="class",
)


@gpt.case("logits of a model of two blocks", weight=3)
def _(subject, trial):
    V, T = trial.integers(11, 20), trial.integers(5, 9)
    state = gpt_state(trial, V, 9, 8, 2)
    ids = trial.integers(0, V, (2, T))
    got = subject.method(decoder_loaded(subject, state, V, 9, 8, 4, 2), "__call__", ids)
    trial.close(got, gpt_logits(ids, state, 4), condition=30)


@gpt.case("a token never feels what comes behind it, and feels all before it", weight=2)
def _(subject, trial):
    V = trial.integers(11, 20)
    state = gpt_state(trial, V, 12, 12, 1)
    made, ids = decoder_loaded(subject, state, V, 12, 12, 3, 1), trial.integers(0, V, (3, 7))
    trial.close(subject.method(made, "__call__", ids), gpt_logits(ids, state, 3), condition=30)
    later = ids.clone()
    later[:, 4] = (later[:, 4] + 1 + trial.integers(0, V - 1, (3,))) % V
    trial.close(subject.method(made, "__call__", later), gpt_logits(later, state, 3), "token 4 changed", condition=30)


@gpt.case("the tanh form of gelu", weight=2)
def _(subject, trial):
    V = trial.integers(11, 20)
    state = gpt_state(trial, V, 8, 6, 1)
    shut = ("w_o.weight", "w_o.bias", "up.weight", "norm.weight")
    state |= {name: torch.zeros_like(t) for name, t in state.items() if name.endswith(shut[:3])}
    state["blocks.0.up.bias"] = trial.uniform((24,), low=-3.2, high=-1.6)  # where the two forms differ most
    state["blocks.0.down.weight"] = 40 * state["blocks.0.down.weight"]
    ids = trial.integers(0, V, (2, 5))
    got = subject.method(decoder_loaded(subject, state, V, 8, 6, 2, 1), "__call__", ids)
    trial.close(got, gpt_logits(ids, state, 2), condition=100)


@gpt.case("embedding and head are one tensor: its gradient comes from both ends", weight=2)
def _(subject, trial):
    V, L = trial.integers(9, 14), 1
    state = gpt_state(trial, V, 6, 6, L)
    made, ids = decoder_loaded(subject, state, V, 6, 6, 2, L), trial.integers(0, V, (2, 5))
    ids[:, 1] = torch.tensor([0, V - 1])  # no id is special
    cotangent = trial.normal((2, 5, V))
    names = ("token_embedding.weight", "position_embedding.weight", "blocks.0.up.weight", "norm.bias")
    _, _, params = subject.grad_method(made, "__call__", ids, cotangents=(cotangent,), wrt=(), params=names)

    def applied(*tensors):
        return gpt_logits(ids, wide(state) | dict(zip(names, tensors, strict=True)), 2)

    want = oracle.gradients(applied, [state[name] for name in names], [cotangent])[1]
    for name, expected in zip(names, want, strict=True):
        trial.close(params[name], expected, f"gradient of {name}", condition=60)


@gpt.case("the head is the embedding as it stands there now, no copy: an embedding of zeros gives logits of 0")
def _(subject, trial):
    V, T = trial.integers(11, 20), trial.integers(5, 9)
    state = gpt_state(trial, V, 9, 8, 1)
    state["token_embedding.weight"] = torch.zeros(V, 8)
    got = subject.method(decoder_loaded(subject, state, V, 9, 8, 2, 1), "__call__", trial.integers(0, V, (2, T)))
    trial.equal(got, torch.zeros(2, T, V))


@gpt.case("positions count from 0; the longest sequence is read, a longer one raises ValueError", weight=2)
def _(subject, trial):
    V, context = trial.integers(11, 20), trial.integers(4, 8)
    state = gpt_state(trial, V, context, 8, 1)
    made = decoder_loaded(subject, state, V, context, 8, 2, 1)
    for T in (context, 1):
        ids = trial.integers(0, V, (2, T))
        trial.close(subject.method(made, "__call__", ids), gpt_logits(ids, state, 2), f"{T} tokens", condition=30)
    ids = trial.integers(0, V, (1, context + 1))
    says = f"{context + 1} tokens for a context of {context} must raise ValueError"
    trial.raises("ValueError", lambda: subject.method(made, "__call__", ids), says)


@gpt.case("three blocks, small embeddings, float64")
def _(subject, trial):
    V = trial.integers(11, 20)
    state = gpt_state(trial, V, 9, 10, 3, spread=0.1)
    made = decoder_loaded(subject, state, V, 9, 10, 5, 3)
    ids = trial.integers(0, V, (1, trial.integers(4, 9)))
    trial.close(subject.method(made, "__call__", ids), gpt_logits(ids, state, 5), condition=60)
    subject.method(made, "double")
    double = wide(state)
    trial.close(subject.method(made, "__call__", ids), gpt_logits(ids, double, 5), "float64", condition=100)


def starts_with(subject, trial, state, names, want, also=()):
    """The deviation of each of these parameters of a new model is `want`, up to chance, and they are normal: the
    largest of 1,024 or more lies below 2.2 deviations once in 3e12 times. Of uniform numbers it lies below 1.74.
    """
    ruler = subject.construct(name="ScriptedRuler")
    for name in names:
        found = subject.method(ruler, "deviation", state[name])
        for bound, says in ((0.4, "far smaller than torch's"), (0.027, "no larger than 0.02"), *also):
            trial.likely(found, 0.0, bound, f"{name} of a new model has a standard deviation {says}")
        trial.likely(found, 0.8 * want, 1.2 * want, f"standard deviation of {name} of a new model")
        says = f"largest number of {name} of a new model: of 1,024 normal ones more than 2.2 standard deviations"
        trial.likely(subject.method(ruler, "largest", state[name]), 2.2 * want, 1000 * want, says)


@gpt.case("a new model: maps into the stream are smaller by sqrt(2 L)")
def _(subject, trial):
    layers = trial.integers(3, 6)
    state = subject.method(subject.construct(40, 10, 32, 2, layers), "state_dict")
    names = [f"blocks.{i}.{part}.weight" for i in range(layers) for part in ("attention.w_o", "down")]
    starts_with(subject, trial, state, names, 0.02 / math.sqrt(2 * layers), [(0.016, "smaller than 0.02")])


@gpt.case("a new model: small embeddings and maps, no biases, logits near 0")
def _(subject, trial):
    made = subject.construct(60, 40, 32, 2, trial.integers(2, 4))
    state = subject.method(made, "state_dict")
    parts = ("attention.w_q", "attention.w_k", "attention.w_v", "up")
    names = [f"blocks.{i}.{part}.weight" for i in range(2) for part in parts]
    starts_with(subject, trial, state, ["token_embedding.weight", "position_embedding.weight", *names], 0.02)
    for i in range(2):
        for part, width in (("up", 128), ("down", 32), ("attention.w_k", 32), ("attention.w_o", 32)):
            trial.equal(state[f"blocks.{i}.{part}.bias"], torch.zeros(width), f"blocks.{i}.{part}.bias")
    for name in ("blocks.0.norm1", "blocks.1.norm2", "norm"):
        trial.equal(state[f"{name}.weight"], torch.ones(32), f"{name}.weight")
        trial.equal(state[f"{name}.bias"], torch.zeros(32), f"{name}.bias")
    ids = trial.integers(0, 60, (1, 6))
    ruler = subject.construct(name="ScriptedRuler")
    size = subject.method(ruler, "deviation", subject.method(made, "__call__", ids))
    trial.likely(size, 0.03, 0.3, "the size of a new model's logits: ln V is the loss of logits near 0")


# Gemma ----------------------------------------------------------------------------------------------------------------


def gemma_block(x, state, d, base=10000.0, window=None, eps=1e-6, positions=None):
    """A Gemma 3 block in float64, rounded once."""
    w, y, T = wide(state), x.double(), x.shape[1]
    positions = torch.arange(T) if positions is None else positions
    may = torch.tensor([[s <= t and t - s < (window or T) for s in range(T)] for t in range(T)])

    def normed(x, name):
        return rms_normed(x, w[f"{name}.weight"], eps)

    mixed = rotary_attention(normed(y, "norm1"), w, d, base, eps, positions, may) @ w["w_o.weight"].T
    y = y + normed(mixed, "norm2")
    h = normed(y, "norm3")
    inner = nn.functional.gelu(h @ w["gate.weight"].T, approximate="tanh") * (h @ w["up.weight"].T)
    return (y + normed(inner @ w["down.weight"].T, "norm4")).to(x.dtype)


def gemma_state(trial, D, H, G, d, F):
    state = attention_maps(trial, D, H, G, d)
    for name, width in (("norm1", D), ("norm2", D), ("norm3", D), ("norm4", D), ("q_norm", d), ("k_norm", d)):
        state |= gain(trial, name, width)
    return state | decoder_map(trial, "gate", F, D) | decoder_map(trial, "up", F, D) | decoder_map(trial, "down", D, F)


gemma = Check(
    "GemmaBlock",
    hints=(
        "Begin with LlamaBlock. Which four things differ in the two lines of the docstring?",
        "norm2 and norm4 act on what a sublayer gives, before it is added; the stream itself is never normalised.",
        "t - s is how far back key s lies behind query t: it may be 0 to window - 1.",
    ),
    forbids=("attention_of_torch", "model"),
    kind="class",
)


@gemma.case("norms before and behind each sublayer, grouped queries, gated GELU", weight=3)
def _(subject, trial):
    T, D, F = decoder_sizes(trial, 3, 5, 12)
    x, state = trial.normal((2, T, D), spread=2, mean=0.5), gemma_state(trial, D, 6, 2, 4, F)
    got = subject.method(decoder_loaded(subject, state, D, 6, 2, 4, F), "__call__", x)
    trial.close(got, gemma_block(x, state, 4), condition=40)


@gemma.case("a window: the token itself and window - 1 before it", weight=3)
def _(subject, trial):
    T, F = decoder_sizes(trial, 2, 6, 10)
    x, state = trial.normal((2, T, 10), spread=2), gemma_state(trial, 10, 4, 2, 4, F)
    for window in (3, 2, 1, T):
        got = subject.method(decoder_loaded(subject, state, 10, 4, 2, 4, F, window=window), "__call__", x)
        trial.close(got, gemma_block(x, state, 4, window=window), f"window={window}, {T} tokens", condition=40)


@gemma.case("positions of their own, and another base; windows count places in the row", weight=2)
def _(subject, trial):
    T, F = decoder_sizes(trial, 2, 5, 10)
    x, state = trial.normal((2, T, 10), spread=2), gemma_state(trial, 10, 4, 2, 4, F)
    positions = trial.permutation(200)[:T]
    made = decoder_loaded(subject, state, 10, 4, 2, 4, F, window=3)
    got = subject.method(made, "__call__", x, positions)
    want = gemma_block(x, state, 4, window=3, positions=positions)
    trial.close(got, want, f"positions {positions.tolist()}", condition=80)
    base = float(trial.integers(20, 400))
    got = subject.method(decoder_loaded(subject, state, 10, 4, 2, 4, F, base=base), "__call__", x)
    trial.close(got, gemma_block(x, state, 4, base), f"base={base}", condition=40)


@gemma.case("eps is that of all six norms: it shows on small numbers", weight=2)
def _(subject, trial):
    T, F = decoder_sizes(trial, 2, 4, 10)
    x, state = trial.normal((2, T, 8), spread=0.5), gemma_state(trial, 8, 4, 2, 4, F)
    state |= {f"{name}.weight": 0.1 * state[f"{name}.weight"] for name in ("w_q", "w_k", "w_o", "down")}
    got = subject.method(decoder_loaded(subject, state, 8, 4, 2, 4, F, eps=0.02), "__call__", x)
    trial.close(got, gemma_block(x, state, 4, eps=0.02), "eps=0.02", condition=40)


@gemma.case("the tanh form of gelu", weight=1)
def _(subject, trial):
    T = trial.integers(4, 9)
    state = gemma_state(trial, 3, 2, 1, 2, 3)
    eye = torch.eye(3)
    state |= {"w_o.weight": torch.zeros(3, 4), "gate.weight": -2.4 * eye, "up.weight": eye, "down.weight": eye}
    state |= {"norm3.weight": torch.ones(3), "norm4.weight": 5 * torch.ones(3)}
    x = trial.uniform((2, T, 3), low=0.7, high=1.3)
    got = subject.method(decoder_loaded(subject, state, 3, 2, 1, 2, 3, eps=1e-6), "__call__", x)
    trial.close(got, gemma_block(x, state, 2), condition=20)


@gemma.case("gradients reach the input and every parameter", weight=2)
def _(subject, trial):
    x, state = trial.normal((2, 5, 6), spread=2), gemma_state(trial, 6, 4, 2, 4, 9)
    made = decoder_loaded(subject, state, 6, 4, 2, 4, 9, window=3)
    block_gradients(subject, trial, made, lambda x, w: gemma_block(x, w, 4, window=3), x, state, 80)


@gemma.case("a single token, one key/value head, float64; heads that don't fit raise ValueError")
def _(subject, trial):
    state = gemma_state(trial, 7, 3, 1, 6, 5)
    made = decoder_loaded(subject, state, 7, 3, 1, 6, 5)
    x = trial.normal((4, 1, 7), spread=2)
    trial.close(subject.method(made, "__call__", x), gemma_block(x, state, 6), "one token", condition=40)
    subject.method(made, "double")
    x = trial.normal((2, trial.integers(3, 8), 7), spread=2, dtype=F64)
    trial.close(subject.method(made, "__call__", x), gemma_block(x, state, 6), "float64", condition=1e4)
    trial.raises("ValueError", lambda: subject.construct(12, 6, 4, 8, 5), "6 heads, 4 key/value heads")


# prefix language model ------------------------------------------------------------------------------------------------

prefix_mask = Check(
    "prefix_lm_mask",
    hints=(
        "Draw the mask of five tokens with a prefix of two. Which squares does it have that the causal mask lacks?",
        "A key may be looked at if it is no later than the query, or if it belongs to the prefix. The second half "
        "depends on the key alone.",
        "With places = torch.arange(length), the comparison of places[:, None] with places is (T, T), and that of "
        "places with prefix[:, None, None, None] is (B, 1, 1, T). Or them.",
    ),
)


def prefix_rule(prefix, length):
    """Pair by pair, by the two sentences of the docstring."""
    def sees(query, key, given):
        return key < given if query < given else key <= query

    rows = [[[sees(t, s, given) for s in range(length)] for t in range(length)] for given in prefix.tolist()]
    return torch.tensor(rows)[:, None]


@prefix_mask.case("the prefix is read in both directions, what follows is causal", weight=2)
def _(subject, trial):
    for _ in range(3):
        length = trial.integers(6, 15)
        prefix = trial.integers(3, length - 2, (1,))
        trial.equal(subject(prefix, length), prefix_rule(prefix, length))


@prefix_mask.case("each row has a prefix of its own", weight=2)
def _(subject, trial):
    length, rows = trial.integers(8, 15), trial.integers(4, 7)
    prefix = 2 + trial.permutation(length - 3)[:rows]
    trial.equal(subject(prefix, length), prefix_rule(prefix, length))


@prefix_mask.case("no prefix or one token: causal; all tokens: nothing is hidden")
def _(subject, trial):
    length = trial.integers(4, 24)
    prefix = torch.tensor([0, length, 1, length - 1])
    trial.equal(subject(prefix, length), prefix_rule(prefix, length))
    trial.equal(subject(torch.tensor([0]), 1), torch.ones(1, 1, 1, 1, dtype=torch.bool), "one token, no prefix")


@prefix_mask.case("a prefix below 0 or longer than the row is refused")
def _(subject, trial):
    length = trial.integers(4, 90)
    trial.raises("ValueError", lambda: subject(torch.tensor([2, length + 1]), length), "a prefix of T + 1 tokens")
    trial.raises("ValueError", lambda: subject(torch.tensor([-1, 2]), length), "a prefix of -1 tokens")


@prefix_mask.trial("many rows, many lengths")
def _(subject, trial):
    for _ in range(8):
        length = trial.integers(1, 40)
        prefix = trial.integers(0, length + 1, (trial.integers(1, 9),))
        trial.equal(subject(prefix, length), prefix_rule(prefix, length))


# what an encoder-decoder is trained on --------------------------------------------------------------------------------


def family_words(trial, n, vocab_size=9000):
    """n token ids, all different, none of them near a special one."""
    return (50 + trial.permutation(vocab_size - 1000)[:n]).tolist()


def spans_in(trial, count, least=1, gap=1):
    """`count` spans of `least` to 4 tokens, gaps of at least `gap` before each: starts and lengths, ascending."""
    starts, lengths, at = [], [], 0
    for _ in range(count):
        at += gap + trial.integers(0, 4)
        starts.append(at)
        lengths.append(least + trial.integers(0, 4 - least + 1))
        at += lengths[-1]
    return starts, lengths, at


span_corrupt = Check(
    "t5_span_corrupt",
    new=True,
    hints=(
        "Sort the spans by where they begin, and walk along the text once. What do you append to which list at a span?",
        "Keep `end`, where the last span ended. Before each span copy text[end:start] into the inputs; the span itself "
        "goes into the targets, the sentinel into both.",
        "Sentinel number i is vocab_size - 1 - i. Behind all spans the targets get sentinel number len(spans).",
    ),
    legal=lambda ids, starts, lengths, vocab_size, n_sentinels=100: vocab_size > n_sentinels
    and all(0 <= int(t) < vocab_size - n_sentinels for t in ids),
)


def t5_by_token(ids, starts, lengths, vocab_size):
    """Each token on its own: in which span does it stand, if in any?"""
    spans = sorted(zip(starts, lengths, strict=True))
    inputs, targets = [], []
    for place in range(len(ids) + 1):
        for number, (start, length) in enumerate(spans):
            if start == place:
                inputs.append(vocab_size - 1 - number)
                targets.append(vocab_size - 1 - number)
                targets.extend(ids[start : start + length])
        if place < len(ids) and not any(start <= place < start + length for start, length in spans):
            inputs.append(ids[place])
    return inputs, [*targets, vocab_size - 1 - len(spans)]


@span_corrupt.case("one span: a sentinel in its place, and targets that say what it was", weight=2)
def _(subject, trial):
    (start,), (length,), end = spans_in(trial, 1, least=2)
    ids, V = family_words(trial, end + 2 + trial.integers(0, 5)), trial.integers(10_000, 40_000)
    trial.equal(subject(ids, [start], [length], V), t5_by_token(ids, [start], [length], V))


@span_corrupt.case("several spans: sentinels count down from the last id, one more ends the targets", weight=3)
def _(subject, trial):
    for count in (3, 2 + trial.integers(0, 4)):
        starts, lengths, end = spans_in(trial, count, least=2)
        ids, V = family_words(trial, end + trial.integers(1, 6)), trial.integers(10_000, 40_000)
        trial.equal(subject(ids, starts, lengths, V), t5_by_token(ids, starts, lengths, V))


@span_corrupt.case("spans in another order get their sentinels by where they stand", weight=2)
def _(subject, trial):
    starts, lengths, end = spans_in(trial, 4)
    ids, V = family_words(trial, end + 3), trial.integers(10_000, 40_000)
    turned = [(starts[i], lengths[i]) for i in (2, 0, 3, 1)]
    got = subject(ids, [s for s, _ in turned], [n for _, n in turned], V)
    trial.equal(got, t5_by_token(ids, starts, lengths, V))


@span_corrupt.case("spans that touch, or stand at an end of the text, keep a sentinel each")
def _(subject, trial):
    first, second, third, V = *(trial.integers(1, 6) for _ in range(3)), trial.integers(10_000, 40_000)
    ids = family_words(trial, first + second + 3 + third)
    spans = [0, first, first + second + 3], [first, second, third]
    trial.equal(subject(ids, *spans, V), t5_by_token(ids, *spans, V))
    trial.equal(subject(ids, [0], [len(ids)], V), t5_by_token(ids, [0], [len(ids)], V), "one span that is all")


@span_corrupt.case("no span: the text, and one sentinel")
def _(subject, trial):
    ids, V = family_words(trial, trial.integers(3, 9)), trial.integers(10_000, 40_000)
    trial.equal(subject(ids, [], [], V), (ids, [V - 1]))
    trial.equal(subject([], [], [], V), ([], [V - 1]), "no text at all")


@span_corrupt.case("tensors as well as lists, and lists come back")
def _(subject, trial):
    starts, lengths, end = spans_in(trial, 3)
    ids, V = family_words(trial, end + 2), trial.integers(10_000, 40_000)
    want = t5_by_token(ids, starts, lengths, V)
    trial.equal(subject(torch.tensor(ids), torch.tensor(starts), torch.tensor(lengths), V), want)
    trial.equal(subject(torch.tensor(ids), starts, lengths, V), want)
    ids[:4] = [ids[0]] * 4  # a token that comes again
    trial.equal(subject(ids, starts, lengths, V), t5_by_token(ids, starts, lengths, V), "a token that comes again")


@span_corrupt.case("spans that overlap, are empty or leave the text are refused")
def _(subject, trial):
    ids, V = family_words(trial, 9), trial.integers(10_000, 40_000)
    for starts, lengths, why in (
        ([2, 4], [3, 2], "spans 2 to 4 and 4 to 5 overlap"),
        ([4, 2], [2, 3], "the same, the later one first"),
        ([1, 5], [2, 0], "a span of 0 tokens"),
        ([3, 7], [2, 3], "a span that ends behind the text"),
        ([-2], [2], "a span that begins at -2"),
        ([1, 4], [2], "two starts and one length"),
    ):
        trial.raises("ValueError", lambda s=starts, n=lengths: subject(ids, s, n, V), why)


@span_corrupt.case("the last sentinel counts: as many spans as sentinels are refused")
def _(subject, trial):
    few = trial.integers(3, 7)
    starts, lengths, end = spans_in(trial, few)
    ids, V = family_words(trial, end + 1), trial.integers(10_000, 40_000)
    trial.equal(subject(ids, starts, lengths, V, few + 1), t5_by_token(ids, starts, lengths, V))
    trial.raises("ValueError", lambda: subject(ids, starts, lengths, V, few), "as many spans as sentinels")
    trial.raises("ValueError", lambda: subject(ids, starts, lengths, V, few - 1), "more spans than sentinels")
    ids = family_words(trial, 210)
    trial.raises("ValueError", lambda: subject(ids, list(range(0, 200, 2)), [1] * 100, V), "100 spans, 100 sentinels")


denoise = Check(
    "bart_denoise",
    new=True,
    hints=(
        "Two steps, and only the first one moves sentences. Which text do the starts of the spans count in? Which one "
        "goes into the targets?",
        "Join the sentences in their new order, sort the spans, and walk along the text with `end`, where the last "
        "span ended. A span of length 0 ends where it begins.",
        "At each span: copy text[end:start] and append one mask, then set `end` behind the span. After the last one: "
        "text[end:].",
    ),
)


def bart_by_token(sentences, order, spans, mask):
    """Each place of the permuted text on its own: which masks stand before it, and does its token stay?"""
    text = []
    for place in order:
        text.extend(sentences[place])
    inputs = []
    for place in range(len(text) + 1):
        inputs.extend(mask for start, _ in spans if start == place)
        if place < len(text) and not any(start <= place < start + length for start, length in spans):
            inputs.append(text[place])
    return inputs, sum(sentences, [])


def document(trial, *lengths):
    words = iter(family_words(trial, sum(lengths)))
    return [[next(words) for _ in range(length)] for length in lengths]


@denoise.case("a whole span becomes one mask; the targets are the text", weight=2)
def _(subject, trial):
    starts, lengths, end = spans_in(trial, 3, least=2)
    (sentence,), mask = document(trial, end + 1 + trial.integers(0, 4)), trial.integers(10_000, 50_000)
    spans = list(zip(starts, lengths, strict=True))
    trial.equal(subject([sentence], [0], spans, mask), bart_by_token([sentence], [0], spans, mask))


@denoise.case("a span of length 0 puts a mask where nothing is missing", weight=2)
def _(subject, trial):
    (sentence,), mask = document(trial, 8 + trial.integers(0, 5)), trial.integers(10_000, 50_000)
    for spans in ([(trial.integers(1, 7), 0)], [(len(sentence), 0), (2, 3), (0, 0)]):
        trial.equal(subject([sentence], [0], spans, mask), bart_by_token([sentence], [0], spans, mask))


@denoise.case("sentences stand in the given order; the targets keep their own", weight=2)
def _(subject, trial):
    sentences, mask = document(trial, *(2 + trial.permutation(4)).tolist()), trial.integers(10_000, 50_000)
    order = [[1, 2, 3, 0], [3, 0, 1, 2], [1, 3, 0, 2], [2, 0, 3, 1]][trial.integers(0, 4)]  # none is its own inverse
    trial.equal(subject(sentences, order, [], mask), bart_by_token(sentences, order, [], mask))


@denoise.case("spans count in the permuted text, in any order, across sentences", weight=3)
def _(subject, trial):
    for _ in range(3):
        starts, lengths, end = spans_in(trial, 4)
        first, second = 1 + trial.integers(0, 4), 2 + trial.integers(0, 3)
        sentences = document(trial, first, max(end - first - second, 1) + 2, second)
        mask, order = trial.integers(10_000, 50_000), [[1, 2, 0], [2, 0, 1]][trial.integers(0, 2)]
        spans = [(starts[i], lengths[i]) for i in (2, 0, 3, 1)]
        trial.equal(subject(sentences, order, spans, mask), bart_by_token(sentences, order, spans, mask))


@denoise.case("masks of their own: spans that touch, several of length 0 at one place, one before a longer one")
def _(subject, trial):
    (sentence,), mask = document(trial, 12), trial.integers(10_000, 50_000)
    at, first, second = (trial.integers(1, 4) for _ in range(3))
    for spans in ([(at, first), (at + first, second)], [(at, 0), (at, 0)], [(at, first), (at, 0)],
                  [(at, first), (at + first, 0)]):  # fmt: skip
        trial.equal(subject([sentence], [0], spans, mask), bart_by_token([sentence], [0], spans, mask), f"{spans}")


@denoise.case("no sentences, an empty one, a span that is all of the text")
def _(subject, trial):
    mask = trial.integers(10_000, 50_000)
    sentences = document(trial, trial.integers(1, 5), 0, trial.integers(2, 6))
    n = sum(map(len, sentences))
    for given, order, spans in (([], [], []), ([], [], [(0, 0)]), (sentences, [1, 2, 0], [(0, n)])):
        trial.equal(subject(given, order, spans, mask), bart_by_token(given, order, spans, mask))


@denoise.case("an order or a span that does not fit is refused")
def _(subject, trial):
    sentences, mask = document(trial, 3, 4, 2), trial.integers(10_000, 50_000)
    for order in ([0, 1], [0, 1, 1], [1, 2, 3], [0, 1, 2, 0]):
        trial.raises("ValueError", lambda o=order: subject(sentences, o, [], mask), f"order {order}, three sentences")
    for spans in ([(7, 3)], [(10, 0)], [(-1, 2)], [(2, -1)], [(1, 4), (3, 1)], [(3, 1), (1, 4)], [(1, 3), (2, 0)]):
        trial.raises("ValueError", lambda s=spans: subject(sentences, [2, 0, 1], s, mask), f"{spans}, nine tokens")


# T5's positions and attention -----------------------------------------------------------------------------------------


bucket = Check(
    "t5_relative_bucket",
    hints=(
        "Take the causal case first: distances only. Work out both rows of the formula for all numbers and let "
        "torch.where choose; clamp before the logarithm, so that 0 never goes in.",
        "Halve num_buckets first where bidirectional, and compute E from the half. Keys ahead then get N added to "
        "what their distance gives.",
        "Compute log(n / E) in float64; .long() cuts off, which is the floor for numbers above 0. The clamp to N - 1 "
        "belongs to the far row, before N is added.",
    ),
    legal=lambda relative_position, bidirectional=True, num_buckets=32, max_distance=128: num_buckets % 2 == 0
    and num_buckets >= 4
    and max_distance > num_buckets
    and all(t5_settled(n, bidirectional, num_buckets, max_distance) for n in relative_position.flatten().tolist()),
)


def t5_inside_the_floor(n, bidirectional, num_buckets, max_distance):
    """E, N, and what the floor is taken of, in float64."""
    N = num_buckets // 2 if bidirectional else num_buckets
    E = N // 2
    return E, N, (N - E) * math.log(n / E) / math.log(max_distance / E) if n >= E else 0.0


def t5_settled(relative, bidirectional, num_buckets, max_distance):
    """No rounding error of float32 can decide for another row."""
    n = abs(relative) if bidirectional else max(-relative, 0)
    E, N, inside = t5_inside_the_floor(n, bidirectional, num_buckets, max_distance)
    return n <= E or inside >= N - E - 1 + 1e-3 or abs(inside - round(inside)) > 1e-3


def t5_row(relative, bidirectional=True, num_buckets=32, max_distance=128):
    """The definition, for one distance."""
    n = abs(relative) if bidirectional else max(-relative, 0)
    E, N, inside = t5_inside_the_floor(n, bidirectional, num_buckets, max_distance)
    row = n if n < E else min(E + math.floor(inside), N - 1)
    return row + N if bidirectional and relative > 0 else row


def t5_rows(relative, *settings):
    return relative.clone().apply_(lambda r: t5_row(int(r), *settings))


def bucket_distances(trial, count, bidirectional=True, num_buckets=32, max_distance=128):
    """`count` settled relative positions, behind and ahead, up to 3 * max_distance, most of them beyond E."""
    found = []
    while len(found) < count:
        n = round(math.exp(trial.rng.uniform(0, math.log(3 * max_distance))))
        relative = n if trial.rng.random() < 0.5 else -n
        if t5_settled(relative, bidirectional, num_buckets, max_distance):
            found.append(relative)
    return torch.tensor(found)


@bucket.case("ten tokens of an encoder: row 0 is 0, then 17 to 24; column 0 is 0 to 8")
def _(subject, trial):
    places = torch.arange(10)
    relative = places - places[:, None]
    trial.equal(subject(relative), t5_rows(relative), "a table of 10 queries and 10 keys")


@bucket.case("an encoder's rows, behind and ahead, near and far", weight=3)
def _(subject, trial):
    for _ in range(2):
        relative = bucket_distances(trial, 40).reshape(5, 8)
        trial.equal(subject(relative), t5_rows(relative))


@bucket.case("a decoder's rows: twice as many for what lies behind, none for what lies ahead", weight=3)
def _(subject, trial):
    for _ in range(2):
        relative = bucket_distances(trial, 40, False).reshape(5, 8)
        trial.equal(subject(relative, False), t5_rows(relative, False))
        trial.equal(subject(relative, bidirectional=False), t5_rows(relative, False))
    far = range(90, 140)  # 112 has another row where the largest distance is 127
    relative = torch.tensor([-n for n in far if t5_settled(-n, False, 32, 128)])
    trial.equal(subject(relative, False), t5_rows(relative, False), "the largest distance is 128 unless told")


@bucket.case("other tables and other largest distances", weight=2)
def _(subject, trial):
    for both in (True, False):
        settings = both, 2 * trial.integers(4, 30), trial.integers(70, 900)
        relative = bucket_distances(trial, 30, *settings)
        trial.equal(subject(relative, *settings), t5_rows(relative, *settings))


@bucket.case("where exact turns logarithmic, and where the last row begins")
def _(subject, trial):
    half, most = trial.integers(3, 12), trial.integers(60, 500)
    for both, N in ((True, 2 * half), (False, 2 * half)):
        edges = [N // 2 - 1, N // 2, N // 2 + 1, N + 1, most // 2, most - 1, most, most + 1, 40 * most]
        relative = torch.tensor([0, *edges, *(-n for n in edges)])
        settings = both, 2 * N if both else N, most
        relative = relative[[t5_settled(int(n), *settings) for n in relative]]
        trial.equal(subject(relative, *settings), t5_rows(relative, *settings))


@bucket.case("an odd half: E is rounded down")
def _(subject, trial):
    settings = True, 4 * trial.integers(2, 9) + 2, trial.integers(90, 900)
    relative = bucket_distances(trial, 30, *settings)
    trial.equal(subject(relative, *settings), t5_rows(relative, *settings))


@bucket.case("any shape: one number, a row, three axes")
def _(subject, trial):
    for shape in ((), (7,), (2, 3, 4)):
        relative = bucket_distances(trial, math.prod(shape)).reshape(shape)
        trial.equal(subject(relative), t5_rows(relative))


def t5_state(trial, D, H, d, rows=0):
    """Weights of a T5Attention: the scores come out a few units large, biases too."""
    size = {name: (H * d, D) for name in ("q", "k", "v")} | {"o": (D, H * d)}
    state = {f"{name}.weight": trial.normal(shape, spread=1.1 / math.sqrt(shape[1])) for name, shape in size.items()}
    return state | ({"relative_bias.weight": trial.normal((rows, H), spread=2)} if rows else {})


def t5_bias(state, T, settings):
    """(1, H, T, T) in the table's dtype, pair by pair."""
    rows = torch.tensor([[t5_row(s - t, *settings) for s in range(T)] for t in range(T)])
    return state["relative_bias.weight"][rows].permute(2, 0, 1)[None]


def t5_by_head(x, state, H, mask=None, memory=None, bias=None):
    """out and weights in x's dtype, computed in float64, one head after another."""
    w = {name: weight.double() for name, weight in state.items()}
    source = x if memory is None else memory
    q, k, v = x.double() @ w["q.weight"].T, source.double() @ w["k.weight"].T, source.double() @ w["v.weight"].T
    B, T, S, d = len(x), x.shape[1], source.shape[1], q.shape[-1] // H
    masks = None if mask is None else mask.expand(B, H, T, S)
    outs, weights = [], []
    for h in range(H):
        own = slice(h * d, (h + 1) * d)
        scores = q[..., own] @ k[..., own].transpose(1, 2) + (0 if bias is None else bias.double()[:, h])
        weights.append(oracle.masked_softmax(scores, None if masks is None else masks[:, h]))
        outs.append(weights[-1] @ v[..., own])
    out = torch.cat(outs, -1) @ w["o.weight"].T
    return out.to(x.dtype), torch.stack(weights, 1).to(x.dtype)


t5_attention = Check(
    "T5Attention",
    hints=(
        "Write cross-attention first: it is unit 02's attention without the scaling. Then decide where the bias comes "
        "from: the argument, the table, or nowhere.",
        "The table: rows of t5_relative_bucket(places - places[:, None], ...), an (T, T) tensor of ids; the embedding "
        "gives (T, T, H), and the scores want (1, H, T, T).",
        "Add the bias, then hide keys with masked_fill(~mask, -inf), then the softmax. Return the bias alone, as the "
        "third result: the next layer adds it to scores of its own.",
    ),
    kind="class",
)
T5_SETTINGS = 8, 20  # rows and largest distance: no distance of theirs lies on a border


def t5_layer(subject, state, D, H, d, rows=0, bidirectional=True):
    made = subject.construct(D, H, d, rows, T5_SETTINGS[1], bidirectional)
    subject.load_state(made, state)
    return made


@t5_attention.case("an encoder's self-attention: no scaling, a bias for each head and distance", weight=3)
def _(subject, trial):
    T = trial.integers(9, 14)
    x, state = trial.normal((2, T, 10)), t5_state(trial, 10, 3, 4, T5_SETTINGS[0])
    bias = t5_bias(state, T, (True, *T5_SETTINGS))
    out, weights = t5_by_head(x, state, 3, bias=bias)
    got = subject.method(t5_layer(subject, state, 10, 3, 4, T5_SETTINGS[0]), "__call__", x)
    trial.close(got[1], weights, "weights", condition=30)
    trial.close(got[0], out, "out", condition=30)


@t5_attention.case("a decoder's self-attention: causal mask, and all rows for what lies behind", weight=2)
def _(subject, trial):
    T = trial.integers(9, 14)
    x, state = trial.normal((2, T, 10)), t5_state(trial, 10, 3, 4, T5_SETTINGS[0])
    mask, bias = torch.ones(T, T).tril().bool(), t5_bias(state, T, (False, *T5_SETTINGS))
    out, weights = t5_by_head(x, state, 3, mask, bias=bias)
    got = subject.method(t5_layer(subject, state, 10, 3, 4, T5_SETTINGS[0], False), "__call__", x, mask)
    trial.close(got[1], weights, "weights", condition=30)
    trial.close(got[0], out, "out", condition=30)


@t5_attention.case("cross-attention adds nothing, whatever table or bias there is", weight=3)
def _(subject, trial):
    T, S, rows = trial.integers(4, 7), trial.integers(7, 11), T5_SETTINGS[0]
    x, memory = trial.normal((2, T, 10), (2, S, 10))
    keep = torch.arange(S) < torch.tensor([S, S - 3])[:, None]
    for state, bias in (
        (t5_state(trial, 10, 3, 4), None),
        (t5_state(trial, 10, 3, 4, rows), None),
        (t5_state(trial, 10, 3, 4), trial.normal((1, 3, T, T), spread=2)),
    ):
        out, weights = t5_by_head(x, state, 3, keep[:, None, None], memory)
        made = t5_layer(subject, state, 10, 3, 4, rows if len(state) > 4 else 0)
        got = subject.method(made, "__call__", x, keep[:, None, None], memory, bias)
        trial.close(got[1], weights, "weights", condition=30)
        trial.close(got[0], out, "out", condition=30)
        trial.equal(got[2], None, "the third result in cross-attention")


@t5_attention.case("memory as long as the queries: still nothing is added", weight=2)
def _(subject, trial):
    T, state = trial.integers(6, 10), t5_state(trial, 8, 2, 3, T5_SETTINGS[0])
    x, memory = trial.normal((1, T, 8), (1, T, 8))
    bias = trial.normal((1, 2, T, T), spread=2)
    made = t5_layer(subject, state, 8, 2, 3, T5_SETTINGS[0])
    got = subject.method(made, "__call__", x, memory=memory, bias=bias)
    trial.close(got[0], t5_by_head(x, state, 2, memory=memory)[0], "out", condition=30)
    trial.equal(got[2], None, "the third result in cross-attention")


@t5_attention.case("the third result is the bias, without the mask", weight=2)
def _(subject, trial):
    T, state = trial.integers(9, 13), t5_state(trial, 6, 2, 5, T5_SETTINGS[0])
    x, mask = trial.normal((2, T, 6)), torch.ones(T, T).tril().bool()
    for both in (True, False):
        got = subject.method(t5_layer(subject, state, 6, 2, 5, T5_SETTINGS[0], both), "__call__", x, mask)
        trial.close(got[2], t5_bias(state, T, (both, *T5_SETTINGS)), f"the third result, bidirectional={both}")


@t5_attention.case("a bias that is handed on is added and returned, in place of an own table", weight=2)
def _(subject, trial):
    T, rows = trial.integers(6, 10), T5_SETTINGS[0]
    x, bias = trial.normal((2, T, 10), (1, 3, T, T), spread=1.5)
    for state in (t5_state(trial, 10, 3, 4), t5_state(trial, 10, 3, 4, rows)):
        out, weights = t5_by_head(x, state, 3, bias=bias)
        made = t5_layer(subject, state, 10, 3, 4, rows if len(state) > 4 else 0)
        got = subject.method(made, "__call__", x, None, None, bias)
        trial.close(got[0], out, "out", condition=30)
        trial.close(got[1], weights, "weights", condition=30)
        trial.close(got[2], bias, "the third result")


@t5_attention.case("no table and no bias: nothing is added; padding is hidden, each row its own")
def _(subject, trial):
    T, state = trial.integers(6, 10), t5_state(trial, 10, 3, 4)
    x, keep = trial.normal((3, T, 10)), torch.arange(T) < torch.tensor([T, 2, T - 2])[:, None]
    out, weights = t5_by_head(x, state, 3, keep[:, None, None])
    got = subject.method(t5_layer(subject, state, 10, 3, 4), "__call__", x, keep[:, None, None])
    trial.close(got[0], out, "out", condition=30)
    trial.close(got[1], weights, "weights", condition=30)
    trial.equal(got[2], None, "the third result")


@t5_attention.case("gradients reach the input, every weight and the table; the bias keeps its graph", weight=2)
def _(subject, trial):
    T, state = trial.integers(9, 12), t5_state(trial, 6, 2, 5, T5_SETTINGS[0])
    x, cotangent, pull = trial.normal((2, T, 6), (2, T, 6), (1, 2, T, T))
    made, names = t5_layer(subject, state, 6, 2, 5, T5_SETTINGS[0]), tuple(state)
    _, (grad,), params = subject.grad_method(
        made, "__call__", x, cotangents=(cotangent, None, pull), wrt=(0,), params=names
    )

    def applied(x, *weights):
        given = dict(zip(names, weights, strict=True))
        bias = t5_bias(given, T, (True, *T5_SETTINGS))
        return t5_by_head(x, given, 2, bias=bias)[0], bias

    want = oracle.gradients(applied, [x, *state.values()], [cotangent, pull])[1]
    trial.close(grad, want[0], "gradient of x", condition=60)
    for name, expected in zip(names, want[1:], strict=True):
        trial.close(params[name], expected, f"gradient of {name}", condition=60)


@t5_attention.case("float64 stays float64")
def _(subject, trial):
    T, state = trial.integers(9, 13), t5_state(trial, 6, 2, 5, T5_SETTINGS[0])
    x, made = trial.normal((1, T, 6), dtype=F64), t5_layer(subject, state, 6, 2, 5, T5_SETTINGS[0])
    subject.method(made, "double")
    wide = {name: weight.double() for name, weight in state.items()}
    bias = t5_bias(wide, T, (True, *T5_SETTINGS))
    got = subject.method(made, "__call__", x)
    trial.close(got[0], t5_by_head(x, wide, 2, bias=bias)[0], "out", condition=30)
    trial.close(got[2], bias, "the third result")


# one budget, three objectives -----------------------------------------------------------------------------------------

objectives = Check(
    "objectives_finding",
    hints=(
        "Four of the numbers are printed below the training. For the labels, take a line of n pieces, its first and "
        "its last one and the arrow among them.",
        "The decoder has a label for every piece but the first. The encoder may choose neither the first and the last "
        "piece nor the arrow, and chooses 15 % of the rest. date_lines has all lines.",
        "The month and the figures stand in the line twice. Which of the two places may the decoder look at when it is "
        "asked for the first one?",
    ),
    kind="value",
)


@objectives.case("what the encoder finds and the decoder does not", weight=2)
def _(subject, trial):
    trial.between(subject.value()["encoder_figures"], 0.9, 1.0, "the share of hidden figures that your encoder finds")
    trial.between(subject.value()["decoder_figures"], 0.3, 0.5, "the share of hidden figures that your decoder finds")


@objectives.case("what the decoder writes and the encoder does not", weight=2)
def _(subject, trial):
    trial.between(subject.value()["encoder_translates"], 0.0, 0.4, "the share of dates that your encoder translates")
    trial.between(subject.value()["decoder_translates"], 0.88, 1.0, "the share of dates that your decoder translates")


@objectives.case("how many questions each is asked", weight=2)
def _(subject, trial):
    trial.between(subject.value()["labels"], 7.1, 7.9, "labels of the decoder for each one of the encoder")


@objectives.case("what keeps the decoder from the answer")
def _(subject, trial):
    trial.equal(subject.value()["blocked_by"], "mask", "could more steps or more parameters show it the right side?")


# images ---------------------------------------------------------------------------------------------------------------

patches = Check(
    "patchify",
    hints=(
        "Split H into H / P rows of patches and P rows in a patch; W likewise. That makes six axes. In which order "
        "does the result have them?",
        "The result has batch, row of patches, column of patches, channel, row in the patch, column in the patch. A "
        "permute has to stand between the two reshapes.",
    ),
    legal=lambda images, size: images.dim() == 4,
)


def cut(images, size):
    """One patch after another, with slices."""
    B, _, H, W = images.shape
    found = [images[:, :, top : top + size, left : left + size].reshape(B, -1)
             for top in range(0, H, size) for left in range(0, W, size)]  # fmt: skip
    return torch.stack(found, dim=1)


def canvas(trial, *counts, dtype=torch.float32):
    """Images (B, C, H, W): B, C, rows and columns of patches, and P are all different."""
    B, C, rows, columns, size = 2 + trial.permutation(5)
    return trial.normal((int(B), int(C), int(rows * size), int(columns * size)), dtype=dtype), int(size)


@patches.case("patch 1 is the square to the right of patch 0, channel by channel", weight=2)
def _(subject, trial):
    size = trial.integers(2, 6)
    images = trial.normal((1, 3, 2 * size, 4 * size))
    trial.equal(subject(images, size)[0][1], images[0, :, :size, size : 2 * size].flatten(), "patch 1")
    trial.equal(subject(images, size)[0][4], images[0, :, size:, :size].flatten(), "patch 4, of 4 in a row")


@patches.case("all patches of a batch, no two sizes alike", weight=3)
def _(subject, trial):
    images, size = canvas(trial)
    trial.equal(subject(images, size), cut(images, size))


@patches.case("squares of squares", weight=1)
def _(subject, trial):
    side, size = trial.integers(2, 5), trial.integers(2, 5)
    images = trial.normal((2, 3, side * size, side * size))
    trial.equal(subject(images, size), cut(images, size))


@patches.case("patches of one pixel, and one patch that is all")
def _(subject, trial):
    images = trial.normal((2, 3, 5, 5))
    trial.equal(subject(images, 1), cut(images, 1), "patches of one pixel")
    trial.equal(subject(images, 5), cut(images, 5), "one patch")


@patches.case("sizes that a patch does not divide are refused")
def _(subject, trial):
    size = trial.integers(3, 9)
    for H, W, why in ((2 * size, 3 * size + 1, "the width"), (2 * size - 1, 3 * size, "the height"),
                      (size - 1, size - 1, "an image smaller than a patch")):  # fmt: skip
        images = trial.normal((1, 2, H, W))
        trial.raises("ValueError", lambda x=images: subject(x, size), f"{why} does not fit")
    half = trial.integers(2, 5)
    images = trial.normal((1, 2, half, 4 * half))
    says = "as many pixels as whole patches have, and a height that does not fit"
    trial.raises("ValueError", lambda: subject(images, 2 * half), says)


@patches.case("any dtype, any strides")
def _(subject, trial):
    images, size = canvas(trial, dtype=F64)
    trial.equal(subject(images, size), cut(images, size))
    pixels = trial.integers(0, 256, tuple(images.shape)).to(torch.uint8)
    trial.equal(subject(pixels, size), cut(pixels, size))
    turned = trial.normal((2, 3 * size, 2 * size, 3)).permute(0, 3, 1, 2)  # channels last in memory
    trial.equal(subject(turned, size), cut(turned, size), "an image whose channels lie last in memory")


@patches.case("gradients reach every pixel")
def _(subject, trial):
    images, size = canvas(trial)
    cotangent = trial.normal(tuple(cut(images, size).shape))
    _, (grad,) = subject.grad(images, size, cotangents=(cotangent,), wrt=(0,))
    want = oracle.gradients(lambda x: cut(x, size), [images], [cotangent])[1]
    trial.close(grad, want[0], "gradient of the images")


def vit_linear(trial, name, rows, columns):
    return {f"{name}.weight": trial.normal((rows, columns), spread=1.1 / math.sqrt(columns)),
            f"{name}.bias": trial.normal((rows,), spread=0.4)}  # fmt: skip


def vit_norm(trial, name, D):
    return {f"{name}.weight": trial.normal((D,), spread=0.4, mean=1), f"{name}.bias": trial.normal((D,), spread=0.5)}


def vit_state(trial, image, patch, channels, D, layers, F, classes):
    N = (image[0] // patch) * (image[1] // patch)
    state = vit_linear(trial, "embed", D, channels * patch**2) | vit_linear(trial, "head", classes, D)
    state |= {"cls": trial.normal((D,)), "positions": trial.normal((N + 1, D))} | vit_norm(trial, "norm", D)
    for i in range(layers):
        for part in ("w_q", "w_k", "w_v", "w_o"):
            state |= vit_linear(trial, f"layers.{i}.attention.{part}", D, D)
        state |= vit_linear(trial, f"layers.{i}.up", F, D) | vit_linear(trial, f"layers.{i}.down", D, F)
        state |= vit_norm(trial, f"layers.{i}.norm1", D) | vit_norm(trial, f"layers.{i}.norm2", D)
    return state


def vit_norm_of(x, state, name):
    w, b = state[f"{name}.weight"].double(), state[f"{name}.bias"].double()
    return nn.functional.layer_norm(x, x.shape[-1:], w, b, 1e-6)


def vit_map(x, state, name):
    return x @ state[f"{name}.weight"].double().T + state[f"{name}.bias"].double()


def vit_tokens(images, state, patch, heads, layers):
    """A convolution cuts the patches; the rest is the formula, in float64."""
    kernel = state["embed.weight"].double().unflatten(1, (images.shape[1], patch, patch))
    cut_up = nn.functional.conv2d(images.double(), kernel, state["embed.bias"].double(), stride=patch)
    x = torch.cat([state["cls"].double().expand(len(images), 1, -1), cut_up.flatten(2).transpose(1, 2)], 1)
    x = x + state["positions"].double()
    for i in range(layers):
        own = {name.removeprefix(f"layers.{i}.attention."): w for name, w in state.items()
               if name.startswith(f"layers.{i}.attention.")}  # fmt: skip
        normed = vit_norm_of(x, state, f"layers.{i}.norm1")
        x = x + oracle.multi_head_attention(normed, normed, own, heads)[0]
        inner = nn.functional.gelu(vit_map(vit_norm_of(x, state, f"layers.{i}.norm2"), state, f"layers.{i}.up"))
        x = x + vit_map(inner, state, f"layers.{i}.down")
    return vit_norm_of(x, state, "norm").to(images.dtype)


def vit_logits(images, state, patch, heads, layers):
    wide = vit_tokens(images.double(), {k: w.double() for k, w in state.items()}, patch, heads, layers)
    return vit_map(wide[:, 0], state, "head").to(images.dtype)


vit = Check(
    "ViT",
    hints=(
        "tokens: patchify, embed, class token in front, positions, layers, norm. Write the shape behind each step.",
        "self.cls.expand(B, 1, -1) is the class token of every image; torch.cat along axis 1 puts it before the "
        "patches. Only then come the positions, N + 1 of them.",
        "forward reads token 0 of what `tokens` gives and sends it through the head.",
    ),
    kind="class",
)


def vit_made(subject, trial, layers=2, image=None, patch=None):
    """A learner's model with random weights, its state, its patch and its images (B, C, H, W)."""
    patch = patch or trial.integers(2, 4)
    image = image or (2 * patch, 3 * patch)
    state = vit_state(trial, image, patch, 3, 8, layers, 12, 5)
    made = subject.construct(image, patch, 3, 8, 2, layers, 12, 5)
    subject.load_state(made, state)
    return made, state, patch, trial.normal((2, 3, *image))


@vit.case("tokens: the class token first, then the patches, positions on all of them", weight=3)
def _(subject, trial):
    made, state, patch, images = vit_made(subject, trial)
    trial.close(subject.method(made, "tokens", images), vit_tokens(images, state, patch, 2, 2), condition=30)


@vit.case("logits are read from the normalised class token", weight=3)
def _(subject, trial):
    made, state, patch, images = vit_made(subject, trial)
    trial.close(subject.method(made, "__call__", images), vit_logits(images, state, patch, 2, 2), condition=30)


@vit.case("without a layer: what goes in, normalised", weight=2)
def _(subject, trial):
    made, state, patch, images = vit_made(subject, trial, layers=0)
    trial.close(subject.method(made, "tokens", images), vit_tokens(images, state, patch, 2, 0), condition=10)


@vit.case("a tall image, one patch, three layers; one image alone")
def _(subject, trial):
    for image, patch, layers in (((9, 3), 3, 1), ((4, 4), 4, 3)):
        made, state, patch, images = vit_made(subject, trial, layers, image, patch)
        trial.close(subject.method(made, "__call__", images[:1]), vit_logits(images[:1], state, patch, 2, layers),
                    condition=30)  # fmt: skip


@vit.case("gradients reach the image, the class token, the positions and the layers", weight=2)
def _(subject, trial):
    made, state, patch, images = vit_made(subject, trial, 1)
    names = ("cls", "positions", "embed.weight", "layers.0.up.weight", "norm.weight", "head.weight")
    cotangent = trial.normal((2, 5))
    _, (grad,), params = subject.grad_method(
        made, "__call__", images, cotangents=(cotangent,), wrt=(0,), params=names
    )

    def applied(x, *weights):
        return vit_logits(x, state | dict(zip(names, weights, strict=True)), patch, 2, 1)

    want = oracle.gradients(applied, [images, *(state[name] for name in names)], [cotangent])[1]
    trial.close(grad, want[0], "gradient of the images", condition=60)
    for name, expected in zip(names, want[1:], strict=True):
        trial.close(params[name], expected, f"gradient of {name}", condition=60)


@vit.case("images of another size or with other channels are refused, also where as many patches come out")
def _(subject, trial):
    made, _, patch, images = vit_made(subject, trial)
    B, C, H, W = images.shape
    for shape, why in (((B, C, W, H), "height and width exchanged"), ((B, C, H, W + patch), "one more column"),
                       ((B, C, H, W - patch), "one column less"), ((B, 1, H, W), "one channel"),
                       ((B, C, 6 * patch, patch), "as many patches, one above another")):  # fmt: skip
        picture = trial.normal(shape)
        trial.raises("ValueError", lambda x=picture: subject.method(made, "__call__", x), why)


@vit.case("an image size that the patch does not divide is refused")
def _(subject, trial):
    patch = trial.integers(3, 9)
    for image in ((2 * patch + 1, 3 * patch), (2 * patch, 3 * patch - 1)):
        picture = trial.normal((1, 3, *image))

        def built(image=image, picture=picture):
            made = subject.construct(image, patch, 3, 8, 2, 1, 12, 5)
            subject.method(made, "__call__", picture)

        trial.raises("ValueError", built, f"an image of {image} in patches of {patch}")


@vit.case("float64 stays float64, training and evaluation agree")
def _(subject, trial):
    made, state, patch, images = vit_made(subject, trial)
    subject.method(made, "eval")
    trial.close(subject.method(made, "__call__", images), vit_logits(images, state, patch, 2, 2), condition=30)
    subject.method(made, "double")
    wide = images.double()
    exact = {name: w.double() for name, w in state.items()}
    trial.close(subject.method(made, "__call__", wide), vit_logits(wide, exact, patch, 2, 2), condition=30)


# images and texts -----------------------------------------------------------------------------------------------------

clip = Check(
    "clip_contrastive_loss",
    hints=(
        "Start with one device: normalise, multiply, and write down the target of each row. What changes for the "
        "columns?",
        "logits.T has texts down and images across. Cross-entropy wants logits and, for each row, the column of its "
        "partner.",
        "A device takes its own rows of the (N, N) table, all N columns. The partner of its first row stands in column "
        "rank * N / ranks.",
    ),
    legal=lambda images, texts, logit_scale, rank=0, ranks=1: images.shape == texts.shape
    and images.dim() == 2
    and ranks > 0
    and len(images) % ranks == 0
    and 0 <= rank < ranks
    and bool(images.norm(dim=-1).min() > 0)
    and bool(texts.norm(dim=-1).min() > 0),
)


def clip_row_by_row(images, texts, logit_scale, rank=0, ranks=1):
    """The definition: for each row a sum over its rivals, in float64."""
    a, b = ([row / row.square().sum().sqrt() for row in rows.double()] for rows in (images, texts))
    factor, N = logit_scale.double().exp(), len(images)
    own = range(rank * N // ranks, (rank + 1) * N // ranks)

    def surprise(rivals, right):
        rivals = factor * torch.stack(rivals)
        return torch.log((rivals - rivals.max().detach()).exp().sum()) + rivals.max().detach() - rivals[right]

    by_image = [surprise([(a[i] * t).sum() for t in b], i) for i in own]
    by_text = [surprise([(p * b[i]).sum() for p in a], i) for i in own]
    return (torch.stack(by_image + by_text).mean()).to(images.dtype)


def clip_pairs(trial, N, dtype=torch.float32):
    """Images and texts of different lengths, pairs that resemble each other a little, and a scale."""
    E = trial.integers(4, 9)
    common = trial.normal((N, E), dtype=dtype)
    images, texts = (common + trial.normal((N, E), dtype=dtype) for _ in range(2))
    texts[:, 0] += 1.5  # so that rows and columns are not alike
    images, texts = images * trial.uniform((N, 1), low=0.2, high=9, dtype=dtype), texts * trial.uniform(
        (N, 1), low=0.05, high=4, dtype=dtype
    )
    return images, texts, trial.uniform((), low=1.2, high=2.2, dtype=dtype)


@clip.case("both directions, vectors of length 1, a factor that is an exponential", weight=4)
def _(subject, trial):
    for _ in range(2):
        given = clip_pairs(trial, trial.integers(5, 12))
        trial.close(subject(*given), clip_row_by_row(*given), condition=30)


@clip.case("from images to texts is not from texts to images: their mean counts", weight=1)
def _(subject, trial):
    images, texts, scale = clip_pairs(trial, 6)
    images[1:] = images[:1] + 0.05 * images[1:]  # images nearly alike
    for given in ((images, texts, scale), (texts, images, scale)):
        trial.close(subject(*given), clip_row_by_row(*given), condition=60)


@clip.case("each device counts its own rows, with their partners where they stand", weight=3)
def _(subject, trial):
    ranks, share = trial.integers(2, 5), trial.integers(2, 5)
    given = clip_pairs(trial, ranks * share)
    for rank in range(ranks):
        trial.close(subject(*given, rank, ranks), clip_row_by_row(*given, rank, ranks), condition=30)


@clip.case("gradients reach both sides and the scale", weight=1)
def _(subject, trial):
    given = clip_pairs(trial, trial.integers(5, 9))
    _, grads = subject.grad(*given, cotangents=(torch.tensor(1.3),), wrt=(0, 1, 2))
    want = oracle.gradients(clip_row_by_row, given, [torch.tensor(1.3)])[1]
    for name, got, expected in zip(("images", "texts", "logit_scale"), grads, want, strict=True):
        trial.close(got, expected, f"gradient of {name}", condition=100)


@clip.case("gradients reach the rows of other devices too", weight=2)
def _(subject, trial):
    ranks, share = trial.integers(2, 4), trial.integers(2, 5)
    given = clip_pairs(trial, ranks * share)
    for rank in range(ranks):
        _, grads = subject.grad(*given, rank, ranks, cotangents=(torch.tensor(1.3),), wrt=(0, 1, 2))
        want = oracle.gradients(lambda *x, r=rank: clip_row_by_row(*x, r, ranks), given, [torch.tensor(1.3)])[1]
        for name, got, expected in zip(("images", "texts", "logit_scale"), grads, want, strict=True):
            trial.close(got, expected, f"gradient of {name}", condition=100)


@clip.case("a factor of 1000: large logits, a finite loss", weight=2)
def _(subject, trial):
    images, texts, _ = clip_pairs(trial, 6)
    for scale in (torch.tensor(1000.0).log(), torch.tensor(100.0).log()):
        trial.close(subject(images, texts, scale), clip_row_by_row(images, texts, scale), condition=60)
        turned = texts.roll(1, 0)
        trial.close(subject(images, turned, scale), clip_row_by_row(images, turned, scale), condition=60)


@clip.case("one pair: nothing to choose, a loss of 0; float64; tiny and huge vectors")
def _(subject, trial):
    images, texts, scale = clip_pairs(trial, 1)
    got = subject(images, texts, scale)  # may be the difference of two logits, each 10 at most
    trial.between(got, -1e-5, 1e-5, "one pair: nothing to choose, a loss of 0")
    given = clip_pairs(trial, 7, F64)
    trial.close(subject(*given), clip_row_by_row(*given), condition=30)
    images, texts, scale = clip_pairs(trial, 5)
    says = "images 1e-5 times as long, texts 1e5 times: the angles are the same"
    trial.close(subject(images * 1e-5, texts * 1e5, scale), clip_row_by_row(images, texts, scale), says, condition=30)


@clip.case("as many pairs as coordinates; as many devices as pairs")
def _(subject, trial):
    images, texts, scale = clip_pairs(trial, 12)
    E = images.shape[1]
    given = images[:E].contiguous(), texts[:E].contiguous(), scale
    trial.close(subject(*given), clip_row_by_row(*given), condition=30)
    rank = trial.integers(0, E)
    trial.close(subject(*given, rank, E), clip_row_by_row(*given, rank, E), condition=60)


# sound ----------------------------------------------------------------------------------------------------------------

sound = Check(
    "log_mel",
    hints=(
        "Six steps, six lines. After each, print the shape: padding, frames, spectrum, filters, logarithm, floor.",
        "padded.unfold(-1, 400, 160) makes the frames; torch.fft.rfft gives 201 complex numbers for each. Power is the "
        "square of the absolute value.",
        "torch.hann_window is periodic unless told otherwise. The largest number is taken over filters and frames of "
        "one waveform: amax over two axes, kept.",
    ),
    legal=lambda wave, filters: wave.dim() in (1, 2)
    and wave.shape[-1] > 200
    and filters.shape[-1] == 201
    and filters.dtype == wave.dtype
    and bool((filters >= 0).all()),
)


def whisper_steps(wave, filters):
    """The six steps, with mirrored indices and sums of cosines and sines, in float64."""
    if wave.dim() == 2:
        return torch.stack([whisper_steps(row, filters) for row in wave])
    n = len(wave)
    at = torch.arange(-200, n + 200).abs()
    padded = wave.double()[torch.where(at > n - 1, 2 * (n - 1) - at, at)]
    k = torch.arange(400, dtype=F64)
    window = 0.5 - 0.5 * torch.cos(2 * math.pi * k / 400)
    angle = 2 * math.pi * ((torch.arange(201)[:, None] * torch.arange(400)) % 400).double() / 400
    columns = []
    for i in range(n // 160):
        frame = padded[160 * i : 160 * i + 400] * window
        power = (angle.cos() @ frame) ** 2 + (angle.sin() @ frame) ** 2
        columns.append(filters.double() @ power)
    x = torch.stack(columns, 1).clamp(min=1e-10).log10()
    return ((torch.maximum(x, x.max() - 8) + 4) / 4).to(wave.dtype)


def filter_bank(trial, M, dtype=torch.float32):
    """M filters over 201 frequencies, none alike, some frequencies in none of them."""
    bank = trial.uniform((M, 201), low=0.01, high=0.05, dtype=dtype)
    return bank * (trial.uniform((M, 201)) < 0.6)


def noise(trial, *shape, spread=0.2, dtype=torch.float32):
    """Noise with a part of its own at the lowest frequencies."""
    return trial.normal(shape, spread=spread, mean=spread / 2, dtype=dtype)


def samples(trial, frames):
    """A length of `frames` * 160 and some more, never a multiple of 160."""
    return 160 * frames + trial.integers(1, 159)


@sound.case("a second of noise: frames, window, power, filters, logarithm", weight=3)
def _(subject, trial):
    wave, filters = noise(trial, samples(trial, trial.integers(4, 9))), filter_bank(trial, trial.integers(3, 8))
    trial.close(subject(wave, filters), whisper_steps(wave, filters), condition=10)


@sound.case("the last frame is dropped: n // 160 are left, whether 160 divides n or not", weight=2)
def _(subject, trial):
    filters = filter_bank(trial, 4)
    for n in (160 * trial.integers(3, 7), 160 * trial.integers(3, 7) - 1, trial.integers(201, 319)):
        wave = noise(trial, n)
        trial.close(subject(wave, filters), whisper_steps(wave, filters), f"{n} samples", condition=10)


@sound.case("both ends are mirrored, without the sample at the end", weight=2)
def _(subject, trial):
    n, filters = samples(trial, 3), filter_bank(trial, 4)
    wave = noise(trial, n) + torch.linspace(1, 4, n)  # an end far from 0
    trial.close(subject(wave, filters), whisper_steps(wave, filters), condition=10)


@sound.case("what is more than 8 below the loudest is raised", weight=3)
def _(subject, trial):
    frames = trial.integers(8, 12)
    wave, filters = noise(trial, samples(trial, frames), spread=3.0), filter_bank(trial, 4)
    wave[480:1000] *= 1e-6
    want = whisper_steps(wave, filters)
    trial.close(subject(wave, filters), want, condition=100)
    faint = filters * torch.tensor([[1.0], [1e-10], [1.0], [1e-3]])  # one filter lets almost nothing through
    trial.close(subject(wave, faint), whisper_steps(wave, faint), "filter 1 times 1e-10", condition=100)
    quiet = wave.clone()
    quiet[480:] = 0.0
    trial.close(subject(quiet, filters), whisper_steps(quiet, filters), condition=100)


@sound.case("each waveform of a batch has a largest number of its own", weight=2)
def _(subject, trial):
    n, filters = samples(trial, trial.integers(7, 10)), filter_bank(trial, 5)
    wave = noise(trial, 3, n)
    wave[:, 700:] = 0.0
    wave = wave * torch.tensor([[300.0], [1e-3], [1.0]])
    trial.close(subject(wave, filters), whisper_steps(wave, filters), condition=100)


@sound.case("silence is -1.5, and a sound below 1e-10 too")
def _(subject, trial):
    n, filters = samples(trial, trial.integers(2, 9)), filter_bank(trial, trial.integers(2, 7))
    trial.close(subject(torch.zeros(n), filters), torch.full((len(filters), n // 160), -1.5), "silence")
    wave = noise(trial, n, spread=1e-7)
    trial.close(subject(wave, filters), whisper_steps(wave, filters), "noise of size 1e-7", condition=10)


@sound.case("a batch of one, 80 filters, float64")
def _(subject, trial):
    wave, filters = noise(trial, 1, samples(trial, 4)), filter_bank(trial, 80)
    trial.close(subject(wave, filters), whisper_steps(wave, filters), condition=10)
    wave, filters = noise(trial, samples(trial, 3), dtype=F64), filter_bank(trial, 6, F64)
    trial.close(subject(wave, filters), whisper_steps(wave, filters), condition=10)


@sound.case("gradients reach the samples and the filters")
def _(subject, trial):
    wave, filters = noise(trial, samples(trial, 3)), filter_bank(trial, 4)
    cotangent = trial.normal((4, 3))
    _, grads = subject.grad(wave, filters, cotangents=(cotangent,), wrt=(0, 1))
    want = oracle.gradients(whisper_steps, [wave, filters], [cotangent])[1]
    trial.close(grads[0], want[0], "gradient of the samples", condition=100)
    trial.close(grads[1], want[1], "gradient of the filters", condition=100)


# evaluation -----------------------------------------------------------------------------------------------------------


def language_table(trial, V, spread=2.0, states=101, dtype=torch.float32):
    """Logits of a ScriptedLanguageModel; states is a prime, so a text never forgets how it began."""
    return trial.normal((states, V), spread=spread, dtype=dtype)


def language_model(subject, table, training=False):
    model = subject.construct(table, name="ScriptedLanguageModel")
    if not training:
        subject.method(model, "eval")
    return model


def next_log_probability(table, shown, token):
    """log p(token) after the tokens `shown`, as ScriptedLanguageModel says it; one token after another, in float64."""
    state = 0
    for each in shown:
        state = (5 * state + each + 1) % len(table)
    row = table[state].double()
    highest = float(row.max())
    total = math.fsum(math.exp(float(logit) - highest) for logit in row)
    return float(row[token]) - highest - math.log(total)


def scored_windows(N, context, stride):
    """[(tokens read, tokens scored)] of each window, as lists of places in the text: the docstring, counted out."""
    windows, seen = [], set()
    for begin in range(0, N - 1, stride):
        read = [place for place in range(begin, begin + context) if place < N - 1]
        scored = [place + 1 for place in read if place + 1 not in seen]
        if scored:
            windows.append((read, scored))
            seen.update(scored)
    return windows


def text_losses(table, ids, context, stride):
    """-log p of every token but the first, window by window: a list of lists."""
    ids = ids.tolist()
    return [
        [-next_log_probability(table, [ids[p] for p in read if p < place], ids[place]) for place in scored]
        for read, scored in scored_windows(len(ids), context, stride)
    ]


def strided_perplexity(table, ids, context, stride):
    losses = [loss for window in text_losses(table, ids, context, stride) for loss in window]
    return math.exp(math.fsum(losses) / len(losses))


perplexity = Check(
    "perplexity",
    hints=(
        "Write down for N = 8, context 4, stride 2 what each window reads and what it scores, before you write a loop. "
        "Which row of the logits is about which token?",
        "Keep two numbers: where the window begins, and up to which token all are scored. The rows that are new begin "
        "at scored - begin.",
        "Gather the losses of all windows in one list and take one mean at the end: windows score different numbers of "
        "tokens.",
    ),
    legal=lambda model, ids, context, stride: 1 <= stride <= context and len(ids) >= 2 and ids.dim() == 1,
)


def ragged_text(trial, context, stride, V, windows=3):
    """(N,) ids whose last window scores fewer tokens than `stride`, but at least one (stride 1: as many)."""
    short = 1 if stride == 1 else trial.integers(1, stride)
    return trial.integers(0, V, (1 + context + (windows - 2) * stride + short,))


@perplexity.case("a text that the model reads at once")
def _(subject, trial):
    V = trial.integers(9, 16)
    table, ids = language_table(trial, V), trial.integers(0, V, (trial.integers(5, 10),))
    got = subject(language_model(subject, table), ids, 12, 5)
    trial.close(got, strided_perplexity(table, ids, 12, 5), condition=10)


@perplexity.case("windows that overlap: each token once, with the past that its window gives", weight=3)
def _(subject, trial):
    for _ in range(3):  # a mistake is told by three numbers
        V, context = trial.integers(9, 16), trial.integers(6, 9)
        stride = context // 2 + 1  # no divisor of context
        table, ids = language_table(trial, V), ragged_text(trial, context, stride, V, 4)
        got = subject(language_model(subject, table), ids, context, stride)
        trial.close(got, strided_perplexity(table, ids, context, stride), condition=10)


@perplexity.case("windows side by side: the first token of each is scored, too", weight=2)
def _(subject, trial):
    for _ in range(3):
        V, context = trial.integers(9, 16), trial.integers(4, 7)
        table, ids = language_table(trial, V), ragged_text(trial, context, context, V, 4)
        got = subject(language_model(subject, table), ids, context, context)
        trial.close(got, strided_perplexity(table, ids, context, context), condition=10)


@perplexity.case("a stride of 1: every token has the longest past there is")
def _(subject, trial):
    for _ in range(3):
        V, context = trial.integers(9, 16), trial.integers(3, 6)
        table, ids = language_table(trial, V), trial.integers(0, V, (context + trial.integers(4, 8),))
        got = subject(language_model(subject, table), ids, context, 1)
        trial.close(got, strided_perplexity(table, ids, context, 1), condition=10)


@perplexity.case("windows that score different numbers of tokens: every token counts alike", weight=2)
def _(subject, trial):
    for _ in range(3):
        V = trial.integers(9, 16)
        table, context = language_table(trial, V, spread=4.0), trial.integers(9, 12)
        ids = trial.integers(0, V, (1 + context + 3 + 1,))  # scores context, 3, 1
        got = subject(language_model(subject, table), ids, context, 3)
        trial.close(got, strided_perplexity(table, ids, context, 3), condition=20)


@perplexity.case("one call for each window, of its tokens and no others; no gradient recorded", weight=2)
def _(subject, trial):
    for context, stride in ((trial.integers(6, 9), 4), (5, 5), (4, 1)):
        V = trial.integers(9, 16)
        table, ids = language_table(trial, V), ragged_text(trial, context, stride, V, 4)
        model = language_model(subject, table)
        got = subject(model, ids, context, stride)
        trial.close(got, strided_perplexity(table, ids, context, stride), condition=10)
        lengths = [len(read) for read, _ in scored_windows(len(ids), context, stride)]
        trial.equal(subject.method(model, "lengths"), lengths, "tokens of each call")
        trial.equal(subject.method(model, "recorded"), 0, "calls during which gradients were recorded")


@perplexity.case("no window is read that has nothing new to score")
def _(subject, trial):
    V, context = trial.integers(9, 16), trial.integers(6, 9)
    table = language_table(trial, V)
    for N in (context + 1, context, context + 3, 2):  # exactly one window; less than one; one and exactly a stride
        ids, model = trial.integers(0, V, (N,)), language_model(subject, table)
        trial.close(subject(model, ids, context, 2), strided_perplexity(table, ids, context, 2), condition=10)
        lengths = [len(read) for read, _ in scored_windows(N, context, 2)]
        trial.equal(subject.method(model, "lengths"), lengths, f"tokens of each call, {N} tokens, context {context}")


@perplexity.case("a context of one token, and a text of two")
def _(subject, trial):
    V = trial.integers(9, 16)
    table = language_table(trial, V)
    for N in (trial.integers(4, 9), 2):
        ids = trial.integers(0, V, (N,))
        got = subject(language_model(subject, table), ids, 1, 1)
        trial.close(got, strided_perplexity(table, ids, 1, 1), condition=10)


@perplexity.case("one token of a probability near 0 has a loss like others")
def _(subject, trial):
    for _ in range(3):
        V, context = trial.integers(9, 16), trial.integers(5, 8)
        table = language_table(trial, V, spread=0.5)
        ids = torch.zeros(context + 4 + trial.integers(0, 4), dtype=torch.int64)
        table[:, 0] += trial.uniform((101,), low=250, high=320)  # the text is token 0, which costs next to nothing
        ids[1 + trial.integers(0, len(ids) - 1)] = trial.integers(1, V)
        got = subject(language_model(subject, table), ids, context, 3)
        trial.close(got, strided_perplexity(table, ids, context, 3), condition=2000)


@perplexity.case("logits of several hundred, and a perplexity beyond all numbers of float32")
def _(subject, trial):
    V, context = trial.integers(9, 16), trial.integers(5, 8)
    table = language_table(trial, V, spread=0.5) + 400.0 * (2 * trial.integers(0, 2, (101, 1)) - 1)
    ids = ragged_text(trial, context, 3, V)
    got = subject(language_model(subject, table), ids, context, 3)
    trial.close(got, strided_perplexity(table, ids, context, 3), condition=2000)
    table = language_table(trial, V, spread=0.5)
    table[:, 0] += trial.uniform((101,), low=250, high=320)  # the text has no token 0: each of its tokens costs so many
    ids = 1 + ragged_text(trial, context, 3, V - 1)
    got = subject(language_model(subject, table), ids, context, 3)
    says = "a mean of more than 240 nats, whose exponential is beyond float32"
    trial.close(got, strided_perplexity(table, ids, context, 3), says, condition=2000)


@perplexity.case("a model in training mode stays in it, and is read as it is; float64 logits")
def _(subject, trial):
    V, context = trial.integers(9, 16), trial.integers(5, 8)
    table, ids = language_table(trial, V), ragged_text(trial, context, 3, V)
    model = language_model(subject, table, training=True)
    trial.close(subject(model, ids, context, 3), strided_perplexity(table.flip(0), ids, context, 3), condition=10)
    trial.equal(subject.method(model, "is_training"), True, "the model came in training mode and left in another one")
    table = language_table(trial, V, dtype=F64)
    got = subject(language_model(subject, table), ids, context, 2)
    trial.close(got, strided_perplexity(table, ids, context, 2), condition=1e3)


@perplexity.trial("many lengths, contexts and strides", weight=2)
def _(subject, trial):
    for _ in range(8):
        V, context = trial.integers(5, 30), trial.integers(1, 13)
        stride, N = trial.integers(1, context + 1), trial.integers(2, 40)
        table, ids = language_table(trial, V), trial.integers(0, V, (N,))
        model = language_model(subject, table)
        got = subject(model, ids, context, stride)
        says = f"N={N}, context={context}, stride={stride}"
        trial.close(got, strided_perplexity(table, ids, context, stride), says, 20)
        lengths = [len(read) for read, _ in scored_windows(N, context, stride)]
        trial.equal(subject.method(model, "lengths"), lengths, f"calls, N={N}, context={context}, stride={stride}")


def bits_of(nats, text):
    """The definition: numbers added exactly, bytes counted one character after another."""
    size = sum(1 if code < 0x80 else 2 if code < 0x800 else 3 if code < 0x10000 else 4 for code in map(ord, text))
    return math.fsum(nats.double().tolist()) / math.log(2) / size


def some_text(trial, *blocks):
    """Random characters: `count` of each (first code, last code, count), shuffled."""
    drawn = [trial.integers(low, high, (count,)) for low, high, count in blocks]
    codes = torch.cat(drawn)[trial.permutation(sum(len(each) for each in drawn))]
    return "".join(chr(code) for code in codes.tolist())


LATIN, ACCENTS, CYRILLIC, CHINESE, SIGNS = (97, 123), (0xE0, 0xFF), (0x430, 0x450), (0x4E00, 0x9000), (0x1F600, 0x1F640)

bits = Check(
    "bits_per_byte",
    hints=(
        "Total over total. How many nats are a bit? And len(text) counts something else than bytes.",
        'len(text.encode("utf-8")) is the number of bytes, and a bit has log(2) nats: divide the sum by both.',
    ),
    legal=lambda nats, text: nats.dim() == 1 and nats.is_floating_point() and isinstance(text, str),
)


@bits.case("plain letters: a byte for each character", weight=2)
def _(subject, trial):
    nats = trial.uniform((trial.integers(5, 12),), low=0.1, high=9)
    text = some_text(trial, (*LATIN, trial.integers(20, 60)))
    trial.close(subject(nats, text), bits_of(nats, text), condition=4)


@bits.case("characters of two, three and four bytes", weight=3)
def _(subject, trial):
    for blocks in ((CYRILLIC, LATIN), (CHINESE, ACCENTS), (SIGNS, LATIN, CHINESE)):
        text = some_text(trial, *((*block, trial.integers(5, 15)) for block in blocks))
        nats = trial.uniform((trial.integers(4, 30),), low=0.1, high=9)
        trial.close(subject(nats, text), bits_of(nats, text), condition=4)


@bits.case("lines, tabs and spaces at the end count")
def _(subject, trial):
    text = "\r\n\t " + some_text(trial, (*LATIN, trial.integers(3, 9))) + "  \n\n" + "\u00a0"
    nats = trial.uniform((trial.integers(4, 30),), low=0.1, high=9)
    trial.close(subject(nats, text), bits_of(nats, text), condition=4)


@bits.case("half precision is added up in float64: long sums keep their digits and do not overflow", weight=2)
def _(subject, trial):
    text = some_text(trial, (*LATIN, trial.integers(3000, 4000)))
    for dtype in (torch.float16, torch.bfloat16):
        nats = trial.uniform((trial.integers(4000, 6000),), low=15, high=40).to(dtype)
        trial.close(subject(nats, text), bits_of(nats, text), str(dtype), condition=4)


@bits.case("float32 is added up in float64, too: small numbers behind a large one")
def _(subject, trial):
    nats = trial.uniform((trial.integers(3000, 4000),), low=0.1, high=0.2)
    nats[0] = 2.0**25
    text = some_text(trial, (*LATIN, trial.integers(5, 50)))
    got, want = subject(nats, text), bits_of(nats, text)
    trial.between(got, want * (1 - 1e-10), want * (1 + 1e-10))


@bits.case("a single token, no surprise at all, float64")
def _(subject, trial):
    text = some_text(trial, (*CYRILLIC, trial.integers(3, 20)))
    nats = trial.uniform((1,), low=1, high=90, dtype=F64)
    trial.close(subject(nats, text), bits_of(nats, text))
    nats = trial.uniform((trial.integers(5, 50),), low=1, high=90, dtype=F64)
    trial.close(subject(nats, text), bits_of(nats, text))
    trial.close(subject(torch.zeros(4), text), 0.0)


@bits.case("an empty text raises ValueError")
def _(subject, trial):
    nats = trial.uniform((3,), low=1, high=9)
    trial.raises("ValueError", lambda: subject(nats, ""), 'the text "" must raise ValueError')


def choice_scores(table, context, choices):
    """log p of each choice, one token after another, in float64."""
    found = []
    for choice in choices:
        shown, score = context.tolist(), []
        for token in choice.tolist():
            score.append(next_log_probability(table, shown, token))
            shown.append(token)
        found.append(math.fsum(score))
    return found


def first_largest(numbers):
    return numbers.index(max(numbers))


def question(trial, V, lengths, table, N=None, apart=0.05, whole=False, low=0):
    """A context and choices of these lengths whose winners, raw and by tokens, are clear and not the same; with
    `whole`, dividing by context and choice together picks another one than dividing by the choice alone."""
    N = N or trial.integers(3, 9)
    while True:
        context, choices = trial.integers(low, V, (N,)), [trial.integers(low, V, (n,)) for n in lengths]
        raw = choice_scores(table, context, choices)
        each = [score / n for score, n in zip(raw, lengths, strict=True)]
        clear = all(sorted(s)[-1] - sorted(s)[-2] > apart for s in (raw, each))
        by_all = [score / (N + n) for score, n in zip(raw, lengths, strict=True)]
        clear = clear and not (whole and first_largest(by_all) == first_largest(each))
        if clear and first_largest(raw) != first_largest(each):
            return context, choices, raw, each


choice = Check(
    "choice_loglikelihood",
    hints=(
        "Which row of the logits is about the first token of the choice? Count with a context of one token.",
        "The model reads context and choice without its last token; rows len(context) - 1 and on are about the choice.",
        "log_softmax first, then gather, then sum: a product of probabilities is 0 after some hundred tokens.",
    ),
    legal=lambda model, context, choices: context.dim() == 1 and len(context) and choices and all(map(len, choices)),
)


def answers_of(subject, trial, table, context, choices, raw, each, says=None, condition=20, model=None):
    model = language_model(subject, table) if model is None else model
    scores, by_sum, by_token = subject(model, context, choices)
    trial.close(scores, torch.tensor(raw, dtype=F64).to(table.dtype), says or "scores", condition)
    trial.equal(by_sum, first_largest(raw), says or "raw: the largest score")
    trial.equal(by_token, first_largest(each), says or "normalised: the largest score per token")


@choice.case("scores are sums over the choice's tokens; raw and normalised have winners of their own", weight=3)
def _(subject, trial):
    V = trial.integers(9, 16)
    table = language_table(trial, V)
    answers_of(subject, trial, table, *question(trial, V, (2, 7, 4), table, whole=True))


@choice.case("the first token of a choice counts: it follows the last one of the context", weight=2)
def _(subject, trial):
    V = trial.integers(9, 16)
    table, lengths = language_table(trial, V), (1, 1, 1, 1)
    while True:
        context, choices = trial.integers(0, V, (trial.integers(3, 9),)), [trial.integers(0, V, (1,)) for _ in lengths]
        raw = choice_scores(table, context, choices)
        if sorted(raw)[-1] - sorted(raw)[-2] > 0.05:
            break
    answers_of(subject, trial, table, context, choices, raw, raw)


@choice.case("a context of one token, a single choice")
def _(subject, trial):
    V = trial.integers(9, 16)
    table = language_table(trial, V)
    answers_of(subject, trial, table, *question(trial, V, (3, 1, 6, 2), table, N=1))
    context, choices = trial.integers(0, V, (4,)), [trial.integers(0, V, (5,))]
    raw = choice_scores(table, context, choices)
    answers_of(subject, trial, table, context, choices, raw, raw)


@choice.case("of several largest ones the first counts", weight=2)
def _(subject, trial):
    V = trial.integers(9, 16)
    table = language_table(trial, V)
    context, choices, raw, each = question(trial, V, (2, 7, 4), table, whole=True)
    order = [k for k in range(3) for _ in range(2)] + [0, 1, 2]  # each three times: the winners stand more than once
    answers_of(subject, trial, table, context, [choices[k] for k in order], [raw[k] for k in order],
               [each[k] for k in order])  # fmt: skip


@choice.case("hundreds of tokens: the product of their probabilities would be 0")
def _(subject, trial):
    V = trial.integers(9, 16)
    table = language_table(trial, V)
    lengths = (trial.integers(200, 260), trial.integers(120, 150), trial.integers(160, 190))
    answers_of(subject, trial, table, *question(trial, V, lengths, table, apart=0.003))


@choice.case("logits of several hundred, float64 logits")
def _(subject, trial):
    V = trial.integers(9, 16)
    table = language_table(trial, V) + 600.0 * (2 * trial.integers(0, 2, (101, 1)) - 1)
    answers_of(subject, trial, table, *question(trial, V, (2, 7, 4), table), condition=2000)
    table = language_table(trial, V)
    table[:, 0] += trial.uniform((101,), low=250, high=320)  # no choice has token 0: probabilities near e^-300
    asked = question(trial, V, (2, 3, 1), table, low=1)
    answers_of(subject, trial, table, *asked, "probabilities near e^-300", condition=20)
    table = language_table(trial, V, dtype=F64)
    answers_of(subject, trial, table, *question(trial, V, (5, 2, 3), table))


@choice.case("no gradient is recorded; a model in training mode stays in it, and is read as it is", weight=2)
def _(subject, trial):
    V = trial.integers(9, 16)
    table = language_table(trial, V)
    context, choices, raw, each = question(trial, V, (2, 7, 4), table, whole=True)
    model = language_model(subject, table.flip(0), training=True)
    answers_of(subject, trial, table, context, choices, raw, each, model=model)
    trial.equal(subject.method(model, "recorded"), 0, "calls during which gradients were recorded")
    trial.equal(subject.method(model, "is_training"), True, "the model came in training mode and left in another one")


@choice.trial("many questions", weight=2)
def _(subject, trial):
    for _ in range(6):
        V, C = trial.integers(5, 30), trial.integers(2, 7)
        table = language_table(trial, V)
        while True:
            lengths = (1 + trial.permutation(9)[:C]).tolist()
            context = trial.integers(0, V, (trial.integers(1, 12),))
            choices = [trial.integers(0, V, (n,)) for n in lengths]
            raw = choice_scores(table, context, choices)
            each = [score / n for score, n in zip(raw, lengths, strict=True)]
            if all(sorted(s)[-1] - sorted(s)[-2] > 0.02 for s in (raw, each)):
                break
        answers_of(subject, trial, table, context, choices, raw, each)


# kernels --------------------------------------------------------------------------------------------------------------

matmul = Kernel(
    "matmul",
    hints=(
        "A program needs the numbers of its rows (BLOCK_M of them, as a column of indices) and of its columns (as a "
        "row). Where does a[row, k] lie? And b[k, column]?",
        "The sum is tl.zeros((BLOCK_M, BLOCK_N), tl.float32), and every step along K adds one tl.dot to it.",
        "Both loads have a mask and other=0.0: rows and K for a, K and columns for b. The store has rows and columns. "
        "The grid has triton.cdiv(M, block_m) times triton.cdiv(N, block_n) programs.",
    ),
)
linear_gelu = Kernel(
    "linear_gelu",
    hints=(
        "Begin with your matmul. Which stride of w goes with the output's column, and which goes along K?",
        "Behind the loop, once: load the bias of the tile's columns, add it to the float32 sum, apply gelu, convert "
        "and store.",
        "0.5 * (1 + tanh(u)) is tl.sigmoid(2 * u). A tanh out of exponentials divides infinity by infinity.",
    ),
)


# choosing -------------------------------------------------------------------------------------------------------------

choose = Check(
    "choose_family",
    hints=(
        "Work out the three reasons first, each on its own; which of them are numbers decides who takes part. What "
        "does an encoder read in turn 3?",
        "In turn t an encoder reads t * reads + (t - 1) * writes tokens. Add that up over the turns; a decoder-only "
        "model needs no such sum.",
        "min over the families that can, in the order encoder-only, decoder-only, encoder-decoder: Python's min gives "
        "the first of several that are equal.",
    ),
    legal=lambda reads, writes, turns=1, two_sided=False, layers=(12, 12, 12, 12): len(layers) == 4
    and min(layers) >= 1
    and turns < 10_000,
)
FAMILIES = ("encoder-only", "decoder-only", "encoder-decoder")


def family_by_turns(reads, writes, turns=1, two_sided=False, layers=(12, 12, 12, 12)):
    """Turn by turn: what there is to read, and who passes how many tokens through which layers."""
    work = dict.fromkeys(FAMILIES, 0)
    so_far = 0
    for _ in range(turns):
        so_far += reads
        work["encoder-only"] += so_far * layers[0]
        work["decoder-only"] += (reads + writes) * layers[1]
        work["encoder-decoder"] += so_far * layers[2] + writes * layers[3]
        so_far += writes
    reasons = dict(work)
    if writes > 0:
        reasons["encoder-only"] = "does not write"
    else:
        reasons["encoder-decoder"] = "nothing to write"
    if two_sided:
        reasons["decoder-only"] = "reads one way"
    best = min(cost for cost in reasons.values() if isinstance(cost, int))
    return next(name for name in FAMILIES if reasons[name] == best), reasons


def stacks(trial, writes=None):
    """Four different numbers of layers; with `writes`, such that the slogan is wrong in one turn if no rule decides."""
    few, some, more, many = sorted((3 + trial.permutation(30)[:4]).tolist())
    if writes is None:
        return tuple(torch.tensor([few, some, more, many])[trial.permutation(4)].tolist())
    return (few, many, some, more) if writes else (many, few, more, some)


@choose.case("one turn: who can, and at what cost", weight=3)
def _(subject, trial):
    for writes in (0, trial.integers(10, 900)):
        for two_sided, layers in ((True, stacks(trial)), (False, stacks(trial)), (False, stacks(trial, writes))):
            given = trial.integers(10, 900), writes, 1, two_sided, layers
            trial.equal(subject(*given), family_by_turns(*given))


@choose.case("several turns: an encoder reads all of it again, a decoder has its cache", weight=4)
def _(subject, trial):
    for writes in (trial.integers(10, 900), trial.integers(10, 900), 0):
        for two_sided in (False, True):
            layers = stacks(trial) if writes else stacks(trial, 0)
            given = trial.integers(10, 900), writes, trial.integers(3, 12), two_sided, layers
            trial.equal(subject(*given), family_by_turns(*given))


@choose.case("more turns can change the answer", weight=2)
def _(subject, trial):
    L = trial.integers(20, 30)
    for reads, writes, layers in ((trial.integers(300, 500), trial.integers(300, 500), (L, L, L, 2)),
                                  (trial.integers(300, 500), 0, (L, L + 2, L, L))):  # fmt: skip
        for turns in (1, trial.integers(6, 12)):
            given = reads, writes, turns, False, layers
            trial.equal(subject(*given), family_by_turns(*given))


@choose.case("equal work: the order of the families decides", weight=2)
def _(subject, trial):
    reads, writes, L = trial.integers(10, 900), trial.integers(10, 900), trial.integers(2, 40)
    given = reads, 0, 1, False, (L, L, L, L)
    trial.equal(subject(*given), family_by_turns(*given))
    given = reads, writes, 1, False, (L, L, L, L)
    trial.equal(subject(*given), family_by_turns(*given))
    trial.equal(subject(reads, writes), family_by_turns(reads, writes), "one turn, 12 layers everywhere")


@choose.case("numbers that make no task are refused")
def _(subject, trial):
    n = trial.integers(5, 900)
    for reads, writes, turns in ((0, n, 1), (-n, n, 1), (n, -1, 1), (n, n, 0), (n, n, -n), (0, 0, 1)):
        trial.raises("ValueError", lambda a=reads, b=writes, t=turns: subject(a, b, t),
                     f"reads {reads}, writes {writes}, turns {turns}")  # fmt: skip


@choose.case("the smallest tasks: one token read, one written, two turns")
def _(subject, trial):
    layers = stacks(trial)
    for given in ((1, 0, 1, True, layers), (1, 1, 2, True, layers), (1, 1, 2, False, layers), (1, 0, 2, False, layers)):
        trial.equal(subject(*given), family_by_turns(*given))
