"""Right answers to the exercises of unit 02 in other styles: a check must not mind how an answer is written."""

# %% exercise="stable_softmax" right="logarithm_of_the_sum"
def stable_softmax(x, dim=-1):
    top = x.max(dim=dim, keepdim=True).values.detach()
    log_sum = top + torch.log(torch.sum(torch.exp(x - top), dim=dim, keepdim=True))
    return torch.exp(x - log_sum)

# %% exercise="stable_softmax" right="row_by_row_in_float64"
def stable_softmax(x, dim=-1):
    rows = x.movedim(dim, -1)
    wide = rows.reshape(-1, rows.shape[-1]).double()
    done = []
    for row in wide:
        powers = torch.exp(row - row.max())
        done.append(powers / powers.sum())
    return torch.stack(done).reshape(rows.shape).movedim(-1, dim).to(x.dtype)

# %% exercise="scaled_dot_product_attention" right="einsum"
def scaled_dot_product_attention(q, k, v, mask=None):
    logits = torch.einsum("...td,...sd->...ts", q * q.shape[-1] ** -0.5, k)
    if mask is None:
        mask = torch.zeros((), dtype=q.dtype)
    if mask.dtype == torch.bool:
        mask = torch.zeros(mask.shape, dtype=q.dtype).masked_fill(mask.logical_not(), -torch.inf)
    logits = logits + mask
    top = logits.amax(-1, keepdim=True).detach()
    powers = torch.exp(logits - torch.where(top.isneginf(), torch.zeros_like(top), top))
    total = powers.sum(-1, keepdim=True)
    weights = powers / torch.where(total == 0, torch.ones_like(total), total)
    return torch.einsum("...ts,...sv->...tv", weights, v), weights

# %% exercise="scaled_dot_product_attention" right="one_query_at_a_time_in_float64"
def scaled_dot_product_attention(q, k, v, mask=None):
    full = torch.broadcast_shapes(q.shape[:-1] + (k.shape[-2],), () if mask is None else mask.shape)
    outs, all_weights = [], []
    for t in range(q.shape[-2]):
        s = (q[..., t, None, :].double() * k.double()).sum(-1) / math.sqrt(k.shape[-1])
        if mask is not None:
            row = mask.expand(full)[..., t, :]
            s = torch.where(row, s, -torch.inf) if row.dtype == torch.bool else s + row
        nothing = s.isneginf().all(-1, keepdim=True)
        w = torch.where(nothing, 0.0, torch.softmax(torch.where(nothing, 0.0, s), -1))
        outs.append((w[..., None] * v.double()).sum(-2).to(q.dtype))
        all_weights.append(w.to(q.dtype))
    return torch.stack(outs, -2), torch.stack(all_weights, -2)

# %% exercise="causal_mask" right="tril"
def causal_mask(n_queries, n_keys):
    return torch.ones(n_queries, n_keys, dtype=torch.bool).tril(diagonal=n_keys - n_queries)

# %% exercise="causal_mask" right="last_rows_by_loops"
def causal_mask(n_queries, n_keys):
    mask = torch.zeros(n_keys, n_keys, dtype=torch.bool)
    for position in range(n_keys):
        mask[position, : position + 1] = True
    return mask[-n_queries:]

# %% exercise="padding_mask" right="loops"
def padding_mask(lengths, n_keys):
    mask = torch.zeros(len(lengths), 1, 1, n_keys, dtype=torch.bool)
    for row, length in enumerate(lengths.tolist()):
        mask[row, 0, 0, :length] = True
    return mask

# %% exercise="padding_mask" right="cumulative_sum"
def padding_mask(lengths, n_keys):
    numbers = torch.ones(lengths.shape[0], 1, 1, n_keys).cumsum(-1)
    return numbers.le(lengths.reshape(-1, 1, 1, 1))

# %% exercise="combine_masks" right="reduce"
def combine_masks(*masks):
    from functools import reduce

    given = [m for m in masks if m is not None]
    return reduce(torch.logical_and, given) if given else None

