"""Recorded cases: stored and read back unchanged, played without an oracle, and they name what they recognise."""

import json
import random
import zipfile

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from autograder import ROOT
from autograder.authoring import recording
from autograder.authoring.checks import Check, attempt
from autograder.authoring.unit import Alternative, AuthoringError
from course.checking import cases, manifest, naming
from course.checking.subject import LocalSubject

scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(max_size=8)
)
tensors = st.sampled_from([torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.bool]).map(
    lambda d: torch.arange(6).reshape(2, 3).to(d)
)
values = st.recursive(
    st.one_of(scalars, tensors),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.tuples(inner, inner), st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)


def same(a, b):
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.dtype == b.dtype and a.stride() == b.stride() and torch.equal(a, b)
    if isinstance(a, (list, tuple)):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    return type(a) is type(b) and (a == b or a != a and b != b)


@given(values)
def test_every_value_survives_storage(value):
    arrays: dict[str, np.ndarray] = {}
    stored = json.dumps(cases.to_plain(value, arrays), allow_nan=False)  # what others than Python read, too
    assert same(value, cases.from_plain(json.loads(stored), arrays))


def test_a_transposed_tensor_keeps_its_layout():
    arrays: dict[str, np.ndarray] = {}
    x = torch.arange(6.0).reshape(2, 3).t()
    assert same(x, cases.from_plain(cases.to_plain(x, arrays), arrays))


def double_check():
    check = Check("double", hints=("one", "two"))

    @check.case("doubles", weight=2)
    def _(subject, trial):
        x = trial.normal((3, 5))
        trial.close(subject(x), (2 * x.double()).float())

    @check.case("gives both")
    def _(subject, trial):
        a, b = subject.call("pair", 3)
        trial.equal(a, 3)
        trial.equal(b, 6)

    return check


SOLVED = {"double": lambda x: 2 * x, "pair": lambda n: (n, 2 * n)}


def wrong(name, source):
    return Alternative("double", name, f"{name}!", "next?", source, "misconceptions.py", 7)


@pytest.fixture
def recorded():
    check = double_check()
    made = recording.record_check(check, 3, SOLVED)
    wrongs = [wrong("squares", "double = lambda x: x * x"), wrong("forgets", "double = lambda x: x")]
    recording.add_misconceptions(check, made, SOLVED, wrongs)
    return made


def judged(made, **objects):
    return cases.play(made, LocalSubject(SOLVED | objects, "double"))


def test_right_answer_full_and_same_after_a_file(recorded, tmp_path):
    assert judged(recorded).score == 3
    path = tmp_path / "cases.npz"
    cases.Cases("90_demo", {"double": recorded}).save(path)
    again = cases.load(path)
    assert judged(again.check("double")).score == 3
    again.save(tmp_path / "again.npz")
    assert (tmp_path / "again.npz").read_bytes() == path.read_bytes()


def test_a_misconception_is_named_and_an_unknown_error_is_not(recorded):
    verdict = judged(recorded, double=lambda x: x * x)
    assert (verdict.score, verdict.misconception.name) == (1, "squares")
    assert judged(recorded, double=lambda x: 2 * x + 1e-3).misconception is None


def test_a_name_holds_where_something_else_is_wrong_too_and_says_so(recorded):
    verdict = judged(recorded, double=lambda x: x * x, pair=lambda n: (n, n))
    assert verdict.score == 0 and verdict.misconception.name == "squares"
    assert verdict.misconception.sentence == "squares! That is not all: “gives both” comes out in another way."


@pytest.mark.parametrize(
    "double, says",
    [
        (lambda x: x.mul_(2), "in place"),
        (lambda x: x * float("nan"), "NaN"),
        (lambda x: None, "None"),
        (lambda x: (2 * x).double(), "dtype"),
    ],
)
def test_guards_come_without_being_asked(recorded, double, says):
    verdict = judged(recorded, double=double)
    assert verdict.score < 3 and says in " ".join([verdict.trials[0].says, verdict.trials[0].got])


def root_check():
    """What a docstring can promise beside numbers: an error, one of two answers, luck, no graph."""
    check = Check("root", hints=("one", "two"))

    @check.case("refuses negative numbers")
    def _(subject, trial):
        trial.raises("ValueError", lambda: subject(-1.0), "root(-1) must raise ValueError")

    @check.case("either root is right")
    def _(subject, trial):
        trial.among(subject(4.0), [2.0, -2.0])

    @check.case("chance stays within its bounds")
    def _(subject, trial):
        trial.likely(subject.call("coin"), 0, 1)

    @check.case("leaves no graph behind")
    def _(subject, trial):
        x = trial.uniform((3,))
        trial.cut_off(lambda: subject.grad(x, cotangents=torch.ones(3), wrt=(0,)))

    return check


def root(x, both=1.0):
    if isinstance(x, float) and x < 0:
        raise ValueError("no root")
    return x.detach().sqrt() if isinstance(x, torch.Tensor) else both * x**0.5


