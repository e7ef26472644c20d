"""What a right answer is, for every exercise of unit 01.

Recurrent cells are compared with torch's own, in float64 and rounded once; all widths of an input differ, and where
two are the same it is to let a wrong answer run that would otherwise only raise. Gates are fed numbers several units
large, so that a sigmoid is not a straight line.
"""

import math

import torch

from autograder.authoring import oracle
from autograder.authoring.checks import Check, Kernel

INF = math.inf


def recurrent_inputs(trial, B, I, H, gates=1, biases=1, spread=1.0):
    """x (B, I), h (B, H), w_x (gates H, I), w_h (gates H, H) and the biases (gates H,)."""
    x, h = trial.normal((B, I), (B, H), spread=spread)
    w_x, w_h = trial.normal((gates * H, I), (gates * H, H), spread=1.2 / math.sqrt(H))
    return x, h, w_x, w_h, *(trial.normal((gates * H,), spread=0.7) for _ in range(biases))


def compare_gradients(trial, grads, expected, names, condition):
    """Each gradient under the name of the argument it belongs to."""
    for got, want, name in zip(grads, expected, names.split(), strict=True):
        trial.close(got, want, f"the gradient of {name} is wrong", condition=condition)


def torch_cell(kind, w_x, w_h, b_x, b_h=None):
    """torch's RNNCell, LSTMCell or GRUCell in float64 with these weights."""
    width = w_h.shape[1]
    cell = kind(w_x.shape[1], width, dtype=torch.float64)
    zeros = torch.zeros_like(b_x)
    weights = {"weight_ih": w_x, "weight_hh": w_h, "bias_ih": b_x, "bias_hh": zeros if b_h is None else b_h}
    cell.load_state_dict(weights)
    return cell


# ----------------------------------------------------------------------------------------------------------------------

rnn_step = Check(
    "rnn_step",
    hints=(
        "Write the shapes beside each other: (B, I), (H, I), (B, H), (H, H), (H,). Which sizes must meet in a product?",
        "Two matrix products and a bias are added up, and tanh is applied to the sum.",
        "w_x is (H, I) and x is (B, I): the product is x @ w_x.T. The same for h and w_h.",
    ),
    forbids=("recurrence",),
)


def expected_step(x, h, w_x, w_h, b):
    """torch's RNNCell."""
    return torch_cell(torch.nn.RNNCell, w_x, w_h, b)(x.double(), h.double()).detach().to(x.dtype)


@rnn_step.case("tanh of both products and the bias", weight=2)
def _(subject, trial):
    inputs = recurrent_inputs(trial, 3, 5, 7)
    trial.close(subject(*inputs), expected_step(*inputs), condition=4)


@rnn_step.case("weights are (out, in), also where everything has the same width", weight=2)
def _(subject, trial):
    inputs = recurrent_inputs(trial, 6, 6, 6)
    trial.close(subject(*inputs), expected_step(*inputs), condition=4)


@rnn_step.case("large inputs: the state stays between -1 and 1")
def _(subject, trial):
    inputs = recurrent_inputs(trial, 4, 3, 5, spread=9)
    trial.close(subject(*inputs), expected_step(*inputs), condition=40)


@rnn_step.case("gradients reach the input, the state and all weights")
def _(subject, trial):
    inputs, cotangent = recurrent_inputs(trial, 3, 4, 5), trial.normal((3, 5))
    _, grads = subject.grad(*inputs, cotangents=(cotangent,), wrt=(0, 1, 2, 3, 4))
    x, h, w_x, w_h, b = inputs
    expected = oracle.gradients(
        lambda x, h, w_x, w_h, b: torch.rnn_tanh_cell(x, h, w_x, w_h, b, torch.zeros_like(b)), inputs, (cotangent,)
    )
    compare_gradients(trial, grads, expected[1], "x h w_x w_h b", condition=8)


@rnn_step.case("sums in the hundreds: the state is 1 or -1, and never NaN")
def _(subject, trial):
    inputs = recurrent_inputs(trial, 4, 3, 5, spread=200)
    trial.close(subject(*inputs), expected_step(*inputs), condition=1000)


@rnn_step.case("one row, one unit, float64")
def _(subject, trial):
    for sizes in ((1, 1, 1), (1, 9, 2), (8, 2, 3)):
        inputs = tuple(t.double() for t in recurrent_inputs(trial, *sizes))
        trial.close(subject(*inputs), expected_step(*inputs), condition=8)


# ----------------------------------------------------------------------------------------------------------------------

rnn_forward = Check(
    "rnn_forward",
    hints=(
        "Take it in two parts: first all states, as if there were no padding; then one state for each row.",
        "Loop over t, hand rnn_step the column x[:, t] and the state of the step before, and keep every state.",
        "torch.stack(states, dim=1) gives (B, T, H). Row i of `last` is states[i, lengths[i] - 1]: index with "
        "torch.arange(B) and lengths - 1.",
    ),
    forbids=("recurrence",),
)


def sequence_inputs(trial, B, T, I, H):
    """x (B, T, I), h (B, H), w_x, w_h, b; the state keeps moving for many steps."""
    (x, h), (_, _, w_x, w_h, b) = trial.normal((B, T, I), (B, H)), recurrent_inputs(trial, B, I, H)
    return x, h, w_x, w_h, b


def run_all(x, h, w_x, w_h, b, lengths=None):
    """torch's RNN over the whole sequence; differentiable. The last state is picked row by row."""
    layer = [w_x, w_h, b, torch.zeros_like(b)]
    states, _ = torch.rnn_tanh(x, h[None], layer, True, 1, 0.0, False, False, True)
    ends = [x.shape[1]] * len(x) if lengths is None else lengths.tolist()
    return states, torch.stack([states[row, end - 1] for row, end in enumerate(ends)])


