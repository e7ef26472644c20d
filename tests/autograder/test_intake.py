"""Intake: whatever a student's folder holds, a canonical notebook or one sentence."""

from __future__ import annotations

import copy
import datetime
import html.parser
import json
import os
import random
import re
import types

import nbformat
import pytest
from nbconvert.filters.markdown_mistune import markdown2html_mistune
from nbformat.v4 import new_code_cell, new_markdown_cell, new_raw_cell

from autograder.classroom import intake
from sample_class import SOLVED, TOPIC, UNIT, solved, source_notebook


@pytest.fixture
def release():
    """The released notebook, made by hand here: stubs in place of solutions, no hidden tests, no mark scheme."""
    notebook = source_notebook()
    for cell in notebook.cells:
        begin_to_end = r"[ ]*### BEGIN SOLUTION\n.*### END SOLUTION"
        cell.source = re.sub(begin_to_end, "    raise NotImplementedError", cell.source, flags=re.S)
        cell.source = re.sub(r"\n### BEGIN HIDDEN.*|\n\n=== BEGIN MARK.*", "", cell.source, flags=re.S)
    return notebook


@pytest.fixture
def folders(tmp_path, release):
    """A release folder, a student's folder and where the canonical notebook goes."""
    published, mine = tmp_path / "release", tmp_path / "submitted" / "ada" / UNIT
    published.mkdir()
    mine.mkdir(parents=True)
    nbformat.write(release, published / f"{TOPIC}.ipynb")
    (published / "cases.npz").write_bytes(b"the release's")
    return published / f"{TOPIC}.ipynb", mine, tmp_path / "canonical" / "ada" / UNIT


def take_in(folders, data=None, name=f"{TOPIC}.ipynb", **more):
    published, mine, out = folders
    if data is not None:
        (mine / name).write_bytes(data if isinstance(data, bytes) else json.dumps(data).encode())
    return intake.take_in(mine, published, UNIT, out, **more)


def by_id(notebook):
    return {cell.metadata.get("nbgrader", {}).get("grade_id") or cell.id: cell.source for cell in notebook.cells}


def ids(notebook):
    return [cell.id for cell in notebook.cells]


# An honest notebook, whatever was done to it


def test_solutions_and_answers_come_through_in_release_order(folders, release):
    taken = take_in(folders, solved(release, "Because it is linear."))
    assert taken.reason == "" and taken.notes == []
    assert by_id(taken.notebook) == by_id(release) | SOLVED | {"answer-why": "Because it is linear."}
    assert ids(taken.notebook) == ids(release)
    assert nbformat.read(taken.path, 4) == taken.notebook
    nbformat.validate(taken.notebook)


def test_order_locked_text_points_and_metadata_are_the_releases(folders, release):
    mine = solved(release)
    mine.cells.reverse()
    mine.metadata = {"kernelspec": {"name": "julia"}, "widgets": {"x": 1}}
    for cell in mine.cells:
        cell.metadata["tags"] = ["skip-execution"]
        if cell.metadata.get("nbgrader", {}).get("grade"):
            cell.metadata.nbgrader.points, cell.source = 1000, "pass"
        if cell.metadata.get("nbgrader", {}).get("locked") and not cell.metadata.nbgrader.task:
            cell.source += "\nhacked = True"
    taken = take_in(folders, mine).notebook
    assert ids(taken) == ids(release) and taken.metadata == release.metadata
    assert [c.metadata for c in taken.cells] == [c.metadata for c in release.cells]
    assert by_id(taken) == by_id(release) | SOLVED


def test_missing_cells_are_put_back_and_copies_collapse(folders, release):
    mine = solved(release)
    mine.cells = [c for c in mine.cells if c.id not in ("check-double-it", "add-up")]
    mine.cells += [copy.deepcopy(c) for c in mine.cells if c.id in ("double-it", "check-add-up")]
    taken = take_in(folders, mine)
    assert by_id(taken.notebook) == by_id(release) | {"double_it": SOLVED["double_it"]}
    assert ids(taken.notebook) == ids(release)
    assert taken.notes == ["The cell of exercise add_up was missing; the empty one was put back."]


