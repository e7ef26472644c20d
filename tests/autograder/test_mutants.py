"""The mutation run: each operator on a tiny source, limits that hold, and what counts as another behaviour."""

import itertools
import os
import time

import pytest
import torch

from autograder.authoring.checks import Check
from autograder.proof import mutants as run
from autograder.proof.behaviour import Bench, perform, record, same, widen
from autograder.proof.mutation import FAMILIES, mutants
from course.checking import cases

CHANGES = [
    ("operator", "a + b", {"a - b"}),
    ("operator", "a @ b", set()),
    ("operator", "a <= b", {"a < b", "a >= b"}),
    ("operator", "a is None", {"a is not None"}),
    ("operator", "a and b", {"a or b"}),
    ("operator", "a & b", {"a | b"}),
    ("term", "a + b", {"a", "b"}),
    ("term", "a and b and c", {"b and c", "a and c", "a and b"}),
    ("term", "a if b else c", {"a", "c"}),
    ("term", "[x for x in a if x]", {"for x in a"}),
    ("sign", "-a", {"a"}),
    ("sign", "not a", {"a"}),
    ("sign", "def f(a):\n    return (a, b)", {"return (-a, b)", "return (a, -b)"}),
    ("constant", "y = 3", {"4", "2"}),
    ("constant", "y = True", {"False"}),
    ("constant", "y = 2.5", {"5.0", "-2.5"}),
    ("constant", "y = 0.0", {"1.0"}),
    ("constant", "x.sum(dim=-1)", {"dim=-2", "dim=-0"}),
    ("swap", "f(a, b, c)", {"f(b, a, c)", "f(a, c, b)"}),
    ("swap", "x[:, None]", {"(None, :)"}),
    ("swap", "a - b", {"b - a"}),
    ("keyword", "f(a, p=1, q=2)", {"f(a, q=2)", "f(a, p=1)"}),
    ("bound", "x[a:]", {"x[a + 1:]", "x[a - 1:]", "x[:]", "x[a:-1]"}),
    ("bound", "range(a)", {"range(a + 1)", "range(a - 1)"}),
    ("call", "y = x.exp()", {"x"}),
    ("call", "y = torch.exp(x)", {"x"}),
    ("call", "y = f(x, y)", {"x"}),
    ("statement", "a += 1", {"pass"}),
    ("statement", "a = a.exp()", {"pass"}),
    ("statement", "a = b", set()),
    ("statement", "f(a)", {"pass"}),
    ("statement", "if a:\n    b = 1", {"if False: ...", "if True: ..."}),
]


@pytest.mark.parametrize("family, source, expected", CHANGES)
def test_a_family_changes_what_it_says(family, source, expected):
    assert {m.change.split(" -> ")[1] for m in mutants(source) if m.family == family} == expected


def test_every_family_is_tested_above():
    assert set(FAMILIES) == {family for family, _, _ in CHANGES}


def test_each_mutant_comes_once_and_none_is_the_solution():
    source = "def f(x, y):\n    z = x * x + 2 * 1\n    return g(x, x) - (z + -1), z[1:], [z, z]"
    sources = [m.source for m in mutants(source)]
    assert len(sources) == len(set(sources)) > 20
    assert "def f(x, y):\n    z = x * x + 2 * 1\n    return (g(x, x) - (z + -1), z[1:], [z, z])" not in sources
    assert len(mutants("y = x[1:]")) == 3  # x[0:] and x[:] are the same
    assert {m.source for m in mutants("y = a + 1")} == {"y = a - 1", "y = a", "y = 1", "y = a + 2"}  # a + 0 is a


def test_words_and_annotations_stay():
    source = 'def f(x: int | None = g) -> a | b:\n    """1 + 1"""\n    print(1 + 1)\n    raise ValueError(1 + 1)'
    assert [m.change for m in mutants(source)] == ["raise ValueError(1 + 1) -> pass"]


def test_lines_are_those_of_the_source():
    assert {(m.line, m.change) for m in mutants("a = 1\n\nb = 5")} >= {(1, "1 -> 2"), (3, "5 -> 4")}


