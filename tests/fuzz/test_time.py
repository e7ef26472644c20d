"""No reader of a hand-in in the judging process takes long, whatever was handed in (tests/fuzz/sources.py)."""

import random

import pytest
import sources

from course.checking import cells

SEEDS = range(6)


@pytest.fixture(scope="module", autouse=True)
def warm():
    """IPython's transformer is imported once."""
    cells.read("!ls")


@pytest.mark.parametrize("reader", sources.READERS)
@pytest.mark.parametrize("shape", ["blanks before a word", "a kernel of sums", "kernels that call each other"])
def test_a_megabyte_is_read_in_two_seconds(shape, reader):
    spent = sources.best(sources.READERS[reader], sources.SHAPES[shape](sources.LARGEST))
    assert spent < sources.LIMIT


@pytest.mark.parametrize("shape", ["many classes", "many functions", "many functions in one", "a kernel of sums"])
def test_the_longest_that_is_read_is_read_in_two_seconds(shape):
    source = sources.SHAPES[shape](sources.longest(shape))
    spent = {name: sources.best(reader, source) for name, reader in sources.READERS.items()}
    assert max(spent.values()) < sources.LIMIT, spent


@pytest.mark.parametrize("seed", SEEDS)
def test_repeated_pieces_are_read_in_two_seconds(seed):
    source = sources.repeated(random.Random(seed), sources.LARGEST)
    assert sources.best(sources.READERS["cells"], source) < sources.LIMIT


@pytest.mark.slow
@pytest.mark.parametrize("reader", sources.READERS)
@pytest.mark.parametrize("shape", sources.SHAPES)
def test_every_shape_is_read_in_two_seconds(shape, reader):
    for size in (sources.LARGEST // 20, sources.longest(shape), sources.LARGEST):
        assert sources.best(sources.READERS[reader], sources.SHAPES[shape](size)) < sources.LIMIT


@pytest.mark.slow
@pytest.mark.parametrize("unit", sources.UNITS)
def test_every_piece_is_read_in_two_seconds(unit):
    for size in (sources.LARGEST // 20, sources.LARGEST):
        source = (unit * size)[:size]
        spent = {name: sources.best(reader, source) for name, reader in sources.READERS.items()}
        assert max(spent.values()) < sources.LIMIT, spent


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(300))
def test_more_pieces(seed):
    source = sources.repeated(random.Random(1000 + seed), random.Random(seed).choice((50_000, 200_000, 1_000_000)))
    spent = {name: sources.best(reader, source) for name, reader in sources.READERS.items()}
    assert max(spent.values()) < sources.LIMIT, spent
