"""Wrong answers to the exercises of unit 01 that learners really give.

A cell is an edit of the solution, or a whole answer where a mistake is no small edit. Its docstring is what learners
read: an explanation, then a next step. Only these sentences ship, never the code.
"""

# %% exercise="rnn_step" wrong="no_tanh"
"""The sum is returned as it is, without tanh: the network is linear, and its state can grow without limit.

What bounds h when the same step is taken a hundred times?
"""
edit("torch.tanh(x @ w_x.T + h @ w_h.T + b)", "x @ w_x.T + h @ w_h.T + b")

# %% exercise="rnn_step" wrong="state_weights_not_transposed"
"""w_h is square, so h @ w_h runs without complaint, but it uses columns where rows are meant.

Both weights are (out, in). You transposed w_x; what about w_h?
"""
edit("h @ w_h.T", "h @ w_h")

# %% exercise="rnn_step" wrong="no_weight_transposed"
"""Neither weight is transposed: it fails for most shapes, and gives wrong numbers where all widths are the same.

Weights are (out, in), as in nn.Linear. Which of x @ w and x @ w.T gives (B, out)?
"""
edit("x @ w_x.T + h @ w_h.T", "x @ w_x + h @ w_h")

# %% exercise="rnn_step" wrong="bias_after_tanh"
"""The bias is added after tanh, so the state can leave the range from -1 to 1.

Which brackets does the formula have: tanh(W_x x + W_h h) + b, or tanh(W_x x + W_h h + b)?
"""
edit("torch.tanh(x @ w_x.T + h @ w_h.T + b)", "torch.tanh(x @ w_x.T + h @ w_h.T) + b")

# %% exercise="rnn_step" wrong="no_bias"
"""The bias b is accepted and never used.

Set all weights to zero. What should the new state be?
"""
edit("h @ w_h.T + b", "h @ w_h.T")

# %% exercise="rnn_step" wrong="bias_twice"
"""The bias is added with each of the two products, so it is in the sum twice. torch's nn.RNNCell has two biases, one
for each product; this step has one b for both.

Set all weights to zero. Is the new state tanh(b), or tanh(2 b)?
"""
edit("x @ w_x.T + h @ w_h.T + b", "(x @ w_x.T + b) + (h @ w_h.T + b)")

# %% exercise="rnn_step" wrong="state_ignored"
"""The old state does not enter: each step sees its own input and nothing before it.

Change h and keep x. Does your result change?
"""
edit("x @ w_x.T + h @ w_h.T", "x @ w_x.T")

# %% exercise="rnn_step" wrong="adds_to_the_old_state"
"""The old state is added to the result: that is a residual connection, which this network does not have.

Set all weights and the bias to zero. What should be left of h?
"""
edit("return torch.tanh(x @ w_x.T", "return h + torch.tanh(x @ w_x.T")

# %% exercise="rnn_step" wrong="sigmoid_instead_of_tanh"
"""A sigmoid squashes to the range from 0 to 1; this network uses tanh, from -1 to 1.

Can a number of your state be negative?
"""
edit("torch.tanh", "torch.sigmoid")

# %% exercise="rnn_step" wrong="tanh_from_exponentials"
"""tanh is written with exponentials: exp(z) is infinite from z = 89 on, and infinity over infinity is NaN.

What is torch.exp(torch.tensor(100.0))? Which torch function knows tanh for every number?
"""
edit(
    "return torch.tanh(x @ w_x.T + h @ w_h.T + b)",
    """
    z = x @ w_x.T + h @ w_h.T + b
    return (torch.exp(z) - torch.exp(-z)) / (torch.exp(z) + torch.exp(-z))
    """,
)

# %% exercise="rnn_step" wrong="tanh_from_one_exponential"
"""tanh is written as (exp(2z) - 1) / (exp(2z) + 1): from z = 45 on exp(2z) is infinite, and infinity over infinity is
NaN. Sums far below zero come out right.

What is torch.exp(torch.tensor(100.0))? Which torch function knows tanh for every number?
"""
edit(
    "return torch.tanh(x @ w_x.T + h @ w_h.T + b)",
    """
    e = torch.exp(2 * (x @ w_x.T + h @ w_h.T + b))
    return (e - 1) / (e + 1)
    """,
)

# %% exercise="rnn_forward" wrong="last_column_of_padding"
"""`last` is the state at T - 1 for every row, also for rows that ended earlier and went on reading padding.

Which time step is the last REAL input of row i?
"""
edit("return states, states[torch.arange(len(states)), lengths - 1]", "return states, h")

# %% exercise="rnn_forward" wrong="one_step_too_early"
"""For padded rows `last` is one step too early: the state before the last real input.

A row of length 1 has one state. Under which index does it lie?
"""
edit("lengths - 1", "(lengths - 2).clamp(min=0)")

# %% exercise="rnn_forward" wrong="one_step_too_late"
"""For padded rows `last` is the state after the first padding: index `lengths` instead of `lengths - 1`.

Indices count from 0. Which index does the third input have?
"""
edit("lengths - 1", "lengths.clamp(max=x.shape[1] - 1)")

# %% exercise="rnn_forward" wrong="end_of_the_longest_row"
"""`last` is taken at the same time step in every row, at the end of the longest one. The shorter rows have read padding
by then.

How many numbers are in lengths - 1, and how many of them did you use?
"""
edit("states[torch.arange(len(states)), lengths - 1]", "states[:, lengths.max() - 1]")

# %% exercise="rnn_forward" wrong="state_kept_on_padding"
"""`last` is right, but the state stands still once a row has ended. The docstring asks for the state after every input,
padding included: `lengths` says which state is the last one and changes none.

A row of length 2 has 7 inputs. How many times does rnn_step run for it?
"""
edit(
    "h = rnn_step(x[:, t], h, w_x, w_h, b)",
    """
    new = rnn_step(x[:, t], h, w_x, w_h, b)
    h = new if lengths is None else torch.where((t < lengths)[:, None], new, h)
    """,
)

# %% exercise="rnn_forward" wrong="zeros_on_padding"
"""`last` is right, but the states of the padding are set to zero, as pad_packed_sequence does it. The docstring asks
for the state after every input, padding included.

What does states[:, t] hold where input t is padding: nothing, or what rnn_step made of it?
"""
edit(
    "return states, states[torch.arange(len(states)), lengths - 1]",
    """
    real = torch.arange(x.shape[1]) < lengths[:, None]
    return states * real[:, :, None], states[torch.arange(len(states)), lengths - 1]
    """,
)

# %% exercise="rnn_forward" wrong="first_state_ignored"
"""The sequence starts from zeros instead of from the state h that was handed over.

Who carries on where the last window stopped, if h is ignored?
"""
edit("states = []", "h, states = torch.zeros_like(h), []")

# %% exercise="rnn_forward" wrong="state_not_carried"
"""Every step starts from the first state: nothing is carried from one step to the next.

What does step 2 know about input 1?
"""
edit(
    """
    h = rnn_step(x[:, t], h, w_x, w_h, b)
    states.append(h)
    """,
    "states.append(rnn_step(x[:, t], h, w_x, w_h, b))",
)
edit("return states, h", "return states, states[:, -1]")

