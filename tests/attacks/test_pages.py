"""What a hand-in does to the pages that people open, and what it tells of the numbers that it was judged on.

THREATS.md, lines 19, 24 and 25. All hand-ins are one class: graded, recorded, and shown as feedback.
"""

# ruff: noqa: E501 - hand-ins are programs in strings

import base64
import html.parser
import re

import nbformat
import pytest
from attack_class import Attack, Class, cell_of, check_verdict, unit_of

from autograder.classroom import record, rendering
from course.checking import verdict as verdicts

UNIT = "02_attention"
POINTS = unit_of(UNIT).points
MASK, SOFTMAX = "causal_mask", "stable_softmax"
QUESTION = "explain-why_many_heads"
PNG = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==")
WEBP = b"RIFF\x1a\0\0\0WEBPVP8L\r\0\0\0/\0\0\0\x10\x07\x10\x11\x11\x88\x88\xfe\x07\0"
FULL = {MASK: float(POINTS[MASK])}


def answers(text, name="", mime="image/png", data=PNG):
    """The written answer, with a picture."""

    def change(notebook):
        at = notebook.cells.index(cell_of(notebook, QUESTION)) + 1
        notebook.cells[at].source = text
        if name:
            notebook.cells[at].attachments = {name: {mime: base64.b64encode(data).decode()}}

    return change


def adds(*cells):
    def change(notebook):
        for number, (kind, text) in enumerate(cells):
            made = nbformat.v4.new_code_cell(text) if kind == "code" else nbformat.v4.new_markdown_cell(text)
            notebook.cells.append(nbformat.from_dict({**made, "id": f"added-{number}"}))

    return change


def slow(name, why, *cells):
    return Attack(name, 25, why, solved=(MASK,), change=adds(*cells), scores=FULL)


def shows(name, why, text):
    return Attack(name, 24, why, solved=(MASK,), change=answers(text), scores=FULL)


TAKES = "def digits(x):\n    return 'leak' + ''.join(str(int(abs(v) * 1000)) for v in x.double().flatten().tolist()[:9])\n"


def tells(name, why, body, before=(), **more):
    """An attack from stable_softmax, which is called with secret numbers."""
    write = {SOFTMAX: f"{TAKES}def stable_softmax(x, dim=-1):\n{body}\n"}
    return Attack(name, 19, why, solved=(MASK,), write=write, before=before, scores=FULL, **more)


ATTACKS = [
    slow("brackets", "opening brackets", *[("markdown", "[" * 50_000)] * 4),
    slow("display_math", "formulas that never end", *[("markdown", "\\\\[" * 40_000)] * 4),
    slow("pictures_open", "pictures that never end", *[("markdown", "![a]" * 40_000)] * 4),
    slow("many_slow_cells", "a thousand cells, each a little slow", *[("markdown", "`a[" * 700)] * 1000),
    slow("slow_fence", "the highlighter, in a fence of the answer", *[("markdown", "```ipython3\n" + " \n" * 40_000 + "```")] * 4),
    slow("slow_code", "the highlighter, in code", ("code", " \n" * 60_000 + "x = 1"), ("code", "***a" * 20_000)),
    slow("slow_magic", "the highlighter of another language", ("code", "%%R\n" + "'" * 200_000)),
    slow("slow_entities", "signs that HTML writes as entities", ("code", "<" * 400_000), *[("code", "\"'&" * 3_000)] * 60),
    shows("network_inline", "a picture from the network", "See ![x](https://evil.example/x.png) and ![y](//evil.example/y.png)."),
    shows("network_reference", "by reference, inside a link", "[![x][b]](https://a.b) ![b][]\n\n[b]: https://evil.example/x.png 'x'"),
    shows("network_hidden", "escaped, encoded, behind pictures of one's own",
          "![x](&#104;ttps://evil.example/x) !![x](\\https://evil.example/x) ![a `](attachment:p)`](https://evil.example/x)"),
    shows("network_styles", "through a formula's style", "&#36;\\s&#116;yle{background:url(//evil.example/x)}{x}&#36; $\\bbox[background:url(//evil.example/x)]{x}$"),
    shows("no_such_picture", "a picture that is nowhere", "![x](attachment:nowhere.png) ![y](&#97;ttachment:nowhere.png)"),
    tells("exception_name", "the name of an exception", "    raise type(digits(x), (Exception,), {})(digits(x))", states={SOFTMAX: "failed"}),
    tells("subject_error", "the grader's own exception, with words", "    from course.checking.subject import SubjectError\n    raise SubjectError('raised', digits(x) * 9, digits(x))"),
    tells("not_implemented", "the words of a stub", "    if x.dim() > 99: return x\n    raise NotImplementedError(digits(x))"),
    tells("type_name", "the name of a type", "    return type(digits(x), (), {})()"),
    tells("key_type", "the name of a type, of a key", "    return {type(digits(x), (), {})(): x}"),
    tells("argument_names", "the names of arguments that changed",
          "    import gc\n    for desk in gc.get_objects():\n        if type(desk).__name__ == 'LocalSubject':\n"
          "            desk.__class__ = type('Told', (type(desk),), {'mutated': property(lambda self: [digits(x)], lambda self, value: None)})\n    return x"),
    tells("message", "the message of an exception", "    raise ValueError(digits(x))"),
    tells("writes_it_down", "a file that later cells print", "    open('/tmp/seen', 'a').write(digits(x))\n    open('/dev/shm/seen', 'a').write(digits(x))\n    return x",
          before=("import glob\nprint([open(p).read() for p in glob.glob('/tmp/seen') + glob.glob('/dev/shm/seen')])",)),
]  # fmt: skip
MINE = "class TooWide(ValueError):\n    pass\n\n\ndef stable_softmax(x, dim=-1):\n"
RIGHT = "    if x.dim() > 99:\n        raise TooWide('x has too many dimensions')\n    e = (x - x.amax(dim, keepdim=True)).exp()\n    return e / e.sum(dim, keepdim=True)\n"
PARAGRAPH = "Each **head** weighs $q k^T / \\sqrt{d}$ by its own `softmax`, so that [it](https://a.b) looks elsewhere. " * 60
HONEST = [
    Attack("small_picture", 0, "a picture", solved=(MASK,), scores=FULL, change=answers("See ![p](attachment:p.png)", "p.png")),
    Attack("comma", 0, "a comma in the name", solved=(MASK,), scores=FULL, change=answers("![p](attachment:plot,final.png)", "plot,final.png")),
    Attack("webp", 0, "a webp", solved=(MASK,), scores=FULL, change=answers("![p](attachment:p.webp)", "p.webp", "image/webp", WEBP)),
    Attack("large_picture", 0, "a picture of 3 MB", solved=(MASK,), scores=FULL, change=answers("![p](attachment:p.png)", "p.png", data=PNG + b"0" * 3_000_000)),
    Attack("too_large", 0, "a picture that is too large", solved=(MASK,), scores=FULL, change=answers("Mine: ![p](attachment:p.png)", "p.png", data=PNG + b"0" * 5_000_000)),
    Attack("paragraph", 0, "a long paragraph", solved=(MASK,), scores=FULL, change=answers(PARAGRAPH)),
    Attack("fence", 0, "code in the answer", solved=(MASK,), scores=FULL, change=answers("```python\ndef f(x):\n    return x\n```\n\nand `f(x)`")),
    Attack("own_exception", 0, "an exception class of one's own", solved=(MASK,), write={SOFTMAX: MINE + RIGHT}, scores=FULL | {SOFTMAX: float(POINTS[SOFTMAX])}),
    Attack("raises_it", 0, "and it is raised", solved=(MASK,), write={SOFTMAX: MINE + RIGHT.replace("> 99", "> 0")}, scores=FULL, says="it raised TooWide"),
]  # fmt: skip


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    group = Class(tmp_path_factory.mktemp("pages"), UNIT, [*ATTACKS, *HONEST]).run()
    assert group.record() == {}
    assert record.generate_feedback(group.folder, UNIT) == {}
    return group


