"""`check` while nbgrader validates a notebook: one that is not passed raises, since nbgrader reads nothing else.

nbgrader says what validates in the kernel's environment. In a learner's own session `check` shows its card and raises
nothing, so that a notebook runs from top to bottom.
"""

from __future__ import annotations

import os
import sys

from course.checking import card
from course.checking.check import judge


class NotPassed(Exception):
    """An exercise lacks points."""


def validates() -> bool:
    """Is this kernel one of nbgrader's validator?"""
    return "NBGRADER_VALIDATING" in os.environ


def check(name: str) -> None:
    """The card of an exercise, and NotPassed when points of it are missing that count for the maximum."""
    verdict = judge(name, sys._getframe(1).f_globals)
    card.show(verdict)
    if verdict.state != "passed" and not verdict.optional:
        raise NotPassed(f"{name} has {verdict.score:.3g} of {verdict.max_score:g} points; run its check to see why")