def misled(**objects):
    """The titles of the cases that do not hold, in the notebook and for the judge alike."""
    check, solved = root_check(), {"root": root, "coin": lambda: random.random()}
    made = cases.Cases("90_demo", {"root": recording.record_check(check, 1, solved)})
    arrays = {}
    plain = cases.to_plain(made.check("root"), arrays)
    stored = cases._check_from(cases.from_plain(plain, arrays))
    shown = [t.title for t in cases.play(stored, LocalSubject(solved | objects, "root")).trials if not t.passed]
    for spec in check.specs:
        held = attempt(check, spec, LocalSubject(solved | objects, "root"), 7).result.passed
        assert held == (spec.title not in shown)
    return shown


@pytest.mark.parametrize(
    "objects, titles",
    [
        ({}, []),
        ({"root": lambda x: root(x, -1.0)}, []),
        ({"root": lambda x: root(abs(x))}, ["refuses negative numbers"]),
        ({"root": lambda x: root(x) if torch.is_tensor(x) or x > 0 else 1 / 0}, ["refuses negative numbers"]),
        ({"root": lambda x: root(x, 1.5)}, ["either root is right"]),
        ({"root": lambda x: x.sqrt() if torch.is_tensor(x) else root(x)}, ["leaves no graph behind"]),
        ({"coin": lambda: 7}, ["chance stays within its bounds"]),
    ],
)
def test_errors_options_chance_and_graphs_are_cases(objects, titles):
    assert misled(**objects) == titles


def test_of_chance_an_outcome_keeps_only_whether_it_holds():
    solved = {"root": root, "coin": lambda: random.random()}
    made = recording.record_check(root_check(), 1, solved)
    assert recording.outcomes(made, solved) == recording.outcomes(made, solved)


def test_a_raises_that_the_solution_does_not_keep_is_no_case():
    with pytest.raises(AuthoringError, match="should raise ValueError; the solution raised nothing"):
        recording.record_check(root_check(), 1, {"root": lambda x: x, "coin": lambda: 0.5})


def test_unwritten_is_not_attempted(recorded):
    def unwritten(*_):
        raise NotImplementedError("write double here")

    verdict = judged(recorded, double=unwritten, pair=unwritten)
    assert (verdict.state, verdict.score) == ("not_attempted", 0)


@pytest.mark.parametrize("source", ["double = lambda x: 2.0 * x", "double = lambda x: x * x"])
def test_a_misconception_that_cannot_be_told_apart_is_refused(recorded, source):
    with pytest.raises(AuthoringError, match="can't be told from"):
        recording.add_misconceptions(
            double_check(), recording.record_check(double_check(), 3, SOLVED), SOLVED,
            [wrong("squares", "double = lambda x: x * x"), wrong("another", source)],
        )  # fmt: skip


def test_a_solution_that_fails_its_case_is_refused():
    with pytest.raises(AuthoringError, match="fails its case 'doubles'"):
        recording.record_check(double_check(), 3, SOLVED | {"double": lambda x: x})


@pytest.mark.parametrize(
    "body, says",
    [
        (lambda s, t: t.true(True, "x"), "make it a trial"),
        (lambda s, t: t.close(s(torch.ones(1)).shape, (1,)), "make it a trial"),
        (lambda s, t: t.equal(1 if s(torch.ones(1)) else 0, 1), "make it a trial"),
        (lambda s, t: t.equal(1, 1), "compares a result"),
    ],
)
def test_what_cannot_be_recorded_says_so(body, says):
    check = Check("double")
    check.case("bad")(body)
    with pytest.raises(AuthoringError, match=says):
        recording.record_check(check, 1, SOLVED)


def positive_check():
    check = Check("positive")

    @check.case("takes numbers above 0")
    def _(subject, trial):
        trial.raises("ValueError", lambda: subject(-1), "-1 must raise ValueError")
        trial.equal(subject(2), 2)

    @check.case("says so when it is made, or when it is used")
    def _(subject, trial):
        trial.raises("ValueError", lambda: subject.method(subject.construct(-1, name="Positive"), "get"))

    return check


class Positive:
    def __init__(self, n):
        self.n = n

    def get(self):
        return positive(self.n)


def positive(n):
    if n < 0:
        raise ValueError("below 0")
    return n


def taken(n):
    return n


def of_another_kind(n):
    return n if n > 0 else {}[n]


def test_an_exception_is_a_case_and_is_recognised(tmp_path):
    made = recording.record_check(positive_check(), 2, globals())
    wrongs = [Alternative("positive", "takes_all", "Taken!", "", "positive = taken", "misconceptions.py", 7)]
    recording.add_misconceptions(positive_check(), made, globals(), wrongs)
    cases.Cases("90_demo", {"positive": made}).save(tmp_path / "cases.npz")
    again = cases.load(tmp_path / "cases.npz").check("positive")

    def verdict(function):
        return cases.play(again, LocalSubject(globals() | {"positive": function}, "positive"))

    assert verdict(positive).score == 2
    first = verdict(taken)
    assert (first.trials[0].says, first.misconception.name) == ("-1 must raise ValueError", "takes_all")
    other = verdict(of_another_kind)
    assert other.trials[0].says == "-1 must raise ValueError" and other.misconception is None
    assert other.trials[1].passed  # it uses the other function


