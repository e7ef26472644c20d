"""nbgrader's exchange in a class folder: hand-ins go where intake reads them, and a release takes its checks along.

What it is: two of nbgrader's own steps with other settings. `nbgrader_config.py` names them, so they are also what
formgrader's buttons do.
What it is not: `nbgrader zip_collect`, which needs a line of configuration only.
"""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nbgrader.coursedir import CourseDirectory
from nbgrader.exchange.default import ExchangeCollect, ExchangeReleaseAssignment

from autograder.classroom import clock
from autograder.classroom.intake import SIDE_FILES


class Release(ExchangeReleaseAssignment):
    """Releases the numbers that the checks compare with, which nbgrader leaves out of all else that it copies."""

    def copy_files(self) -> None:
        ignored = [pattern for pattern in self.coursedir.ignore if pattern not in SIDE_FILES]
        with _for_now(self.coursedir, ignore=[*ignored, ".stamp"]):
            super().copy_files()


class Collect(ExchangeCollect):
    """Collects into submitted/, for intake, and notes when each hand-in came in timestamps.csv."""

    def copy_files(self) -> None:
        table = Path(self.coursedir.root) / "timestamps.csv"
        try:
            clock.read(table)
        except clock.ClockError as error:
            self.fail(str(error))
        with _for_now(self.coursedir, submitted_directory="submitted"):
            super().copy_files()
            clock.note(table, dict(self._times()))

    def _times(self) -> Iterator[tuple[tuple[str, str], datetime.datetime]]:
        """Of the hand-ins that lie in submitted/ now: an earlier one may have stayed there."""
        unit = self.coursedir.assignment_id
        for record in self.src_records:
            student = record["username"]
            folder = Path(self.coursedir.format_path(self.coursedir.submitted_directory, student, unit))
            mine, theirs = (where / "timestamp.txt" for where in (folder, Path(self.inbound_path, record["filename"])))
            with contextlib.suppress(OSError):
                if mine.read_bytes() == theirs.read_bytes():
                    yield (student, unit), record["timestamp"].replace(tzinfo=datetime.UTC)


@contextlib.contextmanager
def _for_now(coursedir: CourseDirectory, **values: Any) -> Iterator[None]:
    """Other settings as long as the block lasts, however it ends: formgrader shares them with its pages."""
    before = {name: getattr(coursedir, name) for name in values}
    try:
        for name, value in values.items():
            setattr(coursedir, name, value)
        yield
    finally:
        for name, value in before.items():
            setattr(coursedir, name, value)
