"""The gradients of attention, without the matrix of scores.

flash_backward(q, k, v, o, lse, do, block=16) -> (dq, dk, dv)

q, k, v, o, do   (H, N, D) float16 or float32, contiguous; o is what attention gave, do the gradient of it
lse              (H, N) float32: log(sum(exp(scores))) of every query, natural; scores = q k^T / sqrt(D)
dq, dk, dv       (H, N, D) of q's dtype, new and contiguous

With p = exp(scores - lse) and delta = sum(do * o) over D: dv = p^T do, ds = p * (do v^T - delta) / sqrt(D),
dq = ds k, dk = ds^T q. Sums in float32. Two launches: one owns keys, the other owns queries; no atomics.
"""

import math

import torch

from grader_kernels.problem import Case, Floor, Settings, normal

settings = Settings(launches=2, tensor_cores=True, eps=1e-5)

TERM = "A softmax has a second term in its gradient: delta = sum(do * o) is subtracted from do v^T."
NATURAL = "lse is a natural logarithm: exp(scores - lse), or exp2 when both are multiplied with log2(e)."


def cases(rng, sizes):
    def draw(heads, n, d=16, dtype=torch.float32):
        q, k, v, do = (normal(rng, heads, n, d, dtype=dtype) for _ in range(4))
        scores = q.float() @ k.float().transpose(1, 2) / math.sqrt(d)
        return q, k, v, (torch.softmax(scores, 2) @ v.float()).to(dtype), torch.logsumexp(scores, 2), do

    def between(low, high):
        return int(sizes.integers(low, high))

    return [
        Case("one block", draw(1, 16), points_to=TERM),
        Case("lengths that fill no block", draw(2, between(33, 47)), points_to=NATURAL),
        Case("float16", draw(1, between(17, 31), dtype=torch.float16), points_to=TERM),
        Case("whole blocks", draw(2, 32, dtype=torch.float16), lean=True, compile=True, points_to=TERM),
    ]


def reference(q, k, v, o, lse, do, block=16):
    scale = 1 / math.sqrt(q.shape[2])
    p = torch.exp(q @ k.transpose(1, 2) * scale - lse[:, :, None])
    ds = p * (do @ v.transpose(1, 2) - (do * o).sum(2, keepdim=True)) * scale
    return ds @ k, ds.transpose(1, 2) @ q, p.transpose(1, 2) @ do


def baseline(q, k, v, o, lse, do, block=16):
    return tuple(out.to(q.dtype) for out in reference(*(x.float() for x in (q, k, v, o)), lse, do.float()))


def floor(q, k, v, o, lse, do, block=16):
    size, rows, blocks = q.numel() * q.element_size(), 4 * lse.numel(), -(-q.shape[1] // block)
    again = (1 + blocks) * size
    loads = {"q": again, "o": again, "do": again, "lse": (1 + blocks) * rows, "k": again, "v": again}
    why = "who owns keys reads all queries, who owns queries reads all keys; every tensor is also read once as its own"
    return Floor(loads, {"out 0": size, "out 1": size, "out 2": size}, why)
