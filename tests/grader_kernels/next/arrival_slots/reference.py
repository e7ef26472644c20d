import torch
import triton
import triton.language as tl


@triton.jit
def send_kernel(x_ptr, experts_ptr, counts_ptr, source_ptr, sent_ptr, T, D, BLOCK: tl.constexpr):
    t = tl.program_id(0)
    d = tl.arange(0, BLOCK)
    expert = tl.load(experts_ptr + t)
    slot = expert * T + tl.atomic_add(counts_ptr + expert, 1)
    tl.store(source_ptr + slot, t)
    tl.store(sent_ptr + slot * D + d, tl.load(x_ptr + t * D + d, mask=d < D, other=0.0), mask=d < D)


@triton.jit
def bring_kernel(counts_ptr, source_ptr, sent_ptr, scales_ptr, y_ptr, T, D, BLOCK: tl.constexpr):
    expert = tl.program_id(0)
    d = tl.arange(0, BLOCK)
    scale = tl.load(scales_ptr + expert * D + d, mask=d < D, other=0.0)
    for i in range(0, tl.load(counts_ptr + expert)):
        slot = expert * T + i
        row = tl.load(sent_ptr + slot * D + d, mask=d < D, other=0.0)
        tl.store(y_ptr + tl.load(source_ptr + slot) * D + d, row * scale, mask=d < D)


def arrival_slots(x, experts, scales):
    (T, D), E = x.shape, len(scales)
    counts = torch.zeros(E, dtype=torch.int32, device=x.device)
    source = torch.empty((E, T), dtype=torch.int32, device=x.device)
    sent = torch.empty((E, T, D), dtype=torch.float32, device=x.device)
    y, block = torch.empty_like(x), triton.next_power_of_2(D)
    send_kernel[(T,)](x, experts, counts, source, sent, T, D, BLOCK=block)
    bring_kernel[(E,)](counts, source, sent, scales, y, T, D, BLOCK=block)
    return y
