"""Right answers to the exercises of unit 03 in other styles: a check must not mind how an answer is written."""

# %% exercise="bpe_merge" right="stack"
def bpe_merge(tokens, pair, merged):
    done, fresh = [], True
    for token in tokens:
        if done and fresh and done[-1] == pair[0] and token == pair[1]:
            done[-1] = merged
            fresh = False
        else:
            done.append(token)
            fresh = True
    return done

# %% exercise="bpe_merge" right="search_from_place_to_place"
def bpe_merge(tokens, pair, merged):
    places = [i for i in range(len(tokens) - 1) if tokens[i] == pair[0] and tokens[i + 1] == pair[1]]
    out, at = [], 0
    for i in places:
        if i >= at:
            out.extend(tokens[at:i])
            out.append(merged)
            at = i + 2
    return out + list(tokens[at:])

# %% exercise="bpe_train" right="every_piece_again"
def bpe_train(text, num_merges):
    pieces = [[bytes([b]) for b in piece.encode("utf-8")] for piece in pretokenize(text)]
    learned = []
    while len(learned) < num_merges:
        seen = {}
        for p in pieces:
            for left, right in zip(p[:-1], p[1:]):
                seen[left, right] = seen.get((left, right), 0) + 1
        if not seen:
            return learned
        winner = sorted(seen.items(), key=lambda item: (item[1], item[0]))[-1][0]
        learned.append(winner)
        pieces = [bpe_merge(p, winner, b"".join(winner)) for p in pieces]
    return learned

# %% exercise="bpe_train" right="only_changed_pieces_recounted"
def bpe_train(text, num_merges):
    times = Counter(pretokenize(text))
    state = {p: tuple(bytes([b]) for b in p.encode()) for p in times}
    counts, where = Counter(), {}
    for p, tokens in state.items():
        for pair in zip(tokens, tokens[1:]):
            counts[pair] += times[p]
            where.setdefault(pair, set()).add(p)
    merges = []
    for _ in range(num_merges):
        counts = +counts
        if not counts:
            break
        top = max(counts.values())
        best = max(pair for pair, n in counts.items() if n == top)
        merges.append(best)
        for p in list(where.get(best, ())):
            old = state[p]
            new = tuple(bpe_merge(list(old), best, best[0] + best[1]))
            for pair in zip(old, old[1:]):
                counts[pair] -= times[p]
            for pair in zip(new, new[1:]):
                counts[pair] += times[p]
                where.setdefault(pair, set()).add(p)
            state[p] = new
    return merges

# %% exercise="bpe_encode" right="rule_after_rule"
def bpe_encode(text, merges, specials=()):
    known = list(vocabulary(merges, specials).values())
    plain = len(known) - len(specials)
    out, at = [], 0
    order = sorted(range(len(specials)), key=lambda i: -len(specials[i]))
    while at < len(text):
        hit = next((i for i in order if text.startswith(specials[i], at)), None)
        if hit is not None:
            out.append(plain + hit)
            at += len(specials[hit])
            continue
        starts = [text.find(s, at) for s in specials]
        stop = min([s for s in starts if s >= 0], default=len(text))
        for piece in pretokenize(text[at:stop]):
            tokens, again = [bytes([b]) for b in piece.encode()], True
            while again:
                again = False
                for left, right in merges:
                    shorter = bpe_merge(tokens, (left, right), left + right)
                    if len(shorter) < len(tokens):
                        tokens, again = shorter, True
                        break
            out.extend(known.index(t) for t in tokens)
        at = stop
    return out

