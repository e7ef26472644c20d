"""Wrong answers to the exercises of unit 04 that learners really give.

A cell is an edit of the solution, or a whole answer where a mistake is no small edit. Its docstring is what learners
read: an explanation, then a next step. Only these sentences ship, never the code.
"""

# %% exercise="LayerNorm" wrong="eps_outside_the_root"
"""eps is added to the standard deviation, outside the root. For vectors near 0.001 that is another number.

What do you divide by when the variance is 0: sqrt(eps), or eps?
"""
edit("centred * torch.rsqrt(variance + self.eps)", "centred / (variance.sqrt() + self.eps)")

# %% exercise="LayerNorm" wrong="statistics_over_the_batch"
"""The statistics are taken over batch and positions: tokens of other sentences change this one's output.

How many numbers share one mean? Take them along the last dimension only.
"""
edit("dim=-1", "dim=tuple(range(x.dim() - 1)) or -1", times=2)

# %% exercise="LayerNorm" wrong="statistics_over_the_sentence"
"""One mean and one variance serve a whole sentence. Each token needs its own.

Change one token: should the output at another position move?
"""
edit("dim=-1", "dim=(-2, -1) if x.dim() > 1 else -1", times=2)

# %% exercise="LayerNorm" wrong="unbiased_variance"
"""The variance divides by D - 1, torch's default for var and std. Layer normalisation divides by D.

Look up the argument `correction` of torch.var.
"""
edit("centred.square().mean(dim=-1, keepdim=True)", "x.var(dim=-1, keepdim=True)")

# %% exercise="LayerNorm" wrong="mean_not_subtracted"
"""The vector is divided by its root mean square, and its mean is still there. That is RMSNorm.

What is the mean of your output when weight is 1 and bias is 0?
"""
edit("x - x.mean(dim=-1, keepdim=True)", "x")

# %% exercise="LayerNorm" wrong="no_scale_and_shift"
"""weight and bias are made and never used: the output always has mean 0 and variance 1.

Set the bias to 5. Where does it show?
"""
edit(" * self.weight + self.bias", "")

# %% exercise="LayerNorm" wrong="divides_by_the_variance"
"""The centred vector is divided by its variance, not by the root of it.

In which unit is the variance of lengths in metres? And your output?
"""
edit("centred * torch.rsqrt(variance + self.eps)", "centred / (variance + self.eps)")

# %% exercise="LayerNorm" wrong="statistics_detached"
"""Mean and variance are computed without gradient. The forward numbers are right, the gradients are not.

If x grows by a constant the output stays. What must the gradient of a vector add up to?
"""
edit("x.mean(dim=-1, keepdim=True)", "x.mean(dim=-1, keepdim=True).detach()")
edit("centred.square().mean(dim=-1, keepdim=True)", "centred.square().mean(dim=-1, keepdim=True).detach()")

# %% exercise="LayerNorm" wrong="variance_as_a_difference"
"""The variance is mean(x^2) - mean^2. Near 2000 both are about four million, and float32 has no digits left for their
difference.

Subtract the mean first: how large are the numbers that you square then?
"""
edit(
    "centred.square().mean(dim=-1, keepdim=True)",
    "x.square().mean(dim=-1, keepdim=True) - x.mean(dim=-1, keepdim=True).square()",
)

# %% exercise="LayerNorm" wrong="gradient_of_a_root_at_zero"
"""The variance is a standard deviation, squared again. For a vector of equal numbers the root has no gradient, and NaN
goes backwards.

Which step of yours takes a root before eps is added?
"""
edit("centred.square().mean(dim=-1, keepdim=True)", "centred.square().mean(dim=-1, keepdim=True).sqrt() ** 2")

# %% exercise="LayerNorm" wrong="statistics_over_all_axes_but_the_first"
"""Mean and variance are taken over all axes but the first: the tokens of a sentence share them. Each token needs its
own.

Change one token: should the output at another position move?
"""
edit("dim=-1", "dim=tuple(range(1, x.dim())) or -1", times=2)

# %% exercise="LayerNorm" wrong="statistics_over_axis_one"
"""Mean and variance are taken over axis 1. That is the vector of (N, D); of (B, T, D) it is the positions of a
sentence.

Which axis holds the D numbers, however many stand before it?
"""
edit("dim=-1", "dim=min(1, x.dim() - 1)", times=2)

# %% exercise="LayerNorm" wrong="bias_before_weight"
"""The bias is added before the weight multiplies, so it is scaled, too.

What should come out for a vector of equal numbers: the bias, or the bias times the weight?
"""
edit("* self.weight + self.bias", "* self.weight + self.bias * self.weight")

# %% exercise="LayerNorm" wrong="variance_as_a_difference_above_zero"
"""The variance is mean(x^2) - mean^2, kept from falling below 0. Near 2000 both are about four million, and float32 has
no digits left for their difference; the floor only hides that.

Subtract the mean first: how large are the numbers that you square then?
"""
edit(
    "centred.square().mean(dim=-1, keepdim=True)",
    "(x.square().mean(dim=-1, keepdim=True) - x.mean(dim=-1, keepdim=True).square()).clamp(min=0)",
)

# %% exercise="LayerNorm" wrong="eps_as_a_floor"
"""eps is the smallest variance that you allow; it should be added to every variance.

What does a variance of eps become under the root: eps, or 2 eps?
"""
edit("variance + self.eps", "variance.clamp(min=self.eps)")

# %% exercise="RMSNorm" wrong="subtracts_the_mean"
"""The mean is subtracted first. That is layer normalisation without a bias.

RMSNorm keeps one thing that LayerNorm removes. Try a vector of equal numbers.
"""
edit(
    "mean_square = wide.square().mean(dim=-1, keepdim=True)",
    """
    wide = wide - wide.mean(dim=-1, keepdim=True)
    mean_square = wide.square().mean(dim=-1, keepdim=True)
    """,
)

# %% exercise="RMSNorm" wrong="no_square_root"
"""The vector is divided by its mean square; the root is missing.

Root mean square: which of the three words did you skip?
"""
edit("wide * torch.rsqrt(mean_square + self.eps)", "wide / (mean_square + self.eps)")

# %% exercise="RMSNorm" wrong="squares_in_half_precision"
"""The squares are taken in the dtype of x: 400 squared does not fit into float16, and 1 / inf is 0.

What is 400 * 400, and what is the largest float16?
"""
edit("wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x", "wide = x")

# %% exercise="RMSNorm" wrong="result_in_float32"
"""A float16 vector comes back as float32: the next layer gets another dtype than it sent.

Convert the finished result back to x.dtype.
"""
edit(".to(x.dtype)", "")

# %% exercise="RMSNorm" wrong="eps_outside_the_root"
"""eps is added to the root mean square, outside the root.

What do you divide by when all numbers are 0: sqrt(eps), or eps?
"""
edit("wide * torch.rsqrt(mean_square + self.eps)", "wide / (mean_square.sqrt() + self.eps)")

# %% exercise="RMSNorm" wrong="divides_by_the_length"
"""The vector is divided by its length, the root of the sum of squares. The mean is missing: the output shrinks with
D.

What is the length of a vector of D ones, and what is its root mean square?
"""
edit(".mean(dim=-1, keepdim=True)", ".sum(dim=-1, keepdim=True)")

# %% exercise="RMSNorm" wrong="one_scale_for_all_tokens"
"""One root mean square is taken over the whole tensor, so large tokens make small ones vanish.

How many numbers share one root mean square?
"""
edit(".mean(dim=-1, keepdim=True)", ".mean()")

# %% exercise="RMSNorm" wrong="weight_forgotten"
"""The weight is made and never used.

Set the weight to 3: what should the output do?
"""
edit(" * self.weight", "")

# %% exercise="RMSNorm" wrong="squares_before_widening"
"""x is squared in its own dtype and widened afterwards: 400 squared does not fit into float16, and 1 / inf is 0.

Which comes first, the square or the conversion to float32?
"""
edit("wide.square().mean(", "x.square().to(wide.dtype).mean(")

# %% exercise="RMSNorm" wrong="bfloat16_not_widened"
"""Only float16 is widened. bfloat16 does not overflow, but with 8 binary digits every square and quotient is rounded.

Which dtypes are half precision? Both should be float32 until the end.
"""
edit("x.dtype in (torch.float16, torch.bfloat16)", "x.dtype == torch.float16")

# %% exercise="RMSNorm" wrong="rounded_before_the_weight"
"""The normalised vector is rounded to the dtype of x before the weight multiplies, as in Llama's code: it is rounded
twice.

Where does your last conversion stand: before the weight, or behind it?
"""
edit(
    "(wide * torch.rsqrt(mean_square + self.eps) * self.weight).to(x.dtype)",
    "(wide * torch.rsqrt(mean_square + self.eps)).to(x.dtype) * self.weight.to(x.dtype)",
)

# %% exercise="RMSNorm" wrong="float64_through_float32"
"""float64 goes through float32, too, and loses half of its digits.

Which dtypes need to become wider, and which is wider already?
"""
edit("x.float() if x.dtype in (torch.float16, torch.bfloat16) else x", "x.float()")

# %% exercise="RMSNorm" wrong="one_plus_weight"
"""The result is multiplied by 1 + weight, with weights that start at zero, as Gemma has it. Here weight itself
multiplies, and starts at one.

What does your layer do when every weight is 1?
"""
edit("nn.Parameter(torch.ones(width))", "nn.Parameter(torch.zeros(width))")
edit("* self.weight)", "* (1 + self.weight))")

# %% exercise="RMSNorm" wrong="eps_as_a_floor"
"""eps is a lower bound for the mean square. The formula adds it, so that it counts for every vector, however little.

Take a vector whose mean square is eps. By what should it be divided?
"""
edit("mean_square + self.eps", "mean_square.clamp(min=self.eps)")

# %% exercise="RMSNorm" wrong="root_detached"
"""The root mean square is computed without gradient. The forward numbers are right, the gradients are not.

If x doubles the output stays. What must x times its gradient add up to?
"""
edit("wide.square().mean(", "wide.detach().square().mean(")

# %% exercise="BatchNorm" wrong="batch_statistics_in_evaluation"
"""In evaluation the statistics of the batch at hand are used: the answer for one sentence depends on its
neighbours.

Evaluate one vector alone. What are its mean and variance over the batch?
"""
edit(
    """
    mean, variance = self.running_mean, self.running_var
    if self.training:
        vectors = x.reshape(-1, x.shape[-1])  # (N, D)
        mean, variance = vectors.mean(dim=0), vectors.var(dim=0, correction=0)
        with torch.no_grad():
    """,
    """
    vectors = x.reshape(-1, x.shape[-1])
    mean, variance = vectors.mean(dim=0), vectors.var(dim=0, correction=0)
    if self.training:
        with torch.no_grad():
    """,
)

