"""The heads of a whole model: a table of layers and heads, and lines from token to token of the head that is chosen.

`show(tokens, attention)` is all a notebook calls. `attention` is any model's, encoder or causal, as one tensor (layers,
heads, T, T); `course.heads.gpt_attention` and `course.minilm.attention` give such tensors. The table shows a score of
each head: how much of its attention lies one step back, on marks such as [SEP], on the first token, or on the token
itself. Beside it one head's weights: all of them faint, those of one query strong.

The picture is SVG text made here: no canvas, no script; it follows the page's text colour. Not here: the heads that
unit 02 builds by hand (`attention_explorer`), and the scores that a lesson states (`course.heads`).
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from course import heads
from course.widgets import controls, show_live
from course.widgets.attention_explorer import COLOUR, sentence

MOST_TOKENS, MOST_HEADS, MOST_LAYERS = 40, 32, 48
CELL, ROW, TOP, LEFT = 26, 17, 52, 58  # squares of the table, lines of tokens, room above both and beside the table
GAP, SPAN, WORD = 96, 110, 12  # table to lines, length of the lines, characters shown of a token
FAINTEST = 0.05  # weights below are not drawn


def scores(tokens: Sequence[str], attention: Tensor) -> dict[str, Tensor]:
    """The tables (layers, heads) to choose from: each the mean over queries of a share of their attention.

    A table that the tokens allow no query for is left out.
    """
    found = {
        "first token": attention[..., 1:, 0].mean(-1),  # the first query may have nothing else to look at
        "own token": attention.diagonal(dim1=-2, dim2=-1)[..., 1:].mean(-1),
    }
    reading = [(tokens, attention)]
    marked = torch.tensor([token in heads.MARKS for token in tokens])
    if bool((~marked[1:] & ~marked[:-1]).any()):
        found = {"previous token": heads.previous_token_scores(reading), **found}
    if bool(marked.any()) and not bool(marked.all()):
        found["marks"] = heads.separator_scores(reading)
    return found


def checked(tokens: Sequence[str], attention: Tensor) -> Tensor:
    """The attention as (layers, heads, T, T) float32 on the CPU; ValueError when the panel can't show it."""
    T = len(tokens)
    if not 2 <= T <= MOST_TOKENS:
        raise ValueError(f"the panel shows 2 to {MOST_TOKENS} tokens, these are {T}")
    if attention.dim() != 4 or attention.shape[2:] != (T, T):
        raise ValueError(f"attention must be (layers, heads, {T}, {T}) for {T} tokens; it is {tuple(attention.shape)}")
    layers, count = attention.shape[:2]
    if not (1 <= layers <= MOST_LAYERS and 1 <= count <= MOST_HEADS):
        raise ValueError(f"the panel shows up to {MOST_LAYERS} layers and {MOST_HEADS} heads, not {layers} and {count}")
    weights = attention.detach().float().cpu()
    if not bool(weights.isfinite().all()) or float(weights.min()) < -1e-6 or float(weights.max()) > 1 + 1e-3:
        raise ValueError("attention must hold weights between 0 and 1; some are not")
    return weights


def first_query(tokens: Sequence[str]) -> int:
    """The query that the panel opens with: the last that is no mark, since it has most to look back on."""
    return max((place for place, token in enumerate(tokens) if token not in heads.MARKS), default=len(tokens) - 1)


def picture(tokens: Sequence[str], attention: Tensor, table: Tensor, chosen: tuple[int, int], query: int) -> str:
    """SVG text: the table with the chosen (layer, head) framed, and that head's lines."""
    layers, count = table.shape
    left = LEFT + count * CELL + GAP
    width, height = left + SPAN + GAP, TOP + max(layers * CELL, len(tokens) * ROW) + 12
    parts = [*_table(table, chosen), *_lines(tokens, attention[chosen], query, left)]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" role="img" '
        f'style="max-width:100%;color:inherit" font-family="sans-serif" font-size="11" fill="currentColor">'
        f"<title>{html.escape(words(tokens, attention, table, chosen, query))}</title>{''.join(parts)}</svg>"
    )


def words(tokens: Sequence[str], attention: Tensor, table: Tensor, chosen: tuple[int, int], query: int) -> str:
    """What the picture shows: the chosen head's score, the highest of all, and what the query reads."""
    (layer, head, most), *_ = heads.strongest(table)
    own = float(table[chosen])
    return (
        f"Layer {chosen[0]}, head {chosen[1]} scores {own:.2f}; the highest is {most:.2f}, layer {layer}, head {head}. "
        + sentence(tokens, attention[chosen], query)
    )


def _table(table: Tensor, chosen: tuple[int, int]) -> list[str]:
    layers, count = table.shape
    parts = [_text(LEFT + count * CELL / 2, 16, "head", "middle"), _text(4, 36, "layer", "start")]
    parts += [_text(LEFT + (head + 0.5) * CELL, 36, str(head), "middle") for head in range(count)]
    for layer in range(layers):
        y = TOP - 8 + layer * CELL
        parts.append(_text(LEFT - 8, y + 17, str(layer), "end"))
        for head in range(count):
            share = min(max(float(table[layer, head]), 0.0), 1.0)
            parts.append(
                f'<rect x="{LEFT + head * CELL}" y="{y}" width="{CELL}" height="{CELL}" fill="{COLOUR}" '
                f'fill-opacity="{share:.3f}" stroke="currentColor" stroke-opacity="0.25"/>'
            )
    x, y = LEFT + chosen[1] * CELL, TOP - 8 + chosen[0] * CELL
    frame = f'x="{x}" y="{y}" width="{CELL}" height="{CELL}" fill="none" stroke="currentColor" stroke-width="2.5"'
    return [*parts, f"<rect {frame}/>"]


