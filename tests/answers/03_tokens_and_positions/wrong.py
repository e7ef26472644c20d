"""Wrong answers to unit 03 by readers who saw the released notebook only: tests/test_readers.py judges them."""

# %% exercise="bpe_merge" wrong="changes_its_input"
"""Changes the list it was given."""
def bpe_merge(tokens: list, pair: tuple, merged) -> list:
    i = 0
    while i < len(tokens) - 1:
        if tokens[i] == pair[0] and tokens[i + 1] == pair[1]:
            tokens[i : i + 2] = [merged]
        i += 1
    return tokens

# %% exercise="bpe_merge" wrong="stack_cascades"
"""A stack: the merged token can merge again with its neighbour when it equals the left one."""
def bpe_merge(tokens: list, pair: tuple, merged) -> list:
    out = []
    for t in tokens:
        if out and (out[-1], t) == pair:
            out[-1] = merged
        else:
            out.append(t)
    return out

# %% exercise="bpe_merge" wrong="until_nothing_is_left"
"""Repeats until no pair is left: differs when the merged token takes part in the pair again."""
def bpe_merge(tokens: list, pair: tuple, merged) -> list:
    tokens = list(tokens)
    i = 0
    while i < len(tokens) - 1:
        if (tokens[i], tokens[i + 1]) == pair:
            tokens[i : i + 2] = [merged]
            i = max(i - 1, 0)
        else:
            i += 1
    return tokens

# %% exercise="bpe_encode" wrong="one_pass_over_merges"
"""Each merge is tried once, in order: a pair that appears only after a later merge is missed."""
def bpe_encode(text: str, merges, specials=()) -> list[int]:
    vocab = vocabulary(merges, specials)
    n = len(vocab) - len(specials)
    inverse = {vocab[i]: i for i in range(n)}

    def plain(chunk):
        out = []
        for piece in pretokenize(chunk):
            t = [bytes([b]) for b in piece.encode()]
            for left, right in merges:
                t = bpe_merge(t, (left, right), left + right)
            out += [inverse[x] for x in t]
        return out

    parts = [text] if not specials else re.split("(" + "|".join(map(re.escape, sorted(specials, key=len)[::-1])) + ")", text)
    result = []
    for p in parts:
        result += [n + specials.index(p)] if p in specials else plain(p)
    return result

# %% exercise="pad_batch" wrong="changes_rows"
"""Pads the lists it was given."""
def pad_batch(rows, pad_id, side="right"):
    if side not in ("left", "right"):
        raise ValueError(side)
    T = max(len(r) for r in rows)
    lengths = torch.tensor([len(r) for r in rows])[:, None]
    for r in rows:
        while len(r) < T:
            r.append(pad_id) if side == "right" else r.insert(0, pad_id)
    ids, col = torch.tensor(rows), torch.arange(T)
    mask = col < lengths if side == "right" else col >= T - lengths
    return ids, mask, (mask.cumsum(1) - 1) * mask

# %% exercise="embed" wrong="padding_idx_zero"
"""Padding_idx=0: token 0 gets no gradient."""
def embed(ids, table, one_hot=False):
    if one_hot:
        return nn.functional.one_hot(ids, len(table)).to(table.dtype) @ table
    return nn.functional.embedding(ids, table, padding_idx=0)

# %% exercise="TiedEmbedding" wrong="submodule_names"
"""Tied, but the state dict holds emb.weight and head.weight."""
class TiedEmbedding(nn.Module):
    def __init__(self, vocab_size, d_model):
        super().__init__()
        self.emb = nn.Embedding(vocab_size, d_model)
        self.head = nn.Linear(d_model, vocab_size, bias=False)
        self.head.weight = self.emb.weight
        self.d_model = d_model

    def embed(self, ids):
        return self.emb(ids) * math.sqrt(self.d_model)

    def logits(self, states):
        return self.head(states)

# %% exercise="TiedEmbedding" wrong="bias"
"""A bias at the output."""
class TiedEmbedding(nn.Module):
    def __init__(self, vocab_size, d_model):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(vocab_size, d_model))
        self.bias = nn.Parameter(torch.zeros(vocab_size))

    def embed(self, ids):
        return self.weight[ids] * math.sqrt(self.weight.shape[1])

    def logits(self, states):
        return states @ self.weight.T + self.bias

# %% exercise="TiedEmbedding" wrong="plain_tensor"
"""The weight is a tensor with requires_grad, not a parameter: missing in the state dict."""
class TiedEmbedding(nn.Module):
    def __init__(self, vocab_size, d_model):
        super().__init__()
        self.weight = torch.randn(vocab_size, d_model, requires_grad=True)

    def embed(self, ids):
        return self.weight[ids] * math.sqrt(self.weight.shape[1])

    def logits(self, states):
        return states @ self.weight.T

# %% exercise="TiedEmbedding" wrong="transposed_weight"
"""The weight is (D, V), as the output layer would like it."""
class TiedEmbedding(nn.Module):
    def __init__(self, vocab_size, d_model):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(d_model, vocab_size))
        self.d = d_model

    def embed(self, ids):
        return self.weight.T[ids] * math.sqrt(self.d)

    def logits(self, states):
        return states @ self.weight

# %% exercise="apply_rope" wrong="contiguous_only"
""".view: fails for transposed heads."""
def apply_rope(x, positions, pairing="interleaved", base=10000.0):
    if pairing not in ("interleaved", "half"):
        raise ValueError(pairing)
    d = x.shape[-1]
    ang = positions.double()[:, None] * base ** (-torch.arange(0, d, 2).double() / d)
    c, s = ang.cos(), ang.sin()
    z = x.view(-1, x.shape[-2], d).double()
    a, b = (z[..., 0::2], z[..., 1::2]) if pairing == "interleaved" else z.chunk(2, -1)
    out = [a * c - b * s, a * s + b * c]
    return (torch.stack(out, -1).flatten(-2) if pairing == "interleaved" else torch.cat(out, -1)).to(x.dtype).view(x.shape)

# %% exercise="ntk_scaled_base" wrong="rounded"
"""Rounded to a whole number."""
def ntk_scaled_base(base, scale, d):
    return float(round(base * scale ** (d / (d - 2))))

# %% exercise="embedding_gather" wrong="copies_made_contiguous"
"""Table.contiguous() and ids.contiguous() first: right, but the whole table is copied."""
@triton.jit
def embedding_gather_kernel(ids_ptr, table_ptr, out_ptr, width, BLOCK: tl.constexpr):
    n = tl.program_id(0)
    row = tl.load(ids_ptr + n)
    for start in range(0, width, BLOCK):
        cols = start + tl.arange(0, BLOCK)
        values = tl.load(table_ptr + row * width + cols, mask=cols < width)
        tl.store(out_ptr + n * width + cols, values, mask=cols < width)


def embedding_gather(ids, table, block=128):
    ids, table = ids.contiguous(), table.contiguous()
    out = torch.empty(len(ids), table.shape[1], dtype=table.dtype, device=table.device)
    embedding_gather_kernel[(len(ids),)](ids, table, out, table.shape[1], BLOCK=block)
    return out

# %% exercise="embedding_gather" wrong="small_id_type"
"""The id is converted to int16 / 32-bit product: rows of a large table are out of reach."""
@triton.jit
def embedding_gather_kernel(ids_ptr, table_ptr, out_ptr, width, ids_stride, table_row, table_col, out_row, BLOCK: tl.constexpr):
    n = tl.program_id(0)
    row = tl.load(ids_ptr + n * ids_stride).to(tl.int32)
    for start in range(0, width, BLOCK):
        cols = start + tl.arange(0, BLOCK)
        values = tl.load(table_ptr + row * table_row + cols * table_col, mask=cols < width)
        tl.store(out_ptr + n * out_row + cols, values, mask=cols < width)


def embedding_gather(ids, table, block=128):
    out = torch.empty(len(ids), table.shape[1], dtype=table.dtype, device=table.device)
    embedding_gather_kernel[(len(ids),)](ids, table, out, table.shape[1], ids.stride(0), table.stride(0), table.stride(1), out.stride(0), BLOCK=block)
    return out

# %% exercise="rope_inplace" wrong="autotune_turns_twice"
"""Autotune without restore_value: on a GPU every measurement turns x once more."""
@triton.autotune(configs=[triton.Config({}, num_warps=w) for w in (1, 4)], key=["half"])
@triton.jit
def rope_inplace_kernel(x_ptr, cos_ptr, sin_ptr, length, half, x_batch, x_time, x_col, table_row, BLOCK: tl.constexpr):
    pid = tl.program_id(0)
    t = pid % length
    row = x_ptr + (pid // length) * x_batch + t * x_time
    i = tl.arange(0, BLOCK)
    m = i < half
    a = tl.load(row + i * x_col, mask=m).to(tl.float32)
    b = tl.load(row + (i + half) * x_col, mask=m).to(tl.float32)
    c = tl.load(cos_ptr + t * table_row + i, mask=m)
    s = tl.load(sin_ptr + t * table_row + i, mask=m)
    tl.store(row + i * x_col, a * c - b * s, mask=m)
    tl.store(row + (i + half) * x_col, a * s + b * c, mask=m)


def rope_inplace(x, cos, sin):
    N, T, d = x.shape
    rope_inplace_kernel[(N * T,)](x, cos, sin, T, d // 2, x.stride(0), x.stride(1), x.stride(2), cos.stride(0), BLOCK=triton.next_power_of_2(d // 2))
    return x

# %% exercise="repaired_choice" wrong="left_only"
"""On a tie the greater left token, then the first seen."""
def repaired_choice(counts):
    return max(counts, key=lambda p: (counts[p], p[0]))

# %% exercise="repaired_choice" wrong="longest_first"
"""On a tie the longer token."""
def repaired_choice(counts):
    return max(counts, key=lambda p: (counts[p], len(p[0]) + len(p[1]), p))

# %% exercise="bpe_merge" wrong="overlapping_occurrences"
"""A token is used by two occurrences: [1, 1, 1] with (1, 1) gives [merged, merged]."""
def bpe_merge(tokens: list, pair: tuple, merged) -> list:
    starts = {i for i in range(len(tokens) - 1) if (tokens[i], tokens[i + 1]) == tuple(pair)}
    out = []
    for i, token in enumerate(tokens):
        if i in starts:
            out.append(merged)
        elif i - 1 not in starts:
            out.append(token)
    return out

# %% exercise="bpe_merge" wrong="right_to_left"
"""Scans from the right, so [1, 1, 1] with (1, 1) gives [1, merged]."""
def bpe_merge(tokens: list, pair: tuple, merged) -> list:
    left, right = pair
    out = []
    i = len(tokens) - 1
    while i >= 0:
        if i > 0 and tokens[i - 1] == left and tokens[i] == right:
            out.append(merged)
            i -= 2
        else:
            out.append(tokens[i])
            i -= 1
    return out[::-1]

# %% exercise="bpe_merge" wrong="last_token_lost"
"""Stops one short and forgets what is left: [1, 2, 3] with (1, 2) loses the 3."""
def bpe_merge(tokens: list, pair: tuple, merged) -> list:
    out = []
    i = 0
    while i < len(tokens) - 1:
        if (tokens[i], tokens[i + 1]) == tuple(pair):
            out.append(merged)
            i += 2
        else:
            out.append(tokens[i])
            i += 1
    return out

# %% exercise="bpe_merge" wrong="stack_merges_again"
"""Compares with the output's last token, so a merged token is merged again when merged == left: [1, 2, 2], (1, 2), 1 gives [1]."""
def bpe_merge(tokens: list, pair: tuple, merged) -> list:
    left, right = pair
    out = []
    for token in tokens:
        if out and out[-1] == left and token == right:
            out[-1] = merged
        else:
            out.append(token)
    return out

# %% exercise="bpe_merge" wrong="changes_the_callers_list"
"""Merges inside the caller's list, which does not stay as it was."""
def bpe_merge(tokens: list, pair: tuple, merged) -> list:
    i = 0
    while i < len(tokens) - 1:
        if (tokens[i], tokens[i + 1]) == tuple(pair):
            tokens[i : i + 2] = [merged]
        i += 1
    return tokens

# %% exercise="bpe_merge" wrong="either_order"
"""Compares as sets, so [2, 1] is merged for the pair (1, 2) too."""
def bpe_merge(tokens: list, pair: tuple, merged) -> list:
    out = []
    i = 0
    while i < len(tokens):
        if i + 1 < len(tokens) and sorted(tokens[i : i + 2]) == sorted(pair):
            out.append(merged)
            i += 2
        else:
            out.append(tokens[i])
            i += 1
    return out

# %% exercise="bpe_merge" wrong="first_occurrence_only"
"""Only the first occurrence is replaced: [1, 2, 1, 2] gives [merged, 1, 2]."""
def bpe_merge(tokens: list, pair: tuple, merged) -> list:
    for i in range(len(tokens) - 1):
        if tuple(tokens[i : i + 2]) == tuple(pair):
            return tokens[:i] + [merged] + tokens[i + 2 :]
    return list(tokens)

# %% exercise="bpe_train" wrong="smaller_pair_wins"
"""On a tie the smaller pair wins."""
def bpe_train(text: str, num_merges: int) -> list[tuple[bytes, bytes]]:
    pieces = Counter(pretokenize(text))
    words = {piece: [bytes([b]) for b in piece.encode("utf-8")] for piece in pieces}
    merges = []
    while len(merges) < num_merges:
        counts = Counter()
        for piece, tokens in words.items():
            for pair in zip(tokens, tokens[1:]):
                counts[pair] += pieces[piece]
        if not counts:
            break
        best = min(counts, key=lambda pair: (-counts[pair], pair))
        merges.append(best)
        words = {piece: bpe_merge(tokens, best, best[0] + best[1]) for piece, tokens in words.items()}
    return merges

# %% exercise="bpe_train" wrong="first_seen_wins"
"""Counter.most_common: on a tie the pair that was seen first wins."""
def bpe_train(text: str, num_merges: int) -> list[tuple[bytes, bytes]]:
    pieces = Counter(pretokenize(text))
    words = {piece: [bytes([b]) for b in piece.encode("utf-8")] for piece in pieces}
    merges = []
    while len(merges) < num_merges:
        counts = Counter()
        for piece, tokens in words.items():
            for pair in zip(tokens, tokens[1:]):
                counts[pair] += pieces[piece]
        if not counts:
            break
        best = counts.most_common(1)[0][0]
        merges.append(best)
        words = {piece: bpe_merge(tokens, best, best[0] + best[1]) for piece, tokens in words.items()}
    return merges

# %% exercise="bpe_train" wrong="tie_by_joined_bytes"
"""On a tie compares left + right and not the pair: (b"ab", b"a") loses against (b"a", b"c")."""
def bpe_train(text: str, num_merges: int) -> list[tuple[bytes, bytes]]:
    pieces = Counter(pretokenize(text))
    words = {piece: [bytes([b]) for b in piece.encode("utf-8")] for piece in pieces}
    merges = []
    while len(merges) < num_merges:
        counts = Counter()
        for piece, tokens in words.items():
            for pair in zip(tokens, tokens[1:]):
                counts[pair] += pieces[piece]
        if not counts:
            break
        best = max(counts, key=lambda pair: (counts[pair], pair[0] + pair[1]))
        merges.append(best)
        words = {piece: bpe_merge(tokens, best, best[0] + best[1]) for piece, tokens in words.items()}
    return merges

# %% exercise="bpe_train" wrong="distinct_pieces_count_once"
"""Counts each distinct piece once and forgets how often it occurs."""
def bpe_train(text: str, num_merges: int) -> list[tuple[bytes, bytes]]:
    words = [[bytes([b]) for b in piece.encode("utf-8")] for piece in dict.fromkeys(pretokenize(text))]
    merges = []
    for _ in range(num_merges):
        counts = Counter(pair for tokens in words for pair in zip(tokens, tokens[1:]))
        if not counts:
            break
        best = max(counts, key=lambda pair: (counts[pair], pair))
        merges.append(best)
        words = [bpe_merge(tokens, best, best[0] + best[1]) for tokens in words]
    return merges

# %% exercise="bpe_train" wrong="no_pieces"
"""Does not cut the text into pieces: merges cross words and spaces."""
def bpe_train(text: str, num_merges: int) -> list[tuple[bytes, bytes]]:
    tokens = [bytes([b]) for b in text.encode("utf-8")]
    merges = []
    for _ in range(num_merges):
        counts = Counter(zip(tokens, tokens[1:]))
        if not counts:
            break
        best = max(counts, key=lambda pair: (counts[pair], pair))
        merges.append(best)
        tokens = bpe_merge(tokens, best, best[0] + best[1])
    return merges

# %% exercise="bpe_train" wrong="overlaps_count_once"
"""Counts occurrences that can be merged, so [1, 1, 1] counts (1, 1) once and not twice."""
def bpe_train(text: str, num_merges: int) -> list[tuple[bytes, bytes]]:
    pieces = Counter(pretokenize(text))
    words = {piece: [bytes([b]) for b in piece.encode("utf-8")] for piece in pieces}
    merges = []
    while len(merges) < num_merges:
        counts = Counter()
        for piece, tokens in words.items():
            last = {}
            for i, pair in enumerate(zip(tokens, tokens[1:])):
                if last.get(pair) == i - 1:
                    continue
                last[pair] = i
                counts[pair] += pieces[piece]
        if not counts:
            break
        best = max(counts, key=lambda pair: (counts[pair], pair))
        merges.append(best)
        words = {piece: bpe_merge(tokens, best, best[0] + best[1]) for piece, tokens in words.items()}
    return merges

# %% exercise="bpe_train" wrong="stops_at_single_pairs"
"""Stops when the best pair occurs only once, although pairs of neighbours are left."""
def bpe_train(text: str, num_merges: int) -> list[tuple[bytes, bytes]]:
    pieces = Counter(pretokenize(text))
    words = {piece: [bytes([b]) for b in piece.encode("utf-8")] for piece in pieces}
    merges = []
    while len(merges) < num_merges:
        counts = Counter()
        for piece, tokens in words.items():
            for pair in zip(tokens, tokens[1:]):
                counts[pair] += pieces[piece]
        if not counts:
            break
        best = max(counts, key=lambda pair: (counts[pair], pair))
        if counts[best] < 2:
            break
        merges.append(best)
        words = {piece: bpe_merge(tokens, best, best[0] + best[1]) for piece, tokens in words.items()}
    return merges

# %% exercise="bpe_train" wrong="starts_from_characters"
"""Starts from characters and not from bytes: in non-ASCII text no merge joins the bytes of one character."""
def bpe_train(text: str, num_merges: int) -> list[tuple[bytes, bytes]]:
    pieces = Counter(pretokenize(text))
    words = {piece: [char.encode("utf-8") for char in piece] for piece in pieces}
    merges = []
    while len(merges) < num_merges:
        counts = Counter()
        for piece, tokens in words.items():
            for pair in zip(tokens, tokens[1:]):
                counts[pair] += pieces[piece]
        if not counts:
            break
        best = max(counts, key=lambda pair: (counts[pair], pair))
        merges.append(best)
        words = {piece: bpe_merge(tokens, best, best[0] + best[1]) for piece, tokens in words.items()}
    return merges

# %% exercise="bpe_encode" wrong="one_pass_over_the_merges"
"""Goes through the list of merges once, so a pair that a later merge makes for an earlier one stays: [(ab, c), (a, b)] on "abc"."""
def bpe_encode(text: str, merges: list[tuple[bytes, bytes]], specials: tuple[str, ...] = ()) -> list[int]:
    table = vocabulary(merges, specials)
    number = {}
    for i in range(len(table) - len(specials)):
        number[table[i]] = i
    special_ids = {word: len(table) - len(specials) + i for i, word in enumerate(specials)}
    parts = [text]
    if specials:
        parts = re.split("(" + "|".join(re.escape(s) for s in sorted(specials, key=len, reverse=True)) + ")", text)
    ids = []
    for part in parts:
        if part in special_ids:
            ids.append(special_ids[part])
            continue
        for piece in pretokenize(part):
            tokens = [bytes([b]) for b in piece.encode("utf-8")]
            for left, right in merges:
                tokens = bpe_merge(tokens, (left, right), left + right)
            ids += [number[token] for token in tokens]
    return ids

# %% exercise="bpe_encode" wrong="first_pair_in_the_text"
"""Merges the first pair that shows up in the text and not the one learned first: bc, ab on "abc" gives ab, c."""
def bpe_encode(text: str, merges: list[tuple[bytes, bytes]], specials: tuple[str, ...] = ()) -> list[int]:
    table = vocabulary(merges, specials)
    plain = len(table) - len(specials)
    number = {table[i]: i for i in range(plain)}
    special_ids = {word: plain + i for i, word in enumerate(specials)}
    known = set(merges)
    parts = [text]
    if specials:
        parts = re.split("(" + "|".join(re.escape(s) for s in sorted(specials, key=len, reverse=True)) + ")", text)
    ids = []
    for part in parts:
        if part in special_ids:
            ids.append(special_ids[part])
            continue
        for piece in pretokenize(part):
            tokens = [bytes([b]) for b in piece.encode("utf-8")]
            while True:
                pair = next((p for p in zip(tokens, tokens[1:]) if p in known), None)
                if pair is None:
                    break
                tokens = bpe_merge(tokens, pair, pair[0] + pair[1])
            ids += [number[token] for token in tokens]
    return ids

# %% exercise="bpe_encode" wrong="longest_token_greedily"
"""Takes the longest vocabulary entry from the left (as WordPiece does) and not the merges in order."""
def bpe_encode(text: str, merges: list[tuple[bytes, bytes]], specials: tuple[str, ...] = ()) -> list[int]:
    table = vocabulary(merges, specials)
    plain = len(table) - len(specials)
    number = {table[i]: i for i in range(plain)}
    longest = max(len(token) for token in number)
    special_ids = {word: plain + i for i, word in enumerate(specials)}
    parts = [text]
    if specials:
        parts = re.split("(" + "|".join(re.escape(s) for s in sorted(specials, key=len, reverse=True)) + ")", text)
    ids = []
    for part in parts:
        if part in special_ids:
            ids.append(special_ids[part])
            continue
        for piece in pretokenize(part):
            raw, start = piece.encode("utf-8"), 0
            while start < len(raw):
                size = next(n for n in range(longest, 0, -1) if raw[start : start + n] in number)
                chunk = raw[start : start + size]
                ids.append(number[chunk])
                start += len(chunk)
    return ids

# %% exercise="bpe_encode" wrong="specials_in_given_order"
"""The specials are tried in the order given: a short one that is the start of a longer one wins."""
def bpe_encode(text: str, merges: list[tuple[bytes, bytes]], specials: tuple[str, ...] = ()) -> list[int]:
    table = vocabulary(merges, specials)
    plain = len(table) - len(specials)
    number = {table[i]: i for i in range(plain)}
    special_ids = {word: plain + i for i, word in enumerate(specials)}
    rank = {pair: i for i, pair in enumerate(merges)}
    parts = [text]
    if specials:
        parts = re.split("(" + "|".join(map(re.escape, specials)) + ")", text)
    ids = []
    for part in parts:
        if part in special_ids:
            ids.append(special_ids[part])
            continue
        for piece in pretokenize(part):
            tokens = [bytes([b]) for b in piece.encode("utf-8")]
            while True:
                found = [pair for pair in zip(tokens, tokens[1:]) if pair in rank]
                if not found:
                    break
                pair = min(found, key=rank.get)
                tokens = bpe_merge(tokens, pair, pair[0] + pair[1])
            ids += [number[token] for token in tokens]
    return ids

# %% exercise="bpe_encode" wrong="id_is_256_plus_rank"
"""The id is 256 + rank: off by one after a merge whose result was a token already."""
def bpe_encode(text: str, merges: list[tuple[bytes, bytes]], specials: tuple[str, ...] = ()) -> list[int]:
    number = {bytes([b]): b for b in range(256)}
    for i, (left, right) in enumerate(merges):
        number.setdefault(left + right, 256 + i)
    plain = len(vocabulary(merges))
    special_ids = {word: plain + i for i, word in enumerate(specials)}
    rank = {pair: i for i, pair in enumerate(merges)}
    parts = [text]
    if specials:
        parts = re.split("(" + "|".join(re.escape(s) for s in sorted(specials, key=len, reverse=True)) + ")", text)
    ids = []
    for part in parts:
        if part in special_ids:
            ids.append(special_ids[part])
            continue
        for piece in pretokenize(part):
            tokens = [bytes([b]) for b in piece.encode("utf-8")]
            while True:
                found = [pair for pair in zip(tokens, tokens[1:]) if pair in rank]
                if not found:
                    break
                pair = min(found, key=rank.get)
                tokens = bpe_merge(tokens, pair, pair[0] + pair[1])
            ids += [number[token] for token in tokens]
    return ids

# %% exercise="bpe_encode" wrong="one_occurrence_at_a_time"
"""Merges only the first occurrence of the best pair and then looks again: [(ab, a), (a, b)] on "abab" gives aba, b."""
def bpe_encode(text: str, merges: list[tuple[bytes, bytes]], specials: tuple[str, ...] = ()) -> list[int]:
    table = vocabulary(merges, specials)
    plain = len(table) - len(specials)
    number = {table[i]: i for i in range(plain)}
    special_ids = {word: plain + i for i, word in enumerate(specials)}
    rank = {pair: i for i, pair in enumerate(merges)}
    parts = [text]
    if specials:
        parts = re.split("(" + "|".join(re.escape(s) for s in sorted(specials, key=len, reverse=True)) + ")", text)
    ids = []
    for part in parts:
        if part in special_ids:
            ids.append(special_ids[part])
            continue
        for piece in pretokenize(part):
            tokens = [bytes([b]) for b in piece.encode("utf-8")]
            while len(tokens) > 1:
                best = min(range(len(tokens) - 1), key=lambda i: rank.get((tokens[i], tokens[i + 1]), len(rank)))
                if (tokens[best], tokens[best + 1]) not in rank:
                    break
                tokens[best : best + 2] = [tokens[best] + tokens[best + 1]]
            ids += [number[token] for token in tokens]
    return ids

# %% exercise="bpe_encode" wrong="specials_not_escaped"
"""The specials go into the pattern as they are: "<|end|>" is read as three alternatives."""
def bpe_encode(text: str, merges: list[tuple[bytes, bytes]], specials: tuple[str, ...] = ()) -> list[int]:
    table = vocabulary(merges, specials)
    plain = len(table) - len(specials)
    number = {table[i]: i for i in range(plain)}
    special_ids = {word: plain + i for i, word in enumerate(specials)}
    rank = {pair: i for i, pair in enumerate(merges)}
    parts = [text]
    if specials:
        parts = re.split("(" + "|".join(sorted(specials, key=len, reverse=True)) + ")", text)
    ids = []
    for part in parts:
        if part in special_ids:
            ids.append(special_ids[part])
            continue
        for piece in pretokenize(part or ""):
            tokens = [bytes([b]) for b in piece.encode("utf-8")]
            while True:
                found = [pair for pair in zip(tokens, tokens[1:]) if pair in rank]
                if not found:
                    break
                pair = min(found, key=rank.get)
                tokens = bpe_merge(tokens, pair, pair[0] + pair[1])
            ids += [number[token] for token in tokens]
    return ids

# %% exercise="bpe_encode" wrong="merges_cross_pieces"
"""Does not cut ordinary text into pieces: a merge such as (b"a", b" ") or (b"1", b"a") crosses them."""
def bpe_encode(text: str, merges: list[tuple[bytes, bytes]], specials: tuple[str, ...] = ()) -> list[int]:
    table = vocabulary(merges, specials)
    plain = len(table) - len(specials)
    number = {table[i]: i for i in range(plain)}
    special_ids = {word: plain + i for i, word in enumerate(specials)}
    rank = {pair: i for i, pair in enumerate(merges)}
    parts = [text]
    if specials:
        parts = re.split("(" + "|".join(re.escape(s) for s in sorted(specials, key=len, reverse=True)) + ")", text)
    ids = []
    for part in parts:
        if part in special_ids:
            ids.append(special_ids[part])
            continue
        tokens = [bytes([b]) for b in part.encode("utf-8")]
        while True:
            found = [pair for pair in zip(tokens, tokens[1:]) if pair in rank]
            if not found:
                break
            pair = min(found, key=rank.get)
            tokens = bpe_merge(tokens, pair, pair[0] + pair[1])
        ids += [number[token] for token in tokens]
    return ids

# %% exercise="bpe_decode" wrong="token_by_token"
"""Decodes each token on its own: a character spread over several tokens becomes U+FFFD."""
def bpe_decode(ids: list[int], merges: list[tuple[bytes, bytes]], specials: tuple[str, ...] = ()) -> str:
    table = vocabulary(merges, specials)
    return "".join(table[i].decode("utf-8", errors="replace") for i in ids)

# %% exercise="bpe_decode" wrong="drops_bad_bytes"
"""errors="ignore": bytes that are no UTF-8 vanish and do not become U+FFFD."""
def bpe_decode(ids: list[int], merges: list[tuple[bytes, bytes]], specials: tuple[str, ...] = ()) -> str:
    table = vocabulary(merges, specials)
    return b"".join(table[i] for i in ids).decode("utf-8", errors="ignore")

# %% exercise="bpe_decode" wrong="strict"
"""Raises UnicodeDecodeError on bytes that are no UTF-8."""
def bpe_decode(ids: list[int], merges: list[tuple[bytes, bytes]], specials: tuple[str, ...] = ()) -> str:
    table = vocabulary(merges, specials)
    return b"".join(map(table.__getitem__, ids)).decode()

# %% exercise="bpe_decode" wrong="one_id_for_each_merge"
"""Gives every merge an id: wrong after a merge whose result was a token already."""
def bpe_decode(ids: list[int], merges: list[tuple[bytes, bytes]], specials: tuple[str, ...] = ()) -> str:
    table = [bytes([b]) for b in range(256)]
    table += [left + right for left, right in merges]
    table += [word.encode() for word in specials]
    return b"".join(table[i] for i in ids).decode("utf-8", errors="replace")

# %% exercise="bpe_decode" wrong="skips_specials"
"""Leaves the special tokens out of the text, as skip_special_tokens=True does."""
def bpe_decode(ids: list[int], merges: list[tuple[bytes, bytes]], specials: tuple[str, ...] = ()) -> str:
    table = vocabulary(merges)
    return b"".join(table.get(i, b"") for i in ids).decode("utf-8", errors="replace")

# %% exercise="bpe_decode" wrong="latin_1"
"""Decodes the bytes as Latin-1: every character beyond ASCII comes out as two or more others."""
def bpe_decode(ids: list[int], merges: list[tuple[bytes, bytes]], specials: tuple[str, ...] = ()) -> str:
    table = vocabulary(merges, specials)
    return b"".join(table[i] for i in ids).decode("latin-1")

# %% exercise="language_finding" wrong="cheapest_besides_english"
"""Leaves English out of the question for the cheapest."""
language_finding = {"cheapest": "es", "dearest": "hi", "times": 3.6}

# %% exercise="language_finding" wrong="greek_is_dearest"
"""Takes Greek for the dearest, where Hindi has the largest median."""
language_finding = {"cheapest": "en", "dearest": "el", "times": 3.6}

# %% exercise="language_finding" wrong="times_more"
"""Says by how many times more (3.6 - 1), and the question was how many times as many."""
language_finding = {"cheapest": "en", "dearest": "hi", "times": 2.6}

# %% exercise="language_finding" wrong="number_of_another_row"
"""The number of the Russian row."""
language_finding = {"cheapest": "en", "dearest": "hi", "times": 2.9}

# %% exercise="language_finding" wrong="names_and_not_codes"
"""Names of languages where locale codes are asked."""
language_finding = {"cheapest": "English", "dearest": "Hindi", "times": 3.6}

# %% exercise="language_finding" wrong="inverse"
"""English in units of Hindi: the reciprocal."""
language_finding = {"cheapest": "en", "dearest": "hi", "times": 0.3}

# %% exercise="pad_batch" wrong="positions_are_indices"
"""With padding on the left the positions are the column indices and do not start at 0."""
def pad_batch(rows: list[list[int]], pad_id: int, side: str = "right") -> tuple[Tensor, Tensor, Tensor]:
    if side not in ("right", "left"):
        raise ValueError(f"side must be right or left, not {side!r}")
    width = max(map(len, rows))
    ids = torch.full((len(rows), width), pad_id, dtype=torch.int64)
    mask = torch.zeros(len(rows), width, dtype=torch.bool)
    for i, row in enumerate(rows):
        where = slice(0, len(row)) if side == "right" else slice(width - len(row), width)
        ids[i, where] = torch.tensor(row)
        mask[i, where] = True
    positions = torch.arange(width).expand(len(rows), width) * mask
    return ids, mask, positions

# %% exercise="pad_batch" wrong="mask_from_pad_id"
"""mask = ids != pad_id: a real token with the padding's id counts as padding."""
def pad_batch(rows: list[list[int]], pad_id: int, side: str = "right") -> tuple[Tensor, Tensor, Tensor]:
    if side not in ("right", "left"):
        raise ValueError(side)
    width = max(len(row) for row in rows)
    if side == "right":
        ids = torch.tensor([list(row) + [pad_id] * (width - len(row)) for row in rows])
    else:
        ids = torch.tensor([[pad_id] * (width - len(row)) + list(row) for row in rows])
    mask = ids != pad_id
    positions = (mask.cumsum(1) - 1).masked_fill(~mask, 0)
    return ids, mask, positions

# %% exercise="pad_batch" wrong="padding_gets_last_position"
"""Clamps at 0 and does not mask: padding on the right gets the position of the last token."""
def pad_batch(rows: list[list[int]], pad_id: int, side: str = "right") -> tuple[Tensor, Tensor, Tensor]:
    if side not in ("right", "left"):
        raise ValueError(side)
    width = max(len(row) for row in rows)
    ids = torch.full((len(rows), width), pad_id)
    mask = torch.zeros(len(rows), width, dtype=torch.bool)
    for i, row in enumerate(rows):
        start = 0 if side == "right" else width - len(row)
        ids[i, start : start + len(row)] = torch.tensor(row)
        mask[i, start : start + len(row)] = True
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    return ids, mask, positions

# %% exercise="pad_batch" wrong="padding_at_position_one"
"""As in transformers: masked_fill with 1, where 0 is asked on padding."""
def pad_batch(rows: list[list[int]], pad_id: int, side: str = "right") -> tuple[Tensor, Tensor, Tensor]:
    if side not in ("right", "left"):
        raise ValueError(side)
    width = max(len(row) for row in rows)
    ids = torch.full((len(rows), width), pad_id)
    mask = torch.zeros(len(rows), width, dtype=torch.bool)
    for i, row in enumerate(rows):
        start = 0 if side == "right" else width - len(row)
        ids[i, start : start + len(row)] = torch.tensor(row)
        mask[i, start : start + len(row)] = True
    positions = mask.long().cumsum(-1) - 1
    positions.masked_fill_(~mask, 1)
    return ids, mask, positions

# %% exercise="pad_batch" wrong="any_other_side_is_left"
"""Every side that is not "right" is taken for "left"; no ValueError."""
def pad_batch(rows: list[list[int]], pad_id: int, side: str = "right") -> tuple[Tensor, Tensor, Tensor]:
    width = max(len(row) for row in rows)
    ids = torch.full((len(rows), width), pad_id)
    mask = torch.zeros(len(rows), width, dtype=torch.bool)
    for i, row in enumerate(rows):
        start = 0 if side == "right" else width - len(row)
        ids[i, start : start + len(row)] = torch.tensor(row)
        mask[i, start : start + len(row)] = True
    return ids, mask, (mask.cumsum(1) - 1) * mask

# %% exercise="pad_batch" wrong="error_only_when_padding_is_needed"
"""Looks at the side only where a row is short: rows of equal length with side="middle" give no ValueError."""
def pad_batch(rows: list[list[int]], pad_id: int, side: str = "right") -> tuple[Tensor, Tensor, Tensor]:
    width = max(len(row) for row in rows)
    ids, mask = [], []
    for row in rows:
        gap = width - len(row)
        if gap == 0:
            ids.append(list(row))
            mask.append([True] * width)
        elif side == "right":
            ids.append(list(row) + [pad_id] * gap)
            mask.append([True] * len(row) + [False] * gap)
        elif side == "left":
            ids.append([pad_id] * gap + list(row))
            mask.append([False] * gap + [True] * len(row))
        else:
            raise ValueError(side)
    ids, mask = torch.tensor(ids), torch.tensor(mask)
    return ids, mask, (mask.cumsum(1) - 1) * mask

# %% exercise="pad_batch" wrong="integer_mask"
"""The mask is int64, as an attention_mask of transformers, and not bool."""
def pad_batch(rows: list[list[int]], pad_id: int, side: str = "right") -> tuple[Tensor, Tensor, Tensor]:
    if side not in ("right", "left"):
        raise ValueError(side)
    width = max(len(row) for row in rows)
    ids = torch.full((len(rows), width), pad_id)
    mask = torch.zeros_like(ids)
    for i, row in enumerate(rows):
        start = 0 if side == "right" else width - len(row)
        ids[i, start : start + len(row)] = torch.tensor(row)
        mask[i, start : start + len(row)] = 1
    return ids, mask, (mask.cumsum(1) - 1) * mask

# %% exercise="pad_batch" wrong="pads_the_callers_rows"
"""Pads the caller's lists, which do not stay as they were."""
def pad_batch(rows: list[list[int]], pad_id: int, side: str = "right") -> tuple[Tensor, Tensor, Tensor]:
    if side not in ("right", "left"):
        raise ValueError(side)
    width = max(len(row) for row in rows)
    masks = []
    for row in rows:
        n = len(row)
        if side == "right":
            row += [pad_id] * (width - n)
            masks.append([True] * n + [False] * (width - n))
        else:
            row[:0] = [pad_id] * (width - n)
            masks.append([False] * (width - n) + [True] * n)
    ids, mask = torch.tensor(rows), torch.tensor(masks)
    return ids, mask, (mask.cumsum(1) - 1) * mask

# %% exercise="embed" wrong="one_hot_in_float32"
"""The one-hot way computes and returns float32 for every table (float64, float16)."""
def embed(ids: Tensor, table: Tensor, one_hot: bool = False) -> Tensor:
    if not one_hot:
        return table[ids]
    hot = nn.functional.one_hot(ids, table.shape[0]).float()
    return hot @ table.float()

# %% exercise="embed" wrong="flattened_ids"
"""The lookup flattens the ids: (N, D) and not (..., D)."""
def embed(ids: Tensor, table: Tensor, one_hot: bool = False) -> Tensor:
    if one_hot:
        return nn.functional.one_hot(ids, table.shape[0]).to(table.dtype) @ table
    return table.index_select(0, ids.flatten())

# %% exercise="embed" wrong="frozen_table"
"""nn.Embedding.from_pretrained freezes the weight: the lookup has no gradient."""
def embed(ids: Tensor, table: Tensor, one_hot: bool = False) -> Tensor:
    if one_hot:
        return nn.functional.one_hot(ids, table.shape[0]).to(table.dtype) @ table
    return nn.Embedding.from_pretrained(table)(ids)

# %% exercise="embed" wrong="padding_idx_zero_2"
"""Row 0 is taken for padding: its gradient is 0 in the lookup."""
def embed(ids: Tensor, table: Tensor, one_hot: bool = False) -> Tensor:
    if one_hot:
        return nn.functional.one_hot(ids, table.shape[0]).to(table.dtype) @ table
    return nn.functional.embedding(ids, table, padding_idx=0)

# %% exercise="embed" wrong="gradient_by_frequency"
"""The gradient of a row is the mean over the places where the token stood, not their sum."""
def embed(ids: Tensor, table: Tensor, one_hot: bool = False) -> Tensor:
    if one_hot:
        return nn.functional.one_hot(ids, table.shape[0]).to(table.dtype) @ table
    return nn.functional.embedding(ids, table, scale_grad_by_freq=True)

# %% exercise="embed" wrong="times_sqrt_d"
"""The rows times sqrt(D), as Vaswani's embedding layers; asked are the rows."""
def embed(ids: Tensor, table: Tensor, one_hot: bool = False) -> Tensor:
    scale = math.sqrt(table.shape[1])
    if one_hot:
        return (nn.functional.one_hot(ids, table.shape[0]).to(table.dtype) @ table) * scale
    return table[ids] * scale

# %% exercise="embed" wrong="one_hot_of_seen_ids"
"""The one-hot way numbers the ids that occur (unique) and multiplies with the first rows of the table."""
def embed(ids: Tensor, table: Tensor, one_hot: bool = False) -> Tensor:
    if not one_hot:
        return table[ids]
    seen, index = ids.unique(return_inverse=True)
    hot = nn.functional.one_hot(index, len(seen)).to(table.dtype)
    return hot @ table[: len(seen)]

# %% exercise="TiedEmbedding" wrong="no_factor"
"""embed gives the rows without the factor sqrt(D)."""
class TiedEmbedding(nn.Module):
    def __init__(self, vocab_size: int, d_model: int):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(vocab_size, d_model) / math.sqrt(d_model))

    def embed(self, ids: Tensor) -> Tensor:
        return self.weight[ids]

    def logits(self, states: Tensor) -> Tensor:
        return states @ self.weight.T

# %% exercise="TiedEmbedding" wrong="factor_at_both_ends"
"""The factor sqrt(D) stands in the logits too."""
class TiedEmbedding(nn.Module):
    def __init__(self, vocab_size: int, d_model: int):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(vocab_size, d_model) / math.sqrt(d_model))
        self.scale = math.sqrt(d_model)

    def embed(self, ids: Tensor) -> Tensor:
        return (self.weight * self.scale)[ids]

    def logits(self, states: Tensor) -> Tensor:
        return states @ (self.weight * self.scale).T

