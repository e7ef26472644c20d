"""Wrong answers to the exercises of unit 04 that learners really give.

Each cell is a whole answer as a learner would write it. Its docstring is what they read: an explanation, then a next
step. Only these sentences ship, never the code.
"""

# %% exercise="LayerNorm" wrong="eps_outside_the_root"
"""eps is added to the standard deviation, outside the root. For vectors near 0.001 that is another number.

What do you divide by when the variance is 0: sqrt(eps), or eps?
"""
class LayerNorm(nn.Module):
    def __init__(self, width, eps=1e-5):
        super().__init__()
        self.eps = eps
        self.weight, self.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))

    def forward(self, x):
        mean, std = x.mean(-1, keepdim=True), x.std(-1, keepdim=True, correction=0)
        return (x - mean) / (std + self.eps) * self.weight + self.bias

# %% exercise="LayerNorm" wrong="statistics_over_the_batch"
"""The statistics are taken over batch and positions: tokens of other sentences change this one's output.

How many numbers share one mean? Take them along the last dimension only.
"""
class LayerNorm(nn.Module):
    def __init__(self, width, eps=1e-5):
        super().__init__()
        self.eps = eps
        self.weight, self.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))

    def forward(self, x):
        axes = tuple(range(x.dim() - 1)) or (-1,)
        mean = x.mean(axes, keepdim=True)
        var = x.var(axes, keepdim=True, correction=0)
        return (x - mean) / torch.sqrt(var + self.eps) * self.weight + self.bias

# %% exercise="LayerNorm" wrong="statistics_over_the_sentence"
"""One mean and one variance serve a whole sentence. Each token needs its own.

Change one token: should the output at another position move?
"""
class LayerNorm(nn.Module):
    def __init__(self, width, eps=1e-5):
        super().__init__()
        self.eps = eps
        self.weight, self.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))

    def forward(self, x):
        axes = (-2, -1) if x.dim() > 1 else -1
        mean = x.mean(axes, keepdim=True)
        var = x.var(axes, keepdim=True, correction=0)
        return (x - mean) / torch.sqrt(var + self.eps) * self.weight + self.bias

# %% exercise="LayerNorm" wrong="unbiased_variance"
"""The variance divides by D - 1, torch's default for var and std. Layer normalisation divides by D.

Look up the argument `correction` of torch.var.
"""
class LayerNorm(nn.Module):
    def __init__(self, width, eps=1e-5):
        super().__init__()
        self.eps = eps
        self.weight, self.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))

    def forward(self, x):
        mean, var = x.mean(-1, keepdim=True), x.var(-1, keepdim=True)
        return (x - mean) / torch.sqrt(var + self.eps) * self.weight + self.bias

# %% exercise="LayerNorm" wrong="mean_not_subtracted"
"""The vector is divided by its root mean square, and its mean is still there. That is RMSNorm.

What is the mean of your output when weight is 1 and bias is 0?
"""
class LayerNorm(nn.Module):
    def __init__(self, width, eps=1e-5):
        super().__init__()
        self.eps = eps
        self.weight, self.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))

    def forward(self, x):
        scale = torch.rsqrt(x.square().mean(-1, keepdim=True) + self.eps)
        return x * scale * self.weight + self.bias

# %% exercise="LayerNorm" wrong="no_scale_and_shift"
"""weight and bias are made and never used: the output always has mean 0 and variance 1.

Set the bias to 5. Where does it show?
"""
class LayerNorm(nn.Module):
    def __init__(self, width, eps=1e-5):
        super().__init__()
        self.eps = eps
        self.weight, self.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))

    def forward(self, x):
        mean, var = x.mean(-1, keepdim=True), x.var(-1, keepdim=True, correction=0)
        return (x - mean) / torch.sqrt(var + self.eps)

# %% exercise="LayerNorm" wrong="divides_by_the_variance"
"""The centred vector is divided by its variance, not by the root of it.

In which unit is the variance of lengths in metres? And your output?
"""
class LayerNorm(nn.Module):
    def __init__(self, width, eps=1e-5):
        super().__init__()
        self.eps = eps
        self.weight, self.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))

    def forward(self, x):
        mean, var = x.mean(-1, keepdim=True), x.var(-1, keepdim=True, correction=0)
        return (x - mean) / (var + self.eps) * self.weight + self.bias

# %% exercise="LayerNorm" wrong="statistics_detached"
"""Mean and variance are computed without gradient. The forward numbers are right, the gradients are not.

If x grows by a constant the output stays. What must the gradient of a vector add up to?
"""
class LayerNorm(nn.Module):
    def __init__(self, width, eps=1e-5):
        super().__init__()
        self.eps = eps
        self.weight, self.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))

    def forward(self, x):
        with torch.no_grad():
            mean, var = x.mean(-1, keepdim=True), x.var(-1, keepdim=True, correction=0)
        return (x - mean) / torch.sqrt(var + self.eps) * self.weight + self.bias

# %% exercise="RMSNorm" wrong="subtracts_the_mean"
"""The mean is subtracted first. That is layer normalisation without a bias.

RMSNorm keeps one thing that LayerNorm removes. Try a vector of equal numbers.
"""
class RMSNorm(nn.Module):
    def __init__(self, width, eps=1e-6):
        super().__init__()
        self.eps, self.weight = eps, nn.Parameter(torch.ones(width))

    def forward(self, x):
        wide = x.float() if x.itemsize < 4 else x
        wide = wide - wide.mean(-1, keepdim=True)
        scale = torch.rsqrt(wide.square().mean(-1, keepdim=True) + self.eps)
        return (wide * scale * self.weight).to(x.dtype)

# %% exercise="RMSNorm" wrong="no_square_root"
"""The vector is divided by its mean square; the root is missing.

Root mean square: which of the three words did you skip?
"""
class RMSNorm(nn.Module):
    def __init__(self, width, eps=1e-6):
        super().__init__()
        self.eps, self.weight = eps, nn.Parameter(torch.ones(width))

    def forward(self, x):
        wide = x.float() if x.itemsize < 4 else x
        mean_square = wide.pow(2).mean(-1, keepdim=True)
        return (wide / (mean_square + self.eps) * self.weight).to(x.dtype)

# %% exercise="RMSNorm" wrong="squares_in_half_precision"
"""The squares are taken in the dtype of x: 400 squared does not fit into float16, and 1 / inf is 0.

What is 400 * 400, and what is the largest float16?
"""
class RMSNorm(nn.Module):
    def __init__(self, width, eps=1e-6):
        super().__init__()
        self.eps, self.weight = eps, nn.Parameter(torch.ones(width))

    def forward(self, x):
        mean_square = x.pow(2).mean(-1, keepdim=True)
        return (x * torch.rsqrt(mean_square + self.eps) * self.weight).to(x.dtype)

# %% exercise="RMSNorm" wrong="result_in_float32"
"""A float16 vector comes back as float32: the next layer gets another dtype than it sent.

Convert the finished result back to x.dtype.
"""
class RMSNorm(nn.Module):
    def __init__(self, width, eps=1e-6):
        super().__init__()
        self.eps, self.weight = eps, nn.Parameter(torch.ones(width))

    def forward(self, x):
        wide = x.float() if x.itemsize < 4 else x
        scale = torch.rsqrt(wide.square().mean(-1, keepdim=True) + self.eps)
        return wide * scale * self.weight

# %% exercise="RMSNorm" wrong="eps_outside_the_root"
"""eps is added to the root mean square, outside the root.

What do you divide by when all numbers are 0: sqrt(eps), or eps?
"""
class RMSNorm(nn.Module):
    def __init__(self, width, eps=1e-6):
        super().__init__()
        self.eps, self.weight = eps, nn.Parameter(torch.ones(width))

    def forward(self, x):
        wide = x.float() if x.itemsize < 4 else x
        root = wide.square().mean(-1, keepdim=True).sqrt()
        return (wide / (root + self.eps) * self.weight).to(x.dtype)

# %% exercise="RMSNorm" wrong="divides_by_the_length"
"""The vector is divided by its length, the root of the sum of squares. The mean is missing: the output shrinks with
D.

What is the length of a vector of D ones, and what is its root mean square?
"""
class RMSNorm(nn.Module):
    def __init__(self, width, eps=1e-6):
        super().__init__()
        self.eps, self.weight = eps, nn.Parameter(torch.ones(width))

    def forward(self, x):
        wide = x.float() if x.itemsize < 4 else x
        scale = torch.rsqrt(wide.square().sum(-1, keepdim=True) + self.eps)
        return (wide * scale * self.weight).to(x.dtype)

# %% exercise="RMSNorm" wrong="one_scale_for_all_tokens"
"""One root mean square is taken over the whole tensor, so large tokens make small ones vanish.

How many numbers share one root mean square?
"""
class RMSNorm(nn.Module):
    def __init__(self, width, eps=1e-6):
        super().__init__()
        self.eps, self.weight = eps, nn.Parameter(torch.ones(width))

    def forward(self, x):
        wide = x.float() if x.itemsize < 4 else x
        scale = torch.rsqrt(wide.square().mean() + self.eps)
        return (wide * scale * self.weight).to(x.dtype)

# %% exercise="RMSNorm" wrong="weight_forgotten"
"""The weight is made and never used.

Set the weight to 3: what should the output do?
"""
class RMSNorm(nn.Module):
    def __init__(self, width, eps=1e-6):
        super().__init__()
        self.eps, self.weight = eps, nn.Parameter(torch.ones(width))

    def forward(self, x):
        wide = x.float() if x.itemsize < 4 else x
        scale = torch.rsqrt(wide.square().mean(-1, keepdim=True) + self.eps)
        return (wide * scale).to(x.dtype)

# %% exercise="BatchNorm" wrong="batch_statistics_in_evaluation"
"""In evaluation the statistics of the batch at hand are used: the answer for one sentence depends on its
neighbours.

Evaluate one vector alone. What are its mean and variance over the batch?
"""
class BatchNorm(nn.Module):
    def __init__(self, width, eps=1e-5, momentum=0.1):
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.weight, self.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))
        self.register_buffer("running_mean", torch.zeros(width))
        self.register_buffer("running_var", torch.ones(width))

    def forward(self, x):
        flat = x.reshape(-1, x.shape[-1])
        mean, var = flat.mean(0), flat.var(0, correction=0)
        if self.training:
            with torch.no_grad():
                self.running_mean.mul_(1 - self.momentum).add_(self.momentum * mean)
                self.running_var.mul_(1 - self.momentum).add_(self.momentum * flat.var(0))
        return (x - mean) / torch.sqrt(var + self.eps) * self.weight + self.bias

# %% exercise="BatchNorm" wrong="running_statistics_in_training"
"""In training the running statistics normalise. They only catch up slowly, and no gradient flows through them.

Algorithm 1 of the paper: whose mean and variance stand there?
"""
class BatchNorm(nn.Module):
    def __init__(self, width, eps=1e-5, momentum=0.1):
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.weight, self.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))
        self.register_buffer("running_mean", torch.zeros(width))
        self.register_buffer("running_var", torch.ones(width))

    def forward(self, x):
        if self.training:
            flat = x.detach().reshape(-1, x.shape[-1])
            self.running_mean.mul_(1 - self.momentum).add_(self.momentum * flat.mean(0))
            self.running_var.mul_(1 - self.momentum).add_(self.momentum * flat.var(0))
        mean, var = self.running_mean, self.running_var
        return (x - mean) / torch.sqrt(var + self.eps) * self.weight + self.bias

# %% exercise="BatchNorm" wrong="biased_running_variance"
"""The variance that divides by N goes into running_var. It is too small on average, by a factor of (N - 1) / N.

One variance describes this batch, the other estimates that of all data. Which of them divides by N - 1?
"""
class BatchNorm(nn.Module):
    def __init__(self, width, eps=1e-5, momentum=0.1):
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.weight, self.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))
        self.register_buffer("running_mean", torch.zeros(width))
        self.register_buffer("running_var", torch.ones(width))

    def forward(self, x):
        mean, var = self.running_mean, self.running_var
        if self.training:
            flat = x.reshape(-1, x.shape[-1])
            mean, var = flat.mean(0), flat.var(0, correction=0)
            with torch.no_grad():
                self.running_mean.lerp_(mean, self.momentum)
                self.running_var.lerp_(var, self.momentum)
        return (x - mean) / torch.sqrt(var + self.eps) * self.weight + self.bias

