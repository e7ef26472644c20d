"""What a right answer is, for the kernel exercises of unit 04.

Expected values come from torch's own rms_norm and cross_entropy on float64 copies, rounded once; gradients from
autograd on them. The bytes that have to move are those of the kernel problems of the same names.
"""

import torch
from torch import nn

from autograder import oracle
from autograder.checks import Check
from grader_kernels import problem

HALF, BRAIN = torch.float16, torch.bfloat16

# kernels --------------------------------------------------------------------------------------------------------------


def norm_inputs(trial, rows, columns, matrices=1, dtype=torch.float32, **spread):
    """`matrices` tensors (rows, columns), and a weight near 1."""
    made = [trial.normal((rows, columns), dtype=dtype, **spread) for _ in range(matrices)]
    return *made, trial.normal((columns,), mean=1, dtype=dtype)


def normed(x, weight, eps=1e-6):
    return nn.functional.rms_norm(x.double(), x.shape[-1:], weight.double(), eps).to(x.dtype)


norm_forward = Check(
    "rmsnorm_forward",
    hints=(
        "One program for each row, grid (R,). Load the row into BLOCK lanes, 0 in the lanes past its end, convert to "
        "float32, and divide the sum of the squares by n_cols, not by BLOCK.",
        "tl.sum(x * x, axis=0) is the sum over the row; eps comes to its mean before tl.sqrt. Store at "
        "row * n_cols + columns, masked by columns < n_cols.",
    ),
    kind="launcher",
    minutes=20,
    seconds=30.0,
)


@norm_forward.case("rows of a power of two")
def _(subject, trial):
    x, weight = norm_inputs(trial, 5, 32)
    trial.close(subject.launch(x, weight), normed(x, weight))


@norm_forward.case("rows of any length", weight=3)
def _(subject, trial):
    for rows, columns in ((6, 75), (3, 65)):
        x, weight = norm_inputs(trial, rows, columns)
        trial.close(subject.launch(x, weight), normed(x, weight))


@norm_forward.case("numbers far from zero, of another size in each row")
def _(subject, trial):
    x, weight = norm_inputs(trial, 4, 50, mean=30)
    x *= torch.tensor([[1.0], [0.1], [-3.0], [20.0]])
    trial.close(subject.launch(x, weight), normed(x, weight))


@norm_forward.case("numbers so small that eps decides", weight=2)
def _(subject, trial):
    x, weight = norm_inputs(trial, 4, 47, spread=0.01)
    trial.close(subject.launch(x, weight, eps=1e-3), normed(x, weight, 1e-3))
    trial.close(subject.launch(x * 0.1, weight), normed(x * 0.1, weight))


@norm_forward.case("a row of zeros stays a row of zeros")
def _(subject, trial):
    x, weight = norm_inputs(trial, 5, 45)
    x[trial.integers(0, 5)] = 0
    trial.close(subject.launch(x, weight), normed(x, weight))


@norm_forward.case("any strides, without a copy", weight=3)
def _(subject, trial):
    x, weight = norm_inputs(trial, 6, 41)
    for layout in ("transposed", "every_other"):
        got = subject.launch(trial.strided(x, layout), weight)
        trial.close(got, normed(x, weight), f"strides: {layout.replace('_', ' ')}")
        trial.lean(subject, problem.load("rmsnorm_forward").floor(x, weight))


@norm_forward.case("float16 numbers near 400 are squared and added in float32", weight=2)
def _(subject, trial):
    x, weight = norm_inputs(trial, 3, 200, mean=400, dtype=HALF)
    trial.close(subject.launch(x, weight), normed(x, weight))


@norm_forward.case("every row is read once and written once", weight=3)
def _(subject, trial):
    x, weight = norm_inputs(trial, 4, 300)
    trial.close(subject.launch(x, weight), normed(x, weight))
    trial.lean(subject, problem.load("rmsnorm_forward").floor(x, weight))


@norm_forward.case("compiles for real GPUs: an A100 (sm_80) and an H100 (sm_90)")
def _(subject, trial):
    x, weight = norm_inputs(trial, 9, 512)
    trial.close(subject.launch(x, weight), normed(x, weight))
    trial.compiles(subject)


