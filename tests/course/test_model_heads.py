"""Scores of heads and the panel that shows them: tables by hand, a model's attention, MiniLM's heads, the picture."""

import re
import xml.etree.ElementTree as ET

import pytest
import torch

from course import data, gpt, heads, minilm
from course.errors import EnvironmentLacking
from course.widgets import model_heads

SMALL = gpt.Config(
    vocabulary=50, width=24, layers=3, heads=6, kv_heads=2, head_width=8, hidden=40, context=16, window=5,
    full_layers=(1,),
)  # fmt: skip
TOKENS = ["[CLS]", "a", "b", "c", "[SEP]"]


def random_attention(*shape, seed=1):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).softmax(-1)


# scores


def test_scores_are_the_means_they_say():
    readings = [(TOKENS, random_attention(2, 3, 5, 5)), (["x", "y"], random_attention(2, 3, 2, 2, seed=2))]
    first, second = readings[0][1], readings[1][1]
    back = (first[:, :, 2, 1] + first[:, :, 3, 2] + second[:, :, 1, 0]) / 3
    torch.testing.assert_close(heads.previous_token_scores(readings), back)
    marks = sum(first[:, :, t, s] for t in (1, 2, 3) for s in (0, 4)) / 5  # two queries of the second text see no mark
    torch.testing.assert_close(heads.separator_scores(readings), marks)


def test_perfect_heads_score_1_and_the_others_0():
    T = len(TOKENS)
    back = torch.eye(T).roll(1, 0)
    mark = torch.zeros(T, T)
    mark[:, 0], mark[:, -1] = 0.25, 0.75
    readings = [(TOKENS, torch.stack((back, mark, torch.eye(T)))[None])]
    assert heads.previous_token_scores(readings).tolist() == [[1, 0, 0]]
    assert heads.separator_scores(readings)[0, 1:].tolist() == [1, 0]


def test_which_tokens_are_marks_can_be_said():
    readings = [(["<begin>", "a", "b"], random_attention(1, 1, 3, 3))]
    assert float(heads.separator_scores(readings)) == 0
    found = heads.separator_scores(readings, marks=["<begin>"])
    torch.testing.assert_close(found[0, 0], readings[0][1][0, 0, 1:, 0].mean())


def test_texts_without_a_query_to_ask_are_refused_in_a_sentence():
    readings = [(["[CLS]", "[SEP]"], random_attention(1, 1, 2, 2)), (["a"], torch.ones(1, 1, 1, 1))]
    with pytest.raises(ValueError, match="nothing but marks, or one token each"):
        heads.previous_token_scores(readings)


def test_strongest_heads_come_first():
    scores = torch.tensor([[0.1, 0.9], [0.5, 0.2]])
    assert [(layer, head) for layer, head, _ in heads.strongest(scores)] == [(0, 1), (1, 0), (1, 1), (0, 0)]
    assert heads.strongest(scores, least=0.5) == [(0, 1, pytest.approx(0.9)), (1, 0, 0.5)]


# models


def test_the_attention_of_the_courses_model_is_what_it_mixes_with():
    torch.manual_seed(4)
    model = gpt.GPT(SMALL).eval()
    ids = torch.arange(11)
    before = model(ids[None])
    found = heads.gpt_attention(model, ids)
    assert found.shape == (3, 6, 11, 11) and found.dtype == torch.float32
    torch.testing.assert_close(found.sum(-1), torch.ones(3, 6, 11))
    assert not found.triu(1).any() and not found[0].tril(-5).any() and found[1].tril(-5).any()
    assert torch.equal(model(ids[None]), before), "the model is as it was"
    layer, seen = model.layers[0].self_attn, {}
    layer.o_proj.register_forward_pre_hook(lambda _, given: seen.update(mixed=given[0]))
    layer.v_proj.register_forward_hook(lambda _, __, out: seen.update(v=out))
    model(ids[None])
    v = seen["v"].view(11, 2, 8).transpose(0, 1).repeat_interleave(3, 0)  # (H, T, d)
    torch.testing.assert_close(seen["mixed"].view(11, 6, 8).transpose(0, 1), found[0] @ v, atol=1e-6, rtol=1e-5)


