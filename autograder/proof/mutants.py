"""A mutation run: small changes to each solution, judged. What keeps all points is a hole in a check, or no change.

python -m autograder.proof.mutants [UNIT] [EXERCISE]. Every mutant (autograder.proof.mutation) runs the cases and trials
in a forked process with limits; an endless loop counts as caught. One that survives is compared with the solution on
1,000 inputs wider than the trials' (autograder.proof.behaviour): the same on all of them is "equivalent", anything else
a hole. A hole has its explanation in tests/gates/mutants.toml, or is closed with a case.

The whole run writes its report to tests/gates/mutants.md. Exit code 0: at least 97 % of the mutants that change
behaviour lose points, and what survives is explained. Kernels are left to the mistakes of their problems.
"""

from __future__ import annotations

import os
import resource
import select
import signal
import sys
import time
import tomllib
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import torch

from autograder import ROOT
from autograder.authoring import recording
from autograder.authoring.checks import Check, attempt, load
from autograder.authoring.unit import Unit, find_unit, unit_folders
from autograder.judging.trials import secret_seed
from autograder.proof.behaviour import Bench
from autograder.proof.mutation import Mutant, mutants
from course.checking.check import quiet
from course.checking.subject import LocalSubject, SubjectError

GATES = ROOT / "tests" / "gates"
WANTED = 0.97
INPUTS = 1000
AT_ONCE = 2
MEMORY = 2 << 30  # beyond what the process has at birth
ENDLESS = "endless"


class Fate(msgspec.Struct):
    """What became of one mutant. state: caught, equivalent, hole, explained. says: by what, or where it differs."""

    unit: str
    exercise: str
    line: int
    code: str
    change: str
    state: str
    says: str = ""
    inputs: int = 0


# Processes


def forked(jobs: list[Callable[[], str]], seconds: float, memory: int = MEMORY, at_once: int = AT_ONCE) -> list[str]:
    """What each job returns, in order; ENDLESS past `seconds` of CPU (or four times that by the clock), "died" when
    its process ended in another way. A job runs in a process of its own."""
    results, running, waiting = [""] * len(jobs), {}, deque(enumerate(jobs))
    while waiting or running:
        while waiting and len(running) < at_once:
            index, job = waiting.popleft()
            pid, pipe = _start(job, seconds, memory)
            running[pipe] = (index, pid, time.monotonic() + 4 * seconds + 2, [])
        ready, _, _ = select.select(list(running), [], [], 0.2)
        for pipe in [p for p in running if p in ready or time.monotonic() > running[p][2]]:
            index, pid, _, parts = running[pipe]
            data = os.read(pipe, 65536) if pipe in ready else b""
            parts.append(data)
            if not data:
                os.close(pipe)
                results[index] = _end(pid, b"".join(parts).decode(), pipe not in ready)
                del running[pipe]
    return results


def _start(job: Callable[[], str], seconds: float, memory: int) -> tuple[int, int]:
    pipe, theirs = os.pipe()
    pid = os.fork()
    if pid:
        os.close(theirs)
        return pid, pipe
    try:
        _limit(seconds, memory)
        os.write(theirs, job().encode())
    except MemoryError:
        os.write(theirs, b"died")
    finally:
        os._exit(0)


def _limit(seconds: float, memory: int) -> None:
    with open("/proc/self/statm") as file:
        born_with = int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    whole = max(1, round(seconds))
    for which, most in (("AS", born_with + memory), ("CORE", 0), ("CPU", whole)):
        resource.setrlimit(getattr(resource, f"RLIMIT_{which}"), (most, most + (which == "CPU")))
    signal.signal(signal.SIGXCPU, signal.SIG_DFL)
    torch.set_num_threads(1)


