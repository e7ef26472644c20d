"""Class folder and record: verdicts into nbgrader's database and pages, whole or not at all."""

from __future__ import annotations

import datetime
import html.parser
import json
import os
import re
import shutil
import signal
import sys
import time
from pathlib import Path

import nbformat
import nbgrader.api
import pytest
from nbformat.v4 import new_code_cell
from nbgrader.apps.api import NbGraderAPI
from sqlalchemy import text

from autograder.classroom import record, scores
from autograder.classroom.class_folder import ClassFolder, ClassFolderError, ClassLocked, name_problem
from sample_class import (
    SOLVED,
    TOPIC,
    UNIT,
    hand_in,
    judge,
    released,
    solved,
    source_notebook,
    take_in,
)

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def made(new_class, tmp_path_factory):
    """A class with four hand-ins, not judged."""
    classroom = new_class(tmp_path_factory.mktemp("record") / "class")
    release = released(classroom)
    hand_in(classroom, "ada", solved(release, "Because <b>linear</b> <script>alert(1)</script>"))
    hand_in(classroom, "bob", solved(release))
    hand_in(classroom, "cyd", solved(release, "It just does."))
    hand_in(classroom, "dan", b"not a notebook")
    return classroom


@pytest.fixture
def classroom(made, tmp_path):
    """A fresh copy of it."""
    shutil.copytree(made.root, tmp_path / "class")
    return ClassFolder(tmp_path / "class")


@pytest.fixture
def recorded(classroom):
    judge(classroom, "ada")
    judge(classroom, "bob", double_it=1.5)
    judge(classroom, "cyd", add_up="held")
    judge(classroom, "dan")
    assert record.record(classroom, UNIT) == {}
    return classroom


def grades(classroom, student):
    """{cell: (automatic, by hand, waits)}"""
    with classroom.gradebook() as gradebook:
        notebook = gradebook.find_submission_notebook(TOPIC, UNIT, student)
        return {g.name: (g.auto_score, g.manual_score, g.needs_manual_grade) for g in notebook.grades}


def comments(classroom, student):
    with classroom.gradebook() as gradebook:
        notebook = gradebook.find_submission_notebook(TOPIC, UNIT, student)
        return {c.name: c.comment for c in notebook.comments if c.comment}


def mark(classroom, student, cell, score, comment=None):
    """What formgrader does when a person types a score."""
    with classroom.gradebook() as gradebook:
        grade = gradebook.find_grade(cell, TOPIC, UNIT, student)
        grade.manual_score, grade.needs_manual_grade = score, False
        if comment:
            gradebook.find_comment(cell, TOPIC, UNIT, student).manual_comment = comment
        gradebook.db.commit()


def everything(classroom):
    """The gradebook's content without the random ids."""
    state = {}
    with classroom.gradebook() as gradebook:
        for submission in gradebook.assignment_submissions(UNIT):
            student = submission.student.id
            rows = [(n.name, n.late_submission_penalty, n.score, n.max_score) for n in submission.notebooks]
            state[student] = (str(submission.timestamp), rows)
        ours = gradebook.db.execute(text("SELECT * FROM course_verdict ORDER BY student")).all()
    state |= {f"{s} grades": grades(classroom, s) | comments(classroom, s) for s in list(state)}
    pages = {str(p.relative_to(classroom.root)): p.read_text() for p in classroom.autograded.glob("*/*/*.ipynb")}
    return state | {"verdicts": [tuple(row) for row in ours], "pages": pages}


# Scores


def test_scores_held_exercises_and_unreadable_notebooks(recorded):
    assert grades(recorded, "ada") == {
        "check-double_it": (3.0, None, False),
        "check-add_up": (3.0, None, False),
        "explain-why": (None, None, True),
    }
    assert grades(recorded, "bob")["check-double_it"] == (1.5, None, False)
    assert grades(recorded, "bob")["explain-why"] == (0.0, None, False)  # left blank
    assert grades(recorded, "cyd")["check-add_up"] == (None, None, True)
    assert set(grades(recorded, "dan").values()) == {(0.0, None, False)}
    assert "not valid JSON" in comments(recorded, "dan")["explain-why"]


