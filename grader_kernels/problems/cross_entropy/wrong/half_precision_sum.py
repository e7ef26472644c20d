# loses right: the sum is kept in the dtype of the logits
# says: float16
import torch
import triton
import triton.language as tl


@triton.jit
def cross_entropy_kernel(
    logits_ptr, target_ptr, loss_ptr, grad_ptr, n_classes, ignore, row_stride, class_stride, BLOCK: tl.constexpr
):
    row = tl.program_id(0)
    logits_ptr += row * row_stride
    grad_ptr += row.to(tl.int64) * n_classes
    lanes = tl.arange(0, BLOCK)
    target = tl.load(target_ptr + row)
    kept = tl.where(target == ignore, 0.0, 1.0)
    if n_classes <= BLOCK:
        inside = lanes < n_classes
        x = tl.load(logits_ptr + lanes * class_stride, mask=inside, other=-float("inf")).to(tl.float32)
        largest = tl.max(x, axis=0)
        e = tl.exp(x - largest)
        total = tl.sum(e, axis=0)
        hit = lanes == target
        tl.store(grad_ptr + lanes, (e / total - tl.where(hit, 1.0, 0.0)) * kept, mask=inside)
        at_target = tl.sum(tl.where(hit, x, 0.0), axis=0)
        tl.store(loss_ptr + row, (largest + tl.log(total) - at_target) * kept)
    else:
        largest = -float("inf")
        running = tl.zeros((1,), logits_ptr.dtype.element_ty)
        at_target = 0.0
        for start in range(0, n_classes, BLOCK):
            at = start + lanes
            x = tl.load(logits_ptr + at * class_stride, mask=at < n_classes, other=-float("inf")).to(tl.float32)
            higher = tl.maximum(largest, tl.max(x, axis=0))
            running = (running * tl.exp(largest - higher) + tl.sum(tl.exp(x - higher), axis=0)).to(running.dtype)
            at_target += tl.sum(tl.where(at == target, x, 0.0), axis=0)
            largest = higher
        for start in range(0, n_classes, BLOCK):
            at = start + lanes
            x = tl.load(logits_ptr + at * class_stride, mask=at < n_classes, other=-float("inf")).to(tl.float32)
            grad = tl.exp(x - largest) / running - tl.where(at == target, 1.0, 0.0)
            tl.store(grad_ptr + at, grad * kept, mask=at < n_classes)
        tl.store(loss_ptr + row + tl.arange(0, 1), (largest + tl.log(running.to(tl.float32)) - at_target) * kept)


def cross_entropy(logits, target, block=256, ignore=-100):
    n_rows, n_classes = logits.shape
    loss = torch.empty(n_rows, dtype=torch.float32, device=logits.device)
    grad = torch.empty((n_rows, n_classes), dtype=logits.dtype, device=logits.device)
    cross_entropy_kernel[(n_rows,)](
        logits, target, loss, grad, n_classes, ignore, logits.stride(0), logits.stride(1), BLOCK=block
    )
    return loss, grad
