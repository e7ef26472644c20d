"""The collector's clock: timestamps.csv, which says when each hand-in came.

What it is: a reader that takes what can only be meant one way, and stops with a sentence at the first line that can't.
What it is not: it knows no hand-in and no due date.

    separator  comma, semicolon, tab or |
    header     the columns student, unit and timestamp, or words that programs use for them; others are left alone
    time       ISO 8601, RFC 2822 and other dates with a year of four digits; UTC unless it says otherwise; 03/01/2026
               only where another line shows what comes first. A line without a time says nothing
"""

from __future__ import annotations

import csv
import datetime
import io
import os
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from dateutil import parser, tz

from autograder.classroom.names import composed, plain, shown
from course.files import encoding_of, write_whole

SEPARATORS = ",;\t|"
WORDS = {
    "student": ("student", "studentid", "username", "user", "userid", "login", "loginid", "sisloginid"),
    "unit": ("unit", "assignment", "assignmentid", "assignmentname"),
    "timestamp": (
        "timestamp", "time", "date", "datetime", "submitted", "submittedat", "submittedon", "submissiontime",
        "submissiondate", "handedin",
    ),
}  # fmt: skip
SUCH_AS = 'expected a time such as "2026-03-01 18:00:00 UTC"'
_ISO = re.compile(r"\d{4}-?\d\d-?\d\d([T ]\d.*)?", re.ASCII)
_YEAR_LAST = re.compile(r"(?<![\d./-])(\d{1,2})([./-])(\d{1,2})\2(\d{4})(?!\d)", re.ASCII)
_GAPS = datetime.datetime(2001, 1, 1), datetime.datetime(2002, 2, 2)  # what stands in for parts that a date lacks


class ClockError(Exception):
    """The table can't be read; one sentence that names the file, the line and what was expected."""


class _Line(NamedTuple):
    number: int
    student: str
    unit: str
    time: str


class Clock:
    """When hand-ins came, by student and unit; the last line about a hand-in counts."""

    def __init__(self, times: dict[tuple[str, str], datetime.datetime]) -> None:
        self._times = times

    def of(self, student: str, unit: str) -> datetime.datetime | None:
        """The time, UTC; None where the collector has none. The unit may stand there as 02_attention or attention."""
        words = plain(unit), plain(unit.partition("_")[2])
        return next((found for word in words if (found := self._times.get((composed(student), word)))), None)


def read(path: Path | str | None) -> Clock:
    """The clock in this file, an empty one where there is no file. Raises ClockError."""
    if path is None or not Path(path).is_file():
        return Clock({})
    status = os.stat(path)
    return _read(str(path), status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=2)
def _read(path: str, changed: int, size: int) -> Clock:
    """Read once as long as the file is the same."""
    lines = [line for line in _lines(path) if line.time]
    times = zip(lines, _times(path, lines), strict=True)
    return Clock({(composed(line.student), plain(line.unit)): time for line, time in times})


def note(path: Path, times: Mapping[tuple[str, str], datetime.datetime]) -> None:
    """Add lines for these hand-ins, by student and unit, in the table's own form. Raises ClockError."""
    known = read(path)
    fresh = {key: time for key, time in times.items() if known.of(*key) != time}
    if not fresh:
        return
    text = _text(str(path)) if path.is_file() else "student,unit,timestamp\n"
    separator, places, width = _header(str(path), *_head(text))
    added = io.StringIO()
    for (student, unit), time in sorted(fresh.items()):
        cells = dict(zip(places, (student, unit, f"{time.astimezone(datetime.UTC):%Y-%m-%d %H:%M:%S.%f} UTC")))
        row = [cells.get(place, "") for place in range(width)]
        csv.writer(added, delimiter=separator, lineterminator="\n").writerow(row)
    write_whole(path, f"{text.rstrip()}\n{added.getvalue()}".encode())


def _lines(path: str) -> Iterator[_Line]:
    text = _text(path)
    begins, head = _head(text)
    separator, places, width = _header(path, begins, head)
    rows = csv.reader(io.StringIO("\n".join(text.splitlines()[begins:])), delimiter=separator, strict=True)
    try:
        for row in rows:
            cells, number = [cell.strip() for cell in row], begins + rows.line_num
            if any(cells):
                yield _line(path, number, cells, places, width)
    except csv.Error as error:
        raise ClockError(f"{path}, line {begins + rows.line_num}: expected a table ({error}).") from None


def _head(text: str) -> tuple[int, str]:
    """The number of the header's line, and the line; Excel may have put its separator above it."""
    numbered = enumerate(text.splitlines(), 1)
    return next(((number, line) for number, line in numbered if line.strip() and line[:4] != "sep="), (1, ""))


