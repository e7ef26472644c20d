"""The newest keys of a batch, written into their pages.

paged_append(k, pages, block_table, lengths) -> pages

k            (B, D) float16: the key of each sequence's newest token
pages        (P, T, D) float16, contiguous, changed in place: P pages of T tokens
block_table  (B, W) int32: entry [b, w] is the page of tokens w T .. w T + T - 1 of sequence b. Entries behind the page
             of a sequence's newest token mean nothing
lengths      (B,) int32: how many tokens sequence b has, the newest one included: 0 for a sequence that has none, which
             writes nothing
pages        itself: k[b] stands in slot (lengths[b] - 1) % T of page block_table[b, (lengths[b] - 1) // T]

One launch.
"""

import torch

from grader_kernels.problem import Case, Floor, Settings, normal

settings = Settings(launches=1, may_change=("pages",))

SLOT = "The newest token of a sequence of n tokens is number n - 1."
STALE = -(2**20)


def cases(rng, sizes):
    def draw(lengths, d=16, t=8):
        wide = max(1, *(-(-(n + 1) // t) for n in lengths))
        table = torch.from_numpy(rng.permutation(len(lengths) * wide).reshape(-1, wide)).to(torch.int32)
        for b, n in enumerate(lengths):
            table[b, -(-n // t) :] = STALE
        pages = normal(rng, len(lengths) * wide, t, d, dtype=torch.float16)
        return normal(rng, len(lengths), d, dtype=torch.float16), pages, table, torch.tensor(lengths, dtype=torch.int32)

    def inside(pages, t=8):
        return int(rng.integers(t * (pages - 1) + 2, t * pages))

    d = 16 * int(sizes.integers(1, 4)) + 5
    return [
        Case("tokens inside their pages", draw([inside(1), inside(2), inside(3)]), points_to=SLOT),
        Case("two sequences of one length", draw([20, 20], d), points_to=SLOT),
        Case("full pages, and the first token of a page", draw([8, 1, 17, 16]), points_to=SLOT),
        Case("sequences without tokens", draw([0, inside(2), 0, inside(1)], d), points_to=SLOT),
        Case("pages of 16", draw([inside(2, 16), inside(2, 16), 32], 64, 16), lean=True, compile=True, points_to=SLOT),
    ]


def reference(k, pages, block_table, lengths):
    for b, n in enumerate(lengths.tolist()):
        if n:
            pages[block_table[b, (n - 1) // pages.shape[1]], (n - 1) % pages.shape[1]] = k[b]
    return pages


def exact(k, pages, block_table, lengths):
    return torch.ones(pages.shape, dtype=torch.bool)


def floor(k, pages, block_table, lengths):
    used = int((lengths > 0).sum())
    row = k.shape[1] * 2
    loads = {"k": used * row, "block_table": 4 * used, "lengths": 4 * len(lengths)}
    return Floor(loads, {"out": used * row}, "every key that counts is read once and written once", ("lengths",))