# %% exercise="TiedEmbedding" wrong="divided_by_sqrt_d"
"""embed divides by sqrt(D) (as attention does) and should multiply."""
class TiedEmbedding(nn.Module):
    def __init__(self, vocab_size: int, d_model: int):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(vocab_size, d_model))
        self.d_model = d_model

    def embed(self, ids: Tensor) -> Tensor:
        return self.weight[ids] / math.sqrt(self.d_model)

    def logits(self, states: Tensor) -> Tensor:
        return states @ self.weight.T

# %% exercise="TiedEmbedding" wrong="two_equal_matrices"
"""A second parameter that starts as a copy: the state dict has two entries, and they drift apart."""
class TiedEmbedding(nn.Module):
    def __init__(self, vocab_size: int, d_model: int):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(vocab_size, d_model) / math.sqrt(d_model))
        self.out = nn.Parameter(self.weight.detach().clone())
        self.d_model = d_model

    def embed(self, ids: Tensor) -> Tensor:
        return self.weight[ids] * math.sqrt(self.d_model)

    def logits(self, states: Tensor) -> Tensor:
        return states @ self.out.T

# %% exercise="TiedEmbedding" wrong="stale_transpose"
"""The transposed matrix is copied once when the module is made: the logits do not follow a training step or a loaded state."""
class TiedEmbedding(nn.Module):
    def __init__(self, vocab_size: int, d_model: int):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(vocab_size, d_model) / math.sqrt(d_model))
        self.transposed = self.weight.detach().T.contiguous()
        self.d_model = d_model

    def embed(self, ids: Tensor) -> Tensor:
        return self.weight[ids] * math.sqrt(self.d_model)

    def logits(self, states: Tensor) -> Tensor:
        return states @ self.transposed

# %% exercise="TiedEmbedding" wrong="no_gradient_from_the_logits"
"""The logits use the weight's data: no gradient reaches the matrix from that end."""
class TiedEmbedding(nn.Module):
    def __init__(self, vocab_size: int, d_model: int):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(vocab_size, d_model) / math.sqrt(d_model))
        self.d_model = d_model

    def embed(self, ids: Tensor) -> Tensor:
        return self.weight[ids] * math.sqrt(self.d_model)

    def logits(self, states: Tensor) -> Tensor:
        return states @ self.weight.data.T

# %% exercise="TiedEmbedding" wrong="bias_in_the_logits"
"""The output end has a bias."""
class TiedEmbedding(nn.Module):
    def __init__(self, vocab_size: int, d_model: int):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(vocab_size, d_model) / math.sqrt(d_model))
        self.bias = nn.Parameter(torch.zeros(vocab_size))
        self.d_model = d_model

    def embed(self, ids: Tensor) -> Tensor:
        return self.weight[ids] * math.sqrt(self.d_model)

    def logits(self, states: Tensor) -> Tensor:
        return nn.functional.linear(states, self.weight, self.bias)

# %% exercise="TiedEmbedding" wrong="another_name_in_the_state_dict"
"""The matrix lives in an nn.Embedding: the state dict calls it "table.weight"."""
class TiedEmbedding(nn.Module):
    def __init__(self, vocab_size: int, d_model: int):
        super().__init__()
        self.table = nn.Embedding(vocab_size, d_model)
        self.d_model = d_model

    def embed(self, ids: Tensor) -> Tensor:
        return self.table(ids) * math.sqrt(self.d_model)

    def logits(self, states: Tensor) -> Tensor:
        return states @ self.table.weight.T

# %% exercise="sinusoidal_encoding" wrong="sines_then_cosines"
"""All sines in the first half, all cosines in the second (as in tensor2tensor), not interleaved."""
def sinusoidal_encoding(length: int, d_model: int) -> Tensor:
    angles = torch.arange(length)[:, None] * 10000.0 ** (-torch.arange(0, d_model, 2) / d_model)
    return torch.cat([angles.sin(), angles.cos()], dim=-1)

# %% exercise="sinusoidal_encoding" wrong="exponent_i_over_d"
"""The exponent is i / D and not 2i / D."""
def sinusoidal_encoding(length: int, d_model: int) -> Tensor:
    i = torch.arange(d_model // 2)
    angles = torch.arange(length)[:, None] / 10000.0 ** (i / d_model)
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)

# %% exercise="sinusoidal_encoding" wrong="own_angle_for_each_column"
"""Column c has the exponent c / D, so sine and cosine of a pair have different angles."""
def sinusoidal_encoding(length: int, d_model: int) -> Tensor:
    angles = torch.arange(length)[:, None] / 10000.0 ** (torch.arange(d_model) / d_model)
    out = torch.empty(length, d_model)
    out[:, 0::2] = angles[:, 0::2].sin()
    out[:, 1::2] = angles[:, 1::2].cos()
    return out

# %% exercise="sinusoidal_encoding" wrong="positions_from_one"
"""Positions 1 to length."""
def sinusoidal_encoding(length: int, d_model: int) -> Tensor:
    angles = torch.arange(1, length + 1)[:, None] * 10000.0 ** (-torch.arange(0, d_model, 2) / d_model)
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)

# %% exercise="sinusoidal_encoding" wrong="cosine_first"
"""Even columns are cosines, odd columns sines."""
def sinusoidal_encoding(length: int, d_model: int) -> Tensor:
    angles = torch.arange(length)[:, None] * 10000.0 ** (-torch.arange(0, d_model, 2) / d_model)
    return torch.view_as_real(torch.polar(torch.ones_like(angles), angles)).flatten(1)

# %% exercise="sinusoidal_encoding" wrong="last_clock_at_10000"
"""The timescales run from 1 to 10000 inclusive: exponent i / (D/2 - 1)."""
def sinusoidal_encoding(length: int, d_model: int) -> Tensor:
    angles = torch.arange(length)[:, None] * 10000.0 ** -torch.linspace(0, 1, d_model // 2)
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)

# %% exercise="sinusoidal_encoding" wrong="float64"
"""The result is float64."""
def sinusoidal_encoding(length: int, d_model: int) -> Tensor:
    t = torch.arange(length, dtype=torch.float64)
    angles = torch.outer(t, 10000.0 ** (-torch.arange(0, d_model, 2, dtype=torch.float64) / d_model))
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)

