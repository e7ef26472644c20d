"""Attention without ever writing down the matrix of scores.

flash_forward(q, k, v, causal=False, block_m=64, block_n=64) -> (o, lse)

q        (B, H, N, D) float32, float16 or bfloat16; any strides, but neighbours along D lie next to each other
k, v     (B, G, L, D) of the same dtype, in the same way; H is a multiple of G: query heads 0 .. H/G - 1 use head 0 of
         k and v, the next H/G heads use head 1, and so on
causal   True: the last query sees all L keys, the one before it one key less, ...: query i sees keys 0 .. i + L - N
         (N <= L then)
block_m  queries of a program, a power of two from 16
block_n  keys of one step, a power of two from 16
o        (B, H, N, D) of q's dtype, new and contiguous: softmax(q k^T / sqrt(D)) v
lse      (B, H, N) float32: log(sum(exp(scores))) of every query, which a backward pass starts from

N and L need not be multiples of the blocks; D is a power of two from 16. The scores, the softmax and all sums are kept
in float32. One launch: a program keeps its queries and goes through the keys once, with an online softmax.
At least one program for every head of every batch. Products of float32 tiles need input_precision="ieee".
"""

import math

import torch

from grader_kernels.problem import Case, Floor, Settings, normal, power_of_two

SHARE = "At least one program for every head of every batch."
settings = Settings(launches=1, tensor_cores=True, eps=1e-5, share=SHARE)

TAIL = "Keys past the end must get the score -inf, not 0; queries past the end must store nothing."
RESCALE = "A maximum found later changes everything that was summed before: scale the sums by exp(old - new)."
HEADS = "Query head h uses head h // (H // G) of k and v."
CAUSAL = "Query i sees keys 0 .. i + L - N, itself included."
ACCUMULATE = "Keep the maximum and both sums in float32, whatever the dtype of q."


