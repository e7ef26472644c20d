"""What a card does with the course's kernels, beside what the judge says without one: `make gpu`.

    python -m autograder.proof.gpu [PROBLEM ...] [--minutes 10] [--seed 7]

Every right kernel of every problem is compiled and run on the card, on the cases that the judge poses: its numbers
stand beside those of the replay and of the float64 reference, its time beside torch's own operator and the bytes that
have to move. Every wrong kernel is run, too, and what the card makes of it stands beside the verdict. Kernels run in
processes of their own: one that touches what is not its own takes its process along, and the table says so.

The table goes to tests/gates/gpu.md with the card's name. A run that has no time left says what it left out. Without
CUDA there is one sentence and exit code 1.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec
import torch

from autograder import ROOT
from autograder.authoring import kernels
from course.files import write_whole
from grader_kernels import problem as problems
from grader_kernels.judging import agree, timing
from grader_kernels.judging.hands import LocalHands
from grader_kernels.judging.judgement import Judgement
from grader_kernels.judging.task import Posed, pose

TABLE = ROOT / "tests" / "gates" / "gpu.md"
NO_CARD = "make gpu needs a CUDA device, and torch finds none here: nothing was run."
PATIENCE = 60.0  # seconds for one kernel, with its compilation
WORKERS = 6
REPEATS = 7  # of a timed launch; every result is compared with float64, which takes most of the time


class OnCard(msgspec.Struct):
    """One kernel on the card, and without it.

    score, says  the judge's verdict, of 10 points     cases, right  how many there are, and are right on the card
    worst        of the right cases, the error in units of what is allowed
    apart        the largest difference between card and replay, as a share of the largest number; None: not known
    trouble      why the card did not finish
    """

    problem: str
    answer: str
    kind: str
    score: float = 0.0
    says: str = ""
    cases: int = 0
    right: int = 0
    worst: float = 0.0
    apart: float | None = None
    trouble: str = ""


class OnClock(msgspec.Struct):
    """How fast our kernel is on the card, by timing.Speed."""

    problem: str
    says: str
    seconds: float = 0.0
    torch: float = 0.0
    bytes: int = 0
    share: float = 0.0


# --------------------------------------------------------------------------------------------------------------------
# One kernel, in a process of its own


def examine(name: str, answer: str, seed: int, device: str) -> OnCard:
    """Judge one of our answers without the card, then run it on `device`."""
    rights, _ = kernels.files(name)
    row = OnCard(name, answer, "right" if answer in rights else "wrong")
    launcher = kernels.launcher(name, answer)
    judged = Judgement(pose(problems.load(name), seed), LocalHands(launcher))
    verdict = judged.verdict()
    row.score, row.says = verdict.score, _why(verdict)
    row.cases = len(judged.runs)
    for ran in judged.runs:
        try:
            got = _run(launcher, ran.case, device)
        except Exception as error:
            row.trouble = _in_a_line(error)
            if "CUDA error" in row.trouble or "illegal memory" in row.trouble:
                break  # of this process nothing more can be asked
            continue
        _compare(row, got, ran.outputs, ran.case)
    return row


def _why(verdict: Any) -> str:
    said = [verdict.reason, *(says for group in verdict.groups if group.won < group.weight for says in group.says)]
    return next((says for says in said if says), "")


def _in_a_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"


def _run(launcher: Callable, case: Posed, device: str) -> Any:
    args, kwargs = _moved((case.args, case.kwargs), device)
    out = launcher(*args, **kwargs)
    out = args[0] if out is None else out  # changed in place
    if device == "cuda":
        torch.cuda.synchronize()
    return _moved(out, "cpu")


def _moved(value: Any, device: str) -> Any:
    """`value` with a copy of every tensor in it on the device, strides kept."""
    if isinstance(value, torch.Tensor):
        there = torch.empty_strided(value.shape, value.stride(), dtype=value.dtype, device=device)
        problems.copy_into(there, value)
        return there
    if isinstance(value, dict):
        return {key: _moved(item, device) for key, item in value.items()}
    return type(value)(_moved(item, device) for item in value) if isinstance(value, (tuple, list)) else value


def _compare(row: OnCard, got: Any, replayed: Any, case: Posed) -> None:
    found = agree.compare(got, case.expected)
    if found.passed:
        row.right += 1
        row.worst = max(row.worst, (found.error or 0.0) / (found.allowed or 1.0))
    apart = _apart(got, replayed, case)
    if apart is not None:
        row.apart = max(row.apart or 0.0, apart)


def _apart(got: Any, replayed: Any, case: Posed) -> float | None:
    """How far card and replay lie apart; None where one of them gave no numbers of that shape."""
    worst = 0.0
    for ours, theirs, output in zip(_tensors(got), _tensors(replayed), case.expected.outputs, strict=False):
        if ours.shape != theirs.shape:
            return None
        finite = torch.isfinite(ours) & torch.isfinite(theirs)
        scale = float(output.exact.double().abs()[torch.isfinite(output.exact)].max()) if output.exact.numel() else 1.0
        away = (ours.double() - theirs.double()).abs()[finite]
        worst = max(worst, float(away.max()) / (scale or 1.0) if away.numel() else 0.0)
    return worst if _tensors(replayed) else None


def _tensors(value: Any) -> list[torch.Tensor]:
    return [part for part in agree.outputs(value).values() if isinstance(part, torch.Tensor)]


def clock(name: str) -> OnClock:
    """Our kernel's time on the card."""
    torch.set_num_threads(len(os.sched_getaffinity(0)))  # nothing runs beside it
    launcher, device = kernels.launcher(name), timing.cuda()
    speed = timing.measure(problems.load(name), launcher, launcher, device, repeats=REPEATS)
    return OnClock(name, speed.says(), speed.seconds, speed.torch, speed.bytes, speed.share)