# %% exercise="BatchNorm" wrong="running_statistics_in_training"
"""In training the running statistics normalise. They only catch up slowly, and no gradient flows through them.

Algorithm 1 of the paper: whose mean and variance stand there?
"""
edit("mean, variance = vectors.mean(dim=0), vectors.var(dim=0, correction=0)", "")
edit("self.running_mean.lerp_(mean, self.momentum)", "self.running_mean.lerp_(vectors.mean(dim=0), self.momentum)")

# %% exercise="BatchNorm" wrong="biased_running_variance"
"""The variance that divides by N goes into running_var. It is too small on average, by a factor of (N - 1) / N.

One variance describes this batch, the other estimates that of all data. Which of them divides by N - 1?
"""
edit("self.running_var.lerp_(vectors.var(dim=0), self.momentum)", "self.running_var.lerp_(variance, self.momentum)")

# %% exercise="BatchNorm" wrong="batch_size_as_n"
"""The running variance is made unbiased with the size of the first axis. N is the number of vectors that the statistics
are taken over: all leading axes multiplied.

How many vectors does an input of shape (2, 5, D) hold?
"""
edit("vectors.var(dim=0), self.momentum", "variance * len(x) / max(len(x) - 1, 1), self.momentum")

# %% exercise="BatchNorm" wrong="unbiased_variance_in_the_normalisation"
"""The normalisation divides by the unbiased variance, torch's default. In training it divides by the variance with
N.

What is the variance (with N) of your output in training? It should be 1, but for eps.
"""
edit("correction=0", "correction=1")

# %% exercise="BatchNorm" wrong="momentum_turned_round"
"""momentum is used as the share of the old statistics. Here (and in torch) it is the share of the new batch.

With momentum 0.1, how much of the first batch should be in running_mean?
"""
edit("lerp_(mean, self.momentum)", "lerp_(mean, 1 - self.momentum)")
edit("lerp_(vectors.var(dim=0), self.momentum)", "lerp_(vectors.var(dim=0), 1 - self.momentum)")

# %% exercise="BatchNorm" wrong="running_statistics_never_move"
"""The running statistics stay at 0 and 1: evaluation does not normalise at all.

Print running_mean after ten batches.
"""
edit(
    """
    with torch.no_grad():
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(vectors.var(dim=0), self.momentum)
    """,
    "",
)

# %% exercise="BatchNorm" wrong="moves_in_evaluation_too"
"""The running statistics also move in evaluation: the model changes by being asked.

Ask twice in evaluation: the second answer must be the first.
"""
edit(
    """
    mean, variance = self.running_mean, self.running_var
    if self.training:
        vectors = x.reshape(-1, x.shape[-1])  # (N, D)
        mean, variance = vectors.mean(dim=0), vectors.var(dim=0, correction=0)
        with torch.no_grad():
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(vectors.var(dim=0), self.momentum)
    """,
    """
    mean, variance = self.running_mean.clone(), self.running_var.clone()
    vectors = x.reshape(-1, x.shape[-1])
    if self.training:
        mean, variance = vectors.mean(dim=0), vectors.var(dim=0, correction=0)
    if len(vectors) > 1:
        with torch.no_grad():
            self.running_mean.lerp_(vectors.mean(dim=0), self.momentum)
            self.running_var.lerp_(vectors.var(dim=0), self.momentum)
    """,
)

# %% exercise="BatchNorm" wrong="one_position_at_a_time"
"""The statistics are taken over the first axis only: each position of the sentence has its own.

The buffers have D numbers, so one mean serves all positions. Flatten all leading axes.
"""
edit(
    "mean, variance = vectors.mean(dim=0), vectors.var(dim=0, correction=0)",
    "mean, variance = x.mean(dim=0), x.var(dim=0, correction=0)",
)
edit("self.running_mean.lerp_(mean, self.momentum)", "self.running_mean.lerp_(vectors.mean(dim=0), self.momentum)")

# %% exercise="BatchNorm" wrong="statistics_detached"
"""Mean and variance of the batch are computed without gradient. The forward numbers are right, the gradients are
not.

Only the update of the buffers belongs under torch.no_grad().
"""
edit(
    "mean, variance = vectors.mean(dim=0), vectors.var(dim=0, correction=0)",
    "mean, variance = vectors.mean(dim=0).detach(), vectors.var(dim=0, correction=0).detach()",
)

# %% exercise="BatchNorm" wrong="statistics_are_no_buffers"
"""running_mean and running_var are not in the state dict, so a saved model forgets them: they are plain attributes, or
buffers that are not persistent.

What does register_buffer do that an assignment does not, and what does its argument `persistent` say?
"""
edit('self.register_buffer("running_mean", torch.zeros(width))', "self.running_mean = torch.zeros(width)")
edit('self.register_buffer("running_var", torch.ones(width))', "self.running_var = torch.ones(width)")

# %% exercise="BatchNorm" wrong="statistics_are_parameters"
"""running_mean and running_var are parameters: an optimiser will find them and change them.

What does register_buffer make that nn.Parameter does not?
"""
edit('self.register_buffer("running_mean", torch.zeros(width))', "self.running_mean = nn.Parameter(torch.zeros(width))")
edit('self.register_buffer("running_var", torch.ones(width))', "self.running_var = nn.Parameter(torch.ones(width))")

# %% exercise="BatchNorm" wrong="statistics_keep_their_graph"
"""The running statistics keep the graph of every batch they have seen: memory grows with each step of a training.

Under which context manager belongs the update of a buffer?
"""
edit(
    """
    with torch.no_grad():
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(vectors.var(dim=0), self.momentum)
    """,
    """
    self.running_mean = self.running_mean.lerp(mean, self.momentum)
    self.running_var = self.running_var.lerp(vectors.var(dim=0), self.momentum)
    """,
)

# %% exercise="FeedForward" wrong="tanh_gelu"
"""The GELU is the tanh approximation. The exact one uses the error function; they differ by up to 0.0005.

Which GELU does a checkpoint use? Look up the argument `approximate`.
"""
edit('"gelu": nn.functional.gelu', '"gelu": lambda x: nn.functional.gelu(x, approximate="tanh")')

# %% exercise="FeedForward" wrong="erf_without_the_root"
"""GELU is written with erf(x). Phi(x), the normal distribution function, is (1 + erf(x / sqrt(2))) / 2.

Which variance has the distribution whose function is (1 + erf(x)) / 2?
"""
edit('"gelu": nn.functional.gelu', '"gelu": lambda x: 0.5 * x * (1 + torch.erf(x))')

# %% exercise="FeedForward" wrong="sigmoid_gelu"
"""The GELU is the sigmoid approximation x * sigmoid(1.702 x). The exact one uses the error function.

Compare with x / 2 * (1 + erf(x / sqrt(2))) at x = 2.
"""
edit('"gelu": nn.functional.gelu', '"gelu": lambda x: x * torch.sigmoid(1.702 * x)')

# %% exercise="FeedForward" wrong="no_nonlinearity"
"""Nothing stands between the two linear maps: together they are one linear map.

What can two matrices do that their product cannot?
"""
edit("self.down(self.activation(self.up(x)))", "self.down(self.up(x))")

# %% exercise="FeedForward" wrong="nonlinearity_at_the_end"
"""The nonlinearity comes after `down`: the layer can only add to the stream, never subtract.

Which of the two outputs, F wide or D wide, goes through it?
"""
edit("self.down(self.activation(self.up(x)))", "self.activation(self.down(self.up(x)))")

# %% exercise="FeedForward" wrong="nonlinearity_at_both_ends"
"""The nonlinearity is applied twice, the second time to the output.

The output is added to the stream. Should it be able to be negative?
"""
edit("self.down(self.activation(self.up(x)))", "self.activation(self.down(self.activation(self.up(x))))")

# %% exercise="FeedForward" wrong="always_relu"
"""The argument `activation` is accepted and relu is used whatever it says.

What does a GELU of -0.5 give?
"""
edit("known[activation]", 'known["relu"]')

# %% exercise="FeedForward" wrong="residual_inside"
"""The input is added inside the feed-forward layer. The encoder layer adds it again.

Who carries the stream around the sublayer: the sublayer or the layer?
"""
edit("self.down(self.activation(self.up(x)))", "x + self.down(self.activation(self.up(x)))")

# %% exercise="FeedForward" wrong="no_biases"
"""The linear maps have no biases, so a state dict with biases does not fit.

Equation 2 of the paper has b1 and b2.
"""
edit("nn.Linear(width, hidden)", "nn.Linear(width, hidden, bias=False)")
edit("nn.Linear(hidden, width)", "nn.Linear(hidden, width, bias=False)")

# %% exercise="FeedForward" wrong="another_activation_is_accepted"
"""An `activation` other than "relu" and "gelu" is accepted without a word; the docstring asks for a ValueError.

What happens to somebody who writes "GELU"?
"""
edit(
    """
    if activation not in known:
        raise ValueError(f"activation is 'relu' or 'gelu', not {activation!r}")
    self.activation = known[activation]
    """,
    "self.activation = known.get(activation, nn.functional.relu)",
)

# %% exercise="FeedForward" wrong="leaky_relu"
"""The relu is a leaky one: a small part of a negative number passes.

What does relu give for -1?
"""
edit('"relu": nn.functional.relu', '"relu": nn.functional.leaky_relu')

# %% exercise="SwiGLU" wrong="gate_and_up_swapped"
"""The branch `up` is squashed and `gate` is not. With weights from elsewhere the result is wrong.

Which branch goes through silu?
"""
edit("nn.functional.silu(self.gate(x)) * self.up(x)", "self.gate(x) * nn.functional.silu(self.up(x))")

# %% exercise="SwiGLU" wrong="sigmoid_gate"
"""The gate is a sigmoid. That is the GLU of 2016; SwiGLU uses silu, z * sigmoid(z).

What does your gate give for a very large z: 1, or z?
"""
edit("nn.functional.silu", "torch.sigmoid")

# %% exercise="SwiGLU" wrong="gelu_gate"
"""The gate is a GELU. That is GEGLU, a sister in the same paper.

silu(z) = z * sigmoid(z).
"""
edit("nn.functional.silu", "nn.functional.gelu")