# Processes


def endless():
    while True:
        pass


def test_jobs_answer_in_order_whoever_is_first():
    def job(number):
        time.sleep(0.2 if number == 0 else 0)
        return str(number)

    assert run.forked([lambda n=n: job(n) for n in range(5)], 5) == list("01234")


def test_an_endless_loop_ends_and_holds_nobody_up():
    began = time.monotonic()
    assert run.forked([endless, lambda: "fine"], 1) == [run.ENDLESS, "fine"]
    assert time.monotonic() - began < 10


def test_a_job_that_only_sleeps_ends_too(monkeypatch):
    assert run.forked([lambda: time.sleep(60) or "late"], 0.1) == [run.ENDLESS]


def test_too_much_memory_and_a_dead_process_are_told_apart_from_an_answer():
    assert run.forked([lambda: str(len(bytearray(1 << 30))), lambda: os._exit(3)], 5, memory=100 << 20) == ["died"] * 2


# Behaviour


weak = Check("scale", legal=lambda x, factor=2.0: factor > 0)
SOLUTION = "def scale(x, factor=2.0):\n    return factor * x.abs() * 1 if factor > -1 else 0 * x"


@weak.case("right for positive numbers")
def _(subject, trial):
    x = trial.uniform((3, 4), low=1)
    trial.close(subject(x), 2 * x)
    trial.close(subject(x, 3.0), 3 * x)


def made(source, name="scale"):
    namespace = {"torch": torch}
    exec(source, namespace)
    return namespace


@pytest.fixture(scope="module")
def bench():
    return Bench(weak, made(SOLUTION), count=200)


@pytest.mark.parametrize(
    "equivalent",
    [
        SOLUTION.replace(" * 1", ""),
        SOLUTION.replace("factor * x.abs()", "x.abs() * factor"),
        SOLUTION.replace("factor * x.abs()", "(factor * x.abs() * 3) / 3"),  # another rounding
        SOLUTION.replace("-1", "0"),  # differs only where `legal` says no
    ],
)
def test_a_mutant_that_changes_nothing_is_equivalent(bench, equivalent):
    assert bench.difference(made(equivalent)) == ""


@pytest.mark.parametrize(
    "different",
    [
        SOLUTION.replace(" * 1", " * 1.0001"),
        SOLUTION.replace(".abs()", ".clamp(max=500)"),
        SOLUTION.replace("=2.0", "=2.5"),
        SOLUTION.replace("* 1", "* 1.0 / (x != 0)"),  # only zeros tell
        SOLUTION.replace("x.abs()", "x.abs_()"),  # changes its argument
        SOLUTION.replace("x.abs()", "x.float().abs()"),  # only another dtype tells
        SOLUTION.replace("x.abs()", "x.view(-1).abs().view(x.shape)"),  # only another layout tells
        "def scale(x, factor=2.0):\n    raise ValueError",
    ],
)
def test_a_mutant_that_differs_on_wider_inputs_only_is_found(bench, different):
    assert bench.difference(made(different))


def test_the_bench_is_wide_new_and_the_same_every_time(bench):
    assert bench.wider == 200
    again = Bench(weak, made(SOLUTION), count=200)
    assert all(torch.equal(a[0][0].args[0], b[0][0].args[0]) for a, b in zip(bench.pairs, again.pairs, strict=True))
    first = [script[0].args[0] for script, _ in bench.pairs[bench.recorded :]]
    assert {x.dtype for x in first} >= {torch.float32, torch.float64, torch.float16}
    assert any(x.abs().max() > 500 for x in first) and any(0 < x.abs().max() < 0.01 for x in first)
    assert any(not x.is_contiguous() for x in first) and len({x.shape for x in first}) > 5


