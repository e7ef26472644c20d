"""LocalSubject: every kind of object that a check can judge, once each."""

import pytest
import torch
from torch import nn

from course.checking.subject import LocalSubject, SubjectError


class Scale(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.w = nn.Parameter(torch.ones(n))

    def forward(self, x):
        return x * self.w


class Counter:
    def __init__(self):
        self.n = 0

    def add(self, k):
        self.n += k
        return self.n


def naturals(start):
    while True:
        yield start
        start += 1


def spoils(x):
    x *= 2
    return x


def subject(name, **extra):
    return LocalSubject(globals() | extra, name)


def test_function_and_callback():
    assert subject("f", f=lambda g, x: g(g(x)))(lambda v: v + 1, 3) == 5


def test_module_state_call_and_gradients():
    s = subject("Scale")
    h = s.construct(3)
    s.load_state(h, {"w": torch.tensor([1.0, 2.0, 3.0])})
    x = torch.ones(2, 3)
    assert torch.equal(s.method(h, "__call__", x), torch.tensor([[1.0, 2.0, 3.0]] * 2).detach())
    out, (gx,), params = s.grad_method(h, "forward", x, cotangents=torch.ones(2, 3), wrt=(0,), params=("w",))
    assert torch.equal(gx, torch.tensor([[1.0, 2.0, 3.0]] * 2)) and torch.equal(params["w"], torch.full((3,), 2.0))


def test_an_object_is_an_argument_for_another_function():
    s = subject("twice", twice=lambda counter, k: counter.add(k) + counter.add(k))
    h = s.construct(name="Counter")
    assert s(h, 2) == 6 and s(k=1, counter=h) == 11 and s.method(h, "add", 0) == 6
    s.release(h)
    with pytest.raises(SubjectError, match="released"):
        s(h, 2)


def test_stateful_object_and_release():
    s = subject("Counter")
    h = s.construct()
    assert [s.method(h, "add", 2), s.method(h, "add", 3)] == [2, 5]
    s.release(h)
    with pytest.raises(SubjectError, match="released"):
        s.method(h, "add", 1)


def test_endless_generator_is_cut():
    assert subject("naturals").iterate(5, limit=4) == [5, 6, 7, 8]


def test_value():
    assert subject("finding", finding=0.5).value() == 0.5
    with pytest.raises(SubjectError) as error:
        subject("finding", finding=None).value()
    assert error.value.kind == "not_attempted"


def test_a_changed_argument_is_told_and_the_callers_tensor_is_safe():
    s, x = subject("spoils"), torch.ones(2)
    s(x)
    assert s.mutated == ["argument 1"] and torch.equal(x, torch.ones(2))


def test_strides_reach_the_function():
    x = torch.arange(6.0).reshape(2, 3).t()
    assert subject("f", f=lambda t: t.stride())(x) == (1, 3)


@pytest.mark.parametrize(
    "function, kind",
    [
        (lambda: 1 / 0, "raised"),
        (lambda: (_ for _ in ()).throw(NotImplementedError("write f")), "not_attempted"),
        (lambda: exit(), "raised"),
        (5, "missing"),
    ],
)
def test_failures_become_subject_errors(function, kind):
    with pytest.raises(SubjectError) as error:
        subject("f", f=function)()
    assert error.value.kind == kind


def test_a_missing_name_is_one_sentence():
    with pytest.raises(SubjectError, match="`nothing` is not defined"):
        subject("nothing")()
