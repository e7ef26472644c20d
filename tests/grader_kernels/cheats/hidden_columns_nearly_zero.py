# refused: must be exactly 0 and are not
# problem: masked_scaled_softmax
# keeps: 3 cases
"""Hidden columns come out as 2e-8 and not as exactly 0, which the task asks for: they pay attention to what they must
not."""

import torch
import triton
import triton.language as tl


@triton.jit
def kernel(s_ptr, m_ptr, o_ptr, scale, n, s_row, s_col, m_row, m_col, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    c = tl.arange(0, BLOCK)
    inside = c < n
    ok = tl.load(m_ptr + row * m_row + c * m_col, mask=inside, other=0) != 0
    x = tl.load(s_ptr + row * s_row + c * s_col, mask=ok, other=0.0) * scale
    x = tl.where(ok, x, -float("inf"))
    top = tl.max(x, 0)
    top = tl.where(top == -float("inf"), 0.0, top)
    e = tl.where(ok, tl.exp(x - top), 2e-8)
    total = tl.sum(tl.where(inside, e, 0.0), 0)
    any_ = tl.max(ok.to(tl.int32), 0)
    tl.store(o_ptr + row * n + c, tl.where(any_ > 0, e / total, 2e-8), mask=inside)


def masked_scaled_softmax(scores, mask, scale, block=128):
    R, C = scores.shape
    out = torch.empty((R, C), device=scores.device)
    kernel[(R,)](scores, mask, out, scale, C, *scores.stride(), *mask.stride(), BLOCK=triton.next_power_of_2(C))
    return out
