"""Right answers to unit 02 by readers who saw the released notebook only: tests/test_readers.py judges them."""

# %% exercise="scaled_dot_product_attention" right="library"
"""Torch's own function for out with the mask's dead rows opened, own weights (the prompt forbids nothing here)."""
def scaled_dot_product_attention(q, k, v, mask=None):
    scores = q @ k.mT / math.sqrt(q.shape[-1])
    if mask is None:
        return nn.functional.scaled_dot_product_attention(q, k, v), scores.softmax(-1)
    bias = mask if mask.is_floating_point() else torch.zeros(mask.shape, dtype=q.dtype).masked_fill(~mask, -math.inf)
    bias = bias.expand(scores.shape)
    dead = (bias == -math.inf).all(-1, keepdim=True)
    bias = bias.masked_fill(dead, 0.0)
    out = nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=bias).masked_fill(dead, 0.0)
    return out, (scores + bias).softmax(-1).masked_fill(dead, 0.0)

# %% exercise="MultiHeadAttention" right="getattr_names"
"""Getattr over the three names of the prompt."""
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

# %% exercise="stable_softmax" right="textbook"
"""Subtracts each row's maximum, exponentiates, divides by the row's sum."""
def stable_softmax(x: Tensor, dim: int = -1) -> Tensor:
    e = torch.exp(x - x.max(dim=dim, keepdim=True).values)
    return e / e.sum(dim=dim, keepdim=True)

# %% exercise="stable_softmax" right="loop_over_rows"
"""Moves dim to the end and treats the rows one by one in a Python loop."""
def stable_softmax(x: Tensor, dim: int = -1) -> Tensor:
    moved = x.movedim(dim, -1)
    rows = []
    for row in moved.reshape(-1, moved.shape[-1]):
        e = (row - row.max()).exp()
        rows.append(e / e.sum())
    return torch.stack(rows).reshape(moved.shape).movedim(-1, dim)

# %% exercise="stable_softmax" right="exp_of_log_weights"
"""exp(x - c - log(sum)): the log of the sum by hand, one exp at the end."""
def stable_softmax(x: Tensor, dim: int = -1) -> Tensor:
    shifted = x - x.amax(dim, keepdim=True).detach()
    return (shifted - shifted.exp().sum(dim, keepdim=True).log()).exp().to(x.dtype)

# %% exercise="stable_softmax" right="double_inside"
"""Works in float64 on an own copy, in place where that is legal, and converts back at the end."""
def stable_softmax(x: Tensor, dim: int = -1) -> Tensor:
    work = x.double() - x.double().amax(dim, keepdim=True)
    work.exp_()
    return work.div(work.sum(dim, keepdim=True)).to(x.dtype)

# %% exercise="stable_softmax" right="unbind_and_accumulate"
"""The sum is collected entry by entry along dim."""
def stable_softmax(x: Tensor, dim: int = -1) -> Tensor:
    top = x.amax(dim)
    total = torch.zeros_like(top)
    for entry in x.unbind(dim):
        total = total + (entry - top).exp()
    return (x - top.unsqueeze(dim)).exp() / total.unsqueeze(dim)

# %% exercise="scaled_dot_product_attention" right="textbook"
"""masked_fill or addition, stable_softmax, empty rows filled before and zeroed after."""
def scaled_dot_product_attention(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.size(-1))
    if mask is not None:
        if mask.dtype == torch.bool:
            scores = scores.masked_fill(~mask, float("-inf"))
        else:
            scores = scores + mask.to(scores.dtype)
    empty = (scores == float("-inf")).all(dim=-1, keepdim=True)
    weights = stable_softmax(scores.masked_fill(empty, 0.0)).masked_fill(empty, 0.0)
    return weights @ v, weights

