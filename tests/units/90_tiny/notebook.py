# A unit as small as a unit can be, with one exercise of each sort the builder treats differently.

# %% [markdown]
r"""
# Tiny

Two exercises, a finding and a question: $y = 2x + b$.
"""

# %%
import torch

from course import check, ready

# %% tags=["parameters"]
profile = "fast"
seed = 0
device = "cpu"

# %% [markdown]
r"""
## Double

Write a function that doubles every number of a tensor.
"""


# %% exercise="double_it"
def double_it(x):
    """Every number of `x` twice as large.

    x        (N,)  any float tensor
    returns  (N,)
    """
    ### BEGIN SOLUTION
    twice_as_large = x + x
    return twice_as_large
    ### END SOLUTION


# %% check="double_it" points=3

# %%
print(f"a given cell, profile {profile}")


# %% exercise="Shift"
class Shift(torch.nn.Module):
    """Adds a learned offset after doubling.

    offset  (1,)  parameter, zero at first
    """

    def __init__(self):
        super().__init__()
        ### BEGIN SOLUTION
        self.offset = torch.nn.Parameter(torch.zeros(1))
        ### END SOLUTION

    def forward(self, x):
        ### BEGIN SOLUTION
        doubled_first = double_it(x)
        return doubled_first + self.offset
        ### END SOLUTION


# %% check="Shift" points=2.5

# %% exercise="largest_double"
# What is the largest entry of double_it(torch.arange(5.))? A number.
### BEGIN SOLUTION
largest_double = 8.0
### END SOLUTION

# %% check="largest_double" points=1

# %%
if ready(lambda: double_it(torch.ones(2))):
    print(double_it(torch.arange(3.0)))

# %% [markdown] explain="why_double" points=2
r"""
Why is doubling linear?

=== BEGIN MARK SCHEME ===
One point for additivity, one for homogeneity.
=== END MARK SCHEME ===
"""
