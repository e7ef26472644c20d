"""The head explorer: choose a head and a query, see where it looks.

`show(tokens)` is all a notebook calls: a dropdown for the head, a slider for the query, a heat map of all weights and
lines from the query to the keys it reads. The heads are built by hand from one-hot vectors and go through an attention
function, the learner's own if it is handed over. All heads of a whole model are shown by `model_heads` beside this.

The picture is SVG text made here: no canvas, no script, no data inside the notebook; it follows the page's text colour.
"""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from course.widgets import controls

SHARP = 12.0  # score of a match; a key that does not match scores 0
SINK = 8.0  # score of the first token: what a head looks at when nothing matches
CELL = 24  # side of a heat map square, in SVG units
LEFT = 64  # room for the tokens beside the heat map
GAP = 70  # between the heat map and the lines
COLOUR = "#0072B2"

Attend = Callable[[Tensor, Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]


def matches(tokens: Sequence[str]) -> dict[str, Tensor]:
    """What each hand-built head looks for: (T, T) bool, row = query, column = key.

    previous token  the key one step back
    same token      earlier keys with the query's own token
    induction       keys whose predecessor is the query's own token
    """
    size = len(tokens)
    same = torch.tensor([[a == b for b in tokens] for a in tokens])
    before = torch.ones(size, size, dtype=torch.bool).tril(-1)
    follows = torch.zeros_like(same)
    follows[:, 1:] = same[:, :-1]
    steps = torch.arange(size)
    return {
        "previous token": steps[:, None] == steps + 1,
        "same token": same & before,
        "induction": follows & (before | torch.eye(size, dtype=torch.bool)),
    }


def head_weights(tokens: Sequence[str], attend: Attend | None = None) -> dict[str, Tensor]:
    """(T, T) causal attention weights of each hand-built head.

    attend  scaled_dot_product_attention(q, k, v, mask) -> (out, weights); None: the formula, written out here
    """
    size = len(tokens)
    causal = torch.ones(size, size, dtype=torch.bool).tril()
    keys = torch.eye(size)
    found = {}
    for name, match in matches(tokens).items():
        scores = SHARP * match.float()
        scores[:, 0] = scores[:, 0].clamp(min=SINK)
        queries = scores * math.sqrt(size)  # q k^T / sqrt(d) gives the scores back: the keys are one-hot, d = T
        found[name] = (attend or _attend)(queries, keys, torch.eye(size), causal)[1].detach()
    return found


def _attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    scores = (q @ k.T / math.sqrt(q.shape[-1])).masked_fill(~mask, -math.inf)
    weights = scores.softmax(-1)  # the library's: how to write it is an exercise
    return weights @ v, weights


def picture(tokens: Sequence[str], weights: Tensor, query: int) -> str:
    """SVG text: heat map of `weights` (T, T) with row `query` framed, and lines from that query to its keys."""
    side = len(tokens) * CELL
    width, height = LEFT + side + GAP + 170, side + 64
    parts = [*_heat_map(tokens, weights, query), *_lines(tokens, weights[query], query, LEFT + side + GAP)]
    strongest = int(weights[query].argmax())
    title = f"Query {query}, {tokens[query]!r}, looks most at key {strongest}, {tokens[strongest]!r}."
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" role="img" '
        f'style="max-width:100%;color:inherit" font-family="sans-serif" font-size="11" fill="currentColor">'
        f"<title>{html.escape(title)}</title>{''.join(parts)}</svg>"
    )


def sentence(tokens: Sequence[str], weights: Tensor, query: int) -> str:
    """What the query reads, in words: its largest weights, down to 5 %, and at most three."""
    top = weights[query].sort(descending=True)
    pairs = [(float(w), int(s)) for w, s in zip(top.values, top.indices, strict=True) if w >= 0.05][:3]
    read = ", ".join(f"{100 * w:.0f} % on {tokens[s]!r} (position {s})" for w, s in pairs)
    read = read or f"a little of much, {100 * float(top.values[0]):.0f} % of one key at most"
    return f"Position {query}, {tokens[query]!r}, reads: {read}."


