"""Wrong answers that learners of unit 03 really give. Each cell is a whole answer; its docstring is what they read."""

# %% exercise="bpe_merge" wrong="overlaps_merged_twice"
"""A token in the middle of a run is used by two occurrences: [1, 1, 1] becomes two merged tokens.

After merging positions 0 and 1, where do you look next?
"""
def bpe_merge(tokens, pair, merged):
    out, i = [], 0
    while i < len(tokens):
        if i + 1 < len(tokens) and (tokens[i], tokens[i + 1]) == tuple(pair):
            out.append(merged)
            i += 1
            if i + 1 >= len(tokens) or (tokens[i], tokens[i + 1]) != tuple(pair):
                i += 1
        else:
            out.append(tokens[i])
            i += 1
    return out

# %% exercise="bpe_merge" wrong="only_the_first"
"""Only the first occurrence is replaced.

How often does the pair stand in [1, 2, 1, 2]?
"""
def bpe_merge(tokens, pair, merged):
    for i in range(len(tokens) - 1):
        if (tokens[i], tokens[i + 1]) == tuple(pair):
            return list(tokens[:i]) + [merged] + list(tokens[i + 2:])
    return list(tokens)

# %% exercise="bpe_merge" wrong="last_token_lost"
"""The walk stops one token short, so a last token that is not part of a pair is lost.

What does your function make of a list with one token?
"""
def bpe_merge(tokens, pair, merged):
    out, i = [], 0
    while i < len(tokens) - 1:
        if (tokens[i], tokens[i + 1]) == tuple(pair):
            out.append(merged)
            i += 2
        else:
            out.append(tokens[i])
            i += 1
    return out

# %% exercise="bpe_merge" wrong="either_order"
"""The pair is merged in either order, (1, 2) as well as (2, 1).

Are "th" and "ht" the same token?
"""
def bpe_merge(tokens, pair, merged):
    out, i = [], 0
    while i < len(tokens):
        if tuple(tokens[i:i + 2]) in (tuple(pair), tuple(pair)[::-1]):
            out.append(merged)
            i += 2
        else:
            out.append(tokens[i])
            i += 1
    return out

# %% exercise="bpe_merge" wrong="from_the_right"
"""The list is walked from its end, so in a run of an odd length the first token is left over instead of the last.

[1, 1, 1] with the pair (1, 1): which token stays alone when you read from left to right?
"""
def bpe_merge(tokens, pair, merged):
    out, i = [], len(tokens)
    while i > 0:
        if i >= 2 and (tokens[i - 2], tokens[i - 1]) == tuple(pair):
            out.append(merged)
            i -= 2
        else:
            out.append(tokens[i - 1])
            i -= 1
    return out[::-1]

# %% exercise="bpe_train" wrong="first_seen_wins_a_tie"
"""On a tie the pair that was seen first wins; the exercise asks for the greater pair of byte strings.

In "ab, cd, zb" every pair stands once. Which one is the greatest, whatever came first in the text?
"""
def bpe_train(text, num_merges):
    words = [([bytes([b]) for b in p.encode()], n) for p, n in Counter(pretokenize(text)).items()]
    merges = []
    for _ in range(num_merges):
        counts = Counter()
        for w, n in words:
            for p in zip(w, w[1:]):
                counts[p] += n
        if not counts:
            break
        best = max(counts, key=counts.get)
        merges.append(best)
        words = [(bpe_merge(w, best, best[0] + best[1]), n) for w, n in words]
    return merges

# %% exercise="bpe_train" wrong="printable_characters_compared"
"""Ties are decided between printable stand-ins of the bytes: there a space comes after all letters, as a byte before.

Which is greater: the byte of a space, 32, or the byte of the letter t, 116?
"""
def bpe_train(text, num_merges):
    keep = [*range(33, 127), *range(161, 173), *range(174, 256)]
    shown = {b: chr(b) for b in keep} | {b: chr(256 + i) for i, b in enumerate(x for x in range(256) if x not in keep)}

    def as_text(p):
        return tuple("".join(shown[b] for b in side) for side in p)

    words = [([bytes([b]) for b in p.encode()], n) for p, n in Counter(pretokenize(text)).items()]
    merges = []
    for _ in range(num_merges):
        counts = Counter()
        for w, n in words:
            for p in zip(w, w[1:]):
                counts[p] += n
        if not counts:
            break
        best = max(counts, key=lambda p: (counts[p], as_text(p)))
        merges.append(best)
        words = [(bpe_merge(w, best, best[0] + best[1]), n) for w, n in words]
    return merges

# %% exercise="bpe_train" wrong="smaller_pair_wins_a_tie"
"""On a tie the smaller pair wins; here the greater one does.

Sorting puts the smallest first. Which end do you take?
"""
def bpe_train(text, num_merges):
    words = [([bytes([b]) for b in p.encode()], n) for p, n in Counter(pretokenize(text)).items()]
    merges = []
    for _ in range(num_merges):
        counts = Counter()
        for w, n in words:
            for p in zip(w, w[1:]):
                counts[p] += n
        if not counts:
            break
        best = sorted(counts, key=lambda p: (-counts[p], p))[0]
        merges.append(best)
        words = [(bpe_merge(w, best, best[0] + best[1]), n) for w, n in words]
    return merges

# %% exercise="bpe_train" wrong="joined_bytes_compared"
"""On a tie you compare the joined bytes, not the pair: (a, bc) and (ab, c) then look the same.

Compare tuples: the left tokens first, and the right ones only when the left ones are equal.
"""
def bpe_train(text, num_merges):
    words = [([bytes([b]) for b in p.encode()], n) for p, n in Counter(pretokenize(text)).items()]
    merges = []
    for _ in range(num_merges):
        counts = Counter()
        for w, n in words:
            for p in zip(w, w[1:]):
                counts[p] += n
        if not counts:
            break
        best = max(counts, key=lambda p: (counts[p], p[0] + p[1]))
        merges.append(best)
        words = [(bpe_merge(w, best, best[0] + best[1]), n) for w, n in words]
    return merges

