"""Scores of heads and the panel that shows them: tables by hand, a model's attention, MiniLM's heads, the picture."""

import pytest
import torch

from course import data, gpt, heads, minilm
from course.errors import EnvironmentLacking

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