# %% exercise="SwiGLU" wrong="branches_added"
"""The two branches are added. A gate multiplies: where it is 0, nothing passes.

Set the gate's weights to zero. What should come out?
"""
edit("nn.functional.silu(self.gate(x)) * self.up(x)", "nn.functional.silu(self.gate(x)) + self.up(x)")

# %% exercise="SwiGLU" wrong="product_squashed"
"""silu is applied to the product of both branches instead of to the gate alone.

Which arrow in the formula goes into silu?
"""
edit("nn.functional.silu(self.gate(x)) * self.up(x)", "nn.functional.silu(self.gate(x) * self.up(x))")

# %% exercise="SwiGLU" wrong="no_gate"
"""Only one branch is used: this is a feed-forward layer with silu, and `up` is never called.

Set the weights of `up` to zero: what should come out?
"""
edit("nn.functional.silu(self.gate(x)) * self.up(x)", "nn.functional.silu(self.gate(x))")

# %% exercise="SwiGLU" wrong="biases"
"""The linear maps have biases, so a state dict without them does not fit.

Look at the last words of the line about parameters.
"""
edit("bias=False", "bias=True", times=3)

# %% exercise="SwiGLU" wrong="softmax_gate"
"""The gate is a softmax: its coordinates compete, and all of them together let through 1. silu takes each by itself.

silu(z) = z * sigmoid(z).
"""
edit("nn.functional.silu(self.gate(x))", "self.gate(x).softmax(dim=-1)")

# %% exercise="SwiGLU" wrong="one_map_for_both_branches"
"""gate and up are one and the same linear map: both branches have the same weights.

Does giving a layer a second name make a second layer?
"""
edit("self.up = nn.Linear(width, hidden, bias=False)", "self.up = self.gate")

# %% exercise="EncoderLayer" wrong="residual_adds_the_normalised_stream"
"""What is carried around the sublayer is the normalised stream, not the stream itself. All that earlier layers
wrote is rescaled.

Zero all weights of the sublayers: what should come out?
"""
edit(
    """
    x = x + self.dropout(self.attention(self.norm1(x), mask)[0])
    return x + self.dropout(self.feed_forward(self.norm2(x)))
    """,
    """
    x = self.norm1(x) + self.dropout(self.attention(self.norm1(x), mask)[0])
    return self.norm2(x) + self.dropout(self.feed_forward(self.norm2(x)))
    """,
)

# %% exercise="EncoderLayer" wrong="both_sublayers_read_the_input"
"""Attention and feed-forward layer run side by side on the same input. In this layer the second reads what the
first one made.

What does the feed-forward layer see: x, or x plus what attention added?
"""
edit(
    """
        x = x + self.dropout(self.attention(self.norm1(x), mask)[0])
        return x + self.dropout(self.feed_forward(self.norm2(x)))
    x = self.norm1(x + self.dropout(self.attention(x, mask)[0]))
    return self.norm2(x + self.dropout(self.feed_forward(x)))
    """,
    """
        y = x + self.dropout(self.attention(self.norm1(x), mask)[0])
        return y + self.dropout(self.feed_forward(self.norm2(x)))
    y = self.norm1(x + self.dropout(self.attention(x, mask)[0]))
    return self.norm2(y + self.dropout(self.feed_forward(x)))
    """,
)

# %% exercise="EncoderLayer" wrong="second_norm_reads_the_original"
"""In pre-norm the second norm still reads the input of the whole layer; what attention added does not reach the
feed-forward layer.

Which x stands in the second line, the old one or the new one?
"""
edit(
    """
    x = x + self.dropout(self.attention(self.norm1(x), mask)[0])
    return x + self.dropout(self.feed_forward(self.norm2(x)))
    """,
    """
    y = x + self.dropout(self.attention(self.norm1(x), mask)[0])
    return y + self.dropout(self.feed_forward(self.norm2(x)))
    """,
)

# %% exercise="EncoderLayer" wrong="no_residual"
"""The stream is not added back: each sublayer replaces what was there.

Zero the weights of a sublayer. What is left?
"""
edit("x + self.dropout", "self.dropout", times=4)

# %% exercise="EncoderLayer" wrong="norm_of_the_sublayer_only"
"""In post-norm the norm acts on the sublayer's output before it is added, not on the sum.

In figure 1 of the paper the box says Add & Norm. In which order?
"""
edit(
    "self.norm1(x + self.dropout(self.attention(x, mask)[0]))",
    "x + self.norm1(self.dropout(self.attention(x, mask)[0]))",
)
edit("self.norm2(x + self.dropout(self.feed_forward(x)))", "x + self.norm2(self.dropout(self.feed_forward(x)))")

# %% exercise="EncoderLayer" wrong="always_pre_norm"
"""The argument `norm` is checked and then not used: the layer is always pre-norm.

Where does your forward ask which of the two it is?
"""
edit('self.pre = norm == "pre"', "self.pre = True")

# %% exercise="EncoderLayer" wrong="pre_and_post_swapped"
"""norm="pre" computes post-norm and the other way round.

Pre means: before the sublayer.
"""
edit('self.pre = norm == "pre"', 'self.pre = norm == "post"')

# %% exercise="EncoderLayer" wrong="one_norm_for_both"
"""norm1 is used twice, norm2 never: both sublayers share scale and shift.

Change the weights of norm2: does the output move?
"""
edit("self.norm2(x", "self.norm1(x", times=2)

# %% exercise="EncoderLayer" wrong="norm1_twice_in_pre_norm"
"""With norm="pre" both sublayers read norm1, and norm2 has nothing to do.

Change the weights of norm2: does the output move?
"""
edit("self.feed_forward(self.norm2(x))", "self.feed_forward(self.norm1(x))")

# %% exercise="EncoderLayer" wrong="mask_forgotten_in_post_norm"
"""With norm="post" the attention gets no mask: every query reads the padding.

Which of your two branches hands the mask on?
"""
edit("self.attention(x, mask)[0]", "self.attention(x)[0]")

# %% exercise="EncoderLayer" wrong="mask_not_passed_on"
"""The mask is accepted and never handed to the attention: padding is read like words.

Trace the argument `mask`: who reads it?
"""
edit("self.attention(self.norm1(x), mask)", "self.attention(self.norm1(x))")
edit("self.attention(x, mask)", "self.attention(x)")

# %% exercise="EncoderLayer" wrong="dropout_on_the_stream"
"""Dropout acts on the sum, so it also drops what earlier layers wrote into the stream.

The paper applies it to a sublayer's output, before it is added. With dropout=1 the stream must pass untouched.
"""
edit("x + self.dropout(", "self.dropout(x + ", times=4)

# %% exercise="EncoderLayer" wrong="dropout_forgotten"
"""The argument `dropout` is accepted and never used.

With dropout=1 in training nothing of a sublayer arrives. What is left of the layer?
"""
edit("self.dropout = nn.Dropout(dropout)", "self.dropout = nn.Identity()")

# %% exercise="EncoderLayer" wrong="activation_not_passed_on"
"""The argument `activation` never reaches FeedForward: it is always relu.

How does FeedForward learn which activation it should use?
"""
edit("FeedForward(width, hidden, activation)", "FeedForward(width, hidden)")

# %% exercise="EncoderLayer" wrong="another_norm_is_post"
"""Every `norm` but "pre" is taken for "post", also one that does not exist. The docstring asks for a ValueError.

What happens to somebody who writes "Pre"?
"""
edit(
    """
    if norm not in ("pre", "post"):
        raise ValueError(f"norm is 'pre' or 'post', not {norm!r}")
    """,
    "",
)

# %% exercise="EncoderLayer" wrong="one_norm_object"
"""norm1 and norm2 are one and the same LayerNorm: both sublayers share scale and shift.

What does `self.norm2 = self.norm1` copy: the layer, or a reference to it?
"""
edit("FeedForward(width, hidden, activation), LayerNorm(width)", "FeedForward(width, hidden, activation), self.norm1")

# %% exercise="EncoderLayer" wrong="norms_exchanged"
"""norm2 goes with the attention and norm1 with the feed-forward layer. With weights from elsewhere the result is wrong.

The norms are numbered in the order in which the sublayers act.
"""
edit(
    """
        x = x + self.dropout(self.attention(self.norm1(x), mask)[0])
        return x + self.dropout(self.feed_forward(self.norm2(x)))
    x = self.norm1(x + self.dropout(self.attention(x, mask)[0]))
    return self.norm2(x + self.dropout(self.feed_forward(x)))
    """,
    """
        x = x + self.dropout(self.attention(self.norm2(x), mask)[0])
        return x + self.dropout(self.feed_forward(self.norm1(x)))
    x = self.norm2(x + self.dropout(self.attention(x, mask)[0]))
    return self.norm1(x + self.dropout(self.feed_forward(x)))
    """,
)

# %% exercise="EncoderLayer" wrong="mask_turned_round"
"""The mask is turned round before it goes to the attention: only padding is read. nn.Transformer wants True = hidden,
your own attention wants True = may look.

Which of the two conventions does the docstring of this layer name?
"""
edit(
    "if self.pre:",
    """
    mask = None if mask is None else ~mask
    if self.pre:
    """,
)

# %% exercise="EncoderLayer" wrong="dropout_only_behind_attention"
"""Dropout acts on the attention's output alone; that of the feed-forward layer is left out.

With dropout=1 a pre-norm layer in training gives back its input.
"""
edit("self.dropout(self.feed_forward(self.norm2(x)))", "self.feed_forward(self.norm2(x))")
edit("self.dropout(self.feed_forward(x))", "self.feed_forward(x)")

# %% exercise="DecoderLayer" wrong="masks_swapped"
"""The memory mask goes to the self-attention and the causal mask to the cross-attention.

Which of the two sequences has padding, and which has a future?
"""
edit("self.self_attention(x, mask)", "self.self_attention(x, memory_mask)")
edit("self.cross_attention(x, memory_mask, memory)", "self.cross_attention(x, mask, memory)")

# %% exercise="DecoderLayer" wrong="memory_mask_ignored"
"""The memory mask is accepted and never used: the decoder reads the padding of the source.

Trace the argument `memory_mask`: who reads it?
"""
edit("self.cross_attention(x, memory_mask, memory)", "self.cross_attention(x, None, memory)")

# %% exercise="DecoderLayer" wrong="memory_mask_turned_round"
"""memory_mask is turned round before it goes to the cross-attention: only the padding of the source is read.
nn.Transformer wants True = hidden, your own attention wants True = may look.

Which of the two conventions does the docstring name?
"""
edit("x, memory_mask, memory)", "x, None if memory_mask is None else ~memory_mask, memory)")

