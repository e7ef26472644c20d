"""A slip costs its own exercise: what stands on it is judged again on the course's answer; the better result counts."""

from dataclasses import replace

import nbformat
import pytest

from autograder import ROOT
from autograder.authoring.unit import find_unit
from autograder.judging.follow_on import better, with_answers
from autograder.judging.judge import judge
from autograder.judging.needed import Cell
from autograder.judging.rules import HandIn, code_cells, rules_for
from course.checking import cases
from course.checking.verdict import ExerciseVerdict
from grader_kernels.judging.verdict import Named

UNIT = find_unit("01").name
ASKED = ("rnn_step", "rnn_forward", "clip_gradient_norm")
SLIP = "\n_right_step = rnn_step\ndef rnn_step(*given):\n    return 0.5 * _right_step(*given)\n"


def judged(changes: dict, unit: str = UNIT, asked: tuple[str, ...] = ASKED) -> dict[str, ExerciseVerdict]:
    """The rows of the solved notebook with these exercises' cells changed: by text to add, or by a function."""
    (path,) = (ROOT / "solutions" / unit).glob("*.ipynb")
    notebook = nbformat.read(path, 4)
    for cell in notebook.cells:
        change = changes.get(cell.metadata.get("nbgrader", {}).get("grade_id"))
        if change is not None:
            cell.source = change(cell.source) if callable(change) else cell.source + change
    handin = HandIn("someone", code_cells(notebook), "digest")
    rules = rules_for(unit)
    few = cases.Cases(unit, {name: rules.recorded.check(name) for name in asked})
    rules = replace(rules, recorded=few)
    return {row.name: row for row in judge(rules, handin, b"secret", kind="none").exercises}


def test_a_slip_below_costs_its_own_points_only():
    rows = judged({"rnn_step": SLIP})
    assert rows["rnn_step"].state == "partial" or rows["rnn_step"].state == "failed"
    row = rows["rnn_forward"]
    assert (row.score, row.state) == (row.max_score, "passed")
    assert row.reason == "judged with the course's rnn_step in place of yours, which is not right"
    assert {row.name for row in rows.values() if row.score < row.max_score} == {"rnn_step"}


def test_a_mistake_of_its_own_above_a_slip_is_seen_and_named():
    wrong = lambda text: text.replace("lengths - 1]", "lengths.clamp(max=x.shape[1] - 1)]")  # noqa: E731
    plain = judged({"rnn_forward": wrong})["rnn_forward"]
    both = judged({"rnn_forward": wrong, "rnn_step": SLIP})["rnn_forward"]
    assert plain.misconception.name == "one_step_too_late" and 0 < plain.score < plain.max_score
    assert (both.score, both.misconception) == (plain.score, plain.misconception)


def test_what_can_not_be_written_without_the_one_below_is_counted_as_well():
    unwritten = "\ndef rnn_step(*given):\n    raise NotImplementedError('write rnn_step here')\n"
    rows = judged({"rnn_step": unwritten})
    assert rows["rnn_step"].score == 0
    assert rows["rnn_forward"].score == rows["rnn_forward"].max_score


ATTENTION_BY_MASKING = """
def scaled_dot_product_attention(q, k, v, mask=None):
    if mask is None:
        mask = torch.ones(q.shape[-2], k.shape[-2], dtype=torch.bool)
    weights = repaired_masking(q @ k.mT / math.sqrt(q.shape[-1]), mask)
    return weights @ v, weights
"""
MASKING_BY_ATTENTION = """
def repaired_masking(logits, mask):
    if not (mask.dtype == torch.bool or mask.is_floating_point()):
        raise TypeError("bool or float")
    S = logits.shape[-1]
    eye = torch.eye(S, dtype=logits.dtype).expand(*logits.shape[:-2], S, S)
    mask = mask if mask.dtype == torch.bool else mask.to(logits.dtype)
    return scaled_dot_product_attention(logits * math.sqrt(S), eye, eye, mask)[1]
"""


def test_of_answers_that_stand_on_each_other_the_upper_one_is_not_paid():
    both = {"scaled_dot_product_attention": ATTENTION_BY_MASKING, "repaired_masking": MASKING_BY_ATTENTION}
    rows = judged(both, find_unit("02").name, tuple(both))
    assert rows["scaled_dot_product_attention"].score == 0
    alone = judged({"repaired_masking": MASKING_BY_ATTENTION}, find_unit("02").name, tuple(both))["repaired_masking"]
    assert alone.score == alone.max_score


def verdict(score, named="", reason=""):
    return ExerciseVerdict("top", score, 2, "partial", reason, Named(named, "") if named else None)


@pytest.mark.parametrize(
    "first, again, wins",
    [((1, ""), (2, ""), True), ((1, ""), (1, ""), False), ((1, ""), (1, "seen"), True), ((2, ""), (1, "seen"), False)],
)
def test_the_better_result_counts_and_says_so(first, again, wins):
    kept = better(verdict(*first), verdict(*again, "why"), ("one", "two"))
    assert kept.score == max(first[0], again[0])
    said = "judged with the course's one and two in place of yours, which are not right; why"
    assert kept.reason == (said if wins else "")


def test_the_course_s_answer_stands_after_the_student_s():
    handin = HandIn("s", [Cell("a", "one", "def one(): ..."), Cell("b", "two", "def two(): ...")], "d")
    cells = with_answers(handin, {"one": "def one(): return 1"}).cells
    assert [(cell.grade_id, cell.given) for cell in cells] == [("one", False), ("", True), ("two", False)]
    assert len(handin.cells) == 2
