"""The coordinator: hand-ins given out a few at a time, verdicts with a history, runs that end early and go on."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import msgspec
import pytest
import synthetic
from synthetic import UNIT, hand_in, judge_at_once, judged, make_class

from autograder import commands
from autograder.classroom import grade, intake, record
from autograder.classroom.class_folder import ClassFolder
from autograder.judging import pool
from course.checking import verdict as verdicts
from course.command_line import cli

HERE = Path(__file__).parent
STUDENTS = 12
OWN_DISK = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
MOUNT = "mount -t tmpfs -o size=32m tmpfs {disk} && exec {python} {script} {disk}"


@pytest.fixture(scope="module")
def built(tiny_root):
    return tiny_root


@pytest.fixture(autouse=True)
def here(built, monkeypatch, tmp_path):
    """Grade the tiny unit, at once."""
    synthetic.use(built, monkeypatch)
    monkeypatch.setattr(grade, "judge", judge_at_once(tmp_path))
    yield
    grade.rules_for.cache_clear()


@pytest.fixture(scope="module")
def made(built, tmp_path_factory):
    """A class that is set up, and not graded."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        synthetic.use(built, monkeypatch)
        classroom = make_class(tmp_path_factory.mktemp("grade-class") / "class", built, STUDENTS)
        grade.set_up(classroom, UNIT)
    return classroom


@pytest.fixture
def classroom(made, tmp_path):
    return ClassFolder(shutil.copytree(made.root, tmp_path / "class"))


@pytest.fixture
def threads():
    with ThreadPoolExecutor(2) as executor:
        yield executor


def other_checks(monkeypatch, suffix="-fixed"):
    """As if a check had been changed."""
    rules = grade.rules_for(UNIT)
    monkeypatch.setattr(rules, "version", rules.version + suffix)


class Counting(Executor):
    """Counts how many tasks are given out and not yet done, and how large they are."""

    def __init__(self, inner: Executor) -> None:
        self.inner, self.open, self.most, self.sizes = inner, 0, 0, []

    def submit(self, function, task) -> Future:
        self.open += 1
        self.most = max(self.most, self.open)
        self.sizes.append(len(task))
        future = self.inner.submit(function, task)
        future.add_done_callback(self._done)
        return future

    def _done(self, future):
        self.open -= 1


# Giving out


def test_a_few_hand_ins_are_given_out_at_a_time(classroom, threads):
    executor = Counting(threads)
    graded = grade.grade(classroom, UNIT, jobs=2, executor=executor)
    assert (graded.judged, graded.kept) == (STUDENTS, 0)
    assert executor.most <= 4
    assert [v.student for v in graded.verdicts] == sorted(p.name for p in classroom.submitted.iterdir())


def test_what_travels_is_json_with_the_notebook_in_it(classroom, threads, monkeypatch):
    seen = []
    nothing = msgspec.json.encode(grade.Answer())
    monkeypatch.setattr(grade, "judge_task", lambda data: seen.append(data) or nothing)
    grade.grade(classroom, UNIT, only="s0000", executor=threads)
    task = msgspec.json.decode(seen[0])
    assert "attempt 0 of s0000" in task["notebook"] and str(classroom.root) not in seen[0].decode()
    verdict = classroom.read_verdict(UNIT, "s0000")
    assert verdict.reason.startswith("the judge could not finish") and verdict.check_version == ""


def test_a_second_run_hashes_and_does_nothing_else(classroom, threads, monkeypatch, tmp_path):
    synthetic.grade_and_record(classroom, threads)
    before = {p: p.stat().st_mtime_ns for p in classroom.root.rglob("*") if p.is_file()}

    def never(*args, **more):
        raise AssertionError("an unchanged hand-in was looked into")

    for module, name in ((intake, "canonical"), (grade, "judge"), (record, "_enter")):
        monkeypatch.setattr(module, name, never)
    graded = synthetic.grade_and_record(classroom, threads)
    assert (graded.judged, graded.kept, len(judged(tmp_path))) == (0, STUDENTS, STUDENTS)
    after = {p: p.stat().st_mtime_ns for p in classroom.root.rglob("*") if p.is_file()}
    assert {p.name for p in after if after[p] != before.get(p)} <= {".lock", "gradebook.db"}


