"""The instructor's and author's commands of `course`: build, solve, release, grade, report, feedback, export, kernel.

Registered through the entry-point group `course.commands`. Each command is thin: it finds units, calls the module that
does the work, and says what came out. It imports that module when it is asked: this file is loaded for every word after
`course`. Exit codes are those of course.errors.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from course.errors import FINDINGS, OK, EnvironmentLacking, InputError

if TYPE_CHECKING:
    from rich.console import Console

UnitWord = Annotated[str | None, typer.Argument(help="A unit: 02, attention or 02_attention. Left out: all of them.")]
ClassDir = Annotated[Path, typer.Option("--class", help="The class folder, with submitted/STUDENT/UNIT/ in it.")]
HERE = Path("class")
ANSWER_WITHIN = 15  # seconds a Dask scheduler has
BUSY = 32  # hand-ins given to Dask workers at least, so that deployers that grow with the work see some
FULL = "expected room on the disk, and it is full; free some and start again, the work goes on where it stopped"


def register(app: typer.Typer) -> None:
    """Add the instructor's commands to the learner's."""
    for command in (build, solve, release, grade, report, feedback, export, kernel):
        app.command()(command)


def build(unit: UnitWord = None) -> int:
    """Build units: their assignments, cases and solutions."""
    from autograder.authoring import build as builder
    from autograder.authoring import leak

    for each in _units(unit):
        with _authoring():
            built = builder.build(each)
        changed = ", ".join(f"{p.parent.parent.name}/.../{p.name}" for p in built.changed) or "nothing changed"
        print(f"{built.unit}: {changed}")
        found = leak.leaks(each, built.assignment.parent)
        if found:
            raise InputError(f"{built.unit} would leak a solution to students: {found[0]}")
    return OK


def solve(
    unit: UnitWord = None,
    profile: Annotated[Literal["fast", "full"], typer.Option(help="How much of the experiments to run.")] = "fast",
    seed: Annotated[int, typer.Option(help="Seed of the experiments.")] = 0,
    device: Annotated[str, typer.Option(help="Where tensors live: cpu or cuda.")] = "cpu",
) -> int:
    """Run the solutions through papermill and render them as HTML."""
    from autograder.authoring import solve as solver

    worst = OK
    for each in _units(unit):
        run = solver.solve(each, profile=profile, seed=seed, device=device)
        print(f"{run.unit}: {run.seconds:.0f} s, peak {run.peak_bytes / 2**20:.0f} MiB, {_shown(run.page)}")
        for problem in run.problems:
            print(f"  {problem}")
        worst = max(worst, run.exit_code)
    return worst


def release(folder: Annotated[Path, typer.Argument(help="Where the student mirror goes.")]) -> int:
    """Write the student mirror: assignments and the learner library, no solutions."""
    from autograder.authoring import release as releaser

    written = releaser.release(folder)
    print(f"{len(written)} files in {folder}")
    return OK


def grade(
    unit: UnitWord = None,
    folder: ClassDir = HERE,
    only: Annotated[str | None, typer.Option(help="Grade this student only.")] = None,
    jobs: Annotated[int, typer.Option(help="Hand-ins judged at the same time.")] = 0,
    dask: Annotated[str | None, typer.Option(help="Judge on the workers of this Dask scheduler.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Also write every verdict to this file.")] = None,
    record: Annotated[
        bool,
        typer.Option(
            "--record/--no-record",
            " /--dry-run",
            help="Record scores in the gradebook; a dry run only says whose recorded score would change.",
        ),
    ] = True,
    sample: Annotated[bool, typer.Option("--sample", help="Make the bundled sample class first.")] = False,
) -> int:
    """Grade what a class handed in: every notebook in its own sandbox, verdicts into nbgrader's gradebook."""
    from autograder.classroom import sample as samples

    if not sample and not (folder / "submitted").is_dir():
        raise InputError(f"expected hand-ins in {folder / 'submitted'}/STUDENT/UNIT/, and there is no such folder")
    with _class_errors():
        classroom = _classroom(folder)
        with classroom.lock("course grade"):
            if sample:
                samples.make_class(folder)
            units = _handed_in(folder, unit)
            said: list[str] = []
            all_graded = [_grade_one(classroom, u, only, jobs, dask, record, said) for u in units]
            _say_once(classroom.not_graded() if unit is None else [], said)
    if json_file:
        _write_json(json_file, all_graded)
    if sample:
        wrong = samples.verify((v for g in all_graded for v in g.verdicts), only=only)
        for sentence in wrong:
            print(sentence)
        return FINDINGS if wrong else OK
    return OK


def report(unit: UnitWord = None, folder: ClassDir = HERE) -> int:
    """Write the class report: distribution, exercises, misconceptions, killed, slow and held hand-ins."""
    from autograder.classroom import report as reporter

    with _class_errors():
        classroom = _classroom(folder, existing=True)
        for each in _handed_in(folder, unit):
            print(f"{each}: {_shown(reporter.write(classroom, each))}")
    return OK


