"""Attention of one new query per sequence, over keys and values that lie in pages.

paged_decode_attention(q, k_pages, v_pages, block_table, lengths) -> o

q             (B, H, D) float32, float16 or bfloat16, contiguous: the newest token of each of B sequences
k_pages       (P, T, G, D) of q's dtype, contiguous: P pages for T tokens each; T is a power of two from 16
v_pages       as k_pages
block_table   (B, W) int32, contiguous: entry [b, w] is the page that holds tokens w T .. w T + T - 1 of sequence b.
              Entries behind a sequence's last page mean nothing
lengths       (B,) int32, at least 1: how many tokens sequence b has. Page slots behind them may hold anything, also NaN
o             (B, H, D) of q's dtype, new and contiguous: softmax(q k^T / sqrt(D)) v

H is a multiple of G: query heads 0 .. H/G - 1 use head 0 of k and v, the next H/G heads use head 1, and so on. D is a
power of two from 16. Scores, softmax and sums are kept in float32. One launch, in which every key and value is read
once: the H/G query heads that share a head of k and v belong into one program. At least
one program for every sequence. Products of float32 tiles need input_precision="ieee". What a launcher is shown has
other lengths: they belong to the kernel.
"""

import math

import numpy as np
import torch

from grader_kernels.problem import Case, Floor, Settings, normal, power_of_two

SHARE = "At least one program for every sequence."
settings = Settings(launches=1, eps=1e-5, share=SHARE)

TAIL = "Tokens behind a sequence's length must get the score -inf, and their values must not be loaded: 0 * NaN is NaN."
RESCALE = "A maximum found later changes everything that was summed before: scale the sums by exp(old - new)."
HEADS = "Query head h uses head h // (H // G) of k and v."
TABLE = "Token t of sequence b lies in slot t % T of page block_table[b, t // T]."
ACCUMULATE = "Keep the maximum and both sums in float32, whatever the dtype of q."


def cases(rng, sizes):
    def draw(lengths, heads=1, shared=1, d=16, page=16, dtype=torch.float32, spread=1.0, stale=50.0):
        return _paged(rng, lengths, heads, shared, d, page, dtype, spread, stale)

    def between(low, high):
        return int(sizes.integers(low, high))

    def inside(pages, page=16):
        """A length that ends inside the last of so many pages: a number, which no launcher may know."""
        return int(rng.integers(page * (pages - 1) + 2, page * pages))

    half, full, few, many = torch.float16, 16 * between(2, 5), between(1, 3), between(3, 6)
    page = power_of_two(sizes, 16, 32)
    return [
        Case("one full page", draw([page], heads=between(2, 5), page=page),
             points_to="This is the plain case: check the scale 1 / sqrt(D) and the address of every token."),
        Case("full pages in any order", draw([full, full]), points_to=TABLE),
        Case("lengths that end inside a page", draw([inside(1), 16 * many - 15, 16, inside(many)]), points_to=TAIL,
             weight=2),
        Case("a sequence of one token", draw([1, inside(many)]), points_to=TAIL),
        Case("slots behind the end hold NaN", draw([inside(few), inside(many)], stale=math.nan),
             points_to=TAIL, weight=2),
        Case("two groups of three query heads", draw([inside(2), inside(many)], heads=6, shared=3),
             points_to=HEADS, weight=2),
        Case("every page brings a new maximum", _rising(between(3, 7)), points_to=RESCALE),
        Case("scores of several hundred", draw([inside(many), inside(2)], spread=150.0),
             points_to="exp overflows above 88: subtract the maximum first.", weight=2),
        Case("one large weight and many small ones", _small_weights(between(26, 37)), points_to=ACCUMULATE, weight=2),
        Case("bfloat16, pages of 32",
             draw([inside(many, 32), 64], heads=4, shared=2, d=32, page=32, dtype=torch.bfloat16)),
        Case("two sequences of full pages in float16", draw([full, full], heads=8, shared=4, d=64, dtype=half),
             lean=True, compile=True),
        Case("ragged sequences in float16",
             draw([inside(3), inside(2), inside(many + 2)], heads=4, shared=4, d=64, dtype=half), lean=True),
    ]  # fmt: skip


