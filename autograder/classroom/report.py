"""The class report: where a class stands and where it is stuck, as one HTML page per unit.

What it is: verdict files (and the gradebook, for late hand-ins and for what waits for a mark by hand) in, one
self-contained file out. No script, no request, every word from outside escaped; light and dark; prints well.
Verdicts are gone through once for each section and not kept, so that a class of thousands does not fill the memory.

What it is not: it judges and records nothing. The table in the terminal is `autograder.classroom.table`.
"""

from __future__ import annotations

import datetime
import heapq
import html
import re
import statistics
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from autograder.classroom import scores
from autograder.classroom.class_folder import ClassFolder, Verdicts
from autograder.classroom.table import LETTERS, by_name, cell, mean, number
from course.checking.card import STATE_WORDS
from course.checking.verdict import ExerciseVerdict, Named, Verdict
from course.files import write_whole

BINS = 10
SLOWEST = 5
NAMES_SHOWN = 12
Class = Verdicts | list[Verdict]
STOPPED = ("timed_out", "out_of_memory", "crashed", "forbidden")


@dataclass
class Marking:
    """What the gradebook knows beside the verdicts.

    late     seconds after the due date, by student
    waiting  students whose answer waits for a mark by hand, by the name of the question or held exercise
    """

    late: dict[str, float] = field(default_factory=dict)
    waiting: dict[str, list[str]] = field(default_factory=dict)


class Outcomes(NamedTuple):
    """How the class did on one exercise: counts of students, and the mean score."""

    name: str
    max_score: float
    optional: bool
    full: int
    partial: int
    zero: int
    untouched: int
    mean: float

    @property
    def students(self) -> int:
        return self.full + self.partial + self.zero + self.untouched


class Recognised(NamedTuple):
    """A misconception and who showed it."""

    exercise: str
    named: Named
    students: list[str]


def write(classroom: ClassFolder, unit: str) -> Path:
    """Write DIR/report/UNIT.html from the verdict files, whole or not at all; returns its path."""
    verdicts = classroom.all_verdicts(unit)
    about = classroom.root.name, _judged_on(classroom, unit), classroom.not_graded(unit)
    page = render(unit, verdicts, read_marking(classroom, unit), *about)
    path = classroom.report / f"{unit}.html"
    write_whole(path, page.encode())
    return path


def summary(verdicts: Class) -> str:
    """Three lines for a terminal: scores, hardest exercises, commonest misconception and what needs a look."""
    points = [v.score for v in verdicts]
    if not points:
        return "No hand-ins."
    worth = number(max(v.max_score for v in verdicts))
    due = [each for each in outcomes(verdicts) if not each.optional]
    hardest = sorted(due, key=lambda o: o.mean / o.max_score if o.max_score else 1.0)[:3]
    recognised = misconceptions(verdicts)
    lines = [
        f"{_count(len(points), 'hand-in')}: mean {number(mean(points))} and median "
        f"{number(statistics.median(points))} of {worth} points, {_percent(_full(verdicts), len(points))} full marks",
        "hardest: " + ", ".join(f"{o.name} {_percent(o.mean, o.max_score)}" for o in hardest),
        f"seen most: {_commonest(recognised)}; {_to_look_at(verdicts)}",
    ]
    return "\n".join(lines)


def late_remarks(classroom: ClassFolder, unit: str) -> dict[str, list[str]]:
    """Late hand-ins as remarks for the table, by student."""
    late = read_marking(classroom, unit).late
    return {student: [f"handed in {duration(seconds)} late"] for student, seconds in late.items()}


# Reading


def read_marking(classroom: ClassFolder, unit: str) -> Marking:
    """Late hand-ins and waiting answers; nothing while there is no gradebook or the unit is not in it."""
    marking = Marking()
    if not classroom.gradebook_file.exists():
        return marking
    with classroom.gradebook() as gradebook:
        marking.late = scores.late(gradebook, unit)
        for cell, student in scores.waiting(gradebook, unit):
            name = cell.removeprefix("explain-").removeprefix("check-")
            marking.waiting.setdefault(name, []).append(student)
    return marking


def _judged_on(classroom: ClassFolder, unit: str) -> datetime.date | None:
    """The day of the newest verdict: what the page is about, whenever it is written."""
    times = [path.stat().st_mtime for path in (classroom.verdicts / unit).glob("*.json")]
    return datetime.date.fromtimestamp(max(times)) if times else None


