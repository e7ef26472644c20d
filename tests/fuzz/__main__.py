"""Feed many hostile inputs: python tests/fuzz [--notebooks N] [--frames N] [--traces N] [--cells N] [--seed S].

What fails lands in corpus/, where the test suite feeds it again.
"""

import argparse
import hashlib
import random
import sys
import time
import traceback

from hostile import CORPUS, TARGETS, fed


def main(words: list[str]) -> int:
    """How many were fed, and how many failed; 1 when any did."""
    parser = argparse.ArgumentParser(prog="python tests/fuzz")
    for name in TARGETS:
        parser.add_argument(f"--{name}", type=int, default=0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().getrandbits(32))
    asked = parser.parse_args(words)
    failures = sum(_feed(name, getattr(asked, name), asked.seed) for name in TARGETS if getattr(asked, name))
    return 1 if failures else 0


def _feed(name: str, count: int, seed: int) -> int:
    target, failed, began, slowest = TARGETS[name], 0, time.monotonic(), 0.0
    for number in range(count):
        data = target.make(random.Random(seed * 1_000_003 + number))
        start = time.monotonic()
        try:
            fed(target, data)
        except Exception:
            failed += 1
            kept = CORPUS / name / hashlib.sha256(data).hexdigest()[:16]
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_bytes(data)
            print(f"{name} {kept.name}\n{traceback.format_exc()}", flush=True)
            if failed >= 20:
                break
        slowest = max(slowest, time.monotonic() - start)
    seconds = time.monotonic() - began
    says = f"{name}: {number + 1:,} fed (seed {seed}), {failed} failed"
    print(f"{says}, {seconds:.0f} s, slowest {slowest:.2f} s", flush=True)
    return failed


sys.exit(main(sys.argv[1:]))
