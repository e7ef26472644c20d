"""Features of the Triton language, by theme: one kernel of a few lines each, and what it must compute.

`FEATURES` holds all of them by name. What it is not: a test; `test_features.py` runs them three ways.
"""

import importlib

from features.form import FEATURES, Feature

THEMES = (
    "arithmetic",
    "functions",
    "casts",
    "shapes",
    "memory",
    "reductions",
    "atomics",
    "dots",
    "chance",
    "control",
    "helpers",
    "launches",
    "methods",
)
for _theme in THEMES:
    importlib.import_module(f"features.{_theme}")

__all__ = ["FEATURES", "THEMES", "Feature"]
