"""The rotation panel: the numbers are those of RoPE, and the panel never stops a notebook."""

import io

import pytest
import torch
from matplotlib.image import imread

from course.widgets import rotation


def test_scores_are_the_sum_of_cosines():
    parts = rotation.scores(far=20)
    theta = 10000.0 ** (-2 * torch.arange(rotation.WIDTH // 2) / rotation.WIDTH)
    expected = torch.cos(torch.arange(20)[:, None] * theta) / (rotation.WIDTH // 2)
    torch.testing.assert_close(parts, expected, atol=1e-5, rtol=0)
    assert abs(float(parts[0].sum()) - 1) < 1e-6


def test_only_the_distance_matters():
    one, other = (rotation.turned(at, at - 7) for at in (10, 90))
    assert abs(float((one[0] * one[1]).sum() - (other[0] * other[1]).sum())) < 1e-5


def test_the_sentence_holds_angle_and_score():
    says = rotation.sentence(10, 6, 0)
    assert "Query at 10, key at 4" in says and "343.8 degrees" in says and "0.960 of 1" in says


def test_the_learners_rotation_is_used():
    still = rotation.scores(lambda x, positions: x)
    assert torch.allclose(still.sum(-1), torch.ones(rotation.FAR))


@pytest.mark.parametrize("broken", [lambda x, t: x[:, :3], lambda x, t: x * float("nan"), lambda x, t: 1 / 0])
def test_a_wrong_rotation_is_named_and_replaced(broken, capsys):
    rotation.show(rope=broken)
    out = capsys.readouterr().out
    assert "could not use your apply_rope" in out and "Query at 10" in out


def test_the_picture_draws_and_the_sliders_move_it():
    ipywidgets = pytest.importorskip("ipywidgets")
    assert imread(io.BytesIO(rotation.picture(*rotation.START))).std() > 0.01
    box = rotation._panel(ipywidgets, None)
    sliders, image, text = box.children[0].children, box.children[1], box.children[2]
    before = image.value, text.value
    sliders[1].value = 50
    assert image.value != before[0] and "key at -40" in text.value
