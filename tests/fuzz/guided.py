"""Let coverage choose the hostile bytes: python tests/fuzz/guided.py TARGET [OPTION ...]

TARGET: notebooks, frames, traces, cells or sources.

Needs atheris (pip install -e '.[fuzz]'). Options go to libFuzzer: -runs=N, -max_total_time=SECONDS, -seed=N. It starts
from what `make` of the target gives for a hundred seeds; the bytes that fail land in corpus/ as crash-*, timeout-* or
oom-*, where the test suite feeds them again.
"""

import random
import sys
from pathlib import Path

try:
    import atheris
except ImportError:
    sys.exit("atheris is not installed here: run pip install -c constraints.txt -e '.[fuzz]'")

with atheris.instrument_imports(include=["autograder", "course", "grader_kernels"]):
    from hostile import CORPUS, SLOW, TARGETS

SEEDS = Path(__file__).resolve().parents[2] / "build" / "fuzz"


def main(name: str, options: list[str]) -> None:
    """Never returns: libFuzzer ends the process, with a code that is not zero when something failed."""
    target, seeds, kept = TARGETS[name], SEEDS / name, CORPUS / name
    for folder in (seeds, kept):
        folder.mkdir(parents=True, exist_ok=True)
    for seed in range(100):
        (seeds / str(seed)).write_bytes(target.make(random.Random(seed)))
    limits = [f"-timeout={SLOW:.0f}", "-rss_limit_mb=4096", "-max_len=200000", f"-artifact_prefix={kept}/"]
    atheris.Setup([sys.argv[0], *limits, *options, str(seeds)], target.feed)
    atheris.Fuzz()


if len(sys.argv) < 2 or sys.argv[1] not in TARGETS:
    sys.exit(f"expected one of {', '.join(TARGETS)}, and libFuzzer's options")
main(sys.argv[1], sys.argv[2:])
