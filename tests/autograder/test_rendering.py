"""What a hand-in makes of the pages that people open: pictures, what they load, and how long they take to show."""

from __future__ import annotations

import base64
import html.parser
import json
import random
import time
from copy import deepcopy

import nbformat
import pytest
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbformat.v4 import new_code_cell, new_markdown_cell
from test_intake import release  # noqa: F401

from autograder.classroom import intake, record, rendering
from autograder.classroom.markdown import BLOCKER, MAX_IMAGE_BYTES, Pictures, harmless_markdown
from sample_class import solved

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
WEBP = base64.b64encode(b"RIFF\x1a\0\0\0WEBPVP8L\r\0\0\0/\0\0\0\x10\x07\x10\x11\x11\x88\x88\xfe\x07\0").decode()
LARGE = base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"0" * MAX_IMAGE_BYTES).decode()


def shown(text, attachments=None):
    """(HTML of a cell as nbconvert makes it, sentences about pictures that were left out)"""
    kept = {}
    pictures = Pictures(attachments, kept)
    source = harmless_markdown(pictures.put_into(text), kept)
    renderer = IPythonRenderer(escape=False, attachments=kept)
    return MarkdownWithMath(renderer=renderer).render(source), list(pictures.left_out.values())


class _Loads(html.parser.HTMLParser):
    """What a page would fetch by itself."""

    def __init__(self):
        super().__init__()
        self.found, self.pictures = [], 0

    def handle_starttag(self, tag, attributes):
        about = dict(attributes)
        if tag in ("link", "iframe", "object", "embed", "video", "audio", "source", "base", "svg"):
            self.found.append((tag, attributes))
        for name in ("src", "srcset", "poster", "background", "data"):
            if (about.get(name) or "").startswith("data:image/"):
                self.pictures += 1
            elif about.get(name) and tag != "script":
                self.found.append((tag, name, about[name]))
        if "url" in (about.get("style") or ""):
            self.found.append((tag, about["style"]))


def loads(page):
    reader = _Loads()
    reader.feed(page)
    return reader.found, reader.pictures


# Pictures


ANY = {"p.png": {"image/png": PNG}}
FORMS = [
    "![p](attachment:p.png)",
    '![p](attachment:p.png "a title")',
    "![p](attachment:p.png 'a title')",
    "![p](attachment:p.png (a title))",
    "![p](<attachment:p.png>)",
    '![p]( <attachment:p.png>  "t" )',
    "![p][b]\n\n[b]: attachment:p.png",
    '![p][B  b]\n\n[b b]: <attachment:p.png> "title"',
    "![b][]\n\n[b]: attachment:p.png",
    "![b]\n\n[b]: attachment:p.png",
    "> ![p][b]\n>\n> [b]:\n>  attachment:p.png\n\n![p](attachment:p.png)",
    "[![p](attachment:p.png)](https://a.b)",
    "| a | b |\n|---|---|\n| ![p](attachment:p.png) | x |",
    "wow!![p](attachment:p.png)",
    "![](attachment:p.png)",
]


@pytest.mark.parametrize("text", FORMS)
def test_every_form_of_reference_shows_its_picture_or_says_why_not(text):
    assert loads(shown(text, ANY)[0]) == ([], 1)
    for attachments, why in ((None, "was not pasted"), ({"p.png": {"image/png": LARGE}}, "larger than 4 MB")):
        page, notes = shown(text, attachments)
        assert loads(page) == ([], 0) and why in page and why in notes[0] and "p.png" in notes[0]


def test_an_honest_picture_is_written_as_before():
    text = 'Since ![p](attachment:p.png), and ![q](attachment:p.png "t").'
    kept = {}
    assert harmless_markdown(Pictures(ANY, kept).put_into(text), kept) == text and kept == ANY


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("plot,final.png", "plot,final.png"),
        ("my plot.png", "my%20plot.png"),
        ("my plot.png", "my plot.png"),
        ("plot (1).png", "plot (1).png"),
        ("plot(1).png", "plot\\(1\\).png"),
        ("größe & co.png", "gr%C3%B6%C3%9Fe%20&amp;%20co.png"),
        ("größe.png", "größe.png"),
        ("100%.png", "100%.png"),
        ("a'b+c=d@e.png", "a'b+c=d@e.png"),
        ("x" * 150 + ".png", "x" * 150 + ".png"),
    ],
)
def test_ordinary_names_are_found(name, written):
    assert loads(shown(f"![p](attachment:{written})", {name: {"image/png": PNG}})[0]) == ([], 1)