def feedback(unit: UnitWord = None, folder: ClassDir = HERE) -> int:
    """Write nbgrader's feedback pages for every recorded hand-in."""
    from autograder.classroom import record as recorder

    with _class_errors():
        classroom = _classroom(folder, existing=True)
        with classroom.lock("course feedback"):
            for each in _handed_in(folder, unit):
                problems = recorder.generate_feedback(classroom, each)
                for student, problem in problems.items():
                    print(f"{student}: {problem}")
                print(f"{each}: feedback in {_shown(classroom.feedback)}")
    return OK


def export(
    unit: UnitWord = None,
    folder: ClassDir = HERE,
    format: Annotated[Literal["csv", "canvas", "moodle"], typer.Option(help="For which system.")] = "csv",
) -> int:
    """Print the grades out of the gradebook, free-response marks and late penalties included."""
    from autograder.classroom import export as exporter

    with _class_errors():
        classroom = _classroom(folder, existing=True)
        print(exporter.export(classroom, _units(unit)[0].id if unit else None, format), end="")
    return OK


def kernel(
    problem: Annotated[str, typer.Argument(metavar="PROBLEM", help="What the kernel computes, such as row_softmax.")],
    file: Annotated[Path, typer.Argument(metavar="FILE.py", help="Kernels, and a launcher named like the problem.")],
    target: Annotated[
        list[str] | None, typer.Option("--target", help="Compile for this GPU (sm_80 and sm_90); may be repeated.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the inputs; a new one each time without it.")] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of the card.")] = False,
) -> int:
    """Judge one Triton kernel file without a GPU. Exit code 0: all points; 1: some are missing."""
    found = _judge_kernel(problem, file, target, seed)
    if json_:
        from grader_kernels.judging import verdict

        sys.stdout.write(verdict.encode(found).decode() + "\n")
    else:
        from rich.console import Console

        from grader_kernels.judging import card

        card.show(found, Console(width=None if sys.stdout.isatty() else 110))
    return OK if found.full else FINDINGS


def _judge_kernel(problem: str, file: Path, targets: list[str] | None, seed: int | None) -> Any:
    try:
        import triton  # noqa: F401
    except ImportError:
        raise EnvironmentLacking(
            "judging kernels needs triton, which has no build for this system: use Linux, or WSL on Windows"
        ) from None
    from rich.console import Console
    from rich.markup import escape

    from grader_kernels.compiling import compiler
    from grader_kernels.judging import judge
    from grader_kernels.problem import ProblemError

    try:
        for target in targets or ():
            compiler.gpu_target(target)
    except ValueError as error:
        raise InputError(str(error)) from None
    options = {"targets": targets or judge.TARGETS, "seed": seed, **_known(problem)}
    with judge.Judge() as judging, Console(stderr=True).status(f"judging {escape(file.name)}") as status:
        options["tell"] = lambda what: status.update(escape(f"judging {file.name}: {what}"))
        try:
            return judging.judge(problem, file, **options)
        except (ProblemError, judge.NotAKernelFile) as error:
            raise InputError(str(error)) from None


def _known(problem: str) -> dict[str, Any]:
    """What a clone knows of a problem's answers: mistakes by name, and our kernel to compare with. Both are read when
    they are needed: for a right kernel on a machine without a GPU, never."""
    import torch

    from autograder.authoring import kernels

    if not kernels.is_kernel(problem):
        return {}
    reference = kernels.as_file(kernels.solution(problem)) if torch.version.cuda else ""
    return {"mistakes": _mistakes(problem), "reference": reference}


def _mistakes(problem: str) -> Iterator[Any]:
    from autograder.authoring import kernels
    from grader_kernels.judging.judge import Mistake
    from grader_kernels.judging.verdict import Named

    for wrong in kernels.files(problem)[1].values():
        yield Mistake(Named(wrong.name, wrong.sentence, wrong.next), kernels.as_file(wrong.source))


def _grade_one(
    classroom: Any, unit: str, only: str | None, jobs: int, dask: str | None, recording: bool, said: list[str]
) -> Any:
    """Grade one unit and tell about it; `said`: sentences about the class folder that were told before."""
    from rich.console import Console

    from autograder.classroom import bar, table
    from autograder.classroom import grade as grader
    from autograder.classroom import report as reporter

    console = Console(width=None if sys.stdout.isatty() else table.WIDTH)
    with bar.on(console) as progress, _judges(dask, jobs) as (executor, count):
        tell = bar.teller(progress, unit)
        graded = grader.grade(classroom, unit, only=only, jobs=count, executor=executor, tell=tell)
        problems = _record(console, classroom, graded, tell, recording)
    _show_scores(console, classroom, graded)
    _say_once(graded.problems, said)
    for student, problem in problems.items():
        print(f"{student}: {problem}")
    page = reporter.write(classroom, unit)
    console.print(f"{unit}: {graded.judged} judged, {graded.kept} kept. Class report: {_shown(page)}", markup=False)
    return graded


