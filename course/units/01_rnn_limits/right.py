"""Right answers to the exercises of unit 01 in other styles: a check must not mind how an answer is written."""

# %% exercise="rnn_step" right="one_linear_map_of_both"
def rnn_step(x, h, w_x, w_h, b):
    both, weights = torch.cat([x, h], dim=1), torch.cat([w_x, w_h], dim=1)
    return torch.nn.functional.linear(both, weights, b).tanh()

# %% exercise="rnn_step" right="unit_by_unit_from_exponentials"
def rnn_step(x, h, w_x, w_h, b):
    units = []
    for unit in range(len(b)):
        z = b[unit] + (x * w_x[unit]).sum(1) + (h * w_h[unit]).sum(1)
        units.append(2 / (1 + torch.exp(-2 * z.double())) - 1)
    return torch.stack(units, dim=1).to(x.dtype)

# %% exercise="rnn_forward" right="time_first_inside"
def rnn_forward(x, h, w_x, w_h, b, lengths=None):
    from_x = x.transpose(0, 1) @ w_x.T + b
    states = [h]
    for part in from_x:
        states.append(torch.tanh(part + states[-1] @ w_h.T))
    out = torch.stack(states[1:]).transpose(0, 1)
    ends = torch.full((len(x),), x.shape[1]) if lengths is None else lengths
    at = (ends - 1)[:, None, None].expand(-1, 1, out.shape[2])
    return out, out.gather(1, at).squeeze(1)

# %% exercise="rnn_forward" right="row_by_row"
def rnn_forward(x, h, w_x, w_h, b, lengths=None):
    rows, lasts = [], []
    for i, sentence in enumerate(x):
        state, seen = h[i : i + 1], []
        for word in sentence:
            state = rnn_step(word[None], state, w_x, w_h, b)
            seen.append(state[0])
        rows.append(torch.stack(seen))
        lasts.append(seen[-1] if lengths is None else seen[int(lengths[i]) - 1])
    return torch.stack(rows), torch.stack(lasts)

# %% exercise="gradient_norms_through_time" right="jacobians_multiplied"
def gradient_norms_through_time(states, w_h, last_grad):
    T, H = states.shape
    product, norms = torch.eye(H, dtype=torch.float64), []
    for t in range(T - 1, -1, -1):
        norms.append((last_grad.double() @ product).norm())
        product = product @ (torch.diag(1 - states[t].double() ** 2) @ w_h.double())
    return torch.stack(norms).flip(0).to(states.dtype)

# %% exercise="gradient_norms_through_time" right="recursion"
def gradient_norms_through_time(states, w_h, last_grad):
    def walk(steps, row):
        norm = torch.sqrt(torch.sum(row * row)).reshape(1)
        if len(steps) == 1:
            return norm
        slope = (1 - steps[-1]) * (1 + steps[-1])
        return torch.cat([walk(steps[:-1], (row * slope) @ w_h), norm])
    return walk(states, last_grad)

# %% exercise="clip_gradient_norm" right="as_torch_does"
def clip_gradient_norm(*grads, max_norm):
    norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(g) for g in grads]))
    factor = torch.clamp(max_norm / (norm + 1e-6), max=1.0)
    return [g * factor for g in grads], norm

# %% exercise="clip_gradient_norm" right="number_by_number"
def clip_gradient_norm(*grads, max_norm):
    squares = 0.0
    for g in grads:
        for number in g.reshape(-1).tolist():
            squares += number * number
    norm = math.sqrt(squares)
    if norm <= max_norm:
        kept = [g.clone() for g in grads]
    else:
        kept = [(g.double() * max_norm / norm).to(g.dtype) for g in grads]
    return kept, torch.tensor(norm, dtype=grads[0].dtype)

# %% exercise="clip_gradient_norm" right="hands_the_same_back"
def clip_gradient_norm(*grads, max_norm):
    norm = torch.cat([g.flatten() for g in grads]).norm()
    if norm <= max_norm:
        return list(grads), norm
    return [g * (max_norm / norm) for g in grads], norm

# %% exercise="lstm_step" right="gate_by_gate"
def lstm_step(x, h, c, w_x, w_h, b):
    H = h.shape[1]
    def block(k):
        rows = slice(k * H, (k + 1) * H)
        return torch.nn.functional.linear(x, w_x[rows]) + torch.nn.functional.linear(h, w_h[rows], b[rows])
    kept = torch.sigmoid(block(1)) * c
    written = torch.sigmoid(block(0)) * torch.tanh(block(2))
    new = kept + written
    return torch.tanh(new) * torch.sigmoid(block(3)), new

