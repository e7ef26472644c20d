"""An optional exercise, from its author's word to the exported grade: judged, named, paid on top, never in the maximum.

The unit is tests/units/91_extra: 3 and 1 points that count, 2 that are optional, 2 by hand. The class is graded by the
real command and the real judge, without walls: the hand-ins are our own.
"""

from __future__ import annotations

import contextlib
import csv
import datetime
import functools
import io
import json
import shutil
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import nbformat
import pytest
import synthetic
from rich.console import Console
from test_formgrader import TOKEN, serving

from autograder import commands
from autograder.authoring import build
from autograder.authoring.unit import Unit
from autograder.classroom import grade, record, report, sample, scores
from autograder.classroom.class_folder import ClassFolder, ClassFolderError
from autograder.classroom.export import export
from autograder.judging.judge import judge
from autograder.proof.gates import run_gates
from course.checking import cases
from course.command_line import cli, lab

UNIT, TOPIC, OPTIONAL = "91_extra", "extra", "third_of_it"
FOLDER = synthetic.UNITS / UNIT
WRONG = "def third_of_it(x):\n    return x.clamp(min=0) / 3"
STUB = 'def {0}(x):\n    raise NotImplementedError("write {0} here")'
HAND_INS = {
    "ada": {},
    "ben": {OPTIONAL: STUB.format(OPTIONAL)},
    "cyd": {OPTIONAL: WRONG},
    "dan": {name: STUB.format(name) for name in ("halve_it", "quarter_of_it")},
}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    root = tmp_path_factory.mktemp("extra-built")
    build.build(Unit.load(FOLDER), root)
    return root


@contextlib.contextmanager
def judging(built):
    """In here `course grade` judges this unit in threads of this process."""
    with pytest.MonkeyPatch.context() as patch:
        synthetic.use(built, patch)
        synthetic.use_for_the_command(patch)
        patch.setattr(commands, "_units", lambda word: [Unit.load(FOLDER)])
        patch.setattr(grade, "local_executor", lambda jobs: ThreadPoolExecutor(1))
        patch.setattr(grade, "start_early", lambda: None)
        patch.setattr(grade, "judge", functools.partial(judge, kind="none"))
        yield patch
    grade.rules_for.cache_clear()


def hand_in(classroom, built, student, answers):
    notebook = nbformat.read(built / "solutions" / UNIT / f"{TOPIC}.ipynb", as_version=4)
    for cell in notebook.cells:
        cell.source = answers.get(cell.metadata.get("nbgrader", {}).get("grade_id"), cell.source)
    folder = classroom.submitted / student / UNIT
    folder.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, folder / f"{TOPIC}.ipynb")


@pytest.fixture(scope="module")
def graded(built, tmp_path_factory):
    """The class, and what `course grade` printed of it."""
    classroom = ClassFolder(tmp_path_factory.mktemp("extra") / "class")
    for student, answers in HAND_INS.items():
        hand_in(classroom, built, student, answers)
    (classroom.submitted / "eve" / UNIT).mkdir(parents=True)
    (classroom.submitted / "eve" / UNIT / f"{TOPIC}.ipynb").write_text("")
    said = io.StringIO()
    with judging(built), contextlib.redirect_stdout(said):
        assert cli.run(["grade", UNIT, "--class", str(classroom.root), "--json", str(classroom.root / "all.json")]) == 0
    return classroom, said.getvalue()


@pytest.fixture
def classroom(graded, tmp_path):
    """A copy of the class to change."""
    return ClassFolder(shutil.copytree(graded[0].root, tmp_path / "class"))


def grades(classroom, student):
    """{cell: (automatic, by hand, extra, waits)}, score and maximum of the hand-in."""
    with classroom.gradebook() as gradebook:
        notebook = gradebook.find_submission_notebook(TOPIC, UNIT, student)
        rows = {
            g.name.removeprefix("check-"): (g.auto_score, g.manual_score, g.extra_credit, g.needs_manual_grade)
            for g in notebook.grades
        }
        return rows, notebook.score, notebook.max_score


def mark(classroom, student, **given):
    """What formgrader does when a person types into the boxes of the optional check cell."""
    with classroom.gradebook() as gradebook:
        cell = gradebook.find_grade(f"check-{OPTIONAL}", TOPIC, UNIT, student)
        for name, points in given.items():
            setattr(cell, name, points)
        cell.needs_manual_grade = cell.manual_score is None and cell.auto_score is None
        gradebook.db.commit()


