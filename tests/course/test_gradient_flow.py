"""The gradient-flow panel: it shows vanishing and explosion, reacts, and never stops a notebook."""

import torch

from course.widgets import gradient_flow


def walk_back(states, w, last):
    """The formula, as a right learner would write it."""
    grad, norms = last, [last.norm()]
    for state in states[1:].flip(0):
        grad = w.T @ ((1 - state**2) * grad)
        norms.append(grad.norm())
    return torch.stack(norms[::-1])


def test_the_radius_decides_while_states_are_small():
    ends = {radius: gradient_flow.flow(radius, 50, 1e-6, walk_back)[:, -1].median() for radius in (0.7, 1.0, 1.2)}
    assert ends[0.7] < 1e-5 < 1e-2 < ends[1.0] < 10 < 100 < ends[1.2]


def test_autograd_and_the_formula_agree():
    for radius, loudness in ((0.6, 0.05), (1.4, 0.05), (1.0, 1e-6)):
        own, theirs = (gradient_flow.flow(radius, 12, loudness, norms) for norms in (None, walk_back))
        assert torch.allclose(own, theirs, rtol=1e-3)


def test_a_wrong_function_does_not_stop_the_panel(capsys):
    def unwritten(*_):
        raise NotImplementedError("write it")

    for wrong in (unwritten, lambda states, w, last: states):
        assert gradient_flow.show(wrong) is None
        assert "uses its own" in capsys.readouterr().out


def test_the_panel_reacts():
    import ipywidgets

    box = gradient_flow._panel(ipywidgets, walk_back, gradient_flow.flow(*gradient_flow.START, walk_back))
    (radius, length, inputs), image, text = box.children[0].children, box.children[1], box.children[2]
    before = image.value, text.value
    radius.value, length.value, inputs.value = 0.5, 80, 1e-6
    assert image.value != before[0] and "vanished" in text.value and "79 steps" in text.value
    radius.value = 2.0
    assert "exploded" in text.value
