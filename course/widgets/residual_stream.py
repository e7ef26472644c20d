"""The residual-stream panel: how long the stream is behind each layer, and how much each sublayer changes it.

`show(make_layer)` is all a notebook calls: one slider, two rows of curves (pre-norm, post-norm) and a sentence.
`stream` is the pure function below it. The layers are the learner's own EncoderLayer where one is handed over; it must
have the parts `attention` and `feed_forward` under these names.

Not here: any training. The layers are random and read random tokens.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from course import models, plots
from course.widgets import controls, show_live

WIDTH, HEADS, HIDDEN, LAYERS, TOKENS, BATCH = 32, 4, 128, 12, 12, 4
START = 1.0  # how loud the sublayers are when the panel opens
LOUDEST = 4.0

MakeLayer = Callable[..., nn.Module]  # (width, heads, hidden, norm) -> x (B, S, D) -> (B, S, D)


class Stream(NamedTuple):
    """What one pass through the layers showed.

    lengths    (LAYERS + 1,) root mean square of the stream's numbers, before the first layer and behind each
    attention  (LAYERS,) share of the attention in its sum: |f| / (|f| + |x|), mean over tokens
    feed       (LAYERS,) the same for the feed-forward layer
    """

    lengths: Tensor
    attention: Tensor
    feed: Tensor


class _GivenLayer(nn.Module):
    """A layer for a panel without the learner's, with the names that `stream` watches."""

    def __init__(self, width: int, heads: int, hidden: int, norm: str) -> None:
        super().__init__()
        self.before = norm == "pre"
        self.attention = models.MultiHeadAttention(width, heads)
        self.feed_forward = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, width))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        sublayers = (lambda y: self.attention(y)[0]), self.feed_forward
        for scale, sublayer in zip(self.norms, sublayers, strict=True):
            x = x + sublayer(scale(x)) if self.before else scale(x + sublayer(x))
        return x


def make_layers(norm: str, loudness: float, make: MakeLayer | None = None, seed: int = 0) -> list[nn.Module]:
    """LAYERS layers with Xavier's initial weights; the last matrix of each sublayer is multiplied by `loudness`."""
    gen = torch.Generator().manual_seed(seed)
    layers = [(make or _GivenLayer)(WIDTH, HEADS, HIDDEN, norm).eval() for _ in range(LAYERS)]
    for layer in layers:
        with torch.no_grad():
            for part in (layer.attention, layer.feed_forward):
                matrices = [p for p in part.parameters() if p.dim() == 2]
                for weights in part.parameters():
                    xavier = math.sqrt(2 / sum(weights.shape)) if weights.dim() == 2 else 0.0  # biases: 0
                    factor = loudness if weights is matrices[-1] else 1.0
                    weights.copy_(xavier * factor * torch.randn(weights.shape, generator=gen))
    return layers


@torch.no_grad()
def stream(norm: str, loudness: float, make: MakeLayer | None = None, seed: int = 0) -> Stream:
    """The stream of random tokens through LAYERS layers.

    norm      "pre" or "post"
    loudness  factor on the last matrix of each sublayer; 1: Xavier's initial weights
    make      the learner's EncoderLayer; None: the panel's own
    """
    x = torch.randn(BATCH, TOKENS, WIDTH, generator=torch.Generator().manual_seed(1000 + seed))
    lengths, attention, feed = [_size(x)], [], []
    for layer in make_layers(norm, loudness, make, seed):
        added = _watched(layer)
        out = layer(x)
        if out.shape != x.shape or not bool(out.isfinite().all()):
            raise ValueError(f"a layer made {tuple(out.shape)} of {tuple(x.shape)}, or numbers that are not finite")
        first, second = added["attention"], added["feed_forward"]
        middle = x + first if norm == "pre" else nn.functional.layer_norm(x + first, (WIDTH,))
        attention.append(_share(first, x))
        feed.append(_share(second, middle))
        x = out
        lengths.append(_size(x))
    return Stream(torch.stack(lengths), torch.stack(attention), torch.stack(feed))