# %% exercise="rnn_forward" wrong="steps_over_the_batch"
"""The loop runs over the first axis, which is the batch here: sentences are read across instead of along.

Print x.shape. Which axis is time?
"""
edit("range(x.shape[1])", "range(x.shape[0])")
edit("rnn_step(x[:, t], h, w_x, w_h, b)", "rnn_step(x[t], h, w_x, w_h, b)")
edit("torch.stack(states, dim=1)", "torch.stack(states)")

# %% exercise="rnn_forward" wrong="time_first"
"""The states come back as (T, B, H): torch.stack puts a new axis in front unless you say where it goes.

Which argument of torch.stack makes time the second axis?
"""
edit("torch.stack(states, dim=1)", "torch.stack(states)")
edit("states[torch.arange(len(states)), lengths - 1]", "states[lengths - 1, torch.arange(len(x))]")

# %% exercise="rnn_forward" wrong="reshaped_instead_of_transposed"
"""The states are stacked as (T, B, H) and then given the shape (B, T, H) by reshape or view. That moves no axis: it
reads the same numbers in the same order, so the rows of the batch are mixed up with the time steps.

torch.arange(6).reshape(2, 3): what do .reshape(3, 2) and .transpose(0, 1) make of it?
"""
edit("torch.stack(states, dim=1)", "torch.stack(states)")
edit("return states, h", "return states.reshape(x.shape[0], x.shape[1], -1), h")
edit(
    "return states, states[torch.arange(len(states)), lengths - 1]",
    "return states.reshape(x.shape[0], x.shape[1], -1), states[lengths - 1, torch.arange(len(x))]",
)

# %% exercise="rnn_forward" wrong="reads_from_the_end"
"""The sequence is read from its end to its beginning.

After the first step of your loop, which input has been read?
"""
edit("range(x.shape[1])", "reversed(range(x.shape[1]))")
edit("torch.stack(states, dim=1)", "torch.stack(states[::-1], dim=1)")

# %% exercise="rnn_forward" wrong="detached_between_steps"
"""The state is detached at every step, so no gradient can flow through time: the network can't learn to remember.

Through which tensor does step 5 depend on step 1? Is it still part of the graph?
"""
edit("rnn_step(x[:, t], h, w_x, w_h, b)", "rnn_step(x[:, t], h.detach(), w_x, w_h, b)")

# %% exercise="gradient_norms_through_time" wrong="no_derivative_of_tanh"
"""Each step back multiplies by the matrix only; the derivative of tanh, 1 - h^2, is missing.

Every step h = tanh(W h + ...) contributes two factors. Which one is missing?
"""
edit("w_h.T @ ((1 - state * state) * grad)", "w_h.T @ grad")

# %% exercise="gradient_norms_through_time" wrong="matrix_not_transposed"
"""The gradient is multiplied by W instead of its transpose: that is the way forward, not the way back.

Write the chain rule for T = 2 on paper. Which index of W does the sum run over?
"""
edit("w_h.T @", "w_h @")

# %% exercise="gradient_norms_through_time" wrong="forward_order"
"""The steps are taken in forward order: the factor of the first step meets the gradient first.

The gradient starts at the end. Which step does it cross first?
"""
edit("states[1:].flip(0)", "states[1:]")

# %% exercise="gradient_norms_through_time" wrong="derivative_at_the_earlier_state"
"""The derivative of tanh is taken at h_(t-1); the step that is crossed produced h_t.

h_t = tanh(z_t). At which of the two states is the slope of this tanh?
"""
edit("states[1:].flip(0)", "states[:-1].flip(0)")

# %% exercise="gradient_norms_through_time" wrong="factors_swapped"
"""The transposed matrix comes first and the derivative of tanh after it: the two factors of a step are swapped.

On the way forward W comes first, then tanh. In which order are they undone on the way back?
"""
edit("w_h.T @ ((1 - state * state) * grad)", "(1 - state * state) * (w_h.T @ grad)")

# %% exercise="gradient_norms_through_time" wrong="last_state_first"
"""The norms are right and in the order in which you met them: the last state comes first.

Which h_t is furthest from the loss? Its norm belongs to index 0.
"""
edit("norms[::-1]", "norms")

# %% exercise="gradient_norms_through_time" wrong="slope_one_minus_h"
"""The slope of tanh is written as 1 - h. It is 1 - h^2.

What is the slope of tanh at h = -0.9: can it be larger than one?
"""
edit("1 - state * state", "1 - state")

# %% exercise="gradient_norms_through_time" wrong="slope_at_the_state"
"""tanh is applied once more: the slope is 1 - tanh(h)^2, but h is already the output of tanh.

If h = tanh(z), how do you write 1 - tanh(z)^2 with h?
"""
edit("1 - state * state", "1 - torch.tanh(state) ** 2")

# %% exercise="gradient_norms_through_time" wrong="never_leaves_the_end"
"""Every step starts from last_grad again, so each norm is that of a single step back: always large.

To reach the first state the gradient must cross ALL steps. What do you multiply the factor of step t with?
"""
edit("(1 - state * state) * grad", "(1 - state * state) * last_grad")

# %% exercise="gradient_norms_through_time" wrong="norms_multiplied"
"""Each step multiplies by the norm of its whole Jacobian. That is an upper bound on how much a gradient can grow; the
gradient itself is a vector, and each step turns it, too.

Can a matrix of norm 2 make a vector shorter? Carry the vector along, and take its norm at every stop.
"""
edit("grad, norms = last_grad, [last_grad.norm()]", "bound, norms = last_grad.norm(), [last_grad.norm()]")
edit(
    """
    grad = w_h.T @ ((1 - state * state) * grad)
    norms.append(grad.norm())
    """,
    """
    bound = bound * torch.linalg.matrix_norm((1 - state * state)[:, None] * w_h, 2)
    norms.append(bound)
    """,
)

# %% exercise="gradient_norms_through_time" wrong="norm_of_the_matrix_times_the_largest_slope"
"""Each step multiplies by the norm of W and by the largest slope of tanh. That is the paper's upper bound on how much a
gradient can grow, not the norm of this gradient.

What does W^T do to a vector that it hardly stretches? Carry the vector along, and take its norm at every stop.
"""
edit("grad, norms = last_grad, [last_grad.norm()]", "bound, norms = last_grad.norm(), [last_grad.norm()]")
edit(
    """
    grad = w_h.T @ ((1 - state * state) * grad)
    norms.append(grad.norm())
    """,
    """
    bound = bound * torch.linalg.matrix_norm(w_h, 2) * (1 - state * state).max()
    norms.append(bound)
    """,
)

# %% exercise="clip_gradient_norm" wrong="each_tensor_alone"
"""Each tensor is clipped by its own norm: small ones stay, large ones shrink, and the direction changes.

One norm, or many? Put all gradients into one long vector and ask whether its direction is preserved.
"""
edit("grad * scale", "grad * (max_norm / grad.norm()).clamp(max=1.0)")