# %% exercise="bpe_encode" right="remembers_pieces"
def bpe_encode(text, merges, specials=()):
    id_of = {}
    for number, token in vocabulary(merges).items():
        id_of.setdefault(token, number)
    place = {}
    for n, m in enumerate(merges):
        place.setdefault(tuple(m), n)
    memory = {}

    def piece_ids(piece):
        if piece not in memory:
            tokens = [bytes([b]) for b in piece.encode("utf-8")]
            while len(tokens) > 1:
                ranked = [(place.get((a, b), len(merges)), (a, b)) for a, b in zip(tokens, tokens[1:])]
                n, pair = min(ranked, key=lambda r: r[0])
                if n == len(merges):
                    break
                tokens = bpe_merge(tokens, pair, b"".join(pair))
            memory[piece] = [id_of[t] for t in tokens]
        return memory[piece]

    if not specials:
        return [i for piece in pretokenize(text) for i in piece_ids(piece)]
    pattern = re.compile("|".join(re.escape(s) for s in sorted(specials, key=lambda s: (-len(s), s))))
    out, last = [], 0
    for found in pattern.finditer(text):
        for piece in pretokenize(text[last : found.start()]):
            out += piece_ids(piece)
        out.append(len(id_of) + list(specials).index(found.group()))
        last = found.end()
    for piece in pretokenize(text[last:]):
        out += piece_ids(piece)
    return out

# %% exercise="bpe_decode" right="bytearray"
def bpe_decode(ids, merges, specials=()):
    table, buffer = vocabulary(merges, specials), bytearray()
    for i in ids:
        buffer.extend(table[i])
    return str(buffer, "utf-8", "replace")

# %% exercise="bpe_decode" right="incremental"
def bpe_decode(ids, merges, specials=()):
    import codecs

    table = list(vocabulary(merges, specials).values())
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    pieces = [decoder.decode(table[i]) for i in ids]
    return "".join(pieces) + decoder.decode(b"", final=True)

# %% exercise="language_finding" right="two_decimals"
language_finding = {"cheapest": "en", "dearest": "hi", "times": 3.61}

# %% exercise="language_finding" right="other_order"
language_finding = dict(times=3.6, dearest="hi", cheapest="en")

# %% exercise="pad_batch" right="lists"
def pad_batch(rows, pad_id, side="right"):
    if side not in ("right", "left"):
        raise ValueError(f"unknown side {side}")

    def place(row, fill):
        return row + fill if side == "right" else fill + row

    T = max(len(r) for r in rows)
    ids = [place(list(r), [pad_id] * (T - len(r))) for r in rows]
    mask = [place([True] * len(r), [False] * (T - len(r))) for r in rows]
    positions = [place(list(range(len(r))), [0] * (T - len(r))) for r in rows]
    return torch.tensor(ids), torch.tensor(mask), torch.tensor(positions)

# %% exercise="pad_batch" right="pad_sequence_and_flip"
def pad_batch(rows, pad_id, side="right"):
    if side not in ("right", "left"):
        raise ValueError("side must be right or left")
    turn = (lambda t: t.flip(-1)) if side == "left" else (lambda t: t)

    def pack(parts, value):
        return nn.utils.rnn.pad_sequence(parts, batch_first=True, padding_value=value)

    ids = turn(pack([turn(torch.tensor(r)) for r in rows], pad_id))
    mask = turn(pack([torch.ones(len(r), dtype=torch.bool) for r in rows], False))
    return ids, mask, turn(pack([turn(torch.arange(len(r))) for r in rows], 0))

# %% exercise="embed" right="library_functions"
def embed(ids, table, one_hot=False):
    if one_hot:
        return nn.functional.one_hot(ids, table.shape[0]).to(table.dtype) @ table
    return nn.functional.embedding(ids, table)

# %% exercise="embed" right="scatter_and_einsum"
def embed(ids, table, one_hot=False):
    if one_hot:
        hot = torch.zeros(*ids.shape, len(table), dtype=table.dtype).scatter(-1, ids.unsqueeze(-1), 1.0)
        return torch.einsum("...v,vd->...d", hot, table)
    return table.index_select(0, ids.reshape(-1)).reshape(*ids.shape, table.shape[1])

# %% exercise="TiedEmbedding" right="library_functions"
class TiedEmbedding(nn.Module):
    def __init__(self, vocab_size, d_model):
        super().__init__()
        self.scale = d_model**0.5
        self.weight = nn.Parameter(torch.empty(vocab_size, d_model))
        nn.init.normal_(self.weight, std=d_model**-0.5)

    def embed(self, ids):
        return nn.functional.embedding(ids, self.weight).mul(self.scale)

    def logits(self, states):
        return nn.functional.linear(states, self.weight)