def cases(rng, sizes):
    def draw(heads, keys, queries, d=16, batch=1, shared=1, dtype=torch.float16, spread=1.0):
        q = normal(rng, batch, heads, queries, d, spread=spread, dtype=dtype)
        k, v = (normal(rng, batch, heads // shared, keys, d, dtype=dtype) for _ in range(2))
        return q, k, v

    def between(low, high):
        return int(sizes.integers(low, high))

    keys, queries, wide = between(33, 48), between(17, 32), between(49, 63)
    one, more = power_of_two(sizes, 16, 32), between(2, 5)
    small = {"block_m": 16, "block_n": 16}
    causal = {"causal": True, **small}
    full = torch.float32
    return [
        Case("one block of queries, one of keys", draw(between(2, 4), one, one), {"block_m": one, "block_n": one},
             points_to="This is the plain case: check the scale 1 / sqrt(D) and the address of every row."),
        Case("two heads, three blocks of keys", draw(2, 48, queries, dtype=full), small, points_to=RESCALE),
        Case("the largest score comes last", _rising(16 * between(3, 7)), small, points_to=RESCALE),
        Case("lengths that fill no block", draw(1, keys, queries, batch=2, dtype=full), small, points_to=TAIL,
             weight=2),
        Case("all scores far below zero", _all_low(rng, between(18, 30), between(17, 31)), small, points_to=TAIL),
        Case("causal", draw(1, keys, keys, dtype=full), causal, points_to=CAUSAL),
        Case("causal, with keys from before the first query", draw(1, keys, queries, dtype=full), causal,
             points_to=CAUSAL, weight=2),
        Case("four query heads share two heads of k and v", draw(4, between(18, 31), between(9, 16), shared=2,
             dtype=full), small,
             points_to=HEADS, weight=2),
        Case("scores of several hundred", draw(1, keys, between(17, 31), spread=150.0, dtype=full), small,
             points_to="exp overflows above 88: subtract the maximum first.", weight=2),
        Case("one large weight and many small ones", _small_weights(16 * between(26, 37)), small, points_to=ACCUMULATE,
             weight=2),
        Case("heads lie inside the rows", _rows_first(rng, between(17, 31), between(33, 47)), {"block_m": 16,
             "block_n": 32},
             points_to="Ask each tensor for its own strides.", weight=2),
        Case("bfloat16, wide blocks of queries", draw(2, wide, wide, d=32, shared=2, dtype=torch.bfloat16),
             {"causal": True, "block_m": 32, "block_n": 16}),
        Case("whole blocks of the launcher's own size", draw(between(2, 4), 64 * more, 128, d=64), lean=True,
             compile=True),
        Case("causal, whole blocks of the launcher's own size", draw(1, 64 * (7 - more), 64 * (7 - more), d=64),
             {"causal": True}, lean=True, compile=True),
    ]  # fmt: skip


def _rising(keys):
    """Scores that grow from key to key, so that every block brings a new maximum."""
    q = torch.ones(1, 1, 16, 16)
    k = torch.linspace(-1, 3, keys)[:, None].expand(keys, 16).reshape(1, 1, keys, 16)
    return q, k.contiguous(), torch.linspace(-1, 1, keys * 16).reshape(1, 1, keys, 16)


def _all_low(rng, queries, keys):
    """Scores near -60, the largest first: a missing key that counts with the score 0 outweighs everything."""
    q = normal(rng, 1, 1, queries, 16, spread=0.1, mean=4.0)
    k = normal(rng, 1, 1, keys, 16, spread=0.1, mean=-4.0)
    k[:, :, 0] = -3.9
    return q, k, normal(rng, 1, 1, keys, 16)


def _small_weights(keys):
    """The first key gets 1, each of the other blocks 0.00045 in all: in float16 none of them would count."""
    q, k, v = torch.zeros(1, 1, 16, 16), torch.zeros(1, 1, keys, 16), torch.ones(1, 1, keys, 16)
    q[..., 0] = 4.0
    k[:, :, 1:, 0] = -10.5
    return q.half(), k.half(), v.half()


def _rows_first(rng, queries, keys):
    """(B, N, H, D) in memory, as a projection leaves it."""
    q, k, v = (normal(rng, 2, n, heads, 16).transpose(1, 2) for n, heads in ((queries, 4), (keys, 2), (keys, 2)))
    return q, k, v


def large(rng):
    q, k, v = (normal(rng, 2, heads, 1024, 64, dtype=torch.float16) for heads in (8, 4, 4))
    return Case("2 x 8 heads of 1024, causal", (q, k, v), {"causal": True})


def reference(q, k, v, causal=False, block_m=64, block_n=64):
    shared = q.shape[1] // k.shape[1]
    k, v = k.repeat_interleave(shared, 1), v.repeat_interleave(shared, 1)
    scores = q @ k.transpose(2, 3) / math.sqrt(q.shape[3])
    if causal:
        n, keys = scores.shape[2:]
        seen = torch.arange(keys)[None, :] <= torch.arange(n)[:, None] + keys - n
        scores = scores.masked_fill(~seen, -math.inf)
    return torch.softmax(scores, 3) @ v, torch.logsumexp(scores, 3)


def baseline(q, k, v, causal=False, block_m=64, block_n=64):
    """In float32, with the weights rounded to v's dtype as tensor cores want them."""
    o, lse = reference(q.float(), k.float(), torch.eye(k.shape[2]).expand(*k.shape[:2], -1, -1), causal)
    o = o.to(q.dtype).float() @ v.float().repeat_interleave(q.shape[1] // k.shape[1], 1)
    return o.to(q.dtype), lse


def operator(q, k, v, causal=False, block_m=64, block_n=64):
    return torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=causal, enable_gqa=True)


def programs(q, k, v, causal=False, block_m=64, block_n=64):
    return q.shape[0] * q.shape[1]


def floor(q, k, v, causal=False, block_m=64, block_n=64):
    (batch, heads, n, d), keys = q.shape, k.shape[2]
    rows = 0
    for first in range(0, n, block_m):
        last = first + block_m + keys - n if causal else keys
        rows += min(keys, -(-last // block_n) * block_n)
    each = batch * heads * rows * d * k.element_size()
    size = q.numel() * q.element_size()
    why = (
        "every query is read once and every o and lse written once: 2 B H N D, and 4 bytes for each lse; every block "
        "of queries needs all keys and values that it sees: 2 (N / block_m) L D for each of the B H heads, about half "
        "of that when causal. The N x L scores are never moved"
    )
    flops = 4 * batch * heads * d * (n * keys if not causal else n * keys - n * (n - 1) // 2)
    return Floor({"q": size, "k": each, "v": each}, {"out 0": size, "out 1": 4 * batch * heads * n}, why, flops=flops)
