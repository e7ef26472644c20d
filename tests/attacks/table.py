"""The attack table: every attack under plain nbgrader and under this grader, side by side.

python tests/attacks/table.py [--only NAME ...] [--ours] [--json FILE]; the bench prints it too, asked with --attacks.
The rows are the attacks of the test modules beside this file, and the honest students of test_honest.py. With this
grader each unit's attacks are one class, graded in one run; plain nbgrader gets one at a time, in a container.

A win is a score above what the code honestly deserves. A loss is an honest student's score below it.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import plain
import test_forging
import test_honest
import test_honest_reading
import test_kernels
import test_knows_the_grader
import test_machine
import test_neighbours
import test_notebook_file
import test_other_doors
import test_pages
import test_shortcuts
import test_taking_down
import test_unearned
from attack_class import ORIENTATION, RIGHT, WRONG, Attack, Class, unit_of
from rich import box
from rich.console import Console
from rich.table import Table

from autograder.authoring.unit import unit_folders
from course.checking.verdict import Verdict

MODULES = (
    test_forging, test_knows_the_grader, test_notebook_file, test_shortcuts, test_other_doors, test_kernels,
    test_neighbours, test_taking_down, test_machine, test_pages, test_unearned, test_honest, test_honest_reading,
)  # fmt: skip
ELSEWHERE = {  # lines of THREATS.md that are no single hand-in of one score, and what tests them
    15: "test_notebook_file.py", 18: "test_channel.py, test_remote.py, test_wire.py", 19: "test_secrets.py",
    23: "tests/autograder/test_intake.py", 44: "test_routes.py, test_shortcuts.py", 45: "test_habits.py",
    41: "tests/fuzz/test_time.py", 46: "test_habits.py", 47: "test_habits.py",
}  # fmt: skip
BOMBS = {"bombs", "bomb_in_a_cell", "disks_in_cells", "memory_in_a_cell", "floods", "many_outputs"}
BOMBS |= {each.name for each in test_machine.ATTACKS if each.line}
NOT_THERE = "not run there: it would take the machine down"
ALONE = "not run there: it judges one at a time"
LITTLE = 1e-6
REASON = 60  # characters of what the instructor sees


@dataclass
class Row:
    """One attack, or one honest student. theirs: plain nbgrader's score, None for none; they_say: what went wrong."""

    line: int
    name: str
    unit: str
    honest: float
    theirs: float | None = None
    they_say: str = "not run"
    ours: float | None = None
    we_say: str = ""
    innocent: bool = False


def attacks(only: Iterable[str] = ()) -> list[tuple[str, Attack, bool]]:
    """(unit, attack, is it honest), each control once in a unit, sorted by line."""
    found: dict[tuple[str, str], tuple[str, Attack, bool]] = {}
    for module in MODULES:
        usual, honest = getattr(module, "UNIT", ORIENTATION), _honest(module)
        for attack in (*getattr(module, "ATTACKS", ()), *getattr(module, "MOCKS", ()), *honest):
            unit = _unit_of(attack, usual)
            found.setdefault((unit, attack.name), (unit, attack, attack in honest or attack.name in (RIGHT, WRONG)))
    wanted = set(only)
    if unknown := wanted - {name for _, name in found}:
        raise SystemExit(f"expected names of attacks, got {', '.join(sorted(unknown))}")
    chosen = [each for (_, name), each in found.items() if not wanted or name in wanted]
    return sorted(chosen, key=lambda each: (each[1].line, each[0], each[1].name))


def _unit_of(attack: Attack, usual: str) -> str:
    """The unit of the exercises that an attack is about: the module's, if it has all of them."""
    names = {*attack.solved, *attack.write, *attack.scores}
    units = usual, *(folder.name for folder in unit_folders())
    return next(unit for unit in units if names <= {*unit_of(unit).exercises})


def _honest(module) -> list[Attack]:
    """The honest students of a module, who stand beside its attacks or have it for themselves."""
    return getattr(module, "STUDENTS", None) or getattr(module, "HONEST", [])


def rows_of(chosen: Sequence[tuple[str, Attack, bool]]) -> list[Row]:
    """Rows without results."""
    return [Row(a.line, a.name, unit, sum(a.scores.values()), innocent=honest) for unit, a, honest in chosen]


def grade_ours(chosen: Sequence[tuple[str, Attack, bool]], rows: list[Row]) -> None:
    """One class for each unit, graded in one run."""
    for unit in dict.fromkeys(unit for unit, *_ in chosen):
        group = [attack for each, attack, _ in chosen if each == unit]
        with tempfile.TemporaryDirectory(prefix="attacks-") as folder:
            verdicts = Class(Path(folder), unit, group).run().verdicts
        for row, (_, attack, _) in zip(rows, chosen, strict=True):
            if row.unit == unit:
                verdict = verdicts[row.name]
                row.ours, row.we_say = verdict.score, reason(attack, verdict)


