"""Cross-entropy of every row, and its gradient, from one launch.

cross_entropy(logits, target, block=256, ignore=-100) -> (loss, grad)

logits  (R, V) float32, float16 or bfloat16, any strides, any size of numbers; V may be larger than block
target  (R,) int64, contiguous: a class 0 ... V-1, or `ignore`
block   columns that a program holds at once, a power of two
loss    (R,) float32, new: log(sum(exp(logits))) - logits[target] of the row, 0 where the target is `ignore`
grad    (R, V) dtype of logits, new and contiguous: the gradient of the row's loss, softmax(logits) - one_hot(target),
        all 0 where the target is `ignore`

Work in float32. Read a row that fits in a block once. A wider row needs two walks: the first finds the maximum and the
sum together (a larger maximum rescales the sum), the second writes the gradient. One launch. More
than one program where there are more than four rows.
"""

import torch

from grader_kernels.problem import Case, Floor, Settings, normal, power_of_two, strided

SHARE = "More than one program where there are more than four rows."
settings = Settings(launches=1, block=True, share=SHARE)

FORMULA = "loss = maximum + log(sum) - logits[target], and the gradient is the softmax, minus 1 at the target."
TAIL = "Lanes past the end of the row must lose every maximum and add nothing to the sum."
LATER = "A maximum found later changes everything that was summed before; the target may stand in any block."
STABLE = "exp overflows above 88 and underflows below -103: subtract the row's maximum first."
IGNORED = "An ignored row has loss 0 and gradient 0, and its target is no column."
ADDRESS = "Ask logits for both of its strides; the gradient is dense."


def cases(rng, sizes):
    def given(rows, classes, spread=3.0, dtype=torch.float32):
        target = torch.from_numpy(rng.integers(0, classes, rows))
        return normal(rng, rows, classes, spread=spread, dtype=dtype), target

    def between(low, high):
        return int(sizes.integers(low, high))

    full, wide, narrow, next_to = (power_of_two(sizes, 32 * f, 128 * f) for f in (4, 1, 4, 1))
    rising, last = given(between(3, 6), 64 + between(7, 16), spread=1.0)
    rising[:, -between(2, 6)] = 9.0  # in the last block of 16
    last[0] = rising.shape[1] - 1
    negative, own = given(between(4, 8), between(narrow // 2 + 5, narrow - 5))
    far, t = given(4, between(50, 63))
    far += torch.tensor([[-12000.0], [300.0], [-90.0], [0.0]])
    unlikely, named = given(4, between(35, 47))
    unlikely[torch.arange(4), named] = -200.0  # its probability is no float32 number, its logarithm is
    partly, gaps = given(6, between(35, 47))
    gaps[1] = gaps[4] = -100
    padded, tokens = given(6, 8 * between(2, 4) + between(3, 8))
    tokens[0] = tokens[3] = 0
    none = given(between(3, 7), between(17, 24))[0]
    logits, target = given(between(4, 8), between(35, 47))
    logits[0, -2] = 6.0  # in the last block of 16: what was summed before must be rescaled
    # 4 large terms; what a block of 16 adds to them is less than half a unit in the last place of a float16 sum
    tiny = normal(rng, 1, 16 * between(59, 66) + between(3, 14), spread=0.2, mean=-9.2, dtype=torch.float16)
    tiny[:, :4] = 0.0
    return [
        Case("a single class", _ones(rng, between(2, 7)), {"block": 16}),
        Case("rows that fill a block exactly", given(between(3, 6), full), {"block": full}, lean=True,
             compile=True, points_to=FORMULA),
        Case("rows wider than a block, with a ragged tail", given(between(3, 7), wide * between(2, 8) + between(5,
             wide - 5)),
             {"block": wide}, lean=True, slack=1.5, compile=True, points_to=LATER, weight=3),
        Case("rows narrower than a block, negative everywhere", (negative - 40, own), {"block": narrow}, lean=True,
             points_to=TAIL, factor=1000),
        Case("one class more than a block, bfloat16", given(between(3, 6), next_to + 1, dtype=torch.bfloat16),
             {"block": next_to},
             points_to=TAIL),
        Case("the maximum stands in the last block", (rising, last), {"block": 16}, points_to=LATER),
        Case("rows near -12,000 and near 300", (far, t), {"block": 64}, points_to=STABLE, factor=1000, weight=4),
        Case("rows near -12,000 and near 300, wider than a block", (far, t), {"block": 16}, points_to=STABLE,
             factor=1000, weight=5),
        Case("targets of a probability near 0", (unlikely, named), {"block": 16}, points_to=STABLE, weight=2),
        Case("some rows are ignored", (partly, gaps), points_to=IGNORED, weight=2),
        Case("padding, token 0, is ignored, in rows wider than a block", (padded, tokens), {"block": 8, "ignore": 0},
             points_to=IGNORED, weight=2),
        Case("all rows are ignored", (none, torch.full((len(none),), -1)), {"block": 16, "ignore": -1},
             points_to=IGNORED),
        Case("transposed logits", (strided(logits), target), {"block": 16}, points_to=ADDRESS),
        Case("every other column of wider logits", (strided(logits, "every_other"), target), {"block": 64},
             points_to=ADDRESS),
        Case("float16 logits, a float32 sum", (tiny, torch.tensor([3])), {"block": 16},
             points_to="Add up in float32: a float16 sum stops growing."),
    ]  # fmt: skip


def _ones(rng, rows):
    return normal(rng, rows, 1), torch.zeros(rows, dtype=torch.int64)


def large(rng):
    target = torch.from_numpy(rng.integers(0, 32768, 256))
    return Case("256 rows of 32768 classes", (normal(rng, 256, 32768), target), {"block": 4096})


def reference(logits, target, block=256, ignore=-100):
    kept = (target != ignore)[:, None]
    one_hot = torch.arange(logits.shape[1]) == target[:, None]
    loss = torch.logsumexp(logits, 1) - torch.where(one_hot, logits, 0.0).sum(1)
    grad = torch.softmax(logits, 1) - one_hot.to(logits.dtype)
    return torch.where(kept[:, 0], loss, 0.0), torch.where(kept, grad, 0.0)


def baseline(logits, target, block=256, ignore=-100):
    loss, grad = reference(logits.float(), target, block, ignore)
    return loss, grad.to(logits.dtype)


def programs(logits, target, block=256, ignore=-100):
    return 2 if logits.shape[0] > 4 else 1


def exact(logits, target, block=256, ignore=-100):
    ignored = target == ignore
    return ignored, ignored[:, None].repeat(1, logits.shape[1])


def floor(logits, target, block=256, ignore=-100):
    n = logits.numel() * logits.element_size()
    rows = logits.shape[0]
    why = "every logit and target is read once, every gradient and loss written once: 2 R V elements and 12 R bytes"
    return Floor({"logits": n, "target": 8 * rows}, {"out 0": 4 * rows, "out 1": n}, why)
