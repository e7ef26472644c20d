"""The sample class: made from answer files, the same every time, and honest about what it expects."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import pytest
from rich.console import Console

from autograder.authoring.unit import Unit, unit_folders
from autograder.classroom import intake, report, sample, table
from autograder.classroom.class_folder import ClassFolder
from autograder.classroom.sample import SampleError, expectations, make_class, read_students, verify
from course.checking.verdict import ExerciseVerdict, Named, Verdict

UNITS = Path(__file__).resolve().parent.parent / "units"
UNIT, TOPIC = "90_tiny", "tiny"

ANSWERS = {
    "ada": """
        about = "Right, in another style, an answer in words."
        [[hand_in]]
        unit = "90_tiny"
        style = 1
        [hand_in.answer]
        why_double = "f(a + b) = f(a) + f(b)."
        [hand_in.expect]
        all_but = 0
    """,
    "ben": """
        about = "Squares."
        [[hand_in]]
        unit = "90_tiny"
        [[hand_in.write]]
        exercise = "double_it"
        misconception = "squares"
        [hand_in.expect]
        all_but = 2.25
        scores = { double_it = 0.75 }
    """,
    "cyd": """
        about = "One exercise only, late."
        [[hand_in]]
        unit = "90_tiny"
        base = "untouched"
        solved = ["double_it"]
        handed_in = "2026-03-03 01:00:00 UTC"
        [hand_in.expect]
        total = 3
    """,
    "dan": """
        about = "Cut off."
        [[hand_in]]
        unit = "90_tiny"
        cut = 0.5
        [hand_in.expect]
        total = 0
        state = "unreadable"
        reason = "not valid JSON"
    """,
    "eve": """
        about = "Cut about: deleted, doubled, split, tampered with, and a cell of her own."
        [[hand_in]]
        unit = "90_tiny"
        outputs = true
        [[hand_in.edit]]
        do = "before"
        code = "print('mine')"
        [[hand_in.edit]]
        do = "delete"
        cell = "largest_double"
        [[hand_in.edit]]
        do = "duplicate"
        cell = "check-double_it"
        [[hand_in.edit]]
        do = "split"
        cell = "Shift"
        code = "    def forward("
        [[hand_in.edit]]
        do = "metadata"
        cell = "check-Shift"
        values = { points = 100 }
        [hand_in.expect]
        all_but = 1
        scores = { largest_double = 0 }
        states = { largest_double = "not_attempted" }
        notes = ["largest_double was missing"]
    """,
    "sam": """
        about = "Colab."
        [[hand_in]]
        unit = "90_tiny"
        file = "Copy of tiny.ipynb"
        saved_by = "colab"
        [hand_in.answer]
        why_double = "Because."
        [hand_in.expect]
        all_but = 0
        notes = ["was called"]
    """,
}


@pytest.fixture(scope="module")
def built(tiny_root):
    """The tiny unit, built: assignments/ and solutions/."""
    return tiny_root


@pytest.fixture
def answers(tmp_path):
    """A folder with the answer files above."""
    return write_answers(tmp_path / "answers", ANSWERS)


@pytest.fixture(scope="module")
def made(built, tmp_path_factory):
    """The class of these answer files. Read it, leave it as it is."""
    root = tmp_path_factory.mktemp("sample-class")
    make_class(root / "class", write_answers(root / "answers", ANSWERS), UNITS, built)
    return ClassFolder(root / "class")


@pytest.fixture
def mine(made, tmp_path):
    """A copy of the class to change."""
    shutil.copytree(made.root, tmp_path / "class")
    return ClassFolder(tmp_path / "class")


def write_answers(folder, answers):
    folder.mkdir(exist_ok=True)
    for name, text in answers.items():
        (folder / f"{name}.toml").write_text(text)
    return folder


def take_in(classroom, built, student):
    """What intake makes of the hand-in; canonical/ is written anew each time."""
    release = built / "assignments" / UNIT / f"{TOPIC}.ipynb"
    hand_in, out = classroom.submitted / student / UNIT, classroom.canonical_dir(student, UNIT)
    return intake.take_in(hand_in, release, UNIT, out, timestamps=classroom.timestamps_file)


def source(notebook, grade_id):
    return next(c.source for c in notebook.cells if c.metadata.get("nbgrader", {}).get("grade_id") == grade_id)


def agreeing(answers):
    """A verdict for every hand-in that says what the answer file expects."""
    return {key[0]: verdict_of(*key, expected) for key, expected in expectations(answers, UNITS).items()}


def verdict_of(student, unit, expected):
    rows = [exercise_of(name, expected) for name in expected.scores]
    notes = [f"Note: {part}." for part in expected.notes]
    state, reason = expected.state, expected.reason
    return Verdict(
        unit=unit, student=student, score=expected.total, extra=expected.extra, state=state, reason=reason,
        exercises=rows, notes=notes,
    )  # fmt: skip


def exercise_of(name, expected):
    named = expected.misconceptions.get(name)
    misconception = Named(named, "A sentence.") if named else None
    return ExerciseVerdict(name, expected.scores[name], 3.0, expected.states[name], misconception=misconception)


def tree(root):
    return {path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()}


# Making the class


def test_the_class_is_the_same_every_time_and_left_alone_when_it_is_there(answers, built, made, mine, tmp_path):
    assert make_class(tmp_path / "other", answers, UNITS, built) == sorted(ANSWERS)
    assert tree(made.submitted) == tree(tmp_path / "other" / "submitted")
    written = {path: path.stat().st_mtime_ns for path in mine.submitted.rglob("*.ipynb")}
    make_class(mine.root, answers, UNITS, built)
    assert written == {path: path.stat().st_mtime_ns for path in mine.submitted.rglob("*.ipynb")}


def test_a_student_without_an_answer_file_leaves_the_class(answers, built, mine):
    (answers / "ben.toml").unlink()
    mine.write_verdict(Verdict(unit=UNIT, student="ben"))
    make_class(mine.root, answers, UNITS, built)
    assert mine.students() == ["ada", "cyd", "dan", "eve", "sam"]
    assert mine.read_verdict(UNIT, "ben") is None


def test_a_class_of_other_people_is_refused_and_left_alone(answers, built, tmp_path):
    theirs = ClassFolder(tmp_path / "real")
    (theirs.submitted / "zoe" / UNIT).mkdir(parents=True)
    with pytest.raises(SampleError, match="zoe"):
        make_class(theirs.root, answers, UNITS, built)
    assert theirs.students() == ["zoe"]


def test_a_stranger_in_the_sample_class_is_not_removed(answers, built, mine):
    (mine.submitted / "zoe" / UNIT).mkdir(parents=True)
    with pytest.raises(SampleError, match="zoe"):
        make_class(mine.root, answers, UNITS, built)
    assert "zoe" in mine.students()


def test_solved_styled_wrong_and_untouched_cells_hold_what_the_answer_file_says(made, built):
    unit = Unit.load(UNITS / UNIT)
    loop = next(right for right in unit.rights if right.name == "loop")
    assert source(take_in(made, built, "ada").notebook, "double_it") == loop.source
    ben = take_in(made, built, "ben").notebook
    assert "x * x" in source(ben, "double_it")
    assert source(ben, "Shift") == unit.solution_source("Shift")
    cyd = take_in(made, built, "cyd").notebook
    assert source(cyd, "double_it") == unit.solution_source("double_it")
    assert "NotImplementedError" in source(cyd, "Shift")


def test_an_answer_in_words_reaches_the_canonical_notebook(made, built):
    for student in ("ada", "sam"):
        notebook = take_in(made, built, student).notebook
        text = next(cell.source for cell in notebook.cells if cell.metadata.get("course", {}).get("answer"))
        assert text in ("f(a + b) = f(a) + f(b).", "Because.")


def test_a_colab_notebook_loses_our_metadata_and_is_read_all_the_same(made, built):
    raw = json.loads((made.submitted / "sam" / UNIT / "Copy of tiny.ipynb").read_text())
    assert not any("nbgrader" in cell["metadata"] or "id" in cell for cell in raw["cells"])
    unit, taken = Unit.load(UNITS / UNIT), take_in(made, built, "sam")
    assert all(source(taken.notebook, name) == unit.solution_source(name) for name in unit.exercises)
    assert "was called" in taken.notes[0]


def test_a_notebook_that_was_cut_about_is_put_right(made, built):
    raw = json.loads((made.submitted / "eve" / UNIT / f"{TOPIC}.ipynb").read_text())
    ids = [cell["metadata"].get("nbgrader", {}).get("grade_id") for cell in raw["cells"]]
    assert (ids.count("Shift"), ids.count("check-double_it"), ids.count("largest_double")) == (2, 2, 0)
    assert raw["cells"][0]["source"] == "print('mine')"
    taken = take_in(made, built, "eve")
    compile(source(taken.notebook, "Shift"), "Shift", "exec")
    assert any("largest_double was missing" in note for note in taken.notes)
    points = {cell.metadata.nbgrader.get("points") for cell in taken.notebook.cells if "nbgrader" in cell.metadata}
    assert 100 not in points


def test_a_truncated_file_can_not_be_read(made, built):
    assert "not valid JSON" in take_in(made, built, "dan").reason


def test_the_collector_s_clock_says_who_is_late(made, built):
    assert take_in(made, built, "cyd").timestamp > sample.DUE > take_in(made, built, "ada").timestamp


# Expectations


def test_what_is_not_stated_follows_from_the_base(answers):
    expected = expectations(answers, UNITS)
    ben, cyd = expected["ben", UNIT], expected["cyd", UNIT]
    assert ben.scores == {"double_it": 0.75, "Shift": 2.5, "largest_double": 1}
    assert ben.states == {"double_it": "partial", "Shift": "passed", "largest_double": "passed"}
    assert ben.misconceptions == {"double_it": "squares"}
    assert list(cyd.states.values()) == ["passed", "not_attempted", "not_attempted"]


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("all_but = 2.25", "all_but = 1", "all_but = 1 for 90_tiny; the exercises make 2.25"),
        ("all_but = 2.25", "total = 4.25", "state all_but for 90_tiny, and only that"),
        ("all_but = 2.25", "all_but = 2.25\ntotal = 4.25", "state all_but for 90_tiny, and only that"),
        ("scores = { double_it = 0.75 }", "", "how many points double_it"),
        ("scores = { double_it = 0.75 }", "scores = { double_it = 0.75, triple_it = 1 }", "triple_it"),
        ("about =", "abuot =", "abuot"),
    ],
)
def test_an_answer_file_that_contradicts_itself_is_refused(answers, old, new, says):
    (answers / "ben.toml").write_text(ANSWERS["ben"].replace(old, new))
    with pytest.raises(SampleError, match=says):
        expectations(answers, UNITS)


ONE_MORE = """
# %% exercise="one_more"
def one_more(x):
    ### BEGIN SOLUTION
    return x + 1
    ### END SOLUTION