# Counting


def outcomes(verdicts: Class) -> list[Outcomes]:
    """Each exercise in the notebook's order. Hand-ins that could not be read count as zero, like everywhere."""
    counted: dict[str, list[float]] = {}
    for exercise in (e for v in verdicts for e in v.exercises):
        row = counted.setdefault(exercise.name, [exercise.max_score, exercise.optional, 0, 0, 0, 0, 0.0])
        row[2 + _kind(exercise)] += 1
        row[6] += exercise.score
    return [Outcomes(name, *row[:6], row[6] / sum(row[2:6])) for name, row in counted.items()]


def has_optional(verdicts: Class) -> bool:
    """Has the unit optional exercises, whose points come on top? Each verdict has all of a unit's exercises."""
    first = next(iter(verdicts), None)
    return first is not None and any(exercise.optional for exercise in first.exercises)


def _kind(exercise: ExerciseVerdict) -> int:
    """Full, partial, zero, untouched."""
    whole = {"passed": 0, "not_attempted": 3}
    return whole.get(exercise.state, 1 if exercise.score > 0 else 2)


def misconceptions(verdicts: Class) -> list[Recognised]:
    """Every misconception that was recognised, the commonest first."""
    found: dict[tuple[str, str], Recognised] = {}
    for verdict in verdicts:
        for exercise in by_name(verdict).values():
            if exercise.misconception is not None:
                key = exercise.name, exercise.misconception.name
                found.setdefault(key, Recognised(exercise.name, exercise.misconception, [])).students.append(
                    verdict.student
                )
    return sorted(found.values(), key=lambda r: (-len(r.students), r.exercise, r.named.name))


def distribution(verdicts: Class) -> list[int]:
    """Hand-ins by share of the automatic points, in BINS equal bins; full marks are in the last."""
    counts = [0] * BINS
    for verdict in verdicts:
        share = verdict.score / verdict.max_score if verdict.max_score else 0.0
        counts[min(max(int(share * BINS), 0), BINS - 1)] += 1
    return counts


def in_states(verdicts: Class, states: Iterable[str]) -> list[tuple[str, ExerciseVerdict]]:
    """(student, exercise) for every exercise that ended in one of the states."""
    wanted = set(states)
    return [(v.student, e) for v in verdicts for e in by_name(v).values() if e.state in wanted]


def duration(seconds: float) -> str:
    """A length of time to one unit: 12 s, 5 min, 3 h, 2 days."""
    for size, name in ((172800, "days"), (7200, "h"), (120, "min")):
        if seconds >= size:
            step = {"days": 86400, "h": 3600, "min": 60}[name]
            return f"{seconds / step:.0f} {name}"
    return f"{seconds:.0f} s"


def _full(verdicts: Class) -> int:
    return sum(v.state == "graded" and v.score >= v.max_score for v in verdicts)


def _commonest(recognised: list[Recognised]) -> str:
    if not recognised:
        return "no known misconception"
    first = recognised[0]
    return f"{first.named.name} in {first.exercise} ({_count(len(first.students), 'student')})"


def _to_look_at(verdicts: Class) -> str:
    held, stopped = len(in_states(verdicts, ["held"])), len(in_states(verdicts, STOPPED))
    unreadable = sum(v.state == "unreadable" for v in verdicts)
    return f"{held} held, {stopped} stopped or refused, {unreadable} unreadable"


def _count(how_many: int, what: str) -> str:
    return f"{how_many} {what}{'' if how_many == 1 else 's'}"


def _percent(part: float, whole: float) -> str:
    return f"{100 * part / whole:.0f} %" if whole else "0 %"


# The page


