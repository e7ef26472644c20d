"""Right answers to unit 01 by readers who saw the released notebook only: tests/test_readers.py judges them."""

# %% exercise="clip_gradient_norm" right="same_tensors"
"""The same tensors come back where nothing is clipped, as the prompt allows."""
def clip_gradient_norm(*grads, max_norm):
    norm = torch.cat([g.flatten() for g in grads]).norm()
    if norm <= max_norm:
        return list(grads), norm
    return [g * (max_norm / norm) for g in grads], norm

# %% exercise="repaired_windows" right="w_h_changed"
"""Uses the .grad of w_h, as the prompt allows."""
def repaired_windows(x, targets, h, w_x, w_h, b, window):
    w_h.requires_grad_()
    found = []
    for start in range(0, x.shape[1], window):
        h, states = h.detach(), []
        w_h.grad = None
        for t in range(start, min(start + window, x.shape[1])):
            h = torch.tanh(x[:, t] @ w_x.T + h @ w_h.T + b)
            states.append(h)
        ((torch.stack(states, 1) - targets[:, start:start + window]) ** 2).mean().backward()
        found.append(w_h.grad.clone())
    return torch.stack(found), h.detach()