def test_only_what_changed_is_judged_and_recorded_again(classroom, threads, built, tmp_path):
    synthetic.grade_and_record(classroom, threads)
    hand_in(classroom, built, "s0003", number=2)
    with classroom.lock("course grade"):
        graded = grade.grade(classroom, UNIT, executor=threads)
        seen = []
        record.record(classroom, UNIT, on_done=lambda student, problem: seen.append(student))
    assert (graded.judged, graded.kept, seen) == (1, STUDENTS - 1, ["s0003"])
    assert judged(tmp_path)[-1].startswith("s0003 ")


# A judging process that dies, or that can't judge


def test_a_judge_that_dies_takes_no_other_hand_in_along(classroom, monkeypatch, tmp_path):
    """The pool is of forked processes here, so that they have the fake judge of this process."""
    fake = judge_at_once(tmp_path)

    def judge(rules, handin, *more):
        if handin.student == "s0004":
            os._exit(1)
        return fake(rules, handin)

    monkeypatch.setattr(grade, "judge", judge)
    monkeypatch.setattr(grade, "why_not", lambda: "")
    forked = get_context("fork")
    monkeypatch.setattr(grade, "local_executor", lambda jobs: ProcessPoolExecutor(jobs, mp_context=forked))
    graded = grade.grade(classroom, UNIT, jobs=2)
    assert graded.judged == STUDENTS
    for verdict in graded.verdicts:
        failed = verdict.student == "s0004"
        assert verdict.reason.startswith("the judge could not finish") == failed, verdict.reason
    counts = [line.split()[0] for line in judged(tmp_path)]
    assert set(counts) == {f"s{n:04d}" for n in range(STUDENTS)} - {"s0004"}
    assert len(counts) <= len(set(counts)) + 4  # those in hand when the pool broke may be judged a second time


def hangs(seconds):
    """Native code that holds the interpreter, deaf to everything but the kernel."""
    re.match(r"(a+)+$", "a" * 60 + "b")


def pools_of_this_judge(monkeypatch):
    """Pools of forked processes with the fake judge of this one, bounded as real ones are."""
    forked = {"mp_context": get_context("fork"), "initializer": pool._bound, "initargs": (0,)}
    monkeypatch.setattr(grade, "why_not", lambda: "")
    monkeypatch.setattr(grade, "local_executor", lambda jobs: ProcessPoolExecutor(jobs, **forked))


def test_a_hand_in_that_hangs_its_judge_costs_itself_once(classroom, monkeypatch, tmp_path):
    fake = judge_at_once(tmp_path)

    def judge(rules, handin, *more):
        return hangs(handin) if handin.student == "s0004" else fake(rules, handin)

    monkeypatch.setattr(grade, "judge", judge)
    monkeypatch.setattr(grade, "JUDGE_SECONDS", 1.5)
    pools_of_this_judge(monkeypatch)
    began = time.monotonic()
    graded = grade.grade(classroom, UNIT, jobs=2)
    assert time.monotonic() - began < 30
    found = {verdict.student: verdict for verdict in graded.verdicts}
    hung = found.pop("s0004")
    assert (hung.reason, hung.score, hung.state) == ("judging it took longer than 1.5 s", 0.0, "unreadable")
    assert hung.check_version and all(verdict.score == verdict.max_score for verdict in found.values())
    assert grade.grade(classroom, UNIT, jobs=2).kept == STUDENTS


def test_an_answer_that_is_too_much_for_a_judge_costs_its_hand_in(classroom, monkeypatch, tmp_path):
    fake = judge_at_once(tmp_path)

    def judge(rules, handin, *more):
        return bytearray(4 << 30) if handin.student == "s0004" else fake(rules, handin)

    monkeypatch.setattr(grade, "judge", judge)
    monkeypatch.setattr(pool, "JUDGE_BYTES", 3 << 30)
    pools_of_this_judge(monkeypatch)
    graded = grade.grade(classroom, UNIT, jobs=2)
    reasons = {v.student: v.reason for v in graded.verdicts if v.reason}
    assert reasons == {"s0004": "judging it took more memory than a judge has"}
    assert len({v.check_version for v in graded.verdicts}) == 1


