"""The command `course`, for someone who learns; with the instructor package, for the other two as well.

It is words in, words out and exit codes: 0 all automatic points, 1 findings, 2 bad usage or input, 3 the environment
can't do it. Every error is one sentence on stderr; --debug, anywhere on the line, adds the traceback. The work is done
in `lab`, `selfcheck`, `progress` and `doctor`.

What a command needs is imported where it is used: help, lists, hints and progress do without torch and numpy.

Nothing here imports the instructor package. Its commands come through the entry-point group `course.commands`:
functions that take the typer application and add to it.
"""

from __future__ import annotations

import sys
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from course.command_line import lab as lab_
from course.errors import BAD_INPUT, FINDINGS, LACKING, OK, CourseError, InputError

if TYPE_CHECKING:
    from rich.console import Console

# nbformat imports jsonschema, which compiles 38 grammars of internet addresses (1.5 s) that no notebook needs.
sys.modules.setdefault("rfc3987_syntax", None)

STOPPED = 130
INSTRUCTOR_WORDS = ("build", "solve", "release", "grade", "report", "feedback", "export", "kernel")

UnitWord = Annotated[str, typer.Argument(metavar="UNIT", help="02, attention or 02_attention")]
ExerciseWord = Annotated[str, typer.Argument(metavar="EXERCISE", help="an exercise's name, such as causal_mask")]


def main(words: list[str] | None = None) -> None:
    """Run the command line and leave with its exit code."""
    sys.exit(run(sys.argv[1:] if words is None else words))