def test_both_raise_is_no_difference_but_a_missing_raise_is():
    strict = Check("half")

    @strict.trial("even numbers only")
    def _(subject, trial):
        trial.equal(subject(trial.integers(1, 9) * 2), 1)
        trial.raises("ValueError", lambda: subject(3))

    solution = "def half(n):\n    if n % 2:\n        raise ValueError\n    return n // 2"
    bench = Bench(strict, made_as_cell(solution), count=20)
    assert bench.difference(made(solution.replace("ValueError", "TypeError"))) == ""
    assert bench.difference(made("def half(n):\n    return n // 2"))


def made_as_cell(source):
    from autograder.authoring import recording

    namespace = {}
    recording.execute(source, namespace, "unit, cell 1")
    return namespace


def test_objects_are_made_again_for_every_script():
    counter = Check("Counter", kind="class")

    @counter.case("counts")
    def _(subject, trial):
        handle = subject.construct(2)
        trial.equal(subject.method(handle, "add", 3), 5)
        trial.equal(subject.method(handle, "add", 4), 9)

    source = "class Counter:\n    def __init__(self, n): self.n = n\n    def add(self, k): self.n += k; return self.n"
    (script,) = record(counter, made(source), seeds=1)
    assert [step.do for step in script] == ["construct", "method", "method"]
    assert [given.value for given in perform(script, made(source), "Counter")[1:]] == [5, 9]
    bench = Bench(counter, made(source), count=50)
    assert bench.difference(made(source)) == "" and bench.difference(made(source.replace("+= k", "+= min(k, 4)")))


def test_sizes_change_together():
    q, k = torch.zeros(3, 7), torch.zeros(5, 7)
    drawn = itertools.islice(widen([[cases.Step("__call__", [q, k])]], torch_free_rng()), 200)
    shapes = [(*s[0].args[0].shape, *s[0].args[1].shape) for s in drawn]
    assert len(set(shapes)) > 20 and sum(a == b for _, a, _, b in shapes) > 150


def torch_free_rng():
    import numpy as np

    return np.random.Generator(np.random.Philox(key=1))


def test_numbers_that_jump_under_rounding_decide_nothing():
    one, two = torch.tensor([1]), torch.tensor([2])
    assert same(two, one, [two, one, one]) and not same(two, one, [one, one, one])
    assert same(1.0 + 1e-7, 1.0, [1.0]) and not same(1.0 + 1e-4, 1.0, [1.0]) and same(1.0 + 1e-4, 1.0, [1.0 + 1e-4])
    x = torch.tensor([1.0, 1e-3])
    assert same(x + 1e-7, x, [x]) and not same(x + 1e-4, x, [x]) and same(x + 1e-4, x, [x, x + 1e-4])
    assert not same(x.double(), x, [x]) and not same(x / 0, x, [x]) and same(x / 0, x / 0, [x / 0])


# The report


def fate(state, change="a -> b", exercise="f"):
    return run.Fate("90_tiny", exercise, 1, "x = a", change, state, "there")


def test_explained_holes_and_explanations_that_nothing_needs(tmp_path):
    told = tmp_path / "mutants.toml"
    told.write_text('[[survivor]]\nexercise = "f"\ncode = "x = a"\nchanges = ["a -> b", "gone -> x"]\nwhy = "it may"\n')
    rows = [fate("hole"), fate("hole", "a -> c"), fate("caught")]
    assert run.explain(rows, run.explanations(told)) == [("f", "x = a", "gone -> x")]
    assert [(r.state, r.says) for r in rows] == [("explained", "it may"), ("hole", "there"), ("caught", "there")]


def test_the_rate_leaves_equivalent_mutants_out():
    rows = [fate("caught")] * 6 + [fate("hole"), fate("explained"), fate("equivalent")]
    assert run.rate(rows) == 0.75
    assert "| 90_tiny | 9 | 6 | 1 | 1 | 1 | 75.0 % |" in run.summary(rows)


def test_a_unit_from_end_to_end(capsys, monkeypatch):
    from pathlib import Path

    rows = run.run(Path(__file__).parents[1] / "units" / "90_tiny", "double_it")
    assert rows and {r.exercise for r in rows} == {"double_it"}
    assert "double_it" in capsys.readouterr().err
    assert all(r.state == "caught" for r in rows), [r for r in rows if r.state != "caught"]