def test_a_split_exercise_is_joined_around_what_lies_between(folders, release):
    mine = solved(release)
    at = ids(mine).index("double-it")
    first, last = copy.deepcopy(mine.cells[at]), copy.deepcopy(mine.cells[at])
    first.source, last.source = "FACTOR = 1", "def double_it(x):\n    return FACTOR * x"
    mine.cells[at : at + 1] = [first, new_code_cell("FACTOR = 2 * FACTOR"), last]
    joined = by_id(take_in(folders, mine).notebook)["double_it"]
    assert joined == "FACTOR = 1\n\nFACTOR = 2 * FACTOR\n\ndef double_it(x):\n    return FACTOR * x"


def test_an_untouched_copy_below_the_answer_does_not_win(folders, release):
    mine = solved(release)
    at = ids(mine).index("double-it")
    mine.cells.insert(at + 1, copy.deepcopy(release.cells[at]))
    assert by_id(take_in(folders, mine).notebook)["double_it"] == SOLVED["double_it"]


def test_extra_cells_stay_behind_the_cell_they_stood_behind(folders, release):
    mine = solved(release)
    at = ids(mine).index("double-it")
    mine.cells.insert(at, new_code_cell("helper = 2"))
    mine.cells.insert(0, new_code_cell("import itertools"))
    mine.cells.append(new_raw_cell("<script>alert(1)</script>"))
    taken = take_in(folders, mine).notebook
    sources = [cell.source for cell in taken.cells]
    assert sources[0] == "import itertools"
    assert sources.index("helper = 2") == sources.index(SOLVED["double_it"]) - 1
    assert taken.cells[-1].cell_type == "markdown" and "<script" not in sources[-1]
    assert len(set(ids(taken))) == len(taken.cells)


@pytest.mark.parametrize("keep", ["ids", "colab", "names"])
def test_metadata_dropped_by_another_editor(folders, release, keep):
    mine = solved(release, "Because.")
    for cell in mine.cells:
        cell.metadata = {"id": cell.id} if keep == "colab" else {}
        if keep != "ids":
            del cell["id"]
    mine.cells.insert(2, new_code_cell("helper = 1"))
    taken = take_in(folders, mine).notebook
    assert by_id(taken) == by_id(release) | SOLVED | {"answer-why": "Because.", "extra-1": "helper = 1"}


def test_an_exercise_turned_into_text_is_code_again(folders, release):
    mine = solved(release)
    at = ids(mine).index("double-it")
    mine.cells[at] = new_markdown_cell(mine.cells[at].source, metadata=mine.cells[at].metadata)
    assert by_id(take_in(folders, mine).notebook)["double_it"] == SOLVED["double_it"]


def test_copies_made_into_something_of_their_own_are_extra_cells(folders, release):
    mine = solved(release)
    setup = next(c for c in mine.cells if c.id == "setup")
    exercise = next(c for c in mine.cells if c.id == "double-it")
    mine.cells.insert(3, new_code_cell("import json", metadata=setup.metadata))
    mine.cells.insert(5, new_markdown_cell("my notes", metadata=exercise.metadata))
    taken = by_id(take_in(folders, mine).notebook)
    assert taken["setup"] == "import math" and taken["double_it"] == SOLVED["double_it"]
    assert {taken["extra-1"], taken["extra-2"]} == {"import json", "my notes"}


def test_an_answer_typed_into_the_question_is_kept(folders, release):
    mine = solved(release)
    question = next(c for c in mine.cells if c.id == "explain-why")
    question.source += "\n\nIt is linear."
    taken = by_id(take_in(folders, mine).notebook)
    assert taken["explain-why"] == by_id(release)["explain-why"]
    assert "It is linear." in taken["extra-1"]


