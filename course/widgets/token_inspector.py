"""The token inspector: a sentence cut into tokens, each with its id and its bytes.

`show(text, merges, encode)` is all a notebook calls. `pieces` and `picture` are functions of their arguments: they need
no browser. The learner's `bpe_encode` does the cutting; without it the panel shows bytes.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from typing import Any

from course.widgets import controls

Encode = Callable[[str, list], list[int]]
COLOURS = ("#0072B233", "#E69F0033", "#009E7333", "#CC79A733")
LONGEST = 400  # characters that the panel takes


def tokens_by_id(merges: Sequence[tuple[bytes, bytes]]) -> list[bytes]:
    """Id -> bytes: the 256 bytes, then each new result of a merge."""
    found = {bytes([b]): None for b in range(256)}
    for left, right in merges:
        found.setdefault(left + right)
    return list(found)


def pieces(text: str, merges: Sequence[tuple[bytes, bytes]], encode: Encode | None = None) -> list[tuple[int, bytes]]:
    """(id, bytes) of every token of `text`. Raises ValueError when they are not the text's bytes.

    encode  the learner's bpe_encode(text, merges) -> ids; None: one token for each byte
    """
    raw = text.encode()
    ids = list(encode(text, list(merges))) if encode else list(raw)
    known = tokens_by_id(merges)
    if not all(isinstance(i, int) and 0 <= i < len(known) for i in ids):
        raise ValueError("an id lies outside the vocabulary")
    if b"".join(known[i] for i in ids) != raw:
        raise ValueError("the tokens joined are not the text")
    return [(i, known[i]) for i in ids]


def label(token: bytes) -> str:
    """The token as it can be read: spaces as a raised dot; bytes that are only part of a character in hex."""
    try:
        return token.decode().replace(" ", "·").replace("\n", "⏎")
    except UnicodeDecodeError:
        return " ".join(f"{b:02X}" for b in token)


def picture(found: Sequence[tuple[int, bytes]]) -> str:
    """HTML: a box for each token, its id below."""
    box = "display:inline-block;margin:2px 1px;padding:2px 4px;border-radius:3px;text-align:center"
    box += ";font-family:monospace"
    return "".join(
        f'<span style="{box};background:{COLOURS[n % 4]}" title="bytes {token.hex(" ")}">{html.escape(label(token))}'
        f'<br><small style="opacity:0.7">{i}</small></span>'
        for n, (i, token) in enumerate(found)
    )


def sentence(text: str, found: Sequence[tuple[int, bytes]]) -> str:
    """Counts, in words."""
    size, split = len(text.encode()), sum(1 for _, token in found if not _whole(token))
    says = f"{len(text)} characters, {size} bytes, {len(found)} tokens: {size / max(len(found), 1):.2f} bytes a token."
    return says + (f" {split} tokens are only part of a character." if split else "")


def _whole(token: bytes) -> bool:
    try:
        token.decode()
    except UnicodeDecodeError:
        return False
    return True


def show(text: str, merges: Sequence[tuple[bytes, bytes]], encode: Encode | None = None) -> None:
    """Show the panel; without ipywidgets or a notebook, a still picture or a sentence.

    encode  the learner's bpe_encode; if it raises or loses bytes, the panel says so and shows bytes instead
    """
    try:
        found = pieces(text, merges, encode)
    except Exception as error:  # the learner's function may be wrong: the panel must not stop the notebook
        print(f"The panel could not use your bpe_encode ({type(error).__name__}: {error}); it shows bytes.")
        encode, found = None, pieces(text, merges)
    if ipywidgets := controls(sentence(text, found), lambda: picture(found)):
        from IPython.display import display

        display(_panel(ipywidgets, text, list(merges), encode))


def _panel(ipywidgets: Any, text: str, merges: list, encode: Encode | None) -> Any:
    """Text field, slider, sentence and boxes."""
    typed = ipywidgets.Text(value=text, description="text", continuous_update=False, layout={"width": "40em"})
    count = ipywidgets.IntSlider(
        value=len(merges), min=0, max=len(merges), description="merges", continuous_update=False
    )
    words, boxes = ipywidgets.HTML(), ipywidgets.HTML()

    def redraw(_change: Any = None) -> None:
        try:
            found = pieces(typed.value[:LONGEST], merges[: count.value], encode)
        except Exception as error:
            words.value = f"Your bpe_encode did not work here ({type(error).__name__}); run its cell again."
            return
        words.value, boxes.value = html.escape(sentence(typed.value[:LONGEST], found)), picture(found)

    typed.observe(redraw, "value")
    count.observe(redraw, "value")
    redraw()
    return ipywidgets.VBox([ipywidgets.HBox([typed, count]), words, boxes])
