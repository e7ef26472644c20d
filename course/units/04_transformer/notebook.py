# %% [markdown]
r"""
# 04 · The transformer: its kernels

The kernel section of the unit, on its own. When the unit is put together these first three cells are left out.
"""

# %% tags=["parameters"]
profile = "fast"
seed = 0
device = "cpu"

# %%
import torch
from torch import Tensor, nn

from course import check, ready
from course.kernels import show_accesses, tl, triton

torch.set_num_threads(1)

# %% [markdown]
r"""
## 8. Four GPU kernels, and the way back

Norms and the loss do little arithmetic for the bytes they move. RMSNorm squares, adds, divides and multiplies: four
operations for a number that is read once and written once, eight bytes in float32. On the roofline of unit 00 that lies
far on the memory's side, so such a kernel is judged on one question: how often does each number travel?

This section is about training, so every kernel has a way back. A **backward kernel** is a kernel like any other: it
gets what the forward pass was given and the gradient of what it returned, and gives the gradient of what it was given.
For $y = f(x)$ and a loss $L$ it gets $x$ and $dy = \partial L / \partial y$ and returns $dx = \partial L / \partial x$.
Autograd calls it, you write it; no graph is recorded inside a kernel.

The kernels see matrices: a stream of shape $(B, T, D)$ is $R = B \cdot T$ rows of $C = D$ columns.

### RMSNorm, forward

A row of width $C$ fits into one program here, in a block of the next power of two. The lanes past the end of the row
must not disturb the sum, must not be counted in the mean, and must not be stored.
"""

# %% exercise="rmsnorm_forward"
@triton.jit
def rmsnorm_kernel(x_ptr, weight_ptr, out_ptr, n_cols, eps, x_row, x_col, BLOCK: tl.constexpr):
    """One program: one row, held as a whole in BLOCK lanes.

    x_row, x_col  strides of x, in elements; weight and out are dense
    """
    ### BEGIN SOLUTION
    row = tl.program_id(0)
    columns = tl.arange(0, BLOCK)
    inside = columns < n_cols
    x = tl.load(x_ptr + row * x_row + columns * x_col, mask=inside, other=0.0).to(tl.float32)
    weight = tl.load(weight_ptr + columns, mask=inside, other=0.0).to(tl.float32)
    rms = tl.sqrt(tl.sum(x * x, axis=0) / n_cols + eps)
    tl.store(out_ptr + row * n_cols + columns, x / rms * weight, mask=inside)
    ### END SOLUTION


def rmsnorm_forward(x: Tensor, weight: Tensor, eps: float = 1e-6) -> Tensor:
    """RMS normalisation of every row, on the GPU (or interpreted, for CPU tensors).

    x        (R, C) float32, float16 or bfloat16, any strides; C is any number up to 8192
    weight   (C,) same dtype, contiguous
    eps      added to the mean of the squares, under the root
    returns  (R, C) same dtype, new and contiguous: x / sqrt(mean(x^2) + eps) * weight, the mean along the row

    Work in float32 and round once. Read each row once, one launch. triton.next_power_of_2 gives the block. You may
    change the kernel's parameters; keep the names of both functions.

    Source: Zhang and Sennrich 2019, "Root Mean Square Layer Normalization", equation 4 (eps as in torch's RMSNorm).
    Difficulty 2 of 5, about 20 minutes.
    """
    ### BEGIN SOLUTION
    n_rows, n_cols = x.shape
    out = torch.empty((n_rows, n_cols), dtype=x.dtype, device=x.device)
    rmsnorm_kernel[(n_rows,)](
        x, weight, out, n_cols, eps, x.stride(0), x.stride(1), BLOCK=triton.next_power_of_2(n_cols)
    )
    return out
    ### END SOLUTION

# %% check="rmsnorm_forward" points=4

