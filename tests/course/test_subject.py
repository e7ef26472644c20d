"""LocalSubject: every kind of object that a check can judge, once each."""

import pytest
import torch
from torch import nn

from course.checking.subject import KEPT, LocalSubject, SubjectError


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


class Tied(nn.Module):
    """A second name of its weight before and behind it, and buffers on two levels."""

    def __init__(self, n):
        super().__init__()
        self.head = nn.Linear(n, n, bias=False)
        self.table, self.again = nn.Embedding(n, n), nn.Linear(n, n, bias=False)
        self.table.weight = self.again.weight = self.head.weight
        self.inner = nn.BatchNorm1d(n, affine=False)
        self.register_buffer("seen", torch.tensor(7))

    def forward(self, x):
        return self.inner(self.again(self.head(x)))


def test_a_state_may_lack_buffers_and_second_names():
    s, weight = subject("Tied"), torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    h = s.construct(2)
    s.load_state(h, {"table.weight": weight, "inner.running_mean": torch.ones(2)})
    found = s.method(h, "state_dict")
    assert all(torch.equal(found[f"{name}.weight"], weight) for name in ("head", "table", "again"))
    assert found["seen"] == 7 and torch.equal(found["inner.running_mean"], torch.ones(2))
    s.method(h, "eval")
    _, _, params = s.grad_method(h, "__call__", torch.eye(2), cotangents=torch.ones(2, 2), params=("table.weight",))
    assert params["table.weight"].abs().sum() > 0


@pytest.mark.parametrize(
    "state, says",
    [
        ({"inner.running_mean": torch.ones(2), "table.bias": torch.ones(3)}, "it has no `table.bias`.*weight`"),
        ({"table.weight": torch.ones(2, 2), "table.bias": torch.ones(2)}, "it has no `table.bias`"),
        ({"table.weight": torch.ones(3, 2)}, "weight` has shape \\(2, 2\\) in it, expected \\(3, 2\\)"),
    ],
)
def test_any_other_difference_of_a_state_is_told(state, says):
    s = subject("Tied")
    with pytest.raises(SubjectError, match=says):
        s.load_state(s.construct(2), state)


def test_equal_numbers_are_not_a_second_name():
    class Untied(Tied):
        def __init__(self, n):
            super().__init__(n)
            self.again.weight = nn.Parameter(self.head.weight.detach().clone())

    s = subject("Untied", Untied=Untied)
    with pytest.raises(SubjectError, match="it has `again.weight`, which should not be there"):
        s.load_state(s.construct(2), {"table.weight": torch.ones(2, 2)})


class Renamed(nn.Module):
    """A map, its scale and a running mean, with names of its own."""

    def __init__(self, depth=1, order="up down"):
        super().__init__()
        for name in order.split():
            setattr(self, name, nn.Linear(2, 2, bias=False))
        self.tall = nn.Linear(2, 3)
        self.register_buffer("moving", torch.zeros(5))
        self.layers = nn.ModuleList(nn.Linear(2, 7) for _ in range(depth))

    def forward(self, x):
        return self.up(x) - self.down(x)


def named(**changes):
    """A state with the names that `Renamed` should have."""
    state = {"first.weight": torch.full((2, 2), 2.0), "second.weight": torch.full((2, 2), 3.0)}
    state |= {"tall.weight": torch.ones(3, 2), "out.bias": torch.full((3,), 5.0), "running": torch.arange(5.0)}
    return state | {"blocks.0.weight": torch.ones(7, 2), "blocks.0.bias": torch.ones(7)} | changes


def test_other_names_are_loaded_by_shape_and_order_and_said():
    s = subject("Renamed", Renamed=Renamed)
    made = s.construct()
    says = s.load_state(made, named())
    pairs = ("up", "first"), ("down", "second"), ("tall", "out"), ("moving", "running")  # and layers.0, blocks.0
    told = [f"`{own}` should be called `{name}`" for own, name in pairs]
    assert says == "; ".join([*told, "and 1 more", "loaded by shape and order"])
    assert s.method(made, "__call__", torch.ones(1, 2)).tolist() == [[-2, -2]]
    found = s.method(made, "state_dict")
    assert found.keys() == named().keys() and torch.equal(found["running"], torch.arange(5.0))
    assert torch.equal(s.method(made, "get_buffer", "running"), torch.arange(5.0))
    wanted = ("second.weight", "tall.weight", "first.weight")
    _, _, params = s.grad_method(made, "__call__", torch.ones(1, 2), cotangents=torch.ones(1, 2), params=wanted)
    assert tuple(params) == wanted and params["first.weight"].sum() == 4 and params["second.weight"].sum() == -4