def test_the_type_of_a_picture_is_what_its_bytes_say():
    cell = {"a.webp": {"image/webp": WEBP}, "b": {"image/jpg": PNG}, "c": {"image/png": [PNG[:40], PNG[40:]]}}
    page, notes = shown("![a](attachment:a.webp) ![b](attachment:b) ![c](attachment:c)", cell)
    assert notes == [] and page.count("data:image/png") == 2 and "data:image/webp" in page
    bad = {
        "svg": {"image/svg+xml": "PHN2Zz4="},
        "lie": {"image/png": "PHN2Zz4="},
        "html": {"text/html": PNG},
        "odd": {"image/png": '"onerror="'},
        "none": {},
        "number": 7,
    }
    page, notes = shown(" ".join(f"![x](attachment:{name})" for name in bad), bad)
    assert loads(page) == ([], 0) and len(notes) == len(bad)


def test_two_cells_that_become_one_keep_both_pictures(release):  # noqa: F811
    mine = solved(release, "![a](attachment:p.png)")
    other = nbformat.from_dict({**mine.cells[-1], "source": "![b](attachment:p.png)"})
    mine.cells[-1].attachments = ANY
    other.attachments = {"p.png": {"image/webp": WEBP}}
    mine.cells.append(other)
    [cell] = [c for c in intake.canonical(json.dumps(mine).encode(), release).cells if "attachments" in c]
    assert len(cell.attachments) == 2 and "![b](attachment:1-p.png)" in cell.source


def test_a_picture_typed_into_the_question_is_kept(release):  # noqa: F811
    mine = solved(release)
    question = next(c for c in mine.cells if c.id == "explain-why")
    question.source = "See:\n\n![p][b]\n\n[b]: attachment:p.png\n\n![q](attachment:q.png)\n\n" + question.source
    question.attachments = ANY
    notes = []
    taken = intake.canonical(json.dumps(mine).encode(), release, notes)
    [cell] = [c for c in taken.cells if "attachments" in c]
    assert "![p](attachment:p.png)" in cell.source and notes == [
        "The picture q.png was left out: it was not pasted into this cell."
    ]


# What a page loads


NETWORK = [
    "![x](https://e.org/x.png)",
    "![x](//e.org/x.png)",
    "![x](/x.png)",
    "![x](HTTPS://e.org/x.png 'title')",
    "![x](<https://e.org/x.png>)",
    "![x](\nhttps://e.org/x.png)",
    "![x][b]\n\n[b]: https://e.org/x.png",
    "![b]\n\n[b]:\n  https://e.org/x.png",
    "![b][]\n\n[b]: <//e.org/x.png>",
    "[![x](https://e.org/x.png)](https://e.org)",
    "[a ![x][b] c](https://e.org)\n\n[b]: https://e.org/x.png",
    "![x](&#104;ttps://e.org/x.png)",
    "![x](\\https://e.org/x.png)",
    "!![x](https://e.org/x.png)",
    "![![p](attachment:p.png)](https://e.org/x.png)",
    "![a\\](attachment:p.png)](https://e.org/x.png)",
    "![a `](attachment:p.png)`](https://e.org/x.png)",
    "![a $](attachment:p.png)$](https://e.org/x.png)",
    "![https://a](attachment:p.png)](https://e.org/x.png)",
    "!![p](attachment:none)(https://e.org/x.png)",
    '![p](attachment:p.png "t](https://e.org/x.png)',
    "<img src=https://e.org/x.png>",
    "<link rel=prefetch href=https://e.org/x>",
    "- ![x](https://e.org/x.png)\n\n> ![x](https://e.org/x.png)",
    "# ![x](https://e.org/x.png)",
    "| ![x](https://e.org/x.png) |\n|---|",
]


@pytest.mark.parametrize("text", NETWORK)
def test_nothing_loads_from_the_network(text):
    assert loads(shown(text, ANY)[0])[0] == []


def test_most_of_these_would_load_if_left_alone():
    renderer = IPythonRenderer(escape=False, attachments=ANY | {"none": {"image/png": PNG}})
    assert sum(bool(loads(MarkdownWithMath(renderer=renderer).render(text))[0]) for text in NETWORK) > 15


PIECES = [
    "![", "!", "[", "]", "](", "(", ")", "a", " ", "\n", "\n\n", "`", "$", "$$", "\\", "\\\\(", "\\\\)", "//e.org/x",
    "](https://e.org/x)", "](//e/x)", "(attachment:p.png)", "](attachment:p.png)", "![p](attachment:p.png)",
    "![q](attachment:none.png)", "![r][b]", "[b]: attachment:p.png\n", "[b]: https://e.org/y\n", "![b]", "![b][]",
    "<", "<img src=https://e>", ">", "|", "|-|\n", "> ", "- ", "&#33;", "&excl;", "&lsqb;", "&#91;", "**", "~~", '"',
    "attachment:", "<attachment:p.png>", "http://", "\\begin{a}", "\\end{a}", "    ", "```", "~~~", "!\\", "\r",
    "\u2424", "&amp;",
]  # fmt: skip


