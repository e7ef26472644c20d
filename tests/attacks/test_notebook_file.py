"""THREATS.md, lines 1, 13 and 15: forging by the notebook file itself, followed into nbgrader's gradebook."""

import copy
from concurrent.futures import Executor, Future

import pytest
from attack_class import (
    ORIENTATION,
    RIGHT,
    SHORT,
    WRONG,
    Attack,
    Class,
    cell_of,
    check_nothing_outside_changed,
    check_verdict,
    controls,
)

from autograder.classroom import grade as grading

PLAIN = {"fix_the_stub": "def fix_the_stub(x):\n    return x + 1\n"}
SOLVED, TWO = ("program_offsets",), {"program_offsets": 2.0}


def mark(notebook, **values):
    for cell in notebook.cells:
        cell.metadata.setdefault("nbgrader", {}).update(values)


def skip_everything(notebook):
    for cell in notebook.cells:
        cell.metadata["tags"] = ["skip-execution", "raises-exception", "remove_cell"]


def many_points(notebook):
    for cell in notebook.cells:
        if cell.metadata.get("nbgrader", {}).get("grade"):
            cell.metadata.nbgrader.update(points=1000, max_score=1000, locked=False)


def swap_flags(notebook):
    for cell in notebook.cells:
        marks = cell.metadata.get("nbgrader", {})
        if marks:
            marks["grade"], marks["solution"] = not marks["grade"], not marks["solution"]
            marks["task"] = True


def other_grade_ids(notebook):
    cell_of(notebook, "check-fix_the_stub").metadata.nbgrader.grade_id = "check-program_offsets"
    cell_of(notebook, "fix_the_stub").metadata.nbgrader.grade_id = "nothing"
    cell_of(notebook, "check-count_bytes").metadata.nbgrader.grade_id = "check-of-my-own"


def delete_checks(notebook):
    notebook.cells = [c for c in notebook.cells if not c.metadata.get("nbgrader", {}).get("grade")]


def duplicate_checks(notebook):
    twins = [copy.deepcopy(c) for c in notebook.cells if c.metadata.get("nbgrader", {}).get("grade")]
    for twin in twins:
        twin.source = "100.0"
    notebook.cells = [*twins, *notebook.cells, *twins]


def move_checks(notebook):
    checks = [c for c in notebook.cells if c.metadata.get("nbgrader", {}).get("grade")]
    notebook.cells = [*checks, *(c for c in notebook.cells if c not in checks)]


def split_checks(notebook):
    for name in ("check-fix_the_stub", "check-program_offsets"):
        cell = cell_of(notebook, name)
        twin = copy.deepcopy(cell)
        cell.source, twin.source = "if False:", "    " + cell.source
        notebook.cells.insert(notebook.cells.index(cell) + 1, twin)


def hide_checks(notebook):
    for cell in notebook.cells:
        if cell.metadata.get("nbgrader", {}).get("grade"):
            cell.cell_type = cell.metadata.nbgrader.cell_type = "markdown"
            cell.pop("outputs", None), cell.pop("execution_count", None)


def forge_outputs(notebook):
    card = {"text/html": "<b>58 of 58 points</b>", "text/plain": "58 of 58 points"}
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [{"output_type": "execute_result", "data": card, "metadata": {}, "execution_count": 1}]
    notebook.metadata.update(course={"score": 58}, celltoolbar="None", kernelspec={"name": "ruby", "display_name": "x"})


def drop_everything_but_answers(notebook):
    keep = {"fix_the_stub", "program_offsets"}
    notebook.cells = [c for c in notebook.cells if c.metadata.get("nbgrader", {}).get("grade_id") in keep]
    mark(notebook, grade_id="x")


def attack(name, why, change, scores=TWO, solved=SOLVED, line=13):
    return Attack(name, line, why, write=PLAIN, solved=solved, change=change, scores=scores)


ATTACKS = [
    *controls(ORIENTATION, ("fix_the_stub", "program_offsets", "count_bytes"), PLAIN),
    attack("skip_execution", "tags that make nbgrader skip the tests", skip_everything, line=1),
    attack("many_points", "1000 points in each check cell's metadata", many_points),
    attack("swapped_flags", "grade, solution and task flags turned round", swap_flags),
    attack("grade_ids", "check cells under other names", other_grade_ids),
    attack("deleted_checks", "no check cells", delete_checks),
    attack("duplicated_checks", "check cells twice more, with another text", duplicate_checks),
    attack("moved_checks", "check cells at the top", move_checks),
    attack("split_checks", "check cells split under an `if False:`", split_checks),
    attack("checks_in_markdown", "check cells turned into text", hide_checks),
    attack("forged_outputs", "verdict cards in the outputs, scores in the metadata", forge_outputs),
    attack("only_answers", "nothing but two cells, both with one made-up grade id", drop_everything_but_answers),
]