def expected_run(x, h, w_x, w_h, b, lengths=None):
    wide = run_all(*(t.double() for t in (x, h, w_x, w_h, b)), lengths)
    return tuple(t.to(x.dtype) for t in wide)


@rnn_forward.case("every state, in order, and the last one", weight=2)
def _(subject, trial):
    inputs = sequence_inputs(trial, 3, 6, 4, 5)
    trial.close(subject(*inputs), expected_run(*inputs), condition=16)


@rnn_forward.case("batch and time are not confused, also when they are equally long")
def _(subject, trial):
    inputs = sequence_inputs(trial, 5, 5, 4, 3)
    trial.close(subject(*inputs), expected_run(*inputs), condition=16)


@rnn_forward.case("padded rows: the last state is the one after the last real input", weight=2)
def _(subject, trial):
    inputs, lengths = sequence_inputs(trial, 4, 7, 3, 5), torch.tensor([7, 2, 5, 1])
    trial.close(subject(*inputs, lengths), expected_run(*inputs, lengths), condition=16)


@rnn_forward.case("one time step")
def _(subject, trial):
    inputs = sequence_inputs(trial, 3, 1, 2, 4)
    trial.close(subject(*inputs), expected_run(*inputs), condition=8)


@rnn_forward.case("gradients flow through all steps to the first state")
def _(subject, trial):
    inputs = sequence_inputs(trial, 2, 6, 3, 4)
    for cotangents in ((None, trial.normal((2, 4))), (trial.normal((2, 6, 4)), None)):
        _, grads = subject.grad(*inputs, cotangents=cotangents, wrt=(0, 1, 2, 3, 4))
        compare_gradients(trial, grads, oracle.gradients(run_all, inputs, cotangents)[1], "x h w_x w_h b", condition=64)


@rnn_forward.case("what stands in the padding does not change the last state")
def _(subject, trial):
    x, *others = sequence_inputs(trial, 3, 6, 3, 4)
    lengths = torch.tensor([3, 6, 1])
    expected = expected_run(x, *others, lengths)[1]
    x[0, 3:], x[2, 1:] = 50.0, -50.0
    trial.close(subject(x, *others, lengths=lengths)[1], expected, condition=16)


@rnn_forward.case("right for other sizes and random lengths")
def _(subject, trial):
    for B, T, I, H in ((1, 9, 2, 3), (6, 4, 1, 2), (2, 12, 5, 1)):
        inputs, lengths = sequence_inputs(trial, B, T, I, H), trial.integers(1, T + 1, (B,))
        trial.close(subject(*inputs, lengths), expected_run(*inputs, lengths), condition=40)


# ----------------------------------------------------------------------------------------------------------------------

norms = Check(
    "gradient_norms_through_time",
    hints=(
        "The equation above goes one step back. Where does the walk start, and at which states does it stop?",
        "Start with last_grad and walk back: to get from h_t to h_(t-1), multiply by the derivative of tanh at h_t, "
        "then by the transposed W_h. Note the norm at every stop.",
        "grad = w_h.T @ ((1 - states[t] ** 2) * grad) for t = T-1 down to 1, counting from 0. You collected the norms "
        "from the end: turn the list round.",
    ),
)


def walk(trial, T, H, radius=1.0, push=0.4, dtype=torch.float32):
    """states (T, H) of a random recurrent network, w_h (H, H) and last_grad (H,)."""
    w_h = radius * trial.normal((H, H)).to(dtype) / math.sqrt(H)
    state, states = torch.zeros(H, dtype=dtype), []
    for x in trial.normal((T, H), spread=push).to(dtype):
        state = torch.tanh(w_h @ state + x)
        states.append(state)
    return torch.stack(states), w_h, trial.normal((H,), dtype=dtype)


def norms_by_autograd(states, w_h, last_grad):
    """Run the same sequence again in float64 and let autograd walk back."""
    wide, w = states.double(), w_h.double()
    pushes = torch.atanh(wide)
    pushes[1:] = pushes[1:] - wide[:-1] @ w.T  # what was added to W h at each step
    h, visited = torch.zeros(len(w), dtype=torch.float64), []
    for t, push in enumerate(pushes):
        h = torch.tanh(push + (w @ h if t else 0.0)).requires_grad_()
        visited.append(h)
    grads = torch.autograd.grad(h, visited, last_grad.double())
    return torch.stack([g.norm() for g in grads]).to(states.dtype)


def compare_norms(subject, trial, inputs):
    """Each norm against its own size: far back they are tiny, and a common tolerance would not see them."""
    got, expected = subject(*inputs), norms_by_autograd(*inputs)
    trial.close(got, expected, condition=16)
    for t in range(len(expected)):
        trial.close(got[t], expected[t], condition=32)


@norms.case("the norm at every state, the first state first", weight=2)
def _(subject, trial):
    compare_norms(subject, trial, walk(trial, 6, 5))


@norms.case("a small matrix: the gradient vanishes on the way back", weight=2)
def _(subject, trial):
    compare_norms(subject, trial, walk(trial, 12, 7, radius=0.5))
    states, last_grad = trial.uniform((24, 5), low=-0.2, high=0.2), trial.normal((5,))  # slopes of tanh near 1
    turned = 0.3 * torch.linalg.qr(trial.normal((5, 5)))[0]  # every step shrinks alike: below 1e-12, not below 1e-19
    compare_norms(subject, trial, (states, turned, last_grad))


@norms.case("a large matrix and small states: the gradient explodes")
def _(subject, trial):
    compare_norms(subject, trial, walk(trial, 9, 6, radius=2.0, push=0.02))


@norms.case("one state: nothing to walk")
def _(subject, trial):
    compare_norms(subject, trial, walk(trial, 1, 4))


@norms.case("two states: one step back")
def _(subject, trial):
    compare_norms(subject, trial, walk(trial, 2, 3))


