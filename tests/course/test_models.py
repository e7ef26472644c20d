"""The given transformer: causal, trainable, and positions enter where the scheme says."""

import math

import pytest
import torch

from course import models

IDS = torch.arange(40).reshape(2, 20)


def model_of(**parts):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return models.SmallTransformer(models.Positions(**parts))


def test_the_future_has_no_effect():
    model, other = model_of(), IDS.clone()
    other[:, 12:] = 99
    torch.testing.assert_close(model(IDS)[:, :12], model(other)[:, :12])
    assert not torch.allclose(model(IDS)[:, 12:], model(other)[:, 12:])


def test_each_part_of_a_scheme_is_used():
    plain = model_of()(IDS)
    schemes = {
        "add": lambda T, D: torch.ones(T, D) * torch.arange(T)[:, None],
        "rotate": lambda x, positions: x * (1 + positions[:, None]),
        "bias": lambda H, T, S: torch.arange(S).expand(H, T, S).float(),
    }
    for name, part in schemes.items():
        assert not torch.allclose(model_of(**{name: part})(IDS), plain), name


def test_a_table_of_positions_is_trained_with_the_model():
    class Table(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.rows = torch.nn.Parameter(torch.ones(24, models.WIDTH))

        def forward(self, T, D):
            return self.rows[:T]

    table = Table()
    models.train_small(models.Positions(add=table), torch.arange(30).repeat(60), seed=3, steps=5, length=16)
    moved = (table.rows.detach() - 1).abs().amax(1)
    assert moved[:16].min() > 1e-3 > moved[16:].max()  # weight decay is all that reaches rows beyond the windows


def test_training_lowers_the_loss_and_repeats_itself():
    text = torch.arange(30).repeat(60)
    first, again = (models.train_small(models.Positions(), text, seed=3, steps=25, length=16) for _ in range(2))
    assert models.loss_at(first, text, 16, 1024) == models.loss_at(again, text, 16, 1024) < 2.5


def test_the_same_characters_are_scored_at_every_length():
    model = model_of()
    text = torch.randint(0, 128, (1025,), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = torch.nn.functional.cross_entropy(model(text[None, :1024])[0], text[1:1025])
    assert abs(models.loss_at(model, text, 1024, 1024) - expected.item()) < 1e-4


# parts that earlier units taught


def attention_pair(bias=0.4):
    """MultiHeadAttention and torch's, with the same random weights and biases."""
    ours, theirs = models.MultiHeadAttention(20, 5), torch.nn.MultiheadAttention(20, 5, batch_first=True)
    gen = torch.Generator().manual_seed(1)
    state = {name: torch.randn(t.shape, generator=gen) * bias for name, t in ours.state_dict().items()}
    ours.load_state_dict(state)
    packed = {f"in_proj_{p}": torch.cat([state[f"{n}.{p}"] for n in ("w_q", "w_k", "w_v")]) for p in ("weight", "bias")}
    theirs.load_state_dict(packed | {f"out_proj.{p}": state[f"w_o.{p}"] for p in ("weight", "bias")})
    return ours, theirs


def test_attention_is_torchs_with_the_same_weights():
    ours, theirs = attention_pair()
    x, memory = torch.randn(3, 6, 20), torch.randn(3, 4, 20)
    causal, keep = torch.ones(6, 6, dtype=torch.bool).tril(), torch.arange(4) < torch.tensor([4, 1, 3])[:, None]
    for got, want in (
        (ours(x), theirs(x, x, x, average_attn_weights=False)),
        (ours(x, causal), theirs(x, x, x, attn_mask=~causal, average_attn_weights=False)),
        (ours(x, keep[:, None, None], memory),
         theirs(x, memory, memory, key_padding_mask=~keep, average_attn_weights=False)),
    ):  # fmt: skip
        torch.testing.assert_close(got, want, atol=1e-5, rtol=1e-5)


def test_both_kinds_of_mask_say_the_same_and_an_empty_row_is_zero():
    ours, _ = attention_pair()
    x = torch.randn(2, 5, 20, requires_grad=True)
    mask = torch.rand(5, 5, generator=torch.Generator().manual_seed(2)) < 0.6
    mask[3] = False
    bias = torch.zeros(5, 5).masked_fill(~mask, -torch.inf)
    (out, weights), (other, _) = ours(x, mask), ours(x, bias)
    torch.testing.assert_close(out, other)
    assert not weights[..., 3, :].any() and not weights[..., ~mask].any()
    torch.testing.assert_close(weights.sum(-1)[..., [0, 1, 2, 4]], mask[[0, 1, 2, 4]].any(-1).float().expand(2, 5, 4))
    torch.testing.assert_close(out[:, 3], ours.w_o.bias.expand(2, 20))
    out.sum().backward()
    assert x.grad.isfinite().all() and ours.w_k.weight.grad.isfinite().all()


def test_a_finite_bias_is_added():
    ours, theirs = attention_pair()
    x, bias = torch.randn(2, 5, 20), 2 * torch.randn(5, 5)
    torch.testing.assert_close(ours(x, bias)[0], theirs(x, x, x, attn_mask=bias)[0], atol=1e-5, rtol=1e-5)


def test_attention_drops_weights_in_training_only():
    layer, x = models.MultiHeadAttention(12, 3, dropout=1.0), torch.randn(2, 4, 12)
    torch.testing.assert_close(layer(x)[0], layer.w_o.bias.expand(2, 4, 12))
    kept = layer.eval()(x)
    assert not torch.allclose(kept[0], layer.w_o.bias.expand(2, 4, 12))
    with pytest.raises(ValueError, match="multiple"):
        models.MultiHeadAttention(10, 3)


@pytest.mark.parametrize("length, width", [(1, 2), (7, 10), (300, 64)])
def test_sinusoids_are_the_papers(length, width):
    got = models.sinusoidal_encoding(length, width)
    assert got.shape == (length, width) and got.dtype == torch.float32
    for t, i in ((0, 0), (length - 1, 0), (length - 1, width // 2 - 1), (length // 2, width // 4)):
        angle = t / 10000 ** (2 * i / width)
        assert abs(float(got[t, 2 * i]) - math.sin(angle)) < 1e-6
        assert abs(float(got[t, 2 * i + 1]) - math.cos(angle)) < 1e-6
