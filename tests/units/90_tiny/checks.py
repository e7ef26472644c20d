"""What right answers of the tiny unit are."""

from autograder.authoring.checks import Check

double_it = Check("double_it", hints=("Which operation makes a number twice as large?", "x + x is as good as 2 * x."))


@double_it.case("doubles each number", weight=2)
def _(subject, trial):
    numbers_in = trial.normal((7,), mean=1.0)
    trial.close(subject(numbers_in), (numbers_in.double() * 2).float())


@double_it.case("doubles negative numbers")
def _(subject, trial):
    numbers_in = -trial.uniform((5,), low=1.0, high=2.0)
    trial.close(subject(numbers_in), (numbers_in.double() * 2).float())


@double_it.trial("takes any number of entries")
def _(subject, trial):
    for entry_count in (1, 2, 33):
        numbers_in = trial.normal((entry_count,))
        trial.close(subject(numbers_in), (numbers_in.double() * 2).float())


Shift = Check("Shift", kind="class", hints=("An offset is a torch.nn.Parameter.",))


@Shift.case("doubles, then adds its offset")
def _(subject, trial):
    layer = subject.construct()
    numbers_in, offset = trial.normal((7,), (1,))
    subject.load_state(layer, {"offset": offset})
    trial.close(subject.method(layer, "forward", numbers_in), (numbers_in.double() * 2 + offset.double()).float())


largest_double = Check("largest_double", kind="value")


@largest_double.case("is the largest entry, doubled")
def _(subject, trial):
    trial.between(subject.value(), 7.99, 8.01)
