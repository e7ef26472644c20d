# loses compiles: one program holds the whole matrix, far more than its registers
# says: stack
import torch
import triton
import triton.language as tl


@triton.jit
def rmsnorm_kernel(
    x_ptr, weight_ptr, out_ptr, n_rows, n_cols, eps, x_row, x_col, ROWS: tl.constexpr, BLOCK: tl.constexpr
):
    row = tl.arange(0, ROWS)[:, None]
    columns = tl.arange(0, BLOCK)[None, :]
    inside = (row < n_rows) & (columns < n_cols)
    x = tl.load(x_ptr + row * x_row + columns * x_col, mask=inside, other=0.0).to(tl.float32)
    weight = tl.load(weight_ptr + columns, mask=columns < n_cols, other=0.0).to(tl.float32)
    rms = tl.sqrt(tl.sum(x * x, axis=1, keep_dims=True) / n_cols + eps)
    tl.store(out_ptr + row * n_cols + columns, x / rms * weight, mask=inside)


def rmsnorm_forward(x, weight, eps=1e-6):
    n_rows, n_cols = x.shape
    out = torch.empty((n_rows, n_cols), dtype=x.dtype, device=x.device)
    block = triton.next_power_of_2(n_cols)
    rows = triton.next_power_of_2(n_rows)
    rmsnorm_kernel[(1,)](
        x, weight, out, n_rows, n_cols, eps, x.stride(0), x.stride(1), ROWS=rows, BLOCK=block, num_warps=1
    )
    return out