def test_checks_of_an_older_release_do_not_run(folders, release):
    mine = solved(release)
    about = {"grade": True, "locked": True, "solution": False, "grade_id": "check-gone"}
    mine.cells.insert(3, new_code_cell('check("gone")', metadata={"nbgrader": about}))
    assert ids(take_in(folders, mine).notebook) == ids(release)


def test_old_and_odd_formats(folders, release):
    cells = [{"cell_type": "code", "input": SOLVED["double_it"].splitlines(True), "outputs": [], "metadata": {}}]
    cells += [{"cell_type": "heading", "source": "mine", "level": 1, "metadata": {}}]
    version_3 = {"nbformat": 3, "nbformat_minor": 0, "metadata": {}, "worksheets": [{"cells": cells}]}
    taken = take_in(folders, version_3)
    assert by_id(taken.notebook)["double_it"] == SOLVED["double_it"]
    as_windows = json.dumps(solved(release)).encode("utf-16")
    assert by_id(take_in(folders, as_windows).notebook)["double_it"] == SOLVED["double_it"]


def test_outputs_and_attachments_with_scripts_are_dropped(folders, release):
    mine = solved(release, "See ![p](attachment:p.png)")
    mine.cells[2]["outputs"] = [{"output_type": "display_data", "data": {"text/html": "<script>"}, "metadata": {}}]
    png = "iVBORw0KGgo="
    pictures = {"p.png": {"image/png": png}, "q.svg": {"image/svg+xml": "PHN2Zz4="}, "r": {"image/png": "<>"}}
    mine.cells[-1]["attachments"] = pictures
    taken = take_in(folders, mine).notebook
    assert all(cell.get("outputs", []) == [] for cell in taken.cells)
    assert taken.cells[-1].attachments == {"p.png": {"image/png": png}}


# Files that are no notebook