# %% [markdown]
r"""
### RMSNorm, backward

Write $r = 1 / \sqrt{\frac{1}{C}\sum_j x_j^2 + \varepsilon}$ for the row's factor and $\hat x_i = r\, x_i$ for the
normalised row, so that $y_i = w_i\,\hat x_i$. Let $g_i = w_i\, dy_i$ be the gradient that arrives at $\hat x_i$. Two
things depend on $x_i$: its own output, through the factor in front, and **all** outputs of the row, through $r$.

$$dx_i = r\, g_i + \frac{\partial r}{\partial x_i} \sum_j g_j\, x_j, \qquad
\frac{\partial r}{\partial x_i} = -\frac{1}{2}\, r^3 \cdot \frac{2 x_i}{C} = -\frac{r^3 x_i}{C}$$

Put together, with one $r$ taken out and the others moved into $\hat x$:

$$dx_i = r \left( g_i - \hat x_i \cdot \frac{1}{C} \sum_j g_j\, \hat x_j \right)$$

The second term takes out of $g$ what points along $\hat x$. That makes sense: a step along $x$ only makes the row
longer, and the norm undoes that (exactly when $\varepsilon = 0$). It needs one more sum over the row and no more bytes.

**The weight is different.** Every row uses the same $w_i$, so its gradient is a sum over rows:
$dw_i = \sum_{\text{rows}} dy_i\, \hat x_i$. One program for each row would mean thousands of programs that add to the
same $C$ numbers.

- *Load, add, store*: two programs load the same old value, and the later store wipes out the other's share. A race.
- *Atomic adds* lose nothing, but the programs come in any order, and floats added in another order round differently.
- *Partial sums*: a few programs share the rows. Each adds up its own rows in registers and stores one row of $C$ sums
  at the end. A second launch adds these few rows, always in the same order. Same bits on every run.

How much does the order matter? The same ten thousand numbers, added one after another in twenty orders:
"""

# %%
gen = torch.Generator().manual_seed(seed)
numbers = torch.randn(10_000, generator=gen)
orders = [torch.randperm(10_000, generator=gen) for _ in range(20)]
sums = [numbers[order].numpy().cumsum()[-1].item() for order in orders]  # one after another, each sum rounded
print(f"{len(set(sums))} different float32 sums of the same numbers in 20 orders")
print(f"from {min(sums):.6f} to {max(sums):.6f}; in float64 {numbers.double().sum().item():.6f}")

# %% [markdown]
r"""
No sum is wrong, but two runs of one training script would differ, and nobody could tell a bug from rounding.

The bytes: $dy$ and $x$ read once, $dx$ written once, $3RC$ numbers. The partial sums add `2 * programs * C` floats,
written once and read once: little as long as each program has many rows.
"""

# %% exercise="rmsnorm_backward"
@triton.jit
def rmsnorm_rows_kernel(
    dy_ptr, x_ptr, weight_ptr, dx_ptr, partial_ptr, n_rows, n_cols, eps,
    dy_row, dy_col, x_row, x_col, BLOCK: tl.constexpr,
):  # fmt: skip
    """One program: dx of its share of the rows, and the partial sum of dweight over them."""
    ### BEGIN SOLUTION
    columns = tl.arange(0, BLOCK)
    inside = columns < n_cols
    weight = tl.load(weight_ptr + columns, mask=inside, other=0.0).to(tl.float32)
    dweight = tl.zeros((BLOCK,), tl.float32)
    for row in range(tl.program_id(0), n_rows, tl.num_programs(0)):
        dy = tl.load(dy_ptr + row * dy_row + columns * dy_col, mask=inside, other=0.0).to(tl.float32)
        x = tl.load(x_ptr + row * x_row + columns * x_col, mask=inside, other=0.0).to(tl.float32)
        r = 1 / tl.sqrt(tl.sum(x * x, axis=0) / n_cols + eps)
        normed = x * r
        dweight += dy * normed
        g = dy * weight
        dx = (g - normed * (tl.sum(g * normed, axis=0) / n_cols)) * r
        tl.store(dx_ptr + row * n_cols + columns, dx, mask=inside)
    tl.store(partial_ptr + tl.program_id(0) * n_cols + columns, dweight, mask=inside)
    ### END SOLUTION


@triton.jit
def rmsnorm_sum_kernel(partial_ptr, dweight_ptr, n_partial, n_cols, BLOCK: tl.constexpr):
    """One program: BLOCK columns of dweight, the sum of all partial sums."""
    ### BEGIN SOLUTION
    columns = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = columns < n_cols
    total = tl.zeros((BLOCK,), tl.float32)
    for i in range(0, n_partial):
        total += tl.load(partial_ptr + i * n_cols + columns, mask=inside, other=0.0)
    tl.store(dweight_ptr + columns, total, mask=inside)
    ### END SOLUTION