def test_a_new_module_of_the_class_answers_to_the_same_names():
    s = subject("Renamed", Renamed=Renamed)
    s.load_state(s.construct(), named())
    found = s.method(s.construct(2), "state_dict")
    assert {"first.weight", "blocks.0.bias", "layers.1.bias"} <= found.keys()


def test_right_names_are_not_spoken_of():
    s = subject("Renamed", Renamed=Renamed)
    assert s.load_state(s.construct(), Renamed().state_dict()) == ""
    assert s.load_state(s.construct(), {n: p.detach() for n, p in Renamed().named_parameters()}) == ""


@pytest.mark.parametrize(
    "changes, says",
    [
        ({"third.weight": torch.ones(2, 2)}, "it has no `first.weight`, `second.weight`"),
        ({"out.bias": torch.ones(4)}, "it has no `first.weight`"),
    ],
)
def test_where_shapes_and_numbers_do_not_fit_nothing_is_guessed(changes, says):
    s = subject("Renamed", Renamed=Renamed)
    with pytest.raises(SubjectError, match=says):
        s.load_state(s.construct(), named(**changes))


def test_outputs_without_a_gradient_wanted():
    s = subject("f", f=lambda model, x: model(x).sum())
    h = s.construct(3, name="Scale")
    out, grads = s.grad(h, torch.ones(3), cotangents=(torch.ones(()),), wrt=())
    assert (out, grads) == (3.0, ())
    s = subject("f", f=lambda x: torch.tensor(3.0))
    with pytest.raises(SubjectError, match="no gradient can flow"):
        s.grad(torch.ones(3), cotangents=(torch.ones(()),), wrt=())


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
    assert s.mutated == ["argument 1", KEPT + "argument 1"] and torch.equal(x, torch.ones(2))


@pytest.mark.parametrize(
    "function, changed",
    [
        (lambda rows: rows.append(1), True),
        (lambda rows: rows[0].append(1), True),
        (lambda rows: rows[1].update(a=2), True),
        (lambda rows: rows[2].zero_(), True),
        (lambda rows: rows.sort(key=str), True),
        (lambda rows: [*rows, 1], False),
        (lambda rows: sorted(rows, key=str), False),
    ],
)
def test_lists_are_safe_and_watched(function, changed):
    rows = [[3, 1], {"a": 1.5}, torch.ones(2), b"x", float("nan")]
    s = subject("f", f=function)
    s(rows)
    assert s.mutated == ["argument 1"] * changed
    assert rows[:2] == [[3, 1], {"a": 1.5}] and torch.equal(rows[2], torch.ones(2)) and len(rows) == 5


@pytest.mark.parametrize(
    "function, argument, kept",
    [
        (lambda rows: rows, [1, 2], True),
        (lambda rows: list(rows), [1, 2], False),
        (lambda table: table, {"a": 1}, True),
        (lambda x: x, torch.ones(3), True),
        (lambda x: x[1:].view(2, 1), torch.ones(3), True),
        (lambda x: x.clone(), torch.ones(3), False),
        (lambda x: x, torch.ones(0), False),
        (lambda x: x.to_sparse(), torch.ones(3), False),
        (lambda pair: pair, (1, 2), False),  # nobody can change a tuple
    ],
)
def test_an_argument_that_comes_back_is_told(function, argument, kept):
    s = subject("f", f=function)
    s(argument)
    assert s.mutated == [KEPT + "argument 1"] * kept


@pytest.mark.parametrize("value", [10**9, b"ab", "ab", 1.5])
def test_equal_values_in_a_list_are_not_one_object(value):
    assert subject("f", f=lambda rows, pair: rows[0] is pair[0])([value], (value,)) is False
    assert subject("f", f=lambda rows: rows)([value, -value if type(value) is int else value])[0] == value


