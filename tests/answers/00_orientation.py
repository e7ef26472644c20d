"""Wrong answers to unit 00 by readers who saw the prompts only: tests/test_told_early.py judges them."""

# %% exercise="fix_the_stub" wrong="matrix_only"
"""Loops over two dimensions, other ranks break."""
def fix_the_stub(x):
    out = torch.empty_like(x)
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            out[i, j] = 2 * x[i, j]
    return out

# %% exercise="count_bytes" wrong="float_result"
"""np.prod(()) is 1.0: the result is a float."""
import numpy as np

def count_bytes(inputs, out_dtype):
    out_shape = torch.broadcast_shapes(*[shape for shape, _ in inputs])
    return sum(np.prod(shape) * dtype.itemsize for shape, dtype in inputs) + np.prod(out_shape) * out_dtype.itemsize