def judged_as(classroom, student, score, state="partial"):
    """As if the judge had said something else about the optional exercise; recorded."""
    verdict = classroom.read_verdict(UNIT, student)
    (row,) = (e for e in verdict.exercises if e.name == OPTIONAL)
    row.score, row.state = score, state
    verdict.check_version += "x"
    classroom.write_verdict(verdict.add_up())
    assert record.record(classroom, UNIT) == {}


# The author's side


def test_the_check_cell_is_worth_nothing_to_nbgrader_and_has_no_hidden_test(built):
    for path in ("assignments/91_extra/extra.ipynb", "build/nbgrader/source/91_extra/extra.ipynb"):
        cells = {c.id: c for c in nbformat.read(built / path, as_version=4).cells}
        cell = cells[f"check-{OPTIONAL}"]
        assert (cell.metadata.nbgrader.points, cell.metadata.course) == (0, {"optional": 2})
        assert cell.source == 'check("third_of_it")' and "course" not in cells["check-halve_it"].metadata
    recorded = cases.load(built / "assignments" / UNIT / "cases.npz")
    assert {name: check.optional for name, check in recorded.checks.items()} == {
        "halve_it": False, OPTIONAL: True, "quarter_of_it": False
    }  # fmt: skip
    assert (recorded.max_score, recorded.check(OPTIONAL).points) == (4, 2)


def test_the_gates_hold_for_an_optional_exercise_as_for_any_other():
    rows = run_gates(FOLDER, OPTIONAL)
    assert [row.says for row in rows if not row.holds] == [] and {row.max_score for row in rows} == {1, 2}
    assert {"solution", "stub", "fresh", "wrong", "right", "precision"} == {row.kind for row in rows}


# The learner's side


@pytest.fixture
def learner(built, tmp_path, monkeypatch):
    """A course of this one unit, entered."""
    shutil.copytree(built / "assignments", tmp_path / "assignments")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli.metadata, "entry_points", lambda group: [])
    return tmp_path


@pytest.mark.parametrize(
    ("student", "code", "score", "extra"), [("ada", 0, 4, 2), ("ben", 0, 4, 0), ("cyd", 0, 4, 1), ("dan", 1, 0, 2)]
)
def test_course_check_goes_by_what_counts(learner, graded, capsys, student, code, score, extra):
    path = str(graded[0].submitted / student / UNIT / f"{TOPIC}.ipynb")
    assert cli.run(["check", path, "--json"]) == code
    told = json.loads(capsys.readouterr().out)
    assert (told["score"], told["max_score"], told["extra"], told["manual_max"]) == (score, 4, extra, 2)
    assert [row["optional"] for row in told["exercises"]] == [False, True, False]


def test_table_list_and_progress_say_optional(learner, graded, capsys):
    unit = lab.find_unit(learner, UNIT)
    mine, _ = lab.make_working_copy(unit)
    shutil.copy(graded[0].submitted / "cyd" / UNIT / f"{TOPIC}.ipynb", mine)
    assert cli.run(["check", UNIT]) == 0
    said = capsys.readouterr().out
    assert "1 of 2, optional" in said and "4 of 4 points, 1 extra; 2 more are given by a person" in said
    assert "Negative numbers became zero" in said
    assert cli.run(["list"]) == 0
    said = capsys.readouterr().out
    assert "2, optional" in said and "4 + 2 by hand + 2 optional" in said
    assert cli.run(["progress"]) == 0
    said = capsys.readouterr().out
    assert "4 of 4, 1 extra" in said and "2 of 2" in said and OPTIONAL not in said


def test_the_card_says_optional(built):
    recorded = cases.load(built / "assignments" / UNIT / "cases.npz")
    namespace = {}
    exec("import torch\n" + WRONG, namespace)
    from course.checking import card
    from course.checking.subject import LocalSubject

    verdict = cases.play(recorded.check(OPTIONAL), LocalSubject(namespace, OPTIONAL))
    assert "1 of 2 points, optional" in card.text(verdict) and "1 of 2 points, optional" in card.html(verdict)
    assert max(map(len, card.text(verdict).splitlines())) <= 78 and "optional" not in card.text(
        cases.play(recorded.check("halve_it"), LocalSubject({}, "halve_it"))
    )


# The class