# %% exercise="clip_gradient_norm" wrong="enlarges_small_gradients"
"""The gradients are always scaled to max_norm: small ones are made larger.

Should clipping ever enlarge a gradient?
"""
edit("(max_norm / norm).clamp(max=1.0)", "max_norm / norm.clamp(min=1e-12)")

# %% exercise="clip_gradient_norm" wrong="clips_each_number"
"""Every number is cut off at max_norm on its own. That is clipping by value, and it changes the direction.

The norm of a vector can be too large though none of its numbers is. What is scaled then?
"""
edit("grad * scale", "grad.clamp(-max_norm, max_norm)")

# %% exercise="clip_gradient_norm" wrong="adds_up_the_norms"
"""The norms of the tensors are added. The norm of everything is the root of the sum of their squares.

Two gradients with norm 3 and 4 stand side by side in one vector: how long is it?
"""
edit("torch.cat([grad.flatten() for grad in grads]).norm()", "sum(grad.norm() for grad in grads)")

# %% exercise="clip_gradient_norm" wrong="no_root"
"""The norm is the sum of the squares; the square root is missing.

What is the norm of a gradient with the single number 3?
"""
edit("torch.cat([grad.flatten() for grad in grads]).norm()", "sum(grad.pow(2).sum() for grad in grads)")

# %% exercise="clip_gradient_norm" wrong="squared_norm_in_the_factor"
"""The norm that comes back is right, but the factor is max_norm divided by the SQUARED norm: gradients that are too
large come out far below max_norm.

What should the norm of your clipped gradients be?
"""
edit("max_norm / norm", "max_norm / norm**2")

# %% exercise="clip_gradient_norm" wrong="norm_after_clipping"
"""The norm that comes back is the one after clipping: nobody can see any more that a gradient exploded.

Which of the two norms would you plot to find out whether training is stable?
"""
edit("[grad * scale for grad in grads], norm", "[grad * scale for grad in grads], norm.clamp(max=max_norm)")

# %% exercise="clip_gradient_norm" wrong="zero_divided_by_zero"
"""When all gradients are zero their norm is 0, too, and the division by it makes NaN: one such step destroys the model.

What should clipping do with a norm of zero? When does it have to divide at all?
"""
edit("(max_norm / norm).clamp(max=1.0)", "torch.where(norm <= max_norm, norm / norm, max_norm / norm)")

# %% exercise="clip_gradient_norm" wrong="changes_the_gradients_in_place"
"""The gradients are scaled in place (`*=` or `.mul_`): the caller's tensors are changed.

The gradients that are handed over stay as they are. Which operator makes a new tensor?
"""
edit("grad * scale", "grad.mul_(scale)")

# %% exercise="lstm_step" wrong="order_i_f_o_g"
"""The blocks are taken as i, f, o, g. The weights hold i, f, g, o: candidate and output gate are exchanged.

Print the order in which you cut the 4H rows, and compare it with the table at the top of the notebook.
"""
edit("i, f, g, o =", "i, f, o, g =")

# %% exercise="lstm_step" wrong="order_i_g_f_o"
"""The blocks are taken as i, g, f, o, the order of old TensorFlow. The weights hold i, f, g, o.

Print the order in which you cut the 4H rows, and compare it with the table at the top of the notebook.
"""
edit("i, f, g, o =", "i, g, f, o =")

# %% exercise="lstm_step" wrong="gates_next_to_each_other"
"""The 4H sums are taken as H groups of four, the gates of a unit next to each other. The weights hold four blocks of H
rows: first i of all units, then f of all units.

For H = 3: which gate of which unit is row 4?
"""
edit(".chunk(4, dim=-1)", ".reshape(len(x), -1, 4).unbind(-1)")

# %% exercise="lstm_step" wrong="no_bias"
"""The bias b is accepted and never used.

Set the weights and c to zero, and the bias of f to 40. Which gates are open?
"""
edit("x @ w_x.T + h @ w_h.T + b", "x @ w_x.T + h @ w_h.T")

# %% exercise="lstm_step" wrong="bias_twice"
"""The bias is added with each of the two products, so it is in the sums twice. torch's nn.LSTMCell has two biases, one
for each product; this step has one b for both.

How often does b stand in the formula at the top of the notebook?
"""
edit("x @ w_x.T + h @ w_h.T + b", "(x @ w_x.T + b) + (h @ w_h.T + b)")

# %% exercise="lstm_step" wrong="no_tanh_on_the_cell"
"""h = o * c: the tanh of the cell is forgotten, so the state can grow as large as the cell.

What bounds h when c grows over many steps?
"""
edit("torch.sigmoid(o) * torch.tanh(c)", "torch.sigmoid(o) * c")

# %% exercise="lstm_step" wrong="state_from_the_old_cell"
"""h is computed from the cell before the step: what was just written is not shown.

In which order do the two lines of the formula come: c_t first, or h_t?
"""
edit("c = torch.sigmoid(f) * c", "c_new = torch.sigmoid(f) * c")
edit("torch.tanh(c), c", "torch.tanh(c), c_new")

# %% exercise="lstm_step" wrong="forgets_with_f"
"""The old cell is multiplied by 1 - f. The forget gate says how much is KEPT: with f = 1 nothing is lost.

Set the bias of f to +40. What should be left of c?
"""
edit("torch.sigmoid(f) * c", "(1 - torch.sigmoid(f)) * c")

# %% exercise="lstm_step" wrong="input_gate_is_one_minus_forget"
"""The input gate is replaced by 1 - f, as in a GRU. This LSTM has an input gate of its own.

Which of your four blocks is never used?
"""
edit("torch.sigmoid(i)", "(1 - torch.sigmoid(f))")

# %% exercise="lstm_step" wrong="forget_gate_is_one_minus_input"
"""The forget gate is replaced by 1 - i: what is written pushes out what was there, as in a GRU. This LSTM has a forget
gate of its own, and may keep all of the cell and add to it.

Which of your four blocks is never used?
"""
edit("torch.sigmoid(f) * c", "(1 - torch.sigmoid(i)) * c")

# %% exercise="lstm_step" wrong="one_added_to_the_forget_gate"
"""1 is added to the sum of the forget gate, as some libraries do inside the cell. Here a forget bias is a part of b:
whoever wants one has put it there.

All weights, x, h and b are zero. How much of c should be kept?
"""
edit("torch.sigmoid(f) * c", "torch.sigmoid(f + 1) * c")

# %% exercise="lstm_step" wrong="candidate_through_a_sigmoid"
"""The candidate g goes through a sigmoid: nothing negative can ever be written into the cell.

Three of the four blocks are gates. Which one is not, and what range should it have?
"""
edit("torch.tanh(g)", "torch.sigmoid(g)")

# %% exercise="lstm_step" wrong="cell_comes_first"
"""The two results are exchanged: the cell comes back first. The docstring, like torch, has the state first.

Which of your two results lies between -1 and 1?
"""
edit("torch.sigmoid(o) * torch.tanh(c), c", "c, torch.sigmoid(o) * torch.tanh(c)")

