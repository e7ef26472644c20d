"""Other correct kernels. Each cell is a whole answer."""

# %% right="weights_turned_round_and_tanh_of_libdevice"
"""w is loaded as it lies, row by row, and turned round in the kernel; pointers that move along."""
from triton.language.extra import libdevice


@triton.jit
def gelu(z):
    return 0.5 * z * (1.0 + libdevice.tanh(0.7978845608028654 * (z + 0.044715 * z * z * z)))


@triton.jit
def layer_kernel(
    x_ptr, w_ptr, b_ptr, y_ptr, M, N, K, x0, x1, w0, w1,
    BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr,
):  # fmt: skip
    m, n = tl.program_id(0) * BM + tl.arange(0, BM), tl.program_id(1) * BN + tl.arange(0, BN)
    k = tl.arange(0, BK)
    x_at = x_ptr + m[:, None] * x0 + k[None, :] * x1
    w_at = w_ptr + n[:, None] * w0 + k[None, :] * w1
    acc = tl.zeros((BM, BN), dtype=tl.float32)
    for step in range(tl.cdiv(K, BK)):
        left = K - step * BK
        x = tl.load(x_at, mask=(m[:, None] < M) & (k[None, :] < left), other=0)
        w = tl.load(w_at, mask=(n[:, None] < N) & (k[None, :] < left), other=0)
        acc += tl.dot(x, tl.trans(w))
        x_at += BK * x1
        w_at += BK * w1
    bias = tl.load(b_ptr + n, mask=n < N, other=0)
    tl.store(y_ptr + m[:, None] * N + n[None, :], gelu(acc + bias[None, :]), mask=(m[:, None] < M) & (n[None, :] < N))


def linear_gelu(x, w, bias, block_m=64, block_n=64, block_k=32):
    (M, K), N = x.shape, w.shape[0]
    y = x.new_empty((M, N))
    layer_kernel[(triton.cdiv(M, block_m), triton.cdiv(N, block_n))](
        x, w, bias, y, M, N, K, *x.stride(), *w.stride(), block_m, block_n, block_k
    )
    return y

# %% right="sum_starts_with_the_bias_and_a_grid_of_one_axis"
"""The sum begins as the bias; tanh out of an exponential that can't overflow; tiles numbered one after another."""
@triton.jit
def layer_kernel(
    y_ptr, x_ptr, w_ptr, b_ptr, M, N, K, x0, x1, w0, w1,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    across = tl.cdiv(N, BLOCK_N)
    m = (tl.program_id(0) // across * BLOCK_M + tl.arange(0, BLOCK_M))[:, None]
    n = (tl.program_id(0) % across * BLOCK_N + tl.arange(0, BLOCK_N))[None, :]
    z = tl.load(b_ptr + n, mask=n < N, other=0.0) + tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.float32)
    for start in tl.range(0, K, BLOCK_K):
        k = start + tl.arange(0, BLOCK_K)
        x = tl.load(x_ptr + m * x0 + k[None, :] * x1, mask=(m < M) & (k[None, :] < K), other=0.0)
        w = tl.load(w_ptr + n * w0 + k[:, None] * w1, mask=(n < N) & (k[:, None] < K), other=0.0)
        z = tl.dot(x, w, acc=z)
    u = 0.7978845608028654 * z * (1.0 + 0.044715 * z * z)
    small = tl.exp(-2.0 * tl.abs(u))
    tanh = (1.0 - small) / (1.0 + small)
    y = 0.5 * z * (1.0 + tl.where(u < 0, -tanh, tanh))
    tl.store(y_ptr + m * N + n, y, mask=(m < M) & (n < N))


def linear_gelu(x, w, bias, block_m=64, block_n=64, block_k=32):
    M, K = x.shape
    N = w.shape[0]
    y = torch.empty(M, N, dtype=x.dtype, device=x.device)
    tiles = triton.cdiv(M, block_m) * triton.cdiv(N, block_n)
    layer_kernel[(tiles,)](
        y, x, w, bias, M, N, K, *x.stride(), *w.stride(), BLOCK_M=block_m, BLOCK_N=block_n, BLOCK_K=block_k
    )
    return y
