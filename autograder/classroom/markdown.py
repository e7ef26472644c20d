"""A student's markdown, made harmless: it runs nothing, loads nothing, and names no picture that isn't there.

What it is: `harmless_markdown`, which every word from outside passes before it becomes markdown of ours; and
`Pictures`, the pasted pictures of one cell: which are kept, under which name, and what stands in place of the others.

What it is not: a renderer. It does not know what a renderer takes for code: what it puts in is invisible there.
"""

from __future__ import annotations

import base64
import binascii
import html
import re
import urllib.parse
from collections.abc import Collection
from typing import Any

MAX_IMAGE_BYTES = 4_000_000  # per pasted picture
MAX_IMAGES = 50  # per cell
BLOCKER = "\u2060"  # word joiner: invisible, and no HTML name or URL scheme begins with it

_BEGINS = {
    "image/png": rb"\x89PNG\r\n\x1a\n",
    "image/jpeg": rb"\xff\xd8\xff",
    "image/gif": rb"GIF8[79]a",
    "image/webp": rb"RIFF....WEBP",
}  # bitmaps that a browser shows by itself; SVG can hold scripts
_NOT_THERE = "it was not pasted into this cell"
_ENTITY = re.compile(r"&(?:#[0-9]{1,7};|#[xX][0-9a-fA-F]{1,6};|[A-Za-z][A-Za-z0-9]{1,31};)")
# commands of TeX with a URL, a style, or a name put together from pieces
_TEX = r"href|url|require|style|class|cssId|data|csname|bbox|mmlToken|includegraphics|html(?:Class|Data|Id|Style)"
_WORDS = r"(?:(?!://)[^\[\]\\`$<>\n]){0,300}"  # nothing in it ends or hides what stands behind it
_LABEL = rf"\[({_WORDS})\]"
_TITLE = "".join((r"(?:[ \t]{1,20}(?:", "|".join(
    rf"{begin}((?:(?!://)[^{end}\\`$<>\n]){{0,200}}){end}" for begin, end in ('""', "''", (r"\(", r"\)"))), "))?"
))  # fmt: skip
_NAME = r"(?:<attachment:([^<>\n]{1,300})>|attachment:((?:[^()<>\n]|\([^()<>\n]{0,100}\)){1,300}?))"
_INLINE = re.compile(rf"(?<!!)(!+){_LABEL}\([ \t]{{0,20}}{_NAME}{_TITLE}[ \t]{{0,20}}\)")
_REFERRED = re.compile(rf"(?<!!)(!+){_LABEL}(?:{_LABEL})?(?![\[(:])")
_DEFINED = re.compile(
    rf"^[ >\t]{{0,20}}{_LABEL}:[ \t]{{0,20}}(?:\n[ \t]{{0,20}})?{_NAME}{_TITLE}[ \t]{{0,20}}$", re.MULTILINE
)
_OURS = rf"(?<!!)!\[{_WORDS}\]\(attachment:([A-Za-z0-9_.-]{{1,110}})(?: \"(?:(?!://)[^\"\\`$<>\n]){{0,200}}\")?\)"


def harmless_markdown(text: str, pictures: Collection[str] = ()) -> str:
    """Markdown that renders as written but makes no HTML tag, and no link or TeX command that runs something.

    An invisible character goes between "<" and a tag's name, before a link target that is not http(s), mailto or an
    attachment, and behind the "!" of every picture but those of an attachment in `pictures`. It works inside and
    outside code, so it does not depend on how a renderer finds code.
    """
    text = re.sub(r"<(?=[A-Za-z/!?])", "<" + BLOCKER, text)
    allowed = r"(?!https?://|mailto:|#|attachment:)(?=\S)"
    text = re.sub(rf"(\]\(\s*|\]:\s*){allowed}", r"\1" + BLOCKER, text, flags=re.IGNORECASE)
    text = re.sub(rf"\\(?=(?:{_TEX})(?![A-Za-z]))", r"\\" + BLOCKER, text)
    text = _ENTITY.sub(_plain_entity, text)
    text = re.sub(r"([`~]{3}[ \t]*)(?=mermaid)", r"\1" + BLOCKER, text)  # drawings that a script of the page makes
    return re.sub(rf"{_OURS}|(?<!!)(!+)\[", lambda found: _no_picture(found, pictures), text)


def _plain_entity(found: re.Match[str]) -> str:
    """An entity as it is; one that hides what the other rules look for is shown as it was written."""
    meant = html.unescape(found[0])
    hides = any(" " < character <= "~" and character not in "<>&\"'" for character in meant)
    return f"&{BLOCKER}{found[0][1:]}" if hides and meant != found[0] else found[0]