# %% exercise="TiedEmbedding" right="one_hot_and_einsum"
class TiedEmbedding(nn.Module):
    def __init__(self, vocab_size, d_model):
        super().__init__()
        self.register_parameter("weight", nn.Parameter(torch.rand(vocab_size, d_model) - 0.5))

    def embed(self, ids):
        V, D = self.weight.shape
        hot = nn.functional.one_hot(ids, V).to(self.weight.dtype)
        return torch.einsum("...v,vd->...d", hot, self.weight) * D**0.5

    def logits(self, states):
        return torch.einsum("...d,vd->...v", states, self.weight)

# %% exercise="sinusoidal_encoding" right="loops"
def sinusoidal_encoding(length, d_model):
    out = torch.zeros(length, d_model)
    for t in range(length):
        for i in range(0, d_model, 2):
            out[t, i] = math.sin(t / 10000 ** (i / d_model))
            out[t, i + 1] = math.cos(t / 10000 ** (i / d_model))
    return out

# %% exercise="sinusoidal_encoding" right="float32_with_exp"
def sinusoidal_encoding(length, d_model):
    pe = torch.zeros(length, d_model)
    position = torch.arange(0, length, dtype=torch.float32).unsqueeze(1)
    div_term = torch.exp(torch.arange(0, d_model, 2).float() * (-math.log(10000.0) / d_model))
    pe[:, 0::2] = torch.sin(position * div_term)
    pe[:, 1::2] = torch.cos(position * div_term)
    return pe

# %% exercise="rope_frequencies" right="float32_inverse"
def rope_frequencies(d, base=10000.0):
    return 1.0 / (base ** (torch.arange(0, d, 2).float() / d))

