"""The collector's clock: what can be meant one way only is read, everything else is a sentence with its line."""

from __future__ import annotations

import datetime
import re

import pytest

from autograder.classroom import clock
from autograder.classroom.clock import ClockError

UNIT = "02_attention"
WHEN = datetime.datetime(2026, 3, 1, 18, 30, tzinfo=datetime.UTC)
HEAD = "student,unit,timestamp\n"


@pytest.fixture
def table(tmp_path):
    """A function that writes timestamps.csv and reads it."""

    def read(content):
        path = tmp_path / "timestamps.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return clock.read(path)

    return read


@pytest.mark.parametrize(
    "content",
    [
        f"student,unit,timestamp\nada,{UNIT},2026-03-01 18:30:00 UTC\n",
        f"student;unit;timestamp\r\nada;{UNIT};2026-03-01 18:30\r\n",
        f"student\tunit\ttimestamp\nada\t{UNIT}\t2026-03-01T18:30:00Z",
        f"student|unit|timestamp\nada|{UNIT}|2026-03-01T18:30:00Z",
        f"sep=;\n\nUnit;Submitted at;Student ID\n{UNIT};2026-03-01 18:30;ada\n",
        f'"Time","SIS Login ID","Assignment","Points"\n"1 March 2026, 6:30 PM","ada","{UNIT}","3, at most"\n\n',
        f"student,username,unit,timestamp,,\nada,Ada L.,{UNIT},2026-03-01 18:30,,\n,,,,,\n",
        f"student,unit,timestamp\nada,{UNIT},2020-01-01\nada,{UNIT},2026-03-01 18:30\n",
        "student,unit,timestamp\nada,02-Attention,2026-03-01 18:30\n",
        "student,unit,timestamp\nada,attention,2026-03-01 18:30\n",
        f"\ufeffstudent,unit,timestamp\nada,{UNIT},2026-03-01 18:30\nben,{UNIT},\nben,{UNIT}, \n",
        f"student\tunit\ttimestamp\nada\t{UNIT}\t2026-03-01 18:30\n".encode("utf-16"),
    ],
)
def test_tables_of_other_programs(table, content):
    times = table(content)
    assert times.of("ada", UNIT) == WHEN
    assert times.of("ben", UNIT) is None and times.of("ada", "03_tokens") is None


@pytest.mark.parametrize(
    "text",
    [
        "2026-03-01 18:30",
        "2026-03-01T19:30:00+01:00",
        "2026-03-01 19:30:00 +0100",
        "2026-03-01 18:30:00.000000 UTC",
        "2026-03-01 19:30:00 Europe/Berlin",
        "2026-03-01 19:30 CET",
        "2026-03-01 20:30 UTC+2",
        "2026/03/01 18:30",
        "20260301T183000",
        "01.03.2026 18:30",
        "1.3.2026, 18:30:00",
        "Sun, 01 Mar 2026 18:30:00 +0000",
        "Sunday, 1 March 2026, 6:30 PM",
        "Mar 1, 2026 at 6:30pm",
    ],
)
def test_forms_of_one_time(table, text):
    assert table(f'{HEAD}"ada",{UNIT},"{text}"\n').of("ada", UNIT) == WHEN


@pytest.mark.parametrize(("settles", "month"), [("13/03/2026 10:00", 1), ("03/13/2026 10:00", 3)])
def test_a_line_that_can_be_read_one_way_settles_the_others(table, settles, month):
    times = table(f"{HEAD}ada,{UNIT},03/01/2026 18:30\nben,{UNIT},{settles}\n")
    day = {1: 3, 3: 1}[month]
    assert times.of("ada", UNIT) == datetime.datetime(2026, month, day, 18, 30, tzinfo=datetime.UTC)
    assert times.of("ben", UNIT) == datetime.datetime(2026, 3, 13, 10, tzinfo=datetime.UTC)


def test_both_spellings_of_a_name_are_one(table):
    assert table(f"{HEAD}jos\u00e9,{UNIT},2026-03-01 18:30\n").of("jose\u0301", UNIT) == WHEN
    assert table(f"{HEAD}jose\u0301,{UNIT},2026-03-01 18:30\n").of("jos\u00e9", UNIT) == WHEN


@pytest.mark.parametrize(
    ("content", "line", "says"),
    [
        (f"{HEAD}ada,{UNIT},2026-03-01\nben,{UNIT},yesterday\n", 3, 'expected a time such as .*, got "yesterday"'),
        (f"{HEAD}ada,{UNIT},03/01/2026 18:30\n", 2, "may be 2026-01-03 or 2026-03-01"),
        (f"{HEAD}ada,{UNIT},03-04-2026\n", 2, "may be 2026-04-03 or 2026-03-04"),
        (f"{HEAD}ada,{UNIT},13/13/2026\n", 2, "expected a time"),
        (f"{HEAD}\nada,{UNIT},31.02.2026\n", 3, "expected a time"),
        (f"{HEAD}ada,{UNIT},01/02/03\n", 2, "expected a time"),
        (f"{HEAD}ada,{UNIT},March 2026\n", 2, "expected a time"),
        (f"{HEAD}ada,{UNIT},18:30\n", 2, "expected a time"),
        (f"{HEAD}ada,{UNIT},1772389800\n", 2, "expected a time"),
        (f"{HEAD}ada,{UNIT},46082.77\n", 2, "expected a time"),
        (f"{HEAD}ada,{UNIT},2026-03-01 18:30 XYZ\n", 2, "expected a time"),
        (f"{HEAD}ada,{UNIT},2026-13-01\n", 2, "expected a time"),
        (f"{HEAD}ada,{UNIT},2026/13/01 10:00\n", 2, "expected a time"),
        (f"{HEAD}ada,{UNIT}\n", 2, "expected 3 cells as in the header, got 2"),
        (f"{HEAD}Lovelace, Ada,{UNIT},2026-03-01\n", 2, "expected 3 cells as in the header, got 4"),
        (f"{HEAD},{UNIT},2026-03-01\n", 2, "expected a student and a unit"),
        (f'{HEAD}"ada,{UNIT},2026-03-01\n', 2, "expected a table"),
        (f"ada,{UNIT},2026-03-01\n", 1, 'expected a header with one column each .* got "ada,'),
        (f"\nTeilnehmer;Aufgabe;Abgabe\nada;{UNIT};2026-03-01\n", 2, "expected a header"),
        (f"student,unit,date,time\nada,{UNIT},2026-03-01,18:30\n", 1, "expected a header"),
        (f"user,login,unit,time\na,ada,{UNIT},2026-03-01\n", 1, "expected a header"),
        ("", 1, "expected a header"),
        (f"{HEAD}jos\u00e9,{UNIT},2026-03-01\n".encode("latin-1"), 2, "expected text in UTF-8"),
        (b"\x00\x01\x02", 1, "expected a header"),
    ],
)
def test_what_is_not_plain_is_one_sentence_with_the_line(table, content, line, says):
    with pytest.raises(ClockError) as told:
        table(content)
    assert re.fullmatch(rf"\S+timestamps\.csv, line {line}: [^\n]+\.", str(told.value))
    assert re.search(says, str(told.value))


def test_no_table_is_no_time(tmp_path):
    assert clock.read(None).of("ada", UNIT) is clock.read(tmp_path / "timestamps.csv").of("ada", UNIT) is None