def _lines(tokens: Sequence[str], weights: Tensor, query: int, left: int) -> list[str]:
    """The query's lines over those of all others."""
    right, middle = left + SPAN, [TOP + row * ROW for row in range(len(tokens))]
    parts = [_text(left, 16, "query", "end"), _text(right, 16, "keys", "start")]
    for strong in (False, True):
        for row in range(len(tokens)):
            if (row == query) == strong:
                parts += _fan(weights[row], left, right, middle[row], middle, strong)
    for row, token in enumerate(tokens):
        look = ' font-weight="bold"' if row == query else ' fill-opacity="0.6"'
        parts.append(_text(left - 5, middle[row] + 4, _short(token), "end", look))
        read = "" if float(weights[query, row]) >= FAINTEST else ' fill-opacity="0.6"'
        parts.append(_text(right + 5, middle[row] + 4, _short(token), "start", read))
    return parts


def _fan(weights: Tensor, left: int, right: int, start: float, ends: Sequence[float], strong: bool) -> list[str]:
    """One query's lines to the keys that it reads."""
    found = []
    for key, weight in enumerate(weights.tolist()):
        if weight >= FAINTEST:
            wide, ink = (1 + 4 * weight, 0.3 + 0.7 * weight) if strong else (1, 0.3 * weight)
            colour = COLOUR if strong else "currentColor"
            found.append(
                f'<line x1="{left}" y1="{start}" x2="{right}" y2="{ends[key]}" stroke="{colour}" '
                f'stroke-width="{wide:.2f}" stroke-opacity="{ink:.2f}"/>'
            )
    return found


def _short(token: str) -> str:
    """A token in one line: white space that could be seen is shown, and a long token is cut."""
    shown = token.replace("\n", "\u21b5").replace("\t", "\u21e5").replace(" ", "\u00b7")
    return shown if len(shown) <= WORD else shown[: WORD - 1] + "\u2026"


def _text(x: float, y: float, text: str, anchor: str, more: str = "") -> str:
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}"{more}>{html.escape(text)}</text>'


def show(tokens: Sequence[str], attention: Tensor, name: str = "the model") -> Any:
    """Show the panel. Returns the widget, or None where only a sentence or a still picture could be shown.

    tokens     T of them, as the model reads them; at most 40, so that the picture stays readable
    attention  (layers, heads, T, T), row = query, rows sum to 1
    name       whose heads these are, for the page without a kernel
    raises ValueError when the panel can't show such a tensor
    """
    weights = checked(tokens, attention)
    tables = scores(tokens, weights)
    score = next(iter(tables))
    (layer, head, _), *_ = heads.strongest(tables[score])
    shown = tokens, weights, tables[score], (layer, head), first_query(tokens)
    ipywidgets = controls(words(*shown), lambda: picture(*shown))
    if ipywidgets is None:
        return None
    box = _panel(ipywidgets, tokens, weights, tables)
    show_live(box, picture(*shown), f"heads of {name}: {words(*shown)}")
    return box


def _panel(ipywidgets: Any, tokens: Sequence[str], attention: Tensor, tables: dict[str, Tensor]) -> Any:
    """A score, a layer, a head and a query to choose; sentence and picture below."""
    layers, count, T, _ = attention.shape
    style, room = {"description_width": "4em"}, {"width": "22em"}
    score = ipywidgets.Dropdown(options=list(tables), description="score", style=style, layout=room)
    sliders = {
        title: ipywidgets.IntSlider(value=0, min=0, max=size - 1, description=title, style=style, layout=room)
        for title, size in (("layer", layers), ("head", count), ("query", T))
    }
    text, image = ipywidgets.HTML(), ipywidgets.HTML()

    def redraw(_change: Any = None) -> None:
        chosen = sliders["layer"].value, sliders["head"].value
        shown = tokens, attention, tables[score.value], chosen, sliders["query"].value
        text.value, image.value = html.escape(words(*shown)), picture(*shown)

    def to_strongest(_change: Any = None) -> None:
        """Another score is shown with the head that has most of it."""
        (layer, head, _), *_ = heads.strongest(tables[score.value])
        sliders["layer"].value, sliders["head"].value = layer, head
        redraw()

    sliders["query"].value = first_query(tokens)
    for slider in sliders.values():
        slider.observe(redraw, "value")
    score.observe(to_strongest, "value")
    to_strongest()
    rows = [ipywidgets.HBox(pair) for pair in ((score, sliders["query"]), (sliders["layer"], sliders["head"]))]
    for row in rows:
        row.layout.flex_flow = "row wrap"
    return ipywidgets.VBox([*rows, text, image])