@norm_forward.trial("right for other shapes, types and layouts", weight=2)
def _(subject, trial):
    for shape, dtype in (((1, 1), torch.float32), ((11, 33), torch.float32), ((2, 1500), BRAIN), ((7, 16), HALF)):
        x, weight = norm_inputs(trial, *shape, dtype=dtype)
        trial.close(subject.launch(x, weight), normed(x, weight))
    x, weight = norm_inputs(trial, 5, 38, spread=4)
    trial.close(subject.launch(trial.strided(x, "offset"), weight, 0.5), normed(x, weight, 0.5))


norm_backward = Check(
    "rmsnorm_backward",
    hints=(
        "Program p takes rows p, p + P, p + 2P ... of P = tl.num_programs(0): range(p, n_rows, P) leaves none out. It "
        "keeps a tl.zeros((BLOCK,), tl.float32) and adds dy * x * r of each of its rows.",
        "The mean in dx is one tl.sum(..., axis=0) / n_cols of dy * weight * x * r. Store the partial sums at "
        "p * n_cols + columns of a (programs, C) float32 tensor; a second kernel adds up its rows, BLOCK columns at a "
        "time.",
    ),
    kind="launcher",
    minutes=50,
    seconds=30.0,
)


def pulled_back(dy, x, weight, eps=1e-6):
    """dx, dweight: autograd through torch's rms_norm in float64, rounded once."""
    return oracle.gradients(lambda x, w: nn.functional.rms_norm(x, x.shape[-1:], w, eps), (x, weight), (dy,))[1]


@norm_backward.case("one row, one program")
def _(subject, trial):
    given = norm_inputs(trial, 1, 64, matrices=2)
    trial.close(subject.launch(*given, programs=1), pulled_back(*given), condition=4)


@norm_backward.case("rows shared with a remainder, columns of any number", weight=3)
def _(subject, trial):
    given = norm_inputs(trial, 11, 75, matrices=2)
    trial.close(subject.launch(*given, programs=4), pulled_back(*given), condition=4)


@norm_backward.case("more programs than rows, and the default number of programs", weight=2)
def _(subject, trial):
    given = norm_inputs(trial, 3, 33, matrices=2)
    trial.close(subject.launch(*given, programs=5), pulled_back(*given), condition=4)
    trial.close(subject.launch(*given), pulled_back(*given), condition=4)


@norm_backward.case("a row of zeros, and an eps that decides", weight=2)
def _(subject, trial):
    dy, x, weight = norm_inputs(trial, 5, 45, matrices=2)
    x[trial.integers(0, 5)] = 0
    got = subject.launch(dy, x, weight, eps=0.3, programs=2)
    trial.close(got, pulled_back(dy, x, weight, 0.3), condition=4)


@norm_backward.case("small numbers: the default eps is 1e-6")
def _(subject, trial):
    dy, x, weight = norm_inputs(trial, 4, 21, matrices=2)
    trial.close(subject.launch(dy, x * 1e-3, weight), pulled_back(dy, x * 1e-3, weight), condition=4)


@norm_backward.case("dy and x each have strides of their own", weight=3)
def _(subject, trial):
    dy, x, weight = norm_inputs(trial, 6, 40, matrices=2)
    for a, b in (("transposed", "every_other"), ("every_other", "transposed")):
        got = subject.launch(trial.strided(dy, a), trial.strided(x, b), weight, programs=3)
        trial.close(got, pulled_back(dy, x, weight), f"dy is {a.replace('_', ' ')}", condition=4)


@norm_backward.case("bfloat16: small shares between two large ones are not lost", weight=4)
def _(subject, trial):
    dy, x, weight = norm_inputs(trial, 22, 9, matrices=2, dtype=BRAIN)
    dy *= 0.3
    dy[0], dy[-1], x[0], x[-1] = 512, -512, 1, 1  # a bfloat16 sum of 512 swallows what is smaller than 2
    for programs in (1, 22):
        got = subject.launch(dy, x, weight, programs=programs)
        trial.close(got, pulled_back(dy, x, weight), f"programs={programs}: a share was rounded away")


@norm_backward.case("float16, x near 400")
def _(subject, trial):
    dy, x, weight = norm_inputs(trial, 6, 50, matrices=2, dtype=HALF)
    x += 400
    trial.close(subject.launch(dy, x, weight, programs=2), pulled_back(dy, x, weight))