def _text(path: str) -> str:
    """The file's text: UTF-8, or UTF-16 where it says so, as Excel's Unicode text does."""
    data = Path(path).read_bytes()
    try:
        return data.decode(encoding_of(data))
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ClockError(f"{path}, line {line}: expected text in UTF-8; save the table as CSV in UTF-8.") from None


def _header(path: str, number: int, head: str) -> tuple[str, list[int], int]:
    """The separator, where student, unit and timestamp stand, and how many columns there are."""
    for separator in SEPARATORS:
        names = [plain(cell) for cell in next(csv.reader([head], delimiter=separator), [])]
        places = [_place(names, word) for word in WORDS]
        if None not in places:
            return separator, places, len(names)
    raise ClockError(
        f"{path}, line {number}: expected a header with one column each for student, unit and timestamp, "
        f'got "{shown(head.strip())}".'
    )


def _place(names: list[str], word: str) -> int | None:
    """The column called like that, else the only one that is called alike."""
    places = [index for index, name in enumerate(names) if name in WORDS[word]]
    exact = [index for index in places if names[index] == word]
    found = exact or places
    return found[0] if len(found) == 1 else None


def _line(path: str, number: int, cells: list[str], places: list[int], width: int) -> _Line:
    if len(cells) <= max(places) or any(cells[width:]):
        raise ClockError(f"{path}, line {number}: expected {width} cells as in the header, got {len(cells)}.")
    line = _Line(number, *(cells[place] for place in places))
    if line.time and not (line.student and line.unit):
        raise ClockError(f"{path}, line {number}: expected a student and a unit beside the time, and one is missing.")
    return line


def _times(path: str, lines: list[_Line]) -> list[datetime.datetime]:
    """The times, read with the day first or with the month first: only one of the two may fit."""
    read, problem = [], None
    for day_first in (True, False):
        try:
            read.append([_time(path, line, day_first) for line in lines])
        except ClockError as error:
            problem = problem or error
    if not read:
        raise problem
    for line, *times in zip(lines, *read, strict=True):
        if len(set(times)) > 1:
            days = " or ".join(time.strftime("%Y-%m-%d") for time in times)
            raise ClockError(f'{path}, line {line.number}: {SUCH_AS}, and "{shown(line.time)}" may be {days}.')
    return read[0]


def _time(path: str, line: _Line, day_first: bool) -> datetime.datetime:
    try:
        return time_of(line.time, day_first)
    except (ValueError, OverflowError):
        raise ClockError(f'{path}, line {line.number}: {SUCH_AS}, got "{shown(line.time)}".') from None


def time_of(text: str, day_first: bool = True) -> datetime.datetime:
    """The time that a text says, in UTC. ValueError or OverflowError when it is none, or lacks a part of its date."""
    text = re.sub(r"(?<=\d)\s*Z$|\s+(UTC|GMT)$", " UTC", text.strip())
    text = re.sub(r"\b(UTC|GMT)(?=[+-]\d)", "", text)
    iso = text.removesuffix(" UTC")
    if _ISO.fullmatch(iso):
        try:
            return _in_utc(datetime.datetime.fromisoformat(iso))
        except ValueError:  # an offset after a space, a name of a zone
            pass
    return _in_utc(_parsed(_year_first(text, day_first)))


def _in_utc(time: datetime.datetime) -> datetime.datetime:
    return (time if time.tzinfo else time.replace(tzinfo=datetime.UTC)).astimezone(datetime.UTC)


def _year_first(text: str, day_first: bool) -> str:
    """01.03.2026 and 01/03/2026 as 2026-03-01. With dots the day stands before the month everywhere."""
    found = _YEAR_LAST.search(text)
    if not found:
        return text
    first, separator, second, year = found.groups()
    day, month = (first, second) if day_first or separator == "." else (second, first)
    date = datetime.date(int(year), int(month), int(day)).isoformat()
    return text[: found.start()] + date + text[found.end() :]


def _parsed(text: str) -> datetime.datetime:
    region = re.search(r"\s([A-Za-z_]+/[A-Za-z_/]+)$", text)
    if region:
        return _parsed(text[: region.start()]).replace(tzinfo=_zone(region.group(1), None))
    if not re.search(r"(?<!\d)\d{4}(?!\d)", text):
        raise ValueError("no year of four digits")
    found = {parser.parse(text, default=gap, tzinfos=_zone) for gap in _GAPS}
    if len(found) > 1:
        raise ValueError("a part of the date is missing")
    return found.pop()


def _zone(name: str | None, offset: int | None) -> datetime.tzinfo | None:
    """The zone of that name or offset in seconds; None where neither is given."""
    if offset is not None:
        return tz.tzoffset(None, offset)
    found = tz.gettz(name) if name else None
    if name and found is None:
        raise ValueError(f"no time zone is called {name}")
    return found
