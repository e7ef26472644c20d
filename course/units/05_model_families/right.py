"""Other right styles for the exercises of unit 05: loops, other layouts, what an honest learner might write."""

# %% exercise="count_parameters" right="part_by_part"
def count_parameters(settings):
    s = settings
    d = s["width"]

    def linear(a, b, bias=None):
        return a * b + (b if (s["bias"] if bias is None else bias) else 0)

    if s["norm"] == "layer":
        norm = 2 * d
    elif s["norm"] == "rms":
        norm = d
    else:
        raise ValueError("norm")
    total = 0
    for _ in range(s["layers"]):
        total += 2 * linear(d, d) + 2 * linear(d, s["kv_width"])
        total += linear(d, s["hidden"]) + linear(s["hidden"], d) + 2 * norm
        if s["gated"]:
            total += linear(d, s["hidden"])
    for key in ("embedding_norm", "final_norm"):
        if s[key]:
            total += norm
    for key in ("vocab", "positions", "segments"):
        total += s[key] * d
    if s["patch"] > 0:
        total += linear(s["patch"], d, True) + d
    if s["pooler"]:
        total += linear(d, d, True)
    if s["head"] not in ["none", "tied", "own"]:
        raise ValueError("head")
    return total + (s["vocab"] * d if s["head"] == "own" else 0)

# %% exercise="count_parameters" right="torch_modules_on_the_meta_device"
def count_parameters(settings):
    D, hidden, bias = settings["width"], settings["hidden"], settings["bias"]
    kinds = {"layer": nn.LayerNorm, "rms": nn.RMSNorm}
    if settings["norm"] not in kinds or settings["head"] not in {"none", "tied", "own"}:
        raise ValueError(f"unknown norm or head: {settings['norm']}, {settings['head']}")
    with torch.device("meta"):
        norm = kinds[settings["norm"]](D)
        one = [nn.Linear(D, D, bias)] + [nn.Linear(D, settings["kv_width"], bias) for _ in "kv"]
        one += [nn.Linear(D, D, bias), nn.Linear(D, hidden, bias), nn.Linear(hidden, D, bias), norm, norm]
        one += [nn.Linear(D, hidden, bias)] if settings["gated"] else []
        once = [nn.Embedding(settings[name], D) for name in ("vocab", "positions", "segments") if settings[name]]
        once += [norm] * (int(settings["embedding_norm"]) + int(settings["final_norm"]))
        once += [nn.Linear(settings["patch"] + 1, D)] if settings["patch"] else []  # the column more is [CLS]
        once += [nn.Linear(D, D)] if settings["pooler"] else []
        once += [nn.Linear(D, settings["vocab"], bias=False)] if settings["head"] == "own" else []

    def size(modules):
        return sum(p.numel() for module in modules for p in module.parameters())

    return settings["layers"] * size(one) + size(once)

# %% exercise="mlm_corrupt" right="one_position_after_another"
def mlm_corrupt(ids, special, choose, change, word, mask_id, vocab_size, rate=0.15):
    corrupted, labels = [], []
    for b, row in enumerate(ids.tolist()):
        read, asked = list(row), [-100] * len(row)
        for t, token in enumerate(row):
            if special[b, t] or choose[b, t] >= rate:
                continue
            asked[t] = token
            u = float(change[b, t])
            if u < 0.8:
                read[t] = mask_id
            elif u < 0.9:
                read[t] = int(float(word[b, t]) * vocab_size)
        corrupted.append(read)
        labels.append(asked)
    return torch.tensor(corrupted), torch.tensor(labels)

# %% exercise="mlm_corrupt" right="written_in_place_into_a_copy"
def mlm_corrupt(ids, special, choose, change, word, mask_id, vocab_size, rate=0.15):
    out = ids.clone()
    labels = torch.full_like(ids, -100)
    chosen = torch.logical_and(choose.lt(rate), special.logical_not())
    labels[chosen] = ids[chosen]
    bands = torch.bucketize(change, torch.tensor([0.8, 0.9], dtype=change.dtype), right=True)
    out[chosen & (bands == 0)] = mask_id
    some = chosen & (bands == 1)
    out[some] = (word[some] * vocab_size).to(torch.int64)
    return out, labels

# %% exercise="corruption_shares" right="means_of_booleans"
def corruption_shares(corrupted, labels, mask_id):
    read, asked = corrupted[labels >= 0], labels[labels >= 0]
    masked = (read == mask_id).double().mean().item()
    other = ((read != mask_id) & (read != asked)).double().mean().item()
    return (masked, other, (read == asked).double().mean().item())

# %% exercise="corruption_shares" right="a_counter"
def corruption_shares(corrupted, labels, mask_id):
    counts = {"mask": 0, "other": 0, "same": 0}
    for read, asked in zip(corrupted.reshape(-1).tolist(), labels.reshape(-1).tolist()):
        if asked != -100:
            counts["mask" if read == mask_id else "same" if read == asked else "other"] += 1
    total = sum(counts.values())
    return tuple(count / total for count in counts.values())

# %% exercise="published_shares" right="two_decimals"
published_shares = dict(
    mask_then_half=9.98, mask_then_tenth=2.0, random_then_mask=1.01, random_then_rest=10.03, right="mask_then_half"
)

# %% exercise="published_shares" right="by_arithmetic"
published_shares = {
    "right": "mask_then_half",
    "mask_then_half": 100 * 0.2 * 0.5,
    "mask_then_tenth": 100 * (1 - 0.8) * 0.1,
    "random_then_mask": 100 * 0.1 * 0.1,
    "random_then_rest": 100 * 0.1,
}

# %% exercise="repaired_corrupt" right="one_position_after_another"
def repaired_corrupt(ids, chosen, random_draw, mask_draw, words, mask_id):
    corrupted, labels = ids.clone(), ids.clone()
    for b in range(len(ids)):
        for t in range(len(ids[b])):
            if not chosen[b, t]:
                labels[b, t] = -100
            elif random_draw[b, t] < 0.1:
                corrupted[b, t] = words[b, t]
            elif mask_draw[b, t] < 8 / 9:
                corrupted[b, t] = mask_id
    return corrupted, labels

# %% exercise="repaired_corrupt" right="masks_first_then_random_words_on_top"
def repaired_corrupt(ids, chosen, random_draw, mask_draw, words, mask_id):
    labels = ids.masked_fill(~chosen, -100)
    corrupted = ids.masked_fill(chosen & (mask_draw * 0.9 < 0.8), mask_id)
    random = chosen & (random_draw < 0.1)
    corrupted[random] = words[random]
    return corrupted, labels

