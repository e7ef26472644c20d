"""The mock translator: it says what its table says, and sees neither the future nor another row."""

import pytest
import torch

from course.mocks import ScriptedLanguageModel, ScriptedModel, ScriptedRuler


def model(states=11, words=6):
    return ScriptedModel(torch.arange(states * words).reshape(states, words).float()).eval()


def test_logits_are_rows_of_the_table():
    logits = model()(torch.tensor([[3, 4, 0]]), torch.tensor([[1, 5]]))
    first = (5 * 7 + 1 + 1) % 11
    second = (5 * first + 5 + 1) % 11
    assert (logits[0, :, 0] / 6).tolist() == [first, second]


def test_a_position_sees_nothing_later_and_no_other_row():
    source, target = torch.tensor([[3, 4], [5, 1]]), torch.tensor([[1, 3, 4], [1, 5, 5]])
    before = model()(source, target)
    target[0, 2], source[1, 0] = 5, 2
    after = model()(source, target)
    assert torch.equal(after[0, :2], before[0, :2]) and not torch.equal(after[1], before[1])


def test_padding_of_the_source_is_wrong_unless_it_is_hidden():
    m = model()
    memory, keep = m.encode(torch.tensor([[3, 0, 0]]))
    short, given = m.encode(torch.tensor([[3]])), torch.tensor([[1]])
    assert torch.equal(m.decode(given, memory, keep), m.decode(given, *short))
    assert not torch.equal(m.decode(given, memory, torch.ones_like(keep)), m.decode(given, *short))


@pytest.mark.parametrize("mode", [True, False])
def test_training_mode_is_another_table(mode):
    m = model().train(mode)
    assert m.is_training() is mode
    same = torch.equal(m(torch.tensor([[3]]), torch.tensor([[1]])), model()(torch.tensor([[3]]), torch.tensor([[1]])))
    assert same is not mode


def test_calls_are_counted():
    m = model()
    with torch.no_grad():
        m(torch.tensor([[3]]), torch.tensor([[1]]))
    m(torch.tensor([[3]]), torch.tensor([[1]]))
    assert m.calls() == {"encode": 2, "decode": 2, "recorded": 1}


def language_model(states=11, words=6):
    return ScriptedLanguageModel(torch.arange(states * words).reshape(states, words).float()).eval()


def test_a_language_models_logits_are_rows_of_the_table():
    logits = language_model()(torch.tensor([[3, 4]]))
    assert (logits[0, :, 0] / 6).tolist() == [4, (5 * 4 + 4 + 1) % 11]


def test_a_language_model_sees_all_that_it_was_shown_and_nothing_later():
    ids = torch.tensor([[3, 1, 4, 1, 5], [2, 1, 4, 1, 5]])
    whole = language_model()(ids)
    assert torch.equal(language_model()(ids[:, :3]), whole[:, :3])
    assert not torch.equal(whole[0, 4], whole[1, 4])
    assert not torch.equal(language_model()(ids[:, 1:])[0, 3], whole[0, 4])


def test_a_language_model_counts_calls_lengths_and_gradients():
    m = language_model().train()
    with torch.no_grad():
        m(torch.zeros(1, 3, dtype=torch.long))
    upside_down = m(torch.zeros(2, 2, dtype=torch.long))
    assert m.lengths() == [3, 2] and m.recorded() == 1 and m.is_training()
    assert not torch.equal(upside_down, language_model()(torch.zeros(2, 2, dtype=torch.long)))


def test_the_ruler_tells_the_root_mean_square():
    assert ScriptedRuler().deviation(torch.tensor([[3.0, -4.0], [0.0, 5.0]])) == pytest.approx(12.5**0.5)
    assert ScriptedRuler().largest(torch.tensor([[3.0, -7.0], [0.0, 5.0]])) == 7