@norms.trial("over 50 steps: down by more than 10 below a radius of one, up by more than 10 above it")
def _(subject, trial):
    for radius, sign in ((0.8, -1), (1.3, 1)):
        w_h = trial.normal((12, 12))
        w_h *= radius / torch.linalg.eigvals(w_h).abs().max()
        states, w_h, last_grad = 1e-6 * trial.normal((51, 12)), w_h, trial.normal((12,))
        got = subject(states, w_h, last_grad).tolist()
        trial.true(sign * math.log10(got[0] / got[-1]) > 1, f"a spectral radius of {radius} has the wrong effect")


@norms.case("right in float64 and for other sizes")
def _(subject, trial):
    for T, H in ((3, 1), (15, 2), (4, 11)):
        compare_norms(subject, trial, walk(trial, T, H, dtype=torch.float64))


# ----------------------------------------------------------------------------------------------------------------------

clip = Check(
    "clip_gradient_norm",
    hints=(
        "One norm for everything: the root of the sum of all squares of all tensors. Then one factor for everything.",
        "The factor is max_norm / norm, but never more than 1: clipping does not enlarge. Beware of a norm of 0.",
    ),
)


def expected_clip(grads, max_norm):
    """Python's hypot over all numbers; the factor is 1 where nothing has to be clipped."""
    norm = math.hypot(*(x for g in grads for x in g.double().flatten().tolist()))
    factor = max_norm / norm if norm > max_norm else 1.0
    dtype = grads[0].dtype
    return [(g.double() * factor).to(dtype) for g in grads], torch.tensor(norm, dtype=torch.float64).to(dtype)


def compare_clip(trial, got, expected, condition=1.0):
    """The clipped tensors, and the norm as a number of any dtype: that is a case of its own."""
    trial.close(got[0], expected[0], condition=condition)
    norm, far = float(expected[1]), 64 * 2.0**-24 * condition
    trial.between(got[1], norm * (1 - far), norm * (1 + far), "the norm before clipping")


@clip.case("two tensors, one large and one small: both shrink by the same factor", weight=2)
def _(subject, trial):
    grads = trial.normal((3, 4), spread=5), trial.normal((7,), spread=0.1)
    expected = expected_clip(grads, 1.0)
    got = subject(*grads, max_norm=1.0)
    trial.close(got[0][1], expected[0][1], "the small one must shrink as much as the large one", condition=2)
    compare_clip(trial, got, expected, condition=2)


@clip.case("a norm below the limit: nothing changes", weight=2)
def _(subject, trial):
    grads = trial.normal((2, 3), (5,), (1, 1, 2), spread=0.1)
    compare_clip(trial, subject(*grads, max_norm=4.0), expected_clip(grads, 4.0), condition=2)


@clip.case("a single tensor, another limit")
def _(subject, trial):
    grads = (trial.normal((4, 2, 3), spread=3),)
    compare_clip(trial, subject(*grads, max_norm=2.5), expected_clip(grads, 2.5), condition=2)


@clip.case("all gradients zero stay zero")
def _(subject, trial):
    grads = torch.zeros(3), torch.zeros(2, 2)
    compare_clip(trial, subject(*grads, max_norm=1.0), expected_clip(grads, 1.0))


@clip.case("the norm is a tensor of the gradients' dtype")
def _(subject, trial):
    grads = trial.normal((3,), (2, 2), spread=3)
    trial.close(subject(*grads, max_norm=1.5)[1], expected_clip(grads, 1.5)[1], condition=2)


@clip.case("float64 stays float64, a number without dimensions is a tensor too")
def _(subject, trial):
    grads = trial.normal((3, 4), (), (2,), spread=4, dtype=torch.float64)
    trial.close(subject(*grads, max_norm=1.5), expected_clip(grads, 1.5), condition=1e8)  # torch adds 1e-6 to the norm


@clip.case("just above and just below the limit, tensors of any shape")
def _(subject, trial):
    for factor in (0.6, 0.98, 1.02, 40.0):
        grads = trial.normal((6, 5), (1, 3), (2, 2, 2), spread=2)
        limit = float(torch.cat([g.flatten() for g in grads]).norm()) * factor
        compare_clip(trial, subject(*grads, max_norm=limit), expected_clip(grads, limit), condition=4)


@clip.trial("equals torch's clip_grad_norm_ in float64, direction and all")
def _(subject, trial):
    grads = trial.normal((4, 4), (9,), spread=7, dtype=torch.float64)
    leaves = [torch.zeros_like(g).requires_grad_() for g in grads]
    for leaf, grad in zip(leaves, grads, strict=True):
        leaf.grad = grad.clone()
    norm = torch.nn.utils.clip_grad_norm_(leaves, 3.0)
    got, told = subject(*grads, max_norm=3.0)
    trial.close(told, norm)
    flat, theirs = torch.cat([g.flatten() for g in got]), torch.cat([leaf.grad.flatten() for leaf in leaves])
    trial.close(flat.float(), theirs.float(), condition=2)  # torch adds 1e-6 to the norm it divides by


# ----------------------------------------------------------------------------------------------------------------------

lstm = Check(
    "lstm_step",
    hints=(
        "Write out what each unit needs: four sums, which of them pass a sigmoid, and in which block each stands.",
        "Compute all 4H sums at once and cut them into four blocks: (x @ w_x.T + h @ w_h.T + b).chunk(4, dim=-1).",
        "i, f, g, o in this order; sigmoid for i, f, o and tanh for g. The new cell is f * c + i * g, the new state "
        "o * tanh of the NEW cell.",
    ),
    forbids=("recurrence",),
)


def lstm_inputs(trial, B, I, H, spread=1.0):
    x, h, w_x, w_h, b = recurrent_inputs(trial, B, I, H, gates=4, spread=spread)
    return x, h, trial.normal((B, H), spread=1.5), w_x, w_h, b


