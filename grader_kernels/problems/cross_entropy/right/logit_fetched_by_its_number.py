import torch
import triton
import triton.language as tl


@triton.jit
def wide_kernel(x_ptr, t_ptr, loss_ptr, grad_ptr, V, ignore, x_row, x_col, BLOCK: tl.constexpr):
    """Every lane has a maximum and a sum of its own until the end of the row."""
    row = tl.program_id(0)
    t = tl.load(t_ptr + row)
    keep = t != ignore
    lane = tl.arange(0, BLOCK)
    m = tl.full((BLOCK,), -3e38, tl.float32)
    s = tl.zeros((BLOCK,), tl.float32)
    for start in range(0, V, BLOCK):
        at = start + lane
        x = tl.load(x_ptr + row * x_row + at * x_col, mask=at < V, other=-3e38).to(tl.float32)
        x = tl.maximum(x, -3e38)
        higher = tl.maximum(m, x)
        s = s * tl.exp(m - higher) + tl.where(at < V, tl.exp(x - higher), 0.0)
        m = higher
    top = tl.max(m, axis=0)
    log_total = tl.log(tl.sum(s * tl.exp(m - top), axis=0)) + top
    own = tl.load(x_ptr + row * x_row + t * x_col, mask=keep, other=0.0).to(tl.float32)
    tl.store(loss_ptr + row, tl.where(keep, log_total - own, 0.0))
    for start in range(0, V, BLOCK):
        at = start + lane
        x = tl.load(x_ptr + row * x_row + at * x_col, mask=(at < V) & keep, other=0.0).to(tl.float32)
        g = tl.exp(x - log_total) - (at == t).to(tl.float32)
        tl.store(grad_ptr + row * V + at, tl.where(keep, g, 0.0), mask=at < V)


@triton.jit
def narrow_kernel(x_ptr, t_ptr, loss_ptr, grad_ptr, V, ignore, x_row, x_col, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    t = tl.load(t_ptr + row)
    keep = t != ignore
    lane = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + row * x_row + lane * x_col, mask=lane < V, other=-float("inf")).to(tl.float32)
    top = tl.max(x, axis=0)
    log_total = tl.log(tl.sum(tl.exp(x - top), axis=0)) + top
    own = tl.load(x_ptr + row * x_row + t * x_col, mask=keep, other=0.0).to(tl.float32)
    tl.store(loss_ptr + row, tl.where(keep, log_total - own, 0.0))
    g = tl.exp(x - log_total) - (lane == t).to(tl.float32)
    tl.store(grad_ptr + row * V + lane, tl.where(keep, g, 0.0), mask=lane < V)


def cross_entropy(logits, target, block=256, ignore=-100):
    R, V = logits.shape
    loss = torch.zeros(R, dtype=torch.float32, device=logits.device)
    grad = torch.empty_like(logits, memory_format=torch.contiguous_format)
    kernel = narrow_kernel if V <= block else wide_kernel
    kernel[(R,)](logits, target, loss, grad, V, ignore, *logits.stride(), BLOCK=block)
    return loss, grad