# %% exercise="combine_masks" right="broadcast_and_stack"
def combine_masks(*masks):
    given = [m for m in masks if m is not None]
    if not given:
        return None
    return torch.stack(torch.broadcast_tensors(*given)).all(dim=0)

# %% exercise="split_heads" right="chunks"
def split_heads(x, num_heads):
    return torch.stack(x.chunk(num_heads, dim=-1), dim=1)

# %% exercise="split_heads" right="element_by_element"
def split_heads(x, num_heads):
    width = x.shape[2] // num_heads
    out = x.new_empty(x.shape[0], num_heads, x.shape[1], width)
    for h in range(num_heads):
        for t in range(x.shape[1]):
            out[:, h, t] = x[:, t, h * width : (h + 1) * width]
    return out

# %% exercise="merge_heads" right="concatenate"
def merge_heads(x):
    return torch.cat(list(x.unbind(dim=1)), dim=-1)

# %% exercise="merge_heads" right="permute_and_flatten"
def merge_heads(x):
    return x.permute(0, 2, 1, 3).flatten(start_dim=2)

# %% exercise="MultiHeadAttention" right="head_by_head"
class MultiHeadAttention(nn.Module):
    def __init__(self, d_model, num_heads, dropout=0.0):
        super().__init__()
        self.width, rest = divmod(d_model, num_heads)
        if rest:
            raise ValueError("d_model must be a multiple of num_heads")
        for name in ("w_q", "w_k", "w_v", "w_o"):
            self.add_module(name, nn.Linear(d_model, d_model))
        self.p = dropout

    def forward(self, x, mask=None):
        heads, all_weights = [], []
        for h, start in enumerate(range(0, x.shape[-1], self.width)):
            own = slice(start, start + self.width)
            q, k, v = self.w_q(x)[..., own], self.w_k(x)[..., own], self.w_v(x)[..., own]
            mine = mask
            if mask is not None and mask.dim() > 2:  # (..., H or 1, T, T)
                mine = mask[..., h if mask.shape[-3] > 1 else 0, :, :]
            _, w = scaled_dot_product_attention(q, k, v, mine)
            all_weights.append(w)
            heads.append(nn.functional.dropout(w, self.p, training=self.training) @ v)
        return self.w_o(torch.cat(heads, -1)), torch.stack(all_weights, 1)

# %% exercise="MultiHeadAttention" right="einsum"
class MultiHeadAttention(nn.Module):
    def __init__(self, d_model, num_heads, dropout=0.0):
        super().__init__()
        if d_model % num_heads != 0:
            raise ValueError(f"{num_heads} heads do not divide {d_model}")
        self.n = num_heads
        self.w_o, self.w_v, self.w_k, self.w_q = [nn.Linear(d_model, d_model, bias=True) for _ in "ovkq"]
        self.keep = nn.Dropout(p=dropout)

    def forward(self, x, mask=None):
        b, t, _ = x.shape
        q, k, v = [w(x).reshape(b, t, self.n, -1) for w in (self.w_q, self.w_k, self.w_v)]
        logits = torch.einsum("bthd,bshd->bhts", q, k) / math.sqrt(q.shape[-1])
        if mask is not None:
            logits = logits.masked_fill(~mask, -math.inf) if mask.dtype == torch.bool else logits + mask
        nothing = logits.isneginf().all(-1, keepdim=True)
        weights = torch.softmax(logits.masked_fill(nothing, 0.0), dim=-1) * ~nothing
        return self.w_o(torch.einsum("bhts,bshd->bthd", self.keep(weights), v).reshape(b, t, -1)), weights

# %% exercise="MultiHeadAttention" right="layers_by_name"
class MultiHeadAttention(nn.Module):
    def __init__(self, d_model, num_heads, dropout=0.0):
        super().__init__()
        if d_model % num_heads:
            raise ValueError("d_model must be a multiple of num_heads")
        self.num_heads = num_heads
        for name in "qkvo":
            setattr(self, f"w_{name}", nn.Linear(d_model, d_model))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x, mask=None):
        q, k, v = (split_heads(getattr(self, f"w_{name}")(x), self.num_heads) for name in "qkv")
        _, weights = scaled_dot_product_attention(q, k, v, mask)
        return self.w_o(merge_heads(self.dropout(weights) @ v)), weights