# %% exercise="bpe_train" wrong="no_pieces"
"""The text was never cut into pieces, so tokens swallow spaces and reach from one word into the next.

Was the text pre-tokenised before counting?
"""
def bpe_train(text, num_merges):
    w = [bytes([b]) for b in text.encode()]
    merges = []
    for _ in range(num_merges):
        counts = Counter(zip(w, w[1:]))
        if not counts:
            break
        best = max(counts, key=lambda p: (counts[p], p))
        merges.append(best)
        w = bpe_merge(w, best, best[0] + best[1])
    return merges

# %% exercise="bpe_train" wrong="each_piece_counted_once"
"""Each distinct piece is counted once, however often it occurs, so rare words weigh as much as frequent ones.

How often does the pair (l, o) occur in "low low low"?
"""
def bpe_train(text, num_merges):
    words = [[bytes([b]) for b in p.encode()] for p in dict.fromkeys(pretokenize(text))]
    merges = []
    for _ in range(num_merges):
        counts = Counter(p for w in words for p in zip(w, w[1:]))
        if not counts:
            break
        best = max(counts, key=lambda p: (counts[p], p))
        merges.append(best)
        words = [bpe_merge(w, best, best[0] + best[1]) for w in words]
    return merges

# %% exercise="bpe_train" wrong="characters_instead_of_bytes"
"""The pieces are cut into characters, so a euro sign is one symbol from the start; at byte level it is three bytes.

How many of the 256 start tokens does "é" need?
"""
def bpe_train(text, num_merges):
    words = [([c.encode() for c in p], n) for p, n in Counter(pretokenize(text)).items()]
    merges = []
    for _ in range(num_merges):
        counts = Counter()
        for w, n in words:
            for p in zip(w, w[1:]):
                counts[p] += n
        if not counts:
            break
        best = max(counts, key=lambda p: (counts[p], p))
        merges.append(best)
        words = [(bpe_merge(w, best, best[0] + best[1]), n) for w, n in words]
    return merges

# %% exercise="bpe_train" wrong="stops_at_pairs_seen_once"
"""Pairs that occur only once are never merged, so fewer merges come back than were asked for.

When does the exercise say that training ends?
"""
def bpe_train(text, num_merges):
    words = [([bytes([b]) for b in p.encode()], n) for p, n in Counter(pretokenize(text)).items()]
    merges = []
    for _ in range(num_merges):
        counts = Counter()
        for w, n in words:
            for p in zip(w, w[1:]):
                counts[p] += n
        if not counts or max(counts.values()) < 2:
            break
        best = max(counts, key=lambda p: (counts[p], p))
        merges.append(best)
        words = [(bpe_merge(w, best, best[0] + best[1]), n) for w, n in words]
    return merges

# %% exercise="bpe_encode" wrong="merged_as_found"
"""Merges are applied as they are met from left to right, not by the order in which they were learned.

With the merges bc, then ab: which one was learned first, and what becomes of "abc"?
"""
def bpe_encode(text, merges, specials=()):
    ids = {t: i for i, t in vocabulary(merges).items()}
    known, base, out = set(merges), len(ids), []
    known_specials = "|".join(map(re.escape, sorted(specials, key=len, reverse=True)))
    parts = re.split(f"({known_specials})", text) if specials else [text]
    for part in parts:
        if part in specials:
            out.append(base + specials.index(part))
            continue
        for piece in pretokenize(part):
            w = [bytes([b]) for b in piece.encode()]
            while True:
                found = [p for p in zip(w, w[1:]) if p in known]
                if not found:
                    break
                w = bpe_merge(w, found[0], found[0][0] + found[0][1])
            out += [ids[t] for t in w]
    return out

# %% exercise="bpe_encode" wrong="longest_token_first"
"""You take the longest known token from the left, as WordPiece does; BPE replays its merges.

Which merge was learned first? Start from single bytes, not from the end.
"""
def bpe_encode(text, merges, specials=()):
    ids = {t: i for i, t in vocabulary(merges).items()}
    base, out = len(ids), []
    known_specials = "|".join(map(re.escape, sorted(specials, key=len, reverse=True)))
    parts = re.split(f"({known_specials})", text) if specials else [text]
    for part in parts:
        if part in specials:
            out.append(base + specials.index(part))
            continue
        for piece in pretokenize(part):
            raw = piece.encode()
            while raw:
                n = next(n for n in range(len(raw), 0, -1) if raw[:n] in ids)
                out.append(ids[raw[:n]])
                raw = raw[n:]
    return out

# %% exercise="bpe_encode" wrong="shorter_special_first"
"""Of two special tokens that match at one place the one registered first wins, even when it is shorter.

Two specials match at the same place. Which should win?
"""
def bpe_encode(text, merges, specials=()):
    ids = {t: i for i, t in vocabulary(merges).items()}
    rank, base, out = {p: i for i, p in reversed(list(enumerate(merges)))}, len(ids), []
    parts = re.split("(" + "|".join(map(re.escape, specials)) + ")", text) if specials else [text]
    for part in parts:
        if part in specials:
            out.append(base + specials.index(part))
            continue
        for piece in pretokenize(part):
            w = [bytes([b]) for b in piece.encode()]
            while any(p in rank for p in zip(w, w[1:])):
                p = min((p for p in zip(w, w[1:]) if p in rank), key=rank.get)
                w = bpe_merge(w, p, p[0] + p[1])
            out += [ids[t] for t in w]
    return out

# %% exercise="bpe_encode" wrong="specials_are_cut"
"""Special tokens are encoded like ordinary text, byte by byte.

How many ids should "<|end|>" become when it is registered?
"""
def bpe_encode(text, merges, specials=()):
    ids = {t: i for i, t in vocabulary(merges).items()}
    rank, out = {p: i for i, p in reversed(list(enumerate(merges)))}, []
    for piece in pretokenize(text):
        w = [bytes([b]) for b in piece.encode()]
        while any(p in rank for p in zip(w, w[1:])):
            p = min((p for p in zip(w, w[1:]) if p in rank), key=rank.get)
            w = bpe_merge(w, p, p[0] + p[1])
        out += [ids[t] for t in w]
    return out

