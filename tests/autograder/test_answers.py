"""Answers that are edits of a right one: what an edit does, and what it says when it does not fit.

Not here: whole answers and keys (test_build.py), and whether the course's answers are wrong (tests/test_units.py).
"""

from __future__ import annotations

import ast
import shutil
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from autograder.authoring.answers import Edit, edited, read_answers
from autograder.authoring.percent import AuthoringError
from autograder.authoring.unit import Unit

TINY = Path(__file__).resolve().parent.parent / "units" / "90_tiny"
SOLUTION = """\
def scale(x, times):
    if times > 1:
        y = x * 2
        y = y + 1

        return y
    y = x * 3
    return y"""
LOOPS = "def scale(x, times):\n    for _ in range(times):\n        x = x * 2\n    return x"
KEY = '# %% exercise="scale" wrong="by_two"'
SENTENCE = '"""Wrong."""'


def read(tmp_path, cell, key=KEY, sentence=SENTENCE):
    """The source of one answer to `scale` that is written as `cell`."""
    (tmp_path / "right.py").write_text(f'# %% exercise="scale" right="loops"\n{LOOPS}\n')
    (tmp_path / "misconceptions.py").write_text(f"{key}\n{sentence}\n{cell}\n")
    solutions = {"scale": SOLUTION, "other": "y = 1"}
    rights = read_answers(tmp_path / "right.py", "right", solutions)
    (answer,) = read_answers(tmp_path / "misconceptions.py", "wrong", solutions, rights)
    return answer.source


# What an edit does


def test_one_fragment_is_replaced_and_the_rest_stays(tmp_path):
    assert read(tmp_path, 'edit("x * 3", "x + 3")') == SOLUTION.replace("x * 3", "x + 3")


def test_edits_follow_one_after_another(tmp_path):
    made = read(tmp_path, 'edit("x * 3", "x * 4")\nedit("x * 4", "x * 5")')
    assert made == SOLUTION.replace("x * 3", "x * 5")


def test_times_replaces_each(tmp_path):
    made = read(tmp_path, 'edit("return y", "return x + y", times=2)')
    assert made == SOLUTION.replace("return y", "return x + y")


def test_several_lines_match_at_any_indentation_and_keep_it(tmp_path):
    made = read(tmp_path, 'edit("""\n    y = x * 2\n    y = y + 1\n""", """\n    y = x\n    y += 1\n""")')
    assert made == SOLUTION.replace("        y = x * 2\n        y = y + 1\n", "        y = x\n        y += 1\n")


def test_a_long_line_may_stand_alone_between_its_quotes(tmp_path):
    assert read(tmp_path, 'edit(\n    """\n    x * 3\n    """,\n    "x",\n)') == SOLUTION.replace("x * 3", "x")


def test_several_lines_may_end_further_left_and_hold_an_empty_line(tmp_path):
    cell = 'edit("""\n        y = y + 1\n\n        return y\n    y = x * 3\n""", """\n        return y\n    y = x\n""")'
    assert read(tmp_path, cell) == SOLUTION.replace("        y = y + 1\n\n", "").replace("x * 3", "x")


def test_an_empty_line_may_hold_spaces_in_the_base():
    assert made("if 1:\n    a = 1\n  \n    b = 2", "a = 1\n\nb = 2", "c = 3") == "if 1:\n    c = 3"


@pytest.mark.parametrize("lines", ["= x * 2\ny = y + 1", "y = x * 2\ny = y +"], ids=["begin", "end"])
def test_several_lines_are_whole_lines(tmp_path, lines):
    with pytest.raises(AuthoringError, match="is not in what is edited"):
        read(tmp_path, f'edit("""\n{lines}\n""", "y = 1")')


def test_one_line_becomes_several_at_its_indentation(tmp_path):
    made = read(tmp_path, 'edit("y = x * 2", """\n    if x:\n        y = 2\n""")')
    assert made == SOLUTION.replace("y = x * 2", "if x:\n            y = 2")