# %% exercise="next_sentence_pairs" right="numbers_and_a_counter"
def next_sentence_pairs(documents, draws):
    n = len(documents)
    if n <= 1:
        raise ValueError("need two documents")
    result, row = [], 0
    for d in range(n):
        for s in range(len(documents[d]) - 1):
            if draws[row, 0] < 0.5:
                second, label = documents[d][s + 1], 0
            else:
                other = int(draws[row, 1] * (n - 1))
                other += other >= d  # step over the own document
                second = documents[other][math.floor(float(draws[row, 2]) * len(documents[other]))]
                label = 1
            result.append((documents[d][s], second, label))
            row += 1
    return result

# %% exercise="next_sentence_pairs" right="a_generator_of_places"
def next_sentence_pairs(documents, draws):
    if not documents[1:]:
        raise ValueError("a negative needs a second document")
    places = [(d, s) for d, document in enumerate(documents) for s in range(1, len(document))]

    def negative(d, u, v):
        pool = [text for number, text in enumerate(documents) if number != d]
        text = pool[int(u * len(pool))]
        return text[int(v * len(text))]

    return [
        (documents[d][s - 1], documents[d][s], 0) if kind < 0.5 else (documents[d][s - 1], negative(d, u, v), 1)
        for (d, s), (kind, u, v) in zip(places, draws.tolist(), strict=True)
    ]

# %% exercise="BertEncoder" right="layers_as_classes"
class Mlp(nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        self.up, self.down = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x):
        inner = self.up(x)
        return self.down(inner * 0.5 * (1 + torch.erf(inner / math.sqrt(2))))


class BertLayer(nn.Module):
    def __init__(self, width, heads, hidden):
        super().__init__()
        self.attention, self.feed_forward = MultiHeadAttention(width, heads), Mlp(width, hidden)
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=1e-12), nn.LayerNorm(width, eps=1e-12)

    def forward(self, x, mask):
        mixed, weights = self.attention(x, mask)
        x = self.norm1(x + mixed)
        return self.norm2(x + self.feed_forward(x)), weights


class BertEncoder(nn.Module):
    def __init__(self, vocab_size, width, heads, layers, hidden, max_length=512, segments=2):
        super().__init__()
        self.max_length = max_length
        self.token_embedding = nn.Embedding(vocab_size, width)
        self.position_embedding = nn.Embedding(max_length, width)
        self.segment_embedding = nn.Embedding(segments, width)
        self.embedding_norm = nn.LayerNorm(width, eps=1e-12)
        self.encoder = nn.ModuleList([BertLayer(width, heads, hidden) for _ in range(layers)])
        self.register_buffer("position_ids", torch.arange(max_length))

    def inspect(self, ids, keep=None, segments=None):
        if ids.size(1) > self.max_length:
            raise ValueError("too long")
        if keep is None:
            keep = torch.ones_like(ids, dtype=torch.bool)
        if segments is None:
            segments = ids.new_zeros(ids.shape)
        x = self.token_embedding(ids) + self.position_embedding(self.position_ids[: ids.size(1)])[None]
        x = self.embedding_norm(x + self.segment_embedding(segments))
        states, weights = [x], []
        for layer in self.encoder:
            x, w = layer(x, keep.unsqueeze(1).unsqueeze(2))
            states.append(x)
            weights.append(w)
        return states, weights

    def forward(self, ids, keep=None, segments=None):
        states, _ = self.inspect(ids, keep, segments)
        return states[-1]

# %% exercise="BertEncoder" right="additive_mask_and_own_norm"
class Norm(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))

    def forward(self, x):
        centred = x - x.mean(-1, keepdim=True)
        return centred / (centred.pow(2).mean(-1, keepdim=True) + 1e-12).sqrt() * self.weight + self.bias


class BertEncoder(nn.Module):
    def __init__(self, vocab_size, width, heads, layers, hidden, max_length=512, segments=2):
        super().__init__()
        for name, rows in (("token", vocab_size), ("position", max_length), ("segment", segments)):
            setattr(self, f"{name}_embedding", nn.Embedding(rows, width))
        self.embedding_norm = Norm(width)
        self.encoder = nn.ModuleList(nn.Module() for _ in range(layers))
        for layer in self.encoder:
            layer.attention, layer.norm1, layer.norm2 = MultiHeadAttention(width, heads), Norm(width), Norm(width)
            layer.feed_forward = nn.Module()
            layer.feed_forward.up, layer.feed_forward.down = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def inspect(self, ids, keep=None, segments=None):
        T = ids.shape[-1]
        if T > len(self.position_embedding.weight):
            raise ValueError(f"{T} tokens are too many")
        x = self.token_embedding.weight[ids] + self.position_embedding.weight[:T]
        x = x + (self.segment_embedding.weight[0] if segments is None else self.segment_embedding.weight[segments])
        mask = None
        if keep is not None:
            mask = torch.zeros(keep.shape, dtype=x.dtype).masked_fill(keep.logical_not(), -math.inf)[:, None, None]
        states, weights = [self.embedding_norm(x)], []
        for layer in self.encoder:
            out, seen = layer.attention(states[-1], mask)
            x = layer.norm1(states[-1] + out)
            y = layer.feed_forward.down(nn.functional.gelu(layer.feed_forward.up(x)))
            states.append(layer.norm2(x + y))
            weights.append(seen)
        return states, weights

    def forward(self, *args, **kwargs):
        return self.inspect(*args, **kwargs)[0][-1]

# %% exercise="masked_mean_pool" right="einsum"
def masked_mean_pool(states, keep):
    real = torch.where(keep.unsqueeze(-1), states, torch.zeros_like(states))
    weights = keep.to(states.dtype)
    return torch.einsum("btd,bt->bd", real, weights) / weights.sum(1).clamp(min=1.0)[:, None]

# %% exercise="masked_mean_pool" right="row_by_row"
def masked_mean_pool(states, keep):
    rows = []
    for vectors, real in zip(states, keep):
        chosen = vectors[real]
        rows.append(chosen.mean(0) if len(chosen) else vectors.new_zeros(vectors.shape[-1]))
    return torch.stack(rows)

# %% exercise="repaired_distances" right="row_by_row"
def repaired_distances(query, states, keep):
    return torch.stack([torch.linalg.vector_norm(rows[real].mean(0) - query) for rows, real in zip(states, keep)])

# %% exercise="repaired_distances" right="a_sum_and_a_count"
def repaired_distances(query, states, keep):
    total = torch.where(keep[..., None], states, 0.0).sum(1)
    vectors = total / keep.sum(1)[:, None]
    return ((vectors - query) ** 2).sum(-1) ** 0.5

