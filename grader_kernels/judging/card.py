"""How a kernel verdict looks: rich text for a terminal, one HTML block for a notebook.

As in course.checking.card, the HTML has no script and no class names, inherits the page's colours, and every mark is a
word. All text from outside is escaped. Not here: any judgement.
"""

from __future__ import annotations

import html as _html
import io
import re

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from grader_kernels.evidence import Compiled, Finding, device
from grader_kernels.judging.verdict import CaseResult, KernelVerdict, Named, TrafficRow
from grader_kernels.judging.verdict import Group as Points

MEANS = {
    "right": "numbers against a float64 reference",
    "safe": "memory, races, order of the programs",
    "lean": "bytes moved, kernels launched",
    "compiles": "for GPUs that need not be here",
}
SHOWN, SHOWN_TITLES = 4, 3  # before "and N more"


class Card:
    """A verdict that Jupyter shows as HTML and a terminal as text."""

    def __init__(self, verdict: KernelVerdict) -> None:
        self.verdict = verdict

    def _repr_html_(self) -> str:
        return html(self.verdict)

    def __repr__(self) -> str:
        return text(self.verdict)


def points(won: float) -> str:
    """ "1.6", "2" """
    return f"{won:.2f}".rstrip("0").rstrip(".")


def good(verdict: KernelVerdict, group: str) -> str:
    """What there is to say about a group with all its points."""
    if group == "right":
        return f"all {len(verdict.cases)} cases agree"
    if group == "safe":
        return "nothing found"
    if group == "lean":
        worst = max((row.ratio for row in verdict.traffic), default=None)
        return "" if worst is None else f"at most {worst:.2f} times what is needed"
    targets = dict.fromkeys(device(each.target) for each in verdict.compiled)
    return ", ".join(targets)


def summary(verdict: KernelVerdict, group: Points) -> str:
    """One sentence for a group: what is wrong, or what is good."""
    if not group.says:
        return good(verdict, group.name)
    more, first = len(group.says) - 1, group.says[0]
    if group.name == "safe":
        first = next((f"line {f.line} {bare(f)}" for f in verdict.findings if f.line and f.sentence == first), first)
    return first.rstrip(".") + (f" (and {more} more)" if more else "")


def bare(finding: Finding) -> str:
    """The sentence of a finding without its place, which stands elsewhere."""
    place, mark, says = finding.sentence.partition(f"`{finding.text}`: ")
    return says if mark and finding.text else finding.sentence


def where(finding: Finding) -> str:
    """ "softmax_kernel, line 12" """
    line = f"line {finding.line}" if finding.line else ""
    return ", ".join(part for part in (finding.kernel, line) if part)


def failing(verdict: KernelVerdict) -> list[tuple[str, list[str]]]:
    """(titles, sentences) of the cases that fail, those with the same sentences but for numbers together."""
    together: dict[tuple[str, ...], list[CaseResult]] = {}
    for case in verdict.cases:
        if not case.passed:
            alike = tuple(re.sub(r"\d[\d.e,+-]*", "#", sentence) for sentence in _says(case, verdict))
            together.setdefault(alike, []).append(case)
    rows = [(_titles([c.title for c in cases]), _says(cases[0], verdict)) for cases in together.values()]
    more = sum(map(len, list(together.values())[SHOWN:]))
    return rows[:SHOWN] + ([(f"and {more} more cases: --json has them all", [])] if more else [])


def _says(case: CaseResult, verdict: KernelVerdict) -> list[str]:
    """What a failing case says; its usual cause only when the real one was not recognised."""
    numbers = [f"yours: {case.got}, expected: {case.expected}"] if case.got or case.expected else []
    hint = [case.points_to] if case.points_to and not verdict.misconception else []
    return list(dict.fromkeys([*case.says, *numbers, *hint]))


def _named(mistake: Named) -> list[str]:
    """A known mistake in one or two sentences."""
    return [mistake.sentence, *([f"Next: {mistake.next}"] if mistake.next else [])]


def _titles(titles: list[str]) -> str:
    more = len(titles) - SHOWN_TITLES
    return "; ".join(titles[:SHOWN_TITLES]) + (f"; and {more} more" if more > 0 else "")


def resources(each: Compiled) -> tuple[str, ...]:
    """The cells of a row about one compiled kernel."""
    if each.error:
        return each.kernel, each.target, "does not compile", "", "", "", ""
    widest = max((int(bits) for bits in each.load_bits), default=0)
    return (
        each.kernel,
        each.target,
        "-" if each.registers < 0 else str(each.registers),
        "-" if each.stack < 0 else f"{each.stack} B",
        f"{each.shared / 1024:.1f} of {each.shared_limit / 1024:.0f} KiB" if each.shared_limit else f"{each.shared} B",
        f"{widest} bits" if widest else "-",
        each.tensor_cores or "-",
    )


