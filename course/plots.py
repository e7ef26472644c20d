"""Figures for the lessons, in one plain style: white ground, direct labels, readable without colour.

Each function draws one kind of figure and returns it; `show(figure)` displays it in a notebook and is silent in a
plain script. Nothing here computes what an exercise asks for: the numbers come in as arguments.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

STYLE = {
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.labelsize": 10,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "font.family": "DejaVu Sans",
    "lines.linewidth": 1.8,
}
# Okabe and Ito's palette: distinct for the colour-blind too. Markers and hatches repeat the distinction.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = ("o", "s", "^", "D", "v", "P")
HATCHES = ("", "//", "..", "xx", "\\\\", "++")


def new(width: float = 6.6, height: float = 3.2) -> tuple[Figure, Axes]:
    """An empty figure (inches) and its axes in the house style. No global state, no pyplot."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        axes = figure.add_subplot()
    return figure, axes


def entitle(figure: Figure, title: str) -> None:
    """Put the title at the left edge of the whole figure, where long axis labels can't push it out."""
    figure.suptitle(title, x=0.01, ha="left", fontsize=11)


def legend(axes: Axes, where: str = "best", columns: int = 1) -> None:
    """A legend without a frame."""
    axes.legend(loc=where, fontsize=9, frameon=False, ncols=columns)


def png(figure: Figure, dpi: int = 110) -> bytes:
    """The figure as the bytes of a PNG file."""
    buffer = io.BytesIO()
    with matplotlib.rc_context(STYLE):
        figure.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()


def show(figure: Figure, alt: str = "") -> None:
    """Display the figure in a notebook. alt: a sentence for readers who can't see it. In a script: nothing."""
    from IPython import get_ipython
    from IPython.display import Image, display

    if get_ipython() is not None:
        display(Image(png(figure), alt=alt or None))


def bars(labels: Sequence[str], values: Sequence[float], *, title: str, unit: str, digits: int = 2) -> Figure:
    """Horizontal bars from the top down, each with its number at the end. values >= 0, in `unit`."""
    figure, axes = new(height=0.9 + 0.42 * len(labels))
    positions = np.arange(len(labels))[::-1]
    axes.barh(positions, values, height=0.6, color=COLOURS[0])
    for position, value in zip(positions, values, strict=True):
        axes.annotate(f" {value:.{digits}f}", (value, position), va="center", fontsize=9)
    axes.set_yticks(positions, labels)
    axes.set_xlabel(unit)
    axes.set_xlim(0, 1.12 * max(max(values), 1e-12))
    entitle(figure, title)
    return figure


def grouped_bars(
    labels: Sequence[str], groups: dict[str, Sequence[float]], *, title: str, unit: str, digits: int = 1
) -> Figure:
    """Horizontal bars in groups: for each label one bar per entry of `groups`, told apart by colour and hatch.

    Where a value is NaN there is no bar.
    """
    figure, axes = new(height=1.2 + 0.3 * len(labels) * len(groups))
    thickness, positions = 0.8 / len(groups), np.arange(len(labels))[::-1]
    for g, (name, values) in enumerate(groups.items()):
        at = positions + 0.4 - (g + 0.5) * thickness
        look = dict(color=COLOURS[g], hatch=HATCHES[g], edgecolor="white", label=name)
        axes.barh(at, values, height=0.9 * thickness, **look)
        for y, value in ((y, value) for y, value in zip(at, values, strict=True) if value == value):
            axes.annotate(f" {value:.{digits}f}", (value, y), va="center", fontsize=8)
    axes.set_yticks(positions, labels)
    axes.set_xlabel(unit)
    axes.set_xlim(0, 1.12 * max(value for values in groups.values() for value in values if value == value))
    entitle(figure, title)
    legend(axes)
    return figure


def curves(
    x: Sequence[float], lines: dict[str, Sequence[float]], *, title: str, x_label: str, y_label: str, log: str = ""
) -> Figure:
    """One line with markers per entry of `lines`. log: the axes to scale logarithmically, "", "x", "y" or "xy"."""
    figure, axes = new()
    for i, (name, y) in enumerate(lines.items()):
        axes.plot(x, y, marker=MARKERS[i % 6], color=COLOURS[i % 6], label=name, markersize=5)
    for axis in log:
        getattr(axes, f"set_{axis}scale")("log")
    entitle(figure, title)
    axes.set(xlabel=x_label, ylabel=y_label)
    legend(axes)
    return figure


def heat_map(
    values: np.ndarray, *, title: str, x_label: str = "", y_label: str = "", ticks: Sequence[str] | None = None
) -> Figure:
    """A matrix (rows, columns) as squares, dark = large, with a scale. ticks: names of rows and columns alike."""
    grid = np.asarray(values)
    figure, axes = new(4.4, 3.6)
    image = axes.imshow(grid, cmap="Blues", vmin=0.0, aspect="equal")
    figure.colorbar(image, shrink=0.8)
    entitle(figure, title)
    axes.set(xlabel=x_label, ylabel=y_label)
    if ticks is not None:
        axes.set_xticks(range(grid.shape[1]), ticks, rotation=45, ha="right")
        axes.set_yticks(range(grid.shape[0]), ticks)
    return figure