# %% exercise="scaled_dot_product_attention" right="einsum_scaled_queries"
"""Scales the queries first, einsum for both products, where instead of masked_fill, torch.softmax."""
def scaled_dot_product_attention(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    logits = torch.einsum("...td,...sd->...ts", q * k.shape[-1] ** -0.5, k)
    alive = None
    if mask is not None:
        bias = mask
        if mask.dtype == torch.bool:
            bias = torch.where(mask, 0.0, float("-inf"))
        logits = logits + bias.to(logits)
        alive = torch.isfinite(logits).any(-1, keepdim=True)
        logits = torch.where(alive, logits, torch.zeros_like(logits))
    weights = logits.softmax(-1)
    if alive is not None:
        weights = torch.where(alive, weights, torch.zeros_like(weights))
    return torch.einsum("...ts,...sd->...td", weights, v), weights

# %% exercise="scaled_dot_product_attention" right="exp_and_safe_denominator"
"""Exponentials by hand: the maximum of an empty row is replaced by 0, its sum by 1."""
def scaled_dot_product_attention(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    scores = torch.matmul(q, k.mT) * (1.0 / q.shape[-1] ** 0.5)
    if mask is not None and mask.dtype == torch.bool:
        scores = scores.masked_fill(mask.logical_not(), -math.inf)
    elif mask is not None:
        scores = scores + mask.to(scores.dtype)
    top = scores.detach().amax(-1, keepdim=True)
    top = top.masked_fill(top == -math.inf, 0.0)
    e = torch.exp(scores - top)
    total = e.sum(-1, keepdim=True)
    weights = e / torch.where(total == 0, torch.ones_like(total), total)
    return weights.matmul(v), weights

# %% exercise="scaled_dot_product_attention" right="one_query_at_a_time"
"""A loop over the queries; each row of weights by log-sum-exp."""
def scaled_dot_product_attention(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    root = math.sqrt(q.shape[-1])
    shape = torch.broadcast_shapes(q.shape[:-2], k.shape[:-2]) + (q.shape[-2], k.shape[-2])
    if mask is not None:
        shape = torch.broadcast_shapes(shape, mask.shape)
        mask = mask.expand(shape)
    rows = []
    for t in range(q.shape[-2]):
        s = (q[..., t : t + 1, :] * k).sum(-1) / root
        s = s.expand(shape[:-2] + shape[-1:])
        if mask is not None:
            m = mask[..., t, :]
            s = s.masked_fill(~m, -math.inf) if m.dtype == torch.bool else s + m.to(s.dtype)
        empty = (s == -math.inf).all(-1, keepdim=True)
        s = s.masked_fill(empty, 0.0)
        w = (s - s.logsumexp(-1, keepdim=True)).exp()
        rows.append(w * (~empty))
    weights = torch.stack(rows, dim=-2)
    return weights @ v, weights

# %% exercise="causal_mask" right="compare_positions"
"""Key number <= query position by broadcasting."""
def causal_mask(n_queries: int, n_keys: int) -> Tensor:
    position = torch.arange(n_queries).unsqueeze(1) + (n_keys - n_queries)
    return torch.arange(n_keys).unsqueeze(0) <= position

# %% exercise="causal_mask" right="tril_with_diagonal"
"""tril of ones with the diagonal S - T."""
def causal_mask(n_queries: int, n_keys: int) -> Tensor:
    return torch.tril(torch.ones(n_queries, n_keys, dtype=torch.bool), diagonal=n_keys - n_queries)

# %% exercise="causal_mask" right="last_rows_of_the_square"
"""The last T rows of the square lower triangle."""
def causal_mask(n_queries: int, n_keys: int) -> Tensor:
    return torch.ones(n_keys, n_keys).tril().bool()[n_keys - n_queries :]

# %% exercise="causal_mask" right="python_lists"
"""Row by row as Python lists: S - T + i + 1 times True, then False."""
def causal_mask(n_queries: int, n_keys: int) -> Tensor:
    rows = []
    for i in range(n_queries):
        seen = n_keys - n_queries + i + 1
        rows.append([True] * seen + [False] * (n_keys - seen))
    return torch.tensor(rows)

# %% exercise="padding_mask" right="broadcast"
"""arange < lengths with two axes inserted."""
def padding_mask(lengths: Tensor, n_keys: int) -> Tensor:
    return (torch.arange(n_keys, device=lengths.device) < lengths.unsqueeze(1))[:, None, None, :]

# %% exercise="padding_mask" right="table_lookup"
"""A table of all lengths from 0 to S, indexed by the lengths."""
def padding_mask(lengths: Tensor, n_keys: int) -> Tensor:
    table = torch.ones(n_keys + 1, n_keys, dtype=torch.bool).tril(-1)
    return table[lengths].reshape(-1, 1, 1, n_keys)

# %% exercise="padding_mask" right="loop"
"""Fills a tensor of False row by row."""
def padding_mask(lengths: Tensor, n_keys: int) -> Tensor:
    mask = torch.zeros(len(lengths), 1, 1, n_keys, dtype=torch.bool)
    for row, length in zip(mask, lengths.tolist()):
        row[..., :length] = True
    return mask

# %% exercise="padding_mask" right="not_greater_equal"
"""Negates the padding: ~(index >= length)."""
def padding_mask(lengths: Tensor, n_keys: int) -> Tensor:
    index = torch.arange(n_keys).view(1, 1, 1, n_keys)
    return torch.logical_not(index.ge(lengths.view(-1, 1, 1, 1)))

# %% exercise="combine_masks" right="loop_and"
"""Skips None, & over the rest."""
def combine_masks(*masks: Tensor | None) -> Tensor | None:
    result = None
    for mask in masks:
        if mask is None:
            continue
        result = mask if result is None else result & mask
    return result

# %% exercise="combine_masks" right="reduce"
"""functools.reduce with torch.logical_and."""
def combine_masks(*masks: Tensor | None) -> Tensor | None:
    from functools import reduce

    given = [mask for mask in masks if mask is not None]
    return reduce(torch.logical_and, given) if given else None

# %% exercise="combine_masks" right="stack_all"
"""broadcast_tensors, stack, all over the new axis."""
def combine_masks(*masks: Tensor | None) -> Tensor | None:
    given = [mask for mask in masks if mask is not None]
    if len(given) == 0:
        return None
    return torch.stack(torch.broadcast_tensors(*given)).all(dim=0)

# %% exercise="combine_masks" right="recursion"
"""Recursion over the arguments, de Morgan in place of and."""
def combine_masks(*masks: Tensor | None) -> Tensor | None:
    if not masks:
        return None
    rest = combine_masks(*masks[1:])
    if masks[0] is None:
        return rest
    return masks[0].clone() if rest is None else ~(~masks[0] | ~rest)

# %% exercise="split_heads" right="view_transpose"
"""view to (B, T, H, d), transpose of axes 1 and 2."""
def split_heads(x: Tensor, num_heads: int) -> Tensor:
    b, t, d_model = x.shape
    return x.reshape(b, t, num_heads, d_model // num_heads).transpose(1, 2)

# %% exercise="split_heads" right="chunk_stack"
"""chunk cuts the columns, stack puts the heads on axis 1."""
def split_heads(x: Tensor, num_heads: int) -> Tensor:
    return torch.stack(x.chunk(num_heads, dim=2), dim=1)

# %% exercise="split_heads" right="slices_in_a_loop"
"""Writes each head's slice into a new tensor."""
def split_heads(x: Tensor, num_heads: int) -> Tensor:
    b, t, d_model = x.shape
    d = d_model // num_heads
    out = x.new_empty(b, num_heads, t, d)
    for h in range(num_heads):
        out[:, h] = x[:, :, h * d : (h + 1) * d]
    return out

# %% exercise="split_heads" right="unflatten_permute"
"""unflatten, then permute, then contiguous."""
def split_heads(x: Tensor, num_heads: int) -> Tensor:
    return x.unflatten(-1, (num_heads, -1)).permute(0, 2, 1, 3).contiguous()

# %% exercise="merge_heads" right="transpose_reshape"
"""transpose of axes 1 and 2, reshape."""
def merge_heads(x: Tensor) -> Tensor:
    b, h, t, d = x.shape
    return x.transpose(1, 2).reshape(b, t, h * d)

# %% exercise="merge_heads" right="cat_of_heads"
"""Concat(head_1, ..., head_H) along the last axis, as the formula says."""
def merge_heads(x: Tensor) -> Tensor:
    return torch.cat(x.unbind(dim=1), dim=-1)

# %% exercise="merge_heads" right="permute_flatten"
"""permute and flatten."""
def merge_heads(x: Tensor) -> Tensor:
    return x.permute(0, 2, 1, 3).flatten(start_dim=2)

# %% exercise="merge_heads" right="slices_in_a_loop"
"""Writes each head into its columns of a new tensor."""
def merge_heads(x: Tensor) -> Tensor:
    b, h, t, d = x.shape
    out = x.new_zeros(b, t, h * d)
    for head in range(h):
        out[..., head * d : (head + 1) * d] = x[:, head]
    return out

# %% exercise="MultiHeadAttention" right="own_functions"
"""The unit's own functions: split, attend, dropout on the weights, merge."""
class MultiHeadAttention(nn.Module):
    def __init__(self, d_model: int, num_heads: int, dropout: float = 0.0):
        super().__init__()
        if d_model % num_heads != 0:
            raise ValueError(f"d_model={d_model} is not a multiple of num_heads={num_heads}")
        self.num_heads = num_heads
        self.w_q = nn.Linear(d_model, d_model)
        self.w_k = nn.Linear(d_model, d_model)
        self.w_v = nn.Linear(d_model, d_model)
        self.w_o = nn.Linear(d_model, d_model)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        q, k, v = (split_heads(w(x), self.num_heads) for w in (self.w_q, self.w_k, self.w_v))
        _, weights = scaled_dot_product_attention(q, k, v, mask)
        return self.w_o(merge_heads(self.dropout(weights) @ v)), weights

# %% exercise="MultiHeadAttention" right="einsum"
"""No helper functions: einsum with the heads as an axis, masks by hand."""
class MultiHeadAttention(nn.Module):
    def __init__(self, d_model: int, num_heads: int, dropout: float = 0.0):
        super().__init__()
        self.h = num_heads
        self.d, rest = divmod(d_model, num_heads)
        if rest:
            raise ValueError("the heads do not divide the width")
        for name in ("w_q", "w_k", "w_v", "w_o"):
            setattr(self, name, nn.Linear(d_model, d_model, bias=True))
        self.drop = nn.Dropout(p=dropout)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        b, t, _ = x.shape
        q = self.w_q(x).view(b, t, self.h, self.d)
        k = self.w_k(x).view(b, t, self.h, self.d)
        v = self.w_v(x).view(b, t, self.h, self.d)
        scores = torch.einsum("bthd,bshd->bhts", q, k) / self.d**0.5
        if mask is not None:
            if mask.dtype == torch.bool:
                mask = torch.zeros(mask.shape, device=mask.device).masked_fill(~mask, -math.inf)
            scores = scores + mask.to(scores.dtype)
        dead = torch.isneginf(scores).all(-1, keepdim=True)
        weights = torch.softmax(scores.masked_fill(dead, 0.0), -1) * ~dead
        out = torch.einsum("bhts,bshd->bthd", self.drop(weights), v)
        return self.w_o(out.flatten(2)), weights

# %% exercise="MultiHeadAttention" right="head_by_head"
"""One head after the other with slices of columns; F.dropout with training=self.training on the stacked weights; w_o head by head."""
class MultiHeadAttention(nn.Module):
    def __init__(self, d_model: int, num_heads: int, dropout: float = 0.0):
        super().__init__()
        if d_model != d_model // num_heads * num_heads:
            raise ValueError("d_model must be a multiple of num_heads")
        self.num_heads, self.p = num_heads, dropout
        self.w_q, self.w_k, self.w_v, self.w_o = (nn.Linear(d_model, d_model) for _ in range(4))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        b, t, d_model = x.shape
        d = d_model // self.num_heads
        if mask is not None:
            mask = mask.expand(b, self.num_heads, t, t)
        q, k, v = self.w_q(x), self.w_k(x), self.w_v(x)
        all_weights = []
        for h in range(self.num_heads):
            own = slice(h * d, (h + 1) * d)
            all_weights.append(
                scaled_dot_product_attention(
                    q[..., own], k[..., own], v[..., own], None if mask is None else mask[:, h]
                )[1]
            )
        weights = torch.stack(all_weights, dim=1)
        dropped = nn.functional.dropout(weights, p=self.p, training=self.training)
        out = self.w_o.bias.expand(b, t, d_model)
        for h in range(self.num_heads):
            own = slice(h * d, (h + 1) * d)
            out = out + dropped[:, h] @ v[..., own] @ self.w_o.weight[:, own].T
        return out, weights

# %% exercise="CrossAttention" right="own_functions"
"""Queries from x, keys and values from memory, with the unit's own functions."""
class CrossAttention(nn.Module):
    def __init__(self, d_model: int, num_heads: int):
        super().__init__()
        self.num_heads = num_heads
        self.w_q = nn.Linear(d_model, d_model)
        self.w_k = nn.Linear(d_model, d_model)
        self.w_v = nn.Linear(d_model, d_model)
        self.w_o = nn.Linear(d_model, d_model)

    def forward(self, x: Tensor, memory: Tensor, memory_mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        q = split_heads(self.w_q(x), self.num_heads)
        k = split_heads(self.w_k(memory), self.num_heads)
        v = split_heads(self.w_v(memory), self.num_heads)
        out, weights = scaled_dot_product_attention(q, k, v, memory_mask)
        return self.w_o(merge_heads(out)), weights

# %% exercise="CrossAttention" right="einsum_where"
"""einsum over an axis of heads, torch.where for the mask, exponentials by hand."""
class CrossAttention(nn.Module):
    def __init__(self, d_model: int, num_heads: int):
        super().__init__()
        self.shape = (num_heads, d_model // num_heads)
        self.w_q = nn.Linear(d_model, d_model)
        self.w_k = nn.Linear(d_model, d_model)
        self.w_v = nn.Linear(d_model, d_model)
        self.w_o = nn.Linear(d_model, d_model)

    def forward(self, x: Tensor, memory: Tensor, memory_mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        q = self.w_q(x).unflatten(-1, self.shape)
        k = self.w_k(memory).unflatten(-1, self.shape)
        v = self.w_v(memory).unflatten(-1, self.shape)
        scores = torch.einsum("bthd,bshd->bhts", q, k) / math.sqrt(self.shape[1])
        if memory_mask is not None:
            scores = torch.where(memory_mask, scores, torch.full_like(scores, -math.inf))
        top = scores.detach().amax(-1, keepdim=True).clamp(min=torch.finfo(scores.dtype).min)
        e = torch.exp(scores - top)
        weights = e / e.sum(-1, keepdim=True).clamp(min=torch.finfo(scores.dtype).tiny)
        return self.w_o(torch.einsum("bhts,bshd->bthd", weights, v).flatten(2)), weights

# %% exercise="CrossAttention" right="subclass"
"""Inherits the parameters from MultiHeadAttention and only replaces the forward."""
class CrossAttention(MultiHeadAttention):
    def __init__(self, d_model: int, num_heads: int):
        super().__init__(d_model, num_heads)
        self.heads = num_heads

    def forward(self, x: Tensor, memory: Tensor, memory_mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        q, k, v = (split_heads(w(z), self.heads) for w, z in ((self.w_q, x), (self.w_k, memory), (self.w_v, memory)))
        mixed, weights = scaled_dot_product_attention(q, k, v, mask=memory_mask)
        return self.w_o(merge_heads(mixed)), weights

# %% exercise="attention_entropy" right="xlogy"
"""torch.xlogy knows 0 ln 0."""
def attention_entropy(weights: Tensor) -> Tensor:
    return -torch.xlogy(weights, weights).sum(dim=-1)

# %% exercise="attention_entropy" right="entr"
"""torch.special.entr is -w ln w already."""
def attention_entropy(weights: Tensor) -> Tensor:
    return torch.special.entr(weights).sum(-1)

# %% exercise="attention_entropy" right="ones_for_zeros"
"""A zero is replaced by one before the logarithm: 0 * ln 1 = 0; the sum as an einsum."""
def attention_entropy(weights: Tensor) -> Tensor:
    logs = torch.log(weights.masked_fill(weights == 0, 1.0))
    return -torch.einsum("...s,...s->...", weights, logs)

# %% exercise="attention_entropy" right="row_by_row"
"""A Python loop over the rows, only over positive weights."""
def attention_entropy(weights: Tensor) -> Tensor:
    rows = []
    for row in weights.reshape(-1, weights.shape[-1]):
        seen = row[row > 0]
        rows.append((seen * (1 / seen).log()).sum())
    return torch.stack(rows).reshape(weights.shape[:-1])

# %% exercise="sink_mass" right="slice_sum_mean"
"""Slices queries and keys, adds over the keys, averages over batch and queries."""
def sink_mass(weights: Tensor, first: int = 4) -> Tensor:
    return weights[:, :, first:, :first].sum(dim=-1).mean(dim=(0, 2))

# %% exercise="sink_mass" right="total_over_count"
"""One sum over three axes, divided by the number of queries."""
def sink_mass(weights: Tensor, first: int = 4) -> Tensor:
    b, _, t, _ = weights.shape
    return torch.einsum("bhts->h", weights[..., first:, :first]) / (b * (t - first))

# %% exercise="sink_mass" right="indicator_matmul"
"""Weights times an indicator vector of the sink keys; one head at a time."""
def sink_mass(weights: Tensor, first: int = 4) -> Tensor:
    sink = (torch.arange(weights.shape[-1]) < first).to(weights.dtype)
    mass = weights @ sink
    return torch.stack([mass[:, h, first:].mean() for h in range(weights.shape[1])])

# %% exercise="attention_cost" right="closed_form"
"""The closed forms."""
def attention_cost(n: int, d_model: int, num_heads: int, bytes_per_number: int = 4) -> dict[str, int]:
    return {
        "projection_flops": 8 * n * d_model**2,
        "score_flops": 2 * n**2 * d_model,
        "mix_flops": 2 * n**2 * d_model,
        "score_bytes": num_heads * n**2 * bytes_per_number,
        "kv_bytes": 2 * n * d_model * bytes_per_number,
    }

# %% exercise="attention_cost" right="products_head_by_head"
"""A function for one product, applied to the shapes of each head."""
def attention_cost(n: int, d_model: int, num_heads: int, bytes_per_number: int = 4) -> dict[str, int]:
    def product(a, b, c):
        return 2 * a * b * c

    d = d_model // num_heads
    return dict(
        projection_flops=sum(product(n, d_model, d_model) for _ in ("q", "k", "v", "o")),
        score_flops=sum(product(n, d, n) for _ in range(num_heads)),
        mix_flops=sum(product(n, n, d) for _ in range(num_heads)),
        score_bytes=bytes_per_number * num_heads * n * n,
        kv_bytes=bytes_per_number * 2 * num_heads * n * d,
    )

# %% exercise="attention_cost" right="shapes_of_tensors"
"""Sizes from math.prod of the shapes, names in another order."""
def attention_cost(n: int, d_model: int, num_heads: int, bytes_per_number: int = 4) -> dict[str, int]:
    d = d_model // num_heads
    cost = {"kv_bytes": 2 * math.prod((num_heads, n, d)) * bytes_per_number}
    cost["score_bytes"] = math.prod((num_heads, n, n)) * bytes_per_number
    cost["score_flops"] = cost["mix_flops"] = 2 * d * math.prod((num_heads, n, n))
    cost["projection_flops"] = 2 * 4 * math.prod((n, d_model, d_model))
    return cost

# %% exercise="row_softmax" right="three_walks"
"""Maximum, sum, write: three walks with scalars; one program for each row."""
@triton.jit
def row_softmax_kernel(x_ptr, out_ptr, n_cols, x_row, x_col, out_row, out_col, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    lanes = tl.arange(0, BLOCK)
    top = -float("inf")
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        x = tl.load(x_ptr + row * x_row + cols * x_col, mask=cols < n_cols, other=-float("inf")).to(tl.float32)
        top = tl.maximum(top, tl.max(x, axis=0))
    total = 0.0
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        x = tl.load(x_ptr + row * x_row + cols * x_col, mask=cols < n_cols, other=-float("inf")).to(tl.float32)
        total += tl.sum(tl.exp(x - top), axis=0)
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        x = tl.load(x_ptr + row * x_row + cols * x_col, mask=cols < n_cols, other=-float("inf")).to(tl.float32)
        tl.store(out_ptr + row * out_row + cols * out_col, tl.exp(x - top) / total, mask=cols < n_cols)


def row_softmax(x: Tensor, block: int = 128) -> Tensor:
    out = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    row_softmax_kernel[(x.shape[0],)](
        x, out, x.shape[1], x.stride(0), x.stride(1), out.stride(0), out.stride(1), BLOCK=block
    )
    return out

# %% exercise="row_softmax" right="online_per_lane"
"""Two walks: every lane keeps its own running maximum and sum, combined after the walk."""
@triton.jit
def row_softmax_kernel(x_ptr, out_ptr, n_cols, x_row, x_col, out_row, out_col, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    x_ptr += row * x_row
    out_ptr += row * out_row
    lanes = tl.arange(0, BLOCK)
    tops = tl.full((BLOCK,), -float("inf"), tl.float32)
    totals = tl.zeros((BLOCK,), tl.float32)
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        x = tl.load(x_ptr + cols * x_col, mask=cols < n_cols, other=-float("inf")).to(tl.float32)
        new = tl.maximum(tops, x)
        safe = tl.where(new == -float("inf"), 0.0, new)
        totals = totals * tl.exp(tops - safe) + tl.exp(x - safe)
        tops = new
    top = tl.max(tops, axis=0)
    total = tl.sum(totals * tl.exp(tops - top), axis=0)
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        x = tl.load(x_ptr + cols * x_col, mask=cols < n_cols, other=0.0).to(tl.float32)
        tl.store(out_ptr + cols * out_col, tl.exp(x - top) / total, mask=cols < n_cols)


def row_softmax(x: Tensor, block: int = 128) -> Tensor:
    rows, cols = x.shape
    out = torch.empty((rows, cols), dtype=x.dtype, device=x.device)
    row_softmax_kernel[(rows,)](x, out, cols, *x.stride(), *out.stride(), BLOCK=block)
    return out

# %% exercise="row_softmax" right="online_scalar"
"""Two walks with a running maximum and a rescaled sum; x.new_empty for the output."""
@triton.jit
def row_softmax_kernel(x_ptr, out_ptr, n_cols, x_row, x_col, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    top = -float("inf")
    total = 0.0
    for start in range(0, n_cols, BLOCK):
        cols = start + tl.arange(0, BLOCK)
        x = tl.load(x_ptr + row * x_row + cols * x_col, mask=cols < n_cols, other=-float("inf")).to(tl.float32)
        new = tl.maximum(top, tl.max(x, axis=0))
        shift = tl.where(new == -float("inf"), 0.0, new)
        total = total * tl.exp(top - shift) + tl.sum(tl.exp(x - shift), axis=0)
        top = new
    for start in range(0, n_cols, BLOCK):
        cols = start + tl.arange(0, BLOCK)
        x = tl.load(x_ptr + row * x_row + cols * x_col, mask=cols < n_cols, other=-float("inf")).to(tl.float32)
        tl.store(out_ptr + row * n_cols + cols, tl.exp(x - top) / total, mask=cols < n_cols)


def row_softmax(x: Tensor, block: int = 128) -> Tensor:
    out = x.new_empty(x.shape)
    row_softmax_kernel[(len(x),)](x, out, x.shape[1], x.stride(0), x.stride(1), BLOCK=block)
    return out

# %% exercise="row_softmax" right="two_rows_a_program"
"""Two-dimensional tiles: each program takes two rows and walks three times."""
@triton.jit
def row_softmax_kernel(x_ptr, out_ptr, n_rows, n_cols, x_row, x_col, out_row, out_col, BLOCK: tl.constexpr):
    rows = tl.program_id(0) * 2 + tl.arange(0, 2)
    lanes = tl.arange(0, BLOCK)
    top = tl.full((2,), -float("inf"), tl.float32)
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        inside = (rows < n_rows)[:, None] & (cols < n_cols)[None, :]
        at = rows[:, None] * x_row + cols[None, :] * x_col
        x = tl.load(x_ptr + at, mask=inside, other=-float("inf")).to(tl.float32)
        top = tl.maximum(top, tl.max(x, axis=1))
    top = tl.where(rows < n_rows, top, 0.0)
    total = tl.zeros((2,), tl.float32)
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        inside = (rows < n_rows)[:, None] & (cols < n_cols)[None, :]
        at = rows[:, None] * x_row + cols[None, :] * x_col
        x = tl.load(x_ptr + at, mask=inside, other=-float("inf")).to(tl.float32)
        total += tl.sum(tl.exp(x - top[:, None]), axis=1)
    total = tl.where(rows < n_rows, total, 1.0)
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        inside = (rows < n_rows)[:, None] & (cols < n_cols)[None, :]
        at = rows[:, None] * x_row + cols[None, :] * x_col
        x = tl.load(x_ptr + at, mask=inside, other=-float("inf")).to(tl.float32)
        to = rows[:, None] * out_row + cols[None, :] * out_col
        tl.store(out_ptr + to, tl.exp(x - top[:, None]) / total[:, None], mask=inside)


def row_softmax(x: Tensor, block: int = 128) -> Tensor:
    out = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    row_softmax_kernel[((x.shape[0] + 1) // 2,)](
        x, out, x.shape[0], x.shape[1], x.stride(0), x.stride(1), out.stride(0), out.stride(1), BLOCK=block
    )
    return out

# %% exercise="masked_scaled_softmax" right="three_walks"
"""Three walks; maximum and sum of an empty row are replaced by 0 and 1."""
@triton.jit
def masked_scaled_softmax_kernel(
    scores_ptr, mask_ptr, out_ptr, scale, n_cols,
    scores_row, scores_col, mask_row, mask_col, out_row, out_col, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0)
    lanes = tl.arange(0, BLOCK)
    top = -float("inf")
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        inside = cols < n_cols
        allowed = tl.load(mask_ptr + row * mask_row + cols * mask_col, mask=inside, other=0) != 0
        s = tl.load(scores_ptr + row * scores_row + cols * scores_col, mask=inside, other=0.0) * scale
        top = tl.maximum(top, tl.max(tl.where(inside & allowed, s, -float("inf")), axis=0))
    top = tl.where(top == -float("inf"), 0.0, top)
    total = 0.0
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        inside = cols < n_cols
        allowed = tl.load(mask_ptr + row * mask_row + cols * mask_col, mask=inside, other=0) != 0
        s = tl.load(scores_ptr + row * scores_row + cols * scores_col, mask=inside, other=0.0) * scale
        total += tl.sum(tl.exp(tl.where(inside & allowed, s, -float("inf")) - top), axis=0)
    total = tl.where(total == 0.0, 1.0, total)
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        inside = cols < n_cols
        allowed = tl.load(mask_ptr + row * mask_row + cols * mask_col, mask=inside, other=0) != 0
        s = tl.load(scores_ptr + row * scores_row + cols * scores_col, mask=inside, other=0.0) * scale
        s = tl.where(inside & allowed, s, -float("inf"))
        tl.store(out_ptr + row * out_row + cols * out_col, tl.exp(s - top) / total, mask=inside)


def masked_scaled_softmax(scores: Tensor, mask: Tensor, scale: float, block: int = 128) -> Tensor:
    out = torch.empty(scores.shape, dtype=scores.dtype, device=scores.device)
    masked_scaled_softmax_kernel[(scores.shape[0],)](
        scores, mask, out, scale, scores.shape[1], scores.stride(0), scores.stride(1),
        mask.stride(0), mask.stride(1), out.stride(0), out.stride(1), BLOCK=block,
    )  # fmt: skip
    return out

# %% exercise="masked_scaled_softmax" right="online"
"""Two walks with a running maximum; the scores are loaded only where the mask allows."""
@triton.jit
def masked_scaled_softmax_kernel(
    scores_ptr, mask_ptr, out_ptr, scale, n_cols,
    scores_row, scores_col, mask_row, mask_col, out_row, out_col, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0)
    top = -float("inf")
    total = 0.0
    for start in range(0, n_cols, BLOCK):
        cols = start + tl.arange(0, BLOCK)
        allowed = tl.load(mask_ptr + row * mask_row + cols * mask_col, mask=cols < n_cols, other=0) != 0
        counts = allowed & (cols < n_cols)
        s = tl.load(scores_ptr + row * scores_row + cols * scores_col, mask=counts, other=-float("inf")) * scale
        new = tl.maximum(top, tl.max(s, axis=0))
        shift = tl.where(new == -float("inf"), 0.0, new)
        total = total * tl.exp(top - shift) + tl.sum(tl.exp(s - shift), axis=0)
        top = new
    shift = tl.where(top == -float("inf"), 0.0, top)
    total = tl.where(total > 0.0, total, 1.0)
    for start in range(0, n_cols, BLOCK):
        cols = start + tl.arange(0, BLOCK)
        allowed = tl.load(mask_ptr + row * mask_row + cols * mask_col, mask=cols < n_cols, other=0) != 0
        counts = allowed & (cols < n_cols)
        s = tl.load(scores_ptr + row * scores_row + cols * scores_col, mask=counts, other=-float("inf")) * scale
        tl.store(out_ptr + row * out_row + cols * out_col, tl.exp(s - shift) / total, mask=cols < n_cols)


def masked_scaled_softmax(scores: Tensor, mask: Tensor, scale: float, block: int = 128) -> Tensor:
    out = scores.new_empty(scores.shape)
    masked_scaled_softmax_kernel[(scores.shape[0],)](
        scores, mask, out, scale, scores.shape[1], *scores.stride(), *mask.stride(), *out.stride(), BLOCK=block
    )
    return out

# %% exercise="masked_scaled_softmax" right="per_lane_vectors"
"""Three walks with one maximum and one sum per lane, a multiplication by the 0/1 mask after the exponential, and finite fillers."""
@triton.jit
def masked_scaled_softmax_kernel(
    scores_ptr, mask_ptr, out_ptr, scale, n_cols,
    scores_row, scores_col, mask_row, mask_col, out_row, out_col, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0)
    scores_ptr += row * scores_row
    mask_ptr += row * mask_row
    lanes = tl.arange(0, BLOCK)
    tops = tl.full((BLOCK,), -float("inf"), tl.float32)
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        on = (tl.load(mask_ptr + cols * mask_col, mask=cols < n_cols, other=0) != 0) & (cols < n_cols)
        s = scale * tl.load(scores_ptr + cols * scores_col, mask=on, other=0.0)
        tops = tl.where(on, tl.maximum(tops, s), tops)
    top = tl.max(tops, axis=0)
    top = tl.where(top == -float("inf"), 0.0, top)
    sums = tl.zeros((BLOCK,), tl.float32)
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        on = (tl.load(mask_ptr + cols * mask_col, mask=cols < n_cols, other=0) != 0) & (cols < n_cols)
        s = scale * tl.load(scores_ptr + cols * scores_col, mask=on, other=0.0)
        sums += tl.exp(tl.where(on, s - top, 0.0)) * on.to(tl.float32)
    total = tl.sum(sums, axis=0)
    inverse = tl.where(total > 0.0, 1.0 / tl.where(total > 0.0, total, 1.0), 0.0)
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        on = (tl.load(mask_ptr + cols * mask_col, mask=cols < n_cols, other=0) != 0) & (cols < n_cols)
        s = scale * tl.load(scores_ptr + cols * scores_col, mask=on, other=0.0)
        weight = tl.exp(tl.where(on, s - top, 0.0)) * inverse
        tl.store(out_ptr + row * out_row + cols * out_col, tl.where(on, weight, 0.0), mask=cols < n_cols)


def masked_scaled_softmax(scores: Tensor, mask: Tensor, scale: float, block: int = 128) -> Tensor:
    rows, cols = scores.shape
    out = torch.empty(rows, cols, device=scores.device)
    masked_scaled_softmax_kernel[(rows,)](
        scores, mask, out, scale, cols, scores.stride(0), scores.stride(1),
        mask.stride(0), mask.stride(1), cols, 1, BLOCK=block,
    )  # fmt: skip
    return out

# %% exercise="permutation_finding" right="loop_and_statistics"
"""A loop over the runs, statistics.median."""
def permutation_finding(runs: list[int]) -> dict[str, float]:
    import statistics
    mask = causal_mask(len(WORDS), len(WORDS))
    found = {"same_place": [], "same_word": [], "causal_word": []}
    for run in runs:
        x = word_vectors(run)
        y = x[ORDER]
        a, b = scaled_dot_product_attention(x, x, x)[0], scaled_dot_product_attention(y, y, y)[0]
        c, d = scaled_dot_product_attention(x, x, x, mask)[0], scaled_dot_product_attention(y, y, y, mask)[0]
        found["same_place"].append((b - a).abs().max().item())
        found["same_word"].append((b - a[ORDER]).abs().max().item())
        found["causal_word"].append((d - c[ORDER]).abs().max().item())
    return {name: round(statistics.median(values), 4) for name, values in found.items()}

# %% exercise="permutation_finding" right="one_batch"
"""All runs in one batch, torch.quantile(0.5)."""
def permutation_finding(runs: list[int]) -> dict[str, float]:
    x = torch.stack([word_vectors(run) for run in runs])
    y = x[:, ORDER]
    mask = torch.ones(4, 4, dtype=torch.bool).tril()

    def attend(z, m=None):
        return scaled_dot_product_attention(z, z, z, m)[0]

    def middle(difference):
        return round(float(difference.abs().flatten(1).amax(1).quantile(0.5)), 4)

    return {
        "same_place": middle(attend(y) - attend(x)),
        "same_word": middle(attend(y) - attend(x)[:, ORDER]),
        "causal_word": middle(attend(y, mask) - attend(x, mask)[:, ORDER]),
    }

# %% exercise="permutation_finding" right="permutation_matrix"
"""ORDER as a permutation matrix, the float causal mask, a sorted list for the median."""
def permutation_finding(runs: list[int]) -> dict[str, float]:
    p = torch.eye(4)[ORDER]
    future = torch.full((4, 4), -math.inf).triu(1)
    place, word, causal = [], [], []
    for x in map(word_vectors, runs):
        second = p @ x
        plain, moved = (scaled_dot_product_attention(z, z, z)[0] for z in (x, second))
        masked, masked_moved = (scaled_dot_product_attention(z, z, z, future)[0] for z in (x, second))
        place.append(torch.dist(moved, plain, p=math.inf).item())
        word.append(torch.dist(moved, p @ plain, p=math.inf).item())
        causal.append(torch.dist(masked_moved, p @ masked, p=math.inf).item())

    def median(values):
        values, half = sorted(values), len(values) // 2
        return values[half] if len(values) % 2 else (values[half - 1] + values[half]) / 2

    return {n: round(median(v), 4) for n, v in zip(("same_place", "same_word", "causal_word"), (place, word, causal))}

# %% exercise="saturation_finding" right="two_loops"
"""Loops over widths and seeds, one number at a time."""
DIMS = [16, 64, 256, 1024]
saturation_finding = {name: [] for name in ("raw_entropy", "scaled_entropy", "raw_gradient", "scaled_gradient")}
for d in DIMS:
    rows = {name: [] for name in saturation_finding}
    for run in range(10):
        gen = torch.Generator().manual_seed(run)
        queries = torch.randn(64, d, generator=gen)
        keys = torch.randn(64, d, generator=gen)
        scores = queries @ keys.T
        for name, s in (("raw", scores), ("scaled", scores / math.sqrt(d))):
            w = stable_softmax(s)
            rows[f"{name}_entropy"].append((attention_entropy(w) / math.log(64)).mean().item())
            rows[f"{name}_gradient"].append((1 - (w * w).sum(-1)).mean().item())
    for name in saturation_finding:
        saturation_finding[name].append(rows[name])

# %% exercise="saturation_finding" right="one_draw_batched"
"""A function draws queries and keys in one call and treats the ten seeds of a width as a batch; tolist at the end."""
DIMS = [16, 64, 256, 1024]


def _tables(d):
    both = torch.stack([torch.randn(2, 64, d, generator=torch.Generator().manual_seed(run)) for run in range(10)])
    raw = torch.einsum("rtd,rsd->rts", both[:, 0], both[:, 1])
    result = []
    for scores in (raw, raw * d**-0.5):
        w = stable_softmax(scores)
        result.append(attention_entropy(w).mean(-1) / math.log(64))
        result.append((w * (1 - w)).sum(-1).mean(-1))
    return [part.tolist() for part in result]


_all = [_tables(d) for d in DIMS]
saturation_finding = {
    "raw_entropy": [table[0] for table in _all],
    "raw_gradient": [table[1] for table in _all],
    "scaled_entropy": [table[2] for table in _all],
    "scaled_gradient": [table[3] for table in _all],
}

# %% exercise="saturation_finding" right="one_generator_per_seed"
"""The outer loop runs over the seeds; one generator draws all widths, in double precision, keys before queries; the scale is on the queries."""
DIMS = [16, 64, 256, 1024]
saturation_finding = {f"{a}_{b}": [[] for _ in DIMS] for a in ("raw", "scaled") for b in ("entropy", "gradient")}
for run in range(10):
    gen = torch.Generator().manual_seed(run)
    for row, d in enumerate(DIMS):
        keys = torch.randn(64, d, generator=gen, dtype=torch.float64)
        queries = torch.randn(64, d, generator=gen, dtype=torch.float64)
        for name, factor in (("raw", 1.0), ("scaled", 1 / math.sqrt(d))):
            w = stable_softmax((queries * factor) @ keys.mT, dim=-1)
            saturation_finding[name + "_entropy"][row].append(float(attention_entropy(w).mean()) / math.log(64))
            saturation_finding[name + "_gradient"][row].append(1 - float(w.square().sum()) / 64)

# %% exercise="repaired_cross_attention" right="softmax"
"""Queries from the decoder, keys and values from the encoder, torch.softmax."""
def repaired_cross_attention(
    decoder_states: Tensor, encoder_states: Tensor, w_q: Tensor, w_k: Tensor, w_v: Tensor
) -> Tensor:
    queries, keys, values = decoder_states @ w_q, encoder_states @ w_k, encoder_states @ w_v
    return torch.softmax(queries @ keys.mT / math.sqrt(w_k.shape[-1]), dim=-1) @ values

# %% exercise="repaired_cross_attention" right="own_attention"
"""Calls the unit's scaled_dot_product_attention."""
def repaired_cross_attention(
    decoder_states: Tensor, encoder_states: Tensor, w_q: Tensor, w_k: Tensor, w_v: Tensor
) -> Tensor:
    out, _ = scaled_dot_product_attention(decoder_states @ w_q, encoder_states @ w_k, encoder_states @ w_v)
    return out

# %% exercise="repaired_cross_attention" right="maps_folded"
"""Folds w_q w_k^T into one matrix and mixes the encoder states before w_v is applied; loop over the batch."""
def repaired_cross_attention(
    decoder_states: Tensor, encoder_states: Tensor, w_q: Tensor, w_k: Tensor, w_v: Tensor
) -> Tensor:
    bilinear = w_q @ w_k.T * w_k.shape[-1] ** -0.5
    outs = []
    for asked, read in zip(decoder_states, encoder_states):
        logits = asked @ bilinear @ read.T
        weights = torch.exp(logits - logits.amax(1, keepdim=True))
        weights = weights / weights.sum(1, keepdim=True)
        outs.append(weights @ read @ w_v)
    return torch.stack(outs)

# %% exercise="repaired_masking" right="fill_and_add"
"""masked_fill or addition by dtype; empty rows before and after the softmax."""
def repaired_masking(logits: Tensor, mask: Tensor) -> Tensor:
    if mask.dtype == torch.bool:
        scores = logits.masked_fill(~mask, float("-inf"))
    elif mask.is_floating_point():
        scores = (logits + mask).to(logits.dtype)
    else:
        raise TypeError(f"mask must be bool or float, not {mask.dtype}")
    empty = (scores == float("-inf")).all(-1, keepdim=True)
    return torch.softmax(scores.masked_fill(empty, 0.0), dim=-1).masked_fill(empty, 0.0)

# %% exercise="repaired_masking" right="bias_and_exp"
"""Always a bias (where gives 0 and -inf), exponentials by hand with a safe maximum and a safe sum."""
def repaired_masking(logits: Tensor, mask: Tensor) -> Tensor:
    if mask.dtype is torch.bool:
        bias = torch.where(mask, 0.0, -math.inf).to(logits.dtype)
    elif torch.is_floating_point(mask):
        bias = mask
    else:
        raise TypeError("mask is neither bool nor float")
    biased = logits + bias
    top = biased.amax(dim=-1, keepdim=True)
    top = torch.where(torch.isneginf(top), torch.zeros_like(top), top)
    e = (biased - top).exp()
    total = e.sum(-1, keepdim=True)
    return (e / (total + (total == 0))).to(logits.dtype)

# %% exercise="repaired_masking" right="own_softmax_on_live_rows"
"""Only the rows that may look at something go through stable_softmax; the others stay zero."""
def repaired_masking(logits: Tensor, mask: Tensor) -> Tensor:
    floats = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
    if mask.dtype not in (torch.bool, *floats):
        raise TypeError(mask.dtype)
    shape = torch.broadcast_shapes(logits.shape, mask.shape)
    logits, mask = logits.expand(shape), mask.expand(shape)
    if mask.dtype == torch.bool:
        scores = torch.where(mask, logits, torch.full_like(logits, -math.inf))
    else:
        scores = torch.add(logits, mask).to(logits.dtype)
    live = (scores > -math.inf).any(-1)
    weights = torch.zeros_like(scores)
    weights[live] = stable_softmax(scores[live])
    return weights

# %% exercise="stable_softmax" right="slice_by_slice"
"""Walks over the slices along dim: running maximum, then a running sum, then a stack."""
def stable_softmax(x: Tensor, dim: int = -1) -> Tensor:
    if x.dim() == 0:
        return torch.exp(x - x)
    slices = x.unbind(dim)
    top = slices[0]
    for piece in slices[1:]:
        top = torch.maximum(top, piece)
    top = top.detach()
    lifted = [torch.exp(piece - top) for piece in slices]
    total = lifted[0]
    for piece in lifted[1:]:
        total = total + piece
    return torch.stack([piece / total for piece in lifted], dim=dim)

# %% exercise="stable_softmax" right="moved_and_flattened"
"""Moves dim last, flattens to a matrix, takes the largest by sorting, and moves back."""
def stable_softmax(x: Tensor, dim: int = -1) -> Tensor:
    if x.dim() == 0:
        return torch.ones_like(x)
    last = x.movedim(dim, -1)
    rows = last.reshape(-1, last.shape[-1])
    top = rows.sort(dim=1, descending=True).values[:, :1]
    e = rows.sub(top).exp_()
    return e.mul(e.sum(1, True).reciprocal()).reshape(last.shape).movedim(-1, dim)

# %% exercise="stable_softmax" right="double_precision_inside"
"""Computes in float64 with a maximum kept out of the graph and converts back to the dtype of x."""
def stable_softmax(x: Tensor, dim: int = -1) -> Tensor:
    wide = x.to(torch.float64)
    with torch.no_grad():
        top = torch.max(wide, dim, keepdim=True)[0]
    e = torch.exp(wide - top)
    return torch.div(e, torch.sum(e, dim, keepdim=True)).type_as(x)

# %% exercise="stable_softmax" right="shifted_log"
"""Shifts twice: by the maximum, then by the logarithm of the sum of exponentials."""
def stable_softmax(x: Tensor, dim: int = -1) -> Tensor:
    shifted = x - torch.amax(x, dim, True)
    return (shifted - shifted.exp().sum(dim, True).log()).exp()

# %% exercise="scaled_dot_product_attention" right="einsum_and_library_softmax"
"""einsum with a boolean mask turned into 0 and -inf, the library's softmax, blocked rows through where."""
def scaled_dot_product_attention(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    scores = torch.einsum("...td,...sd->...ts", q, k) * q.size(-1) ** -0.5
    if mask is not None:
        if mask.dtype is torch.bool:
            mask = torch.zeros(mask.shape, dtype=scores.dtype).masked_fill(~mask, -math.inf)
        scores = scores + mask
    alive = (scores > -math.inf).any(-1, keepdim=True)
    weights = torch.where(alive, torch.softmax(torch.where(alive, scores, 0.0), -1), 0.0)
    return torch.einsum("...ts,...sv->...tv", weights, v), weights

# %% exercise="scaled_dot_product_attention" right="exponentials_times_allowed"
"""Shifts by a detached maximum that is 0 for blocked rows, then divides by a sum that is 1 for them."""
def scaled_dot_product_attention(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    scores = (q / math.sqrt(k.shape[-1])) @ k.mT
    if mask is not None:
        scores = scores.masked_fill(mask.logical_not(), -math.inf) if mask.dtype == torch.bool else scores + mask
    top = scores.detach().amax(-1, keepdim=True)
    top = torch.where(torch.isneginf(top), torch.zeros_like(top), top)
    e = torch.exp(scores - top)
    total = e.sum(-1, keepdim=True)
    weights = e / torch.where(total == 0, torch.ones_like(total), total)
    return weights @ v, weights

# %% exercise="scaled_dot_product_attention" right="query_by_query"
"""One query at a time, with elementwise products and sums instead of matrix products."""
def scaled_dot_product_attention(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    full = torch.broadcast_shapes(q.shape[:-2], k.shape[:-2]) + (q.shape[-2], k.shape[-2])
    if mask is not None:
        mask = mask.expand(full)
    outs, rows = [], []
    for t in range(q.shape[-2]):
        score = (q[..., t, None, :] * k).sum(-1) / k.shape[-1] ** 0.5
        if mask is not None and mask.dtype == torch.bool:
            score = torch.where(mask[..., t, :], score, torch.full_like(score, -math.inf))
        elif mask is not None:
            score = score + mask[..., t, :]
        dead = score.isneginf().all(-1, keepdim=True)
        row = stable_softmax(score.masked_fill(dead, 0)).masked_fill(dead, 0)
        rows.append(row)
        outs.append((row[..., None] * v).sum(-2))
    return torch.stack(outs, -2), torch.stack(rows, -2)

# %% exercise="causal_mask" right="two_loops"
"""Sets entry by entry."""
def causal_mask(n_queries: int, n_keys: int) -> Tensor:
    rows = [[key <= n_keys - n_queries + i for key in range(n_keys)] for i in range(n_queries)]
    return torch.tensor(rows, dtype=torch.bool)

# %% exercise="causal_mask" right="bottom_of_square"
"""The last T rows of the square lower triangle, built as the complement of triu."""
def causal_mask(n_queries: int, n_keys: int) -> Tensor:
    return ~torch.ones((n_keys, n_keys), dtype=torch.bool).triu(1)[n_keys - n_queries :]

# %% exercise="causal_mask" right="past_and_triangle"
"""A block of True for the stored keys beside a square triangle made with a running sum."""
def causal_mask(n_queries: int, n_keys: int) -> Tensor:
    future = torch.cumsum(torch.eye(n_queries, dtype=torch.int64), dim=0) > 0
    past = torch.ones(n_queries, n_keys - n_queries, dtype=torch.bool)
    return torch.hstack((past, future))

# %% exercise="padding_mask" right="row_by_row"
"""Fills slices of a tensor of False."""
def padding_mask(lengths: Tensor, n_keys: int) -> Tensor:
    mask = torch.zeros(lengths.numel(), 1, 1, n_keys, dtype=torch.bool)
    for b, length in enumerate(lengths):
        mask[b, 0, 0, : int(length)] = True
    return mask

# %% exercise="padding_mask" right="four_dims_at_once"
"""Compares a (B, 1, 1, 1) view of the lengths with the keys 1 to S."""
def padding_mask(lengths: Tensor, n_keys: int) -> Tensor:
    return lengths.view(-1, 1, 1, 1) >= torch.arange(1, n_keys + 1)

# %% exercise="padding_mask" right="rows_of_a_triangle"
"""Looks each length up in a table: row n of a strict triangle has n times True."""
def padding_mask(lengths: Tensor, n_keys: int) -> Tensor:
    table = torch.ones(n_keys + 1, n_keys, dtype=torch.bool).tril(-1)
    return table[lengths].unsqueeze(1).unsqueeze(1)

# %% exercise="combine_masks" right="stack_and_all"
"""Broadcasts all of them, stacks them and asks whether all are True."""
def combine_masks(*masks: Tensor | None) -> Tensor | None:
    present = [mask for mask in masks if mask is not None]
    if len(present) == 0:
        return None
    return torch.stack(torch.broadcast_tensors(*present)).all(dim=0)

# %% exercise="combine_masks" right="recursion_2"
"""The first mask and the combination of the others."""
def combine_masks(*masks: Tensor | None) -> Tensor | None:
    if not masks:
        return None
    first, rest = masks[0], combine_masks(*masks[1:])
    if first is None or rest is None:
        return rest if first is None else first
    return torch.logical_and(first, rest)

# %% exercise="combine_masks" right="de_morgan"
"""Forbidden is what any mask forbids; reduce over the complements."""
from functools import reduce


def combine_masks(*masks: Tensor | None) -> Tensor | None:
    forbidden = [~mask for mask in filter(lambda mask: mask is not None, masks)]
    return ~reduce(torch.bitwise_or, forbidden) if forbidden else None

# %% exercise="split_heads" right="unfold"
"""A sliding window of width d and step d over the last axis."""
def split_heads(x: Tensor, num_heads: int) -> Tensor:
    d = x.shape[-1] // num_heads
    return x.unfold(-1, d, d).permute(0, 2, 1, 3)

# %% exercise="split_heads" right="loop_into_own_tensor"
"""Copies head by head and token by token into a new tensor of the same dtype."""
def split_heads(x: Tensor, num_heads: int) -> Tensor:
    batch, tokens, width = x.shape
    d = width // num_heads
    result = x.new_empty(batch, num_heads, tokens, d)
    for h in range(num_heads):
        for t in range(tokens):
            result[:, h, t] = x[:, t, h * d : (h + 1) * d]
    return result

# %% exercise="merge_heads" right="permute_flatten_2"
"""Moves the axis of the heads and flattens the last two."""
def merge_heads(x: Tensor) -> Tensor:
    return x.movedim(1, 2).flatten(start_dim=-2)

# %% exercise="merge_heads" right="loop_into_own_tensor"
"""Copies head by head into a new tensor of the same dtype."""
def merge_heads(x: Tensor) -> Tensor:
    batch, heads, tokens, d = x.shape
    result = x.new_zeros(batch, tokens, heads * d)
    for h in range(heads):
        result[..., h * d : h * d + d] = x[:, h]
    return result

# %% exercise="MultiHeadAttention" right="head_by_head_2"
"""A loop over the heads, each with its own columns of the weight matrices and its own call of dropout."""
class MultiHeadAttention(nn.Module):
    def __init__(self, d_model: int, num_heads: int, dropout: float = 0.0):
        super().__init__()
        if d_model % num_heads:
            raise ValueError(f"{d_model} is no multiple of {num_heads}")
        self.heads = num_heads
        self.d = d_model // num_heads
        for name in ("w_q", "w_k", "w_v", "w_o"):
            setattr(self, name, nn.Linear(d_model, d_model))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        batch, tokens, _ = x.shape
        if mask is not None:
            mask = mask.expand(batch, self.heads, tokens, tokens)
        outs, all_weights = [], []
        for h in range(self.heads):
            own = slice(h * self.d, (h + 1) * self.d)
            q, k, v = (nn.functional.linear(x, w.weight[own], w.bias[own]) for w in (self.w_q, self.w_k, self.w_v))
            _, weights = scaled_dot_product_attention(q, k, v, None if mask is None else mask[:, h])
            outs.append(self.dropout(weights) @ v)
            all_weights.append(weights)
        return self.w_o(torch.cat(outs, dim=-1)), torch.stack(all_weights, dim=1)

# %% exercise="MultiHeadAttention" right="einsum_own_softmax"
"""einsum over a view with heads, a softmax written out, functional dropout that follows self.training."""
class MultiHeadAttention(nn.Module):
    def __init__(self, d_model: int, num_heads: int, dropout: float = 0.0):
        if divmod(d_model, num_heads)[1]:
            raise ValueError("num_heads must divide d_model")
        super().__init__()
        self.shape = (num_heads, d_model // num_heads)
        self.p = dropout
        self.w_q, self.w_k, self.w_v, self.w_o = (nn.Linear(d_model, d_model) for _ in range(4))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        q = self.w_q(x).unflatten(-1, self.shape)
        k = self.w_k(x).unflatten(-1, self.shape)
        v = self.w_v(x).unflatten(-1, self.shape)
        scores = torch.einsum("bihd,bjhd->bhij", q, k) / self.shape[1] ** 0.5
        if mask is not None:
            scores = torch.where(mask, scores, -torch.inf) if mask.dtype == torch.bool else scores + mask
        dead = (scores == -torch.inf).all(-1, keepdim=True)
        weights = stable_softmax(torch.where(dead, 0.0, scores)) * ~dead
        dropped = nn.functional.dropout(weights, self.p, self.training)
        return self.w_o(torch.einsum("bhij,bjhd->bihd", dropped, v).flatten(-2)), weights

# %% exercise="MultiHeadAttention" right="dropout_on_identity"
"""Folds heads into the batch with bmm; the dropped weights are weights times a dropped tensor of ones."""
class MultiHeadAttention(nn.Module):
    def __init__(self, d_model: int, num_heads: int, dropout: float = 0.0):
        super().__init__()
        if d_model != num_heads * (d_model // num_heads):
            raise ValueError("the width must be a multiple of the number of heads")
        self.num_heads = num_heads
        self.w_q = nn.Linear(d_model, d_model)
        self.w_k = nn.Linear(d_model, d_model)
        self.w_v = nn.Linear(d_model, d_model)
        self.w_o = nn.Linear(d_model, d_model)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        batch, tokens, width = x.shape
        q, k, v = (split_heads(layer(x), self.num_heads).flatten(0, 1) for layer in (self.w_q, self.w_k, self.w_v))
        if mask is not None:
            mask = mask.expand(batch, self.num_heads, tokens, tokens).flatten(0, 1)
        weights = scaled_dot_product_attention(q, k, v, mask)[1]
        mixed = torch.bmm(weights * self.drop(torch.ones_like(weights)), v)
        out = self.w_o(merge_heads(mixed.unflatten(0, (batch, self.num_heads))))
        return out, weights.unflatten(0, (batch, self.num_heads))

# %% exercise="CrossAttention" right="module_calls"
"""The three maps, split_heads, scaled_dot_product_attention, merge_heads, w_o in a module list of named layers."""
class CrossAttention(nn.Module):
    def __init__(self, d_model: int, num_heads: int):
        super().__init__()
        self.num_heads = num_heads
        for name in "qkvo":
            self.add_module(f"w_{name}", nn.Linear(d_model, d_model))

    def forward(self, x: Tensor, memory: Tensor, memory_mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        parts = [split_heads(w(s), self.num_heads) for w, s in ((self.w_q, x), (self.w_k, memory), (self.w_v, memory))]
        out, weights = scaled_dot_product_attention(*parts, mask=memory_mask)
        return self.w_o(merge_heads(out)), weights

# %% exercise="CrossAttention" right="key_map_folded_into_query"
"""Never makes keys: q is carried through w_k (and the bias of w_k adds one number per query), values are mixed before w_v."""
class CrossAttention(nn.Module):
    def __init__(self, d_model: int, num_heads: int):
        super().__init__()
        self.h, self.d = num_heads, d_model // num_heads
        self.w_q = nn.Linear(d_model, d_model)
        self.w_k = nn.Linear(d_model, d_model)
        self.w_v = nn.Linear(d_model, d_model)
        self.w_o = nn.Linear(d_model, d_model)

    def forward(self, x: Tensor, memory: Tensor, memory_mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        q = split_heads(self.w_q(x), self.h)
        to_key = self.w_k.weight.reshape(self.h, self.d, -1)
        key_bias = self.w_k.bias.reshape(self.h, self.d, 1)
        carried = q @ to_key
        scores = (carried @ memory[:, None].mT + q @ key_bias) / math.sqrt(self.d)
        if memory_mask is not None:
            scores = scores.masked_fill(~memory_mask, -math.inf)
        dead = scores.isneginf().all(-1, keepdim=True)
        weights = stable_softmax(scores.masked_fill(dead, 0.0)).masked_fill(dead, 0.0)
        read = weights @ memory[:, None]
        to_value = self.w_v.weight.reshape(self.h, self.d, -1)
        value_bias = self.w_v.bias.reshape(self.h, 1, self.d)
        mixed = read @ to_value.mT + weights.sum(-1, keepdim=True) * value_bias
        return self.w_o(merge_heads(mixed)), weights

# %% exercise="CrossAttention" right="sentence_by_sentence"
"""A loop over batch and heads on matrices, with an additive mask."""
class CrossAttention(nn.Module):
    def __init__(self, d_model: int, num_heads: int):
        super().__init__()
        self.num_heads = num_heads
        self.w_q = nn.Linear(d_model, d_model)
        self.w_k = nn.Linear(d_model, d_model)
        self.w_v = nn.Linear(d_model, d_model)
        self.w_o = nn.Linear(d_model, d_model)

    def forward(self, x: Tensor, memory: Tensor, memory_mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        batch, t, width = x.shape
        s, d = memory.shape[1], width // self.num_heads
        bias = torch.zeros(batch, self.num_heads, t, s, dtype=x.dtype)
        if memory_mask is not None:
            bias = bias.masked_fill(~memory_mask, float("-inf"))
        outs, all_weights = [], []
        for b in range(batch):
            q, k, v = self.w_q(x[b]), self.w_k(memory[b]), self.w_v(memory[b])
            columns = [slice(i, i + d) for i in range(0, width, d)]
            pairs = [scaled_dot_product_attention(q[:, c], k[:, c], v[:, c], bias[b, h]) for h, c in enumerate(columns)]
            outs.append(self.w_o(torch.cat([out for out, _ in pairs], dim=1)))
            all_weights.append(torch.stack([weights for _, weights in pairs]))
        return torch.stack(outs), torch.stack(all_weights)

# %% exercise="attention_entropy" right="nan_to_num"
"""w ln w as it stands; the NaN of 0 ln 0 becomes 0 before the sum."""
def attention_entropy(weights: Tensor) -> Tensor:
    return torch.nan_to_num(-weights * weights.log(), nan=0.0).sum(-1)

# %% exercise="attention_entropy" right="special_entr"
"""torch.special.entr is -w ln w with 0 at 0."""
def attention_entropy(weights: Tensor) -> Tensor:
    return torch.special.entr(weights).sum(dim=-1)

# %% exercise="attention_entropy" right="key_by_key"
"""A loop over the keys with a float64 total; logarithms of zero weights are replaced by the logarithm of one."""
def attention_entropy(weights: Tensor) -> Tensor:
    total = torch.zeros_like(weights[..., 0], dtype=torch.float64)
    for s in range(weights.shape[-1]):
        w = weights[..., s]
        total = total - w * torch.log(torch.where(w > 0, w, torch.ones_like(w)))
    return total.to(weights.dtype)

# %% exercise="attention_entropy" right="log2_dot_product"
"""Bits by a batched dot product with log2 in float64, then times ln 2."""
def attention_entropy(weights: Tensor) -> Tensor:
    wide = weights.double()
    bits = wide.masked_fill(wide == 0, 1.0).log2()
    return (torch.einsum("...s,...s->...", wide, bits) * -math.log(2)).to(weights.dtype)

# %% exercise="sink_mass" right="head_by_head"
"""For each head, over batch and queries, a running total divided by their number."""
def sink_mass(weights: Tensor, first: int = 4) -> Tensor:
    batch, heads, queries, _ = weights.shape
    result = weights.new_zeros(heads)
    for h in range(heads):
        for t in range(first, queries):
            result[h] += weights[:, h, t, :first].sum()
    return result / (batch * (queries - first))

# %% exercise="sink_mass" right="einsum_with_indicator"
"""einsum with a vector that is 1 for sink keys and one that is 1 / count for the queries that count."""
def sink_mass(weights: Tensor, first: int = 4) -> Tensor:
    batch, _, queries, keys = weights.shape
    is_sink = (torch.arange(keys) < first).to(weights.dtype)
    share = (torch.arange(queries) >= first).to(weights.dtype)
    share = share / share.sum() / batch
    return torch.einsum("bhts,s,t->h", weights, is_sink, share)

# %% exercise="sink_mass" right="mean_first_then_sum"
"""Averages over queries and batch first and adds the sink keys afterwards."""
def sink_mass(weights: Tensor, first: int = 4) -> Tensor:
    return weights.narrow(2, first, weights.size(2) - first).mean((0, 2)).narrow(1, 0, min(first, weights.size(3))).sum(1)

# %% exercise="attention_cost" right="products_listed"
"""Lists every product as (a, b, c) and adds up 2abc."""
def attention_cost(n: int, d_model: int, num_heads: int, bytes_per_number: int = 4) -> dict[str, int]:
    d = d_model // num_heads

    def flops(products):
        return sum(2 * a * b * c for a, b, c in products)

    return {
        "projection_flops": flops([(n, d_model, d_model)] * 4),
        "score_flops": flops([(n, d, n)] * num_heads),
        "mix_flops": flops([(n, n, d)] * num_heads),
        "score_bytes": sum(n * n * bytes_per_number for _ in range(num_heads)),
        "kv_bytes": sum(n * d * bytes_per_number for _ in range(num_heads) for _ in ("keys", "values")),
    }

# %% exercise="attention_cost" right="closed_forms"
"""Closed forms in n and D."""
def attention_cost(n: int, d_model: int, num_heads: int, bytes_per_number: int = 4) -> dict[str, int]:
    square = 2 * n**2 * d_model
    return dict(
        projection_flops=8 * n * d_model**2,
        score_flops=square,
        mix_flops=square,
        score_bytes=num_heads * n**2 * bytes_per_number,
        kv_bytes=2 * n * d_model * bytes_per_number,
    )

# %% exercise="attention_cost" right="math_prod"
"""math.prod over the factors, in another order of keys."""
def attention_cost(n: int, d_model: int, num_heads: int, bytes_per_number: int = 4) -> dict[str, int]:
    head = d_model // num_heads
    cost = {"kv_bytes": math.prod((2, num_heads, n, head, bytes_per_number))}
    cost["score_bytes"] = math.prod((num_heads, n, n, bytes_per_number))
    for name in ("mix_flops", "score_flops"):
        cost[name] = math.prod((num_heads, 2, n, n, head))
    cost["projection_flops"] = 4 * math.prod((2, n, d_model, d_model))
    return cost

# %% exercise="row_softmax" right="two_walks"
"""A running maximum and a sum that is rescaled, then one walk to write."""
@triton.jit
def row_softmax_kernel(x_ptr, out_ptr, n_cols, x_row, x_col, out_row, out_col, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    lanes = tl.arange(0, BLOCK)
    top = -float("inf")
    total = 0.0
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        x = tl.load(x_ptr + row * x_row + cols * x_col, mask=cols < n_cols, other=-float("inf")).to(tl.float32)
        higher = tl.maximum(top, tl.max(x, axis=0))
        total = total * tl.exp(top - higher) + tl.sum(tl.exp(x - higher), axis=0)
        top = higher
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        z = tl.load(x_ptr + row * x_row + cols * x_col, mask=cols < n_cols, other=0.0).to(tl.float32)
        tl.store(out_ptr + row * out_row + cols * out_col, tl.exp(z - top) / total, mask=cols < n_cols)


def row_softmax(x: Tensor, block: int = 128) -> Tensor:
    rows, cols = x.shape
    out = torch.empty((rows, cols), dtype=x.dtype, device=x.device)
    row_softmax_kernel[(rows,)](x, out, cols, *x.stride(), *out.stride(), BLOCK=block)
    return out

# %% exercise="row_softmax" right="lane_by_lane"
"""Each lane keeps its own maximum and its own sum in base 2; they are reduced once, at the end of a walk."""
@triton.jit
def row_softmax_kernel(x_ptr, out_ptr, n_cols, x_row, x_col, out_row, out_col, BLOCK: tl.constexpr):
    x_ptr += tl.program_id(0).to(tl.int64) * x_row
    out_ptr += tl.program_id(0).to(tl.int64) * out_row
    highest = tl.full((BLOCK,), -float("inf"), tl.float32)
    for start in range(0, n_cols, BLOCK):
        cols = start + tl.arange(0, BLOCK)
        x = tl.load(x_ptr + cols * x_col, mask=cols < n_cols, other=-float("inf"))
        highest = tl.maximum(highest, x.to(tl.float32))
    top = tl.max(highest, axis=0)
    sums = tl.zeros((BLOCK,), tl.float32)
    for start in range(0, n_cols, BLOCK):
        cols = start + tl.arange(0, BLOCK)
        y = tl.load(x_ptr + cols * x_col, mask=cols < n_cols, other=0.0).to(tl.float32)
        sums += tl.where(cols < n_cols, tl.exp2((y - top) * 1.4426950408889634), 0.0)
    share = 1.0 / tl.sum(sums, axis=0)
    for start in range(0, n_cols, BLOCK):
        cols = start + tl.arange(0, BLOCK)
        z = tl.load(x_ptr + cols * x_col, mask=cols < n_cols).to(tl.float32)
        w = tl.exp2((z - top) * 1.4426950408889634) * share
        tl.store(out_ptr + cols * out_col, w.to(out_ptr.dtype.element_ty), mask=cols < n_cols)


def row_softmax(x: Tensor, block: int = 128) -> Tensor:
    out = x.new_empty(x.shape)
    row_softmax_kernel[(x.shape[0],)](
        x, out, x.shape[1], x.stride(0), x.stride(1), out.stride(0), out.stride(1), BLOCK=block
    )
    return out

# %% exercise="row_softmax" right="from_the_right_with_small_blocks"
"""Walks from the right end in blocks that are no wider than the row needs; one walk less by a running maximum."""
@triton.jit
def row_softmax_kernel(x_ptr, out_ptr, n_cols, x_row, x_col, out_row, BLOCK: tl.constexpr):
    row = tl.program_id(axis=0)
    top = -float("inf")
    total = 0.0
    for done in range(0, n_cols, BLOCK):
        cols = n_cols - 1 - done - tl.arange(0, BLOCK)
        x = tl.load(x_ptr + row * x_row + cols * x_col, cols >= 0, -float("inf")).to(tl.float32)
        new = tl.maximum(top, tl.max(x, 0))
        total = total * tl.exp(top - new) + tl.sum(tl.exp(x - new), 0)
        top = new
    for done in range(0, n_cols, BLOCK):
        cols = n_cols - 1 - done - tl.arange(0, BLOCK)
        y = tl.load(x_ptr + row * x_row + cols * x_col, cols >= 0, 0.0).to(tl.float32)
        tl.store(out_ptr + row * out_row + cols, tl.exp(y - top) / total, cols >= 0)


def row_softmax(x: Tensor, block: int = 128) -> Tensor:
    rows, cols = x.shape
    out = torch.empty(rows, cols, dtype=x.dtype, device=x.device)
    width = min(block, triton.next_power_of_2(cols))
    row_softmax_kernel[rows,](x, out, cols, x.stride(0), x.stride(1), out.stride(0), BLOCK=width)
    return out

# %% exercise="row_softmax" right="three_walks_2"
"""Maximum, sum of exponentials, write: three walks over the row."""
@triton.jit
def row_softmax_kernel(x_ptr, out_ptr, n_cols, x_row, x_col, out_row, out_col, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    lanes = tl.arange(0, BLOCK)
    top = -float("inf")
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        x = tl.load(x_ptr + row * x_row + cols * x_col, mask=cols < n_cols, other=-float("inf")).to(tl.float32)
        top = tl.maximum(top, tl.max(x, axis=0))
    total = 0.0
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        y = tl.load(x_ptr + row * x_row + cols * x_col, mask=cols < n_cols, other=-float("inf")).to(tl.float32)
        total += tl.sum(tl.exp(y - top), axis=0)
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        z = tl.load(x_ptr + row * x_row + cols * x_col, mask=cols < n_cols, other=0.0).to(tl.float32)
        tl.store(out_ptr + row * out_row + cols * out_col, tl.exp(z - top) / total, mask=cols < n_cols)


def row_softmax(x: Tensor, block: int = 128) -> Tensor:
    rows, cols = x.shape
    out = torch.empty((rows, cols), dtype=x.dtype, device=x.device)
    row_softmax_kernel[(rows,)](x, out, cols, *x.stride(), *out.stride(), BLOCK=block)
    return out

# %% exercise="masked_scaled_softmax" right="three_walks_2"
"""Three walks with -inf for blocked columns, maximum 0 and sum 1 for a blocked row."""
@triton.jit
def masked_scaled_softmax_kernel(
    scores_ptr, mask_ptr, out_ptr, scale, n_cols,
    scores_row, scores_col, mask_row, mask_col, out_row, out_col, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0)
    scores_ptr += row * scores_row
    mask_ptr += row * mask_row
    out_ptr += row * out_row
    lanes = tl.arange(0, BLOCK)
    top = -float("inf")
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        inside = cols < n_cols
        allowed = tl.load(mask_ptr + cols * mask_col, mask=inside, other=0).to(tl.int1)
        s = tl.load(scores_ptr + cols * scores_col, mask=inside, other=0.0) * scale
        s = tl.where(allowed, s, -float("inf"))
        top = tl.maximum(top, tl.max(s, axis=0))
    top = tl.where(top == -float("inf"), 0.0, top)
    total = 0.0
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        inside = cols < n_cols
        allowed = tl.load(mask_ptr + cols * mask_col, mask=inside, other=0).to(tl.int1)
        s = tl.load(scores_ptr + cols * scores_col, mask=inside, other=0.0) * scale
        s = tl.where(allowed, s, -float("inf"))  # sum
        total += tl.sum(tl.exp(s - top), axis=0)
    total = tl.where(total == 0.0, 1.0, total)
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        inside = cols < n_cols
        allowed = tl.load(mask_ptr + cols * mask_col, mask=inside, other=0).to(tl.int1)
        s = tl.load(scores_ptr + cols * scores_col, mask=inside, other=0.0) * scale
        s = tl.where(allowed, s, -float("inf"))  # write
        tl.store(out_ptr + cols * out_col, tl.exp(s - top) / total, mask=inside)


def masked_scaled_softmax(scores: Tensor, mask: Tensor, scale: float, block: int = 128) -> Tensor:
    rows, cols = scores.shape
    out = torch.empty((rows, cols), dtype=scores.dtype, device=scores.device)
    masked_scaled_softmax_kernel[(rows,)](
        scores, mask, out, scale, cols, *scores.stride(), *mask.stride(), *out.stride(), BLOCK=block
    )
    return out

# %% exercise="masked_scaled_softmax" right="running_maximum"
"""Two walks; the shift is 0 as long as nothing was allowed."""
@triton.jit
def masked_scaled_softmax_kernel(
    scores_ptr, mask_ptr, out_ptr, scale, n_cols,
    scores_row, scores_col, mask_row, mask_col, out_row, out_col, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0)
    scores_ptr += row * scores_row
    mask_ptr += row * mask_row
    out_ptr += row * out_row
    lanes = tl.arange(0, BLOCK)
    top = -float("inf")
    total = 0.0
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        inside = cols < n_cols
        allowed = tl.load(mask_ptr + cols * mask_col, mask=inside, other=0).to(tl.int1)
        s = tl.load(scores_ptr + cols * scores_col, mask=inside, other=0.0) * scale
        s = tl.where(allowed, s, -float("inf"))
        higher = tl.maximum(top, tl.max(s, axis=0))
        shift = tl.where(higher == -float("inf"), 0.0, higher)
        total = total * tl.exp(top - shift) + tl.sum(tl.exp(s - shift), axis=0)
        top = higher
    top = tl.where(top == -float("inf"), 0.0, top)
    total = tl.where(total == 0.0, 1.0, total)
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        inside = cols < n_cols
        allowed = tl.load(mask_ptr + cols * mask_col, mask=inside, other=0).to(tl.int1)
        s = tl.load(scores_ptr + cols * scores_col, mask=inside, other=0.0) * scale
        s = tl.where(allowed, s, -float("inf"))  # write
        tl.store(out_ptr + cols * out_col, tl.exp(s - top) / total, mask=inside)


def masked_scaled_softmax(scores: Tensor, mask: Tensor, scale: float, block: int = 128) -> Tensor:
    rows, cols = scores.shape
    out = torch.empty((rows, cols), dtype=scores.dtype, device=scores.device)
    masked_scaled_softmax_kernel[(rows,)](
        scores, mask, out, scale, cols, *scores.stride(), *mask.stride(), *out.stride(), BLOCK=block
    )
    return out

# %% exercise="masked_scaled_softmax" right="lanes_and_loads_under_the_mask"
"""Loads scores only where they are allowed (mask as the load's mask), keeps a maximum and a sum per lane."""
@triton.jit
def masked_scaled_softmax_kernel(
    scores_ptr, mask_ptr, out_ptr, scale, n_cols,
    scores_row, scores_col, mask_row, mask_col, out_row, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0)
    highest = tl.full((BLOCK,), -float("inf"), tl.float32)
    for start in range(0, n_cols, BLOCK):
        cols = start + tl.arange(0, BLOCK)
        ok = tl.load(mask_ptr + row * mask_row + cols * mask_col, mask=cols < n_cols, other=0) != 0
        s = tl.load(scores_ptr + row * scores_row + cols * scores_col, mask=ok & (cols < n_cols), other=-float("inf"))
        highest = tl.maximum(highest, s)
    top = tl.max(highest, axis=0)
    sums = tl.zeros((BLOCK,), tl.float32)
    for start in range(0, n_cols, BLOCK):
        cols = start + tl.arange(0, BLOCK)
        ok = tl.load(mask_ptr + row * mask_row + cols * mask_col, mask=cols < n_cols, other=0) != 0
        ok = ok & (cols < n_cols)
        s = tl.load(scores_ptr + row * scores_row + cols * scores_col, mask=ok, other=0.0)
        sums += tl.where(ok, tl.exp(scale * tl.where(ok, s - top, 0.0)), 0.0)
    total = tl.maximum(tl.sum(sums, axis=0), 1.0)
    for start in range(0, n_cols, BLOCK):
        cols = start + tl.arange(0, BLOCK)
        ok = tl.load(mask_ptr + row * mask_row + cols * mask_col, mask=cols < n_cols, other=0) != 0
        ok = ok & (cols < n_cols)
        s = tl.load(scores_ptr + row * scores_row + cols * scores_col, mask=ok, other=0.0)
        w = tl.where(ok, tl.exp(scale * tl.where(ok, s - top, 0.0)) / total, 0.0)
        tl.store(out_ptr + row * out_row + cols, w, mask=cols < n_cols)


def masked_scaled_softmax(scores: Tensor, mask: Tensor, scale: float, block: int = 128) -> Tensor:
    rows, cols = scores.shape
    out = scores.new_empty(rows, cols)
    masked_scaled_softmax_kernel[(rows,)](
        scores, mask, out, scale, cols, scores.stride(0), scores.stride(1), mask.stride(0), mask.stride(1), cols, block
    )
    return out

# %% exercise="masked_scaled_softmax" right="mask_viewed_as_bytes"
"""The mask is viewed as uint8 (no copy); blocked columns hold the most negative float and their exponential is set to 0; one walk less."""
@triton.jit
def masked_scaled_softmax_kernel(
    scores_ptr, mask_ptr, out_ptr, scale, n_cols,
    scores_row, scores_col, mask_row, mask_col, out_row, out_col, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    top = -3.4028234663852886e38
    total = 0.0
    for start in range(0, n_cols, BLOCK):
        cols = start + tl.arange(0, BLOCK)
        inside = cols < n_cols
        allowed = tl.load(mask_ptr + row * mask_row + cols * mask_col, mask=inside, other=0) > 0
        s = tl.load(scores_ptr + row * scores_row + cols * scores_col, mask=inside, other=0.0) * scale
        s = tl.where(allowed, s, -3.4028234663852886e38)
        higher = tl.maximum(top, tl.max(s, axis=0))
        total = total * tl.exp(top - higher) + tl.sum(tl.where(allowed, tl.exp(s - higher), 0.0), axis=0)
        top = higher
    inverse = 1.0 / tl.where(total > 0.0, total, 1.0)
    for start in range(0, n_cols, BLOCK):
        cols = start + tl.arange(0, BLOCK)
        inside = cols < n_cols
        allowed = tl.load(mask_ptr + row * mask_row + cols * mask_col, mask=inside, other=0) > 0
        s = tl.load(scores_ptr + row * scores_row + cols * scores_col, mask=inside, other=0.0) * scale
        s = tl.where(allowed, s, top)
        tl.store(out_ptr + row * out_row + cols * out_col, tl.where(allowed, tl.exp(s - top) * inverse, 0.0), mask=inside)


def masked_scaled_softmax(scores: Tensor, mask: Tensor, scale: float, block: int = 128) -> Tensor:
    out = torch.empty(scores.shape, dtype=torch.float32, device=scores.device)
    masked_scaled_softmax_kernel[(scores.shape[0],)](
        scores, mask.view(torch.uint8), out, scale, scores.shape[1],
        *scores.stride(), *mask.stride(), *out.stride(), BLOCK=block,
    )  # fmt: skip
    return out

# %% exercise="permutation_finding" right="statistics_median"
"""A list for each name and statistics.median."""
import statistics


def permutation_finding(runs: list[int]) -> dict[str, float]:
    found = {"same_place": [], "same_word": [], "causal_word": []}
    mask = causal_mask(4, 4)
    for run in runs:
        x = word_vectors(run)
        y = x[ORDER]
        a, b = scaled_dot_product_attention(x, x, x)[0], scaled_dot_product_attention(y, y, y)[0]
        c, e = scaled_dot_product_attention(x, x, x, mask)[0], scaled_dot_product_attention(y, y, y, mask)[0]
        found["same_place"].append((b - a).abs().max().item())
        found["same_word"].append((b - a[ORDER]).abs().max().item())
        found["causal_word"].append((e - c[ORDER]).abs().max().item())
    return {name: round(statistics.median(numbers), 4) for name, numbers in found.items()}

# %% exercise="permutation_finding" right="all_runs_in_one_batch"
"""All runs as one batch, the largest difference by amax, the median by quantile."""
def permutation_finding(runs: list[int]) -> dict[str, float]:
    x = torch.stack([word_vectors(run) for run in runs])
    y = x[:, ORDER]

    def attend(z, mask=None):
        return scaled_dot_product_attention(z, z, z, mask)[0]

    def middle(left, right):
        largest = (left - right).abs().amax(dim=(1, 2)).double()
        return round(torch.quantile(largest, 0.5).item(), 4)

    causal = torch.ones(4, 4, dtype=torch.bool).tril()
    return {
        "same_place": middle(attend(y), attend(x)),
        "same_word": middle(attend(y), attend(x)[:, ORDER]),
        "causal_word": middle(attend(y, causal), attend(x, causal)[:, ORDER]),
    }

# %% exercise="permutation_finding" right="permutation_matrix_float64"
"""In float64, with the order as a matrix product, the Chebyshev norm, and a median from the sorted list."""
def permutation_finding(runs: list[int]) -> dict[str, float]:
    move = torch.eye(len(ORDER), dtype=torch.float64)[ORDER]
    rows = []
    for run in runs:
        x = word_vectors(run).double()
        plain = lambda z: scaled_dot_product_attention(z, z, z)[0]
        causal = lambda z: scaled_dot_product_attention(z, z, z, causal_mask(4, 4))[0]
        gaps = (plain(move @ x) - plain(x), plain(move @ x) - move @ plain(x), causal(move @ x) - move @ causal(x))
        rows.append([torch.linalg.vector_norm(gap, ord=math.inf).item() for gap in gaps])
    result = {}
    for name, column in zip(("same_place", "same_word", "causal_word"), zip(*rows)):
        column = sorted(column)
        result[name] = round((column[(len(column) - 1) // 2] + column[len(column) // 2]) / 2, 4)
    return result

# %% exercise="saturation_finding" right="loops"
"""Two loops, queries drawn before keys, one generator for each seed and width."""
DIMS = [16, 64, 256, 1024]
saturation_finding = {name: [] for name in ("raw_entropy", "scaled_entropy", "raw_gradient", "scaled_gradient")}
for _d in DIMS:
    _rows = {name: [] for name in saturation_finding}
    for _seed in range(10):
        _gen = torch.Generator().manual_seed(_seed)
        _q = torch.randn(64, _d, generator=_gen)
        _k = torch.randn(64, _d, generator=_gen)
        for _name, _scale in (("raw", 1.0), ("scaled", 1 / math.sqrt(_d))):
            _w = stable_softmax(_q @ _k.T * _scale)
            _rows[_name + "_entropy"].append(attention_entropy(_w).mean().item() / math.log(64))
            _rows[_name + "_gradient"].append((1 - (_w * _w).sum(-1)).mean().item())
    for _name, _row in _rows.items():
        saturation_finding[_name].append(_row)

# %% exercise="saturation_finding" right="one_generator_per_seed_2"
"""One generator for each seed that serves all widths in turn, keys first, float64."""
DIMS = [16, 64, 256, 1024]


def _saturation():
    tables = {f"{s}_{p}": [[0.0] * 10 for _ in DIMS] for s in ("raw", "scaled") for p in ("entropy", "gradient")}
    for s in range(10):
        gen = torch.Generator().manual_seed(s)
        for i, d in enumerate(DIMS):
            keys, queries = torch.randn(2, 64, d, generator=gen, dtype=torch.float64)
            for kind, weights in (
                ("raw", stable_softmax(queries @ keys.T)),
                ("scaled", stable_softmax(queries @ keys.T / d**0.5)),
            ):
                tables[f"{kind}_entropy"][i][s] = float(torch.mean(attention_entropy(weights))) / math.log(64)
                tables[f"{kind}_gradient"][i][s] = float(torch.sum(weights * (1 - weights))) / 64
    return tables


saturation_finding = _saturation()

# %% exercise="saturation_finding" right="all_seeds_batched"
"""All seeds of a width in one tensor (10, 64, 64), tables by tolist."""
DIMS = [16, 64, 256, 1024]


def _draw(d):
    pairs = [torch.randn(2, 64, d, generator=torch.Generator().manual_seed(s)) for s in range(10)]
    q, k = torch.stack(pairs, dim=1)
    return torch.einsum("rqd,rkd->rqk", q, k)


_raw = [stable_softmax(_draw(d)) for d in DIMS]
_scaled = [stable_softmax(_draw(d).div(d**0.5)) for d in DIMS]
saturation_finding = {
    "raw_entropy": [(attention_entropy(w).mean(-1) / math.log(64)).tolist() for w in _raw],
    "scaled_entropy": [(attention_entropy(w).mean(-1) / math.log(64)).tolist() for w in _scaled],
    "raw_gradient": [(1 - w.square().sum(-1)).mean(-1).tolist() for w in _raw],
    "scaled_gradient": [(1 - w.square().sum(-1)).mean(-1).tolist() for w in _scaled],
}

# %% exercise="repaired_cross_attention" right="own_function"
"""Calls scaled_dot_product_attention with the decoder's queries and the encoder's keys and values."""
def repaired_cross_attention(
    decoder_states: Tensor, encoder_states: Tensor, w_q: Tensor, w_k: Tensor, w_v: Tensor
) -> Tensor:
    return scaled_dot_product_attention(decoder_states @ w_q, encoder_states @ w_k, encoder_states @ w_v)[0]

# %% exercise="repaired_cross_attention" right="values_mapped_last"
"""The library's softmax, torch.bmm on the encoder's states, and w_v applied last, to the mix."""
def repaired_cross_attention(
    decoder_states: Tensor, encoder_states: Tensor, w_q: Tensor, w_k: Tensor, w_v: Tensor
) -> Tensor:
    logits = (decoder_states @ w_q) @ (encoder_states @ w_k).transpose(1, 2) / math.sqrt(w_k.shape[-1])
    weights = torch.softmax(logits, dim=2)
    return torch.bmm(weights, encoder_states) @ w_v

# %% exercise="repaired_cross_attention" right="streaming_over_keys"
"""Takes the encoder's positions one at a time with a running maximum, a running sum and a running mix."""
def repaired_cross_attention(
    decoder_states: Tensor, encoder_states: Tensor, w_q: Tensor, w_k: Tensor, w_v: Tensor
) -> Tensor:
    queries = torch.einsum("btd,de->bte", decoder_states, w_q) * w_k.shape[-1] ** -0.5
    keys = torch.einsum("bsd,de->bse", encoder_states, w_k)
    values = torch.einsum("bsd,de->bse", encoder_states, w_v)
    top = (queries * keys[:, :1]).sum(-1, keepdim=True)
    total, mix = torch.ones_like(top), values[:, :1].expand(-1, queries.shape[1], -1)
    for s in range(1, keys.shape[1]):
        logit = (queries * keys[:, s : s + 1]).sum(-1, keepdim=True)
        higher = torch.maximum(top, logit)
        old, new = torch.exp(top - higher), torch.exp(logit - higher)
        total, mix, top = total * old + new, mix * old + values[:, s : s + 1] * new, higher
    return mix / total

# %% exercise="repaired_masking" right="additive_everywhere"
"""Turns a boolean mask into 0 and -inf and adds; rows that are -inf everywhere are filled before the softmax."""
def repaired_masking(logits: Tensor, mask: Tensor) -> Tensor:
    if mask.dtype == torch.bool:
        mask = torch.zeros(mask.shape, dtype=logits.dtype, device=logits.device).masked_fill(~mask, float("-inf"))
    elif not mask.is_floating_point():
        raise TypeError(f"mask must be bool or float, not {mask.dtype}")
    logits = logits + mask.to(logits.dtype)
    dead = logits.isneginf().all(-1, keepdim=True)
    return stable_softmax(logits.masked_fill(dead, 0.0)).masked_fill(dead, 0.0)

# %% exercise="repaired_masking" right="sum_of_at_least_one"
"""A shift that is 0 for hidden rows; their sum of exponentials 0 is replaced by 1. Works in float64."""
def repaired_masking(logits: Tensor, mask: Tensor) -> Tensor:
    wide = logits.double()
    if mask.dtype is torch.bool:
        wide = torch.where(mask, wide, -torch.inf)
    elif mask.dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        wide = wide + mask
    else:
        raise TypeError("bool or float, please")
    top = wide.amax(dim=-1, keepdim=True).clamp(min=torch.finfo(torch.float64).min)
    e = (wide - top).exp()
    total = e.sum(dim=-1, keepdim=True)
    return (e / (total + (total == 0))).to(logits.dtype)

# %% exercise="repaired_masking" right="row_by_row"
"""Flattens to rows and weighs only the visible keys of each."""
def repaired_masking(logits: Tensor, mask: Tensor) -> Tensor:
    if mask.dtype != torch.bool and not torch.is_floating_point(mask):
        raise TypeError("cannot tell what this mask means")
    own = mask.expand(logits.shape)
    weights = torch.zeros_like(logits).reshape(-1, logits.shape[-1])
    pairs = zip(logits.reshape(weights.shape), own.reshape(weights.shape), strict=True)
    for i, (row, allowed) in enumerate(pairs):
        visible = allowed if allowed.dtype == torch.bool else allowed != -math.inf
        if visible.any():
            score = row[visible] if allowed.dtype == torch.bool else row[visible] + allowed[visible].to(row.dtype)
            weights[i, visible] = torch.softmax(score, dim=0)
    return weights.reshape(logits.shape)

# %% exercise="saturation_finding" right="tensor_tables"
"""Tables are tensors and not lists of lists."""
DIMS = [16, 64, 256, 1024]
saturation_finding = {name: [] for name in ("raw_entropy", "scaled_entropy", "raw_gradient", "scaled_gradient")}
for _d in DIMS:
    _rows = {name: [] for name in saturation_finding}
    for _seed in range(10):
        _gen = torch.Generator().manual_seed(_seed)
        _q = torch.randn(64, _d, generator=_gen)
        _k = torch.randn(64, _d, generator=_gen)
        for _name, _scale in (("raw", 1.0), ("scaled", 1 / math.sqrt(_d))):
            _w = stable_softmax(_q @ _k.T * _scale)
            _rows[_name + "_entropy"].append(attention_entropy(_w).mean().item() / math.log(64))
            _rows[_name + "_gradient"].append((1 - (_w * _w).sum(-1)).mean().item())
    for _name, _row in _rows.items():
        saturation_finding[_name].append(_row)
saturation_finding = {name: torch.tensor(table) for name, table in saturation_finding.items()}

# %% exercise="attention_backward" right="by_the_formulas"
"""Calls the forward pass for P and goes through the formulas of section 11."""
def attention_backward(
    q: Tensor, k: Tensor, v: Tensor, grad_out: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    scale = 1 / math.sqrt(q.shape[-1])
    out, p = scaled_dot_product_attention(q, k, v, mask)
    dv = p.transpose(-2, -1) @ grad_out
    dp = grad_out @ v.transpose(-2, -1)
    ds = p * (dp - (p * dp).sum(-1, keepdim=True))
    dq = ds @ k * scale
    dk = ds.transpose(-2, -1) @ q * scale
    return dq, dk, dv

# %% exercise="attention_backward" right="own_forward_einsum"
"""Own masked softmax, everything with einsum, row number from dO . O, under no_grad."""
def attention_backward(
    q: Tensor, k: Tensor, v: Tensor, grad_out: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    with torch.no_grad():
        scores = torch.einsum("...td,...sd->...ts", q, k) / q.shape[-1] ** 0.5
        if mask is not None:
            scores = torch.where(mask, scores, -torch.inf) if mask.dtype == torch.bool else scores + mask
        top = scores.amax(-1, keepdim=True)
        e = torch.exp(scores - torch.where(top.isinf(), 0.0, top))
        total = e.sum(-1, keepdim=True)
        p = e / torch.where(total == 0, 1.0, total)
        out = torch.einsum("...ts,...se->...te", p, v)
        number = (grad_out * out).sum(-1)
        ds = p * (torch.einsum("...te,...se->...ts", grad_out, v) - number[..., None]) / q.shape[-1] ** 0.5
        return (
            torch.einsum("...ts,...sd->...td", ds, k),
            torch.einsum("...ts,...td->...sd", ds, q),
            torch.einsum("...ts,...te->...se", p, grad_out),
        )

# %% exercise="attention_backward" right="explicit_jacobian"
"""Builds the whole Jacobian diag(P) - P P^T of every row and multiplies by it."""
def attention_backward(
    q: Tensor, k: Tensor, v: Tensor, grad_out: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    _, p = scaled_dot_product_attention(q, k, v, mask)
    jacobian = torch.diag_embed(p) - p.unsqueeze(-1) * p.unsqueeze(-2)
    dp = torch.matmul(grad_out, v.mT)
    ds = (jacobian @ dp.unsqueeze(-1)).squeeze(-1) / math.sqrt(k.size(-1))
    return ds @ k, ds.mT @ q, p.mT @ grad_out

# %% exercise="attention_backward" right="query_by_query"
"""Flattens the leading dimensions and loops over the batch and the queries, only over the keys that may be looked at."""
def attention_backward(
    q: Tensor, k: Tensor, v: Tensor, grad_out: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    T, S, width = q.shape[-2], k.shape[-2], q.shape[-1]
    lead = q.shape[:-2]
    qs, ks, vs, gs = (x.detach().reshape(-1, *x.shape[-2:]) for x in (q, k, v, grad_out))
    bias = torch.zeros(lead + (T, S), dtype=q.dtype, device=q.device)
    if mask is not None:
        if mask.dtype == torch.bool:
            bias = bias.masked_fill(~mask, float("-inf"))
        else:
            bias = bias + mask.detach()
    bias = bias.reshape(-1, T, S)
    dq, dk, dv = torch.zeros_like(qs), torch.zeros_like(ks), torch.zeros_like(vs)
    for b in range(len(qs)):
        for t in range(T):
            seen = (bias[b, t] > float("-inf")).nonzero()[:, 0]
            if len(seen) == 0:
                continue
            keys, values = ks[b, seen], vs[b, seen]
            p = torch.softmax(keys @ qs[b, t] / width**0.5 + bias[b, t, seen], 0)
            dp = values @ gs[b, t]
            ds = p * (dp - p @ dp) / width**0.5
            dq[b, t] = ds @ keys
            dk[b, seen] += torch.outer(ds, qs[b, t])
            dv[b, seen] += torch.outer(p, gs[b, t])
    return dq.reshape(q.shape), dk.reshape(k.shape), dv.reshape(v.shape)

# %% exercise="attention_backward" right="key_blocks"
"""As FlashAttention does it: running maximum and sum over blocks of three keys, then P anew for each block from the log of the denominator."""
def attention_backward(
    q: Tensor, k: Tensor, v: Tensor, grad_out: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    block, scale = 3, q.shape[-1] ** -0.5
    S = k.shape[-2]
    whole = None if mask is None else mask.expand(*q.shape[:-1], S)


    def scores_of(cut):
        s = (q @ k[..., cut, :].transpose(-1, -2)).mul(scale)
        if whole is None:
            return s
        part = whole[..., cut]
        return s.masked_fill(part.logical_not(), -math.inf) if part.dtype == torch.bool else s + part


    cuts = [slice(start, min(start + block, S)) for start in range(0, S, block)]
    log_total = q.new_full((*q.shape[:-1], 1), -math.inf)
    for cut in cuts:
        log_total = torch.logaddexp(log_total, scores_of(cut).logsumexp(-1, keepdim=True))
    log_total = log_total.masked_fill(log_total == -math.inf, 0.0)
    out = torch.zeros_like(grad_out)
    for cut in cuts:
        out = out + (scores_of(cut) - log_total).exp() @ v[..., cut, :]
    number = (out * grad_out).sum(-1, keepdim=True)
    dq, dks, dvs = torch.zeros_like(q), [], []
    for cut in cuts:
        p = (scores_of(cut) - log_total).exp()
        ds = p * (grad_out @ v[..., cut, :].transpose(-1, -2) - number) * scale
        dq = dq + ds @ k[..., cut, :]
        dks.append(ds.transpose(-1, -2) @ q)
        dvs.append(p.transpose(-1, -2) @ grad_out)
    return dq, torch.cat(dks, -2), torch.cat(dvs, -2)

# %% exercise="attention_backward" right="recursive_in_place"
"""Recursion over the first leading dimension; at the bottom two-dimensional addmm and in-place work on own tensors."""
def attention_backward(
    q: Tensor, k: Tensor, v: Tensor, grad_out: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    q, k, v, grad_out = q.detach(), k.detach(), v.detach(), grad_out.detach()
    if mask is not None:
        mask = mask.detach().expand(*q.shape[:-1], k.shape[-2])
    if q.dim() > 2:
        parts = [
            attention_backward(q[i], k[i], v[i], grad_out[i], None if mask is None else mask[i]) for i in range(len(q))
        ]
        return tuple(torch.stack(column) for column in zip(*parts))
    p = scaled_dot_product_attention(q, k, v, mask)[1]
    ds = torch.mm(grad_out, v.t())
    ds.sub_(torch.einsum("ts,ts->t", p, ds).unsqueeze(1)).mul_(p).div_(math.sqrt(q.shape[1]))
    return ds.mm(k), ds.t().mm(q), p.t().mm(grad_out)

# %% exercise="attention_backward" right="centred_values"
"""Uses dS = P (dO . (v_j - out_i)): pairwise differences of the values from the output, no dP."""
def attention_backward(
    q: Tensor, k: Tensor, v: Tensor, grad_out: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    out, p = scaled_dot_product_attention(q, k, v, mask)
    away = v.unsqueeze(-3) - out.unsqueeze(-2)
    ds = p * (away * grad_out.unsqueeze(-2)).sum(-1)
    ds = ds / q.shape[-1] ** 0.5
    dq = (ds.unsqueeze(-1) * k.unsqueeze(-3)).sum(-2)
    dk = (ds.unsqueeze(-1) * q.unsqueeze(-2)).sum(-3)
    dv = (p.unsqueeze(-1) * grad_out.unsqueeze(-2)).sum(-3)
    return dq, dk, dv

# %% exercise="attention_backward" right="einsum_short_way"
"""einsum throughout; the row sum is (dO O).sum."""
def attention_backward(
    q: Tensor, k: Tensor, v: Tensor, grad_out: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    out, p = scaled_dot_product_attention(q, k, v, mask)
    ds = torch.einsum("...te,...se->...ts", grad_out, v)
    ds = p * (ds - torch.einsum("...te,...te->...t", grad_out, out).unsqueeze(-1)) / math.sqrt(q.shape[-1])
    dq = torch.einsum("...ts,...sd->...td", ds, k)
    dk = torch.einsum("...ts,...td->...sd", ds, q)
    return dq, dk, torch.einsum("...ts,...te->...se", p, grad_out)

# %% exercise="attention_backward" right="loops_over_queries"
"""One query at a time with 1-D tensors, accumulated into own zeros, nothing but exp and sums."""
def attention_backward(
    q: Tensor, k: Tensor, v: Tensor, grad_out: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    dq, dk, dv = (torch.zeros(x.shape, dtype=x.dtype, device=x.device) for x in (q, k, v))
    lead, t_len, s_len = q.shape[:-2], q.shape[-2], k.shape[-2]
    full = None if mask is None else mask.detach().broadcast_to(*lead, t_len, s_len)
    q, k, v, grad_out = q.detach(), k.detach(), v.detach(), grad_out.detach()
    root = math.sqrt(q.shape[-1])
    for where in torch.cartesian_prod(*[torch.arange(n) for n in (1, *lead, t_len)]).tolist():
        at, t = tuple(where[1:-1]), where[-1]
        keys, values, up = k[at], v[at], grad_out[at][t]
        score = (keys * q[at][t]).sum(1) / root
        allowed = torch.arange(s_len)
        if full is not None:
            row = full[at][t]
            if row.dtype == torch.bool:
                allowed = row.nonzero().flatten()
            else:
                score = score + row
                allowed = (row > -math.inf).nonzero().flatten()
        if len(allowed) == 0:
            continue
        score = score[allowed]
        p = torch.exp(score - score.max())
        p = p / p.sum()
        dp = (values[allowed] * up).sum(1)
        ds = p * (dp - (p * dp).sum()) / root
        dq[at][t] += (ds[:, None] * keys[allowed]).sum(0)
        dk[at][allowed] = dk[at][allowed] + ds[:, None] * q[at][t]
        dv[at][allowed] = dv[at][allowed] + p[:, None] * up
    return dq, dk, dv

# %% exercise="attention_backward" right="full_jacobian"
"""Builds diag(p) - p p^T for every row and multiplies with it."""
def attention_backward(
    q: Tensor, k: Tensor, v: Tensor, grad_out: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    _, p = scaled_dot_product_attention(q, k, v, mask)
    jacobian = torch.diag_embed(p) - p.unsqueeze(-1) * p.unsqueeze(-2)
    dp = torch.matmul(grad_out, v.transpose(-1, -2))
    ds = torch.matmul(jacobian, dp.unsqueeze(-1)).squeeze(-1).div(q.size(-1) ** 0.5)
    return ds.matmul(k), ds.transpose(-1, -2).matmul(q), p.transpose(-1, -2).matmul(grad_out)

# %% exercise="attention_backward" right="numpy_in_double"
"""numpy in float64 on detached copies, cast back to the inputs' dtype."""
def attention_backward(
    q: Tensor, k: Tensor, v: Tensor, grad_out: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    import numpy as np

    a, b, c, g = (x.detach().cpu().numpy().astype(np.float64) for x in (q, k, v, grad_out))
    s = a @ np.swapaxes(b, -1, -2) / np.sqrt(a.shape[-1])
    if mask is not None:
        m = mask.detach().cpu().numpy()
        s = np.where(m, s, -np.inf) if m.dtype == np.bool_ else s + m
    top = s.max(-1, keepdims=True)
    e = np.exp(s - np.where(np.isinf(top), 0.0, top))
    p = e / np.maximum(e.sum(-1, keepdims=True), np.finfo(np.float64).tiny)
    dp = g @ np.swapaxes(c, -1, -2)
    ds = p * (dp - (p * dp).sum(-1, keepdims=True)) / np.sqrt(a.shape[-1])
    found = ds @ b, np.swapaxes(ds, -1, -2) @ a, np.swapaxes(p, -1, -2) @ g
    return tuple(torch.tensor(x, dtype=q.dtype, device=q.device) for x in found)

# %% exercise="attention_backward" right="flash_blocks_of_three_keys"
"""As FlashAttention: log-sum-exp and dO.O for each query first, then P and dP anew for blocks of three keys; in place on own tensors under no_grad."""
@torch.no_grad()
def attention_backward(
    q: Tensor, k: Tensor, v: Tensor, grad_out: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    scale = q.shape[-1] ** -0.5
    t_len, s_len = q.shape[-2], k.shape[-2]
    full = None if mask is None else torch.broadcast_to(mask, (*q.shape[:-2], t_len, s_len))

    def block(cut):
        s = (q @ k[..., cut, :].mT).mul_(scale)
        if full is None:
            return s
        m = full[..., cut]
        return s.masked_fill_(m.logical_not(), -math.inf) if m.dtype is torch.bool else s.add_(m)

    cuts = [slice(i, min(i + 3, s_len)) for i in range(0, s_len, 3)]
    lse = torch.full((*q.shape[:-1], 1), -math.inf, dtype=q.dtype, device=q.device)
    for cut in cuts:
        lse = torch.logaddexp(lse, block(cut).logsumexp(-1, keepdim=True))
    lse = lse.masked_fill(lse == -math.inf, math.inf)  # exp(s - inf) = 0
    delta = torch.zeros_like(lse)
    for cut in cuts:
        delta += (grad_out * ((block(cut) - lse).exp_() @ v[..., cut, :])).sum(-1, keepdim=True)
    dq, dk, dv = (torch.zeros(x.shape, dtype=x.dtype, device=x.device) for x in (q, k, v))
    for cut in cuts:
        p = (block(cut) - lse).exp_()
        ds = (grad_out @ v[..., cut, :].mT).sub_(delta).mul_(p).mul_(scale)
        dq += ds @ k[..., cut, :]
        dk[..., cut, :] = ds.mT @ q
        dv[..., cut, :] = p.mT @ grad_out
    return dq, dk, dv

# %% exercise="attention_backward" right="recursion_over_leading_dimensions"
"""Splits the first leading dimension until matrices are left; the docstring names what it does without (a search of the text for forbidden words must not stumble)."""
def attention_backward(
    q: Tensor, k: Tensor, v: Tensor, grad_out: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """By hand: no .backward(), no torch.autograd, no torch.func."""
    if mask is not None and mask.dim() < q.dim():
        mask = mask.reshape((1,) * (q.dim() - mask.dim()) + tuple(mask.shape))
    if q.dim() > 2:
        masks = [None] * len(q) if mask is None else mask.expand(len(q), *mask.shape[1:])
        parts = [attention_backward(*four, m) for *four, m in zip(q, k, v, grad_out, masks, strict=True)]
        return tuple(torch.stack(x) for x in zip(*parts, strict=True))
    out, p = scaled_dot_product_attention(q, k, v, mask)
    inner = (out * grad_out).sum(1)
    ds = (p * (grad_out @ v.T) - torch.diag(inner) @ p) / math.sqrt(q.shape[1])
    return ds @ k, (q.T @ ds).T, (grad_out.T @ p).T

# %% exercise="attention_backward" right="weights_from_identity_values"
"""Gets weights by attending to an identity matrix, and P dP as a centred product: ds = sum over width of p (v - out) dO."""
def attention_backward(
    q: Tensor, k: Tensor, v: Tensor, grad_out: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    eye = torch.eye(k.shape[-2], dtype=q.dtype, device=q.device).expand(*k.shape[:-1], k.shape[-2])
    p = scaled_dot_product_attention(q, k, eye, mask)[0].detach()
    q, k, v, g = (x.detach() for x in (q, k, v, grad_out))
    centred = v.unsqueeze(-3) - (p @ v).unsqueeze(-2)  # (..., T, S, d_v)
    ds = p * (centred * g.unsqueeze(-2)).sum(-1)
    ds *= 1 / math.sqrt(k.shape[-1])
    return ds @ k, ds.mT @ q, p.mT @ g

# %% exercise="attention_backward" right="numpy_of_a_leaf"
"""Calls .numpy() on the arguments, which raises for q, k or v with requires_grad, as trained tensors have."""
def attention_backward(
    q: Tensor, k: Tensor, v: Tensor, grad_out: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    _, weights = scaled_dot_product_attention(q, k, v, mask)
    p, qn, kn, vn, do = weights.detach().numpy(), q.numpy(), k.numpy(), v.numpy(), grad_out.numpy()
    scale = 1 / math.sqrt(q.shape[-1])
    dp = do @ vn.swapaxes(-1, -2)
    ds = p * (dp - (p * dp).sum(-1, keepdims=True))
    parts = (ds @ kn * scale, ds.swapaxes(-1, -2) @ qn * scale, p.swapaxes(-1, -2) @ do)
    return tuple(torch.from_numpy(x).to(q.dtype) for x in parts)

# %% exercise="attention_backward" right="clears_requires_grad"
"""Leaves q, k and v with requires_grad False: the caller's leaves were trainable before the call and are not afterwards."""
def attention_backward(
    q: Tensor, k: Tensor, v: Tensor, grad_out: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    for x in (q, k, v):  # no graph wanted
        if x.is_leaf:
            x.requires_grad_(False)
    scale = q.shape[-1] ** -0.5
    _, weights = scaled_dot_product_attention(q, k, v, mask)

    dv = weights.mT @ grad_out
    dp = grad_out @ v.mT
    ds = weights * (dp - (weights * dp).sum(-1, keepdim=True))

    return ds @ k * scale, ds.mT @ q * scale, dv

# %% exercise="stable_softmax" right="slice_by_slice_2"
"""Walks over the slices along dim: a running torch.maximum, then the exponentials one by one, stacked at the end."""
def stable_softmax(x: Tensor, dim: int = -1) -> Tensor:
    slices = x.unbind(dim)
    top = slices[0].detach()
    for piece in slices[1:]:
        top = torch.maximum(top, piece.detach())
    powers = torch.stack([torch.exp(piece - top) for piece in slices], dim=dim)
    total = powers.sum(dim)
    return torch.stack([power / total for power in powers.unbind(dim)], dim=dim)

# %% exercise="stable_softmax" right="as_rows_with_a_sorted_maximum"
"""Moves dim to the end, flattens to a matrix of rows, finds the maximum by sorting, multiplies by reciprocals and moves everything back."""
def stable_softmax(x: Tensor, dim: int = -1) -> Tensor:
    moved = x.movedim(dim, -1)
    rows = moved.reshape(-1, moved.shape[-1])
    largest = rows.detach().sort(dim=1).values[:, -1]
    powers = (rows - largest.unsqueeze(1)).exp()
    weights = powers * powers.sum(1).reciprocal().unsqueeze(1)
    return weights.reshape(moved.shape).movedim(-1, dim)

# %% exercise="scaled_dot_product_attention" right="einsum_and_own_softmax"
"""Einsum for both products; softmax by hand, with the maximum and the sum of an empty row replaced by 0 and 1."""
def scaled_dot_product_attention(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    scores = torch.einsum("...td,...sd->...ts", q, k) * q.shape[-1] ** -0.5
    if mask is not None:
        if mask.dtype == torch.bool:
            scores = torch.where(mask, scores, torch.full_like(scores, -math.inf))
        else:
            scores = scores + mask
    top = scores.detach().amax(-1, keepdim=True)
    top = torch.where(top == -math.inf, torch.zeros_like(top), top)
    powers = torch.exp(scores - top)
    total = powers.sum(-1, keepdim=True)
    weights = powers / torch.where(total == 0, torch.ones_like(total), total)
    return torch.einsum("...ts,...sv->...tv", weights, v), weights

# %% exercise="scaled_dot_product_attention" right="an_extra_key_takes_the_weight"
"""Appends one more column of scores, 0 where a row is empty and -inf elsewhere, takes the softmax and cuts the column off again."""
def scaled_dot_product_attention(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    scores = (q / math.sqrt(q.shape[-1])).matmul(k.mT)
    if mask is not None and mask.dtype == torch.bool:
        scores = scores.masked_fill(mask.logical_not(), -math.inf)
    elif mask is not None:
        scores = torch.add(scores, mask)
    nothing = torch.isneginf(scores).all(dim=-1, keepdim=True)
    spare = torch.zeros_like(scores[..., :1]).masked_fill(~nothing, -math.inf)
    weights = torch.cat([scores, spare], dim=-1).softmax(dim=-1)[..., :-1]
    return weights.matmul(v), weights

# %% exercise="scaled_dot_product_attention" right="one_query_at_a_time_2"
"""A Python loop over the queries: each scores all keys by an elementwise product, and mixes the values by a weighted sum."""
def scaled_dot_product_attention(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    T, S, d_k = q.shape[-2], k.shape[-2], q.shape[-1]
    if mask is not None:
        mask = mask.expand(*q.shape[:-1], S)
    outs, rows = [], []
    for t in range(T):
        score = (q[..., t : t + 1, :] * k).sum(-1) / math.sqrt(d_k)  # (..., S)
        if mask is not None:
            row = mask[..., t, :]
            score = score.masked_fill(~row, -math.inf) if row.dtype == torch.bool else score + row
        sees = (score > -math.inf).any(-1, keepdim=True)
        weight = torch.softmax(score.where(sees, 0.0), -1) * sees
        rows.append(weight)
        outs.append((weight.unsqueeze(-1) * v).sum(-2))
    return torch.stack(outs, dim=-2), torch.stack(rows, dim=-2)

# %% exercise="causal_mask" right="nested_lists"
"""Two nested list comprehensions, one comparison for each cell."""
def causal_mask(n_queries: int, n_keys: int) -> Tensor:
    first = n_keys - n_queries
    return torch.tensor([[key <= first + row for key in range(n_keys)] for row in range(n_queries)], dtype=torch.bool)

# %% exercise="causal_mask" right="cumulated_identity"
"""The last T rows of an identity matrix, summed up from the right."""
def causal_mask(n_queries: int, n_keys: int) -> Tensor:
    own_position = torch.eye(n_keys, dtype=torch.int64)[n_keys - n_queries :]
    return own_position.flip(-1).cumsum(-1).flip(-1).bool()

# %% exercise="causal_mask" right="not_the_upper_triangle"
"""Marks the future with triu and inverts it."""
def causal_mask(n_queries: int, n_keys: int) -> Tensor:
    future = torch.ones((n_queries, n_keys)).triu(diagonal=1 + n_keys - n_queries)
    return future == 0

# %% exercise="padding_mask" right="fill_row_by_row"
"""Starts with all False and opens the first keys of each row in a loop."""
def padding_mask(lengths: Tensor, n_keys: int) -> Tensor:
    mask = torch.zeros(lengths.shape[0], 1, 1, n_keys, dtype=torch.bool, device=lengths.device)
    for b, length in enumerate(lengths.tolist()):
        mask[b, ..., :length] = True
    return mask

# %% exercise="padding_mask" right="lookup_in_a_triangle"
"""Looks each length up in a strictly lower triangle whose row n has n leading ones."""
def padding_mask(lengths: Tensor, n_keys: int) -> Tensor:
    table = torch.ones(n_keys + 1, n_keys, dtype=torch.bool, device=lengths.device).tril(-1)
    return table[lengths].reshape(-1, 1, 1, n_keys)

# %% exercise="combine_masks" right="stack_and_all_2"
"""Broadcasts all masks to one shape, stacks them and asks all()."""
def combine_masks(*masks: Tensor | None) -> Tensor | None:
    given = [mask for mask in masks if mask is not None]
    if not given:
        return None
    return torch.stack(torch.broadcast_tensors(*given)).all(dim=0)

# %% exercise="combine_masks" right="reduce_by_de_morgan"
"""functools.reduce over the forbidden places (or), inverted at the end."""
def combine_masks(*masks: Tensor | None) -> Tensor | None:
    from functools import reduce

    forbidden = [~mask for mask in masks if mask is not None]
    return ~reduce(torch.logical_or, forbidden) if forbidden else None

# %% exercise="combine_masks" right="recursion_3"
"""Recursion on the first mask; a product of booleans in place of &."""
def combine_masks(*masks: Tensor | None) -> Tensor | None:
    if len(masks) == 0:
        return None
    first, rest = masks[0], combine_masks(*masks[1:])
    if first is None or rest is None:
        return rest if first is None else first
    return first * rest

# %% exercise="split_heads" right="stack_of_chunks"
"""Cuts the width into chunks and stacks them on a new axis."""
def split_heads(x: Tensor, num_heads: int) -> Tensor:
    return torch.stack(x.chunk(num_heads, dim=-1), dim=1)

# %% exercise="split_heads" right="index_with_columns"
"""Gathers with a table of column numbers (H, d), then moves the axis."""
def split_heads(x: Tensor, num_heads: int) -> Tensor:
    columns = torch.arange(x.shape[-1], device=x.device).reshape(num_heads, -1)
    return x[:, :, columns].movedim(2, 1)

# %% exercise="split_heads" right="unfold_2"
"""Windows of width d with step d: unfold cuts without overlap."""
def split_heads(x: Tensor, num_heads: int) -> Tensor:
    d = x.shape[-1] // num_heads
    return x.unfold(2, d, d).permute(0, 2, 1, 3)

# %% exercise="merge_heads" right="concatenate_heads"
"""Takes the heads apart and concatenates them along the width."""
def merge_heads(x: Tensor) -> Tensor:
    return torch.cat([x[:, h] for h in range(x.shape[1])], dim=-1)

# %% exercise="merge_heads" right="write_into_slices"
"""Fills an empty result of the same dtype, one slice of columns for each head."""
def merge_heads(x: Tensor) -> Tensor:
    B, H, T, d = x.shape
    result = x.new_empty(B, T, H * d)
    for h, head in enumerate(x.unbind(1)):
        result[..., h * d : (h + 1) * d] = head
    return result

# %% exercise="MultiHeadAttention" right="head_by_head_3"
"""One head after the other, with slices of the big matrices; the output is a sum of each head's share of w_o, and each head calls the dropout for itself."""
class MultiHeadAttention(nn.Module):
    def __init__(self, d_model: int, num_heads: int, dropout: float = 0.0):
        super().__init__()
        width, rest = divmod(d_model, num_heads)
        if rest:
            raise ValueError("the number of heads has to divide the width")
        self.width, self.num_heads = width, num_heads
        for name in ("w_q", "w_k", "w_v", "w_o"):
            self.add_module(name, nn.Linear(d_model, d_model))
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        B, T, D = x.shape
        if mask is not None:
            mask = torch.broadcast_to(mask, (B, self.num_heads, T, T))
        out, all_weights = self.w_o.bias.expand(B, T, D), []
        for h in range(self.num_heads):
            own = slice(h * self.width, (h + 1) * self.width)
            q, k, v = (nn.functional.linear(x, w.weight[own], w.bias[own]) for w in (self.w_q, self.w_k, self.w_v))
            scores = torch.einsum("btd,bsd->bts", q, k) / self.width**0.5
            if mask is not None and mask.dtype == torch.bool:
                scores = scores.masked_fill(~mask[:, h], -math.inf)
            elif mask is not None:
                scores = scores + mask[:, h]
            empty = (scores == -math.inf).all(-1, keepdim=True)
            weights = scores.masked_fill(empty, 0.0).softmax(-1).masked_fill(empty, 0.0)
            all_weights.append(weights)
            out = out + self.drop(weights) @ v @ self.w_o.weight[:, own].T
        return out, torch.stack(all_weights, dim=1)

# %% exercise="MultiHeadAttention" right="heads_folded_into_the_batch"
"""Batch and heads share one axis for torch.bmm, the mask is a float bias in every case, and an extra column of scores takes the weight of empty rows."""
class MultiHeadAttention(nn.Module):
    def __init__(self, d_model: int, num_heads: int, dropout: float = 0.0):
        super().__init__()
        if d_model // num_heads * num_heads != d_model:
            raise ValueError(f"{num_heads} heads do not divide {d_model}")
        self.num_heads = num_heads
        self.w_q, self.w_k, self.w_v, self.w_o = (nn.Linear(d_model, d_model) for _ in range(4))
        self.dropout = nn.Dropout(p=dropout)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        B, T, D = x.shape
        H = self.num_heads

        def fold(y):  # (B, T, D) -> (B * H, T, d)
            return y.reshape(B, T, H, D // H).permute(0, 2, 1, 3).reshape(B * H, T, D // H)

        q, k, v = fold(self.w_q(x)), fold(self.w_k(x)), fold(self.w_v(x))
        bias = x.new_zeros(())
        if mask is not None:
            bias = mask if mask.is_floating_point() else x.new_zeros(mask.shape).masked_fill(~mask, -math.inf)
        scores = torch.bmm(q, k.transpose(1, 2)) * (D // H) ** -0.5
        scores = scores + bias.expand(B, H, T, T).reshape(B * H, T, T)
        spare = torch.where(scores.isneginf().all(-1, keepdim=True), 0.0, -math.inf).to(scores.dtype)
        weights = torch.cat([scores, spare], -1).softmax(-1)[..., :T]
        heads = torch.bmm(self.dropout(weights), v).reshape(B, H, T, D // H)
        return self.w_o(torch.cat(heads.unbind(1), dim=-1)), weights.reshape(B, H, T, T)

# %% exercise="CrossAttention" right="einsum_without_moving_axes"
"""Views with a heads axis and einsum, no axis is ever transposed; softmax written by hand with safe maximum and sum."""
class CrossAttention(nn.Module):
    def __init__(self, d_model: int, num_heads: int):
        super().__init__()
        self.heads = num_heads
        self.w_q, self.w_k, self.w_v, self.w_o = (nn.Linear(d_model, d_model) for _ in "qkvo")

    def forward(self, x: Tensor, memory: Tensor, memory_mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        cut = (self.heads, x.shape[-1] // self.heads)
        q, k, v = (w(y).unflatten(-1, cut) for w, y in ((self.w_q, x), (self.w_k, memory), (self.w_v, memory)))
        scores = torch.einsum("bthd,bshd->bhts", q, k) / math.sqrt(cut[1])
        if memory_mask is not None:
            scores = torch.where(memory_mask, scores, -math.inf)
        top = scores.detach().amax(-1, keepdim=True).clamp(min=torch.finfo(scores.dtype).min)
        powers = torch.exp(scores - top)
        total = powers.sum(-1, keepdim=True)
        weights = powers / (total + (total == 0))
        out = torch.einsum("bhts,bshd->bthd", weights, v).flatten(2)
        return self.w_o(out), weights

# %% exercise="CrossAttention" right="loop_over_batch_and_heads"
"""Plain loops over the batch and the heads with two-dimensional matrices, heads cut out by column slices."""
class CrossAttention(nn.Module):
    def __init__(self, d_model: int, num_heads: int):
        super().__init__()
        self.num_heads = num_heads
        self.w_q = nn.Linear(d_model, d_model)
        self.w_k = nn.Linear(d_model, d_model)
        self.w_v = nn.Linear(d_model, d_model)
        self.w_o = nn.Linear(d_model, d_model)

    def forward(self, x: Tensor, memory: Tensor, memory_mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        (B, T, D), S, H = x.shape, memory.shape[1], self.num_heads
        if memory_mask is None:
            memory_mask = torch.ones(1, dtype=torch.bool, device=x.device)
        allowed = memory_mask.expand(B, H, T, S)
        outs, weights = [], []
        for b in range(B):
            q, k, v = self.w_q(x[b]), self.w_k(memory[b]), self.w_v(memory[b])
            heads = zip(*(m.chunk(H, dim=1) for m in (q, k, v)), strict=True)
            mixed, rows = [], []
            for h, (qh, kh, vh) in enumerate(heads):
                open_keys = allowed[b, h]
                some = open_keys.any(1, keepdim=True)
                score = qh.mm(kh.t()).div(math.sqrt(D // H)).masked_fill(~open_keys & some, -math.inf)
                rows.append(torch.softmax(score, dim=1).masked_fill(~some, 0.0))
                mixed.append(rows[-1].mm(vh))
            outs.append(torch.cat(mixed, dim=1))
            weights.append(torch.stack(rows))
        return self.w_o(torch.stack(outs)), torch.stack(weights)

# %% exercise="attention_entropy" right="entr_2"
"""torch.special.entr is -w ln w with 0 ln 0 = 0 built in."""
def attention_entropy(weights: Tensor) -> Tensor:
    return torch.special.entr(weights).sum(dim=-1)

# %% exercise="attention_entropy" right="nansum"
"""Lets 0 * -inf become NaN and leaves the NaNs out of the sum (no gradient is needed)."""
def attention_entropy(weights: Tensor) -> Tensor:
    return (weights * weights.log()).nansum(dim=-1).neg()

# %% exercise="attention_entropy" right="log_of_one_for_zero"
"""Takes ln of 1 where a weight is 0 and forms the row's sum as a product of (1, S) and (S, 1)."""
def attention_entropy(weights: Tensor) -> Tensor:
    surprise = -weights.masked_fill(weights == 0, 1.0).log()
    return (weights.unsqueeze(-2) @ surprise.unsqueeze(-1)).squeeze(-1).squeeze(-1)

# %% exercise="attention_entropy" right="python_floats"
"""One query after another in Python's double precision, rounded once into the dtype of the weights."""
def attention_entropy(weights: Tensor) -> Tensor:
    rows = weights.detach().reshape(-1, weights.shape[-1]).tolist()
    entropies = [math.fsum(w * math.log(1 / w) for w in row if w > 1e-300) for row in rows]
    return torch.tensor(entropies, dtype=weights.dtype, device=weights.device).reshape(weights.shape[:-1])

# %% exercise="sink_mass" right="indicators_and_einsum"
"""Marks sink keys and late queries with ones and lets einsum do sum and mean."""
def sink_mass(weights: Tensor, first: int = 4) -> Tensor:
    batch, _, n_queries, n_keys = weights.shape
    keys = (torch.arange(n_keys, device=weights.device) < first).to(weights.dtype)
    queries = (torch.arange(n_queries, device=weights.device) >= first).to(weights.dtype)
    queries = queries / (batch * (n_queries - first))
    return torch.einsum("bhts,t,s->h", weights, queries, keys)

# %% exercise="sink_mass" right="head_by_head_2"
"""Loops over heads and batch rows and averages a list of numbers."""
def sink_mass(weights: Tensor, first: int = 4) -> Tensor:
    result = weights.new_empty(weights.shape[1])
    for head in range(weights.shape[1]):
        rows = [sequence[head, first:, :first].sum(-1) for sequence in weights]
        result[head] = torch.cat(rows).mean()
    return result

# %% exercise="sink_mass" right="heads_in_front"
"""Moves the heads to the front, flattens batch and late queries to one axis, then sums and averages."""
def sink_mass(weights: Tensor, first: int = 4) -> Tensor:
    late = weights.movedim(1, 0)[:, :, first:].flatten(1, 2)  # (H, B * (T - first), S)
    return late.narrow(-1, 0, min(first, late.shape[-1])).sum(-1).mean(-1)

# %% exercise="attention_cost" right="counted_product_by_product"
"""A helper counts one product from its shapes; heads are added up in a loop."""
def attention_cost(n: int, d_model: int, num_heads: int, bytes_per_number: int = 4) -> dict[str, int]:
    def product(a, b, c):
        return 2 * a * b * c

    width, rest = divmod(d_model, num_heads)
    assert rest == 0
    heads = range(num_heads)
    return {
        "projection_flops": sum(product(n, d_model, d_model) for _ in ("q", "k", "v", "o")),
        "score_flops": sum(product(n, width, n) for _ in heads),
        "mix_flops": sum(product(n, n, width) for _ in heads),
        "score_bytes": sum(n * n for _ in heads) * bytes_per_number,
        "kv_bytes": sum(n * width for _ in heads for _ in ("k", "v")) * bytes_per_number,
    }

# %% exercise="attention_cost" right="torch_counts"
"""Runs the products on the meta device under torch's FlopCounterMode; sizes come from numel()."""
def attention_cost(n: int, d_model: int, num_heads: int, bytes_per_number: int = 4) -> dict[str, int]:
    from torch.utils.flop_counter import FlopCounterMode

    def flops(work):
        counter = FlopCounterMode(display=False)
        with counter:
            work()
        return int(counter.get_total_flops())

    x = torch.empty(n, d_model, device="meta")
    w = torch.empty(d_model, d_model, device="meta")
    q = torch.empty(num_heads, n, d_model // num_heads, device="meta")
    p = torch.empty(num_heads, n, n, device="meta")
    return {
        "projection_flops": 4 * flops(lambda: torch.mm(x, w)),
        "score_flops": flops(lambda: torch.bmm(q, q.transpose(1, 2))),
        "mix_flops": flops(lambda: torch.bmm(p, q)),
        "score_bytes": p.numel() * bytes_per_number,
        "kv_bytes": (q.numel() + q.numel()) * bytes_per_number,
    }

# %% exercise="attention_cost" right="shared_terms"
"""Closed forms with shared terms: the heads' widths add up to D in all but the weights."""
def attention_cost(n: int, d_model: int, num_heads: int, bytes_per_number: int = 4) -> dict[str, int]:
    tokens = n * d_model
    quadratic = 2 * n * tokens
    return dict(
        projection_flops=8 * tokens * d_model,
        score_flops=quadratic,
        mix_flops=quadratic,
        score_bytes=bytes_per_number * num_heads * n**2,
        kv_bytes=bytes_per_number * 2 * tokens,
    )

# %% exercise="row_softmax" right="online_two_walks"
"""Online maximum and sum on one walk, a second one writes."""
@triton.jit
def row_softmax_kernel(x_ptr, out_ptr, n_cols, x_row, x_col, out_row, out_col, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    source = x_ptr + row * x_row
    target = out_ptr + row * out_row
    lanes = tl.arange(0, BLOCK)
    largest = float("-inf")
    total = 0.0
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        x = tl.load(source + cols * x_col, mask=cols < n_cols, other=float("-inf")).to(tl.float32)
        higher = tl.maximum(largest, tl.max(x, axis=0))
        total = total * tl.exp(largest - higher) + tl.sum(tl.exp(x - higher), axis=0)
        largest = higher
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        x = tl.load(source + cols * x_col, mask=cols < n_cols, other=float("-inf")).to(tl.float32)
        tl.store(target + cols * out_col, tl.exp(x - largest) / total, mask=cols < n_cols)


def row_softmax(x: Tensor, block: int = 128) -> Tensor:
    out = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    row_softmax_kernel[(x.shape[0],)](x, out, x.shape[1], *x.stride(), *out.stride(), BLOCK=block)
    return out

# %% exercise="row_softmax" right="lanes_keep_their_own"
"""Each lane keeps a maximum and a sum of its own; they are joined once, behind the walk."""
@triton.jit
def row_softmax_kernel(x_ptr, out_ptr, n_cols, x_row, x_col, out_row, out_col, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    lanes = tl.arange(0, BLOCK)
    largest = tl.full((BLOCK,), float("-inf"), tl.float32)
    total = tl.zeros((BLOCK,), tl.float32)
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        inside = cols < n_cols
        x = tl.load(x_ptr + row * x_row + cols * x_col, mask=inside, other=0.0).to(tl.float32)
        higher = tl.where(inside, tl.maximum(largest, x), largest)
        safe = tl.where(higher == float("-inf"), 0.0, higher)
        total = total * tl.exp(largest - safe) + tl.where(inside, tl.exp(x - safe), 0.0)
        largest = higher
    top = tl.max(largest, axis=0)
    scale = 1.0 / tl.sum(total * tl.exp(largest - top), axis=0)
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        inside = cols < n_cols
        x = tl.load(x_ptr + row * x_row + cols * x_col, mask=inside, other=0.0).to(tl.float32)
        tl.store(out_ptr + row * out_row + cols * out_col, tl.exp(x - top) * scale, mask=inside)


def row_softmax(x: Tensor, block: int = 128) -> Tensor:
    n_rows, n_cols = x.shape
    out = torch.empty((n_rows, n_cols), dtype=x.dtype, device=x.device)
    row_softmax_kernel[(n_rows,)](
        x, out, n_cols, x.stride(0), x.stride(1), out.stride(0), out.stride(1), BLOCK=block)
    return out

# %% exercise="row_softmax" right="two_rows_a_program_2"
"""A tile of two rows by BLOCK columns, moved along with a while loop; R / 2 programs, rounded up."""
@triton.jit
def row_softmax_kernel(
    x_ptr, out_ptr, n_rows, n_cols, x_row, x_col, out_row, out_col, ROWS: tl.constexpr, BLOCK: tl.constexpr
):
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    live = (rows < n_rows)[:, None]
    x_rows = x_ptr + rows[:, None] * x_row
    out_rows = out_ptr + rows[:, None] * out_row
    largest = tl.full((ROWS,), float("-inf"), tl.float32)
    for start in range(0, n_cols, BLOCK):
        cols = start + tl.arange(0, BLOCK)[None, :]
        x = tl.load(x_rows + cols * x_col, mask=live & (cols < n_cols), other=float("-inf")).to(tl.float32)
        largest = tl.maximum(largest, tl.max(x, axis=1))
    largest = tl.where(rows < n_rows, largest, 0.0)
    total = tl.zeros((ROWS,), tl.float32)
    for start in range(0, n_cols, BLOCK):
        cols = start + tl.arange(0, BLOCK)[None, :]
        x = tl.load(x_rows + cols * x_col, mask=live & (cols < n_cols), other=float("-inf")).to(tl.float32)
        total += tl.sum(tl.exp(x - largest[:, None]), axis=1)
    total = tl.where(rows < n_rows, total, 1.0)
    for start in range(0, n_cols, BLOCK):
        cols = start + tl.arange(0, BLOCK)[None, :]
        inside = live & (cols < n_cols)
        x = tl.load(x_rows + cols * x_col, mask=inside, other=float("-inf")).to(tl.float32)
        tl.store(out_rows + cols * out_col, tl.exp(x - largest[:, None]) / total[:, None], mask=inside)


def row_softmax(x: Tensor, block: int = 128) -> Tensor:
    n_rows, n_cols = x.shape
    out = torch.empty((n_rows, n_cols), dtype=x.dtype, device=x.device)
    grid = (triton.cdiv(n_rows, 2),)
    row_softmax_kernel[grid](x, out, n_rows, n_cols, *x.stride(), *out.stride(), ROWS=2, BLOCK=block)
    return out

# %% exercise="row_softmax" right="short_rows_once"
"""Rows that fit one block are read once (a constexpr branch); longer ones take three walks; exp2 for exp."""
@triton.jit
def row_softmax_kernel(
    x_ptr, out_ptr, n_cols, x_row, x_col, out_row, out_col, BLOCK: tl.constexpr, FITS: tl.constexpr
):
    row = tl.program_id(0)
    cols = tl.arange(0, BLOCK)
    if FITS:
        x = tl.load(x_ptr + row * x_row + cols * x_col, mask=cols < n_cols, other=float("-inf")).to(tl.float32)
        e = tl.exp2((x - tl.max(x, axis=0)) * 1.4426950408889634)
        tl.store(out_ptr + row * out_row + cols * out_col, e / tl.sum(e, axis=0), mask=cols < n_cols)
    else:
        largest = float("-inf")
        for step in range(0, tl.cdiv(n_cols, BLOCK)):
            at = step * BLOCK + cols
            x = tl.load(x_ptr + row * x_row + at * x_col, mask=at < n_cols, other=float("-inf")).to(tl.float32)
            largest = tl.maximum(largest, tl.max(x, axis=0))
        total = 0.0
        for step in range(0, tl.cdiv(n_cols, BLOCK)):
            at = step * BLOCK + cols
            x = tl.load(x_ptr + row * x_row + at * x_col, mask=at < n_cols, other=float("-inf")).to(tl.float32)
            total += tl.sum(tl.exp2((x - largest) * 1.4426950408889634), axis=0)
        for step in range(0, tl.cdiv(n_cols, BLOCK)):
            at = step * BLOCK + cols
            x = tl.load(x_ptr + row * x_row + at * x_col, mask=at < n_cols, other=float("-inf")).to(tl.float32)
            e = tl.exp2((x - largest) * 1.4426950408889634)
            tl.store(out_ptr + row * out_row + at * out_col, e / total, mask=at < n_cols)


def row_softmax(x: Tensor, block: int = 128) -> Tensor:
    n_rows, n_cols = x.shape
    out = x.new_empty(n_rows, n_cols)
    width = min(block, triton.next_power_of_2(n_cols))
    row_softmax_kernel[(n_rows,)](
        x, out, n_cols, *x.stride(), *out.stride(), BLOCK=width, FITS=n_cols <= width)
    return out

# %% exercise="masked_scaled_softmax" right="online_with_a_safe_maximum"
"""Two walks: the online rule, with 0 in the place of the maximum as long as nothing was allowed."""
@triton.jit
def masked_scaled_softmax_kernel(
    scores_ptr, mask_ptr, out_ptr, scale, n_cols,
    scores_row, scores_col, mask_row, mask_col, out_row, out_col, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0)
    lanes = tl.arange(0, BLOCK)
    largest = float("-inf")
    total = 0.0
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        inside = cols < n_cols
        allowed = inside & (tl.load(mask_ptr + row * mask_row + cols * mask_col, mask=inside, other=0) != 0)
        s = tl.load(scores_ptr + row * scores_row + cols * scores_col, mask=allowed, other=0.0) * scale
        s = tl.where(allowed, s, float("-inf"))
        higher = tl.maximum(largest, tl.max(s, axis=0))
        safe = tl.where(higher == float("-inf"), 0.0, higher)
        total = total * tl.exp(largest - safe) + tl.sum(tl.exp(s - safe), axis=0)
        largest = higher
    safe = tl.where(largest == float("-inf"), 0.0, largest)
    total = tl.where(largest == float("-inf"), 1.0, total)
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        inside = cols < n_cols
        allowed = inside & (tl.load(mask_ptr + row * mask_row + cols * mask_col, mask=inside, other=0) != 0)
        s = tl.load(scores_ptr + row * scores_row + cols * scores_col, mask=allowed, other=0.0) * scale
        s = tl.where(allowed, s, float("-inf"))
        tl.store(out_ptr + row * out_row + cols * out_col, tl.exp(s - safe) / total, mask=inside)


def masked_scaled_softmax(scores: Tensor, mask: Tensor, scale: float, block: int = 128) -> Tensor:
    out = torch.empty(scores.shape, dtype=scores.dtype, device=scores.device)
    masked_scaled_softmax_kernel[(scores.shape[0],)](
        scores, mask, out, scale, scores.shape[1], *scores.stride(), *mask.stride(), *out.stride(), BLOCK=block)
    return out

# %% exercise="masked_scaled_softmax" right="selects_at_the_end"
"""Three walks; exponents are cut off at 0 and the blocked lanes are replaced after exp, so nothing can overflow."""
@triton.jit
def masked_scaled_softmax_kernel(
    scores_ptr, mask_ptr, out_ptr, scale, n_cols,
    scores_row, scores_col, mask_row, mask_col, out_row, out_col, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0)
    scores_base = scores_ptr + row * scores_row
    mask_base = mask_ptr + row * mask_row
    lanes = tl.arange(0, BLOCK)
    largest = float("-inf")
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        allowed = tl.load(mask_base + cols * mask_col, mask=cols < n_cols, other=0) != 0
        s = tl.load(scores_base + cols * scores_col, mask=cols < n_cols, other=0.0) * scale
        largest = tl.maximum(largest, tl.max(tl.where(allowed, s, float("-inf")), axis=0))
    something = largest > float("-inf")
    largest = tl.where(something, largest, 0.0)
    total = 0.0
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        allowed = tl.load(mask_base + cols * mask_col, mask=cols < n_cols, other=0) != 0
        s = tl.load(scores_base + cols * scores_col, mask=cols < n_cols, other=0.0) * scale
        total += tl.sum(tl.where(allowed, tl.exp(tl.minimum(s - largest, 0.0)), 0.0), axis=0)
    factor = tl.where(something, 1.0 / tl.where(something, total, 1.0), 0.0)
    for start in range(0, n_cols, BLOCK):
        cols = start + lanes
        allowed = tl.load(mask_base + cols * mask_col, mask=cols < n_cols, other=0) != 0
        s = tl.load(scores_base + cols * scores_col, mask=cols < n_cols, other=0.0) * scale
        share = tl.where(allowed, tl.exp(tl.minimum(s - largest, 0.0)) * factor, 0.0)
        tl.store(out_ptr + row * out_row + cols * out_col, share, mask=cols < n_cols)


def masked_scaled_softmax(scores: Tensor, mask: Tensor, scale: float, block: int = 128) -> Tensor:
    rows, cols = scores.shape
    out = scores.new_empty((rows, cols))
    masked_scaled_softmax_kernel[(rows,)](
        scores, mask, out, scale, cols,
        scores.stride(0), scores.stride(1), mask.stride(0), mask.stride(1), out.stride(0), out.stride(1), BLOCK=block)
    return out

# %% exercise="masked_scaled_softmax" right="programs_stride_over_the_rows"
"""Half as many programs as rows, each takes every n-th row; a row that fits one block is read once."""
@triton.jit
def masked_scaled_softmax_kernel(
    scores_ptr, mask_ptr, out_ptr, scale, n_rows, n_cols,
    scores_row, scores_col, mask_row, mask_col, out_row, out_col, BLOCK: tl.constexpr, FITS: tl.constexpr,
):  # fmt: skip
    lanes = tl.arange(0, BLOCK)
    for row in range(tl.program_id(0), n_rows, tl.num_programs(0)):
        if FITS:
            inside = lanes < n_cols
            allowed = inside & tl.load(mask_ptr + row * mask_row + lanes * mask_col, mask=inside, other=0).to(tl.int1)
            s = tl.load(scores_ptr + row * scores_row + lanes * scores_col, mask=allowed, other=float("-inf")) * scale
            top = tl.max(s, axis=0)
            top = tl.where(top == float("-inf"), 0.0, top)
            e = tl.exp(s - top)
            total = tl.sum(e, axis=0)
            e = e / tl.where(total == 0.0, 1.0, total)
            tl.store(out_ptr + row * out_row + lanes * out_col, e, mask=inside)
        else:
            high = tl.full((BLOCK,), float("-inf"), tl.float32)
            for start in range(0, n_cols, BLOCK):
                cols = start + lanes
                inside = cols < n_cols
                allowed = inside & tl.load(
                    mask_ptr + row * mask_row + cols * mask_col, mask=inside, other=0).to(tl.int1)
                s = tl.load(scores_ptr + row * scores_row + cols * scores_col, mask=allowed, other=float("-inf"))
                high = tl.maximum(high, s * scale)
            top = tl.max(high, axis=0)
            top = tl.where(top == float("-inf"), 0.0, top)
            sums = tl.zeros((BLOCK,), tl.float32)
            for start in range(0, n_cols, BLOCK):
                cols = start + lanes
                inside = cols < n_cols
                allowed = inside & tl.load(
                    mask_ptr + row * mask_row + cols * mask_col, mask=inside, other=0).to(tl.int1)
                s = tl.load(scores_ptr + row * scores_row + cols * scores_col, mask=allowed, other=float("-inf"))
                sums += tl.exp(s * scale - top)
            total = tl.sum(sums, axis=0)
            total = tl.where(total == 0.0, 1.0, total)
            for start in range(0, n_cols, BLOCK):
                cols = start + lanes
                inside = cols < n_cols
                allowed = inside & tl.load(
                    mask_ptr + row * mask_row + cols * mask_col, mask=inside, other=0).to(tl.int1)
                s = tl.load(scores_ptr + row * scores_row + cols * scores_col, mask=allowed, other=float("-inf"))
                tl.store(out_ptr + row * out_row + cols * out_col, tl.exp(s * scale - top) / total, mask=inside)


def masked_scaled_softmax(scores: Tensor, mask: Tensor, scale: float, block: int = 128) -> Tensor:
    rows, cols = scores.shape
    out = torch.empty((rows, cols), dtype=torch.float32, device=scores.device)
    masked_scaled_softmax_kernel[(triton.cdiv(rows, 2),)](
        scores, mask, out, scale, rows, cols, *scores.stride(), *mask.stride(), *out.stride(),
        BLOCK=block, FITS=cols <= block)
    return out

# %% exercise="permutation_finding" right="all_runs_at_once"
"""All runs as one batch (R, 4, 16), medians along the batch."""
def permutation_finding(runs: list[int]) -> dict[str, float]:
    x = torch.stack([word_vectors(run) for run in runs])
    y = x[:, ORDER]
    causal = causal_mask(len(WORDS), len(WORDS))
    plain = [scaled_dot_product_attention(z, z, z)[0] for z in (x, y)]
    masked = [scaled_dot_product_attention(z, z, z, causal)[0] for z in (x, y)]

    def middle(difference):
        return round(difference.abs().amax(dim=(1, 2)).median().item(), 4)

    return {
        "same_place": middle(plain[1] - plain[0]),
        "same_word": middle(plain[1] - plain[0][:, ORDER]),
        "causal_word": middle(masked[1] - masked[0][:, ORDER]),
    }

# %% exercise="permutation_finding" right="order_undone"
"""Puts the second sentence's outputs back with the inverse order and uses Python's statistics.median."""
def permutation_finding(runs: list[int]) -> dict[str, float]:
    import statistics

    back = [ORDER.index(word) for word in range(len(ORDER))]
    found = {"same_place": [], "same_word": [], "causal_word": []}
    for run in runs:
        words = word_vectors(run)
        moved = torch.stack([words[i] for i in ORDER])
        before, _ = scaled_dot_product_attention(words, words, words)
        after, _ = scaled_dot_product_attention(moved, moved, moved)
        mask = causal_mask(4, 4)
        causal_before, _ = scaled_dot_product_attention(words, words, words, mask)
        causal_after, _ = scaled_dot_product_attention(moved, moved, moved, mask)
        found["same_place"].append(float(torch.dist(after, before, p=math.inf)))
        found["same_word"].append(float(torch.dist(after[back], before, p=math.inf)))
        found["causal_word"].append(float(torch.dist(causal_after[back], causal_before, p=math.inf)))
    return {name: round(statistics.median(values), 4) for name, values in found.items()}

# %% exercise="permutation_finding" right="permutation_matrix_2"
"""ORDER as a matrix of zeros and ones, applied with @; the middle of a sorted list for the median."""
def permutation_finding(runs: list[int]) -> dict[str, float]:
    swap = torch.eye(len(ORDER))[ORDER]
    lower = causal_mask(len(ORDER), len(ORDER))
    attend = lambda z, *mask: scaled_dot_product_attention(z, z, z, *mask)[0]
    distances = {
        "same_place": lambda x: attend(swap @ x) - attend(x),
        "same_word": lambda x: attend(swap @ x) - swap @ attend(x),
        "causal_word": lambda x: attend(swap @ x, lower) - swap @ attend(x, lower),
    }
    result = {}
    for name, distance in distances.items():
        largest = sorted(distance(word_vectors(run)).abs().max().item() for run in runs)
        result[name] = round(largest[len(largest) // 2], 4)
    return result

# %% exercise="attention_backward" right="whole_jacobian"
"""Builds the softmax's Jacobian of every row, diag(p) - p p^T, and contracts it with einsum."""
def attention_backward(
    q: Tensor, k: Tensor, v: Tensor, grad_out: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    p = scaled_dot_product_attention(q, k, v, mask)[1]
    jacobian = torch.diag_embed(p) - torch.einsum("...tj,...tl->...tjl", p, p)
    dv = torch.einsum("...ts,...te->...se", p, grad_out)
    dp = torch.einsum("...te,...se->...ts", grad_out, v)
    ds = torch.einsum("...tj,...tjl->...tl", dp, jacobian) * q.shape[-1] ** -0.5
    return torch.einsum("...ts,...sd->...td", ds, k), torch.einsum("...ts,...td->...sd", ds, q), dv

# %% exercise="attention_backward" right="blocks_of_keys"
"""As FlashAttention does: keeps dO . O and the logarithm of the denominator, recomputes weights for blocks of keys."""
def attention_backward(
    q: Tensor, k: Tensor, v: Tensor, grad_out: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    scale = 1 / math.sqrt(q.shape[-1])
    n_queries, n_keys = q.shape[-2], k.shape[-2]
    bias = torch.zeros((), dtype=q.dtype, device=q.device)
    if mask is not None:
        bias = torch.where(mask, 0.0, -math.inf).to(q.dtype) if mask.dtype == torch.bool else mask
    bias = bias.expand(*q.shape[:-2], n_queries, n_keys)
    scores = q @ k.mT * scale + bias
    denominator = torch.logsumexp(scores, dim=-1, keepdim=True)
    denominator = denominator.masked_fill(denominator == -math.inf, 0.0)
    out, _ = scaled_dot_product_attention(q, k, v, mask)
    delta = (grad_out * out).sum(-1, keepdim=True)
    dq, dk, dv = torch.zeros_like(q), [], []
    for start in range(0, n_keys, 4):
        part = slice(start, min(start + 4, n_keys))
        k_part, v_part = k[..., part, :], v[..., part, :]
        p = torch.exp(q @ k_part.mT * scale + bias[..., part] - denominator)
        ds = p * (grad_out @ v_part.mT - delta) * scale
        dq = dq + ds @ k_part
        dk.append(ds.mT @ q)
        dv.append(p.mT @ grad_out)
    return dq, torch.cat(dk, dim=-2), torch.cat(dv, dim=-2)

# %% exercise="attention_backward" right="query_by_query_2"
"""Flattens the leading dimensions and walks over single queries with matrix-vector products and outer products."""
def attention_backward(
    q: Tensor, k: Tensor, v: Tensor, grad_out: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    _, weights = scaled_dot_product_attention(q, k, v, mask)
    qs, ks, vs, gs, ws = (z.detach().flatten(0, -3) if z.dim() > 2 else z.detach()[None]
                          for z in (q, k, v, grad_out, weights))
    dq, dk, dv = torch.zeros_like(qs), torch.zeros_like(ks), torch.zeros_like(vs)
    for b in range(qs.shape[0]):
        for t in range(qs.shape[1]):
            w, g = ws[b, t], gs[b, t]
            dw = vs[b] @ g
            ds = w * (dw - torch.dot(w, dw)) / math.sqrt(q.shape[-1])
            dq[b, t] = ds @ ks[b]
            dk[b] += torch.outer(ds, qs[b, t])
            dv[b] += torch.outer(w, g)
    return dq.reshape(q.shape), dk.reshape(k.shape), dv.reshape(v.shape)

# %% exercise="saturation_finding" right="seeds_as_a_batch"
"""Draws per seed, then one product for all ten seeds of a width; a new generator for each width; keys drawn first."""
DIMS = [16, 64, 256, 1024]


def _drawn(d):
    pairs = []
    for number in range(10):
        gen = torch.Generator().manual_seed(number)
        keys = torch.randn(64, d, generator=gen)
        queries = torch.randn(64, d, generator=gen)
        pairs.append((queries, keys))
    queries, keys = (torch.stack(side) for side in zip(*pairs, strict=True))
    return torch.einsum("rtd,rsd->rts", queries, keys)


_weights = {
    kind: [stable_softmax(_drawn(d) / (math.sqrt(d) if kind == "scaled" else 1.0)) for d in DIMS]
    for kind in ("raw", "scaled")
}
saturation_finding = {}
for kind, tables in _weights.items():
    saturation_finding[f"{kind}_entropy"] = [(attention_entropy(w) / math.log(64)).mean(-1).tolist() for w in tables]
    saturation_finding[f"{kind}_gradient"] = [(w * (1 - w)).sum(-1).mean(-1).tolist() for w in tables]

# %% exercise="saturation_finding" right="one_generator_for_all_widths"
"""One generator serves all widths of a seed, queries and keys from one call; tables filled by index."""
DIMS = [16, 64, 256, 1024]
saturation_finding = {
    f"{kind}_{what}": [[0.0] * 10 for _ in DIMS] for kind in ("raw", "scaled") for what in ("entropy", "gradient")
}
for run in range(10):
    gen = torch.Generator().manual_seed(run)
    for row, d in enumerate(DIMS):
        queries, keys = torch.randn(2, 64, d, generator=gen)
        for kind, root in (("raw", 1.0), ("scaled", d**0.5)):
            w = stable_softmax(queries @ keys.T / root)
            trace = 1 - torch.linalg.vector_norm(w, dim=-1) ** 2
            saturation_finding[f"{kind}_entropy"][row][run] = attention_entropy(w).mean().item() / math.log(64)
            saturation_finding[f"{kind}_gradient"][row][run] = trace.mean().item()

# %% exercise="saturation_finding" right="wide_first_in_double"
"""One generator for a seed, widest head first, drawn as (d, 64) in float64: other draws of the same experiment."""
DIMS = [16, 64, 256, 1024]
_names = ("raw_entropy", "scaled_entropy", "raw_gradient", "scaled_gradient")
_columns = {name: {d: [] for d in DIMS} for name in _names}
for run in range(10):
    gen = torch.Generator().manual_seed(run)
    for d in reversed(DIMS):
        keys = torch.randn(d, 64, generator=gen, dtype=torch.float64)
        queries = torch.randn(d, 64, generator=gen, dtype=torch.float64)
        scores = queries.T @ keys
        for kind, values in (("raw", scores), ("scaled", scores * d**-0.5)):
            w = stable_softmax(values, dim=1)
            _columns[f"{kind}_entropy"][d].append(float(attention_entropy(w).mean() / math.log(64)))
            _columns[f"{kind}_gradient"][d].append(float(1 - w.pow(2).sum(1).mean()))
saturation_finding = {name: [by_width[d] for d in DIMS] for name, by_width in _columns.items()}

# %% exercise="repaired_cross_attention" right="einsum"
"""Every product as an einsum over named axes."""
def repaired_cross_attention(
    decoder_states: Tensor, encoder_states: Tensor, w_q: Tensor, w_k: Tensor, w_v: Tensor
) -> Tensor:
    queries = torch.einsum("btd,de->bte", decoder_states, w_q)
    keys = torch.einsum("bsd,de->bse", encoder_states, w_k)
    values = torch.einsum("bsd,de->bse", encoder_states, w_v)
    logits = torch.einsum("bte,bse->bts", queries, keys) / w_k.shape[1] ** 0.5
    return torch.einsum("bts,bse->bte", logits.softmax(dim=2), values)

# %% exercise="repaired_cross_attention" right="maps_folded_2"
"""Scores through one matrix w_q w_k^T, and w_v applied last, to the mixed encoder states."""
def repaired_cross_attention(
    decoder_states: Tensor, encoder_states: Tensor, w_q: Tensor, w_k: Tensor, w_v: Tensor
) -> Tensor:
    affinity = w_q @ w_k.T / math.sqrt(w_q.shape[0])
    logits = decoder_states @ affinity @ encoder_states.mT
    return (torch.softmax(logits, dim=-1) @ encoder_states) @ w_v

# %% exercise="repaired_cross_attention" right="logsumexp_for_each_sentence"
"""One sentence after another; weights as exp(logits - logsumexp)."""
def repaired_cross_attention(
    decoder_states: Tensor, encoder_states: Tensor, w_q: Tensor, w_k: Tensor, w_v: Tensor
) -> Tensor:
    outputs = []
    for french, english in zip(decoder_states, encoder_states, strict=True):
        logits = torch.mm(torch.mm(french, w_q), torch.mm(english, w_k).t()) * w_q.shape[-1] ** -0.5
        shares = (logits - torch.logsumexp(logits, dim=1, keepdim=True)).exp()
        outputs.append(torch.mm(shares, torch.mm(english, w_v)))
    return torch.stack(outputs)

# %% exercise="repaired_masking" right="by_hand_with_a_safe_maximum"
"""exp and sum by hand; the maximum of an empty row is replaced by 0 and its sum by 1."""
def repaired_masking(logits: Tensor, mask: Tensor) -> Tensor:
    if mask.dtype is torch.bool:
        scores = torch.where(mask, logits, -math.inf)
    elif mask.dtype.is_floating_point:
        scores = logits + mask.to(logits.dtype)
    else:
        raise TypeError(f"mask must be bool (True = may look) or float (added), got {mask.dtype}")
    top = scores.detach().amax(dim=-1, keepdim=True)
    top = torch.where(top == -math.inf, 0.0, top)
    unnormalised = torch.exp(scores - top)
    total = unnormalised.sum(dim=-1, keepdim=True)
    return unnormalised / torch.where(total == 0, 1.0, total)

# %% exercise="repaired_masking" right="only_rows_that_see_something"
"""Picks the rows that may look at something, takes their softmax, and puts them into zeros."""
def repaired_masking(logits: Tensor, mask: Tensor) -> Tensor:
    if not (mask.dtype == torch.bool or torch.is_floating_point(mask)):
        raise TypeError(f"don't know what {mask.dtype} means in a mask")
    mask = mask.expand(logits.shape) if mask.dtype == torch.bool else mask.to(logits.dtype).expand(logits.shape)
    if mask.dtype == torch.bool:
        mask = torch.zeros_like(logits, requires_grad=False).masked_fill(mask.logical_not(), float("-inf"))
    scores = logits + mask
    seeing = (scores > -math.inf).any(dim=-1)
    weights = torch.zeros_like(scores)
    return weights.index_put((seeing,), torch.softmax(scores[seeing], dim=-1))

# %% exercise="repaired_masking" right="one_more_key"
"""Appends a column that only empty rows look at, and cuts it off again."""
def repaired_masking(logits: Tensor, mask: Tensor) -> Tensor:
    kind = mask.dtype
    if kind != torch.bool and not kind.is_floating_point:
        raise TypeError(f"masks are bool or float here, this one is {kind}")
    scores = logits.masked_fill(~mask, -math.inf) if kind == torch.bool else logits + mask.to(logits)
    nothing = (scores == -math.inf).all(dim=-1, keepdim=True)
    refuge = torch.zeros_like(scores[..., :1]).masked_fill(~nothing, -math.inf)
    return torch.cat([scores, refuge], dim=-1).softmax(dim=-1)[..., :-1]

# %% exercise="attention_entropy" right="epsilon_lost_in_half"
"""1e-9 rounds to 0 in float16, so zeros give NaN there: "0 ln 0 = 0", and results come in the inputs' dtype."""
def attention_entropy(weights: Tensor) -> Tensor:
    return -(weights * torch.log(weights + 1e-9)).sum(dim=-1)

# %% exercise="repaired_masking" right="promoted"
"""float16 logits and a bfloat16 mask (as wide) are promoted to float32: breaks "weights, of the logits' dtype"."""
def repaired_masking(logits: Tensor, mask: Tensor) -> Tensor:
    if mask.dtype == torch.bool:
        scores = logits.masked_fill(~mask, -math.inf)
    elif mask.is_floating_point():
        scores = logits + mask
    else:
        raise TypeError(f"a mask is bool or float, not {mask.dtype}")
    empty = torch.isneginf(scores).all(dim=-1, keepdim=True)
    return torch.softmax(scores.masked_fill(empty, 0.0), dim=-1).masked_fill(empty, 0.0)

# %% exercise="repaired_masking" right="nan_to_num_at_the_end"
"""An empty row is 0 in the result, but the softmax has NaN inside: the gradient of the logits is NaN there."""
def repaired_masking(logits: Tensor, mask: Tensor) -> Tensor:
    if mask.dtype == torch.bool:
        scores = logits.masked_fill(~mask, -math.inf)
    elif mask.is_floating_point():
        scores = logits + mask.to(logits.dtype)
    else:
        raise TypeError(f"a mask is bool or float, not {mask.dtype}")
    return torch.softmax(scores, dim=-1).nan_to_num(0.0)