# %% exercise="bpe_encode" wrong="no_pieces"
"""The text is not cut into pieces, so merges reach across words.

Training never saw a pair across a piece. Should encoding?
"""
def bpe_encode(text, merges, specials=()):
    ids = {t: i for i, t in vocabulary(merges).items()}
    rank, base, out = {p: i for i, p in reversed(list(enumerate(merges)))}, len(ids), []
    known_specials = "|".join(map(re.escape, sorted(specials, key=len, reverse=True)))
    parts = re.split(f"({known_specials})", text) if specials else [text]
    for part in parts:
        if part in specials:
            out.append(base + specials.index(part))
            continue
        w = [bytes([b]) for b in part.encode()]
        while any(p in rank for p in zip(w, w[1:])):
            p = min((p for p in zip(w, w[1:]) if p in rank), key=rank.get)
            w = bpe_merge(w, p, p[0] + p[1])
        out += [ids[t] for t in w]
    return out

# %% exercise="bpe_encode" wrong="an_id_for_each_merge"
"""Every merge gets an id of its own, also one whose result is a token already; all later ids are shifted by one.

vocabulary(merges) says what each id is: look the token up there.
"""
def bpe_encode(text, merges, specials=()):
    ids = {bytes([b]): b for b in range(256)}
    for i, (left, right) in enumerate(merges):
        ids[left + right] = 256 + i
    rank, base, out = {p: i for i, p in reversed(list(enumerate(merges)))}, 256 + len(merges), []
    known_specials = "|".join(map(re.escape, sorted(specials, key=len, reverse=True)))
    parts = re.split(f"({known_specials})", text) if specials else [text]
    for part in parts:
        if part in specials:
            out.append(base + specials.index(part))
            continue
        for piece in pretokenize(part):
            w = [bytes([b]) for b in piece.encode()]
            while any(p in rank for p in zip(w, w[1:])):
                p = min((p for p in zip(w, w[1:]) if p in rank), key=rank.get)
                w = bpe_merge(w, p, p[0] + p[1])
            out += [ids[t] for t in w]
    return out

# %% exercise="bpe_decode" wrong="each_token_decoded_alone"
"""Each token is decoded on its own, so a character spread over two tokens becomes U+FFFD.

Join before you decode, or decode before you join?
"""
def bpe_decode(ids, merges, specials=()):
    known = vocabulary(merges, specials)
    return "".join(known[i].decode("utf-8", errors="replace") for i in ids)

# %% exercise="bpe_decode" wrong="broken_bytes_dropped"
"""Bytes that are no UTF-8 disappear, so nobody sees that something was there.

Which of the error handlers of bytes.decode puts U+FFFD in?
"""
def bpe_decode(ids, merges, specials=()):
    known = vocabulary(merges, specials)
    return b"".join(known[i] for i in ids).decode("utf-8", errors="ignore")

# %% exercise="bpe_decode" wrong="broken_bytes_raise"
"""Bytes that are no UTF-8 raise an error; a model may well produce them.

Which of the error handlers of bytes.decode puts U+FFFD in?
"""
def bpe_decode(ids, merges, specials=()):
    known = vocabulary(merges, specials)
    return b"".join(known[i] for i in ids).decode("utf-8")

# %% exercise="bpe_decode" wrong="latin_1"
"""Every byte becomes a character of its own (Latin-1), so everything outside ASCII turns into two or three signs.

In which encoding was the text turned into bytes?
"""
def bpe_decode(ids, merges, specials=()):
    known = vocabulary(merges, specials)
    return b"".join(known[i] for i in ids).decode("latin-1")

# %% exercise="bpe_decode" wrong="specials_left_out"
"""Special tokens are skipped; the exercise asks for all of the text.

What should come out for the id of "<e>"?
"""
def bpe_decode(ids, merges, specials=()):
    known = vocabulary(merges)
    return b"".join(known[i] for i in ids if i in known).decode("utf-8", errors="replace")

# %% exercise="language_finding" wrong="greek_is_dearest"
"""Two bytes for each letter is not the most there is: Devanagari needs three.

Which row of the table has the largest median?
"""
language_finding = {"cheapest": "en", "dearest": "el", "times": 2.0}

# %% exercise="language_finding" wrong="all_cost_the_same"
"""The ratio of 1 is English compared with itself.

Read the median in the row of the dearest language.
"""
language_finding = {"cheapest": "en", "dearest": "hi", "times": 1.0}

# %% exercise="pad_batch" wrong="positions_count_padding"
"""With padding on the left the positions count the padding too, so the first real token does not stand at 0.

In which column does the first real token of a padded row stand, and which position should it have?
"""
def pad_batch(rows, pad_id, side="right"):
    if side not in ("left", "right"):
        raise ValueError(side)
    T = max(map(len, rows))
    ids = torch.full((len(rows), T), pad_id)
    mask = torch.zeros(len(rows), T, dtype=torch.bool)
    for i, r in enumerate(rows):
        at = slice(0, len(r)) if side == "right" else slice(T - len(r), T)
        ids[i, at], mask[i, at] = torch.tensor(r), True
    return ids, mask, torch.arange(T).expand(len(rows), T) * mask

# %% exercise="pad_batch" wrong="side_ignored"
"""Padding always goes to the right, whatever `side` says.

Print pad_batch([[1], [2, 3]], 0, "left"): in which column does the last real token of each row stand?
"""
def pad_batch(rows, pad_id, side="right"):
    if side not in ("left", "right"):
        raise ValueError(side)
    T = max(map(len, rows))
    ids = torch.tensor([list(r) + [pad_id] * (T - len(r)) for r in rows])
    mask = torch.arange(T) < torch.tensor([len(r) for r in rows])[:, None]
    return ids, mask, torch.arange(T) * mask