# %% exercise="lstm_step" wrong="state_weights_not_transposed"
"""w_h is not transposed. It fails for (4H, H) as it is, so it was probably reshaped until it fitted.

Weights are (out, in): (4H, H). The product is h @ w_h.T for every size.
"""
edit("h @ w_h.T", "h @ w_h.reshape(w_h.shape[1], -1)")

# %% exercise="lstm_step" wrong="tanh_from_exponentials"
"""tanh is written with exponentials. A cell may grow into the hundreds: exp(c) is infinite there, and the state NaN.

What is torch.exp(torch.tensor(100.0))? Which torch function knows tanh for every number?
"""
edit("torch.sigmoid(o) * torch.tanh(c)", "torch.sigmoid(o) * (c.exp() - (-c).exp()) / (c.exp() + (-c).exp())")

# %% exercise="lstm_step" wrong="tanh_from_one_exponential"
"""tanh of the cell is written as (exp(2c) - 1) / (exp(2c) + 1). A cell may grow into the hundreds: exp(2c) is infinite
there, and infinity over infinity is NaN.

What is torch.exp(torch.tensor(100.0))? Which torch function knows tanh for every number?
"""
edit("torch.sigmoid(o) * torch.tanh(c)", "torch.sigmoid(o) * ((2 * c).exp() - 1) / ((2 * c).exp() + 1)")

# %% exercise="lstm_step" wrong="sigmoid_from_exponentials"
"""The sigmoid is written as exp(z) / (1 + exp(z)): from z = 89 on that is infinity over infinity, NaN.

Which gate is wide open, and what should its sigmoid be? torch.sigmoid knows it for every number.
"""
edit("torch.sigmoid(f)", "f.exp() / (1 + f.exp())")
edit("torch.sigmoid(i)", "i.exp() / (1 + i.exp())")
edit("torch.sigmoid(o)", "o.exp() / (1 + o.exp())")

# %% exercise="gru_step" wrong="update_gate_reversed"
"""Old and new are exchanged: with z near one your state is replaced. Here, as in torch, a large z KEEPS the old state.

Set the bias of z to +40. What should come out?
"""
edit("(1 - z) * n + z * h", "z * n + (1 - z) * h")

# %% exercise="gru_step" wrong="reset_before_the_product"
"""The reset gate is applied to h before the product with W_h, as in the first paper. Here it acts on the product.

r * (W h + b) and W (r * h) + b differ. Which one does the formula above have?
"""
edit(
    "n = torch.tanh(x_n + torch.sigmoid(x_r + h_r) * h_n)",
    """
    reset = torch.sigmoid(x_r + h_r) * h
    n = torch.tanh(x_n + reset @ w_h.chunk(3)[2].T + b_h.chunk(3)[2])
    """,
)

# %% exercise="gru_step" wrong="reset_before_the_product_and_on_the_bias"
"""The reset gate is applied to h before the product with W_h, as in the first paper, and to the bias once more. Here it
acts on what comes out: r * (W h + b).

r differs from unit to unit. Is W (r * h) the same as r * (W h)?
"""
edit(
    "n = torch.tanh(x_n + torch.sigmoid(x_r + h_r) * h_n)",
    """
    r = torch.sigmoid(x_r + h_r)
    n = torch.tanh(x_n + (r * h) @ w_h.chunk(3)[2].T + r * b_h.chunk(3)[2])
    """,
)

# %% exercise="gru_step" wrong="bias_outside_the_reset"
"""The bias b_h of the candidate is added outside the reset gate, as if both biases were one.

Which bracket does b_h stand in? That is why a GRU has two biases, where an LSTM needs one.
"""
edit("x @ w_x.T + b_x", "x @ w_x.T + b_x + b_h")
edit("h @ w_h.T + b_h", "h @ w_h.T")

# %% exercise="gru_step" wrong="order_z_r_n"
"""The blocks are taken as z, r, n, the order of Keras. The weights hold r, z, n.

Print the order in which you cut the 3H rows, and compare it with the table at the top of the notebook.
"""
edit("x_r, x_z, x_n =", "x_z, x_r, x_n =")
edit("h_r, h_z, h_n =", "h_z, h_r, h_n =")

# %% exercise="gru_step" wrong="keeps_the_product"
"""z keeps the candidate's part W_h h + b_h, where the old state h itself belongs: one name stands for both.

What is h after the line that cuts h @ w_h.T into three?
"""
edit("+ z * h", "+ z * h_n")

# %% exercise="gru_step" wrong="hard_sigmoid"
"""The gates are piecewise linear, clamp(0.2 s + 0.5, 0, 1), the hard sigmoid of older libraries. Here they are the
logistic function.

What is sigma(1), and what does your gate give for 1?
"""
edit("z = torch.sigmoid(x_z + h_z)", "z = (0.2 * (x_z + h_z) + 0.5).clamp(0, 1)")
edit("torch.sigmoid(x_r + h_r)", "(0.2 * (x_r + h_r) + 0.5).clamp(0, 1)")

# %% exercise="gru_step" wrong="no_reset_gate"
"""The reset gate is computed and not used: the candidate always sees the whole old state.

Set the bias of r to -40. What should the candidate still know about h?
"""
edit("torch.sigmoid(x_r + h_r) * h_n", "h_n")

# %% exercise="gru_step" wrong="reset_on_both_parts"
"""The reset gate multiplies the part from the input too: it hides the new word as well as the old state.

What is r meant to hide from the candidate?
"""
edit("x_n + torch.sigmoid(x_r + h_r) * h_n", "torch.sigmoid(x_r + h_r) * (x_n + h_n)")

# %% exercise="gru_step" wrong="reset_on_the_kept_state"
"""The reset gate multiplies the part of the old state that is kept, too: z * r * h. It decides only what the candidate
sees.

Set the bias of z to +40 and that of r to -40. What should be left of h?
"""
edit("(1 - z) * n + z * h", "(1 - z) * n + z * torch.sigmoid(x_r + h_r) * h")

# %% exercise="gru_step" wrong="candidate_through_a_sigmoid"
"""The candidate n goes through a sigmoid: the state can never become negative.

Two of the three blocks are gates. Which one is not?
"""
edit("n = torch.tanh", "n = torch.sigmoid")

# %% exercise="gru_step" wrong="old_state_not_gated"
"""The old state is added whole: h + (1 - z) * n. It must be weighed with z, or the state grows with every step.

The two weights of old and new must add up to one.
"""
edit("(1 - z) * n + z * h", "(1 - z) * n + h")

# %% exercise="gru_step" wrong="kept_state_detached"
"""The numbers are right, but the h in z * h is cut off from its history: the way back along the kept state, the one on
which a gradient hardly fades, is gone.

With z near one, what should the gradient of the new state with respect to h be?
"""
edit("(1 - z) * n + z * h", "(1 - z) * n + z * h.detach()")

# %% exercise="gru_step" wrong="tanh_from_exponentials"
"""tanh is written with exponentials: exp(2z) is infinite from z = 45 on, and infinity over infinity is NaN.

What is torch.exp(torch.tensor(100.0))? Which torch function knows tanh for every number?
"""
edit(
    "n = torch.tanh(x_n + torch.sigmoid(x_r + h_r) * h_n)",
    """
    e = torch.exp(2 * (x_n + torch.sigmoid(x_r + h_r) * h_n))
    n = (e - 1) / (e + 1)
    """,
)