def test_verdicts_keep_what_counts_and_what_comes_on_top_apart(graded):
    found = {v.student: (v.score, v.max_score, v.extra) for v in graded[0].all_verdicts(UNIT)}
    assert found == {"ada": (4, 4, 2), "ben": (4, 4, 0), "cyd": (4, 4, 1), "dan": (0, 4, 2), "eve": (0, 4, 0)}
    (cyd,) = (e for e in graded[0].read_verdict(UNIT, "cyd").exercises if e.optional)
    assert cyd.misconception.name == "positive_only"
    assert all(e.optional == (e.name == OPTIONAL) for e in graded[0].read_verdict(UNIT, "eve").exercises)


def test_the_gradebook_has_it_as_extra_credit(graded):
    rows, score, max_score = grades(graded[0], "ada")
    assert rows[OPTIONAL] == (0.0, None, 2.0, False) and (score, max_score) == (6, 6)
    assert rows["halve_it"] == (3.0, None, None, False)
    found = {student: grades(graded[0], student)[1] for student in ("ben", "cyd", "dan", "eve")}
    assert found == {"ben": 4, "cyd": 5, "dan": 2, "eve": 0}


def test_the_terminal_has_a_column_for_it(graded):
    lines = [line.split() for line in graded[1].splitlines()]
    assert ["ada", "3", "2", "1", "4", "2"] in lines and ["ben", "3", "-", "1", "4", "0"] in lines
    assert "2 third_of_it (2, optional)" in graded[1] and "of 4 points, 60 % full marks" in graded[1]
    hardest = next(line for line in graded[1].splitlines() if line.startswith("hardest"))
    assert "halve_it" in hardest and OPTIONAL not in hardest


def test_the_report_says_optional_and_shows_the_points_on_top(graded):
    page = (graded[0].report / f"{UNIT}.html").read_text()
    assert "<code>third_of_it</code> optional" in page and "<code>halve_it</code> optional" not in page
    assert "<b>1</b> points more from optional exercises" in page and "<th>extra</th>" in page
    plain = report.render("x", [v for v in graded[0].all_verdicts(UNIT) if v.exercises.pop(1)], report.Marking())
    assert "<th>extra</th>" not in plain and "optional" not in plain


def test_the_feedback_page_has_it_in_the_score_and_on_the_card(classroom):
    assert record.generate_feedback(classroom, UNIT, ["ada"]) == {}
    page = " ".join((classroom.feedback / "ada" / UNIT / f"{TOPIC}.html").read_text().split())
    assert "2 of 2 points, optional" in page and "(Score: 6.0 / 6.0)" in page and "(Score: 2.0 / 0.0)" in page


def test_exports_count_it_in_the_score_and_not_in_the_maximum(classroom):
    rows = {row["student"]: row for row in csv.DictReader(io.StringIO(export(classroom, UNIT)))}
    told = {name: [float(row[key]) for key in ("score", "automatic", "extra")] for name, row in rows.items()}
    assert told == {"ada": [6, 4, 2], "ben": [4, 4, 0], "cyd": [5, 4, 1], "dan": [2, 0, 2], "eve": [0, 0, 0]}
    assert {row["max_score"] for row in rows.values()} == {"6.0"}
    canvas = list(csv.reader(io.StringIO(export(classroom, format="canvas"))))
    assert canvas[1][-1] == "6.0" and [row[-1] for row in canvas[2:]] == ["6.0", "4.0", "5.0", "2.0", "0.0"]
    assert ["ada", "6.0"] in list(csv.reader(io.StringIO(export(classroom, format="moodle"))))


def test_a_late_penalty_takes_the_points_on_top_too(classroom):
    with classroom.config_file.open("a") as config:
        config.write('c.LateSubmissionPlugin.penalty_method = "zero"\n')
    classroom.set_due(UNIT, datetime.datetime(2020, 1, 1))
    rows = {row["student"]: row for row in csv.DictReader(io.StringIO(export(classroom, UNIT)))}
    assert (rows["ada"]["score"], rows["ada"]["late_penalty"], rows["ada"]["extra"]) == ("0.0", "6.0", "2.0")


# What a person typed


def extra_of(classroom, student):
    return grades(classroom, student)[0][OPTIONAL][2]


def test_a_regrade_follows_the_judge_where_nobody_wrote_anything(classroom):
    judged_as(classroom, "ada", 1.0)
    assert (extra_of(classroom, "ada"), grades(classroom, "ada")[1]) == (1.0, 5)
    judged_as(classroom, "ada", 0.0, "failed")
    assert (extra_of(classroom, "ada"), grades(classroom, "ada")[1]) == (None, 4)
    judged_as(classroom, "ada", 99.0)
    assert extra_of(classroom, "ada") == 2.0  # never more than the release says


