"""The text: what is gathered from a source, which side it goes to, and that the sides have nothing in common."""

import random

import numpy as np
import pytest

from training import corpus
from training.corpus import Document

SOURCE = '''
"""What the module does, said in a sentence that is long enough to count as a document."""

class Box:
    """Holds things.

        Indented where the author liked it, and long enough to be kept by the rule.
    """

    async def open(self):
        """Too short."""

    def close(self):
        "The box is closed, and what was in it stays in it until somebody opens it again."
        def inner():
            """A function in a function is documented, too, and its name says where it stands."""

add_docstr(torch.absolute, r"""absolute(input) -> Tensor, described in a call because it is written in C.""" + more)
add_newdoc("numpy", "ndarray", ("shape", """Tuple of the dimensions of an array, described in a call because of C."""))
name = "A string that is no docstring, however long it may be and whatever it may say about itself."
'''


def test_what_documents_something_is_gathered_and_nothing_else():
    found = [text.split("\n\n", 1) for text in corpus.docstrings(SOURCE.encode(), "shop")]
    assert [name for name, _ in found] == [
        "shop", "shop.Box", "shop.Box.close", "shop.Box.close.inner", "torch.absolute", "numpy.ndarray.shape",
    ]  # fmt: skip
    assert found[1][1] == "Holds things.\n\nIndented where the author liked it, and long enough to be kept by the rule."
    assert found[4][1].startswith("absolute(input)") and found[5][1].startswith("Tuple")


@pytest.mark.parametrize("source", [b"def f(:", b"\0", b"\xff\xfe"])
def test_a_source_that_is_broken_documents_nothing(source):
    assert list(corpus.docstrings(source, "broken")) == []


