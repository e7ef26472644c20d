# few programs, each with a whole head: a loop over blocks of queries around the loop over keys, last queries first
import torch
import triton
import triton.language as tl


@triton.jit
def head_kernel(
    q_ptr, k_ptr, v_ptr, o_ptr, lse_ptr, H, G, N, L,
    q_batch, q_head, q_row, k_batch, k_head, k_row, v_batch, v_head, v_row,
    CAUSAL: tl.constexpr, D: tl.constexpr, M: tl.constexpr, K: tl.constexpr,
):  # fmt: skip
    head = tl.program_id(0) % H
    batch = tl.program_id(0) // H
    shared = head // (H // G)
    d = tl.arange(0, D)
    for block in range(tl.cdiv(N, M)):
        rows = (tl.cdiv(N, M) - 1 - block) * M + tl.arange(0, M)
        some = rows < N
        q_at = q_ptr + batch * q_batch + head * q_head + rows[:, None] * q_row + d[None, :]
        q = tl.load(q_at, mask=some[:, None], other=0.0)
        last = rows + (L - N) if CAUSAL else tl.zeros((M,), tl.int32) + (L - 1)
        best = tl.full((M,), float("-inf"), tl.float32)
        total = tl.full((M,), 0.0, tl.float32)
        acc = tl.full((M, D), 0.0, tl.float32)
        for start in range(0, tl.minimum(tl.max(last, 0) + 1, L), K):
            at = start + tl.arange(0, K)
            inside = (at < L)[:, None]
            k = tl.load(k_ptr + batch * k_batch + shared * k_head + at[:, None] * k_row + d[None, :], inside, 0.0)
            v = tl.load(v_ptr + batch * v_batch + shared * v_head + at[:, None] * v_row + d[None, :], inside, 0.0)
            s = tl.dot(q, k.T, input_precision="ieee") / tl.sqrt(D * 1.0)
            s = tl.where((at[None, :] <= last[:, None]) & (at < L)[None, :], s, float("-inf"))
            now = tl.maximum(best, tl.max(s, 1))
            p = tl.exp(s - now[:, None])
            total = total * tl.exp(best - now) + tl.sum(p, 1)
            acc *= tl.exp(best - now)[:, None]
            acc += tl.dot(p.to(v.dtype), v, input_precision="ieee")
            best = now
        out = tl.program_id(0) * N + rows
        tl.store(o_ptr + out[:, None] * D + d[None, :], acc / total[:, None], mask=some[:, None])
        tl.store(lse_ptr + out, best + tl.log(total), mask=some)


def flash_forward(q, k, v, causal=False, block_m=64, block_n=64):
    B, H, N, D = q.shape
    G, L = k.shape[1], k.shape[2]
    o, lse = q.new_empty(B, H, N, D), q.new_empty(B, H, N, dtype=torch.float32)
    strides = [t.stride(i) for t in (q, k, v) for i in range(3)]
    head_kernel[(B * H,)](q, k, v, o, lse, H, G, N, L, *strides, CAUSAL=causal, D=D, M=block_m, K=block_n)
    return o, lse