# %% exercise="rope_frequencies" wrong="exponent_i_over_d"
"""The exponent is -i/d and not -2i/d."""
def rope_frequencies(d: int, base: float = 10000.0) -> Tensor:
    return base ** (-torch.arange(d // 2) / d)

# %% exercise="rope_frequencies" wrong="slowest_first"
"""From the slowest pair upwards."""
def rope_frequencies(d: int, base: float = 10000.0) -> Tensor:
    return (base ** (-torch.arange(0, d, 2) / d)).flip(0)

# %% exercise="rope_frequencies" wrong="ends_at_one_over_base"
"""linspace with both ends: the last one is 1 / base and all but the first are off."""
def rope_frequencies(d: int, base: float = 10000.0) -> Tensor:
    return base ** -torch.linspace(0, 1, d // 2)

# %% exercise="rope_frequencies" wrong="one_for_each_column"
"""d numbers, every frequency twice."""
def rope_frequencies(d: int, base: float = 10000.0) -> Tensor:
    return (base ** (-torch.arange(0, d, 2) / d)).repeat_interleave(2)

# %% exercise="rope_frequencies" wrong="base_ignored"
"""Always 10000."""
def rope_frequencies(d: int, base: float = 10000.0) -> Tensor:
    return torch.exp(torch.arange(0, d, 2) * -(math.log(10000.0) / d))

# %% exercise="rope_frequencies" wrong="counts_from_one"
"""i runs from 1 to d/2 as in the paper's formula with 2(i - 1), without the - 1: the first is below 1."""
def rope_frequencies(d: int, base: float = 10000.0) -> Tensor:
    i = torch.arange(1, d // 2 + 1)
    return base ** (-2 * i / d)

# %% exercise="rope_frequencies" wrong="wavelengths"
"""base^(2i/d): the reciprocals, from 1 upwards."""
def rope_frequencies(d: int, base: float = 10000.0) -> Tensor:
    return base ** (torch.arange(0, d, 2) / d)

# %% exercise="apply_rope" wrong="turns_backwards"
"""The sign of the sine is the other one: turns by minus the angle."""
def apply_rope(x: Tensor, positions: Tensor, pairing: str = "interleaved", base: float = 10000.0) -> Tensor:
    if pairing not in ("interleaved", "half"):
        raise ValueError(pairing)
    d = x.shape[-1]
    angles = positions.float()[:, None] * rope_frequencies(d, base)
    cos, sin = angles.cos(), angles.sin()
    y = x.to(torch.promote_types(x.dtype, torch.float32))
    if pairing == "interleaved":
        a, b = y[..., 0::2], y[..., 1::2]
        out = torch.stack([a * cos + b * sin, b * cos - a * sin], -1).flatten(-2)
    else:
        a, b = y.chunk(2, -1)
        out = torch.cat([a * cos + b * sin, b * cos - a * sin], -1)
    return out.to(x.dtype)

# %% exercise="apply_rope" wrong="half_put_back_interleaved"
"""In "half" the turned pairs are put back interleaved."""
def apply_rope(x: Tensor, positions: Tensor, pairing: str = "interleaved", base: float = 10000.0) -> Tensor:
    d = x.shape[-1]
    angles = positions.float()[:, None] * rope_frequencies(d, base)
    cos, sin = angles.cos(), angles.sin()
    y = x.to(torch.promote_types(x.dtype, torch.float32))
    if pairing == "interleaved":
        a, b = y[..., 0::2], y[..., 1::2]
    elif pairing == "half":
        a, b = y[..., : d // 2], y[..., d // 2 :]
    else:
        raise ValueError(pairing)
    return torch.stack([a * cos - b * sin, a * sin + b * cos], -1).flatten(-2).to(x.dtype)

# %% exercise="apply_rope" wrong="interleaved_with_tables_of_half"
"""rotate_half's tables cat([angles, angles]) are used for interleaved pairs too: the two columns of a pair get different angles."""
def apply_rope(x: Tensor, positions: Tensor, pairing: str = "interleaved", base: float = 10000.0) -> Tensor:
    if pairing not in ("interleaved", "half"):
        raise ValueError(pairing)
    d = x.shape[-1]
    angles = positions.float()[:, None] * rope_frequencies(d, base)
    angles = torch.cat([angles, angles], -1)
    y = x.to(torch.promote_types(x.dtype, torch.float32))
    if pairing == "interleaved":
        turned = torch.stack([-y[..., 1::2], y[..., 0::2]], -1).flatten(-2)
    else:
        turned = torch.cat([-y[..., d // 2 :], y[..., : d // 2]], -1)
    return (y * angles.cos() + turned * angles.sin()).to(x.dtype)

# %% exercise="apply_rope" wrong="angles_in_the_dtype_of_x"
"""Positions, frequencies and angles follow x's dtype: wrong for float16 at large positions."""
def apply_rope(x: Tensor, positions: Tensor, pairing: str = "interleaved", base: float = 10000.0) -> Tensor:
    if pairing not in ("interleaved", "half"):
        raise ValueError(pairing)
    d = x.shape[-1]
    angles = positions.to(x.dtype)[:, None] * rope_frequencies(d, base).to(x.dtype)
    cos, sin = angles.cos(), angles.sin()
    if pairing == "interleaved":
        a, b = x[..., 0::2], x[..., 1::2]
        return torch.stack([a * cos - b * sin, a * sin + b * cos], -1).flatten(-2)
    a, b = x.chunk(2, -1)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], -1)

# %% exercise="apply_rope" wrong="positions_by_index"
"""Turns row t by t and ignores the positions given."""
def apply_rope(x: Tensor, positions: Tensor, pairing: str = "interleaved", base: float = 10000.0) -> Tensor:
    if pairing not in ("interleaved", "half"):
        raise ValueError(pairing)
    d = x.shape[-1]
    angles = torch.arange(x.shape[-2])[:, None] * rope_frequencies(d, base)
    cos, sin = angles.cos(), angles.sin()
    y = x.to(torch.promote_types(x.dtype, torch.float32))
    if pairing == "interleaved":
        a, b = y[..., 0::2], y[..., 1::2]
        out = torch.stack([a * cos - b * sin, a * sin + b * cos], -1).flatten(-2)
    else:
        a, b = y.chunk(2, -1)
        out = torch.cat([a * cos - b * sin, a * sin + b * cos], -1)
    return out.to(x.dtype)

# %% exercise="apply_rope" wrong="whole_positions_only"
"""Looks the rotation up in a table by integer position: positions with a fraction are cut off."""
def apply_rope(x: Tensor, positions: Tensor, pairing: str = "interleaved", base: float = 10000.0) -> Tensor:
    if pairing not in ("interleaved", "half"):
        raise ValueError(pairing)
    d = x.shape[-1]
    angles = positions.long()[:, None] * rope_frequencies(d, base)
    cos, sin = angles.cos(), angles.sin()
    y = x.to(torch.promote_types(x.dtype, torch.float32))
    if pairing == "interleaved":
        a, b = y[..., 0::2], y[..., 1::2]
        out = torch.stack([a * cos - b * sin, a * sin + b * cos], -1).flatten(-2)
    else:
        a, b = y.chunk(2, -1)
        out = torch.cat([a * cos - b * sin, a * sin + b * cos], -1)
    return out.to(x.dtype)

# %% exercise="apply_rope" wrong="base_not_passed_on"
"""The base is not passed on to the frequencies."""
def apply_rope(x: Tensor, positions: Tensor, pairing: str = "interleaved", base: float = 10000.0) -> Tensor:
    if pairing not in ("interleaved", "half"):
        raise ValueError(pairing)
    d = x.shape[-1]
    angles = positions.float()[:, None] * rope_frequencies(d)
    cos, sin = angles.cos(), angles.sin()
    y = x.to(torch.promote_types(x.dtype, torch.float32))
    if pairing == "interleaved":
        a, b = y[..., 0::2], y[..., 1::2]
        out = torch.stack([a * cos - b * sin, a * sin + b * cos], -1).flatten(-2)
    else:
        a, b = y.chunk(2, -1)
        out = torch.cat([a * cos - b * sin, a * sin + b * cos], -1)
    return out.to(x.dtype)

# %% exercise="apply_rope" wrong="returns_float32"
"""A float16 x comes back as float32."""
def apply_rope(x: Tensor, positions: Tensor, pairing: str = "interleaved", base: float = 10000.0) -> Tensor:
    if pairing not in ("interleaved", "half"):
        raise ValueError(pairing)
    d = x.shape[-1]
    angles = positions.float()[:, None] * rope_frequencies(d, base)
    cos, sin = angles.cos(), angles.sin()
    if pairing == "interleaved":
        a, b = x[..., 0::2], x[..., 1::2]
        return torch.stack([a * cos - b * sin, a * sin + b * cos], -1).flatten(-2)
    a, b = x.chunk(2, -1)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], -1)

# %% exercise="apply_rope" wrong="writes_into_x"
"""Turns x itself in place: the caller's x changes."""
def apply_rope(x: Tensor, positions: Tensor, pairing: str = "interleaved", base: float = 10000.0) -> Tensor:
    if pairing not in ("interleaved", "half"):
        raise ValueError(pairing)
    d = x.shape[-1]
    angles = positions.float()[:, None] * rope_frequencies(d, base)
    cos, sin = angles.cos(), angles.sin()
    first, second = (slice(0, None, 2), slice(1, None, 2)) if pairing == "interleaved" else (
        slice(0, d // 2), slice(d // 2, d))
    a, b = x[..., first].clone(), x[..., second].clone()
    with torch.no_grad():
        x[..., first] = (a * cos - b * sin).to(x.dtype)
        x[..., second] = (a * sin + b * cos).to(x.dtype)
    return x

# %% exercise="apply_rope" wrong="unknown_pairing_is_half"
"""Any other pairing is taken for "half"; no ValueError."""
def apply_rope(x: Tensor, positions: Tensor, pairing: str = "interleaved", base: float = 10000.0) -> Tensor:
    d = x.shape[-1]
    angles = positions.float()[:, None] * rope_frequencies(d, base)
    cos, sin = angles.cos(), angles.sin()
    y = x.to(torch.promote_types(x.dtype, torch.float32))
    if pairing == "interleaved":
        a, b = y[..., 0::2], y[..., 1::2]
        out = torch.stack([a * cos - b * sin, a * sin + b * cos], -1).flatten(-2)
    else:
        a, b = y.chunk(2, -1)
        out = torch.cat([a * cos - b * sin, a * sin + b * cos], -1)
    return out.to(x.dtype)

# %% exercise="apply_rope" wrong="complex_view_of_strided_x"
"""view_as_complex without a copy: raises for an x whose last dimension is strided."""
def apply_rope(x: Tensor, positions: Tensor, pairing: str = "interleaved", base: float = 10000.0) -> Tensor:
    d = x.shape[-1]
    angles = positions.float()[:, None] * rope_frequencies(d, base)
    if pairing == "interleaved":
        y = x.to(torch.promote_types(x.dtype, torch.float32))
        z = torch.view_as_complex(y.unflatten(-1, (d // 2, 2)))
        return torch.view_as_real(z * torch.polar(torch.ones_like(angles), angles)).flatten(-2).to(x.dtype)
    if pairing == "half":
        a, b = x.to(torch.promote_types(x.dtype, torch.float32)).chunk(2, -1)
        z = torch.complex(a, b) * torch.polar(torch.ones_like(angles), angles)
        return torch.cat([z.real, z.imag], -1).to(x.dtype)
    raise ValueError(pairing)

# %% exercise="rotary_qkv" wrong="values_turned_too"
"""The values are turned as well."""
def rotary_qkv(
    x: Tensor, w_q: Tensor, w_k: Tensor, w_v: Tensor, num_heads: int, positions: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    def split(y):
        return y.unflatten(-1, (num_heads, -1)).transpose(1, 2)

    return tuple(apply_rope(split(x @ w), positions) for w in (w_q, w_k, w_v))

# %% exercise="rotary_qkv" wrong="keys_not_turned"
"""Only the queries are turned."""
def rotary_qkv(
    x: Tensor, w_q: Tensor, w_k: Tensor, w_v: Tensor, num_heads: int, positions: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    q, k, v = ((x @ w).unflatten(-1, (num_heads, -1)).transpose(1, 2) for w in (w_q, w_k, w_v))
    return apply_rope(q, positions), k, v

# %% exercise="rotary_qkv" wrong="view_instead_of_transpose"
"""Reshapes (B, T, D) to (B, H, T, d) without a transpose: times and heads are mixed."""
def rotary_qkv(
    x: Tensor, w_q: Tensor, w_k: Tensor, w_v: Tensor, num_heads: int, positions: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    B, T, D = x.shape
    q, k, v = ((x @ w).reshape(B, num_heads, T, D // num_heads) for w in (w_q, w_k, w_v))
    return apply_rope(q, positions), apply_rope(k, positions), v

# %% exercise="rotary_qkv" wrong="heads_take_every_hth_column"
"""Head h gets the columns h, h + H, h + 2H ... and not a block of d columns."""
def rotary_qkv(
    x: Tensor, w_q: Tensor, w_k: Tensor, w_v: Tensor, num_heads: int, positions: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    B, T, D = x.shape
    q, k, v = ((x @ w).view(B, T, D // num_heads, num_heads).permute(0, 3, 1, 2) for w in (w_q, w_k, w_v))
    return apply_rope(q, positions), apply_rope(k, positions), v

# %% exercise="rotary_qkv" wrong="turned_before_the_split"
"""Turns the whole width D before the heads are split: the frequencies run over D and heads differ."""
def rotary_qkv(
    x: Tensor, w_q: Tensor, w_k: Tensor, w_v: Tensor, num_heads: int, positions: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    def split(y):
        return y.unflatten(-1, (num_heads, -1)).transpose(1, 2)

    return split(apply_rope(x @ w_q, positions)), split(apply_rope(x @ w_k, positions)), split(x @ w_v)

# %% exercise="rotary_qkv" wrong="weights_as_in_linear"
"""x @ w^T, as nn.Linear keeps its weights; the prompt applies them from the right."""
def rotary_qkv(
    x: Tensor, w_q: Tensor, w_k: Tensor, w_v: Tensor, num_heads: int, positions: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    q, k, v = (
        nn.functional.linear(x, w).unflatten(-1, (num_heads, -1)).transpose(1, 2) for w in (w_q, w_k, w_v)
    )
    return apply_rope(q, positions), apply_rope(k, positions), v

# %% exercise="rotary_qkv" wrong="half_pairs"
"""Pairs are (i, i + d/2) where interleaved ones are asked."""
def rotary_qkv(
    x: Tensor, w_q: Tensor, w_k: Tensor, w_v: Tensor, num_heads: int, positions: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    q, k, v = ((x @ w).unflatten(-1, (num_heads, -1)).transpose(1, 2) for w in (w_q, w_k, w_v))
    return apply_rope(q, positions, "half"), apply_rope(k, positions, "half"), v

# %% exercise="rotary_qkv" wrong="inputs_turned"
"""Turns x before the projections (head by head) and not the queries and keys."""
def rotary_qkv(
    x: Tensor, w_q: Tensor, w_k: Tensor, w_v: Tensor, num_heads: int, positions: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    def split(y):
        return y.unflatten(-1, (num_heads, -1)).transpose(1, 2)

    turned = apply_rope(split(x), positions).transpose(1, 2).flatten(2)
    return split(turned @ w_q), split(turned @ w_k), split(x @ w_v)

# %% exercise="rotary_qkv" wrong="keys_turned_backwards"
"""Keys are turned by minus their position: scores depend on the sum of the positions."""
def rotary_qkv(
    x: Tensor, w_q: Tensor, w_k: Tensor, w_v: Tensor, num_heads: int, positions: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    q, k, v = ((x @ w).unflatten(-1, (num_heads, -1)).transpose(1, 2) for w in (w_q, w_k, w_v))
    return apply_rope(q, positions), apply_rope(k, -positions), v

# %% exercise="alibi_slopes" wrong="starts_at_one"
"""h runs from 0 to H - 1: the first slope is 1."""
def alibi_slopes(num_heads: int) -> Tensor:
    def power(n):
        return [2.0 ** (-8 * h / n) for h in range(n)]

    P = 2 ** math.floor(math.log2(num_heads))
    return torch.tensor(power(P) + power(2 * P)[0::2][: num_heads - P])

# %% exercise="alibi_slopes" wrong="formula_for_every_h"
"""2^(-8h/H) also when H is no power of two."""
def alibi_slopes(num_heads: int) -> Tensor:
    return 2.0 ** (-8 * torch.arange(1, num_heads + 1) / num_heads)

# %% exercise="alibi_slopes" wrong="second_fourth_sixth"
"""Of the slopes for 2P it takes the second, fourth ... : those are the slopes for P once more."""
def alibi_slopes(num_heads: int) -> Tensor:
    def power(n):
        return [2.0 ** (-8 * h / n) for h in range(1, n + 1)]

    P = 2 ** math.floor(math.log2(num_heads))
    return torch.tensor(power(P) + power(2 * P)[1::2][: num_heads - P])

# %% exercise="alibi_slopes" wrong="next_ones_without_skipping"
"""Takes the first slopes for 2P, not every second one."""
def alibi_slopes(num_heads: int) -> Tensor:
    def power(n):
        return [2.0 ** (-8 * h / n) for h in range(1, n + 1)]

    P = 2 ** math.floor(math.log2(num_heads))
    return torch.tensor(power(P) + power(2 * P)[: num_heads - P])

# %% exercise="alibi_slopes" wrong="sorted"
"""Sorts the slopes when H is no power of two; asked is: first those of P, then the others."""
def alibi_slopes(num_heads: int) -> Tensor:
    def power(n):
        return [2.0 ** (-8 * h / n) for h in range(1, n + 1)]

    P = 2 ** math.floor(math.log2(num_heads))
    return torch.tensor(sorted(power(P) + power(2 * P)[0::2][: num_heads - P], reverse=True))

# %% exercise="alibi_slopes" wrong="always_one_half"
"""The ratio is 1/2 for every H, as with 8 heads: 1/2, 1/4, ... even for 4 or 16 heads."""
def alibi_slopes(num_heads: int) -> Tensor:
    def power(n):
        return [2.0 ** -h for h in range(1, n + 1)]

    P = 2 ** math.floor(math.log2(num_heads))
    extra = [2.0 ** (-h / 2) for h in range(1, 2 * P, 2)]
    return torch.tensor(power(P) + extra[: num_heads - P])

# %% exercise="alibi_slopes" wrong="next_power_cut_off"
"""Takes the slopes for the next power of two above H and cuts them off at H."""
def alibi_slopes(num_heads: int) -> Tensor:
    P = 2 ** math.ceil(math.log2(num_heads))
    return (2.0 ** (-8 * torch.arange(1, P + 1) / P))[:num_heads]

# %% exercise="alibi_bias" wrong="queries_from_position_zero"
"""Query row i is taken for position i: with T < S it should be S - T + i."""
def alibi_bias(num_heads: int, n_queries: int, n_keys: int) -> Tensor:
    distance = torch.arange(n_queries)[:, None] - torch.arange(n_keys)
    bias = -alibi_slopes(num_heads)[:, None, None] * distance
    return bias.masked_fill(distance < 0, -torch.inf)

# %% exercise="alibi_bias" wrong="future_not_hidden"
"""Keys after the query get the penalty of their distance (symmetric ALiBi) and not -inf."""
def alibi_bias(num_heads: int, n_queries: int, n_keys: int) -> Tensor:
    distance = torch.arange(n_keys - n_queries, n_keys)[:, None] - torch.arange(n_keys)
    return -alibi_slopes(num_heads)[:, None, None] * distance.abs()

# %% exercise="alibi_bias" wrong="bonus_for_distance"
"""The sign is wrong: far keys get a bonus."""
def alibi_bias(num_heads: int, n_queries: int, n_keys: int) -> Tensor:
    distance = torch.arange(n_keys - n_queries, n_keys)[:, None] - torch.arange(n_keys)
    bias = alibi_slopes(num_heads)[:, None, None] * distance
    return bias.masked_fill(distance < 0, -torch.inf)

# %% exercise="alibi_bias" wrong="slope_times_key_position"
"""slope * j for key j, as in BLOOM's code: the softmax is the same, the mask is not the one asked for."""
def alibi_bias(num_heads: int, n_queries: int, n_keys: int) -> Tensor:
    keys = torch.arange(n_keys)
    queries = torch.arange(n_keys - n_queries, n_keys)
    bias = (alibi_slopes(num_heads)[:, None, None] * keys).expand(num_heads, n_queries, n_keys)
    return bias.masked_fill(keys > queries[:, None], -torch.inf)

# %% exercise="alibi_bias" wrong="own_key_hidden"
"""Hides the query's own key as well: distance <= 0."""
def alibi_bias(num_heads: int, n_queries: int, n_keys: int) -> Tensor:
    distance = torch.arange(n_keys - n_queries, n_keys)[:, None] - torch.arange(n_keys)
    bias = -alibi_slopes(num_heads)[:, None, None] * distance
    return bias.masked_fill(distance <= 0, -torch.inf)

# %% exercise="alibi_bias" wrong="finite_minimum"
"""-1e9 where -inf is asked."""
def alibi_bias(num_heads: int, n_queries: int, n_keys: int) -> Tensor:
    distance = torch.arange(n_keys - n_queries, n_keys)[:, None] - torch.arange(n_keys)
    bias = -alibi_slopes(num_heads)[:, None, None] * distance
    return bias.masked_fill(distance < 0, -1e9)

# %% exercise="alibi_bias" wrong="distance_from_the_last_query"
"""Every row is penalised by the distance to the last position and not to its own query."""
def alibi_bias(num_heads: int, n_queries: int, n_keys: int) -> Tensor:
    keys = torch.arange(n_keys)
    queries = torch.arange(n_keys - n_queries, n_keys)
    row = -alibi_slopes(num_heads)[:, None] * (n_keys - 1 - keys)
    bias = row[:, None, :].expand(num_heads, n_queries, n_keys)
    return bias.masked_fill(keys > queries[:, None], -torch.inf)

# %% exercise="position_interpolation" wrong="stretches_short_texts"
"""Multiplies by L / L' always: a text shorter than trained is stretched."""
def position_interpolation(positions: Tensor, train_length: int, length: int) -> Tensor:
    return positions.float() * (train_length / length)

# %% exercise="position_interpolation" wrong="factor_upside_down"
"""Multiplies by L' / L."""
def position_interpolation(positions: Tensor, train_length: int, length: int) -> Tensor:
    return positions.float() * max(1.0, length / train_length)

# %% exercise="position_interpolation" wrong="whole_positions"
"""Integer division: neighbours fall on the same position."""
def position_interpolation(positions: Tensor, train_length: int, length: int) -> Tensor:
    if length <= train_length:
        return positions.float()
    return (positions * train_length // length).float()

# %% exercise="position_interpolation" wrong="last_on_last"
"""The factor is (L - 1) / (L' - 1): the last position lands on L - 1."""
def position_interpolation(positions: Tensor, train_length: int, length: int) -> Tensor:
    if length <= train_length:
        return positions.float()
    return positions.float() * ((train_length - 1) / (length - 1))

# %% exercise="position_interpolation" wrong="length_from_the_tensor"
"""Takes the number of positions given for L': wrong for a part of a text, such as the last query alone."""
def position_interpolation(positions: Tensor, train_length: int, length: int) -> Tensor:
    return positions.float() * min(1.0, train_length / len(positions))

# %% exercise="position_interpolation" wrong="integers_when_unchanged"
"""Returns the int64 positions when the text is not longer than trained."""
def position_interpolation(positions: Tensor, train_length: int, length: int) -> Tensor:
    if length <= train_length:
        return positions
    return positions * (train_length / length)

# %% exercise="position_interpolation" wrong="only_positions_beyond"
"""Squeezes only the positions that lie beyond L."""
def position_interpolation(positions: Tensor, train_length: int, length: int) -> Tensor:
    t = positions.float()
    return torch.where(positions < train_length, t, t * (train_length / length))

# %% exercise="ntk_scaled_base" wrong="base_times_scale"
"""base * s, without the exponent."""
def ntk_scaled_base(base: float, scale: float, d: int) -> float:
    return base * scale

# %% exercise="ntk_scaled_base" wrong="power_of_the_product"
"""The base is raised to the power too."""
def ntk_scaled_base(base: float, scale: float, d: int) -> float:
    return (base * scale) ** (d / (d - 2))

# %% exercise="ntk_scaled_base" wrong="d_over_d_minus_one"
"""The exponent is d / (d - 1)."""
def ntk_scaled_base(base: float, scale: float, d: int) -> float:
    return base * scale ** (d / (d - 1))

# %% exercise="ntk_scaled_base" wrong="exponent_upside_down"
"""The exponent is (d - 2) / d."""
def ntk_scaled_base(base: float, scale: float, d: int) -> float:
    return base * scale ** ((d - 2) / d)

# %% exercise="ntk_scaled_base" wrong="pairs_for_width"
"""The number of pairs d/2 stands where the width d belongs: exponent (d/2) / (d/2 - 2)."""
def ntk_scaled_base(base: float, scale: float, d: int) -> float:
    pairs = d / 2
    return base * scale ** (pairs / (pairs - 2)) if pairs != 2 else base * scale

# %% exercise="ntk_scaled_base" wrong="rounded_2"
"""Rounded to a whole number."""
def ntk_scaled_base(base: float, scale: float, d: int) -> float:
    return float(round(base * scale ** (d / (d - 2))))

# %% exercise="extrapolation_finding" wrong="alibi_best_at_both"
"""Says that ALiBi is the best at 64 already."""
extrapolation_finding = {
    "best_at_64": "alibi",
    "best_at_512": "alibi",
    "rope_rises": 0.6,
    "alibi_rises": 0.0,
    "beats_none": ["alibi"],
}

# %% exercise="extrapolation_finding" wrong="losses_and_not_rises"
"""The losses at 512 where the rise from 64 is asked."""
extrapolation_finding = {
    "best_at_64": "rope",
    "best_at_512": "alibi",
    "rope_rises": 2.7,
    "alibi_rises": 2.3,
    "beats_none": ["alibi"],
}

# %% exercise="extrapolation_finding" wrong="any_arm_below_none"
"""Forgets the margin of 0.1: "normalised" lies 0.01 below "none"."""
extrapolation_finding = {
    "best_at_64": "rope",
    "best_at_512": "alibi",
    "rope_rises": 0.6,
    "alibi_rises": 0.0,
    "beats_none": ["normalised", "alibi"],
}

# %% exercise="extrapolation_finding" wrong="ntk_best_at_512"
"""Says that NTK-scaled RoPE is the best at 512."""
extrapolation_finding = {
    "best_at_64": "rope",
    "best_at_512": "rope, ntk",
    "rope_rises": 0.6,
    "alibi_rises": 0.0,
    "beats_none": ["alibi"],
}

# %% exercise="extrapolation_finding" wrong="beats_none_at_64"
"""The arms that beat "none" by 0.1 in windows of 64, not 512."""
extrapolation_finding = {
    "best_at_64": "rope",
    "best_at_512": "alibi",
    "rope_rises": 0.6,
    "alibi_rises": 0.0,
    "beats_none": ["rope", "alibi", "rope, interpolated", "rope, ntk"],
}

# %% exercise="extrapolation_finding" wrong="sign_of_the_rise"
"""64 minus 512: the rise with the wrong sign."""
extrapolation_finding = {
    "best_at_64": "rope",
    "best_at_512": "alibi",
    "rope_rises": -0.6,
    "alibi_rises": 0.0,
    "beats_none": ["alibi"],
}

# %% exercise="embedding_gather" wrong="column_stride_is_one"
"""The table's columns are taken for neighbours: wrong for a transposed table."""
@triton.jit
def embedding_gather_kernel(ids_ptr, table_ptr, out_ptr, width, ids_stride, table_row, out_row, BLOCK: tl.constexpr):
    pid = tl.program_id(0)
    row = tl.load(ids_ptr + pid * ids_stride)
    for start in range(0, width, BLOCK):
        cols = start + tl.arange(0, BLOCK)
        inside = cols < width
        values = tl.load(table_ptr + row * table_row + cols, mask=inside)
        tl.store(out_ptr + pid * out_row + cols, values, mask=inside)


def embedding_gather(ids: Tensor, table: Tensor, block: int = 128) -> Tensor:
    out = torch.empty((len(ids), table.shape[1]), dtype=table.dtype, device=table.device)
    embedding_gather_kernel[(len(ids),)](
        ids, table, out, table.shape[1], ids.stride(0), table.stride(0), out.stride(0), BLOCK=block
    )
    return out

# %% exercise="embedding_gather" wrong="ids_stride_is_one"
"""The ids are taken for contiguous: wrong for ids[::2]."""
@triton.jit
def embedding_gather_kernel(
    ids_ptr, table_ptr, out_ptr, width, table_row, table_col, out_row, BLOCK: tl.constexpr
):
    pid = tl.program_id(0)
    row = tl.load(ids_ptr + pid)
    for start in range(0, width, BLOCK):
        cols = start + tl.arange(0, BLOCK)
        inside = cols < width
        values = tl.load(table_ptr + row * table_row + cols * table_col, mask=inside)
        tl.store(out_ptr + pid * out_row + cols, values, mask=inside)


def embedding_gather(ids: Tensor, table: Tensor, block: int = 128) -> Tensor:
    out = torch.empty((len(ids), table.shape[1]), dtype=table.dtype, device=table.device)
    embedding_gather_kernel[(len(ids),)](
        ids, table, out, table.shape[1], table.stride(0), table.stride(1), out.stride(0), BLOCK=block
    )
    return out

# %% exercise="embedding_gather" wrong="first_block_only"
"""Copies one block of columns: with D > block the rest of each row is never written."""
@triton.jit
def embedding_gather_kernel(
    ids_ptr, table_ptr, out_ptr, width, ids_stride, table_row, table_col, out_row, BLOCK: tl.constexpr
):
    pid = tl.program_id(0)
    row = tl.load(ids_ptr + pid * ids_stride)
    cols = tl.arange(0, BLOCK)
    inside = cols < width
    values = tl.load(table_ptr + row * table_row + cols * table_col, mask=inside)
    tl.store(out_ptr + pid * out_row + cols, values, mask=inside)


def embedding_gather(ids: Tensor, table: Tensor, block: int = 128) -> Tensor:
    out = torch.empty((len(ids), table.shape[1]), dtype=table.dtype, device=table.device)
    embedding_gather_kernel[(len(ids),)](
        ids, table, out, table.shape[1], ids.stride(0), table.stride(0), table.stride(1), out.stride(0), BLOCK=block
    )
    return out

# %% exercise="embedding_gather" wrong="tail_forgotten"
"""Copies width // BLOCK whole blocks: the columns of the last, partial block are never written."""
@triton.jit
def embedding_gather_kernel(
    ids_ptr, table_ptr, out_ptr, width, ids_stride, table_row, table_col, out_row, BLOCK: tl.constexpr
):
    pid = tl.program_id(0)
    row = tl.load(ids_ptr + pid * ids_stride)
    for block in range(width // BLOCK):
        cols = block * BLOCK + tl.arange(0, BLOCK)
        values = tl.load(table_ptr + row * table_row + cols * table_col)
        tl.store(out_ptr + pid * out_row + cols, values)


def embedding_gather(ids: Tensor, table: Tensor, block: int = 128) -> Tensor:
    out = torch.empty((len(ids), table.shape[1]), dtype=table.dtype, device=table.device)
    embedding_gather_kernel[(len(ids),)](
        ids, table, out, table.shape[1], ids.stride(0), table.stride(0), table.stride(1), out.stride(0), BLOCK=block
    )
    return out

# %% exercise="embedding_gather" wrong="contiguous_copy_of_the_table"
"""table.contiguous() first: for a strided table that is a copy of all of it, a launch more."""
@triton.jit
def embedding_gather_kernel(ids_ptr, table_ptr, out_ptr, width, ids_stride, BLOCK: tl.constexpr):
    pid = tl.program_id(0)
    row = tl.load(ids_ptr + pid * ids_stride)
    for start in range(0, width, BLOCK):
        cols = start + tl.arange(0, BLOCK)
        inside = cols < width
        tl.store(out_ptr + pid * width + cols, tl.load(table_ptr + row * width + cols, mask=inside), mask=inside)


def embedding_gather(ids: Tensor, table: Tensor, block: int = 128) -> Tensor:
    table = table.contiguous()
    out = torch.empty((len(ids), table.shape[1]), dtype=table.dtype, device=table.device)
    embedding_gather_kernel[(len(ids),)](ids, table, out, table.shape[1], ids.stride(0), BLOCK=block)
    return out

# %% exercise="embedding_gather" wrong="filled_with_zeros_first"
"""torch.zeros for the result: a fill, which counts as a launch."""
@triton.jit
def embedding_gather_kernel(
    ids_ptr, table_ptr, out_ptr, width, ids_stride, table_row, table_col, out_row, BLOCK: tl.constexpr
):
    pid = tl.program_id(0)
    row = tl.load(ids_ptr + pid * ids_stride)
    for start in range(0, width, BLOCK):
        cols = start + tl.arange(0, BLOCK)
        inside = cols < width
        values = tl.load(table_ptr + row * table_row + cols * table_col, mask=inside)
        tl.store(out_ptr + pid * out_row + cols, values, mask=inside)


def embedding_gather(ids: Tensor, table: Tensor, block: int = 128) -> Tensor:
    out = torch.zeros((len(ids), table.shape[1]), dtype=table.dtype, device=table.device)
    embedding_gather_kernel[(len(ids),)](
        ids, table, out, table.shape[1], ids.stride(0), table.stride(0), table.stride(1), out.stride(0), BLOCK=block
    )
    return out

# %% exercise="embedding_gather" wrong="one_program_for_all"
"""A single program copies all rows, where more than four ids need more than one program."""
@triton.jit
def embedding_gather_kernel(
    ids_ptr, table_ptr, out_ptr, number, width, ids_stride, table_row, table_col, out_row, BLOCK: tl.constexpr
):
    for n in range(number):
        row = tl.load(ids_ptr + n * ids_stride)
        for start in range(0, width, BLOCK):
            cols = start + tl.arange(0, BLOCK)
            inside = cols < width
            values = tl.load(table_ptr + row * table_row + cols * table_col, mask=inside)
            tl.store(out_ptr + n * out_row + cols, values, mask=inside)


def embedding_gather(ids: Tensor, table: Tensor, block: int = 128) -> Tensor:
    N, D = len(ids), table.shape[1]
    out = torch.empty((N, D), dtype=table.dtype, device=table.device)
    embedding_gather_kernel[(1,)](
        ids, table, out, N, D, ids.stride(0), table.stride(0), table.stride(1), out.stride(0), BLOCK=block
    )
    return out

# %% exercise="embedding_gather" wrong="float32_result"
"""The result is float32 also for a float16 table."""
@triton.jit
def embedding_gather_kernel(
    ids_ptr, table_ptr, out_ptr, width, ids_stride, table_row, table_col, out_row, BLOCK: tl.constexpr
):
    pid = tl.program_id(0)
    row = tl.load(ids_ptr + pid * ids_stride)
    for start in range(0, width, BLOCK):
        cols = start + tl.arange(0, BLOCK)
        inside = cols < width
        values = tl.load(table_ptr + row * table_row + cols * table_col, mask=inside)
        tl.store(out_ptr + pid * out_row + cols, values.to(tl.float32), mask=inside)


def embedding_gather(ids: Tensor, table: Tensor, block: int = 128) -> Tensor:
    out = torch.empty((len(ids), table.shape[1]), device=table.device)
    embedding_gather_kernel[(len(ids),)](
        ids, table, out, table.shape[1], ids.stride(0), table.stride(0), table.stride(1), out.stride(0), BLOCK=block
    )
    return out

# %% exercise="embedding_gather" wrong="launch_for_each_block"
"""One launch for each block of columns: several where D > block."""
@triton.jit
def embedding_gather_kernel(
    ids_ptr, table_ptr, out_ptr, start, width, ids_stride, table_row, table_col, out_row, BLOCK: tl.constexpr
):
    pid = tl.program_id(0)
    row = tl.load(ids_ptr + pid * ids_stride)
    cols = start + tl.arange(0, BLOCK)
    inside = cols < width
    values = tl.load(table_ptr + row * table_row + cols * table_col, mask=inside)
    tl.store(out_ptr + pid * out_row + cols, values, mask=inside)


def embedding_gather(ids: Tensor, table: Tensor, block: int = 128) -> Tensor:
    N, D = len(ids), table.shape[1]
    out = torch.empty((N, D), dtype=table.dtype, device=table.device)
    for start in range(0, D, block):
        embedding_gather_kernel[(N,)](
            ids, table, out, start, D, ids.stride(0), table.stride(0), table.stride(1), out.stride(0), BLOCK=block
        )
    return out

# %% exercise="rope_inplace" wrong="reads_after_writing"
"""Stores the first half and then reads it again for the second: the second is made of turned numbers."""
@triton.jit
def rope_inplace_kernel(
    x_ptr, cos_ptr, sin_ptr, length, half, x_batch, x_time, x_col, table_row, BLOCK: tl.constexpr
):
    pid = tl.program_id(0)
    b, t = pid // length, pid % length
    i = tl.arange(0, BLOCK)
    inside = i < half
    cos = tl.load(cos_ptr + t * table_row + i, mask=inside)
    sin = tl.load(sin_ptr + t * table_row + i, mask=inside)
    first = x_ptr + b * x_batch + t * x_time + i * x_col
    second = first + half * x_col
    tl.store(
        first,
        tl.load(first, mask=inside).to(tl.float32) * cos - tl.load(second, mask=inside).to(tl.float32) * sin,
        mask=inside,
    )
    tl.store(
        second,
        tl.load(first, mask=inside).to(tl.float32) * sin + tl.load(second, mask=inside).to(tl.float32) * cos,
        mask=inside,
    )


def rope_inplace(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    N, T, d = x.shape
    rope_inplace_kernel[(N * T,)](
        x, cos, sin, T, d // 2, x.stride(0), x.stride(1), x.stride(2), cos.stride(0),
        BLOCK=triton.next_power_of_2(d // 2),
    )
    return x

# %% exercise="rope_inplace" wrong="turns_backwards"
"""a cos + b sin, b cos - a sin: turns the other way."""
@triton.jit
def rope_inplace_kernel(
    x_ptr, cos_ptr, sin_ptr, length, half, x_batch, x_time, x_col, table_row, BLOCK: tl.constexpr
):
    pid = tl.program_id(0)
    b, t = pid // length, pid % length
    i = tl.arange(0, BLOCK)
    inside = i < half
    cos = tl.load(cos_ptr + t * table_row + i, mask=inside)
    sin = tl.load(sin_ptr + t * table_row + i, mask=inside)
    first = x_ptr + b * x_batch + t * x_time + i * x_col
    second = first + half * x_col
    u = tl.load(first, mask=inside).to(tl.float32)
    v = tl.load(second, mask=inside).to(tl.float32)
    tl.store(first, u * cos + v * sin, mask=inside)
    tl.store(second, v * cos - u * sin, mask=inside)


def rope_inplace(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    N, T, d = x.shape
    rope_inplace_kernel[(N * T,)](
        x, cos, sin, T, d // 2, x.stride(0), x.stride(1), x.stride(2), cos.stride(0),
        BLOCK=triton.next_power_of_2(d // 2),
    )
    return x

# %% exercise="rope_inplace" wrong="interleaved_pairs"
"""Turns the pairs (2i, 2i + 1)."""
@triton.jit
def rope_inplace_kernel(
    x_ptr, cos_ptr, sin_ptr, length, half, x_batch, x_time, x_col, table_row, BLOCK: tl.constexpr
):
    pid = tl.program_id(0)
    b, t = pid // length, pid % length
    i = tl.arange(0, BLOCK)
    inside = i < half
    cos = tl.load(cos_ptr + t * table_row + i, mask=inside)
    sin = tl.load(sin_ptr + t * table_row + i, mask=inside)
    first = x_ptr + b * x_batch + t * x_time + 2 * i * x_col
    second = first + x_col
    u = tl.load(first, mask=inside).to(tl.float32)
    v = tl.load(second, mask=inside).to(tl.float32)
    tl.store(first, u * cos - v * sin, mask=inside)
    tl.store(second, u * sin + v * cos, mask=inside)


def rope_inplace(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    N, T, d = x.shape
    rope_inplace_kernel[(N * T,)](
        x, cos, sin, T, d // 2, x.stride(0), x.stride(1), x.stride(2), cos.stride(0),
        BLOCK=triton.next_power_of_2(d // 2),
    )
    return x

# %% exercise="rope_inplace" wrong="batch_stride_from_the_shape"
"""The batch stride is taken for T * stride(1): wrong for a view such as a (T, N, d) tensor transposed."""
@triton.jit
def rope_inplace_kernel(x_ptr, cos_ptr, sin_ptr, length, half, x_time, x_col, table_row, BLOCK: tl.constexpr):
    pid = tl.program_id(0)
    t = pid % length
    i = tl.arange(0, BLOCK)
    inside = i < half
    cos = tl.load(cos_ptr + t * table_row + i, mask=inside)
    sin = tl.load(sin_ptr + t * table_row + i, mask=inside)
    first = x_ptr + pid * x_time + i * x_col
    second = first + half * x_col
    u = tl.load(first, mask=inside).to(tl.float32)
    v = tl.load(second, mask=inside).to(tl.float32)
    tl.store(first, u * cos - v * sin, mask=inside)
    tl.store(second, u * sin + v * cos, mask=inside)


def rope_inplace(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    N, T, d = x.shape
    x_time = x.stride(1)
    if N * T and (N - 1) * x.stride(0) + (T - 1) * x.stride(1) < (N * T - 1) * x_time:
        x_time = x.stride(0)  # the smaller of both steps
    rope_inplace_kernel[(N * T,)](
        x, cos, sin, T, d // 2, x_time, x.stride(2), cos.stride(0), BLOCK=triton.next_power_of_2(d // 2)
    )
    return x

# %% exercise="rope_inplace" wrong="mixed_up_table_row"
"""x is split as pid // T, pid % T and the tables are read at pid // N: the wrong position's angles when N > 1."""
@triton.jit
def rope_inplace_kernel(
    x_ptr, cos_ptr, sin_ptr, batches, length, half, x_batch, x_time, x_col, table_row, BLOCK: tl.constexpr
):
    pid = tl.program_id(0)
    b, t = pid // length, pid % length
    i = tl.arange(0, BLOCK)
    inside = i < half
    cos = tl.load(cos_ptr + (pid // batches) * table_row + i, mask=inside)
    sin = tl.load(sin_ptr + (pid // batches) * table_row + i, mask=inside)
    first = x_ptr + b * x_batch + t * x_time + i * x_col
    second = first + half * x_col
    u = tl.load(first, mask=inside).to(tl.float32)
    v = tl.load(second, mask=inside).to(tl.float32)
    tl.store(first, u * cos - v * sin, mask=inside)
    tl.store(second, u * sin + v * cos, mask=inside)


def rope_inplace(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    N, T, d = x.shape
    rope_inplace_kernel[(N * T,)](
        x, cos, sin, N, T, d // 2, x.stride(0), x.stride(1), x.stride(2), cos.stride(0),
        BLOCK=triton.next_power_of_2(d // 2),
    )
    return x

# %% exercise="rope_inplace" wrong="block_rounded_down"
"""BLOCK is the power of two below d/2: the last pairs stay as they were when d/2 is no power of two."""
@triton.jit
def rope_inplace_kernel(
    x_ptr, cos_ptr, sin_ptr, length, half, x_batch, x_time, x_col, table_row, BLOCK: tl.constexpr
):
    pid = tl.program_id(0)
    b, t = pid // length, pid % length
    i = tl.arange(0, BLOCK)
    inside = i < half
    cos = tl.load(cos_ptr + t * table_row + i, mask=inside)
    sin = tl.load(sin_ptr + t * table_row + i, mask=inside)
    first = x_ptr + b * x_batch + t * x_time + i * x_col
    second = first + half * x_col
    u = tl.load(first, mask=inside).to(tl.float32)
    v = tl.load(second, mask=inside).to(tl.float32)
    tl.store(first, u * cos - v * sin, mask=inside)
    tl.store(second, u * sin + v * cos, mask=inside)


def rope_inplace(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    N, T, d = x.shape
    rope_inplace_kernel[(N * T,)](
        x, cos, sin, T, d // 2, x.stride(0), x.stride(1), x.stride(2), cos.stride(0),
        BLOCK=1 << ((d // 2).bit_length() - 1),
    )
    return x

# %% exercise="rope_inplace" wrong="computed_in_float16"
"""Cosine and sine are converted to x's dtype: a float16 x is turned in float16, wrong where a cos and b sin nearly cancel."""
@triton.jit
def rope_inplace_kernel(
    x_ptr, cos_ptr, sin_ptr, length, half, x_batch, x_time, x_col, table_row, BLOCK: tl.constexpr
):
    pid = tl.program_id(0)
    b, t = pid // length, pid % length
    i = tl.arange(0, BLOCK)
    inside = i < half
    first = x_ptr + b * x_batch + t * x_time + i * x_col
    second = first + half * x_col
    u = tl.load(first, mask=inside)
    v = tl.load(second, mask=inside)
    cos = tl.load(cos_ptr + t * table_row + i, mask=inside).to(u.dtype)
    sin = tl.load(sin_ptr + t * table_row + i, mask=inside).to(u.dtype)
    tl.store(first, u * cos - v * sin, mask=inside)
    tl.store(second, u * sin + v * cos, mask=inside)


def rope_inplace(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    N, T, d = x.shape
    rope_inplace_kernel[(N * T,)](
        x, cos, sin, T, d // 2, x.stride(0), x.stride(1), x.stride(2), cos.stride(0),
        BLOCK=triton.next_power_of_2(d // 2),
    )
    return x

# %% exercise="rope_inplace" wrong="turns_a_copy"
"""Turns a copy and returns it: x is not changed, not returned, and the copy is a launch."""
@triton.jit
def rope_inplace_kernel(
    x_ptr, cos_ptr, sin_ptr, length, half, x_batch, x_time, x_col, table_row, BLOCK: tl.constexpr
):
    pid = tl.program_id(0)
    b, t = pid // length, pid % length
    i = tl.arange(0, BLOCK)
    inside = i < half
    cos = tl.load(cos_ptr + t * table_row + i, mask=inside)
    sin = tl.load(sin_ptr + t * table_row + i, mask=inside)
    first = x_ptr + b * x_batch + t * x_time + i * x_col
    second = first + half * x_col
    u = tl.load(first, mask=inside).to(tl.float32)
    v = tl.load(second, mask=inside).to(tl.float32)
    tl.store(first, u * cos - v * sin, mask=inside)
    tl.store(second, u * sin + v * cos, mask=inside)


def rope_inplace(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    x = x.clone()
    N, T, d = x.shape
    rope_inplace_kernel[(N * T,)](
        x, cos, sin, T, d // 2, x.stride(0), x.stride(1), x.stride(2), cos.stride(0),
        BLOCK=triton.next_power_of_2(d // 2),
    )
    return x

# %% exercise="rope_inplace" wrong="program_for_each_batch"
"""One program for each batch, which loops over its positions: a single program for N = 1 and T > 4."""
@triton.jit
def rope_inplace_kernel(
    x_ptr, cos_ptr, sin_ptr, length, half, x_batch, x_time, x_col, table_row, BLOCK: tl.constexpr
):
    b = tl.program_id(0)
    i = tl.arange(0, BLOCK)
    inside = i < half
    for t in range(length):
        cos = tl.load(cos_ptr + t * table_row + i, mask=inside)
        sin = tl.load(sin_ptr + t * table_row + i, mask=inside)
        first = x_ptr + b * x_batch + t * x_time + i * x_col
        second = first + half * x_col
        u = tl.load(first, mask=inside).to(tl.float32)
        v = tl.load(second, mask=inside).to(tl.float32)
        tl.store(first, u * cos - v * sin, mask=inside)
        tl.store(second, u * sin + v * cos, mask=inside)


def rope_inplace(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    N, T, d = x.shape
    rope_inplace_kernel[(N,)](
        x, cos, sin, T, d // 2, x.stride(0), x.stride(1), x.stride(2), cos.stride(0),
        BLOCK=triton.next_power_of_2(d // 2),
    )
    return x

# %% exercise="repaired_choice" wrong="joined_bytes"
"""On a tie compares left + right: (b"a", b"bc") beats (b"ab", b"a")."""
def repaired_choice(counts: dict[tuple[bytes, bytes], int]) -> tuple[bytes, bytes]:
    return max(counts, key=lambda pair: (counts[pair], pair[0] + pair[1]))

# %% exercise="repaired_choice" wrong="smaller_pair"
"""On a tie the smaller pair."""
def repaired_choice(counts: dict[tuple[bytes, bytes], int]) -> tuple[bytes, bytes]:
    return sorted(counts, key=lambda pair: (-counts[pair], pair))[0]

# %% exercise="repaired_choice" wrong="first_inserted"
"""On a tie the pair that was inserted first."""
def repaired_choice(counts: dict[tuple[bytes, bytes], int]) -> tuple[bytes, bytes]:
    return max(counts, key=counts.get)

# %% exercise="repaired_choice" wrong="left_only_2"
"""On a tie compares only the left byte strings; of equal ones the first inserted wins."""
def repaired_choice(counts: dict[tuple[bytes, bytes], int]) -> tuple[bytes, bytes]:
    return max(counts, key=lambda pair: (counts[pair], pair[0]))

# %% exercise="repaired_choice" wrong="decoded_strings"
"""Compares decoded strings: bytes that are no UTF-8 all become U+FFFD, so b"\\x80" and b"\\xff" are equal and above all others."""
def repaired_choice(counts: dict[tuple[bytes, bytes], int]) -> tuple[bytes, bytes]:
    def text(token):
        return token.decode("utf-8", errors="replace")

    return max(counts, key=lambda pair: (counts[pair], text(pair[0]), text(pair[1])))

# %% exercise="repaired_choice" wrong="longer_first"
"""Compares as numbers (a longer byte string is greater): b"ab" beats b"b"."""
def repaired_choice(counts: dict[tuple[bytes, bytes], int]) -> tuple[bytes, bytes]:
    def number(token):
        return int.from_bytes(token, "big")

    return max(counts, key=lambda pair: (counts[pair], number(pair[0]), number(pair[1])))

# %% exercise="repaired_choice" wrong="greatest_pair_of_all"
"""The counts come second: the greatest pair wins however rare it is."""
def repaired_choice(counts: dict[tuple[bytes, bytes], int]) -> tuple[bytes, bytes]:
    return max((pair, n) for pair, n in counts.items())[0]

# %% exercise="repaired_rotations" wrong="computed_in_float32"
"""Angles in float32: the results for float32 and float64 are not the rounded true values at large positions."""
def repaired_rotations(length: int, d: int, dtype: torch.dtype, base: float = 10000.0) -> tuple[Tensor, Tensor]:
    t = torch.arange(length, dtype=torch.float32)
    inverse = 1.0 / base ** (torch.arange(0, d, 2, dtype=torch.float32) / d)
    table = torch.outer(t, inverse)
    return table.cos().to(dtype), table.sin().to(dtype)

# %% exercise="repaired_rotations" wrong="frequencies_in_float32"
"""Only the product is in float64; the frequencies come rounded to float32 from rope_frequencies."""
def repaired_rotations(length: int, d: int, dtype: torch.dtype, base: float = 10000.0) -> tuple[Tensor, Tensor]:
    t = torch.arange(length, dtype=torch.float64)
    table = torch.outer(t, rope_frequencies(d, base).double())
    return table.cos().to(dtype), table.sin().to(dtype)

# %% exercise="repaired_rotations" wrong="frequencies_in_the_dtype"
"""The positions are exact, the frequencies still follow the dtype."""
def repaired_rotations(length: int, d: int, dtype: torch.dtype, base: float = 10000.0) -> tuple[Tensor, Tensor]:
    t = torch.arange(length, dtype=torch.float64)
    inverse = (1.0 / base ** (torch.arange(0, d, 2, dtype=torch.float64) / d)).to(dtype)
    table = torch.outer(t, inverse.double())
    return table.cos().to(dtype), table.sin().to(dtype)

# %% exercise="repaired_rotations" wrong="product_rounded"
"""The angle is rounded to the dtype before the cosine (Wang et al.'s remaining error)."""
def repaired_rotations(length: int, d: int, dtype: torch.dtype, base: float = 10000.0) -> tuple[Tensor, Tensor]:
    t = torch.arange(length, dtype=torch.float64)
    inverse = 1.0 / base ** (torch.arange(0, d, 2, dtype=torch.float64) / d)
    table = torch.outer(t, inverse).to(dtype)
    return table.cos(), table.sin()

# %% exercise="repaired_rotations" wrong="positions_in_the_dtype"
"""The positions are made in the dtype: in bfloat16 every sixteenth above 2048."""
def repaired_rotations(length: int, d: int, dtype: torch.dtype, base: float = 10000.0) -> tuple[Tensor, Tensor]:
    t = torch.arange(length).to(dtype).double()
    inverse = 1.0 / base ** (torch.arange(0, d, 2, dtype=torch.float64) / d)
    table = torch.outer(t, inverse)
    return table.cos().to(dtype), table.sin().to(dtype)

# %% exercise="repaired_rotations" wrong="stays_float64"
"""The result is float64 whatever dtype is asked."""
def repaired_rotations(length: int, d: int, dtype: torch.dtype, base: float = 10000.0) -> tuple[Tensor, Tensor]:
    t = torch.arange(length, dtype=torch.float64)
    inverse = 1.0 / base ** (torch.arange(0, d, 2, dtype=torch.float64) / d)
    table = torch.outer(t, inverse)
    return table.cos(), table.sin()

# %% exercise="repaired_rotations" wrong="sine_first"
"""Returns sin, cos."""
def repaired_rotations(length: int, d: int, dtype: torch.dtype, base: float = 10000.0) -> tuple[Tensor, Tensor]:
    t = torch.arange(length, dtype=torch.float64)
    inverse = 1.0 / base ** (torch.arange(0, d, 2, dtype=torch.float64) / d)
    table = torch.outer(t, inverse)
    return table.sin().to(dtype), table.cos().to(dtype)

# %% exercise="repaired_rotations" wrong="full_width"
"""Tables of width d (each angle twice, as transformers keeps them) and not d / 2."""
def repaired_rotations(length: int, d: int, dtype: torch.dtype, base: float = 10000.0) -> tuple[Tensor, Tensor]:
    t = torch.arange(length, dtype=torch.float64)
    inverse = 1.0 / base ** (torch.arange(0, d, 2, dtype=torch.float64) / d)
    table = torch.outer(t, inverse)
    table = torch.cat([table, table], -1)
    return table.cos().to(dtype), table.sin().to(dtype)

# %% exercise="bpe_merge" wrong="splices_the_argument"
"""Splices the caller's own list: `tokens` does not stay as it was, for any list that holds the pair."""
def bpe_merge(tokens: list, pair: tuple, merged) -> list:
    i = 0
    while i + 1 < len(tokens):
        if (tokens[i], tokens[i + 1]) == tuple(pair):
            tokens[i : i + 2] = [merged]
        i += 1
    return list(tokens)

# %% exercise="bpe_merge" wrong="same_list_without_a_hit"
"""Gives the caller's list itself back, no new one, when the pair does not occur."""
def bpe_merge(tokens: list, pair: tuple, merged) -> list:
    if pair not in zip(tokens, tokens[1:]):
        return tokens
    out, i = [], 0
    while i < len(tokens):
        if tuple(tokens[i : i + 2]) == pair:
            out.append(merged)
            i += 2
        else:
            out.append(tokens[i])
            i += 1
    return out

# %% exercise="bpe_merge" wrong="merges_the_merged_again"
"""Looks at the end of its output, so that a merged token that equals the left half is merged again: [1, 1, 1], (1, 1), 1."""
def bpe_merge(tokens: list, pair: tuple, merged) -> list:
    out = []
    for token in tokens:
        if out and (out[-1], token) == tuple(pair):
            out[-1] = merged
        else:
            out.append(token)
    return out

# %% exercise="bpe_merge" wrong="from_right_to_left"
"""Merges from the right: [1, 1, 1] with (1, 1) gives [1, merged]."""
def bpe_merge(tokens: list, pair: tuple, merged) -> list:
    out, i = [], len(tokens) - 1
    while i >= 0:
        if i > 0 and (tokens[i - 1], tokens[i]) == tuple(pair):
            out.append(merged)
            i -= 2
        else:
            out.append(tokens[i])
            i -= 1
    return out[::-1]

# %% exercise="bpe_merge" wrong="drops_falsy_tokens"
"""Marks used-up places with None and then filters by truth: id 0 (and a merged token 0) disappears."""
def bpe_merge(tokens: list, pair: tuple, merged) -> list:
    work = list(tokens)
    i = 0
    while i + 1 < len(work):
        if (work[i], work[i + 1]) == tuple(pair):
            work[i], work[i + 1] = merged, None
            i += 2
        else:
            i += 1
    return [token for token in work if token]

# %% exercise="bpe_merge" wrong="compares_identity"
"""Compares with `is`: equal bytes or large ids that are other objects are not found."""
def bpe_merge(tokens: list, pair: tuple, merged) -> list:
    out, i = [], 0
    while i < len(tokens):
        if i + 1 < len(tokens) and tokens[i] is pair[0] and tokens[i + 1] is pair[1]:
            out.append(merged)
            i += 2
        else:
            out.append(tokens[i])
            i += 1
    return out

# %% exercise="bpe_train" wrong="stops_at_one"
"""Stops when the most frequent pair occurs once only, though pairs of neighbours are left ("abc", 2)."""
def bpe_train(text: str, num_merges: int) -> list[tuple[bytes, bytes]]:
    words = [([bytes([b]) for b in p.encode()], n) for p, n in Counter(pretokenize(text)).items()]
    merges = []
    for _ in range(num_merges):
        counts = Counter()
        for tokens, n in words:
            for pair in zip(tokens, tokens[1:]):
                counts[pair] += n
        if not counts or max(counts.values()) < 2:
            break
        best = max(counts, key=lambda p: (counts[p], p))
        merges.append(best)
        words = [(bpe_merge(tokens, best, best[0] + best[1]), n) for tokens, n in words]
    return merges

# %% exercise="bpe_train" wrong="tie_by_joined_bytes_2"
"""On a tie compares the joined bytes, not the pair: (b"a", b"zz") beats (b"az", b"b")."""
def bpe_train(text: str, num_merges: int) -> list[tuple[bytes, bytes]]:
    words = [([bytes([b]) for b in p.encode()], n) for p, n in Counter(pretokenize(text)).items()]
    merges = []
    for _ in range(num_merges):
        counts = Counter()
        for tokens, n in words:
            for pair in zip(tokens, tokens[1:]):
                counts[pair] += n
        if not counts:
            break
        best = max(counts, key=lambda p: (counts[p], p[0] + p[1]))
        merges.append(best)
        words = [(bpe_merge(tokens, best, best[0] + best[1]), n) for tokens, n in words]
    return merges

# %% exercise="bpe_train" wrong="tie_by_ids"
"""On a tie compares token ids, so that every learned token is greater than every byte."""
def bpe_train(text: str, num_merges: int) -> list[tuple[bytes, bytes]]:
    table = [bytes([b]) for b in range(256)]
    words = [(list(p.encode()), n) for p, n in Counter(pretokenize(text)).items()]
    merges = []
    for _ in range(num_merges):
        counts = Counter()
        for ids, n in words:
            for pair in zip(ids, ids[1:]):
                counts[pair] += n
        if not counts:
            break
        best = max(counts, key=lambda p: (counts[p], p))
        merges.append((table[best[0]], table[best[1]]))
        words = [(bpe_merge(ids, best, len(table)), n) for ids, n in words]
        table.append(table[best[0]] + table[best[1]])
    return merges

# %% exercise="bpe_train" wrong="overlaps_counted_once"
"""Counts occurrences that can be merged: [1, 1, 1] counts (1, 1) once, not twice."""
def bpe_train(text: str, num_merges: int) -> list[tuple[bytes, bytes]]:
    words = [([bytes([b]) for b in p.encode()], n) for p, n in Counter(pretokenize(text)).items()]
    merges = []
    for _ in range(num_merges):
        counts = Counter()
        for tokens, n in words:
            last = None
            for i, pair in enumerate(zip(tokens, tokens[1:])):
                if pair == last:
                    last = None
                    continue
                counts[pair] += n
                last = pair
        if not counts:
            break
        best = max(counts, key=lambda p: (counts[p], p))
        merges.append(best)
        words = [(bpe_merge(tokens, best, best[0] + best[1]), n) for tokens, n in words]
    return merges

# %% exercise="bpe_train" wrong="raises_when_nothing_is_left"
"""max() of nothing raises ValueError where fewer merges should come back ("ab", 5; or "")."""
def bpe_train(text: str, num_merges: int) -> list[tuple[bytes, bytes]]:
    words = [([bytes([b]) for b in p.encode()], n) for p, n in Counter(pretokenize(text)).items()]
    merges = []
    for _ in range(num_merges):
        counts = Counter()
        for tokens, n in words:
            for pair in zip(tokens, tokens[1:]):
                counts[pair] += n
        best = max(counts, key=lambda p: (counts[p], p))
        merges.append(best)
        words = [(bpe_merge(tokens, best, best[0] + best[1]), n) for tokens, n in words]
    return merges

# %% exercise="bpe_train" wrong="starts_from_characters_2"
"""Starts from encoded characters, not bytes: the bytes of an accented letter are never learned as merges ("éé")."""
def bpe_train(text: str, num_merges: int) -> list[tuple[bytes, bytes]]:
    words = [([c.encode("utf-8") for c in p], n) for p, n in Counter(pretokenize(text)).items()]
    merges = []
    for _ in range(num_merges):
        counts = Counter()
        for tokens, n in words:
            for pair in zip(tokens, tokens[1:]):
                counts[pair] += n
        if not counts:
            break
        best = max(counts, key=lambda p: (counts[p], p))
        merges.append(best)
        words = [(bpe_merge(tokens, best, best[0] + best[1]), n) for tokens, n in words]
    return merges

# %% exercise="bpe_train" wrong="at_least_one_merge"
"""Checks the number after learning: num_merges=0 gives one merge."""
def bpe_train(text: str, num_merges: int) -> list[tuple[bytes, bytes]]:
    words = [([bytes([b]) for b in p.encode()], n) for p, n in Counter(pretokenize(text)).items()]
    merges = []
    while True:
        counts = Counter()
        for tokens, n in words:
            for pair in zip(tokens, tokens[1:]):
                counts[pair] += n
        if not counts:
            return merges
        best = max(counts, key=lambda p: (counts[p], p))
        merges.append(best)
        if len(merges) >= num_merges:
            return merges
        words = [(bpe_merge(tokens, best, best[0] + best[1]), n) for tokens, n in words]

# %% exercise="bpe_train" wrong="pieces_not_weighted"
"""Counts each distinct piece once without its number of occurrences ("ab ab ab cd ce cf")."""
def bpe_train(text: str, num_merges: int) -> list[tuple[bytes, bytes]]:
    words = [[bytes([b]) for b in p.encode()] for p in set(pretokenize(text))]
    merges = []
    for _ in range(num_merges):
        counts = Counter(pair for tokens in words for pair in zip(tokens, tokens[1:]))
        if not counts:
            break
        best = max(counts, key=lambda p: (counts[p], p))
        merges.append(best)
        words = [bpe_merge(tokens, best, best[0] + best[1]) for tokens in words]
    return merges

# %% exercise="bpe_encode" wrong="one_walk_through_the_list"
"""Walks through the merges once: a merge that makes a pair standing before it leaves that pair unmerged."""
def bpe_encode(text: str, merges: list[tuple[bytes, bytes]], specials: tuple[str, ...] = ()) -> list[int]:
    table = vocabulary(merges)
    number = {token: i for i, token in table.items()}
    special = {word: len(table) + i for i, word in enumerate(specials)}
    parts = [text]
    if specials:
        parts = re.split("(" + "|".join(map(re.escape, sorted(specials, key=len, reverse=True))) + ")", text)
    ids = []
    for part in parts:
        if part in special:
            ids.append(special[part])
            continue
        for piece in pretokenize(part):
            tokens = [bytes([b]) for b in piece.encode()]
            for left, right in merges:
                tokens = bpe_merge(tokens, (left, right), left + right)
            ids += [number[t] for t in tokens]
    return ids

# %% exercise="bpe_encode" wrong="one_occurrence_at_a_time_2"
"""Merges only the leftmost occurrence before it looks again: merges [(ab, a), (a, b)], text "abab" gives aba, b."""
def bpe_encode(text: str, merges: list[tuple[bytes, bytes]], specials: tuple[str, ...] = ()) -> list[int]:
    rank = {pair: i for i, pair in enumerate(merges)}
    table = vocabulary(merges)
    number = {token: i for i, token in table.items()}
    special = {word: len(table) + i for i, word in enumerate(specials)}
    parts = [text]
    if specials:
        parts = re.split("(" + "|".join(map(re.escape, sorted(specials, key=len, reverse=True))) + ")", text)
    ids = []
    for part in parts:
        if part in special:
            ids.append(special[part])
            continue
        for piece in pretokenize(part):
            tokens = [bytes([b]) for b in piece.encode()]
            while len(tokens) > 1:
                ranks = [rank.get(p, len(merges)) for p in zip(tokens, tokens[1:])]
                best = min(ranks)
                if best == len(merges):
                    break
                i = ranks.index(best)
                tokens[i : i + 2] = [tokens[i] + tokens[i + 1]]
            ids += [number[t] for t in tokens]
    return ids

# %% exercise="bpe_encode" wrong="empty_group_without_specials"
"""Splits at the empty pattern when there are no special tokens: every character becomes a piece of its own."""
def bpe_encode(text: str, merges: list[tuple[bytes, bytes]], specials: tuple[str, ...] = ()) -> list[int]:
    rank = {pair: i for i, pair in enumerate(merges)}
    table = vocabulary(merges)
    number = {token: i for i, token in table.items()}
    special = {word: len(table) + i for i, word in enumerate(specials)}
    ids = []
    for part in re.split("(" + "|".join(map(re.escape, sorted(specials, key=len, reverse=True))) + ")", text):
        if part in special:
            ids.append(special[part])
            continue
        for piece in pretokenize(part):
            tokens = [bytes([b]) for b in piece.encode()]
            while True:
                pairs = [p for p in zip(tokens, tokens[1:]) if p in rank]
                if not pairs:
                    break
                best = min(pairs, key=rank.get)
                tokens = bpe_merge(tokens, best, best[0] + best[1])
            ids += [number[t] for t in tokens]
    return ids

# %% exercise="bpe_encode" wrong="specials_not_escaped_2"
"""Special tokens go into the pattern unescaped: the bars of <|endoftext|> are alternatives, the word itself is cut."""
def bpe_encode(text: str, merges: list[tuple[bytes, bytes]], specials: tuple[str, ...] = ()) -> list[int]:
    rank = {pair: i for i, pair in enumerate(merges)}
    table = vocabulary(merges)
    number = {token: i for i, token in table.items()}
    special = {word: len(table) + i for i, word in enumerate(specials)}
    parts = re.split("(" + "|".join(sorted(specials, key=len, reverse=True)) + ")", text) if specials else [text]
    ids = []
    for part in parts:
        if part in special:
            ids.append(special[part])
            continue
        for piece in pretokenize(part or ""):
            tokens = [bytes([b]) for b in piece.encode()]
            while True:
                pairs = [p for p in zip(tokens, tokens[1:]) if p in rank]
                if not pairs:
                    break
                best = min(pairs, key=rank.get)
                tokens = bpe_merge(tokens, best, best[0] + best[1])
            ids += [number[t] for t in tokens]
    return ids

# %% exercise="bpe_encode" wrong="specials_in_given_order_2"
"""Takes the special token that stands first in `specials`, not the longest: ("<a>", "<a><b>")."""
def bpe_encode(text: str, merges: list[tuple[bytes, bytes]], specials: tuple[str, ...] = ()) -> list[int]:
    rank = {pair: i for i, pair in enumerate(merges)}
    table = vocabulary(merges)
    number = {token: i for i, token in table.items()}
    special = {word: len(table) + i for i, word in enumerate(specials)}
    parts = re.split("(" + "|".join(map(re.escape, specials)) + ")", text) if specials else [text]
    ids = []
    for part in parts:
        if part in special:
            ids.append(special[part])
            continue
        for piece in pretokenize(part):
            tokens = [bytes([b]) for b in piece.encode()]
            while True:
                pairs = [p for p in zip(tokens, tokens[1:]) if p in rank]
                if not pairs:
                    break
                best = min(pairs, key=rank.get)
                tokens = bpe_merge(tokens, best, best[0] + best[1])
            ids += [number[t] for t in tokens]
    return ids

# %% exercise="bpe_encode" wrong="id_is_256_plus_rank_2"
"""Special ids start at 256 + len(merges): too high when two merges give the same bytes (then `vocabulary` adds one id only)."""
def bpe_encode(text: str, merges: list[tuple[bytes, bytes]], specials: tuple[str, ...] = ()) -> list[int]:
    rank = {pair: i for i, pair in enumerate(merges)}
    number = {token: i for i, token in vocabulary(merges).items()}
    special = {word: 256 + len(merges) + i for i, word in enumerate(specials)}
    parts = [text]
    if specials:
        parts = re.split("(" + "|".join(map(re.escape, sorted(specials, key=len, reverse=True))) + ")", text)
    ids = []
    for part in parts:
        if part in special:
            ids.append(special[part])
            continue
        for piece in pretokenize(part):
            tokens = [bytes([b]) for b in piece.encode()]
            while True:
                pairs = [p for p in zip(tokens, tokens[1:]) if p in rank]
                if not pairs:
                    break
                best = min(pairs, key=rank.get)
                tokens = bpe_merge(tokens, best, best[0] + best[1])
            ids += [number[t] for t in tokens]
    return ids

# %% exercise="bpe_encode" wrong="pieces_cut_before_specials"
"""Cuts the text into pieces first: a special token of letters and signs such as <|end|> is never found."""
def bpe_encode(text: str, merges: list[tuple[bytes, bytes]], specials: tuple[str, ...] = ()) -> list[int]:
    rank = {pair: i for i, pair in enumerate(merges)}
    table = vocabulary(merges)
    number = {token: i for i, token in table.items()}
    special = {word: len(table) + i for i, word in enumerate(specials)}
    ids = []
    for piece in pretokenize(text):
        if piece in special:
            ids.append(special[piece])
            continue
        tokens = [bytes([b]) for b in piece.encode()]
        while True:
            pairs = [p for p in zip(tokens, tokens[1:]) if p in rank]
            if not pairs:
                break
            best = min(pairs, key=rank.get)
            tokens = bpe_merge(tokens, best, best[0] + best[1])
        ids += [number[t] for t in tokens]
    return ids

# %% exercise="bpe_encode" wrong="merges_across_pieces"
"""Does not cut the text between special tokens into pieces: a merge such as (e, space) or (1, a) crosses them."""
def bpe_encode(text: str, merges: list[tuple[bytes, bytes]], specials: tuple[str, ...] = ()) -> list[int]:
    rank = {pair: i for i, pair in enumerate(merges)}
    table = vocabulary(merges)
    number = {token: i for i, token in table.items()}
    special = {word: len(table) + i for i, word in enumerate(specials)}
    parts = [text]
    if specials:
        parts = re.split("(" + "|".join(map(re.escape, sorted(specials, key=len, reverse=True))) + ")", text)
    ids = []
    for part in parts:
        if part in special:
            ids.append(special[part])
            continue
        tokens = [bytes([b]) for b in part.encode()]
        while True:
            pairs = [p for p in zip(tokens, tokens[1:]) if p in rank]
            if not pairs:
                break
            best = min(pairs, key=rank.get)
            tokens = bpe_merge(tokens, best, best[0] + best[1])
        ids += [number[t] for t in tokens]
    return ids

# %% exercise="bpe_decode" wrong="loses_the_tail"
"""An incremental decoder that is never told the end: an unfinished character at the end vanishes ([0xE2, 0x82])."""
import codecs


def bpe_decode(ids: list[int], merges: list[tuple[bytes, bytes]], specials: tuple[str, ...] = ()) -> str:
    table = vocabulary(merges, specials)
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    return "".join(decoder.decode(table[i]) for i in ids)

# %% exercise="bpe_decode" wrong="strict_2"
"""Raises UnicodeDecodeError for bytes that are no UTF-8 ([255])."""
def bpe_decode(ids: list[int], merges: list[tuple[bytes, bytes]], specials: tuple[str, ...] = ()) -> str:
    table = vocabulary(merges, specials)
    return b"".join(map(table.get, ids)).decode()

# %% exercise="bpe_decode" wrong="own_table_by_rank"
"""Its own table counts every merge: ids after a merge whose result was a token already are shifted."""
def bpe_decode(ids: list[int], merges: list[tuple[bytes, bytes]], specials: tuple[str, ...] = ()) -> str:
    table = [bytes([b]) for b in range(256)] + [a + b for a, b in merges] + [w.encode() for w in specials]
    return b"".join(table[i] for i in ids).decode("utf-8", errors="replace")

# %% exercise="language_finding" wrong="bytes_per_letter"
"""Takes the three bytes of a Devanagari letter for the measured ratio."""
language_finding = {"cheapest": "en", "dearest": "hi", "times": 3.0}

# %% exercise="language_finding" wrong="russian"
"""Takes Russian for the dearest, with its median."""
language_finding = {"cheapest": "en", "dearest": "ru", "times": 2.9}

# %% exercise="pad_batch" wrong="mask_from_pad_id_2"
"""The mask is ids != pad_id: a real token with that id counts as padding (rows [[0, 5]], pad_id 0)."""
def pad_batch(rows: list[list[int]], pad_id: int, side: str = "right") -> tuple[Tensor, Tensor, Tensor]:
    if side not in ("right", "left"):
        raise ValueError(side)
    longest = max(len(row) for row in rows)
    fill = [[pad_id] * (longest - len(row)) for row in rows]
    ids = torch.tensor([list(row) + gap if side == "right" else gap + list(row) for row, gap in zip(rows, fill)])
    mask = ids != pad_id
    return ids, mask, (mask.cumsum(1) - 1).masked_fill(~mask, 0)

# %% exercise="pad_batch" wrong="extends_the_rows"
"""Appends the padding to the caller's rows, which do not stay as they were."""
def pad_batch(rows: list[list[int]], pad_id: int, side: str = "right") -> tuple[Tensor, Tensor, Tensor]:
    if side not in ("right", "left"):
        raise ValueError(side)
    lengths = [len(row) for row in rows]
    longest = max(lengths)
    mask = torch.zeros(len(rows), longest, dtype=torch.bool)
    for i, row in enumerate(rows):
        while len(row) < longest:
            row.insert(len(row) if side == "right" else 0, pad_id)
        if side == "right":
            mask[i, : lengths[i]] = True
        else:
            mask[i, longest - lengths[i] :] = True
    return torch.tensor(rows), mask, (mask.cumsum(1) - 1).masked_fill(~mask, 0)

# %% exercise="pad_batch" wrong="side_checked_with_a_gap_only"
"""Looks at the side only where there is a gap: rows of one length and side="middle" raise nothing."""
def pad_batch(rows: list[list[int]], pad_id: int, side: str = "right") -> tuple[Tensor, Tensor, Tensor]:
    longest = max(len(row) for row in rows)
    ids, mask = [], []
    for row in rows:
        gap = longest - len(row)
        full, real = list(row), [True] * len(row)
        if gap:
            if side == "right":
                full, real = full + [pad_id] * gap, real + [False] * gap
            elif side == "left":
                full, real = [pad_id] * gap + full, [False] * gap + real
            else:
                raise ValueError(side)
        ids.append(full)
        mask.append(real)
    mask = torch.tensor(mask)
    return torch.tensor(ids), mask, (mask.cumsum(1) - 1).masked_fill(~mask, 0)

# %% exercise="pad_batch" wrong="counts_on_in_padding"
"""Positions go on counting in padding on the right (and are clamped to 0 on the left): not 0 there."""
def pad_batch(rows: list[list[int]], pad_id: int, side: str = "right") -> tuple[Tensor, Tensor, Tensor]:
    if side not in ("right", "left"):
        raise ValueError(side)
    lengths = torch.tensor([len(row) for row in rows])[:, None]
    longest = int(lengths.max())
    columns = torch.arange(longest).expand(len(rows), -1)
    if side == "left":
        columns = columns - (longest - lengths)
    mask = (columns >= 0) & (columns < lengths)
    ids = torch.full((len(rows), longest), pad_id)
    ids[mask] = torch.tensor([token for row in rows for token in row])
    return ids, mask, columns.clamp(min=0)

# %% exercise="pad_batch" wrong="mask_of_numbers"
"""The mask is int64 (ones and zeros), not bool."""
def pad_batch(rows: list[list[int]], pad_id: int, side: str = "right") -> tuple[Tensor, Tensor, Tensor]:
    if side not in ("right", "left"):
        raise ValueError(side)
    longest = max(len(row) for row in rows)
    ids = torch.full((len(rows), longest), pad_id)
    mask = torch.zeros_like(ids)
    for i, row in enumerate(rows):
        place = slice(0, len(row)) if side == "right" else slice(longest - len(row), longest)
        ids[i, place] = torch.tensor(row)
        mask[i, place] = 1
    return ids, mask, (mask.cumsum(1) - 1) * mask

# %% exercise="pad_batch" wrong="index_as_position"
"""On the left side the positions are column indices, not counted from the first real token."""
def pad_batch(rows: list[list[int]], pad_id: int, side: str = "right") -> tuple[Tensor, Tensor, Tensor]:
    if side not in ("right", "left"):
        raise ValueError(side)
    longest = max(len(row) for row in rows)
    ids = torch.full((len(rows), longest), pad_id)
    mask = torch.zeros(len(rows), longest, dtype=torch.bool)
    for i, row in enumerate(rows):
        place = slice(0, len(row)) if side == "right" else slice(longest - len(row), longest)
        ids[i, place] = torch.tensor(row)
        mask[i, place] = True
    return ids, mask, torch.arange(longest) * mask

# %% exercise="embed" wrong="one_hot_cuts_the_gradient"
"""The product is made with table.data: the one-hot way gives the table no gradient."""
def embed(ids: Tensor, table: Tensor, one_hot: bool = False) -> Tensor:
    if one_hot:
        return (ids[..., None] == torch.arange(table.shape[0])).to(table.dtype) @ table.data
    return table[ids]

# %% exercise="embed" wrong="gradient_by_frequency_2"
"""scale_grad_by_freq: a token that stands in several places collects the mean of its gradients, not the sum."""
def embed(ids: Tensor, table: Tensor, one_hot: bool = False) -> Tensor:
    if one_hot:
        return (ids.unsqueeze(-1) == torch.arange(len(table))).to(table.dtype) @ table
    return nn.functional.embedding(ids, table, scale_grad_by_freq=True)

# %% exercise="embed" wrong="always_float32"
"""The one-hot way computes in float32 and returns that, whatever the table's dtype (float64, float16)."""
def embed(ids: Tensor, table: Tensor, one_hot: bool = False) -> Tensor:
    if one_hot:
        return nn.functional.one_hot(ids, table.shape[0]).float() @ table.float()
    return table[ids]

# %% exercise="embed" wrong="squeezes"
"""Drops dimensions of size one: ids (1, 5) give (5, D)."""
def embed(ids: Tensor, table: Tensor, one_hot: bool = False) -> Tensor:
    if one_hot:
        return ((ids[..., None] == torch.arange(table.shape[0])).to(table.dtype) @ table).squeeze()
    return table[ids].squeeze()

# %% exercise="embed" wrong="classes_from_the_largest_id"
"""The one-hot way takes the number of classes from the largest id: RuntimeError for ids with no element."""
def embed(ids: Tensor, table: Tensor, one_hot: bool = False) -> Tensor:
    if one_hot:
        used = int(ids.max()) + 1
        return nn.functional.one_hot(ids, used).to(table.dtype) @ table[:used]
    return table[ids]

# %% exercise="embed" wrong="ids_as_floats"
"""Compares ids in the table's dtype: in float16 2049 equals 2048, and the one-hot vector has two ones or the wrong one."""
def embed(ids: Tensor, table: Tensor, one_hot: bool = False) -> Tensor:
    if one_hot:
        numbers = torch.arange(table.shape[0]).to(table.dtype)
        return (ids.to(table.dtype)[..., None] == numbers).to(table.dtype) @ table
    return table[ids]

# %% exercise="TiedEmbedding" wrong="hidden_copy"
"""The logits use a copy outside the state dict: after a training step or a loaded state the ends have drifted apart."""
class TiedEmbedding(nn.Module):
    def __init__(self, vocab_size: int, d_model: int):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(vocab_size, d_model) * d_model**-0.5)
        self.unembedding = self.weight.detach().clone().T

    def embed(self, ids: Tensor) -> Tensor:
        return self.weight[ids] * math.sqrt(self.weight.shape[1])

    def logits(self, states: Tensor) -> Tensor:
        return states @ self.unembedding

# %% exercise="TiedEmbedding" wrong="two_tied_layers"
"""Two layers that share a parameter: the state dict has embedding.weight and head.weight, and no `weight`."""
class TiedEmbedding(nn.Module):
    def __init__(self, vocab_size: int, d_model: int):
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, d_model)
        self.head = nn.Linear(d_model, vocab_size, bias=False)
        self.head.weight = self.embedding.weight

    def embed(self, ids: Tensor) -> Tensor:
        return self.embedding(ids) * math.sqrt(self.embedding.embedding_dim)

    def logits(self, states: Tensor) -> Tensor:
        return self.head(states)

# %% exercise="TiedEmbedding" wrong="whole_number_root"
"""math.isqrt rounds the factor down: wrong for each width that is no square (D = 48)."""
class TiedEmbedding(nn.Module):
    def __init__(self, vocab_size: int, d_model: int):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(vocab_size, d_model) * d_model**-0.5)

    def embed(self, ids: Tensor) -> Tensor:
        return self.weight[ids] * math.isqrt(self.weight.shape[1])

    def logits(self, states: Tensor) -> Tensor:
        return states @ self.weight.T

# %% exercise="TiedEmbedding" wrong="gradient_from_one_end"
"""Detaches the weight in logits: the matrix learns from the embedding end only."""
class TiedEmbedding(nn.Module):
    def __init__(self, vocab_size: int, d_model: int):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(vocab_size, d_model) * d_model**-0.5)

    def embed(self, ids: Tensor) -> Tensor:
        return self.weight[ids] * math.sqrt(self.weight.shape[1])

    def logits(self, states: Tensor) -> Tensor:
        return states @ self.weight.detach().T

# %% exercise="TiedEmbedding" wrong="factor_taken_out_again"
"""Divides the states by sqrt(D) in logits, to take the factor of embed out again; the logits have no such factor."""
class TiedEmbedding(nn.Module):
    def __init__(self, vocab_size: int, d_model: int):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(vocab_size, d_model) * d_model**-0.5)

    def embed(self, ids: Tensor) -> Tensor:
        return self.weight[ids] * math.sqrt(self.weight.shape[1])

    def logits(self, states: Tensor) -> Tensor:
        return states / math.sqrt(self.weight.shape[1]) @ self.weight.T

# %% exercise="sinusoidal_encoding" wrong="float64_2"
"""Returns float64."""
def sinusoidal_encoding(length: int, d_model: int) -> Tensor:
    frequency = 10000.0 ** (-torch.arange(0, d_model, 2, dtype=torch.float64) / d_model)
    angle = torch.arange(length, dtype=torch.float64)[:, None] * frequency
    return torch.stack([angle.sin(), angle.cos()], -1).flatten(1)

# %% exercise="sinusoidal_encoding" wrong="halves_side_by_side"
"""All sines, then all cosines, instead of alternating columns (D > 2)."""
def sinusoidal_encoding(length: int, d_model: int) -> Tensor:
    frequency = 10000.0 ** (-torch.arange(0, d_model, 2) / d_model)
    angle = torch.arange(length)[:, None] * frequency
    return torch.cat([angle.sin(), angle.cos()], -1)

# %% exercise="sinusoidal_encoding" wrong="cosine_has_its_own_clock"
"""The cosine in column c uses exponent c / D, an angle other than its sine's."""
def sinusoidal_encoding(length: int, d_model: int) -> Tensor:
    angle = torch.arange(length)[:, None] * 10000.0 ** (-torch.arange(d_model) / d_model)
    out = torch.empty(length, d_model)
    out[:, 0::2], out[:, 1::2] = angle[:, 0::2].sin(), angle[:, 1::2].cos()
    return out

# %% exercise="sinusoidal_encoding" wrong="slowest_is_exactly_10000"
"""Divides by D/2 - 1 as tensor2tensor does, so that the slowest clock is 1/10000 exactly."""
def sinusoidal_encoding(length: int, d_model: int) -> Tensor:
    half = d_model // 2
    frequency = torch.exp(-math.log(10000.0) / max(half - 1, 1) * torch.arange(half))
    angle = torch.arange(length)[:, None] * frequency
    return torch.stack([angle.sin(), angle.cos()], -1).flatten(1)

# %% exercise="sinusoidal_encoding" wrong="squeezed"
"""Drops dimensions of size one: length 1 gives (D,)."""
def sinusoidal_encoding(length: int, d_model: int) -> Tensor:
    frequency = 10000.0 ** (-torch.arange(0, d_model, 2) / d_model)
    angle = torch.arange(length)[:, None] * frequency
    return torch.stack([angle.sin(), angle.cos()], -1).reshape(length, d_model).squeeze()

# %% exercise="sinusoidal_encoding" wrong="angles_in_half"
"""The angles are computed in bfloat16 "to save memory": wrong from a few hundred positions on."""
def sinusoidal_encoding(length: int, d_model: int) -> Tensor:
    frequency = (10000.0 ** (-torch.arange(0, d_model, 2) / d_model)).bfloat16()
    angle = (torch.arange(length).bfloat16()[:, None] * frequency).float()
    return torch.stack([angle.sin(), angle.cos()], -1).flatten(1)

# %% exercise="rope_frequencies" wrong="float64"
"""Returns float64."""
def rope_frequencies(d: int, base: float = 10000.0) -> Tensor:
    return base ** (-torch.arange(0, d, 2, dtype=torch.float64) / d)

# %% exercise="rope_frequencies" wrong="base_ignored_2"
"""Has 10000 in the code whatever the base (500000)."""
def rope_frequencies(d: int, base: float = 10000.0) -> Tensor:
    return torch.exp(torch.arange(0, d, 2) * (-math.log(10000.0) / d))

# %% exercise="rope_frequencies" wrong="down_to_one_over_base"
"""logspace with both ends: the last one is 1 / base instead of a little above it."""
def rope_frequencies(d: int, base: float = 10000.0) -> Tensor:
    return torch.logspace(0, -1, d // 2, base=base)

# %% exercise="apply_rope" wrong="turns_in_place"
"""Writes into x, which does not stay as it was."""
def apply_rope(x: Tensor, positions: Tensor, pairing: str = "interleaved", base: float = 10000.0) -> Tensor:
    if pairing not in ("interleaved", "half"):
        raise ValueError(pairing)
    d = x.shape[-1]
    angle = positions.double()[:, None] * rope_frequencies(d, base).double()
    first, second = (slice(0, None, 2), slice(1, None, 2)) if pairing == "interleaved" else (slice(d // 2), slice(d // 2, None))
    a, b = x[..., first].double(), x[..., second].double()
    out = x.detach()
    out[..., first] = (a * angle.cos() - b * angle.sin()).to(x.dtype)
    out[..., second] = (a * angle.sin() + b * angle.cos()).to(x.dtype)
    return out

# %% exercise="apply_rope" wrong="anything_else_is_half"
"""Everything that is not "interleaved" counts as "half": no ValueError for "Half" or "neox"."""
def apply_rope(x: Tensor, positions: Tensor, pairing: str = "interleaved", base: float = 10000.0) -> Tensor:
    angle = positions.double()[:, None] * rope_frequencies(x.shape[-1], base).double()
    a, b = (x[..., 0::2], x[..., 1::2]) if pairing == "interleaved" else x.chunk(2, -1)
    parts = [a * angle.cos() - b * angle.sin(), a * angle.sin() + b * angle.cos()]
    out = torch.stack(parts, -1).flatten(-2) if pairing == "interleaved" else torch.cat(parts, -1)
    return out.to(x.dtype)

# %% exercise="apply_rope" wrong="key_error"
"""Looks the pairing up in a dict: KeyError where the docstring wants ValueError."""
def apply_rope(x: Tensor, positions: Tensor, pairing: str = "interleaved", base: float = 10000.0) -> Tensor:
    angle = positions.double()[:, None] * rope_frequencies(x.shape[-1], base).double()
    split = {"interleaved": lambda y: (y[..., 0::2], y[..., 1::2]), "half": lambda y: y.chunk(2, -1)}
    join = {"interleaved": lambda p: torch.stack(p, -1).flatten(-2), "half": lambda p: torch.cat(p, -1)}
    a, b = split[pairing](x)
    out = join[pairing]([a * angle.cos() - b * angle.sin(), a * angle.sin() + b * angle.cos()])
    return out.to(x.dtype)

# %% exercise="apply_rope" wrong="angles_follow_x"
"""Positions and frequencies take x's dtype: in float16 the angles are rounded (position 2049 is 2048)."""
def apply_rope(x: Tensor, positions: Tensor, pairing: str = "interleaved", base: float = 10000.0) -> Tensor:
    if pairing not in ("interleaved", "half"):
        raise ValueError(pairing)
    angle = positions.to(x.dtype)[:, None] * rope_frequencies(x.shape[-1], base).to(x.dtype)
    a, b = (x[..., 0::2], x[..., 1::2]) if pairing == "interleaved" else x.chunk(2, -1)
    parts = [a * angle.cos() - b * angle.sin(), a * angle.sin() + b * angle.cos()]
    return torch.stack(parts, -1).flatten(-2) if pairing == "interleaved" else torch.cat(parts, -1)

# %% exercise="apply_rope" wrong="float16_becomes_float32"
"""Does not go back to x's dtype: float16 comes back as float32."""
def apply_rope(x: Tensor, positions: Tensor, pairing: str = "interleaved", base: float = 10000.0) -> Tensor:
    if pairing not in ("interleaved", "half"):
        raise ValueError(pairing)
    angle = positions.float()[:, None] * rope_frequencies(x.shape[-1], base)
    a, b = (x[..., 0::2], x[..., 1::2]) if pairing == "interleaved" else x.chunk(2, -1)
    parts = [a * angle.cos() - b * angle.sin(), a * angle.sin() + b * angle.cos()]
    return torch.stack(parts, -1).flatten(-2) if pairing == "interleaved" else torch.cat(parts, -1)

# %% exercise="apply_rope" wrong="whole_positions_only_2"
"""Cuts positions to whole numbers: interpolated ones such as 0.5 are lost."""
def apply_rope(x: Tensor, positions: Tensor, pairing: str = "interleaved", base: float = 10000.0) -> Tensor:
    if pairing not in ("interleaved", "half"):
        raise ValueError(pairing)
    angle = positions.long()[:, None] * rope_frequencies(x.shape[-1], base).double()
    a, b = (x[..., 0::2], x[..., 1::2]) if pairing == "interleaved" else x.chunk(2, -1)
    parts = [a * angle.cos() - b * angle.sin(), a * angle.sin() + b * angle.cos()]
    out = torch.stack(parts, -1).flatten(-2) if pairing == "interleaved" else torch.cat(parts, -1)
    return out.to(x.dtype)

# %% exercise="apply_rope" wrong="table_by_index"
"""Makes a table of angles and looks whole positions up in it: wrong for negative ones (-1 is the last row)."""
def apply_rope(x: Tensor, positions: Tensor, pairing: str = "interleaved", base: float = 10000.0) -> Tensor:
    if pairing not in ("interleaved", "half"):
        raise ValueError(pairing)
    if positions.is_floating_point():
        angle = positions.double()[:, None] * rope_frequencies(x.shape[-1], base).double()
    else:
        rows = torch.arange(int(positions.abs().max()) + 1).double()
        angle = torch.outer(rows, rope_frequencies(x.shape[-1], base).double())[positions]
    a, b = (x[..., 0::2], x[..., 1::2]) if pairing == "interleaved" else x.chunk(2, -1)
    parts = [a * angle.cos() - b * angle.sin(), a * angle.sin() + b * angle.cos()]
    out = torch.stack(parts, -1).flatten(-2) if pairing == "interleaved" else torch.cat(parts, -1)
    return out.to(x.dtype)

# %% exercise="apply_rope" wrong="needs_contiguous"
"""x.view(-1, T, d): RuntimeError for heads split by transpose, whose strides do not fit."""
def apply_rope(x: Tensor, positions: Tensor, pairing: str = "interleaved", base: float = 10000.0) -> Tensor:
    if pairing not in ("interleaved", "half"):
        raise ValueError(pairing)
    flat = x.view(-1, x.shape[-2], x.shape[-1])
    angle = positions.double()[:, None] * rope_frequencies(x.shape[-1], base).double()
    a, b = (flat[..., 0::2], flat[..., 1::2]) if pairing == "interleaved" else flat.chunk(2, -1)
    parts = [a * angle.cos() - b * angle.sin(), a * angle.sin() + b * angle.cos()]
    out = torch.stack(parts, -1).flatten(-2) if pairing == "interleaved" else torch.cat(parts, -1)
    return out.view(x.shape).to(x.dtype)

# %% exercise="apply_rope" wrong="cache_by_length"
"""Keeps the angles of the first call for each (T, d, base): a second call with other positions turns by the old ones."""
_angles = {}


def apply_rope(x: Tensor, positions: Tensor, pairing: str = "interleaved", base: float = 10000.0) -> Tensor:
    if pairing not in ("interleaved", "half"):
        raise ValueError(pairing)
    key = (len(positions), x.shape[-1], base)
    if key not in _angles:
        _angles[key] = positions.double()[:, None] * rope_frequencies(x.shape[-1], base).double()
    angle = _angles[key]
    a, b = (x[..., 0::2], x[..., 1::2]) if pairing == "interleaved" else x.chunk(2, -1)
    parts = [a * angle.cos() - b * angle.sin(), a * angle.sin() + b * angle.cos()]
    out = torch.stack(parts, -1).flatten(-2) if pairing == "interleaved" else torch.cat(parts, -1)
    return out.to(x.dtype)

# %% exercise="apply_rope" wrong="half_comes_back_interleaved"
"""Takes "half" pairs apart by halves and puts them back alternating (d > 2)."""
def apply_rope(x: Tensor, positions: Tensor, pairing: str = "interleaved", base: float = 10000.0) -> Tensor:
    if pairing not in ("interleaved", "half"):
        raise ValueError(pairing)
    angle = positions.double()[:, None] * rope_frequencies(x.shape[-1], base).double()
    a, b = (x[..., 0::2], x[..., 1::2]) if pairing == "interleaved" else x.chunk(2, -1)
    parts = [a * angle.cos() - b * angle.sin(), a * angle.sin() + b * angle.cos()]
    return torch.stack(parts, -1).flatten(-2).to(x.dtype)

# %% exercise="rotary_qkv" wrong="values_turned_too_2"
"""Turns the values as well."""
def rotary_qkv(
    x: Tensor, w_q: Tensor, w_k: Tensor, w_v: Tensor, num_heads: int, positions: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    split = [(x @ w).unflatten(-1, (num_heads, -1)).transpose(1, 2) for w in (w_q, w_k, w_v)]
    return tuple(apply_rope(part, positions) for part in split)

# %% exercise="rotary_qkv" wrong="turned_before_the_split_2"
"""Turns the whole width before the heads are split: each head gets frequencies of its own (H > 1)."""
def rotary_qkv(
    x: Tensor, w_q: Tensor, w_k: Tensor, w_v: Tensor, num_heads: int, positions: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    parts = apply_rope(x @ w_q, positions), apply_rope(x @ w_k, positions), x @ w_v
    return tuple(part.unflatten(-1, (num_heads, -1)).transpose(1, 2) for part in parts)

# %% exercise="rotary_qkv" wrong="positions_from_zero"
"""Counts its own positions from 0 and ignores those it is given (shifted ones, gaps)."""
def rotary_qkv(
    x: Tensor, w_q: Tensor, w_k: Tensor, w_v: Tensor, num_heads: int, positions: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    q, k, v = ((x @ w).unflatten(-1, (num_heads, -1)).transpose(1, 2) for w in (w_q, w_k, w_v))
    t = torch.arange(x.shape[1])
    return apply_rope(q, t), apply_rope(k, t), v

# %% exercise="rotary_qkv" wrong="heads_interleaved"
"""Head h owns the columns h, h + H, h + 2H ... instead of d neighbours."""
def rotary_qkv(
    x: Tensor, w_q: Tensor, w_k: Tensor, w_v: Tensor, num_heads: int, positions: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    q, k, v = ((x @ w).unflatten(-1, (-1, num_heads)).permute(0, 3, 1, 2) for w in (w_q, w_k, w_v))
    return apply_rope(q, positions), apply_rope(k, positions), v

# %% exercise="alibi_slopes" wrong="power_strictly_below"
"""Takes the largest power of two strictly below H also when H is one: right slopes, wrong order for 2, 4, 8."""
def alibi_slopes(num_heads: int) -> Tensor:
    power = 1
    while power * 2 < num_heads:
        power *= 2
    slopes = [2.0 ** (-8 * h / power) for h in range(1, power + 1)]
    slopes += [2.0 ** (-4 * h / power) for h in range(1, 2 * power, 2)]
    return torch.tensor(slopes[:num_heads])

# %% exercise="alibi_slopes" wrong="sorted_2"
"""Sorts the slopes: for H = 3, 6, 12 the order is not the authors'."""
def alibi_slopes(num_heads: int) -> Tensor:
    power = 2 ** int(math.log2(num_heads))
    slopes = [2.0 ** (-8 * h / power) for h in range(1, power + 1)]
    slopes += [2.0 ** (-4 * h / power) for h in range(1, 2 * power, 2)][: num_heads - power]
    return torch.tensor(sorted(slopes, reverse=True))

# %% exercise="alibi_slopes" wrong="float64"
"""Returns float64."""
def alibi_slopes(num_heads: int) -> Tensor:
    power = 2 ** int(math.log2(num_heads))
    slopes = [2.0 ** (-8 * h / power) for h in range(1, power + 1)]
    slopes += [2.0 ** (-4 * h / power) for h in range(1, 2 * power, 2)][: num_heads - power]
    return torch.tensor(slopes, dtype=torch.float64)

# %% exercise="alibi_slopes" wrong="even_ones"
"""Takes the second, fourth ... of the slopes for 2P, which are the first ones again."""
def alibi_slopes(num_heads: int) -> Tensor:
    power = 2 ** int(math.log2(num_heads))
    slopes = [2.0 ** (-8 * h / power) for h in range(1, power + 1)]
    slopes += [2.0 ** (-4 * h / power) for h in range(2, 2 * power + 1, 2)][: num_heads - power]
    return torch.tensor(slopes)

# %% exercise="alibi_slopes" wrong="next_power_cut_off_2"
"""Takes the first H slopes of the next power of two."""
def alibi_slopes(num_heads: int) -> Tensor:
    power = 2 ** math.ceil(math.log2(num_heads))
    return torch.tensor([2.0 ** (-8 * h / power) for h in range(1, num_heads + 1)])

# %% exercise="alibi_bias" wrong="queries_from_zero"
"""Query row i is position i, not S - T + i: wrong when T < S."""
def alibi_bias(num_heads: int, n_queries: int, n_keys: int) -> Tensor:
    distance = torch.arange(n_queries)[:, None] - torch.arange(n_keys)
    bias = -alibi_slopes(num_heads)[:, None, None] * distance
    return bias.masked_fill(distance < 0, float("-inf"))

# %% exercise="alibi_bias" wrong="mask_without_offset"
"""The distances know that the queries are the last ones, the mask (triu(1)) does not: keys before the query are -inf."""
def alibi_bias(num_heads: int, n_queries: int, n_keys: int) -> Tensor:
    distance = torch.arange(n_keys - n_queries, n_keys)[:, None] - torch.arange(n_keys)
    later = torch.ones(n_queries, n_keys, dtype=torch.bool).triu(1)
    return (-alibi_slopes(num_heads)[:, None, None] * distance).masked_fill(later, float("-inf"))

# %% exercise="alibi_bias" wrong="large_finite_number"
"""Keys after the query get the smallest float32, not -inf."""
def alibi_bias(num_heads: int, n_queries: int, n_keys: int) -> Tensor:
    distance = torch.arange(n_keys - n_queries, n_keys)[:, None] - torch.arange(n_keys)
    bias = -alibi_slopes(num_heads)[:, None, None] * distance
    return bias.masked_fill(distance < 0, torch.finfo(torch.float32).min)

# %% exercise="alibi_bias" wrong="distance_from_one"
"""Counts the query's own key as distance 1."""
def alibi_bias(num_heads: int, n_queries: int, n_keys: int) -> Tensor:
    distance = torch.arange(n_keys - n_queries, n_keys)[:, None] - torch.arange(n_keys)
    bias = -alibi_slopes(num_heads)[:, None, None] * (distance + 1)
    return bias.masked_fill(distance < 0, float("-inf"))

# %% exercise="alibi_bias" wrong="distances_in_half"
"""Keeps the table of distances in float16 to save memory: wrong beyond 2048 keys (2049 is 2048)."""
def alibi_bias(num_heads: int, n_queries: int, n_keys: int) -> Tensor:
    distance = (torch.arange(n_keys - n_queries, n_keys)[:, None] - torch.arange(n_keys)).half()
    bias = -alibi_slopes(num_heads)[:, None, None] * distance.float()
    return bias.masked_fill(distance < 0, float("-inf"))

# %% exercise="alibi_bias" wrong="own_key_hidden_2"
"""Masks distance 0 too: a query cannot see its own key."""
def alibi_bias(num_heads: int, n_queries: int, n_keys: int) -> Tensor:
    distance = torch.arange(n_keys - n_queries, n_keys)[:, None] - torch.arange(n_keys)
    bias = -alibi_slopes(num_heads)[:, None, None] * distance
    return bias.masked_fill(distance <= 0, float("-inf"))

# %% exercise="position_interpolation" wrong="stretches"
"""Scales always: a text shorter than trained is stretched."""
def position_interpolation(positions: Tensor, train_length: int, length: int) -> Tensor:
    return positions.float() * train_length / length

# %% exercise="position_interpolation" wrong="length_from_positions"
"""Takes the length from the largest position: wrong when the positions are a part of the text."""
def position_interpolation(positions: Tensor, train_length: int, length: int) -> Tensor:
    seen = max(positions.tolist(), default=0) + 1
    return positions.float() * min(1.0, train_length / seen)

# %% exercise="position_interpolation" wrong="whole_factor"
"""Divides by the whole number L' // L: lengths 64 and 100 leave the positions unsqueezed."""
def position_interpolation(positions: Tensor, train_length: int, length: int) -> Tensor:
    return positions / max(1, length // train_length)

# %% exercise="position_interpolation" wrong="floored"
"""Whole positions only: neighbours fall on the same place."""
def position_interpolation(positions: Tensor, train_length: int, length: int) -> Tensor:
    if length > train_length:
        positions = positions * train_length // length
    return positions.float()

# %% exercise="position_interpolation" wrong="float64"
"""Returns float64."""
def position_interpolation(positions: Tensor, train_length: int, length: int) -> Tensor:
    return positions.double() * min(1.0, train_length / length)

# %% exercise="ntk_scaled_base" wrong="whole_exponent"
"""d // (d - 2) is 1 for every width above 4."""
def ntk_scaled_base(base: float, scale: float, d: int) -> float:
    return base * scale ** (d // (d - 2))

# %% exercise="ntk_scaled_base" wrong="linear"
"""Multiplies by the scale alone: the slowest pair is squeezed by less than s."""
def ntk_scaled_base(base: float, scale: float, d: int) -> float:
    return float(base * scale)

# %% exercise="ntk_scaled_base" wrong="integer_base"
"""Cuts the result to an int: not rounded, it says, and a float."""
def ntk_scaled_base(base: float, scale: float, d: int) -> float:
    return int(base * scale ** (d / (d - 2)))

# %% exercise="extrapolation_finding" wrong="repairs_repair"
"""Believes that the repairs beat "none" at 512, without reading the numbers."""
extrapolation_finding = {
    "best_at_64": "rope", "best_at_512": "alibi", "rope_rises": 0.6, "alibi_rises": 0.0,
    "beats_none": ["alibi", "rope, interpolated", "rope, ntk"],
}

# %% exercise="extrapolation_finding" wrong="rise_over_none"
"""How far RoPE ends above "none" at 512, not how far it rises."""
extrapolation_finding = {
    "best_at_64": "rope", "best_at_512": "alibi", "rope_rises": 0.2, "alibi_rises": 0.0, "beats_none": ["alibi"]
}

# %% exercise="extrapolation_finding" wrong="level_of_alibi"
"""ALiBi's loss at 512 instead of its rise."""
extrapolation_finding = {
    "best_at_64": "rope", "best_at_512": "alibi", "rope_rises": 0.6, "alibi_rises": 2.3, "beats_none": ["alibi"]
}

# %% exercise="embedding_gather" wrong="contiguous_first"
"""table.contiguous() copies a table with other strides: a second launch, and all V rows moved."""
@triton.jit
def embedding_gather_kernel(
    ids_ptr, table_ptr, out_ptr, width, ids_stride, table_row, table_col, out_row, BLOCK: tl.constexpr
):
    n = tl.program_id(0)
    row = tl.load(ids_ptr + n * ids_stride)
    for start in range(0, width, BLOCK):
        cols = start + tl.arange(0, BLOCK)
        values = tl.load(table_ptr + row * table_row + cols * table_col, mask=cols < width)
        tl.store(out_ptr + n * out_row + cols, values, mask=cols < width)


def embedding_gather(ids: Tensor, table: Tensor, block: int = 128) -> Tensor:
    table = table.contiguous()
    out = torch.empty(ids.shape[0], table.shape[1], dtype=table.dtype, device=table.device)
    embedding_gather_kernel[(ids.shape[0],)](
        ids, table, out, table.shape[1], ids.stride(0), table.stride(0), table.stride(1), out.stride(0), BLOCK=block
    )
    return out

# %% exercise="embedding_gather" wrong="zeros_first"
"""The output is filled with zeros before: a fill counts as a launch, and its bytes are written twice."""
@triton.jit
def embedding_gather_kernel(
    ids_ptr, table_ptr, out_ptr, width, ids_stride, table_row, table_col, out_row, BLOCK: tl.constexpr
):
    n = tl.program_id(0)
    row = tl.load(ids_ptr + n * ids_stride)
    for start in range(0, width, BLOCK):
        cols = start + tl.arange(0, BLOCK)
        values = tl.load(table_ptr + row * table_row + cols * table_col, mask=cols < width)
        tl.store(out_ptr + n * out_row + cols, values, mask=cols < width)


def embedding_gather(ids: Tensor, table: Tensor, block: int = 128) -> Tensor:
    out = torch.zeros(ids.shape[0], table.shape[1], dtype=table.dtype, device=table.device)
    embedding_gather_kernel[(ids.shape[0],)](
        ids, table, out, table.shape[1], ids.stride(0), table.stride(0), table.stride(1), out.stride(0), BLOCK=block
    )
    return out

# %% exercise="embedding_gather" wrong="ids_to_int32"
"""Converts the ids to int32 by torch: a second launch."""
@triton.jit
def embedding_gather_kernel(
    ids_ptr, table_ptr, out_ptr, width, ids_stride, table_row, table_col, out_row, BLOCK: tl.constexpr
):
    n = tl.program_id(0)
    row = tl.load(ids_ptr + n * ids_stride)
    for start in range(0, width, BLOCK):
        cols = start + tl.arange(0, BLOCK)
        values = tl.load(table_ptr + row * table_row + cols * table_col, mask=cols < width)
        tl.store(out_ptr + n * out_row + cols, values, mask=cols < width)


def embedding_gather(ids: Tensor, table: Tensor, block: int = 128) -> Tensor:
    ids = ids.to(torch.int32)
    out = torch.empty(ids.shape[0], table.shape[1], dtype=table.dtype, device=table.device)
    embedding_gather_kernel[(ids.shape[0],)](
        ids, table, out, table.shape[1], ids.stride(0), table.stride(0), table.stride(1), out.stride(0), BLOCK=block
    )
    return out

# %% exercise="embedding_gather" wrong="one_program"
"""One program walks over all ids, however many there are."""
@triton.jit
def embedding_gather_kernel(
    ids_ptr, table_ptr, out_ptr, count, width, ids_stride, table_row, table_col, out_row, BLOCK: tl.constexpr
):
    for n in range(0, count):
        row = tl.load(ids_ptr + n * ids_stride)
        for start in range(0, width, BLOCK):
            cols = start + tl.arange(0, BLOCK)
            values = tl.load(table_ptr + row * table_row + cols * table_col, mask=cols < width)
            tl.store(out_ptr + n * out_row + cols, values, mask=cols < width)


def embedding_gather(ids: Tensor, table: Tensor, block: int = 128) -> Tensor:
    out = torch.empty(ids.shape[0], table.shape[1], dtype=table.dtype, device=table.device)
    embedding_gather_kernel[(1,)](
        ids, table, out, ids.shape[0], table.shape[1], ids.stride(0), table.stride(0), table.stride(1), out.stride(0),
        BLOCK=block,
    )
    return out

# %% exercise="embedding_gather" wrong="ids_side_by_side"
"""Reads ids as if their stride were 1: wrong for ids[::2]."""
@triton.jit
def embedding_gather_kernel(
    ids_ptr, table_ptr, out_ptr, width, table_row, table_col, out_row, BLOCK: tl.constexpr
):
    n = tl.program_id(0)
    row = tl.load(ids_ptr + n)
    for start in range(0, width, BLOCK):
        cols = start + tl.arange(0, BLOCK)
        values = tl.load(table_ptr + row * table_row + cols * table_col, mask=cols < width)
        tl.store(out_ptr + n * out_row + cols, values, mask=cols < width)


def embedding_gather(ids: Tensor, table: Tensor, block: int = 128) -> Tensor:
    out = torch.empty(ids.shape[0], table.shape[1], dtype=table.dtype, device=table.device)
    embedding_gather_kernel[(ids.shape[0],)](
        ids, table, out, table.shape[1], table.stride(0), table.stride(1), out.stride(0), BLOCK=block
    )
    return out

# %% exercise="embedding_gather" wrong="padded_output"
"""The output is cut from a wider tensor of whole blocks: it is not contiguous when block does not divide D."""
@triton.jit
def embedding_gather_kernel(
    ids_ptr, table_ptr, out_ptr, width, ids_stride, table_row, table_col, out_row, BLOCK: tl.constexpr
):
    n = tl.program_id(0)
    row = tl.load(ids_ptr + n * ids_stride)
    for start in range(0, width, BLOCK):
        cols = start + tl.arange(0, BLOCK)
        values = tl.load(table_ptr + row * table_row + cols * table_col, mask=cols < width)
        tl.store(out_ptr + n * out_row + cols, values, mask=cols < width)


def embedding_gather(ids: Tensor, table: Tensor, block: int = 128) -> Tensor:
    width = table.shape[1]
    out = torch.empty(ids.shape[0], triton.cdiv(width, block) * block, dtype=table.dtype, device=table.device)[:, :width]
    embedding_gather_kernel[(ids.shape[0],)](
        ids, table, out, width, ids.stride(0), table.stride(0), table.stride(1), out.stride(0), BLOCK=block
    )
    return out

# %% exercise="embedding_gather" wrong="always_float32"
"""The output is float32 also for a float16 table."""
@triton.jit
def embedding_gather_kernel(
    ids_ptr, table_ptr, out_ptr, width, ids_stride, table_row, table_col, out_row, BLOCK: tl.constexpr
):
    n = tl.program_id(0)
    row = tl.load(ids_ptr + n * ids_stride)
    for start in range(0, width, BLOCK):
        cols = start + tl.arange(0, BLOCK)
        values = tl.load(table_ptr + row * table_row + cols * table_col, mask=cols < width)
        tl.store(out_ptr + n * out_row + cols, values, mask=cols < width)


def embedding_gather(ids: Tensor, table: Tensor, block: int = 128) -> Tensor:
    out = torch.empty(ids.shape[0], table.shape[1], device=table.device)
    embedding_gather_kernel[(ids.shape[0],)](
        ids, table, out, table.shape[1], ids.stride(0), table.stride(0), table.stride(1), out.stride(0), BLOCK=block
    )
    return out

# %% exercise="embedding_gather" wrong="columns_side_by_side"
"""Takes the table's columns to lie side by side: wrong for a transposed table or table[:, ::2]."""
@triton.jit
def embedding_gather_kernel(
    ids_ptr, table_ptr, out_ptr, width, ids_stride, table_row, out_row, BLOCK: tl.constexpr
):
    n = tl.program_id(0)
    row = tl.load(ids_ptr + n * ids_stride)
    for start in range(0, width, BLOCK):
        cols = start + tl.arange(0, BLOCK)
        values = tl.load(table_ptr + row * table_row + cols, mask=cols < width)
        tl.store(out_ptr + n * out_row + cols, values, mask=cols < width)


def embedding_gather(ids: Tensor, table: Tensor, block: int = 128) -> Tensor:
    out = torch.empty(ids.shape[0], table.shape[1], dtype=table.dtype, device=table.device)
    embedding_gather_kernel[(ids.shape[0],)](
        ids, table, out, table.shape[1], ids.stride(0), table.stride(0), out.stride(0), BLOCK=block
    )
    return out

# %% exercise="rope_inplace" wrong="grid_over_positions_only"
"""A program for each position with a loop over batches: with T = 1 and N = 8 there is one program for eight vectors."""
@triton.jit
def rope_inplace_kernel(
    x_ptr, cos_ptr, sin_ptr, batches, half, x_batch, x_time, x_col, table_row, BLOCK: tl.constexpr
):
    t = tl.program_id(0)
    i = tl.arange(0, BLOCK)
    ok = i < half
    c = tl.load(cos_ptr + t * table_row + i, mask=ok)
    s = tl.load(sin_ptr + t * table_row + i, mask=ok)
    for n in range(0, batches):
        place = x_ptr + n * x_batch + t * x_time + i * x_col
        a = tl.load(place, mask=ok).to(tl.float32)
        b = tl.load(place + half * x_col, mask=ok).to(tl.float32)
        tl.store(place, a * c - b * s, mask=ok)
        tl.store(place + half * x_col, a * s + b * c, mask=ok)


def rope_inplace(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    half = x.shape[2] // 2
    rope_inplace_kernel[(x.shape[1],)](
        x, cos, sin, x.shape[0], half, *x.stride(), cos.stride(0), BLOCK=triton.next_power_of_2(half)
    )
    return x

# %% exercise="rope_inplace" wrong="copies_and_copies_back"
"""Makes a strided x contiguous, turns the copy and copies it back: three launches where x is not contiguous."""
@triton.jit
def rope_inplace_kernel(
    x_ptr, cos_ptr, sin_ptr, length, half, x_batch, x_time, x_col, table_row, BLOCK: tl.constexpr
):
    pid = tl.program_id(0)
    t = pid % length
    i = tl.arange(0, BLOCK)
    ok = i < half
    place = x_ptr + (pid // length) * x_batch + t * x_time + i * x_col
    a = tl.load(place, mask=ok).to(tl.float32)
    b = tl.load(place + half * x_col, mask=ok).to(tl.float32)
    c = tl.load(cos_ptr + t * table_row + i, mask=ok)
    s = tl.load(sin_ptr + t * table_row + i, mask=ok)
    tl.store(place, a * c - b * s, mask=ok)
    tl.store(place + half * x_col, a * s + b * c, mask=ok)


def rope_inplace(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    n, length, d = x.shape
    work = x.contiguous()
    rope_inplace_kernel[(n * length,)](
        work, cos, sin, length, d // 2, *work.stride(), cos.stride(0), BLOCK=triton.next_power_of_2(d // 2)
    )
    if work is not x:
        x.copy_(work)
    return x

# %% exercise="rope_inplace" wrong="returns_a_view"
"""Returns a view of x, another tensor object, not x itself."""
@triton.jit
def rope_inplace_kernel(
    x_ptr, cos_ptr, sin_ptr, length, half, x_batch, x_time, x_col, table_row, BLOCK: tl.constexpr
):
    pid = tl.program_id(0)
    t = pid % length
    i = tl.arange(0, BLOCK)
    ok = i < half
    place = x_ptr + (pid // length) * x_batch + t * x_time + i * x_col
    a = tl.load(place, mask=ok).to(tl.float32)
    b = tl.load(place + half * x_col, mask=ok).to(tl.float32)
    c = tl.load(cos_ptr + t * table_row + i, mask=ok)
    s = tl.load(sin_ptr + t * table_row + i, mask=ok)
    tl.store(place, a * c - b * s, mask=ok)
    tl.store(place + half * x_col, a * s + b * c, mask=ok)


def rope_inplace(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    x = x.detach()
    n, length, d = x.shape
    rope_inplace_kernel[(n * length,)](
        x, cos, sin, length, d // 2, *x.stride(), cos.stride(0), BLOCK=triton.next_power_of_2(d // 2)
    )
    return x

# %% exercise="rope_inplace" wrong="computed_in_the_dtype_of_x"
"""Rounds cosine and sine to x's dtype and computes in it: float16 results are off by more than one rounding."""
@triton.jit
def rope_inplace_kernel(
    x_ptr, cos_ptr, sin_ptr, length, half, x_batch, x_time, x_col, table_row, BLOCK: tl.constexpr
):
    pid = tl.program_id(0)
    t = pid % length
    i = tl.arange(0, BLOCK)
    ok = i < half
    place = x_ptr + (pid // length) * x_batch + t * x_time + i * x_col
    a = tl.load(place, mask=ok)
    b = tl.load(place + half * x_col, mask=ok)
    c = tl.load(cos_ptr + t * table_row + i, mask=ok).to(a.dtype)
    s = tl.load(sin_ptr + t * table_row + i, mask=ok).to(a.dtype)
    tl.store(place, a * c - b * s, mask=ok)
    tl.store(place + half * x_col, a * s + b * c, mask=ok)


def rope_inplace(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    n, length, d = x.shape
    rope_inplace_kernel[(n * length,)](
        x, cos, sin, length, d // 2, *x.stride(), cos.stride(0), BLOCK=triton.next_power_of_2(d // 2)
    )
    return x

# %% exercise="rope_inplace" wrong="reads_what_it_wrote"
"""Stores the first half and loads it again for the second: those numbers are turned already."""
@triton.jit
def rope_inplace_kernel(
    x_ptr, cos_ptr, sin_ptr, length, half, x_batch, x_time, x_col, table_row, BLOCK: tl.constexpr
):
    pid = tl.program_id(0)
    t = pid % length
    i = tl.arange(0, BLOCK)
    ok = i < half
    first = x_ptr + (pid // length) * x_batch + t * x_time + i * x_col
    second = first + half * x_col
    c = tl.load(cos_ptr + t * table_row + i, mask=ok)
    s = tl.load(sin_ptr + t * table_row + i, mask=ok)
    tl.store(first, tl.load(first, mask=ok).to(tl.float32) * c - tl.load(second, mask=ok).to(tl.float32) * s, mask=ok)
    tl.store(second, tl.load(first, mask=ok).to(tl.float32) * s + tl.load(second, mask=ok).to(tl.float32) * c, mask=ok)


def rope_inplace(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    n, length, d = x.shape
    rope_inplace_kernel[(n * length,)](
        x, cos, sin, length, d // 2, *x.stride(), cos.stride(0), BLOCK=triton.next_power_of_2(d // 2)
    )
    return x

# %% exercise="rope_inplace" wrong="columns_side_by_side"
"""Takes columns to lie side by side: wrong for x with another last stride."""
@triton.jit
def rope_inplace_kernel(x_ptr, cos_ptr, sin_ptr, length, half, x_batch, x_time, table_row, BLOCK: tl.constexpr):
    pid = tl.program_id(0)
    t = pid % length
    i = tl.arange(0, BLOCK)
    ok = i < half
    place = x_ptr + (pid // length) * x_batch + t * x_time + i
    a = tl.load(place, mask=ok).to(tl.float32)
    b = tl.load(place + half, mask=ok).to(tl.float32)
    c = tl.load(cos_ptr + t * table_row + i, mask=ok)
    s = tl.load(sin_ptr + t * table_row + i, mask=ok)
    tl.store(place, a * c - b * s, mask=ok)
    tl.store(place + half, a * s + b * c, mask=ok)


def rope_inplace(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    n, length, d = x.shape
    rope_inplace_kernel[(n * length,)](
        x, cos, sin, length, d // 2, x.stride(0), x.stride(1), cos.stride(0), BLOCK=triton.next_power_of_2(d // 2)
    )
    return x

# %% exercise="rope_inplace" wrong="rows_evenly_spaced"
"""Finds vector n * T + t at (n * T + t) * x.stride(1): wrong when the batch stride is not T times that."""
@triton.jit
def rope_inplace_kernel(x_ptr, cos_ptr, sin_ptr, length, half, x_time, x_col, table_row, BLOCK: tl.constexpr):
    pid = tl.program_id(0)
    t = pid % length
    i = tl.arange(0, BLOCK)
    ok = i < half
    place = x_ptr + pid * x_time + i * x_col
    a = tl.load(place, mask=ok).to(tl.float32)
    b = tl.load(place + half * x_col, mask=ok).to(tl.float32)
    c = tl.load(cos_ptr + t * table_row + i, mask=ok)
    s = tl.load(sin_ptr + t * table_row + i, mask=ok)
    tl.store(place, a * c - b * s, mask=ok)
    tl.store(place + half * x_col, a * s + b * c, mask=ok)


def rope_inplace(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    n, length, d = x.shape
    rope_inplace_kernel[(n * length,)](
        x, cos, sin, length, d // 2, x.stride(1), x.stride(2), cos.stride(0), BLOCK=triton.next_power_of_2(d // 2)
    )
    return x

# %% exercise="repaired_choice" wrong="smaller_pair_2"
"""On a tie the smaller pair."""
def repaired_choice(counts: dict[tuple[bytes, bytes], int]) -> tuple[bytes, bytes]:
    return min(counts, key=lambda pair: (-counts[pair], pair))

# %% exercise="repaired_choice" wrong="longer_first_2"
"""On a tie the longer pair first: (b"ab", b"c") beats (b"z", b"z")."""
def repaired_choice(counts: dict[tuple[bytes, bytes], int]) -> tuple[bytes, bytes]:
    return max(counts, key=lambda pair: (counts[pair], len(pair[0]) + len(pair[1]), pair))

# %% exercise="repaired_rotations" wrong="float32_angles"
"""The angles are float32: a float64 or float32 result is not the rounded true value at position 4,000."""
def repaired_rotations(length: int, d: int, dtype: torch.dtype, base: float = 10000.0) -> tuple[Tensor, Tensor]:
    frequency = 1.0 / base ** (torch.arange(0, d, 2).float() / d)
    angle = torch.outer(torch.arange(length).float(), frequency)
    return angle.cos().to(dtype), angle.sin().to(dtype)

# %% exercise="repaired_rotations" wrong="frequencies_in_dtype"
"""Positions and product are float64, the frequencies still come in the model's dtype."""
def repaired_rotations(length: int, d: int, dtype: torch.dtype, base: float = 10000.0) -> tuple[Tensor, Tensor]:
    frequency = (1.0 / base ** (torch.arange(0, d, 2).double() / d)).to(dtype)
    angle = torch.outer(torch.arange(length).double(), frequency.double())
    return angle.cos().to(dtype), angle.sin().to(dtype)

# %% exercise="repaired_rotations" wrong="product_rounded_2"
"""The product is rounded to the model's dtype before the cosine is taken."""
def repaired_rotations(length: int, d: int, dtype: torch.dtype, base: float = 10000.0) -> tuple[Tensor, Tensor]:
    frequency = 1.0 / base ** (torch.arange(0, d, 2).double() / d)
    angle = torch.outer(torch.arange(length).double(), frequency).to(dtype)
    return angle.cos(), angle.sin()

# %% exercise="repaired_rotations" wrong="never_rounded"
"""Returns float64 whatever the dtype asked for."""
def repaired_rotations(length: int, d: int, dtype: torch.dtype, base: float = 10000.0) -> tuple[Tensor, Tensor]:
    frequency = 1.0 / base ** (torch.arange(0, d, 2).double() / d)
    angle = torch.outer(torch.arange(length).double(), frequency)
    return angle.cos(), angle.sin()

# %% exercise="repaired_rotations" wrong="base_ignored"
"""Has 10000 in the code: wrong for base 500000."""
def repaired_rotations(length: int, d: int, dtype: torch.dtype, base: float = 10000.0) -> tuple[Tensor, Tensor]:
    frequency = torch.exp(torch.arange(0, d, 2).double() * (-math.log(10000.0) / d))
    angle = torch.outer(torch.arange(length).double(), frequency)
    return angle.cos().to(dtype), angle.sin().to(dtype)

# %% exercise="repaired_rotations" wrong="through_float32_only_at_the_end"
"""Waves of float64 angles taken in float32: a float64 result carries float32 rounding."""
def repaired_rotations(length: int, d: int, dtype: torch.dtype, base: float = 10000.0) -> tuple[Tensor, Tensor]:
    frequency = 1.0 / base ** (torch.arange(0, d, 2).double() / d)
    angle = torch.outer(torch.arange(length).double(), frequency)
    return angle.cos().float().to(dtype), angle.sin().float().to(dtype)

# %% exercise="bpe_merge" wrong="overlapping_occurrences_2"
"""Steps one token on after a merge and so lets a token belong to two occurrences; breaks "A token belongs to one occurrence only"."""
def bpe_merge(tokens: list, pair: tuple, merged) -> list:
    out = []
    covered = False
    for i, token in enumerate(tokens):
        if i + 1 < len(tokens) and (token, tokens[i + 1]) == tuple(pair):
            out.append(merged)
            covered = True
        else:
            if not covered:
                out.append(token)
            covered = False
    return out

# %% exercise="bpe_merge" wrong="changes_the_list_given"
"""Deletes from the list it was given and returns it; breaks "it stays as it was" and "a new list"."""
def bpe_merge(tokens: list, pair: tuple, merged) -> list:
    i = 0
    while i < len(tokens) - 1:
        if (tokens[i], tokens[i + 1]) == tuple(pair):
            tokens[i : i + 2] = [merged]
        i += 1
    return tokens

# %% exercise="bpe_merge" wrong="loses_last_token"
"""Stops one short and forgets to append the last token when it was not merged; only occurrences of the pair may be replaced."""
def bpe_merge(tokens: list, pair: tuple, merged) -> list:
    out, i = [], 0
    while i < len(tokens) - 1:
        if tokens[i] == pair[0] and tokens[i + 1] == pair[1]:
            out.append(merged)
            i += 2
        else:
            out.append(tokens[i])
            i += 1
    return out

# %% exercise="bpe_merge" wrong="merges_the_merged"
"""Looks at the end of its own output, where a merged token may stand; breaks "What was merged is not merged again, whatever `merged` is"."""
def bpe_merge(tokens: list, pair: tuple, merged) -> list:
    out = []
    for token in tokens:
        if out and out[-1] == pair[0] and token == pair[1]:
            out[-1] = merged
        else:
            out.append(token)
    return out

# %% exercise="bpe_merge" wrong="right_to_left_2"
"""Walks from the end, so [1, 1, 1] gives [1, merged]; breaks "from left to right"."""
def bpe_merge(tokens: list, pair: tuple, merged) -> list:
    out = []
    i = len(tokens) - 1
    while i >= 0:
        if i > 0 and tokens[i - 1] == pair[0] and tokens[i] == pair[1]:
            out.append(merged)
            i -= 2
        else:
            out.append(tokens[i])
            i -= 1
    return out[::-1]

# %% exercise="bpe_merge" wrong="same_list_when_nothing_to_do"
"""Hands the very list back when it is shorter than a pair or has no occurrence; breaks "returns a new list"."""
def bpe_merge(tokens: list, pair: tuple, merged) -> list:
    if tuple(pair) not in zip(tokens, tokens[1:]):
        return tokens  # nothing to merge
    out, i = [], 0
    while i < len(tokens):
        if tuple(tokens[i : i + 2]) == tuple(pair):
            out.append(merged)
            i += 2
        else:
            out.append(tokens[i])
            i += 1
    return out

# %% exercise="bpe_merge" wrong="first_occurrence_only_2"
"""Replaces the first occurrence and returns; breaks "Replace every occurrence"."""
def bpe_merge(tokens: list, pair: tuple, merged) -> list:
    for i in range(len(tokens) - 1):
        if (tokens[i], tokens[i + 1]) == tuple(pair):
            return tokens[:i] + [merged] + tokens[i + 2 :]
    return list(tokens)

# %% exercise="bpe_merge" wrong="empty_list_fails"
"""Begins with tokens[0], an IndexError for an empty list; breaks "perhaps empty"."""
def bpe_merge(tokens: list, pair: tuple, merged) -> list:
    left, right = pair
    out = []
    previous, rest = tokens[0], tokens[1:]
    open_ = True  # `previous` has not been written yet
    for token in rest:
        if open_ and previous == left and token == right:
            out.append(merged)
            open_ = False
        else:
            if open_:
                out.append(previous)
            open_ = True
        previous = token
    if open_:
        out.append(previous)
    return out

# %% exercise="bpe_merge" wrong="compares_list_with_tuple"
"""A slice of a list never equals a tuple, so nothing is ever merged; breaks "Replace every occurrence"."""
def bpe_merge(tokens: list, pair: tuple, merged) -> list:
    out, i = [], 0
    while i < len(tokens):
        if tokens[i : i + 2] == pair:
            out.append(merged)
            i += 2
        else:
            out.append(tokens[i])
            i += 1
    return out

# %% exercise="bpe_merge" wrong="compares_by_identity"
"""Compares with `is`, which fails for equal ids above 256 and for bytes made at another place; breaks "every occurrence" and "any list"."""
def bpe_merge(tokens: list, pair: tuple, merged) -> list:
    out, i = [], 0
    while i < len(tokens):
        if i + 1 < len(tokens) and tokens[i] is pair[0] and tokens[i + 1] is pair[1]:
            out.append(merged)
            i += 2
        else:
            out.append(tokens[i])
            i += 1
    return out

# %% exercise="bpe_train" wrong="merges_cross_pieces"
"""Never cuts the text, so pairs across pieces are counted and merged; breaks "it is cut by `pretokenize`" and "inside the pieces"."""
def bpe_train(text: str, num_merges: int) -> list[tuple[bytes, bytes]]:
    tokens = [bytes([b]) for b in text.encode("utf-8")]
    learned = []
    for _ in range(num_merges):
        counts = Counter(zip(tokens, tokens[1:]))
        if not counts:
            break
        best = max(counts, key=lambda pair: (counts[pair], pair))
        learned.append(best)
        tokens = bpe_merge(tokens, best, best[0] + best[1])
    return learned

# %% exercise="bpe_train" wrong="forgets_times_of_piece"
"""Counts each distinct piece once without the number of its occurrences; breaks "times the number of its occurrences"."""
def bpe_train(text: str, num_merges: int) -> list[tuple[bytes, bytes]]:
    pieces = [[bytes([b]) for b in piece.encode("utf-8")] for piece in set(pretokenize(text))]
    learned = []
    for _ in range(num_merges):
        counts = Counter()
        for tokens in pieces:
            counts.update(zip(tokens, tokens[1:]))
        if not counts:
            break
        best = max(counts, key=lambda pair: (counts[pair], pair))
        learned.append(best)
        pieces = [bpe_merge(tokens, best, best[0] + best[1]) for tokens in pieces]
    return learned

# %% exercise="bpe_train" wrong="first_seen_wins_tie"
"""max by count alone keeps the pair that was counted first; breaks "on a tie the greater (left, right)"."""
def bpe_train(text: str, num_merges: int) -> list[tuple[bytes, bytes]]:
    times = Counter(pretokenize(text))
    pieces = {piece: [bytes([b]) for b in piece.encode("utf-8")] for piece in times}
    learned = []
    for _ in range(num_merges):
        counts = Counter()
        for piece, tokens in pieces.items():
            for pair in zip(tokens, tokens[1:]):
                counts[pair] += times[piece]
        if not counts:
            break
        best = max(counts, key=counts.get)
        learned.append(best)
        pieces = {piece: bpe_merge(tokens, best, b"".join(best)) for piece, tokens in pieces.items()}
    return learned

# %% exercise="bpe_train" wrong="ids_decide_tie"
"""As `tokenizers` does it, the pair with the smaller ids wins a tie; breaks "on a tie the greater (left, right)"."""
def bpe_train(text: str, num_merges: int) -> list[tuple[bytes, bytes]]:
    times = Counter(pretokenize(text))
    pieces = {piece: list(piece.encode("utf-8")) for piece in times}
    token = {i: bytes([i]) for i in range(256)}
    learned = []
    for step in range(num_merges):
        counts = Counter()
        for piece, ids in pieces.items():
            for pair in zip(ids, ids[1:]):
                counts[pair] += times[piece]
        if not counts:
            break
        left, right = min(counts, key=lambda pair: (-counts[pair], pair))
        learned.append((token[left], token[right]))
        token[256 + step] = token[left] + token[right]
        pieces = {piece: bpe_merge(ids, (left, right), 256 + step) for piece, ids in pieces.items()}
    return learned

# %% exercise="bpe_train" wrong="characters_not_bytes"
"""Starts from characters, so an 'é' or '€' is one token from the beginning; breaks "byte-level merges" and "encoded as UTF-8"."""
def bpe_train(text: str, num_merges: int) -> list[tuple[bytes, bytes]]:
    times = Counter(pretokenize(text))
    pieces = {piece: [letter.encode("utf-8") for letter in piece] for piece in times}
    learned = []
    for _ in range(num_merges):
        counts = Counter()
        for piece, tokens in pieces.items():
            for pair in zip(tokens, tokens[1:]):
                counts[pair] += times[piece]
        if not counts:
            break
        best = max(counts, key=lambda pair: (counts[pair], pair))
        learned.append(best)
        pieces = {piece: bpe_merge(tokens, best, b"".join(best)) for piece, tokens in pieces.items()}
    return learned

# %% exercise="bpe_train" wrong="fails_when_no_pair_is_left"
"""max() of an empty Counter raises when the text is used up (or empty); breaks "fewer when no pair of neighbours is left"."""
def bpe_train(text: str, num_merges: int) -> list[tuple[bytes, bytes]]:
    times = Counter(pretokenize(text))
    pieces = {piece: [bytes([b]) for b in piece.encode("utf-8")] for piece in times}
    learned = []
    while len(learned) < num_merges:
        counts = Counter()
        for piece, tokens in pieces.items():
            for pair in zip(tokens, tokens[1:]):
                counts[pair] += times[piece]
        best = max(counts, key=lambda pair: (counts[pair], pair))
        learned.append(best)
        pieces = {piece: bpe_merge(tokens, best, b"".join(best)) for piece, tokens in pieces.items()}
    return learned

# %% exercise="bpe_train" wrong="stops_at_pairs_seen_once"
"""Stops when the best pair occurs only once, as minimum-frequency trainers do; fewer are allowed only "when no pair of neighbours is left"."""
def bpe_train(text: str, num_merges: int) -> list[tuple[bytes, bytes]]:
    times = Counter(pretokenize(text))
    pieces = {piece: [bytes([b]) for b in piece.encode("utf-8")] for piece in times}
    learned = []
    for _ in range(num_merges):
        counts = Counter()
        for piece, tokens in pieces.items():
            for pair in zip(tokens, tokens[1:]):
                counts[pair] += times[piece]
        if not counts or max(counts.values()) < 2:
            break
        best = max(counts, key=lambda pair: (counts[pair], pair))
        learned.append(best)
        pieces = {piece: bpe_merge(tokens, best, b"".join(best)) for piece, tokens in pieces.items()}
    return learned

# %% exercise="bpe_train" wrong="counts_runs_without_overlap"
"""Counts (1, 1) in [1, 1, 1] only once, as it would be merged; breaks "[1, 1, 1] counts the pair (1, 1) twice"."""
def bpe_train(text: str, num_merges: int) -> list[tuple[bytes, bytes]]:
    times = Counter(pretokenize(text))
    pieces = {piece: [bytes([b]) for b in piece.encode("utf-8")] for piece in times}
    learned = []
    for _ in range(num_merges):
        counts = Counter()
        for piece, tokens in pieces.items():
            last = {}  # where each pair was counted last
            for i, pair in enumerate(zip(tokens, tokens[1:])):
                if last.get(pair) == i - 1:
                    continue
                last[pair] = i
                counts[pair] += times[piece]
        if not counts:
            break
        best = max(counts, key=lambda pair: (counts[pair], pair))
        learned.append(best)
        pieces = {piece: bpe_merge(tokens, best, b"".join(best)) for piece, tokens in pieces.items()}
    return learned

# %% exercise="bpe_train" wrong="splits_on_whitespace"
"""Cuts with str.split, so the space before a word is gone and signs stick to words; breaks "it is cut by `pretokenize`"."""
def bpe_train(text: str, num_merges: int) -> list[tuple[bytes, bytes]]:
    times = Counter(text.split())
    pieces = {word: [bytes([b]) for b in word.encode("utf-8")] for word in times}
    learned = []
    for _ in range(num_merges):
        counts = Counter()
        for word, tokens in pieces.items():
            for pair in zip(tokens, tokens[1:]):
                counts[pair] += times[word]
        if not counts:
            break
        best = max(counts, key=lambda pair: (counts[pair], pair))
        learned.append(best)
        pieces = {word: bpe_merge(tokens, best, b"".join(best)) for word, tokens in pieces.items()}
    return learned

# %% exercise="bpe_train" wrong="stale_left_neighbours"
"""Updates the counts piece by piece but takes away only the merged pair and the old right neighbour's, not the old left neighbour's; breaks "Each step counts all pairs"."""
def bpe_train(text: str, num_merges: int) -> list[tuple[bytes, bytes]]:
    times = Counter(pretokenize(text))
    pieces = {piece: [bytes([b]) for b in piece.encode("utf-8")] for piece in times}
    counts = Counter()
    for piece, tokens in pieces.items():
        for pair in zip(tokens, tokens[1:]):
            counts[pair] += times[piece]
    learned = []
    for _ in range(num_merges):
        counts = +counts  # drop what is not positive
        if not counts:
            break
        best = max(counts, key=lambda pair: (counts[pair], pair))
        learned.append(best)
        merged = best[0] + best[1]
        del counts[best]
        for piece, tokens in pieces.items():
            out, i = [], 0
            while i < len(tokens):
                if tuple(tokens[i : i + 2]) == best:
                    if out:
                        counts[out[-1], merged] += times[piece]
                    if i + 2 < len(tokens):
                        counts[best[1], tokens[i + 2]] -= times[piece]
                        counts[merged, tokens[i + 2]] += times[piece]
                    out.append(merged)
                    i += 2
                else:
                    out.append(tokens[i])
                    i += 1
            pieces[piece] = out
    return learned

# %% exercise="bpe_train" wrong="returns_joined_tokens"
"""Returns the new tokens instead of the pairs; breaks "(left, right) in the order learned"."""
def bpe_train(text: str, num_merges: int) -> list[tuple[bytes, bytes]]:
    times = Counter(pretokenize(text))
    pieces = {piece: [bytes([b]) for b in piece.encode("utf-8")] for piece in times}
    learned = []
    for _ in range(num_merges):
        counts = Counter()
        for piece, tokens in pieces.items():
            for pair in zip(tokens, tokens[1:]):
                counts[pair] += times[piece]
        if not counts:
            break
        best = max(counts, key=lambda pair: (counts[pair], pair))
        new = best[0] + best[1]
        learned.append(new)
        pieces = {piece: bpe_merge(tokens, best, new) for piece, tokens in pieces.items()}
    return learned

# %% exercise="bpe_encode" wrong="one_pass_over_merges_2"
"""Applies the list of merges once from top to bottom; a merge that makes a pair standing before it leaves that pair, against "until no pair is left"."""
def bpe_encode(text: str, merges: list[tuple[bytes, bytes]], specials: tuple[str, ...] = ()) -> list[int]:
    ordinary = {token: i for i, token in vocabulary(merges).items()}
    special = {word: len(ordinary) + i for i, word in enumerate(specials)}
    parts = [text]
    if specials:
        longest_first = sorted(specials, key=len, reverse=True)
        parts = re.split("(" + "|".join(map(re.escape, longest_first)) + ")", text)
    ids = []
    for part in parts:
        if part in special:
            ids.append(special[part])
            continue
        for piece in pretokenize(part):
            tokens = [bytes([b]) for b in piece.encode("utf-8")]
            for left, right in merges:
                if len(tokens) == 1:
                    break
                tokens = bpe_merge(tokens, (left, right), left + right)
            ids += [ordinary[token] for token in tokens]
    return ids

# %% exercise="bpe_encode" wrong="longest_token_first"
"""Takes the longest known token from the left, as WordPiece does; breaks "the pair that was learned first is merged"."""
def bpe_encode(text: str, merges: list[tuple[bytes, bytes]], specials: tuple[str, ...] = ()) -> list[int]:
    ordinary = {token: i for i, token in vocabulary(merges).items()}
    special = {word: len(ordinary) + i for i, word in enumerate(specials)}
    parts = [text]
    if specials:
        longest_first = sorted(specials, key=len, reverse=True)
        parts = re.split("(" + "|".join(map(re.escape, longest_first)) + ")", text)
    ids = []
    for part in parts:
        if part in special:
            ids.append(special[part])
            continue
        for piece in pretokenize(part):
            rest = piece.encode("utf-8")
            while rest:
                for size in range(len(rest), 0, -1):
                    if rest[:size] in ordinary:
                        ids.append(ordinary[rest[:size]])
                        rest = rest[size:]
                        break
    return ids

# %% exercise="bpe_encode" wrong="specials_in_given_order_3"
"""Does not sort the special tokens, so of <|a|> and <|a|><|b|> the one that is listed first wins; breaks "of those that match at the same place the longest one wins"."""
def bpe_encode(text: str, merges: list[tuple[bytes, bytes]], specials: tuple[str, ...] = ()) -> list[int]:
    ordinary = {token: i for i, token in vocabulary(merges).items()}
    special = {word: len(ordinary) + i for i, word in enumerate(specials)}
    rank = {pair: i for i, pair in enumerate(merges)}
    parts = [text]
    if specials:
        parts = re.split("(" + "|".join(map(re.escape, specials)) + ")", text)
    ids = []
    for part in parts:
        if part in special:
            ids.append(special[part])
            continue
        for piece in pretokenize(part):
            tokens = [bytes([b]) for b in piece.encode("utf-8")]
            while known := [pair for pair in zip(tokens, tokens[1:]) if pair in rank]:
                best = min(known, key=rank.get)
                tokens = bpe_merge(tokens, best, best[0] + best[1])
            ids += [ordinary[token] for token in tokens]
    return ids

# %% exercise="bpe_encode" wrong="specials_read_as_pattern"
"""Puts the special tokens into the pattern without re.escape, so the bars of <|endoftext|> mean "or"; breaks "stand for one token each"."""
def bpe_encode(text: str, merges: list[tuple[bytes, bytes]], specials: tuple[str, ...] = ()) -> list[int]:
    ordinary = {token: i for i, token in vocabulary(merges).items()}
    special = {word: len(ordinary) + i for i, word in enumerate(specials)}
    rank = {pair: i for i, pair in enumerate(merges)}
    parts = [text]
    if specials:
        parts = re.split("(" + "|".join(sorted(specials, key=len, reverse=True)) + ")", text)
    ids = []
    for part in parts:
        if part in special:
            ids.append(special[part])
            continue
        for piece in pretokenize(part or ""):
            tokens = [bytes([b]) for b in piece.encode("utf-8")]
            while known := [pair for pair in zip(tokens, tokens[1:]) if pair in rank]:
                best = min(known, key=rank.get)
                tokens = bpe_merge(tokens, best, best[0] + best[1])
            ids += [ordinary[token] for token in tokens]
    return ids

# %% exercise="bpe_encode" wrong="rank_plus_256"
"""Numbers merges 256 + rank although a merge whose result exists adds no id; breaks "ids as in `vocabulary(merges, specials)`"."""
def bpe_encode(text: str, merges: list[tuple[bytes, bytes]], specials: tuple[str, ...] = ()) -> list[int]:
    number = {bytes([b]): b for b in range(256)}
    for i, (left, right) in enumerate(merges):
        number.setdefault(left + right, 256 + i)
    special = {word: 256 + len(merges) + i for i, word in enumerate(specials)}
    rank = {pair: i for i, pair in enumerate(merges)}
    parts = [text]
    if specials:
        longest_first = sorted(specials, key=len, reverse=True)
        parts = re.split("(" + "|".join(map(re.escape, longest_first)) + ")", text)
    ids = []
    for part in parts:
        if part in special:
            ids.append(special[part])
            continue
        for piece in pretokenize(part):
            tokens = [bytes([b]) for b in piece.encode("utf-8")]
            while known := [pair for pair in zip(tokens, tokens[1:]) if pair in rank]:
                best = min(known, key=rank.get)
                tokens = bpe_merge(tokens, best, best[0] + best[1])
            ids += [number[token] for token in tokens]
    return ids

# %% exercise="bpe_encode" wrong="special_gets_ordinary_id"
"""Turns the vocabulary round with the first id kept, so a special token spelled like an ordinary one gets that id; breaks "also where its bytes are those of an ordinary token"."""
def bpe_encode(text: str, merges: list[tuple[bytes, bytes]], specials: tuple[str, ...] = ()) -> list[int]:
    number = {}
    for i, token in vocabulary(merges, specials).items():
        number.setdefault(token, i)
    rank = {pair: i for i, pair in enumerate(merges)}
    parts = [text]
    if specials:
        longest_first = sorted(specials, key=len, reverse=True)
        parts = re.split("(" + "|".join(map(re.escape, longest_first)) + ")", text)
    ids = []
    for part in parts:
        if part in specials:
            ids.append(number[part.encode("utf-8")])
            continue
        for piece in pretokenize(part):
            tokens = [bytes([b]) for b in piece.encode("utf-8")]
            while known := [pair for pair in zip(tokens, tokens[1:]) if pair in rank]:
                best = min(known, key=rank.get)
                tokens = bpe_merge(tokens, best, best[0] + best[1])
            ids += [number[token] for token in tokens]
    return ids

# %% exercise="bpe_encode" wrong="empty_pattern_without_specials"
"""Splits with an empty group when there are no special tokens, which cuts between all characters, so nothing of more than one character is ever merged; breaks "In each piece the pair ... is merged"."""
def bpe_encode(text: str, merges: list[tuple[bytes, bytes]], specials: tuple[str, ...] = ()) -> list[int]:
    ordinary = {token: i for i, token in vocabulary(merges).items()}
    special = {word: len(ordinary) + i for i, word in enumerate(specials)}
    rank = {pair: i for i, pair in enumerate(merges)}
    longest_first = sorted(specials, key=len, reverse=True)
    ids = []
    for part in re.split("(" + "|".join(map(re.escape, longest_first)) + ")", text):
        if part in special:
            ids.append(special[part])
            continue
        for piece in pretokenize(part):
            tokens = [bytes([b]) for b in piece.encode("utf-8")]
            while known := [pair for pair in zip(tokens, tokens[1:]) if pair in rank]:
                best = min(known, key=rank.get)
                tokens = bpe_merge(tokens, best, best[0] + best[1])
            ids += [ordinary[token] for token in tokens]
    return ids

# %% exercise="bpe_encode" wrong="special_ids_in_sorted_order"
"""Sorts the special tokens by length and numbers them in that order, not in the order given; breaks "ids as in `vocabulary(merges, specials)`"."""
def bpe_encode(text: str, merges: list[tuple[bytes, bytes]], specials: tuple[str, ...] = ()) -> list[int]:
    specials = sorted(specials, key=len, reverse=True)
    ordinary = {token: i for i, token in vocabulary(merges).items()}
    special = {word: len(ordinary) + i for i, word in enumerate(specials)}
    rank = {pair: i for i, pair in enumerate(merges)}
    parts = re.split("(" + "|".join(map(re.escape, specials)) + ")", text) if specials else [text]
    ids = []
    for part in parts:
        if part in special:
            ids.append(special[part])
            continue
        for piece in pretokenize(part):
            tokens = [bytes([b]) for b in piece.encode("utf-8")]
            while known := [pair for pair in zip(tokens, tokens[1:]) if pair in rank]:
                best = min(known, key=rank.get)
                tokens = bpe_merge(tokens, best, best[0] + best[1])
            ids += [ordinary[token] for token in tokens]
    return ids

# %% exercise="bpe_encode" wrong="specials_found_inside_pieces"
"""Cuts into pieces first and then compares whole pieces with the special tokens, so "<|x|>" is cut at its letters; breaks "They are found first, never cut"."""
def bpe_encode(text: str, merges: list[tuple[bytes, bytes]], specials: tuple[str, ...] = ()) -> list[int]:
    ordinary = {token: i for i, token in vocabulary(merges).items()}
    special = {word: len(ordinary) + i for i, word in enumerate(specials)}
    rank = {pair: i for i, pair in enumerate(merges)}
    ids = []
    for piece in pretokenize(text):
        if piece in special:
            ids.append(special[piece])
            continue
        tokens = [bytes([b]) for b in piece.encode("utf-8")]
        while known := [pair for pair in zip(tokens, tokens[1:]) if pair in rank]:
            best = min(known, key=rank.get)
            tokens = bpe_merge(tokens, best, best[0] + best[1])
        ids += [ordinary[token] for token in tokens]
    return ids

# %% exercise="bpe_encode" wrong="first_place_only"
"""Merges one occurrence and looks again, so a pair made meanwhile may overtake the other occurrences; breaks "merged, everywhere in the piece"."""
def bpe_encode(text: str, merges: list[tuple[bytes, bytes]], specials: tuple[str, ...] = ()) -> list[int]:
    ordinary = {token: i for i, token in vocabulary(merges).items()}
    special = {word: len(ordinary) + i for i, word in enumerate(specials)}
    rank = {pair: i for i, pair in enumerate(merges)}
    parts = [text]
    if specials:
        longest_first = sorted(specials, key=len, reverse=True)
        parts = re.split("(" + "|".join(map(re.escape, longest_first)) + ")", text)
    ids = []
    for part in parts:
        if part in special:
            ids.append(special[part])
            continue
        for piece in pretokenize(part):
            tokens = [bytes([b]) for b in piece.encode("utf-8")]
            while True:
                ranked = [(rank[pair], i) for i, pair in enumerate(zip(tokens, tokens[1:])) if pair in rank]
                if not ranked:
                    break
                _, i = min(ranked)
                tokens[i : i + 2] = [tokens[i] + tokens[i + 1]]
            ids += [ordinary[token] for token in tokens]
    return ids

# %% exercise="bpe_encode" wrong="joins_across_pieces"
"""Encodes what lies between special tokens in one go, without `pretokenize`, so merges cross pieces; breaks "In each piece"."""
def bpe_encode(text: str, merges: list[tuple[bytes, bytes]], specials: tuple[str, ...] = ()) -> list[int]:
    ordinary = {token: i for i, token in vocabulary(merges).items()}
    special = {word: len(ordinary) + i for i, word in enumerate(specials)}
    rank = {pair: i for i, pair in enumerate(merges)}
    parts = [text]
    if specials:
        longest_first = sorted(specials, key=len, reverse=True)
        parts = re.split("(" + "|".join(map(re.escape, longest_first)) + ")", text)
    ids = []
    for part in parts:
        if part in special:
            ids.append(special[part])
            continue
        tokens = [bytes([b]) for b in part.encode("utf-8")]
        while known := [pair for pair in zip(tokens, tokens[1:]) if pair in rank]:
            best = min(known, key=rank.get)
            tokens = bpe_merge(tokens, best, best[0] + best[1])
        ids += [ordinary[token] for token in tokens]
    return ids

# %% exercise="bpe_encode" wrong="letters_as_bytes"
"""Takes ord() of the characters instead of UTF-8 bytes, which is wrong from 'é' on and fails from '€' on; breaks "any string" and the byte ids of `vocabulary`."""
def bpe_encode(text: str, merges: list[tuple[bytes, bytes]], specials: tuple[str, ...] = ()) -> list[int]:
    ordinary = {token: i for i, token in vocabulary(merges).items()}
    special = {word: len(ordinary) + i for i, word in enumerate(specials)}
    rank = {pair: i for i, pair in enumerate(merges)}
    parts = [text]
    if specials:
        longest_first = sorted(specials, key=len, reverse=True)
        parts = re.split("(" + "|".join(map(re.escape, longest_first)) + ")", text)
    ids = []
    for part in parts:
        if part in special:
            ids.append(special[part])
            continue
        for piece in pretokenize(part):
            tokens = [bytes([ord(letter)]) for letter in piece]
            while known := [pair for pair in zip(tokens, tokens[1:]) if pair in rank]:
                best = min(known, key=rank.get)
                tokens = bpe_merge(tokens, best, best[0] + best[1])
            ids += [ordinary[token] for token in tokens]
    return ids

# %% exercise="bpe_decode" wrong="decodes_each_token"
"""Decodes token by token, so a character spread over several tokens becomes several U+FFFD; only "bytes that are no UTF-8 become U+FFFD"."""
def bpe_decode(ids: list[int], merges: list[tuple[bytes, bytes]], specials: tuple[str, ...] = ()) -> str:
    tokens = vocabulary(merges, specials)
    return "".join(tokens[i].decode("utf-8", errors="replace") for i in ids)

# %% exercise="bpe_decode" wrong="strict_3"
"""Decodes strictly and raises UnicodeDecodeError on broken bytes; breaks "bytes that are no UTF-8 become U+FFFD"."""
def bpe_decode(ids: list[int], merges: list[tuple[bytes, bytes]], specials: tuple[str, ...] = ()) -> str:
    tokens = vocabulary(merges, specials)
    return b"".join(tokens[i] for i in ids).decode("utf-8")

# %% exercise="bpe_decode" wrong="drops_broken_bytes"
"""Leaves broken bytes out with errors="ignore"; breaks "become U+FFFD"."""
def bpe_decode(ids: list[int], merges: list[tuple[bytes, bytes]], specials: tuple[str, ...] = ()) -> str:
    tokens = vocabulary(merges, specials)
    return b"".join(tokens[i] for i in ids).decode("utf-8", errors="ignore")

# %% exercise="bpe_decode" wrong="no_specials_in_table"
"""Builds the table without the special tokens, a KeyError for their ids; breaks "as `bpe_encode` gives them"."""
def bpe_decode(ids: list[int], merges: list[tuple[bytes, bytes]], specials: tuple[str, ...] = ()) -> str:
    tokens = vocabulary(merges)
    return b"".join(tokens[i] for i in ids).decode("utf-8", errors="replace")

# %% exercise="bpe_decode" wrong="skips_special_tokens"
"""Leaves special tokens out of the text, as skip_special_tokens=True does; "returns the text" of all ids."""
def bpe_decode(ids: list[int], merges: list[tuple[bytes, bytes]], specials: tuple[str, ...] = ()) -> str:
    tokens = vocabulary(merges)
    return b"".join(tokens[i] for i in ids if i in tokens).decode("utf-8", errors="replace")

# %% exercise="bpe_decode" wrong="own_table_with_doubles"
"""Builds its own table with an id for every merge, also for a result that is there already, so all later ids are shifted; breaks "any others from the vocabulary"."""
def bpe_decode(ids: list[int], merges: list[tuple[bytes, bytes]], specials: tuple[str, ...] = ()) -> str:
    table = [bytes([b]) for b in range(256)]
    table += [left + right for left, right in merges]
    table += [word.encode("utf-8") for word in specials]
    return b"".join(table[i] for i in ids).decode("utf-8", errors="replace")

# %% exercise="bpe_decode" wrong="eats_the_ids"
"""Pops the ids off the caller's list; breaks "what your code is given stays as it was, lists and tensors alike"."""
def bpe_decode(ids: list[int], merges: list[tuple[bytes, bytes]], specials: tuple[str, ...] = ()) -> str:
    tokens = vocabulary(merges, specials)
    buffer = bytearray()
    while ids:
        buffer += tokens[ids.pop(0)]
    return buffer.decode("utf-8", errors="replace")

# %% exercise="bpe_decode" wrong="no_ids_fails"
"""reduce without a start value raises TypeError for an empty list; breaks "perhaps none"."""
from functools import reduce


def bpe_decode(ids: list[int], merges: list[tuple[bytes, bytes]], specials: tuple[str, ...] = ()) -> str:
    tokens = vocabulary(merges, specials)
    return reduce(lambda a, b: a + b, (tokens[i] for i in ids)).decode("utf-8", "replace")

# %% exercise="bpe_decode" wrong="latin_1_2"
"""Decodes as Latin-1, one character for each byte, so everything outside ASCII is garbled; the text is UTF-8."""
def bpe_decode(ids: list[int], merges: list[tuple[bytes, bytes]], specials: tuple[str, ...] = ()) -> str:
    tokens = vocabulary(merges, specials)
    return b"".join(tokens[i] for i in ids).decode("latin-1")

# %% exercise="language_finding" wrong="ends_swapped"
"""Cheapest and dearest exchanged: "cheapest" is the one with the smallest median."""
language_finding = {"cheapest": "hi", "dearest": "en", "times": 3.5}

# %% exercise="language_finding" wrong="english_left_out"
"""The cheapest of the other languages; breaks "English counts, although it is 1 by construction"."""
language_finding = {"cheapest": "es", "dearest": "hi", "times": 3.5}

# %% exercise="language_finding" wrong="names_not_codes"
"""Names from the table instead of locale codes; breaks "the locale code ("en", "fr", ...)"."""
language_finding = {"cheapest": "English", "dearest": "Hindi", "times": 3.5}

# %% exercise="language_finding" wrong="times_more_2"
"""How many times *more* tokens (one less than the ratio); breaks "how many times as many tokens"."""
language_finding = {"cheapest": "en", "dearest": "hi", "times": 2.5}

# %% exercise="language_finding" wrong="english_over_hindi"
"""The ratio turned round, English over Hindi; breaks "as the dearest needs as English"."""
language_finding = {"cheapest": "en", "dearest": "hi", "times": 0.3}

# %% exercise="language_finding" wrong="russian_is_dearest"
"""Takes the wrong row, the dearest of the two-byte scripts; "the one with the largest" median is another, of three bytes a letter."""
language_finding = {"cheapest": "en", "dearest": "ru", "times": 2.8}

# %% exercise="language_finding" wrong="bytes_per_letter_2"
"""Reasons that Devanagari letters are three bytes and writes 3.0 instead of reading the median; breaks "its median, one decimal"."""
language_finding = {"cheapest": "en", "dearest": "hi", "times": 3.0}

# %% exercise="language_finding" wrong="times_as_percent"
"""Gives a percentage; breaks "how many times as many"."""
language_finding = {"cheapest": "en", "dearest": "hi", "times": 350.0}

# %% exercise="pad_batch" wrong="positions_are_columns"
"""Positions are the column numbers, so with padding on the left a row starts above 0; breaks "0 at the first real token of each row"."""
def pad_batch(rows: list[list[int]], pad_id: int, side: str = "right") -> tuple[Tensor, Tensor, Tensor]:
    if side not in ("right", "left"):
        raise ValueError(side)
    width = max(len(row) for row in rows)
    ids = torch.full((len(rows), width), pad_id, dtype=torch.int64)
    mask = torch.zeros(len(rows), width, dtype=torch.bool)
    for b, row in enumerate(rows):
        place = slice(0, len(row)) if side == "right" else slice(width - len(row), width)
        ids[b, place] = torch.tensor(row)
        mask[b, place] = True
    positions = torch.arange(width).expand(len(rows), width) * mask
    return ids, mask, positions

# %% exercise="pad_batch" wrong="positions_run_on_behind"
"""cumsum - 1 with a clamp is 0 before the tokens but keeps the last position on padding behind them; breaks "0 on padding"."""
def pad_batch(rows: list[list[int]], pad_id: int, side: str = "right") -> tuple[Tensor, Tensor, Tensor]:
    if side not in ("right", "left"):
        raise ValueError(side)
    width = max(map(len, rows))
    ids = torch.full((len(rows), width), pad_id)
    mask = torch.zeros((len(rows), width), dtype=torch.bool)
    for b, row in enumerate(rows):
        start = 0 if side == "right" else width - len(row)
        ids[b, start : start + len(row)] = torch.tensor(row)
        mask[b, start : start + len(row)] = True
    positions = (mask.long().cumsum(1) - 1).clamp(min=0)
    return ids, mask, positions

# %% exercise="pad_batch" wrong="position_one_on_padding"
"""Writes 1 on padding, as transformers' generate does; breaks "0 on padding"."""
def pad_batch(rows: list[list[int]], pad_id: int, side: str = "right") -> tuple[Tensor, Tensor, Tensor]:
    if side not in ("right", "left"):
        raise ValueError(f"side {side!r}")
    width = max(map(len, rows))
    ids = torch.full((len(rows), width), pad_id)
    mask = torch.zeros((len(rows), width), dtype=torch.bool)
    for b, row in enumerate(rows):
        start = 0 if side == "right" else width - len(row)
        ids[b, start : start + len(row)] = torch.tensor(row)
        mask[b, start : start + len(row)] = True
    positions = mask.long().cumsum(-1) - 1
    positions.masked_fill_(~mask, 1)
    return ids, mask, positions

# %% exercise="pad_batch" wrong="mask_from_pad_id_3"
"""Finds padding by comparing with pad_id, so a real token with that id is masked; breaks "True = a real token"."""
def pad_batch(rows: list[list[int]], pad_id: int, side: str = "right") -> tuple[Tensor, Tensor, Tensor]:
    width = max(len(row) for row in rows)
    if side == "right":
        filled = [list(row) + [pad_id] * (width - len(row)) for row in rows]
    elif side == "left":
        filled = [[pad_id] * (width - len(row)) + list(row) for row in rows]
    else:
        raise ValueError("side must be 'right' or 'left'")
    ids = torch.tensor(filled, dtype=torch.int64)
    mask = ids != pad_id
    positions = (mask.cumsum(1) - 1).masked_fill(~mask, 0)
    return ids, mask, positions

# %% exercise="pad_batch" wrong="mask_of_integers"
"""A mask of 0 and 1 in int64, as tokenizers return it; breaks "mask (B, T) bool"."""
def pad_batch(rows: list[list[int]], pad_id: int, side: str = "right") -> tuple[Tensor, Tensor, Tensor]:
    if side not in ("right", "left"):
        raise ValueError("side must be 'right' or 'left'")
    width = max(len(row) for row in rows)
    ids, mask = [], []
    for row in rows:
        gap = width - len(row)
        if side == "right":
            ids.append(list(row) + [pad_id] * gap)
            mask.append([1] * len(row) + [0] * gap)
        else:
            ids.append([pad_id] * gap + list(row))
            mask.append([0] * gap + [1] * len(row))
    ids, mask = torch.tensor(ids), torch.tensor(mask)
    return ids, mask, (mask.cumsum(1) - 1) * mask

# %% exercise="pad_batch" wrong="fills_the_callers_rows"
"""Extends the rows themselves; breaks "they stay as they were"."""
def pad_batch(rows: list[list[int]], pad_id: int, side: str = "right") -> tuple[Tensor, Tensor, Tensor]:
    if side not in ("right", "left"):
        raise ValueError("side must be 'right' or 'left'")
    lengths = [len(row) for row in rows]
    width = max(lengths)
    mask = torch.zeros(len(rows), width, dtype=torch.bool)
    for b, row in enumerate(rows):
        gap = [pad_id] * (width - len(row))
        if side == "right":
            mask[b, : lengths[b]] = True
            row += gap
        else:
            mask[b, width - lengths[b] :] = True
            row[:0] = gap
    positions = (mask.cumsum(1) - 1) * mask
    return torch.tensor(rows), mask, positions

# %% exercise="pad_batch" wrong="anything_else_is_left"
"""Everything that is not "right" is taken as "left", without an error; breaks "Anything else: raise ValueError"."""
def pad_batch(rows: list[list[int]], pad_id: int, side: str = "right") -> tuple[Tensor, Tensor, Tensor]:
    width = max(map(len, rows))
    ids = torch.full((len(rows), width), pad_id)
    mask = torch.zeros((len(rows), width), dtype=torch.bool)
    for b, row in enumerate(rows):
        start = 0 if side == "right" else width - len(row)
        ids[b, start : start + len(row)] = torch.tensor(row)
        mask[b, start : start + len(row)] = True
    return ids, mask, (mask.cumsum(1) - 1) * mask

# %% exercise="pad_batch" wrong="error_only_where_there_is_a_gap"
"""Looks at `side` only for rows that need padding, so a wrong side passes when all rows are equally long; breaks "Anything else: raise ValueError"."""
def pad_batch(rows: list[list[int]], pad_id: int, side: str = "right") -> tuple[Tensor, Tensor, Tensor]:
    width = max(map(len, rows))
    ids = torch.full((len(rows), width), pad_id)
    mask = torch.zeros((len(rows), width), dtype=torch.bool)
    for b, row in enumerate(rows):
        n = len(row)
        if n == width or side == "right":
            start = 0
        elif side == "left":
            start = width - n
        else:
            raise ValueError(side)
        ids[b, start : start + n] = torch.tensor(row)
        mask[b, start : start + n] = True
    return ids, mask, (mask.cumsum(1) - 1) * mask

# %% exercise="pad_batch" wrong="true_means_padding"
"""The mask is True on padding, PyTorch's key_padding_mask; breaks "True = a real token"."""
def pad_batch(rows: list[list[int]], pad_id: int, side: str = "right") -> tuple[Tensor, Tensor, Tensor]:
    if side not in ("right", "left"):
        raise ValueError("side must be 'right' or 'left'")
    width = max(map(len, rows))
    ids = torch.full((len(rows), width), pad_id)
    padding = torch.ones((len(rows), width), dtype=torch.bool)
    positions = torch.zeros((len(rows), width), dtype=torch.int64)
    for b, row in enumerate(rows):
        start = 0 if side == "right" else width - len(row)
        ids[b, start : start + len(row)] = torch.tensor(row)
        padding[b, start : start + len(row)] = False
        positions[b, start : start + len(row)] = torch.arange(len(row))
    return ids, padding, positions

# %% exercise="pad_batch" wrong="longest_row_first"
"""Sorts the rows by length, as packed sequences want it, so row b of the batch is not rows[b] any more; the batch is to be made of the rows as they are given."""
def pad_batch(rows: list[list[int]], pad_id: int, side: str = "right") -> tuple[Tensor, Tensor, Tensor]:
    if side not in ("right", "left"):
        raise ValueError("side must be 'right' or 'left'")
    rows = sorted(rows, key=len, reverse=True)
    width = len(rows[0])
    ids = torch.full((len(rows), width), pad_id)
    mask = torch.zeros((len(rows), width), dtype=torch.bool)
    for b, row in enumerate(rows):
        start = 0 if side == "right" else width - len(row)
        ids[b, start : start + len(row)] = torch.tensor(row)
        mask[b, start : start + len(row)] = True
    return ids, mask, (mask.cumsum(1) - 1) * mask

# %% exercise="pad_batch" wrong="small_integers"
"""Ids and positions in int32; breaks "ids (B, T) int64 ... positions (B, T) int64"."""
def pad_batch(rows: list[list[int]], pad_id: int, side: str = "right") -> tuple[Tensor, Tensor, Tensor]:
    if side not in ("right", "left"):
        raise ValueError("side must be 'right' or 'left'")
    width = max(map(len, rows))
    ids = torch.full((len(rows), width), pad_id, dtype=torch.int32)
    positions = torch.zeros_like(ids)
    mask = torch.zeros((len(rows), width), dtype=torch.bool)
    for b, row in enumerate(rows):
        start = 0 if side == "right" else width - len(row)
        stop = start + len(row)
        ids[b, start:stop] = torch.tensor(row, dtype=torch.int32)
        positions[b, start:stop] = torch.arange(len(row), dtype=torch.int32)
        mask[b, start:stop] = True
    return ids, mask, positions

# %% exercise="embed" wrong="one_hot_always_float32"
"""The product is made in float32 and left there; breaks "in the table's dtype" for a float64 or float16 table."""
def embed(ids: Tensor, table: Tensor, one_hot: bool = False) -> Tensor:
    if not one_hot:
        return table[ids]
    return nn.functional.one_hot(ids, table.shape[0]).float() @ table.float()

# %% exercise="embed" wrong="classes_guessed_from_ids"
"""one_hot without the number of classes is only as wide as the greatest id; breaks "one-hot vectors (..., V)"."""
def embed(ids: Tensor, table: Tensor, one_hot: bool = False) -> Tensor:
    if one_hot:
        hot = nn.functional.one_hot(ids).to(table.dtype)
        return hot @ table
    return table[ids]

# %% exercise="embed" wrong="lookup_without_gradient"
"""Looks up in table.data, so the table gets no gradient; breaks "results carry gradients" and "the same gradient of the table"."""
def embed(ids: Tensor, table: Tensor, one_hot: bool = False) -> Tensor:
    if one_hot:
        hot = (ids[..., None] == torch.arange(len(table))).to(table.dtype)
        return hot @ table
    return table.data[ids]

# %% exercise="embed" wrong="batch_and_time_only"
"""Unpacks the shape of ids as (B, T); breaks "any shape"."""
def embed(ids: Tensor, table: Tensor, one_hot: bool = False) -> Tensor:
    B, T = ids.shape
    if one_hot:
        hot = torch.zeros(B * T, len(table), dtype=table.dtype)
        hot[torch.arange(B * T), ids.reshape(-1)] = 1
        return (hot @ table).reshape(B, T, -1)
    return table.index_select(0, ids.reshape(-1)).reshape(B, T, -1)

# %% exercise="embed" wrong="row_zero_is_padding"
"""Looks up with padding_idx=0, which takes the gradient of row 0 away; breaks "the same gradient of the table"."""
def embed(ids: Tensor, table: Tensor, one_hot: bool = False) -> Tensor:
    if one_hot:
        return nn.functional.one_hot(ids, len(table)).to(table.dtype) @ table
    return nn.functional.embedding(ids, table, padding_idx=0)

# %% exercise="embed" wrong="gradient_divided_by_frequency"
"""scale_grad_by_freq=True averages where the gradients are to be collected; breaks "row i of the table collects the gradients of all places"."""
def embed(ids: Tensor, table: Tensor, one_hot: bool = False) -> Tensor:
    if one_hot:
        return nn.functional.one_hot(ids, len(table)).to(table.dtype) @ table
    return nn.functional.embedding(ids, table, scale_grad_by_freq=True)

# %% exercise="embed" wrong="rows_renormalised_in_place"
"""max_norm=1 shortens long rows of the caller's table; breaks "what your code is given stays as it was"."""
def embed(ids: Tensor, table: Tensor, one_hot: bool = False) -> Tensor:
    if one_hot:
        return nn.functional.one_hot(ids, len(table)).to(table.dtype) @ table
    return nn.functional.embedding(ids, table, max_norm=1.0)

# %% exercise="embed" wrong="scaled_by_root_of_width"
"""Multiplies the rows by sqrt(D) as the transformer paper does; the function returns the rows themselves."""
def embed(ids: Tensor, table: Tensor, one_hot: bool = False) -> Tensor:
    scale = table.shape[1] ** 0.5
    if one_hot:
        return nn.functional.one_hot(ids, len(table)).to(table.dtype) @ table * scale
    return table[ids] * scale

# %% exercise="embed" wrong="one_hot_counts_the_sequence"
"""Sums the one-hot vectors over the last dimension of ids, a bag of words; breaks "returns (..., D)"."""
def embed(ids: Tensor, table: Tensor, one_hot: bool = False) -> Tensor:
    if one_hot:
        hot = torch.zeros(*ids.shape[:-1], len(table), dtype=table.dtype)
        hot.scatter_add_(-1, ids, torch.ones_like(ids, dtype=table.dtype))
        return hot @ table
    return table[ids]

# %% exercise="TiedEmbedding" wrong="equal_copy"
"""Starts a second matrix as a copy of the first; breaks "One matrix, not two equal ones" and "`weight` (V, D), and no other"."""
class TiedEmbedding(nn.Module):
    def __init__(self, vocab_size: int, d_model: int):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(vocab_size, d_model) * d_model**-0.5)
        self.out = nn.Parameter(self.weight.detach().clone())

    def embed(self, ids: Tensor) -> Tensor:
        return self.weight[ids] * math.sqrt(self.weight.shape[1])

    def logits(self, states: Tensor) -> Tensor:
        return states @ self.out.T

# %% exercise="TiedEmbedding" wrong="two_modules_share"
"""An Embedding and a Linear share one tensor, which is right in use but stands as tokens.weight and head.weight in the state dict; breaks "by its name in the state dict: `weight`"."""
class TiedEmbedding(nn.Module):
    def __init__(self, vocab_size: int, d_model: int):
        super().__init__()
        self.tokens = nn.Embedding(vocab_size, d_model)
        self.head = nn.Linear(d_model, vocab_size, bias=False)
        self.head.weight = self.tokens.weight
        self.scale = math.sqrt(d_model)

    def embed(self, ids: Tensor) -> Tensor:
        return self.tokens(ids) * self.scale

    def logits(self, states: Tensor) -> Tensor:
        return self.head(states)

# %% exercise="TiedEmbedding" wrong="no_root_of_width"
"""embed returns the bare rows; breaks "rows of the weight times sqrt(D)"."""
class TiedEmbedding(nn.Module):
    def __init__(self, vocab_size: int, d_model: int):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(vocab_size, d_model))

    def embed(self, ids: Tensor) -> Tensor:
        return nn.functional.embedding(ids, self.weight)

    def logits(self, states: Tensor) -> Tensor:
        return nn.functional.linear(states, self.weight)

# %% exercise="TiedEmbedding" wrong="logits_divided"
"""Divides the scores by sqrt(D), as T5 does; breaks "without that factor"."""
class TiedEmbedding(nn.Module):
    def __init__(self, vocab_size: int, d_model: int):
        super().__init__()
        self.d_model = d_model
        self.weight = nn.Parameter(torch.empty(vocab_size, d_model).normal_(std=d_model**-0.5))

    def embed(self, ids: Tensor) -> Tensor:
        return self.weight[ids] * self.d_model**0.5

    def logits(self, states: Tensor) -> Tensor:
        return (states * self.d_model**-0.5) @ self.weight.T

# %% exercise="TiedEmbedding" wrong="root_of_vocabulary"
"""Takes the square root of the table's first dimension, V, not D; breaks "times sqrt(D)"."""
class TiedEmbedding(nn.Module):
    def __init__(self, vocab_size: int, d_model: int):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(vocab_size, d_model) / math.sqrt(d_model))

    def embed(self, ids: Tensor) -> Tensor:
        return self.weight[ids] * math.sqrt(len(self.weight))

    def logits(self, states: Tensor) -> Tensor:
        return states @ self.weight.T

# %% exercise="TiedEmbedding" wrong="bias_of_scores"
"""Adds a bias for each token, zero at the start, so numbers agree but the state dict has one more entry; breaks "without a bias" and "no other"."""
class TiedEmbedding(nn.Module):
    def __init__(self, vocab_size: int, d_model: int):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(vocab_size, d_model) * d_model**-0.5)
        self.bias = nn.Parameter(torch.zeros(vocab_size))

    def embed(self, ids: Tensor) -> Tensor:
        return self.weight[ids] * math.sqrt(self.weight.shape[-1])

    def logits(self, states: Tensor) -> Tensor:
        return nn.functional.linear(states, self.weight, self.bias)

# %% exercise="TiedEmbedding" wrong="weight_lies_on_its_side"
"""Keeps the matrix as (D, V), as a head is often written; breaks "`weight` (V, D)"."""
class TiedEmbedding(nn.Module):
    def __init__(self, vocab_size: int, d_model: int):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(d_model, vocab_size) * d_model**-0.5)

    def embed(self, ids: Tensor) -> Tensor:
        return self.weight.T[ids] * math.sqrt(self.weight.shape[0])

    def logits(self, states: Tensor) -> Tensor:
        return states @ self.weight

# %% exercise="TiedEmbedding" wrong="head_learns_nothing"
"""The scores use the weight detached, so the output end gives it no gradient; breaks "results carry gradients to the floating-point tensors they are made of"."""
class TiedEmbedding(nn.Module):
    def __init__(self, vocab_size: int, d_model: int):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(vocab_size, d_model) * d_model**-0.5)

    def embed(self, ids: Tensor) -> Tensor:
        return self.weight[ids] * math.sqrt(self.weight.shape[1])

    def logits(self, states: Tensor) -> Tensor:
        return states @ self.weight.detach().T

# %% exercise="TiedEmbedding" wrong="factor_put_into_weight"
"""Keeps the matrix multiplied by sqrt(D) already: embed gives bare rows of `weight` and logits divides, consistent in itself but not "rows of the weight times sqrt(D)" and "states @ weight^T"."""
class TiedEmbedding(nn.Module):
    def __init__(self, vocab_size: int, d_model: int):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(vocab_size, d_model) * d_model**-0.5)
        with torch.no_grad():
            self.weight *= math.sqrt(d_model)  # done once, not at each call

    def embed(self, ids: Tensor) -> Tensor:
        return self.weight[ids]

    def logits(self, states: Tensor) -> Tensor:
        return states @ (self.weight / math.sqrt(self.weight.shape[1])).T

# %% exercise="sinusoidal_encoding" wrong="sines_then_cosines_2"
"""All sines, then all cosines, as tensor2tensor lays them out; breaks "column 2i is sin ..., column 2i + 1 the cosine"."""
def sinusoidal_encoding(length: int, d_model: int) -> Tensor:
    frequencies = 10000.0 ** (-torch.arange(0, d_model, 2, dtype=torch.float64) / d_model)
    angles = torch.arange(length, dtype=torch.float64)[:, None] * frequencies
    return torch.cat([angles.sin(), angles.cos()], dim=-1).float()

# %% exercise="sinusoidal_encoding" wrong="cosine_first_2"
"""Even columns are cosines and odd ones sines; breaks "column 2i is sin"."""
def sinusoidal_encoding(length: int, d_model: int) -> Tensor:
    frequencies = 10000.0 ** (-torch.arange(0, d_model, 2) / d_model)
    angles = torch.arange(length)[:, None] * frequencies
    return torch.stack([angles.cos(), angles.sin()], dim=-1).flatten(1)

# %% exercise="sinusoidal_encoding" wrong="counts_from_one"
"""Positions 1 to length; breaks "positions 0 to length - 1"."""
def sinusoidal_encoding(length: int, d_model: int) -> Tensor:
    t = torch.arange(1, length + 1, dtype=torch.float32)
    frequencies = 10000.0 ** (-torch.arange(0, d_model, 2) / d_model)
    angles = t[:, None] * frequencies
    out = torch.empty(length, d_model)
    out[:, 0::2] = angles.sin()
    out[:, 1::2] = angles.cos()
    return out

# %% exercise="sinusoidal_encoding" wrong="exponent_without_two"
"""The exponent is i / D for i = 0 ... D/2 - 1, half of what the formula has; breaks "10000^(2i/D)"."""
def sinusoidal_encoding(length: int, d_model: int) -> Tensor:
    i = torch.arange(d_model // 2, dtype=torch.float32)
    angles = torch.arange(length)[:, None] / 10000.0 ** (i / d_model)
    out = torch.empty(length, d_model)
    out[:, 0::2] = angles.sin()
    out[:, 1::2] = angles.cos()
    return out

# %% exercise="sinusoidal_encoding" wrong="each_column_its_own_angle"
"""Every column has the angle of its own number, so a cosine does not belong to the sine beside it; breaks "the cosine of the same angle"."""
def sinusoidal_encoding(length: int, d_model: int) -> Tensor:
    column = torch.arange(d_model)
    angles = torch.arange(length)[:, None] / 10000.0 ** (column / d_model)
    out = angles.clone()
    out[:, 0::2] = angles[:, 0::2].sin()
    out[:, 1::2] = angles[:, 1::2].cos()
    return out

# %% exercise="sinusoidal_encoding" wrong="double_result"
"""Computes in float64 and forgets to go back; breaks "(T, D) float32"."""
def sinusoidal_encoding(length: int, d_model: int) -> Tensor:
    i2 = torch.arange(0, d_model, 2, dtype=torch.float64)
    angles = torch.outer(torch.arange(length, dtype=torch.float64), torch.exp(-math.log(10000.0) * i2 / d_model))
    return torch.stack((angles.sin(), angles.cos()), dim=2).reshape(length, d_model)

# %% exercise="sinusoidal_encoding" wrong="clocks_end_at_10000"
"""Spaces the frequencies from 1 to 1/10000 with both ends included (D/2 - 1 steps); breaks "10000^(2i/D)"."""
def sinusoidal_encoding(length: int, d_model: int) -> Tensor:
    half = d_model // 2
    step = math.log(10000.0) / max(half - 1, 1)
    angles = torch.arange(length)[:, None] * torch.exp(-step * torch.arange(half))
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)

# %% exercise="sinusoidal_encoding" wrong="squeezed_for_one_position"
"""A squeeze at the end turns length 1 into a vector; breaks "(T, D)" where T is 1."""
def sinusoidal_encoding(length: int, d_model: int) -> Tensor:
    frequencies = 10000.0 ** (-torch.arange(0, d_model, 2) / d_model)
    angles = torch.arange(length).unsqueeze(1) * frequencies
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1).squeeze()

# %% exercise="sinusoidal_encoding" wrong="half_precision_angles"
"""Keeps positions and frequencies in bfloat16 to save memory and converts at the end; "Float32 angles pass", shorter ones do not."""
def sinusoidal_encoding(length: int, d_model: int) -> Tensor:
    t = torch.arange(length, dtype=torch.bfloat16)
    frequencies = (10000.0 ** (-torch.arange(0, d_model, 2) / d_model)).to(torch.bfloat16)
    angles = t[:, None] * frequencies
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1).float()

# %% exercise="rope_frequencies" wrong="half_the_exponent"
"""Exponent -i/d for i = 0 ... d/2 - 1; breaks "base^(-2i/d)"."""
def rope_frequencies(d: int, base: float = 10000.0) -> Tensor:
    i = torch.arange(d // 2, dtype=torch.float32)
    return base ** (-i / d)

# %% exercise="rope_frequencies" wrong="upwards"
"""Forgets the minus; breaks "from 1 downwards"."""
def rope_frequencies(d: int, base: float = 10000.0) -> Tensor:
    return base ** (torch.arange(0, d, 2).float() / d)

# %% exercise="rope_frequencies" wrong="both_ends_included"
"""linspace from 0 to 1 reaches 1/base in the last pair; breaks "base^(-2i/d)", whose last exponent is -(d - 2)/d."""
def rope_frequencies(d: int, base: float = 10000.0) -> Tensor:
    return base ** -torch.linspace(0, 1, d // 2)

# %% exercise="rope_frequencies" wrong="float64_result"
"""Returns float64; breaks "(d / 2,) float32"."""
def rope_frequencies(d: int, base: float = 10000.0) -> Tensor:
    return torch.tensor([base ** (-2 * i / d) for i in range(d // 2)], dtype=torch.float64)

# %% exercise="rope_frequencies" wrong="base_written_in"
"""Writes log(10000) into the formula and never reads `base`; wrong for every other base, Llama 3's 500000 too."""
def rope_frequencies(d: int, base: float = 10000.0) -> Tensor:
    return torch.exp(torch.arange(0, d, 2, dtype=torch.float32) * (-math.log(10000.0) / d))

# %% exercise="rope_frequencies" wrong="one_for_each_coordinate"
"""Gives both coordinates of a pair an entry; breaks "(d / 2,)"."""
def rope_frequencies(d: int, base: float = 10000.0) -> Tensor:
    theta = base ** (-torch.arange(0, d, 2) / d)
    return theta.repeat_interleave(2)

# %% exercise="rope_frequencies" wrong="whole_number_division"
"""Divides the exponents as whole numbers, so they are all 0; breaks "base^(-2i/d)"."""
def rope_frequencies(d: int, base: float = 10000.0) -> Tensor:
    exponent = torch.arange(0, d, 2) // d
    return 1.0 / torch.tensor(base) ** exponent

# %% exercise="rope_frequencies" wrong="turns_not_radians"
"""Divides by 2 pi and so gives full turns for each position; breaks "radians" and "from 1 downwards"."""
def rope_frequencies(d: int, base: float = 10000.0) -> Tensor:
    return base ** (-torch.arange(0, d, 2) / d) / (2 * math.pi)

# %% exercise="apply_rope" wrong="turns_backwards_2"
"""Signs exchanged: a cos + b sin, b cos - a sin; breaks "(a cos - b sin, a sin + b cos)" (scores between q and k do not show it)."""
def apply_rope(x: Tensor, positions: Tensor, pairing: str = "interleaved", base: float = 10000.0) -> Tensor:
    d = x.shape[-1]
    angles = positions.double()[:, None] * base ** (-torch.arange(0, d, 2, dtype=torch.float64) / d)
    cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    if pairing == "interleaved":
        a, b = x[..., 0::2], x[..., 1::2]
        return torch.stack([a * cos + b * sin, b * cos - a * sin], dim=-1).flatten(-2)
    if pairing == "half":
        a, b = x.chunk(2, dim=-1)
        return torch.cat([a * cos + b * sin, b * cos - a * sin], dim=-1)
    raise ValueError(pairing)

# %% exercise="apply_rope" wrong="positions_from_the_shape"
"""Takes 0 to T - 1 and does not look at `positions`; breaks "any numbers: not only 0 to T - 1"."""
def apply_rope(x: Tensor, positions: Tensor, pairing: str = "interleaved", base: float = 10000.0) -> Tensor:
    T, d = x.shape[-2:]
    angles = torch.arange(T, dtype=torch.float64)[:, None] * base ** (-torch.arange(0, d, 2, dtype=torch.float64) / d)
    cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    if pairing == "interleaved":
        a, b = x[..., 0::2], x[..., 1::2]
        return torch.stack([a * cos - b * sin, a * sin + b * cos], dim=-1).flatten(-2)
    if pairing == "half":
        a, b = x.chunk(2, dim=-1)
        return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1)
    raise ValueError(pairing)

# %% exercise="apply_rope" wrong="no_such_pairing_is_half"
"""Everything but "interleaved" counts as "half", a misspelt name too; breaks "Anything else: raise ValueError"."""
def apply_rope(x: Tensor, positions: Tensor, pairing: str = "interleaved", base: float = 10000.0) -> Tensor:
    angles = positions.float()[:, None] * base ** (-torch.arange(0, x.shape[-1], 2) / x.shape[-1])
    cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    if pairing == "interleaved":
        a, b = x[..., 0::2], x[..., 1::2]
        return torch.stack([a * cos - b * sin, a * sin + b * cos], dim=-1).flatten(-2)
    a, b = x.chunk(2, dim=-1)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1)

# %% exercise="apply_rope" wrong="writes_into_x_2"
"""Writes the turned pairs back into x; breaks "x itself stays as it was" (and a leaf that needs a gradient is an error)."""
def apply_rope(x: Tensor, positions: Tensor, pairing: str = "interleaved", base: float = 10000.0) -> Tensor:
    d = x.shape[-1]
    angles = positions.float()[:, None] * base ** (-torch.arange(0, d, 2) / d)
    cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    if pairing == "interleaved":
        first, second = slice(0, None, 2), slice(1, None, 2)
    elif pairing == "half":
        first, second = slice(0, d // 2), slice(d // 2, None)
    else:
        raise ValueError(pairing)
    a, b = x[..., first].clone(), x[..., second].clone()
    x[..., first] = a * cos - b * sin
    x[..., second] = a * sin + b * cos
    return x

# %% exercise="apply_rope" wrong="angles_in_dtype_of_x"
"""Converts positions and frequencies to x's dtype before the product; breaks "Angles, sines and cosines are computed in float32 or better, whatever x's dtype"."""
def apply_rope(x: Tensor, positions: Tensor, pairing: str = "interleaved", base: float = 10000.0) -> Tensor:
    angles = positions.to(x.dtype)[:, None] * (base ** (-torch.arange(0, x.shape[-1], 2) / x.shape[-1])).to(x.dtype)
    cos, sin = angles.cos(), angles.sin()
    if pairing == "interleaved":
        a, b = x[..., 0::2], x[..., 1::2]
        return torch.stack([a * cos - b * sin, a * sin + b * cos], dim=-1).flatten(-2)
    if pairing == "half":
        a, b = x.chunk(2, dim=-1)
        return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1)
    raise ValueError(pairing)

# %% exercise="apply_rope" wrong="result_is_float32"
"""Leaves the result in float32 by promotion, for a bfloat16 or float16 x; breaks "same shape and dtype as x"."""
def apply_rope(x: Tensor, positions: Tensor, pairing: str = "interleaved", base: float = 10000.0) -> Tensor:
    angles = positions.float()[:, None] * base ** (-torch.arange(0, x.shape[-1], 2) / x.shape[-1])
    cos, sin = angles.cos(), angles.sin()
    if pairing == "interleaved":
        a, b = x[..., 0::2], x[..., 1::2]
        return torch.stack([a * cos - b * sin, a * sin + b * cos], dim=-1).flatten(-2)
    if pairing == "half":
        a, b = x.chunk(2, dim=-1)
        return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1)
    raise ValueError(pairing)

# %% exercise="apply_rope" wrong="interleaved_put_back_as_halves"
"""Takes the pairs (2i, 2i + 1) but puts them back with cat, all first ones before all second ones; breaks 'pairs (2i, 2i + 1)' in the result."""
def apply_rope(x: Tensor, positions: Tensor, pairing: str = "interleaved", base: float = 10000.0) -> Tensor:
    angles = positions.float()[:, None] * base ** (-torch.arange(0, x.shape[-1], 2) / x.shape[-1])
    cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    if pairing == "interleaved":
        a, b = x[..., 0::2], x[..., 1::2]
    elif pairing == "half":
        a, b = x.chunk(2, dim=-1)
    else:
        raise ValueError(f"pairing {pairing!r}")
    return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1)

# %% exercise="apply_rope" wrong="pairings_exchanged"
"""The two names are mixed up: "interleaved" turns (i, i + d/2) and "half" turns (2i, 2i + 1)."""
def apply_rope(x: Tensor, positions: Tensor, pairing: str = "interleaved", base: float = 10000.0) -> Tensor:
    angles = positions.float()[:, None] * base ** (-torch.arange(0, x.shape[-1], 2) / x.shape[-1])
    cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    if pairing == "interleaved":
        a, b = x.chunk(2, dim=-1)
        return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1)
    if pairing == "half":
        a, b = x[..., 0::2], x[..., 1::2]
        return torch.stack([a * cos - b * sin, a * sin + b * cos], dim=-1).flatten(-2)
    raise ValueError(pairing)

# %% exercise="apply_rope" wrong="second_uses_new_first"
"""The second coordinate is computed from the first one after that was turned; breaks "(a cos - b sin, a sin + b cos)"."""
def apply_rope(x: Tensor, positions: Tensor, pairing: str = "interleaved", base: float = 10000.0) -> Tensor:
    angles = positions.float()[:, None] * base ** (-torch.arange(0, x.shape[-1], 2) / x.shape[-1])
    cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    if pairing not in ("interleaved", "half"):
        raise ValueError(pairing)
    a, b = (x[..., 0::2], x[..., 1::2]) if pairing == "interleaved" else x.chunk(2, dim=-1)
    a = a * cos - b * sin
    b = a * sin + b * cos
    if pairing == "interleaved":
        return torch.stack([a, b], dim=-1).flatten(-2)
    return torch.cat([a, b], dim=-1)

# %% exercise="apply_rope" wrong="whole_positions_only_3"
"""Converts the positions to int64, so interpolated ones are cut off; breaks "int64 or float, any numbers"."""
def apply_rope(x: Tensor, positions: Tensor, pairing: str = "interleaved", base: float = 10000.0) -> Tensor:
    angles = positions.long()[:, None] * base ** (-torch.arange(0, x.shape[-1], 2) / x.shape[-1])
    cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    if pairing == "interleaved":
        a, b = x[..., 0::2], x[..., 1::2]
        return torch.stack([a * cos - b * sin, a * sin + b * cos], dim=-1).flatten(-2)
    if pairing == "half":
        a, b = x.chunk(2, dim=-1)
        return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1)
    raise ValueError(pairing)

# %% exercise="apply_rope" wrong="view_needs_contiguous"
"""Reshapes with view, which fails for a transposed x; breaks "any strides"."""
def apply_rope(x: Tensor, positions: Tensor, pairing: str = "interleaved", base: float = 10000.0) -> Tensor:
    d = x.shape[-1]
    angles = positions.float()[:, None] * base ** (-torch.arange(0, d, 2) / d)
    cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    if pairing == "interleaved":
        a, b = x.view(-1, x.shape[-2], d // 2, 2).unbind(-1)
        out = torch.stack([a * cos - b * sin, a * sin + b * cos], dim=-1)
    elif pairing == "half":
        a, b = x.view(-1, x.shape[-2], 2, d // 2).unbind(-2)
        out = torch.stack([a * cos - b * sin, a * sin + b * cos], dim=-2)
    else:
        raise ValueError(pairing)
    return out.view(x.shape)

# %% exercise="apply_rope" wrong="no_gradient"
"""Runs under no_grad because "it has no parameters"; breaks "with gradients to x"."""
@torch.no_grad()
def apply_rope(x: Tensor, positions: Tensor, pairing: str = "interleaved", base: float = 10000.0) -> Tensor:
    angles = positions.float()[:, None] * base ** (-torch.arange(0, x.shape[-1], 2) / x.shape[-1])
    cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    if pairing == "interleaved":
        a, b = x[..., 0::2], x[..., 1::2]
        return torch.stack([a * cos - b * sin, a * sin + b * cos], dim=-1).flatten(-2)
    if pairing == "half":
        a, b = x.chunk(2, dim=-1)
        return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1)
    raise ValueError(pairing)

# %% exercise="apply_rope" wrong="rotate_half_with_interleaved_table"
"""In the "half" branch cos and sin are doubled with repeat_interleave, which is the layout of the other pairing; breaks '"half": pairs (i, i + d/2)'."""
def apply_rope(x: Tensor, positions: Tensor, pairing: str = "interleaved", base: float = 10000.0) -> Tensor:
    if pairing not in ("interleaved", "half"):
        raise ValueError(pairing)
    angles = (positions.float()[:, None] * base ** (-torch.arange(0, x.shape[-1], 2) / x.shape[-1])).repeat_interleave(2, dim=-1)
    cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    if pairing == "interleaved":
        turned = torch.stack([-x[..., 1::2], x[..., 0::2]], dim=-1).flatten(-2)
    else:
        a, b = x.chunk(2, dim=-1)
        turned = torch.cat([-b, a], dim=-1)
    return x * cos + turned * sin

# %% exercise="rotary_qkv" wrong="values_turned_too_3"
"""Turns the values as well; breaks "on queries and keys, not on values"."""
def rotary_qkv(
    x: Tensor, w_q: Tensor, w_k: Tensor, w_v: Tensor, num_heads: int, positions: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    B, T, D = x.shape
    q, k, v = ((x @ w).reshape(B, T, num_heads, D // num_heads).transpose(1, 2) for w in (w_q, w_k, w_v))
    return apply_rope(q, positions), apply_rope(k, positions), apply_rope(v, positions)

# %% exercise="rotary_qkv" wrong="keys_left_alone"
"""Turns the queries only, so scores depend on the query's position and not on the difference; breaks "on queries and keys"."""
def rotary_qkv(
    x: Tensor, w_q: Tensor, w_k: Tensor, w_v: Tensor, num_heads: int, positions: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    B, T, D = x.shape
    q, k, v = ((x @ w).reshape(B, T, num_heads, D // num_heads).transpose(1, 2) for w in (w_q, w_k, w_v))
    return apply_rope(q, positions), k, v

# %% exercise="rotary_qkv" wrong="turned_before_the_split_3"
"""Turns the whole width D and splits afterwards, so each head gets other frequencies; breaks "after the heads are split" and "Two heads see the same frequencies"."""
def rotary_qkv(
    x: Tensor, w_q: Tensor, w_k: Tensor, w_v: Tensor, num_heads: int, positions: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    B, T, D = x.shape
    q, k, v = apply_rope(x @ w_q, positions), apply_rope(x @ w_k, positions), x @ w_v
    q, k, v = (y.reshape(B, T, num_heads, D // num_heads).transpose(1, 2) for y in (q, k, v))
    return q, k, v

# %% exercise="rotary_qkv" wrong="reshape_without_transpose"
"""Reshapes (B, T, D) straight to (B, H, T, d), which mixes positions into heads; breaks "Head h owns columns h * d to (h + 1) * d"."""
def rotary_qkv(
    x: Tensor, w_q: Tensor, w_k: Tensor, w_v: Tensor, num_heads: int, positions: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    B, T, D = x.shape
    q, k, v = ((x @ w).reshape(B, num_heads, T, D // num_heads) for w in (w_q, w_k, w_v))
    return apply_rope(q, positions), apply_rope(k, positions), v

# %% exercise="rotary_qkv" wrong="weights_as_in_linear_2"
"""Uses the matrices as nn.Linear would, transposed; breaks "applied from the right: x @ w"."""
def rotary_qkv(
    x: Tensor, w_q: Tensor, w_k: Tensor, w_v: Tensor, num_heads: int, positions: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    def split(y):
        return y.unflatten(-1, (num_heads, -1)).transpose(1, 2)

    q, k, v = (split(nn.functional.linear(x, w)) for w in (w_q, w_k, w_v))
    return apply_rope(q, positions), apply_rope(k, positions), v

# %% exercise="rotary_qkv" wrong="heads_own_every_hth_column"
"""Splits the last dimension as (d, H), so head h owns columns h, h + H ...; breaks "Head h owns columns h * d to (h + 1) * d"."""
def rotary_qkv(
    x: Tensor, w_q: Tensor, w_k: Tensor, w_v: Tensor, num_heads: int, positions: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    B, T, D = x.shape
    q, k, v = ((x @ w).reshape(B, T, D // num_heads, num_heads).permute(0, 3, 1, 2) for w in (w_q, w_k, w_v))
    return apply_rope(q, positions), apply_rope(k, positions), v

# %% exercise="rotary_qkv" wrong="input_turned_before_projection"
"""Turns x and projects afterwards; breaks "after the projections"."""
def rotary_qkv(
    x: Tensor, w_q: Tensor, w_k: Tensor, w_v: Tensor, num_heads: int, positions: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    def split(y):
        return y.unflatten(-1, (num_heads, -1)).transpose(1, 2)

    turned = apply_rope(x, positions)
    return split(turned @ w_q), split(turned @ w_k), split(x @ w_v)

# %% exercise="rotary_qkv" wrong="pairs_in_halves"
"""Turns the pairs (i, i + d/2); breaks "pairs interleaved"."""
def rotary_qkv(
    x: Tensor, w_q: Tensor, w_k: Tensor, w_v: Tensor, num_heads: int, positions: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    B, T, D = x.shape
    q, k, v = ((x @ w).reshape(B, T, num_heads, -1).transpose(1, 2) for w in (w_q, w_k, w_v))
    return apply_rope(q, positions, "half"), apply_rope(k, positions, "half"), v

# %% exercise="rotary_qkv" wrong="positions_counted_anew"
"""Counts the key positions from 0 and uses the given ones for queries only; breaks "Queries and keys are turned by the same positions" / "positions (T,)"."""
def rotary_qkv(
    x: Tensor, w_q: Tensor, w_k: Tensor, w_v: Tensor, num_heads: int, positions: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    B, T, D = x.shape
    q, k, v = ((x @ w).reshape(B, T, num_heads, -1).transpose(1, 2) for w in (w_q, w_k, w_v))
    return apply_rope(q, positions), apply_rope(k, torch.arange(T)), v

# %% exercise="rotary_qkv" wrong="queries_scaled"
"""Divides the queries by sqrt(d) already, which attention does again; q is the turned projection and nothing else."""
def rotary_qkv(
    x: Tensor, w_q: Tensor, w_k: Tensor, w_v: Tensor, num_heads: int, positions: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    B, T, D = x.shape
    d = D // num_heads
    q, k, v = ((x @ w).reshape(B, T, num_heads, d).transpose(1, 2) for w in (w_q, w_k, w_v))
    return apply_rope(q / math.sqrt(d), positions), apply_rope(k, positions), v

# %% exercise="alibi_slopes" wrong="h_from_zero"
"""h runs from 0 to H - 1, so the first slope is 1; breaks "h = 1 ... H"."""
def alibi_slopes(num_heads: int) -> Tensor:
    def for_power(n):
        return [2.0 ** (-8.0 * h / n) for h in range(n)]

    p = 2 ** int(math.log2(num_heads))
    slopes = for_power(p)
    if p < num_heads:
        slopes += for_power(2 * p)[0::2][: num_heads - p]
    return torch.tensor(slopes)

# %% exercise="alibi_slopes" wrong="one_formula_for_all"
"""Uses 2^(-8h/H) for every H; breaks "Otherwise as described above"."""
def alibi_slopes(num_heads: int) -> Tensor:
    return 2.0 ** (-8.0 * torch.arange(1, num_heads + 1) / num_heads)

# %% exercise="alibi_slopes" wrong="second_fourth_sixth_2"
"""Takes the second, fourth ... of the 2P slopes, which are those of P once more; breaks "the first, third, fifth"."""
def alibi_slopes(num_heads: int) -> Tensor:
    p = 1 << (num_heads.bit_length() - 1)
    slopes = [2 ** (-8 * h / p) for h in range(1, p + 1)]
    more = [2 ** (-4 * h / p) for h in range(1, 2 * p + 1)]
    return torch.tensor(slopes + more[1::2][: num_heads - p])

# %% exercise="alibi_slopes" wrong="first_of_the_next_power"
"""Takes all H slopes from the next larger power of two, the first H of them; breaks "takes the slopes for the largest power of two P < H"."""
def alibi_slopes(num_heads: int) -> Tensor:
    p = 2 ** math.ceil(math.log2(num_heads))
    return torch.tensor([2 ** (-8 * h / p) for h in range(1, p + 1)][:num_heads])

# %% exercise="alibi_slopes" wrong="even_counts_as_power"
"""Tests for even instead of for a power of two, so 6, 10, 12 heads get the simple formula; breaks "H a power of two: ... Otherwise as described above"."""
def alibi_slopes(num_heads: int) -> Tensor:
    def simple(n):
        return [2 ** (-8 * h / n) for h in range(1, n + 1)]

    if num_heads == 1 or num_heads % 2 == 0:
        return torch.tensor(simple(num_heads))
    p = 2 ** math.floor(math.log2(num_heads))
    return torch.tensor(simple(p) + simple(2 * p)[::2][: num_heads - p])

# %% exercise="alibi_slopes" wrong="sorted_at_the_end"
"""Sorts all slopes downwards, so heads after the first ones get others; breaks the order "the slopes for P, then, of those for 2P"."""
def alibi_slopes(num_heads: int) -> Tensor:
    def simple(n):
        return [2 ** (-8 * h / n) for h in range(1, n + 1)]

    p = 2 ** math.floor(math.log2(num_heads))
    return torch.tensor(sorted(simple(p) + simple(2 * p)[::2][: num_heads - p], reverse=True))

# %% exercise="alibi_slopes" wrong="smaller_power_always"
"""Reads "P < H" as meant for powers of two as well, so 8 heads are made of those for 4 and for 8; breaks "H a power of two: 2^(-8h/H)"."""
def alibi_slopes(num_heads: int) -> Tensor:
    def simple(n):
        return [2 ** (-8 * h / n) for h in range(1, n + 1)]

    p = 1
    while 2 * p < num_heads:
        p *= 2
    return torch.tensor((simple(p) + simple(2 * p)[::2])[:num_heads])

# %% exercise="alibi_slopes" wrong="not_cut_to_h"
"""Appends all P slopes of the second kind instead of stopping at H; breaks "(H,)" and "until there are H"."""
def alibi_slopes(num_heads: int) -> Tensor:
    p = 2 ** math.floor(math.log2(num_heads))
    slopes = 2.0 ** (-8.0 * torch.arange(1, p + 1) / p)
    if p == num_heads:
        return slopes
    return torch.cat([slopes, 2.0 ** (-8.0 * torch.arange(1, 2 * p + 1, 2) / (2 * p))])

# %% exercise="alibi_slopes" wrong="negative"
"""Puts the minus of the penalty into the slopes; breaks "all positive"."""
def alibi_slopes(num_heads: int) -> Tensor:
    def simple(n):
        return -(2.0 ** (-8.0 * torch.arange(1, n + 1) / n))

    p = 2 ** math.floor(math.log2(num_heads))
    return torch.cat([simple(p), simple(2 * p)[::2][: num_heads - p]])

# %% exercise="alibi_bias" wrong="queries_counted_from_zero"
"""Query row i stands at position i also when there are fewer queries than keys; breaks "the last T of the S positions"."""
def alibi_bias(num_heads: int, n_queries: int, n_keys: int) -> Tensor:
    distance = torch.arange(n_queries)[:, None] - torch.arange(n_keys)
    bias = -alibi_slopes(num_heads)[:, None, None] * distance
    return bias.masked_fill(distance < 0, -math.inf)

# %% exercise="alibi_bias" wrong="far_keys_rewarded"
"""Adds slope * distance; breaks "-slope * distance"."""
def alibi_bias(num_heads: int, n_queries: int, n_keys: int) -> Tensor:
    distance = torch.arange(n_keys - n_queries, n_keys)[:, None] - torch.arange(n_keys)
    bias = alibi_slopes(num_heads)[:, None, None] * distance
    return bias.masked_fill(distance < 0, -math.inf)

# %% exercise="alibi_bias" wrong="both_directions"
"""Penalises the absolute distance and hides nothing, as an encoder would; breaks "-inf for keys after it"."""
def alibi_bias(num_heads: int, n_queries: int, n_keys: int) -> Tensor:
    distance = torch.arange(n_keys - n_queries, n_keys)[:, None] - torch.arange(n_keys)
    return -alibi_slopes(num_heads).view(-1, 1, 1) * distance.abs()

# %% exercise="alibi_bias" wrong="large_negative_number"
"""Hides later keys with -1e9; breaks "-inf for keys after it"."""
def alibi_bias(num_heads: int, n_queries: int, n_keys: int) -> Tensor:
    distance = torch.arange(n_keys - n_queries, n_keys)[:, None] - torch.arange(n_keys)
    bias = -alibi_slopes(num_heads).view(-1, 1, 1) * distance
    return bias.masked_fill(distance < 0, -1e9)

# %% exercise="alibi_bias" wrong="zero_times_infinity"
"""Makes the mask as (1 - allowed) * -inf, where 0 * inf is NaN at all allowed places; breaks "-slope * distance for keys at or before the query"."""
def alibi_bias(num_heads: int, n_queries: int, n_keys: int) -> Tensor:
    distance = torch.arange(n_keys - n_queries, n_keys)[:, None] - torch.arange(n_keys)
    allowed = (distance >= 0).float()
    return -alibi_slopes(num_heads).view(-1, 1, 1) * distance * allowed + (1 - allowed) * -math.inf

# %% exercise="alibi_bias" wrong="query_hides_itself"
"""Hides the diagonal, too, so the first row is -inf throughout; breaks "for keys at or before the query"."""
def alibi_bias(num_heads: int, n_queries: int, n_keys: int) -> Tensor:
    distance = torch.arange(n_keys - n_queries, n_keys)[:, None] - torch.arange(n_keys)
    bias = -alibi_slopes(num_heads).view(-1, 1, 1) * distance
    return bias.masked_fill(distance <= 0, float("-inf"))

# %% exercise="alibi_bias" wrong="key_position_as_in_bloom"
"""Adds slope * key position as BLOOM's build_alibi_tensor does, equal after softmax but not the numbers asked for; breaks "-slope * distance"."""
def alibi_bias(num_heads: int, n_queries: int, n_keys: int) -> Tensor:
    keys = torch.arange(n_keys)
    bias = alibi_slopes(num_heads)[:, None, None] * keys[None, None, :].expand(1, n_queries, n_keys)
    hidden = torch.ones(n_queries, n_keys, dtype=torch.bool).triu(n_keys - n_queries + 1)
    return bias.masked_fill(hidden, float("-inf"))

# %% exercise="alibi_bias" wrong="heads_last"
"""Broadcasts the slopes along the last dimension and returns (T, S, H); breaks "(H, T, S)"."""
def alibi_bias(num_heads: int, n_queries: int, n_keys: int) -> Tensor:
    distance = torch.arange(n_keys - n_queries, n_keys)[:, None] - torch.arange(n_keys)
    bias = -distance[..., None] * alibi_slopes(num_heads)
    return bias.masked_fill(distance[..., None] < 0, float("-inf"))

# %% exercise="alibi_bias" wrong="mask_cut_at_upper_left"
"""The distances begin at the right place, but the mask is triu(1), cut for T = S; breaks "-inf for keys after it" where T < S."""
def alibi_bias(num_heads: int, n_queries: int, n_keys: int) -> Tensor:
    distance = torch.arange(n_keys - n_queries, n_keys)[:, None] - torch.arange(n_keys)
    bias = -alibi_slopes(num_heads)[:, None, None] * distance
    hidden = torch.ones(n_queries, n_keys, dtype=torch.bool).triu(1)
    return bias.masked_fill(hidden, float("-inf"))

# %% exercise="position_interpolation" wrong="stretches_short_texts_2"
"""Always multiplies by L / L', which stretches short texts; breaks "otherwise unchanged (never stretched)"."""
def position_interpolation(positions: Tensor, train_length: int, length: int) -> Tensor:
    return positions.float() * (train_length / length)

# %% exercise="position_interpolation" wrong="factor_turned_round"
"""Multiplies by L' / L; breaks "t * L / L'"."""
def position_interpolation(positions: Tensor, train_length: int, length: int) -> Tensor:
    return positions.float() * max(1.0, length / train_length)

# %% exercise="position_interpolation" wrong="whole_positions_2"
"""Rounds down to whole numbers because positions are indices, so neighbours coincide; breaks "t * L / L'"."""
def position_interpolation(positions: Tensor, train_length: int, length: int) -> Tensor:
    if length <= train_length:
        return positions.float()
    return (positions * train_length // length).float()

# %% exercise="position_interpolation" wrong="short_texts_stay_integers"
"""Hands the int64 positions back when there is nothing to squeeze; breaks "(T,) float32"."""
def position_interpolation(positions: Tensor, train_length: int, length: int) -> Tensor:
    if length <= train_length:
        return positions
    return positions.float() * train_length / length

# %% exercise="position_interpolation" wrong="last_on_last_2"
"""Maps the last position on the last one, (L - 1) / (L' - 1), as align_corners does; breaks "t * L / L'"."""
def position_interpolation(positions: Tensor, train_length: int, length: int) -> Tensor:
    if length <= train_length:
        return positions.to(torch.float32)
    return positions.to(torch.float32) * (train_length - 1) / (length - 1)

# %% exercise="position_interpolation" wrong="starts_again"
"""Takes positions modulo L, so the text starts again and again; breaks "squeezed into the trained range"."""
def position_interpolation(positions: Tensor, train_length: int, length: int) -> Tensor:
    return (positions % train_length).float() if length > train_length else positions.float()

# %% exercise="position_interpolation" wrong="length_from_positions_2"
"""Reads L' off the greatest position given, which is wrong for a part of a text; breaks "length L', positions of the text"."""
def position_interpolation(positions: Tensor, train_length: int, length: int) -> Tensor:
    length = int(positions.max()) + 1
    return positions.float() * min(1.0, train_length / length)

# %% exercise="position_interpolation" wrong="whole_number_factor"
"""Divides L by L' as whole numbers, so the factor of a longer text is 0; breaks "t * L / L'"."""
def position_interpolation(positions: Tensor, train_length: int, length: int) -> Tensor:
    return positions.float() * min(1, train_length // length)

# %% exercise="position_interpolation" wrong="only_the_tail_is_squeezed"
"""Leaves positions below L as they are and clamps the later ones to L - 1; breaks "t * L / L'" for all positions of a long text."""
def position_interpolation(positions: Tensor, train_length: int, length: int) -> Tensor:
    return positions.float().clamp(max=train_length - 1)

# %% exercise="ntk_scaled_base" wrong="linear_in_scale"
"""base * s, without the exponent; breaks "s^(d / (d - 2))" and squeezes the slowest pair by less than s."""
def ntk_scaled_base(base: float, scale: float, d: int) -> float:
    return base * scale

# %% exercise="ntk_scaled_base" wrong="exponent_turned_round"
"""Exponent (d - 2) / d; breaks "d / (d - 2)"."""
def ntk_scaled_base(base: float, scale: float, d: int) -> float:
    return base * scale ** ((d - 2) / d)

# %% exercise="ntk_scaled_base" wrong="power_of_the_product_2"
"""Raises base and scale together; breaks "base * s^(...)", which is seen even at s = 1."""
def ntk_scaled_base(base: float, scale: float, d: int) -> float:
    return (base * scale) ** (d / (d - 2))

# %% exercise="ntk_scaled_base" wrong="power_without_brackets"
"""scale ** d / (d - 2): Python takes the power first; breaks "s^(d / (d - 2))"."""
def ntk_scaled_base(base: float, scale: float, d: int) -> float:
    return base * scale**d / (d - 2)

# %% exercise="ntk_scaled_base" wrong="rounded_3"
"""Rounds to a whole number; breaks "not rounded"."""
def ntk_scaled_base(base: float, scale: float, d: int) -> float:
    return float(round(base * scale ** (d / (d - 2))))

# %% exercise="ntk_scaled_base" wrong="whole_number_exponent"
"""Divides with //, so the exponent is 1 for all d above 4; breaks "d / (d - 2)"."""
def ntk_scaled_base(base: float, scale: float, d: int) -> float:
    return base * scale ** (d // (d - 2))

# %% exercise="ntk_scaled_base" wrong="through_float32"
"""Goes through a float32 tensor, which keeps seven digits; breaks "not rounded"."""
def ntk_scaled_base(base: float, scale: float, d: int) -> float:
    return (torch.tensor(base) * torch.tensor(scale) ** (d / (d - 2))).item()

# %% exercise="ntk_scaled_base" wrong="dynamic_formula"
"""The dynamic variant of transformers, s * s - (s - 1) in place of s; breaks "base * s^(d / (d - 2))"."""
def ntk_scaled_base(base: float, scale: float, d: int) -> float:
    return base * (scale * scale - (scale - 1)) ** (d / (d - 2))

# %% exercise="ntk_scaled_base" wrong="number_of_pairs"
"""Puts the number of pairs d / 2 where the width belongs; breaks "d / (d - 2)" (and divides by zero at d = 4)."""
def ntk_scaled_base(base: float, scale: float, d: int) -> float:
    pairs = d // 2
    return base * scale ** (pairs / (pairs - 2))

# %% exercise="extrapolation_finding" wrong="best_twice_from_first_column"
"""Reads the best arm at 512 off the first column; breaks "the same in windows of 512"."""
_runs = json.loads((Path(course.__file__).parent / "runs" / "positions.json").read_text())["nats_per_character"]
_table = {name: torch.tensor(list(by_seed.values())) for name, by_seed in _runs.items()}
_short = {name: t[:, 0].median().item() for name, t in _table.items()}
_long = {name: t[:, -1].median().item() for name, t in _table.items()}
_rise = {name: round((t[:, -1] - t[:, 0]).median().item(), 1) for name, t in _table.items()}
_trained = [name for name in _table if "," not in name]
extrapolation_finding = {
    "best_at_64": min(_trained, key=_short.get),
    "best_at_512": min(_trained, key=_short.get),
    "rope_rises": _rise["rope"],
    "alibi_rises": _rise["alibi"],
    "beats_none": [name for name in _table if _long[name] <= _long["none"] - 0.1],
}

# %% exercise="extrapolation_finding" wrong="rise_with_wrong_sign"
"""64 minus 512, a negative number; breaks "how much the loss of "rope" rises from 64 to 512"."""
_runs = json.loads((Path(course.__file__).parent / "runs" / "positions.json").read_text())["nats_per_character"]
_table = {name: torch.tensor(list(by_seed.values())) for name, by_seed in _runs.items()}
_short = {name: t[:, 0].median().item() for name, t in _table.items()}
_long = {name: t[:, -1].median().item() for name, t in _table.items()}
_rise = {name: round((t[:, 0] - t[:, -1]).median().item(), 1) for name, t in _table.items()}
_trained = [name for name in _table if "," not in name]
extrapolation_finding = {
    "best_at_64": min(_trained, key=_short.get),
    "best_at_512": min(_trained, key=_long.get),
    "rope_rises": _rise["rope"],
    "alibi_rises": _rise["alibi"],
    "beats_none": [name for name in _table if _long[name] <= _long["none"] - 0.1],
}

# %% exercise="extrapolation_finding" wrong="worse_than_none"
"""Lists the rows that lie 0.1 above "none"; breaks "0.1 nats or more below that of "none""."""
_runs = json.loads((Path(course.__file__).parent / "runs" / "positions.json").read_text())["nats_per_character"]
_table = {name: torch.tensor(list(by_seed.values())) for name, by_seed in _runs.items()}
_short = {name: t[:, 0].median().item() for name, t in _table.items()}
_long = {name: t[:, -1].median().item() for name, t in _table.items()}
_rise = {name: round((t[:, -1] - t[:, 0]).median().item(), 1) for name, t in _table.items()}
_trained = [name for name in _table if "," not in name]
extrapolation_finding = {
    "best_at_64": min(_trained, key=_short.get),
    "best_at_512": min(_trained, key=_long.get),
    "rope_rises": _rise["rope"],
    "alibi_rises": _rise["alibi"],
    "beats_none": [name for name in _table if _long[name] >= _long["none"] + 0.1],
}

# %% exercise="extrapolation_finding" wrong="compared_at_64"
"""Compares with "none" in windows of 64; breaks "whose median at 512"."""
_runs = json.loads((Path(course.__file__).parent / "runs" / "positions.json").read_text())["nats_per_character"]
_table = {name: torch.tensor(list(by_seed.values())) for name, by_seed in _runs.items()}
_short = {name: t[:, 0].median().item() for name, t in _table.items()}
_long = {name: t[:, -1].median().item() for name, t in _table.items()}
_rise = {name: round((t[:, -1] - t[:, 0]).median().item(), 1) for name, t in _table.items()}
_trained = [name for name in _table if "," not in name]
extrapolation_finding = {
    "best_at_64": min(_trained, key=_short.get),
    "best_at_512": min(_trained, key=_long.get),
    "rope_rises": _rise["rope"],
    "alibi_rises": _rise["alibi"],
    "beats_none": [name for name in _table if _short[name] <= _short["none"] - 0.1],
}

# %% exercise="extrapolation_finding" wrong="rise_in_percent"
"""The rise in percent of the loss at 64; breaks "in nats, one decimal"."""
_runs = json.loads((Path(course.__file__).parent / "runs" / "positions.json").read_text())["nats_per_character"]
_table = {name: torch.tensor(list(by_seed.values())) for name, by_seed in _runs.items()}
_short = {name: t[:, 0].median().item() for name, t in _table.items()}
_long = {name: t[:, -1].median().item() for name, t in _table.items()}
_rise = {name: round((100 * (t[:, -1] - t[:, 0]) / t[:, 0]).median().item(), 1) for name, t in _table.items()}
_trained = [name for name in _table if "," not in name]
extrapolation_finding = {
    "best_at_64": min(_trained, key=_short.get),
    "best_at_512": min(_trained, key=_long.get),
    "rope_rises": _rise["rope"],
    "alibi_rises": _rise["alibi"],
    "beats_none": [name for name in _table if _long[name] <= _long["none"] - 0.1],
}

# %% exercise="extrapolation_finding" wrong="none_beats_itself"
"""Lists all rows at or below "none", itself included, without the margin; breaks "0.1 nats or more below"."""
_runs = json.loads((Path(course.__file__).parent / "runs" / "positions.json").read_text())["nats_per_character"]
_table = {name: torch.tensor(list(by_seed.values())) for name, by_seed in _runs.items()}
_short = {name: t[:, 0].median().item() for name, t in _table.items()}
_long = {name: t[:, -1].median().item() for name, t in _table.items()}
_rise = {name: round((t[:, -1] - t[:, 0]).median().item(), 1) for name, t in _table.items()}
_trained = [name for name in _table if "," not in name]
extrapolation_finding = {
    "best_at_64": min(_trained, key=_short.get),
    "best_at_512": min(_trained, key=_long.get),
    "rope_rises": _rise["rope"],
    "alibi_rises": _rise["alibi"],
    "beats_none": [name for name in _table if _long[name] <= _long["none"]],
}

# %% exercise="extrapolation_finding" wrong="column_in_place_of_rise"
"""Gives the losses at 512 themselves instead of the differences; breaks "how much the loss ... rises"."""
_runs = json.loads((Path(course.__file__).parent / "runs" / "positions.json").read_text())["nats_per_character"]
_table = {name: torch.tensor(list(by_seed.values())) for name, by_seed in _runs.items()}
_short = {name: t[:, 0].median().item() for name, t in _table.items()}
_long = {name: t[:, -1].median().item() for name, t in _table.items()}
_trained = [name for name in _table if "," not in name]
extrapolation_finding = {
    "best_at_64": min(_trained, key=_short.get),
    "best_at_512": min(_trained, key=_long.get),
    "rope_rises": round(_long["rope"], 1),
    "alibi_rises": round(_long["alibi"], 1),
    "beats_none": [name for name in _table if _long[name] <= _long["none"] - 0.1],
}

# %% exercise="extrapolation_finding" wrong="largest_is_best"
"""Takes the largest loss in windows of 64 as the best; breaks "the one with the lowest median"."""
_runs = json.loads((Path(course.__file__).parent / "runs" / "positions.json").read_text())["nats_per_character"]
_table = {name: torch.tensor(list(by_seed.values())) for name, by_seed in _runs.items()}
_short = {name: t[:, 0].median().item() for name, t in _table.items()}
_long = {name: t[:, -1].median().item() for name, t in _table.items()}
_rise = {name: round((t[:, -1] - t[:, 0]).median().item(), 1) for name, t in _table.items()}
_trained = [name for name in _table if "," not in name]
extrapolation_finding = {
    "best_at_64": max(_trained, key=_short.get),
    "best_at_512": min(_trained, key=_long.get),
    "rope_rises": _rise["rope"],
    "alibi_rises": _rise["alibi"],
    "beats_none": [name for name in _table if _long[name] <= _long["none"] - 0.1],
}

# %% exercise="extrapolation_finding" wrong="smallest_rise_is_best"
"""Takes the arm with the smallest rise as the best at 512, the mistake section 12 warns of; breaks "the lowest median in windows of 512" (a plausible reading by hand)."""
_runs = json.loads((Path(course.__file__).parent / "runs" / "positions.json").read_text())["nats_per_character"]
_table = {name: torch.tensor(list(by_seed.values())) for name, by_seed in _runs.items()}
_short = {name: t[:, 0].median().item() for name, t in _table.items()}
_long = {name: t[:, -1].median().item() for name, t in _table.items()}
_rise = {name: round((t[:, -1] - t[:, 0]).median().item(), 1) for name, t in _table.items()}
_trained = [name for name in _table if "," not in name]
extrapolation_finding = {
    "best_at_64": min(_trained, key=_short.get),
    "best_at_512": "none",
    "rope_rises": _rise["rope"],
    "alibi_rises": _rise["alibi"],
    "beats_none": [name for name in _table if _long[name] <= _long["none"] - 0.1],
}

# %% exercise="embedding_gather" wrong="store_without_mask"
"""The store has no mask, so the last block of a row writes into the next row and, in the last row, past the tensor; breaks "writes it once" and, by the race, "row n is table[ids[n]]"."""
@triton.jit
def embedding_gather_kernel(
    ids_ptr, table_ptr, out_ptr, width, ids_stride, table_row, table_col, out_row, BLOCK: tl.constexpr
):
    n = tl.program_id(0)
    row = tl.load(ids_ptr + n * ids_stride)
    for start in range(0, width, BLOCK):
        cols = start + tl.arange(0, BLOCK)
        values = tl.load(table_ptr + row * table_row + cols * table_col, mask=cols < width, other=0.0)
        tl.store(out_ptr + n * out_row + cols, values)


def embedding_gather(ids: Tensor, table: Tensor, block: int = 128) -> Tensor:
    out = torch.empty((ids.shape[0], table.shape[1]), dtype=table.dtype, device=table.device)
    embedding_gather_kernel[(ids.shape[0],)](
        ids, table, out, table.shape[1], ids.stride(0), table.stride(0), table.stride(1), out.stride(0), BLOCK=block
    )
    return out

# %% exercise="embedding_gather" wrong="first_block_only_2"
"""No loop over the columns: only the first BLOCK of them are copied; breaks "D may be larger than block"."""
@triton.jit
def embedding_gather_kernel(
    ids_ptr, table_ptr, out_ptr, width, ids_stride, table_row, table_col, out_row, BLOCK: tl.constexpr
):
    n = tl.program_id(0)
    row = tl.load(ids_ptr + n * ids_stride)
    cols = tl.arange(0, BLOCK)
    values = tl.load(table_ptr + row * table_row + cols * table_col, mask=cols < width)
    tl.store(out_ptr + n * out_row + cols, values, mask=cols < width)


def embedding_gather(ids: Tensor, table: Tensor, block: int = 128) -> Tensor:
    out = torch.empty((ids.shape[0], table.shape[1]), dtype=table.dtype, device=table.device)
    embedding_gather_kernel[(ids.shape[0],)](
        ids, table, out, table.shape[1], ids.stride(0), table.stride(0), table.stride(1), out.stride(0), BLOCK=block
    )
    return out

# %% exercise="embedding_gather" wrong="rows_lie_width_apart"
"""Takes the width for the table's row stride, true for contiguous tables only; breaks "(V, D) ... any strides"."""
@triton.jit
def embedding_gather_kernel(
    ids_ptr, table_ptr, out_ptr, width, ids_stride, table_col, out_row, BLOCK: tl.constexpr
):
    n = tl.program_id(0)
    row = tl.load(ids_ptr + n * ids_stride)
    for start in range(0, width, BLOCK):
        cols = start + tl.arange(0, BLOCK)
        inside = cols < width
        values = tl.load(table_ptr + row * width + cols * table_col, mask=inside)
        tl.store(out_ptr + n * out_row + cols, values, mask=inside)


def embedding_gather(ids: Tensor, table: Tensor, block: int = 128) -> Tensor:
    out = torch.empty((ids.shape[0], table.shape[1]), dtype=table.dtype, device=table.device)
    embedding_gather_kernel[(ids.shape[0],)](
        ids, table, out, table.shape[1], ids.stride(0), table.stride(1), out.stride(0), BLOCK=block
    )
    return out

# %% exercise="embedding_gather" wrong="columns_lie_side_by_side"
"""Uses the row stride but no column stride, wrong for a transposed table; breaks "any strides"."""
@triton.jit
def embedding_gather_kernel(ids_ptr, table_ptr, out_ptr, width, ids_stride, table_row, out_row, BLOCK: tl.constexpr):
    n = tl.program_id(0)
    row = tl.load(ids_ptr + n * ids_stride)
    for start in range(0, width, BLOCK):
        cols = start + tl.arange(0, BLOCK)
        values = tl.load(table_ptr + row * table_row + cols, mask=cols < width)
        tl.store(out_ptr + n * out_row + cols, values, mask=cols < width)


def embedding_gather(ids: Tensor, table: Tensor, block: int = 128) -> Tensor:
    out = table.new_empty(ids.shape[0], table.shape[1])
    embedding_gather_kernel[(ids.shape[0],)](
        ids, table, out, table.shape[1], ids.stride(0), table.stride(0), out.stride(0), BLOCK=block
    )
    return out

# %% exercise="embedding_gather" wrong="ids_lie_side_by_side"
"""Loads id n at ids_ptr + n, wrong for ids[::2]; breaks "ids (N,) int64 ... any stride"."""
@triton.jit
def embedding_gather_kernel(ids_ptr, table_ptr, out_ptr, width, table_row, table_col, out_row, BLOCK: tl.constexpr):
    n = tl.program_id(0)
    row = tl.load(ids_ptr + n)
    for start in range(0, width, BLOCK):
        cols = start + tl.arange(0, BLOCK)
        values = tl.load(table_ptr + row * table_row + cols * table_col, mask=cols < width)
        tl.store(out_ptr + n * out_row + cols, values, mask=cols < width)


def embedding_gather(ids: Tensor, table: Tensor, block: int = 128) -> Tensor:
    out = table.new_empty(ids.shape[0], table.shape[1])
    embedding_gather_kernel[(ids.shape[0],)](
        ids, table, out, table.shape[1], table.stride(0), table.stride(1), out.stride(0), BLOCK=block
    )
    return out

# %% exercise="embedding_gather" wrong="copies_made_contiguous_first"
"""Makes ids and table contiguous in the launcher, which copies a strided table whole; breaks "copies, conversions and fills by torch count as launches"."""
@triton.jit
def embedding_gather_kernel(ids_ptr, table_ptr, out_ptr, width, BLOCK: tl.constexpr):
    n = tl.program_id(0)
    row = tl.load(ids_ptr + n)
    for start in range(0, width, BLOCK):
        cols = start + tl.arange(0, BLOCK)
        values = tl.load(table_ptr + row * width + cols, mask=cols < width)
        tl.store(out_ptr + n * width + cols, values, mask=cols < width)


def embedding_gather(ids: Tensor, table: Tensor, block: int = 128) -> Tensor:
    ids, table = ids.contiguous(), table.contiguous()
    out = table.new_empty(ids.shape[0], table.shape[1])
    embedding_gather_kernel[(ids.shape[0],)](ids, table, out, table.shape[1], BLOCK=block)
    return out

# %% exercise="embedding_gather" wrong="output_filled_with_zeros"
"""Allocates with zeros, a fill that is a launch of its own; breaks "One launch; ... fills by torch count as launches"."""
@triton.jit
def embedding_gather_kernel(
    ids_ptr, table_ptr, out_ptr, width, ids_stride, table_row, table_col, out_row, BLOCK: tl.constexpr
):
    n = tl.program_id(0)
    row = tl.load(ids_ptr + n * ids_stride)
    for start in range(0, width, BLOCK):
        cols = start + tl.arange(0, BLOCK)
        values = tl.load(table_ptr + row * table_row + cols * table_col, mask=cols < width)
        tl.store(out_ptr + n * out_row + cols, values, mask=cols < width)


def embedding_gather(ids: Tensor, table: Tensor, block: int = 128) -> Tensor:
    out = torch.zeros(ids.shape[0], table.shape[1], dtype=table.dtype, device=table.device)
    embedding_gather_kernel[(ids.shape[0],)](
        ids, table, out, table.shape[1], ids.stride(0), table.stride(0), table.stride(1), out.stride(0), BLOCK=block
    )
    return out

# %% exercise="embedding_gather" wrong="one_program_for_all_2"
"""One program walks through all ids; breaks "More than one program where there are more than four ids"."""
@triton.jit
def embedding_gather_kernel(
    ids_ptr, table_ptr, out_ptr, count, width, ids_stride, table_row, table_col, out_row, BLOCK: tl.constexpr
):
    for n in range(0, count):
        row = tl.load(ids_ptr + n * ids_stride)
        for start in range(0, width, BLOCK):
            cols = start + tl.arange(0, BLOCK)
            values = tl.load(table_ptr + row * table_row + cols * table_col, mask=cols < width)
            tl.store(out_ptr + n * out_row + cols, values, mask=cols < width)


def embedding_gather(ids: Tensor, table: Tensor, block: int = 128) -> Tensor:
    count, width = ids.shape[0], table.shape[1]
    out = torch.empty((count, width), dtype=table.dtype, device=table.device)
    embedding_gather_kernel[(1,)](
        ids, table, out, count, width, ids.stride(0), table.stride(0), table.stride(1), out.stride(0), BLOCK=block
    )
    return out

# %% exercise="embedding_gather" wrong="output_always_float32"
"""Allocates the output in torch's default dtype; breaks "same dtype as the table" for float16."""
@triton.jit
def embedding_gather_kernel(
    ids_ptr, table_ptr, out_ptr, width, ids_stride, table_row, table_col, out_row, BLOCK: tl.constexpr
):
    n = tl.program_id(0)
    row = tl.load(ids_ptr + n * ids_stride)
    for start in range(0, width, BLOCK):
        cols = start + tl.arange(0, BLOCK)
        values = tl.load(table_ptr + row * table_row + cols * table_col, mask=cols < width)
        tl.store(out_ptr + n * out_row + cols, values, mask=cols < width)


def embedding_gather(ids: Tensor, table: Tensor, block: int = 128) -> Tensor:
    out = torch.empty((ids.shape[0], table.shape[1]), device=table.device)
    embedding_gather_kernel[(ids.shape[0],)](
        ids, table, out, table.shape[1], ids.stride(0), table.stride(0), table.stride(1), out.stride(0), BLOCK=block
    )
    return out

# %% exercise="embedding_gather" wrong="block_ignored"
"""Takes the next power of two of the width as its block, whatever `block` says; breaks "block columns that a program holds at once"."""
@triton.jit
def embedding_gather_kernel(
    ids_ptr, table_ptr, out_ptr, width, ids_stride, table_row, table_col, out_row, BLOCK: tl.constexpr
):
    n = tl.program_id(0)
    row = tl.load(ids_ptr + n * ids_stride)
    cols = tl.arange(0, BLOCK)
    values = tl.load(table_ptr + row * table_row + cols * table_col, mask=cols < width)
    tl.store(out_ptr + n * out_row + cols, values, mask=cols < width)


def embedding_gather(ids: Tensor, table: Tensor, block: int = 128) -> Tensor:
    width = table.shape[1]
    out = torch.empty((ids.shape[0], width), dtype=table.dtype, device=table.device)
    embedding_gather_kernel[(ids.shape[0],)](
        ids, table, out, width, ids.stride(0), table.stride(0), table.stride(1), out.stride(0),
        BLOCK=triton.next_power_of_2(width),
    )
    return out

# %% exercise="embedding_gather" wrong="as_many_programs_as_rows"
"""The grid has one program for each row of the table, so with more ids than rows the last ones are never written; breaks "(N, D) ... row n is table[ids[n]]"."""
@triton.jit
def embedding_gather_kernel(
    ids_ptr, table_ptr, out_ptr, count, width, ids_stride, table_row, table_col, out_row, BLOCK: tl.constexpr
):
    n = tl.program_id(0)
    if n < count:
        row = tl.load(ids_ptr + n * ids_stride)
        for start in range(0, width, BLOCK):
            cols = start + tl.arange(0, BLOCK)
            values = tl.load(table_ptr + row * table_row + cols * table_col, mask=cols < width)
            tl.store(out_ptr + n * out_row + cols, values, mask=cols < width)


def embedding_gather(ids: Tensor, table: Tensor, block: int = 128) -> Tensor:
    count, width = ids.shape[0], table.shape[1]
    out = torch.empty((count, width), dtype=table.dtype, device=table.device)
    embedding_gather_kernel[(table.shape[0],)](
        ids, table, out, count, width, ids.stride(0), table.stride(0), table.stride(1), out.stride(0), BLOCK=block
    )
    return out

# %% exercise="embedding_gather" wrong="last_block_pushed_back"
"""Pushes the last block back so that it ends at the width, which saves a mask but reads and writes some columns twice; breaks "reads its row once and writes it once"."""
@triton.jit
def embedding_gather_kernel(
    ids_ptr, table_ptr, out_ptr, width, ids_stride, table_row, table_col, out_row, BLOCK: tl.constexpr
):
    n = tl.program_id(0)
    row = tl.load(ids_ptr + n * ids_stride)
    for start in range(0, width, BLOCK):
        first = tl.maximum(tl.minimum(start, width - BLOCK), 0)
        cols = first + tl.arange(0, BLOCK)
        values = tl.load(table_ptr + row * table_row + cols * table_col, mask=cols < width)
        tl.store(out_ptr + n * out_row + cols, values, mask=cols < width)


def embedding_gather(ids: Tensor, table: Tensor, block: int = 128) -> Tensor:
    out = torch.empty((ids.shape[0], table.shape[1]), dtype=table.dtype, device=table.device)
    embedding_gather_kernel[(ids.shape[0],)](
        ids, table, out, table.shape[1], ids.stride(0), table.stride(0), table.stride(1), out.stride(0), BLOCK=block
    )
    return out

# %% exercise="embedding_gather" wrong="whole_blocks_only"
"""The loop runs width // BLOCK times and drops the columns of the last, incomplete block; breaks "row n is table[ids[n]]"."""
@triton.jit
def embedding_gather_kernel(
    ids_ptr, table_ptr, out_ptr, width, ids_stride, table_row, table_col, out_row, BLOCK: tl.constexpr
):
    n = tl.program_id(0)
    row = tl.load(ids_ptr + n * ids_stride)
    for i in range(0, width // BLOCK):
        cols = i * BLOCK + tl.arange(0, BLOCK)
        values = tl.load(table_ptr + row * table_row + cols * table_col)
        tl.store(out_ptr + n * out_row + cols, values)


def embedding_gather(ids: Tensor, table: Tensor, block: int = 128) -> Tensor:
    out = torch.empty((ids.shape[0], table.shape[1]), dtype=table.dtype, device=table.device)
    embedding_gather_kernel[(ids.shape[0],)](
        ids, table, out, table.shape[1], ids.stride(0), table.stride(0), table.stride(1), out.stride(0), BLOCK=block
    )
    return out

# %% exercise="embedding_gather" wrong="output_laid_out_like_table"
"""Allocates the output transposed when the table is, so the result is not contiguous; breaks "a new contiguous tensor"."""
@triton.jit
def embedding_gather_kernel(
    ids_ptr, table_ptr, out_ptr, width, ids_stride, table_row, table_col, out_row, out_col, BLOCK: tl.constexpr
):
    n = tl.program_id(0)
    row = tl.load(ids_ptr + n * ids_stride)
    for start in range(0, width, BLOCK):
        cols = start + tl.arange(0, BLOCK)
        values = tl.load(table_ptr + row * table_row + cols * table_col, mask=cols < width)
        tl.store(out_ptr + n * out_row + cols * out_col, values, mask=cols < width)


def embedding_gather(ids: Tensor, table: Tensor, block: int = 128) -> Tensor:
    count, width = ids.shape[0], table.shape[1]
    if table.stride(0) < table.stride(1):
        out = table.new_empty(width, count).T
    else:
        out = table.new_empty(count, width)
    embedding_gather_kernel[(count,)](
        ids, table, out, width, ids.stride(0), table.stride(0), table.stride(1), out.stride(0), out.stride(1),
        BLOCK=block,
    )
    return out

# %% exercise="rope_inplace" wrong="reads_after_writing_2"
"""Stores the first half and then loads it again for the second, so it turns numbers that are turned already; breaks "it must have read before it writes" and "read once"."""
@triton.jit
def rope_inplace_kernel(
    x_ptr, cos_ptr, sin_ptr, length, half, x_batch, x_time, x_col, table_row, BLOCK: tl.constexpr
):
    pid = tl.program_id(0)
    b, t = pid // length, pid % length
    i = tl.arange(0, BLOCK)
    inside = i < half
    cos = tl.load(cos_ptr + t * table_row + i, mask=inside, other=0.0)
    sin = tl.load(sin_ptr + t * table_row + i, mask=inside, other=0.0)
    first = x_ptr + b * x_batch + t * x_time + i * x_col
    second = first + half * x_col
    one = tl.load(first, mask=inside).to(tl.float32) * cos - tl.load(second, mask=inside).to(tl.float32) * sin
    tl.store(first, one, mask=inside)
    two = tl.load(first, mask=inside).to(tl.float32) * sin + tl.load(second, mask=inside).to(tl.float32) * cos
    tl.store(second, two, mask=inside)


def rope_inplace(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    N, T, d = x.shape
    rope_inplace_kernel[(N * T,)](
        x, cos, sin, T, d // 2, x.stride(0), x.stride(1), x.stride(2), cos.stride(0),
        BLOCK=triton.next_power_of_2(d // 2),
    )
    return x

# %% exercise="rope_inplace" wrong="block_is_half"
"""Gives d / 2 as the block, which tl.arange takes for powers of two only; breaks "d / 2 need not be a power of two"."""
@triton.jit
def rope_inplace_kernel(x_ptr, cos_ptr, sin_ptr, length, x_batch, x_time, x_col, table_row, HALF: tl.constexpr):
    pid = tl.program_id(0)
    b, t = pid // length, pid % length
    i = tl.arange(0, HALF)
    cos = tl.load(cos_ptr + t * table_row + i)
    sin = tl.load(sin_ptr + t * table_row + i)
    base = x_ptr + b * x_batch + t * x_time
    one = tl.load(base + i * x_col).to(tl.float32)
    two = tl.load(base + (i + HALF) * x_col).to(tl.float32)
    tl.store(base + i * x_col, one * cos - two * sin)
    tl.store(base + (i + HALF) * x_col, one * sin + two * cos)


def rope_inplace(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    N, T, d = x.shape
    rope_inplace_kernel[(N * T,)](
        x, cos, sin, T, x.stride(0), x.stride(1), x.stride(2), cos.stride(0), HALF=d // 2
    )
    return x

# %% exercise="rope_inplace" wrong="batch_and_position_exchanged"
"""Exchanges // and %: the batch is pid % T and the position pid // T, right only where N equals T; breaks "of position t" and "(N, T, d)"."""
@triton.jit
def rope_inplace_kernel(
    x_ptr, cos_ptr, sin_ptr, length, half, x_batch, x_time, x_col, table_row, BLOCK: tl.constexpr
):
    pid = tl.program_id(0)
    t = pid // length
    b = pid % length
    i = tl.arange(0, BLOCK)
    inside = i < half
    cos = tl.load(cos_ptr + t * table_row + i, mask=inside, other=0.0)
    sin = tl.load(sin_ptr + t * table_row + i, mask=inside, other=0.0)
    first = x_ptr + b * x_batch + t * x_time + i * x_col
    second = first + half * x_col
    one = tl.load(first, mask=inside).to(tl.float32)
    two = tl.load(second, mask=inside).to(tl.float32)
    tl.store(first, one * cos - two * sin, mask=inside)
    tl.store(second, one * sin + two * cos, mask=inside)


def rope_inplace(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    N, T, d = x.shape
    rope_inplace_kernel[(N * T,)](
        x, cos, sin, T, d // 2, x.stride(0), x.stride(1), x.stride(2), cos.stride(0),
        BLOCK=triton.next_power_of_2(d // 2),
    )
    return x

# %% exercise="rope_inplace" wrong="table_read_at_program_number"
"""Reads the tables at the number of the program, right for one batch only and past their end for the others; breaks "of position t and pair i"."""
@triton.jit
def rope_inplace_kernel(
    x_ptr, cos_ptr, sin_ptr, length, half, x_batch, x_time, x_col, table_row, BLOCK: tl.constexpr
):
    pid = tl.program_id(0)
    b, t = pid // length, pid % length
    i = tl.arange(0, BLOCK)
    inside = i < half
    cos = tl.load(cos_ptr + pid * table_row + i, mask=inside, other=0.0)
    sin = tl.load(sin_ptr + pid * table_row + i, mask=inside, other=0.0)
    first = x_ptr + b * x_batch + t * x_time + i * x_col
    second = first + half * x_col
    one = tl.load(first, mask=inside).to(tl.float32)
    two = tl.load(second, mask=inside).to(tl.float32)
    tl.store(first, one * cos - two * sin, mask=inside)
    tl.store(second, one * sin + two * cos, mask=inside)


def rope_inplace(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    N, T, d = x.shape
    rope_inplace_kernel[(N * T,)](
        x, cos, sin, T, d // 2, x.stride(0), x.stride(1), x.stride(2), cos.stride(0),
        BLOCK=triton.next_power_of_2(d // 2),
    )
    return x

# %% exercise="rope_inplace" wrong="rows_follow_each_other"
"""Asks x for the time and column strides only and finds batch b at b * T * stride(1), wrong for a slice or a transposed x; breaks "any strides" ("Ask x for all three strides")."""
@triton.jit
def rope_inplace_kernel(x_ptr, cos_ptr, sin_ptr, length, half, x_time, x_col, table_row, BLOCK: tl.constexpr):
    pid = tl.program_id(0)
    t = pid % length
    i = tl.arange(0, BLOCK)
    inside = i < half
    cos = tl.load(cos_ptr + t * table_row + i, mask=inside, other=0.0)
    sin = tl.load(sin_ptr + t * table_row + i, mask=inside, other=0.0)
    first = x_ptr + pid * x_time + i * x_col
    second = first + half * x_col
    one = tl.load(first, mask=inside).to(tl.float32)
    two = tl.load(second, mask=inside).to(tl.float32)
    tl.store(first, one * cos - two * sin, mask=inside)
    tl.store(second, one * sin + two * cos, mask=inside)


def rope_inplace(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    N, T, d = x.shape
    rope_inplace_kernel[(N * T,)](
        x, cos, sin, T, d // 2, x.stride(1), x.stride(2), cos.stride(0), BLOCK=triton.next_power_of_2(d // 2)
    )
    return x

# %% exercise="rope_inplace" wrong="column_stride_one"
"""Steps over columns one by one, without x.stride(2); breaks "any strides"."""
@triton.jit
def rope_inplace_kernel(x_ptr, cos_ptr, sin_ptr, length, half, x_batch, x_time, table_row, BLOCK: tl.constexpr):
    pid = tl.program_id(0)
    b, t = pid // length, pid % length
    i = tl.arange(0, BLOCK)
    inside = i < half
    cos = tl.load(cos_ptr + t * table_row + i, mask=inside, other=0.0)
    sin = tl.load(sin_ptr + t * table_row + i, mask=inside, other=0.0)
    first = x_ptr + b * x_batch + t * x_time + i
    one = tl.load(first, mask=inside).to(tl.float32)
    two = tl.load(first + half, mask=inside).to(tl.float32)
    tl.store(first, one * cos - two * sin, mask=inside)
    tl.store(first + half, one * sin + two * cos, mask=inside)


def rope_inplace(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    N, T, d = x.shape
    rope_inplace_kernel[(N * T,)](
        x, cos, sin, T, d // 2, x.stride(0), x.stride(1), cos.stride(0), BLOCK=triton.next_power_of_2(d // 2)
    )
    return x

# %% exercise="rope_inplace" wrong="works_on_a_copy"
"""Turns x.contiguous() and returns that: a strided x stays as it was, and the copy is a launch; breaks "returns x itself" and "It is changed"."""
@triton.jit
def rope_inplace_kernel(x_ptr, cos_ptr, sin_ptr, length, half, BLOCK: tl.constexpr):
    pid = tl.program_id(0)
    t = pid % length
    i = tl.arange(0, BLOCK)
    inside = i < half
    cos = tl.load(cos_ptr + t * half + i, mask=inside, other=0.0)
    sin = tl.load(sin_ptr + t * half + i, mask=inside, other=0.0)
    first = x_ptr + pid * 2 * half + i
    one = tl.load(first, mask=inside).to(tl.float32)
    two = tl.load(first + half, mask=inside).to(tl.float32)
    tl.store(first, one * cos - two * sin, mask=inside)
    tl.store(first + half, one * sin + two * cos, mask=inside)


def rope_inplace(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    x = x.contiguous()
    N, T, d = x.shape
    rope_inplace_kernel[(N * T,)](x, cos, sin, T, d // 2, BLOCK=triton.next_power_of_2(d // 2))
    return x

# %% exercise="rope_inplace" wrong="computed_in_half_precision"
"""Rounds cos and sin to x's dtype and multiplies there; breaks "computed in float32" for float16 and bfloat16."""
@triton.jit
def rope_inplace_kernel(
    x_ptr, cos_ptr, sin_ptr, length, half, x_batch, x_time, x_col, table_row, BLOCK: tl.constexpr
):
    pid = tl.program_id(0)
    b, t = pid // length, pid % length
    i = tl.arange(0, BLOCK)
    inside = i < half
    first = x_ptr + b * x_batch + t * x_time + i * x_col
    second = first + half * x_col
    one = tl.load(first, mask=inside)
    two = tl.load(second, mask=inside)
    cos = tl.load(cos_ptr + t * table_row + i, mask=inside, other=0.0).to(one.dtype)
    sin = tl.load(sin_ptr + t * table_row + i, mask=inside, other=0.0).to(one.dtype)
    tl.store(first, one * cos - two * sin, mask=inside)
    tl.store(second, one * sin + two * cos, mask=inside)


def rope_inplace(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    N, T, d = x.shape
    rope_inplace_kernel[(N * T,)](
        x, cos, sin, T, d // 2, x.stride(0), x.stride(1), x.stride(2), cos.stride(0),
        BLOCK=triton.next_power_of_2(d // 2),
    )
    return x

# %% exercise="rope_inplace" wrong="neighbours_are_pairs"
"""Turns columns 2i and 2i + 1; breaks "pairs (i, i + d/2)"."""
@triton.jit
def rope_inplace_kernel(
    x_ptr, cos_ptr, sin_ptr, length, half, x_batch, x_time, x_col, table_row, BLOCK: tl.constexpr
):
    pid = tl.program_id(0)
    b, t = pid // length, pid % length
    i = tl.arange(0, BLOCK)
    inside = i < half
    cos = tl.load(cos_ptr + t * table_row + i, mask=inside, other=0.0)
    sin = tl.load(sin_ptr + t * table_row + i, mask=inside, other=0.0)
    even = x_ptr + b * x_batch + t * x_time + 2 * i * x_col
    odd = even + x_col
    one = tl.load(even, mask=inside).to(tl.float32)
    two = tl.load(odd, mask=inside).to(tl.float32)
    tl.store(even, one * cos - two * sin, mask=inside)
    tl.store(odd, one * sin + two * cos, mask=inside)


def rope_inplace(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    N, T, d = x.shape
    rope_inplace_kernel[(N * T,)](
        x, cos, sin, T, d // 2, x.stride(0), x.stride(1), x.stride(2), cos.stride(0),
        BLOCK=triton.next_power_of_2(d // 2),
    )
    return x

# %% exercise="rope_inplace" wrong="one_program_for_each_batch"
"""One program walks through all positions of a batch, so (1, 5, d) is a single program; breaks "More than one program where there are more than four positions, of all batches together"."""
@triton.jit
def rope_inplace_kernel(
    x_ptr, cos_ptr, sin_ptr, length, half, x_batch, x_time, x_col, table_row, BLOCK: tl.constexpr
):
    b = tl.program_id(0)
    i = tl.arange(0, BLOCK)
    inside = i < half
    for t in range(0, length):
        cos = tl.load(cos_ptr + t * table_row + i, mask=inside, other=0.0)
        sin = tl.load(sin_ptr + t * table_row + i, mask=inside, other=0.0)
        first = x_ptr + b * x_batch + t * x_time + i * x_col
        second = first + half * x_col
        one = tl.load(first, mask=inside).to(tl.float32)
        two = tl.load(second, mask=inside).to(tl.float32)
        tl.store(first, one * cos - two * sin, mask=inside)
        tl.store(second, one * sin + two * cos, mask=inside)


def rope_inplace(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    N, T, d = x.shape
    rope_inplace_kernel[(N,)](
        x, cos, sin, T, d // 2, x.stride(0), x.stride(1), x.stride(2), cos.stride(0),
        BLOCK=triton.next_power_of_2(d // 2),
    )
    return x

# %% exercise="rope_inplace" wrong="no_masks"
"""No mask anywhere: where d / 2 is below the block, the lanes past it turn columns that belong to other pairs or vectors; breaks "d / 2 need not be a power of two"."""
@triton.jit
def rope_inplace_kernel(
    x_ptr, cos_ptr, sin_ptr, length, half, x_batch, x_time, x_col, table_row, BLOCK: tl.constexpr
):
    pid = tl.program_id(0)
    b, t = pid // length, pid % length
    i = tl.arange(0, BLOCK)
    cos = tl.load(cos_ptr + t * table_row + i)
    sin = tl.load(sin_ptr + t * table_row + i)
    first = x_ptr + b * x_batch + t * x_time + i * x_col
    second = first + half * x_col
    one = tl.load(first).to(tl.float32)
    two = tl.load(second).to(tl.float32)
    tl.store(first, one * cos - two * sin)
    tl.store(second, one * sin + two * cos)


def rope_inplace(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    N, T, d = x.shape
    rope_inplace_kernel[(N * T,)](
        x, cos, sin, T, d // 2, x.stride(0), x.stride(1), x.stride(2), cos.stride(0),
        BLOCK=triton.next_power_of_2(d // 2),
    )
    return x

# %% exercise="rope_inplace" wrong="nothing_returned"
"""Changes x and returns None; breaks "returns x itself"."""
@triton.jit
def rope_inplace_kernel(
    x_ptr, cos_ptr, sin_ptr, length, half, x_batch, x_time, x_col, table_row, BLOCK: tl.constexpr
):
    pid = tl.program_id(0)
    b, t = pid // length, pid % length
    i = tl.arange(0, BLOCK)
    inside = i < half
    cos = tl.load(cos_ptr + t * table_row + i, mask=inside, other=0.0)
    sin = tl.load(sin_ptr + t * table_row + i, mask=inside, other=0.0)
    first = x_ptr + b * x_batch + t * x_time + i * x_col
    second = first + half * x_col
    one = tl.load(first, mask=inside).to(tl.float32)
    two = tl.load(second, mask=inside).to(tl.float32)
    tl.store(first, one * cos - two * sin, mask=inside)
    tl.store(second, one * sin + two * cos, mask=inside)


def rope_inplace(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    N, T, d = x.shape
    rope_inplace_kernel[(N * T,)](
        x, cos, sin, T, d // 2, x.stride(0), x.stride(1), x.stride(2), cos.stride(0),
        BLOCK=triton.next_power_of_2(d // 2),
    )

# %% exercise="rope_inplace" wrong="partner_one_block_away"
"""Looks for the second of a pair BLOCK columns on instead of d / 2, right only where d / 2 is a power of two; breaks "pairs (i, i + d/2)" for other widths."""
@triton.jit
def rope_inplace_kernel(
    x_ptr, cos_ptr, sin_ptr, length, half, x_batch, x_time, x_col, table_row, BLOCK: tl.constexpr
):
    pid = tl.program_id(0)
    b, t = pid // length, pid % length
    i = tl.arange(0, BLOCK)
    inside = i < half
    behind = i + BLOCK < 2 * half
    cos = tl.load(cos_ptr + t * table_row + i, mask=inside, other=0.0)
    sin = tl.load(sin_ptr + t * table_row + i, mask=inside, other=0.0)
    first = x_ptr + b * x_batch + t * x_time + i * x_col
    second = first + BLOCK * x_col
    one = tl.load(first, mask=inside).to(tl.float32)
    two = tl.load(second, mask=behind, other=0.0).to(tl.float32)
    tl.store(first, one * cos - two * sin, mask=inside)
    tl.store(second, one * sin + two * cos, mask=behind)


def rope_inplace(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    N, T, d = x.shape
    rope_inplace_kernel[(N * T,)](
        x, cos, sin, T, d // 2, x.stride(0), x.stride(1), x.stride(2), cos.stride(0),
        BLOCK=triton.next_power_of_2(d // 2),
    )
    return x

# %% exercise="rope_inplace" wrong="block_of_64"
"""A fixed block of 64 pairs, so a head wider than 128 is turned in part; breaks "BLOCK is at least half" and "triton.next_power_of_2 gives the block"."""
@triton.jit
def rope_inplace_kernel(
    x_ptr, cos_ptr, sin_ptr, length, half, x_batch, x_time, x_col, table_row, BLOCK: tl.constexpr
):
    pid = tl.program_id(0)
    b, t = pid // length, pid % length
    i = tl.arange(0, BLOCK)
    inside = i < half
    cos = tl.load(cos_ptr + t * table_row + i, mask=inside, other=0.0)
    sin = tl.load(sin_ptr + t * table_row + i, mask=inside, other=0.0)
    first = x_ptr + b * x_batch + t * x_time + i * x_col
    second = first + half * x_col
    one = tl.load(first, mask=inside).to(tl.float32)
    two = tl.load(second, mask=inside).to(tl.float32)
    tl.store(first, one * cos - two * sin, mask=inside)
    tl.store(second, one * sin + two * cos, mask=inside)


def rope_inplace(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    N, T, d = x.shape
    rope_inplace_kernel[(N * T,)](
        x, cos, sin, T, d // 2, x.stride(0), x.stride(1), x.stride(2), cos.stride(0), BLOCK=64
    )
    return x

# %% exercise="rope_inplace" wrong="converted_and_copied_back"
"""Works on a float32 copy and copies the result back into x: right numbers, three launches; breaks "One launch; copies, conversions and fills by torch count as launches"."""
@triton.jit
def rope_inplace_kernel(
    x_ptr, cos_ptr, sin_ptr, length, half, x_batch, x_time, x_col, table_row, BLOCK: tl.constexpr
):
    pid = tl.program_id(0)
    b, t = pid // length, pid % length
    i = tl.arange(0, BLOCK)
    inside = i < half
    cos = tl.load(cos_ptr + t * table_row + i, mask=inside, other=0.0)
    sin = tl.load(sin_ptr + t * table_row + i, mask=inside, other=0.0)
    first = x_ptr + b * x_batch + t * x_time + i * x_col
    second = first + half * x_col
    one = tl.load(first, mask=inside)
    two = tl.load(second, mask=inside)
    tl.store(first, one * cos - two * sin, mask=inside)
    tl.store(second, one * sin + two * cos, mask=inside)


def rope_inplace(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    N, T, d = x.shape
    work = x.float()
    rope_inplace_kernel[(N * T,)](
        work, cos, sin, T, d // 2, work.stride(0), work.stride(1), work.stride(2), cos.stride(0),
        BLOCK=triton.next_power_of_2(d // 2),
    )
    x.copy_(work)
    return x

# %% exercise="repaired_choice" wrong="smaller_pair_wins"
"""On a tie the smaller pair of byte strings; breaks "on a tie the greater"."""
def repaired_choice(counts: dict[tuple[bytes, bytes], int]) -> tuple[bytes, bytes]:
    return min(counts, key=lambda pair: (-counts[pair], pair))

# %% exercise="repaired_choice" wrong="last_seen_wins"
"""Sorts by the count alone and takes the last, so a tie goes to the pair that was entered last; breaks "on a tie the greater pair"."""
def repaired_choice(counts: dict[tuple[bytes, bytes], int]) -> tuple[bytes, bytes]:
    return sorted(counts, key=lambda pair: counts[pair])[-1]

# %% exercise="repaired_choice" wrong="joined_bytes_compared"
"""Compares left + right, so (b"a", b"bc") and (b"ab", b"c") are equal and (b"a", b"c") beats (b"ab", b"a"); breaks "the greater pair of byte strings", "compared as Python compares tuples"."""
def repaired_choice(counts: dict[tuple[bytes, bytes], int]) -> tuple[bytes, bytes]:
    return max(counts, key=lambda pair: (counts[pair], pair[0] + pair[1]))

# %% exercise="repaired_choice" wrong="compared_as_text"
"""Decodes the bytes before comparing, with a replacement character for parts of letters, so those all tie; breaks "pair of byte strings"."""
def repaired_choice(counts: dict[tuple[bytes, bytes], int]) -> tuple[bytes, bytes]:
    def text(token):
        return token.decode("utf-8", errors="replace")

    return sorted(counts, key=lambda p: (counts[p], (text(p[0]), text(p[1]))))[-1]

# %% exercise="repaired_choice" wrong="right_before_left"
"""Compares the right token before the left one; breaks the order of (left, right)."""
def repaired_choice(counts: dict[tuple[bytes, bytes], int]) -> tuple[bytes, bytes]:
    return max(counts, key=lambda pair: (counts[pair], pair[::-1]))

# %% exercise="repaired_choice" wrong="longest_wins_tie"
"""Lets the longer result win a tie before bytes are compared; breaks "on a tie the greater pair of byte strings"."""
def repaired_choice(counts: dict[tuple[bytes, bytes], int]) -> tuple[bytes, bytes]:
    return max(counts, key=lambda pair: (counts[pair], len(pair[0]) + len(pair[1]), pair))

# %% exercise="repaired_choice" wrong="greater_pair_of_all"
"""Compares the pair first and the count second, so a rare pair wins; breaks "the most frequent one"."""
def repaired_choice(counts: dict[tuple[bytes, bytes], int]) -> tuple[bytes, bytes]:
    return max((pair, times) for pair, times in counts.items())[0]

# %% exercise="repaired_choice" wrong="returns_count_too"
"""Returns ((left, right), count), the item as it was compared; breaks "returns (left, right)"."""
def repaired_choice(counts: dict[tuple[bytes, bytes], int]) -> tuple[bytes, bytes]:
    return max(counts.items(), key=lambda item: (item[1], item[0]))

# %% exercise="repaired_choice" wrong="takes_it_out"
"""Takes the chosen pair out of the caller's dict; breaks "what your code is given stays as it was"."""
def repaired_choice(counts: dict[tuple[bytes, bytes], int]) -> tuple[bytes, bytes]:
    best = max(counts, key=lambda pair: (counts[pair], pair))
    counts.pop(best)
    return best

# %% exercise="repaired_choice" wrong="compared_as_repr"
"""Compares str() of the pairs, where a newline is a backslash and an n and quotes may change; breaks "pair of byte strings"."""
def repaired_choice(counts: dict[tuple[bytes, bytes], int]) -> tuple[bytes, bytes]:
    return max(counts, key=lambda pair: (counts[pair], str(pair)))

# %% exercise="repaired_rotations" wrong="frequencies_stay_short"
"""Positions in float32, but the frequencies are still rounded to the model's dtype; breaks "the true cosine and sine, rounded"."""
def repaired_rotations(length: int, d: int, dtype: torch.dtype, base: float = 10000.0) -> tuple[Tensor, Tensor]:
    t = torch.arange(length, dtype=torch.float32)
    inverse = (1.0 / base ** (torch.arange(0, d, 2) / d)).to(dtype)
    table = torch.outer(t, inverse.float())
    return table.cos().to(dtype), table.sin().to(dtype)

# %% exercise="repaired_rotations" wrong="product_rounded_3"
"""Computes the angles in float64 and rounds them to the dtype before cos and sin, the mistake that Wang et al. describe; breaks "the true cosine and sine, rounded"."""
def repaired_rotations(length: int, d: int, dtype: torch.dtype, base: float = 10000.0) -> tuple[Tensor, Tensor]:
    t = torch.arange(length, dtype=torch.float64)
    inverse = 1.0 / base ** (torch.arange(0, d, 2, dtype=torch.float64) / d)
    table = torch.outer(t, inverse).to(dtype)
    return table.cos(), table.sin()

# %% exercise="repaired_rotations" wrong="positions_born_short"
"""Makes the positions in the dtype and widens them afterwards, when the odd ones are gone already; breaks "of every position"."""
def repaired_rotations(length: int, d: int, dtype: torch.dtype, base: float = 10000.0) -> tuple[Tensor, Tensor]:
    t = torch.arange(length, dtype=dtype).double()
    inverse = 1.0 / base ** (torch.arange(0, d, 2, dtype=torch.float64) / d)
    table = torch.outer(t, inverse)
    return table.cos().to(dtype), table.sin().to(dtype)

# %% exercise="repaired_rotations" wrong="never_converted_back"
"""Returns float64; breaks "in that dtype"."""
def repaired_rotations(length: int, d: int, dtype: torch.dtype, base: float = 10000.0) -> tuple[Tensor, Tensor]:
    t = torch.arange(length, dtype=torch.float64)
    inverse = 1.0 / base ** (torch.arange(0, d, 2, dtype=torch.float64) / d)
    table = torch.outer(t, inverse)
    return table.cos(), table.sin()

# %% exercise="repaired_rotations" wrong="sine_first_2"
"""Returns sin, cos; breaks "returns cos, sin"."""
def repaired_rotations(length: int, d: int, dtype: torch.dtype, base: float = 10000.0) -> tuple[Tensor, Tensor]:
    t = torch.arange(length, dtype=torch.float64)
    table = t[:, None] * base ** (-torch.arange(0, d, 2, dtype=torch.float64) / d)
    return table.sin().to(dtype), table.cos().to(dtype)

# %% exercise="repaired_rotations" wrong="doubled_columns"
"""Doubles the angles to the full width, as transformers' cos and sin caches have them; breaks "(T, d / 2)"."""
def repaired_rotations(length: int, d: int, dtype: torch.dtype, base: float = 10000.0) -> tuple[Tensor, Tensor]:
    t = torch.arange(length, dtype=torch.float64)
    table = torch.outer(t, 1.0 / base ** (torch.arange(0, d, 2, dtype=torch.float64) / d))
    table = torch.cat([table, table], dim=-1)
    return table.cos().to(dtype), table.sin().to(dtype)

# %% exercise="repaired_rotations" wrong="remainder_rounded"
"""Brings the angles into one turn first and rounds the rest to the dtype before cos and sin: no two positions coincide any more, but the numbers are off by several last bits; breaks "the true cosine and sine, rounded"."""
def repaired_rotations(length: int, d: int, dtype: torch.dtype, base: float = 10000.0) -> tuple[Tensor, Tensor]:
    t = torch.arange(length, dtype=torch.float64)
    table = torch.outer(t, 1.0 / base ** (torch.arange(0, d, 2, dtype=torch.float64) / d))
    rest = (table % (2 * math.pi)).to(dtype)
    return rest.cos(), rest.sin()

# %% exercise="repaired_rotations" wrong="sine_as_root"
"""Computes the sine as sqrt(1 - cos^2) to save one call, which loses its sign; breaks "the true cosine and sine"."""
def repaired_rotations(length: int, d: int, dtype: torch.dtype, base: float = 10000.0) -> tuple[Tensor, Tensor]:
    t = torch.arange(length, dtype=torch.float64)
    cos = torch.outer(t, 1.0 / base ** (torch.arange(0, d, 2, dtype=torch.float64) / d)).cos()
    sin = (1 - cos**2).clamp(min=0).sqrt()
    return cos.to(dtype), sin.to(dtype)

# %% exercise="repaired_rotations" wrong="exponent_in_dtype"
"""Everything in float64 but the exponents 2i/d, which are rounded to the dtype as the published code does (no harm while d is a power of two); breaks "the true cosine and sine"."""
def repaired_rotations(length: int, d: int, dtype: torch.dtype, base: float = 10000.0) -> tuple[Tensor, Tensor]:
    t = torch.arange(length, dtype=torch.float64)
    exponent = (torch.arange(0, d, 2) / d).to(dtype)
    table = torch.outer(t, 1.0 / base ** exponent.double())
    return table.cos().to(dtype), table.sin().to(dtype)