# %% exercise="CrossAttention" right="einsum"
class CrossAttention(nn.Module):
    def __init__(self, d_model, num_heads):
        super().__init__()
        self.n = num_heads
        self.w_q, self.w_k, self.w_v, self.w_o = [nn.Linear(d_model, d_model) for _ in "qkvo"]

    def forward(self, x, memory, memory_mask=None):
        q = self.w_q(x).unflatten(-1, (self.n, -1))
        k, v = (w(memory).unflatten(-1, (self.n, -1)) for w in (self.w_k, self.w_v))
        logits = torch.einsum("bthd,bshd->bhts", q, k) / math.sqrt(q.shape[-1])
        if memory_mask is not None:
            logits = torch.where(memory_mask, logits, torch.tensor(-1e30))
        weights = torch.softmax(logits, dim=-1)
        if memory_mask is not None:
            weights = weights * memory_mask
        return self.w_o(torch.einsum("bhts,bshd->bthd", weights, v).flatten(2)), weights

# %% exercise="CrossAttention" right="one_head_at_a_time"
class CrossAttention(nn.Module):
    def __init__(self, d_model, num_heads):
        super().__init__()
        self.w_q, self.w_k = nn.Linear(d_model, d_model), nn.Linear(d_model, d_model)
        self.w_v, self.w_o = nn.Linear(d_model, d_model), nn.Linear(d_model, d_model)
        self.width = d_model // num_heads

    def forward(self, x, memory, memory_mask=None):
        pieces, maps = [], []
        triples = zip(self.w_q(x).split(self.width, -1), self.w_k(memory).split(self.width, -1),
                      self.w_v(memory).split(self.width, -1))
        for h, (q, k, v) in enumerate(triples):
            mine = memory_mask
            if mine is not None and mine.dim() == 4:
                mine = mine[:, min(h, mine.shape[1] - 1)]
            out, w = scaled_dot_product_attention(q, k, v, mine)
            pieces.append(out)
            maps.append(w)
        return self.w_o(torch.cat(pieces, -1)), torch.stack(maps, 1)

# %% exercise="attention_entropy" right="entr"
def attention_entropy(weights):
    return torch.special.entr(weights).sum(-1)

# %% exercise="attention_entropy" right="positive_weights_only_in_float64"
def attention_entropy(weights):
    flat = weights.reshape(-1, weights.shape[-1]).double()
    rows = [-(row[row > 0] * row[row > 0].log()).sum() for row in flat]
    return torch.stack(rows).reshape(weights.shape[:-1]).to(weights.dtype)

# %% exercise="attention_entropy" right="smallest_number_clamped"
def attention_entropy(weights):
    return (weights * weights.clamp(min=torch.finfo(weights.dtype).tiny).log()).sum(-1).neg()

# %% exercise="sink_mass" right="loops"
def sink_mass(weights, first=4):
    batch, heads, queries, _ = weights.shape
    found = []
    for head in range(heads):
        total, count = 0.0, 0
        for row in range(batch):
            for query in range(first, queries):
                total += weights[row, head, query, :first].double().sum().item()
                count += 1
        found.append(total / count)
    return torch.tensor(found, dtype=weights.dtype)

# %% exercise="sink_mass" right="mask_and_divide"
def sink_mass(weights, first=4):
    late = torch.arange(weights.shape[2]) >= first
    mass = torch.einsum("bhts,t->h", weights[..., :first], late.to(weights.dtype))
    return mass / (late.sum() * weights.shape[0])

