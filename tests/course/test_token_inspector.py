"""The token inspector: what it says is right, and the panel never stops a notebook."""

import pytest

from course.widgets import token_inspector as inspector

MERGES = [(b"t", b"h"), (b"th", b"e"), (b"t", b"he"), (b" ", b"c")]


def fixed(text, merges):
    """Longest match: enough for a test."""
    known, raw, ids = inspector.tokens_by_id(merges), text.encode(), []
    while raw:
        size = max(n for n in range(1, len(raw) + 1) if raw[:n] in known)
        ids.append(known.index(raw[:size]))
        raw = raw[size:]
    return ids


def test_a_result_that_comes_twice_has_one_id():
    assert inspector.tokens_by_id(MERGES)[256:] == [b"th", b"the", b" c"]


def test_pieces_join_to_the_text():
    found = inspector.pieces("the cat €", MERGES, fixed)
    assert b"".join(token for _, token in found).decode() == "the cat €"
    assert found[0] == (257, b"the") and found[1] == (258, b" c")
    assert [token for _, token in inspector.pieces("é", [])] == [b"\xc3", b"\xa9"]


def test_labels_show_what_can_not_be_read():
    assert [inspector.label(t) for t in (b" cat", b"\n", b"\xe2\x82", b"<")] == ["·cat", "⏎", "E2 82", "<"]
    assert "&lt;" in inspector.picture([(60, b"<")])


def test_the_sentence_counts():
    says = inspector.sentence("the €", inspector.pieces("the €", MERGES, fixed))
    assert "5 characters, 7 bytes, 5 tokens: 1.40 bytes a token" in says and "3 tokens are only part" in says


@pytest.mark.parametrize("broken", [lambda t, m: [1], lambda t, m: [9999], lambda t, m: 1 / 0, lambda t, m: None])
def test_a_wrong_encoder_is_named_and_replaced(broken, capsys):
    inspector.show("the", MERGES, encode=broken)
    out = capsys.readouterr().out
    assert "could not use your bpe_encode" in out and "3 tokens" in out


def test_text_and_slider_change_the_boxes():
    ipywidgets = pytest.importorskip("ipywidgets")
    box = inspector._panel(ipywidgets, "the cat", MERGES, fixed)
    (typed, count), words, boxes = box.children[0].children, box.children[1], box.children[2]
    assert "4 tokens" in words.value
    count.value = 0
    assert "7 tokens" in words.value
    before = boxes.value
    typed.value = "a"
    assert "1 tokens" in words.value and boxes.value != before