# %% exercise="DecoderLayer" wrong="causal_mask_turned_round"
"""mask is turned round before it goes to the self-attention: a query reads what it should not. nn.Transformer wants
True = hidden, your own attention wants True = may look.

Which of the two conventions does the docstring name?
"""
edit("self.self_attention(x, mask)[0]", "self.self_attention(x, None if mask is None else ~mask)[0]")

# %% exercise="DecoderLayer" wrong="causal_mask_ignored"
"""The mask of the target is accepted and never used: each position reads the words it has to predict.

Trace the argument `mask`: who reads it?
"""
edit("self.self_attention(x, mask)", "self.self_attention(x)")

# %% exercise="DecoderLayer" wrong="causal_mask_in_cross_attention"
"""The causal mask also acts on the cross-attention: word 3 of the target may then read 3 words of the source only.

The source is known in full before the first target word is written. Is anything of it in the future?
"""
edit(
    "sublayers = (",
    """
    if mask is not None and mask.shape[-1] == memory.shape[1]:
        memory_mask = mask if memory_mask is None else mask & memory_mask
    sublayers = (
    """,
)

# %% exercise="DecoderLayer" wrong="memory_is_normalised"
"""The norm of the cross-attention is applied to the memory too. The encoder has already finished it.

Which of queries, keys and values come from the stream?
"""
edit(
    "(self.norm2, lambda x: self.cross_attention(x, memory_mask, memory)[0]),",
    "(self.norm2, lambda x: self.cross_attention(x, memory_mask, self.norm2(memory) if self.pre else memory)[0]),",
)

# %% exercise="DecoderLayer" wrong="cross_attention_first"
"""Cross-attention comes before self-attention.

Follow figure 1 of the paper from the bottom of the decoder upwards.
"""
edit(
    """
    (self.norm1, lambda x: self.self_attention(x, mask)[0]),
    (self.norm2, lambda x: self.cross_attention(x, memory_mask, memory)[0]),
    """,
    """
    (self.norm2, lambda x: self.cross_attention(x, memory_mask, memory)[0]),
    (self.norm1, lambda x: self.self_attention(x, mask)[0]),
    """,
)

# %% exercise="DecoderLayer" wrong="no_cross_attention"
"""The memory is never read: the decoder writes without having seen the source.

Change the memory: does anything happen?
"""
edit("(self.norm2, lambda x: self.cross_attention(x, memory_mask, memory)[0]),", "")

# %% exercise="DecoderLayer" wrong="no_residual_around_cross_attention"
"""What cross-attention delivers replaces the stream instead of being added to it.

With a cross-attention of zero, is anything of the target left?
"""
edit(
    "x = x + self.dropout(sublayer(norm(x))) if self.pre else norm(x + self.dropout(sublayer(x)))",
    """
    kept = 0 if norm is self.norm2 else x
    x = kept + self.dropout(sublayer(norm(x))) if self.pre else norm(kept + self.dropout(sublayer(x)))
    """,
)

# %% exercise="DecoderLayer" wrong="residual_adds_the_normalised_stream"
"""What is carried around each sublayer is the normalised stream, not the stream itself.

Zero all weights of the sublayers: what should come out of a pre-norm layer?
"""
edit("x + self.dropout(sublayer(norm(x)))", "norm(x) + self.dropout(sublayer(norm(x)))")

# %% exercise="DecoderLayer" wrong="norms_in_another_order"
"""norm2 goes with the feed-forward layer and norm3 with the cross-attention. With weights from elsewhere the result
is wrong.

The norms are numbered in the order in which the sublayers act.
"""
edit("(self.norm2, lambda x: self.cross_attention", "(self.norm3, lambda x: self.cross_attention")
edit("(self.norm3, self.feed_forward)", "(self.norm2, self.feed_forward)")

# %% exercise="DecoderLayer" wrong="always_post_norm"
"""The argument `norm` is checked and then not used: the layer is always post-norm.

Where does your forward ask which of the two it is?
"""
edit('self.pre = norm == "pre"', "self.pre = False")

# %% exercise="DecoderLayer" wrong="dropout_only_in_the_feed_forward_layer"
"""Dropout acts on the feed-forward layer alone; both attentions are left out.

With dropout=1 a pre-norm layer in training gives back its input.
"""
edit(
    "x = x + self.dropout(sublayer(norm(x))) if self.pre else norm(x + self.dropout(sublayer(x)))",
    """
    dropout = self.dropout if norm is self.norm3 else nn.Identity()
    x = x + dropout(sublayer(norm(x))) if self.pre else norm(x + dropout(sublayer(x)))
    """,
)

# %% exercise="DecoderLayer" wrong="another_norm_is_post"
"""Every `norm` but "pre" is taken for "post", also one that does not exist. The docstring asks for a ValueError.

What happens to somebody who writes "Pre"?
"""
edit(
    """
    if norm not in ("pre", "post"):
        raise ValueError(f"norm is 'pre' or 'post', not {norm!r}")
    """,
    "",
)

# %% exercise="DecoderLayer" wrong="hides_the_future_by_itself"
"""The layer makes a causal mask of its own when it is given none. It should hide nothing by itself.

Who decides what may be seen: the layer, or the masks that it is given?
"""
edit(
    "sublayers = (",
    """
    if mask is None:
        mask = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).tril()
    sublayers = (
    """,
)

# %% exercise="DecoderLayer" wrong="one_attention_for_both"
"""Self-attention and cross-attention are one and the same module with two names: they share all weights.

What does `self.cross_attention = self.self_attention` copy: the layer, or a reference to it?
"""
edit(
    "self.cross_attention, self.norm2 = MultiHeadAttention(width, heads)",
    "self.cross_attention, self.norm2 = self.self_attention",
)

# %% exercise="DecoderLayer" wrong="cross_attention_reads_the_raw_stream"
"""In pre-norm the queries of the cross-attention come from the stream as it is: norm2 is left out.

What is x inside of your sublayer: the stream, or the normalised stream?
"""
edit(
    "for norm, sublayer in sublayers:",
    """
    if self.pre:
        sublayers = (sublayers[0], (nn.Identity(), sublayers[1][1]), sublayers[2])
    for norm, sublayer in sublayers:
    """,
)

# %% exercise="Transformer" wrong="embeddings_not_scaled"
"""The embeddings are not multiplied by sqrt(D): next to the positions they are too quiet.

How long is an embedding of deviation 1 / sqrt(D), and how long is a row of sinusoids?
"""
edit("table(ids) * math.sqrt(D)", "table(ids)")

# %% exercise="Transformer" wrong="positions_scaled_too"
"""Embedding and position are added first and multiplied by sqrt(D) together.

Only one of the two is made small by its initial deviation.
"""
edit("table(ids) * math.sqrt(D) + self.positions[:T]", "(table(ids) + self.positions[:T]) * math.sqrt(D)")

# %% exercise="Transformer" wrong="positions_forgotten"
"""No positions are added: the encoder sees a bag of words.

What did unit 03 measure about attention without positions?
"""
edit("table(ids) * math.sqrt(D) + self.positions[:T]", "table(ids) * math.sqrt(D)")

# %% exercise="Transformer" wrong="no_closing_norm"
"""With pre-norm the closing norms are made and not applied: nothing normalises the stream before the head.

In pre-norm, which norm acts on what the last layer adds?
"""
edit("return self.encoder_norm(x), keep", "return x, keep")
edit("return self.decoder_norm(x) @", "return x @")

# %% exercise="Transformer" wrong="memory_without_closing_norm"
"""The decoder's stream is normalised at the end, the memory is not.

Which norm acts on what the last encoder layer adds?
"""
edit("return self.encoder_norm(x), keep", "return x, keep")

# %% exercise="Transformer" wrong="closing_norms_with_post_norm"
"""Closing norms are also there with post-norm, where each layer already ends in one.

Which parameters has a post-norm model in its state dict?
"""
edit('LayerNorm(width) if norm == "pre" else nn.Identity()', "LayerNorm(width)", times=2)

# %% exercise="Transformer" wrong="causal_mask_forgotten"
"""The decoder has no causal mask: in training it reads the word it has to predict, and the loss looks wonderful.

Change the last word of the target: which logits move?
"""
edit("layer(x, memory, causal, source_keep[:, None, None, :])", "layer(x, memory, None, source_keep[:, None, None, :])")

# %% exercise="Transformer" wrong="causal_mask_without_diagonal"
"""A position may not see itself: it does not know the word that has just been written. The first sees nothing.

Position t sees targets 0 to t. Is t among them?
"""
edit(".tril()", ".tril(-1)")

# %% exercise="Transformer" wrong="source_padding_read_by_the_decoder"
"""The padding of the source is hidden in the encoder, and the decoder reads it.

Which mask does cross-attention need?
"""
edit("layer(x, memory, causal, source_keep[:, None, None, :])", "layer(x, memory, causal)")

# %% exercise="Transformer" wrong="source_padding_read_by_the_encoder"
"""The padding of the source is hidden from the decoder only: in the encoder real words read it.

Translate a sentence alone and in a batch with a longer one. Is the memory of its words the same?
"""
edit("layer(x, keep[:, None, None, :])", "layer(x)")

# %% exercise="Transformer" wrong="padding_polarity"
"""The mask is True where the padding is, so only padding may be read.

True = may look. What does your encode return for a real token?
"""
edit("source != PAD", "source == PAD")

# %% exercise="Transformer" wrong="head_of_its_own"
"""The head is a linear map of its own, so the state dict has more parameters than it should.

Section 3.4 of the paper: which matrix do embedding and head share?
"""
edit(
    "self.dropout = nn.Dropout(dropout)",
    """
    self.dropout = nn.Dropout(dropout)
    self.head = nn.Linear(width, target_vocab, bias=False)
    """,
)
edit("self.decoder_norm(x) @ self.target_embedding.weight.T", "self.head(self.decoder_norm(x))")

# %% exercise="Transformer" wrong="one_layer_used_many_times"
"""The list holds the same layer several times: all layers share one set of weights.

What does [layer] * 6 copy: the layer, or a reference to it?
"""
edit("EncoderLayer(*options) for _ in range(layers)", "[EncoderLayer(*options)] * layers")
edit("DecoderLayer(*options) for _ in range(layers)", "[DecoderLayer(*options)] * layers")

# %% exercise="Transformer" wrong="decoder_reads_the_source_embeddings"
"""The decoder gets the embedded source as its memory; what the encoder made of it is thrown away.

What does encode return, and who reads it?
"""
edit("return self.encoder_norm(x), keep", "return self.embedded(source, self.source_embedding), keep")