# %% check="one_more" points=2

"""


def with_one_more(units, to):
    """Copies of the units, each with one more exercise before its last check."""
    for folder in unit_folders(units):
        shutil.copytree(folder, to / folder.name, ignore=shutil.ignore_patterns("__pycache__"))
        text, last = (folder / "notebook.py").read_text(), '\n# %% exercise="'
        before, _, after = text.rpartition(last)
        (to / folder.name / "notebook.py").write_text(f"{before}\n{ONE_MORE}{last}{after}")
    return to


@pytest.mark.parametrize(("folder", "units"), [(None, UNITS), (sample.FOLDER, sample.UNITS)], ids=["tiny", "bundled"])
def test_a_new_exercise_makes_no_answer_file_wrong(answers, tmp_path, folder, units):
    """Who handed in the solution has its points as well, and nobody else has any."""
    folder = folder or answers
    before, after = expectations(folder, units), expectations(folder, with_one_more(units, tmp_path / "units"))
    students = read_students(folder)
    for (student, unit), expected in after.items():
        (each,) = (h for h in students[student].hand_in if h.unit == unit)
        solved = each.base == "solution" and expected.state == "graded"
        assert expected.total == pytest.approx(before[student, unit].total + (2 if solved else 0))
        assert expected.scores["one_more"] == (2 if solved else 0)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('"squares"', '"cubes"', "cubes"),
        ('"double_it"', '"triple_it"', "triple_it"),
    ],
)
def test_an_answer_file_that_names_what_is_not_there_is_refused(answers, built, tmp_path, old, new, says):
    (answers / "ben.toml").write_text(ANSWERS["ben"].replace(old, new))
    with pytest.raises(SampleError, match=says):
        make_class(tmp_path / "class", answers, UNITS, built)


# Verifying


def test_verdicts_as_expected_have_no_findings(answers):
    assert verify(agreeing(answers).values(), answers, UNITS) == []


def _points(verdicts):
    verdicts["ben"].exercises[0].score = 3.0


def _total(verdicts):
    verdicts["ada"].score = 58.0


def _state(verdicts):
    verdicts["cyd"].exercises[1].state = "crashed"


def _misconception(verdicts):
    verdicts["ben"].exercises[0].misconception = Named("doubles_positive_only", "")


def _unasked(verdicts):
    verdicts["ada"].exercises[0].misconception = Named("squares", "")


def _readable(verdicts):
    verdicts["dan"].state = "graded"


def _reason(verdicts):
    verdicts["dan"].reason = "Nothing was handed in."


def _note(verdicts):
    verdicts["sam"].notes = []


def _missing(verdicts):
    del verdicts["ada"]


def _row(verdicts):
    del verdicts["ada"].exercises[2]


def _stranger(verdicts):
    verdicts["zoe"] = Verdict(unit=UNIT, student="zoe")


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (_points, "ben, 90_tiny, double_it: expected 0.75 points, got 3"),
        (_total, "ada, 90_tiny: expected 6.5 points, got 58"),
        (_state, "cyd, 90_tiny, Shift: expected not_attempted, it is crashed"),
        (_misconception, "ben, 90_tiny, double_it: expected squares to be named, it is doubles_positive_only"),
        (_unasked, "ada, 90_tiny, double_it: expected no misconception to be named, it is squares"),
        (_readable, "dan, 90_tiny: expected to be unreadable, it is graded not valid JSON"),
        (_reason, "dan, 90_tiny: expected the reason to say 'not valid JSON', it is 'Nothing was handed in.'"),
        (_note, "sam, 90_tiny: expected a note with 'was called', the notes are []"),
        (_missing, "ada, 90_tiny: there is no verdict"),
        (_row, "ada, 90_tiny, largest_double: there is no verdict on it"),
        (_stranger, "zoe, 90_tiny: there is a verdict and no answer file"),
    ],
)
def test_each_disagreement_is_one_sentence(answers, spoil, says):
    verdicts = agreeing(answers)
    spoil(verdicts)
    assert verify(verdicts.values(), answers, UNITS) == [says]


def test_one_student_alone_does_not_miss_the_others(answers):
    assert verify([agreeing(answers)["ada"]], answers, UNITS, only="ada") == []


# The bundled class


@pytest.fixture(scope="module")
def bundled():
    return sample.read_students()


def test_the_bundled_class_states_scores_that_add_up():
    expected = expectations()
    assert sum(unit == "02_attention" for _, unit in expected) >= 16
    assert {"00_orientation", "01_rnn_limits", "03_tokens_and_positions"} <= {unit for _, unit in expected}


def test_the_bundled_class_has_every_kind_of_hand_in(bundled):
    expected = [e for (_, unit), e in expectations().items() if unit == "02_attention"]
    states = {state for e in expected if e.state == "graded" for state in e.states.values()}
    assert {"timed_out", "out_of_memory", "crashed", "forbidden", "held", "not_attempted"} <= states
    assert any(e.state == "unreadable" for e in expected)
    named = [tuple(e.misconceptions.items()) for e in expected if e.misconceptions]
    assert len(set(named)) >= 6
    handed = [each for student in bundled.values() for each in student.hand_in]
    assert {each.style for each in handed} >= {0, 1}
    assert any(each.saved_by == "colab" and each.file for each in handed)
    assert any(each.handed_in != sample.ON_TIME for each in handed)
    assert sum(len(each.answer) for each in handed) >= 4


def test_the_bundled_class_names_only_what_its_units_have(bundled):
    for student in bundled.values():
        for each in student.hand_in:
            unit = sample._unit(sample.UNITS, each.unit)
            for write in each.write:
                assert sample._written(write, unit)
                assert write.exercise in unit.exercises
            assert set(each.solved) <= set(unit.exercises)
            assert set(each.answer) <= set(unit.manual_points)


README = sample.ROOT / "README.md"
SHOWN = ("student", "ada", "chen", "jun", "lena", "mallory", "nour", "oskar", "quentin")  # lines of README's table


def test_readme_shows_what_the_answer_files_make():
    """Written by `make test`, like tests/gates: a new exercise is a column here and nobody's work."""
    before, opening, rest = README.read_text().partition("What `make grade` prints:\n\n```\n")
    block, closing, after = rest.partition("```\n")
    assert opening and closing and "1 unreadable\n" in block
    README.write_text(before + opening + readme_block("02_attention") + closing + after)


