"""The explorables and figures: they draw, they react, and they never stop a notebook."""

import io

import numpy as np
import pytest
import torch
from matplotlib.image import imread

from course import plots
from course.widgets import roofline

GPUS = {
    "one": {"bandwidth": 2e12, "vector": 20e12, "tensor": 300e12},
    "two": {"bandwidth": 3e12, "vector": 60e12, "tensor": 900e12},
}


def attainable(intensity, peak, bandwidth):
    return torch.minimum(intensity * bandwidth, torch.full_like(intensity, peak))


def unwritten(intensity, peak, bandwidth):
    raise NotImplementedError("write roofline here")


def pixels(png: bytes) -> np.ndarray:
    return imread(io.BytesIO(png))


def controls(box):
    (gpu, k), image, text = box.children[0].children, box.children[1], box.children[2]
    return gpu, k, image, text


def test_the_panel_redraws_when_a_control_moves():
    gpu, k, image, text = controls(roofline.panel(attainable, GPUS))
    before = image.value, text.value
    k.value = 256
    assert image.value != before[0] and "256 elementwise operations" in text.value
    at_256 = text.value
    gpu.value = "two"
    assert text.value != at_256


def test_the_sentences_hold_the_counted_numbers():
    _, _, _, text = controls(roofline.panel(attainable, GPUS))
    assert "16 elementwise operations, fused</b>: 4 FLOP/byte, memory-bound, 8 TFLOP/s, 40 % of peak" in text.value
    assert "one kernel each</b>: 0.25 FLOP/byte, memory-bound, 0.5 TFLOP/s" in text.value


def test_a_chain_becomes_compute_bound_only_when_fused():
    _, k, _, text = controls(roofline.panel(attainable, GPUS))
    k.value = 64
    unfused, fused, _ = text.value.split("<br>")
    assert "memory-bound" in unfused and "compute-bound" in fused


@pytest.mark.parametrize("broken", [unwritten, lambda *a: None, lambda i, p, b: 1 / 0])
def test_an_unfinished_roofline_is_one_line_and_no_error(broken, capsys):
    assert roofline.panel(broken, GPUS) is None
    assert capsys.readouterr().out.count("\n") == 1


def test_a_roofline_that_breaks_later_leaves_the_panel_standing():
    calls = []

    def fragile(intensity, peak, bandwidth):
        calls.append(1)
        if len(calls) > 6:
            raise ValueError("now")
        return attainable(intensity, peak, bandwidth)

    _, k, _, text = controls(roofline.panel(fragile, GPUS))
    k.value = 4096
    k.value = 1
    assert "raised ValueError" in text.value


def test_without_ipywidgets_one_still_picture_is_shown(monkeypatch, capsys):
    monkeypatch.setitem(__import__("sys").modules, "ipywidgets", None)
    assert roofline.panel(attainable, GPUS) is None
    assert "still picture" in capsys.readouterr().out


def figures():
    lines = {"x": [1, 2, 3], "y": [3, 2, 1]}
    yield "bars", plots.bars(["a long label " * 3, "b"], [1.0, 200.0], title="T" * 60, unit="ms")
    yield "grouped", plots.grouped_bars(["a", "b"], {"x": [1, 2], "y": [3, 4]}, title="t", unit="%")
    yield "curves", plots.curves([1, 2, 4], lines, title="t", x_label="n", y_label="s", log="x")
    yield "heat", plots.heat_map(np.eye(4), title="t", ticks=list("abcd"))
    yield "programs", plots.programs([[0, 1, 2, 3], [4, 5, 6, 7]], n=6)
    parts = {"a": (0, 0, "a", "name"), "f": (1, 0, "f", "gate"), "+": (2, 0, "+", "point"), "b": (3, 1, "b", "step")}
    yield "wiring", plots.wiring(parts, [("main", "a", "f"), ("", "f", "+"), ("dot", (2, 1), "b")], title="t")
    sizes = {"registers": "1 KB", "shared memory": "2 KB", "L2": "3 MB", "HBM": "4 GB"}
    yield "machine", plots.machine("a GPU", 108, sizes, {"SM": "9 TB/s", "L2": "5 TB/s", "HBM": "1 TB/s"})


@pytest.mark.parametrize("name, figure", list(figures()))
def test_every_figure_draws_and_keeps_its_ink_off_the_edges(name, figure):
    image = pixels(plots.png(figure))[..., :3]
    assert image.min() < 0.5
    edge = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
    assert edge.min() > 0.9, "something is cut off at the edge"


def test_show_is_silent_in_a_script(capsys):
    plots.show(plots.heat_map(np.eye(3), title="t"), alt="an identity matrix")
    assert capsys.readouterr().out == ""


def test_controls_says_a_sentence_or_shows_one_picture_where_no_panel_can_live(monkeypatch, capsys):
    from IPython.display import HTML, Image

    from course.widgets import controls

    shown = []
    monkeypatch.setattr("IPython.display.display", shown.append)
    assert controls("a sentence", lambda: pytest.fail("no picture outside a notebook")) is None
    assert capsys.readouterr().out == "a sentence\n" and shown == []
    monkeypatch.setattr("IPython.get_ipython", object)
    assert controls("a sentence", lambda: b"") is __import__("ipywidgets") and shown == []
    monkeypatch.setitem(__import__("sys").modules, "ipywidgets", None)
    assert controls("a sentence", lambda: plots.png(plots.new(2, 2)[0])) is None
    assert controls("a sentence", lambda: "<b>x</b>") is None
    assert [type(each) for each in shown] == [Image, HTML]
    assert capsys.readouterr().out == 2 * "A still picture: ipywidgets is not installed.\n"