def test_nothing_is_recorded_twice(recorded):
    seen = []
    record.record(recorded, UNIT, on_done=lambda student, problem: seen.append(student))
    assert seen == []
    verdict = recorded.read_verdict(UNIT, "bob")
    verdict.seconds = 99.0
    recorded.write_verdict(verdict)
    judge(recorded, "ada", version="v2")  # the same verdict of other checks
    judge(recorded, "cyd", version="v2", double_it=1.0, add_up="held")
    record.record(recorded, UNIT, on_done=lambda student, problem: seen.append((student, problem)))
    assert seen == [("cyd", "")]


def test_a_corrected_clock_is_recorded(recorded):
    recorded.timestamps_file.write_text(f"student,unit,timestamp\nbob,{UNIT},2026-01-01\n")
    take_in(recorded, "bob")
    seen = []
    record.record(recorded, UNIT, on_done=lambda student, problem: seen.append(student))
    assert seen == ["bob"]
    with recorded.gradebook() as gradebook:
        assert gradebook.find_submission(UNIT, "bob").timestamp == datetime.datetime(2026, 1, 1)


def test_a_regrade_resets_scores_and_keeps_marks_and_comments(recorded):
    mark(recorded, "ada", "explain-why", 1.5, "Nice.")
    mark(recorded, "cyd", "check-add_up", 2.0)
    judge(recorded, "ada", version="v2", double_it=0.0)
    judge(recorded, "cyd", version="v2", add_up="held")
    record.record(recorded, UNIT)
    assert grades(recorded, "ada")["check-double_it"] == (0.0, None, False)
    assert grades(recorded, "ada")["explain-why"] == (None, 1.5, False)
    assert comments(recorded, "ada")["explain-why"] == "Nice."
    assert grades(recorded, "cyd")["check-add_up"] == (None, 2.0, False)


@pytest.mark.parametrize(("then", "mark_now"), [("same", 2.0), ("another", None), ("", None)])
def test_a_mark_stays_while_its_exercise_is_made_of_the_same(recorded, then, mark_now):
    def judged(made_of):
        verdict = judge(recorded, "cyd", add_up="held")
        for row in verdict.exercises:
            row.made_of = made_of
        recorded.write_verdict(verdict)
        record.record(recorded, UNIT)

    judged("same")
    mark(recorded, "cyd", "check-add_up", 2.0)
    other = solved(released(recorded), "Another answer.")
    other.cells.insert(3, new_code_cell("scratch = 1"))
    hand_in(recorded, "cyd", other)
    judged(then)
    assert grades(recorded, "cyd")["check-add_up"] == (None, mark_now, mark_now is None)


def test_a_new_hand_in_ends_old_scores_also_those_by_hand(recorded):
    mark(recorded, "cyd", "check-add_up", 2.0)
    mark(recorded, "cyd", "explain-why", 1.0)
    other = solved(released(recorded), "Another answer.")
    other.cells.insert(3, new_code_cell("import os; os._exit(0)"))
    hand_in(recorded, "cyd", other)
    judge(recorded, "cyd", double_it="crashed", add_up="crashed")
    record.record(recorded, UNIT)
    assert grades(recorded, "cyd") == {
        "check-double_it": (0.0, None, False),
        "check-add_up": (0.0, None, False),
        "explain-why": (None, 1.0, True),  # the mark stays, and asks to be looked at
    }
    assert "by hand (2)" in comments(recorded, "cyd")["add_up"]
    hand_in(recorded, "ada", b"")
    judge(recorded, "ada")
    record.record(recorded, UNIT)
    assert set(grades(recorded, "ada").values()) == {(0.0, None, False)}


@pytest.mark.parametrize("score, expected", [(float("nan"), 0.0), (-5.0, 0.0), (99.0, 3.0), (float("inf"), 0.0)])
def test_no_score_leaves_its_bounds(score, expected):
    assert scores.bounded(score, 3.0) == expected