# %% exercise="gru_step" wrong="sigmoid_from_exponentials"
"""The sigmoid is written as exp(z) / (1 + exp(z)): from z = 89 on that is infinity over infinity, NaN.

Which gate is wide open, and what should its sigmoid be? torch.sigmoid knows it for every number.
"""
edit("torch.sigmoid(x_z + h_z)", "(x_z + h_z).exp() / (1 + (x_z + h_z).exp())")
edit("torch.sigmoid(x_r + h_r)", "(x_r + h_r).exp() / (1 + (x_r + h_r).exp())")

# %% exercise="causal_dilated_conv" wrong="same_padding"
"""Half of the padding stands on each side ("same" padding): an output reads inputs that come after it.

How many future samples lie inside the kernel at time t? Change the last input and look at the outputs before it.
"""
edit("(reach, 0)", "(reach // 2, reach - reach // 2)")

# %% exercise="causal_dilated_conv" wrong="future_taps_set_to_zero"
"""A "same" convolution in which the taps behind the middle are set to zero. It sees no future, but the last tap should
meet the present, and here the middle one does: half of the taps are lost.

Which inputs should an output with 3 taps read? Move the input, and keep all taps.
"""
def causal_dilated_conv(x, weight, bias, dilation=1):
    taps = weight.shape[-1]
    past = torch.arange(taps) <= taps // 2
    return torch.nn.functional.conv1d(x, weight * past, bias, dilation=dilation, padding="same")

# %% exercise="causal_dilated_conv" wrong="padding_without_dilation"
"""K - 1 zeros are not enough when there are gaps: the output is too short, and shifted against its input.

How far does a kernel of K taps reach back when each tap lies `dilation` behind the next?
"""
edit("(weight.shape[-1] - 1) * dilation", "weight.shape[-1] - 1")

# %% exercise="causal_dilated_conv" wrong="rest_of_the_padding_behind"
"""K - 1 zeros stand in front, and what the length still lacks behind the input. The length is right now, but with a
dilation above 1 every output reads the future.

How far does a kernel of K taps reach back when each tap lies `dilation` behind the next? All of that belongs in front.
"""
edit("(reach, 0)", "(weight.shape[-1] - 1, reach - (weight.shape[-1] - 1))")

# %% exercise="causal_dilated_conv" wrong="padding_on_the_right"
"""The zeros stand behind the input, or the first outputs were cut off: every output reads the future, not the past.

Which input does the last tap meet at t = 0, and which the first?
"""
edit("(reach, 0)", "(0, reach)")

# %% exercise="causal_dilated_conv" wrong="padding_on_both_sides"
"""conv1d's own `padding` adds zeros on both sides: the output is longer than the input.

Cut off what is too long, at the right end, or pad on the left only.
"""
edit("(reach, 0)", "(reach, reach)")

# %% exercise="causal_dilated_conv" wrong="result_padded"
"""The zeros stand in front of the result instead of the input. The first outputs read fewer inputs than the others, but
they do read some, and the bias belongs to each of them.

Which taps does the output at t = 0 have an input for? What is its value when the weight is zero?
"""
def causal_dilated_conv(x, weight, bias, dilation=1):
    reach = (weight.shape[-1] - 1) * dilation
    if reach >= x.shape[-1]:
        return torch.zeros(x.shape[0], weight.shape[0], x.shape[-1], dtype=x.dtype)
    found = torch.nn.functional.conv1d(x, weight, bias, dilation=dilation)
    return torch.nn.functional.pad(found, (reach, 0))

# %% exercise="causal_dilated_conv" wrong="end_comes_in_at_the_start"
"""The input is shifted in a circle (torch.roll, or circular padding): what is pushed out at the end comes in at the
start, so the first outputs read the last inputs.

What stands before the start, says the docstring?
"""
def causal_dilated_conv(x, weight, bias, dilation=1):
    taps = weight.shape[-1]
    out = bias[:, None]
    for tap in range(taps):
        out = out + weight[:, :, tap] @ x.roll((taps - 1 - tap) * dilation, dims=-1)
    return out

# %% exercise="causal_dilated_conv" wrong="first_input_repeated"
"""In front of the input stand copies of its first value. The docstring has zeros there.

Which outputs are right, and which of them reach back before the start?
"""
edit("pad(x, (reach, 0))", 'pad(x, (reach, 0), mode="replicate")')

# %% exercise="causal_dilated_conv" wrong="kernel_flipped"
"""The kernel is turned round: its FIRST tap meets the present. Textbook convolution does that, torch's does not.

Set the weight to zero except for its last tap. Which input should come out?
"""
edit("conv1d(padded, weight, bias", "conv1d(padded, weight.flip(-1), bias")

# %% exercise="causal_dilated_conv" wrong="dilation_ignored"
"""The argument `dilation` is not used: neighbouring inputs are read, whatever it says.

Which inputs does a kernel of 3 taps with dilation 2 read at t = 6?
"""
edit("(weight.shape[-1] - 1) * dilation", "weight.shape[-1] - 1")
edit(", dilation=dilation", "")

# %% exercise="causal_dilated_conv" wrong="stride_instead_of_dilation"
"""stride leaves out outputs; dilation leaves gaps between the inputs that one output reads.

Should the output be as long as the input?
"""
edit("dilation=dilation", "stride=dilation")

# %% exercise="causal_dilated_conv" wrong="present_left_out"
"""The input is shifted by one: output t reads the inputs up to t - 1. That is for predicting x[t] itself.

The last tap meets the present input. How many zeros are in front of it?
"""
edit("pad(x, (reach, 0))", "pad(x[:, :, :-1], (reach + 1, 0))")

# %% exercise="causal_dilated_conv" wrong="no_bias"
"""The bias is accepted and never used.

Set the weight to zero. What should come out?
"""
edit("conv1d(padded, weight, bias", "conv1d(padded, weight")

# %% exercise="receptive_field" wrong="own_input_not_counted"
"""The present input is not counted.

How many inputs does an output see through no layer at all?
"""
edit("1 + (kernel_size - 1) * sum(dilations)", "(kernel_size - 1) * sum(dilations)")

# %% exercise="receptive_field" wrong="kernel_times_dilation"
"""Each layer is taken to add K * dilation inputs. K taps have K - 1 gaps between them.

How many inputs does one layer with K = 3 and dilation 1 see?
"""
edit("(kernel_size - 1) * sum(dilations)", "kernel_size * sum(dilations)")

# %% exercise="receptive_field" wrong="fields_added_up"
"""The receptive fields of the layers are added, so the present input is counted once for each layer.

Kernels of one tap read the present input alone. What does your function say for three such layers?
"""
edit("1 + (kernel_size - 1) * sum(dilations)", "sum((kernel_size - 1) * dilation + 1 for dilation in dilations) or 1")

# %% exercise="receptive_field" wrong="two_taps_assumed"
"""1 plus the sum of the dilations is right for kernels of two taps only: kernel_size is not used.

How many gaps of size `dilation` lie between the first and the last of K taps?
"""
edit("(kernel_size - 1) * sum(dilations)", "sum(dilations)")

