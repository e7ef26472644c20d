"""A mutation run: small changes to each solution, judged. What survives is a hole in a check, or changes nothing.

python -m autograder.mutants [UNIT] [EXERCISE]. Mutations: another operator, a constant off by one, a comparison or
boolean turned round, a keyword argument dropped, a statement removed. A mutant that loses no points "survives"; the
report lists survivors with their line. Kernels are left to the kernel judge's own wrong/ folder.
"""

from __future__ import annotations

import ast
import copy
import sys
from collections.abc import Iterator
from typing import NamedTuple

import torch

from autograder import recording
from autograder.checks import Check, load
from autograder.gates import judge_local
from autograder.unit import Unit, find_unit, unit_folders
from course.check import quiet

SWAPS = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.And: ast.Or, ast.Or: ast.And, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip


class Mutant(NamedTuple):
    """One changed solution: what was changed in which line, and the whole source."""

    line: int
    change: str
    source: str


def mutants(source: str) -> Iterator[Mutant]:
    """Every single-change mutant of a solution."""
    tree = ast.parse(source)
    for index, node in enumerate(ast.walk(tree)):
        for change in _changes(node):
            mutated = copy.deepcopy(tree)
            twin = next(n for i, n in enumerate(ast.walk(mutated)) if i == index)
            what = change(twin)
            yield Mutant(getattr(node, "lineno", 0), what, ast.unparse(ast.fix_missing_locations(mutated)))


def _changes(node: ast.AST) -> Iterator:
    if isinstance(node, (ast.BinOp, ast.BoolOp)) and type(node.op) in SWAPS:
        yield _swap_operator
    if isinstance(node, ast.Compare) and type(node.ops[0]) in SWAPS:
        yield _swap_comparison
    if isinstance(node, ast.Constant) and type(node.value) in (int, bool):
        yield _change_constant
    if isinstance(node, ast.Call) and node.keywords:
        yield _drop_keyword
    if isinstance(node, ast.UnaryOp):
        yield _drop_unary
    if isinstance(node, ast.If):
        yield _never


def _swap_operator(node: ast.AST) -> str:
    old = type(node.op)
    node.op = SWAPS[old]()
    return f"{old.__name__} -> {SWAPS[old].__name__}"


def _swap_comparison(node: ast.AST) -> str:
    old = type(node.ops[0])
    node.ops[0] = SWAPS[old]()
    return f"{old.__name__} -> {SWAPS[old].__name__}"


def _change_constant(node: ast.AST) -> str:
    old = node.value
    node.value = (not old) if isinstance(old, bool) else old + 1
    return f"{old} -> {node.value}"


def _drop_keyword(node: ast.AST) -> str:
    return f"without {node.keywords.pop().arg}="


def _drop_unary(node: ast.AST) -> str:
    old = type(node.op).__name__
    node.op = ast.UAdd() if isinstance(node.op, (ast.USub, ast.Invert)) else ast.UAdd()
    return f"without {old}"


def _never(node: ast.AST) -> str:
    node.test = ast.Constant(False)
    return "branch never taken"


def survivors(unit: Unit, check: Check, recorded, solved: dict) -> tuple[int, list[Mutant]]:
    """How many mutants ran, and those that kept full points."""
    tried, alive = 0, []
    for mutant in mutants(unit.solution_source(check.name)):
        namespace = dict(solved)
        try:
            with quiet():
                recording.execute(mutant.source, namespace, f"mutant {tried} of {check.name}")
        except Exception:
            continue
        tried += 1
        if judge_local(check, recorded, namespace).state == "passed":
            alive.append(mutant)
    return tried, alive


def main(words: list[str]) -> int:
    """Print survivors per exercise. Exit code 0: surviving is information, not a failure."""
    torch.set_num_threads(1)
    for folder in [find_unit(words[0])] if words else unit_folders():
        unit = Unit.load(folder)
        checks, made = load(unit.checks_path), recording.record(unit)
        for name, solved in recording.namespaces(unit):
            check = checks[name]
            if check.kind in ("launcher", "value") or (len(words) > 1 and words[1] != name):
                continue
            tried, alive = survivors(unit, check, made.check(name), solved)
            print(f"{unit.id} {name}: {tried - len(alive)} of {tried} mutants lose points", flush=True)
            for mutant in alive:
                line = unit.solution_source(name).splitlines()[mutant.line - 1].strip() if mutant.line else ""
                print(f"    survives, line {mutant.line}: {mutant.change}    {line}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
