"""The bar while a class is graded: the stage, how many hand-ins, how fast, and when it ends at that pace.

Not here: what the stages are (`grade`, `record`) and the table of scores after them (`table`).
"""

from __future__ import annotations

import datetime
from collections.abc import Callable

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
)
from rich.text import Text

DAY = 86400.0


def on(console: Console) -> Progress:
    """A bar on this console, to be entered; it is gone when it is left."""
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), _Pace()
    return Progress(*columns, console=console, transient=True, speed_estimate_period=DAY)


class _Pace(ProgressColumn):
    """Hand-ins per second as the mean of this stage, and when it ends at that pace; nothing before there is a mean."""

    def render(self, task: Task) -> Text:
        if not task.speed or task.time_remaining is None:
            return Text()
        pace = f"{task.speed:.1f} a second" if task.speed >= 1 else f"{1 / task.speed:.1f} s each"
        end = datetime.datetime.now() + datetime.timedelta(seconds=task.time_remaining)
        return Text(f"{pace}, ends {end:%H:%M}" + (f" on {end:%d %B}" if task.time_remaining > DAY / 2 else ""))


def teller(progress: Progress, unit: str) -> Callable[[str, int, int], None]:
    """What moves the bar; a new stage begins with a new mean."""
    bar = progress.add_task(unit, total=None)
    stage = ""

    def tell(what: str, done: int, total: int) -> None:
        nonlocal stage
        if what != stage:
            progress.reset(bar, total=total, description=f"{unit}: {what}")
            stage = what
        progress.update(bar, completed=done, total=total)

    return tell