MALFORMED = {
    "empty": b"",
    "blank": b" \n\n",
    "not JSON": b"hello",
    "NULs": b"\0" * 4096,
    "nested 100,000 deep": b"[" * 100_000 + b"]" * 100_000,
    "nested deep in a cell": b'{"cells": [' + b'{"a": ' * 50_000 + b"1" + b"}" * 50_000 + b"]}",
    "a million cells": b'{"cells": [' + b"{}," * 999_999 + b"{}]}",
    "a number": b"12",
    "a huge number": b'{"cells": ' + b"9" * 10_000 + b"}",
    "a list": b"[]",
    "no cells": b'{"nbformat": 4}',
    "cells is text": b'{"cells": "abc"}',
    "cells are numbers": b'{"cells": [1, null, "a", []]}',
    "worksheets are numbers": b'{"worksheets": [1, {"cells": 2}]}',
    "another unit's": json.dumps({"cells": [{"cell_type": "code", "source": "x = 1", "id": "z"}]}).encode(),
    "bad UTF-8": b"\xff\xfe\xfa\xfb" * 10,
    "21 MB": b" " * 21_000_000,
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_files_give_one_sentence_and_a_row(folders, release, name):
    taken = take_in(folders, MALFORMED[name])
    assert taken.notebook is None
    assert re.fullmatch(r"[A-Z\"][^\n]{10,200}\.", taken.reason)
    stand_in = nbformat.read(taken.path, as_version=4)
    assert ids(stand_in)[1:] == ids(release) and taken.reason in stand_in.cells[0].source
    assert taken.digest == intake.code_digest(stand_in)


def test_a_truncated_notebook_is_unreadable_at_any_length(folders, release):
    whole = json.dumps(solved(release)).encode()
    for length in range(1, len(whole) - 1, 97):
        assert take_in(folders, whole[:length]).notebook is None


@pytest.mark.parametrize("seed", range(300))
def test_damaged_notebooks_never_raise(release, seed):
    """Values replaced at random places of a real notebook: canonical or Unreadable, and a canonical one is valid."""
    chance = random.Random(seed)
    mine = json.loads(json.dumps(solved(release, "Because.")))
    for _ in range(chance.randint(1, 8)):
        _damage(mine, chance)
    try:
        notebook = intake.canonical(json.dumps(mine).encode(), release)
    except intake.Unreadable:
        return
    nbformat.validate(notebook)
    nbformat.writes(notebook).encode()
    assert [i for i in ids(notebook) if not i.startswith("extra")] == ids(release)


def _damage(value, chance):
    odd = [None, 0, -1, 1e300, "", "\ud800", "\0", [], {}, [[]], {"a": {}}, True, "double_it", ["x", 1, None], "def f("]
    while isinstance(value, dict | list) and value:
        key = chance.choice(list(value)) if isinstance(value, dict) else chance.randrange(len(value))
        if chance.random() < 0.35 or not isinstance(value[key], dict | list) or not value[key]:
            value[key] = copy.deepcopy(chance.choice(odd))
            return
        value = value[key]


def test_bytes_that_no_source_may_hold_are_replaced(folders, release):
    mine = solved(release)
    next(c for c in mine.cells if c.id == "double-it").source = "x = '\0\ud800'\ndef double_it(x): return 2 * x"
    text = json.dumps(mine).encode()
    taken = take_in(folders, text.replace(b"2 * x", b"2 * x # \xff"))
    source = by_id(taken.notebook)["double_it"]
    assert "\0" not in source and source.encode() and compile(source, "", "exec")
    assert any("UTF-8" in note for note in taken.notes)


def test_limits(folders, release):
    mine = solved(release)
    mine.cells += [new_code_cell("pass") for _ in range(intake.MAX_CELLS)]
    assert "cells" in take_in(folders, mine).reason
    assert "has 21 MB" in take_in(folders, b" " * 21_000_000).reason
    mine = solved(release)
    mine.cells.append(new_code_cell("#" * intake.MAX_CODE_CHARACTERS))
    assert "characters of code" in take_in(folders, mine).reason


# Which file


def test_the_exact_name_wins_then_the_only_notebook(folders, release):
    right, wrong = solved(release), copy.deepcopy(release)
    take_in(folders, wrong, "a draft.ipynb")
    assert by_id(take_in(folders, right).notebook)["double_it"] == SOLVED["double_it"]
    (folders[1] / f"{TOPIC}.ipynb").unlink()
    (folders[1] / "a draft.ipynb").unlink()
    taken = take_in(folders, right, "tiny (1).ipynb")
    assert by_id(taken.notebook)["double_it"] == SOLVED["double_it"]
    assert taken.notes == ['The notebook was called "tiny (1).ipynb"; expected tiny.ipynb.']


def test_no_notebook_is_a_reason(folders, release):
    assert take_in(folders).reason == "There is no notebook in the hand-in; expected tiny.ipynb."


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("hw.zip", '"hw.zip" (an archive, which is not unpacked)'),
        ("tiny.ipynb.txt", '"tiny.ipynb.txt" (its name must end in .ipynb)'),
        ("tiny.ipynb.TAR.GZ", '"tiny.ipynb.TAR.GZ" (an archive, which is not unpacked)'),
        ("tiny.py", '"tiny.py"'),
    ],
)
def test_what_was_handed_in_instead_of_a_notebook_is_named(folders, release, name, says):
    (folders[1] / "timestamp.txt").write_text("2026-01-01 00:00:00 UTC")
    (folders[1] / "a note.md").write_text("sorry")
    taken = take_in(folders, json.dumps(solved(release)).encode(), name)
    assert taken.notebook is None and says in taken.reason and "timestamp" not in taken.reason
    assert taken.reason.startswith("There is no notebook in the hand-in; expected tiny.ipynb and found ")