# %% exercise="pad_batch" wrong="sides_exchanged"
"""Left and right are exchanged: padding on the right means that the padding stands behind the tokens.

Does `side` name the side of the tokens, or of the padding?
"""
def pad_batch(rows, pad_id, side="right"):
    if side not in ("left", "right"):
        raise ValueError(side)
    T = max(map(len, rows))
    ids = torch.full((len(rows), T), pad_id)
    mask = torch.zeros(len(rows), T, dtype=torch.bool)
    for i, r in enumerate(rows):
        at = slice(0, len(r)) if side == "left" else slice(T - len(r), T)
        ids[i, at], mask[i, at] = torch.tensor(r), True
    return ids, mask, (mask.cumsum(1) - 1).clamp(min=0) * mask

# %% exercise="pad_batch" wrong="mask_by_comparing_ids"
"""The mask is found by comparing with pad_id, so a real token that has the same id is hidden.

Can pad_id be a token of the text? Where do you know the length of a row for sure?
"""
def pad_batch(rows, pad_id, side="right"):
    if side not in ("left", "right"):
        raise ValueError(side)
    T = max(map(len, rows))
    gaps = [[pad_id] * (T - len(r)) for r in rows]
    ids = torch.tensor([list(r) + g if side == "right" else g + list(r) for r, g in zip(rows, gaps)])
    mask = ids != pad_id
    return ids, mask, (mask.cumsum(1) - 1).clamp(min=0) * mask

# %% exercise="pad_batch" wrong="true_means_padding"
"""The mask is True on padding; here True means a real token.

Which convention did unit 02 choose: True = may look, or True = hide?
"""
def pad_batch(rows, pad_id, side="right"):
    if side not in ("left", "right"):
        raise ValueError(side)
    T = max(map(len, rows))
    ids = torch.full((len(rows), T), pad_id)
    mask = torch.zeros(len(rows), T, dtype=torch.bool)
    for i, r in enumerate(rows):
        at = slice(0, len(r)) if side == "right" else slice(T - len(r), T)
        ids[i, at], mask[i, at] = torch.tensor(r), True
    return ids, ~mask, (mask.cumsum(1) - 1).clamp(min=0) * mask

# %% exercise="embed" wrong="columns_looked_up"
"""Columns of the table are read instead of rows.

The table is (V, D): which axis do the ids number?
"""
def embed(ids, table, one_hot=False):
    if one_hot:
        return (ids[..., None] == torch.arange(table.shape[0])).to(table.dtype) @ table.T
    return table.T[ids]

# %% exercise="embed" wrong="one_hot_ignored"
"""The one-hot product uses a table of ones and zeros for the last axis only: every token gets the sum of all rows.

How many ones does the one-hot vector of one token have?
"""
def embed(ids, table, one_hot=False):
    if not one_hot:
        return table[ids]
    return torch.ones(*ids.shape, table.shape[0], dtype=table.dtype) @ table

# %% exercise="embed" wrong="gradient_cut"
"""The table is detached, so it never learns: its gradient is missing.

Which call cuts a tensor off from its history?
"""
def embed(ids, table, one_hot=False):
    rows = table.detach()[ids]
    return rows + 0 * table.sum()

# %% exercise="embed" wrong="gradient_of_a_token_counted_once"
"""A token that stands in several places passes back the gradient of only one of them.

Row 2 was read three times. What is its gradient?
"""
def embed(ids, table, one_hot=False):
    seen, parts = set(), []
    for i in ids.flatten().tolist():
        parts.append(table[i].detach() if i in seen else table[i])
        seen.add(i)
    return torch.stack(parts).reshape(*ids.shape, table.shape[1])

# %% exercise="TiedEmbedding" wrong="head_is_a_copy"
"""The head has its own copy of the matrix: equal at the start, different after one step.

Same values or same tensor? Count the parameters.
"""
class TiedEmbedding(nn.Module):
    def __init__(self, vocab_size, d_model):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(vocab_size, d_model) / d_model**0.5)
        self.head = nn.Parameter(self.weight.detach().clone())

    def embed(self, ids):
        return self.weight[ids] * self.weight.shape[1] ** 0.5

    def logits(self, states):
        return states @ self.head.T

# %% exercise="TiedEmbedding" wrong="no_factor"
"""The rows are not multiplied by sqrt(D).

What does section 3.4 of the paper do to the embeddings?
"""
class TiedEmbedding(nn.Module):
    def __init__(self, vocab_size, d_model):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(vocab_size, d_model) / d_model**0.5)

    def embed(self, ids):
        return self.weight[ids]

    def logits(self, states):
        return states @ self.weight.T

# %% exercise="TiedEmbedding" wrong="factor_at_both_ends"
"""The factor sqrt(D) is in the logits too, so the softmax is far too sharp.

Which of the two methods multiplies by sqrt(D)?
"""
class TiedEmbedding(nn.Module):
    def __init__(self, vocab_size, d_model):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(vocab_size, d_model) / d_model**0.5)

    def embed(self, ids):
        return self.weight[ids] * self.weight.shape[1] ** 0.5

    def logits(self, states):
        return states @ self.weight.T * self.weight.shape[1] ** 0.5

# %% exercise="TiedEmbedding" wrong="head_detached"
"""The head uses the matrix without passing a gradient to it: it only learns from the input side.

Which call cuts a tensor off from its history?
"""
class TiedEmbedding(nn.Module):
    def __init__(self, vocab_size, d_model):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(vocab_size, d_model) / d_model**0.5)

    def embed(self, ids):
        return self.weight[ids] * self.weight.shape[1] ** 0.5

    def logits(self, states):
        return states @ self.weight.detach().T + 0 * self.weight.sum()

# %% exercise="sinusoidal_encoding" wrong="exponent_doubled"
"""The exponent is doubled: `i` runs in steps of two already, and 2i is used on top.

Print the exponents: should the last be near 1 or near 2?
"""
def sinusoidal_encoding(length, d_model):
    i = torch.arange(0, d_model, 2).double()
    a = torch.arange(length).double()[:, None] / 10000 ** (2 * i / d_model)
    return torch.stack([a.sin(), a.cos()], -1).flatten(1).float()