def test_a_gradient_that_is_left_in_an_argument_is_told():
    s = subject("f", f=lambda x: ((x * 2).sum().backward(), x * 3)[1])
    _, (found,) = s.grad(torch.ones(2), cotangents=torch.ones(2), wrt=(0,))
    assert s.mutated == ["grad of argument 1"] and found.tolist() == [3.0, 3.0]


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


class Entries(nn.Module):
    """Two maps and two buffers, one of them of another name than it should have."""

    def __init__(self, bias=True):
        super().__init__()
        self.up, self.down = nn.Linear(2, 3), nn.Linear(3, 2, bias=bias)
        self.register_buffer("mask", torch.ones(4, 4))
        self.register_buffer("moving_mean", torch.zeros(5))


@pytest.mark.parametrize(
    "given, says",
    [
        ({"w1.weight": (3, 4)}, "it has no `w1.weight`; it has `up.weight`, which should not be there"),
        ({"mean": (5,), "last": (5,)}, "it has no `mean`, `last`; it has `moving_mean`, which should not be there"),
        ({"up.weight": (2, 3)}, "`up.weight` has shape (3, 2) in it, expected (2, 3)"),
        ({f"maps.{i}": (7,) for i in range(6)}, "it has no `maps.0`, `maps.1`, `maps.2`, `maps.3` and 2 more"),
    ],
)
def test_other_entries_of_a_module_are_told_from_its_author_s_side(given, says):
    own = {n: p.detach() for n, p in Entries().named_parameters()}
    state = {n: t for n, t in own.items() if not (n == "up.weight" and "w1.weight" in given)}
    state |= {name: torch.zeros(shape) for name, shape in given.items()}
    s = LocalSubject({"Entries": Entries}, "Entries")
    with pytest.raises(SubjectError) as told:
        s.load_state(s.construct(), state)
    assert told.value.message.endswith(f"expected: {says}") and told.value.exception.startswith("other entries: ")


def test_a_module_that_lacks_an_entry_and_one_that_has_too_many_don_t_look_alike():
    own, s = {n: p.detach() for n, p in Entries().named_parameters()}, LocalSubject({"Entries": Entries}, "Entries")
    signs = set()
    for bias, state in ((False, own), (True, {n: t for n, t in own.items() if n != "down.bias"})):
        with pytest.raises(SubjectError) as told:
            s.load_state(s.construct(bias), state)
        signs.add(told.value.exception)
    assert signs == {"other entries: -down.bias", "other entries: +down.bias"}


def test_a_module_whose_state_can_t_be_read_has_raised():
    class Broken(Entries):
        def state_dict(self, *args, **kwargs):
            raise RuntimeError("no state today")

    s = LocalSubject({"Broken": Broken}, "Broken")
    with pytest.raises(SubjectError, match="no state today"):
        s.load_state(s.construct(), {"up.weight": torch.zeros(3, 2)})


def _spoils(x, mask):
    mask.fill_(float("nan"))
    return x * 1


def test_a_call_that_asks_for_gradients_gets_copies_too_and_tells_what_it_changed():
    s, mask = subject("f", f=_spoils), torch.ones(3)
    s.grad(torch.ones(3), mask, cotangents=torch.ones(3), wrt=(0,))
    assert s.mutated == ["argument 2"] and bool((mask == 1).all())
    s = subject("f", f=lambda x: (x.data.mul_(2), x * 1)[1])
    s.grad(torch.ones(3), cotangents=torch.ones(3), wrt=(0,))
    assert s.mutated == ["argument 1"]
    s = subject("f", f=lambda pair: pair[0].mul_(2))
    s((torch.ones(3), 5))
    assert s.mutated == ["argument 1"]


def _switches_off(model, x):
    model.eval()
    torch.set_grad_enabled(False)
    torch.set_default_dtype(torch.float64)
    return model(x)


def test_settings_that_a_call_leaves_changed_are_told_and_set_back():
    s = subject("f", f=_switches_off, Linear=nn.Linear)
    s.call("f", s.construct(2, 2, name="Linear"), torch.ones(1, 2, dtype=torch.float32))
    assert s.mutated == ["torch's gradient switch", "torch's default dtype", "the mode (train or eval) of argument 1"]
    assert torch.is_grad_enabled() and torch.get_default_dtype() is torch.float32
    with pytest.raises(SubjectError):
        subject("f", f=lambda: (torch.set_grad_enabled(False), 1 / 0))()
    assert torch.is_grad_enabled()