# %% exercise="receptive_field" wrong="dilation_ignored"
"""Every layer is taken to add K - 1 inputs: the dilations are counted, but not added up.

How far apart are two taps of a layer with dilation 8?
"""
edit("sum(dilations)", "len(dilations)")

# %% exercise="receptive_field" wrong="last_layer_only"
"""Only the layer with the largest dilation is looked at. The layers below it reach back too.

The output reads K positions of the layer below. How far back does each of those read?
"""
edit("sum(dilations)", "max(dilations, default=0)")

# %% exercise="receptive_field" wrong="kernel_times_the_last_dilation"
"""K times the last dilation is a rule of thumb for dilations 1, K, K^2, ... For any others it is wrong.

What does your formula say about dilations 8, 4, 2, 1? Does their order matter?
"""
edit("1 + (kernel_size - 1) * sum(dilations)", "kernel_size * dilations[-1] if dilations else 1")

# %% exercise="receptive_field" wrong="power_of_the_kernel"
"""K to the power of the number of layers: that holds only when the dilations are 1, K, K^2, ...

What does your formula say about dilations 1, 1, 1?
"""
edit("1 + (kernel_size - 1) * sum(dilations)", "kernel_size ** len(dilations)")

# %% exercise="receptive_field" wrong="a_float_for_an_int"
"""The number is right, but it is a float. Inputs are counted, so the docstring asks for an int.

Which operation makes a float of ints: a division, `float(...)`, or a 1.0?
"""
edit("1 + (kernel_size - 1)", "1.0 + (kernel_size - 1)")

# %% exercise="path_length_and_sequential_ops" wrong="another_kind_gets_an_answer"
"""A kind that does not exist gets an answer. The docstring asks for a ValueError there.

What does your function say for "transformer"? Which branch does it take?
"""
edit(
    """
    if kind != "convolution":
        raise ValueError(f"kind is recurrent, convolution or attention, not {kind!r}")
    """,
    "",
)

# %% exercise="path_length_and_sequential_ops" wrong="convolution_without_dilation"
"""The layers are counted as if none of them had gaps: their number then grows with n, not with its logarithm.

How many inputs do three layers of kernel 2 with dilations 1, 2, 4 see?
"""
edit("layers = next(enough)", "layers = max(1, math.ceil((n - 1) / (kernel_size - 1)))")

# %% exercise="path_length_and_sequential_ops" wrong="logarithm_rounded_up_in_floats"
"""log(125) / log(5) is a little more than 3 in floating point, and rounding up makes it 4: one layer too many.

Multiply whole numbers until n is reached, instead of dividing logarithms.
"""
edit("layers = next(enough)", "layers = max(1, math.ceil(math.log(n) / math.log(kernel_size)))")

# %% exercise="path_length_and_sequential_ops" wrong="logarithm_rounded_down"
"""The logarithm is rounded down: the stack is one layer too shallow, and the last output never sees the first input.

Do 5 layers of kernel 2 see 50 inputs?
"""
edit("kernel_size**layers >= n", "kernel_size ** (layers + 1) > n")

# %% exercise="path_length_and_sequential_ops" wrong="one_layer_too_many_at_powers"
"""A stack that sees exactly n inputs is called too small, so exact powers of the kernel get one layer too many.

Three layers of kernel 2 see 8 inputs. Is that enough for n = 8?
"""
edit("kernel_size**layers >= n", "kernel_size**layers > n")

# %% exercise="path_length_and_sequential_ops" wrong="no_layer_for_one_input"
"""A single input gets a stack of no layers. The docstring says "as few as reach, but at least one".

With which number of layers does your search begin?
"""
edit("range(1, n + 1)", "range(n + 1)")

# %% exercise="path_length_and_sequential_ops" wrong="kernel_size_ignored"
"""The layers are counted for kernels of two taps, whatever kernel_size says.

How many inputs do three layers of kernel 5 see?
"""
edit("kernel_size**layers >= n", "2**layers >= n")

# %% exercise="path_length_and_sequential_ops" wrong="convolution_trains_in_one_step"
"""Training is counted as 1 for the convolution, as in the paper's table. That is a single layer; here the whole stack
counts, and a layer has to wait for the one below it.

How many layers does a stack for 50 inputs have? Which of them can start at once?
"""
edit('"path": layers, "training": layers', '"path": layers, "training": 1')

# %% exercise="path_length_and_sequential_ops" wrong="convolutions_sample_in_parallel"
"""A convolution is taken to write all n outputs at once. It trains that way; when it writes, input t + 1 IS output t.

Can the second sample be computed before the first one is known?
"""
edit('"sampling": n * layers', '"sampling": layers')

# %% exercise="path_length_and_sequential_ops" wrong="attention_samples_in_one_step"
"""Attention is taken to write all n outputs in one step. It trains that way; when it writes, each input has to wait.

Can the second word be chosen before the first one is known?
"""
edit('"path": 1, "training": 1, "sampling": n', '"path": 1, "training": 1, "sampling": 1')

# %% exercise="path_length_and_sequential_ops" wrong="attention_trains_one_by_one"
"""Attention is taken to train one position after another. That is true of the recurrent network it was first put on.

Does the query of position 5 need the output of position 4?
"""
edit('"path": 1, "training": 1', '"path": 1, "training": n')

# %% exercise="path_length_and_sequential_ops" wrong="first_step_not_counted"
"""The recurrent path is one too short: the step that reads the first input counts too.

How many steps does a sequence of one input take?
"""
edit('"path": n', '"path": n - 1')

# %% exercise="path_length_and_sequential_ops" wrong="layers_forgotten_when_sampling"
"""Sampling is counted as n for the convolution too: each new sample passes through all layers, one after another.

What does the top layer have to wait for before it can compute sample t?
"""
edit('"sampling": n * layers', '"sampling": n')

# %% exercise="recall_finding" wrong="lstm_simply_remembers"
"""You say that the LSTM remembers over any distance, whatever its forget bias. The table says otherwise for bias 0.

What is left of the cell after 20 steps when a half of it is kept at every step?
"""
edit('"rnn": 20, "lstm, forget bias 0": 5', '"rnn": 5, "lstm, forget bias 0": 40')

# %% exercise="recall_finding" wrong="gates_do_not_matter"
"""You say that the forget bias makes no difference: the LSTM fails at 20 either way.

Read the line of the LSTM with forget bias 3 again. How much of its cell does it keep over 40 steps?
"""
edit('"rnn": 20', '"rnn": 5')
edit('"lstm, forget bias 3": 40', '"lstm, forget bias 3": 5')

# %% exercise="recall_finding" wrong="first_distance_that_fails"
"""You noted the first distance that is NOT solved. Asked for is the longest one that is.

Which is the last column of each line with at least five seeds above 0.9?
"""
edit(
    'recall_finding = {"rnn": 20, "lstm, forget bias 0": 5, "lstm, forget bias 3": 40, "dilated convolution": 40}',
    'recall_finding = {"rnn": 40, "lstm, forget bias 0": 20, "lstm, forget bias 3": 0, "dilated convolution": 0}',
)