# %% exercise="BatchNorm" wrong="unbiased_variance_in_the_normalisation"
"""The normalisation divides by the unbiased variance, torch's default. In training it divides by the variance with
N.

What is the variance (with N) of your output in training? It should be 1, but for eps.
"""
class BatchNorm(nn.Module):
    def __init__(self, width, eps=1e-5, momentum=0.1):
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.weight, self.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))
        self.register_buffer("running_mean", torch.zeros(width))
        self.register_buffer("running_var", torch.ones(width))

    def forward(self, x):
        mean, var = self.running_mean, self.running_var
        if self.training:
            flat = x.reshape(-1, x.shape[-1])
            mean, var = flat.mean(0), flat.var(0)
            with torch.no_grad():
                self.running_mean.lerp_(mean, self.momentum)
                self.running_var.lerp_(var, self.momentum)
        return (x - mean) / torch.sqrt(var + self.eps) * self.weight + self.bias

# %% exercise="BatchNorm" wrong="momentum_turned_round"
"""momentum is used as the share of the old statistics. Here (and in torch) it is the share of the new batch.

With momentum 0.1, how much of the first batch should be in running_mean?
"""
class BatchNorm(nn.Module):
    def __init__(self, width, eps=1e-5, momentum=0.1):
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.weight, self.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))
        self.register_buffer("running_mean", torch.zeros(width))
        self.register_buffer("running_var", torch.ones(width))

    def forward(self, x):
        mean, var = self.running_mean, self.running_var
        if self.training:
            flat = x.reshape(-1, x.shape[-1])
            mean, var = flat.mean(0), flat.var(0, correction=0)
            with torch.no_grad():
                self.running_mean.mul_(self.momentum).add_((1 - self.momentum) * mean)
                self.running_var.mul_(self.momentum).add_((1 - self.momentum) * flat.var(0))
        return (x - mean) / torch.sqrt(var + self.eps) * self.weight + self.bias

# %% exercise="BatchNorm" wrong="running_statistics_never_move"
"""The running statistics stay at 0 and 1: evaluation does not normalise at all.

Print running_mean after ten batches.
"""
class BatchNorm(nn.Module):
    def __init__(self, width, eps=1e-5, momentum=0.1):
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.weight, self.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))
        self.register_buffer("running_mean", torch.zeros(width))
        self.register_buffer("running_var", torch.ones(width))

    def forward(self, x):
        if self.training:
            flat = x.reshape(-1, x.shape[-1])
            mean, var = flat.mean(0), flat.var(0, correction=0)
        else:
            mean, var = self.running_mean, self.running_var
        return (x - mean) / torch.sqrt(var + self.eps) * self.weight + self.bias

# %% exercise="BatchNorm" wrong="moves_in_evaluation_too"
"""The running statistics also move in evaluation: the model changes by being asked.

Ask twice in evaluation: the second answer must be the first.
"""
class BatchNorm(nn.Module):
    def __init__(self, width, eps=1e-5, momentum=0.1):
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.weight, self.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))
        self.register_buffer("running_mean", torch.zeros(width))
        self.register_buffer("running_var", torch.ones(width))

    def forward(self, x):
        flat = x.reshape(-1, x.shape[-1])
        mean, var = self.running_mean.clone(), self.running_var.clone()
        if self.training:
            mean, var = flat.mean(0), flat.var(0, correction=0)
        with torch.no_grad():
            self.running_mean.lerp_(flat.mean(0), self.momentum)
            self.running_var.lerp_(flat.var(0), self.momentum)
        return (x - mean) / torch.sqrt(var + self.eps) * self.weight + self.bias

# %% exercise="BatchNorm" wrong="one_position_at_a_time"
"""The statistics are taken over the first axis only: each position of the sentence has its own.

The buffers have D numbers, so one mean serves all positions. Flatten all leading axes.
"""
class BatchNorm(nn.Module):
    def __init__(self, width, eps=1e-5, momentum=0.1):
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.weight, self.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))
        self.register_buffer("running_mean", torch.zeros(width))
        self.register_buffer("running_var", torch.ones(width))

    def forward(self, x):
        mean, var = self.running_mean, self.running_var
        if self.training:
            mean, var = x.mean(0, keepdim=True), x.var(0, keepdim=True, correction=0)
            with torch.no_grad():
                axes = tuple(range(x.dim() - 1))
                self.running_mean.lerp_(x.mean(axes), self.momentum)
                self.running_var.lerp_(x.var(axes), self.momentum)
        return (x - mean) / torch.sqrt(var + self.eps) * self.weight + self.bias

# %% exercise="BatchNorm" wrong="statistics_detached"
"""Mean and variance of the batch are computed without gradient. The forward numbers are right, the gradients are
not.

Only the update of the buffers belongs under torch.no_grad().
"""
class BatchNorm(nn.Module):
    def __init__(self, width, eps=1e-5, momentum=0.1):
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.weight, self.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))
        self.register_buffer("running_mean", torch.zeros(width))
        self.register_buffer("running_var", torch.ones(width))

    def forward(self, x):
        mean, var = self.running_mean, self.running_var
        if self.training:
            with torch.no_grad():
                flat = x.reshape(-1, x.shape[-1])
                mean, var = flat.mean(0), flat.var(0, correction=0)
                self.running_mean.lerp_(mean, self.momentum)
                self.running_var.lerp_(flat.var(0), self.momentum)
        return (x - mean) / torch.sqrt(var + self.eps) * self.weight + self.bias

# %% exercise="BatchNorm" wrong="statistics_are_no_buffers"
"""running_mean and running_var are plain attributes: they are not in the state dict, so a saved model forgets them.

What does register_buffer do that an assignment does not?
"""
class BatchNorm(nn.Module):
    def __init__(self, width, eps=1e-5, momentum=0.1):
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.weight, self.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))
        self.running_mean, self.running_var = torch.zeros(width), torch.ones(width)

    def forward(self, x):
        mean, var = self.running_mean, self.running_var
        if self.training:
            flat = x.reshape(-1, x.shape[-1])
            mean, var = flat.mean(0), flat.var(0, correction=0)
            self.running_mean = (1 - self.momentum) * self.running_mean + self.momentum * mean.detach()
            self.running_var = (1 - self.momentum) * self.running_var + self.momentum * flat.var(0).detach()
        return (x - mean) / torch.sqrt(var + self.eps) * self.weight + self.bias

# %% exercise="FeedForward" wrong="tanh_gelu"
"""The GELU is the tanh approximation. The exact one uses the error function; they differ by up to 0.0005.

Which GELU does a checkpoint use? Look up the argument `approximate`.
"""
class FeedForward(nn.Module):
    def __init__(self, width, hidden, activation="relu"):
        super().__init__()
        if activation not in ("relu", "gelu"):
            raise ValueError(activation)
        self.kind = activation
        self.up, self.down = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x):
        h = self.up(x)
        h = torch.relu(h) if self.kind == "relu" else nn.functional.gelu(h, approximate="tanh")
        return self.down(h)

# %% exercise="FeedForward" wrong="sigmoid_gelu"
"""The GELU is the sigmoid approximation x * sigmoid(1.702 x). The exact one uses the error function.

Compare with x / 2 * (1 + erf(x / sqrt(2))) at x = 2.
"""
class FeedForward(nn.Module):
    def __init__(self, width, hidden, activation="relu"):
        super().__init__()
        if activation not in ("relu", "gelu"):
            raise ValueError(activation)
        self.kind = activation
        self.up, self.down = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x):
        h = self.up(x)
        h = torch.relu(h) if self.kind == "relu" else h * torch.sigmoid(1.702 * h)
        return self.down(h)

# %% exercise="FeedForward" wrong="no_nonlinearity"
"""Nothing stands between the two linear maps: together they are one linear map.

What can two matrices do that their product cannot?
"""
class FeedForward(nn.Module):
    def __init__(self, width, hidden, activation="relu"):
        super().__init__()
        if activation not in ("relu", "gelu"):
            raise ValueError(activation)
        self.kind = activation
        self.up, self.down = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x):
        return self.down(self.up(x))

# %% exercise="FeedForward" wrong="nonlinearity_at_the_end"
"""The nonlinearity comes after `down`: the layer can only add to the stream, never subtract.

Which of the two outputs, F wide or D wide, goes through it?
"""
class FeedForward(nn.Module):
    def __init__(self, width, hidden, activation="relu"):
        super().__init__()
        if activation not in ("relu", "gelu"):
            raise ValueError(activation)
        self.kind = activation
        self.up, self.down = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x):
        h = self.down(self.up(x))
        return torch.relu(h) if self.kind == "relu" else nn.functional.gelu(h)

# %% exercise="FeedForward" wrong="nonlinearity_at_both_ends"
"""The nonlinearity is applied twice, the second time to the output.

The output is added to the stream. Should it be able to be negative?
"""
class FeedForward(nn.Module):
    def __init__(self, width, hidden, activation="relu"):
        super().__init__()
        if activation not in ("relu", "gelu"):
            raise ValueError(activation)
        self.kind = activation
        self.up, self.down = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x):
        act = torch.relu if self.kind == "relu" else nn.functional.gelu
        return act(self.down(act(self.up(x))))

# %% exercise="FeedForward" wrong="always_relu"
"""The argument `activation` is accepted and relu is used whatever it says.

What does a GELU of -0.5 give?
"""
class FeedForward(nn.Module):
    def __init__(self, width, hidden, activation="relu"):
        super().__init__()
        if activation not in ("relu", "gelu"):
            raise ValueError(activation)
        self.kind = activation
        self.up, self.down = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x):
        return self.down(torch.relu(self.up(x)))

# %% exercise="FeedForward" wrong="residual_inside"
"""The input is added inside the feed-forward layer. The encoder layer adds it again.

Who carries the stream around the sublayer: the sublayer or the layer?
"""
class FeedForward(nn.Module):
    def __init__(self, width, hidden, activation="relu"):
        super().__init__()
        if activation not in ("relu", "gelu"):
            raise ValueError(activation)
        self.kind = activation
        self.up, self.down = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x):
        h = self.up(x)
        h = torch.relu(h) if self.kind == "relu" else nn.functional.gelu(h)
        return x + self.down(h)

# %% exercise="FeedForward" wrong="no_biases"
"""The linear maps have no biases, so a state dict with biases does not fit.

Equation 2 of the paper has b1 and b2.
"""
class FeedForward(nn.Module):
    def __init__(self, width, hidden, activation="relu"):
        super().__init__()
        if activation not in ("relu", "gelu"):
            raise ValueError(activation)
        self.kind = activation
        self.up, self.down = nn.Linear(width, hidden, bias=False), nn.Linear(hidden, width, bias=False)

    def forward(self, x):
        h = self.up(x)
        h = torch.relu(h) if self.kind == "relu" else nn.functional.gelu(h)
        return self.down(h)