def readme_block(unit):
    """Some lines of the table, the letters, a note, the summary's last line and the last words."""
    verdicts = [verdict_of(*key, e) for key, e in expectations().items() if key[1] == unit]
    points, graded = Unit.load(sample.UNITS / unit).points, sum(verdict.state == "graded" for verdict in verdicts)
    console = Console(width=table.width(len(points)) + 20, color_system=None, file=io.StringIO())
    console.print(table.render(verdicts, points))
    found = [line.rstrip() for line in console.file.getvalue().splitlines()]
    lines = [line for line in found if line.split()[:1] and line.split()[0] in SHOWN]
    lines += [f" ...{f'({len(verdicts)} students; 1 to {len(points)} are the exercises)':>75}"]
    lines += [line for line in found if "not attempted" in line]
    lines += ["tess: unreadable: The file is not a notebook: it is not valid JSON, perhaps cut off"]
    lines += [report.summary(verdicts).split("\n")[-1]]
    lines += [f"{unit}: {graded} judged, 0 kept. Class report: build/sample/report/{unit}.html"]
    return "\n".join(lines) + "\n"


@pytest.mark.slow
def test_every_bundled_hand_in_gets_the_score_its_answer_file_states(tmp_path):
    from autograder.classroom import grade

    classroom = ClassFolder(tmp_path / "class")
    make_class(classroom.root)
    verdicts = []
    for unit in sorted({unit for _, unit in expectations()}):
        verdicts += grade.grade(classroom, unit).verdicts
    assert verify(verdicts) == []
    shutil.rmtree(classroom.root)
