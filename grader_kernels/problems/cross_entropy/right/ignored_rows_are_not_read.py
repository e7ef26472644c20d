import torch
import triton
import triton.language as tl


@triton.jit
def load_row(ptr, at, stride, count):
    return tl.load(ptr + at * stride, mask=at < count, other=-float("inf")).to(tl.float32)


@triton.jit
def kernel(x_ptr, t_ptr, loss_ptr, grad_ptr, rows, V, ignore, s0, s1, ONE: tl.constexpr, BLOCK: tl.constexpr):
    for row in range(tl.program_id(0), rows, tl.num_programs(0)):
        lane = tl.arange(0, BLOCK)
        t = tl.load(t_ptr + row)
        if t == ignore:
            tl.store(loss_ptr + row, 0.0)
            for start in range(0, V, BLOCK):
                tl.store(grad_ptr + row * V + start + lane, tl.zeros((BLOCK,), tl.float32), mask=start + lane < V)
        else:
            first = load_row(x_ptr + row * s0, lane, s1, V)
            m = tl.max(first, axis=0)
            e = tl.exp(first - m)
            s = tl.sum(e, axis=0)
            own = tl.sum(tl.where(lane == t, first, 0.0), axis=0)
            if not ONE:
                for start in range(BLOCK, V, BLOCK):
                    x = load_row(x_ptr + row * s0, start + lane, s1, V)
                    old = m
                    m = tl.maximum(m, tl.max(x, axis=0))
                    s = s * tl.exp(old - m) + tl.sum(tl.exp(x - m), axis=0)
                    own += tl.sum(tl.where(start + lane == t, x, 0.0), axis=0)
            tl.store(loss_ptr + row, tl.log(s) + m - own)
            p = tl.exp(first - m) / s
            tl.store(grad_ptr + row * V + lane, tl.where(lane == t, p - 1, p), mask=lane < V)
            if not ONE:
                for start in range(BLOCK, V, BLOCK):
                    p = tl.exp(load_row(x_ptr + row * s0, start + lane, s1, V) - m) / s
                    p = tl.where(start + lane == t, p - 1, p)
                    tl.store(grad_ptr + row * V + start + lane, p, mask=start + lane < V)


def cross_entropy(logits, target, block=256, ignore=-100):
    rows, V = logits.shape
    loss = torch.empty((rows,), dtype=torch.float32, device=logits.device)
    grad = torch.empty((rows, V), dtype=logits.dtype, device=logits.device)
    kernel[(min(rows, 2),)](logits, target, loss, grad, rows, V, ignore, *logits.stride(), ONE=V <= block, BLOCK=block)
    return loss, grad