def rmsnorm_backward(
    dy: Tensor, x: Tensor, weight: Tensor, eps: float = 1e-6, programs: int = 4
) -> tuple[Tensor, Tensor]:
    """The gradients of x and of the weight of y = x / sqrt(mean(x^2) + eps) * weight.

    dy        (R, C) float32, float16 or bfloat16, any strides: the gradient of y
    x         (R, C) same dtype, any strides of its own; C is any number up to 8192
    weight    (C,) same dtype, contiguous
    programs  how many programs share the R rows in the first launch, at least 1, possibly more than R
    returns   dx (R, C) same dtype, new and contiguous; dweight (C,) same dtype, new

    Work in float32, the partial sums too, and round once. Read each row of dy and x once: r is worked out again, that
    costs no bytes. Two launches, no atomics. You may change the kernels' parameters, and use other kernels.

    Source: the derivation above. Triton's layer-norm tutorial sums its weight gradients in two stages too.
    Difficulty 4 of 5, about 50 minutes.
    """
    ### BEGIN SOLUTION
    n_rows, n_cols = x.shape
    dx = torch.empty((n_rows, n_cols), dtype=x.dtype, device=x.device)
    dweight = torch.empty(n_cols, dtype=weight.dtype, device=x.device)
    partial = torch.empty((programs, n_cols), dtype=torch.float32, device=x.device)
    rmsnorm_rows_kernel[(programs,)](
        dy, x, weight, dx, partial, n_rows, n_cols, eps, *dy.stride(), *x.stride(),
        BLOCK=triton.next_power_of_2(n_cols),
    )  # fmt: skip
    rmsnorm_sum_kernel[(triton.cdiv(n_cols, 128),)](partial, dweight, programs, n_cols, BLOCK=128)
    return dx, dweight
    ### END SOLUTION

# %% check="rmsnorm_backward" points=6

# %% [markdown]
r"""
The middle one of three programs that share seven rows, access by access: the weight, once; then a row of `dy`, a row of
`x`, a row of `dx`, and the same for the next row of its share. The partial sum is written once, at the end.
"""

# %%
show_accesses(
    rmsnorm_backward, torch.linspace(-1, 1, 84).reshape(7, 12), torch.arange(84.0).reshape(7, 12), torch.ones(12),
    programs=3,
)  # fmt: skip

# %% [markdown]
r"""
### The residual add, fused

In a pre-norm layer the output of a sublayer is added to the residual stream, and the sum is normalised for the next
sublayer. As two kernels the sum travels twice: written by the first, read back by the second. One kernel has it at
hand. It has **two outputs**: the normalised rows, and the sum itself, which is the stream of the next layer.

What that saves, counted in matrices of $R \times C$: two reads and a write, then a read and a write, make five; fused
it is two reads and two writes. For the base model of 2017 (6 + 6 layers, width 512; an encoder layer has two sublayers
and a decoder layer three) and 4,096 tokens on each side in a 16-bit type:
"""

# %%
rows, width, size = 4096, 512, 2
sublayers = 6 * 2 + 6 * 3
matrix = rows * width * size
apart, fused = 5 * matrix, 4 * matrix
print(f"for each sublayer: {apart / 2**20:.0f} MiB in two kernels, {fused / 2**20:.0f} MiB in one")
print(f"for {sublayers} sublayers: {sublayers * (apart - fused) / 2**20:.0f} MiB less, {1 - fused / apart:.0%} of it")