def test_a_model_that_fails_is_put_back():
    model = gpt.GPT(SMALL)
    parts = [layer.self_attn.parts for layer in model.layers]
    with pytest.raises(IndexError):
        heads.gpt_attention(model, [50])
    assert [layer.self_attn.parts for layer in model.layers] == parts


def test_minilm_has_a_previous_token_head_and_a_separator_head():
    try:
        minilm.folder()
    except EnvironmentLacking:
        pytest.skip(f"MiniLM is not installed: {minilm.INSTALL}")
    topics = (data.prose()[name] for name in ("for", "while", "class", "try"))
    readings = [minilm.attention(text, longest=96) for text in topics]
    previous, separator = heads.previous_token_scores(readings), heads.separator_scores(readings)
    assert previous.shape == separator.shape == (6, 12)
    (layer, head, score), *others = heads.strongest(previous)
    assert (layer, head) == (0, 2) and score > 0.95 and others[0][2] < 0.7
    (layer, head, score), *_ = heads.strongest(separator)
    assert layer > 0 and score > 0.6, "two of 96 keys take most of the attention"
    assert float(separator[0].max()) < 0.2, "in the first layer no head does that"


# the panel


def texts_of(svg: str) -> list[str]:
    return [node.text for node in ET.fromstring(svg).iter() if node.tag.endswith("text")]


def lines_of(svg: str) -> list[dict]:
    return [node.attrib for node in ET.fromstring(svg).iter() if node.tag.endswith("line")]


def panel(tokens, attention):
    ipywidgets = pytest.importorskip("ipywidgets")
    weights = model_heads.checked(tokens, attention)
    box = model_heads._panel(ipywidgets, tokens, weights, model_heads.scores(tokens, weights))
    (score, query), (layer, head) = box.children[0].children, box.children[1].children
    return score, query, layer, head, box.children[2], box.children[3]


def test_tables_of_an_encoder_and_of_a_causal_model():
    attention = random_attention(2, 3, 5, 5)
    tables = model_heads.scores(TOKENS, attention)
    assert list(tables) == ["previous token", "first token", "own token", "marks"]
    torch.testing.assert_close(tables["first token"], attention[..., 1:, 0].mean(-1))
    torch.testing.assert_close(tables["own token"][1, 2], attention[1, 2].diagonal()[1:].mean())
    torch.testing.assert_close(tables["marks"], heads.separator_scores([(TOKENS, attention)]))
    assert list(model_heads.scores(["a", "b"], random_attention(1, 1, 2, 2))) == list(tables)[:3]
    assert list(model_heads.scores(["[CLS]", "[SEP]"], random_attention(1, 1, 2, 2))) == list(tables)[1:3]


def test_the_picture_shows_every_head_and_the_lines_of_the_one_that_is_chosen():
    tokens, attention = ["<s>", "&", "a b\n", "a very long token"], torch.full((2, 3, 4, 4), 0.01)
    attention[1, 2, 3, 1], attention[1, 2, 0, 2] = 0.97, 0.5
    table = torch.arange(6).view(2, 3) / 10
    svg = model_heads.picture(tokens, attention, table, (1, 2), query=3)
    root = ET.fromstring(svg)
    shades = [n.attrib["fill-opacity"] for n in root.iter() if n.tag.endswith("rect") and n.attrib["fill"] != "none"]
    assert shades == ["0.000", "0.100", "0.200", "0.300", "0.400", "0.500"]
    assert {"<s>", "&", "a·b↵", "a·very·long…"} <= set(texts_of(svg))
    faint, strong = lines_of(svg)
    assert float(strong["stroke-width"]) > 4 and float(strong["stroke-opacity"]) > 0.9
    assert float(faint["stroke-opacity"]) < 0.2
    assert float(faint["y1"]) < float(strong["y1"]) and float(faint["y2"]) > float(strong["y2"])
    assert root.attrib["role"] == "img" and "Layer 1, head 2 scores 0.50; the highest is 0.50" in root[0].text
    assert "97 % on '&' (position 1)" in root[0].text
    assert float(root.attrib["width"]) <= 700