def lstm_formula(x, h, c, w_x, w_h, b):
    """torch's own cell; differentiable."""
    return torch.lstm_cell(x, (h, c), w_x, w_h, b, torch.zeros_like(b))


def expected_lstm(*inputs):
    return tuple(t.to(inputs[0].dtype) for t in lstm_formula(*(t.double() for t in inputs)))


@lstm.case("state and cell after a step, gates in the order i, f, g, o", weight=3)
def _(subject, trial):
    inputs = lstm_inputs(trial, 3, 5, 4)
    trial.close(subject(*inputs), expected_lstm(*inputs), condition=8)


@lstm.case("weights are (out, in), also where everything has the same width")
def _(subject, trial):
    inputs = lstm_inputs(trial, 4, 4, 4)
    trial.close(subject(*inputs), expected_lstm(*inputs), condition=8)


@lstm.case("a large cell stays large; the state that shows it stays below one", weight=2)
def _(subject, trial):
    x, h, c, *weights = lstm_inputs(trial, 3, 2, 5)
    large = 200 * c
    large[:, 0] = c[:, 0] / 4  # of the others the state shows the sign alone
    inputs = x, h, large, *weights
    trial.close(subject(*inputs), expected_lstm(*inputs), condition=8)


@lstm.case("sums in the hundreds: gates are open or shut, and nothing is NaN")
def _(subject, trial):
    inputs = lstm_inputs(trial, 4, 3, 5, spread=200)
    trial.close(subject(*inputs), expected_lstm(*inputs), condition=1000)


@lstm.case("gradients reach everything, along the cell too")
def _(subject, trial):
    inputs, cotangents = lstm_inputs(trial, 2, 3, 4), trial.normal((2, 4), (2, 4))
    _, grads = subject.grad(*inputs, cotangents=cotangents, wrt=(0, 1, 2, 3, 4, 5))
    expected = oracle.gradients(lstm_formula, inputs, cotangents)
    compare_gradients(trial, grads, expected[1], "x h c w_x w_h b", condition=16)


@lstm.trial("twelve steps in a row follow torch's nn.LSTM")
def _(subject, trial):
    x, h, c, w_x, w_h, b = lstm_inputs(trial, 2, 3, 5)
    xs = trial.normal((2, 12, 3))
    theirs = torch.nn.LSTM(3, 5, batch_first=True, dtype=torch.float64)
    theirs.load_state_dict(
        {"weight_ih_l0": w_x, "weight_hh_l0": w_h, "bias_ih_l0": b, "bias_hh_l0": torch.zeros_like(b)}
    )
    with torch.no_grad():
        expected = theirs(xs.double(), (h[None].double(), c[None].double()))[0].float()
    for t in range(12):
        h, c = subject(xs[:, t], h, c, w_x, w_h, b)
        trial.close(h, expected[:, t], f"step {t + 1}", condition=100)


@lstm.case("other sizes, large gates, float64")
def _(subject, trial):
    for sizes in ((1, 1, 1), (7, 2, 3), (2, 9, 6)):
        inputs = tuple(t.double() for t in lstm_inputs(trial, *sizes, spread=5))
        trial.close(subject(*inputs), expected_lstm(*inputs), condition=60)


# ----------------------------------------------------------------------------------------------------------------------

gru = Check(
    "gru_step",
    hints=(
        "Follow r in the figure: which numbers does it multiply, and which are added after that?",
        "Keep the two products apart: x @ w_x.T + b_x and h @ w_h.T + b_h, each cut into r, z, n. For r and z add "
        "them; for n multiply the part that comes from h by r first.",
        "n = tanh(x_n + r * h_n), where h_n contains its bias; the new state is (1 - z) * n + z * h.",
    ),
    forbids=("recurrence",),
)


def gru_inputs(trial, B, I, H, spread=1.0):
    return recurrent_inputs(trial, B, I, H, gates=3, biases=2, spread=spread)


def expected_gru(*inputs):
    """torch's own cell."""
    return torch.gru_cell(*(t.double() for t in inputs)).to(inputs[0].dtype)


@gru.case("the new state, gates in the order r, z, n", weight=3)
def _(subject, trial):
    inputs = gru_inputs(trial, 3, 5, 4)
    trial.close(subject(*inputs), expected_gru(*inputs), condition=8)


@gru.case("weights are (out, in), also where everything has the same width")
def _(subject, trial):
    inputs = gru_inputs(trial, 4, 4, 4)
    trial.close(subject(*inputs), expected_gru(*inputs), condition=8)


@gru.case("a large z keeps the old state, a very negative one replaces it", weight=2)
def _(subject, trial):
    x, h, w_x, w_h, b_x, b_h = gru_inputs(trial, 3, 2, 5)
    for shift in (40.0, -40.0):
        moved = b_x.clone()
        moved[5:10] += shift
        inputs = x, h, w_x, w_h, moved, b_h
        says = f"the state is wrong with {shift:+g} on the bias of z"
        trial.close(subject(*inputs), expected_gru(*inputs), says, condition=8)


@gru.case("the reset gate acts on the bias b_h too", weight=2)
def _(subject, trial):
    x, h, w_x, w_h, b_x, b_h = gru_inputs(trial, 3, 2, 5)
    b_h = b_h * 4
    trial.close(subject(x, h, w_x, w_h, b_x, b_h), expected_gru(x, h, w_x, w_h, b_x, b_h), condition=8)


@gru.case("gradients reach everything")
def _(subject, trial):
    inputs, cotangent = gru_inputs(trial, 2, 3, 4), trial.normal((2, 4))
    _, grads = subject.grad(*inputs, cotangents=(cotangent,), wrt=(0, 1, 2, 3, 4, 5))
    expected = oracle.gradients(torch.gru_cell, inputs, (cotangent,))
    compare_gradients(trial, grads, expected[1], "x h w_x w_h b_x b_h", condition=16)