def _no_picture(found: re.Match[str], pictures: Collection[str]) -> str:
    if found[1] is not None and found[1] in pictures:
        return found[0]
    bangs = found[2] or "!"
    return bangs + BLOCKER + found[0][len(bangs) :]


class Pictures:
    """The pasted pictures of one cell.

    kept: name -> MIME type -> base64, under names that every renderer finds; several cells that become one share it.
    left_out: by its name, a sentence about each picture that the text refers to and that is not among them.
    """

    def __init__(self, attachments: Any, kept: dict[str, dict[str, str]]) -> None:
        self.kept = kept
        self.left_out: dict[str, str] = {}
        self._names: dict[str, str] = {}
        self._reasons: dict[str, str] = {}
        found = list(attachments.items()) if isinstance(attachments, dict) else []
        for number, (name, bundle) in enumerate(found[:1000]):
            picture, reason = _bitmap(bundle) if number < MAX_IMAGES else ({}, f"a cell shows {MAX_IMAGES} at most")
            if picture:
                self._names[name] = self._keep(name, picture)
            else:
                self._reasons[name] = reason

    def put_into(self, text: str) -> str:
        """`text` with each reference to a picture in its plainest form, or with a sentence in its place."""
        if "![" not in text:
            return text
        defined: dict[str, tuple[str, str]] = {}
        for found in _DEFINED.finditer(text):
            defined.setdefault(_key(found[1]), (found[2] or found[3], found[4] or found[5] or found[6] or ""))
        text = _INLINE.sub(lambda m: self._shown(m, m[3] or m[4], m[5] or m[6] or m[7] or ""), text)
        if defined:
            text = _REFERRED.sub(lambda m: self._referred(m, defined), text)
        return text

    def _referred(self, found: re.Match[str], defined: dict[str, tuple[str, str]]) -> str:
        name, title = defined.get(_key(found[3] or found[2]), ("", ""))
        return self._shown(found, name, title) if name else found[0]

    def _shown(self, found: re.Match[str], written: str, title: str) -> str:
        bangs = found[1][1:] + BLOCKER if found[1][1:] else ""
        name = next((each for each in _readings(written) if each in self._names or each in self._reasons), "")
        if name in self._names:
            titled = f' "{title}"' if title.strip() and '"' not in title else ""
            return f"{bangs}![{found[2]}](attachment:{self._names[name]}{titled})"
        shown = re.sub(r"[^\w .,()+-]", "?", name or _readings(written)[-1])[:60]
        reason = self._reasons.get(name, _NOT_THERE)
        self.left_out[shown] = f"The picture {shown} was left out: {reason}."
        return f"{bangs}{BLOCKER}[picture {shown} left out: {reason}]"

    def _keep(self, name: str, picture: dict[str, str]) -> str:
        plain = re.sub(r"[^A-Za-z0-9_.-]+", "-", name)[-100:].strip("-") or "picture"
        number, free = 1, plain
        while self.kept.get(free, picture) != picture:
            number, free = number + 1, f"{number}-{plain}"
        self.kept[free] = picture
        return free


def _key(label: str) -> str:
    return " ".join(label.split()).casefold()


def _readings(written: str) -> list[str]:
    """What a name in a reference may stand for: as written, and with its escapes undone."""
    written = written.strip()
    plain = re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", html.unescape(written))
    return [written, plain, urllib.parse.unquote(written), urllib.parse.unquote(plain)]


def _bitmap(bundle: Any) -> tuple[dict[str, str], str]:
    """The picture under the type that its bytes have; or none, and why."""
    if not isinstance(bundle, dict) or not bundle:
        return {}, "there is no picture in it"
    reason = "there is no picture in it"
    for declared, data in list(bundle.items())[:5]:
        if isinstance(data, list) and all(isinstance(line, str) for line in data):
            data = "".join(data)
        if declared.lower() not in (*_BEGINS, "image/jpg"):
            kind = re.sub(r"[^a-z+/-]", "?", declared.lower()[:40])
            reason = f"{kind} is not shown, only PNG, JPEG, GIF and WebP are"
        elif not isinstance(data, str) or not re.fullmatch(r"[A-Za-z0-9+/=\s]*", data):
            reason = "it can't be read"
        elif len(data) * 3 // 4 > MAX_IMAGE_BYTES + 2:
            reason = f"larger than {MAX_IMAGE_BYTES // 1_000_000} MB"
        elif (mime := _type("".join(data.split()))) == "":
            reason = "its bytes are no PNG, JPEG, GIF or WebP"
        else:
            return {mime: "".join(data.split())}, ""
    return {}, reason


def _type(data: str) -> str:
    """The MIME type that the first bytes say, "" for none of ours."""
    try:
        first = base64.b64decode(data[:32])
    except (binascii.Error, ValueError):
        return ""
    return next((mime for mime, begins in _BEGINS.items() if re.match(begins, first, re.DOTALL)), "")
