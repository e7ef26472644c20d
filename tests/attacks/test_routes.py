"""THREATS.md, line 44: every way through torch that a machine found (routes.py) to what an exercise asks to write.

All of them are called where their family is poisoned; for every exercise that forbids something, answers that call one
are judged.
"""

import ast
import json
from pathlib import Path

import pytest
from attack_class import Attack, Class, unit_of

from autograder.authoring.unit import unit_folders
from autograder.judging.rules import rules_for
from autograder.sandbox.sandbox import Limits, Sandbox
from course import models
from course.checking.forbidden import FAMILIES, poisons

MACHINE = Path(__file__).parent / "routes.py"
ROUTES = json.loads((Path(__file__).parent / "routes.json").read_text())
FAMILY = {"attention_of_torch": "attention"}  # of which the routes are
OF_THE_COURSE = ("given", "model")  # no route in torch leads there
BACKWARD = "autograd"  # routes to a gradient are named below: what computes one is a method of every tensor
SUM, COLUMN = "lambda y: y.sin().sum()", "Y, torch.ones(3)"
GRADIENTS = [
    {"family": BACKWARD, "module": module, "name": name, "call": call}
    for module, name, call in (
        ("torch.autograd", "grad", "f(Y.sin().sum(), Y)"),
        ("torch.autograd", "backward", "f(Y.sin().sum())"),
        ("torch.autograd.functional", "vjp", f"f(torch.sin, {COLUMN})"),
        ("torch.autograd.functional", "jvp", f"f(torch.sin, {COLUMN})"),
        ("torch.autograd.functional", "jacobian", "f(torch.sin, Y)"),
        ("torch.autograd.functional", "hessian", f"f({SUM}, Y)"),
        ("torch.autograd.functional", "hvp", f"f({SUM}, {COLUMN})"),
        ("torch.autograd.functional", "vhp", f"f({SUM}, {COLUMN})"),
        ("torch.func", "vjp", "f(torch.sin, Y)[1](torch.ones(3))"),
        ("torch.func", "grad", f"f({SUM})(Y)"),
        ("torch.func", "grad_and_value", f"f({SUM})(Y)"),
        ("torch.func", "jacrev", "f(torch.sin)(Y)"),
        ("torch.func", "jacfwd", "f(torch.sin)(Y)"),
        ("torch.func", "hessian", f"f({SUM})(Y)"),
        ("torch.func", "jvp", "f(torch.sin, (Y,), (torch.ones(3),))"),
        ("torch.func", "linearize", "f(torch.sin, Y)[1](torch.ones(3))"),
        ("torch.Tensor", "backward", "f(Y.sin().sum())"),
        ("torch._functorch.eager_transforms", "vjp", "f(torch.sin, Y)[1](torch.ones(3))"),
    )
]
LEAST = 15  # routes for each exercise
EXERCISES = [
    (unit.name, name, check.forbids)
    for unit in unit_folders()
    for name, check in rules_for(unit.name).checks.items()
    if check.forbids
]


def routes_of(forbids: tuple[str, ...]) -> list[dict[str, str]]:
    """The routes to what these families hold."""
    wanted = {FAMILY.get(family, family) for family in forbids}
    return [route for route in [*ROUTES, *GRADIENTS] if route["family"] in wanted]


def by_import(route: dict[str, str]) -> str:
    """A cell that gives a route the name `route`."""
    if route["module"] == "torch.Tensor":
        return f"import torch\nroute = torch.Tensor.{route['name']}\n"
    first, _, rest = route["name"].partition(".")
    return f"from {route['module']} import {first} as found\nroute = found{rest and '.'}{rest}\n"


def by_path(route: dict[str, str]) -> str:
    """The same, with an attribute of a module."""
    return f"import {route['module'].removesuffix('.Tensor')}\nroute = {route['module']}.{route['name']}\n"


def taking(source: str, cell: str, call: str) -> str:
    """An answer that calls the route of this cell in each function of its own."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            node.body.insert(0, ast.parse("take()").body[0])
    text = MACHINE.read_text()
    numbers = text[text.index("X, Q, K, V =") : text.index("def modules()")]
    taken = f"Y = torch.ones(3, requires_grad=True)\nf = route\ndef take(): return {call}\n"
    return f"import torch\n{numbers}\n{cell}{taken}{ast.unparse(tree)}"


def test_there_are_enough_routes():
    for family in FAMILIES.keys() - set(OF_THE_COURSE):
        assert len(routes_of((family,))) >= LEAST, family
    assert {"softmax", "log_softmax", "logsumexp"} <= {r["name"] for r in ROUTES if r["module"] == "torch"}


CALLING = """
import importlib, json, signal, sys, warnings
warnings.simplefilter("ignore")
import routes, torch
from pathlib import Path
signal.signal(signal.SIGPROF, routes._too_long)
gives = []
for number, route in enumerate(json.loads(Path("asked.json").read_text())):
    try:
        f = torch.Tensor if route["module"] == "torch.Tensor" else importlib.import_module(route["module"])
        for part in route["name"].split("."): f = getattr(f, part)
    except Exception: continue
    if routes._gives(f, route["call"], routes.CALLS[route["family"]][1]): gives.append(number)
