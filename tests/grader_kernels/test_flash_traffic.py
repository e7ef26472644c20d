"""What attention moves as the sequence grows, from the meter: naive in three launches against flash in one.

One head, D = 64, float32, blocks of 64 by 64; unit: N * D * 4 bytes, the size of q. Run with -s to see the table.
"""

import dataclasses

import numpy as np
import pytest
import torch

from autograder.authoring import kernels
from grader_kernels.judging.task import pose
from grader_kernels.problem import load, normal
from grader_kernels.replaying import lean
from grader_kernels.replaying.replay import launch_here

torch.set_num_threads(1)

FLASH = load("flash_forward")
D, BLOCK = 64, 64
LENGTHS = (128, 256, 512, 1024)
NAIVE, OURS = "naive_three_launches", "solution"
LSE = 1 / D  # one float32 for each query


def launcher(answer: str):
    return kernels.launcher("flash_forward", answer)


def inputs(n: int, dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, ...]:
    rng = np.random.Generator(np.random.Philox(n))
    return tuple(normal(rng, 1, 1, n, D, dtype=dtype) for _ in range(3))


def metered(path: str, args: tuple, **kwargs) -> dict:
    run = launch_here(launcher(path), args, kwargs)
    assert run.problems == []
    return lean.summary(run.traffic)


def in_units(meter: dict, n: int) -> tuple[float, float, int]:
    """(stores, loads + stores, launches)"""
    rows = meter["tensors"].values()
    stored, loaded = (sum(row[what] for row in rows) / (n * D * 4) for what in ("stored", "loaded"))
    return stored, stored + loaded, meter["launches"]


def refusal(meter: dict, args: tuple, slack: float = 1.0, **kwargs) -> str:
    """What the bytes alone are held against: any number of launches is allowed here."""
    return lean.too_much(meter, dataclasses.asdict(FLASH.floor(*args, **kwargs)), slack, launches=10**6)


@pytest.fixture(scope="module")
def table() -> dict[int, dict[str, dict]]:
    """Every N: what naive and flash moved."""
    return {n: {p: metered(p, inputs(n), block_m=BLOCK, block_n=BLOCK) for p in (NAIVE, OURS)} for n in LENGTHS}


def test_the_table_of_bytes_against_n(table):
    lines = ["", "     N |  naive: stores, loads + stores, launches |  flash: stores, loads + stores, launches"]
    for n, meters in table.items():
        naive, flash = (in_units(meters[path], n) for path in (NAIVE, OURS))
        lines.append("{:6d} | {:15.2f} {:15.2f} {:9d} | {:15.2f} {:15.2f} {:9d}".format(n, *naive, *flash))
        blocks = n / BLOCK
        # q and k by tiles, scores written; scores read, weights written; weights and v read, o written
        scores = n / D
        assert naive == pytest.approx((2 * scores + 1 + LSE, 2 * blocks + 4 * scores + blocks + 1 + LSE, 3))
        assert flash == pytest.approx((1 + LSE, 1 + 2 * blocks + 1 + LSE, 1))
    print("\n".join(lines))


def test_the_stores_of_flash_do_not_grow(table):
    assert {in_units(meters["solution"], n)[0] for n, meters in table.items()} == {1 + LSE}


def test_the_loads_of_flash_stay_within_their_bound(table):
    for n, meters in table.items():
        loaded = sum(row["loaded"] for row in meters["solution"]["tensors"].values())
        assert loaded <= 4 * (n * D + 2 * (n / BLOCK) * n * D)


def test_bytes_alone_refuse_naive_attention_and_pass_ours_at_every_length(table):
    for n, meters in table.items():
        blocks = {"block_m": BLOCK, "block_n": BLOCK}
        assert refusal(meters["solution"], inputs(n), **blocks) == ""
        assert "between the kernels" in refusal(meters["naive_three_launches"], inputs(n), **blocks)


def test_bytes_alone_refuse_naive_attention_in_every_case_that_counts_bytes():
    cases = [case for case in pose(FLASH, 0).cases if case.floor]
    assert len(cases) >= 2
    for case in cases:
        for path, refused in ((NAIVE, True), (OURS, False)):
            meter = metered(path, case.args, **case.kwargs)
            assert bool(refusal(meter, case.args, case.slack, **case.kwargs)) == refused, (case.title, path)


def test_taller_blocks_of_queries_read_the_keys_less_often():
    args = inputs(256)
    loads = [metered(OURS, args, block_m=m, block_n=64)["tensors"]["k"]["loaded"] for m in (32, 64, 128)]
    assert loads == [8 * 256 * D * 4, 4 * 256 * D * 4, 2 * 256 * D * 4]


def test_shorter_blocks_than_asked_for_are_refused():
    args = inputs(256)
    says = refusal(metered(OURS, args, block_m=32, block_n=64), args, block_m=64, block_n=64)
    assert "k is read twice" in says


@pytest.mark.parametrize(("block_m", "block_n", "n"), [(64, 64, 192), (32, 64, 160), (64, 32, 100), (16, 16, 70)])
def test_the_floor_of_causal_attention_is_what_our_kernel_moves(block_m, block_n, n):
    args = inputs(n, torch.float16)
    blocks = {"causal": True, "block_m": block_m, "block_n": block_n}
    meter = metered(OURS, args, **blocks)
    floor = FLASH.floor(*args, **blocks)
    assert lean.moved(meter, dataclasses.asdict(floor)) == floor.total