# %% exercise="residual_rmsnorm"
@triton.jit
def residual_rmsnorm_kernel(
    x_ptr, residual_ptr, weight_ptr, out_ptr, total_ptr, n_cols, eps,
    x_row, x_col, residual_row, residual_col, BLOCK: tl.constexpr,
):  # fmt: skip
    """One program: one row of both results, held as a whole in BLOCK lanes."""
    ### BEGIN SOLUTION
    row = tl.program_id(0)
    columns = tl.arange(0, BLOCK)
    inside = columns < n_cols
    x = tl.load(x_ptr + row * x_row + columns * x_col, mask=inside, other=0.0).to(tl.float32)
    old = tl.load(residual_ptr + row * residual_row + columns * residual_col, mask=inside, other=0.0).to(tl.float32)
    weight = tl.load(weight_ptr + columns, mask=inside, other=0.0).to(tl.float32)
    total = x + old
    rms = tl.sqrt(tl.sum(total * total, axis=0) / n_cols + eps)
    tl.store(total_ptr + row * n_cols + columns, total, mask=inside)
    tl.store(out_ptr + row * n_cols + columns, total / rms * weight, mask=inside)
    ### END SOLUTION


def residual_rmsnorm(x: Tensor, residual: Tensor, weight: Tensor, eps: float = 1e-6) -> tuple[Tensor, Tensor]:
    """Add to the residual stream and normalise the sum, in one launch.

    x         (R, C) float32, float16 or bfloat16, any strides: the output of a sublayer; C is any number up to 8192
    residual  (R, C) same dtype, any strides of its own; it belongs to the caller and stays as it is
    weight    (C,) same dtype, contiguous
    eps       added to the mean of the squares, under the root
    returns   y (R, C) and total (R, C), same dtype, both new and contiguous: total = x + residual, and y is total
              normalised as in rmsnorm_forward

    Work in float32; y may come from the sum before or after it is rounded. Read each row once.
    Difficulty 2 of 5, about 15 minutes.
    """
    ### BEGIN SOLUTION
    n_rows, n_cols = x.shape
    out = torch.empty((n_rows, n_cols), dtype=x.dtype, device=x.device)
    total = torch.empty((n_rows, n_cols), dtype=x.dtype, device=x.device)
    residual_rmsnorm_kernel[(n_rows,)](
        x, residual, weight, out, total, n_cols, eps, *x.stride(), *residual.stride(),
        BLOCK=triton.next_power_of_2(n_cols),
    )  # fmt: skip
    return out, total
    ### END SOLUTION

# %% check="residual_rmsnorm" points=3

# %% [markdown]
r"""
### Cross-entropy, forward and backward in one launch

The logits are the largest tensor of a language model's training step: `N` tokens times `V` words. The loss of a row and
its gradient are

$$\ell = \log\sum_v e^{z_v} - z_t, \qquad \frac{\partial \ell}{\partial z_v} = p_v - [v = t], \qquad
p = \operatorname{softmax}(z)$$

The gradient needs nothing that the forward pass does not know already. So one kernel can do both while the row is near,
and the softmax is never a tensor: $p_v$ exists in a register, one is subtracted at the target, and the gradient is
stored. What does torch write on its way?
"""

# %%
from torch.utils._python_dispatch import TorchDispatchMode


class MatricesWritten(TorchDispatchMode):
    """Notes every operation below it that writes a new tensor of one shape."""

    def __init__(self, shape):
        super().__init__()
        self.shape, self.names = shape, []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        self.names += [func.name() for t in (out if isinstance(out, tuple) else (out,)) if t.shape == self.shape]
        return out


logits = torch.randn(6, 50, generator=torch.Generator().manual_seed(seed), requires_grad=True)
with MatricesWritten(logits.shape) as written:
    nn.functional.cross_entropy(logits, torch.arange(6)).backward()
print("torch writes", len([name for name in written.names if "detach" not in name]), "matrices of N x V:")
print(*(name for name in written.names if "detach" not in name), sep="\n")
tokens, words = 8192, 50_257  # GPT-2's vocabulary
print(f"for {tokens:,} tokens and {words:,} words each of them has {tokens * words * 4 / 2**30:.2f} GiB in float32")

