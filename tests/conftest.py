"""Which tests share a worker, and which begin: pytest-xdist's --dist loadgroup.

The tests of one file share a worker, for their fixtures' sake; those of test_units.py share one by unit. These take
longest, so they begin, the last unit first: units grow.
"""

import pytest

UNITS = "test_units.py"


def pytest_itemcollected(item):
    item.add_marker(pytest.mark.xdist_group(f"{item.path.name} {_unit(item)}".strip()))


def pytest_collection_modifyitems(items):
    items.sort(key=_unit, reverse=True)


def _unit(item):
    return item.callspec.params["folder"].name if item.path.name == UNITS else ""