def test_a_notebook_in_a_folder_of_its_own_is_named(folders, release):
    (folders[1] / "my work").mkdir()
    nbformat.write(solved(release), folders[1] / "my work" / f"{TOPIC}.ipynb")
    assert take_in(folders).reason.endswith('and found "my work" (a folder).')


# Several versions


OTHER = "def double_it(x):\n    return x + x"
EARLIER = 'def double_it(x):\n    """The words of an earlier release."""\n    raise NotImplementedError'
NOW = 1_770_000_000


def versions(folders, release, **contents):
    """Hand in notebooks by name: (what double_it is, None for the untouched release; when it was saved)."""
    for name, (source, when) in contents.items():
        mine = copy.deepcopy(release)
        for cell in mine.cells:
            if cell.id == "double-it" and source is not None:
                cell.source = source
        path = folders[1] / f"{name}.ipynb"
        path.write_bytes(source if isinstance(source, bytes) else json.dumps(mine).encode())
        os.utime(path, (when, when))
    taken = take_in(folders)
    return by_id(taken.notebook)["double_it"] if taken.notebook else taken.reason, taken


@pytest.mark.parametrize(
    ("contents", "why"),
    [
        ({TOPIC: (SOLVED["double_it"], NOW), "tiny (1)": (OTHER, NOW - 3600)}, "was saved last"),
        ({TOPIC: (OTHER, NOW - 3600), "tiny (1)": (SOLVED["double_it"], NOW)}, "was saved last"),
        ({TOPIC: (None, NOW + 1), "tiny (1)": (SOLVED["double_it"], NOW)}, "alone has work in it"),
        ({TOPIC: (SOLVED["double_it"], NOW), "tiny (1)": (None, NOW + 86_400)}, "alone has work in it"),
        ({TOPIC: (SOLVED["double_it"], NOW), "tiny (1)": (EARLIER, NOW + 86_400)}, "alone has work in it"),
        ({TOPIC: (SOLVED["double_it"], NOW), "tiny (1)": (b'{"cells": [', NOW + 86_400)}, "alone has work in it"),
        ({TOPIC: (OTHER, NOW + 2), "tiny (1)": (SOLVED["double_it"], NOW)}, "has the highest number in its name"),
        (
            {"tiny (9)": (OTHER, NOW + 2), "tiny (10)": (SOLVED["double_it"], NOW), TOPIC: (OTHER, NOW)},
            "has the highest number in its name",
        ),
        ({"07_tiny": (OTHER, NOW), "Tiny-Copy1": (SOLVED["double_it"], NOW)}, "has the highest number in its name"),
        ({TOPIC: (SOLVED["double_it"], NOW), "zz": (OTHER, NOW)}, "has the expected name"),
        ({"a": (OTHER, NOW), "b\udcff": (SOLVED["double_it"], NOW)}, "comes last by its name"),
    ],
)
def test_the_newest_of_several_versions_counts_and_the_others_are_named(folders, release, contents, why):
    source, taken = versions(folders, release, **contents)
    assert source == SOLVED["double_it"]
    (note,) = [note for note in taken.notes if "beside it lay" in note]
    assert f"because it {why};" in note
    assert all(name.replace("\udcff", "?") in note for name in contents)


def test_a_copied_class_folder_is_graded_as_the_folder_was(folders, release):
    """A copy gives new times in the order of copying; which version counts must not turn with it."""
    for earlier, later in ((0, 1), (9, 0)):
        copies = {TOPIC: (OTHER, NOW + earlier), "tiny (2)": (SOLVED["double_it"], NOW + later)}
        assert versions(folders, release, **copies)[0] == SOLVED["double_it"]


def test_the_time_of_the_hand_in_is_that_of_the_version_that_counts(folders, release):
    _, taken = versions(folders, release, **{TOPIC: (OTHER, NOW - 3600), "tiny (1)": (SOLVED["double_it"], NOW)})
    assert taken.timestamp == datetime.datetime.fromtimestamp(NOW, datetime.UTC)


