"""Export: what leaves the gradebook is what it holds, marks by hand and penalties included."""

from __future__ import annotations

import csv
import datetime
import io

import pytest

from autograder.classroom import record
from autograder.classroom.class_folder import ClassFolderError
from autograder.classroom.export import FORMATS, export
from sample_class import TOPIC, UNIT, hand_in, judge, released, solved


@pytest.fixture(scope="module")
def classroom(new_class, tmp_path_factory):
    """Ada late and marked by hand, Bob partly right, Cyd unreadable, Dee with an empty folder."""
    classroom = new_class(tmp_path_factory.mktemp("export") / "class")
    with classroom.config_file.open("a") as config:
        config.write('c.LateSubmissionPlugin.penalty_method = "zero"\n')
    classroom.set_due(UNIT, datetime.datetime(2026, 1, 1))
    rows = f"ada,{UNIT},2026-01-05\nbob,{UNIT},2025-12-31 08:30\ncyd,{UNIT},2025-12-31\n"
    classroom.timestamps_file.write_text("student,unit,timestamp\n" + rows)
    hand_in(classroom, "ada", solved(released(classroom), "Because."))
    hand_in(classroom, "bob", solved(released(classroom), "Because."))
    hand_in(classroom, "cyd", b"nothing")
    (classroom.submitted / "dee" / UNIT).mkdir(parents=True)
    judge(classroom, "ada")
    judge(classroom, "bob", double_it=1.0, add_up="held")
    judge(classroom, "cyd")
    assert [each.student for each in classroom.hand_ins(UNIT)] == ["ada", "bob", "cyd"]
    assert record.record(classroom, UNIT) == {}
    with classroom.gradebook() as gradebook:
        gradebook.update_or_create_student("bob", first_name="Bob", last_name="=SUM(A1)")
        for student in ("ada", "bob"):
            grade = gradebook.find_grade("explain-why", TOPIC, UNIT, student)
            grade.manual_score, grade.needs_manual_grade = 1.5, False
        gradebook.db.commit()
    return classroom


def test_csv_has_every_part_of_the_grade(classroom):
    rows = {row["student"]: row for row in csv.DictReader(io.StringIO(export(classroom, UNIT)))}
    assert rows["bob"] == {
        "student": "bob",
        "unit": UNIT,
        "score": "2.5",
        "max_score": "8.0",
        "late_penalty": "0.0",
        "automatic": "1.0",
        "manual": "1.5",
        "manual_max": "2.0",
        "extra": "0.0",
        "to_mark": "1",
        "submitted": "2025-12-31 08:30:00",
    }
    assert (rows["ada"]["score"], rows["ada"]["late_penalty"], rows["ada"]["manual"]) == ("0.0", "7.5", "1.5")
    assert (rows["cyd"]["score"], rows["cyd"]["submitted"]) == ("0.0", "2025-12-31 00:00:00")


def test_who_handed_in_nothing_has_no_score_at_all(classroom):
    """Dee has an empty folder, Eve not even that: she is in the gradebook only."""
    with classroom.gradebook() as gradebook:
        gradebook.update_or_create_student("eve")
    rows = {row["student"]: row for row in csv.DictReader(io.StringIO(export(classroom, UNIT)))}
    for student in ("dee", "eve"):
        told = {name: value for name, value in rows[student].items() if value}
        assert told == {"student": student, "unit": UNIT, "max_score": "8.0", "manual_max": "2.0"}
    for format, who, place in (("moodle", 0, 1), ("canvas", 3, 5)):
        table = csv.reader(io.StringIO(export(classroom, UNIT, format)))
        scores = {line[who]: line[place] for line in table}
        assert (scores["dee"], scores["eve"], scores["cyd"]) == ("", "", "0.0")
    with classroom.gradebook() as gradebook:
        gradebook.remove_student("eve")


def test_canvas_and_moodle_have_a_column_per_unit(classroom):
    canvas = list(csv.reader(io.StringIO(export(classroom, format="canvas"))))
    assert canvas[0] == ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", UNIT]
    assert canvas[1] == ["    Points Possible", "", "", "", "", "8.0"]
    assert canvas[3] == [" =SUM(A1), Bob", "", "", "bob", "", "2.5"]
    moodle = list(csv.reader(io.StringIO(export(classroom, format="moodle"))))
    assert moodle == [["username", UNIT], ["ada", "0.0"], ["bob", "2.5"], ["cyd", "0.0"], ["dee", ""]]


def test_unknown_formats_and_units_are_a_sentence(classroom):
    with pytest.raises(ClassFolderError, match="expected one of csv, canvas, moodle"):
        export(classroom, UNIT, "excel")
    with pytest.raises(ClassFolderError, match="not set up"):
        export(classroom, "99_none")
    assert FORMATS == ("csv", "canvas", "moodle")
