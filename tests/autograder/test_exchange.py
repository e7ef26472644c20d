"""nbgrader's own ways to hand notebooks out and in: everything they bring is graded, with the right time."""

from __future__ import annotations

import datetime
import json
import shutil
import subprocess
import sys
import zipfile

import pytest
from nbgrader.apps.api import NbGraderAPI

from autograder.classroom import clock
from sample_class import TOPIC, UNIT, hand_in, released, solved, take_in

WHEN = datetime.datetime(2026, 3, 1, 18, tzinfo=datetime.UTC)
STAMP = "%Y-%m-%d %H:%M:%S.%f UTC"


@pytest.fixture
def classroom(new_class, tmp_path):
    """A class with an exchange."""
    made = new_class(tmp_path / "class")
    (tmp_path / "exchange").mkdir()
    with made.config_file.open("a") as config:
        config.write(f'c.Exchange.root = {str(tmp_path / "exchange")!r}\nc.CourseDirectory.course_id = "abc"\n')
    return made


def api(classroom):
    return NbGraderAPI(coursedir=classroom.coursedir(UNIT), config=classroom.config())


def submit(classroom, student, when=WHEN, answer="Because."):
    """What `nbgrader submit` leaves in the exchange."""
    stamp = when.strftime(STAMP)
    folder = classroom.root.parent / "exchange" / "abc" / "inbound" / f"{student}+{UNIT}+{stamp}+c2VjcmV0"
    folder.mkdir(parents=True)
    (folder / f"{TOPIC}.ipynb").write_text(json.dumps(solved(released(classroom), answer)))
    (folder / "timestamp.txt").write_text(stamp)
    (folder / "submission_secret.txt").write_text("0" * 128)


def test_what_is_released_through_the_exchange_has_the_numbers_of_the_checks(classroom):
    result = api(classroom).release_assignment(UNIT)
    assert result["success"], result
    out = classroom.root.parent / "exchange" / "abc" / "outbound" / UNIT
    assert sorted(path.name for path in out.iterdir()) == ["cases.npz", f"{TOPIC}.ipynb"]
    assert (out / "cases.npz").read_bytes() == b"numbers"


def test_what_is_collected_from_the_exchange_is_graded_with_its_time(classroom):
    hand_in(classroom, "zoe", solved(released(classroom)))  # came another way
    classroom.timestamps_file.write_text(f"student;unit;timestamp\nzoe;{UNIT};2026-02-01\n")
    for student in ("ada", "ben"):
        submit(classroom, student)
    course = api(classroom)
    course.release_assignment(UNIT)
    result = course.collect(UNIT)
    assert result["success"], result
    assert [each.student for each in classroom.hand_ins(UNIT)] == ["ada", "ben", "zoe"]
    assert classroom.not_graded(UNIT) == [] and list(classroom.canonical.iterdir()) == []
    taken = take_in(classroom, "ada")
    assert taken.notebook is not None and taken.notes == [] and taken.timestamp == WHEN
    assert take_in(classroom, "zoe").timestamp == datetime.datetime(2026, 2, 1, tzinfo=datetime.UTC)
    assert course.coursedir.submitted_directory == "canonical"  # formgrader goes on with it


def test_a_newer_hand_in_is_collected_with_its_own_time_and_an_older_one_changes_nothing(classroom):
    course = api(classroom)
    course.release_assignment(UNIT)
    submit(classroom, "ada")
    assert course.collect(UNIT)["success"]
    submit(classroom, "ada", WHEN + datetime.timedelta(days=1), "Another answer.")
    assert course.collect(UNIT, update=False)["success"]
    assert take_in(classroom, "ada").timestamp == WHEN
    assert course.collect(UNIT)["success"]
    assert take_in(classroom, "ada").timestamp == WHEN + datetime.timedelta(days=1)
    assert "Another answer." in str(take_in(classroom, "ada").notebook)


def test_settings_come_back_when_nothing_can_be_collected(classroom, monkeypatch):
    course = api(classroom)
    course.release_assignment(UNIT)
    submit(classroom, "ada")
    monkeypatch.setattr(shutil, "copytree", lambda *a, **more: 1 / 0)
    assert not course.collect(UNIT)["success"]
    assert course.coursedir.submitted_directory == "canonical" and not classroom.timestamps_file.exists()


def test_what_zip_collect_brings_is_graded_with_the_time_in_its_name(classroom):
    """As an LMS packs them: one archive, the student, the time and the name of the file in each name."""
    archive = classroom.root / "downloaded" / UNIT / "archive"
    archive.mkdir(parents=True)
    notebook = json.dumps(solved(released(classroom), "Because."))
    with zipfile.ZipFile(archive / "all.zip", "w") as packed:
        packed.writestr(f"ada_20260301T1800_{TOPIC}.ipynb", notebook)
        packed.writestr(f"ben_20260302T0930_my {TOPIC}.ipynb", notebook)
    with classroom.config_file.open("a") as config:
        pattern = r".*/(?P<student_id>[^/_]+)_(?P<timestamp>[0-9T]+)_(?P<file_id>[^/]+)"
        config.write(f"c.FileNameCollectorPlugin.named_regexp = {pattern!r}\n")
    command = [sys.executable, "-m", "nbgrader", "zip_collect", UNIT]
    done = subprocess.run(command, cwd=classroom.root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert [each.student for each in classroom.hand_ins(UNIT)] == ["ada", "ben"]
    assert list(classroom.canonical.iterdir()) == []
    taken = take_in(classroom, "ben", zip_collected=True)
    assert taken.timestamp == datetime.datetime(2026, 3, 2, 9, 30, tzinfo=datetime.UTC)
    assert taken.notebook is not None and f'was called "my {TOPIC}.ipynb"' in taken.notes[0]
    assert take_in(classroom, "ada", zip_collected=True).timestamp == WHEN


@pytest.mark.parametrize("zip_collected", [False, True])
@pytest.mark.parametrize("said", ["2001-01-01 00:00:00 UTC", "soon", None])
def test_a_time_beside_the_notebook_is_believed_after_zip_collect_only(classroom, said, zip_collected):
    folder = hand_in(classroom, "ada", solved(released(classroom)))
    if said is not None:
        (folder / "timestamp.txt").write_text(said)
    taken = take_in(classroom, "ada", zip_collected=zip_collected)
    assert (taken.timestamp.year == 2001) == (zip_collected and said == "2001-01-01 00:00:00 UTC")


def test_times_are_noted_in_the_form_the_table_has(tmp_path):
    path = tmp_path / "timestamps.csv"
    path.write_text("sep=;\nUnit;Points;Student ID;Time\n02_attention;3;zoe;01.02.2026\n")
    times = {("o;neil", "02_attention"): WHEN, ("zoe", "03_tokens"): WHEN}
    clock.note(path, times)
    assert path.read_text().splitlines()[3:] == [
        '02_attention;;"o;neil";2026-03-01 18:00:00.000000 UTC',
        "03_tokens;;zoe;2026-03-01 18:00:00.000000 UTC",
    ]
    before = path.read_text()
    clock.note(path, times)
    assert path.read_text() == before
    assert clock.read(path).of("zoe", "02_attention") == datetime.datetime(2026, 2, 1, tzinfo=datetime.UTC)