def _search(seeds):
    for seed in seeds:
        chance = random.Random(seed)
        text = "".join(chance.choice(PIECES) for _ in range(chance.randint(2, 14)))
        assert loads(shown(text, ANY)[0])[0] == [], text


def test_no_mixture_of_pieces_loads_anything():
    _search(range(6_000))


@pytest.mark.slow
def test_no_mixture_of_pieces_loads_anything_at_length():
    _search(range(6_000, 600_000))


@pytest.mark.parametrize(
    "text",
    [r"$\style{background:url(//e)}{x}$", r"$\bbox[background:url(//e)]{x}$", r"$\href1{x}$",
     r"$\mmlToken{mi}[style='']{x}$", r"&#36;\s&#116;yle{x}{y}&#36;", r"&dollar;&bsol;href{x}&dollar;",
     "```mermaid\nA@{ img: 'https://e' }\n```"],
)  # fmt: skip
def test_no_script_of_the_page_is_told_to_load_anything(text):
    page = shown(text)[0]
    commands = ("\\style", "\\bbox", "\\href", "\\mmlToken", "$\\", 'class="mermaid"')
    assert BLOCKER in page and not [command for command in commands[:4] + commands[5:] if command in page]


def test_entities_of_ordinary_text_stay():
    assert (
        harmless_markdown("a&nbsp;&lt; b &amp; &alpha; &#228; R&D; &quot;")
        == "a&nbsp;&lt; b &amp; &alpha; &#228; R&D; &quot;"
    )


# How long a page takes to show


def page_of(notebook):
    """The feedback page that nbgrader makes, without its grades."""
    notebook = deepcopy(notebook)
    for cell in notebook.cells:
        if cell.metadata.get(rendering.COLOURS):
            cell.source = rendering.shown(cell)
    exporter = rendering.Page(template_name="classic")
    return exporter.from_notebook_node(notebook)[0]


def taken_in(release, *cells):  # noqa: F811
    """(canonical notebook, notes, seconds of processor time for intake and for the page)"""
    mine = solved(release, "Because.")
    mine.cells += cells
    data, notes = json.dumps(mine).encode(), []
    began = time.process_time()
    notebook, reason = intake._read(data, "", release, notes)
    taken = time.process_time()
    assert not reason
    page_of(notebook)
    return notebook, notes, taken - began, time.process_time() - taken


UNITS = [
    "[", "](", "![", "*a ", "*", "_", "`", "`a", "> ", "- ", "| a ", "|a|\n|-|\n", "<", "<!--", "\\(", "\\\\(", "\\\\[",
    "\\begin{a}", "$", "$a", "#", "&", "&#", "  ", "\t", "\n", " \n", "a", "~~", "[a](b ", "[a]: b\n", "a\n: ", "(",
    "!", '"', "http://", "***a", "![a]", "![a](attachment:", "![a][", "]:  ", "](  ", "def ", '"""\n', "%%R\n'", "\r",
]  # fmt: skip