@norm_backward.case("every row of dy and x is read once; only partial sums travel twice", weight=4)
def _(subject, trial):
    given = norm_inputs(trial, 48, 64, matrices=2)
    trial.close(subject.launch(*given, programs=2), pulled_back(*given), condition=4)
    trial.lean(subject, problem.load("rmsnorm_backward").floor(*given), slack=1.04, launches=2)


@norm_backward.case("float32 partial sums of float16 rows: never more bytes than the rows")
def _(subject, trial):
    given = norm_inputs(trial, 30, 33, matrices=2, dtype=HALF)
    trial.close(subject.launch(*given, programs=2), pulled_back(*given))
    trial.lean(subject, problem.load("rmsnorm_backward").floor(*given), slack=1.9, launches=2)


@norm_backward.case("compiles for real GPUs: an A100 (sm_80) and an H100 (sm_90)")
def _(subject, trial):
    given = norm_inputs(trial, 3, 300, matrices=2)
    trial.close(subject.launch(*given, programs=2), pulled_back(*given), condition=4)
    trial.compiles(subject)


@norm_backward.trial("right for other shapes and numbers of programs", weight=2)
def _(subject, trial):
    for rows, columns, programs in ((1, 1, 1), (7, 129, 2), (9, 5, 3), (2, 17, 6)):
        given = norm_inputs(trial, rows, columns, matrices=2)
        trial.close(subject.launch(*given, eps=0.5, programs=programs), pulled_back(*given, 0.5), condition=4)


@norm_backward.trial("without eps, dx has nothing along x, and a longer x gets a smaller dx")
def _(subject, trial):
    dy, x, weight = norm_inputs(trial, 4, 23, matrices=2)
    dx, _ = subject.launch(dy, x, weight, eps=0.0, programs=2)
    along = (dx.double() * x.double()).sum(1).abs().max().item()
    trial.between(along, 0.0, 1e-4, "the dot product of dx and x in each row should be 0")
    longer, dweight = subject.launch(dy, 3 * x, weight, eps=0.0, programs=2)
    trial.close(longer, pulled_back(dy, 3 * x, weight, 0.0)[0], condition=4)
    trial.close(dweight, pulled_back(dy, x, weight, 0.0)[1], "a longer x leaves dweight as it is", condition=4)


fused_norm = Check(
    "residual_rmsnorm",
    hints=(
        "Load both rows, each with its own strides, and add them in float32. From here on it is rmsnorm_forward, with "
        "the sum in the place of x.",
        "Two stores, one into each result: the normalised sum first, the sum itself second. Both results are new; the "
        "residual that came in is only read.",
    ),
    kind="launcher",
    minutes=15,
    seconds=30.0,
)


def added_and_normed(x, residual, weight, eps=1e-6):
    total = x.double() + residual.double()
    return normed(total, weight, eps).to(x.dtype), total.to(x.dtype)


@fused_norm.case("rows of a power of two")
def _(subject, trial):
    given = norm_inputs(trial, 5, 64, matrices=2)
    trial.close(subject.launch(*given), added_and_normed(*given))


@fused_norm.case("rows of any length", weight=3)
def _(subject, trial):
    for rows, columns in ((6, 75), (3, 65)):
        given = norm_inputs(trial, rows, columns, matrices=2)
        trial.close(subject.launch(*given), added_and_normed(*given))


@fused_norm.case("a row that cancels is zero in both results")
def _(subject, trial):
    x, residual, weight = norm_inputs(trial, 5, 45, matrices=2)
    row = trial.integers(0, 5)
    residual[row] = -x[row]
    trial.close(subject.launch(x, residual, weight), added_and_normed(x, residual, weight))


@fused_norm.case("numbers so small that eps decides", weight=2)
def _(subject, trial):
    x, residual, weight = norm_inputs(trial, 4, 47, matrices=2, spread=0.01)
    trial.close(subject.launch(x, residual, weight, eps=1e-3), added_and_normed(x, residual, weight, 1e-3))
    x, residual = x * 0.1, residual * 0.1
    trial.close(subject.launch(x, residual, weight), added_and_normed(x, residual, weight))


