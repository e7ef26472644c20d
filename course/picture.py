"""A picture of the access pattern of one program: which elements it loads and stores, over time.

One panel per tensor, elements to the right, time downwards. It shows what the meter kept of one program of one case
(`verdict.Pattern`), at most 64 accesses. Not here: how many bytes that is (`lean`) and whether it is right.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from course import plots
from grader_kernels.evidence import Access, Traffic
from grader_kernels.judging.judgement import pattern_of
from grader_kernels.judging.verdict import Pattern
from grader_kernels.replaying import replay

LOOKS = {"load": 0, "store": 1, "atomic": 2}  # which of plots.COLOURS and plots.HATCHES
RESULT = "returned tensor "
VERBS = {"load": "loads", "store": "stores into", "atomic": "updates"}
MAX_RUNS = 400  # marks of one access; more would not be seen
BAR = 0.72


def pattern(found: Pattern, *, title: str = "") -> Figure:
    """The figure. Every bar is a run of neighbouring elements that one access touches."""
    tensors = list(dict.fromkeys(access.tensor for access in found.accesses))
    height = 1.3 + 0.23 * max(4, len(found.accesses))
    figure, panels = _panels([max(found.sizes.get(name, 1), 1) for name in tensors], min(height, 9.0))
    for axes, name in zip(panels, tensors, strict=True):
        _draw(axes, name, found)
    _name_rows(panels[0], found.accesses)
    plots.entitle(figure, title or _title(found))
    kinds = [kind for kind in LOOKS if any(access.kind == kind for access in found.accesses)]
    handles = [Patch(label=kind, **_look(kind)) for kind in kinds]
    figure.legend(handles=handles, loc="outside lower left", ncols=3, fontsize=9, frameon=False)
    return figure


def of_launch(launcher: Callable, args: tuple = (), kwargs: Mapping[str, Any] | None = None) -> Pattern:
    """What the middle program of `launcher(*args, **kwargs)` touches, traced and replayed on the CPU."""
    args = tuple(arg.cpu() if isinstance(arg, torch.Tensor) else arg for arg in args)
    done = replay.launch_here(launcher, args, dict(kwargs or {}))
    results = done.outputs if isinstance(done.outputs, tuple) else (done.outputs,)
    return pattern_of(msgspec.convert(done.traffic, Traffic), done.trace, results)


def describe(found: Pattern) -> str:
    """The picture in a sentence, for readers who can't see it."""
    parts = []
    for name in dict.fromkeys(access.tensor for access in found.accesses):
        mine = [access for access in found.accesses if access.tensor == name]
        for kind in LOOKS:
            count = sum(access.kind == kind for access in mine)
            touched = {e for access in mine if access.kind == kind for e in access.elements}
            if count:
                times = "once" if count == 1 else f"{count} times"
                verb = VERBS[kind]
                parts.append(f"{verb} {_called(name, found)} {times} ({len(touched)} different elements)")
    return f"Program {_index(found.program)} {', '.join(parts) or 'touches nothing'}."


def _panels(sizes: list[int], height: float) -> tuple[Figure, list[Axes]]:
    """A figure with one panel per tensor, wider where the tensor is longer."""
    figure, first = plots.new(7.4, height)
    first.remove()
    longest = max(sizes)
    widths = [max(size / longest, 0.35) for size in sizes]
    with plots.matplotlib.rc_context(plots.STYLE):
        made = figure.subplots(1, len(sizes), sharey=True, squeeze=False, width_ratios=widths)
    return figure, list(made[0])


def _draw(axes: Axes, name: str, found: Pattern) -> None:
    for row, access in enumerate(found.accesses):
        if access.tensor == name:
            look = _look(access.kind)
            axes.broken_barh(_runs(access.elements), (row - BAR / 2, BAR), **look)
    size = max(found.sizes.get(name, 1), 1)
    axes.set_xlim(-0.02 * size, size * 1.02)
    axes.set_ylim(len(found.accesses) - 0.4, -0.6)
    axes.set_title(textwrap.fill(_called(name, found).partition(" of shape")[0], 10), loc="left", fontsize=10)
    axes.set_xlabel("element")
    axes.xaxis.get_major_locator().set_params(integer=True, nbins=4)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y", color="0.92", linewidth=0.6)
    axes.set_axisbelow(True)


def _name_rows(axes: Axes, accesses: list[Access]) -> None:
    """Time on the left: the line of every access, or every few when there are many."""
    step = 1 + (len(accesses) - 1) // 32
    rows = range(0, len(accesses), step)
    axes.set_yticks(list(rows), [f"line {accesses[row].line}" for row in rows])
    axes.set_ylabel("time, downwards")


def _runs(elements: list[int]) -> list[tuple[float, float]]:
    """(start, width) of runs of neighbouring elements; when there are too many, of what they come to when blurred."""
    at = np.unique(np.asarray(elements, np.int64))
    if at.size == 0:
        return []
    gaps = np.diff(at)
    allowed = 1 if (gaps > 1).sum() < MAX_RUNS else np.sort(gaps)[-MAX_RUNS]
    breaks = np.nonzero(gaps > allowed)[0]
    starts, ends = at[np.concatenate([[0], breaks + 1])], at[np.concatenate([breaks, [at.size - 1]])]
    return [(float(start), float(end - start + 1)) for start, end in zip(starts, ends, strict=True)]


def _look(kind: str) -> dict:
    number = LOOKS.get(kind, 2)
    return dict(facecolor=plots.COLOURS[number], hatch=plots.HATCHES[number], edgecolor="white", linewidth=0)


def _called(name: str, found: Pattern) -> str:
    """Short, since panels are narrow: "the result", or "result 0" where there are several."""
    results = [each for each in found.sizes if each.startswith(RESULT)]
    if not name.startswith(RESULT):
        return name
    return "the result" if len(results) == 1 else f"result {name.removeprefix(RESULT)}"


def _title(found: Pattern) -> str:
    return f"What program {_index(found.program)} touches: {found.case}"


def _index(program: list[int]) -> str:
    used = program[: max((i + 1 for i, at in enumerate(program) if at), default=1)]
    return str(used[0]) if len(used) == 1 else str(tuple(used))