# %% [markdown]
r"""
Your kernel writes one. The first of torch's matrices, the log-probabilities, stays until the backward pass has read it.

**How often is the row read?** A row that fits into a block: once, everything happens in registers. A wider row must be
walked. First for the maximum, then for the sum of $e^{z - m}$, then for the gradient: three reads. An **online**
logsumexp saves one. Walk once with a running maximum $m$ and a running sum $s$. When a block raises the maximum to
$m'$, what was summed so far was relative to the old one, so

$$s \leftarrow s \, e^{m - m'} + \sum_{v \in \text{block}} e^{z_v - m'}$$

(Milakov and Gimelshein 2018, "Online normalizer calculation for softmax"). That is 2 reads and 1 write against 3 and 1.

Two libraries go further. Liger Kernel (Hsu et al. 2024, "Liger Kernel: Efficient Triton Kernels for LLM Training")
stores the gradient over the logits themselves, so not even the gradient is a new tensor. Cut Cross-Entropy (Wijmans et
al. 2025, "Cut Your Losses in Large-Vocabulary Language Models") multiplies by the output head inside the kernel and
never has logits in memory at all; its abstract gives 24 GB before and 1 MB after for the loss of Gemma 2 (2B).

Rows whose target is `ignore` (padding) have loss 0 and gradient 0. Their target is no column: never use it as an
address. `ignore` may be any whole number; here it is often PAD, 0.
"""

# %% exercise="cross_entropy"
@triton.jit
def cross_entropy_kernel(
    logits_ptr, target_ptr, loss_ptr, grad_ptr, n_classes, ignore, row_stride, class_stride, BLOCK: tl.constexpr
):
    """One program: loss and gradient of one row, BLOCK classes at a time."""
    ### BEGIN SOLUTION
    row = tl.program_id(0)
    logits_ptr += row * row_stride
    grad_ptr += row.to(tl.int64) * n_classes
    lanes = tl.arange(0, BLOCK)
    target = tl.load(target_ptr + row)
    kept = tl.where(target == ignore, 0.0, 1.0)
    if n_classes <= BLOCK:  # the row stays in registers
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
        total = 0.0
        at_target = 0.0
        for start in range(0, n_classes, BLOCK):
            at = start + lanes
            x = tl.load(logits_ptr + at * class_stride, mask=at < n_classes, other=-float("inf")).to(tl.float32)
            higher = tl.maximum(largest, tl.max(x, axis=0))
            total = total * tl.exp(largest - higher) + tl.sum(tl.exp(x - higher), axis=0)
            at_target += tl.sum(tl.where(at == target, x, 0.0), axis=0)
            largest = higher
        for start in range(0, n_classes, BLOCK):
            at = start + lanes
            x = tl.load(logits_ptr + at * class_stride, mask=at < n_classes, other=-float("inf")).to(tl.float32)
            grad = tl.exp(x - largest) / total - tl.where(at == target, 1.0, 0.0)
            tl.store(grad_ptr + at, grad * kept, mask=at < n_classes)
        tl.store(loss_ptr + row, (largest + tl.log(total) - at_target) * kept)
    ### END SOLUTION


def cross_entropy(logits: Tensor, target: Tensor, block: int = 256, ignore: int = -100) -> tuple[Tensor, Tensor]:
    """Cross-entropy of every row, and its gradient, from one launch.

    logits   (N, V) float32, float16 or bfloat16, any strides, any size of numbers; V may be larger than block
    target   (N,) int64, contiguous: a class 0 ... V - 1, or `ignore`
    block    columns that a program holds at once, a power of two
    ignore   the target of rows that don't count
    returns  loss (N,) float32, new: log(sum(exp(logits))) - logits[target] of each row, 0 where the target is ignore;
             grad (N, V) dtype of logits, new and contiguous: the gradient of the row's own loss,
             softmax(logits) - one_hot(target), all 0 where the target is ignore

    Work in float32. Read a row that fits in a block once, a wider one twice. Nothing is divided by N: who wants the
    mean divides afterwards.

    Source: Milakov and Gimelshein 2018, "Online normalizer calculation for softmax", algorithm 3, for the first walk.
    Difficulty 4 of 5, about 45 minutes.
    """
    ### BEGIN SOLUTION
    n_rows, n_classes = logits.shape
    loss = torch.empty(n_rows, dtype=torch.float32, device=logits.device)
    grad = torch.empty((n_rows, n_classes), dtype=logits.dtype, device=logits.device)
    cross_entropy_kernel[(n_rows,)](
        logits, target, loss, grad, n_classes, ignore, logits.stride(0), logits.stride(1), BLOCK=block
    )
    return loss, grad
    ### END SOLUTION

# %% check="cross_entropy" points=5

