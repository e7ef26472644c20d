"""The mock translator: it says what its table says, and sees neither the future nor another row."""

import pytest
import torch

from course.mocks import ScriptedModel


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
