"""Other right styles."""


# %% exercise="halve_it" right="times_a_half"
def halve_it(x):
    return x * 0.5


# %% exercise="third_of_it" right="in_float64"
def third_of_it(x):
    return (x.double() / 3).to(x.dtype)


# %% exercise="third_of_it" right="one_after_another"
def third_of_it(x):
    return torch.stack([entry / 3 for entry in x])


# %% exercise="quarter_of_it" right="at_once"
def quarter_of_it(x):
    return x / 4
