"""The table in the terminal and the class report: what an instructor reads, and nothing that runs."""

from __future__ import annotations

import datetime
import html.parser
import shutil

import pytest
from rich.console import Console

import sample_class
from autograder.classroom import record, report, table
from autograder.classroom.report import Marking, distribution, misconceptions, outcomes, render, summary
from course.checking.verdict import STATES, ExerciseVerdict, Named, Verdict

EVIL = "<img src=x onerror=alert(1)>"
OFF_BY_ONE = Named("one_future_token", f"Sees one token of the future {EVIL}", "Who?")
VOID = ("meta", "rect", "line", "br")


def exercise(name="causal_mask", score=3.0, state=None, maximum=3.0, **more):
    state = state or ("passed" if score == maximum else "partial" if score else "failed")
    return ExerciseVerdict(name, score, maximum, state, **more)


def verdict(student, *exercises, **more):
    rows = list(exercises)
    points = sum(e.score for e in rows)
    return Verdict(student=student, score=points, max_score=sum(e.max_score for e in rows), exercises=rows, **more)


def unreadable(student, reason="The notebook file is empty."):
    row = exercise(score=0.0, state="missing", reason=reason)
    return verdict(student, row, exercise("sink_mass", 0.0, "missing", 2.0), state="unreadable", reason=reason)


@pytest.fixture
def verdicts():
    """Five hand-ins: right, wrong by one token (twice), held, unreadable."""
    return [
        verdict("ada", exercise(), exercise("sink_mass", 2.0, maximum=2.0), seconds=2.0),
        verdict("ben", exercise(score=1.5, misconception=OFF_BY_ONE), exercise("sink_mass", 0.0, "not_attempted", 2.0)),
        verdict("cyd", exercise(score=0.0, misconception=OFF_BY_ONE), exercise("sink_mass", 0.0, "timed_out", 2.0,
                reason="one call took longer than 20 s", seconds=20.1), seconds=31.0),
        verdict("dan", exercise(score=0.0, state="held", reason=f"it uses `eval` {EVIL}"),
                exercise("sink_mass", 2.0, maximum=2.0), notes=[f"The notebook was called {EVIL}."]),
        unreadable("eve"),
    ]  # fmt: skip


def shown(verdicts, points=None, remarks=None, width=table.WIDTH):
    console = Console(width=width, color_system=None, record=True, file=open("/dev/null", "w"))
    console.print(table.render(verdicts, points or {"causal_mask": 3.0, "sink_mass": 2.0}, remarks))
    return console.export_text()


def row(text, student):
    return next(line for line in text.splitlines() if line.strip().startswith(student)).split()