def _paged(rng, lengths, heads, shared, d, page, dtype, spread, stale):
    """Pages in random order; what no token uses is `stale`, and so are the entries behind a sequence's last page.

    The first head of each group finds its largest key in the last token, and stale keys are larger still.
    """
    groups, batch = heads // shared, len(lengths)
    wide = max(-(-n // page) for n in lengths)
    table = torch.from_numpy(_out_of_order(rng, batch, wide)).to(torch.int32)
    k, v = (torch.full((batch * wide + 1, page, groups, d), stale, dtype=dtype) for _ in range(2))
    q = normal(rng, batch, heads, d, spread=spread, dtype=dtype)
    for b, n in enumerate(lengths):
        first = q[b, ::shared].float()
        at = torch.arange(n)
        pages = table[b, at // page].long()
        k[pages, at % page] = normal(rng, n, groups, d, dtype=dtype)
        v[pages, at % page] = normal(rng, n, groups, d, dtype=dtype)
        scores = (k[pages, at % page].float() * first).sum(-1)
        above = scores.amax(0) + d**0.5
        k[pages[-1], (n - 1) % page] = ((above / (first * first).sum(-1))[:, None] * first).to(dtype)
        k[pages[-1], (n - 1) % page + 1 :] = (stale * first.sign()).to(dtype)
        table[b, -(-n // page) :] = -(2**20)
    return q, k, v, table, torch.tensor(lengths, dtype=torch.int32)


def _out_of_order(rng, batch, wide):
    """A table in which no page lies where its number says, and no sequence has the pages that would be its own."""
    own = np.arange(batch * wide).reshape(batch, wide)
    while True:
        order = rng.permutation(batch * wide + 1)[: batch * wide].reshape(batch, wide)
        if (order != own).all() and all(set(row) != set(mine) for row, mine in zip(order, own)):
            return order


def _rising(pages):
    n = 16 * pages
    k = torch.linspace(-1, 3, n)[:, None].expand(n, 16).reshape(pages, 16, 1, 16)
    v = torch.linspace(-1, 1, 16 * n).reshape(pages, 16, 1, 16)
    table = torch.arange(pages, dtype=torch.int32)[None, :]
    return torch.ones(1, 1, 16), k.contiguous(), v, table, torch.tensor([n], dtype=torch.int32)


def _small_weights(pages):
    """The first key gets 1, each of the other pages 0.00045 in all: in float16 none of them would count."""
    q, k, v = torch.zeros(1, 1, 16), torch.zeros(pages, 16, 1, 16), torch.ones(pages, 16, 1, 16)
    q[..., 0] = 4.0
    k[..., 0] = -10.5
    k[0, 0] = 0.0
    table = torch.arange(pages, dtype=torch.int32)[None, :]
    return q.half(), k.half(), v.half(), table, torch.tensor([16 * pages], dtype=torch.int32)


def large(rng):
    return Case(
        "32 sequences of 1024 tokens",
        _paged(rng, [1024] * 32, 32, 4, 64, 16, torch.float16, 1.0, 0.0),
    )


def reference(q, k_pages, v_pages, block_table, lengths):
    return torch.stack([_attend(*parts) for parts in _sequences(q, k_pages, v_pages, block_table, lengths)])


def baseline(q, k_pages, v_pages, block_table, lengths):
    """In float32, with the weights rounded to v's dtype as tensor cores want them."""
    parts = _sequences(q.float(), k_pages.float(), v_pages.float(), block_table, lengths)
    return torch.stack([_attend(*one, dtype=q.dtype) for one in parts]).to(q.dtype)


def _sequences(q, k_pages, v_pages, block_table, lengths):
    """(query (H, D), keys (n, G, D), values (n, G, D)) of every sequence, out of their pages."""
    for b, n in enumerate(lengths.tolist()):
        pages = block_table[b, : -(-n // k_pages.shape[1])].long()
        yield q[b], k_pages[pages].flatten(0, 1)[:n], v_pages[pages].flatten(0, 1)[:n]


def _attend(q, k, v, dtype=None):
    shared = q.shape[0] // k.shape[1]
    k, v = k.repeat_interleave(shared, 1), v.repeat_interleave(shared, 1)
    weights = torch.softmax(torch.einsum("hd,nhd->hn", q, k) / math.sqrt(q.shape[1]), 1)
    return torch.einsum("hn,nhd->hd", weights if dtype is None else weights.to(dtype).to(q.dtype), v)


def programs(q, k_pages, v_pages, block_table, lengths):
    return q.shape[0]


def floor(q, k_pages, v_pages, block_table, lengths):
    groups, d = k_pages.shape[2:]
    item, tokens = q.element_size(), int(lengths.sum())
    pages = int((-(-lengths // k_pages.shape[1])).sum())
    each, size = tokens * groups * d * item, q.numel() * item
    loads = {"q": size, "k_pages": each, "v_pages": each, "block_table": 4 * pages, "lengths": lengths.numel() * 4}
    why = (
        "every token's key and value is read once for each of the G heads of k and v, however many query heads share "
        "it: 2 G D sum(lengths); every query is read once and every output written once: 2 B H D. The block table and "
        "the lengths are small enough to stay in a cache"
    )
    flops = 4 * tokens * q.shape[1] * d
    return Floor(loads, {"out": size}, why, resident=("block_table", "lengths"), flops=flops)
