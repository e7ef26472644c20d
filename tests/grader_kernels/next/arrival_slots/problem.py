"""Rows sent to the part of their expert, scaled there, and brought back.

arrival_slots(x, experts, scales) -> y

x        (T, D) float32, contiguous     experts  (T,) int32, 0 .. E - 1     scales  (E, D) float32
y        (T, D) float32, new: x[t] * scales[experts[t]]

At most three launches, a fill by torch among them. In what order the rows lie in an expert's part is open: y does not
depend on it.
"""

import torch

from grader_kernels.problem import Case, Floor, Settings, normal

settings = Settings(launches=3)

SLOT = "Every row has a slot of its own: what the counter was before this row was counted."


def cases(rng, sizes):
    def draw(t, d, e):
        experts = torch.from_numpy(rng.integers(0, e, t)).to(torch.int32)
        return normal(rng, t, d), experts, normal(rng, e, d)

    def between(low, high):
        return int(sizes.integers(low, high))

    return [
        Case("few rows", draw(between(5, 9), 16, 3), points_to=SLOT),
        Case("many rows of few experts", draw(between(30, 40), between(17, 31), 2), points_to=SLOT),
        Case("whole rows", draw(32, 64, 4), lean=True, slack=2.2, compile=True, points_to=SLOT),
    ]


def reference(x, experts, scales):
    return x * scales[experts.long()]


def floor(x, experts, scales):
    n = 4 * x.numel()
    why = "every row is read once and written once, besides being sent and fetched; experts and scales from a cache"
    loads = {"x": n, "experts": 4 * len(experts), "scales": 4 * scales.numel()}
    return Floor(loads, {"out": n}, why, resident=("experts", "scales"))