def test_a_judge_that_is_no_process_of_a_pool_has_no_alarm_clock():
    with pool.ended_after(0.05):
        time.sleep(0.1)


@pytest.mark.parametrize("own", [True, False], ids=["processes of its own", "an executor of somebody else's"])
def test_who_was_starved_is_judged_again_after_all_others(classroom, threads, monkeypatch, tmp_path, own):
    """And the second verdict counts, however it is."""
    fake, seen, at_once = judge_at_once(tmp_path), [], []

    def judge(rules, handin, *more):
        at_once.append(handin.student)
        seen.append((handin.student, len(at_once)))
        verdict = fake(rules, handin)
        if handin.student in ("s0002", "s0003"):
            verdict.starved, verdict.score = True, 1.0 if [s for s, _ in seen].count(handin.student) == 2 else 0.0
        time.sleep(0.01)
        at_once.remove(handin.student)
        return verdict

    monkeypatch.setattr(grade, "judge", judge)
    synthetic.use_for_the_command(monkeypatch)
    graded = grade.grade(classroom, UNIT, jobs=2, executor=None if own else threads)
    assert graded.judged == STUDENTS and len(seen) == STUDENTS + 2
    assert dict(seen[-2:]) == {"s0002": 1, "s0003": 1}  # nobody else at that time
    found = {v.student: v for v in graded.verdicts}
    assert found["s0002"].score == found["s0003"].score == 1.0 and found["s0002"].history == []


def test_a_second_judgement_that_fails_leaves_the_first(classroom, threads, monkeypatch, tmp_path):
    fake, seen = judge_at_once(tmp_path), []

    def judge(rules, handin, *more):
        seen.append(handin.student)
        if seen.count("s0002") == 2:
            raise ValueError("odd")
        verdict = fake(rules, handin)
        verdict.starved = handin.student == "s0002"
        return verdict

    monkeypatch.setattr(grade, "judge", judge)
    graded = grade.grade(classroom, UNIT, executor=threads)
    assert not any(v.reason for v in graded.verdicts) and seen[-1] == "s0002"


def test_a_judge_with_other_checks_stops_the_run_and_leaves_every_verdict(classroom, threads, monkeypatch):
    synthetic.grade_and_record(classroom, threads)
    known = {v.student: v for v in classroom.all_verdicts(UNIT)}
    other_checks(monkeypatch)
    elsewhere = grade.judge_task

    def judge_task(data):
        task = msgspec.json.decode(data, type=grade.Task)
        return elsewhere(msgspec.json.encode(msgspec.structs.replace(task, version=f"{task.version}-newer")))

    monkeypatch.setattr(grade, "judge_task", judge_task)
    says = rf"expected the checks \S+-fixed-newer of {UNIT}, and this judge has \S+-fixed; check out"
    with pytest.raises(grade.Unfit, match=says):
        grade.grade(classroom, UNIT, jobs=1, executor=ThreadPoolExecutor(1))
    assert {v.student: v for v in classroom.all_verdicts(UNIT)} == known


def test_an_answer_that_cannot_be_written_is_a_failure(monkeypatch):
    task = grade.Task(UNIT, "ann", "{}", "digest", [], "00", "version")
    half = verdicts.Verdict(student="ann", reason="\ud800")
    monkeypatch.setattr(grade, "_judge", lambda task: grade.Answer(half))
    answer = msgspec.json.decode(grade.judge_task(msgspec.json.encode(task)), type=grade.Answer)
    assert answer.failed.startswith("UnicodeEncodeError") and not answer.unfit


def test_a_verdict_can_be_written_whatever_it_quotes():
    row = verdicts.without_points("f", 1.0, "held", "it uses `\ud800`")
    whole = verdicts.encodable(verdicts.Verdict(exercises=[row], cell_outputs={"a\udfff": "é"}, notes=["fine"]))
    assert whole.exercises[0].reason == "it uses `?`" and whole.cell_outputs == {"a?": "é"}
    assert verdicts.decode(verdicts.encode(whole)) == whole
    assert verdicts.encodable(row).reason == "it uses `?`"