def test_a_verdict_about_other_code_or_none_leaves_the_score(recorded):
    verdict = recorded.read_verdict(UNIT, "ada")
    verdict.digest, verdict.exercises[0].score = "0" * 64, 0.0
    recorded.write_verdict(verdict)
    assert "another hand-in" in record.record(recorded, UNIT)["ada"]
    recorded.verdict_file(UNIT, "bob").write_text("{")
    assert "no verdict" in record.record(recorded, UNIT, ["bob"])["bob"]
    assert grades(recorded, "ada")["check-double_it"][0] == 3.0
    assert grades(recorded, "bob")["check-double_it"][0] == 1.5


def test_late_penalties_also_after_a_mark_by_hand(classroom):
    with classroom.config_file.open("a") as config:
        config.write('c.LateSubmissionPlugin.penalty_method = "zero"\n')
    classroom.set_due(UNIT, datetime.datetime(2020, 1, 1))
    (classroom.timestamps_file).write_text(f"student,unit,timestamp\nbob,{UNIT},2019-12-31\nada,{UNIT},2020-01-02\n")
    judge(classroom, "ada")
    judge(classroom, "bob")
    record.record(classroom, UNIT)
    mark(classroom, "ada", "explain-why", 2.0)
    record.apply_late_penalties(classroom, UNIT)
    with classroom.gradebook() as gradebook:
        assert gradebook.find_submission(UNIT, "ada").late_submission_penalty == 8.0
        assert gradebook.find_submission(UNIT, "bob").late_submission_penalty == 0.0


def penalties(classroom):
    """{student: (penalty, what the page says about it)} as the gradebook and the pages have them."""
    with classroom.gradebook() as gradebook:
        found = {s.student.id: s.late_submission_penalty for s in gradebook.assignment_submissions(UNIT)}
    pages = {s: (classroom.autograded / s / UNIT / f"{TOPIC}.ipynb").read_text() for s in found}
    return {s: (found[s], (re.findall(r"Handed in ([^.]*) late", pages[s]) or [""])[0]) for s in found}


@pytest.fixture
def strict(classroom):
    """Nothing for late work. Ada came on 2 January, Bob on the 4th, Cyd on the 6th with an extension of a day."""
    with classroom.config_file.open("a") as config:
        config.write('c.LateSubmissionPlugin.penalty_method = "zero"\n')
    rows = "".join(f"{s},{UNIT},2026-01-0{day}\n" for s, day in (("ada", 2), ("bob", 4), ("cyd", 6), ("dan", 1)))
    classroom.timestamps_file.write_text(f"student,unit,timestamp\n{rows}")
    for student in ("ada", "bob", "cyd", "dan"):
        judge(classroom, student)
    assert record.record(classroom, UNIT) == {}
    with classroom.gradebook() as gradebook:
        gradebook.grant_extension(UNIT, "cyd", days=1)
    return classroom


MOVES = [  # the due date, day of January, and who is late then
    (3, {"bob": "1 day, 0:00:00", "cyd": "2 days, 0:00:00"}),
    (5, {}),
    (1, {"ada": "1 day, 0:00:00", "bob": "3 days, 0:00:00", "cyd": "4 days, 0:00:00"}),
    (None, {}),
    (2, {"bob": "2 days, 0:00:00", "cyd": "3 days, 0:00:00"}),
]


def test_penalties_follow_the_due_date_for_everyone(strict):
    assert set(penalties(strict).values()) == {(0.0, "")}
    for day, late in MOVES:
        strict.set_due(UNIT, day and datetime.datetime(2026, 1, day))
        assert record.record(strict, UNIT) == {}
        expected = {student: (6.0, late[student]) if student in late else (0.0, "") for student in penalties(strict)}
        assert penalties(strict) == expected


def test_an_export_after_the_due_date_moved_takes_nothing_from_those_on_time(strict):
    strict.set_due(UNIT, datetime.datetime(2026, 1, 3))
    record.record(strict, UNIT)
    strict.set_due(UNIT, datetime.datetime(2026, 1, 9))
    record.apply_late_penalties(strict, UNIT)
    assert {penalty for penalty, _ in penalties(strict).values()} == {0.0}


def test_another_policy_is_applied_by_the_next_run(strict):
    strict.set_due(UNIT, datetime.datetime(2026, 1, 3))
    record.record(strict, UNIT)
    with strict.config_file.open("a") as config:
        config.write('c.LateSubmissionPlugin.penalty_method = "none"\n')
    record.record(strict, UNIT)
    assert {penalty for penalty, _ in penalties(strict).values()} == {0.0}


