# A small unit with an optional exercise between two that count.

# %% [markdown]
r"""
# Extra

Halves, a third for those who like, and a quarter.
"""

# %% tags=["parameters"]
profile = "fast"
seed = 0
device = "cpu"

# %%
import torch

from course import check, ready


# %% exercise="halve_it"
def halve_it(x):
    """Half of every number of `x`, any float tensor."""
    ### BEGIN SOLUTION
    return x / 2
    ### END SOLUTION


# %% check="halve_it" points=3


# %% exercise="third_of_it"
def third_of_it(x):
    """A third of every number of `x`, any float tensor. Optional.

    Difficulty 1 of 5, about 1 minute.
    """
    ### BEGIN SOLUTION
    one_of_three = x / 3
    return one_of_three
    ### END SOLUTION


# %% check="third_of_it" points=2 optional=true


# %% exercise="quarter_of_it"
def quarter_of_it(x):
    """A quarter of every number of `x`, any float tensor."""
    ### BEGIN SOLUTION
    return halve_it(halve_it(x))
    ### END SOLUTION


# %% check="quarter_of_it" points=1

# %% [markdown] explain="why_halves" points=2
r"""
Why are halves exact?

=== BEGIN MARK SCHEME ===
Two points: the exponent alone changes.
=== END MARK SCHEME ===
"""
