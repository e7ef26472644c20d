"""A class of any size on the tiny unit, and a judge that takes no time: for tests of what happens around judging."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat

from autograder import commands
from autograder.authoring.unit import Unit
from autograder.classroom import grade, record
from autograder.classroom.class_folder import ClassFolder
from autograder.judging import rules
from course.checking.verdict import TrialResult as Trial
from course.checking.verdict import Verdict, settle, without_points

UNITS = Path(__file__).resolve().parent.parent / "units"
UNIT = "90_tiny"
LOG = "judged.log"


def use(root: Path, monkeypatch=None) -> None:
    """From now on this process grades the units of the tests, as built in `root`."""
    put = monkeypatch.setattr if monkeypatch else setattr
    for module in (grade, rules):
        put(module, "UNITS", UNITS)
        put(module, "ROOT", root)
    rules.rules_for.cache_clear()


def use_for_the_command(monkeypatch=None) -> None:
    """And `course grade` judges it in threads of this process."""
    put = monkeypatch.setattr if monkeypatch else setattr
    put(grade, "why_not", lambda: "")
    put(grade, "local_executor", ThreadPoolExecutor)
    put(commands, "_units", lambda word: [Unit.load(UNITS / UNIT)])


def hand_in(classroom: ClassFolder, built: Path, student: str, number: int = 0) -> Path:
    """The solved notebook with a number in it that makes it this student's own."""
    (solution,) = (built / "solutions" / UNIT).glob("*.ipynb")
    notebook = json.loads(solution.read_text())
    for cell in notebook["cells"]:
        if cell["metadata"].get("nbgrader", {}).get("grade_id") == "double_it":
            cell["source"] = "".join(cell["source"]) + f"\n# attempt {number} of {student}"
    folder = classroom.submitted / student / UNIT
    folder.mkdir(parents=True, exist_ok=True)
    (folder / solution.name).write_text(json.dumps(notebook))
    return folder


def make_class(root: Path, built: Path, students: int) -> ClassFolder:
    """A class in which s0000, s0001 ... handed in."""
    classroom = ClassFolder(root)
    for number in range(students):
        hand_in(classroom, built, f"s{number:04d}")
    return classroom


def judge_at_once(folder: Path, seconds: float = 0.0, points: dict[str, float] | None = None):
    """A judge for `grade.judge`: notes whom it judged in `folder`, and gives everyone full points or those in `points`.

    Its verdicts are as long as real ones.
    """

    def judge(rules, handin, *more) -> Verdict:
        time.sleep(seconds)
        rows = [_row(c.name, c.points, (points or {}).get(c.name)) for c in rules.recorded.checks.values()]
        with open(folder / LOG, "ab", buffering=0) as log:
            log.write(f"{handin.student} {handin.digest} {rules.version}\n".encode())
        return Verdict(
            unit=rules.unit, student=handin.student, max_score=rules.max_score, exercises=rules.recorded.marked(rows),
            digest=handin.digest, check_version=rules.version, notes=list(handin.notes),
            cell_outputs={cell.id: "printed " * 50 for cell in handin.cells}, seconds=seconds,
        ).add_up()  # fmt: skip

    return judge


def _row(name: str, worth: float, score: float | None):
    if score is not None and score < worth:
        return without_points(name, worth, "failed", "it was decided so")
    return settle(name, worth, [Trial(f"property number {index} holds", 1.0, True) for index in range(8)])


def judged(folder: Path) -> list[str]:
    """The judge's notes, one line per judgement it finished."""
    return (folder / LOG).read_text().splitlines() if (folder / LOG).exists() else []


def memory() -> int:
    """Bytes this process has in memory that are its own.

    Pages of files are not counted: a fork finds those of its parent's libraries as it touches them.
    """
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("RssAnon"))
    return 1024 * int(line.split()[1])


def grade_and_record(classroom: ClassFolder, executor) -> grade.Graded:
    """What `course grade` does for one unit, without its words."""
    with classroom.lock("course grade"):
        graded = grade.grade(classroom, UNIT, executor=executor)
        assert record.record(classroom, UNIT) == {}
    return graded


def told(classroom: ClassFolder) -> dict[str, tuple]:
    """What the class's verdicts and gradebook say, without when it was said."""
    found = {}
    for verdict in classroom.all_verdicts(UNIT):
        found[verdict.student] = verdict.score, verdict.digest, verdict.check_version, verdict.state
    with classroom.gradebook() as gradebook:
        for submission in gradebook.assignment_submissions(UNIT):
            name = submission.student.id
            page = classroom.autograded / name / UNIT / classroom.release_notebook(UNIT).name
            nbformat.validate(nbformat.read(page, as_version=4))
            grades = sorted((g.name, g.auto_score) for n in submission.notebooks for g in n.grades)
            found[name] = (*found[name], grades, submission.score)
    return found
