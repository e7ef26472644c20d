"""Softmax of every row of scaled scores, over the columns that a mask allows.

masked_scaled_softmax(scores, mask, scale, block=128) -> weights

scores   (R, C) float32, any strides, any size of numbers, also where the mask hides them
mask     (R, C) bool, True = allowed, any strides (a stride of 0 too: an expanded row)
scale    a positive float, usually 1 / sqrt(d)
block    columns that a program holds at once, a power of two; C may be larger
weights  (R, C) float32, a new contiguous tensor: softmax of scale * scores along the row; hidden columns 0; a row
         without any allowed column is all 0

One launch.
"""

import torch

from grader_kernels.problem import Case, Floor, Settings, normal, strided

settings = Settings(launches=1)

ADDRESS = "scores, mask and result each have strides of their own: ask each tensor for both."
HIDDEN = "A hidden column must lose the maximum, add nothing to the sum and come out as exactly 0."
EMPTY = "Without any allowed column the maximum is -inf and the sum 0: replace both before you use them."


def cases(rng, sizes):
    def pair(rows, columns, share=0.6, spread=3.0):
        mask = torch.from_numpy(rng.random((rows, columns)) < share)
        mask[torch.arange(rows), torch.from_numpy(rng.integers(0, columns, rows))] = True
        return normal(rng, rows, columns, spread=spread), mask

    scores, mask = pair(4, 41)
    mask[2] = False
    hidden, sparse = pair(4, 37)
    hidden[~sparse] = 2e38
    far, some = pair(4, 37, spread=5)
    far += torch.tensor([[-600.0], [600.0], [-50.0], [0.0]])
    turned, odd = pair(5, 29)
    odd[0] = torch.arange(29) < 15
    wide, row = pair(6, 23)
    causal = torch.ones(35, 35, dtype=torch.bool).tril()[-6:]
    return [
        Case("a single element", (normal(rng, 1, 1), torch.ones(1, 1, dtype=torch.bool), 0.5), {"block": 16}),
        Case("a row that fills a block exactly", (*pair(4, 64), 0.25), {"block": 64}, lean=True, compile=True,
             points_to="This is the plain case: scale first, then the mask, then the softmax."),
        Case("rows wider than a block, with a ragged tail", (*pair(5, 75), 0.35), {"block": 32}, lean=True, slack=2.12,
             weight=3, points_to="A column counts when it lies inside the row and the mask allows it."),
        Case("a causal mask", (normal(rng, 6, 35, spread=5), causal, 0.3535), {"block": 64}, lean=True,
             points_to=HIDDEN),
        Case("a row without any allowed column", (scores, mask, 0.5), {"block": 16}, weight=2, points_to=EMPTY),
        Case("very large numbers in the hidden columns", (hidden, sparse, 2.5), {"block": 16}, weight=2,
             points_to=HIDDEN),
        Case("scores near -600 and near 600", (far, some, 0.3), {"block": 64}, weight=2,
             points_to="Subtract the largest allowed scaled score of the row before exp."),
        Case("scores and mask each with strides of their own",
             (strided(turned, "every_other"), strided(odd, "transposed"), 0.4), {"block": 16}, points_to=ADDRESS),
        Case("one row of a mask for all rows", (wide, row[:1].expand(6, 23), 0.4), {"block": 16}, points_to=ADDRESS),
    ]  # fmt: skip


def reference(scores, mask, scale, block=128):
    scaled = (scores * scale).masked_fill(~mask, -float("inf"))
    return torch.softmax(scaled, 1).masked_fill(~mask.any(1, keepdim=True), 0.0)


def floor(scores, mask, scale, block=128):
    n = scores.numel() * scores.element_size()
    why = (
        "every score, every entry of the mask and every weight once: R C (4 + 1 + 4) bytes; a hidden score need not be "
        "asked for, but it shares its 32-byte sector with others, so it counts"
    )
    return Floor({"scores": n, "mask": mask.numel()}, {"out": n}, why)