def test_a_judge_without_the_unit_or_without_room_is_unfit_and_one_that_fails_is_not(classroom, monkeypatch):
    task = grade.Task("77_none", "ada", "{}", "d", [], "00", "v")
    answer = msgspec.json.decode(grade.judge_task(msgspec.json.encode(task)), type=grade.Answer)
    assert "expected unit 77_none in the clone of this judge" in answer.unfit
    text = '{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}'
    task = grade.Task(UNIT, "ada", text, "d", [], "00", grade.rules_for(UNIT).version)
    for error, field in ((OSError(errno.ENOSPC, "No space left on device"), "unfit"), (ValueError("odd"), "failed")):
        monkeypatch.setattr(grade, "judge", lambda *a, e=error: (_ for _ in ()).throw(e))
        answer = msgspec.json.decode(grade.judge_task(msgspec.json.encode(task)), type=grade.Answer)
        assert str(error) in getattr(answer, field)


def test_files_that_are_no_text_count_as_missing(classroom, threads):
    before = grade.grade(classroom, UNIT, only="s0000", executor=threads).judged
    canonical = classroom.canonical_dir("s0000", UNIT)
    for path, field in ((classroom.verdict_file(UNIT, "s0000"), b"student"), (intake._note_file(canonical), b"key")):
        path.write_bytes(b'{"%s": "\xff"}' % field)
    again = grade.grade(classroom, UNIT, only="s0000", executor=threads)
    assert (before, again.judged) == (1, 1) and [v.student for v in again.verdicts] == ["s0000"]


# Regrade


def test_a_verdict_keeps_what_it_took_the_place_of(classroom, threads, monkeypatch, built, tmp_path):
    grade.grade(classroom, UNIT, only="s0000", executor=threads)
    full = classroom.read_verdict(UNIT, "s0000").score
    other_checks(monkeypatch)
    monkeypatch.setattr(grade, "judge", judge_at_once(tmp_path, points={"double_it": 0.0}))
    grade.grade(classroom, UNIT, only="s0000", executor=threads)
    hand_in(classroom, built, "s0000", number=7)
    grade.grade(classroom, UNIT, only="s0000", executor=threads)
    first, second = classroom.read_verdict(UNIT, "s0000").history
    assert (first.old, first.new, first.why) == (full, full - 3, "the checks changed")
    assert (second.old, second.new, second.why) == (full - 3, full - 3, "the hand-in changed")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", first.when)
    monkeypatch.setattr(verdicts, "KEPT", 2)
    hand_in(classroom, built, "s0000", number=8)
    grade.grade(classroom, UNIT, only="s0000", executor=threads)
    assert [change.why for change in classroom.read_verdict(UNIT, "s0000").history] == ["the hand-in changed"] * 2


