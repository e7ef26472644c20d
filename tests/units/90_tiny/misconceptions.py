"""Wrong answers to the tiny unit, each a whole replacement of one exercise cell."""

import torch

# %% exercise="double_it" wrong="squares"
"""Squaring a number is not doubling it: 3 became 9,
not 6.

What does your function make of 2 and of 3?
"""


def double_it(x):
    squared_instead = x * x
    return squared_instead


# %% exercise="double_it" wrong="doubles_positive_only"
"""Negative numbers became zero: something cuts them off."""


def double_it(x):
    return 2 * x.clamp(min=0)


# %% exercise="Shift" wrong="forgets_to_double"
"""The offset is added, the doubling is missing.

Which function above doubles?
"""


class Shift(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.offset = torch.nn.Parameter(torch.zeros(1))

    def forward(self, x):
        return x + self.offset