def test_a_written_answer_or_a_cell_of_ones_own_is_work(folders, release):
    answered, added = copy.deepcopy(release), copy.deepcopy(release)
    next(cell for cell in answered.cells if cell.id == "answer-why").source = "Because."
    added.cells.insert(3, new_code_cell("1 + 1"))
    for mine in (answered, added):
        (folders[1] / "tiny (1).ipynb").write_text(json.dumps(mine))
        (note,) = versions(folders, release, **{"tiny (2)": (None, 2 * NOW)})[1].notes
        assert '"tiny (1).ipynb" was graded, because it alone has work in it' in note


def test_a_version_that_can_not_be_read_counts_before_an_untouched_one(folders, release):
    reason, taken = versions(folders, release, **{TOPIC: (None, NOW), "tiny (1)": (b'{"cells": [', NOW)})
    assert taken.notebook is None and "not valid JSON" in reason


def test_of_very_many_notebooks_those_of_the_unit_are_looked_at(folders, release):
    for number in range(intake.MAX_VERSIONS + 1):
        (folders[1] / f"unit {number}.ipynb").write_text("{}")
    assert "more than 10 notebooks" in take_in(folders).reason
    assert versions(folders, release, **{TOPIC: (SOLVED["double_it"], NOW)})[0] == SOLVED["double_it"]


@pytest.mark.parametrize("kind", ["link", "fifo", "folder", "dangling"])
def test_only_regular_files_are_opened(folders, release, kind, tmp_path):
    secret = tmp_path / "secret.ipynb"
    nbformat.write(solved(release), secret)
    target = folders[1] / f"{TOPIC}.ipynb"
    makers = {
        "link": lambda: target.symlink_to(secret),
        "fifo": lambda: os.mkfifo(target),
        "folder": target.mkdir,
        "dangling": lambda: target.symlink_to("nowhere"),
    }
    makers[kind]()
    taken = take_in(folders)
    assert taken.notebook is None and "not followed" in taken.reason


def test_folders_that_are_links_are_not_entered(folders, release, tmp_path):
    published, mine, out = folders
    take_in(folders, solved(release))
    other = tmp_path / "submitted" / "bob"
    other.symlink_to(mine.parent)
    assert "symbolic link" in intake.take_in(other / UNIT, published, UNIT, out).reason
    third = tmp_path / "submitted" / "cyd"
    third.mkdir()
    (third / UNIT).symlink_to(mine)
    assert "symbolic link" in intake.take_in(third / UNIT, published, UNIT, out).reason
    assert "Nothing was handed in" in intake.take_in(third / "none", published, UNIT, out).reason


def test_side_files_are_the_releases_and_nothing_else(folders, release):
    for name in ("cases.npz", "torch.py", "conftest.py", "timestamp.txt", "bomb.zip"):
        (folders[1] / name).write_text("2001-01-01 00:00:00 UTC")
    (folders[1] / "data").mkdir()
    folders[2].mkdir(parents=True)
    (folders[2] / "stale.py").write_text("x")
    taken = take_in(folders, solved(release))
    assert sorted(p.name for p in folders[2].iterdir()) == ["cases.npz", "timestamp.txt", f"{TOPIC}.ipynb"]
    assert (folders[2] / "cases.npz").read_bytes() == b"the release's"
    assert taken.timestamp.year > 2001


# Time and digest


