"""The given transformer: causal, trainable, and positions enter where the scheme says."""

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
