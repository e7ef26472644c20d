"""The learner library: what the lessons import.

`check("exercise")` judges the exercise of that name in your notebook. `ready(probe)` tells whether an exercise is
written yet, so that later cells can wait for it politely.
"""

from typing import Any

__all__ = ["check", "ready"]


def __getattr__(name: str) -> Any:
    """`check` and `ready` on first use: they bring torch along, which the command line mostly does without."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from course import validating
    from course.checking import check

    globals().update(check=validating.check if validating.validates() else check.check, ready=check.ready)
    return globals()[name]
