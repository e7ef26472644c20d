"""Wrong answers, each a whole replacement of one exercise cell."""

# %% exercise="halve_it" wrong="doubles"
"""Twice as large is not half as large."""


def halve_it(x):
    return x * 2


# %% exercise="third_of_it" wrong="positive_only"
"""Negative numbers became zero.

What is a third of -3?
"""


def third_of_it(x):
    return x.clamp(min=0) / 3


# %% exercise="quarter_of_it" wrong="halved_once"
"""That is a half."""


def quarter_of_it(x):
    return x / 2
