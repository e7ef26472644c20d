import torch
import triton
import triton.language as tl


@triton.jit
def scores_of(q, k, v, o, lse, do, inside, scale):
    """(weights, gradient of the scores) of a block of queries and a block of keys, both float32."""
    s = tl.dot(q, tl.trans(k), input_precision="ieee") * scale
    p = tl.where(inside, tl.exp(s - lse[:, None]), 0.0)
    delta = tl.sum(do.to(tl.float32) * o.to(tl.float32), axis=1)
    ds = p * (tl.dot(do, tl.trans(v), input_precision="ieee") - delta[:, None]) * scale
    return p, ds


@triton.jit
def keys_kernel(q_ptr, k_ptr, v_ptr, o_ptr, lse_ptr, do_ptr, dk_ptr, dv_ptr, N, scale,
                D: tl.constexpr, BLOCK: tl.constexpr):  # fmt: skip
    head, d = tl.program_id(1) * N, tl.arange(0, D)[None, :]
    n = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    own, own_in = (head + n)[:, None] * D + d, n[:, None] < N
    k, v = tl.load(k_ptr + own, mask=own_in, other=0.0), tl.load(v_ptr + own, mask=own_in, other=0.0)
    dk, dv = tl.zeros((BLOCK, D), tl.float32), tl.zeros((BLOCK, D), tl.float32)
    for start in range(0, N, BLOCK):
        m = start + tl.arange(0, BLOCK)
        at, at_in = (head + m)[:, None] * D + d, m[:, None] < N
        q, o = tl.load(q_ptr + at, mask=at_in, other=0.0), tl.load(o_ptr + at, mask=at_in, other=0.0)
        do, lse = tl.load(do_ptr + at, mask=at_in, other=0.0), tl.load(lse_ptr + head + m, mask=m < N, other=0.0)
        p, ds = scores_of(q, k, v, o, lse, do, at_in & (n < N)[None, :], scale)
        dv = tl.dot(tl.trans(p).to(do.dtype), do, dv, input_precision="ieee")
        dk = tl.dot(tl.trans(ds).to(q.dtype), q, dk, input_precision="ieee")
    tl.store(dk_ptr + own, dk.to(dk_ptr.dtype.element_ty), mask=own_in)
    tl.store(dv_ptr + own, dv.to(dv_ptr.dtype.element_ty), mask=own_in)


@triton.jit
def queries_kernel(q_ptr, k_ptr, v_ptr, o_ptr, lse_ptr, do_ptr, dq_ptr, N, scale,
                   D: tl.constexpr, BLOCK: tl.constexpr):  # fmt: skip
    head, d = tl.program_id(1) * N, tl.arange(0, D)[None, :]
    m = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    own, own_in = (head + m)[:, None] * D + d, m[:, None] < N
    q, o = tl.load(q_ptr + own, mask=own_in, other=0.0), tl.load(o_ptr + own, mask=own_in, other=0.0)
    do, lse = tl.load(do_ptr + own, mask=own_in, other=0.0), tl.load(lse_ptr + head + m, mask=m < N, other=0.0)
    dq = tl.zeros((BLOCK, D), tl.float32)
    for start in range(0, N, BLOCK):
        n = start + tl.arange(0, BLOCK)
        at, at_in = (head + n)[:, None] * D + d, n[:, None] < N
        k, v = tl.load(k_ptr + at, mask=at_in, other=0.0), tl.load(v_ptr + at, mask=at_in, other=0.0)
        _, ds = scores_of(q, k, v, o, lse, do, own_in & (n < N)[None, :], scale)
        dq = tl.dot(ds.to(k.dtype), k, dq, input_precision="ieee")
    tl.store(dq_ptr + own, dq.to(dq_ptr.dtype.element_ty), mask=own_in)


def flash_backward(q, k, v, o, lse, do, block=16):
    H, N, D = q.shape
    dq, dk, dv = (torch.empty_like(x) for x in (q, k, v))
    grid = (triton.cdiv(N, block), H)
    keys_kernel[grid](q, k, v, o, lse, do, dk, dv, N, D**-0.5, D=D, BLOCK=block)
    queries_kernel[grid](q, k, v, o, lse, do, dq, N, D**-0.5, D=D, BLOCK=block)
    return dq, dk, dv