def render(
    unit: str,
    verdicts: Class,
    marking: Marking,
    class_name: str = "",
    day: datetime.date | None = None,
    not_graded: Iterable[str] = (),
) -> str:
    """The whole page as HTML."""
    title = f"{unit}: class report"
    sections = [
        _overview(verdicts, class_name, day),
        _section("Not graded", "What lies in submitted/ and is no hand-in.", _lines(not_graded)),
        _section("Scores", "Hand-ins by share of the automatic points.", _distribution(verdicts)),
        _section("Exercise by exercise", _OUTCOME_KEY, _exercises(verdicts)),
        _section("Misconceptions", "Recognised by their outcome in every case.", _misconceptions(verdicts)),
        _section("Held for you", "Neither points nor zero yet: read the code, mark it in formgrader.", _held(verdicts)),
        _section("Waiting for a mark by hand", "In formgrader, under Manual Grading.", _waiting(marking, verdicts)),
        _section("Stopped or refused", "No points, for the reason the student reads.", _stopped(verdicts)),
        _section("Could not be read", "Score 0 until another file is handed in.", _unreadable(verdicts)),
        _section("Late", "Penalties are in the gradebook, not in the scores of this page.", _late(marking)),
        _section("Slowest to judge", "", _slowest(verdicts)),
        _section("Notes", "What was put right before judging.", _notes(verdicts)),
        _section("Students by exercise", _letters(), _matrix(verdicts)),
    ]
    body = "\n".join(section for section in sections if section)
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head>{_META}<title>{_e(title)}</title><style>{_STYLE}</style></head>\n'
        f"<body><h1>{_e(title)}</h1>\n{body}\n</body></html>\n"
    )


def _overview(verdicts: Class, class_name: str, day: datetime.date | None) -> str:
    when = f", judged up to {day.isoformat()}" if day else ""
    about = f'<p class="quiet">{_e(class_name)}{when}</p>' if class_name or when else ""
    if not verdicts:
        return about + "<p>Nobody has handed this unit in yet.</p>"
    points, held = [v.score for v in verdicts], len(in_states(verdicts, ["held"]))
    facts = [
        (len(points), "hand-ins"),
        (f"{number(mean(points))} of {number(max(v.max_score for v in verdicts))}", "points on average"),
        (number(statistics.median(points)), "is the median"),
        (_full(verdicts), "with full marks"),
        (held, f"exercise{'' if held == 1 else 's'} held for you"),
        (sum(v.state == "unreadable" for v in verdicts), "could not be read"),
    ]
    if has_optional(verdicts):
        facts.append((number(mean(v.extra for v in verdicts)), "points more from optional exercises, on average"))
    tiles = "".join(f"<div><b>{_e(value)}</b> {_e(what)}</div>" for value, what in facts)
    return f'{about}<div class="facts">{tiles}</div>'


def _section(title: str, about: str, content: str) -> str:
    """A section, or nothing when there is nothing to say in it."""
    if not content:
        return ""
    quiet = f'<p class="quiet">{_e(about)}</p>' if about else ""
    return f"<section><h2>{_e(title)}</h2>{quiet}{content}</section>"


def _distribution(verdicts: Class) -> str:
    """Bars as inline SVG, counts above and shares below each."""
    if not verdicts:
        return ""
    counts = distribution(verdicts)
    width, height, step = 720, 180, 720 / BINS
    bars = "".join(_bar(index, count, max(counts), step, height) for index, count in enumerate(counts))
    listed = ", ".join(f"{_range(index)}: {count}" for index, count in enumerate(counts) if count)
    told = _e(f"Hand-ins by share of points. {listed}")
    return (
        f'<svg viewBox="0 0 {width} {height + 50}" role="img" aria-label="{told}">'
        f'{bars}<line class="axis" x1="0" x2="{width}" y1="{height + 22}" y2="{height + 22}"/></svg>'
    )


def _bar(index: int, count: int, most: int, step: float, height: int) -> str:
    tall = height * count / most if most else 0
    left, top, middle = index * step, height + 22 - tall, (index + 0.5) * step
    above = f'<text x="{middle:.0f}" y="{top - 5:.1f}">{count}</text>' if count else ""
    below = f'<text class="small" x="{middle:.0f}" y="{height + 42}">{_e(_range(index))}</text>'
    shape = f'<rect class="bar" x="{left + 5:.1f}" y="{top:.1f}" width="{step - 10:.1f}" height="{tall:.1f}"/>'
    return f"{shape}{above}{below}"


def _range(index: int) -> str:
    size = 100 // BINS
    return f"{index * size}-{(index + 1) * size} %"


_OUTCOME_KEY = "Students with full, some or no points, and those who did not try; the bar has the same order."