@pytest.mark.parametrize("typed", [3.0, 1.5, 0.0, None])
def test_what_a_person_wrote_stays_on_every_regrade(classroom, typed):
    mark(classroom, "ada", extra_credit=typed)
    for score in (1.0, 2.0, 0.0):
        judged_as(classroom, "ada", score)
        assert extra_of(classroom, "ada") == typed
    assert grades(classroom, "ada")[1] == 4 + (typed or 0)


def test_a_mark_in_the_other_box_keeps_both(classroom):
    mark(classroom, "ada", manual_score=0.0)
    judged_as(classroom, "ada", 1.0)
    assert grades(classroom, "ada")[0][OPTIONAL] == (0.0, 0.0, 1.0, False) and grades(classroom, "ada")[1] == 5


def test_another_hand_in_has_the_judges_points_again_and_a_comment(classroom, built):
    mark(classroom, "ada", extra_credit=3.0)
    hand_in(classroom, built, "ada", {OPTIONAL: WRONG})
    with judging(built):
        assert cli.run(["grade", UNIT, "--class", str(classroom.root)]) == 0
    assert extra_of(classroom, "ada") == 1.0
    with classroom.gradebook() as gradebook:
        comment = gradebook.find_comment(OPTIONAL, TOPIC, UNIT, "ada").comment
    assert comment == "A grade by hand (3) was for an earlier hand-in."


def test_a_held_optional_exercise_waits_until_a_person_writes_its_points(classroom):
    judged_as(classroom, "ada", 0.0, "held")
    assert grades(classroom, "ada")[0][OPTIONAL] == (0.0, None, None, True)
    mark(classroom, "ada", extra_credit=0.0)
    assert grades(classroom, "ada")[0][OPTIONAL] == (0.0, None, 0.0, False)
    mark(classroom, "ada", extra_credit=2.0)
    judged_as(classroom, "ada", 0.0, "held")
    assert grades(classroom, "ada")[0][OPTIONAL] == (0.0, None, 2.0, False) and grades(classroom, "ada")[1] == 6


def test_extra_credit_of_an_exercise_that_counts_is_a_persons_alone(classroom):
    with classroom.gradebook() as gradebook:
        gradebook.find_grade("check-halve_it", TOPIC, UNIT, "ada").extra_credit = 1.0
        gradebook.db.commit()
    judged_as(classroom, "ada", 1.0)
    assert grades(classroom, "ada")[0]["halve_it"][2] == 1.0 and grades(classroom, "ada")[1] == 6


def test_the_change_is_said_once_and_counts_both(classroom):
    verdict = classroom.read_verdict(UNIT, "ada")
    verdict.exercises[1].score, verdict.check_version = 1.0, "newer"
    classroom.write_verdict(verdict.add_up())
    assert [str(c) for c in record.score_changes(classroom, UNIT, HAND_INS)] == ["ada: 6 -> 5, the checks changed"]
    assert record.record(classroom, UNIT) == {} and record.score_changes(classroom, UNIT, HAND_INS) == []


def test_a_submission_made_anew_has_the_judges_points(classroom):
    with classroom.gradebook() as gradebook:
        gradebook.remove_submission(UNIT, "ada")
    judged_as(classroom, "ada", 1.0)
    assert extra_of(classroom, "ada") == 1.0


def test_an_exercise_may_become_optional_and_back(classroom, built, tmp_path):
    """The class is set up anew with the other unit; nobody keeps points that another kind of cell gave."""
    folder = tmp_path / "units" / UNIT
    shutil.copytree(FOLDER, folder)
    text = (folder / "notebook.py").read_text()
    (folder / "notebook.py").write_text(text.replace(" optional=true", ""))
    build.build(Unit.load(folder), tmp_path / "out")
    for root, optional in ((tmp_path / "out", False), (built, True)):
        source, released = root / "build" / "nbgrader" / "source" / UNIT, root / "assignments" / UNIT
        assert classroom.set_up(UNIT, source, released)
        verdict = classroom.read_verdict(UNIT, "ada")
        verdict.exercises[1].optional, verdict.max_score = optional, 4 if optional else 6
        classroom.write_verdict(verdict.add_up())
        assert record.record(classroom, UNIT, ["ada"]) == {}
        row, (_, score, most) = grades(classroom, "ada")[0][OPTIONAL], grades(classroom, "ada")
        assert (row[0], row[2], score, most) == ((0.0, 2.0, 6, 6) if optional else (2.0, None, 6, 8))


