"""The instructor's side: build, checks, sandbox, judge, record, report. Machinery only; it knows no unit by name."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]  # the clone

# nbformat imports jsonschema, which compiles 38 grammars of internet addresses (1.5 s) that no notebook needs.
sys.modules.setdefault("rfc3987_syntax", None)