# %% exercise="additive_attention" wrong="padding_not_masked"
"""The mask is not used: the decoder can look at padding.

Overwrite the encoder states at the padding with 1000. Should the context move?
"""
edit(
    """
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf)
    """,
    "",
)

# %% exercise="additive_attention" wrong="mask_after_the_softmax_renormalised"
"""The softmax still sees the padding: where its scores lie far above the others, all real weights underflow to 0, and
0 / 0 is NaN.

Which scores may the maximum and the sum of the softmax see? Hide the padding before it.
"""
edit(
    """
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf)
    weights = torch.softmax(scores, dim=-1)
    """,
    """
    weights = torch.softmax(scores, dim=-1)
    if mask is not None:
        weights = weights * mask
        weights = weights / weights.sum(-1, keepdim=True)
    """,
)

# %% exercise="additive_attention" wrong="not_low_enough"
"""The scores of padding become a number that is only fairly low, such as -100: real scores may lie lower still, and
then the padding takes the weight.

Below which number does no score lie? What is exp of it?
"""
edit("masked_fill(~mask, -math.inf)", "masked_fill(~mask, -100.0)")

# %% exercise="additive_attention" wrong="hundred_subtracted"
"""100 is subtracted from the scores of padding. Scores may be in the hundreds: padding that lies further above the real
tokens than that still takes the weight.

Which number must a score become, so that its weight is exactly 0 wherever it came from?
"""
edit("scores.masked_fill(~mask, -math.inf)", "scores - 100.0 * ~mask")

# %% exercise="additive_attention" wrong="softmax_without_the_maximum"
"""The softmax is written as exp divided by the sum of exps: from a score of 89 on exp is infinite, and infinity over
infinity is NaN. Far below zero all exps are 0, and 0 / 0 is NaN, too.

What happens to the weights when the same number is subtracted from all scores? Which number would keep exp in range?
"""
edit("torch.softmax(scores, dim=-1)", "scores.exp() / scores.exp().sum(-1, keepdim=True)")

# %% exercise="additive_attention" wrong="squeezed_too_much"
"""`squeeze()` without a number drops every axis of size one: with a single sentence, or sentences of one token, the
batch or the time is gone.

Which axis should go? Say its number, or multiply by v as a vector.
"""
edit("scores = hidden @ v  # (B, S)", "scores = (hidden @ v[:, None]).squeeze()")
edit("(weights[:, None, :] @ states)[:, 0]", "(weights[..., None] * states).sum(-2)")

# %% exercise="additive_attention" wrong="mask_after_the_softmax"
"""The mask is applied after the softmax: rows with padding no longer sum to one.

When do you hide the padding: before the weights are made, or after?
"""
edit(
    """
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf)
    weights = torch.softmax(scores, dim=-1)
    """,
    """
    weights = torch.softmax(scores, dim=-1)
    if mask is not None:
        weights = weights * mask
    """,
)

# %% exercise="additive_attention" wrong="scores_of_padding_are_zero"
"""The scores of padding are set to 0, and exp(0) = 1: padding still gets weight.

Which score has no weight at all after the exponential?
"""
edit("scores.masked_fill(~mask, -math.inf)", "scores * mask")

# %% exercise="additive_attention" wrong="polarity_inverted"
"""The mask is read the wrong way round: real tokens are hidden and padding is read.

In this course True means "may look". Which of mask and ~mask do you fill with -inf?
"""
edit("scores.masked_fill(~mask, -math.inf)", "scores.masked_fill(mask, -1e30)")

# %% exercise="additive_attention" wrong="polarity_inverted_with_infinity"
"""The mask is read the wrong way round: the real tokens get minus infinity. A sentence without padding is hidden whole,
and its softmax is NaN.

In this course True means "may look". Which of mask and ~mask do you fill with -inf?
"""
edit("scores.masked_fill(~mask, -math.inf)", "scores.masked_fill(mask, -math.inf)")

# %% exercise="additive_attention" wrong="no_tanh"
"""The tanh is missing. Then the query adds the same number to every score, and the softmax does not notice it at all.

Without tanh, do your weights depend on the query?
"""
edit("torch.tanh((query @ w_q.T)[:, None, :] + states @ w_s.T)", "(query @ w_q.T)[:, None, :] + states @ w_s.T")

# %% exercise="additive_attention" wrong="tanh_of_each_part"
"""tanh is taken of the query's part and of the states' part, and then they are added. The query then adds the same
number to every score of a sentence, and the softmax does not notice it at all.

Where do the brackets of tanh close in the formula? Change the query: do your weights change?
"""
edit(
    "torch.tanh((query @ w_q.T)[:, None, :] + states @ w_s.T)",
    "torch.tanh(query @ w_q.T)[:, None, :] + torch.tanh(states @ w_s.T)",
)

# %% exercise="additive_attention" wrong="scaled"
"""The scores are divided by the root of A, as those of a transformer are (unit 02). Bahdanau's formula has no such
factor: v is learned, and can be as large or small as it has to be.

What stands between the scores and the softmax in the formula?
"""
edit("scores = hidden @ v", "scores = hidden @ v / math.sqrt(len(v))")

# %% exercise="additive_attention" wrong="softmax_over_the_batch"
"""The softmax runs over the batch: the sentences compete with each other instead of the words of one sentence.

For one query, what must add up to one?
"""
edit("torch.softmax(scores, dim=-1)", "torch.softmax(scores, dim=0)")
edit("scores.masked_fill(~mask, -math.inf)", "scores.masked_fill(~mask, -1e30)")

# %% exercise="additive_attention" wrong="softmax_over_the_units"
"""The softmax runs over the A hidden units, before the product with v, instead of over the words of the sentence. What
you divide by its sum afterwards may well be negative.

Which axis should be gone before the softmax? For one query, what must add up to one?
"""
def additive_attention(query, states, w_q, w_s, v, mask=None):
    hidden = torch.softmax(torch.tanh((query @ w_q.T)[:, None] + states @ w_s.T), dim=-1)
    weights = hidden @ v
    if mask is not None:
        weights = weights.masked_fill(~mask, 0)
    weights = weights / weights.sum(1, keepdim=True)
    return (weights[..., None] * states).sum(1), weights

# %% exercise="additive_attention" wrong="dot_product_instead"
"""The projected query and state are multiplied. That is dot-product attention (unit 02); this one adds them.

Where do v and tanh stand in the formula?
"""
edit("torch.tanh((query @ w_q.T)[:, None, :] + states @ w_s.T)", "(query @ w_q.T)[:, None, :] * (states @ w_s.T)")

# %% exercise="additive_attention" wrong="scores_for_weights"
"""The context is made with the raw scores; the softmax is only applied to what comes back as weights.

With scores of 5 and 3, how long would the context be? Which numbers sum to one?
"""
edit("(weights[:, None, :] @ states)[:, 0]", "(scores.nan_to_num(neginf=0.0)[:, None, :] @ states)[:, 0]")

