"""An answer that calls an earlier one says so when the earlier one is wrong; points and cases stay what they were."""

import pytest

from course.checking import cases, foundations
from course.checking.cases import Case, CheckCases, Ref, Step
from course.checking.check import judge_with
from course.checking.verdict import ExerciseVerdict


def exercise(name, argument, expected):
    """A check with one case: `name(argument)` is `expected`."""
    steps = [Step("__call__", (argument,)), Step("equal", (Ref(0), expected))]
    return CheckCases(name, 2, "function", [], [Case("is right", 1, steps)])


@pytest.fixture
def recorded():
    made = (exercise("double", 3, 6), exercise("twice", 3, 12), exercise("apart", 3, 3))
    return cases.Cases("unit", {each.name: each for each in made})


def answers(code):
    namespace = {}
    exec(code, namespace)
    return namespace


WRONG_BELOW = "def double(x): return x + 2\ndef twice(x): return double(double(x))\ndef apart(x): return x"


def test_the_fault_below_is_named(recorded):
    verdict = judge_with(recorded, "twice", answers(WRONG_BELOW))
    assert verdict.reason == "it uses your double, which is not right yet: look there first"
    assert (verdict.score, verdict.state) == (0, "failed")


def test_an_unwritten_answer_below_counts_as_not_right(recorded):
    code = "def double(x): raise NotImplementedError('write double here')\ndef twice(x): return double(x) * 2"
    assert judge_with(recorded, "twice", answers(code)).state == "not_attempted"


def test_a_fault_of_ones_own_is_not_put_on_others(recorded):
    code = "def double(x): return 2 * x\ndef twice(x): return double(x)\ndef apart(x): return x.double"
    assert judge_with(recorded, "twice", answers(code)).reason == ""
    assert judge_with(recorded, "apart", answers(code)).reason == ""


def test_classes_and_inner_functions_are_read_and_attributes_are_not():
    code = "class C:\n def f(self):\n  return [double(x) for x in (lambda: self.apart + twice)()]"
    assert sorted(foundations.used_by(answers(code)["C"], {"double", "twice", "apart", "C"})) == ["double", "twice"]
    assert foundations.used_by(None, {"double"}) == []


def test_a_reason_that_is_there_is_kept():
    verdict = ExerciseVerdict("twice", 0, 2, "timed_out", "the call ran longer than 20 s")
    says = foundations.explain(verdict, ["double", "apart"]).reason
    assert says.startswith("the call ran longer than 20 s; it uses your double and apart, which are not right yet")