@fused_norm.case("x and residual each have strides of their own", weight=2)
def _(subject, trial):
    x, residual, weight = norm_inputs(trial, 6, 40, matrices=2)
    for a, b in (("every_other", "transposed"), ("transposed", "every_other")):
        got = subject.launch(trial.strided(x, a), trial.strided(residual, b), weight)
        trial.close(got, added_and_normed(x, residual, weight), f"x is {a.replace('_', ' ')}")


@fused_norm.case("float16, numbers near 200", weight=2)
def _(subject, trial):
    given = norm_inputs(trial, 3, 200, matrices=2, mean=200, dtype=HALF)
    trial.close(subject.launch(*given), added_and_normed(*given), condition=1.3)


@fused_norm.case("one launch: both inputs are read once, both results written once", weight=4)
def _(subject, trial):
    given = norm_inputs(trial, 4, 150, matrices=2)
    trial.close(subject.launch(*given), added_and_normed(*given))
    trial.lean(subject, problem.load("residual_rmsnorm").floor(*given))


@fused_norm.case("compiles for real GPUs: an A100 (sm_80) and an H100 (sm_90)")
def _(subject, trial):
    given = norm_inputs(trial, 6, 256, matrices=2)
    trial.close(subject.launch(*given), added_and_normed(*given))
    trial.compiles(subject)


@fused_norm.trial("right for other shapes, types and layouts", weight=2)
def _(subject, trial):
    for shape, dtype in (((1, 1), torch.float32), ((11, 33), torch.float32), ((2, 1500), BRAIN), ((7, 16), HALF)):
        given = norm_inputs(trial, *shape, matrices=2, dtype=dtype)
        trial.close(subject.launch(*given), added_and_normed(*given), condition=1.3)
    x, residual, weight = norm_inputs(trial, 5, 38, matrices=2, spread=4)
    got = subject.launch(trial.strided(x, "offset"), residual, weight, 0.5)
    trial.close(got, added_and_normed(x, residual, weight, 0.5))


entropy = Check(
    "cross_entropy",
    hints=(
        "One program for each row. First walk: a running maximum, a running sum that is multiplied by "
        "exp(old maximum - new maximum) before a block is added, and the logit at the target, found with "
        "tl.where(at == target, x, 0).",
        "The loss is largest + log(total) - logit at the target. Second walk: exp(x - largest) / total, minus 1 where "
        "at == target. Multiply both by 0 in an ignored row. When V fits in BLOCK keep the row instead of loading it "
        "again.",
    ),
    kind="launcher",
    minutes=45,
    seconds=30.0,
)


def loss_and_gradient(logits, target, ignore=-100):
    """(loss (N,) float32, grad (N, V)): torch's cross_entropy in float64, and its gradient, rounded once."""
    wide = logits.detach().double().requires_grad_()
    loss = nn.functional.cross_entropy(wide, target, ignore_index=ignore, reduction="none")
    (grad,) = torch.autograd.grad(loss.sum(), wide)
    return loss.detach().float(), grad.to(logits.dtype)


def logits_and_targets(trial, rows, classes, spread=3.0, dtype=torch.float32):
    return trial.normal((rows, classes), spread=spread, dtype=dtype), trial.integers(0, classes, (rows,))


@entropy.case("rows that fill a block exactly, and are read once")
def _(subject, trial):
    logits, target = logits_and_targets(trial, 4, 64)
    trial.close(subject.launch(logits, target, block=64), loss_and_gradient(logits, target), condition=12)
    trial.lean(subject, problem.load("cross_entropy").floor(logits, target))


@entropy.case("rows wider than a block, with a ragged tail", weight=3)
def _(subject, trial):
    logits, target = logits_and_targets(trial, 5, 75)
    trial.close(subject.launch(logits, target, block=16), loss_and_gradient(logits, target), condition=12)


@entropy.case("rows narrower than a block, negative everywhere")
def _(subject, trial):
    logits, target = logits_and_targets(trial, 6, 13)
    logits -= 40
    trial.close(subject.launch(logits, target, block=32), loss_and_gradient(logits, target), condition=40)


@entropy.case("the maximum stands in the last block")
def _(subject, trial):
    logits, target = logits_and_targets(trial, 3, 75, spread=1)
    logits[:, 70] = 9.0
    target[0] = 74
    trial.close(subject.launch(logits, target, block=16), loss_and_gradient(logits, target), condition=10)


