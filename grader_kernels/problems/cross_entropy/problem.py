"""Cross-entropy of every row, and its gradient, from one launch.

cross_entropy(logits, target, block=256, ignore=-100) -> (loss, grad)

logits  (R, V) float32, float16 or bfloat16, any strides, any size of numbers; V may be larger than block
target  (R,) int64, contiguous: a class 0 ... V-1, or `ignore`
block   columns that a program holds at once, a power of two
loss    (R,) float32, new: log(sum(exp(logits))) - logits[target] of the row, 0 where the target is `ignore`
grad    (R, V) dtype of logits, new and contiguous: the gradient of the row's loss, softmax(logits) - one_hot(target),
        all 0 where the target is `ignore`

Work in float32. Read a row that fits in a block once. A wider row needs two walks: the first finds the maximum and the
sum together (a larger maximum rescales the sum), the second writes the gradient. One launch.
"""

import torch

from grader_kernels.problem import Case, Floor, Settings, normal, strided

settings = Settings(launches=1)

FORMULA = "loss = maximum + log(sum) - logits[target], and the gradient is the softmax, minus 1 at the target."
TAIL = "Lanes past the end of the row must lose every maximum and add nothing to the sum."
LATER = "A maximum found later changes everything that was summed before; the target may stand in any block."
STABLE = "exp overflows above 88 and underflows below -103: subtract the row's maximum first."
IGNORED = "An ignored row has loss 0 and gradient 0, and its target is no column."


def cases(rng, sizes):
    def given(rows, classes, spread=3.0, dtype=torch.float32):
        target = torch.from_numpy(rng.integers(0, classes, rows))
        return normal(rng, rows, classes, spread=spread, dtype=dtype), target

    rising, last = given(3, 75)
    rising[:, 70] = 9.0
    last[0] = 74
    far, t = given(4, 50)
    far += torch.tensor([[-500.0], [300.0], [-90.0], [0.0]])
    partly, gaps = given(6, 41)
    gaps[1] = gaps[4] = -100
    none, padding = given(3, 20)
    turned, column = given(5, 37)
    return [
        Case("a single class", (normal(rng, 2, 1), torch.zeros(2, dtype=torch.int64)), {"block": 16}),
        Case("rows that fill a block exactly", given(4, 256), {"block": 256}, lean=True, compile=True,
             points_to=FORMULA),
        Case("rows wider than a block, with a ragged tail", given(4, 201), {"block": 64}, lean=True, slack=1.5,
             points_to=LATER, weight=2),
        Case("rows narrower than a block", given(4, 13), {"block": 32}, points_to=TAIL),
        Case("one class more than a block", given(3, 33), {"block": 32}, points_to=TAIL),
        Case("the maximum stands in the last block", (rising, last), {"block": 16}, points_to=LATER),
        Case("rows near -500 and near 300", (far, t), {"block": 64}, points_to=STABLE, factor=1000,
             weight=2),
        Case("some rows are ignored", (partly, gaps), {"block": 64}, points_to=IGNORED, weight=2),
        Case("all rows are ignored", (none, torch.full_like(padding, -1)), {"block": 16, "ignore": -1},
             points_to=IGNORED),
        Case("logits with strides of their own", (strided(turned, "every_other"), column), {"block": 16},
             points_to="Ask logits for both of its strides; the gradient is dense."),
        Case("float16", _tiny_terms(), {"block": 64}, points_to="Add up in float32: a float16 sum stops growing."),
    ]  # fmt: skip


def _tiny_terms():
    """16 large terms, then 31 blocks of terms that are too small for a float16 sum."""
    logits = torch.full((1, 2000), -7.63, dtype=torch.float16)
    logits[:, :16] = 0.0
    return logits, torch.tensor([3])


def reference(logits, target, block=256, ignore=-100):
    kept = (target != ignore)[:, None]
    one_hot = torch.arange(logits.shape[1]) == target[:, None]
    loss = torch.logsumexp(logits, 1) - torch.where(one_hot, logits, 0.0).sum(1)
    grad = torch.softmax(logits, 1) - one_hot.to(logits.dtype)
    return torch.where(kept[:, 0], loss, 0.0), torch.where(kept, grad, 0.0)


def baseline(logits, target, block=256, ignore=-100):
    loss, grad = reference(logits.float(), target, block, ignore)
    return loss, grad.to(logits.dtype)


def floor(logits, target, block=256, ignore=-100):
    n = logits.numel() * logits.element_size()
    rows = logits.shape[0]
    why = "every logit and target is read once, every gradient and loss written once: 2 R V elements and 12 R bytes"
    return Floor({"logits": n, "target": 8 * rows}, {"out 0": 4 * rows, "out 1": n}, why)
