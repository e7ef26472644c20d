import torch
import triton
import triton.language as tl

LOG2E = tl.constexpr(1.4426950408889634)


@triton.jit
def softmax_kernel(out_ptr, x_ptr, x_row, x_col, n_rows, n_cols, ONE_BLOCK: tl.constexpr, BLOCK: tl.constexpr):
    """Rows are dealt out to the programs; every lane keeps a maximum and a sum of its own until the row ends."""
    lane = tl.arange(0, BLOCK)
    for row in range(tl.program_id(0), n_rows, tl.num_programs(0)):
        source = x_ptr + row * x_row
        target = out_ptr + row * n_cols
        m = tl.load(source + lane * x_col, mask=lane < n_cols, other=-float("inf")).to(tl.float32)
        first = m
        s = tl.where(lane < n_cols, 1.0, 0.0)
        if not ONE_BLOCK:
            for start in range(BLOCK, n_cols, BLOCK):
                at = start + lane
                x = tl.load(source + at * x_col, mask=at < n_cols, other=-float("inf")).to(tl.float32)
                higher = tl.maximum(m, x)
                s = s * tl.exp2((m - higher) * LOG2E) + tl.exp2((x - higher) * LOG2E)
                m = higher
        top = tl.max(m, axis=0)
        scale = 1 / tl.sum(s * tl.exp2((m - top) * LOG2E), axis=0)
        tl.store(target + lane, tl.exp2((first - top) * LOG2E) * scale, mask=lane < n_cols)
        if not ONE_BLOCK:
            for start in range(BLOCK, n_cols, BLOCK):
                at = start + lane
                x = tl.load(source + at * x_col, mask=at < n_cols, other=0.0).to(tl.float32)
                tl.store(target + at, tl.exp2((x - top) * LOG2E) * scale, mask=at < n_cols)


def row_softmax(x, block=128):
    rows, columns = x.shape
    out = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    softmax_kernel[(min(rows, 3),)](out, x, *x.stride(), rows, columns, ONE_BLOCK=columns <= block, BLOCK=block)
    return out
