"""Tokens sorted by expert, each expert's part filled up to whole blocks.

moe_align(experts, E, block=4) -> (order, owner)

experts  (T,) int32, values 0 .. E - 1: which expert each token goes to
E        how many experts there are, a power of two
block    tokens of a block, a power of two
order    (C,) int32: the numbers of expert 0's tokens, rising, then T until its part is a multiple of block long, then
         expert 1's, and so on; T in all that is left. C is T + E (block - 1), rounded up to a multiple of block
owner    (C / block,) int32: the expert of each block, -1 for what is left

Deterministic. At most three launches, a fill by torch among them.
"""

import torch

from grader_kernels.problem import Case, Floor, Settings

settings = Settings(launches=3)

PLACE = "A token's place: where its expert's part begins, plus how many tokens before it have the same expert."


def cases(rng, sizes):
    def draw(tokens, experts, only=()):
        drawn = rng.integers(0, experts, tokens) if not only else rng.choice(only, tokens)
        return torch.from_numpy(drawn).to(torch.int32), experts

    def between(low, high):
        return int(sizes.integers(low, high))

    return [
        Case("few tokens", draw(between(9, 16), 2), points_to=PLACE),
        Case("several tiles of tokens", draw(between(130, 190), 8), points_to=PLACE),
        Case("experts without tokens", draw(between(40, 60), 8, [1, 2, 6]), points_to=PLACE),
        Case("whole tiles of tokens", draw(128, 4), {"block": 16}, lean=True, slack=1.1, compile=True, points_to=PLACE),
    ]


def size(tokens, experts, block):
    return -(-(tokens + experts * (block - 1)) // block) * block


def reference(experts, E, block=4):
    T, order, owner = len(experts), [], []
    for e in range(E):
        mine = [t for t in range(T) if experts[t] == e]
        order += mine + [T] * (-len(mine) % block)
        owner += [e] * -(-len(mine) // block)
    C = size(T, E, block)
    order += [T] * (C - len(order))
    owner += [-1] * (C // block - len(owner))
    return torch.tensor(order, dtype=torch.int32), torch.tensor(owner, dtype=torch.int32)


def floor(experts, E, block=4):
    C = size(len(experts), E, block)
    why = (
        "every token is read to be counted and once more by each expert; every place and every owner is written once; "
        "the counts come on top"
    )
    return Floor({"experts": 4 * len(experts) * (E + 1)}, {"out 0": 4 * C, "out 1": 4 * C // block}, why)