@gru.trial("twelve steps in a row follow torch's nn.GRUCell")
def _(subject, trial):
    x, h, *weights = gru_inputs(trial, 2, 3, 5)
    expected, xs = h.double(), trial.normal((12, 2, 3))
    for t in range(12):
        h = subject(xs[t], h, *weights)
        expected = torch.gru_cell(xs[t].double(), expected, *(w.double() for w in weights))
        trial.close(h, expected.float(), f"step {t + 1}", condition=100)


@gru.case("sums in the hundreds: gates are open or shut, and nothing is NaN")
def _(subject, trial):
    x, h, *weights = gru_inputs(trial, 4, 3, 5, spread=200)
    inputs = x, h / 200, *weights
    trial.close(subject(*inputs), expected_gru(*inputs), condition=1000)


@gru.case("other sizes, large gates, float64")
def _(subject, trial):
    for sizes in ((1, 1, 1), (7, 2, 3), (2, 9, 6)):
        inputs = tuple(t.double() for t in gru_inputs(trial, *sizes, spread=5))
        trial.close(subject(*inputs), expected_gru(*inputs), condition=60)


# ----------------------------------------------------------------------------------------------------------------------

conv = Check(
    "causal_dilated_conv",
    hints=(
        "Draw three taps with dilation 2 under a row of inputs. Which inputs does output 0 need, and which exist?",
        "How far back does the first tap reach? That many zeros belong in front of the input, and none behind it.",
        "torch.nn.functional.pad(x, ((K - 1) * dilation, 0)) pads on the left; conv1d(..., dilation=dilation) does "
        "the rest, and the length comes out right.",
    ),
)


def conv_by_loops(x, weight, bias, dilation):
    """The formula of the notebook, tap by tap, in float64; differentiable."""
    T, K = x.shape[-1], weight.shape[-1]
    columns = []
    for t in range(T):
        taps = [(k, t - (K - 1 - k) * dilation) for k in range(K)]
        columns.append(bias + sum(x[:, :, s] @ weight[:, :, k].T for k, s in taps if s >= 0))
    return torch.stack(columns, dim=2)


def expected_conv(x, weight, bias, dilation=1):
    return conv_by_loops(x.double(), weight.double(), bias.double(), dilation).to(x.dtype)


def conv_inputs(trial, B, C, O, K, T):
    return trial.normal((B, C, T)), trial.normal((O, C, K), spread=1 / math.sqrt(C * K)), trial.normal((O,))


@conv.case("a kernel of three taps without gaps", weight=2)
def _(subject, trial):
    inputs = conv_inputs(trial, 2, 3, 4, 3, 9)
    trial.close(subject(*inputs), expected_conv(*inputs), condition=4)


@conv.case("dilation 2: as long as the input, every other input is read", weight=2)
def _(subject, trial):
    inputs = conv_inputs(trial, 2, 3, 5, 3, 11)
    trial.close(subject(*inputs, dilation=2), expected_conv(*inputs, 2), condition=4)


@conv.case("two taps, dilation 4")
def _(subject, trial):
    inputs = conv_inputs(trial, 1, 2, 3, 2, 13)
    trial.close(subject(*inputs, 4), expected_conv(*inputs, 4), condition=4)


@conv.case("a single tap is a linear map of the present")
def _(subject, trial):
    inputs = conv_inputs(trial, 3, 4, 2, 1, 6)
    trial.close(subject(*inputs, 3), expected_conv(*inputs, 3), condition=4)


@conv.case("a kernel that reaches farther back than the input is long")
def _(subject, trial):
    inputs = conv_inputs(trial, 2, 2, 3, 4, 5)
    trial.close(subject(*inputs, 3), expected_conv(*inputs, 3), condition=4)


@conv.case("gradients reach input, weight and bias")
def _(subject, trial):
    inputs, cotangent = conv_inputs(trial, 2, 3, 2, 3, 8), trial.normal((2, 2, 8))
    _, grads = subject.grad(*inputs, 2, cotangents=(cotangent,), wrt=(0, 1, 2))
    expected = oracle.gradients(lambda x, w, b: conv_by_loops(x, w, b, 2), inputs, (cotangent,))
    compare_gradients(trial, grads, expected[1], "x weight bias", condition=8)


@conv.trial("changing the future changes nothing before it")
def _(subject, trial):
    for dilation in (1, 3):
        x, weight, bias = conv_inputs(trial, 2, 3, 4, 3, 12)
        before = subject(x, weight, bias, dilation)
        for at in (3, trial.integers(4, 10), 10):
            other = x.clone()
            other[:, :, at:] += trial.normal((2, 3, 12 - at), spread=5)
            after = subject(other, weight, bias, dilation)
            trial.equal(after[:, :, :at], before[:, :, :at], "earlier outputs moved when a later input changed")
            trial.true(not torch.allclose(after[:, :, at], before[:, :, at]), "an output does not read its own input")


@conv.case("right for other kernels, dilations and float64")
def _(subject, trial):
    for K, T, dilation in ((2, 1, 1), (5, 16, 2), (3, 20, 7)):
        inputs = tuple(t.double() for t in conv_inputs(trial, 2, 3, 2, K, T))
        trial.close(subject(*inputs, dilation), expected_conv(*inputs, dilation), condition=8)


# ----------------------------------------------------------------------------------------------------------------------

field = Check(
    "receptive_field",
    hints=(
        "Draw two layers on paper and mark the farthest input that reaches the last output.",
        "An output always sees its own input: start at 1. How much farther back does one layer reach?",
        "The first tap of a layer lies (K - 1) * dilation behind the last one. Add this up over the layers.",
    ),
)


def field_by_reading(kernel_size, dilations):
    """Walk back from one output, layer by layer, and count from the farthest input to the present one."""
    reached = {0}
    for dilation in reversed(dilations):
        reached = {at - tap * dilation for at in reached for tap in range(kernel_size)}
    return 1 - min(reached)