def test_only_those_whose_lateness_changed_are_recorded_again(strict):
    strict.set_due(UNIT, datetime.datetime(2026, 1, 3))
    seen = []
    record.record(strict, UNIT, on_done=lambda student, problem: seen.append(student))
    assert seen == ["bob", "cyd"]


# Killed


WITHIN = [
    (scores.Batch, "enter"),  # before the scores of a student
    (record, "_show"),  # after them, before the page
    (record, "write_whole"),  # between the page and its time
    (scores.Batch, "commit"),  # before the scores of a batch are in the gradebook
    (record, "_apply_late_penalties"),  # before the penalties of a batch
    (scores.Batch, "finish"),  # before the note that all is done
]


@pytest.mark.parametrize("moment", [0.01, 0.03, 0.06, 0.1, *(f"{owner.__name__}.{name}" for owner, name in WITHIN)])
def test_killed_anywhere_and_started_again_ends_the_same(classroom, tmp_path, monkeypatch, moment):
    """In batches of two, and everybody late."""
    monkeypatch.setattr(record, "BATCH", 2)
    classroom.set_due(UNIT, datetime.datetime(2020, 1, 1))
    with classroom.config_file.open("a") as config:
        config.write('c.LateSubmissionPlugin.penalty_method = "zero"\n')
    for student in ("ada", "bob", "cyd", "dan"):
        judge(classroom, student)
    undisturbed = ClassFolder(shutil.copytree(classroom.root, tmp_path / "undisturbed"))
    child = os.fork()
    if child == 0:
        try:
            _die_within(moment)
            record.record(classroom, UNIT)
        finally:
            os._exit(0)
    if isinstance(moment, float):
        time.sleep(moment)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert isinstance(moment, float) or os.WTERMSIG(status) == signal.SIGKILL
    assert record.record(classroom, UNIT) == {}
    record.record(undisturbed, UNIT)
    assert everything(classroom) == everything(undisturbed)


def _die_within(moment):
    """From now on this process kills itself the second time it gets to that function."""
    for owner, name in WITHIN:
        if moment == f"{owner.__name__}.{name}":
            setattr(owner, name, _second_time_fatal(getattr(owner, name)))


def _second_time_fatal(function):
    calls = []

    def wrapped(*args, **more):
        calls.append(1)
        if len(calls) == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*args, **more)

    return wrapped


# Pages


class _Page(html.parser.HTMLParser):
    def __init__(self, page):
        super().__init__()
        self.tags, self.handlers, self.text = [], [], ""
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.handlers += [(tag, n, v) for n, v in attributes if n.startswith("on") or "javascript:" in (v or "")]

    def handle_data(self, data):
        self.text += data


def test_feedback_keeps_the_card_and_nothing_of_the_students_runs(recorded):
    assert record.generate_feedback(recorded, UNIT) == {}
    pages = {s: (recorded.feedback / s / UNIT / f"{TOPIC}.html").read_text() for s in ("ada", "bob", "dan")}
    page = _Page(pages["bob"])
    assert "double_it does what it says" in page.text and "1.5 of 3 points" in page.text
    assert any(tag == "div" and "border-left:6px solid" in (about.get("style") or "") for tag, about in page.tags)
    assert "printed <script>alert(1)</script>" in page.text  # printed by a cell, shown as text
    assert "Because" in pages["ada"] and page.handlers == [] and _Page(pages["ada"]).handlers == []
    scripts = [re.findall(r"<script[^>]*>(.*?)</script>", one, re.S) for one in pages.values()]
    assert scripts[0] == scripts[1] == scripts[2] and not any("alert" in s for s in scripts[0])
    assert "linearity" not in pages["ada"]  # the mark scheme
    assert "could not be read" in pages["dan"] and "not valid JSON" in pages["dan"]


