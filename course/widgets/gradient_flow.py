"""The gradient-flow panel: choose a spectral radius, a length and how loud the inputs are; see what comes back.

`show(norms_through_time)` is all a notebook calls: three controls, a curve of gradient norms over steps back, and a
sentence. The norms come from the learner's own function where one is handed over. `flow` is the pure function below it.

Not here: any training. The network is random and reads random inputs; ten seeds stand behind every curve.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from course import plots
from course.widgets import controls, show_live

WIDTH = 24
SEEDS = range(10)
START = 1.5, 50, 0.05  # radius, length and loudness that the panel shows first
LOUDNESS = {"nearly silent (0.000001)": 1e-6, "quiet (0.05)": 0.05, "loud (1)": 1.0}

NormsThroughTime = Callable[[Tensor, Tensor, Tensor], Tensor]  # states (T, H), w_h (H, H), last_grad (H,) -> (T,)


def sequence(radius: float, length: int, loudness: float, seed: int) -> tuple[Tensor, Tensor]:
    """states (T, H) of a random recurrent network of this spectral radius, and its w_h (H, H)."""
    gen = torch.Generator().manual_seed(seed)
    w = torch.randn(WIDTH, WIDTH, generator=gen)
    w = radius * w / torch.linalg.eigvals(w).abs().max()
    state, states = torch.zeros(WIDTH), []
    for x in loudness * torch.randn(length, WIDTH, generator=gen):
        state = torch.tanh(w @ state + x)
        states.append(state)
    return torch.stack(states), w


def flow(radius: float, length: int, loudness: float, norms: NormsThroughTime | None = None) -> Tensor:
    """(seeds, length) gradient norm k steps back, k = 0 first; the gradient at the last state has norm 1.

    norms  the learner's gradient_norms_through_time; None: autograd
    """
    last = torch.ones(WIDTH) / WIDTH**0.5
    curves = [(norms or _by_autograd)(*sequence(radius, length, loudness, seed), last) for seed in SEEDS]
    return torch.stack([curve.detach().flip(0) for curve in curves])


def _by_autograd(states: Tensor, w: Tensor, last: Tensor) -> Tensor:
    """The same norms without the formula: the way back is autograd's (how to write it is an exercise)."""
    pushes = torch.atanh(states.double().clamp(-1 + 1e-9, 1 - 1e-9))
    pushes[1:] -= states[:-1].double() @ w.double().T
    now, visited = torch.zeros(len(w)).double(), []
    for push in pushes:
        now = torch.tanh(push + (w.double() @ now if visited else 0.0)).requires_grad_()
        visited.append(now)
    return torch.stack([g.norm() for g in torch.autograd.grad(now, visited, last.double())]).to(states.dtype)


def sentence(radius: float, length: int, curves: Tensor) -> str:
    """What the curve says, in words."""
    end = curves[:, -1]
    middle = float(end.median())
    effect = "has vanished" if middle < 1e-3 else "has exploded" if middle > 1e3 else "is still within reach"
    return (
        f"Radius {radius:.2f}, {length - 1} steps back: the gradient {effect}, median {middle:.1e} "
        f"(ten seeds: {float(end.min()):.1e} to {float(end.max()):.1e})."
    )


def picture(radius: float, curves: Tensor) -> bytes:
    """PNG bytes: median and range of `curves` (seeds, length) over steps back, beside radius^k."""
    figure, axes = plots.new(6.6, 3.2)
    steps = torch.arange(curves.shape[1])
    floor = 1e-12
    axes.semilogy(steps, curves.median(0).values.clamp(min=floor), label="gradient norm, median of ten")
    axes.fill_between(steps, curves.amin(0).clamp(min=floor), curves.amax(0).clamp(min=floor), alpha=0.25)
    axes.semilogy(steps, (radius ** steps.double()).clamp(floor, 1e12), ":", color="black", label="radius to the k")
    axes.set(xlabel="steps back, k", ylabel="gradient norm", ylim=(1e-12, 1e12))
    plots.legend(axes, "upper left")
    return plots.png(figure)


def show(norms: NormsThroughTime | None = None) -> Any:
    """Show the panel. Returns the widget, or None where only a sentence or a still picture could be shown.

    norms  the learner's gradient_norms_through_time; if it raises or gives another shape, the panel says so
    """
    try:
        first = flow(*START, norms)
        if first.shape != (len(SEEDS), START[1]):
            raise ValueError(f"expected {START[1]} norms, got shape {tuple(first.shape[1:])}")
    except Exception as error:  # the learner's function may be wrong: the panel must not stop the notebook
        print(f"The panel could not use your function ({type(error).__name__}: {error}); it uses its own.")
        norms, first = None, flow(*START)
    ipywidgets = controls(sentence(*START[:2], first), lambda: picture(START[0], first))
    if ipywidgets is None:
        return None
    box = _panel(ipywidgets, norms, first)
    show_live(box, picture(START[0], first), "the gradient-flow panel")
    return box


def _panel(ipywidgets: Any, norms: NormsThroughTime | None, first: Tensor) -> Any:
    """Two sliders, a dropdown, picture and sentence in one box."""
    wide = {"description_width": "4em"}
    radius = ipywidgets.FloatSlider(
        value=START[0], min=0.3, max=3.0, step=0.05, description="radius", style=wide, continuous_update=False
    )
    length = ipywidgets.IntSlider(
        value=START[1], min=5, max=100, step=5, description="length", style=wide, continuous_update=False
    )
    inputs = ipywidgets.Dropdown(options=LOUDNESS, value=START[2], description="inputs", style=wide)
    image = ipywidgets.Image(value=picture(START[0], first), format="png", layout={"max_width": "44em"})
    text = ipywidgets.HTML(value=sentence(*START[:2], first))

    def redraw(_change: Any) -> None:
        try:
            curves = flow(radius.value, length.value, inputs.value, norms)
            image.value, text.value = picture(radius.value, curves), sentence(radius.value, length.value, curves)
        except Exception as error:
            text.value = f"Your gradient_norms_through_time raised {type(error).__name__}; run its cell again."

    for control in (radius, length, inputs):
        control.observe(redraw, "value")
    return ipywidgets.VBox([ipywidgets.HBox([radius, length, inputs]), image, text])