@field.case("one layer without gaps")
def _(subject, trial):
    trial.equal(subject(3, [1]), field_by_reading(3, [1]), "a kernel of 3 taps, dilation 1")


@field.case("dilations 1, 2, 4, 8")
def _(subject, trial):
    trial.equal(subject(2, [1, 2, 4, 8]), field_by_reading(2, [1, 2, 4, 8]), "kernels of 2 taps")


@field.case("a larger kernel, and dilations in no particular order")
def _(subject, trial):
    trial.equal(subject(5, [4, 1, 3]), field_by_reading(5, [4, 1, 3]), "kernels of 5 taps, dilations 4, 1, 3")


@field.case("inputs in a gap between the taps count")
def _(subject, trial):
    trial.equal(subject(3, [6]), field_by_reading(3, [6]), "a kernel of 3 taps, dilation 6")
    trial.equal(subject(2, [9, 3]), field_by_reading(2, [9, 3]), "kernels of 2 taps, dilations 9 and 3")


@field.case("without layers, or with kernels of one tap, only the present is seen")
def _(subject, trial):
    trial.equal(subject(3, []), 1, "no layer at all: the output is the present input")
    trial.equal(subject(1, [1, 2, 4]), 1, "kernels of one tap never reach back, whatever the dilations")


@field.trial("right for any stack", weight=5)
def _(subject, trial):
    for _ in range(10):
        kernel, dilations = trial.integers(2, 6), [trial.integers(1, 9) for _ in range(trial.integers(1, 5))]
        trial.equal(subject(kernel, dilations), field_by_reading(kernel, dilations))


# ----------------------------------------------------------------------------------------------------------------------

path = Check(
    "path_length_and_sequential_ops",
    hints=(
        "With dilations 1, K, K^2, ... a stack of L layers sees exactly K^L inputs: how many layers do n inputs need?",
        "Training: a layer computes all positions at once, a recurrent layer one after another. Sampling: n positions "
        "one after another, whatever the network, and each passes through all its layers.",
    ),
)


def counted_path(kind, n, kernel_size=2):
    """Grow the network until its last output reaches the first input, and count."""
    if kind == "attention":
        return {"path": 1, "training": 1, "sampling": sum(1 for _ in range(n))}
    if kind == "recurrent":
        steps = len(range(n))
        return {"path": steps, "training": steps, "sampling": steps}
    layers, dilations = 0, []
    while layers == 0 or 1 + (kernel_size - 1) * sum(dilations) < n:
        dilations.append(kernel_size**layers)
        layers += 1
    return {"path": layers, "training": layers, "sampling": sum(layers for _ in range(n))}


def compare_counts(subject, trial, kind, n, *kernel_size):
    """The three numbers one by one, so that the verdict names the one that is wrong."""
    found, about = subject(kind, n, *kernel_size), f" and a kernel of {kernel_size[0]}" if kernel_size else ""
    for name, number in counted_path(kind, n, *kernel_size).items():
        trial.equal(found[name], number, f'"{name}" is wrong for {kind}, n = {n}{about}')


@path.case("recurrent: everything waits n times")
def _(subject, trial):
    compare_counts(subject, trial, "recurrent", 12)


@path.case("attention: one step to everywhere, but n steps to write")
def _(subject, trial):
    compare_counts(subject, trial, "attention", 50)


@path.case("convolution: as many layers as the logarithm, rounded up", weight=2)
def _(subject, trial):
    compare_counts(subject, trial, "convolution", 50)
    compare_counts(subject, trial, "convolution", 100, 3)


@path.case("exact powers of the kernel: no layer too many")
def _(subject, trial):
    compare_counts(subject, trial, "convolution", 64)
    compare_counts(subject, trial, "convolution", 125, 5)


@path.case("one input")
def _(subject, trial):
    for kind in ("recurrent", "convolution", "attention"):
        compare_counts(subject, trial, kind, 1)


@path.trial("right for any length and kernel", weight=8)
def _(subject, trial):
    for _ in range(12):
        kernel, n = trial.integers(2, 8), trial.integers(2, 3000)
        trial.equal(subject("convolution", n, kernel), counted_path("convolution", n, kernel))
        trial.equal(subject("recurrent", n, kernel), counted_path("recurrent", n))
        trial.equal(subject("attention", n), counted_path("attention", n))
        for nearby in (kernel**3 - 1, kernel**3, kernel**3 + 1):
            trial.equal(subject("convolution", nearby, kernel), counted_path("convolution", nearby, kernel))


@path.case("another kind raises ValueError")
def _(subject, trial):
    trial.raises("ValueError", lambda: subject("transformer", 5), "an unknown kind must raise ValueError")


# ----------------------------------------------------------------------------------------------------------------------

gates = Kernel(
    "lstm_gates",
    hints=(
        "Program (row, j) works on the units j * BLOCK + arange(BLOCK) of one row. Unit u of gate k stands in column "
        "k * H + u of from_x and of from_h.",
        "Eight loads for the gates, one for the cell, all with mask=unit < width and each with its own strides; then "
        "the two formulas of lstm_step, and two stores.",
    ),
)

# ----------------------------------------------------------------------------------------------------------------------

# Four groups of ten seeds (0-39), seeds above 0.9. RNN: at 20 five to seven, at 40 none to three. LSTM with bias 0:
# none at 20. LSTM with bias 3: at 40 seven to nine. Convolution: all. So the RNN may be noted with 5 or with 20.
recall = Check(
    "recall_finding",
    hints=(
        "In each line of the table, look at the last number of every column: how many of the ten seeds are above 0.9?",
        "A distance is solved when that number is at least five. A dash means that a shorter distance had failed "
        "already.",
    ),
    kind="value",
)


@recall.case("how far the plain RNN gets")
def _(subject, trial):
    trial.among(subject.value()["rnn"], [5, 20], "how far does the plain RNN get? The distances are 5, 20 and 40")