RESOURCES = ("kernel", "GPU", "registers", "stack", "shared memory", "widest load", "tensor cores")
BYTES = ("case", "bytes moved", "needed", "times", "allowed", "launches")


def bytes_row(row: TrafficRow) -> tuple[str, ...]:
    """The cells of a row about one metered case."""
    counts = f"{row.moved:,}", f"{row.floor:,}"
    return row.case, *counts, f"{row.ratio:.2f}", f"{row.limit:.2f}", str(row.launches)


# --------------------------------------------------------------------------------------------------------------------
# Terminal


def show(verdict: KernelVerdict, console: Console) -> None:
    """Print the verdict."""
    console.print(rendered(verdict))


def text(verdict: KernelVerdict, width: int = 100) -> str:
    """The verdict as plain text."""
    return _plain(rendered(verdict), width)


def body_text(verdict: KernelVerdict, width: int = 100) -> str:
    """The same without its headline."""
    return _plain(Group(*_body(verdict)[1:]), width)


def _plain(shown: RenderableType, width: int) -> str:
    buffer = io.StringIO()
    Console(file=buffer, width=width, color_system=None, force_jupyter=False).print(shown)
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines()).strip("\n")


def rendered(verdict: KernelVerdict) -> RenderableType:
    """The verdict for a rich console."""
    return Group(_headline(verdict), *_body(verdict))


def _body(verdict: KernelVerdict) -> list[RenderableType]:
    if verdict.reason:
        return ["", Text(_opening(verdict.reason))]
    parts: list[RenderableType] = ["", _groups(verdict)]
    if verdict.misconception:
        first, *more = map(_sentence, _named(verdict.misconception))
        parts += ["", Text.assemble(("Looks like: ", "bold"), first), *map(Text, more)]
    for title, section in (
        ("Cases that fail", _cases(verdict)),
        ("What was found while it ran", _findings(verdict)),
        ("Bytes", _bytes(verdict)),
        ("Compiled", _compiled(verdict)),
    ):
        if section is not None:
            parts += ["", Text(title, "bold"), Padding(section, (0, 0, 0, 2))]
    if verdict.speed:
        parts += ["", Text(_opening(verdict.speed))]
    return parts


def _headline(verdict: KernelVerdict) -> RenderableType:
    line = Table.grid(expand=True)
    line.add_column(overflow="fold")
    line.add_column(justify="right", no_wrap=True)
    score = f"{points(verdict.score)} of {points(verdict.max_score)} points"
    line.add_row(Text.assemble((verdict.problem, "bold"), f"  {verdict.file}"), Text(score, "bold"))
    return line


def _groups(verdict: KernelVerdict) -> Table:
    table = _grid(4)
    for group in verdict.groups:
        won = f"{points(group.won)} of {points(group.weight)}"
        says = summary(verdict, group)
        about = Text(MEANS.get(group.name, "") + (": " if says else ""), "dim")
        table.add_row(Text(group.name, "bold"), won, about + Text(says))
    return table


def _cases(verdict: KernelVerdict) -> RenderableType | None:
    table = _grid(2)
    for titles, says in failing(verdict):
        body = [Text(titles), *(Text(_sentence(sentence)) for sentence in says)]
        table.add_row(Text("no" if says else "", "bold red"), Group(*body))
    return table if table.row_count else None


def _findings(verdict: KernelVerdict) -> RenderableType | None:
    table = _grid(2)
    for finding in verdict.findings[:SHOWN]:
        body = [Text(f"{where(finding)}: {finding.text}".strip(": "), "bold")] if where(finding) else []
        body.append(Text(_sentence(bare(finding))))
        if finding.advice:
            body.append(Text(_sentence(finding.advice)))
        table.add_row(Text("no", "bold red"), Group(*body))
    more = len(verdict.findings) - SHOWN
    if more > 0:
        table.add_row("", f"and {more} more: --json lists them all")
    return table if table.row_count else None


def _bytes(verdict: KernelVerdict) -> RenderableType | None:
    if not verdict.traffic:
        return None
    table = _lined(*BYTES)
    for row in verdict.traffic:
        table.add_row(*(Text(cell) for cell in bytes_row(row)))
    why = next((row.why for row in verdict.traffic if row.why), "")
    return Group(table, Text(f"Needed: {_sentence(why)}", "dim")) if why else table


def _compiled(verdict: KernelVerdict) -> RenderableType | None:
    if not verdict.compiled:
        return None
    table = _lined(*RESOURCES)
    for row in dict.fromkeys(resources(each) for each in verdict.compiled):
        table.add_row(*(Text(cell) for cell in row))
    errors = dict.fromkeys(f"{each.kernel}: {each.error}" for each in verdict.compiled if each.error)
    return Group(table, *(Text(_sentence(error)) for error in errors))


def _grid(columns: int) -> Table:
    table = Table.grid(padding=(0, 2))
    for _ in range(columns):
        table.add_column(vertical="top")
    return table


