"""What right answers of the unit with an optional exercise are."""

from autograder.authoring.checks import Check

halve_it = Check("halve_it", hints=("Which operation makes a number half as large?",))


@halve_it.case("halves every number")
def _(subject, trial):
    numbers_in = trial.normal((7,))
    trial.close(subject(numbers_in), (numbers_in.double() / 2).float())


third_of_it = Check("third_of_it", hints=("Divide by 3.",))


@third_of_it.case("takes a third of positive numbers")
def _(subject, trial):
    numbers_in = trial.uniform((7,), low=1.0, high=2.0)
    trial.close(subject(numbers_in), (numbers_in.double() / 3).float())


@third_of_it.case("takes a third of negative numbers")
def _(subject, trial):
    numbers_in = -trial.uniform((7,), low=1.0, high=2.0)
    trial.close(subject(numbers_in), (numbers_in.double() / 3).float())


quarter_of_it = Check("quarter_of_it")


@quarter_of_it.case("takes a quarter of every number")
def _(subject, trial):
    numbers_in = trial.normal((7,))
    trial.close(subject(numbers_in), (numbers_in.double() / 4).float())