def test_autograded_pages_hold_cards_the_mark_scheme_and_no_hidden_test(recorded):
    notebook = nbformat.read(recorded.autograded / "cyd" / UNIT / f"{TOPIC}.ipynb", as_version=4)
    nbformat.validate(notebook)
    cells = {c.metadata.get("nbgrader", {}).get("grade_id", c.id): c for c in notebook.cells}
    card = cells["check-add_up"].outputs[0].data
    assert "held for your instructor" in card["text/html"] and "held, 3 points" in card["text/plain"]
    assert cells["double_it"].outputs[0].text.startswith("printed")
    assert "linearity" in cells["explain-why"].source
    assert "hidden" not in "".join(c.source for c in notebook.cells)
    assert [cells[name].source for name in SOLVED] == list(SOLVED.values())


def test_long_output_is_cut_and_control_characters_shown_as_such():
    (output,) = record._student_output("\x00\x08" + "x" * 10**6)
    assert output.text.startswith("\ufffd\ufffd") and len(output.text) < record.MAX_OUTPUT_CHARACTERS + 20


# The Autograde button


def api(classroom):
    return NbGraderAPI(coursedir=classroom.coursedir(UNIT), config=classroom.config())


def fake_course(classroom, body):
    """Configure a grading command for this class: a script that gets `UNIT --class DIR --only STUDENT --no-record`."""
    script = classroom.root / "fake_course.py"
    head = f"import sys; sys.path[:0] = [{str(HERE.parent.parent)!r}, {str(HERE)!r}]\n"
    script.write_text(head + "unit, root, student = sys.argv[1], sys.argv[3], sys.argv[5]\n" + body)
    with classroom.config_file.open("a") as config:
        config.write(f"c.FetchVerdict.command = [{sys.executable!r}, {str(script)!r}]\n")


JUDGES = (
    "import sample_class\nfrom autograder.classroom.class_folder import ClassFolder\n"
    "assert sys.argv[6] == '--no-record'\nclassroom = ClassFolder(root)\n"
    "with classroom.lock('course grade'): sample_class.judge(classroom, student, double_it=2.0)\n"
)


def test_the_autograde_button_has_the_judge_judge(recorded):
    fake_course(recorded, JUDGES)
    newer = solved(released(recorded))
    newer.cells.insert(3, new_code_cell("helper = 1"))
    hand_in(recorded, "ada", newer)
    result = api(recorded).autograde(UNIT, "ada")
    assert result["success"], result
    assert grades(recorded, "ada")["check-double_it"] == (2.0, None, False)
    page = (recorded.autograded / "ada" / UNIT / f"{TOPIC}.ipynb").read_text()
    assert "helper = 1" in page


@pytest.mark.parametrize(
    "body, sentence",
    [
        ("print('The sandbox can not start.', file=sys.stderr); sys.exit(3)", "The sandbox can not start."),
        ("import time; time.sleep(60)", "took longer than 1 s"),
    ],
)
def test_a_judge_that_fails_leaves_the_score(recorded, body, sentence):
    fake_course(recorded, body)
    with recorded.config_file.open("a") as config:
        config.write("c.FetchVerdict.deadline = 1.0\n")
    result = api(recorded).autograde(UNIT, "ada")
    assert not result["success"] and sentence in " ".join(result["log"].split())
    assert grades(recorded, "ada")["check-double_it"] == (3.0, None, False)
    seen = []
    record.record(recorded, UNIT, on_done=lambda *done: seen.append(done))
    assert seen == [("ada", "")]  # nbgrader removed its page; the next record puts it back


def test_a_locked_class_answers_with_a_sentence_and_leaves_the_score(recorded):
    fake_course(recorded, JUDGES)
    with recorded.lock("course grade 07_tiny"):
        result = api(recorded).autograde(UNIT, "bob")
    assert not result["success"] and 'in use by "course grade 07_tiny"' in " ".join(result["log"].split())
    assert grades(recorded, "bob")["check-double_it"] == (1.5, None, False)


# The class folder


def test_a_gradebook_is_made_without_an_activated_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", os.defpath)
    nbgrader.api.get_alembic_version.cache_clear()
    with ClassFolder(tmp_path / "class").gradebook() as gradebook:
        assert gradebook.assignments == []
    assert os.environ["PATH"] == os.defpath