# %% exercise="sinusoidal_encoding" wrong="halves_instead_of_interleaved"
"""All sines stand before all cosines; in the paper they alternate.

Column 1 of the paper's matrix is which function?
"""
def sinusoidal_encoding(length, d_model):
    a = torch.arange(length).double()[:, None] / 10000 ** (torch.arange(0, d_model, 2).double() / d_model)
    return torch.cat([a.sin(), a.cos()], -1).float()

# %% exercise="sinusoidal_encoding" wrong="positions_start_at_one"
"""The first position is 1.

What is sin(0), and where should it stand?
"""
def sinusoidal_encoding(length, d_model):
    a = torch.arange(1, length + 1).double()[:, None] / 10000 ** (torch.arange(0, d_model, 2).double() / d_model)
    return torch.stack([a.sin(), a.cos()], -1).flatten(1).float()

# %% exercise="sinusoidal_encoding" wrong="sine_and_cosine_swapped"
"""Cosines stand in the even columns.

Even columns: sin or cos? What must row 0 look like?
"""
def sinusoidal_encoding(length, d_model):
    a = torch.arange(length).double()[:, None] / 10000 ** (torch.arange(0, d_model, 2).double() / d_model)
    return torch.stack([a.cos(), a.sin()], -1).flatten(1).float()

# %% exercise="sinusoidal_encoding" wrong="every_column_its_own_frequency"
"""Each column has its own frequency; a sine and its cosine share one.

Which columns belong to the same angle?
"""
def sinusoidal_encoding(length, d_model):
    a = torch.arange(length).double()[:, None] / 10000 ** (torch.arange(d_model).double() / d_model)
    a[:, 0::2], a[:, 1::2] = a[:, 0::2].sin(), a[:, 1::2].cos()
    return a.float()

