"""Hatch build hook: puts the learner library's files into the wheel.

The list stands once, in autograder/sandbox/learner_library.py; the sandbox mounts the same one and the leak test walks
it. This is not a list of its own, and a source distribution can't be made from here: build the wheel from a clone.
"""

import runpy
from pathlib import Path

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class LearnerFiles(BuildHookInterface):
    """Runs before the wheel is packed."""

    def initialize(self, version: str, build_data: dict) -> None:
        """Add each (path here, path inside) pair. Raises FileNotFoundError outside a clone."""
        clone = Path(self.root).resolve().parents[1]
        listing = clone / "autograder" / "sandbox" / "learner_library.py"
        if not listing.is_file():
            raise FileNotFoundError(f"expected a clone of the course around {self.root}, but {listing} is not there")
        for here, inside in runpy.run_path(str(listing))["paths"](clone):
            build_data["force_include"][str(here)] = str(inside)
