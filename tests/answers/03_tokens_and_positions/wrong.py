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