@recall.case("how far the LSTM with forget bias 0 gets")
def _(subject, trial):
    trial.equal(subject.value()["lstm, forget bias 0"], 5, "how far does the LSTM with forget bias 0 get?")


@recall.case("how far the LSTM with forget bias 3 gets", weight=2)
def _(subject, trial):
    trial.equal(subject.value()["lstm, forget bias 3"], 40, "how far does the LSTM with forget bias 3 get?")


@recall.case("how far the dilated convolution gets")
def _(subject, trial):
    trial.equal(subject.value()["dilated convolution"], 40, "how far does the dilated convolution get?")


@recall.trial("right for all four at once")
def _(subject, trial):
    right = {"lstm, forget bias 0": 5, "lstm, forget bias 3": 40, "dilated convolution": 40}
    for name, expected in right.items():
        trial.equal(subject.value()[name], expected, f"how far does this one get: {name}?")
    trial.among(subject.value()["rnn"], [5, 20], "how far does the plain RNN get? The distances are 5, 20 and 40")


attention = Check(
    "additive_attention",
    hints=(
        "Which shape have the scores? The small network gives one number for every state of every sentence.",
        "The query's part has no time axis: (query @ w_q.T)[:, None, :] broadcasts over the S states. v turns "
        "(B, S, A) into scores (B, S).",
        "scores.masked_fill(~mask, -inf), then softmax over the last dimension, then the weighted sum of the states.",
    ),
)


def attention_inputs(trial, B, S, D, H, A, spread=1.0):
    """query, states, w_q, w_s, v; scores come out a few units large."""
    query, states = trial.normal((B, D), (B, S, H), spread=spread)
    maps = trial.normal((A, D), spread=1 / math.sqrt(D)), trial.normal((A, H), spread=1 / math.sqrt(H))
    return query, states, *maps, trial.normal((A,), spread=1.5)


def attend_slowly(query, states, w_q, w_s, v, mask=None):
    """Sentence by sentence and state by state over the real tokens only; differentiable."""
    contexts, rows = [], []
    for b in range(len(states)):
        real = [s for s in range(states.shape[1]) if mask is None or bool(mask[b, s])]
        scores = torch.stack([(v * torch.tanh(w_q @ query[b] + w_s @ states[b, s])).sum() for s in real])
        shares = torch.exp(scores - scores.max())
        shares = shares / shares.sum()
        contexts.append(sum(share * states[b, s] for share, s in zip(shares, real, strict=True)))
        rows.append(torch.zeros(states.shape[1], dtype=states.dtype).index_put((torch.tensor(real),), shares))
    return torch.stack(contexts), torch.stack(rows)


def expected_attention(*inputs, mask=None):
    wide = attend_slowly(*(t.double() for t in inputs), mask)
    return tuple(t.to(inputs[0].dtype) for t in wide)


def real_tokens(*lengths, size):
    return torch.arange(size) < torch.tensor(lengths)[:, None]


@attention.case("context and weights, all states real", weight=2)
def _(subject, trial):
    inputs = attention_inputs(trial, 3, 6, 4, 5, 7)
    trial.close(subject(*inputs), expected_attention(*inputs), condition=16)


@attention.case("weights sum to one along the sentence, also when it is as long as the batch")
def _(subject, trial):
    inputs = attention_inputs(trial, 5, 5, 5, 5, 5)
    trial.close(subject(*inputs), expected_attention(*inputs), condition=16)


@attention.case("padding gets no weight, and the others still sum to one", weight=2)
def _(subject, trial):
    inputs, mask = attention_inputs(trial, 4, 6, 3, 5, 4), real_tokens(6, 1, 4, 2, size=6)
    trial.close(subject(*inputs, mask), expected_attention(*inputs, mask=mask), condition=16)


@attention.case("huge numbers in the padding do not move the context")
def _(subject, trial):
    query, states, *maps = attention_inputs(trial, 3, 5, 4, 3, 6)
    mask = real_tokens(2, 5, 3, size=5)
    states = torch.where(mask[..., None], states, torch.tensor(1e3))
    trial.close(
        subject(query, states, *maps, mask=mask), expected_attention(query, states, *maps, mask=mask), condition=16
    )


@attention.case("gradients reach the query, the states and all weights")
def _(subject, trial):
    (*inputs, v), mask = attention_inputs(trial, 2, 5, 3, 5, 4), real_tokens(5, 3, size=5)
    inputs, cotangents = (*inputs, v / 2), trial.normal((2, 5), (2, 5))  # scores so near that no gradient vanishes
    _, grads = subject.grad(*inputs, mask, cotangents=cotangents, wrt=(0, 1, 2, 3, 4))
    expected = oracle.gradients(lambda *given: attend_slowly(*given, mask), inputs, cotangents)
    compare_gradients(trial, grads, expected[1], "query states w_q w_s v", condition=32)


@attention.case("scores of several hundred stay finite")
def _(subject, trial):
    query, states, w_q, w_s, v = attention_inputs(trial, 3, 7, 4, 5, 9)
    states[:, 1::2] = states[:, :-1:2] + trial.normal((3, 3, 5), spread=0.02)  # no token is alone at the top
    inputs = query, states, w_q, w_s, 60 * v
    trial.close(subject(*inputs), expected_attention(*inputs), condition=1000)


def padding_far_above(trial, lengths, S=7, apart=120.0):
    """Inputs of attention in which every real token of a sentence scores below -`apart`, and the last of its padding
    lies more than `apart` above all of them."""
    while True:
        query, states, w_q, w_s, v = attention_inputs(trial, len(lengths), S, 4, 5, 9)
        v = 60 * v
        scores = torch.tanh((query @ w_q.T)[:, None] + states @ w_s.T) @ v
        order = scores.argsort(dim=1)
        scores, states = scores.gather(1, order), states[torch.arange(len(states))[:, None], order]
        highest = torch.stack([row[length - 1] for row, length in zip(scores, lengths, strict=True)])
        if bool(((highest < -apart) & (scores[:, -1] > highest + apart)).all()):
            return query, states, w_q, w_s, v