# --------------------------------------------------------------------------------------------------------------------
# Processes


def _serve(pipe: Any) -> None:
    torch.set_num_threads(1)
    while True:
        action, args = pipe.recv()
        try:
            pipe.send({"examine": examine, "clock": clock}[action](*args))
        except Exception as error:
            pipe.send(_in_a_line(error))


class Worker:
    """A process that runs kernels, started anew when it was lost."""

    def __init__(self) -> None:
        self.process: Any = None
        self.pipe: Any = None

    def ask(self, action: str, *args: Any) -> Any:
        """The row, or a string that says what happened to the process."""
        if self.process is None or not self.process.is_alive():
            context = multiprocessing.get_context("spawn")
            self.pipe, theirs = context.Pipe()
            self.process = context.Process(target=_serve, args=(theirs,), daemon=True)
            self.process.start()
            theirs.close()
        self.pipe.send((action, args))
        if not self.pipe.poll(PATIENCE):
            self.end()
            return f"it did not end within {PATIENCE:.0f} seconds"
        try:
            found = self.pipe.recv()
        except EOFError:
            self.end()
            return "its process died"
        if isinstance(found, str) or getattr(found, "trouble", ""):
            self.end()  # CUDA may be gone in it
        return found

    def end(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.join()
            self.process = None


def all_of(asked: list[tuple], deadline: float, workers: int, tell: Callable[[str], None]) -> Iterator[tuple]:
    """(question, answer) of every question, on several workers at once; None for what time did not suffice for."""
    waiting: queue.SimpleQueue = queue.SimpleQueue()
    answered: queue.SimpleQueue = queue.SimpleQueue()
    for question in asked:
        waiting.put(question)

    def work() -> None:
        worker = Worker()
        while True:
            try:
                question = waiting.get_nowait()
            except queue.Empty:
                return worker.end()
            answered.put((question, None if time.monotonic() > deadline else worker.ask(*question)))

    threads = [threading.Thread(target=work, daemon=True) for _ in range(min(workers, len(asked)))]
    for thread in threads:
        thread.start()
    for number in range(len(asked)):
        tell(f"{number + 1} of {len(asked)}")
        yield answered.get()


# --------------------------------------------------------------------------------------------------------------------
# The table


def render(card: str, rows: Iterable[OnCard], times: Iterable[OnClock], left_out: list[str]) -> str:
    """The report as Markdown."""
    rows = sorted(rows, key=lambda row: (row.problem, row.kind, row.answer))
    rights = [row for row in rows if row.kind == "right"]
    wrongs = [row for row in rows if row.kind == "wrong"]
    text = [f"# Kernels on {card}", "", "Written by `make gpu`.", ""]
    if left_out:
        text += [f"No time was left for {len(left_out)}: {', '.join(left_out)}.", ""]
    text += ["## Right kernels", "", "Error: the largest, in units of what is allowed. Apart: the card and the replay."]
    text += ["", "| problem | answer | judge | right on the card | error | apart | |", "|---|---|---|---|---|---|---|"]
    text += [_cells(row, f"{row.worst:.2f}", "" if row.apart is None else f"{row.apart:.1g}") for row in rights]
    text += ["", "## Time", ""]
    text += ["| problem | microseconds | torch | bytes needed | of the peak |", "|---|---|---|---|---|"]
    text += [
        f"| {t.problem} | {t.seconds * 1e6:.1f} | {t.torch * 1e6:.1f} | {t.bytes:,} | {t.share:.0%} |"
        if t.seconds
        else f"| {t.problem} | {t.says} | | | |"
        for t in sorted(times, key=lambda each: each.problem)
    ]
    text += ["", "## Wrong kernels", ""]
    text += ["What the judge says without a card, and on how many cases the card is right.", ""]
    text += ["| problem | answer | judge | right on the card | the judge says | |", "|---|---|---|---|---|---|"]
    text += [_cells(row, row.says[:120]) for row in wrongs]
    return "\n".join([*text, ""])


def _cells(row: OnCard, *more: str) -> str:
    cells = [row.problem, row.answer, f"{row.score:g}", f"{row.right} of {row.cases}", *more, row.trouble[:80]]
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def questions(names: Iterable[str], seed: int, device: str) -> tuple[list[tuple], list[tuple]]:
    """(what to ask of right kernels, and of wrong ones)."""
    rights, wrongs = [], []
    for name in names:
        ours, theirs = kernels.files(name)
        rights += [("examine", name, answer, seed, device) for answer in ours]
        wrongs += [("examine", name, answer, seed, device) for answer in theirs]
    return rights, wrongs


def report(card: str, names: list[str], seed: int, device: str, deadline: float, workers: int = WORKERS) -> str:
    """Ask everything, right kernels first, then the clock with nothing beside it, then wrong ones; the table."""
    rights, wrongs = questions(names, seed, device)
    clocks = [("clock", name) for name in names] if device == "cuda" else []
    rows: list[OnCard] = []
    times: list[OnClock] = []
    left_out: list[str] = []
    for part, many in ((rights, workers), (clocks, 1), (wrongs, workers)):
        for question, answer in all_of(part, deadline, many, _tell):
            if answer is None:
                left_out.append(" ".join(map(str, question[1:3])))
            elif question[0] == "clock":
                times.append(OnClock(question[1], answer) if isinstance(answer, str) else answer)
            else:
                kind = "right" if question in rights else "wrong"
                rows.append(OnCard(*question[1:3], kind, trouble=answer) if isinstance(answer, str) else answer)
    return render(card, rows, times, left_out)


def _tell(what: str) -> None:
    if sys.stderr.isatty():
        print(f"\r{what}   ", end="", file=sys.stderr, flush=True)


def main(words: list[str]) -> int:
    """Write the table; 1 without a card."""
    parser = argparse.ArgumentParser(prog="python -m autograder.proof.gpu", description=__doc__.split("\n\n")[0])
    parser.add_argument("problems", nargs="*", metavar="PROBLEM")
    parser.add_argument("--minutes", type=float, default=10.0, metavar="N", help="stop asking after so long (10)")
    parser.add_argument("--seed", type=int, default=7, metavar="N", help="of the inputs (7)")
    asked = parser.parse_args(words)
    if not torch.cuda.is_available():
        print(NO_CARD)
        return 1
    unknown = sorted(set(asked.problems) - set(problems.names()))
    if unknown:
        print(f"there is no problem called {unknown[0]}; there are {', '.join(problems.names())}")
        return 1
    deadline = time.monotonic() + 60 * asked.minutes
    card = torch.cuda.get_device_name()
    workers = min(WORKERS, os.cpu_count() or 1)
    text = report(card, asked.problems or problems.names(), asked.seed, "cuda", deadline, workers)
    write_whole(TABLE, text.encode())
    print(f"{TABLE.relative_to(ROOT)} says what {card} does")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