def programs(owners: Sequence[Sequence[int]], n: int) -> Figure:
    """Which element each program works on.

    owners  for every program, the element numbers of its lanes, in order
    n       elements there are: a lane at n or beyond is drawn empty and crossed out
    """
    figure, axes = new(height=0.9 + 0.45 * len(owners))
    for row, lanes in enumerate(owners):
        for element in lanes:
            _lane(axes, element, row, element < n, row)
    axes.axvline(n - 0.5, color="black", linestyle="--", linewidth=1)
    axes.annotate(f" n = {n}", (n - 0.5, -0.62), va="bottom", fontsize=9)
    last = max(max(lanes) for lanes in owners)
    axes.set(xlim=(-0.6, last + 0.6), ylim=(len(owners) - 0.4, -0.75), xlabel="element number (offset)")
    axes.set_yticks(range(len(owners)), [f"program {row}" for row in range(len(owners))])
    axes.set_xticks(range(last + 1))
    axes.tick_params(length=0)
    return figure


def _lane(axes: Axes, element: int, row: int, inside: bool, colour: int) -> None:
    from matplotlib.patches import Rectangle

    fill = COLOURS[colour % 6] if inside else "white"
    axes.add_patch(Rectangle((element - 0.45, row - 0.35), 0.9, 0.7, facecolor=fill, edgecolor="black", linewidth=0.8))
    text, ink = (str(element), "white") if inside else ("×", "black")
    axes.annotate(text, (element, row), ha="center", va="center", fontsize=8, color=ink)


def machine(name: str, sms: int, sizes: dict[str, str], rates: dict[str, str]) -> Figure:
    """A GPU's memories as nested boxes: four of its SMs, the L2 cache below all of them, the HBM beside the chip.

    sizes  size as text of "registers" and "shared memory" (of one SM), "L2" and "HBM"
    rates  bandwidth as text of "SM" (shared memory), "L2" and "HBM", written at the arrow that leads up from it
    """
    figure, axes = new(7.0, 3.9)
    _box(axes, 0.0, 1.55, 10.0, 4.35, "white", f"{name}: the chip", place="top")
    for i in range(4):
        _sm(axes, 0.25 + 2.25 * i, sizes)
    axes.annotate(f"… {sms}\nSMs", (9.5, 4.3), ha="center", va="center", fontsize=9)
    _box(axes, 0.25, 1.75, 9.5, 0.75, COLOURS[4], f"L2 cache, {sizes['L2']}")
    _box(axes, 0.25, 0.0, 9.5, 0.8, COLOURS[1], f"HBM, {sizes['HBM']}")
    for low, high, kind in ((2.5, 3.05, "L2"), (0.8, 1.75, "HBM")):
        axes.annotate("", (5.0, high), (5.0, low), arrowprops={"arrowstyle": "<->"})
        axes.annotate(f" {rates[kind]}", (5.0, 0.5 * (low + high)), va="center", fontsize=9)
    axes.annotate(f"shared memory: {rates['SM']}", (0.25, 2.72), fontsize=9)
    axes.set(xlim=(-0.1, 10.1), ylim=(-0.1, 6.0))
    axes.set_axis_off()
    return figure


def _sm(axes: Axes, left: float, sizes: dict[str, str]) -> None:
    _box(axes, left, 3.05, 2.0, 2.35, "white", "SM", place="top")
    _box(axes, left + 0.1, 4.1, 1.8, 0.8, COLOURS[2], f"registers\n{sizes['registers']}")
    _box(axes, left + 0.1, 3.15, 1.8, 0.8, COLOURS[5], f"shared memory\n{sizes['shared memory']}")


def _box(
    axes: Axes, x: float, y: float, width: float, height: float, colour: str, text: str, place: str = "middle"
) -> None:
    from matplotlib.patches import Rectangle

    axes.add_patch(Rectangle((x, y), width, height, facecolor=colour, edgecolor="black", linewidth=0.8))
    at, va = (y + height / 2, "center") if place == "middle" else (y + height - 0.1, "top")
    axes.annotate(text, (x + width / 2, at), ha="center", va=va, fontsize=9)


