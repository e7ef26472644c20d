"""Which tests run, which share a worker of pytest-xdist, and which begin.

The tests of one file share a worker, for their fixtures' sake; those of test_units.py and test_readers.py share one by
unit, the gates by half of a unit. These take longest, so they begin, the last unit first: units grow. Then come the
files in LONG: a worker that begins one of them when the other has nothing left to do makes everybody wait. (xdist's
own --dist loadgroup does not group under pytest 9.2.)

`--unit 02`, `--unit attention` or `--unit 02_attention` runs only the tests that have this unit among their parameters.
They are looked for in files that name the unit, or ask for all of them with `unit_folders`.
"""

import functools
import os
import re
import sys
from pathlib import Path

import pytest
from xdist.scheduler import LoadFileScheduling

from autograder.authoring.unit import UnknownUnit, find_unit

UNIT = re.compile(r"test_(?:units|readers)\.py::.*\[(.*)\]")
LONG = (  # the longest begins
    "test_formgrader", "test_problems", "test_sandbox", "test_record", "test_browser", "test_taking_down", "test_build",
    "test_full_check", "test_zygote", "test_grade", "test_judge", "test_compiler", "test_features", "test_cheats",
    "test_shortcuts", "test_promises", "test_dask", "test_resume", "test_solve", "test_sanitizer", "test_properties",
    "test_neighbours",
)  # fmt: skip


class ByFileAndUnit(LoadFileScheduling):
    """What `--dist loadfile` does, with the units apart and in the order of collection."""

    def __init__(self, config, log=None):
        config.option.loadscopereorder = False
        super().__init__(config, log)

    def _split_scope(self, nodeid):
        return super()._split_scope(nodeid) + _unit(nodeid)


def pytest_addoption(parser):
    parser.addoption("--unit", metavar="UNIT", help="only the tests of this unit: 02, attention or 02_attention")


def pytest_configure(config):
    """One folder of compiled kernels for all tests; they are keyed by what was compiled."""
    if hasattr(config, "cache"):  # not with -p no:cacheprovider
        os.environ.setdefault("COURSE_KERNEL_CACHE", str(config.cache.mkdir("kernels")))
    try:
        config.only_unit = config.option.unit and find_unit(config.option.unit)
    except UnknownUnit as error:
        raise pytest.UsageError(str(error)) from None


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup():
    """For every new gradebook nbgrader asks a process for the number of its newest schema, which takes seconds."""
    api = sys.modules.get("nbgrader.api")
    if api and not hasattr(api.get_alembic_version, "cache_clear"):
        api.get_alembic_version = functools.cache(api.get_alembic_version)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    return ByFileAndUnit(config, log)


def pytest_ignore_collect(collection_path, config):
    if config.only_unit and collection_path.suffix == ".py":
        known = ("unit_folders", *_names(config.only_unit))
        return True if not any(name in collection_path.read_text() for name in known) else None


def pytest_collection_modifyitems(config, items):
    turn = {name: number for number, name in enumerate(LONG)}
    items.sort(key=lambda item: turn.get(item.path.stem, len(LONG)))
    items.sort(key=lambda item: _unit(item.nodeid), reverse=True)
    if config.only_unit:
        config.hook.pytest_deselected(items=[item for item in items if not _is_of(item, config.only_unit)])
        items[:] = [item for item in items if _is_of(item, config.only_unit)]


def _is_of(item, folder):
    """True where the unit is a parameter of the test: its folder, its id or its topic."""
    given = item.callspec.params.values() if hasattr(item, "callspec") else ()
    return any(value == folder or value in _names(folder) for value in given if isinstance(value, (Path, str)))


def _names(folder):
    """A unit's id and its topic."""
    return folder.name, folder.name.partition("_")[2]


def _unit(nodeid):
    found = UNIT.search(nodeid)
    return found[1] if found else ""