def test_a_second_run_is_told_who_holds_the_class(classroom):
    with classroom.lock("course grade 07_tiny"):
        with pytest.raises(ClassLocked, match=rf'"course grade 07_tiny" \(process {os.getpid()} on .*wait'):
            with ClassFolder(classroom.root).lock("course report"):
                pass
    with classroom.lock("course report"):
        pass
    classroom.refuse_if_locked()


def test_the_secret_is_made_once_and_private(classroom):
    secret = classroom.secret()
    assert len(secret) == 32 and ClassFolder(classroom.root).secret() == secret
    path = classroom.root / ".secret"
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o644)
    classroom.secret()
    assert path.stat().st_mode & 0o777 == 0o600


BAD_NAMES = ["a*b", "a[1]", "?", "a#b", "a%2e", "=1+1", "-x", "a\nb", "a ", ".x", "x" * 200, "a\\b", "\udcff"]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_names_that_nbgrader_cannot_carry_get_a_sentence(name):
    assert re.fullmatch(r"The folder .* is not graded: [^\n]+\.", name_problem(name))


NAMES = ["ada", "Ada Lovelace", "josé", "李雷", "a.b+c@d.org", "o'neil", "s_1-2", "o\u2019neil"]
NAMES += ["jose\u0301", "A\u030asa Bjo\u0308rk"]  # as macOS spells them in a zip
NAMES += ["\u0938\u0941\u092c\u094d\u0930\u0939\u094d\u092e\u0923\u094d\u092f\u092e " * 3 + "\u0938\u0940"]
NAMES += ["\u0645\u064f\u062d\u064e\u0645\u0651\u064e\u062f", "\u0639\u0644\u06cc\u200c\u0631\u0636\u0627"]
NAMES += ["\u0e2a\u0e38\u0e23\u0e34\u0e22\u0e32", "\u05e9\u05c1\u05b8\u05dc\u05d5\u05b9\u05dd"]


@pytest.mark.parametrize("name", NAMES)
def test_ordinary_names_are_carried_through(classroom, name):
    assert name_problem(name) is None
    hand_in(classroom, name, solved(released(classroom)))
    assert name in [each.student for each in classroom.hand_ins(UNIT)] and classroom.not_graded(UNIT) == []
    judge(classroom, name)
    assert record.record(classroom, UNIT, [name]) == {}
    assert grades(classroom, name)["check-add_up"][0] == 3.0
    assert record.generate_feedback(classroom, UNIT, [name]) == {}
    assert (classroom.feedback / name / UNIT / f"{TOPIC}.html").is_file()


def test_hand_ins_are_listed_and_odd_names_told(classroom):
    hand_in(classroom, "x*", b"")
    (classroom.submitted / "eve").mkdir()
    assert [h.student for h in classroom.hand_ins(UNIT)] == ["ada", "bob", "cyd", "dan"]
    (problem,) = classroom.not_graded(UNIT)
    assert "x*" in problem
    assert classroom.students() == ["ada", "bob", "cyd", "dan", "eve"]


@pytest.mark.parametrize(
    "called",
    ["07-tiny", "07_Tiny", "tiny", "7", "07_tiny (1)", "week 07", "07_tiny.zip", "tiny.ipynb", "tinny", "Tiny_ada"],
)
def test_a_hand_in_under_another_name_is_told_with_the_right_one(classroom, called):
    (classroom.submitted / "eve").mkdir()
    (classroom.submitted / "eve" / called).write_text("whatever it is")
    (told,) = classroom.not_graded(UNIT)
    expected = f"expected submitted/STUDENT/{UNIT}/ with the notebook in it."
    assert told == f"submitted/eve/{called} is not graded: {expected}"
    assert [h.student for h in classroom.hand_ins(UNIT)] == ["ada", "bob", "cyd", "dan"]