def _heat_map(tokens: Sequence[str], weights: Tensor, query: int) -> list[str]:
    parts, top = [], 52
    for row, values in enumerate(weights.tolist()):
        y = top + row * CELL
        bold = ' font-weight="bold"' if row == query else ""
        parts.append(_text(LEFT - 6, y + 16, tokens[row], "end", bold))
        for column, value in enumerate(values[: row + 1]):
            shade = f'fill="{COLOUR}" fill-opacity="{min(max(value, 0.0), 1.0):.3f}"'
            parts.append(
                f'<rect x="{LEFT + column * CELL}" y="{y}" width="{CELL}" height="{CELL}" {shade} '
                'stroke="currentColor" stroke-opacity="0.25"/>'
            )
    for column, token in enumerate(tokens):
        x = LEFT + column * CELL + CELL / 2 + 4
        parts.append(_text(x, top - 6, token, "start", f' transform="rotate(-50 {x:g} {top - 6})"'))
    parts.append(f'<rect x="{LEFT}" y="{top + query * CELL}" width="{(query + 1) * CELL}" height="{CELL}" '
                 'fill="none" stroke="currentColor" stroke-width="2"/>')
    return parts


def _lines(tokens: Sequence[str], weights: Tensor, query: int, left: int) -> list[str]:
    right, parts = left + 100, []
    middle = [52 + row * CELL + CELL / 2 for row in range(len(tokens))]
    parts.append(_text(left, 36, "query", "end"))
    parts.append(_text(right, 36, "keys", "start"))
    for row, token in enumerate(tokens):
        faint = "" if row == query else ' fill-opacity="0.45"'
        parts.append(_text(left - 4, middle[row] + 4, token, "end", faint))
        parts.append(_text(right + 4, middle[row] + 4, token, "start", "" if row <= query else ' fill-opacity="0.25"'))
    for key, weight in enumerate(weights.tolist()):
        if weight >= 0.01:
            share = min(weight, 1.0)
            parts.append(
                f'<line x1="{left}" y1="{middle[query]:g}" x2="{right}" y2="{middle[key]:g}" stroke="{COLOUR}" '
                f'stroke-width="{1 + 5 * share:.2f}" stroke-opacity="{0.2 + 0.8 * share:.2f}"/>'
            )
    return parts


def _text(x: float, y: float, text: str, anchor: str, more: str = "") -> str:
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}"{more}>{html.escape(text)}</text>'


def show(tokens: Sequence[str], attend: Attend | None = None) -> None:
    """Show the panel for the hand-built heads; without ipywidgets or a notebook, a still picture or a sentence.

    tokens  words, the first of them is the sink; at most 24, so that the picture stays readable
    attend  the learner's scaled_dot_product_attention; if it raises or gives another shape, the panel says so
    """
    if not 2 <= len(tokens) <= 24:
        raise ValueError(f"the explorer shows 2 to 24 tokens, these are {len(tokens)}")
    try:
        weights = head_weights(tokens, attend)
        if any(w.shape != (len(tokens),) * 2 or not bool(w.isfinite().all()) for w in weights.values()):
            raise ValueError("the weights have another shape, or are not finite")
    except Exception as error:  # the learner's function may be wrong: the panel must not stop the notebook
        print(f"The panel could not use your attention ({type(error).__name__}: {error}); it uses its own.")
        weights = head_weights(tokens)
    show_weights(tokens, weights)


def show_weights(tokens: Sequence[str], weights: dict[str, Tensor]) -> None:
    """The panel for any heads: `weights` maps a head's name to its (T, T) causal attention weights."""
    name, query = list(weights)[-1], len(tokens) - 2
    shown = tokens, weights[name], query
    if ipywidgets := controls(sentence(*shown), lambda: picture(*shown)):
        from IPython.display import display

        display(_panel(ipywidgets, tokens, weights, name, query))


def _panel(ipywidgets: Any, tokens: Sequence[str], weights: dict[str, Tensor], name: str, query: int) -> Any:
    """Dropdown, slider, sentence and picture in one box."""
    wide = {"description_width": "4em"}
    head = ipywidgets.Dropdown(options=list(weights), value=name, description="head", style=wide)
    token = ipywidgets.IntSlider(
        value=query, min=0, max=len(tokens) - 1, description="query", style=wide, layout={"width": "28em"}
    )
    text, image = ipywidgets.HTML(), ipywidgets.HTML()

    def redraw(_change: Any = None) -> None:
        chosen = weights[head.value]
        text.value = html.escape(sentence(tokens, chosen, token.value))
        image.value = picture(tokens, chosen, token.value)

    head.observe(redraw, "value")
    token.observe(redraw, "value")
    redraw()
    return ipywidgets.VBox([ipywidgets.HBox([head, token]), text, image])