def test_a_package_is_read_without_its_tests(tmp_path):
    for name in ("__init__.py", "shelf/books.py", "tests/test_books.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f'"""{"A sentence about books. " * 5}"""')
    found = list(corpus.of_package("shop", tmp_path, "shop."))
    assert [(d.source, d.group, d.text.split("\n")[0]) for d in found] == [
        ("shop", "shop", "shop"),
        ("shop", "shop.shelf.books", "shop.shelf.books"),
    ]


def test_all_files_of_a_transformers_model_are_held_out_together():
    assert corpus.group_of("transformers.models.bert.modeling_bert") == "transformers.models.bert"
    assert corpus.group_of("transformers.trainer") == "transformers.trainer"
    assert corpus.group_of("torch.nn.modules.linear") == "torch.nn.modules.linear"


def test_about_one_group_in_twenty_is_held_out_and_always_the_same():
    groups = [f"torch.module{n}" for n in range(4000)]
    held = [group for group in groups if corpus.held_out(group)]
    assert 0.04 < len(held) / 4000 < 0.06
    assert [corpus.held_out(name) for name in ("topics.for", "topics.binary", "numpy.fft._pocketfft")] == [
        False, True, False,
    ]  # fmt: skip


def sentence(rng, words=9):
    return " ".join("".join(rng.choices("abcdefghij", k=rng.randint(3, 9))) for _ in range(words)) + "."


def a_corpus(rng, documents=60):
    """Documents of random paragraphs, of which some are quoted elsewhere: whole, in part, or broken into lines."""
    pool = [sentence(rng, 14) for _ in range(40)]
    made = []
    for number in range(documents):
        parts = [sentence(rng, rng.randint(2, 20)) for _ in range(rng.randint(1, 5))]
        for _ in range(rng.randint(0, 2)):
            quoted = rng.choice(pool)
            start = rng.choice([0, 0, 7])
            quoted = quoted[start:].replace(" ", rng.choice([" ", "\n    "]))
            parts.insert(rng.randint(0, len(parts)), rng.choice(["", "See "]) + quoted)
        made.append(Document("made", f"group{number}", "\n\n".join(parts)))
    return made


@pytest.mark.parametrize("seed", range(4))
def test_the_sides_share_no_stretch_and_little_else_is_cut(seed):
    found = a_corpus(random.Random(seed))
    sides = corpus.Corpus([], [])
    for document in found:
        sides[int(document.group[5:]) % 4 == 0].append(document)
    kept = corpus.without_shared(*sides)
    assert corpus.shared(*sides) > 200 and corpus.shared(kept, sides.held) == 0
    lost = {p for d in sides.train for p in corpus.paragraphs(d.text)} - {
        p for d in kept for p in corpus.paragraphs(d.text)
    }
    flat = " | ".join(corpus.collapsed(d.text) for d in sides.held)
    long = [p for p in map(corpus.collapsed, lost) if len(p) >= corpus.LEAST]  # a shorter rest of a document goes too
    for paragraph in long:  # each holds the middle of a stretch, so half of one at least
        halves = (paragraph[i : i + 24] for i in range(len(paragraph) - 23))
        assert any(half in flat for half in halves)


def test_a_stretch_across_two_paragraphs_is_cut():
    held = [Document("made", "a", "The first half of a long sentence\nand the second half of the very same.")]
    one, other, rest = "The first half of a long sentence", "and the second half of the very same.", "xy " * 30
    train = [Document("made", "b", "\n\n".join((one, other, rest)))]
    assert [d.text for d in corpus.without_shared(train, held)] == [rest]


def test_a_stretch_that_a_cut_brings_together_is_cut_too():
    one, other, rest = "The first half of a long sentence", "and the second half of the very same.", "xy " * 30
    quoted = "Something that stands on both sides, word for word, all of it."
    held = [Document("made", "a", f"{one}\n{other}\n\n{quoted}")]
    train = [Document("made", "b", "\n\n".join((one, quoted, other, rest)))]
    kept = corpus.without_shared(train, held)
    assert corpus.shared(kept, held) == 0 and kept[0].text.endswith(rest)


def test_paragraphs_count_once_in_the_whole_corpus():
    long, other = (
        "A paragraph of fifty characters or more, said twice here.",
        "Another one, also of fifty characters or more.",
    )
    found = [
        Document("made", "a", f"{long}\n\n{other} First."),
        Document("made", "b", f"{long}\n\nShort.\n\nShort. {other} x"),
    ]
    texts = [d.text for d in corpus.unrepeated(found)]
    assert texts[0] == found[0].text and texts[1] == f"Short.\n\nShort. {other} x"
    assert [d.text for d in corpus.unrepeated(found[:1] * 2)] == [found[0].text]


def test_a_name_alone_is_no_document():
    name, text = (
        "a.module.with.a.very.long.name.and.a.class.in.it.and.a.method",
        "Said of two methods, in the same words. " * 2,
    )
    found = [Document("made", "a", f"{name}{n}\n\n{text}") for n in range(2)]
    assert [d.text for d in corpus.unrepeated(found)] == [found[0].text]


def test_equal_stretches_have_equal_hashes_wherever_they_stand():
    rng = random.Random(8)
    text = "".join(rng.choices("ab é東\U0001f600", k=700))
    at = corpus.hashes(text)
    assert len(at) == 651 and len(set(at.tolist())) == len({text[i : i + 50] for i in range(651)})
    assert np.array_equal(
        corpus.hashes("xyz" + text[40:300]), np.concatenate((corpus.hashes("xyz" + text[40:89]), at[40:251]))
    )
    assert len(corpus.hashes("x" * 49)) == 0 and len(corpus.hashes("x" * 50)) == 1


def test_joined_documents_end_with_the_byte_0():
    assert corpus.joined([Document("made", "a", "é"), Document("made", "b", "x")]) == "é\0x\0".encode()


@pytest.mark.slow
def test_the_real_text_shares_no_stretch():
    found = corpus.corpus()
    assert corpus.shared(found.train, found.held) == 0
    amounts = corpus.sizes(found)
    assert set(amounts) == {"topics", "python", "numpy", "torch", "transformers"}
    assert sum(row["train"] for row in amounts.values()) > 8e6 and sum(row["held"] for row in amounts.values()) > 5e5