def grade_plain(chosen: Sequence[tuple[str, Attack, bool]], rows: list[Row], tell=lambda row: None) -> None:
    """Plain nbgrader, one container after another. tell: called with each finished row."""
    for unit in dict.fromkeys(unit for unit, *_ in chosen):
        with tempfile.TemporaryDirectory(prefix="plain-") as folder:
            classroom = plain.PlainClass(Path(folder), unit)
            for row, (_, attack, _) in zip(rows, chosen, strict=True):
                if row.unit == unit:
                    why_not = _not_there(row.name)
                    found = plain.Plain(None, why_not) if why_not else classroom.grade(attack)
                    row.theirs, row.they_say = found.score, found.says
                    tell(row)


def _not_there(name: str) -> str:
    return NOT_THERE if name in BOMBS else ALONE if name.startswith("neighbour_") else ""


def reason(attack: Attack, verdict: Verdict) -> str:
    """What the instructor reads first: about the whole hand-in, or about the exercise that was attacked."""
    if verdict.reason:
        return verdict.reason
    mine = [e for e in verdict.exercises if e.name in attack.write and e.score < e.max_score]
    mine = mine or ([] if verdict.score else verdict.exercises)
    said = [e.reason or next((t.says for t in e.trials if not t.passed), "") for e in mine]
    told = next((e for e, words in zip(mine, said, strict=True) if words and e.state != "not_attempted"), None)
    if told is None:
        return "the score stands" if verdict.score else "not attempted"
    return f"{told.name}: {said[mine.index(told)]}"


# --- printing -----------------------------------------------------------------------------------------------------


def table(rows: list[Row]) -> Table:
    """All rows, without colours: a win is marked with !, an honest student's loss with -."""
    made = Table("line", "attack", box=box.SIMPLE, pad_edge=False)
    for name in ("honest", "plain nbgrader", "ours"):
        made.add_column(name, justify="right")
    made.add_column("what the instructor sees", no_wrap=True)
    for row in rows:
        theirs = _score(row, row.theirs) if row.theirs is not None else ""
        theirs = f"{theirs} {row.they_say}".strip()
        name = f"{row.name} (honest)" if row.innocent else row.name
        line = str(row.line) if row.line else ""
        made.add_row(line, name, f"{row.honest:g}", theirs[:REASON], _score(row, row.ours), row.we_say[:REASON])
    return made


def summary(rows: list[Row]) -> list[str]:
    """Who wins and who loses, under each."""
    hostile, honest = [r for r in rows if not r.innocent], [r for r in rows if r.innocent]
    told = []
    for name, score in (("plain nbgrader", "theirs"), ("this grader", "ours")):
        ran = [r for r in hostile if _ran(r, score)]
        wins = sum(won(r, getattr(r, score)) for r in ran)
        good = [r for r in honest if _ran(r, score)]
        losses = sum(lost(r, getattr(r, score)) for r in good)
        words = f"{wins:3} of {len(ran)} attacks win, {losses} of {len(good)} honest students lose points"
        told.append(f"{name:15} {words}")
    run = [r for r in hostile if _ran(r, "theirs")]
    failed = sum(r.theirs is None for r in run)
    harmed = sum(r.they_say.startswith("harmed") for r in run)
    told.append(f"plain nbgrader gave no score to {failed} more attacks of {len(run)}, and {harmed} harmed a bystander")
    return told


def won(row: Row, score: float | None) -> bool:
    """Is it more than the code deserves?"""
    return score is not None and score > row.honest + LITTLE


def lost(row: Row, score: float | None) -> bool:
    """Is it less than the code deserves, or nothing at all?"""
    return score is None or score < row.honest - LITTLE


def _ran(row: Row, score: str) -> bool:
    return not row.they_say.startswith("not run") if score == "theirs" else row.ours is not None


def _score(row: Row, score: float | None) -> str:
    if score is None:
        return ""
    mark = "!" if won(row, score) else "-" if row.innocent and lost(row, score) else ""
    return f"{score:g}{mark}"


def main(words: list[str]) -> int:
    """Grade, print, and write the rows when asked."""
    parser = argparse.ArgumentParser(prog="table", description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME")
    parser.add_argument("--ours", action="store_true", help="this grader only, which takes minutes instead of an hour")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows there as well")
    asked = parser.parse_args(words)
    chosen = attacks(asked.only)
    rows = rows_of(chosen)

    def keep(row: Row | None = None) -> None:
        if row is not None:
            print(f"{row.name}: {row.theirs} {row.they_say}", file=sys.stderr, flush=True)
        if asked.json:
            asked.json.write_text(json.dumps([asdict(each) for each in rows], indent=1))

    grade_ours(chosen, rows)
    keep()
    if not asked.ours:
        grade_plain(chosen, rows, keep)
    Console(width=180, highlight=False).print(table(rows))
    print(*summary(rows), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
