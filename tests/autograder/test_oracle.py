"""The oracle against torch's own functions, and against what can be seen by eye."""

import math

import pytest
import torch
from torch.nn import functional as F

from autograder.authoring import oracle


@pytest.fixture
def qkv():
    gen = torch.Generator().manual_seed(3)
    return tuple(torch.randn(2, 3, n, d, generator=gen) * 2 for n, d in ((5, 8), (7, 8), (7, 4)))


def a_mask(*shape):
    mask = torch.rand(*shape, generator=torch.Generator().manual_seed(4)) < 0.5
    mask[..., 0] = True
    return mask


@pytest.mark.parametrize(
    "mask",
    [
        None,
        a_mask(5, 7),
        a_mask(2, 1, 1, 7),
        torch.zeros(5, 7).masked_fill(~a_mask(5, 7), -math.inf),
        torch.linspace(-4, 3, 35).reshape(5, 7),
    ],
    ids=["none", "bool", "padding", "float", "bias"],
)
def test_attention_equals_torchs_own(qkv, mask):
    out, weights = oracle.attention(*qkv, mask)
    wide = None if mask is None or mask.dtype == torch.bool else mask.double()
    given = mask if wide is None else wide
    expected = F.scaled_dot_product_attention(*(x.double() for x in qkv), given)
    assert torch.allclose(out.double(), expected, atol=1e-6)
    assert torch.allclose(weights.sum(-1), torch.ones(2, 3, 5))
    assert out.dtype == weights.dtype == torch.float32


def test_a_query_that_may_look_at_nothing_gets_zeros_and_finite_gradients(qkv):
    mask = a_mask(5, 7)
    mask[2] = False
    (out, weights), grads = oracle.gradients(
        lambda *x: oracle.attention(*x, mask), qkv, (torch.ones(2, 3, 5, 4), torch.ones(2, 3, 5, 7))
    )
    assert not out[:, :, 2].any() and not weights[:, :, 2].any()
    assert all(g.isfinite().all() for g in grads)
    assert not grads[0][:, :, 2].any() and grads[0][:, :, 1].any()


def test_gradients_equal_torchs_own(qkv):
    cotangent = torch.randn(2, 3, 5, 4, generator=torch.Generator().manual_seed(5))
    _, grads = oracle.gradients(lambda *x: oracle.attention(*x)[0], qkv, [cotangent])
    leaves = [x.double().requires_grad_() for x in qkv]
    F.scaled_dot_product_attention(*leaves).backward(cotangent.double())
    for got, leaf in zip(grads, leaves, strict=True):
        assert torch.allclose(got.double(), leaf.grad, atol=1e-5)


def test_multi_head_attention_equals_torchs_module():
    gen = torch.Generator().manual_seed(6)
    D, heads = 12, 3
    x, memory = torch.randn(2, 4, D, generator=gen).double(), torch.randn(2, 6, D, generator=gen).double()
    theirs = torch.nn.MultiheadAttention(D, heads, batch_first=True, dtype=torch.float64)
    w, b = theirs.in_proj_weight.detach().chunk(3), torch.randn(3 * D, generator=gen).double()
    theirs.in_proj_bias.data = b
    state = {f"w_{n}.weight": part for n, part in zip("qkv", w, strict=True)}
    state |= {f"w_{n}.bias": part for n, part in zip("qkv", b.chunk(3), strict=True)}
    state |= {"w_o.weight": theirs.out_proj.weight.detach(), "w_o.bias": theirs.out_proj.bias.detach()}
    keep = oracle.padding_mask(torch.tensor([6, 3]), 6)
    expected = theirs(x, memory, memory, key_padding_mask=~keep[:, 0, 0], average_attn_weights=False)
    got = oracle.multi_head_attention(x, memory, state, heads, keep)
    assert torch.allclose(got[0], expected[0], atol=1e-12) and torch.allclose(got[1], expected[1], atol=1e-12)


def test_masks_by_eye():
    assert oracle.causal_mask(2, 4).tolist() == [[True, True, True, False], [True] * 4]
    assert oracle.padding_mask(torch.tensor([2, 0]), 3).tolist() == [[[[True, True, False]]], [[[False] * 3]]]
    both = oracle.all_of(oracle.causal_mask(2, 2), torch.tensor([[[[True, False]]]]))
    assert both.tolist() == [[[[True, False], [True, False]]]]


def test_heads_by_eye():
    x = torch.arange(8.0).reshape(1, 2, 4)
    split = oracle.split_heads(x, 2)
    assert split.tolist() == [[[[0, 1], [4, 5]], [[2, 3], [6, 7]]]]
    assert torch.equal(oracle.merge_heads(split), x)


def test_entropy_sink_and_cost_by_hand():
    weights = torch.tensor([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]], dtype=torch.float64)
    assert oracle.attention_entropy(weights).tolist() == pytest.approx([math.log(2), 0.0])
    assert oracle.sink_mass(weights.expand(3, 2, 2, 3), first=1).tolist() == [1.0, 1.0]
    cost = oracle.attention_cost(10, 8, 2)
    assert cost == {
        "projection_flops": 8 * 10 * 64, "score_flops": 1600, "mix_flops": 1600, "score_bytes": 800, "kv_bytes": 640
    }  # fmt: skip