def test_lines_can_be_taken_out(tmp_path):
    made = read(tmp_path, 'edit("""\n    y = x * 2\n    y = y + 1\n""", "")')
    assert [line for line in made.split("\n") if line.strip()] == [
        line for line in SOLUTION.split("\n") if line.strip() and "x * 2" not in line and "y + 1" not in line
    ]


def test_another_right_style_can_be_edited(tmp_path):
    made = read(tmp_path, 'edit("x * 2", "x * 4")', key=KEY + ' of="loops"')
    assert made == LOOPS.replace("x * 2", "x * 4")


def test_a_right_style_can_be_edits_and_be_edited_in_turn(tmp_path):
    path = tmp_path / "right.py"
    path.write_text('# %% exercise="scale" right="added"\nedit("x * 3", "x + x + x")\n')
    (right,) = read_answers(path, "right", {"scale": SOLUTION})
    assert right.source == SOLUTION.replace("x * 3", "x + x + x") and right.sentence == ""
    path.write_text(f'{KEY} of="added"\n{SENTENCE}\nedit("x + x + x", "x + x")\n')
    (wrong,) = read_answers(path, "wrong", {"scale": SOLUTION}, [right])
    assert wrong.source == SOLUTION.replace("x * 3", "x + x")


def test_the_solutions_markers_are_gone_before_it_is_edited(tmp_path):
    folder = shutil.copytree(TINY, tmp_path / "90_tiny")
    cell = '# %% exercise="double_it" wrong="triples"\n"""Three times."""\nedit("x + x", "x + x + x")\n'
    (folder / "misconceptions.py").write_text(cell)
    unit = Unit.load(folder)
    (wrong,) = unit.misconceptions
    assert wrong.source == unit.solution_source("double_it").replace("x + x", "x + x + x")
    assert "BEGIN" not in wrong.source and wrong.sentence == "Three times."


def test_a_whole_answer_stays_what_it_is(tmp_path):
    whole = "def scale(x, times):\n    return edit(x)"
    assert read(tmp_path, whole) == whole


# What an edit says when it does not fit: cell, sentence, line of the file