def roofline(
    attainable: Callable[[np.ndarray, float, float], np.ndarray],
    bandwidth: float,
    peaks: dict[str, float],
    points: dict[str, tuple[float, float]],
    *,
    title: str,
) -> Figure:
    """Attainable FLOP/s over arithmetic intensity, both logarithmic.

    attainable  (intensities in FLOP/byte, peak in FLOP/s, bandwidth in byte/s) -> FLOP/s: the learner's function
    bandwidth   byte/s
    peaks       name of a roof -> its height in FLOP/s
    points      name of an operation -> (FLOP/byte, FLOP/s)
    """
    figure, axes = new(6.8, 4.0)
    x = np.geomspace(1 / 16, 4096, 400)
    for (name, peak), style in zip(peaks.items(), ("-", "--", ":"), strict=False):
        axes.plot(x, np.asarray(attainable(x, peak, bandwidth)) / 1e12, style, color="black")
        above = {"xytext": (0, 2), "textcoords": "offset points"}
        axes.annotate(f"{name}: {peak / 1e12:g}", (4096, peak / 1e12), **above, ha="right", va="bottom", fontsize=9)
    for i, (name, (intensity, rate)) in enumerate(points.items()):
        look = dict(marker=MARKERS[i % 6], color=COLOURS[i % 6], markersize=9, linestyle="none")
        axes.plot([intensity], [rate / 1e12], label=name, **look)
    entitle(figure, title)
    axes.set(xscale="log", yscale="log")
    axes.set(xlabel="arithmetic intensity, FLOP per byte", ylabel="attainable, TFLOP/s")
    axes.set_ylim(bandwidth / 16 / 1e12 / 2, 3 * max(peaks.values()) / 1e12)
    if points:
        legend(axes, "lower right")
    return figure


PARTS = {  # of `wiring`: half width, half height, fill, ink
    "gate": (0.42, 0.3, COLOURS[0], "white"),
    "candidate": (0.42, 0.3, COLOURS[2], "white"),
    "step": (0.42, 0.3, "white", "black"),
    "point": (0.2, 0.2, "white", "black"),
    "name": (0.42, 0.2, "white", "black"),
}


def wiring(parts: dict[str, tuple[float, float, str, str]], wires: Sequence[tuple], *, title: str) -> Figure:
    """Boxes and arrows: how a cell computes its next state.

    parts  name -> (x, y, text, kind), kind one of PARTS: gates, candidates and steps are boxes, points are circles
           with an operation in them, names stand free
    wires  (look, stop, stop, ...): a polyline through names and (x, y) pairs. look: "main", thick and orange; "", thin;
           "dot", thin with a dot where it begins, on another wire. It ends in an arrow
    """
    xs, ys = ([part[axis] for part in parts.values()] for axis in (0, 1))
    figure, axes = new(0.4 + 0.75 * (max(xs) - min(xs)), 0.7 + 0.75 * (max(ys) - min(ys)))
    axes.set(xlim=(min(xs) - 0.5, max(xs) + 0.5), ylim=(min(ys) - 0.5, max(ys) + 0.5), aspect="equal")
    axes.set_axis_off()
    for look, *stops in wires:
        _wire(axes, parts, look, stops)
    for x, y, text, kind in parts.values():
        _part(axes, x, y, text, kind)
    entitle(figure, title)
    return figure


def _wire(axes: Axes, parts: dict[str, tuple[float, float, str, str]], look: str, stops: list) -> None:
    points = [np.array(parts[stop][:2] if isinstance(stop, str) else stop, float) for stop in stops]
    way = np.sign(points[-1] - points[-2])  # wires run along the axes
    if isinstance(stops[-1], str):
        points[-1] = points[-1] - way * np.array(PARTS[parts[stops[-1]][3]][:2])
    colour, width = (COLOURS[1], 3.0) if look == "main" else ("black", 1.2)
    axes.plot(*np.array([*points[:-1], points[-1] - 0.12 * way]).T, color=colour, linewidth=width, zorder=1)
    axes.annotate("", points[-1], points[-1] - 0.2 * way, zorder=2, arrowprops=dict(
        arrowstyle="-|>", color=colour, shrinkA=0, shrinkB=0, mutation_scale=11 + 2 * width))  # fmt: skip
    if look == "dot":
        axes.plot(*points[0], "o", color="black", markersize=4, zorder=2)


def _part(axes: Axes, x: float, y: float, text: str, kind: str) -> None:
    from matplotlib.patches import Circle, FancyBboxPatch

    half_width, half_height, fill, ink = PARTS[kind]
    if kind == "point":
        axes.add_patch(Circle((x, y), half_width, facecolor=fill, edgecolor="black", linewidth=1.2, zorder=3))
    else:
        edge = "none" if kind == "name" else "black"
        corner = (x - half_width + 0.08, y - half_height + 0.08), 2 * half_width - 0.16, 2 * half_height - 0.16
        box = FancyBboxPatch(*corner, "round,pad=0.08", facecolor=fill, edgecolor=edge, linewidth=0.8, zorder=3)
        axes.add_patch(box)
    axes.annotate(text, (x, y), ha="center", va="center", fontsize=9, color=ink, zorder=4)
