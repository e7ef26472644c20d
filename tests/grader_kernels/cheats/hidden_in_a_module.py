# refused: no @triton.jit function named
"""The kernel lies in another file that isn't handed in."""

import importlib.util
import pathlib
import shutil
import tempfile

import torch
import triton

FOLDER = pathlib.Path(tempfile.mkdtemp())
(FOLDER / "borrowed.py").write_text("""
import triton
import triton.language as tl


@triton.jit
def borrowed_kernel(x_ptr, out_ptr, n_cols, x_row, x_col, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    at = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + row * x_row + at * x_col, mask=at < n_cols, other=-float("inf"))
    e = tl.exp(x - tl.max(x, axis=0))
    tl.store(out_ptr + row * n_cols + at, e / tl.sum(e, axis=0), mask=at < n_cols)
""")
SPEC = importlib.util.spec_from_file_location("borrowed", FOLDER / "borrowed.py")
borrowed = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(borrowed)
shutil.rmtree(FOLDER)


def row_softmax(x, block=128):
    out = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    width = triton.next_power_of_2(x.shape[1])
    borrowed.borrowed_kernel[(x.shape[0],)](x, out, x.shape[1], *x.stride(), BLOCK=width)
    return out