# %% exercise="rope_frequencies" wrong="exponent_doubled"
"""The frequencies are squared: the exponent is divided by d/2 instead of d.

Print the first three frequencies and compare them with the formula.
"""
def rope_frequencies(d, base=10000.0):
    return base ** (-torch.arange(0, d, 2).double() / (d // 2)).float()

# %% exercise="rope_frequencies" wrong="exponent_halved"
"""The index i runs over 0, 1, 2 ... and the 2 of the formula is missing: the slowest pair turns far too fast.

With d = 8 the exponents should be 0, 2/8, 4/8, 6/8.
"""
def rope_frequencies(d, base=10000.0):
    return base ** (-torch.arange(d // 2).double() / d).float()

# %% exercise="rope_frequencies" wrong="wavelengths"
"""These are 1 / frequency: the sign of the exponent is missing.

Which pair should turn fastest, the first or the last?
"""
def rope_frequencies(d, base=10000.0):
    return base ** (torch.arange(0, d, 2).double() / d).float()

# %% exercise="rope_frequencies" wrong="base_ignored"
"""The base is always 10000.

Does your function use its second argument?
"""
def rope_frequencies(d, base=10000.0):
    return 10000.0 ** (-torch.arange(0, d, 2).double() / d).float()

# %% exercise="rope_frequencies" wrong="one_for_each_coordinate"
"""There is one number for each coordinate; the exercise asks for one for each pair.

How many pairs has a head of width d?
"""
def rope_frequencies(d, base=10000.0):
    return (base ** (-torch.arange(0, d, 2).double() / d)).float().repeat_interleave(2)

# %% exercise="apply_rope" wrong="identity"
"""Nothing is turned. Lengths and shapes look right, and so does the dot product at equal positions.

Turn the pair (1, 0) at position 1 by hand: which two numbers should come out?
"""
def apply_rope(x, positions, pairing="interleaved", base=10000.0):
    if pairing not in ("interleaved", "half"):
        raise ValueError(pairing)
    return x.clone()

# %% exercise="apply_rope" wrong="frequencies_squared"
"""The frequencies are squared: the exponent uses d/2 instead of d.

Rotate the unit vector e_2 at position 1: its cosine should be that of base^(-2/d).
"""
def apply_rope(x, positions, pairing="interleaved", base=10000.0):
    if pairing not in ("interleaved", "half"):
        raise ValueError(pairing)
    d = x.shape[-1]
    t = positions.double()[:, None] * base ** (-torch.arange(0, d, 2).double() / (d // 2))
    c, s = t.cos().to(x.dtype), t.sin().to(x.dtype)
    if pairing == "half":
        a, b = x.chunk(2, -1)
        return torch.cat([a * c - b * s, a * s + b * c], -1)
    a, b = x[..., ::2], x[..., 1::2]
    return torch.stack([a * c - b * s, a * s + b * c], -1).flatten(-2)

# %% exercise="apply_rope" wrong="always_half"
"""The pairs are (i, i + d/2) also where "interleaved" is asked for.

Rotate the unit vector e_0 at position 1: which index becomes sin(1)?
"""
def apply_rope(x, positions, pairing="interleaved", base=10000.0):
    if pairing not in ("interleaved", "half"):
        raise ValueError(pairing)
    d = x.shape[-1]
    t = positions.double()[:, None] * base ** (-torch.arange(0, d, 2).double() / d)
    c, s = t.cos().float(), t.sin().float()
    a, b = x.chunk(2, -1)
    return torch.cat([a * c - b * s, a * s + b * c], -1).to(x.dtype)

# %% exercise="apply_rope" wrong="always_interleaved"
"""The pairs are (2i, 2i + 1) also where "half" is asked for.

Which two coordinates form a pair when a checkpoint of Llama comes from `transformers`?
"""
def apply_rope(x, positions, pairing="interleaved", base=10000.0):
    if pairing not in ("interleaved", "half"):
        raise ValueError(pairing)
    d = x.shape[-1]
    t = positions.double()[:, None] * base ** (-torch.arange(0, d, 2).double() / d)
    c, s = t.cos().float(), t.sin().float()
    a, b = x[..., ::2], x[..., 1::2]
    return torch.stack([a * c - b * s, a * s + b * c], -1).flatten(-2).to(x.dtype)

# %% exercise="apply_rope" wrong="half_tables_on_interleaved_pairs"
"""The rotation pairs neighbours, but cosines and sines are laid out in two halves: the conventions are mixed.

For interleaved pairs, columns 0 and 1 need the same angle. Do they get it?
"""
def apply_rope(x, positions, pairing="interleaved", base=10000.0):
    if pairing not in ("interleaved", "half"):
        raise ValueError(pairing)
    d = x.shape[-1]
    t = positions.double()[:, None] * base ** (-torch.arange(0, d, 2).double() / d)
    t = torch.cat([t, t], -1)
    c, s = t.cos().float(), t.sin().float()
    if pairing == "half":
        a, b = x.chunk(2, -1)
        return (x * c + torch.cat([-b, a], -1) * s).to(x.dtype)
    a, b = x[..., ::2], x[..., 1::2]
    return (x * c + torch.stack([-b, a], -1).flatten(-2) * s).to(x.dtype)

# %% exercise="apply_rope" wrong="turned_backwards"
"""Everything is turned the other way, by minus the angle.

Pair (1, 0) at position 1 becomes (cos 1, sin 1): which sign has the second number?
"""
def apply_rope(x, positions, pairing="interleaved", base=10000.0):
    if pairing not in ("interleaved", "half"):
        raise ValueError(pairing)
    d = x.shape[-1]
    t = -positions.double()[:, None] * base ** (-torch.arange(0, d, 2).double() / d)
    c, s = t.cos().float(), t.sin().float()
    if pairing == "half":
        a, b = x.chunk(2, -1)
        return torch.cat([a * c - b * s, a * s + b * c], -1).to(x.dtype)
    a, b = x[..., ::2], x[..., 1::2]
    return torch.stack([a * c - b * s, a * s + b * c], -1).flatten(-2).to(x.dtype)

# %% exercise="apply_rope" wrong="positions_ignored"
"""The rows are numbered from 0, whatever `positions` says.

What happens to a chunk that starts at position 9?
"""
def apply_rope(x, positions, pairing="interleaved", base=10000.0):
    if pairing not in ("interleaved", "half"):
        raise ValueError(pairing)
    d = x.shape[-1]
    t = torch.arange(x.shape[-2]).double()[:, None] * base ** (-torch.arange(0, d, 2).double() / d)
    c, s = t.cos().float(), t.sin().float()
    if pairing == "half":
        a, b = x.chunk(2, -1)
        return torch.cat([a * c - b * s, a * s + b * c], -1).to(x.dtype)
    a, b = x[..., ::2], x[..., 1::2]
    return torch.stack([a * c - b * s, a * s + b * c], -1).flatten(-2).to(x.dtype)

# %% exercise="apply_rope" wrong="sign_of_the_sine"
"""Both sines have the same sign, so this is no rotation: lengths change.

In which of the two lines does the formula have a minus?
"""
def apply_rope(x, positions, pairing="interleaved", base=10000.0):
    if pairing not in ("interleaved", "half"):
        raise ValueError(pairing)
    d = x.shape[-1]
    t = positions.double()[:, None] * base ** (-torch.arange(0, d, 2).double() / d)
    c, s = t.cos().float(), t.sin().float()
    if pairing == "half":
        a, b = x.chunk(2, -1)
        return torch.cat([a * c + b * s, a * s + b * c], -1).to(x.dtype)
    a, b = x[..., ::2], x[..., 1::2]
    return torch.stack([a * c + b * s, a * s + b * c], -1).flatten(-2).to(x.dtype)

# %% exercise="rotary_qkv" wrong="keys_not_turned"
"""Queries are turned and keys are not, so scores depend on the query's position, not on the distance.

A score needs the difference of two positions. Where does yours get the second one from?
"""
def rotary_qkv(x, w_q, w_k, w_v, num_heads, positions):
    q, k, v = (y.unflatten(-1, (num_heads, -1)).transpose(1, 2) for y in (x @ w_q, x @ w_k, x @ w_v))
    return apply_rope(q, positions), k, v

# %% exercise="rotary_qkv" wrong="keys_turned_backwards"
"""Keys are turned by minus the angle, so scores depend on the sum of the positions.

Does your score depend on the difference or on the sum?
"""
def rotary_qkv(x, w_q, w_k, w_v, num_heads, positions):
    q, k, v = (y.unflatten(-1, (num_heads, -1)).transpose(1, 2) for y in (x @ w_q, x @ w_k, x @ w_v))
    return apply_rope(q, positions), apply_rope(k, -positions), v

# %% exercise="rotary_qkv" wrong="values_turned_too"
"""Values are turned as well; what a position delivers should not depend on where it stands.

Which tensors carry position?
"""
def rotary_qkv(x, w_q, w_k, w_v, num_heads, positions):
    q, k, v = (y.unflatten(-1, (num_heads, -1)).transpose(1, 2) for y in (x @ w_q, x @ w_k, x @ w_v))
    return apply_rope(q, positions), apply_rope(k, positions), apply_rope(v, positions)

# %% exercise="rotary_qkv" wrong="turned_before_the_heads_are_split"
"""The rotation runs over the whole width before the heads are split, so each head gets other frequencies.

How wide is the part that a head sees? Its frequencies begin with 1 in each head.
"""
def rotary_qkv(x, w_q, w_k, w_v, num_heads, positions):
    q, k, v = apply_rope(x @ w_q, positions), apply_rope(x @ w_k, positions), x @ w_v
    return tuple(y.unflatten(-1, (num_heads, -1)).transpose(1, 2) for y in (q, k, v))

# %% exercise="rotary_qkv" wrong="input_turned"
"""The input is turned before the projections, so values are affected and the relative property is gone.

In which order do projection and rotation come?
"""
def rotary_qkv(x, w_q, w_k, w_v, num_heads, positions):
    y = apply_rope(x, positions)
    return tuple((y @ w).unflatten(-1, (num_heads, -1)).transpose(1, 2) for w in (w_q, w_k, w_v))

# %% exercise="rotary_qkv" wrong="heads_counted_as_positions"
"""The rotation is applied to (B, T, H, d), where the second to last axis numbers heads.

apply_rope reads positions along the axis before the last: which one is that after your split?
"""
def rotary_qkv(x, w_q, w_k, w_v, num_heads, positions):
    q, k, v = (y.unflatten(-1, (num_heads, -1)) for y in (x @ w_q, x @ w_k, x @ w_v))
    heads = torch.arange(num_heads)
    return tuple(y.transpose(1, 2) for y in (apply_rope(q, heads), apply_rope(k, heads), v))

# %% exercise="alibi_slopes" wrong="start_at_one"
"""The slopes are h / H; the paper's are powers of two, 2^(-8h/H).

First slope in the paper for 8 heads?
"""
def alibi_slopes(num_heads):
    return torch.tensor([1 - h / num_heads for h in range(num_heads)])

# %% exercise="alibi_slopes" wrong="begins_with_one"
"""The first exponent is 0, so the first slope is 1 instead of 2^(-8/H).

Does h run from 0 or from 1?
"""
def alibi_slopes(num_heads):
    p = 1 << (num_heads.bit_length() - 1)
    s = [2.0 ** (-8 * h / p) for h in range(p)] + [2.0 ** (-4 * h / p) for h in range(0, 2 * p, 2)]
    return torch.tensor(s[:num_heads])

# %% exercise="alibi_slopes" wrong="formula_for_any_number"
"""2^(-8h/H) is used also when H is no power of two; published weights with 12 or 112 heads expect other slopes.

For H = 12 the text above takes P = 8: write down those eight slopes first. Which four are added?
"""
def alibi_slopes(num_heads):
    return torch.tensor([2.0 ** (-8 * h / num_heads) for h in range(1, num_heads + 1)])

# %% exercise="alibi_slopes" wrong="steps_of_one_half"
"""The ratio is always 1/2, as it is for 8 heads.

Which slope is the last one for 16 heads?
"""
def alibi_slopes(num_heads):
    return torch.tensor([2.0 ** -h for h in range(1, num_heads + 1)])

# %% exercise="alibi_slopes" wrong="smallest_first"
"""The slopes stand in the opposite order.

Which head has the largest slope in the paper?
"""
def alibi_slopes(num_heads):
    p = 1 << (num_heads.bit_length() - 1)
    s = [2.0 ** (-8 * h / p) for h in range(1, p + 1)]
    s += [2.0 ** (-4 * h / p) for h in range(1, 2 * p, 2)][: num_heads - p]
    return torch.tensor(s[::-1])

# %% exercise="alibi_bias" wrong="far_keys_favoured"
"""The sign is positive: far keys are favoured.

Give all keys the same score: which one gets the most attention under your bias?
"""
def alibi_bias(num_heads, n_queries, n_keys):
    p = torch.arange(n_keys)
    d = p[n_keys - n_queries:, None] - p
    return (alibi_slopes(num_heads)[:, None, None] * d).masked_fill(d < 0, -math.inf)

# %% exercise="alibi_bias" wrong="future_not_hidden"
"""Keys after the query are not hidden, and they even get a bonus.

What should stand at query 0, key 1?
"""
def alibi_bias(num_heads, n_queries, n_keys):
    p = torch.arange(n_keys)
    return -alibi_slopes(num_heads)[:, None, None] * (p[n_keys - n_queries:, None] - p)

# %% exercise="alibi_bias" wrong="distance_both_ways"
"""The distance is taken without its sign and the future is open: that is the bias of an encoder.

Which keys may a causal query read?
"""
def alibi_bias(num_heads, n_queries, n_keys):
    p = torch.arange(n_keys)
    return -alibi_slopes(num_heads)[:, None, None] * (p[n_keys - n_queries:, None] - p).abs()

# %% exercise="alibi_bias" wrong="queries_start_at_zero"
"""With fewer queries than keys the queries are numbered from 0, as if they were the first positions.

Which position is the one query of alibi_bias(H, 1, 7)?
"""
def alibi_bias(num_heads, n_queries, n_keys):
    d = torch.arange(n_queries)[:, None] - torch.arange(n_keys)
    return (-alibi_slopes(num_heads)[:, None, None] * d).masked_fill(d < 0, -math.inf)

# %% exercise="alibi_bias" wrong="one_slope_for_all"
"""All heads have the first head's slope.

alibi_slopes gives one number for each head. Along which axis of the result do they belong?
"""
def alibi_bias(num_heads, n_queries, n_keys):
    p = torch.arange(n_keys)
    d = p[n_keys - n_queries:, None] - p
    return (-alibi_slopes(num_heads)[0] * d).masked_fill(d < 0, -math.inf).expand(num_heads, -1, -1).clone()

# %% exercise="alibi_bias" wrong="penalty_by_key_position"
"""The bias is slope times key position, without the distance: the same inside a softmax, but not what is asked.

What should stand on the diagonal?
"""
def alibi_bias(num_heads, n_queries, n_keys):
    p = torch.arange(n_keys)
    d = p[n_keys - n_queries:, None] - p
    return (alibi_slopes(num_heads)[:, None, None] * p.expand_as(d)).masked_fill(d < 0, -math.inf)

# %% exercise="position_interpolation" wrong="stretched"
"""The positions are stretched: the factor is upside down.

Where should the last position of the long text land?
"""
def position_interpolation(positions, train_length, length):
    return positions.float() * max(1.0, length / train_length)

# %% exercise="position_interpolation" wrong="short_texts_stretched_too"
"""A text shorter than in training is stretched; it should stay as it is.

What is the largest factor that is allowed?
"""
def position_interpolation(positions, train_length, length):
    return positions.float() * train_length / length

# %% exercise="position_interpolation" wrong="rounded_to_whole_positions"
"""The squeezed positions are rounded, so neighbours fall onto the same place.

Does a rotation need whole numbers?
"""
def position_interpolation(positions, train_length, length):
    return (positions.float() * min(1.0, train_length / length)).floor()

# %% exercise="position_interpolation" wrong="positions_cut_off"
"""Positions beyond the trained length are cut off: all of them stand at the same place.

Which position should the last token of a text of twice the length get, and which the one before it?
"""
def position_interpolation(positions, train_length, length):
    return positions.clamp(max=train_length - 1).float()

# %% exercise="ntk_scaled_base" wrong="base_times_scale"
"""The base is multiplied by the scale itself, so the slowest pair is squeezed a little too little.

With exponent d / (d - 2) the slowest frequency becomes exactly 1/scale of what it was. Yours?
"""
def ntk_scaled_base(base, scale, d):
    return base * scale

# %% exercise="ntk_scaled_base" wrong="exponent_upside_down"
"""The exponent is (d - 2) / d.

Which exponent turns (d - 2) / d of the slowest pair into 1?
"""
def ntk_scaled_base(base, scale, d):
    return base * scale ** ((d - 2) / d)

# %% exercise="ntk_scaled_base" wrong="base_scaled_too"
"""The base is inside the power.

base * s^(d / (d - 2)): what is raised?
"""
def ntk_scaled_base(base, scale, d):
    return (base * scale) ** (d / (d - 2))

# %% exercise="ntk_scaled_base" wrong="base_divided"
"""The base becomes smaller, so everything turns faster.

Should the slowest pair turn slower or faster in a longer text?
"""
def ntk_scaled_base(base, scale, d):
    return base / scale ** (d / (d - 2))

# %% exercise="extrapolation_finding" wrong="rope_extrapolates"
"""RoPE is named best at 512; the table says otherwise, although it is often repeated.

Which median is the smallest in the column of 512?
"""
extrapolation_finding = {"best_at_64": "rope", "best_at_512": "rope", "rope_rises": 0.6, "alibi_rises": 0.0,
                         "beats_none": ["alibi"]}

# %% exercise="extrapolation_finding" wrong="alibi_best_everywhere"
"""ALiBi holds best, but within the trained length another arm has the lower loss.

Which median is the smallest in windows of 64?
"""
extrapolation_finding = {"best_at_64": "alibi", "best_at_512": "alibi", "rope_rises": 0.6, "alibi_rises": 0.0,
                         "beats_none": ["alibi"]}

# %% exercise="extrapolation_finding" wrong="losses_instead_of_rises"
"""These are losses at 512, not how much they rise from 64 to 512.

The last column has the differences.
"""
extrapolation_finding = {"best_at_64": "rope", "best_at_512": "alibi", "rope_rises": 2.7, "alibi_rises": 2.3,
                         "beats_none": ["alibi"]}

# %% exercise="extrapolation_finding" wrong="any_positions_beat_none"
"""Arms are listed that lie above "none" at 512, or less than 0.1 below it.

Take 0.1 from the median of "none" in the column of 512. Who is below that?
"""
extrapolation_finding = {"best_at_64": "rope", "best_at_512": "alibi", "rope_rises": 0.6, "alibi_rises": 0.0,
                         "beats_none": ["normalised", "sinusoidal", "rope", "alibi"]}

# %% exercise="repaired_choice" wrong="as_published"
"""This is the published version: printable stand-ins are compared, and a space counts as greater than any letter.

What would max() do with the byte strings themselves?
"""
def repaired_choice(counts):
    def shown(token):
        return "".join(PRINTABLE[b] for b in token)

    return max(counts, key=lambda p: (counts[p], (shown(p[0]), shown(p[1]))))

# %% exercise="repaired_choice" wrong="first_of_the_most_frequent"
"""On a tie the pair that was counted first wins.

max() takes the first of equals. What must be in its key?
"""
def repaired_choice(counts):
    return max(counts, key=counts.get)

# %% exercise="repaired_choice" wrong="frequency_forgotten"
"""The greatest pair wins, however rare it is.

What comes first: how often, or how great?
"""
def repaired_choice(counts):
    return max(counts)

# %% exercise="repaired_choice" wrong="joined_bytes_compared"
"""The joined bytes are compared, so (a, bd) wins against (ab, c); as pairs, ab is greater than a.

Compare the left tokens first.
"""
def repaired_choice(counts):
    return max(counts, key=lambda p: (counts[p], p[0] + p[1], p[0]))

# %% exercise="repaired_rotations" wrong="as_published"
"""This is the published version: positions are numbered in the low precision already.

Which whole numbers between 256 and 512 can bfloat16 hold?
"""
def repaired_rotations(length, d, dtype, base=10000.0):
    t = torch.arange(length).to(dtype)
    f = 1.0 / base ** (torch.arange(0, d, 2).to(dtype) / d)
    a = torch.outer(t, f.to(dtype))
    return a.cos(), a.sin()

# %% exercise="repaired_rotations" wrong="angles_rounded"
"""Positions are exact now, but their products with the frequencies are rounded before the cosine is taken.

By how much may an angle near 400 be wrong after rounding to bfloat16?
"""
def repaired_rotations(length, d, dtype, base=10000.0):
    a = torch.outer(torch.arange(length).double(), base ** (-torch.arange(0, d, 2).double() / d)).to(dtype)
    return a.cos(), a.sin()

# %% exercise="repaired_rotations" wrong="frequencies_rounded"
"""The frequencies are still rounded to the low precision, and every position multiplies that error.

Which numbers are multiplied by a position of several hundred?
"""
def repaired_rotations(length, d, dtype, base=10000.0):
    f = (base ** (-torch.arange(0, d, 2).double() / d)).to(dtype).double()
    a = torch.outer(torch.arange(length).double(), f)
    return a.cos().to(dtype), a.sin().to(dtype)

# %% exercise="repaired_rotations" wrong="result_left_in_float64"
"""The angles are exact, but the result keeps the wide dtype.

Which dtype was asked for? Convert at the end.
"""
def repaired_rotations(length, d, dtype, base=10000.0):
    a = torch.outer(torch.arange(length).double(), base ** (-torch.arange(0, d, 2).double() / d))
    return a.cos(), a.sin()

# %% exercise="repaired_rotations" wrong="base_ignored"
"""The base is always 10000.

Does your function use its last argument?
"""
def repaired_rotations(length, d, dtype, base=10000.0):
    a = torch.outer(torch.arange(length).double(), 10000.0 ** (-torch.arange(0, d, 2).double() / d))
    return a.cos().to(dtype), a.sin().to(dtype)