# %% exercise="lstm_step" right="units_first_in_float64"
def lstm_step(x, h, c, w_x, w_h, b):
    z = (w_x.double() @ x.double().T + w_h.double() @ h.double().T + b.double()[:, None]).reshape(4, -1, len(x))
    sigma = 1 / (1 + torch.exp(-z))  # (4, H, B)
    new = sigma[1] * c.double().T + sigma[0] * (2 / (1 + torch.exp(-2 * z[2])) - 1)
    shown = sigma[3] * torch.tanh(new)
    return shown.T.contiguous().to(x.dtype), new.T.contiguous().to(x.dtype)

# %% exercise="gru_step" right="interpolates_from_the_candidate"
def gru_step(x, h, w_x, w_h, b_x, b_h):
    H = h.shape[-1]
    from_x, from_h = torch.addmm(b_x, x, w_x.t()), torch.addmm(b_h, h, w_h.t())
    r = torch.sigmoid(from_x[:, :H] + from_h[:, :H])
    z = torch.sigmoid(from_x[:, H : 2 * H] + from_h[:, H : 2 * H])
    n = torch.tanh(from_x[:, 2 * H :] + r * from_h[:, 2 * H :])
    return torch.lerp(n, h, z)

# %% exercise="gru_step" right="row_by_row_in_float64"
def gru_step(x, h, w_x, w_h, b_x, b_h):
    H, rows = h.shape[1], []
    for one, old in zip(x.double(), h.double(), strict=True):
        a, s = (w_x.double() @ one + b_x.double()).view(3, H), (w_h.double() @ old + b_h.double()).view(3, H)
        r, z = 1 / (1 + torch.exp(-(a[0] + s[0]))), 1 / (1 + torch.exp(-(a[1] + s[1])))
        rows.append((1 - z) * torch.tanh(a[2] + r * s[2]) + z * old)
    return torch.stack(rows).to(x.dtype)

# %% exercise="causal_dilated_conv" right="padded_on_both_sides_and_cut"
def causal_dilated_conv(x, weight, bias, dilation=1):
    reach = (weight.shape[-1] - 1) * dilation
    return torch.conv1d(x, weight, bias, padding=reach, dilation=dilation)[..., : x.shape[-1]]

# %% exercise="causal_dilated_conv" right="one_tap_at_a_time"
def causal_dilated_conv(x, weight, bias, dilation=1):
    K, T = weight.shape[-1], x.shape[-1]
    out = bias[None, :, None].expand(len(x), -1, T)
    for k in range(K):
        back = min((K - 1 - k) * dilation, T)
        shifted = torch.cat([torch.zeros_like(x[..., :back]), x[..., : T - back]], dim=-1)
        out = out + torch.einsum("bct,oc->bot", shifted, weight[..., k])
    return out

# %% exercise="receptive_field" right="layer_by_layer"
def receptive_field(kernel_size, dilations):
    seen = 1
    for dilation in dilations:
        seen += dilation * kernel_size - dilation
    return seen

# %% exercise="receptive_field" right="measured_with_a_convolution"
def receptive_field(kernel_size, dilations):
    length = 1 + kernel_size * sum(dilations)
    x = torch.zeros(1, 1, length, requires_grad=True)
    y = x
    for dilation in dilations:
        y = causal_dilated_conv(y, torch.ones(1, 1, kernel_size), torch.zeros(1), dilation)
    y[0, 0, -1].backward()
    return length - int(x.grad[0, 0].nonzero()[0])

