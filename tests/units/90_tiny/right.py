# %% exercise="double_it" right="times_two"
def double_it(x):
    return torch.mul(x, 2.0)


# %% exercise="double_it" right="loop"
"""One number after the other."""


def double_it(x):
    return torch.stack([entry * 2 for entry in x])