# %% exercise="SwiGLU" wrong="gate_and_up_swapped"
"""The branch `up` is squashed and `gate` is not. With weights from elsewhere the result is wrong.

Which branch goes through silu?
"""
class SwiGLU(nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        self.gate, self.up = (nn.Linear(width, hidden, bias=False) for _ in range(2))
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(self, x):
        return self.down(self.gate(x) * nn.functional.silu(self.up(x)))

# %% exercise="SwiGLU" wrong="sigmoid_gate"
"""The gate is a sigmoid. That is the GLU of 2016; SwiGLU uses silu, z * sigmoid(z).

What does your gate give for a very large z: 1, or z?
"""
class SwiGLU(nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        self.gate, self.up = (nn.Linear(width, hidden, bias=False) for _ in range(2))
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(self, x):
        return self.down(torch.sigmoid(self.gate(x)) * self.up(x))

# %% exercise="SwiGLU" wrong="gelu_gate"
"""The gate is a GELU. That is GEGLU, a sister in the same paper.

silu(z) = z * sigmoid(z).
"""
class SwiGLU(nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        self.gate, self.up = (nn.Linear(width, hidden, bias=False) for _ in range(2))
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(self, x):
        return self.down(nn.functional.gelu(self.gate(x)) * self.up(x))

# %% exercise="SwiGLU" wrong="branches_added"
"""The two branches are added. A gate multiplies: where it is 0, nothing passes.

Set the gate's weights to zero. What should come out?
"""
class SwiGLU(nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        self.gate, self.up = (nn.Linear(width, hidden, bias=False) for _ in range(2))
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(self, x):
        return self.down(nn.functional.silu(self.gate(x)) + self.up(x))

# %% exercise="SwiGLU" wrong="product_squashed"
"""silu is applied to the product of both branches instead of to the gate alone.

Which arrow in the formula goes into silu?
"""
class SwiGLU(nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        self.gate, self.up = (nn.Linear(width, hidden, bias=False) for _ in range(2))
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(self, x):
        return self.down(nn.functional.silu(self.gate(x) * self.up(x)))

# %% exercise="SwiGLU" wrong="no_gate"
"""Only one branch is used: this is a feed-forward layer with silu, and `up` is never called.

Set the weights of `up` to zero: what should come out?
"""
class SwiGLU(nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        self.gate, self.up = (nn.Linear(width, hidden, bias=False) for _ in range(2))
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(self, x):
        return self.down(nn.functional.silu(self.gate(x)))

# %% exercise="SwiGLU" wrong="biases"
"""The linear maps have biases, so a state dict without them does not fit.

Look at the last words of the line about parameters.
"""
class SwiGLU(nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        self.gate, self.up = (nn.Linear(width, hidden, bias=True) for _ in range(2))
        self.down = nn.Linear(hidden, width, bias=True)

    def forward(self, x):
        return self.down(nn.functional.silu(self.gate(x)) * self.up(x))

# %% exercise="EncoderLayer" wrong="residual_adds_the_normalised_stream"
"""What is carried around the sublayer is the normalised stream, not the stream itself. All that earlier layers
wrote is rescaled.

Zero all weights of the sublayers: what should come out?
"""
class EncoderLayer(nn.Module):
    def __init__(self, width, heads, hidden, norm="pre", activation="relu", dropout=0.0):
        super().__init__()
        if norm not in ("pre", "post"):
            raise ValueError(norm)
        self.norm = norm
        self.attention = MultiHeadAttention(width, heads)
        self.feed_forward = FeedForward(width, hidden, activation)
        self.norm1, self.norm2 = LayerNorm(width), LayerNorm(width)
        self.drop = nn.Dropout(dropout)

    def forward(self, x, mask=None):
        if self.norm == "pre":
            y = self.norm1(x)
            x = y + self.drop(self.attention(y, mask)[0])
            y = self.norm2(x)
            return y + self.drop(self.feed_forward(y))
        x = self.norm1(x + self.drop(self.attention(x, mask)[0]))
        return self.norm2(x + self.drop(self.feed_forward(x)))

# %% exercise="EncoderLayer" wrong="both_sublayers_read_the_input"
"""Attention and feed-forward layer run side by side on the same input. In this layer the second reads what the
first one made.

What does the feed-forward layer see: x, or x plus what attention added?
"""
class EncoderLayer(nn.Module):
    def __init__(self, width, heads, hidden, norm="pre", activation="relu", dropout=0.0):
        super().__init__()
        if norm not in ("pre", "post"):
            raise ValueError(norm)
        self.norm = norm
        self.attention = MultiHeadAttention(width, heads)
        self.feed_forward = FeedForward(width, hidden, activation)
        self.norm1, self.norm2 = LayerNorm(width), LayerNorm(width)
        self.drop = nn.Dropout(dropout)

    def forward(self, x, mask=None):
        a = self.attention(self.norm1(x) if self.norm == "pre" else x, mask)[0]
        f = self.feed_forward(self.norm2(x) if self.norm == "pre" else x)
        if self.norm == "pre":
            return x + self.drop(a) + self.drop(f)
        return self.norm2(self.norm1(x + self.drop(a)) + self.drop(f))

# %% exercise="EncoderLayer" wrong="second_norm_reads_the_original"
"""In pre-norm the second norm still reads the input of the whole layer; what attention added does not reach the
feed-forward layer.

Which x stands in the second line, the old one or the new one?
"""
class EncoderLayer(nn.Module):
    def __init__(self, width, heads, hidden, norm="pre", activation="relu", dropout=0.0):
        super().__init__()
        if norm not in ("pre", "post"):
            raise ValueError(norm)
        self.norm = norm
        self.attention = MultiHeadAttention(width, heads)
        self.feed_forward = FeedForward(width, hidden, activation)
        self.norm1, self.norm2 = LayerNorm(width), LayerNorm(width)
        self.drop = nn.Dropout(dropout)

    def forward(self, x, mask=None):
        if self.norm == "pre":
            y = x + self.drop(self.attention(self.norm1(x), mask)[0])
            return y + self.drop(self.feed_forward(self.norm2(x)))
        x = self.norm1(x + self.drop(self.attention(x, mask)[0]))
        return self.norm2(x + self.drop(self.feed_forward(x)))

# %% exercise="EncoderLayer" wrong="no_residual"
"""The stream is not added back: each sublayer replaces what was there.

Zero the weights of a sublayer. What is left?
"""
class EncoderLayer(nn.Module):
    def __init__(self, width, heads, hidden, norm="pre", activation="relu", dropout=0.0):
        super().__init__()
        if norm not in ("pre", "post"):
            raise ValueError(norm)
        self.norm = norm
        self.attention = MultiHeadAttention(width, heads)
        self.feed_forward = FeedForward(width, hidden, activation)
        self.norm1, self.norm2 = LayerNorm(width), LayerNorm(width)
        self.drop = nn.Dropout(dropout)

    def forward(self, x, mask=None):
        if self.norm == "pre":
            x = self.drop(self.attention(self.norm1(x), mask)[0])
            return self.drop(self.feed_forward(self.norm2(x)))
        x = self.norm1(self.drop(self.attention(x, mask)[0]))
        return self.norm2(self.drop(self.feed_forward(x)))

# %% exercise="EncoderLayer" wrong="norm_of_the_sublayer_only"
"""In post-norm the norm acts on the sublayer's output before it is added, not on the sum.

In figure 1 of the paper the box says Add & Norm. In which order?
"""
class EncoderLayer(nn.Module):
    def __init__(self, width, heads, hidden, norm="pre", activation="relu", dropout=0.0):
        super().__init__()
        if norm not in ("pre", "post"):
            raise ValueError(norm)
        self.norm = norm
        self.attention = MultiHeadAttention(width, heads)
        self.feed_forward = FeedForward(width, hidden, activation)
        self.norm1, self.norm2 = LayerNorm(width), LayerNorm(width)
        self.drop = nn.Dropout(dropout)

    def forward(self, x, mask=None):
        if self.norm == "pre":
            x = x + self.drop(self.attention(self.norm1(x), mask)[0])
            return x + self.drop(self.feed_forward(self.norm2(x)))
        x = x + self.norm1(self.drop(self.attention(x, mask)[0]))
        return x + self.norm2(self.drop(self.feed_forward(x)))

# %% exercise="EncoderLayer" wrong="always_pre_norm"
"""The argument `norm` is checked and then not used: the layer is always pre-norm.

Where does your forward ask which of the two it is?
"""
class EncoderLayer(nn.Module):
    def __init__(self, width, heads, hidden, norm="pre", activation="relu", dropout=0.0):
        super().__init__()
        if norm not in ("pre", "post"):
            raise ValueError(norm)
        self.norm = norm
        self.attention = MultiHeadAttention(width, heads)
        self.feed_forward = FeedForward(width, hidden, activation)
        self.norm1, self.norm2 = LayerNorm(width), LayerNorm(width)
        self.drop = nn.Dropout(dropout)

    def forward(self, x, mask=None):
        x = x + self.drop(self.attention(self.norm1(x), mask)[0])
        return x + self.drop(self.feed_forward(self.norm2(x)))

# %% exercise="EncoderLayer" wrong="pre_and_post_swapped"
"""norm="pre" computes post-norm and the other way round.

Pre means: before the sublayer.
"""
class EncoderLayer(nn.Module):
    def __init__(self, width, heads, hidden, norm="pre", activation="relu", dropout=0.0):
        super().__init__()
        if norm not in ("pre", "post"):
            raise ValueError(norm)
        self.norm = norm
        self.attention = MultiHeadAttention(width, heads)
        self.feed_forward = FeedForward(width, hidden, activation)
        self.norm1, self.norm2 = LayerNorm(width), LayerNorm(width)
        self.drop = nn.Dropout(dropout)

    def forward(self, x, mask=None):
        if self.norm == "post":
            x = x + self.drop(self.attention(self.norm1(x), mask)[0])
            return x + self.drop(self.feed_forward(self.norm2(x)))
        x = self.norm1(x + self.drop(self.attention(x, mask)[0]))
        return self.norm2(x + self.drop(self.feed_forward(x)))

# %% exercise="EncoderLayer" wrong="one_norm_for_both"
"""norm1 is used twice, norm2 never: both sublayers share scale and shift.

Change the weights of norm2: does the output move?
"""
class EncoderLayer(nn.Module):
    def __init__(self, width, heads, hidden, norm="pre", activation="relu", dropout=0.0):
        super().__init__()
        if norm not in ("pre", "post"):
            raise ValueError(norm)
        self.norm = norm
        self.attention = MultiHeadAttention(width, heads)
        self.feed_forward = FeedForward(width, hidden, activation)
        self.norm1, self.norm2 = LayerNorm(width), LayerNorm(width)
        self.drop = nn.Dropout(dropout)

    def forward(self, x, mask=None):
        if self.norm == "pre":
            x = x + self.drop(self.attention(self.norm1(x), mask)[0])
            return x + self.drop(self.feed_forward(self.norm1(x)))
        x = self.norm1(x + self.drop(self.attention(x, mask)[0]))
        return self.norm1(x + self.drop(self.feed_forward(x)))

# %% exercise="EncoderLayer" wrong="mask_not_passed_on"
"""The mask is accepted and never handed to the attention: padding is read like words.

Trace the argument `mask`: who reads it?
"""
class EncoderLayer(nn.Module):
    def __init__(self, width, heads, hidden, norm="pre", activation="relu", dropout=0.0):
        super().__init__()
        if norm not in ("pre", "post"):
            raise ValueError(norm)
        self.norm = norm
        self.attention = MultiHeadAttention(width, heads)
        self.feed_forward = FeedForward(width, hidden, activation)
        self.norm1, self.norm2 = LayerNorm(width), LayerNorm(width)
        self.drop = nn.Dropout(dropout)

    def forward(self, x, mask=None):
        if self.norm == "pre":
            x = x + self.drop(self.attention(self.norm1(x))[0])
            return x + self.drop(self.feed_forward(self.norm2(x)))
        x = self.norm1(x + self.drop(self.attention(x)[0]))
        return self.norm2(x + self.drop(self.feed_forward(x)))

# %% exercise="EncoderLayer" wrong="dropout_on_the_stream"
"""Dropout acts on the sum, so it also drops what earlier layers wrote into the stream.

The paper applies it to a sublayer's output, before it is added. With dropout=1 the stream must pass untouched.
"""
class EncoderLayer(nn.Module):
    def __init__(self, width, heads, hidden, norm="pre", activation="relu", dropout=0.0):
        super().__init__()
        if norm not in ("pre", "post"):
            raise ValueError(norm)
        self.norm = norm
        self.attention = MultiHeadAttention(width, heads)
        self.feed_forward = FeedForward(width, hidden, activation)
        self.norm1, self.norm2 = LayerNorm(width), LayerNorm(width)
        self.drop = nn.Dropout(dropout)

    def forward(self, x, mask=None):
        if self.norm == "pre":
            x = self.drop(x + self.attention(self.norm1(x), mask)[0])
            return self.drop(x + self.feed_forward(self.norm2(x)))
        x = self.norm1(self.drop(x + self.attention(x, mask)[0]))
        return self.norm2(self.drop(x + self.feed_forward(x)))

# %% exercise="EncoderLayer" wrong="dropout_forgotten"
"""The argument `dropout` is accepted and never used.

With dropout=1 in training nothing of a sublayer arrives. What is left of the layer?
"""
class EncoderLayer(nn.Module):
    def __init__(self, width, heads, hidden, norm="pre", activation="relu", dropout=0.0):
        super().__init__()
        if norm not in ("pre", "post"):
            raise ValueError(norm)
        self.norm = norm
        self.attention = MultiHeadAttention(width, heads)
        self.feed_forward = FeedForward(width, hidden, activation)
        self.norm1, self.norm2 = LayerNorm(width), LayerNorm(width)
        self.drop = nn.Dropout(dropout)

    def forward(self, x, mask=None):
        if self.norm == "pre":
            x = x + self.attention(self.norm1(x), mask)[0]
            return x + self.feed_forward(self.norm2(x))
        x = self.norm1(x + self.attention(x, mask)[0])
        return self.norm2(x + self.feed_forward(x))

# %% exercise="EncoderLayer" wrong="activation_not_passed_on"
"""The argument `activation` never reaches FeedForward: it is always relu.

How does FeedForward learn which activation it should use?
"""
class EncoderLayer(nn.Module):
    def __init__(self, width, heads, hidden, norm="pre", activation="relu", dropout=0.0):
        super().__init__()
        if norm not in ("pre", "post"):
            raise ValueError(norm)
        self.norm = norm
        self.attention = MultiHeadAttention(width, heads)
        self.feed_forward = FeedForward(width, hidden)
        self.norm1, self.norm2 = LayerNorm(width), LayerNorm(width)
        self.drop = nn.Dropout(dropout)

    def forward(self, x, mask=None):
        if self.norm == "pre":
            x = x + self.drop(self.attention(self.norm1(x), mask)[0])
            return x + self.drop(self.feed_forward(self.norm2(x)))
        x = self.norm1(x + self.drop(self.attention(x, mask)[0]))
        return self.norm2(x + self.drop(self.feed_forward(x)))

# %% exercise="DecoderLayer" wrong="masks_swapped"
"""The memory mask goes to the self-attention and the causal mask to the cross-attention.

Which of the two sequences has padding, and which has a future?
"""
class DecoderLayer(nn.Module):
    def __init__(self, width, heads, hidden, norm="pre", activation="relu", dropout=0.0):
        super().__init__()
        if norm not in ("pre", "post"):
            raise ValueError(norm)
        self.norm = norm
        self.self_attention, self.cross_attention = MultiHeadAttention(width, heads), MultiHeadAttention(width, heads)
        self.feed_forward = FeedForward(width, hidden, activation)
        self.norm1, self.norm2, self.norm3 = LayerNorm(width), LayerNorm(width), LayerNorm(width)
        self.drop = nn.Dropout(dropout)

    def forward(self, x, memory, mask=None, memory_mask=None):
        if self.norm == "pre":
            x = x + self.drop(self.self_attention(self.norm1(x), memory_mask)[0])
            x = x + self.drop(self.cross_attention(self.norm2(x), mask, memory)[0])
            x = x + self.drop(self.feed_forward(self.norm3(x)))
            return x
        x = self.norm1(x + self.drop(self.self_attention(x, memory_mask)[0]))
        x = self.norm2(x + self.drop(self.cross_attention(x, mask, memory)[0]))
        x = self.norm3(x + self.drop(self.feed_forward(x)))
        return x

# %% exercise="DecoderLayer" wrong="memory_mask_ignored"
"""The memory mask is accepted and never used: the decoder reads the padding of the source.

Trace the argument `memory_mask`: who reads it?
"""
class DecoderLayer(nn.Module):
    def __init__(self, width, heads, hidden, norm="pre", activation="relu", dropout=0.0):
        super().__init__()
        if norm not in ("pre", "post"):
            raise ValueError(norm)
        self.norm = norm
        self.self_attention, self.cross_attention = MultiHeadAttention(width, heads), MultiHeadAttention(width, heads)
        self.feed_forward = FeedForward(width, hidden, activation)
        self.norm1, self.norm2, self.norm3 = LayerNorm(width), LayerNorm(width), LayerNorm(width)
        self.drop = nn.Dropout(dropout)

    def forward(self, x, memory, mask=None, memory_mask=None):
        if self.norm == "pre":
            x = x + self.drop(self.self_attention(self.norm1(x), mask)[0])
            x = x + self.drop(self.cross_attention(self.norm2(x), memory=memory)[0])
            x = x + self.drop(self.feed_forward(self.norm3(x)))
            return x
        x = self.norm1(x + self.drop(self.self_attention(x, mask)[0]))
        x = self.norm2(x + self.drop(self.cross_attention(x, memory=memory)[0]))
        x = self.norm3(x + self.drop(self.feed_forward(x)))
        return x

# %% exercise="DecoderLayer" wrong="causal_mask_ignored"
"""The mask of the target is accepted and never used: each position reads the words it has to predict.

Trace the argument `mask`: who reads it?
"""
class DecoderLayer(nn.Module):
    def __init__(self, width, heads, hidden, norm="pre", activation="relu", dropout=0.0):
        super().__init__()
        if norm not in ("pre", "post"):
            raise ValueError(norm)
        self.norm = norm
        self.self_attention, self.cross_attention = MultiHeadAttention(width, heads), MultiHeadAttention(width, heads)
        self.feed_forward = FeedForward(width, hidden, activation)
        self.norm1, self.norm2, self.norm3 = LayerNorm(width), LayerNorm(width), LayerNorm(width)
        self.drop = nn.Dropout(dropout)

    def forward(self, x, memory, mask=None, memory_mask=None):
        if self.norm == "pre":
            x = x + self.drop(self.self_attention(self.norm1(x))[0])
            x = x + self.drop(self.cross_attention(self.norm2(x), memory_mask, memory)[0])
            x = x + self.drop(self.feed_forward(self.norm3(x)))
            return x
        x = self.norm1(x + self.drop(self.self_attention(x)[0]))
        x = self.norm2(x + self.drop(self.cross_attention(x, memory_mask, memory)[0]))
        x = self.norm3(x + self.drop(self.feed_forward(x)))
        return x

# %% exercise="DecoderLayer" wrong="causal_mask_in_cross_attention"
"""The causal mask also acts on the cross-attention: word 3 of the target may then read 3 words of the source only.

The source is known in full before the first target word is written. Is anything of it in the future?
"""
class DecoderLayer(nn.Module):
    def __init__(self, width, heads, hidden, norm="pre", activation="relu", dropout=0.0):
        super().__init__()
        if norm not in ("pre", "post"):
            raise ValueError(norm)
        self.norm = norm
        self.self_attention, self.cross_attention = MultiHeadAttention(width, heads), MultiHeadAttention(width, heads)
        self.feed_forward = FeedForward(width, hidden, activation)
        self.norm1, self.norm2, self.norm3 = LayerNorm(width), LayerNorm(width), LayerNorm(width)
        self.drop = nn.Dropout(dropout)

    def forward(self, x, memory, mask=None, memory_mask=None):
        if self.norm == "pre":
            x = x + self.drop(self.self_attention(self.norm1(x), mask)[0])
            x = x + self.drop(self.cross_attention(self.norm2(x), blend(mask, memory_mask, memory), memory)[0])
            x = x + self.drop(self.feed_forward(self.norm3(x)))
            return x
        x = self.norm1(x + self.drop(self.self_attention(x, mask)[0]))
        x = self.norm2(x + self.drop(self.cross_attention(x, blend(mask, memory_mask, memory), memory)[0]))
        x = self.norm3(x + self.drop(self.feed_forward(x)))
        return x


def blend(mask, memory_mask, memory):
    if mask is None or mask.shape[-1] != memory.shape[1]:
        return memory_mask
    return mask if memory_mask is None else mask & memory_mask

# %% exercise="DecoderLayer" wrong="memory_is_normalised"
"""The norm of the cross-attention is applied to the memory too. The encoder has already finished it.

Which of queries, keys and values come from the stream?
"""
class DecoderLayer(nn.Module):
    def __init__(self, width, heads, hidden, norm="pre", activation="relu", dropout=0.0):
        super().__init__()
        if norm not in ("pre", "post"):
            raise ValueError(norm)
        self.norm = norm
        self.self_attention, self.cross_attention = MultiHeadAttention(width, heads), MultiHeadAttention(width, heads)
        self.feed_forward = FeedForward(width, hidden, activation)
        self.norm1, self.norm2, self.norm3 = LayerNorm(width), LayerNorm(width), LayerNorm(width)
        self.drop = nn.Dropout(dropout)

    def forward(self, x, memory, mask=None, memory_mask=None):
        if self.norm == "pre":
            x = x + self.drop(self.self_attention(self.norm1(x), mask)[0])
            x = x + self.drop(self.cross_attention(self.norm2(x), memory_mask, self.norm2(memory))[0])
            return x + self.drop(self.feed_forward(self.norm3(x)))
        x = self.norm1(x + self.drop(self.self_attention(x, mask)[0]))
        x = self.norm2(x + self.drop(self.cross_attention(x, memory_mask, memory)[0]))
        return self.norm3(x + self.drop(self.feed_forward(x)))

# %% exercise="DecoderLayer" wrong="cross_attention_first"
"""Cross-attention comes before self-attention.

Follow figure 1 of the paper from the bottom of the decoder upwards.
"""
class DecoderLayer(nn.Module):
    def __init__(self, width, heads, hidden, norm="pre", activation="relu", dropout=0.0):
        super().__init__()
        if norm not in ("pre", "post"):
            raise ValueError(norm)
        self.norm = norm
        self.self_attention, self.cross_attention = MultiHeadAttention(width, heads), MultiHeadAttention(width, heads)
        self.feed_forward = FeedForward(width, hidden, activation)
        self.norm1, self.norm2, self.norm3 = LayerNorm(width), LayerNorm(width), LayerNorm(width)
        self.drop = nn.Dropout(dropout)

    def forward(self, x, memory, mask=None, memory_mask=None):
        if self.norm == "pre":
            x = x + self.drop(self.cross_attention(self.norm2(x), memory_mask, memory)[0])
            x = x + self.drop(self.self_attention(self.norm1(x), mask)[0])
            x = x + self.drop(self.feed_forward(self.norm3(x)))
            return x
        x = self.norm2(x + self.drop(self.cross_attention(x, memory_mask, memory)[0]))
        x = self.norm1(x + self.drop(self.self_attention(x, mask)[0]))
        x = self.norm3(x + self.drop(self.feed_forward(x)))
        return x

# %% exercise="DecoderLayer" wrong="no_cross_attention"
"""The memory is never read: the decoder writes without having seen the source.

Change the memory: does anything happen?
"""
class DecoderLayer(nn.Module):
    def __init__(self, width, heads, hidden, norm="pre", activation="relu", dropout=0.0):
        super().__init__()
        if norm not in ("pre", "post"):
            raise ValueError(norm)
        self.norm = norm
        self.self_attention, self.cross_attention = MultiHeadAttention(width, heads), MultiHeadAttention(width, heads)
        self.feed_forward = FeedForward(width, hidden, activation)
        self.norm1, self.norm2, self.norm3 = LayerNorm(width), LayerNorm(width), LayerNorm(width)
        self.drop = nn.Dropout(dropout)

    def forward(self, x, memory, mask=None, memory_mask=None):
        if self.norm == "pre":
            x = x + self.drop(self.self_attention(self.norm1(x), mask)[0])
            x = x + self.drop(self.feed_forward(self.norm3(x)))
            return x
        x = self.norm1(x + self.drop(self.self_attention(x, mask)[0]))
        x = self.norm3(x + self.drop(self.feed_forward(x)))
        return x

# %% exercise="DecoderLayer" wrong="no_residual_around_cross_attention"
"""What cross-attention delivers replaces the stream instead of being added to it.

With a cross-attention of zero, is anything of the target left?
"""
class DecoderLayer(nn.Module):
    def __init__(self, width, heads, hidden, norm="pre", activation="relu", dropout=0.0):
        super().__init__()
        if norm not in ("pre", "post"):
            raise ValueError(norm)
        self.norm = norm
        self.self_attention, self.cross_attention = MultiHeadAttention(width, heads), MultiHeadAttention(width, heads)
        self.feed_forward = FeedForward(width, hidden, activation)
        self.norm1, self.norm2, self.norm3 = LayerNorm(width), LayerNorm(width), LayerNorm(width)
        self.drop = nn.Dropout(dropout)

    def forward(self, x, memory, mask=None, memory_mask=None):
        if self.norm == "pre":
            x = x + self.drop(self.self_attention(self.norm1(x), mask)[0])
            x = self.drop(self.cross_attention(self.norm2(x), memory_mask, memory)[0])
            return x + self.drop(self.feed_forward(self.norm3(x)))
        x = self.norm1(x + self.drop(self.self_attention(x, mask)[0]))
        x = self.norm2(self.drop(self.cross_attention(x, memory_mask, memory)[0]))
        return self.norm3(x + self.drop(self.feed_forward(x)))

# %% exercise="DecoderLayer" wrong="residual_adds_the_normalised_stream"
"""What is carried around each sublayer is the normalised stream, not the stream itself.

Zero all weights of the sublayers: what should come out of a pre-norm layer?
"""
class DecoderLayer(nn.Module):
    def __init__(self, width, heads, hidden, norm="pre", activation="relu", dropout=0.0):
        super().__init__()
        if norm not in ("pre", "post"):
            raise ValueError(norm)
        self.norm = norm
        self.self_attention, self.cross_attention = MultiHeadAttention(width, heads), MultiHeadAttention(width, heads)
        self.feed_forward = FeedForward(width, hidden, activation)
        self.norm1, self.norm2, self.norm3 = LayerNorm(width), LayerNorm(width), LayerNorm(width)
        self.drop = nn.Dropout(dropout)

    def forward(self, x, memory, mask=None, memory_mask=None):
        if self.norm == "pre":
            y = self.norm1(x)
            x = y + self.drop(self.self_attention(y, mask)[0])
            y = self.norm2(x)
            x = y + self.drop(self.cross_attention(y, memory_mask, memory)[0])
            y = self.norm3(x)
            return y + self.drop(self.feed_forward(y))
        x = self.norm1(x + self.drop(self.self_attention(x, mask)[0]))
        x = self.norm2(x + self.drop(self.cross_attention(x, memory_mask, memory)[0]))
        return self.norm3(x + self.drop(self.feed_forward(x)))

# %% exercise="DecoderLayer" wrong="norms_in_another_order"
"""norm2 goes with the feed-forward layer and norm3 with the cross-attention. With weights from elsewhere the result
is wrong.

The norms are numbered in the order in which the sublayers act.
"""
class DecoderLayer(nn.Module):
    def __init__(self, width, heads, hidden, norm="pre", activation="relu", dropout=0.0):
        super().__init__()
        if norm not in ("pre", "post"):
            raise ValueError(norm)
        self.norm = norm
        self.self_attention, self.cross_attention = MultiHeadAttention(width, heads), MultiHeadAttention(width, heads)
        self.feed_forward = FeedForward(width, hidden, activation)
        self.norm1, self.norm2, self.norm3 = LayerNorm(width), LayerNorm(width), LayerNorm(width)
        self.drop = nn.Dropout(dropout)

    def forward(self, x, memory, mask=None, memory_mask=None):
        if self.norm == "pre":
            x = x + self.drop(self.self_attention(self.norm1(x), mask)[0])
            x = x + self.drop(self.cross_attention(self.norm3(x), memory_mask, memory)[0])
            x = x + self.drop(self.feed_forward(self.norm2(x)))
            return x
        x = self.norm1(x + self.drop(self.self_attention(x, mask)[0]))
        x = self.norm3(x + self.drop(self.cross_attention(x, memory_mask, memory)[0]))
        x = self.norm2(x + self.drop(self.feed_forward(x)))
        return x

# %% exercise="DecoderLayer" wrong="always_post_norm"
"""The argument `norm` is checked and then not used: the layer is always post-norm.

Where does your forward ask which of the two it is?
"""
class DecoderLayer(nn.Module):
    def __init__(self, width, heads, hidden, norm="pre", activation="relu", dropout=0.0):
        super().__init__()
        if norm not in ("pre", "post"):
            raise ValueError(norm)
        self.norm = norm
        self.self_attention, self.cross_attention = MultiHeadAttention(width, heads), MultiHeadAttention(width, heads)
        self.feed_forward = FeedForward(width, hidden, activation)
        self.norm1, self.norm2, self.norm3 = LayerNorm(width), LayerNorm(width), LayerNorm(width)
        self.drop = nn.Dropout(dropout)

    def forward(self, x, memory, mask=None, memory_mask=None):
        x = self.norm1(x + self.drop(self.self_attention(x, mask)[0]))
        x = self.norm2(x + self.drop(self.cross_attention(x, memory_mask, memory)[0]))
        return self.norm3(x + self.drop(self.feed_forward(x)))

# %% exercise="DecoderLayer" wrong="dropout_only_in_the_feed_forward_layer"
"""Dropout acts on the feed-forward layer alone; both attentions are left out.

With dropout=1 a pre-norm layer in training gives back its input.
"""
class DecoderLayer(nn.Module):
    def __init__(self, width, heads, hidden, norm="pre", activation="relu", dropout=0.0):
        super().__init__()
        if norm not in ("pre", "post"):
            raise ValueError(norm)
        self.norm = norm
        self.self_attention, self.cross_attention = MultiHeadAttention(width, heads), MultiHeadAttention(width, heads)
        self.feed_forward = FeedForward(width, hidden, activation)
        self.norm1, self.norm2, self.norm3 = LayerNorm(width), LayerNorm(width), LayerNorm(width)
        self.drop = nn.Dropout(dropout)

    def forward(self, x, memory, mask=None, memory_mask=None):
        if self.norm == "pre":
            x = x + self.self_attention(self.norm1(x), mask)[0]
            x = x + self.cross_attention(self.norm2(x), memory_mask, memory)[0]
            return x + self.drop(self.feed_forward(self.norm3(x)))
        x = self.norm1(x + self.self_attention(x, mask)[0])
        x = self.norm2(x + self.cross_attention(x, memory_mask, memory)[0])
        return self.norm3(x + self.drop(self.feed_forward(x)))

# %% exercise="Transformer" wrong="embeddings_not_scaled"
"""The embeddings are not multiplied by sqrt(D): next to the positions they are too quiet.

How long is an embedding of deviation 1 / sqrt(D), and how long is a row of sinusoids?
"""
class Transformer(nn.Module):
    def __init__(self, source_vocab, target_vocab, width, heads, layers, hidden, norm="pre", activation="relu",
                 dropout=0.0, max_length=256):
        super().__init__()
        self.width = width
        self.source_embedding = nn.Embedding(source_vocab, width)
        self.target_embedding = nn.Embedding(target_vocab, width)
        nn.init.normal_(self.source_embedding.weight, std=width**-0.5)
        nn.init.normal_(self.target_embedding.weight, std=width**-0.5)
        options = dict(norm=norm, activation=activation, dropout=dropout)
        self.encoder = nn.ModuleList([EncoderLayer(width, heads, hidden, **options) for _ in range(layers)])
        self.decoder = nn.ModuleList([DecoderLayer(width, heads, hidden, **options) for _ in range(layers)])
        self.encoder_norm = LayerNorm(width) if norm == "pre" else nn.Identity()
        self.decoder_norm = LayerNorm(width) if norm == "pre" else nn.Identity()
        self.drop, self.longest = nn.Dropout(dropout), max_length

    def read(self, ids, table):
        if ids.shape[1] > self.longest:
            raise ValueError("too long")
        places = sinusoidal_encoding(ids.shape[1], self.width)
        return self.drop(table(ids) + places)

    def encode(self, source):
        keep = source != 0
        x = self.read(source, self.source_embedding)
        for layer in self.encoder:
            x = layer(x, keep[:, None, None])
        return self.encoder_norm(x), keep

    def decode(self, target, memory, source_keep):
        causal = torch.ones(target.shape[1], target.shape[1]).tril().bool()
        x = self.read(target, self.target_embedding)
        for layer in self.decoder:
            x = layer(x, memory, causal, source_keep[:, None, None])
        return self.decoder_norm(x) @ self.target_embedding.weight.T

    def forward(self, source, target):
        return self.decode(target, *self.encode(source))

# %% exercise="Transformer" wrong="positions_scaled_too"
"""Embedding and position are added first and multiplied by sqrt(D) together.

Only one of the two is made small by its initial deviation.
"""
class Transformer(nn.Module):
    def __init__(self, source_vocab, target_vocab, width, heads, layers, hidden, norm="pre", activation="relu",
                 dropout=0.0, max_length=256):
        super().__init__()
        self.width = width
        self.source_embedding = nn.Embedding(source_vocab, width)
        self.target_embedding = nn.Embedding(target_vocab, width)
        nn.init.normal_(self.source_embedding.weight, std=width**-0.5)
        nn.init.normal_(self.target_embedding.weight, std=width**-0.5)
        options = dict(norm=norm, activation=activation, dropout=dropout)
        self.encoder = nn.ModuleList([EncoderLayer(width, heads, hidden, **options) for _ in range(layers)])
        self.decoder = nn.ModuleList([DecoderLayer(width, heads, hidden, **options) for _ in range(layers)])
        self.encoder_norm = LayerNorm(width) if norm == "pre" else nn.Identity()
        self.decoder_norm = LayerNorm(width) if norm == "pre" else nn.Identity()
        self.drop, self.longest = nn.Dropout(dropout), max_length

    def read(self, ids, table):
        if ids.shape[1] > self.longest:
            raise ValueError("too long")
        places = sinusoidal_encoding(ids.shape[1], self.width)
        return self.drop((table(ids) + places) * self.width**0.5)

    def encode(self, source):
        keep = source != 0
        x = self.read(source, self.source_embedding)
        for layer in self.encoder:
            x = layer(x, keep[:, None, None])
        return self.encoder_norm(x), keep

    def decode(self, target, memory, source_keep):
        causal = torch.ones(target.shape[1], target.shape[1]).tril().bool()
        x = self.read(target, self.target_embedding)
        for layer in self.decoder:
            x = layer(x, memory, causal, source_keep[:, None, None])
        return self.decoder_norm(x) @ self.target_embedding.weight.T

    def forward(self, source, target):
        return self.decode(target, *self.encode(source))

# %% exercise="Transformer" wrong="positions_forgotten"
"""No positions are added: the encoder sees a bag of words.

What did unit 03 measure about attention without positions?
"""
class Transformer(nn.Module):
    def __init__(self, source_vocab, target_vocab, width, heads, layers, hidden, norm="pre", activation="relu",
                 dropout=0.0, max_length=256):
        super().__init__()
        self.width = width
        self.source_embedding = nn.Embedding(source_vocab, width)
        self.target_embedding = nn.Embedding(target_vocab, width)
        nn.init.normal_(self.source_embedding.weight, std=width**-0.5)
        nn.init.normal_(self.target_embedding.weight, std=width**-0.5)
        options = dict(norm=norm, activation=activation, dropout=dropout)
        self.encoder = nn.ModuleList([EncoderLayer(width, heads, hidden, **options) for _ in range(layers)])
        self.decoder = nn.ModuleList([DecoderLayer(width, heads, hidden, **options) for _ in range(layers)])
        self.encoder_norm = LayerNorm(width) if norm == "pre" else nn.Identity()
        self.decoder_norm = LayerNorm(width) if norm == "pre" else nn.Identity()
        self.drop, self.longest = nn.Dropout(dropout), max_length

    def read(self, ids, table):
        if ids.shape[1] > self.longest:
            raise ValueError("too long")
        return self.drop(table(ids) * self.width**0.5)

    def encode(self, source):
        keep = source != 0
        x = self.read(source, self.source_embedding)
        for layer in self.encoder:
            x = layer(x, keep[:, None, None])
        return self.encoder_norm(x), keep

    def decode(self, target, memory, source_keep):
        causal = torch.ones(target.shape[1], target.shape[1]).tril().bool()
        x = self.read(target, self.target_embedding)
        for layer in self.decoder:
            x = layer(x, memory, causal, source_keep[:, None, None])
        return self.decoder_norm(x) @ self.target_embedding.weight.T

    def forward(self, source, target):
        return self.decode(target, *self.encode(source))

# %% exercise="Transformer" wrong="no_closing_norm"
"""With pre-norm the closing norms are made and not applied: nothing normalises the stream before the head.

In pre-norm, which norm acts on what the last layer adds?
"""
class Transformer(nn.Module):
    def __init__(self, source_vocab, target_vocab, width, heads, layers, hidden, norm="pre", activation="relu",
                 dropout=0.0, max_length=256):
        super().__init__()
        self.width = width
        self.source_embedding = nn.Embedding(source_vocab, width)
        self.target_embedding = nn.Embedding(target_vocab, width)
        nn.init.normal_(self.source_embedding.weight, std=width**-0.5)
        nn.init.normal_(self.target_embedding.weight, std=width**-0.5)
        options = dict(norm=norm, activation=activation, dropout=dropout)
        self.encoder = nn.ModuleList([EncoderLayer(width, heads, hidden, **options) for _ in range(layers)])
        self.decoder = nn.ModuleList([DecoderLayer(width, heads, hidden, **options) for _ in range(layers)])
        self.encoder_norm = LayerNorm(width) if norm == "pre" else nn.Identity()
        self.decoder_norm = LayerNorm(width) if norm == "pre" else nn.Identity()
        self.drop, self.longest = nn.Dropout(dropout), max_length

    def read(self, ids, table):
        if ids.shape[1] > self.longest:
            raise ValueError("too long")
        places = sinusoidal_encoding(ids.shape[1], self.width)
        return self.drop(table(ids) * self.width**0.5 + places)

    def encode(self, source):
        keep = source != 0
        x = self.read(source, self.source_embedding)
        for layer in self.encoder:
            x = layer(x, keep[:, None, None])
        return x, keep

    def decode(self, target, memory, source_keep):
        causal = torch.ones(target.shape[1], target.shape[1]).tril().bool()
        x = self.read(target, self.target_embedding)
        for layer in self.decoder:
            x = layer(x, memory, causal, source_keep[:, None, None])
        return x @ self.target_embedding.weight.T

    def forward(self, source, target):
        return self.decode(target, *self.encode(source))

# %% exercise="Transformer" wrong="memory_without_closing_norm"
"""The decoder's stream is normalised at the end, the memory is not.

Which norm acts on what the last encoder layer adds?
"""
class Transformer(nn.Module):
    def __init__(self, source_vocab, target_vocab, width, heads, layers, hidden, norm="pre", activation="relu",
                 dropout=0.0, max_length=256):
        super().__init__()
        self.width = width
        self.source_embedding = nn.Embedding(source_vocab, width)
        self.target_embedding = nn.Embedding(target_vocab, width)
        nn.init.normal_(self.source_embedding.weight, std=width**-0.5)
        nn.init.normal_(self.target_embedding.weight, std=width**-0.5)
        options = dict(norm=norm, activation=activation, dropout=dropout)
        self.encoder = nn.ModuleList([EncoderLayer(width, heads, hidden, **options) for _ in range(layers)])
        self.decoder = nn.ModuleList([DecoderLayer(width, heads, hidden, **options) for _ in range(layers)])
        self.encoder_norm = LayerNorm(width) if norm == "pre" else nn.Identity()
        self.decoder_norm = LayerNorm(width) if norm == "pre" else nn.Identity()
        self.drop, self.longest = nn.Dropout(dropout), max_length

    def read(self, ids, table):
        if ids.shape[1] > self.longest:
            raise ValueError("too long")
        places = sinusoidal_encoding(ids.shape[1], self.width)
        return self.drop(table(ids) * self.width**0.5 + places)

    def encode(self, source):
        keep = source != 0
        x = self.read(source, self.source_embedding)
        for layer in self.encoder:
            x = layer(x, keep[:, None, None])
        return x, keep

    def decode(self, target, memory, source_keep):
        causal = torch.ones(target.shape[1], target.shape[1]).tril().bool()
        x = self.read(target, self.target_embedding)
        for layer in self.decoder:
            x = layer(x, memory, causal, source_keep[:, None, None])
        return self.decoder_norm(x) @ self.target_embedding.weight.T

    def forward(self, source, target):
        return self.decode(target, *self.encode(source))

# %% exercise="Transformer" wrong="closing_norms_with_post_norm"
"""Closing norms are also there with post-norm, where each layer already ends in one.

Which parameters has a post-norm model in its state dict?
"""
class Transformer(nn.Module):
    def __init__(self, source_vocab, target_vocab, width, heads, layers, hidden, norm="pre", activation="relu",
                 dropout=0.0, max_length=256):
        super().__init__()
        self.width = width
        self.source_embedding = nn.Embedding(source_vocab, width)
        self.target_embedding = nn.Embedding(target_vocab, width)
        nn.init.normal_(self.source_embedding.weight, std=width**-0.5)
        nn.init.normal_(self.target_embedding.weight, std=width**-0.5)
        options = dict(norm=norm, activation=activation, dropout=dropout)
        self.encoder = nn.ModuleList([EncoderLayer(width, heads, hidden, **options) for _ in range(layers)])
        self.decoder = nn.ModuleList([DecoderLayer(width, heads, hidden, **options) for _ in range(layers)])
        self.encoder_norm = LayerNorm(width)
        self.decoder_norm = LayerNorm(width)
        self.drop, self.longest = nn.Dropout(dropout), max_length

    def read(self, ids, table):
        if ids.shape[1] > self.longest:
            raise ValueError("too long")
        places = sinusoidal_encoding(ids.shape[1], self.width)
        return self.drop(table(ids) * self.width**0.5 + places)

    def encode(self, source):
        keep = source != 0
        x = self.read(source, self.source_embedding)
        for layer in self.encoder:
            x = layer(x, keep[:, None, None])
        return self.encoder_norm(x), keep

    def decode(self, target, memory, source_keep):
        causal = torch.ones(target.shape[1], target.shape[1]).tril().bool()
        x = self.read(target, self.target_embedding)
        for layer in self.decoder:
            x = layer(x, memory, causal, source_keep[:, None, None])
        return self.decoder_norm(x) @ self.target_embedding.weight.T

    def forward(self, source, target):
        return self.decode(target, *self.encode(source))

# %% exercise="Transformer" wrong="causal_mask_forgotten"
"""The decoder has no causal mask: in training it reads the word it has to predict, and the loss looks wonderful.

Change the last word of the target: which logits move?
"""
class Transformer(nn.Module):
    def __init__(self, source_vocab, target_vocab, width, heads, layers, hidden, norm="pre", activation="relu",
                 dropout=0.0, max_length=256):
        super().__init__()
        self.width = width
        self.source_embedding = nn.Embedding(source_vocab, width)
        self.target_embedding = nn.Embedding(target_vocab, width)
        nn.init.normal_(self.source_embedding.weight, std=width**-0.5)
        nn.init.normal_(self.target_embedding.weight, std=width**-0.5)
        options = dict(norm=norm, activation=activation, dropout=dropout)
        self.encoder = nn.ModuleList([EncoderLayer(width, heads, hidden, **options) for _ in range(layers)])
        self.decoder = nn.ModuleList([DecoderLayer(width, heads, hidden, **options) for _ in range(layers)])
        self.encoder_norm = LayerNorm(width) if norm == "pre" else nn.Identity()
        self.decoder_norm = LayerNorm(width) if norm == "pre" else nn.Identity()
        self.drop, self.longest = nn.Dropout(dropout), max_length

    def read(self, ids, table):
        if ids.shape[1] > self.longest:
            raise ValueError("too long")
        places = sinusoidal_encoding(ids.shape[1], self.width)
        return self.drop(table(ids) * self.width**0.5 + places)

    def encode(self, source):
        keep = source != 0
        x = self.read(source, self.source_embedding)
        for layer in self.encoder:
            x = layer(x, keep[:, None, None])
        return self.encoder_norm(x), keep

    def decode(self, target, memory, source_keep):
        x = self.read(target, self.target_embedding)
        for layer in self.decoder:
            x = layer(x, memory, None, source_keep[:, None, None])
        return self.decoder_norm(x) @ self.target_embedding.weight.T

    def forward(self, source, target):
        return self.decode(target, *self.encode(source))

# %% exercise="Transformer" wrong="causal_mask_without_diagonal"
"""A position may not see itself: it does not know the word that has just been written. The first sees nothing.

Position t sees targets 0 to t. Is t among them?
"""
class Transformer(nn.Module):
    def __init__(self, source_vocab, target_vocab, width, heads, layers, hidden, norm="pre", activation="relu",
                 dropout=0.0, max_length=256):
        super().__init__()
        self.width = width
        self.source_embedding = nn.Embedding(source_vocab, width)
        self.target_embedding = nn.Embedding(target_vocab, width)
        nn.init.normal_(self.source_embedding.weight, std=width**-0.5)
        nn.init.normal_(self.target_embedding.weight, std=width**-0.5)
        options = dict(norm=norm, activation=activation, dropout=dropout)
        self.encoder = nn.ModuleList([EncoderLayer(width, heads, hidden, **options) for _ in range(layers)])
        self.decoder = nn.ModuleList([DecoderLayer(width, heads, hidden, **options) for _ in range(layers)])
        self.encoder_norm = LayerNorm(width) if norm == "pre" else nn.Identity()
        self.decoder_norm = LayerNorm(width) if norm == "pre" else nn.Identity()
        self.drop, self.longest = nn.Dropout(dropout), max_length

    def read(self, ids, table):
        if ids.shape[1] > self.longest:
            raise ValueError("too long")
        places = sinusoidal_encoding(ids.shape[1], self.width)
        return self.drop(table(ids) * self.width**0.5 + places)

    def encode(self, source):
        keep = source != 0
        x = self.read(source, self.source_embedding)
        for layer in self.encoder:
            x = layer(x, keep[:, None, None])
        return self.encoder_norm(x), keep

    def decode(self, target, memory, source_keep):
        causal = torch.ones(target.shape[1], target.shape[1]).tril(-1).bool()
        x = self.read(target, self.target_embedding)
        for layer in self.decoder:
            x = layer(x, memory, causal, source_keep[:, None, None])
        return self.decoder_norm(x) @ self.target_embedding.weight.T

    def forward(self, source, target):
        return self.decode(target, *self.encode(source))

# %% exercise="Transformer" wrong="source_padding_read_by_the_decoder"
"""The padding of the source is hidden in the encoder, and the decoder reads it.

Which mask does cross-attention need?
"""
class Transformer(nn.Module):
    def __init__(self, source_vocab, target_vocab, width, heads, layers, hidden, norm="pre", activation="relu",
                 dropout=0.0, max_length=256):
        super().__init__()
        self.width = width
        self.source_embedding = nn.Embedding(source_vocab, width)
        self.target_embedding = nn.Embedding(target_vocab, width)
        nn.init.normal_(self.source_embedding.weight, std=width**-0.5)
        nn.init.normal_(self.target_embedding.weight, std=width**-0.5)
        options = dict(norm=norm, activation=activation, dropout=dropout)
        self.encoder = nn.ModuleList([EncoderLayer(width, heads, hidden, **options) for _ in range(layers)])
        self.decoder = nn.ModuleList([DecoderLayer(width, heads, hidden, **options) for _ in range(layers)])
        self.encoder_norm = LayerNorm(width) if norm == "pre" else nn.Identity()
        self.decoder_norm = LayerNorm(width) if norm == "pre" else nn.Identity()
        self.drop, self.longest = nn.Dropout(dropout), max_length

    def read(self, ids, table):
        if ids.shape[1] > self.longest:
            raise ValueError("too long")
        places = sinusoidal_encoding(ids.shape[1], self.width)
        return self.drop(table(ids) * self.width**0.5 + places)

    def encode(self, source):
        keep = source != 0
        x = self.read(source, self.source_embedding)
        for layer in self.encoder:
            x = layer(x, keep[:, None, None])
        return self.encoder_norm(x), keep

    def decode(self, target, memory, source_keep):
        causal = torch.ones(target.shape[1], target.shape[1]).tril().bool()
        x = self.read(target, self.target_embedding)
        for layer in self.decoder:
            x = layer(x, memory, causal)
        return self.decoder_norm(x) @ self.target_embedding.weight.T

    def forward(self, source, target):
        return self.decode(target, *self.encode(source))

# %% exercise="Transformer" wrong="source_padding_read_by_the_encoder"
"""The padding of the source is hidden from the decoder only: in the encoder real words read it.

Translate a sentence alone and in a batch with a longer one. Is the memory of its words the same?
"""
class Transformer(nn.Module):
    def __init__(self, source_vocab, target_vocab, width, heads, layers, hidden, norm="pre", activation="relu",
                 dropout=0.0, max_length=256):
        super().__init__()
        self.width = width
        self.source_embedding = nn.Embedding(source_vocab, width)
        self.target_embedding = nn.Embedding(target_vocab, width)
        nn.init.normal_(self.source_embedding.weight, std=width**-0.5)
        nn.init.normal_(self.target_embedding.weight, std=width**-0.5)
        options = dict(norm=norm, activation=activation, dropout=dropout)
        self.encoder = nn.ModuleList([EncoderLayer(width, heads, hidden, **options) for _ in range(layers)])
        self.decoder = nn.ModuleList([DecoderLayer(width, heads, hidden, **options) for _ in range(layers)])
        self.encoder_norm = LayerNorm(width) if norm == "pre" else nn.Identity()
        self.decoder_norm = LayerNorm(width) if norm == "pre" else nn.Identity()
        self.drop, self.longest = nn.Dropout(dropout), max_length

    def read(self, ids, table):
        if ids.shape[1] > self.longest:
            raise ValueError("too long")
        places = sinusoidal_encoding(ids.shape[1], self.width)
        return self.drop(table(ids) * self.width**0.5 + places)

    def encode(self, source):
        keep = source != 0
        x = self.read(source, self.source_embedding)
        for layer in self.encoder:
            x = layer(x)
        return self.encoder_norm(x), keep

    def decode(self, target, memory, source_keep):
        causal = torch.ones(target.shape[1], target.shape[1]).tril().bool()
        x = self.read(target, self.target_embedding)
        for layer in self.decoder:
            x = layer(x, memory, causal, source_keep[:, None, None])
        return self.decoder_norm(x) @ self.target_embedding.weight.T

    def forward(self, source, target):
        return self.decode(target, *self.encode(source))

# %% exercise="Transformer" wrong="padding_polarity"
"""The mask is True where the padding is, so only padding may be read.

True = may look. What does your encode return for a real token?
"""
class Transformer(nn.Module):
    def __init__(self, source_vocab, target_vocab, width, heads, layers, hidden, norm="pre", activation="relu",
                 dropout=0.0, max_length=256):
        super().__init__()
        self.width = width
        self.source_embedding = nn.Embedding(source_vocab, width)
        self.target_embedding = nn.Embedding(target_vocab, width)
        nn.init.normal_(self.source_embedding.weight, std=width**-0.5)
        nn.init.normal_(self.target_embedding.weight, std=width**-0.5)
        options = dict(norm=norm, activation=activation, dropout=dropout)
        self.encoder = nn.ModuleList([EncoderLayer(width, heads, hidden, **options) for _ in range(layers)])
        self.decoder = nn.ModuleList([DecoderLayer(width, heads, hidden, **options) for _ in range(layers)])
        self.encoder_norm = LayerNorm(width) if norm == "pre" else nn.Identity()
        self.decoder_norm = LayerNorm(width) if norm == "pre" else nn.Identity()
        self.drop, self.longest = nn.Dropout(dropout), max_length

    def read(self, ids, table):
        if ids.shape[1] > self.longest:
            raise ValueError("too long")
        places = sinusoidal_encoding(ids.shape[1], self.width)
        return self.drop(table(ids) * self.width**0.5 + places)

    def encode(self, source):
        keep = source == 0
        x = self.read(source, self.source_embedding)
        for layer in self.encoder:
            x = layer(x, keep[:, None, None])
        return self.encoder_norm(x), keep

    def decode(self, target, memory, source_keep):
        causal = torch.ones(target.shape[1], target.shape[1]).tril().bool()
        x = self.read(target, self.target_embedding)
        for layer in self.decoder:
            x = layer(x, memory, causal, source_keep[:, None, None])
        return self.decoder_norm(x) @ self.target_embedding.weight.T

    def forward(self, source, target):
        return self.decode(target, *self.encode(source))

# %% exercise="Transformer" wrong="head_of_its_own"
"""The head is a linear map of its own, so the state dict has more parameters than it should.

Section 3.4 of the paper: which matrix do embedding and head share?
"""
class Transformer(nn.Module):
    def __init__(self, source_vocab, target_vocab, width, heads, layers, hidden, norm="pre", activation="relu",
                 dropout=0.0, max_length=256):
        super().__init__()
        self.width = width
        self.source_embedding = nn.Embedding(source_vocab, width)
        self.target_embedding = nn.Embedding(target_vocab, width)
        nn.init.normal_(self.source_embedding.weight, std=width**-0.5)
        nn.init.normal_(self.target_embedding.weight, std=width**-0.5)
        options = dict(norm=norm, activation=activation, dropout=dropout)
        self.encoder = nn.ModuleList([EncoderLayer(width, heads, hidden, **options) for _ in range(layers)])
        self.decoder = nn.ModuleList([DecoderLayer(width, heads, hidden, **options) for _ in range(layers)])
        self.encoder_norm = LayerNorm(width) if norm == "pre" else nn.Identity()
        self.decoder_norm = LayerNorm(width) if norm == "pre" else nn.Identity()
        self.drop, self.longest = nn.Dropout(dropout), max_length
        self.head = nn.Linear(width, target_vocab, bias=False)

    def read(self, ids, table):
        if ids.shape[1] > self.longest:
            raise ValueError("too long")
        places = sinusoidal_encoding(ids.shape[1], self.width)
        return self.drop(table(ids) * self.width**0.5 + places)

    def encode(self, source):
        keep = source != 0
        x = self.read(source, self.source_embedding)
        for layer in self.encoder:
            x = layer(x, keep[:, None, None])
        return self.encoder_norm(x), keep

    def decode(self, target, memory, source_keep):
        causal = torch.ones(target.shape[1], target.shape[1]).tril().bool()
        x = self.read(target, self.target_embedding)
        for layer in self.decoder:
            x = layer(x, memory, causal, source_keep[:, None, None])
        return self.head(self.decoder_norm(x))

    def forward(self, source, target):
        return self.decode(target, *self.encode(source))

# %% exercise="Transformer" wrong="one_layer_used_many_times"
"""The list holds the same layer several times: all layers share one set of weights.

What does [layer] * 6 copy: the layer, or a reference to it?
"""
class Transformer(nn.Module):
    def __init__(self, source_vocab, target_vocab, width, heads, layers, hidden, norm="pre", activation="relu",
                 dropout=0.0, max_length=256):
        super().__init__()
        self.width = width
        self.source_embedding = nn.Embedding(source_vocab, width)
        self.target_embedding = nn.Embedding(target_vocab, width)
        nn.init.normal_(self.source_embedding.weight, std=width**-0.5)
        nn.init.normal_(self.target_embedding.weight, std=width**-0.5)
        options = dict(norm=norm, activation=activation, dropout=dropout)
        self.encoder = nn.ModuleList([EncoderLayer(width, heads, hidden, **options)] * layers)
        self.decoder = nn.ModuleList([DecoderLayer(width, heads, hidden, **options)] * layers)
        self.encoder_norm = LayerNorm(width) if norm == "pre" else nn.Identity()
        self.decoder_norm = LayerNorm(width) if norm == "pre" else nn.Identity()
        self.drop, self.longest = nn.Dropout(dropout), max_length

    def read(self, ids, table):
        if ids.shape[1] > self.longest:
            raise ValueError("too long")
        places = sinusoidal_encoding(ids.shape[1], self.width)
        return self.drop(table(ids) * self.width**0.5 + places)

    def encode(self, source):
        keep = source != 0
        x = self.read(source, self.source_embedding)
        for layer in self.encoder:
            x = layer(x, keep[:, None, None])
        return self.encoder_norm(x), keep

    def decode(self, target, memory, source_keep):
        causal = torch.ones(target.shape[1], target.shape[1]).tril().bool()
        x = self.read(target, self.target_embedding)
        for layer in self.decoder:
            x = layer(x, memory, causal, source_keep[:, None, None])
        return self.decoder_norm(x) @ self.target_embedding.weight.T

    def forward(self, source, target):
        return self.decode(target, *self.encode(source))

# %% exercise="Transformer" wrong="decoder_reads_the_source_embeddings"
"""The decoder gets the embedded source as its memory; what the encoder made of it is thrown away.

What does encode return, and who reads it?
"""
class Transformer(nn.Module):
    def __init__(self, source_vocab, target_vocab, width, heads, layers, hidden, norm="pre", activation="relu",
                 dropout=0.0, max_length=256):
        super().__init__()
        self.width = width
        self.source_embedding = nn.Embedding(source_vocab, width)
        self.target_embedding = nn.Embedding(target_vocab, width)
        nn.init.normal_(self.source_embedding.weight, std=width**-0.5)
        nn.init.normal_(self.target_embedding.weight, std=width**-0.5)
        options = dict(norm=norm, activation=activation, dropout=dropout)
        self.encoder = nn.ModuleList([EncoderLayer(width, heads, hidden, **options) for _ in range(layers)])
        self.decoder = nn.ModuleList([DecoderLayer(width, heads, hidden, **options) for _ in range(layers)])
        self.encoder_norm = LayerNorm(width) if norm == "pre" else nn.Identity()
        self.decoder_norm = LayerNorm(width) if norm == "pre" else nn.Identity()
        self.drop, self.longest = nn.Dropout(dropout), max_length

    def read(self, ids, table):
        if ids.shape[1] > self.longest:
            raise ValueError("too long")
        places = sinusoidal_encoding(ids.shape[1], self.width)
        return self.drop(table(ids) * self.width**0.5 + places)

    def encode(self, source):
        keep = source != 0
        x = self.read(source, self.source_embedding)
        for layer in self.encoder:
            x = layer(x, keep[:, None, None])
        return self.read(source, self.source_embedding), keep

    def decode(self, target, memory, source_keep):
        causal = torch.ones(target.shape[1], target.shape[1]).tril().bool()
        x = self.read(target, self.target_embedding)
        for layer in self.decoder:
            x = layer(x, memory, causal, source_keep[:, None, None])
        return self.decoder_norm(x) @ self.target_embedding.weight.T

    def forward(self, source, target):
        return self.decode(target, *self.encode(source))

# %% exercise="Transformer" wrong="embedding_dropout_forgotten"
"""Dropout acts in the layers and not on the sum of embedding and position.

Section 5.4 of the paper names two places. With dropout=1 nothing of the input is left.
"""
class Transformer(nn.Module):
    def __init__(self, source_vocab, target_vocab, width, heads, layers, hidden, norm="pre", activation="relu",
                 dropout=0.0, max_length=256):
        super().__init__()
        self.width = width
        self.source_embedding = nn.Embedding(source_vocab, width)
        self.target_embedding = nn.Embedding(target_vocab, width)
        nn.init.normal_(self.source_embedding.weight, std=width**-0.5)
        nn.init.normal_(self.target_embedding.weight, std=width**-0.5)
        options = dict(norm=norm, activation=activation, dropout=dropout)
        self.encoder = nn.ModuleList([EncoderLayer(width, heads, hidden, **options) for _ in range(layers)])
        self.decoder = nn.ModuleList([DecoderLayer(width, heads, hidden, **options) for _ in range(layers)])
        self.encoder_norm = LayerNorm(width) if norm == "pre" else nn.Identity()
        self.decoder_norm = LayerNorm(width) if norm == "pre" else nn.Identity()
        self.drop, self.longest = nn.Dropout(dropout), max_length

    def read(self, ids, table):
        if ids.shape[1] > self.longest:
            raise ValueError("too long")
        places = sinusoidal_encoding(ids.shape[1], self.width)
        return table(ids) * self.width**0.5 + places

    def encode(self, source):
        keep = source != 0
        x = self.read(source, self.source_embedding)
        for layer in self.encoder:
            x = layer(x, keep[:, None, None])
        return self.encoder_norm(x), keep

    def decode(self, target, memory, source_keep):
        causal = torch.ones(target.shape[1], target.shape[1]).tril().bool()
        x = self.read(target, self.target_embedding)
        for layer in self.decoder:
            x = layer(x, memory, causal, source_keep[:, None, None])
        return self.decoder_norm(x) @ self.target_embedding.weight.T

    def forward(self, source, target):
        return self.decode(target, *self.encode(source))

# %% exercise="Transformer" wrong="head_scaled_too"
"""The logits are multiplied by sqrt(D), like the embeddings. The paper scales the embedding layers only.

How large are the logits of a fresh model, with the factor and without?
"""
class Transformer(nn.Module):
    def __init__(self, source_vocab, target_vocab, width, heads, layers, hidden, norm="pre", activation="relu",
                 dropout=0.0, max_length=256):
        super().__init__()
        self.width = width
        self.source_embedding = nn.Embedding(source_vocab, width)
        self.target_embedding = nn.Embedding(target_vocab, width)
        nn.init.normal_(self.source_embedding.weight, std=width**-0.5)
        nn.init.normal_(self.target_embedding.weight, std=width**-0.5)
        options = dict(norm=norm, activation=activation, dropout=dropout)
        self.encoder = nn.ModuleList([EncoderLayer(width, heads, hidden, **options) for _ in range(layers)])
        self.decoder = nn.ModuleList([DecoderLayer(width, heads, hidden, **options) for _ in range(layers)])
        self.encoder_norm = LayerNorm(width) if norm == "pre" else nn.Identity()
        self.decoder_norm = LayerNorm(width) if norm == "pre" else nn.Identity()
        self.drop, self.longest = nn.Dropout(dropout), max_length

    def read(self, ids, table):
        if ids.shape[1] > self.longest:
            raise ValueError("too long")
        places = sinusoidal_encoding(ids.shape[1], self.width)
        return self.drop(table(ids) * self.width**0.5 + places)

    def encode(self, source):
        keep = source != 0
        x = self.read(source, self.source_embedding)
        for layer in self.encoder:
            x = layer(x, keep[:, None, None])
        return self.encoder_norm(x), keep

    def decode(self, target, memory, source_keep):
        causal = torch.ones(target.shape[1], target.shape[1]).tril().bool()
        x = self.read(target, self.target_embedding)
        for layer in self.decoder:
            x = layer(x, memory, causal, source_keep[:, None, None])
        return self.decoder_norm(x) @ self.target_embedding.weight.T * self.width**0.5

    def forward(self, source, target):
        return self.decode(target, *self.encode(source))

# %% exercise="Transformer" wrong="norm_not_passed_on"
"""The arguments norm and activation do not reach the layers: these are always pre-norm with relu.

How does an EncoderLayer learn what you asked for?
"""
class Transformer(nn.Module):
    def __init__(self, source_vocab, target_vocab, width, heads, layers, hidden, norm="pre", activation="relu",
                 dropout=0.0, max_length=256):
        super().__init__()
        self.width = width
        self.source_embedding = nn.Embedding(source_vocab, width)
        self.target_embedding = nn.Embedding(target_vocab, width)
        nn.init.normal_(self.source_embedding.weight, std=width**-0.5)
        nn.init.normal_(self.target_embedding.weight, std=width**-0.5)
        options = dict(dropout=dropout)
        self.encoder = nn.ModuleList([EncoderLayer(width, heads, hidden, **options) for _ in range(layers)])
        self.decoder = nn.ModuleList([DecoderLayer(width, heads, hidden, **options) for _ in range(layers)])
        self.encoder_norm = LayerNorm(width) if norm == "pre" else nn.Identity()
        self.decoder_norm = LayerNorm(width) if norm == "pre" else nn.Identity()
        self.drop, self.longest = nn.Dropout(dropout), max_length

    def read(self, ids, table):
        if ids.shape[1] > self.longest:
            raise ValueError("too long")
        places = sinusoidal_encoding(ids.shape[1], self.width)
        return self.drop(table(ids) * self.width**0.5 + places)

    def encode(self, source):
        keep = source != 0
        x = self.read(source, self.source_embedding)
        for layer in self.encoder:
            x = layer(x, keep[:, None, None])
        return self.encoder_norm(x), keep

    def decode(self, target, memory, source_keep):
        causal = torch.ones(target.shape[1], target.shape[1]).tril().bool()
        x = self.read(target, self.target_embedding)
        for layer in self.decoder:
            x = layer(x, memory, causal, source_keep[:, None, None])
        return self.decoder_norm(x) @ self.target_embedding.weight.T

    def forward(self, source, target):
        return self.decode(target, *self.encode(source))

# %% exercise="gradient_norms_by_depth" wrong="no_closing_norm"
"""With pre-norm the closing norm behind the last layer is missing, so the loss is another one.

What stands behind the last layer of a pre-norm Transformer?
"""
def gradient_norms_by_depth(states, x, direction, norm, heads=4):
    hidden, D = states[0]["feed_forward.up.weight"].shape
    layers = nn.ModuleList(EncoderLayer(D, heads, hidden, norm) for _ in states)
    for layer, state in zip(layers, states):
        layer.load_state_dict(state)
    for layer in layers:
        x = layer(x)
    loss = (x * direction).sum() / (x.shape[0] * x.shape[1])
    loss.backward()
    return torch.stack([layer.feed_forward.down.weight.grad.norm() for layer in layers])

# %% exercise="gradient_norms_by_depth" wrong="closing_norm_always"
"""The closing norm is applied to the post-norm stack too.

Which of the two arrangements needs a norm behind the last layer?
"""
def gradient_norms_by_depth(states, x, direction, norm, heads=4):
    hidden, D = states[0]["feed_forward.up.weight"].shape
    layers = nn.ModuleList(EncoderLayer(D, heads, hidden, norm) for _ in states)
    for layer, state in zip(layers, states):
        layer.load_state_dict(state)
    for layer in layers:
        x = layer(x)
    x = LayerNorm(D)(x)
    loss = (x * direction).sum() / (x.shape[0] * x.shape[1])
    loss.backward()
    return torch.stack([layer.feed_forward.down.weight.grad.norm() for layer in layers])

# %% exercise="gradient_norms_by_depth" wrong="sum_instead_of_mean"
"""The loss is the sum over all tokens, not their mean: the norms are B * T times too large.

Divide by the number of tokens.
"""
def gradient_norms_by_depth(states, x, direction, norm, heads=4):
    hidden, D = states[0]["feed_forward.up.weight"].shape
    layers = nn.ModuleList(EncoderLayer(D, heads, hidden, norm) for _ in states)
    for layer, state in zip(layers, states):
        layer.load_state_dict(state)
    for layer in layers:
        x = layer(x)
    if norm == "pre":
        x = LayerNorm(D)(x)
    loss = (x * direction).sum()
    loss.backward()
    return torch.stack([layer.feed_forward.down.weight.grad.norm() for layer in layers])

# %% exercise="gradient_norms_by_depth" wrong="mean_over_all_numbers"
"""The loss is the mean over all numbers; it should be the sum over the coordinates and the mean over tokens.

By how many numbers do you divide, and how many tokens are there?
"""
def gradient_norms_by_depth(states, x, direction, norm, heads=4):
    hidden, D = states[0]["feed_forward.up.weight"].shape
    layers = nn.ModuleList(EncoderLayer(D, heads, hidden, norm) for _ in states)
    for layer, state in zip(layers, states):
        layer.load_state_dict(state)
    for layer in layers:
        x = layer(x)
    if norm == "pre":
        x = LayerNorm(D)(x)
    loss = (x * direction).mean()
    loss.backward()
    return torch.stack([layer.feed_forward.down.weight.grad.norm() for layer in layers])

# %% exercise="gradient_norms_by_depth" wrong="last_layer_first"
"""The norms come in the order in which the gradient passes, the last layer first.

Entry 0 belongs to the layer that reads the input.
"""
def gradient_norms_by_depth(states, x, direction, norm, heads=4):
    hidden, D = states[0]["feed_forward.up.weight"].shape
    layers = nn.ModuleList(EncoderLayer(D, heads, hidden, norm) for _ in states)
    for layer, state in zip(layers, states):
        layer.load_state_dict(state)
    for layer in layers:
        x = layer(x)
    if norm == "pre":
        x = LayerNorm(D)(x)
    loss = (x * direction).sum() / (x.shape[0] * x.shape[1])
    loss.backward()
    return torch.stack([layer.feed_forward.down.weight.grad.norm() for layer in layers]).flip(0)

# %% exercise="gradient_norms_by_depth" wrong="squared_norms"
"""The squares of the norms are returned; the root is missing.

sqrt of the sum of squares: torch.Tensor.norm does it.
"""
def gradient_norms_by_depth(states, x, direction, norm, heads=4):
    hidden, D = states[0]["feed_forward.up.weight"].shape
    layers = nn.ModuleList(EncoderLayer(D, heads, hidden, norm) for _ in states)
    for layer, state in zip(layers, states):
        layer.load_state_dict(state)
    for layer in layers:
        x = layer(x)
    if norm == "pre":
        x = LayerNorm(D)(x)
    loss = (x * direction).sum() / (x.shape[0] * x.shape[1])
    loss.backward()
    return torch.stack([layer.feed_forward.down.weight.grad.square().sum() for layer in layers])

# %% exercise="gradient_norms_by_depth" wrong="weights_instead_of_gradients"
"""The norms of the weights are returned. At the start they are the same for all layers by construction.

What did backward() write, and where?
"""
def gradient_norms_by_depth(states, x, direction, norm, heads=4):
    hidden, D = states[0]["feed_forward.up.weight"].shape
    layers = nn.ModuleList(EncoderLayer(D, heads, hidden, norm) for _ in states)
    for layer, state in zip(layers, states):
        layer.load_state_dict(state)
    for layer in layers:
        x = layer(x)
    if norm == "pre":
        x = LayerNorm(D)(x)
    loss = (x * direction).sum() / (x.shape[0] * x.shape[1])
    loss.backward()
    return torch.stack([layer.feed_forward.down.weight.detach().norm() for layer in layers])

# %% exercise="gradient_norms_by_depth" wrong="another_weight"
"""The gradient of `up` is measured; the question asks for `down`, the last linear map of each layer.

Which weight does the docstring name?
"""
def gradient_norms_by_depth(states, x, direction, norm, heads=4):
    hidden, D = states[0]["feed_forward.up.weight"].shape
    layers = nn.ModuleList(EncoderLayer(D, heads, hidden, norm) for _ in states)
    for layer, state in zip(layers, states):
        layer.load_state_dict(state)
    for layer in layers:
        x = layer(x)
    if norm == "pre":
        x = LayerNorm(D)(x)
    loss = (x * direction).sum() / (x.shape[0] * x.shape[1])
    loss.backward()
    return torch.stack([layer.feed_forward.up.weight.grad.norm() for layer in layers])

# %% exercise="gradient_norms_by_depth" wrong="always_pre_norm"
"""The layers are built without the argument `norm`: both arrangements give pre-norm layers.

How does EncoderLayer learn which one you want?
"""
def gradient_norms_by_depth(states, x, direction, norm, heads=4):
    hidden, D = states[0]["feed_forward.up.weight"].shape
    layers = nn.ModuleList(EncoderLayer(D, heads, hidden) for _ in states)
    for layer, state in zip(layers, states):
        layer.load_state_dict(state)
    for layer in layers:
        x = layer(x)
    if norm == "pre":
        x = LayerNorm(D)(x)
    loss = (x * direction).sum() / (x.shape[0] * x.shape[1])
    loss.backward()
    return torch.stack([layer.feed_forward.down.weight.grad.norm() for layer in layers])

# %% exercise="depth_finding" wrong="the_papers_one_over_depth"
"""The pre-norm ratios are those of 1 / L: four times as deep, a quarter of the gradient.

Read the table: is the ratio nearer to 6 / 24 or to the root of it?
"""
depth_finding = {"post_last": 1.0, "pre_last": 0.2, "pre_first": 5.1, "post_first": 1.0}

# %% exercise="depth_finding" wrong="arrangements_swapped"
"""The numbers of pre-norm and post-norm are exchanged.

In which of the two does the last layer's gradient not care about the depth?
"""
depth_finding = {"post_last": 0.4, "pre_last": 1.0, "pre_first": 1.0, "post_first": 5.1}

# %% exercise="depth_finding" wrong="last_over_first"
"""The last two numbers are turned round: last layer over first layer.

The gradient of the first layer stands above the line.
"""
depth_finding = {"post_last": 1.0, "pre_last": 0.4, "pre_first": 0.2, "post_first": 1.0}

# %% exercise="depth_finding" wrong="post_norm_vanishes"
"""The post-norm gradient is said to vanish towards the first layer, as many texts have it. The table does not show it.

What is the median of first / last in the post-norm line for 24 layers?
"""
depth_finding = {"post_last": 1.0, "pre_last": 0.4, "pre_first": 5.1, "post_first": 0.1}
