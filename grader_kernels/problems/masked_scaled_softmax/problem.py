"""Softmax of every row of scaled scores, over the columns that a mask allows.

masked_scaled_softmax(scores, mask, scale, block=128) -> weights

scores   (R, C) float32, any strides, any size of numbers, also where the mask hides them
mask     (R, C) bool, True = allowed, any strides (a stride of 0 too: an expanded row)
scale    a positive float, usually 1 / sqrt(d)
block    columns that a program holds at once, a power of two; C may be larger
weights  (R, C) float32, new and contiguous: softmax of scale * scores along the row; hidden columns are exactly 0, and
         so is a row without any allowed column

One launch. More than one program where there are more than four rows. Scores and mask are read at most three times,
and the weights written once.
"""

import torch

from grader_kernels.problem import Case, Floor, Settings, normal, power_of_two, strided

SHARE = "More than one program where there are more than four rows."
settings = Settings(launches=1, block=True, share=SHARE)

ADDRESS = "scores, mask and result each have strides of their own: ask each tensor for both."
HIDDEN = "A hidden column must lose the maximum, add nothing to the sum and come out as exactly 0."
EMPTY = "Without any allowed column the maximum is -inf and the sum 0: replace both before you use them."
THREE_WALKS = 2.12  # scores and mask read three times, weights written once: 3 (4 + 1) + 4 bytes where 9 are needed


def cases(rng, sizes):
    def between(low, high):
        return int(sizes.integers(low, high))

    def pair(rows, columns, share=0.6, spread=3.0):
        mask = torch.from_numpy(rng.random((rows, columns)) < share)
        mask[torch.arange(rows), torch.from_numpy(rng.integers(0, columns, rows))] = True
        return normal(rng, rows, columns, spread=spread), mask

    scale = sizes.uniform(0.3, 0.5)
    full, held = power_of_two(sizes, 32, 128), power_of_two(sizes, 16, 64)
    scores, mask = pair(4, between(35, 46))
    mask[between(0, 4)] = False
    hidden, sparse = pair(4, between(35, 46))
    hidden[~sparse] = 2e38
    far, some = pair(5, between(35, 46), spread=5)
    far += torch.tensor([[-60000.0], [600.0], [-50.0], [0.0], [0.0]])
    far[4] = 1e8 * far[4] - 9e9
    late, open_late = pair(4, between(35, 46))
    open_late[:, :16] = False  # the whole first block
    turned, odd = pair(between(4, 8), between(25, 32))
    odd[0] = torch.arange(odd.shape[1]) < 15
    wide, row = pair(6, between(19, 30))
    queries, keys = between(5, 9), between(33, 60)
    causal = torch.ones(keys, keys, dtype=torch.bool).tril()[-queries:]
    everything = torch.ones(between(3, 6), full, dtype=torch.bool)
    return [
        Case("a single element", (normal(rng, 1, 1), torch.ones(1, 1, dtype=torch.bool), scale), {"block": 16}),
        Case("everything allowed, in rows that fill a block exactly",
             (normal(rng, *everything.shape, spread=4), everything, scale), {"block": full}, lean=True,
             slack=THREE_WALKS, compile=True,
             points_to="This is the plain case: scale first, then the mask, then the softmax."),
        Case("rows wider than a block, with a ragged tail",
             (*pair(between(4, 7), held * between(2, 8) + between(3, held - 1), spread=4), scale), {"block": held},
             lean=True, slack=THREE_WALKS, compile=True, weight=3,
             points_to="A column counts when it lies inside the row and the mask allows it."),
        Case("a causal mask, the launcher's own block", (normal(rng, queries, keys, spread=5), causal, scale),
             lean=True, slack=THREE_WALKS, points_to=HIDDEN),
        Case("a row without any allowed column", (scores, mask, scale), {"block": 16}, weight=3, points_to=EMPTY),
        Case("nothing allowed before the second block", (late, open_late, scale), {"block": 16}, points_to=EMPTY),
        Case("very large numbers in the hidden columns", (hidden, sparse, 2.5), {"block": 16}, weight=3,
             points_to=HIDDEN),
        Case("scores near -60,000, near 600 and below -10^9", (far, some, scale), {"block": 16}, weight=6,
             points_to="Subtract the largest allowed scaled score of the row before exp."),
        Case("scores and mask each with strides of their own",
             (strided(turned, "every_other"), strided(odd, "transposed"), scale), {"block": 16}, weight=2,
             points_to=ADDRESS),
        Case("transposed scores", (strided(late, "transposed"), open_late, scale), {"block": 16}, points_to=ADDRESS),
        Case("one row of a mask for all rows", (wide, row[:1].expand(wide.shape), scale), {"block": 16},
             points_to=ADDRESS),
    ]  # fmt: skip


def large(rng):
    mask = torch.from_numpy(rng.random((4096, 1024)) < 0.5)
    return Case("4096 rows of 1024", (normal(rng, 4096, 1024), mask, 0.125), {"block": 1024})


def reference(scores, mask, scale, block=128):
    scaled = (scores * scale).masked_fill(~mask, -float("inf"))
    return torch.softmax(scaled, 1).masked_fill(~mask.any(1, keepdim=True), 0.0)


def programs(scores, mask, scale, block=128):
    return 2 if scores.shape[0] > 4 else 1


def exact(scores, mask, scale, block=128):
    return ~mask


def floor(scores, mask, scale, block=128):
    n = scores.numel() * scores.element_size()
    why = (
        "every score, every entry of the mask and every weight once: R C (4 + 1 + 4) bytes; a hidden score need not be "
        "asked for, but it shares its 32-byte sector with others, so it counts"
    )
    return Floor({"scores": n, "mask": mask.numel()}, {"out": n}, why)