def test_what_else_is_not_graded_is_told_alike_things_in_one_sentence(classroom):
    for number in range(7):
        (classroom.submitted / f"s{number}" / "holiday photos").mkdir(parents=True)
    (classroom.submitted / "eve" / UNIT / ".ipynb_checkpoints").mkdir(parents=True)
    (classroom.submitted / "eve" / UNIT / "timestamp.txt").write_text("2026-01-01 00:00:00 UTC")
    (classroom.submitted / UNIT / "fay").mkdir(parents=True)
    (classroom.submitted / "gil.ipynb").write_text("{}")
    paths = ", ".join(f"submitted/s{number}/holiday photos" for number in range(5))
    assert sorted(classroom.not_graded(UNIT)) == [
        f"submitted/{UNIT}, submitted/gil.ipynb are not graded: "
        "expected submitted/STUDENT/UNIT/ with the notebook in it.",
        f"submitted/eve/{UNIT} is not graded: the folder is empty.",
        f"{paths} and 2 more are not graded: no unit of this course is called so.",
    ]


def test_what_belongs_to_another_unit_is_told_there(classroom):
    (classroom.submitted / "eve" / "02_attention").mkdir(parents=True)
    (classroom.submitted / "eve" / "attention").mkdir()
    assert classroom.not_graded(UNIT) == []
    assert len(classroom.not_graded("02_attention")) == len(classroom.not_graded()) == 2


def build(tmp_path, notebook, name="built"):
    folder = tmp_path / name
    folder.mkdir(exist_ok=True)
    nbformat.write(notebook, folder / f"{TOPIC}.ipynb")
    (folder / "cases.npz").write_bytes(b"numbers")
    (folder / "checks.py").write_text("secret")
    return folder


def test_set_up_writes_release_without_solutions_once(classroom, tmp_path):
    folder = build(tmp_path, source_notebook(("double_it", "add_up", "third")))
    assert classroom.set_up(UNIT, folder) is True
    assert classroom.set_up(UNIT, folder) is False
    text_of_release = classroom.release_notebook(UNIT).read_text()
    assert "third" in text_of_release and "sum(numbers)" not in text_of_release and "HIDDEN" not in text_of_release
    names = sorted(p.name for p in classroom.release_notebook(UNIT).parent.iterdir())
    assert names == [".stamp", "cases.npz", f"{TOPIC}.ipynb"]
    (classroom.release_notebook(UNIT).parent / ".stamp").unlink()
    assert classroom.set_up(UNIT, folder) is True


def test_the_release_is_what_students_got(classroom, tmp_path):
    given = json.loads(classroom.release_notebook(UNIT).read_text())
    given["cells"][0]["source"] = "# As printed"
    released_to = tmp_path / "assignments"
    released_to.mkdir()
    (released_to / f"{TOPIC}.ipynb").write_text(json.dumps(given))
    classroom.set_up(UNIT, build(tmp_path, source_notebook()), released_to)
    assert json.loads(classroom.release_notebook(UNIT).read_text()) == given


def test_exercises_added_and_removed_after_release_do_not_block(recorded, tmp_path):
    mark(recorded, "ada", "explain-why", 2.0)
    changed = source_notebook(("add_up", "third"))
    assert recorded.set_up(UNIT, build(tmp_path, changed))
    take_in(recorded, "ada")
    judge(recorded, "ada", version="v2")
    assert record.record(recorded, UNIT, ["ada"]) == {}
    assert grades(recorded, "ada") == {
        "check-add_up": (3.0, None, False),
        "check-third": (0.0, None, False),
        "explain-why": (None, 2.0, False),
    }
    assert record.generate_feedback(recorded, UNIT, ["ada"]) == {}


def test_a_question_with_marks_can_not_be_taken_out(recorded, tmp_path):
    mark(recorded, "ada", "explain-why", 2.0)
    with pytest.raises(ClassFolderError, match="explain-why was taken out .* 1 hand-ins have a grade by hand"):
        recorded.set_up(UNIT, build(tmp_path, source_notebook(explain=False)))
    assert grades(recorded, "ada")["explain-why"] == (None, 2.0, False)


def test_configuration_is_copied_once_and_then_the_instructors(classroom):
    classroom.config_file.write_text("c = get_config()\n")
    assert ClassFolder(classroom.root).config_file.read_text() == "c = get_config()\n"


def test_a_unit_not_set_up_is_a_sentence(classroom):
    with pytest.raises(ClassFolderError, match="not set up"):
        classroom.release_notebook("99_none")