def test_the_collectors_clock_else_the_files(folders, release, tmp_path):
    take_in(folders, solved(release))
    os.utime(folders[1] / f"{TOPIC}.ipynb", (1_700_000_000, 1_700_000_000))
    assert take_in(folders).timestamp == datetime.datetime.fromtimestamp(1_700_000_000, datetime.UTC)
    clock = tmp_path / "timestamps.csv"
    clock.write_text(f"student,unit,timestamp\nbob,{UNIT},2020-01-01\nada,{UNIT},2026-01-01 12:00:00+02:00\n")
    taken = take_in(folders, timestamps=clock)
    assert taken.timestamp == datetime.datetime(2026, 1, 1, 10, tzinfo=datetime.UTC)
    assert (folders[2] / "timestamp.txt").read_text() == "2026-01-01 10:00:00.000000 UTC\n"
    clock.write_text(f"student,unit,timestamp\nada,{UNIT},2026-01-01 12:00\n")
    assert take_in(folders, timestamps=clock).timestamp == datetime.datetime(2026, 1, 1, 12, tzinfo=datetime.UTC)
    clock.write_text(f"student,unit,timestamp\nada,{UNIT},\n")
    assert take_in(folders, timestamps=clock).timestamp == datetime.datetime.fromtimestamp(1_700_000_000, datetime.UTC)


@pytest.mark.parametrize("when", [1e18, -1e18, float("nan")])
def test_dates_no_calendar_has_are_no_error(when):
    assert intake._time(types.SimpleNamespace(st_mtime=when)).tzinfo is datetime.UTC


def test_the_digest_is_about_code_only(folders, release):
    first = take_in(folders, solved(release))
    same = solved(release, "An answer.")
    same.cells[2]["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "x"}]
    assert take_in(folders, same).digest == first.digest
    assert take_in(folders, same).answers != first.answers
    other = solved(release)
    other.cells.insert(3, new_code_cell("helper = 1"))
    assert take_in(folders, other).digest != first.digest
    untouched = take_in(folders, release).digest
    assert take_in(folders, b"").digest not in (untouched, take_in(folders, b"{").digest)


def test_taking_in_twice_writes_nothing_new(folders, release):
    taken = take_in(folders, solved(release))
    before = {p.name: p.stat().st_mtime_ns for p in folders[2].iterdir()}
    assert take_in(folders) == taken == intake.recall(taken.path)
    assert {p.name: p.stat().st_mtime_ns for p in folders[2].iterdir()} == before


def test_the_same_hand_in_is_hashed_and_not_read_again(folders, release, monkeypatch, tmp_path):
    read = []
    whole = intake.canonical
    monkeypatch.setattr(intake, "canonical", lambda *a: read.append(1) or whole(*a))
    clock = tmp_path / "timestamps.csv"
    clock.write_text(f"student,unit,timestamp\nada,{UNIT},2026-01-01\n")
    taken = take_in(folders, solved(release), timestamps=clock)
    assert take_in(folders, timestamps=clock) == taken and len(read) == 1
    unreadable = take_in(folders, b"{", timestamps=clock)
    assert take_in(folders, timestamps=clock) == unreadable and len(read) == 2


def _another_byte(folders, clock, monkeypatch):
    notebook = folders[1] / f"{TOPIC}.ipynb"
    stamps = notebook.stat()
    notebook.write_bytes(notebook.read_bytes() + b" ")
    os.utime(notebook, ns=(stamps.st_atime_ns, stamps.st_mtime_ns))


def _another_clock(folders, clock, monkeypatch):
    clock.write_text(f"student,unit,timestamp\nada,{UNIT},2026-01-01 10:00\n")


def _another_release(folders, clock, monkeypatch):
    folders[0].write_text(folders[0].read_text().replace("Two functions.", "Two small functions."))


def _another_intake(folders, clock, monkeypatch):
    monkeypatch.setattr(intake, "_OWN", ["newer"])


def _edited_canonical(folders, clock, monkeypatch):
    (folders[2] / f"{TOPIC}.ipynb").write_text("{}")


def _no_canonical(folders, clock, monkeypatch):
    (folders[2] / f"{TOPIC}.ipynb").unlink()


@pytest.mark.parametrize(
    "change",
    [_another_byte, _another_clock, _another_release, _another_intake, _edited_canonical, _no_canonical],
    ids=lambda change: change.__name__,
)
def test_whatever_else_changed_is_read_again(folders, release, monkeypatch, tmp_path, change):
    clock = tmp_path / "timestamps.csv"
    clock.write_text(f"student,unit,timestamp\nada,{UNIT},2026-01-01\n")
    take_in(folders, solved(release), timestamps=clock)
    change(folders, clock, monkeypatch)
    read = []
    whole = intake.canonical
    monkeypatch.setattr(intake, "canonical", lambda *a: read.append(1) or whole(*a))
    taken = take_in(folders, timestamps=clock)
    assert read == [1] and by_id(taken.notebook)["double_it"] == SOLVED["double_it"]


def test_a_missing_side_file_and_a_stray_one_are_put_right_without_reading(folders, release, monkeypatch):
    take_in(folders, solved(release))
    (folders[2] / "cases.npz").unlink()
    (folders[2] / "stray.py").write_text("x")
    monkeypatch.setattr(intake, "canonical", None)
    take_in(folders)
    assert sorted(p.name for p in folders[2].iterdir()) == ["cases.npz", "timestamp.txt", f"{TOPIC}.ipynb"]


# Markdown that can't run


ACTIVE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "a <svg/onload=alert(1)> b",
    "<iframe srcdoc='<script>1</script>'></iframe>",
    "[x](javascript:alert(1))",
    "[x]( JaVaScRiPt:alert(1))",
    "[x](\njavascript:alert(1))",
    "[x](<javascript:alert(1)>)",
    "[x](&#106;avascript:alert(1))",
    "[x](java\\\nscript:alert(1))",
    "[x](data:text/html,<script>1</script>)",
    "[x][y]\n\n[y]: javascript:alert(1)",
    "[x][y]\n\n[y]:\njavascript:alert(1)",
    "[x][y]\n\n[y]:\n  <javascript:alert(1)>",
    "![x](javascript:alert(1))",
    "<javascript:alert(1)>",
    "```\n</code></pre><script>1</script>\n```",
    "`<script>`",
    "$</span><script>alert(1)</script>$",
    "$$<img src=x onerror=1>$$",
    "\\begin{a<script>}x\\end{a<script>}",
    "<!-- --><style>*{}</style>",
    '[x](https://a.b "t\\" onclick=\\"alert(1)")',
    '![a" onerror="alert(1)](https://a.b/c.png)',
    "| a |\n|---|\n| <b onclick=1> |",
    "[^1]\n\n[^1]: <script>1</script>",
    "[^1]\n\n[^1]: [x](javascript:1)",
    "<a href='https://x' onclick='1'>x</a>",
    "<\nscript>alert(1)</script>",
]