def _end(pid: int, text: str, late: bool) -> str:
    if late:
        os.kill(pid, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if late or code in (-signal.SIGXCPU, -signal.SIGKILL):
        return ENDLESS
    return text if code == 0 and text else "died"


# One exercise


def judge(check: Check, namespace: dict[str, Any]) -> str:
    """The title of the first case or trial that does not hold (secret seed 0); "" when all do."""
    seed = secret_seed(b"gates", "0", check.name, "", "")
    for spec in check.specs:
        try:
            with quiet():
                held = attempt(check, spec, LocalSubject(namespace, check.name), seed(spec.title)).result.passed
        except SubjectError:
            held = False
        if not held:
            return spec.title
    return ""


def fates(unit: Unit, check: Check, solved: dict[str, Any], inputs: int = INPUTS) -> list[Fate]:
    """Every mutant of one exercise and what became of it. One whose cell does not even run is left out."""
    source = unit.solution_source(check.name)
    made = mutants(source)
    began = time.process_time()
    judge(check, _made(source, solved))
    limit = 5 + 10 * (time.process_time() - began)
    verdicts = forked([lambda m=m: _verdict(check, m, solved) for m in made], limit)
    alive = [m for m, verdict in zip(made, verdicts, strict=True) if verdict == "survives"]
    found = iter(_differences(check, alive, solved, inputs) if alive else [])
    lines, rows = [line.split("  #")[0].strip() for line in source.splitlines()], []
    for mutant, verdict in zip(made, verdicts, strict=True):
        if verdict != "no cell":
            row = Fate(unit.id, check.name, mutant.line, lines[mutant.line - 1], mutant.change, "caught", verdict)
            rows.append(_settled(row, *next(found)) if verdict == "survives" else row)
    return rows


def _settled(row: Fate, difference: str, inputs: int) -> Fate:
    row.state, row.says, row.inputs = ("hole" if difference else "equivalent"), difference, inputs
    return row


def _made(source: str, solved: dict[str, Any]) -> dict[str, Any]:
    namespace = dict(solved)
    with quiet():
        recording.execute(source, namespace, "mutant")
    return namespace


def _verdict(check: Check, mutant: Mutant, solved: dict[str, Any]) -> str:
    """In a process of its own: the property that does not hold, "survives", or "no cell"."""
    try:
        namespace = _made(mutant.source, solved)
    except Exception:
        return "no cell"
    return judge(check, namespace) or "survives"


def _differences(check: Check, alive: list[Mutant], solved: dict[str, Any], inputs: int) -> Iterator[tuple[str, int]]:
    """For each survivor where it differs from the solution ("" if nowhere), and on how many inputs that was asked."""
    began = time.process_time()
    bench = Bench(check, solved, inputs)
    limit = 20 + 10 * (time.process_time() - began)
    jobs = [lambda m=m: bench.difference(_made(m.source, solved)) or "none" for m in alive]
    for answer in forked(jobs, limit):
        words = {"none": "", ENDLESS: "it does not end", "died": "it breaks off"}
        yield words.get(answer, answer), bench.wider


# The report


def explanations(path: Path) -> dict[tuple[str, str, str], str]:
    """(exercise, line of code, change) -> why this mutant may survive."""
    told = tomllib.loads(path.read_text()) if path.is_file() else {}
    return {
        (entry["exercise"], entry["code"], change): " ".join(entry["why"].split())
        for entry in told.get("survivor", [])
        for change in entry["changes"]
    }


def explain(rows: list[Fate], known: dict[tuple[str, str, str], str]) -> list[tuple[str, str, str]]:
    """Turn holes that have an explanation into "explained"; gives the explanations that nothing needs any more."""
    used = set()
    for row in rows:
        key = row.exercise, row.code, row.change
        if row.state == "hole" and key in known:
            row.state, row.says = "explained", known[key]
            used.add(key)
    exercises = {row.exercise for row in rows}
    return [key for key in known if key[0] in exercises and key not in used]


def rate(rows: list[Fate]) -> float:
    """Caught mutants among those that change behaviour; 1 when there are none."""
    count = {state: sum(r.state == state for r in rows) for state in ("caught", "hole", "explained")}
    return count["caught"] / sum(count.values()) if sum(count.values()) else 1.0


def summary(rows: list[Fate]) -> str:
    """One line per unit, as Markdown."""
    lines = ["| unit | mutants | lose points | equivalent | survive, explained | survive, not explained | rate |"]
    lines.append("|---|---|---|---|---|---|---|")
    for unit in [*dict.fromkeys(r.unit for r in rows), ""]:
        mine = [r for r in rows if unit in ("", r.unit)]
        counts = [sum(r.state == s for r in mine) for s in ("caught", "equivalent", "explained", "hole")]
        cells = [unit or "all", len(mine), *counts, f"{100 * rate(mine):.1f} %"]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines) + "\n"


def listed(rows: list[Fate], state: str) -> str:
    """The mutants of one state as Markdown, those with the same reason under it."""
    groups: dict[tuple[str, str], list[Fate]] = {}
    for row in (r for r in rows if r.state == state):
        groups.setdefault((row.exercise, row.says), []).append(row)
    lines = []
    for (exercise, says), mine in groups.items():
        lines += [f"- {exercise}{': ' if says else ''}{says}", *(f"    - line {r.line}: `{r.change}`" for r in mine)]
        if mine[0].inputs != INPUTS:
            lines[-len(mine) - 1] += " (a value: no inputs)" if not mine[0].inputs else f" ({mine[0].inputs} inputs)"
    return "\n".join(lines or ["None."]) + "\n"


def render(rows: list[Fate]) -> str:
    """The report: rates, survivors with their explanations, equivalent mutants."""
    head = f"# Mutants\n\nWritten by `make mutants`; explanations come from `mutants.toml`.\n\n{summary(rows)}\n"
    parts = {"Survive, not explained": "hole", "Survive, explained": "explained"}
    parts[f"Equivalent: no difference on {INPUTS} inputs wider than the trials'"] = "equivalent"
    return head + "\n".join(f"## {title}\n\n{listed(rows, state)}" for title, state in parts.items())


def run(folder: Path, only: str | None = None) -> list[Fate]:
    """Every mutant of the unit in `folder`, or of the exercise named `only`. Progress goes to stderr."""
    unit, rows = Unit.load(folder), []
    checks = load(unit.checks_path)
    for name, solved in recording.namespaces(unit, only):
        if checks[name].kind != "kernel" and only in (None, name):
            began = time.monotonic()
            mine = fates(unit, checks[name], solved)
            lost = f"{sum(r.state == 'caught' for r in mine)} of {len(mine)} mutants lose points"
            print(f"{unit.id} {name}: {lost}, {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
            rows += mine
    return rows


def main(words: list[str]) -> int:
    """Print the report; keep it when all units ran. Exit code 1: too many survive, or one without an explanation."""
    torch.set_num_threads(1)
    folders = [find_unit(words[0])] if words else unit_folders()
    rows = [row for folder in folders for row in run(folder, *words[1:2])]
    stale = explain(rows, explanations(GATES / "mutants.toml"))
    report = render(rows)
    print(report)
    if not words:
        (GATES / "mutants.md").write_text(report)
    for key in stale:
        print(f"mutants.toml explains what no longer survives: {' | '.join(key)}")
    return 0 if rate(rows) >= WANTED and not stale and all(r.state != "hole" for r in rows) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
