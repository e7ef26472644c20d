"""Right answers to unit 03 by readers who saw the released notebook only: tests/test_readers.py judges them."""

# %% exercise="apply_rope" right="r1_first"
"""Two tensors a and b."""
def apply_rope(x: Tensor, positions: Tensor, pairing: str = "interleaved", base: float = 10000.0) -> Tensor:
    if pairing not in ("interleaved", "half"):
        raise ValueError(f"unknown pairing {pairing!r}")
    d = x.shape[-1]
    freqs = rope_frequencies(d, base).to(x.device)
    angles = positions.to(x.device).float()[:, None] * freqs
    cos, sin = angles.cos(), angles.sin()
    xf = x.float()
    if pairing == "interleaved":
        a, b = xf[..., 0::2], xf[..., 1::2]
    else:
        a, b = xf[..., : d // 2], xf[..., d // 2 :]
    ra, rb = a * cos - b * sin, a * sin + b * cos
    if pairing == "interleaved":
        out = torch.stack([ra, rb], dim=-1).flatten(-2)
    else:
        out = torch.cat([ra, rb], dim=-1)
    return out.to(x.dtype)

# %% exercise="apply_rope" right="r2_complex"
"""Complex numbers, Meta's code; half by a permutation."""
def apply_rope(x: Tensor, positions: Tensor, pairing: str = "interleaved", base: float = 10000.0) -> Tensor:
    if pairing == "half":
        pairs = torch.stack(x.float().chunk(2, -1), -1)
    elif pairing == "interleaved":
        pairs = x.float().reshape(*x.shape[:-1], -1, 2)
    else:
        raise ValueError(pairing)
    angles = torch.outer(positions.float(), rope_frequencies(x.shape[-1], base))
    turned = torch.view_as_complex(pairs.contiguous()) * torch.polar(torch.ones_like(angles), angles)
    turned = torch.view_as_real(turned)
    if pairing == "half":
        turned = turned.transpose(-1, -2)
    return turned.flatten(-2).type_as(x)

# %% exercise="apply_rope" right="r3_rotate_half"
"""X * cos + rotate(x) * sin, as in transformers; cos and sin converted to x's dtype."""
def rotate_half(x):
    x1, x2 = x.chunk(2, dim=-1)
    return torch.cat((-x2, x1), dim=-1)


def rotate_every_two(x):
    x1, x2 = x[..., ::2], x[..., 1::2]
    return torch.stack((-x2, x1), dim=-1).flatten(-2)


def apply_rope(x: Tensor, positions: Tensor, pairing: str = "interleaved", base: float = 10000.0) -> Tensor:
    inv_freq = 1.0 / (base ** (torch.arange(0, x.shape[-1], 2, dtype=torch.float32) / x.shape[-1]))
    freqs = torch.einsum("i,j->ij", positions.float(), inv_freq)
    if pairing == "half":
        emb, rotate = torch.cat((freqs, freqs), dim=-1), rotate_half
    elif pairing == "interleaved":
        emb, rotate = freqs.repeat_interleave(2, dim=-1), rotate_every_two
    else:
        raise ValueError("pairing must be 'interleaved' or 'half'")
    return x * emb.cos().to(x.dtype) + rotate(x) * emb.sin().to(x.dtype)

# %% exercise="apply_rope" right="r4_matrices"
"""A block diagonal rotation matrix for each position, einsum, float64 inside."""
def apply_rope(x: Tensor, positions: Tensor, pairing: str = "interleaved", base: float = 10000.0) -> Tensor:
    d, T = x.shape[-1], len(positions)
    if pairing == "interleaved":
        first = torch.arange(0, d, 2)
        second = first + 1
    elif pairing == "half":
        first = torch.arange(d // 2)
        second = first + d // 2
    else:
        raise ValueError
    angle = positions.double()[:, None] * base ** (-torch.arange(0, d, 2).double() / d)
    R = torch.zeros(T, d, d, dtype=torch.float64)
    R[:, first, first] = angle.cos()
    R[:, first, second] = -angle.sin()
    R[:, second, first] = angle.sin()
    R[:, second, second] = angle.cos()
    return torch.einsum("tij,...tj->...ti", R, x.double()).to(x.dtype)

# %% exercise="apply_rope" right="r5_loops_into_empty_like"
"""Loops over positions and pairs, written into a clone."""
def apply_rope(x: Tensor, positions: Tensor, pairing: str = "interleaved", base: float = 10000.0) -> Tensor:
    assert x.shape[-1] % 2 == 0
    if pairing not in ["interleaved", "half"]:
        raise ValueError("no such pairing: " + str(pairing))
    d = x.shape[-1]
    out = x.clone()
    for n, p in enumerate(positions.tolist()):
        for i in range(d // 2):
            j, k = (2 * i, 2 * i + 1) if pairing == "interleaved" else (i, i + d // 2)
            c, s = math.cos(p * base ** (-2 * i / d)), math.sin(p * base ** (-2 * i / d))
            out[..., n, j] = x[..., n, j] * c - x[..., n, k] * s
            out[..., n, k] = x[..., n, j] * s + x[..., n, k] * c
    return out

# %% exercise="apply_rope" right="r6_half_through_interleaved"
"""Half by permuting to interleaved and back with an index; result not contiguous."""
def apply_rope(x: Tensor, positions: Tensor, pairing: str = "interleaved", base: float = 10000.0) -> Tensor:
    d = x.shape[-1]
    if pairing == "half":
        order = torch.arange(d).view(2, d // 2).T.flatten()
        back = torch.argsort(order)
        return apply_rope(x[..., order], positions, "interleaved", base)[..., back]
    if pairing != "interleaved":
        raise ValueError(f"{pairing=}")
    angle = positions[:, None].to(torch.float32) * rope_frequencies(d, base)[None]
    c, s = torch.cos(angle), torch.sin(angle)
    even, odd = x[..., 0::2].float(), x[..., 1::2].float()
    result = torch.empty(d, *x.shape[:-1]).movedim(0, -1)
    result[..., 0::2] = even * c - odd * s
    result[..., 1::2] = even * s + odd * c
    return result.to(x.dtype)

# %% exercise="embed" right="one_hot_ignored"
"""Always a lookup: the prompt says that the check can not tell."""
# the flag is ignored: always a lookup
def embed(ids, table, one_hot=False):
    return table[ids]

# %% exercise="bpe_merge" right="slices"
"""An index that steps over one or two tokens, comparing slices."""
def bpe_merge(tokens: list, pair: tuple, merged) -> list:
    wanted = list(pair)
    out, i = [], 0
    while i < len(tokens):
        if tokens[i : i + 2] == wanted:
            out.append(merged)
            i += 2
        else:
            out.append(tokens[i])
            i += 1
    return out

# %% exercise="bpe_merge" right="generator_with_a_pending_token"
"""One pass over the tokens that holds back a left token until the next one is seen."""
def bpe_merge(tokens: list, pair: tuple, merged) -> list:
    left, right = pair

    def stream():
        pending = False
        for token in tokens:
            if pending:
                if token == right:
                    yield merged
                    pending = False
                    continue
                yield left
                pending = False
            if token == left:
                pending = True
            else:
                yield token
        if pending:
            yield left

    return list(stream())

# %% exercise="bpe_merge" right="list_index"
"""Jumps from one left token to the next with list.index and copies what lies between."""
def bpe_merge(tokens: list, pair: tuple, merged) -> list:
    left, right = pair
    out, start = [], 0
    while True:
        try:
            at = tokens.index(left, start)
        except ValueError:
            return out + tokens[start:]
        out.extend(tokens[start:at])
        if at + 1 < len(tokens) and tokens[at + 1] == right:
            out.append(merged)
            start = at + 2
        else:
            out.append(left)
            start = at + 1

# %% exercise="bpe_merge" right="marks_first"
"""Finds the places first, greedily from the left, then builds the list in a comprehension."""
def bpe_merge(tokens: list, pair: tuple, merged) -> list:
    starts = set()
    for i, here in enumerate(zip(tokens, tokens[1:])):
        if here == tuple(pair) and i - 1 not in starts:
            starts.add(i)
    return [merged if i in starts else token for i, token in enumerate(tokens) if i - 1 not in starts]

# %% exercise="bpe_train" right="distinct_pieces"
"""Distinct pieces with their numbers, counted anew at each step."""
def bpe_train(text: str, num_merges: int) -> list[tuple[bytes, bytes]]:
    often = Counter(pretokenize(text))
    split = {piece: [bytes([b]) for b in piece.encode("utf-8")] for piece in often}
    merges = []
    for _ in range(num_merges):
        counts = Counter()
        for piece, tokens in split.items():
            for pair in zip(tokens, tokens[1:]):
                counts[pair] += often[piece]
        if not counts:
            break
        best = max(counts, key=lambda pair: (counts[pair], pair))
        merges.append(best)
        for piece in split:
            split[piece] = bpe_merge(split[piece], best, b"".join(best))
    return merges

# %% exercise="bpe_train" right="every_piece"
"""Every piece of the text in order, without pooling equal ones; sort instead of max."""
def bpe_train(text: str, num_merges: int) -> list[tuple[bytes, bytes]]:
    pieces = [[bytes([b]) for b in piece.encode()] for piece in pretokenize(text)]
    merges = []
    while len(merges) < num_merges:
        counts = {}
        for tokens in pieces:
            for i in range(len(tokens) - 1):
                pair = tokens[i], tokens[i + 1]
                counts[pair] = counts.get(pair, 0) + 1
        if len(counts) == 0:
            return merges
        _, best = sorted((n, pair) for pair, n in counts.items())[-1]
        merges.append(best)
        pieces = [bpe_merge(tokens, best, best[0] + best[1]) for tokens in pieces]
    return merges

# %% exercise="bpe_train" right="incremental_counts"
"""Keeps the counts and corrects only those of the pieces in which the merged pair stood."""
def bpe_train(text: str, num_merges: int) -> list[tuple[bytes, bytes]]:
    often = Counter(pretokenize(text))
    words = [[bytes([b]) for b in piece.encode("utf-8")] for piece in often]
    number = list(often.values())
    counts, where = Counter(), {}
    for w, tokens in enumerate(words):
        for pair in zip(tokens, tokens[1:]):
            counts[pair] += number[w]
            where.setdefault(pair, set()).add(w)
    merges = []
    while len(merges) < num_merges and counts:
        best = max(counts.items(), key=lambda item: item[::-1])[0]
        merges.append(best)
        for w in list(where[best]):
            old = words[w]
            new = bpe_merge(old, best, best[0] + best[1])
            for pair in zip(old, old[1:]):
                counts[pair] -= number[w]
                if not counts[pair]:
                    del counts[pair]
                where[pair].discard(w)
            for pair in zip(new, new[1:]):
                counts[pair] += number[w]
                where.setdefault(pair, set()).add(w)
            words[w] = new
    return merges

# %% exercise="bpe_encode" right="smallest_rank"
"""re.split for the specials; in a piece again and again the pair of the smallest rank."""
def bpe_encode(text: str, merges: list[tuple[bytes, bytes]], specials: tuple[str, ...] = ()) -> list[int]:
    table = vocabulary(merges, specials)
    plain = len(table) - len(specials)
    number = {table[i]: i for i in range(plain)}
    special_ids = {word: plain + i for i, word in enumerate(specials)}
    rank = {}
    for i, pair in enumerate(merges):
        rank.setdefault(pair, i)
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
            ids.extend(number[token] for token in tokens)
    return ids

# %% exercise="bpe_encode" right="restart_the_list"
"""Walks down the list of merges and starts again at the top after each merge that was used."""
def bpe_encode(text: str, merges: list[tuple[bytes, bytes]], specials: tuple[str, ...] = ()) -> list[int]:
    plain = vocabulary(merges)
    number = {token: i for i, token in plain.items()}
    ids = []

    def ordinary(part):
        for piece in pretokenize(part):
            tokens = [bytes([b]) for b in piece.encode("utf-8")]
            i = 0
            while i < len(merges):
                left, right = merges[i]
                merged = bpe_merge(tokens, (left, right), left + right)
                i = 0 if len(merged) < len(tokens) else i + 1
                tokens = merged
            ids.extend(number[token] for token in tokens)

    start = at = 0
    while at < len(text):
        here = [word for word in specials if word and text.startswith(word, at)]
        if not here:
            at += 1
            continue
        ordinary(text[start:at])
        word = max(here, key=len)
        ids.append(len(plain) + specials.index(word))
        start = at = at + len(word)
    ordinary(text[start:])
    return ids

# %% exercise="bpe_encode" right="recursive_on_ids"
"""Works on ids: pairs of ids have a rank and a result; pieces by recursion, specials with finditer, a cache for pieces."""
def bpe_encode(text: str, merges: list[tuple[bytes, bytes]], specials: tuple[str, ...] = ()) -> list[int]:
    plain = vocabulary(merges)
    number = {token: i for i, token in plain.items()}
    rules = {}
    for rank, (left, right) in enumerate(merges):
        if left in number and right in number:
            rules.setdefault((number[left], number[right]), (rank, number[left + right]))
    cache = {}

    def shrink(tokens):
        known = [(rules[pair], pair) for pair in zip(tokens, tokens[1:]) if pair in rules]
        if not known:
            return tokens
        (_, result), pair = min(known)
        return shrink(bpe_merge(tokens, pair, result))

    def ordinary(part):
        out = []
        for piece in pretokenize(part):
            if piece not in cache:
                cache[piece] = shrink(list(piece.encode("utf-8")))
            out += cache[piece]
        return out

    if not specials:
        return ordinary(text)
    pattern = "|".join(re.escape(word) for word in sorted(specials, key=lambda word: -len(word)))
    ids, last = [], 0
    for match in re.finditer(pattern, text):
        ids += ordinary(text[last : match.start()])
        ids.append(len(plain) + list(specials).index(match.group()))
        last = match.end()
    return ids + ordinary(text[last:])

# %% exercise="bpe_decode" right="join_then_decode"
"""Joins all bytes and decodes once."""
def bpe_decode(ids: list[int], merges: list[tuple[bytes, bytes]], specials: tuple[str, ...] = ()) -> str:
    table = vocabulary(merges, specials)
    return b"".join(table[i] for i in ids).decode("utf-8", errors="replace")

# %% exercise="bpe_decode" right="bytearray"
"""Collects the bytes in a bytearray and uses str()."""
def bpe_decode(ids: list[int], merges: list[tuple[bytes, bytes]], specials: tuple[str, ...] = ()) -> str:
    table = vocabulary(merges, specials)
    raw = bytearray()
    for i in ids:
        raw.extend(table[int(i)])
    return str(raw, "utf-8", "replace")

# %% exercise="bpe_decode" right="incremental_decoder"
"""An incremental UTF-8 decoder gets token after token and keeps unfinished characters."""
import codecs


def bpe_decode(ids: list[int], merges: list[tuple[bytes, bytes]], specials: tuple[str, ...] = ()) -> str:
    table = vocabulary(merges, specials)
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    return "".join([decoder.decode(table[i]) for i in ids] + [decoder.decode(b"", True)])

# %% exercise="bpe_decode" right="own_table"
"""Builds its own table of bytes with a set of those known, and slices one long byte string together."""
def bpe_decode(ids: list[int], merges: list[tuple[bytes, bytes]], specials: tuple[str, ...] = ()) -> str:
    tokens = dict.fromkeys(bytes([b]) for b in range(256))
    tokens.update(dict.fromkeys(left + right for left, right in merges))
    table = list(tokens) + [word.encode("utf-8") for word in specials]
    raw = b""
    for i in ids:
        raw += table[i]
    return raw.decode(errors="replace")

# %% exercise="language_finding" right="read_off"
"""Read off the table."""
language_finding = {"cheapest": "en", "dearest": "hi", "times": 3.6}

# %% exercise="language_finding" right="computed"
"""Computed again, with the notebook's ten samples."""
def _language_table():
    locales = ["en", "fr", "de", "es", "el", "ru", "hi"]
    text = data.split_prose()[0]
    ratios = {locale: [] for locale in locales}
    for run in range(10):
        learned = bpe_train(text[run * 30_000 : run * 30_000 + 8_000], 100)
        mean = {}
        for locale in locales:
            names = list(data.language_names(locale).values())[::4]
            mean[locale] = sum(len(bpe_encode(name, learned)) for name in names) / len(names)
        for locale in locales:
            ratios[locale].append(mean[locale] / mean["en"])
    return {locale: statistics.median(values) for locale, values in ratios.items()}


_medians = _language_table()
language_finding = {
    "cheapest": min(_medians, key=_medians.get),
    "dearest": max(_medians, key=_medians.get),
    "times": round(max(_medians.values()), 1),
}

# %% exercise="language_finding" right="from_the_printed_medians"
"""The printed medians typed in, the answer taken from them."""
_printed = dict(en=1.00, fr=1.06, de=1.27, es=1.04, el=2.80, ru=2.91, hi=3.61)
_order = sorted(_printed, key=_printed.get)
language_finding = dict(cheapest=_order[0], dearest=_order[-1], times=float(f"{_printed[_order[-1]]:.1f}"))

# %% exercise="pad_batch" right="fill_and_write"
"""A full tensor, rows written to their place; positions from the mask's cumulative sum."""
def pad_batch(rows: list[list[int]], pad_id: int, side: str = "right") -> tuple[Tensor, Tensor, Tensor]:
    if side not in ("right", "left"):
        raise ValueError(f"side is 'right' or 'left', not {side!r}")
    width = max(map(len, rows))
    ids = torch.full((len(rows), width), pad_id, dtype=torch.int64)
    mask = torch.zeros(len(rows), width, dtype=torch.bool)
    for i, row in enumerate(rows):
        where = slice(0, len(row)) if side == "right" else slice(width - len(row), width)
        ids[i, where] = torch.tensor(row, dtype=torch.int64)
        mask[i, where] = True
    positions = (mask.cumsum(1) - 1).masked_fill(~mask, 0)
    return ids, mask, positions

# %% exercise="pad_batch" right="lists"
"""Three lists of lists, converted at the end."""
def pad_batch(rows: list[list[int]], pad_id: int, side: str = "right") -> tuple[Tensor, Tensor, Tensor]:
    if side == "right":
        def put(row, gap):
            return row + gap
    elif side == "left":
        def put(row, gap):
            return gap + row
    else:
        raise ValueError(side)
    width = max(len(row) for row in rows)
    ids, mask, positions = [], [], []
    for row in rows:
        n = len(row)
        ids.append(put(list(row), [pad_id] * (width - n)))
        mask.append(put([True] * n, [False] * (width - n)))
        positions.append(put(list(range(n)), [0] * (width - n)))
    return torch.tensor(ids), torch.tensor(mask), torch.tensor(positions)

# %% exercise="pad_batch" right="lengths_and_arange"
"""Vectorised: mask and positions come from the lengths, the ids are scattered through the mask."""
def pad_batch(rows: list[list[int]], pad_id: int, side: str = "right") -> tuple[Tensor, Tensor, Tensor]:
    lengths = torch.tensor([len(row) for row in rows])
    columns = torch.arange(int(lengths.max())).expand(len(rows), -1)
    match side:
        case "right":
            steps = columns
        case "left":
            steps = columns - (lengths.max() - lengths)[:, None]
        case _:
            raise ValueError(f"unknown side: {side}")
    mask = (steps >= 0) & (steps < lengths[:, None])
    ids = torch.full(mask.shape, pad_id)
    ids[mask] = torch.tensor([token for row in rows for token in row])
    return ids, mask, torch.where(mask, steps, 0)

# %% exercise="pad_batch" right="pad_sequence"
"""nn.utils.rnn.pad_sequence for all three; left by reversing rows before and columns after."""
def pad_batch(rows: list[list[int]], pad_id: int, side: str = "right") -> tuple[Tensor, Tensor, Tensor]:
    if side not in {"left", "right"}:
        raise ValueError(side)
    def pad(tensors, value):
        if side == "left":
            return nn.utils.rnn.pad_sequence([t.flip(0) for t in tensors], True, value).flip(1)
        return nn.utils.rnn.pad_sequence(tensors, True, value)

    ids = pad([torch.tensor(row) for row in rows], pad_id)
    mask = pad([torch.ones(len(row), dtype=torch.bool) for row in rows], False)
    positions = pad([torch.arange(len(row)) for row in rows], 0)
    return ids, mask, positions

# %% exercise="embed" right="indexing_and_compare"
"""Indexing; one-hot by comparing with arange."""
def embed(ids: Tensor, table: Tensor, one_hot: bool = False) -> Tensor:
    if one_hot:
        hot = (ids[..., None] == torch.arange(len(table), device=ids.device)).to(table.dtype)
        return hot @ table
    return table[ids]

# %% exercise="embed" right="functional"
"""F.embedding and F.one_hot with einsum."""
def embed(ids: Tensor, table: Tensor, one_hot: bool = False) -> Tensor:
    if not one_hot:
        return nn.functional.embedding(ids, table)
    hot = nn.functional.one_hot(ids, num_classes=table.shape[0]).to(table.dtype)
    return torch.einsum("...v,vd->...d", hot, table)

# %% exercise="embed" right="index_select_and_eye"
"""index_select on flat ids; one-hot as rows of the identity matrix."""
def embed(ids: Tensor, table: Tensor, one_hot: bool = False) -> Tensor:
    V, D = table.shape
    if one_hot:
        return torch.eye(V, dtype=table.dtype, device=table.device)[ids] @ table
    return table.index_select(0, ids.reshape(-1)).reshape(*ids.shape, D)

# %% exercise="embed" right="gather_and_scatter"
"""gather with expanded indices; one-hot written with scatter."""
def embed(ids: Tensor, table: Tensor, one_hot: bool = False) -> Tensor:
    V, D = table.shape
    flat = ids.reshape(-1, 1)
    if one_hot:
        hot = torch.zeros(len(flat), V, dtype=table.dtype, device=table.device).scatter_(1, flat, 1)
        out = torch.mm(hot, table)
    else:
        out = table.gather(0, flat.expand(-1, D))
    return out.view(*ids.shape, D)

# %% exercise="TiedEmbedding" right="plain_parameter"
"""One parameter, indexing and a product."""
class TiedEmbedding(nn.Module):
    def __init__(self, vocab_size: int, d_model: int):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(vocab_size, d_model) / math.sqrt(d_model))

    def embed(self, ids: Tensor) -> Tensor:
        return self.weight[ids] * math.sqrt(self.weight.shape[1])

    def logits(self, states: Tensor) -> Tensor:
        return states @ self.weight.T

# %% exercise="TiedEmbedding" right="functional"
"""register_parameter, F.embedding and F.linear."""
class TiedEmbedding(nn.Module):
    def __init__(self, vocab_size: int, d_model: int):
        super().__init__()
        weight = torch.empty(vocab_size, d_model)
        nn.init.normal_(weight, std=d_model**-0.5)
        self.register_parameter("weight", nn.Parameter(weight))
        self.factor = d_model**0.5

    def embed(self, ids: Tensor) -> Tensor:
        return self.factor * nn.functional.embedding(ids, self.weight)

    def logits(self, states: Tensor) -> Tensor:
        return nn.functional.linear(states, self.weight)

# %% exercise="TiedEmbedding" right="weight_of_an_embedding"
"""Takes the weight out of an nn.Embedding and uses the exercise before and einsum."""
class TiedEmbedding(nn.Module):
    def __init__(self, vocab_size: int, d_model: int):
        super().__init__()
        self.weight = nn.Embedding(vocab_size, d_model).weight

    def embed(self, ids: Tensor) -> Tensor:
        return embed(ids, self.weight).mul(math.sqrt(self.weight.size(-1)))

    def logits(self, states: Tensor) -> Tensor:
        return torch.einsum("...d,vd->...v", states, self.weight)

# %% exercise="sinusoidal_encoding" right="stack_and_flatten"
"""A table of angles, stack and flatten, in float32."""
def sinusoidal_encoding(length: int, d_model: int) -> Tensor:
    angles = torch.arange(length)[:, None] * 10000.0 ** (-torch.arange(0, d_model, 2) / d_model)
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)

# %% exercise="sinusoidal_encoding" right="exp_of_log"
"""The textbook: exp(-log(10000) 2i/D), written into even and odd columns."""
def sinusoidal_encoding(length: int, d_model: int) -> Tensor:
    position = torch.arange(length, dtype=torch.float64).unsqueeze(1)
    div_term = torch.exp(torch.arange(0, d_model, 2, dtype=torch.float64) * (-math.log(10000.0) / d_model))
    pe = torch.zeros(length, d_model)
    pe[:, 0::2] = torch.sin(position * div_term)
    pe[:, 1::2] = torch.cos(position * div_term)
    return pe

# %% exercise="sinusoidal_encoding" right="python_loops"
"""Number by number with math.sin and math.cos."""
def sinusoidal_encoding(length: int, d_model: int) -> Tensor:
    out = torch.zeros(length, d_model)
    for t in range(length):
        row = []
        for i in range(d_model // 2):
            angle = t / 10000 ** (2 * i / d_model)
            row += [math.sin(angle), math.cos(angle)]
        out[t] = torch.tensor(row)
    return out

# %% exercise="sinusoidal_encoding" right="cosine_as_shifted_sine"
"""One sine over all columns: the odd ones get the angle plus a quarter turn; float64 inside."""
def sinusoidal_encoding(length: int, d_model: int) -> Tensor:
    column = torch.arange(d_model)
    exponent = (column - column % 2).double() / d_model
    angles = torch.arange(length).double()[:, None] / torch.pow(10000.0, exponent)
    return torch.sin(angles + column % 2 * (math.pi / 2)).float()

# %% exercise="rope_frequencies" right="power"
"""One power."""
def rope_frequencies(d: int, base: float = 10000.0) -> Tensor:
    return 1.0 / (base ** (torch.arange(0, d, 2).float() / d))

# %% exercise="rope_frequencies" right="python_list"
"""A list of Python powers."""
def rope_frequencies(d: int, base: float = 10000.0) -> Tensor:
    return torch.tensor([base ** (-2 * i / d) for i in range(d // 2)], dtype=torch.float32)

# %% exercise="rope_frequencies" right="logspace"
"""torch.logspace with the base as its base, in float64, rounded at the end."""
def rope_frequencies(d: int, base: float = 10000.0) -> Tensor:
    return torch.logspace(0, -(d - 2) / d, d // 2, base=float(base), dtype=torch.float64).float()

# %% exercise="rope_frequencies" right="geometric_product"
"""A geometric sequence by cumulative product in float64."""
def rope_frequencies(d: int, base: float = 10000.0) -> Tensor:
    steps = torch.full((d // 2,), float(base) ** (-2 / d), dtype=torch.float64)
    steps[0] = 1.0
    return steps.cumprod(0).to(torch.float32)

# %% exercise="apply_rope" right="two_tensors"
"""The two coordinates as two tensors, put back with stack or cat."""
def apply_rope(x: Tensor, positions: Tensor, pairing: str = "interleaved", base: float = 10000.0) -> Tensor:
    if pairing not in ("interleaved", "half"):
        raise ValueError(pairing)
    d = x.shape[-1]
    work = torch.promote_types(x.dtype, torch.float32)
    angles = positions.to(work)[:, None] * rope_frequencies(d, base).to(x.device)
    cos, sin = angles.cos(), angles.sin()
    y = x.to(work)
    if pairing == "interleaved":
        a, b = y[..., 0::2], y[..., 1::2]
        out = torch.stack([a * cos - b * sin, a * sin + b * cos], -1).flatten(-2)
    else:
        a, b = y.chunk(2, -1)
        out = torch.cat([a * cos - b * sin, a * sin + b * cos], -1)
    return out.to(x.dtype)

# %% exercise="apply_rope" right="complex_numbers"
"""Each pair is a complex number, multiplied with a number on the unit circle, in double precision."""
def apply_rope(x: Tensor, positions: Tensor, pairing: str = "interleaved", base: float = 10000.0) -> Tensor:
    d = x.shape[-1]
    theta = base ** (-torch.arange(0, d, 2, dtype=torch.float64) / d)
    angles = torch.outer(positions.double(), theta)
    turn = torch.polar(torch.ones_like(angles), angles)
    y = x.double()
    if pairing == "interleaved":
        z = torch.complex(y[..., 0::2].contiguous(), y[..., 1::2].contiguous()) * turn
        return torch.view_as_real(z).flatten(-2).to(x.dtype)
    elif pairing == "half":
        z = torch.complex(y[..., : d // 2].contiguous(), y[..., d // 2 :].contiguous()) * turn
        return torch.cat([z.real, z.imag], dim=-1).to(x.dtype)
    raise ValueError(f"pairing {pairing!r}")

# %% exercise="apply_rope" right="rotate_half"
"""As in transformers: x cos + rotate(x) sin, with tables of full width for either pairing."""
def apply_rope(x: Tensor, positions: Tensor, pairing: str = "interleaved", base: float = 10000.0) -> Tensor:
    d = x.shape[-1]
    angles = torch.einsum("t,i->ti", positions.float(), rope_frequencies(d, base))
    if pairing == "half":
        angles = torch.cat((angles, angles), dim=-1)
        rotated = torch.cat((-x[..., d // 2 :], x[..., : d // 2]), dim=-1)
    elif pairing == "interleaved":
        angles = angles.repeat_interleave(2, dim=-1)
        rotated = torch.stack((-x[..., 1::2], x[..., ::2]), dim=-1).reshape(x.shape)
    else:
        raise ValueError("pairing must be interleaved or half")
    return (x * angles.cos() + rotated * angles.sin()).to(x.dtype)

# %% exercise="apply_rope" right="rotation_matrices"
"""Brings pairs to the end by a permutation, multiplies with (T, d/2, 2, 2) matrices, and undoes the permutation."""
def apply_rope(x: Tensor, positions: Tensor, pairing: str = "interleaved", base: float = 10000.0) -> Tensor:
    d = x.shape[-1]
    order = torch.arange(d)
    if pairing == "half":
        order = order.view(2, d // 2).T.reshape(-1)
    elif pairing != "interleaved":
        raise ValueError(pairing)
    angles = positions.double()[:, None] * rope_frequencies(d, base).double()
    c, s = angles.cos(), angles.sin()
    matrices = torch.stack([torch.stack([c, -s], -1), torch.stack([s, c], -1)], -2)
    pairs = x.double()[..., order].unflatten(-1, (d // 2, 2))
    turned = torch.einsum("tipq,...tiq->...tip", matrices, pairs).flatten(-2)
    return turned[..., order.argsort()].to(x.dtype)

# %% exercise="apply_rope" right="loop_over_pairs"
"""A loop over the pairs that writes into a new tensor's columns."""
def apply_rope(x: Tensor, positions: Tensor, pairing: str = "interleaved", base: float = 10000.0) -> Tensor:
    d = x.shape[-1]
    if pairing == "interleaved":
        pairs = [(2 * i, 2 * i + 1) for i in range(d // 2)]
    elif pairing == "half":
        pairs = [(i, i + d // 2) for i in range(d // 2)]
    else:
        raise ValueError(pairing)
    columns = [None] * d
    for theta, (i, j) in zip(rope_frequencies(d, base), pairs):
        angle = positions.float() * theta
        a, b = x[..., i].to(torch.promote_types(x.dtype, torch.float32)), x[..., j]
        columns[i] = a * angle.cos() - b * angle.sin()
        columns[j] = a * angle.sin() + b * angle.cos()
    return torch.stack(columns, -1).to(x.dtype)

# %% exercise="rotary_qkv" right="unflatten"
"""Project, split with unflatten and transpose, turn queries and keys."""
def rotary_qkv(
    x: Tensor, w_q: Tensor, w_k: Tensor, w_v: Tensor, num_heads: int, positions: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    q, k, v = ((x @ w).unflatten(-1, (num_heads, -1)).transpose(1, 2) for w in (w_q, w_k, w_v))
    return apply_rope(q, positions), apply_rope(k, positions), v

# %% exercise="rotary_qkv" right="head_by_head"
"""A loop over heads that takes the head's columns of the weights, then stacks."""
def rotary_qkv(
    x: Tensor, w_q: Tensor, w_k: Tensor, w_v: Tensor, num_heads: int, positions: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    d = x.shape[-1] // num_heads
    q, k, v = [], [], []
    for h in range(num_heads):
        own = slice(h * d, (h + 1) * d)
        q.append(apply_rope(x @ w_q[:, own], positions))
        k.append(apply_rope(x @ w_k[:, own], positions))
        v.append(x @ w_v[:, own])
    return torch.stack(q, 1), torch.stack(k, 1), torch.stack(v, 1)

# %% exercise="rotary_qkv" right="einsum_over_heads"
"""The weights get a head axis, one einsum each."""
def rotary_qkv(
    x: Tensor, w_q: Tensor, w_k: Tensor, w_v: Tensor, num_heads: int, positions: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    D = x.shape[-1]

    def project(w):
        return torch.einsum("btc,chd->bhtd", x, w.reshape(D, num_heads, D // num_heads))

    return apply_rope(project(w_q), positions), apply_rope(project(w_k), positions), project(w_v)

# %% exercise="rotary_qkv" right="one_product"
"""One product with all weights side by side; queries and keys turned together in one call."""
def rotary_qkv(
    x: Tensor, w_q: Tensor, w_k: Tensor, w_v: Tensor, num_heads: int, positions: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    B, T, D = x.shape
    joined = (x @ torch.cat([w_q, w_k, w_v], dim=1)).view(B, T, 3, num_heads, D // num_heads)
    joined = joined.permute(2, 0, 3, 1, 4)
    q, k = apply_rope(joined[:2], positions)
    return q, k, joined[2]

# %% exercise="alibi_slopes" right="two_lists"
"""P from the logarithm; two lists joined."""
def alibi_slopes(num_heads: int) -> Tensor:
    P = 2 ** math.floor(math.log2(num_heads))
    slopes = [2 ** (-8 * h / P) for h in range(1, P + 1)]
    slopes += [2 ** (-8 * h / (2 * P)) for h in range(1, 2 * P + 1, 2)][: num_heads - P]
    return torch.tensor(slopes)

# %% exercise="alibi_slopes" right="authors_recursion"
"""As the authors wrote it: get_slopes calls itself for 2P."""
def alibi_slopes(num_heads: int) -> Tensor:
    def get_slopes(n):
        if n & (n - 1) == 0:
            start = 2 ** (-(2 ** -(math.log2(n) - 3)))
            return [start * start**i for i in range(n)]
        closest = 2 ** math.floor(math.log2(n))
        return get_slopes(closest) + get_slopes(2 * closest)[0::2][: n - closest]

    return torch.tensor(get_slopes(num_heads), dtype=torch.float32)

# %% exercise="alibi_slopes" right="exponents_in_torch"
"""Exponents as one tensor, bit_length for P, exp2."""
def alibi_slopes(num_heads: int) -> Tensor:
    P = 1 << (num_heads.bit_length() - 1)
    whole = torch.arange(1, P + 1, dtype=torch.float64)
    between = torch.arange(num_heads - P, dtype=torch.float64) + 0.5
    return torch.exp2(torch.cat([whole, between]) * (-8 / P)).float()

# %% exercise="alibi_bias" right="masked_fill"
"""A table of distances, times the slopes, masked."""
def alibi_bias(num_heads: int, n_queries: int, n_keys: int) -> Tensor:
    queries = torch.arange(n_keys - n_queries, n_keys)
    distance = queries[:, None] - torch.arange(n_keys)
    return (-alibi_slopes(num_heads)[:, None, None] * distance).masked_fill(distance < 0, -torch.inf)

# %% exercise="alibi_bias" right="rows_from_the_end"
"""The whole (H, S, S) table with where and einsum, cut to the last T rows."""
def alibi_bias(num_heads: int, n_queries: int, n_keys: int) -> Tensor:
    t = torch.arange(n_keys, dtype=torch.float32)
    ahead = t[None, :] - t[:, None]
    whole = torch.einsum("h,ts->hts", alibi_slopes(num_heads), ahead)
    whole = torch.where(ahead > 0, torch.tensor(float("-inf")), whole)
    return whole[:, n_keys - n_queries :].contiguous()

# %% exercise="alibi_bias" right="loops"
"""Three loops over Python numbers, into a tensor of -inf."""
def alibi_bias(num_heads: int, n_queries: int, n_keys: int) -> Tensor:
    out = torch.full((num_heads, n_queries, n_keys), float("-inf"))
    for h, slope in enumerate(alibi_slopes(num_heads).tolist()):
        for i in range(n_queries):
            here = n_keys - n_queries + i
            for j in range(here + 1):
                out[h, i, j] = -slope * (here - j)
    return out

# %% exercise="alibi_bias" right="triu_of_minus_infinity"
"""Penalty plus a mask made with triu, which is -inf above the shifted diagonal."""
def alibi_bias(num_heads: int, n_queries: int, n_keys: int) -> Tensor:
    hidden = torch.triu(torch.full((n_queries, n_keys), -math.inf), diagonal=n_keys - n_queries + 1)
    here = torch.arange(n_queries).view(-1, 1) + (n_keys - n_queries)
    distance = (here - torch.arange(n_keys).view(1, -1)).clamp(min=0)
    return hidden - alibi_slopes(num_heads).view(-1, 1, 1) * distance

# %% exercise="position_interpolation" right="factor_at_most_one"
"""One factor, at most 1."""
def position_interpolation(positions: Tensor, train_length: int, length: int) -> Tensor:
    return positions.float() * min(1.0, train_length / length)

# %% exercise="position_interpolation" right="branch"
"""A branch; multiplied first, divided then."""
def position_interpolation(positions: Tensor, train_length: int, length: int) -> Tensor:
    if length > train_length:
        return (positions * train_length / length).to(torch.float32)
    return positions.to(torch.float32)

# %% exercise="position_interpolation" right="divide_by_the_scale"
"""Divides by s = L' / L, at least 1, in float64."""
def position_interpolation(positions: Tensor, train_length: int, length: int) -> Tensor:
    scale = max(length, train_length) / train_length
    return positions.double().div(scale).float()

# %% exercise="ntk_scaled_base" right="one_line"
"""The formula."""
def ntk_scaled_base(base: float, scale: float, d: int) -> float:
    return base * scale ** (d / (d - 2))

# %% exercise="ntk_scaled_base" right="by_logarithms"
"""exp of a sum of logarithms."""
def ntk_scaled_base(base: float, scale: float, d: int) -> float:
    return math.exp(math.log(base) + math.log(scale) * d / (d - 2))

# %% exercise="ntk_scaled_base" right="from_the_slowest_pair"
"""Solves base'^(-(d-2)/d) = base^(-(d-2)/d) / s for the new base."""
def ntk_scaled_base(base: float, scale: float, d: int) -> float:
    slowest = base ** (-(d - 2) / d)
    return (slowest / scale) ** (-d / (d - 2))

# %% exercise="ntk_scaled_base" right="pairs"
"""With the number of pairs: exponent p / (p - 1), p = d/2, which is the same."""
def ntk_scaled_base(base: float, scale: float, d: int) -> float:
    pairs = d / 2
    return float(base * math.pow(scale, pairs / (pairs - 1)))

# %% exercise="extrapolation_finding" right="read_off"
"""Read off the table."""
extrapolation_finding = {
    "best_at_64": "rope",
    "best_at_512": "alibi",
    "rope_rises": 0.6,
    "alibi_rises": 0.0,
    "beats_none": ["alibi"],
}

# %% exercise="extrapolation_finding" right="computed_with_torch"
"""From the recorded runs, with the same median as the table."""
def _finding():
    runs = json.loads((Path(course.__file__).parent / "runs" / "positions.json").read_text())["nats_per_character"]
    tables = {name: torch.tensor(list(by_seed.values())) for name, by_seed in runs.items()}
    short = {name: table[:, 0].median().item() for name, table in tables.items()}
    long = {name: table[:, -1].median().item() for name, table in tables.items()}
    rises = {name: (table[:, -1] - table[:, 0]).median().item() for name, table in tables.items()}
    return {
        "best_at_64": min(short, key=short.get),
        "best_at_512": min(long, key=long.get),
        "rope_rises": round(rises["rope"], 1),
        "alibi_rises": round(rises["alibi"], 1),
        "beats_none": [name for name in long if long[name] <= long["none"] - 0.1],
    }


extrapolation_finding = _finding()

# %% exercise="extrapolation_finding" right="computed_with_statistics"
"""From the recorded runs with plain Python and statistics.median (the mean of the middle two)."""
_runs = json.loads((Path(course.__file__).parent / "runs" / "positions.json").read_text())["nats_per_character"]
_at_64 = {name: statistics.median(losses[0] for losses in seeds.values()) for name, seeds in _runs.items()}
_at_512 = {name: statistics.median(losses[-1] for losses in seeds.values()) for name, seeds in _runs.items()}


def _rise(name):
    return float(f"{statistics.median(losses[-1] - losses[0] for losses in _runs[name].values()):.1f}")


extrapolation_finding = dict(
    best_at_64=sorted(_at_64, key=_at_64.get)[0],
    best_at_512=sorted(_at_512, key=_at_512.get)[0],
    rope_rises=_rise("rope"),
    alibi_rises=_rise("alibi"),
    beats_none=[name for name, loss in _at_512.items() if _at_512["none"] - loss >= 0.1],
)

# %% exercise="embedding_gather" right="program_for_each_token"
"""Grid (N,), a loop over blocks of columns."""
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
    N, D = len(ids), table.shape[1]
    out = torch.empty((N, D), dtype=table.dtype, device=table.device)
    embedding_gather_kernel[(N,)](
        ids, table, out, D, ids.stride(0), table.stride(0), table.stride(1), out.stride(0), BLOCK=block
    )
    return out

# %% exercise="embedding_gather" right="program_for_each_block"
"""Grid (N, blocks of columns): each program copies one block of one row."""
@triton.jit
def embedding_gather_kernel(
    ids_ptr, table_ptr, out_ptr, width, ids_stride, table_row, table_col, BLOCK: tl.constexpr
):
    n = tl.program_id(0)
    cols = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = cols < width
    token = tl.load(ids_ptr + n * ids_stride)
    values = tl.load(table_ptr + token * table_row + cols * table_col, mask=inside, other=0.0)
    tl.store(out_ptr + n * width + cols, values, mask=inside)


def embedding_gather(ids: Tensor, table: Tensor, block: int = 128) -> Tensor:
    out = table.new_empty(ids.shape[0], table.shape[1])
    grid = (ids.shape[0], triton.cdiv(table.shape[1], block))
    embedding_gather_kernel[grid](
        ids, table, out, table.shape[1], ids.stride(0), table.stride(0), table.stride(1), BLOCK=block
    )
    return out

# %% exercise="embedding_gather" right="tiles_of_four_tokens"
"""A program takes four tokens at once: a two-dimensional tile, with both edges masked."""
@triton.jit
def embedding_gather_kernel(
    ids_ptr, table_ptr, out_ptr, number, width, ids_stride, table_row, table_col, out_row,
    ROWS: tl.constexpr, BLOCK: tl.constexpr,
):
    n = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    there = n < number
    tokens = tl.load(ids_ptr + n * ids_stride, mask=there, other=0)
    for start in range(0, width, BLOCK):
        cols = start + tl.arange(0, BLOCK)
        inside = there[:, None] & (cols < width)[None, :]
        values = tl.load(table_ptr + tokens[:, None] * table_row + cols[None, :] * table_col, mask=inside)
        tl.store(out_ptr + n[:, None] * out_row + cols[None, :], values, mask=inside)


def embedding_gather(ids: Tensor, table: Tensor, block: int = 128) -> Tensor:
    N, D = ids.numel(), table.size(1)
    out = torch.empty(N, D, dtype=table.dtype, device=table.device)
    embedding_gather_kernel[(triton.cdiv(N, 4),)](
        ids, table, out, N, D, ids.stride(0), table.stride(0), table.stride(1), out.stride(0), ROWS=4, BLOCK=block
    )
    return out

# %% exercise="rope_inplace" right="program_for_each_vector"
"""Grid (N * T,), all pairs of a vector at once."""
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
        BLOCK=triton.next_power_of_2(d // 2),
    )
    return x

# %% exercise="rope_inplace" right="grid_of_time_and_batch"
"""A grid (T, N), and a loop over small blocks of 8 pairs."""
@triton.jit
def rope_inplace_kernel(
    x_ptr, cos_ptr, sin_ptr, half, x_batch, x_time, x_col, BLOCK: tl.constexpr
):
    t = tl.program_id(0)
    base = x_ptr + tl.program_id(1) * x_batch + t * x_time
    for start in range(0, half, BLOCK):
        i = start + tl.arange(0, BLOCK)
        inside = i < half
        c = tl.load(cos_ptr + t * half + i, mask=inside, other=1.0)
        s = tl.load(sin_ptr + t * half + i, mask=inside, other=0.0)
        a = tl.load(base + i * x_col, mask=inside, other=0.0).to(tl.float32)
        b = tl.load(base + (i + half) * x_col, mask=inside, other=0.0).to(tl.float32)
        new_a = a * c - b * s
        new_b = a * s + b * c
        tl.store(base + i * x_col, new_a.to(x_ptr.dtype.element_ty), mask=inside)
        tl.store(base + (i + half) * x_col, new_b.to(x_ptr.dtype.element_ty), mask=inside)


def rope_inplace(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    rope_inplace_kernel[(x.shape[1], x.shape[0])](
        x, cos, sin, x.shape[2] // 2, x.stride(0), x.stride(1), x.stride(2), BLOCK=8
    )
    return x

# %% exercise="rope_inplace" right="two_vectors_in_a_program"
"""A program turns two vectors, wherever they stand, as a tile (2, BLOCK) with both edges masked."""
@triton.jit
def rope_inplace_kernel(
    x_ptr, cos_ptr, sin_ptr, vectors, length, half, x_batch, x_time, x_col, table_row,
    ROWS: tl.constexpr, BLOCK: tl.constexpr,
):
    n = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    i = tl.arange(0, BLOCK)
    inside = (n < vectors)[:, None] & (i < half)[None, :]
    t = n % length
    table = t[:, None] * table_row + i[None, :]
    cos = tl.load(cos_ptr + table, mask=inside)
    sin = tl.load(sin_ptr + table, mask=inside)
    near = x_ptr + (n // length * x_batch + t * x_time)[:, None] + (i * x_col)[None, :]
    far = near + half * x_col
    a = tl.load(near, mask=inside).to(tl.float32)
    b = tl.load(far, mask=inside).to(tl.float32)
    tl.store(near, a * cos - b * sin, mask=inside)
    tl.store(far, b * cos + a * sin, mask=inside)


def rope_inplace(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    N, T, d = x.shape
    rope_inplace_kernel[(triton.cdiv(N * T, 2),)](
        x, cos, sin, N * T, T, d // 2, *x.stride(), cos.stride(0), ROWS=2, BLOCK=triton.next_power_of_2(d // 2)
    )
    return x

# %% exercise="repaired_choice" right="max_with_a_key"
"""max by count and pair."""
def repaired_choice(counts: dict[tuple[bytes, bytes], int]) -> tuple[bytes, bytes]:
    return max(counts, key=lambda pair: (counts[pair], pair))

# %% exercise="repaired_choice" right="filter_then_max"
"""The highest count first, then the greatest of the pairs that have it."""
def repaired_choice(counts: dict[tuple[bytes, bytes], int]) -> tuple[bytes, bytes]:
    most = max(counts.values())
    return max(pair for pair, n in counts.items() if n == most)

# %% exercise="repaired_choice" right="loop"
"""A loop that keeps the best so far."""
def repaired_choice(counts: dict[tuple[bytes, bytes], int]) -> tuple[bytes, bytes]:
    best = None
    for pair in counts:
        if best is None or counts[pair] > counts[best] or (counts[pair] == counts[best] and pair > best):
            best = pair
    return best

# %% exercise="repaired_choice" right="two_stable_sorts"
"""Sorts by lists of byte values, then stably by count; the last one wins."""
def repaired_choice(counts: dict[tuple[bytes, bytes], int]) -> tuple[bytes, bytes]:
    order = sorted(counts, key=lambda pair: [list(token) for token in pair])
    order.sort(key=counts.__getitem__)
    return order[-1]

# %% exercise="repaired_rotations" right="float64"
"""All in float64, rounded last."""
def repaired_rotations(length: int, d: int, dtype: torch.dtype, base: float = 10000.0) -> tuple[Tensor, Tensor]:
    t = torch.arange(length, dtype=torch.float64)
    inverse = 1.0 / base ** (torch.arange(0, d, 2, dtype=torch.float64) / d)
    table = torch.outer(t, inverse)
    return table.cos().to(dtype), table.sin().to(dtype)

# %% exercise="repaired_rotations" right="complex"
"""torch.polar in complex128, real and imaginary part rounded."""
def repaired_rotations(length: int, d: int, dtype: torch.dtype, base: float = 10000.0) -> tuple[Tensor, Tensor]:
    theta = torch.exp(-math.log(base) * torch.arange(0, d, 2).double() / d)
    angles = torch.arange(length).double()[:, None] * theta
    turn = torch.polar(torch.ones_like(angles), angles)
    return turn.real.to(dtype), turn.imag.to(dtype)

# %% exercise="repaired_rotations" right="python_numbers"
"""Python's floats (float64) and math.cos, one by one."""
def repaired_rotations(length: int, d: int, dtype: torch.dtype, base: float = 10000.0) -> tuple[Tensor, Tensor]:
    theta = [base ** (-2 * i / d) for i in range(d // 2)]
    cos = [[math.cos(t * w) for w in theta] for t in range(length)]
    sin = [[math.sin(t * w) for w in theta] for t in range(length)]
    return tuple(torch.tensor(rows, dtype=torch.float64).to(dtype) for rows in (cos, sin))

# %% exercise="bpe_merge" right="splice_a_copy"
"""Copies the list and splices the copy, with an index that never looks back."""
def bpe_merge(tokens: list, pair: tuple, merged) -> list:
    out = list(tokens)
    i = 0
    while i + 1 < len(out):
        if out[i] == pair[0] and out[i + 1] == pair[1]:
            out[i : i + 2] = [merged]
        i += 1
    return out

# %% exercise="bpe_merge" right="pending_left_half"
"""One pass that holds back a left half until it has seen what follows; no index."""
def bpe_merge(tokens: list, pair: tuple, merged) -> list:
    left, right = pair
    out, held = [], []
    for token in tokens:
        if held and token == right:
            out.append(merged)
            held = []
            continue
        out += held
        held = []
        if token == left:
            held = [token]
        else:
            out.append(token)
    return out + held

# %% exercise="bpe_merge" right="generator"
"""A generator over an iterator with one token of look-ahead and a sentinel object."""
def bpe_merge(tokens: list, pair: tuple, merged) -> list:
    end = object()

    def walk():
        rest = iter(tokens)
        here = next(rest, end)
        while here is not end:
            following = next(rest, end)
            if following is not end and (here, following) == tuple(pair):
                yield merged
                here = next(rest, end)
            else:
                yield here
                here = following

    return [*walk()]

# %% exercise="bpe_merge" right="starts_first"
"""Two passes: the places where an occurrence starts are chosen first, then the list is built from them."""
def bpe_merge(tokens: list, pair: tuple, merged) -> list:
    starts, free = set(), 0
    for i, (a, b) in enumerate(zip(tokens, tokens[1:])):
        if i >= free and a == pair[0] and b == pair[1]:
            starts.add(i)
            free = i + 2
    return [merged if i in starts else t for i, t in enumerate(tokens) if i - 1 not in starts]

# %% exercise="bpe_train" right="flat_with_walls"
"""All pieces in one flat list with None between them; recounts everything at each step, without counting pieces once."""
def bpe_train(text: str, num_merges: int) -> list[tuple[bytes, bytes]]:
    flat = []
    for piece in pretokenize(text):
        flat += [bytes([b]) for b in piece.encode("utf-8")] + [None]
    learned = []
    while len(learned) < num_merges:
        counts = Counter(zip(flat, flat[1:]))
        counts = {p: c for p, c in counts.items() if p[0] is not None and p[1] is not None}
        if not counts:
            return learned
        top = max(counts.values())
        best = max(p for p, c in counts.items() if c == top)
        learned.append(best)
        flat = bpe_merge(flat, best, best[0] + best[1])
    return learned

# %% exercise="bpe_train" right="incremental_counts_2"
"""Distinct pieces with weights; after a merge only the pieces that hold the pair are counted off and on again."""
def bpe_train(text: str, num_merges: int) -> list[tuple[bytes, bytes]]:
    weight = Counter(pretokenize(text))
    split = {piece: [bytes([b]) for b in piece.encode()] for piece in weight}
    counts, where = Counter(), {}

    def book(piece, sign):
        tokens = split[piece]
        for p in zip(tokens, tokens[1:]):
            counts[p] += sign * weight[piece]
            where.setdefault(p, set()).add(piece)

    for piece in split:
        book(piece, 1)
    learned = []
    for _ in range(num_merges):
        alive = [p for p, c in counts.items() if c > 0]
        if not alive:
            break
        best = max(alive, key=lambda p: (counts[p], p))
        learned.append(best)
        for piece in where.pop(best):
            book(piece, -1)
            split[piece] = bpe_merge(split[piece], best, b"".join(best))
            book(piece, 1)
        counts = +counts
    return learned

# %% exercise="bpe_train" right="ids_and_a_table"
"""Works on whole-number ids with a table of their bytes; the tie is decided by sorting the table's entries."""
def bpe_train(text: str, num_merges: int) -> list[tuple[bytes, bytes]]:
    table = [bytes([b]) for b in range(256)]
    ids = {}
    pieces = Counter(tuple(piece.encode()) for piece in pretokenize(text))
    merges = []
    for _ in range(num_merges):
        counts = {}
        for piece, times in pieces.items():
            for i in range(1, len(piece)):
                key = piece[i - 1 : i + 1]
                counts[key] = counts.get(key, 0) + times
        if not counts:
            break
        most = max(counts.values())
        best = sorted((table[p[0]], table[p[1]], p) for p in counts if counts[p] == most)[-1]
        left, right, pair = best
        merges.append((left, right))
        if left + right not in ids:
            ids[left + right] = len(table)
            table.append(left + right)
        new = Counter()
        for piece, times in pieces.items():
            new[tuple(bpe_merge(list(piece), pair, ids[left + right]))] += times
        pieces = new
    return merges

# %% exercise="bpe_encode" right="rank_loop"
"""Looks for the smallest rank in each piece until there is none; re.split finds the special tokens."""
def bpe_encode(text: str, merges: list[tuple[bytes, bytes]], specials: tuple[str, ...] = ()) -> list[int]:
    rank = {}
    for i, pair in enumerate(merges):
        rank.setdefault(tuple(pair), i)
    table = vocabulary(merges, specials)
    first_special = len(table) - len(specials)
    ordinary = {token: i for i, token in table.items() if i < first_special}
    special = {word: first_special + i for i, word in enumerate(specials)}
    parts = [text]
    if specials:
        parts = re.split("(" + "|".join(re.escape(w) for w in sorted(specials, key=len, reverse=True)) + ")", text)
    ids = []
    for part in parts:
        if part in special:
            ids.append(special[part])
            continue
        for piece in pretokenize(part):
            tokens = [bytes([b]) for b in piece.encode()]
            while True:
                best = min(zip(tokens, tokens[1:]), key=lambda p: rank.get(p, len(merges)), default=None)
                if best not in rank:
                    break
                tokens = bpe_merge(tokens, best, best[0] + best[1])
            ids += [ordinary[t] for t in tokens]
    return ids

# %% exercise="bpe_encode" right="restart_over_the_list"
"""Walks through the merges in order and starts again from the first after each one that changed something; scans for
special tokens by hand."""
def bpe_encode(text: str, merges: list[tuple[bytes, bytes]], specials: tuple[str, ...] = ()) -> list[int]:
    tokens_of = list(vocabulary(merges).values())
    number = {token: i for i, token in enumerate(tokens_of)}

    def piece_ids(piece):
        tokens = [bytes([b]) for b in piece.encode("utf-8")]
        i = 0
        while i < len(merges):
            shorter = bpe_merge(tokens, merges[i], merges[i][0] + merges[i][1])
            i = i + 1 if len(shorter) == len(tokens) else 0
            tokens = shorter
        return [number[t] for t in tokens]

    cache, out, start, here = {}, [], 0, 0

    def flush(chunk):
        for piece in pretokenize(chunk):
            if piece not in cache:
                cache[piece] = piece_ids(piece)
            out.extend(cache[piece])

    while here < len(text):
        fits = [w for w in specials if w and text.startswith(w, here)]
        if fits:
            flush(text[start:here])
            longest = max(fits, key=len)
            out.append(len(tokens_of) + list(specials).index(longest))
            start = here = here + len(longest)
        else:
            here += 1
    flush(text[start:])
    return out

# %% exercise="bpe_encode" right="ids_and_recursion"
"""Merges whole-number ids; recursion over the text before, in and behind the first special token."""
def bpe_encode(text: str, merges: list[tuple[bytes, bytes]], specials: tuple[str, ...] = ()) -> list[int]:
    table = vocabulary(merges)
    inverse = dict(zip(table.values(), table))
    rules = {}
    for step, (left, right) in enumerate(merges):
        if left in inverse and right in inverse:
            rules.setdefault((inverse[left], inverse[right]), (step, inverse[left + right]))

    def merge_all(ids):
        found = [(rules[p], p) for p in zip(ids, ids[1:]) if p in rules]
        if not found:
            return ids
        (_, new), pair = min(found)
        return merge_all(bpe_merge(ids, pair, new))

    hits = [(text.find(w), -len(w), i) for i, w in enumerate(specials) if w in text]
    if hits:
        at, length, i = min(hits)
        head = bpe_encode(text[:at], merges)
        return head + [len(table) + i] + bpe_encode(text[at - length :], merges, specials)
    return [i for piece in pretokenize(text) for i in merge_all(list(piece.encode()))]

# %% exercise="bpe_decode" right="bytearray_2"
"""Collects everything in a bytearray and lets str() decode it."""
def bpe_decode(ids: list[int], merges: list[tuple[bytes, bytes]], specials: tuple[str, ...] = ()) -> str:
    table, buffer = vocabulary(merges, specials), bytearray()
    for i in ids:
        buffer.extend(table[i])
    return str(buffer, "utf-8", "replace")

# %% exercise="bpe_decode" right="incremental_decoder_2"
"""An incremental decoder that is told when the last token has come."""
import codecs


def bpe_decode(ids: list[int], merges: list[tuple[bytes, bytes]], specials: tuple[str, ...] = ()) -> str:
    table = vocabulary(merges, specials)
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    text = "".join(decoder.decode(table[i]) for i in ids)
    return text + decoder.decode(b"", final=True)

# %% exercise="bpe_decode" right="runs_between_specials"
"""Ordinary tokens are decoded in runs, special tokens are taken as the strings that they are."""
def bpe_decode(ids: list[int], merges: list[tuple[bytes, bytes]], specials: tuple[str, ...] = ()) -> str:
    ordinary = vocabulary(merges)
    text, run = "", b""
    for i in ids:
        if i in ordinary:
            run += ordinary[i]
        else:
            text += run.decode(errors="replace") + specials[i - len(ordinary)]
            run = b""
    return text + run.decode(errors="replace")

# %% exercise="language_finding" right="from_the_medians"
"""The medians of the table typed in, then min, max and round."""
medians = {"en": 1.00, "fr": 1.06, "de": 1.27, "es": 1.04, "el": 2.80, "ru": 2.91, "hi": 3.61}
language_finding = dict(
    times=round(max(medians.values()), 1), dearest=max(medians, key=medians.get), cheapest=min(medians, key=medians.get)
)

# %% exercise="language_finding" right="numpy_float"
"""Sorted codes, and the number a numpy float64."""
import numpy

_order = sorted([(1.06, "fr"), (3.61, "hi"), (1.0, "en"), (1.04, "es"), (2.91, "ru"), (1.27, "de"), (2.8, "el")])
language_finding = {"cheapest": _order[0][1], "dearest": _order[-1][1], "times": numpy.round(numpy.float64(3.61), 1)}

# %% exercise="pad_batch" right="compare_with_lengths"
"""A mask from comparing columns with lengths, and all tokens written through it at once."""
def pad_batch(rows: list[list[int]], pad_id: int, side: str = "right") -> tuple[Tensor, Tensor, Tensor]:
    if side not in ("right", "left"):
        raise ValueError(f"side is right or left, not {side!r}")
    lengths = torch.tensor([len(row) for row in rows])[:, None]
    longest = int(lengths.max())
    columns = torch.arange(longest).repeat(len(rows), 1)
    if side == "left":
        columns = columns - (longest - lengths)
    mask = (columns >= 0) & (columns < lengths)
    ids = torch.full((len(rows), longest), pad_id, dtype=torch.int64)
    ids[mask] = torch.tensor([token for row in rows for token in row], dtype=torch.int64)
    return ids, mask, torch.where(mask, columns, 0)

# %% exercise="pad_batch" right="plain_lists"
"""Three lists of lists, turned into tensors at the end."""
def pad_batch(rows: list[list[int]], pad_id: int, side: str = "right") -> tuple[Tensor, Tensor, Tensor]:
    longest = max(map(len, rows))
    ids, mask, positions = [], [], []
    for row in rows:
        n, gap = len(row), longest - len(row)
        real = list(range(n))
        match side:
            case "right":
                ids.append([*row, *[pad_id] * gap])
                mask.append([True] * n + [False] * gap)
                positions.append(real + [0] * gap)
            case "left":
                ids.append([*[pad_id] * gap, *row])
                mask.append([False] * gap + [True] * n)
                positions.append([0] * gap + real)
            case _:
                raise ValueError("side")
    return torch.tensor(ids, dtype=torch.long), torch.tensor(mask), torch.tensor(positions, dtype=torch.long)

# %% exercise="pad_batch" right="flip_twice"
"""pad_sequence pads on the right; for the left side reversed rows are padded and flipped back."""
def pad_batch(rows: list[list[int]], pad_id: int, side: str = "right") -> tuple[Tensor, Tensor, Tensor]:
    if side != "right" and side != "left":
        raise ValueError(side)
    turn = -1 if side == "left" else 1

    def pad(lists, value):
        tensors = [torch.tensor(r[::turn]) for r in lists]
        padded = nn.utils.rnn.pad_sequence(tensors, batch_first=True, padding_value=value)
        return padded.flip(1) if turn == -1 else padded

    ids = pad([list(r) for r in rows], pad_id).long()
    mask = pad([[1] * len(r) for r in rows], 0) == 1
    return ids, mask, pad([list(range(len(r))) for r in rows], 0).long()

# %% exercise="embed" right="index_select_or_scatter"
"""Lookup by index_select; one-hot by scatter_ into zeros of the table's dtype."""
def embed(ids: Tensor, table: Tensor, one_hot: bool = False) -> Tensor:
    if not one_hot:
        return table.index_select(0, ids.reshape(-1)).reshape(*ids.shape, table.shape[1])
    hot = torch.zeros(*ids.shape, table.shape[0], dtype=table.dtype, device=table.device)
    hot.scatter_(-1, ids.unsqueeze(-1), 1)
    return hot @ table

# %% exercise="embed" right="functional_and_einsum"
"""The library's embedding, and an einsum with rows of an identity matrix."""
def embed(ids: Tensor, table: Tensor, one_hot: bool = False) -> Tensor:
    if one_hot:
        return torch.einsum("...v,vd->...d", torch.eye(len(table), dtype=table.dtype)[ids], table)
    return nn.functional.embedding(ids, table)

# %% exercise="embed" right="gather_or_flat_product"
"""torch.gather with ids repeated over the columns; the one-hot way flattens the ids and multiplies once."""
def embed(ids: Tensor, table: Tensor, one_hot: bool = False) -> Tensor:
    vocab, width = table.shape
    flat = ids.flatten()
    if one_hot:
        hot = nn.functional.one_hot(flat, vocab).to(table.dtype)
        return torch.mm(hot, table).view(ids.shape + (width,))
    return torch.gather(table, 0, flat[:, None].repeat(1, width)).view(ids.shape + (width,))

# %% exercise="TiedEmbedding" right="functional_layers"
"""One parameter, used by the library's embedding and linear functions."""
class TiedEmbedding(nn.Module):
    def __init__(self, vocab_size: int, d_model: int):
        super().__init__()
        self.weight = nn.Parameter(nn.init.normal_(torch.empty(vocab_size, d_model), std=d_model**-0.5))

    def embed(self, ids: Tensor) -> Tensor:
        return nn.functional.embedding(ids, self.weight) * self.weight.shape[1] ** 0.5

    def logits(self, states: Tensor) -> Tensor:
        return nn.functional.linear(states, self.weight)

# %% exercise="TiedEmbedding" right="subclass_of_embedding"
"""Inherits the weight from nn.Embedding, whose only parameter has the right name."""
class TiedEmbedding(nn.Embedding):
    def __init__(self, vocab_size: int, d_model: int):
        super().__init__(vocab_size, d_model)

    def embed(self, ids: Tensor) -> Tensor:
        return self(ids).mul(math.sqrt(self.embedding_dim))

    def logits(self, states: Tensor) -> Tensor:
        return torch.einsum("...d,vd->...v", states, self.weight)

# %% exercise="TiedEmbedding" right="uses_embed"
"""The factor is a plain number kept beside a registered parameter; the lookup is the notebook's own embed."""
class TiedEmbedding(nn.Module):
    def __init__(self, vocab_size: int, d_model: int):
        super().__init__()
        self.register_parameter("weight", nn.Parameter(torch.randn(vocab_size, d_model) * 0.02))
        self.factor = math.sqrt(d_model)

    def embed(self, ids: Tensor) -> Tensor:
        return embed(ids, self.weight * self.factor)

    def logits(self, states: Tensor) -> Tensor:
        return torch.matmul(self.weight, states.unsqueeze(-1)).squeeze(-1)

# %% exercise="sinusoidal_encoding" right="complex_exponential"
"""Imaginary and real part of exp(i * angle), in complex128."""
def sinusoidal_encoding(length: int, d_model: int) -> Tensor:
    frequency = 10000.0 ** (-torch.arange(0, d_model, 2, dtype=torch.float64) / d_model)
    wave = torch.exp(1j * torch.outer(torch.arange(length, dtype=torch.float64), frequency))
    return torch.stack((wave.imag, wave.real), 2).reshape(length, d_model).float()

# %% exercise="sinusoidal_encoding" right="python_loops_2"
"""Number by number with the math module."""
def sinusoidal_encoding(length: int, d_model: int) -> Tensor:
    out = torch.zeros(length, d_model)
    clocks = [math.exp(-math.log(10000) * (c // 2 * 2) / d_model) for c in range(d_model)]
    wave = [math.sin, math.cos]
    for c, clock in enumerate(clocks):
        out[:, c] = torch.tensor([wave[c % 2](t * clock) for t in range(length)])
    return out

# %% exercise="sinusoidal_encoding" right="phase_shift"
"""A cosine is a sine a quarter turn later: one sine over all columns."""
def sinusoidal_encoding(length: int, d_model: int) -> Tensor:
    column = torch.arange(d_model)
    pair = (column - column % 2).double()
    angle = torch.arange(length).double().unsqueeze(1) / torch.pow(torch.tensor(1e4).double(), pair / d_model)
    return torch.sin(angle + (column % 2) * (math.pi / 2)).to(torch.float32)

# %% exercise="rope_frequencies" right="exp_log"
"""exp of a multiple of the logarithm, in float64."""
def rope_frequencies(d: int, base: float = 10000.0) -> Tensor:
    i = torch.arange(d // 2, dtype=torch.float64)
    return torch.exp(i * (-2 / d * math.log(base))).float()

# %% exercise="rope_frequencies" right="running_product"
"""Each one is the one before times base^(-2/d)."""
def rope_frequencies(d: int, base: float = 10000.0) -> Tensor:
    steps = torch.full((d // 2,), base ** (-2 / d), dtype=torch.float64)
    steps[0] = 1
    return steps.cumprod(0).float()

# %% exercise="rope_frequencies" right="list_of_powers"
"""Python's own powers, in a list."""
def rope_frequencies(d: int, base: float = 10000.0) -> Tensor:
    return torch.tensor([1.0 / base ** (j / d) for j in range(0, d, 2)])

# %% exercise="apply_rope" right="complex_numbers_2"
"""Pairs as complex numbers, times exp(i * angle)."""
def apply_rope(x: Tensor, positions: Tensor, pairing: str = "interleaved", base: float = 10000.0) -> Tensor:
    if pairing == "interleaved":
        real, imag = x[..., ::2], x[..., 1::2]
    elif pairing == "half":
        real, imag = x.chunk(2, -1)
    else:
        raise ValueError(f"unknown pairing {pairing}")
    d = x.shape[-1]
    frequency = torch.pow(torch.tensor(base, dtype=torch.float64), -torch.arange(0, d, 2, dtype=torch.float64) / d)
    angle = positions.double()[:, None] * frequency
    turned = torch.complex(real.double(), imag.double()) * torch.polar(torch.ones_like(angle), angle)
    parts = (turned.real, turned.imag)
    out = torch.stack(parts, -1).flatten(-2) if pairing == "interleaved" else torch.cat(parts, -1)
    return out.to(x.dtype)

# %% exercise="apply_rope" right="into_an_empty_tensor"
"""Slices for the columns of the pairs, written into a new tensor."""
def apply_rope(x: Tensor, positions: Tensor, pairing: str = "interleaved", base: float = 10000.0) -> Tensor:
    d = x.shape[-1]
    try:
        a, b = {
            "interleaved": (slice(0, None, 2), slice(1, None, 2)), "half": (slice(0, d // 2), slice(d // 2, None))
        }[pairing]
    except KeyError:
        raise ValueError(pairing) from None
    work = torch.promote_types(x.dtype, torch.float32)
    angle = positions.to(torch.float64).unsqueeze(-1) * rope_frequencies(d, base).double()
    cos, sin = angle.cos().to(work), angle.sin().to(work)
    first, second = x[..., a].to(work), x[..., b].to(work)
    out = torch.empty(x.shape, dtype=work, device=x.device)
    out[..., a] = first * cos - second * sin
    out[..., b] = first * sin + second * cos
    return out.to(x.dtype)

# %% exercise="apply_rope" right="rotation_matrices_2"
"""One (d, d) rotation matrix for each position, and an einsum."""
def apply_rope(x: Tensor, positions: Tensor, pairing: str = "interleaved", base: float = 10000.0) -> Tensor:
    if pairing not in {"interleaved", "half"}:
        raise ValueError("pairing must be 'interleaved' or 'half'")
    d = x.size(-1)
    turns = torch.zeros(len(positions), d, d, dtype=torch.float64)
    for i in range(d // 2):
        a, b = (2 * i, 2 * i + 1) if pairing == "interleaved" else (i, i + d // 2)
        angle = positions.double() / base ** (2 * i / d)
        turns[:, a, a] = turns[:, b, b] = angle.cos()
        turns[:, a, b] = -angle.sin()
        turns[:, b, a] = angle.sin()
    return torch.einsum("tij,...tj->...ti", turns, x.double()).to(x.dtype)

# %% exercise="apply_rope" right="one_through_the_other"
"""rotate-half with doubled tables; interleaved reorders the columns, turns, and orders them back."""
def apply_rope(x: Tensor, positions: Tensor, pairing: str = "interleaved", base: float = 10000.0) -> Tensor:
    d = x.shape[-1]
    if pairing == "interleaved":
        order = torch.cat([torch.arange(0, d, 2), torch.arange(1, d, 2)])
        return apply_rope(x[..., order], positions, "half", base)[..., order.argsort()]
    if pairing != "half":
        raise ValueError("no such pairing: " + str(pairing))
    angle = torch.outer(positions.float(), rope_frequencies(d, base)).tile(1, 2)
    rotated = x.roll(d // 2, -1) * torch.cat([-torch.ones(d // 2), torch.ones(d // 2)])
    return (x * angle.cos() + rotated * angle.sin()).type_as(x)

# %% exercise="rotary_qkv" right="einsum_by_head"
"""Weights seen as (D, H, d) and contracted by einsum straight into (B, H, T, d)."""
def rotary_qkv(
    x: Tensor, w_q: Tensor, w_k: Tensor, w_v: Tensor, num_heads: int, positions: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    q, k, v = (torch.einsum("btc,chd->bhtd", x, w.reshape(w.shape[0], num_heads, -1)) for w in (w_q, w_k, w_v))
    return apply_rope(q, positions), apply_rope(k, positions), v

# %% exercise="rotary_qkv" right="head_by_head_2"
"""A loop over heads, each with its own columns, stacked at the end."""
def rotary_qkv(
    x: Tensor, w_q: Tensor, w_k: Tensor, w_v: Tensor, num_heads: int, positions: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    d = x.shape[-1] // num_heads
    heads = [[], [], []]
    for h in range(num_heads):
        own = slice(h * d, (h + 1) * d)
        heads[0].append(apply_rope(x @ w_q[:, own], positions, "interleaved", 10000.0))
        heads[1].append(apply_rope(x @ w_k[:, own], positions, "interleaved", 10000.0))
        heads[2].append(x @ w_v[:, own])
    return tuple(torch.stack(h, 1) for h in heads)

# %% exercise="rotary_qkv" right="one_big_product"
"""The three matrices side by side, one product, and queries and keys turned together."""
def rotary_qkv(
    x: Tensor, w_q: Tensor, w_k: Tensor, w_v: Tensor, num_heads: int, positions: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    qkv = (x @ torch.cat([w_q, w_k, w_v], dim=1)).unflatten(-1, (3, num_heads, -1)).permute(2, 0, 3, 1, 4)
    turned = apply_rope(qkv[:2], positions)
    return turned[0], turned[1], qkv[2].contiguous()

# %% exercise="alibi_slopes" right="recursion"
"""As in the authors' code: calls itself for both powers of two."""
def alibi_slopes(num_heads: int) -> Tensor:
    if num_heads & (num_heads - 1) == 0:
        return torch.tensor([2.0 ** (-8 * h / num_heads) for h in range(1, num_heads + 1)])
    power = 1 << (num_heads.bit_length() - 1)
    return torch.cat([alibi_slopes(power), alibi_slopes(2 * power)[::2][: num_heads - power]])

# %% exercise="alibi_slopes" right="exponents"
"""One list of exponents: multiples of 8/P, then odd multiples of 4/P; exp2 at the end."""
def alibi_slopes(num_heads: int) -> Tensor:
    power = 1
    while power * 2 <= num_heads:
        power *= 2
    whole = torch.arange(1, power + 1, dtype=torch.float64) * 8 / power
    odd = (2 * torch.arange(num_heads - power, dtype=torch.float64) + 1) * 4 / power
    return torch.exp2(-torch.cat([whole, odd])).float()

# %% exercise="alibi_slopes" right="repeated_factor"
"""Geometric series by repeated multiplication with the first slope."""
def alibi_slopes(num_heads: int) -> Tensor:
    def series(n):
        ratio, now, out = 2.0 ** (-8.0 / n), 1.0, []
        for _ in range(n):
            now *= ratio
            out.append(now)
        return out

    power = 2 ** int(math.log2(num_heads))
    slopes = series(power)
    for i, slope in enumerate(series(2 * power)):
        if i % 2 == 0 and len(slopes) < num_heads:
            slopes.append(slope)
    return torch.tensor(slopes, dtype=torch.float32)

# %% exercise="alibi_bias" right="last_rows_of_the_square"
"""The whole (S, S) square, of which the last T rows are kept."""
def alibi_bias(num_heads: int, n_queries: int, n_keys: int) -> Tensor:
    at = torch.arange(n_keys)
    square = (at[None] - at[:, None]).float()
    square = torch.where(square > 0, float("-inf"), square)
    return (alibi_slopes(num_heads).view(-1, 1, 1) * square)[:, n_keys - n_queries :].contiguous()

# %% exercise="alibi_bias" right="three_loops"
"""Number by number, starting from -inf everywhere."""
def alibi_bias(num_heads: int, n_queries: int, n_keys: int) -> Tensor:
    out = torch.full((num_heads, n_queries, n_keys), -math.inf)
    for i in range(n_queries):
        here = n_keys - n_queries + i
        back = torch.arange(here, -1, -1, dtype=torch.float32)
        for h, slope in enumerate(alibi_slopes(num_heads)):
            out[h, i, : here + 1] = -slope * back
    return out

# %% exercise="alibi_bias" right="einsum_plus_triu"
"""Penalty and mask as two tensors that are added; the mask is triu of -inf."""
def alibi_bias(num_heads: int, n_queries: int, n_keys: int) -> Tensor:
    gap = n_keys - n_queries
    later = torch.full((n_queries, n_keys), float("-inf")).triu(gap + 1)
    distance = torch.arange(gap, n_keys)[:, None].sub(torch.arange(n_keys)).clamp(min=0).float()
    return later - torch.einsum("h,ts->hts", alibi_slopes(num_heads), distance)

# %% exercise="position_interpolation" right="divide_by_at_least_one"
"""Divides by L'/L, but by 1 at least, in float64."""
def position_interpolation(positions: Tensor, train_length: int, length: int) -> Tensor:
    return (positions.double() / max(1.0, length / train_length)).float()

# %% exercise="position_interpolation" right="two_returns"
"""Whole numbers are multiplied first and divided once."""
def position_interpolation(positions: Tensor, train_length: int, length: int) -> Tensor:
    if length <= train_length:
        return positions.to(torch.float32)
    return torch.true_divide(positions * train_length, length)

# %% exercise="position_interpolation" right="number_by_number"
"""A list of Python floats."""
def position_interpolation(positions: Tensor, train_length: int, length: int) -> Tensor:
    squeezed = [t * min(length, train_length) / length for t in positions.tolist()]
    return torch.tensor(squeezed, dtype=torch.float32)

# %% exercise="ntk_scaled_base" right="solve_for_the_slowest"
"""Solves base'^((d-2)/d) = s * base^((d-2)/d), the condition on the slowest pair."""
def ntk_scaled_base(base: float, scale: float, d: int) -> float:
    slowest = (d - 2) / d
    return (scale * base**slowest) ** (1 / slowest)

# %% exercise="ntk_scaled_base" right="split_power"
"""d / (d - 2) is 1 + 2 / (d - 2)."""
def ntk_scaled_base(base: float, scale: float, d: int) -> float:
    return float(base * scale * math.pow(scale, 2.0 / (d - 2)))

# %% exercise="extrapolation_finding" right="from_the_file"
"""Computed from the recorded runs with the statistics module."""
_runs = json.loads((Path(course.__file__).parent / "runs" / "positions.json").read_text())["nats_per_character"]
_short = {arm: statistics.median(row[0] for row in seeds.values()) for arm, seeds in _runs.items()}
_long = {arm: statistics.median(row[-1] for row in seeds.values()) for arm, seeds in _runs.items()}
_rise = {arm: statistics.median(row[-1] - row[0] for row in seeds.values()) for arm, seeds in _runs.items()}
extrapolation_finding = {
    "best_at_64": min(_short, key=_short.get),
    "best_at_512": min(_long, key=_long.get),
    "rope_rises": round(_rise["rope"], 1),
    "alibi_rises": round(_rise["alibi"], 1),
    "beats_none": [arm for arm in _long if _long[arm] <= _long["none"] - 0.1],
}

# %% exercise="extrapolation_finding" right="from_the_medians"
"""Medians typed in; the rise of ALiBi comes out as -0.0, the differences are those of the medians."""
_table = {
    "none": (2.48, 2.53), "integer": (3.15, 3.21), "normalised": (2.44, 2.52), "sinusoidal": (2.47, 2.61),
    "rope": (2.13, 2.72), "alibi": (2.30, 2.30), "rope, interpolated": (2.13, 2.71), "rope, ntk": (2.13, 2.58),
}
extrapolation_finding = dict(
    beats_none=sorted(arm for arm, (_, far) in _table.items() if _table["none"][1] - far >= 0.1),
    alibi_rises=-round(_table["alibi"][0] - _table["alibi"][1], 1),
    rope_rises=round(_table["rope"][1] - _table["rope"][0], 1),
    best_at_512=sorted(_table, key=lambda arm: _table[arm][1])[0],
    best_at_64=sorted(_table, key=lambda arm: _table[arm][0])[0],
)

# %% exercise="embedding_gather" right="two_dimensional_grid"
"""A program for each token and each block of columns; no loop."""
@triton.jit
def embedding_gather_kernel(
    ids_ptr, table_ptr, out_ptr, width, ids_stride, table_row, table_col, out_row, BLOCK: tl.constexpr
):
    n = tl.program_id(0)
    cols = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    row = tl.load(ids_ptr + n * ids_stride)
    values = tl.load(table_ptr + row * table_row + cols * table_col, mask=cols < width)
    tl.store(out_ptr + n * out_row + cols, values, mask=cols < width)


def embedding_gather(ids: Tensor, table: Tensor, block: int = 128) -> Tensor:
    out = torch.empty((ids.shape[0], table.shape[1]), dtype=table.dtype, device=table.device)
    grid = (ids.shape[0], triton.cdiv(table.shape[1], block))
    embedding_gather_kernel[grid](
        ids, table, out, table.shape[1], ids.stride(0), table.stride(0), table.stride(1), out.stride(0), BLOCK=block
    )
    return out

# %% exercise="embedding_gather" right="loop_over_columns"
"""A program for each token that walks over the columns."""
@triton.jit
def embedding_gather_kernel(
    ids_ptr, table_ptr, out_ptr, width, ids_stride, table_row, table_col, out_row, BLOCK: tl.constexpr
):
    n = tl.program_id(0).to(tl.int64)
    source = table_ptr + tl.load(ids_ptr + n * ids_stride) * table_row
    target = out_ptr + n * out_row
    for start in range(0, width, BLOCK):
        cols = start + tl.arange(0, BLOCK)
        inside = cols < width
        tl.store(target + cols, tl.load(source + cols * table_col, mask=inside, other=0.0), mask=inside)


def embedding_gather(ids: Tensor, table: Tensor, block: int = 128) -> Tensor:
    out = table.new_empty(len(ids), table.size(1))
    embedding_gather_kernel[(len(ids),)](
        ids, table, out, table.size(1), *ids.stride(), *table.stride(), out.stride(0), block
    )
    return out

# %% exercise="embedding_gather" right="four_rows_a_program"
"""A tile of four tokens in each program, columns in a loop; parameters of its own."""
@triton.jit
def embedding_gather_kernel(ids_ptr, table_ptr, out_ptr, n, width, i_s, t_r, t_c, ROWS: tl.constexpr, BLOCK: tl.constexpr):
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    alive = rows < n
    ids = tl.load(ids_ptr + rows * i_s, mask=alive, other=0)
    for start in range(0, width, BLOCK):
        cols = start + tl.arange(0, BLOCK)
        both = alive[:, None] & (cols < width)[None, :]
        tile = tl.load(table_ptr + ids[:, None] * t_r + cols[None, :] * t_c, mask=both)
        tl.store(out_ptr + rows[:, None] * width + cols[None, :], tile, mask=both)


def embedding_gather(ids: Tensor, table: Tensor, block: int = 128) -> Tensor:
    n, width = ids.numel(), table.shape[1]
    out = torch.empty(n, width, dtype=table.dtype, device=table.device)
    embedding_gather_kernel[(triton.cdiv(n, 4),)](
        ids, table, out, n, width, ids.stride(0), table.stride(0), table.stride(1), ROWS=4, BLOCK=block
    )
    return out

# %% exercise="rope_inplace" right="one_vector"
"""A program for each vector; both halves loaded before either is stored."""
@triton.jit
def rope_inplace_kernel(
    x_ptr, cos_ptr, sin_ptr, length, half, x_batch, x_time, x_col, table_row, BLOCK: tl.constexpr
):
    pid = tl.program_id(0)
    t = pid % length
    i = tl.arange(0, BLOCK)
    inside = i < half
    a_ptr = x_ptr + (pid // length) * x_batch + t * x_time + i * x_col
    b_ptr = a_ptr + half * x_col
    a = tl.load(a_ptr, mask=inside).to(tl.float32)
    b = tl.load(b_ptr, mask=inside).to(tl.float32)
    c = tl.load(cos_ptr + t * table_row + i, mask=inside)
    s = tl.load(sin_ptr + t * table_row + i, mask=inside)
    tl.store(a_ptr, a * c - b * s, mask=inside)
    tl.store(b_ptr, a * s + b * c, mask=inside)


def rope_inplace(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    n, length, d = x.shape
    rope_inplace_kernel[(n * length,)](
        x, cos, sin, length, d // 2, *x.stride(), cos.stride(0), BLOCK=triton.next_power_of_2(d // 2)
    )
    return x

# %% exercise="rope_inplace" right="two_dimensional_grid"
"""A grid over positions and batches; the pairs in blocks of 16 in a loop."""
@triton.jit
def rope_inplace_kernel(
    x_ptr, cos_ptr, sin_ptr, length, half, x_batch, x_time, x_col, table_row, BLOCK: tl.constexpr
):
    t = tl.program_id(0).to(tl.int64)
    base = x_ptr + tl.program_id(1).to(tl.int64) * x_batch + t * x_time
    for start in range(0, half, BLOCK):
        i = start + tl.arange(0, BLOCK)
        ok = i < half
        b = tl.load(base + (i + half) * x_col, mask=ok, other=0.0)
        a = tl.load(base + i * x_col, mask=ok, other=0.0)
        c = tl.load(cos_ptr + t * table_row + i, mask=ok, other=1.0)
        s = tl.load(sin_ptr + t * table_row + i, mask=ok, other=0.0)
        first = a.to(tl.float32) * c - b.to(tl.float32) * s
        second = b.to(tl.float32) * c + a.to(tl.float32) * s
        tl.store(base + (i + half) * x_col, second.to(x_ptr.dtype.element_ty), mask=ok)
        tl.store(base + i * x_col, first.to(x_ptr.dtype.element_ty), mask=ok)


def rope_inplace(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    rope_inplace_kernel[(x.size(1), x.size(0))](
        x, cos, sin, x.size(1), x.size(2) // 2, x.stride(0), x.stride(1), x.stride(2), cos.stride(0), BLOCK=16
    )
    return x

# %% exercise="rope_inplace" right="tile_of_vectors"
"""Two vectors in each program, as a tile; the number of vectors takes the place of the length's use in the grid."""
@triton.jit
def rope_inplace_kernel(
    x_ptr, cos_ptr, sin_ptr, total, length, half, x_batch, x_time, x_col, ROWS: tl.constexpr, BLOCK: tl.constexpr
):
    row = (tl.program_id(0) * ROWS + tl.arange(0, ROWS))[:, None]
    i = tl.arange(0, BLOCK)[None, :]
    mask = (row < total) & (i < half)
    t = row % length
    place = row // length * x_batch + t * x_time + i * x_col
    c = tl.load(cos_ptr + t * half + i, mask=mask, other=0.0)
    s = tl.load(sin_ptr + t * half + i, mask=mask, other=0.0)
    a = tl.load(x_ptr + place, mask=mask, other=0.0).to(tl.float32)
    b = tl.load(x_ptr + place + half * x_col, mask=mask, other=0.0).to(tl.float32)
    tl.store(x_ptr + place, a * c - b * s, mask=mask)
    tl.store(x_ptr + place + half * x_col, b * c + a * s, mask=mask)


def rope_inplace(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    total, half = x.shape[0] * x.shape[1], x.shape[2] // 2
    rope_inplace_kernel[(triton.cdiv(total, 2),)](
        x, cos, sin, total, x.shape[1], half, x.stride(0), x.stride(1), x.stride(2),
        ROWS=2, BLOCK=triton.next_power_of_2(half),
    )
    return x

# %% exercise="repaired_choice" right="champion_loop"
"""A loop that keeps the best so far."""
def repaired_choice(counts: dict[tuple[bytes, bytes], int]) -> tuple[bytes, bytes]:
    best = None
    for pair, times in counts.items():
        if best is None or times > counts[best] or (times == counts[best] and pair > best):
            best = pair
    return best

# %% exercise="repaired_choice" right="numbers_sorted"
"""Bytes as lists of whole numbers, sorted downwards."""
def repaired_choice(counts: dict[tuple[bytes, bytes], int]) -> tuple[bytes, bytes]:
    return sorted(counts, key=lambda p: (counts[p], list(p[0]), list(p[1])), reverse=True)[0]

# %% exercise="repaired_choice" right="latin_1"
"""Latin-1 gives each byte the character with its number, so strings sort as bytes do."""
def repaired_choice(counts: dict[tuple[bytes, bytes], int]) -> tuple[bytes, bytes]:
    most = max(counts.values())
    tied = [tuple(side.decode("latin-1") for side in pair) for pair, times in counts.items() if times == most]
    left, right = max(tied)
    return left.encode("latin-1"), right.encode("latin-1")

# %% exercise="repaired_rotations" right="float64_polar"
"""torch.polar in float64, its parts converted last."""
def repaired_rotations(length: int, d: int, dtype: torch.dtype, base: float = 10000.0) -> tuple[Tensor, Tensor]:
    frequency = base ** (-torch.arange(0, d, 2, dtype=torch.float64) / d)
    angle = torch.outer(torch.arange(length, dtype=torch.float64), frequency)
    wave = torch.polar(torch.ones_like(angle), angle)
    return wave.real.to(dtype), wave.imag.to(dtype)

# %% exercise="repaired_rotations" right="math_module"
"""Python floats are float64: lists, then tensors."""
def repaired_rotations(length: int, d: int, dtype: torch.dtype, base: float = 10000.0) -> tuple[Tensor, Tensor]:
    angles = [[t * base ** (-2 * i / d) for i in range(d // 2)] for t in range(length)]
    cos = torch.tensor([[math.cos(a) for a in row] for row in angles], dtype=torch.float64)
    sin = torch.tensor([[math.sin(a) for a in row] for row in angles], dtype=torch.float64)
    return cos.reshape(length, d // 2).to(dtype), sin.reshape(length, d // 2).to(dtype)

# %% exercise="repaired_rotations" right="extended_precision"
"""numpy's long double for angles and waves, rounded to float64 and then converted."""
import numpy


def repaired_rotations(length: int, d: int, dtype: torch.dtype, base: float = 10000.0) -> tuple[Tensor, Tensor]:
    exponent = numpy.arange(0, d, 2, dtype=numpy.longdouble) / numpy.longdouble(d)
    angle = numpy.arange(length, dtype=numpy.longdouble)[:, None] / numpy.longdouble(base) ** exponent
    return tuple(torch.from_numpy(wave(angle).astype(numpy.float64)).to(dtype) for wave in (numpy.cos, numpy.sin))

# %% exercise="repaired_rotations" right="really_rounded_once"
"""torch goes from float64 to 16 bits by way of float32; here float32 is rounded to odd first, so that only one rounding
counts."""
def repaired_rotations(length: int, d: int, dtype: torch.dtype, base: float = 10000.0) -> tuple[Tensor, Tensor]:
    steps = torch.arange(length).double()[:, None]
    angle = steps * torch.tensor([base ** (-2 * i / d) for i in range(d // 2)], dtype=torch.float64)

    def once(exact):
        if dtype in (torch.float64, torch.float32):
            return exact.to(dtype)
        near = exact.float()
        even = (near.view(torch.int32) & 1) == 0
        towards = torch.where(exact > near.double(), math.inf, -math.inf).float()
        return torch.where(even & (near.double() != exact), torch.nextafter(near, towards), near).to(dtype)

    return once(angle.cos()), once(angle.sin())

# %% exercise="TiedEmbedding" right="buffer_in_the_state_dict"
"""The factor is a registered buffer: the state dict holds `scale` beside `weight`."""
class TiedEmbedding(nn.Module):
    def __init__(self, vocab_size: int, d_model: int):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(vocab_size, d_model) * d_model**-0.5)
        self.register_buffer("scale", torch.tensor(math.sqrt(d_model)))

    def embed(self, ids: Tensor) -> Tensor:
        return self.weight[ids] * self.scale

    def logits(self, states: Tensor) -> Tensor:
        return states @ self.weight.T

# %% exercise="bpe_merge" right="iterator_with_one_token_held_back"
"""Walks with for and holds the token back that could still begin an occurrence, instead of an index."""
def bpe_merge(tokens: list, pair: tuple, merged) -> list:
    left, right = pair
    out = []
    held = []  # empty, or the one token that was not written yet
    for token in tokens:
        if held and held[0] == left and token == right:
            out.append(merged)
            held = []
        else:
            out += held
            held = [token]
    return out + held

# %% exercise="bpe_merge" right="places_first"
"""Finds the places of all occurrences first, then builds the list in a comprehension."""
def bpe_merge(tokens: list, pair: tuple, merged) -> list:
    starts, free = set(), 0
    for i in range(len(tokens) - 1):
        if i >= free and (tokens[i], tokens[i + 1]) == (pair[0], pair[1]):
            starts.add(i)
            free = i + 2
    return [merged if i in starts else token for i, token in enumerate(tokens) if i - 1 not in starts]

# %% exercise="bpe_train" right="counts_kept_up_to_date"
"""Keeps the counts between merges and updates only the pieces that hold the pair, by taking away all their pairs and adding those they have afterwards; its own merge, on tuples."""
def bpe_train(text: str, num_merges: int) -> list[tuple[bytes, bytes]]:
    def pairs_of(tokens):
        return list(zip(tokens, tokens[1:]))

    words = []
    for piece, times in Counter(pretokenize(text)).items():
        words.append([tuple(piece.encode("utf-8")[i : i + 1] for i in range(len(piece.encode("utf-8")))), times])
    counts, where = Counter(), {}
    for number, (tokens, times) in enumerate(words):
        for pair in pairs_of(tokens):
            counts[pair] += times
            where.setdefault(pair, set()).add(number)
    learned = []
    while len(learned) < num_merges:
        top = max(counts.values(), default=0)
        if top == 0:
            break
        best = max(pair for pair, times in counts.items() if times == top)
        learned.append(best)
        for number in list(where[best]):
            tokens, times = words[number]
            for pair in pairs_of(tokens):
                counts[pair] -= times
                where[pair].discard(number)
            new, i = [], 0
            while i < len(tokens):
                step = 2 if tokens[i : i + 2] == best else 1
                new.append(b"".join(tokens[i : i + step]))
                i += step
            words[number][0] = tuple(new)
            for pair in pairs_of(tuple(new)):
                counts[pair] += times
                where.setdefault(pair, set()).add(number)
    return learned

# %% exercise="bpe_train" right="separated_strings_and_replace"
"""Sennrich's own way: a piece is one string of Latin-1 characters with a separator between tokens, and a regular expression merges."""
def bpe_train(text: str, num_merges: int) -> list[tuple[bytes, bytes]]:
    mark = "\u2400"  # no Latin-1 character, so no byte
    words = Counter()
    for piece in pretokenize(text):
        words[mark + mark.join(piece.encode("utf-8").decode("latin-1")) + mark] += 1
    learned = []
    for _ in range(num_merges):
        counts = {}
        for word, times in words.items():
            tokens = word.split(mark)[1:-1]
            for i in range(len(tokens) - 1):
                pair = (tokens[i], tokens[i + 1])
                counts[pair] = counts.get(pair, 0) + times
        if not counts:
            return learned
        left, right = sorted(counts, key=lambda pair: (counts[pair], pair))[-1]
        learned.append((left.encode("latin-1"), right.encode("latin-1")))
        find = re.compile(f"(?<={mark}){re.escape(left)}{mark}{re.escape(right)}(?={mark})")
        after = Counter()
        for word, times in words.items():
            after[find.sub(lambda match: left + right, word)] += times
        words = after
    return learned

# %% exercise="bpe_encode" right="scan_for_specials_by_hand"
"""Splits at the special token that comes first (the longest of those) by hand, without re, and each piece works on ranks of places, ids last."""
def bpe_encode(text: str, merges: list[tuple[bytes, bytes]], specials: tuple[str, ...] = ()) -> list[int]:
    number = {bytes([b]): b for b in range(256)}
    for left, right in merges:
        number.setdefault(left + right, len(number))
    special = {word: len(number) + i for i, word in enumerate(specials)}
    rank = {}
    for i, pair in enumerate(merges):
        rank.setdefault(tuple(pair), i)

    def piece_ids(piece):
        data_ = piece.encode("utf-8")
        tokens = [data_[i : i + 1] for i in range(len(data_))]
        while len(tokens) > 1:
            ranks = [rank.get(pair, math.inf) for pair in zip(tokens, tokens[1:])]
            lowest = min(ranks)
            if lowest == math.inf:
                break
            new, i = [], 0
            while i < len(tokens):
                if i < len(ranks) and ranks[i] == lowest:
                    new.append(tokens[i] + tokens[i + 1])
                    i += 2
                else:
                    new.append(tokens[i])
                    i += 1
            tokens = new
        return [number[token] for token in tokens]

    def text_ids(part):
        return [i for piece in pretokenize(part) for i in piece_ids(piece)]

    ids, begin, here = [], 0, 0
    while here < len(text):
        found = [word for word in specials if text.startswith(word, here)]
        if found:
            word = max(found, key=len)
            ids += text_ids(text[begin:here]) + [special[word]]
            here += len(word)
            begin = here
        else:
            here += 1
    return ids + text_ids(text[begin:])

# %% exercise="bpe_encode" right="finditer_and_id_pairs"
"""Works on ids from the start, with a table (id, id) -> (rank, new id), and finditer for the special tokens."""
def bpe_encode(text: str, merges: list[tuple[bytes, bytes]], specials: tuple[str, ...] = ()) -> list[int]:
    id_of = {token: i for i, token in vocabulary(merges).items()}
    # a merge whose parts are no tokens can never be used
    table = {}
    for rank, (left, right) in enumerate(merges):
        if left in id_of and right in id_of:
            table[id_of[left], id_of[right]] = (rank, id_of[left + right])
    first_special = len(id_of)
    out = []

    def ordinary(part):
        for piece in pretokenize(part):
            ids = list(piece.encode("utf-8"))
            while True:
                options = {table[pair] + pair for pair in zip(ids, ids[1:]) if pair in table}
                if not options:
                    break
                _, new, left, right = min(options)
                i = 0
                while i + 1 < len(ids):
                    if ids[i] == left and ids[i + 1] == right:
                        ids[i : i + 2] = [new]
                    i += 1
            out.extend(ids)

    if not specials:
        ordinary(text)
        return out
    pattern = re.compile("|".join(re.escape(word) for word in sorted(specials, key=lambda word: -len(word))))
    end = 0
    for match in pattern.finditer(text):
        ordinary(text[end : match.start()])
        out.append(first_special + list(specials).index(match.group()))
        end = match.end()
    ordinary(text[end:])
    return out

# %% exercise="bpe_decode" right="bytearray_3"
"""Collects into one bytearray from a list of its own and decodes at the end."""
def bpe_decode(ids: list[int], merges: list[tuple[bytes, bytes]], specials: tuple[str, ...] = ()) -> str:
    table = [bytes([b]) for b in range(256)]
    seen = set(table)
    for left, right in merges:
        if left + right not in seen:
            seen.add(left + right)
            table.append(left + right)
    table.extend(word.encode("utf-8") for word in specials)
    text = bytearray()
    for i in ids:
        text.extend(table[i])
    return str(text, "utf-8", "replace")

# %% exercise="language_finding" right="literal"
"""A literal; my own estimate from Python's topics and Babel (five samples: en 1, es 1.03, hi 3.52), as the notebook text holds no outputs to read off."""
language_finding = dict(cheapest="en", dearest="hi", times=3.5)

# %% exercise="language_finding" right="computed_again"
"""Computes the medians again from the course's texts with a tokenizer of its own instead of reading them off."""
def _joined(tokens, pair):
    out, i = [], 0
    while i < len(tokens):
        step = 2 if tuple(tokens[i : i + 2]) == pair else 1
        out.append(b"".join(tokens[i : i + step]))
        i += step
    return out


def _learn(text, steps):
    words = [([bytes([b]) for b in piece.encode()], n) for piece, n in Counter(pretokenize(text)).items()]
    learned = []
    for _ in range(steps):
        counts = Counter()
        for tokens, n in words:
            for pair in zip(tokens, tokens[1:]):
                counts[pair] += n
        learned.append(max(counts, key=lambda pair: (counts[pair], pair)))
        words = [(_joined(tokens, learned[-1]), n) for tokens, n in words]
    return {pair: place for place, pair in enumerate(learned)}


def _price(rank, code):
    total, names = 0, list(data.language_names(code).values())[::4]
    for name in names:
        for piece in pretokenize(name):
            tokens = [bytes([b]) for b in piece.encode()]
            while known := set(zip(tokens, tokens[1:])) & set(rank):
                tokens = _joined(tokens, min(known, key=rank.get))
            total += len(tokens)
    return total / len(names)


_prose = data.split_prose()[0]
_times = {code: [] for code in ("en", "fr", "de", "es", "el", "ru", "hi")}
for _run in range(10):
    _rank = _learn(_prose[_run * 30_000 : _run * 30_000 + 8_000], 100)
    _english = _price(_rank, "en")
    for _code, _list in _times.items():
        _list.append(_price(_rank, _code) / _english)
_median = {code: statistics.median(values) for code, values in _times.items()}
language_finding = {
    "cheapest": min(_median, key=_median.get),
    "dearest": max(_median, key=_median.get),
    "times": round(max(_median.values()), 1),
}

# %% exercise="pad_batch" right="compared_with_lengths"
"""No writing into slices: mask and positions come from comparing column numbers with lengths, ids from masked_scatter."""
def pad_batch(rows: list[list[int]], pad_id: int, side: str = "right") -> tuple[Tensor, Tensor, Tensor]:
    if side == "right":
        shift = 0
    elif side == "left":
        shift = 1
    else:
        raise ValueError(f'side must be "right" or "left", not {side!r}')
    lengths = torch.tensor([len(row) for row in rows])
    width = int(lengths.max())
    positions = torch.arange(width)[None, :] - shift * (width - lengths)[:, None]
    mask = (positions >= 0) & (positions < lengths[:, None])
    flat = torch.tensor([token for row in rows for token in row], dtype=torch.int64)
    ids = torch.full(mask.shape, pad_id, dtype=torch.int64).masked_scatter(mask, flat)
    return ids, mask, torch.where(mask, positions, 0)

# %% exercise="pad_batch" right="pad_sequence_flipped"
"""torch's pad_sequence on the right; for the left side on reversed rows, and everything is flipped back."""
def pad_batch(rows: list[list[int]], pad_id: int, side: str = "right") -> tuple[Tensor, Tensor, Tensor]:
    if side not in {"right", "left"}:
        raise ValueError(side)
    pad = nn.utils.rnn.pad_sequence
    step = 1 if side == "right" else -1

    def filled(lists, value):
        table = pad([torch.tensor(values[::step]) for values in lists], batch_first=True, padding_value=value)
        return table if step == 1 else table.flip(1)

    ids = filled([list(row) for row in rows], pad_id)
    mask = filled([[1] * len(row) for row in rows], 0).bool()
    positions = filled([list(range(len(row))) for row in rows], 0)
    return ids, mask, positions

# %% exercise="embed" right="index_select_and_scatter"
"""index_select on flat ids; the one-hot vectors are written with scatter and multiplied with einsum."""
def embed(ids: Tensor, table: Tensor, one_hot: bool = False) -> Tensor:
    flat = ids.reshape(-1)
    if one_hot:
        hot = table.new_zeros(flat.numel(), table.shape[0]).scatter(1, flat[:, None], 1.0)
        rows = torch.einsum("nv,vd->nd", hot, table)
    else:
        rows = torch.index_select(table, 0, flat)
    return rows.reshape(*ids.shape, table.shape[1])

# %% exercise="embed" right="rows_of_the_identity"
"""Takes the one-hot vectors as rows of an identity matrix, and F.embedding for the lookup."""
def embed(ids: Tensor, table: Tensor, one_hot: bool = False) -> Tensor:
    if not one_hot:
        return nn.functional.embedding(ids, table)
    identity = torch.eye(len(table), dtype=table.dtype, device=table.device)
    return torch.tensordot(identity[ids], table, dims=1)

# %% exercise="TiedEmbedding" right="embedding_and_einsum"
"""register_parameter, F.embedding and einsum; the width is read off the weight."""
class TiedEmbedding(nn.Module):
    def __init__(self, vocab_size: int, d_model: int):
        super().__init__()
        weight = nn.Parameter(torch.empty(vocab_size, d_model))
        nn.init.normal_(weight, std=d_model**-0.5)
        self.register_parameter("weight", weight)

    def embed(self, ids: Tensor) -> Tensor:
        return nn.functional.embedding(ids, self.weight).mul(self.weight.size(1) ** 0.5)

    def logits(self, states: Tensor) -> Tensor:
        return torch.einsum("...d,vd->...v", states, self.weight)

# %% exercise="TiedEmbedding" right="subclass_of_embedding_2"
"""A subclass of nn.Embedding, whose only parameter is called weight anyway."""
class TiedEmbedding(nn.Embedding):
    def __init__(self, vocab_size: int, d_model: int):
        super().__init__(vocab_size, d_model)
        nn.init.normal_(self.weight, std=1 / math.sqrt(d_model))

    def embed(self, ids: Tensor) -> Tensor:
        return self(ids) * math.sqrt(self.embedding_dim)

    def logits(self, states: Tensor) -> Tensor:
        return nn.functional.linear(states, self.weight)

# %% exercise="sinusoidal_encoding" right="complex_exponential_2"
"""exp(i t theta) in complex128; sine and cosine are its parts, view_as_real puts them side by side."""
def sinusoidal_encoding(length: int, d_model: int) -> Tensor:
    theta = torch.logspace(0, -4 * (d_model - 2) / d_model, d_model // 2, dtype=torch.float64)
    turned = torch.exp(1j * torch.outer(torch.arange(length, dtype=torch.float64), theta))
    return torch.view_as_real(turned).flip(-1).reshape(length, d_model).float()

# %% exercise="sinusoidal_encoding" right="cosine_is_a_shifted_sine"
"""One sine for all columns, with a quarter turn added in the odd ones."""
def sinusoidal_encoding(length: int, d_model: int) -> Tensor:
    column = torch.arange(d_model)
    theta = 10000.0 ** (-(column - column % 2).double() / d_model)
    quarter = (column % 2).double() * (math.pi / 2)
    return torch.addcmul(quarter, torch.arange(length).double().unsqueeze(-1), theta).sin().to(torch.float32)

# %% exercise="rope_frequencies" right="plain_python"
"""A list of Python floats, rounded once."""
def rope_frequencies(d: int, base: float = 10000.0) -> Tensor:
    return torch.tensor([math.exp(-2 * i / d * math.log(base)) for i in range(d // 2)], dtype=torch.float32)

# %% exercise="rope_frequencies" right="running_product_2"
"""Each frequency is the one before times the same factor: a running product in float64."""
def rope_frequencies(d: int, base: float = 10000.0) -> Tensor:
    factors = torch.full((d // 2,), float(base) ** (-2 / d), dtype=torch.float64)
    factors[0] = 1.0
    return factors.cumprod(0).to(torch.float32)

# %% exercise="apply_rope" right="rotation_matrices_3"
"""One 2 x 2 matrix for each position and pair, applied with einsum; the pairings differ by one unflatten."""
def apply_rope(x: Tensor, positions: Tensor, pairing: str = "interleaved", base: float = 10000.0) -> Tensor:
    if pairing not in ("interleaved", "half"):
        raise ValueError(f"no such pairing: {pairing!r}")
    d = x.shape[-1]
    theta = float(base) ** (-torch.arange(0, d, 2, dtype=torch.float64, device=x.device) / d)
    angle = torch.outer(positions.to(torch.float64), theta)
    c, s = angle.cos(), angle.sin()
    turn = torch.stack([torch.stack([c, -s], -1), torch.stack([s, c], -1)], -2)  # (T, d/2, 2, 2)
    wide = torch.promote_types(x.dtype, torch.float32)
    turn = turn.to(wide)
    if pairing == "interleaved":
        pairs = x.to(wide).unflatten(-1, (d // 2, 2))
        out = torch.einsum("tiab,...tib->...tia", turn, pairs).flatten(-2)
    else:
        pairs = x.to(wide).unflatten(-1, (2, d // 2))
        out = torch.einsum("tiab,...tbi->...tai", turn, pairs).flatten(-2)
    return out.to(x.dtype)

# %% exercise="apply_rope" right="x_cos_plus_partner_sin"
"""x * cos + partner * sin, where the partner is gathered by an index and the sign goes into the sine."""
def apply_rope(x: Tensor, positions: Tensor, pairing: str = "interleaved", base: float = 10000.0) -> Tensor:
    d = x.shape[-1]
    column = torch.arange(d, device=x.device)
    if pairing == "interleaved":
        pair, second = column // 2, column % 2
        partner = column + 1 - 2 * second
    elif pairing == "half":
        pair, second = column % (d // 2), column // (d // 2)
        partner = (column + d // 2) % d
    else:
        raise ValueError(pairing)
    angle = positions.double()[:, None] * torch.exp(pair.double() * (-2 * math.log(base) / d))
    wide = torch.float64 if x.dtype == torch.float64 else torch.float32
    cos, sin = angle.cos().to(wide), (angle.sin() * (2 * second - 1)).to(wide)
    y = x.to(wide)
    return torch.addcmul(y * cos, y[..., partner], sin).to(x.dtype)

# %% exercise="rotary_qkv" right="einsum_by_heads"
"""The matrices are cut into heads, not the result: one einsum for each of the three."""
def rotary_qkv(
    x: Tensor, w_q: Tensor, w_k: Tensor, w_v: Tensor, num_heads: int, positions: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    q, k, v = (torch.einsum("btc,chd->bhtd", x, w.unflatten(1, (num_heads, -1))) for w in (w_q, w_k, w_v))
    return apply_rope(q, positions), apply_rope(k, positions), v

# %% exercise="rotary_qkv" right="head_by_head_3"
"""A loop over heads, each with its own columns of the matrices, and complex numbers for the turning."""
def rotary_qkv(
    x: Tensor, w_q: Tensor, w_k: Tensor, w_v: Tensor, num_heads: int, positions: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    d = x.shape[-1] // num_heads
    theta = 10000.0 ** (-torch.arange(0, d, 2, dtype=torch.float64) / d)
    angle = positions.double()[:, None] * theta
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)

    def turned(y):
        a, b = y.unflatten(-1, (-1, 2)).unbind(-1)
        return torch.stack([a * cos - b * sin, a * sin + b * cos], -1).flatten(-2)

    heads = ([], [], [])
    for h in range(num_heads):
        columns = slice(h * d, (h + 1) * d)
        heads[0].append(turned(x @ w_q[:, columns]))
        heads[1].append(turned(x @ w_k[:, columns]))
        heads[2].append(x @ w_v[:, columns])
    q, k, v = (torch.stack(parts, dim=1) for parts in heads)
    return q, k, v

# %% exercise="alibi_slopes" right="from_the_next_power"
"""As MosaicML writes it: the slopes of the next power of two, every second one first, then the others, cut at H."""
def alibi_slopes(num_heads: int) -> Tensor:
    n = 1
    while n < num_heads:
        n *= 2
    slopes = 2.0 ** (-8.0 * torch.arange(1, n + 1, dtype=torch.float64) / n)
    if n != num_heads:
        slopes = torch.cat([slopes[1::2], slopes[0::2]])[:num_heads]
    return slopes.float()

# %% exercise="alibi_slopes" right="recursion_2"
"""The authors' recursion: powers of two directly, everything else from P heads and from 2P."""
def alibi_slopes(num_heads: int) -> Tensor:
    def get(n):
        if n & (n - 1) == 0:
            ratio = 2.0 ** (-8.0 / n)
            return [ratio**h for h in range(1, n + 1)]
        p = 1 << (n.bit_length() - 1)
        return get(p) + get(2 * p)[0::2][: n - p]

    return torch.tensor(get(num_heads), dtype=torch.float32)

# %% exercise="alibi_bias" right="where_and_outer"
"""Distances as a cumulative count, einsum for the heads, where instead of masked_fill; slopes of its own."""
def alibi_bias(num_heads: int, n_queries: int, n_keys: int) -> Tensor:
    p = 1 << (num_heads.bit_length() - 1)
    exponents = [-8 * h / p for h in range(1, p + 1)] + [-4 * h / p for h in range(1, 2 * p, 2)]
    slopes = torch.tensor([2.0**e for e in exponents[:num_heads]])
    query = torch.arange(n_keys)[n_keys - n_queries :]
    behind = torch.arange(n_keys).expand(n_queries, n_keys).sub(query.unsqueeze(1)).float()  # key minus query
    return torch.where(behind <= 0, torch.einsum("h,ts->hts", slopes, behind), torch.tensor(float("-inf")))

# %% exercise="alibi_bias" right="loop_with_tril"
"""Head by head and query by query, written into a tensor full of -inf."""
def alibi_bias(num_heads: int, n_queries: int, n_keys: int) -> Tensor:
    bias = torch.full((num_heads, n_queries, n_keys), -torch.inf)
    for h, slope in enumerate(alibi_slopes(num_heads).tolist()):
        for i in range(n_queries):
            position = n_keys - n_queries + i
            bias[h, i, : position + 1] = -slope * torch.arange(position, -1, -1)
    return bias

# %% exercise="position_interpolation" right="divided_by_the_ratio"
"""Divides in float64 by the ratio, which is at least 1, and rounds once."""
def position_interpolation(positions: Tensor, train_length: int, length: int) -> Tensor:
    ratio = max(length, train_length) / train_length
    return positions.double().div(ratio).to(torch.float32)

# %% exercise="ntk_scaled_base" right="by_logarithms_2"
"""Through logarithms: log base' = log base + d / (d - 2) log s."""
def ntk_scaled_base(base: float, scale: float, d: int) -> float:
    return math.exp(math.log(base) + math.log(scale) * d / (d - 2))

# %% exercise="ntk_scaled_base" right="split_power_2"
"""s^(d / (d - 2)) written as s times s^(2 / (d - 2))."""
def ntk_scaled_base(base: float, scale: float, d: int) -> float:
    return float(base) * scale * math.pow(scale, 2 / (d - 2))

# %% exercise="extrapolation_finding" right="computed_from_the_runs"
"""Computes everything from the recorded runs with the statistics module, in place of reading the table (a median of ten is taken the way torch does, the lower of the middle two)."""
_losses = json.loads((Path(course.__file__).parent / "runs" / "positions.json").read_text())["nats_per_character"]


def _middle(name, what):
    return statistics.median_low([what(row) for row in _losses[name].values()])


_names = list(_losses)
_arms = [name for name in _names if "," not in name]
extrapolation_finding = {
    "best_at_64": sorted(_arms, key=lambda name: _middle(name, lambda row: row[0]))[0],
    "best_at_512": sorted(_arms, key=lambda name: _middle(name, lambda row: row[-1]))[0],
    "rope_rises": round(_middle("rope", lambda row: row[-1] - row[0]), 1),
    "alibi_rises": round(_middle("alibi", lambda row: row[-1] - row[0]), 1),
    "beats_none": [
        name
        for name in _names
        if _middle("none", lambda row: row[-1]) - _middle(name, lambda row: row[-1]) >= 0.1
    ],
}

# %% exercise="embedding_gather" right="moving_pointers"
"""Pointers that move on by a block in each round, everything in 64 bits, and a count of columns left as the mask."""
@triton.jit
def embedding_gather_kernel(
    ids_ptr, table_ptr, out_ptr, width, ids_stride, table_row, table_col, out_row, BLOCK: tl.constexpr
):
    """One program: one token, its row copied BLOCK columns at a time."""
    n = tl.program_id(0).to(tl.int64)
    row = tl.load(ids_ptr + n * ids_stride).to(tl.int64)
    lane = tl.arange(0, BLOCK).to(tl.int64)
    source = table_ptr + row * table_row + lane * table_col
    target = out_ptr + n * out_row + lane
    for done in range(0, width, BLOCK):
        inside = lane < width - done
        tl.store(target, tl.load(source, mask=inside), mask=inside)
        source += BLOCK * table_col
        target += BLOCK


def embedding_gather(ids: Tensor, table: Tensor, block: int = 128) -> Tensor:
    out = table.new_empty((ids.numel(), table.size(1)))
    embedding_gather_kernel[ids.shape](
        ids, table, out, table.size(1), *ids.stride(), *table.stride(), out.stride(0), BLOCK=block
    )
    return out

# %% exercise="embedding_gather" right="two_tokens_a_program"
"""A two-dimensional tile: two tokens in each program, with a mask for the rows and one for the columns."""
@triton.jit
def embedding_gather_kernel(
    ids_ptr, table_ptr, out_ptr, count, width, ids_stride, table_row, table_col, ROWS: tl.constexpr, BLOCK: tl.constexpr
):
    """One program: ROWS tokens, their rows copied BLOCK columns at a time."""
    n = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    there = n < count
    rows = tl.load(ids_ptr + n * ids_stride, mask=there, other=0).to(tl.int64)
    for start in range(0, width, BLOCK):
        cols = start + tl.arange(0, BLOCK)
        inside = there[:, None] & (cols < width)[None, :]
        tile = tl.load(table_ptr + rows[:, None] * table_row + cols[None, :] * table_col, mask=inside)
        tl.store(out_ptr + n[:, None] * width + cols[None, :], tile, mask=inside)


def embedding_gather(ids: Tensor, table: Tensor, block: int = 128) -> Tensor:
    count, width = len(ids), table.shape[1]
    out = torch.empty(count, width, dtype=table.dtype, device=table.device)
    embedding_gather_kernel[(triton.cdiv(count, 2),)](
        ids, table, out, count, width, ids.stride(0), table.stride(0), table.stride(1), ROWS=2, BLOCK=block
    )
    return out

# %% exercise="embedding_gather" right="two_dimensional_grid_2"
"""A grid of tokens by blocks: no loop, a program copies its own part of a row (each number is read once and written once)."""
@triton.jit
def embedding_gather_kernel(
    ids_ptr, table_ptr, out_ptr, width, ids_stride, table_row, table_col, out_row, BLOCK: tl.constexpr
):
    """One program: one block of columns of one token."""
    n = tl.program_id(0).to(tl.int64)
    cols = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    row = tl.load(ids_ptr + n * ids_stride)
    part = tl.load(table_ptr + row * table_row + cols * table_col, mask=cols < width)
    tl.store(out_ptr + n * out_row + cols, part, mask=cols < width)


def embedding_gather(ids: Tensor, table: Tensor, block: int = 128) -> Tensor:
    width = table.shape[1]
    out = table.new_empty(len(ids), width)
    embedding_gather_kernel[(len(ids), triton.cdiv(width, block))](
        ids, table, out, width, ids.stride(0), table.stride(0), table.stride(1), out.stride(0), BLOCK=block
    )
    return out

# %% exercise="rope_inplace" right="two_dimensional_grid_2"
"""A grid (T, N) in place of division and remainder, 64-bit offsets, and both halves loaded before the tables."""
@triton.jit
def rope_inplace_kernel(
    x_ptr, cos_ptr, sin_ptr, half, x_batch, x_time, x_col, table_row, BLOCK: tl.constexpr
):
    """One program: one vector (batch b, position t), all its pairs, in place. BLOCK is at least half."""
    t = tl.program_id(0).to(tl.int64)
    b = tl.program_id(1).to(tl.int64)
    i = tl.arange(0, BLOCK).to(tl.int64)
    keep = i < half
    low = x_ptr + b * x_batch + t * x_time + i * x_col
    high = low + x_col * half
    u = tl.load(low, mask=keep, other=0.0)
    w = tl.load(high, mask=keep, other=0.0)
    c = tl.load(cos_ptr + t * table_row + i, mask=keep, other=1.0)
    s = tl.load(sin_ptr + t * table_row + i, mask=keep, other=0.0)
    uf = u.to(tl.float32)
    wf = w.to(tl.float32)
    tl.store(high, (wf * c + uf * s).to(w.dtype), mask=keep)
    tl.store(low, (uf * c - wf * s).to(u.dtype), mask=keep)


def rope_inplace(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    batches, length, width = x.shape
    rope_inplace_kernel[(length, batches)](
        x, cos, sin, width // 2, *x.stride(), cos.stride(0), BLOCK=triton.next_power_of_2(width // 2)
    )
    return x

# %% exercise="rope_inplace" right="four_positions_a_tile"
"""Tiles of four positions by all pairs: the number of the vector is a column of the tile, and the mask has two parts."""
@triton.jit
def rope_inplace_kernel(
    x_ptr, cos_ptr, sin_ptr, vectors, length, half, x_batch, x_time, x_col, ROWS: tl.constexpr, BLOCK: tl.constexpr
):
    """One program: ROWS vectors, all their pairs, in place. BLOCK is at least half."""
    vector = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    b = (vector // length)[:, None]
    t = (vector % length)[:, None]
    i = tl.arange(0, BLOCK)[None, :]
    keep = (vector < vectors)[:, None] & (i < half)
    c = tl.load(cos_ptr + t * half + i, mask=keep, other=0.0)
    s = tl.load(sin_ptr + t * half + i, mask=keep, other=0.0)
    here = x_ptr + b * x_batch + t * x_time + i * x_col
    there = x_ptr + b * x_batch + t * x_time + (i + half) * x_col
    first = tl.load(here, mask=keep, other=0.0).to(tl.float32)
    second = tl.load(there, mask=keep, other=0.0).to(tl.float32)
    tl.store(here, first * c - second * s, mask=keep)
    tl.store(there, first * s + second * c, mask=keep)


def rope_inplace(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    N, T, d = x.shape
    rope_inplace_kernel[(triton.cdiv(N * T, 4),)](
        x, cos, sin, N * T, T, d // 2, x.stride(0), x.stride(1), x.stride(2),
        ROWS=4, BLOCK=triton.next_power_of_2(d // 2),
    )
    return x

# %% exercise="repaired_choice" right="candidates_then_max"
"""The greatest count first, then the greatest pair among those that have it."""
def repaired_choice(counts: dict[tuple[bytes, bytes], int]) -> tuple[bytes, bytes]:
    most = max(counts.values())
    return max(pair for pair, times in counts.items() if times == most)

# %% exercise="repaired_choice" right="lists_of_numbers"
"""A loop with a champion, compared as tuples of lists of byte values."""
def repaired_choice(counts: dict[tuple[bytes, bytes], int]) -> tuple[bytes, bytes]:
    champion, strength = None, None
    for (left, right), times in counts.items():
        this = (times, list(left), list(right))
        if strength is None or this > strength:
            champion, strength = (left, right), this
    return champion

# %% exercise="repaired_rotations" right="polar"
"""torch.polar in float64, real and imaginary part converted last."""
def repaired_rotations(length: int, d: int, dtype: torch.dtype, base: float = 10000.0) -> tuple[Tensor, Tensor]:
    theta = torch.tensor([base ** (-2 * i / d) for i in range(d // 2)], dtype=torch.float64)
    angle = torch.einsum("t,i->ti", torch.arange(length).double(), theta)
    turned = torch.polar(torch.ones_like(angle), angle)
    return turned.real.to(dtype), turned.imag.to(dtype)

# %% exercise="repaired_rotations" right="python_math"
"""math.cos and math.sin for every entry, no tensor before the end."""
def repaired_rotations(length: int, d: int, dtype: torch.dtype, base: float = 10000.0) -> tuple[Tensor, Tensor]:
    theta = [math.pow(base, -2 * i / d) for i in range(d // 2)]
    cos = torch.tensor([[math.cos(t * f) for f in theta] for t in range(length)], dtype=torch.float64)
    sin = torch.tensor([[math.sin(t * f) for f in theta] for t in range(length)], dtype=torch.float64)
    return cos.to(dtype), sin.to(dtype)
