"""The residual-stream panel: the numbers are those of the layers, and the panel never stops a notebook."""

import io

import pytest
import torch
from matplotlib.image import imread
from torch import nn

from course import models
from course.widgets import residual_stream


class Layer(nn.Module):
    """As a right learner would write it, without dropout."""

    def __init__(self, width, heads, hidden, norm="pre"):
        super().__init__()
        self.norm, self.attention = norm, models.MultiHeadAttention(width, heads)
        self.feed_forward = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, width))
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, x):
        if self.norm == "pre":
            x = x + self.attention(self.norm1(x))[0]
            return x + self.feed_forward(self.norm2(x))
        x = self.norm1(x + self.attention(x)[0])
        return self.norm2(x + self.feed_forward(x))


@pytest.mark.parametrize("make", [None, Layer])
def test_silent_sublayers_change_nothing(make):
    for norm in ("pre", "post"):
        found = residual_stream.stream(norm, 0.0, make)
        assert float(found.attention.max()) == float(found.feed.max()) == 0.0
        torch.testing.assert_close(found.lengths[1:], found.lengths[1].expand(residual_stream.LAYERS))


@pytest.mark.parametrize("make", [None, Layer])
def test_the_pre_norm_stream_grows_and_its_shares_shrink(make):
    pre, post = (residual_stream.stream(norm, 1.0, make) for norm in ("pre", "post"))
    assert float(pre.lengths[-1]) > 2 * float(pre.lengths[0])
    torch.testing.assert_close(post.lengths[1:], torch.ones(residual_stream.LAYERS), atol=1e-3, rtol=0)
    assert float(pre.feed[-1]) < 0.75 * float(pre.feed[0])
    assert abs(float(post.feed[-1]) - float(post.feed[0])) < 0.1


def test_shares_and_lengths_are_those_of_one_layer_by_hand():
    found = residual_stream.stream("pre", 2.0, Layer, seed=3)
    layer = residual_stream.make_layers("pre", 2.0, Layer, seed=3)[0]
    shape = residual_stream.BATCH, residual_stream.TOKENS, residual_stream.WIDTH
    x = torch.randn(shape, generator=torch.Generator().manual_seed(1003))
    with torch.no_grad():
        a = layer.attention(layer.norm1(x))[0]
        f = layer.feed_forward(layer.norm2(x + a))
    for share, new, old in ((found.attention[0], a, x), (found.feed[0], f, x + a)):
        sizes = new.norm(dim=-1) / (new.norm(dim=-1) + old.norm(dim=-1))
        torch.testing.assert_close(share, sizes.mean())
    torch.testing.assert_close(found.lengths[1], (x + a + f).square().mean().sqrt())


@pytest.mark.parametrize("broken", [lambda *a: nn.Identity(), lambda *a: nn.Linear(32, 5), lambda *a: 1 / 0])
def test_a_wrong_layer_is_named_and_replaced(broken, capsys):
    assert residual_stream.show(broken) is None
    out = capsys.readouterr().out
    assert "could not use your EncoderLayer" in out and "Pre-norm: the stream ends" in out


def test_the_picture_draws_and_the_slider_moves_it():
    ipywidgets = pytest.importorskip("ipywidgets")
    pre, post = (residual_stream.stream(norm, residual_stream.START) for norm in ("pre", "post"))
    assert imread(io.BytesIO(residual_stream.picture(pre, post))).std() > 0.01
    slider, image, text = residual_stream._panel(ipywidgets, None, pre, post).children
    before = image.value, text.value
    slider.value = 3.0
    assert image.value != before[0] and "Xavier's times 3." in text.value != before[1]