def _watched(layer: nn.Module) -> dict[str, Tensor]:
    """Filled by the layer's next call: what each of its two sublayers gave."""
    kept: dict[str, Tensor] = {}

    def keep(name: str) -> Callable:
        def hook(_module: nn.Module, _given: Any, out: Any) -> None:
            kept[name] = out[0] if isinstance(out, tuple) else out

        return hook

    for name in ("attention", "feed_forward"):
        getattr(layer, name).register_forward_hook(keep(name))
    return kept


def _size(x: Tensor) -> Tensor:
    return x.square().mean().sqrt()


def _share(new: Tensor, old: Tensor) -> Tensor:
    added, there = new.norm(dim=-1), old.norm(dim=-1)
    return (added / (added + there)).mean()


def sentence(loudness: float, pre: Stream, post: Stream) -> str:
    """What the curves say, in words."""
    longer = float(pre.lengths[-1] / pre.lengths[0])
    return (
        f"Output weights: Xavier's times {loudness:g}. Pre-norm: the stream ends {longer:.1f} times as long as it "
        f"began; the feed-forward layer's share goes from {float(pre.feed[0]):.0%} to {float(pre.feed[-1]):.0%}. "
        f"Post-norm: the length stays; the share goes from {float(post.feed[0]):.0%} to {float(post.feed[-1]):.0%}."
    )


def picture(pre: Stream, post: Stream) -> bytes:
    """PNG: the length of the stream and the shares, pre-norm beside post-norm."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.6, 3.3), layout="constrained")
    left, right = figure.subplots(1, 2)
    for name, found, style in (("pre-norm", pre, "-"), ("post-norm", post, "--")):
        left.semilogy(found.lengths, style, color="black", label=name)
        right.plot(range(1, LAYERS + 1), found.attention, style, color=plots.COLOURS[0], label=f"{name}, attention")
        right.plot(range(1, LAYERS + 1), found.feed, style, color=plots.COLOURS[1], label=f"{name}, feed-forward")
    left.set(xlabel="layers passed", ylabel="root mean square", title="length of the stream", ylim=(0.5, 50))
    right.set(xlabel="layer", ylabel="share", title="share of the sublayer in its sum", ylim=(0, 1.5))
    right.set(yticks=[0, 0.25, 0.5, 0.75, 1])
    plots.legend(left, "upper left")
    plots.legend(right, "upper right")
    return plots.png(figure)


def show(make: MakeLayer | None = None) -> Any:
    """Show the panel. Returns the widget, or None where only a sentence or a still picture could be shown.

    make  the learner's EncoderLayer; if it raises or lacks a part, the panel says so and uses its own
    """
    try:
        pre, post = stream("pre", START, make), stream("post", START, make)
    except Exception as error:  # the learner's layer may be wrong: the panel must not stop the notebook
        print(f"The panel could not use your EncoderLayer ({type(error).__name__}: {error}); it uses its own.")
        make, pre, post = None, stream("pre", START), stream("post", START)
    ipywidgets = controls(sentence(START, pre, post), lambda: picture(pre, post))
    if ipywidgets is None:
        return None
    box = _panel(ipywidgets, make, pre, post)
    show_live(box, picture(pre, post), "the residual-stream panel")
    return box


def _panel(ipywidgets: Any, make: MakeLayer | None, pre: Stream, post: Stream) -> Any:
    """One slider, picture and sentence in one box."""
    loudness = ipywidgets.FloatSlider(
        value=START, min=0.0, max=LOUDEST, step=0.25, description="loudness", continuous_update=False
    )
    image = ipywidgets.Image(value=picture(pre, post), format="png", layout={"max_width": "56em"})
    text = ipywidgets.HTML(value=sentence(START, pre, post))

    def redraw(_change: Any) -> None:
        try:
            found = stream("pre", loudness.value, make), stream("post", loudness.value, make)
            image.value, text.value = picture(*found), sentence(loudness.value, *found)
        except Exception as error:
            text.value = f"Your EncoderLayer raised {type(error).__name__}; run its cell again."

    loudness.observe(redraw, "value")
    return ipywidgets.VBox([loudness, image, text])