def _say_once(sentences: list[str], said: list[str]) -> None:
    """Print those that were not printed before."""
    for sentence in (each for each in sentences if each not in said):
        print(sentence)
        said.append(sentence)


def _record(console: Console, classroom: Any, graded: Any, tell: Callable, recording: bool) -> dict[str, str]:
    """Say whose recorded score changes, then record. Returns {student: problem}."""
    from autograder.classroom import record as recorder

    students = graded.verdicts.students
    fresh = recorder.unrecorded(classroom, graded.unit, students)
    changes = recorder.score_changes(classroom, graded.unit, fresh)
    if changes:
        would = "change" if recording else "would change"
        console.print(f"{graded.unit}: {len(changes)} of the recorded scores {would}:", markup=False)
    for change in changes:
        console.print(f"  {change}", markup=False, highlight=False)
    if not recording:
        return {}
    done = itertools.count(1)
    tell("recording", 0, len(fresh))
    on_done = lambda student, problem: tell("recording", next(done), len(fresh))  # noqa: E731
    return recorder.record(classroom, graded.unit, students, on_done)


def _show_scores(console: Console, classroom: Any, graded: Any) -> None:
    """The table, unless it would be longer than anybody reads in a terminal, and the summary."""
    from autograder.classroom import grade as grader
    from autograder.classroom import report as reporter
    from autograder.classroom import table

    if len(graded.verdicts.students) <= table.LONGEST:
        remarks = reporter.late_remarks(classroom, graded.unit)
        checks = grader.rules_for(graded.unit).recorded.checks
        if not sys.stdout.isatty():
            console.width = table.width(len(checks))
        console.print(table.render(graded.verdicts, checks, remarks))
    console.print(reporter.summary(graded.verdicts), markup=False, highlight=False)


@contextlib.contextmanager
def _judges(dask: str | None, jobs: int) -> Iterator[tuple[Any, int]]:
    """Who judges, None for processes of this machine, and how many at the same time."""
    if dask is None:
        yield None, jobs or os.cpu_count() or 1
        return
    try:
        from distributed import Client
    except ImportError:
        raise EnvironmentLacking("--dask needs the package distributed: pip install '.[dask]' in the clone") from None
    try:
        client = Client(dask, timeout=ANSWER_WITHIN)
    except (OSError, ValueError) as error:
        raise EnvironmentLacking(
            f"expected a Dask scheduler at {dask}, and none answers ({error}); start it, or correct the address"
        ) from None
    with client:
        yield client.get_executor(pure=False), jobs or max(sum(client.nthreads().values()), BUSY)


def _units(word: str | None) -> list[Any]:
    from autograder.authoring.unit import Unit, UnknownUnit, find_unit, unit_folders

    try:
        with _authoring():
            return [Unit.load(f) for f in ([find_unit(word)] if word else unit_folders())]
    except UnknownUnit as error:
        raise InputError(str(error)) from None


def _handed_in(folder: Path, word: str | None) -> list[str]:
    """Units to grade: the one named, or every known unit somebody handed in."""
    if word:
        return [_units(word)[0].id]
    known, classroom = {u.id for u in _units(None)}, _classroom(folder)
    found = [unit for unit in sorted(known) if classroom.hand_ins(unit)]
    if not found:
        wrong = "".join(f"; {sentence.rstrip('.')}" for sentence in classroom.not_graded()[:1])
        raise InputError(f"nobody handed in a unit this course has, below {folder / 'submitted'}{wrong}")
    return found


def _classroom(folder: Path, existing: bool = False) -> Any:
    from autograder.classroom.class_folder import ClassFolder

    if existing and not folder.is_dir():
        raise InputError(f"expected a class folder, and {folder} is none")
    return ClassFolder(folder)


@contextlib.contextmanager
def _class_errors() -> Iterator[None]:
    from autograder.classroom.class_folder import ClassFolderError, disk_full
    from autograder.classroom.clock import ClockError
    from autograder.classroom.grade import Unfit
    from autograder.classroom.record import RecordError
    from autograder.sandbox.sandbox import NoSandbox

    try:
        yield
    except (NoSandbox, Unfit) as error:
        raise EnvironmentLacking(str(error)) from None
    except (ClassFolderError, ClockError, RecordError) as error:
        raise InputError(str(error)) from None
    except Exception as error:
        if not disk_full(error):
            raise
        raise EnvironmentLacking(FULL) from error


@contextlib.contextmanager
def _authoring() -> Iterator[None]:
    from autograder.authoring.unit import AuthoringError

    try:
        yield
    except AuthoringError as error:
        raise InputError(str(error)) from None


def _write_json(path: Path, all_graded: list[Any]) -> None:
    from course.checking import verdict
    from course.files import whole_file

    with whole_file(path) as file:
        before = b"["
        for each in (v for g in all_graded for v in g.verdicts):
            file.write(before + verdict.encode(each))
            before = b",\n"
        file.write(b"]\n" if before != b"[" else b"[]\n")


def _shown(path: Path) -> str:
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