def test_a_model_as_wide_as_minilm_fits_a_page_of_700_pixels():
    tokens = [str(n) for n in range(30)]
    svg = model_heads.picture(tokens, random_attention(6, 12, 30, 30), torch.rand(6, 12), (0, 0), 3)
    assert float(ET.fromstring(svg).attrib["width"]) <= 700


def test_every_control_has_a_name_and_changes_the_picture():
    attention = random_attention(3, 4, 5, 5)
    attention[2, 1] = torch.eye(5).roll(1, 0)
    score, query, layer, head, text, image = panel(TOKENS, attention)
    assert [control.description for control in (score, query, layer, head)] == ["score", "query", "layer", "head"]
    assert (layer.value, head.value, query.value) == (2, 1, 3) and "scores 1.00" in text.value
    seen = {image.value}
    for control, value in ((query, 1), (layer, 0), (head, 3), (score, "own token")):
        control.value = value
        assert image.value not in seen
        seen.add(image.value)
    own = model_heads.scores(TOKENS, attention)["own token"]
    assert (layer.value, head.value) == heads.strongest(own)[0][:2], "a new score begins at its strongest head"


@pytest.mark.parametrize("causal", [False, True])
def test_any_models_attention_is_shown_and_outside_a_notebook_in_a_sentence(capsys, causal):
    torch.manual_seed(2)
    tokens = list("a model")
    attention = heads.gpt_attention(gpt.GPT(SMALL).eval(), range(7)) if causal else random_attention(2, 3, 7, 7)
    assert model_heads.show(tokens, attention.to(torch.bfloat16)) is None
    said = capsys.readouterr().out
    assert said.startswith("Layer ") and "Position 6, 'l', reads" in said and said.count("\n") == 1


def test_a_query_that_reads_a_little_of_everything_is_told_so():
    said = model_heads.words(["x"] * 40, torch.full((1, 1, 40, 40), 0.02), torch.ones(1, 1), (0, 0), 39)
    assert said.endswith("reads: a little of much, 2 % of one key at most.")


NOT_SHOWN = {
    "2 to 40 tokens, these are 41": (["x"] * 41, torch.ones(1, 1, 41, 41)),
    "must be (layers, heads, 2, 2) for 2 tokens; it is (1, 2, 2)": (["x"] * 2, torch.ones(1, 2, 2)),
    "for 3 tokens; it is (1, 1, 2, 2)": (["x"] * 3, torch.ones(1, 1, 2, 2)),
    "up to 48 layers and 32 heads, not 1 and 33": (["x"] * 2, torch.ones(1, 33, 2, 2)),
    "between 0 and 1; some are not": (["x"] * 2, torch.randn(1, 1, 2, 2) * 9),
    "0 and 1; some are not": (["x"] * 2, torch.full((1, 1, 2, 2), torch.nan)),
}


@pytest.mark.parametrize("says", NOT_SHOWN)
def test_what_cannot_be_shown_is_said(says):
    with pytest.raises(ValueError, match=re.escape(says)):
        model_heads.show(*NOT_SHOWN[says])


def test_a_page_without_a_kernel_has_the_picture(monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.get_ipython", object)
    monkeypatch.setattr("IPython.display.display", lambda bundle, raw: shown.append(bundle))
    model_heads.show(TOKENS, random_attention(2, 3, 5, 5), "a random model")
    (bundle,) = shown
    assert bundle["image/svg+xml"].startswith("<svg")
    assert bundle["text/plain"].startswith("heads of a random model: Layer")