# %% exercise="attention_cost" right="head_by_head"
def attention_cost(n, d_model, num_heads, bytes_per_number=4):
    width = d_model // num_heads
    cost = dict.fromkeys(["projection_flops", "score_flops", "mix_flops", "score_bytes", "kv_bytes"], 0)
    for _ in range(num_heads):
        cost["score_flops"] += 2 * n * width * n
        cost["mix_flops"] += 2 * n * n * width
        cost["score_bytes"] += n * n * bytes_per_number
        cost["kv_bytes"] += 2 * n * width * bytes_per_number
        cost["projection_flops"] += 4 * 2 * n * d_model * width
    return cost

# %% exercise="attention_cost" right="one_line_each"
def attention_cost(n, d_model, num_heads, bytes_per_number=4):
    square = n * n * d_model
    multiply_adds = {"projection_flops": n * d_model * d_model * 4, "score_flops": square, "mix_flops": square}
    numbers = {"score_bytes": num_heads * n * n, "kv_bytes": n * d_model * 2}
    return {k: 2 * m for k, m in multiply_adds.items()} | {k: m * bytes_per_number for k, m in numbers.items()}

# %% exercise="permutation_finding" right="tensors"
def permutation_finding(runs):
    mask, rows = causal_mask(4, 4), []
    for run in runs:
        x = word_vectors(run)
        y = x[ORDER]
        a, b = (scaled_dot_product_attention(z, z, z)[0] for z in (x, y))
        c, e = (scaled_dot_product_attention(z, z, z, mask)[0] for z in (x, y))
        rows.append([(b - a).abs().max(), (b - a[ORDER]).abs().max(), (e - c[ORDER]).abs().max()])
    same_place, same_word, causal_word = torch.tensor(rows).median(dim=0).values.tolist()
    return {"same_place": round(same_place, 4), "same_word": round(same_word, 4), "causal_word": round(causal_word, 4)}

# %% exercise="permutation_finding" right="with_the_reference"
def permutation_finding(runs):
    from statistics import median

    attend = nn.functional.scaled_dot_product_attention
    found = {"same_place": [], "same_word": [], "causal_word": []}
    for run in runs:
        x = word_vectors(run)[None]
        moved = x[:, ORDER]
        free = attend(moved, moved, moved) - attend(x, x, x)
        word = attend(moved, moved, moved) - attend(x, x, x)[:, ORDER]
        causal = attend(moved, moved, moved, is_causal=True) - attend(x, x, x, is_causal=True)[:, ORDER]
        for name, gap in zip(found, (free, word, causal)):
            found[name].append(gap.abs().max().item())
    return {name: round(median(gaps), 4) for name, gaps in found.items()}

# %% exercise="attention_backward" right="jacobian_of_every_row"
def attention_backward(q, k, v, grad_out, mask=None):
    P = scaled_dot_product_attention(q, k, v, mask)[1]
    jacobian = torch.diag_embed(P) - torch.einsum("...tj,...tl->...tjl", P, P)
    dP = torch.einsum("...te,...se->...ts", grad_out, v)
    dS = torch.einsum("...tj,...tjl->...tl", dP, jacobian) * q.shape[-1] ** -0.5
    dq = torch.einsum("...ts,...sd->...td", dS, k)
    dk = torch.einsum("...ts,...td->...sd", dS, q)
    return dq, dk, torch.einsum("...ts,...te->...se", P, grad_out)

# %% exercise="attention_backward" right="query_by_query_in_float64"
def attention_backward(q, k, v, grad_out, mask=None):
    out, weights = scaled_dot_product_attention(q.double(), k.double(), v.double(),
                                                mask if mask is None or mask.dtype == torch.bool else mask.double())
    dq, dk, dv = (torch.zeros(x.shape, dtype=torch.float64) for x in (q, k, v))
    for t in range(q.shape[-2]):
        told, w = grad_out[..., t, :].double(), weights[..., t, :]
        common = (told * out[..., t, :]).sum(-1, keepdim=True)
        ds = w * ((v.double() * told[..., None, :]).sum(-1) - common) / math.sqrt(k.shape[-1])
        dq[..., t, :] = (ds[..., None] * k.double()).sum(-2)
        dk += ds[..., None] * q[..., t, None, :].double()
        dv += w[..., None] * told[..., None, :]
    return dq.to(q.dtype), dk.to(k.dtype), dv.to(v.dtype)

