"""The roofline panel: choose a GPU and an amount of work, see which ceiling three operations meet.

`panel(attainable, gpus)` is all a notebook calls. The roof is drawn with the learner's own function; where that is
not written yet the panel says so and draws nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from course import plots
from course.widgets import show_live

WIDTH = 4096  # features in and out of the linear layer
BYTES = 2  # bf16

Point = tuple[float, float, str]  # FLOPs, bytes, which units compute it


def operations(k: int) -> dict[str, Point]:
    """Three operations with an amount of work k. FLOPs and bytes are per element, or for the whole layer.

    A chain of k elementwise operations reads and writes each element once when fused, k times when not. The linear
    layer multiplies k rows by a WIDTH x WIDTH matrix. All tensors are bf16.
    """
    layer_bytes = BYTES * (2 * k * WIDTH + WIDTH * WIDTH)
    return {
        f"{k} elementwise operations, one kernel each": (k, 2 * BYTES * k, "vector"),
        f"{k} elementwise operations, fused": (k, 2 * BYTES, "vector"),
        f"linear layer, {k} rows": (2 * k * WIDTH * WIDTH, layer_bytes, "tensor"),
    }


def picture(attainable: Callable, name: str, gpu: dict[str, float], k: int) -> tuple[bytes, str]:
    """PNG bytes of the roofline of `gpu` with the three operations on it, and one sentence per operation (HTML)."""
    rate = _numpy(attainable)
    points, lines = {}, []
    for title, (flops, moved, unit) in operations(k).items():
        reached = float(rate(np.array([flops / moved]), gpu[unit], gpu["bandwidth"])[0])
        points[title] = (flops / moved, reached)
        lines.append(_sentence(title, flops / moved, reached, gpu[unit]))
    peaks = {"tensor cores, bf16": gpu["tensor"], "vector units, fp32": gpu["vector"]}
    figure = plots.roofline(rate, gpu["bandwidth"], peaks, points, title=f"{name}, {gpu['bandwidth'] / 1e12:g} TB/s")
    return plots.png(figure), "<br>".join(lines)


def panel(attainable: Callable, gpus: dict[str, dict[str, float]]) -> Any:
    """Show the panel. Returns the widget, or None where only a still picture or a sentence could be shown.

    attainable  (intensity tensor, peak, bandwidth) -> tensor, the learner's `roofline`
    gpus        name -> {"bandwidth": byte/s, "vector": FLOP/s, "tensor": FLOP/s}
    """
    name = next(iter(gpus))
    try:
        first = picture(attainable, name, gpus[name], 16)
    except Exception as error:  # the learner's function may be missing or wrong: the panel must not stop the notebook
        print(f"The panel draws with your `roofline`, which is not ready yet ({type(error).__name__}).")
        return None
    try:
        import ipywidgets
    except ImportError:
        _still(first[0], "ipywidgets is not installed, so this picture does not move")
        return None
    return _live(ipywidgets, attainable, gpus, first)


def _live(ipywidgets: Any, attainable: Callable, gpus: dict, first: tuple[bytes, str]) -> Any:
    wide = {"description_width": "3em"}
    gpu = ipywidgets.Dropdown(options=list(gpus), description="GPU", style=wide)
    choices = [(str(2**i), 2**i) for i in range(13)]
    k = ipywidgets.SelectionSlider(
        options=choices, value=16, description="k", style=wide, continuous_update=False, layout={"width": "26em"}
    )
    image = ipywidgets.Image(value=first[0], format="png", layout={"max_width": "48em"})
    text = ipywidgets.HTML(value=first[1])

    def redraw(_change: Any) -> None:
        try:
            image.value, text.value = picture(attainable, gpu.value, gpus[gpu.value], k.value)
        except Exception as error:
            text.value = f"Your roofline raised {type(error).__name__}; run its cell again."

    gpu.observe(redraw, "value")
    k.observe(redraw, "value")
    box = ipywidgets.VBox([ipywidgets.HBox([gpu, k]), image, text])
    show_live(box, first[0], "the roofline panel")
    return box


def _still(picture_bytes: bytes, reason: str) -> None:
    from IPython.display import Image, display

    print(f"A still picture: {reason}.")
    display(Image(picture_bytes))


def _sentence(title: str, intensity: float, reached: float, peak: float) -> str:
    bound = "memory-bound" if reached < 0.999 * peak else "compute-bound"
    share = 100 * reached / peak
    return f"<b>{title}</b>: {intensity:.3g} FLOP/byte, {bound}, {reached / 1e12:.3g} TFLOP/s, {share:.3g} % of peak"


def _numpy(attainable: Callable) -> Callable[[np.ndarray, float, float], np.ndarray]:
    def rate(intensity: np.ndarray, peak: float, bandwidth: float) -> np.ndarray:
        x = torch.as_tensor(np.asarray(intensity), dtype=torch.float64)
        return torch.as_tensor(attainable(x, peak, bandwidth)).double().numpy()

    return rate
