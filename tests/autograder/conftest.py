"""What the tests of several files begin with, made once for each worker. Copy it, or leave it as it is."""

import pytest
import synthetic

import sample_class
from autograder.authoring.build import build
from autograder.authoring.unit import Unit


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """The tiny unit, built: what `build` returned."""
    return build(Unit.load(synthetic.UNITS / synthetic.UNIT), tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def tiny_root(tiny):
    """The folder it was built in."""
    return tiny.assignment.parents[2]


@pytest.fixture(scope="session")
def new_class(tmp_path_factory):
    """A function that makes a class folder, with the small unit set up and nobody in it."""
    made = sample_class.make_class(tmp_path_factory.mktemp("set-up") / "class")
    return lambda root: sample_class.copy_of(made, root)