# %% exercise="ClassificationHead" right="functional_dropout"
class ClassificationHead(nn.Module):
    def __init__(self, width, classes, dropout=0.1):
        super().__init__()
        self.pooler, self.classifier, self.p = nn.Linear(width, width), nn.Linear(width, classes), dropout

    def forward(self, states):
        first = states.select(1, 0)
        pooled = (first @ self.pooler.weight.T + self.pooler.bias).tanh()
        pooled = nn.functional.dropout(pooled, self.p, training=self.training)
        return nn.functional.linear(pooled, self.classifier.weight, self.classifier.bias)

# %% exercise="ClassificationHead" right="every_token_then_the_first"
class ClassificationHead(nn.Module):
    def __init__(self, width, classes, dropout=0.1):
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.pooler = nn.Linear(width, width)
        self.classifier = nn.Linear(width, classes)

    def forward(self, states):
        return self.classifier(self.dropout(nn.functional.tanh(self.pooler(states))))[:, 0, :]

# %% exercise="tagging_loss" right="labels_of_minus_100"
def tagging_loss(logits, tags, word_of):
    labels = torch.full_like(word_of, -100)
    for b, row in enumerate(word_of.tolist()):
        seen = -1
        for t, word in enumerate(row):
            if word > seen:
                labels[b, t] = tags[b, word]
                seen = word
    count = (labels != -100).sum()
    total = nn.functional.cross_entropy(logits.transpose(1, 2), labels, ignore_index=-100, reduction="sum")
    return total / max(count.item(), 1)

# %% exercise="tagging_loss" right="log_softmax_and_a_mask"
def tagging_loss(logits, tags, word_of):
    previous = nn.functional.pad(word_of, (1, 0), value=-1)[:, :-1]
    first = (word_of != previous) & (word_of != -1)
    rows = torch.arange(len(tags))[:, None].expand_as(word_of)
    asked = torch.where(first, tags[rows, word_of.clamp(0)], 0)
    losses = -logits.log_softmax(-1).gather(-1, asked.unsqueeze(-1)).squeeze(-1)
    return (losses * first).sum() / first.sum().clamp(1)

# %% exercise="span_loss" right="row_by_row"
def span_loss(logits, allowed, start, end):
    total = 0.0
    for b in range(logits.shape[0]):
        inside = logits[b][allowed[b]]
        total = total + 0.5 * (torch.logsumexp(inside[:, 0], 0) - logits[b, start[b], 0])
        total = total + 0.5 * (torch.logsumexp(inside[:, 1], 0) - logits[b, end[b], 1])
    return total / logits.shape[0]

# %% exercise="span_loss" right="both_columns_at_once"
def span_loss(logits, allowed, start, end):
    low = torch.finfo(logits.dtype).min
    scores = torch.where(allowed.unsqueeze(-1), logits, torch.full_like(logits, low))
    places = torch.stack([start, end], dim=-1)  # (B, 2)
    return nn.functional.cross_entropy(scores, places)  # axis 1 are the classes

# %% exercise="best_span" right="two_loops"
def best_span(logits, allowed, max_length):
    found = []
    for scores, may in zip(logits.tolist(), allowed.tolist()):
        best, span = -math.inf, None
        for start in range(len(scores)):
            for end in range(start, min(len(scores), start + max_length)):
                if may[start] and may[end] and scores[start][0] + scores[end][1] > best:
                    best, span = scores[start][0] + scores[end][1], [start, end]
        found.append(span)
    return torch.tensor(found)

# %% exercise="best_span" right="triangle_of_a_table"
def best_span(logits, allowed, max_length):
    B, T, _ = logits.shape
    band = torch.ones(T, T, dtype=torch.bool).triu() & ~torch.ones(T, T, dtype=torch.bool).triu(max_length)
    starts = logits[..., 0].masked_fill(~allowed, -float("inf"))
    ends = logits[..., 1].masked_fill(~allowed, -float("inf"))
    table = (starts.unsqueeze(2) + ends.unsqueeze(1)).masked_fill(~band, -float("inf")).view(B, -1)
    place = table.max(dim=1, keepdim=True).values.eq(table).int().argmax(1)
    return torch.stack(torch.unravel_index(place, (T, T)), dim=-1)