def _exercises(verdicts: Class) -> str:
    rows = []
    for each in outcomes(verdicts):
        numbers = [f"{each.mean:.2f} of {each.max_score:g}", each.full, each.partial, each.zero, each.untouched]
        cells = "".join(f'<td class="number">{_e(value)}</td>' for value in numbers)
        name = _code(each.name) + (" optional" if each.optional else "")
        rows.append(f"<tr><th>{name}</th>{cells}<td>{_stack(each)}</td></tr>")
    return _table(("exercise", "mean", "full", "some", "none", "not tried", ""), rows)


def _stack(each: Outcomes) -> str:
    """Full, some, none, not tried as one bar; told apart by fill and outline, the numbers stand beside it."""
    left, parts = 0.0, []
    for name, count in (("full", each.full), ("some", each.partial), ("none", each.zero), ("rest", each.untouched)):
        share = 200 * count / each.students
        if count:
            parts.append(f'<rect class="{name}" x="{left + 1:.1f}" y="2" width="{max(share - 2, 1):.1f}" height="12"/>')
        left += share
    return f'<svg class="stack" viewBox="0 0 200 16" aria-hidden="true">{"".join(parts)}</svg>'


def _misconceptions(verdicts: Class) -> str:
    rows = [
        f'<tr><td class="number">{len(each.students)}</td><td>{_code(each.exercise)}<br>{_code(each.named.name)}</td>'
        f"<td>{_prose(each.named.sentence)}</td><td>{_names(each.students)}</td></tr>"
        for each in misconceptions(verdicts)
    ]
    return _table(("seen", "exercise and name", "what it is", "students"), rows)


def _held(verdicts: Class) -> str:
    rows = [
        f"<tr><td>{_e(student)}</td><td>{_code(e.name)}</td><td>{_prose(e.reason)}</td></tr>"
        for student, e in in_states(verdicts, ["held"])
    ]
    return _table(("student", "exercise", "why"), rows)


def _waiting(marking: Marking, verdicts: Class) -> str:
    """Written answers; held exercises wait too and have their own section."""
    exercises = {name for verdict in verdicts for name in by_name(verdict)}
    waiting = {name: students for name, students in marking.waiting.items() if name not in exercises}
    rows = [
        f'<tr><td>{_code(name)}</td><td class="number">{len(students)}</td><td>{_names(students)}</td></tr>'
        for name, students in waiting.items()
    ]
    return _table(("question", "answers", "students"), rows)


def _stopped(verdicts: Class) -> str:
    rows = [
        f"<tr><td>{_e(student)}</td><td>{_code(e.name)}</td><td>{_e(STATE_WORDS[e.state])}</td>"
        f'<td class="number">{e.seconds:.1f} s</td><td>{_prose(e.reason)}</td></tr>'
        for student, e in in_states(verdicts, STOPPED)
    ]
    return _table(("student", "exercise", "what", "after", "reason"), rows)


def _unreadable(verdicts: Class) -> str:
    rows = [f"<tr><td>{_e(v.student)}</td><td>{_e(v.reason)}</td></tr>" for v in verdicts if v.state == "unreadable"]
    return _table(("student", "reason"), rows)


def _late(marking: Marking) -> str:
    rows = [f"<tr><td>{_e(name)}</td><td>{_e(duration(late))}</td></tr>" for name, late in sorted(marking.late.items())]
    return _table(("student", "after the due date"), rows)


def _slowest(verdicts: Class) -> str:
    judged = heapq.nlargest(SLOWEST, (v for v in verdicts if v.seconds), key=lambda v: v.seconds)
    rows = []
    for verdict in judged:
        worst = max(verdict.exercises, key=lambda e: e.seconds, default=None)
        most = f"{_code(worst.name)}, {worst.seconds:.1f} s" if worst and worst.seconds else ""
        rows.append(
            f'<tr><td>{_e(verdict.student)}</td><td class="number">{verdict.seconds:.1f} s</td>'
            f'<td class="number">{verdict.peak_bytes / 2**20:,.0f} MiB</td><td>{most}</td></tr>'
        )
    return _table(("student", "in all", "peak memory", "longest exercise"), rows)


def _notes(verdicts: Class) -> str:
    rows = [f"<tr><td>{_e(v.student)}</td><td>{_lines(v.notes)}</td></tr>" for v in verdicts if v.notes]
    return _table(("student", "note"), rows)


def _letters() -> str:
    told = ", ".join(f"{letter} {says}" for letter, says in LETTERS.values())
    return f"Points won, or a letter: {told}."