RESUBMIT = {
    "ends_its_process": ("import os\nos._exit(0)",),
    "kills_itself": ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)",),
    "hangs": ("import signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, range(1, 64))\nwhile True: pass",),
    "numbers_no_judge_expects": (),
}
FIRST = [
    Attack(name, 15, "right at first", solved=("fix_the_stub",), scores={"fix_the_stub": 1.0})
    for name in (*RESUBMIT, "unreadable_now", "judge_fails")
]
HUGE = {name: f"def {name}(*a):\n    return 10**4000\n" for name in ("fix_the_stub", "program_offsets", "count_bytes")}
SECOND = [
    Attack(name, 15, "then something that stops the grader", before=cells, write=PLAIN if cells else HUGE, limits=SHORT)
    for name, cells in RESUBMIT.items()
] + [Attack("unreadable_now", 15, "then no notebook", raw=lambda raw: raw[:1000], state="unreadable", says="JSON")]


class NoJudge(Executor):
    """A judge process that dies."""

    def submit(self, function, *args):
        future = Future()
        future.set_exception(MemoryError("the judge is gone"))
        return future


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    group = Class(tmp_path_factory.mktemp("files"), ORIENTATION, [*ATTACKS, *FIRST])
    for each in group.attacks.values():
        group.hand_in(each)
    group.before = group.files()
    group.again()
    assert group.record() == {}
    return group


@pytest.fixture(scope="module")
def resubmitted(graded):
    first = {name: graded.verdicts[name].score for name in graded.attacks}
    rows = graded.rows()
    for each in SECOND:
        graded.hand_in(each)
    graded.again()
    graded.hand_in(Attack("judge_fails", 15, "", write=PLAIN))
    with graded.folder.lock("attacks"):
        grading.grade(graded.folder, ORIENTATION, executor=NoJudge())
    problems = graded.record()
    return first, rows, graded.rows(), problems


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda a: f"{a.line}-{a.name}")
def test_the_score_is_what_the_code_deserves(graded, attack):
    check_verdict(attack, graded.verdicts[attack.name])


def test_the_gradebook_says_what_the_verdicts_say(graded):
    rows = graded.rows()
    maximum = {name: row[1] for name, row in rows[RIGHT].items()}
    for name, given in rows.items():
        assert {cell: row[1] for cell, row in given.items()} == maximum, name
        for exercise in graded.verdicts[name].exercises:
            assert given[f"check-{exercise.name}"][0] == pytest.approx(exercise.score), (name, exercise.name)


def test_nothing_outside_the_workers_changed(graded):
    check_nothing_outside_changed(graded, graded.before)


@pytest.mark.parametrize("attack", SECOND, ids=lambda a: a.name)
def test_a_resubmission_that_stops_the_grader_loses_the_old_score(resubmitted, graded, attack):
    first, before, after, problems = resubmitted
    assert problems == {}
    assert first[attack.name] == 1 and before[attack.name]["check-fix_the_stub"][0] == 1
    check_verdict(attack, graded.verdicts[attack.name])
    assert {row[0] for cell, row in after[attack.name].items() if cell.startswith("check-")} == {0.0}


def test_a_judge_that_dies_leaves_no_old_score_and_is_asked_again(resubmitted, graded):
    _, before, after, _ = resubmitted
    assert before["judge_fails"]["check-fix_the_stub"][0] == 1 and after["judge_fails"]["check-fix_the_stub"][0] == 0
    verdict = graded.folder.read_verdict(ORIENTATION, "judge_fails")
    assert "the judge could not finish" in verdict.reason and verdict.check_version == ""


def test_other_students_rows_stay_as_they_were(resubmitted):
    _, before, after, _ = resubmitted
    untouched = [name for name in before if name in (RIGHT, WRONG, *(a.name for a in ATTACKS))]
    assert {name: before[name] for name in untouched} == {name: after[name] for name in untouched}