# %% exercise="Transformer" wrong="embedding_dropout_forgotten"
"""Dropout acts in the layers and not on the sum of embedding and position.

Section 5.4 of the paper names two places. With dropout=1 nothing of the input is left.
"""
edit("self.dropout(table(ids) * math.sqrt(D) + self.positions[:T])", "table(ids) * math.sqrt(D) + self.positions[:T]")

# %% exercise="Transformer" wrong="head_scaled_too"
"""The logits are multiplied by sqrt(D), like the embeddings. The paper scales the embedding layers only.

How large are the logits of a fresh model, with the factor and without?
"""
edit(
    "return self.decoder_norm(x) @ self.target_embedding.weight.T",
    "return self.decoder_norm(x) @ self.target_embedding.weight.T * math.sqrt(x.shape[-1])",
)

# %% exercise="Transformer" wrong="norm_not_passed_on"
"""The arguments norm and activation do not reach the layers: these are always pre-norm with relu.

How does an EncoderLayer learn what you asked for?
"""
edit("(width, heads, hidden, norm, activation, dropout)", '(width, heads, hidden, "pre", "relu", dropout)')

# %% exercise="Transformer" wrong="norm_not_passed_to_the_decoder"
"""The decoder's layers do not get the argument norm: they are pre-norm also where "post" is asked for.

How does a DecoderLayer learn what you asked for?
"""
edit("DecoderLayer(*options)", 'DecoderLayer(width, heads, hidden, "pre", activation, dropout)')

# %% exercise="Transformer" wrong="length_not_checked"
"""A sequence longer than max_length is not refused: it fails somewhere inside, or gets positions that do not exist.

Who should say that a sequence is too long, and with which exception?
"""
edit(
    """
    if T > len(self.positions):
        raise ValueError(f"a sequence of {T} tokens is longer than max_length={len(self.positions)}")
    """,
    "",
)

# %% exercise="Transformer" wrong="memory_normalised_by_the_decoder"
"""decoder_norm is applied to the memory, too. The encoder has already finished it.

What stands directly before the head, and only there?
"""
edit(
    "for layer in self.decoder:",
    """
    memory = self.decoder_norm(memory)
    for layer in self.decoder:
    """,
)

# %% exercise="Transformer" wrong="no_closing_norm_in_the_decoder"
"""With pre-norm decoder_norm is made and not applied: nothing normalises the decoder's stream before the head.

In pre-norm, which norm acts on what the last layer adds?
"""
edit("self.decoder_norm(x) @", "x @")

# %% exercise="Transformer" wrong="causal_mask_one_too_far"
"""The causal mask lets a position see one further: it reads the word that follows its own, which it has to predict.

Position t sees targets 0 to t. What does tril(diagonal=1) allow?
"""
edit(".tril()", ".tril(diagonal=1)")

# %% exercise="Transformer" wrong="encoder_mask_on_the_queries"
"""In the encoder the mask lies along the queries: padding may not look, and real words read the padding.

Which axis of (B, H, S, S) are the keys? Something is hidden by hiding keys.
"""
edit("layer(x, keep[:, None, None, :])", "layer(x, keep[:, None, :, None])")

# %% exercise="Transformer" wrong="bos_counts_as_padding"
"""BOS in a source counts as padding. Only PAD is padding; any other token may stand in a source.

With which number do you compare the tokens, and which tokens are on each side of it?
"""
edit("source != PAD", "source > BOS")

# %% exercise="Transformer" wrong="positions_not_dropped"
"""Dropout acts on the embedding before the position is added; it should act on their sum.

With dropout=1 nothing of the input is left, positions included.
"""
edit(
    "self.dropout(table(ids) * math.sqrt(D) + self.positions[:T])",
    "self.dropout(table(ids) * math.sqrt(D)) + self.positions[:T]",
)

# %% exercise="Transformer" wrong="decoder_without_dropout"
"""The argument dropout reaches the encoder's layers and not the decoder's.

How does a DecoderLayer learn which dropout you want?
"""
edit("DecoderLayer(*options)", "DecoderLayer(*options[:-1])")

# %% exercise="gradient_norms_by_depth" wrong="no_closing_norm"
"""With pre-norm the closing norm behind the last layer is missing, so the loss is another one.

What stands behind the last layer of a pre-norm Transformer?
"""
edit(
    """
    if norm == "pre":
        x = LayerNorm(width)(x)
    """,
    "",
)

# %% exercise="gradient_norms_by_depth" wrong="closing_norm_always"
"""The closing norm is applied to the post-norm stack too.

Which of the two arrangements needs a norm behind the last layer?
"""
edit(
    """
    if norm == "pre":
        x = LayerNorm(width)(x)
    """,
    "x = LayerNorm(width)(x)",
)

# %% exercise="gradient_norms_by_depth" wrong="sum_instead_of_mean"
"""The loss is the sum over all tokens, not their mean: the norms are B * T times too large.

Divide by the number of tokens.
"""
edit("(x * direction).sum(dim=-1).mean()", "(x * direction).sum()")

# %% exercise="gradient_norms_by_depth" wrong="mean_over_all_numbers"
"""The loss is the mean over all numbers; it should be the sum over the coordinates and the mean over tokens.

By how many numbers do you divide, and how many tokens are there?
"""
edit("(x * direction).sum(dim=-1).mean()", "(x * direction).mean()")

# %% exercise="gradient_norms_by_depth" wrong="last_layer_first"
"""The norms come in the order in which the gradient passes, the last layer first.

Entry 0 belongs to the layer that reads the input.
"""
edit("for grad in grads", "for grad in reversed(grads)")

# %% exercise="gradient_norms_by_depth" wrong="squared_norms"
"""The squares of the norms are returned; the root is missing.

sqrt of the sum of squares: torch.Tensor.norm does it.
"""
edit("grad.norm()", "grad.square().sum()")

# %% exercise="gradient_norms_by_depth" wrong="weights_instead_of_gradients"
"""The norms of the weights are returned. At the start they are the same for all layers by construction.

What did backward() write, and where?
"""
edit(
    "return torch.stack([grad.norm() for grad in grads])",
    "return torch.stack([layer.feed_forward.down.weight.detach().norm() for layer in stack])",
)

# %% exercise="gradient_norms_by_depth" wrong="another_weight"
"""The gradient of `up` is measured; the question asks for `down`, the last linear map of each layer.

Which weight does the docstring name?
"""
edit("layer.feed_forward.down.weight", "layer.feed_forward.up.weight")

# %% exercise="gradient_norms_by_depth" wrong="always_pre_norm"
"""The layers are built without the argument `norm`: both arrangements give pre-norm layers.

How does EncoderLayer learn which one you want?
"""
edit("EncoderLayer(width, heads, hidden, norm)", "EncoderLayer(width, heads, hidden)")

# %% exercise="gradient_norms_by_depth" wrong="graph_left"
"""The norms still have a graph behind them, with every gradient and every layer of the stack.

What does create_graph=True keep, and who needs it here?
"""
edit("for layer in stack])", "for layer in stack], create_graph=True)")

# %% exercise="gradient_norms_by_depth" wrong="mean_over_the_batch"
"""The loss is the mean over the B sentences, not over the B * T tokens: the norms are T times too large.

How many dot products <output, direction> do you add up, and by how many do you divide?
"""
edit("(x * direction).sum(dim=-1).mean()", "(x * direction).sum(dim=(1, 2)).mean()")

# %% exercise="gradient_norms_by_depth" wrong="mean_of_the_sentences_norms"
"""The norm is taken for each sentence of the batch and averaged. Asked for is the norm of one gradient, that of the
mean over all tokens: where two sentences pull in different directions, they cancel.

How many losses have you called backward on?
"""
edit(
    """
    loss = (x * direction).sum(dim=-1).mean()
    grads = torch.autograd.grad(loss, [layer.feed_forward.down.weight for layer in stack])
    return torch.stack([grad.norm() for grad in grads])
    """,
    """
    weights = [layer.feed_forward.down.weight for layer in stack]
    losses = (x * direction).sum(dim=-1).mean(dim=-1)
    each = [torch.autograd.grad(loss, weights, retain_graph=True) for loss in losses]
    return torch.stack([torch.stack([grad.norm() for grad in grads]) for grads in each]).mean(dim=0)
    """,
)

# %% exercise="gradient_norms_by_depth" wrong="mean_absolute_value"
"""The mean absolute value of each gradient is returned, not its Frobenius norm.

sqrt of the sum of squares: torch.Tensor.norm does it.
"""
edit("grad.norm()", "grad.abs().mean()")

# %% exercise="gradient_norms_by_depth" wrong="spectral_norm"
"""The norms are the largest singular values (ord=2 for a matrix); asked for are Frobenius norms.

sqrt of the sum of the squares of all entries: which `ord` of torch.linalg.matrix_norm is that?
"""
edit("grad.norm()", "torch.linalg.matrix_norm(grad, ord=2)")

# %% exercise="depth_finding" wrong="the_papers_one_over_depth"
"""The pre-norm ratios are those of 1 / L: four times as deep, a quarter of the gradient.

Read the table: is the ratio nearer to 6 / 24 or to the root of it?
"""
edit('"pre_last": 0.4', '"pre_last": 0.2')

# %% exercise="depth_finding" wrong="arrangements_swapped"
"""The numbers of pre-norm and post-norm are exchanged.

In which of the two does the last layer's gradient not care about the depth?
"""
edit(
    'depth_finding = {"post_last": 1.0, "pre_last": 0.4, "pre_first": 5.1, "post_first": 1.0}',
    'depth_finding = {"post_last": 0.4, "pre_last": 1.0, "pre_first": 1.0, "post_first": 5.1}',
)

# %% exercise="depth_finding" wrong="last_over_first"
"""The last two numbers are turned round: last layer over first layer.

The gradient of the first layer stands above the line.
"""
edit('"pre_first": 5.1', '"pre_first": 0.2')

# %% exercise="depth_finding" wrong="post_norm_vanishes"
"""The post-norm gradient is said to vanish towards the first layer, as many texts have it. The table does not show it.

What is the median of first / last in the post-norm line for 24 layers?
"""
edit('"post_first": 1.0', '"post_first": 0.1')

# %% exercise="shift_right" wrong="not_shifted"
"""You hand the decoder the target itself: at every position the answer stands in the input.

What is the cheapest way for a model to make its loss zero then?
"""
edit("torch.cat([first, target[:, :-1]], dim=1)", "target.clone()")