def _lined(*heads: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for number, head in enumerate(heads):
        table.add_column(head, justify="left" if number == 0 or head in ("GPU", "tensor cores") else "right")
    return table


def _opening(words: str) -> str:
    """A sentence that begins with a capital letter: not for those that may begin with a name of the learner's."""
    return _sentence(words[:1].upper() + words[1:])


def _sentence(words: str) -> str:
    words = words.strip()
    return words if not words or words[-1] in ".?!:`)" else words + "."


# --------------------------------------------------------------------------------------------------------------------
# HTML

_CELL = "padding:2px 14px 2px 0;vertical-align:top;text-align:left;color:inherit;border:none"
_EDGES = {True: "#2e8b57", False: "#b5482a"}


def html(verdict: KernelVerdict) -> str:
    """The verdict as one HTML block with inline styles."""
    edge = _EDGES[verdict.full]
    return (
        f'<div style="border:1px solid {edge};border-left:6px solid {edge};border-radius:4px;padding:8px 12px;'
        'margin:4px 0;font-family:system-ui,sans-serif;font-size:14px;line-height:1.45;color:inherit">'
        f'<div style="margin-bottom:4px"><b style="font-family:monospace">{_e(verdict.problem)}</b> &#160; '
        f"{_e(points(verdict.score))} of {_e(points(verdict.max_score))} points</div>"
        + body_html(verdict)
        + "</div>"
    )


def body_html(verdict: KernelVerdict) -> str:
    """The same without its frame and headline."""
    if verdict.reason:
        return f"<div>{_e(_opening(verdict.reason))}</div>"
    groups = [
        (f"<b>{_e(g.name)}</b>", f"{points(g.won)}&#160;of&#160;{points(g.weight)}", _e(summary(verdict, g)))
        for g in verdict.groups
    ]
    parts = [_html_table(groups)]
    if verdict.misconception:
        parts.append(_html_part("Looks like", _html_lines(_named(verdict.misconception))))
    wrong = [(_bad(), _e(titles) + _html_lines(says)) for titles, says in failing(verdict)]
    if wrong:
        parts.append(_html_part("Cases that fail", _html_table(wrong)))
    found = [(_bad(), _html_finding(finding)) for finding in verdict.findings[:SHOWN]]
    if found:
        parts.append(_html_part("What was found while it ran", _html_table(found)))
    if verdict.traffic:
        rows = [tuple(map(_e, bytes_row(row))) for row in verdict.traffic]
        parts.append(_html_part("Bytes", _html_table(rows, BYTES), _needed(verdict)))
    if verdict.compiled:
        rows = [tuple(map(_e, row)) for row in dict.fromkeys(resources(each) for each in verdict.compiled)]
        errors = dict.fromkeys(f"{each.kernel}: {each.error}" for each in verdict.compiled if each.error)
        parts.append(_html_part("Compiled", _html_table(rows, RESOURCES), _html_lines(errors)))
    if verdict.speed:
        parts.append(f'<div style="margin-top:6px;opacity:0.8">{_e(_opening(verdict.speed))}</div>')
    return "".join(parts)


def _needed(verdict: KernelVerdict) -> str:
    why = next((row.why for row in verdict.traffic if row.why), "")
    return f'<div style="opacity:0.8">Needed: {_e(_sentence(why))}</div>' if why else ""


def _html_finding(finding: Finding) -> str:
    head = f"{where(finding)}: " if where(finding) else ""
    code = f'<code style="background:transparent;color:inherit">{_e(finding.text)}</code>' if finding.text else ""
    place = f"<div>{_e(head)}{code}</div>" if head or code else ""
    return place + _html_lines([bare(finding), *([finding.advice] if finding.advice else [])])


def _html_part(title: str, *bodies: str) -> str:
    return f'<div style="margin-top:8px"><b>{_e(title)}</b></div>' + "".join(bodies)


def _html_lines(sentences) -> str:
    return "".join(f"<div>{_e(_sentence(sentence))}</div>" for sentence in sentences)


def _html_table(rows: list[tuple[str, ...]], heads: tuple[str, ...] = ()) -> str:
    """Rows of cells that are HTML already."""
    head = "".join(f'<th style="{_CELL};font-weight:normal;opacity:0.8">{_e(h)}</th>' for h in heads)
    body = "".join(
        '<tr style="background:transparent">' + "".join(f'<td style="{_CELL}">{cell}</td>' for cell in row) + "</tr>"
        for row in rows
    )
    top = f'<tr style="background:transparent">{head}</tr>' if head else ""
    return f'<table style="border-collapse:collapse;color:inherit;font-size:14px">{top}{body}</table>'


def _bad() -> str:
    return '<b style="font-family:monospace">no</b>'


def _e(value: str) -> str:
    return _html.escape(str(value), quote=True)