def _cells(unit, size, kind):
    text = (unit * (size // len(unit) + 1))[:size]
    pieces = [text[at : at + 190_000] for at in range(0, size, 190_000)]
    if kind == "code":
        return [new_code_cell(text)]
    if kind == "fence":
        return [new_markdown_cell(f"```ipython3\n{piece}\n```") for piece in pieces]
    if kind == "many":
        return [new_markdown_cell(text[: size // 1500 + 1]) for _ in range(1500)]
    return [new_markdown_cell(piece) for piece in pieces]


def _is_quick(release, unit, size, kind):  # noqa: F811
    """Two seconds and two for each megabyte; a page takes as long again, and what nbconvert takes for any."""
    *_, taken, page = taken_in(release, *_cells(unit, size, kind))
    assert taken < 2 + 2 * size / 1e6, (unit, size, kind, taken)
    assert page < 6 + 6 * size / 1e6, (unit, size, kind, page)


@pytest.mark.parametrize(
    ("unit", "kind"),
    [
        ("[", "markdown"),
        ("\\\\[", "markdown"),
        ("![a]", "markdown"),
        (" \n", "fence"),
        (" \n", "code"),
        ("***a", "code"),
        ("<", "code"),
        ("&#", "code"),
    ],
)
def test_no_pattern_is_slow(release, unit, kind):  # noqa: F811
    _is_quick(release, unit, 60_000, kind)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["markdown", "code", "fence", "many"])
@pytest.mark.parametrize("size", [30_000, 990_000])  # a notebook with a million brackets is not read
@pytest.mark.parametrize("unit", UNITS)
def test_no_pattern_is_slow_at_length(release, unit, size, kind):  # noqa: F811
    _is_quick(release, unit, size, kind)


def test_a_question_rewritten_at_length_is_read_quickly(release):  # noqa: F811
    """Lines that differ a little from the question's, which a comparison of characters would take minutes for."""
    mine = solved(release)
    question = next(c for c in mine.cells if c.id == "explain-why")
    lines = [f"{n} {question.source[:40]} {'x' * 300}" for n in range(500)]
    question.source = "\n".join(lines + question.source.splitlines() + ["Mine.", "", "Mine, too."])
    mine.cells += [nbformat.from_dict({**question, "id": f"copy-{n}"}) for n in range(20)]
    began = time.process_time()
    taken = intake.canonical(json.dumps(mine).encode(), release)
    assert time.process_time() - began < 2
    added = next(c.source for c in taken.cells if c.source.endswith("Mine, too."))
    assert added.startswith(lines[0]) and "\n\nMine.\n\nMine, too." in added


def test_a_slow_cell_is_plain_and_its_neighbours_are_not(release):  # noqa: F811
    slow, honest = new_markdown_cell("\\\\[" * 30_000), new_markdown_cell("**bold**")
    notebook, notes, *_ = taken_in(release, slow, honest)
    texts = [cell.source for cell in notebook.cells if cell.id.startswith("extra")]
    assert texts[0].startswith("~~~\n") and texts[0].endswith("(cut)") and texts[1] == "**bold**"
    assert notes == ['1 cell takes too long to show as written and can be seen plain; the first begins with '
                     '"' + ("\\\\[" * 20)[:40] + '".']  # fmt: skip
    assert "Because." in page_of(notebook)


def test_code_of_many_quotes_is_shown_in_part_and_its_neighbours_are_not(release):  # noqa: F811
    """A page takes each sign that HTML writes as an entity apart: a megabyte of them took three minutes."""
    slow = new_code_cell("%%R\n" + "'" * 300_000)
    honest = [new_code_cell(f"x = {{'a': '<{n}>'}}") for n in range(40)]
    notebook, notes, _, page = taken_in(release, slow, *honest)
    assert [c.source for c in notebook.cells if c.id.startswith("extra")] == [slow.source, *(c.source for c in honest)]
    assert notes == ["1 cell takes too long to show as written and can be seen plain or in part; the first begins with "
                     '"%%R".']  # fmt: skip
    shown = [rendering.shown(cell) for cell in notebook.cells if cell.id.startswith("extra")]
    assert shown[0].count("'") == rendering.CELL_SIGNS and "(cut: 295,000 characters more in the notebook" in shown[0]
    assert shown[1:] == [cell.source for cell in honest] and page < 5


def test_many_cells_of_many_quotes_are_shown_in_part_together(release):  # noqa: F811
    *_, page = taken_in(release, *(new_code_cell("<" * 2_000) for _ in range(300)))
    assert page < 8


def test_slow_code_keeps_its_text_and_loses_its_colours(release):  # noqa: F811
    slow, honest = new_code_cell(" \n" * 20_000 + "x = 1"), new_code_cell("import math")
    notebook, notes, *_ = taken_in(release, slow, honest)
    assert [cell.source for cell in notebook.cells if cell.id.startswith("extra")] == [slow.source, honest.source]
    assert "1 cell takes too long" in notes[0] and '<span class="kn">import</span>' in page_of(notebook)
    mine = solved(release, "Because.")
    mine.cells += [slow, honest]
    assert intake.code_digest(notebook) == intake.code_digest(intake.canonical(json.dumps(mine).encode(), release))


def test_a_long_honest_notebook_is_as_written(release):  # noqa: F811
    paragraph = (
        "Since **attention** weighs $q k^T$ by `softmax`, each head [sees](https://a.b) what it looks for. " * 300
    )
    fence = "```python\n" + "for i in range(10):\n    print(i, 'x' * i)\n" * 300 + "```"
    notebook, notes, *_ = taken_in(release, new_markdown_cell(paragraph), new_markdown_cell(fence))
    assert notes == [] and [c.source for c in notebook.cells[-2:]] == [paragraph, fence]
    assert notebook.metadata == release.metadata


def test_the_budget_is_spent_inside_one_regular_expression():
    import re

    with pytest.raises(rendering.TooSlow), rendering.within(0.2):
        re.match(r"(a+)+b", "a" * 60)
    with rendering.within(5):
        pass


def test_a_page_loads_no_picture_by_policy(release):  # noqa: F811
    assert page_of(solved(release)).count(f'content="{rendering.POLICY}"') == 1


def test_notes_and_reasons_name_no_picture(release):  # noqa: F811
    cell = record._notes_cell(["The file was called ![a](attachment:b.png)."])
    assert "![" not in cell.source
    page_of(nbformat.v4.new_notebook(cells=[cell, *intake.unreadable_notebook(release, "![a](attachment:b)").cells]))
