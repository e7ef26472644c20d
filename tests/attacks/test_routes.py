"""THREATS.md, line 44: every way through torch that a machine found (routes.py) to what an exercise asks to write.

All of them are read; for every exercise that forbids something, answers that take one are judged.
"""

import ast
import json
from pathlib import Path

import pytest
from attack_class import Attack, Class, unit_of

from autograder.authoring.unit import unit_folders
from autograder.judging.rules import rules_for
from course.checking.forbidden import FAMILIES, read_source

ROUTES = json.loads((Path(__file__).parent / "routes.json").read_text())
FAMILY = {"attention_of_torch": "attention"}  # of which the routes are
BACKWARD = "autograd"  # routes to a gradient are named below: what computes one is a method of every tensor
GRADIENTS = [
    {"family": BACKWARD, "module": module, "name": name, "call": ""}
    for module, name in (
        ("torch.autograd", "grad"), ("torch.autograd", "backward"), ("torch.autograd.functional", "vjp"),
        ("torch.autograd.functional", "jacobian"), ("torch.func", "vjp"), ("torch.func", "grad"),
        ("torch.func", "jacrev"), ("torch._functorch.apis", "grad"), ("torch._functorch.eager_transforms", "vjp"),
        ("torch.Tensor", "backward"), ("torch", "_softmax_backward_data"), ("torch.func", "hessian"),
        ("torch._decomp.decompositions", "_softmax_backward_data"), ("torch.autograd.forward_ad", "make_dual"),
        ("torch.func", "jvp"), ("torch.autograd.functional", "hvp"),
    )
]  # fmt: skip
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


def taking(source: str, cell: str) -> str:
    """An answer that uses the route of this cell in each function of its own."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            node.body.insert(0, ast.parse("taken = route").body[0])
    return cell + ast.unparse(tree)


def test_there_are_enough_routes():
    for family in FAMILIES:
        assert len(routes_of((family,))) >= LEAST, family
    assert {"softmax", "log_softmax", "logsumexp"} <= {r["name"] for r in ROUTES if r["module"] == "torch"}


@pytest.mark.parametrize("way", [by_import, by_path])
@pytest.mark.parametrize("family", FAMILIES)
def test_no_route_is_read_as_honest(family, way):
    """What is composed of other forbidden calls inside of a documented function is left to the poison."""
    answer = "def f(x):\n    return route(x)\n"
    found = {f"{r['module']}.{r['name']}": read_source([way(r), answer], "f", [family]) for r in routes_of((family,))}
    assert [path for path, findings in found.items() if not findings and not is_carried(path)] == []


def is_carried(path: str) -> bool:
    """A documented class whose work comes down to a forbidden operator, by any name."""
    return path.startswith("torch.distributions.") and path.split(".")[-1] in CARRIED


CARRIED = ("Categorical", "Multinomial", "OneHotCategorical", "OneHotCategoricalStraightThrough")


def hand_ins(unit: str, each: int) -> list[Attack]:
    """For every exercise of a unit that forbids something `each` answers, the course's own, that take a route."""
    made = []
    for name, forbids in ((n, f) for u, n, f in EXERCISES if u == unit):
        chosen = [r for r in routes_of(forbids) if not is_carried(f"{r['module']}.{r['name']}")]
        for number in range(each):
            route, way = chosen[number * len(chosen) // each], (by_import, by_path)[number % 2]
            source = taking(unit_of(unit).solution_source(name), way(route))
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


@pytest.mark.slow
@pytest.mark.parametrize("unit", BY_UNIT)
def test_fifteen_routes_for_each_exercise_earn_nothing(unit, tmp_path):
    assert earned(tmp_path, [unit], LEAST) == []
