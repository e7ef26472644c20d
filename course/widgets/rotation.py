"""The rotation panel: a query and a key as RoPE turns them, and their dot product over the distance.

`show(rope)` is all a notebook calls. `turned`, `scores`, `sentence` and `picture` are functions of their arguments and
need no browser. The learner's `apply_rope` does the turning; without it the panel turns by complex numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from course import plots
from course.widgets import controls

Rope = Callable[[Tensor, Tensor], Tensor]
WIDTH, FAR = 32, 128  # of the head; largest distance drawn
START = (10, 6, 0)  # position of the query, distance to the key, pair


def _by_complex_numbers(x: Tensor, positions: Tensor) -> Tensor:
    d = x.shape[-1]
    steps = torch.linspace(0, 1 - 2 / d, d // 2, dtype=torch.float64)
    turn = torch.exp(1j * torch.outer(positions.double(), 10000.0**-steps))
    numbers = torch.view_as_complex(x.double().reshape(*x.shape[:-1], -1, 2).contiguous())
    return torch.view_as_real(numbers * turn).flatten(-2).to(x.dtype)


def vectors() -> tuple[Tensor, Tensor]:
    """A query and a key (1, WIDTH) that agree in every pair: at distance 0 their dot product is 1."""
    unit = torch.tensor([1.0, 0.0]).repeat(WIDTH // 2)[None] / math.sqrt(WIDTH // 2)
    return unit, unit.clone()


def turned(query_at: float, key_at: float, rope: Rope | None = None) -> tuple[Tensor, Tensor]:
    """The query (WIDTH,) and the key (WIDTH,) as they are turned at their positions."""
    q, k = vectors()
    use = rope or _by_complex_numbers
    pair = use(q, torch.tensor([query_at]))[0], use(k, torch.tensor([key_at]))[0]
    if any(part.shape != (WIDTH,) or not bool(part.isfinite().all()) for part in pair):
        raise ValueError("the turned vectors have another shape, or are not finite")
    return pair


def scores(rope: Rope | None = None, far: int = FAR) -> Tensor:
    """(far, WIDTH / 2) what each pair adds to the dot product, by distance; its sum over pairs is the score."""
    q, _ = turned(0, 0, rope)
    keys = torch.stack([turned(0, distance, rope)[1] for distance in range(far)])
    return (keys * q).unflatten(-1, (-1, 2)).sum(-1)


def sentence(query_at: int, distance: int, pair: int, rope: Rope | None = None) -> str:
    """The chosen pair and the whole head, in words."""
    q, k = turned(query_at, query_at - distance, rope)
    parts = (q * k).unflatten(-1, (-1, 2)).sum(-1)
    turn = math.degrees(distance * 10000.0 ** (-2 * pair / WIDTH))
    return (
        f"Query at {query_at}, key at {query_at - distance}: pair {pair} differs by {turn:.1f} degrees "
        f"(dot product {float(parts[pair]) * (WIDTH // 2):.3f} of 1); the whole head scores {float(parts.sum()):.3f}."
    )


def picture(query_at: int, distance: int, pair: int, rope: Rope | None = None) -> bytes:
    """PNG: the two arrows of one pair, and the dot products over the distance."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.4, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1, 2))
    both = turned(query_at, query_at - distance, rope)
    for name, vector, colour in zip(("query", "key"), both, ("C0", "C1"), strict=True):
        x, y = (vector.unflatten(-1, (-1, 2))[pair] * math.sqrt(WIDTH // 2)).tolist()
        left.annotate("", (x, y), (0, 0), arrowprops={"arrowstyle": "->", "color": colour, "lw": 2})
        left.text(1.15 * x, 1.15 * y, name, color=colour, ha="center", va="center")
    left.set(xlim=(-1.4, 1.4), ylim=(-1.4, 1.4), aspect="equal", title=f"pair {pair}")
    parts = scores(rope)
    right.plot(parts.sum(-1), label="whole head")
    right.plot(parts[:, pair] * (WIDTH // 2), ":", label=f"pair {pair} alone")
    right.axvline(distance, color="grey", lw=1)
    right.set(xlabel="distance", ylabel="dot product", ylim=(-1.1, 1.4), yticks=(-1, -0.5, 0, 0.5, 1))
    plots.legend(right, "upper right", columns=2)  # above the curves
    return plots.png(figure)


def show(rope: Rope | None = None) -> None:
    """Show the panel; without ipywidgets or a notebook, a still picture or a sentence.

    rope  the learner's apply_rope; if it raises or gives another shape, the panel says so and uses its own
    """
    try:
        says = sentence(*START, rope)
    except Exception as error:  # the learner's function may be wrong: the panel must not stop the notebook
        print(f"The panel could not use your apply_rope ({type(error).__name__}: {error}); it uses its own.")
        rope, says = None, sentence(*START)
    if ipywidgets := controls(says, lambda: picture(*START, rope)):
        from IPython.display import display

        display(_panel(ipywidgets, rope))


def _panel(ipywidgets: Any, rope: Rope | None) -> Any:
    """Three sliders, picture and sentence in one box."""
    limits = {"query": (0, 100), "distance": (0, FAR - 1), "pair": (0, WIDTH // 2 - 1)}
    sliders = [
        ipywidgets.IntSlider(value=start, min=low, max=high, description=name, continuous_update=False)
        for start, (name, (low, high)) in zip(START, limits.items(), strict=True)
    ]
    image, text = ipywidgets.Image(format="png", layout={"max_width": "54em"}), ipywidgets.HTML()

    def redraw(_change: Any = None) -> None:
        chosen = [slider.value for slider in sliders]
        try:
            image.value, text.value = picture(*chosen, rope), sentence(*chosen, rope)
        except Exception as error:
            text.value = f"Your apply_rope raised {type(error).__name__}; run its cell again."

    for slider in sliders:
        slider.observe(redraw, "value")
    redraw()
    return ipywidgets.VBox([ipywidgets.HBox(sliders), image, text])
