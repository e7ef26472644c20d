"""An answer that calls an earlier one says so when the earlier one is wrong; points and cases stay what they were."""

import pytest

from course.checking import cases, foundations
from course.checking.cases import Case, CheckCases, Ref, Step
from course.checking.check import judge_with
from course.checking.forbidden import read_notebook
from course.checking.verdict import ExerciseVerdict
from grader_kernels.judging.verdict import Named


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
    verdict = judge_with(recorded, "twice", answers(WRONG_BELOW), [WRONG_BELOW])
    assert verdict.reason == "this may be right: it uses your double, which is not right yet; mend that first"
    assert (verdict.score, verdict.state) == (0, "failed")


def test_an_unwritten_answer_below_counts_as_not_right(recorded):
    code = "def double(x): raise NotImplementedError('write double here')\ndef twice(x): return double(x) * 2"
    assert judge_with(recorded, "twice", answers(code), [code]).state == "not_attempted"


def test_a_fault_of_ones_own_is_not_put_on_others(recorded):
    code = "def double(x): return 2 * x\ndef twice(x): return double(x)\ndef apart(x): return x.double"
    assert judge_with(recorded, "twice", answers(code), [code]).reason == ""
    assert judge_with(recorded, "apart", answers(code), [code]).reason == ""


ONE = {"double", "twice", "apart", "C"}


def reads(code, name):
    return sorted(foundations.shaky(name, read_notebook([code]).mentions, lambda other: other not in ONE))


def test_classes_and_inner_functions_are_read_and_attributes_are_not():
    code = "class C:\n def f(self):\n  return [double(x) for x in (lambda: self.apart + twice)()]"
    assert reads(code, "C") == ["double", "twice"]
    assert reads(code, "double") == []


def test_helpers_of_ones_own_are_read_through():
    code = "def twice(x): return by(x)\ndef by(x): return C.of(x)\nclass D:\n of = 1\ndef C(x): return double(x)"
    assert reads(code, "twice") == ["C"]
    assert reads(code.replace("C.of", "D.of") + "\nclass D:\n def of(x): return apart(x)", "twice") == ["apart"]


def test_decorated_functions_are_read_through():
    code = "import functools\ndef slow(f):\n @functools.wraps(f)\n def g(*a): return f(*a)\n return g\n"
    assert reads(code + "@slow\ndef twice(x): return double(x)", "twice") == ["double"]


def test_a_value_uses_what_it_was_made_with():
    assert reads("rows = [1, 2]\ntwice = [double(row) for row in rows]\nprint(apart(twice))", "twice") == ["double"]


def test_a_fault_is_looked_for_below_what_is_right():
    uses = {"top": ["right", "wrong"], "right": ["below", "top"], "wrong": ["hidden"], "below": [], "hidden": []}
    assert foundations.shaky("top", uses.get, {"right", "top"}.__contains__) == ["wrong", "below"]


def test_all_that_is_wrong_below_is_found_also_below_what_is_wrong():
    uses = {"top": ["right"], "right": ["wrong", "top"], "wrong": ["deep"], "deep": ["wrong"], "apart": []}
    assert foundations.built_on("top", uses.get, ["apart", "deep", "top", "wrong"]) == ["deep", "wrong"]


def test_no_mistake_is_named_where_it_may_come_from_below():
    verdict = ExerciseVerdict("twice", 0, 2, "failed", "", Named("adds", "it adds"))
    assert foundations.explain(verdict, []).misconception.name == "adds"
    assert foundations.explain(verdict, ["double"]).misconception is None


def test_a_reason_that_is_there_is_kept():
    verdict = ExerciseVerdict("twice", 0, 2, "timed_out", "the call ran longer than 20 s")
    says = foundations.explain(verdict, ["double", "apart"]).reason
    assert says.endswith(
        "20 s; this may be right: it uses your double and apart, which are not right yet; mend those first"
    )