def _matrix(verdicts: Class) -> str:
    names = list(dict.fromkeys(e.name for v in verdicts for e in v.exercises))
    extra = ["extra"] if has_optional(verdicts) else []
    rows = [_matrix_row(verdict, names, bool(extra)) for verdict in verdicts]
    key = ", ".join(f"{index} {_code(name)}" for index, name in enumerate(names, 1))
    table = _table(("student", *map(str, range(1, len(names) + 1)), "total", *extra), rows)
    return f'<div class="wide">{table}</div><p class="quiet">{key}</p>' if rows else ""


def _matrix_row(verdict: Verdict, names: list[str], extra: bool) -> str:
    found, sums = by_name(verdict), [verdict.score, verdict.extra][: 2 if extra else 1]
    cells = "".join(f'<td class="number">{_e(cell(found.get(name)))}</td>' for name in names)
    cells += "".join(f'<td class="number"><b>{number(points)}</b></td>' for points in sums)
    return f"<tr><th>{_e(verdict.student)}</th>{cells}</tr>"


def _table(heads: Iterable[str], rows: list[str]) -> str:
    if not rows:
        return ""
    head = "".join(f"<th>{_e(text)}</th>" for text in heads)
    body = "".join(rows)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _names(students: list[str]) -> str:
    shown = ", ".join(_e(student) for student in students[:NAMES_SHOWN])
    more = len(students) - NAMES_SHOWN
    return f"{shown} and {more} more" if more > 0 else shown


def _lines(sentences: Iterable[str]) -> str:
    return "<br>".join(_e(sentence) for sentence in sentences)


def _prose(sentence: str) -> str:
    """A sentence with its `code` set as code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", _e(sentence))


def _code(name: str) -> str:
    return f"<code>{_e(name)}</code>"


def _e(value: object) -> str:
    return html.escape(str(value), quote=True)


_META = (
    '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; style-src \'unsafe-inline\'">'
    '<meta name="color-scheme" content="light dark">'
)
_STYLE = """
:root { --page: #fff; --ink: #1c1e21; --quiet: #5a6068; --line: #d5d9de; --full: #23764a; --some: #e0b040;
  --none: #b5482a; --bar: #35618e; }
@media (prefers-color-scheme: dark) { :root { --page: #16181b; --ink: #e4e6e9; --quiet: #9aa2ab; --line: #383d44;
  --full: #4caf7d; --some: #d9ab3f; --none: #d9694a; --bar: #6f9fd0; } }
body { background: var(--page); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; max-width: 960px;
  margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin: 0; } h2 { font-size: 1.15rem; margin: 2.2rem 0 .3rem; }
.quiet { color: var(--quiet); margin: 0 0 .6rem; font-size: .92em; }
.facts { display: flex; flex-wrap: wrap; gap: .4rem 2rem; margin-top: 1rem; } .facts b { font-size: 1.25rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .3rem .7rem .3rem 0; border-bottom: 1px solid var(--line);
  font-weight: normal; overflow-wrap: break-word; }
thead th { color: var(--quiet); font-size: .88em; }
td.number { font-variant-numeric: tabular-nums; white-space: nowrap; }
code { font: .92em ui-monospace, monospace; } .scroll { overflow-x: auto; } .wide td.number { text-align: right; }
.wide td, .wide th { padding-right: .45rem; } .wide thead th { text-align: right; }
.wide thead th:first-child { text-align: left; }
svg { width: 100%; height: auto; display: block; } svg text { fill: var(--ink); font-size: 14px; text-anchor: middle; }
svg text.small { fill: var(--quiet); font-size: 12px; } .axis { stroke: var(--quiet); } .bar { fill: var(--bar); }
.stack { width: 200px; } .full { fill: var(--full); } .some { fill: var(--some); } .none { fill: var(--none); }
.rest { fill: none; stroke: var(--quiet); stroke-width: 1; }
@media print { :root { --page: #fff; --ink: #000; --quiet: #444; --line: #bbb; --full: #23764a; --some: #e0b040;
  --none: #b5482a; --bar: #35618e; } body { margin: 0; max-width: none; font-size: 10pt; }
  tr, svg { break-inside: avoid; } h2 { break-after: avoid; } thead { display: table-header-group; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; } }
"""