def run(words: list[str]) -> int:
    """Run the command line; its exit code. No exception gets out."""
    ours, debug = without_debug(words)
    try:
        code = application()(args=ours, prog_name="course", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else OK
    except CourseError as error:
        return failed(str(error), error.exit_code, debug)
    except typer.TyperException as error:
        return failed(explained(error.format_message()), BAD_INPUT, debug)
    except (KeyboardInterrupt, typer.Abort):
        return failed("stopped; nothing was lost", STOPPED, debug)
    except BrokenPipeError:
        sys.stdout = None
        return OK
    except Exception as error:
        return failed(f"an unexpected {type(error).__name__}: {error}; --debug shows where", LACKING, debug)


def failed(sentence: str, code: int, debug: bool) -> int:
    """Say what went wrong, in one sentence or with the traceback."""
    if debug:
        from rich.console import Console

        Console(stderr=True).print_exception()
    sentence = " ".join(sentence.split()) if "\n" not in sentence.strip() else sentence.strip()
    print(f"course: {sentence}", file=sys.stderr)
    return code


def without_debug(words: list[str]) -> tuple[list[str], bool]:
    """The words without --debug, and whether it was there; words after a lone -- belong to another program."""
    end = words.index("--") if "--" in words else len(words)
    return [w for w in words[:end] if w != "--debug"] + words[end:], "--debug" in words[:end]


def explained(message: str) -> str:
    """Typer's own usage error, with what to do when the instructor package is what is missing."""
    missing = next((w for w in INSTRUCTOR_WORDS if f"command '{w}'" in message), None)
    if missing:
        return (
            f"`course {missing}` belongs to the instructor package, which is not installed: run `make setup` in a clone"
        )
    return message.rstrip(".") + "; `course --help` shows what there is"


def application() -> typer.Typer:
    """The commands, ours first, then those of installed packages."""
    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    app.callback(invoke_without_command=True)(opening)
    passing_on = {"allow_extra_args": True, "ignore_unknown_options": True}
    app.command(context_settings=passing_on)(lab)
    for command in (check, progress, hint, reveal):
        app.command()(command)
    app.command("list")(list_units)
    app.command()(doctor)
    for entry in metadata.entry_points(group="course.commands"):
        try:
            entry.load()(app)
        except Exception as error:
            print(f"course: the commands of {entry.value} can't be loaded ({error})", file=sys.stderr)
    return app


def opening(
    context: typer.Context,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Transformers from the ground up: open a unit, check it, see how far you are."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(BAD_INPUT)


def lab(
    context: typer.Context,
    unit: Annotated[
        str | None, typer.Argument(metavar="UNIT", help="02, attention or 02_attention; else the first")
    ] = None,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open a browser.")] = True,
) -> int:
    """Open JupyterLab on your working copy of a unit; further words go to JupyterLab."""
    root = lab_.find_root()
    rest = list(context.args)
    if unit is not None and unit.startswith("-"):
        unit, rest = None, [unit, *rest]
    notebook, notes = lab_.make_working_copy(lab_.find_unit(root, unit) if unit else first_unit(root))
    for note in notes:
        print(note)
    print(f"Your working copy: {shown(notebook)}", flush=True)
    return lab_.open_lab(notebook, browser, tuple(rest))


def check(
    what: Annotated[
        str, typer.Argument(metavar="NOTEBOOK-or-UNIT", help="an .ipynb file, or 02, attention, 02_attention")
    ],
    full: Annotated[bool, typer.Option("--full", help="Add the trials, as for a grade; needs a clone.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of the table.")] = False,
    limit: Annotated[float, typer.Option(min=0.1, help="Seconds that one cell or one exercise may take.")] = 60.0,
) -> int:
    """Run all checks on a notebook. Exit code 0: every automatic point but optional ones; 1: some are missing."""
    from rich.console import Console
    from rich.markup import escape

    from course.checking import verdict
    from course.command_line import selfcheck

    path = find_notebook(what)
    cases = selfcheck.find_cases(path, selfcheck.read_notebook(path), lab_.find_root)
    judge = selfcheck.find_judge() if full else selfcheck.check_notebook
    with Console(stderr=True).status(f"checking {shown(path)}") as status:
        found = judge(path, cases, limit, lambda line: status.update(f"checking {escape(line)}"))
    if json:
        sys.stdout.write(verdict.encode(found).decode() + "\n")
    else:
        show_verdict(path, found)
    remember(path, found)
    return OK if found.state == "graded" and found.score >= found.max_score - 1e-9 else FINDINGS


def progress() -> int:
    """Show what you have done, unit by unit."""
    from rich.table import Table

    from course.command_line import progress as progress_

    root = lab_.find_root()
    done = progress_.load(root)
    table = Table("unit", "points", "passed", "hints", "revealed", "to do")
    for unit in lab_.list_units(root):
        exercises = unit.exercises
        entries = {name: done.exercises.get(f"{unit.name}/{name}", progress_.Entry()) for name in exercises}
        due = [name for name, exercise in exercises.items() if not exercise.optional]
        won, extra = progress_.points(entries, exercises)
        open_ = [name for name in due if not entries[name].max_score or entries[name].score < entries[name].max_score]
        table.add_row(
            unit.name,
            f"{won:g} of {unit.max_score:g}{and_extra(extra)}",
            f"{len(due) - len(open_)} of {len(due)}",
            str(sum(e.hints for e in entries.values())),
            str(sum(e.revealed for e in entries.values())),
            ", ".join(open_[:3]) + (" ..." if len(open_) > 3 else ""),
        )
    console().print(table)
    print(f"Points count from `course check UNIT`; the record is {shown(lab_.workspace(root) / progress_.FILE)}.")
    return OK


def hint(
    exercise: ExerciseWord,
    number: Annotated[int | None, typer.Argument(metavar="[N]", min=1, help="which hint; else the next one")] = None,
) -> int:
    """Show the next hint of an exercise, or hint N again."""
    from course.command_line import progress as progress_

    root = lab_.find_root()
    unit, name = lab_.find_exercise(root, exercise)
    hints = unit.exercises[name].hints
    if not hints:
        raise InputError(f"{name} has no hints: read its docstring again, or `course reveal {name}`")
    if number is not None and number > len(hints):
        raise InputError(f"{name} has {len(hints)} hints, there is no number {number}")
    done = progress_.load(root)
    entry = done.entry(unit, name)
    shown_now = number or min(entry.hints + 1, len(hints))
    print(f"{name}, hint {shown_now} of {len(hints)}: {hints[shown_now - 1]}")
    if number is None and entry.hints >= len(hints):
        print(f"That was the last one. `course reveal {name}` shows a solution.")
    entry.hints = max(entry.hints, shown_now)
    progress_.save(root, done)
    return OK


def reveal(
    exercise: ExerciseWord,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> int:
    """Print a solution of an exercise, after asking; `course progress` counts it."""
    from course.command_line import progress as progress_

    root = lab_.find_root()
    unit, name = lab_.find_exercise(root, exercise)
    code = lab_.solution_cell(unit, name)
    if not yes and not typer.confirm(f"Show a whole solution of {name}?"):
        return OK
    print(code)
    done = progress_.load(root)
    done.entry(unit, name).revealed = True
    progress_.save(root, done)
    return OK


def list_units(
    unit: Annotated[str | None, typer.Argument(metavar="UNIT", help="only this unit")] = None,
) -> int:
    """List units and exercises with points and expected minutes."""
    from rich.table import Table

    root = lab_.find_root()
    units = [lab_.find_unit(root, unit)] if unit else lab_.list_units(root)
    table = Table("unit", "exercise", "points", "minutes", "hints")
    for each in units:
        exercises = each.exercises.values()
        for number, one in enumerate(exercises):
            minutes = str(one.minutes) if one.minutes else "-"
            points = f"{one.points:g}{', optional' if one.optional else ''}"
            table.add_row(each.name if number == 0 else "", one.name, points, minutes, str(len(one.hints)))
        by_hand, optional = each.manual_points, sum(one.points for one in exercises if one.optional)
        total = f"{each.max_score:g}" + (f" + {by_hand:g} by hand" if by_hand else "")
        total += f" + {optional:g} optional" if optional else ""
        table.add_row("", "in all", total, str(sum(one.minutes for one in exercises) or "-"), "", end_section=True)
    console().print(table)
    return OK


def doctor() -> int:
    """Say what works on this machine, and what to do about the rest."""
    from course.command_line import doctor as doctor_

    findings = doctor_.examine()
    for found in findings:
        mark = "ok" if found.ok else "no" if found.needed else "--"
        print(f"{mark}  {found.name:<12} {found.says}")
        if not found.ok and found.advice:
            print("                " + found.advice.replace("\n", "\n                "))
    lacking = [found.name for found in findings if found.needed and not found.ok]
    print(f"Lacking: {', '.join(lacking)}." if lacking else "Everything that is needed works.")
    return LACKING if lacking else OK


def find_notebook(what: str) -> Path:
    """The notebook a word means: a file, else a unit's working copy, else the unit as released."""
    path = Path(what)
    if path.exists() or path.suffix or len(path.parts) > 1:
        return path
    unit = lab_.find_unit(lab_.find_root(), what)
    ours = lab_.working_notebook(unit)
    return ours if ours.is_file() else unit.notebook


def remember(path: Path, found) -> None:
    """Note a check of the learner's own working copy as progress; other notebooks leave no trace."""
    from course.command_line import progress as progress_

    try:
        root = lab_.find_root()
    except CourseError:
        return
    if lab_.workspace(root).resolve() not in path.resolve().parents or found.state != "graded":
        return
    unit, done = lab_.find_unit(root, found.unit), progress_.load(root)
    for each in found.exercises:
        done.note(unit, each)
    progress_.save(root, done)


def show_verdict(path: Path, found) -> None:
    """The verdict as a table: a row per exercise, and below it what the cells said."""
    from rich.markup import escape
    from rich.table import Table

    from course.checking.card import STATE_WORDS

    table = Table("exercise", "points", "state", "what to look at", title=escape(shown(path)), title_justify="left")
    for each in found.exercises:
        state = STATE_WORDS.get(each.state, each.state)
        points = f"{each.score:.3g} of {each.max_score:g}{', optional' if each.optional else ''}"
        table.add_row(each.name, points, state, escape(what_to_look_at(each)))
    by_hand = f"; {found.manual_max:g} more are given by a person" if found.manual_max else ""
    console().print(table)
    for note in [*filter(None, [found.reason]), *found.notes]:
        console().print(f"note: {escape(note)}")
    console().print(f"{found.score:.4g} of {found.max_score:g} points{and_extra(found.extra)}{by_hand}")


def and_extra(points: float) -> str:
    """What optional exercises gave, where they gave something."""
    return f", {points:.4g} extra" if points else ""


def what_to_look_at(each) -> str:
    """The one sentence that helps most: the reason, the misconception, or the first thing that does not hold."""
    if each.misconception:
        return f"looks like: {each.misconception.sentence}"
    if each.reason:
        return each.reason
    first = next((trial for trial in each.trials if not trial.passed), None)
    return f"{first.title}: {first.says}" if first else ""


def first_unit(root: Path) -> lab_.Unit:
    """The unit a newcomer starts with."""
    units = lab_.list_units(root)
    if not units:
        raise InputError(f"{root / 'assignments'} holds no units yet: run `course build`")
    return units[0]


def shown(path: Path) -> str:
    """A path as short as it can be said from here."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def console() -> Console:
    """Where tables go; wide enough to be read when it is no terminal."""
    from rich.console import Console

    wide = Console()
    return wide if wide.is_terminal else Console(width=110)


if __name__ == "__main__":
    main()