# %% exercise="grouped_query_attention" right="queries_in_groups"
def grouped_query_attention(q, k, v, mask=None):
    (B, H, T, d), G, S = q.shape, k.shape[1], k.shape[2]
    if H % G != 0:
        raise ValueError("heads")
    q = q.reshape(B, G, H // G, T, d)
    scores = torch.einsum("bgrtd,bgsd->bgrts", q, k) / math.sqrt(d)
    if mask is not None:
        mask = mask.expand(B, H, T, S).reshape(B, G, H // G, T, S)
    weights = masked_softmax(scores, mask)
    return torch.einsum("bgrts,bgse->bgrte", weights, v).reshape(B, H, T, v.shape[-1])

# %% exercise="grouped_query_attention" right="head_by_head"
def grouped_query_attention(q, k, v, mask=None):
    B, H, T, d = q.shape
    G = k.shape[1]
    if H % G:
        raise ValueError(f"{H} and {G}")
    out = []
    for h in range(H):
        g = h // (H // G)
        scores = q[:, h] @ k[:, g].transpose(1, 2) / d**0.5
        if mask is None:
            out.append(scores.softmax(-1) @ v[:, g])
            continue
        may = torch.broadcast_to(mask, (B, H, T, k.shape[2]))[:, h]
        hidden = scores.masked_fill(~may, -1e30)
        e = torch.exp(hidden - hidden.amax(-1, keepdim=True).detach()) * may
        total = e.sum(-1, keepdim=True)
        out.append(e / torch.where(total == 0, 1, total) @ v[:, g])
    return torch.stack(out, dim=1)

# %% exercise="LlamaBlock" right="einsum_and_views"
class LlamaBlock(nn.Module):
    def __init__(self, width, heads, kv_heads, hidden, head_width=None, base=10000.0, eps=1e-6, qk_norm=False):
        super().__init__()
        if head_width is None:
            if width % heads != 0:
                raise ValueError("width")
            head_width = width // heads
        if heads % kv_heads != 0:
            raise ValueError("kv_heads")
        self.H, self.G, self.d, self.base, self.qk = heads, kv_heads, head_width, base, qk_norm
        self.feed_forward = SwiGLU(width, hidden)
        self.norm2 = RMSNorm(width, eps=eps)
        self.norm1 = RMSNorm(width, eps=eps)
        self.w_o = nn.Linear(heads * head_width, width, bias=False)
        self.w_v = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_k = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_q = nn.Linear(width, heads * head_width, bias=False)
        if qk_norm:
            self.q_norm = RMSNorm(head_width, eps=eps)
            self.k_norm = RMSNorm(head_width, eps=eps)

    def attend(self, x, positions, mask):
        B, T, _ = x.shape
        q = self.w_q(x).view(B, T, self.H, self.d)
        k = self.w_k(x).view(B, T, self.G, self.d)
        v = self.w_v(x).view(B, T, self.G, self.d)
        if self.qk:
            q, k = self.q_norm(q), self.k_norm(k)
        q, k, v = q.permute(0, 2, 1, 3), k.permute(0, 2, 1, 3), v.permute(0, 2, 1, 3)
        q, k = (apply_rope(t, positions, base=self.base, pairing="half") for t in (q, k))
        shared = self.H // self.G
        k, v = k.repeat_interleave(shared, 1), v.repeat_interleave(shared, 1)
        scores = torch.einsum("bhtd,bhsd->bhts", q, k) / math.sqrt(self.d)
        rows = torch.arange(T)
        may = rows[None, :] <= rows[:, None]
        if mask is not None:
            may = torch.logical_and(may, mask)
        weights = masked_softmax(scores, may)
        return self.w_o(torch.einsum("bhts,bhsd->bthd", weights, v).reshape(B, T, self.H * self.d))

    def forward(self, x, positions=None, mask=None):
        if positions is None:
            positions = torch.arange(x.shape[1])
        after = x + self.attend(self.norm1(x), positions, mask)
        return after + self.feed_forward(self.norm2(after))

# %% exercise="LlamaBlock" right="own_rotations_and_float_bias"
class LlamaBlock(nn.Module):
    def __init__(self, width, heads, kv_heads, hidden, head_width=None, base=10000.0, eps=1e-6, qk_norm=False):
        super().__init__()
        if heads % kv_heads:
            raise ValueError("heads")
        if head_width is None and width % heads:
            raise ValueError("width")
        d = head_width if head_width is not None else width // heads
        self.norm1, self.norm2 = RMSNorm(width, eps), RMSNorm(width, eps)
        q, kv = heads * d, kv_heads * d
        for name, rows, columns in (("w_q", q, width), ("w_k", kv, width), ("w_v", kv, width), ("w_o", width, q)):
            setattr(self, name, nn.Linear(columns, rows, bias=False))
        self.feed_forward = SwiGLU(width, hidden)
        if qk_norm:
            self.q_norm, self.k_norm = RMSNorm(d, eps), RMSNorm(d, eps)
        self.d, self.base, self.qk_norm = d, base, qk_norm

    def rotate(self, x, positions):
        i = torch.arange(self.d // 2, dtype=torch.float64)
        angle = positions[:, None].double() / self.base ** (2 * i / self.d)
        cos, sin = (torch.cat([f(angle)] * 2, dim=-1).to(x.dtype) for f in (torch.cos, torch.sin))
        first, second = x.chunk(2, dim=-1)
        return x * cos + torch.cat([-second, first], dim=-1) * sin

    def forward(self, x, positions=None, mask=None):
        B, T, _ = x.shape
        positions = torch.arange(T) if positions is None else positions
        h = self.norm1(x)
        q, k, v = [w(h).reshape(B, T, -1, self.d).transpose(1, 2) for w in (self.w_q, self.w_k, self.w_v)]
        if self.qk_norm:
            q, k = self.q_norm(q), self.k_norm(k)
        may = torch.tril(torch.ones(T, T, dtype=torch.bool))
        if mask is not None:
            may = may & mask
        mixed = grouped_query_attention(self.rotate(q, positions), self.rotate(k, positions), v, may)
        x = x + self.w_o(mixed.transpose(1, 2).reshape(B, T, -1))
        return x + self.feed_forward(self.norm2(x))

# %% exercise="GPT" right="block_class_and_second_name"
class GPTBlock(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = MultiHeadAttention(width, heads)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x, mask):
        out, _ = self.attention(self.norm1(x), mask)
        x = x + out
        z = self.up(self.norm2(x))
        return x + self.down(0.5 * z * (1 + torch.tanh(math.sqrt(2 / math.pi) * (z + 0.044715 * z**3))))


class GPT(nn.Module):
    def __init__(self, vocab, context, width, heads, layers):
        super().__init__()
        self.token_embedding = nn.Embedding(vocab, width)
        self.position_embedding = nn.Embedding(context, width)
        self.blocks = nn.ModuleList([GPTBlock(width, heads) for _ in range(layers)])
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, vocab, bias=False)
        self.apply(self.start)
        for block in self.blocks:
            for last in (block.attention.w_o, block.down):
                nn.init.normal_(last.weight, 0.0, 0.02 / (2 * layers) ** 0.5)
        self.head.weight = self.token_embedding.weight
        self.context = context

    @staticmethod
    def start(module):
        if isinstance(module, (nn.Linear, nn.Embedding)):
            nn.init.normal_(module.weight, 0.0, 0.02)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)

    def forward(self, ids):
        B, T = ids.shape
        if T > self.context:
            raise ValueError(f"{T} > {self.context}")
        x = self.token_embedding(ids) + self.position_embedding(torch.arange(T))
        mask = torch.arange(T)[:, None] >= torch.arange(T)[None, :]
        for block in self.blocks:
            x = block(x, mask)
        return self.head(self.norm(x))

# %% exercise="GPT" right="additive_mask_in_a_buffer"
class GPT(nn.Module):
    def __init__(self, vocab, context, width, heads, layers):
        super().__init__()
        self.register_buffer("future", torch.full((context, context), -math.inf).triu(1))
        self.norm = nn.LayerNorm(width)
        self.blocks = nn.Sequential()
        for i in range(layers):
            block = nn.Module()
            block.norm1, block.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
            block.attention = MultiHeadAttention(width, heads)
            block.up, block.down = nn.Linear(width, width * 4), nn.Linear(width * 4, width)
            self.blocks.append(block)
        self.position_embedding, self.token_embedding = nn.Embedding(context, width), nn.Embedding(vocab, width)
        with torch.no_grad():
            for name, p in self.named_parameters():
                if "norm" in name:
                    continue
                small = "down.weight" in name or "w_o.weight" in name
                deviation = 0.02 / math.sqrt(2 * layers) if small else 0.02
                p.copy_(torch.randn(p.shape) * deviation if p.ndim > 1 else torch.zeros(p.shape))

    def forward(self, ids):
        if ids.shape[1] > self.future.shape[0]:
            raise ValueError("the sequence is longer than the context")
        T = ids.shape[1]
        x = nn.functional.embedding(ids, self.token_embedding.weight) + self.position_embedding.weight[None, :T]
        for block in self.blocks:
            x = x + block.attention(block.norm1(x), self.future[:T, :T])[0]
            x = x + block.down(nn.GELU(approximate="tanh")(block.up(block.norm2(x))))
        return torch.einsum("btd,vd->btv", self.norm(x), self.token_embedding.weight)

# %% exercise="GemmaBlock" right="queries_in_groups_and_own_scale"
class GemmaBlock(nn.Module):
    def __init__(self, width, heads, kv_heads, head_width, hidden, base=10000.0, window=None, eps=1e-6):
        super().__init__()
        if heads % kv_heads != 0:
            raise ValueError("kv_heads")
        self.base, self.window = base, window
        self.shape = kv_heads, heads // kv_heads, head_width
        self.down = nn.Linear(hidden, width, bias=False)
        self.up = nn.Linear(width, hidden, bias=False)
        self.gate = nn.Linear(width, hidden, bias=False)
        self.w_o = nn.Linear(heads * head_width, width, bias=False)
        self.w_v = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_k = nn.Linear(width, kv_heads * head_width, bias=False)
        self.w_q = nn.Linear(width, heads * head_width, bias=False)
        for name in ("norm1", "norm2", "norm3", "norm4", "q_norm", "k_norm"):
            setattr(self, name, RMSNorm(head_width if "_" in name else width, eps=eps))

    def attention(self, x, positions):
        B, T, _ = x.shape
        G, R, d = self.shape
        q = self.q_norm(self.w_q(x).view(B, T, G, R, d)).permute(0, 2, 3, 1, 4)
        k = self.k_norm(self.w_k(x).view(B, T, G, d)).permute(0, 2, 1, 3)
        v = self.w_v(x).view(B, T, G, d).permute(0, 2, 1, 3)
        q, k = apply_rope(q, positions, self.base) * d**-0.5, apply_rope(k, positions, self.base)
        scores = torch.einsum("bgrtd,bgsd->bgrts", q, k)
        may = torch.ones(T, T, dtype=torch.bool).tril()
        if self.window is not None:
            may = may.triu(1 - self.window)
        weights = scores.masked_fill(~may, -math.inf).softmax(-1)
        return self.w_o(torch.einsum("bgrts,bgsd->btgrd", weights, v).flatten(2))

    def forward(self, x, positions=None):
        if positions is None:
            positions = torch.arange(x.shape[1])
        x = x + self.norm2(self.attention(self.norm1(x), positions))
        h = self.norm3(x)
        gate = self.gate(h)
        gate = 0.5 * gate * (1 + torch.tanh(math.sqrt(2 / math.pi) * (gate + 0.044715 * gate**3)))
        return x + self.norm4(self.down(gate * self.up(h)))

# %% exercise="GemmaBlock" right="head_by_head"
class GemmaBlock(nn.Module):
    def __init__(self, width, heads, kv_heads, head_width, hidden, base=10000.0, window=None, eps=1e-6):
        super().__init__()
        if heads % kv_heads:
            raise ValueError((heads, kv_heads))
        self.heads, self.kv_heads, self.base, self.window = heads, kv_heads, base, window
        self.norm1, self.norm2 = RMSNorm(width, eps), RMSNorm(width, eps)
        self.norm3, self.norm4 = RMSNorm(width, eps), RMSNorm(width, eps)
        self.q_norm, self.k_norm = RMSNorm(head_width, eps), RMSNorm(head_width, eps)

        def linear(rows, columns):
            return nn.Linear(rows, columns, bias=False)

        self.w_q, self.w_o = linear(width, heads * head_width), linear(heads * head_width, width)
        self.w_k, self.w_v = linear(width, kv_heads * head_width), linear(width, kv_heads * head_width)
        self.gate, self.up, self.down = linear(width, hidden), linear(width, hidden), linear(hidden, width)

    def forward(self, x, positions=None):
        T = x.shape[1]
        positions = torch.arange(T) if positions is None else positions
        normed = self.norm1(x)
        qs, ks, vs = (w(normed).chunk(n, dim=-1) for w, n in
                      ((self.w_q, self.heads), (self.w_k, self.kv_heads), (self.w_v, self.kv_heads)))
        outs = []
        for h, q in enumerate(qs):
            g = h * self.kv_heads // self.heads
            q = apply_rope(self.q_norm(q), positions, self.base)
            k = apply_rope(self.k_norm(ks[g]), positions, self.base)
            scores = q @ k.mT / q.shape[-1] ** 0.5
            for t in range(T):
                first = 0 if self.window is None else max(0, t - self.window + 1)
                row = scores[:, t, first : t + 1].softmax(-1)
                outs.append((row[:, None] @ vs[g][:, first : t + 1])[:, 0])
        mixed = torch.stack(outs, 1).unflatten(1, (self.heads, T)).transpose(1, 2).flatten(2)
        x = x + self.norm2(self.w_o(mixed))
        h = self.norm3(x)
        return x + self.norm4(self.down(nn.functional.gelu(self.gate(h), approximate="tanh") * self.up(h)))

# %% exercise="prefix_lm_mask" right="one_row_at_a_time"
def prefix_lm_mask(prefix, length):
    rows = []
    for n in prefix.tolist():
        if not 0 <= n <= length:
            raise ValueError(f"prefix {n}")
        mask = torch.tril(torch.ones(length, length)) > 0
        mask[:n, :n] = True
        rows.append(mask)
    return torch.stack(rows).unsqueeze(1)

# %% exercise="prefix_lm_mask" right="by_the_query"
def prefix_lm_mask(prefix, length):
    if bool(prefix.min() < 0) or bool(prefix.max() > length):
        raise ValueError("a prefix does not fit")
    query = torch.arange(length).view(1, 1, length, 1)
    key = torch.arange(length).view(1, 1, 1, length)
    n = prefix.view(-1, 1, 1, 1)
    return torch.where(query < n, key < n, key <= query)

# %% exercise="t5_span_corrupt" right="backwards"
def t5_span_corrupt(ids, starts, lengths, vocab_size, n_sentinels=100):
    inputs = ids.tolist() if isinstance(ids, torch.Tensor) else list(ids)
    starts, lengths = torch.as_tensor(starts).tolist(), torch.as_tensor(lengths).tolist()
    if len(starts) != len(lengths):
        raise ValueError("starts and lengths differ in number")
    n = len(starts)
    if n + 1 > n_sentinels:
        raise ValueError("not enough sentinels")
    spans = sorted(zip(starts, lengths))
    if any(length <= 0 or start < 0 or start + length > len(inputs) for start, length in spans):
        raise ValueError("a span is empty or outside")
    if any(a + m > b for (a, m), (b, _) in zip(spans, spans[1:])):
        raise ValueError("two spans overlap")
    targets = [vocab_size - n - 1]
    for i in reversed(range(n)):
        start, length = spans[i]
        targets = [vocab_size - i - 1] + inputs[start : start + length] + targets
        inputs[start : start + length] = [vocab_size - i - 1]
    return inputs, targets

# %% exercise="t5_span_corrupt" right="marks_every_token"
def t5_span_corrupt(ids, starts, lengths, vocab_size, n_sentinels=100):
    ids = [int(i) for i in ids]
    owner = [None] * len(ids)
    if len(starts) != len(lengths) or len(starts) + 1 > n_sentinels:
        raise ValueError("too many")
    ordered = sorted(range(len(starts)), key=lambda i: int(starts[i]))
    for number, i in enumerate(ordered):
        start, length = int(starts[i]), int(lengths[i])
        if start < 0 or length < 1:
            raise ValueError("no such span")
        for place in range(start, start + length):
            if place >= len(ids) or owner[place] is not None:
                raise ValueError("outside, or taken")
            owner[place] = number
    inputs, targets, last = [], [], None
    for token, number in zip(ids, owner):
        if number is None:
            inputs.append(token)
        else:
            if number != last:
                inputs.append(vocab_size - 1 - number)
                targets.append(vocab_size - 1 - number)
            targets.append(token)
        last = number
    targets.append(vocab_size - 1 - len(starts))
    return inputs, targets

# %% exercise="bart_denoise" right="backwards"
def bart_denoise(sentences, order, spans, mask):
    if len(order) != len(sentences) or set(order) != set(range(len(sentences))):
        raise ValueError("order")
    inputs = []
    for i in order:
        inputs.extend(sentences[i])
    spans = sorted(spans)
    total = len(inputs)
    for place, (start, length) in enumerate(spans):
        if start < 0 or length < 0 or start + length > total:
            raise ValueError("span outside")
        if place and sum(spans[place - 1]) > start:
            raise ValueError("overlap")
    for start, length in reversed(spans):
        inputs[start : start + length] = [mask]
    targets = []
    for sentence in sentences:
        targets.extend(sentence)
    return inputs, targets

# %% exercise="bart_denoise" right="counts_masks_before_each_place"
def bart_denoise(sentences, order, spans, mask):
    from collections import Counter

    if Counter(order) != Counter(range(len(sentences))):
        raise ValueError("order is no permutation")
    text = sum([sentences[i] for i in order], [])
    gone = set()
    for start, length in spans:
        if min(start, length) < 0 or start + length > len(text):
            raise ValueError("outside")
        places = set(range(start, start + length))
        if places & gone:
            raise ValueError("overlap")
        gone |= places
    for start, length in spans:
        if length == 0 and any(s < start < s + n for s, n in spans):
            raise ValueError("inside another span")
    before = Counter(start for start, _ in spans)
    inputs = []
    for place in range(len(text) + 1):
        inputs += [mask] * before[place]
        if place < len(text) and place not in gone:
            inputs.append(text[place])
    return inputs, sum(sentences, [])

# %% exercise="t5_relative_bucket" right="one_number_at_a_time"
def t5_relative_bucket(relative_position, bidirectional=True, num_buckets=32, max_distance=128):
    rows = []
    for relative in relative_position.reshape(-1).tolist():
        n, shift, total = -relative, 0, num_buckets
        if bidirectional:
            total //= 2
            if relative > 0:
                shift, n = total, relative
        n = max(n, 0)
        exact = total // 2
        if n >= exact:
            n = exact + int(math.log(n / exact) / math.log(max_distance / exact) * (total - exact))
        rows.append(shift + min(n, total - 1))
    return torch.tensor(rows, dtype=torch.int64).reshape(relative_position.shape)

# %% exercise="t5_relative_bucket" right="in_float32"
def t5_relative_bucket(relative_position, bidirectional=True, num_buckets=32, max_distance=128):
    buckets = torch.zeros_like(relative_position)
    if bidirectional:
        num_buckets //= 2
        buckets = buckets + (relative_position > 0).to(torch.long) * num_buckets
        n = torch.abs(relative_position)
    else:
        n = -torch.minimum(relative_position, torch.zeros_like(relative_position))
    exact = num_buckets // 2
    large = exact + (
        torch.log(n.float() / exact + 1e-12) / math.log(max_distance / exact) * (num_buckets - exact)
    ).clamp(min=0).to(torch.long)
    large = torch.minimum(large, torch.full_like(large, num_buckets - 1))
    return buckets + torch.where(n < exact, n, large)

# %% exercise="T5Attention" right="one_head_at_a_time"
class T5Attention(nn.Module):
    def __init__(self, width, heads, head_width, num_buckets=0, max_distance=128, bidirectional=True):
        super().__init__()
        self.H, self.d, self.buckets = heads, head_width, num_buckets
        self.far, self.both = max_distance, bidirectional
        for name in "qkv":
            setattr(self, name, nn.Linear(width, heads * head_width, bias=False))
        self.o = nn.Linear(heads * head_width, width, bias=False)
        if num_buckets > 0:
            self.relative_bias = nn.Embedding(num_buckets, heads)

    def forward(self, x, mask=None, memory=None, bias=None):
        B, T = x.shape[:2]
        if memory is not None:
            bias = None
        elif bias is None and self.buckets > 0:
            ids = t5_relative_bucket(
                torch.arange(T).view(1, T) - torch.arange(T).view(T, 1), self.both, self.buckets, self.far
            )
            bias = torch.stack([self.relative_bias.weight[ids, h] for h in range(self.H)]).unsqueeze(0)
        source = memory if memory is not None else x
        q, k, v = self.q(x), self.k(source), self.v(source)
        S = source.shape[1]
        full = None if mask is None else mask.expand(B, self.H, T, S)
        outs, all_weights = [], []
        for h in range(self.H):
            part = slice(h * self.d, h * self.d + self.d)
            scores = torch.bmm(q[:, :, part], k[:, :, part].transpose(1, 2))
            if bias is not None:
                scores = scores + bias[:, h]
            if full is not None:
                scores = scores.masked_fill(full[:, h].logical_not(), torch.finfo(scores.dtype).min)
            weights = torch.softmax(scores, dim=-1)
            all_weights.append(weights)
            outs.append(torch.bmm(weights, v[:, :, part]))
        return self.o(torch.cat(outs, dim=-1)), torch.stack(all_weights, dim=1), bias

# %% exercise="T5Attention" right="einsum_and_a_bias_of_zero"
class T5Attention(nn.Module):
    def __init__(self, width, heads, head_width, num_buckets=0, max_distance=128, bidirectional=True):
        super().__init__()
        inner = heads * head_width
        self.q = nn.Linear(width, inner, bias=False)
        self.k = nn.Linear(width, inner, bias=False)
        self.v = nn.Linear(width, inner, bias=False)
        self.o = nn.Linear(inner, width, bias=False)
        if num_buckets:
            self.relative_bias = nn.Embedding(num_buckets, heads)
        self.shape, self.settings = (heads, head_width), (bidirectional, num_buckets, max_distance)

    def forward(self, x, mask=None, memory=None, bias=None):
        cross = memory is not None
        source = memory if cross else x
        q = self.q(x).reshape(*x.shape[:2], *self.shape)
        k = self.k(source).reshape(*source.shape[:2], *self.shape)
        v = self.v(source).reshape(*source.shape[:2], *self.shape)
        scores = torch.einsum("bthd,bshd->bhts", q, k)
        if cross:
            bias = None
        elif bias is None and hasattr(self, "relative_bias"):
            place = torch.arange(x.shape[1])
            bias = self.relative_bias(t5_relative_bucket(place[None] - place[:, None], *self.settings))
            bias = torch.einsum("tsh->hts", bias).unsqueeze(0)
        added = scores if bias is None else scores + bias
        if mask is not None:
            added = torch.where(mask, added, torch.tensor(float("-inf"), dtype=added.dtype))
        weights = added.softmax(dim=-1)
        return self.o(torch.einsum("bhts,bshd->bthd", weights, v).flatten(-2)), weights, bias

# %% exercise="objectives_finding" right="another_seed"
objectives_finding = {
    "encoder_figures": 0.9991, "decoder_figures": 0.367, "encoder_translates": 0.153, "decoder_translates": 0.979,
    "labels": 7.5, "blocked_by": "mask",
}

# %% exercise="objectives_finding" right="tensors_and_counted_draws"
objectives_finding = dict(
    encoder_figures=torch.tensor(0.99885), decoder_figures=torch.tensor(0.41082),
    encoder_translates=torch.tensor(0.0868), decoder_translates=torch.tensor(0.97222),
    labels=torch.tensor(7.3917), blocked_by="mask",
)

# %% exercise="patchify" right="slices"
def patchify(images, size):
    B, C, H, W = images.shape
    if H % size != 0 or W % size != 0:
        raise ValueError("ragged")
    out = []
    for i in range(H // size):
        for j in range(W // size):
            out.append(images[:, :, i * size : (i + 1) * size, j * size : (j + 1) * size].reshape(B, -1))
    return torch.stack(out, 1)

# %% exercise="patchify" right="tensor_unfold"
def patchify(images, size):
    if any(side % size for side in images.shape[-2:]):
        raise ValueError(f"{tuple(images.shape)} and {size}")
    windows = images.unfold(2, size, size).unfold(3, size, size)  # (B, C, h, w, P, P)
    return windows.movedim(1, 3).flatten(3).flatten(1, 2)

# %% exercise="ViT" right="convolution_of_the_linear_weight"
class ViT(nn.Module):
    def __init__(self, image, patch, channels, width, heads, layers, hidden, classes):
        super().__init__()
        if image[0] % patch or image[1] % patch:
            raise ValueError("patches do not fit")
        self.image, self.P, self.C = tuple(image), patch, channels
        self.cls = nn.Parameter(torch.randn(width))
        self.positions = nn.Parameter(torch.zeros(image[0] * image[1] // patch**2 + 1, width))
        self.embed = nn.Linear(channels * patch**2, width)
        self.layers = nn.Sequential(*[PreNormLayer(width, heads, hidden) for _ in range(layers)])
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.head = nn.Linear(width, classes)

    def tokens(self, images):
        if images.shape[1] != self.C or tuple(images.shape[-2:]) != self.image:
            raise ValueError("another image")
        kernel = self.embed.weight.view(-1, self.C, self.P, self.P)
        x = nn.functional.conv2d(images, kernel, self.embed.bias, stride=self.P).flatten(2).mT
        first = (self.cls + self.positions[0]).repeat(len(images), 1, 1)
        return self.norm(self.layers(torch.cat([first, x + self.positions[1:]], dim=1)))

    def forward(self, images):
        return self.head(self.tokens(images)[:, 0, :])

# %% exercise="ViT" right="an_empty_sequence_is_filled"
class ViT(nn.Module):
    def __init__(self, image, patch, channels, width, heads, layers, hidden, classes):
        super().__init__()
        self.patch, self.wanted = patch, [channels, image[0], image[1]]
        n = len(range(0, image[0], patch)) * len(range(0, image[1], patch))
        self.embed, self.head = nn.Linear(channels * patch * patch, width), nn.Linear(width, classes)
        self.positions, self.cls = nn.Parameter(torch.rand(n + 1, width)), nn.Parameter(torch.rand(width))
        self.norm, self.layers = nn.LayerNorm(width, eps=1e-6), nn.ModuleList()
        for _ in range(layers):
            self.layers.append(PreNormLayer(width, heads, hidden))

    def tokens(self, images):
        if list(images.shape[1:]) != self.wanted:
            raise ValueError(f"expected {self.wanted}")
        embedded = self.embed(patchify(images, self.patch))
        x = self.positions.repeat(len(images), 1, 1)
        x = x + nn.functional.pad(embedded, (0, 0, 1, 0))
        x = torch.cat([x[:, :1] + self.cls, x[:, 1:]], 1)
        for layer in self.layers:
            x = layer(x)
        return self.norm(x)

    def forward(self, images):
        return self.head(self.tokens(images).select(1, 0))

# %% exercise="clip_contrastive_loss" right="logsumexp_minus_diagonal"
def clip_contrastive_loss(images, texts, logit_scale, rank=0, ranks=1):
    a = images / torch.linalg.vector_norm(images, dim=1)[:, None]
    b = texts / torch.linalg.vector_norm(texts, dim=1)[:, None]
    n = a.shape[0] // ranks
    mine = slice(rank * n, rank * n + n)
    table = torch.exp(logit_scale) * torch.einsum("ie,je->ij", a, b)
    right = torch.diagonal(table)[mine]
    rows, columns = table.logsumexp(1)[mine], table.logsumexp(0)[mine]
    return 0.5 * (rows - right).mean() + 0.5 * (columns - right).mean()

# %% exercise="clip_contrastive_loss" right="own_rows_first"
def clip_contrastive_loss(images, texts, logit_scale, rank=0, ranks=1):
    images = images * images.square().sum(-1, keepdim=True).rsqrt()
    texts = texts * texts.square().sum(-1, keepdim=True).rsqrt()
    my_images, my_texts = images.chunk(ranks)[rank], texts.chunk(ranks)[rank]
    first = rank * len(my_images)
    total = 0
    for mine, others in ((my_images, texts), (my_texts, images)):
        scores = (mine @ others.transpose(0, 1) * logit_scale.exp()).log_softmax(dim=1)
        for i in range(len(mine)):
            total = total - scores[i, first + i]
    return total / (2 * len(my_images))

# %% exercise="log_mel" right="torch_stft"
def log_mel(wave, filters):
    window = torch.hann_window(400, dtype=wave.dtype)
    spectrum = torch.stft(wave, 400, 160, window=window, return_complex=True)
    mel = filters @ (spectrum[..., :-1].abs() ** 2)
    logs = torch.log10(torch.clamp(mel, min=1e-10))
    if wave.dim() == 1:
        return (torch.maximum(logs, logs.max() - 8.0) + 4.0) / 4.0
    loudest = torch.stack([row.max() for row in logs])[:, None, None]
    return (torch.maximum(logs, loudest - 8.0) + 4.0) / 4.0

# %% exercise="log_mel" right="frame_by_frame_in_float64"
def log_mel(wave, filters):
    if wave.dim() == 2:
        return torch.stack([log_mel(row, filters) for row in wave])
    wide, n = wave.double(), len(wave)
    padded = torch.cat([wide[1:201].flip(0), wide, wide[n - 201 : n - 1].flip(0)])
    k = torch.arange(400, dtype=torch.float64)
    window = torch.sin(math.pi * k / 400) ** 2
    rows = []
    for i in range(n // 160):
        found = torch.fft.fft(padded[i * 160 : i * 160 + 400] * window)[:201]
        rows.append(filters.double() @ (found.real**2 + found.imag**2))
    logs = torch.stack(rows, dim=1).clamp_min(1e-10).log() / math.log(10)
    return (logs.clamp_min(float(logs.max()) - 8) / 4 + 1).to(wave.dtype)

# %% exercise="perplexity" right="list_of_windows_first"
@torch.no_grad()
def perplexity(model, ids, context, stride):
    N, done, total = len(ids), 0, 0.0
    windows = []
    for begin in range(0, N - 1, stride):
        end = min(begin + context, N - 1)
        if end > done:
            windows.append((begin, end, end - done))
            done = end
    for begin, end, count in windows:
        logits = model(ids[begin:end].unsqueeze(0))
        loss = nn.functional.cross_entropy(logits[0, -count:].double(), ids[end + 1 - count : end + 1], reduction="sum")
        total += loss.item()
    return math.exp(total / (N - 1))

# %% exercise="perplexity" right="losses_in_a_table"
def perplexity(model, ids, context, stride):
    with torch.inference_mode():
        found = {}
        begin = 0
        while len(found) < len(ids) - 1:
            read = ids[begin : begin + context][: len(ids) - 1 - begin]
            logits = model(read.reshape(1, -1)).squeeze(0)
            normaliser = torch.logsumexp(logits, dim=-1)
            for t in range(len(read)):
                place = begin + t + 1
                found.setdefault(place, float(normaliser[t] - logits[t, ids[place]]))
            begin += stride
    return math.exp(sum(found.values()) / len(found))

# %% exercise="bits_per_byte" right="log2_of_e_and_a_bytearray"
def bits_per_byte(nats, text):
    if not text:
        raise ValueError("no text")
    total = sum(float(n) for n in nats)
    return total * math.log2(math.e) / len(bytearray(text, "utf8"))

# %% exercise="bits_per_byte" right="torch_to_the_end"
def bits_per_byte(nats, text):
    count = len(bytes(text, encoding="utf-8"))
    if count < 1:
        raise ValueError(text)
    return float(torch.sum(nats, dtype=torch.float64) / torch.log(torch.tensor(2.0, dtype=torch.float64)) / count)

# %% exercise="choice_loglikelihood" right="one_batch_with_padding"
@torch.no_grad()
def choice_loglikelihood(model, context, choices):
    longest = max(len(c) for c in choices)
    rows = torch.stack([torch.cat([context, c, c.new_zeros(longest - len(c))]) for c in choices])
    logp = torch.log_softmax(model(rows), dim=-1)
    scores = []
    for row, choice in zip(logp, choices):
        about = row[len(context) - 1 : len(context) - 1 + len(choice)]
        scores.append(about[torch.arange(len(choice)), choice].sum())
    scores = torch.stack(scores)
    per_token = [float(s) / len(c) for s, c in zip(scores, choices)]
    return scores, scores.tolist().index(max(scores.tolist())), per_token.index(max(per_token))

# %% exercise="choice_loglikelihood" right="cross_entropy_one_choice_at_a_time"
def choice_loglikelihood(model, context, choices):
    scores, best, best_mean = [], None, None
    with torch.no_grad():
        for i, choice in enumerate(choices):
            ids = torch.cat((context, choice)).view(1, -1)
            logits = model(ids)[:, -len(choice) - 1 : -1]
            score = -nn.functional.cross_entropy(logits.squeeze(0), choice, reduction="sum")
            scores.append(score)
            if best is None or score > scores[best]:
                best = i
            if best_mean is None or score / len(choice) > scores[best_mean] / len(choices[best_mean]):
                best_mean = i
    return torch.stack(scores), best, best_mean

# %% exercise="choose_family" right="closed_forms"
def choose_family(reads, writes, turns=1, two_sided=False, layers=(12, 12, 12, 12)):
    if min(reads, turns) <= 0 or writes <= -1:
        raise ValueError("no task")
    pairs = turns * (turns + 1) // 2
    seen = reads * pairs + writes * (pairs - turns)
    reasons = {}
    if writes == 0:
        reasons["encoder-decoder"] = "nothing to write"
        reasons["encoder-only"] = seen * layers[0]
    else:
        reasons["encoder-only"] = "does not write"
        reasons["encoder-decoder"] = seen * layers[2] + writes * turns * layers[3]
    reasons["decoder-only"] = "reads one way" if two_sided else (reads + writes) * turns * layers[1]
    best, least = None, math.inf
    for family in ("encoder-only", "decoder-only", "encoder-decoder"):
        if isinstance(reasons[family], int) and reasons[family] < least:
            best, least = family, reasons[family]
    return best, reasons

# %% exercise="choose_family" right="a_list_of_rules"
def choose_family(reads, writes, turns=1, two_sided=False, layers=(12, 12, 12, 12)):
    for number, least in ((reads, 1), (writes, 0), (turns, 1)):
        if number < least:
            raise ValueError(f"{number} is less than {least}")
    history = again = 0
    for _ in range(turns):
        history += reads
        again += history
        history += writes
    written = turns * writes
    table = [
        ("encoder-only", writes > 0, "does not write", again * layers[0]),
        ("decoder-only", two_sided, "reads one way", history * layers[1]),
        ("encoder-decoder", writes == 0, "nothing to write", again * layers[2] + written * layers[3]),
    ]
    reasons = {name: why if out else work for name, out, why, work in table}
    able = sorted((work, place, name) for place, (name, out, _, work) in enumerate(table) if not out)
    return able[0][2], reasons