# %% exercise="shift_right" wrong="shifted_left"
"""You shift to the left: position t is given the token after the one it has to predict.

Which way do the tokens move when the first place must become free?
"""
edit("[first, target[:, :-1]]", "[target[:, 1:], first]")

# %% exercise="shift_right" wrong="one_column_more"
"""You put BOS in front and drop nothing: the input is one longer than the target, and the logits no longer line up.

Which token of the target is never needed as an input?
"""
edit("[first, target[:, :-1]]", "[first, target]")

# %% exercise="shift_right" wrong="rolled"
"""You roll the rows: the last token of each row, padding or EOS, comes in at the front instead of BOS.

What is position 0 given when a translation begins?
"""
edit("torch.cat([first, target[:, :-1]], dim=1)", "target.roll(1, dims=1)")

# %% exercise="shift_right" wrong="starts_with_pad"
"""You begin with PAD. T5 was trained like that; here a decoder begins with BOS.

What will greedy_decode put first? Training has to begin with the same token.
"""
edit("torch.full_like(target[:, :1], BOS)", "torch.full_like(target[:, :1], PAD)")

# %% exercise="shift_right" wrong="shifts_the_batch"
"""You shift along the batch: each sentence is given the tokens of its neighbour.

Which axis is time?
"""
edit("torch.full_like(target[:, :1], BOS)", "torch.full_like(target[:1], BOS)")
edit("torch.cat([first, target[:, :-1]], dim=1)", "torch.cat([first, target[:-1]], dim=0)")

# %% exercise="shift_right" wrong="first_token_overwritten"
"""You write BOS over the first token and move nothing: all other positions still see their own answer.

What should stand at place 1 of the input?
"""
edit("return torch.cat([first, target[:, :-1]], dim=1)", "return torch.cat([first, target[:, 1:]], dim=1)")

# %% exercise="shift_right" wrong="removes_eos"
"""You replace EOS by PAD in the input. That position is never scored, so nothing has to be cleaned up; the result is
another one than the docstring's.

What stands behind EOS in the target, and does its loss count?
"""
edit(
    "return torch.cat([first, target[:, :-1]], dim=1)",
    """
    given = torch.cat([first, target[:, :-1]], dim=1)
    return given.masked_fill(given == EOS, PAD)
    """,
)

# %% exercise="smoothed_cross_entropy" wrong="padding_counts"
"""Positions whose target is PAD count like words: the loss depends on how long the longest row happens to be.

Append three columns of padding to a batch. Should its loss change?
"""
edit("losses[target != PAD].mean()", "losses.mean()")

# %% exercise="smoothed_cross_entropy" wrong="divides_by_all_positions"
"""Padding adds nothing to the sum, but you divide by all positions, padding too: batches with much padding get a small
loss and small gradients.

Over how many tokens do you add up?
"""
edit("losses[target != PAD].mean()", "losses.masked_fill(target == PAD, 0.0).mean()")

# %% exercise="smoothed_cross_entropy" wrong="mean_of_sentences"
"""You take the mean of each sentence and then the mean of these: a token of a short sentence counts more than one of a
long sentence.

How much does each real token of the batch count according to the docstring?
"""
edit(
    "return losses[target != PAD].mean()",
    """
    real = (target != PAD).to(logits.dtype)
    return ((losses * real).sum(1) / real.sum(1)).mean()
    """,
)

# %% exercise="smoothed_cross_entropy" wrong="sum_instead_of_mean"
"""You add the losses up. A batch twice as large then takes steps twice as large.

What does the docstring divide by?
"""
edit("losses[target != PAD].mean()", "losses[target != PAD].sum()")

# %% exercise="smoothed_cross_entropy" wrong="spread_over_the_others"
"""You spread epsilon over the V - 1 wrong classes. That is tensor2tensor's convention; here every class, the right one
too, gets epsilon / V.

Add up one row of each convention: both sum to 1. Which one does the table above this exercise mark?
"""
edit("log_probs.mean(dim=-1)", "(log_probs.sum(dim=-1) - right) / (logits.shape[-1] - 1)")

# %% exercise="smoothed_cross_entropy" wrong="nothing_for_padding"
"""You spread epsilon over all classes but PAD and the right one. That is The Annotated Transformer's convention; here
every class gets its share.

Which classes does V count in the docstring?
"""
edit("log_probs.mean(dim=-1)", "(log_probs[..., 1:].sum(dim=-1) - right) / (logits.shape[-1] - 2)")

# %% exercise="smoothed_cross_entropy" wrong="rows_sum_to_more_than_one"
"""The right class keeps all of its 1 and the others get their share on top: a row of your target sums to 1 + epsilon.

Add up one row of your target distribution.
"""
edit("-(1 - smoothing) * right", "-right")

# %% exercise="smoothed_cross_entropy" wrong="rows_transposed"
"""You flatten (B, V, T) where (B, T, V) was meant: each row of your flat logits mixes the classes of several tokens.

Row r of the flat logits belongs to which token?
"""
edit(
    "shifted = logits - logits.amax(dim=-1, keepdim=True)",
    """
    logits = logits.transpose(1, 2).reshape(logits.shape)
    shifted = logits - logits.amax(dim=-1, keepdim=True)
    """,
)

# %% exercise="smoothed_cross_entropy" wrong="no_smoothing"
"""Your loss is the plain cross-entropy: smoothing changes nothing.

What share of the target does a wrong class get with epsilon 0.2 and V = 5?
"""
edit("-(1 - smoothing) * right - smoothing * log_probs.mean(dim=-1)", "-right")

# %% exercise="smoothed_cross_entropy" wrong="overflows"
"""You exponentiate the logits as they are: with logits of several hundred the sum is infinite or zero.

What may be subtracted from all logits of a token without changing its softmax?
"""
edit("logits - logits.amax(dim=-1, keepdim=True)", "logits")

# %% exercise="smoothed_cross_entropy" wrong="bos_does_not_count"
"""You leave out BOS as well as PAD. Only PAD is no token: whatever else is a target counts.

Which number does the docstring name?
"""
edit("target != PAD", "target > BOS")

# %% exercise="smoothed_cross_entropy" wrong="shares_exchanged"
"""epsilon and 1 - epsilon have changed places: the right class gets the small share.

What should be left of the smoothing when epsilon is 0?
"""
edit(
    "-(1 - smoothing) * right - smoothing * log_probs.mean(dim=-1)",
    "-smoothing * right - (1 - smoothing) * log_probs.mean(dim=-1)",
)

# %% exercise="smoothed_cross_entropy" wrong="bits"
"""Your loss is in bits, the docstring asks for nats.

Which logarithm did you take, or by which number did you divide?
"""
edit("losses[target != PAD].mean()", "losses[target != PAD].mean() / math.log(2)")

# %% exercise="smoothed_cross_entropy" wrong="pad_hidden_in_the_softmax"
"""PAD's logit is taken out before the softmax. PAD is a class like the others, and with smoothing it even has a share:
its log probability is in the loss.

Where does PAD not count: among the classes, or among the targets?
"""
edit(
    "shifted = logits - logits.amax(dim=-1, keepdim=True)",
    """
    logits = logits.index_fill(-1, torch.tensor([PAD]), -1e4)
    shifted = logits - logits.amax(dim=-1, keepdim=True)
    """,
)

# %% exercise="smoothed_cross_entropy" wrong="no_share_for_the_class_of_padding"
"""You spread epsilon over all classes but PAD, so a class gets epsilon / (V - 1). Here PAD has its share, too.

Which classes does V count in the docstring?
"""
edit("log_probs.mean(dim=-1)", "log_probs[..., 1:].mean(dim=-1)")

# %% exercise="smoothed_cross_entropy" wrong="epsilon_for_every_class"
"""Every class gets epsilon itself; it should share epsilon with the V - 1 others.

Add up one row of your target distribution.
"""
edit("log_probs.mean(dim=-1)", "log_probs.sum(dim=-1)")

# %% exercise="smoothed_cross_entropy" wrong="one_maximum_for_all_tokens"
"""The largest logit of the whole batch is subtracted from all tokens. A token whose logits lie far below it is left
with exponentials of zero.

Which logits share a softmax, and so a maximum?
"""
edit("logits.amax(dim=-1, keepdim=True)", "logits.max()")

# %% exercise="smoothed_cross_entropy" wrong="small_number_in_the_logarithm"
"""A small number is added inside the logarithm, so that it never sees 0. A loss can't be larger than about 20 then, and
where it should be there is no gradient.

What is log(exp(a) / sum) without computing exp(a)?
"""
edit(
    "shifted - shifted.exp().sum(dim=-1, keepdim=True).log()",
    "(shifted.exp() / shifted.exp().sum(dim=-1, keepdim=True) + 1e-9).log()",
)

# %% exercise="warmup_schedule" wrong="no_warmup"
"""Your rate begins at its largest value: the rising part is missing.

Which of the two terms is smaller at step 1?
"""
edit("min(step**-0.5, step * warmup**-1.5)", "max(step, warmup) ** -0.5")

# %% exercise="warmup_schedule" wrong="larger_of_the_two"
"""You take the larger of the two terms: the rate starts high, falls until the warm-up ends and rises from then on.

Draw both curves. Which one is below the other one before the warm-up ends?
"""
edit("min(step**-0.5, step * warmup**-1.5)", "max(step**-0.5, step * warmup**-1.5)")

# %% exercise="warmup_schedule" wrong="steps_from_zero"
"""You count from 0: every step gets the rate of the next one.

At which step is the rate largest, warmup or warmup - 1?
"""
edit("min(step**-0.5, step * warmup**-1.5)", "min((step + 1) ** -0.5, (step + 1) * warmup**-1.5)")

# %% exercise="warmup_schedule" wrong="width_forgotten"
"""The width is missing: a wide model gets the same rate as a narrow one.

Which power of D does equation 3 have?
"""
edit("factor * width**-0.5", "factor")

# %% exercise="warmup_schedule" wrong="stays_at_the_peak"
"""After the warm-up your rate stays at its largest value; the paper's falls with the square root of the step.

What is step^(-1/2) at step 4 * warmup, compared with the peak?
"""
edit("min(step**-0.5, step * warmup**-1.5)", "min(1.0, step / warmup) * warmup**-0.5")

# %% exercise="warmup_schedule" wrong="power_before_the_division"
"""warmup ** -3 / 2 is half of warmup ** -3: a power binds more tightly than a division. The line up is far too flat.

What does Python give for 4 ** -1 / 2, and what for 4 ** (-1 / 2)?
"""
edit("warmup**-1.5", "warmup**-3 / 2")