# %% exercise="rope_frequencies" right="list"
def rope_frequencies(d, base=10000.0):
    return torch.tensor([math.exp(-2 * i / d * math.log(base)) for i in range(d // 2)])

# %% exercise="apply_rope" right="complex_numbers"
def apply_rope(x, positions, pairing="interleaved", base=10000.0):
    if pairing not in ("interleaved", "half"):
        raise ValueError("pairing must be interleaved or half")
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    half = x.shape[-1] // 2
    pairs = wide.unflatten(-1, (half, 2)) if pairing == "interleaved" else wide.unflatten(-1, (2, half)).mT
    turn = torch.outer(positions.double(), base ** (-torch.arange(half).double() * 2 / x.shape[-1]))
    number = torch.view_as_complex(pairs.contiguous())
    turned = torch.view_as_real(number * torch.polar(torch.ones_like(turn), turn).to(number.dtype))
    return (turned if pairing == "interleaved" else turned.mT).flatten(-2).to(x.dtype)

# %% exercise="apply_rope" right="rotate_half_as_in_transformers"
def apply_rope(x, positions, pairing="interleaved", base=10000.0):
    assert x.shape[-1] % 2 == 0
    if pairing == "interleaved":
        order = torch.cat([torch.arange(0, x.shape[-1], 2), torch.arange(1, x.shape[-1], 2)])
        return apply_rope(x[..., order], positions, "half", base)[..., order.argsort()]
    if pairing != "half":
        raise ValueError(pairing)
    half = x.shape[-1] // 2
    speeds = base ** (-torch.arange(half, dtype=torch.float64) / half)
    angles = torch.outer(positions.double(), speeds).repeat(1, 2)
    quarter_turn = torch.cat((-x[..., half:], x[..., :half]), dim=-1)
    return (x * angles.cos() + quarter_turn * angles.sin()).to(x.dtype)

# %% exercise="apply_rope" right="one_matrix_for_each_position"
def apply_rope(x, positions, pairing="interleaved", base=10000.0):
    if pairing not in {"interleaved", "half"}:
        raise ValueError(f"{pairing} is unknown")
    d, rows = x.shape[-1], []
    for place, t in enumerate(positions.tolist()):
        R = torch.zeros(d, d, dtype=torch.float64)
        for i in range(d // 2):
            j, k = (2 * i, 2 * i + 1) if pairing == "interleaved" else (i, i + d // 2)
            phi = t / base ** (2 * i / d)
            R[j, j] = R[k, k] = math.cos(phi)
            R[j, k], R[k, j] = -math.sin(phi), math.sin(phi)
        rows.append((x[..., place, :].double() @ R.T).to(x.dtype))
    return torch.stack(rows, dim=-2)

# %% exercise="apply_rope" right="float32_as_in_llama"
def apply_rope(x, positions, pairing="interleaved", base=10000.0):
    if pairing == "half":
        pairs = torch.stack(x.float().chunk(2, -1), -1)
    elif pairing == "interleaved":
        pairs = x.float().reshape(*x.shape[:-1], -1, 2)
    else:
        raise ValueError(pairing)
    angles = torch.outer(positions.float(), rope_frequencies(x.shape[-1], base))
    turned = torch.view_as_complex(pairs.contiguous()) * torch.polar(torch.ones_like(angles), angles)
    turned = torch.view_as_real(turned)
    return (turned.transpose(-1, -2) if pairing == "half" else turned).flatten(-2).type_as(x)

# %% exercise="apply_rope" right="tables_in_the_dtype_of_x"
def apply_rope(x, positions, pairing="interleaved", base=10000.0):
    speeds = 1.0 / (base ** (torch.arange(0, x.shape[-1], 2, dtype=torch.float32) / x.shape[-1]))
    angles = torch.einsum("i,j->ij", positions.float(), speeds)
    if pairing == "half":
        one, other = x.chunk(2, dim=-1)
        angles, quarter_turn = torch.cat((angles, angles), dim=-1), torch.cat((-other, one), dim=-1)
    elif pairing == "interleaved":
        quarter_turn = torch.stack((-x[..., 1::2], x[..., ::2]), dim=-1).flatten(-2)
        angles = angles.repeat_interleave(2, dim=-1)
    else:
        raise ValueError("pairing must be 'interleaved' or 'half'")
    return x * angles.cos().to(x.dtype) + quarter_turn * angles.sin().to(x.dtype)

# %% exercise="apply_rope" right="written_into_a_copy"
def apply_rope(x, positions, pairing="interleaved", base=10000.0):
    if pairing not in ["interleaved", "half"]:
        raise ValueError("no such pairing: " + str(pairing))
    d, out = x.shape[-1], x.clone()
    for n, p in enumerate(positions.tolist()):
        for i in range(d // 2):
            j, k = (2 * i, 2 * i + 1) if pairing == "interleaved" else (i, i + d // 2)
            c, s = math.cos(p * base ** (-2 * i / d)), math.sin(p * base ** (-2 * i / d))
            out[..., n, j] = x[..., n, j] * c - x[..., n, k] * s
            out[..., n, k] = x[..., n, j] * s + x[..., n, k] * c
    return out

# %% exercise="rotary_qkv" right="head_by_head"
def rotary_qkv(x, w_q, w_k, w_v, num_heads, positions):
    d = x.shape[-1] // num_heads
    parts = ([], [], [])
    for h in range(num_heads):
        own = slice(h * d, (h + 1) * d)
        parts[0].append(apply_rope(x @ w_q[:, own], positions))
        parts[1].append(apply_rope(x @ w_k[:, own], positions))
        parts[2].append(x @ w_v[:, own])
    return tuple(torch.stack(p, dim=1) for p in parts)

# %% exercise="rotary_qkv" right="one_projection_heads_in_front"
def rotary_qkv(x, w_q, w_k, w_v, num_heads, positions):
    weights = torch.stack([w_q, w_k, w_v]).reshape(3, x.shape[-1], num_heads, -1)
    q, k, v = torch.einsum("btc,nchd->nbhtd", x, weights)
    q, k = apply_rope(torch.stack([q, k]), positions)
    return q, k, v

# %% exercise="alibi_slopes" right="as_the_authors_wrote_it"
def alibi_slopes(num_heads):
    def get_slopes(n):
        def power_of_2(n):
            start = 2 ** (-(2 ** -(math.log2(n) - 3)))
            return [start * start**i for i in range(n)]

        if math.log2(n).is_integer():
            return power_of_2(n)
        closest = 2 ** math.floor(math.log2(n))
        return power_of_2(closest) + get_slopes(2 * closest)[0::2][: n - closest]

    return torch.tensor(get_slopes(num_heads))

# %% exercise="alibi_slopes" right="exponents_as_tensors"
def alibi_slopes(num_heads):
    p = 1 << (num_heads.bit_length() - 1)
    exponents = torch.cat([torch.arange(1, p + 1) * 8.0, torch.arange(1, 2 * p, 2)[: num_heads - p] * 4.0]) / p
    return torch.pow(2.0, -exponents)

# %% exercise="alibi_bias" right="loops"
def alibi_bias(num_heads, n_queries, n_keys):
    out = torch.full((num_heads, n_queries, n_keys), float("-inf"))
    for h, m in enumerate(alibi_slopes(num_heads).tolist()):
        for i in range(n_queries):
            for j in range(n_keys - n_queries + i + 1):
                out[h, i, j] = -m * (n_keys - n_queries + i - j)
    return out

# %% exercise="alibi_bias" right="last_rows_of_the_square"
def alibi_bias(num_heads, n_queries, n_keys):
    steps = torch.arange(n_keys, dtype=torch.float32)
    square = torch.einsum("h,ts->hts", alibi_slopes(num_heads), steps[None, :] - steps[:, None])
    hidden = torch.ones(n_keys, n_keys, dtype=torch.bool).triu(1)
    return torch.where(hidden, torch.tensor(-torch.inf), square)[:, n_keys - n_queries :].contiguous()

# %% exercise="position_interpolation" right="if"
def position_interpolation(positions, train_length, length):
    if length <= train_length:
        return positions.to(torch.float32)
    return positions * (train_length / length)

# %% exercise="position_interpolation" right="one_after_another_in_float64"
def position_interpolation(positions, train_length, length):
    squeeze = max(length / train_length, 1.0)
    return torch.tensor([t / squeeze for t in positions.tolist()], dtype=torch.float64).float()

# %% exercise="ntk_scaled_base" right="logarithms"
def ntk_scaled_base(base, scale, d):
    return math.exp(math.log(base) + d / (d - 2) * math.log(scale))

# %% exercise="ntk_scaled_base" right="tensor"
def ntk_scaled_base(base, scale, d):
    return (torch.tensor(base, dtype=torch.float64) * torch.tensor(scale, dtype=torch.float64) ** (d / (d - 2))).item()

# %% exercise="extrapolation_finding" right="two_decimals"
extrapolation_finding = {"best_at_64": "rope", "best_at_512": "alibi", "rope_rises": 0.59, "alibi_rises": 0.003,
                         "beats_none": ["alibi"]}

# %% exercise="extrapolation_finding" right="from_the_recorded_runs"
_runs = {name: torch.tensor(list(r.values())).median(0).values for name, r in recorded["nats_per_character"].items()}
extrapolation_finding = {
    "best_at_64": min((n for n in _runs if "," not in n), key=lambda n: float(_runs[n][0])),
    "best_at_512": min(_runs, key=lambda n: float(_runs[n][-1])),
    "rope_rises": float(_runs["rope"][-1] - _runs["rope"][0]),
    "alibi_rises": float(_runs["alibi"][-1] - _runs["alibi"][0]),
    "beats_none": [n for n in _runs if _runs[n][-1] <= _runs["none"][-1] - 0.1],
}

# %% exercise="repaired_choice" right="sorted"
def repaired_choice(counts):
    return sorted((n, left, right) for (left, right), n in counts.items())[-1][1:]

# %% exercise="repaired_choice" right="loop"
def repaired_choice(counts):
    most = max(counts.values())
    best = None
    for pair, n in counts.items():
        if n == most and (best is None or pair > best):
            best = pair
    return best

# %% exercise="repaired_rotations" right="loops"
def repaired_rotations(length, d, dtype, base=10000.0):
    angles = [[t / base ** (2 * i / d) for i in range(d // 2)] for t in range(length)]
    cos = torch.tensor([[math.cos(a) for a in row] for row in angles], dtype=torch.float64)
    sin = torch.tensor([[math.sin(a) for a in row] for row in angles], dtype=torch.float64)
    return cos.to(dtype), sin.to(dtype)

# %% exercise="repaired_rotations" right="complex_numbers"
def repaired_rotations(length, d, dtype, base=10000.0):
    turn = torch.arange(length).double()[:, None] / base ** (torch.arange(d // 2).double() * 2 / d)
    both = torch.polar(torch.ones_like(turn), turn)
    return both.real.to(dtype), both.imag.to(dtype)