MISTAKES = {
    "not there": ('edit("x * 9", "x")', 'the old text is not in what is edited: "x * 9"', 3),
    "lines not there": ('edit("""\n    y = 9\n    y = 8\n""", "x")', 'what is edited: "y = 9" ...', 3),
    "second edit": ('edit("x * 2", "x")\n\nedit("x * 2", "x")', "is not in what is edited", 5),
    "too often": (
        'edit("return y", "x")',
        'the old text stands there 2 times instead of once: "return y"; write more of the line around it, or times=N',
        3,
    ),
    "not so often": ('edit("x * 2", "x",\n    times=3)', "stands there 1 times instead of 3 times", 3),
    "the same": ('edit("x * 2", "x * 2")', "this edit changes nothing", 3),
    "there and back": ('edit("x * 2", "x * 9")\nedit("x * 9", "x * 2")', "these edits change nothing", 4),
    "no Python": ('edit("x * 2", "x *")', "the edited text is no Python: invalid syntax, in its line 3", 3),
    "mixed": ('edit("x * 2", "x")\ny = 1', "this one mixes them; write this line as an edit, too", 4),
    "mixed, code first": ('y = 1\nedit("x * 2", "x")', "this one mixes them", 3),
    "a name": ('edit(old, "x")', 'expected edit("old text", "new text") with two plain strings', 3),
    "an f-string": ('edit("x * 2", f"x")', "two plain strings", 3),
    "a sum": ('edit("x * 2", "x" + "y")', "two plain strings", 3),
    "a number": ('edit("x * 2", 2)', "two plain strings", 3),
    "one string": ('edit("x * 2")', "two plain strings", 3),
    "three strings": ('edit("x * 2", "x", "y")', "two plain strings", 3),
    "two strings and a name": ('edit("x * 2", "x", y)', "two plain strings", 3),
    "nothing old": ('edit("", "x")', "two plain strings", 3),
    "another word": ('edit("x * 2", "x", count=2)', "two plain strings", 3),
    "no number of times": ('edit("return y", "x", times="2")', "two plain strings", 3),
    "no times": ('edit("return y", "x", times=0)', "two plain strings", 3),
    "true times": ('edit("x * 2", "x", times=True)', "two plain strings", 3),
    "unpacked": ('edit("x * 2", "x", **{"times": 1})', "two plain strings", 3),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistake_is_told_with_the_line_of_the_edit(tmp_path, mistake):
    cell, sentence, line = MISTAKES[mistake]
    with pytest.raises(AuthoringError) as told:
        read(tmp_path, cell)
    assert sentence in told.value.message and "\n" not in str(told.value)
    assert told.value.line == line and told.value.file.name == "misconceptions.py"


@pytest.mark.parametrize(
    "name, told_name", [("loop", ' (there is "loops": a typo?)'), ("elsewhere", "")], ids=["a typo", "another word"]
)
def test_a_base_that_is_no_right_style_is_told(tmp_path, name, told_name):
    with pytest.raises(AuthoringError) as told:
        read(tmp_path, 'edit("x * 2", "x")', key=f'{KEY} of="{name}"')
    assert told.value.message == f'of="{name}" is no style of "scale" in right.py{told_name}'
    assert told.value.line == 1


def test_a_style_of_another_exercise_is_no_base(tmp_path):
    with pytest.raises(AuthoringError, match='is no style of "other"'):
        read(tmp_path, 'edit("x * 2", "x")', key=KEY.replace("scale", "other") + ' of="loops"')


def test_a_whole_answer_has_no_base(tmp_path):
    with pytest.raises(AuthoringError, match="this cell is a whole answer"):
        read(tmp_path, "def scale(x, times):\n    return x", key=KEY + ' of="loops"')


def test_a_right_style_is_always_of_the_solution(tmp_path):
    path = tmp_path / "right.py"
    path.write_text('# %% exercise="scale" right="a" of="b"\nedit("x * 2", "x")\n')
    with pytest.raises(AuthoringError, match='unknown key "of"'):
        read_answers(path, "right", {"scale": SOLUTION})


# Properties

NAMES = st.lists(st.sampled_from(["a", "b", "ab", "cab", "d"]), min_size=1, max_size=8)


def made(base, old, new, times=1):
    return edited(base, [Edit(old, new, times, Path("misconceptions.py"), 1)])


@given(NAMES, st.sampled_from(["b", "d", "(a)", "b + d", "b = d"]), st.data())
def test_an_edit_is_str_replace_where_the_old_text_stands_as_often_as_said(names, new, data):
    lines = [f"{name} = a + {name}" for name in names]
    line = data.draw(st.sampled_from(lines))
    start = data.draw(st.integers(0, len(line) - 1))
    old = line[start : data.draw(st.integers(start + 1, len(line)))]
    base = "\n".join(lines)
    times, wanted = base.count(old), base.replace(old, new)
    assume(old.strip())
    if wanted != base and is_python(wanted):
        assert made(base, old, new, times) == wanted
    else:
        with pytest.raises(AuthoringError, match="changes? nothing|no Python"):
            made(base, old, new, times)
    with pytest.raises(AuthoringError, match="stands there"):
        made(base, old, new, times + 1)


def is_python(source):
    try:
        return bool(ast.parse(source))
    except SyntaxError:
        return False


@given(st.lists(NAMES, min_size=2, max_size=4), st.integers(0, 3), st.data())
def test_whole_lines_are_replaced_where_they_stand(blocks, depth, data):
    """Any run of two or more lines at any depth: the edit is the replacement of these lines, indented as they were."""
    lines = [f"line_{number} = {' + '.join(names)}" for number, names in enumerate(blocks)]
    first = data.draw(st.integers(0, len(lines) - 2))
    last = data.draw(st.integers(first + 2, len(lines)))
    indent = "    " * depth
    head = [f"{'    ' * level}if {level}:" for level in range(depth)]
    base = "\n".join(head + [indent + line for line in lines])
    new = ["one = 1", "two = 2"]
    wanted = "\n".join(head + [indent + line for line in [*lines[:first], *new, *lines[last:]]])
    assume(wanted != base)
    assert made(base, "\n".join(lines[first:last]), "\n".join(new)) == wanted