def page(graded, student):
    return (graded.folder.feedback / student / UNIT / "attention.html").read_text("utf-8")


class _Loads(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attributes):
        self.found += [(tag, name, value) for name, value in attributes if "evil" in (value or "") and tag != "a"]
        self.found += [(tag, name, value) for name, value in attributes if tag == "img" and name == "src" and not (value or "").startswith("data:")]


@pytest.mark.parametrize("attack", [*ATTACKS, *HONEST], ids=lambda a: a.name)
def test_the_score_is_what_the_code_deserves(graded, attack):
    check_verdict(attack, graded.verdicts[attack.name])


@pytest.mark.parametrize("attack", [*ATTACKS, *HONEST], ids=lambda a: a.name)
def test_no_page_loads_anything(graded, attack):
    reader = _Loads()
    text = page(graded, attack.name)
    reader.feed(text)
    assert reader.found == [] and rendering.POLICY in text
    assert not re.search(r"\\(?:style|bbox)[{\[]", text)


@pytest.mark.parametrize("attack", [a for a in ATTACKS if a.line == 19], ids=lambda a: a.name)
def test_no_secret_number_comes_back(graded, attack):
    said = verdicts.encode(graded.verdicts[attack.name]).decode()
    assert not re.search(r"leak[\d_]", said), re.findall(r".{0,60}leak[\d_].{0,60}", said)[:3]


def test_the_honest_see_their_pictures(graded):
    for name in ("small_picture", "comma", "webp", "large_picture"):
        assert page(graded, name).count('src="data:image/') == 1 and graded.verdicts[name].notes == []
    assert "[picture p.png left out: larger than 4 MB]" in page(graded, "too_large")
    assert graded.verdicts["too_large"].notes == ["The picture p.png was left out: larger than 4 MB."]
    assert not any(graded.verdicts[name].notes for name in ("paragraph", "fence", "own_exception"))
    assert page(graded, "paragraph").count("looks elsewhere") == 60 and '<span class="k">def</span>' in page(graded, "fence")


def test_the_slow_are_told(graded):
    told = {attack.name: graded.verdicts[attack.name].notes for attack in ATTACKS if attack.line == 25}
    assert all(any("too long to show" in note for note in told[name]) for name in ("display_math", "slow_fence", "slow_code"))


def test_a_page_that_is_still_slow_costs_that_student_only(graded, monkeypatch):
    monkeypatch.setattr(record, "PAGE_SECONDS", 0.3)
    found = record.generate_feedback(graded.folder, UNIT, ["brackets"])
    assert "took longer than 0.3 s" in found["brackets"]
    assert not (graded.folder.feedback / "brackets" / UNIT / "attention.html").exists()
    monkeypatch.undo()
    assert record.generate_feedback(graded.folder, UNIT, ["brackets", "comma"]) == {}
