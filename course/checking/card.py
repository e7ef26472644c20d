"""How a verdict looks: an HTML card for notebooks and nbgrader's pages, and text for a terminal.

The card has no script and no class names. It inherits the page's text colour, so it reads on light and dark, and every
mark is a word ("ok", "no"), so it reads without colour. All text from outside is escaped.
"""

from __future__ import annotations

import html as _html
import textwrap

from course.checking.verdict import ExerciseVerdict, TrialResult
from grader_kernels.judging import card as kernel_card
from grader_kernels.judging.verdict import KernelVerdict

STATE_WORDS = {
    "passed": "done",
    "partial": "not yet",
    "failed": "not yet",
    "not_attempted": "not attempted",
    "crashed": "crashed",
    "timed_out": "took too long",
    "out_of_memory": "out of memory",
    "held": "held for your instructor",
    "forbidden": "uses what should be written",
    "missing": "not found",
}
_EDGE = {"passed": "#2e8b57", "held": "#8a6d00", "not_attempted": "#808080"}


class Card:
    """A verdict that Jupyter shows as HTML and a terminal as text."""

    def __init__(self, verdict: ExerciseVerdict) -> None:
        self.verdict = verdict

    def _repr_html_(self) -> str:
        return html(self.verdict)

    def __repr__(self) -> str:
        return text(self.verdict)


def show(verdict: ExerciseVerdict) -> None:
    """Display the card in a notebook, print it elsewhere."""
    try:
        from IPython import get_ipython
        from IPython.display import display
    except ImportError:
        get_ipython = None
    if get_ipython is None or get_ipython() is None:
        print(text(verdict))
    else:
        display(Card(verdict))


def text(verdict: ExerciseVerdict, width: int = 78) -> str:
    """The card as plain text, at most `width` columns."""
    said = points(verdict)
    lines = [f"{verdict.name:<{max(1, width - 1 - len(said))}} {said}"]
    if verdict.reason:
        lines += _wrapped(verdict.reason, "  ", width)
    if verdict.kernel and not verdict.kernel.reason:
        lines += [f"  {line}".rstrip() for line in kernel_card.body_text(verdict.kernel, width - 2).split("\n")]
    for trial in verdict.trials if not verdict.kernel else ():
        lines += _trial_text(trial, width)
    if verdict.misconception and not verdict.kernel:
        lines += _wrapped(f"looks like: {verdict.misconception.sentence}", "  ", width)
        if verdict.misconception.next:
            lines += _wrapped(f"next: {verdict.misconception.next}", "  ", width)
    if verdict.hints and verdict.state != "passed":
        lines += [f"  hint 1 of {verdict.hints}: course hint {verdict.name}"]
    return "\n".join(lines)


def html(verdict: ExerciseVerdict) -> str:
    """The card as one HTML block with inline styles."""
    edge = _EDGE.get(verdict.state, "#b5482a")
    rows = "".join(_trial_html(t) for t in verdict.trials)
    shown = f'<table style="border-collapse:collapse;color:inherit">{rows}</table>' if rows else ""
    body = _kernel_html(verdict.kernel) if verdict.kernel else shown + _named_html(verdict)
    return (
        f'<div style="border:1px solid {edge};border-left:6px solid {edge};border-radius:4px;padding:8px 12px;'
        'margin:4px 0;font-family:system-ui,sans-serif;font-size:14px;line-height:1.45;color:inherit">'
        f'<div style="margin-bottom:4px"><b style="font-family:monospace">{_e(verdict.name)}</b> &#160; '
        f"{_e(points(verdict))} &#160; <i>{_e(STATE_WORDS[verdict.state])}</i></div>"
        + (f"<div>{_e(verdict.reason)}</div>" if verdict.reason else "")
        + body
        + _hint_html(verdict)
        + "</div>"
    )


def _kernel_html(found: KernelVerdict) -> str:
    return "" if found.reason else kernel_card.body_html(found)  # the reason stands above


def points(verdict: ExerciseVerdict) -> str:
    """ "1 of 3 points", or "2 of 2 points, optional" """
    optional = ", optional" if verdict.optional else ""
    if verdict.state == "held":
        return f"held, {verdict.max_score:g} points{optional}"
    return f"{verdict.score:.3g} of {verdict.max_score:g} points{optional}"


def _trial_text(trial: TrialResult, width: int) -> list[str]:
    lines = _wrapped(f"{'ok' if trial.passed else 'no'}   {trial.title}", "  ", width, "       ")
    if trial.passed:
        return lines
    if trial.says:
        lines += _wrapped(trial.says, "         ", width)
    if trial.given:
        lines += _wrapped(f"given:    {trial.given}", "         ", width, "                   ")
    if trial.got:
        lines.append(f"         yours:    {trial.got}")
    if trial.expected:
        lines.append(f"         expected: {trial.expected}")
    return lines


def _trial_html(trial: TrialResult) -> str:
    cell = "padding:2px 10px 2px 0;vertical-align:top;text-align:left;color:inherit;border:none"
    mark = "ok" if trial.passed else "<b>no</b>"
    detail = ""
    if not trial.passed and trial.says:
        detail += f"<div>{_e(trial.says)}</div>"
    values = [("given:   ", trial.given), ("yours:   ", trial.got), ("expected:", trial.expected)]
    if not trial.passed and any(value for _, value in values):
        lines = "\n".join(f"{word} {_e(value)}" for word, value in values if value)
        detail += (
            '<pre style="margin:2px 0;font-family:monospace;font-size:13px;background:transparent;color:inherit;'
            f'white-space:pre-wrap">{lines}</pre>'
        )
    title = f'<td style="{cell}">{_e(trial.title)}{detail}</td>'
    return f'<tr style="background:transparent"><td style="{cell};font-family:monospace">{mark}</td>{title}</tr>'


def _named_html(verdict: ExerciseVerdict) -> str:
    if not verdict.misconception:
        return ""
    following = f"<div>Next: {_e(verdict.misconception.next)}</div>" if verdict.misconception.next else ""
    return f'<div style="margin-top:6px"><b>Looks like:</b> {_e(verdict.misconception.sentence)}</div>{following}'


def _hint_html(verdict: ExerciseVerdict) -> str:
    if not verdict.hints or verdict.state == "passed":
        return ""
    return f'<div style="margin-top:6px;opacity:0.8">{verdict.hints} hints are folded above this cell.</div>'


def _wrapped(line: str, indent: str, width: int, hanging: str | None = None) -> list[str]:
    following = indent if hanging is None else hanging
    return textwrap.wrap(line, width, initial_indent=indent, subsequent_indent=following) or [indent]


def _e(value: str) -> str:
    return _html.escape(str(value), quote=True)