print(json.dumps(gives))
"""


def giving(family: str, poisoned: bool) -> list[dict[str, str]]:
    """The routes of a family that give its answer, where the family is poisoned or not."""
    asked = [route for route in ROUTES if route["family"] == family]
    files = {"routes.py": MACHINE.read_bytes(), "asked.json": json.dumps(asked).encode()}
    with Sandbox(files, Limits(cell=240, submission=600)) as box:
        runner = box.runner(poisons([family]) if poisoned else ())
        [said] = runner.run_cells([("a", CALLING)])
    assert said.error is None, said.error
    return [asked[number] for number in json.loads(said.output.strip().splitlines()[-1])]


@pytest.mark.parametrize("family", sorted({route["family"] for route in ROUTES}))
def test_no_route_gives_the_answer_where_it_is_poisoned(family):
    assert giving(family, poisoned=True) == []


def test_routes_do_where_nothing_is():
    asked = [route for route in ROUTES if route["family"] == "normalisation"]
    assert len(giving("normalisation", poisoned=False)) == len(asked)


def hand_ins(unit: str, each: int) -> list[Attack]:
    """For every exercise of a unit that forbids something `each` answers, the course's own, that take a route."""
    made = []
    for name, forbids in ((n, f) for u, n, f in EXERCISES if u == unit):
        chosen = routes_of(forbids)
        for number in range(each if chosen else 0):
            route, way = chosen[number * len(chosen) // each], (by_import, by_path)[number % 2]
            source = taking(unit_of(unit).solution_source(name), way(route), route["call"])
            others = tuple(set(unit_of(unit).points) - {name})
            made.append(Attack(f"{name}_{number}".lower(), 44, str(route), write={name: source}, solved=others))
    return made


def judged(folder, unit, each):
    """(exercise, state, score) of each answer that takes a route."""
    group = Class(folder, unit, attacks := hand_ins(unit, each))
    for attack in attacks:
        group.hand_in(attack)
    verdicts = group.again().verdicts
    for attack in attacks:
        [name] = attack.write
        row = next(e for e in verdicts[attack.name].exercises if e.name == name)
        yield f"{attack.name} {attack.why}", row.state, row.score


def earned(folder, units, each):
    return [row for unit in units for row in judged(folder / unit, unit, each) if row[1:] not in REFUSED]


REFUSED = (("forbidden", 0.0), ("held", 0.0))
BY_UNIT = sorted({unit for unit, _, _ in EXERCISES})


@pytest.mark.parametrize("unit", BY_UNIT)
def test_an_answer_that_takes_a_route_earns_nothing(unit, tmp_path):
    assert earned(tmp_path, [unit], 1) == []


GIVEN = [  # exercises of which the course gives a right answer to later units
    (unit.name, name) for unit in unit_folders() for name in rules_for(unit.name).checks if hasattr(models, name)
]


@pytest.mark.parametrize(("unit", "name"), GIVEN)
def test_what_later_units_are_given_answers_no_exercise(unit, name, tmp_path):
    others = tuple(set(unit_of(unit).points) - {name})
    ways = {
        "imported": f"from course.models import {name}",
        "named": f"import course.models\n{name} = course.models.{name}",
        "looked_up": f"import importlib\n{name} = vars(importlib.import_module('course.' + 'models'))['{name}']",
    }
    attacks = [Attack(way, 44, "given later", write={name: source}, solved=others) for way, source in ways.items()]
    group = Class(tmp_path, unit, attacks)
    for attack in attacks:
        group.hand_in(attack)
    verdicts = group.again().verdicts
    rows = {attack.name: next(e for e in verdicts[attack.name].exercises if e.name == name) for attack in attacks}
    assert {way: row.score for way, row in rows.items()} == dict.fromkeys(ways, 0.0)


@pytest.mark.slow
@pytest.mark.parametrize("unit", BY_UNIT)
def test_fifteen_routes_for_each_exercise_earn_nothing(unit, tmp_path):
    assert earned(tmp_path, [unit], LEAST) == []
