"""Which tests share a worker of pytest-xdist, and which begin.

The tests of one file share a worker, for their fixtures' sake; those of test_units.py share one by unit. These take
longest, so they begin, the last unit first: units grow. (xdist's own --dist loadgroup does not group under pytest 9.2.)
"""

import re

import pytest
from xdist.scheduler import LoadFileScheduling

UNIT = re.compile(r"test_units\.py::.*\[(.*)\]")


class ByFileAndUnit(LoadFileScheduling):
    """What `--dist loadfile` does, with the units apart and in the order of collection."""

    def __init__(self, config, log=None):
        config.option.loadscopereorder = False
        super().__init__(config, log)

    def _split_scope(self, nodeid):
        return super()._split_scope(nodeid) + _unit(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    return ByFileAndUnit(config, log)


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: _unit(item.nodeid), reverse=True)


def _unit(nodeid):
    found = UNIT.search(nodeid)
    return found[1] if found else ""
