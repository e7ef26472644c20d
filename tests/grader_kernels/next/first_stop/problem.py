"""Where each row has its first stop token.

first_stop(tokens, stop, block=32) -> places

tokens  (R, N) int32, contiguous
stop    a whole number
places  (R,) int32, new: the first place where tokens[r] is stop, N where there is none

A program reads its row block by block and no further than the block with the first stop token. One launch.
"""

import torch

from grader_kernels.problem import Case, Floor, Settings

settings = Settings(launches=1)

FIRST = "The smallest place counts; a row without a stop token gets N."
EARLY = "Leave the loop once a block holds a stop token."


def cases(rng, sizes):
    def draw(rows, columns, stops):
        tokens = torch.from_numpy(rng.integers(1, 1000, (rows, columns))).to(torch.int32)
        for row in range(0, rows, 2):
            tokens[row, torch.from_numpy(rng.integers(0, columns, stops))] = 0
        return tokens, 0

    def between(low, high):
        return int(sizes.integers(low, high))

    early, stop = draw(4, 256, 3)
    early[:, 40] = stop
    return [
        Case("one block", draw(3, between(9, 31), 2), points_to=FIRST),
        Case("several blocks and a ragged tail", draw(5, between(100, 150), 3), points_to=FIRST),
        Case("no stop token at all", draw(1, between(40, 60), 0), points_to=FIRST),
        Case("stop tokens near the beginning", (early, stop), lean=True, compile=True, points_to=EARLY),
    ]


def reference(tokens, stop, block=32):
    places = [row.index(stop) if stop in row else len(row) for row in tokens.tolist()]
    return torch.tensor(places, dtype=torch.int32)


def floor(tokens, stop, block=32):
    N = tokens.shape[1]
    read = sum(min(N, (place // block + 1) * block) for place in reference(tokens, stop).tolist())
    why = "a row is read up to the end of the block with its first stop token, and one number is written for it"
    return Floor({"tokens": 4 * read}, {"out": 4 * len(tokens)}, why)