def test_whose_score_changes_is_said_before_it_is_written(classroom, monkeypatch, tmp_path, capsys):
    folder = ["--class", str(classroom.root)]
    synthetic.use_for_the_command(monkeypatch)
    assert cli.run(["grade", UNIT, *folder]) == 0
    assert "recorded scores" not in capsys.readouterr().out
    other_checks(monkeypatch)
    harsh, kind = judge_at_once(tmp_path, points={"double_it": 1.0}), judge_at_once(tmp_path)
    monkeypatch.setattr(grade, "judge", lambda r, h, *m: (harsh if h.student == "s0005" else kind)(r, h))
    assert cli.run(["grade", UNIT, *folder, "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "1 of the recorded scores would change:\n  s0005: 6.5 -> 3.5, the checks changed\n" in said
    assert synthetic.told(classroom)["s0005"][-1] == 6.5  # the gradebook still has the old score
    writing = record.record

    def recording(*args):
        print("RECORDING")
        return writing(*args)

    monkeypatch.setattr(record, "record", recording)
    assert cli.run(["grade", UNIT, *folder]) == 0
    said = capsys.readouterr().out
    assert said.index("1 of the recorded scores change:\n  s0005: 6.5 -> 3.5") < said.index("RECORDING")
    assert synthetic.told(classroom)["s0005"][-1] == 3.5


def test_the_same_verdict_of_other_checks_touches_the_version_only(classroom, threads, monkeypatch):
    synthetic.grade_and_record(classroom, threads)
    other_checks(monkeypatch)
    grade.grade(classroom, UNIT, executor=threads)
    monkeypatch.setattr(record, "_enter", None)
    assert record.record(classroom, UNIT) == {}
    with classroom.gradebook() as gradebook:
        versions = {row.check_version for row in record.scores.recorded(gradebook, UNIT).values()}
    assert versions == {grade.rules_for(UNIT).version}


# What is not graded


def test_hand_ins_under_other_names_are_told_on_the_terminal(classroom, monkeypatch, capsys):
    synthetic.use_for_the_command(monkeypatch)
    (classroom.submitted / "s0003" / UNIT).rename(classroom.submitted / "s0003" / "90-Tiny")
    for unit in ([UNIT], []):
        assert cli.run(["grade", *unit, "--class", str(classroom.root)]) == 0
        said = capsys.readouterr().out
        assert said.count("submitted/s0003/90-Tiny is not graded: expected submitted/STUDENT/90_tiny/") == 1
    for student in (f"s{number:04d}" for number in range(STUDENTS) if number != 3):
        (classroom.submitted / student / UNIT).rename(classroom.submitted / student / "tiny")
    assert cli.run(["grade", "--class", str(classroom.root)]) == 2
    said = capsys.readouterr().err
    assert re.fullmatch(r"course: nobody handed in a unit .*; submitted/s0000/tiny, .* and 7 more are not .*\n", said)


def test_one_student_is_found_however_the_name_was_typed(classroom, threads, built):
    hand_in(classroom, built, "jose\u0301")
    graded = grade.grade(classroom, UNIT, only="jos\u00e9", executor=threads)
    assert [verdict.student for verdict in graded.verdicts] == ["jose\u0301"]


def test_a_clock_that_can_not_be_read_stops_the_run_before_anything_is_written(built, monkeypatch, capsys, tmp_path):
    synthetic.use_for_the_command(monkeypatch)
    classroom = make_class(tmp_path / "class", built, 2)
    classroom.timestamps_file.write_text(f"student;unit;timestamp\ns0000;{UNIT};2026-03-01\ns0001;{UNIT};soon\n")
    before = {path: path.read_bytes() for path in classroom.root.rglob("*") if path.is_file()}
    assert cli.run(["grade", "--class", str(classroom.root)]) == 2
    said = capsys.readouterr().err
    assert re.fullmatch(r'course: \S+/timestamps\.csv, line 3: expected a time such as "[^"]+", got "soon"\.\n', said)
    after = {path: path.read_bytes() for path in classroom.root.rglob("*") if path.is_file()}
    assert {path.name for path in after if after[path] != before.get(path)} <= {".lock"}
    classroom.timestamps_file.write_text(f"student;unit;timestamp\ns0000;{UNIT};01.03.2026\n")
    assert cli.run(["grade", "--class", str(classroom.root)]) == 0


# Stopped from outside


def test_a_second_run_on_the_class_is_refused(classroom, monkeypatch, capsys):
    synthetic.use_for_the_command(monkeypatch)
    with classroom.lock("course grade 90_tiny"):
        assert cli.run(["grade", UNIT, "--class", str(classroom.root)]) == 2
    assert re.search(r'in use by "course grade 90_tiny" \(process \d+ on .*wait until it ends', capsys.readouterr().err)
    assert not list(classroom.verdicts.rglob("*.json"))


@pytest.fixture
def impatient(monkeypatch):
    """The gradebook is waited for a moment, not for the five seconds that are SQLite's."""
    url = property(lambda self: f"sqlite:///{self.gradebook_file}?timeout=0.1")
    monkeypatch.setattr(ClassFolder, "db_url", url)


HOLDS = {"to write": ["BEGIN EXCLUSIVE"], "to read": ["BEGIN", "SELECT * FROM grade"]}


@pytest.mark.parametrize("how", HOLDS)
def test_a_gradebook_held_by_another_program_is_a_sentence_and_the_next_run_goes_on(
    classroom, monkeypatch, capsys, tmp_path, impatient, how
):
    synthetic.use_for_the_command(monkeypatch)
    command = ["grade", UNIT, "--class", str(classroom.root)]
    with contextlib.closing(sqlite3.connect(classroom.gradebook_file, isolation_level=None)) as other:
        for statement in HOLDS[how]:
            held = other.execute(statement)
        assert cli.run(command) == 2
        held.close()
    said = capsys.readouterr().err
    assert re.fullmatch(r"course: The gradebook \S+ is held by another program, [^\n]+: nothing is lost\.\n", said)
    assert len(judged(tmp_path)) == STUDENTS
    assert cli.run(command) == 0
    assert len(judged(tmp_path)) == STUDENTS and len(synthetic.told(classroom)) == STUDENTS


@pytest.mark.parametrize("command", ["grade", "report", "feedback", "export"])
def test_every_command_says_that_the_gradebook_is_held_or_broken(
    classroom, monkeypatch, capsys, threads, impatient, command
):
    synthetic.grade_and_record(classroom, threads)
    synthetic.use_for_the_command(monkeypatch)
    words = [command, UNIT, "--class", str(classroom.root)]
    with contextlib.closing(sqlite3.connect(classroom.gradebook_file, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert cli.run(words) == 2
    assert "is held by another program" in capsys.readouterr().err
    classroom.gradebook_file.write_bytes(b"no database" * 1000)
    assert cli.run(words) == 2
    said = capsys.readouterr().err
    assert re.fullmatch(r"course: The gradebook \S+ can't be used: SQLite says 'file is not a database'\.\n", said)


FULL_DISK = f"""
import os, shutil, sys
from pathlib import Path
sys.path[:0] = [{str(HERE)!r}, {str(HERE.parent.parent)!r}]
import synthetic
from autograder.classroom import grade
from autograder.classroom.class_folder import ClassFolder
from autograder.judging import pool
from course.command_line import cli

disk, built, made = Path(sys.argv[1]), Path(os.environ["BUILT"]), Path(os.environ["MADE"])
classroom = ClassFolder(shutil.copytree(made, disk / "class"))
synthetic.use(built)
synthetic.use_for_the_command()
grade.judge = synthetic.judge_at_once(built.parent)
codes = []
for room in (10, 200, 400, 700, 900, 1000, 1100):  # KiB
    free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_bsize - room * 1024
    (disk / "ballast").write_bytes(bytes(max(free, 0)))
    codes.append(cli.run(["grade", synthetic.UNIT, "--class", str(classroom.root)]))
    for verdict in classroom.verdicts.rglob("*"):
        assert verdict.is_dir() or classroom.read_verdict(synthetic.UNIT, verdict.stem), verdict
    assert not [p for p in classroom.verdicts.rglob(".*")]
    (disk / "ballast").unlink()
codes.append(cli.run(["grade", synthetic.UNIT, "--class", str(classroom.root)]))
print("CODES", codes, len(synthetic.judged(built.parent)), sorted(synthetic.told(classroom).items()))
"""


def test_a_full_disk_stops_the_run_with_a_sentence_and_the_next_goes_on(made, built, threads, tmp_path):
    """On a disk of its own, filled further and further along."""
    (tmp_path / "full.py").write_text(FULL_DISK)
    disk = tmp_path / "disk"
    disk.mkdir()
    script = MOUNT.format(disk=disk, python=sys.executable, script=tmp_path / "full.py")
    if subprocess.run([*OWN_DISK, f"mount -t tmpfs -o size=1m tmpfs {disk}"], capture_output=True).returncode:
        pytest.skip("this machine gives no disk of one's own: user namespaces or tmpfs are restricted")
    own = tmp_path / "copy" / "built"
    shutil.copytree(built, own)
    env = os.environ | {"BUILT": str(own), "MADE": str(made.root)}
    done = subprocess.run([*OWN_DISK, script], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    codes, count, told = re.search(r"CODES (\[.*?\]) (\d+) (.*)", done.stdout).groups()
    assert codes.startswith("[3, 3, ") and codes.endswith(" 0]"), codes
    assert set(done.stderr.strip().splitlines()) == {f"course: {commands.FULL}"}
    calm = ClassFolder(shutil.copytree(made.root, tmp_path / "calm"))
    synthetic.grade_and_record(calm, threads)
    assert told == str(sorted(synthetic.told(calm).items()))
    assert int(count) <= STUDENTS + 4 * codes.count("3")