def test_an_exercise_taken_out_and_put_back_is_paid_again(classroom, built):
    with classroom.gradebook() as gradebook:
        assert scores.extra_written(gradebook, UNIT)["ada", f"check-{OPTIONAL}"] == 2.0
    source, released = built / "build" / "nbgrader" / "source" / UNIT, built / "assignments" / UNIT
    assert classroom.set_up(UNIT, without_it(source / f"{TOPIC}.ipynb", classroom.root.parent / "less"))
    assert classroom.set_up(UNIT, source, released)
    judged_as(classroom, "ada", 1.0)
    assert extra_of(classroom, "ada") == 1.0


# formgrader itself


def test_formgraders_own_answer_keeps_a_persons_number_and_knows_the_judges(classroom, tmp_path):
    """Through the real server: what its page sends when a box changes, numbers as words."""
    judged_as(classroom, "cyd", 1.3333)
    with serving(classroom, tmp_path) as address:
        ask = functools.partial(formgrader, address)
        (cell,) = (c for c in ask(f"grades?submission_id={submission(classroom, 'cyd')}") if OPTIONAL in c["name"])
        assert (cell["extra_credit"], cell["max_score"], cell["failed_tests"]) == (1.3333, 0, False)
        ask(f"grade/{cell['id']}", cell | {"extra_credit": "1.3333"})
        judged_as(classroom, "cyd", 2.0)
        assert extra_of(classroom, "cyd") == 2.0
        ask(f"grade/{cell['id']}", cell | {"extra_credit": "2.5"})
        judged_as(classroom, "cyd", 1.0)
        assert extra_of(classroom, "cyd") == 2.5
        (told,) = (s for s in ask(f"submissions/{UNIT}") if s["student"] == "cyd")
        assert (told["score"], told["max_score"]) == (6.5, 6)


def formgrader(address, path, body=None):
    """Ask formgrader's API, or tell it."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{address}/formgrader/api/{path}", data, method="PUT" if data else "GET")
    request.add_header("Authorization", f"token {TOKEN}")
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read())


def submission(classroom, student):
    with classroom.gradebook() as gradebook:
        return gradebook.find_submission_notebook(TOPIC, UNIT, student).id


def test_an_exercise_with_a_persons_points_on_top_can_not_be_taken_out(classroom, built):
    source = built / "build" / "nbgrader" / "source" / UNIT / f"{TOPIC}.ipynb"
    mark(classroom, "ada", extra_credit=3.0)
    with pytest.raises(ClassFolderError, match="check-third_of_it was taken out .* 1 hand-ins have a grade by hand"):
        classroom.set_up(UNIT, without_it(source, classroom.root.parent / "less"))
    assert extra_of(classroom, "ada") == 3.0


def without_it(source, folder):
    """The unit's source without the optional exercise."""
    notebook = nbformat.read(source, as_version=4)
    notebook.cells = [cell for cell in notebook.cells if OPTIONAL not in cell.id]
    folder.mkdir()
    nbformat.write(notebook, folder / source.name)
    return folder


# The sample class


ANSWERS = """
about = "Takes a third of positive numbers only, and halves nothing."
[[hand_in]]
unit = "91_extra"
[[hand_in.write]]
exercise = "third_of_it"
misconception = "positive_only"
[[hand_in.write]]
exercise = "halve_it"
misconception = "doubles"
[hand_in.expect]
all_but = 3
scores = { third_of_it = 1, halve_it = 0 }
"""


def test_an_answer_file_counts_optional_points_on_top(tmp_path):
    (tmp_path / "zoe.toml").write_text(ANSWERS)
    (expected,) = sample.expectations(tmp_path, synthetic.UNITS).values()
    assert (expected.total, expected.extra, expected.scores[OPTIONAL]) == (1, 1, 1)


def test_the_table_is_wide_enough_for_one_column_more():
    from autograder.classroom import table
    from course.checking.verdict import ExerciseVerdict, Verdict

    worth = {f"e{n}": cases.CheckCases(f"e{n}", 9, "function", [], [], optional=n == 3) for n in range(30)}
    rows = [ExerciseVerdict(name, 8.2, 9, "partial", optional=check.optional) for name, check in worth.items()]
    console = Console(width=table.width(30), color_system=None, file=io.StringIO())
    console.print(table.render([Verdict(student="a" * 30, exercises=rows).add_up()], worth))
    (line,) = (line.split() for line in console.file.getvalue().splitlines() if line.startswith(" aaa"))
    assert line[1:] == ["8.2"] * 30 + ["237.8", "8.2"]
