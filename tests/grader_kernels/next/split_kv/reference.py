import torch
import triton
import triton.language as tl


@triton.jit
def parts_kernel(
    q_ptr, k_ptr, v_ptr, lengths_ptr, parts_ptr, lse_ptr, N, part, scale, D: tl.constexpr, BLOCK: tl.constexpr
):
    sequence, split = tl.program_id(0), tl.program_id(1)
    d = tl.arange(0, D)
    q = tl.load(q_ptr + sequence * D + d)
    end = tl.minimum(tl.load(lengths_ptr + sequence), (split + 1) * part)
    largest = -float("inf")
    total = 0.0
    o = tl.zeros((D,), tl.float32)
    for start in range(split * part, end, BLOCK):
        n = start + tl.arange(0, BLOCK)
        at = (sequence * N + n)[:, None] * D + d[None, :]
        k = tl.load(k_ptr + at, mask=n[:, None] < end, other=0.0)
        v = tl.load(v_ptr + at, mask=n[:, None] < end, other=0.0)
        s = tl.where(n < end, tl.sum(q[None, :] * k, 1) * scale, -float("inf"))
        higher = tl.maximum(largest, tl.max(s, 0))
        p = tl.exp(s - higher)
        before = tl.exp(largest - higher)
        total = total * before + tl.sum(p, 0)
        o = o * before + tl.sum(p[:, None] * v, 0)
        largest = higher
    at = sequence * tl.num_programs(1) + split
    tl.store(parts_ptr + at * D + d, o / tl.where(total > 0, total, 1.0))
    tl.store(lse_ptr + at, largest + tl.log(total))


@triton.jit
def merge_kernel(parts_ptr, lse_ptr, o_ptr, SPLITS: tl.constexpr, ROOM: tl.constexpr, D: tl.constexpr):
    sequence = tl.program_id(0)
    s, d = tl.arange(0, ROOM), tl.arange(0, D)
    lse = tl.load(lse_ptr + sequence * SPLITS + s, mask=s < SPLITS, other=-float("inf"))
    weight = tl.exp(lse - tl.max(lse, 0))
    at = (sequence * SPLITS + s)[:, None] * D + d[None, :]
    parts = tl.load(parts_ptr + at, mask=s[:, None] < SPLITS, other=0.0)
    tl.store(o_ptr + sequence * D + d, tl.sum(weight[:, None] * parts, 0) / tl.sum(weight, 0))


def split_kv(q, k, v, lengths, splits=4, block=16):
    (B, D), N = q.shape, k.shape[1]
    parts = torch.empty((B, splits, D), dtype=torch.float32, device=q.device)
    lse = torch.empty((B, splits), dtype=torch.float32, device=q.device)
    o = torch.empty_like(q)
    part = triton.cdiv(triton.cdiv(N, splits), block) * block
    parts_kernel[(B, splits)](q, k, v, lengths, parts, lse, N, part, D**-0.5, D=D, BLOCK=block)
    merge_kernel[(B,)](parts, lse, o, SPLITS=splits, ROOM=triton.next_power_of_2(splits), D=D)
    return o