def test_numbers_inside_a_range_are_alike_and_others_are_not():
    case = cases.Case("small", 1, [cases.Step("between", [None, 0.0, 1.0])])
    given = {number: cases.Outcome(got=[number]) for number in (0.2, 0.7, 3.0, 4.0)}
    assert naming.same_outcome(case, given[0.2], given[0.7]) and naming.same_outcome(case, given[3.0], given[3.0])
    assert not naming.same_outcome(case, given[0.2], given[3.0])
    assert not naming.same_outcome(case, given[4.0], given[3.0])


@pytest.mark.parametrize("path", sorted(ROOT.glob("assignments/*/cases.npz")), ids=lambda path: path.parent.name)
def test_a_manifest_says_what_the_cases_say(path):
    whole, told = cases.load(path), manifest.read(path)
    assert told.unit == whole.unit == path.parent.name
    assert list(told.exercises) == list(whole.checks)
    for name, check in whole.checks.items():
        wanted = manifest.Exercise(name, check.points, check.hints, check.minutes, check.optional)
        assert told.exercises[name] == wanted


def test_a_manifest_is_read_without_the_directory_of_its_file(monkeypatch):
    path = min(ROOT.glob("assignments/*/cases.npz"))
    monkeypatch.delattr(manifest.zipfile, "ZipFile")
    assert manifest.read(path).unit == path.parent.name


def test_a_manifest_that_is_not_the_first_is_found_and_one_that_is_damaged_is_told(tmp_path):
    path = min(ROOT.glob("assignments/*/cases.npz"))
    moved, damaged = tmp_path / "moved.npz", tmp_path / "damaged.npz"
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(moved, "w", zipfile.ZIP_DEFLATED) as new:
        for name in ("a0.npy", manifest.MEMBER):
            new.writestr(name, old.read(name))
    assert manifest.read(moved) == manifest.read(path)
    content = bytearray(path.read_bytes())
    content[2000] ^= 0xFF
    damaged.write_bytes(content)
    with pytest.raises(ValueError, match="is not a cases file"):
        manifest.read(damaged)


def test_a_file_that_is_no_cases_file_is_one_sentence(tmp_path):
    (tmp_path / "x.npz").write_bytes(b"not a zip")
    with pytest.raises(ValueError, match="is not a cases file"):
        cases.load(tmp_path / "x.npz")
    with pytest.raises(ValueError, match="is not a cases file"):
        manifest.read(tmp_path / "x.npz")


def _difference(step_of, answer):
    """The trial of a case whose one step is compared with what the solution gives."""
    check = Check("take", hints=("one", "two"))
    check.case("takes")(step_of)
    solved = {"take": lambda x, n=1: x[:n], "Taken": list}
    made = recording.record_check(check, 3, solved)
    return cases.play(made, LocalSubject(solved | {"take": answer}, "take")).trials[0]


def test_a_small_input_is_shown_beside_what_came_of_it():
    small = lambda s, t: t.equal(s([5, 6, 7], n=2), [5, 6])  # noqa: E731
    assert _difference(small, lambda x, n: x).given == "take([5, 6, 7], n=2)"
    assert _difference(small, lambda x, n: x[:n]).given == ""
    assert _difference(small, lambda x, n: 1 / 0).given == "take([5, 6, 7], n=2)"
    tensor = lambda s, t: t.equal(s(torch.tensor([[1.5, -2.0]])), torch.tensor([[1.5, -2.0]]))  # noqa: E731
    assert _difference(tensor, lambda x: 0 * x).given == "take([[1.5, -2]])"
    both = lambda s, t: (t.equal(s([1, 2]), [1]), t.equal(s([3, 4]), [3]))  # noqa: E731
    assert _difference(both, lambda x: x[:1] if x[0] == 1 else x).given == "take([3, 4])"


def test_an_input_that_fits_no_line_is_left_out():
    large = lambda s, t: t.equal(s(t.normal((3, 5)), 0), torch.zeros(0, 5))  # noqa: E731
    assert _difference(large, lambda x, n: x).given == ""
    long = lambda s, t: t.equal(s(list(range(100))), [0])  # noqa: E731
    assert _difference(long, lambda x: x).given == ""


def test_numbers_that_should_all_differ():
    apart = lambda s, t: t.different([s([5, 6])[0], s([7])[0], s([9])[0]])  # noqa: E731
    assert _difference(apart, lambda x: x).passed
    told = _difference(apart, lambda x: [5 if x[0] == 9 else x[0]])
    assert (told.got, told.expected) == ("2 different ones", "3 different ones")
    assert "a number" in _difference(apart, lambda x: ["a"]).says