# %% exercise="warmup_schedule" wrong="line_of_step_over_warmup"
"""The line up is step / warmup, which meets the curve far before the end of the warm-up. It is step * warmup^-1.5, so
that both meet at step = warmup.

At step = warmup, what is step ** -0.5, and what is your line?
"""
edit("step * warmup**-1.5", "step / warmup")

# %% exercise="warmup_schedule" wrong="scaled_to_a_peak_of_one"
"""Your rate reaches `factor` at its peak, as some libraries scale it. Equation 3 reaches D^(-1/2) * warmup^(-1/2).

What is the largest rate of the paper's base model, with width 512 and 4000 steps?
"""
edit("width**-0.5", "warmup**0.5")

# %% exercise="warmup_schedule" wrong="linear_decay"
"""After the warm-up your rate falls like 1 / step, not like 1 / sqrt(step).

At step 4 * warmup: a half of the peak, or a quarter?
"""
edit("min(step**-0.5, step * warmup**-1.5)", "min(step / warmup, warmup / step) * warmup**-0.5")

# %% exercise="warmup_schedule" wrong="step_zero_is_taken"
"""Steps below 1 are not refused: 0 raises a ZeroDivisionError, if anything.

From where do steps count, and which exception does the docstring ask for?
"""
edit(
    """
    if step < 1:
        raise ValueError(f"steps count from 1, this one is {step}")
    """,
    "",
)

# %% exercise="warmup_schedule" wrong="times_the_root_of_the_width"
"""The rate is multiplied by sqrt(D) instead of divided: a wide model takes larger steps than a narrow one.

Which sign has the exponent of D in equation 3?
"""
edit("width**-0.5", "width**0.5")

# %% exercise="greedy_decode" wrong="never_stops"
"""You always take max_length steps: what a row says after its EOS is in your result.

When does your loop stop, and what does a row that has ended get?
"""
edit(
    """
    if ended.all():
        break
    """,
    "",
)
edit("likeliest[ended] = PAD", "")

# %% exercise="greedy_decode" wrong="stops_with_the_first_row"
"""You stop when the first row has ended: all the others are cut off.

Which rows have to have ended before the loop may stop?
"""
edit("ended.all()", "ended.any()")

# %% exercise="greedy_decode" wrong="waits_for_one_common_step"
"""You stop when all rows say EOS in the same step. Rows that ended earlier go on writing, and that step may never come.

A row that ended two steps ago: how do you still know?
"""
edit("likeliest[ended] = PAD", "")
edit("ended = ended | (likeliest == EOS)", "ended = likeliest == EOS")

# %% exercise="greedy_decode" wrong="writes_on_after_eos"
"""You stop at the right step, but rows that ended before go on until then: there are words behind their EOS.

What goes into a row that has ended, whatever the model says?
"""
edit("likeliest[ended] = PAD", "")

# %% exercise="greedy_decode" wrong="eos_overwritten"
"""You mark a row as ended before you write its token, so its EOS itself becomes PAD. Nobody can tell a finished row
from one that was cut.

In which order do you update `ended` and overwrite the tokens?
"""
edit(
    """
    likeliest[ended] = PAD
    ended = ended | (likeliest == EOS)
    """,
    """
    ended = ended | (likeliest == EOS)
    likeliest[ended] = PAD
    """,
)

# %% exercise="greedy_decode" wrong="bos_in_the_result"
"""BOS is in your result: it was given, not decoded.

Which column of your tokens did the model not write?
"""
edit("return tokens[:, 1:]", "return tokens")

# %% exercise="greedy_decode" wrong="bos_counts"
"""You count BOS: your rows are cut one token too early.

How many tokens does the docstring allow, and which of them count?
"""
edit("range(max_length)", "range(max_length - 1)")

# %% exercise="greedy_decode" wrong="only_the_last_token_goes_in"
"""You hand the decoder only the newest token. That works with a cache (unit 11); without one the decoder forgets
everything before it.

What does decode expect: the last token, or all tokens so far?
"""
edit("model.decode(tokens, memory", "model.decode(tokens[:, -1:], memory")

# %% exercise="greedy_decode" wrong="first_position_read"
"""You read the logits of the first position: every step writes the same token again.

Which position of the logits predicts the token that comes next?
"""
edit("[:, -1].argmax(dim=-1)", "[:, 0].argmax(dim=-1)")

# %% exercise="greedy_decode" wrong="encodes_every_step"
"""You encode the source again in every step. The result is right, the work is not: the source does not change.

What depends on the tokens written so far, and what does not?
"""
edit("memory, source_keep = model.encode(source)", "")
edit("model.decode(tokens, memory, source_keep)", "model.decode(tokens, *model.encode(source))")

# %% exercise="greedy_decode" wrong="records_gradients"
"""Gradients are recorded at every step: memory grows with each token, for a backward pass that never comes.

Which context manager switches that off?
"""
edit("torch.no_grad()", "torch.enable_grad()")

# %% exercise="greedy_decode" wrong="pad_ends_a_row"
"""A row ends at PAD, too. A model may choose PAD like any other token, and only EOS ends a row.

Which token says that a translation is finished?
"""
edit("ended | (likeliest == EOS)", "ended | (likeliest == EOS) | (likeliest == PAD)")

# %% exercise="greedy_decode" wrong="pad_and_bos_never_chosen"
"""PAD and BOS are kept out of the choice: the result is not what the model finds most likely.

Does the docstring say that some tokens may not be chosen?
"""
edit("[:, -1].argmax(dim=-1)", "[:, -1, EOS:].argmax(dim=-1) + EOS")

# %% exercise="greedy_decode" wrong="always_max_length"
"""You always take max_length steps: the columns after the last EOS are full of PAD, and a whole decode is paid for
each.

L is the length of the longest row. When does your loop know that all rows have ended?
"""
edit(
    """
    if ended.all():
        break
    """,
    "",
)

# %% exercise="greedy_decode" wrong="only_the_newest_tokens_asked"
"""You stop when all rows say EOS in the same step. Rows that have ended say PAD, so with rows of different length that
step never comes.

Which variable remembers that a row has ended before?
"""
edit("ended.all()", "(tokens[:, -1] == EOS).all()")

# %% exercise="bleu" wrong="not_clipped"
"""You do not clip: "the the the" gets full marks for each "the".

How often may one n-gram of a reference be used?
"""
edit("sum((counts & allowed).values())", "sum(times for gram, times in counts.items() if gram in allowed)")

# %% exercise="bleu" wrong="mean_of_sentences"
"""You average the BLEU of the sentences. One sentence without a match of four tokens counts 0 then, and a short
sentence counts as much as a long one.

Where does the formula divide: inside the sum over candidates, or after it?
"""
edit(
    "pairs = list(zip(candidates, references))",
    """
    if len(candidates) > 1:
        scores = [bleu([candidate], [refs], max_n) for candidate, refs in zip(candidates, references)]
        return sum(scores) / len(scores)
    pairs = list(zip(candidates, references))
    """,
)

# %% exercise="bleu" wrong="no_brevity_penalty"
"""There is no brevity penalty: a candidate of four sure tokens has BLEU 1.

What does precision say about what was left out?
"""
edit(" * min(1.0, math.exp(1 - r / c))", "")

# %% exercise="bleu" wrong="arithmetic_mean"
"""You take the arithmetic mean of the four precisions. Long n-grams hardly count then, and a score of 0 is rare.

Which mean is a product with a root?
"""
edit("product = 1.0", "added = 0.0")
edit(
    """
        if matched == 0:
            return 0.0
        product *= matched / total
    return product ** (1 / max_n) * min(1.0, math.exp(1 - r / c))
    """,
    """
        added += matched / total if total else 0.0
    return added / max_n * min(1.0, math.exp(1 - r / c)) if c else 0.0
    """,
)

# %% exercise="bleu" wrong="references_added_up"
"""You clip at the counts of all references together: with three of them a word may be used three times as often.

Is it the sum over the references, or the largest of them?
"""
edit("allowed |= grams(reference, n)", "allowed += grams(reference, n)")

# %% exercise="bleu" wrong="first_reference_only"
"""You read only the first reference of each sentence.

What are the other references for?
"""
edit(
    "pairs = list(zip(candidates, references))",
    "pairs = [(candidate, refs[:1]) for candidate, refs in zip(candidates, references)]",
)

# %% exercise="bleu" wrong="shortest_reference"
"""r adds up the shortest references. The penalty then never asks for more than the tersest translator wrote.

Which reference length does the docstring take for each sentence?
"""
edit("min((abs(len(ref) - len(cand)), len(ref)) for ref in refs)[1]", "min(len(ref) for ref in refs)")

# %% exercise="bleu" wrong="longer_is_penalised"
"""Your factor is also applied to candidates that are longer than their references, and exceeds 1 there.

What does the minimum in front of the formula do when c is larger than r?
"""
edit("min(1.0, math.exp(1 - r / c))", "math.exp(1 - r / c)")

# %% exercise="bleu" wrong="tokens_joined"
"""You join the tokens of an n-gram to one string: (a, bc) and (ab, c) are the same then, and so are 1 12 and 11 2.

What holds n tokens together and keeps them apart?
"""
edit("tuple(tokens[i : i + n])", '"".join(map(str, tokens[i : i + n]))')

# %% exercise="bleu" wrong="lower_case"
"""You turn words into lower case before you count. Tokens are compared as they are; "The" is not "the".

Who decides about upper and lower case, the score or the tokenizer?
"""
edit(
    "def grams(tokens, n):",
    """
    def grams(tokens, n):
        tokens = [token.lower() if isinstance(token, str) else token for token in tokens]
    """,
)

# %% exercise="bleu" wrong="empty_candidates_skipped"
"""You leave out sentences without a candidate, and their references with them: who writes nothing pays nothing.

What is the length of an empty candidate, and of its reference?
"""
edit("list(zip(candidates, references))", "[(cand, refs) for cand, refs in zip(candidates, references) if cand]")

# %% exercise="bleu" wrong="penalty_turned_round"
"""The penalty is exp(1 - c / r): long candidates pay, short ones do not.

For which of the two is the exponent 1 - r / c below 0?
"""
edit("math.exp(1 - r / c)", "math.exp(1 - c / r)")

# %% exercise="bleu" wrong="arithmetic_mean_of_precisions"
"""You take the arithmetic mean of the precisions; the formula has the geometric one.

Which mean is a product with a root, or the exponential of a mean of logarithms?
"""
edit("product = 1.0", "added = 0.0")
edit("product *= matched / total", "added += matched / total")
edit("product ** (1 / max_n)", "added / max_n")