# %% [markdown]
r"""
One program on a row of 40 classes in blocks of 16: one staircase for the running maximum and sum, a second one beside
the gradient's.
"""

# %%
show_accesses(cross_entropy, torch.linspace(-3, 3, 120).reshape(3, 40), torch.tensor([7, 20, 39]), block=16)

# %% [markdown]
r"""
### Put into autograd

A pair of kernels becomes an operation of torch through `torch.autograd.Function`: `forward` keeps what `backward` will
need. RMSNorm keeps its input and works $r$ out again. The fused add keeps only the sum, and its backward adds the two
gradients that arrive: one through the norm, one along the stream. The loss keeps its gradient, which is ready.
"""

# %%
class KernelRMSNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight):  # (R, C), (C,) -> (R, C)
        ctx.save_for_backward(x, weight)
        return rmsnorm_forward(x, weight)

    @staticmethod
    def backward(ctx, dy):
        return rmsnorm_backward(dy, *ctx.saved_tensors)


class KernelResidualRMSNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, residual, weight):  # (R, C), (R, C), (C,) -> y (R, C), total (R, C)
        y, total = residual_rmsnorm(x, residual, weight)
        ctx.save_for_backward(total, weight)
        return y, total

    @staticmethod
    def backward(ctx, dy, dtotal):
        dx, dweight = rmsnorm_backward(dy, *ctx.saved_tensors)
        both = dx + dtotal  # a sum hands its gradient to each of its terms
        return both, both, dweight


class KernelCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx, logits, target, ignore):  # (N, V), (N,) -> (N,)
        loss, grad = cross_entropy(logits, target, ignore=ignore)
        ctx.save_for_backward(grad)
        return loss

    @staticmethod
    def backward(ctx, dloss):
        (grad,) = ctx.saved_tensors
        return grad * dloss[:, None].to(grad.dtype), None, None

# %% [markdown]
r"""
The last stretch of a pre-norm decoder, once with your kernels and once with torch: normalise, a sublayer, add it to the
stream and normalise, the output head, the mean loss over the tokens that are not PAD. The gradients of all five tensors
are compared.
"""

# %%
def last_stretch(stream, inner_gain, inner, outer_gain, head, target, kernels):
    """Mean loss of (N, D) stream vectors; inner (D, D) is the sublayer, head (D, V)."""
    if kernels:
        y, _ = KernelResidualRMSNorm.apply(
            KernelRMSNorm.apply(stream, inner_gain) @ inner, stream, outer_gain
        )
        losses = KernelCrossEntropy.apply(y @ head, target, 0)
    else:
        total = stream + nn.functional.rms_norm(stream, stream.shape[1:], inner_gain, 1e-6) @ inner
        y = nn.functional.rms_norm(total, total.shape[1:], outer_gain, 1e-6)
        losses = nn.functional.cross_entropy(y @ head, target, ignore_index=0, reduction="none")
    return losses.sum() / (target != 0).sum()


def every_kernel():
    one = torch.ones(1, 1)
    rmsnorm_forward(one, one[0])
    rmsnorm_backward(one, one, one[0])
    residual_rmsnorm(one, one, one[0])
    cross_entropy(one, torch.zeros(1, dtype=torch.int64))


if ready(every_kernel):
    gen = torch.Generator().manual_seed(seed)
    N, D, V = 9, 20, 37
    shapes = {"stream": (N, D), "inner_gain": (D,), "inner": (D, D), "outer_gain": (D,), "head": (D, V)}
    tensors = [torch.randn(shape, generator=gen).requires_grad_() for shape in shapes.values()]
    target = torch.randint(0, V, (N,), generator=gen)
    target[-2:] = 0  # PAD
    ours = last_stretch(*tensors, target, kernels=True)
    theirs = last_stretch(*tensors, target, kernels=False)
    print(f"loss: {ours.item():.6f} with your kernels, {theirs.item():.6f} with torch")
    pairs = zip(shapes, torch.autograd.grad(ours, tensors), torch.autograd.grad(theirs, tensors))
    for name, mine, torchs in pairs:
        gap = ((mine - torchs).abs().max() / torchs.abs().max()).item()
        print(f"gradient of {name:11s} largest difference, relative to its largest number: {gap:.1e}")
