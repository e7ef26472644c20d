"""The head explorer: the hand-built heads look where they should, and the panel never stops a notebook."""

import xml.etree.ElementTree as ET

import pytest
import torch

from course.widgets import attention_explorer as explorer

TOKENS = "<s> a b c a b".split()


def test_heads_look_where_their_rule_says():
    heads = explorer.head_weights(TOKENS)
    looks = {name: weights.argmax(-1).tolist() for name, weights in heads.items()}
    assert looks == {
        "previous token": [0, 0, 1, 2, 3, 4],
        "same token": [0, 0, 0, 0, 1, 2],
        "induction": [0, 0, 0, 0, 2, 3],
    }
    for weights in heads.values():
        assert torch.allclose(weights.sum(-1), torch.ones(6)) and not weights.triu(1).any()
    nothing_to_find = heads["same token"][3]
    assert nothing_to_find[0] > 0.9, "a query without any match rests on the first token"


def test_the_learners_attention_is_used():
    def attend(q, k, v, mask):
        return v, torch.eye(len(q))

    assert torch.equal(explorer.head_weights(TOKENS, attend)["induction"], torch.eye(6))


@pytest.mark.parametrize("weights", [torch.zeros(2, 2), torch.full((6, 6), float("nan"))], ids=["shape", "nan"])
def test_a_wrong_attention_is_named_and_replaced(weights, capsys):
    explorer.show(TOKENS, attend=lambda q, k, v, mask: (v, weights))
    assert "could not use your attention" in capsys.readouterr().out


def test_the_picture_is_valid_svg_and_escapes_tokens():
    heads = explorer.head_weights(["<s>", "&", '"x"'])
    root = ET.fromstring(explorer.picture(["<s>", "&", '"x"'], heads["previous token"], 2))
    texts = [node.text for node in root.iter() if node.tag.endswith("text")]
    assert {"<s>", "&", '"x"'} <= set(texts)
    assert "looks most at key 1" in root[0].text


def test_dropdown_and_slider_change_the_picture():
    ipywidgets = pytest.importorskip("ipywidgets")
    box = explorer._panel(ipywidgets, TOKENS, explorer.head_weights(TOKENS), "induction", 4)
    (head, token), text, image = box.children[0].children, box.children[1], box.children[2]
    before = image.value
    assert "position 2" in text.value
    token.value = 5
    assert "position 3" in text.value and image.value != before
    head.value = "previous token"
    assert "position 4" in text.value


def test_too_many_tokens_is_said_in_one_sentence():
    with pytest.raises(ValueError, match="2 to 24 tokens, these are 25"):
        explorer.show(["x"] * 25)