@entropy.case("rows near -500 and near 300", weight=4)
def _(subject, trial):
    logits, target = logits_and_targets(trial, 4, 50)
    logits += torch.tensor([[-500.0], [300.0], [-90.0], [0.0]])
    expected = loss_and_gradient(logits, target)
    for block in (64, 16):
        trial.close(subject.launch(logits, target, block=block), expected, condition=100)


@entropy.case("ignored rows have loss 0 and gradient 0", weight=3)
def _(subject, trial):
    logits, target = logits_and_targets(trial, 6, 41)
    target[[1, 4]] = -100
    for block in (64, 16):
        trial.close(subject.launch(logits, target, block=block), loss_and_gradient(logits, target), condition=12)


@entropy.case("padding, token 0, is ignored; a batch of nothing else too", weight=2)
def _(subject, trial):
    logits, target = logits_and_targets(trial, 5, 20)
    target = target.clamp(min=1)
    target[[0, 3]] = 0
    expected = loss_and_gradient(logits, target, 0)
    trial.close(subject.launch(logits, target, block=32, ignore=0), expected, condition=12)
    nothing = torch.zeros(5, dtype=torch.int64)
    trial.close(subject.launch(logits, nothing, block=8, ignore=0), loss_and_gradient(logits, nothing, 0))


@entropy.case("any strides of the logits", weight=2)
def _(subject, trial):
    logits, target = logits_and_targets(trial, 5, 37)
    for layout in ("transposed", "every_other"):
        got = subject.launch(trial.strided(logits, layout), target, block=16)
        trial.close(got, loss_and_gradient(logits, target), f"strides: {layout.replace('_', ' ')}", condition=12)


@entropy.case("float16 logits: a float32 sum, and a float32 loss")
def _(subject, trial):
    logits = torch.full((1, 2000), -7.63, dtype=HALF)  # 16 large terms, then blocks too small for a float16 sum
    logits[:, :16] = 0.0
    trial.close(subject.launch(logits, torch.tensor([3]), block=16), loss_and_gradient(logits, torch.tensor([3])))


@entropy.case("a row that fits in a block is read once, its gradient written once", weight=2)
def _(subject, trial):
    logits, target = logits_and_targets(trial, 3, 100)
    trial.close(subject.launch(logits, target, block=128), loss_and_gradient(logits, target), condition=12)
    trial.lean(subject, problem.load("cross_entropy").floor(logits, target))


@entropy.case("a wider row is read twice", weight=3)
def _(subject, trial):
    logits, target = logits_and_targets(trial, 3, 201)
    trial.close(subject.launch(logits, target, block=64), loss_and_gradient(logits, target), condition=12)
    trial.lean(subject, problem.load("cross_entropy").floor(logits, target), slack=1.5)


@entropy.case("compiles for real GPUs: an A100 (sm_80) and an H100 (sm_90)")
def _(subject, trial):
    logits, target = logits_and_targets(trial, 2, 600)
    trial.close(subject.launch(logits, target), loss_and_gradient(logits, target), condition=12)
    trial.compiles(subject)


@entropy.trial("right for other shapes, blocks and types", weight=2)
def _(subject, trial):
    for rows, classes, block in ((1, 1, 16), (3, 33, 32), (2, 129, 64), (7, 5, 128)):
        logits, target = logits_and_targets(trial, rows, classes, spread=5)
        trial.close(subject.launch(logits, target, block), loss_and_gradient(logits, target), condition=20)
    for dtype in (HALF, BRAIN):
        logits, target = logits_and_targets(trial, 4, 70, dtype=dtype)
        loss, grad = subject.launch(logits, target, block=32)
        trial.close(loss, loss_and_gradient(logits, target)[0], condition=12)
        trial.close(grad, loss_and_gradient(logits, target)[1])


@entropy.trial("the gradient of every row that counts sums to 0, and is negative at its target only")
def _(subject, trial):
    logits, target = logits_and_targets(trial, 6, 29)
    target[2] = -5
    _, grad = subject.launch(logits, target, block=16, ignore=-5)
    trial.between(grad.double().sum(1).abs().max().item(), 0.0, 1e-5, "each row of the gradient should sum to 0")
    one_hot = torch.arange(29) == target[:, None]
    trial.true(torch.equal(grad < 0, one_hot), "the gradient should be negative at the target, and nowhere else")