# %% exercise="path_length_and_sequential_ops" right="recursion"
def path_length_and_sequential_ops(kind, n, kernel_size=2):
    def layers(inputs):
        return 1 if inputs <= kernel_size else 1 + layers(-(-inputs // kernel_size))
    if kind not in {"recurrent", "convolution", "attention"}:
        raise ValueError("kind?")
    depth = {"recurrent": n, "attention": 1}.get(kind) or layers(n)
    return dict(path=depth, training=depth, sampling=n * (depth if kind == "convolution" else 1))

# %% exercise="path_length_and_sequential_ops" right="by_receptive_field"
def path_length_and_sequential_ops(kind, n, kernel_size=2):
    result = dict.fromkeys(("path", "training"), 1)
    if kind == "attention":
        return result | {"sampling": n}
    if kind == "recurrent":
        return {"path": n, "training": n, "sampling": n}
    if kind == "convolution":
        dilations = [1]
        while receptive_field(kernel_size, dilations) < n:
            dilations.append(dilations[-1] * kernel_size)
        return {"path": len(dilations), "training": len(dilations), "sampling": n * len(dilations)}
    raise ValueError(f"no such kind: {kind}")

# %% exercise="recall_finding" right="as_measured_elsewhere"
recall_finding = {"rnn": 5, "lstm, forget bias 0": 5, "lstm, forget bias 3": 40, "dilated convolution": 40}

# %% exercise="recall_finding" right="from_a_table_of_seeds"
solved_seeds = {"rnn": (10, 5, 0), "lstm, forget bias 0": (10, 0, 0), "lstm, forget bias 3": (10, 10, 9),
                "dilated convolution": (10, 10, 10)}
recall_finding = {name: max([d for d, n in zip((5, 20, 40), counts) if n >= 5], default=0)
                  for name, counts in solved_seeds.items()}

# %% exercise="additive_attention" right="one_linear_map_of_both"
def additive_attention(query, states, w_q, w_s, v, mask=None):
    asked = query.unsqueeze(1).expand(-1, states.shape[1], -1)
    both = torch.cat([asked, states], dim=-1) @ torch.cat([w_q, w_s], dim=1).T
    scores = torch.einsum("bsa,a->bs", both.tanh(), v)
    hidden = torch.zeros_like(scores) if mask is None else torch.zeros_like(scores).masked_fill(~mask, -torch.inf)
    powers = torch.exp(scores + hidden - (scores + hidden).amax(1, keepdim=True))
    weights = powers / powers.sum(1, keepdim=True)
    return torch.einsum("bsh,bs->bh", states, weights), weights

# %% exercise="additive_attention" right="states_first_and_sentence_by_sentence"
def additive_attention(query, states, w_q, w_s, v, mask=None):
    S = states.shape[1]
    by_time = states.transpose(0, 1)  # (S, B, H)
    scores = [(torch.tanh(query @ w_q.T + state @ w_s.T) * v).sum(1) for state in by_time]
    scores, contexts, rows = torch.stack(scores), [], []
    for b in range(len(query)):
        column = scores[:, b]
        if mask is not None:
            column = torch.where(mask[b], column, torch.full_like(column, -torch.inf))
        share = torch.softmax(column, 0)
        rows.append(share)
        contexts.append(share @ by_time[:, b])
    return torch.stack(contexts), torch.stack(rows)

# %% exercise="bottleneck_finding" right="a_little_different"
bottleneck_finding = {"one vector": [0.95, 0.55, 0.36], "attention": [0.99, 0.97, 0.94]}

# %% exercise="bottleneck_finding" right="tensors"
bottleneck_finding = {"one vector": torch.tensor([0.97, 0.5, 0.38]), "attention": torch.tensor([1.0, 1.0, 0.99])}

# %% exercise="repaired_windows" right="split_and_backward"
def repaired_windows(x, targets, h, w_x, w_h, b, window):
    grads = []
    for inputs, wanted in zip(x.split(window, dim=1), targets.split(window, dim=1), strict=True):
        weight = w_h.detach().clone().requires_grad_()
        states, h = rnn_forward(inputs, h, w_x, weight, b)
        torch.nn.functional.mse_loss(states, wanted).backward()
        grads.append(weight.grad)
        h = h.detach()
    return torch.stack(grads), h

# %% exercise="repaired_windows" right="grad_of_w_h_itself"
def repaired_windows(x, targets, h, w_x, w_h, b, window):
    w_h.requires_grad_()
    found = []
    for start in range(0, x.shape[1], window):
        h, states = h.detach(), []
        w_h.grad = None
        for t in range(start, min(start + window, x.shape[1])):
            h = torch.tanh(x[:, t] @ w_x.T + h @ w_h.T + b)
            states.append(h)
        ((torch.stack(states, 1) - targets[:, start : start + window]) ** 2).mean().backward()
        found.append(w_h.grad.clone())
    return torch.stack(found), h.detach()

# %% exercise="repaired_windows" right="by_hand_without_autograd"
def repaired_windows(x, targets, h, w_x, w_h, b, window):
    grads, state = [], h.double()
    wx, wh, bias = w_x.double(), w_h.double(), b.double()
    for start in range(0, x.shape[1], window):
        part, goal = x[:, start : start + window].double(), targets[:, start : start + window].double()
        visited = [state]
        for t in range(part.shape[1]):
            visited.append(torch.tanh(part[:, t] @ wx.T + visited[-1] @ wh.T + bias))
        total, back = torch.zeros_like(wh), torch.zeros_like(state)
        for t in range(part.shape[1], 0, -1):
            back = back + 2 * (visited[t] - goal[:, t - 1]) / goal.numel()
            slope = back * (1 - visited[t] ** 2)  # (B, H)
            total, back = total + slope.T @ visited[t - 1], slope @ wh
        grads.append(total)
        state = visited[-1]
    return torch.stack(grads).to(x.dtype), state.to(x.dtype)
