"""A known mistake is named as surely as the evidence is: in all cases, or in most of them with numbers of its own."""

import pytest
import torch

from autograder.authoring import recording
from autograder.authoring.checks import Check
from autograder.authoring.unit import Alternative
from course.checking import cases
from course.checking.subject import LocalSubject


def centre(x, empty=0.0):
    return x - x.mean() if x.numel() else torch.full((1,), empty)


SOLVED = {"centre": centre, "torch": torch, "size": lambda x: x.numel()}
WRONG = {
    "median": "centre = lambda x: x - x.median() if x.numel() else torch.zeros(1)",
    "median_of_rows": "centre = lambda x: x - x.median(-1, True).values if x.numel() else torch.zeros(1)",
    "not_at_all": "centre = lambda x: x.clone() if x.numel() else torch.zeros(1)",
    "absolute": "centre = lambda x: (x - x.mean()).abs() if x.numel() else torch.zeros(1)",
    "counts_rows": "size = len",
}


@pytest.fixture(scope="module")
def recorded():
    check = Check("centre", hints=("one", "two"))
    for shape in ((7,), (3, 5), (9,)):

        @check.case(f"centres {shape}")
        def _(subject, trial, shape=shape):
            x = trial.normal(shape, mean=1.0)
            trial.close(subject(x), (x.double() - x.double().mean()).float(), condition=4)

    @check.case("an empty row is one zero")
    def _(subject, trial):
        trial.equal(subject(torch.zeros(0)), torch.zeros(1))

    @check.case("size")
    def _(subject, trial):
        trial.equal(subject.call("size", torch.ones(3, 2)), 6)

    made = recording.record_check(check, 3, SOLVED)
    wrongs = [Alternative("centre", n, f"{n}!", "next?", s, "misconceptions.py", 7) for n, s in WRONG.items()]
    recording.add_misconceptions(check, made, SOLVED, wrongs)
    return made


def named(made, **objects):
    found = cases.play(made, LocalSubject(SOLVED | objects, "centre")).misconception
    return found and found.name


def of(change, empty=0.0):
    return lambda x: change(x) if x.numel() else torch.full((1,), empty)


@pytest.mark.parametrize("name, empty", [("not_at_all", 0.0), ("not_at_all", 7.0), ("absolute", 5.0)])
def test_a_side_detail_does_not_hide_a_mistake(recorded, name, empty):
    changes = {"not_at_all": lambda x: x.clone(), "absolute": lambda x: (x - x.mean()).abs()}
    assert named(recorded, centre=of(changes[name], empty)) == name


def test_what_differs_by_chance_in_a_case_that_holds_does_not_hide_a_mistake():
    """Numbers at random are recorded as they came, and come out in another way each time."""
    check = Check("start", hints=("one", "two"))

    @check.case("no two numbers are equal")
    def _(subject, trial):
        made = subject(3)
        trial.different([made[0], made[1], made[2]])

    @check.case("size")
    def _(subject, trial):
        x = trial.normal((7,))
        trial.close(subject.call("size", x), x)

    right = {"torch": torch, "start": lambda n: torch.randn(n), "size": lambda x: x}
    made = recording.record_check(check, 3, right)
    wrongs = [Alternative("start", "doubles", "doubles!", "next?", "size = lambda x: 2 * x", "misconceptions.py", 7)]
    recording.add_misconceptions(check, made, right, wrongs)
    found = cases.play(made, LocalSubject(right | {"size": lambda x: 2 * x}, "start")).misconception
    assert (found.name, found.sentence) == ("doubles", "doubles!")


def test_what_it_would_fail_and_what_holds_contradicts_it(recorded):
    def flat_only(x):
        return x.clone() if x.dim() == 1 else centre(x)

    assert named(recorded, centre=of(flat_only)) is None


def test_numbers_that_two_mistakes_give_name_neither(recorded):
    """In rows alone `median` and `median_of_rows` are one; the matrix tells them apart, and is something else here."""

    def one_of_two(x):
        return x - x.median() if x.dim() == 1 else x - 5

    assert named(recorded, centre=of(one_of_two)) is None


def test_a_wrong_count_says_too_little(recorded):
    assert named(recorded, size=len) == "counts_rows"  # every case agrees
    assert named(recorded, size=len, centre=of(lambda x: x - 5)) is None


def test_what_explains_the_smaller_part_is_not_named(recorded):
    def mostly_other(x):
        return x.clone() if x.numel() == 7 else x - 5

    assert named(recorded, centre=of(mostly_other)) is None


def test_a_right_answer_is_named_nothing(recorded):
    assert named(recorded) is None


def counts():
    """A check of whole numbers, small and large, and the mistake of giving them as floats."""
    check = Check("count", hints=("one", "two"))

    @check.case("small and large")
    def _(subject, trial):
        trial.equal(subject(3), 6)
        trial.equal(subject(10**8 + 1), 2 * 10**8 + 2)

    solved = {"count": lambda n: 2 * n}
    made = recording.record_check(check, 1, solved)
    wrong = Alternative("count", "floats", "floats!", "next?", "count = lambda n: 2.0 * n", "misconceptions.py", 7)
    recording.add_misconceptions(check, made, solved, [wrong])
    return made


@pytest.mark.parametrize("count, name", [(lambda n: n * 2.0, "floats"), (lambda n: 2 * n + n // 10**8, None)])
def test_a_whole_number_that_is_near_is_no_float(count, name):
    found = cases.play(counts(), LocalSubject({"count": count}, "count")).misconception
    assert (found and found.name) == name