class Page(html.parser.HTMLParser):
    """Checks that tags nest, and keeps tags, attributes and text by section heading."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.attributes, self.sections, self.heading = [], [], [], {}, ""
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes
        if tag not in VOID:
            self.open.append(tag)
        if tag == "h2":
            self.heading = ""

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "h2":
            self.heading += data
            self.sections[self.heading] = ""
        elif self.heading:
            self.sections[self.heading] += data + " "


# The table


def test_a_cell_is_the_points_or_a_letter_and_the_legend_explains_both(verdicts):
    text = shown(verdicts)
    assert row(text, "ada")[1:] == ["3", "2", "5"]
    assert row(text, "ben")[1:] == ["1.5", "-", "1.5"]
    assert row(text, "cyd")[1:] == ["0", "T", "0"]
    assert row(text, "dan")[1:] == ["H", "2", "2"]
    assert "1 causal_mask (3)" in text and "2 sink_mass (2)" in text
    for told in ("- not attempted", "T took too long", "H held for the instructor"):
        assert told in text
    assert "M out of memory" not in text


def test_an_unreadable_hand_in_is_a_row_with_its_reason(verdicts):
    text = shown(verdicts)
    assert row(text, "eve")[1:] == ["0"]
    assert "eve: unreadable: The notebook file is empty" in text


def test_notes_and_remarks_stand_below(verdicts):
    text = shown(verdicts, remarks={"ada": ["handed in 3 h late"]})
    assert "ada: handed in 3 h late" in text
    assert f"dan: The notebook was called {EVIL}" in text


@pytest.mark.parametrize("count", [1, 18, 40])
def test_a_table_is_as_wide_as_its_exercises_need(count):
    names = {f"exercise_number_{index}": 13.0 for index in range(1, count + 1)}
    rows = [exercise(name, 1.2345) for name in names]
    text = shown([verdict("a.student.with.a.very.long.name@somewhere", *rows)], names, width=table.width(count))
    assert row(text, "a.student")[1:] == ["1.2"] * count + [table.number(1.2345 * count)]


def test_markup_in_a_name_is_text(verdicts):
    assert "[red]x" in shown([verdict("[red]x", exercise())], {"causal_mask": 3.0})


def test_every_state_has_a_cell_that_is_read_without_colour():
    cells = {state: table.cell(exercise(score=1.0, state=state)) for state in STATES}
    assert set(cells) >= set(table.LETTERS)
    letters = [cells[state] for state in table.LETTERS]
    assert len(set(letters)) == len(letters)
    assert "1" not in letters


@pytest.mark.parametrize(
    ("points", "written"), [(0, "0"), (3.0, "3"), (1.5, "1.5"), (2.96, "2.9"), (0.01, "0.1"), (1.25, "1.2")]
)
def test_rounding_never_makes_a_score_full_or_nothing(points, written):
    assert table.number(points) == written


def test_an_empty_class_has_a_table_too():
    assert "student" in shown([])


# Counting


def test_outcomes_count_each_hand_in_once(verdicts):
    causal, sink = outcomes(verdicts)
    assert (causal.full, causal.partial, causal.zero, causal.untouched) == (1, 1, 3, 0)
    assert (sink.full, sink.partial, sink.zero, sink.untouched) == (2, 0, 2, 1)
    assert causal.mean == pytest.approx(4.5 / 5)


def test_full_marks_are_in_the_last_bin_and_nothing_in_the_first(verdicts):
    counts = distribution(verdicts)
    assert sum(counts) == len(verdicts)
    assert counts[-1] == 1 and counts[0] == 2


def test_misconceptions_come_by_count_with_the_students(verdicts):
    other = Named("queries_start_at_zero", "The diagonal starts at key 0.")
    verdicts.append(verdict("fay", exercise(score=1.0, misconception=other)))
    first, second = misconceptions(verdicts)
    assert (first.named.name, first.students) == ("one_future_token", ["ben", "cyd"])
    assert (second.named.name, second.students) == ("queries_start_at_zero", ["fay"])


def test_the_summary_is_three_lines_that_say_where_the_class_is_stuck(verdicts):
    scores, hardest, look = summary(verdicts).split("\n")
    assert scores.startswith("5 hand-ins: mean 1.7 and median 1.5 of 5 points")
    assert hardest.startswith("hardest: causal_mask 30 %")
    assert "one_future_token in causal_mask (2 students)" in look
    assert "1 held, 1 stopped or refused, 1 unreadable" in look


def test_nothing_handed_in_has_a_summary_and_a_page():
    assert summary([]) == "No hand-ins."
    assert "Nobody has handed this unit in yet" in render("02_attention", [], Marking())


@pytest.mark.parametrize(
    ("seconds", "told"), [(12, "12 s"), (119, "119 s"), (300, "5 min"), (10800, "3 h"), (200000, "2 days")]
)
def test_durations_are_told_in_one_unit(seconds, told):
    assert report.duration(seconds) == told


# The page


def test_each_section_says_who_and_why(verdicts):
    marking = Marking({"ada": 10800.0}, {"why_many_heads": ["ada", "ben"], "causal_mask": ["dan"]})
    sections = Page(render("02_attention", verdicts, marking, "class", datetime.date(2026, 3, 2))).sections
    assert "one_future_token" in sections["Misconceptions"] and "ben, cyd" in sections["Misconceptions"]
    assert "dan" in sections["Held for you"] and "eval" in sections["Held for you"]
    assert "one call took longer than 20 s" in sections["Stopped or refused"]
    assert "The notebook file is empty." in sections["Could not be read"]
    assert "why_many_heads" in sections["Waiting for a mark by hand"]
    assert "causal_mask" not in sections["Waiting for a mark by hand"]
    assert "3 h" in sections["Late"]
    assert "31.0 s" in sections["Slowest to judge"]
    assert "The notebook was called" in sections["Notes"]


def test_sections_without_content_are_left_out():
    sections = Page(render("02_attention", [verdict("ada", exercise())], Marking())).sections
    assert set(sections) == {"Scores", "Exercise by exercise", "Students by exercise"}


def test_the_page_has_no_script_no_request_and_nothing_unescaped(verdicts):
    verdicts.append(verdict(EVIL, exercise(EVIL, 1.0, misconception=OFF_BY_ONE, reason=EVIL)))
    marking = Marking({EVIL: 200.0}, {EVIL: [EVIL]})
    text = render(EVIL, verdicts, marking, EVIL)
    page = Page(text)
    assert EVIL not in text
    assert {"script", "img", "link", "iframe", "object", "form"}.isdisjoint(page.tags)
    assert not any(name.startswith("on") or name in ("src", "href", "style") for name, _ in page.attributes)
    assert "default-src 'none'" in text


def test_both_colour_schemes_and_paper_are_provided_for(verdicts):
    text = render("02_attention", verdicts, Marking())
    assert "prefers-color-scheme: dark" in text and "@media print" in text


def test_a_large_class_does_not_list_every_name():
    crowd = [verdict(f"s{index:03}", exercise(score=1.0, misconception=OFF_BY_ONE)) for index in range(100)]
    section = Page(render("02_attention", crowd, Marking())).sections["Misconceptions"]
    assert "s011" in section and "s012" not in section and "and 88 more" in section


# From a class folder


@pytest.fixture(scope="module")
def classroom(new_class, tmp_path_factory):
    """Three hand-ins of the small class: one late with an answer, one held, one unreadable."""
    made = new_class(tmp_path_factory.mktemp("report") / "class")
    release = sample_class.released(made)
    made.set_due(sample_class.UNIT, datetime.datetime(2026, 3, 2, tzinfo=datetime.UTC))
    sample_class.hand_in(made, "ada", sample_class.solved(release, "Because it is linear."))
    sample_class.hand_in(made, "ben", sample_class.solved(release))
    sample_class.hand_in(made, "cyd", b"")
    stamps = "student,unit,timestamp\nada,07_tiny,2026-03-02 05:00:00 UTC\n"
    made.timestamps_file.write_text(stamps + "".join(f"{s},07_tiny,2026-03-01 UTC\n" for s in ("ben", "cyd")))
    for student, scores in {"ada": {}, "ben": {"add_up": "held"}, "cyd": {}}.items():
        sample_class.judge(made, student, **scores)
    assert record.record(made, sample_class.UNIT) == {}
    return made


def test_the_report_is_written_where_the_class_keeps_it(classroom):
    path = report.write(classroom, sample_class.UNIT)
    assert path == classroom.report / f"{sample_class.UNIT}.html"
    sections = Page(path.read_text()).sections
    assert "ada" in sections["Late"] and "5 h" in sections["Late"]
    assert "why" in sections["Waiting for a mark by hand"] and "ada" in sections["Waiting for a mark by hand"]
    assert "ben" in sections["Held for you"]
    assert "cyd" in sections["Could not be read"]
    assert list(classroom.report.iterdir()) == [path]


def test_the_report_names_what_was_not_graded(classroom):
    stray = classroom.submitted / "dee" / "07-tiny <b>"
    stray.mkdir(parents=True)
    text = report.write(classroom, sample_class.UNIT).read_text()
    assert "submitted/dee/07-tiny <b> is not graded: expected" in Page(text).sections["Not graded"]
    assert "<b> is not" not in text
    shutil.rmtree(stray.parent)
    assert "Not graded" not in Page(report.write(classroom, sample_class.UNIT).read_text()).sections


def test_late_hand_ins_are_remarks_for_the_table(classroom):
    assert report.late_remarks(classroom, sample_class.UNIT) == {"ada": ["handed in 5 h late"]}


def test_a_unit_nobody_graded_has_a_report(classroom):
    assert "Nobody has handed" in report.write(classroom, "01_other").read_text()