# %% exercise="additive_attention" wrong="largest_only"
"""Only the state with the largest weight is handed over. A choice of one passes no gradient to the scores.

What does the paper call "soft" about its alignment?
"""
edit("(weights[:, None, :] @ states)[:, 0]", "states[torch.arange(len(states)), weights.argmax(-1)]")

# %% exercise="additive_attention" wrong="mean_over_all_states"
"""The weighted sum is divided by S once more: weights that sum to one already make a mean.

What should come out when one weight is 1 and all others are 0?
"""
edit("(weights[:, None, :] @ states)[:, 0]", "(weights[:, :, None] * states).mean(1)")

# %% exercise="bottleneck_finding" wrong="attention_falls_too"
"""Your numbers for attention fall with the length as those of one vector do.

Does attention carry the sentence through one vector? Read the last three lines of the table again.
"""
edit('"attention": [1.0, 1.0, 1.0]', '"attention": [0.98, 0.6, 0.45]')

# %% exercise="bottleneck_finding" wrong="names_exchanged"
"""The two readers are exchanged: you say that one vector holds twelve words and attention does not.

Which of the two hands over as many vectors as there are words?
"""
edit(
    'bottleneck_finding = {"one vector": [1.0, 0.59, 0.4], "attention": [1.0, 1.0, 1.0]}',
    'bottleneck_finding = {"one vector": [1.0, 1.0, 1.0], "attention": [1.0, 0.59, 0.4]}',
)

# %% exercise="bottleneck_finding" wrong="longest_first"
"""Your list begins with the longest sentences. Asked for are 2, 5 and 12 words, in this order.

Which sentences fit into one vector: those of 2 words, or those of 12?
"""
edit("[1.0, 0.59, 0.4]", "[0.4, 0.59, 1.0]")

# %% exercise="bottleneck_finding" wrong="shares_of_errors"
"""These are the shares of words that come out wrong. The table and the question have those that come out right.

Attention gets nearly all words right. Which number says so?
"""
edit("[1.0, 0.59, 0.4]", "[0.0, 0.41, 0.6]")
edit("[1.0, 1.0, 1.0]", "[0.0, 0.0, 0.0]")

# %% exercise="bottleneck_finding" wrong="twelve_words_guessed"
"""You say that one vector does no better than guessing at twelve words: with four words to choose from, a guess is
right in a quarter of the cases.

Read the third line of the table again. How much is left of twelve words?
"""
edit("[1.0, 0.59, 0.4]", "[1.0, 0.59, 0.25]")

# %% exercise="bottleneck_finding" wrong="percent"
"""Your numbers are per cent. Asked for is the share, from 0 to 1.

Half of the words: is that 50 or 0.5?
"""
edit("[1.0, 0.59, 0.4]", "[100, 59, 40]")
edit("[1.0, 1.0, 1.0]", "[100, 100, 100]")

# %% exercise="repaired_windows" wrong="graph_carried_along"
"""The state takes its history along: the gradient of every window walks back to the beginning of the text.

Where does the graph of window 2 begin? Cut it there with detach().
"""
edit("h.detach(), w_x", "h, w_x")
edit("torch.autograd.grad(loss, w_h)", "torch.autograd.grad(loss, w_h, retain_graph=True)")

# %% exercise="repaired_windows" wrong="state_set_to_zero"
"""The error is gone because the state is: every window starts from zeros and knows nothing of the text before it.

Keep the numbers of the state and drop only its history. Which method does that?
"""
edit(
    "states, h = rnn_forward(x[:, part], h.detach(), w_x, w_h, b)",
    """
    first = h if start == 0 else torch.zeros_like(h)
    states, h = rnn_forward(x[:, part], first.detach(), w_x, w_h, b)
    """,
)

# %% exercise="repaired_windows" wrong="every_window_from_zero"
"""Every window starts from zeros, the first one too: neither the state that was handed over nor that of the window
before is used.

Keep the numbers of the state and drop only its history. Which method does that?
"""
edit("h.detach(), w_x", "torch.zeros_like(h), w_x")

# %% exercise="repaired_windows" wrong="always_the_first_state"
"""Every window starts from the state that was handed over at the beginning; the state of the last window is lost.

Which variable should the next window start from?
"""
edit("states, h = rnn_forward", "states, last = rnn_forward")
edit("return torch.stack(grads), h.detach()", "return torch.stack(grads), last.detach()")

# %% exercise="repaired_windows" wrong="detached_at_every_step"
"""The state is detached at every step, inside the windows too: no gradient reaches back more than one step.

How far should the gradient of a window of 4 steps reach? Detach once for each window.
"""
edit(
    "states, h = rnn_forward(x[:, part], h.detach(), w_x, w_h, b)",
    """
    states = []
    for step in x[:, part].unbind(1):
        h = rnn_step(step, h.detach(), w_x, w_h, b)
        states.append(h)
    states = torch.stack(states, 1)
    """,
)

# %% exercise="repaired_windows" wrong="gradients_pile_up"
"""backward() adds to .grad, and nobody sets it back: the gradient of window 2 contains that of window 1.

What does w_h.grad hold before the second call of backward()?
"""
edit(
    "grads += torch.autograd.grad(loss, w_h)",
    """
    loss.backward()
    grads.append(w_h.grad.clone())
    """,
)

# %% exercise="repaired_windows" wrong="one_tensor_n_times"
"""All your gradients are those of the last window: w_h.grad is one tensor, and the list holds it N times. Zeroing and
filling it anew changes every entry.

What does `grads[0] is grads[1]` say of your list? What would .clone() have put into it?
"""
edit(
    "grads += torch.autograd.grad(loss, w_h)",
    """
    if w_h.grad is not None:
        w_h.grad.zero_()
    loss.backward()
    grads.append(w_h.grad)
    """,
)

# %% exercise="repaired_windows" wrong="state_with_its_graph"
"""The gradients are right, but the state that you return still has the graph of the last window behind it: whoever
goes on with it walks back into this text.

What does `h.requires_grad` say of it? Cut it off once more before you hand it back.
"""
edit("torch.stack(grads), h.detach()", "torch.stack(grads), h")

# %% exercise="repaired_windows" wrong="rest_of_the_text_dropped"
"""T // window windows: what is left over at the end is never read.

How many windows do 11 steps make when a window has 4?
"""
edit("range(0, x.shape[1], window)", "range(0, x.shape[1] - window + 1, window)")

# %% exercise="repaired_windows" wrong="sum_instead_of_mean"
"""The squared differences are added up; the docstring asks for their mean.

By which factor does your gradient change when the batch is twice as large?
"""
edit(".mean()", ".sum()")

# %% exercise="repaired_windows" wrong="last_state_of_the_window_only"
"""The loss looks at the last state of each window only. The docstring compares all states of the window with their
targets.

How many states does a window of 4 steps have, and how many targets?
"""
edit("((states - targets[:, part]) ** 2).mean()", "((h - targets[:, part][:, -1]) ** 2).mean()")

# %% exercise="repaired_windows" wrong="divided_by_a_full_window"
"""The squares are divided by the size of a full window, also in a last window that is shorter: its gradient comes out
too small.

How many squared differences does a window of 3 steps have when `window` is 4?
"""
edit(".mean()", ".sum() / (window * h.numel())")