# %% exercise="bleu" wrong="sets_of_ngrams"
"""You count each n-gram once, however often it stands there: repetitions are missing above and below the line.

How many of the seven words in "the the the the the the the" does the paper count, and out of how many?
"""
edit(
    "return Counter(tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1))",
    "return Counter({tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1)})",
)

# %% exercise="bleu" wrong="always_the_fourth_root"
"""The root is always the fourth, also where max_n is not 4.

How many precisions have you multiplied?
"""
edit("product ** (1 / max_n)", "product ** 0.25")

# %% exercise="bleu" wrong="clipped_at_the_whole_corpus"
"""An n-gram is clipped at the references of the whole corpus: it may be found in another sentence's reference.

Which references belong to a candidate?
"""
edit("for reference in refs:", "for reference in (text for texts in references for text in texts):")

# %% exercise="translation_finding" wrong="exact_and_right_exchanged"
"""`right` and `exact` have changed places: an output that is not its reference can still be right, not the other way.

Which of the two can never be the smaller one?
"""
translation_finding = {"right": 0.949, "exact": 0.995, "ceiling": 0.954, "group": "fr short", "missing": "year"}

# %% exercise="translation_finding" wrong="percent"
"""Shares lie between 0 and 1; these are percentages.

What is 94.9 percent as a share?
"""
translation_finding = {"right": 99.5, "exact": 94.9, "ceiling": 95.4, "group": "fr short", "missing": "year"}

# %% exercise="translation_finding" wrong="nobody_is_limited"
"""You give the ceiling as 1: but some sources have two right answers in the data, and whoever guesses is wrong half of
the time.

How many references does "<fr>5/16/35" have?
"""
translation_finding = {"right": 0.995, "exact": 0.949, "ceiling": 1.0, "group": "fr short", "missing": "year"}

# %% exercise="translation_finding" wrong="german_is_harder"
"""The largest group is not the German one. German months have two ways to be asked for, but only May cannot be told
apart.

Look at the first two numbers of each line in the table of errors.
"""
translation_finding = {"right": 0.995, "exact": 0.949, "ceiling": 0.954, "group": "de medium", "missing": "month"}

# %% exercise="repaired_loss" wrong="still_shifted_twice"
"""You still score position t on the token after the one it was asked for.

The decoder's input is shifted already. What is left to shift?
"""
edit("model(source, shift_right(target)), target", "model(source, shift_right(target))[:, :-1], target[:, 1:]")

# %% exercise="repaired_loss" wrong="not_shifted_at_all"
"""Now nothing is shifted: the answer stands in the decoder's input, and the model will copy it.

Exactly one of the two sides has to move.
"""
edit("shift_right(target)", "target")

# %% exercise="repaired_loss" wrong="first_token_missing"
"""You hand the target itself to the decoder and score it on the next token. That is one shift, but nothing is ever
asked after BOS: the first token is never learned, and translating begins with BOS.

How many of the tokens of a sentence are scored?
"""
edit("model(source, shift_right(target)), target", "model(source, target[:, :-1]), target[:, 1:]")

# %% exercise="repaired_loss" wrong="padding_counts"
"""One shift, but padding counts in the loss.

What does ignore_index do in the published code?
"""
edit(
    "return smoothed_cross_entropy(model(source, shift_right(target)), target, smoothing=0.0)",
    "return nn.functional.cross_entropy(model(source, shift_right(target)).flatten(0, 1), target.flatten())",
)

# %% exercise="repaired_loss" wrong="smoothed"
"""One shift, and the loss is smoothed; the docstring asks for the plain cross-entropy.

What is the default of smoothed_cross_entropy?
"""
edit(", smoothing=0.0", "")

# %% exercise="repaired_loss" wrong="no_gradient"
"""The number is right, and cut off from the model: training on it changes nothing.

What do .item() and .detach() leave of a graph?
"""
edit("smoothing=0.0)", "smoothing=0.0).detach()")

# %% exercise="repaired_loss" wrong="in_evaluation_mode"
"""You put the model into evaluation mode: it trains without dropout from now on.

Who decides about the mode, the training loop or the loss?
"""
edit(
    "return smoothed_cross_entropy(model(source, shift_right(target)), target, smoothing=0.0)",
    """
    model.eval()
    return smoothed_cross_entropy(model(source, shift_right(target)), target, smoothing=0.0)
    """,
)

# %% exercise="repaired_loss" wrong="last_position_missing"
"""One shift, and the last position is cut off on both sides: the last token of the longest rows, their EOS, is never
learned.

shift_right has dropped the token that is not needed. Is there anything left to cut?
"""
edit("model(source, shift_right(target)), target", "model(source, shift_right(target))[:, :-1], target[:, :-1]")

# %% exercise="repaired_loss" wrong="first_token_never_asked"
"""You hand the whole target to the decoder and score its logits on the next token. That is one shift, but nothing is
ever asked after BOS: the first token is never learned, and translating begins with BOS.

How many of the tokens of a sentence are scored?
"""
edit("model(source, shift_right(target)), target", "model(source, target)[:, :-1], target[:, 1:]")

# %% exercise="repaired_loss" wrong="mean_of_sentences"
"""You take the mean of each sentence and then the mean of these: a token of a short sentence counts more.

How much does each real token of the batch count?
"""
edit(
    "return smoothed_cross_entropy(model(source, shift_right(target)), target, smoothing=0.0)",
    """
    rows = zip(model(source, shift_right(target)), target)
    return torch.stack([smoothed_cross_entropy(row[None], own[None], smoothing=0.0) for row, own in rows]).mean()
    """,
)

# %% exercise="repaired_loss" wrong="eos_does_not_count"
"""EOS does not count in your loss: the model never learns when to stop.

Which number in a target is no token?
"""
edit("target, smoothing=0.0", "target.masked_fill(target == EOS, PAD), smoothing=0.0")

# %% exercise="repaired_loss" wrong="eos_does_not_count_nor_divide"
"""EOS does not count in your loss: the model never learns when to stop. A batch of EOS alone gets a loss of 0.

Which number in a target is no token?
"""
edit(
    "return smoothed_cross_entropy(model(source, shift_right(target)), target, smoothing=0.0)",
    """
    real = (target != PAD) & (target != EOS)
    logits = model(source, shift_right(target))
    return nn.functional.cross_entropy(logits[real], target[real], reduction="sum") / real.sum().clamp(min=1)
    """,
)

# %% exercise="repaired_loss" wrong="reshaped_instead_of_transposed"
"""reshape makes (B, V, T) of (B, T, V) by cutting the same row of numbers at other places: classes and positions are
mixed. transpose exchanges the axes.

Write six numbers as a (1, 2, 3) and reshape them to (1, 3, 2). Which number stands at [0, 1, 0] now?
"""
edit(
    "return smoothed_cross_entropy(model(source, shift_right(target)), target, smoothing=0.0)",
    """
    logits = model(source, shift_right(target))
    B, T, V = logits.shape
    return nn.functional.cross_entropy(logits.reshape(B, V, T), target, ignore_index=PAD)
    """,
)

# %% exercise="repaired_loss" wrong="divided_by_all_positions"
"""Padding adds nothing to the sum, but you divide by all positions, padding too: batches with much padding get a small
loss and small gradients.

Over how many tokens do you add up?
"""
edit("smoothing=0.0)", "smoothing=0.0) * (target != PAD).sum() / target.numel()")

# %% exercise="repaired_validation" wrong="always_back_to_training"
"""You always end in training mode: a model that came in evaluation mode leaves in training mode, with dropout on.

Who knows in which mode the model came?
"""
edit("model.train(mode)", "model.train(True)")

# %% exercise="repaired_validation" wrong="stays_in_evaluation"
"""The model stays in evaluation mode: from the first validation on it trains without dropout.

What did the mode say before you changed it?
"""
edit("model.train(mode)", "")

# %% exercise="repaired_validation" wrong="never_in_evaluation"
"""You measure in whatever mode the model is in: with dropout switched on, two validations of one model differ.

What does eval() switch off?
"""
edit("model.eval()", "")

# %% exercise="repaired_validation" wrong="mean_of_batches"
"""Each batch counts the same, a last one with few tokens as much as a full one: the loss depends on how the data was
cut into batches.

By what does each batch's mean have to be multiplied before they are added up?
"""
edit("real = (target != PAD).sum().item()", "real = 1")

# %% exercise="repaired_validation" wrong="means_over_tokens"
"""The mean losses of the batches are added up and divided by the number of tokens: divided twice, the number is far too
small.

What does repaired_loss give: a sum over the tokens of a batch, or a mean?
"""
edit(".item() * real", ".item()")

# %% exercise="repaired_validation" wrong="mode_given_back_after_the_first_batch"
"""The mode is set back inside the loop: from the second batch on a model that was training is measured with dropout.

Which line belongs behind the loop, and not into it?
"""
edit("            tokens += real\n", "            tokens += real\n            model.train(mode)\n")

# %% exercise="repaired_validation" wrong="weighted_by_rows"
"""You weigh each batch by its sentences, not by its tokens.

The docstring says that every token counts the same. How many real tokens has a batch?
"""
edit("real = (target != PAD).sum().item()", "real = len(target)")

# %% exercise="repaired_validation" wrong="records_gradients"
"""The number is right, but each forward pass records a graph: validation then needs as much memory as training.

Which context manager belongs around the loop?
"""
edit("torch.no_grad()", "torch.enable_grad()")

# %% exercise="repaired_validation" wrong="weighted_by_positions"
"""You weigh each batch by all of its positions, padding among them.

The docstring says that every token counts the same. How many real tokens has a batch?
"""
edit("real = (target != PAD).sum().item()", "real = target.numel()")

# %% exercise="repaired_validation" wrong="perplexity"
"""You return the perplexity, exp of the loss; the docstring asks for the cross-entropy in nats.

Which of the two is 0 for a model that knows every token?
"""
edit("return total / tokens", "return math.exp(total / tokens)")

# %% exercise="repaired_validation" wrong="sum_over_tokens"
"""You return the sum over all tokens; the docstring asks for nats per token.

A validation set twice as large: should its loss double?
"""
edit("return total / tokens", "return total")

# %% exercise="repaired_validation" wrong="smoothed"
"""You measure the smoothed loss of training. Its smallest value is not 0 and depends on epsilon.

What is the default of smoothed_cross_entropy, and which loss does the docstring ask for?
"""
edit(
    "repaired_loss(model, source, target)",
    "smoothed_cross_entropy(model(source, shift_right(target)), target)",
)
