"""Let coverage choose the hostile bytes: python tests/fuzz/guided.py {notebooks,frames,traces,cells} [OPTION ...]

Needs atheris (pip install -e '.[fuzz]'). Options go to libFuzzer: -runs=N, -max_total_time=SECONDS, -seed=N. It starts
from what `make` of the target gives for a hundred seeds; the bytes that fail land in corpus/ as crash-*, timeout-* or
oom-*, where the test suite feeds them again.
"""

import random
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["autograder", "course", "grader_kernels"]):
    from hostile import CORPUS, SLOW, TARGETS


def main(name: str, options: list[str]) -> None:
    """Never returns: libFuzzer ends the process, with a code that is not zero when something failed."""
    target, kept = TARGETS[name], CORPUS / name
    kept.mkdir(parents=True, exist_ok=True)
    accepted = 0

    def feed(data: bytes) -> None:
        nonlocal accepted
        accepted += target.feed(data)

    with tempfile.TemporaryDirectory(prefix="guided-") as seeds:
        for seed in range(100):
            (Path(seeds) / str(seed)).write_bytes(target.make(random.Random(seed)))
        limits = [f"-timeout={SLOW:.0f}", "-rss_limit_mb=4096", "-max_len=200000", f"-artifact_prefix={kept}/"]
        atheris.Setup([sys.argv[0], *limits, *options, seeds], feed)
        atheris.Fuzz()


if len(sys.argv) < 2 or sys.argv[1] not in TARGETS:
    sys.exit(f"expected one of {', '.join(TARGETS)} and libFuzzer's options")
main(sys.argv[1], sys.argv[2:])