class _Finder(html.parser.HTMLParser):
    """Collects what could run in a page."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attributes):
        if tag in ("script", "svg", "iframe", "object", "embed", "style", "form", "meta", "base", "link"):
            self.found.append(tag)
        for name, value in attributes:
            target = re.sub(r"[\s\0]", "", value or "").lower()
            if name.startswith("on") or target.startswith(("javascript:", "data:", "vbscript:")):
                self.found.append((tag, name, value))


def active_parts(page):
    finder = _Finder()
    finder.feed(page)
    return finder.found


@pytest.mark.parametrize("text", ACTIVE)
def test_markdown_carries_nothing_that_runs(text):
    assert active_parts(markdown2html_mistune(intake.harmless_markdown(text))) == []


def test_most_of_these_would_run_if_left_alone():
    assert sum(bool(active_parts(markdown2html_mistune(text))) for text in ACTIVE) > 15


def test_honest_markdown_looks_as_written():
    text = "Since $a < b$ and **x** is [here](https://a.b/c), `y<3`.\n\n- one\n- two\n\n![p](attachment:p.png)"
    assert intake.harmless_markdown(text, {"p.png"}) == text


def test_tex_that_runs_something_is_no_command():
    assert "\\href" not in intake.harmless_markdown(r"$\href{javascript:alert(1)}{x}$")