@attention.case("padding whose score lies far above that of all real tokens takes nothing from them", weight=4)
def _(subject, trial):
    lengths = (2, 1, 2)
    inputs, mask = padding_far_above(trial, lengths), real_tokens(*lengths, size=7)
    trial.close(subject(*inputs, mask), expected_attention(*inputs, mask=mask), condition=1000)


@attention.case("one sentence, and sentences of one token, without a mask")
def _(subject, trial):
    for B, S in ((1, 5), (4, 1), (1, 1)):
        inputs = attention_inputs(trial, B, S, 3, 5, 4)
        trial.close(subject(*inputs), expected_attention(*inputs), f"{B} sentences of {S} tokens", condition=16)


@attention.case("other sizes, random lengths, float64")
def _(subject, trial):
    for B, S, D, H, A in ((1, 1, 2, 3, 1), (5, 9, 6, 2, 3), (2, 12, 1, 4, 8)):
        inputs = tuple(t.double() for t in attention_inputs(trial, B, S, D, H, A))
        mask = real_tokens(*trial.integers(1, S + 1, (B,)).tolist(), size=S)
        trial.close(subject(*inputs, mask), expected_attention(*inputs, mask=mask), condition=32)


# Four groups of ten seeds (0-39) gave medians of 1.00, 0.56-0.60, 0.40 (one vector) and 1.00 three times (attention).
bottleneck = Check(
    "bottleneck_finding",
    hints=(
        "Run the cell above: each line of its table has a median. The first three lines belong to one vector.",
        'bottleneck_finding = {"one vector": [a, b, c], "attention": [d, e, f]}: the medians for 2, 5 and 12 words.',
    ),
    kind="value",
)


@bottleneck.case("one vector, 2 words")
def _(subject, trial):
    trial.between(subject.value()["one vector"][0], 0.85, 1.0, "the median for 2 words: read it again in the table")


@bottleneck.case("one vector, 5 and 12 words", weight=2)
def _(subject, trial):
    found = subject.value()["one vector"]
    trial.between(found[1], 0.4, 0.75, "the median for 5 words: read it again in the table")
    trial.between(found[2], 0.32, 0.5, "the median for 12 words: read it again in the table")


@bottleneck.case("attention, 2, 5 and 12 words", weight=2)
def _(subject, trial):
    found = subject.value()["attention"]
    for at, words in enumerate((2, 5, 12)):
        trial.between(found[at], 0.9, 1.0, f"the median for {words} words: read it again in the table")


# ----------------------------------------------------------------------------------------------------------------------

windows = Check(
    "repaired_windows",
    hints=(
        "Run the published function by hand for two windows. What does the second one get from the first?",
        "The state's numbers belong to the next window, its history does not. Which method of a tensor keeps the "
        "numbers and drops the history?",
        "Call h.detach() once at the start of every window. Then no window needs retain_graph, and torch.autograd.grad "
        "(loss, w_h) gives its gradient.",
    ),
)


def window_inputs(trial, B, T, I, H):
    x, h, w_x, w_h, b = sequence_inputs(trial, B, T, I, H)
    return x, trial.normal((B, T, H)), h, w_x, w_h, b


def expected_windows(x, targets, h, w_x, w_h, b, window):
    """Window by window with torch's RNN in float64; numbers go from window to window as plain numbers."""
    x, targets, h, w_x, w_h, b = (t.double() for t in (x, targets, h, w_x, w_h, b))
    grads = []
    for start in range(0, x.shape[1], window):
        weight = w_h.clone().requires_grad_()
        states, last = run_all(x[:, start : start + window], h, w_x, weight, b)
        loss = torch.nn.functional.mse_loss(states, targets[:, start : start + window])
        grads.append(torch.autograd.grad(loss, weight)[0])
        h = last.detach()
    return torch.stack(grads).float(), h.float()


@windows.case("three windows: the state goes on, the gradient stops", weight=3)
def _(subject, trial):
    inputs = window_inputs(trial, 2, 12, 3, 4)
    trial.close(subject(*inputs, window=4), expected_windows(*inputs, 4), condition=16)


@windows.case("the last window is shorter")
def _(subject, trial):
    inputs = window_inputs(trial, 3, 11, 2, 5)
    trial.close(subject(*inputs, window=4), expected_windows(*inputs, 4), condition=16)


@windows.case("one window for everything: plain backpropagation through time")
def _(subject, trial):
    inputs = window_inputs(trial, 2, 6, 3, 4)
    trial.close(subject(*inputs, window=6), expected_windows(*inputs, 6), condition=16)


@windows.case("windows of a single step")
def _(subject, trial):
    inputs = window_inputs(trial, 2, 4, 3, 3)
    trial.close(subject(*inputs, window=1), expected_windows(*inputs, 1), condition=16)


@windows.case("the state that comes back has no graph behind it")
def _(subject, trial):
    inputs, cotangents = window_inputs(trial, 2, 5, 3, 4), (None, trial.normal((2, 4)))
    says = "a gradient still flows through the state that you return"
    trial.cut_off(lambda: subject.grad(*inputs, 3, cotangents=cotangents, wrt=()), says)


@windows.case("right for other sizes, and the gradient of a window does not mind what came before it", weight=2)
def _(subject, trial):
    for B, T, I, H, window in ((1, 9, 2, 3, 2), (4, 10, 3, 2, 5), (2, 7, 1, 6, 3)):
        inputs = window_inputs(trial, B, T, I, H)
        trial.close(subject(*inputs, window), expected_windows(*inputs, window), condition=32)