# %% exercise="saturation_finding" right="loops"
DIMS = [16, 64, 256, 1024]
saturation_finding = {"raw_entropy": [], "scaled_entropy": [], "raw_gradient": [], "scaled_gradient": []}
for d in DIMS:
    for kind, scale in (("raw", 1.0), ("scaled", d**-0.5)):
        entropies, gradients = [], []
        for s in range(10):
            g = torch.Generator().manual_seed(s)
            w = stable_softmax(torch.randn(64, d, generator=g) @ torch.randn(64, d, generator=g).T * scale)
            entropies.append(attention_entropy(w).mean().item() / math.log(64))
            gradients.append((w * (1 - w)).sum(-1).mean().item())
        saturation_finding[f"{kind}_entropy"].append(entropies)
        saturation_finding[f"{kind}_gradient"].append(gradients)

# %% exercise="saturation_finding" right="through_attention"
DIMS = [16, 64, 256, 1024]
tables = {"raw": [], "scaled": []}
for d in DIMS:
    sets = []
    for s in range(10):
        g = torch.Generator().manual_seed(1000 * s + d)
        q, k = torch.randn(2, 64, d, generator=g)
        sets.append((q, k))
    for kind, boost in (("raw", d**0.5), ("scaled", 1.0)):
        tables[kind].append([scaled_dot_product_attention(q * boost, k, k)[1] for q, k in sets])
saturation_finding = {}
for kind, table in tables.items():
    full = math.log(64)
    saturation_finding[kind + "_entropy"] = [[float(attention_entropy(w).mean()) / full for w in ws] for ws in table]
    saturation_finding[kind + "_gradient"] = [[float(1 - w.square().sum(-1).mean()) for w in ws] for ws in table]

# %% exercise="repaired_cross_attention" right="einsum"
def repaired_cross_attention(decoder_states, encoder_states, w_q, w_k, w_v):
    asked = torch.einsum("btd,de->bte", decoder_states, w_q)
    keys, values = (torch.einsum("bsd,de->bse", encoder_states, w) for w in (w_k, w_v))
    weights = stable_softmax(torch.einsum("bte,bse->bts", asked, keys) / math.sqrt(w_k.shape[-1]))
    return torch.einsum("bts,bse->bte", weights, values)

# %% exercise="repaired_cross_attention" right="sentence_by_sentence_in_float64"
def repaired_cross_attention(decoder_states, encoder_states, w_q, w_k, w_v):
    translated = []
    for target, source in zip(decoder_states.double(), encoder_states.double()):
        logits = (target @ w_q.double()) @ (source @ w_k.double()).T / w_q.shape[1] ** 0.5
        translated.append(torch.softmax(logits, dim=1) @ (source @ w_v.double()))
    return torch.stack(translated).to(decoder_states.dtype)

# %% exercise="repaired_masking" right="exponentials"
def repaired_masking(logits, mask):
    if mask.dtype == torch.bool:
        logits = torch.where(mask, logits, -torch.inf)
    elif mask.dtype.is_floating_point:
        logits = logits + mask
    else:
        raise TypeError("mask must be bool or float")
    top = logits.max(-1, keepdim=True).values.clamp(min=-1e30)
    powers = torch.exp(logits - top)
    return powers / powers.sum(-1, keepdim=True).clamp(min=1e-30)

# %% exercise="repaired_masking" right="torch_softmax"
def repaired_masking(logits, mask):
    if mask.dtype not in (torch.bool, torch.float16, torch.bfloat16, torch.float32, torch.float64):
        raise TypeError(f"unclear mask: {mask.dtype}")
    shifted = logits.masked_fill(~mask, -torch.inf) if mask.dtype == torch.bool else logits + mask
    return torch.nan_to_num(torch.softmax(shifted, dim=-1), nan=0.0)
